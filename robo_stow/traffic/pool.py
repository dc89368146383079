"""Which unit does which of the open tasks (2024 and 2026 benchmark forms).

A fixed number of tasks is open at any time; a finished one is replaced by the next of the list.
Units that have not met the first errand of a task are matched anew with the open tasks, some of
them in each step, cheapest pair first, by approach and length together.
"""

from __future__ import annotations

import ctypes

import numpy as np
from numpy.typing import NDArray

from robo_stow.floor.gridmap import Instance
from robo_stow.native import load
from robo_stow.traffic.planner import Planner


class TaskPool:
    """Open tasks and their units."""

    APPROACH_WEIGHT = 5.0
    """How much a step of approach counts against a step of the task itself: the length of a task
    has to be driven one day anyway, a long approach is lost."""

    LARGE_FLOOR = 8192
    """Free cells above which approaches are as the crow flies: there the planner's distance tables
    are only filled towards the units that drive, and filling them for every pair takes long."""

    PAIRS = 20_000
    """Pairs of a unit and a task that are compared in a step, but for units without a task."""

    def __init__(self, instance: Instance, planner: Planner) -> None:
        self._tasks = instance.tasks
        self._planner = planner
        self._width = instance.grid.width
        self._large = np.count_nonzero(instance.grid.exits) > self.LARGE_FLOOR
        self._core = load()
        units = len(instance.starts)
        self._room = int(instance.reveal * units)
        self._open = np.zeros(0, np.int64)
        self._first = np.array([task[0] for task in instance.tasks], np.int32)
        self._length = np.zeros(len(instance.tasks), np.float32)
        """[tasks] steps from the first errand to the last."""
        self._legs = [np.zeros(len(task), np.float32) for task in instance.tasks]
        """[tasks][errands] steps from each errand to the last."""
        self._next = 0
        self.task = np.full(units, -1)
        """[units] index of each unit's task, or -1."""
        self._errand = np.zeros(units, np.int64)
        self._log: list[tuple[int, int, int]] = []
        self._now = 0
        self._turn = 0
        self.goal = np.full(units, -1, np.int32)
        """[units] where each unit is to go, or -1."""
        self.next_goal = np.full(units, -1, np.int32)
        """[units] where it goes on to from there, or -1."""
        self.later = np.zeros(units, np.float32)
        """[units] steps from the goal to the end of the task."""
        self.done = 0

    def log(self) -> NDArray[np.int32]:
        """[done, 3] task index, unit, step done."""
        return np.array(self._log, np.int32).reshape(-1, 3)

    def step(
        self,
        cell: NDArray[np.int32],
        heading: NDArray[np.uint8],
        *,
        unfinished: int = 0,
        rematch: bool = True,
    ) -> NDArray[np.int32]:
        """Marks the errands met in these cells and returns every unit's goal.

        Args:
            unfinished: tasks counted as done here that are not done in fact and keep their place
                among the open ones, where units are later than their plan (2026 form).
            rematch: whether units on the way to the first errand of their task may be given
                another one.
        """
        for u in np.flatnonzero(cell == self.goal).tolist():
            task = int(self.task[u])
            self._errand[u] += 1
            if self._errand[u] == len(self._tasks[task]):
                self._log.append((task, u, self._now))
                self.done += 1
                self.task[u] = -1
            self._set_goal(u)
        self._now += 1
        self._reveal(unfinished)
        self._assign(cell, heading, rematch)
        return self.goal

    def _set_goal(self, unit: int) -> None:
        task, errand = int(self.task[unit]), int(self._errand[unit])
        left = self._tasks[task][errand : errand + 2] if task >= 0 else []
        self.goal[unit] = left[0] if left else -1
        self.next_goal[unit] = left[1] if len(left) > 1 else -1
        self.later[unit] = self._legs[task][errand] if left else 0.0

    def _reveal(self, unfinished: int) -> None:
        held = int((self.task >= 0).sum())
        count = min(self._room - held - unfinished - len(self._open), len(self._tasks) - self._next)
        if count <= 0:
            return
        fresh = range(self._next, self._next + count)
        self._next += count
        self._open = np.concatenate([self._open, np.array(fresh)])
        legs = [
            (a, b) for k in fresh for a, b in zip(self._tasks[k], self._tasks[k][1:], strict=False)
        ]
        start, end = np.array(legs, np.int32).reshape(-1, 2).T
        steps = self._planner.travel_times(start, np.zeros(len(start), np.uint8), end)
        used = 0
        for k in fresh:
            count = len(self._tasks[k]) - 1
            self._legs[k][:count] = np.cumsum(steps[used : used + count][::-1])[::-1]
            self._length[k] = self._legs[k][0]
            used += count

    def _assign(self, cell: NDArray[np.int32], heading: NDArray[np.uint8], rematch: bool) -> None:
        """Greedy matching, cheapest pair first, of units that may change and open tasks."""
        idle = np.flatnonzero(self.task < 0)
        under_way = np.flatnonzero((self.task >= 0) & (self._errand == 0))
        under_way = np.roll(under_way, -self._turn)
        room = self.PAIRS // max(len(self._open) + len(under_way), 1) - len(idle)
        room = max(room, 0) if rematch else 0
        self._turn += room
        unit = np.concatenate([idle, under_way[:room]])
        held = self.task[unit]
        tasks = np.concatenate([self._open, held[held >= 0]])
        if not len(unit) or not len(tasks):
            return
        approach = self._approach(cell[unit], heading[unit], self._first[tasks])
        cost = np.float32(self.APPROACH_WEIGHT) * approach + self._length[tasks]
        choice = np.empty(len(unit), np.int32)
        scratch = np.empty(len(unit), np.int32), np.empty(len(tasks), np.uint8)
        self._core.rs_assign(
            ctypes.c_int32(len(unit)),
            ctypes.c_int32(len(tasks)),
            *(
                array.ctypes.data_as(ctypes.c_void_p)
                for array in (np.ascontiguousarray(cost), choice, *scratch)
            ),
        )
        self.task[unit] = np.where(choice >= 0, tasks[choice], -1)
        self._errand[unit] = 0
        free = np.ones(len(tasks), bool)
        free[choice[choice >= 0]] = False
        self._open = tasks[free]
        for u in unit[self.task[unit] != held].tolist():
            self._set_goal(u)

    def _approach(
        self, cell: NDArray[np.int32], heading: NDArray[np.uint8], first: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        """[units, tasks] steps from these units to these cells."""
        if self._large:
            rows, columns = np.divmod(cell, self._width)
            to_rows, to_columns = np.divmod(first, self._width)
            crow: NDArray[np.float32] = np.abs(rows[:, None] - to_rows).astype(np.float32)
            crow += np.abs(columns[:, None] - to_columns)
            return crow
        steps = self._planner.travel_times(
            np.tile(cell, len(first)), np.tile(heading, len(first)), np.repeat(first, len(cell))
        )
        steps[steps < 0] = 1e6  # no way: dearer than every other
        pairs: NDArray[np.float32] = steps.reshape(len(first), len(cell)).T
        return pairs
