"""Orders and their lines, from arrival to the full tote."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING

from robo_stow.fulfilment.stock import Place, StockMirror
from robo_stow.messages import OrderArrived

if TYPE_CHECKING:
    from robo_stow.fulfilment.trips import PodTrip


class OrderStage(Enum):
    """Where an order stands."""

    BACKLOG = auto()  # not yet given to a station
    SHORT = auto()  # waits for stock
    OPEN = auto()  # has a tote in a slot of a station
    PICKED = auto()  # all lines in the tote
    SHIPPED = auto()


class PickStage(Enum):
    """Where a planned pick stands."""

    ASKED = auto()  # reservation on its way to the ledger
    RESERVED = auto()
    INSTRUCTED = auto()  # part of a visit given to the station
    ENDED = auto()


@dataclass(eq=False, slots=True)
class Line:
    """Pieces of one SKU for an order."""

    order: Order
    sku: str
    open: int  # pieces that still need a bin
    planned: int = 0  # pieces in picks that have not ended
    picked: int = 0


@dataclass(eq=False, slots=True)
class Order:
    """One tote's worth of lines."""

    name: str
    arrived: float
    due: float
    lines: list[Line] = field(default_factory=list)
    stage: OrderStage = OrderStage.BACKLOG
    station: str = ""  # where its tote stands
    in_hand: int = 0  # picks booked less picks put into the tote

    @property
    def missing(self) -> int:
        """Pieces not yet in the tote."""
        return sum(line.open + line.planned for line in self.lines)

    @property
    def pieces(self) -> int:
        """Pieces in the tote."""
        return sum(line.picked for line in self.lines)

    def urgency(self, now: float) -> float:
        """0 in the first half of the time allowed, rising to 1 at the due time and after."""
        allowed = max(self.due - self.arrived, 1.0)
        return min(max(2.0 * (now - self.arrived) / allowed - 1.0, 0.0), 1.0)


@dataclass(eq=False, slots=True)
class Pick:
    """Pieces for a line from one bin of a pod on its way to, or at, the order's station."""

    line: Line
    place: Place
    quantity: int
    trip: PodTrip
    stage: PickStage = PickStage.ASKED


