"""The inventory's decision core: answers requests, tells the others what has changed."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import bindparam, func, select

from robo_stow.errors import InputError
from robo_stow.floor.building import Building
from robo_stow.inventory import audit, queries, schema
from robo_stow.inventory.catalogue import Catalogue
from robo_stow.inventory.database import LedgerError
from robo_stow.inventory.fit import bins_of_face
from robo_stow.inventory.ledger import Ledger
from robo_stow.inventory.model import Booking, Level, Rejection, plain, text, whole
from robo_stow.inventory.opening import book_opening_stock
from robo_stow.inventory.placement import look, propose
from robo_stow.inventory.requests import (
    Answer,
    AuditReply,
    AuditRequest,
    Booked,
    FindReply,
    FindRequest,
    Question,
)
from robo_stow.messages import (
    CancelRequest,
    Message,
    MovePodRequest,
    PickRequest,
    PodRegister,
    PodSpace,
    ProposeRequest,
    ReceiveRequest,
    Reply,
    ReserveRequest,
    ShipRequest,
    StockLevels,
    StowRequest,
)

_m, _s = schema.movement.c, schema.stock.c
STOCK_MOVED_BY = (
    select(_m.bin, schema.sku.c.code)
    .add_columns(func.coalesce(_s.on_hand, 0), func.coalesce(_s.reserved, 0))
    .join_from(schema.movement, schema.lot, schema.lot.c.id == _m.lot)
    .join(schema.sku, schema.sku.c.id == schema.lot.c.sku)
    .join(schema.stock, (_s.bin == _m.bin) & (_s.sku == schema.sku.c.id), isouter=True)
    .where(_m.bin.is_not(None), _m.key.in_(bindparam("keys", expanding=True)))
    .distinct()
    .order_by(_m.bin, schema.sku.c.code)
)
PODS_MOVED_BY = (
    select(schema.pod_place)
    .join(schema.movement, _m.pod == schema.pod_place.c.pod)
    .where(_m.key.in_(bindparam("keys", expanding=True)))
    .distinct()
)

REMEMBERED = 4096
"""Proposals that are given again when asked for again."""


class InventoryCore:
    """Books what happens to stock, and proposes where to stow.

    Requests of one step are booked in one transaction; their replies are given out when it is
    durable. The first step also emits the whole stock (`StockLevels`, `PodSpace`) and where the
    pods stand (`PodRegister`), later ones what has changed. A proposal is a question: it is
    remembered for a while, so that asking twice gives the same answer, but not across restarts.

    Args:
        building: the site; its order file names the SKUs.
        seed: of sizes, opening stock and proposals.
        database: SQLAlchemy URL of the ledger; an empty one gets the opening stock.
        catalogue: the SKUs, in place of those of the order file.

    Raises:
        InputError: order file, building or database cannot be used.
        LedgerError: the database failed.
    """

    consumes = (
        ReceiveRequest,
        ReserveRequest,
        CancelRequest,
        PickRequest,
        ProposeRequest,
        StowRequest,
        ShipRequest,
        MovePodRequest,
    )

    def __init__(
        self,
        building: Building,
        seed: int,
        database: str,
        catalogue: Catalogue | None = None,
    ) -> None:
        self._building = building
        self._seed = seed
        self._spec = building.pod
        if catalogue is None:
            catalogue = Catalogue.from_orders(building, seed)
        self.ledger = Ledger(database)
        self.fresh = self.ledger.prepare(building, catalogue)
        """Whether the ledger was empty, and has got the opening stock just now."""
        if self.fresh:
            book_opening_stock(self.ledger, building, catalogue, seed)
        self._volume_used = self._read_usage()
        self._face_volume = sum(bin_.volume for bin_ in bins_of_face(self._spec))
        self._proposals: dict[str, tuple[object, Reply]] = {}
        self._doubted: dict[str, None] = {}
        """Keys of requests of which a database that failed did not say whether they are booked."""
        self._started = False

    def close(self) -> None:
        """End the connection to the database."""
        self.ledger.close()

    def audit(self) -> list[str]:
        """Derive every position from the movements again; one line a difference."""
        return audit.audit(self.ledger)

    def check_totals(self) -> list[str]:
        """SKUs whose pieces do not add up; quick, reads no movement."""
        return audit.check_totals(self.ledger)

    def step(self, now: float, inbox: Sequence[Message]) -> list[Message]:
        """Answer the requests in ``inbox``; on the first call also report the whole stock.

        Raises:
            LedgerError: the database failed; requests that got no reply may or may not be booked,
                asking again with the same key settles it.
        """
        if self._started and not inbox:
            return []
        outbox: list[Message] = []
        if not self._started:
            self._started = True
            outbox += self.snapshot(now)
        bookable: list[Booked] = []
        for request in inbox:
            if isinstance(request, ProposeRequest):
                outbox += self._book(bookable, now)  # proposals see what was booked before them
                bookable = []
                outbox.append(self._propose(request))
            elif isinstance(request, self.consumes):
                bookable.append(request)
        outbox += self._book(bookable, now)
        return outbox

    @property
    def due(self) -> float:
        """Time (s) at which a step has something to do although nothing has come in."""
        return math.inf if self._started else -math.inf

    def handle(self, request: Booked, now: float) -> tuple[Reply, list[Message]]:
        """Book one request, also one of `requests`; the reply, and what has changed for others.

        Raises:
            LedgerError: the database failed; see `step`.
        """
        if isinstance(request, ProposeRequest):
            return self._propose(request), []
        *changes, reply = self._book([request], now)
        assert isinstance(reply, Reply)
        return reply, changes

    def answer(self, question: Question) -> Answer:
        """Answer a question about the stock; nothing is booked.

        Raises:
            LedgerError: the database failed.
        """
        if isinstance(question, AuditRequest):
            found = self.check_totals() if question.totals_only else self.audit()
            return AuditReply(not found, f"findings: {len(found)}" if found else "", tuple(found))
        return self._find(question)

    def snapshot(self, now: float) -> list[Message]:
        """The whole stock, the free volume of all faces, and where the pods stand."""
        s = schema.stock.c
        query = select(s.bin, schema.sku.c.code, s.on_hand, s.reserved)
        query = query.join(schema.sku, schema.sku.c.id == s.sku).order_by(s.bin, s.sku)
        with self.ledger.reading() as connection:
            rows = connection.execute(query).all()
            places = connection.execute(select(schema.pod_place).order_by("pod")).all()
        bins, codes, on_hand, reserved = zip(*rows, strict=True) if rows else ((), (), (), ())
        faces = self._building.pods * self._spec.faces
        return [
            StockLevels(now, bins, codes, on_hand, reserved),
            self._space(now, range(faces)),
            _register(now, [(row.pod, row.cell) for row in places]),
        ]

    def _book(self, requests: list[Booked], now: float) -> list[Message]:
        """Changes and replies of requests booked together; changes come first."""
        if not requests:
            return []
        try:
            bookings = self.ledger.book(requests, now)
        except LedgerError:
            self._doubted.update((request.key, None) for request in requests)
            raise
        outbox = self._changes(bookings, now)
        if self._doubted:
            outbox += self._settle(now)
        outbox += [booking.reply for booking in bookings]
        return outbox

    def _settle(self, now: float) -> list[Message]:
        """What requests have changed that were booked although the database failed after that."""
        with self.ledger.reading() as connection:
            stock = connection.execute(STOCK_MOVED_BY, {"keys": [*self._doubted]}).all()
            pods = connection.execute(PODS_MOVED_BY, {"keys": [*self._doubted]}).all()
        self._volume_used = self._read_usage()
        self._doubted.clear()
        changes: list[Message] = []
        if stock:
            bins, codes, on_hand, reserved = zip(*stock, strict=True)
            faces = sorted({bin_ // self._spec.bins_per_face for bin_ in bins})
            changes = [StockLevels(now, bins, codes, on_hand, reserved), self._space(now, faces)]
        if pods:
            changes.append(_register(now, [(row.pod, row.cell) for row in pods]))
        return changes

    def _changes(self, bookings: list[Booking], now: float) -> list[Message]:
        levels: dict[tuple[int, str], Level] = {}
        faces: dict[int, None] = {}
        for booking in bookings:
            for level in booking.levels:
                levels[level.bin, level.sku] = level
            for bin_, volume, _ in booking.usage:
                face = bin_ // self._spec.bins_per_face
                self._volume_used[face] += volume
                faces[face] = None
        changes: list[Message] = []
        if levels:
            last = levels.values()
            changes.append(
                StockLevels(
                    now,
                    tuple(level.bin for level in last),
                    tuple(level.sku for level in last),
                    tuple(level.on_hand for level in last),
                    tuple(level.reserved for level in last),
                )
            )
        if faces:
            changes.append(self._space(now, list(faces)))
        moved = dict(booking.moved for booking in bookings if booking.moved is not None)
        if moved:
            changes.append(_register(now, list(moved.items())))
        return changes

    def _space(self, now: float, faces: Sequence[int]) -> PodSpace:
        index = np.asarray(faces, np.int64)
        pod, face = np.divmod(index, self._spec.faces)
        free = 1.0 - self._volume_used[index] / self._face_volume
        return PodSpace(now, tuple(pod.tolist()), tuple(face.tolist()), tuple(free.tolist()))

    def _propose(self, request: ProposeRequest) -> Reply:
        content = plain(request)
        known = self._proposals.get(request.key)
        if known is not None:
            if known[0] == content:
                return known[1]
            reason = f"key = {request.key!r}: already used for a different request"
            return Reply(request.key, False, reason)
        try:
            reply = self._find_bins(request)
        except Rejection as rejection:
            reply = Reply(request.key, False, str(rejection))
        self._proposals[request.key] = (content, reply)
        if len(self._proposals) > REMEMBERED:
            del self._proposals[next(iter(self._proposals))]
        return reply

    def _find(self, question: FindRequest) -> FindReply:
        try:
            names, rows = queries.stock(self.ledger, question.sku)
        except InputError as error:
            return FindReply(False, str(error))
        at = {name: index for index, name in enumerate(names)}

        def texts(name: str) -> tuple[str, ...]:
            return tuple(str(row[at[name]] or "") for row in rows)

        def numbers(name: str) -> tuple[int, ...]:
            return tuple(-1 if row[at[name]] is None else int(row[at[name]]) for row in rows)

        return FindReply(
            True,
            "",
            place=texts("place"),
            owner=texts("owner"),
            lot=texts("lot"),
            expiry=texts("expiry"),
            bin=numbers("bin"),
            pod=numbers("pod"),
            face=numbers("face"),
            slot=numbers("slot"),
            cell=numbers("cell"),
            pallet=texts("pallet"),
            order=texts("order"),
            pieces=numbers("pieces"),
            reserved=numbers("reserved"),
        )

    def _find_bins(self, request: ProposeRequest) -> Reply:
        pallet = text("pallet", request.pallet)
        pod, face = whole("pod", request.pod, 0), whole("face", request.face, 0)
        for field, value, bound in (
            ("pod", pod, self._building.pods),
            ("face", face, self._spec.faces),
        ):
            if value >= bound:
                raise Rejection(field, value, f"unknown {field}, there are 0..{bound - 1}")
        with self.ledger.reading():
            view = look(self.ledger.prepared, self.ledger.site, pallet, pod, face)
        rng = random.Random(f"{self._seed}/{request.key}")
        stows = propose(view, self._building.stock.lookalike, rng)
        bins, codes, pieces = zip(*stows, strict=True) if stows else ((), (), ())
        return Reply(request.key, True, "", bin=bins, sku=codes, quantity=pieces, left=view.left)

    def _read_usage(self) -> NDArray[np.int64]:
        """Volume taken on each face, [pods * faces] mm^3."""
        s = schema.stock.c
        query = select(s.bin, func.sum(s.on_hand * schema.sku.c.volume))
        query = query.join(schema.sku, schema.sku.c.id == s.sku).group_by(s.bin)
        with self.ledger.reading() as connection:
            rows = connection.execute(query).all()
        used = np.zeros(self._building.pods * self._spec.faces, np.int64)
        if rows:
            table = np.array([tuple(row) for row in rows], np.int64)
            np.add.at(used, table[:, 0] // self._spec.bins_per_face, table[:, 1])
        return used


def _register(now: float, places: Sequence[tuple[int, int]]) -> PodRegister:
    table = np.array(places, np.int32).reshape(-1, 2)
    return PodRegister(now, table[:, 0].copy(), table[:, 1].copy())
