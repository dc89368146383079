"""Lifelong multi-agent planner for one level of the floor (C core).

Every unit holds an *operation*, a sequence of a few actions, and the operations of all units are
free of conflicts together at all times. In each step a unit takes a better operation in order of
priority; the one unit in its way is pushed to another, and so on (priority inheritance). The rest
of the time budget goes into changes that lower the weighted sum of expected arrival times.

Sources: PIBT (Okumura, Machida, Defago, Tamura, "Priority inheritance with backtracking for
iterative multi-agent path finding", 2022) and its extension to multi-action operations (EPIBT,
Yukhnevich and Andreychuk 2025). `docs/traffic.md` has the method in full.
"""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_stow.native import load

FORWARD, TURN_CW, TURN_CCW, WAIT = 0, 1, 2, 3
EAST, SOUTH, WEST, NORTH = 0, 1, 2, 3

_P = ctypes.c_void_p


class _Config(ctypes.Structure):
    _fields_ = [
        ("width", ctypes.c_int32),
        ("height", ctypes.c_int32),
        ("units", ctypes.c_int32),
        ("exits", _P),
        ("storage", _P),
        ("cost", _P),
        ("depth", ctypes.c_int32),
        ("allow_rotation", ctypes.c_int32),
        ("seed", ctypes.c_uint64),
        ("table_memory", ctypes.c_uint64),
        ("threads", ctypes.c_int32),
    ]


class _Input(ctypes.Structure):
    _fields_ = [
        ("cell", _P),
        ("heading", _P),
        ("goal", _P),
        ("next_goal", _P),
        ("later", _P),
        ("loaded", _P),
        ("frozen", _P),
        ("priority", _P),
        ("due", _P),
        ("standing", _P),
        ("blocked", _P),
        ("budget", ctypes.c_double),
        ("iterations", ctypes.c_int64),
    ]


class _Stats(ctypes.Structure):
    _fields_ = [
        ("attempts", ctypes.c_int64),
        ("accepted", ctypes.c_int64),
        ("cpu_seconds", ctypes.c_double),
        ("tables", ctypes.c_int64),
        ("rejected", ctypes.c_int64),
        ("rescues", ctypes.c_int64),
    ]


@dataclass(frozen=True)
class PlannerStats:
    """What the planner did: the last step, and since it was made."""

    attempts: int
    """Improvement attempts of the last step."""
    accepted: int
    """Attempts that improved the plan."""
    cpu_seconds: float
    """CPU time of the caller's thread in the last step."""
    tables: int
    """Distance tables made so far."""
    rejected: int
    """Joint steps that failed the final check so far, and were replaced by waiting: always 0."""
    rescues: int
    """Units brought out of a deadlock so far (see `docs/traffic.md`, Progress)."""


INPUT_ERRORS = {
    1: "is outside the floor or on a wall",
    2: "has a heading that is not 0..3",
    3: "has a goal outside the floor or on a wall",
    4: "shares its cell with another unit",
}


def _core() -> ctypes.CDLL:
    core = load()
    core.rs_planner_new.restype = _P
    core.rs_planner_new.argtypes = [_P]
    core.rs_planner_free.restype = None
    core.rs_planner_free.argtypes = [_P]
    core.rs_planner_step.restype = ctypes.c_int
    core.rs_planner_step.argtypes = [_P, _P, _P, _P]
    core.rs_planner_travel.restype = ctypes.c_int
    core.rs_planner_travel.argtypes = [_P, ctypes.c_int32, _P, _P, _P, _P, _P]
    core.rs_planner_get_stats.restype = None
    core.rs_planner_get_stats.argtypes = [_P, _P]
    return core


def _grid_array(value: Any, dtype: type, places: int, name: str) -> NDArray[Any]:
    array: NDArray[Any] = np.ascontiguousarray(value, dtype=dtype).reshape(-1)
    if array.size != places:
        raise ValueError(f"{name}: {array.size} values for {places} cells")
    return array


