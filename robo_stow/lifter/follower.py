"""Between a lifter's controller and drives that follow whole trajectories (ros2_control)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_stow.floor.building import Building, LifterSite
from robo_stow.lifter.kinematics import Joints
from robo_stow.lifter.trajectory import EFFICIENCY, Planner
from robo_stow.messages import DriveStatus, LifterCommand, LifterFeedback

F64 = NDArray[np.float64]

CLAMP_OPEN = 0.02
"""m, position of ``clamp_joint`` when the gripper is open; 0 is closed, by springs."""
STALE = 1.0
"""s; a command that was this long under way is not obeyed (its sender sends it again)."""
HEARTBEAT = 1.0
"""s between reports of an arm that stands still."""
SETTLE = 0.1
"""s that the shortest trajectory takes."""


@dataclass(frozen=True, eq=False, slots=True)
class ArmGoal:
    """A trajectory for the drives to follow; a newer one takes its place."""

    lifter: str
    number: int
    time: F64  # [n] s from now, growing
    position: F64  # [n, 7] rad, the clamp's last, in m
    speed: F64  # [n, 7]


@dataclass(frozen=True, slots=True)
class ArmCancel:
    """Whatever the drives follow is to end."""

    lifter: str


@dataclass(frozen=True, slots=True)
class ArmDone:
    """What became of an `ArmGoal`."""

    lifter: str
    number: int
    ok: bool


@dataclass(frozen=True, slots=True)
class ArmReading:
    """The drives' encoders and, where they have them, effort."""

    stamp: float
    lifter: str
    joint: Joints
    clamp: float  # m
    power: float  # W that the drives give to the joints, braking not counted


@dataclass(frozen=True, slots=True)
class LoadReading:
    """The load cell."""

    lifter: str
    load: float  # kg


@dataclass(frozen=True, slots=True)
class StopReading:
    """The safety circuit: whether an emergency stop holds the drives."""

    lifter: str
    stopped: bool


class FollowerCore:
    """Plans a trajectory for each command, has it followed, and reports as the drives.

    The gripper moves at the end of a trajectory. A trajectory that was not followed to its end
    completes nothing; the controller commands again, and a new one begins where the arm stands.
    While the safety circuit is open nothing is begun.

    Args:
        building, site: the lifter.
    """

    consumes: tuple[type, ...] = (LifterCommand, ArmDone, ArmReading, LoadReading, StopReading)

    def __init__(self, building: Building, site: LifterSite) -> None:
        self._id = site.id
        self._grip_time = building.lifter.grip_time
        self._planner = Planner(building, site)
        self._reading: ArmReading | None = None
        self._load = 0.0
        self._status = DriveStatus.OK
        self._energy = 0.0
        self._sequence = 0
        self._active: LifterCommand | None = None
        self._goals = 0
        self._told: tuple[int, DriveStatus, bool] | None = None
        self._reported = 0.0

    def step(self, now: float, inbox: Sequence[Any]) -> list[Any]:
        """Take commands and readings; hand out goals and reports."""
        out: list[Any] = []
        for message in inbox:
            if getattr(message, "lifter", "") != self._id:
                continue
            if isinstance(message, ArmReading):
                self._read(message)
            elif isinstance(message, LoadReading):
                self._load = message.load
            elif isinstance(message, StopReading):
                self._stop(message.stopped, out)
            elif isinstance(message, ArmDone):
                self._done(message)
            elif isinstance(message, LifterCommand):
                self._obey(now, message, out)
        self._report(now, out)
        return out

    def _read(self, reading: ArmReading) -> None:
        if self._reading is not None:
            passed = max(0.0, reading.stamp - self._reading.stamp)
            self._energy += reading.power / EFFICIENCY * passed / 3600.0
        self._reading = reading

    def _stop(self, stopped: bool, out: list[Any]) -> None:
        self._status = DriveStatus.STOPPED if stopped else DriveStatus.OK
        if stopped and self._active is not None:
            self._active = None
            out.append(ArmCancel(self._id))

    def _done(self, done: ArmDone) -> None:
        if self._active is None or done.number != self._goals:
            return
        if done.ok:
            self._sequence = self._active.sequence
        self._active = None

    def _obey(self, now: float, command: LifterCommand, out: list[Any]) -> None:
        reading = self._reading
        if reading is None or self._status is not DriveStatus.OK or now - command.stamp > STALE:
            return
        busy = self._sequence if self._active is None else self._active.sequence
        if command.sequence <= busy:
            return
        q = command.joint
        target = (q[0], q[1], q[2], q[3], q[4], q[5])
        move = self._planner.plan(reading.joint, target, command.payload)
        clamp = 0.0 if command.gripper_closed else CLAMP_OPEN
        time, position, speed = move.time, move.position, move.speed
        if move.duration < SETTLE:
            time = np.array([SETTLE])
            position, speed = np.array([target]), np.zeros((1, 6))
        held = np.full((len(time), 1), reading.clamp)
        position, speed = np.hstack([position, held]), np.hstack([speed, 0.0 * held])
        if abs(clamp - reading.clamp) > 0.1 * CLAMP_OPEN:
            time = np.append(time, time[-1] + self._grip_time)
            position = np.vstack([position, [*target, clamp]])
            speed = np.vstack([speed, np.zeros(7)])
        self._goals += 1
        self._active = command
        out.append(ArmGoal(self._id, self._goals, time, position, speed))

    def _report(self, now: float, out: list[Any]) -> None:
        reading = self._reading
        if reading is None:
            return
        closed = reading.clamp < 0.5 * CLAMP_OPEN
        what = (self._sequence, self._status, closed)
        if what == self._told and self._active is None and now - self._reported < HEARTBEAT:
            return
        self._told, self._reported = what, now
        out.append(
            LifterFeedback(
                stamp=now,
                lifter=self._id,
                sequence=self._sequence,
                joint=reading.joint,
                gripper_closed=closed,
                load=self._load,
                status=self._status,
                energy=self._energy,
            )
        )
