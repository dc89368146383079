"""Versions of the ledger's schema, and the way from an older one to this program's.

A new ledger is made from `robo_stow.inventory.schema` at once and marked with `HEAD`; an older one
goes through the revisions in ``versions/`` with Alembic. A test holds the two ways equal. To change
the schema: change `schema`, add ``versions/rNNNN_….py`` with its ``upgrade()``, raise `HEAD`.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    insert,
    inspect,
    select,
)

from robo_stow.errors import InputError
from robo_stow.inventory import schema

HEAD = "0002"
"""Revision of the schema that this program works with."""

_version = Table(  # as Alembic makes it
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)


def revision(connection: Connection) -> str | None:
    """Revision of the ledger in a database; None: the database holds no ledger."""
    if not inspect(connection).has_table(_version.name):
        return None
    return connection.execute(select(_version.c.version_num)).scalar()


def create(connection: Connection) -> None:
    """Make the tables of a new ledger."""
    schema.metadata.create_all(connection)
    _version.create(connection)
    connection.execute(insert(_version), {"version_num": HEAD})


def upgrade(connection: Connection, database: str) -> None:
    """Bring a ledger to `HEAD`, within the transaction of ``connection``.

    Args:
        database: name for error messages.

    Raises:
        InputError: the ledger was written by a newer program.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    found = revision(connection)
    if found is not None and found not in known:
        raise InputError(
            database, "revision", found, f"written by a newer program; this one knows {HEAD}"
        )
    command.upgrade(config, HEAD)
