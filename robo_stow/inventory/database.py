"""Connections to the ledger's database: SQLite or PostgreSQL, both set to be durable.

A transaction that has been committed survives the end of the process and, as far as the disk
keeps its promises, of the machine: SQLite runs with a write-ahead log that is synchronised at
every commit, PostgreSQL with ``synchronous_commit`` on.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Table, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import NullPool, StaticPool

from robo_stow.errors import InputError, RoboStowError

PATIENCE = 60.0
"""Seconds a writer waits for another before it gives up."""


class LedgerError(RoboStowError):
    """The database failed; nothing that was being booked has been booked."""


def open_engine(database: str) -> Engine:
    """Engine for a SQLAlchemy URL such as ``sqlite:///out/demo/ledger.sqlite``.

    ``sqlite://`` lives in memory and ends with the engine.

    Raises:
        InputError: no URL, or a database this ledger does not run on.
    """
    url = parse_url(database)
    try:
        return _sqlite(url) if url.get_backend_name() == "sqlite" else _postgresql(url)
    except ModuleNotFoundError as error:
        raise InputError(
            "database", "URL", url.render_as_string(), f"needs the Python package {error.name}"
        ) from None


def parse_url(database: str) -> URL:
    """The URL of a SQLite or PostgreSQL database.

    Raises:
        InputError: it is none.
    """
    example = "expected e.g. sqlite:///ledger.sqlite or postgresql://user@host/ledger"
    try:
        url = make_url(database)
        if url.get_backend_name() in ("sqlite", "postgresql"):
            return url
        database = url.render_as_string()
    except (ArgumentError, ValueError):
        pass
    raise InputError("database", "URL", database, example)


def describe(engine: Engine) -> str:
    """The database's URL without its password."""
    return engine.url.render_as_string(hide_password=True)


@contextmanager
def failing_clearly(engine: Engine) -> Iterator[None]:
    """Turn errors of the database driver into one line for the user."""
    driver = engine.dialect.dbapi
    assert driver is not None
    try:
        yield
    except (DBAPIError, driver.Error) as error:  # COPY is the driver's own
        reason = " ".join(str(getattr(error, "orig", error)).split())
        if reason == "unable to open database file":
            reason += ": a folder, not there, or in a folder that cannot be written to"
        raise LedgerError(f"{describe(engine)}: {reason}") from error


def insert_rows(
    connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Insert many rows by the driver's quickest way; ``rows`` hold plain Python values."""
    names = ", ".join(columns)
    if connection.dialect.name == "postgresql":
        cursor = connection.connection.cursor()
        with cursor.copy(f"COPY {table.name} ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
    elif rows:
        marks = ", ".join("?" * len(columns))
        connection.exec_driver_sql(f"INSERT INTO {table.name} ({names}) VALUES ({marks})", rows)


def _sqlite(url: URL) -> Engine:
    memory = not url.database or url.database == ":memory:"
    if not memory:
        folder = Path(str(url.database)).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError("database", "folder", str(folder), str(error.strerror)) from error
    engine = create_engine(
        url,
        poolclass=StaticPool if memory else NullPool,
        connect_args={"timeout": PATIENCE, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, record: object) -> None:
        connection.isolation_level = None  # transactions begin below, not where the driver thinks
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A reader that turns writer half-way can fail; so who may write takes the lock at once.
        reading = connection.get_execution_options().get("reading", False)
        statement = "BEGIN" if reading else "BEGIN IMMEDIATE"
        try:
            connection.connection.driver_connection.execute(statement)  # type: ignore[union-attr]
        except sqlite3.Error as error:
            raise DBAPIError.instance(
                statement, None, error, sqlite3.Error, dialect=connection.dialect
            ) from error

    return engine


def _postgresql(url: URL) -> Engine:
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        poolclass=NullPool,
        isolation_level="READ COMMITTED",  # rows are locked before they are judged
        connect_args={"options": "-c synchronous_commit=on", "connect_timeout": 10},
    )

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get("reading", False):
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")

    return engine
