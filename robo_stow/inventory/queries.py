"""Questions to the ledger: where is it, what is there, what happened."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Integer, Select, String, cast, literal, null, select, union_all

from robo_stow.errors import InputError
from robo_stow.inventory import schema
from robo_stow.inventory.ledger import Ledger

Answer = tuple[tuple[str, ...], list[tuple[Any, ...]]]
"""Column names and rows."""

_lot, _sku, _owner, _bin = schema.lot.c, schema.sku.c, schema.owner.c, schema.bin_.c


def stock(ledger: Ledger, sku: str | None = None) -> Answer:
    """Where pieces are, of one SKU or of all: in bins, on pallets, in totes.

    Raises:
        InputError: unknown SKU.
    """
    bins, pallets, totes = _in_bins(), _on_pallets(), _in_totes()
    if sku is not None:
        # Each by a column that is indexed in its own table.
        number = known(ledger, sku)
        bins = bins.where(schema.stock.c.sku == number)
        pallets = pallets.where(schema.pallet_stock.c.sku == number)
        totes = totes.where(_lot.sku == number)
    rows = union_all(bins, pallets, totes).subquery()
    order = (rows.c.sku, rows.c.place, rows.c.bin, rows.c.pallet, rows.c.order)
    return _read(ledger, select(rows).order_by(*order))


def history(
    ledger: Ledger,
    *,
    sku: str | None = None,
    order: str | None = None,
    pallet: str | None = None,
    bin_: int | None = None,
    last: int | None = None,
) -> Answer:
    """Movements in the order they were booked, those that match everything given.

    Args:
        last: only so many of the newest.

    Raises:
        InputError: unknown SKU.
    """
    m = schema.movement.c
    query = (
        select(m.id, m.time, m.kind, _sku.code.label("sku"), m.quantity)
        .add_columns(m.pallet, m.bin, m.order_id.label("order"), m.pod, m.cell, m.reason)
        .add_columns(_lot.code.label("lot"), _owner.code.label("owner"), m.key)
        .join_from(schema.movement, schema.lot, isouter=True)
        .join(schema.sku, _sku.id == _lot.sku, isouter=True)
        .join(schema.owner, _owner.id == _lot.owner, isouter=True)
    )
    if sku is not None:
        query = query.where(m.lot.in_(select(_lot.id).where(_lot.sku == known(ledger, sku))))
    for column, value in ((m.order_id, order), (m.pallet, pallet), (m.bin, bin_)):
        if value is not None:
            query = query.where(column == value)
    columns, rows = _read(ledger, query.order_by(m.id.desc()).limit(last))
    return columns, rows[::-1]


def known(ledger: Ledger, code: str) -> int:
    """The database's id of a SKU.

    Raises:
        InputError: unknown SKU.
    """
    sku = ledger.skus.get(code)
    if sku is None:
        near = [other for other in ledger.skus if other.startswith(code[:4])][:5]
        hint = f"; near it: {', '.join(near)}" if near else ""
        raise InputError("inventory", "SKU", code, f"the ledger knows no such SKU{hint}")
    return sku.id


def _in_bins() -> Select[Any]:
    s, place = schema.stock.c, schema.pod_place
    query = select(*_goods("bin"), s.bin, _bin.pod, _bin.face, _bin.slot, place.c.cell)
    query = query.add_columns(
        *_nothing(String, "pallet", "order"), s.on_hand.label("pieces"), s.reserved
    )
    query = query.join_from(schema.stock, schema.lot, s.lot == _lot.id)
    query = query.join(schema.bin_, _bin.id == s.bin)
    return _named(query.join(place, place.c.pod == _bin.pod, isouter=True))


def _on_pallets() -> Select[Any]:
    p = schema.pallet_stock.c
    query = select(*_goods("pallet"), *_nothing(Integer, "bin", "pod", "face", "slot", "cell"))
    query = query.add_columns(p.pallet, *_nothing(String, "order"), p.quantity, literal(0))
    return _named(query.join_from(schema.pallet_stock, schema.lot, p.lot == _lot.id))


def _in_totes() -> Select[Any]:
    t = schema.tote_stock.c
    query = select(*_goods("tote"), *_nothing(Integer, "bin", "pod", "face", "slot", "cell"))
    query = query.add_columns(*_nothing(String, "pallet"), t.order_id, t.quantity, t.quantity)
    return _named(query.join_from(schema.tote_stock, schema.lot, t.lot == _lot.id))


def _goods(place: str) -> tuple[Any, ...]:
    return (
        _sku.code.label("sku"),
        literal(place).label("place"),
        _owner.code.label("owner"),
        _lot.code.label("lot"),
        _lot.expiry,
    )


def _nothing(type_: Any, *names: str) -> list[Any]:
    return [cast(null(), type_).label(name) for name in names]


def _named(query: Select[Any]) -> Select[Any]:
    """Join the names of the goods."""
    query = query.join(schema.sku, _sku.id == _lot.sku)
    return query.join(schema.owner, _owner.id == _lot.owner)


def _read(ledger: Ledger, query: Select[Any]) -> Answer:
    with ledger.reading() as connection:
        result = connection.execute(query)
        return tuple(result.keys()), [tuple(row) for row in result]
