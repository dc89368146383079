"""A dispatcher that is killed in the middle of its work, and its successor."""

from __future__ import annotations

from typing import Any

import numpy as np

from robo_stow.floor.load import load_building
from robo_stow.fulfilment.core import ADOPTION, FulfilmentCore
from robo_stow.fulfilment.succession import UNTOLD
from robo_stow.inventory.held import OrderRecords
from robo_stow.messages import (
    Alarm,
    Load,
    OrderArrived,
    OrderShipped,
    PodPlaces,
    PodSpace,
    StockLevels,
)
from robo_stow.warehouse import build_warehouse

PERIOD = 0.1
ROWS = {PodPlaces: 1, StockLevels: 2, PodSpace: 2}
"""Records that a late joiner hears whole, and how many of their columns are the key."""


class Site:
    """The embedded loop, with one core that can be replaced."""

    def __init__(self) -> None:
        self.building = load_building("demo")
        self.warehouse = build_warehouse(self.building, 1)
        self.cores: list[Any] = list(self.warehouse.cores)
        self.at_fulfilment = self.cores.index(self.warehouse.fulfilment)
        self.inbox: dict[int, list[Any]] = {id(core): [] for core in self.cores}
        self.now = 0.0
        self.latest: dict[type, dict[Any, Any]] = {kind: {} for kind in ROWS}
        self.arrived: list[OrderArrived] = []
        self.shipped: list[str] = []
        self.picked: dict[str, int] = {}  # pieces shipped, by order
        self.alarms: list[str] = []

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / PERIOD)):
            self.now = round(self.now + PERIOD, 1)
            for core in self.cores:
                inbox, self.inbox[id(core)] = self.inbox[id(core)], []
                for record in core.step(self.now, inbox):
                    self._keep(record)
                    for other in self.cores:
                        if type(record) in other.consumes:
                            self.inbox[id(other)].append(record)

    def _keep(self, record: Any) -> None:
        if isinstance(record, OrderArrived):
            self.arrived.append(record)
        elif isinstance(record, Alarm):
            self.alarms.append(record.kind)
        elif isinstance(record, OrderShipped):
            self.shipped.append(record.order)
            self.picked[record.order] = record.pieces
        elif type(record) in ROWS:
            columns = [getattr(record, name) for name in record.__slots__[1:]]
            for row in zip(*(np.asarray(c, object).tolist() for c in columns), strict=True):
                self.latest[type(record)][row[: ROWS[type(record)]]] = row

    def restart_fulfilment(self, told: bool = True) -> None:
        """A new core, that hears what is transient local and nothing of what was said before.

        Args:
            told: whether the orders are among what it hears first.
        """
        records = OrderRecords(self.warehouse.inventory.ledger)
        successor = FulfilmentCore(self.building, 1, records=records)
        self.inbox[id(successor)] = [*(self._whole(kind) for kind in ROWS)]
        self.cores[self.at_fulfilment] = successor
        if told:
            self.tell_orders()

    def tell_orders(self) -> None:
        """What a late joiner hears of all orders ever told, at some time."""
        self.inbox[id(self.cores[self.at_fulfilment])] += self.arrived

    def _whole(self, kind: Any) -> Any:
        columns = zip(*self.latest[kind].values(), strict=True)
        if kind is PodPlaces:
            return kind(self.now, *(np.array(column, np.int32) for column in columns))
        return kind(self.now, *columns)


def test_a_restarted_dispatcher_ships_every_order_that_was_open() -> None:
    site = Site()
    site.run(240.0)
    assert (site.warehouse.plant.units.load == Load.POD).any()  # on their way and at stations
    site.restart_fulfilment()
    site.run(95.0)  # its own orders are open by now
    site.restart_fulfilment()
    records = OrderRecords(site.warehouse.inventory.ledger)
    left = records.held()
    assert any(order.reserved for order in left.values())
    assert any(order.tote for order in left.values())
    arrived = [order.order for order in site.arrived]
    while set(arrived) - set(site.shipped) and site.now < 1800.0:
        site.run(20.0)
    assert not set(arrived) - set(site.shipped)
    assert len(site.shipped) == len(set(site.shipped))
    pieces = {order.order: sum(order.quantity) for order in site.arrived}
    assert sum(site.picked[order] for order in arrived) == sum(pieces[order] for order in arrived)
    assert not {"pick_refused", "ship_refused", "unknown_order"} & set(site.alarms)
    waiting = {order.order for order in site.arrived} - set(site.shipped)
    assert set(records.held()) <= waiting  # nothing stays reserved for orders that have left
    assert records.shipped(arrived) == arrived
    assert site.warehouse.monitor.conflicts == 0
    assert site.warehouse.inventory.audit() == []


def test_orders_told_late_or_again_are_shipped_once_each_and_whole() -> None:
    site = Site()
    site.run(240.0)
    site.restart_fulfilment(told=False)
    records = OrderRecords(site.warehouse.inventory.ledger)
    left = records.held()
    old = {order.order: sum(order.quantity) for order in site.arrived}
    assert any(name in old and order.tote for name, order in left.items())
    assert set(site.shipped)
    site.run(100.0)  # the takeover is long over
    assert not set(left) & set(site.shipped)
    for _ in range(3):
        site.tell_orders()
        site.run(30.0)
    while set(old) - set(site.shipped) and site.now < 1800.0:
        site.run(20.0)
    assert len(site.shipped) == len(set(site.shipped))
    assert {name: site.picked.get(name) for name in old} == old
    assert not {"pick_refused", "ship_refused", "unknown_order"} & set(site.alarms)
    assert site.warehouse.monitor.conflicts == 0
    assert site.warehouse.inventory.audit() == []


def test_nothing_held_and_all_orders_told_again_ships_nothing_twice() -> None:
    site = Site()
    while not site.shipped or OrderRecords(site.warehouse.inventory.ledger).held():
        site.run(10.0)
        assert site.now < 1200.0
    site.restart_fulfilment()
    before = list(site.shipped)
    site.run(300.0)
    assert site.shipped[: len(before)] == before
    assert len(site.shipped) == len(set(site.shipped))


def test_a_tote_of_which_the_order_is_never_told_raises_an_alarm() -> None:
    site = Site()
    site.run(240.0)
    site.restart_fulfilment(told=False)
    assert OrderRecords(site.warehouse.inventory.ledger).held()
    site.run(ADOPTION + UNTOLD - 10.0)
    assert "unknown_order" not in site.alarms
    site.run(20.0)
    assert "unknown_order" in site.alarms
