"""Kinematics of a Robo-Stow: a six-axis arm with a spherical wrist and a pallet fork.

Joints: 1 yaw of the column, 2 elevation of the upper arm, 3 elbow, 4 roll of the forearm,
5 pitch and 6 roll of the wrist. With all joints at zero the arm is stretched along +x at shoulder
height. The tool point is where the middle of a pallet's underside rests on the fork; the tool's x
axis points along the fork, away from the wrist. Positions are in the arm's base frame: origin at
its foot, axes parallel to the world's.

The inverse is analytic: with a spherical wrist the position of the wrist's centre depends on
joints 1-3 alone and the tool's orientation on joints 4-6 (Pieper, "The kinematics of manipulators
under computer control", Stanford 1968).
"""

from __future__ import annotations

import contextlib
import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_stow.errors import InputError
from robo_stow.floor.building import Building, LifterSite

F64 = NDArray[np.float64]
Joints = tuple[float, float, float, float, float, float]

SHOULDER = 1.4
"""m, height of joint 2 above the foot."""
UPPER_ARM = 2.4
"""m, joint 2 to joint 3."""
FOREARM = 2.4
"""m, joint 3 to the centre of the wrist."""
TOOL = 1.0
"""m, centre of the wrist to the tool point."""
LIMITS = ((-3.4, 3.4), (-1.3, 2.7), (-2.75, 0.1), (-6.3, 6.3), (-2.6, 2.6), (-6.3, 6.3))
"""rad, range of each joint; the elbow bends one way only, upwards."""

DECK = 0.35
"""m, height of a lowered drive unit's deck above its floor."""
POCKET = 0.1
"""m from a pallet's foot to where the fork carries it."""
STRAIGHT = 0.02
"""m the fork may stray from a straight line while it slides into or out of a pallet."""
CLEARANCE = 0.3
"""m the load hangs above the deck while it waits for its unit."""
WEIGHING = 0.15
"""m a pallet is lifted off the dock to weigh it."""
INSERTION = 1.1
"""m the fork backs out to be clear of a pallet."""
SWING = 1.7
"""m from the arm's axis to which a load is drawn in to swing round, when it can be."""

_EPS = 1e-9


def _rot_x(angle: float) -> F64:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])


def _rot_y(angle: float) -> F64:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])


def _rot_z(angle: float) -> F64:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def forward(joint: Joints) -> tuple[F64, F64]:
    """Tool point F64[3] (m) and orientation F64[3, 3] in the base frame at ``joint`` (rad)."""
    q1, q2, q3, q4, q5, q6 = joint
    reach = UPPER_ARM * math.cos(q2) + FOREARM * math.cos(q2 + q3)
    height = SHOULDER + UPPER_ARM * math.sin(q2) + FOREARM * math.sin(q2 + q3)
    wrist = np.array([reach * math.cos(q1), reach * math.sin(q1), height])
    rotation = _rot_z(q1) @ _rot_y(-(q2 + q3)) @ _rot_x(q4) @ _rot_y(-q5) @ _rot_x(q6)
    return wrist + TOOL * rotation[:, 0], rotation


def _wrap(angle: float) -> float:
    return math.remainder(angle, 2 * math.pi)


def _inside(angle: float, limit: tuple[float, float]) -> bool:
    return limit[0] - _EPS <= angle <= limit[1] + _EPS


def _within(angle: float, limit: tuple[float, float], near: float) -> float | None:
    """The angle, a whole number of turns away, that is within the limit and nearest ``near``."""
    turns = [_wrap(angle) + k * 2 * math.pi for k in (-1, 0, 1)]
    fit = [min(max(a, limit[0]), limit[1]) for a in turns if _inside(a, limit)]
    return min(fit, key=lambda a: abs(a - near)) if fit else None


