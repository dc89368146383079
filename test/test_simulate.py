"""The whole chain in the embedded loop: goods in, orders out, nothing lost, nobody collides."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import fields

import numpy as np
import pytest

from robo_stow.floor.building import Zone
from robo_stow.floor.load import load_building
from robo_stow.messages import (
    Alarm,
    FleetState,
    KeepOuts,
    Message,
    PodPlaces,
    Release,
    ZoneCommand,
    ZoneEvent,
)
from robo_stow.simulate import Loop, QuickLoop, simulate
from robo_stow.warehouse import Warehouse, build_warehouse


class Recorder:
    """A core that hashes everything it hears."""

    due = math.inf

    def __init__(self, consumes: tuple[type, ...]) -> None:
        self.consumes = consumes
        self.digest = hashlib.sha256()

    def step(self, now: float, inbox: Sequence[Message]) -> list[Message]:
        for message in inbox:
            self.digest.update(type(message).__name__.encode())
            for field in fields(message):
                value = getattr(message, field.name)
                data = value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode()
                self.digest.update(data)
        return []


def demo(seed: int, units: int | None = None) -> Warehouse:
    return build_warehouse(load_building("demo", units=units), seed)


def digest_of_run(seed: int, minutes: float) -> str:
    warehouse = demo(seed)
    records = {record for core in warehouse.cores for record in core.consumes}
    recorder = Recorder(tuple(sorted(records, key=lambda record: record.__name__)))
    loop = Loop((*warehouse.cores, recorder))
    for _ in loop.run(minutes * 60.0):
        pass
    assert warehouse.monitor.conflicts == 0
    return recorder.digest.hexdigest()


def test_equal_seeds_give_equal_runs_bit_for_bit() -> None:
    first = digest_of_run(7, 3.0)
    assert first == digest_of_run(7, 3.0)
    assert first != digest_of_run(8, 3.0)


def run_with_faults(loop: type[Loop], seed: int) -> tuple[str, dict[str, object], list[Alarm]]:
    """Five minutes in which units stop, die and come back; all that cores hear but each state."""
    warehouse = demo(seed)
    faults = warehouse.plant.faults
    for at, kind, unit in ((40.0, "stop", 1), (90.0, "kill", 2), (130.0, "reset", 1)):
        faults.schedule(at, kind, unit)
    faults.schedule(233.3, "reset", 2)
    records = {record for core in warehouse.cores for record in core.consumes}
    records -= {FleetState, Release}
    recorder = Recorder(tuple(sorted(records, key=lambda record: record.__name__)))
    for _ in loop((*warehouse.cores, recorder)).run(300.0):
        pass
    monitor = warehouse.monitor
    assert monitor.conflicts == 0
    assert monitor.tally.entered.sum() > 500
    return recorder.digest.hexdigest(), monitor.figures(), monitor.alarms


def test_leaving_idle_steps_out_changes_nothing() -> None:
    quick, plain = run_with_faults(QuickLoop, 3), run_with_faults(Loop, 3)
    assert quick == plain
    assert any(alarm.kind == "halted" for alarm in quick[2])


def test_a_conflict_is_told_by_both_loops() -> None:
    """Cells are closed while units are under way: they enter them."""
    found = []
    for kind in (Loop, QuickLoop):
        warehouse = demo(seed=2)
        loop = kind(warehouse.cores)
        for _ in loop.run(60.0):
            pass
        assert warehouse.monitor.conflicts == 0
        checker, units = warehouse.monitor.checker, warehouse.building.units
        checker.keep_out(np.arange(0, 400, 3, np.int32), 60.0, np.zeros(units, np.float32))
        for _ in loop.run(60.0):
            pass
        found.append([alarm for alarm in warehouse.monitor.alarms if alarm.kind == "conflict"])
    assert found[0] == found[1] and found[0]


@pytest.fixture(scope="module")
def half_hour() -> Warehouse:
    warehouse = demo(seed=1)
    simulate(warehouse, 30.0)
    return warehouse


def test_no_conflict_and_no_unit_of_stock_lost(half_hour: Warehouse) -> None:
    assert half_hour.monitor.conflicts == 0, half_hour.monitor.alarms
    assert half_hour.inventory.audit() == []


def test_goods_flow_all_the_way(half_hour: Warehouse) -> None:
    figures = half_hour.monitor.figures()
    assert figures["pallets_lifted"] >= 2
    assert figures["units_stowed"] > 50
    assert figures["orders_shipped"] >= 0.6 * figures["orders_received"] > 10
    assert figures["order_to_ship_minutes"]["p50"] < 30.0


def test_shipped_pieces_are_the_ordered_pieces(half_hour: Warehouse) -> None:
    """What the ledger shipped is what the people scanned, order by order."""
    figures = half_hour.monitor.figures()
    assert figures["units_picked"] >= figures["lines_picked"] > 0
    assert figures["unit_utilisation"] > 0.1


def test_every_pod_ends_in_one_place(half_hour: Warehouse) -> None:
    class Places:
        consumes = (PodPlaces, FleetState)

        def __init__(self) -> None:
            self.cell: dict[int, int] = {}

        def step(self, now: float, inbox: Sequence[Message]) -> list[Message]:
            for message in inbox:
                if isinstance(message, PodPlaces):
                    self.cell.update(zip(message.pod.tolist(), message.cell.tolist(), strict=True))
            return []

    places = Places()
    warehouse = demo(seed=3)
    for _ in Loop((*warehouse.cores, places)).run(300.0):
        standing = [cell for cell in places.cell.values() if cell >= 0]
        assert len(standing) == len(set(standing))
    assert warehouse.monitor.conflicts == 0


@pytest.mark.parametrize("units", [2, 40])
def test_small_and_large_fleets_work_too(units: int) -> None:
    warehouse = demo(seed=5, units=units)
    simulate(warehouse, 10.0)
    assert warehouse.monitor.conflicts == 0
    assert warehouse.inventory.audit() == []
    assert warehouse.monitor.figures()["lines_picked"] > 0


class Visitor:
    """A person who goes into a zone when a unit drives there, and after a minute leaves it."""

    consumes = (KeepOuts, FleetState)

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self.entered = math.inf
        self.closed: list[tuple[float, set[int]]] = []
        self.speed: list[tuple[float, float]] = []  # s since the entry, highest speed in the zone
        self._next = list(ZoneEvent)

    def step(self, now: float, inbox: Sequence[Message]) -> list[Message]:
        speed = 0.0
        for message in inbox:
            if isinstance(message, KeepOuts):
                self.closed.append((message.stamp, set(message.cell.tolist())))
            elif isinstance(message, FleetState):
                inside = np.isin(message.cell, self.zone.cells)
                speed = float(message.speed[inside].max(initial=0.0))
        if self.entered > now and now > 60.0 and speed > 1.0:
            self.entered = now
        if now >= self.entered:
            self.speed.append((now - self.entered, speed))
        if self._next and now >= self.entered + (0.0, 60.0, 90.0)[self._next[0]] - 1e-6:
            event = self._next.pop(0)
            return [ZoneCommand(self.zone.name, event, np.zeros(0, np.int32))]
        return []


@pytest.mark.parametrize("kind", [Loop, QuickLoop])
def test_a_person_in_a_zone_stops_the_units_there_until_the_reset(kind: type[Loop]) -> None:
    warehouse = demo(seed=2)
    (zone,) = warehouse.building.zones
    visitor = Visitor(zone)
    loop = kind((*warehouse.cores, visitor))
    while visitor.entered > loop.now - 90.0:
        for _ in loop.run(10.0):
            pass
        assert loop.now < 600.0, "no unit came by"
    held = warehouse.monitor.figures()["lines_picked"]
    for _ in loop.run(240.0):
        pass
    assert warehouse.monitor.conflicts == 0, warehouse.monitor.alarms
    shut = [at - visitor.entered for at, cells in visitor.closed if cells]
    assert min(shut) < 0.3
    assert 88.5 < max(shut) < 90.3
    assert all(cells in (set(), set(zone.cells)) for _, cells in visitor.closed)
    assert max(speed for at, speed in visitor.speed if at < 1.0) > 0.5
    assert max(speed for at, speed in visitor.speed if 3.0 < at < 90.0) == 0.0
    assert [a.text for a in warehouse.monitor.alarms if a.kind == "zone"][-1].endswith("reset")
    assert warehouse.monitor.figures()["lines_picked"] > held
    assert warehouse.inventory.audit() == []
