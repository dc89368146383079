"""Drive units as fulfilment sees them: state, errands, and who is free."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from robo_stow.floor.building import Building
from robo_stow.fulfilment.patience import Patience
from robo_stow.messages import (
    ErrandReports,
    ErrandResult,
    Errands,
    FleetState,
    Load,
    Operation,
    UnitStatus,
)

REPEAT = 3.0
"""Seconds after which an errand without a report is sent again, later more rarely."""


# numpy compares with plain numbers five times as fast as with members of an enumeration
_EMPTY, _STOPPED = int(Load.NONE), int(UnitStatus.STOPPED)


class Priority(float, Enum):
    """Who goes first; larger is more urgent."""

    PARK = 0.5
    CHARGE = 1.0
    FETCH = 2.0
    STORE = 3.0
    DELIVER = 4.0


class Task(Protocol):
    """What a unit is busy with."""

    def reported(self, result: ErrandResult, now: float) -> None:
        """The unit's errand has ended."""
        ...

    def unit_down(self, now: float) -> None:
        """The unit stopped or died."""
        ...

    def unit_up(self, now: float) -> None:
        """The unit works again."""
        ...


@dataclass(slots=True)
class _Errand:
    number: int
    goal: int
    operation: int
    hold: bool
    priority: float
    due: float
    patience: Patience
    open: bool  # no report yet


class Units:
    """State of the fleet, the errands of each unit, and the free units.

    A unit is free when it has no task, is in order and carries nothing.
    """

    def __init__(self, building: Building) -> None:
        n = building.units
        self.count = n
        self.cell: NDArray[np.int32] = np.full(n, -1, np.int32)
        self.load: NDArray[np.uint8] = np.zeros(n, np.uint8)
        self.load_id: NDArray[np.int32] = np.full(n, -1, np.int32)
        self.battery: NDArray[np.float32] = np.ones(n, np.float32)
        self.status: NDArray[np.uint8] = np.zeros(n, np.uint8)
        self.down: NDArray[np.bool_] = np.zeros(n, np.bool_)
        self.task: list[Task | None] = [None] * n
        self._idle: NDArray[np.bool_] = np.ones(n, np.bool_)  # no task
        self._errand: list[_Errand | None] = [None] * n
        self._number = [0] * n
        self._outgoing: dict[int, None] = {}
        self._width = building.grid.width
        self.known = False
        """Whether the state of every unit has been seen."""

    def start(self, now: float) -> None:
        """Number errands from the clock, so that they grow across a restart too."""
        self._number = [int(now)] * self.count

    def on_state(self, state: FleetState) -> None:
        """Take the latest state."""
        if len(state.unit) == self.count:
            self.cell, self.load, self.load_id = state.cell, state.load, state.load_id
            self.battery, self.status = state.battery, state.status
            self.known = True
            return
        for name in ("cell", "load", "load_id", "battery", "status"):
            array = getattr(self, name).copy()
            array[state.unit] = getattr(state, name)
            setattr(self, name, array)
        self.known = bool((self.cell >= 0).all())

    # -- errands --------------------------------------------------------------------------------

    def send(
        self,
        unit: int,
        goal: int,
        operation: int,
        hold: bool,
        priority: float,
        now: float,
        due: float = math.inf,
    ) -> None:
        """Give ``unit`` a new errand, which replaces the one before; it should be there by ``due``
        (s)."""
        self._number[unit] += 1
        patience = Patience(REPEAT, now)
        self._errand[unit] = _Errand(
            self._number[unit], goal, operation, hold, float(priority), due, patience, True
        )
        self._outgoing[unit] = None

    def ended(self, reports: ErrandReports) -> list[tuple[int, ErrandResult]]:
        """Units whose present errand ended, once each, and how."""
        ended = []
        for unit, number, result in zip(
            reports.unit.tolist(), reports.errand.tolist(), reports.result.tolist(), strict=True
        ):
            errand = self._errand[unit]
            if errand is not None and errand.number == number and errand.open:
                errand.open = False
                ended.append((unit, ErrandResult(result)))
        return ended

    def repeat(self, now: float) -> None:
        """Send errands again whose report is missing."""
        for unit, errand in enumerate(self._errand):
            if errand is not None and errand.open and errand.patience.over(now):
                self._outgoing[unit] = None

    def outgoing(self, now: float) -> Errands | None:
        """New and repeated errands of this step."""
        if not self._outgoing:
            return None
        pairs = [(unit, errand) for unit in self._outgoing if (errand := self._errand[unit])]
        self._outgoing = {}
        return Errands(
            now,
            np.array([unit for unit, _ in pairs], np.int32),
            np.array([e.number for _, e in pairs], np.uint32),
            np.array([e.goal for _, e in pairs], np.int32),
            np.array([e.operation for _, e in pairs], np.uint8),
            np.array([e.hold for _, e in pairs], np.uint8),
            np.array([e.priority for _, e in pairs], np.float32),
            np.array([e.due for _, e in pairs], np.float64),
        )

    def goal(self, unit: int) -> int:
        """Cell the unit is going to, or where it stands."""
        errand = self._errand[unit]
        if errand is not None and errand.open:
            return errand.goal
        return int(self.cell[unit])

    # -- who is free ----------------------------------------------------------------------------

    def give(self, unit: int, task: Task) -> None:
        """Make ``unit`` busy with ``task``."""
        self.task[unit] = task
        self._idle[unit] = False

    def rest(self, unit: int) -> None:
        """The unit has no task any more, but gets none before its `release`."""
        self.task[unit] = None
        self._idle[unit] = False

    def release(self, unit: int) -> None:
        """The unit has no task any more."""
        self.task[unit] = None
        self._idle[unit] = True

    def free(self) -> NDArray[np.intp]:
        """Free units."""
        ready = self._idle & ~self.down & (self.load == _EMPTY) & (self.status < _STOPPED)
        return np.flatnonzero(ready)

    def nearest(
        self, cells: NDArray[np.int32], among: NDArray[np.intp]
    ) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
        """The unit of ``among`` (not empty) nearest to each of ``cells``, and its steps."""
        row, col = np.divmod(self.cell[among], self._width)
        to_row, to_col = np.divmod(cells[:, None], self._width)
        steps = np.abs(row - to_row) + np.abs(col - to_col)
        best = np.argmin(steps, axis=1)
        return among[best], steps[np.arange(len(cells)), best]

    def nearest_free(self, cell: int) -> int:
        """The free unit nearest to ``cell``; -1: none is free."""
        free = self.free()
        if not len(free):
            return -1
        unit, _ = self.nearest(np.array([cell], np.int32), free)
        return int(unit[0])

    def stand(self, unit: int, now: float) -> None:
        """Replace the unit's errand by staying where it is."""
        self.send(unit, int(self.cell[unit]), Operation.NONE, True, Priority.PARK, now)

    def changed(self) -> tuple[list[int], list[int]]:
        """Units that went down and units that came up since the last call."""
        down = self.status >= _STOPPED
        if (down == self.down).all():
            return [], []
        fell = np.flatnonzero(down & ~self.down).tolist()
        rose = np.flatnonzero(~down & self.down).tolist()
        self.down = down
        return fell, rose
