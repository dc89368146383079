"""The embedded loop: every core of a site stepped in one process, as fast as it goes.

The same cores run behind ROS 2 nodes; here records go from outbox to inbox by reference. Equal
buildings and seeds give equal runs, bit for bit.

`Loop` steps every core at every step. `QuickLoop` leaves out what would do nothing: a core is
stepped when something has come in for it or its time has come (``due``), and what happens at every
step - units move, report, are planned for and given their next actions - is done in C until a unit
has something to tell. Both give the same run: every record that a core decides by is the same and
comes in the same order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from robo_stow.drive.motion import DriveUnits
from robo_stow.fulfilment.core import FulfilmentCore
from robo_stow.fulfilment.stations import PickStationCore, StowStationCore
from robo_stow.inventory.core import InventoryCore
from robo_stow.lifter.core import LifterCore
from robo_stow.messages import Core, FleetState, Message
from robo_stow.monitor import MonitorCore
from robo_stow.sim.plant import Plant
from robo_stow.span import CHANGED, CONFLICT, ENDED, FAILED, ODD, TICK, Span
from robo_stow.traffic.manager import TrafficManager
from robo_stow.warehouse import Warehouse

STEP = 0.1
"""Simulated seconds between steps (the fleet reports at 10 Hz)."""

_ROOMS = (
    *(Plant, LifterCore, PickStationCore, StowStationCore, InventoryCore, FulfilmentCore),
    *(TrafficManager, MonitorCore),
)

_C = TypeVar("_C")


class Loop:
    """Steps cores in a fixed order and delivers what each says to those that want it.

    A core may have ``hears(message)``, which tells of a record that it consumes whether this one is
    for it; the others are not delivered.
    """

    def __init__(self, cores: Sequence[Core], step: float = STEP) -> None:
        self._cores = tuple(cores)
        self._step = step
        self._inboxes: list[list[Message]] = [[] for _ in self._cores]
        self._readers: dict[type, list[tuple[int, Callable[[Any], bool] | None]]] = {}
        for index, core in enumerate(self._cores):
            for record in core.consumes:
                hears = getattr(core, "hears", None)
                self._readers.setdefault(record, []).append((index, hears))
        self.ticks = 0

    @property
    def now(self) -> float:
        """Simulated time of the last step, s."""
        return self.ticks * self._step

    def tick(self) -> None:
        """Advance the building by one step."""
        self.ticks += 1
        now = self.now
        for index, core in enumerate(self._cores):
            inbox, self._inboxes[index] = self._inboxes[index], []
            self._deliver(core.step(now, inbox))

    def run(self, seconds: float, every: float = 1.0) -> Iterator[float]:
        """Run for ``seconds`` of simulated time; yields the time (s) about ``every`` seconds."""
        end = self.ticks + round(seconds / self._step)
        stride = max(1, round(every / self._step))
        while self.ticks < end:
            self._advance(min(self.ticks + stride, end))
            yield self.now

    def _advance(self, end: int) -> None:
        while self.ticks < end:
            self.tick()

    def _deliver(self, said: list[Message]) -> None:
        for message in said:
            for reader, hears in self._readers.get(type(message), ()):
                if hears is None or hears(message):
                    self._inboxes[reader].append(message)


class QuickLoop(Loop):
    """A loop that steps a core only when it has something to do; same runs as `Loop`.

    Args:
        cores: with one `Plant` of `DriveUnits`, one `TrafficManager` and one `MonitorCore`. A core
            may have ``due``, the time (s) at which its step would do something although nothing
            has come in; one without is stepped every time. It changes with the core's own steps
            only, unless the core is a stranger here: not one of a `Warehouse`. A core that takes
            `FleetState` gets the newest one whenever it is stepped.
    """

    def __init__(self, cores: Sequence[Core], step: float = STEP) -> None:
        super().__init__(cores, step)
        self._plant, self._at_plant = _only(self._cores, Plant)
        self._traffic, self._at_traffic = _only(self._cores, TrafficManager)
        self._monitor, self._at_monitor = _only(self._cores, MonitorCore)
        assert isinstance(self._plant.units, DriveUnits)
        self._units = self._plant.units
        self._span = Span(self._units, self._plant.faults, self._traffic, self._monitor, step)
        self._strangers = [
            index for index, core in enumerate(self._cores) if not isinstance(core, _ROOMS)
        ]
        self._due: list[float] = []
        told_in_c = (self._at_traffic, self._at_monitor)
        self._watching = [
            index for index, _ in self._readers.get(FleetState, ()) if index not in told_in_c
        ]

    def _advance(self, end: int) -> None:
        while self.ticks < end:
            if self._traffic.running:
                if not self._due:
                    self._due = [_due(core) for core in self._cores]
                self._leap(end)
            else:
                self._due = []
                self.tick()
        # Whoever looks at the monitor now finds it as if it had been stepped every time.
        self._monitor.units.update(self._units.states(self.now))
        if self._monitor.now < self.now:
            self._deliver(self._monitor.step(self.now, []))
            self._due = []

    def _leap(self, end: int) -> None:
        """Go on to the next step in which a core has something to do."""
        step, inboxes, plant = self._step, self._inboxes, self._plant
        now = self.now
        due = self._due
        for index in self._strangers:
            due[index] = _due(self._cores[index])
        steps = 1
        if not any(inboxes):
            # Faults strike before the units move, all else comes after.
            first = min(*due, plant.faults.due - step)
            if first > now:
                steps = max(1, min(end - self.ticks, math.ceil((first - now) / step - 1e-6)))
        coming = (self.ticks + 1) * step
        heard: list[Message] = []
        taken = inboxes[self._at_plant]
        struck = plant.faults.due <= coming
        if taken or struck:
            inboxes[self._at_plant] = []
            heard = plant.intake(coming, taken)
        ran, told = self._span.run(self.ticks, steps)
        self.ticks += ran
        now = self.now
        if told & FAILED:
            heard += plant.failed(now, self._units.failures())
        state: FleetState | None = None
        place: dict[int, int] = {}  # of the state among what the others hear
        for index, core in enumerate(self._cores):
            awake = bool(inboxes[index]) or due[index] <= now + 1e-6
            if index == self._at_plant:
                self._deliver(heard)
                place = {reader: len(inboxes[reader]) for reader in self._watching}
                if taken or struck or awake:
                    self._deliver(plant.attend(now))
                    due[index] = plant.due
                continue
            if index == self._at_traffic and told & (ENDED | CHANGED | ODD | TICK):
                awake = True
                if told & (CHANGED | ODD):
                    state = state or self._units.states(now)
                    changed = bool(told & CHANGED)
                    self._traffic.look(now, state, self._span.verdict, changed)
            if index == self._at_monitor:
                if told & CONFLICT:
                    self._deliver(list(self._monitor.seen(now)))
                before = (self.ticks - 1) * step
                if awake and self._monitor.now < before:
                    self._monitor.step(before, [])  # until then all was as it had been
            if not awake:
                continue
            inbox, inboxes[index] = inboxes[index], []
            if index in place:
                state = state or self._units.states(now)
                inbox.insert(place[index], state)
            self._deliver(core.step(now, inbox))
            due[index] = _due(core)


def _due(core: Core) -> float:
    return getattr(core, "due", -math.inf)


def _only(cores: Sequence[object], kind: type[_C]) -> tuple[_C, int]:
    found = [(core, index) for index, core in enumerate(cores) if isinstance(core, kind)]
    if len(found) != 1:
        raise ValueError(f"{len(found)} cores of type {kind.__name__}, not one")
    return found[0]


def quickest_loop(cores: Sequence[Core]) -> Loop:
    """A `QuickLoop` where the plant allows it, else a `Loop`."""
    embedded = any(isinstance(c, Plant) and isinstance(c.units, DriveUnits) for c in cores)
    return QuickLoop(cores) if embedded else Loop(cores)


def simulate(
    warehouse: Warehouse,
    minutes: float,
    progress: Callable[[float], None] | None = None,
) -> None:
    """Run ``warehouse`` for ``minutes`` of simulated time.

    Args:
        progress: called about once a simulated second with the simulated time (s).
    """
    for now in quickest_loop(warehouse.cores).run(minutes * 60.0):
        if progress is not None:
            progress(now)
