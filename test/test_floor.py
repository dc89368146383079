"""The floor: layouts, building files and their errors, start places, drawings."""

from __future__ import annotations

import argparse
import copy
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from robo_stow import resources
from robo_stow.cli import floor as commands
from robo_stow.errors import InputError
from robo_stow.floor import layout
from robo_stow.floor.building import Building, CellKind, Grid
from robo_stow.floor.export import occupancy
from robo_stow.floor.load import (
    building_from_text,
    components,
    edges,
    load_building,
    show_warnings,
    warnings,
)
from robo_stow.floor.start import pod_cells, unit_cells

DEMO = resources.share_dir() / "config" / "buildings" / "demo.yaml"
DEMO_TEXT = DEMO.read_text(encoding="utf-8")
DEMO_DATA = yaml.safe_load(DEMO_TEXT)

# One pick station, one stow station with its pallet spot, a hand-off and a charger.
DRAWN = """\
#C#############
#.<<.<<<<<.<<<#
#vSSvSS^SSvSS^#
#vSSvSS^SSvSS^#
#v<<.<<.<<.<<.#
#vSSvSS^SSvSS^#
#vSSvSS^SSvSS^#
#>.>>.>.>.>.>^#
##s^#s^##s^s^##
##s^#s^##s^s^##
##P^#T^##B^H^##
"""


ZONE = {"name": "a", "rows": [6, 7], "columns": [2, 4]}


def drawn(text: str) -> str:
    """Text of the demo's file with a drawn map instead of its layout, and few pods and units."""
    data = copy.deepcopy(DEMO_DATA)
    del data["layout"], data["zones"]
    data["map"] = text
    data["units"] = 2
    data["pods"]["count"] = 4
    return yaml.safe_dump(data)


def changed(path: str, value: Any) -> str:
    """Text of the demo's file with one field set; a path that ends in ``-`` is removed."""
    data = copy.deepcopy(DEMO_DATA)
    *parents, last = path.rstrip("-").split(".")
    node = data
    for name in parents:
        node = node[int(name) if name.isdecimal() else name]
    if path.endswith("-"):
        del node[last]
    else:
        node[int(last) if last.isdecimal() else last] = value
    return yaml.safe_dump(data)


def reachable(grid: Grid, start: int, passable: np.ndarray) -> set[int]:
    """Cells reached from ``start`` by a plain search over the exits."""
    seen, todo = {start}, deque([start])
    while todo:
        cell = todo.popleft()
        for heading in range(4):
            if grid.exits[cell] >> heading & 1:
                to = grid.neighbour(cell, heading)
                assert to >= 0, "an exit leads off the grid"
                if passable[to] and to not in seen:
                    seen.add(to)
                    todo.append(to)
    return seen


def assert_sound(grid: Grid) -> None:
    """What traffic relies on, whatever the layout."""
    aisles = (grid.kind != CellKind.WALL) & (grid.kind != CellKind.STORAGE)
    assert not grid.exits[grid.kind == CellKind.WALL].any()
    source, target = edges(grid, grid.kind != CellKind.WALL)
    assert len(source) == sum(bin(e).count("1") for e in grid.exits), "an exit leads into a wall"
    assert (components(grid, aisles)[aisles] == 0).all()
    # Loaded units never meet head-on, but for the charger pockets.
    source, target = edges(grid, aisles)
    both = set(zip(source.tolist(), target.tolist(), strict=True))
    for a, b in both:
        if (b, a) in both:
            assert CellKind.CHARGER in (grid.kind[a], grid.kind[b]), divmod(a, grid.width)


# --- shipped buildings --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "units", "pods", "picks", "stows", "lifters", "chargers"),
    [("demo", 24, 200, 2, 1, 1, 6), ("dupont", 1000, 5000, 40, 16, 4, 150)],
)
def test_shipped_buildings(
    name: str, units: int, pods: int, picks: int, stows: int, lifters: int, chargers: int
) -> None:
    building = load_building(name)
    kinds = [s.kind for s in building.stations]
    assert building.name == name
    assert (building.units, kinds.count("pick"), kinds.count("stow")) == (units, picks, stows)
    assert len(building.lifters) == lifters
    assert building.pods >= pods and len(building.chargers) >= chargers
    storage = np.count_nonzero(building.grid.kind == CellKind.STORAGE)
    assert 0.78 < building.pods / storage < 0.87
    assert [w for w in warnings(building) if not w.startswith("orders.file")] == []
    assert building.levels[0].height == 0.0 and building.levels[1].storage
    assert (building.drive.payload, building.lifter.rated_load) == (3000.0, 6000.0)
    assert building.fulfilment.pods_per_station <= len(building.stations[0].queue) + 1
    assert_sound(building.grid)


