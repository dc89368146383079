"""A robot's own computer: by speeds and odometry, and by navigation goals; a body to drive."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from robo_stow.drive.navigation import SILENCE, TRIES, NavigationCore
from robo_stow.drive.robot import (
    CancelGoal,
    EmergencyStop,
    Goal,
    GoalKind,
    GoalReport,
    GoalState,
    Joints,
    Odometry,
    PlatformTarget,
    Reset,
    Sight,
    TrafficHeard,
    Velocity,
)
from robo_stow.drive.unit import DriveUnitCore, UnitCore
from robo_stow.drive.wheels import WheelsCore
from robo_stow.floor.building import YAW, CellKind
from robo_stow.floor.load import load_building
from robo_stow.floor.start import pod_cells
from robo_stow.messages import (
    Action,
    Alarm,
    FleetState,
    KeepOuts,
    LiftResult,
    Load,
    PalletArrived,
    Release,
    UnitStatus,
    VisitDone,
)

BUILDING = load_building("demo")
GRID = BUILDING.grid
PERIOD = 0.05
DELTA = {0: 1, 1: GRID.width, 2: -1, 3: -GRID.width}


def straight(unit: int = 0, least: int = 5) -> tuple[int, int]:
    """A start cell and heading with ``least`` free cells ahead."""
    taken = {*pod_cells(BUILDING, 1).tolist()}
    for cell in np.flatnonzero(GRID.kind == CellKind.TRAVEL).tolist():
        for heading in range(4):
            way = [cell + DELTA[heading] * k for k in range(least + 1)]
            ok = all(GRID.kind[c] == CellKind.TRAVEL and c not in taken for c in way)
            if ok and all(abs(c % GRID.width - cell % GRID.width) <= least for c in way):
                return cell, heading
    raise AssertionError


START = straight()


def released(actions: list[Action], first: int = 0, epoch: int = 1, unit: int = 0) -> Release:
    """Actions from `START`; ``first`` of them are left out, as known."""
    cell, heading = START
    ends = []
    for action in actions:
        if action == Action.FORWARD:
            cell += DELTA[heading]
        elif action in (Action.TURN_CW, Action.TURN_CCW):
            heading = (heading + (1 if action == Action.TURN_CW else 3)) % 4
        ends.append(cell)
    origin = START[0] if first == 0 else ends[first - 1]
    return Release(
        0.0,
        epoch,
        np.array([unit], np.int32),
        np.array([first], np.uint32),
        np.array([origin], np.int32),
        np.array([len(actions) - first], np.int32),
        np.array([int(a) for a in actions[first:]], np.uint8),
        np.array(ends[first:], np.int32),
    )


F, CW, CCW = Action.FORWARD, Action.TURN_CW, Action.TURN_CCW


class Body:
    """A robot: wheels that slip, a frame of its odometry's own, fiducials, a platform."""

    def __init__(self, core: UnitCore, slip: float = 1.0, drift: float = 0.0) -> None:
        self.core, self.slip, self.drift = core, slip, drift
        x, y = GRID.xy(np.array([START[0]], np.int32))
        self.x, self.y, self.yaw = float(x[0]), float(y[0]), YAW[START[1]]
        self.odom = [7.0, -3.0, 1.0]  # the odometry's own frame
        self.v = self.w = 0.0
        self.joints = Joints(0.0, 0.3)
        self.now = 0.0
        self.said: list[Any] = []
        self.inbox: list[Any] = []
        self.fiducials = self.encoders = True
        self.states: list[FleetState] = []

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        for _ in range(round(seconds / PERIOD)):
            if until():
                return True
            self.now += PERIOD
            self._drive()
            inbox, self.inbox = self.inbox + self._sense(), []
            for record in self.core.step(self.now, inbox):
                self.said.append(record)
                if isinstance(record, Velocity):
                    self.v, self.w = record.speed, record.turn
                elif isinstance(record, FleetState):
                    self.states.append(record)
                elif isinstance(record, PlatformTarget):
                    self._turn_platform(record)
        return until()

    def _drive(self) -> None:
        v, w = self.v * self.slip, self.w * self.slip
        middle = self.yaw + w * PERIOD / 2
        self.x += v * PERIOD * math.cos(middle)
        self.y += v * PERIOD * math.sin(middle)
        self.yaw += w * PERIOD
        turn = self.w * PERIOD + self.drift * abs(self.v) * PERIOD
        self.odom[0] += self.v * PERIOD * math.cos(self.odom[2] + turn / 2)
        self.odom[1] += self.v * PERIOD * math.sin(self.odom[2] + turn / 2)
        self.odom[2] += turn

    def _sense(self) -> list[Any]:
        sensed: list[Any] = [self.joints]
        if self.encoders:
            sensed.append(Odometry(self.now, *self.odom, self.v, self.w))
        if self.fiducials:
            sensed.append(Sight(self.now, self.x, self.y, self.yaw))
        return sensed

    def _turn_platform(self, target: PlatformTarget) -> None:
        most = 0.05 * PERIOD  # m in a period
        step = min(max(target.lift - self.joints.lift, -most), most)
        self.joints = Joints(self.joints.lift + step, target.platform)

    @property
    def done(self) -> int:
        return int(self.states[-1].done[0]) if self.states else 0

    def off(self, cell: int) -> float:
        x, y = GRID.xy(np.array([cell], np.int32))
        return math.hypot(self.x - x[0], self.y - y[0])

    def alarms(self) -> list[str]:
        return [record.kind for record in self.said if isinstance(record, Alarm)]


