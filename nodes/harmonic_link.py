"""Node that shows in a Gazebo Harmonic world what units carry and lifters do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from rclpy.task import Future
from robo_stow_nodes import qos, topics
from robo_stow_nodes.shell import CoreNode, run_alone
from ros_gz_interfaces.msg import Entity
from ros_gz_interfaces.srv import DeleteEntity, SpawnEntity
from std_msgs.msg import Empty, Float64, String

from robo_stow.floor.world import ARM_JOINTS, pod_sdf
from robo_stow.gazebo.carried import CarriedPods, LoadHeld, ModelCome, ModelDone, ModelGone
from robo_stow.messages import Core, LifterFeedback

STATES = {"attached": True, "detached": False}
"""What the DetachableJoint of gz-sim says."""


class HarmonicLinkNode(CoreNode):
    """Removes, spawns, attaches and detaches the models of pods; has arms follow their drives.

    Subscribes:
        /fleet/state (FleetState), /fleet/pod_places (PodPlaces)
        /lifters/<id>/feedback (LifterFeedback): where the drives have the arm's joints.
        /<unit>/load/state (std_msgs/String): attached or detached, from the unit's joint.

    Publishes:
        /<unit>/load/attach, /<unit>/load/detach (std_msgs/Empty): to the unit's joint.
        /lifters/<id>/joint_<i>/cmd_pos (std_msgs/Float64): rad, i from 1 to 6.

    Calls:
        /world/default/create (ros_gz_interfaces/SpawnEntity)
        /world/default/remove (ros_gz_interfaces/DeleteEntity)

    Parameters: those of `CoreNode`. It is started with the world and lives as long as that: what
    models there are it knows from the building's file and from what it has done.
    """

    KIND = "harmonic_link"

    def build(self) -> Sequence[Core]:
        return (CarriedPods(self.building, self.seed),)

    def connect(self) -> None:
        super().connect()
        self._create = self.create_client(SpawnEntity, topics.HARMONIC_CREATE)
        self._remove = self.create_client(DeleteEntity, topics.HARMONIC_REMOVE)
        self._attach, self._detach = (
            [
                self.create_publisher(Empty, topics.topic(name, unit=unit), qos.COMMAND)
                for unit in self._units()
            ]
            for name in (topics.UNIT_LOAD_ATTACH, topics.UNIT_LOAD_DETACH)
        )
        for index, unit in enumerate(self._units()):
            name = topics.topic(topics.UNIT_LOAD_STATE, unit=unit)
            self.create_subscription(String, name, partial(self._on_state, index), qos.COMMAND)
        self._joints = {
            site.id: [
                self.create_publisher(
                    Float64,
                    topics.topic(topics.ARM_JOINT, lifter=site.id, joint=joint),
                    qos.STATE,
                )
                for joint in ARM_JOINTS
            ]
            for site in self.building.lifters
        }
        self._connect_subscription(LifterFeedback)
        self.outlets[ModelGone] = self._go
        self.outlets[ModelCome] = self._come
        self.outlets[LoadHeld] = self._hold

    def deliver(self, record: Any) -> None:
        if isinstance(record, LifterFeedback):
            for publisher, angle in zip(self._joints[record.lifter], record.joint, strict=True):
                publisher.publish(Float64(data=float(angle)))
        else:
            super().deliver(record)

    def _units(self) -> list[str]:
        return [self.building.unit_name(unit) for unit in range(self.building.units)]

    def _go(self, change: ModelGone) -> None:
        request = DeleteEntity.Request(entity=Entity(name=change.name, type=Entity.MODEL))
        if self._remove.service_is_ready():
            sent = self._remove.call_async(request)
            sent.add_done_callback(partial(self._on_done, change))

    def _come(self, change: ModelCome) -> None:
        request = SpawnEntity.Request()
        factory = request.entity_factory
        factory.name = change.name
        factory.sdf = pod_sdf(self.building, change.name, static=change.unit < 0)
        place = factory.pose
        place.position.x, place.position.y, place.position.z = change.x, change.y, change.z
        place.orientation.z = math.sin(change.yaw / 2)
        place.orientation.w = math.cos(change.yaw / 2)
        if self._create.service_is_ready():
            sent = self._create.call_async(request)
            sent.add_done_callback(partial(self._on_done, change))

    def _hold(self, change: LoadHeld) -> None:
        (self._attach if change.held else self._detach)[change.unit].publish(Empty())

    def _on_done(self, change: ModelGone | ModelCome, future: Future) -> None:
        answer = future.result()
        if not answer.success:
            self.get_logger().warning(f"{change.name}: Gazebo refuses", throttle_duration_sec=5.0)
        self.deliver(ModelDone(change.number, answer.success))

    def _on_state(self, unit: int, message: String) -> None:
        if message.data in STATES:
            self.deliver(LoadHeld(unit, STATES[message.data]))


def main(args: Sequence[str] | None = None) -> int:
    """Run the node as a process."""
    return run_alone(HarmonicLinkNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
