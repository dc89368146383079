"""One robot's node over real DDS: speeds and odometry, emergency stop, Nav2's action servers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from robo_stow import messages as records
from robo_stow.errors import InputError
from robo_stow.floor.building import YAW, CellKind
from robo_stow.floor.load import load_building
from robo_stow.floor.start import pod_cells, unit_cells
from robo_stow.messages import Action
from robo_stow.resources import share_dir

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("robo_stow_interfaces", reason="needs the built workspace")
pytest.importorskip("nav2_msgs", reason="needs the built workspace")

from geometry_msgs.msg import PoseStamped, TwistStamped
from nav2_msgs.action import FollowPath, NavigateThroughPoses, Spin
from nav_msgs.msg import Odometry, Path
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.node import Node
from robo_stow_interfaces import msg
from robo_stow_nodes import qos, topics
from robo_stow_nodes.conversions import Converter
from robo_stow_nodes.drive_unit import DriveUnitNode
from robo_stow_nodes.robot import facing
from sensor_msgs.msg import BatteryState
from std_msgs.msg import Bool
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage

BUILDING = load_building("demo", units=1)
GRID = BUILDING.grid
UNIT = BUILDING.unit_name(0)
Graph = Any  # conftest.Graph


def of_unit(name: str) -> str:
    return topics.topic(name, unit=UNIT)


def straight_ahead(most: int) -> tuple[list[int], list[int]]:
    """Actions from the start place: turn to where the floor is free, and on to ``most`` cells."""
    cells, headings = unit_cells(BUILDING, BUILDING.seed)
    ways = []
    for turns in range(4):
        heading, cell, way = (int(headings[0]) + turns) % 4, int(cells[0]), []
        while (after := GRID.neighbour(cell, heading)) >= 0 and GRID.kind[after]:
            way.append(cell := after)
        ways.append((turns, way[:most]))
    turns, way = max(ways, key=lambda found: len(found[1]) - 0.1 * found[0])
    assert len(way) == most
    here = int(cells[0])
    return [Action.TURN_CW] * turns + [Action.FORWARD] * most, [here] * turns + way


class Site(Node):
    """The rest of the site, as far as one robot hears of it."""

    def __init__(self) -> None:
        super().__init__("tester")
        self.states: list[Any] = []
        self.alarms: list[str] = []
        self.create_subscription(
            msg.UnitState, of_unit(topics.UNIT_STATE), self.states.append, qos.STATE
        )
        self.create_subscription(
            msg.Alarm, "alarms", lambda alarm: self.alarms.append(alarm.kind), qos.COMMAND
        )
        self._release = self.create_publisher(msg.Release, "fleet/release", qos.COMMAND)
        self._stop = self.create_publisher(Bool, of_unit(topics.UNIT_STOP), 1)
        self._reset = self.create_client(Trigger, of_unit(topics.UNIT_RESET))

    def ready(self) -> bool:
        found = (self._release, self._stop)
        return bool(self.states) and all(p.get_subscription_count() for p in found)

    def release(self, actions: list[int], cells: list[int], known: int = 0) -> None:
        start = int(unit_cells(BUILDING, BUILDING.seed)[0][0])
        codec = Converter(BUILDING).codec(records.Release)
        record = records.Release(
            0.0,
            1,
            np.array([0], np.int32),
            np.array([known], np.uint32),
            np.array([cells[known - 1] if known else start], np.int32),
            np.array([len(actions) - known], np.int32),
            np.array(actions[known:], np.uint8),
            np.array(cells[known:], np.int32),
        )
        self._release.publish(codec.encode(record))

    def stop(self, pressed: bool) -> None:
        self._stop.publish(Bool(data=pressed))

    def reset(self) -> Any:
        return self._reset.call_async(Trigger.Request())

    @property
    def done(self) -> int:
        return self.states[-1].done if self.states else 0

    @property
    def status(self) -> int:
        return int(self.states[-1].status)


@pytest.fixture
def tester(graph: Graph) -> Iterator[Site]:
    yield graph.add(Site())


# -- speeds and odometry --------------------------------------------------------------------------


class Base(Node):
    """A robot with wheels: takes speeds, tells odometry and sees fiducials, 50 times a second."""

    STEP = 0.02

    def __init__(self) -> None:
        super().__init__("base")
        cells, headings = unit_cells(BUILDING, BUILDING.seed)
        x, y = GRID.xy(cells[:1])
        self.x, self.y, self.yaw = float(x[0]), float(y[0]), YAW[headings[0]]
        self.v = self.w = 0.0
        self.odom = [0.0, 0.0, 0.0]
        self.commands: list[tuple[float, float]] = []
        self.create_subscription(
            TwistStamped, of_unit(topics.UNIT_COMMAND), self._on_command, qos.STATE
        )
        self._odom = self.create_publisher(Odometry, of_unit(topics.UNIT_ODOMETRY), 5)
        self._sight = self.create_publisher(PoseStamped, of_unit(topics.UNIT_FIDUCIAL), 5)
        self.create_timer(self.STEP, self._drive)

    def _on_command(self, command: TwistStamped) -> None:
        self.v, self.w = command.twist.linear.x, command.twist.angular.z
        self.commands.append((self.v, self.w))

    def _drive(self) -> None:
        self.x += 0.98 * self.v * self.STEP * math.cos(self.yaw)
        self.y += 0.98 * self.v * self.STEP * math.sin(self.yaw)
        self.yaw += 0.98 * self.w * self.STEP
        self.odom[0] += self.v * self.STEP * math.cos(self.odom[2])
        self.odom[1] += self.v * self.STEP * math.sin(self.odom[2])
        self.odom[2] += self.w * self.STEP
        message = Odometry()
        message.header.stamp = self.get_clock().now().to_msg()
        message.header.frame_id, message.child_frame_id = f"{UNIT}/odom", f"{UNIT}/base_footprint"
        message.pose.pose.position.x, message.pose.pose.position.y = self.odom[:2]
        message.pose.pose.orientation = facing(self.odom[2])
        message.twist.twist.linear.x, message.twist.twist.angular.z = self.v, self.w
        self._odom.publish(message)
        seen = PoseStamped(header=message.header)
        seen.header.frame_id = "map"
        seen.pose.position.x, seen.pose.position.y = self.x, self.y
        seen.pose.orientation = facing(self.yaw)
        self._sight.publish(seen)

    def off(self, cell: int) -> float:
        x, y = GRID.xy(np.array([cell], np.int32))
        return math.hypot(self.x - x[0], self.y - y[0])


@pytest.fixture
def base(graph: Graph, tester: Site) -> Base:
    base: Base = graph.add(Base())
    graph.host(DriveUnitNode, use_sim_time=False, units=1, backend="cmd_vel")
    assert graph.spin_until(tester.ready, 20.0)
    return base


def test_a_robot_drives_its_release_by_speeds(graph: Graph, tester: Site, base: Base) -> None:
    transforms: list[TFMessage] = []
    paths: list[Path] = []
    tester.create_subscription(TFMessage, "tf", transforms.append, 5)
    tester.create_subscription(Path, of_unit(topics.UNIT_PATH), paths.append, 5)
    battery = tester.create_publisher(BatteryState, of_unit(topics.UNIT_BATTERY), 5)
    assert graph.spin_until(lambda: battery.get_subscription_count() > 0, 30.0)
    battery.publish(BatteryState(percentage=0.5))
    actions, cells = straight_ahead(3)
    tester.release(actions, cells)
    assert graph.spin_until(
        lambda: tester.done == len(actions) and tester.states[-1].speed == 0.0, 30.0
    )
    assert graph.spin_until(lambda: base.v == base.w == 0.0, 5.0)
    assert base.off(cells[-1]) < 0.02
    assert tester.alarms == []
    assert tester.states[-1].battery == pytest.approx(0.5, abs=0.01)
    # The frames' chain leads to where the robot is.
    fix = transforms[-1].transforms[0]
    assert (fix.header.frame_id, fix.child_frame_id) == ("map", f"{UNIT}/odom")
    turn = 2 * math.atan2(fix.transform.rotation.z, fix.transform.rotation.w)
    x = fix.transform.translation.x + math.cos(turn) * base.odom[0] - math.sin(turn) * base.odom[1]
    assert x == pytest.approx(base.x, abs=0.05)
    assert paths and len(paths[-1].poses) == len(actions) + 1


def test_an_emergency_stop_is_the_next_command(graph: Graph, tester: Site, base: Base) -> None:
    actions, cells = straight_ahead(4)
    tester.release(actions, cells)
    assert graph.spin_until(lambda: abs(base.v) > 0.5, 20.0)
    before = len(base.commands)
    tester.stop(True)
    assert graph.spin_until(lambda: base.commands[-1] == (0.0, 0.0), 5.0)
    # At most the one that was on its way.
    assert len([c for c in base.commands[before:] if c != (0.0, 0.0)]) <= 1
    assert graph.spin_until(lambda: tester.status == records.UnitStatus.STOPPED, 5.0)

    refused = tester.reset()
    assert graph.spin_until(refused.done, 5.0)
    assert not refused.result().success
    tester.stop(False)
    stood = len(base.commands)
    assert graph.spin_until(lambda: len(base.commands) > stood + 20, 30.0)
    assert set(base.commands[stood:]) == {(0.0, 0.0)}  # no automatic restart

    granted = tester.reset()
    assert graph.spin_until(granted.done, 5.0)
    assert granted.result().success
    assert graph.spin_until(lambda: tester.done == len(actions), 30.0)
    assert tester.alarms == ["emergency_stop"]


def test_without_a_traffic_manager_a_robot_stands_at_the_end_of_its_release(
    graph: Graph, tester: Site, base: Base
) -> None:
    rows, columns = np.divmod(np.arange(GRID.cells), GRID.width)
    start = int(unit_cells(BUILDING, BUILDING.seed)[0][0])
    free = np.setdiff1d(
        np.flatnonzero(GRID.kind == CellKind.STORAGE), pod_cells(BUILDING, BUILDING.seed)
    )
    way = abs(rows[free] - rows[start]) + abs(columns[free] - columns[start])
    goal = int(free[np.argmax(way)])  # far enough not to be released at once
    process = graph.start("traffic_manager", use_sim_time=False, units=1, unit_nodes=-1)
    errands = tester.create_publisher(msg.Errands, "fleet/errands", 10)
    register = Converter(BUILDING).codec(records.PodRegister)
    pods = tester.create_publisher(msg.PodRegister, "inventory/pod_register", qos.SNAPSHOT)
    places = pod_cells(BUILDING, BUILDING.seed)
    pods.publish(
        register.encode(records.PodRegister(0.0, np.arange(len(places), dtype=np.int32), places))
    )
    errand = msg.Errands(
        unit=[0], errand=[1], goal=[goal], operation=[3], hold=[0], priority=[1.0], due=[math.inf]
    )

    def driving() -> bool:
        errands.publish(errand)
        return abs(base.v) > 0.5

    assert graph.spin_until(driving, 60.0)
    process.kill()
    process.wait()
    assert graph.spin_until(lambda: "traffic_silent" in tester.alarms, 20.0)
    assert graph.spin_until(
        lambda: tester.done == tester.states[-1].released and base.v == 0.0, 30.0
    )
    stood = tester.states[-1].cell
    assert stood != goal
    assert base.off(stood) < 0.02

    graph.start("traffic_manager", use_sim_time=False, units=1, unit_nodes=-1)

    def there() -> bool:
        errands.publish(errand)
        return bool(tester.states[-1].cell == goal)

    assert graph.spin_until(there, 60.0)


# -- Nav2 -----------------------------------------------------------------------------------------


class Nav2(Node):
    """Action servers of Nav2's types that drive on paper: well, badly or not at all, as told."""

    STEP = 0.05

    def __init__(self, speed: float = 3.0) -> None:
        super().__init__("nav2")
        self.speed = speed
        self.refuse = self.fail = self.hang = False
        self.goals: list[Any] = []
        self.canceled = 0
        self._goal: Any = None
        self._left = 0.0
        self._ended: dict[bytes, str] = {}
        self._servers = [
            ActionServer(
                self,
                kind,
                of_unit(name),
                execute_callback=self._finish,
                goal_callback=self._on_goal,
                handle_accepted_callback=self._on_accepted,
                cancel_callback=lambda _: CancelResponse.ACCEPT,
            )
            for kind, name in (
                (FollowPath, topics.UNIT_FOLLOW_PATH),
                (NavigateThroughPoses, topics.UNIT_THROUGH_POSES),
                (Spin, topics.UNIT_SPIN),
            )
        ]
        self.create_timer(self.STEP, self._drive)

    def _on_goal(self, goal: Any) -> GoalResponse:
        return GoalResponse.REJECT if self.refuse else GoalResponse.ACCEPT

    def _on_accepted(self, handle: Any) -> None:
        if self._goal is not None:  # as Nav2's servers do: the newer goal wins
            self._end(self._goal, "abort")
        self._goal = handle
        self.goals.append(handle.request)
        request = handle.request
        if isinstance(request, FollowPath.Goal):
            points = [(p.pose.position.x, p.pose.position.y) for p in request.path.poses]
            self._left = sum(math.dist(a, b) for a, b in zip(points, points[1:], strict=False))
        elif isinstance(request, NavigateThroughPoses.Goal):
            self._left = float(len(request.poses)) * GRID.pitch
        else:
            self._left = abs(request.target_yaw)

    def _drive(self) -> None:
        handle = self._goal
        if handle is None:
            return
        if handle.is_cancel_requested:
            self.canceled += 1
            self._goal = None
            self._end(handle, "canceled")
            return
        if self.hang:
            return
        self._left -= self.speed * self.STEP
        request = handle.request
        if self.fail or self._left <= 0.0:
            self._goal = None
            self._end(handle, "abort" if self.fail else "succeed")
        elif isinstance(request, FollowPath.Goal):
            handle.publish_feedback(
                FollowPath.Feedback(distance_to_goal=self._left, speed=self.speed)
            )
        elif isinstance(request, NavigateThroughPoses.Goal):
            left = math.ceil(self._left / GRID.pitch)
            said = NavigateThroughPoses.Feedback(number_of_poses_remaining=left)
            said.current_pose = request.poses[-left]
            handle.publish_feedback(said)
        else:
            turned = abs(request.target_yaw) - self._left
            handle.publish_feedback(Spin.Feedback(angular_distance_traveled=turned))

    def _end(self, handle: Any, how: str) -> None:
        self._ended[bytes(handle.goal_id.uuid)] = how
        handle.execute()

    def _finish(self, handle: Any) -> Any:
        getattr(handle, self._ended.pop(bytes(handle.goal_id.uuid)))()
        kinds = (FollowPath, NavigateThroughPoses, Spin)
        return next(kind for kind in kinds if isinstance(handle.request, kind.Goal)).Result()