def inverse(position: F64, rotation: F64, near: Joints) -> Joints | None:
    """Joints (rad) that bring the tool to a pose, or None when it cannot be reached.

    Of the up to eight solutions within the joint limits the one nearest to ``near`` (least
    largest joint movement) is taken.

    Args:
        position: F64[3] tool point in the base frame, m.
        rotation: F64[3, 3] orientation of the tool.
        near: joints to stay near to.
    """
    wrist = position - TOOL * rotation[:, 0]
    height = float(wrist[2]) - SHOULDER
    reach = math.hypot(wrist[0], wrist[1])
    yaw = math.atan2(wrist[1], wrist[0]) if reach > _EPS else near[0]
    bend = (reach**2 + height**2 - UPPER_ARM**2 - FOREARM**2) / (2 * UPPER_ARM * FOREARM)
    if abs(bend) > 1.0 + _EPS:
        return None
    bend = min(1.0, max(-1.0, bend))
    best: Joints | None = None
    least = math.inf
    for side, elbow, flip in itertools.product((1, -1), (-1, 1), (False, True)):
        q3 = elbow * math.acos(bend)
        q1 = yaw if side > 0 else yaw + math.pi
        q2 = math.atan2(height, side * reach) - math.atan2(
            FOREARM * math.sin(q3), UPPER_ARM + FOREARM * math.cos(q3)
        )
        hand = (_rot_z(q1) @ _rot_y(-(q2 + q3))).T @ rotation
        pitch = math.acos(min(1.0, max(-1.0, float(hand[0, 0]))))
        if math.sin(pitch) > 1e-7:
            roll = math.atan2(hand[1, 0], -hand[2, 0])
            q6 = math.atan2(hand[0, 1], hand[0, 2])
        else:  # axes 4 and 6 in line: leave joint 4 where it is
            roll = near[3] - (math.pi if flip else 0.0)
            q6 = math.atan2(hand[2, 1], hand[1, 1]) - near[3]
            q6 -= math.pi if flip else 0.0
        if flip:
            pitch, roll, q6 = -pitch, roll + math.pi, q6 + math.pi
        found = [
            _within(angle, limit, close)
            for angle, limit, close in zip(
                (q1, q2, q3, roll, -pitch, q6), LIMITS, near, strict=True
            )
        ]
        joint = tuple(angle for angle in found if angle is not None)
        if len(joint) < 6:
            continue
        far = max(abs(a - b) for a, b in zip(joint, near, strict=True))
        if far < least:
            least, best = far, (joint[0], joint[1], joint[2], joint[3], joint[4], joint[5])
    return best


@dataclass(frozen=True, slots=True)
class Poses:
    """Joint targets (rad) of one site's lift cycle, in the order in which they are passed."""

    parked: tuple[Joints, ...]  # drawn in, and round to the dock; the last is where it parks
    approach: tuple[Joints, ...]  # down in front of the pallet, fork at the height of its pockets
    insert: tuple[Joints, ...]  # into the pallet that stands at the dock
    weighing: Joints  # pallet a little off the floor
    raised: tuple[Joints, ...]  # as high as the hand-off, drawn in to swing round
    above: tuple[Joints, ...]  # round to over the hand-off, clear of a unit
    handoff: Joints  # pallet on the deck of the unit
    withdraw: tuple[Joints, ...]  # out of the pallet on the unit


def handoff_point(building: Building, site: LifterSite) -> F64:
    """F64[3] world position (m) of a pallet's foot, its middle, on a unit at the hand-off."""
    x, y = building.grid.xy(np.array([site.cell], np.int32))
    storage = next(level for level in building.levels if level.storage)
    return np.array([float(x[0]), float(y[0]), storage.height + DECK])


class _OutOfReachError(Exception):
    pass


class _Arm:
    """Solves poses one after the other, each near the one before."""

    def __init__(self, near: Joints) -> None:
        self.near = near

    def to(self, point: F64, yaw: float, back: float = 0.0, up: float = 0.0) -> Joints:
        """Tool level in direction ``yaw``, ``back`` m short of the point and ``up`` m above."""
        rotation = _rot_z(yaw)
        target = point - back * rotation[:, 0] + np.array([0.0, 0.0, up])
        joint = inverse(target, rotation, self.near)
        if joint is None:
            raise _OutOfReachError
        self.near = joint
        return joint

    def slide(self, point: F64, yaw: float, start: float, end: float) -> tuple[Joints, ...]:
        """From ``start`` m short of the point to ``end`` m short of it, nearly straight.

        Joint moves between two points of a line leave it; enough points keep within `STRAIGHT`.
        """
        begin = self.near
        for parts in range(1, 9):
            self.near = begin
            backs = np.linspace(start, end, parts + 1)[1:]
            joints = tuple(self.to(point, yaw, float(back)) for back in backs)
            stray = 0.0
            for a, b, at, to in zip(
                (begin, *joints), joints, np.linspace(start, end, parts + 1), backs, strict=False
            ):
                middle = tuple((p + q) / 2 for p, q in zip(a, b, strict=True))
                line = point - (at + to) / 2 * _rot_z(yaw)[:, 0]
                stray = max(stray, float(np.linalg.norm(forward(_joints(middle))[0] - line)))
            if stray <= STRAIGHT:
                return joints
        raise _OutOfReachError  # the arm would have to swing round on the way