@pytest.mark.parametrize("name", ["demo", "dupont"])
def test_lanes_lead_one_way_into_their_cell(name: str) -> None:
    building = load_building(name)
    grid = building.grid
    lanes = [(s.cell, s.queue) for s in building.stations]
    lanes += [(s.pallet_cell, s.pallet_queue) for s in building.stations if s.kind == "stow"]
    lanes += [(s.cell, s.queue) for s in building.lifters]
    for cell, queue in lanes:
        ahead = cell
        for waiting in queue:
            exits = [h for h in range(4) if grid.exits[waiting] >> h & 1]
            assert [grid.neighbour(waiting, h) for h in exits] == [ahead]
            assert grid.cost[waiting] > 0
            ahead = waiting
    used = [cell for cell, queue in lanes for cell in (cell, *queue)]
    assert len(used) == len(set(used))


def test_empty_units_reach_everything_by_a_plain_search() -> None:
    grid = load_building("demo").grid
    drivable = grid.kind != CellKind.WALL
    for start in np.flatnonzero(drivable)[::97]:
        assert len(reachable(grid, int(start), drivable)) == np.count_nonzero(drivable)


def test_lifter_stands_beyond_its_hand_off_on_the_dock_side() -> None:
    building = load_building("demo")
    (lifter,) = building.lifters
    x, y = (float(v[0]) for v in building.grid.xy(np.array([lifter.cell], np.int32)))
    # North of the floor: the hand-off, then the arm, then the dock.
    assert lifter.base == pytest.approx((x, y + 3.4, 1.0))
    assert lifter.dock == pytest.approx((x, y + 6.8, 0.35))


# --- layouts ------------------------------------------------------------------------------------


@st.composite
def layouts(draw: st.DrawFn) -> layout.LayoutSpec:
    bays = st.lists(st.sampled_from(sorted(layout.BAY_WIDTH)), max_size=4).map(tuple)
    return layout.LayoutSpec(
        blocks=draw(st.tuples(st.integers(1, 5), st.integers(1, 6))),
        block_width=draw(st.integers(1, 6)),
        lanes=draw(st.integers(1, 3)),
        pick_queue=draw(st.integers(1, 6)),
        stow_queue=draw(st.integers(1, 6)),
        handoff_queue=draw(st.integers(1, 6)),
        sides={side: draw(bays) for side in layout.SIDES},
    )


@settings(max_examples=150, deadline=None)
@given(layouts())
def test_generated_layouts_are_sound(spec: layout.LayoutSpec) -> None:
    try:
        cells = layout.generate(spec)
    except layout.LayoutError as error:
        assert error.where in layout.SIDES
        assume(False)
    grid = Grid(cells.width, cells.height, 1.0, cells.kind, cells.exits, cells.cost)
    assert_sound(grid)
    blocks = spec.blocks[0] * spec.blocks[1]
    assert np.count_nonzero(grid.kind == CellKind.STORAGE) == blocks * spec.block_width * 2
    bays = [bay for side in spec.sides.values() for bay in side]
    fed = sum(pallet < 0 for _, pallet in cells.stows)
    stows = len(cells.stows) - fed
    found = (len(cells.picks), stows, fed, len(cells.handoffs), len(cells.chargers))
    assert found == tuple(bays.count(b) for b in ("pick", "stow", "feed", "lifter", "charger"))
    for cell in cells.picks:
        assert len(layout.lane_to(cells, cell)) == spec.pick_queue
    for cell, pallet in cells.stows:
        assert len(layout.lane_to(cells, cell)) == spec.stow_queue
        if pallet < 0:
            continue
        assert len(layout.lane_to(cells, pallet)) == spec.stow_queue + 1
        # The person stands between pod and pallet.
        apart = np.subtract(divmod(cell, cells.width), divmod(pallet, cells.width))
        assert sorted(np.abs(apart)) == [0, 2]
    # Every storage cell can be entered from an aisle and left to it.
    storage = grid.kind == CellKind.STORAGE
    aisles = ~storage & (grid.kind != CellKind.WALL)
    source, target = edges(grid, grid.kind != CellKind.WALL)
    entered = set(target[aisles[source]].tolist())
    left = set(source[aisles[target]].tolist())
    assert set(np.flatnonzero(storage).tolist()) <= entered & left


