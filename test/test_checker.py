"""The conflict checker finds each kind of conflict, once, and nothing where there is none."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_stow.floor.building import YAW, Building, CellKind, Grid
from robo_stow.floor.load import load_building
from robo_stow.messages import Alarm, FleetState, Load
from robo_stow.traffic.checker import Checker

WIDTH, HEIGHT = 12, 10
FOOTPRINT, POD = 0.7, 0.9


def building(units: int, *, pods: int = 6, pitch: float = 1.0) -> Building:
    """An open floor with a wall all round and one in the middle."""
    kind = np.full((HEIGHT, WIDTH), CellKind.TRAVEL, np.uint8)
    kind[0] = kind[-1] = CellKind.WALL
    kind[:, 0] = kind[:, -1] = CellKind.WALL
    kind[5, 6] = CellKind.WALL
    cells = WIDTH * HEIGHT
    grid = Grid(
        WIDTH, HEIGHT, pitch, kind.ravel(), np.full(cells, 15, np.uint8), np.zeros(cells, "f4")
    )
    demo = load_building("demo")
    return dataclasses.replace(
        demo,
        grid=grid,
        units=units,
        pods=pods,
        drive=dataclasses.replace(demo.drive, footprint=FOOTPRINT * pitch),
        pod=dataclasses.replace(demo.pod, size=POD * pitch),
    )


class Scene:
    """Units that are put somewhere by hand; time goes on with every look."""

    def __init__(self, *cells: int, pitch: float = 1.0) -> None:
        self.building = building(len(cells), pitch=pitch)
        self.checker = Checker(self.building)
        self.stamp = 0.0
        self.cell = np.array(cells, np.int32)
        x, y = self.building.grid.xy(self.cell)
        self.x, self.y = x.astype(np.float64), y.astype(np.float64)
        self.yaw = np.zeros(len(cells))
        self.speed = np.zeros(len(cells))
        self.load = np.zeros(len(cells), np.uint8)
        self.load_id = np.full(len(cells), -1, np.int32)
        self.pods = np.full(self.building.pods, -1, np.int32)

    def move(self, unit: int, east: float = 0.0, north: float = 0.0) -> None:
        """Metres, in pitches."""
        self.x[unit] += east * self.building.grid.pitch
        self.y[unit] += north * self.building.grid.pitch

    def put(self, unit: int, cell: int) -> None:
        self.cell[unit] = cell
        self.x[unit], self.y[unit] = self.building.grid.xy(np.array(cell))

    def carry(self, unit: int, pod: int, load: Load = Load.POD) -> None:
        self.load[unit] = load
        self.load_id[unit] = pod

    def close(self, *cells: int) -> None:
        speed = self.speed.astype(np.float32)
        self.checker.keep_out(np.array(cells, np.int32), self.stamp, speed)

    def look(self, which: list[int] | None = None) -> list[Alarm]:
        self.stamp += 0.1
        unit = np.arange(len(self.cell)) if which is None else np.array(which, np.int64)
        zeros = np.zeros(len(unit), np.uint32)
        state = FleetState(
            stamp=self.stamp,
            unit=unit.astype(np.int32),
            epoch=zeros,
            done=zeros,
            released=zeros,
            cell=self.cell[unit],
            heading=zeros.astype(np.uint8),
            x=self.x[unit].astype(np.float32),
            y=self.y[unit].astype(np.float32),
            yaw=self.yaw[unit].astype(np.float32),
            speed=self.speed[unit].astype(np.float32),
            load=self.load[unit],
            load_id=self.load_id[unit],
            battery=zeros.astype(np.float32),
            status=zeros.astype(np.uint8),
        )
        return self.checker.check(state, self.pods)


def cell(row: int, column: int) -> int:
    return row * WIDTH + column


def test_side_by_side_is_no_conflict() -> None:
    scene = Scene(cell(2, 2), cell(2, 3), cell(3, 2), cell(3, 3))
    for unit in range(4):
        scene.carry(unit, unit)
    scene.pods[4], scene.pods[5] = cell(2, 4), cell(4, 2)
    assert scene.look() == []
    assert scene.checker.conflicts == 0


def test_the_same_cell() -> None:
    scene = Scene(cell(2, 2), cell(2, 4))
    assert scene.look() == []
    scene.cell[1] = cell(2, 2)
    (alarm,) = scene.look()
    assert alarm.kind == "conflict"
    assert alarm.stamp == scene.stamp
    for word in ("unit_0000", "unit_0001", str(cell(2, 2)), f"{scene.stamp:.2f}", "same cell"):
        assert word in alarm.text
    assert scene.look() == [], "told once"
    scene.cell[1] = cell(2, 4)
    assert scene.look() == []
    scene.cell[1] = cell(2, 2)
    assert len(scene.look()) == 1, "a new conflict after the old one has ended"
    assert scene.checker.conflicts == 2


@pytest.mark.parametrize(
    ("gap", "yaw", "pods", "conflict"),
    [
        (0.72, 0.0, (), False),
        (0.68, 0.0, (), True),
        (0.80, math.pi / 4, (), True),  # a corner reaches 0.495
        (0.86, math.pi / 4, (), False),
        (0.82, 0.0, (0,), False),  # pod half 0.45 and unit half 0.35
        (0.78, 0.0, (0,), True),
        (0.78, 0.0, (1,), True),
        (0.92, 0.0, (0, 1), False),
        (0.88, 0.0, (0, 1), True),
    ],
)
@pytest.mark.parametrize("along", ["x", "y"])
@pytest.mark.parametrize("pitch", [1.0, 1.3])
def test_outlines_overlap(
    gap: float, yaw: float, pods: tuple[int, ...], conflict: bool, along: str, pitch: float
) -> None:
    scene = Scene(cell(2, 2), cell(2, 3) if along == "x" else cell(3, 2), pitch=pitch)
    scene.yaw[0] = yaw
    for unit in pods:
        scene.carry(unit, unit)
    if along == "x":
        scene.move(1, east=gap - 1)
    else:
        scene.move(1, north=1 - gap)
    alarms = scene.look()
    assert len(alarms) == conflict
    assert all("overlap" in alarm.text for alarm in alarms)


def test_units_that_exchange_cells() -> None:
    scene = Scene(cell(2, 2), cell(2, 3), cell(4, 4))
    assert scene.look() == []
    scene.put(0, cell(2, 3))
    scene.put(1, cell(2, 2))
    scene.put(2, cell(4, 5))
    (alarm,) = scene.look()
    assert "exchanged" in alarm.text
    assert "unit_0000" in alarm.text and "unit_0001" in alarm.text
    scene.put(0, cell(2, 4))
    scene.put(1, cell(2, 3))
    assert scene.look() == [], "following is no exchange"


@pytest.mark.parametrize("load", [Load.POD, Load.PALLET])
def test_a_loaded_unit_and_a_standing_pod(load: Load) -> None:
    scene = Scene(cell(3, 3))
    scene.pods[2] = cell(3, 4)
    scene.carry(0, 0 if load == Load.POD else -1, load)
    assert scene.look() == []
    scene.move(0, east=0.3)
    (alarm,) = scene.look()
    assert "unit_0000" in alarm.text and str(cell(3, 4)) in alarm.text
    scene.move(0, east=0.3)
    assert scene.look() == []
    scene.move(0, east=-0.6)
    assert scene.look() == []
    scene.move(0, north=-0.4)
    assert scene.look() == []
    scene.move(0, east=0.4)
    assert len(scene.look()) == 1


def test_an_empty_unit_may_be_beneath_a_pod_and_lift_it() -> None:
    scene = Scene(cell(3, 3))
    scene.pods[2] = cell(3, 3)
    assert scene.look() == []
    scene.carry(0, 2)  # the news that the pod is off the floor comes later
    assert scene.look() == []
    scene.pods[2] = -1
    scene.pods[3] = cell(3, 3)
    assert len(scene.look()) == 1


def test_two_units_with_the_same_pod() -> None:
    scene = Scene(cell(2, 2), cell(6, 6))
    scene.carry(0, 3)
    assert scene.look() == []
    scene.carry(1, 3)
    (alarm,) = scene.look()
    assert "pod 3" in alarm.text


def test_entry_into_a_closed_cell() -> None:
    scene = Scene(cell(2, 2), cell(2, 4))
    assert scene.look() == []
    scene.close(cell(2, 3), cell(2, 4))
    assert scene.look() == [], "the unit in there when it is closed has done nothing wrong"
    scene.put(0, cell(2, 3))
    scene.put(1, cell(2, 5))
    (alarm,) = scene.look()
    assert "unit_0000" in alarm.text and str(cell(2, 3)) in alarm.text
    assert scene.look() == []
    scene.close()
    scene.put(0, cell(2, 2))
    scene.look()
    scene.put(0, cell(2, 3))
    assert scene.look() == []


def test_a_unit_that_cannot_brake_before_a_cell_that_is_closed_may_enter_it() -> None:
    far, near = cell(2, 2), cell(6, 2)
    scene = Scene(far, near)
    scene.speed[1] = 1.5  # m/s, east: 0.75 m of reaction, 1.1 m of braking
    assert scene.look() == []
    scene.close(far + 1, near + 1, near + 4)
    scene.put(1, near + 1)
    assert scene.look() == []
    scene.put(0, far + 1)
    (alarm,) = scene.look()
    assert "unit_0000 entered closed cell" in alarm.text
    scene.put(1, near + 2)
    assert scene.look() == []
    scene.put(1, near + 4)
    (alarm,) = scene.look()
    assert "unit_0001 entered closed cell" in alarm.text


def test_a_unit_in_a_closed_cell_comes_to_rest() -> None:
    scene = Scene(cell(2, 2))
    assert scene.look() == []
    found = []
    for step in range(40):
        scene.close(cell(2, 2), cell(2, 3), cell(2, 4))
        scene.move(0, east=0.02 if step not in (30, 31) else 0.0)
        found += [(step, alarm.text) for alarm in scene.look()]
    assert [step for step, _ in found] == [20, 32], "after 0.5 s and 1.5 s of braking, and again"
    assert all(
        f"unit_0000 (cell {cell(2, 2)}) drives in a closed cell" in text for _, text in found
    )


@pytest.mark.parametrize(
    ("east", "north"), [(-2.0, 0.0), (-0.2, 0.0), (0.0, 1.2), (-5.0, 0.0), (0.0, 50.0), (4.7, -3.7)]
)
def test_in_a_wall_or_off_the_floor(east: float, north: float) -> None:
    scene = Scene(cell(1, 1))
    assert scene.look() == []
    scene.move(0, east, north)
    (alarm,) = scene.look()
    assert "off the floor" in alarm.text
    assert scene.look() == []


def test_a_position_that_is_no_number() -> None:
    scene = Scene(cell(1, 1), cell(2, 2))
    assert scene.look() == []
    scene.x[0] = math.nan
    assert len(scene.look()) == 1
    assert scene.look() == []


def test_a_cell_number_outside_the_grid() -> None:
    scene = Scene(cell(1, 1))
    assert scene.look() == []
    scene.cell[0] = WIDTH * HEIGHT + 5
    assert len(scene.look()) == 1
    scene.cell[0] = cell(1, 1)
    assert scene.look() == []


def test_states_of_some_units_are_judged_with_the_last_ones_of_the_others() -> None:
    scene = Scene(cell(2, 2), cell(2, 4))
    assert scene.look([0]) == []
    assert scene.look([1]) == []
    scene.put(1, cell(2, 2))
    assert scene.look([0]) == []
    assert len(scene.look([1])) == 2, "same cell and overlap"


def test_strangers_are_passed_over() -> None:
    scene = Scene(cell(2, 2), cell(2, 2))
    scene.checker = Checker(building(1))
    assert scene.look() == []


def outline(x: float, y: float, yaw: float, half: float) -> list[tuple[float, float]]:
    turned = []
    for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
        u, v = a * half, b * half
        turned.append(
            (x + u * math.cos(yaw) - v * math.sin(yaw), y + u * math.sin(yaw) + v * math.cos(yaw))
        )
    return turned


def depth(a: list[tuple[float, float]], b: list[tuple[float, float]]) -> float:
    """Least way by which two convex outlines overlap along any side; negative when apart."""
    best = math.inf
    for shape in (a, b):
        for (x0, y0), (x1, y1) in zip(shape, [*shape[1:], shape[0]], strict=True):
            length = math.hypot(x1 - x0, y1 - y0)
            nx, ny = (y1 - y0) / length, (x0 - x1) / length
            pa, pb = ([x * nx + y * ny for x, y in s] for s in (a, b))
            best = min(best, max(pa) - min(pb), max(pb) - min(pa))
    return best


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.sampled_from([2, 12, 63, 65, 90]))
def test_finds_exactly_the_overlapping_pairs(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    # Cell numbers all differ, so that only outlines are judged.
    scene = Scene(*range(count))
    scene.x = rng.uniform(2.0, WIDTH - 2.0, count)
    scene.y = rng.uniform(2.0, HEIGHT - 2.0, count)
    scene.yaw = rng.choice([*YAW, *rng.uniform(-4, 4, 4)], count)
    scene.load = rng.integers(0, 2, count).astype(np.uint8)
    scene.load_id = np.where(scene.load == Load.POD, np.arange(count), -1).astype(np.int32)
    shapes = []
    for unit in range(count):
        x, y = float(scene.x[unit]), float(scene.y[unit])
        own = [outline(x, y, float(scene.yaw[unit]), FOOTPRINT / 2)]
        if scene.load[unit] == Load.POD:
            own.append(outline(x, y, 0.0, POD / 2))
        shapes.append(own)
    told = {
        tuple(sorted(int(word[5:9]) for word in alarm.text.split() if word.startswith("unit_")))
        for alarm in scene.look()
        if "overlap" in alarm.text
    }
    for a in range(count):
        for b in range(a + 1, count):
            apart = math.hypot(scene.x[a] - scene.x[b], scene.y[a] - scene.y[b])
            if apart > 1.5:
                assert (a, b) not in told
                continue
            by = max(depth(p, q) for p in shapes[a] for q in shapes[b])
            if abs(by - 0.005) > 0.001:  # not on the edge of the tolerance
                assert ((a, b) in told) == (by > 0.005), (a, b, by)
