"""A dispatcher that is killed in the middle of its work, and its successor."""

from __future__ import annotations

from typing import Any

import numpy as np

from robo_stow.floor.load import load_building
from robo_stow.fulfilment.core import FulfilmentCore
from robo_stow.messages import Load, OrderArrived, OrderShipped, PodPlaces, PodSpace, StockLevels
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
        self.inbox: dict[int, list[Any]] = {id(core): [] for core in self.cores}
        self.now = 0.0
        self.latest: dict[type, dict[Any, Any]] = {kind: {} for kind in ROWS}
        self.arrived: list[str] = []
        self.shipped: list[str] = []

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
            self.arrived.append(record.order)
        elif isinstance(record, OrderShipped):
            self.shipped.append(record.order)
        elif type(record) in ROWS:
            columns = [getattr(record, name) for name in record.__slots__[1:]]
            for row in zip(*(np.asarray(c, object).tolist() for c in columns), strict=True):
                self.latest[type(record)][row[: ROWS[type(record)]]] = row

    def restart_fulfilment(self) -> None:
        """A new core, that hears what is transient local and nothing of what was said before."""
        successor = FulfilmentCore(self.building, 1)
        self.inbox[id(successor)] = [self._whole(kind) for kind in ROWS]
        self.cores[self.cores.index(self.warehouse.fulfilment)] = successor

    def _whole(self, kind: Any) -> Any:
        columns = zip(*self.latest[kind].values(), strict=True)
        if kind is PodPlaces:
            return kind(self.now, *(np.array(column, np.int32) for column in columns))
        return kind(self.now, *columns)


def test_a_restarted_dispatcher_takes_the_fleet_over_and_ships_what_arrives() -> None:
    site = Site()
    site.run(240.0)
    units = site.warehouse.plant.units
    assert (units.load == Load.POD).any()  # pods are on their way and at stations
    before = len(site.arrived)
    site.restart_fulfilment()
    site.run(760.0)
    new = site.arrived[before:]
    waited = [order for order in new if order not in site.shipped]
    assert len(new) > 20, (len(new), len(waited))
    assert len(waited) < len(new) / 2
    assert site.warehouse.monitor.conflicts == 0
    assert site.warehouse.inventory.audit() == []
