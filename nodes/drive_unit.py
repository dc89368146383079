"""Node of one drive unit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from robo_stow_interfaces.msg import UnitState
from robo_stow_nodes import parameters, qos, topics
from robo_stow_nodes.conversions import UnitStateCodec
from robo_stow_nodes.shell import CoreNode, run_alone

from robo_stow.drive.motion import DriveUnits
from robo_stow.errors import InputError
from robo_stow.floor.building import Building
from robo_stow.floor.start import pod_cells, unit_cells
from robo_stow.messages import Alarm, Core, FleetState, Message, PodPlaces, Release

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


class DriveUnitNode(CoreNode):
    """One robot. Follows its part of the fleet's release and nothing else.

    Publishes:
        /<unit>/state (UnitState): every period.
        /alarms (Alarm)

    Subscribes:
        /fleet/release (Release)
        /fleet/pod_places (PodPlaces): pods that others have moved.

    Parameters: those of `CoreNode`, and
        unit (int): index of the unit in the fleet.
    """

    KIND = "drive_unit"
    PUBLISHES = (Alarm,)

    def build(self) -> Sequence[Core]:
        self._unit: int = parameters.declare(
            self, self.KIND, "unit", "index of the unit in the fleet", (0, 100_000)
        )
        if self._unit >= self.building.units:
            raise InputError(
                self.KIND, "unit", self._unit, f"0 to {self.building.units - 1} expected"
            )
        return (DriveUnitCore(self.building, self.seed, self._unit),)

    def connect(self) -> None:
        super().connect()
        codec = UnitStateCodec()
        name = topics.topic(topics.UNIT_STATE, unit=self.building.unit_name(self._unit))
        publisher = self.create_publisher(UnitState, name, qos.STATE)
        self.outlets[FleetState] = lambda state: publisher.publish(codec.encode(state))


def main(args: Sequence[str] | None = None) -> int:
    """Run the node as a process."""
    return run_alone(DriveUnitNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
