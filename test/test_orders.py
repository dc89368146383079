"""Order totes: what becomes of the lines of an order file, and when totes arrive."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robo_stow.errors import InputError
from robo_stow.floor.building import OrderSpec
from robo_stow.floor.load import load_building
from robo_stow.fulfilment.ledger import Ledger
from robo_stow.fulfilment.lorries import carrier_of
from robo_stow.fulfilment.orderbook import Order, OrderBook
from robo_stow.fulfilment.orders import OrderStream, orders_of, split_totes
from robo_stow.fulfilment.shipping import Shipping
from robo_stow.fulfilment.stock import StockMirror
from robo_stow.messages import OrderArrived, OrderShipped, TotePacked, ToteReady
from robo_stow.monitor import MonitorCore

DEMO = Path(__file__).resolve().parents[1] / "config" / "orders" / "demo.csv.gz"
HEADER = "InvoiceNo,StockCode,Quantity,InvoiceDate,UnitPrice,CustomerID,Country,kind"
SPEC = OrderSpec(
    str(DEMO), orders_per_hour=60.0, max_lines=3, max_pieces=10, tote_volume=0.0, due_minutes=30.0
)


def stream(folder: Path, *rows: str, seed: int = 1, **changes: float) -> OrderStream:
    file = folder / "orders.csv"
    file.write_text("\n".join((HEADER, *rows)) + "\n")
    return OrderStream(replace(SPEC, file=str(file), **changes), seed)


def row(order: str, sku: str, quantity: int, time: str, kind: str = "sale") -> str:
    return f"{order},{sku},{quantity},2011-03-0{time}:00,1.25,12345,United Kingdom,{kind}"


def one_round(orders: OrderStream) -> list[OrderArrived]:
    return list(itertools.islice(orders, len(orders)))


def test_only_sales_of_sensible_quantities_become_lines(tmp_path: Path) -> None:
    orders = stream(
        tmp_path,
        row("1", "A", 2, "1T09:00"),
        row("1", "POST", 1, "1T09:00", "nonproduct"),
        row("C2", "A", -2, "1T09:01", "cancel"),
        row("3", "B", -9, "1T09:02", "adjust"),
        row("4", "B", 80995, "1T09:03"),
        row("5", "B", 1000, "1T09:04"),
        row("5", "C", 1001, "1T09:04"),
    )
    assert [(o.order, o.sku, o.quantity) for o in one_round(orders)] == [
        ("1", ("A",), (2,)),
        ("5", ("B",), (10,)),  # capped
    ]


def test_lines_with_the_same_sku_are_merged_before_they_are_capped(tmp_path: Path) -> None:
    orders = stream(
        tmp_path,
        row("1", "A", 2, "1T09:00"),
        row("2", "A", 1, "1T09:00"),
        row("1", "B", 1, "1T09:00"),  # rows of an order need not follow one another
        row("1", "A", 3, "1T09:01"),
        row("2", "A", 30, "1T09:01"),
    )
    assert [(o.order, o.sku, o.quantity) for o in one_round(orders)] == [
        ("1", ("A", "B"), (5, 1)),
        ("2", ("A",), (10,)),
    ]


def test_long_orders_are_split_into_numbered_totes(tmp_path: Path) -> None:
    orders = stream(tmp_path, *(row("7", sku, 1, "1T09:00") for sku in "GFEDCBA"))
    totes = one_round(orders)
    assert [(o.order, o.sku) for o in totes] == [
        ("7-1", ("G", "F", "E")),
        ("7-2", ("D", "C", "B")),
        ("7-3", ("A",)),
    ]


def test_hours_without_orders_are_cut_and_bursts_are_kept(tmp_path: Path) -> None:
    orders = stream(
        tmp_path,
        row("1", "A", 1, "1T09:00"),
        row("2", "A", 1, "1T09:30"),
        row("3", "A", 1, "1T23:00"),
        row("4", "A", 1, "4T06:30"),
    )
    totes = one_round(orders)
    # Three active hours hold four totes; at 60 an hour that is a period of 4 minutes.
    assert orders.period == pytest.approx(240.0)
    minute = 60.0 * orders.scale
    for tote, minutes in zip(totes, (0, 30, 60, 150), strict=True):
        assert minutes * minute <= tote.stamp < (minutes + 1) * minute
        assert tote.due == pytest.approx(tote.stamp + 1800.0)


def test_the_stream_repeats_with_new_numbers(tmp_path: Path) -> None:
    orders = stream(tmp_path, row("1", "A", 1, "1T09:10"), row("2", "A", 1, "1T09:20"))
    totes = list(itertools.islice(orders, 5))
    assert [o.order for o in totes] == ["1", "2", "1-r2", "2-r2", "1-r3"]
    assert totes[2].stamp == pytest.approx(totes[0].stamp + orders.period)
    assert totes[4].stamp == pytest.approx(totes[0].stamp + 2 * orders.period)


def test_the_demo_file_gives_the_rate_asked_for() -> None:
    orders = OrderStream(replace(SPEC, orders_per_hour=90.0, max_lines=6), 3)
    totes = one_round(orders)
    assert len(totes) / orders.period * 3600.0 == pytest.approx(90.0)
    assert len({o.order for o in totes}) == len(totes)
    assert all(a.stamp <= b.stamp for a, b in itertools.pairwise(totes))
    assert all(1 <= len(o.sku) <= 6 and len(set(o.sku)) == len(o.sku) for o in totes)
    assert all(1 <= q <= 10 for o in totes for q in o.quantity)


def test_equal_seeds_give_equal_streams_and_others_differ() -> None:
    def first(seed: int) -> list[OrderArrived]:
        return list(itertools.islice(OrderStream(SPEC, seed), 50))

    assert first(1) == first(1)
    assert first(1) != first(2)
    assert [o.order for o in first(1)] == [o.order for o in first(2)]


@pytest.mark.parametrize("name", ["orders_per_hour", "max_lines", "max_pieces", "due_minutes"])
def test_figures_must_be_above_0(name: str) -> None:
    with pytest.raises(InputError, match=name):
        OrderStream(replace(SPEC, **{name: 0}), 1)


def test_a_file_with_nothing_to_pick_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="orders.csv"):
        stream(tmp_path, row("1", "A", 5000, "1T09:00"))


# -- totes and lorries ----------------------------------------------------------------------------


@given(
    lines=st.lists(
        st.tuples(st.sampled_from("abcdef"), st.integers(1, 9)),
        min_size=1,
        unique_by=lambda x: x[0],
    ),
    capacity=st.floats(0.5, 20.0),
    most=st.integers(1, 4),
)
def test_totes_are_full_by_volume_or_lines_and_lose_nothing(
    lines: list[tuple[str, int]], capacity: float, most: int
) -> None:
    volume = dict(zip("abcdef", (0.1, 0.5, 1.0, 2.0, 5.0, 30.0), strict=True))
    totes = split_totes(lines, replace(SPEC, max_lines=most, tote_volume=capacity), volume)
    packed: Counter[str] = Counter()
    for tote in totes:
        packed.update(dict(tote))
        filled = sum(volume[sku] * pieces for sku, pieces in tote)
        assert filled <= capacity + 1e-9 or sum(pieces for _, pieces in tote) == 1
        assert 1 <= len(tote) <= most
    assert packed == Counter(dict(lines))
    if capacity >= sum(volume[sku] * pieces for sku, pieces in lines):
        assert len(totes) == -(-len(lines) // most)


def test_a_building_fills_its_totes() -> None:
    building = load_building("demo")
    small = replace(building, orders=replace(building.orders, tote_volume=0.004))
    assert len(orders_of(small, 1)) > 1.2 * len(orders_of(building, 1))


def test_an_order_is_due_when_its_lorry_leaves() -> None:
    building = load_building("demo")
    allowed = building.orders.due_minutes * 60.0
    carriers: Counter[str] = Counter()
    of_number: dict[str, str] = {}
    for order in itertools.islice(orders_of(building, 1), 600):
        lorry = carrier_of(order.order, building.lorries)
        assert order.due - order.stamp >= allowed - 1e-6
        assert (
            order.due - order.stamp < max(allowed + lorry.every * 60.0, lorry.first * 60.0) + 1e-6
        )
        assert (order.due / 60.0 - lorry.first) % lorry.every == pytest.approx(0.0, abs=1e-6)
        number = order.order.split("-")[0]
        assert of_number.setdefault(number, lorry.carrier) == lorry.carrier
    carriers.update(of_number.values())
    assert set(carriers) == {"parcel", "freight"}
    assert carriers["parcel"] > carriers["freight"]


def test_packers_get_what_is_due_first() -> None:
    out: list[Any] = []
    book = OrderBook(StockMirror(load_building("demo")))
    shipping = Shipping(book, Ledger(out), 2, out)
    for number, due in enumerate((900.0, 800.0, 700.0, 100.0)):
        shipping.ready(Order(f"o{number}", 0.0, due), 0.0)
    assert [m.order for m in out] == ["o0", "o1"]  # two packers
    shipping.on_packed(TotePacked(40.0, "o1"), 40.0)
    assert [m.order for m in out if isinstance(m, ToteReady)] == ["o0", "o1", "o3"]
    shipping.on_packed(TotePacked(41.0, "o0"), 41.0)
    assert [m.order for m in out if isinstance(m, ToteReady)][-1] == "o2"


def test_late_orders_are_counted_by_lorry() -> None:
    building = load_building("demo")
    monitor = MonitorCore(building, 1)
    orders = list(itertools.islice(orders_of(building, 1), 40))
    shipped = [
        OrderShipped(order.due + (5.0 if i % 4 == 0 else -5.0), order.order, order.stamp, 1, 1)
        for i, order in enumerate(orders[:36])  # and four never
    ]
    monitor.step(1.0, [*orders, *shipped])
    assert monitor.figures()["orders_late"] == 0  # none is due yet
    monitor.step(1e6, [])
    assert monitor.figures()["orders_late"] == 9 + 4
    rows = monitor.departures()
    assert sum(row["orders"] for row in rows) == 40
    assert sum(row["late"] for row in rows) == 13
    assert {row["carrier"] for row in rows} == {"parcel", "freight"}
