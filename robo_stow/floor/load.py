"""Reads a building file, checks it against its schema and its meaning, and makes a `Building`.

Every mistake in a file is an `InputError` that names the file, the dotted field and the value.
The fields of a building file are those of `SCHEMA`, all of them required but `zones`, with `layout`
(see `robo_stow.floor.layout`) or `map` for the cells.
"""

from __future__ import annotations

import ctypes
import math
import re
import sys
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from scipy.sparse import csr_array  # type: ignore[import-untyped]
from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]

from robo_stow import native
from robo_stow.errors import InputError
from robo_stow.floor import layout
from robo_stow.floor.building import (
    Building,
    CellKind,
    DriveProfile,
    FaultSpec,
    FulfilmentSpec,
    Grid,
    Level,
    LifterSite,
    LifterSpec,
    Lorry,
    OrderSpec,
    PeopleSpec,
    PodClass,
    PodSpec,
    Shelf,
    Station,
    StockSpec,
    TrafficSpec,
    Zone,
)
from robo_stow.resources import share_dir

DOCK_TABLE = 0.35
"""m, height of the table from which an arm takes pallets: its wrist needs room beneath."""
MAX_CELLS = 4_000_000
MAX_FILE_BYTES = 16_000_000
CROWDED = 0.35
"""More units than this share of the aisle and hall cells: traffic comes to a crawl."""


# --- schema -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Number:
    """A number within bounds."""

    low: float
    high: float
    whole: bool = False


@dataclass(frozen=True)
class Text:
    """A string; not an empty one, if not said otherwise."""

    choices: tuple[str, ...] = ()
    longest: int = 0  # printable letters; 0: any
    empty: bool = False


@dataclass(frozen=True)
class Flag:
    """true or false."""


@dataclass(frozen=True)
class ListOf:
    """A list of ``item``, of ``low`` to ``high`` entries."""

    item: Any
    low: int
    high: int


def _count(low: int, high: int) -> Number:
    return Number(low, high, whole=True)


_SHARE = Number(0.0, 1.0)
_BAYS = ListOf(Text(), 0, 2000)

LAYOUT_SCHEMA: dict[str, Any] = {
    "blocks": ListOf(_count(1, 500), 2, 2),
    "block_width": _count(1, 20),
    "lanes": _count(1, 4),
    "queue": {"pick": _count(1, 50), "stow": _count(1, 50), "lifter": _count(1, 50)},
    "north": _BAYS,
    "east": _BAYS,
    "south": _BAYS,
    "west": _BAYS,
}

SHELF_SCHEMA: dict[str, Any] = {
    "bins": _count(1, 50),
    "width": Number(0.02, 5),
    "depth": Number(0.02, 5),
    "height": Number(0.02, 5),
    "capacity": Number(0.1, 10_000),
}

CLASS_SCHEMA: dict[str, Any] = {
    "pods": _count(1, 1_000_000),
    "temperature": Text(longest=64),
    "hazard": Text(longest=64, empty=True),
}

LORRY_SCHEMA: dict[str, Any] = {
    "carrier": Text(longest=64),
    "share": Number(0.001, 1000),
    "first": Number(0, 1e5),
    "every": Number(1, 1e5),
}

