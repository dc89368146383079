"""Node of the stow stations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from robo_stow_nodes.shell import CoreNode, choose_stations, run_alone

from robo_stow.floor.building import Station
from robo_stow.fulfilment.stations import StowStationCore
from robo_stow.messages import Alarm, Core, Instruct, ProposeRequest, StowRequest, VisitDone

if TYPE_CHECKING:
    from robo_stow.warehouse import Warehouse


class StowStationNode(CoreNode):
    """Controllers of one stow station, or of all of the building.

    Publishes:
        /stations/<id>/instruct (Instruct): to the person's screen and lights.
        /stations/<id>/visit_done (VisitDone)
        /alarms (Alarm)

    Subscribes:
        /stations/<id>/stow_visit (StowVisit), /stations/<id>/scan (Scan)
        /fleet/state (FleetState): interlock, the pod must be reported in place and at rest.

    Calls: /inventory/propose, stow.

    Parameters: those of `CoreNode`, and
        station (str): id of the station; empty for all.
    """

    KIND = "stow_station"
    PUBLISHES = (Instruct, ProposeRequest, StowRequest, VisitDone, Alarm)

    def stations(self) -> Sequence[Station]:
        return self._stations

    def build(self) -> Sequence[Core]:
        self._stations = choose_stations(self, "stow")
        return [StowStationCore(self.building, station) for station in self._stations]

    def take(self, warehouse: Warehouse) -> Sequence[Core]:
        self._stations = choose_stations(self, "stow")
        return [core for core in warehouse.stations if isinstance(core, StowStationCore)]


def main(args: Sequence[str] | None = None) -> int:
    """Run the node as a process."""
    return run_alone(StowStationNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
