"""Which order gets a free slot at a pick station.

Pod-matching assignment (Merschformann, Lamballais, de Koster, Suhl, "Decision rules for robotic
mobile fulfillment systems", 2019, where it is the rule that matters most): the order of which the
largest share lies on pods that stand at the station or are on their way there. The due time pulls
against it: an order in the second half of its time gains weight until it goes before all others.
"""

from __future__ import annotations

from robo_stow.fulfilment.orderbook import Order, OrderBook
from robo_stow.fulfilment.stock import StockMirror
from robo_stow.fulfilment.trips import PodTrip, Stage

URGENT = 2.0
"""Score of an order at its due time; a fully matched one has 1."""
AT_HAND = {
    Stage.AT: 1.0,
    Stage.TURN: 1.0,
    Stage.TRAVEL: 0.95,
    Stage.READY: 0.9,
    Stage.FACE: 0.9,
    Stage.FETCH: 0.85,
}
"""Worth of a match by where the pod is: those at the station leave first."""


def choose_order(
    book: OrderBook, stock: StockMirror, trips: list[PodTrip], now: float
) -> Order | None:
    """The backlog order to open next at the station with these pods; None: nothing to open."""
    best = book.first_due()  # stands for all that match nothing
    if best is None:
        return None
    matched: dict[str, dict[str, float]] = {}
    for trip in trips:
        worth = AT_HAND.get(trip.stage, 0.0)
        if not worth:
            continue
        for sku in stock.by_pod[trip.pod]:
            orders = book.by_sku.get(sku)
            if not orders:
                continue
            free = stock.on_pod(trip.pod, sku)
            if not free:
                continue
            for name, order in orders.items():
                lines = matched.setdefault(name, {})
                if worth > lines.get(sku, 0.0) and free >= _wanted(order, sku):
                    lines[sku] = worth
    best_score = -1.0
    if best.name not in matched:
        best_score = URGENT * best.urgency(now) ** 2
    for name, lines in matched.items():
        order = book.backlog[name]
        score = sum(lines.values()) / len(order.lines) + URGENT * order.urgency(now) ** 2
        if score > best_score:
            best, best_score = order, score
    return best


def _wanted(order: Order, sku: str) -> int:
    for line in order.lines:
        if line.sku == sku:
            return line.open
    return 0
