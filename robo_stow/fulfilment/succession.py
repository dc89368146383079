"""Taking over the orders that a predecessor left open.

What was reserved for them and what lies in their totes is in the ledger; what they want the shop
tells again, sooner or later. Visits that the predecessor began must end first: their picks need its
reservations. Then all that is still reserved is given back, and every order goes on with what its
tote lacks; one told later than that as soon as it is told. What has been shipped stays shipped,
however often it is told.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

from robo_stow.fulfilment.ledger import Ledger
from robo_stow.fulfilment.orderbook import Order, OrderBook
from robo_stow.messages import Alarm, CancelRequest, Message, OrderArrived

UNTOLD = 600.0
"""Seconds after the takeover when a tote of which the order has not been told raises an alarm."""


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


class Succession:
    """What is still to be taken over.

    Args:
        stations: pick stations; a tote of which the station is gone goes on at the first.
        wait: seconds in which the visits of a predecessor end.
    """

    def __init__(
        self,
        records: Records,
        book: OrderBook,
        ledger: Ledger,
        stations: Sequence[str],
        out: list[Message],
        wait: float,
    ) -> None:
        self._records = records
        self._book = book
        self._ledger = ledger
        self._stations = stations
        self._out = out
        self._wait = wait
        self._began = 0.0
        self._resume_at = 0.0
        self._alarm_at = math.inf
        self._resumed = False
        self._awaited: dict[str, Held] = {}  # totes of which the order has not been told again
        self._told: list[OrderArrived] = []

    @property
    def waits(self) -> bool:
        """Whether the slots of the stations are still those of a predecessor's totes."""
        return not self._resumed

    def start(self, now: float) -> None:
        """Begin; without anything to take over there is no wait."""
        self._began = now
        self._resume_at = now + self._wait if self._records.held() else now

    def hear(self, order: OrderArrived) -> bool:
        """Whether an order may be a predecessor's; `step` then sees to it."""
        if order.stamp >= self._began:
            return False
        self._told.append(order)
        return True

    def due(self, now: float) -> bool:
        """Whether there is something to take over."""
        if not self._resumed:
            return now >= self._resume_at
        return bool(self._told) or now >= self._alarm_at

    def step(self, now: float) -> list[Order]:
        """Bring the book to where the ledger says the orders are, when that is `due`.

        Returns:
            Orders whose totes are full, to be packed.
        """
        if not self._resumed:
            self._resumed = True
            self._alarm_at = now + UNTOLD
            self._release(now)
        full = self._resume() if self._told else []
        if now >= self._alarm_at:
            self._alarm_at = math.inf
            for name, held in self._awaited.items():
                text = f"{name}: a tote stands at {_station(held)}, its order is not known"
                self._out.append(Alarm(now, "fulfilment", "unknown_order", text))
        return full

    def _release(self, now: float) -> None:
        """Give back what a predecessor reserved."""
        for name, held in self._records.held().items():
            for bin_, sku, quantity in held.reserved:
                key = self._ledger.key("cancel")
                self._ledger.ask(now, CancelRequest(key, name, bin_, sku, quantity))
            if held.tote:
                self._awaited[name] = held

    def _resume(self) -> list[Order]:
        """Enter the orders told: those with a tote go on with it, the others begin."""
        told = {order.order: order for order in self._told}
        self._told.clear()
        for name in self._records.shipped(list(told)):
            del told[name]
        full = []
        for name, message in told.items():
            if not self._book.arrive(message) or name not in self._awaited:
                continue
            held = self._awaited.pop(name)
            order = self._book.withdraw(name)
            for line in order.lines:
                line.picked = min(held.tote.get(line.sku, 0), line.open)
                line.open -= line.picked
            if order.missing == 0:
                self._book.complete(order)
                full.append(order)
            else:
                station = _station(held)
                known = station in self._stations
                self._book.give_back(order, station if known else self._stations[0])
        return full


def _station(held: Held) -> str:
    return held.key.split("/", 1)[0]
