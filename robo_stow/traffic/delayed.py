"""Benchmark of plan and execution together: the 2026 form, where moves are late.

A move or a turn takes several ticks, and a unit may be held up in any tick, in the middle of a move
too. Planning is slow and execution fast: a plan is made of what was reported when the last one was
handed over, and is itself handed over a second (ten ticks) later; in every tick the execution graph
says who may go on. Tasks are given out when plans are handed over, a task once begun stays with its
unit, and an errand is done when its unit stands on its cell.

Model: Start-Kit 3.1 of the League of Robot Runners (https://github.com/MAPF-Competition/Start-Kit).
A unit enters a cell after the last one has left it, so outlines of one cell never meet.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_stow.floor.gridmap import Delays, Instance
from robo_stow.messages import I32, U8, FleetState, Release
from robo_stow.traffic.benchmark import DEEP_BUDGET_MS, StepTimes
from robo_stow.traffic.execution import ExecutionGraph
from robo_stow.traffic.planner import FORWARD, TURN_CCW, TURN_CW, WAIT, Planner
from robo_stow.traffic.pool import TaskPool

Bools = NDArray[np.bool_]

PERIOD = 10
"""Ticks from one plan to the next: a second of planning at ten ticks a second."""

AHEAD = 1
"""Joint steps planned beyond those that the ticks up to the next plan have room for."""


@dataclass
class DelayedResult:
    """Figures of one run, and what happened in it."""

    figures: dict[str, Any]
    """What the command prints as JSON."""
    states: I32
    """[ticks + 1, units, 2] cell and heading of every unit."""
    under_way: I32
    """[ticks + 1, units] ticks that the unit has moved on from its cell towards the next."""
    tasks: I32
    """[done, 3] task index, unit, tick done."""


class DelaySource:
    """Which units are held up, tick by tick.

    With the "bernoulli" events and "uniform" durations of the instance, the draws are those of the
    Start-Kit built with libstdc++ 11 or later; with the others the distributions are.

    Args:
        config: of the instance.
        units: number of units.
    """

    def __init__(self, config: Delays, units: int) -> None:
        self._config = config
        self._rng = np.random.RandomState(config.seed % 2**32)  # std::mt19937
        self._left = np.zeros(units, np.int64)

    def tick(self) -> Bools:
        """[units] whether the unit is held up in the next tick."""
        self._left -= self._left > 0
        free = np.flatnonzero(self._left == 0)
        config = self._config
        if config.event_model == "poisson":
            count = min(self._rng.poisson(len(self._left) * config.probability), len(free))
            struck = self._rng.permutation(free)[:count]
        else:
            struck = free[self._uniform(len(free)) < config.probability]
        for unit in struck.tolist():
            self._left[unit] = self._duration()
        held: Bools = self._left > 0
        return held

    def _words(self, count: int) -> NDArray[np.uint32]:
        return self._rng.randint(0, 2**32, count, np.uint32)

    def _uniform(self, count: int) -> NDArray[np.float64]:
        """In 0..1, as std::generate_canonical makes them of two words each."""
        word = self._words(2 * count).astype(np.float64)
        uniform: NDArray[np.float64] = (word[0::2] + word[1::2] * 2.0**32) / 2.0**64
        return uniform

    def _duration(self) -> int:
        config = self._config
        low, span = config.min_delay, config.max_delay - config.min_delay
        if span == 0:
            return low
        if config.duration_model == "gaussian":
            mean, deviation = low + span * config.gauss_mean_ratio, span * config.gauss_std_ratio
            return int(np.clip(np.rint(self._rng.normal(mean, deviation)), low, low + span))
        # Lemire, "Fast random integer generation in an interval", 2019, as in libstdc++.
        while True:
            product = int(self._words(1)[0]) * (span + 1)
            if product % 2**32 >= 2**32 % (span + 1):
                return low + (product >> 32)


class _Floor:
    """Units that carry out what is released to them, in ticks."""

    def __init__(self, instance: Instance, ticks: int, room: int) -> None:
        n = len(instance.starts)
        width = instance.grid.width
        self.cell = instance.starts.astype(np.int32)
        self.heading = np.zeros(n, np.uint8)
        self.known = np.zeros(n, np.uint32)  # actions released to the unit
        self.done = np.zeros(n, np.uint32)
        self.count = np.zeros(n, np.int32)  # ticks that the action has taken
        self._ticks = ticks
        self._move = np.array([1, width, -1, -width], np.int32)
        self._queue = np.zeros((n, room), np.uint8)  # action k of a unit is in column k % room
        self._all = np.arange(n)

    @property
    def under_way(self) -> I32:
        """[n] ticks of the move that the unit has begun."""
        moving = self._queue[self._all, self.done % self._queue.shape[1]] == FORWARD
        return np.where(moving, self.count, 0).astype(np.int32)

    def taken(self) -> I32:
        """Every cell that some unit is in, once for each unit that is."""
        moving = np.flatnonzero(self.under_way)
        ahead = self.cell[moving] + self._move[self.heading[moving]]
        return np.concatenate((self.cell, ahead))

    def take(self, release: Release) -> None:
        """Take over what is released."""
        row = np.repeat(release.unit, release.count)
        start = np.repeat(release.first - np.cumsum(release.count) + release.count, release.count)
        column = (start + np.arange(len(row))) % self._queue.shape[1]
        self._queue[row, column] = release.action
        self.known[release.unit] = release.first + release.count.astype(np.uint32)

    def tick(self, stopped: Bools) -> None:
        """Let every unit that has something to do and is not stopped go on with it."""
        go = (self.known > self.done) & ~stopped
        self.count[go] += 1
        unit = np.flatnonzero(self.count == self._ticks)
        action = self._queue[unit, self.done[unit] % self._queue.shape[1]]
        moved = unit[action == FORWARD]
        self.cell[moved] += self._move[self.heading[moved]]
        turn = (action == TURN_CW) + 3 * (action == TURN_CCW)
        self.heading[unit] = (self.heading[unit] + turn).astype(np.uint8) & 3
        self.done[unit] += 1
        self.count[unit] = 0

    def state(self, stamp: float) -> FleetState:
        """What the units report."""
        n = len(self.cell)
        nothing, none = np.zeros(n, np.float32), np.zeros(n, np.uint8)
        return FleetState(
            stamp=stamp,
            unit=self._all.astype(np.int32),
            epoch=np.ones(n, np.uint32),
            done=self.done.copy(),
            released=self.known.copy(),
            cell=self.cell.copy(),
            heading=self.heading.copy(),
            x=nothing,
            y=nothing,
            yaw=nothing,
            speed=nothing,
            load=none,
            load_id=np.full(n, -1, np.int32),
            battery=nothing,
            status=none,
        )


class _Progress:
    """Which tasks the units have, and how far they really are with them.

    The pool lives in the plan, where units are ahead of their bodies; this follows the bodies.
    """

    def __init__(self, instance: Instance) -> None:
        n = len(instance.starts)
        self._tasks = instance.tasks
        self._visited = np.zeros(len(instance.tasks), np.int64)  # errands done
        self.task = np.full(n, -1)  # what the unit is officially at
        self._next: list[deque[int]] = [deque() for _ in range(n)]  # tasks to be given
        self._due: list[deque[int]] = [deque() for _ in range(n)]  # actions before a planned visit
        self.stop_at = np.full(n, -1, np.int64)  # actions done where a unit awaits its visit
        self.log: list[tuple[int, int, int]] = []

    def plan_visit(self, unit: int, task: int, first: bool, actions: int) -> None:
        """A unit is planned to be at its task's next errand after so many actions."""
        if first:
            self._next[unit].append(task)
        self._due[unit].append(actions)
        self.stop_at[unit] = self._due[unit][0]

    def give_out(self) -> None:
        """Give every unit without a task the one that was chosen for it."""
        for unit in np.flatnonzero(self.task < 0).tolist():
            if self._next[unit]:
                self.task[unit] = self._next[unit].popleft()

    def visit(self, done: NDArray[np.uint32], tick: int) -> None:
        """Count the visits of the units that have come to where they were due."""
        due = (self.stop_at >= 0) & (done >= self.stop_at) & (self.task >= 0)
        for unit in np.flatnonzero(due).tolist():
            self._due[unit].popleft()
            self.stop_at[unit] = self._due[unit][0] if self._due[unit] else -1
            task = int(self.task[unit])
            self._visited[task] += 1
            if self._visited[task] == len(self._tasks[task]):
                self.log.append((task, unit, tick))
                self.task[unit] = -1


