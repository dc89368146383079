"""``robo-stow run``: a site over a real ROS 2 graph, all nodes in this process."""

from __future__ import annotations

import argparse
import signal

from robo_stow.cli.inventory import FILE
from robo_stow.cli.site import Progress, add_site_options, conclude, open_site
from robo_stow.errors import no_ros


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "run",
        help="run a site over ROS 2",
        description="Run all nodes of a site in one process over a real ROS 2 graph; "
        "`ros2 topic`, RViz and nodes of your own can join it.",
    )
    add_site_options(parser, ledger=f"{FILE} in the output folder")
    parser.add_argument(
        "--executor",
        choices=("events", "single"),
        default="events",
        help="rclpy executor (default: %(default)s)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run; exit code 1 when there was a conflict or stock was not conserved.

    Raises:
        RoboStowError: ROS 2 or the built workspace is not on the path.
    """
    try:
        from robo_stow_nodes.composition import (
            run_composed,
        )
        from robo_stow_nodes.fleet_simulator import (
            FleetSimulatorNode,
        )

        simulator = FleetSimulatorNode
        if args.sim == "gazebo":
            from robo_stow_nodes.gazebo_link import (
                GazeboLinkNode,
            )

            simulator = GazeboLinkNode
    except ImportError as error:
        raise no_ros(error) from None
    with open_site(args, keep_ledger=True) as warehouse:
        progress = Progress(warehouse.monitor, args.minutes)
        stopped_by = run_composed(
            warehouse,
            args.minutes,
            seed=warehouse.monitor.seed,
            speed=args.speed,
            executor=args.executor,
            simulator=simulator,
            web_port=args.web,
            progress=progress.show,
        )
        progress.end(warehouse.monitor.now)
        code = conclude(args, warehouse, progress.wall_seconds)
    return code if stopped_by is None else 128 + signal.Signals(stopped_by)
