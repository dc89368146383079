"""Node between a Robo-Stow's controller and its ros2_control."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from action_msgs.msg import GoalStatus
from builtin_interfaces.msg import Duration
from control_msgs.action import FollowJointTrajectory
from geometry_msgs.msg import WrenchStamped
from rclpy.action import ActionClient
from rclpy.action.client import ClientGoalHandle
from rclpy.qos import qos_profile_sensor_data
from rclpy.task import Future
from robo_stow_nodes import parameters, qos, topics
from robo_stow_nodes.shell import CoreNode, run_alone
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool
from trajectory_msgs.msg import JointTrajectoryPoint

from robo_stow.errors import InputError
from robo_stow.floor.building import LifterSite
from robo_stow.floor.world import ARM_JOINTS
from robo_stow.lifter.dynamics import GRAVITY
from robo_stow.lifter.follower import (
    ArmCancel,
    ArmDone,
    ArmGoal,
    ArmReading,
    FollowerCore,
    LoadReading,
    StopReading,
)
from robo_stow.messages import Core, LifterFeedback

JOINTS = (*ARM_JOINTS, "clamp_joint")
"""As in ``urdf/robo_stow.urdf.xacro``."""


class LifterDrivesNode(CoreNode):
    """Has the drives of one Robo-Stow follow what its controller commands.

    Calls:
        /lifters/<id>/joint_trajectory_controller/follow_joint_trajectory
            (action control_msgs/FollowJointTrajectory): joints 1 to 6 and the clamp.

    Publishes:
        /lifters/<id>/feedback (LifterFeedback)

    Subscribes:
        /lifters/<id>/command (LifterCommand)
        /lifters/<id>/joint_states (sensor_msgs/JointState): with efforts energy is counted.
        /lifters/<id>/wrench (geometry_msgs/WrenchStamped): at the fork, level; z is the load.
        /lifters/<id>/emergency_stop (std_msgs/Bool): true while the safety circuit is open, or
            there is no power.

    Parameters: those of `CoreNode`, and
        lifter (str): id of the Robo-Stow.
    """

    KIND = "lifter_drives"
    PUBLISHES = (LifterFeedback,)

    def lifters(self) -> Sequence[LifterSite]:
        return (self._site,)

    def build(self) -> Sequence[Core]:
        wanted = parameters.declare(self, self.KIND, "lifter", "id of the Robo-Stow")
        known = {site.id: site for site in self.building.lifters}
        if wanted not in known:
            raise InputError(self.KIND, "lifter", wanted, f"one of {', '.join(known)} expected")
        self._site = known[wanted]
        return (FollowerCore(self.building, self._site),)

    def connect(self) -> None:
        super().connect()
        name = partial(topics.topic, lifter=self._site.id)
        self._client = ActionClient(self, FollowJointTrajectory, name(topics.FOLLOW))
        self._goal: ClientGoalHandle | None = None
        self._number = 0
        self.outlets[ArmGoal] = self._follow
        self.outlets[ArmCancel] = self._cancel
        for kind, topic, take, profile in (
            (JointState, topics.JOINT_STATES, self._on_joints, qos_profile_sensor_data),
            (WrenchStamped, topics.WRENCH, self._on_wrench, qos_profile_sensor_data),
            (Bool, topics.EMERGENCY_STOP, self._on_stop, qos.LATCHED),
        ):
            self.create_subscription(kind, name(topic), take, profile)

    # -- readings -------------------------------------------------------------------------------

    def _on_joints(self, message: JointState) -> None:
        index = {joint: i for i, joint in enumerate(message.name)}
        if not all(joint in index for joint in JOINTS) or len(message.position) < len(index):
            self.reject(InputError("JointState", "name", list(index), f"{JOINTS} expected"))
            return
        order = [index[joint] for joint in JOINTS]
        values = np.array(message.position)[order]
        if not np.isfinite(values).all():
            self.reject(InputError("JointState", "position", values, "must be finite"))
            return
        power = 0.0
        if len(message.effort) == len(message.velocity) == len(index):
            each = (np.array(message.effort) * np.array(message.velocity))[order]
            power = float(np.maximum(np.nan_to_num(each), 0.0).sum())
        q = [float(v) for v in values]
        joint = (q[0], q[1], q[2], q[3], q[4], q[5])
        self.deliver(ArmReading(self.now(), self._site.id, joint, q[6], power))

    def _on_wrench(self, message: WrenchStamped) -> None:
        force = message.wrench.force.z
        if np.isfinite(force):
            self.deliver(LoadReading(self._site.id, abs(force) / GRAVITY))

    def _on_stop(self, message: Bool) -> None:
        self.deliver(StopReading(self._site.id, message.data))

    # -- trajectories ---------------------------------------------------------------------------

    def _follow(self, goal: ArmGoal) -> None:
        self._number = goal.number
        if not self._client.server_is_ready():
            self.get_logger().warning(
                f"no {topics.FOLLOW} of {goal.lifter}", throttle_duration_sec=5.0
            )
            self._end(goal.number, False)
            return
        message = FollowJointTrajectory.Goal()
        message.trajectory.joint_names = list(JOINTS)
        message.trajectory.points = [
            JointTrajectoryPoint(
                positions=position.tolist(),
                velocities=speed.tolist(),
                time_from_start=_duration(time),
            )
            for time, position, speed in zip(goal.time, goal.position, goal.speed, strict=True)
        ]
        sent = self._client.send_goal_async(message)
        sent.add_done_callback(partial(self._on_accepted, goal.number))

    def _on_accepted(self, number: int, future: Future) -> None:
        handle: ClientGoalHandle = future.result()
        if not handle.accepted:
            self._end(number, False)
            return
        if number != self._number:  # cancelled before it was accepted
            handle.cancel_goal_async()
            return
        self._goal = handle
        handle.get_result_async().add_done_callback(partial(self._on_result, number))

    def _on_result(self, number: int, future: Future) -> None:
        answer = future.result()
        ok = answer.status == GoalStatus.STATUS_SUCCEEDED
        if not ok and number == self._number:
            result = answer.result
            self.get_logger().warning(
                f"trajectory not followed: {result.error_code} {result.error_string}"
            )
        self._end(number, ok and answer.result.error_code == answer.result.SUCCESSFUL)

    def _end(self, number: int, ok: bool) -> None:
        self.deliver(ArmDone(self._site.id, number, ok))

    def _cancel(self, _: ArmCancel) -> None:
        self._number = 0
        if self._goal is not None:
            self._goal.cancel_goal_async()
            self._goal = None


def _duration(seconds: float) -> Duration:
    sec, nanosec = divmod(round(seconds * 1e9), 1_000_000_000)
    return Duration(sec=sec, nanosec=nanosec)


def main(args: Sequence[str] | None = None) -> int:
    """Run the node as a process."""
    return run_alone(LifterDrivesNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