SCHEMA: dict[str, Any] = {
    "name": Text(),
    "seed": _count(0, 2**31 - 1),
    "levels": ListOf({"name": Text(), "height": Number(0, 200), "storage": Flag()}, 2, 20),
    "pitch": Number(0.5, 5.0),
    "zones": ListOf(
        {
            "name": Text(),
            "rows": ListOf(_count(0, MAX_CELLS), 2, 2),
            "columns": ListOf(_count(0, MAX_CELLS), 2, 2),
        },
        0,
        1000,
    ),
    "units": _count(1, 60_000),
    "drive": {
        "name": Text(),
        "max_speed": Number(0.1, 10),
        "acceleration": Number(0.05, 10),
        "turn_time": Number(0.1, 60),
        "lift_time": Number(0.1, 60),
        "payload": Number(1, 50_000),
        "footprint": Number(0.1, 5),
        "mass": Number(1, 20_000),
        "battery": Number(1, 1e6),
        "idle_power": Number(0, 1e5),
        "drive_power": Number(0, 1e6),
        "load_power": Number(0, 1e6),
        "lift_energy": Number(0, 1e4),
        "charge_power": Number(1, 1e6),
        "charge_below": _SHARE,
        "charge_until": _SHARE,
    },
    "pods": {
        "count": _count(1, 1_000_000),
        "size": Number(0.1, 5),
        "mass": Number(1, 10_000),
        "capacity": Number(1, 50_000),
        "faces": _count(1, 4),
        "usable": Number(0.1, 1.0),
        "shelves": ListOf(SHELF_SCHEMA, 1, 50),
        "classes": ListOf(CLASS_SCHEMA, 0, 100),
    },
    "lifter": {
        "rated_load": Number(1, 100_000),
        "joint_speed": ListOf(Number(0.01, 20), 6, 6),
        "joint_acceleration": ListOf(Number(0.01, 100), 6, 6),
        "grip_time": Number(0, 60),
        "reach": Number(0.5, 20),
        "plinth": Number(0, 50),
    },
    "people": {
        "pick_line": Number(0, 600),
        "pick_piece": Number(0, 600),
        "put_share": _SHARE,
        "stow_line": Number(0, 600),
        "stow_piece": Number(0, 600),
        "pack_tote": Number(0, 3600),
        "packers": _count(1, 10_000),
        "spread": Number(0, 2),
        "short_share": _SHARE,
        "damaged_share": _SHARE,
        "rescan_share": _SHARE,
    },
    "orders": {
        "file": Text(),
        "orders_per_hour": Number(0.01, 1e6),
        "max_lines": _count(1, 1000),
        "max_pieces": _count(1, 1000),
        "tote_volume": Number(0, 100),
        "due_minutes": Number(1, 1e5),
    },
    "lorries": ListOf(LORRY_SCHEMA, 0, 100),
    "stock": {
        "fill": _SHARE,
        "cover_pieces": _count(0, 100_000),
        "pallet_pieces": _count(1, 100_000),
        "pallets_per_hour": Number(0, 1e5),
        "lookalike": _count(1, 20),
        "items": Text(empty=True),
    },
    "traffic": {
        "tick": Number(0.05, 10),
        "backlog": _count(1, 100),
        "budget": Number(0, 10),
    },
    "fulfilment": {"slots": _count(1, 1000), "pods_per_station": _count(1, 1000)},
    "faults": {"late_share": _SHARE, "late_seconds": Number(0, 600)},
}


class _Reader:
    """Checks values of one file against a schema."""

    def __init__(self, source: str) -> None:
        self.source = source

    def error(self, field: str, value: object, message: str) -> InputError:
        text = repr(value)
        shown = value if len(text) <= 80 else text[:77] + "..."
        return InputError(self.source, field, shown, message)

    def read(self, field: str, value: object, want: Any) -> Any:
        """The checked value: dicts and lists of plain values."""
        if isinstance(want, dict):
            return self._section(field, value, want)
        if isinstance(want, ListOf):
            if not isinstance(value, list) or not want.low <= len(value) <= want.high:
                span = f"{want.low}" if want.low == want.high else f"{want.low} to {want.high}"
                raise self.error(field, value, f"must be a list of {span} entries")
            return [self.read(f"{field}[{i}]", v, want.item) for i, v in enumerate(value)]
        if isinstance(want, Number):
            return self._number(field, value, want)
        if isinstance(want, Flag):
            if not isinstance(value, bool):
                raise self.error(field, value, "must be true or false")
            return value
        if not isinstance(value, str) or not (want.empty or value.strip()):
            raise self.error(field, value, "must be a text")
        if want.longest and not (len(value) <= want.longest and value.isprintable()):
            raise self.error(field, value, f"must be at most {want.longest} printable letters")
        if want.choices and value not in want.choices:
            raise self.error(field, value, f"must be one of {', '.join(want.choices)}")
        return value

    def _section(self, field: str, value: object, want: Mapping[str, Any]) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.error(field, value, f"must be a section with {', '.join(want)}")
        prefix = f"{field}." if field else ""
        for key in value:
            if key not in want:
                near = get_close_matches(str(key), want, 1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise self.error(
                    f"{prefix}{str(key)[:60]}", value[key], f"is not a known field{hint}"
                )
        for key in want:
            if key not in value:
                raise self.error(f"{prefix}{key}", None, "is missing")
        return {key: self.read(f"{prefix}{key}", value[key], want[key]) for key in want}

    def _number(self, field: str, value: object, want: Number) -> float | int:
        kind = "whole number" if want.whole else "number"
        span = f"must be a {kind} from {want.low:g} to {want.high:g}"
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.error(field, value, span)
        if not want.low <= value <= want.high:  # also refuses nan
            raise self.error(field, value, span)
        if want.whole:
            if int(value) != value:
                raise self.error(field, value, span)
            return int(value)
        return float(value)


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice and reads 1e3 as a number (as YAML 1.2 does)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = set()
        for key_node, _ in node.value:
            if isinstance(key_node, yaml.ScalarNode):
                if key_node.value in keys:
                    raise yaml.constructor.ConstructorError(
                        problem=f"{key_node.value!r} is given twice",
                        problem_mark=key_node.start_mark,
                    )
                keys.add(key_node.value)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def _parse(source: str, text: str) -> object:
    try:
        return yaml.load(text, _Loader)  # noqa: S506 (a SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        lines = text.splitlines()
        shown = lines[line - 1].strip() if line <= len(lines) else ""
        raise InputError(
            source, f"line {line}", shown[:80], f"is not valid YAML: {str(error.problem)[:120]}"
        ) from None
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError) as error:
        # PyYAML lets such errors escape from ill-formed scalars (a date like 2001-99-99).
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(source, "file", text[:40], f"is not valid YAML: {reason}") from None
    except RecursionError:
        raise InputError(source, "file", text[:40], "is nested too deeply") from None


