"""SQL of the bookings, written once and compiled once a database.

Parameters ``at_…`` say which row, ``new_…`` and ``more`` what becomes of it. What is read to judge
a booking by is locked until the commit; SQLite has no row locks and needs none, a writer there is
alone.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Date,
    Executable,
    Table,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    select,
    text,
    update,
)

from robo_stow.inventory import schema

_stock, _reservation, _tote = schema.stock, schema.reservation, schema.tote_stock
_pallet_stock, _balance = schema.pallet_stock, schema.balance
_at_stock = (_stock.c.bin == bindparam("at_bin")) & (_stock.c.sku == bindparam("at_sku"))
_at_reservation = (
    (_reservation.c.order_id == bindparam("at_order"))
    & (_reservation.c.bin == bindparam("at_bin"))
    & (_reservation.c.sku == bindparam("at_sku"))
)
_at_pallet = (_pallet_stock.c.pallet == bindparam("at_pallet")) & (
    _pallet_stock.c.sku == bindparam("at_sku")
)

REPLY = select(schema.reply.c.digest, schema.reply.c.body).where(
    schema.reply.c.key == bindparam("at_key")
)
STOCK = select(_stock.c.lot, _stock.c.on_hand, _stock.c.reserved).where(_at_stock)
STOCK = STOCK.with_for_update()
STOCK_IN = (
    select(_stock.c.sku, _stock.c.lot, _stock.c.on_hand, _stock.c.reserved)
    .where(_stock.c.bin == bindparam("at_bin"))
    .order_by(_stock.c.sku)
    .with_for_update()
)
RESERVED = select(_reservation.c.quantity).where(_at_reservation)
RESERVED_FOR = select(_reservation.c.bin, _reservation.c.sku, _reservation.c.quantity).where(
    _reservation.c.order_id == bindparam("at_order")
)
RESERVED_FOR = RESERVED_FOR.order_by(_reservation.c.bin, _reservation.c.sku)
TOTE = (
    select(_tote.c.lot, schema.lot.c.sku, _tote.c.quantity)
    .join(schema.lot, schema.lot.c.id == _tote.c.lot)
    .where(_tote.c.order_id == bindparam("at_order"))
    .order_by(_tote.c.lot)
    .with_for_update(of=_tote)
)
PALLET = select(schema.pallet.c.id).where(schema.pallet.c.id == bindparam("at_pallet"))
ON_PALLET = select(_pallet_stock.c.lot, _pallet_stock.c.quantity).where(_at_pallet)
ON_PALLET = ON_PALLET.with_for_update()
PALLET_LEFT = select(func.coalesce(func.sum(_pallet_stock.c.quantity), 0)).where(
    _pallet_stock.c.pallet == bindparam("at_pallet")
)
BIN_AND_SKU = (
    select(schema.pod.c.capacity, schema.pod.c.hazard, schema.pod.c.temperature)
    .add_columns(schema.sku.c.hazard.label("sku_hazard"))
    .add_columns(schema.sku.c.temperature.label("sku_temperature"))
    .add_columns(schema.bin_.c.volume, schema.bin_.c.capacity.label("limit"))
    .add_columns(schema.bin_.c.width, schema.bin_.c.depth, schema.bin_.c.height)
    .join_from(schema.bin_, schema.pod, schema.pod.c.id == schema.bin_.c.pod)
    .join(schema.sku, schema.sku.c.id == bindparam("at_sku"))
    .where(schema.bin_.c.id == bindparam("at_bin"))
    .with_for_update(of=schema.pod)
)
LOCK_POD = select(schema.pod.c.id).where(schema.pod.c.id == bindparam("at_pod")).with_for_update()
_in_bin = _stock.c.bin == bindparam("at_bin")


def _total(number: Any, *conditions: Any) -> Any:
    """Sum over the stock that meets the conditions."""
    counted = case((and_(*conditions), number), else_=0) if conditions else number
    return func.coalesce(func.sum(counted), 0)


USED = (
    select(
        _total(_stock.c.on_hand * schema.sku.c.volume, _in_bin),
        _total(_stock.c.on_hand * schema.sku.c.weight, _in_bin),
        _total(_stock.c.on_hand * schema.sku.c.weight),
        _total(_stock.c.on_hand, _in_bin, _stock.c.sku == bindparam("at_sku")),
    )
    .join(schema.sku, schema.sku.c.id == _stock.c.sku)
    .where(_stock.c.bin.between(bindparam("first_bin"), bindparam("last_bin")))
)

_pod_c, _sku_c = schema.pod.c, schema.sku.c
MISPLACED = (
    select(_pod_c.id.label("pod"), _sku_c.code, _sku_c.temperature, _sku_c.hazard)
    .add_columns(_pod_c.temperature.label("pod_temperature"))
    .add_columns(_pod_c.hazard.label("pod_hazard"))
    .join_from(_stock, schema.sku, _sku_c.id == _stock.c.sku)
    .join(schema.bin_, schema.bin_.c.id == _stock.c.bin)
    .join(schema.pod, _pod_c.id == schema.bin_.c.pod)
    .where((_pod_c.temperature != _sku_c.temperature) | (_pod_c.hazard != _sku_c.hazard))
    .limit(1)
)
LOT = (
    select(schema.lot.c.id, schema.lot.c.expiry)
    .join(schema.owner, schema.owner.c.id == schema.lot.c.owner)
    .where(schema.lot.c.sku == bindparam("at_sku"))
    .where(schema.owner.c.code == bindparam("at_owner"))
    .where(schema.lot.c.code == bindparam("at_lot"))
)

SET_SKU = text(
    "UPDATE sku SET volume = :volume, weight = :weight, temperature = :temperature, "
    "hazard = :hazard, length = :length, width = :width, height = :height WHERE code = :code"
)
PODS = select(_pod_c.id, _pod_c.temperature, _pod_c.hazard)
SET_POD_CLASS = (
    update(schema.pod)
    .where(_pod_c.id == bindparam("at_pod"))
    .values(hazard=bindparam("new_hazard"), temperature=bindparam("new_temperature"))
)
SET_CAPACITY = (
    update(schema.pod)
    .where(_pod_c.capacity != bindparam("new_capacity"))
    .values(capacity=bindparam("new_capacity"))
)
_bin_c = schema.bin_.c
FACE = (
    select(_bin_c.volume, _bin_c.capacity, _bin_c.shelf)
    .add_columns(_bin_c.width, _bin_c.depth, _bin_c.height)
    .where(_bin_c.id.between(bindparam("first"), bindparam("last")))
    .order_by(_bin_c.id)
)
SET_BINS = text(
    "UPDATE bin SET volume = :volume, capacity = :capacity, shelf = :shelf, width = :width, "
    "depth = :depth, height = :height WHERE slot = :at_slot"
)
ADD_OWNER = text("INSERT INTO owner (code) VALUES (:code) ON CONFLICT (code) DO NOTHING")
ADD_LOT = text(
    "INSERT INTO lot (sku, owner, code, expiry) "
    "SELECT :sku, id, :code, :expiry FROM owner WHERE code = :owner "
    "ON CONFLICT (sku, owner, code) DO NOTHING"
).bindparams(bindparam("expiry", type_=Date))

SET_STOCK = (
    update(_stock)
    .where(_at_stock)
    .values(on_hand=bindparam("new_on_hand"), reserved=bindparam("new_reserved"))
)
ADD_STOCK = insert(_stock)
END_STOCK = delete(_stock).where(_at_stock)
SET_RESERVATION = (
    update(_reservation).where(_at_reservation).values(quantity=bindparam("new_quantity"))
)
END_RESERVATION = delete(_reservation).where(_at_reservation)
SET_ON_PALLET = update(_pallet_stock).where(_at_pallet).values(quantity=bindparam("new_quantity"))
ADD_TO_PALLET = (
    update(_pallet_stock)
    .where(_at_pallet)
    .values(
        quantity=_pallet_stock.c.quantity + bindparam("more"),
        received=_pallet_stock.c.received + bindparam("more"),
    )
)
END_ON_PALLET = delete(_pallet_stock).where(_at_pallet)
END_TOTE = delete(_tote).where(_tote.c.order_id == bindparam("at_order"))


def _count(column: Any) -> Executable:
    """Statement that adds ``more`` to a total of a SKU."""
    return (
        update(_balance)
        .where(_balance.c.sku == bindparam("at_sku"))
        .values({column: column + bindparam("more")})
    )


COUNT_RECEIVED = _count(_balance.c.received)
COUNT_ADJUSTED = _count(_balance.c.adjusted)
COUNT_SHIPPED = _count(_balance.c.shipped)


def _adding(table: Table, column: str, *, add: bool = True) -> Executable:
    """Insert a row into ``table``; where its key is there, add to ``column`` or replace it.

    Written as text, the same for both databases: SQLAlchemy compiles its own form of it anew at
    every use.
    """
    names = [c.name for c in table.columns]
    key = ", ".join(c.name for c in table.primary_key.columns)
    value = f"{table.name}.{column} + excluded.{column}" if add else f"excluded.{column}"
    return text(
        f"INSERT INTO {table.name} ({', '.join(names)}) VALUES (:{', :'.join(names)}) "
        f"ON CONFLICT ({key}) DO UPDATE SET {column} = {value}"
    )


RESERVE_MORE = _adding(_reservation, "quantity")
TOTE_MORE = _adding(_tote, "quantity")
PLACE_POD = _adding(schema.pod_place, "cell", add=False)
INSERT_REPLY = insert(schema.reply)
INSERT_MOVEMENT = insert(schema.movement)
INSERT_PALLET = insert(schema.pallet)
INSERT_ON_PALLET = insert(_pallet_stock)
