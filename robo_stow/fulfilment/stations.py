"""Pick and stow stations: from a pod in place to handwork that the ledger has acknowledged.

Both cores keep one rule above all: a person is told to reach into a pod only after the fleet's
state has shown the unit at rest in the station's cell with that very pod on it. What the person
has scanned is asked of the ledger again and again until its reply has come; only then is the visit
reported done. Repeated visits, scans and replies change nothing.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from robo_stow.floor.building import Building, Station
from robo_stow.fulfilment.patience import Patience
from robo_stow.messages import (
    Alarm,
    FleetState,
    Instruct,
    Load,
    Message,
    PickRequest,
    PickVisit,
    ProposeRequest,
    Reply,
    Scan,
    StowRequest,
    StowVisit,
    VisitDone,
)

REPEAT = 2.0
"""Seconds after which an unanswered request or instruction is sent again, later more rarely."""
AHEAD = 2
"""Pieces of handwork that are told again: the present one, and the next."""
REMEMBERED = 64
"""Finished visits whose end is told again when they are asked for again."""
AT_REST = 1e-3
"""Speed (m/s) below which a unit stands."""


@dataclass(slots=True)
class _Work:
    """One piece of handwork."""

    number: int
    bin: int
    sku: str
    quantity: int
    order: str  # pick: whose tote
    moved: int = -1  # pieces scanned, -1 before the scan
    request: PickRequest | StowRequest | None = None
    booked: int = -1  # pieces acknowledged by the ledger, -1 before


@dataclass(slots=True)
class _Visit:
    """A visit from its request to its end."""

    request: PickVisit | StowVisit
    work: list[_Work] = field(default_factory=list)
    patience: Patience | None = None  # since the instructions
    asked_at: float = -REPEAT
    left: int = -1  # stow: pieces left on the pallet, -1 before the proposal


class _StationCore(ABC):
    """What pick and stow stations have in common."""

    def __init__(self, building: Building, station: Station) -> None:
        self.building = building
        self.station = station
        self._visits: list[_Visit] = []  # the first one is being worked
        self._ended: dict[int, VisitDone] = {}
        self._work_number = 0
        self._waiting: dict[str, tuple[_Visit, _Work | None]] = {}  # by idempotency key
        self._scans: dict[int, tuple[_Visit, _Work]] = {}  # by number of open work
        self._out: list[Message] = []
        self._blocked_since = -1.0

    @property
    def due(self) -> float:
        """Time (s) at which a step has something to do although nothing has come in."""
        if self._out:
            return -math.inf
        due = math.inf
        for visit in self._visits:
            if visit.patience is None:
                return -math.inf  # looks for its pod in every state
            due = min(due, visit.patience.until)
        return due

    def hears(self, message: Message) -> bool:
        """Whether a message is for this station; its step passes over others."""
        if isinstance(message, Reply):
            return message.key in self._waiting
        if isinstance(message, (PickVisit, StowVisit, Scan)):
            return message.station == self.station.id
        return True

    def step(self, now: float, inbox: Sequence[Message]) -> list[Message]:
        """Take in visits, the fleet's state, scans and replies; say what is to be done."""
        state: FleetState | None = None
        for message in inbox:
            if isinstance(message, FleetState):
                state = message
            elif isinstance(message, (PickVisit, StowVisit)):
                self._take(message)
            elif isinstance(message, Scan):
                if message.station == self.station.id:
                    self._on_scan(message)
            elif isinstance(message, Reply) and message.key in self._waiting:
                self._on_reply(now, message)
        if not self._visits and not self._out:
            return []
        self._go_on(now, state)
        out, self._out = self._out, []
        return out

    @abstractmethod
    def _go_on(self, now: float, state: FleetState | None) -> None:
        """Work on the visits; ``state`` is the fleet's, where there is a new one."""

    @abstractmethod
    def _on_scan(self, scan: Scan) -> None:
        """The person has moved pieces."""

    @abstractmethod
    def _on_reply(self, now: float, reply: Reply) -> None:
        """The inventory answers what `_waiting` holds."""

    @abstractmethod
    def _finish(self, visit: _Visit, now: float) -> None:
        """All that was to be done is booked."""

    def _take(self, visit: PickVisit | StowVisit) -> _Visit | None:
        """A new visit; None for a repeated one, whose end is told again."""
        if visit.station != self.station.id:
            return None
        if visit.visit in self._ended:
            self._out.append(self._ended[visit.visit])
            return None
        if any(known.request.visit == visit.visit for known in self._visits):
            return None
        taken = _Visit(visit)
        self._visits.append(taken)
        return taken

    def _pod_in_place(self, state: FleetState, visit: PickVisit | StowVisit) -> bool:
        """Whether ``state`` shows the visit's unit at rest in the station with the visit's pod."""
        for i in np.flatnonzero(state.unit == visit.unit):
            return bool(
                state.cell[i] == self.station.cell
                and state.speed[i] < AT_REST
                and state.load[i] == Load.POD
                and state.load_id[i] == visit.pod
            )
        return False

    def _instruct(self, visit: _Visit, now: float, work: Sequence[_Work]) -> None:
        stow = isinstance(visit.request, StowVisit)
        name = self.station.id
        self._out += [
            Instruct(now, name, w.number, stow, w.bin, w.sku, w.quantity, w.order) for w in work
        ]

    def _new_work(
        self, visit: _Visit, bin_: int, sku: str, quantity: int, order: str = ""
    ) -> _Work:
        work = _Work(self._work_number, bin_, sku, quantity, order)
        self._work_number += 1
        visit.work.append(work)
        self._scans[work.number] = (visit, work)
        return work

    def _key(self, visit: _Visit, part: int | str) -> str:
        return f"{self.station.id}/{visit.request.visit}/{part}"

    def _ask(self, visit: _Visit, work: _Work, request: PickRequest | StowRequest) -> None:
        work.request = request
        self._waiting[request.key] = (visit, work)
        self._out.append(request)

    def _alarm(self, now: float, kind: str, text: str) -> None:
        self._out.append(Alarm(now, "fulfilment", kind, f"{self.station.id}: {text}"))

    def _check_place(self, now: float, state: FleetState | None, visit: _Visit) -> bool:
        """The interlock; raises an alarm once when a visit waits long for its pod."""
        if state is not None and self._pod_in_place(state, visit.request):
            self._blocked_since = -1.0
            return True
        if state is not None:
            if self._blocked_since < 0:
                self._blocked_since = now
            elif now - self._blocked_since > 30.0:
                self._blocked_since = now
                self._alarm(now, "interlock", f"pod {visit.request.pod} is not in place")
        return False

    def _settle(self, visit: _Visit, now: float) -> None:
        """End what is booked; send again what has not been acknowledged."""
        if visit.patience is not None and all(work.booked >= 0 for work in visit.work):
            self._finish(visit, now)
        elif visit.patience is not None and visit.patience.over(now):
            self._instruct(visit, now, [work for work in visit.work if work.moved < 0][:AHEAD])
            self._out += [w.request for w in visit.work if w.request is not None and w.booked < 0]

    def _end(self, visit: _Visit, done: VisitDone) -> None:
        self._visits.remove(visit)
        self._ended[done.visit] = done
        if len(self._ended) > REMEMBERED:
            del self._ended[next(iter(self._ended))]
        self._out.append(done)


