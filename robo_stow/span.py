"""Steps in which only the drive units move: many in one call of C (``src/loop/span.c``)."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, byref, c_double, c_int32, c_int64, c_uint64, c_void_p

import numpy as np
from numpy.typing import NDArray

from robo_stow.drive.motion import DriveUnits
from robo_stow.monitor import MonitorCore
from robo_stow.native import load
from robo_stow.sim.faults import Faults
from robo_stow.traffic.manager import TrafficManager
from robo_stow.traffic.startup import AGAIN

_POINTERS = (
    *("fleet", "execution", "tick", "checker", "tally", "end", "load", "load_id", "status"),
    *("verdict", "pod_cell"),
)
_NUMBERS = ("step", "again", "late_share", "late_seconds")
_BUFFERS = (*("number", "stamp", "unit", "first", "origin", "count", "taken", "action", "cell"),)


# Why a span has ended before its time (RS_SPAN_...): flags.
ENDED = 1
"""A unit has done all actions of its errand."""
CHANGED = 2
"""A unit's status has changed."""
ODD = 4
"""Traffic has not taken a report."""
CONFLICT = 8
"""The checker has something to tell."""
FAILED = 16
"""A unit could not do an action."""
TICK = 32
"""A tick of traffic is due that is the caller's, or has more to it than planning."""


class _Span(ctypes.Structure):
    """rs_span of src/loop/span.h."""

    _fields_ = (
        *((name, c_void_p) for name in _POINTERS),
        *((name, c_double) for name in _NUMBERS),
        ("seed", c_uint64),
        *((name, c_void_p) for name in _BUFFERS),
    )


class Span:
    """Moves units, and carries their states to traffic, checker and tally, as the cores would.

    Args:
        step: s of a step.

    Public: ``verdict``, U8[units] what traffic made of the last states (`Verdict`).
    """

    def __init__(
        self,
        units: DriveUnits,
        faults: Faults,
        traffic: TrafficManager,
        monitor: MonitorCore,
        step: float,
    ) -> None:
        n = units.n
        watched = traffic.watched()
        self.verdict = np.zeros(n, np.uint8)
        self._checker = monitor.checker
        arrays: dict[str, NDArray[np.generic]] = {
            "end": watched.end,
            "load": watched.load,
            "load_id": watched.load_id,
            "status": watched.status,
            "verdict": self.verdict,
            "pod_cell": monitor.pods,
            "number": units.unit,
            "stamp": np.zeros(n),
            "unit": np.zeros(n, np.int32),
            "first": np.zeros(n, np.uint32),
            "origin": np.zeros(n, np.int32),
            "count": np.zeros(n, np.int32),
            "taken": np.zeros(n, np.int32),
            "action": np.zeros(watched.graph.most_actions, np.uint8),
            "cell": np.zeros(watched.graph.most_actions, np.int32),
        }
        # C holds their addresses.
        self._kept = (arrays, units, watched, monitor)
        self._span = _Span(
            fleet=ctypes.addressof(units.struct),
            execution=watched.graph.address,
            tick=watched.tick.address,
            checker=ctypes.addressof(monitor.checker.struct),
            tally=ctypes.addressof(monitor.tally.struct),
            step=step,
            again=AGAIN,
            late_share=faults.spec.late_share,
            late_seconds=faults.spec.late_seconds,
            seed=faults.seed,
            **{name: array.ctypes.data for name, array in arrays.items()},
        )
        self._run = load().rs_span_run
        self._run.argtypes = (c_void_p, c_int64, c_int32, c_int32, POINTER(c_int32))
        self._run.restype = c_int32
        self._ran = c_int32()
        self._pointers = byref(self._span), byref(self._ran)

    def run(self, tick: int, steps: int) -> tuple[int, int]:
        """Go on from step number ``tick`` by at most ``steps``.

        Returns:
            Steps done, and why it ended early: flags as above.
        """
        span, ran = self._pointers
        told = self._run(span, tick, steps, self._checker.lasts, ran)
        return self._ran.value, told
