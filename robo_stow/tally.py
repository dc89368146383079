"""Counts over the fleet's states, kept up in C (``src/watch/tally.c``)."""

from __future__ import annotations

import ctypes
from ctypes import c_double, c_int32, c_void_p

import numpy as np
from numpy.typing import NDArray

from robo_stow.messages import I32, FleetState
from robo_stow.native import load

_ARRAYS = ("entered", "cell", "speed", "load", "status")


class TallyStruct(ctypes.Structure):
    """rs_tally of src/watch/tally.h."""

    _fields_ = (
        *((name, c_int32) for name in ("units", "cells")),
        *((name, c_double) for name in ("stamp", "active", "all")),
        *((name, c_void_p) for name in _ARRAYS),
    )


class Units:
    """The latest of every drive unit: an array for each field of `FleetState`, [units]."""

    def __init__(self, count: int) -> None:
        self.cell: I32 = np.full(count, -1, np.int32)  # -1: not heard of yet
        self.x, self.y, self.yaw, self.speed, self.battery = np.zeros((5, count), np.float32)
        self.load, self.status = np.zeros((2, count), np.uint8)
        self.load_id: I32 = np.full(count, -1, np.int32)
        self.done = np.zeros(count, np.uint32)

    def update(self, state: FleetState) -> None:
        """Take over what ``state`` says of its units."""
        for field, values in vars(self).items():
            values[state.unit] = getattr(state, field)


class Tally:
    """Where units have been, and for how long they were at work.

    Args:
        units: cells, speeds, loads and statuses as last reported; kept up by the tally.
        cells: of the floor.

    Public, to be read only: ``entered`` I64[cells], times a unit came into the cell; ``struct``,
    what C works on.
    """

    def __init__(self, units: Units, cells: int) -> None:
        self.entered: NDArray[np.int64] = np.zeros(cells, np.int64)
        self._units = units  # C holds the addresses of its arrays
        self.struct = TallyStruct(
            units=len(units.cell),
            cells=cells,
            entered=self.entered.ctypes.data,
            cell=units.cell.ctypes.data,
            speed=units.speed.ctypes.data,
            load=units.load.ctypes.data,
            status=units.status.ctypes.data,
        )
        self._c_take = load().rs_tally_take
        self._c_take.argtypes = (c_void_p, c_double, c_int32, *(c_void_p,) * 5)
        self._c_take.restype = None

    @property
    def active(self) -> float:
        """Unit seconds at work: moving or loaded."""
        return float(self.struct.active)

    @property
    def all(self) -> float:
        """Unit seconds in all."""
        return float(self.struct.all)

    def take(self, state: FleetState) -> None:
        """Take states of all units or of some."""
        fields = (
            *((state.unit, np.int32), (state.cell, np.int32), (state.speed, np.float32)),
            *((state.load, np.uint8), (state.status, np.uint8)),
        )
        arrays = [np.ascontiguousarray(array, dtype) for array, dtype in fields]
        addresses = [array.ctypes.data for array in arrays]
        self._c_take(ctypes.byref(self.struct), state.stamp, len(arrays[0]), *addresses)
