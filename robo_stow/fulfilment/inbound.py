"""From the dock into the pods: pallets, the units that carry them, and stowing.

A pallet is booked in, lifted onto a unit, and brought to the stow station with the least left to
stow. Pods with free space are brought there one after the other until the pallet is empty. Which
pods is left to chance among the emptier ones near by: random stow spreads every SKU over many
pods, so that one of them is near when it is wanted. A stow station without a pallet spot is fed
from outside: what arrives stands beside the person at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np

from robo_stow.floor.building import Building, LifterSite, Station
from robo_stow.fulfilment.dispatch import Priority, Units
from robo_stow.fulfilment.ledger import Ledger
from robo_stow.fulfilment.patience import Patience
from robo_stow.fulfilment.putaway import Storage
from robo_stow.fulfilment.stock import StockMirror
from robo_stow.fulfilment.trips import LEAVE, WAIT, PodTrip, Trips, room
from robo_stow.fulfilment.ways import FAR, Ways
from robo_stow.messages import (
    Alarm,
    ErrandResult,
    LiftRequest,
    LiftResult,
    Load,
    Message,
    Operation,
    PalletArrived,
    ReceiveRequest,
    Reply,
    StowVisit,
    VisitDone,
)

REPEAT = 3.0
"""Seconds after which an unanswered lift request or an open visit is sent again, the visit later
more rarely."""
ROOMY = 0.15
"""Free share of a face below which it is not offered for stowing."""
NEAR = 12
"""Pods among which one is drawn."""
PIECES_A_POD = 20.0
"""First guess of the pieces that are stowed into one pod."""
FRUITLESS = 12
"""Pods in a row that took nothing, after which stowing pauses."""
PAUSE = 60.0
"""Seconds of that pause."""
UNITS_A_PALLET = 4
"""At most one unit in so many holds a pallet."""
PALLETS_A_STATION = 2
"""Pallets at, and on their way to, a stow station: one more than is being stowed."""
_SALT = 0x1B0D


class PalletStage(Enum):
    """Where a pallet trip stands."""

    TO_LIFTER = auto()
    LIFTING = auto()
    TO_STATION = auto()
    AT = auto()
    EMPTY = auto()  # emptied, and not yet reported without its pallet


@dataclass(eq=False, slots=True)
class Pallet:
    """A pallet and what is thought to be left on it."""

    name: str
    weight: float
    left: int


class PalletTrip:
    """A unit that fetches a pallet at a lifter and holds it at a stow station.

    Goods that stand at a station by themselves have no unit (-1) and no lifter.
    """

    def __init__(self, inbound: Inbound, unit: int, site: LifterSite | None) -> None:
        self._inbound = inbound
        self.unit = unit
        self.site = site
        self.stage = PalletStage.TO_LIFTER
        self.pallet: Pallet | None = None
        self.desk: StowDesk | None = None
        self.asked = 0.0

    def reported(self, result: ErrandResult, now: float) -> None:
        """The unit's errand has ended."""
        self._inbound.reported(self, result, now)

    def unit_down(self, now: float) -> None:
        """A unit without its pallet yet gives the pallet to another."""
        self._inbound.unit_down(self, now)

    def unit_up(self, now: float) -> None:
        """The unit works again: its errand still stands."""