def unit_by_nav2(graph: Graph, tester: Site, navigation: str = "follow_path") -> None:
    graph.host(DriveUnitNode, use_sim_time=False, units=1, backend="nav2", navigation=navigation)
    assert graph.spin_until(tester.ready, 20.0)


@pytest.mark.parametrize("navigation", ["follow_path", "through_poses"])
def test_released_cells_become_goals_of_nav2(graph: Graph, tester: Site, navigation: str) -> None:
    nav2 = graph.add(Nav2())
    unit_by_nav2(graph, tester, navigation)
    actions, cells = straight_ahead(5)
    tester.release(actions[:-2], cells[:-2])
    assert graph.spin_until(lambda: tester.done > 0, 20.0)
    known = len(actions) - 2
    tester.release(actions, cells, known)
    assert graph.spin_until(lambda: tester.done == len(actions), 30.0)
    assert tester.states[-1].cell == cells[-1]
    runs = [goal for goal in nav2.goals if not isinstance(goal, Spin.Goal)]
    poses = runs[-1].path.poses if navigation == "follow_path" else runs[-1].poses
    x, y = GRID.xy(np.array(cells[-1:], np.int32))
    end = poses[-1].pose.position
    assert (end.x, end.y) == pytest.approx((x[0], y[0]))
    assert poses[-1].header.frame_id == "map"
    assert tester.alarms == []


