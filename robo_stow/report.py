"""The report of a run: ``report.json`` for programs, ``report.html`` and a table for people."""

from __future__ import annotations

import base64
import html
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from robo_stow.floor.building import CellKind
from robo_stow.monitor import SAMPLE, MonitorCore

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROWS = (
    ("Orders received", "orders_received", ""),
    ("Orders shipped", "orders_shipped", ""),
    ("Order to ship, median", "order_to_ship_minutes.p50", "min"),
    ("Order to ship, p90", "order_to_ship_minutes.p90", "min"),
    ("Orders late", "orders_late", ""),
    ("Order lines picked", "lines_picked", ""),
    ("Pieces picked", "units_picked", ""),
    ("Lines per station hour", "lines_per_station_hour", "1/h"),
    ("Pile-on (pieces per pod)", "pile_on", ""),
    ("Pick stations busy", "station_busy", "%"),
    ("Pallets lifted", "pallets_lifted", ""),
    ("Lift cycle without waits, median", "lift_cycle_seconds.p50", "s"),
    ("Energy of a lift, median", "lift_energy_wh.p50", "Wh"),
    ("Pieces stowed", "units_stowed", ""),
    ("Drive units busy", "unit_utilisation", "%"),
    ("Bin volume filled", "storage_utilisation", "%"),
    ("Planner, mean", "planner_ms_per_tick.mean", "ms"),
    ("Planner, p99", "planner_ms_per_tick.p99", "ms"),
    ("Simulated time", "simulated_minutes", "min"),
    ("Wall time", "wall_seconds", "s"),
    ("Speed", "speed_up", "x"),
    ("Conflicts", "conflicts", ""),
    ("Stock conserved", "stock_conserved", ""),
)
"""Rows of the table: label, dotted key of the report, unit."""


def build_report(
    monitor: MonitorCore, *, wall_seconds: float, planner_ms: list[float], conserved: bool
) -> dict[str, Any]:
    """Everything ``report.json`` holds.

    Args:
        wall_seconds: how long the run took.
        planner_ms: planning time of each tick, ms.
        conserved: outcome of the ledger's audit.
    """
    times = np.array(planner_ms if planner_ms else [0.0])
    return {
        **monitor.figures(),
        **({"lorries": monitor.departures()} if monitor.building.lorries else {}),
        "wall_seconds": round(wall_seconds, 2),
        "speed_up": round(monitor.now / wall_seconds, 1) if wall_seconds > 0 else 0.0,
        "planner_ms_per_tick": {
            "mean": round(float(times.mean()), 3),
            "p99": round(float(np.quantile(times, 0.99)), 3),
            "max": round(float(times.max()), 3),
        },
        "stock_conserved": conserved,
    }


