"""The ledger's promises: exact, durable before it is acknowledged, each request booked once."""

from __future__ import annotations

import resource
import signal
import sqlite3
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from shop import SKUS, corner_shop, fork
from sqlalchemy import Connection, text, update
from sqlalchemy.exc import DBAPIError

from robo_stow.errors import InputError
from robo_stow.floor.building import Building, PodClass, Shelf
from robo_stow.inventory import migrations, queries, schema
from robo_stow.inventory.catalogue import Catalogue
from robo_stow.inventory.core import InventoryCore
from robo_stow.inventory.database import LedgerError
from robo_stow.inventory.fit import GRAM, bins_of_face, pieces_in
from robo_stow.inventory.ledger import Ledger
from robo_stow.inventory.model import Booking
from robo_stow.inventory.private_server import PrivateServer, find_programs
from robo_stow.inventory.requests import (
    REASONS,
    AdjustRequest,
    Booked,
    CountRequest,
    ReceiveLotsRequest,
    RestowRequest,
)
from robo_stow.messages import (
    CancelRequest,
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

# --- any sequence of requests --------------------------------------------------------------------


class Shop(RuleBasedStateMachine):
    """Random requests, good and bad, against a model of plain counters."""

    site: Building
    database: Callable[[str], str]
    restarts: bool

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.keys = 0
        self.sent: list[tuple[Booked, Reply]] = []
        self.pallets: dict[str, Counter[str]] = {}
        self.stock: Counter[tuple[int, str]] = Counter()
        self.reserved: Counter[tuple[str, int, str]] = Counter()
        self.totes: dict[str, Counter[str]] = {}
        self.received: Counter[str] = Counter()
        self.missing: Counter[str] = Counter()
        self.shipped: Counter[str] = Counter()
        self.seen: dict[tuple[int, str], tuple[int, int]] = {}
        self.space: dict[tuple[int, int], float] = {}
        self.places: dict[int, int] = {}
        self.folder = tempfile.TemporaryDirectory()
        self.url = self.database(self.folder.name)

    @initialize()
    def open(self) -> None:
        self.core = InventoryCore(self.site, 1, self.url)
        self.hear(self.core.step(self.now, []))
        for (bin_, sku), (on_hand, reserved) in self.seen.items():
            assert reserved == 0
            self.stock[bin_, sku] = on_hand
            self.received[sku] += on_hand

    def teardown(self) -> None:
        if hasattr(self, "core"):
            assert self.core.audit() == []
            self.core.close()

    def hear(self, messages: list[Any]) -> None:
        for message in messages:
            if isinstance(message, StockLevels):
                rows = zip(message.bin, message.sku, message.on_hand, message.reserved, strict=True)
                for bin_, sku, on_hand, reserved in rows:
                    self.seen[bin_, sku] = (on_hand, reserved)
            elif isinstance(message, PodSpace):
                for pod, face, free in zip(message.pod, message.face, message.free, strict=True):
                    self.space[pod, face] = free
            elif isinstance(message, PodRegister):
                pairs = zip(message.pod.tolist(), message.cell.tolist(), strict=True)
                self.places.update(pairs)

    def ask(self, request: Booked) -> Reply:
        self.now += 1.0
        reply, changes = self.core.handle(request, self.now)
        assert reply.key == request.key
        assert bool(reply.reason) != reply.ok
        self.hear(changes)
        self.sent.append((request, reply))
        return reply

    def key(self) -> str:
        self.keys += 1
        return f"k{self.keys}"

    def free(self, bin_: int, sku: str) -> int:
        taken = sum(n for (_, b, s), n in self.reserved.items() if (b, s) == (bin_, sku))
        return self.stock[bin_, sku] - taken

    def fits(self, bin_: int, sku: str, quantity: int) -> bool:
        spec, known = self.site.pod, self.core.ledger.skus
        pod = bin_ // spec.bins
        held = +self.stock
        held[bin_, sku] += quantity
        box = bins_of_face(spec)[bin_ % spec.bins_per_face]
        in_bin = [(known[s], n) for (b, s), n in held.items() if b == bin_]
        in_pod = [(known[s], n) for (b, s), n in held.items() if b // spec.bins == pod]
        return (
            held[bin_, sku] <= pieces_in(known[sku].size, box.size)
            and sum(s.volume * n for s, n in in_bin) <= box.volume
            and sum(s.weight * n for s, n in in_bin) <= box.capacity
            and sum(s.weight * n for s, n in in_pod) <= round(spec.capacity / GRAM)
        )

    bins = st.integers(0, 5)  # few, so that requests meet
    skus = st.sampled_from(SKUS)
    orders = st.sampled_from(("o1", "o2", "o3"))

    @rule(skus=st.lists(st.sampled_from(SKUS), min_size=1, max_size=3), n=st.integers(1, 40))
    def receive(self, skus: list[str], n: int) -> None:
        pallet = f"p{len(self.pallets)}"
        request = ReceiveRequest(self.key(), pallet, tuple(skus), (n,) * len(skus))
        assert self.ask(request).granted == (n * len(skus),)
        self.pallets[pallet] = Counter()
        for sku in skus:
            self.pallets[pallet][sku] += n
            self.received[sku] += n
        again = ReceiveRequest(self.key(), pallet, ("20002",), (1,))
        assert not self.ask(again).ok

    @precondition(lambda self: self.pallets)
    @rule(data=st.data(), bin_=bins, sku=skus, n=st.integers(1, 50))
    def stow(self, data: st.DataObject, bin_: int, sku: str, n: int) -> None:
        pallet = data.draw(st.sampled_from(sorted(self.pallets)))
        left = self.pallets[pallet]
        reply = self.ask(StowRequest(self.key(), pallet, bin_, sku, n))
        assert reply.ok == (left[sku] >= n and self.fits(bin_, sku, n))
        if reply.ok:
            left[sku] -= n
            self.stock[bin_, sku] += n
            assert reply.left == left.total()

    @precondition(lambda self: self.pallets)
    @rule(data=st.data(), pod=st.integers(0, 5), face=st.integers(0, 1))
    def propose(self, data: st.DataObject, pod: int, face: int) -> None:
        pallet = data.draw(st.sampled_from(sorted(self.pallets)))
        left = self.pallets[pallet]
        reply = self.ask(ProposeRequest(self.key(), pallet, pod, face))
        assert reply.ok and reply.left == left.total()
        for bin_, sku, n in zip(reply.bin, reply.sku, reply.quantity, strict=True):
            assert self.site.pod_of_bin(bin_) == pod and self.site.face_of_bin(bin_) == face
            held = {s for (b, s), on_hand in self.stock.items() if b == bin_ and on_hand}
            letters = self.site.stock.lookalike
            assert not any(s != sku and s[:letters] == sku[:letters] for s in held)
            assert self.ask(StowRequest(self.key(), pallet, bin_, sku, n)).ok
            left[sku] -= n
            self.stock[bin_, sku] += n

    @rule(
        entries=st.lists(st.tuples(orders, bins, skus, st.integers(1, 9)), min_size=1, max_size=4)
    )
    def reserve(self, entries: list[tuple[str, int, str, int]]) -> None:
        order, bin_, sku, quantity = zip(*entries, strict=True)
        reply = self.ask(ReserveRequest(self.key(), order, bin_, sku, quantity))
        for (o, b, s, n), granted in zip(entries, reply.granted, strict=True):
            assert granted == min(n, self.free(b, s))
            self.reserved[o, b, s] += granted

    @rule(data=st.data(), n=st.integers(1, 9))
    def cancel(self, data: st.DataObject, n: int) -> None:
        order, bin_, sku = data.draw(self.a_reservation())
        held = self.reserved[order, bin_, sku]
        reply = self.ask(CancelRequest(self.key(), order, bin_, sku, n))
        assert reply.ok == bool(held)
        if reply.ok:
            assert reply.granted == (min(n, held),)
            self.reserved[order, bin_, sku] -= min(n, held)

    @rule(data=st.data(), n=st.integers(0, 9), short=st.integers(0, 2))
    def pick(self, data: st.DataObject, n: int, short: int) -> None:
        order, bin_, sku = data.draw(self.a_reservation())
        held = self.reserved[order, bin_, sku]
        reply = self.ask(PickRequest(self.key(), order, bin_, sku, n, short))
        assert reply.ok == (0 < n + short <= held)
        if reply.ok:
            self.reserved[order, bin_, sku] -= n + short
            self.stock[bin_, sku] -= n + short
            self.missing[sku] += short
            if n:
                self.totes.setdefault(order, Counter())[sku] += n

    def a_reservation(self) -> st.SearchStrategy[tuple[str, int, str]]:
        held = sorted(place for place, n in self.reserved.items() if n)
        anything = st.tuples(self.orders, self.bins, self.skus)
        return st.one_of(st.sampled_from(held), anything) if held else anything

    @rule(order=orders)
    def ship(self, order: str) -> None:
        reply = self.ask(ShipRequest(self.key(), order))
        assert reply.ok == (order in self.totes)
        if reply.ok:
            pieces = self.totes.pop(order)
            assert reply.granted == (pieces.total(),)
            self.shipped += pieces
            for place in self.reserved:
                if place[0] == order:
                    self.reserved[place] = 0

    @rule(pod=st.integers(0, 6), cell=st.integers(0, 10))
    def move_pod(self, pod: int, cell: int) -> None:
        assert self.ask(MovePodRequest(self.key(), pod, cell)).ok == (pod < 6)
        if pod < 6:
            assert self.places[pod] == cell

    @rule(bin_=bins, sku=skus, n=st.integers(-9, 9), reason=st.sampled_from(REASONS))
    def adjust(self, bin_: int, sku: str, n: int, reason: str) -> None:
        reply = self.ask(AdjustRequest(self.key(), sku, n, reason, bin=bin_))
        assert reply.ok == (self.fits(bin_, sku, n) if n > 0 else 0 < -n <= self.free(bin_, sku))
        if reply.ok:
            self.stock[bin_, sku] += n
            self.missing[sku] -= n

    @precondition(lambda self: self.pallets)
    @rule(data=st.data(), sku=skus, n=st.integers(-9, 9))
    def adjust_pallet(self, data: st.DataObject, sku: str, n: int) -> None:
        pallet = data.draw(st.sampled_from(sorted(self.pallets)))
        reply = self.ask(AdjustRequest(self.key(), sku, n, "receipt", pallet=pallet))
        assert reply.ok == (n > 0 or 0 < -n <= self.pallets[pallet][sku])
        if reply.ok:
            self.pallets[pallet][sku] += n
            self.missing[sku] -= n

    @rule(bin_=bins, to_bin=bins, sku=skus, n=st.integers(1, 9))
    def restow(self, bin_: int, to_bin: int, sku: str, n: int) -> None:
        reply = self.ask(RestowRequest(self.key(), sku, n, bin_, to_bin))
        # A move within the pod does not take its own weight off first: the pod must bear both.
        fits = bin_ != to_bin and self.fits(to_bin, sku, n)
        assert reply.ok == (fits and n <= self.free(bin_, sku))
        if reply.ok:
            self.stock[bin_, sku] -= n
            self.stock[to_bin, sku] += n

    @rule(bin_=bins, found=st.dictionaries(st.sampled_from(SKUS), st.integers(0, 9), max_size=3))
    def count(self, bin_: int, found: dict[str, int]) -> None:
        reply = self.ask(CountRequest(self.key(), bin_, tuple(found), tuple(found.values())))
        change = {sku: found.get(sku, 0) - self.stock[bin_, sku] for sku in SKUS}
        assert reply.ok == all(-n <= self.free(bin_, sku) for sku, n in change.items())
        if reply.ok:
            more = sum(n for n in change.values() if n > 0)
            assert reply.granted == (more, more - sum(change.values()))
            for sku, n in change.items():
                self.stock[bin_, sku] += n
                self.missing[sku] -= n

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        request, reply = data.draw(st.sampled_from(self.sent))
        again, changes = self.core.handle(request, self.now)
        assert again == reply and not changes
        if isinstance(request, ReceiveRequest):
            other = replace(request, pallet="another")
            assert not self.core.handle(other, self.now)[0].ok

    @precondition(lambda self: self.restarts)
    @rule()
    def restart(self) -> None:
        self.core.close()
        self.core = InventoryCore(self.site, 1, self.url)
        # A proposal is a question, not a booking: a new process may answer it anew.
        self.sent = [(q, r) for q, r in self.sent if not isinstance(q, ProposeRequest)]
        known = {place: level for place, level in self.seen.items() if level[0]}
        space, places = self.space, self.places
        self.seen, self.space, self.places = {}, {}, {}
        self.hear(self.core.step(self.now, []))
        assert self.seen == known
        assert (self.space, self.places) == (space, places)

    @invariant()
    def conserved(self) -> None:
        if not hasattr(self, "core"):
            return
        assert self.core.check_totals() == []
        reserved: Counter[tuple[int, str]] = Counter()
        for (_, bin_, sku), n in self.reserved.items():
            reserved[bin_, sku] += n
        for place, (on_hand, taken) in self.seen.items():
            assert (on_hand, taken) == (self.stock[place], reserved[place])
            assert 0 <= taken <= on_hand
        assert all(place in self.seen for place, n in self.stock.items() if n)
        for sku in SKUS:
            pieces = sum(pallet[sku] for pallet in self.pallets.values())
            pieces += sum(n for (_, s), n in self.stock.items() if s == sku)
            pieces += sum(tote[sku] for tote in self.totes.values())
            assert self.received[sku] == pieces + self.shipped[sku] + self.missing[sku]


def run_shop(
    shop: Building,
    database: Callable[[str], str],
    examples: int,
    steps: int,
    restarts: bool,
) -> None:
    """Try sequences of requests; ``database`` gives a URL for a folder."""
    names = {"site": shop, "database": staticmethod(database), "restarts": restarts}
    run_state_machine_as_test(
        type("Shop", (Shop,), names),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_any_sequence_of_requests_conserves_stock(shop: Building) -> None:
    run_shop(shop, lambda folder: "sqlite://", 10, 40, restarts=False)


def test_a_restart_changes_nothing(shop: Building) -> None:
    run_shop(shop, lambda folder: f"sqlite:///{folder}/ledger.sqlite", 4, 25, restarts=True)


def test_postgresql_does_the_same(shop: Building, server: PrivateServer) -> None:
    run_shop(shop, lambda folder: server.fresh(), 4, 25, restarts=True)


# --- many at once --------------------------------------------------------------------------------


def test_200_concurrent_reservations_of_100_pieces_give_exactly_100(
    shop: Building, database: str
) -> None:
    core = InventoryCore(shop, 1, database)
    levels = core.step(0.0, [])[0]
    assert isinstance(levels, StockLevels)
    free = next(b for b in range(48) if b not in levels.bin)
    core.handle(ReceiveRequest("r", "p", ("40004",), (100,)), 1.0)
    sku = core.ledger.skus["40004"]
    with core.ledger.writing() as connection:  # a bin large enough for all of them
        connection.execute(
            update(schema.bin_)
            .where(schema.bin_.c.id == free)
            .values(
                volume=sku.volume * 100,
                capacity=sku.weight * 100,
                width=sku.size[0] * 100,
                depth=sku.size[1],
                height=sku.size[2],
            )
        )
        connection.execute(update(schema.pod).values(capacity=10**7))
    assert core.handle(StowRequest("s", "p", free, "40004", 100), 1.0)[0].ok
    core.close()

    def reserve(process: int, results: Any) -> None:
        granted: list[int] = []

        def one(number: int) -> None:
            ledger = Ledger(database)
            ledger.load()
            barrier.wait()
            name = f"{process}-{number}"
            request = ReserveRequest(name, (name,), (free,), ("40004",), (1,))
            (booking,) = ledger.book([request], 2.0)
            granted.append(booking.reply.granted[0])
            ledger.close()

        barrier = threading.Barrier(25)
        threads = [threading.Thread(target=one, args=(number,)) for number in range(25)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        results.put(granted)

    results = fork.Queue()
    workers = [fork.Process(target=reserve, args=(number, results)) for number in range(8)]
    for worker in workers:
        worker.start()
    granted = [n for _ in workers for n in results.get(timeout=120)]
    for worker in workers:
        worker.join()
    assert len(granted) == 200
    assert sum(granted) == 100

    core = InventoryCore(shop, 1, database)
    assert core.audit() == []
    levels = core.step(3.0, [])[0]
    assert isinstance(levels, StockLevels)
    at = levels.bin.index(free)
    assert (levels.on_hand[at], levels.reserved[at]) == (100, 100)
    core.close()


def test_the_same_request_sent_by_many_is_booked_once(shop: Building, database: str) -> None:
    InventoryCore(shop, 1, database).close()

    def receive(results: Any) -> None:
        ledger = Ledger(database)
        ledger.load()
        request = ReceiveRequest("once", "p", ("20002", "30003"), (5, 7))
        (booking,) = ledger.book([request], 1.0)
        results.put(booking.reply)
        ledger.close()

    results = fork.Queue()
    workers = [fork.Process(target=receive, args=(results,)) for _ in range(8)]
    for worker in workers:
        worker.start()
    replies = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert replies == [Reply("once", True, "", granted=(12,), left=12)] * 8
    core = InventoryCore(shop, 1, database)
    assert core.audit() == []
    core.close()


# --- a database that fails ------------------------------------------------------------------------


def test_what_was_booked_without_an_answer_is_told_later(shop: Building, database: str) -> None:
    core = InventoryCore(shop, 1, database)
    levels = core.step(0.0, [])[0]
    assert isinstance(levels, StockLevels)
    bin_, sku, pieces = levels.bin[0], levels.sku[0], levels.on_hand[0]
    book = core.ledger.book

    def lose_the_answer(requests: Sequence[Booked], now: float) -> list[Booking]:
        book(requests, now)
        raise LedgerError("the connection broke")

    gone = AdjustRequest("a", sku, -pieces, "missing", bin=bin_)
    moved = MovePodRequest("m", 2, 7)
    for request in (gone, moved):
        core.ledger.book = lose_the_answer  # type: ignore[method-assign]
        with pytest.raises(LedgerError):
            core.handle(request, 1.0)
    core.ledger.book = book  # type: ignore[method-assign]

    reply, (levels, space, register) = core.handle(gone, 2.0)
    assert reply.granted == (pieces,)
    assert isinstance(levels, StockLevels) and isinstance(space, PodSpace)
    assert (levels.bin, levels.sku, levels.on_hand) == ((bin_,), (sku,), (0,))
    assert isinstance(register, PodRegister) and register.pod.tolist() == [2]
    again = InventoryCore(shop, 1, database)
    whole = again.step(3.0, [])[1]
    assert isinstance(whole, PodSpace)
    at = list(zip(whole.pod, whole.face, strict=True)).index((space.pod[0], space.face[0]))
    assert whole.free[at] == space.free[0]
    assert core.handle(gone, 4.0)[1] == []
    again.close()
    core.close()


def test_a_full_disk_loses_nothing(shop: Building, tmp_path: Path) -> None:
    core = InventoryCore(shop, 1, f"sqlite:///{tmp_path}/ledger.sqlite")
    acknowledged = 0

    def receive() -> Reply:
        request = ReceiveRequest(f"r{acknowledged}", f"p{acknowledged}", ("20002",), (1,))
        return core.handle(request, 1.0)[0]

    size = (tmp_path / "ledger.sqlite-wal").stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 500_000, before[1]))  # of any file
    try:
        with pytest.raises(LedgerError, match="disk"):
            while acknowledged < 1000:
                assert receive().ok
                acknowledged += 1
        with pytest.raises(LedgerError, match="disk"):
            receive()
        assert core.audit() == []  # it can still be asked
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert 0 < acknowledged < 1000
    assert receive().ok
    rows = queries.stock(core.ledger, "20002")[1]
    assert sum(row[1] == "pallet" for row in rows) == acknowledged + 1
    assert core.audit() == []
    core.close()


def test_a_server_that_was_killed_is_used_again(shop: Building) -> None:
    programs = find_programs()
    if programs is None:
        pytest.skip("needs a PostgreSQL server (Debian package postgresql)")
    server = PrivateServer(programs)
    try:
        core = InventoryCore(shop, 1, server.fresh())
        for number in range(2):
            before = ReceiveRequest(f"b{number}", f"b{number}", ("20002",), (1,))
            after = ReceiveRequest(f"a{number}", f"a{number}", ("20002",), (1,))
            assert core.handle(before, 1.0)[0].ok
            server.kill()
            with pytest.raises(LedgerError):
                core.handle(after, 1.0)
            with pytest.raises(LedgerError):
                core.audit()
            server.start()
            assert core.handle(after, 1.0)[0].ok
            assert core.audit() == []
        assert len([row for row in queries.stock(core.ledger)[1] if row[1] == "pallet"]) == 4
        core.close()
    finally:
        server.stop()


def test_broken_files_are_told(shop: Building, tmp_path: Path) -> None:
    file = tmp_path / "ledger.sqlite"
    InventoryCore(shop, 1, f"sqlite:///{file}").close()
    sound = file.read_bytes()
    for content in (sound[: len(sound) // 2], sound[:100] + b"\0" * 3000 + sound[3100:]):
        file.write_bytes(content)
        with pytest.raises(LedgerError, match="malformed"):
            InventoryCore(shop, 1, f"sqlite:///{file}")
    file.write_bytes(sound)
    with sqlite3.connect(file) as direct:  # an index that has lost its rows
        direct.execute("PRAGMA writable_schema = ON")
        empty = direct.execute("SELECT sql FROM sqlite_master WHERE name = 'ix_stock_sku_bin'")
        (statement,) = empty.fetchone()
        direct.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'ix_stock_sku_bin'",
                       (statement.replace("stock (sku, bin)", "stock (bin, sku)"),))  # fmt: skip
    direct.close()
    core = InventoryCore(shop, 1, f"sqlite:///{file}")
    assert any("ix_stock_sku_bin" in line for line in core.audit())
    core.close()


@pytest.mark.parametrize("step", [-3600.0, -5.0, 5.0, 3600.0])
def test_a_clock_that_steps_changes_nothing_but_times(shop: Building, step: float) -> None:
    outcomes = []
    for jump in (0.0, step):
        core = InventoryCore(shop, 1, "sqlite://")
        now, replies = 10000.0, []
        for number in range(4):
            name, bin_ = f"n{number}", number * 9
            for request in (
                ReceiveRequest(f"r{name}", name, ("20002",), (4,)),
                ProposeRequest(f"q{name}", name, bin_ // 8, 0),
                StowRequest(f"s{name}", name, bin_, "20002", 1),
                ReserveRequest(f"v{name}", (name,), (bin_,), ("20002",), (1,)),
                PickRequest(f"k{name}", name, bin_, "20002", 1, 0),
                ShipRequest(f"h{name}", name),
            ):
                now += 1.0 + jump
                replies.append(core.handle(request, now)[0])
        assert core.audit() == []
        kinds = [row[2] for row in queries.history(core.ledger)[1]]
        outcomes.append((replies, kinds, core.snapshot(0.0)[:2]))
        core.close()
    assert outcomes[0] == outcomes[1]


def test_a_proposal_is_made_anew_after_a_restart(shop: Building, database: str) -> None:
    """The same from the same stock; what has become too much since then is refused when booked."""
    core = InventoryCore(shop, 1, database)
    core.handle(ReceiveRequest("r", "p", ("20002", "30003"), (9, 9)), 1.0)
    first = core.handle(ProposeRequest("q", "p", 1, 0), 1.0)[0]
    assert first.bin
    core.close()
    core = InventoryCore(shop, 1, database)
    assert core.handle(ProposeRequest("q", "p", 1, 0), 1.0)[0] == first
    core.close()
    core = InventoryCore(shop, 1, database)
    with core.ledger.writing() as connection:
        connection.execute(text("UPDATE bin SET volume = 1 WHERE pod = 1"))
    assert core.handle(ProposeRequest("q", "p", 1, 0), 1.0)[0].bin == ()
    old = StowRequest("s", "p", first.bin[0], first.sku[0], first.quantity[0])
    refused = core.handle(old, 1.0)[0]
    assert not refused.ok and "litres" in refused.reason
    assert core.audit() == []
    core.close()


# --- the database guards itself ------------------------------------------------------------------


def test_facts_cannot_be_changed(shop: Building, database: str) -> None:
    core = InventoryCore(shop, 1, database)
    for statement in (
        "UPDATE movement SET quantity = 1000 WHERE id = 1",
        "DELETE FROM movement WHERE id = 1",
        "DELETE FROM reply",
    ):
        with pytest.raises(DBAPIError, match="append-only"), core.ledger.engine.begin() as direct:
            direct.execute(text(statement))
    core.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE stock SET reserved = on_hand + 1",
        "UPDATE stock SET on_hand = 0",
        "UPDATE stock SET reserved = -1",
        "DELETE FROM sku",
        "INSERT INTO reservation (order_id, bin, sku, quantity) VALUES ('o', 47, 999, 1)",
    ],
)
def test_impossible_positions_are_refused(shop: Building, database: str, statement: str) -> None:
    core = InventoryCore(shop, 1, database)
    with pytest.raises(DBAPIError), core.ledger.engine.begin() as direct:
        direct.execute(text(statement))
    core.close()


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        ("UPDATE stock SET on_hand = on_hand + 1 WHERE bin = (SELECT min(bin) FROM stock)", "SKU"),
        ("UPDATE stock SET reserved = 1 WHERE bin = (SELECT min(bin) FROM stock)", "reserved"),
        ("UPDATE balance SET shipped = shipped + 1 WHERE sku = 1", "shipped"),
        ("UPDATE pod_place SET cell = 0 WHERE pod = 3", "pod, cell"),
        ("DELETE FROM stock WHERE bin = (SELECT max(bin) FROM stock)", "movements say"),
    ],
)
def test_audit_finds_tampering(shop: Building, database: str, statement: str, finding: str) -> None:
    core = InventoryCore(shop, 1, database)
    assert core.audit() == []
    with core.ledger.engine.begin() as direct:
        direct.execute(text(statement))
    assert any(finding in line for line in core.audit())
    core.close()


