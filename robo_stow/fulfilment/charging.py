"""Charging, and where a unit waits that has nothing to do.

Units charge when they are low, and before that in two cases:

- **ahead**: chargers are few, so units that get low at about the same time would queue for them.
  Every half minute it is reckoned when each unit will be low, at the rate at which batteries have
  been drained lately, and when its turn at the chargers would come, the emptiest first; for each
  that would have to wait one of the emptiest free units goes at once;
- **in lulls**: while no station waits for anything, free units top up, and are called back when
  there is work and nobody is free.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robo_stow.floor.building import Building, CellKind
from robo_stow.fulfilment.dispatch import Priority, Units
from robo_stow.messages import ErrandResult, Operation

SHUNNED = 60.0
"""Seconds a charger is not used after a unit was sent there in vain."""
PLANNED = 30.0
"""Seconds between looks ahead."""
RECENT = 0.2
"""Weight of the latest half minute in the rate at which batteries are drained."""
TOP_UP = 0.15
"""Charge below the full one at which a lull is used."""
CALL_BACK = 0.1
"""Charge above the low one from which a unit that tops up may be called back."""
RESERVE = 0.5
"""Share of the fleet that stays free in a lull."""


class Charge:
    """A unit on its way to a charger, or charging."""

    def __init__(self, charging: Charging, unit: int, cell: int) -> None:
        self._charging = charging
        self.unit = unit
        self.cell = cell
        self.early = False  # tops up: may be called back

    def reported(self, result: ErrandResult, now: float) -> None:
        """Arrival needs no answer: the battery's level ends the charge."""
        if result is ErrandResult.REJECTED:
            self._charging.rejected(self, now)

    def unit_down(self, now: float) -> None:
        """Keep the charger: the unit may stand in it."""

    def unit_up(self, now: float) -> None:
        """The errand still stands."""


class Charging:
    """Sends free units with low batteries to chargers, one unit a charger, and back.

    Units are only sent when they are free, so never out of a queue. Idle units wait where they
    stand if that is a storage cell; elsewhere they are sent beneath a pod, out of everybody's way.
    """

    def __init__(self, building: Building, units: Units) -> None:
        self._units = units
        self._below = building.drive.charge_below
        self._until = building.drive.charge_until
        self._storage = building.grid.kind == CellKind.STORAGE
        self._cells: NDArray[np.int32] = np.flatnonzero(self._storage).astype(np.int32)
        self._busy: dict[int, Charge | None] = {cell: None for cell in building.chargers}
        self._shunned: dict[int, float] = {}
        drive = building.drive
        gain = (drive.charge_until - drive.charge_below) * drive.battery
        self._charge_time = 3600.0 * gain / drive.charge_power  # s, from low to full
        self._next_plan = 0.0
        self._drained: NDArray[np.float64] = np.zeros(building.units)  # share a second, lately
        self._before: NDArray[np.float32] | None = None
        self._width = building.grid.width

    def low(self, unit: int) -> bool:
        """Whether the unit should charge before it works on."""
        return bool(self._units.battery[unit] < self._below)

    def freed(self, unit: int, now: float) -> None:
        """A unit has nothing to do: charge, or wait out of the way."""
        if self.low(unit) and self._send(unit, now):
            return
        if not self._storage[self._units.cell[unit]]:
            self._park(unit, now)

    def step(self, now: float, lull: bool) -> None:
        """End charges that are full; send free units that are low or should go early.

        Args:
            lull: no station waits for anything.
        """
        if not self._busy:
            return
        for cell, charge in self._busy.items():
            if charge is not None and (
                self._units.battery[charge.unit] >= self._until
                and not self._units.down[charge.unit]
            ):
                self._busy[cell] = None
                self._units.release(charge.unit)
                self._park(charge.unit, now)
        free = self._units.free()
        for unit in free[self._units.battery[free] < self._below].tolist():
            if not self._send(unit, now):
                return
        if lull:
            self._top_up(now)
        elif not len(self._units.free()):
            self._call_back(now)
        if now >= self._next_plan:
            self._plan(now)

    def _top_up(self, now: float) -> None:
        """Send free units that have room in their batteries, the emptiest first."""
        free = self._units.free()
        spare = len(free) - int(RESERVE * self._units.count)
        if spare <= 0:
            return
        level = self._units.battery[free]
        wanting = free[level < self._until - TOP_UP]
        for unit in wanting[np.argsort(self._units.battery[wanting], kind="stable")][:spare]:
            if not self._send(int(unit), now, early=True):
                return

    def _call_back(self, now: float) -> None:
        """There is work and nobody is free: let units go that top up."""
        for cell, charge in self._busy.items():
            if charge is None or not charge.early or self._units.down[charge.unit]:
                continue
            if self._units.battery[charge.unit] >= self._below + CALL_BACK:
                self._busy[cell] = None
                self._units.release(charge.unit)
                self._park(charge.unit, now)

    def _plan(self, now: float) -> None:
        """Send units early if otherwise one that is low would have to wait for a charger."""
        level = self._units.battery
        if self._before is not None:
            lost = np.maximum(self._before - level, 0.0) / PLANNED
            self._drained += RECENT * (lost - self._drained)
        self._before = level.copy()
        self._next_plan = now + PLANNED
        charging = {charge.unit for charge in self._busy.values() if charge is not None}
        others = np.array([u for u in range(self._units.count) if u not in charging], np.intp)
        rate = float(self._drained.mean())
        if not self._busy or not len(others) or rate <= 0.0:
            return
        emptiest = others[np.argsort(level[others], kind="stable")]
        low = (level[emptiest] - self._below) / rate  # s from now
        turn = np.arange(len(emptiest)) // len(self._busy) * self._charge_time
        waiting = int(np.count_nonzero(low < turn))
        if waiting:
            free = self._units.free()
            ready = emptiest[np.isin(emptiest, free) & (level[emptiest] < self._until - TOP_UP)]
            for unit in ready[:waiting].tolist():
                if not self._send(unit, now):
                    return

    def rejected(self, charge: Charge, now: float) -> None:
        """The charger cannot be reached."""
        self._busy[charge.cell] = None
        self._shunned[charge.cell] = now + SHUNNED
        self._units.release(charge.unit)
        self._park(charge.unit, now)

    def _send(self, unit: int, now: float, early: bool = False) -> bool:
        free = [
            cell
            for cell, charge in self._busy.items()
            if charge is None and self._shunned.get(cell, 0.0) <= now
        ]
        if not free:
            return False
        cell = min(free, key=lambda c: (self._steps(int(self._units.cell[unit]), c), c))
        charge = Charge(self, unit, cell)
        charge.early = early
        self._busy[cell] = charge
        self._units.give(unit, charge)
        self._units.send(unit, cell, Operation.CHARGE, True, Priority.CHARGE, now)
        return True

    def _park(self, unit: int, now: float) -> None:
        """Send a free unit to the nearest storage cell where no other one stands or goes."""
        taken = [self._units.goal(other) for other in range(self._units.count) if other != unit]
        cells = self._cells[~np.isin(self._cells, np.array(taken, np.int32))]
        if not len(cells):
            return
        row, col = np.divmod(cells, self._width)
        here = divmod(int(self._units.cell[unit]), self._width)
        goal = int(cells[np.argmin(np.abs(row - here[0]) + np.abs(col - here[1]))])
        self._units.send(unit, goal, Operation.NONE, False, Priority.PARK, now)

    def _steps(self, start: int, goal: int) -> int:
        (r0, c0), (r1, c1) = divmod(start, self._width), divmod(goal, self._width)
        return abs(r0 - r1) + abs(c0 - c1)
