"""Nodes over real DDS: a site in several processes, restarts, late joiners, broken messages."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from robo_stow import messages as records
from robo_stow.drive.motion import DriveUnits
from robo_stow.floor.building import CellKind
from robo_stow.floor.load import load_building
from robo_stow.floor.start import pod_cells, unit_cells
from robo_stow.inventory.audit import audit
from robo_stow.inventory.held import OrderRecords
from robo_stow.inventory.ledger import Ledger
from robo_stow.resources import share_dir
from robo_stow.traffic.kept import UnitFile

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("robo_stow_interfaces", reason="needs the built workspace")

from rclpy.action import ActionClient
from rclpy.node import Node
from robo_stow_interfaces import action, msg, srv
from robo_stow_nodes import fleet_simulator, qos, topics, traffic_manager
from robo_stow_nodes.conversions import Converter
from robo_stow_nodes.drive_unit import DriveUnitNode
from robo_stow_nodes.fulfilment import FulfilmentNode
from robo_stow_nodes.inventory import InventoryNode
from robo_stow_nodes.monitor import MonitorNode
from robo_stow_nodes.pick_station import PickStationNode
from robo_stow_nodes.robo_stow_lifter import RoboStowLifterNode
from robo_stow_nodes.stow_station import StowStationNode
from robo_stow_nodes.traffic_manager import TrafficManagerNode
from rosgraph_msgs.msg import Clock
from visualization_msgs.msg import Marker, MarkerArray

NODES = (
    "drive_unit",
    "fleet_simulator",
    "fulfilment",
    "harmonic_link",
    "inventory",
    "lifter_drives",
    "monitor",
    "pick_station",
    "robo_stow_lifter",
    "stow_station",
    "traffic_manager",
)
BUILDING = load_building("demo")


Graph = Any  # conftest.Graph


class Listener(Node):
    """Collects the records of some topics and the nodes' heartbeats."""

    def __init__(self, *wanted: type) -> None:
        super().__init__("listener")
        self.heard: dict[type, list[Any]] = {record: [] for record in wanted}
        self.beats: dict[str, list[float]] = {}
        for record in wanted:
            codec = Converter(BUILDING).codec(record)
            self.create_subscription(
                codec.message,
                topics.TOPICS[record],
                lambda m, r=record, c=codec: self.heard[r].append(c.decode(m)),
                qos.of(record),
            )
        self.create_subscription(msg.Heartbeat, topics.HEARTBEAT, self._on_beat, qos.COMMAND)

    def _on_beat(self, beat: Any) -> None:
        stamp = beat.stamp.sec + beat.stamp.nanosec * 1e-9
        self.beats.setdefault(beat.node, []).append(stamp)


def call(graph: Graph, node: Node, kind: type, name: str, request: Any) -> Any:
    if isinstance(request, dict):
        request = kind.Request(**request)
    client = node.create_client(kind, name)
    assert graph.spin_until(client.service_is_ready, 20.0)
    future = client.call_async(request)
    assert graph.spin_until(future.done, 10.0)
    return future.result()


# -- a site ---------------------------------------------------------------------------------------