def run_delayed(
    instance: Instance,
    *,
    ticks: int,
    budget_ms: float,
    seed: int = 0,
    threads: int = 1,
    delays: bool = True,
    iterations: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> DelayedResult:
    """Plan and execute ``ticks`` ticks of a 2026 instance.

    Args:
        instance: what to do, with delays.
        budget_ms: CPU time of each thread a joint step, scheduling and planning together, in
            milliseconds.
        seed: of the planner.
        threads: that plan together.
        delays: False: nobody is held up.
        iterations: exactly so many improvement attempts a step in place of the budget; the run is
            then the same on every machine.
        progress: called now and then with the tick and the tasks done so far.
        options: further arguments of the `Planner`.
    """
    config = instance.delays
    assert config is not None
    grid, n = instance.grid, len(instance.starts)
    times = StepTimes()
    options.setdefault("depth", 5 if budget_ms >= DEEP_BUDGET_MS * n else 4)
    planner = Planner(
        grid.width,
        grid.height,
        grid.exits,
        units=n,
        seed=seed,
        threads=threads,
        allow_rotation=False,
        **options,
    )
    pool = TaskPool(instance, planner)
    room = math.ceil(2 * PERIOD / config.ticks_per_move) + AHEAD + 3
    graph = ExecutionGraph(n, grid.width, grid.height, capacity=room, ahead=room)
    floor = _Floor(instance, config.ticks_per_move, 1 << room.bit_length())
    graph.reset(1, floor.cell, floor.heading)
    source = DelaySource(config, n) if delays else None
    tasks = _Progress(instance)
    move = np.array([1, grid.width, -1, -grid.width], np.int32)

    end, facing = floor.cell.copy(), floor.heading.copy()  # where the plan ends
    planned = np.zeros(n, np.int64)  # actions in the plan
    given = np.full(n, -1)  # task that the pool had given the unit
    steps = 0

    def plan_until(last: int, tick: int) -> list[U8]:
        """Joint steps up to number ``last``, from where the plan ends, with reports of ``tick``."""
        nonlocal end, facing, steps
        plan: list[U8] = []
        while steps < last:
            times.begin()
            # Who cannot have done by then what is planned stands until the plan has caught up: the
            # others go before it, rather than wait for it later.
            late = planned - floor.done > steps - tick / config.ticks_per_move
            for unit in np.flatnonzero((end == pool.goal) & (pool.goal >= 0)).tolist():
                task = int(pool.task[unit])
                tasks.plan_visit(unit, task, given[unit] != task, int(planned[unit]))
                given[unit] = task
            goal = pool.step(end, facing, unfinished=pool.done - len(tasks.log), rematch=not plan)
            action = planner.step(
                end,
                facing,
                goal,
                next_goal=pool.next_goal,
                later=pool.later,
                frozen=late.astype(np.uint8),
                budget_s=max(budget_ms * 1e-3 - times.used(), 1e-6),
                iterations=iterations,
            )
            times.end()
            end = np.where(action == FORWARD, end + move[facing], end).astype(np.int32)
            facing = (facing + (action == TURN_CW) + 3 * (action == TURN_CCW)).astype(np.uint8) % 4
            planned[action != WAIT] += 1
            steps += 1
            plan.append(action)
        return plan

    states = np.empty((ticks + 1, n, 2), np.int32)
    under_way = np.zeros((ticks + 1, n), np.int32)
    states[0, :, 0], states[0, :, 1] = floor.cell, floor.heading
    conflicts = held_up = 0
    plan = plan_until(math.ceil(PERIOD / config.ticks_per_move) + AHEAD, 0)
    for tick in range(ticks):
        if tick % PERIOD == 0:
            tasks.give_out()
            for action in plan:
                graph.commit(action)
            ready = tick + 2 * PERIOD  # the next plan is handed over after one period
            plan = plan_until(math.ceil(ready / config.ticks_per_move) + AHEAD, tick)
        graph.release()
        release = graph.collect(float(tick), math.inf)
        if release is not None:
            floor.take(release)
        stopped = tasks.stop_at == floor.done
        if source is not None:
            held = source.tick()
            held_up += int(held.sum())
            stopped |= held
        floor.tick(stopped)
        taken = floor.taken()
        conflicts += len(taken) - len(np.unique(taken))
        graph.report(floor.state(float(tick)))
        tasks.visit(floor.done, tick + 1)
        states[tick + 1, :, 0], states[tick + 1, :, 1] = floor.cell, floor.heading
        under_way[tick + 1] = floor.under_way
        if progress is not None:
            progress(tick + 1, len(tasks.log))
    figures: dict[str, Any] = {
        "instance": instance.name,
        "form": instance.form,
        "units": n,
        "ticks": ticks,
        "ticks_per_move": config.ticks_per_move,
        "delays": delays,
        "held_up_share": round(held_up / (ticks * n), 4),
        "tasks_done": len(tasks.log),
        "conflicts": conflicts,
        "budget_ms": budget_ms,
        "planned_steps": steps,
        **times.figures(),
        "threads": threads,
        "seed": seed,
        "rejected_steps": planner.stats().rejected,
    }
    return DelayedResult(figures, states, under_way, np.array(tasks.log, np.int32).reshape(-1, 3))
