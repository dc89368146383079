"""A dispatcher that is killed in the middle of its work, and its successor."""

from __future__ import annotations

from typing import Any

import numpy as np

from robo_stow.floor.load import load_building
from robo_stow.fulfilment.core import FulfilmentCore
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

    def restart_fulfilment(self) -> None:
        """A new core, that hears what is transient local and nothing of what was said before."""
        records = OrderRecords(self.warehouse.inventory.ledger)
        successor = FulfilmentCore(self.building, 1, records=records)
        self.inbox[id(successor)] = [*(self._whole(kind) for kind in ROWS), *self.arrived]
        self.cores[self.at_fulfilment] = successor

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
