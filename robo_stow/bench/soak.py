"""A day of traffic in which everything goes wrong: does anybody meet, does anybody wait for ever?

Units carry pods to stations and back, at random. Moves start late, units stop and break down, the
traffic manager is killed and started again, zones are closed, and every message between manager,
units and whoever gives the errands may be lost, come twice, late, out of order, or be an old one
again; now and then nothing comes through at all. Motion is that of `DriveUnits`, conflicts are
found by the independent checker in the units' true states.

Told reliably are only the places of pods and the closed zones. Batteries do not run down.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from robo_stow.drive.motion import DriveUnits
from robo_stow.floor.building import Building, CellKind, FaultSpec
from robo_stow.floor.start import pod_cells, unit_cells
from robo_stow.messages import (
    I32,
    Alarm,
    ErrandReports,
    ErrandResult,
    Errands,
    FleetState,
    KeepOuts,
    Load,
    Message,
    Operation,
    PodRegister,
    Release,
    UnitReset,
    UnitStatus,
    ZoneCommand,
    ZoneEvent,
)
from robo_stow.sim.faults import Faults
from robo_stow.traffic.checker import Checker
from robo_stow.traffic.manager import TrafficManager

STEP = 0.1
"""s between steps."""


@dataclass(frozen=True)
class Troubles:
    """What goes wrong; mean times between two of a kind are exponential."""

    late_share: float = 0.05  # share of moves that start late
    late_seconds: float = 2.0  # mean of how much
    lost: float = 0.05  # share of messages
    twice: float = 0.05
    late: float = 0.1  # by up to 2 s, so that others overtake
    stale: float = 0.01  # again after 10 to 100 s
    stop_every: float = 600.0  # s between emergency stops of some unit, of 20 to 200 s
    death_every: float = 3600.0  # s between breakdowns of some unit, of 300 to 1200 s
    silence_every: float = 5400.0  # s between times in which no message comes through, 10 to 100 s
    restart_every: float = 10800.0  # s between losses of the traffic manager, for 2 to 20 s
    zone_every: float = 7200.0  # s between closings of a part of the floor, for 60 to 300 s


class _Link:
    """Messages of one direction on their way."""

    def __init__(self, troubles: Troubles, rng: np.random.Generator) -> None:
        self._troubles = troubles
        self._rng = rng
        self._flying: list[tuple[float, int, Message]] = []
        self._sent = 0
        self.lost = 0
        self.up = True

    def send(self, now: float, message: Message) -> None:
        trouble, draw = self._troubles, self._rng.random(4)
        self._sent += 1
        if not self.up or draw[0] < trouble.lost:
            self.lost += 1
            return
        late = self._rng.uniform(0.0, 2.0) if draw[1] < trouble.late else 0.0
        self._push(now + late, message)
        if draw[2] < trouble.twice:
            self._push(now + self._rng.uniform(0.0, 2.0), message)
        if draw[3] < trouble.stale:
            self._push(now + self._rng.uniform(10.0, 100.0), message)

    def _push(self, at: float, message: Message) -> None:
        self._sent += 1
        heapq.heappush(self._flying, (at, self._sent, message))

    def receive(self, now: float) -> list[Message]:
        out = []
        while self._flying and self._flying[0][0] <= now:
            message = heapq.heappop(self._flying)[2]
            if self.up:
                out.append(message)
            else:
                self.lost += 1
        return out


class Shuttle:
    """Gives every unit pods to carry: to a station, and back to a free place."""

    AGAIN = 2.0
    """s after which what is not answered is said again."""

    def __init__(self, building: Building, rng: np.random.Generator) -> None:
        self._rng = rng
        self._stations = [(s.cell, len(s.queue)) for s in building.stations]
        self._storage = np.flatnonzero(building.grid.kind == CellKind.STORAGE)
        self._number = 0
        self._next = 0.0
        self._served = np.zeros(building.units, np.bool_)  # its pod has been at a station
        self.open: dict[int, tuple[int, int, int, int, float]] = {}
        self.ended: Counter[ErrandResult] = Counter()
        self.longest = 0.0
        """s, the longest time an errand was open."""

    def answer(self, now: float, reports: ErrandReports) -> None:
        for unit, number, result in zip(
            reports.unit.tolist(), reports.errand.tolist(), reports.result.tolist(), strict=True
        ):
            if unit in self.open and self.open[unit][0] == number:
                _, _, operation, _, since = self.open.pop(unit)
                self.ended[ErrandResult(result)] += 1
                self.longest = max(self.longest, now - since)
                self._served[unit] = operation >= Operation.FACE

    def step(self, now: float, units: DriveUnits, places: I32) -> Errands | None:
        fresh = False
        for unit in range(units.n):
            if unit not in self.open:
                chosen = self._choose(unit, units, places)
                if chosen is not None:
                    self._number += 1
                    self.open[unit] = (self._number, *chosen, now)
                    fresh = True
        if not fresh and now < self._next:
            return None
        self._next = now + self.AGAIN
        rows = [(unit, *errand[:4]) for unit, errand in self.open.items()]
        units_, number, goal, operation, hold = zip(*rows, strict=True)
        return Errands(
            now,
            np.array(units_, np.int32),
            np.array(number, np.uint32),
            np.array(goal, np.int32),
            np.array(operation, np.uint8),
            np.array(hold, np.uint8),
            np.ones(len(rows), np.float32),
            np.full(len(rows), np.inf),
        )

    def _choose(self, unit: int, units: DriveUnits, places: I32) -> tuple[int, int, int] | None:
        """Goal, operation, hold."""
        goals = {errand[1] for errand in self.open.values()}
        if units.load[unit] == Load.NONE:
            standing = places[places >= 0]
            choice = standing[~np.isin(standing, list(goals))]
            return (int(self._rng.choice(choice)), Operation.LIFT, 0) if len(choice) else None
        if not self._served[unit]:
            bound = Counter(errand[1] for errand in self.open.values())
            room = [cell for cell, queue in self._stations if bound[cell] <= queue]
            if room:
                return int(self._rng.choice(room)), Operation.FACE + int(self._rng.integers(4)), 1
        taken = {*goals, *places[places >= 0].tolist()}
        free = self._storage[~np.isin(self._storage, list(taken))]
        return (int(self._rng.choice(free)), Operation.LOWER, 0) if len(free) else None


@dataclass
class _Waits:
    """How long units that could work have completed nothing."""

    moved: np.ndarray
    done: np.ndarray
    longest: float = 0.0
    longest_undisturbed: float = 0.0  # while nothing had been stopped, broken, silent or closed

    def look(self, now: float, units: DriveUnits, busy: Iterable[int], quiet_since: float) -> None:
        """``quiet_since``: time (s) since when nothing is wrong but late moves and messages."""
        waits = np.zeros(units.n, np.bool_)
        waits[list(busy)] = True
        waits &= (units.done == self.done) & (units.status == UnitStatus.OK)
        self.moved[~waits] = now
        self.done = units.done.copy()
        since = float(self.moved.min())
        self.longest = max(self.longest, now - since)
        self.longest_undisturbed = max(self.longest_undisturbed, now - max(since, quiet_since))


@dataclass
class _Agenda:
    """Troubles to come, in order of time."""

    events: list[tuple[float, int, Callable[[float], None]]] = field(default_factory=list)
    count: int = 0

    def at(self, time: float, act: Callable[[float], None]) -> None:
        self.count += 1
        heapq.heappush(self.events, (time, self.count, act))

    def run(self, now: float) -> None:
        while self.events and self.events[0][0] <= now:
            heapq.heappop(self.events)[2](now)


class Soak:
    """A floor with its troubles.

    Args:
        building: the site; its faults and batteries are replaced.
        seed: of everything.
        troubles: what goes wrong.
        iterations: improvement attempts of the planner in each tick.
    """

    def __init__(
        self, building: Building, seed: int, troubles: Troubles, *, iterations: int = 50
    ) -> None:
        self._building = replace(building, drive=replace(building.drive, battery=1e6))
        self._rng = np.random.default_rng([seed, 0x50AC])
        self._seed = seed
        self._iterations = iterations
        cells, headings = unit_cells(building, seed)
        places = pod_cells(building, seed)
        self._units = DriveUnits(
            self._building.drive,
            building.grid,
            building.units,
            cells,
            headings,
            pod_cell=places,
        )
        self._pods = building.pods
        self._faults = Faults(FaultSpec(troubles.late_share, troubles.late_seconds), seed)
        self._up = _Link(troubles, self._rng)
        self._down = _Link(troubles, self._rng)
        self._checker = Checker(self._building)
        self._shuttle = Shuttle(self._building, self._rng)
        self._waits = _Waits(np.zeros(building.units), self._units.done.copy())
        self._manager: TrafficManager | None = self._new_manager(None)
        self._closed: KeepOuts | None = None
        self._agenda = _Agenda()
        self._wrong = 0  # troubles under way
        self._quiet_since = 0.0
        self._flow_again: float | None = None
        self._recoveries: list[float] = []
        self._counts: Counter[str] = Counter()
        self._alarms: Counter[str] = Counter()
        self._commands: list[Message] = []
        self.now = 0.0
        for every, begin in (
            (troubles.stop_every, self._stop),
            (troubles.death_every, self._kill),
            (troubles.silence_every, self._silence),
            (troubles.restart_every, self._lose_manager),
            (troubles.zone_every, self._close_zone),
        ):
            self._plan(0.0, every, begin)

    def _new_manager(self, closed: KeepOuts | None) -> TrafficManager:
        return TrafficManager(
            self._building, self._seed, iterations=self._iterations, closed=closed
        )

    # --- troubles ------------------------------------------------------------------------------

    def _plan(self, now: float, every: float, begin: Callable[[float], float]) -> None:
        def act(at: float) -> None:
            self._wrong += 1
            self._agenda.at(at + begin(at), self._over)
            self._plan(at, every, begin)

        self._agenda.at(now + self._rng.exponential(every), act)

    def _over(self, now: float) -> None:
        self._wrong -= 1
        self._quiet_since = now

    def _fault(self, now: float, kind: str, seconds: float) -> float:
        unit = int(self._rng.integers(self._units.n))
        self._faults.schedule(now, kind, unit)
        self._faults.schedule(now + seconds, "reset", unit)
        self._counts[kind] += 1
        return seconds

    def _stop(self, now: float) -> float:
        return self._fault(now, "stop", self._rng.uniform(20.0, 200.0))

    def _kill(self, now: float) -> float:
        return self._fault(now, "kill", self._rng.uniform(300.0, 1200.0))

    def _silence(self, now: float) -> float:
        def end(at: float) -> None:
            self._up.up = self._down.up = True
            self._flow_again = at

        seconds = float(self._rng.uniform(10.0, 100.0))
        self._up.up = self._down.up = False
        self._agenda.at(now + seconds, end)
        self._counts["silence"] += 1
        return seconds

    def _lose_manager(self, now: float) -> float:
        def start(at: float) -> None:
            self._manager = self._new_manager(self._closed)
            self._flow_again = at

        seconds = float(self._rng.uniform(2.0, 20.0))
        self._manager = None
        self._agenda.at(now + seconds, start)
        self._counts["restart"] += 1
        return seconds

    def _close_zone(self, now: float) -> float:
        grid = self._building.grid
        seconds = float(self._rng.uniform(60.0, 300.0))
        name = f"zone {self._counts['zone']}"
        row = int(self._rng.integers(grid.height - 4))
        column = int(self._rng.integers(grid.width - 4))
        index = np.arange(grid.cells, dtype=np.int32).reshape(grid.height, grid.width)
        cells = index[row : row + 4, column : column + 4].ravel()
        if not (grid.kind[cells] != CellKind.WALL).any():
            return 0.0
        self._counts["zone"] += 1
        none = np.zeros(0, np.int32)
        self._commands.append(ZoneCommand(name, ZoneEvent.ENTERED, cells))

        def leave(at: float) -> None:
            self._commands.append(ZoneCommand(name, ZoneEvent.LEFT, none))
            self._commands.append(ZoneCommand(name, ZoneEvent.RESET, none))

        self._agenda.at(now + seconds, leave)
        return seconds

    # --- time ----------------------------------------------------------------------------------

    def step(self) -> None:
        """Go on by `STEP`."""
        self.now = now = self.now + STEP
        units = self._units
        self._agenda.run(now)
        self._faults.strike(now, units)
        units.step(STEP)
        state = units.states(now)
        places = np.full(self._pods, -1, np.int32)
        standing = np.flatnonzero(units.pod_at >= 0)
        places[units.pod_at[standing]] = standing
        self._checker.check(state, places)
        half = units.n // 2
        for part in (slice(0, half), slice(half, units.n)):  # each may be lost alone
            self._up.send(now, _part(state, part))
        errands = self._shuttle.step(now, units, places)
        if errands is not None:
            self._up.send(now, errands)
        self._manage(now, places)
        for message in self._down.receive(now):
            if isinstance(message, Release):
                self._faults.hesitate(message, units.take(message), units)
            elif isinstance(message, ErrandReports):
                self._note_recovery(now)
                self._shuttle.answer(now, message)
        quiet = self._quiet_since if not self._wrong else now
        self._waits.look(now, units, self._shuttle.open, quiet)

    def _manage(self, now: float, places: I32) -> None:
        inbox = self._up.receive(now)
        if self._manager is None:
            return
        if not self._manager.running:
            inbox.append(PodRegister(now, np.arange(self._pods, dtype=np.int32), places))
        commands, self._commands = self._commands, []
        for message in self._manager.step(now, [*inbox, *commands]):
            if isinstance(message, KeepOuts):
                self._closed = message
                self._units.keep_out(message.cell)
                self._checker.keep_out(message.cell, now, self._units.states(now).speed)
            elif isinstance(message, Alarm):
                self._alarms[message.kind] += 1
                if message.kind == "fenced":
                    unit = int(message.text.split()[0].removeprefix("unit_"))
                    self._agenda.at(now + 60.0, partial(self._trust, unit))
            elif isinstance(message, (Release, ErrandReports)):
                self._down.send(now, message)

    def _trust(self, unit: int, now: float) -> None:
        self._commands.append(UnitReset(unit))

    def _note_recovery(self, now: float) -> None:
        if self._flow_again is not None and self._up.up and self._manager is not None:
            self._recoveries.append(now - self._flow_again)
            self._flow_again = None

    def figures(self) -> dict[str, Any]:
        """What has happened so far."""
        ended = self._shuttle.ended
        return {
            "building": self._building.name,
            "units": self._units.n,
            "seed": self._seed,
            "hours": round(self.now / 3600.0, 3),
            "conflicts": self._checker.conflicts,
            "errands_done": ended[ErrandResult.DONE],
            "errands_rejected": ended[ErrandResult.REJECTED],
            "longest_errand_s": round(self._shuttle.longest, 1),
            "longest_wait_s": round(self._waits.longest, 1),
            "longest_wait_undisturbed_s": round(self._waits.longest_undisturbed, 1),
            "longest_recovery_s": round(max(self._recoveries, default=0.0), 1),
            "messages_lost": self._up.lost + self._down.lost,
            "injected": dict(sorted(self._counts.items())),
            "alarms": dict(sorted(self._alarms.items())),
        }


def _part(state: FleetState, part: slice) -> FleetState:
    values = {name: getattr(state, name) for name in FleetState.__slots__ if name != "stamp"}
    return FleetState(state.stamp, **{name: array[part] for name, array in values.items()})