def test_a_ledger_of_another_building_is_refused(shop: Building, database: str) -> None:
    InventoryCore(shop, 1, database).close()
    with pytest.raises(InputError, match="pods = '6'"):
        InventoryCore(replace(shop, pods=7), 1, database)


# --- owners, lots and classes --------------------------------------------------------------------


def lots(key: str, pallet: str, owner: str, lot: str, expiry: str, pieces: int = 4) -> Booked:
    return ReceiveLotsRequest(key, pallet, ("20002",), (pieces,), (owner,), (lot,), (expiry,))


def test_a_bin_holds_one_lot_of_a_sku(shop: Building, database: str) -> None:
    core = InventoryCore(shop, 1, database)

    def ask(request: Booked) -> Reply:
        return core.handle(request, 1.0)[0]

    levels = core.step(0.0, [])[0]
    assert isinstance(levels, StockLevels)
    free = next(b for b in range(48) if b not in levels.bin)
    assert ask(lots("a", "p1", "seller", "L1", "2027-01-31")).ok
    assert ask(lots("b", "p2", "seller", "L2", "2027-02-28")).ok
    assert ask(StowRequest("c", "p1", free, "20002", 1)).ok
    assert "another lot" in ask(StowRequest("d", "p2", free, "20002", 1)).reason
    proposal = ask(ProposeRequest("e", "p2", free // 8, free % 8 // 4))
    assert free not in proposal.bin
    assert "has 2027-01-31" in ask(lots("f", "p3", "seller", "L1", "2027-03-31")).reason
    assert "must be a date" in ask(lots("g", "p4", "seller", "L3", "31.1.2027")).reason
    assert ask(lots("h", "p5", "other", "L1", "")).ok  # another owner's lot of the same name
    assert ask(ReserveRequest("i", ("o",), (free,), ("20002",), (1,))).granted == (1,)
    assert ask(PickRequest("j", "o", free, "20002", 1, 0)).ok
    _, rows = queries.stock(core.ledger, "20002")
    tote = next(row for row in rows if row[1] == "tote")
    assert (tote[2], tote[3], str(tote[4])) == ("seller", "L1", "2027-01-31")
    assert ask(ShipRequest("k", "o")).ok
    assert core.audit() == []
    core.close()


@pytest.fixture(scope="module")
def cold_shop(tmp_path_factory: pytest.TempPathFactory) -> Building:
    """The corner shop with a chilled SKU, and one pod for it."""
    folder = tmp_path_factory.mktemp("cold")
    shop = corner_shop(folder)
    items = folder / "items.csv"
    head = "sku,length_mm,width_mm,height_mm,weight_g,temperature,hazard"
    items.write_text(f"{head}\n20002,120,100,90,250,chilled,\n50005,80,80,80,100,ambient,\n")
    return replace(
        shop,
        pod=replace(shop.pod, classes=(PodClass(1, "chilled", ""),)),
        stock=replace(shop.stock, items=str(items)),
    )


def test_goods_go_only_into_pods_of_their_class(cold_shop: Building, database: str) -> None:
    core = InventoryCore(cold_shop, 1, database)
    assert core.ledger.skus["20002"].size == (120, 100, 90)
    levels = core.step(0.0, [])[0]
    assert isinstance(levels, StockLevels)
    assert "50005" not in levels.sku  # listed, but nobody orders it
    for bin_, code in zip(levels.bin, levels.sku, strict=True):
        assert (bin_ // 8 == 5) == (code == "20002")

    core.handle(ReceiveRequest("r", "p", ("20002", "50005"), (4, 4)), 2.0)
    reply, _ = core.handle(StowRequest("s", "p", 0, "20002", 1), 3.0)
    assert "20002 is chilled goods, pod 0 is for ambient goods" in reply.reason
    warm, _ = core.handle(ProposeRequest("q", "p", 0, 0), 3.0)
    cold, _ = core.handle(ProposeRequest("q2", "p", 5, 0), 3.0)
    assert set(warm.sku) == {"50005"} and set(cold.sku) == {"20002"}
    assert core.handle(StowRequest("t", "p", cold.bin[0], "20002", 1), 3.0)[0].ok
    moved, _ = core.handle(RestowRequest("u", "20002", 1, cold.bin[0], 8), 3.0)
    assert "pod 1 is for ambient goods" in moved.reason
    assert core.audit() == []
    core.close()


def test_classes_and_sizes_follow_the_building(cold_shop: Building, database: str) -> None:
    warm = replace(cold_shop.pod, classes=())
    plain = replace(cold_shop, pod=warm, stock=replace(cold_shop.stock, items=""))
    core = InventoryCore(plain, 1, database)
    drawn = core.ledger.skus["10001A"]
    for bin_ in range(40, 48):
        core.handle(CountRequest(f"c{bin_}", bin_, (), ()), 1.0)  # pod 5 becomes free
    core.close()
    with pytest.raises(InputError, match="in it lies 20002, chilled goods; move it out first"):
        InventoryCore(cold_shop, 1, database)
    core = InventoryCore(plain, 1, database)  # as it was
    for row in queries.stock(core.ledger, "20002")[1]:
        names = dict(zip(queries.stock(core.ledger, "20002")[0], row, strict=True))
        gone = AdjustRequest(f"g{names['bin']}", "20002", -names["pieces"], "missing", names["bin"])
        assert core.handle(gone, 1.0)[0].ok
    core.close()

    wide = (Shelf(1, 0.5, 0.3, 0.25, 12.0), *cold_shop.pod.shelves[1:])
    core = InventoryCore(replace(cold_shop, pod=replace(cold_shop.pod, shelves=wide)), 2, database)
    assert core.ledger.skus["20002"].kept == ("chilled", "")
    assert core.ledger.skus["10001A"] == drawn  # another seed does not change what lies there
    with core.ledger.reading() as connection:
        found = connection.execute(
            text("SELECT count(*), min(width), min(capacity) FROM bin WHERE slot = 0")
        ).one()
        chilled = connection.execute(
            text("SELECT id FROM pod WHERE temperature = 'chilled'")
        ).scalars()
        assert (tuple(found), list(chilled)) == ((12, 500, 12000), [5])
    assert core.audit() == []
    core.close()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a,1,1,1", ["line 2", "7 values expected"]),
        (",1,1,1,1,ambient,", ["line 2, sku"]),
        ("a,0,1,1,1,ambient,", ["line 2, length_mm", "'0'"]),
        ("a,1,1,x,1,ambient,", ["line 2, height_mm", "'x'"]),
        ("a,1,1,1,1,frozen,", ["line 2, temperature", "keeps no pods for frozen goods"]),
        ("a,401,1,1,1,ambient,", ["line 2, sku", "fits no bin"]),
        ("a,1,1,1,11000,ambient,", ["line 2, sku", "fits no bin"]),
        ("a,1,1,1,1,ambient,\na,1,1,1,1,ambient,", ["line 3, sku", "twice"]),
    ],
)
def test_a_bad_item_file_is_named_with_line_and_value(
    shop: Building, tmp_path: Path, line: str, words: list[str]
) -> None:
    file = tmp_path / "items.csv"
    file.write_text(f"sku,length_mm,width_mm,height_mm,weight_g,temperature,hazard\n{line}\n")
    with pytest.raises(InputError) as error:
        Catalogue.from_orders(replace(shop, stock=replace(shop.stock, items=str(file))), 1)
    for word in (str(file), *words):
        assert word in str(error.value)


# --- versions of the schema ----------------------------------------------------------------------


def test_a_ledger_may_be_opened_by_several_at_once(shop: Building, database: str) -> None:
    def open_it(results: Any) -> None:
        core = InventoryCore(shop, 1, database)
        results.put((core.step(0.0, [])[0].on_hand, core.audit()))  # type: ignore[union-attr]
        core.close()

    results = fork.Queue()
    workers = [fork.Process(target=open_it, args=(results,)) for _ in range(4)]
    for worker in workers:
        worker.start()
    found = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert all(one == found[0] for one in found)
    assert found[0][1] == []


def test_revisions_lead_to_the_schema_of_a_new_ledger(shop: Building, database: str) -> None:
    ledger = Ledger(database)
    with ledger.writing() as connection:
        migrations.upgrade(connection, database)
        assert migrations.revision(connection) == migrations.HEAD
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, schema.metadata) == []
        upgraded = definitions(connection)
    ledger.close()
    core = InventoryCore(shop, 1, database)  # opens what Alembic made
    assert core.audit() == []
    core.close()
    if upgraded:
        fresh = Ledger("sqlite://")
        with fresh.writing() as connection:
            migrations.create(connection)
            assert definitions(connection) == upgraded
        fresh.close()


