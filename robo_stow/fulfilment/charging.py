"""Charging, and where a unit waits that has nothing to do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robo_stow.floor.building import Building, CellKind
from robo_stow.fulfilment.dispatch import Priority, Units
from robo_stow.messages import ErrandResult, Operation

SHUNNED = 60.0
"""Seconds a charger is not used after a unit was sent there in vain."""


class Charge:
    """A unit on its way to a charger, or charging."""

    def __init__(self, charging: Charging, unit: int, cell: int) -> None:
        self._charging = charging
        self.unit = unit
        self.cell = cell

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

    def step(self, now: float) -> None:
        """End charges that are full; send free units that are low."""
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
                break

    def rejected(self, charge: Charge, now: float) -> None:
        """The charger cannot be reached."""
        self._busy[charge.cell] = None
        self._shunned[charge.cell] = now + SHUNNED
        self._units.release(charge.unit)
        self._park(charge.unit, now)

    def _send(self, unit: int, now: float) -> bool:
        free = [
            cell
            for cell, charge in self._busy.items()
            if charge is None and self._shunned.get(cell, 0.0) <= now
        ]
        if not free:
            return False
        cell = min(free, key=lambda c: (self._steps(int(self._units.cell[unit]), c), c))
        charge = Charge(self, unit, cell)
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
