"""``robo-stow simulate``: a site without a ROS graph, as fast as it goes."""

from __future__ import annotations

import argparse
import sys
import time

from robo_stow.cli.options import Progress, add_site_options, open_plant, output_folder
from robo_stow.floor.load import load_building
from robo_stow.report import build_report, format_table, write_report
from robo_stow.simulate import simulate
from robo_stow.warehouse import build_warehouse


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "simulate",
        help="run a site without ROS, as fast as it goes",
        description="Run the cores of a site in one loop; equal seeds give equal runs.",
    )
    add_site_options(parser, minutes=10.0)
    parser.add_argument(
        "--database",
        default="sqlite://",
        metavar="URL",
        help="ledger, as a SQLAlchemy URL (default: in memory)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Simulate; exit code 1 when there was a conflict or stock was not conserved."""
    building = load_building(args.building, units=args.units)
    seed = building.seed if args.seed is None else args.seed
    with open_plant(args, building, seed) as plant:
        warehouse = build_warehouse(
            building,
            seed,
            database=args.database,
            orders_file=args.orders,
            clock=time.perf_counter,
            plant=plant,
        )
        monitor = warehouse.monitor
        progress = Progress(monitor, args.minutes)
        stopped = False
        try:
            simulate(warehouse, args.minutes, progress.show)
        except KeyboardInterrupt:
            stopped = True
        progress.end(monitor.now)
        report = build_report(
            monitor,
            wall_seconds=progress.wall_seconds,
            planner_ms=warehouse.traffic.planner_ms,
            conserved=not warehouse.inventory.audit(),
        )
        if plant is not None:
            report |= plant.figures(monitor.now, progress.wall_seconds)
        out = output_folder(args, building)
        write_report(report, monitor, out)
        print(format_table(report))
        print(f"  report: {out / 'report.html'}", file=sys.stderr)
    if stopped:
        return 130
    return 0 if report["conflicts"] == 0 and report["stock_conserved"] else 1
