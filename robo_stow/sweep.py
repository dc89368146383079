"""Studies over fleet sizes, stations, rules and seeds: what more of each is worth.

A cell is one run of the embedded simulator. Throughput is counted after a warm-up, while orders
come faster than they can be handled if the study wants the capacity (``orders.orders_per_hour``).
"""

from __future__ import annotations

import csv
import itertools
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from robo_stow.cells import Cell, Result
from robo_stow.errors import InputError
from robo_stow.floor.building import Building
from robo_stow.floor.layout import SIDES
from robo_stow.floor.load import building_from_text, building_text, find_building
from robo_stow.simulate import QuickLoop
from robo_stow.warehouse import build_warehouse

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURES = (
    "lines_per_hour",
    "orders_per_hour",
    "lines_per_station_hour",
    "lines_per_unit_hour",
    "pile_on",
    "station_busy",
    "order_to_ship_p50",
    "order_to_ship_p90",
    "conflicts",
)
KNEE_SHARE = 0.95
"""The knee is the smallest fleet with this share of the best throughput."""


def grid(
    building: str,
    *,
    units: Sequence[int] = (),
    stations: Sequence[int] = (),
    rules: Mapping[str, Sequence[Any]] | None = None,
    seeds: int = 1,
) -> list[Cell]:
    """Cells of a full factorial study, those with the same seed next to each other.

    Args:
        building: name of a shipped building or path of a file.
        units: fleet sizes; none: the building's own.
        stations: numbers of pick stations; none: the building's own.
        rules: values of fields of the building file, by dotted name.
        seeds: 1 to this number.
    """
    axes: list[tuple[str, Sequence[Any]]] = []
    if units:
        axes.append(("units", units))
    if stations:
        axes.append(("stations", stations))
    axes += [(name, values) for name, values in (rules or {}).items()]
    names = [name for name, _ in axes]
    return [
        {"building": building, "set": dict(zip(names, values, strict=True)), "seed": seed}
        for seed in range(1, seeds + 1)
        for values in itertools.product(*(values for _, values in axes))
    ]


@lru_cache(maxsize=8)
def _text(name: str) -> tuple[str, str]:
    path = find_building(name)
    text = building_text(path)
    building_from_text(text, str(path))  # sound as it is: what changes it may rely on its fields
    return text, str(path)


def variant(name: str, settings: Mapping[str, Any]) -> Building:
    """A building with some fields of its file changed.

    Args:
        settings: values by dotted name of the field; ``units`` and ``stations`` (pick stations of a
            generated layout) for short.

    Raises:
        InputError: there is no such building or field, or a value cannot be used.
    """
    text, source = _text(name)
    raw = yaml.safe_load(text)
    for field, value in settings.items():
        if field == "stations":
            _set_stations(raw, source, int(value))
            continue
        *parts, last = field.split(".")
        section = raw
        for part in parts:
            section = section.get(part) if isinstance(section, dict) else None
        if not isinstance(section, dict) or last not in section:
            raise InputError(source, field, value, "is not a field of the building")
        section[last] = value
    return building_from_text(yaml.safe_dump(raw), source)


def _set_stations(raw: dict[str, Any], source: str, stations: int) -> None:
    """As many pick stations in all, spread evenly over the places where some stand now."""
    layout = raw.get("layout")
    if not isinstance(layout, dict):
        raise InputError(source, "stations", stations, "can be changed in a generated layout only")
    places = [
        (side, index)
        for side in SIDES
        for index, bay in enumerate(layout[side])
        if re.fullmatch(r"pick( x \d+)?", bay)
    ]
    for number, (side, index) in enumerate(places):
        share = stations // len(places) + (number < stations % len(places))
        layout[side][index] = f"pick x {share}" if share else None
    for side in SIDES:
        layout[side] = [bay for bay in layout[side] if bay is not None]


