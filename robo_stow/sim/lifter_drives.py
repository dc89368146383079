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
from robo_stow.lifter.trajectory import Planner, Trajectory
from robo_stow.messages import DriveStatus, LifterCommand, LifterFeedback

STALE = 1.0
"""s; a command that was this long under way is not obeyed (its sender sends it again)."""
HEARTBEAT = 1.0
"""s between reports of drives that stand still."""
NEAR = 0.1
"""m within which the fork counts as at the dock or the hand-off."""
CELL_NOISE = 0.001
"""Standard deviation of the load cell, share of the load."""
BRAKING = {DriveStatus.STOPPED: 0.4, DriveStatus.NO_POWER: 0.2}
"""s from full speed to rest: controlled after an emergency stop, by the brakes without power."""
STANDBY = 1500.0
"""W that drives, brakes and controller always take. Assumed."""


class LifterDrives:
    """One lifter's hardware, stepped by the plant.

    A command moves the joints to their targets, then the gripper. A newer command is begun when
    the one under way is finished; repetitions of the last one are answered with its feedback.

    After `stop` or `cut_power` the arm comes to rest on its path, the brakes hold it, the gripper
    stays as it is, and what was commanded is forgotten. Only `reset`, with power, ends that.

    Public: ``status``; ``at_dock`` and ``gripped``, the weights (kg) of the pallet at the dock and
    in the gripper, 0 for none.
    """

    def __init__(self, building: Building, site: LifterSite, seed: int, index: int) -> None:
        self.site = site
        self._spec = building.lifter
        self._rng = np.random.default_rng([seed, 0x11F7, index])
        self._base = np.array(site.base, np.float64)
        self._dock = np.array(site.dock) + (0.0, 0.0, POCKET)
        self._handoff = handoff_point(building, site) + (0.0, 0.0, POCKET)
        self._joint: Joints = poses(building, site).parked[-1]
        self._closed = False
        self.at_dock = 0.0
        self.gripped = 0.0
        self._sequence = 0
        self._active: LifterCommand | None = None
        self._next: LifterCommand | None = None
        self._planner = Planner(building, site)
        self._move: Trajectory | None = None
        self._spent = 0.0  # s of the move, and of the grip after it
        self._pace = 1.0  # of time along the move; less while braking
        self._now: float | None = None
        self._work = 0.0  # Wh of all moves
        self._dark = 0.0  # s without power
        self._cut: float | None = None
        self.status = DriveStatus.OK
        self._reported = -math.inf
        self._answer = True

    def command(self, now: float, command: LifterCommand) -> None:
        """Take a command; stale and outdated ones are not obeyed."""
        if self.status is not DriveStatus.OK:
            return
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

    def stop(self) -> None:
        """Emergency stop."""
        if self.status is DriveStatus.OK:
            self._halt(DriveStatus.STOPPED)

    def cut_power(self) -> None:
        """The supply fails."""
        self._halt(DriveStatus.NO_POWER)

    def restore_power(self) -> None:
        """The supply is back; the drives wait for `reset`."""
        if self.status is DriveStatus.NO_POWER:
            self._halt(DriveStatus.STOPPED)

    def reset(self) -> None:
        """Somebody has seen that all is well; without power, or while braking, nothing happens."""
        if self.status is DriveStatus.STOPPED and self._active is None:
            self.status, self._pace, self._answer = DriveStatus.OK, 1.0, True

    def _halt(self, status: DriveStatus) -> None:
        self.status, self._next, self._answer = status, None, True

    def step(self, now: float) -> tuple[LifterFeedback | None, str]:
        """Move on to ``now`` (s).

        Returns:
            Feedback when something changed, was asked for again, or is due; and what became of
            a pallet that the gripper let go: "" (nothing), "docked", "handed over" or "dropped".
        """
        let_go = ""
        passed = 0.0 if self._now is None else max(0.0, now - self._now)
        self._now = now
        self._count(now)
        # A command that has just come in begins now.
        left = 0.0 if self._active is None else passed
        while self._active is not None or self._next is not None:
            if self._active is None:
                self._active, self._next = self._next, None
                self._start()
            command, move = self._active, self._move
            assert command is not None and move is not None
            changing = command.gripper_closed != self._closed
            whole = move.duration + (self._spec.grip_time if changing else 0.0)
            before, left = self._spent, self._pass(left, whole)
            self._work += move.energy(self._spent) - move.energy(before)
            self._joint = move.at(self._spent)
            self._answer = True
            if self._pace == 0.0:
                self._active = self._next = None
                break
            if self._spent < whole:
                break
            if changing:
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
                status=self.status,
                energy=self._work + STANDBY * self._powered(now) / 3600.0,
            ),
            let_go,
        )

    def _count(self, now: float) -> None:
        """Note when there is no power; by moments, as idle steps may be left out."""
        if self.status is DriveStatus.NO_POWER:
            self._cut = now if self._cut is None else self._cut
        elif self._cut is not None:
            self._dark += now - self._cut
            self._cut = None

    def _powered(self, now: float) -> float:
        """s with power."""
        return (now if self._cut is None else self._cut) - self._dark

    def _start(self) -> None:
        assert self._active is not None
        q = self._active.joint
        self._move = self._planner.plan(
            self._joint, (q[0], q[1], q[2], q[3], q[4], q[5]), self._active.payload
        )
        self._spent = 0.0

    def _pass(self, seconds: float, whole: float) -> float:
        """Go on with the move, as long as it lasts; returns what is left of the time."""
        braking = BRAKING.get(self.status)
        if braking is None:
            used = min(seconds, whole - self._spent)
            self._spent = whole if used < seconds else self._spent + used
            return seconds - used
        used = min(seconds, self._pace * braking)
        pace = max(0.0, self._pace - used / braking)
        assert self._move is not None
        self._spent += (self._pace + pace) / 2 * used
        if self._spent > self._move.duration:  # stands; the gripper's time does not run
            self._spent, pace = self._move.duration, 0.0
        self._pace = pace if pace > 1e-9 else 0.0
        return 0.0

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
