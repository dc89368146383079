"""``robo-stow simulate``: a site without a ROS graph, as fast as it goes."""

from __future__ import annotations

import argparse

from robo_stow.cli.site import Progress, add_site_options, conclude, open_site
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
        try:
            simulate(warehouse, args.minutes, progress.show)
        except KeyboardInterrupt:
            stopped = True
        progress.end(warehouse.monitor.now)
        code = conclude(args, warehouse, progress.wall_seconds)
    return 130 if stopped else code
