"""Independent watch over the fleet: would anybody have collided?

Shares no code with planner, execution and drive: it sees only reported states and where pods
stand, and judges them by geometry. The looking is done in C (``src/watch/checker.c``).
"""

from __future__ import annotations

import ctypes
from ctypes import c_double, c_int32, c_void_p

import numpy as np
from numpy.typing import NDArray

from robo_stow.floor.building import Building
from robo_stow.messages import I32, Alarm, FleetState
from robo_stow.native import load

I64 = NDArray[np.int64]

TOLERANCE = 0.005
"""m by which outlines may overlap before it counts: positions are single precision."""

REACTION = 0.5
"""s from the closing of a cell until its units brake: word has to reach them first."""

_SAME_CELL, _OVERLAP, _STANDING, _OFF_FLOOR, _SAME_POD, _DRIVING = range(6)
_CLOSED, _STILL = 1, 2

_SIZES = ("units", "pods", "width", "height", "most")
_LENGTHS = ("pitch", "unit_half", "pod_half", "tolerance")
_ARRAYS = (
    *("kind", "closed", "cell", "x", "y", "yaw", "load", "load_id"),
    *("at", "pod_at", "carrier", "next", "move", "found"),
)


class CheckerStruct(ctypes.Structure):
    """rs_checker of src/watch/checker.h."""

    _fields_ = (
        *((name, c_int32) for name in _SIZES),
        *((name, c_double) for name in _LENGTHS),
        *((name, c_void_p) for name in _ARRAYS),
        ("moves", c_int32),
        ("founds", c_int32),
    )