class StowDesk:
    """A stow station: its pallets, and the pods on their way to it."""

    def __init__(self, inbound: Inbound, building: Building, station: Station) -> None:
        self.station = station
        self.trips: list[PodTrip] = []
        self.stuck: list[PodTrip] = []
        self.pallets: list[PalletTrip] = []
        self.visit: tuple[StowVisit, PodTrip] | None = None
        self.pieces_a_pod = PIECES_A_POD
        self.fruitless = 0
        self.refused: dict[int, None] = {}
        """Pods that took nothing of the present pallet."""
        self.paused_until = 0.0
        self.lead = 0.0
        """Seconds it takes to bring a pod."""
        self._inbound = inbound
        self._people = building.people
        self._faces = building.pod.faces
        self._number = 0
        self._tried: dict[PodTrip, list[int]] = {}
        self._stowed: dict[PodTrip, int] = {}
        self._patience = Patience(REPEAT, 0.0)

    def start(self, now: float) -> None:
        """Number visits from the clock, so that they grow across a restart too."""
        self._number = int(now)

    @property
    def left(self) -> int:
        """Pieces on the pallets given to this station."""
        return sum(trip.pallet.left for trip in self.pallets if trip.pallet is not None)

    @property
    def present(self) -> PalletTrip | None:
        """The pallet that stands at the station."""
        first = self.pallets[0] if self.pallets else None
        return first if first is not None and first.stage is PalletStage.AT else None

    def wants(self, now: float, limit: int) -> bool:
        """Whether one more pod should come."""
        if self.left == 0 or self.stuck or now < self.paused_until:
            return False
        most = min(limit, len(self.station.queue) + 1)
        if len(self.trips) >= min(most, self.left / max(self.pieces_a_pod, 1.0) + 1.0):
            return False
        # More pods than are stowed into while one is brought would only hold units up.
        each = self._people.stow_line + self._people.stow_piece * self.pieces_a_pod
        return not self.trips or len(self.trips) * each < self.lead

    def join(self, trip: PodTrip) -> None:
        """The pod will come."""
        self.trips.append(trip)

    def first_face(self, trip: PodTrip, shown: int) -> int:
        """The emptiest face."""
        return int(np.argmax(self._inbound.stock.space[trip.pod]))

    def next_action(self, trip: PodTrip, now: float) -> int:
        """Stow into the face in front, then into the next one with space."""
        if self.visit is not None and self.visit[1] is trip:
            return WAIT
        if not self.pallets:
            return LEAVE
        tried = self._tried.setdefault(trip, [])
        if trip.face not in tried:
            pallet = self.present
            if pallet is None or pallet.pallet is None:
                return WAIT
            tried.append(trip.face)
            self._number += 1
            self._patience = Patience(REPEAT, now)
            name = pallet.pallet.name
            visit = StowVisit(
                now, self.station.id, self._number, trip.unit, trip.pod, trip.face, name
            )
            self.visit = (visit, trip)
            self._inbound.out.append(visit)
            return WAIT
        space = self._inbound.stock.space[trip.pod]
        faces = [f for f in range(self._faces) if f not in tried and space[f] >= ROOMY]
        if not faces or now < self.paused_until:
            del self._tried[trip]
            self._learn(trip, now)
            return LEAVE
        return min(faces, key=lambda face: (-(space[face]), face))

    def withdraw(self, trip: PodTrip, now: float) -> bool:
        """The pod cannot come; False while it is being stowed into."""
        if self.visit is not None and self.visit[1] is trip:
            return False
        self._tried.pop(trip, None)
        self._stowed.pop(trip, None)
        return True

    def on_done(self, done: VisitDone, now: float) -> PodTrip | None:
        """A visit has ended; returns its pod's trip when it was the open one."""
        if self.visit is None or self.visit[0].visit != done.visit:
            return None
        _, trip = self.visit
        self.visit = None
        self._stowed[trip] = self._stowed.get(trip, 0) + done.handled
        pallet = self.present
        if pallet is not None and pallet.pallet is not None:
            if done.pallet_empty:
                pallet.pallet.left = 0
                self._inbound.emptied(pallet)
                self.refused.clear()
                # What did not fit of the last pallet may fit of the next.
                self._tried.pop(trip, None)
            else:
                pallet.pallet.left = max(pallet.pallet.left - done.handled, 1)
        return trip

    def repeat(self, now: float) -> None:
        """Send the visit again when it has not ended."""
        if self.visit is not None and self._patience.over(now):
            self._inbound.out.append(self.visit[0])

    def _learn(self, trip: PodTrip, now: float) -> None:
        stowed = self._stowed.pop(trip, 0)
        self.pieces_a_pod += 0.2 * (stowed - self.pieces_a_pod)
        if stowed:
            self.fruitless = 0
            return
        self.fruitless += 1
        self.refused[trip.pod] = None
        if self.fruitless >= FRUITLESS:
            self.pause(now, f"{FRUITLESS} pods in a row took nothing")

    def pause(self, now: float, reason: str) -> None:
        """Stop bringing pods for a while."""
        self.fruitless = 0
        self.refused.clear()
        self.paused_until = now + PAUSE
        self._inbound.alarm(now, "stow_full", f"{self.station.id}: {reason}")


