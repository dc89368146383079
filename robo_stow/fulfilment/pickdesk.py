"""One pick station: its put wall, the pods on their way to it, and its visits."""

from __future__ import annotations

from robo_stow.floor.building import Building, Station
from robo_stow.fulfilment.assignment import choose_order
from robo_stow.fulfilment.ledger import Ledger
from robo_stow.fulfilment.orderbook import Line, Order, OrderBook, OrderStage, Pick, PickStage
from robo_stow.fulfilment.patience import Patience
from robo_stow.fulfilment.stock import Place, StockMirror
from robo_stow.fulfilment.trips import LEAVE, WAIT, PodTrip, Stage
from robo_stow.messages import (
    CancelRequest,
    Message,
    PickVisit,
    Put,
    Reply,
    ReserveRequest,
    VisitDone,
)

PUT_PATIENCE = 3.0
"""Seconds beyond twice the usual time after which pieces count as put into the tote unsaid."""
PUTS_REMEMBERED = 256
"""Latest puts that are known when they are told again."""
VISIT_REPEAT = 5.0
"""Seconds after which a visit that has not ended is sent again, later more rarely."""


class _Visit:
    """A visit given to the station."""

    __slots__ = ("patience", "picks", "request", "trip")

    def __init__(self, request: PickVisit, trip: PodTrip, picks: list[Pick]) -> None:
        self.request = request
        self.trip = trip
        self.picks = picks
        self.patience = Patience(VISIT_REPEAT, request.stamp)


