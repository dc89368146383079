"""Inventory: order files, catalogue, opening stock, proposals, replies to bad requests, command."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, text

from robo_stow.cli.main import main
from robo_stow.errors import InputError
from robo_stow.floor.building import Building
from robo_stow.floor.load import load_building
from robo_stow.fulfilment.orderfile import read_order_lines
from robo_stow.inventory import queries, schema
from robo_stow.inventory.catalogue import Catalogue, draw_sizes
from robo_stow.inventory.core import InventoryCore
from robo_stow.inventory.counts import bins_to_count
from robo_stow.inventory.fit import AMBIENT, GRAM, MM, MM3, bins_of_face, pieces_in, pieces_in_boxes
from robo_stow.inventory.model import Sku
from robo_stow.inventory.placement import Bin, Goods, View, is_low, lookalike, propose
from robo_stow.inventory.requests import AdjustRequest, Booked, CountRequest, RestowRequest
from robo_stow.messages import (
    CancelRequest,
    MovePodRequest,
    PickRequest,
    PodSpace,
    ProposeRequest,
    ReceiveRequest,
    Reply,
    Request,
    ReserveRequest,
    ShipRequest,
    StockLevels,
    StowRequest,
)

HEAD = "InvoiceNo,StockCode,Quantity,InvoiceDate,UnitPrice,CustomerID,Country,kind"
LINE = "536365,85123A,6,2010-12-01T08:26:00,2.550,17850,United Kingdom,sale"


@pytest.fixture(scope="module")
def demo() -> Building:
    return load_building("demo")


@pytest.fixture(scope="module")
def catalogue(demo: Building) -> Catalogue:
    return Catalogue.from_orders(demo, 1)


@pytest.fixture
def core(demo: Building) -> Iterator[InventoryCore]:
    core = InventoryCore(demo, 1, "sqlite://")
    yield core
    core.close()


@pytest.fixture
def stock(core: InventoryCore) -> StockLevels:
    levels = core.step(0.0, [])[0]
    assert isinstance(levels, StockLevels)
    return levels


# --- order files ---------------------------------------------------------------------------------


def test_order_lines_are_the_sales_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "orders.csv.gz"
    with gzip.open(file, "wt") as stream:
        stream.write("\n".join([HEAD, LINE, LINE.replace("sale", "cancel").replace(",6,", ",-6,")]))
    lines = read_order_lines(file)
    assert (lines.order.tolist(), lines.sku.tolist()) == (["536365"], ["85123A"])
    assert (lines.quantity.tolist(), lines.time.tolist()) == ([6], [1291191960.0])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["line 1", "InvoiceNo"]),
        (HEAD.replace("Quantity", "Pieces"), ["line 1", "Quantity"]),
        (HEAD, ["no line of kind 'sale'"]),
        (f"{HEAD}\n{LINE}\n{LINE.replace(',6,', ',six,')}", ["line 3", "'six'", "Quantity"]),
        (f"{HEAD}\n{LINE.replace(',6,', ',0,')}", ["line 2", "'0'", "Quantity"]),
        (f"{HEAD}\n{LINE.replace('2010-12-01', '1.12.2010')}", ["line 2", "ISO 8601"]),
        (f"{HEAD}\n{LINE.replace('85123A', '')}", ["line 2", "StockCode"]),
        (f"{HEAD}\n{LINE},more", ["line 2", "9 values"]),
    ],
)
def test_a_bad_order_file_is_named_with_line_and_value(
    tmp_path: Path, text: str, words: list[str]
) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(text)
    with pytest.raises(InputError) as error:
        read_order_lines(file)
    for word in [str(file), *words]:
        assert word in str(error.value)


@pytest.mark.parametrize("content", [b"\x1f\x8b\x08 broken", b"no gzip at all", b""])
def test_a_broken_gzip_file_is_an_input_error(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "orders.csv.gz"
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"orders\.csv\.gz"):
        read_order_lines(file)


def test_a_missing_order_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_order_lines(tmp_path / "none.csv")


# --- catalogue -----------------------------------------------------------------------------------


def test_sizes_are_those_of_gift_ware_and_fit_a_bin(demo: Building, catalogue: Catalogue) -> None:
    low, high = np.quantile(catalogue.volume, [0.05, 0.95])
    assert 0.15e-3 < low < 0.25e-3 and 2.5e-3 < high < 3.5e-3
    low, high = np.quantile(catalogue.weight, [0.05, 0.95])
    assert 0.04 < low < 0.06 and 1.6 < high < 2.4
    largest = max(bins_of_face(demo.pod), key=lambda bin_: bin_.volume)
    assert catalogue.volume.max() <= largest.volume * MM3 / 2
    assert catalogue.weight.max() <= largest.capacity * GRAM / 2
    assert (np.diff(catalogue.size, axis=1) <= 0).all()
    assert (catalogue.size.max(axis=0) <= np.sort(largest.size)[::-1] * MM).all()
    assert catalogue.demand.sum() == pytest.approx(1.0)
    assert list(catalogue.sku) == sorted(set(catalogue.sku))
    assert all(catalogue.index[code] == i for i, code in enumerate(catalogue.sku))


def test_a_sku_keeps_its_size_whatever_else_is_sold(demo: Building, catalogue: Catalogue) -> None:
    size, weight = draw_sizes(catalogue.sku[5:7], 1, demo.pod)
    assert (size * MM).tolist() == catalogue.size[5:7].tolist()
    assert (weight * GRAM).tolist() == catalogue.weight[5:7].tolist()
    other, _ = draw_sizes(catalogue.sku[5:7], 2, demo.pod)
    assert other.tolist() != size.tolist()


# --- opening stock -------------------------------------------------------------------------------


def test_opening_stock_keeps_the_rules_of_random_stow(
    demo: Building, catalogue: Catalogue, stock: StockLevels
) -> None:
    spec, face = demo.pod, bins_of_face(demo.pod)
    pieces: Counter[str] = Counter()
    pods: dict[str, set[int]] = defaultdict(set)
    groups: dict[int, set[str]] = defaultdict(set)
    volume: dict[int, float] = defaultdict(float)
    weight: dict[int, float] = defaultdict(float)
    for bin_, sku, n in zip(stock.bin, stock.sku, stock.on_hand, strict=True):
        k = catalogue.index[sku]
        pieces[sku] += n
        pods[sku].add(demo.pod_of_bin(bin_))
        group = lookalike(sku, demo.stock.lookalike)
        assert group not in groups[bin_]
        groups[bin_].add(group)
        volume[bin_] += n * catalogue.volume[k]
        weight[bin_] += n * catalogue.weight[k]
        box = face[bin_ % spec.bins_per_face]
        assert n <= pieces_in(tuple(np.rint(catalogue.size[k] / MM).astype(int)), box.size)
        if catalogue.weight[k] > 1.5:
            assert is_low(box.shelf, 3)
    assert not any(stock.reserved)
    assert set(pieces) == set(catalogue.sku)
    assert min(pieces.values()) >= demo.stock.cover_pieces
    assert min(len(places) for places in pods.values()) >= 3
    for bin_ in volume:
        box = face[bin_ % spec.bins_per_face]
        assert volume[bin_] <= box.volume * MM3 * (1 + 1e-9)
        assert weight[bin_] <= box.capacity * GRAM * (1 + 1e-9)
    filled = sum(volume.values()) / (demo.pods * spec.volume)
    assert filled == pytest.approx(demo.stock.fill, abs=0.01)
    quick, slow = np.argmax(catalogue.demand), np.argmin(catalogue.demand)
    assert len(pods[catalogue.sku[quick]]) > 2 * len(pods[catalogue.sku[slow]])


def test_equal_seeds_give_equal_stock(demo: Building, stock: StockLevels) -> None:
    for seed, equal in ((1, True), (2, False)):
        core = InventoryCore(demo, seed, "sqlite://")
        levels = core.step(0.0, [])[0]
        assert isinstance(levels, StockLevels)
        assert (
            (levels.bin, levels.sku, levels.on_hand) == (stock.bin, stock.sku, stock.on_hand)
        ) == equal
        core.close()


def test_cover_that_does_not_fit_is_refused(demo: Building) -> None:
    site = replace(demo, stock=replace(demo.stock, cover_pieces=1000))
    with pytest.raises(InputError, match=r"stock\.cover_pieces = 1000"):
        InventoryCore(site, 1, "sqlite://")


# --- proposals -----------------------------------------------------------------------------------


@given(seed=st.integers(0, 10**6))
def test_proposals_fit_and_stay_pickable(seed: int) -> None:
    rng = random.Random(seed)
    codes = [f"{rng.randrange(40):05d}{letter}" for letter in "AB" for _ in range(6)]
    skus = {
        code: Sku(i, code, i, math.prod(size), rng.randint(10, 5000), AMBIENT, size)
        for i, code in enumerate(dict.fromkeys(codes))
        for size in [tuple(sorted((rng.randint(40, 500) for _ in range(3)), reverse=True))]
    }
    bins = tuple(
        Bin(
            number,
            number // 2,
            (rng.randint(100, 600), rng.randint(100, 600), rng.randint(100, 600)),
            rng.randint(0, 35 * 10**6),
            rng.randint(0, 25000),
            {
                code: (skus[code].lot + rng.randrange(2), rng.randint(1, 5))
                for code in rng.sample(sorted(skus), 2)
            },
        )
        for number in range(6)
    )
    before = {bin_.number: replace(bin_, held=dict(bin_.held)) for bin_ in bins}
    goods = tuple(
        Goods(sku, sku.lot, 20, rng.randint(1, 20), rng.randrange(12))
        for sku in rng.sample(list(skus.values()), 4)
    )
    bears = rng.randint(0, 60000)
    view = View(bins, 3, goods, bears, 1)
    stows = propose(view, 5, random.Random(seed))

    left = {item.sku.code: item for item in goods}
    held = {number: dict(bin_.held) for number, bin_ in before.items()}
    volume: Counter[int] = Counter()
    weight: Counter[int] = Counter()
    proposed: Counter[str] = Counter()
    for number, code, pieces in stows:
        sku = skus[code]
        assert pieces >= 1
        proposed[code] += pieces
        volume[number] += pieces * sku.volume
        weight[number] += pieces * sku.weight
        assert sku.weight <= 1500 or before[number].shelf < 2
        lot, there = held[number].get(code, (sku.lot, 0))
        assert lot == sku.lot
        assert there + pieces <= pieces_in(sku.size, before[number].size)
        held[number][code] = (lot, there + pieces)
        assert not any(c != code and c[:5] == code[:5] for c in held[number])
    assert all(volume[number] <= before[number].volume for number in volume)
    assert all(weight[number] <= before[number].weight for number in weight)
    assert weight.total() <= bears
    for code, pieces in proposed.items():
        assert pieces <= min(left[code].left, 7)  # a third of the 20 received


def test_a_pallet_is_emptied_by_what_is_proposed(core: InventoryCore, demo: Building) -> None:
    skus = tuple(core.ledger.skus)[:12]
    core.handle(ReceiveRequest("r", "p", skus, (10,) * 12), 1.0)
    pods: dict[str, set[int]] = defaultdict(set)
    left, number = 120, 0
    while left:
        pod, face = number % demo.pods, number // demo.pods % 4
        reply, _ = core.handle(ProposeRequest(f"q{number}", "p", pod, face), 2.0)
        assert reply.ok and reply.left == left
        for i, (bin_, sku, n) in enumerate(zip(reply.bin, reply.sku, reply.quantity, strict=True)):
            done, changes = core.handle(StowRequest(f"s{number}/{i}", "p", bin_, sku, n), 3.0)
            assert done.ok and {type(change) for change in changes} == {StockLevels, PodSpace}
            pods[sku].add(pod)
            left = done.left
        number += 1
        assert number < 60
    assert min(len(places) for places in pods.values()) >= 2
    assert core.audit() == []


@given(
    piece=st.tuples(*[st.integers(1, 60)] * 3),
    box=st.tuples(*[st.integers(1, 100)] * 3),
)
def test_rows_of_pieces_fit_a_box(piece: tuple[int, int, int], box: tuple[int, int, int]) -> None:
    most = pieces_in(piece, box)
    assert most * math.prod(piece) <= math.prod(box)
    assert (most > 0) == all(a <= b for a, b in zip(sorted(piece), sorted(box), strict=True))
    assert most == pieces_in(box=tuple(sorted(box)), piece=tuple(sorted(piece)))
    assert pieces_in_boxes(np.array([piece]), np.array([box])).tolist() == [[most]]


def test_a_long_piece_goes_only_where_it_fits(core: InventoryCore, demo: Building) -> None:
    with core.ledger.writing() as connection:
        connection.execute(
            text(
                "UPDATE sku SET length = 440, width = 60, height = 50, volume = 1320000, "
                "weight = 200 WHERE code = '22423'"
            )
        )
    core.ledger.load()
    core.handle(ReceiveRequest("r", "p", ("22423",), (12,)), 1.0)
    proposed = {
        bin_ % 6
        for face in range(4)
        for bin_ in core.handle(ProposeRequest(f"q{face}", "p", 7, face), 1.0)[0].bin
    }
    assert max(proposed) > 2  # upright it stands in the narrow bins, too
    with core.ledger.writing() as connection:
        connection.execute(text("UPDATE bin SET height = 300 WHERE slot > 2"))
    refused, _ = core.handle(StowRequest("s", "p", 7 * 24 + 5, "22423", 1), 1.0)
    assert "of 22423, 440 x 60 x 50 mm, the bin, 145 x 350 x 300 mm, takes 0" in refused.reason
    for face in range(4):
        reply, _ = core.handle(ProposeRequest(f"again{face}", "p", 7, face), 1.0)
        assert reply.bin and all(bin_ % 6 <= 2 for bin_ in reply.bin)


# --- what it says --------------------------------------------------------------------------------


def test_changes_are_told_with_absolute_values(core: InventoryCore, stock: StockLevels) -> None:
    bin_, sku, n = stock.bin[0], stock.sku[0], stock.on_hand[0]
    outbox = core.step(
        1.0,
        [
            ReserveRequest("a", ("o",), (bin_,), (sku,), (n + 5,)),
            PickRequest("b", "o", bin_, sku, n, 0),
        ],
    )
    levels, space, reserved, picked = outbox
    assert isinstance(levels, StockLevels) and isinstance(space, PodSpace)
    assert (levels.bin, levels.sku, levels.on_hand, levels.reserved) == (
        (bin_,),
        (sku,),
        (0,),
        (0,),
    )
    assert (space.pod, space.face) == ((0,), (0,))
    assert reserved.granted == picked.granted == (n,)  # type: ignore[union-attr]
    assert core.step(1.1, []) == []


BAD: list[tuple[Request, str]] = [
    (ReceiveRequest("k", "p", ("nothing",), (1,)), "sku = 'nothing': unknown SKU"),
    (ReceiveRequest("k", "p", ("22423",), (0,)), "quantity = 0"),
    (ReceiveRequest("k", "p", ("22423",), (-1,)), "quantity = -1"),
    (ReceiveRequest("k", "p", ("22423",), (10**12,)), "quantity = 1000000000000"),
    (ReceiveRequest("k", "p", ("22423", "22423"), (1,)), "quantity = (1,): 2 entries expected"),
    (ReceiveRequest("k", "p", (), ()), "sku = (): empty"),
    (ReceiveRequest("k", "", ("22423",), (1,)), "pallet = ''"),
    (ReceiveRequest("k", "p\0", ("22423",), (1,)), "pallet = 'p\\x00'"),
    (ReceiveRequest("k", "p" * 65, ("22423",), (1,)), "longer than 64"),
    (ReceiveRequest("k", "opening", ("22423",), (1,)), "pallet = 'opening': received before"),
    (StowRequest("k", "p", 0, "22423", 1), "pallet = 'p': unknown pallet"),
    (StowRequest("k", "p", 5520, "22423", 1), "bin = 5520: unknown bin, the building has 0..5519"),
    (StowRequest("k", "p", -1, "22423", 1), "bin = -1"),
    (StowRequest("k", "p", 0, "22423", 5000), "bin = 0: of 22423, "),
    (ReserveRequest("k", ("o",), (10**9 + 1,), ("22423",), (1,)), "bin = 1000000001"),
    (ReserveRequest("k", ("o",), (0,), ("22423",), (1.5,)), "quantity = 1.5"),  # type: ignore[arg-type]
    (CancelRequest("k", "o", 0, "22423", 1), "order = 'o': has no 22423 reserved in bin 0"),
    (PickRequest("k", "o", 0, "22423", 1, 0), "order o has only 0 of 22423 reserved in bin 0"),
    (PickRequest("k", "o", 0, "22423", 0, 0), "nothing picked"),
    (PickRequest("k", "o", 0, "22423", 5, -5), "short = -5"),
    (ShipRequest("k", "o"), "order = 'o': has nothing in a tote"),
    (MovePodRequest("k", 230, 1), "pod = 230"),
    (MovePodRequest("k", 1, 10**6), "cell = 1000000"),
    (ProposeRequest("k", "p", 0, 0), "pallet = 'p': unknown pallet"),
    (ProposeRequest("k", "opening", 0, 4), "face = 4"),
    (ProposeRequest("k", "opening", 230, 0), "pod = 230"),
    (ShipRequest("", "o"), "key = ''"),
    (ShipRequest("k" * 200, "o"), "longer than 128"),
]


@pytest.fixture(scope="module")
def shared_core(demo: Building) -> Iterator[InventoryCore]:
    core = InventoryCore(demo, 1, "sqlite://")
    yield core
    core.close()


@pytest.mark.parametrize(("request_", "words"), BAD)
def test_bad_requests_are_answered_and_move_nothing(
    shared_core: InventoryCore, request_: Request, words: str
) -> None:
    key = request_.key if request_.key in ("", "k" * 200) else words
    reply, changes = shared_core.handle(replace(request_, key=key[:100]), 1.0)
    if request_.key == "k" * 200:
        reply, changes = shared_core.handle(request_, 1.0)
    assert not reply.ok and words in reply.reason
    assert not changes
    assert shared_core.check_totals() == []


def test_what_is_still_reserved_is_given_back_on_shipping(
    core: InventoryCore, stock: StockLevels
) -> None:
    bin_, sku = stock.bin[0], stock.sku[0]
    core.handle(ReserveRequest("a", ("o",), (bin_,), (sku,), (2,)), 1.0)
    core.handle(PickRequest("b", "o", bin_, sku, 1, 0), 1.0)
    reply, changes = core.handle(ShipRequest("c", "o"), 1.0)
    assert reply.granted == (1,)
    (levels,) = changes
    assert isinstance(levels, StockLevels) and levels.reserved == (0,)
    assert core.audit() == []


def test_a_damaged_piece_leaves_the_stock_with_its_reason(
    core: InventoryCore, stock: StockLevels
) -> None:
    place = next(i for i, n in enumerate(stock.on_hand) if n > 3)
    bin_, sku = stock.bin[place], stock.sku[place]
    core.handle(ReserveRequest("a", ("o",), (bin_,), (sku,), (3,)), 1.0)
    refused, _ = core.handle(PickRequest("x", "o", bin_, sku, 1, 1, 2), 1.0)
    assert not refused.ok and "damaged = 2" in refused.reason
    reply, (levels, *_) = core.handle(PickRequest("b", "o", bin_, sku, 1, 2, 1), 1.0)
    assert reply.granted == (1,)
    assert isinstance(levels, StockLevels)
    assert (levels.on_hand, levels.reserved) == ((stock.on_hand[place] - 3,), (0,))
    moves = select(schema.movement.c.kind, schema.movement.c.quantity, schema.movement.c.reason)
    with core.ledger.reading() as connection:
        rows = connection.execute(moves.where(schema.movement.c.key == "b")).all()
    assert ("adjust", -1, "damage") in [tuple(row) for row in rows]
    assert ("adjust", -1, "short pick") in [tuple(row) for row in rows]
    assert core.audit() == []


def test_bins_are_counted_by_risk(core: InventoryCore, stock: StockLevels) -> None:
    places = [(b, s) for b, s, n in zip(stock.bin, stock.sku, stock.on_hand, strict=True) if n > 3]
    (short_bin, short_sku), (pick_bin, pick_sku) = places[30], places[60]
    for name, bin_, sku, short in (("a", short_bin, short_sku, 1), ("b", pick_bin, pick_sku, 0)):
        core.handle(ReserveRequest(f"r{name}", (name,), (bin_,), (sku,), (2,)), 1.0)
        core.handle(PickRequest(f"p{name}", name, bin_, sku, 1, short), 1.0)
    columns, rows = bins_to_count(core.ledger, 10)
    assert [row[columns.index("bin")] for row in rows] == [short_bin, pick_bin]
    found = {s: n for b, s, n in zip(stock.bin, stock.sku, stock.on_hand, strict=True)
             if b == short_bin}  # fmt: skip
    found[short_sku] -= 2
    reply, _ = core.handle(CountRequest("c", short_bin, tuple(found), tuple(found.values())), 2.0)
    assert reply.granted == (0, 0)
    assert [row[columns.index("bin")] for row in bins_to_count(core.ledger, 10)[1]] == [pick_bin]


# --- what goes wrong ------------------------------------------------------------------------------


class Bench:
    """A bin, and what the flows below look at after each step."""

    def __init__(self, core: InventoryCore, stock: StockLevels) -> None:
        self.core, self.keys = core, 0
        rows = zip(stock.bin, stock.sku, stock.on_hand, strict=True)
        self.bin, self.sku, self.pieces = next(row for row in rows if row[2] > 3)

    def ask(self, kind: type[Booked], **fields: Any) -> Reply:
        self.keys += 1
        reply, _ = self.core.handle(kind(key=f"flow{self.keys}", **fields), float(self.keys))
        return reply

    def here(self) -> int:
        names, rows = queries.stock(self.core.ledger, self.sku)
        at = names.index("bin"), names.index("pieces")
        return sum(row[at[1]] for row in rows if row[at[0]] == self.bin)

    def last(self) -> tuple[Any, ...]:
        """Kind, pieces, reason of the newest movement."""
        names, rows = queries.history(self.core.ledger, last=1)
        return tuple(rows[0][names.index(name)] for name in ("kind", "quantity", "reason"))

    def risk(self) -> int:
        names, rows = bins_to_count(self.core.ledger, 100)
        at = names.index("bin"), names.index("risk")
        return sum(row[at[1]] for row in rows if row[at[0]] == self.bin)


@pytest.fixture
def bench(core: InventoryCore, stock: StockLevels) -> Iterator[Bench]:
    bench = Bench(core, stock)
    yield bench
    assert core.audit() == []


def test_flow_short_pick(bench: Bench) -> None:
    """Three promised, one missing: two in the tote, one written off, the promise is over."""
    place = {"bin": bench.bin, "sku": bench.sku}
    bench.ask(ReserveRequest, order=("o",), bin=(bench.bin,), sku=(bench.sku,), quantity=(3,))
    picked = bench.ask(PickRequest, order="o", **place, quantity=2, short=1)
    assert picked.granted == (2,)
    assert bench.here() == bench.pieces - 3
    assert bench.last() == ("adjust", -1, "short pick")
    assert not bench.ask(PickRequest, order="o", **place, quantity=1, short=0).ok
    assert bench.risk() > 20


def test_flow_damage(bench: Bench) -> None:
    """Damaged pieces go; those that are promised only once the order has been told."""
    place = {"bin": bench.bin, "sku": bench.sku}
    bench.ask(ReserveRequest, order=("o",), bin=(bench.bin,), sku=(bench.sku,), quantity=(3,))
    all_of_it = {**place, "quantity": -bench.pieces, "reason": "damage"}
    refused = bench.ask(AdjustRequest, **all_of_it)
    assert "book short picks or cancel first" in refused.reason
    assert bench.ask(CancelRequest, order="o", **place, quantity=3).granted == (3,)
    assert bench.ask(AdjustRequest, **all_of_it).granted == (bench.pieces,)
    assert bench.last() == ("adjust", -bench.pieces, "damage")
    assert bench.here() == 0


def test_flow_found_stock(bench: Bench) -> None:
    """A piece that turned up is stock at once: it can be promised and picked."""
    found = bench.ask(AdjustRequest, bin=bench.bin, sku=bench.sku, quantity=1, reason="found")
    assert found.granted == (1,)
    assert bench.last() == ("adjust", 1, "found")
    many = {"order": ("o",), "bin": (bench.bin,), "sku": (bench.sku,)}
    asked = bench.ask(ReserveRequest, **many, quantity=(99,))
    assert asked.granted == (bench.pieces + 1,)


def test_flow_mis_stow(bench: Bench) -> None:
    """Booked here, found there: nothing is lost or won, and both bins are suspect."""
    names, rows = queries.stock(bench.core.ledger, bench.sku)
    at = names.index("bin"), names.index("pieces")
    there, pieces = next((row[at[0]], row[at[1]]) for row in rows if row[at[0]] != bench.bin)
    move = {"sku": bench.sku, "quantity": 1, "bin": bench.bin, "to_bin": there}
    assert bench.ask(RestowRequest, **move).ok
    assert bench.last() == ("adjust", 1, "mis-stow")
    names, rows = queries.stock(bench.core.ledger, bench.sku)
    held = {row[at[0]]: row[at[1]] for row in rows}
    assert (held[bench.bin], held[there]) == (bench.pieces - 1, pieces + 1)
    assert bench.risk() == 20
    bench.bin = there
    assert bench.risk() == 20


def test_flow_cycle_count(bench: Bench) -> None:
    """The riskiest bin is counted; what differs is booked, and its risk begins anew."""
    place = {"bin": bench.bin, "sku": bench.sku}
    bench.ask(AdjustRequest, **place, quantity=-1, reason="missing")
    names, rows = bins_to_count(bench.core.ledger, 1)
    assert rows[0][names.index("bin")] == bench.bin
    names, rows = queries.stock(bench.core.ledger)
    at = [names.index(name) for name in ("bin", "sku", "pieces")]
    here = {row[at[1]]: row[at[2]] for row in rows if row[at[0]] == bench.bin}
    here[bench.sku] -= 1
    stranger = next(sku for sku in bench.core.ledger.skus if sku not in here)
    here[stranger] = 2
    counted = bench.ask(CountRequest, bin=bench.bin, sku=(*here,), quantity=(*here.values(),))
    assert counted.granted == (2, 1)
    assert bench.here() == here[bench.sku]
    assert bench.last()[::2] == ("adjust", "count")
    assert bench.risk() == 0


# --- the schema's picture -------------------------------------------------------------------------


def test_the_picture_in_the_docs_is_the_schema() -> None:
    text_ = (Path(__file__).parent.parent / "docs" / "inventory.md").read_text(encoding="utf-8")
    diagram = text_.split("```mermaid\n")[1].split("```")[0]
    edges = re.findall(r"^ +(\w+) \S+--\S+ (\w+) :", diagram, re.MULTILINE)
    drawn = {frozenset(edge) for edge in edges}
    keys = {
        frozenset((table.name, key.column.table.name))
        for table in schema.metadata.tables.values()
        for key in table.foreign_keys
    }
    assert drawn == keys
    listed = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", text_, re.MULTILINE)))
    assert set(schema.metadata.tables) <= set(listed)


# --- the command ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ledger_folder(demo: Building, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out")
    core = InventoryCore(demo, 1, f"sqlite:///{folder}/ledger.sqlite")
    core.handle(ReceiveRequest("r", "pallet-1", ("22423",), (40,)), 60.0)
    core.close()
    return folder


def test_find_names_every_place(ledger_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inventory", "find", "22423", "--out", str(ledger_folder)]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].split()[:4] == ["sku", "place", "owner", "bin"]
    assert any("pallet-1" in line and line.split()[-2:] == ["40", "0"] for line in table)
    assert (
        main(["inventory", "find", "22423", "--out", str(ledger_folder), "--format", "json"]) == 0
    )
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == len(table) - 1
    assert {row["place"] for row in rows} == {"bin", "pallet"}
    assert all(row["bin"] // 24 == row["pod"] for row in rows if row["place"] == "bin")


def test_export_and_history_agree(ledger_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:///{ledger_folder}/ledger.sqlite"
    assert main(["inventory", "export", "--database", url]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    here = sum(int(row["pieces"]) for row in rows if row["sku"] == "22423")
    command = ["inventory", "history", "22423", "--database", url, "--format", "csv", "--last", "0"]
    assert main(command) == 0
    moves = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    received = sum(int(move["quantity"]) for move in moves if move["kind"] == "receive")
    assert here == received
    assert moves[-1]["pallet"] == "pallet-1"


def test_counts_are_listed(ledger_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inventory", "counts", "--out", str(ledger_folder), "--format", "csv"]) == 0
    assert capsys.readouterr().out == "bin,pod,face,slot,cell,handled,wrong,risk\n"


@pytest.mark.parametrize(
    "question",
    [["find", "22423"], ["audit"], ["export"], ["export", "movements"], ["history"], ["counts"]],
    ids=" ".join,
)
def test_every_answer_comes_as_table_csv_and_json(
    ledger_folder: Path, capsys: pytest.CaptureFixture[str], question: list[str]
) -> None:
    said = {}
    for form in ("table", "csv", "json"):
        command = ["inventory", *question, "--out", str(ledger_folder), "--format", form]
        assert main(command) == 0
        said[form] = capsys.readouterr().out
    rows = list(csv.DictReader(io.StringIO(said["csv"])))
    objects = json.loads(said["json"])
    assert len(said["table"].splitlines()) == len(rows) + 1 == len(objects) + 1
    for row, one in zip(rows, objects, strict=True):
        assert row == {name: "" if v is None else str(v) for name, v in one.items()}


def test_audit_is_told_by_the_exit_code(
    ledger_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inventory", "audit", "--out", str(ledger_folder)]) == 0
    assert "every position follows" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["find", "22423", "--out", "{folder}/none"], "no ledger at"),
        (["audit", "--database", "sqlite:///{folder}/none.sqlite"], "no ledger at"),
        (["find", "no-such", "--out", "{folder}"], "knows no such SKU"),
        (["audit", "--database", "nonsense"], "URL = 'nonsense'"),
        (["audit", "--database", "mysql://host/db"], "expected e.g. sqlite"),
    ],
)
def test_mistakes_are_one_line_on_stderr(
    ledger_folder: Path, capsys: pytest.CaptureFixture[str], command: list[str], words: str
) -> None:
    arguments = [part.format(folder=ledger_folder) for part in command]
    assert main(["inventory", *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert not (ledger_folder / "none.sqlite").exists()


def test_a_file_that_is_no_ledger_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ledger.sqlite").write_text("no database" * 100)
    assert main(["inventory", "audit", "--out", str(tmp_path)]) == 2
    assert "not a database" in capsys.readouterr().err
    (tmp_path / "ledger.sqlite").write_bytes(b"")
    assert main(["inventory", "audit", "--out", str(tmp_path)]) == 2
    assert "holds no ledger" in capsys.readouterr().err
