"""``robo-stow run``: a site over a real ROS 2 graph, all nodes in this process."""

from __future__ import annotations

import argparse
import signal
import sys
import time

from robo_stow.cli.options import (
    Progress,
    add_site_options,
    open_plant,
    output_folder,
    positive,
)
from robo_stow.errors import RoboStowError
from robo_stow.floor.load import load_building
from robo_stow.report import build_report, format_table, write_report
from robo_stow.warehouse import build_warehouse


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "run",
        help="run a site over ROS 2",
        description="Run all nodes of a site in one process over a real ROS 2 graph; "
        "`ros2 topic`, RViz and nodes of your own can join it.",
    )
    add_site_options(parser, minutes=10.0)
    parser.add_argument(
        "--speed",
        type=positive,
        metavar="X",
        help="simulated seconds per second, at most (default: as fast as the nodes follow)",
    )
    parser.add_argument(
        "--executor",
        choices=("events", "single"),
        default="events",
        help="rclpy executor (default: %(default)s)",
    )
    parser.add_argument(
        "--database",
        default="sqlite://",
        metavar="URL",
        help="ledger, as a SQLAlchemy URL (default: in memory)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run; exit code 1 when there was a conflict or stock was not conserved.

    Raises:
        RoboStowError: ROS 2 or the built workspace is not on the path.
    """
    try:
        from robo_stow_nodes.composition import (  # type: ignore[import-not-found, unused-ignore]
            run_composed,
        )
        from robo_stow_nodes.fleet_simulator import (  # type: ignore[import-not-found, unused-ignore]
            FleetSimulatorNode,
        )

        simulator = FleetSimulatorNode
        if args.sim == "gazebo":
            from robo_stow_nodes.gazebo_link import (  # type: ignore[import-not-found, unused-ignore]
                GazeboLinkNode,
            )

            simulator = GazeboLinkNode
    except ImportError as error:
        raise RoboStowError(
            f"ROS 2 or the built workspace is not there ({error}); run `make setup` and use "
            ".venv/bin/robo-stow, or source install/setup.bash"
        ) from None
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
        stopped_by = run_composed(
            warehouse,
            args.minutes,
            seed=seed,
            speed=args.speed,
            executor=args.executor,
            simulator=simulator,
            progress=progress.show,
        )
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
    if stopped_by is not None:
        return 128 + signal.Signals(stopped_by)
    return 0 if report["conflicts"] == 0 and report["stock_conserved"] else 1
