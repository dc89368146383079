"""CPU that RViz's markers of 1,000 drive units cost the monitor.

A building of 1,000 units with made-up places, loads and releases; each unit is shown with its
heading, its load and a path of six cells. The markers are built as the monitor builds them and sent
over DDS to a subscriber in another process. CPU time is that of the whole sending process, the
threads of DDS included.

``python bench/markers.py`` writes ``out/bench/markers.json``; ``--picture FILE`` draws what the
subscriber has received of the demo building after three simulated minutes.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from rclpy.node import Node
from robo_stow_nodes import qos, topics
from robo_stow_nodes.markers import FloorMarkers
from visualization_msgs.msg import Marker, MarkerArray

from robo_stow.cli.answer import answer
from robo_stow.floor.building import Building
from robo_stow.floor.load import load_building
from robo_stow.floor.start import pod_cells, unit_cells
from robo_stow.floor.world import storage_height
from robo_stow.messages import FleetState, LifterState, PodPlaces, Release
from robo_stow.warehouse import build_warehouse

OUT = Path("out/bench/markers.json")
UNITS = 1000
MESSAGES = 100
RATE = 5.0
"""Hz, of the share that is reported."""
AHEAD = 6


def main() -> None:
    """Measure, or draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--picture", metavar="FILE", help="draw the demo building's markers")
    picture = parser.parse_args().picture
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    if picture:
        _draw(picture)
        return
    done = multiprocessing.get_context("spawn").Event()
    listener = multiprocessing.get_context("spawn").Process(target=_listen, args=(done,))
    listener.start()
    result = _measure()
    done.set()
    listener.join()
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def _listen(done: Any) -> None:
    rclpy.init()
    node = rclpy.create_node("rviz_stand_in")
    node.create_subscription(MarkerArray, topics.MARKERS, lambda _: None, qos.STATE)
    while not done.is_set():
        rclpy.spin_once(node, timeout_sec=0.1)


def _measure() -> dict[str, Any]:
    building = load_building("dupont", units=UNITS)
    rclpy.init()
    node = rclpy.create_node("markers_bench")
    publisher = node.create_publisher(MarkerArray, topics.MARKERS, qos.STATE)
    while not publisher.get_subscription_count():
        time.sleep(0.1)
    floor = FloorMarkers(building, storage_height(building))
    rng = np.random.default_rng(1)
    cells, headings = unit_cells(building, 1)
    x, y = building.grid.xy(cells)
    load = rng.integers(0, 3, UNITS).astype(np.uint8)
    status = np.zeros(UNITS, np.uint8)
    ahead = (cells[:, None] + np.arange(1, AHEAD + 1)) % building.grid.cells
    floor.on_release(
        Release(
            0.0,
            1,
            np.arange(UNITS, dtype=np.int32),
            np.zeros(UNITS, np.uint32),
            cells,
            np.full(UNITS, AHEAD, np.int32),
            np.zeros(UNITS * AHEAD, np.uint8),
            ahead.ravel().astype(np.int32),
        )
    )
    done = np.zeros(UNITS, np.uint32)
    before = time.process_time()
    for k in range(MESSAGES):
        x, y = x + 0.1, y + 0.1  # everything moves
        yaw = headings * 1.57 + 0.01 * k
        stamp = node.get_clock().now().to_msg()
        publisher.publish(floor.fleet(stamp, x, y, yaw, load, status, done, ["fleet: alarm"]))
        time.sleep(0.02)
    per_message = (time.process_time() - before) / MESSAGES
    stamp = node.get_clock().now().to_msg()
    before = time.process_time()
    floor.pods(stamp, pod_cells(building, 1))
    pods = time.process_time() - before
    rclpy.shutdown()
    return {
        "units": UNITS,
        "pods": building.pods,
        "ms_per_message": round(1e3 * per_message, 2),
        "core_share_at_5_hz": round(RATE * per_message, 4),
        "ms_standing_pods_on_change": round(1e3 * pods, 2),
    }