def test_an_emergency_stop_cancels_the_goal(graph: Graph, tester: Site) -> None:
    nav2 = graph.add(Nav2(speed=0.5))
    unit_by_nav2(graph, tester)
    actions, cells = straight_ahead(5)
    tester.release(actions, cells)
    assert graph.spin_until(lambda: tester.done > len(actions) - 5, 30.0)
    tester.stop(True)
    assert graph.spin_until(lambda: nav2.canceled == 1, 30.0)
    assert graph.spin_until(lambda: tester.status == records.UnitStatus.STOPPED, 5.0)
    done = tester.done
    tester.stop(False)
    assert graph.spin_until(tester.reset().done, 5.0)
    nav2.speed = 5.0
    assert graph.spin_until(lambda: tester.done == len(actions), 30.0)
    assert done < len(actions)


@pytest.mark.parametrize("fault", ["refuse", "fail"])
def test_goals_that_fail_are_repeated_and_then_left_to_a_person(
    graph: Graph, tester: Site, fault: str
) -> None:
    nav2 = graph.add(Nav2())
    setattr(nav2, fault, True)
    unit_by_nav2(graph, tester)
    actions, cells = straight_ahead(2)
    tester.release(actions, cells)
    assert graph.spin_until(lambda: tester.status == records.UnitStatus.STOPPED, 30.0)
    assert tester.done == 0
    assert tester.alarms == ["navigation"]
    setattr(nav2, fault, False)
    assert graph.spin_until(tester.reset().done, 5.0)
    assert graph.spin_until(lambda: tester.done == len(actions), 20.0)