def _joints(angles: tuple[float, ...]) -> Joints:
    q1, q2, q3, q4, q5, q6 = angles
    return q1, q2, q3, q4, q5, q6


def _fork_yaws(point: F64) -> list[float]:
    """Directions square to the floor's grid, the one pointing most away from the arm first."""
    radial = math.atan2(point[1], point[0])
    square = [k * math.pi / 2 for k in range(4)]
    return sorted(square, key=lambda yaw: round(abs(_wrap(yaw - radial)), 9))


def _tuck(point: F64, yaw: float) -> float:
    """How far (m) a load at a point can be drawn back along a fork in direction ``yaw``."""
    outward = float(point[0]) * math.cos(yaw) + float(point[1]) * math.sin(yaw)
    return max(0.0, outward - SWING)


def poses(building: Building, site: LifterSite) -> Poses:
    """Joint targets with which the arm of a site lifts pallets from its dock to its hand-off.

    Pallets keep square to the grid at both ends; where the arm cannot do that straight ahead,
    the fork goes in from another side.

    Raises:
        InputError: the dock or the hand-off is out of the arm's reach; names the building's file.
    """
    base = np.array(site.base)
    dock, handoff = np.array(site.dock) - base, handoff_point(building, site) - base
    dock[2] += POCKET
    handoff[2] += POCKET
    rise = float(handoff[2] - dock[2]) + CLEARANCE

    def unreachable(field: str, point: F64) -> InputError:
        return InputError(
            building.source,
            f"{site.id}.{field}",
            [round(float(v), 3) for v in point + base],
            f"out of reach of the arm at {[round(v, 3) for v in site.base]}: it stretches at most "
            f"{UPPER_ARM + FOREARM + TOOL:.1f} m from its shoulder, {SHOULDER} m above its foot, "
            f"and must come {INSERTION} m nearer to draw its fork out",
        )

    def at_dock(yaw: float) -> tuple[Joints, tuple[Joints, ...], Any, Joints]:
        arm = _Arm((math.atan2(dock[1], dock[0]), 0.5, -2.0, 0.0, 1.5, 0.0))
        return (
            arm.to(dock, yaw, _tuck(dock, yaw), rise),
            tuple(arm.to(dock, yaw, INSERTION, up) for up in (rise / 3, 0.0)),
            arm.slide(dock, yaw, INSERTION, 0.0),
            arm.to(dock, yaw, 0.0, WEIGHING),
        )

    def at_handoff(yaw: float, raised: Joints) -> tuple[tuple[Joints, ...], Joints, Any]:
        arm = _Arm(_joints((math.atan2(handoff[1], handoff[0]), *raised[1:])))
        return (
            (
                arm.to(handoff, yaw, _tuck(handoff, yaw), CLEARANCE),
                arm.to(handoff, yaw, 0.0, CLEARANCE),
            ),
            arm.to(handoff, yaw),
            arm.slide(handoff, yaw, 0.0, INSERTION),
        )

    for yaw in _fork_yaws(dock):
        with contextlib.suppress(_OutOfReachError):
            raised, approach, insert, weighing = at_dock(yaw)
            break
    else:
        raise unreachable("dock", dock)
    for yaw in _fork_yaws(handoff):
        with contextlib.suppress(_OutOfReachError):
            above, down, withdraw = at_handoff(yaw, raised)
            break
    else:
        raise unreachable("cell", handoff)
    parked = (above[0], raised)
    return Poses(parked, approach, insert, weighing, (raised,), above, down, withdraw)
