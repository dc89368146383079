"""Whether more time for a step gives more: mean over seeds at several budgets, floors of our own.

``python bench/anytime.py [--steps N] [--seeds K]`` writes ``out/bench/anytime.json``. Every seed is
another floor of 32 x 32 cells, other starts and other errands; every budget gets the same ones.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
from scipy import ndimage  # type: ignore[import-untyped]

from robo_stow.bench.machine import machine
from robo_stow.cli.answer import answer
from robo_stow.cli.options import count
from robo_stow.floor.gridmap import GridMap, Instance
from robo_stow.traffic.benchmark import run_benchmark

OUT = Path("out/bench/anytime.json")
SIDE = 32
BUDGETS_MS = (10.0, 30.0, 100.0)
ERRANDS = 100
"""Errands for each unit: more than it can meet."""


def scattered(rng: np.random.Generator) -> np.ndarray:
    """Every fifth cell is a wall, by chance."""
    return rng.random((SIDE, SIDE)) >= 0.2


def shelves(rng: np.random.Generator) -> np.ndarray:
    """Blocks of 1 x 5 cells between aisles one cell wide, a wide aisle at either side."""
    free = np.ones((SIDE, SIDE), bool)
    for column in range(3, SIDE - 7, 6):
        free[1:-1:2, column : column + 5] = False
    return free


FLOORS = {
    "scattered, 100 units": (scattered, 100),
    "scattered, 400 units": (scattered, 400),
    "shelves, 150 units": (shelves, 150),
}


def instance(floor: str, seed: int, steps: int) -> Instance:
    """A 2023 instance: errands in a given order, round robin."""
    draw, units = FLOORS[floor]
    rng = np.random.default_rng([seed, units])
    parts, _ = ndimage.label(draw(rng))
    free = parts == 1 + np.argmax(np.bincount(parts.ravel())[1:])
    kind = np.where(free, ord("."), ord("@")).astype(np.uint8).ravel()
    cells = np.flatnonzero(free.ravel()).astype(np.int32)
    starts = rng.choice(cells, units, replace=False)
    tasks = [[int(cell)] for cell in rng.choice(cells, units * ERRANDS)]
    grid = GridMap(SIDE, SIDE, kind, free.ravel())
    return Instance(floor, 2023, grid, starts, tasks, steps, 0.0, None)


def main() -> int:
    """Run all and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=count, default=200)
    parser.add_argument("--seeds", type=count, default=4)
    args = parser.parse_args()
    tasks: dict[str, dict[str, list[int]]] = {}
    for floor in FLOORS:
        tasks[floor] = {}
        for budget in BUDGETS_MS:
            done = [
                run_benchmark(
                    instance(floor, seed, args.steps),
                    steps=args.steps,
                    budget_ms=budget,
                    seed=seed,
                ).figures["tasks_done"]
                for seed in range(args.seeds)
            ]
            tasks[floor][f"{budget:g} ms"] = done
            print(f"{floor}, {budget:g} ms: {np.mean(done):.1f} {done}", flush=True)
    figures = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "steps": args.steps,
        "tasks_done": tasks,
    }
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(answer("bench", main))