def test_nav2_may_start_late_hang_and_be_restarted(graph: Graph, tester: Site) -> None:
    unit_by_nav2(graph, tester)
    actions, cells = straight_ahead(3)
    tester.release(actions, cells)
    assert graph.spin_until(lambda: tester.alarms == ["navigation"], 30.0)
    first = graph.add(Nav2(speed=0.5))
    assert graph.spin_until(lambda: tester.done == len(actions) - 2, 30.0)
    first.hang = True
    graph.remove(first)
    second = graph.add(Nav2())
    assert graph.spin_until(lambda: tester.done == len(actions), 40.0)
    assert second.goals


def test_the_policy_allows_what_the_node_opens(graph: Graph) -> None:
    name = "drive_unit_0"
    node = graph.host(
        DriveUnitNode,
        called=name,
        use_sim_time=True,
        units=1,
        backend="cmd_vel",
        platform="joints",
    )
    file = share_dir() / "config" / "sros2" / "drive_unit.policy.xml"
    (profile,) = ElementTree.parse(file).getroot().iter("profile")
    assert profile.get("node") == name

    def allowed(group: str, verb: str) -> set[str]:
        return {str(e.text) for part in profile.iter(group) if part.get(verb) for e in part}

    def opened(found: list[tuple[str, list[str]]]) -> set[str]:
        names = {name.removeprefix("/") for name, _ in found}
        return {n for n in names if not n.startswith((f"{name}/", "lifters/", "stations/"))}

    # Lifters and stations are the building's: theirs are not in the file.
    published = node.get_publisher_names_and_types_by_node(name, "/")
    assert allowed("topics", "publish") == opened(published)
    assert allowed("topics", "subscribe") == opened(
        node.get_subscriber_names_and_types_by_node(name, "/")
    )
    assert allowed("services", "reply") == opened(
        node.get_service_names_and_types_by_node(name, "/")
    )


@pytest.mark.parametrize(
    "wrong",
    [{"backend": "wheels"}, {"start": "fiducial"}, {"platform": "yes"}, {"unit": 1}],
)
def test_wrong_parameters_are_named(graph: Graph, wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        graph.host(DriveUnitNode, use_sim_time=False, units=1, **wrong)
