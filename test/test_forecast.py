"""Forecasts of demand, their backtest, and what is decided by them."""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from robo_stow.cli.main import main
from robo_stow.errors import InputError
from robo_stow.floor.load import load_building
from robo_stow.forecast.backtest import HORIZON, LEAST, TEST, TRAIN, backtest, fit
from robo_stow.forecast.demand import DAY, Demand, daily_demand, trading_days
from robo_stow.forecast.models import (
    MovingAverage,
    SeasonalNaive,
    Smoothing,
    Spread,
    Tsb,
    weekday_profile,
)
from robo_stow.forecast.plan import (
    Reorder,
    expected_lines,
    policies,
    reorder,
    shipments,
    shipments_backtest,
)
from robo_stow.forecast.purchasing import Purchasing, purchasing_from
from robo_stow.fulfilment.core import FulfilmentCore
from robo_stow.fulfilment.orderfile import OrderLines
from robo_stow.fulfilment.orders import OrderStream
from robo_stow.inventory.catalogue import Catalogue
from robo_stow.messages import PalletArrived, StockLevels
from robo_stow.sim.plant import Plant
from robo_stow.simulate import QuickLoop, quickest_loop
from robo_stow.warehouse import build_warehouse

DAYS = LEAST + TRAIN + TEST
MODELS = (SeasonalNaive(), MovingAverage(), Tsb(), Smoothing())


def _weekdays(days: int) -> NDArray[np.int64]:
    return np.arange(days) % 6


