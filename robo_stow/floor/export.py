"""The floor in the forms that other programs read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robo_stow.floor.building import CellKind, Grid

FREE = 0
OCCUPIED = 100


def occupancy(grid: Grid) -> NDArray[np.int8]:
    """Cells as `nav_msgs/OccupancyGrid` holds them: [height, width], 100 wall, 0 free.

    Row 0 is the southernmost row and column 0 the westernmost (REP-103: x east, y north), so
    ``ravel()`` is the message's ``data`` with resolution ``grid.pitch`` and the origin at 0, 0.
    Storage cells are free: units drive beneath pods.
    """
    kind = grid.kind.reshape(grid.height, grid.width)[::-1]
    return np.where(kind == CellKind.WALL, OCCUPIED, FREE).astype(np.int8)
