"""Lift cycles of the demo and DuPont buildings: time, energy and clearances by weight.

Writes out/bench/lifter.json: for each lifter and weight the seconds of a whole cycle (from parked
to parked, without waiting for a unit), the Wh it takes, the largest share of a drive's torque, and
what it would touch.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from robo_stow.cli.answer import answer
from robo_stow.floor.building import Building, LifterSite
from robo_stow.floor.load import load_building
from robo_stow.lifter.clearance import cycle, touches
from robo_stow.lifter.trajectory import Planner
from robo_stow.sim.lifter_drives import STANDBY

OUT = Path("out/bench/lifter.json")
WEIGHTS = (1000.0, 3000.0, 6000.0)


def measure(building: Building, site: LifterSite, weight: float) -> dict[str, Any]:
    """One lift."""
    started = time.thread_time()
    planner = Planner(building, site)
    moves = [
        (name, planner.plan(start, end, weight if laden else 0.0))
        for name, start, end, laden in cycle(building, site)
    ]
    planning = time.thread_time() - started
    seconds = sum(move.duration for _, move in moves) + 2 * building.lifter.grip_time
    parts: dict[str, float] = {}
    for name, move in moves:
        parts[name] = round(parts.get(name, 0.0) + move.duration, 2)
    return {
        "building": building.name,
        "lifter": site.id,
        "weight_kg": weight,
        "cycle_s": round(seconds, 1),
        "energy_wh": round(sum(m.work[-1] for _, m in moves) + STANDBY * seconds / 3600, 1),
        "torque_share": round(
            max(np.abs(m.torque / planner.arm.effort).max() for _, m in moves), 3
        ),
        "moves_s": parts,
        "planning_cpu_s": round(planning, 2),
        "touches": touches(building, site, weight),
    }


def main() -> None:
    """Measure and write the result."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    results = []
    for name in ("demo", "dupont"):
        building = load_building(name)
        for weight in WEIGHTS:
            results.append(measure(building, building.lifters[0], weight))
            print(json.dumps(results[-1]))
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(answer("bench", main))
