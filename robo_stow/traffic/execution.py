"""Safe execution of joint plans: releases in the order of an action dependency graph.

Joint steps of the planner become queues: of actions for each unit, of visits for each cell. A unit
is released into a cell once all earlier visitors have reported that they are gone; delays of any
length therefore cost time only, and plans without closed rings of followers never lock up
(Hönig et al., "Persistent and Robust Execution of MAPF Schedules in Warehouses", RA-L 2019;
Varambally, Li, Koenig, "Which MAPF Model Works Best for Automated Warehousing?", SoCS 2022).
The work is done in C (``src/execution``).
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, byref, c_double, c_int32, c_size_t, c_uint8, c_uint32, c_void_p
from enum import IntEnum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from robo_stow.messages import I32, U8, U32, FleetState, Release
from robo_stow.native import load

F64 = NDArray[np.float64]


class Verdict(IntEnum):
    """What `ExecutionGraph.report` made of one unit's report (RS_REPORT_* in execution.h)."""

    OK = 0
    STALE = 1  # not newer than the last one: ignored
    FENCED = 2  # the unit is fenced or takes no part: ignored
    UNIT = 3  # from here on faults, of which nothing is taken over: no such unit
    EPOCH = 4  # not the epoch of these releases
    BACK = 5  # fewer actions done or known than before
    BEYOND = 6  # more actions done or known than it was given
    CELL = 7  # a cell that is not on its path
    HEADING = 8  # a heading that is not on its path


class PlanError(ValueError):
    """A joint step that cannot be executed safely; nothing of it was queued.

    Args:
        unit: a unit at fault.
        reason: what is wrong with its action.
    """

    def __init__(self, unit: int, reason: str) -> None:
        self.unit = unit
        self.reason = reason
        super().__init__(f"unit {unit}: {reason}")


COMMIT_ERRORS = {
    1: "an action that may not be planned",
    2: "more actions planned than there is room for",
    3: "an action for a unit that is fenced or takes no part",
    4: "leaves the grid",
    5: "enters a cell that another unit enters or stays in",
    6: "is part of a closed ring of units",
}

_VIEW = (
    *(("cell", np.int32), ("heading", np.uint8), ("end_cell", np.int32)),
    *(("end_heading", np.uint8), ("planned", np.uint32), ("base", np.uint32)),
    *(("sent", np.uint32), ("known", np.uint32), ("done", np.uint32), ("stamp", np.float64)),
    ("fenced", np.uint8),
)


class _View(ctypes.Structure):
    """rs_execution_view of execution.h."""

    _fields_ = tuple((name, c_void_p) for name, _ in _VIEW)


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL:
    core = load()
    size4 = (c_int32, c_int32, c_int32, c_int32)
    core.rs_execution_bytes.argtypes = size4
    core.rs_execution_bytes.restype = c_size_t
    core.rs_execution_init.argtypes = (c_void_p, *size4, c_int32)
    core.rs_execution_init.restype = c_void_p
    core.rs_execution_get_view.argtypes = (c_void_p, POINTER(_View))
    core.rs_execution_get_view.restype = None
    core.rs_execution_reset.argtypes = (c_void_p, c_uint32, *(c_void_p,) * 3)
    core.rs_execution_reset.restype = c_int32
    core.rs_execution_commit.argtypes = (c_void_p, c_void_p, POINTER(c_int32))
    core.rs_execution_append.argtypes = (c_void_p, c_int32, c_uint8)
    core.rs_execution_withdraw.argtypes = (c_void_p, c_int32)
    core.rs_execution_truncate.argtypes = (c_void_p,)
    core.rs_execution_truncate.restype = None
    core.rs_execution_fence.argtypes = (c_void_p, c_int32)
    core.rs_execution_fence.restype = None
    core.rs_execution_report.argtypes = (c_void_p, c_int32, *(c_void_p,) * 8)
    core.rs_execution_report.restype = c_int32
    core.rs_execution_release.argtypes = (c_void_p,)
    core.rs_execution_release.restype = c_int32
    core.rs_execution_collect.argtypes = (c_void_p, c_double, c_double, *(c_void_p,) * 7)
    core.rs_execution_collect.restype = c_int32
    core.rs_execution_claims.argtypes = (c_void_p, c_int32, c_int32, c_void_p)
    core.rs_execution_claims.restype = c_int32
    return core


