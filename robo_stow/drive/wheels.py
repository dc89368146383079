"""A drive unit by speed commands and odometry: any robot with ``cmd_vel`` and ``odom``.

The books' motion is the *reference*: where the unit should be, and when. The wheels follow it by
`robo_stow.drive.tracking`; where the unit is, it knows from its odometry, put right at
each fiducial.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import numpy as np

from robo_stow.drive.platform import Platform
from robo_stow.drive.robot import Joints, Odometry, Sight, Velocity
from robo_stow.drive.tracking import Tracking, wrap
from robo_stow.drive.unit import UnitCore, posed
from robo_stow.floor.building import YAW, Building
from robo_stow.messages import Action, FleetState

LEASH = (0.05, 0.15, 0.35)
"""m along the path, m across it and rad that a unit may be off; beyond, its reference waits."""
LOST = (0.3, 0.6)
"""m across the path and rad off at which a unit is lost, and stops."""
SIGHT = 0.09
"""m from a cell's centre within which its fiducial is used."""
BLIND = 3.5
"""Cells' pitches driven without a fiducial after which a unit is lost."""
ODOMETRY_SILENCE = 0.5
"""s without odometry after which a unit stands."""
AT_REST = (0.02, 0.03)
"""m/s and rad/s below which a unit reports that it stands: its encoders' resolution."""
HISTORY = 1.0
"""s of odometry kept, to date back what a camera has seen."""

_Pose = tuple[float, float, float]


