"""Taking over the orders that a predecessor left open.

What was reserved for them and what lies in their totes is in the ledger; what they want the shop
tells again. Visits that the predecessor began must end first: their picks need its reservations.
Then all that is still reserved is given back, and every order goes on with what its tote lacks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from robo_stow.fulfilment.ledger import Ledger
from robo_stow.fulfilment.orderbook import Order, OrderBook
from robo_stow.messages import Alarm, CancelRequest, Message


class Held(Protocol):
    """Stock of one order that is not shipped."""

    reserved: list[tuple[int, str, int]]  # bin, SKU, pieces
    tote: dict[str, int]  # pieces by SKU
    key: str  # of the last pick into the tote; begins with the station


class Records(Protocol):
    """What the ledger knows of orders."""

    def held(self) -> Mapping[str, Held]:
        """Orders with reservations or a tote that is not shipped, by name."""
        ...

    def shipped(self, orders: Sequence[str]) -> list[str]:
        """Those of ``orders`` that have been shipped."""
        ...


def resume(
    records: Records,
    book: OrderBook,
    ledger: Ledger,
    stations: Sequence[str],
    out: list[Message],
    now: float,
) -> list[Order]:
    """Bring the book to where the ledger says the orders are.

    Args:
        stations: pick stations; a tote of which the station is gone goes on at the first.

    Returns:
        Orders whose totes are full, to be packed.
    """
    for name in records.shipped(list(book.backlog)):
        book.ship(book.withdraw(name))
    full = []
    for name, held in records.held().items():
        for bin_, sku, quantity in held.reserved:
            key = ledger.key("cancel")
            ledger.ask(now, CancelRequest(key, name, bin_, sku, quantity))
        if not held.tote:
            continue
        if name not in book.backlog:
            text = f"{name}: a tote stands at {held.key.split('/')[0]}, its order is not known"
            out.append(Alarm(now, "fulfilment", "unknown_order", text))
            continue
        order = book.withdraw(name)
        for line in order.lines:
            line.picked = min(held.tote.get(line.sku, 0), line.open)
            line.open -= line.picked
        station = held.key.split("/", 1)[0]
        if order.missing == 0:
            book.complete(order)
            full.append(order)
        else:
            book.give_back(order, station if station in stations else stations[0])
    return full
