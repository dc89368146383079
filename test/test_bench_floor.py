"""The floor benchmark: sound figures, equal runs, clear mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from robo_stow.bench import floor
from robo_stow.bench.capacity import floor_capacity, period
from robo_stow.cli.main import main
from robo_stow.floor.building import CellKind
from robo_stow.floor.load import load_building


def test_figures_are_sound_and_equal_runs_are_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floor, "WARM_UP", 150)
    building = load_building("demo")
    runs = [
        floor.run_floor(building, steps=150, budget_ms=5.0, seed=2, iterations=50) for _ in range(2)
    ]
    for run in runs:
        for key in ("planning_ms", "peak_memory_mb"):
            run.pop(key)
    assert runs[0] == runs[1]
    run = runs[0]
    assert run["conflicts"] == run["rejected_steps"] == 0
    assert run["pods_delivered"] > 0 and 0.5 < run["share_of_bound"] <= 1.0
    assert run["pods_per_hour_and_unit"] <= run["bound_capacity"]
    assert run["bound_capacity"] <= run["bound_pods_per_hour_and_unit"]


def test_times_alone_keep_loaded_units_out_of_storage() -> None:
    grid = load_building("demo").grid
    building = load_building("demo")
    storage = np.flatnonzero(grid.kind == CellKind.STORAGE).astype(np.int32)
    start, end = storage[:40], storage[-40:]
    heading = np.zeros(40, np.uint8)
    empty = floor.alone(building, start, heading, end, False)
    loaded = floor.alone(building, start, heading, end, True)
    apart = abs(start // grid.width - end // grid.width) + abs(
        start % grid.width - end % grid.width
    )
    assert (empty >= apart).all() and (loaded >= empty).all() and (loaded > empty).any()


def test_no_more_than_stations_pass_and_ways_carry() -> None:
    building = load_building("demo")
    # In at the bottom of the lane, one step there, a quarter turn, and out.
    assert {period(building, station, 1) for station in building.stations} == {3}
    capacity = floor_capacity(building, 1)
    assert capacity.stations == pytest.approx(len(building.stations) / 3)
    # All stations stand in the north and in the south: where the halls' lanes and the aisles lead
    # there, every pod comes and goes.
    grid = building.grid
    roads = (grid.kind != CellKind.WALL) & (grid.kind != CellKind.STORAGE)
    assert 0 < capacity.ways <= roads.reshape(grid.height, grid.width).sum(axis=1).max()


def test_a_cell_is_taken_until_the_unit_that_lifted_the_pod_has_left_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A unit sent to a cell with a lifted pod would stand before the only way out of it."""
    given: list[tuple[int, list[int]]] = []
    store = floor._Trips._store

    def watched(trips: floor._Trips, unit: int) -> None:
        lifted = trips.cell[trips.loaded & (trips.cell == trips._home)]
        store(trips, unit)
        given.append((int(trips.goal[unit]), lifted.tolist()))

    monkeypatch.setattr(floor._Trips, "_store", watched)
    monkeypatch.setattr(floor, "WARM_UP", 150)
    floor.run_floor(load_building("demo"), steps=150, budget_ms=5.0, seed=2, iterations=50)
    assert any(lifted for _, lifted in given)
    assert all(goal not in lifted for goal, lifted in given)


def test_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(floor, "WARM_UP", 10)
    out = tmp_path / "deep" / "floor.json"
    arguments = ["bench", "floor", "demo", "--steps", "20", "--budget-ms", "1", "--out", str(out)]
    assert main(arguments) == 0
    assert json.loads(out.read_text()) == json.loads(capsys.readouterr().out)
    assert main(["bench", "floor", "demo", "--units", "9999"]) == 2
    assert "units" in capsys.readouterr().err