def wheels(**options: Any) -> WheelsCore:
    return WheelsCore(BUILDING, 1, 0, START, **options)


# -- speeds and odometry --------------------------------------------------------------------------


@pytest.mark.parametrize("slip", [1.0, 0.96])
def test_wheels_follow_the_release_and_stop_on_the_centre(slip: float) -> None:
    body = Body(wheels(), slip=slip, drift=0.01)
    actions = [F, F, F, CW, CW, F, F]
    body.inbox.append(released(actions))
    assert body.run(40.0, lambda: body.done == len(actions))
    body.run(2.0)
    end = int(released(actions).cell[-1])
    assert body.off(end) < 0.02
    assert body.states[-1].speed[0] == 0.0
    assert body.states[-1].cell[0] == end
    assert body.alarms() == []
    assert max(r.speed for r in body.said if isinstance(r, Velocity)) > 0.8


def test_a_unit_never_leaves_what_is_released() -> None:
    # No more is ever said after this release: the traffic manager is gone.
    body = Body(wheels())
    body.inbox += [TrafficHeard(), released([F, F])]
    cells = set()

    def here() -> bool:
        cells.add(int(GRID.cell_at(np.array([body.x]), np.array([body.y]))[0]))
        return False

    body.run(15.0, here)
    assert cells == {START[0], *released([F, F]).cell.tolist()}
    assert body.v == body.w == 0.0
    assert body.off(int(released([F, F]).cell[-1])) < 0.02
    assert body.alarms() == ["traffic_silent"]


def test_an_emergency_stop_holds_until_it_is_released_and_reset() -> None:
    body = Body(wheels())
    body.inbox.append(released([F] * 5))
    assert body.run(10.0, lambda: body.v > 0.5)
    body.inbox.append(EmergencyStop(True))
    body.run(PERIOD)
    assert body.v == body.w == 0.0
    place, done = (body.x, body.y), body.done
    body.inbox.append(Reset())  # while it is pressed: without effect
    body.run(3.0)
    body.inbox.append(EmergencyStop(False))
    body.run(3.0)
    assert (body.x, body.y) == place
    assert body.done == done
    assert body.states[-1].status[0] == UnitStatus.STOPPED
    body.inbox.append(Reset())
    assert body.run(15.0, lambda: body.done == 5)
    body.run(2.0)
    assert body.off(int(released([F] * 5).cell[-1])) < 0.02


def test_a_unit_goes_on_reporting_when_time_goes_back() -> None:
    unit = DriveUnitCore(load_building("demo"), 0, 0)
    assert [m.stamp for m in unit.step(100.0, []) if isinstance(m, FleetState)] == [100.0]
    assert [m.stamp for m in unit.step(3.0, []) if isinstance(m, FleetState)] == [3.0]
    assert [m.stamp for m in unit.step(3.1, []) if isinstance(m, FleetState)] == [3.1]


