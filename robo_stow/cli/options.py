"""Options that ``run`` and ``simulate`` share, and the line they show while working."""

from __future__ import annotations

import argparse
import math
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robo_stow.floor.building import Building
from robo_stow.monitor import MonitorCore

if TYPE_CHECKING:
    from robo_stow.gazebo.plant import GazeboPlant


def positive(text: str) -> float:
    """A positive finite number (argparse type)."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0.0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return value


def count(text: str) -> int:
    """A whole number of at least 1 (argparse type)."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def add_site_options(parser: argparse.ArgumentParser, minutes: float) -> None:
    """Add the flags by which a site and a run of it are chosen."""
    parser.add_argument("building", help="a shipped building (demo, dupont) or a YAML file")
    parser.add_argument("--units", type=count, metavar="N", help="drive units (default: building)")
    parser.add_argument(
        "--minutes",
        type=positive,
        default=minutes,
        metavar="M",
        help="simulated minutes (default: %(default)g)",
    )
    parser.add_argument("--orders", metavar="CSV", help="order lines (default: the building's)")
    parser.add_argument("--seed", type=int, metavar="S", help="seed (default: the building's)")
    parser.add_argument(
        "--sim",
        choices=("embedded", "gazebo"),
        default="embedded",
        help="what moves: the embedded simulator, or a gzserver 11 of its own, headless "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder of the report (default: out/BUILDING, or out/gazebo)",
    )


def open_plant(
    args: argparse.Namespace, building: Building, seed: int
) -> AbstractContextManager[GazeboPlant | None]:
    """The plant that ``--sim`` names, None for the embedded one; leaving it ends Gazebo.

    Raises:
        GazeboError: Gazebo is not there or does not start.
    """
    if args.sim == "embedded":
        return nullcontext()
    # Needs packages that the embedded simulator does without.
    from robo_stow.gazebo.plant import GazeboPlant

    return GazeboPlant(building, seed, args.orders)


def output_folder(args: argparse.Namespace, building: Building) -> Path:
    """Folder of the report."""
    given: Path | None = args.out
    return given or Path("out") / ("gazebo" if args.sim == "gazebo" else building.name)


class Progress:
    """One line of live figures, rewritten in place on a terminal, every 10 s elsewhere."""

    def __init__(self, monitor: MonitorCore, minutes: float) -> None:
        self._monitor = monitor
        self._minutes = minutes
        self._started = time.monotonic()
        self._shown = -math.inf
        self._live = sys.stderr.isatty()

    @property
    def wall_seconds(self) -> float:
        """Time since the start, s."""
        return time.monotonic() - self._started

    def show(self, now: float, *, force: bool = False) -> None:
        """Show the figures at simulated time ``now`` (s), unless they were shown just before."""
        wall = self.wall_seconds
        if not force and wall - self._shown < (0.25 if self._live else 10.0):
            return
        self._shown = wall
        line = self._line(self._monitor.figures(), now, wall)
        if self._live:
            sys.stderr.write("\r\033[K" + line)
        else:
            sys.stderr.write(line + "\n")
        sys.stderr.flush()

    def end(self, now: float) -> None:
        """Show the last figures and leave the line."""
        self.show(now, force=True)
        if self._live:
            sys.stderr.write("\n")

    def _line(self, figures: dict[str, Any], now: float, wall: float) -> str:
        return (
            f"{now / 60.0:6.1f}/{self._minutes:g} min  "
            f"orders {figures['orders_shipped']}/{figures['orders_received']} shipped  "
            f"lines {figures['lines_picked']}  stowed {figures['units_stowed']}  "
            f"stations {100.0 * figures['station_busy']:.0f} %  "
            f"units {100.0 * figures['unit_utilisation']:.0f} %  "
            f"conflicts {figures['conflicts']}  {now / max(wall, 1e-9):.0f}x"
        )
