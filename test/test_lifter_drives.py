"""Robo-Stow's controller, over DDS, with a ros2_control of the exact action type."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("robo_stow_interfaces", reason="needs the built workspace")
pytest.importorskip("control_msgs", reason="needs the built workspace")

import rclpy
from control_msgs.action import FollowJointTrajectory
from geometry_msgs.msg import WrenchStamped
from rclpy.action import ActionClient, ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from robo_stow_interfaces import msg
from robo_stow_interfaces.action import Lift
from robo_stow_nodes import lifter_drives, qos, topics
from robo_stow_nodes.conversions import Converter
from robo_stow_nodes.robo_stow_lifter import RoboStowLifterNode
from robo_stow_nodes.shell import destroy_actions
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool

from robo_stow import messages as records
from robo_stow.floor.load import load_building
from robo_stow.lifter.dynamics import GRAVITY
from robo_stow.lifter.follower import CLAMP_OPEN
from robo_stow.lifter.kinematics import POCKET, forward, handoff_point, poses

BUILDING = load_building("demo")
SITE = BUILDING.lifters[0]
WEIGHT = 800.0
HASTE = 40.0
"""Times as fast as the trajectory says."""


class Arm(Node):
    """Stands in for joint_trajectory_controller and the broadcasters of a Robo-Stow."""

    def __init__(self) -> None:
        super().__init__("arm")
        self.joint = np.array([*poses(BUILDING, SITE).parked[-1], CLAMP_OPEN])
        self.goals: list[FollowJointTrajectory.Goal] = []
        self.fail: set[int] = set()
        self.hold = threading.Event()  # a goal under way goes no further
        self.hold_at = 0  # number of the goal that sets it
        self.cancelled = 0
        self.places: list[tuple[float, ...]] = []  # of the fork when the clamp has moved
        group = ReentrantCallbackGroup()
        name = {"lifter": SITE.id}
        ActionServer(
            self,
            FollowJointTrajectory,
            topics.topic(topics.FOLLOW, **name),
            execute_callback=self._execute,
            goal_callback=lambda _: GoalResponse.ACCEPT,
            cancel_callback=lambda _: CancelResponse.ACCEPT,
            callback_group=group,
        )
        self._joints = self.create_publisher(
            JointState, topics.topic(topics.JOINT_STATES, **name), 10
        )
        self._wrench = self.create_publisher(WrenchStamped, topics.topic(topics.WRENCH, **name), 10)
        self.stop = self.create_publisher(
            Bool, topics.topic(topics.EMERGENCY_STOP, **name), qos.LATCHED
        )
        self.create_timer(0.02, self._tell, callback_group=group)
        self._gripped = False

    def _tell(self) -> None:
        state = JointState(
            name=list(lifter_drives.JOINTS)[::-1], position=self.joint[::-1].tolist()
        )
        state.velocity, state.effort = [0.1] * 7, [1000.0] * 7
        self._joints.publish(state)
        wrench = WrenchStamped()
        lifted = forward(tuple(self.joint[:6]))[0][2] + SITE.base[2] > SITE.dock[2] + POCKET + 0.05
        wrench.wrench.force.z = -GRAVITY * WEIGHT if self._gripped and lifted else 0.0
        self._wrench.publish(wrench)

    def _execute(self, handle: ServerGoalHandle) -> FollowJointTrajectory.Result:
        goal = handle.request
        self.goals.append(goal)
        if len(self.goals) == self.hold_at:
            self.hold.set()
        result = FollowJointTrajectory.Result()
        if len(self.goals) in self.fail:
            handle.abort()
            result.error_code = result.PATH_TOLERANCE_VIOLATED
            return result
        begun = time.monotonic()
        for point in goal.trajectory.points:
            due = (point.time_from_start.sec + point.time_from_start.nanosec * 1e-9) / HASTE
            while time.monotonic() < begun + due or self.hold.is_set():
                if handle.is_cancel_requested:
                    self.cancelled += 1
                    handle.canceled()
                    return result
                time.sleep(0.002)
            before, self.joint = self.joint, np.array(point.positions)
            if before[6] != self.joint[6]:
                self._gripped = self.joint[6] == 0.0
                self.places.append(tuple(forward(tuple(self.joint[:6]))[0] + np.array(SITE.base)))
        handle.succeed()
        result.error_code = result.SUCCESSFUL
        return result


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Arm, Node]]:
    monkeypatch.setenv("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    own = [Parameter("use_sim_time", value=False)]
    nodes = [
        Arm(),
        Node("tester"),
        RoboStowLifterNode(parameter_overrides=own),
        lifter_drives.LifterDrivesNode(parameter_overrides=own),
    ]
    executor = MultiThreadedExecutor(4)
    for node in nodes:
        executor.add_node(node)
    thread = threading.Thread(target=executor.spin, daemon=True)
    thread.start()
    yield nodes[0], nodes[1]
    executor.shutdown()
    thread.join(5.0)
    for node in nodes:
        destroy_actions(node)
        node.destroy_node()
    rclpy.shutdown()


def wait(condition: Callable[[], bool], seconds: float = 40.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_a_lift_over_follow_joint_trajectory(site: tuple[Arm, Node]) -> None:
    arm, tester = site
    arm.fail, arm.hold_at = {3}, 7
    convert = Converter(BUILDING)
    x, y = BUILDING.grid.xy(np.array([SITE.cell], np.int32))
    state = tester.create_publisher(msg.FleetState, "/fleet/state", qos.STATE)

    def report() -> None:
        now = tester.get_clock().now().nanoseconds * 1e-9
        zero = np.zeros(1, np.float32)
        state.publish(
            convert.codec(records.FleetState).encode(
                records.FleetState(
                    stamp=now,
                    unit=np.array([4], np.int32),
                    epoch=np.ones(1, np.uint32),
                    done=np.array([7], np.uint32),
                    released=np.array([7], np.uint32),
                    cell=np.array([SITE.cell], np.int32),
                    heading=np.zeros(1, np.uint8),
                    x=x.astype(np.float32),
                    y=y.astype(np.float32),
                    yaw=zero,
                    speed=zero,
                    load=np.zeros(1, np.uint8),
                    load_id=np.array([-1], np.int32),
                    battery=zero,
                    status=np.zeros(1, np.uint8),
                )
            )
        )

    tester.create_timer(0.1, report)
    told: list[msg.LifterFeedback] = []
    results: list[msg.LiftResult] = []
    tester.create_subscription(msg.LifterFeedback, "/lifters/lifter_1/feedback", told.append, 10)
    tester.create_subscription(msg.LiftResult, "/lifters/lifter_1/result", results.append, 10)

    lift = ActionClient(tester, Lift, "/lifters/lifter_1/lift")
    assert wait(lift.server_is_ready)
    assert wait(lambda: bool(told))  # the drives are there
    lift.send_goal_async(Lift.Goal(lifter=SITE.id, pallet="p1", weight=WEIGHT, unit=4))

    # In the middle of it the safety circuit opens.
    assert wait(arm.hold.is_set)
    arm.stop.publish(Bool(data=True))
    assert wait(lambda: bool(told) and told[-1].status == msg.LifterFeedback.STOPPED)
    assert wait(lambda: arm.cancelled == 1)
    arm.hold.clear()
    gripped, asked = arm.joint[6], len(arm.goals)
    time.sleep(2.5)  # commands are repeated each second
    assert len(arm.goals) == asked and arm.joint[6] == gripped
    arm.stop.publish(Bool(data=False))

    assert wait(lambda: bool(results), 60.0)
    assert results[0].ok and results[0].pallet == "p1"
    # Opened on the way in, closed at the dock, opened at the hand-off.
    dock = np.array(SITE.dock) + (0.0, 0.0, POCKET)
    handoff = handoff_point(BUILDING, SITE) + (0.0, 0.0, POCKET)
    np.testing.assert_allclose(arm.places[0], dock, atol=1e-3)
    np.testing.assert_allclose(arm.places[-1], handoff, atol=1e-3)
    assert len(arm.places) == 2
    for goal in arm.goals:
        assert list(goal.trajectory.joint_names) == list(lifter_drives.JOINTS)
        times = [
            p.time_from_start.sec + p.time_from_start.nanosec * 1e-9 for p in goal.trajectory.points
        ]
        assert (np.diff(times) > 0).all()
        assert list(goal.trajectory.points[-1].velocities) == pytest.approx([0.0] * 7, abs=1e-6)
    assert told[-1].energy > 0.0
