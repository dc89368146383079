"""Everything in a building that has a place, by name, as simulators' tools ask for it."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from robo_stow.errors import InputError
from robo_stow.floor.building import Building
from robo_stow.floor.start import pod_cells
from robo_stow.floor.world import pod_name, station_place, storage_height
from robo_stow.lifter.kinematics import DECK, POCKET, forward
from robo_stow.messages import (
    FleetState,
    LifterFeedback,
    LiftResult,
    Load,
    Message,
    PalletArrived,
    PodPlaces,
)

Vector = tuple[float, float, float]

RAISED = 0.06
"""m by which a unit lifts its load."""
STANDS_BACK = 0.45
"""m from the middle of a station's desk to its person."""
REACH = 1.5
"""m from their place within which people work at their station."""
MOST = 10_000
"""Entities that can be spawned."""
IN_THE_LEDGER = "is where the ledger says; units and lifters move it"


@dataclass(frozen=True, slots=True)
class Entity:
    """Where something is: SI, in the world frame; ``quaternion`` is x, y, z, w."""

    name: str
    position: Vector
    quaternion: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 1.0)
    linear: Vector = (0.0, 0.0, 0.0)
    angular: Vector = (0.0, 0.0, 0.0)


def upright(name: str, position: Vector, yaw: float = 0.0, speed: float = 0.0) -> Entity:
    """An entity that stands, and moves ahead at ``speed`` m/s."""
    turned = (0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2))
    return Entity(name, position, turned, (speed * math.cos(yaw), speed * math.sin(yaw), 0.0))


class Hands(Protocol):
    """What can be done to a simulation by hand; `robo_stow.sim.plant.Plant` documents it."""

    def displace(self, unit: int, x: float, y: float, yaw: float) -> None:
        """Set a unit down elsewhere."""
        ...

    def remove(self, unit: int) -> None:
        """Take a unit away."""
        ...

    def attended(self, station: str, there: bool) -> None:
        """Somebody is at a station, or is not."""
        ...


