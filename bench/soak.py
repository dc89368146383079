"""A day of traffic in which everything goes wrong; see `robo_stow.bench.soak`.

``python bench/soak.py [--hours H] [--building B] [--seed S]`` writes ``out/bench/soak.json``;
exit code 1 when there was a conflict.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

from robo_stow.bench.machine import machine
from robo_stow.bench.soak import STEP, Soak, Troubles
from robo_stow.cli.answer import answer
from robo_stow.cli.options import positive, seed
from robo_stow.floor.load import load_building

OUT = Path("out/bench/soak.json")


def main() -> int:
    """Run and write the figures, every simulated hour anew."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=positive, default=24.0)
    parser.add_argument("--building", default="demo")
    parser.add_argument("--seed", type=seed, default=1)
    args = parser.parse_args()
    troubles = Troubles()
    soak = Soak(load_building(args.building), args.seed, troubles)
    steps, hour = round(args.hours * 3600.0 / STEP), round(3600.0 / STEP)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    for step in range(1, steps + 1):
        soak.step()
        if step % hour == 0 or step == steps:
            figures = {
                "date": time.strftime("%Y-%m-%d"),
                "machine": machine(),
                "cpu_seconds": round(time.process_time(), 1),
                "troubles": asdict(troubles),
                **soak.figures(),
            }
            OUT.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
            print(json.dumps(soak.figures()), flush=True)
    return 1 if soak.figures()["conflicts"] else 0


if __name__ == "__main__":
    sys.exit(answer("bench", main))