# --- building -----------------------------------------------------------------------------------


def find_building(name_or_path: str) -> Path:
    """File of a shipped building, by its name, or of a path.

    Raises:
        InputError: there is no such file.
    """
    shipped = share_dir() / "config" / "buildings"
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml") and len(path.parts) == 1:
        path = shipped / f"{name_or_path}.yaml"
    try:
        if path.is_file():
            return path
    except OSError:  # a name that no file can have
        pass
    names = ", ".join(sorted(p.stem for p in shipped.glob("*.yaml")))
    raise InputError(
        name_or_path,
        "building",
        name_or_path,
        f"is neither a file nor a shipped building ({names})",
    )


def building_text(path: Path) -> str:
    """Text of a building file, unchecked.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InputError(path, "file", path.stat().st_size, "is too large, bytes")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, "file", path.name, f"cannot be read: {error}") from None


def load_building(
    name_or_path: str, *, units: int | None = None, orders: str | None = None
) -> Building:
    """Reads and checks a building.

    Args:
        name_or_path: name of a shipped building (``demo``) or path of a YAML file.
        units: number of drive units instead of the file's.
        orders: CSV of order lines instead of the file's.

    Raises:
        InputError: the file cannot be read, or holds something that cannot be used.
    """
    path = find_building(name_or_path)
    building = building_from_text(building_text(path), str(path), units=units)
    if orders is None:
        return building
    return replace(building, orders=replace(building.orders, file=orders))


def building_from_text(text: str, source: str, *, units: int | None = None) -> Building:
    """Checks the text of a building file and makes the building; ``source`` names it in errors."""
    reader = _Reader(source)
    raw = _parse(source, text)
    if not isinstance(raw, dict):
        raise reader.error("file", raw, "must hold fields such as name, levels and layout")
    if ("layout" in raw) == ("map" in raw):
        raise reader.error("layout", raw.get("layout"), "give either layout or map")
    rows_or_layout = {"map": Text()} if "map" in raw else {"layout": LAYOUT_SCHEMA}
    if units is not None and "units" in raw:
        raw = {**raw, "units": units}
    data = reader.read("", {"zones": [], "lorries": [], **raw}, {**SCHEMA, **rows_or_layout})
    levels, storage = _levels(reader, data)
    cells = _cells(reader, data)
    stations, lifters = _sites(reader, data, cells, levels[0], storage)
    _check_sizes(reader, data, cells)
    grid = Grid(cells.width, cells.height, data["pitch"], cells.kind, cells.exits, cells.cost)
    _check_network(reader, grid)
    lifter = data["lifter"]
    return Building(
        name=data["name"],
        source=source,
        seed=data["seed"],
        levels=levels,
        grid=grid,
        stations=stations,
        lifters=lifters,
        chargers=tuple(cells.chargers),
        zones=_zones(reader, data["zones"], grid),
        units=data["units"],
        pods=data["pods"]["count"],
        drive=DriveProfile(**data["drive"]),
        pod=_pod(data["pods"]),
        lifter=LifterSpec(
            rated_load=lifter["rated_load"],
            joint_speed=tuple(lifter["joint_speed"]),
            joint_acceleration=tuple(lifter["joint_acceleration"]),
            grip_time=lifter["grip_time"],
        ),
        people=PeopleSpec(**data["people"]),
        orders=OrderSpec(**{**data["orders"], "file": _data_file(source, data["orders"]["file"])}),
        stock=StockSpec(**{**data["stock"], "items": _data_file(source, data["stock"]["items"])}),
        traffic=TrafficSpec(**data["traffic"]),
        fulfilment=FulfilmentSpec(**data["fulfilment"]),
        faults=FaultSpec(**data["faults"]),
        lorries=tuple(Lorry(**lorry) for lorry in data["lorries"]),
    )


def _pod(pods: dict[str, Any]) -> PodSpec:
    return PodSpec(
        size=pods["size"],
        mass=pods["mass"],
        capacity=pods["capacity"],
        faces=pods["faces"],
        usable=pods["usable"],
        shelves=tuple(Shelf(**shelf) for shelf in pods["shelves"]),
        classes=tuple(PodClass(**kept) for kept in pods["classes"]),
    )


def _data_file(source: str, name: str) -> str:
    """The file beside the building file, in its config folder, or in the shipped one.

    Whether it can be read is up to who reads it: orders may also come from elsewhere.
    """
    if not name:
        return ""
    here = Path(source).resolve().parent
    places = [here / name, here.parent / name, share_dir() / "config" / name]
    try:
        return str(next((place for place in places if place.is_file()), places[0]))
    except (OSError, ValueError):  # a name that no file can have
        raise InputError(source, "orders.file", name[:80], "is no name of a file") from None


def _levels(reader: _Reader, data: dict[str, Any]) -> tuple[tuple[Level, ...], Level]:
    levels = tuple(Level(**level) for level in data["levels"])
    for i, level in enumerate(levels):
        if level.name in [other.name for other in levels[:i]]:
            raise reader.error(f"levels[{i}].name", level.name, "is the name of another level")
        if i and level.height <= levels[i - 1].height:
            raise reader.error(
                f"levels[{i}].height", level.height, "must lie above the level before it"
            )
    storage = [level for level in levels if level.storage]
    if len(storage) != 1:
        raise reader.error(
            "levels", [level.name for level in storage], "exactly one level must have storage: true"
        )
    if levels[0].storage:
        raise reader.error("levels[0].storage", True, "the first level is the dock, not storage")
    return levels, storage[0]


def _cells(reader: _Reader, data: dict[str, Any]) -> layout.Cells:
    try:
        if "map" in data:
            rows = data["map"].strip("\n").split("\n")
            if len(rows) * max(map(len, rows)) > MAX_CELLS:
                raise layout.LayoutError("map", len(rows), f"has more than {MAX_CELLS} cells")
            return layout.parse(rows)
        return layout.generate(_layout_spec(reader, data["layout"]))
    except layout.LayoutError as error:
        field = error.where if error.where.startswith("map") else f"layout.{error.where}"
        raise reader.error(field, error.value, error.message) from None


def _layout_spec(reader: _Reader, data: dict[str, Any]) -> layout.LayoutSpec:
    sides = {}
    for side in layout.SIDES:
        bays: list[str] = []
        for i, entry in enumerate(data[side]):
            bay, times, count = (part.strip() for part in entry.partition(" x "))
            known = bay in layout.BAY_WIDTH
            if not known or (times and not (count.isdecimal() and 0 < int(count[:6]) <= 2000)):
                raise reader.error(
                    f"layout.{side}[{i}]",
                    entry,
                    f"must be one of {', '.join(layout.BAY_WIDTH)}, or several as 'pick x 3'",
                )
            bays += [bay] * (int(count) if times else 1)
        sides[side] = tuple(bays)
    spec = layout.LayoutSpec(
        blocks=(data["blocks"][0], data["blocks"][1]),
        block_width=data["block_width"],
        lanes=data["lanes"],
        pick_queue=data["queue"]["pick"],
        stow_queue=data["queue"]["stow"],
        handoff_queue=data["queue"]["lifter"],
        sides=sides,
    )
    if (spec.blocks[0] * (spec.block_width + 1) + 100) * (spec.blocks[1] * 3 + 100) > MAX_CELLS:
        raise reader.error("layout.blocks", data["blocks"], f"makes more than {MAX_CELLS} cells")
    return spec


def _sites(
    reader: _Reader, data: dict[str, Any], cells: layout.Cells, dock: Level, storage: Level
) -> tuple[tuple[Station, ...], tuple[LifterSite, ...]]:
    """Stations and lifters with the lanes that lead into them."""
    used: set[int] = set()

    def lane(name: str, cell: int) -> tuple[int, ...]:
        try:
            queue = layout.lane_to(cells, cell)
        except layout.LayoutError as error:
            raise reader.error(f"{name}.queue", error.value, error.message) from None
        row_col = divmod(cell, cells.width)
        if not queue:
            raise reader.error(
                f"{name}.queue", row_col, "no queue cell leads into it (row, column)"
            )
        if used & set(queue):
            raise reader.error(f"{name}.queue", row_col, "shares queue cells with another lane")
        used.update(queue)
        return queue

    stations = [
        Station(f"pick_{i}", "pick", cell, lane(f"pick_{i}", cell))
        for i, cell in enumerate(cells.picks, 1)
    ]
    for i, (cell, pallet) in enumerate(cells.stows, 1):
        name = f"stow_{i}"
        pallet_lane = lane(f"{name}.pallet", pallet) if pallet >= 0 else ()
        stations.append(Station(name, "stow", cell, lane(name, cell), pallet, pallet_lane))
    lifters = []
    for i, cell in enumerate(cells.handoffs, 1):
        queue = lane(f"lifter_{i}", cell)
        lifters.append(_lifter(f"lifter_{i}", data, cells, cell, queue, dock, storage))
    stray = np.setdiff1d(np.flatnonzero(cells.kind == CellKind.QUEUE), sorted(used))
    if stray.size:
        where = divmod(int(stray[0]), cells.width)
        raise reader.error("queue", where, "queue cell leads into no station (row, column)")
    return tuple(stations), tuple(lifters)


def _zones(reader: _Reader, data: list[dict[str, Any]], grid: Grid) -> tuple[Zone, ...]:
    zones: list[Zone] = []
    for i, zone in enumerate(data):
        if zone["name"] in [other.name for other in zones]:
            raise reader.error(f"zones[{i}].name", zone["name"], "is the name of another zone")
        for field, size in (("rows", grid.height), ("columns", grid.width)):
            first, last = zone[field]
            if not first <= last < size:
                raise reader.error(
                    f"zones[{i}].{field}",
                    zone[field],
                    f"must be first and last of the floor's {size} {field}, from 0",
                )
        top, bottom = zone["rows"]
        left, right = zone["columns"]
        index = np.arange(grid.cells).reshape(grid.height, grid.width)
        cells = index[top : bottom + 1, left : right + 1].ravel()
        floor = cells[grid.kind[cells] != CellKind.WALL]
        if not floor.size:
            raise reader.error(f"zones[{i}]", zone["name"], "has no cell that is not a wall")
        zones.append(Zone(zone["name"], tuple(floor.tolist())))
    return tuple(zones)


def _lifter(
    name: str,
    data: dict[str, Any],
    cells: layout.Cells,
    cell: int,
    queue: tuple[int, ...],
    dock: Level,
    storage: Level,
) -> LifterSite:
    """The arm stands ``reach`` beyond its hand-off cell, the dock position as far again."""
    grid = Grid(cells.width, cells.height, data["pitch"], cells.kind, cells.exits, cells.cost)
    x, y = (float(v[0]) for v in grid.xy(np.array([cell], np.int32)))
    heading = next(h for h in range(4) if grid.neighbour(queue[0], h) == cell)
    dx, dy = layout.DCOL[heading], -layout.DROW[heading]
    reach = data["lifter"]["reach"]
    # World z is measured from the dock floor, level 1.
    return LifterSite(
        id=name,
        cell=cell,
        queue=queue,
        base=(x + dx * reach, y + dy * reach, dock.height + data["lifter"]["plinth"]),
        dock=(x + 2 * dx * reach, y + 2 * dy * reach, dock.height + DOCK_TABLE),
    )


def _check_sizes(reader: _Reader, data: dict[str, Any], cells: layout.Cells) -> None:
    storage = int(np.count_nonzero(cells.kind == CellKind.STORAGE))
    where = "map" if "map" in data else "layout"
    pallets = any(pallet >= 0 for _, pallet in cells.stows)
    for found, what, needed in (
        (storage, "storage cell", True),
        (len(cells.picks), "pick station", True),
        (len(cells.stows), "stow station", True),
        (len(cells.handoffs), "lifter", pallets),
        (len(cells.chargers), "charger", data["drive"]["charge_below"] > 0.0),
    ):
        if needed and not found:
            raise reader.error(where, 0, f"has no {what}, at least one is needed")
    if data["pods"]["count"] > storage:
        raise reader.error(
            "pods.count", data["pods"]["count"], f"the floor has {storage} storage cells only"
        )
    if data["pods"]["count"] == storage:
        raise reader.error("pods.count", storage, "leave at least one storage cell free")
    _check_pods(reader, data["pods"])
    if data["units"] > storage:
        raise reader.error(
            "units", data["units"], f"units rest on storage cells, of which there are {storage}"
        )
    pitch = data["pitch"]
    for field, size in (
        ("drive.footprint", data["drive"]["footprint"]),
        ("pods.size", data["pods"]["size"]),
    ):
        if size >= pitch:
            raise reader.error(
                field, size, f"must be less than the pitch of the cells, {pitch:g} m"
            )
    drive = data["drive"]
    if drive["charge_below"] >= drive["charge_until"]:
        raise reader.error(
            "drive.charge_below", drive["charge_below"], "must be less than drive.charge_until"
        )
    full = data["pods"]["mass"] + data["pods"]["capacity"]
    if full > drive["payload"]:
        raise reader.error(
            "pods.capacity",
            data["pods"]["capacity"],
            f"a full pod weighs {full:g} kg, a unit carries {drive['payload']:g} kg",
        )


def _check_pods(reader: _Reader, pods: dict[str, Any]) -> None:
    for i, shelf in enumerate(pods["shelves"]):
        for field, value, what in (
            ("width", shelf["width"] * shelf["bins"], "together "),
            ("depth", shelf["depth"], ""),
        ):
            if value > pods["size"]:
                raise reader.error(
                    f"pods.shelves[{i}].{field}",
                    shelf[field],
                    f"the bins are {what}{value:g} m, the pod {pods['size']:g} m",
                )
    seen = []
    for i, kept in enumerate(pods["classes"]):
        one = (kept["temperature"], kept["hazard"])
        if one == ("ambient", "") or one in seen:
            raise reader.error(
                f"pods.classes[{i}]", list(one), "is a class that other pods are kept for"
            )
        seen.append(one)
    special = sum(kept["pods"] for kept in pods["classes"])
    if special > pods["count"]:
        raise reader.error("pods.classes", special, "are more pods than pods.count")


# --- network ------------------------------------------------------------------------------------


def edges(grid: Grid, passable: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Moves (from, to) between passable cells that the exits allow."""
    sources, targets = [], []
    index = np.arange(grid.cells).reshape(grid.height, grid.width)
    exits = grid.exits.reshape(grid.height, grid.width)
    for heading in range(4):
        dr, dc = layout.DROW[heading], layout.DCOL[heading]
        rows = slice(max(-dr, 0), grid.height - max(dr, 0))
        cols = slice(max(-dc, 0), grid.width - max(dc, 0))
        here = index[rows, cols][exits[rows, cols] >> heading & 1 == 1]
        there = here + dr * grid.width + dc
        keep = passable[here] & passable[there]
        sources.append(here[keep])
        targets.append(there[keep])
    return np.concatenate(sources), np.concatenate(targets)


