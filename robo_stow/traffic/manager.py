"""Traffic manager: errands in, released actions out.

Every ``traffic.tick`` seconds the planner chooses one joint step from where all units are planned
to be; the execution graph queues it and releases what the units' reports allow. Units may be late
by any amount, stop, die or fall silent: others wait for them or drive round them, and never meet
them. A unit whose reports cannot be true is *fenced*: it gets nothing more, its cells stay closed.

It gets its errands again when a person has reset it. A zone that a person has entered is closed:
units in it and on their way into it stand until somebody has reset it.

How a fleet is taken over at the start, also after a crash in the middle of operation, is in
`robo_stow.traffic.startup`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import IntEnum
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from robo_stow.floor.building import Building, CellKind
from robo_stow.messages import (
    I32,
    U8,
    Alarm,
    Confirmation,
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
    UnitReset,
    UnitStatus,
    ZoneCommand,
    ZoneEvent,
)
from robo_stow.traffic.execution import ExecutionGraph, PlanError, Verdict
from robo_stow.traffic.planner import Planner
from robo_stow.traffic.pods import PodMap
from robo_stow.traffic.routes import Routes
from robo_stow.traffic.startup import AGAIN, GRACE, StartUp
from robo_stow.traffic.tick import Tick
from robo_stow.traffic.zones import Zones

Bools = NDArray[np.bool_]

KEEP_OUT_PERIOD = 1.0
"""s after which closed zones are told again, while there are any and some time after."""

OPEN_REPEATS = 10
"""Times that it is told again that no zone is closed."""

SILENCE = 10.0
"""s by which a unit's newest state may be older than the fleet's before others drive round it."""

STEP_BACK = 1.0
"""s by which time must go back for the fleet to be taken over anew; less is waited for."""

ATTEMPTS_PER_SECOND = 200_000
"""Improvement attempts of the planner that count as one second of ``traffic.budget``.

A number of attempts, not the time they take: plans must not depend on the machine's speed.
"""

UNDER_WAY = 8.0
"""Added to the priority of errands, so that units without one are no reason not to get there.

