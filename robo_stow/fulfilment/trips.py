"""Pod trips: a unit fetches a pod, takes it to one or more stations, and puts it away.

Stages of a trip::

    FETCH -> (FACE ->) (READY ->) TRAVEL -> AT <-> TURN -> TRAVEL (next station) ... -> STORE
                 a unit that goes down with the pod: STRANDED -> ... when it works again
                 a unit that goes down before:       UNITLESS -> FETCH by another unit

The stations' desks say what happens at a station; trips move the unit and hand it back.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from robo_stow.floor.building import Building, Station
from robo_stow.fulfilment.dispatch import Priority, Units
from robo_stow.fulfilment.orderbook import Pick
from robo_stow.fulfilment.putaway import CLASS_WEIGHT, Storage
from robo_stow.messages import Alarm, ErrandResult, Load, Message, Operation

WAIT = -1
"""A desk's answer: the pod stays as it is."""
LEAVE = -2
"""A desk's answer: the pod is done here."""
TIDY_WEIGHT = 8.0
"""`CLASS_WEIGHT` where a pod is moved for the sake of its place alone."""
RETRY = 5.0
"""Seconds before a rejected errand is tried again."""


class Stage(Enum):
    """Where a trip stands."""

    UNITLESS = auto()
    FETCH = auto()
    FACE = auto()  # lifted, turning its first face while others are at the station
    READY = auto()  # lifted, waits in its storage cell for room in the station's lane
    TRAVEL = auto()
    AT = auto()  # in the station's cell, the pod's face shown
    TURN = auto()  # in the station's cell, turning the pod to another face
    STORE = auto()
    STRANDED = auto()


_IN_LANE = (Stage.TRAVEL, Stage.AT, Stage.TURN)


class Desk(Protocol):
    """A station's part in a trip."""

    station: Station
    trips: list[PodTrip]
    stuck: list[PodTrip]  # pods on units that broke down in the lane

    def join(self, trip: PodTrip) -> None:
        """The pod will come."""
        ...

    def first_face(self, trip: PodTrip, shown: int) -> int:
        """Face to show on arrival; the pod shows ``shown`` now."""
        ...

    def next_action(self, trip: PodTrip, now: float) -> int:
        """At the station: a face to turn to, `WAIT` or `LEAVE`."""
        ...

    def withdraw(self, trip: PodTrip, now: float) -> bool:
        """The pod cannot come, or stays where it is; False: a visit goes on and must end first."""
        ...


class PodTrip:
    """One pod on its way; the unit's task while it has one."""

    def __init__(self, trips: Trips, pod: int, desk: Desk | None) -> None:
        self._trips = trips
        self.pod = pod
        self.desk = desk
        self.tidying = False  # on its way to a better cell, no station wants it
        self.unit = -1
        self.stuck_at: Desk | None = None  # in whose lane its unit broke down
        self.stage = Stage.UNITLESS
        self.face = 0  # shown, or on the way to be shown, at the station
        self.picks: list[Pick] = []  # not yet ended
        self.cell = -1  # storage cell reserved for the pod

    @property
    def in_lane(self) -> bool:
        """Whether the unit counts for the lane of its station."""
        return self.stage in _IN_LANE

    def reported(self, result: ErrandResult, now: float) -> None:
        """The unit's errand has ended."""
        self._trips.reported(self, result, now)

    def unit_down(self, now: float) -> None:
        """The unit stopped or died."""
        self._trips.unit_down(self, now)

    def unit_up(self, now: float) -> None:
        """The unit works again."""
        self._trips.unit_up(self, now)


