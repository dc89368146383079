"""The C core's inner verdicts against the oracle: what each unit may do, and what clashes."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import Floor, Unit, act, judge, operations

ROOT = Path(__file__).resolve().parents[1]


class _Floor(ctypes.Structure):
    _fields_ = [
        ("width", ctypes.c_int32),
        ("height", ctypes.c_int32),
        *((name, ctypes.c_void_p) for name in ("exits", "storage", "standing", "blocked")),
        ("depth", ctypes.c_int32),
        ("allow_rotation", ctypes.c_int32),
    ]


@pytest.fixture(scope="session")
def probe(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    compiler = shutil.which("cc") or shutil.which("gcc")
    assert compiler, "the C compiler that set-up needs is gone"
    library = tmp_path_factory.mktemp("probe") / "probe.so"
    sources = [ROOT / "test/c/probe.c", *sorted((ROOT / "src/planner").glob("*.c"))]
    flags = ["-std=c11", "-O1", "-fPIC", "-shared", f"-I{ROOT / 'src'}"]
    subprocess.run([compiler, *flags, "-o", library, *sources, "-lm"], check=True)
    return ctypes.CDLL(str(library))


def as_c(floor: Floor, depth: int) -> tuple[_Floor, list[np.ndarray]]:
    places = floor.width * floor.height
    masks = [np.ascontiguousarray(floor.exits, np.uint8)]
    for mask in (floor.storage, floor.standing, floor.blocked):
        masks.append(np.ascontiguousarray(np.zeros(places) if mask is None else mask, np.uint8))
    pointers = [mask.ctypes.data for mask in masks]
    return _Floor(
        floor.width, floor.height, *pointers, depth, int(floor.allow_rotation)
    ), masks  # the masks have to outlive the structure


@st.composite
def situations(draw: st.DrawFn) -> tuple[Floor, list[Unit], np.random.Generator]:
    width, height = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    places = width * height
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    exits = np.full(places, 15, np.uint8)
    exits[rng.random(places) < draw(st.sampled_from([0.0, 0.3]))] = 0
    one_way = rng.random(places) < draw(st.sampled_from([0.0, 0.4]))
    exits[one_way] &= rng.integers(1, 16, places).astype(np.uint8)[one_way]
    if not exits.any():
        exits[0] = 15
    floor = Floor(width, height, exits, allow_rotation=draw(st.booleans()))
    floor.storage = rng.random(places) < draw(st.sampled_from([0.0, 0.4]))
    floor.standing = rng.random(places) < 0.3
    floor.blocked = rng.random(places) < draw(st.sampled_from([0.0, 0.2]))
    free = np.flatnonzero(exits)
    cells = rng.choice(free, draw(st.integers(1, len(free))), replace=False).tolist()
    units = [
        Unit(
            cell,
            int(rng.integers(4)),
            int(rng.choice(free)) if rng.random() < 0.8 else -1,
            bool(rng.random() < 0.5),
        )
        for cell in cells
    ]
    return floor, units, rng


@settings(deadline=None, max_examples=150)
@given(situations(), st.integers(2, 4), st.booleans())
def test_a_unit_may_do_what_the_rules_allow_and_nothing_else(
    probe: ctypes.CDLL, situation: tuple, depth: int, frozen: bool
) -> None:
    floor, units, _ = situation
    unit = units[0]
    unit.frozen = frozen
    c_floor, _masks = as_c(floor, depth)
    actions, cells = np.zeros((256, depth), np.uint8), np.zeros((256, depth), np.int32)
    count = probe.probe_candidates(
        ctypes.byref(c_floor),
        *(unit.cell, unit.heading, unit.goal, int(unit.loaded), int(frozen)),
        *(ctypes.c_void_p(actions.ctypes.data), ctypes.c_void_p(cells.ctypes.data)),
    )
    found = set()
    for k in range(count):
        now = Unit(**vars(unit))
        for action, cell in zip(actions[k].tolist(), cells[k].tolist(), strict=True):
            after = act(floor, now, action)
            assert after is not None, "a candidate that is not legal"
            now.cell, now.heading = after
            assert now.cell == cell, "a candidate that does not lead where it says"
        found.add((tuple(cells[k].tolist()), now.heading))
    assert len(found) == count, "two candidates that do the same"
    assert found == operations(floor, unit, depth)


@settings(deadline=None, max_examples=250)
@given(situations(), st.integers(2, 5))
def test_clashes_are_those_of_the_rules(probe: ctypes.CDLL, situation: tuple, depth: int) -> None:
    floor, units, rng = situation
    floor.blocked = None
    n = len(units)
    c_floor, _masks = as_c(floor, depth)
    cell = np.array([unit.cell for unit in units], np.int32)
    heading = np.array([unit.heading for unit in units], np.int32)
    goal = np.array([unit.goal for unit in units], np.int32)
    loaded = np.array([unit.loaded for unit in units], np.uint8)
    # Mostly good choices: units that move on get into each other's way more often.
    choice = rng.integers(0, np.where(rng.random(n) < 0.5, 4, 200), n).astype(np.int32)
    clash, taken = np.zeros(n, np.int32), np.zeros((n, depth), np.int32)
    arrays = (cell, heading, goal, loaded, choice, clash, taken)
    probe.probe_plan(
        ctypes.byref(c_floor), n, *(ctypes.c_void_p(array.ctypes.data) for array in arrays)
    )
    paths: dict[int, list[int]] = {}
    for u in range(n):
        mine = [int(cell[u]), *taken[u].tolist()]
        in_the_way = {
            v
            for v, other in paths.items()
            if any(a == b for a, b in zip(mine[1:], other[1:], strict=True))
            or any(
                a != b and (a, b) == (d, c)
                for (a, b), (c, d) in zip(pairwise(mine), pairwise(other), strict=True)
            )
        }
        ring = False
        if not floor.allow_rotation and len(in_the_way) <= 1:
            others = [v for v in paths if v not in in_the_way]
            moving = [*others, u]
            ahead = {int(cell[v]): (paths[v][1] if v != u else mine[1]) for v in moving}
            at, steps = mine[1], 1
            while at != mine[0] and at in ahead and ahead[at] != at:
                at, steps = ahead[at], steps + 1
            ring = at == mine[0] and mine[1] != mine[0] and steps > 2
        expected = -2 if len(in_the_way) > 1 or ring else min(in_the_way, default=-1)
        assert clash[u] == expected
        if expected == -1:
            paths[u] = mine


@settings(deadline=None, max_examples=250)
@given(situations())
def test_the_final_check_knows_every_collision(probe: ctypes.CDLL, situation: tuple) -> None:
    floor, units, rng = situation
    floor.blocked = floor.standing = None
    floor.allow_rotation = True  # rings are kept from closing before, and by the execution graph
    for unit in units:
        unit.loaded = False
    n = len(units)
    action = rng.choice(4, n, p=(0.7, 0.1, 0.1, 0.1)).astype(np.uint8)
    c_floor, _masks = as_c(floor, 3)
    cell = np.array([unit.cell for unit in units], np.int32)
    heading = np.array([unit.heading for unit in units], np.uint8)
    arrays = (cell, heading, action)
    safe = probe.probe_safe(
        ctypes.byref(c_floor), n, *(ctypes.c_void_p(array.ctypes.data) for array in arrays)
    )
    assert safe == (not judge(floor, units, action.tolist()).broken)
