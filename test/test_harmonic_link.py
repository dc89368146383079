"""Pods and arms of a Harmonic world over DDS, with services and topics of the exact types."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from gz_world import GzWorld

from robo_stow.floor.load import load_building
from robo_stow.floor.start import pod_cells
from robo_stow.floor.world import LOAD_HEIGHT, load_name, pod_name, storage_height
from robo_stow.messages import DriveStatus, FleetState, LifterFeedback, Load, PodPlaces

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("ros_gz_interfaces", reason="needs the built workspace")

from rclpy.node import Node
from robo_stow_nodes import qos, topics
from robo_stow_nodes.conversions import Converter
from robo_stow_nodes.harmonic_link import HarmonicLinkNode
from ros_gz_interfaces.msg import Entity
from ros_gz_interfaces.srv import DeleteEntity, SpawnEntity
from std_msgs.msg import Empty, Float64, String

BUILDING = load_building("demo", units=2)
UNITS = [BUILDING.unit_name(unit) for unit in range(2)]


class Gazebo(Node):
    """gz-sim behind ros_gz_bridge."""

    def __init__(self) -> None:
        super().__init__("gazebo")
        self.world = GzWorld(UNITS)
        self.refuse = 0
        self.spawned: list[Any] = []
        for pod, cell in enumerate(pod_cells(BUILDING, BUILDING.seed).tolist()):
            self.world.create(pod_name(pod), *centre(cell), True)
        self.create_service(SpawnEntity, "/world/default/create", self._create)
        self.create_service(DeleteEntity, "/world/default/remove", self._remove)
        self._says = {
            unit: self.create_publisher(String, f"/{unit}/load/state", 10) for unit in UNITS
        }
        for unit in UNITS:
            for word, act in (("attach", self._attach), ("detach", self._detach)):
                name = f"/{unit}/load/{word}"
                self.create_subscription(Empty, name, partial(act, unit), 10)

    def _create(self, request: Any, response: Any) -> Any:
        if self.refuse:
            self.refuse -= 1
            return response  # not successful
        factory = request.entity_factory
        self.spawned.append(factory)
        assert not factory.allow_renaming and factory.relative_to == "world"
        assert f'<model name="{factory.name}">' in factory.sdf
        at = factory.pose.position
        response.success = self.world.create(
            factory.name, at.x, at.y, "<static>true</static>" in factory.sdf
        )
        self._update()
        return response

    def _remove(self, request: Any, response: Any) -> Any:
        assert request.entity.type == Entity.MODEL
        response.success = self.world.remove(request.entity.name)
        return response

    def _attach(self, unit: str, _: Any) -> None:
        self.world.attach(unit)
        self._update()

    def _detach(self, unit: str, _: Any) -> None:
        for state in self.world.detach(unit):
            self._says[unit].publish(String(data=state))

    def _update(self) -> None:
        for unit in self.world.update():
            self._says[unit].publish(String(data="attached"))


def centre(cell: int) -> tuple[float, float]:
    x, y = BUILDING.grid.xy(np.array([cell], np.int32))
    return float(x[0]), float(y[0])


def fleet(cell: int, pod: int, yaw: float) -> FleetState:
    """Unit 1 in ``cell`` with ``pod``; nothing is said of unit 0."""
    x, y = centre(cell)
    one = {"unit": [1], "cell": [cell], "heading": [0], "x": [x], "y": [y], "yaw": [yaw]}
    load = Load.POD if pod >= 0 else Load.NONE
    one |= {"load": [load], "load_id": [pod], "battery": [1.0]}
    fields = {}
    for name in FleetState.__slots__[1:]:
        kind = {"x": np.float32, "y": np.float32, "yaw": np.float32, "speed": np.float32}
        kind |= {"battery": np.float32, "heading": np.uint8, "load": np.uint8, "status": np.uint8}
        kind |= dict.fromkeys(("epoch", "done", "released"), np.uint32)
        fields[name] = np.array(one.get(name, [0]), kind.get(name, np.int32))
    return FleetState(0.0, **fields)


def test_a_pod_is_lifted_carried_and_set_down(graph: Any) -> None:
    graph.host(HarmonicLinkNode, units=2, use_sim_time=False)
    said = {
        record: graph.nodes[0].create_publisher(
            Converter(BUILDING).codec(record).message, topics.TOPICS[record], qos.of(record)
        )
        for record in (FleetState, PodPlaces)
    }

    def say(record: Any) -> None:
        said[type(record)].publish(Converter(BUILDING).codec(type(record)).encode(record))

    def stands(pod: int, cell: int) -> PodPlaces:
        return PodPlaces(0.0, np.array([pod], np.int32), np.array([cell], np.int32))

    pods = pod_cells(BUILDING, BUILDING.seed).tolist()
    pod, load = 7, load_name(UNITS[1])
    free = min(set(range(BUILDING.grid.cells)) - set(pods))
    assert graph.spin_until(lambda: said[FleetState].get_subscription_count() > 0, 20.0)
    # Gazebo comes later than the first lift.
    say(fleet(pods[pod], pod, 1.0))
    say(stands(pod, -1))
    assert not graph.spin_until(lambda: False, 1.0)
    gazebo = graph.add(Gazebo())
    gazebo.refuse = 1
    world = gazebo.world
    assert graph.spin_until(lambda: world.attached[UNITS[1]], 30.0)
    assert pod_name(pod) not in world.models
    assert world.models[load] == pytest.approx((*centre(pods[pod]), False))
    spawned = gazebo.spawned[-1]
    assert spawned.pose.position.z == pytest.approx(storage_height(BUILDING) + LOAD_HEIGHT)
    assert 2 * np.arctan2(spawned.pose.orientation.z, spawned.pose.orientation.w) == pytest.approx(
        1.0
    )
    say(fleet(free, -1, 0.0))
    say(stands(pod, free))
    assert graph.spin_until(lambda: pod_name(pod) in world.models, 30.0)
    assert load not in world.models
    assert not world.attached[UNITS[1]] and world.broken == []
    assert world.models[pod_name(pod)] == pytest.approx((*centre(free), True))
    # Again, by a joint that has let go once.
    say(fleet(free, pod, 0.0))
    say(stands(pod, -1))
    assert graph.spin_until(lambda: world.attached[UNITS[1]], 30.0)
    assert len(world.models) == len(pods)


def test_an_arm_follows_its_drives(graph: Any) -> None:
    (site,) = BUILDING.lifters
    graph.host(HarmonicLinkNode, units=2, use_sim_time=False)
    node = graph.nodes[0]
    heard: dict[int, float] = {}
    for joint in range(1, 7):
        name = f"/lifters/{site.id}/joint_{joint}/cmd_pos"
        node.create_subscription(
            Float64, name, lambda m, j=joint: heard.update({j: m.data}), qos.STATE
        )
    codec = Converter(BUILDING).codec(LifterFeedback)
    name = topics.topic(topics.TOPICS[LifterFeedback], lifter=site.id)
    drives = node.create_publisher(codec.message, name, qos.of(LifterFeedback))
    angles = (0.1, -0.2, 0.3, -0.4, 0.5, -0.6)
    feedback = LifterFeedback(0.0, site.id, 1, angles, True, 0.0, DriveStatus.OK, 0.0)

    def followed() -> bool:
        drives.publish(codec.encode(feedback))
        return len(heard) == 6

    assert graph.spin_until(followed, 20.0)
    assert [heard[joint] for joint in range(1, 7)] == pytest.approx(angles)
