"""Where pods and units stand when a building opens."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robo_stow.floor.building import Building, CellKind

_POD_SALT = 101
_UNIT_SALT = 102


def _storage(building: Building) -> NDArray[np.int32]:
    return np.flatnonzero(building.grid.kind == CellKind.STORAGE).astype(np.int32)


def pod_cells(building: Building, seed: int) -> NDArray[np.int32]:
    """Storage cell of every pod, [pods], all different; free cells lie anywhere."""
    rng = np.random.default_rng([seed, _POD_SALT])
    return rng.permutation(_storage(building))[: building.pods]


def unit_cells(building: Building, seed: int) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Storage cell, [units], all different, and heading of every unit; a pod may stand there."""
    rng = np.random.default_rng([seed, _UNIT_SALT])
    cells = rng.permutation(_storage(building))[: building.units]
    return cells, rng.integers(0, 4, building.units).astype(np.uint8)