def definitions(connection: Connection) -> list[list[str]]:
    """Tables, indexes and triggers of a SQLite database, whatever the order of their parts."""
    if connection.dialect.name != "sqlite":
        return []
    rows = connection.execute(text("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")).scalars()
    return sorted(sorted(parts(" ".join(row.split()))) for row in rows)


def parts(statement: str) -> Iterator[str]:
    """What stands between the commas of the outermost brackets."""
    depth = start = 0
    for at, letter in enumerate(statement):
        depth += (letter == "(") - (letter == ")")
        if (depth == 1 and letter in ",(") or (depth == 0 and letter == ")"):
            yield statement[start:at].strip()
            start = at + 1
    yield statement[start:].strip()


def test_an_old_ledger_is_brought_up_to_date(shop: Building, database: str) -> None:
    config = Config()
    folder = str(Path(migrations.__file__).parent)
    config.set_main_option("script_location", folder.replace("%", "%%"))
    ledger = Ledger(database)
    with ledger.writing() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for statement in OLD_LEDGER:
            connection.exec_driver_sql(statement.format(cells=shop.grid.cells))
    with pytest.raises(InputError, match="a site that opens the ledger upgrades it"):
        ledger.load()
    ledger.close()

    core = InventoryCore(shop, 1, database)
    assert not core.fresh
    assert core.audit() == []
    old = core.ledger.skus["old"]
    assert (old.volume, old.size) == (1_000_001, (101, 101, 101))
    levels = core.step(0.0, [])[0]
    assert isinstance(levels, StockLevels)
    assert (levels.bin, levels.sku, levels.on_hand) == ((3,), ("old",), (5,))
    assert core.handle(ReserveRequest("v", ("o",), (3,), ("old",), (2,)), 2.0)[0].granted == (2,)
    with core.ledger.reading() as connection:
        sizes = connection.execute(
            text("SELECT width, depth, height, shelf FROM bin WHERE id IN (0, 3) ORDER BY id")
        )
        assert [tuple(row) for row in sizes] == [(400, 300, 250, 0), (200, 300, 250, 1)]
    core.close()


