"""Which unit does which of the open tasks (2024 and 2026 benchmark forms).

A fixed number of tasks is open at any time; a finished one is replaced by the next of the list. A
unit without a begun task gets the open task that costs it least, approach and length together.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robo_stow.floor.gridmap import Instance
from robo_stow.traffic.planner import Planner


class TaskPool:
    """Open tasks and their units."""

    APPROACH_WEIGHT = 5.0
    """How much a step of approach counts against a step of the task itself."""

    def __init__(self, instance: Instance, planner: Planner) -> None:
        self._tasks = instance.tasks
        self._planner = planner
        self._room = int(instance.reveal * len(instance.starts))
        self._open: list[int] = []
        self._length: dict[int, float] = {}
        self._next = 0
        units = len(instance.starts)
        self._task = np.full(units, -1)
        self._errand = np.zeros(units, np.int64)
        self._log: list[tuple[int, int, int]] = []
        self._now = 0
        self.goal = np.full(units, -1, np.int32)
        self.done = 0

    def log(self, steps: int) -> NDArray[np.int32]:
        """[done, 3] task index, unit, step done."""
        return np.array(self._log, np.int32).reshape(-1, 3)

    def step(self, cell: NDArray[np.int32], heading: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Marks the errands met in these cells and returns every unit's goal."""
        for u in np.flatnonzero(cell == self.goal):
            task = self._tasks[self._task[u]]
            self._errand[u] += 1
            if self._errand[u] == len(task):
                self._log.append((int(self._task[u]), int(u), self._now))
                self.done += 1
                self._task[u] = -1
        self._now += 1
        self._reveal()
        self._assign(cell, heading)
        return self.goal

    def _reveal(self) -> None:
        held = int((self._task >= 0).sum())
        fresh = []
        while len(self._open) + held < self._room and self._next < len(self._tasks):
            self._open.append(self._next)
            fresh.append(self._next)
            self._next += 1
        legs = [(k, a, b) for k in fresh for a, b in zip(self._tasks[k], self._tasks[k][1:])]
        for k in fresh:
            self._length[k] = 0.0
        if legs:
            _, start, end = (np.array(column) for column in zip(*legs))
            steps = self._planner.travel_times(start, np.zeros(len(start), np.uint8), end)
            for (k, _, _), length in zip(legs, steps):
                self._length[k] += float(length)

    def _assign(self, cell: NDArray[np.int32], heading: NDArray[np.uint8]) -> None:
        """Greedy matching, cheapest pair first, of the units that have not begun a task."""
        mine = np.flatnonzero((self._task >= 0) & (self._errand == 0))
        self._open.extend(int(k) for k in self._task[mine])
        self._task[mine] = -1
        idle = np.flatnonzero(self._task < 0)
        if len(idle) and self._open:
            tasks = np.array(self._open)
            first = np.array([self._tasks[k][0] for k in tasks], np.int32)
            length = np.array([self._length[k] for k in tasks])
            approach = self._planner.travel_times(
                np.tile(cell[idle], len(tasks)),
                np.tile(heading[idle], len(tasks)),
                np.repeat(first, len(idle)),
            ).reshape(len(tasks), len(idle))
            cost = self.APPROACH_WEIGHT * approach + length[:, None]
            free_task, free_unit = np.ones(len(tasks), bool), np.ones(len(idle), bool)
            for pair in np.argsort(cost, axis=None, kind="stable"):
                k, i = divmod(int(pair), len(idle))
                if free_task[k] and free_unit[i]:
                    free_task[k] = free_unit[i] = False
                    self._task[idle[i]] = tasks[k]
                    self._errand[idle[i]] = 0
                    if not (free_task.any() and free_unit.any()):
                        break
            self._open = [int(k) for k in tasks[free_task]]
        for u in range(len(self._task)):
            task = self._task[u]
            self.goal[u] = self._tasks[task][self._errand[u]] if task >= 0 else -1
