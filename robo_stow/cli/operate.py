"""``robo-stow zone`` and ``robo-stow unit``: what people command on a running site."""

from __future__ import annotations

import argparse
import re
import sys

import numpy as np

from robo_stow.errors import InputError, no_ros
from robo_stow.messages import UnitReset, ZoneCommand, ZoneEvent

_EVENTS = {"enter": ZoneEvent.ENTERED, "leave": ZoneEvent.LEFT, "reset": ZoneEvent.RESET}
_DONE = {
    "enter": "closed; what is in it stands",
    "leave": "left by all, and closed until it is reset",
    "reset": "open",
}
_MOST = 2**31 - 1


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands."""
    zone = commands.add_parser(
        "zone",
        help="close a zone of a running site to units, or open it again",
        description="Tell the traffic manager of a running site that somebody enters or has left "
        "a zone, or that the zone has been seen to be empty and is to be opened again. Units in a "
        "closed zone and on their way into it stand. Exit code 1: refused.",
    )
    zone.add_argument("event", choices=tuple(_EVENTS))
    zone.add_argument("name", help="a zone of the building, or any name with --cells")
    zone.add_argument(
        "--cells",
        type=_index,
        nargs="+",
        default=[],
        metavar="CELL",
        help="enter: cells to close (row * width + column), in place of a zone of the building",
    )
    zone.set_defaults(run=_zone)
    unit = commands.add_parser(
        "unit",
        help="trust a fenced unit of a running site again",
        description="Take a unit in again that the traffic manager has fenced off because of what "
        "it reported. The fleet comes to rest for a moment. Exit code 1: refused.",
    )
    unit.add_argument("event", choices=("reset",))
    unit.add_argument("name", help="such as unit_0007, or 7")
    unit.set_defaults(run=_unit)


def _index(text: str) -> int:
    if not text.isdecimal() or int(text) > _MOST:
        raise argparse.ArgumentTypeError(f"{text!r} is not a cell")
    return int(text)


def _zone(args: argparse.Namespace) -> int:
    event = _EVENTS[args.event]
    if args.cells and event is not ZoneEvent.ENTERED:
        raise InputError("command line", "--cells", args.cells, "only with enter")
    order = ZoneCommand(args.name, event, np.array(args.cells, np.int32))
    return _command(order, f"zone {args.name} is {_DONE[args.event]}")


def _unit(args: argparse.Namespace) -> int:
    number = re.fullmatch(r"(?:unit_)?(\d{1,9})", args.name)
    if number is None:
        raise InputError("command line", "name", args.name, "must be such as unit_0007, or 7")
    unit = int(number[1])
    return _command(UnitReset(unit), f"unit {unit} is taken in once the fleet has come to rest")


def _command(order: ZoneCommand | UnitReset, done: str) -> int:
    try:
        from robo_stow_nodes.operator import command
    except ImportError as error:
        raise no_ros(error) from None
    answer = command(order)
    if answer.ok:
        print(done)
    else:
        print(f"refused: {answer.reason}", file=sys.stderr)
    return 0 if answer.ok else 1
