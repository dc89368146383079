"""One drive unit on its own, as a robot's computer runs it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from robo_stow.drive.motion import DriveUnits
from robo_stow.drive.robot import BatteryLevel, EmergencyStop, Reset, TrafficHeard
from robo_stow.floor.building import Building
from robo_stow.floor.start import pod_cells, unit_cells
from robo_stow.messages import (
    Action,
    Alarm,
    FleetState,
    KeepOuts,
    LiftResult,
    Load,
    PalletArrived,
    PodPlaces,
    Release,
    UnitStatus,
    VisitDone,
)

LONGEST_STEP = 1.0
"""Time (s) a unit moves on in one step at most, however long the clock stood still."""
STATE_PERIOD = 0.1
"""s between two states."""
TRAFFIC_SILENCE = 3.0
"""s without a word of the traffic manager after which people are told."""


class UnitCore(ABC):
    """What every unit does, however it moves.

    It keeps the books (releases, actions done, load, battery) in a `DriveUnits` of one; a subclass
    moves and says how far the books may go on. A unit drives on what is released and nothing else:
    when releases stop coming, for whatever reason, it stops at the last released cell.

    An emergency stop holds until it is released *and* a person has sent a `Reset`.

    Args:
        building: the site.
        seed: of the start places.
        unit: index in the fleet.
        start: cell and heading where the unit stands; by default its start place.
    """

    consumes: tuple[type, ...] = (
        Release,
        KeepOuts,
        PodPlaces,
        PalletArrived,
        LiftResult,
        VisitDone,
        EmergencyStop,
        Reset,
        BatteryLevel,
        TrafficHeard,
    )

    def __init__(
        self, building: Building, seed: int, unit: int, start: tuple[int, int] | None = None
    ) -> None:
        self.building, self.unit = building, unit
        cells, headings = unit_cells(building, seed)
        self._pods = pod_cells(building, seed)
        self.stand(*(start or (int(cells[unit]), int(headings[unit]))))
        self._pallet_cell = {station.id: station.pallet_cell for station in building.stations}
        self._weights: dict[str, float] = {}
        self._lifted: set[str] = set()
        self._pressed = False
        self._traffic_at: float | None = None
        self._now: float | None = None
        self._told = -np.inf
        self._said: list[Any] = []

    def stand(self, cell: int, heading: int) -> None:
        """Begin anew, empty, at the centre of ``cell``.

        Raises:
            InputError: ``cell`` is outside the floor or a wall.
        """
        building = self.building
        self.books = DriveUnits(
            building.drive,
            building.grid,
            1,
            np.array([cell], np.int32),
            np.array([heading], np.uint8),
            first_unit=self.unit,
            pod_cell=self._pods,
            pod_mass=building.pod.mass + building.stock.fill * building.pod.capacity,
        )

    @property
    def stopped(self) -> bool:
        """Whether the unit may not move."""
        return bool(self.books.status[0] in (UnitStatus.STOPPED, UnitStatus.DEAD))

    def step(self, now: float, inbox: Sequence[Any]) -> list[Any]:
        """Take what came in, move on, report."""
        self._said = said = []
        for message in inbox:
            self.receive(now, message)
        if self._now is not None and now < self._now:  # time has gone back
            self._told = -np.inf
            self._traffic_at = now if self._traffic_at is not None else None
        silent = self._traffic_at is not None and now - self._traffic_at > TRAFFIC_SILENCE
        if silent:
            self._traffic_at = None
            self.alarm(now, "traffic_silent", "hears nothing of the traffic manager")
        elapsed = 0.0 if self._now is None else float(np.clip(now - self._now, 0.0, LONGEST_STEP))
        self._now = now
        for action in self.move(now, elapsed):
            self.alarm(now, "failed_action", f"could not {action.name}")
        if now - self._told > STATE_PERIOD - 1e-6:
            self._told = now
            state = self.state(now)
            if state is not None:
                said.append(state)
        return said

    @abstractmethod
    def move(self, now: float, elapsed: float) -> list[Action]:
        """Move on by ``elapsed`` s; the actions that failed."""

    def state(self, now: float) -> FleetState | None:
        """The unit's state; None as long as it does not know where it is."""
        return self.books.states(now)

    def say(self, record: Any) -> None:
        """Send a record with the next step's."""
        self._said.append(record)

    def alarm(self, now: float, kind: str, text: str) -> None:
        """Tell people."""
        self.say(Alarm(now, "drive", kind, f"{self.building.unit_name(self.unit)} {text}"))

    def receive(self, now: float, message: Any) -> None:
        """Take one record."""
        if isinstance(message, Release):
            self.books.take(message)
        elif isinstance(message, KeepOuts):
            self.books.keep_out(message.cell)
            self.books.step(0.0)  # its status counts from now on
        elif isinstance(message, PodPlaces):
            self._pods[message.pod] = message.cell
            self.books.place_pods(message)
        elif isinstance(message, PalletArrived):
            self._weights[message.pallet] = message.weight
        elif isinstance(message, LiftResult):
            self._on_lift(message)
        elif isinstance(message, VisitDone):
            if (
                message.pallet_empty
                and self._pallet_cell.get(message.station, -1) == self.books.cell[0]
                and self.books.load[0] == Load.PALLET
            ):
                self.books.unload_pallet(self.unit)
        elif isinstance(message, EmergencyStop):
            if message.pressed and not self._pressed:
                self.alarm(now, "emergency_stop", "is stopped by its emergency stop")
            self._pressed = message.pressed
            if message.pressed:
                self.halt()
        elif isinstance(message, Reset):
            if not self._pressed:
                self.books.reset(self.unit)
                self.books.step(0.0)
        elif isinstance(message, BatteryLevel):
            self.books.set_charge(self.unit, message.share)
        elif isinstance(message, TrafficHeard):
            self._traffic_at = now

    def halt(self) -> None:
        """Stop, until a `Reset`."""
        self.books.stop(self.unit)
        self.books.step(0.0)  # its status counts from now on

    def _on_lift(self, result: LiftResult) -> None:
        weight = self._weights.pop(result.pallet, 0.0)
        if result.ok and result.unit == self.unit and result.pallet not in self._lifted:
            self._lifted.add(result.pallet)
            self.books.load_pallet(self.unit, weight)


class DriveUnitCore(UnitCore):
    """A unit with the kinematic backend: motion as the embedded simulator computes it."""

    def move(self, now: float, elapsed: float) -> list[Action]:
        """As `UnitCore.move`."""
        return [action for _, action in self.books.step(elapsed)]


def posed(state: FleetState, x: float, y: float, yaw: float, speed: float) -> FleetState:
    """A state of one unit that is really at this pose, with this speed."""
    one = np.array([[x], [y], [yaw], [speed]], np.float32)
    return replace(state, x=one[0], y=one[1], yaw=one[2], speed=one[3])
