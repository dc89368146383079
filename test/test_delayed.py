"""The 2026 benchmark form: plans carried out with delays, replayed here from the written paths."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_stow.cli.main import main
from robo_stow.floor.gridmap import Delays, read_instance
from robo_stow.traffic.delayed import DelaySource, run_delayed

SIDE = 12
UNITS = 24


def write_instance(folder: Path, seed: int, *, moves: int = 3, **changes: object) -> Path:
    """A random floor with a fifth of walls, all of whose free cells can be reached."""
    rng = np.random.default_rng(seed)
    free = np.ones((SIDE, SIDE), bool)
    free[1:-1:3, 1:-1:3] = False
    cells = np.flatnonzero(free).tolist()
    rows = "".join("".join("." if f else "@" for f in row) + "\n" for row in free)
    (folder / "m.map").write_text(f"type octile\nheight {SIDE}\nwidth {SIDE}\nmap\n{rows}")
    starts = rng.choice(cells, UNITS, replace=False)
    (folder / "a.agents").write_text("\n".join(map(str, [UNITS, *starts])))
    tasks = [",".join(map(str, rng.choice(cells, rng.integers(1, 4)))) for _ in range(200)]
    (folder / "t.tasks").write_text("\n".join([str(len(tasks)), *tasks]))
    delays = {"seed": seed, "minDelay": 1, "maxDelay": 4, "pDelay": 0.03, **changes}
    path = folder / "i.json"
    path.write_text(
        json.dumps(
            {
                "mapFile": "m.map",
                "agentFile": "a.agents",
                "taskFile": "t.tasks",
                "teamSize": UNITS,
                "version": "2026 LoRR",
                "simulationTime": 300,
                "numTasksReveal": 1.5,
                "agentCounter": moves,
                "delayConfig": delays,
            }
        )
    )
    return path


def replay(path: Path, states: np.ndarray, under_way: np.ndarray, tasks: np.ndarray) -> None:
    """Everything that must hold of a run, from what was written alone."""
    instance = read_instance(path)
    assert instance.delays is not None
    ticks, width = instance.delays.ticks_per_move, instance.grid.width
    cell, heading = states[..., 0], states[..., 1]
    assert cell[0].tolist() == instance.starts.tolist() and not heading[0].any()
    assert instance.grid.free[cell].all()
    step_x, step_y = np.array([1, 0, -1, 0]), np.array([0, 1, 0, -1])
    # A unit moves on by one tick, or stands; at the last tick of a move it is in the next cell.
    x = (cell % width) * ticks + step_x[heading] * under_way
    y = (cell // width) * ticks + step_y[heading] * under_way
    moved = np.abs(np.diff(x, axis=0)) + np.abs(np.diff(y, axis=0))
    assert moved.max() == 1
    turned = np.diff(heading, axis=0) % 4
    assert not (turned == 2).any()
    assert not (moved.astype(bool) & turned.astype(bool)).any()
    assert not (under_way[1:].astype(bool) & turned.astype(bool)).any()
    # Squares of one cell never meet, at the ticks and half-way between them.
    for at_x, at_y in ((2 * x, 2 * y), (x[1:] + x[:-1], y[1:] + y[:-1])):
        for now_x, now_y in zip(at_x, at_y, strict=True):
            near = (np.abs(now_x[:, None] - now_x) < 2 * ticks) & (
                np.abs(now_y[:, None] - now_y) < 2 * ticks
            )
            assert near.sum() == UNITS
    # A turn takes as long as a move: heading and cell together change once in so many ticks.
    change = (np.diff(cell, axis=0) != 0) | (turned != 0)
    for u in range(UNITS):
        assert (np.diff(np.flatnonzero(change[:, u])) >= ticks).all()
    # A unit has one task at a time, and visits the task's cells in order.
    assert len(set(tasks[:, 0].tolist())) == len(tasks)
    free_at = np.zeros(UNITS, int)
    for task, unit, tick in tasks.tolist():
        at = free_at[unit]
        for errand in instance.tasks[task]:
            there = np.flatnonzero(cell[at : tick + 1, unit] == errand)
            assert len(there), f"task {task}: unit {unit} was not in {errand}"
            at += there[0]
        assert cell[tick, unit] == instance.tasks[task][-1]
        free_at[unit] = tick


@pytest.mark.parametrize(("seed", "moves"), [(1, 3), (2, 1), (3, 5)])
def test_a_run_with_delays_keeps_every_rule(tmp_path: Path, seed: int, moves: int) -> None:
    path = write_instance(tmp_path, seed, moves=moves)
    result = run_delayed(read_instance(path), ticks=300, budget_ms=1, seed=seed, iterations=50)
    assert result.figures["conflicts"] == 0
    assert result.figures["tasks_done"] == len(result.tasks) > 10
    assert 0.03 < result.figures["held_up_share"] < 0.15
    replay(path, result.states, result.under_way, result.tasks)


def test_without_delays_more_is_done_and_the_same_run_is_the_same(tmp_path: Path) -> None:
    path = write_instance(tmp_path, 4, pDelay=0.2)
    instance = read_instance(path)
    late, again, free = (
        run_delayed(instance, ticks=300, budget_ms=1, delays=delays, iterations=50)
        for delays in (True, True, False)
    )
    assert (late.states == again.states).all()
    assert late.tasks.tolist() == again.tasks.tolist()
    assert free.figures["held_up_share"] == 0.0
    assert free.figures["tasks_done"] > late.figures["tasks_done"]
    replay(path, free.states, free.under_way, free.tasks)


def test_the_command_writes_the_paths(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_instance(tmp_path, 5)
    paths = tmp_path / "out" / "plan.npz"
    command = ["bench", "traffic", "--instance", str(path), "--steps", "60", "--budget-ms", "1"]
    assert main([*command, "--paths", str(paths)]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["form"] == 2026
    assert figures["ticks"] == 60
    with np.load(paths) as arrays:
        assert arrays["states"].shape == (61, UNITS, 2)
        replay(path, arrays["states"], arrays["under_way"], arrays["tasks"])


def source(**changes: object) -> DelaySource:
    values: dict[str, object] = {
        "ticks_per_move": 3,
        "safety_square": 1.0,
        "seed": 7,
        "min_delay": 2,
        "max_delay": 7,
        "event_model": "bernoulli",
        "probability": 0.2,
        "duration_model": "uniform",
        "gauss_mean_ratio": 0.5,
        "gauss_std_ratio": 0.2,
        **changes,
    }
    return DelaySource(Delays(**values), 50)  # type: ignore[arg-type]


def test_the_draws_are_those_of_libstdc() -> None:
    # Left over of every delay after tick 1, 2 and 1500, folded into one number: printed by a C++
    # program with std::mt19937, std::bernoulli_distribution and std::uniform_int_distribution.
    delays = source()
    folded = []
    for _ in range(1500):
        delays.tick()
        value = 0
        for left in delays._left.tolist():
            value = (value * 31 + left) % 2**64
        folded.append(value % 1_000_000_007)
    assert [folded[i] for i in (0, 1, 1499)] == [709306069, 550172064, 942264139]


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    event=st.sampled_from(["bernoulli", "poisson"]),
    duration=st.sampled_from(["uniform", "gaussian"]),
    low=st.integers(1, 5),
    span=st.integers(0, 5),
)
def test_delays_last_as_long_as_configured(
    seed: int, event: str, duration: str, low: int, span: int
) -> None:
    delays = source(
        seed=seed,
        event_model=event,
        duration_model=duration,
        min_delay=low,
        max_delay=low + span,
        probability=0.02,
    )
    held = np.array([delays.tick() for _ in range(400)])
    mean = 0.02 * (low + span / 2)  # share of the time, less what falls on units held up already
    assert 0.6 * mean < held.mean() < 1.2 * mean
    for u in range(held.shape[1]):
        edges = np.flatnonzero(np.diff(np.concatenate(([0], held[:, u], [0]))))
        for start, end in edges.reshape(-1, 2)[:-1]:
            assert end - start >= low  # two may follow one another at once
