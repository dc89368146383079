"""Robot descriptions: they expand, weigh what is stated, stand, and reach what they must."""

from __future__ import annotations

import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import mujoco
import numpy as np
import pytest

from robo_stow.errors import InputError, RoboStowError
from robo_stow.floor.load import load_building
from robo_stow.floor.urdf import (
    drive_unit_arguments,
    expand,
    fixed_model,
    frame,
    lifter_arguments,
    moving_bodies,
    pod_arguments,
    roll_pitch_yaw,
    rotation,
    to_sdf,
)
from robo_stow.lifter.kinematics import LIMITS, Joints, forward, poses

ROBOTS = ("drive_unit", "robo_stow")
NAMES = ("drive_unit", "robo_stow", "pod", "pallet", "station")
BUILDINGS = ("demo", "dupont")


def arguments(name: str, building: str = "demo") -> dict[str, object]:
    site = load_building(building)
    if name == "drive_unit":
        return drive_unit_arguments(site)
    if name == "pod":
        return pod_arguments(site)
    return lifter_arguments(site, site.lifters[0]) if name == "robo_stow" else {}


def urdf(name: str, building: str = "demo") -> str:
    return expand(name, arguments(name, building))


def masses(text: str) -> float:
    return sum(float(m.get("value", "")) for m in ET.fromstring(text).iter("mass"))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("building", BUILDINGS)
def test_masses_are_positive_and_inertias_are_those_of_real_bodies(
    name: str, building: str
) -> None:
    found = 0
    for inertial in ET.fromstring(urdf(name, building)).iter("inertial"):
        mass, tensor = inertial.find("mass"), inertial.find("inertia")
        assert mass is not None and tensor is not None
        value = {k: float(tensor.get(k, "")) for k in ("ixx", "iyy", "izz", "ixy", "ixz", "iyz")}
        assert float(mass.get("value", "")) > 0.0
        own = np.linalg.eigvalsh(
            [
                [value["ixx"], value["ixy"], value["ixz"]],
                [value["ixy"], value["iyy"], value["iyz"]],
                [value["ixz"], value["iyz"], value["izz"]],
            ]
        )
        assert own[0] > 0.0
        assert own[2] <= own[0] + own[1] + 1e-9  # no body has more
        found += 1
    assert found


def test_a_drive_unit_weighs_what_its_profile_says() -> None:
    for mass, footprint in ((450.0, 0.7), (120.0, 0.6), (900.0, 1.1)):
        text = expand("drive_unit", {"mass": mass, "footprint": footprint})
        assert masses(text) == pytest.approx(mass)


def test_a_drive_unit_stays_inside_its_footprint_and_beneath_a_pod() -> None:
    unit, pod = _boxes(urdf("drive_unit")), _boxes(urdf("pod"))
    side = load_building("demo").drive.footprint
    assert np.abs([box[:, :2] for box in unit]).max() <= side / 2 + 1e-9
    assert max(box[1, 2] for box in unit) == pytest.approx(0.35)
    rack = [box for box in pod if box[0, 2] > 0.01]
    assert min(box[0, 2] for box in rack) > 0.35
    legs = [box for box in pod if box[0, 2] < 0.01]
    assert legs
    for leg in legs:
        assert np.abs(leg[:, :2]).min() > side / 2  # room to pass between


def _boxes(text: str) -> list[np.ndarray]:
    """Lower and upper corners of all collisions with moving joints at zero, F64[2, 3]."""
    robot = ET.fromstring(text)
    at = {_root(robot): np.eye(4)}
    joints = robot.findall("joint")
    while len(at) <= len(joints):
        for joint in joints:
            parent, child = joint.find("parent"), joint.find("child")
            assert parent is not None and child is not None
            if parent.get("link", "") in at:
                at[child.get("link", "")] = at[parent.get("link", "")] @ frame(joint)
    out = []
    for link in robot.findall("link"):
        for collision in link.findall("collision"):
            geometry = collision.find("geometry")
            assert geometry is not None
            shape = geometry[0]
            if shape.tag == "box":
                half = np.array([float(v) for v in shape.get("size", "").split()]) / 2
            else:
                radius = float(shape.get("radius", ""))
                length = float(shape.get("length", 2 * radius))
                half = np.array([radius, radius, length / 2])
            place = at[link.get("name", "")] @ frame(collision)
            half = np.abs(place[:3, :3]) @ half
            out.append(np.array([place[:3, 3] - half, place[:3, 3] + half]))
    return out