The planner weighs a unit's time by its priority, 0 to 15; resting units have 0.
"""

TOP_PRIORITY = 15.0 - UNDER_WAY
"""Largest priority of an errand that the planner tells apart."""

_WORKPLACES = (CellKind.STATION, CellKind.HANDOFF, CellKind.PALLET, CellKind.CHARGER)
_PLANNER_SALT = 301
_NEVER = np.uint32(0xFFFFFFFF)
_FACES = 4


class _Phase(IntEnum):
    """How far a unit is with its errand."""

    NONE = 0  # no errand so far
    GOING = 1
    ARRIVED = 2  # planned to be at the goal, operation queued, not all of it reported done
    ENDED = 3


class _Errand(NamedTuple):
    number: int
    goal: int
    operation: int
    hold: bool
    priority: float
    due: float


class Watched(NamedTuple):
    """What the embedded loop reads and writes in place of the manager."""

    graph: ExecutionGraph
    tick: Tick
    end: NDArray[np.uint32]  # [units] actions done at which the errand ends
    load: U8  # [units] as last reported
    load_id: I32
    status: U8


class TrafficManager:
    """Plans and releases the way of every unit of a building.

    Args:
        building: the site.
        seed: of the planner's random choices.
        clock: monotonic time (s) for measuring `planner_ms`; None: not measured.
        iterations: improvement attempts of the planner in each tick; None: by ``traffic.budget``.
        closed: zones that were closed when the last manager ended.
        mark: a number of this process, 0 or more; see `StartUp`.
        last_cells: cells of each unit as the last manager knew them (`whereabouts`); they stay
            closed for a unit that is not heard of.

    Attributes:
        planner_ms: wall time (ms) of every planner step, oldest first; empty without a clock.
    """

    consumes: tuple[type, ...] = (FleetState, Errands, PodRegister, ZoneCommand, UnitReset)

    def __init__(
        self,
        building: Building,
        seed: int,
        *,
        clock: Callable[[], float] | None = None,
        iterations: int | None = None,
        closed: KeepOuts | None = None,
        mark: int = 0,
        last_cells: Mapping[int, tuple[int, ...]] | None = None,
    ) -> None:
        self.planner_ms: list[float] = []
        self._building = building
        self._grid = building.grid
        self._seed = int(np.random.default_rng([seed, _PLANNER_SALT]).integers(2**62))
        self._clock = clock
        budget = round(building.traffic.budget * ATTEMPTS_PER_SECOND)
        self._storage: Bools = np.asarray(self._grid.kind == CellKind.STORAGE)
        self._routes = Routes(self._grid)

        n, cells = building.units, self._grid.cells
        limit = building.traffic.backlog
        self._graph = ExecutionGraph(
            n, self._grid.width, self._grid.height, capacity=limit + 1, ahead=limit + 1
        )
        self._new_startup = partial(StartUp, n, self._routes, limit + 1, self._fence, mark)
        self._startup = self._new_startup()
        self._now = -math.inf  # of the last step
        self._stepped_back = -math.inf  # when time last went back
        self._direct = False
        self._running = False
        self._early: list[Errands] = []
        self._out: list[Message] = []
        self._ended: list[tuple[int, int, int]] = []  # unit, errand, result
        self._late: set[int] = set()  # units to be taken in: heard of late, or reset
        self._strangers: set[int] = set()  # numbers of unknown units that were told of
        self._ahead: set[int] = set()  # units told of whose clocks are ahead

        # Last reports.
        self._load = np.zeros(n, np.uint8)
        self._load_id = np.full(n, -1, np.int32)
        self._status = np.zeros(n, np.uint8)

        # Errands.
        self._number = np.full(n, -1, np.int64)
        self._phase = np.zeros(n, np.uint8)
        self._result = np.zeros(n, np.uint8)
        self._goal = np.full(n, -1, np.int32)
        self._operation = np.full(n, Operation.NONE, np.uint8)
        self._hold = np.zeros(n, np.bool_)
        self._priority = np.zeros(n, np.float32)
        self._deadline = np.full(n, math.inf)
        self._due = np.full(n, _NEVER, np.uint32)  # actions done when an ARRIVED errand is done
        self._operating = np.zeros(n, np.bool_)  # an operation is queued and not reported done
        self._stands = np.zeros(n, np.bool_)  # stands fast until its next errand
        self._follow: dict[int, _Errand] = {}  # errands that wait for the end of an operation

        # Units that others have to drive round.
        self._fenced = np.zeros(n, np.bool_)
        self._fence_cells: dict[int, tuple[int, ...]] = {}  # closed besides the claimed ones
        # Of units, should they not be heard of again.
        self._last_cells: dict[int, tuple[int, ...]] = dict(last_cells or {})
        # Fenced with a pod, and say now that they have none: the cell where they may have set it
        # down, or -1.
        self._empty: dict[int, int] = {}
        self._asked: set[int] = set()  # of them, those whose reset was refused for it
        self._halted = np.zeros(n, np.bool_)  # stopped, dead or silent; or fenced
        self._blocked: U8 = np.zeros(cells, np.uint8)

        self._zones = Zones(building, closed)
        self._next_keep_out = -math.inf
        self._open_told = 0  # times in a row that it was told that no zone is closed

        self._pods = PodMap(building.pods, cells)
        self._claim: I32 = np.full(cells, -1, np.int32)  # unit on its way to LIFT or LOWER there

        self._tick = Tick(
            self._graph,
            limit=limit,
            period=building.traffic.tick,
            # Units that are slower than the ticks are ahead by the backlog.
            move=max(building.traffic.tick, self._grid.pitch / building.drive.max_speed),
            iterations=budget if iterations is None else iterations,
            silence=SILENCE,
            under_way=UNDER_WAY,
            state={
                "phase": self._phase,
                "operation": self._operation,
                "operating": self._operating,
                "stands": self._stands,
                "halted": self._halted,
                "fenced": self._fenced,
                "load": self._load,
                "status": self._status,
                "goal": self._goal,
                "priority": self._priority,
                "deadline": self._deadline,
                "standing": self._pods.standing,
                "blocked": self._blocked,
            },
        )
        self._look_ahead()

    # --- stepping ------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether start-up is over."""
        return self._running

    @property
    def epoch(self) -> int:
        """Epoch of the releases."""
        return self._startup.epoch

    def step(self, now: float, inbox: Sequence[Message]) -> list[Message]:
        """Take states, errands and what people command; say releases, ended errands, alarms."""
        if now < self._now - STEP_BACK:
            self._start_over(now)
        self._now = now
        # What was sent before time went back must not pass for the newest.
        recent = now - self._stepped_back < GRACE
        for message in inbox:
            if isinstance(message, FleetState):
                if message.stamp > now + SILENCE:  # or all others would count as silent
                    self._tell_ahead(now, message)
                elif recent and message.stamp > now + STEP_BACK:
                    continue
                elif self._running:
                    self._take_state(now, message)
                else:
                    self._gather_state(now, message)
            elif isinstance(message, Errands):
                if self._running:
                    self._take_errands(now, message)
                else:
                    self._early.append(message)
            elif isinstance(message, PodRegister):
                if self._running:
                    self._pods.identify(message, self._load_id[self._load == Load.POD])
                else:
                    self._pods.learn(message)
            elif isinstance(message, (ZoneCommand, UnitReset)):
                self.command(now, message)
        if self._running:
            self._run(now)
        else:
            self._start(now)
        if now >= self._next_keep_out:
            self._tell_keep_outs(now)
        out, self._out = self._out, []
        if self._pods.changes:
            pods, places = zip(*self._pods.changes, strict=True)
            out.append(PodPlaces(now, np.array(pods, np.int32), np.array(places, np.int32)))
            self._pods.changes = []
        if self._ended:
            units, numbers, results = zip(*self._ended, strict=True)
            out.append(
                ErrandReports(
                    now,
                    np.array(units, np.int32),
                    np.array(numbers, np.uint32),
                    np.array(results, np.uint8),
                )
            )
            self._ended = []
        self._look_ahead()
        return out

    @property
    def due(self) -> float:
        """Time (s) at which a step has something to do although nothing has come in."""
        if not self._running:
            return -math.inf
        return self._next_keep_out if self._direct else min(self._tick.next, self._next_keep_out)

    def watched(self) -> Watched:
        """From now on the embedded loop reports states and gives releases to the units itself.

        Steps then neither want `FleetState` nor say `Release` while the manager is `running`, and
        ticks are left to the loop as long as nothing but planning is to be done in them.
        """
        self._direct = True
        return Watched(self._graph, self._tick, self._due, self._load, self._load_id, self._status)

    def look(self, now: float, state: FleetState, verdict: U8, changed: bool) -> None:
        """A unit's status has changed, or a report was not taken.

        Args:
            state: the states that have been reported.
            verdict: U8[units] `Verdict` of each.
            changed: whether a status has changed.
        """
        if verdict.any():
            self._judge(now, state, verdict)
        if changed:
            self._look_for_halts(now)

    def command(self, now: float, command: ZoneCommand | UnitReset) -> Confirmation:
        """Carry out what a person commands; what follows from it is said in the next `step`."""
        if isinstance(command, UnitReset):
            refused = self._reset_unit(now, command.unit)
        else:
            refused = self._zones.apply(command)
            if not refused:
                self._next_keep_out = now
                self._open_told = 0
                self._tell_zone(now, command)
        self._look_ahead()
        return Confirmation(not refused, refused)

    def _tell_keep_outs(self, now: float) -> None:
        told = self.keep_outs(now)
        self._out.append(told)
        self._open_told = 0 if told.zone else self._open_told + 1
        again = self._open_told <= OPEN_REPEATS
        self._next_keep_out = now + KEEP_OUT_PERIOD if again else math.inf

    def keep_outs(self, now: float) -> KeepOuts:
        """All closed zones."""
        return self._zones.told(now)

    def whereabouts(self) -> dict[int, tuple[int, ...]] | None:
        """Cells where each unit may be, now and by all that is planned.

        None while a fleet is taken over: what was known before goes on to hold.
        """
        if not self._running:
            return None
        graph = self._graph
        return {
            unit: (
                *graph.claims(unit, planned=True).tolist(),
                *self._fence_cells.get(unit, ()),
            )
            for unit in range(graph.units)
        }

    def _reset_unit(self, now: float, unit: int) -> str:
        if not 0 <= unit < len(self._fenced):
            return f"there is no unit {unit}"
        if not self._fenced[unit]:
            return f"{self._name(unit)} is not fenced"
        if unit in self._empty and unit not in self._asked:
            self._asked.add(unit)
            return (
                f"{self._name(unit)} carried pod {self._load_id[unit]} and reports that it has "
                "none: see to it that no pod is on it, then reset it again"
            )
        self._late.add(unit)
        self._alarm(now, "reset", f"{self._name(unit)} is taken in again; the fleet comes to rest")
        return ""

    def _tell_zone(self, now: float, command: ZoneCommand) -> None:
        what = {ZoneEvent.ENTERED: "closed", ZoneEvent.LEFT: "left", ZoneEvent.RESET: "reset"}
        text = f"zone {command.zone} is {what[command.event]}"
        if self._running:
            standing = self._halted.copy()
            self._look_for_halts(now)
            self._withdraw_plans()
            caught = np.flatnonzero(self._halted & ~standing).tolist()
            if command.event is ZoneEvent.ENTERED:
                units = ", ".join(self._name(unit) for unit in caught) or "no unit"
                text += f": {units} held in it or on the way into it"
        self._alarm(now, "zone", text)

    def _alarm(self, now: float, kind: str, text: str) -> None:
        self._out.append(Alarm(now, "traffic", kind, text))

    def _name(self, unit: int) -> str:
        return self._building.unit_name(unit)

    # --- start-up ------------------------------------------------------------------------------

    def _start_over(self, now: float) -> None:
        """Time has gone back: take the fleet over as a new manager would.

        Units keep to what is released, and follow the new epoch when they are at rest. What is
        fenced stays so, and a unit not heard of again keeps the cells it had.
        """
        back = self._now - now
        self._alarm(now, "clock", f"time has gone back by {back:.0f} s; the fleet is taken over")
        self._stepped_back = now
        if self._running:
            self._last_cells = {
                unit: tuple(self._graph.claims(unit).tolist()) for unit in range(self._graph.units)
            }
        fenced = np.flatnonzero(self._fenced)
        for unit in fenced.tolist():
            more = self._last_cells.get(unit, ())
            self._fence_cells[unit] = tuple(dict.fromkeys((*self._fence_cells[unit], *more)))
        heard = self._startup.heard[fenced]
        self._startup = self._new_startup()
        self._startup.heard[fenced] = heard
        self._running = False
        self._early = []
        self._ended = []
        self._follow.clear()
        self._number[:] = self._goal[:] = self._claim[:] = -1
        self._phase[:] = _Phase.NONE
        self._due[:] = _NEVER
        self._operating[:] = self._stands[:] = False
        self._pods.lowering.clear()
        self._next_keep_out = now

    def _gather_state(self, now: float, state: FleetState) -> None:
        known = (state.unit >= 0) & (state.unit < len(self._fenced))
        self._tell_strangers(now, state.unit[~known])
        take = self._startup.take(now, state, np.flatnonzero(known).astype(np.int32))
        unit = state.unit[take]
        self._load[unit] = state.load[take]
        self._load_id[unit] = state.load_id[take]
        self._status[unit] = state.status[take]

    def _carried(self) -> I32:
        """Pods that units carry, or carried when they were last heard of."""
        carried: I32 = self._load_id[self._load == Load.POD]
        return carried

    def _start(self, now: float) -> None:
        release = self._startup.step(
            now, self._fenced, lambda: self._pods.all_known(self._carried())
        )
        if release is not None:
            self._out.append(release)
        if self._startup.done:
            self._begin_run(now)

    def _begin_run(self, now: float) -> None:
        self._running = True
        start = self._startup
        members = np.flatnonzero(~self._fenced).astype(np.int32)
        cell = np.where(self._fenced, -1, start.cell).astype(np.int32)
        self._graph.reset(start.epoch, cell, start.heading, start.stamp)
        grid = self._grid
        planner = Planner(
            grid.width,
            grid.height,
            grid.exits,
            units=len(members),
            seed=self._seed,
            storage=self._storage,
            cost=grid.cost,
            allow_rotation=False,
        )
        self._tick.start(planner, members, now)
        for unit in [unit for unit in self._pods.lowering if not self._fenced[unit]]:
            self._pods.settle(unit, int(cell[unit]), self._load[unit] == Load.POD)
        self._pods.begin(self._carried(), self._suspects())
        # A predecessor may have let them stand fast for a person or a lifter: they do so until
        # their next errands.
        at_work = np.isin(self._grid.kind[np.maximum(cell, 0)], _WORKPLACES)
        self._stands |= start.led & ~self._fenced & at_work
        self._block()
        early, self._early = self._early, []
        for message in early:
            self._take_errands(now, message)

    def _suspects(self) -> dict[int, int]:
        """Units that may have set their pods down for a predecessor, and where."""
        found = {}
        for unit in np.flatnonzero(self._startup.led & (self._load == Load.NONE)).tolist():
            cell = int(self._startup.cell[unit])
            if self._routes.is_floor(cell) and self._storage[cell]:
                found[unit] = cell
        return found

    # --- units' reports ------------------------------------------------------------------------

    def _tell_strangers(self, now: float, units: I32) -> None:
        for unit in units.tolist():
            if unit not in self._strangers:
                self._strangers.add(unit)
                self._alarm(now, "stranger", f"state of unit {unit}, which the building lacks")

    def _tell_ahead(self, now: float, state: FleetState) -> None:
        for unit in state.unit.tolist():
            if unit not in self._ahead:
                self._ahead.add(unit)
                text = f"state of unit {unit} is {state.stamp - now:.0f} s ahead; not heeded"
                self._alarm(now, "clock", text)

    def _take_state(self, now: float, state: FleetState) -> None:
        verdict = self._graph.report(state)
        unit = state.unit
        if verdict is None:
            self._load[unit] = state.load
            self._load_id[unit] = state.load_id
            if (self._status[unit] != state.status).any():
                self._status[unit] = state.status
                self._look_for_halts(now)
            return
        self._judge(now, state, verdict)

    def _judge(self, now: float, state: FleetState, verdict: U8) -> None:
        """Take over what the graph has taken of a state; deal with what it has not."""
        unit = state.unit
        good = verdict == Verdict.OK
        taken = unit[good]
        self._load[taken] = state.load[good]
        self._load_id[taken] = state.load_id[good]
        status_changed = (self._status[taken] != state.status[good]).any()
        self._status[taken] = state.status[good]
        for i in np.flatnonzero(verdict >= Verdict.FENCED).tolist():
            self._take_odd_report(now, state, i, Verdict(int(verdict[i])))
        if status_changed:
            self._look_for_halts(now)

    def _take_odd_report(self, now: float, state: FleetState, i: int, verdict: Verdict) -> None:
        unit, cell = int(state.unit[i]), int(state.cell[i])
        if verdict is Verdict.UNIT:
            self._tell_strangers(now, state.unit[i : i + 1])
            return
        cells = [cell] if self._routes.is_floor(cell) else []  # the one it says first
        # The unit's square may reach into the neighbours of its centre's cell.
        half = self._building.drive.footprint / 2
        x, y = float(state.x[i]), float(state.y[i])
        if np.isfinite(x) and np.isfinite(y):
            corners = self._grid.cell_at(
                np.array([x - half, x - half, x + half, x + half]),
                np.array([y - half, y + half, y - half, y + half]),
            )
            cells += [c for c in corners.tolist() if self._routes.is_floor(c) and c not in cells]
        if verdict is Verdict.FENCED:
            if not self._startup.heard[unit]:
                self._late.add(unit)
                return
            if self._load[unit] == Load.POD and unit not in self._pods.lowering:
                if state.load[i] == Load.POD:
                    self._empty.pop(unit, None)
                else:
                    # One that still knows an epoch has not started anew: it did a last LOWER.
                    lowers = bool(cells and state.epoch[i] and self._storage[cells[0]])
                    self._empty.setdefault(unit, cells[0] if lowers else -1)
            if set(cells) - set(self._fence_cells[unit]):
                self._fence_cells[unit] = tuple(dict.fromkeys((*self._fence_cells[unit], *cells)))
                self._block()
            return
        told = (
            f"epoch {state.epoch[i]}, {state.done[i]} of {state.released[i]} actions, "
            f"cell {cell}, heading {state.heading[i]}"
        )
        self._fence(now, unit, f"reports what cannot be ({verdict.name}: {told})", cells)

    def _fence(self, now: float, unit: int, reason: str, cells: Iterable[int]) -> None:
        self._fenced[unit] = self._halted[unit] = True
        self._fence_cells[unit] = tuple(cells)
        if not self._startup.heard[unit] and self._last_cells.get(unit):
            self._fence_cells[unit] += self._last_cells[unit]
            reason += "; where it was last stays closed"
        self._graph.fence(unit)
        self._alarm(now, "fenced", f"{self._name(unit)} {reason}; fenced until it is reset")
        if self._running:
            self._withdraw_plans()
        if self._phase[unit] in (_Phase.GOING, _Phase.ARRIVED):
            if self._phase[unit] == _Phase.GOING:  # else the pod there is in its hands
                self._release_claim(unit)
            self._end(unit, ErrandResult.REJECTED)
        follow = self._follow.pop(unit, None)
        if follow is not None:
            self._number[unit] = follow.number
            self._end(unit, ErrandResult.REJECTED)

    def _look_for_halts(self, now: float) -> None:
        """Plan anew when a unit has come to a halt or is under way again."""
        stamp = self._graph.stamp
        silent = stamp < stamp.max() - SILENCE
        halted = (self._status >= UnitStatus.STOPPED) | silent | self._fenced
        told = halted & ~self._halted
        if self._zones.closed.any():
            for unit in np.flatnonzero(~halted).tolist():
                halted[unit] = self._zones.closed[self._graph.claims(unit)].any()
        if (halted != self._halted).any():
            for unit in np.flatnonzero(told).tolist():
                what = (
                    "silent" if silent[unit] else UnitStatus(int(self._status[unit])).name.lower()
                )
                self._alarm(now, "halted", f"{self._name(unit)} is {what}; others drive round it")
            self._halted[:] = halted
            self._withdraw_plans()

    def _withdraw_plans(self) -> None:
        """Take back all that is not released, so that nobody waits behind a unit that is stuck."""
        self._graph.truncate()
        undone = (self._due != _NEVER) & (self._due > self._graph.planned)
        for unit in np.flatnonzero(undone).tolist():
            self._turn_back(unit)
        self._block()

    def _turn_back(self, unit: int) -> None:
        """The unit's planned arrival has been taken back."""
        if self._operating[unit] and self._operation[unit] == Operation.LOWER:
            self._pods.standing[self._goal[unit]] = 0
        self._operating[unit] = False
        self._stands[unit] = False
        self._due[unit] = _NEVER
        self._phase[unit] = _Phase.GOING

    def _block(self) -> None:
        self._blocked[:] = self._zones.closed
        for unit in np.flatnonzero(self._halted).tolist():
            self._blocked[self._graph.claims(unit)] = 1
            self._blocked[list(self._fence_cells.get(unit, ()))] = 1

    # --- errands -------------------------------------------------------------------------------

    def _take_errands(self, now: float, errands: Errands) -> None:
        n = len(self._number)
        told = []  # that are not merely repeated
        for i, (u, number) in enumerate(
            zip(errands.unit.tolist(), errands.errand.tolist(), strict=True)
        ):
            if not 0 <= u < n:
                self._alarm(now, "errand", f"errand {number} for unit {u}, which is unknown")
                self._ended.append((u, number, ErrandResult.REJECTED))
            elif number > self._number[u]:
                told.append((i, u))
                self._pods.clear_up(u, int(errands.goal[i]), int(errands.operation[i]))
            elif number == self._number[u] and self._phase[u] == _Phase.ENDED:
                self._ended.append((u, number, int(self._result[u])))
                self._tell_pod_again(u)
        for i, u in told:
            errand = _Errand(
                int(errands.errand[i]),
                int(errands.goal[i]),
                int(errands.operation[i]),
                bool(errands.hold[i]),
                max(0.0, min(float(errands.priority[i]), TOP_PRIORITY)),  # 0 for NaN
                float(errands.due[i]),
            )
            if self._operating[u] and not self._graph.withdraw(u):
                follow = self._follow.get(u)
                if follow is None or follow.number < errand.number:
                    self._follow[u] = errand
            else:
                if self._operating[u]:
                    self._turn_back(u)
                self._accept(now, u, errand)

    def _tell_pod_again(self, unit: int) -> None:
        """Say once more where the pod of the unit's ended errand is."""
        pod = int(self._pods.at[self._goal[unit]]) if self._goal[unit] >= 0 else -1
        if self._operation[unit] == Operation.LIFT and self._load[unit] == Load.POD:
            self._pods.changes.append((int(self._load_id[unit]), -1))
        elif self._operation[unit] == Operation.LOWER and pod >= 0:
            self._pods.changes.append((pod, int(self._goal[unit])))

    def _accept(self, now: float, unit: int, errand: _Errand) -> None:
        """Replace the unit's errand; nothing of the old one is queued as an operation."""
        self._release_claim(unit)
        self._number[unit] = errand.number
        self._due[unit] = _NEVER
        self._operation[unit] = errand.operation
        reason = self._objection(unit, errand)
        if reason:
            self._goal[unit] = -1
            self._alarm(
                now,
                "errand",
                f"errand {errand.number} of {self._name(unit)} (cell {errand.goal}, operation "
                f"{errand.operation}) rejected: {reason}",
            )
            self._end(unit, ErrandResult.REJECTED)
            return
        self._goal[unit] = errand.goal
        self._hold[unit] = errand.hold
        self._priority[unit] = errand.priority
        self._deadline[unit] = errand.due
        self._stands[unit] = False
        self._phase[unit] = _Phase.GOING
        if self._is_already_so(unit, errand.goal, errand.operation):
            self._stands[unit] = errand.hold
            self._end(unit, ErrandResult.DONE)
            self._tell_pod_again(unit)
            return
        if errand.operation in (Operation.LIFT, Operation.LOWER):
            self._claim[errand.goal] = unit
        if self._graph.end_cell[unit] == errand.goal and not self._halted[unit]:
            self._arrive(now, unit)

    def _objection(self, unit: int, errand: _Errand) -> str:
        """Why the errand cannot be carried out; empty when it can."""
        goal, operation = errand.goal, errand.operation
        if self._fenced[unit]:
            return "the unit is fenced"
        if not 0 <= goal < self._grid.cells:
            return "no such cell"
        if not self._routes.is_floor(goal):
            return "the cell is a wall"
        load = int(self._load[unit])
        at = int(self._graph.end_cell[unit])
        pod_here = self._pods.at[goal] >= 0
        other = int(self._claim[goal])
        if self._is_already_so(unit, goal, operation):
            return ""
        if operation == Operation.LIFT:
            if load != Load.NONE:
                return "the unit is loaded"
            if not pod_here:
                return "no pod stands there"
            if other >= 0:
                return f"{self._name(other)} is to lift that pod"
        elif operation == Operation.LOWER:
            if load != Load.POD:
                return "the unit carries no pod"
            if not self._storage[goal]:
                return "pods may stand on storage cells only"
            if other >= 0:
                return f"{self._name(other)} is to set a pod down there"
        elif operation == Operation.CHARGE:
            if self._grid.kind[goal] != CellKind.CHARGER:
                return "no charger there"
        elif Operation.FACE <= operation < Operation.FACE + _FACES:
            if load != Load.POD:
                return "the unit carries no pod"
        elif operation != Operation.NONE:
            return "no such operation"
        if load != Load.NONE and self._pods.standing[goal]:
            return "a pod stands there, and the unit is loaded"
        if not self._routes.reaches(at, goal, load != Load.NONE):
            return f"no way from cell {at}"
        return ""

    def _is_already_so(self, unit: int, goal: int, operation: int) -> bool:
        """Whether a lift or lower at the goal, where the unit stands, has been brought about.

        So it is when the report of an errand was lost with a traffic manager that was restarted.
        """
        if self._graph.end_cell[unit] != goal:
            return False
        load = self._load[unit]
        if operation == Operation.LIFT:
            return load == Load.POD and self._pods.stood_last(int(self._load_id[unit]), goal)
        return operation == Operation.LOWER and load == Load.NONE and self._pods.stands(goal)

    def _arrive(self, now: float, unit: int) -> None:
        """The unit is planned to be at its goal: queue the operation."""
        operation = int(self._operation[unit])
        if operation != Operation.NONE:
            reason = self._obstacle(unit)
            if reason:
                self._alarm(
                    now, "errand", f"errand {self._number[unit]} of {self._name(unit)}: {reason}"
                )
                self._release_claim(unit)
                self._end(unit, ErrandResult.REJECTED)
                return
            self._graph.append(unit, operation)
            self._operating[unit] = True
            if operation == Operation.LOWER:
                self._pods.plan_lower(unit, int(self._load_id[unit]), int(self._goal[unit]))
        self._phase[unit] = _Phase.ARRIVED
        self._due[unit] = self._graph.planned[unit]
        self._stands[unit] = self._hold[unit]

    def _obstacle(self, unit: int) -> str:
        """What has come in the way of the operation since the errand was accepted."""
        load, operation = self._load[unit], self._operation[unit]
        if operation == Operation.LIFT:
            return "the unit is loaded" if load != Load.NONE else ""
        if operation == Operation.CHARGE:
            return ""
        return "" if load == Load.POD else "the unit carries no pod"

    def _release_claim(self, unit: int) -> None:
        goal = self._goal[unit]
        if goal >= 0 and self._claim[goal] == unit:
            self._claim[goal] = -1

    def _end(self, unit: int, result: ErrandResult) -> None:
        self._phase[unit] = _Phase.ENDED
        self._result[unit] = result
        self._due[unit] = _NEVER
        self._operating[unit] = False
        self._ended.append((unit, int(self._number[unit]), int(result)))

    def _finish(self, now: float, unit: int) -> None:
        """All actions of the unit's errand are reported done."""
        operation, goal = int(self._operation[unit]), int(self._goal[unit])
        result = ErrandResult.DONE
        odd = ""
        if operation == Operation.LIFT:
            if self._load[unit] == Load.POD:
                odd = self._pods.lifted(int(self._load_id[unit]), goal)
            else:
                result = ErrandResult.REJECTED
                self._alarm(now, "lift", f"{self._name(unit)} lifted nothing in cell {goal}")
        elif operation == Operation.LOWER:
            if self._load[unit] != Load.POD:
                odd = self._pods.lowered(unit, goal)
            else:
                result = ErrandResult.REJECTED
                self._pods.standing[goal] = self._pods.at[goal] >= 0
                self._alarm(now, "lower", f"{self._name(unit)} still carries its pod in {goal}")
        if odd:
            self._alarm(now, "pod", f"{self._name(unit)} {odd}")
        self._release_claim(unit)
        self._end(unit, result)
        follow = self._follow.pop(unit, None)
        if follow is not None:
            self._accept(now, unit, follow)

    # --- planning ------------------------------------------------------------------------------

    def _run(self, now: float) -> None:
        graph = self._graph
        for unit in np.flatnonzero(graph.done >= self._due).tolist():
            self._finish(now, unit)
        if self._tick.begin(now):
            if self._zones.any_closed or self._tick.halts():
                self._look_for_halts(now)
            if not self._late:
                began = self._clock() if self._clock is not None else 0.0
                self._tick.plan()
                if self._clock is not None:
                    self.planner_ms.append((self._clock() - began) * 1000.0)
            elif self._comes_to_rest(now):
                return
        self._planned(now)
        if self._direct:
            return
        graph.release()
        release = graph.collect(now, AGAIN)
        if release is not None:
            self._out.append(release)

    def _comes_to_rest(self, now: float) -> bool:
        """Take back what is not released; begin a new epoch when all that can move are at rest."""
        graph = self._graph
        self._withdraw_plans()
        if (~self._halted & ((graph.done != graph.base) | (graph.known != graph.base))).any():
            return False
        late = sorted(self._late)
        self._startup.begin_again(now, graph, self._fenced, late)
        for unit in late:
            self._fenced[unit] = self._halted[unit] = False
            claims = graph.claims(unit).tolist()
            self._last_cells[unit] = tuple({*claims, *self._fence_cells.pop(unit)})
            self._tell_pod_gone(now, unit)
        self._late.clear()
        self._running = False
        return True

    def _tell_pod_gone(self, now: float, unit: int) -> None:
        if unit in self._empty:
            pod, cell = int(self._load_id[unit]), self._empty.pop(unit)
            where = "nobody says where"
            if self._pods.left(pod, cell):
                self._load[unit], self._load_id[unit] = Load.NONE, -1
                where = f"it is taken to stand in cell {cell}, where the unit first told so"
            self._alarm(now, "pod", f"pod {pod} is no longer on {self._name(unit)}; {where}")
        self._asked.discard(unit)

    def _planned(self, now: float) -> None:
        """Take in how the last tick has ended."""
        try:
            self._tick.check()
        except PlanError as error:
            # Nothing was queued: the units stop at the ends of their bases.
            self._alarm(now, "planner", f"no step planned: {error}")
        for unit in self._tick.arrivals():
            self._arrive(now, unit)

    def _look_ahead(self) -> None:
        """Whether the next tick can be left to the embedded loop."""
        measured = self._clock is not None
        self._tick.by_hand = measured or bool(self._late) or self._zones.any_closed
