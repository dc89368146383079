"""Pod trips on our own buildings, planned step by step: how much congestion costs.

Every unit does pod trips without end: empty to a pod (drawn at random), lift it, to a station
(drawn at random of those with room in their lane), one step there, to a free storage cell (drawn at
random), lower it. People are left out: the stations take a pod in one step, so that the roads and
lanes are what limits. Units are moved as planned, one action a step; how long a step takes is
`step_seconds`. The real plant is in `robo-stow simulate`.

The bound is the same trips by every unit alone on the floor: exact shortest times with turns,
loaded units round the storage, no waiting for room in a lane. Beside it stands what the floor can
carry at all (`capacity.py`); the smaller of both is `bound_capacity`.
"""

from __future__ import annotations

import ctypes
import math
import resource
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_stow.bench.capacity import floor_capacity, period
from robo_stow.floor.building import YAW, Building, CellKind
from robo_stow.floor.start import pod_cells, unit_cells
from robo_stow.messages import FleetState, Load
from robo_stow.native import load
from robo_stow.traffic.checker import Checker
from robo_stow.traffic.planner import FORWARD, TURN_CCW, TURN_CW, WAIT, Planner

I32 = NDArray[np.int32]

WARM_UP = 300
"""Steps that are run and not measured: tables are made, units spread over their trips."""
HANDOVER = 1
"""Steps that a pod stands at its station."""

_SALT = 0x4F10
_FETCH, _LIFT, _READY, _DELIVER, _SHOW, _STORE, _LOWER = range(7)


def step_seconds(building: Building) -> float:
    """Time of one step: a cell at full speed, or a quarter turn if that takes longer."""
    drive = building.drive
    return max(building.grid.pitch / drive.max_speed, drive.turn_time / 4)


def alone(
    building: Building, start: I32, heading: NDArray[np.uint8], end: I32, loaded: bool
) -> I32:
    """[legs] exact steps from each start to each end for a unit alone, turns included."""
    grid = building.grid
    steps = np.zeros(len(start), np.int32)
    arrays = [
        np.ascontiguousarray(array, kind)
        for array, kind in (
            *((grid.exits, np.uint8), (grid.kind == CellKind.STORAGE, np.uint8)),
            *((start, np.int32), (heading, np.uint8), (end, np.int32)),
            (np.full(len(start), loaded), np.uint8),
        )
    ]
    exits, storage, *legs = (ctypes.c_void_p(array.ctypes.data) for array in arrays)
    sizes = [ctypes.c_int32(n) for n in (grid.width, grid.height, len(start), 4 * grid.cells)]
    code = load().rs_alone_legs(
        *(*sizes[:2], exits, storage, sizes[2], *legs, sizes[3]),
        ctypes.c_void_p(steps.ctypes.data),
    )
    if code:
        raise MemoryError("no memory for the times of units alone")
    return steps


