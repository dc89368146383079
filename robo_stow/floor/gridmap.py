"""Public grid maps and benchmark instances: MovingAI ``.map`` files and the lifelong planning
instances of the League of Robot Runners (2023, 2024 and 2026 forms).

Map: lines ``type octile``, ``height H``, ``width W``, ``map``, then H rows of W characters; ``@``,
``T`` and ``O`` are walls, ``.``, ``G``, ``S`` (storage) and ``E`` (station) are free. A location is
``row * W + column`` with row 0 at the top. Agents and tasks: comment lines start with ``#``; then
the number of entries, then one entry a line; a task is one location (2023) or several separated by
commas, to be visited in that order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_stow.errors import InputError

_FREE = b".GSE"
_WALL = b"@TO"
_ALL_EXITS = 15
_CELLS_MAX = 2**26


@dataclass(frozen=True)
class GridMap:
    """One level read from a map file."""

    width: int
    height: int
    kind: NDArray[np.uint8]
    """[height * width] the character of each cell."""
    free: NDArray[np.bool_]
    """[height * width] True where a unit can be."""

    @property
    def exits(self) -> NDArray[np.uint8]:
        """[height * width] allowed exits as the planner takes them: all four, or 0 for a wall."""
        return np.where(self.free, _ALL_EXITS, 0).astype(np.uint8)


@dataclass(frozen=True)
class Delays:
    """Execution model of a 2026 instance; durations in ticks."""

    ticks_per_move: int
    safety_square: float
    seed: int
    min_delay: int
    max_delay: int
    event_model: str
    probability: float
    duration_model: str
    gauss_mean_ratio: float
    gauss_std_ratio: float


@dataclass(frozen=True)
class Instance:
    """A lifelong planning problem."""

    name: str
    form: int
    """2023: round robin, one errand a task; 2024: open pool; 2026: pool, delayed execution."""
    grid: GridMap
    starts: NDArray[np.int32]
    """[units] start locations; all units face east."""
    tasks: list[list[int]]
    """Locations of each task in the order of their visits."""
    steps: int
    """Default number of steps (2026: ticks)."""
    reveal: float
    """Open tasks per unit (2024 and 2026)."""
    delays: Delays | None


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines()
    except OSError as error:
        raise InputError(path, "file", str(path), error.strerror or "cannot be read") from None
    except ValueError as error:  # a name that no file can have
        raise InputError(path, "file", str(path), str(error)) from None


def _show(text: bytes) -> str:
    """A line as shown in an error, cut to a readable length."""
    shown = text[:40].decode("ascii", "backslashreplace")
    return shown + ("..." if len(text) > 40 else "")


def _whole(path: Path, line: int, text: bytes, low: int, high: int, what: str) -> int:
    """A whole number in low..high, or an `InputError` that names file, line and value."""
    digits = text.strip()
    if not digits.isdigit() or len(digits) > 18 or not low <= int(digits) <= high:
        raise InputError(
            path, f"line {line}", _show(text), f"{what} must be a whole number in {low}..{high}"
        )
    return int(digits)


def read_map(path: str | Path) -> GridMap:
    """Reads a MovingAI map. Raises `InputError` naming file, line and value."""
    path = Path(path)
    lines = _lines(path)
    sizes = {}
    for number, word in ((1, b"type"), (2, b"height"), (3, b"width"), (4, b"map")):
        text = lines[number - 1] if number <= len(lines) else b""
        parts = text.split()
        wanted = 1 if word == b"map" else 2
        if len(parts) != wanted or parts[0] != word:
            raise InputError(
                path, f"line {number}", _show(text), f"must be `{word.decode()}` of a MovingAI map"
            )
        if word in (b"height", b"width"):
            sizes[word] = _whole(path, number, parts[1], 1, _CELLS_MAX, word.decode())
    height, width = sizes[b"height"], sizes[b"width"]
    if height * width > _CELLS_MAX:
        raise InputError(path, "line 2", height, f"more than {_CELLS_MAX} cells")
    rows = lines[4:]
    while rows and not rows[-1].strip():
        rows.pop()
    if len(rows) != height:
        raise InputError(path, "line 2", height, f"the map has {len(rows)} rows")
    for number, row in enumerate(rows, start=5):
        if len(row.rstrip()) != width:
            raise InputError(path, f"line {number}", _show(row), f"must have {width} characters")
        if row.rstrip().translate(None, _FREE + _WALL):
            raise InputError(
                path, f"line {number}", _show(row), "only . G S E (free) and @ T O (wall) are known"
            )
    kind = np.frombuffer(b"".join(row.rstrip() for row in rows), np.uint8).copy()
    free = np.isin(kind, np.frombuffer(_FREE, np.uint8))
    return GridMap(width, height, kind, free)


def _entries(path: Path) -> Iterator[tuple[int, bytes]]:
    """(line number, text) of the entries after the count, which must match."""
    numbered = [
        (number, line.strip())
        for number, line in enumerate(_lines(path), start=1)
        if line.strip() and not line.lstrip().startswith(b"#")
    ]
    if not numbered:
        raise InputError(path, "line 1", "", "must hold the number of entries")
    number, text = numbered[0]
    count = _whole(path, number, text, 0, 2**31, "number of entries")
    if len(numbered) - 1 < count:
        raise InputError(path, f"line {number}", count, f"only {len(numbered) - 1} entries follow")
    yield from numbered[1 : count + 1]


def _location(path: Path, line: int, text: bytes, grid: GridMap) -> int:
    place = _whole(path, line, text, 0, grid.width * grid.height - 1, "location")
    if not grid.free[place]:
        raise InputError(path, f"line {line}", place, "location is a wall")
    return place


def read_agents(path: str | Path, grid: GridMap) -> NDArray[np.int32]:
    """[units] start locations, all free and different. Raises `InputError`."""
    path = Path(path)
    seen: dict[int, int] = {}
    for line, text in _entries(path):
        place = _location(path, line, text, grid)
        if place in seen:
            raise InputError(path, f"line {line}", place, f"already taken on line {seen[place]}")
        seen[place] = line
    return np.array(list(seen), np.int32)


def read_tasks(path: str | Path, grid: GridMap) -> list[list[int]]:
    """Locations of each task in the order of their visits. Raises `InputError`."""
    path = Path(path)
    return [
        [_location(path, line, part, grid) for part in text.split(b",")]
        for line, text in _entries(path)
    ]


class _Fields:
    """Typed access to a JSON object; errors name the file, the dotted field and the value."""

    def __init__(self, path: Path, data: Any, prefix: str = "") -> None:
        if not isinstance(data, dict):
            raise InputError(path, prefix or "file", type(data).__name__, "must be a JSON object")
        self._path, self._data, self._prefix = path, data, prefix

    def _get(self, key: str, default: Any) -> Any:
        value = self._data.get(key, default)
        if value is None:
            raise InputError(self._path, self._prefix + key, None, "is missing")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        value = self._get(key, default)
        if not isinstance(value, str):
            raise InputError(self._path, self._prefix + key, value, "must be a string")
        return value

    def number(self, key: str, low: float, high: float, default: float | None = None) -> float:
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(self._path, self._prefix + key, value, "must be a number")
        if not low <= value <= high:
            raise InputError(self._path, self._prefix + key, value, f"must be in {low:g}..{high:g}")
        return value

    def whole(self, key: str, low: int, high: int, default: int | None = None) -> int:
        value = self.number(key, low, high, default)
        if value != int(value):
            raise InputError(self._path, self._prefix + key, value, "must be a whole number")
        return int(value)

    def choice(self, key: str, known: tuple[str, ...]) -> str:
        value = self.text(key, known[0])
        if value not in known:
            raise InputError(self._path, self._prefix + key, value, f"must be {' or '.join(known)}")
        return value

    def group(self, key: str) -> _Fields:
        return _Fields(self._path, self._get(key, None), f"{self._prefix}{key}.")


def _delays(fields: _Fields) -> Delays:
    config = fields.group("delayConfig")
    low = config.whole("minDelay", 0, 10**6, 0)
    return Delays(
        ticks_per_move=fields.whole("agentCounter", 1, 1000),
        safety_square=fields.number("agentSize", 0.0, 1.0, 1.0),
        seed=config.whole("seed", 0, 2**63 - 1, 0),
        min_delay=low,
        max_delay=config.whole("maxDelay", low, 10**6, low),
        event_model=config.choice("eventModel", ("bernoulli", "poisson")),
        probability=config.number("pDelay", 0.0, 1.0, 0.0),
        duration_model=config.choice("durationModel", ("uniform", "gaussian")),
        gauss_mean_ratio=config.number("gaussMeanRatio", 0.0, 1.0, 0.5),
        gauss_std_ratio=config.number("gaussStdRatio", 0.0, 1.0, 0.25),
    )


def read_instance(path: str | Path) -> Instance:
    """Reads an instance and the files it names, relative to it. Raises `InputError`."""
    path = Path(path)
    try:
        data = json.loads(b"\n".join(_lines(path)))
    except (ValueError, RecursionError) as error:
        raise InputError(path, "file", path.name, f"is not JSON: {error}") from None
    fields = _Fields(path, data)
    version = fields.text("version")
    form = version.strip().partition(" ")[0]
    if form not in ("2023", "2024", "2026"):
        raise InputError(path, "version", version, "must be 2023, 2024 or 2026 LoRR")
    if form == "2023":
        strategy = fields.text("taskAssignmentStrategy", "roundrobin")
        if strategy != "roundrobin":
            raise InputError(
                path, "taskAssignmentStrategy", strategy, "only roundrobin is supported"
            )
    grid = read_map(path.parent / fields.text("mapFile"))
    starts = read_agents(path.parent / fields.text("agentFile"), grid)
    tasks = read_tasks(path.parent / fields.text("taskFile"), grid)
    units = fields.whole("teamSize", 1, 2**20 - 1)
    if units > len(starts):
        raise InputError(path, "teamSize", units, f"the agent file has {len(starts)} starts")
    if not tasks:
        raise InputError(path, "taskFile", fields.text("taskFile"), "has no tasks")
    return Instance(
        name=path.stem,
        form=int(form),
        grid=grid,
        starts=starts[:units],
        tasks=tasks,
        steps=fields.whole("simulationTime", 1, 10**9, 1000),
        reveal=fields.number("numTasksReveal", 1.0, 1000.0, 1.0),
        delays=_delays(fields) if form == "2026" else None,
    )


def instance_of_files(map_path: str, agents: str, tasks: str, steps: int) -> Instance:
    """An instance of three files: round robin if every task is one errand, an open pool of 1.5
    tasks a unit otherwise. Raises `InputError`."""
    grid = read_map(map_path)
    errands = read_tasks(tasks, grid)
    if not errands:
        raise InputError(tasks, "file", Path(tasks).name, "has no tasks")
    starts = read_agents(agents, grid)
    if not len(starts):
        raise InputError(agents, "file", Path(agents).name, "has no units")
    form = 2023 if all(len(task) == 1 for task in errands) else 2024
    return Instance(
        Path(tasks).stem, form, grid, starts, errands, steps, 1.0 if form == 2023 else 1.5, None
    )
