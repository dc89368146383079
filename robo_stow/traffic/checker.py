"""Independent watch over the fleet: would anybody have collided?

Shares no code with planner, execution and drive: it sees only reported states and where pods
stand, and judges them by geometry.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from robo_stow.floor.building import Building, CellKind
from robo_stow.messages import I32, Alarm, FleetState, Load

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Bools = NDArray[np.bool_]

TOLERANCE = 0.005
"""m by which outlines may overlap before it counts: positions are single precision."""

_SAME_CELL, _OVERLAP, _STANDING, _WALL, _SAME_POD = range(5)


class Checker:
    """Finds conflicts in the states of the fleet.

    Watched: two units that report the same cell, outlines that overlap (a unit is a square of side
    ``drive.footprint`` turned by its yaw, a carried pod an axis-aligned square of side
    ``pod.size``), two units that exchange cells from one state to the next, a loaded unit that
    overlaps a standing pod, two units that report the same pod, entry into a keep-out cell, and a
    unit off the grid or with its square in a wall.

    What lasts is told once, when it begins; exchanges and entries are told each time.

    Args:
        building: the site.

    Attributes:
        conflicts: number of conflicts found so far.
    """

    def __init__(self, building: Building) -> None:
        self.conflicts = 0
        self._building = building
        grid = self._grid = building.grid
        self._unit_half = building.drive.footprint / 2
        self._pod_half = building.pod.size / 2
        n = building.units
        self._wall: Bools = np.asarray(grid.kind == CellKind.WALL)
        self._keep_out: Bools = np.zeros(grid.cells, np.bool_)
        self._cell = np.full(n, -1, np.int64)
        self._x = np.full(n, np.nan)
        self._y = np.full(n, np.nan)
        self._yaw = np.zeros(n)
        self._load = np.zeros(n, np.uint8)
        self._load_id = np.full(n, -1, np.int64)
        self._at = np.full(grid.cells, -1, np.int64)  # scratch of the search for exchanges
        self._lasting: I64 = np.zeros(0, np.int64)
        # Buckets at least as wide as two outlines can reach: neighbours are enough to look at.
        self._reach = 2 * max(self._unit_half * np.sqrt(2.0), self._pod_half)

    def keep_out(self, cells: Iterable[int]) -> None:
        """Close ``cells`` (all others are open): no unit that is not in there may enter them."""
        self._keep_out[:] = False
        self._keep_out[list(cells)] = True

    def check(self, state: FleetState, pod_cells: I32) -> list[Alarm]:
        """Judge the fleet after ``state``, which may be of some units only.

        Args:
            pod_cells: I32[pods] cell where each pod stands, -1 while it is carried.

        Returns:
            One alarm of kind "conflict" for everything that is wrong and was not before.
        """
        known = (state.unit >= 0) & (state.unit < len(self._cell))
        unit = state.unit[known]
        before = self._cell[unit]
        self._cell[unit] = now = state.cell[known].astype(np.int64)
        self._x[unit], self._y[unit] = state.x[known], state.y[known]
        self._yaw[unit] = state.yaw[known]
        self._load[unit], self._load_id[unit] = state.load[known], state.load_id[known]
        alarms: list[Alarm] = []
        moved = np.flatnonzero((now != before) & (before >= 0))
        if len(moved):
            self._check_moves(state.stamp, unit[moved], before[moved], now[moved], alarms)
        self._check_lasting(state.stamp, pod_cells, alarms)
        self.conflicts += len(alarms)
        return alarms

    # --- what happens between two states -------------------------------------------------------

    def _check_moves(
        self, stamp: float, unit: I32, before: I64, now: I64, alarms: list[Alarm]
    ) -> None:
        inside = (now >= 0) & (now < self._grid.cells)
        unit, before, now = unit[inside], before[inside], now[inside]
        for i in np.flatnonzero(self._keep_out[now] & ~self._keep_out[before]).tolist():
            self._tell(alarms, stamp, f"{self._name(unit[i])} entered closed cell {now[i]}")
        self._at[before] = np.arange(len(unit))  # who left the cell
        other = self._at[now]
        self._at[before] = -1
        swapped = (other >= 0) & (now[other] == before) & (unit < unit[other])
        for i in np.flatnonzero(swapped).tolist():
            self._tell(
                alarms,
                stamp,
                f"{self._name(unit[i])} and {self._name(unit[other[i]])} exchanged cells "
                f"{before[i]} and {now[i]}",
            )

    # --- what can be seen in one state ---------------------------------------------------------

    def _check_lasting(self, stamp: float, pod_cells: I32, alarms: list[Alarm]) -> None:
        seen = np.flatnonzero(self._cell >= 0)
        keys = np.concatenate(
            (
                self._shared(_SAME_CELL, self._cell[seen], seen),
                self._shared_pods(seen),
                self._overlaps(seen),
                self._on_standing_pods(seen, pod_cells),
                self._in_walls(seen),
            )
        )
        if not len(keys) and not len(self._lasting):
            return
        keys = np.unique(keys)
        for key in keys[~np.isin(keys, self._lasting)].tolist():
            self._tell(alarms, stamp, self._describe(key))
        self._lasting = keys

    def _key(self, kind: int, a: I64, b: I64) -> I64:
        """One number for a conflict between ``a`` and ``b`` (units, pods or cells)."""
        key: I64 = (kind << 60) | (np.asarray(a, np.int64) << 30) | np.asarray(b, np.int64)
        return key

    def _shared(self, kind: int, value: I64, unit: I64) -> I64:
        """Units that hold the same value, each with the next one."""
        order = np.argsort(value, kind="stable")
        ranked = value[order]
        same = np.flatnonzero(ranked[1:] == ranked[:-1])
        return self._key(kind, unit[order[same]], unit[order[same + 1]])

    def _shared_pods(self, seen: I64) -> I64:
        carrying = seen[(self._load[seen] == Load.POD) & (self._load_id[seen] >= 0)]
        return self._shared(_SAME_POD, self._load_id[carrying], carrying)

    def _overlaps(self, seen: I64) -> I64:
        located = seen[np.isfinite(self._x[seen]) & np.isfinite(self._y[seen])]
        a, b = self._near_pairs(located)
        if not len(a):
            return np.zeros(0, np.int64)
        dx, dy = self._x[b] - self._x[a], self._y[b] - self._y[a]
        pod_a, pod_b = self._load[a] == Load.POD, self._load[b] == Load.POD
        unit, pod = self._unit_half, self._pod_half
        hit = _squares_meet(dx, dy, self._yaw[a], unit, self._yaw[b], unit)
        hit |= pod_a & pod_b & _squares_meet(dx, dy, 0.0, pod, 0.0, pod)
        hit |= pod_a & _squares_meet(dx, dy, 0.0, pod, self._yaw[b], unit)
        hit |= pod_b & _squares_meet(dx, dy, self._yaw[a], unit, 0.0, pod)
        return self._key(_OVERLAP, np.minimum(a, b)[hit], np.maximum(a, b)[hit])

    def _near_pairs(self, unit: I64) -> tuple[I64, I64]:
        """Pairs of units whose outlines may touch, by buckets of the floor."""
        column = np.floor(self._x[unit] / self._reach).astype(np.int64)
        row = np.floor(self._y[unit] / self._reach).astype(np.int64)
        if not len(unit):
            return unit, unit
        stride = int(column.max() - column.min()) + 3
        bucket = row * stride + column
        order = np.argsort(bucket, kind="stable")
        unit, bucket = unit[order], bucket[order]
        place = np.arange(len(unit))
        # Behind a unit in its own bucket and the next, then the three buckets of the next row.
        first = np.concatenate((place + 1, np.searchsorted(bucket, bucket + stride - 1, "left")))
        last = np.concatenate(
            (
                np.searchsorted(bucket, bucket + 1, "right"),
                np.searchsorted(bucket, bucket + stride + 1, "right"),
            )
        )
        count = np.maximum(last - first, 0)
        a = np.repeat(np.concatenate((place, place)), count)
        step = np.arange(len(a)) - np.repeat(np.cumsum(count) - count, count)
        a, b = unit[a], unit[np.repeat(first, count) + step]
        close = np.maximum(np.abs(self._x[a] - self._x[b]), np.abs(self._y[a] - self._y[b]))
        near = close < self._reach
        return a[near], b[near]

    def _on_standing_pods(self, seen: I64, pod_cells: I32) -> I64:
        loaded = seen[self._load[seen] != Load.NONE]
        loaded = loaded[np.isfinite(self._x[loaded]) & np.isfinite(self._y[loaded])]
        if not len(loaded):
            return np.zeros(0, np.int64)
        grid = self._grid
        pod_at = np.full(grid.cells, -1, np.int64)
        standing = np.flatnonzero(pod_cells >= 0)
        pod_at[pod_cells[standing]] = standing
        x, y = self._x[loaded], self._y[loaded]
        column = np.floor(x / grid.pitch).astype(np.int64)
        row = grid.height - 1 - np.floor(y / grid.pitch).astype(np.int64)
        side = np.array([-1, 0, 1])
        c = column[:, None] + np.tile(side, 3)
        r = row[:, None] + np.repeat(side, 3)
        inside = (c >= 0) & (c < grid.width) & (r >= 0) & (r < grid.height)
        cell = np.where(inside, r * grid.width + c, 0)
        pod = np.where(inside, pod_at[cell], -1)
        # The pod a unit has just lifted may not have been told to be off the floor yet.
        pod[pod == self._load_id[loaded][:, None]] = -1
        i, j = np.nonzero(pod >= 0)
        unit, cell = loaded[i], cell[i, j]
        dx = (c[i, j] + 0.5) * grid.pitch - self._x[unit]
        dy = (grid.height - r[i, j] - 0.5) * grid.pitch - self._y[unit]
        half = self._pod_half
        hit = _squares_meet(dx, dy, self._yaw[unit], self._unit_half, 0.0, half)
        hit |= (self._load[unit] == Load.POD) & _squares_meet(dx, dy, 0.0, half, 0.0, half)
        return self._key(_STANDING, unit[hit], cell[hit])

    def _in_walls(self, seen: I64) -> I64:
        grid = self._grid
        half = self._unit_half - TOLERANCE
        x = self._x[seen][:, None] + np.array([-half, half, -half, half])
        y = self._y[seen][:, None] + np.array([-half, -half, half, half])
        with np.errstate(invalid="ignore"):
            off = ~((x >= 0) & (x < grid.width * grid.pitch))
            off |= ~((y >= 0) & (y < grid.height * grid.pitch))
            column = np.where(off, 0, x / grid.pitch).astype(np.int64)
            row = grid.height - 1 - np.where(off, 0, y / grid.pitch).astype(np.int64)
        bad = off | self._wall[row * grid.width + column]
        units = seen[bad.any(axis=1) | (self._cell[seen] >= grid.cells)]
        return self._key(_WALL, units, np.zeros(len(units), np.int64))

    # --- words ---------------------------------------------------------------------------------

    def _name(self, unit: int) -> str:
        return self._building.unit_name(int(unit))

    def _tell(self, alarms: list[Alarm], stamp: float, text: str) -> None:
        alarms.append(Alarm(stamp, "monitor", "conflict", f"{text} at {stamp:.2f} s"))

    def _describe(self, key: int) -> str:
        kind, a, b = key >> 60, key >> 30 & (1 << 30) - 1, key & (1 << 30) - 1
        first = f"{self._name(a)} (cell {self._cell[a]})"
        if kind == _STANDING:
            return f"{first} is loaded and touches the pod that stands in cell {b}"
        if kind == _WALL:
            return f"{first} is off the floor, x {self._x[a]:.2f} m, y {self._y[a]:.2f} m"
        second = f"{self._name(b)} (cell {self._cell[b]})"
        if kind == _SAME_CELL:
            return f"{first} and {second} report the same cell"
        if kind == _SAME_POD:
            return f"{first} and {second} both carry pod {self._load_id[a]}"
        return f"{first} and {second} overlap"


def _squares_meet(
    dx: F64, dy: F64, yaw_a: F64 | float, half_a: float, yaw_b: F64 | float, half_b: float
) -> Bools:
    """Whether squares overlap, the second one's centre ``dx, dy`` from the first one's.

    Separating axes: they do not when they lie apart along a side of either (S. Gottschalk et al.,
    "OBBTree", SIGGRAPH 1996).
    """
    turn = np.asarray(yaw_b) - np.asarray(yaw_a)
    spread = np.abs(np.cos(turn)) + np.abs(np.sin(turn))
    hit = np.ones(len(dx), np.bool_)
    for yaw, own, other in ((yaw_a, half_a, half_b), (yaw_b, half_b, half_a)):
        cos, sin = np.cos(yaw), np.sin(yaw)
        far = own + other * spread - TOLERANCE
        hit &= (np.abs(dx * cos + dy * sin) < far) & (np.abs(dy * cos - dx * sin) < far)
    return hit
