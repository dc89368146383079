"""Keeping real wheels on a released path: dead reckoning, fiducials, and a tracking controller.

For a group of differential-drive units at once. The path itself, with its times, comes from
`robo_stow.drive.motion`; this makes wheels follow it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]

ALONG, ACROSS, TURN = 4.0, 8.0, 6.0
"""Gains: 1/s along the path, 1/m^2 across it, 1/s for the heading. Across it the unit swings like
an oscillator of ``speed * sqrt(ACROSS)`` rad/s, well damped from walking pace up."""
STILL = (0.001, 0.003)
"""m and rad within which a unit that should stand is left alone."""
SPIN_UP = 40.0
"""rad/s^2 by which the commanded turn rate changes at most: more makes the tyres slip."""
TRUST = 0.7
"""Share of the difference to a fiducial that is taken over at each sight of it."""


class Tracking:
    """Estimated poses of ``n`` units, and the speeds that keep them on their references.

    The estimate goes on with the wheels (dead reckoning, so it goes wrong when they slip) and is
    pulled to what the downward camera sees of a fiducial. The control law is that of Y. Kanayama
    et al., "A stable tracking control method for an autonomous mobile robot", ICRA 1990, with the
    heading's error in place of its sine.

    Args:
        x, y, yaw: F64[n] where the units stand.
        max_speed: m/s that is never exceeded.
        max_turn: rad/s likewise.

    Public: ``x, y, yaw`` F64[n], the estimate.
    """

    def __init__(self, x: F64, y: F64, yaw: F64, max_speed: float, max_turn: float) -> None:
        self.x, self.y, self.yaw = (np.array(v, np.float64) for v in (x, y, yaw))
        self._max_speed, self._max_turn = max_speed, max_turn
        self._turn = np.zeros(len(self.x))

    def roll(self, left: F64, right: F64, track: float) -> None:
        """The wheels have rolled ``left`` and ``right`` m (F64[n]) on a track of ``track`` m."""
        way, turn = (left + right) / 2, (right - left) / track
        middle = self.yaw + turn / 2
        self.x += way * np.cos(middle)
        self.y += way * np.sin(middle)
        self.yaw = wrap(self.yaw + turn)

    def shift(self, ahead: float, left: float, turn: float) -> None:
        """All units have moved so, as seen from where they were (m, m, rad): their odometry."""
        cos, sin = np.cos(self.yaw), np.sin(self.yaw)
        self.x += cos * ahead - sin * left
        self.y += sin * ahead + cos * left
        self.yaw = wrap(self.yaw + turn)

    def sight(self, seen: Bools, x: F64, y: F64, yaw: F64) -> None:
        """Units in ``seen`` know their pose from a fiducial (F64[n], others are ignored)."""
        self.x[seen] += TRUST * (x - self.x)[seen]
        self.y[seen] += TRUST * (y - self.y)[seen]
        self.yaw[seen] = wrap(self.yaw + TRUST * wrap(yaw - self.yaw))[seen]

    def error(self, x: F64, y: F64, yaw: F64) -> tuple[F64, F64, F64]:
        """How far the references are ahead and to the left (m), and turned (rad), signed.

        Ahead and left as seen by the references; by the estimate, F64[n] each.
        """
        dx, dy = x - self.x, y - self.y
        cos, sin = np.cos(yaw), np.sin(yaw)
        return cos * dx + sin * dy, cos * dy - sin * dx, wrap(yaw - self.yaw)

    def command(
        self, x: F64, y: F64, yaw: F64, speed: F64, turn: F64, period: float
    ) -> tuple[F64, F64]:
        """Speeds until the next command, ``period`` s from now.

        Args:
            x, y, yaw: F64[n] references now.
            speed, turn: F64[n] m/s and rad/s at which they move until then.

        Returns:
            F64[n] m/s and F64[n] rad/s.
        """
        dx, dy = x - self.x, y - self.y
        cos, sin = np.cos(self.yaw), np.sin(self.yaw)
        along, across = cos * dx + sin * dy, cos * dy - sin * dx
        off = wrap(yaw - self.yaw)
        v = speed * np.cos(off) + ALONG * along
        w = turn + ACROSS * speed * across + TURN * off
        still = (speed == 0.0) & (turn == 0.0)
        v[still & (np.abs(along) < STILL[0])] = 0.0
        w[still & (np.abs(off) < STILL[1])] = 0.0
        v = np.clip(v, -self._max_speed, self._max_speed)
        change = np.clip(w - self._turn, -SPIN_UP * period, SPIN_UP * period)
        self._turn = np.clip(self._turn + change, -self._max_turn, self._max_turn)
        return v, self._turn.copy()


def wrap(angle: F64) -> F64:
    """Angles brought to -pi..pi."""
    wrapped: F64 = (angle + math.pi) % (2 * math.pi) - math.pi
    return wrapped
