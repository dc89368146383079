"""The planner's guarantees, checked by the rules of `oracle`."""

from __future__ import annotations

import math
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
def worlds(draw, widest: int = 7, most_units: int = 24) -> World:
    width, height = draw(st.integers(1, widest)), draw(st.integers(1, widest - 1))
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
    units = draw(st.integers(1, min(len(free), most_units)))
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


def drive(
    world: World, steps: int, iterations: int, memory: int, disturb: float, threads: int = 1
) -> list:
    """Runs a planner on random tasks and disturbances; checks every step, returns all actions."""
    rng = np.random.default_rng(world.seed)
    planner = make(world, table_memory=memory, threads=threads)
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


@settings(deadline=None, max_examples=40)
@given(worlds(40, 150), st.integers(2, 3), st.sampled_from([0, 1_000_000]))
def test_threads_keep_the_rules_and_repeat(world: World, threads: int, memory: int) -> None:
    run = world, 12, 200, memory, 0.1, threads
    assert drive(*run) == drive(*run)


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
    for t in range(80):
        action = planner.step(cell, heading, goal)
        cell = np.where(action == FORWARD, cell + move[heading], cell).astype(np.int32)
        heading = ((heading + (action == TURN_CW) + 3 * (action == TURN_CCW)) % 4).astype(np.uint8)
        if cell[0] == 9 and done < 0:
            done, goal[0] = t, 4  # ... and out of the way again
    assert 0 <= done < 15 and cell.tolist() == [4, 7]


def arrivals(planner: Planner, cell, heading, goal, steps: int, **inputs) -> list[int]:
    """Step at which each unit was at its goal first, -1: never; it rests there."""
    cell, heading = np.asarray(cell, np.int32), np.asarray(heading, np.uint8)
    goal = np.asarray(goal, np.int32)
    move = np.array([1, planner.width, -1, -planner.width], np.int32)
    first = np.full(len(cell), -1)
    for t in range(steps + 1):
        first[(cell == goal) & (first < 0)] = t
        now = {name: value(t) if callable(value) else value for name, value in inputs.items()}
        action = planner.step(cell, heading, np.where(first < 0, goal, -1), iterations=50, **now)
        cell = np.where(action == FORWARD, cell + move[heading], cell).astype(np.int32)
        heading = ((heading + (action == TURN_CW) + 3 * (action == TURN_CCW)) % 4).astype(np.uint8)
    return first.tolist()


@pytest.mark.parametrize("wins", [0, 1])
@pytest.mark.parametrize("by", ["priority", "due"])
def test_the_more_urgent_unit_goes_first_at_a_crossing(wins: int, by: str) -> None:
    # One from the west and one from the north, equally far from the crossing and from their goals.
    exits = np.zeros(49, np.uint8)
    exits[21:28] = exits[3::7] = 15
    late = {
        "priority": {"priority": np.where(np.arange(2) == wins, 3.0, 1.0)},
        "due": {"due": lambda t: np.where(np.arange(2) == wins, 8.0 - t, np.nan)},
    }[by]
    planner = Planner(7, 7, exits, units=2)
    first = arrivals(planner, [21, 3], [0, 1], [27, 45], 20, **late)
    assert first[wins] == 6 and 6 < first[1 - wins] <= 10


def test_a_deadline_counts_by_what_the_way_leaves_of_it() -> None:
    # Both are due in 20 steps; the one whose way takes longer has less to spare, so it goes first
    # although the other is nearer to its goal.
    exits = np.zeros(121, np.uint8)
    exits[33:44] = exits[3::11] = 15
    planner = Planner(11, 11, exits, units=2)
    due = {"due": lambda t: np.full(2, 20.0 - t)}
    assert arrivals(planner, [33, 3], [0, 1], [43, 47], 25, **due)[0] == 10


def test_costs_are_detours_worth_taking() -> None:
    for cost, expected in ((1.0, 4), (9.0, 4 + 2 + 3)):
        extra = np.zeros(15, np.float32)
        extra[7] = cost
        planner = Planner(5, 3, open_floor(5, 3), units=1, cost=extra)
        assert arrivals(planner, [5], [0], [9], 15) == [expected]


def test_a_block_is_driven_round_and_waited_for_when_there_is_no_other_way() -> None:
    wall = np.zeros(15, np.uint8)
    wall[7] = 1
    planner = Planner(5, 3, open_floor(5, 3), units=1)
    assert arrivals(planner, [5], [0], [9], 15, blocked=wall) == [4 + 2 + 3]
    wall[[2, 12]] = 1
    planner = Planner(5, 3, open_floor(5, 3), units=1)
    gone = np.zeros(15, np.uint8)
    blocked = lambda t: wall if t < 30 else gone  # noqa: E731
    assert 30 < arrivals(planner, [5], [0], [9], 45, blocked=blocked)[0] <= 40


