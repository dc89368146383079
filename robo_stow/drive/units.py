"""What a plant needs of a fleet of drive units, however they move."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from robo_stow.messages import I32, U8, Action, FleetState, Release


class Units(Protocol):
    """A fleet that follows releases; `robo_stow.drive.motion.DriveUnits` documents it all."""

    n: int
    first_unit: int
    cell: I32
    released: NDArray[np.uint32]
    load: U8
    load_id: I32

    def take(self, release: Release) -> I32:
        """Take over a release; the number of actions newly taken per entry."""
        ...

    def step(self, dt: float) -> list[tuple[int, Action]]:
        """Move on by ``dt`` s; what could not be done."""
        ...

    def states(self, stamp: float) -> FleetState:
        """States after the last step."""
        ...

    def delay(self, unit: int, number: int, seconds: float) -> None:
        """Let a unit hesitate before an action."""
        ...

    def stop(self, unit: int) -> None:
        """Emergency stop."""
        ...

    def kill(self, unit: int) -> None:
        """Break a unit."""
        ...

    def reset(self, unit: int, charge: float | None = None) -> None:
        """Repair a unit, or end its emergency stop."""
        ...

    def place(self, unit: int, cell: int, heading: int) -> None:
        """The unit has been set down elsewhere."""
        ...

    def pending(self, unit: int) -> tuple[U8, I32]:
        """Actions released and not done, and the cells where they end."""
        ...

    def keep_out(self, cells: I32) -> None:
        """Close cells; units in them or on their way into them stand until they are open."""
        ...

    def load_pallet(self, unit: int, weight: float) -> None:
        """A pallet has been set on the unit."""
        ...

    def unload_pallet(self, unit: int) -> None:
        """The pallet has been taken off the unit."""
        ...
