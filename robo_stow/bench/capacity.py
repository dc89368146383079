"""What a floor could carry at most, however many units and however clever the planning.

Upper bounds of pods delivered in a step, for pods fetched from and put back into storage cells
drawn alike, and stations drawn alike. Units that follow one another without a gap are allowed for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robo_stow.floor.building import Building, CellKind, Station


@dataclass(frozen=True)
class Capacity:
    """Pods a step (1) that the stations can pass, and that the ways to and from them carry."""

    stations: float
    ways: float

    @property
    def pods(self) -> float:
        """The smaller of both."""
        return min(self.stations, self.ways)


def floor_capacity(building: Building, handover: int) -> Capacity:
    """Bounds of a building whose stations hold a pod still for ``handover`` steps."""
    pace = sum(1.0 / period(building, station, handover) for station in building.stations)
    return Capacity(pace, _narrowest_cut(building))


def period(building: Building, station: Station, handover: int) -> int:
    """Least steps from one pod in a station's cell to the next: standing, turning, going on."""
    turns = [
        min((way_out - way_in) % 4, (way_in - way_out) % 4)
        for way_in in _ways_in(building, station.cell)
        for way_out in range(4)
        if building.grid.exits[station.cell] >> way_out & 1
    ]
    return handover + min(turns) + 1


def _ways_in(building: Building, cell: int) -> list[int]:
    """Headings in which a cell can be entered."""
    grid = building.grid
    row, col = divmod(cell, grid.width)
    before = ((0, row, col - 1), (1, row - 1, col), (2, row, col + 1), (3, row + 1, col))
    return [
        heading
        for heading, r, c in before
        if 0 <= r < grid.height
        and 0 <= c < grid.width
        and grid.exits[r * grid.width + c] >> heading & 1
    ]


def _narrowest_cut(building: Building) -> float:
    """Pods a step over the straight line through the floor that allows for the fewest.

    Loaded units cross a line on roads only, one a step on each. Between two rows (or columns) with
    a share s of the storage and a share p of the stations on one side, a pod goes s (1 - p) times
    to the other side on its way to the station and p (1 - s) times on its way back, and as often
    the other way.
    """
    grid = building.grid
    shape = (grid.height, grid.width)
    storage = (grid.kind == CellKind.STORAGE).reshape(shape)
    road = ((grid.kind != CellKind.WALL) & (grid.kind != CellKind.STORAGE)).reshape(shape)
    stations = np.zeros(grid.cells)
    stations[[station.cell for station in building.stations]] = 1.0
    exits = np.asarray(grid.exits).reshape(shape)
    least = np.inf
    for axis, there, back in ((0, 1, 3), (1, 0, 2)):  # south and north over rows, east and west
        s, p = (
            np.cumsum(count.sum(axis=1 - axis))[:-1] / count.sum()
            for count in (storage, stations.reshape(shape))
        )
        crossings = s * (1 - p) + p * (1 - s)
        for heading, ahead in ((there, True), (back, False)):
            lanes = _lanes(exits, road, axis, heading, ahead)
            over = crossings > 0
            least = min(least, float((lanes[over] / crossings[over]).min(initial=np.inf)))
    return least


def _lanes(
    exits: NDArray[np.uint8], road: NDArray[np.bool_], axis: int, heading: int, ahead: bool
) -> NDArray[np.int64]:
    """Roads that cross each line between two rows (axis 0) or columns (axis 1) in a heading."""
    near, far = (slice(None, -1), slice(1, None)) if ahead else (slice(1, None), slice(None, -1))
    at = (lambda part: (part, slice(None))) if axis == 0 else (lambda part: (slice(None), part))
    open_ways = (exits[at(near)] >> heading & 1).astype(np.bool_)
    crossing = open_ways & road[at(near)] & road[at(far)]
    return np.asarray(crossing.sum(axis=1 - axis))
