"""Distances for loaded units: steps on the one-way grid, around storage cells."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robo_stow.floor.building import Building, CellKind

I32 = NDArray[np.int32]

FAR = 1 << 20
"""Distance of a cell that cannot be reached."""


class Ways:
    """Steps between cells, table by table when first asked for.

    A loaded unit may start or end in a storage cell but not pass through one. Turns, other units
    and the cost of cells are left out: these are estimates to choose by, not plans.
    """

    def __init__(self, building: Building) -> None:
        grid = building.grid
        self.width = grid.width
        self._exits = grid.exits
        self._storage = grid.kind == CellKind.STORAGE
        self._offset = (1, grid.width, -1, -grid.width)
        self._to: dict[int, I32] = {}
        self._from: dict[int, I32] = {}
        drive = building.drive
        self._handling = drive.lift_time + drive.turn_time
        # A stretch of a few cells between turns, and now and then a wait.
        self.seconds_a_step = 1.3 * grid.pitch / drive.max_speed + drive.turn_time / 16
        """Rough time of one step, s."""

    def to(self, cell: int) -> I32:
        """Steps from every cell to ``cell``, [cells]."""
        table = self._to.get(cell)
        if table is None:
            table = self._to[cell] = self._table(cell, forward=False)
        return table

    def away(self, cell: int) -> I32:
        """Steps from ``cell`` to every cell, [cells]."""
        table = self._from.get(cell)
        if table is None:
            table = self._from[cell] = self._table(cell, forward=True)
        return table

    def fetch_seconds(self, cell: int, pods: I32) -> float:
        """Rough time (s) to send a unit for a pod in one of the cells ``pods`` and to ``cell``."""
        steps = self.to(cell)[pods]
        steps = steps[steps < FAR]
        mean = float(steps.mean()) if len(steps) else 0.0
        # The unit's way to the pod is about as long as a third of the pod's to the station.
        return 4.0 / 3.0 * mean * self.seconds_a_step + self._handling

    def _table(self, start: int, forward: bool) -> I32:
        exits, count = self._exits, len(self._exits)
        steps = np.full(count, FAR, np.int32)
        steps[start] = 0
        front = np.array([start], np.int64)
        first = np.empty(count, np.int64)  # place of a cell among those reached in one step
        distance = 0
        while len(front):
            distance += 1
            found = []
            for heading, offset in enumerate(self._offset):
                if forward:
                    found.append(front[(exits[front] >> heading & 1) == 1] + offset)
                else:
                    before = front - offset
                    before = before[(before >= 0) & (before < count)]
                    found.append(before[(exits[before] >> heading & 1) == 1])
            reached = np.concatenate(found)
            reached = reached[steps[reached] == FAR]
            order = np.arange(len(reached))
            first[reached] = order
            reached = reached[first[reached] == order]  # each once
            steps[reached] = distance
            front = reached[~self._storage[reached]]
        steps.setflags(write=False)
        return steps