def components(grid: Grid, passable: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Label of each cell's strongly connected part, -1 where impassable; 0 is the largest part."""
    source, target = edges(grid, passable)
    graph = csr_array(
        (np.ones(source.size, np.int8), (source, target)), shape=(grid.cells, grid.cells)
    )
    _, label = connected_components(graph, connection="strong")
    counts = np.bincount(label[passable], minlength=int(label.max()) + 1)
    rank = np.empty(counts.size, np.int32)
    rank[np.argsort(-counts, kind="stable")] = np.arange(counts.size)
    out: NDArray[np.int32] = np.where(passable, rank[label], -1).astype(np.int32)
    return out


def _check_network(reader: _Reader, grid: Grid) -> None:
    """Everything must be reachable from everywhere: loaded on the aisles, empty beneath pods."""
    drivable = grid.kind != CellKind.WALL
    aisles = drivable & (grid.kind != CellKind.STORAGE)
    if not aisles.any():
        raise reader.error("map", 0, "has no aisles, at least one travel cell is needed")
    for passable, load in ((aisles, "with a load"), (drivable, "empty")):
        cut = np.flatnonzero(passable & (components(grid, passable) > 0))
        if cut.size:
            where = divmod(int(cut[0]), grid.width)
            kind = CellKind(int(grid.kind[cut[0]])).name.lower()
            raise reader.error(
                "cell",
                where,
                f"{kind} cell (row, column) is cut off: a unit {load} cannot drive there and back",
            )
    storage = grid.kind == CellKind.STORAGE
    source, target = edges(grid, drivable)
    entered = np.zeros(grid.cells, np.bool_)
    left = np.zeros(grid.cells, np.bool_)
    entered[target[aisles[source]]] = True
    left[source[aisles[target]]] = True
    bad = np.flatnonzero(storage & ~(entered & left))
    if bad.size:
        where = divmod(int(bad[0]), grid.width)
        raise reader.error(
            "cell", where, "storage cell (row, column) has no aisle beside it to come and go by"
        )


def _confined_moves(grid: Grid, units: int) -> tuple[int, list[tuple[int, int]]]:
    """Moves on the roads beyond which so many units could lock each other up: number, some."""
    most = 3
    exits = np.where(grid.kind == CellKind.TRAVEL, grid.exits, 0).astype(np.uint8)
    ends = np.zeros((2, most), np.int32)
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in (exits, ends[0], ends[1])]
    sizes = [ctypes.c_int32(n) for n in (grid.width, grid.height, units + 1, most)]
    found = int(native.load().rs_confined_moves(*sizes[:2], pointers[0], *sizes[2:], *pointers[1:]))
    if found < 0:
        raise MemoryError("no memory to check the roads")
    return found, [(int(a), int(b)) for a, b in ends.T[:found].tolist()]