def run_cell(cell: Cell) -> Result:
    """One run; the `FIGURES` count what was done after ``warm_up`` minutes.

    Raises:
        InputError: the cell names something that cannot be used.
    """
    began = time.perf_counter()
    building = variant(cell["building"], cell["set"])
    if cell.get("orders"):
        building = replace(building, orders=replace(building.orders, file=cell["orders"]))
    warehouse = build_warehouse(building, cell["seed"])
    monitor, loop = warehouse.monitor, QuickLoop(warehouse.cores)
    keys = ("lines_picked", "units_picked", "pods_handled", "orders_shipped")

    def run(minutes: float) -> dict[str, float]:
        for _ in loop.run(minutes * 60.0, every=60.0):
            pass
        figures = monitor.figures()
        return {key: figures[key] for key in keys} | {"busy": monitor.pick_busy}

    before = run(cell["warm_up"]) if cell["warm_up"] else dict.fromkeys((*keys, "busy"), 0.0)
    shipped = len(monitor.order_to_ship)
    after = run(cell["minutes"])
    done = {key: after[key] - before[key] for key in after}
    hours = cell["minutes"] / 60.0
    stations = sum(station.kind == "pick" for station in building.stations)
    waits = np.array(monitor.order_to_ship[shipped:]) / 60.0
    p50, p90 = np.quantile(waits, (0.5, 0.9)).tolist() if len(waits) else (None, None)
    return {
        "units": building.units,
        "stations": stations,
        "lines_per_hour": done["lines_picked"] / hours,
        "orders_per_hour": done["orders_shipped"] / hours,
        "lines_per_station_hour": done["lines_picked"] / hours / stations,
        "lines_per_unit_hour": done["lines_picked"] / hours / building.units,
        "pile_on": done["units_picked"] / max(done["pods_handled"], 1.0),
        "station_busy": done["busy"] / (hours * 3600.0 * stations),
        "order_to_ship_p50": p50,
        "order_to_ship_p90": p90,
        "conflicts": monitor.conflicts,
        "stock_conserved": not warehouse.inventory.audit(),
        "wall_seconds": round(time.perf_counter() - began, 2),
    }


def group(cells: Sequence[Cell], results: Sequence[Result]) -> list[dict[str, Any]]:
    """Mean, least and largest of each figure over the seeds of one setting, in order of cells."""
    groups: dict[str, tuple[Cell, list[Result]]] = {}
    for cell, result in zip(cells, results, strict=True):
        groups.setdefault(repr(cell["set"]), (cell, []))[1].append(result)
    found = []
    for cell, runs in groups.values():
        row: dict[str, Any] = {
            "set": dict(cell["set"]),
            "units": runs[0]["units"],
            "stations": runs[0]["stations"],
            "seeds": len(runs),
        }
        for figure in FIGURES:
            values = [run[figure] for run in runs if run[figure] is not None]
            if values:
                row[figure] = {
                    "mean": float(np.mean(values)),
                    "min": float(min(values)),
                    "max": float(max(values)),
                }
        found.append(row)
    return found


def curves(rows: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Rows by what is set besides the fleet, each in order of fleet size."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        rest = {name: value for name, value in row["set"].items() if name != "units"}
        label = ", ".join(f"{name} {value}" for name, value in rest.items())
        found.setdefault(label, []).append(row)
    for label in found:
        found[label].sort(key=lambda row: int(row["units"]))
    return found


def knee(curve: Sequence[dict[str, Any]]) -> int | None:
    """Smallest fleet with `KNEE_SHARE` of the curve's best throughput; None on a single point.

    The largest fleet that was tried may be the answer: then more units might still be worth it.
    """
    if len(curve) < 2:
        return None
    best = max(row["lines_per_hour"]["mean"] for row in curve)
    return next(
        int(row["units"]) for row in curve if row["lines_per_hour"]["mean"] >= KNEE_SHARE * best
    )


def write_csv(path: Path, cells: Sequence[Cell], results: Sequence[Result]) -> None:
    """One row a cell."""
    names = list(dict.fromkeys(name for cell in cells for name in cell["set"]))
    columns = [name for name in names if name not in ("units", "stations")]
    keys = list(results[0]) if results else []
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["building", "seed", *columns, *keys])
        for cell, result in zip(cells, results, strict=True):
            settings = [cell["set"].get(name) for name in columns]
            writer.writerow(
                [cell["building"], cell["seed"], *settings, *(result[key] for key in keys)]
            )


def plot(rows: Sequence[dict[str, Any]], title: str) -> Figure:
    """Throughput against units, a line for each other setting, with the knees marked."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for label, curve in curves(rows).items():
        units = [row["units"] for row in curve]
        mean, low, high = (
            np.array([row["lines_per_hour"][key] for row in curve])
            for key in ("mean", "min", "max")
        )
        line = axes.errorbar(
            units, mean, (mean - low, high - mean), marker="o", capsize=3, label=label or None
        )
        at = knee(curve)
        if at is not None:
            index = units.index(at)
            colour = line.lines[0].get_color()
            last = index == len(units) - 1
            axes.plot(at, mean[index], "o", ms=14, mfc="none", mec=colour, mew=2)
            axes.annotate(
                f"{at} units" + (" or more" if last else ""),
                (at, float(mean[index])),
                xytext=(8, -22),
                textcoords="offset points",
                color=colour,
            )
    axes.set_xlabel("drive units")
    axes.set_ylabel("order lines an hour")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.set_title(f"{title}; ring: fewest units with {KNEE_SHARE:.0%} of the best")
    if any(curves(rows)):
        axes.legend()
    return figure
