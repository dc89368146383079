"""A site put together: the cores of every room, by the node that hosts them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from robo_stow.floor.building import Building
from robo_stow.fulfilment.core import FulfilmentCore
from robo_stow.fulfilment.stations import PickStationCore, StowStationCore
from robo_stow.inventory.catalogue import Catalogue
from robo_stow.inventory.core import InventoryCore
from robo_stow.lifter.core import LifterCore
from robo_stow.messages import Core
from robo_stow.monitor import MonitorCore
from robo_stow.sim.plant import Plant
from robo_stow.traffic.manager import TrafficManager

if TYPE_CHECKING:
    from robo_stow.gazebo.plant import GazeboPlant


@dataclass(frozen=True)
class Warehouse:
    """All cores of one site; the order of `cores` is the order in which they are stepped."""

    building: Building
    plant: Plant | GazeboPlant
    lifters: tuple[LifterCore, ...]
    stations: tuple[PickStationCore | StowStationCore, ...]
    inventory: InventoryCore
    fulfilment: FulfilmentCore
    traffic: TrafficManager
    monitor: MonitorCore

    @property
    def cores(self) -> tuple[Core, ...]:
        """From the floor up: what happens there is known to every decision of the same step."""
        return (
            self.plant,
            *self.lifters,
            *self.stations,
            self.inventory,
            self.fulfilment,
            self.traffic,
            self.monitor,
        )


def build_warehouse(
    building: Building,
    seed: int,
    *,
    database: str = "sqlite://",
    clock: Callable[[], float] | None = None,
    plant: Plant | GazeboPlant | None = None,
    catalogue: Catalogue | None = None,
    expected: Mapping[str, float] | None = None,
) -> Warehouse:
    """Build every core of ``building``.

    Args:
        database: SQLAlchemy URL of the ledger; the default lives in memory.
        clock: time source (s) with which planning is measured; decisions never use it.
        catalogue: the SKUs, in place of those of the building's order file.
        expected: order lines of each SKU expected on the next day; None: no anticipation.
        plant: what moves, for this building and seed; by default the embedded plant.
    """
    return Warehouse(
        building=building,
        plant=Plant(building, seed) if plant is None else plant,
        lifters=tuple(LifterCore(building, site) for site in building.lifters),
        stations=tuple(
            (PickStationCore if station.kind == "pick" else StowStationCore)(building, station)
            for station in building.stations
        ),
        inventory=InventoryCore(building, seed, database, catalogue),
        fulfilment=FulfilmentCore(building, seed, expected),
        traffic=TrafficManager(building, seed, clock=clock),
        monitor=MonitorCore(building, seed),
    )