class Trips:
    """All pod trips.

    Args:
        route: asked where a pod goes that is done at a station; None: put away.
        ended: told that a trip is over, after which the unit is free.
    """

    def __init__(
        self,
        building: Building,
        units: Units,
        storage: Storage,
        out: list[Message],
        route: Callable[[PodTrip, float], Desk | None],
        ended: Callable[[int, float], None],
    ) -> None:
        self._building = building
        self._units = units
        self._storage = storage
        self._out = out
        self._route = route
        self._ended = ended
        self._shown = [0] * building.pods  # face that each pod showed last
        self.by_pod: dict[int, PodTrip] = {}
        self.unitless: list[PodTrip] = []
        self._ready: list[PodTrip] = []
        self._later: list[tuple[float, Callable[[float], None]]] = []
        self._busy: NDArray[np.bool_] = np.zeros(building.pods, np.bool_)
        self._blocked_until: NDArray[np.float64] = np.zeros(building.pods)

    def available(self, now: float) -> NDArray[np.bool_]:
        """Pods that stand in storage and may be fetched, [pods]."""
        usable: NDArray[np.bool_] = (self._storage.place >= 0) & ~self._busy
        return usable & (self._blocked_until <= now)

    def start(self, pod: int, unit: int, desk: Desk | None, now: float) -> PodTrip:
        """Send ``unit`` to fetch ``pod`` for ``desk``, or for a better cell (None)."""
        trip = PodTrip(self, pod, desk)
        trip.tidying = desk is None
        self.by_pod[pod] = trip
        self._busy[pod] = True
        if desk is not None:
            desk.join(trip)
        self._fetch(trip, unit, now)
        return trip

    def adopt(self, unit: int, now: float, wait: float) -> None:
        """Take charge, ``wait`` s from now, of a pod that ``unit`` carries for a predecessor."""
        pod = int(self._units.load_id[unit])
        trip = PodTrip(self, pod, None)
        trip.unit, trip.stage = unit, Stage.STRANDED
        self.by_pod[pod] = trip
        self._busy[pod] = True
        self._storage.put(pod, -1)
        self._units.give(unit, trip)
        self._later.append((now + wait, lambda at: self.unit_up(trip, at)))

    def step(self, now: float) -> None:
        """Let waiting pods go where there is room, and try again what was rejected."""
        if self._later:
            due = [action for at, action in self._later if at <= now]
            self._later = [entry for entry in self._later if entry[0] > now]
            for action in due:
                action(now)
        if self._ready:
            for trip in list(self._ready):
                assert trip.desk is not None
                if room(trip.desk):
                    self._depart(trip, now)

    @property
    def due(self) -> float:
        """Time (s) at which `step` has something to do."""
        if any(trip.desk is not None and room(trip.desk) for trip in self._ready):
            return -math.inf
        return min((at for at, _ in self._later), default=math.inf)

    def poke(self, trip: PodTrip, now: float) -> None:
        """Something changed for a pod at its station: do what its desk wants next."""
        if trip.stage is not Stage.AT:
            return
        assert trip.desk is not None
        action = trip.desk.next_action(trip, now)
        if action == LEAVE:
            self._leave(trip, now)
        elif action != WAIT:
            trip.face = action
            trip.stage = Stage.TURN
            self._deliver(trip, now)

    def supply(self, now: float) -> bool:
        """Give a free unit to the first pod that lost its own; False when none needs or gets it."""
        while self.unitless:
            trip = self.unitless[0]
            unit = self._units.nearest_free(int(self._storage.place[trip.pod]))
            if unit < 0:
                return False
            self.unitless.pop(0)
            self._fetch(trip, unit, now)
        return True

    # -- stages ---------------------------------------------------------------------------------

    def reported(self, trip: PodTrip, result: ErrandResult, now: float) -> None:
        """The unit's errand has ended."""
        if result is ErrandResult.REJECTED:
            self._rejected(trip, now)
        elif trip.stage is Stage.FETCH:
            home = int(self._storage.place[trip.pod])
            self._storage.put(trip.pod, -1)
            self._keep(trip, home)  # until the unit has left it
            if trip.desk is None:
                self._store(trip, now)
                return
            trip.face = trip.desk.first_face(trip, self._shown[trip.pod])
            busy = any(other.in_lane for other in trip.desk.trips)
            if busy and trip.face != self._shown[trip.pod]:
                trip.stage = Stage.FACE
                self._turn(trip, home, False, now)
            else:
                self._lifted(trip, now)
        elif trip.stage is Stage.FACE:
            self._shown[trip.pod] = trip.face
            self._lifted(trip, now)
        elif trip.stage in (Stage.TRAVEL, Stage.TURN):
            self._shown[trip.pod] = trip.face
            trip.stage = Stage.AT
            self.poke(trip, now)
        elif trip.stage is Stage.STORE:
            self._storage.put(trip.pod, trip.cell)
            self._end(trip, now)

    def unit_down(self, trip: PodTrip, now: float) -> None:
        """The unit stopped or died: what can be done by others is given back."""
        unit = trip.unit
        if trip.stage is Stage.FETCH and self._units.load[unit] != Load.POD:
            self._units.stand(unit, now)
            self._units.release(unit)
            trip.unit = -1
            if int(self._units.cell[unit]) == int(self._storage.place[trip.pod]):
                self._cancel(trip, now)
            else:
                trip.stage = Stage.UNITLESS
                self.unitless.append(trip)
            return
        if trip.desk is not None and not trip.desk.withdraw(trip, now):
            return  # the pod is in place: the visit can end, and is stranded after it
        self._strand(trip)

    def unit_up(self, trip: PodTrip, now: float) -> None:
        """The unit works again: the pod goes on to where it is needed now."""
        if trip.stage is Stage.STRANDED:
            if trip.stuck_at is not None:
                trip.stuck_at.stuck.remove(trip)
                trip.stuck_at = None
            if self._units.load[trip.unit] == Load.POD:
                self._send_on(trip, now)
            else:  # it went down just after it had set the pod down
                self._storage.put(trip.pod, int(self._storage.told[trip.pod]))
                self._units.stand(trip.unit, now)
                self._end(trip, now)

    def _fetch(self, trip: PodTrip, unit: int, now: float) -> None:
        trip.unit = unit
        trip.stage = Stage.FETCH
        self._units.give(unit, trip)
        cell = int(self._storage.place[trip.pod])
        due = self._due(trip, cell)
        self._units.send(unit, cell, Operation.LIFT, False, Priority.FETCH, now, due)

    def _lifted(self, trip: PodTrip, now: float) -> None:
        """Ready to go, when there is room in the lane."""
        assert trip.desk is not None
        if room(trip.desk):
            self._depart(trip, now)
        else:
            trip.stage = Stage.READY
            self._ready.append(trip)

    def _depart(self, trip: PodTrip, now: float) -> None:
        """Go to the station of the trip's desk."""
        if trip in self._ready:
            self._ready.remove(trip)
        self._keep(trip, -1)
        assert trip.desk is not None
        trip.face = trip.desk.first_face(trip, self._shown[trip.pod])
        trip.stage = Stage.TRAVEL
        self._deliver(trip, now)

    def _deliver(self, trip: PodTrip, now: float) -> None:
        assert trip.desk is not None
        self._turn(trip, trip.desk.station.cell, True, now)

    def _turn(self, trip: PodTrip, cell: int, hold: bool, now: float) -> None:
        """Show the trip's face in ``cell``."""
        operation = Operation.FACE + trip.face
        due = self._due(trip, cell)
        self._units.send(trip.unit, cell, operation, hold, Priority.DELIVER, now, due)

    def _due(self, trip: PodTrip, cell: int) -> float:
        """When (s) the unit must be in ``cell`` with, or below, the pod, at the latest, for the
        orders that wait for it to be shipped in time."""
        if trip.desk is None or not trip.picks:
            return math.inf
        people, drive, grid = self._building.people, self._building.drive, self._building.grid
        due = min(pick.line.order.due for pick in trip.picks) - people.pack_tote
        due -= sum(people.pick_line + people.pick_piece * pick.quantity for pick in trip.picks)
        if trip.stage is Stage.FETCH:
            row, col = divmod(cell, grid.width)
            to_row, to_col = divmod(trip.desk.station.cell, grid.width)
            metres = (abs(row - to_row) + abs(col - to_col)) * grid.pitch
            due -= drive.lift_time + metres / drive.max_speed
        return due

    def _leave(self, trip: PodTrip, now: float) -> None:
        """Done at this station."""
        assert trip.desk is not None
        if self._units.down[trip.unit]:
            self._strand(trip)
            return
        trip.desk.trips.remove(trip)
        trip.desk = None
        self._send_on(trip, now)

    def _send_on(self, trip: PodTrip, now: float) -> None:
        desk = self._route(trip, now)
        if desk is not None:
            trip.desk = desk
            desk.join(trip)
            self._depart(trip, now)
        else:
            self._store(trip, now)

    def _store(self, trip: PodTrip, now: float) -> None:
        weight = TIDY_WEIGHT if trip.tidying else CLASS_WEIGHT
        cell = self._storage.choose(trip.pod, int(self._units.cell[trip.unit]), now, weight)
        trip.stage = Stage.STORE
        if cell < 0:
            self._alarm(now, "no_place", f"no free storage cell for pod {trip.pod}")
            self._again(trip, now, self._store)
            return
        self._keep(trip, cell)
        self._units.send(trip.unit, cell, Operation.LOWER, False, Priority.STORE, now)

    def _rejected(self, trip: PodTrip, now: float) -> None:
        goal = self._units.goal(trip.unit)
        self._alarm(
            now, "rejected", f"unit {trip.unit}, pod {trip.pod}: {trip.stage.name.lower()} {goal}"
        )
        carried = self._units.load[trip.unit] == Load.POD
        if trip.stage is Stage.FETCH and carried:  # it had lifted the pod, and then went down
            self.reported(trip, ErrandResult.DONE, now)
        elif trip.stage is Stage.FETCH:
            # It may be fenced: it must not try one pod after the other, and spoil them for others.
            unit = trip.unit
            self._cancel(trip, now)
            self._units.rest(unit)
            self._later.append((now + RETRY, lambda at: self._rested(unit, at)))
        elif not carried:  # it had set the pod down, and then went down
            self._storage.put(trip.pod, int(self._storage.told[trip.pod]))
            self._end(trip, now)
        elif trip.stage is Stage.FACE:
            self._lifted(trip, now)
        elif trip.stage is Stage.STORE:
            self._storage.shun(trip.cell, now)
            self._keep(trip, -1)
            self._again(trip, now, self._store)
        else:
            self._again(trip, now, self._deliver)

    def _rested(self, unit: int, now: float) -> None:
        self._units.release(unit)
        self._ended(unit, now)

    def _again(self, trip: PodTrip, now: float, action: Callable[[PodTrip, float], None]) -> None:
        """Do ``action`` a little later, if the trip still stands where it does now."""
        stage = trip.stage

        def retry(at: float) -> None:
            if trip.stage is stage and self.by_pod.get(trip.pod) is trip:
                action(trip, at)

        self._later.append((now + RETRY, retry))

    def _cancel(self, trip: PodTrip, now: float) -> None:
        """Give up a trip whose pod has not been lifted; the pod rests for a while."""
        if trip.desk is not None:
            trip.desk.withdraw(trip, now)
        self._blocked_until[trip.pod] = now + 6.0 * RETRY
        self._drop(trip)

    def _strand(self, trip: PodTrip) -> None:
        if trip in self._ready:
            self._ready.remove(trip)
        # The cell it was to be set down in stays reserved: traffic may still know that errand.
        self._storage.put(trip.pod, -1)
        if trip.desk is not None:
            trip.desk.trips.remove(trip)
            station = trip.desk.station
            if int(self._units.cell[trip.unit]) in (station.cell, *station.queue):
                trip.stuck_at = trip.desk
                trip.desk.stuck.append(trip)
            trip.desk = None
        trip.stage = Stage.STRANDED

    def _end(self, trip: PodTrip, now: float) -> None:
        if trip.desk is not None:
            trip.desk.withdraw(trip, now)
        self._units.release(trip.unit)
        self._drop(trip)
        self._ended(trip.unit, now)

    def _drop(self, trip: PodTrip) -> None:
        self._keep(trip, -1)
        del self.by_pod[trip.pod]
        self._busy[trip.pod] = False
        if trip.desk is not None:
            trip.desk.trips.remove(trip)
            trip.desk = None

    def _keep(self, trip: PodTrip, cell: int) -> None:
        """Reserve ``cell`` for the trip's pod in place of the one reserved so far."""
        if trip.cell >= 0:
            self._storage.give_back(trip.cell)
        trip.cell = cell
        if cell >= 0:
            self._storage.reserve(cell)

    def _alarm(self, now: float, kind: str, text: str) -> None:
        self._out.append(Alarm(now, "fulfilment", kind, text))


def room(desk: Desk) -> bool:
    """Whether one more unit may drive into the lane of the desk's station."""
    return len(desk.stuck) + sum(trip.in_lane for trip in desk.trips) <= len(desk.station.queue)
