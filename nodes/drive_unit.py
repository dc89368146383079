"""Node of one drive unit."""

from __future__ import annotations

from collections.abc import Sequence

from robo_stow_interfaces.msg import UnitState
from robo_stow_nodes import parameters, qos, topics
from robo_stow_nodes.conversions import UnitStateCodec
from robo_stow_nodes.shell import CoreNode, run_alone

from robo_stow.drive.unit import DriveUnitCore
from robo_stow.errors import InputError
from robo_stow.messages import Alarm, Core, FleetState


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
