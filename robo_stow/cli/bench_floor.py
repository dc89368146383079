"""``robo-stow bench floor``: pod trips on a building, and what congestion costs them."""

from __future__ import annotations

import argparse
import sys
import time

from robo_stow.bench.floor import WARM_UP, run_floor
from robo_stow.cli.options import add_figures_option, count, positive, seed, show_figures
from robo_stow.errors import InputError
from robo_stow.floor.load import load_building, show_warnings

SHOWN = 5.0
"""Seconds between lines of progress."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "floor",
        help="pod trips on a building, planner alone",
        description="Plan pod trips (storage, station lane, storage) without end on a building, "
        f"after {WARM_UP} steps of warm-up; people take no time. Prints one JSON object: pods an "
        "hour and unit, share of what every unit would do alone, conflicts found by the "
        "independent checker, planning milliseconds a step.",
    )
    parser.add_argument("building", help="a shipped building (demo, dupont) or a YAML file")
    parser.add_argument("--units", type=count, metavar="N", help="drive units (default: building)")
    parser.add_argument(
        "--steps", type=count, default=1000, metavar="N", help="measured (default: %(default)d)"
    )
    parser.add_argument(
        "--budget-ms",
        type=positive,
        metavar="B",
        help="thread CPU milliseconds a step (default: the building's)",
    )
    parser.add_argument("--seed", type=seed, metavar="S", help="seed (default: the building's)")
    add_figures_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the benchmark; exit code 1 when there was a conflict."""
    building = load_building(args.building, units=args.units)
    show_warnings(building)
    if building.pods < building.units:
        raise InputError(
            *(args.building, "units", building.units),
            f"every unit carries a pod, and the building has {building.pods} pods",
        )
    shown = time.monotonic()

    def progress(step: int, delivered: int) -> None:
        nonlocal shown
        if time.monotonic() - shown >= SHOWN:
            shown = time.monotonic()
            print(
                f"step {step} of {WARM_UP + args.steps}: {delivered} pods delivered",
                file=sys.stderr,
                flush=True,
            )

    figures = run_floor(
        building,
        steps=args.steps,
        budget_ms=building.traffic.budget * 1e3 if args.budget_ms is None else args.budget_ms,
        seed=building.seed if args.seed is None else args.seed,
        progress=progress,
    )
    show_figures(figures, args.out)
    return 1 if figures["conflicts"] or figures["rejected_steps"] else 0
