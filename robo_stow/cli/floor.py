"""``robo-stow floor``: check a building file, draw it, make a Gazebo world of it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from robo_stow.cli.options import count, output_file, seed, writing
from robo_stow.errors import InputError
from robo_stow.floor.building import Building, CellKind
from robo_stow.floor.load import load_building, warnings
from robo_stow.floor.world import TARGETS, world_sdf
from robo_stow.lifter.clearance import touches
from robo_stow.lifter.kinematics import poses


def add_parser(subparsers: Any) -> None:
    """Adds the command to the main parser."""
    floor = subparsers.add_parser(
        "floor", help="check a building, draw it, make a Gazebo world of it"
    )
    commands = floor.add_subparsers(dest="floor", metavar="COMMAND", required=True)
    check = commands.add_parser(
        "check",
        help="read a building file, check it and sum it up",
        description="Read a building file, check it and sum it up. Exit code 1: it has an error.",
    )
    draw = commands.add_parser("draw", help="draw a building as it opens, to a PNG file")
    world = commands.add_parser(
        "world",
        help="write a Gazebo world of a building",
        description="Write an SDF world of a building as it opens.",
    )
    for parser in (check, draw, world):
        parser.add_argument("building", help="a shipped building (demo, dupont) or a YAML file")
        parser.add_argument(
            "--units", type=count, metavar="N", help="drive units (default: building)"
        )
    draw.add_argument(
        "-o", "--output", type=output_file, metavar="FILE.png", help="default: BUILDING.png here"
    )
    world.add_argument(
        "--for",
        dest="target",
        choices=TARGETS,
        default="harmonic",
        help="Gazebo Harmonic (gz sim) or Gazebo Classic 11 (default: %(default)s)",
    )
    world.add_argument("--seed", type=seed, metavar="S", help="seed (default: the building's)")
    world.add_argument(
        "-o", "--output", type=output_file, metavar="FILE.sdf", help="default: BUILDING.sdf here"
    )
    check.set_defaults(run=_check)
    world.set_defaults(run=_world)
    draw.set_defaults(run=_draw)


def summary(building: Building) -> list[tuple[str, str]]:
    """What a building holds, as (name, value) lines of a table."""
    grid = building.grid
    kinds = np.bincount(grid.kind, minlength=len(CellKind))
    storage = int(kinds[CellKind.STORAGE])
    picks = [s for s in building.stations if s.kind == "pick"]
    stows = [s for s in building.stations if s.kind == "stow"]
    lines = [("file", building.source)]
    lines += [
        (f"level {i}", f"{level.name}, {level.height:g} m" + (", storage" if level.storage else ""))
        for i, level in enumerate(building.levels, 1)
    ]
    lines += [
        ("grid", f"{grid.width} x {grid.height} cells of {grid.pitch:g} m"),
        (
            "cells",
            ", ".join(
                f"{kinds[kind]:,} {kind.name.lower()}" for kind in CellKind if kind != CellKind.WALL
            ),
        ),
        ("pods", f"{building.pods:,} on {storage:,} storage cells ({building.pods / storage:.0%})"),
        ("bins", f"{building.pods * building.pod.bins:,}"),
        ("drive units", f"{building.units:,}, {building.drive.name}"),
        ("chargers", f"{len(building.chargers):,}"),
        ("pick stations", f"{len(picks)}, queue {_range([len(s.queue) for s in picks])}"),
        (
            "stow stations",
            f"{len(stows)}, queue {_range([len(s.queue) for s in stows])}, "
            f"pallets {_range([len(s.pallet_queue) for s in stows])}",
        ),
        (
            "lifters",
            f"{len(building.lifters)}, queue {_range([len(s.queue) for s in building.lifters])}, "
            f"rated {building.lifter.rated_load:,g} kg",
        ),
        ("orders", f"{building.orders.orders_per_hour:g} an hour from {building.orders.file}"),
        ("connected", "every cell, both ways, with a load and empty"),
    ]
    return lines


def _range(values: list[int]) -> str:
    low, high = min(values, default=0), max(values, default=0)
    return str(low) if low == high else f"{low} to {high}"


def _check(args: argparse.Namespace) -> int:
    try:
        building = load_building(args.building, units=args.units)
        for site in building.lifters:
            poses(building, site)  # the arm reaches its dock and its hand-off
    except InputError as error:
        print(f"robo-stow: {error}", file=sys.stderr)
        return 1
    lines = summary(building)
    width = max(len(name) for name, _ in lines)
    print(f"{building.name}: ok")
    for name, value in lines:
        print(f"  {name:<{width}}  {value}")
    for warning in (*warnings(building), *_touches(building)):
        print(f"  warning: {warning}")
    return 0


def _touches(building: Building) -> Iterator[str]:
    """What the arms would touch while they lift the heaviest pallet."""
    for site in building.lifters:
        for text in touches(building, site, building.lifter.rated_load):
            yield f"{site.id}, {text}"


def _draw(args: argparse.Namespace) -> int:
    # matplotlib takes most of a second to import; the other commands do without it.
    from robo_stow.floor.draw import draw

    building = load_building(args.building, units=args.units)
    output = args.output or Path(f"{building.name}.png")
    with writing(output):
        draw(building, output)
    print(output)
    return 0


def _world(args: argparse.Namespace) -> int:
    building = load_building(args.building, units=args.units)
    text = world_sdf(building, building.seed if args.seed is None else args.seed, args.target)
    output = args.output or Path(f"{building.name}.sdf")
    with writing(output):
        output.write_text(text, encoding="utf-8")
    print(output)
    return 0