def _root(robot: ET.Element) -> str:
    inner = {child.get("link") for child in robot.iter("child")}
    return next(
        link.get("name", "") for link in robot.findall("link") if link.get("name") not in inner
    )


def arm_forward(text: str, joint: Joints) -> np.ndarray:
    """F64[4, 4] of `tool` in `foot`, from the URDF alone."""
    robot = ET.fromstring(text)
    by_child = {j.find("child").get("link"): j for j in robot.findall("joint")}  # type: ignore
    at, link = np.eye(4), "tool"
    while link != "foot":
        here = by_child[link]
        step = frame(here)
        if here.get("name", "").startswith("joint_"):
            axis = here.find("axis")
            assert axis is not None
            a = np.array([float(v) for v in axis.get("xyz", "").split()])
            angle = joint[int(here.get("name", "")[-1]) - 1]
            cross = np.cross(np.eye(3), a)
            turn = np.eye(4)  # Rodrigues
            turn[:3, :3] += np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
            step = step @ turn
        at = step @ at
        parent = here.find("parent")
        assert parent is not None
        link = parent.get("link", "")
    return at


def test_the_arm_is_the_one_the_controller_computes_with() -> None:
    text = urdf("robo_stow")
    rng = np.random.default_rng(1)
    for _ in range(50):
        q = [float(rng.uniform(low, high)) for low, high in LIMITS]
        joint: Joints = (q[0], q[1], q[2], q[3], q[4], q[5])
        point, turned = forward(joint)
        at = arm_forward(text, joint)
        np.testing.assert_allclose(at[:3, 3], point, atol=1e-9)
        np.testing.assert_allclose(at[:3, :3], turned, atol=1e-9)


@pytest.mark.parametrize("building", BUILDINGS)
def test_joint_limits_reach_the_dock_and_the_hand_off(building: str) -> None:
    site = load_building(building)
    for lifter in site.lifters:
        robot = ET.fromstring(expand("robo_stow", lifter_arguments(site, lifter)))
        limits = {}
        for joint in robot.findall("joint"):
            limit = joint.find("limit")
            if joint.get("name", "").startswith("joint_") and limit is not None:
                bounds = float(limit.get("lower", "")), float(limit.get("upper", ""))
                limits[int(joint.get("name", "")[-1])] = bounds
        assert tuple(limits[i] for i in range(1, 7)) == LIMITS
        found = poses(site, lifter)
        targets = [*found.parked, *found.approach, *found.insert, *found.raised, *found.above]
        for target in (*targets, found.handoff, *found.withdraw):
            for angle, (lower, upper) in zip(target, LIMITS, strict=True):
                assert lower <= angle <= upper


@pytest.mark.parametrize("name", NAMES)
def test_mujoco_loads_it_and_it_stands_for_ten_seconds(name: str) -> None:
    spec = mujoco.MjSpec.from_string(urdf(name))
    spec.compiler.fusestatic = False
    spec.option.timestep = 0.002
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=[10, 10, 0.1])
    if name == "robo_stow":
        start = poses(load_building("demo"), load_building("demo").lifters[0]).parked[-1]
        for i in range(1, 7):
            servo = spec.add_actuator(name=f"joint_{i}", target=f"joint_{i}")
            servo.trntype = mujoco.mjtTrn.mjTRN_JOINT
            servo.set_to_position(kp=2e7, kv=2e6)
    else:
        body = spec.worldbody.first_body()
        body.add_freejoint()
    model = spec.compile()
    data = mujoco.MjData(model)
    if name == "robo_stow":
        for i, angle in enumerate(start, 1):
            data.joint(f"joint_{i}").qpos = angle
            data.actuator(f"joint_{i}").ctrl = angle
    mujoco.mj_forward(model, data)
    before = data.xpos.copy()
    mujoco.mj_step(model, data, nstep=5000)
    assert data.time == pytest.approx(10.0)
    assert np.isfinite(data.qpos).all()
    assert np.abs(data.xpos - before).max() < 0.02
    assert np.abs(data.qvel).max() < 0.05