class Inbound:
    """All pallets and stow stations.

    Args:
        ended: told when a unit has finished a pallet trip.
    """

    def __init__(
        self,
        building: Building,
        seed: int,
        units: Units,
        ways: Ways,
        stock: StockMirror,
        storage: Storage,
        trips: Trips,
        ledger: Ledger,
        out: list[Message],
        ended: Callable[[int, float], None],
    ) -> None:
        self.stock = stock
        self.out = out
        self.desks = [StowDesk(self, building, s) for s in building.stations if s.kind == "stow"]
        self.by_station = {desk.station.id: desk for desk in self.desks}
        self._fed = {d.station.id: d for d in self.desks if d.station.pallet_cell < 0}
        self._pallet_desks = [d for d in self.desks if d.station.pallet_cell >= 0]
        self._pods_per_station = building.fulfilment.pods_per_station
        self._sites = building.lifters
        self._units = units
        self._ways = ways
        self._storage = storage
        self._trips = trips
        self._ledger = ledger
        self._ended = ended
        self._rng = np.random.default_rng([seed, _SALT])
        self._known: dict[str, None] = {}
        self._waiting: dict[str, deque[Pallet]] = {site.id: deque() for site in building.lifters}
        self._empty: list[PalletTrip] = []
        self._to_lifter: dict[str, list[PalletTrip]] = {site.id: [] for site in building.lifters}

    def start(self, now: float) -> None:
        """Begin numbering."""
        for desk in self.desks:
            desk.start(now)
            desk.lead = self._ways.fetch_seconds(desk.station.cell, self._storage.cells)

    # -- pallets --------------------------------------------------------------------------------

    def on_pallet(self, message: PalletArrived, now: float) -> None:
        """A pallet stands at a dock: book it in."""
        fed = self._fed.get(message.lifter)
        if message.pallet in self._known or (fed is None and message.lifter not in self._waiting):
            return
        self._known[message.pallet] = None
        pallet = Pallet(message.pallet, message.weight, sum(message.quantity))

        def received(reply: Reply, at: float) -> None:
            if reply.ok and fed is not None:
                self._stand(fed, pallet, at)
            elif reply.ok:
                self._waiting[message.lifter].append(pallet)
            else:
                self.alarm(at, "receipt_refused", f"pallet {pallet.name}: {reply.reason}")

        self._ledger.ask(
            now,
            ReceiveRequest(
                f"receive/{message.pallet}", message.pallet, message.sku, message.quantity
            ),
            received,
        )

    def _stand(self, desk: StowDesk, pallet: Pallet, now: float) -> None:
        """Goods stand at a station that is fed from outside."""
        trip = PalletTrip(self, -1, None)
        trip.pallet, trip.desk, trip.stage = pallet, desk, PalletStage.AT
        desk.pallets.append(trip)
        self._poke(desk, now)

    def on_lifted(self, message: LiftResult, now: float) -> None:
        """A lift has ended."""
        for trip in self._to_lifter.get(message.lifter, ()):
            pallet = trip.pallet
            if (
                trip.stage is PalletStage.LIFTING
                and trip.unit == message.unit
                and pallet is not None
                and pallet.name == message.pallet
            ):
                break
        else:
            return
        if message.ok:
            self._to_lifter[message.lifter].remove(trip)
            desk = min(
                (d for d in self._pallet_desks if len(d.pallets) < _pallet_room(d)),
                key=lambda d: (d.left, d.station.id),
                default=None,
            ) or min(self._pallet_desks, key=lambda d: (len(d.pallets), d.left))
            trip.desk = desk
            desk.pallets.append(trip)
            trip.stage = PalletStage.TO_STATION
            self._to_station(trip, now)
        else:
            self.alarm(now, "pallet_refused", f"pallet {message.pallet}: {message.reason}")
            trip.pallet = None
            trip.stage = PalletStage.TO_LIFTER
            self._at_lifter(trip, now)

    def reported(self, trip: PalletTrip, result: ErrandResult, now: float) -> None:
        """A pallet unit's errand has ended."""
        if result is ErrandResult.REJECTED:
            self.alarm(now, "rejected", f"unit {trip.unit}: pallet trip {trip.stage.name.lower()}")
            if trip.stage is PalletStage.TO_LIFTER:
                self._abandon(trip, now)
            else:
                self._to_station(trip, now)
        elif trip.stage is PalletStage.TO_LIFTER:
            self._at_lifter(trip, now)
        elif trip.stage is PalletStage.TO_STATION:
            trip.stage = PalletStage.AT
            assert trip.desk is not None
            # Units queue in one lane: the one that arrived is the first.
            trip.desk.pallets.remove(trip)
            trip.desk.pallets.insert(0, trip)
            self._poke(trip.desk, now)

    def unit_down(self, trip: PalletTrip, now: float) -> None:
        """A unit that has no pallet yet is replaced."""
        if trip.stage is PalletStage.TO_LIFTER:
            self._units.stand(trip.unit, now)
            self._leave_lifter(trip)
            self._units.release(trip.unit)

    def emptied(self, trip: PalletTrip) -> None:
        """The pallet is empty: the unit is free when it reports that it has been taken off."""
        assert trip.desk is not None
        trip.desk.pallets.remove(trip)
        trip.stage = PalletStage.EMPTY
        if trip.unit >= 0:
            self._empty.append(trip)

    def _at_lifter(self, trip: PalletTrip, now: float) -> None:
        assert trip.site is not None
        waiting = self._waiting[trip.site.id]
        if not waiting:
            self._abandon(trip, now)
            return
        trip.pallet = waiting.popleft()
        trip.stage = PalletStage.LIFTING
        self._ask_lift(trip, now)

    def _ask_lift(self, trip: PalletTrip, now: float) -> None:
        assert trip.pallet is not None and trip.site is not None
        trip.asked = now
        self.out.append(
            LiftRequest(now, trip.site.id, trip.pallet.name, trip.pallet.weight, trip.unit)
        )

    def _to_station(self, trip: PalletTrip, now: float) -> None:
        assert trip.desk is not None
        cell = trip.desk.station.pallet_cell
        self._units.send(trip.unit, cell, Operation.NONE, True, Priority.DELIVER, now)

    def _leave_lifter(self, trip: PalletTrip) -> None:
        assert trip.site is not None
        self._to_lifter[trip.site.id].remove(trip)

    def _abandon(self, trip: PalletTrip, now: float) -> None:
        self._leave_lifter(trip)
        self._units.release(trip.unit)
        self._ended(trip.unit, now)

    # -- dispatch -------------------------------------------------------------------------------

    def dispatch(self, now: float, *, first: bool) -> None:
        """Send free units for pallets and for pods to stow into.

        Args:
            first: only what must not wait for the pick stations: a pallet at a dock, and one pod
                for each pallet that stands at a station.
        """
        if first:
            self._fetch_pallets(now)
        for desk in self.desks:
            enough = first and (bool(desk.trips) or desk.present is None)
            while not enough and desk.wants(now, self._pods_per_station):
                if not self._fetch_pod(desk, now):
                    return
                enough = first

    def step(self, now: float) -> None:
        """Free the units whose empty pallets have been taken off."""
        for trip in list(self._empty):
            if self._units.load[trip.unit] == Load.NONE and not self._units.down[trip.unit]:
                self._empty.remove(trip)
                self._units.release(trip.unit)
                self._ended(trip.unit, now)

    @property
    def waits(self) -> bool:
        """Whether a unit is watched for its empty pallet being taken off."""
        return bool(self._empty)

    def takes(self, pod: int, now: float) -> StowDesk | None:
        """A stow station that can use ``pod``, which comes from a pick station."""
        if float(self.stock.space[pod].max()) < ROOMY:
            return None
        for desk in self.desks:
            if desk.present is None or not room(desk) or pod in desk.refused:
                continue
            if desk.wants(now, self._pods_per_station):
                return desk
        return None

    def chores(self, now: float) -> None:
        """Repeat what was not acknowledged; let pods at the stations go on."""
        for trips in self._to_lifter.values():
            for trip in trips:
                if trip.stage is PalletStage.LIFTING and now - trip.asked >= REPEAT:
                    self._ask_lift(trip, now)
        for desk in self.desks:
            desk.repeat(now)
            self._poke(desk, now)

    def on_done(self, done: VisitDone, now: float) -> None:
        """A stow visit has ended."""
        desk = self.by_station[done.station]
        trip = desk.on_done(done, now)
        if trip is not None:
            self._trips.poke(trip, now)

    def alarm(self, now: float, kind: str, text: str) -> None:
        """Tell people."""
        self.out.append(Alarm(now, "fulfilment", kind, text))

    def _poke(self, desk: StowDesk, now: float) -> None:
        for trip in list(desk.trips):
            self._trips.poke(trip, now)

    def _fetch_pallets(self, now: float) -> None:
        busy = sum(len(desk.pallets) for desk in self._pallet_desks)
        busy += sum(len(trips) for trips in self._to_lifter.values())
        # Enough units must be left to bring pods.
        most = min(self._units.count - 1, max(self._units.count // UNITS_A_PALLET, 1))
        room = min(most, sum(_pallet_room(desk) for desk in self._pallet_desks)) - busy
        for site in self._sites:
            trips, waiting = self._to_lifter[site.id], self._waiting[site.id]
            open_trips = sum(trip.pallet is None for trip in trips)
            while room > 0 and len(waiting) > open_trips and len(trips) <= len(site.queue):
                unit = self._units.nearest_free(site.cell)
                if unit < 0:
                    return
                trip = PalletTrip(self, unit, site)
                self._units.give(unit, trip)
                self._units.send(unit, site.cell, Operation.NONE, True, Priority.DELIVER, now)
                trips.append(trip)
                open_trips += 1
                room -= 1

    def _fetch_pod(self, desk: StowDesk, now: float) -> bool:
        """Bring one more pod to a stow station; False when no unit or no pod is to be had."""
        if not len(self._units.free()):
            return False
        place = self._storage.place
        steps = self._ways.to(desk.station.cell)
        space = self.stock.space.max(axis=1)
        pods = np.flatnonzero(self._trips.available(now) & (space >= ROOMY))
        pods = pods[steps[place[pods]] < FAR]
        # Near and empty at once: as many steps as the floor is wide weigh as much as an empty face;
        # space counts for more when what is left on the pallet does not fit easily.
        rank = steps[place[pods]] / self._ways.width - (1 + desk.fruitless) * space[pods]
        near: list[int] = []
        for index in np.argsort(rank, kind="stable").tolist():
            pod = int(pods[index])
            if pod not in desk.refused:
                near.append(pod)
                if len(near) == NEAR:
                    break
        if not near:
            if desk.refused and not desk.trips:
                desk.pause(now, f"none of {len(desk.refused)} pods took anything")
            return False
        pod = near[int(self._rng.integers(len(near)))]
        unit = self._units.nearest_free(int(place[pod]))
        self._trips.start(pod, unit, desk, now)
        return True


def _pallet_room(desk: StowDesk) -> int:
    """Pallets that may be at, or on their way to, a stow station."""
    return min(len(desk.station.pallet_queue) + 1, PALLETS_A_STATION)
