"""Time-optimal trajectories of a Robo-Stow's joints, within speed, acceleration, torque, power.

The path is the straight line between two joint positions, which is what the cycle's clearances
are checked for (`robo_stow.lifter.clearance`). How fast it may be passed is found by reachability
analysis (H. Pham, Q.-C. Pham, "A new approach to time-optimal path parameterization based on
reachability analysis", IEEE T-RO 34, 2018) with the authors' library, toppra.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import toppra  # type: ignore[import-untyped]
import toppra.algorithm  # type: ignore[import-untyped]
import toppra.constraint  # type: ignore[import-untyped]
from numpy.typing import NDArray

from robo_stow.errors import RoboStowError
from robo_stow.floor.building import Building, LifterSite
from robo_stow.lifter.dynamics import AXES, Arm, arm_of
from robo_stow.lifter.kinematics import Joints

F64 = NDArray[np.float64]

POINTS = 60
"""Stretches of a path within each of which its acceleration is constant."""
WEIGHT_CLASS = 100.0
"""kg; a payload is planned for as the next full class."""
RESERVE = 0.9
"""Share of the drives' torque that plans use; the rest is for what differs from the model."""
EFFICIENCY = 0.85
"""Share of the electric power that reaches the joints. Assumed; braking gives nothing back."""
SUPPLY = 60e3
"""W at the joints that the supply gives continuously: heavy loads rise more slowly. Peaks while
the arm gains speed come from the drives' capacitors. Assumed."""

toppra.setup_logging("ERROR")


@dataclass(frozen=True, eq=False, slots=True)
class Trajectory:
    """Joint positions over time.

    Attributes:
        time: F64[n] s from the start, growing.
        position, speed, acceleration: F64[n, 6] in rad, rad/s and rad/s^2.
        torque: F64[n, 6] Nm.
        work: F64[n] Wh that the drives have taken by then.
    """

    time: F64
    position: F64
    speed: F64
    acceleration: F64
    torque: F64
    work: F64

    @property
    def duration(self) -> float:
        """s."""
        return float(self.time[-1])

    def at(self, time: float) -> Joints:
        """Joint positions ``time`` s after the start; the end's from there on.

        Between the points the acceleration is constant.
        """
        i = min(max(int(np.searchsorted(self.time, time, "right")) - 1, 0), len(self.time) - 1)
        dt = min(time, self.duration) - self.time[i]
        q = self.position[i]
        if dt > 0.0:
            q = q + dt * self.speed[i] + 0.5 * dt * dt * self.acceleration[i]
        return _joints(q)

    def energy(self, time: float) -> float:
        """Wh taken until ``time`` s after the start."""
        return float(np.interp(time, self.time, self.work))


def _joints(q: Sequence[float] | F64) -> Joints:
    a, b, c, d, e, f = (float(v) for v in q)
    return a, b, c, d, e, f


class Planner:
    """Plans for the arm of one lifter.

    Args:
        building: the site; its ``lifter`` names the joints' speeds and accelerations.
        site: the lifter; its description names the drives' torques.
    """

    def __init__(self, building: Building, site: LifterSite) -> None:
        self.arm = arm_of(building, site)
        spec = building.lifter
        self.speed = np.array(spec.joint_speed)
        self.acceleration = np.array(spec.joint_acceleration)
        self._plan = lru_cache(maxsize=512)(self._new)

    def plan(self, start: Joints, end: Joints, payload: float) -> Trajectory:
        """From rest to rest with a pallet of ``payload`` kg, 0 for none.

        Raises:
            RoboStowError: the drives cannot hold that load on the way.
        """
        weight = WEIGHT_CLASS * np.ceil(payload / WEIGHT_CLASS)
        return self._plan(_joints(start), _joints(end), float(weight))

    def _new(self, start: Joints, end: Joints, payload: float) -> Trajectory:
        way = np.array(end) - np.array(start)
        # So long that rates along the path are near 1 for the solver, however short the way.
        length = np.sqrt(np.abs(way).max())
        if not length**2 > 1e-9:
            return self._still(np.array(end), payload)
        way /= length
        path = toppra.SplineInterpolator([0.0, length], [start, end])
        grid = np.linspace(0.0, length, POINTS + 1)
        limits = [
            toppra.constraint.JointVelocityConstraint(np.stack([-self.speed, self.speed], 1)),
            toppra.constraint.JointAccelerationConstraint(
                np.stack([-self.acceleration, self.acceleration], 1)
            ),
            _DriveConstraint(self.arm, payload),
        ]
        solver = toppra.algorithm.TOPPRA(limits, path, gridpoints=grid, solver_wrapper="seidel")
        change, rate, _ = solver.compute_parameterization(0.0, 0.0)
        if rate is None or not np.isfinite(rate).all():
            raise RoboStowError(f"the arm's drives cannot carry {payload:.0f} kg that way")
        middle = (rate[:-1] + rate[1:]) / 2
        time = np.concatenate([[0.0], np.cumsum(np.diff(grid) / middle)])
        position = np.array(start) + grid[:, None] * way
        speed = rate[:, None] * way
        acceleration = np.append(change, 0.0)[:, None] * way
        return self._weighed(time, position, speed, acceleration, payload)

    def _still(self, joint: F64, payload: float) -> Trajectory:
        here, zero = joint[None, :], np.zeros((1, AXES))
        return self._weighed(np.zeros(1), here, zero, zero, payload)

    def _weighed(
        self, time: F64, position: F64, speed: F64, acceleration: F64, payload: float
    ) -> Trajectory:
        torque = self.arm.torque(position, speed, acceleration, payload)
        power = np.maximum(torque * speed, 0.0).sum(axis=1) / EFFICIENCY
        steps = (power[1:] + power[:-1]) / 2 * np.diff(time) / 3600.0
        work = np.concatenate([[0.0], np.cumsum(steps)])
        return Trajectory(time, position, speed, acceleration, torque, work)


class _DriveConstraint(toppra.constraint.LinearConstraint):  # type: ignore[misc, unused-ignore]
    """Drives along a path: torques a s'' + b s'^2 + c and the power that lifts, within limits.

    toppra's own JointTorqueConstraint asks for one point at a time; this asks for all at once.
    """

    def __init__(self, arm: Arm, payload: float) -> None:
        super().__init__()
        self._arm, self._payload = arm, payload
        self.identical = True

    def compute_constraint_params(self, path: Any, gridpoints: F64) -> tuple[Any, ...]:
        q, first, second = path(gridpoints), path(gridpoints, 1), path(gridpoints, 2)
        zero = np.zeros_like(q)
        hold = self._arm.torque(q, zero, zero, self._payload)
        a = self._arm.torque(q, zero, first, self._payload) - hold
        b = self._arm.torque(q, first, second, self._payload) - hold
        most = RESERVE * self._arm.effort
        both = np.vstack([np.eye(AXES), -np.eye(AXES)])
        lifting = np.maximum(hold * first, 0.0).sum(axis=1)  # W at s' = 1
        top = (SUPPLY / np.maximum(lifting, 1.0)) ** 2
        rates = np.stack([np.zeros_like(top), top], axis=1)
        return a, b, hold, both, np.concatenate([most, most]), None, rates
