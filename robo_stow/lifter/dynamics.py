"""Torques of a Robo-Stow: inverse dynamics of its arm, from the masses of its description.

Recursive Newton-Euler (J. Luh, M. Walker, R. Paul, "On-line computational scheme for mechanical
manipulators", 1980), for many points of a trajectory at once.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from robo_stow.floor.building import Building, LifterSite
from robo_stow.floor.urdf import Body, bodies, body_frames, expand, lifter_arguments
from robo_stow.lifter.kinematics import POCKET, TOOL

F64 = NDArray[np.float64]

GRAVITY = 9.81
PALLET = (1.2, 0.8, 0.144)
"""m, a EUR pallet."""
PALLET_WEIGHT = 25.0
"""kg, of which a pallet's goods weigh the rest."""
AXES = 6


def stack_height(weight: float) -> float:
    """m that the goods of a pallet of ``weight`` kg stand high, as ``urdf/pallet.urdf.xacro``."""
    return min(1.4, max(0.2, (weight - PALLET_WEIGHT) / 600.0))


class Arm:
    """The arm of one lifter as six bodies on six axes.

    Args:
        urdf: its description.

    Public: ``bodies``; ``effort`` F64[6], the most that the drives give (Nm).
    """

    def __init__(self, urdf: str) -> None:
        robot = ET.fromstring(urdf)
        joints = {joint.get("name"): joint for joint in robot.findall("joint")}
        # The clamp moves a hand's breadth and weighs little: part of the gripper.
        parts = {body.joint: body for body in bodies(urdf, rigid=("clamp_joint",)) if body.joint}
        self._offset: list[F64] = []
        self._axis: list[F64] = []
        self._mass: list[float] = []
        self._centre: list[F64] = []
        self._inertia: list[F64] = []
        self.bodies: list[Body] = []
        effort = []
        for number in range(1, AXES + 1):
            name = f"joint_{number}"
            body, joint = parts[name], joints[name]
            self._offset.append(body.at[:3, 3])  # from the joint before; none is turned
            axis, limit = joint.find("axis"), joint.find("limit")
            assert axis is not None and limit is not None
            self._axis.append(np.array([float(v) for v in axis.get("xyz", "").split()]))
            effort.append(float(limit.get("effort", "0")))
            centre, inertia = body.inertia()
            self.bodies.append(body)
            self._mass.append(body.mass)
            self._centre.append(centre)
            self._inertia.append(inertia)
        self.effort = np.array(effort)
        self._offset[0] = self._offset[0] - body_frames(urdf, {})["foot"][:3, 3]

    def frames(self, q: F64) -> F64:
        """Frames of the bodies in the arm's base frame, F64[n, 6, 4, 4], at ``q`` F64[n, 6] rad."""
        found = np.zeros((len(q), AXES, 4, 4))
        here = np.tile(np.eye(4), (len(q), 1, 1))
        for i in range(AXES):
            here = here.copy()
            here[:, :3, 3] += here[:, :3, :3] @ self._offset[i]
            here[:, :3, :3] = here[:, :3, :3] @ _turns(self._axis[i], q[:, i])
            found[:, i] = here
        return found

    def torque(self, q: F64, speed: F64, acceleration: F64, payload: float) -> F64:
        """Torques of the drives, F64[n, 6] Nm.

        Args:
            q, speed, acceleration: F64[n, 6], rad, rad/s and rad/s^2.
            payload: kg of the pallet on the fork, 0 for none.
        """
        n = len(q)
        turn = np.broadcast_to(np.eye(3), (n, 3, 3))
        spin, change = np.zeros((n, 3)), np.zeros((n, 3))
        push = np.tile([0.0, 0.0, GRAVITY], (n, 1))  # weight as an acceleration upwards
        axes: list[F64] = []
        offsets: list[F64] = []
        forces: list[F64] = []
        moments: list[F64] = []
        centres: list[F64] = []
        for i in range(AXES):
            offset = turn @ self._offset[i]
            push = push + np.cross(change, offset) + np.cross(spin, np.cross(spin, offset))
            axis = turn @ self._axis[i]
            change = change + axis * acceleration[:, i, None]
            change = change + np.cross(spin, axis) * speed[:, i, None]
            spin = spin + axis * speed[:, i, None]
            turn = turn @ _turns(self._axis[i], q[:, i])
            mass, centre, inertia = self._mass[i], self._centre[i], self._inertia[i]
            if i == AXES - 1 and payload > 0.0:
                mass, centre, inertia = _with_pallet(mass, centre, inertia, payload)
            arm = turn @ centre
            force = mass * (push + np.cross(change, arm) + np.cross(spin, np.cross(spin, arm)))
            about = turn @ inertia @ np.swapaxes(turn, 1, 2)
            whirl = np.einsum("nij,nj->ni", about, spin)
            moment = np.einsum("nij,nj->ni", about, change) + np.cross(spin, whirl)
            for store, value in (
                (axes, axis),
                (offsets, offset),
                (forces, force),
                (moments, moment),
                (centres, arm),
            ):
                store.append(value)
        torque = np.zeros((n, AXES))
        carried, bending = np.zeros((n, 3)), np.zeros((n, 3))
        beyond = np.zeros((n, 3))  # from this joint to the next
        for i in reversed(range(AXES)):
            bending = moments[i] + np.cross(centres[i], forces[i]) + bending
            bending = bending + np.cross(beyond, carried)
            carried = carried + forces[i]
            beyond = offsets[i]
            torque[:, i] = np.einsum("ni,ni->n", axes[i], bending)
        return torque


@lru_cache(maxsize=64)
def _described(urdf: str) -> Arm:
    return Arm(urdf)


def arm_of(building: Building, site: LifterSite) -> Arm:
    """The arm of a site of the building."""
    return _described(expand("robo_stow", lifter_arguments(building, site)))


def _with_pallet(mass: float, centre: F64, inertia: F64, weight: float) -> tuple[float, F64, F64]:
    """A gripper's mass, centre of mass and inertia with a pallet of ``weight`` kg on its fork."""
    x, y, z = PALLET[0], PALLET[1], PALLET[2] + stack_height(weight)
    where = np.array([TOOL, 0.0, z / 2 - POCKET])
    own = weight / 12 * np.diag([y * y + z * z, x * x + z * z, x * x + y * y])
    total = mass + weight
    middle = (mass * centre + weight * where) / total

    def shifted(m: float, at: F64) -> F64:
        d = at - middle
        result: F64 = m * (d @ d * np.eye(3) - np.outer(d, d))
        return result

    return total, middle, inertia + own + shifted(mass, centre) + shifted(weight, where)


def _turns(axis: F64, angle: F64) -> F64:
    """F64[n, 3, 3] rotations about a unit axis (Rodrigues)."""
    cross = np.array([[0.0, -axis[2], axis[1]], [axis[2], 0.0, -axis[0]], [-axis[1], axis[0], 0.0]])
    sin, cos = np.sin(angle)[:, None, None], np.cos(angle)[:, None, None]
    turned: F64 = np.eye(3) + sin * cross + (1.0 - cos) * (cross @ cross)
    return turned