class OrderBook:
    """All orders; the backlog by SKU, and those that wait for stock."""

    def __init__(self, stock: StockMirror) -> None:
        self._stock = stock
        self.orders: dict[str, Order] = {}
        """Orders not yet shipped."""
        self.backlog: dict[str, Order] = {}
        """Orders to be given to a station, in order of arrival."""
        self.by_sku: dict[str, dict[str, Order]] = {}
        """Backlog orders with a line of the SKU."""
        self.weight: dict[str, float] = {}
        """Backlog lines of the SKU, each as the square of its share of its order: one pod can do
        little for an order of many lines."""
        self.lines: dict[str, int] = {}
        """Lines of the SKU ever ordered: what the next orders are likely to want."""
        self.returning: dict[str, list[Order]] = {}
        """Started orders, by station, that went without stock and can go on."""
        self._by_due: list[tuple[float, int, Order]] = []  # heap; may hold orders that have left
        self._entered = 0
        self._short: dict[str, dict[str, Order]] = {}
        self._claimed: dict[str, int] = {}
        self._shipped: set[str] = set()

    def arrive(self, message: OrderArrived) -> bool:
        """Enter an order; False when it is known already."""
        if message.order in self.orders or message.order in self._shipped:
            return False
        order = Order(message.order, message.stamp, message.due)
        for sku, quantity in zip(message.sku, message.quantity, strict=True):
            if quantity > 0:
                order.lines.append(Line(order, sku, quantity))
                self.lines[sku] = self.lines.get(sku, 0) + 1
        self.orders[order.name] = order
        self._enter(order)
        return True

    def first_due(self) -> Order | None:
        """The backlog order that is due first."""
        while self._by_due and self._by_due[0][2].name not in self.backlog:
            heapq.heappop(self._by_due)
        return self._by_due[0][2] if self._by_due else None

    def available(self, line: Line) -> bool:
        """Whether there is free stock for the line that no open order at a station needs."""
        free = self._stock.total.get(line.sku, 0) - self._claimed.get(line.sku, 0)
        return free >= line.open

    def take(self, order: Order, station: str) -> bool:
        """Give a backlog order to a station; False puts it aside until there is stock for it."""
        self._leave(order)
        for line in order.lines:
            if line.open and not self.available(line):
                self._wait(order, line.sku)
                return False
        self._open(order, station)
        return True

    def resume(self, order: Order) -> bool:
        """Put a started order's tote back into a slot; False: its stock is gone again."""
        for line in order.lines:
            if line.open and not self.available(line):
                self._wait(order, line.sku)
                return False
        self._open(order, order.station)
        return True

    def suspend(self, order: Order, sku: str) -> None:
        """Take a tote out of its slot until there is stock of ``sku``."""
        for line in order.lines:
            self._claim(line, -line.open)
        self._wait(order, sku)

    def plan(self, line: Line, quantity: int) -> None:
        """``quantity`` pieces of an open order's line have found a bin."""
        line.open -= quantity
        line.planned += quantity
        self._claim(line, -quantity)

    def unplan(self, line: Line, quantity: int) -> None:
        """``quantity`` planned pieces need another bin."""
        line.planned -= quantity
        line.open += quantity
        self._claim(line, quantity)

    def restocked(self, sku: str) -> None:
        """Orders that waited for ``sku`` are tried again."""
        for order in self._short.pop(sku, {}).values():
            if order.station:
                self.returning.setdefault(order.station, []).append(order)
            else:
                self._enter(order)

    def retry(self) -> None:
        """Try every order that waits for stock of which some is free."""
        for sku in list(self._short):
            if self._stock.total.get(sku, 0) > 0:
                self.restocked(sku)

    def withdraw(self, name: str) -> Order:
        """Take an order out of the backlog."""
        order = self.backlog[name]
        self._leave(order)
        return order

    def give_back(self, order: Order, station: str) -> None:
        """An order's tote stands at ``station``, and can go on there."""
        order.stage = OrderStage.SHORT
        order.station = station
        self.returning.setdefault(station, []).append(order)

    def complete(self, order: Order) -> None:
        """All lines are in the tote."""
        order.stage = OrderStage.PICKED

    def ship(self, order: Order) -> None:
        """The order has left."""
        order.stage = OrderStage.SHIPPED
        del self.orders[order.name]
        self._shipped.add(order.name)

    def _open(self, order: Order, station: str) -> None:
        order.stage = OrderStage.OPEN
        order.station = station
        for line in order.lines:
            self._claim(line, line.open)

    def _claim(self, line: Line, quantity: int) -> None:
        self._claimed[line.sku] = self._claimed.get(line.sku, 0) + quantity

    def _wait(self, order: Order, sku: str) -> None:
        order.stage = OrderStage.SHORT
        self._short.setdefault(sku, {})[order.name] = order

    def _enter(self, order: Order) -> None:
        order.stage = OrderStage.BACKLOG
        self.backlog[order.name] = order
        self._entered += 1
        heapq.heappush(self._by_due, (order.due, self._entered, order))
        for line in order.lines:
            self.by_sku.setdefault(line.sku, {})[order.name] = order
            self.weight[line.sku] = self.weight.get(line.sku, 0.0) + len(order.lines) ** -2.0

    def _leave(self, order: Order) -> None:
        del self.backlog[order.name]
        for line in order.lines:
            orders = self.by_sku[line.sku]
            del orders[order.name]
            if orders:
                self.weight[line.sku] -= len(order.lines) ** -2.0
            else:
                del self.by_sku[line.sku]
                del self.weight[line.sku]