def warnings(building: Building) -> list[str]:
    """What is allowed but likely a mistake, one line each; `show_warnings` prints them."""
    out = []
    confined, moves = _confined_moves(building.grid, building.units)
    if confined:
        width = building.grid.width
        shown = ", ".join(f"{divmod(a, width)} to {divmod(b, width)}" for a, b in moves)
        out.append(
            f"roads: {confined} moves between travel cells (row, column) lead where "
            f"{building.units} units can shut one another in: it is not certain that every unit "
            f"arrives: {shown}{', ...' if confined > len(moves) else ''}"
        )
    kind = building.grid.kind
    roads = int(np.count_nonzero(kind == CellKind.TRAVEL))
    storage = int(np.count_nonzero(kind == CellKind.STORAGE))
    if building.units > CROWDED * roads:
        out.append(
            f"units: {building.units} units on {roads} aisle and hall cells will jam; "
            f"at most {math.floor(CROWDED * roads)} are advised"
        )
    if building.pods > 0.95 * storage:
        out.append(
            f"pods.count: {building.pods} pods fill {building.pods / storage:.0%} of the storage "
            "cells; pods need free cells to be put away"
        )
    if building.drive.charge_below > 0.0 and len(building.chargers) < 0.1 * building.units:
        out.append(
            f"chargers: {len(building.chargers)} for {building.units} units; "
            "a tenth to a fifth is usual"
        )
    picks = [station for station in building.stations if station.kind == "pick"]
    for station in picks:
        if building.fulfilment.pods_per_station > len(station.queue) + 1:
            out.append(
                f"fulfilment.pods_per_station: {building.fulfilment.pods_per_station} pods do not "
                f"fit in the lane of {station.id} ({len(station.queue) + 1} cells); "
                "the others wait in the field"
            )
            break
    if not Path(building.orders.file).is_file():
        out.append(f"orders.file: {building.orders.file} is not a file")
    return out


def show_warnings(building: Building) -> None:
    """Prints the `warnings` to stderr."""
    for warning in warnings(building):
        print(f"robo-stow: warning: {building.source}: {warning}", file=sys.stderr)
