"""The rules of one planning step, written out slowly and plainly, without the C core.

A unit is in a cell and faces a heading (0 E, 1 S, 2 W, 3 N). In one step it drives one cell
forward, turns a quarter, or waits. Everything here is judged from these sentences:

- it leaves a cell only by an exit of that cell, and enters no wall and no blocked cell;
- a loaded unit enters no cell where a pod stands, and a storage cell only if that is its goal;
- a frozen unit waits;
- after the step no two units are in one cell, and no two have exchanged cells;
- where rings are forbidden, no closed ring of units has moved.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np

FORWARD, TURN_CW, TURN_CCW, WAIT = 0, 1, 2, 3
OFFSET = ((0, 1), (1, 0), (0, -1), (-1, 0))


@dataclass
class Floor:
    """Cells, and what is on them now."""

    width: int
    height: int
    exits: np.ndarray
    storage: np.ndarray | None = None
    standing: np.ndarray | None = None
    blocked: np.ndarray | None = None
    allow_rotation: bool = True

    def ahead(self, cell: int, heading: int) -> int | None:
        """The cell in front when exits and walls allow the move."""
        row, col = divmod(cell, self.width)
        row, col = row + OFFSET[heading][0], col + OFFSET[heading][1]
        if not (0 <= row < self.height and 0 <= col < self.width):
            return None
        to = row * self.width + col
        return to if self.exits[cell] >> heading & 1 and self.exits[to] & 15 else None

    def may_enter(self, cell: int, loaded: bool, goal: int) -> bool:
        """Whether a unit with this load and goal may come to be in the cell."""
        if self.blocked is not None and self.blocked[cell]:
            return False
        if not loaded:
            return True
        if self.standing is not None and self.standing[cell]:
            return False
        return self.storage is None or not self.storage[cell] or cell == goal


@dataclass
class Unit:
    """One unit before a step."""

    cell: int
    heading: int = 0
    goal: int = -1
    loaded: bool = False
    frozen: bool = False


@dataclass
class Step:
    """What a joint action does: where the units come to be, and every rule it breaks."""

    cell: list[int]
    heading: list[int]
    broken: list[str] = field(default_factory=list)


def act(floor: Floor, unit: Unit, action: int) -> tuple[int, int] | None:
    """Cell and heading after the action, or None where the unit may not do that."""
    if action == WAIT:
        return unit.cell, unit.heading
    if unit.frozen:
        return None
    if action == TURN_CW:
        return unit.cell, (unit.heading + 1) % 4
    if action == TURN_CCW:
        return unit.cell, (unit.heading - 1) % 4
    to = floor.ahead(unit.cell, unit.heading)
    if action != FORWARD or to is None or not floor.may_enter(to, unit.loaded, unit.goal):
        return None
    return to, unit.heading


def judge(floor: Floor, units: Sequence[Unit], actions: Iterable[int]) -> Step:
    """The joint step, with the rules it breaks in words."""
    step = Step([], [])
    for u, (unit, action) in enumerate(zip(units, actions, strict=True)):
        after = act(floor, unit, action)
        if after is None:
            step.broken.append(f"illegal: unit {u} may not do {action}")
        cell, heading = after or (unit.cell, unit.heading)
        step.cell.append(cell)
        step.heading.append(heading)
    before = [unit.cell for unit in units]
    for u, v in product(range(len(units)), repeat=2):
        if u < v and step.cell[u] == step.cell[v]:
            step.broken.append(f"vertex: units {u} and {v} in cell {step.cell[u]}")
        moved = step.cell[u] != before[u]
        if u < v and moved and step.cell[u] == before[v] and step.cell[v] == before[u]:
            step.broken.append(f"swap: units {u} and {v}")
    if not floor.allow_rotation:
        at = {cell: u for u, cell in enumerate(before)}
        for u in range(len(units)):
            ring, v = [u], u
            while step.cell[v] != before[v] and at.get(step.cell[v]) is not None:
                v = at[step.cell[v]]
                if v in ring:
                    break
                ring.append(v)
            if len(ring) > 2 and v == u:
                step.broken.append(f"ring: units {ring}")
    return step


def operations(floor: Floor, unit: Unit, depth: int) -> set[tuple[tuple[int, ...], int]]:
    """All that the unit alone can do in ``depth`` actions: (cells after each, final heading)."""
    found = set()
    for actions in product((FORWARD, TURN_CW, TURN_CCW, WAIT), repeat=depth):
        now, cells = Unit(**vars(unit)), []
        for action in actions:
            after = act(floor, now, action)
            if after is None:
                break
            now.cell, now.heading = after
            cells.append(now.cell)
        else:
            found.add((tuple(cells), now.heading))
    return found


def reachable(floor: Floor, units: Sequence[Unit], first: int) -> bool:
    """Whether unit ``first`` can get to its goal with one unit at a time moving to a free cell.

    Every joint step without a closed ring is a sequence of such moves. Breadth first over all
    arrangements: for a few units on a few cells only.
    """
    start = tuple(unit.cell for unit in units)
    seen, queue = {start}, deque([start])
    while queue:
        cells = queue.popleft()
        if cells[first] == units[first].goal:
            return True
        for u, unit in enumerate(units):
            for heading in range(0 if unit.frozen else 4):
                to = floor.ahead(cells[u], heading)
                if to is None or to in cells or not floor.may_enter(to, unit.loaded, unit.goal):
                    continue
                after = (*cells[:u], to, *cells[u + 1 :])
                if after not in seen:
                    seen.add(after)
                    queue.append(after)
    return False
