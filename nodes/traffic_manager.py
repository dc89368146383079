"""Node of the traffic manager."""

from __future__ import annotations

import dataclasses
import math
import secrets
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from robo_stow_interfaces.msg import UnitState
from robo_stow_nodes import parameters, qos, topics
from robo_stow_nodes.conversions import COMMANDS, UnitStateCodec
from robo_stow_nodes.shell import CoreNode, run_alone

from robo_stow.errors import InputError
from robo_stow.messages import (
    Alarm,
    Confirmation,
    Core,
    ErrandReports,
    FleetState,
    KeepOuts,
    Message,
    PodPlaces,
    Release,
)
from robo_stow.traffic.kept import UnitFile
from robo_stow.traffic.manager import TrafficManager
from robo_stow.traffic.zones import ZoneFile

if TYPE_CHECKING:
    from robo_stow.warehouse import Warehouse


MARKS = 4096
"""Two traffic managers started at one moment have the same mark once in so many times."""
KEEP_PERIOD = 1.0
"""s after which the units' cells are written also when no release asks for it."""
TOGETHER = 0.5
"""s by which states that travel in one record may differ in age."""


class TrafficManagerNode(CoreNode):
    """Plans paths and releases them as they become safe.

    Publishes:
        /fleet/release (Release): actions the units may carry out.
        /fleet/errand_reports (ErrandReports): errands that ended.
        /fleet/pod_places (PodPlaces): where pods stand; transient local, whole for late joiners.
        /fleet/keep_outs (KeepOuts): closed zones, on change and then once a second; transient
            local.
        /alarms (Alarm)
        /fleet/state (FleetState): of units that are nodes of their own, for all others.

    Serves:
        /fleet/zone (Zone): somebody enters or has left a zone, or resets it.
        /fleet/reset_unit (ResetUnit): a fenced unit is trusted again.

    Subscribes:
        /fleet/state (FleetState)
        /<unit>/state (UnitState): of units that are nodes of their own.
        /fleet/errands (Errands)
        /inventory/pod_register (PodRegister)

    Parameters: those of `CoreNode`, and
        unit_nodes (int): units 0 to n - 1 are nodes of their own and report on /<unit>/state;
            -1: all units.
        zone_file (str): where closed zones are kept over a restart; empty: nowhere.
        unit_file (str): where the units' cells are kept over a restart; empty: nowhere.
    """

    KIND = "traffic_manager"
    PUBLISHES = (Release, ErrandReports, PodPlaces, KeepOuts, Alarm)
    _core: TrafficManager

    def build(self) -> Sequence[Core]:
        name = parameters.declare(
            self, self.KIND, "zone_file", "where closed zones are kept over a restart"
        )
        self._file = ZoneFile(name, self.building) if name else None
        closed = None
        if self._file is not None:
            closed = self._file.read()
            self._file.write(closed)  # one that cannot be written shows now, not in an emergency
        name = parameters.declare(
            self, self.KIND, "unit_file", "where the units' cells are kept over a restart"
        )
        self._unit_file = UnitFile(name, self.building) if name else None
        last_cells = {}
        if self._unit_file is not None:
            last_cells = self._unit_file.read()
            self._unit_file.write(last_cells)
        self._kept_at = -math.inf
        self._kept = True  # what was written last has come to the disk
        self._core = TrafficManager(
            self.building,
            self.seed,
            closed=closed,
            mark=secrets.randbelow(MARKS),
            last_cells=last_cells,
        )
        return (self._core,)

    def take(self, warehouse: Warehouse) -> Sequence[Core]:
        self._file = self._unit_file = None
        self._core = warehouse.traffic
        return (self._core,)

    def connect(self) -> None:
        super().connect()
        for record, service in COMMANDS.items():
            self.create_service(service, topics.COMMANDS[record], partial(self._obey, record))
        text = "units that report on topics of their own; -1: all"
        count = parameters.declare(self, self.KIND, "unit_nodes", text, (-1, 100_000))
        codec = UnitStateCodec(self.building)
        units = self.building.units
        nodes = range(units if count < 0 else min(count, units))
        for unit in nodes:
            name = topics.topic(topics.UNIT_STATE, unit=self.building.unit_name(unit))
            self.create_subscription(UnitState, name, partial(self._on_unit, codec), qos.STATE)
        self._heard: dict[int, FleetState] = {}  # states not yet passed on, by unit
        if nodes:
            self._connect_publisher(FleetState)

    def _obey(self, kind: type, message: Any, response: Any) -> Any:
        try:
            command = self.converter.command(kind).decode(message)
        except InputError as error:
            self.reject(error)
            answer = Confirmation(False, str(error))
        else:
            answer = self._core.command(self.now(), command)
            try:
                if self._file is not None:  # first on disk, then told and answered
                    self._file.write(self._core.keep_outs(self.now()))
            except InputError as error:  # the units stop all the same
                self.get_logger().error(f"{error}")
                answer = Confirmation(False, f"carried out, but lost at a restart: {error}")
            self.step(self.now())
        return self.converter.confirmation(kind).encode(answer)

    def _on_unit(self, codec: UnitStateCodec, message: Any) -> None:
        try:
            state = codec.decode(message)
        except InputError as error:
            self.reject(error)
            return
        self.deliver(state)
        unit = int(state.unit[0])
        if unit not in self._heard or state.stamp > self._heard[unit].stamp:
            self._heard[unit] = state

    def step(self, now: float) -> None:
        if self._heard:
            for record in together(list(self._heard.values())):
                self.outlets[FleetState](record)
            self._heard.clear()
        super().step(now)

    def send(self, said: Sequence[Message]) -> None:
        super().send([*self._keep_units(said), *said])

    def _keep_units(self, said: Sequence[Message]) -> list[Message]:
        """Put on disk where units may come to, before they are told; an alarm if that fails."""
        file, now = self._unit_file, self.now()
        if file is None or (file.covers(said) and 0.0 <= now - self._kept_at < KEEP_PERIOD):
            return []
        self._kept_at = now
        places = self._core.whereabouts()
        if places is None:
            return []
        kept, self._kept = self._kept, True
        try:
            file.write(places)
        except InputError as error:  # to stand still for it would be no safer now
            self._kept = False
            text = f"the units' cells would be lost at a restart: {error}"
            return [Alarm(now, "traffic", "unit_file", text)] if kept else []
        return []


def together(states: Sequence[FleetState]) -> list[FleetState]:
    """States of several units in as few records as may be.

    A record is stamped as the oldest state in it: a lifter lets go of a load by how old it is.
    """
    names = [field.name for field in dataclasses.fields(FleetState) if field.name != "stamp"]
    records: list[FleetState] = []
    by_age = sorted(states, key=lambda state: state.stamp)
    while by_age:
        oldest = by_age[0].stamp
        some = [state for state in by_age if state.stamp <= oldest + TOGETHER]
        by_age = by_age[len(some) :]
        arrays = {name: np.concatenate([getattr(s, name) for s in some]) for name in names}
        records.append(FleetState(stamp=oldest, **arrays))
    return records


def main(args: Sequence[str] | None = None) -> int:
    """Run the node as a process."""
    return run_alone(TrafficManagerNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
