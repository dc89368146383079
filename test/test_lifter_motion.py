"""Robo-Stow's dynamics, its time-optimal trajectories, and the clearances of its cycle."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import mujoco
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from robo_stow.errors import RoboStowError
from robo_stow.floor.building import Building
from robo_stow.floor.load import load_building
from robo_stow.floor.urdf import expand, lifter_arguments, rotation
from robo_stow.lifter.clearance import boxes, cycle, overlaps, touches
from robo_stow.lifter.dynamics import arm_of
from robo_stow.lifter.kinematics import LIMITS, Joints, forward
from robo_stow.lifter.trajectory import RESERVE, SUPPLY, Planner

joints = st.tuples(*(st.floats(low, high) for low, high in LIMITS))


@pytest.fixture(scope="module")
def building() -> Building:
    return load_building("demo")


@pytest.fixture(scope="module")
def planner(building: Building) -> Planner:
    return Planner(building, building.lifters[0])


# --- dynamics ----------------------------------------------------------------------------------


def test_torques_are_those_of_another_engine(building: Building, tmp_path: Path) -> None:
    site = building.lifters[0]
    arm = arm_of(building, site)
    file = tmp_path / "arm.urdf"
    file.write_text(expand("robo_stow", lifter_arguments(building, site)))
    spec = mujoco.MjSpec.from_file(str(file))
    spec.option.disableflags = mujoco.mjtDisableBit.mjDSBL_CONSTRAINT
    model = spec.compile()
    model.dof_damping[:] = 0.0
    data = mujoco.MjData(model)
    rng = np.random.default_rng(1)
    low, high = np.array(LIMITS).T
    q, speed = rng.uniform(low, high, (20, 6)), rng.uniform(-0.5, 0.5, (20, 6))
    acceleration = rng.uniform(-1.0, 1.0, (20, 6))
    found = arm.torque(q, speed, acceleration, 0.0)
    at = [model.joint(f"joint_{i}").qposadr[0] for i in range(1, 7)]
    for i in range(20):
        data.qpos[at], data.qvel[at], data.qacc[at] = q[i], speed[i], acceleration[i]
        mujoco.mj_inverse(model, data)
        np.testing.assert_allclose(found[i], data.qfrc_inverse[at], rtol=1e-3, atol=2.0)


def test_a_load_weighs_on_the_joints(building: Building) -> None:
    arm = arm_of(building, building.lifters[0])
    q, zero = np.zeros((1, 6)), np.zeros((1, 6))
    more = arm.torque(q, zero, zero, 6000.0) - arm.torque(q, zero, zero, 0.0)
    # Stretched level: the load hangs 5.8 m from the shoulder, 3.4 m from the elbow, 1 m from the
    # wrist. A positive torque turns these joints upwards.
    weight = 9.81 * 6000.0
    expected = [0.0, 5.8 * weight, 3.4 * weight, 0.0, weight, 0.0]
    np.testing.assert_allclose(more[0], expected, atol=1.0)


@settings(max_examples=50, deadline=None)
@given(q=joints)
def test_bodies_are_where_the_controller_thinks(q: Joints) -> None:
    building = load_building("demo")
    arm = arm_of(building, building.lifters[0])
    gripper = arm.frames(np.array([q]))[0, -1]
    position, orientation = forward(q)
    np.testing.assert_allclose(gripper @ [1.0, 0.0, 0.0, 1.0], [*position, 1.0], atol=1e-9)
    np.testing.assert_allclose(gripper[:3, :3], orientation, atol=1e-9)


# --- trajectories ------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(start=joints, end=joints, payload=st.sampled_from([0.0, 800.0, 6000.0]))
@example(start=(0.0,) * 6, end=(0.0, 0.0, 0.0, 0.0, 0.0, 1.1920929e-07), payload=0.0)
def test_trajectories_end_where_they_should_within_all_limits(
    start: Joints, end: Joints, payload: float
) -> None:
    building = load_building("demo")
    planner = Planner(building, building.lifters[0])
    move = planner.plan(start, end, payload)
    slack = 1 + 1e-3
    assert (np.abs(move.speed) <= slack * planner.speed + 1e-6).all()
    assert (np.abs(move.acceleration) <= slack * planner.acceleration + 1e-6).all()
    assert (np.abs(move.torque) <= slack * RESERVE * planner.arm.effort + 50.0).all()
    assert move.at(0.0) == pytest.approx(start, abs=1e-9)
    assert move.at(move.duration + 1.0) == pytest.approx(end, abs=1e-9)
    assert (np.diff(move.time) > 0).all() or move.duration == 0.0
    # What is interpolated moves as smoothly as the points say.
    times = np.linspace(0.0, move.duration, 400)
    path = np.array([move.at(float(t)) for t in times])
    if move.duration > 0.0:
        rate = np.abs(np.diff(path, axis=0)) / np.diff(times)[:, None]
        assert (rate <= slack * planner.speed + 1e-3).all()
    # Straight: all joints have gone the same share of their way.
    way = np.array(end) - np.array(start)
    far = int(np.abs(way).argmax())
    if abs(way[far]) > 1e-6:
        share = (path[:, far] - start[far]) / way[far]
        np.testing.assert_allclose(path, np.array(start) + share[:, None] * way, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    start=joints,
    other=joints,
    length=st.floats(-10.0, -1.0).map(lambda exponent: 10.0**exponent),
    payload=st.sampled_from([0.0, 800.0, 6000.0]),
)
def test_the_shortest_ways_can_be_driven(
    planner: Planner, start: Joints, other: Joints, length: float, payload: float
) -> None:
    way = np.array(other) - np.array(start)
    end = np.array(start) + length * way / max(np.abs(way).max(), 1.0)
    a, b, c, d, e, f = (float(v) for v in end)
    move = planner.plan(start, (a, b, c, d, e, f), payload)
    assert move.at(move.duration) == pytest.approx((a, b, c, d, e, f), abs=1e-9)
    assert (np.abs(move.speed) <= (1 + 1e-3) * planner.speed).all()
    assert (np.abs(move.acceleration) <= (1 + 1e-3) * planner.acceleration + 1e-9).all()


def test_light_moves_are_as_quick_as_the_joints_allow(planner: Planner) -> None:
    start, end = (0.0, 1.5, -1.5, 0.0, 0.0, 0.0), (2.0, 1.4, -1.3, 0.1, 0.0, 0.3)
    move = planner.plan(start, end, 0.0)
    # Joint 1 decides: full acceleration, full speed, full braking.
    best = 2.0 / 0.35 + 0.35 / 0.5
    assert best <= move.duration <= 1.01 * best


def test_something_is_always_at_its_limit(building: Building, planner: Planner) -> None:
    """Else the move could be quicker."""
    for _, start, end, laden in cycle(building, building.lifters[0]):
        move = planner.plan(start, end, 6000.0 if laden else 0.0)
        lifting = np.maximum(
            planner.arm.torque(move.position, 0 * move.speed, 0 * move.speed, 6000.0 * laden)
            * move.speed,
            0.0,
        ).sum(axis=1)
        used = np.maximum.reduce(
            [
                (np.abs(move.speed) / planner.speed).max(axis=1),
                (np.abs(move.acceleration) / planner.acceleration).max(axis=1),
                (np.abs(move.torque) / planner.arm.effort / RESERVE).max(axis=1),
                lifting / SUPPLY,
            ]
        )
        # At the points where limits change it is passed from one to the other.
        assert np.quantile(used[:-1], 0.2) > 0.97


def test_heavy_pallets_take_longer_and_more_energy(building: Building, planner: Planner) -> None:
    def whole(weight: float) -> tuple[float, float]:
        moves = [
            planner.plan(start, end, weight if laden else 0.0)
            for _, start, end, laden in cycle(building, building.lifters[0])
        ]
        return sum(m.duration for m in moves), sum(m.work[-1] for m in moves)

    (light, little), (heavy, much) = whole(1000.0), whole(6000.0)
    assert heavy > 1.02 * light
    # 5 t more over 4 m is 54 Wh at the fork; drives lose some and give nothing back.
    assert much - little > 54.0


def test_what_is_too_heavy_is_refused(planner: Planner) -> None:
    stretched = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    with pytest.raises(RoboStowError, match="cannot carry 30000 kg"):
        planner.plan(stretched, (0.5, 0.2, 0.0, 0.0, 0.0, 0.0), 30000.0)


# --- clearances --------------------------------------------------------------------------------


@pytest.mark.parametrize("weight", [300.0, 6000.0])
@pytest.mark.parametrize("name", ["demo", "dupont"])
def test_the_whole_cycle_is_clear(name: str, weight: float) -> None:
    building = load_building(name)
    for site in building.lifters:
        assert touches(building, site, weight) == []


def test_a_cramped_site_is_seen(building: Building) -> None:
    site = building.lifters[0]
    # Nearer to its dock the forearm comes down slanting, on the pallets beside.
    x, y, z = site.base
    near = dataclasses.replace(
        site, base=(x, y - 0.8, z), dock=(x, site.dock[1] - 1.6, site.dock[2])
    )
    assert any("touches a pallet beside" in text for text in touches(building, near, 1000.0))
    # No table: the wrist has no room beneath.
    low = dataclasses.replace(site, dock=(*site.dock[:2], 0.0))
    assert any("the dock floor" in text for text in touches(building, low, 1000.0))


@settings(max_examples=100, deadline=None)
@given(
    turn=st.tuples(*(st.floats(-3.0, 3.0) for _ in range(3))),
    at=st.tuples(*(st.floats(-2.5, 2.5) for _ in range(3))),
    sides=st.tuples(*(st.floats(0.2, 3.0) for _ in range(6))),
)
def test_boxes_overlap_when_they_share_a_point(
    turn: tuple[float, ...], at: tuple[float, ...], sides: tuple[float, ...]
) -> None:
    frame = np.eye(4)
    frame[:3, :3], frame[:3, 3] = rotation(*turn), at
    a = boxes([("a", np.eye(4), sides[:3])])
    b = boxes([("b", frame, sides[3:])])
    grid = np.stack(np.meshgrid(*[np.linspace(-0.5, 0.5, 15)] * 3), -1).reshape(-1, 3)
    points = (grid * sides[3:]) @ frame[:3, :3].T + frame[:3, 3]
    inside = np.array(sides[:3]) / 2 - 1e-9  # faces that only touch may count or not
    shared = (np.abs(points) <= inside).all(axis=1).any()
    if shared:
        assert overlaps(a, b, 0.0)[0, 0]
        assert overlaps(b, a, 0.0)[0, 0]
    if not overlaps(a, b, -0.25)[0, 0]:
        assert not shared
