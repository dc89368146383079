"""``robo-stow sweep``: studies over fleet sizes, stations, rules and seeds."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from robo_stow.cells import Cell, Journal, Result, run_cells
from robo_stow.cli.options import count, positive, write_json, writing
from robo_stow.floor.load import building_text, find_building
from robo_stow.fulfilment.orderfile import read_order_lines
from robo_stow.sweep import curves, grid, group, knee, plot, run_cell, variant, write_csv


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "sweep",
        help="runs over fleet sizes, stations, rules and seeds",
        description="Run every combination of the values given, in the embedded simulator. A study "
        "that was stopped goes on where it stood when the same command is given again.",
    )
    parser.add_argument("building", help="a shipped building (demo, dupont) or a YAML file")
    parser.add_argument("--units", type=_counts, default=(), metavar="N,N,..", help="fleet sizes")
    parser.add_argument(
        "--stations", type=_counts, default=(), metavar="N,N,..", help="numbers of pick stations"
    )
    parser.add_argument(
        "--set",
        type=_rule,
        action="append",
        default=[],
        metavar="FIELD=V,V,..",
        help="values of a field of the building file, e.g. fulfilment.slots=4,8; may be repeated",
    )
    parser.add_argument("--seeds", type=count, default=3, metavar="N", help="1 to N (default: 3)")
    parser.add_argument(
        "--minutes", type=positive, default=30.0, metavar="M", help="measured (default: 30)"
    )
    parser.add_argument(
        "--warm-up", type=positive, default=10.0, metavar="M", help="minutes before (default: 10)"
    )
    parser.add_argument("--orders", metavar="CSV", help="order lines (default: the building's)")
    parser.add_argument(
        "--jobs", type=count, metavar="N", help="processes at once (default: one a core)"
    )
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="compute on a Dask cluster, e.g. tcp://10.0.0.1:8786"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="results (default: out/sweep/BUILDING)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Compute what is missing; exit code 1 when a run had a conflict or lost stock."""
    rules = dict(args.set)
    path = find_building(args.building)
    orders = None if args.orders is None else str(Path(args.orders).resolve())
    shared = {"minutes": args.minutes, "warm_up": args.warm_up, "orders": orders}
    cells = [
        {**cell, **shared}
        for cell in grid(
            str(path.resolve()) if path == Path(args.building) else args.building,
            units=args.units,
            stations=args.stations,
            rules=rules,
            seeds=args.seeds,
        )
    ]
    for cell in cells[: len(cells) // args.seeds]:
        building = variant(cell["building"], cell["set"])  # a mistake shows now, not hours later
        read_order_lines(orders or building.orders.file)
    out = args.out or Path("out") / "sweep" / path.stem
    study = {"building": building_text(path), **shared}
    with Journal(out / "cells.jsonl", study) as journal:
        known = sum(journal.get(cell) is not None for cell in cells)
        if known:
            print(f"{known} of {len(cells)} cells are known", file=sys.stderr, flush=True)
        results = run_cells(
            run_cell,
            cells,
            journal,
            jobs=-1 if args.jobs is None else args.jobs,
            scheduler=args.scheduler,
            progress=_Progress(known),
        )
    rows = group(cells, results)
    knees = {label: knee(curve) for label, curve in curves(rows).items()}
    summary = {"building": path.stem, **shared, "settings": rows, "knee": knees}
    figure = plot(rows, f"{path.stem}, {args.seeds} seed{'s' * (args.seeds > 1)}")
    with writing(out):
        write_csv(out / "sweep.csv", cells, results)
        figure.savefig(out / "sweep.png", dpi=120)
    write_json(out / "sweep.json", summary)
    print(table(rows))
    print(f"  results: {out / 'sweep.csv'}, sweep.json, sweep.png", file=sys.stderr)
    sound = all(r["conflicts"] == 0 and r["stock_conserved"] for r in results)
    return 0 if sound else 1


def table(rows: list[dict[str, Any]]) -> str:
    """A line for each setting."""
    lines = [f"  {'lines/h':>8} {'to ship':>9} {'busy':>6} {'units':>6} {'stations':>8}  setting"]
    for row in rows:
        rest = {k: v for k, v in row["set"].items() if k not in ("units", "stations")}
        waits = row.get("order_to_ship_p50")
        lines.append(
            f"  {row['lines_per_hour']['mean']:8.0f} "
            f"{'-' if waits is None else format(waits['mean'], '5.1f'):>5} min "
            f"{row['station_busy']['mean']:6.0%} {row['units']:6} {row['stations']:8}  "
            + ", ".join(f"{name}={value}" for name, value in rest.items())
        )
    return "\n".join(lines)


class _Progress:
    """A line for each cell, with the time that is left."""

    def __init__(self, known: int) -> None:
        self._known = known
        self._began = time.monotonic()

    def __call__(self, done: int, total: int, cell: Cell, result: Result) -> None:
        wall = time.monotonic() - self._began
        left = wall / (done - self._known) * (total - done)
        settings = " ".join(f"{name}={value}" for name, value in cell["set"].items())
        print(
            f"{done}/{total}  {settings} seed={cell['seed']}: "
            f"{result['lines_per_hour']:.0f} lines/h; about {left / 60.0:.1f} min left",
            file=sys.stderr,
            flush=True,
        )


def _counts(text: str) -> tuple[int, ...]:
    return tuple(count(part) for part in text.split(","))


def _rule(text: str) -> tuple[str, tuple[Any, ...]]:
    field, equals, values = text.partition("=")
    if not (field and equals and values):
        raise argparse.ArgumentTypeError(f"{text!r} is not FIELD=VALUE,VALUE,..")
    try:
        return field, tuple(yaml.safe_load(value) for value in values.split(","))
    except yaml.YAMLError:
        raise argparse.ArgumentTypeError(f"a value of {text!r} cannot be read") from None
