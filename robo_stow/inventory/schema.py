"""Tables of the ledger.

Two kinds: **facts**, which are only ever added to (`movement`, `reply`), and **positions**, which
follow from the movements and are written in the same transaction (`stock`, `pallet_stock`,
`tote_stock`, `reservation`, `balance`, `pod_place`). The rest names what is being moved (`owner`,
`sku`, `lot`) and where (`pod`, `bin`, `pallet`).

Goods are told apart by their *lot*: a SKU of one owner with one lot code and expiry. A bin, or a
pallet, holds one lot of a SKU at most, so a SKU and a place always name one lot. Volumes are whole
mm^3, weights whole grams: sums are exact.
"""

from __future__ import annotations

from sqlalchemy import (
    DDL,
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    event,
)
from sqlalchemy.schema import ExecutableDDLElement

NAME_LENGTH = 64
"""Longest code of a SKU, lot, owner, pallet or order."""
KEY_LENGTH = 128
"""Longest idempotency key."""

KINDS = ("receive", "stow", "pick", "ship", "adjust", "reserve", "release", "pod-moved", "count")
"""What a movement can be: `adjust` is signed, `pod-moved` and `count` move no piece."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_serial = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers only INTEGER keys itself
_name = String(NAME_LENGTH)

meta = Table(
    "meta",
    metadata,
    Column("name", _name, primary_key=True),
    Column("value", String(200), nullable=False),
)

owner = Table(
    "owner",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("code", _name, nullable=False, unique=True),
)

sku = Table(
    "sku",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("code", _name, nullable=False, unique=True),
    Column("volume", BigInteger, nullable=False),  # mm^3 a piece
    Column("weight", BigInteger, nullable=False),  # g a piece
    Column("hazard", _name, nullable=False, server_default=""),  # "" for none
    Column("temperature", _name, nullable=False, server_default="ambient"),
    Column("length", Integer, nullable=False, server_default="1"),  # mm, the longest side
    Column("width", Integer, nullable=False, server_default="1"),
    Column("height", Integer, nullable=False, server_default="1"),  # the shortest
    CheckConstraint("volume > 0 AND weight > 0", name="size"),
)

lot = Table(
    "lot",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("sku", ForeignKey("sku.id"), nullable=False),
    Column("owner", ForeignKey("owner.id"), nullable=False),
    Column("code", _name, nullable=False, server_default=""),
    Column("expiry", Date),
    UniqueConstraint("sku", "owner", "code"),
)

pod = Table(
    "pod",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("capacity", BigInteger, nullable=False),  # g
    Column("hazard", _name, nullable=False, server_default=""),  # the class it is kept for
    Column("temperature", _name, nullable=False, server_default="ambient"),
)

bin_ = Table(
    "bin",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("pod", ForeignKey("pod.id"), nullable=False),
    Column("face", Integer, nullable=False),
    Column("slot", Integer, nullable=False),  # along the shelves, 0 on the lowest
    Column("volume", BigInteger, nullable=False),  # mm^3 that goods take at most
    Column("capacity", BigInteger, nullable=False),  # g
    Column("shelf", Integer, nullable=False, server_default="0"),  # 0 is the lowest
    Column("width", Integer, nullable=False, server_default="1"),  # mm inside, across the face
    Column("depth", Integer, nullable=False, server_default="1"),
    Column("height", Integer, nullable=False, server_default="1"),
)

pallet = Table(
    "pallet",
    metadata,
    Column("id", _name, primary_key=True),
    Column("time", Float(53), nullable=False),
)

reply = Table(
    "reply",
    metadata,
    Column("key", String(KEY_LENGTH), primary_key=True),
    Column("digest", String(32), nullable=False),  # of the request's content
    Column("time", Float(53), nullable=False),
    Column("body", String, nullable=False),  # JSON
)

movement = Table(
    "movement",
    metadata,
    Column("id", _serial, primary_key=True, autoincrement=True),
    Column("key", ForeignKey("reply.key"), nullable=False),
    Column("line", Integer, nullable=False),  # within the request
    Column("time", Float(53), nullable=False),  # s of the building's clock
    Column("kind", String(12), nullable=False),
    Column("lot", ForeignKey("lot.id")),
    Column("quantity", BigInteger, nullable=False),
    Column("pallet", ForeignKey("pallet.id")),
    Column("bin", ForeignKey("bin.id")),
    Column("order_id", _name),
    Column("pod", ForeignKey("pod.id")),
    Column("cell", Integer),
    Column("reason", String(200)),
    UniqueConstraint("key", "line"),
    CheckConstraint("kind IN ({})".format(", ".join(f"'{kind}'" for kind in KINDS)), name="kind"),
    CheckConstraint("quantity > 0 OR kind IN ('adjust', 'pod-moved', 'count')", name="quantity"),
    CheckConstraint("kind <> 'adjust' OR reason IS NOT NULL", name="reason"),
    CheckConstraint("kind IN ('pod-moved', 'count') OR lot IS NOT NULL", name="lot"),
)
Index(None, movement.c.lot)
_of_an_order = movement.c.order_id.is_not(None)
Index(None, movement.c.order_id, sqlite_where=_of_an_order, postgresql_where=_of_an_order)

stock = Table(
    "stock",
    metadata,
    Column("bin", ForeignKey("bin.id"), primary_key=True, autoincrement=False),
    Column("sku", ForeignKey("sku.id"), primary_key=True, autoincrement=False),
    Column("lot", ForeignKey("lot.id"), nullable=False),
    Column("on_hand", BigInteger, nullable=False),
    Column("reserved", BigInteger, nullable=False, server_default="0"),
    CheckConstraint("on_hand > 0", name="on_hand"),
    CheckConstraint("reserved >= 0 AND reserved <= on_hand", name="reserved"),
    sqlite_with_rowid=False,
)
Index(None, stock.c.sku, stock.c.bin)

reservation = Table(
    "reservation",
    metadata,
    Column("order_id", _name, primary_key=True),
    Column("bin", Integer, primary_key=True, autoincrement=False),
    Column("sku", Integer, primary_key=True, autoincrement=False),
    Column("quantity", BigInteger, nullable=False),
    ForeignKeyConstraint(["bin", "sku"], ["stock.bin", "stock.sku"]),
    CheckConstraint("quantity > 0", name="quantity"),
    sqlite_with_rowid=False,
)
Index(None, reservation.c.bin, reservation.c.sku)

pallet_stock = Table(
    "pallet_stock",
    metadata,
    Column("pallet", ForeignKey("pallet.id"), primary_key=True),
    Column("sku", ForeignKey("sku.id"), primary_key=True, autoincrement=False),
    Column("lot", ForeignKey("lot.id"), nullable=False),
    Column("received", BigInteger, nullable=False),  # pieces it came with
    Column("quantity", BigInteger, nullable=False),
    CheckConstraint("quantity > 0 AND quantity <= received", name="quantity"),
    sqlite_with_rowid=False,
)
Index(None, pallet_stock.c.sku)

tote_stock = Table(
    "tote_stock",
    metadata,
    Column("order_id", _name, primary_key=True),
    Column("lot", ForeignKey("lot.id"), primary_key=True, autoincrement=False),
    Column("quantity", BigInteger, nullable=False),
    CheckConstraint("quantity > 0", name="quantity"),
    sqlite_with_rowid=False,
)
Index(None, tote_stock.c.lot)

balance = Table(
    "balance",
    metadata,
    Column("sku", ForeignKey("sku.id"), primary_key=True, autoincrement=False),
    Column("received", BigInteger, nullable=False, server_default="0"),
    Column("adjusted", BigInteger, nullable=False, server_default="0"),  # net, signed
    Column("shipped", BigInteger, nullable=False, server_default="0"),
    CheckConstraint("received >= 0 AND shipped >= 0", name="positive"),
)

pod_place = Table(
    "pod_place",
    metadata,
    Column("pod", ForeignKey("pod.id"), primary_key=True, autoincrement=False),
    Column("cell", Integer, nullable=False),
)

# Facts are only added to: the database itself refuses anything else.
_GUARDS = {
    "sqlite": (
        "CREATE TRIGGER {0}_no_update BEFORE UPDATE ON {0} "
        "BEGIN SELECT RAISE(ABORT, '{0} is append-only'); END",
        "CREATE TRIGGER {0}_no_delete BEFORE DELETE ON {0} "
        "BEGIN SELECT RAISE(ABORT, '{0} is append-only'); END",
    ),
    "postgresql": (
        "CREATE FUNCTION {0}_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '{0} is append-only'; END $$",
        "CREATE TRIGGER {0}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {0} "
        "EXECUTE FUNCTION {0}_append_only()",
    ),
}
for _table in (movement, reply):
    for _dialect, _statements in _GUARDS.items():
        for _statement in _statements:
            _guard: ExecutableDDLElement = DDL(_statement.format(_table.name))  # type: ignore[no-untyped-call]
            event.listen(_table, "after_create", _guard.execute_if(dialect=_dialect))
