"""What ``run`` and ``simulate`` share: choosing a site, showing progress, writing the report."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robo_stow.cli.inventory import FILE
from robo_stow.cli.options import count, port, positive, seed, writing
from robo_stow.errors import InputError
from robo_stow.floor.building import Building
from robo_stow.floor.load import load_building, show_warnings
from robo_stow.forecast.plan import expected_from
from robo_stow.forecast.purchasing import purchasing_from
from robo_stow.inventory.database import parse_url
from robo_stow.monitor import MonitorCore
from robo_stow.report import build_report, format_table, write_report
from robo_stow.sim.plant import Plant
from robo_stow.warehouse import Warehouse, build_warehouse

if TYPE_CHECKING:
    from robo_stow.gazebo.plant import GazeboPlant


def add_site_options(parser: argparse.ArgumentParser, *, ledger: str) -> None:
    """Add the flags by which a site and a run of it are chosen.

    Args:
        ledger: where the ledger is kept by default, for the help text.
    """
    parser.add_argument("building", help="a shipped building (demo, dupont) or a YAML file")
    parser.add_argument("--units", type=count, metavar="N", help="drive units (default: building)")
    parser.add_argument(
        "--minutes",
        type=positive,
        default=20.0,
        metavar="M",
        help="simulated minutes (default: %(default)g)",
    )
    parser.add_argument("--orders", metavar="CSV", help="order lines (default: the building's)")
    parser.add_argument(
        "--history",
        metavar="CSV",
        help="order lines of days before: what they lead to expect is anticipated, and pallets "
        "bring what falls to its reorder point",
    )
    parser.add_argument("--seed", type=seed, metavar="S", help="seed (default: the building's)")
    parser.add_argument(
        "--sim",
        choices=("embedded", "gazebo"),
        default="embedded",
        help="what moves: the embedded simulator, or a gzserver 11 of its own, headless "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--database",
        metavar="URL",
        help=f"an empty ledger, as a SQLAlchemy URL (default: {ledger})",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder of the report (default: out/BUILDING, or out/gazebo)",
    )
    parser.add_argument(
        "--speed",
        type=positive,
        metavar="X",
        help="simulated seconds per second, at most (default: as fast as it goes)",
    )
    parser.add_argument(
        "--web",
        type=port,
        metavar="PORT",
        help="serve the control room, a live page, at http://127.0.0.1:PORT/",
    )


@contextmanager
def open_site(args: argparse.Namespace, *, keep_ledger: bool) -> Iterator[Warehouse]:
    """The site that the options name; leaving it ends Gazebo, if that is its plant.

    Args:
        keep_ledger: without ``--database``, keep the ledger in the output folder (anew for each
            run) instead of in memory.

    Raises:
        InputError: an option names something that cannot be used.
        GazeboError: Gazebo is not there or does not start.
    """
    building = load_building(args.building, units=args.units, orders=args.orders)
    show_warnings(building)
    chosen = building.seed if args.seed is None else args.seed
    args.out = args.out or Path("out") / ("gazebo" if args.sim == "gazebo" else building.name)
    with writing(args.out):
        args.out.mkdir(parents=True, exist_ok=True)
        if args.database is None and keep_ledger:
            for old in args.out.glob(FILE + "*"):  # with its write-ahead log
                old.unlink()
    database = args.database or (f"sqlite:///{args.out / FILE}" if keep_ledger else "sqlite://")
    with _plant(args.sim, building, chosen, args.history) as plant:
        warehouse = build_warehouse(
            building,
            chosen,
            database=database,
            clock=time.perf_counter,
            plant=plant,
            expected=None if args.history is None else expected_from(args.history),
        )
        if not warehouse.inventory.fresh:
            raise InputError(
                "command line",
                "--database",
                parse_url(args.database).render_as_string(),  # without its password
                "holds the stock of an earlier run, but a simulated building starts anew: "
                "name an empty database",
            )
        yield warehouse


def conclude(args: argparse.Namespace, warehouse: Warehouse, wall_seconds: float) -> int:
    """Write and print the report; returns 1 on a conflict or lost stock, else 0."""
    monitor = warehouse.monitor
    report = build_report(
        monitor,
        wall_seconds=wall_seconds,
        planner_ms=warehouse.traffic.planner_ms,
        conserved=not warehouse.inventory.audit(),
    )
    if not isinstance(warehouse.plant, Plant):  # Gazebo adds what it has measured
        report |= warehouse.plant.figures(monitor.now, wall_seconds)
    with writing(args.out):
        write_report(report, monitor, args.out)
    print(format_table(report))
    print(f"  report: {args.out / 'report.html'}", file=sys.stderr)
    return 0 if report["conflicts"] == 0 and report["stock_conserved"] else 1


def _plant(
    sim: str, building: Building, seed: int, history: str | None
) -> AbstractContextManager[GazeboPlant | Plant | None]:
    """The plant that ``--sim`` names; None: embedded, and pallets come by chance."""
    if sim == "embedded":
        if history is None:
            return nullcontext()
        bought = purchasing_from(history, building, seed)
        return nullcontext(Plant(building, seed, purchasing=bought))
    # Needs packages that the embedded simulator does without.
    from robo_stow.gazebo.plant import GazeboPlant

    return GazeboPlant(building, seed)


@contextmanager
def control_room(monitor: MonitorCore, port: int | None) -> Iterator[Callable[[], None]]:
    """The control room's page, if a port is given; gives what keeps it up to date.

    Raises:
        InputError: the port cannot be had.
    """
    if port is None:
        yield lambda: None
        return
    from robo_stow.web.server import ControlRoom  # only who wants the page pays for its library

    room = ControlRoom(monitor, port)
    print(f"control room: {room.url}", file=sys.stderr)
    try:
        yield room.show
    finally:
        room.close()


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
