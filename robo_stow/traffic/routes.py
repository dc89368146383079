"""Which cells can be reached from which."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix  # type: ignore[import-untyped]
from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]

from robo_stow.floor.building import CellKind, Grid
from robo_stow.messages import I32


class Routes:
    """Which cells can be reached from which, by the exits alone."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._storage = np.asarray(grid.kind == CellKind.STORAGE)
        self._successors: list[list[int]] = [[] for _ in range(grid.cells)]
        self._predecessors: list[list[int]] = [[] for _ in range(grid.cells)]
        pairs = []
        for cell in np.flatnonzero(grid.exits).tolist():
            for heading in range(4):
                ahead = grid.neighbour(cell, heading) if grid.exits[cell] >> heading & 1 else -1
                if ahead >= 0:
                    self._successors[cell].append(ahead)
                    self._predecessors[ahead].append(cell)
                    pairs.append((cell, ahead))
        edges = np.array(pairs, np.int64).reshape(-1, 2)
        aisle = ~self._storage[edges].any(axis=1)
        self._component = self._components(edges)
        self._aisle_component = self._components(edges[aisle])

    def _components(self, edges: NDArray[np.int64]) -> I32:
        cells = self._grid.cells
        ones = np.ones(len(edges), np.uint8)
        graph = csr_matrix((ones, (edges[:, 0], edges[:, 1])), shape=(cells, cells))
        labels: I32 = connected_components(graph, directed=True, connection="strong")[1]
        return labels

    def is_floor(self, cell: int) -> bool:
        """Whether a unit can be in the cell."""
        return 0 <= cell < self._grid.cells and bool(self._grid.kind[cell] != CellKind.WALL)

    def within(self, cell: int, moves: int) -> tuple[int, ...]:
        """The cells that ``moves`` moves can lead to, nearest first."""
        far = {cell: 0}
        queue = deque([cell])
        while queue:
            at = queue.popleft()
            for ahead in self._successors[at] if far[at] < moves else ():
                if ahead not in far:
                    far[ahead] = far[at] + 1
                    queue.append(ahead)
        return tuple(far)

    def reaches(self, start: int, goal: int, loaded: bool) -> bool:
        """Whether the exits lead from start to goal; loaded: not through storage cells between."""
        if start == goal:
            return True
        if not loaded:
            if self._component[start] == self._component[goal]:
                return True
        else:
            out = self._successors[start] if self._storage[start] else [start]
            into = self._predecessors[goal] if self._storage[goal] else [goal]
            if goal in out:
                return True
            label = self._aisle_component
            if {int(label[c]) for c in out if not self._storage[c]} & {
                int(label[c]) for c in into if not self._storage[c]
            }:
                return True
        return self._search(start, goal, loaded)

    def _search(self, start: int, goal: int, loaded: bool) -> bool:
        seen = {start}
        queue = deque([start])
        while queue:
            for ahead in self._successors[queue.popleft()]:
                if ahead == goal:
                    return True
                if ahead not in seen and not (loaded and self._storage[ahead]):
                    seen.add(ahead)
                    queue.append(ahead)
        return False
