"""The embedded plant: everything physical of a building, in simulated time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace

import numpy as np
from numpy.typing import NDArray

from robo_stow.drive.motion import DriveUnits
from robo_stow.drive.units import Units
from robo_stow.errors import InputError
from robo_stow.floor.building import Building, CellKind
from robo_stow.floor.start import pod_cells, unit_cells
from robo_stow.forecast.purchasing import Purchasing
from robo_stow.fulfilment.orders import orders_of
from robo_stow.messages import (
    Action,
    Alarm,
    FleetState,
    Instruct,
    KeepOuts,
    LifterCommand,
    LiftResult,
    Load,
    Message,
    OrderArrived,
    PodPlaces,
    Release,
    StockLevels,
    ToteReady,
    VisitDone,
)
from robo_stow.sim.arrivals import PalletArrivals
from robo_stow.sim.faults import Faults
from robo_stow.sim.lifter_drives import LifterDrives
from robo_stow.sim.people import Packers, Person

_WORKED_AT = (CellKind.STATION, CellKind.HANDOFF, CellKind.PALLET)


def start_charge(building: Building, seed: int) -> NDArray[np.float64]:
    """Batteries at the start, F64[units], 0..1: different, or all would charge together."""
    low = (building.drive.charge_below + building.drive.charge_until) / 2
    rng = np.random.default_rng([seed, 0xBA77])
    return rng.uniform(low, building.drive.charge_until, building.units)


def drive_units(building: Building, seed: int, first: int = 0) -> DriveUnits:
    """The building's units from ``first`` on, at their start places."""
    cells, headings = unit_cells(building, seed)
    return DriveUnits(
        building.drive,
        building.grid,
        building.units - first,
        cells[first:],
        headings[first:],
        first_unit=first,
        pod_cell=pod_cells(building, seed),
        pod_mass=building.pod.mass + building.stock.fill * building.pod.capacity,
        charge=start_charge(building, seed)[first:],
    )


