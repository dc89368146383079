"""Studies of many cells: done once, kept through SIGKILL, on all cores or on a Dask cluster."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robo_stow.cells import Journal, run_cells
from robo_stow.cli.main import main
from robo_stow.errors import InputError
from robo_stow.sweep import KNEE_SHARE, grid, knee, plot, variant

sys.path.append(str(Path(__file__).parent))
from sweep_work import STUDY, square  # noqa: E402


def test_results_come_in_the_order_of_the_cells(tmp_path: Path) -> None:
    cells = [{"n": n} for n in (3, 1, 2, 3)]
    told = []
    with Journal(tmp_path / "cells.jsonl", STUDY) as journal:
        results = run_cells(
            square, cells, journal, jobs=2, progress=lambda *news: told.append(news[:2])
        )
    assert results == [{"square": n} for n in (9, 1, 4, 9)]
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_known_cells_are_not_computed_again(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    cells = [{"n": n, "trace": str(trace)} for n in range(4)]
    for part in (cells[:2], cells, cells):
        with Journal(tmp_path / "cells.jsonl", STUDY) as journal:
            run_cells(square, part, journal, jobs=1)
    assert sorted(trace.read_text().split()) == ["0", "1", "2", "3"]


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {folder!r})
from sweep_work import STUDY, square
from robo_stow.cells import Journal, run_cells
with Journal(Path({journal!r}), STUDY) as journal:
    cells = [dict(n=n, trace={trace!r}, sleep=0.05) for n in range(30)]
    run_cells(square, cells, journal, jobs=2)
"""


def test_killed_study_goes_on_where_it_stood(tmp_path: Path) -> None:
    """SIGKILL three times: no finished cell is computed twice, none is lost."""
    trace, file = tmp_path / "trace", tmp_path / "cells.jsonl"
    script = SCRIPT.format(folder=str(Path(__file__).parent), journal=str(file), trace=str(trace))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    traced = 0
    for wanted in (4, 11, 19):
        finished = set(_finished(file))
        process = subprocess.Popen([sys.executable, "-c", script], env=environment)
        while len(_finished(file)) < wanted:
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        time.sleep(0.3)  # what workers had begun, they end
        begun = [int(n) for n in trace.read_text().split()]
        assert not finished & set(begun[traced:])
        traced = len(begun)
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=60)
    assert _finished(file) == {n: n**2 for n in range(30)}
    assert len(file.read_bytes().splitlines()) == 31


def _finished(file: Path) -> dict[int, int]:
    """Numbers and results of the cells in a journal."""
    lines = file.read_bytes().split(b"\n")[1:-1] if file.exists() else []
    entries = [json.loads(line) for line in lines]
    return {entry["cell"]["n"]: entry["result"]["square"] for entry in entries}


@given(cut=st.integers(min_value=0))
def test_torn_last_line_is_forgotten(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    """A file cut anywhere holds every cell whose line is whole, and can be added to."""
    file = tmp_path_factory.mktemp("journal") / "cells.jsonl"
    with Journal(file, STUDY) as journal:
        for n in range(3):
            journal.add({"n": n}, square({"n": n}))
    whole = file.read_bytes()
    cut %= len(whole) + 1
    file.write_bytes(whole[:cut])
    with Journal(file, STUDY) as journal:
        assert len(journal) == max(whole[:cut].count(b"\n") - 1, 0)
        journal.add({"n": 9}, square({"n": 9}))
    with Journal(file, STUDY) as journal:
        assert journal.get({"n": 9}) == {"square": 81}


def begun(folder: Path) -> Path:
    """A journal with a result in it."""
    file = folder / "cells.jsonl"
    with Journal(file, STUDY) as journal:
        journal.add({"n": 2}, square({"n": 2}))
    return file


def test_file_of_another_study_is_refused(tmp_path: Path) -> None:
    file = begun(tmp_path)
    with pytest.raises(InputError, match="what: 'squares', now 'cubes'"):
        Journal(file, {"what": "cubes"})


def test_file_without_results_is_begun_anew(tmp_path: Path) -> None:
    file = tmp_path / "cells.jsonl"
    Journal(file, STUDY).close()
    with Journal(file, {"what": "cubes"}) as journal:
        journal.add({"n": 2}, {"cube": 8})
    with Journal(file, {"what": "cubes"}) as journal:
        assert journal.get({"n": 2}) == {"cube": 8}


def test_file_of_another_program_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = begun(tmp_path)
    monkeypatch.setattr("robo_stow.cells.program", lambda: "other")
    with pytest.raises(InputError, match="program"):
        Journal(file, STUDY)


def test_file_in_use_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "cells.jsonl"
    with Journal(file, STUDY), pytest.raises(InputError, match="another run"):
        Journal(file, STUDY)


def test_damaged_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "cells.jsonl"
    Journal(file, STUDY).close()
    with open(file, "ab") as stream:
        stream.write(b"nonsense\n")
    with pytest.raises(InputError, match="line 2"):
        Journal(file, STUDY)


def test_mistake_in_a_cell_reaches_the_user(tmp_path: Path) -> None:
    cells = [{"n": n} for n in (1, 2, -1, 3)]
    with Journal(tmp_path / "cells.jsonl", STUDY) as journal:
        with pytest.raises(InputError, match="must not be negative"):
            run_cells(square, cells, journal, jobs=2)
        assert journal.get({"n": 1}) == {"square": 1}


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Address of a local Dask cluster of two processes."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None
    ) as local:
        yield local.scheduler_address


