"""How a traffic manager takes a fleet over, also in the middle of operation.

It waits until every unit has been heard of and stands at the end of its base, then gives all
units an empty release of a new epoch. Once they report that epoch, nothing sent by a predecessor
can move them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from robo_stow.messages import I32, U8, FleetState, Release
from robo_stow.traffic.execution import F64, ExecutionGraph
from robo_stow.traffic.routes import Routes

Bools = NDArray[np.bool_]

GRACE = 30.0
"""s a unit is waited for at the start: to be heard of, to finish its base, to take the epoch."""

LAST_EPOCH = 1 << 31
"""An epoch beyond this was never given: no number of restarts leads there."""

AGAIN = 0.5
"""s after which a release that a unit does not report as known is sent again."""

Fence = Callable[[float, int, str, Iterable[int]], None]
"""Shuts a unit out: time, unit, why, cells to close besides those it has claimed."""


class _Stage(Enum):
    GATHER = 0  # waiting to hear of all units, at rest
    SYNC = 1  # waiting for all units to take the new epoch
    DONE = 2


class StartUp:
    """Gathers the units' states and brings all of them into one epoch.

    Args:
        units: number of units.
        routes: of the floor.
        longest: most actions a unit can have released and not done.
        fence: called for every unit that cannot be taken in.
        mark: 0 or more, of this process: epochs begin by so many later. Two managers that start at
            the same moment, unaware of each other, then do not give releases of one epoch.

    Public:
        epoch: of the fleet, when done.
        heard: Bools[units] whether the unit has been heard of.
        cell I32, heading U8, stamp F64: [units] last report of each.
        led: Bools[units] whether a predecessor had released to the unit.
    """

    def __init__(
        self, units: int, routes: Routes, longest: int, fence: Fence, mark: int = 0
    ) -> None:
        self.epoch = 0
        self._mark = mark
        self.heard = np.zeros(units, np.bool_)
        self.led = np.zeros(units, np.bool_)
        self.stamp: F64 = np.full(units, -np.inf)
        self.cell: I32 = np.full(units, -1, np.int32)
        self.heading: U8 = np.zeros(units, np.uint8)
        self._own = np.zeros(units, np.bool_)  # has followed this manager before
        self._epoch = np.zeros(units, np.uint32)
        self._done = np.zeros(units, np.uint32)
        self._released = np.zeros(units, np.uint32)
        self._changed = np.zeros(units)  # s, when a report last differed from the one before
        self._routes = routes
        self._longest = longest
        self._fence = fence
        self._stage = _Stage.GATHER
        self._since: float | None = None  # when the stage began
        self._next_sync = 0.0

    @property
    def done(self) -> bool:
        """Whether all units that are not fenced have taken the epoch."""
        return self._stage is _Stage.DONE

    def take(self, now: float, state: FleetState, which: I32) -> I32:
        """Take over entries ``which`` of a state; those of them that were news."""
        take = which[state.stamp > self.stamp[state.unit[which]]]
        unit = state.unit[take]
        if not len(unit):
            return take
        new = np.stack((state.epoch[take], state.done[take], state.released[take]))
        old = np.stack((self._epoch[unit], self._done[unit], self._released[unit]))
        changed = (new != old).any(axis=0) | (state.cell[take] != self.cell[unit])
        self._changed[unit[changed]] = now
        self.heard[unit] = True
        self.stamp[unit] = state.stamp
        self._epoch[unit], self._done[unit], self._released[unit] = new
        self.cell[unit] = state.cell[take]
        self.heading[unit] = state.heading[take] & 3
        return take

    def begin_again(
        self, now: float, graph: ExecutionGraph, fenced: Bools, unheard: Iterable[int]
    ) -> None:
        """Gather anew from what the execution graph knows.

        Args:
            fenced: Bools[units] whose entries of the graph say nothing.
            unheard: units that must report before they are taken in.
        """
        member = ~fenced
        self.stamp[member] = graph.stamp[member]
        self._epoch[member] = graph.epoch
        self._done[member] = graph.done[member]
        self._released[member] = graph.known[member]
        self.cell[member] = graph.cell[member]
        self.heading[member] = graph.heading[member]
        self._changed[:] = now
        self.heard[list(unheard)] = False
        self._stage = _Stage.GATHER
        self._since = now

    def step(self, now: float, fenced: Bools, pods_known: Callable[[], bool]) -> Release | None:
        """Go on with the start; what is to be sent.

        Args:
            fenced: Bools[units], seen again after each call of ``fence``.
            pods_known: whether every pod's place is known.
        """
        if self._since is None:
            if not self.heard.any():
                return None
            self._since = now
        late = now - self._since > GRACE
        if self._stage is _Stage.GATHER:
            resting = self.heard & (self._done == self._released)
            for unit in np.flatnonzero(~resting & ~fenced).tolist():
                if not late or (self.heard[unit] and now - self._changed[unit] <= GRACE):
                    return None
                self._shut_out(now, unit)
            if not pods_known():
                return None
            self._shut_out_impossible(now, fenced)
            self._begin_sync(now)
            late = False
        return self._sync(now, fenced, late)

    def _shut_out(self, now: float, unit: int) -> None:
        """Fence a unit; close the cells where it may be or still come to."""
        if not self.heard[unit]:
            self._fence(now, unit, "has not been heard of", ())
            return
        cell = int(self.cell[unit])
        if not self._routes.is_floor(cell):
            self._fence(now, unit, f"reports cell {cell}, which is no place to stand", ())
            return
        # Its base is not known here: it may lead over any exit for as many actions as are left.
        left = int(self._released[unit]) - int(self._done[unit])
        self._fence(
            now,
            unit,
            f"does not come to rest in cell {cell} ({left} actions left)",
            self._routes.within(cell, max(0, min(left, self._longest))),
        )

    def _shut_out_impossible(self, now: float, fenced: Bools) -> None:
        """Fence units that stand on no floor, and all units that report the same cell."""
        members = np.flatnonzero(~fenced)
        cells, counts = np.unique(self.cell[members], return_counts=True)
        shared = cells[counts > 1]
        for unit in members.tolist():
            cell = int(self.cell[unit])
            if not self._routes.is_floor(cell):
                self._fence(now, unit, f"reports cell {cell}, which is no place to stand", ())
            elif self._epoch[unit] > LAST_EPOCH:
                text = f"reports epoch {self._epoch[unit]}, which nobody has given"
                self._fence(now, unit, text, (cell,))
            elif cell in shared:
                self._fence(now, unit, f"reports cell {cell}, as another unit does", (cell,))

    def _begin_sync(self, now: float) -> None:
        self.led = ~self._own & (self._epoch != 0)
        heard = self._epoch[self.heard & (self._epoch <= LAST_EPOCH)]
        self.epoch = int(heard.max(initial=0)) + 1 + self._mark
        self._stage = _Stage.SYNC
        self._since = now
        self._next_sync = now

    def _sync(self, now: float, fenced: Bools, late: bool) -> Release | None:
        epoch = self.epoch
        if (self._epoch[~fenced] > epoch).any():
            self._stage = _Stage.GATHER  # somebody else releases too: begin again above them
            self._since = now
            return None
        waiting = np.flatnonzero(~fenced & (self._epoch != epoch)).astype(np.int32)
        if len(waiting) and late:
            for unit in waiting.tolist():
                self._fence(
                    now,
                    unit,
                    f"does not take epoch {epoch}",
                    self._routes.within(int(self.cell[unit]), self._longest),
                )
        elif len(waiting):
            return self._new_epoch(now, waiting)
        self._shut_out_impossible(now, fenced)
        self._own |= ~fenced
        self._stage = _Stage.DONE
        return None

    def _new_epoch(self, now: float, waiting: I32) -> Release | None:
        if now < self._next_sync:
            return None
        self._next_sync = now + AGAIN
        none = np.zeros(len(waiting), np.int32)
        return Release(
            stamp=now,
            epoch=self.epoch,
            unit=waiting,
            first=none.astype(np.uint32),
            origin=self.cell[waiting],
            count=none,
            action=np.zeros(0, np.uint8),
            cell=np.zeros(0, np.int32),
        )
