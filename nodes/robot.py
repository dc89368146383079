"""A robot's own topics and actions: its drives, sensors, emergency stop and Nav2."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from action_msgs.msg import GoalStatus
from geometry_msgs.msg import PoseStamped, Quaternion, TransformStamped, TwistStamped
from nav2_msgs.action import FollowPath, NavigateThroughPoses, Spin
from nav_msgs.msg import Odometry as OdometryMessage
from nav_msgs.msg import Path
from rclpy.action import ActionClient
from rclpy.action.client import ClientGoalHandle
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.task import Future
from robo_stow_nodes import qos, topics
from sensor_msgs.msg import BatteryState, JointState
from std_msgs.msg import Bool
from tf2_msgs.msg import TFMessage
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from robo_stow.drive.robot import (
    BatteryLevel,
    CancelGoal,
    EmergencyStop,
    Goal,
    GoalKind,
    GoalReport,
    GoalState,
    Joints,
    Odometry,
    PlatformTarget,
    Sight,
    Velocity,
)
from robo_stow.errors import InputError

FRAME = "map"
JOINTS = ("lift_joint", "platform_joint")
"""Of ``urdf/drive_unit.urdf.xacro``."""

Deliver = Callable[[Any], None]


def yaw_of(rotation: Quaternion) -> float:
    """Yaw (rad) of a rotation about z."""
    q = rotation
    return math.atan2(2.0 * (q.w * q.z + q.x * q.y), 1.0 - 2.0 * (q.y * q.y + q.z * q.z))


def facing(yaw: float) -> Quaternion:
    """The rotation about z by ``yaw`` rad."""
    return Quaternion(z=math.sin(yaw / 2.0), w=math.cos(yaw / 2.0))


def seconds(stamp: Any) -> float:
    """A ``builtin_interfaces/Time`` in s."""
    return float(stamp.sec + stamp.nanosec * 1e-9)


def _finite(record: str, *values: float) -> None:
    if not all(map(math.isfinite, values)):
        raise InputError(record, "values", list(values), "finite numbers expected")


class Sensors:
    """Subscribes to what a robot measures, and delivers it as records.

    Args:
        deliver: takes a record.
        urgent: takes a record that must not wait for the next step.
        reject: told of messages that cannot be used.
    """

    def __init__(
        self,
        node: Node,
        unit: str,
        deliver: Deliver,
        urgent: Deliver,
        reject: Callable[[InputError], None],
    ) -> None:
        self.odometry_frame = ""
        self._deliver, self._reject = deliver, reject
        for kind, name, convert, send in (
            (OdometryMessage, topics.UNIT_ODOMETRY, self._odometry, deliver),
            (PoseStamped, topics.UNIT_FIDUCIAL, self._sight, deliver),
            (JointState, topics.UNIT_JOINTS, self._joints, deliver),
            (BatteryState, topics.UNIT_BATTERY, self._battery, deliver),
            (Bool, topics.UNIT_STOP, self._stop, urgent),
        ):
            node.create_subscription(
                kind,
                topics.topic(name, unit=unit),
                partial(self._take, convert, send),
                qos.SENSOR,
            )

    def _take(self, convert: Callable[[Any], Any], send: Deliver, message: Any) -> None:
        try:
            record = convert(message)
        except InputError as error:
            self._reject(error)
            return
        if record is not None:
            send(record)

    def _odometry(self, message: OdometryMessage) -> Odometry:
        self.odometry_frame = message.header.frame_id
        pose, twist = message.pose.pose, message.twist.twist
        x, y, yaw = pose.position.x, pose.position.y, yaw_of(pose.orientation)
        speed, turn = twist.linear.x, twist.angular.z
        _finite("Odometry", x, y, yaw, speed, turn)
        return Odometry(seconds(message.header.stamp), x, y, yaw, speed, turn)

    def _sight(self, message: PoseStamped) -> Sight:
        at = message.pose.position
        values = (at.x, at.y, yaw_of(message.pose.orientation))
        _finite("fiducial", *values)
        return Sight(seconds(message.header.stamp), *values)

    def _joints(self, message: JointState) -> Joints | None:
        places = dict(zip(message.name, message.position, strict=False))
        if not set(JOINTS) <= set(places):
            return None  # of other joints
        lift, platform = (places[name] for name in JOINTS)
        _finite("joint_states", lift, platform)
        return Joints(lift, platform)

    def _battery(self, message: BatteryState) -> BatteryLevel | None:
        share = message.percentage  # NaN: not measured
        return BatteryLevel(share) if 0.0 <= share <= 1.0 else None

    def _stop(self, message: Bool) -> EmergencyStop:
        return EmergencyStop(message.data)


class Drives:
    """Publishes speeds, platform targets and the pose of the odometry's frame."""

    def __init__(self, node: Node, unit: str) -> None:
        self._node, self._unit = node, unit

        def publisher(kind: type, name: str) -> Any:
            return node.create_publisher(kind, topics.topic(name, unit=unit), qos.STATE)

        self._command = publisher(TwistStamped, topics.UNIT_COMMAND)
        self._platform = publisher(JointTrajectory, topics.UNIT_PLATFORM)
        self._tf = node.create_publisher(TFMessage, topics.TF, qos.STATE)

    def command(self, velocity: Velocity) -> None:
        """Speeds to the drives."""
        message = TwistStamped()
        message.header.stamp = self._node.get_clock().now().to_msg()
        message.header.frame_id = f"{self._unit}/base_footprint"
        message.twist.linear.x, message.twist.angular.z = velocity.speed, velocity.turn
        self._command.publish(message)

    def move_platform(self, target: PlatformTarget) -> None:
        """Targets to lift and turntable."""
        point = JointTrajectoryPoint(positions=[target.lift, target.platform])
        point.time_from_start = Duration(seconds=target.seconds).to_msg()
        self._platform.publish(JointTrajectory(joint_names=JOINTS, points=[point]))

    def correct(self, frame: str, pose: tuple[float, float, float]) -> None:
        """Where the odometry's frame is in the building (REP-105: ``map`` to ``odom``)."""
        transform = TransformStamped(child_frame_id=frame)
        transform.header.stamp = self._node.get_clock().now().to_msg()
        transform.header.frame_id = FRAME
        place = transform.transform
        place.translation.x, place.translation.y = pose[0], pose[1]
        place.rotation = facing(pose[2])
        self._tf.publish(TFMessage(transforms=[transform]))