def write_report(report: dict[str, Any], monitor: MonitorCore, out: Path) -> None:
    """Write ``report.json`` and ``report.html`` into the folder ``out``."""
    (out / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (out / "report.html").write_text(_page(report, monitor), encoding="utf-8")


def format_table(report: dict[str, Any]) -> str:
    """The key figures as a table for a terminal."""
    rows = [(label, _shown(report, key, unit)) for label, key, unit in ROWS]
    left = max(len(label) for label, _ in rows)
    right = max(len(value) for _, value in rows)
    return "\n".join(f"  {label:<{left}}  {value:>{right}}" for label, value in rows)


def _shown(report: dict[str, Any], key: str, unit: str) -> str:
    value: Any = report
    for part in key.split("."):
        value = value[part]
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if unit == "%":
        return f"{100.0 * value:.1f} %"
    text = f"{value:.2f}" if isinstance(value, float) else str(value)
    return f"{text} {unit}".strip()


def _page(report: dict[str, Any], monitor: MonitorCore) -> str:
    title = f"Robo-Stow: {report['building']}, {report['simulated_minutes']:g} simulated minutes"
    rows = "\n".join(
        f"<tr><td>{html.escape(label)}</td><td>{html.escape(_shown(report, key, unit))}</td></tr>"
        for label, key, unit in ROWS
    )
    plots = "\n".join(
        f"<figure><img alt='{html.escape(caption)}' src='{source}'>"
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        for caption, source in _plots(monitor)
    )
    lorries = "".join(
        f"<tr><td>{row['minutes']:.0f} min, {html.escape(row['carrier'])}</td>"
        f"<td>{row['orders']} orders, {row['late']} late</td></tr>"
        for row in report.get("lorries", ())
    )
    alarms = (
        "".join(
            f"<li>{alarm.stamp:.1f} s, {html.escape(alarm.source)}: {html.escape(alarm.text)}</li>"
            for alarm in monitor.alarms[:50]
        )
        or "<li>none</li>"
    )
    more = f"<p>and {len(monitor.alarms) - 50} more</p>" if len(monitor.alarms) > 50 else ""
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>
<style>
body {{ font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1180px;
       padding: 0 1rem; color: #1c2733; }}
h1 {{ font-size: 1.5rem; }} h2 {{ font-size: 1.1rem; margin-top: 2rem; }}
main {{ display: grid; grid-template-columns: 20rem 1fr; gap: 2rem; align-items: start; }}
table {{ border-collapse: collapse; width: 100%; }}
td {{ border-bottom: 1px solid #dde4ea; padding: .3rem .2rem; }}
td:last-child {{ text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }}
figure {{ margin: 0 0 1.5rem; }} img {{ width: 100%; }}
figcaption {{ color: #5b6b7a; font-size: .85rem; }}
@media (max-width: 900px) {{ main {{ grid-template-columns: 1fr; }} }}
</style></head><body>
<h1>{html.escape(title)}</h1>
<p>{report["units"]} drive units, seed {report["seed"]}.</p>
<main><section><table>{rows}</table>
{f"<h2>Lorries that have left</h2><table>{lorries}</table>" if lorries else ""}
<h2>Alarms</h2><ul>{alarms}</ul>{more}</section>
<section>{plots}</section></main>
</body></html>
"""


def _plots(monitor: MonitorCore) -> list[tuple[str, str]]:
    """Captions and PNG data URLs."""
    return [
        ("Where the units drove: entries into each cell", _encode(_heat_map(monitor))),
        ("Order to ship, minutes, shipped orders", _encode(_order_to_ship(monitor))),
        ("Stations: share of time with work in hand", _encode(_stations(monitor))),
        ("Drive units and pods over time", _encode(_activity(monitor))),
    ]


def _figure(width: float, height: float) -> Figure:
    # Imported late: matplotlib takes most of a second, and only reports need it.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", dpi=110)


def _encode(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _heat_map(monitor: MonitorCore) -> Figure:
    grid = monitor.building.grid
    shape = (grid.height, grid.width)
    entries = monitor.tally.entered.reshape(shape).astype(float)
    kind = grid.kind.reshape(shape)
    figure = _figure(8.0, min(7.0, max(2.5, 8.0 * grid.height / grid.width)))
    axes = figure.add_subplot()
    extent = (0.0, grid.width * grid.pitch, 0.0, grid.height * grid.pitch)
    floor = np.where(kind == CellKind.WALL, 0.55, np.where(kind == CellKind.STORAGE, 0.86, 1.0))
    axes.imshow(floor, cmap="gray", vmin=0.0, vmax=1.0, extent=extent)
    shown = np.ma.masked_less_equal(entries, 0.0)
    image = axes.imshow(shown, cmap="inferno_r", extent=extent, alpha=0.9)
    figure.colorbar(image, ax=axes, label="entries", shrink=0.8)
    for station in monitor.building.stations:
        x, y = grid.xy(np.array([station.cell], np.int32))
        axes.plot(x, y, "s", color="#1769aa" if station.kind == "pick" else "#2a9d4a", ms=5)
    for site in monitor.building.lifters:
        x, y = grid.xy(np.array([site.cell], np.int32))
        axes.plot(x, y, "^", color="#d1495b", ms=6)
    axes.set_xlabel("x, m")
    axes.set_ylabel("y, m")
    axes.set_title("blue: pick stations, green: stow stations, red: Robo-Stow hand-offs", size=9)
    return figure


def _order_to_ship(monitor: MonitorCore) -> Figure:
    figure = _figure(8.0, 3.0)
    axes = figure.add_subplot()
    minutes = np.array(monitor.order_to_ship) / 60.0
    if len(minutes):
        axes.hist(minutes, bins=min(40, max(8, len(minutes) // 3)), color="#1769aa")
        for q, style in ((0.5, "-"), (0.9, "--")):
            value = float(np.quantile(minutes, q))
            axes.axvline(value, color="#d1495b", ls=style, label=f"p{q * 100:.0f}: {value:.1f} min")
        axes.legend()
    axes.set_xlabel("order to ship, min")
    axes.set_ylabel("orders")
    return figure


def _stations(monitor: MonitorCore) -> Figure:
    figure = _figure(8.0, 3.0)
    axes = figure.add_subplot()
    if len(monitor.station_busy) <= 6:
        curves = {name: np.array(busy) for name, busy in monitor.station_busy.items()}
    else:
        kinds = {s.id: s.kind for s in monitor.building.stations}
        curves = {
            f"{kind} stations (mean)": np.mean(
                [busy for name, busy in monitor.station_busy.items() if kinds[name] == kind], axis=0
            )
            for kind in ("pick", "stow")
        }
    for name, busy in curves.items():
        minutes = (np.arange(len(busy)) + 1) * SAMPLE / 60.0
        axes.plot(minutes, 100.0 * busy, label=name)
    axes.set_xlabel("time, min")
    axes.set_ylabel("busy, %")
    axes.set_ylim(0.0, 105.0)
    axes.legend(loc="lower right")
    return figure


def _activity(monitor: MonitorCore) -> Figure:
    figure = _figure(8.0, 3.0)
    axes = figure.add_subplot()
    if monitor.activity:
        rows = np.array(monitor.activity)
        minutes = rows[:, 0] / 60.0
        axes.stackplot(
            minutes,
            100.0 * rows[:, 1:4].T,
            labels=("with pod", "on the way, empty", "charging"),
            colors=("#1769aa", "#8ab6d6", "#e0b040"),
        )
        pods = axes.twinx()
        pods.plot(minutes, rows[:, 4], color="#d1495b", lw=1.0)
        pods.set_ylabel("pods off their place", color="#d1495b")
        pods.set_ylim(bottom=0.0)
        axes.legend(loc="upper right")
    axes.set_xlabel("time, min")
    axes.set_ylabel("units, %")
    axes.set_ylim(0.0, 100.0)
    return figure
