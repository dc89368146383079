"""Which unit does which of the open tasks (2024 and 2026 benchmark forms).

A fixed number of tasks is open at any time; a finished one is replaced by the next of the list. An
idle unit gets the open task that costs it least, approach and length together, and keeps it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robo_stow.floor.gridmap import Instance
from robo_stow.traffic.planner import Planner


class TaskPool:
    """Open tasks and their units."""

    APPROACH_WEIGHT = 5.0
    """How much a step of approach counts against a step of the task itself: the length of a task
    has to be driven one day anyway, a long approach is lost."""

    def __init__(self, instance: Instance, planner: Planner) -> None:
        self._tasks = instance.tasks
        self._planner = planner
        units = len(instance.starts)
        self._room = int(instance.reveal * units)
        self._open = np.zeros(0, np.int64)
        self._first = np.array([task[0] for task in instance.tasks], np.int32)
        self._length = np.zeros(len(instance.tasks), np.float32)
        self._next = 0
        self.task = np.full(units, -1)
        """[units] index of each unit's task, or -1."""
        self._errand = np.zeros(units, np.int64)
        self._log: list[tuple[int, int, int]] = []
        self._now = 0
        self.goal = np.full(units, -1, np.int32)
        """[units] where each unit is to go, or -1."""
        self.next_goal = np.full(units, -1, np.int32)
        """[units] where it goes on to from there, or -1."""
        self.done = 0

    def log(self) -> NDArray[np.int32]:
        """[done, 3] task index, unit, step done."""
        return np.array(self._log, np.int32).reshape(-1, 3)

    def step(
        self, cell: NDArray[np.int32], heading: NDArray[np.uint8], *, unfinished: int = 0
    ) -> NDArray[np.int32]:
        """Marks the errands met in these cells and returns every unit's goal.

        Args:
            unfinished: tasks counted as done here that are not done in fact and keep their place
                among the open ones, where units are later than their plan (2026 form).
        """
        for u in np.flatnonzero(cell == self.goal).tolist():
            task = int(self.task[u])
            self._errand[u] += 1
            if self._errand[u] == len(self._tasks[task]):
                self._log.append((task, u, self._now))
                self.done += 1
                self.task[u] = -1
            else:
                self._set_goal(u)
        self._now += 1
        self._reveal(unfinished)
        self._assign(cell, heading)
        return self.goal

    def _set_goal(self, unit: int) -> None:
        errands = self._tasks[self.task[unit]] if self.task[unit] >= 0 else []
        left = errands[self._errand[unit] : self._errand[unit] + 2] if errands else []
        self.goal[unit] = left[0] if left else -1
        self.next_goal[unit] = left[1] if len(left) > 1 else -1

    def _reveal(self, unfinished: int) -> None:
        held = int((self.task >= 0).sum())
        count = min(self._room - held - unfinished - len(self._open), len(self._tasks) - self._next)
        if count <= 0:
            return
        fresh = range(self._next, self._next + count)
        self._next += count
        self._open = np.concatenate([self._open, np.array(fresh)])
        legs = [
            (k, a, b)
            for k in fresh
            for a, b in zip(self._tasks[k], self._tasks[k][1:], strict=False)
        ]
        if legs:
            task, start, end = np.array(legs).T
            steps = self._planner.travel_times(start, np.zeros(len(start), np.uint8), end)
            np.add.at(self._length, task, steps)

    def _assign(self, cell: NDArray[np.int32], heading: NDArray[np.uint8]) -> None:
        """Greedy matching, cheapest pair first, of idle units and open tasks."""
        idle = np.flatnonzero(self.task < 0)
        if not len(idle):
            return
        tasks = self._open
        approach = self._planner.travel_times(
            np.tile(cell[idle], len(tasks)),
            np.tile(heading[idle], len(tasks)),
            np.repeat(self._first[tasks], len(idle)),
        ).reshape(len(tasks), len(idle))
        cost = self.APPROACH_WEIGHT * approach + self._length[tasks, None]
        free_task, free_unit = np.ones(len(tasks), bool), np.ones(len(idle), bool)
        left = min(len(tasks), len(idle))
        for pair in np.argsort(cost, axis=None, kind="stable").tolist():
            if left == 0:
                break
            k, i = divmod(pair, len(idle))
            if free_task[k] and free_unit[i]:
                free_task[k] = free_unit[i] = False
                self.task[idle[i]] = tasks[k]
                self._errand[idle[i]] = 0
                left -= 1
        self._open = tasks[free_task]
        for u in idle.tolist():
            self._set_goal(u)
