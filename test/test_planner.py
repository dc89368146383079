"""The planner's guarantees, checked by the rules of `oracle`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import Floor, Unit, judge

from robo_stow.traffic.planner import FORWARD, TURN_CCW, TURN_CW, Planner


@dataclass
class World:
    width: int
    height: int
    exits: np.ndarray
    storage: np.ndarray
    cell: list[int]
    heading: list[int]
    seed: int
    allow_rotation: bool
    depth: int


def check_step(world, cell, heading, goal, loaded, frozen, standing, blocked, action):
    """Asserts that the joint action keeps every rule; returns the next states."""
    floor = Floor(
        *(world.width, world.height, world.exits, world.storage, standing, blocked),
        world.allow_rotation,
    )
    units = [Unit(*fields) for fields in zip(cell, heading, goal, loaded, frozen, strict=True)]
    step = judge(floor, units, action)
    assert not step.broken
    return step.cell, step.heading


@st.composite
def worlds(draw) -> World:
    width, height = draw(st.integers(1, 7)), draw(st.integers(1, 6))
    places = width * height
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    exits = np.full(places, 15, np.uint8)
    walls = draw(st.sampled_from([0.0, 0.2, 0.4]))
    exits[rng.random(places) < walls] = 0
    one_way = draw(st.sampled_from([0.0, 0.3]))
    mask = rng.random(places) < one_way
    exits[mask] &= rng.integers(1, 16, places).astype(np.uint8)[mask]
    free = np.flatnonzero(exits)
    if not len(free):
        exits[0] = 15
        free = np.array([0])
    units = draw(st.integers(1, min(len(free), 24)))
    return World(
        width,
        height,
        exits,
        rng.random(places) < draw(st.sampled_from([0.0, 0.3])),
        rng.choice(free, units, replace=False).tolist(),
        rng.integers(0, 4, units).tolist(),
        draw(st.integers(0, 2**32 - 1)),
        draw(st.booleans()),
        draw(st.integers(2, 5)),
    )


def make(world: World, **options) -> Planner:
    return Planner(
        world.width,
        world.height,
        world.exits,
        units=len(world.cell),
        seed=world.seed,
        storage=world.storage,
        allow_rotation=world.allow_rotation,
        depth=world.depth,
        **options,
    )


def drive(world: World, steps: int, iterations: int, memory: int, disturb: float) -> list:
    """Runs a planner on random tasks and disturbances; checks every step, returns all actions."""
    rng = np.random.default_rng(world.seed)
    planner = make(world, table_memory=memory)
    n, places = len(world.cell), world.width * world.height
    free = np.flatnonzero(world.exits)
    cell, heading = list(world.cell), list(world.heading)
    goal = rng.choice(free, n)
    loaded = (rng.random(n) < 0.4).astype(np.uint8)
    history = []
    standing = (rng.random(places) < 0.3).astype(np.uint8) & world.storage
    blocked = np.zeros(places, np.uint8)
    for _ in range(steps):
        frozen = (rng.random(n) < disturb).astype(np.uint8)
        if rng.random() < disturb:
            blocked = (rng.random(places) < 0.1).astype(np.uint8)
        goal = np.where(np.asarray(cell) == goal, rng.choice(free, n), goal)
        goal[rng.random(n) < 0.1 * disturb] = -1
        action = planner.step(
            np.asarray(cell, np.int32),
            np.asarray(heading, np.uint8),
            goal.astype(np.int32),
            loaded=loaded,
            frozen=frozen,
            priority=rng.random(n).astype(np.float32),
            standing=standing,
            blocked=blocked,
            iterations=iterations,
        )
        history.append(action.tolist())
        before = cell, heading
        cell, heading = check_step(
            world, *before, goal, loaded, frozen, standing, blocked, action.tolist()
        )
        if rng.random() < disturb:  # one unit did not do as told, which makes room for nobody
            u = int(rng.integers(n))
            if cell[u] != before[0][u] and before[0][u] not in cell:
                cell[u] = before[0][u]
            elif cell[u] == before[0][u]:
                heading[u] = before[1][u]
    assert planner.stats().rejected == 0
    return history


@settings(deadline=None, max_examples=150)
@given(worlds(), st.sampled_from([0, 40]), st.sampled_from([0, 1_000_000]))
def test_every_step_keeps_the_rules(world: World, iterations: int, memory: int) -> None:
    drive(world, 25, iterations, memory, disturb=0.0)


@settings(deadline=None, max_examples=150)
@given(worlds(), st.sampled_from([0, 40]), st.sampled_from([0, 1_000_000]))
def test_disturbances_keep_the_rules(world: World, iterations: int, memory: int) -> None:
    drive(world, 25, iterations, memory, disturb=0.2)


@settings(deadline=None, max_examples=30)
@given(worlds())
def test_equal_calls_give_equal_answers(world: World) -> None:
    assert drive(world, 15, 30, 1_000_000, 0.1) == drive(world, 15, 30, 1_000_000, 0.1)


def open_floor(width: int, height: int) -> np.ndarray:
    return np.full(width * height, 15, np.uint8)


def run_to_goals(planner: Planner, cell, heading, goal, steps: int, width: int) -> list[int]:
    """Steps until the goals are reached (each once); returns the step of each, or raises."""
    cell, heading = np.asarray(cell, np.int32), np.asarray(heading, np.uint8)
    goal = np.asarray(goal, np.int32)
    reached = [-1] * len(cell)
    move = np.array([1, width, -1, -width], np.int32)
    for t in range(1, steps + 1):
        action = planner.step(cell, heading, goal, iterations=0)
        cell = np.where(action == FORWARD, cell + move[heading], cell).astype(np.int32)
        heading = ((heading + (action == TURN_CW) + 3 * (action == TURN_CCW)) % 4).astype(np.uint8)
        for u in np.flatnonzero(cell == goal):
            if reached[u] < 0:
                reached[u] = t
        if min(reached) >= 0:
            return reached
    raise AssertionError(f"not reached in {steps} steps: {reached}")


def test_a_unit_alone_takes_the_shortest_time() -> None:
    # Facing east in the middle: two turns and two moves to the west, one turn and one move south.
    for start, goal, expected in ((0, 2, 2), (2, 0, 4), (2, 7, 2)):
        planner = Planner(5, 3, open_floor(5, 3), units=1)
        assert run_to_goals(planner, [start], [0], [goal], 10, 5) == [expected]


def test_one_way_cells_are_driven_one_way() -> None:
    exits = open_floor(3, 3)
    exits[:3] = 1 | 2  # the top row goes east and south only
    planner = Planner(3, 3, exits, units=1)
    # West is closed: south, west, west, north.
    assert run_to_goals(planner, [2], [1], [0], 20, 3) == [1 + 1 + 2 + 1 + 1]


def test_a_loaded_unit_goes_round_storage_and_an_empty_one_through() -> None:
    storage = np.zeros(15, bool)
    storage[[6, 7, 8]] = True
    standing = storage.astype(np.uint8)
    for loaded, expected in ((0, 4), (1, 1 + 1 + 1 + 4 + 1 + 1)):
        planner = Planner(5, 3, open_floor(5, 3), units=1, storage=storage)
        cell, heading, steps = 5, 0, 0
        while cell != 9:
            action = planner.step(
                np.array([cell], np.int32),
                np.array([heading], np.uint8),
                np.array([9], np.int32),
                loaded=np.array([loaded], np.uint8),
                standing=standing,
            )[0]
            cell += (1, 5, -1, -5)[heading] if action == FORWARD else 0
            heading = (heading + (action == TURN_CW) - (action == TURN_CCW)) % 4
            steps += 1
            assert steps <= 20
        assert steps == expected


def test_a_unit_at_its_goal_is_pushed_aside_and_returns() -> None:
    # Unit 1 rests on its goal in the only way of unit 0: through the middle of an H.
    exits = open_floor(5, 3)
    exits[[1, 2, 3, 11, 12, 13]] = 0
    planner = Planner(5, 3, exits, units=2)
    cell, heading = np.array([5, 7], np.int32), np.array([0, 0], np.uint8)
    goal = np.array([9, 7], np.int32)
    move = np.array([1, 5, -1, -5])
    done = -1
    for t in range(40):
        action = planner.step(cell, heading, goal)
        cell = np.where(action == FORWARD, cell + move[heading], cell).astype(np.int32)
        heading = ((heading + (action == TURN_CW) + 3 * (action == TURN_CCW)) % 4).astype(np.uint8)
        if cell[0] == 9 and done < 0:
            done, goal[0] = t, 4  # ... and out of the way again
    assert 0 <= done < 15 and cell.tolist() == [4, 7]


def test_wrong_calls_are_refused() -> None:
    planner = Planner(3, 1, np.array([15, 15, 0], np.uint8), units=2)
    good = np.array([0, 1], np.int32), np.zeros(2, np.uint8), np.array([-1, -1], np.int32)
    planner.step(*good)
    for k, value in ((0, [0, 0]), (0, [0, 2]), (0, [0, 9]), (1, [0, 4]), (2, [0, 2]), (2, [0, 3])):
        bad = list(good)
        bad[k] = np.array(value, good[k].dtype)
        with pytest.raises(ValueError, match="unit 1"):
            planner.step(*bad)
    planner.step(*good)
    with pytest.raises(ValueError):
        planner.step(good[0][:1], *good[1:])
    with pytest.raises(ValueError):
        Planner(3, 1, np.zeros(2, np.uint8), units=1)