def test_a_dead_unit_is_driven_round() -> None:
    dead, claimed = np.array([0, 1], np.uint8), np.zeros(15, np.uint8)
    claimed[[7, 8]] = 1  # where it stands, and where it had been let in
    planner = Planner(5, 3, open_floor(5, 3), units=2)
    first = arrivals(planner, [5, 7], [0, 0], [9, -1], 15, frozen=dead, blocked=claimed)
    assert first[0] == 4 + 2 + 3


def test_units_wait_in_the_lane_and_leave_the_hall_free() -> None:
    # A two-lane hall, below it a lane: in at column 2, the station at its end, out at column 3.
    rows = (">>>>>>v", "^<<<<<<", "##vo###", "##vo###", "##P^###")
    width, text = 7, "".join(rows)
    arrow = {">": 1, "v": 2, "<": 4, "^": 8, "o": 8, "P": 1, "#": 0}
    exits = np.array([arrow[c] for c in text], np.uint8)
    exits[7:14] |= 8  # from the lower lane to the upper one, and from there down into it
    exits[:7] |= 2
    exits[9] |= 2
    cost = np.array([10.0 if c in "vP" and i > 13 else 0.0 for i, c in enumerate(text)], np.float32)
    station, visitors = text.index("P"), 3
    planner = Planner(width, 5, exits, units=4, cost=cost, allow_rotation=False)
    cell, heading = np.array([0, 1, 2, 13], np.int32), np.array([0, 0, 0, 2], np.uint8)
    goal = np.array([station] * visitors + [7], np.int32)
    move = np.array([1, width, -1, -width], np.int32)
    held, served, laps, since = np.zeros(4, int), [], 0, 0
    for t in range(260):
        held[:visitors][(cell == goal)[:visitors] & (held[:visitors] == 0)] = t + 40
        still = held > t
        for u in np.flatnonzero((held > 0) & (held <= t) & (goal == station)):
            served.append(int(u))
            goal[u] = (0, 1, 2)[len(served) - 1]
        if cell[3] == goal[3]:  # the fourth goes to and fro through the hall
            laps, goal[3], since = laps + 1, 20 - goal[3], t
        assert t - since < 30, "the hall is blocked"
        rest = np.where((cell == goal) & (np.arange(4) < visitors), -1, goal).astype(np.int32)
        action = planner.step(cell, heading, rest, frozen=still.astype(np.uint8), iterations=30)
        cell = np.where(action == FORWARD, cell + move[heading], cell).astype(np.int32)
        heading = ((heading + (action == TURN_CW) + 3 * (action == TURN_CCW)) % 4).astype(np.uint8)
        assert cell[3] < 14, "a unit that has no business in the lane is in it"
    assert sorted(served) == [0, 1, 2] and laps >= 10


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
    for budget in (math.nan, math.inf, -1.0):  # a step of no end, or of none of the time given
        with pytest.raises(ValueError, match=f"budget_s: {budget}"):
            planner.step(*good, budget_s=budget)
    for attempts in (-1, 2**63):
        with pytest.raises(ValueError, match=f"iterations: {attempts}"):
            planner.step(*good, iterations=attempts)
    with pytest.raises(ValueError):
        planner.step(good[0][:1], *good[1:])
    with pytest.raises(ValueError):
        Planner(3, 1, np.zeros(2, np.uint8), units=1)
    for threads in (0, 65):
        with pytest.raises(ValueError, match="threads"):
            Planner(1, 1, np.array([15], np.uint8), units=1, threads=threads)


def visits(iterations: int, seed: int) -> int:
    """Goals met in 60 steps by 60 units on a floor of 16 x 16 with walls."""
    rng = np.random.default_rng(seed)
    exits = open_floor(16, 16)
    exits[rng.choice(256, 30, replace=False)] = 0
    free = np.flatnonzero(exits)
    planner = Planner(16, 16, exits, units=60, seed=seed)
    cell, heading = rng.choice(free, 60, replace=False).astype(np.int32), np.zeros(60, np.uint8)
    goal, move, met = rng.choice(free, 60).astype(np.int32), np.array([1, 16, -1, -16]), 0
    for _ in range(60):
        action = planner.step(cell, heading, goal, iterations=iterations)
        cell = np.where(action == FORWARD, cell + move[heading], cell).astype(np.int32)
        heading = ((heading + (action == TURN_CW) + 3 * (action == TURN_CCW)) % 4).astype(np.uint8)
        there = cell == goal
        met += int(there.sum())
        goal = np.where(there, rng.choice(free, 60), goal).astype(np.int32)
    return met


def test_more_improvement_does_more() -> None:
    few, some, many = (sum(visits(n, seed) for seed in range(4)) for n in (0, 200, 2000))
    assert few < some < many