@pytest.mark.parametrize("name", ROBOTS)
def test_ros2_control_names_the_hardware_that_is_asked_for(name: str) -> None:
    plugins = {
        "mock": "mock_components/GenericSystem",
        "gz": "gz_ros2_control/GazeboSimSystem",
        "real": "some_drives/System",
    }
    for kind, wanted in plugins.items():
        text = expand(name, {"hardware": kind, "plugin": "some_drives/System"})
        robot = ET.fromstring(text)
        assert robot.findtext("ros2_control/hardware/plugin") == wanted
        moved = {joint.get("name") for joint in robot.findall("ros2_control/joint")}
        known = {j.get("name") for j in robot.findall("joint") if j.get("type") != "fixed"}
        assert moved == known
    with pytest.raises(RoboStowError, match="plugin"):
        expand(name, {"hardware": "real"})
    with pytest.raises(RoboStowError, match="mock, gz or real"):
        expand(name, {"hardware": "other"})


@pytest.mark.parametrize("name", NAMES)
def test_check_urdf_accepts_it(name: str, tmp_path: Path) -> None:
    if shutil.which("check_urdf") is None:
        pytest.skip("check_urdf (liburdfdom-tools) is not installed")
    (tmp_path / "x.urdf").write_text(urdf(name))
    subprocess.run(["check_urdf", tmp_path / "x.urdf"], check=True, capture_output=True)


@pytest.mark.parametrize("name", NAMES)
def test_the_sdf_parser_accepts_it_as_urdf_and_as_our_sdf(name: str, tmp_path: Path) -> None:
    if shutil.which("ign") is None:
        pytest.skip("ign sdf (ignition-tools, libsdformat-dev) is not installed")
    hardware = {"hardware": "gz"} if name in ROBOTS else {}
    text = expand(name, {**arguments(name), **hardware})
    (tmp_path / "x.urdf").write_text(text)
    (tmp_path / "x.sdf").write_text(f'<sdf version="1.6">{to_sdf(text, name)}</sdf>')
    for file in ("x.urdf", "x.sdf"):
        result = subprocess.run(
            ["ign", "sdf", "-k", tmp_path / file], capture_output=True, text=True
        )
        assert result.returncode == 0 and "Valid." in result.stdout, result.stderr


def test_sdf_keeps_the_mass_and_joins_what_is_fixed() -> None:
    text = urdf("drive_unit")
    model = ET.fromstring(to_sdf(text, "unit", rigid=("lift_joint", "platform_joint")))
    assert sum(float(m.text or "") for m in model.iter("mass")) == pytest.approx(450.0, abs=0.01)
    assert [link.get("name") for link in model.findall("link")] == [
        "base_footprint",
        "left_wheel",
        "right_wheel",
    ]
    assert moving_bodies(text) == [
        "base_footprint",
        "left_wheel",
        "right_wheel",
        "lift",
        "platform",
    ]
    assert len(model.findall("joint")) == 2


def test_rotations_can_be_undone() -> None:
    rng = np.random.default_rng(2)
    for angles in (*rng.uniform(-1.5, 1.5, (20, 3)), (0.3, np.pi / 2, 0.0), (0.2, -np.pi / 2, 0)):
        matrix = rotation(*angles)
        np.testing.assert_allclose(rotation(*roll_pitch_yaw(matrix)), matrix, atol=1e-9)


def test_an_unknown_description_is_one_clear_error() -> None:
    with pytest.raises(RoboStowError, match=r"no_such\.urdf\.xacro"):
        expand("no_such")


def test_what_is_spawned_stands_where_it_is_put() -> None:
    pose = "1 2 3 0 0 0.5"
    sdf = (
        '<sdf version="1.9"><model name="a"><pose>9 9 9 0 0 0</pose><link name="l"/></model></sdf>'
    )
    for xml in (expand("pallet"), sdf):
        model = ET.fromstring(fixed_model(xml, "crate", pose))
        assert model.get("name") == "crate"
        assert [e.text for e in model.findall("pose")] == [pose]
        assert model.findtext("static") == "true"
    for broken in ("<robot/>", '<robot><link name="a"/><joint name="j"/></robot>', "<sdf/>"):
        with pytest.raises(InputError):
            fixed_model(broken, "crate", pose)
