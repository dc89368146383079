"""The monitor counts each thing once, and the report shows it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from robo_stow.floor.load import load_building
from robo_stow.messages import (
    LiftResult,
    OrderArrived,
    OrderShipped,
    PickVisit,
    Scan,
    ScanResult,
)
from robo_stow.monitor import MonitorCore
from robo_stow.report import build_report, format_table, write_report


@pytest.fixture
def monitor() -> MonitorCore:
    return MonitorCore(load_building("demo"), seed=1)


def visit(number: int, pod: int, face: int) -> PickVisit:
    return PickVisit(1.0, "pick_1", number, 0, pod, face, (), (), (), ())


def test_repeated_records_count_once(monitor: MonitorCore) -> None:
    records = [
        OrderArrived(0.0, "A", ("s",), (1,), 100.0),
        OrderShipped(120.0, "A", 0.0, 1, 3),
        LiftResult(5.0, "lifter_1", "P1", 3, True, ""),
        LiftResult(6.0, "lifter_1", "P2", 3, False, "too heavy"),
        Scan(2.0, "pick_1", 0, ScanResult.OK, 3),
        Scan(2.5, "stow_1", 0, ScanResult.OK, 4),
        visit(0, pod=7, face=0),
    ]
    for now in (1.0, 2.0):
        monitor.step(now, records)
    figures = monitor.figures()
    assert figures["orders_received"] == figures["orders_shipped"] == 1
    assert figures["order_to_ship_minutes"]["p50"] == 2.0
    assert figures["pallets_lifted"] == 1
    assert figures["lines_picked"] == 1
    assert figures["units_picked"] == 3
    assert figures["units_stowed"] == 4


def test_pile_on_counts_a_pod_once_for_all_its_faces(monitor: MonitorCore) -> None:
    visits = [visit(0, 7, 0), visit(1, 7, 2), visit(2, 9, 0), visit(3, 7, 0)]
    scans = [Scan(2.0, "pick_1", n, ScanResult.OK, 2) for n in range(6)]
    monitor.step(1.0, [*visits, *scans])
    assert monitor.figures()["pods_handled"] == 3
    assert monitor.figures()["pile_on"] == 4.0


def test_report_of_a_run_without_a_single_order(monitor: MonitorCore, tmp_path: Path) -> None:
    monitor.step(0.1, [])
    report = build_report(monitor, wall_seconds=0.5, planner_ms=[], conserved=True)
    write_report(report, monitor, tmp_path)
    assert report["order_to_ship_minutes"]["p50"] is None
    assert "Conflicts" in format_table(report)
    assert (tmp_path / "report.html").stat().st_size > 10_000
    assert np.isfinite(report["planner_ms_per_tick"]["p99"])
