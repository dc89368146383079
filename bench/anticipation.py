"""Anticipation on and off: what a forecast of the day's orders is worth to the building.

Each of `DAYS` trading days of the order file is lived twice, on the same seed: the building has
the stock and the pods' places of any morning; after `QUIET` minutes without orders they come for
`MINUTES`. With anticipation, fulfilment knows what `robo_stow.forecast` expects from the days
before, and idle units bring pods to better places before the orders come; without, it learns from
the orders as they come.

The rate of orders is the building's (the shop's day, compressed). Needs order lines of months:
``ROBO_STOW_ORDERS=orders.csv.gz python bench/anticipation.py``. Writes
``out/bench/anticipation.json`` and goes on where it stood when it was stopped.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from robo_stow.bench.headline import Meter
from robo_stow.cells import Cell, Journal, Result, run_cells
from robo_stow.cli.answer import answer
from robo_stow.floor.load import load_building
from robo_stow.forecast.demand import DAY, daily_demand
from robo_stow.forecast.plan import expected_lines
from robo_stow.fulfilment.orderfile import OrderLines, read_order_lines
from robo_stow.fulfilment.orders import OrderStream
from robo_stow.inventory.catalogue import Catalogue
from robo_stow.messages import OrderArrived
from robo_stow.sim.plant import Plant
from robo_stow.simulate import quickest_loop
from robo_stow.warehouse import build_warehouse

OUT = Path("out/bench/anticipation.json")
BUILDING = os.environ.get("ROBO_STOW_BUILDING", "demo")
DAYS = 4
"""Last trading days of the file but one week each apart."""
APART = 6
FROM = 0.3
"""Share of the day that has passed: its first hours bring few orders."""
QUIET = 12.0
MINUTES = 28.0
FIGURES = ("p50", "p90", "p95", "cells_a_line", "drive_wh_a_line", "lines_a_pod", "lines")


def write_lines(path: Path, lines: OrderLines) -> None:
    """An order file."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["InvoiceNo", "StockCode", "Quantity", "InvoiceDate", "kind"])
        stamps = np.datetime_as_string(lines.time.astype("datetime64[s]"))
        for row in zip(lines.order, lines.sku, lines.quantity, stamps, strict=True):
            writer.writerow([*row, "sale"])


def of_day(lines: OrderLines, day: int, skus: set[str]) -> OrderLines:
    """Lines of one day, of SKUs that are known."""
    return lines.select((lines.time // DAY == day) & np.isin(lines.sku, sorted(skus)))


def run_cell(cell: Cell) -> Result:
    """One day, with or without anticipation."""
    lines = read_order_lines(cell["orders"])
    past = lines.select(lines.time < cell["day"] * DAY)
    expected = expected_lines(daily_demand(past)) if cell["anticipation"] else None
    with tempfile.TemporaryDirectory() as folder:
        history, today = Path(folder) / "history.csv", Path(folder) / "today.csv"
        write_lines(history, past)
        building = load_building(cell["building"], orders=str(history))
        goods = Catalogue.from_orders(building, building.seed)
        write_lines(today, of_day(lines, cell["day"], set(goods.sku)))
        stream = OrderStream(replace(building.orders, file=str(today)), building.seed)

        def orders() -> Iterator[OrderArrived]:
            later = QUIET * 60.0 - FROM * stream.period
            for order in islice(stream, len(stream)):  # the day once
                if order.stamp < FROM * stream.period:
                    continue
                yield replace(order, stamp=order.stamp + later, due=order.due + later)

        warehouse = build_warehouse(
            building,
            building.seed,
            plant=Plant(building, building.seed, orders=orders()),
            catalogue=goods,
            expected=expected,
        )
    monitor, meter = warehouse.monitor, Meter(building)
    loop = quickest_loop((*warehouse.cores, meter))
    for _ in loop.run((QUIET + MINUTES) * 60.0, every=60.0):
        pass
    figures = monitor.figures()
    waits = np.array(monitor.order_to_ship) / 60.0
    count = max(figures["lines_picked"], 1)
    p50, p90, p95 = np.quantile(waits, (0.5, 0.9, 0.95)).tolist()
    return {
        "p50": p50,
        "p90": p90,
        "p95": p95,
        "lines": figures["lines_picked"],
        "orders_shipped": figures["orders_shipped"],
        "cells_a_line": float(monitor.tally.entered.sum()) / count,
        "drive_wh_a_line": meter.watt_hours / count,
        "lines_a_pod": count / max(figures["pods_handled"], 1),
        "conflicts": monitor.conflicts,
        "stock_conserved": not warehouse.inventory.audit(),
    }


def main() -> None:
    """Measure and write the result."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    file = os.environ.get("ROBO_STOW_ORDERS")
    if file is None:
        print("bench: ROBO_STOW_ORDERS names no order file of months, anticipation not measured")
        return
    days = np.unique(read_order_lines(file).time // DAY).astype(int)[::-APART][:DAYS].tolist()
    cells: list[dict[str, Any]] = [
        {"building": BUILDING, "orders": file, "day": day, "anticipation": on}
        for day in days
        for on in (False, True)
    ]
    with Journal(OUT.with_suffix(".cells.jsonl"), {"minutes": [QUIET, MINUTES]}) as journal:
        results = run_cells(
            run_cell,
            cells,
            journal,
            jobs=1,
            progress=lambda done, all_, *_: print(done, "of", all_),
        )
    off, on = results[::2], results[1::2]
    found: dict[str, Any] = {"building": BUILDING, "days": days}
    for key in FIGURES:
        without = np.array([run[key] for run in off])
        change = np.array([run[key] for run in on]) / without - 1.0
        found[key] = {
            "without": round(float(without.mean()), 4),
            "with": round(float(np.mean([run[key] for run in on])), 4),
            "change": round(float(change.mean()), 4),
            "change_by_day": [round(float(one), 4) for one in change],
            "standard_error": round(float(change.std(ddof=1) / len(change) ** 0.5), 4),
        }
    found["conflicts"] = sum(run["conflicts"] for run in results)
    found["stock_conserved"] = all(run["stock_conserved"] for run in results)
    OUT.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    OUT.with_suffix(".cells.jsonl").unlink()
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    sys.exit(answer("bench", main))
