"""The joint step that traffic plans and queues at every tick, in C (``src/traffic/tick.c``)."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from ctypes import c_double, c_int32, c_int64, c_void_p

import numpy as np
from numpy.typing import NDArray

from robo_stow.messages import I32
from robo_stow.native import load
from robo_stow.traffic.execution import COMMIT_ERRORS, ExecutionGraph, PlanError
from robo_stow.traffic.planner import INPUT_ERRORS, Planner

_COMMIT = 16

_STATE = (
    *("phase", "operation", "operating", "stands", "halted", "fenced", "load", "status"),
    *("goal", "priority", "deadline", "standing", "blocked"),
)
_SCRATCH = (
    *(("arrived", np.int32), ("wanted", np.uint8), ("cell", np.int32), ("aim", np.int32)),
    *(("heading", np.uint8), ("loaded", np.uint8), ("frozen", np.uint8), ("chosen", np.uint8)),
    *(("action", np.uint8), ("weight", np.float32), ("due", np.float32)),
)


class _Tick(ctypes.Structure):
    """rs_tick of src/traffic/tick.h."""

    _fields_ = (
        *((name, c_void_p) for name in ("planner", "execution")),
        *((name, c_int32) for name in ("units", "cells", "members", "limit", "by_hand")),
        *((name, c_int32) for name in ("code", "unit", "arrivals")),
        ("iterations", c_int64),
        *((name, c_double) for name in ("now", "next", "period", "move", "silence", "under_way")),
        *((name, c_void_p) for name in ("member", *_STATE, *(name for name, _ in _SCRATCH))),
    )


class Tick:
    """Plans one action of every unit at a time and queues them in the execution graph.

    Args:
        graph: of all units.
        limit: actions planned and not done with which a unit gets no more.
        period: s between ticks.
        move: s that a planned step takes.
        iterations: improvement attempts of the planner in each tick.
        silence: s by which a unit's newest report may be older than the fleet's.
        under_way: added to the priority of units on their way.
        state: arrays of the manager, [units] or [cells], that are read at every tick; they must
            stay where they are in memory.
    """

    def __init__(
        self,
        graph: ExecutionGraph,
        *,
        limit: int,
        period: float,
        move: float,
        iterations: int,
        silence: float,
        under_way: float,
        state: Mapping[str, NDArray[np.generic]],
    ) -> None:
        units, cells = graph.units, len(state["blocked"])
        scratch = {
            name: np.zeros(cells if name == "wanted" else units, dtype) for name, dtype in _SCRATCH
        }
        self._arrived = scratch["arrived"]
        self._kept: list[object] = [graph, *state.values(), *scratch.values()]  # C has addresses
        self._struct = _Tick(
            execution=graph.address,
            units=units,
            cells=cells,
            limit=limit,
            iterations=iterations,
            period=period,
            move=move,
            silence=silence,
            under_way=under_way,
            **{name: array.ctypes.data for name, array in {**state, **scratch}.items()},
        )
        self.address = ctypes.addressof(self._struct)
        """Address of the rs_tick."""
        core = load()
        self._begin, self._halts, self._plan = (
            *(core.rs_tick_begin, core.rs_tick_halts, core.rs_tick_plan),
        )
        self._begin.argtypes = (c_void_p, c_double)
        self._halts.argtypes = self._plan.argtypes = (c_void_p,)
        self._plan.restype = None

    def start(self, planner: Planner, members: I32, now: float) -> None:
        """Use a new planner, for the units ``members``; the first tick is at ``now`` (s)."""
        members = np.ascontiguousarray(members, np.int32)
        self._kept[:1] = [(planner, members)]
        self._struct.planner = planner.address
        self._struct.members = len(members)
        self._struct.member = members.ctypes.data
        self._struct.next = now

    @property
    def next(self) -> float:
        """Time (s) of the next tick."""
        return float(self._struct.next)

    @property
    def by_hand(self) -> bool:
        """Whether ticks must not be left to the embedded loop: there is more to do in them."""
        return bool(self._struct.by_hand)

    @by_hand.setter
    def by_hand(self, value: bool) -> None:
        self._struct.by_hand = value

    def begin(self, now: float) -> bool:
        """Whether it is time for a tick; then the time of the next one is set."""
        return bool(self._begin(self.address, now))

    def halts(self) -> bool:
        """Whether a unit has come to a halt that ``halted`` does not show, or the other way."""
        return bool(self._halts(self.address))

    def plan(self) -> None:
        """Plan and queue one joint step; on an error nothing is queued."""
        self._plan(self.address)

    def check(self) -> None:
        """Take note of how the last tick ended.

        Raises:
            PlanError: it could not be planned, or not be executed safely.
        """
        tick = self._struct
        code, tick.code = tick.code, 0
        if code > _COMMIT:
            raise PlanError(tick.unit, COMMIT_ERRORS[code - _COMMIT])
        if code:
            raise PlanError(tick.unit, INPUT_ERRORS[code])

    def arrivals(self) -> list[int]:
        """Units that the last tick has planned to reach their goals, once."""
        count, self._struct.arrivals = self._struct.arrivals, 0
        return self._arrived[:count].tolist() if count else []