def test_a_unit_stands_while_its_odometry_is_silent() -> None:
    body = Body(wheels())
    body.inbox.append(released([F] * 5))
    assert body.run(10.0, lambda: body.v > 0.5)
    body.encoders = False
    body.run(1.0)
    assert body.v == 0.0
    body.encoders = True
    assert body.run(15.0, lambda: body.done == 5)
    assert body.alarms() == ["odometry_silent"]


def test_a_unit_that_sees_no_fiducial_stops_for_a_person() -> None:
    body = Body(wheels())
    body.fiducials = False
    body.inbox.append(released([F] * 5))
    body.run(15.0)
    assert body.alarms() == ["lost"]
    assert body.states[-1].status[0] == UnitStatus.STOPPED
    assert body.done < 5
    body.fiducials = True
    body.inbox.append(Reset())
    assert body.run(15.0, lambda: body.done == 5)


def test_a_unit_that_is_pushed_aside_stops() -> None:
    body = Body(wheels())
    body.inbox.append(released([F] * 5))
    assert body.run(10.0, lambda: body.v > 0.5)
    body.odom[0] += 0.4 * math.cos(body.odom[2] + math.pi / 2)
    body.odom[1] += 0.4 * math.sin(body.odom[2] + math.pi / 2)
    body.run(2 * PERIOD)
    assert body.alarms() == ["lost"]
    assert body.v == 0.0


def test_a_unit_begins_where_it_sees_a_fiducial() -> None:
    core = WheelsCore(BUILDING, 1, 0, located=False)
    body = Body(core)
    body.fiducials = False
    body.run(1.0)
    assert body.states == []
    body.fiducials = True
    body.run(1.0)
    assert (body.states[-1].cell[0], body.states[-1].heading[0]) == START
    body.inbox.append(released([F, F]))
    assert body.run(15.0, lambda: body.done == 2)


def test_what_a_camera_saw_is_dated_back() -> None:
    # 60 ms late at a metre a second are 6 cm, more than the leash.
    body = Body(wheels())
    late: list[Sight] = []
    sense = body._sense

    def delayed() -> list[Any]:
        fresh = [r for r in sense() if not isinstance(r, Sight)]
        late.append(Sight(body.now, body.x, body.y, body.yaw))
        return fresh + ([late.pop(0)] if len(late) > 2 else [])

    body._sense = delayed  # type: ignore[method-assign]
    body.inbox.append(released([F] * 5))
    assert body.run(15.0, lambda: body.done == 5)
    body.run(2.0)
    assert body.off(int(released([F] * 5).cell[-1])) < 0.02


def test_a_pod_is_lifted_held_still_and_faced_by_joints() -> None:
    core = wheels(platform=True)
    body = Body(core)
    pod = int(np.flatnonzero(core._pods >= 0)[0])
    core.books.pod_at[START[0]] = pod
    body.inbox.append(released([Action.LIFT, F, F, CW, CW, F]))
    assert body.run(30.0, lambda: body.done == 1)
    assert body.joints.lift == pytest.approx(0.06, abs=0.005)
    held = body.joints.platform + body.yaw
    assert body.run(30.0, lambda: body.done == 6)
    assert body.states[-1].load[0] == Load.POD
    assert body.joints.platform + body.yaw == pytest.approx(held, abs=0.02)


def test_no_lift_ends_before_its_joint_is_there() -> None:
    core = wheels(platform=True)
    body = Body(core)
    core.books.pod_at[START[0]] = 3
    body._turn_platform = lambda target: None  # type: ignore[method-assign]
    body.inbox.append(released([Action.LIFT, F]))
    body.run(10.0)
    assert body.done == 0
    assert body.states[-1].load[0] == Load.NONE


# -- what every unit does -------------------------------------------------------------------------


