"""The load platform of a real unit: its lift, and the turntable that holds a pod still."""

from __future__ import annotations

import math

from robo_stow.drive.motion import DriveUnits
from robo_stow.drive.robot import Joints, PlatformTarget
from robo_stow.messages import Action, Load

STROKE = 0.06
"""m from the lowest to the highest place of the lift, as in ``urdf/drive_unit.urdf.xacro``."""
AT_END = 0.004
"""m from its end at which the lift is there."""
FACED = 0.05
"""rad from its target at which the turntable is there."""


class Platform:
    """Targets for the joints, and whether these have come as far as the books say.

    Lift and turntable follow the actions in the books, in the times of the drive profile. No action
    ends before the joints are measured where it wants them.

    Public: ``joints``, as last measured, or None.
    """

    def __init__(self) -> None:
        self.joints: Joints | None = None
        self._pod = -1
        self._face = 0
        self._pod_yaw = 0.0  # rad of the pod in the building, not wrapped
        self._unit_yaw = 0.0  # likewise of the unit

    def target(self, books: DriveUnits, yaw: float, period: float) -> PlatformTarget:
        """Where lift and turntable should be in ``period`` s, the unit's yaw being ``yaw``."""
        self._unit_yaw += math.remainder(yaw - self._unit_yaw, math.tau)
        lift = STROKE if books.load[0] == Load.POD else 0.0
        pod = int(books.load_id[0])
        if pod >= 0 and pod != self._pod:
            self._face = int(books.pod_face[pod])
            held = self.joints.platform if self.joints is not None else 0.0
            self._pod_yaw = self._unit_yaw + held
        self._pod = pod
        if pod < 0:
            at = self.joints.platform if self.joints is not None else 0.0
            return PlatformTarget(self._lift(books, lift, period), at, period)
        face = int(books.pod_face[pod])
        self._pod_yaw += _quarters(self._face, face) * math.pi / 2
        self._face = face
        return PlatformTarget(
            self._lift(books, lift, period),
            self._pod_yaw + self._facing(books, period) - self._unit_yaw,
            period,
        )

    def ready(self, books: DriveUnits, elapsed: float) -> bool:
        """Whether the books may go on by ``elapsed`` s."""
        now = books.under_way(books.first_unit)
        if now is None or now.action not in _HANDLING:
            return True
        if self.joints is None:
            return False
        if now.whole - now.spent > elapsed:
            return True
        if now.action == Action.LIFT:
            return abs(self.joints.lift - STROKE) <= AT_END
        if now.action == Action.LOWER:
            return abs(self.joints.lift) <= AT_END
        if self._pod >= 0:
            end = self._pod_yaw + _quarters(self._face, now.action - Action.FACE) * math.pi / 2
            return abs(self.joints.platform - (end - self._unit_yaw)) <= FACED
        return True

    def _lift(self, books: DriveUnits, at_rest: float, period: float) -> float:
        now = books.under_way(books.first_unit)
        if now is None or now.action not in (Action.LIFT, Action.LOWER) or now.whole <= 0.0:
            return at_rest
        # Two periods early at the end, so that the joint can be there in time.
        share = min(1.0, (now.spent + 2 * period) / now.whole)
        return STROKE * (share if now.action == Action.LIFT else 1.0 - share)

    def _facing(self, books: DriveUnits, period: float) -> float:
        now = books.under_way(books.first_unit)
        if now is None or now.action < Action.FACE or now.whole <= 0.0:
            return 0.0
        share = min(1.0, (now.spent + 2 * period) / now.whole)
        return share * _quarters(self._face, now.action - Action.FACE) * math.pi / 2


_HANDLING = (Action.LIFT, Action.LOWER, *(Action.FACE + k for k in range(4)))


def _quarters(before: int, after: int) -> int:
    """Quarter turns, signed, through the shorter side."""
    turn = (after - before) % 4
    return -1 if turn == 3 else turn