class Plant:
    """Drive units, lifter drives, people, packers, and arrivals of orders and pallets.

    The plant decides nothing. It knows where pods stand from the start places and from what the
    units do: a LIFT takes the pod that stands on the unit's cell, and whatever is physically not
    possible happens not and is reported as an `Alarm` of kind "plant".

    Args:
        building: the site.
        seed: of all that is random here.
        units: drive units that stand at their start places; by default all as `DriveUnits`.
            When they do not begin with unit 0, the others are somebody else's.
        orders: in order of time; by default those of the building's file.
        purchasing: buys what the pallets bring; by default they come by chance.

    Public: ``units``, ``faults`` (`Faults`), for schedules of faults, and ``lifters``, the drives
    (`LifterDrives`) of each lifter by its name.

    Raises:
        InputError: the orders cannot be read, or a lifter's site is out of its arm's reach.
    """

    consumes: tuple[type, ...] = (
        Release,
        KeepOuts,
        LifterCommand,
        LiftResult,
        VisitDone,
        Instruct,
        ToteReady,
    )

    def __init__(
        self,
        building: Building,
        seed: int,
        units: Units | None = None,
        orders: Iterable[OrderArrived] | None = None,
        purchasing: Purchasing | None = None,
    ) -> None:
        self._building = building
        self.units: Units = drive_units(building, seed) if units is None else units
        if self.units.first_unit:  # others move pods as well
            self.consumes = (*self.consumes, PodPlaces)
        self.faults = Faults(building.faults, seed)
        self.lifters = {
            site.id: LifterDrives(building, site, seed, i)
            for i, site in enumerate(building.lifters)
        }
        self._handoff = {site.id: site.cell for site in building.lifters}
        self._people = {
            station.id: Person(building.people, seed, i)
            for i, station in enumerate(building.stations)
        }
        self._pallet_cell = {station.id: station.pallet_cell for station in building.stations}
        self._emptied: set[tuple[str, int]] = set()
        self._packers = Packers(building.people, seed)
        self._pallets = PalletArrivals(building, seed, purchasing)
        self._purchasing = purchasing
        if purchasing is not None:
            self.consumes = (*self.consumes, StockLevels)
        self._orders = iter(orders_of(building, seed) if orders is None else orders)
        self._order = next(self._orders, None)
        self._now: float | None = None
        self._removed: set[int] = set()  # units

    def step(self, now: float, inbox: Sequence[Message]) -> list[Message]:
        """Move everything on to ``now`` (s); what came in takes effect from the last step on."""
        out = self.intake(now, inbox)
        dt = 0.0 if self._now is None else max(0.0, now - self._now)
        out += self.failed(now, self.units.step(dt))
        if self.units.n:
            out.append(self._states(now))
        return out + self.attend(now)

    def _states(self, now: float) -> FleetState:
        state = self.units.states(now)
        if not self._removed:
            return state
        there = ~np.isin(state.unit, list(self._removed))
        told = {f.name: getattr(state, f.name)[there] for f in fields(state) if f.name != "stamp"}
        return replace(state, **told)

    @property
    def due(self) -> float:
        """Time (s) at which `attend` has something to do although nothing has come in."""
        return min(
            self._order.stamp if self._order is not None else math.inf,
            self._packers.due,
            self._pallets.due,
            *[person.finish for person in self._people.values()],
            *[drives.due for drives in self.lifters.values()],
        )

    def intake(self, now: float, inbox: Sequence[Message]) -> list[Message]:
        """The part of `step` before the units move: what came in, and faults."""
        out: list[Message] = []
        for message in inbox:
            if isinstance(message, Release):
                self.faults.hesitate(message, self.units.take(message), self.units)
            elif isinstance(message, KeepOuts):
                self.units.keep_out(message.cell)
            elif isinstance(message, LifterCommand):
                if message.lifter in self.lifters:
                    self.lifters[message.lifter].command(now, message)
            elif isinstance(message, LiftResult):
                self._lifted(now, message, out)
            elif isinstance(message, VisitDone):
                self._visited(message)
            elif isinstance(message, PodPlaces) and isinstance(self.units, DriveUnits):
                self.units.place_pods(message)
            elif isinstance(message, StockLevels) and self._purchasing is not None:
                self._purchasing.on_levels(message, now)
            elif isinstance(message, Instruct):
                person = self._people.get(message.station)
                if person is not None:
                    out.extend(person.instruct(now, message))
            elif isinstance(message, ToteReady):
                packed = self._packers.announce(now, message)
                if packed is not None:
                    out.append(packed)
        self.faults.strike(now, self.units)
        return out

    def failed(self, now: float, actions: Iterable[tuple[int, Action]]) -> list[Message]:
        """Alarms of actions that units could not do."""
        out: list[Message] = []
        for unit, action in actions:
            self._alarm(now, f"unit {unit} could not {action.name}", out)
        return out

    def attend(self, now: float) -> list[Message]:
        """The part of `step` after the units have moved: everything else moves on to ``now``."""
        self._now = now
        out: list[Message] = []
        for name, drives in self.lifters.items():
            feedback, let_go = drives.step(now)
            if feedback is not None:
                out.append(feedback)
            if let_go == "dropped" or (let_go == "handed over" and not self._unit_below(name)):
                self._alarm(now, f"{name} dropped a pallet", out)
        for person in self._people.values():
            if person.finish <= now:
                out.extend(person.step(now))
        out.extend(self._packers.step(now))
        while self._order is not None and self._order.stamp <= now:
            out.append(self._order)
            self._order = next(self._orders, None)
        for pallet in self._pallets.step(now):
            drives = self.lifters[pallet.lifter]
            if drives.gripped <= 0.0:
                drives.at_dock = pallet.weight
            out.append(pallet)
        return out

    # --- what somebody does to it by hand ------------------------------------------------------

    def displace(self, unit: int, x: float, y: float, yaw: float) -> None:
        """Set a unit, with what it carries, into the middle of the cell at ``x, y`` (m).

        It faces the grid's heading nearest to ``yaw`` (rad) and has forgotten what was released to
        it. Its next report is true, and impossible for whoever has planned its way. A unit that was
        removed is back.

        Raises:
            InputError: the unit is not simulated here, it carries a pallet, it stands where people
                or a lifter work, or it would stand in a wall, in another unit, in its way, or,
                loaded, in a pod.
        """
        if self.units.load[self._own(unit)] == Load.PALLET:
            raise InputError("simulator", "unit", unit, "carries a pallet")
        grid = self._building.grid
        span = grid.width * grid.pitch, grid.height * grid.pitch
        inside = 0.0 <= x < span[0] and 0.0 <= y < span[1]
        cell = int(grid.cell_at(np.array([x]), np.array([y]))[0]) if inside else -1
        if cell < 0 or grid.kind[cell] == CellKind.WALL:
            raise InputError("simulator", "position", (x, y), "is no place to stand")
        for other in range(self.units.first_unit, self.units.first_unit + self.units.n):
            if other == unit or other in self._removed:
                continue
            if self.units.cell[other - self.units.first_unit] == cell:
                name = self._building.unit_name(other)
                raise InputError("simulator", "position", (x, y), f"{name} stands there")
            if (self.units.pending(other)[1] == cell).any():
                name = self._building.unit_name(other)
                raise InputError("simulator", "position", (x, y), f"{name} is on its way there")
        self.units.place(unit, cell, round(-yaw / (math.pi / 2)) % 4)
        if unit in self._removed:
            self._removed.remove(unit)
            self.units.reset(unit)

    def remove(self, unit: int) -> None:
        """Take a unit off the floor; it reports nothing more until it is set down again.

        Raises:
            InputError: the unit is not simulated here, is loaded, stands where people or a lifter
                work, or has been removed.
        """
        i = self._own(unit)
        if unit in self._removed:
            raise InputError("simulator", "unit", unit, "is not there")
        if self.units.load[i] != Load.NONE:
            raise InputError("simulator", "unit", unit, "is loaded")
        self.units.kill(unit)
        self._removed.add(unit)

    def attended(self, station: str, there: bool) -> None:
        """Somebody is, or is not, at a station to work there."""
        self._people[station].attend(self._now or 0.0, there)

    def _own(self, unit: int) -> int:
        i = unit - self.units.first_unit
        if not 0 <= i < self.units.n:
            raise InputError("simulator", "unit", unit, "is a node of its own")
        kind = self._building.grid.kind[self.units.cell[i]]
        if unit not in self._removed and kind in _WORKED_AT:
            raise InputError("simulator", "unit", unit, "stands where people or a lifter work")
        return i

    def _alarm(self, now: float, text: str, out: list[Message]) -> None:
        out.append(Alarm(now, "sim", "plant", text))

    def _unit_below(self, lifter: str) -> bool:
        if self.units.first_unit:
            return True  # perhaps one that is simulated elsewhere
        here = np.flatnonzero(self.units.cell == self._handoff[lifter])
        return bool(len(here)) and bool((self.units.load[here] == Load.NONE).any())

    def _lifted(self, now: float, result: LiftResult, out: list[Message]) -> None:
        weight = self._pallets.leave(result)
        if weight <= 0.0:
            return  # answered before
        self.lifters[result.lifter].at_dock = 0.0
        if not result.ok:
            return
        i = result.unit - self.units.first_unit
        if i < 0:
            return  # it is not one of these, and has heard of it itself
        here = i < self.units.n and self.units.cell[i] == self._handoff[result.lifter]
        if here and self.units.load[i] == Load.NONE:
            self.units.load_pallet(result.unit, weight)
        else:
            self._alarm(now, f"{result.pallet} is not on unit {result.unit}", out)

    def _visited(self, visit: VisitDone) -> None:
        """The person stacks an emptied pallet away; the same visit told again changes nothing."""
        cell = self._pallet_cell.get(visit.station, -1)
        if not visit.pallet_empty or cell < 0 or (visit.station, visit.visit) in self._emptied:
            return
        self._emptied.add((visit.station, visit.visit))
        on_spot = (self.units.cell == cell) & (self.units.load == Load.PALLET)
        for i in np.flatnonzero(on_spot).tolist():
            self.units.unload_pallet(self.units.first_unit + i)