def test_a_unit_knows_of_its_pallet() -> None:
    site, station = BUILDING.lifters[0], next(s for s in BUILDING.stations if s.pallet_cell >= 0)
    core = DriveUnitCore(BUILDING, 1, 0, (station.pallet_cell, 0))
    lifted = LiftResult(0.0, site.id, "p1", 0, True, "")
    core.step(0.1, [PalletArrived(0.0, "p1", site.id, 700.0, (), ()), lifted])
    (state,) = core.step(0.2, [])
    assert state.load[0] == Load.PALLET
    (state,) = core.step(0.3, [VisitDone(0.0, station.id, 1, 3, (), True)])
    assert state.load[0] == Load.NONE
    (state,) = core.step(0.4, [lifted])  # told again
    assert state.load[0] == Load.NONE


# -- navigation goals -----------------------------------------------------------------------------


class Server:
    """A navigation server: it drives along its goal at ``speed``, or does what it is told to."""

    def __init__(self, core: NavigationCore, speed: float = 1.0) -> None:
        self.core, self.speed = core, speed
        self.goals: list[Goal] = []
        self.canceled: list[int] = []
        self.left = 0.0
        self.now = 0.0
        self.answer = GoalState.SUCCEEDED
        self.active = False
        self.state: FleetState | None = None
        self.said: list[Any] = []

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        news: list[Any] = []
        for _ in range(round(seconds / PERIOD)):
            if until():
                return True
            self.now += PERIOD
            if self.active:
                news += self._drive()
            for record in self.core.step(self.now, news):
                self.said.append(record)
                if isinstance(record, Goal):
                    self._take(record)
                elif isinstance(record, CancelGoal):
                    self.canceled.append(record.number)
                    self.active = False
                elif isinstance(record, FleetState):
                    self.state = record
            news = []
            if self.canceled and self.goals and self.canceled[-1] == self.goals[-1].number:
                news = [GoalReport(self.goals[-1].number, GoalState.CANCELED)]
        return until()

    def _take(self, goal: Goal) -> None:
        self.goals.append(goal)
        self.active = True
        way = np.hypot(np.diff(goal.x), np.diff(goal.y)).sum() if len(goal.x) else 0.0
        if goal.kind == GoalKind.THROUGH_POSES:
            way += GRID.pitch
        self.left = abs(goal.angle) or float(way)

    def _drive(self) -> list[GoalReport]:
        goal = self.goals[-1]
        if self.answer != GoalState.SUCCEEDED:
            self.active = False
            return [GoalReport(goal.number, self.answer)]
        self.left -= self.speed * PERIOD
        if self.left <= 0.0:
            self.active = False
            return [GoalReport(goal.number, GoalState.SUCCEEDED)]
        left = self.left
        if goal.kind == GoalKind.THROUGH_POSES:
            left = math.ceil(left / GRID.pitch)
        return [GoalReport(goal.number, GoalState.ACTIVE, left)]

    @property
    def done(self) -> int:
        return 0 if self.state is None else int(self.state.done[0])


def navigation(kind: GoalKind = GoalKind.FOLLOW_PATH) -> NavigationCore:
    return NavigationCore(BUILDING, 1, 0, START, kind=kind)


@pytest.mark.parametrize("kind", [GoalKind.FOLLOW_PATH, GoalKind.THROUGH_POSES])
@pytest.mark.parametrize("speed", [0.2, 1.0, 4.0])
def test_released_cells_become_goals(kind: GoalKind, speed: float) -> None:
    core = navigation(kind)
    server = Server(core, speed)
    actions = [F, F, F, CW, CW, F]
    core.receive(0.0, released(actions))
    assert server.run(120.0, lambda: server.done == len(actions))
    assert [goal.kind for goal in server.goals] == [kind, GoalKind.SPIN, GoalKind.SPIN, kind]
    x, y = GRID.xy(np.array([released(actions).cell[-1]], np.int32))
    assert (server.goals[-1].x[-1], server.goals[-1].y[-1]) == (x[0], y[0])
    assert server.state is not None
    assert server.state.cell[0] == released(actions).cell[-1]


def test_no_action_counts_before_the_server_says_so() -> None:
    core = navigation()
    server = Server(core, 0.5)
    core.receive(0.0, released([F, F, F]))
    driven = 0.0

    def ahead() -> bool:
        nonlocal driven
        driven = 3 * GRID.pitch - server.left if server.goals else 0.0
        assert server.done * GRID.pitch <= driven + 0.1
        return server.done == 3

    assert server.run(30.0, ahead)


