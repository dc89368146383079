"""Fulfilment's core: orders and pallets in, errands, visits and requests out.

What decides what:

=====================  =====================================================================
`orderbook`            orders, backlog, orders that wait for stock
`assignment`           which order gets a free slot of a pick station (pod-matching, due time)
`podchoice`            which pod comes next for the open lines of a station (set cover)
`pickdesk`             a pick station's slots, reservations and visits
`trips`                a pod's way: fetched, from station to station, put away
`putaway`              where a pod is put away (velocity classes, forecast)
`inbound`              pallets, lifters' hand-offs, stow stations
`charging`             chargers, and where idle units wait
`dispatch`             units, their errands, who is free
`stock`, `ledger`      mirror of the stock; requests to the inventory, repeated until answered
`shipping`             full totes, packing, shipments
`succession`           orders that a predecessor left open
=====================  =====================================================================
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from robo_stow.floor.building import Building
from robo_stow.floor.start import pod_cells
from robo_stow.fulfilment.charging import Charging
from robo_stow.fulfilment.dispatch import Units
from robo_stow.fulfilment.inbound import Inbound
from robo_stow.fulfilment.ledger import Ledger
from robo_stow.fulfilment.orderbook import OrderBook
from robo_stow.fulfilment.pickdesk import PickDesk
from robo_stow.fulfilment.podchoice import Candidates, best_candidate, choose_pod
from robo_stow.fulfilment.putaway import Storage
from robo_stow.fulfilment.shipping import Shipping
from robo_stow.fulfilment.stock import StockMirror
from robo_stow.fulfilment.succession import Records, Succession
from robo_stow.fulfilment.trips import Desk, PodTrip, Stage, Trips, room
from robo_stow.fulfilment.ways import Ways
from robo_stow.messages import (
    Alarm,
    ErrandReports,
    FleetState,
    LiftResult,
    Load,
    Message,
    MovePodRequest,
    OrderArrived,
    PalletArrived,
    PodPlaces,
    PodSpace,
    Put,
    Reply,
    StockLevels,
    TotePacked,
    VisitDone,
)

ADOPTION = 60.0
"""Seconds that a pod found at a station stays there after a restart."""
CHORES = 1.0
"""Seconds between rounds of repeating, charging and looking again for what could not be done."""
RETRY_SHORT = 30.0
"""Seconds between attempts at orders that wait for stock."""
LEAD_FACTOR = 1.5
"""Work a pick station keeps on its way, in times it takes to bring a pod: late enough for lines to
gather on pods, early enough that nobody waits."""
TIDYING = 0.25
"""Most units that bring pods to better places, as a share of the fleet."""
RESERVE = 0.5
"""Share of the fleet that stays free for work meanwhile."""
PASS_ON = 2
"""Open lines for which a pod goes on to a station that has work enough."""


class FulfilmentCore:
    """Decides which pod goes where and when; one for a building.

    Every order that arrives is shipped in the end, as far as there is stock; what was sent and not
    acknowledged is sent again, and repeated messages change nothing.

    Args:
        expected: order lines of each SKU that the next day is expected to bring. Pods are ranked by
            them, and idle units bring pods to where their rank belongs before orders come.
        pick: which of the pods compared is sent (`robo_stow.fulfilment.rolling`).
        records: what the ledger holds for orders. If it holds anything at the first step, this core
            succeeds another: no order is begun until that one's visits have ended, then its orders
            go on, each when it is told again. Those that have been shipped may be told again too.
    """

    consumes: tuple[type, ...] = (
        FleetState,
        ErrandReports,
        PodPlaces,
        PalletArrived,
        LiftResult,
        OrderArrived,
        VisitDone,
        Put,
        TotePacked,
        Reply,
        StockLevels,
        PodSpace,
    )

    def __init__(
        self,
        building: Building,
        seed: int,
        expected: Mapping[str, float] | None = None,
        *,
        pick: Callable[[Candidates], int] = best_candidate,
        records: Records | None = None,
    ) -> None:
        self.building = building
        self._pick = pick
        self._out: list[Message] = []
        self.stock = StockMirror(building)
        self.book = OrderBook(self.stock)
        self.units = Units(building)
        self.ways = Ways(building)
        self.storage = Storage(
            building, self.ways, self.units, self.stock, self.book, expected or {}
        )
        self._anticipates = bool(expected)
        for pod, cell in enumerate(pod_cells(building, seed).tolist()):
            self.storage.put(pod, cell)
            self.storage.told[pod] = cell
        self.ledger = Ledger(self._out)
        self.charging = Charging(building, self.units)
        self.trips = Trips(
            building, self.units, self.storage, self._out, self._route, self._unit_freed
        )
        self.inbound = Inbound(
            building,
            seed,
            self.units,
            self.ways,
            self.stock,
            self.storage,
            self.trips,
            self.ledger,
            self._out,
            self._unit_freed,
        )
        self.shipping = Shipping(self.book, self.ledger, building.people.packers, self._out)
        self.desks = [
            PickDesk(building, station, self.stock, self.book, self.ledger, self._out)
            for station in building.stations
            if station.kind == "pick"
        ]
        self._by_station = {desk.station.id: desk for desk in self.desks}
        self._succession: Succession | None = None
        if records is not None:
            stations = list(self._by_station)
            self._succession = Succession(
                records, self.book, self.ledger, stations, self._out, ADOPTION
            )
        self._pods_per_station = building.fulfilment.pods_per_station
        self._lead = {desk.station.id: 0.0 for desk in self.desks}
        self._started = False
        self._adopted = False
        self._dispatch_due = True
        self._next_chores = 0.0
        self._next_short = 0.0
        self._handlers: dict[type, Callable[[Any, float], None]] = {
            FleetState: self._on_fleet,
            ErrandReports: self._on_reports,
            PodPlaces: self._on_places,
            PalletArrived: self.inbound.on_pallet,
            LiftResult: self.inbound.on_lifted,
            OrderArrived: self._on_order,
            VisitDone: self._on_visit,
            Put: self._on_put,
            TotePacked: self.shipping.on_packed,
            Reply: self._on_reply,
            StockLevels: self._on_levels,
            PodSpace: self._on_space,
        }

    def step(self, now: float, inbox: Sequence[Message]) -> list[Message]:
        """Take in what happened; say what is to be done."""
        if not self._started:
            self._start(now)
        for message in inbox:
            self._handlers[type(message)](message, now)
        if self.units.known:
            if not self._adopted:
                self._adopt(now)
            if now >= self._next_chores:
                self._chores(now)
            self._plan(now)
            self.inbound.step(now)
        errands = self.units.outgoing(now)
        if errands is not None:
            self._out.append(errands)
        if not self._out:
            return []
        out = list(self._out)
        self._out.clear()
        return out

    @property
    def due(self) -> float:
        """Time (s) at which a step has something to do although nothing has come in."""
        busy = not self.units.known or self._dispatch_due or self.inbound.waits
        if busy or any(desk.unsettled for desk in self.desks):
            return -math.inf
        return min(self._next_chores, self.trips.due)

    # -- intake ---------------------------------------------------------------------------------

    def _start(self, now: float) -> None:
        self._started = True
        if self._succession is not None:
            self._succession.start(now)
        self.ledger.start(now)
        self.units.start(now)
        self.inbound.start(now)
        for desk in self.desks:
            desk.start(now)
            fetch = self.ways.fetch_seconds(desk.station.cell, self.storage.cells)
            self._lead[desk.station.id] = LEAD_FACTOR * fetch

    def _adopt(self, now: float) -> None:
        """Take over the units as a predecessor left them: nobody may stand in a lane for ever.

        Pods go on to where they are needed, or back into storage; those at a station stay long
        enough for the person there to end what was begun.
        """
        self._adopted = True
        at_station = [station.cell for station in self.building.stations]
        for unit in range(self.units.count):
            if self.units.load[unit] == Load.POD:
                settle = ADOPTION if self.units.cell[unit] in at_station else 0.0
                self.trips.adopt(unit, now, settle)
            elif self.units.load[unit] == Load.PALLET:
                name = self.building.unit_name(unit)
                text = f"{name} carries a pallet that came before the restart"
                self._out.append(Alarm(now, "fulfilment", "unknown_pallet", text))
            else:
                self.charging.freed(unit, now)

    def _on_fleet(self, state: FleetState, now: float) -> None:
        self.units.on_state(state)

    def _on_reports(self, reports: ErrandReports, now: float) -> None:
        for unit, result in self.units.ended(reports):
            task = self.units.task[unit]
            if task is not None:
                task.reported(result, now)

    def _on_places(self, places: PodPlaces, now: float) -> None:
        for pod, cell in zip(places.pod.tolist(), places.cell.tolist(), strict=True):
            if cell == self.storage.told[pod]:
                continue
            self.storage.told[pod] = cell
            if cell >= 0:
                self.ledger.ask(now, MovePodRequest(self.ledger.key("move"), pod, cell))
            trip = self.trips.by_pod.get(pod)
            if trip is None or trip.stage is Stage.STRANDED:
                self.storage.put(pod, cell)

    def _on_order(self, order: OrderArrived, now: float) -> None:
        if self._succession is not None and self._succession.hear(order):
            return
        if self.book.arrive(order):
            for desk in self.desks:
                if desk.has_room:
                    desk.dirty = True

    def _on_visit(self, done: VisitDone, now: float) -> None:
        desk = self._by_station.get(done.station)
        if desk is not None:
            desk.on_done(done, now)
        elif done.station in self.inbound.by_station:
            self.inbound.on_done(done, now)

    def _on_put(self, put: Put, now: float) -> None:
        desk = self._by_station.get(put.station)
        if desk is not None:
            desk.on_put(put)

    def _on_reply(self, reply: Reply, now: float) -> None:
        desk = self._by_station.get(reply.key.split("/", 1)[0])
        if desk is not None:
            desk.on_reply(reply, now)
        else:
            self.ledger.on_reply(reply, now)

    def _on_levels(self, levels: StockLevels, now: float) -> None:
        for sku in self.stock.on_levels(levels):
            self.book.restocked(sku)
            for desk in self.desks:
                if sku in desk.open or desk.station.id in self.book.returning:
                    desk.dirty = True

    def _on_space(self, space: PodSpace, now: float) -> None:
        self.stock.on_space(space)

    # -- planning -------------------------------------------------------------------------------

    def _plan(self, now: float) -> None:
        """Fill slots, bind lines, move pods on, and send units where they are most needed."""
        changed = []
        for desk in self.desks:
            for trip in desk.moved():
                self.trips.poke(trip, now)
            if desk.dirty:
                desk.dirty = False
                changed.append(desk)
        if changed:
            self._dispatch_due = True
            self._fill(changed, now)
            for desk in changed:
                desk.bind()
                for order in desk.done:
                    self.shipping.ready(order, now)
                desk.done.clear()
        self.trips.step(now)
        if self._dispatch_due:
            self._dispatch_due = False
            self._dispatch(now)
        for desk in self.desks:
            desk.reserve(now)

    def _fill(self, desks: list[PickDesk], now: float) -> None:
        """Open orders in free slots: the station with the least left to do chooses first."""
        if self._waits:
            return  # the slots are those of a predecessor's totes
        for desk in desks:
            desk.resume()
        open_desks = [desk for desk in desks if desk.has_room]
        while open_desks and self.book.backlog:
            desk = min(open_desks, key=lambda d: d.load)
            if not desk.fill(now):
                return
            if not desk.has_room:
                open_desks.remove(desk)

    def _dispatch(self, now: float) -> None:
        if not self.trips.supply(now):
            return
        self.inbound.dispatch(now, first=True)
        hungry = [desk for desk in self.desks if self._wants(desk, now)]
        while hungry:
            desk = min(hungry, key=lambda d: d.work / self._lead[d.station.id])
            pod, unit = choose_pod(
                desk.open_lines(),
                desk.station.cell,
                self.stock,
                self.book,
                self.storage,
                self.units,
                self.ways,
                self.trips.available(now),
                now,
                self._pick,
            )
            if pod < 0:
                hungry.remove(desk)
                continue
            self.trips.start(pod, unit, desk, now)
            if not self._wants(desk, now):
                hungry.remove(desk)
        self.inbound.dispatch(now, first=False)

    def _wants(self, desk: PickDesk, now: float) -> bool:
        """Whether one more pod should be fetched for a pick station."""
        if not desk.open or desk.stuck or len(desk.trips) >= self._pods_per_station:
            return False
        return desk.work < self._lead[desk.station.id]

    def _route(self, trip: PodTrip, now: float) -> Desk | None:
        """Where a pod goes on to: a pick station with lines for it, a stow station, or storage."""
        self._dispatch_due = True
        best: PickDesk | None = None
        best_value = 0
        for desk in self.desks:
            if len(desk.trips) >= self._pods_per_station or desk.stuck or not room(desk):
                continue
            value = desk.value(trip.pod)
            if value > best_value and (value >= PASS_ON or self._wants(desk, now)):
                best, best_value = desk, value
        if best is not None:
            return best
        return self.inbound.takes(trip.pod, now)

    def _unit_freed(self, unit: int, now: float) -> None:
        self._dispatch_due = True
        if not self.units.down[unit]:
            self.charging.freed(unit, now)

    # -- chores ---------------------------------------------------------------------------------

    def _chores(self, now: float) -> None:
        self._next_chores = now + CHORES
        self._dispatch_due = True
        if self._succession is not None and self._succession.due(now):
            for order in self._succession.step(now):
                self.shipping.ready(order, now)
            for desk in self.desks:
                desk.dirty = True
        fell, rose = self.units.changed()
        for unit in fell:
            task = self.units.task[unit]
            if task is not None:
                task.unit_down(now)
        for unit in rose:
            task = self.units.task[unit]
            if task is not None:
                task.unit_up(now)
            else:
                self.charging.freed(unit, now)
        lull = not (self._waits or self.book.backlog)
        lull = lull and not any(self._wants(desk, now) for desk in self.desks)
        if lull and self._anticipates:
            self._tidy(now)
        self.charging.step(now, lull)
        self.stock.settle(now)
        self.ledger.repeat(now)
        self.units.repeat(now)
        self.shipping.repeat(now)
        self.inbound.chores(now)
        for desk in self.desks:
            desk.repeat(now)
            desk.suspend_starved()
        if now >= self._next_short:
            self._next_short = now + RETRY_SHORT
            self.book.retry()
            for desk in self.desks:
                desk.dirty = True

    @property
    def _waits(self) -> bool:
        """Whether a predecessor's visits may not have ended."""
        return self._succession is not None and self._succession.waits

    def _tidy(self, now: float) -> None:
        """Let idle units bring pods to better places; stations have what they need."""
        while True:
            under_way = sum(trip.tidying for trip in self.trips.by_pod.values())
            idle = len(self.units.free())
            if under_way >= TIDYING * self.units.count or idle <= RESERVE * self.units.count:
                return
            pod = self.storage.misplaced(self.trips.available(now), now)
            unit = self.units.nearest_free(int(self.storage.place[pod])) if pod >= 0 else -1
            if unit < 0:
                return
            self.trips.start(pod, unit, None, now)