def test_drawn_map() -> None:
    rows = DRAWN.splitlines()
    cells = layout.parse(rows)

    def at(row: int, col: int) -> int:
        return row * cells.width + col

    assert [CellKind(k).name for k in cells.kind[at(10, 0) : at(10, 4)]] == [
        "WALL",
        "WALL",
        "STATION",
        "TRAVEL",
    ]
    assert cells.picks == [at(10, 2)]
    assert cells.stows == [(at(10, 5), at(10, 9))]
    assert cells.handoffs == [at(10, 11)]
    assert cells.chargers == [at(0, 1)]
    east, south, west, north = (1 << heading for heading in range(4))
    assert cells.exits[at(10, 2)] == east  # by its out lane, not back into the queue
    assert cells.exits[at(8, 2)] == south
    assert cells.exits[at(2, 4)] == south | east | west  # along the aisle, aside into storage
    assert cells.exits[at(4, 4)] == south | west  # never against an arrow
    assert cells.exits[at(1, 1)] == south | north  # into the charger too
    assert layout.lane_to(cells, at(10, 2)) == (at(9, 2), at(8, 2))


def test_zones_are_rectangles_without_their_walls() -> None:
    data = yaml.safe_load(drawn(DRAWN))
    assert building_from_text(yaml.safe_dump(data), "drawn.yaml").zones == ()
    data["zones"] = [{"name": "corner", "rows": [0, 3], "columns": [0, 2]}]
    building = building_from_text(yaml.safe_dump(data), "drawn.yaml")
    grid = building.grid
    (zone,) = building.zones
    cells = [r * grid.width + c for r in range(4) for c in range(3)]
    assert list(zone.cells) == [c for c in cells if grid.kind[c] != CellKind.WALL]


def test_drawn_building_loads() -> None:
    building = building_from_text(drawn(DRAWN), "drawn.yaml")
    assert [s.id for s in building.stations] == ["pick_1", "stow_1"]
    assert [len(s.queue) for s in building.stations] == [2, 2]
    assert len(building.stations[1].pallet_queue) == len(building.lifters[0].queue) == 2
    assert building.lifters[0].base[1] < 0.0  # south of the floor, beyond its hand-off
    assert np.count_nonzero(building.grid.kind == CellKind.STORAGE) == 32


@pytest.mark.parametrize(
    ("row", "old", "new", "field"),
    [
        (2, "SS", "SX", "map[2]"),  # unknown character
        (10, "T", "P", "map"),  # a pallet spot without its stow station
        (10, "P", "#", "queue"),  # a queue that leads nowhere
        (9, "s^#s", "#^#s", "pick_1.queue"),  # a station without a queue
        (10, "H", "#", "queue"),
        (4, "<<.<<.<<.<<", "###########", "cell"),  # the middle aisle is walled in
        (1, ".<<.", ".<>.", "cell"),  # an arrow the wrong way
        (0, "C", "#", "map"),  # no charger
        (3, "v", "S", "cell"),  # an aisle blocked by pods
    ],
)
def test_drawn_maps_that_cannot_work(row: int, old: str, new: str, field: str) -> None:
    rows = DRAWN.splitlines()
    assert old in rows[row]
    rows[row] = rows[row].replace(old, new, 1)
    with pytest.raises(InputError) as caught:
        building_from_text(drawn("\n".join(rows)), "drawn.yaml")
    assert caught.value.field == field


# --- errors -------------------------------------------------------------------------------------

