"""Traffic manager: errands in, released actions out.

Every ``traffic.tick`` seconds the planner chooses one joint step from where all units are planned
to be; the execution graph queues it and releases what the units' reports allow. Units may be late
by any amount, stop, die or fall silent: others wait for them or drive round them, and never meet
them. A unit whose reports cannot be true is *fenced*: it gets nothing more, its cells stay closed.

Starting, also in the middle of operation after a crash: the manager waits until every unit has
been heard of and stands at the end of its base, then gives all units an empty release of a new
epoch. Once they report that epoch nothing sent by a predecessor can move them, and planning
begins from where they stand.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from enum import Enum, IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix  # type: ignore[import-untyped]
from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]

from robo_stow.floor.building import Building, CellKind, Grid
from robo_stow.messages import (
    I32,
    U8,
    Action,
    Alarm,
    ErrandReports,
    ErrandResult,
    Errands,
    FleetState,
    Load,
    Message,
    Operation,
    PodPlaces,
    PodRegister,
    Release,
    UnitStatus,
)
from robo_stow.traffic.execution import ExecutionGraph, PlanError, Verdict
from robo_stow.traffic.planner import Planner

Bools = NDArray[np.bool_]

AGAIN = 0.5
"""s after which a release that a unit does not report as known is sent again."""

GRACE = 30.0
"""s a unit is waited for at the start: to be heard of, to finish its base, to take the epoch."""

SILENCE = 10.0
"""s by which a unit's newest state may be older than the fleet's before others drive round it."""

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

_PLANNER_SALT = 301
_NEVER = np.uint32(0xFFFFFFFF)
_FACES = 4


class _Stage(Enum):
    GATHER = 0  # waiting to hear of all units, at rest
    SYNC = 1  # waiting for all units to take the new epoch
    RUN = 2


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


class Watched(NamedTuple):
    """What the embedded loop reads and writes in place of the manager."""

    graph: ExecutionGraph
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

    Attributes:
        planner_ms: wall time (ms) of every planner step, oldest first; empty without a clock.
    """

    consumes: tuple[type, ...] = (FleetState, Errands, PodRegister)

    def __init__(
        self,
        building: Building,
        seed: int,
        *,
        clock: Callable[[], float] | None = None,
        iterations: int | None = None,
    ) -> None:
        self.planner_ms: list[float] = []
        self._building = building
        self._grid = building.grid
        self._seed = int(np.random.default_rng([seed, _PLANNER_SALT]).integers(2**62))
        self._clock = clock
        budget = round(building.traffic.budget * ATTEMPTS_PER_SECOND)
        self._iterations = budget if iterations is None else iterations
        self._storage: Bools = np.asarray(self._grid.kind == CellKind.STORAGE)
        self._routes = _Routes(self._grid)

        n, cells = building.units, self._grid.cells
        limit = building.traffic.backlog
        self._limit = limit
        self._graph = ExecutionGraph(
            n, self._grid.width, self._grid.height, capacity=limit + 1, ahead=limit + 1
        )
        self._planner: Planner | None = None
        self._members: I32 | None = None  # units the planner knows; None: all

        self._direct = False
        self._stage = _Stage.GATHER
        self._since: float | None = None  # when the stage began
        self._next_plan = 0.0
        self._next_sync = 0.0
        self._early: list[Errands] = []
        self._out: list[Message] = []
        self._ended: list[tuple[int, int, int]] = []  # unit, errand, result
        self._moved: list[tuple[int, int]] = []  # pod, cell
        self._late: set[int] = set()  # units heard of after the start, to be taken in
        self._strangers: set[int] = set()  # numbers of unknown units that were told of

        # Last reports.
        self._heard = np.zeros(n, np.bool_)
        self._stamp = np.full(n, -np.inf)
        self._epoch = np.zeros(n, np.uint32)
        self._done = np.zeros(n, np.uint32)
        self._released = np.zeros(n, np.uint32)
        self._cell = np.full(n, -1, np.int32)
        self._heading = np.zeros(n, np.uint8)
        self._changed = np.zeros(n)  # s, when a report last differed from the one before
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
        self._due = np.full(n, _NEVER, np.uint32)  # actions done when an ARRIVED errand is done
        self._operating = np.zeros(n, np.bool_)  # an operation is queued and not reported done
        self._stands = np.zeros(n, np.bool_)  # stands fast until its next errand
        self._follow: dict[int, _Errand] = {}  # errands that wait for the end of an operation

        # Units that others have to drive round.
        self._fenced = np.zeros(n, np.bool_)
        self._fence_cells: dict[int, tuple[int, ...]] = {}  # closed besides the claimed ones
        self._halted = np.zeros(n, np.bool_)  # stopped, dead or silent; or fenced
        self._blocked: U8 = np.zeros(cells, np.uint8)

        # Pods.
        self._place = np.full(building.pods, -2, np.int32)  # -2: not heard of
        self._last_place = np.full(building.pods, -1, np.int32)  # where it stood last
        self._pod_at: I32 = np.full(cells, -1, np.int32)
        self._standing: U8 = np.zeros(cells, np.uint8)  # as planned: LOWERs count when queued
        self._own = np.zeros(n, np.bool_)  # has followed this manager before
        self._led = np.zeros(n, np.bool_)  # comes from a predecessor
        self._suspect: dict[int, int] = {}  # unit -> cell where it may have set a pod down
        self._found: set[int] = set()  # cells where one was set down, not known which
        self._lowering: dict[int, int] = {}  # unit -> pod, while a LOWER is queued
        self._claim: I32 = np.full(cells, -1, np.int32)  # unit on its way to LIFT or LOWER there

    # --- stepping ------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether start-up is over."""
        return self._stage is _Stage.RUN

    @property
    def epoch(self) -> int:
        """Epoch of the releases."""
        return self._graph.epoch

    def step(self, now: float, inbox: Sequence[Message]) -> list[Message]:
        """Take states, errands and pod places; say releases, ended errands, pods, alarms."""
        for message in inbox:
            if isinstance(message, FleetState):
                if self._stage is _Stage.RUN:
                    self._take_state(now, message)
                else:
                    self._gather_state(now, message)
            elif isinstance(message, Errands):
                if self._stage is _Stage.RUN:
                    self._take_errands(now, message)
                else:
                    self._early.append(message)
            elif isinstance(message, PodRegister):
                if self._stage is not _Stage.RUN:
                    self._learn_places(message)
                elif self._found:
                    self._look_for_found(message)
        if self._stage is _Stage.RUN:
            self._run(now)
        else:
            self._start(now)
        out, self._out = self._out, []
        if self._moved:
            pods, places = zip(*self._moved, strict=True)
            out.append(PodPlaces(now, np.array(pods, np.int32), np.array(places, np.int32)))
            self._moved = []
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
        return out

    @property
    def due(self) -> float:
        """Time (s) at which a step has something to do although nothing has come in."""
        return self._next_plan - 1e-9 if self._stage is _Stage.RUN else -math.inf

    def watched(self) -> Watched:
        """From now on the embedded loop reports states and gives releases to the units itself.

        Steps then neither want `FleetState` nor say `Release` while the manager is `running`.
        """
        self._direct = True
        return Watched(self._graph, self._due, self._load, self._load_id, self._status)

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

    def _alarm(self, now: float, kind: str, text: str) -> None:
        self._out.append(Alarm(now, "traffic", kind, text))

    def _name(self, unit: int) -> str:
        return self._building.unit_name(unit)

    # --- start-up ------------------------------------------------------------------------------

    def _gather_state(self, now: float, state: FleetState) -> None:
        known = (state.unit >= 0) & (state.unit < len(self._heard))
        self._tell_strangers(now, state.unit[~known])
        take = np.flatnonzero(known)
        take = take[state.stamp > self._stamp[state.unit[take]]]
        unit = state.unit[take]
        if not len(unit):
            return
        new = np.stack((state.epoch[take], state.done[take], state.released[take]))
        old = np.stack((self._epoch[unit], self._done[unit], self._released[unit]))
        changed = (new != old).any(axis=0) | (state.cell[take] != self._cell[unit])
        self._changed[unit[changed]] = now
        self._heard[unit] = True
        self._stamp[unit] = state.stamp
        self._epoch[unit], self._done[unit], self._released[unit] = new
        self._cell[unit] = state.cell[take]
        self._heading[unit] = state.heading[take] & 3
        self._load[unit] = state.load[take]
        self._load_id[unit] = state.load_id[take]
        self._status[unit] = state.status[take]

    def _learn_places(self, places: PodRegister) -> None:
        fits = (places.pod >= 0) & (places.pod < len(self._place))
        fits &= (places.cell >= -1) & (places.cell < self._grid.cells)
        self._place[places.pod[fits]] = places.cell[fits]

    def _pods_known(self) -> bool:
        unknown = self._place == -2
        if not unknown.any():
            return True
        carried = self._load_id[self._heard & (self._load == Load.POD)]
        unknown[carried[(carried >= 0) & (carried < len(unknown))]] = False
        return not unknown.any()

    def _start(self, now: float) -> None:
        if self._since is None:
            if not self._heard.any():
                return
            self._since = now
        late = now - self._since > GRACE
        if self._stage is _Stage.GATHER:
            resting = self._heard & (self._done == self._released)
            for unit in np.flatnonzero(~resting & ~self._fenced).tolist():
                if not late or (self._heard[unit] and now - self._changed[unit] <= GRACE):
                    return
                self._shut_out(now, unit)
            if not self._pods_known():
                return
            self._shut_out_impossible(now)
            self._begin_sync(now)
        elif self._stage is _Stage.SYNC:
            self._sync(now, late)

    def _shut_out(self, now: float, unit: int) -> None:
        """Fence a unit at the start; close the cells where it may be or still come to."""
        if not self._heard[unit]:
            self._fence(now, unit, "has not been heard of", ())
            return
        cell = int(self._cell[unit])
        if not self._routes.is_floor(cell):
            self._fence(now, unit, f"reports cell {cell}, which is no place to stand", ())
            return
        # Its base is not known here: it may lead over any exit for as many actions as are left.
        left = int(self._released[unit]) - int(self._done[unit])
        self._fence(
            now,
            unit,
            f"does not come to rest in cell {cell} ({left} actions left)",
            self._routes.within(cell, max(0, min(left, self._limit + 1))),
        )

    def _shut_out_impossible(self, now: float) -> None:
        """Fence units that stand on no floor, and all units that report the same cell."""
        members = np.flatnonzero(~self._fenced)
        cells, counts = np.unique(self._cell[members], return_counts=True)
        shared = cells[counts > 1]
        for unit in members.tolist():
            cell = int(self._cell[unit])
            if not self._routes.is_floor(cell):
                self._fence(now, unit, f"reports cell {cell}, which is no place to stand", ())
            elif cell in shared:
                self._fence(now, unit, f"reports cell {cell}, as another unit does", (cell,))

    def _begin_sync(self, now: float) -> None:
        self._led = ~self._own & (self._epoch != 0)
        heard = self._epoch[self._heard]
        self._graph.epoch = int(heard.max()) + 1 if len(heard) else 1
        self._stage = _Stage.SYNC
        self._since = now
        self._next_sync = now
        self._sync(now, late=False)

    def _sync(self, now: float, late: bool) -> None:
        epoch = self._graph.epoch
        if (self._epoch[~self._fenced] > epoch).any():
            self._stage = _Stage.GATHER  # somebody else releases too: begin again above them
            self._since = now
            return
        waiting = np.flatnonzero(~self._fenced & (self._epoch != epoch)).astype(np.int32)
        if len(waiting) and late:
            for unit in waiting.tolist():
                self._fence(
                    now,
                    unit,
                    f"does not take epoch {epoch}",
                    self._routes.within(int(self._cell[unit]), self._limit + 1),
                )
        elif len(waiting):
            if now >= self._next_sync:
                self._next_sync = now + AGAIN
                none = np.zeros(len(waiting), np.int32)
                self._out.append(
                    Release(
                        stamp=now,
                        epoch=epoch,
                        unit=waiting,
                        first=none.astype(np.uint32),
                        origin=self._cell[waiting],
                        count=none,
                        action=np.zeros(0, np.uint8),
                        cell=np.zeros(0, np.int32),
                    )
                )
            return
        self._shut_out_impossible(now)
        self._begin_run(now)

    def _begin_run(self, now: float) -> None:
        self._stage = _Stage.RUN
        self._own |= ~self._fenced
        self._next_plan = now
        members = np.flatnonzero(~self._fenced).astype(np.int32)
        start = np.where(self._fenced, -1, self._cell).astype(np.int32)
        self._graph.reset(self._graph.epoch, start, self._heading, self._stamp)
        self._members = None if len(members) == len(start) else members
        grid = self._grid
        self._planner = Planner(
            grid.width,
            grid.height,
            grid.exits,
            units=len(members),
            seed=self._seed,
            storage=self._storage,
            cost=grid.cost,
            allow_rotation=False,
        )
        self._set_pods(now)
        self._block()
        early, self._early = self._early, []
        for message in early:
            self._take_errands(now, message)

    def _set_pods(self, now: float) -> None:
        """Build the map of standing pods from the register and what the units carry."""
        self._pod_at[:] = -1
        self._standing[:] = 0
        self._last_place = self._place.copy()
        self._place = np.maximum(self._place, -1)
        carried = self._load_id[self._heard & (self._load == Load.POD)]
        self._place[carried[(carried >= 0) & (carried < len(self._place))]] = -1
        standing = np.flatnonzero(self._place >= 0)
        self._pod_at[self._place[standing]] = standing
        self._standing[self._place[standing]] = 1
        self._moved = list(enumerate(self._place.tolist()))
        self._suspect.clear()
        # A predecessor may have let a unit set its pod down without word of it reaching the
        # register. That unit is still beneath; its next errand tells whether it was so.
        for unit in np.flatnonzero(self._led & (self._load == Load.NONE)).tolist():
            cell = int(self._cell[unit])
            if self._routes.is_floor(cell) and self._storage[cell]:
                self._suspect[unit] = cell
                self._standing[cell] = 1

    def _set_down(self, pod: int, cell: int) -> None:
        self._clear_place(pod)
        self._found.discard(cell)
        self._pod_at[cell] = pod
        self._standing[cell] = 1
        self._place[pod] = self._last_place[pod] = cell
        self._moved.append((pod, cell))

    def _clear_place(self, pod: int) -> None:
        """The pod is not, or no longer, where it was thought to stand."""
        old = int(self._place[pod])
        self._place[pod] = -1
        if old >= 0 and self._pod_at[old] == pod:
            # An out-of-date register may have had two pods there.
            other = np.flatnonzero(self._place == old)
            self._pod_at[old] = other[0] if len(other) else -1
            self._standing[old] = len(other) > 0 or old in self._found

    def _look_for_found(self, register: PodRegister) -> None:
        """Learn which pods stand where one may stand, or is known to but not which."""
        for pod, cell in zip(register.pod.tolist(), register.cell.tolist(), strict=True):
            if not (0 <= pod < len(self._place) and cell in self._found):
                continue
            if self._place[pod] != cell and pod not in self._load_id[self._load == Load.POD]:
                self._set_down(pod, cell)

    # --- units' reports ------------------------------------------------------------------------

    def _tell_strangers(self, now: float, units: I32) -> None:
        for unit in units.tolist():
            if unit not in self._strangers:
                self._strangers.add(unit)
                self._alarm(now, "stranger", f"state of unit {unit}, which the building lacks")

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
        cells = [cell] if self._routes.is_floor(cell) else []
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
            if not self._heard[unit]:
                self._late.add(unit)
                return
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
        self._graph.fence(unit)
        self._alarm(now, "fenced", f"{self._name(unit)} {reason}; fenced until the next start")
        if self._stage is _Stage.RUN:
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
        halted = (self._status >= UnitStatus.STOPPED) | (stamp < stamp.max() - SILENCE)
        halted |= self._fenced
        if (halted != self._halted).any():
            for unit in np.flatnonzero(halted & ~self._halted).tolist():
                status = self._status[unit]
                what = UnitStatus(int(status)).name.lower() if status >= 2 else "silent"
                self._alarm(now, "halted", f"{self._name(unit)} is {what}; others drive round it")
            self._halted = halted
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
            self._standing[self._goal[unit]] = 0
        self._operating[unit] = False
        self._stands[unit] = False
        self._due[unit] = _NEVER
        self._phase[unit] = _Phase.GOING

    def _block(self) -> None:
        self._blocked[:] = 0
        for unit in np.flatnonzero(self._halted).tolist():
            self._blocked[self._graph.claims(unit)] = 1
            self._blocked[list(self._fence_cells.get(unit, ()))] = 1

    # --- errands -------------------------------------------------------------------------------

    def _take_errands(self, now: float, errands: Errands) -> None:
        n = len(self._number)
        known = (errands.unit >= 0) & (errands.unit < n)
        unit = np.where(known, errands.unit, 0)
        last = self._number[unit]
        number = errands.errand.astype(np.int64)
        ended = (number == last) & (self._phase[unit] == _Phase.ENDED)
        new = known & (number > last)
        if self._suspect:
            for u, goal, operation in zip(
                unit[new].tolist(),
                errands.goal[new].tolist(),
                errands.operation[new].tolist(),
                strict=True,
            ):
                self._clear_up(u, goal, operation)
        for i in np.flatnonzero(~known | ended | new).tolist():
            u = int(errands.unit[i])
            if not known[i]:
                self._alarm(now, "errand", f"errand {number[i]} for unit {u}, which is unknown")
                self._ended.append((u, int(number[i]), ErrandResult.REJECTED))
                continue
            errand = _Errand(
                int(number[i]),
                int(errands.goal[i]),
                int(errands.operation[i]),
                bool(errands.hold[i]),
                max(0.0, min(float(errands.priority[i]), TOP_PRIORITY)),  # 0 for NaN
            )
            if ended[i]:
                self._ended.append((u, errand.number, int(self._result[u])))
                self._tell_pod_again(u)
            elif self._operating[u] and not self._graph.withdraw(u):
                follow = self._follow.get(u)
                if follow is None or follow.number < errand.number:
                    self._follow[u] = errand
            else:
                if self._operating[u]:
                    self._turn_back(u)
                self._accept(now, u, errand)

    def _clear_up(self, unit: int, goal: int, operation: int) -> None:
        """The errand tells whether the unit had set its pod down before the manager started."""
        cell = self._suspect.pop(unit, -1)
        if cell >= 0 and cell == goal and operation == Operation.LOWER:
            self._found.add(cell)
        elif cell >= 0:
            self._standing[cell] = self._pod_at[cell] >= 0

    def _tell_pod_again(self, unit: int) -> None:
        """Say once more where the pod of the unit's ended errand is."""
        pod = int(self._pod_at[self._goal[unit]]) if self._goal[unit] >= 0 else -1
        if self._operation[unit] == Operation.LIFT and self._load[unit] == Load.POD:
            self._moved.append((int(self._load_id[unit]), -1))
        elif self._operation[unit] == Operation.LOWER and pod >= 0:
            self._moved.append((pod, int(self._goal[unit])))

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
        self._stands[unit] = False
        self._phase[unit] = _Phase.GOING
        if self._is_already_so(unit, errand.goal, errand.operation):
            self._stands[unit] = errand.hold
            self._end(unit, ErrandResult.DONE)
            self._tell_pod_again(unit)
            return
        if errand.operation in (Operation.LIFT, Operation.LOWER):
            self._claim[errand.goal] = unit
        if self._graph.end_cell[unit] == errand.goal:
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
        pod_here = self._pod_at[goal] >= 0
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
        if load != Load.NONE and self._standing[goal]:
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
        load, pod = self._load[unit], int(self._load_id[unit])
        if operation == Operation.LIFT:
            known = load == Load.POD and 0 <= pod < len(self._last_place)
            return bool(known and self._last_place[pod] == goal)
        if operation != Operation.LOWER or load != Load.NONE:
            return False
        return bool(self._pod_at[goal] >= 0 or goal in self._found)

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
                self._standing[self._goal[unit]] = 1
                self._lowering[unit] = int(self._load_id[unit])
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
        if operation == Operation.LIFT:
            if self._load[unit] == Load.POD:
                self._lifted(now, unit, goal)
            else:
                result = ErrandResult.REJECTED
                self._alarm(now, "lift", f"{self._name(unit)} lifted nothing in cell {goal}")
        elif operation == Operation.LOWER:
            if self._load[unit] != Load.POD:
                self._lowered(now, unit, goal)
            else:
                result = ErrandResult.REJECTED
                self._standing[goal] = self._pod_at[goal] >= 0
                self._alarm(now, "lower", f"{self._name(unit)} still carries its pod in {goal}")
        self._release_claim(unit)
        self._end(unit, result)
        follow = self._follow.pop(unit, None)
        if follow is not None:
            self._accept(now, unit, follow)

    def _lifted(self, now: float, unit: int, cell: int) -> None:
        pod, expected = int(self._load_id[unit]), int(self._pod_at[cell])
        if not 0 <= pod < len(self._place):
            pod = expected
        elif pod != expected:
            self._alarm(
                now, "pod", f"{self._name(unit)} lifted pod {pod} in cell {cell}, not {expected}"
            )
        self._found.discard(cell)
        if pod < 0:
            self._alarm(now, "pod", f"{self._name(unit)} lifted an unknown pod in cell {cell}")
            return
        self._clear_place(pod)
        if expected != pod:
            self._pod_at[cell] = -1
            self._standing[cell] = 0
        self._moved.append((pod, -1))

    def _lowered(self, now: float, unit: int, cell: int) -> None:
        pod = self._lowering.pop(unit)
        if 0 <= pod < len(self._place):
            self._set_down(pod, cell)
        else:
            self._alarm(now, "pod", f"{self._name(unit)} set an unknown pod down in cell {cell}")

    # --- planning ------------------------------------------------------------------------------

    def _run(self, now: float) -> None:
        graph = self._graph
        for unit in np.flatnonzero(graph.done >= self._due).tolist():
            self._finish(now, unit)
        if now + 1e-9 >= self._next_plan:
            tick = self._building.traffic.tick
            self._next_plan += tick * (1 + (now + 1e-9 - self._next_plan) // tick)
            self._look_for_halts(now)
            if not self._late:
                self._plan(now)
            elif self._comes_to_rest(now):
                return
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
        member = ~self._fenced
        self._stamp[member] = graph.stamp[member]
        self._epoch[member] = graph.epoch
        self._done[member] = graph.done[member]
        self._released[member] = graph.known[member]
        self._cell[member] = graph.cell[member]
        self._heading[member] = graph.heading[member]
        self._changed[:] = now
        for unit in sorted(self._late):
            self._fenced[unit] = self._halted[unit] = False
        self._late.clear()
        self._stage = _Stage.GATHER
        self._since = now
        return True

    def _planned_load(self) -> Bools:
        loaded: Bools = self._load != Load.NONE
        loaded[self._operating & (self._operation == Operation.LIFT)] = True
        loaded[self._operating & (self._operation == Operation.LOWER)] = False
        return loaded

    def _plan(self, now: float) -> None:
        graph, planner = self._graph, self._planner
        assert planner is not None
        going = self._phase == _Phase.GOING
        # A unit that was pushed away from the goal of its last errand goes back there, unless
        # another one is to come to that cell. (At a goal, only -1 makes the planner let it rest.)
        wanted = np.zeros(self._grid.cells, np.bool_)
        wanted[self._goal[going]] = True
        rests = ~going & (wanted[self._goal] | (graph.end_cell == self._goal))
        goal = np.where(rests, np.int32(-1), self._goal)
        frozen = graph.planned - graph.done >= self._limit
        frozen |= self._stands | self._operating | self._halted
        priority = np.where(going, self._priority + np.float32(UNDER_WAY), np.float32(0))
        cell, heading, loaded = graph.end_cell, graph.end_heading, self._planned_load()
        members = self._members
        if members is not None:
            cell, heading, goal = cell[members], heading[members], goal[members]
            loaded, frozen, priority = loaded[members], frozen[members], priority[members]
        began = self._clock() if self._clock is not None else 0.0
        try:
            action = planner.step(
                cell,
                heading,
                goal,
                loaded=loaded.view(np.uint8),
                frozen=frozen.view(np.uint8),
                priority=priority,
                standing=self._standing,
                blocked=self._blocked,
                iterations=self._iterations,
            )
            if members is not None:
                step = np.full(len(going), Action.WAIT, np.uint8)
                step[members] = action
                action = step
            graph.commit(action)
        except (PlanError, ValueError) as error:
            # Nothing was queued: the units stop at the ends of their bases.
            self._alarm(now, "planner", f"no step planned: {error}")
        if self._clock is not None:
            self.planner_ms.append((self._clock() - began) * 1000.0)
        for unit in np.flatnonzero(going & (graph.end_cell == self._goal)).tolist():
            self._arrive(now, unit)


class _Routes:
    """Which cells can be reached from which, by the exits alone."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._storage = np.asarray(grid.kind == CellKind.STORAGE)
        self._successors: list[list[int]] = [[] for _ in range(grid.cells)]
        self._predecessors: list[list[int]] = [[] for _ in range(grid.cells)]
        pairs = []
        for cell in np.flatnonzero(grid.exits).tolist():
            for heading in range(4):
                ahead = grid.neighbour(cell, heading) if grid.exits[cell] >> heading & 1 else -1
                if ahead >= 0:
                    self._successors[cell].append(ahead)
                    self._predecessors[ahead].append(cell)
                    pairs.append((cell, ahead))
        edges = np.array(pairs, np.int64).reshape(-1, 2)
        aisle = ~self._storage[edges].any(axis=1)
        self._component = self._components(edges)
        self._aisle_component = self._components(edges[aisle])

    def _components(self, edges: NDArray[np.int64]) -> I32:
        cells = self._grid.cells
        ones = np.ones(len(edges), np.uint8)
        graph = csr_matrix((ones, (edges[:, 0], edges[:, 1])), shape=(cells, cells))
        labels: I32 = connected_components(graph, directed=True, connection="strong")[1]
        return labels

    def is_floor(self, cell: int) -> bool:
        """Whether a unit can be in the cell."""
        return 0 <= cell < self._grid.cells and bool(self._grid.kind[cell] != CellKind.WALL)

    def within(self, cell: int, moves: int) -> tuple[int, ...]:
        """The cells that ``moves`` moves can lead to, nearest first."""
        far = {cell: 0}
        queue = deque([cell])
        while queue:
            at = queue.popleft()
            for ahead in self._successors[at] if far[at] < moves else ():
                if ahead not in far:
                    far[ahead] = far[at] + 1
                    queue.append(ahead)
        return tuple(far)

    def reaches(self, start: int, goal: int, loaded: bool) -> bool:
        """Whether the exits lead from start to goal; loaded: not through storage cells between."""
        if start == goal:
            return True
        if not loaded:
            if self._component[start] == self._component[goal]:
                return True
        else:
            out = self._successors[start] if self._storage[start] else [start]
            into = self._predecessors[goal] if self._storage[goal] else [goal]
            if goal in out:
                return True
            label = self._aisle_component
            if {int(label[c]) for c in out if not self._storage[c]} & {
                int(label[c]) for c in into if not self._storage[c]
            }:
                return True
        return self._search(start, goal, loaded)

    def _search(self, start: int, goal: int, loaded: bool) -> bool:
        seen = {start}
        queue = deque([start])
        while queue:
            for ahead in self._successors[queue.popleft()]:
                if ahead == goal:
                    return True
                if ahead not in seen and not (loaded and self._storage[ahead]):
                    seen.add(ahead)
                    queue.append(ahead)
        return False