def test_a_longer_release_makes_a_longer_goal() -> None:
    core = navigation()
    server = Server(core, 1.0)
    core.receive(0.0, released([F, F]))
    assert server.run(5.0, lambda: server.done == 1)
    core.receive(0.0, released([F] * 5, first=2))
    assert server.run(10.0, lambda: server.done == 5)
    assert len(server.goals) == 2
    assert server.goals[1].number > server.goals[0].number


def test_an_emergency_stop_cancels_the_goal() -> None:
    core = navigation()
    server = Server(core, 1.0)
    core.receive(0.0, released([F] * 5))
    assert server.run(5.0, lambda: server.done == 2)
    core.receive(0.0, EmergencyStop(True))
    server.run(5.0)
    assert server.canceled == [server.goals[0].number]
    assert server.done == 2
    core.receive(0.0, EmergencyStop(False))
    core.receive(0.0, Reset())
    assert server.run(10.0, lambda: server.done == 5)
    assert len(server.goals) == 2


def test_a_keep_out_zone_that_closes_over_the_unit_cancels_the_goal() -> None:
    core = navigation()
    server = Server(core, 1.0)
    core.receive(0.0, released([F] * 5))
    assert server.run(5.0, lambda: server.done == 2)
    zone = np.array([released([F] * 5).cell[k] for k in (1, 2, 3)], np.int32)
    none = np.zeros(0, np.int32)
    closed = KeepOuts(0.0, ("z",), np.array([1], np.uint8), np.array([3], np.int32), zone)
    core.receive(0.0, closed)
    server.run(5.0)
    assert server.canceled == [server.goals[0].number]
    assert server.done == 2
    core.receive(0.0, KeepOuts(0.0, (), none.astype(np.uint8), none, none))
    assert server.run(10.0, lambda: server.done == 5)


def test_goals_that_fail_are_tried_again_and_then_left_to_a_person() -> None:
    core = navigation()
    server = Server(core)
    server.answer = GoalState.ABORTED
    core.receive(0.0, released([F, F]))
    server.run(30.0)
    assert len(server.goals) == TRIES
    assert server.state is not None
    assert server.state.status[0] == UnitStatus.STOPPED
    assert [r.kind for r in server.said if isinstance(r, Alarm)] == ["navigation"]
    server.answer = GoalState.SUCCEEDED
    core.receive(0.0, Reset())
    assert server.run(10.0, lambda: server.done == 2)


def test_a_server_that_dies_under_a_goal_gets_it_again() -> None:
    core = navigation()
    server = Server(core, 1.0)
    core.receive(0.0, released([F, F, F]))
    assert server.run(5.0, lambda: server.done == 1)
    server.active = False  # dead: no feedback, no result
    assert not server.run(SILENCE - 1.0, lambda: len(server.goals) > 1)
    assert server.run(20.0, lambda: server.done == 3)


@pytest.mark.parametrize("turn", [CW, CCW])
def test_a_turn_that_was_cut_off_is_ended_not_begun_again(turn: int) -> None:
    core = navigation()
    server = Server(core, 0.5)
    core.receive(0.0, released([turn, turn]))
    assert server.run(5.0, lambda: bool(server.goals) and server.left < math.pi / 6)
    left = server.left
    server.active = False
    assert server.run(20.0, lambda: server.done == 2)
    whole = math.copysign(math.pi / 2, server.goals[0].angle)
    rest = math.copysign(left, whole)
    step = server.speed * PERIOD + 0.05 * math.pi / 2
    assert [goal.angle for goal in server.goals] == [
        pytest.approx(whole),
        pytest.approx(rest, abs=step),
        pytest.approx(whole),
    ]


def test_a_server_that_is_not_there_is_waited_for() -> None:
    core = navigation()
    server = Server(core)
    server.answer = GoalState.UNAVAILABLE
    core.receive(0.0, released([F, F]))
    server.run(30.0)
    assert server.state is not None
    assert server.state.status[0] == UnitStatus.OK
    assert [r.kind for r in server.said if isinstance(r, Alarm)] == ["navigation"]
    server.answer = GoalState.SUCCEEDED
    assert server.run(10.0, lambda: server.done == 2)
