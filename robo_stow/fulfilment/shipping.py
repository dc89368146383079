"""From the full tote to the shipped order."""

from __future__ import annotations

from robo_stow.fulfilment.ledger import Ledger
from robo_stow.fulfilment.orderbook import Order, OrderBook
from robo_stow.messages import (
    Alarm,
    Message,
    OrderShipped,
    Reply,
    ShipRequest,
    TotePacked,
    ToteReady,
)

REPEAT = 5.0
"""Seconds after which a full tote is told again until it is packed."""


class Shipping:
    """Totes that are being packed, and shipments being booked."""

    def __init__(self, book: OrderBook, ledger: Ledger, out: list[Message]) -> None:
        self._book = book
        self._ledger = ledger
        self._out = out
        self._packing: dict[str, tuple[Order, float]] = {}

    def ready(self, order: Order, now: float) -> None:
        """All lines of the order are in its tote."""
        self._packing[order.name] = (order, now)
        self._out.append(ToteReady(now, order.name, order.pieces))

    def on_packed(self, message: TotePacked, now: float) -> None:
        """A tote stands at the dock: book the shipment."""
        entry = self._packing.pop(message.order, None)
        if entry is None:
            return
        order = entry[0]

        def shipped(reply: Reply, at: float) -> None:
            if reply.ok:
                self._book.ship(order)
                self._out.append(
                    OrderShipped(at, order.name, order.arrived, len(order.lines), order.pieces)
                )
            else:
                self._out.append(
                    Alarm(at, "fulfilment", "ship_refused", f"{order.name}: {reply.reason}")
                )

        self._ledger.ask(now, ShipRequest(f"ship/{order.name}", order.name), shipped)

    def repeat(self, now: float) -> None:
        """Tell of totes again that were not packed yet."""
        for name, (order, sent) in self._packing.items():
            if now - sent >= REPEAT:
                self._packing[name] = (order, now)
                self._out.append(ToteReady(now, name, order.pieces))