class PickStationCore(_StationCore):
    """One pick station.

    consumes: `PickVisit`, `FleetState`, `Scan`, `Reply`;
    emits: `Instruct`, `PickRequest`, `VisitDone`, `Alarm`.

    All picks of a visit are instructed at once, and a following visit of the pod that stands there
    as soon as it is known: the person works them one after the other without waiting. A visit ends
    when all is taken out and booked: the pod leaves while the last pieces go into their tote. In
    ``VisitDone.short`` the index of a pick stands once for every piece that was missing.
    """

    consumes: tuple[type, ...] = (PickVisit, FleetState, Scan, Reply)

    def _go_on(self, now: float, state: FleetState | None) -> None:
        if state is not None:
            self._start(now, state)
        for visit in list(self._visits):
            self._settle(visit, now)

    def _start(self, now: float, state: FleetState) -> None:
        for visit in self._visits:
            if visit.patience is not None:
                continue
            if not self._check_place(now, state, visit):
                return
            visit.patience = Patience(REPEAT, now)
            picks = visit.request
            assert isinstance(picks, PickVisit)
            for order, bin_, sku, quantity in zip(
                picks.order, picks.bin, picks.sku, picks.quantity, strict=True
            ):
                self._new_work(visit, bin_, sku, quantity, order)
            self._instruct(visit, now, visit.work)

    def _on_scan(self, scan: Scan) -> None:
        entry = self._scans.pop(scan.work, None)
        if entry is None:
            return
        visit, work = entry
        work.moved = min(max(scan.quantity, 0), work.quantity)
        index = visit.work.index(work)
        picks = visit.request
        assert isinstance(picks, PickVisit)
        missing = work.quantity - work.moved
        damaged = min(max(scan.damaged, 0), missing)
        key, order = self._key(visit, index), picks.order[index]
        self._ask(
            visit, work, PickRequest(key, order, work.bin, work.sku, work.moved, missing, damaged)
        )

    def _on_reply(self, now: float, reply: Reply) -> None:
        _, work = self._waiting.pop(reply.key)
        assert work is not None
        if reply.ok:
            work.booked = work.moved
        else:
            work.booked = 0
            self._alarm(now, "pick_refused", f"{reply.key}: {reply.reason}")

    def _finish(self, visit: _Visit, now: float) -> None:
        short: list[int] = []
        for index, work in enumerate(visit.work):
            short += [index] * (work.quantity - work.booked)
        handled = sum(work.booked for work in visit.work)
        self._end(
            visit,
            VisitDone(now, self.station.id, visit.request.visit, handled, tuple(short), False),
        )


