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

_SAME_CELL, _OVERLAP, _STANDING, _OFF_FLOOR, _SAME_POD = range(5)
_FEW = 64  # up to so many units, all pairs are compared


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
        self._wall: Bools = np.pad(
            np.reshape(grid.kind == CellKind.WALL, (grid.height, grid.width)),
            1,
            constant_values=True,
        )
        self._pod_at = np.full(grid.cells, -1, np.int64)  # scratch
        self._keep_out: Bools = np.zeros(grid.cells, np.bool_)
        self._cell = np.full(n, -1, np.int64)
        self._x = np.full(n, np.nan)
        self._y = np.full(n, np.nan)
        self._yaw = np.zeros(n)
        self._load = np.zeros(n, np.uint8)
        self._load_id = np.full(n, -1, np.int64)
        self._at = np.full(grid.cells, -1, np.int64)  # scratch
        self._lasting: I64 = np.zeros(0, np.int64)
        # Outlines whose centres are further apart than this in x or in y do not touch.
        self._reach = 2 * max(self._unit_half * np.sqrt(2.0), self._pod_half)
        self._pod_reach = (self._reach / 2 + self._pod_half) / grid.pitch  # the same, of a pod
        steps = np.arange(int(np.ceil(2 * self._pod_reach)))
        self._pod_columns = np.tile(steps, len(steps))
        self._pod_rows = np.repeat(steps, len(steps))

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
        inside = (now >= 0) & (now < self._grid.cells) & (before < self._grid.cells)
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
        found: list[I64] = []
        x, y = self._x, self._y
        if np.isfinite(x + y).all():
            placed = np.arange(len(x))
        else:
            placed = np.flatnonzero(np.isfinite(x + y))
            lost = np.flatnonzero(~np.isfinite(x + y) & (self._cell >= 0))
            found.append(self._key(_OFF_FLOOR, lost, lost))
        carrying = placed[self._load[placed] != Load.NONE]
        found += self._shared(_SAME_CELL, self._cell, np.flatnonzero(self._cell >= 0))
        found += self._shared(_SAME_POD, self._load_id, carrying[self._load_id[carrying] >= 0])
        found += self._overlaps(placed)
        found += self._on_standing_pods(carrying, pod_cells)
        found += self._off_floor(placed)
        if not found and not len(self._lasting):
            return
        keys = np.unique(np.concatenate(found)) if found else np.zeros(0, np.int64)
        for key in keys[~np.isin(keys, self._lasting)].tolist():
            self._tell(alarms, stamp, self._describe(key))
        self._lasting = keys

    def _key(self, kind: int, a: I64, b: I64) -> I64:
        """One number for a conflict between ``a`` and ``b`` (units or cells)."""
        key: I64 = (kind << 60) | (np.asarray(a, np.int64) << 30) | np.asarray(b, np.int64)
        return key

    def _shared(self, kind: int, value: I64, unit: I64) -> list[I64]:
        """Units that hold the same value, each with the next one."""
        value = value[unit]
        ranked = np.sort(value)
        if not (ranked[1:] == ranked[:-1]).any():
            return []
        order = np.argsort(value, kind="stable")
        same = np.flatnonzero(ranked[1:] == ranked[:-1])
        return [self._key(kind, unit[order[same]], unit[order[same + 1]])]

    def _overlaps(self, placed: I64) -> list[I64]:
        a, b = self._near_pairs(placed)
        if not len(a):
            return []
        dx, dy = self._x[b] - self._x[a], self._y[b] - self._y[a]
        yaw_a, yaw_b = self._yaw[a], self._yaw[b]
        pod_a, pod_b = self._load[a] == Load.POD, self._load[b] == Load.POD
        unit, pod = self._unit_half, self._pod_half
        hit = _squares_meet(dx, dy, yaw_a, unit, yaw_b, unit)
        if pod_a.any() or pod_b.any():
            hit |= pod_a & pod_b & _squares_meet(dx, dy, 0.0, pod, 0.0, pod)
            hit |= pod_a & _squares_meet(dx, dy, 0.0, pod, yaw_b, unit)
            hit |= pod_b & _squares_meet(dx, dy, yaw_a, unit, 0.0, pod)
        if not hit.any():
            return []
        return [self._key(_OVERLAP, np.minimum(a, b)[hit], np.maximum(a, b)[hit])]

    def _near_pairs(self, placed: I64) -> tuple[I64, I64]:
        """Pairs of units whose outlines may touch."""
        x, y = self._x[placed], self._y[placed]
        if len(placed) <= _FEW:
            near = np.abs(x[:, None] - x) < self._reach
            near &= np.abs(y[:, None] - y) < self._reach
            if np.count_nonzero(near) == len(placed):  # each with itself
                return placed[:0], placed[:0]
            i, j = np.nonzero(np.triu(near, 1))
            return placed[i], placed[j]
        # Buckets as wide as the reach: a unit's partners are in its own or a neighbouring one.
        column = np.floor(x / self._reach).astype(np.int64)
        row = np.floor(y / self._reach).astype(np.int64)
        stride = int(column.max() - column.min()) + 3
        bucket = row * stride + column
        order = np.argsort(bucket, kind="stable")
        bucket = bucket[order]
        place = np.arange(len(order))
        # Those behind it in its own bucket and in the next, then three buckets of the next row.
        border = np.searchsorted(
            bucket, np.concatenate((bucket + 2, bucket + stride - 1, bucket + stride + 2))
        ).reshape(3, -1)
        first = np.concatenate((place + 1, border[1]))
        count = np.concatenate((border[0], border[2])) - first
        some = np.flatnonzero(count > 0)
        first, count = first[some], count[some]
        i = np.repeat(some % len(order), count)
        j = np.arange(len(i)) + np.repeat(first - np.cumsum(count) + count, count)
        a, b = order[i], order[j]
        near = (np.abs(x[a] - x[b]) < self._reach) & (np.abs(y[a] - y[b]) < self._reach)
        return placed[a[near]], placed[b[near]]

    def _on_standing_pods(self, carrying: I64, pod_cells: I32) -> list[I64]:
        if not len(carrying):
            return []
        grid = self._grid
        self._pod_at[:] = -1
        standing = np.flatnonzero(pod_cells >= 0)
        self._pod_at[pod_cells[standing]] = standing
        # Cells whose centres are near enough; row 0 is at the north wall.
        reach = self._pod_reach
        u, v = self._x[carrying] / grid.pitch, grid.height - self._y[carrying] / grid.pitch
        c = np.floor(u - reach + 0.5).astype(np.int64)[:, None] + self._pod_columns
        r = np.floor(v - reach + 0.5).astype(np.int64)[:, None] + self._pod_rows
        cell = r.clip(0, grid.height - 1) * grid.width + c.clip(0, grid.width - 1)
        pod = self._pod_at[cell]
        # The pod a unit has just lifted may not have been told to be off the floor yet.
        i, j = np.nonzero((pod >= 0) & (pod != self._load_id[carrying][:, None]))
        if not len(i):
            return []
        unit, cell = carrying[i], cell[i, j]
        row, column = np.divmod(cell, grid.width)
        dx = (column + 0.5 - u[i]) * grid.pitch
        dy = (v[i] - row - 0.5) * grid.pitch
        half = self._pod_half
        hit = _squares_meet(dx, dy, self._yaw[unit], self._unit_half, 0.0, half)
        hit |= (self._load[unit] == Load.POD) & _squares_meet(dx, dy, 0.0, half, 0.0, half)
        return [self._key(_STANDING, unit[hit], cell[hit])] if hit.any() else []

    def _off_floor(self, placed: I64) -> list[I64]:
        grid = self._grid
        half = (self._unit_half - TOLERANCE) / grid.pitch
        u, v = self._x[placed] / grid.pitch, grid.height - self._y[placed] / grid.pitch
        # One cell of wall round the floor stands for all that is outside.
        left, right = np.floor([u - half + 1, u + half + 1]).clip(0, grid.width + 1).astype(int)
        top, bottom = np.floor([v - half + 1, v + half + 1]).clip(0, grid.height + 1).astype(int)
        wall = self._wall
        bad = wall[top, left] | wall[top, right] | wall[bottom, left] | wall[bottom, right]
        bad |= self._cell[placed] >= grid.cells
        if not bad.any():
            return []
        units = placed[bad]
        return [self._key(_OFF_FLOOR, units, units)]

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
        if kind == _OFF_FLOOR:
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
