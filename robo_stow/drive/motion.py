"""Drive units that follow releases on the grid: motion, load and battery, stepped together.

The work is done in C (``src/drive/motion.c``). Motion is time-optimal with trapezoidal speed: a
run of consecutive released FORWARDs is driven without a stop, and a unit is at all times able to
brake to a standstill at the centre of the last released cell. Every phase is in closed form, so
any step length gives the same path, and the time left over when an action ends within a step
goes into the next action.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import c_double, c_int32, c_int64, c_uint32, c_uint64, c_void_p
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from robo_stow.errors import InputError
from robo_stow.floor.building import DriveProfile, Grid
from robo_stow.messages import I32, U8, Action, FleetState, Load, PodPlaces, Release
from robo_stow.native import load

RING = 128
"""Actions a unit can hold that are released and not done (RS_DRIVE_RING)."""

ROUNDING = 1e-6
"""m by which rounding may put a unit beyond the last place from which it can stop in time."""

_CAN_FAIL = (Action.LIFT, Action.LOWER, Action.CHARGE, Action.FACE)
"""In the order of the bits of `fault` in src/drive/motion.h."""

_NUMBERS_INT = ("n", "first_unit", "width", "height", "closures")
_NUMBERS = (
    *("pitch", "max_speed", "acceleration", "turn_time", "lift_time", "wheel_arm"),
    *("battery_wh", "idle_power", "drive_power", "load_power", "lift_energy", "charge_power"),
    "pod_mass",
)
_ARRAYS = (
    *("kind", "closed", "pod_at", "pod_face", "ring_action", "ring_cell", "ring_delay"),
    *("epoch", "done", "released", "cell", "heading", "base_cell", "base_heading", "offset", "v"),
    *("progress", "charge", "load_mass", "load", "load_id", "stopped", "dead", "contact", "held"),
    "fault",
    *("x", "y", "yaw", "speed", "battery", "status"),
)


class FleetStruct(ctypes.Structure):
    """rs_drive_fleet of src/drive/motion.h."""

    _fields_ = (
        *((name, c_int32) for name in _NUMBERS_INT),
        *((name, c_double) for name in _NUMBERS),
        *((name, c_void_p) for name in _ARRAYS),
    )


@lru_cache(maxsize=1)
def _lateness() -> Callable[..., float]:
    function = load().rs_drive_lateness
    function.argtypes = (c_uint64, c_int32, c_uint32, c_uint32, c_double, c_double)
    function.restype = c_double
    return function


def lateness(seed: int, unit: int, epoch: int, action: int, share: float, seconds: float) -> float:
    """Seconds by which an action of a unit is late; the same for equal arguments.

    Args:
        action: its number within the epoch.
        share: of actions that are late, 0..1; the others get 0.
        seconds: mean of the exponential distribution of lateness.
    """
    return _lateness()(seed, unit, epoch, action, share, seconds)


@dataclass(frozen=True, slots=True)
class UnderWay:
    """The action a unit is in; ``spent`` of ``whole`` seconds, for FORWARD metres."""

    action: int
    spent: float
    whole: float


class DriveUnits:
    """A group of ``n`` drive units, numbered from ``first_unit``, and the pods they can reach.

    Args:
        profile: motion and energy of every unit of the group.
        grid: the storage level.
        n: number of units.
        cell: I32[n] start cells.
        heading: U8[n] start headings.
        first_unit: number of the group's first unit in the fleet (a robot's own node has n = 1).
        pod_cell: I32[pods] cells where pods stand, -1 where not known.
        pod_mass: kg a pod weighs for the battery.
        charge: F64[n] or one number, 0..1, state of the batteries.

    Public arrays, one entry a unit, to be read only: ``cell, heading, epoch, done, released,
    load, load_id, status``; and ``pod_at`` I32[cells], the pod that stands on a cell or -1.
    ``struct`` is what C works on.

    Raises:
        InputError: a start cell is outside the floor, in a wall or taken twice by pods.
    """

    def __init__(
        self,
        profile: DriveProfile,
        grid: Grid,
        n: int,
        cell: I32,
        heading: U8,
        *,
        first_unit: int = 0,
        pod_cell: I32 | None = None,
        pod_mass: float = 0.0,
        charge: NDArray[np.float64] | float = 1.0,
    ) -> None:
        self.n = n
        self.first_unit = first_unit
        self.unit = np.arange(first_unit, first_unit + n, dtype=np.int32)
        self.unit.flags.writeable = False
        self._kind = np.ascontiguousarray(grid.kind, np.uint8)
        self._closed = np.zeros(grid.cells, np.uint8)
        pods = np.zeros(0, np.int32) if pod_cell is None else np.asarray(pod_cell, np.int32)

        def per_unit(dtype: type, width: int = 1) -> NDArray[np.generic]:
            return np.zeros(n * width, dtype)

        self.cell: I32 = np.array(cell, np.int32)
        self.heading: U8 = np.array(heading, np.uint8)
        self.pod_at: I32 = np.full(grid.cells, -1, np.int32)
        self.pod_face: U8 = np.zeros(len(pods), np.uint8)
        self._delay = np.zeros(n * RING, np.float64)
        self.epoch = np.zeros(n, np.uint32)
        self.done = np.zeros(n, np.uint32)
        self.released = np.zeros(n, np.uint32)
        self._charge = np.array(np.broadcast_to(np.asarray(charge, np.float64), (n,)))
        self._load_mass = np.zeros(n, np.float64)
        self.load: U8 = np.zeros(n, np.uint8)
        self.load_id: I32 = np.full(n, -1, np.int32)
        self._stopped = np.zeros(n, np.uint8)
        self._dead = np.zeros(n, np.uint8)
        self._fault = np.zeros(n, np.uint8)
        self._x, self._y, self._yaw, self._speed, self._battery = np.zeros((5, n), np.float32)
        self.status: U8 = np.zeros(n, np.uint8)
        self._check_start(grid, pods)
        standing = np.flatnonzero(pods >= 0)
        self.pod_at[pods[standing]] = standing

        arrays = {
            "kind": self._kind,
            "closed": self._closed,
            "pod_at": self.pod_at,
            "pod_face": self.pod_face,
            "ring_action": per_unit(np.uint8, RING),
            "ring_cell": per_unit(np.int32, RING),
            "ring_delay": self._delay,
            "epoch": self.epoch,
            "done": self.done,
            "released": self.released,
            "cell": self.cell,
            "heading": self.heading,
            "base_cell": self.cell.copy(),
            "base_heading": self.heading.copy(),
            "offset": per_unit(np.float64),
            "v": per_unit(np.float64),
            "progress": per_unit(np.float64),
            "charge": self._charge,
            "load_mass": self._load_mass,
            "load": self.load,
            "load_id": self.load_id,
            "stopped": self._stopped,
            "dead": self._dead,
            "contact": per_unit(np.uint8),
            "held": per_unit(np.uint8),
            "fault": self._fault,
            "x": self._x,
            "y": self._y,
            "yaw": self._yaw,
            "speed": self._speed,
            "battery": self._battery,
            "status": self.status,
        }
        self._arrays = arrays  # C holds their addresses
        self.struct = FleetStruct(
            n=n,
            first_unit=first_unit,
            width=grid.width,
            height=grid.height,
            pitch=grid.pitch,
            max_speed=profile.max_speed,
            acceleration=profile.acceleration,
            turn_time=profile.turn_time,
            lift_time=profile.lift_time,
            wheel_arm=profile.footprint / 2,  # turning in place drives the wheels on this circle
            battery_wh=profile.battery,
            idle_power=profile.idle_power,
            drive_power=profile.drive_power,
            load_power=profile.load_power,
            lift_energy=profile.lift_energy,
            charge_power=profile.charge_power,
            pod_mass=pod_mass,
            **{name: array.ctypes.data for name, array in arrays.items()},
        )
        self._pointer = ctypes.byref(self.struct)
        library = load()
        self._c_step = library.rs_drive_step
        self._c_step.argtypes = (c_void_p, c_double)
        self._c_step.restype = c_int32
        self._c_take = library.rs_drive_take
        self._c_take.argtypes = (
            *(c_void_p, c_uint32, c_int32, c_void_p, c_void_p, c_void_p, c_void_p),
            *(c_int64, c_void_p, c_void_p, c_void_p),
        )
        self._c_take.restype = c_int64
        self.step(0.0)

    def _check_start(self, grid: Grid, pods: I32) -> None:
        for name, cells in (("cell", self.cell), ("pod_cell", pods[pods >= 0])):
            bad = (cells < 0) | (cells >= grid.cells)
            bad[~bad] = self._kind[cells[~bad]] == 0
            if bad.any():
                raise InputError(
                    "start places", name, int(cells[bad][0]), "must be a cell that is no wall"
                )
        if len(np.unique(pods[pods >= 0])) != np.count_nonzero(pods >= 0):
            raise InputError("start places", "pod_cell", "", "two pods stand on one cell")

    def take(self, release: Release) -> I32:
        """Take over a release as `Release` documents; entries of other units are passed over.

        Returns:
            I32[k] number of actions newly taken per entry; they are the last ones of the
            unit's base, numbers ``released - taken`` to ``released - 1``.

        Raises:
            InputError: the arrays of the release do not fit together; nothing was taken.
        """
        unit = np.ascontiguousarray(release.unit, np.int32)
        first = np.ascontiguousarray(release.first, np.uint32)
        origin = np.ascontiguousarray(release.origin, np.int32)
        count = np.ascontiguousarray(release.count, np.int32)
        action = np.ascontiguousarray(release.action, np.uint8)
        cell = np.ascontiguousarray(release.cell, np.int32)
        k = len(unit)
        taken = np.zeros(k, np.int32)
        fits = len(first) == len(origin) == len(count) == k and len(action) == len(cell)
        if (
            not fits
            or self._c_take(
                self._pointer,
                release.epoch,
                k,
                unit.ctypes.data,
                first.ctypes.data,
                origin.ctypes.data,
                count.ctypes.data,
                len(action),
                action.ctypes.data,
                cell.ctypes.data,
                taken.ctypes.data,
            )
            < 0
        ):
            raise InputError(
                "Release", "count", count.tolist(), "must match the lengths of the other arrays"
            )
        return taken

    def step(self, dt: float) -> list[tuple[int, Action]]:
        """Move all units on by ``dt`` s.

        Returns:
            Failures: (unit, LIFT | LOWER | CHARGE | FACE) for a lift without a pod above or with
            a load already, lowering onto a pod or without one, facing without a pod, and
            charging where there is no charger. The action counts as done and changes nothing.
        """
        return self.failures() if self._c_step(self._pointer, dt) else []

    def failures(self) -> list[tuple[int, Action]]:
        """What could not be done in the last step, as `step` tells it."""
        return [
            (int(self.unit[i]), action)
            for i in np.flatnonzero(self._fault).tolist()
            for bit, action in enumerate(_CAN_FAIL)
            if self._fault[i] >> bit & 1
        ]

    def states(self, stamp: float) -> FleetState:
        """States of the group after the last step."""
        return FleetState(
            stamp=stamp,
            unit=self.unit,
            epoch=self.epoch.copy(),
            done=self.done.copy(),
            released=self.released.copy(),
            cell=self.cell.copy(),
            heading=self.heading.copy(),
            x=self._x.copy(),
            y=self._y.copy(),
            yaw=self._yaw.copy(),
            speed=self._speed.copy(),
            load=self.load.copy(),
            load_id=self.load_id.copy(),
            battery=self._battery.copy(),
            status=self.status.copy(),
        )

    def pending(self, unit: int) -> tuple[U8, I32]:
        """Actions released and not done, and the cells where they end."""
        i = unit - self.first_unit
        slots = i * RING + np.arange(self.done[i], self.released[i], dtype=np.int64) % RING
        action: U8 = self._arrays["ring_action"][slots]
        cell: I32 = self._arrays["ring_cell"][slots]
        return action, cell

    def under_way(self, unit: int) -> UnderWay | None:
        """The first released action that is not done; None when all are."""
        i = unit - self.first_unit
        if self.done[i] == self.released[i]:
            return None
        fleet, arrays = self.struct, self._arrays
        code = int(arrays["ring_action"][i * RING + int(self.done[i]) % RING])
        if code == Action.FORWARD:
            return UnderWay(code, float(arrays["offset"][i]), fleet.pitch)
        whole = 0.0
        if code in (Action.TURN_CW, Action.TURN_CCW):
            whole = fleet.turn_time / 4
        elif code in (Action.LIFT, Action.LOWER):
            whole = fleet.lift_time
        elif code >= Action.FACE and self.load[i] == Load.POD:
            turn = (code - Action.FACE - int(self.pod_face[self.load_id[i]])) % 4
            whole = (1 if turn == 3 else turn) * fleet.turn_time / 4
        return UnderWay(code, float(arrays["progress"][i]), whole)

    def slow(self, unit: int, speed: float) -> None:
        """The unit is found to be no faster than ``speed`` m/s; it goes on from that."""
        v = self._arrays["v"]
        v[unit - self.first_unit] = min(speed, v[unit - self.first_unit])

    def set_charge(self, unit: int, charge: float) -> None:
        """The battery has been measured: 0..1."""
        self._charge[unit - self.first_unit] = min(1.0, max(0.0, charge))

    def delay(self, unit: int, number: int, seconds: float) -> None:
        """Let a unit hesitate ``seconds`` at rest before its released action ``number`` begins.

        Without effect when that action is not released, has begun, or begins where the unit
        cannot stop any more.
        """
        i = unit - self.first_unit
        fleet, arrays = self.struct, self._arrays
        way = (number - int(self.done[i])) * fleet.pitch - arrays["offset"][i]
        brake = arrays["v"][i] ** 2 / (2 * fleet.acceleration)
        begun = number == self.done[i] and arrays["progress"][i] > 0
        if way >= brake - ROUNDING and not begun and number < self.released[i]:
            self._delay[i * RING + number % RING] = seconds

    def stop(self, unit: int) -> None:
        """Emergency stop: brake at once and stand until `reset`."""
        self._stopped[unit - self.first_unit] = 1

    def kill(self, unit: int) -> None:
        """Break a unit: its brakes fall in and it stands until `reset`."""
        self._dead[unit - self.first_unit] = 1

    def reset(self, unit: int, charge: float | None = None) -> None:
        """End an emergency stop or repair a dead unit, with a battery charged to ``charge``.

        The unit goes on where it stands with what is released.
        """
        i = unit - self.first_unit
        self._stopped[i] = self._dead[i] = 0
        if charge is not None:
            self._charge[i] = charge

    def place(self, unit: int, cell: int, heading: int) -> None:
        """The unit has been set down at rest in the middle of ``cell`` with what it carries.

        What was released to it and is not done is forgotten.

        Raises:
            InputError: it is loaded, and a pod stands there.
        """
        i = unit - self.first_unit
        if self.load[i] != Load.NONE and self.pod_at[cell] >= 0:
            raise InputError(
                "simulator", "cell", cell, "a pod stands there, and the unit is loaded"
            )
        arrays = self._arrays
        self.cell[i] = arrays["base_cell"][i] = cell
        self.heading[i] = arrays["base_heading"][i] = heading
        self.released[i] = self.done[i]
        for name in ("offset", "v", "progress", "contact"):
            arrays[name][i] = 0

    def keep_out(self, cells: I32) -> None:
        """Close ``cells``, and open all others.

        A unit in a closed cell, or whose base leads into one, brakes at once and stands until
        they are open again; then it goes on.
        """
        self._closed[:] = 0
        self._closed[cells] = 1
        self.struct.closures = int(np.count_nonzero(self._closed))

    def load_pallet(self, unit: int, weight: float) -> None:
        """A pallet of ``weight`` kg has been set on the unit."""
        i = unit - self.first_unit
        self.load[i] = Load.PALLET
        self.load_id[i] = -1
        self._load_mass[i] = weight

    def unload_pallet(self, unit: int) -> None:
        """The pallet has been taken off the unit."""
        i = unit - self.first_unit
        self.load[i] = Load.NONE
        self._load_mass[i] = 0.0

    def place_pods(self, places: PodPlaces) -> None:
        """Learn where pods stand (a unit that does not share this process with the others).

        Pods carried by units of this group stay where they are.

        Raises:
            InputError: a pod or cell is not of this floor; nothing was changed.
        """
        pod, cell = np.asarray(places.pod, np.int32), np.asarray(places.cell, np.int32)
        for name, values, low, end in (
            ("pod", pod, 0, len(self.pod_face)),
            ("cell", cell, -1, len(self.pod_at)),
        ):
            bad = (values < low) | (values >= end)
            if bad.any():
                raise InputError(
                    "PodPlaces", name, int(values[bad][0]), f"must be {low} to {end - 1}"
                )
        known = ~np.isin(pod, self.load_id[self.load == Load.POD])
        pod, cell = pod[known], cell[known]
        self.pod_at[np.isin(self.pod_at, pod)] = -1
        standing = cell >= 0
        self.pod_at[cell[standing]] = pod[standing]
