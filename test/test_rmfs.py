"""RMFS-16: supply, a short run, and the command's table."""

from __future__ import annotations

import numpy as np
import pytest

from robo_stow.bench import rmfs
from robo_stow.cli.bench_rmfs import table
from robo_stow.floor.building import Building, CellKind
from robo_stow.messages import OrderArrived, PalletArrived, VisitDone


@pytest.fixture(scope="module")
def building() -> Building:
    return rmfs.scenario(16, 2)


def supply(building: Building, waiting: int, items: int = 30_000) -> rmfs.Supply:
    return rmfs.Supply(building, 1, rmfs.catalogue(1), lambda: waiting, items)


def test_the_scenario_is_the_reference_one(building: Building) -> None:
    assert building.units == 16
    assert building.pods == 428
    assert np.count_nonzero(building.grid.kind == CellKind.STORAGE) == 504
    assert [s.kind for s in building.stations] == ["pick", "pick", "stow", "stow"]
    assert rmfs.bound(building) == 360.0
    large = rmfs.scenario(32, 4)
    assert large.units == 32
    assert [s.kind for s in large.stations] == ["pick"] * 4 + ["stow"] * 4


def test_orders_have_the_stated_sizes(building: Building) -> None:
    orders = [m for m in supply(building, -1500).step(0.0, []) if isinstance(m, OrderArrived)]
    lines = np.array([len(order.sku) for order in orders])
    pieces = np.array([n for order in orders for n in order.quantity])
    assert len(orders) == rmfs.BACKLOG + 1500
    assert (lines.min(), lines.max()) == (1, 4)
    assert lines.mean() == pytest.approx(1.56, abs=0.05)
    assert pieces.min() == 1 and 1 < pieces.max() <= 3
    assert pieces.mean() == pytest.approx(1.07, abs=0.03)
    assert all(len(set(order.sku)) == len(order.sku) for order in orders)


def test_backlogs_stay_full_between_the_bounds_of_stock(building: Building) -> None:
    source = supply(building, 195, items=round(0.84 * 42_800))
    said = source.step(0.0, [])
    assert sum(isinstance(m, OrderArrived) for m in said) == 5
    deliveries = [m for m in said if isinstance(m, PalletArrived)]
    assert sum(sum(d.quantity) for d in deliveries) == 6 * 198
    assert {d.lifter for d in deliveries} == {"stow_1", "stow_2"}

    emptied = VisitDone(1.0, "stow_1", 1, 198, (), True)
    said = source.step(1.0, [emptied, emptied])  # told twice, counted once
    assert sum(isinstance(m, PalletArrived) for m in said) == 1
    said = source.step(2.0, [VisitDone(2.0, "stow_2", 1, 400, (), True)])
    assert source.fill > 0.85
    assert not any(isinstance(m, PalletArrived) for m in said)
    picked = round(0.15 * 42_800)
    said = source.step(3.0, [VisitDone(3.0, "pick_1", 1, picked, (), False)])
    assert not any(isinstance(m, PalletArrived) for m in said)
    said = source.step(4.0, [VisitDone(4.0, "pick_1", 2, picked, (), False)])
    assert sum(isinstance(m, PalletArrived) for m in said) == 1


def test_a_short_run_keeps_the_stations_busy(
    building: Building, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rmfs, "WARM_UP", 120.0)
    run = rmfs.run_rmfs(building, 1, 1.0)
    assert run["conflicts"] == 0
    assert run["stock_conserved"]
    assert run["items_per_station_hour"] > 300.0
    assert run["item_pile_on"] > 2.0
    assert run["station_idle"] < 0.15
    assert set(rmfs.FIGURES) <= set(run)


def test_the_table_shows_mean_and_range_beside_the_peers() -> None:
    runs = [
        {
            "items_per_station_hour": items,
            "lines_per_unit_hour": 40.0,
            "item_pile_on": 5.5,
            "station_idle": 0.01,
            "conflicts": 0,
            "speed": 1000,
        }
        for items in (342.0, 360.0)
    ]
    found = rmfs.summary(runs)
    assert found["items_per_station_hour"] == {"mean": 351.0, "min": 342.0, "max": 360.0}
    text = table({"units": 16, "pick_stations": 2, "bound": 360.0, "runs": runs, **found})
    assert "351.0" in text and "355.7" in text and "97.5%" in text
