"""Lifelong planning benchmark on public instances.

2023 form: unit i visits errands i, i + n, i + 2n, ... in that order, each known when the last is
done; the bound is what every unit would visit alone on exact shortest times with turns. 2024 form:
a pool of open tasks of which our scheduler chooses; a task once begun stays with its unit.
"""

from __future__ import annotations

import ctypes
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_stow.floor.gridmap import Instance
from robo_stow.native import load
from robo_stow.traffic.planner import FORWARD, TURN_CCW, TURN_CW, Planner
from robo_stow.traffic.pool import TaskPool

DEEP_BUDGET_MS = 0.025
"""With so many milliseconds a unit and step units plan five actions ahead, with less four."""


@dataclass
class BenchmarkResult:
    """Figures of one run, and its plan."""

    figures: dict[str, Any]
    """What the command prints as JSON."""
    states: NDArray[np.int32]
    """[steps + 1, units, 2] cell and heading of every unit."""
    tasks: NDArray[np.int32] | None
    """[done, 3] task index, unit, step done (2024 form)."""


class StepTimes:
    """Time of each joint step, scheduling and planning together."""

    def __init__(self) -> None:
        self._cpu: list[float] = []
        self._wall: list[float] = []
        self._began = self._now()  # the first step has what comes before it in it

    def _now(self) -> tuple[int, int]:
        return time.thread_time_ns(), time.perf_counter_ns()

    def begin(self) -> None:
        """A step begins."""
        if self._cpu:
            self._began = self._now()

    def used(self) -> float:
        """CPU seconds of this thread since then."""
        return (time.thread_time_ns() - self._began[0]) * 1e-9

    def end(self) -> None:
        """It ends."""
        for spent, now, began in zip(
            (self._cpu, self._wall), self._now(), self._began, strict=True
        ):
            spent.append((now - began) * 1e-6)

    def figures(self) -> dict[str, Any]:
        """Milliseconds, and the most memory that this process has had."""
        times = {"planning_ms": self._cpu, "wall_ms": self._wall}
        return {
            **{
                name: {
                    "mean": round(float(np.mean(spent)), 3),
                    "p99": round(float(np.percentile(spent, 99)), 3),
                    "max": round(float(np.max(spent)), 3),
                }
                for name, spent in times.items()
            },
            "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        }


def round_robin_bound(instance: Instance, steps: int) -> int:
    """Errands that all units together could visit in `steps` if each were alone on the floor."""
    core = load()
    errand = np.array([task[0] for task in instance.tasks], np.int32)
    start = np.ascontiguousarray(instance.starts)
    exits = instance.grid.exits
    done = np.zeros(len(start), np.int32)
    code = core.rs_alone_round_robin(
        ctypes.c_int32(instance.grid.width),
        ctypes.c_int32(instance.grid.height),
        exits.ctypes.data_as(ctypes.c_void_p),
        ctypes.c_int32(len(start)),
        start.ctypes.data_as(ctypes.c_void_p),
        ctypes.c_int64(len(errand)),
        errand.ctypes.data_as(ctypes.c_void_p),
        ctypes.c_int32(steps),
        done.ctypes.data_as(ctypes.c_void_p),
    )
    if code:
        raise MemoryError("no memory for the bound")
    return int(done.sum())


class RoundRobin:
    """Errands of the 2023 form: no choice."""

    def __init__(self, instance: Instance) -> None:
        self._errand = np.array([task[0] for task in instance.tasks], np.int32)
        units = len(instance.starts)
        self._index = np.arange(units)
        self.done = 0
        self.goal = self._goals()

    def _goals(self) -> NDArray[np.int32]:
        last = len(self._errand) - 1
        goal = self._errand[np.minimum(self._index, last)]
        return np.where(self._index <= last, goal, -1).astype(np.int32)

    def step(self, cell: NDArray[np.int32], heading: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Marks the errands met in these cells and returns every unit's goal."""
        met = cell == self.goal
        self.done += int(met.sum())
        self._index[met] += len(cell)
        if met.any():
            self.goal = self._goals()
        return self.goal


def run_benchmark(
    instance: Instance,
    *,
    steps: int,
    budget_ms: float,
    seed: int = 0,
    threads: int = 1,
    iterations: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> BenchmarkResult:
    """Plans `steps` steps of a 2023 or 2024 instance.

    Args:
        instance: what to plan.
        steps: number of steps.
        budget_ms: CPU time of each thread a step, scheduling and planning together, in
            milliseconds.
        seed: of the planner.
        threads: that plan together.
        iterations: exactly so many improvement attempts a step in place of the budget; the run is
            then the same on every machine.
        progress: called now and then with the step and the tasks done so far.
        options: further arguments of the `Planner`.
    """
    grid, units = instance.grid, len(instance.starts)
    times = StepTimes()
    options.setdefault("depth", 5 if budget_ms >= DEEP_BUDGET_MS * units else 4)
    planner = Planner(
        *(grid.width, grid.height, grid.exits),
        units=units,
        seed=seed,
        threads=threads,
        **options,
    )
    pool = TaskPool(instance, planner) if instance.form != 2023 else None
    errands = pool or RoundRobin(instance)
    move = np.array([1, grid.width, -1, -grid.width], np.int32)
    cell = instance.starts.astype(np.int32)
    heading = np.zeros(units, np.uint8)
    goal = errands.goal
    states = np.empty((steps + 1, units, 2), np.int32)
    states[0, :, 0], states[0, :, 1] = cell, heading
    for t in range(1, steps + 1):
        times.begin()
        if t > 1 or pool is not None:
            goal = errands.step(cell, heading)
        action = planner.step(
            cell,
            heading,
            goal,
            next_goal=None if pool is None else pool.next_goal,
            later=None if pool is None else pool.later,
            budget_s=max(budget_ms * 1e-3 - times.used(), 1e-6),
            iterations=iterations,
        )
        times.end()
        cell = np.where(action == FORWARD, cell + move[heading], cell).astype(np.int32)
        heading = (heading + (action == TURN_CW) + 3 * (action == TURN_CCW)).astype(np.uint8) % 4
        states[t, :, 0], states[t, :, 1] = cell, heading
        if progress is not None:
            progress(t, errands.done)
    errands.step(cell, heading)
    figures: dict[str, Any] = {
        "instance": instance.name,
        "form": instance.form,
        "units": units,
        "steps": steps,
        "tasks_done": errands.done,
        "bound": None,
        "share_of_bound": None,
        "budget_ms": budget_ms,
        **times.figures(),
        "threads": threads,
        "seed": seed,
        "rejected_steps": planner.stats().rejected,
    }
    if instance.form == 2023:
        bound = round_robin_bound(instance, steps)
        figures["bound"] = bound
        figures["share_of_bound"] = round(errands.done / bound, 4) if bound else None
    return BenchmarkResult(figures, states, None if pool is None else pool.log())
