"""Does every position follow from the movements, and is every piece accounted for?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, case, func, select

from robo_stow.inventory import schema
from robo_stow.inventory.ledger import Ledger

SHOWN = 20
"""Differences listed of each kind; the rest are counted."""

_m, _lot = schema.movement.c, schema.lot.c


def audit(ledger: Ledger) -> list[str]:
    """Derive all positions from the movements again and compare; one line a finding.

    Reads the whole ledger at one moment. An empty list: every position follows from the
    movements, no piece is missing or twice, and the database keeps its own rules.
    """
    findings: list[str] = []
    with ledger.reading() as connection:
        for name, derived, kept in _positions():
            findings += _differences(connection, name, derived, kept)
        findings += _unbalanced(connection)
        if connection.dialect.name == "sqlite":
            broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
            findings += [f"{table}: a row refers to a missing {parent}"
                         for table, _, parent, _ in broken[:SHOWN]]  # fmt: skip
            state = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
            findings += [f"database file: {line}" for line in state if line != "ok"]
    return findings


def check_totals(ledger: Ledger) -> list[str]:
    """SKUs whose pieces do not add up; much quicker than `audit`, reads no movement.

    received + adjusted = on pallets + in bins + in totes + shipped, for every SKU; adjusted is
    signed: found pieces count up, missing ones down.
    """
    with ledger.reading() as connection:
        return _unbalanced(connection)


def _unbalanced(connection: Connection) -> list[str]:
    held: list[Any] = []
    for table, column in (
        (schema.pallet_stock, schema.pallet_stock.c.quantity),
        (schema.stock, schema.stock.c.on_hand),
    ):
        held.append(_summed(select(table.c.sku, func.sum(column).label("n")).group_by(table.c.sku)))
    tote = select(_lot.sku, func.sum(schema.tote_stock.c.quantity).label("n"))
    held.append(_summed(tote.join_from(schema.tote_stock, schema.lot).group_by(_lot.sku)))
    b = schema.balance.c
    parts = [func.coalesce(part.c.n, 0) for part in held]
    query = select(schema.sku.c.code, b.received, b.adjusted, b.shipped, *parts)
    query = query.join_from(schema.balance, schema.sku)
    for part in held:
        query = query.outerjoin(part, part.c.sku == b.sku)
    query = query.where(b.received + b.adjusted != b.shipped + sum(parts[1:], parts[0]))
    rows = connection.execute(query.order_by(schema.sku.c.code)).all()
    lines = [
        f"SKU {code}: received {received} and adjusted {adjusted:+d}, but on pallets {pallets}, "
        f"in bins {bins}, in totes {totes}, shipped {shipped}"
        for code, received, adjusted, shipped, pallets, bins, totes in rows
    ]
    return _shortened(lines)


def _summed(query: Select[Any]) -> Any:
    return query.subquery()


def _positions() -> Iterable[tuple[str, Select[Any], Select[Any]]]:
    """Name, what the movements say, what the ledger keeps; equal columns in equal order."""
    s, r, p, t = (
        schema.stock.c,
        schema.reservation.c,
        schema.pallet_stock.c,
        schema.tote_stock.c,
    )
    on_hand = _sum({"stow": 1, "pick": -1, "adjust": 1})
    reserved = _sum({"reserve": 1, "release": -1, "pick": -1})
    yield (
        "bin, lot, on hand, reserved",
        select(_m.bin, _m.lot, on_hand, reserved)
        .where(_m.bin.is_not(None))
        .group_by(_m.bin, _m.lot)
        .having((on_hand != 0) | (reserved != 0)),
        select(s.bin, s.lot, s.on_hand, s.reserved),
    )
    yield (
        "order, bin, SKU, reserved",
        select(_m.order_id, _m.bin, _lot.sku, reserved)
        .join_from(schema.movement, schema.lot)
        .where(_m.bin.is_not(None), _m.order_id.is_not(None))
        .group_by(_m.order_id, _m.bin, _lot.sku)
        .having(reserved != 0),
        select(r.order_id, r.bin, r.sku, r.quantity),
    )
    on_pallet = _sum({"receive": 1, "stow": -1, "adjust": 1})
    yield (
        "pallet, lot, pieces",
        select(_m.pallet, _m.lot, on_pallet)
        .where(_m.pallet.is_not(None))
        .group_by(_m.pallet, _m.lot)
        .having(on_pallet != 0),
        select(p.pallet, p.lot, p.quantity),
    )
    in_tote = _sum({"pick": 1, "ship": -1})
    yield (
        "order, lot, pieces in tote",
        select(_m.order_id, _m.lot, in_tote)
        .where(_m.order_id.is_not(None))
        .group_by(_m.order_id, _m.lot)
        .having(in_tote != 0),
        select(t.order_id, t.lot, t.quantity),
    )
    b = schema.balance.c
    received, adjusted, shipped = _sum({"receive": 1}), _sum({"adjust": 1}), _sum({"ship": 1})
    yield (
        "SKU, received, adjusted, shipped",
        select(_lot.sku, received, adjusted, shipped)
        .join_from(schema.movement, schema.lot)
        .group_by(_lot.sku)
        .having((received != 0) | (adjusted != 0) | (shipped != 0)),
        select(b.sku, b.received, b.adjusted, b.shipped).where(
            (b.received != 0) | (b.adjusted != 0) | (b.shipped != 0)
        ),
    )
    last = select(func.max(_m.id)).where(_m.kind == "pod-moved").group_by(_m.pod)
    yield (
        "pod, cell",
        select(_m.pod, _m.cell).where(_m.id.in_(last)),
        select(schema.pod_place.c.pod, schema.pod_place.c.cell),
    )


def _sum(signs: dict[str, int]) -> ColumnElement[Any]:
    """Sum of the quantities of the movements, by the sign of their kind."""
    whens = [(_m.kind == kind, sign * _m.quantity) for kind, sign in signs.items()]
    return func.coalesce(func.sum(case(*whens, else_=0)), 0)


def _differences(
    connection: Connection, name: str, derived: Select[Any], kept: Select[Any]
) -> list[str]:
    lines = [
        f"{name}: movements say {tuple(row)}, which the ledger does not keep"
        for row in connection.execute(derived.except_(kept))
    ]
    lines += [
        f"{name}: the ledger keeps {tuple(row)}, which the movements do not say"
        for row in connection.execute(kept.except_(derived))
    ]
    return _shortened(lines)


def _shortened(lines: list[str]) -> list[str]:
    if len(lines) <= SHOWN:
        return lines
    return [*lines[:SHOWN], f"and {len(lines) - SHOWN} more of this kind"]