def _made(days: int = DAYS, skus: int = 60, seed: int = 1) -> Demand:
    """Poisson demand of SKUs whose means are log-normal and drift, with busy Mondays."""
    rng = np.random.default_rng(seed)
    walk = np.cumsum(rng.normal(0.0, 0.05, (days, skus)), axis=0)
    mean = np.exp(rng.normal(-1.0, 1.0, skus) + walk)
    mean *= np.where(_weekdays(days) == 0, 2.0, 0.8)[:, None]
    lines = rng.poisson(mean).astype(float)
    day = 7 * (np.arange(days) // 6) + np.arange(days) % 6 + 4  # Mondays to Saturdays
    return Demand(tuple(f"s{k:02d}" for k in range(skus)), day, lines, 2.0 * lines)


def _lines(demand: Demand, regions: tuple[str, ...] = ("here", "there")) -> OrderLines:
    rows = []
    for d, k in zip(*np.nonzero(demand.lines), strict=True):
        for copy in range(int(demand.lines[d, k])):
            region = regions[0] if (d + k + copy) % 4 else regions[1]
            time = float(demand.day[d]) * DAY + 36000.0 + copy
            rows.append((f"{d}-{k}-{copy}", demand.sku[k], 2, time, region))
    order, sku, quantity, time, region = (np.array(column) for column in zip(*rows, strict=True))
    return OrderLines(order, sku, quantity, time, region)


@settings(deadline=None, max_examples=40)
@given(
    history=st.lists(
        st.lists(st.integers(0, 20), min_size=3, max_size=3), min_size=1, max_size=30
    ).map(lambda rows: np.array(rows, float)),
    ahead=st.lists(st.integers(0, 6), min_size=1, max_size=6).map(np.array),
)
def test_forecasts_lie_within_reason(
    history: NDArray[np.float64], ahead: NDArray[np.int64]
) -> None:
    """Of the right shape, not negative, and 0 for what was never ordered; no model looks ahead."""
    weekday = np.arange(len(history)) % 7
    for model in MODELS:
        mean = model.forecast(history, weekday, ahead)
        assert mean.shape == (len(ahead), 3)
        assert np.isfinite(mean).all() and (mean >= 0.0).all()
        never = ~(history > 0).any(axis=0)
        assert (mean[:, never] == 0.0).all()


def test_constant_demand_is_forecast_as_it_is() -> None:
    history = np.full((48, 2), (3.0, 0.5))
    for model in (SeasonalNaive(), MovingAverage(), Smoothing()):
        mean = model.forecast(history, _weekdays(48), np.arange(6))
        np.testing.assert_allclose(mean, np.full((6, 2), (3.0, 0.5)), rtol=0.1)


def test_smoothing_knows_the_weekday_and_forgets_what_has_ended() -> None:
    history = np.ones((60, 2))
    history[_weekdays(60) == 0] *= 3.0
    history[30:, 1] = 0.0
    mean = Smoothing(8.0).forecast(history, _weekdays(60), np.arange(6))
    assert mean[0, 0] > 2.0 * mean[1, 0]
    assert mean[1, 1] < 0.2 * mean[1, 0]
    assert weekday_profile(history, _weekdays(60))[0] > 1.5


def test_new_sku_is_not_held_down_by_the_time_before() -> None:
    history = np.zeros((60, 2))
    history[:, 0] = 2.0
    history[-3:, 1] = 2.0
    mean = Smoothing(10.0).forecast(history, _weekdays(60), np.arange(1))[0]
    assert mean[1] > 0.7 * mean[0]


@settings(deadline=None, max_examples=30)
@given(linear=st.floats(1.0, 3.0), square=st.floats(0.0, 1.0), mean=st.floats(0.05, 50.0))
def test_quantiles_rise_and_cover(linear: float, square: float, mean: float) -> None:
    spread = Spread(linear, square)
    found = [float(spread.quantile(np.array([mean]), share)[0]) for share in (0.2, 0.5, 0.9, 0.99)]
    assert found == sorted(found)
    assert found[-1] >= mean * 0.9
    assert float(spread.quantile(np.array([0.0]), 0.9)[0]) == 0.0


def test_spread_is_found_again() -> None:
    rng = np.random.default_rng(3)
    mean = rng.uniform(0.2, 20.0, 40_000)
    variance = 1.5 * mean + 0.2 * mean**2
    chance = mean / variance
    found = rng.negative_binomial(mean * chance / (1.0 - chance), chance).astype(float)
    spread = Spread.fit(mean, found)
    assert spread.linear == pytest.approx(1.5, abs=0.15)
    assert spread.square == pytest.approx(0.2, abs=0.04)
    assert np.mean(found <= spread.quantile(mean, 0.9)) == pytest.approx(0.9, abs=0.03)


def test_backtest_beats_the_baseline_where_there_is_something_to_learn() -> None:
    demand = _made()
    found = backtest(demand.lines, demand.weekday)
    models = found["models"]
    assert models["seasonal naive"]["over_baseline"]["rmsse"] == 1.0
    assert models["smoothing"]["over_baseline"]["rmsse"] < 0.9
    assert abs(models["smoothing"]["bias"]) < 0.1
    assert found["origins"] == len(range(DAYS - TEST, DAYS - HORIZON + 1, 3))
    for share, losses in found["week_pinball"].items():
        assert losses["smoothing"] < losses["latest weeks"] * 1.05
        assert losses["covered"] >= float(share) - 0.05  # whole numbers cover more


def test_backtest_does_not_look_ahead() -> None:
    """What comes after the last origin's week changes nothing before it."""
    demand = _made()
    changed = demand.lines.copy()
    changed[-TEST:] = 0.0
    first = len(changed) - TEST
    assert fit(demand.lines[:first], demand.weekday[:first]) == fit(
        changed[:first], demand.weekday[:first]
    )


def test_too_few_days_are_named() -> None:
    demand = _made(60)
    with pytest.raises(InputError, match="trading days"):
        backtest(demand.lines, demand.weekday)
    with pytest.raises(InputError, match="trading days"):
        policies(demand)


def test_demand_counts_lines_once_and_caps_pieces() -> None:
    lines = OrderLines(
        np.array(["a", "a", "b", "c"]),
        np.array(["x", "x", "x", "y"]),
        np.array([2, 2, 9, 5000]),
        np.array([0.0, 0.0, 90_000.0, 90_000.0]),
        np.array(["here", "here", "there", "there"]),
    )
    demand = daily_demand(lines, most=3)
    assert demand.sku == ("x",)
    assert demand.day.tolist() == [0, 1]
    assert demand.lines.tolist() == [[1.0], [1.0]]
    assert demand.pieces.tolist() == [[3.0], [3.0]]
    there = daily_demand(lines, region="there")
    assert there.pieces.tolist() == [[0.0], [9.0]]


def test_next_trading_days_leave_out_the_closed_one() -> None:
    demand = _made(48)
    ahead = trading_days(demand, 7)
    assert ((ahead + 3) % 7).tolist() == [0, 1, 2, 3, 4, 5, 0]
    assert ahead[0] > demand.day[-1]


def test_lines_of_the_days_before_are_selected_with_all_that_they_say() -> None:
    lines = _lines(_made(40))
    early = lines.time < 30 * DAY
    past = lines.select(early)
    assert 0 < len(past) < len(lines)
    for name in ("order", "sku", "quantity", "time", "region"):
        np.testing.assert_array_equal(getattr(past, name), getattr(lines, name)[early])


def test_expected_lines_are_about_a_days() -> None:
    demand = _made()
    expected = expected_lines(demand)
    mondays = demand.lines[demand.weekday == 0][-3:]
    assert sum(expected.values()) == pytest.approx(mondays.sum() / 3, rel=0.4)


def test_reorder_points_rise_with_service_and_lead_time() -> None:
    demand = _made()
    low, high, late = (
        {r.sku: r.point for r in reorder(demand, lead_days=lead, lot_days=6, service=service)}
        for lead, service in ((2, 0.8), (2, 0.99), (5, 0.8))
    )
    assert all(high[sku] >= low[sku] for sku in low)
    assert all(late[sku] >= low[sku] for sku in low)
    assert sum(high.values()) > sum(low.values())


def test_policies_trade_stock_for_fill_rate() -> None:
    found = policies(_made())
    for name in ("forecast", "rule of thumb"):
        fill = [row["fill_rate"] for row in found[name]]
        stock = [row["mean_stock"] for row in found[name]]
        assert fill == sorted(fill)
        assert stock == sorted(stock)
        assert 0.5 < fill[0] <= fill[-1] <= 1.0


def test_what_is_sent_ahead_is_mostly_ordered() -> None:
    lines = _lines(_made())
    found = shipments_backtest(lines, confidence=0.8)
    assert set(found) == {"here", "there"}
    for figures in found.values():
        assert figures is not None
        assert figures["ordered_within_the_week"] > 0.8
        assert 0.6 < figures["entries_ordered_in_full"] <= 1.0
    sent = shipments(lines, confidence=0.8)
    bold = shipments(lines, confidence=0.5)
    assert 0 < sum(s.pieces for s in sent) < sum(s.pieces for s in bold)


def test_region_of_rare_large_orders_is_not_listed() -> None:
    """One customer orders 300 pieces of everything every fourth week: nothing can be sent ahead."""
    demand = _made(skus=20)
    lines = _lines(demand, ("here", "here"))
    rare = [d for d in range(len(demand.day)) if d % 24 == 17]
    count = len(rare) * 20
    day = np.repeat(demand.day[rare], 20) * float(DAY) + 50_000.0
    order = np.repeat([f"rare{d}" for d in rare], 20)
    both = OrderLines(
        np.concatenate([lines.order, order]),
        np.concatenate([lines.sku, np.tile(demand.sku, len(rare))]),
        np.concatenate([lines.quantity, np.full(count, 300)]),
        np.concatenate([lines.time, day]),
        np.concatenate([lines.region, np.full(count, "rarely")]),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("robo_stow.forecast.plan.LEAST_LINES", 100)
        assert {s.region for s in shipments(both, confidence=0.8)} == {"here"}
        assert shipments_backtest(both, confidence=0.8)["rarely"] is None


def test_orders_without_regions_are_refused() -> None:
    lines = _lines(_made(40), ("", ""))
    with pytest.raises(InputError, match="Country"):
        shipments(lines, confidence=0.8)


def _file(path: Path, lines: OrderLines) -> Path:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["InvoiceNo", "StockCode", "Quantity", "InvoiceDate", "kind", "Country"])
        stamps = np.datetime_as_string(lines.time.astype("datetime64[s]"))
        columns = (lines.order, lines.sku, lines.quantity, stamps, lines.region)
        for order, sku, quantity, stamp, region in zip(*columns, strict=True):
            writer.writerow([order, sku, quantity, stamp, "sale", region])
    return path


def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(_file(tmp_path / "orders.csv", _lines(_made(skus=20))))
    out = tmp_path / "backtest.json"
    assert main(["forecast", "backtest", file, "--out", str(out)]) == 0
    assert json.loads(out.read_text())["lines"]["skus"] == 20
    assert "seasonal naive" in capsys.readouterr().out
    assert main(["forecast", "reorder", file]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 20 and int(rows[0]["reorder_point"]) > 0
    assert main(["forecast", "regions", file]) == 0
    assert "there" in capsys.readouterr().out
    assert main(["forecast", "backtest", "demo.csv"]) == 2


def test_idle_units_bring_expected_pods_near_before_orders_come() -> None:
    building = replace(load_building("demo"), units=16)

    def settled(expected: dict[str, float], seconds: float) -> FulfilmentCore:
        plant = Plant(building, 1, orders=())
        warehouse = build_warehouse(building, 1, plant=plant, expected=expected)
        for _ in quickest_loop(warehouse.cores).run(seconds, every=60.0):
            pass
        assert warehouse.monitor.conflicts == 0
        assert not warehouse.inventory.check_totals()
        return warehouse.fulfilment

    def steps(core: FulfilmentCore, pods: list[int]) -> float:
        station = next(s.cell for s in building.stations if s.kind == "pick")
        cells = core.storage.place[pods]
        return float(core.ways.to(station)[cells[cells >= 0]].mean())

    start = settled({}, 2.0)
    rarest = sorted(start.stock.by_sku, key=lambda sku: len(start.stock.by_sku[sku]))[:12]
    pods = sorted({place.pod for sku in rarest for place in start.stock.by_sku[sku].values()})
    after = settled(dict.fromkeys(rarest, 5.0), 420.0)
    assert steps(after, pods) < 0.85 * steps(start, pods)


def test_orders_come_before_tidying() -> None:
    """With anticipation every order is shipped as well."""
    building = replace(load_building("demo"), units=8)
    stream = OrderStream(building.orders, 1)
    orders = [next(stream) for _ in range(8)]
    expected = {sku: 3.0 for order in orders for sku in order.sku}
    plant = Plant(building, 1, orders=orders)
    warehouse = build_warehouse(building, 1, plant=plant, expected=expected)
    for _ in quickest_loop(warehouse.cores).run(480.0, every=60.0):
        pass
    figures = warehouse.monitor.figures()
    assert figures["orders_shipped"] == figures["orders_received"] > 0
    assert figures["conflicts"] == 0


# -- purchasing -----------------------------------------------------------------------------------

POLICY = [Reorder("a", 1.0, 10, 8), Reorder("b", 0.5, 3, 5), Reorder("c", 0.0, 0, 1)]


def _levels(now: float, stock: dict[str, int]) -> StockLevels:
    codes = tuple(stock)
    return StockLevels(
        now, tuple(range(len(codes))), codes, tuple(stock.values()), (0,) * len(codes)
    )


@given(
    sales=st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(0, 9)), max_size=40),
    opening=st.fixed_dictionaries(dict.fromkeys("abc", st.integers(0, 30))),
)
def test_position_stays_above_the_reorder_point(
    sales: list[dict[str, int]], opening: dict[str, int]
) -> None:
    purchasing = Purchasing(POLICY, lead=100.0, seed=1)
    stock = dict(opening)
    bought: Counter[str] = Counter()
    sold: Counter[str] = Counter()
    now = 0.0
    purchasing.on_levels(_levels(now, stock), now)
    assert purchasing.delivered(1.0) == []  # the stock may still be coming in
    for day in [*sales, *([{}] * 8)]:
        now += 30.0
        for sku, pieces in purchasing.delivered(now):
            bought[sku] += pieces
            stock[sku] += pieces
            row = next(row for row in POLICY if row.sku == sku)
            assert pieces % row.lot == 0
            purchasing.on_levels(_levels(now, stock), now)  # stowed: a booking of its own
        for sku, pieces in day.items():
            taken = min(pieces, stock[sku])
            sold[sku] += taken
            stock[sku] -= taken
        purchasing.on_levels(_levels(now, stock), now)
        for row in POLICY:
            assert purchasing.position(row.sku) > row.point
    assert purchasing.due == math.inf  # all has come
    for row in POLICY:
        assert stock[row.sku] == opening[row.sku] + bought[row.sku] - sold[row.sku]
        assert stock[row.sku] > row.point