class Entities:
    """Drive units, pods, pallets, people at stations, and whatever was added.

    Units can be set down elsewhere, taken away and brought back, and people as well: a station
    whose person is not within `REACH` of their place is not attended. Entities that were added are
    seen by nobody. Pods and pallets are moved by units and lifters only: the ledger says where they
    are, and nobody would tell it.

    Args:
        building, seed: the site.
        hands: of the simulation.
    """

    def __init__(self, building: Building, seed: int, hands: Hands) -> None:
        self._building = building
        self._hands = hands
        self._floor = storage_height(building)
        self._state: FleetState | None = None
        self._unit_of = {building.unit_name(u): u for u in range(building.units)}
        self._load_of = np.full(building.units, -1, np.int32)  # pod
        self._pod_cell = pod_cells(building, seed).copy()
        self._bases = {site.id: np.array(site.base) for site in building.lifters}
        self._docks = {site.id: site.dock for site in building.lifters}
        self._docked: dict[str, str] = {}  # lifter: pallet
        self._arms: dict[str, LifterFeedback] = {}
        self._pallet_on: dict[int, str] = {}
        self._free: dict[str, Entity] = {}
        self._added: set[str] = set()
        self._posts: dict[str, tuple[str, Vector]] = {}  # person: station, place
        for station in building.stations:
            x, y, yaw = station_place(building, station)
            away = STANDS_BACK
            at = (x - away * math.cos(yaw), y - away * math.sin(yaw), self._floor)
            name = f"person_{station.id}"
            self._free[name] = upright(name, at, yaw)
            self._posts[name] = (station.id, at)

    def see(self, message: Message) -> None:
        """Take over what a record says of places."""
        if isinstance(message, FleetState):
            self._fleet(message)
        elif isinstance(message, PodPlaces):
            self._pod_cell[message.pod] = message.cell
        elif isinstance(message, LifterFeedback):
            self._arms[message.lifter] = message
        elif isinstance(message, PalletArrived):
            if message.lifter in self._docks:
                self._docked[message.lifter] = message.pallet
        elif isinstance(message, LiftResult) and (
            self._docked.get(message.lifter) == message.pallet
        ):
            del self._docked[message.lifter]
            if message.ok:
                self._pallet_on[message.unit] = message.pallet

    def _fleet(self, state: FleetState) -> None:
        before = self._load_of[state.unit]
        for i in np.flatnonzero(before != state.load_id).tolist():
            if before[i] >= 0:
                self._pod_cell[before[i]] = state.cell[i]
            if state.load_id[i] >= 0:
                self._pod_cell[state.load_id[i]] = -1
        self._load_of[state.unit] = state.load_id
        if self._state is not None:
            for unit in [u for u in self._pallet_on if self._unloaded(u, state)]:
                del self._pallet_on[unit]
        self._state = state

    def _unloaded(self, unit: int, state: FleetState) -> bool:
        """Whether a unit's pallet has been taken off: it had been on it, and is no more."""
        assert self._state is not None
        was, now = _row(self._state, unit), _row(state, unit)
        if was is None or now is None:
            return True  # a unit that is a node of its own
        return int(self._state.load[was]) == Load.PALLET != int(state.load[now])

    # --- questions -----------------------------------------------------------------------------

    def all(self) -> Iterator[Entity]:
        """Everything, in a fixed order."""
        state = self._state
        if state is not None:
            for u in range(len(state.unit)):
                yield self._unit(u)
        x, y = self._building.grid.xy(np.maximum(self._pod_cell, 0))
        for pod in np.flatnonzero(self._pod_cell >= 0).tolist():
            yield upright(pod_name(pod), (float(x[pod]), float(y[pod]), self._floor))
        if state is not None:
            for u in np.flatnonzero(state.load_id >= 0).tolist():
                yield self._on(u, pod_name(int(state.load_id[u])), self._floor + RAISED, True)
        for lifter, pallet in self._docked.items():
            yield self._pallet(lifter, pallet)
        if state is not None:
            for unit, pallet in self._pallet_on.items():
                row = _row(state, unit)
                if row is not None:
                    yield self._on(row, pallet, self._floor + DECK, False)
        yield from self._free.values()

    def get(self, name: str) -> Entity | None:
        """One of them."""
        return next((entity for entity in self.all() if entity.name == name), None)

    def _unit(self, u: int) -> Entity:
        state = self._state
        assert state is not None
        at = (float(state.x[u]), float(state.y[u]), self._floor)
        name = self._building.unit_name(int(state.unit[u]))
        return upright(name, at, float(state.yaw[u]), float(state.speed[u]))

    def _on(self, u: int, name: str, height: float, square: bool) -> Entity:
        """A load on a unit; a pod keeps its own orientation."""
        unit = self._unit(u)
        load = replace(unit, name=name, position=(*unit.position[:2], height))
        return replace(load, quaternion=(0.0, 0.0, 0.0, 1.0)) if square else load

    def _pallet(self, lifter: str, pallet: str) -> Entity:
        arm = self._arms.get(lifter)
        if arm is None or arm.load <= 0.0:
            return upright(pallet, self._docks[lifter])
        q = arm.joint
        point, turn = forward((q[0], q[1], q[2], q[3], q[4], q[5]))
        x, y, z = (float(v) for v in point + self._bases[lifter])
        return upright(pallet, (x, y, z - POCKET), math.atan2(turn[1, 0], turn[0, 0]))

    # --- changes -------------------------------------------------------------------------------

    def add(self, entity: Entity, xml: str) -> None:
        """Add something that the building does not know of, described as SDF or URDF.

        A unit or a person that has been removed comes back as what it was.

        Raises:
            InputError: the name is taken or none, the text is no description, a number is not
                finite, there are too many already, or a unit cannot stand there.
        """
        if not entity.name:
            raise InputError("spawn_entity", "name", entity.name, "must not be empty")
        if self.get(entity.name) is not None:
            raise InputError("spawn_entity", "name", entity.name, "is there already")
        if len(self._added) >= MOST:
            raise InputError("spawn_entity", "name", entity.name, f"{MOST} are there already")
        try:
            root = ET.fromstring(xml)
        except ET.ParseError as error:
            raise InputError("spawn_entity", "xml", xml[:40], str(error)) from None
        if root.tag != "robot" and root.find("model") is None:
            raise InputError("spawn_entity", "xml", root.tag, "<sdf> or <robot> expected")
        _check(entity, "spawn_entity")
        if entity.name in self._unit_of:
            self._displace(entity)
            return
        if entity.name not in self._posts:
            self._added.add(entity.name)
        self._set_free(entity)

    def remove(self, name: str) -> None:
        """Remove a unit, a person, or something that was added.

        Raises:
            InputError: it is a pod or a pallet, a loaded unit, or not there.
        """
        if name in self._free:
            del self._free[name]
            self._added.discard(name)
            if name in self._posts:
                self._hands.attended(self._posts[name][0], False)
        elif self.get(name) is None:
            raise InputError("delete_entity", "name", name, "is not there")
        elif name in self._unit_of:
            self._hands.remove(self._unit_of[name])
        else:
            raise InputError("delete_entity", "name", name, IN_THE_LEDGER)

    def put(self, entity: Entity) -> None:
        """Put a unit, a person, or something that was added, elsewhere.

        A unit comes to stand in the middle of the cell, in the nearest of the grid's headings.

        Raises:
            InputError: it is a pod or a pallet, it is not there, a number is not finite, or a unit
                cannot stand there.
        """
        _check(entity, "set_entity_state")
        if entity.name in self._free:
            self._set_free(entity)
        elif self.get(entity.name) is None:
            raise InputError("set_entity_state", "name", entity.name, "is not there")
        elif entity.name in self._unit_of:
            self._displace(entity)
        else:
            raise InputError("set_entity_state", "name", entity.name, IN_THE_LEDGER)

    def _set_free(self, entity: Entity) -> None:
        self._free[entity.name] = entity
        if entity.name in self._posts:
            station, place = self._posts[entity.name]
            self._hands.attended(station, math.dist(entity.position, place) <= REACH)

    def _displace(self, entity: Entity) -> None:
        (x, y, z), (qx, qy, qz, qw) = entity.position, entity.quaternion
        if abs(z - self._floor) > REACH:
            wrong = f"units stand on the storage floor, z = {self._floor:g}"
            raise InputError("simulator", "position.z", z, wrong)
        yaw = math.atan2(2 * (qw * qz + qx * qy), qw**2 + qx**2 - qy**2 - qz**2)
        self._hands.displace(self._unit_of[entity.name], x, y, yaw)


def _row(state: FleetState, unit: int) -> int | None:
    """Where a report tells of a unit."""
    rows = np.flatnonzero(state.unit == unit)
    return int(rows[0]) if len(rows) else None


def _check(entity: Entity, service: str) -> None:
    values = (*entity.position, *entity.quaternion, *entity.linear, *entity.angular)
    if not np.isfinite(values).all() or not any(entity.quaternion):
        raise InputError(service, "pose", values, "finite numbers and a rotation expected")
