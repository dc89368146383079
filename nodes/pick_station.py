"""Node of the pick stations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from robo_stow_nodes.shell import CoreNode, choose_stations, run_alone

from robo_stow.floor.building import Station
from robo_stow.fulfilment.stations import PickStationCore
from robo_stow.messages import Alarm, Core, Instruct, PickRequest, VisitDone

if TYPE_CHECKING:
    from robo_stow.warehouse import Warehouse


class PickStationNode(CoreNode):
    """Controllers of one pick station, or of all of the building.

    Publishes:
        /stations/<id>/instruct (Instruct): to the person's screen and lights.
        /stations/<id>/visit_done (VisitDone)
        /alarms (Alarm)

    Subscribes:
        /stations/<id>/pick_visit (PickVisit), /stations/<id>/scan (Scan)
        /fleet/state (FleetState): interlock, the pod must be reported in place and at rest.

    Calls: /inventory/pick.

    Parameters: those of `CoreNode`, and
        station (str): id of the station; empty for all.
    """

    KIND = "pick_station"
    PUBLISHES = (Instruct, PickRequest, VisitDone, Alarm)

    def stations(self) -> Sequence[Station]:
        return self._stations

    def build(self) -> Sequence[Core]:
        self._stations = choose_stations(self, "pick")
        return [PickStationCore(self.building, station) for station in self._stations]

    def take(self, warehouse: Warehouse) -> Sequence[Core]:
        self._stations = choose_stations(self, "pick")
        return [core for core in warehouse.stations if isinstance(core, PickStationCore)]


def main(args: Sequence[str] | None = None) -> int:
    """Run the node as a process."""
    return run_alone(PickStationNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
