"""Simulated drives, gripper and load cell of a Robo-Stow, and the pallet at its dock."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from robo_stow.floor.building import Building, LifterSite
from robo_stow.lifter.kinematics import (
    POCKET,
    Joints,
    forward,
    handoff_point,
    poses,
)
from robo_stow.messages import LifterCommand, LifterFeedback

STALE = 1.0
"""s; a command that was this long under way is not obeyed (its sender sends it again)."""
HEARTBEAT = 1.0
"""s between reports of drives that stand still."""
NEAR = 0.1
"""m within which the fork counts as at the dock or the hand-off."""
CELL_NOISE = 0.001
"""Standard deviation of the load cell, share of the load."""


class JointMove:
    """All joints from one position to another, together, with trapezoidal speed.

    The joints share one time law; no joint exceeds its speed or acceleration (SI, rad), both
    scaled by ``scale``.
    """

    def __init__(
        self,
        start: Joints,
        end: Joints,
        speed: tuple[float, ...],
        acceleration: tuple[float, ...],
        scale: float,
    ) -> None:
        self._start, self._end = start, end
        way = [abs(b - a) for a, b in zip(start, end, strict=True)]
        moving = [i for i, w in enumerate(way) if w > 0.0]
        if not moving:
            self.duration = self._up = self._rate = self._slope = 0.0
            return
        rate = min(speed[i] / way[i] for i in moving) * scale
        slope = min(acceleration[i] / way[i] for i in moving) * scale
        rate = min(rate, math.sqrt(slope))  # shares of the way: 1 in all
        self._rate, self._slope, self._up = rate, slope, rate / slope
        self.duration = 1.0 / rate + self._up

    def at(self, time: float) -> Joints:
        """Joint positions ``time`` s after the start."""
        if time >= self.duration:
            return self._end
        left = self.duration - time
        if time < self._up:
            share = 0.5 * self._slope * time * time
        elif left < self._up:
            share = 1.0 - 0.5 * self._slope * left * left
        else:
            share = self._rate * (time - 0.5 * self._up)
        q = [a + share * (b - a) for a, b in zip(self._start, self._end, strict=True)]
        return q[0], q[1], q[2], q[3], q[4], q[5]


class LifterDrives:
    """One lifter's hardware, stepped by the plant.

    A command moves the joints to their targets, then the gripper. A newer command is begun when
    the one under way is finished; repetitions of the last one are answered with its feedback.

    Public: ``at_dock`` and ``gripped``, the weights (kg) of the pallet at the dock and in the
    gripper, 0 for none.
    """

    def __init__(self, building: Building, site: LifterSite, seed: int, index: int) -> None:
        self.site = site
        self._spec = building.lifter
        self._rng = np.random.default_rng([seed, 0x11F7, index])
        self._base = np.array(site.base, np.float64)
        self._dock = np.array(site.dock) + (0.0, 0.0, POCKET)
        self._handoff = handoff_point(building, site) + (0.0, 0.0, POCKET)
        self._joint: Joints = poses(building, site).parked
        self._closed = False
        self.at_dock = 0.0
        self.gripped = 0.0
        self._sequence = 0
        self._active: LifterCommand | None = None
        self._next: LifterCommand | None = None
        self._move: JointMove | None = None
        self._began = 0.0
        self._reported = -math.inf
        self._answer = True

    def command(self, now: float, command: LifterCommand) -> None:
        """Take a command; stale and outdated ones are not obeyed."""
        newest = self._next or self._active
        last = self._sequence if newest is None else newest.sequence
        if command.sequence == self._sequence:
            self._answer = True
        elif command.sequence > last and now - command.stamp <= STALE:
            self._next = command

    @property
    def due(self) -> float:
        """Time (s) at which a step has something to do or to tell."""
        if self._answer or self._active is not None or self._next is not None:
            return -math.inf
        return self._reported + HEARTBEAT

    def step(self, now: float) -> tuple[LifterFeedback | None, str]:
        """Move on to ``now`` (s).

        Returns:
            Feedback when something changed, was asked for again, or is due; and what became of
            a pallet that the gripper let go: "" (nothing), "docked", "handed over" or "dropped".
        """
        let_go = ""
        while self._active is not None or self._next is not None:
            if self._active is None:
                self._active, self._next = self._next, None
                self._start(now)
            command, move = self._active, self._move
            assert command is not None and move is not None
            grip = self._spec.grip_time if command.gripper_closed != self._closed else 0.0
            self._joint = move.at(now - self._began)
            self._answer = True
            if now < self._began + move.duration + grip:
                break
            if command.gripper_closed != self._closed:
                let_go = self._grip(command.gripper_closed) or let_go
            self._sequence = command.sequence
            self._active = None
        if not self._answer and now - self._reported < HEARTBEAT:
            return None, let_go
        self._answer = False
        self._reported = now
        return (
            LifterFeedback(
                stamp=now,
                lifter=self.site.id,
                sequence=self._sequence,
                joint=self._joint,
                gripper_closed=self._closed,
                load=self._weigh(),
            ),
            let_go,
        )

    def _start(self, now: float) -> None:
        assert self._active is not None
        q = self._active.joint
        # Half as quick with the rated load.
        scale = 1.0 - 0.5 * min(1.0, self._active.payload / self._spec.rated_load)
        self._move = JointMove(
            self._joint,
            (q[0], q[1], q[2], q[3], q[4], q[5]),
            self._spec.joint_speed,
            self._spec.joint_acceleration,
            scale,
        )
        self._began = now

    def _fork(self) -> NDArray[np.float64]:
        return forward(self._joint)[0] + self._base

    def _grip(self, close: bool) -> str:
        self._closed = close
        fork = self._fork()
        if close:
            if self.at_dock > 0.0 and float(np.linalg.norm(fork - self._dock)) <= NEAR:
                self.gripped, self.at_dock = self.at_dock, 0.0
            return ""
        if self.gripped <= 0.0:
            return ""
        weight, self.gripped = self.gripped, 0.0
        if float(np.linalg.norm(fork - self._dock)) <= NEAR:
            self.at_dock = weight
            return "docked"
        at_handoff = float(np.linalg.norm(fork - self._handoff)) <= NEAR
        return "handed over" if at_handoff else "dropped"

    def _weigh(self) -> float:
        """What the load cell shows; nothing while the pallet still stands on the floor."""
        if self.gripped <= 0.0:
            return 0.0
        fork = self._fork()
        if float(np.linalg.norm(fork - self._dock)) <= NEAR:
            return 0.0
        return self.gripped * (1.0 + CELL_NOISE * float(self._rng.standard_normal()))
