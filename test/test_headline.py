"""Walking pickers, and the comparison with them."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_stow.bench import walking
from robo_stow.bench.headline import (
    BASES,
    Meter,
    arrivals,
    assumption_table,
    energy,
    kept_load,
    load_study,
    marked_load,
    run_walking,
    sample_orders,
    shelving,
    space,
    waits,
)
from robo_stow.bench.walking import Floor, Pickers, Shelving, shortest_tour
from robo_stow.cli.main import main
from robo_stow.inventory.catalogue import Catalogue
from robo_stow.messages import FleetState, OrderArrived

ROOT = Path(__file__).parents[1]
STUDY = load_study()
SPEC = STUDY.walking
PEOPLE = replace(STUDY.building.people, spread=0.0)


def _distance(a: tuple[int, float], b: tuple[int, float], module: float, length: float) -> float:
    if a[0] == b[0]:
        return abs(a[1] - b[1])
    ends = min(a[1] + b[1], 2 * length - a[1] - b[1])
    return abs(a[0] - b[0]) * module + ends


def _exhaustive(picks: list[list[float]], module: float, length: float, depot: int) -> float:
    points = [(aisle, y) for aisle, places in enumerate(picks) for y in places]
    best = math.inf
    for order in itertools.permutations(points):
        way = [(depot, 0.0), *order, (depot, 0.0)]
        legs = itertools.pairwise(way)
        best = min(best, sum(_distance(a, b, module, length) for a, b in legs))
    return best


@settings(deadline=None)
@given(
    picks=st.lists(st.lists(st.floats(0.0, 20.0), max_size=2), min_size=1, max_size=4).filter(
        lambda picks: sum(map(len, picks)) <= 6
    ),
    module=st.floats(0.5, 15.0),
    data=st.data(),
)
def test_tour_is_the_shortest(picks: list[list[float]], module: float, data: st.DataObject) -> None:
    picks = [sorted(places) for places in picks]
    depot = data.draw(st.integers(0, len(picks) - 1))
    found = shortest_tour(picks, module, 20.0, depot)
    assert found == pytest.approx(_exhaustive(picks, module, 20.0, depot), abs=1e-6)


@given(stops=st.sets(st.integers(0, 8 * 20 - 1), min_size=1, max_size=40))
def test_tour_is_never_longer_than_s_shape(stops: set[int]) -> None:
    floor = Floor(8, 20, 2.1, 0.9, 2.0)
    aisles = sorted({stop // floor.rows for stop in stops})
    walked = len(aisles) + len(aisles) % 2  # the last one forth and back
    left, right = min(aisles[0], floor.depot), max(aisles[-1], floor.depot)
    s_shape = walked * floor.length + 2 * (right - left) * floor.module
    assert floor.tour(sorted(stops)) <= s_shape + 1e-9


def _orders(count: int, gap: float, lines: int = 2) -> list[OrderArrived]:
    return [
        OrderArrived(
            i * gap,
            f"o{i}",
            tuple(f"s{(7 * i + k) % 40}" for k in range(lines)),
            (1,) * lines,
            i * gap + 3600.0,
        )
        for i in range(count)
    ]


def _pickers(pickers: int, seed: int = 1) -> Pickers:
    floor = Floor(8, 10, 2.1, 0.9, 2.0)
    places = tuple((2 * k,) for k in range(40))
    spec = replace(SPEC, pickers=pickers)
    return Pickers(Shelving(floor, places), spec, PEOPLE, {f"s{k}": k for k in range(40)}, seed)


@settings(deadline=None)
@given(count=st.integers(1, 60), gap=st.floats(0.0, 60.0), pickers=st.integers(1, 8))
def test_every_order_is_shipped_once(count: int, gap: float, pickers: int) -> None:
    orders = _orders(count, gap)
    walk = _pickers(pickers).work(orders)
    assert set(walk.shipped) == {order.order for order in orders}
    assert walk.lines == 2 * count
    assert walk.tours >= math.ceil(count / SPEC.cart_totes)
    assert walk.busy <= pickers * walk.end + 1e-6
    hands = 2 * (SPEC.search + PEOPLE.pick_line + PEOPLE.pick_piece)
    for order in orders:
        assert walk.shipped[order.order] >= order.stamp + SPEC.tour_setup + hands


def test_time_of_a_tour_is_what_it_is_made_of() -> None:
    pickers = _pickers(1)
    order = _orders(1, 0.0)
    walk = pickers.work(order)
    hands = 2 * (SPEC.search + PEOPLE.pick_line + PEOPLE.pick_piece)
    tour = SPEC.tour_setup + pickers.batch(order) / SPEC.speed + SPEC.tote_drop + hands
    assert walk.busy == pytest.approx(tour)
    assert walk.shipped["o0"] == pytest.approx(tour + PEOPLE.pack_tote)


def test_more_pickers_are_not_slower_under_load() -> None:
    orders = _orders(200, 5.0)
    few, many = (_pickers(n).work(orders).shipped for n in (2, 6))
    assert sum(many.values()) < sum(few.values())


def test_carts_fill_up_when_there_is_much_to_do() -> None:
    walk = _pickers(1).work(_orders(161, 0.0))
    assert walk.tours == math.ceil(161 / SPEC.cart_totes)


def test_oldest_order_is_in_the_next_batch() -> None:
    walk = _pickers(1).work(_orders(100, 1.0))
    starts = sorted(walk.shipped.values())
    assert walk.shipped["o0"] == starts[0]


def test_nothing_starts_after_the_end() -> None:
    walk = _pickers(1).work(_orders(400, 1.0), until=900.0)
    assert 0 < len(walk.shipped) < 400


def test_goods_lie_by_their_worth() -> None:
    floor = Floor(4, 10, 2.1, 0.9, 2.0)
    bins, worth = np.full(20, 4), np.random.default_rng(1).random(20)
    for order in walking.ORDERS:
        ranked = walking.ranked_stops(floor, order).tolist()
        assert sorted(ranked) == list(range(floor.stops))
        shelves = walking.dedicated(floor, order, bins, worth, 8)
        at = [ranked.index(places[0]) for places in shelves.places]
        assert [at[k] for k in np.argsort(-worth)] == [n // 2 for n in range(20)]


def test_shelves_hold_all_skus_and_tours_are_shorter_than_at_random() -> None:
    sample = _sample(SPEC.cart_totes)
    for way in ("dedicated", "classes"):
        shelves = shelving(None, way, 1, SPEC)
        index = Catalogue.from_orders(STUDY.building, 1).index
        assert len(shelves.places) == len(index)
        assert all(0 <= stop < shelves.floor.stops for p in shelves.places for stop in p)
        pickers = Pickers(shelves, SPEC, PEOPLE, index, 1)
        rng = np.random.default_rng(1)
        drawn = tuple((int(s),) for s in rng.integers(0, shelves.floor.stops, len(index)))
        random = Pickers(Shelving(shelves.floor, drawn), SPEC, PEOPLE, index, 1)
        assert sum(map(pickers.batch, sample)) < 0.9 * sum(map(random.batch, sample))


def _sample(totes: int) -> list[list[OrderArrived]]:
    orders = sample_orders(STUDY.building, 1, 10 * totes)
    return [orders[at : at + totes] for at in range(0, len(orders), totes)]


def test_classes_hold_every_bin_within_their_zone() -> None:
    floor = Floor(4, 10, 2.1, 0.9, 2.0)
    bins = np.full(20, 3)
    lines = np.arange(20, 0, -1).astype(float)
    shelves = walking.classes(floor, "nearest first", bins, lines, 2, (0.5, 1.0), 2, 1)
    ranked = walking.ranked_stops(floor, "nearest first").tolist()
    for sku, places in enumerate(shelves.places):
        zone = ranked[:15] if sku < 10 else ranked[15:30]
        assert 1 <= len(places) <= 2
        assert set(places) <= set(zone)


def test_floor_fits_the_room() -> None:
    floor = walking.lay_out(49.0, 69.0, 0.9, SPEC)
    assert floor.aisles * floor.module <= 49.0
    used = floor.rows * floor.section + 2 * floor.cross_aisle
    assert used + SPEC.pickers * SPEC.staging / 49.0 <= 69.0


def test_seed_chooses_the_moment_and_load_the_rate() -> None:
    first, other = ([], [])
    for seed, found in ((1, first), (2, other)):
        for order in arrivals(STUDY.building, 300.0, seed):
            if order.stamp > 10 * 3600.0:
                break
            found.append(order)
    assert [o.order for o in first[:20]] != [o.order for o in other[:20]]
    assert len(first) == pytest.approx(3000, rel=0.35)
    stamps = [order.stamp for order in first]
    assert stamps == sorted(stamps)
    assert stamps[0] >= 0.0


def test_orders_not_shipped_count_with_their_wait() -> None:
    orders = _orders(2, 60.0)
    assert waits(orders, {"o0": 120.0}, 660.0).tolist() == [2.0, 10.0]


def test_mark_lies_where_the_wait_is_the_articles() -> None:
    def wait(load: float) -> float:
        return load / 10.0

    load = marked_load(wait, 100.0, 1000.0, (60.0, 75.0))
    assert load is not None and 60.0 <= wait(load) <= 75.0
    assert marked_load(wait, 100.0, 500.0, (60.0, 75.0)) is None


def test_meter_counts_what_batteries_lose() -> None:
    meter = Meter(STUDY.building)

    def state(now: float, battery: tuple[float, float]) -> FleetState:
        f, i, b = (np.zeros(2, kind) for kind in (np.float32, np.int32, np.uint8))
        u = np.zeros(2, np.uint32)
        level = np.array(battery, np.float32)
        return FleetState(
            now, np.arange(2, dtype=np.int32), u, u, u, i, b, f, f, f, f, b, i, level, b
        )

    for now, battery in ((0.0, (0.5, 0.5)), (10.0, (0.4, 0.6)), (20.0, (0.4, 0.6))):
        meter.step(now, [state(now, battery)])
    spec = STUDY.building.drive
    assert meter.watt_hours == pytest.approx(0.1 * spec.battery + spec.idle_power / 360, rel=1e-4)


def test_space_is_parted_into_its_causes() -> None:
    found = space(STUDY)
    for way in ("dedicated", "classes"):
        product = found["from_floor"] * found["from_random_stow"][f"over_{way}"]
        assert found["goods"][f"over_{way}"] == pytest.approx(product, abs=2e-3)
    assert energy(STUDY, "pods", 1000.0, 9.0) > 10.0


def test_documentation_shows_the_assumptions_that_are_used() -> None:
    text = (ROOT / "docs" / "headline.md").read_text(encoding="utf-8")
    assert assumption_table(STUDY) in text


def test_every_assumption_says_what_it_rests_on() -> None:
    rows = {row.name: row for row in STUDY.assumptions}
    for row in rows.values():
        assert row.basis in BASES
        assert len(row.source) > 10
        if row.range is not None:
            assert row.range[0] <= row.value <= row.range[1]
    assert rows["walking.pickers"].value == sum(s.kind == "pick" for s in STUDY.building.stations)
    guessed = [r for r in rows.values() if r.basis == "assumption" and "walking" in r.name]
    assert guessed and all(row.range is not None for row in guessed)


def test_space_is_as_measured() -> None:
    text = (ROOT / "bench" / "results" / "space.json").read_text(encoding="utf-8")
    lots = {row["lot_days"]: row for row in json.loads(text)["online_retail"]["lot_sizes"]}
    found = lots[30]["goods_in_the_same_bin_volume"]
    for name, key in (
        ("peak_over_mean", "random_over_dedicated_bins_of_any_size"),
        ("random_over_dedicated", "random_over_dedicated"),
        ("random_over_classes", "random_over_class_based"),
    ):
        assert STUDY.value(f"stock.{name}") == pytest.approx(found[key], abs=6e-3)


@pytest.mark.parametrize("way", ["dedicated", "classes"])
def test_pickers_search_and_set_up_as_long_as_the_source_says(way: str) -> None:
    orders = [o for batch in _sample(SPEC.cart_totes) for o in batch] * 4
    orders = [replace(o, stamp=0.0, order=f"{o.order}/{i}") for i, o in enumerate(orders)]
    index = Catalogue.from_orders(STUDY.building, 1).index
    shelves = shelving(None, way, 1, SPEC)
    walk = Pickers(shelves, SPEC, STUDY.building.people, index, 1).work(orders)
    assert walk.lines * SPEC.search / walk.busy == pytest.approx(0.20, abs=0.03)
    assert walk.tours * SPEC.tour_setup / walk.busy == pytest.approx(0.10, abs=0.02)


def test_kept_load_is_the_greatest_that_keeps_the_promise() -> None:
    assert kept_load(lambda load: load / 10.0, 100.0, 900.0, 30.0) == pytest.approx(300, abs=5)
    assert kept_load(lambda load: 5.0, 100.0, 900.0, 30.0) == 900.0
    assert kept_load(lambda load: 40.0, 100.0, 900.0, 30.0) is None


def test_other_assumptions_make_other_walks() -> None:
    cell = {"load": 1600.0, "seed": 1, "warm_up": 5.0, "minutes": 30.0, "orders": None}
    lines = [
        run_walking({**cell, "way": "dedicated", "assume": {"walking.speed": speed}})
        for speed in (0.7, 1.0, 1.4)
    ]
    rates = [found["lines_per_person_hour"] for found in lines]
    assert rates == sorted(rates) and rates[0] < 0.95 * rates[2]
    assert rates[1] == run_walking({**cell, "way": "dedicated"})["lines_per_person_hour"]


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "headline.json"
    command = ["bench", "headline", "--loads", "300,900", "--seeds", "1", "--minutes", "4"]
    assert main([*command, "--warm-up", "1", "--out", str(out)]) == 0
    result = json.loads(out.read_text())
    for way in ("dedicated", "classes", "pods"):
        rows = result["curves"][way]
        assert [row["load"] for row in rows] == [300.0, 900.0]
        assert all(row["order_to_ship_minutes"]["p50"] > 0 for row in rows)
        assert all(row["not_shipped"] == 0 for row in rows)
    assert result["conflicts"] == 0
    ranged = [row for row in STUDY.assumptions if row.range is not None]
    assert len(result["sensitivity"]) == 2 * len(ranged)
    assert result["kept"]["pods"]["load"] == 900.0
    assert all(most > 0 for most in result["most_orders_per_hour"].values())
    assert out.with_suffix(".png").stat().st_size > 1000
    assert "goods on the same floor" in capsys.readouterr().out
    assert main([*command[:-1], "0.001", "--out", str(tmp_path / "other.json")]) == 2
    assert "no order comes" in capsys.readouterr().err
    assert main(["bench", "headline", "--assumptions"]) == 0
    assert "| walking: speed |" in capsys.readouterr().out
