"""``robo-stow bench headline``: walking pickers and this system on the same floor."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robo_stow.bench.headline import (
    LABELS,
    WAYS,
    Study,
    assumption_table,
    energy,
    kept_load,
    load_study,
    marked_load,
    mean_times,
    plot,
    run_cell,
    space,
)
from robo_stow.cells import Cell, Journal, Result, run_cells
from robo_stow.cli.options import count, output_file, positive, write_json, writing
from robo_stow.fulfilment.orderfile import read_order_lines


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "headline",
        help="order to ship, picks and goods against walking pickers on the same floor",
        description="The same orders on the same floor: walking pickers with dedicated and with "
        "class-based shelves, and this system. Goes on where it stood when it was stopped.",
    )
    parser.add_argument("--orders", metavar="CSV", help="order lines (default: the shipped ones)")
    parser.add_argument(
        "--loads", type=_loads, metavar="N,N,..", help="orders an hour (default: the study's)"
    )
    parser.add_argument("--seeds", type=count, default=2, metavar="N", help="1 to N (default: 2)")
    parser.add_argument(
        "--minutes", type=positive, default=60.0, metavar="M", help="counted (default: 60)"
    )
    parser.add_argument(
        "--warm-up", type=positive, default=20.0, metavar="M", help="minutes before (default: 20)"
    )
    parser.add_argument(
        "--jobs", type=count, default=1, metavar="N", help="processes at once (default: 1)"
    )
    parser.add_argument(
        "--out",
        type=output_file,
        metavar="FILE.json",
        help="JSON; the plot lies beside it, and the finished cells until all are "
        "(default: out/bench/headline.json)",
    )
    parser.add_argument(
        "--assumptions", action="store_true", help="print the table of assumptions and end"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run all cells; exit code 1 when there was a conflict or stock was not conserved."""
    orders = None if args.orders is None else str(Path(args.orders).resolve())
    study = load_study(orders)
    if args.assumptions:
        print(assumption_table(study))
        return 0
    read_order_lines(study.building.orders.file)  # a mistake shows now
    out = args.out or Path("out/bench/headline.json")
    shared = {"warm_up": args.warm_up, "minutes": args.minutes, "orders": orders}
    settings = {"building": Path(study.building.source).read_text("utf-8")}
    settings["assumptions"] = assumption_table(study)
    with Journal(out.with_suffix(".cells.jsonl"), {**settings, **shared}) as journal:

        def cells(way: str, load: float) -> list[Cell]:
            seeds = range(1, args.seeds + 1)
            return [{"way": way, "load": load, "seed": seed, **shared} for seed in seeds]

        def compute(wanted: Sequence[Cell]) -> list[Result]:
            return run_cells(run_cell, wanted, journal, jobs=args.jobs, progress=_progress)

        result = measure(study, args.loads or study.loads, cells, compute)
        write_json(out, result)
        journal.remove()
    picture = out.with_suffix(".png")
    with writing(picture):
        plot(result).savefig(picture, dpi=120)
    print(table(result))
    print(f"  results: {out}, {picture.name}", file=sys.stderr)
    return 0 if result["conflicts"] == 0 and result["stock_conserved"] else 1


def measure(study: Study, loads: Sequence[float], cells: Any, compute: Any) -> dict[str, Any]:
    """All that the JSON file holds.

    Args:
        cells: cells of a way and a load.
        compute: results of cells.
    """

    compute([cell for way in WAYS[:2] for load in loads for cell in cells(way, load)])
    marks: dict[str, Any] = {}
    for way in WAYS[:2]:

        def wait(load: float, way: str = way) -> float:
            return mean_times(compute(cells(way, load)))["p50"]

        load = marked_load(wait, min(loads), max(loads), study.article)
        marks[way] = None if load is None else {"load": load}
    marked = sorted({mark["load"] for mark in marks.values() if mark is not None})
    runs = compute([cell for load in (*loads, *marked) for cell in cells("pods", load)])
    found: dict[str, Any] = {
        "title": f"{study.building.name}: {study.walking.pickers} walking pickers, "
        f"or {_stations(study)} at stations",
        "loads": list(loads),
        "article_minutes": list(study.article),
        "goal_minutes": study.goal,
        "curves": {way: [] for way in WAYS},
        "marks": marks,
    }
    for way in WAYS:
        for load in sorted({*loads, *marked}):
            results = compute(cells(way, load))
            row = {"load": load, "order_to_ship_minutes": mean_times(results)}
            for key in results[0]:
                if isinstance(results[0][key], (int, float)) and key != "stock_conserved":
                    row[key] = sum(r[key] for r in results) / len(results)
            rate = row["lines_per_person_hour"] * _people(study, way)
            row["electricity_wh_a_line"] = energy(study, way, rate, row.get("drive_wh_a_line", 0.0))
            found["curves"][way].append(row)
            for mark in marks.values():
                if mark is not None and mark["load"] == load:
                    mark[way] = row["order_to_ship_minutes"]
    full = {way: compute(cells(way, study.overload)) for way in WAYS}
    lines = {way: _mean(results, "lines_per_person_hour") for way, results in full.items()}
    found["lines_per_person_hour"] = lines
    found["lines_per_person_hour_ratio"] = {way: lines["pods"] / lines[way] for way in WAYS[:2]}
    found["most_orders_per_hour"] = {
        way: lines[way] * _people(study, way) / _lines_an_order(full[way]) for way in WAYS
    }
    found["kept"] = _kept(study, loads, cells, compute)
    found["sensitivity"] = _sensitivity(study, lines["pods"], cells, compute)
    found["space"] = space(study)
    every = [*runs, *full["pods"]]
    found["conflicts"] = sum(r["conflicts"] for r in every)
    found["stock_conserved"] = all(r["stock_conserved"] for r in every)
    found["assumptions"] = [vars(row) for row in study.assumptions]
    return found


