"""From the full tote to the shipped order.

Packers get as many totes as they are people, those due first before the others: a tote for a
lorry that leaves soon passes one that has time.
"""

from __future__ import annotations

import heapq

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
    """Totes that wait for a packer or are being packed, and shipments being booked."""

    def __init__(self, book: OrderBook, ledger: Ledger, packers: int, out: list[Message]) -> None:
        self._book = book
        self._ledger = ledger
        self._out = out
        self._packers = packers
        self._waiting: list[tuple[float, int, Order]] = []  # heap
        self._ready = 0
        self._packing: dict[str, tuple[Order, float]] = {}

    def ready(self, order: Order, now: float) -> None:
        """All lines of the order are in its tote."""
        self._ready += 1
        heapq.heappush(self._waiting, (order.due, self._ready, order))
        self._hand_over(now)

    def _hand_over(self, now: float) -> None:
        while self._waiting and len(self._packing) < self._packers:
            order = heapq.heappop(self._waiting)[2]
            self._packing[order.name] = (order, now)
            self._out.append(ToteReady(now, order.name, order.pieces))

    def on_packed(self, message: TotePacked, now: float) -> None:
        """A tote stands at the dock: book the shipment."""
        entry = self._packing.pop(message.order, None)
        if entry is None:
            return
        self._hand_over(now)
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
