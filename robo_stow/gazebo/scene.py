"""What stands in a running Gazebo world: stepped, looked at and moved about."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_stow.floor.urdf import roll_pitch_yaw
from robo_stow.floor.world import STEP
from robo_stow.gazebo.server import Server
from robo_stow.gazebo.transport import GazeboError
from robo_stow.gazebo.wire import message, parse

F64 = NDArray[np.float64]

PATIENCE = 60.0
"""s of wall time for a step of the world, a spawn or a question."""
REPEAT = 1.0
"""s of wall time after which a model that did not get to its place is sent there again."""
_EMPTY = 40
"""Bytes below which a message of poses holds none."""


@dataclass(slots=True)
class _Placing:
    at: tuple[float, float, float]
    command: Any
    sent: float  # s, monotonic


class Scene:
    """The paused world of a `Server`, stepped in lock-step.

    Args:
        server: the world; its drive units have the names ``units``.

    Public, of the units, F64[n], as of the last step: ``x, y, z`` (m), ``yaw`` (rad), ``left`` and
    ``right`` (rad, how far the wheels have turned in all); ``steps``, physics steps made;
    ``wall_seconds``, wall time spent waiting for them.

    Raises:
        GazeboError: the world does not answer.
    """

    def __init__(self, server: Server, units: Sequence[str]) -> None:
        self._server = server
        transport = self._transport = server.transport
        n = len(units)
        self.x, self.y, self.z, self.yaw, self.left, self.right = np.zeros((6, n))
        self.steps = 0
        self.wall_seconds = 0.0
        self._unit = {name: i for i, name in enumerate(units)}
        self._body = [0] * n  # Gazebo's numbers of the units' bodies
        self._latest = b""
        self._frames: list[bytes] = []
        self._answers: dict[int, Any] = {}
        self._asked = 0
        self._idle = True  # nothing was sent since the last step
        self._ahead = 0  # physics steps made that were not asked for yet
        self._awaited: dict[str, _Placing] = {}
        transport.subscribe("~/pose/local/info", "PosesStamped", self._on_poses)
        transport.subscribe("~/response", "Response", self._on_response)
        self._control = transport.advertise_to_server("~/world_control", "WorldControl")
        self._modify = transport.advertise_to_server("~/model/modify", "Model")
        self._factory = transport.advertise_to_server("~/factory", "Factory")
        self._request = transport.advertise_to_server("~/request", "Request")
        self._wheels = [transport.advertise(f"~/{name}/vel_cmd", "Pose") for name in units]
        transport.wait(lambda: bool(self._latest), "poses", PATIENCE)
        self._sent = np.zeros((2, n))
        self.step(1)  # plugins are loaded with the first step
        for wheels in self._wheels:
            transport.wait(lambda w=wheels: w.subscribers > 0, wheels.topic, PATIENCE)  # type: ignore[misc]

    # --- time ----------------------------------------------------------------------------------

    def step(self, count: int) -> None:
        """Let the world go on by ``count`` physics steps of `STEP` s.

        Raises:
            GazeboError: the server has ended or hangs.
        """
        began = time.perf_counter()
        self._settle()
        due, self._ahead = count - self._ahead, max(0, self._ahead - count)
        if due > 0:
            fresh = self._advance(due)
            while not fresh:
                self._ahead += 1
                fresh = self._advance(1)
        self.wall_seconds += time.perf_counter() - began

    def _advance(self, count: int) -> bool:
        """Make physics steps; returns whether the poses after the last one are known.

        A paused world sends empty messages without pause, and its queue of 10 forgets the oldest
        when its sender is late: now and then that are the last poses of a step.
        """
        self.steps += count
        end = self.steps * STEP - STEP / 2
        self._control.publish(message("WorldControl", multi_step=count))
        try:
            self._transport.wait(lambda: _stamp(self._latest) > end, "a step", PATIENCE)
        except GazeboError as error:
            raise self._failure(error) from None
        frames, self._frames = self._frames, []
        return self._look(frames, end)

    def _settle(self) -> None:
        """Wait until the server has taken what was sent before.

        It reads its connections in turn, so the answer to a question that was asked last (one of
        the few that are answered at once) comes when all the rest has arrived; otherwise commands
        would come late at random.
        """
        if self._idle:
            return
        self._idle = True
        self._ask("physics_info", "")

    def _on_poses(self, data: bytes) -> None:
        if len(data) > _EMPTY:
            self._frames.append(data)
        self._latest = data

    def _look(self, frames: list[bytes], end: float) -> bool:
        """Take over the newest pose of every unit, and what has arrived.

        Returns:
            Whether all poses are of the time ``end`` (s) or later.
        """
        for data in frames if self._awaited else ():
            if any(name.encode() in data for name in self._awaited):
                for pose in parse("PosesStamped", data).pose:
                    wanted = self._awaited.get(pose.name)
                    at = pose.position
                    if wanted is not None and math.dist(wanted.at, (at.x, at.y, at.z)) < 1e-6:
                        del self._awaited[pose.name]
        seen: set[int] = set()
        two_pi = 2 * math.pi
        fresh = 0
        for data in reversed(frames):
            poses = parse("PosesStamped", data).pose
            late = _stamp(data) < end
            i = 0
            while i < len(poses):
                unit = self._unit.get(poses[i].name)
                i += 1
                if unit is None or unit in seen:
                    continue
                seen.add(unit)
                fresh += not late
                model = poses[i - 1]
                at, q = model.position, model.orientation
                self.x[unit], self.y[unit], self.z[unit] = at.x, at.y, at.z
                self.yaw[unit] = math.atan2(
                    2 * (q.w * q.z + q.x * q.y), 1 - 2 * (q.y * q.y + q.z * q.z)
                )
                prefix = model.name + "::"
                while i < len(poses) and poses[i].name.startswith(prefix):
                    part, q = poses[i].name[len(prefix) :], poses[i].orientation
                    if part == "base_footprint":
                        self._body[unit] = poses[i].id
                    else:  # a wheel; it turns about y
                        turned = self.left if part == "left_wheel" else self.right
                        angle = 2 * math.atan2(q.y, q.w)
                        turned[unit] += math.remainder(angle - turned[unit], two_pi)
                    i += 1
            if len(seen) == len(self._unit):
                break
        return fresh == len(self._unit)

    # --- units ---------------------------------------------------------------------------------

    def drive(self, speed: F64, turn: F64) -> None:
        """Command all units' wheels: F64[n] m/s and F64[n] rad/s."""
        self._idle = False
        for unit in np.flatnonzero((self._sent != (speed, turn)).any(axis=0)).tolist():
            # The plugin turns clockwise for a positive rate.
            self._wheels[unit].publish(_pose((float(speed[unit]), 0, 0), -float(turn[unit])))
        self._sent = np.array([speed, turn])

    def set_inertia(self, unit: int, mass: float, inertia: F64) -> None:
        """Make a unit's body ``mass`` kg with ``inertia`` F64[3, 3] about its centre of mass."""
        body = message(
            "Inertial",
            mass=mass,
            ixx=inertia[0, 0],
            ixy=inertia[0, 1],
            ixz=inertia[0, 2],
            iyy=inertia[1, 1],
            iyz=inertia[1, 2],
            izz=inertia[2, 2],
        )
        link = message("Link", id=self._body[unit], name="base_footprint", inertial=body)
        name = next(name for name, i in self._unit.items() if i == unit)
        self._modify.publish(message("Model", name=name, link=[link]))

    # --- everything else -----------------------------------------------------------------------

    def place(
        self, model: str, at: tuple[float, float, float], yaw: float, *, watch: bool = False
    ) -> None:
        """Set a model down upright at ``at`` (m); Gazebo does it up to 0.2 s of wall time later.

        With ``watch``, `arrived` tells when it has.
        """
        command = message("Model", name=model, pose=_pose(at, yaw))
        if watch:
            self._awaited[model] = _Placing(at, command, time.monotonic())
        self._modify.publish(command)

    def arrived(self, model: str) -> bool:
        """Whether Gazebo has set a model where it was placed last with ``watch``."""
        placing = self._awaited.get(model)
        if placing is None:
            return True
        if time.monotonic() - placing.sent > REPEAT:  # the answer got lost
            placing.sent = time.monotonic()
            self._modify.publish(placing.command)
        return False

    def place_frame(self, model: str, frame: F64) -> None:
        """Set a model to a frame F64[4, 4]."""
        x, y, z = (float(v) for v in frame[:3, 3])
        pose = _pose((x, y, z), 0.0)
        roll, pitch, yaw = (a / 2 for a in roll_pitch_yaw(frame[:3, :3]))
        (cr, sr), (cp, sp), (cy, sy) = ((math.cos(a), math.sin(a)) for a in (roll, pitch, yaw))
        q = pose.orientation
        q.w, q.x = cr * cp * cy + sr * sp * sy, sr * cp * cy - cr * sp * sy
        q.y, q.z = cr * sp * cy + sr * cp * sy, cr * cp * sy - sr * sp * cy
        self._modify.publish(message("Model", name=model, pose=pose))

    def spawn(self, model: str) -> None:
        """Add a model, given as an SDF ``<model>``; it is there soon after."""
        text = f'<sdf version="1.6">{model}</sdf>'
        self._factory.publish(message("Factory", sdf=text))

    def delete(self, model: str) -> None:
        """Remove a model."""
        self._asked += 1
        self._request.publish(
            message("Request", id=self._asked, request="entity_delete", data=model)
        )

    def where(self, model: str) -> tuple[float, float, float, float] | None:
        """A model's x, y, z (m) and yaw (rad) as Gazebo tells them; None: there is no such model.

        Raises:
            GazeboError: no answer.
        """
        answer = self._ask("entity_info", model)
        if answer.response != "success":
            return None
        pose = parse("Model", answer.serialized_data).pose
        at, q = pose.position, pose.orientation
        yaw = math.atan2(2 * (q.w * q.z + q.x * q.y), 1 - 2 * (q.y * q.y + q.z * q.z))
        return at.x, at.y, at.z, yaw

    def _ask(self, question: str, data: str) -> Any:
        self._asked += 1
        number = self._asked
        self._request.publish(message("Request", id=number, request=question, data=data))
        try:
            self._transport.wait(lambda: number in self._answers, "an answer", PATIENCE)
        except GazeboError as error:
            raise self._failure(error) from None
        return self._answers.pop(number)

    def _failure(self, error: GazeboError) -> GazeboError:
        state = "hangs" if self._server.alive else f"has ended:\n{self._server.log()[-1000:]}"
        return GazeboError(f"gzserver {state} ({error})")

    def _on_response(self, data: bytes) -> None:
        answer = parse("Response", data)
        if answer.request in ("entity_info", "physics_info"):
            self._answers[answer.id] = answer


def _stamp(data: bytes) -> float:
    at = parse("Stamped", data).time
    return float(at.sec) + float(at.nsec) * 1e-9


def _pose(at: tuple[float, float, float], yaw: float) -> Any:
    return message(
        "Pose",
        position=message("Vector3d", x=at[0], y=at[1], z=at[2]),
        orientation=message("Quaternion", x=0.0, y=0.0, z=math.sin(yaw / 2), w=math.cos(yaw / 2)),
    )