def _kept(study: Study, loads: Sequence[float], cells: Any, compute: Any) -> dict[str, Any]:
    """Greatest load of each way at which 95 % ship within the goal, and lines a person then.

    On foot it is sought between the loads; of this system it is the greatest load measured.
    """
    goal = study.goal["p95"]
    found: dict[str, Any] = {"p95_minutes": goal}
    for way in WAYS:

        def wait(load: float, way: str = way) -> float:
            return mean_times(compute(cells(way, load)))["p95"]

        if way == "pods":
            load = max((load for load in loads if wait(load) < goal), default=None)
        else:
            load = kept_load(wait, min(loads), max(loads), goal)
        found[way] = None
        if load is not None:
            lines = _mean(compute(cells(way, load)), "lines_ordered_per_hour")
            found[way] = {"load": load, "lines_per_person_hour": lines / _people(study, way)}
    return found


def _sensitivity(study: Study, pods: float, cells: Any, compute: Any) -> list[dict[str, Any]]:
    """What the ends of the plausible ranges would change, one assumption at a time."""
    found = []
    for row in study.assumptions:
        if row.range is None:
            continue
        for value in row.range:
            assume = {row.name: value}
            changed: dict[str, Any] = {"name": row.name, "value": value, "unit": row.unit}
            for way in WAYS[:2]:
                asked = [{**cell, "assume": assume} for cell in cells(way, study.overload)]
                lines = _mean(compute(asked), "lines_per_person_hour")
                changed[way] = {"lines_per_person_hour": lines, "ratio": pods / lines}
            changed["from_floor"] = space(study.assuming(assume))["from_floor"]
            found.append(changed)
    return found


def _mean(results: Sequence[Result], key: str) -> float:
    return float(sum(result[key] for result in results) / len(results))


def _lines_an_order(results: Sequence[Result]) -> float:
    return _mean(results, "lines_ordered_per_hour") / _mean(results, "orders_per_hour")


def table(result: dict[str, Any]) -> str:
    """Order-to-ship by load, then the other figures."""
    lines = [
        "  order to ship, min: p50 / p90 / p95",
        "  orders/h  " + "".join(f"{LABELS[way]:>30}" for way in WAYS),
    ]
    marked = {mark["load"]: way for way, mark in result["marks"].items() if mark is not None}
    for index, row in enumerate(result["curves"]["pods"]):
        shown = f"  {row['load']:8.0f}  "
        for way in WAYS:
            times = result["curves"][way][index]["order_to_ship_minutes"]
            text = " / ".join(f"{times[key]:.1f}" for key in ("p50", "p90", "p95"))
            shown += f"{text:>30}"
        if row["load"] in marked:
            shown += f"  <- {LABELS[marked[row['load']]]} takes the article's time"
        lines.append(shown)
    people, ratio = result["lines_per_person_hour"], result["lines_per_person_hour_ratio"]
    kept = result["kept"]
    lines.append(f"  ... and when 95 % are to ship within {kept['p95_minutes']:.0f} min:")
    for way in WAYS:
        shown = "not at any load"
        if kept[way] is not None:
            shown = (
                f"{kept[way]['lines_per_person_hour']:6.0f}  at {kept[way]['load']:.0f} orders/h"
            )
        lines.append(f"    {LABELS[way]:<30} {shown}")
    for way in WAYS[:2]:
        ratios = [row[way]["ratio"] for row in result["sensitivity"]]
        lines.append(
            f"  over the plausible range of each assumption: {min(ratios):.2f} to "
            f"{max(ratios):.2f} x {LABELS[way]}"
        )
    goods = result["space"]["goods"]
    lines.append("  lines per picker and hour, as many orders as they can do:")
    for way in WAYS:
        times = f"  ({ratio[way]:.2f} x)" if way in ratio else ""
        lines.append(f"    {LABELS[way]:<30} {people[way]:6.0f}{times}")
    lines.append(
        f"  goods on the same floor: {goods['over_dedicated']:.2f} x dedicated shelves, "
        f"{goods['over_classes']:.2f} x class-based ones"
    )
    random = result["space"]["from_random_stow"]
    lines.append(
        f"    of which {result['space']['from_floor']:.2f} x by the floor plan, "
        f"{random['over_dedicated']:.2f} x and {random['over_classes']:.2f} x by random stow"
    )
    lines.append("  electricity, Wh a line (light and drives), by orders/h:")
    for way in WAYS:
        rows = result["curves"][way]
        shown = ", ".join(f"{r['load']:.0f}: {r['electricity_wh_a_line']:.1f}" for r in rows)
        lines.append(f"    {LABELS[way]:<30} {shown}")
    return "\n".join(lines)


def _people(study: Study, way: str) -> int:
    return _stations(study) if way == "pods" else study.walking.pickers


def _stations(study: Study) -> int:
    return sum(station.kind == "pick" for station in study.building.stations)


def _progress(done: int, total: int, cell: Cell, result: Result) -> None:
    times = result["order_to_ship_minutes"]
    print(
        f"{done}/{total}  {cell['way']}, {cell['load']:g} orders/h, seed {cell['seed']}"
        f"{', ' + str(cell['assume']) if 'assume' in cell else ''}: "
        f"p50 {times['p50']:.1f}, p95 {times['p95']:.1f} min",
        file=sys.stderr,
        flush=True,
    )


def _loads(text: str) -> tuple[float, ...]:
    return tuple(positive(part) for part in text.split(","))
