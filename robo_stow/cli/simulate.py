"""``robo-stow simulate``: a site without a ROS graph, as fast as it goes."""

from __future__ import annotations

import argparse
import time

from robo_stow.cli.site import Progress, add_site_options, conclude, control_room, open_site
from robo_stow.simulate import simulate


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "simulate",
        help="run a site without ROS, as fast as it goes",
        description="Run the cores of a site in one loop; equal seeds give equal runs.",
    )
    add_site_options(parser, ledger="in memory")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Simulate; exit code 1 when there was a conflict or stock was not conserved."""
    with open_site(args, keep_ledger=False) as warehouse:
        progress = Progress(warehouse.monitor, args.minutes)
        stopped = False
        with control_room(warehouse.monitor, args.web) as show:

            def on_second(now: float) -> None:
                progress.show(now)
                show()
                if args.speed is not None:
                    time.sleep(max(0.0, now / args.speed - progress.wall_seconds))

            try:
                simulate(warehouse, args.minutes, on_second)
            except KeyboardInterrupt:
                stopped = True
        progress.end(warehouse.monitor.now)
        code = conclude(args, warehouse, progress.wall_seconds)
    return 130 if stopped else code