class Navigation:
    """Nav2's action servers, as goals and reports.

    The actions are called directly, as ``BasicNavigator`` of nav2_simple_commander would call
    them; that itself waits without end for a server and allows only one robot in a process.

    Args:
        controller: Nav2's ``controller_id``; empty for its only one.
        deliver: takes a `GoalReport`.
    """

    def __init__(self, node: Node, unit: str, controller: str, deliver: Deliver) -> None:
        self._node, self._controller, self._deliver = node, controller, deliver
        self._clients = {
            kind: ActionClient(node, action, topics.topic(name, unit=unit))
            for kind, action, name in (
                (GoalKind.FOLLOW_PATH, FollowPath, topics.UNIT_FOLLOW_PATH),
                (GoalKind.THROUGH_POSES, NavigateThroughPoses, topics.UNIT_THROUGH_POSES),
                (GoalKind.SPIN, Spin, topics.UNIT_SPIN),
            )
        }
        self._handle: tuple[int, ClientGoalHandle] | None = None
        self._cancel = 0  # number of the goal to cancel

    def send(self, goal: Goal) -> None:
        """Send a goal; the server drops an earlier one of its kind for it."""
        client = self._clients[goal.kind]
        if not client.server_is_ready():
            self._deliver(GoalReport(goal.number, GoalState.UNAVAILABLE))
            return
        sent = client.send_goal_async(
            self._message(goal), feedback_callback=partial(self._on_feedback, goal)
        )
        sent.add_done_callback(partial(self._on_answer, goal))

    def cancel(self, cancel: CancelGoal) -> None:
        """Cancel a goal, as soon as the server has accepted it."""
        self._cancel = cancel.number
        if self._handle is not None and self._handle[0] == cancel.number:
            self._handle[1].cancel_goal_async()

    def _message(self, goal: Goal) -> Any:
        if goal.kind == GoalKind.SPIN:
            return Spin.Goal(target_yaw=goal.angle, time_allowance=Duration(seconds=30.0).to_msg())
        poses = path_of(self._node, goal.x, goal.y, goal.yaw).poses
        if goal.kind == GoalKind.THROUGH_POSES:
            return NavigateThroughPoses.Goal(poses=poses)
        message = FollowPath.Goal(controller_id=self._controller)
        message.path.poses = poses
        message.path.header = poses[0].header
        return message

    def _on_answer(self, goal: Goal, sent: Future) -> None:
        handle: Any = sent.result()
        if not handle.accepted:
            self._deliver(GoalReport(goal.number, GoalState.REJECTED))
            return
        self._handle = (goal.number, handle)
        if self._cancel == goal.number:
            handle.cancel_goal_async()
        handle.get_result_async().add_done_callback(partial(self._on_result, goal))

    def _on_result(self, goal: Goal, done: Future) -> None:
        answer: Any = done.result()
        state = {
            GoalStatus.STATUS_SUCCEEDED: GoalState.SUCCEEDED,
            GoalStatus.STATUS_CANCELED: GoalState.CANCELED,
        }.get(answer.status, GoalState.ABORTED)
        self._deliver(GoalReport(goal.number, state))

    def _on_feedback(self, goal: Goal, message: Any) -> None:
        said = message.feedback
        pose = None
        if goal.kind == GoalKind.SPIN:
            left = abs(goal.angle) - abs(said.angular_distance_traveled)
        elif goal.kind == GoalKind.THROUGH_POSES:
            left = float(said.number_of_poses_remaining)
            here = said.current_pose
            if here.header.frame_id == FRAME:
                pose = (here.pose.position.x, here.pose.position.y, yaw_of(here.pose.orientation))
        else:
            left = said.distance_to_goal
        if math.isfinite(left):
            self._deliver(GoalReport(goal.number, GoalState.ACTIVE, left, pose))


def path_of(node: Node, x: Any, y: Any, yaw: Any) -> Path:
    """Poses in the building's frame, F64[k] each, as a path."""
    path = Path()
    path.header.stamp = node.get_clock().now().to_msg()
    path.header.frame_id = FRAME
    for px, py, turned in zip(*(np.asarray(v).tolist() for v in (x, y, yaw)), strict=True):
        pose = PoseStamped(header=path.header)
        pose.pose.position.x, pose.pose.position.y = px, py
        pose.pose.orientation = facing(turned)
        path.poses.append(pose)
    return path