class WheelsCore(UnitCore):
    """A unit that is driven by speeds.

    Emits a `Velocity` every step, zero when it stands. It stands still while odometry is silent,
    and stops for a person (`Reset`) when it is off its path or misses fiducials.

    Args:
        located: whether the unit stands at ``start``; else it begins at the cell whose fiducial it
            sees first, and reports nothing until then.
        platform: whether lift and turntable have joints to command (`PlatformTarget`) and measure
            (`Joints`); else handling takes the times of the drive profile.
        building, seed, unit, start: as for `UnitCore`.
    """

    consumes = (*UnitCore.consumes, Odometry, Sight, Joints)

    def __init__(
        self,
        building: Building,
        seed: int,
        unit: int,
        start: tuple[int, int] | None = None,
        *,
        located: bool = True,
        platform: bool = False,
    ) -> None:
        super().__init__(building, seed, unit, start)
        self._platform = Platform() if platform else None
        self._located = located
        self._odometry: deque[Odometry] = deque()
        self._heard = -math.inf  # when odometry last came
        self._silent = False
        self._blind = 0.0  # m driven since the last fiducial
        self._command = Velocity(0.0, 0.0)
        self._on_reference()

    # --- where the unit is ---------------------------------------------------------------------

    @property
    def pose(self) -> _Pose:
        """Estimated x, y, yaw."""
        t = self._tracking
        return float(t.x[0]), float(t.y[0]), float(t.yaw[0])

    @property
    def correction(self) -> _Pose | None:
        """Pose of the robot's odometry frame in the building's (``map`` to ``odom``)."""
        if not self._odometry or not self._located:
            return None
        last = self._odometry[-1]
        x, y, yaw = self.pose
        turn = float(wrap(np.array(yaw - last.yaw)))
        cos, sin = math.cos(turn), math.sin(turn)
        return x - cos * last.x + sin * last.y, y - sin * last.x - cos * last.y, turn

    def receive(self, now: float, message: Any) -> None:
        """As `UnitCore.receive`."""
        if isinstance(message, Odometry):
            self._on_odometry(now, message)
        elif isinstance(message, Sight):
            self._on_sight(message)
        elif isinstance(message, Joints):
            if self._platform is not None:
                self._platform.joints = message
        else:
            super().receive(now, message)

    def _on_odometry(self, now: float, odometry: Odometry) -> None:
        self._heard = now
        if self._odometry:
            last = self._odometry[-1]
            if odometry.stamp < last.stamp:
                return  # late or repeated
            ahead, left, turn = _between(last, odometry)
            self._tracking.shift(ahead, left, turn)
            self._blind += abs(ahead)
        self._odometry.append(odometry)
        while self._odometry[0].stamp < odometry.stamp - HISTORY:
            self._odometry.popleft()

    def _on_sight(self, sight: Sight) -> None:
        grid = self.building.grid
        cell = grid.cell_at(np.array([sight.x]), np.array([sight.y]))
        x, y = grid.xy(cell)
        if math.hypot(sight.x - x[0], sight.y - y[0]) > SIGHT:
            return
        if not self._located:
            quarter = min(range(4), key=lambda h: abs(math.remainder(sight.yaw - YAW[h], math.tau)))
            self.stand(int(cell[0]), quarter)
            self._on_reference()
            self._tracking.x[0], self._tracking.y[0] = sight.x, sight.y
            self._tracking.yaw[0] = sight.yaw
            self._located = True
        pose = self._moved_since(sight)
        self._tracking.sight(np.array([True]), *(np.array([value]) for value in pose))
        self._blind = 0.0

    def _moved_since(self, sight: Sight) -> _Pose:
        """The pose now of a unit that was seen a moment ago."""
        then = next((o for o in self._odometry if o.stamp >= sight.stamp), None)
        if then is None:
            return sight.x, sight.y, sight.yaw
        ahead, left, turn = _between(then, self._odometry[-1])
        cos, sin = math.cos(sight.yaw), math.sin(sight.yaw)
        return (
            sight.x + cos * ahead - sin * left,
            sight.y + sin * ahead + cos * left,
            sight.yaw + turn,
        )

    def _on_reference(self) -> None:
        """The unit is where the books say."""
        drive, (x, y, yaw) = self.building.drive, self._reference()
        self._tracking = Tracking(
            np.array([x]),
            np.array([y]),
            np.array([yaw]),
            1.2 * drive.max_speed,
            1.5 * math.tau / drive.turn_time,
        )

    def _reference(self) -> _Pose:
        state = self.books.states(0.0)
        return float(state.x[0]), float(state.y[0]), float(state.yaw[0])

    def state(self, now: float) -> FleetState | None:
        """As `UnitCore.state`, with the estimated pose."""
        if not self._located or not self._odometry:
            return None
        state = self.books.states(now)
        last = self._odometry[-1]
        still = abs(last.speed) < AT_REST[0] and abs(last.turn) < AT_REST[1]
        resting = still and state.speed[0] == 0.0
        return posed(state, *self.pose, 0.0 if resting else abs(last.speed))

    # --- motion --------------------------------------------------------------------------------

    def move(self, now: float, elapsed: float) -> list[Action]:
        """As `UnitCore.move`."""
        silent = now - self._heard > ODOMETRY_SILENCE
        if silent and not self._silent and self._heard > -math.inf:
            self.alarm(now, "odometry_silent", "stands: its odometry is silent")
        self._silent = silent
        failed: list[Action] = []
        if not self._located or silent or self.stopped:
            self._command = Velocity(0.0, 0.0)
        if self._located and not silent and elapsed > 0.0:
            failed, self._command = self._follow(now, elapsed)
        self.say(self._command)
        if self._platform is not None and elapsed > 0.0:
            self.say(self._platform.target(self.books, self.pose[2], elapsed))
        return failed

    def _follow(self, now: float, elapsed: float) -> tuple[list[Action], Velocity]:
        before = self._reference()
        x0, y0, yaw0 = (np.array([value]) for value in before)
        off = [abs(float(error[0])) for error in self._tracking.error(x0, y0, yaw0)]
        if not self.stopped:
            if off[1] > LOST[0] or off[2] > LOST[1]:
                self.halt()
                self.alarm(now, "lost", f"is {off[1]:.2f} m and {off[2]:.2f} rad off its path")
            elif self._blind > BLIND * self.building.grid.pitch:
                self.halt()
                self._blind = 0.0
                self.alarm(now, "lost", "has missed its fiducials")
        ready = self._platform is None or self._platform.ready(self.books, elapsed)
        on_leash = all(error <= most for error, most in zip(off, LEASH, strict=True))
        if not on_leash:  # then the reference waits, and goes on from the speed the unit has
            self.books.slow(self.unit, abs(self._odometry[-1].speed))
        failed = self.books.step(elapsed if ready and on_leash else 0.0)
        if self.stopped:
            return [action for _, action in failed], Velocity(0.0, 0.0)
        x, y, yaw = self._reference()
        cos, sin = math.cos(before[2]), math.sin(before[2])
        speed = (cos * (x - before[0]) + sin * (y - before[1])) / elapsed
        turn = math.remainder(yaw - before[2], math.tau) / elapsed
        v, w = self._tracking.command(x0, y0, yaw0, np.array([speed]), np.array([turn]), elapsed)
        return [action for _, action in failed], Velocity(
            self._limited(float(v[0]), speed, off[0], elapsed), float(w[0])
        )

    def _limited(self, wanted: float, reference: float, behind: float, elapsed: float) -> float:
        """A speed the unit can reach, and from which it can stop on its reference."""
        most = abs(reference) + math.sqrt(2 * self.building.drive.acceleration * behind)
        wanted = min(max(wanted, -most), most)
        change = 2 * self.building.drive.acceleration * elapsed
        return min(max(wanted, self._command.speed - change), self._command.speed + change)


def _between(before: Odometry, after: Odometry) -> _Pose:
    """How the robot has moved, as seen from where it was: m ahead, m to the left, rad."""
    dx, dy = after.x - before.x, after.y - before.y
    cos, sin = math.cos(before.yaw), math.sin(before.yaw)
    turn = math.remainder(after.yaw - before.yaw, math.tau)
    return cos * dx + sin * dy, cos * dy - sin * dx, turn
