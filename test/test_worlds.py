"""Gazebo worlds: made from the building, accepted by the SDF parser, and up to date."""

from __future__ import annotations

import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import yaml

from robo_stow.cli.main import main
from robo_stow.errors import InputError
from robo_stow.floor.building import Building, CellKind
from robo_stow.floor.load import load_building
from robo_stow.floor.start import pod_cells, unit_cells
from robo_stow.floor.urdf import expand, lifter_arguments
from robo_stow.floor.world import (
    arm_frames,
    feet_name,
    load_name,
    pod_name,
    pod_sdf,
    unit_sdf,
    world_sdf,
)
from robo_stow.gazebo.bridge import CLOCK, configuration, lifter_topics, unit_topics
from robo_stow.lifter.kinematics import POCKET, handoff_point, poses
from robo_stow.resources import share_dir

FILES = {"harmonic": "demo.sdf", "classic": "demo_classic.sdf"}
REMEDY = "run `robo-stow floor world demo --for {} -o worlds/{}`"


@pytest.fixture(scope="module")
def building() -> Building:
    return load_building("demo")


@pytest.fixture(scope="module", params=FILES)
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def world(building: Building, target: str) -> ET.Element:
    found = ET.fromstring(world_sdf(building, building.seed, target)).find("world")
    assert found is not None
    return found


def place(model: ET.Element) -> list[float]:
    return [float(v) for v in model.findtext("pose", "").split()]


def test_the_worlds_that_are_shipped_are_up_to_date(building: Building, target: str) -> None:
    shipped = (share_dir() / "worlds" / FILES[target]).read_text(encoding="utf-8")
    made = world_sdf(building, building.seed, target)
    assert shipped == made, REMEDY.format(target, FILES[target])


@pytest.mark.timeout(600)
def test_the_sdf_parser_accepts_the_shipped_worlds(target: str) -> None:
    if shutil.which("ign") is None:
        pytest.skip("ign sdf (ignition-tools, libsdformat-dev) is not installed")
    file = share_dir() / "worlds" / FILES[target]
    result = subprocess.run(["ign", "sdf", "-k", file], capture_output=True, text=True)
    assert result.returncode == 0 and "Valid." in result.stdout, result.stderr


def test_everything_stands_where_the_building_says(building: Building, world: ET.Element) -> None:
    models = {model.get("name"): model for model in world.findall("model")}
    cells, _ = unit_cells(building, building.seed)
    for name, at in (
        *((building.unit_name(u), cells[u]) for u in range(building.units)),
        *((pod_name(p), c) for p, c in enumerate(pod_cells(building, building.seed))),
    ):
        x, y = building.grid.xy(np.array([at], np.int32))
        assert place(models[name])[:3] == pytest.approx([x[0], y[0], 4.0], abs=1e-3)
    for station in building.stations:  # within reach of its pod, not on the way
        x, y = building.grid.xy(np.array([station.cell], np.int32))
        there = place(models[station.id])
        assert np.hypot(there[0] - x[0], there[1] - y[0]) == pytest.approx(1.0, abs=1e-2)
        cell = building.grid.cell_at(np.array([there[0]]), np.array([there[1]]))[0]
        inside = 0 <= cell < building.grid.cells
        assert not inside or building.grid.kind[cell] == CellKind.WALL


def test_only_what_drives_or_is_driven_has_physics(world: ET.Element, target: str) -> None:
    moving = [m.get("name", "") for m in world.findall("model") if m.find("static") is None]
    units = [name for name in moving if name.startswith("unit_")]
    assert len(units) == 24
    assert sorted(set(moving) - set(units)) == (["lifter_1"] if target == "harmonic" else [])


def test_legs_of_pods_are_obstacles_of_their_own_in_classic(world: ET.Element, target: str) -> None:
    models = {model.get("name"): model for model in world.findall("model")}
    pod, feet = models[pod_name(3)], models.get(feet_name(3))
    solid = [c for c in pod.iter("collision")]
    if target == "harmonic":
        assert feet is None and len(solid) == 5
    else:
        assert feet is not None and solid == []
        assert len(list(feet.iter("collision"))) == 4 and not list(feet.iter("visual"))
        assert place(feet) == place(pod)


def test_each_dialect_has_its_own_plugins(world: ET.Element, target: str) -> None:
    unit = next(m for m in world.findall("model") if m.get("name") == "unit_0000")
    files = [plugin.get("filename") for plugin in unit.findall("plugin")]
    if target == "classic":
        assert files == ["libDiffDrivePlugin.so"]
        assert world.findall("plugin") == []
    else:
        assert "gz-sim-diff-drive-system" in files
        names = {plugin.get("name") for plugin in world.findall("plugin")}
        assert {"gz::sim::systems::Physics", "gz::sim::systems::UserCommands"} <= names
        joints = {joint.get("name") for joint in unit.findall("joint")}
        for plugin in unit.findall("plugin"):
            for tag in ("left_joint", "right_joint", "joint_name"):
                name = plugin.findtext(tag)
                assert name is None or name in joints


