"""``robo-stow bench rmfs``: the reference scenario for robotic mobile fulfilment."""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any

from robo_stow.bench.rmfs import (
    CHOICES,
    FIGURES,
    PEERS,
    WARM_UP,
    bound,
    run_rmfs,
    scenario,
    summary,
)
from robo_stow.cli.options import count, output_file, positive, write_json
from robo_stow.floor.building import Building

SHOWN = 10.0
"""Seconds between lines of progress."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "rmfs",
        help="scenario RMFS-16, beside other systems' figures",
        description="Run scenario RMFS-16 with several seeds, after a warm-up of "
        f"{WARM_UP:g} s; prints a table of mean, least and largest figures beside those of peers.",
    )
    parser.add_argument("--units", type=count, default=16, metavar="N", help="(default: 16)")
    parser.add_argument(
        "--pick-stations",
        type=count,
        default=2,
        metavar="N",
        help="and as many stow stations (default: 2)",
    )
    parser.add_argument("--seeds", type=count, default=10, metavar="N", help="1 to N (default: 10)")
    parser.add_argument(
        "--minutes", type=positive, default=60.0, metavar="M", help="measured (default: 60)"
    )
    parser.add_argument(
        "--jobs", type=count, default=1, metavar="N", help="processes at once (default: 1)"
    )
    parser.add_argument(
        "--choice",
        choices=sorted(CHOICES),
        default="rule",
        help="of the next pod: the best by itself, or the best of the cheapest cover of all open "
        "lines, solved anew each time (default: rule)",
    )
    parser.add_argument("--out", type=output_file, metavar="FILE.json", help="also write JSON here")
    parser.set_defaults(run=run)


class _Progress:
    """A line now and then of how far a run is."""

    def __init__(self, seed: int, minutes: float) -> None:
        self._seed = seed
        self._end = WARM_UP / 60.0 + minutes
        self._shown = time.monotonic()

    def __call__(self, now: float) -> None:
        if time.monotonic() - self._shown >= SHOWN:
            self._shown = time.monotonic()
            print(
                f"seed {self._seed}: {now / 60.0:.0f} of {self._end:g} min",
                file=sys.stderr,
                flush=True,
            )


def _one(building: Building, seed: int, minutes: float, choice: str) -> dict[str, Any]:
    return run_rmfs(building, seed, minutes, _Progress(seed, minutes), choice)


def run(args: argparse.Namespace) -> int:
    """Run all seeds; exit code 1 when there was a conflict or stock was not conserved."""
    building = scenario(args.units, args.pick_stations)
    runs = []
    with ProcessPoolExecutor(args.jobs) as pool:
        futures = [
            pool.submit(_one, building, seed, args.minutes, args.choice)
            for seed in range(1, args.seeds + 1)
        ]
        for future in as_completed(futures):
            done = future.result()
            runs.append(done)
            print(
                f"seed {done['seed']}: {done['items_per_station_hour']:.1f} items/h/station, "
                f"pile-on {done['item_pile_on']:.2f}, {done['wall_seconds']:.0f} s, "
                f"{done['speed']} x",
                file=sys.stderr,
                flush=True,
            )
    runs.sort(key=lambda done: int(done["seed"]))
    result: dict[str, Any] = {
        "units": args.units,
        "pick_stations": args.pick_stations,
        "minutes": args.minutes,
        "choice": args.choice,
        "bound": bound(building),
        **summary(runs),
        "runs": runs,
    }
    print(table(result))
    if args.out is not None:
        write_json(args.out, result)
    conserved = all(done["stock_conserved"] for done in runs)
    return 0 if conserved and result["conflicts"]["max"] == 0 else 1


def table(result: dict[str, Any]) -> str:
    """Our figures (mean, range) beside the peers'."""
    heads = ("items/h/station", "lines/h/unit", "item pile-on", "station idle", "conflicts")
    scale = (1.0, 1.0, 1.0, 100.0, 1.0)
    digits = (1, 1, 2, 1, 0)
    unit = ("", "", "", " %", "")

    def cell(i: int, value: float) -> str:
        return f"{value * scale[i]:.{digits[i]}f}{unit[i]}"

    ours = [result[key] for key in FIGURES]
    stations = result["pick_stations"]
    name = f"Robo-Stow, {result['units']} units, {stations} + {stations}"
    rows = [
        ("", *heads),
        (
            f"{name}, mean of {len(result['runs'])}",
            *(cell(i, v["mean"]) for i, v in enumerate(ours)),
        ),
        ("  least", *(cell(i, v["min"]) for i, v in enumerate(ours))),
        ("  largest", *(cell(i, v["max"]) for i, v in enumerate(ours))),
    ]
    for peer in PEERS:
        rows.append((peer.name, *(cell(i, v) for i, v in enumerate(peer.figures))))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        f"{row[0]:<{widths[0]}}  "
        + "  ".join(f"{text:>{width}}" for text, width in zip(row[1:], widths[1:], strict=True))
        for row in rows
    ]
    share = ours[0]["mean"] / result["bound"]
    speed = sum(run["speed"] for run in result["runs"]) / len(result["runs"])
    lines.append(
        f"station bound {result['bound']:g} items/h: {share:.1%} of it; "
        f"{speed:.0f} simulated seconds for one of processor time"
    )
    return "\n".join(lines)