class PickDesk:
    """Orders in the slots of a pick station, and what each pod is to give them.

    Lines are bound to pods on their way as long as those have not left: a line found on a pod that
    is just being picked from becomes a further visit, which the station queues behind the present
    one. A line counts as bound when the ledger has reserved its pieces.
    """

    def __init__(
        self,
        building: Building,
        station: Station,
        stock: StockMirror,
        book: OrderBook,
        ledger: Ledger,
        out: list[Message],
    ) -> None:
        self.station = station
        self.trips: list[PodTrip] = []
        self.stuck: list[PodTrip] = []
        self.slots: dict[str, Order] = {}
        self.open: dict[str, dict[Line, None]] = {}
        """Lines with pieces that have no bin yet, by SKU."""
        self.dirty = True
        """Something changed since the last plan."""
        self.done: list[Order] = []
        """Orders whose tote is full, to be taken by the core."""
        self.visits: dict[int, _Visit] = {}
        self.work = 0.0
        """Handwork planned and not done, s."""
        self._people = building.people
        self._faces = building.pod.faces
        self._slot_count = building.fulfilment.slots
        self._stock = stock
        self._book = book
        self._ledger = ledger
        self._out = out
        self._number = 0
        self._asked: list[Pick] = []
        self._picks_by_key: dict[str, Pick] = {}
        self._moved: dict[PodTrip, None] = {}
        self._filling: dict[str, float] = {}  # orders wholly picked, until when puts are awaited
        self._puts: dict[tuple[int, str], None] = {}

    def start(self, now: float) -> None:
        """Number visits from the clock, so that they grow across a restart too."""
        self._number = int(now)

    @property
    def unsettled(self) -> bool:
        """Whether something changed that the next plan has to take in."""
        return self.dirty or bool(self._moved)

    @property
    def has_room(self) -> bool:
        """Whether a slot is free."""
        return len(self.slots) < self._slot_count

    # -- orders ---------------------------------------------------------------------------------

    def resume(self) -> None:
        """Put totes back into free slots whose orders waited for stock."""
        returning = self._book.returning.get(self.station.id)
        while returning and self.has_room:
            order = returning.pop(0)
            if self._book.resume(order):
                self._enter(order)

    def fill(self, now: float) -> bool:
        """Open the best order in a free slot; False when there is none that can be opened."""
        while self.has_room:
            order = choose_order(self._book, self._stock, self.trips, now)
            if order is None:
                return False
            if self._book.take(order, self.station.id):
                self._enter(order)
                for line in order.lines:
                    self._bind(line)
                return True
        return False

    @property
    def load(self) -> float:
        """Handwork left in the orders of all slots, s."""
        people = self._people
        return sum(
            people.pick_line + people.pick_piece * (line.open + line.planned)
            for order in self.slots.values()
            for line in order.lines
            if line.open or line.planned
        )

    def bind(self) -> None:
        """Bind open lines to pods on their way."""
        for lines in list(self.open.values()):
            for line in list(lines):
                self._bind(line)

    def open_lines(self) -> list[Line]:
        """Lines for which pods must come."""
        return [line for lines in self.open.values() for line in lines]

    def suspend_starved(self) -> None:
        """Take totes out of their slots that wait for nothing but stock."""
        if all(self._stock.total.get(sku, 0) for sku in self.open):
            return
        for order in list(self.slots.values()):
            starved = [line for line in order.lines if line.open]
            if not starved or any(line.planned for line in order.lines):
                continue
            for line in starved:
                if self._stock.total.get(line.sku, 0) == 0:
                    del self.slots[order.name]
                    for other in starved:
                        self._close(other)
                    self._book.suspend(order, line.sku)
                    self.dirty = True
                    break

    def value(self, pod: int) -> int:
        """Open lines that ``pod`` could serve."""
        count = 0
        for sku in self._stock.by_pod[pod]:
            for line in self.open.get(sku, ()):
                count += self._stock.on_pod(pod, sku) >= line.open
        return count

    def _enter(self, order: Order) -> None:
        self.slots[order.name] = order
        for line in order.lines:
            if line.open:
                self.open.setdefault(line.sku, {})[line] = None

    def _close(self, line: Line) -> None:
        lines = self.open.get(line.sku)
        if lines is not None:
            lines.pop(line, None)
            if not lines:
                del self.open[line.sku]

    # -- binding --------------------------------------------------------------------------------

    def _bind(self, line: Line) -> None:
        """Plan picks for a line from the first pod on its way that has all the pieces."""
        if not self._stock.total.get(line.sku, 0):
            return
        partial: PodTrip | None = None
        for trip in self.trips:
            if trip.stage is Stage.STRANDED:
                continue
            free = self._stock.on_pod(trip.pod, line.sku)
            if free >= line.open:
                self._plan(line, trip)
                return
            if free and partial is None:
                partial = trip
        if partial is not None and self._stock.cover(line.sku) < line.open:
            self._plan(line, partial)

    def _plan(self, line: Line, trip: PodTrip) -> None:
        """Plan picks for the line from the pod: few bins, the face in front first."""
        places = self._stock.by_pod[trip.pod][line.sku]

        def order(place: Place) -> tuple[bool, bool, int, int]:
            enough = place.free >= line.open
            # The smallest bin that suffices, else the largest: bins run empty and few are touched.
            return (
                not enough,
                place.face != trip.face,
                place.free if enough else -place.free,
                (place.bin),
            )

        while line.open:
            place = min((p for p in places if p.free), key=order, default=None)
            if place is None:
                break
            quantity = min(place.free, line.open)
            pick = Pick(line, place, quantity, trip)
            self._stock.ask(place, quantity)
            self._book.plan(line, quantity)
            self.work += self._seconds(quantity)
            trip.picks.append(pick)
            self._asked.append(pick)
        if not line.open:
            self._close(line)

    def reserve(self, now: float) -> None:
        """Ask the ledger for everything planned since the last call."""
        if not self._asked:
            return
        picks, self._asked = self._asked, []
        request = ReserveRequest(
            self._ledger.key("reserve"),
            tuple(pick.line.order.name for pick in picks),
            tuple(pick.place.bin for pick in picks),
            tuple(pick.place.sku for pick in picks),
            tuple(pick.quantity for pick in picks),
        )
        self._ledger.ask(now, request, lambda reply, at: self._reserved(picks, reply, at))

    def _reserved(self, picks: list[Pick], reply: Reply, now: float) -> None:
        granted = reply.granted if reply.ok else (0,) * len(picks)
        for pick, pieces in zip(picks, granted, strict=True):
            self._stock.answered(pick.place, pick.quantity, pieces, now)
            if pick.stage is PickStage.ENDED:  # given up meanwhile
                if pieces:
                    self._cancel(pick, pieces, now)
                continue
            if pieces < pick.quantity:
                self._reopen(pick.line, pick.quantity - pieces)
                self.work -= self._seconds(pick.quantity) - self._seconds(pieces)
                pick.quantity = pieces
            if pieces:
                pick.stage = PickStage.RESERVED
            else:
                pick.stage = PickStage.ENDED
                pick.trip.picks.remove(pick)
            self._moved[pick.trip] = None

    def _reopen(self, line: Line, quantity: int) -> None:
        self._book.unplan(line, quantity)
        if line.order.stage is OrderStage.OPEN:
            self.open.setdefault(line.sku, {})[line] = None
        self.dirty = True

    def _cancel(self, pick: Pick, quantity: int, now: float) -> None:
        request = CancelRequest(
            self._ledger.key("cancel"),
            pick.line.order.name,
            pick.place.bin,
            pick.place.sku,
            quantity,
        )
        self._ledger.ask(now, request)

    def _seconds(self, quantity: int) -> float:
        return self._people.pick_line + self._people.pick_piece * quantity if quantity else 0.0

    # -- at the station -------------------------------------------------------------------------

    def join(self, trip: PodTrip) -> None:
        """The pod will come: it gives what it has for the open lines."""
        self.trips.append(trip)
        self.bind()
        self.dirty = True

    def first_face(self, trip: PodTrip, shown: int) -> int:
        """The face in front if there is a pick on it, else the one with the fewest turns."""
        faces = [pick.place.face for pick in trip.picks]
        return min(
            faces, key=lambda face: (_quarters(face, shown, self._faces), face), default=shown
        )

    def next_action(self, trip: PodTrip, now: float) -> int:
        """Give the station what is reserved on the face in front; then the next face, or go."""
        here = [pick for pick in trip.picks if pick.place.face == trip.face]
        ready = [pick for pick in here if pick.stage is PickStage.RESERVED]
        if ready:
            self._visit(trip, ready, now)
        if here:
            return WAIT
        others = [pick.place.face for pick in trip.picks]
        if not others:
            return LEAVE
        return min(others, key=lambda face: (_quarters(face, trip.face, self._faces), face))

    def withdraw(self, trip: PodTrip, now: float) -> bool:
        """Give back what the pod was to give; False while a visit of it goes on."""
        for pick in list(trip.picks):
            if pick.stage is not PickStage.INSTRUCTED:
                trip.picks.remove(pick)
                if pick.stage is PickStage.RESERVED:
                    self._cancel(pick, pick.quantity, now)
                pick.stage = PickStage.ENDED
                self.work -= self._seconds(pick.quantity)
                self._reopen(pick.line, pick.quantity)
        return not trip.picks

    def _visit(self, trip: PodTrip, picks: list[Pick], now: float) -> None:
        self._number += 1
        for index, pick in enumerate(picks):
            pick.stage = PickStage.INSTRUCTED
            self._picks_by_key[f"{self.station.id}/{self._number}/{index}"] = pick
        request = PickVisit(
            now,
            self.station.id,
            self._number,
            trip.unit,
            trip.pod,
            trip.face,
            tuple(pick.line.order.name for pick in picks),
            tuple(pick.place.bin for pick in picks),
            tuple(pick.place.sku for pick in picks),
            tuple(pick.quantity for pick in picks),
        )
        self.visits[self._number] = _Visit(request, trip, picks)
        self._out.append(request)

    def on_reply(self, reply: Reply, now: float) -> None:
        """The ledger has booked a pick (the station's request): the line needs no more waiting."""
        pick = self._picks_by_key.pop(reply.key, None)
        if pick is not None and reply.ok and reply.granted:
            self._picked(pick, min(reply.granted[0], pick.quantity), now)

    def on_put(self, put: Put) -> None:
        """The pieces of a pick are in the tote; the last ones free its slot."""
        key = (put.work, put.order)
        order = self.slots.get(put.order)
        if order is None or key in self._puts:
            return
        self._puts[key] = None
        if len(self._puts) > PUTS_REMEMBERED:
            del self._puts[next(iter(self._puts))]
        order.in_hand -= 1
        if put.order in self._filling and order.in_hand <= 0:
            self._full(order)

    def on_done(self, done: VisitDone, now: float) -> None:
        """A visit has ended, and all of it is booked."""
        visit = self.visits.pop(done.visit, None)
        if visit is None:
            return
        for index, pick in enumerate(visit.picks):
            self._picks_by_key.pop(f"{self.station.id}/{done.visit}/{index}", None)
            if pick.stage is PickStage.INSTRUCTED:
                self._picked(pick, pick.quantity - done.short.count(index), now)
        self._moved[visit.trip] = None

    def _picked(self, pick: Pick, pieces: int, now: float) -> None:
        pick.stage = PickStage.ENDED
        pick.trip.picks.remove(pick)
        self.work -= self._seconds(pick.quantity)
        line, order = pick.line, pick.line.order
        line.planned -= pieces
        line.picked += pieces
        order.in_hand += pieces > 0
        if pieces < pick.quantity:
            self._reopen(line, pick.quantity - pieces)
        elif order.missing == 0:
            order.stage = OrderStage.PICKED
            put = self._people.put_share * self._seconds(pieces)
            self._filling[order.name] = now + 2.0 * put + PUT_PATIENCE
            if order.in_hand <= 0:  # its put was heard before the ledger's answer
                self._full(order)
        self.dirty = True
        self._moved[pick.trip] = None

    def _full(self, order: Order) -> None:
        del self._filling[order.name]
        del self.slots[order.name]
        self.done.append(order)
        self.dirty = True

    def moved(self) -> list[PodTrip]:
        """Pods at, or on their way to, this station for which something changed."""
        if not self._moved:
            return []
        moved, self._moved = list(self._moved), {}
        return [trip for trip in moved if trip.desk is self]

    def repeat(self, now: float) -> None:
        """Send visits again that have not ended; wait no longer for puts that were not heard."""
        for name in [name for name, until in self._filling.items() if until <= now]:
            self._full(self.slots[name])
        for visit in self.visits.values():
            if visit.patience.over(now):
                self._out.append(visit.request)


def _quarters(face: int, shown: int, faces: int) -> int:
    """Turns from one face to another."""
    away = (face - shown) % faces
    return min(away, faces - away)
