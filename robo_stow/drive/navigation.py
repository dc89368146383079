"""A drive unit that Nav2 drives: released cells become navigation goals.

Every straight run of released cells is one goal, every turn a goal of its own: a controller that
follows a path around a corner would cut it, through a cell that is not released. With
``FOLLOW_PATH`` (Nav2's FollowPath) the unit keeps to the cells; ``THROUGH_POSES`` (Nav2's
NavigateThroughPoses) plans between them, so its planner must not leave them (a straight-line
planner, or a costmap in which all else is blocked).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from robo_stow.drive.platform import Platform
from robo_stow.drive.robot import (
    CancelGoal,
    Goal,
    GoalKind,
    GoalReport,
    GoalState,
    Joints,
)
from robo_stow.drive.unit import UnitCore, posed
from robo_stow.floor.building import YAW, Building
from robo_stow.messages import Action, FleetState

RETRY = 1.0
"""s between the end of a goal that failed and the next try."""
TRIES = 5
"""Failures one after the other after which the unit stops for a person."""
SILENCE = 5.0
"""s without a word about a goal after which it is given up and sent anew."""
LEAST_SPIN = 0.01
"""rad; what is left of a turn that was cut off at its very end."""
SPACING = 0.1
"""m between the poses of a path."""
_STEP = 0.02
"""s by which the books are moved on until they have come as far as the unit."""
_TURNS = (Action.TURN_CW, Action.TURN_CCW)


@dataclass
class _Under:
    """The goal that is under way."""

    goal: Goal
    end: int  # number of the action after the last one of the goal
    way: float  # m from its beginning to its end; rad of a SPIN
    begun: int  # actions done when it was sent
    heard: float  # when it was last spoken of
    done: float = 0.0  # of `way`
    canceled: bool = False


class NavigationCore(UnitCore):
    """A unit that is driven by goals.

    Emits a `Goal` for what is released, a longer one when more is released, and a `CancelGoal` on
    an emergency stop. Progress is what the goal's reports say: no action counts as done before.
    A goal that fails, or of which nothing is heard, is sent again; after `TRIES` failures the unit
    stops for a person (`Reset`).

    Args:
        kind: FOLLOW_PATH or THROUGH_POSES, for straight runs.
        platform: as for `robo_stow.drive.wheels.WheelsCore`.
        building, seed, unit, start: as for `UnitCore`.
    """

    consumes = (*UnitCore.consumes, GoalReport, Joints)

    def __init__(
        self,
        building: Building,
        seed: int,
        unit: int,
        start: tuple[int, int] | None = None,
        *,
        kind: GoalKind = GoalKind.FOLLOW_PATH,
        platform: bool = False,
    ) -> None:
        super().__init__(building, seed, unit, start)
        self._kind = kind
        self._platform = Platform() if platform else None
        self._goal: _Under | None = None
        self._number = 0
        self._turned = (0, 0, 0.0)  # epoch, number of a turn, rad of it that ended goals have done
        self._failures = 0
        self._missed = False  # no server was there
        self._wait = -math.inf  # no goal before this time
        self._pose: tuple[float, float, float] | None = None  # as the server tells it

    def receive(self, now: float, message: Any) -> None:
        """As `UnitCore.receive`."""
        if isinstance(message, GoalReport):
            self._on_report(now, message)
        elif isinstance(message, Joints):
            if self._platform is not None:
                self._platform.joints = message
        else:
            super().receive(now, message)

    def _on_report(self, now: float, report: GoalReport) -> None:
        goal = self._goal
        if goal is None or report.number != goal.goal.number:
            return  # of a goal that has been replaced
        goal.heard = now
        if report.pose is not None:
            self._pose = report.pose
        if report.state == GoalState.ACTIVE:
            left = report.remaining
            if goal.goal.kind == GoalKind.THROUGH_POSES:
                left *= self.building.grid.pitch
            goal.done = max(goal.done, min(goal.way, goal.way - left))
            return
        self._end(goal)
        if report.state == GoalState.SUCCEEDED:
            self._failures = 0
            self._advance(goal, True)
        elif report.state == GoalState.UNAVAILABLE:
            self._wait = now + RETRY
            if not self._missed:
                self.alarm(now, "navigation", "stands: no navigation server")
            self._missed = True
            return
        elif not goal.canceled:
            self._failed(now, report.state.name.lower())
        self._missed = False

    def _end(self, goal: _Under) -> None:
        self._goal = None
        if goal.goal.kind == GoalKind.SPIN:
            self._turned = (*self._turn(), self._part_done() + goal.done)

    def _turn(self) -> tuple[int, int]:
        return int(self.books.epoch[0]), int(self.books.done[0])

    def _part_done(self) -> float:
        """What goals before have done of the turn that comes next, rad."""
        *turn, turned = self._turned
        return turned if tuple(turn) == self._turn() else 0.0

    def _failed(self, now: float, how: str) -> None:
        self._failures += 1
        self._wait = now + RETRY
        if self._failures < TRIES:
            return
        self._failures = 0
        self.halt()
        self.alarm(now, "navigation", f"stands: {TRIES} goals failed, the last one was {how}")

    def move(self, now: float, elapsed: float) -> list[Action]:
        """As `UnitCore.move`."""
        goal = self._goal
        if goal is not None and now - goal.heard > SILENCE:
            self._end(goal)
            goal = None
            self._failed(now, "not heard of any more")
        failed: list[Action] = []
        if self.stopped:
            if goal is not None and not goal.canceled:
                goal.canceled = True
                self.say(CancelGoal(goal.goal.number))
            # A unit that was under way may stand anywhere: its books must not brake to a cell.
            self.books.slow(self.unit, 0.0)
            self.books.step(elapsed)
        else:
            if goal is not None:
                self._advance(goal, False)
            failed = self._begin(now, elapsed)
        if self._platform is not None and elapsed > 0.0:
            yaw = float(self.books.states(now).yaw[0])
            self.say(self._platform.target(self.books, yaw, elapsed))
        return failed

    def _begin(self, now: float, elapsed: float) -> list[Action]:
        """Start on what is released next, or lengthen what is under way."""
        action, cell = self.books.pending(self.unit)
        if not len(action):
            self.books.step(elapsed)
        elif action[0] == Action.FORWARD:
            other = np.flatnonzero(action != Action.FORWARD)
            run = cell[: other[0]] if len(other) else cell
            if now >= self._wait and (self._goal is None or self._longer(len(run))):
                self._send(now, self._run(run), len(run))
        elif action[0] in _TURNS:
            if self._goal is None and now >= self._wait:
                # A spin counts from where the unit stands, unlike a path.
                left = max(math.pi / 2 - self._part_done(), LEAST_SPIN)
                angle = -left if action[0] == Action.TURN_CW else left
                empty = np.zeros(0)
                self._number += 1
                goal = Goal(self._number, GoalKind.SPIN, empty, empty, empty, angle)
                self._send(now, goal, 1)
        elif self._platform is None or self._platform.ready(self.books, elapsed):
            return [failed for _, failed in self.books.step(elapsed)]
        return []

    def _longer(self, run: int) -> bool:
        return self._goal is not None and int(self.books.done[0]) + run > self._goal.end

    def _run(self, cells: Any) -> Goal:
        """From the centre of the last cell reached through those of ``cells``."""
        self._number += 1
        x, y = self.building.grid.xy(np.array([self.books.cell[0], *cells], np.int32))
        yaw = YAW[self.books.heading[0]]
        if self._kind == GoalKind.FOLLOW_PATH:
            k = max(2, round(len(cells) * self.building.grid.pitch / SPACING) + 1)
            x, y = np.linspace(x[0], x[-1], k), np.linspace(y[0], y[-1], k)
        else:
            x, y = x[1:], y[1:]
        return Goal(self._number, self._kind, x, y, np.full(len(x), yaw))

    def _send(self, now: float, goal: Goal, actions: int) -> None:
        done = int(self.books.done[0])
        way = abs(goal.angle) or actions * self.building.grid.pitch
        self._goal = _Under(goal, done + actions, way, done, now)
        self.say(goal)

    def _advance(self, goal: _Under, ended: bool) -> None:
        """Move the books on to where the goal has come; over its end only when it has ended."""
        books = self.books
        spin = goal.goal.kind == GoalKind.SPIN
        of_action = math.pi / 2 if spin else self.building.grid.pitch
        wanted = min(goal.done, goal.way - 0.05 * of_action)
        if spin:
            wanted += self._part_done()
        while int(books.done[0]) < goal.end and not self.stopped:
            now = books.under_way(self.unit)
            assert now is not None
            at = (int(books.done[0]) - goal.begun + now.spent / now.whole) * of_action
            if at >= wanted and not ended:
                return
            books.step(_STEP)

    def state(self, now: float) -> FleetState | None:
        """As `UnitCore.state`, with the pose that the navigation server tells, if any."""
        state = self.books.states(now)
        if self._goal is None or self._pose is None:
            return state
        return posed(state, *self._pose, float(state.speed[0]))
