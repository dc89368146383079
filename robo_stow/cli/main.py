"""Entry point of ``robo-stow``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from robo_stow import __version__
from robo_stow.cli.answer import answer


def build_parser() -> argparse.ArgumentParser:
    """Parser of the whole command."""
    # Here, so that Ctrl-C while they are read is treated as at any other time.
    from robo_stow.cli import (
        bench_floor,
        bench_headline,
        bench_rmfs,
        bench_traffic,
        floor,
        forecast,
        inventory,
        operate,
        run,
        simulate,
        sweep,
    )

    parser = argparse.ArgumentParser(
        prog="robo-stow",
        description="Open fulfilment-centre stack for ROS 2: simulate, run and question a site.",
    )
    parser.add_argument("--version", action="version", version=f"robo-stow {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    run.add_parser(commands)
    simulate.add_parser(commands)
    floor.add_parser(commands)
    inventory.add_parser(commands)
    operate.add_parser(commands)
    sweep.add_parser(commands)
    forecast.add_parser(commands)
    bench = commands.add_parser("bench", help="measure against public benchmarks")
    benches = bench.add_subparsers(dest="bench", metavar="BENCHMARK", required=True)
    bench_traffic.add_parser(benches)
    bench_rmfs.add_parser(benches)
    bench_floor.add_parser(benches)
    bench_headline.add_parser(benches)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; a user's mistake is one line on stderr and exit code 2."""

    def run() -> int:
        args = build_parser().parse_args(argv)
        return int(args.run(args))

    return answer("robo-stow", run)


if __name__ == "__main__":
    sys.exit(main())