def test_the_floor_has_no_seams_and_a_kerb_all_round(building: Building, world: ET.Element) -> None:
    floor = next(m for m in world.findall("model") if m.get("name") == "storage_floor")
    link = floor.find("link")
    assert link is not None
    solids = {c.get("name", ""): c for c in link.findall("collision")}
    slab = solids.pop("slab")
    assert [float(v) for v in slab.findtext("geometry/box/size", "").split()][:2] == [29, 36]
    grid = building.grid
    floor_cells = grid.kind.reshape(grid.height, grid.width) != CellKind.WALL
    padded = np.pad(floor_cells, 1).astype(int)
    border = np.abs(np.diff(padded, axis=0)).sum() + np.abs(np.diff(padded, axis=1)).sum()
    length = 0.0
    for kerb in solids.values():
        size = [float(v) for v in kerb.findtext("geometry/box/size", "").split()]
        x, y, z = (float(v) for v in kerb.findtext("pose", "").split()[:3])
        length += max(size[:2])
        assert z == pytest.approx(4.075)
        inside = 0 < x < grid.width and 0 < y < grid.height
        cell = grid.cell_at(np.array([x]), np.array([y]))[0] if inside else -1
        assert cell < 0 or grid.kind[cell] == CellKind.WALL  # leaves the floor as wide as it is
    assert length == pytest.approx(border * grid.pitch)
    fiducials = [v for v in link.findall("visual") if v.get("name", "").startswith("fiducial")]
    assert len(fiducials) == floor_cells.sum()


def test_the_arm_in_the_world_sets_the_pallet_on_the_unit(building: Building) -> None:
    site = building.lifters[0]
    urdf = expand("robo_stow", lifter_arguments(building, site))
    tool = arm_frames(building, site, urdf, poses(building, site).handoff)["tool"]
    wanted = handoff_point(building, site) + (0.0, 0.0, POCKET)
    np.testing.assert_allclose(tool[:3, 3], wanted, atol=1e-6)


def test_floor_world_writes_a_file(tmp_path: Path) -> None:
    out = tmp_path / "x.sdf"
    command = ["floor", "world", "demo", "--units", "3", "--for", "classic", "-o", str(out)]
    assert main(command) == 0
    assert out.read_text().count('name="unit_') == 3


def test_mistakes_are_named(building: Building) -> None:
    with pytest.raises(InputError, match="target"):
        world_sdf(building, 1, "fortress")
    with pytest.raises(InputError, match="units"):
        world_sdf(building, 1, "classic", units=building.units + 1)


# -- ros_gz_bridge --------------------------------------------------------------------------------

# Pairs that ros_gz_bridge of Jazzy converts, as far as they are used (its README).
CONVERTED = {
    "rosgraph_msgs/msg/Clock": "gz.msgs.Clock",
    "geometry_msgs/msg/TwistStamped": "gz.msgs.Twist",
    "geometry_msgs/msg/PoseStamped": "gz.msgs.Pose",
    "nav_msgs/msg/Odometry": "gz.msgs.Odometry",
    "std_msgs/msg/Empty": "gz.msgs.Empty",
    "std_msgs/msg/Float64": "gz.msgs.Double",
    "std_msgs/msg/String": "gz.msgs.StringMsg",
}


def test_a_unit_in_harmonic_is_bridged_to_its_node() -> None:
    building = load_building("demo", units=2)
    names = [building.unit_name(unit) for unit in range(2)]
    text = configuration([CLOCK, *(topic for name in names for topic in unit_topics(name))])
    rows = yaml.safe_load(text)
    assert [row["ros_topic_name"] for row in rows].count("/clock") == 1
    for row in rows:
        assert CONVERTED[row["ros_type_name"]] == row["gz_type_name"]
        to_gazebo = row["gz_topic_name"].endswith(("cmd_vel", "attach", "detach"))
        assert row["direction"] == ("ROS_TO_GZ" if to_gazebo else "GZ_TO_ROS")
    for unit, name in enumerate(names):
        sdf = unit_sdf(building, unit, harmonic=True)
        assert f"<topic>/model/{name}/cmd_vel</topic>" in sdf
        assert f"<odom_topic>/model/{name}/odometry</odom_topic>" in sdf
        assert "gz::sim::systems::PosePublisher" in sdf  # on /model/NAME/pose
        joint = ET.fromstring(sdf).find("plugin[@name='gz::sim::systems::DetachableJoint']")
        assert joint is not None and joint.findtext("child_model") == load_name(name)
        links = {link.get("name") for link in ET.fromstring(sdf).findall("link")}
        assert joint.findtext("parent_link") in links
        load = ET.fromstring(pod_sdf(building, load_name(name), static=False))
        assert load.find(f"model[@name='{load_name(name)}']/link[@name='pod']") is not None
        asked = {joint.findtext(f"{kind}_topic") for kind in ("attach", "detach", "output")}
        assert asked < {row["gz_topic_name"] for row in rows}
    assert len({row["gz_topic_name"] for row in rows}) == len(rows)


def test_an_arm_in_harmonic_is_bridged_joint_by_joint(building: Building) -> None:
    (site,) = building.lifters
    rows = yaml.safe_load(configuration(lifter_topics(site.id)))
    world = ET.fromstring(world_sdf(building, building.seed, "harmonic", units=0))
    arm = world.find(f"world/model[@name='{site.id}']")
    assert arm is not None
    heard = {plugin.findtext("topic") for plugin in arm.findall("plugin")}
    assert heard == {row["gz_topic_name"] for row in rows}
    for row in rows:
        assert CONVERTED[row["ros_type_name"]] == row["gz_type_name"]
        assert row["direction"] == "ROS_TO_GZ"
