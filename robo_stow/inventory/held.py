"""What the ledger holds for orders: reserved in bins, lying in totes, or shipped.

A dispatcher that starts anew resumes its predecessor's orders from this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import func, select

from robo_stow.inventory import migrations, schema
from robo_stow.inventory.ledger import Ledger

MOST_NAMES = 500
"""Orders asked for in one statement."""

_m, _t, _r = schema.movement.c, schema.tote_stock.c, schema.reservation.c


@dataclass
class Held:
    """Stock of one order that is not shipped."""

    reserved: list[tuple[int, str, int]] = field(default_factory=list)
    """Bin, SKU, pieces."""
    tote: dict[str, int] = field(default_factory=dict)
    """Pieces by SKU in the order's tote."""
    key: str = ""
    """Idempotency key of the last pick into the tote; it begins with the station."""


class OrderRecords:
    """Questions to a ledger, answered as it stands at that moment.

    Args:
        ledger: also one whose database holds no ledger yet: then nothing is held.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def held(self) -> dict[str, Held]:
        """Orders with reservations or a tote that is not shipped, by name.

        Raises:
            LedgerError: the database failed.
        """
        found: dict[str, Held] = {}
        with self._ledger.reading() as connection:
            if migrations.revision(connection) is None:
                return found
            reserved = select(_r.order_id, _r.bin, schema.sku.c.code, _r.quantity)
            reserved = reserved.join(schema.sku, schema.sku.c.id == _r.sku)
            for order, bin_, code, quantity in connection.execute(
                reserved.order_by(_r.order_id, _r.bin, _r.sku)
            ):
                found.setdefault(order, Held()).reserved.append((bin_, code, quantity))
            totes = (
                select(_t.order_id, schema.sku.c.code, func.sum(_t.quantity))
                .join(schema.lot, schema.lot.c.id == _t.lot)
                .join(schema.sku, schema.sku.c.id == schema.lot.c.sku)
                .group_by(_t.order_id, schema.sku.c.code)
                .order_by(_t.order_id, schema.sku.c.code)
            )
            filled = []
            for order, code, quantity in connection.execute(totes):
                if not found.setdefault(order, Held()).tote:
                    filled.append(order)
                found[order].tote[code] = int(quantity)
            for names in _parts(filled):
                last = select(func.max(_m.id)).where(_m.kind == "pick", _m.order_id.in_(names))
                last = last.group_by(_m.order_id)
                picks = select(_m.order_id, _m.key).where(_m.id.in_(last))
                for order, key in connection.execute(picks):
                    found[order].key = key
        return found

    def shipped(self, orders: Sequence[str]) -> list[str]:
        """Those of ``orders`` that have been shipped.

        Raises:
            LedgerError: the database failed.
        """
        found: set[str] = set()
        with self._ledger.reading() as connection:
            for names in _parts(orders):
                query = select(_m.order_id).where(_m.kind == "ship", _m.order_id.in_(names))
                found.update(connection.execute(query).scalars())
        return [order for order in orders if order in found]


def _parts(names: Sequence[str]) -> list[Sequence[str]]:
    return [names[at : at + MOST_NAMES] for at in range(0, len(names), MOST_NAMES)]