class _Trips:
    """What every unit is about; moves pods and units' goals along."""

    def __init__(self, building: Building, seed: int) -> None:
        self._building = building
        self._rng = np.random.default_rng([seed, _SALT])
        n = building.units
        self.pod_at = pod_cells(building, seed)
        self.cell, self.heading = unit_cells(building, seed)
        self.stage = np.full(n, _FETCH)
        self.goal = np.full(n, -1, np.int32)
        self.pod = np.full(n, -1)
        self._until = np.zeros(n, np.int64)  # step at which lifting, showing or lowering ends
        self._at = np.zeros(n, np.int64)  # station of the trip
        self._storage = np.asarray(building.grid.kind == CellKind.STORAGE)
        self._stations = np.array([station.cell for station in building.stations], np.int32)
        self._lane = np.zeros(building.grid.cells, np.bool_)
        for station in building.stations:
            self._lane[[station.cell, *station.queue]] = True
        self._room = np.array([len(station.queue) + 1 for station in building.stations])
        self._period = np.array([period(building, s, HANDOVER) for s in building.stations])
        self._wanted = np.zeros(building.pods, np.bool_)
        # A pod is there or will be, or the unit that lifted it there has not left yet.
        self._taken = np.zeros(building.grid.cells, np.bool_)
        self._home = np.full(n, -1, np.int32)  # of the last: where each unit lifted its pod
        self._taken[self.pod_at] = True
        seconds = step_seconds(building)
        self._lift = max(1, math.ceil(building.drive.lift_time / seconds))
        self._leg = np.zeros(n, np.int32)  # steps of the leg under way, alone
        self._begun = np.zeros(n, np.int64)  # step at which the stage began
        self.delivered = 0
        self.needed = 0  # steps alone of all stages ended
        self.taken = 0  # steps they took
        for unit in range(n):
            self._fetch(unit)
        self._time_legs(np.arange(n), loaded=False)

    @property
    def loaded(self) -> NDArray[np.bool_]:
        """Units that carry a pod."""
        return np.asarray(self.stage >= _READY)

    @property
    def still(self) -> NDArray[np.bool_]:
        """Units that lift, show or lower a pod."""
        return np.isin(self.stage, (_LIFT, _SHOW, _LOWER))

    def waits(self, action: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Units that wait: lifted, for room in a lane; in a lane; on their way, elsewhere."""
        ready = self.stage == _READY
        driving = np.isin(self.stage, (_FETCH, _DELIVER, _STORE)) & (action == WAIT)
        in_lane = self._lane[self.cell]
        return np.array([part.sum() for part in (ready, driving & in_lane, driving & ~in_lane)])

    def step(self, now: int) -> None:
        """Go on with the trips of units that have arrived or are done with something."""
        left = (self.stage != _READY) & (self._home >= 0) & (self.cell != self._home)
        self._taken[self._home[left]] = False
        self._home[left] = -1
        there, over, before = self.cell == self.goal, self._until <= now, self.stage.copy()
        for stage, ready, act in (
            (_LOWER, over, self._lowered),
            (_STORE, there, self._lower),
            (_SHOW, over, self._store),
            (_DELIVER, there, self._show),
            (_LIFT, over, self._lifted),
            (_FETCH, there, self._lift_up),
        ):
            units = np.flatnonzero((before == stage) & ready)
            for unit in units.tolist():
                act(unit)
                self._end_stage(unit, now)
            if len(units) and stage in (_LOWER, _SHOW):
                self._time_legs(units, loaded=stage == _SHOW)
        waiting = np.flatnonzero(self.stage == _READY)
        gone = [unit for unit in self._rng.permutation(waiting).tolist() if self._depart(unit)]
        for unit in gone:
            self._end_stage(unit, now)
        if gone:
            self._time_legs(np.array(gone), loaded=True)

    def _end_stage(self, unit: int, now: int) -> None:
        self.taken += now - int(self._begun[unit])
        self._begun[unit] = now
        lasts = {_LIFT: self._lift, _SHOW: HANDOVER, _LOWER: self._lift}
        self._until[unit] = now + lasts.get(int(self.stage[unit]), 0)

    def _time_legs(self, units: NDArray[Any], loaded: bool) -> None:
        self._leg[units] = alone(
            *(self._building, self.cell[units], self.heading[units], self.goal[units], loaded)
        )

    def _fetch(self, unit: int) -> None:
        free = np.flatnonzero((self.pod_at >= 0) & ~self._wanted)
        pod = int(self._rng.choice(free))
        self._wanted[pod] = True
        self.pod[unit] = pod
        self.goal[unit] = self.pod_at[pod]
        self.stage[unit] = _FETCH

    def _lift_up(self, unit: int) -> None:
        self.needed += int(self._leg[unit])
        self.stage[unit] = _LIFT

    def _lifted(self, unit: int) -> None:
        self.needed += self._lift
        self._home[unit] = self.pod_at[self.pod[unit]]
        self.pod_at[self.pod[unit]] = -1
        self.stage[unit] = _READY  # its goal stays the pod's cell

    def _depart(self, unit: int) -> bool:
        under_way = (self.stage == _DELIVER) | (self.stage == _SHOW)
        used = np.bincount(self._at[under_way], minlength=len(self._stations))
        # Until the unit can be there the station passes some of those that it has.
        width = self._building.grid.width
        (row, col), (rows, cols) = divmod(self.cell[unit], width), divmod(self._stations, width)
        passed = (abs(rows - row) + abs(cols - col)) // self._period
        free = np.flatnonzero(used < self._room + passed)
        if not len(free):
            return False
        self._at[unit] = self._rng.choice(free)
        self.goal[unit] = self._stations[self._at[unit]]
        self.stage[unit] = _DELIVER
        return True

    def _show(self, unit: int) -> None:
        self.needed += int(self._leg[unit])
        self.delivered += 1
        self.stage[unit] = _SHOW

    def _store(self, unit: int) -> None:
        self.needed += HANDOVER
        free = np.flatnonzero(self._storage & ~self._taken)
        cell = int(self._rng.choice(free))
        self._taken[cell] = True
        self.goal[unit] = cell
        self.stage[unit] = _STORE

    def _lower(self, unit: int) -> None:
        self.needed += int(self._leg[unit])
        self.stage[unit] = _LOWER

    def _lowered(self, unit: int) -> None:
        self.needed += self._lift
        self.pod_at[self.pod[unit]] = self.cell[unit]
        self._wanted[self.pod[unit]] = False
        self._fetch(unit)


def _fleet_state(building: Building, trips: _Trips, now: float) -> FleetState:
    n = building.units
    x, y = building.grid.xy(trips.cell)
    zero, none, loaded = np.zeros(n, np.float32), np.zeros(n, np.uint32), trips.loaded
    return FleetState(
        now,
        np.arange(n, dtype=np.int32),
        none,
        none,
        none,
        trips.cell,
        trips.heading,
        x.astype(np.float32),
        y.astype(np.float32),
        np.asarray(YAW, np.float32)[trips.heading],
        zero,
        np.where(loaded, Load.POD, Load.NONE).astype(np.uint8),
        np.where(loaded, trips.pod, -1).astype(np.int32),
        zero,
        np.zeros(n, np.uint8),
    )


def run_floor(
    building: Building,
    *,
    steps: int,
    budget_ms: float,
    seed: int,
    iterations: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Runs `WARM_UP` steps, then ``steps`` that are measured.

    Args:
        building: with its units; every station takes part.
        budget_ms: thread CPU time of the planner in each step.
        seed: of the start places, the trips and the planner.
        iterations: exactly so many improvement attempts in place of the budget.
        progress: called after every step with the step and the pods delivered so far.

    Returns:
        What the command prints as JSON.
    """
    grid = building.grid
    planner = Planner(
        *(grid.width, grid.height, grid.exits),
        units=building.units,
        seed=seed,
        storage=np.asarray(grid.kind == CellKind.STORAGE),
        cost=grid.cost,
        allow_rotation=False,
    )
    trips = _Trips(building, seed)
    checker = Checker(building)
    move = np.array([1, grid.width, -1, -grid.width], np.int32)
    seconds = step_seconds(building)
    spent = np.empty(WARM_UP + steps)
    before = (0, 0, 0)
    waits = np.zeros(3, np.int64)
    for t in range(WARM_UP + steps):
        trips.step(t)
        if t == WARM_UP:
            before = (trips.delivered, trips.needed, trips.taken)
        standing = np.zeros(grid.cells, np.uint8)
        standing[trips.pod_at[trips.pod_at >= 0]] = 1
        action = planner.step(
            *(trips.cell, trips.heading, trips.goal),
            loaded=trips.loaded.view(np.uint8),
            frozen=trips.still.view(np.uint8),
            priority=np.where(trips.stage == _READY, 0, 1).astype(np.float32),
            standing=standing,
            budget_s=budget_ms * 1e-3,
            iterations=iterations,
        )
        spent[t] = planner.stats().cpu_seconds * 1e3
        if t >= WARM_UP:
            waits += trips.waits(action)
        trips.cell = np.where(
            action == FORWARD, trips.cell + move[trips.heading], trips.cell
        ).astype(np.int32)
        trips.heading = (
            (trips.heading + (action == TURN_CW) + 3 * (action == TURN_CCW)) % 4
        ).astype(np.uint8)
        checker.check(_fleet_state(building, trips, (t + 1) * seconds), trips.pod_at)
        if progress is not None:
            progress(t + 1, trips.delivered)
    delivered = trips.delivered - before[0]
    # Of what ended in the time measured: a unit's stages follow one another without gaps.
    share = (trips.needed - before[1]) / max(trips.taken - before[2], 1)
    per_hour_and_unit = 3600.0 / (seconds * building.units)
    rate = delivered / steps * per_hour_and_unit
    capacity = floor_capacity(building, HANDOVER)
    alone_all = rate / share if rate else math.inf
    reachable = min(alone_all, capacity.pods * per_hour_and_unit)
    measured = spent[WARM_UP:]
    stats = planner.stats()
    return {
        "benchmark": "floor",
        "building": building.name,
        "units": building.units,
        "stations": len(building.stations),
        "steps": steps,
        "warm_up_steps": WARM_UP,
        "step_seconds": round(seconds, 4),
        "pods_delivered": delivered,
        "pods_per_hour_and_unit": round(rate, 3),
        "bound_pods_per_hour_and_unit": round(alone_all, 3) if rate else None,
        "share_of_bound": round(share, 4),
        "bound_capacity": round(reachable, 3),
        "share_of_bound_capacity": round(rate / reachable, 4),
        "pods_per_step": {
            "delivered": round(delivered / steps, 3),
            "stations_pass": round(capacity.stations, 3),
            "ways_carry": round(capacity.ways, 3),
        },
        "waiting_share": {
            name: round(int(count) / (building.units * steps), 4)
            for name, count in zip(("room_in_lane", "in_lane", "elsewhere"), waits, strict=True)
        },
        "conflicts": checker.conflicts,
        "rescues": stats.rescues,
        "rejected_steps": stats.rejected,
        "budget_ms": budget_ms,
        "planning_ms": {
            "mean": round(float(measured.mean()), 3),
            "p99": round(float(np.percentile(measured, 99)), 3),
            "max": round(float(measured.max()), 3),
            "first": round(float(spent[0]), 3),
        },
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "seed": seed,
    }
