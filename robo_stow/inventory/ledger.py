"""The ledger: every movement of stock, and the positions that follow from them.

One request is one booking: its movements, the positions they change and the reply are written in
one transaction, and only then is the reply given out. The reply is kept under the request's
idempotency key: the same request again, even after a crash, gets the same reply and moves
nothing; a different request under a used key is refused.

Whatever a booking is judged by it reads, under a lock, inside its own transaction: any number of
processes may book at once. SQLite has one writer at a time; on PostgreSQL rows are locked in one
order (see `robo_stow.inventory.drafts`), so bookings wait for each other but do not deadlock.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from hashlib import blake2b

import numpy as np
from sqlalchemy import Connection, RootTransaction, func, select
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from robo_stow.errors import InputError
from robo_stow.floor.building import Building, PodSpec
from robo_stow.inventory import migrations, schema
from robo_stow.inventory import statements as sql
from robo_stow.inventory.catalogue import Catalogue, class_name
from robo_stow.inventory.database import describe, failing_clearly, insert_rows, open_engine
from robo_stow.inventory.drafts import Drafter
from robo_stow.inventory.fit import GRAM, MM, BinSpec, bins_of_face, classes_of_pods
from robo_stow.inventory.model import HOUSE, Booking, Draft, Rejection, Site, Sku, plain, text
from robo_stow.inventory.prepared import Prepared
from robo_stow.inventory.requests import Booked
from robo_stow.messages import Reply

ATTEMPTS = 5
"""Times a booking is tried when another one, booked at the same moment, got in its way."""

_OPENING_LOCK = 0x57044  # any number, the same for all
_CONFLICTS = {"40001", "40P01"}  # PostgreSQL: serialisation failure, deadlock

MEASURES = ("volume", "capacity", "shelf", "width", "depth", "height")
SKU_COLUMNS = ("code", "volume", "weight", "temperature", "hazard", "length", "width", "height")


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
        self.prepared = Prepared(self._connection)
        """For the statements of bookings, inside `reading` and `writing`."""
        self.site = Site(0, 1, 1, 0, {}, {})
        self._drafter = Drafter(self.site)

    def close(self) -> None:
        """End the connection; what was booked stays booked."""
        self._connection.close()
        self.engine.dispose()

    @property
    def skus(self) -> dict[str, Sku]:
        """SKUs by their codes."""
        return self.site.skus

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for questions: all of them see the ledger at one moment."""
        connection = self._connection
        connection.execution_options(reading=True)
        try:
            with failing_clearly(self.engine), self._begin():
                yield connection
        finally:
            connection.execution_options(reading=False)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A connection whose changes are durable when the block ends, or undone if it fails."""
        with failing_clearly(self.engine), self._begin():
            yield self._connection

    @contextmanager
    def alone(self) -> Iterator[Connection]:
        """Like `writing`, and nobody else is in such a block at the same time."""
        with self.writing() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(select(func.pg_advisory_xact_lock(_OPENING_LOCK)))
            yield connection

    def _begin(self) -> RootTransaction:
        """A transaction; on a new connection if the old one has broken meanwhile."""
        try:
            return self._connection.begin()
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            return self._connection.begin()

    # --- opening -------------------------------------------------------------------------------

    def prepare(self, building: Building, catalogue: Catalogue) -> bool:
        """Make the ledger that of ``building``; True when it holds no movement yet.

        Creates the tables in an empty database and adds SKUs it does not know. A SKU that it
        knows keeps the size it was drawn first; what an item file says is taken over, as are
        sizes of bins and classes of pods.

        Raises:
            InputError: the ledger belongs to a building with other pods, or goods would lie in
                pods of another class.
        """
        spec = building.pod
        facts = {
            "building": building.name,
            "pods": str(building.pods),
            "faces": str(spec.faces),
            "bins_per_face": str(spec.bins_per_face),
            "cells": str(building.grid.cells),
        }
        with self.alone() as connection:
            found = migrations.revision(connection)
            if found is None:
                migrations.create(connection)
            elif found != migrations.HEAD:
                migrations.upgrade(connection, describe(self.engine))
            known = self._meta()
            for name, value in facts.items():
                if known.get(name, value) != value:
                    raise InputError(
                        describe(self.engine),
                        name,
                        known[name],
                        f"the ledger is not of building {building.name!r} with {name} = {value}",
                    )
            reclassed = False
            if known:
                reclassed = self._refit_pods(building)
            else:
                insert_rows(connection, schema.meta, ("name", "value"), [*facts.items()])
                insert_rows(connection, schema.owner, ("code",), [(HOUSE,)])
                self._add_pods(building)
            if self._add_skus(catalogue) or reclassed:
                self._check_classes(building)
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
            found = migrations.revision(connection)
            if found is None:
                raise InputError("database", "URL", describe(self.engine), "holds no ledger")
            if found != migrations.HEAD:
                raise InputError(
                    describe(self.engine),
                    "revision",
                    found,
                    f"expected {migrations.HEAD}; a site that opens the ledger upgrades it",
                )
            facts = self._meta()
            rows = connection.execute(
                select(
                    schema.sku.c.id,
                    schema.sku.c.code,
                    schema.lot.c.id,
                    schema.sku.c.volume,
                    schema.sku.c.weight,
                    schema.sku.c.temperature,
                    schema.sku.c.hazard,
                    *(schema.sku.c[name] for name in ("length", "width", "height")),
                )
                .join(schema.lot, schema.lot.c.sku == schema.sku.c.id)
                .join(schema.owner, schema.owner.c.id == schema.lot.c.owner)
                .where(schema.owner.c.code == HOUSE, schema.lot.c.code == "")
                .order_by(schema.sku.c.id)
            ).all()
        skus = [
            Sku(id_, code, lot, volume, weight, (temperature, hazard), (length, width, height))
            for id_, code, lot, volume, weight, temperature, hazard, length, width, height in rows
        ]
        self.site = Site(
            pods=int(facts["pods"]),
            faces=int(facts["faces"]),
            bins_per_pod=int(facts["faces"]) * int(facts["bins_per_face"]),
            cells=int(facts["cells"]),
            skus={sku.code: sku for sku in skus},
            by_id={sku.id: sku for sku in skus},
        )
        self._drafter = Drafter(self.site)

    def _meta(self) -> dict[str, str]:
        rows = self._connection.execute(select(schema.meta.c.name, schema.meta.c.value))
        return {name: value for name, value in rows}

    def _add_pods(self, building: Building) -> None:
        spec = building.pod
        insert_rows(
            self._connection,
            schema.pod,
            ("id", "capacity", "temperature", "hazard"),
            [
                (pod, _pod_capacity(spec), *kept)
                for pod, kept in enumerate(classes_of_pods(spec, building.pods))
            ],
        )
        places = [
            (face, slot, *_measures(bin_))
            for face in range(spec.faces)
            for slot, bin_ in enumerate(bins_of_face(spec))
        ]
        insert_rows(
            self._connection,
            schema.bin_,
            ("id", "pod", "face", "slot", *MEASURES),
            [
                (pod * spec.bins + number, pod, *place)
                for pod in range(building.pods)
                for number, place in enumerate(places)
            ],
        )

    def _refit_pods(self, building: Building) -> bool:
        """Take over from the building what may change: sizes of bins, loads, classes of pods.

        Returns:
            Whether classes have changed.
        """
        connection, spec = self._connection, building.pod
        rows = connection.execute(sql.FACE, {"first": 0, "last": spec.bins_per_face - 1})
        for slot, (bin_, row) in enumerate(zip(bins_of_face(spec), rows, strict=True)):
            if tuple(row) != _measures(bin_):
                new = dict(zip(MEASURES, _measures(bin_), strict=True))
                connection.execute(sql.SET_BINS, {"at_slot": slot, **new})
        connection.execute(sql.SET_CAPACITY, {"new_capacity": _pod_capacity(spec)})
        kept = {row.id: (row.temperature, row.hazard) for row in connection.execute(sql.PODS)}
        new_classes = [
            {"at_pod": pod, "new_temperature": wanted[0], "new_hazard": wanted[1]}
            for pod, wanted in enumerate(classes_of_pods(spec, building.pods))
            if kept[pod] != wanted
        ]
        if new_classes:
            connection.execute(sql.SET_POD_CLASS, new_classes)
        return bool(new_classes)

    def _add_skus(self, catalogue: Catalogue) -> bool:
        """Add SKUs; of those that are known, take over what the item file says.

        Returns:
            Whether one that is known has changed.
        """
        connection = self._connection
        rows = connection.execute(select(*(schema.sku.c[name] for name in SKU_COLUMNS))).all()
        known = {row[0]: tuple(row) for row in rows}
        sides = np.rint(catalogue.size / MM).astype(np.int64).tolist()
        grams = np.rint(catalogue.weight / GRAM).astype(np.int64).tolist()
        new, changed = [], []
        for i, code in enumerate(catalogue.sku):
            row = (code, math.prod(sides[i]), grams[i], *catalogue.kept[i], *sides[i])
            if code not in known:
                new.append(row)
            elif catalogue.listed[i] and row != known[code]:
                changed.append(dict(zip(SKU_COLUMNS, row, strict=True)))
        if changed:
            connection.execute(sql.SET_SKU, changed)
        if not new:
            return bool(changed)
        insert_rows(connection, schema.sku, SKU_COLUMNS, new)
        house = connection.execute(
            select(schema.owner.c.id).where(schema.owner.c.code == HOUSE)
        ).scalar_one()
        ids = connection.execute(
            select(schema.sku.c.id).where(
                schema.sku.c.id.not_in(select(schema.balance.c.sku).scalar_subquery())
            )
        ).scalars()
        fresh = sorted(ids)
        insert_rows(connection, schema.balance, ("sku",), [(sku,) for sku in fresh])
        insert_rows(connection, schema.lot, ("sku", "owner"), [(sku, house) for sku in fresh])
        return bool(changed)

    def _check_classes(self, building: Building) -> None:
        """Nothing may lie in a pod of other classes than its own."""
        row = self._connection.execute(sql.MISPLACED).first()
        if row is not None:
            raise InputError(
                building.source,
                "pods.classes",
                class_name((row.pod_temperature, row.pod_hazard)),
                f"pod {row.pod} is to be kept for them, but in it lies {row.code}, "
                f"{class_name((row.temperature, row.hazard))}; move it out first",
            )

    # --- booking -------------------------------------------------------------------------------

    def book(self, requests: Sequence[Booked], now: float) -> list[Booking]:
        """Book requests in one transaction; the outcomes are durable when this returns.

        A request that is rejected moves nothing and does not touch the others.

        Raises:
            LedgerError: the database failed; then none of the requests has been booked.
        """
        with failing_clearly(self.engine):
            for attempt in range(ATTEMPTS):
                committing = False
                try:
                    with self._begin():
                        bookings = [self._book(self.prepared, item, now) for item in requests]
                        committing = True
                    return bookings
                except (IntegrityError, OperationalError) as error:
                    # Someone else used the key, or took rows the other way round, or the
                    # connection broke before anything was booked: look again.
                    unbooked = error.connection_invalidated and not committing
                    if attempt == ATTEMPTS - 1 or not (unbooked or _may_pass(error)):
                        raise
        raise AssertionError("unreachable")

    def _book(self, connection: Prepared, request: Booked, now: float) -> Booking:
        try:
            key = text("key", request.key, schema.KEY_LENGTH)
        except Rejection as rejection:
            return Booking(Reply(str(request.key), False, str(rejection)))
        digest = blake2b(repr(plain(request)).encode(), digest_size=16).hexdigest()
        stored = connection.execute(sql.REPLY, {"at_key": key}).first()
        if stored is not None:
            if stored.digest != digest:
                reason = f"key = {key!r}: already used for a different request"
                return Booking(Reply(key, False, reason))
            return Booking(read_reply(key, stored.body))
        try:
            draft = self._drafter.draft(connection, request, now)
        except Rejection as rejection:
            draft = Draft(Reply(key, False, str(rejection)))
        connection.execute(
            sql.INSERT_REPLY,
            {"key": key, "digest": digest, "time": now, "body": write_reply(draft.reply)},
        )
        for statement, values in draft.writes:
            connection.execute(statement, values)
        if draft.movements:
            for movement in draft.movements:
                movement["key"] = key
                movement["time"] = now
            connection.execute(sql.INSERT_MOVEMENT, draft.movements)
        return Booking(draft.reply, tuple(draft.levels), tuple(draft.usage), draft.moved)


def _measures(bin_: BinSpec) -> tuple[int, ...]:
    """Values of `MEASURES`."""
    return (bin_.volume, bin_.capacity, bin_.shelf, *bin_.size)


def _pod_capacity(spec: PodSpec) -> int:
    return math.floor(spec.capacity / GRAM + 0.5)  # g


def _may_pass(error: DBAPIError) -> bool:
    """Whether a failed booking may succeed when tried again."""
    return isinstance(error, IntegrityError) or getattr(error.orig, "sqlstate", "") in _CONFLICTS


def write_reply(reply: Reply) -> str:
    """Everything of a reply but its key, as JSON."""
    body = {"ok": reply.ok, "reason": reply.reason, "granted": reply.granted, "left": reply.left}
    return json.dumps(body, separators=(",", ":"))


def read_reply(key: str, body: str) -> Reply:
    reply = Reply(key, **json.loads(body))
    return replace(reply, granted=tuple(reply.granted))