OLD_LEDGER = (
    "INSERT INTO meta (name, value) VALUES ('building', 'demo'), ('pods', '6'), ('faces', '2'), "
    "('bins_per_face', '4'), ('cells', '{cells}')",
    "INSERT INTO owner (code) VALUES ('house')",
    "INSERT INTO sku (code, volume, weight) VALUES ('old', 1000001, 300)",
    "INSERT INTO lot (sku, owner, code) VALUES (1, 1, '')",
    *(f"INSERT INTO pod (id, capacity) VALUES ({pod}, 60000)" for pod in range(6)),
    *(
        "INSERT INTO bin (id, pod, face, slot, volume, capacity) "
        f"VALUES ({bin_}, {bin_ // 8}, {bin_ % 8 // 4}, {bin_ % 4}, 20000000, 10000)"
        for bin_ in range(48)
    ),
    "INSERT INTO reply (key, digest, time, body) VALUES ('k', '', 1.0, '{{}}')",
    "INSERT INTO pallet (id, time) VALUES ('p', 1.0)",
    "INSERT INTO movement (key, line, time, kind, lot, quantity, pallet) "
    "VALUES ('k', 0, 1.0, 'receive', 1, 5, 'p')",
    "INSERT INTO movement (key, line, time, kind, lot, quantity, pallet, bin) "
    "VALUES ('k', 1, 1.0, 'stow', 1, 5, 'p', 3)",
    "INSERT INTO stock (bin, sku, lot, on_hand, reserved) VALUES (3, 1, 1, 5, 0)",
    "INSERT INTO balance (sku, received, adjusted, shipped) VALUES (1, 5, 0, 0)",
)
"""A ledger of revision 0001 with five pieces in a bin."""


def test_a_ledger_of_a_newer_program_is_refused(shop: Building, database: str) -> None:
    InventoryCore(shop, 1, database).close()
    ledger = Ledger(database)
    with ledger.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(InputError, match="expected 0002"):
        ledger.load()
    ledger.close()
    with pytest.raises(InputError, match="newer program"):
        InventoryCore(shop, 1, database)
