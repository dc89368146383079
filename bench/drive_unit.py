"""CPU and memory of the node of one drive unit, driven by speeds and odometry.

Starts ``drive_unit`` with backend cmd_vel as a process of its own, at 20 Hz, and plays its base:
odometry and fiducials at 50 Hz, a traffic manager's heartbeats at 10 Hz. Measures the process
while the unit stands and while it drives to and fro. ``python bench/drive_unit.py`` writes
``out/bench/drive_unit.json``.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from geometry_msgs.msg import PoseStamped, TwistStamped
from nav_msgs.msg import Odometry
from rclpy.node import Node
from robo_stow_interfaces import msg
from robo_stow_nodes import qos, topics
from robo_stow_nodes.robot import facing

from robo_stow.bench.machine import cpu_seconds
from robo_stow.cli.answer import answer
from robo_stow.floor.building import YAW, CellKind
from robo_stow.floor.load import load_building
from robo_stow.floor.start import unit_cells

OUT = Path("out/bench/drive_unit.json")
SECONDS = 20.0
STEP = 0.02
BUILDING = load_building("demo", units=1)
UNIT = BUILDING.unit_name(0)
TURN_CW, FORWARD = 1, 0


class Base(Node):
    """A robot's wheels and sensors."""

    def __init__(self) -> None:
        super().__init__("base")
        cells, headings = unit_cells(BUILDING, BUILDING.seed)
        self.cell, self.heading = int(cells[0]), int(headings[0])
        x, y = BUILDING.grid.xy(cells[:1])
        self.x, self.y, self.yaw = float(x[0]), float(y[0]), YAW[self.heading]
        self.v = self.w = 0.0
        self.state: Any = None

        def topic(name: str) -> str:
            return topics.topic(name, unit=UNIT)

        self.create_subscription(TwistStamped, topic(topics.UNIT_COMMAND), self._move, qos.STATE)
        self.create_subscription(msg.UnitState, topic(topics.UNIT_STATE), self._note, qos.STATE)
        self._odom = self.create_publisher(Odometry, topic(topics.UNIT_ODOMETRY), 5)
        self._sight = self.create_publisher(PoseStamped, topic(topics.UNIT_FIDUCIAL), 5)
        self._beat = self.create_publisher(msg.Heartbeat, topics.HEARTBEAT, qos.COMMAND)
        self.release = self.create_publisher(msg.Release, "fleet/release", qos.COMMAND)
        self.create_timer(STEP, self._drive)
        self.create_timer(0.1, lambda: self._beat.publish(msg.Heartbeat(node="traffic_manager")))

    def _move(self, command: TwistStamped) -> None:
        self.v, self.w = command.twist.linear.x, command.twist.angular.z

    def _note(self, state: Any) -> None:
        self.state = state

    def _drive(self) -> None:
        self.yaw += self.w * STEP
        self.x += self.v * STEP * math.cos(self.yaw)
        self.y += self.v * STEP * math.sin(self.yaw)
        odometry = Odometry()
        odometry.header.stamp = self.get_clock().now().to_msg()
        odometry.header.frame_id = "odom"
        odometry.pose.pose.position.x, odometry.pose.pose.position.y = self.x, self.y
        odometry.pose.pose.orientation = facing(self.yaw)
        odometry.twist.twist.linear.x, odometry.twist.twist.angular.z = self.v, self.w
        self._odom.publish(odometry)
        self._sight.publish(PoseStamped(header=odometry.header, pose=odometry.pose.pose))


def main() -> None:
    """Measure."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    rclpy.init()
    base = Base()
    parameters = {"use_sim_time": "false", "units": "1", "backend": "cmd_vel"}
    options = [part for key, value in parameters.items() for part in ("-p", f"{key}:={value}")]
    command = [sys.executable, "-m", "robo_stow_nodes.drive_unit", "--ros-args", *options]
    with subprocess.Popen(command) as process:
        try:
            _spin(base, lambda: base.state is not None)
            result = {"standing": _watch(base, process.pid)}
            ways = _to_and_fro(base)
            result["driving"] = _watch(base, process.pid, lambda: next(ways))
            result["memory_mb"] = _memory(process.pid)
        finally:
            process.send_signal(signal.SIGINT)
    rclpy.shutdown()
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def _to_and_fro(base: Base) -> Any:
    """Releases, one after the other, along the floor and back."""
    grid, first, cell, heading = BUILDING.grid, 0, base.cell, base.heading
    while True:
        actions: list[int] = []
        cells: list[int] = []
        origin = cell
        after = grid.neighbour(cell, heading)
        if after < 0 or grid.kind[after] == CellKind.WALL:
            heading = (heading + 1) % 4
            actions, cells = [TURN_CW], [cell]
        else:
            cell = after
            actions, cells = [FORWARD], [cell]
        while first - base.state.done > 4:
            yield
        release = msg.Release(epoch=1, unit=[0], first=[first], origin=[origin])
        release.count, release.action, release.cell = [len(actions)], actions, cells
        base.release.publish(release)
        first += len(actions)
        yield


def _watch(base: Base, pid: int, work: Any = lambda: None) -> dict[str, float]:
    start, used = time.monotonic(), cpu_seconds(pid)
    driven = base.state.done
    while time.monotonic() - start < SECONDS:
        work()
        rclpy.spin_once(base, timeout_sec=0.05)
    wall = time.monotonic() - start
    return {
        "core_share": round((cpu_seconds(pid) - used) / wall, 4),
        "actions": int(np.int64(base.state.done) - driven),
    }


def _spin(base: Base, until: Any) -> None:
    while not until():
        rclpy.spin_once(base, timeout_sec=0.1)


def _memory(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


if __name__ == "__main__":
    sys.exit(answer("bench", main))
