"""What a user types, and what they get for a mistake: one line, no traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from robo_stow.cli.main import main

REPORT_KEYS = (
    "seed",
    "building",
    "units",
    "simulated_minutes",
    "wall_seconds",
    "orders_received",
    "orders_shipped",
    "order_to_ship_minutes",
    "lines_picked",
    "units_picked",
    "lines_per_station_hour",
    "pile_on",
    "pallets_lifted",
    "units_stowed",
    "conflicts",
    "stock_conserved",
    "planner_ms_per_tick",
    "unit_utilisation",
    "storage_utilisation",
)


def test_simulate_writes_the_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "demo", "--minutes", "2", "--out", str(tmp_path)]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert not [key for key in REPORT_KEYS if key not in report]
    assert report["conflicts"] == 0
    assert report["stock_conserved"] is True
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 4
    assert "Orders shipped" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["simulate", "no-such-building"], "no-such-building"),
        (["simulate", "demo", "--orders", "missing.csv", "--minutes", "0.1"], "missing.csv"),
        (["simulate", "demo", "--units", "100000", "--minutes", "0.1"], "100000"),
        (["simulate", "demo", "--database", "nonsense", "--minutes", "0.1"], "nonsense"),
        (["floor", "check", "missing.yaml"], "missing.yaml"),
        (["sweep", "noise.yaml"], "noise.yaml"),
        (["sweep", "demo", "--orders", "missing.csv"], "missing.csv"),
        (["sweep", "demo", "--set", "fulfilment.slots=none"], "fulfilment.slots"),
        (["bench", "headline", "--orders", "missing.csv"], "missing.csv"),
        (["forecast", "reorder", "noise.yaml"], "noise.yaml"),
        (["inventory", "audit", "--out", "empty"], "empty"),
        (["inventory", "audit", "--database", "postgresql://nobody@127.0.0.1:1/x"], "port 1"),
    ],
)
def test_mistakes_get_one_clear_line(
    arguments: list[str],
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").touch()
    Path("noise.yaml").write_bytes(bytes(range(256)))
    assert main(arguments) != 0
    error = capsys.readouterr().err.strip()
    assert named in error.splitlines()[-1]
    assert "Traceback" not in error
    assert Path("empty").read_bytes() == b""
    assert not list(tmp_path.rglob("*.jsonl"))


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["sweep", "demo", "--set", "fulfilment.slots=["], "--set"),
        (["floor", "world", "demo", "--seed", "-1"], "--seed"),
        (["floor", "draw", "demo", "-o", "file/x.png"], "-o/--output"),
        (["floor", "world", "demo", "-o", "file/x.sdf"], "-o/--output"),
        (["bench", "floor", "demo", "--seed", str(2**31)], "--seed"),
        (["bench", "floor", "demo", "--out", "file/x.json"], "--out"),
        (["bench", "traffic", "--paths", "."], "--paths"),
        (["bench", "traffic", "--threads", "0"], "--threads"),
        (["bench", "headline", "--out", "."], "--out"),
        (["forecast", "reorder", "x.csv", "--lead-days", "99999999999"], "--lead-days"),
        (["forecast", "reorder", "x.csv", "--out", "file/x.csv"], "--out"),
    ],
)
def test_values_no_option_can_have_are_named(
    arguments: list[str],
    option: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert f"error: argument {option}: " in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("value", ["0", "-3", "nan", "inf", "ten"])
def test_minutes_must_be_a_positive_number(value: str) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["simulate", "demo", f"--minutes={value}"])
    assert stop.value.code == 2


def test_a_ledger_of_an_earlier_run_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    command = ["simulate", "demo", "--minutes", "0.2", "--database", database]
    assert main([*command, "--out", str(tmp_path)]) == 0
    assert main([*command, "--out", str(tmp_path)]) == 2
    assert "ledger.sqlite" in capsys.readouterr().err


def test_an_output_folder_that_cannot_be_made_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "out"
    assert main(["simulate", "demo", "--minutes", "0.2", "--out", str(out)]) == 2
    assert str(out) in capsys.readouterr().err