# -- a picture ------------------------------------------------------------------------------------


def _draw(path: str) -> None:
    """The demo after three minutes, through a subscriber, as RViz would show it from above."""
    building = load_building("demo")
    floor = FloorMarkers(building, storage_height(building))
    rclpy.init()
    node = Node("markers_picture")
    publishers = [
        node.create_publisher(MarkerArray, name, qos.LATCHED)
        for name in (topics.PLACES, topics.PODS, topics.MARKERS)
    ]
    received: dict[tuple[str, int], Marker] = {}

    def receive(message: MarkerArray) -> None:
        received.update({(marker.ns, marker.id): marker for marker in message.markers})

    for name in (topics.PLACES, topics.PODS, topics.MARKERS):
        node.create_subscription(MarkerArray, name, receive, qos.LATCHED)
    stamp = node.get_clock().now().to_msg()
    state, pods = _after(building, floor, 180.0)
    now = (state.x, state.y, state.yaw, state.load, state.status, state.done)
    publishers[0].publish(floor.places(stamp))
    publishers[1].publish(floor.pods(stamp, pods))
    publishers[2].publish(floor.fleet(stamp, *now, ["fleet alarm: the latest stand here"]))
    end = time.monotonic() + 3.0
    while time.monotonic() < end:
        rclpy.spin_once(node, timeout_sec=0.1)
    rclpy.shutdown()
    _plot(list(received.values()), path)


def _after(building: Building, floor: FloorMarkers, seconds: float) -> tuple[FleetState, Any]:
    cores = build_warehouse(building, 1).cores
    inboxes: list[list[Any]] = [[] for _ in cores]
    pods = pod_cells(building, 1)
    state: FleetState | None = None
    for tick in range(round(seconds / 0.1)):
        for index, core in enumerate(cores):
            inbox, inboxes[index] = inboxes[index], []
            for record in core.step(tick * 0.1, inbox):
                if isinstance(record, FleetState):
                    state = record
                elif isinstance(record, Release):
                    floor.on_release(record)
                elif isinstance(record, LifterState):
                    floor.on_lifter(record)
                elif isinstance(record, PodPlaces):
                    pods[record.pod] = record.cell
                for other, target in zip(cores, inboxes, strict=True):
                    if type(record) in other.consumes:
                        target.append(record)
    assert state is not None
    return state, pods


def _plot(markers: list[Marker], path: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.collections import LineCollection
    from matplotlib.patches import Rectangle

    figure, axes = pyplot.subplots(figsize=(14, 10), facecolor="#282c34")
    axes.set_facecolor("#282c34")
    order = {marker.ns: at for at, marker in enumerate(markers)}
    for marker in sorted(markers, key=lambda m: order[m.ns]):
        colour = (marker.color.r, marker.color.g, marker.color.b, marker.color.a)
        points = [(p.x, p.y) for p in marker.points]
        level = 2 + order[marker.ns]
        if marker.type == Marker.CUBE_LIST:
            dx, dy = marker.scale.x, marker.scale.y
            colours = [(c.r, c.g, c.b, c.a) for c in marker.colors] or [colour] * len(points)
            for (x, y), face in zip(points, colours, strict=True):
                square = Rectangle((x - dx / 2, y - dy / 2), dx, dy, facecolor=face, zorder=level)
                axes.add_patch(square)
        elif marker.type == Marker.LINE_LIST:
            lines = list(zip(points[::2], points[1::2], strict=True))
            axes.add_collection(LineCollection(lines, colors=[colour], lw=2, zorder=level))
        elif marker.type == Marker.TEXT_VIEW_FACING:
            at = marker.pose.position
            axes.text(at.x, at.y, marker.text, color=colour, ha="center", fontsize=8, zorder=50)
    axes.set_aspect("equal")
    axes.autoscale_view()
    axes.axis("off")
    figure.savefig(path, dpi=120, bbox_inches="tight")


if __name__ == "__main__":
    sys.exit(answer("bench", main))
