"""``robo-stow bench traffic``: the planner on public lifelong instances."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from robo_stow.cli.options import (
    add_figures_option,
    count,
    output_file,
    positive,
    seed,
    show_figures,
    writing,
)
from robo_stow.errors import InputError
from robo_stow.floor.gridmap import Instance, instance_of_files, read_instance
from robo_stow.traffic.benchmark import BenchmarkResult, run_benchmark
from robo_stow.traffic.delayed import DelayedResult, run_delayed


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "traffic",
        help="lifelong planning on a public instance",
        description="Plan a public lifelong instance step by step; prints one JSON object: tasks "
        "done, bound (2023 form: every unit alone on exact shortest times with turns), share of "
        "bound, planning milliseconds a step (CPU time of the first thread, and by the wall), "
        "peak memory. The 2026 form "
        "executes the plan too, with the instance's delays.",
    )
    parser.add_argument("--instance", metavar="FILE.json", help="instance with its other files")
    parser.add_argument("--map", metavar="FILE", help="MovingAI map, in place of --instance")
    parser.add_argument("--agents", metavar="FILE", help="start locations (with --map)")
    parser.add_argument("--tasks", metavar="FILE", help="tasks (with --map)")
    parser.add_argument("--steps", type=count, metavar="N", help="steps (default: the instance's)")
    parser.add_argument(
        "--budget-ms",
        type=positive,
        default=100.0,
        metavar="B",
        help="CPU milliseconds of each thread a step (default: %(default)g)",
    )
    parser.add_argument(
        "--threads", type=count, default=1, metavar="T", help="that plan together (default: 1)"
    )
    parser.add_argument(
        "--paths",
        type=output_file,
        metavar="OUT.npz",
        help="write the plan for an outside validator",
    )
    parser.add_argument(
        "--no-delays",
        action="store_true",
        help="2026 form: nobody is held up, to see what the delays cost",
    )
    parser.add_argument("--seed", type=seed, default=0, metavar="S", help="seed (default: 0)")
    add_figures_option(parser)
    parser.set_defaults(run=run)


def _instance(args: argparse.Namespace) -> Instance:
    if args.instance is not None:
        for option in ("map", "agents", "tasks"):
            if getattr(args, option) is not None:
                raise InputError(
                    "command line", f"--{option}", getattr(args, option), "not with --instance"
                )
        return read_instance(args.instance)
    for option in ("map", "agents", "tasks", "steps"):
        if getattr(args, option) is None:
            raise InputError(
                "command line", f"--{option}", None, "is needed when --instance is not given"
            )
    return instance_of_files(args.map, args.agents, args.tasks, args.steps)


def run(args: argparse.Namespace) -> int:
    """Run the benchmark; exit code 1 when a step failed the planner's own final check, or two
    units met in execution."""
    instance = _instance(args)
    if args.no_delays and instance.delays is None:
        raise InputError("command line", "--no-delays", True, "only with a 2026 instance")
    cores = len(os.sched_getaffinity(0))
    if args.threads > cores:
        raise InputError("command line", "--threads", args.threads, f"there are {cores} cores")
    steps = args.steps or instance.steps
    shown = time.monotonic()

    def progress(step: int, done: int) -> None:
        nonlocal shown
        if time.monotonic() - shown >= 5.0:
            shown = time.monotonic()
            print(f"step {step} of {steps}: {done} tasks done", file=sys.stderr, flush=True)

    result: BenchmarkResult | DelayedResult
    if instance.delays is None:
        result = run_benchmark(
            instance,
            steps=steps,
            budget_ms=args.budget_ms,
            seed=args.seed,
            threads=args.threads,
            progress=progress,
        )
    else:
        result = run_delayed(
            instance,
            ticks=steps,
            budget_ms=args.budget_ms,
            seed=args.seed,
            threads=args.threads,
            delays=not args.no_delays,
            progress=progress,
        )
    if args.paths is not None:
        _write_paths(args.paths, result)
    show_figures(result.figures, args.out)
    return 1 if result.figures["rejected_steps"] or result.figures.get("conflicts") else 0


def _write_paths(path: Path, result: BenchmarkResult | DelayedResult) -> None:
    plan: dict[str, Any] = {"states": result.states}
    if result.tasks is not None:
        plan["tasks"] = result.tasks
    if isinstance(result, DelayedResult):
        plan["under_way"] = result.under_way
    with writing(path), path.open("wb") as file:
        np.savez_compressed(file, **plan)