class Planner:
    """Lifelong multi-agent planner over one level's cell grid.

    Cells are grid indices ``row * width + column`` with row 0 at the top; headings are 0 east,
    1 south (row + 1), 2 west, 3 north. One step is one action of every unit: drive one cell
    forward, turn 90 degrees, or wait.

    A joint step never has two units in one cell, two units that exchange cells, or a move against
    the rules of the floor; frozen units wait. A unit that starts against the rules (on a blocked
    cell, say) may leave but not enter such a cell again. Equal calls on equal planners give equal
    answers when `iterations` and `threads` are fixed; a time budget depends on the machine's speed.

    Not thread-safe: one call at a time. The GIL is released while it plans.
    """

    def __init__(
        self,
        width: int,
        height: int,
        exits: NDArray[np.uint8],
        *,
        units: int,
        seed: int = 0,
        storage: NDArray[np.bool_] | None = None,
        cost: NDArray[np.float32] | None = None,
        allow_rotation: bool = True,
        depth: int = 4,
        table_memory: int = 2_000_000_000,
        threads: int = 1,
    ) -> None:
        """Prepares the floor; all arrays are copied.

        Args:
            width: columns of the grid.
            height: rows of the grid.
            exits: [height * width] uint8, bit d set: the cell may be left in heading d; 0: a wall.
            units: number of units in every step.
            seed: of the random choices.
            storage: [height * width] bool, cells that a loaded unit enters only as its goal.
            cost: [height * width] extra steps of entering a cell, >= 0.
            allow_rotation: False: no closed ring of units all advance in the same step, so that
                every unit can enter its next cell after the unit ahead has left it.
            depth: actions of an operation, 2..5. More plans further and takes longer.
            table_memory: bytes that distance tables may take at most.
            threads: that plan together, 1..64. More fill distance tables and list operations side
                by side, and improve the plan in different parts of the floor at the same time.

        Raises:
            ValueError: sizes that do not fit together.
            MemoryError: not enough memory.
        """
        places = width * height
        if width < 1 or height < 1 or places > 2**28:
            raise ValueError(f"grid of {width} x {height} cells")
        if not 0 <= units < 2**20:
            raise ValueError(f"units: {units} is not in 0..{2**20 - 1}")
        if not 2 <= depth <= 5:
            raise ValueError(f"depth: {depth} is not in 2..5")
        if not 1 <= threads <= 64:
            raise ValueError(f"threads: {threads} is not in 1..64")
        if table_memory < 0:
            raise ValueError(f"table_memory: {table_memory} is negative")
        self._handle: int | None = None
        self._core = _core()
        self.width = width
        self.height = height
        self.units = units
        exits_array = _grid_array(exits, np.uint8, places, "exits")
        storage_array = (
            None
            if storage is None
            else _grid_array(np.asarray(storage) != 0, np.uint8, places, "storage")
        )
        cost_array = None if cost is None else _grid_array(cost, np.float32, places, "cost")
        if cost_array is not None and not (cost_array >= 0).all():
            raise ValueError("cost: values must be >= 0")
        config = _Config(
            width,
            height,
            units,
            exits_array.ctypes.data,
            None if storage_array is None else storage_array.ctypes.data,
            None if cost_array is None else cost_array.ctypes.data,
            depth,
            int(allow_rotation),
            seed % 2**64,
            table_memory,
            threads,
        )
        self._handle = self._core.rs_planner_new(ctypes.byref(config))
        if self._handle is None:
            raise MemoryError(f"planner of {units} units on {width} x {height} cells")
        # Callers' arrays are copied into these, so that their addresses are looked up only once.
        self._cell = np.zeros(units, np.int32)
        self._heading = np.zeros(units, np.uint8)
        self._goal = np.zeros(units, np.int32)
        self._next_goal = np.zeros(units, np.int32)
        self._later = np.zeros(units, np.float32)
        self._loaded = np.zeros(units, np.uint8)
        self._frozen = np.zeros(units, np.uint8)
        self._priority = np.zeros(units, np.float32)
        self._due = np.zeros(units, np.float32)
        self._standing = np.zeros(places, np.uint8)
        self._blocked = np.zeros(places, np.uint8)
        self._addresses = {
            name: getattr(self, f"_{name}").ctypes.data
            for name in (
                "next_goal",
                "later",
                "loaded",
                "frozen",
                "priority",
                "due",
                "standing",
                "blocked",
            )
        }
        self._input = _Input(
            self._cell.ctypes.data, self._heading.ctypes.data, self._goal.ctypes.data
        )
        self._input_address = ctypes.addressof(self._input)
        self._unit = ctypes.c_int32(0)
        self._unit_address = ctypes.addressof(self._unit)
        self._action: NDArray[np.uint8] = np.zeros(units, np.uint8)
        self._action_address = self._action.ctypes.data

    @property
    def address(self) -> int:
        """Address of the rs_planner."""
        assert self._handle is not None
        return self._handle

    def __del__(self) -> None:
        handle = getattr(self, "_handle", None)
        if handle is not None:
            self._core.rs_planner_free(handle)
            self._handle = None

    def step(
        self,
        cell: NDArray[np.int32],
        heading: NDArray[np.uint8],
        goal: NDArray[np.int32],
        *,
        next_goal: NDArray[np.int32] | None = None,
        later: NDArray[np.float32] | None = None,
        loaded: NDArray[np.uint8] | None = None,
        frozen: NDArray[np.uint8] | None = None,
        priority: NDArray[np.float32] | None = None,
        due: NDArray[np.float32] | None = None,
        standing: NDArray[np.uint8] | None = None,
        blocked: NDArray[np.uint8] | None = None,
        budget_s: float = 0.0,
        iterations: int | None = None,
    ) -> NDArray[np.uint8]:
        """The next action of every unit.

        Args:
            cell: [units] grid index of each unit; no two equal.
            heading: [units] 0..3.
            goal: [units] grid index, or -1: none, the unit stays where it is until pushed.
            next_goal: [units] grid index of where the unit goes on to at once from its goal, or -1:
                not known, or it stays there for a while.
            later: [units] steps from the goal to the end of the unit's task, None: 0. Of units of
                equal priority the one nearer to the end of its task goes first.
            loaded: [units] 1: carries a pod; it enters storage cells only as its goal, and never
                a cell where a pod stands.
            frozen: [units] 1: must wait in this step; nobody pushes it.
            priority: [units] 0..15; larger goes first, and its delay weighs more. A unit that has
                waited very long (see `docs/traffic.md`) goes first all the same.
            due: [units] steps from now until which the unit should be at its goal, NaN or inf: no
                deadline. Priority rises by up to 4 as what is left beyond the unit's way alone
                falls from 64 steps to 0, and stays there when it is late.
            standing: [height * width] 1: a pod stands on the cell.
            blocked: [height * width] 1: nobody may enter.
            budget_s: CPU seconds of each thread for the step; what the first plan leaves of it goes
                into improvement.
            iterations: exactly so many improvement attempts, in place of the budget.

        Returns:
            [units] uint8 actions: 0 forward, 1 turn clockwise, 2 turn counter-clockwise, 3 wait.

        Raises:
            ValueError: arrays of a wrong length, units on walls or sharing a cell, goals on walls;
                a budget that is not a number of seconds, or a number of attempts below 0.
        """
        if not (math.isfinite(budget_s) and budget_s >= 0.0):
            raise ValueError(f"budget_s: {budget_s} is not a number of seconds")
        if iterations is not None and not 0 <= iterations < 2**63:
            raise ValueError(f"iterations: {iterations} is not in 0..2**63 - 1")
        if not len(cell) == len(heading) == len(goal) == self.units:
            raise ValueError(
                f"{len(cell)} cells, {len(heading)} headings, {len(goal)} goals "
                f"for {self.units} units"
            )
        np.copyto(self._cell, cell, casting="same_kind")
        np.copyto(self._heading, heading, casting="unsafe")
        np.copyto(self._goal, goal, casting="same_kind")
        data = self._input
        optional = (
            ("next_goal", next_goal),
            ("later", later),
            ("loaded", loaded),
            ("frozen", frozen),
            ("priority", priority),
            ("due", due),
            ("standing", standing),
            ("blocked", blocked),
        )
        for name, value in optional:
            if value is None:
                setattr(data, name, None)
            else:
                np.copyto(getattr(self, f"_{name}"), value, casting="unsafe")
                setattr(data, name, self._addresses[name])
        data.budget = budget_s
        data.iterations = -1 if iterations is None else iterations
        code = self._core.rs_planner_step(
            self._handle, self._input_address, self._action_address, self._unit_address
        )
        if code:
            unit = self._unit.value
            raise ValueError(
                f"unit {unit} (cell {self._cell[unit]}, heading {self._heading[unit]}, "
                f"goal {self._goal[unit]}) {INPUT_ERRORS[code]}"
            )
        return np.array(self._action, np.uint8)

    def travel_times(
        self, cell: NDArray[np.int32], heading: NDArray[np.uint8], goal: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        """Steps that an empty unit alone on the floor needs, for many starts and goals at once.

        Args:
            cell: [queries] grid index of each start.
            heading: [queries] 0..3.
            goal: [queries] grid index of each goal; queries sorted by goal are quickest.

        Returns:
            [queries] float32 steps with the floor's extra costs; -1 where there is no way.

        Raises:
            ValueError: arrays of different lengths, starts or goals on walls.
        """
        cell = np.ascontiguousarray(cell, np.int32)
        heading = np.ascontiguousarray(heading, np.uint8)
        goal = np.ascontiguousarray(goal, np.int32)
        if not cell.shape == heading.shape == goal.shape:
            raise ValueError("cell, heading and goal have different lengths")
        steps = np.empty(cell.size, np.float32)
        code = self._core.rs_planner_travel(
            self._handle,
            cell.size,
            cell.ctypes.data,
            heading.ctypes.data,
            goal.ctypes.data,
            steps.ctypes.data,
            self._unit_address,
        )
        if code:
            query = self._unit.value
            raise ValueError(f"query {query} {INPUT_ERRORS[code]}")
        return steps

    def stats(self) -> PlannerStats:
        """Counters of the last step and since the planner was made."""
        raw = _Stats()
        self._core.rs_planner_get_stats(self._handle, ctypes.byref(raw))
        return PlannerStats(*(getattr(raw, field[0]) for field in _Stats._fields_))
