"""The ledger: every movement of stock, and the positions that follow from them.

One request is one booking: its movements, the positions they change and the reply are written in
one transaction, and only then is the reply given out. The reply is kept under the request's
idempotency key: the same request again, even after a crash, gets the same reply and moves
nothing; a different request under a used key is refused.

Whatever a booking is judged by it reads, under a lock, inside its own transaction: any number of
processes may book at once. SQLite has one writer at a time; on PostgreSQL rows are locked in one
order (pod, stock by bin and SKU, pallet, totals by SKU), so bookings wait for each other but do
not deadlock.
"""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

from sqlalchemy import (
    Connection,
    Executable,
    Row,
    Table,
    bindparam,
    case,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy import (
    text as literal_text,
)
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from robo_stow.errors import InputError
from robo_stow.floor.building import Building
from robo_stow.inventory import schema
from robo_stow.inventory.catalogue import GRAM, MM3, Catalogue
from robo_stow.inventory.database import describe, failing_clearly, insert_rows, open_engine
from robo_stow.messages import (
    CancelRequest,
    MovePodRequest,
    PickRequest,
    ReceiveRequest,
    Reply,
    Request,
    ReserveRequest,
    ShipRequest,
    StowRequest,
)

HOUSE = "house"
"""Owner of the goods of the site's own shop."""
SHORT_PICK = "short pick"
MOST_PIECES = 10**9
"""More pieces than this in one request are a mistake."""
ATTEMPTS = 5
"""Times a booking is tried when another one, booked at the same moment, got in its way."""

_CONFLICTS = {"40001", "40P01"}  # PostgreSQL: serialisation failure, deadlock

Write = tuple[Executable, dict[str, Any] | list[dict[str, Any]]]


class Rejection(Exception):
    """A request that cannot be booked, with the field to blame."""

    def __init__(self, field: str, value: object, message: str) -> None:
        super().__init__(f"{field} = {value!r}: {message}")


@dataclass(frozen=True, slots=True)
class Sku:
    """What the ledger knows of a SKU."""

    id: int
    code: str
    lot: int  # the lot of the house's own pieces without a lot code
    volume: int  # mm^3
    weight: int  # g
    hazard: str  # class, "" for none
    temperature: str


@dataclass(frozen=True, slots=True)
class Level:
    """Stock of one SKU in one bin."""

    bin: int
    sku: str
    on_hand: int
    reserved: int


@dataclass(frozen=True, slots=True)
class Booking:
    """Outcome of a request: the reply, and what it changed."""

    reply: Reply
    levels: tuple[Level, ...] = ()
    usage: tuple[tuple[int, int, int], ...] = ()  # bin, change of volume (mm^3), of weight (g)
    moved: tuple[int, int] | None = None  # pod, cell


class _Draft:
    """What one request is going to write."""

    __slots__ = ("levels", "moved", "movements", "reply", "usage", "writes")

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.movements: list[dict[str, Any]] = []
        self.writes: list[Write] = []
        self.levels: list[Level] = []
        self.usage: list[tuple[int, int, int]] = []
        self.moved: tuple[int, int] | None = None

    def move(self, kind: str, quantity: int, **place: Any) -> None:
        """Add a movement; ``place`` names the columns that apply."""
        self.movements.append(
            {**_EMPTY, "kind": kind, "quantity": quantity, "line": len(self.movements), **place}
        )


_EMPTY: dict[str, Any] = dict.fromkeys(
    ("lot", "pallet", "bin", "order_id", "pod", "cell", "reason")
)

_stock, _reservation, _tote = schema.stock, schema.reservation, schema.tote_stock
_pallet_stock, _balance = schema.pallet_stock, schema.balance
_at_stock = (_stock.c.bin == bindparam("at_bin")) & (_stock.c.sku == bindparam("at_sku"))
_at_reservation = (
    (_reservation.c.order_id == bindparam("at_order"))
    & (_reservation.c.bin == bindparam("at_bin"))
    & (_reservation.c.sku == bindparam("at_sku"))
)
_at_pallet = (_pallet_stock.c.pallet == bindparam("at_pallet")) & (
    _pallet_stock.c.sku == bindparam("at_sku")
)

_REPLY = select(schema.reply.c.digest, schema.reply.c.body).where(
    schema.reply.c.key == bindparam("at_key")
)
_STOCK = select(_stock.c.lot, _stock.c.on_hand, _stock.c.reserved).where(_at_stock)
_STOCK = _STOCK.with_for_update()
_RESERVED = select(_reservation.c.quantity).where(_at_reservation)
_RESERVED_FOR = select(_reservation.c.bin, _reservation.c.sku, _reservation.c.quantity).where(
    _reservation.c.order_id == bindparam("at_order")
)
_RESERVED_FOR = _RESERVED_FOR.order_by(_reservation.c.bin, _reservation.c.sku)
_TOTE = (
    select(_tote.c.lot, schema.lot.c.sku, _tote.c.quantity)
    .join(schema.lot, schema.lot.c.id == _tote.c.lot)
    .where(_tote.c.order_id == bindparam("at_order"))
    .order_by(_tote.c.lot)
    .with_for_update(of=_tote)
)
_PALLET = select(schema.pallet.c.id).where(schema.pallet.c.id == bindparam("at_pallet"))
_ON_PALLET = select(_pallet_stock.c.lot, _pallet_stock.c.quantity).where(_at_pallet)
_ON_PALLET = _ON_PALLET.with_for_update()
_PALLET_LEFT = select(func.coalesce(func.sum(_pallet_stock.c.quantity), 0)).where(
    _pallet_stock.c.pallet == bindparam("at_pallet")
)
_POD = (
    select(schema.pod.c.capacity, schema.pod.c.hazard, schema.pod.c.temperature)
    .where(schema.pod.c.id == bindparam("at_pod"))
    .with_for_update()
)
_BIN = select(schema.bin_.c.volume, schema.bin_.c.capacity).where(
    schema.bin_.c.id == bindparam("at_bin")
)
_in_bin = _stock.c.bin == bindparam("at_bin")
_USED = (
    select(
        func.coalesce(
            func.sum(case((_in_bin, _stock.c.on_hand * schema.sku.c.volume), else_=0)), 0
        ),
        func.coalesce(
            func.sum(case((_in_bin, _stock.c.on_hand * schema.sku.c.weight), else_=0)), 0
        ),
        func.coalesce(func.sum(_stock.c.on_hand * schema.sku.c.weight), 0),
    )
    .join(schema.sku, schema.sku.c.id == _stock.c.sku)
    .where(_stock.c.bin.between(bindparam("first_bin"), bindparam("last_bin")))
)

_SET_STOCK = (
    update(_stock)
    .where(_at_stock)
    .values(on_hand=bindparam("new_on_hand"), reserved=bindparam("new_reserved"))
)
_ADD_STOCK = insert(_stock)
_END_STOCK = delete(_stock).where(_at_stock)
_SET_RESERVATION = (
    update(_reservation).where(_at_reservation).values(quantity=bindparam("new_quantity"))
)
_END_RESERVATION = delete(_reservation).where(_at_reservation)
_SET_ON_PALLET = update(_pallet_stock).where(_at_pallet).values(quantity=bindparam("new_quantity"))
_END_ON_PALLET = delete(_pallet_stock).where(_at_pallet)
_END_TOTE = delete(_tote).where(_tote.c.order_id == bindparam("at_order"))


def _count(column: Any) -> Executable:
    """Statement that adds ``more`` to a total of a SKU."""
    return (
        update(_balance)
        .where(_balance.c.sku == bindparam("at_sku"))
        .values({column: column + bindparam("more")})
    )


_COUNT_RECEIVED = _count(_balance.c.received)
_COUNT_ADJUSTED = _count(_balance.c.adjusted)
_COUNT_SHIPPED = _count(_balance.c.shipped)


class Ledger:
    """Books requests into a database and answers questions about it.

    Use from one thread; open another for another thread or process.

    Args:
        database: SQLAlchemy URL; ``sqlite://`` lives in memory.

    Raises:
        InputError: a URL that cannot be used.
        LedgerError: the database cannot be reached.
    """

    def __init__(self, database: str) -> None:
        self.engine = open_engine(database)
        with failing_clearly(self.engine):
            self._connection = self.engine.connect()
        self.skus: dict[str, Sku] = {}
        self._by_id: dict[int, Sku] = {}
        self.pods = 0
        self.faces = 1
        self.bins_per_pod = 1
        self.cells = 0
        self._handlers: dict[type, Callable[[Connection, Any, float], _Draft]] = {
            ReceiveRequest: self._receive,
            ReserveRequest: self._reserve,
            CancelRequest: self._cancel,
            PickRequest: self._pick,
            StowRequest: self._stow,
            ShipRequest: self._ship,
            MovePodRequest: self._move_pod,
        }

    def close(self) -> None:
        """End the connection; what was booked stays booked."""
        self._connection.close()
        self.engine.dispose()

    def sku(self, number: int) -> Sku:
        """The SKU with an id of the database."""
        return self._by_id[number]

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for questions: all of them see the ledger at one moment."""
        connection = self._connection
        connection.execution_options(reading=True)
        try:
            with failing_clearly(self.engine), connection.begin():
                yield connection
        finally:
            connection.execution_options(reading=False)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A connection whose changes are durable when the block ends, or undone if it fails."""
        with failing_clearly(self.engine), self._connection.begin():
            yield self._connection

    # --- opening -------------------------------------------------------------------------------

    def prepare(self, building: Building, catalogue: Catalogue) -> bool:
        """Make the ledger that of ``building``; True when it holds no movement yet.

        Creates the tables in an empty database and adds SKUs it does not know. A SKU that it
        knows keeps the size it was given first.

        Raises:
            InputError: the ledger belongs to a building with other pods.
        """
        spec = building.pod
        facts = {
            "building": building.name,
            "pods": str(building.pods),
            "faces": str(spec.faces),
            "bins_per_face": str(spec.bins_per_face),
            "cells": str(building.grid.cells),
        }
        with self.writing() as connection:
            schema.metadata.create_all(connection)
            known = self._meta()
            if not known:
                insert_rows(connection, schema.meta, ("name", "value"), [*facts.items()])
                insert_rows(connection, schema.owner, ("code",), [(HOUSE,)])
                self._add_pods(building)
            for name, value in facts.items():
                if known.get(name, value) != value:
                    raise InputError(
                        describe(self.engine),
                        name,
                        known[name],
                        f"the ledger is not of building {building.name!r} with {name} = {value}",
                    )
            self._add_skus(catalogue)
            empty = connection.execute(select(schema.movement.c.id).limit(1)).first() is None
        self.load()
        return empty

    def load(self) -> None:
        """Read what does not change while the site works.

        Raises:
            InputError: the database holds no ledger.
            LedgerError: it cannot be read.
        """
        with self.reading() as connection:
            if not self.engine.dialect.has_table(connection, schema.meta.name):
                raise InputError("database", "URL", describe(self.engine), "holds no ledger")
            facts = self._meta()
            rows = connection.execute(
                select(
                    schema.sku.c.id,
                    schema.sku.c.code,
                    schema.lot.c.id,
                    schema.sku.c.volume,
                    schema.sku.c.weight,
                    schema.sku.c.hazard,
                    schema.sku.c.temperature,
                )
                .join(schema.lot, schema.lot.c.sku == schema.sku.c.id)
                .join(schema.owner, schema.owner.c.id == schema.lot.c.owner)
                .where(schema.owner.c.code == HOUSE, schema.lot.c.code == "")
                .order_by(schema.sku.c.id)
            ).all()
        self.pods = int(facts["pods"])
        self.faces = int(facts["faces"])
        self.bins_per_pod = self.faces * int(facts["bins_per_face"])
        self.cells = int(facts["cells"])
        self.skus = {row[1]: Sku(*row) for row in rows}
        self._by_id = {sku.id: sku for sku in self.skus.values()}

    def _meta(self) -> dict[str, str]:
        rows = self._connection.execute(select(schema.meta.c.name, schema.meta.c.value))
        return {name: value for name, value in rows}

    def _add_pods(self, building: Building) -> None:
        spec = building.pod
        capacity = math.floor(spec.capacity / GRAM + 0.5)
        insert_rows(
            self._connection,
            schema.pod,
            ("id", "capacity"),
            [(pod, capacity) for pod in range(building.pods)],
        )
        volume = math.floor(spec.bin_volume / MM3 + 0.5)
        limit = math.floor(spec.bin_capacity / GRAM + 0.5)
        places = [(face, slot) for face in range(spec.faces) for slot in range(spec.bins_per_face)]
        insert_rows(
            self._connection,
            schema.bin_,
            ("id", "pod", "face", "slot", "volume", "capacity"),
            [
                (pod * spec.bins + number, pod, face, slot, volume, limit)
                for pod in range(building.pods)
                for number, (face, slot) in enumerate(places)
            ],
        )

    def _add_skus(self, catalogue: Catalogue) -> None:
        connection = self._connection
        known = set(connection.execute(select(schema.sku.c.code)).scalars())
        new = [i for i, code in enumerate(catalogue.sku) if code not in known]
        if not new:
            return
        insert_rows(
            connection,
            schema.sku,
            ("code", "volume", "weight"),
            [
                (
                    catalogue.sku[i],
                    round(float(catalogue.volume[i]) / MM3),
                    round(float(catalogue.weight[i]) / GRAM),
                )
                for i in new
            ],
        )
        house = connection.execute(
            select(schema.owner.c.id).where(schema.owner.c.code == HOUSE)
        ).scalar_one()
        ids = connection.execute(
            select(schema.sku.c.id).where(
                schema.sku.c.id.not_in(select(_balance.c.sku).scalar_subquery())
            )
        ).scalars()
        fresh = sorted(ids)
        insert_rows(connection, _balance, ("sku",), [(sku,) for sku in fresh])
        insert_rows(connection, schema.lot, ("sku", "owner"), [(sku, house) for sku in fresh])

    # --- booking -------------------------------------------------------------------------------

    def book(self, requests: Sequence[Request], now: float) -> list[Booking]:
        """Book requests in one transaction; the outcomes are durable when this returns.

        A request that is rejected moves nothing and does not touch the others.

        Raises:
            LedgerError: the database failed; then none of the requests has been booked.
        """
        with failing_clearly(self.engine):
            for attempt in range(ATTEMPTS):
                try:
                    with self._connection.begin():
                        return [self._book(self._connection, item, now) for item in requests]
                except (IntegrityError, OperationalError) as error:
                    # Someone else used the key, or took rows the other way round: look again.
                    if attempt == ATTEMPTS - 1 or not _may_pass(error):
                        raise
        raise AssertionError("unreachable")

    def _book(self, connection: Connection, request: Request, now: float) -> Booking:
        try:
            key = text("key", request.key, schema.KEY_LENGTH)
        except Rejection as rejection:
            return Booking(Reply(str(request.key), False, str(rejection)))
        digest = blake2b(repr(plain(request)).encode(), digest_size=16).hexdigest()
        stored = connection.execute(_REPLY, {"at_key": key}).first()
        if stored is not None:
            if stored.digest != digest:
                reason = f"key = {key!r}: already used for a different request"
                return Booking(Reply(key, False, reason))
            return Booking(read_reply(key, stored.body))
        try:
            draft = self._handlers[type(request)](connection, request, now)
        except Rejection as rejection:
            draft = _Draft(Reply(key, False, str(rejection)))
        connection.execute(
            _INSERT_REPLY,
            {"key": key, "digest": digest, "time": now, "body": write_reply(draft.reply)},
        )
        for statement, values in draft.writes:
            connection.execute(statement, values)
        if draft.movements:
            for movement in draft.movements:
                movement["key"] = key
                movement["time"] = now
            connection.execute(_INSERT_MOVEMENT, draft.movements)
        return Booking(draft.reply, tuple(draft.levels), tuple(draft.usage), draft.moved)

    def _receive(self, connection: Connection, request: ReceiveRequest, now: float) -> _Draft:
        pallet = text("pallet", request.pallet)
        pieces: dict[int, int] = {}
        for code, quantity in _entries(request, "sku", "quantity"):
            sku = self._sku(code)
            pieces[sku.id] = pieces.get(sku.id, 0) + whole("quantity", quantity, 1)
        if connection.execute(_PALLET, {"at_pallet": pallet}).first() is not None:
            raise Rejection("pallet", pallet, "received before")
        total = sum(pieces.values())
        draft = _Draft(Reply(request.key, True, "", granted=(total,), left=total))
        rows, counts = [], []
        for number in sorted(pieces):
            lot, quantity = self._by_id[number].lot, pieces[number]
            draft.move("receive", quantity, lot=lot, pallet=pallet)
            rows.append(
                {
                    "pallet": pallet,
                    "sku": number,
                    "lot": lot,
                    "received": quantity,
                    "quantity": quantity,
                }
            )
            counts.append({"at_sku": number, "more": quantity})
        draft.writes += [
            (_INSERT_PALLET, {"id": pallet, "time": now}),
            (_INSERT_ON_PALLET, rows),
            (_COUNT_RECEIVED, counts),
        ]
        return draft

    def _reserve(self, connection: Connection, request: ReserveRequest, now: float) -> _Draft:
        entries = [
            (
                text("order", order),
                self._bin(bin_),
                self._sku(code),
                whole("quantity", quantity, 1),
            )
            for order, bin_, code, quantity in _entries(request, "order", "bin", "sku", "quantity")
        ]
        places = sorted({(bin_, sku.id) for _, bin_, sku, _ in entries})
        stock = {place: self._stock(connection, *place) for place in places}
        free = {
            place: row.on_hand - row.reserved for place, row in stock.items() if row is not None
        }
        granted: list[int] = []
        held: dict[tuple[str, int, int], int] = {}
        moved: list[tuple[str, int, Sku, int]] = []
        for order, bin_, sku, quantity in entries:
            place = (bin_, sku.id)
            given = min(quantity, free.get(place, 0))
            granted.append(given)
            if given:
                free[place] -= given
                moved.append((order, bin_, sku, given))
                one = (order, bin_, sku.id)
                held[one] = held.get(one, 0) + given
        draft = _Draft(Reply(request.key, True, "", granted=tuple(granted)))
        if not moved:
            return draft
        for order, bin_, sku, given in moved:
            lot = stock[bin_, sku.id].lot  # type: ignore[union-attr]  # something was free
            draft.move("reserve", given, lot=lot, bin=bin_, order_id=order)
        draft.writes.append(
            (
                _RESERVE_MORE,
                [
                    {"order_id": order, "bin": bin_, "sku": number, "quantity": quantity}
                    for (order, bin_, number), quantity in held.items()
                ],
            )
        )
        for (bin_, number), level in stock.items():
            if level is not None and level.on_hand - level.reserved != free[bin_, number]:
                reserved = level.on_hand - free[bin_, number]
                self._set_stock(draft, bin_, self._by_id[number], level, level.on_hand, reserved)
        return draft

    def _cancel(self, connection: Connection, request: CancelRequest, now: float) -> _Draft:
        order = text("order", request.order)
        bin_, sku = self._bin(request.bin), self._sku(request.sku)
        quantity = whole("quantity", request.quantity, 1)
        row = self._stock(connection, bin_, sku.id)
        held = self._held(connection, order, bin_, sku)
        if row is None or not held:
            raise Rejection("order", order, f"has no {sku.code} reserved in bin {bin_}")
        given = min(quantity, held)
        draft = _Draft(Reply(request.key, True, "", granted=(given,)))
        self._release(draft, order, bin_, sku, row, held, given, None)
        self._set_stock(draft, bin_, sku, row, row.on_hand, row.reserved - given)
        return draft

    def _pick(self, connection: Connection, request: PickRequest, now: float) -> _Draft:
        order = text("order", request.order)
        bin_, sku = self._bin(request.bin), self._sku(request.sku)
        quantity = whole("quantity", request.quantity, 0)
        short = whole("short", request.short, 0)
        if not quantity + short:
            raise Rejection("quantity", quantity, "nothing picked and nothing short")
        row = self._stock(connection, bin_, sku.id)
        held = self._held(connection, order, bin_, sku)
        if row is None or quantity + short > held:
            raise Rejection(
                "quantity",
                quantity + short,
                f"order {order} has only {held} of {sku.code} reserved in bin {bin_}",
            )
        draft = _Draft(Reply(request.key, True, "", granted=(quantity,)))
        if quantity:
            draft.move("pick", quantity, lot=row.lot, bin=bin_, order_id=order)
            draft.writes.append(
                (_TOTE_MORE, {"order_id": order, "lot": row.lot, "quantity": quantity})
            )
        self._release(draft, order, bin_, sku, row, held, short, SHORT_PICK, picked=quantity)
        if short:
            draft.move("adjust", -short, lot=row.lot, bin=bin_, reason=SHORT_PICK)
        gone = quantity + short
        self._set_stock(draft, bin_, sku, row, row.on_hand - gone, row.reserved - gone)
        if short:
            draft.writes.append((_COUNT_ADJUSTED, {"at_sku": sku.id, "more": -short}))
        return draft

    def _stow(self, connection: Connection, request: StowRequest, now: float) -> _Draft:
        pallet = text("pallet", request.pallet)
        bin_, sku = self._bin(request.bin), self._sku(request.sku)
        quantity = whole("quantity", request.quantity, 1)
        self._check_fit(connection, bin_, sku, quantity)
        row = self._stock(connection, bin_, sku.id)
        if connection.execute(_PALLET, {"at_pallet": pallet}).first() is None:
            raise Rejection("pallet", pallet, "unknown pallet")
        at = {"at_pallet": pallet, "at_sku": sku.id}
        on_pallet = connection.execute(_ON_PALLET, at).first()
        if on_pallet is None or on_pallet.quantity < quantity:
            left = 0 if on_pallet is None else on_pallet.quantity
            raise Rejection("quantity", quantity, f"pallet {pallet} has {left} of {sku.code} left")
        lot = on_pallet.lot
        if row is not None and row.lot != lot:
            raise Rejection("bin", bin_, f"holds another lot of {sku.code}")
        left = connection.execute(_PALLET_LEFT, at).scalar_one() - quantity
        draft = _Draft(Reply(request.key, True, "", granted=(quantity,), left=int(left)))
        draft.move("stow", quantity, lot=lot, pallet=pallet, bin=bin_)
        if row is None:
            draft.writes.append(
                (
                    _ADD_STOCK,
                    {"bin": bin_, "sku": sku.id, "lot": lot, "on_hand": quantity, "reserved": 0},
                )
            )
            self._note(draft, bin_, sku, quantity, quantity, 0)
        else:
            self._set_stock(draft, bin_, sku, row, row.on_hand + quantity, row.reserved)
        if on_pallet.quantity > quantity:
            rest = on_pallet.quantity - quantity
            draft.writes.append((_SET_ON_PALLET, {**at, "new_quantity": rest}))
        else:
            draft.writes.append((_END_ON_PALLET, at))
        return draft

    def _ship(self, connection: Connection, request: ShipRequest, now: float) -> _Draft:
        order = text("order", request.order)
        at = {"at_order": order}
        # Stock comes before totes in the order of locks; what is still reserved is given back.
        held = connection.execute(_RESERVED_FOR, at).all()
        stock = [self._stock(connection, bin_, sku) for bin_, sku, _ in held]
        rows = connection.execute(_TOTE, at).all()
        if not rows:
            raise Rejection("order", order, "has nothing in a tote")
        total = sum(row.quantity for row in rows)
        draft = _Draft(Reply(request.key, True, "", granted=(int(total),)))
        counts: dict[int, int] = {}
        for row in rows:
            draft.move("ship", row.quantity, lot=row.lot, order_id=order)
            counts[row.sku] = counts.get(row.sku, 0) + row.quantity
        for (bin_, number, _), level in zip(held, stock, strict=True):
            sku = self._by_id[number]
            quantity = self._held(connection, order, bin_, sku)
            if level is None or not quantity:
                continue  # picked or cancelled while we waited for the lock
            self._release(draft, order, bin_, sku, level, quantity, quantity, "shipped")
            self._set_stock(draft, bin_, sku, level, level.on_hand, level.reserved - quantity)
        draft.writes.append((_END_TOTE, at))
        draft.writes.append(
            (_COUNT_SHIPPED, [{"at_sku": sku, "more": counts[sku]} for sku in sorted(counts)])
        )
        return draft

    def _move_pod(self, connection: Connection, request: MovePodRequest, now: float) -> _Draft:
        pod = whole("pod", request.pod, 0)
        if pod >= self.pods:
            raise Rejection("pod", pod, f"unknown pod, the building has 0..{self.pods - 1}")
        cell = whole("cell", request.cell, 0)
        if cell >= self.cells:
            raise Rejection("cell", cell, f"unknown cell, the level has 0..{self.cells - 1}")
        draft = _Draft(Reply(request.key, True, ""))
        draft.move("pod-moved", 0, pod=pod, cell=cell)
        draft.writes.append((_PLACE_POD, {"pod": pod, "cell": cell}))
        draft.moved = (pod, cell)
        return draft

    # --- parts of bookings ---------------------------------------------------------------------

    def _check_fit(self, connection: Connection, bin_: int, sku: Sku, quantity: int) -> None:
        """Lock the bin's pod and reject what would overfill the bin or the pod."""
        pod = bin_ // self.bins_per_pod
        capacity, hazard, temperature = connection.execute(_POD, {"at_pod": pod}).one()
        if (sku.hazard, sku.temperature) != (hazard, temperature):
            raise Rejection(
                "bin",
                bin_,
                f"{sku.code} is {sku.temperature} {sku.hazard}".rstrip()
                + f", the pod is for {temperature} {hazard}".rstrip(),
            )
        volume, limit = connection.execute(_BIN, {"at_bin": bin_}).one()
        first = pod * self.bins_per_pod
        used_volume, used_weight, pod_weight = connection.execute(
            _USED,
            {"at_bin": bin_, "first_bin": first, "last_bin": first + self.bins_per_pod - 1},
        ).one()
        if used_volume + quantity * sku.volume > volume:
            raise Rejection(
                "bin",
                bin_,
                f"{quantity} of {sku.code} need {quantity * sku.volume * MM3 * 1e3:.3f} litres, "
                f"free are {(volume - int(used_volume)) * MM3 * 1e3:.3f}",
            )
        weight = quantity * sku.weight
        for name, number, spare in (
            ("bin", bin_, limit - used_weight),
            ("pod", pod, capacity - pod_weight),
        ):
            if weight > spare:
                raise Rejection(
                    name,
                    number,
                    f"{quantity} of {sku.code} weigh {weight * GRAM:.3f} kg, "
                    f"it can bear {int(spare) * GRAM:.3f} more",
                )

    def _stock(self, connection: Connection, bin_: int, sku: int) -> Row[Any] | None:
        """Lot, pieces on hand and reserved of a SKU in a bin, locked until the commit."""
        return connection.execute(_STOCK, {"at_bin": bin_, "at_sku": sku}).first()

    def _held(self, connection: Connection, order: str, bin_: int, sku: Sku) -> int:
        """Pieces reserved for an order; read after the lock on the stock."""
        at = {"at_order": order, "at_bin": bin_, "at_sku": sku.id}
        return int(connection.execute(_RESERVED, at).scalar() or 0)

    def _release(
        self,
        draft: _Draft,
        order: str,
        bin_: int,
        sku: Sku,
        row: Row[Any],
        held: int,
        quantity: int,
        reason: str | None,
        picked: int = 0,
    ) -> None:
        """End ``quantity`` pieces of a reservation, and the ``picked`` ones it was for."""
        if quantity:
            draft.move("release", quantity, lot=row.lot, bin=bin_, order_id=order, reason=reason)
        at = {"at_order": order, "at_bin": bin_, "at_sku": sku.id}
        left = held - quantity - picked
        if left:
            draft.writes.append((_SET_RESERVATION, {**at, "new_quantity": left}))
        else:
            draft.writes.append((_END_RESERVATION, at))

    def _set_stock(
        self, draft: _Draft, bin_: int, sku: Sku, row: Row[Any], on_hand: int, reserved: int
    ) -> None:
        """Give a stock row new values."""
        at = {"at_bin": bin_, "at_sku": sku.id}
        if on_hand:
            new = {"new_on_hand": on_hand, "new_reserved": reserved}
            draft.writes.append((_SET_STOCK, {**at, **new}))
        else:
            draft.writes.append((_END_STOCK, at))
        self._note(draft, bin_, sku, on_hand - row.on_hand, on_hand, reserved)

    def _note(
        self, draft: _Draft, bin_: int, sku: Sku, change: int, on_hand: int, reserved: int
    ) -> None:
        """Remember what to tell the others."""
        draft.levels.append(Level(bin_, sku.code, on_hand, reserved))
        if change:
            draft.usage.append((bin_, change * sku.volume, change * sku.weight))

    def _sku(self, code: object) -> Sku:
        sku = self.skus.get(code) if isinstance(code, str) else None
        if sku is None:
            raise Rejection("sku", code, "unknown SKU")
        return sku

    def _bin(self, value: object) -> int:
        bin_ = whole("bin", value, 0)
        last = self.pods * self.bins_per_pod - 1
        if bin_ > last:
            raise Rejection("bin", bin_, f"unknown bin, the building has 0..{last}")
        return bin_


def _adding(table: Table, column: str, *, add: bool = True) -> Executable:
    """Insert a row into ``table``; where its key is there, add to ``column`` or replace it.

    Written as text, the same for both databases: SQLAlchemy compiles its own form of it anew at
    every use.
    """
    names = [c.name for c in table.columns]
    key = ", ".join(c.name for c in table.primary_key.columns)
    value = f"{table.name}.{column} + excluded.{column}" if add else f"excluded.{column}"
    return literal_text(
        f"INSERT INTO {table.name} ({', '.join(names)}) VALUES (:{', :'.join(names)}) "
        f"ON CONFLICT ({key}) DO UPDATE SET {column} = {value}"
    )


_RESERVE_MORE = _adding(_reservation, "quantity")
_TOTE_MORE = _adding(_tote, "quantity")
_PLACE_POD = _adding(schema.pod_place, "cell", add=False)
_INSERT_REPLY = insert(schema.reply)
_INSERT_MOVEMENT = insert(schema.movement)
_INSERT_PALLET = insert(schema.pallet)
_INSERT_ON_PALLET = insert(_pallet_stock)


def _may_pass(error: DBAPIError) -> bool:
    """Whether a failed booking may succeed when tried again."""
    return isinstance(error, IntegrityError) or getattr(error.orig, "sqlstate", "") in _CONFLICTS


def text(field: str, value: object, longest: int = schema.NAME_LENGTH) -> str:
    """``value`` if it is a name; raises `Rejection`."""
    if not isinstance(value, str) or not value or not value.isprintable():
        raise Rejection(field, value, "must be printable text")
    if len(value) > longest:
        raise Rejection(field, value, f"longer than {longest} letters")
    return value


def whole(field: str, value: object, least: int) -> int:
    """``value`` as an int if it is a whole number from ``least`` on; raises `Rejection`."""
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise Rejection(field, value, "must be a whole number") from None
    if not least <= number <= MOST_PIECES:
        raise Rejection(field, number, f"must be {least}..{MOST_PIECES}")
    return number


def _entries(request: Any, *fields: str) -> list[tuple[Any, ...]]:
    """The entries of a request whose parallel tuples are ``fields``."""
    columns = [tuple(getattr(request, field)) for field in fields]
    if not columns[0]:
        raise Rejection(fields[0], (), "empty")
    for field, column in zip(fields, columns, strict=True):
        if len(column) != len(columns[0]):
            raise Rejection(field, column, f"{len(columns[0])} entries expected, as in {fields[0]}")
    return list(zip(*columns, strict=True))


def plain(value: Any) -> Any:
    """The content of a request in plain Python, equal however its numbers were typed."""
    if isinstance(value, (str, bool)) or value is None:
        return value
    if isinstance(value, (tuple, list)):
        return tuple(plain(item) for item in value)
    if hasattr(value, "__dataclass_fields__"):
        names = value.__dataclass_fields__
        return (type(value).__name__, *(plain(getattr(value, name)) for name in names))
    try:
        return operator.index(value)
    except TypeError:
        return float(value) if hasattr(value, "__float__") else repr(value)


def write_reply(reply: Reply) -> str:
    """Everything of a reply but its key, as JSON."""
    body = {"ok": reply.ok, "reason": reply.reason, "granted": reply.granted, "left": reply.left}
    return json.dumps(body, separators=(",", ":"))


def read_reply(key: str, body: str) -> Reply:
    reply = Reply(key, **json.loads(body))
    return replace(reply, granted=tuple(reply.granted))
