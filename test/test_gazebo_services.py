"""Tools written for Gazebo's ROS interface, against the embedded simulator, over DDS."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("robo_stow_interfaces", reason="needs the built workspace")
pytest.importorskip("gazebo_msgs", reason="needs the built workspace")

import rclpy
from gazebo_msgs.msg import EntityState, ModelStates
from gazebo_msgs.srv import DeleteEntity, GetEntityState, GetModelList, SetEntityState, SpawnEntity
from geometry_msgs.msg import Point, Pose, Quaternion
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from robo_stow_interfaces import msg
from robo_stow_nodes import qos
from robo_stow_nodes.fleet_simulator import FleetSimulatorNode

from robo_stow import messages as records
from robo_stow.floor.building import CellKind
from robo_stow.floor.load import load_building
from robo_stow.floor.start import pod_cells, unit_cells
from robo_stow.messages import Action, Release

BUILDING = load_building("demo", units=4)
SDF = '<sdf version="1.9"><model name="x"><link name="l"/></model></sdf>'


class Bench:
    """A simulator and a tool, spun by hand."""

    def __init__(self) -> None:
        values = {"units": 4, "speed": 20.0, "start_timeout": 0.0, "wait_for": [""], "minutes": 0.0}
        self.simulator = FleetSimulatorNode(
            parameter_overrides=[Parameter(name, value=value) for name, value in values.items()]
        )
        self.tool = Node("tool")
        self.executor = SingleThreadedExecutor()
        for node in (self.simulator, self.tool):
            self.executor.add_node(node)

    def until(self, condition: Callable[[], bool], seconds: float = 20.0) -> bool:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                return False
            self.executor.spin_once(timeout_sec=0.05)
        return True

    def ask(self, kind: Any, name: str, request: Any) -> Any:
        client = self.tool.create_client(kind, name)
        assert self.until(client.service_is_ready)
        future = client.call_async(request)
        assert self.until(future.done)
        self.tool.destroy_client(client)
        return future.result()


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    before = dict(os.environ)
    os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    bench = Bench()
    assert bench.until(lambda: bench.simulator.now() > 0.5)
    yield bench
    bench.executor.shutdown()
    bench.simulator.destroy_node()
    bench.tool.destroy_node()
    rclpy.shutdown()
    os.environ.clear()
    os.environ.update(before)


def where(bench: Bench, name: str, frame: str = "") -> tuple[float, float, float] | None:
    request = GetEntityState.Request(name=name, reference_frame=frame)
    answer = bench.ask(GetEntityState, "/gazebo/get_entity_state", request)
    if not answer.success:
        return None
    assert answer.state.name == name and answer.header.frame_id == "world"
    at = answer.state.pose.position
    return at.x, at.y, at.z


def test_model_states_tell_where_everything_is(bench: Bench) -> None:
    told: list[ModelStates] = []
    listener = bench.tool.create_subscription(
        ModelStates, "/gazebo/model_states", told.append, qos.STATE
    )
    assert bench.until(lambda: bool(told))
    bench.tool.destroy_subscription(listener)
    states = told[-1]
    assert len(states.name) == len(states.pose) == len(states.twist) == len(set(states.name))
    at = dict(zip(states.name, states.pose, strict=True))
    cells, _ = unit_cells(BUILDING, BUILDING.seed)
    x, y = BUILDING.grid.xy(cells)
    for unit in range(4):
        here = at[BUILDING.unit_name(unit)].position
        assert (here.x, here.y, here.z) == pytest.approx((x[unit], y[unit], 4.0), abs=1e-3)
    assert sum(name.startswith("pod_") for name in at) == BUILDING.pods
    assert {name for name in at if name.startswith("person_")} == {
        f"person_{station.id}" for station in BUILDING.stations
    }
    listed = bench.ask(GetModelList, "/get_model_list", GetModelList.Request())
    assert listed.success and set(listed.model_names) == set(states.name)


def test_a_pod_moves_with_its_unit(bench: Bench) -> None:
    pods = pod_cells(BUILDING, BUILDING.seed)
    cells, headings = unit_cells(BUILDING, BUILDING.seed)
    unit = next(u for u in range(4) if cells[u] in pods)
    pod = int(np.flatnonzero(pods == cells[unit])[0])
    name = f"pod_{pod:05d}"
    before = where(bench, name)
    assert before is not None
    bench.simulator.deliver(
        Release(
            stamp=bench.simulator.now(),
            epoch=1,
            unit=np.array([unit], np.int32),
            first=np.zeros(1, np.uint32),
            origin=cells[unit : unit + 1],
            count=np.array([1], np.int32),
            action=np.array([Action.LIFT], np.uint8),
            cell=cells[unit : unit + 1],
        )
    )
    assert bench.until(lambda: (where(bench, name) or before)[2] > before[2] + 0.01)
    lifted = where(bench, name)
    assert lifted == pytest.approx((before[0], before[1], before[2] + 0.06), abs=1e-3)


def test_a_pallet_is_known_from_its_arrival(bench: Bench) -> None:
    def pallets() -> list[str]:
        listed = bench.ask(GetModelList, "/get_model_list", GetModelList.Request())
        known = ("unit_", "pod_", "person_", "crate")
        return [name for name in listed.model_names if not name.startswith(known)]

    assert bench.until(lambda: bool(pallets()), 40.0)
    assert where(bench, pallets()[0]) == pytest.approx(BUILDING.lifters[0].dock, abs=1e-3)


def test_entities_come_are_moved_and_go(bench: Bench) -> None:
    pose = Pose(position=Point(x=1.0, y=2.0, z=4.0), orientation=Quaternion(z=1.0, w=0.0))
    spawn = SpawnEntity.Request(name="crate", xml=SDF, initial_pose=pose, reference_frame="world")
    assert bench.ask(SpawnEntity, "/spawn_entity", spawn).success
    assert where(bench, "crate") == (1.0, 2.0, 4.0)
    again = bench.ask(SpawnEntity, "/spawn_entity", spawn)
    assert not again.success and "is there already" in again.status_message
    pose.position.x = 7.0
    moved = SetEntityState.Request(state=EntityState(name="crate", pose=pose))
    assert bench.ask(SetEntityState, "/gazebo/set_entity_state", moved).success
    assert where(bench, "crate") == (7.0, 2.0, 4.0)
    gone = DeleteEntity.Request(name="crate")
    assert bench.ask(DeleteEntity, "/delete_entity", gone).success
    assert where(bench, "crate") is None
    assert not bench.ask(DeleteEntity, "/delete_entity", gone).success


def test_a_person_who_is_put_out_of_reach_does_no_work(bench: Bench) -> None:
    station = BUILDING.stations[0].id
    name = f"person_{station}"
    home = where(bench, name)
    assert home is not None
    plant = bench.simulator.cores[0]
    scans: list[Any] = []
    bench.tool.create_subscription(
        msg.Scan, f"/stations/{station}/scan", scans.append, qos.of(records.Scan)
    )

    def put(x: float) -> None:
        pose = Pose(position=Point(x=x, y=home[1], z=home[2]))
        moved = SetEntityState.Request(state=EntityState(name=name, pose=pose))
        assert bench.ask(SetEntityState, "/gazebo/set_entity_state", moved).success
        assert where(bench, name) == (x, home[1], home[2])

    def instruct(work: int) -> None:
        now = bench.simulator.now()
        bench.simulator.deliver(records.Instruct(now, station, work, False, 3, "A", 1))
        assert bench.until(lambda: bench.simulator.now() > now + 0.3)

    put(home[0] + 5.0)
    instruct(1)
    put(home[0] + 1.0)
    instruct(2)
    assert bench.until(lambda: bool(scans))
    assert [scan.work for scan in scans] == [2]
    # Sent away altogether, and back.
    assert bench.ask(DeleteEntity, "/delete_entity", DeleteEntity.Request(name=name)).success
    assert where(bench, name) is None
    assert plant.due > bench.simulator.now()
    spawn = SpawnEntity.Request(name=name, xml=SDF)
    spawn.initial_pose.position = Point(x=home[0], y=home[1], z=home[2])
    assert bench.ask(SpawnEntity, "/spawn_entity", spawn).success
    instruct(3)
    assert bench.until(lambda: len(scans) > 1)
    assert [scan.work for scan in scans] == [2, 3]


def test_a_unit_is_set_down_elsewhere_taken_away_and_brought_back(bench: Bench) -> None:
    unit = 3
    name = BUILDING.unit_name(unit)
    free = np.flatnonzero(BUILDING.grid.kind == CellKind.TRAVEL)[unit : unit + 1]
    (x,), (y,) = BUILDING.grid.xy(free.astype(np.int32))
    pose = Pose(position=Point(x=x + 0.2, y=y - 0.2, z=4.0), orientation=Quaternion(z=0.6, w=0.8))
    moved = SetEntityState.Request(state=EntityState(name=name, pose=pose))
    assert bench.ask(SetEntityState, "/gazebo/set_entity_state", moved).success
    assert bench.until(lambda: where(bench, name) == pytest.approx((x, y, 4.0), abs=1e-3))
    gone = DeleteEntity.Request(name=name)
    assert bench.ask(DeleteEntity, "/delete_entity", gone).success
    assert bench.until(lambda: where(bench, name) is None)
    assert not bench.ask(DeleteEntity, "/delete_entity", gone).success
    spawn = SpawnEntity.Request(name=name, xml=SDF, initial_pose=pose)
    assert bench.ask(SpawnEntity, "/spawn_entity", spawn).success
    assert bench.until(lambda: where(bench, name) == pytest.approx((x, y, 4.0), abs=1e-3))
    # Not into another unit, not onto another level.
    for at in (where(bench, BUILDING.unit_name((unit + 1) % 4)), (x, y, 0.0)):
        assert at is not None
        pose.position.x, pose.position.y, pose.position.z = at
        moved = SetEntityState.Request(state=EntityState(name=name, pose=pose))
        assert not bench.ask(SetEntityState, "/gazebo/set_entity_state", moved).success


@pytest.mark.parametrize("name", ["pod_00003", "nobody"])
def test_what_the_ledger_knows_is_left_where_it_is(bench: Bench, name: str) -> None:
    before = where(bench, name)
    state = EntityState(name=name, pose=Pose(position=Point(x=1.0)))
    request = SetEntityState.Request(state=state)
    assert not bench.ask(SetEntityState, "/gazebo/set_entity_state", request).success
    deleted = bench.ask(DeleteEntity, "/delete_entity", DeleteEntity.Request(name=name))
    assert not deleted.success and name in deleted.status_message
    assert where(bench, name) == before


@pytest.mark.parametrize(
    ("name", "xml", "x", "frame", "wrong"),
    [
        ("", SDF, 0.0, "", "name"),
        ("a", "<sdf>", 0.0, "", "xml"),
        ("a", "<html/>", 0.0, "", "xml"),
        ("a", SDF, float("nan"), "", "pose"),
        ("a", SDF, 0.0, "unit_0001", "reference_frame"),
    ],
)
def test_broken_spawns_are_refused(
    bench: Bench, name: str, xml: str, x: float, frame: str, wrong: str
) -> None:
    pose = Pose(position=Point(x=x))
    request = SpawnEntity.Request(name=name, xml=xml, initial_pose=pose, reference_frame=frame)
    answer = bench.ask(SpawnEntity, "/spawn_entity", request)
    assert not answer.success and wrong in answer.status_message
    assert where(bench, "a") is None
    assert where(bench, "unit_0001", frame="unit_0002") is None
