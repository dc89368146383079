"""One drive unit on its own, as a robot's computer runs it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from robo_stow.drive.motion import DriveUnits
from robo_stow.floor.building import Building
from robo_stow.floor.start import pod_cells, unit_cells
from robo_stow.messages import Alarm, Message, PodPlaces, Release

LONGEST_STEP = 1.0
"""Time (s) a unit moves on in one step at most, however long the clock stood still."""


class DriveUnitCore:
    """One unit with the kinematic backend: motion as the embedded simulator computes it."""

    consumes = (Release, PodPlaces)

    def __init__(self, building: Building, seed: int, unit: int) -> None:
        cells, headings = unit_cells(building, seed)
        self._units = DriveUnits(
            building.drive,
            building.grid,
            1,
            cells[unit : unit + 1],
            headings[unit : unit + 1],
            first_unit=unit,
            pod_cell=pod_cells(building, seed),
            pod_mass=building.pod.mass,
        )
        self._now: float | None = None

    def step(self, now: float, inbox: Sequence[Message]) -> list[Message]:
        """Take releases, move on, report."""
        said: list[Message] = []
        for message in inbox:
            if isinstance(message, Release):
                self._units.take(message)
            elif isinstance(message, PodPlaces):
                self._units.place_pods(message)
        elapsed = 0.0 if self._now is None else now - self._now
        self._now = now
        for unit, action in self._units.step(float(np.clip(elapsed, 0.0, LONGEST_STEP))):
            text = f"unit {unit} could not {action.name}"
            said.append(Alarm(now, "drive", "failed_action", text))
        return [*said, self._units.states(now)]
