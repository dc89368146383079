"""Nobody waits for ever: layouts made to lock, and small floors against exhaustive search."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracle import OFFSET, Floor, Unit, judge, reachable

from robo_stow import native
from robo_stow.traffic.planner import Planner

BOUND = 1500
"""Steps within which every unit on the small floors here has to be at its goal once."""


def read(*rows: str) -> tuple[Floor, dict[str, int]]:
    """A floor drawn with . free, # wall, S and digits storage, > v < ^ one way but for storage
    beside it; digits and letters name cells."""
    width = len(rows[0])
    text = "".join(rows)
    exits = [0 if c == "#" else 1 << ">v<^".index(c) if c in ">v<^" else 15 for c in text]
    floor = Floor(width, len(rows), np.array(exits, np.uint8))
    floor.storage = np.array([c == "S" or c.isdigit() for c in text])
    for cell in np.flatnonzero(floor.exits):
        for heading, (down, right) in enumerate(OFFSET):
            row, col = cell // width + down, cell % width + right
            if 0 <= row < len(rows) and 0 <= col < width and floor.storage[row * width + col]:
                floor.exits[cell] |= 1 << heading
    return floor, {c: i for i, c in enumerate(text) if c not in ".#>v<^S"}


def drive(
    floor: Floor,
    units: list[Unit],
    steps: int,
    *,
    seed: int = 0,
    depth: int = 4,
    new_goal: np.random.Generator | None = None,
    disturb: float = 0.0,
) -> list[list[int]]:
    """Steps until every unit has been at its goal, each step checked by the oracle.

    A unit that has arrived rests where nobody needs it to (goal -1), or goes on to a random goal
    and must reach goals all the time. `disturb`: how likely a unit freezes or a move fails.

    Returns:
        For each unit the steps at which it was at a goal.
    """
    planner = Planner(
        floor.width,
        floor.height,
        floor.exits,
        units=len(units),
        seed=seed,
        storage=floor.storage,
        allow_rotation=floor.allow_rotation,
        depth=depth,
    )
    rng = np.random.default_rng(seed)
    free = np.flatnonzero(floor.exits)
    arrived: list[list[int]] = [[] for _ in units]
    for t in range(steps + 1):
        for u, unit in enumerate(units):
            if unit.cell == unit.goal:
                arrived[u].append(t)
                unit.goal = -1 if new_goal is None else int(new_goal.choice(free))
            unit.frozen = bool(rng.random() < disturb)
        if new_goal is None and all(arrived):
            break
        action = planner.step(
            np.array([unit.cell for unit in units], np.int32),
            np.array([unit.heading for unit in units], np.uint8),
            np.array([unit.goal for unit in units], np.int32),
            loaded=np.array([unit.loaded for unit in units], np.uint8),
            frozen=np.array([unit.frozen for unit in units], np.uint8),
            standing=floor.standing,
            blocked=floor.blocked,
            iterations=5,
        )
        step = judge(floor, units, action.tolist())
        assert not step.broken
        before = [unit.cell for unit in units]
        for unit, cell, heading in zip(units, step.cell, step.heading, strict=True):
            fails = rng.random() < disturb and unit.cell not in step.cell
            if not fails or cell == unit.cell:
                unit.cell, unit.heading = cell, heading
        if len({unit.cell for unit in units}) < len(units):  # a failed move was in another's way
            for unit, cell in zip(units, before, strict=True):
                unit.cell = cell
    assert planner.stats().rejected == 0
    return arrived


@st.composite
def small(draw: st.DrawFn) -> tuple[Floor, list[Unit], int]:
    width, height = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    places = width * height
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    exits = np.full(places, 15, np.uint8)
    exits[rng.random(places) < draw(st.sampled_from([0.0, 0.2, 0.45]))] = 0
    narrow = rng.random(places) < draw(st.sampled_from([0.0, 0.0, 0.3]))
    exits[narrow] &= rng.integers(1, 16, places).astype(np.uint8)[narrow]
    if not exits.any():
        exits[0] = 15
    free = np.flatnonzero(exits)
    floor = Floor(width, height, exits, allow_rotation=draw(st.booleans()))
    modes = draw(st.booleans())
    floor.storage = (rng.random(places) < 0.4) & modes
    floor.standing = ((rng.random(places) < 0.3) & floor.storage).astype(np.uint8)
    count = min(draw(st.integers(2, 3)), len(free))
    cells, goals = (rng.choice(free, count, replace=False).tolist() for _ in range(2))
    headings, loads = rng.integers(0, 4, count).tolist(), rng.random(count) < 0.5 * modes
    units = [Unit(*fields) for fields in zip(cells, headings, goals, loads.tolist(), strict=True)]
    return floor, units, seed


@settings(deadline=None, max_examples=200)
@given(small(), st.integers(3, 5))
def test_what_can_be_reached_is_reached(problem: tuple[Floor, list[Unit], int], depth: int) -> None:
    floor, units, seed = problem
    arrived = drive(floor, units, BOUND, seed=seed, depth=depth)
    for u, unit in enumerate(units):
        assert arrived[u] or not reachable(floor, units, u), f"unit {u} to {unit.goal}"


def facing(floor: Floor, *moves: tuple[int, int], loaded: bool = False) -> list[Unit]:
    return [Unit(cell, 0, goal, loaded) for cell, goal in moves]


@pytest.mark.parametrize("rotation", [False, True])
@pytest.mark.parametrize("depth", [3, 5])
def test_a_swap_in_a_corridor_with_one_bay(rotation: bool, depth: int) -> None:
    floor, at = read("a........b", "######.###")
    floor.allow_rotation = rotation
    arrived = drive(
        floor, facing(floor, (at["a"], at["b"]), (at["b"], at["a"])), BOUND, depth=depth
    )
    assert all(arrived)


def test_a_swap_at_the_end_of_a_dead_end() -> None:
    # a wants to the end of a dead end where b rests, b wants out.
    floor, at = read("...a...", ".###.##", "....b##", "####c##", "####d##")
    floor.allow_rotation = False
    arrived = drive(
        floor, facing(floor, (at["c"], at["a"]), (at["d"], at["b"]), (at["a"], at["d"])), BOUND
    )
    assert all(arrived)


def test_two_rooms_and_one_door() -> None:
    floor, _ = read("...#...", "...#...", ".......", "...#...", "...#...")
    floor.allow_rotation = False
    left = [c for c in np.flatnonzero(floor.exits).tolist() if c % 7 < 3]
    right = [c for c in np.flatnonzero(floor.exits).tolist() if c % 7 > 3]
    moves = list(zip(left[:12], right[:12], strict=True))
    moves += list(zip(right[:12], left[:12], strict=True))
    assert all(drive(floor, facing(floor, *moves), 12_000))


def test_a_full_ring_with_one_gap_turns_without_rotation() -> None:
    floor, _ = read("....", ".##.", ".##.", "....")
    floor.allow_rotation = False
    ring = [0, 1, 2, 3, 7, 11, 15, 14, 13, 12, 8, 4]
    # Each wants to the cell two behind it: against the order in which the ring can turn.
    moves = [(ring[k], ring[k - 2]) for k in range(len(ring) - 1)]
    assert all(drive(floor, facing(floor, *moves), 6000))


def test_one_free_cell_on_an_open_floor() -> None:
    floor, _ = read(*["...."] * 4)
    floor.allow_rotation = False
    order = np.random.default_rng(3).permutation(16).tolist()
    assert all(drive(floor, facing(floor, *zip(range(15), order[:15], strict=True)), 10_000))


def test_a_tree_with_room_for_its_longest_branch() -> None:
    floor, _ = read(
        "...........",
        "#.#.#.#.#.#",
        "#.#.#.#.#.#",
        "#.#.#.#.#.#",
    )
    floor.allow_rotation = False
    free = np.flatnonzero(floor.exits).tolist()
    rng = np.random.default_rng(5)
    cells = rng.choice(free, 18, replace=False).tolist()
    goals = rng.choice(free, 18, replace=False).tolist()
    assert all(drive(floor, facing(floor, *zip(cells, goals, strict=True)), 20_000))


def test_a_loaded_unit_in_a_pocket_and_another_that_wants_in() -> None:
    # One-way aisle; 1 and 2 are storage pockets. The unit in pocket 1 has to come out before the
    # one that stands before it, facing it, can go in.
    floor, at = read("S12S", ">>>v", "^##v", "^<<<")
    floor.allow_rotation = False
    pocket, other = at["1"], at["2"]
    units = facing(floor, (pocket, 15), (pocket + 4, pocket), (other, 14), loaded=True)
    assert all(drive(floor, units, BOUND))


def test_a_pocket_on_a_long_one_way_loop_is_emptied_first() -> None:
    # The unit before the pocket has to go round the whole loop for the other to come out.
    top, bottom = ">" * 19 + "v", "^" + "<" * 19
    side = "^" + "#" * 18 + "v"
    floor, at = read(top, "^#1" + "#" * 16 + "v", *[side] * 8, bottom)
    floor.allow_rotation = False
    before = 2  # the cell above pocket 1
    units = [Unit(before, 1, at["1"], True), Unit(at["1"], 3, 215, True)]
    units += [Unit(cell, 0, cell + 6, True) for cell in (4, 5, 6, 7)]
    assert all(drive(floor, units, BOUND))


def test_an_empty_unit_rests_where_a_loaded_one_is_to_set_down() -> None:
    floor, at = read("1", ".", ".", ".")
    floor.allow_rotation = False
    units = [Unit(at["1"], 0, 2), Unit(1, 0, at["1"], True)]
    assert not reachable(floor, units, 1)  # no room to pass
    floor, at = read("1#", "..", ".#", ".#")
    units = [Unit(at["1"], 0, 6), Unit(2, 0, at["1"], True)]
    assert all(drive(floor, units, BOUND))


def test_a_unit_without_a_way_does_not_keep_others_from_theirs() -> None:
    floor, at = read("a#b..c", "##.##.", "#d...e")
    floor.allow_rotation = False
    moves = ((at["a"], at["b"]), (at["b"], at["e"]), (at["e"], at["d"]), (at["d"], at["c"]))
    arrived = drive(floor, facing(floor, *moves), BOUND)
    assert not arrived[0] and all(arrived[1:])


def confined(floor: Floor, units: int) -> int:
    """Moves beyond which there is too little room for so many units, as loading counts them."""
    none = np.zeros(2, np.int32)
    places = (floor.width, floor.height, floor.exits.ctypes.data_as(ctypes.c_void_p))
    return native.load().rs_confined_moves(
        *places, units, 0, *(ctypes.c_void_p(none.ctypes.data) for _ in range(2))
    )


def test_confined_moves_are_those_without_room_beyond() -> None:
    ring, _ = read(">>v", "^#v", "^<<")
    assert confined(ring, 7) == 0 and confined(ring, 8) == 8  # without `from` 7 cells are left
    dead_end, _ = read(">>..", "^#v#", "^<<#")
    assert confined(dead_end, 1) == 0 and confined(dead_end, 2) > 0


def streets(width: int, height: int, blocks: np.random.Generator | None) -> Floor:
    """One-way streets, rows and columns in alternating directions, an open ring round them."""
    row, col = np.divmod(np.arange(width * height), width)
    exits = np.where(row % 2 == 0, 1, 4) | np.where(col % 2 == 1, 2, 8)
    exits[col == width - 1] &= ~1
    exits[col == 0] &= ~4
    exits[row == 0] &= ~8
    exits[row == height - 1] &= ~2
    if blocks is not None:
        inner = np.flatnonzero((row > 0) & (row < height - 1) & (col > 0) & (col < width - 1))
        exits[blocks.choice(inner, len(inner) // 6, replace=False)] = 0
    return Floor(width, height, exits.astype(np.uint8), allow_rotation=False)


@settings(deadline=None, max_examples=15)
@given(st.sampled_from([(4, 4), (6, 4), (6, 6)]), st.booleans(), st.integers(0, 2**32 - 1))
def test_all_arrive_where_no_move_is_confined(
    size: tuple[int, int], blocked: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    floor = streets(*size, rng if blocked else None)
    free = np.flatnonzero(floor.exits)
    count = 1
    while count < len(free) - 1 and confined(floor, count + 2) == 0:
        count += 1
    assume(confined(floor, count + 1) == 0)
    cells, goals = (rng.choice(free, count, replace=False).tolist() for _ in range(2))
    units = [Unit(*fields) for fields in zip(cells, rng.integers(0, 4, count), goals, strict=True)]
    assert all(drive(floor, units, 40 * len(free) + 200 * count, seed=seed))


@settings(deadline=None, max_examples=4)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_nobody_starves_on_a_crowded_floor(seed: int, disturbed: bool) -> None:
    rng = np.random.default_rng(seed)
    floor, _ = read("......", ".##.#.", "......", ".#.##.", "......")
    floor.allow_rotation = False
    free = np.flatnonzero(floor.exits)
    count = len(free) - int(rng.integers(2, 6))
    cells = rng.choice(free, count, replace=False).tolist()
    units = facing(floor, *zip(cells, rng.choice(free, count).tolist(), strict=True))
    steps = 2500
    arrived = drive(
        floor, units, steps, seed=seed, new_goal=rng, disturb=0.05 if disturbed else 0.0
    )
    for times in arrived:
        assert max(np.diff([0, *times, steps])) < 2000