def test_pallets_bring_what_has_fallen_to_its_reorder_point(tmp_path: Path) -> None:
    building = load_building("demo", units=12)
    catalogue = Catalogue.from_orders(building, 1)
    wanted = catalogue.sku[::40]
    opening = building.stock.cover_pieces
    policy = [Reorder(sku, 1.0, 10_000, 30) for sku in wanted]  # all of them at once
    plant = Plant(building, 1, purchasing=Purchasing(policy, lead=120.0, seed=1))
    warehouse = build_warehouse(building, 1, plant=plant)
    pallets: list[PalletArrived] = []

    class Watch:
        consumes = (PalletArrived,)

        def step(self, now: float, inbox: Sequence[Any]) -> list[Any]:
            pallets.extend(inbox)
            return []

    for _ in QuickLoop((*warehouse.cores, Watch())).run(480.0):
        pass
    assert opening < 10_000
    first = {pallet.pallet: pallet for pallet in pallets}
    assert len(first) >= 2
    assert {sku for pallet in first.values() for sku in pallet.sku} <= set(wanted)
    most = building.stock.pallet_pieces
    assert all(0 < sum(pallet.quantity) <= most for pallet in first.values())
    assert warehouse.monitor.figures()["units_stowed"] > 0
    assert warehouse.monitor.conflicts == 0
    assert warehouse.inventory.audit() == []


def test_reorder_points_come_from_the_history() -> None:
    building = load_building("demo")
    bought = purchasing_from(building.orders.file, building, 1)
    assert bought.due == math.inf  # nothing is known of the stock yet
    bought.on_levels(_levels(0.0, {}), 0.0)
    assert bought.delivered(10.0) == []
    assert len(bought.delivered(1e9)) > 1000  # an empty building lacks every SKU
