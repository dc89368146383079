"""The traffic manager's node with a full fleet over DDS: is the tick met, and at what cost?

Runs the node as a process of its own, in real time, with its ordinary parameters but for the clock.
This process is the fleet: it moves the units, reports their states ten times a second, takes
releases and gives errands. Writes ``out/bench/traffic_node.json``:

    step_ms: time of a step of the node's core, by its heartbeats
    interval_ms: time between steps; the node is asked for one every ``period``
    cpu: CPU seconds a second of the node, and of this process
    conflicts: found by the independent checker in the true states

``--unit-file FILE`` has the node keep the units' cells on disk (its parameter ``unit_file``).
``--profile FILE`` runs the node under cProfile and prints where the time goes.
"""

from __future__ import annotations

import argparse
import json
import os
import pstats
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from robo_stow_interfaces.msg import Heartbeat
from robo_stow_nodes import qos, topics
from robo_stow_nodes.conversions import Converter
from robo_stow_nodes.shell import EXECUTORS

from robo_stow.bench.machine import cpu_seconds, machine
from robo_stow.bench.soak import STEP, Shuttle
from robo_stow.cli.answer import answer
from robo_stow.cli.options import count, positive
from robo_stow.drive.motion import DriveUnits
from robo_stow.floor.building import Building
from robo_stow.floor.load import load_building
from robo_stow.floor.start import pod_cells, unit_cells
from robo_stow.messages import (
    ErrandReports,
    Errands,
    FleetState,
    KeepOuts,
    PodRegister,
    Release,
)
from robo_stow.traffic.checker import Checker

OUT = Path("out/bench/traffic_node.json")
START_SECONDS = 120.0
"""Wall time the node has to load the building and take the fleet over."""


class Fleet(Node):
    """Units, and whoever sends them about."""

    def __init__(self, building: Building, seed: int) -> None:
        super().__init__("fleet")
        cells, headings = unit_cells(building, seed)
        places = pod_cells(building, seed)
        self.units = DriveUnits(
            building.drive, building.grid, building.units, cells, headings, pod_cell=places
        )
        self.shuttle = Shuttle(building, np.random.default_rng(seed))
        self.checker = Checker(building)
        self.beats: list[tuple[float, float]] = []  # stamp, step seconds
        self.heard = False  # a release has come
        self._pods = building.pods
        codecs = Converter(building)
        self._codecs = {kind: codecs.codec(kind) for kind in (FleetState, Errands, PodRegister)}
        self._out = {
            kind: self.create_publisher(codec.message, topics.TOPICS[kind], qos.of(kind))
            for kind, codec in self._codecs.items()
        }
        for kind, take in (
            (Release, self._take),
            (ErrandReports, lambda said: self.shuttle.answer(self.now(), said)),
            (KeepOuts, lambda said: self.units.keep_out(said.cell)),
        ):
            codec = codecs.codec(kind)
            self.create_subscription(
                codec.message,
                topics.TOPICS[kind],
                lambda message, c=codec, t=take: t(c.decode(message)),
                qos.of(kind),
            )
        self.create_subscription(Heartbeat, topics.HEARTBEAT, self._on_beat, qos.COMMAND)
        self._say(PodRegister(self.now(), np.arange(self._pods, dtype=np.int32), places))

    def now(self) -> float:
        return float(self.get_clock().now().nanoseconds * 1e-9)

    def _take(self, release: Release) -> None:
        self.heard = True
        self.units.take(release)

    def _on_beat(self, beat: Any) -> None:
        if beat.step_seconds > 0.0:
            self.beats.append((beat.stamp.sec + beat.stamp.nanosec * 1e-9, beat.step_seconds))

    def _say(self, record: FleetState | Errands | PodRegister) -> None:
        kind = type(record)
        self._out[kind].publish(self._codecs[kind].encode(record))

    def tick(self) -> None:
        units, now = self.units, self.now()
        units.step(STEP)
        state = units.states(now)
        self._say(state)
        places = np.full(self._pods, -1, np.int32)
        standing = np.flatnonzero(units.pod_at >= 0)
        places[units.pod_at[standing]] = standing
        self.checker.check(state, places)
        if self.heard:
            errands = self.shuttle.step(now, units, places)
            if errands is not None:
                self._say(errands)