COLD = {"pods": 3, "temperature": "chilled", "hazard": ""}


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("zones", [ZONE, ZONE], "zones[1].name"),
        ("zones", [ZONE | {"rows": [3, 2]}], "zones[0].rows"),
        ("zones", [ZONE | {"columns": [0, 29]}], "zones[0].columns"),
        ("zones", [ZONE | {"rows": [0, 1], "columns": [0, 1]}], "zones[0]"),
        ("zones", [{"name": "a"}], "zones[0].rows"),
        ("units", -3, "units"),
        ("units", 2.5, "units"),
        ("units", True, "units"),
        ("units", "many", "units"),
        ("units", 281, "units"),
        ("pitch", float("nan"), "pitch"),
        ("pitch", float("inf"), "pitch"),
        ("pitch-", None, "pitch"),
        ("pich", 1.0, "pich"),
        ("name", "", "name"),
        ("drive.max_speed", 0, "drive.max_speed"),
        ("drive.colour", "red", "drive.colour"),
        ("drive", None, "drive"),
        ("drive", [1, 2], "drive"),
        ("drive.charge_below", 0.9, "drive.charge_below"),
        ("drive.footprint", 1.2, "drive.footprint"),
        ("pods.size", 1.0, "pods.size"),
        ("pods.count", 281, "pods.count"),
        ("pods.count", 280, "pods.count"),
        ("pods.capacity", 2950, "pods.capacity"),
        ("pods.faces", 5, "pods.faces"),
        ("pods.usable", 0.0, "pods.usable"),
        ("pods.shelves", [], "pods.shelves"),
        ("pods.shelves.2.bins", 7, "pods.shelves[2].width"),
        ("pods.shelves.0.depth", 0.95, "pods.shelves[0].depth"),
        ("pods.shelves.1.height", 0, "pods.shelves[1].height"),
        ("pods.classes", [COLD | {"pods": 231}], "pods.classes"),
        ("pods.classes", [COLD, COLD], "pods.classes[1]"),
        ("pods.classes", [COLD | {"temperature": "ambient"}], "pods.classes[0]"),
        ("pods.classes", [COLD | {"hazard": "x" * 65}], "pods.classes[0].hazard"),
        ("stock.items", 3, "stock.items"),
        ("lifter.joint_speed", [1, 2, 3], "lifter.joint_speed"),
        ("lifter.joint_speed.5", -1, "lifter.joint_speed[5]"),
        ("people.short_share", 1.5, "people.short_share"),
        ("levels", [], "levels"),
        ("levels.1.height", 0.0, "levels[1].height"),
        ("levels.1.storage", False, "levels"),
        ("levels.0.storage", True, "levels"),
        ("levels.1.name", "dock", "levels[1].name"),
        ("layout.blocks", [5], "layout.blocks"),
        ("layout.blocks", [500, 500], "layout.blocks"),
        ("layout.queue.pick", 0, "layout.queue.pick"),
        ("layout.south", ["pic"], "layout.south[0]"),
        ("layout.south", ["pick x many"], "layout.south[0]"),
        ("layout.south", ["pick x 2000"], "layout.south"),
        ("layout.south", [], "layout"),
        ("layout.west", [], "layout"),
        ("map", "...", "layout"),
        ("layout-", None, "layout"),
        ("seed", -1, "seed"),
    ],
)
def test_errors_name_file_field_and_value(path: str, value: Any, field: str) -> None:
    with pytest.raises(InputError) as caught:
        building_from_text(changed(path, value), "broken.yaml")
    assert caught.value.source == "broken.yaml"
    assert caught.value.field == field
    assert str(caught.value).startswith(f"broken.yaml: {field} = ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("name: demo\nunits: [1, 2\nseed: 1\n", "line 3"),
        ("name: demo\n\tunits: 1\n", "line 2"),
        ("name: demo\nname: other\n", "line 2"),
        ("a: &a [*a]\n", "a"),
        ("", "file"),
        ("just text", "file"),
        ("[1, 2]", "file"),
        ("name: !!python/object:os.system x\n", "line 1"),
        ("name: 2001-99-99\n", "file"),
        ("name: \x00\n", "file"),
        ("[" * 5000, "file"),
        ("? [a]\n: 1\n", "line 1"),
    ],
)
def test_yaml_errors_name_the_line(text: str, field: str) -> None:
    with pytest.raises(InputError) as caught:
        building_from_text(text, "broken.yaml")
    assert field == "a" or caught.value.field == field
    assert len(str(caught.value).splitlines()) == 1


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(-3, 3), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of all values in nested dicts and lists."""
    items = node.items() if isinstance(node, dict) else enumerate(node)
    out = []
    for key, value in items:
        out.append((*path, key))
        if isinstance(value, (dict, list)):
            out += places(value, (*path, key))
    return out


PLACES = places(DEMO_DATA)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PLACES), st.booleans(), VALUES), min_size=1, max_size=3))
@example([(("stock",), False, {"\n": 0})])
def test_mutated_fields_are_refused_or_load(
    mutations: list[tuple[tuple[Any, ...], bool, Any]],
) -> None:
    data = copy.deepcopy(DEMO_DATA)
    for path, drop, value in mutations:
        node = data
        try:
            for key in path[:-1]:
                node = node[key]
            if drop:
                del node[path[-1]]
            else:
                node[path[-1]] = value
        except (KeyError, IndexError, TypeError):
            continue  # an earlier mutation took that part away
    refused_or_loads(yaml.safe_dump(data))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_mutated_text_is_refused_or_loads(data: st.DataObject) -> None:
    text = DEMO_TEXT[DEMO_TEXT.index("name:") :]
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        cut = data.draw(st.integers(0, 12))
        piece = data.draw(
            st.text(st.sampled_from("[]{}:,-&*!|>'\"#\n\t \0e.9x\u2028é%@"), max_size=4)
        )
        text = text[:at] + piece + text[at + cut :]
    refused_or_loads(text)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_mutated_maps_are_refused_or_load(data: st.DataObject) -> None:
    rows = [list(row) for row in DRAWN.splitlines()]
    for _ in range(data.draw(st.integers(1, 4))):
        row = data.draw(st.integers(0, len(rows) - 1))
        col = data.draw(st.integers(0, len(rows[row]) - 1))
        rows[row][col] = data.draw(st.sampled_from(layout.MAP_CHARACTERS))
    refused_or_loads(drawn("\n".join("".join(row) for row in rows)))


def refused_or_loads(text: str) -> None:
    try:
        building = building_from_text(text, "fuzz.yaml")
    except InputError as error:
        assert len(str(error)) < 400 and "\n" not in str(error)
        return
    grid = building.grid
    drivable = grid.kind != CellKind.WALL
    assert (components(grid, drivable)[drivable] == 0).all()
    assert 0 < building.pods < np.count_nonzero(grid.kind == CellKind.STORAGE)


def test_a_misspelt_field_is_pointed_out() -> None:
    with pytest.raises(InputError, match="did you mean max_speed"):
        building_from_text(changed("drive.max_sped", 1.0), "broken.yaml")


def test_numbers_may_have_an_exponent() -> None:
    text = DEMO_TEXT.replace("rated_load: 6000.0", "rated_load: 6e3")
    assert building_from_text(text, str(DEMO)).lifter.rated_load == 6000.0


def test_units_can_be_overridden() -> None:
    assert load_building("demo", units=3).units == 3
    for bad in (0, -1, 281):
        with pytest.raises(InputError) as caught:
            load_building("demo", units=bad)
        assert caught.value.field == "units"


@pytest.mark.parametrize("name", ["nowhere", "", "no/such.yaml", "x" * 5000, "a\0b", "/tmp"])
def test_a_building_that_is_not_there(name: str) -> None:
    with pytest.raises(InputError, match="demo, dupont"):
        load_building(name)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "bytes.yaml"
    path.write_bytes(b"\xff\xfe\x00name")
    with pytest.raises(InputError) as caught:
        load_building(str(path))
    assert caught.value.field == "file"


def test_warnings_name_what_is_unwise() -> None:
    def warned(path: str, value: Any) -> str:
        return " ".join(warnings(building_from_text(changed(path, value), str(DEMO))))

    assert "will jam" in warned("units", 250)
    assert "charger" in warned("units", 120)
    assert "pods.count" in warned("pods.count", 279)
    assert "pods_per_station" in warned("fulfilment.pods_per_station", 20)
    assert "is not a file" in warned("orders.file", "orders/none.csv")


def test_roads_where_units_can_shut_one_another_in_are_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert not [w for w in warnings(building_from_text(drawn(DRAWN), "x.yaml")) if "roads" in w]
    rows = DRAWN.splitlines()
    rows[0] = "#C##.##########"  # a dead end off the hall
    building = building_from_text(drawn("\n".join(rows)), "x.yaml")
    (warning,) = (w for w in warnings(building) if "roads" in w)
    assert "(1, 4) to (0, 4)" in warning and "2 units" in warning
    show_warnings(building)
    assert warning in capsys.readouterr().err


def test_order_file_beside_the_building_comes_first(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("x")
    path = tmp_path / "site.yaml"
    path.write_text(changed("orders.file", "mine.csv"))
    assert load_building(str(path)).orders.file == str(tmp_path / "mine.csv")


# --- start places, exports, commands ------------------------------------------------------------


@pytest.fixture(scope="module")
def demo() -> Building:
    return load_building("demo")


@given(seed=st.integers(0, 2**31 - 1))
@settings(max_examples=20, deadline=None)
def test_start_places(seed: int) -> None:
    building = load_building("demo", units=100)
    storage = set(np.flatnonzero(building.grid.kind == CellKind.STORAGE).tolist())
    pods = pod_cells(building, seed)
    units, headings = unit_cells(building, seed)
    assert pods.dtype == units.dtype == np.int32 and headings.dtype == np.uint8
    assert (len(pods), len(units), len(headings)) == (building.pods, 100, 100)
    assert len(set(pods.tolist())) == len(pods) and len(set(units.tolist())) == len(units)
    assert set(pods.tolist()) | set(units.tolist()) <= storage
    assert headings.max() <= 3
    np.testing.assert_array_equal(pods, pod_cells(building, seed))
    np.testing.assert_array_equal(units, unit_cells(building, seed)[0])


def test_start_places_differ_between_seeds(demo: Building) -> None:
    assert (pod_cells(demo, 1) != pod_cells(demo, 2)).any()


def test_occupancy_has_south_first(demo: Building) -> None:
    grid = demo.grid
    data = occupancy(grid)
    assert data.dtype == np.int8 and data.shape == (grid.height, grid.width)
    for cell in (demo.stations[0].cell, demo.lifters[0].cell, 0):
        x, y = (float(v[0]) for v in grid.xy(np.array([cell], np.int32)))
        expected = 100 if grid.kind[cell] == CellKind.WALL else 0
        assert data[int(y / grid.pitch), int(x / grid.pitch)] == expected


def command(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    commands.add_parser(parser.add_subparsers())
    args = parser.parse_args(["floor", *arguments])
    return int(args.run(args))


def test_check_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert command("check", "demo") == 0
    out = capsys.readouterr().out
    for part in ("demo: ok", "230 on 280 storage cells (82%)", "2, queue 6", "rated 6,000 kg"):
        assert part in out
    path = tmp_path / "broken.yaml"
    path.write_text(changed("drive.max_speed", -1))
    assert command("check", str(path)) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert f"{path}: drive.max_speed = -1: must be" in captured.err
    path.write_text(changed("levels.1.height", 20.0))
    assert command("check", str(path)) == 1
    assert "lifter_1" in capsys.readouterr().err


def test_draw_command(tmp_path: Path) -> None:
    path = tmp_path / "demo.png"
    assert command("draw", "demo", "-o", str(path), "--units", "5") == 0
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG") and len(data) > 20_000


def test_shared_files_are_found_in_an_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share = tmp_path / "install" / "share" / "robo_stow"
    package = tmp_path / "install" / "lib" / "python3" / "site-packages" / "robo_stow"
    (share / "config" / "buildings").mkdir(parents=True)
    (share / "package.xml").touch()
    package.mkdir(parents=True)
    monkeypatch.setattr(resources, "__file__", str(package / "resources.py"))
    assert resources.share_dir() == share
    elsewhere = tmp_path / "elsewhere" / "robo_stow"
    elsewhere.mkdir(parents=True)
    monkeypatch.setattr(resources, "__file__", str(elsewhere / "resources.py"))
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path / "install"))
    assert resources.share_dir() == share