def test_cluster_computes_the_same(tmp_path: Path, cluster: str) -> None:
    trace = tmp_path / "trace"
    cells = [{"n": n, "trace": str(trace)} for n in range(6)]
    with Journal(tmp_path / "cells.jsonl", STUDY) as journal:
        run_cells(square, cells[:3], journal, jobs=1)
        results = run_cells(square, cells, journal, scheduler=cluster)
    assert results == [square({"n": n}) for n in range(6)]
    assert sorted(trace.read_text().split()) == [str(n) for n in range(6)]


def test_cluster_that_does_not_answer(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    with (
        Journal(tmp_path / "cells.jsonl", STUDY) as journal,
        pytest.raises(InputError, match="--scheduler"),
    ):
        run_cells(square, [{"n": 1}], journal, scheduler="nonsense://nowhere")


@pytest.mark.parametrize(
    ("package", "where"), [("joblib", {}), ("distributed", {"scheduler": "tcp://127.0.0.1:1"})]
)
def test_missing_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, where: dict[str, Any]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with (
        Journal(tmp_path / "cells.jsonl", STUDY) as journal,
        pytest.raises(Exception, match=f"pip install {package}"),
    ):
        run_cells(square, [{"n": 1}], journal, **where)


def test_grid_is_the_full_product() -> None:
    cells = grid("demo", units=(8, 16), stations=(1,), rules={"a.b": (1, 2, 3)}, seeds=2)
    assert len(cells) == 12
    assert cells[0] == {"building": "demo", "set": {"units": 8, "stations": 1, "a.b": 1}, "seed": 1}
    assert len({repr(cell) for cell in cells}) == 12


def test_variant_changes_fields_and_stations() -> None:
    changed = variant("demo", {"units": 9, "stations": 3, "fulfilment.slots": 5})
    assert changed.units == 9
    assert changed.fulfilment.slots == 5
    assert sum(station.kind == "pick" for station in changed.stations) == 3
    spread = variant("dupont", {"stations": 6})
    assert sum(station.kind == "pick" for station in spread.stations) == 6


@pytest.mark.parametrize(
    "settings",
    [{"nonsense": 1}, {"fulfilment.nonsense": 1}, {"name.slots": 1}, {"fulfilment.slots": "x"}],
)
def test_variant_names_what_is_wrong(settings: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(settings)).split(".")[-1]):
        variant("demo", settings)


def _curve(throughput: dict[int, float]) -> list[dict[str, Any]]:
    return [
        {
            "set": {"units": units},
            "units": units,
            "lines_per_hour": dict.fromkeys(("mean", "min", "max"), lines),
        }
        for units, lines in throughput.items()
    ]


def test_knee_is_the_smallest_fleet_near_the_best() -> None:
    assert knee(_curve({4: 100, 8: 200, 12: 290, 16: 300, 20: 299})) == 12
    assert knee(_curve({4: 100, 8: 200})) == 8
    assert knee(_curve({4: 100})) is None
    assert 0.5 < KNEE_SHARE < 1.0


def test_plot_marks_the_knee() -> None:
    axes = plot(_curve({4: 100, 8: 200, 12: 290, 16: 300}), "demo").axes[0]
    assert [text.get_text() for text in axes.texts] == ["12 units"]


def test_command_resumes_and_writes_its_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["sweep", "demo", "--seeds", "1", "--minutes", "0.2", "--warm-up", "0.1"]
    command += ["--out", str(tmp_path)]
    assert main([*command, "--units", "6", "--jobs", "1"]) == 0
    assert main([*command, "--units", "6,12", "--jobs", "1"]) == 0
    assert "1 of 2 cells are known" in capsys.readouterr().err
    with open(tmp_path / "sweep.csv", encoding="utf-8") as file:
        assert [row["units"] for row in csv.DictReader(file)] == ["6", "12"]
    summary = json.loads((tmp_path / "sweep.json").read_text())
    assert [row["units"] for row in summary["settings"]] == [6, 12]
    assert (tmp_path / "sweep.png").stat().st_size > 1000
    assert main([*command, "--units", "6", "--set", "fulfilment.slot=3"]) == 2
    assert "fulfilment.slot" in capsys.readouterr().err