def spread(values: np.ndarray) -> dict[str, float]:
    """Milliseconds."""
    return {
        "mean": round(1e3 * float(values.mean()), 2),
        "p50": round(1e3 * float(np.percentile(values, 50)), 2),
        "p99": round(1e3 * float(np.percentile(values, 99)), 2),
        "max": round(1e3 * float(values.max()), 2),
    }


def measure(args: argparse.Namespace, child: subprocess.Popen[bytes]) -> dict[str, Any]:
    """Drive the fleet for the time asked for, after the node has taken it over."""
    building = load_building(args.building, units=args.units)
    fleet = Fleet(building, building.seed)
    executor = EXECUTORS["events"]()
    executor.add_node(fleet)
    due = began = time.monotonic()
    deadline = began + START_SECONDS
    settled: float | None = None  # wall time from which on it is measured
    used: tuple[float, float] = (0.0, 0.0)
    late = 0
    while settled is None or time.monotonic() < settled + args.seconds:
        wall = time.monotonic()
        if child.poll() is not None:
            raise SystemExit("bench: the node has ended")
        if wall >= due:
            late += wall > due + STEP
            due = max(due + STEP, wall)
            fleet.tick()
            if not fleet.heard and wall > deadline:
                raise SystemExit(f"bench: the node has released nothing in {START_SECONDS:g} s")
            if settled is None and len(fleet.shuttle.ended) and fleet.beats:
                settled = time.monotonic()
                used = (cpu_seconds(child.pid), cpu_seconds(os.getpid()))
                fleet.beats.clear()
                late = 0
        executor.spin_once(timeout_sec=max(0.0, due - time.monotonic()))
    seconds = time.monotonic() - settled
    node = (cpu_seconds(child.pid) - used[0]) / seconds
    own = (cpu_seconds(os.getpid()) - used[1]) / seconds
    stamps, steps = np.array(fleet.beats).T
    figures = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "building": building.name,
        "units": building.units,
        "seconds": round(seconds, 1),
        "tick_s": building.traffic.tick,
        "unit_file": bool(args.unit_file),
        "step_ms": spread(steps),
        "interval_ms": spread(np.diff(stamps)),
        "cpu": {"node": round(node, 3), "fleet": round(own, 3)},
        "late_reports": late,
        "errands": {result.name: count for result, count in fleet.shuttle.ended.items()},
        "conflicts": fleet.checker.conflicts,
    }
    executor.shutdown()
    fleet.destroy_node()
    return figures


def main() -> None:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--building", default="dupont")
    parser.add_argument("--units", type=count, default=1000)
    parser.add_argument("--seconds", type=positive, default=60.0)
    parser.add_argument("--unit-file", metavar="FILE", help="the node keeps the units' cells there")
    parser.add_argument("--profile", metavar="FILE", help="cProfile statistics of the node")
    args = parser.parse_args()
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    profile = ["-m", "cProfile", "-o", args.profile] if args.profile else []
    parameters = {"building": args.building, "units": args.units, "use_sim_time": "false"}
    if args.unit_file:
        parameters["unit_file"] = str(Path(args.unit_file).absolute())
    options = [part for key, value in parameters.items() for part in ("-p", f"{key}:={value}")]
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    child = subprocess.Popen(
        [sys.executable, *profile, "-m", "robo_stow_nodes.traffic_manager", "--ros-args", *options]
    )
    try:
        figures = measure(args, child)
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait()
        rclpy.try_shutdown()
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=2))
    if args.profile:
        pstats.Stats(args.profile).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    sys.exit(answer("bench", main))