def test_a_site_in_several_processes_survives_the_loss_of_three(
    graph: Graph, tmp_path: Path
) -> None:
    database = f"sqlite:///{tmp_path / 'ledger.db'}"
    files = {name: str(tmp_path / f"{name}.json") for name in ("zone_file", "unit_file")}
    (zone,) = BUILDING.zones
    graph.start("traffic_manager", **files)
    graph.start("inventory", database=database)
    graph.start("fulfilment", database=database)
    graph.start("fleet_simulator", speed=60.0, minutes=0.0, start_timeout=60.0)
    for kind in (RoboStowLifterNode, PickStationNode, StowStationNode):
        graph.host(kind)
    monitor = graph.host(MonitorNode)
    listener = graph.add(
        Listener(records.Release, records.ErrandReports, records.KeepOuts, records.OrderShipped)
    )
    keep_outs = listener.heard[records.KeepOuts]

    def closed() -> set[int]:
        return set(keep_outs[-1].cell.tolist()) if keep_outs else set()

    picked = graph.spin_until(lambda: monitor.core.figures()["lines_picked"] >= 3, 90.0)
    assert picked and monitor.core.now < 200.0
    first_epoch = max(release.epoch for release in listener.heard[records.Release])
    # A person goes into a zone; it stays closed over the loss of the traffic manager.
    order = {"zone": zone.name, "event": records.ZoneEvent.ENTERED}
    assert call(graph, listener, srv.Zone, topics.COMMANDS[records.ZoneCommand], order).ok
    assert graph.spin_until(lambda: closed() == set(zone.cells), 10.0)
    for name in ("traffic_manager", "inventory", "fulfilment"):
        graph.processes[name].kill()
        graph.processes[name].wait()
    ledger = Ledger(database)
    left = OrderRecords(ledger).held()  # orders that nobody but the ledger knows of now
    ledger.close()
    assert any(order.tote for order in left.values())
    keep_outs.clear()
    graph.start("fulfilment", database=database)
    kept = UnitFile(files["unit_file"], BUILDING).read()
    assert sorted(kept) == list(range(BUILDING.units)) and all(kept.values())
    graph.start("traffic_manager", **files)
    graph.start("inventory", database=database)
    assert graph.spin_until(lambda: closed() == set(zone.cells), 60.0)
    order["event"] = records.ZoneEvent.RESET
    refused = call(graph, listener, srv.Zone, topics.COMMANDS[records.ZoneCommand], order)
    assert not refused.ok
    assert "somebody is in" in refused.reason
    for command, code, answer in (
        (("zone", "leave", zone.name), 0, f"zone {zone.name} is left by all"),
        (("zone", "reset", zone.name), 0, f"zone {zone.name} is open"),
        (("unit", "reset", "unit_0000"), 1, "refused: "),  # it is not fenced
    ):
        person = subprocess.Popen(
            [sys.executable, "-m", "robo_stow.cli.main", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert graph.spin_until(lambda p=person: p.poll() is not None, 30.0)
        assert person.returncode == code
        assert answer in person.communicate()[0]
    assert graph.spin_until(lambda: bool(keep_outs) and closed() == set(), 10.0)
    begun = {name for name, order in left.items() if order.tote}
    shipped = listener.heard[records.OrderShipped]
    since = monitor.core.now
    done = graph.spin_until(lambda: begun <= {message.order for message in shipped}, 90.0)
    late = begun - {message.order for message in shipped}
    assert done, (late, since, monitor.core.now, monitor.core.figures(), monitor.core.alarms)

    figures = monitor.core.figures()
    assert figures["conflicts"] == 0, monitor.core.alarms[:5]
    assert figures["orders_received"] > 0
    assert figures["lines_picked"] > 0
    assert figures["pallets_lifted"] > 0
    assert max(release.epoch for release in listener.heard[records.Release]) > first_epoch
    assert not [alarm for alarm in monitor.core.alarms if alarm.kind == "unknown_order"]
    assert set(graph.stop().values()) == {0}
    ledger = Ledger(database)
    ledger.load()
    assert audit(ledger) == []
    ledger.close()


def test_the_other_nodes_run_alone_and_end_cleanly(graph: Graph) -> None:
    listener = graph.add(Listener())
    names = set(NODES) - {"traffic_manager", "inventory", "fleet_simulator"}  # as above
    for name in sorted(names):
        graph.start(name)
    assert graph.spin_until(lambda: set(listener.beats) >= names, 60.0)
    assert graph.stop(signal.SIGTERM) == dict.fromkeys(names, 0)
    for name in names:
        assert "Traceback" not in graph.log(name).read_text(), name


def test_a_process_that_hangs_after_a_signal_says_where_and_is_ended() -> None:
    hang = (
        "import threading\n"
        "from robo_stow_nodes import shell\n"
        "shell.STOP_SECONDS = 1\n"
        "stopper = shell.Stopper()\n"
        "print('ready', flush=True)\n"
        "lock = threading.Lock()\n"
        "lock.acquire()\n"
        "lock.acquire()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hang], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGALRM
    assert 'File "<string>", line 8' in errors


@pytest.mark.parametrize(
    ("setting", "named"),
    [("building:=nowhere", "nowhere"), ("speed:=-1.0", "speed"), ("seed:=x", "seed")],
)
def test_a_wrong_parameter_is_one_line(
    setting: str, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fleet_simulator.main(["--ros-args", "-p", setting]) == 2
    said = capsys.readouterr().err
    assert named in said
    assert said.count("\n") == 1


def test_files_that_cannot_be_used_are_named_at_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "missing" / "file.yaml"
    assert traffic_manager.main(["--ros-args", "--params-file", str(missing)]) == 2
    assert str(missing) in capsys.readouterr().err
    assert traffic_manager.main(["--ros-args", "-p", f"zone_file:={missing}"]) == 2
    assert str(missing) in capsys.readouterr().err


def test_run_can_be_interrupted_and_still_reports(graph: Graph, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "robo_stow.cli.main", "run", "demo", "--out", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        listener = graph.add(Listener())
        assert graph.spin_until(lambda: max(listener.beats.get("monitor", [0.0])) > 5.0, 60.0)
        process.send_signal(signal.SIGINT)
        table, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "Orders received" in table
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["simulated_minutes"] * 60.0 > 5.0
    assert report["conflicts"] == 0
    assert report["stock_conserved"] is True


def test_a_signal_that_comes_twice_is_one(graph: Graph) -> None:
    # Ctrl-C signals every process, and `ros2 launch` without a terminal passes it on to each.
    listener = graph.add(Listener())
    process = graph.start("traffic_manager", building="demo")
    assert graph.spin_until(lambda: "traffic_manager" in listener.beats, 60.0)
    end = time.monotonic() + 0.5
    while process.poll() is None and time.monotonic() < end:
        process.send_signal(signal.SIGINT)
        time.sleep(0.005)
    assert process.wait(20) == 0
    assert "Traceback" not in graph.log("traffic_manager").read_text()


# -- one node at a time ---------------------------------------------------------------------------


def test_a_broken_message_changes_nothing(graph: Graph) -> None:
    node = graph.host(TrafficManagerNode, use_sim_time=False)
    inbox: list[Any] = []
    node.deliver = inbox.append
    tester = graph.add(Node("tester"))
    states = tester.create_publisher(msg.FleetState, topics.TOPICS[records.FleetState], 5)
    assert graph.spin_until(lambda: states.get_subscription_count() > 0, 10.0)
    states.publish(msg.FleetState(unit=[1, 2], cell=[3]))  # arrays of different lengths
    errands = tester.create_publisher(msg.Errands, topics.TOPICS[records.Errands], 5)
    assert graph.spin_until(lambda: errands.get_subscription_count() > 0, 10.0)
    good: dict[str, Any] = {
        "unit": [0],
        "errand": [1],
        "goal": [5],
        "operation": [3],
        "hold": [0],
        "priority": [0.0],
        "due": [math.inf],
    }
    errands.publish(msg.Errands(**{**good, "operation": [77]}))
    errands.publish(msg.Errands(**{**good, "unit": [BUILDING.units]}))
    errands.publish(msg.Errands(**{**good, "due": [math.nan]}))
    errands.publish(msg.Errands(**good))
    assert graph.spin_until(lambda: len(inbox) > 0, 10.0)
    assert [type(record) for record in inbox] == [records.Errands]
    assert inbox[0].operation.tolist() == [3]


def test_a_zone_is_closed_also_when_it_cannot_be_kept(graph: Graph, tmp_path: Path) -> None:
    (zone,) = BUILDING.zones
    path = tmp_path / "zones.json"
    graph.host(TrafficManagerNode, use_sim_time=False, zone_file=str(path))
    listener = graph.add(Listener(records.KeepOuts))
    beside = tmp_path / "zones.json.new"
    beside.mkdir()  # nothing can be written there
    order = {"zone": zone.name, "event": records.ZoneEvent.ENTERED}
    answer = call(graph, listener, srv.Zone, topics.COMMANDS[records.ZoneCommand], order)
    assert not answer.ok
    assert "lost at a restart" in answer.reason
    keep_outs = listener.heard[records.KeepOuts]
    assert graph.spin_until(lambda: bool(keep_outs) and keep_outs[-1].zone == (zone.name,), 10.0)
    beside.rmdir()
    assert call(graph, listener, srv.Zone, topics.COMMANDS[records.ZoneCommand], order).ok
    assert zone.name in path.read_text()


def test_states_of_several_units_are_as_old_as_the_oldest() -> None:
    cells, headings = unit_cells(BUILDING, BUILDING.seed)
    states = [
        DriveUnits(
            BUILDING.drive, BUILDING.grid, 1, cells[i : i + 1], headings[i : i + 1], first_unit=i
        ).states(stamp)
        for i, stamp in enumerate((9.8, 10.1, 3.0))
    ]
    told = traffic_manager.together(states)
    assert [record.stamp for record in told] == [3.0, 9.8]
    assert [record.unit.tolist() for record in told] == [[2], [0, 1]]


def test_the_inventory_answers_and_refuses(graph: Graph) -> None:
    graph.host(InventoryNode, use_sim_time=False)
    tester = graph.add(Node("tester"))
    stock = graph.add(Listener(records.StockLevels))
    assert graph.spin_until(lambda: bool(stock.heard[records.StockLevels]), 20.0)
    levels = stock.heard[records.StockLevels][0]
    request = srv.Reserve.Request(
        key="k1", order=["o1"], bin=[levels.bin[0]], sku=[levels.sku[0]], quantity=[1]
    )
    name = topics.SERVICES[records.ReserveRequest]
    first = call(graph, tester, srv.Reserve, name, request)
    again = call(graph, tester, srv.Reserve, name, request)
    assert first.ok
    assert list(first.granted) == list(again.granted) == [1]

    request.bin = [0, 1]
    refused = call(graph, tester, srv.Reserve, name, request)
    assert not refused.ok
    assert "arrays of one length" in refused.reason

    # Who comes late hears everything, with what has changed meanwhile.
    late = graph.add(Listener(records.StockLevels, records.PodSpace))
    wanted = {
        (bin_, sku): reserved
        for bin_, sku, reserved in zip(levels.bin, levels.sku, levels.reserved, strict=True)
    }
    wanted[levels.bin[0], levels.sku[0]] += 1
    known: dict[tuple[int, str], int] = {}

    def complete() -> bool:
        for said in late.heard[records.StockLevels]:
            known.update(zip(zip(said.bin, said.sku, strict=True), said.reserved, strict=True))
        late.heard[records.StockLevels].clear()
        return known == wanted

    assert graph.spin_until(complete, 20.0)
    assert graph.spin_until(lambda: bool(late.heard[records.PodSpace]), 20.0)


def test_a_lift_is_an_action_and_an_overload_is_refused(graph: Graph) -> None:
    graph.host(RoboStowLifterNode, use_sim_time=False)
    tester = graph.add(Node("tester"))
    site = BUILDING.lifters[0]
    client = ActionClient(tester, action.Lift, topics.topic(topics.LIFT, lifter=site.id))
    assert graph.spin_until(client.server_is_ready, 20.0)

    def lift(**changes: Any) -> Any:
        goal = {"lifter": site.id, "pallet": "p1", "weight": 500.0, "unit": 0, **changes}
        sent = client.send_goal_async(action.Lift.Goal(**goal))
        assert graph.spin_until(sent.done, 10.0)
        return sent.result()

    assert not lift(unit=BUILDING.units).accepted
    heavy = lift(weight=BUILDING.lifter.rated_load + 1.0)
    assert heavy.accepted
    ended = heavy.get_result_async()
    assert graph.spin_until(ended.done, 20.0)
    assert not ended.result().result.ok
    assert ended.result().result.reason
    client.destroy()


def test_the_monitor_shows_units_their_ways_faults_and_lifters(graph: Graph) -> None:
    graph.host(MonitorNode, use_sim_time=False, marker_period=0.05)
    tester = graph.add(Node("tester"))
    shown: dict[tuple[str, int], Marker] = {}
    tester.create_subscription(
        MarkerArray,
        topics.MARKERS,
        lambda array: shown.update({(marker.ns, marker.id): marker for marker in array.markers}),
        qos.STATE,
    )
    assert graph.spin_until(lambda: bool(shown), 20.0)
    assert not shown["paths", 0].points
    site = BUILDING.lifters[0]

    def say(record: Any, name: str) -> None:
        codec = Converter(BUILDING).codec(type(record))
        publisher = tester.create_publisher(codec.message, name, qos.of(type(record)))
        assert graph.spin_until(lambda: publisher.get_subscription_count() > 0, 10.0)
        # Twice would be the work of two.
        known = tester.get_subscriptions_info_by_topic(publisher.topic_name)
        assert [info.node_name for info in known] == ["monitor"]
        publisher.publish(codec.encode(record))

    phase = records.LiftPhase.LIFT
    say(
        records.LifterState(1.0, site.id, phase, "p1", 2, 750.0),
        topics.topic(topics.TOPICS[records.LifterState], lifter=site.id),
    )
    assert graph.spin_until(lambda: ("lifters", 0) in shown, 10.0)
    assert shown["lifters", 0].text == f"{site.id}: lift, 750 kg"

    cells, headings = unit_cells(BUILDING, BUILDING.seed)
    units = DriveUnits(BUILDING.drive, BUILDING.grid, BUILDING.units, cells, headings)
    units.stop(3)
    units.step(0.1)
    say(units.states(2.0), topics.TOPICS[records.FleetState])
    ahead = BUILDING.grid.width + cells[0]  # the cell south of it
    say(
        records.Release(
            stamp=2.0,
            epoch=1,
            unit=np.array([0], np.int32),
            first=np.zeros(1, np.uint32),
            origin=cells[:1],
            count=np.array([1], np.int32),
            action=np.array([records.Action.FORWARD], np.uint8),
            cell=np.array([ahead], np.int32),
        ),
        topics.TOPICS[records.Release],
    )
    x, y = BUILDING.grid.xy(np.array([cells[0], ahead, cells[3]], np.int32))

    def points(name: str) -> list[tuple[float, float]]:
        return [(point.x, point.y) for point in shown[name, 0].points]

    assert graph.spin_until(lambda: points("paths") == [(x[0], y[0]), (x[1], y[1])], 10.0)
    assert graph.spin_until(lambda: points("faults") == [(x[2], y[2])], 10.0)
    assert len(points("units")) == len(shown["units", 0].colors) == BUILDING.units


def test_one_robot_follows_its_release_as_a_process(graph: Graph) -> None:
    units = 2
    cells, _ = unit_cells(load_building("demo", units=units), BUILDING.seed)
    start = int(cells[0])
    free = np.setdiff1d(
        np.flatnonzero(BUILDING.grid.kind == CellKind.STORAGE), [*pod_cells(BUILDING, 1), *cells]
    )
    rows, columns = np.divmod(free, BUILDING.grid.width)
    row, column = divmod(start, BUILDING.grid.width)
    goal = int(free[np.argmin(abs(rows - row) + abs(columns - column))])

    for unit in range(units):
        graph.host(DriveUnitNode, called=f"robot_{unit}", unit=unit, units=units)
    graph.host(TrafficManagerNode, units=units, unit_nodes=units)
    listener = graph.add(Listener(records.ErrandReports, records.Alarm))
    tester = graph.add(Node("tester"))
    clock = tester.create_publisher(Clock, topics.CLOCK, 10)
    codec = Converter(BUILDING).codec(records.Errands)
    errands = tester.create_publisher(codec.message, topics.TOPICS[records.Errands], 10)
    register = Converter(BUILDING).codec(records.PodRegister)
    pods = tester.create_publisher(
        register.message, topics.TOPICS[records.PodRegister], qos.SNAPSHOT
    )
    places = pod_cells(BUILDING, BUILDING.seed)
    pods.publish(
        register.encode(records.PodRegister(0.0, np.arange(len(places), dtype=np.int32), places))
    )
    now = 0.0

    def tick() -> bool:
        nonlocal now
        if len(listener.beats) < 3 or min(at[-1] for at in listener.beats.values()) < now - 0.05:
            return False
        now += 0.1
        tenths = round(now * 10)
        message = Clock()
        message.clock.sec, message.clock.nanosec = tenths // 10, tenths % 10 * 100_000_000
        clock.publish(message)
        if tenths % 20 == 0:
            errands.publish(
                codec.encode(
                    records.Errands(
                        now,
                        np.array([0], np.int32),
                        np.array([1], np.uint32),
                        np.array([goal], np.int32),
                        np.array([records.Operation.NONE], np.uint8),
                        np.array([0], np.uint8),
                        np.array([1.0], np.float32),
                        np.array([math.inf]),
                    )
                )
            )
        return bool(listener.heard[records.ErrandReports])

    assert graph.spin_until(tick, 40.0)
    report = listener.heard[records.ErrandReports][0]
    assert set(report.unit.tolist()) == {0}
    assert set(report.result.tolist()) == {records.ErrandResult.DONE}, listener.heard[records.Alarm]


def test_a_mixed_fleet_of_robots_and_simulated_units_ships_orders(graph: Graph) -> None:
    robots = 3
    for kind in (FulfilmentNode, RoboStowLifterNode, PickStationNode, StowStationNode):
        graph.host(kind)
    graph.host(InventoryNode)
    graph.host(TrafficManagerNode, unit_nodes=robots)
    for unit in range(robots):
        graph.host(DriveUnitNode, called=f"robot_{unit}", unit=unit, period=0.1)
    monitor = graph.host(MonitorNode)
    graph.host(
        fleet_simulator.FleetSimulatorNode,
        use_sim_time=False,
        speed=1000.0,
        minutes=5.0,
        unit_nodes=robots,
    )
    worked: set[int] = set()

    def over() -> bool:
        worked.update(np.flatnonzero(monitor.core.units.load[:robots]).tolist())
        return bool(monitor.core.now > 299.0)

    assert graph.spin_until(over, 150.0)
    figures = monitor.core.figures()
    assert figures["orders_shipped"] > 0
    assert figures["conflicts"] == 0, monitor.core.alarms[:5]
    assert worked  # at least one of the robots has carried something


# -- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NODES)
def test_every_parameter_file_is_the_default_of_its_node(name: str) -> None:
    document = yaml.safe_load((share_dir() / "config" / "nodes" / f"{name}.yaml").read_text())
    values = document["/**"]["ros__parameters"]
    assert {"building", "units", "seed", "period", "executor", "use_sim_time"} <= set(values)