class ExecutionGraph:
    """Planned, released and done actions of ``units`` units on a ``width`` x ``height`` grid.

    Args:
        capacity: most actions a unit may have planned and not reported done.
        ahead: most actions released beyond those reported done.

    Read-only arrays, [units]; they change with every call:
        cell I32, heading U8: after the last action reported done; cell -1: takes no part.
        end_cell I32, end_heading U8: after the last action planned.
        planned, base, sent, known, done U32: actions of this epoch planned, released, handed out
            by `collect`, reported as known to the unit, reported done.
        stamp F64: s, of the newest report taken.
        fenced U8.

    Raises:
        ValueError: sizes out of range.
    """

    cell: I32
    heading: U8
    end_cell: I32
    end_heading: U8
    planned: U32
    base: U32
    sent: U32
    known: U32
    done: U32
    stamp: F64
    fenced: U8

    def __init__(self, units: int, width: int, height: int, *, capacity: int, ahead: int) -> None:
        library = self._c = _library()
        slots = 1 << max(1, int(capacity)).bit_length()  # a power of two > capacity
        size = library.rs_execution_bytes(units, width, height, slots)
        if not size or ahead < 1 or capacity < 1:
            raise ValueError(
                f"no execution graph for {units} units on {width} x {height} cells "
                f"with capacity {capacity}, ahead {ahead}"
            )
        self.units = units
        self.epoch = 0
        self._memory = np.zeros((size + 7) // 8, np.uint64)  # aligned to 8 bytes
        self._e = library.rs_execution_init(
            self._memory.ctypes.data, units, width, height, slots, ahead
        )
        view = _View()
        library.rs_execution_get_view(self._e, byref(view))
        block = self._memory.view(np.uint8)
        for name, dtype in _VIEW:
            at = (getattr(view, name) or 0) - self._memory.ctypes.data
            array = block[at : at + units * np.dtype(dtype).itemsize].view(dtype)
            array.flags.writeable = False
            setattr(self, name, array)
        # Buffers of `collect` and `claims`, so that a step allocates only what it returns.
        self._unit = np.zeros(units, np.int32)
        self._first = np.zeros(units, np.uint32)
        self._origin = np.zeros(units, np.int32)
        self._count = np.zeros(units, np.int32)
        self._action = np.zeros(units * slots, np.uint8)
        self._cell = np.zeros(units * slots, np.int32)
        self._actions = c_int32()
        self._collect = (
            *(self._unit.ctypes.data, self._first.ctypes.data, self._origin.ctypes.data),
            *(self._count.ctypes.data, self._action.ctypes.data, self._cell.ctypes.data),
            byref(self._actions),
        )
        self._claims = np.zeros(slots, np.int32)
        self.most_actions = units * slots
        """Actions that `collect` may hand out at a time."""

    @property
    def address(self) -> int:
        """Address of the rs_execution."""
        return int(self._e)

    def reset(self, epoch: int, cell: I32, heading: U8, stamp: F64 | None = None) -> None:
        """Forget everything and begin ``epoch`` with units at rest.

        Args:
            cell: I32[units]; -1 for a unit that takes no part.
            heading: U8[units].
            stamp: F64[units] s, of the states this is taken from: reports that are not newer
                are stale; None: no report is.

        Raises:
            PlanError: a cell is out of range or taken twice; no unit takes part then.
        """
        cell = np.ascontiguousarray(cell, np.int32)
        heading = np.ascontiguousarray(heading, np.uint8)
        stamp = np.full(self.units, -np.inf) if stamp is None else stamp
        stamp = np.ascontiguousarray(stamp, np.float64)
        self._check(cell, heading, stamp)
        self.epoch = epoch
        bad = self._c.rs_execution_reset(
            self._e, epoch, cell.ctypes.data, heading.ctypes.data, stamp.ctypes.data
        )
        if bad >= 0:
            raise PlanError(bad, "starts in a cell that is taken or outside the grid")

    def _check(self, *arrays: NDArray[np.generic]) -> None:
        if any(array.shape != (self.units,) for array in arrays):
            raise ValueError(f"arrays of shape ({self.units},) expected")

    def commit(self, action: U8) -> None:
        """Queue one joint step from the planned ends of all units.

        Args:
            action: U8[units] planner codes; WAIT queues nothing.

        Raises:
            PlanError: the step is unsafe: nothing was queued.
        """
        action = np.ascontiguousarray(action, np.uint8)
        self._check(action)
        unit = c_int32()
        code = self._c.rs_execution_commit(self._e, action.ctypes.data, byref(unit))
        if code:
            raise PlanError(unit.value, COMMIT_ERRORS[code])

    def append(self, unit: int, action: int) -> None:
        """Queue an operation (LIFT and above) at the planned end of one unit.

        Raises:
            PlanError: not an operation, no room, or the unit takes no part.
        """
        code = self._c.rs_execution_append(self._e, unit, action)
        if code:
            raise PlanError(unit, COMMIT_ERRORS[code])

    def withdraw(self, unit: int) -> bool:
        """Take back the unit's last action if it is an operation and not released."""
        return bool(self._c.rs_execution_withdraw(self._e, unit))

    def truncate(self) -> None:
        """Take back all that is not released; every unit is planned to stop at its base's end."""
        self._c.rs_execution_truncate(self._e)

    def fence(self, unit: int) -> None:
        """Release nothing more to the unit, ignore its reports, and leave it its claimed cells."""
        self._c.rs_execution_fence(self._e, unit)

    def report(self, state: FleetState) -> U8 | None:
        """Take over what units report, each entry on its own.

        Returns:
            None when every entry was taken, otherwise U8[k] `Verdict` of each.
        """
        k = len(state.unit)
        verdict = np.zeros(k, np.uint8)
        stamp = np.full(k, state.stamp, np.float64)
        unit = np.ascontiguousarray(state.unit, np.int32)
        epoch = np.ascontiguousarray(state.epoch, np.uint32)
        done = np.ascontiguousarray(state.done, np.uint32)
        known = np.ascontiguousarray(state.released, np.uint32)
        cell = np.ascontiguousarray(state.cell, np.int32)
        heading = np.ascontiguousarray(state.heading, np.uint8)
        if not k == len(epoch) == len(done) == len(known) == len(cell) == len(heading):
            raise ValueError("the arrays of a fleet state differ in length")
        self._c.rs_execution_report(
            self._e,
            k,
            stamp.ctypes.data,
            unit.ctypes.data,
            epoch.ctypes.data,
            done.ctypes.data,
            known.ctypes.data,
            cell.ctypes.data,
            heading.ctypes.data,
            verdict.ctypes.data,
        )
        return verdict if verdict.any() else None

    def release(self) -> int:
        """Release all that may be; returns the number of units with a new end of base."""
        return int(self._c.rs_execution_release(self._e))

    def collect(self, now: float, again: float) -> Release | None:
        """What is to be sent now: ends of base not yet sent, or not known ``again`` s after.

        Each unit gets all it does not know, so one message makes up for any number of lost ones.
        """
        k = self._c.rs_execution_collect(self._e, now, again, *self._collect)
        if not k:
            return None
        n = self._actions.value
        return Release(
            stamp=now,
            epoch=self.epoch,
            unit=self._unit[:k].copy(),
            first=self._first[:k].copy(),
            origin=self._origin[:k].copy(),
            count=self._count[:k].copy(),
            action=self._action[:n].copy(),
            cell=self._cell[:n].copy(),
        )

    def claims(self, unit: int, *, planned: bool = False) -> I32:
        """Cells the unit is in or has been released into, oldest first; I32[n].

        Args:
            planned: also those it is only planned into.
        """
        count = self._c.rs_execution_claims(self._e, unit, planned, self._claims.ctypes.data)
        cells: I32 = self._claims[:count].copy()
        return cells

    @property
    def backlog(self) -> U32:
        """U32[units] actions planned and not reported done."""
        return self.planned - self.done