class StowStationCore(_StationCore):
    """One stow station.

    consumes: `StowVisit`, `FleetState`, `Scan`, `Reply`;
    emits: `ProposeRequest`, `Instruct`, `StowRequest`, `VisitDone`, `Alarm`.

    Bins are asked of the inventory while the pod comes to rest; handwork starts when the pod and a
    unit with a pallet are in place; at a station without a pallet spot the goods stand there.
    """

    consumes: tuple[type, ...] = (StowVisit, FleetState, Scan, Reply)

    def _take(self, visit: PickVisit | StowVisit) -> _Visit | None:
        taken = super()._take(visit)
        if taken is not None:
            self._waiting[self._key(taken, "p")] = (taken, None)
        return taken

    def _go_on(self, now: float, state: FleetState | None) -> None:
        if not self._visits:
            return
        visit = self._visits[0]
        if visit.left < 0:
            self._propose(visit, now)
        elif (
            visit.patience is None
            and self._check_place(now, state, visit)
            and self._pallet_in_place(state)
        ):
            visit.patience = Patience(REPEAT, now)
            self._instruct(visit, now, visit.work)
        self._settle(visit, now)

    def _pallet_in_place(self, state: FleetState | None) -> bool:
        if self.station.pallet_cell < 0:
            return True
        if state is None:
            return False
        there = state.load[state.cell == self.station.pallet_cell]
        return bool((there == Load.PALLET).any())

    def _propose(self, visit: _Visit, now: float) -> None:
        if now - visit.asked_at < REPEAT:
            return
        visit.asked_at = now
        stow = visit.request
        assert isinstance(stow, StowVisit)
        self._out.append(ProposeRequest(self._key(visit, "p"), stow.pallet, stow.pod, stow.face))

    def _on_scan(self, scan: Scan) -> None:
        entry = self._scans.pop(scan.work, None)
        if entry is None:
            return
        visit, work = entry
        work.moved = min(max(scan.quantity, 0), work.quantity)
        if work.moved == 0:
            work.booked = 0
            return
        stow = visit.request
        assert isinstance(stow, StowVisit)
        key = self._key(visit, visit.work.index(work))
        self._ask(visit, work, StowRequest(key, stow.pallet, work.bin, work.sku, work.moved))

    def _on_reply(self, now: float, reply: Reply) -> None:
        visit, work = self._waiting.pop(reply.key)
        if work is None:
            visit.left = reply.left if reply.ok else max(reply.left, 1)
            for bin_, sku, quantity in zip(reply.bin, reply.sku, reply.quantity, strict=True):
                self._new_work(visit, bin_, sku, quantity)
        elif reply.ok:
            work.booked = work.moved
            visit.left = min(visit.left, reply.left)
        else:
            work.booked = 0
            self._alarm(now, "stow_refused", f"{reply.key}: {reply.reason}")

    def _finish(self, visit: _Visit, now: float) -> None:
        handled = sum(work.booked for work in visit.work)
        number = visit.request.visit
        self._end(visit, VisitDone(now, self.station.id, number, handled, (), visit.left == 0))
