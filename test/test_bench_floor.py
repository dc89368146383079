"""The floor benchmark: sound figures, equal runs, clear mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from robo_stow.bench import floor
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
    assert run["pods_per_hour_and_unit"] <= run["bound_pods_per_hour_and_unit"]


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
