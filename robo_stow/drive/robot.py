"""What a robot's own computer and its drives say to one another.

These records stay on the robot; between rooms only those of `robo_stow.messages` pass. Lengths in
metres, angles in radians; poses are in the building's frame (``map``, REP-105) unless said
otherwise. ``stamp`` is the time at which something was measured, s of the robot's clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


# --- in ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Odometry:
    """Pose in the robot's own ``odom`` frame, and speeds in its ``base_footprint``."""

    stamp: float
    x: float
    y: float
    yaw: float
    speed: float  # m/s, forwards
    turn: float  # rad/s


@dataclass(frozen=True, slots=True)
class Sight:
    """Pose of the robot as a fiducial beneath it tells."""

    stamp: float
    x: float
    y: float
    yaw: float


@dataclass(frozen=True, slots=True)
class Joints:
    """Measured positions of the load platform."""

    lift: float  # m above its lowest place
    platform: float  # rad, counter-clockwise against the robot


@dataclass(frozen=True, slots=True)
class BatteryLevel:
    """Measured state of charge."""

    share: float  # 0..1


@dataclass(frozen=True, slots=True)
class EmergencyStop:
    """The state of the robot's emergency stop circuit."""

    pressed: bool


@dataclass(frozen=True, slots=True)
class Reset:
    """A person has looked and lets the robot go on."""


@dataclass(frozen=True, slots=True)
class TrafficHeard:
    """The traffic manager is alive."""


class GoalState(IntEnum):
    """What a navigation server says of a goal."""

    UNAVAILABLE = 0  # no server is there
    REJECTED = 1
    ACTIVE = 2
    SUCCEEDED = 3
    ABORTED = 4
    CANCELED = 5


@dataclass(frozen=True, slots=True)
class GoalReport:
    """News of the goal ``number``; ``remaining`` only while it is active."""

    number: int
    state: GoalState
    remaining: float = 0.0  # FOLLOW_PATH: m; THROUGH_POSES: poses; SPIN: rad still to turn
    pose: tuple[float, float, float] | None = None  # x, y, yaw where the server tells it


# --- out ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Velocity:
    """Speeds to keep until the next command."""

    speed: float  # m/s
    turn: float  # rad/s


@dataclass(frozen=True, slots=True)
class PlatformTarget:
    """Where the load platform should be after ``seconds``."""

    lift: float
    platform: float
    seconds: float


class GoalKind(IntEnum):
    """Actions of Nav2."""

    FOLLOW_PATH = 0
    THROUGH_POSES = 1
    SPIN = 2


@dataclass(frozen=True, eq=False, slots=True)
class Goal:
    """A goal for navigation; replaces any other.

    ``x, y, yaw`` F64[k] are the poses to pass, the last one the end (FOLLOW_PATH: the first one
    the beginning). SPIN turns in place by ``angle``.
    """

    number: int
    kind: GoalKind
    x: F64
    y: F64
    yaw: F64
    angle: float = 0.0


@dataclass(frozen=True, slots=True)
class CancelGoal:
    """Give the goal up and stand."""

    number: int