class Checker:
    """Finds conflicts in the states of the fleet.

    Watched: two units that report the same cell, outlines that overlap (a unit is a square of side
    ``drive.footprint`` turned by its yaw, a carried pod an axis-aligned square of side
    ``pod.size``), two units that exchange cells from one state to the next, a loaded unit that
    overlaps a standing pod, two units that report the same pod, entry into a closed cell (but by a
    unit that could not brake before it when it was closed), a unit that still drives in a closed
    cell when it could have come to rest, and a unit off the grid or with its square in a wall.

    What lasts is told once, when it begins; exchanges and entries are told each time.

    Args:
        building: the site.

    Attributes:
        conflicts: number of conflicts found so far.
        struct: what C works on; its arrays hold the fleet as last reported.
    """

    def __init__(self, building: Building) -> None:
        self.conflicts = 0
        self._building = building
        grid, n = building.grid, building.units
        self._most = 32 * n + 64
        self._closed = np.zeros(grid.cells, np.uint8)
        self._cell = np.full(n, -1, np.int32)
        self._x = np.full(n, np.nan)
        self._y = np.full(n, np.nan)
        self._load_id = np.full(n, -1, np.int32)
        self._move = np.zeros((2 * n, 4), np.int32)  # unit, other, before, now
        self._found = np.zeros(self._most, np.int64)
        self._arrays: dict[str, NDArray[np.generic]] = {
            "kind": np.ascontiguousarray(grid.kind, np.uint8),
            "closed": self._closed,
            "cell": self._cell,
            "x": self._x,
            "y": self._y,
            "yaw": np.zeros(n),
            "load": np.zeros(n, np.uint8),
            "load_id": self._load_id,
            "at": np.full(grid.cells, -1, np.int32),
            "pod_at": np.full(grid.cells, -1, np.int32),
            "carrier": np.full(building.pods, -1, np.int32),
            "next": np.full(n, -1, np.int32),
            "move": self._move,
            "found": self._found,
        }
        self.struct = CheckerStruct(
            units=n,
            pods=building.pods,
            width=grid.width,
            height=grid.height,
            most=self._most,
            pitch=grid.pitch,
            unit_half=building.drive.footprint / 2,
            pod_half=building.pod.size / 2,
            tolerance=TOLERANCE,
            **{name: array.ctypes.data for name, array in self._arrays.items()},
        )
        self._lasting: I64 = np.zeros(0, np.int64)
        self._closed_at = np.full(grid.cells, np.inf)  # s
        self._may_enter: set[tuple[int, int]] = set()  # unit, closed cell that it cannot avoid
        self._c_check = load().rs_checker_check
        self._c_check.argtypes = (c_void_p, c_int32, *(c_void_p,) * 8)
        self._c_check.restype = c_int32

    def keep_out(self, cells: I32, stamp: float, speed: NDArray[np.float32]) -> None:
        """Close ``cells`` (all others are open); to be said again while they are closed.

        No unit that is not in there may enter them, and those that are there come to rest.

        Args:
            stamp: s, now.
            speed: F32[units] m/s, as last reported.
        """
        drive = self._building.drive
        closed = np.zeros(len(self._closed), np.bool_)
        closed[cells] = True
        fresh = closed & np.isinf(self._closed_at)
        self._closed_at[~closed] = np.inf
        self._closed_at[fresh] = stamp
        rest = REACTION + drive.max_speed / drive.acceleration
        self._closed[:] = np.where(self._closed_at + rest < stamp, _STILL, closed * _CLOSED)
        self._may_enter = {(u, c) for u, c in self._may_enter if closed[c]}
        if fresh.any():
            self._note_unavoidable(fresh, speed)

    def _note_unavoidable(self, fresh: NDArray[np.bool_], speed: NDArray[np.float32]) -> None:
        """Units that drive go on for their reaction and braking, straight ahead."""
        grid, yaws = self._building.grid, self._arrays["yaw"]
        for unit in np.flatnonzero((speed > 0.0) & (self._cell >= 0)).tolist():
            v = float(speed[unit])
            way = v * REACTION + v**2 / (2 * self._building.drive.acceleration) + grid.pitch / 2
            metres = np.arange(0.0, way + grid.pitch / 4, grid.pitch / 4)
            x = self._x[unit] + metres * np.cos(yaws[unit])
            y = self._y[unit] + metres * np.sin(yaws[unit])
            inside = (x >= 0) & (y >= 0)
            inside &= (x < grid.width * grid.pitch) & (y < grid.height * grid.pitch)
            for cell in set(grid.cell_at(x[inside], y[inside]).tolist()):
                if fresh[cell]:
                    self._may_enter.add((unit, cell))

    def check(self, state: FleetState, pod_cells: I32) -> list[Alarm]:
        """Judge the fleet after ``state``, which may be of some units only.

        Args:
            pod_cells: I32[pods] cell where each pod stands, -1 while it is carried.

        Returns:
            One alarm of kind "conflict" for everything that is wrong and was not before.
        """
        n = len(self._cell)
        known = np.flatnonzero((state.unit >= 0) & (state.unit < n))[-n:]
        fields = (
            *((state.unit, np.int32), (state.cell, np.int32), (state.x, np.float32)),
            *((state.y, np.float32), (state.yaw, np.float32)),
            *((state.load, np.uint8), (state.load_id, np.int32)),
        )
        arrays = [array[known].astype(dtype, copy=False) for array, dtype in fields]
        places = np.ascontiguousarray(pod_cells, np.int32)
        self._c_check(
            ctypes.byref(self.struct),
            len(known),
            *(array.ctypes.data for array in arrays),
            places.ctypes.data,
        )
        return self.tell(state.stamp)

    @property
    def lasts(self) -> bool:
        """Whether a conflict goes on that has been told."""
        return bool(len(self._lasting))

    def tell(self, stamp: float) -> list[Alarm]:
        """What the last look in C has found and was not so before."""
        alarms: list[Alarm] = []
        for unit, other, before, now in self._move[: self.struct.moves].tolist():
            if other < 0 and (unit, now) in self._may_enter:
                continue
            if other < 0:
                text = f"{self._name(unit)} entered closed cell {now}"
            else:
                pair = f"{self._name(unit)} and {self._name(other)}"
                text = f"{pair} exchanged cells {before} and {now}"
            self._tell(alarms, stamp, text)
        keys = np.unique(self._found[: self.struct.founds])
        for key in keys[~np.isin(keys, self._lasting)].tolist():
            self._tell(alarms, stamp, self._describe(key))
        self._lasting = keys
        self.conflicts += len(alarms)
        return alarms

    def _name(self, unit: int) -> str:
        return self._building.unit_name(int(unit))

    def _tell(self, alarms: list[Alarm], stamp: float, text: str) -> None:
        alarms.append(Alarm(stamp, "monitor", "conflict", f"{text} at {stamp:.2f} s"))

    def _describe(self, key: int) -> str:
        kind, a, b = key >> 60, key >> 30 & (1 << 30) - 1, key & (1 << 30) - 1
        first = f"{self._name(a)} (cell {self._cell[a]})"
        if kind == _STANDING:
            return f"{first} is loaded and touches the pod that stands in cell {b}"
        if kind == _DRIVING:
            return f"{first} drives in a closed cell"
        if kind == _OFF_FLOOR:
            return f"{first} is off the floor, x {self._x[a]:.2f} m, y {self._y[a]:.2f} m"
        second = f"{self._name(b)} (cell {self._cell[b]})"
        if kind == _SAME_CELL:
            return f"{first} and {second} report the same cell"
        if kind == _SAME_POD:
            return f"{first} and {second} both carry pod {self._load_id[a]}"
        return f"{first} and {second} overlap"
