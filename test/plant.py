"""A small plant: units at random paces, messages lost, late and twice; fails when units meet."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from robo_stow.floor.building import Building, CellKind, Grid
from robo_stow.floor.load import load_building
from robo_stow.messages import (
    Alarm,
    ErrandReports,
    ErrandResult,
    Errands,
    FleetState,
    KeepOuts,
    Load,
    Message,
    Operation,
    PodPlaces,
    PodRegister,
    Release,
    UnitStatus,
    ZoneCommand,
    ZoneEvent,
)
from robo_stow.traffic.checker import Checker
from robo_stow.traffic.manager import TrafficManager

FORWARD, CW, CCW, LIFT, LOWER, CHARGE, FACE = 0, 1, 2, 4, 5, 6, 8
NONE = int(Operation.NONE)
STEP = 0.2
ATTEMPTS = 20

Order = tuple[int, int, int, int, float, float]
"""Number, goal, operation, hold, priority, due of an errand."""

HALL = """
>>>>>+>>>>v
^SSSSvSSSSv
^SSSSvSSSSv
^<<<<+<<<<+
^SSSSvSSSSv
^SSSSvSSSSv
^<<<<+<<<<<
##C####P###
"""
OPEN = """
..........
..........
..SS..SS..
..SS..SS..
..........
....C..P..
"""
KINDS = {
    **dict.fromkeys(".+>v<^", CellKind.TRAVEL),
    "#": CellKind.WALL,
    "S": CellKind.STORAGE,
    "C": CellKind.CHARGER,
    "P": CellKind.STATION,
}


def make_grid(drawing: str) -> Grid:
    """Arrows are one-way; from anywhere but a wall one may turn off into what is no aisle."""
    rows = drawing.strip().splitlines()
    letters = "".join(rows)
    height, width = len(rows), len(rows[0])
    kind = np.array([KINDS[letter] for letter in letters], np.uint8)
    exits = np.zeros(width * height, np.uint8)
    grid = Grid(width, height, 1.0, kind, exits, np.zeros(width * height, np.float32))
    for cell in np.flatnonzero(kind != CellKind.WALL).tolist():
        for heading in range(4):
            ahead = grid.neighbour(cell, heading)
            if ahead < 0 or kind[ahead] == CellKind.WALL:
                continue
            with_flow = letters[cell] not in ">v<^" or ">v<^"[heading] == letters[cell]
            against = letters[ahead] == "<^>v"[heading] and kind[cell] == CellKind.TRAVEL
            if kind[ahead] != CellKind.TRAVEL or (with_flow and not against):
                exits[cell] |= 1 << heading
    return grid


def make_building(units: int, pods: int, drawing: str = HALL) -> Building:
    return dataclasses.replace(
        load_building("demo"),
        grid=make_grid(drawing),
        units=units,
        pods=pods,
        stations=(),
        lifters=(),
        chargers=(),
    )


@dataclass
class Unit:
    """A unit that follows releases as `Release` documents."""

    cell: int
    heading: int
    epoch: int = 0
    done: int = 0
    base: list[tuple[int, int]] = field(default_factory=list)  # action, cell
    under_way: int = 0  # steps that the action has taken
    load: int = Load.NONE
    pod: int = -1
    status: int = UnitStatus.OK
    mute: bool = False

    def take(self, epoch: int, first: int, origin: int, actions: list[tuple[int, int]]) -> None:
        if epoch < self.epoch:
            return
        known = len(self.base) if epoch == self.epoch else 0
        if epoch > self.epoch and (self.done != len(self.base) or origin != self.cell):
            return
        if first > known:
            return
        old, new = actions[: known - first], actions[known - first :]
        end = self.base[-1][1] if self.base else self.cell
        if epoch > self.epoch:
            end = self.cell
        if new and (old[-1][1] if old else origin) != end:
            return
        if epoch > self.epoch:
            self.epoch, self.done, self.base = epoch, 0, []
        self.base += new


class Plant:
    """Units, pods and links. Fails as soon as anything touches that must not."""

    def __init__(
        self,
        building: Building,
        seed: int = 0,
        *,
        loss: float = 0.0,
        pace: float = 0.6,
        cells: Sequence[int] | None = None,
    ) -> None:
        self.building = building
        self.rng = random.Random(seed)
        self.loss = loss
        self.pace = pace
        self.now = 0.0
        storage = np.flatnonzero(building.grid.kind == CellKind.STORAGE).tolist()
        self.pod_at = dict(
            zip(self.rng.sample(storage, building.pods), range(building.pods), strict=False)
        )
        floor = np.flatnonzero(building.grid.kind != CellKind.WALL).tolist()
        start = cells if cells is not None else self.rng.sample(floor, building.units)
        self.units = [Unit(cell, self.rng.randrange(4)) for cell in start]
        self.results: dict[tuple[int, int], int] = {}
        self.alarms: list[Alarm] = []
        self.places: list[tuple[int, int]] = []
        self.sent: list[Message] = []
        self.in_flight: list[Release] = []
        self.reports: list[FleetState] = []
        self.number = [0] * building.units
        self.orders: dict[int, Order] = {}
        self.register = {pod: cell for cell, pod in self.pod_at.items()}
        self.booked: list[int] = []  # pods whose new place is to be told
        self.cargo: dict[int, int] = {}  # unit -> pod it is to set down
        self.told: dict[int, int] = {}  # pod -> cell, as the manager says
        self.closed: set[int] = set()
        self.checker = Checker(building)
        self.known_end: dict[tuple[int, int], int] = {}  # epoch, unit -> actions sent

    # --- what the units do -----------------------------------------------------------------

    def work(self) -> None:
        for number, unit in enumerate(self.units):
            if unit.status >= UnitStatus.STOPPED or unit.done == len(unit.base):
                continue
            if self.closed & {unit.cell, *(cell for _, cell in unit.base[unit.done :])}:
                continue
            unit.under_way += 1
            if unit.under_way > 1 and self.rng.random() < self.pace:
                self.complete(number, unit)
        taken: dict[int, int] = {}
        for number, unit in enumerate(self.units):
            for cell in self.cells(unit):
                assert cell not in taken, f"units {number} and {taken[cell]} meet in cell {cell}"
                taken[cell] = number
                if unit.load != Load.NONE:
                    assert cell not in self.pod_at, f"unit {number} runs into a pod in {cell}"

    def watch(self) -> None:
        """The independent checker, with what is so and not what is reported."""
        places = np.full(self.building.pods, -1, np.int32)
        for cell, pod in self.pod_at.items():
            places[pod] = cell
        placed = [number for number, unit in enumerate(self.units) if unit.cell >= 0]
        if len(placed) < len(self.units):
            self.checker = Checker(self.building)  # it would remember where they stood
        muted = [unit for unit in self.units if unit.mute]
        for unit in muted:
            unit.mute = False
        found = self.checker.check(self.state(placed), places)
        assert [alarm.text for alarm in found] == []
        for unit in muted:
            unit.mute = True

    def cells(self, unit: Unit) -> set[int]:
        driving = unit.under_way and unit.base[unit.done][0] == FORWARD
        return {unit.cell, unit.base[unit.done][1]} if driving else {unit.cell}

    def complete(self, number: int, unit: Unit) -> None:
        action, cell = unit.base[unit.done]
        if action == FORWARD:
            grid = self.building.grid
            assert grid.exits[unit.cell] >> unit.heading & 1
            unit.cell = grid.neighbour(unit.cell, unit.heading)
        elif action in (CW, CCW):
            unit.heading = (unit.heading + (1 if action == CW else 3)) % 4
        elif action == LIFT:
            assert unit.load == Load.NONE
            unit.load, unit.pod = Load.POD, self.pod_at.pop(cell)
        elif action == LOWER:
            assert unit.load == Load.POD
            assert cell not in self.pod_at
            self.pod_at[cell] = unit.pod
            unit.load, unit.pod = Load.NONE, -1
        elif action >= FACE:
            assert unit.load == Load.POD
        assert unit.cell == cell
        unit.done += 1
        unit.under_way = 0

    def state(self, which: Iterable[int] | None = None) -> FleetState:
        some = list(range(len(self.units))) if which is None else list(which)
        some = [i for i in some if not self.units[i].mute]
        units = [self.units[i] for i in some]
        x, y = self.building.grid.xy(np.array([u.cell for u in units], np.int32))
        zeros = np.zeros(len(units), np.float32)
        return FleetState(
            stamp=self.now,
            unit=np.array(some, np.int32),
            epoch=np.array([u.epoch for u in units], np.uint32),
            done=np.array([u.done for u in units], np.uint32),
            released=np.array([len(u.base) for u in units], np.uint32),
            cell=np.array([u.cell for u in units], np.int32),
            heading=np.array([u.heading for u in units], np.uint8),
            x=x.astype(np.float32),
            y=y.astype(np.float32),
            yaw=zeros,
            speed=zeros,
            load=np.array([u.load for u in units], np.uint8),
            load_id=np.array([u.pod for u in units], np.int32),
            battery=np.ones(len(units), np.float32),
            status=np.array([u.status for u in units], np.uint8),
        )

    def pods(self, which: Iterable[int] | None = None) -> PodRegister:
        """What the inventory knows: where pods were set down with a report of it."""
        some = list(self.register) if which is None else list(which)
        cells = [self.register[pod] for pod in some]
        return PodRegister(self.now, np.array(some, np.int32), np.array(cells, np.int32))

    # --- one step of everything ------------------------------------------------------------

    def step(self, manager: TrafficManager, extra: Sequence[Message] = ()) -> list[Message]:
        self.now += STEP
        self.work()
        self.watch()
        rng = self.rng
        if self.loss:
            parts = [
                self.state(i for i in range(len(self.units)) if rng.random() > self.loss)
                for _ in range(2)
            ]
            self.reports = [*self.reports[-4:], *parts]
            inbox: list[Message] = rng.sample(self.reports, len(self.reports) // 2)
        else:
            inbox = [self.state()]
        if self.orders and (not self.loss or rng.random() > self.loss):
            inbox.append(self.errands())
        if self.booked:
            inbox.append(self.pods(self.booked))
            self.booked = []
        out = manager.step(self.now, [*inbox, *extra])
        # What is closed or open from this step on, first: releases of the step must heed it.
        for message in sorted(out, key=lambda said: not isinstance(said, KeepOuts)):
            if isinstance(message, Release):
                self.in_flight.append(message)
                self.note(message)
            elif isinstance(message, KeepOuts):
                self.closed = set(message.cell.tolist())
                speed = np.zeros(len(self.units), np.float32)
                self.checker.keep_out(message.cell, self.now, speed)
            elif isinstance(message, Alarm):
                self.alarms.append(message)
            elif isinstance(message, PodPlaces):
                self.places += zip(message.pod.tolist(), message.cell.tolist(), strict=True)
                self.told.update(self.places)
            elif isinstance(message, ErrandReports) and not (rng.random() < self.loss):
                for unit, errand, result in zip(
                    message.unit.tolist(),
                    message.errand.tolist(),
                    message.result.tolist(),
                    strict=True,
                ):
                    self.results[unit, errand] = result
                    if unit in self.orders and self.number[unit] == errand:
                        self.settle(unit, self.orders.pop(unit), result)
        self.sent += out
        if self.loss:
            delivered = rng.sample(self.in_flight, min(2, len(self.in_flight)))
            self.in_flight = self.in_flight[-6:]
        else:
            delivered, self.in_flight = self.in_flight, []
        for release in delivered:
            self.deliver(release)
        return out

    def note(self, release: Release) -> None:
        """What is released for the first time must not lead into a closed cell."""
        ends = np.cumsum(release.count)
        for i, unit in enumerate(release.unit.tolist()):
            key = (release.epoch, unit)
            first, count = int(release.first[i]), int(release.count[i])
            known = self.known_end.get(key, 0)
            cells = release.cell[ends[i] - count : ends[i]].tolist()
            for cell in cells[max(0, known - first) :]:
                assert cell not in self.closed, f"unit {unit} is sent into closed cell {cell}"
            self.known_end[key] = max(known, first + count)

    def deliver(self, release: Release) -> None:
        at = 0
        for i, unit in enumerate(release.unit.tolist()):
            end = at + int(release.count[i])
            actions = list(
                zip(release.action[at:end].tolist(), release.cell[at:end].tolist(), strict=True)
            )
            if not self.units[unit].mute:
                self.units[unit].take(
                    release.epoch, int(release.first[i]), int(release.origin[i]), actions
                )
            at = end

    # --- what fulfilment does ----------------------------------------------------------------

    def order(
        self,
        unit: int,
        goal: int,
        operation: int = NONE,
        hold: int = 0,
        priority: float = 1.0,
        due: float = math.inf,
    ) -> int:
        """Give an errand; it is repeated in every step until answered. Returns its number."""
        self.number[unit] += 1
        self.orders[unit] = (self.number[unit], goal, operation, hold, priority, due)
        self.cargo[unit] = self.units[unit].pod
        return self.number[unit]

    def settle(
        self, unit: int, order: tuple[int, int, int, int, float, float], result: int
    ) -> None:
        if order[2] == LOWER and result == ErrandResult.DONE:
            self.register[self.cargo[unit]] = self.told[self.cargo[unit]] = order[1]
            self.booked.append(self.cargo[unit])

    def errands(self) -> Errands:
        rows = [(unit, *order) for unit, order in self.orders.items()]
        unit, number, goal, operation, hold, priority, due = zip(*rows, strict=True)
        return Errands(
            self.now,
            np.array(unit, np.int32),
            np.array(number, np.uint32),
            np.array(goal, np.int32),
            np.array(operation, np.uint8),
            np.array(hold, np.uint8),
            np.array(priority, np.float32),
            np.array(due, np.float64),
        )

    def run(self, manager: TrafficManager, seconds: float, until: bool = True) -> None:
        """Step until all errands are answered, or for ``seconds``."""
        end = self.now + seconds
        while self.now < end and not (until and not self.orders):
            self.step(manager)

    def start(self, seed: int = 0) -> TrafficManager:
        manager = TrafficManager(self.building, seed, iterations=ATTEMPTS)
        for _ in range(500):
            self.step(manager, [self.pods()])
            if manager.running:
                return manager
        raise AssertionError("the manager does not start")

    def kinds(self) -> list[str]:
        return [alarm.kind for alarm in self.alarms]


def cell_of(building: Building, kind: CellKind) -> int:
    return int(np.flatnonzero(building.grid.kind == kind)[0])


def trip(plant: Plant, busy: set[int], unit: int) -> None:
    """Give a unit that has no errand a next one that makes sense."""
    building, rng, this = plant.building, plant.rng, plant.units[unit]
    storage = np.flatnonzero(building.grid.kind == CellKind.STORAGE).tolist()
    if this.load == Load.NONE:
        due = {plant.cargo[u] for u, order in plant.orders.items() if order[2] == LOWER}
        choice = [c for p, c in plant.told.items() if c >= 0 and c not in busy and p not in due]
        operation, hold = LIFT, rng.randrange(2)
    elif rng.random() < 0.5:
        choice, operation, hold = [cell_of(building, CellKind.STATION)], FACE + rng.randrange(4), 1
    else:
        choice = [c for c in storage if c not in plant.told.values() and c not in busy]
        operation, hold = LOWER, 0
    choice = [c for c in choice if c not in {o[1] for o in plant.orders.values()}]
    standing = {other.cell for other in plant.units if other is not this}
    choice = [c for c in choice if operation == LIFT or c not in standing]
    if choice:
        goal = rng.choice(choice)
        busy.add(goal)
        plant.order(unit, goal, operation, hold, rng.random())


def operate(plant: Plant, manager: TrafficManager, steps: int, sit_out: Iterable[int] = ()) -> int:
    """Random pod trips for all units; returns how many errands were done."""
    idle = set(sit_out)
    for _ in range(steps):
        busy = {order[1] for order in plant.orders.values()}
        for unit in range(len(plant.units)):
            if unit not in plant.orders and unit not in idle:
                trip(plant, busy, unit)
        plant.step(manager)
    return sum(result == ErrandResult.DONE for result in plant.results.values())


def zone(event: ZoneEvent, *cells: int, name: str = "gate") -> ZoneCommand:
    return ZoneCommand(name, event, np.array(cells, np.int32))
