"""A site's floor in Gazebo Harmonic, with the nodes that drive its units.

ros2 launch robo_stow warehouse.launch.py building:=demo sim:=gazebo units:=8
ros2 launch robo_stow gazebo.launch.py building:=demo units:=8 gui:=true

The world is made from the building's file; units are spawned by ros_gz_sim, bridged by
ros_gz_bridge and driven by speed commands; pods that units carry are held by detachable joints.
People, orders and the lifters' drives are those of the embedded simulator, which steps with
Gazebo's clock; the arms in Gazebo follow those drives.
"""

import shutil
import tempfile
from pathlib import Path

from launch.actions import IncludeLaunchDescription, RegisterEventHandler
from launch.event_handlers import OnShutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare
from robo_stow_nodes.launching import (
    COMMON,
    SEED,
    SIM_TIME,
    SITE,
    Argument,
    integer,
    launched,
    namespaced,
    node,
    site,
    text,
)

from launch import LaunchContext, LaunchDescription
from robo_stow.floor.world import unit_poses, unit_sdf, world_sdf
from robo_stow.gazebo.bridge import CLOCK, SERVICES, configuration, lifter_topics, unit_topics

GUI = Argument("gui", "false", "show Gazebo's window", choices=("true", "false"))
TIME = Argument("use_sim_time", "true", SIM_TIME.description, bool)
ARGUMENTS = (*(TIME if argument is SIM_TIME else argument for argument in COMMON), GUI)


def generate_launch_description() -> LaunchDescription:
    """Gazebo, one bridge, a node a unit, and the people."""
    return launched(ARGUMENTS, _start)


def _start(context: LaunchContext) -> list:
    building = site(context)
    seed = integer(context, SEED)
    seed = building.seed if seed < 0 else seed
    folder = Path(tempfile.mkdtemp(prefix="robo_stow_gazebo_"))
    world = folder / "world.sdf"
    world.write_text(world_sdf(building, seed, "harmonic", units=0), encoding="utf-8")
    bridged = [CLOCK, *(topic for s in building.lifters for topic in lifter_topics(s.id))]
    spawned, driven = [], []
    for unit, (x, y, z, yaw) in enumerate(unit_poses(building, seed)):
        name = building.unit_name(unit)
        model = folder / f"{name}.sdf"
        sdf = unit_sdf(building, unit, harmonic=True)
        model.write_text(f'<sdf version="1.9">{sdf}</sdf>', encoding="utf-8")
        bridged += unit_topics(name)
        place = {"-x": x, "-y": y, "-z": z, "-Y": yaw}
        arguments = ["-world", "default", "-file", str(model), "-name", name]
        arguments += [part for key, value in place.items() for part in (key, str(value))]
        spawned.append(Node(package="ros_gz_sim", executable="create", arguments=arguments))
        driven.append(
            node(
                "drive_unit",
                (*SITE, TIME),
                values={"unit": unit, "backend": "cmd_vel"},
                name=f"drive_unit_{unit}",
            )
        )
    bridge = folder / "bridge.yaml"
    bridge.write_text(configuration(bridged), encoding="utf-8")
    gazebo = PathJoinSubstitution([FindPackageShare("ros_gz_sim"), "launch", "gz_sim.launch.py"])
    flags = "-r" if text(context, GUI) == "true" else "-r -s"
    clean = OnShutdown(on_shutdown=lambda *_: shutil.rmtree(folder, ignore_errors=True))
    return [
        RegisterEventHandler(clean),
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource(gazebo),
            launch_arguments={"gz_args": f"{flags} {world}"}.items(),
        ),
        *spawned,
        namespaced(
            [
                Node(
                    package="ros_gz_bridge",
                    executable="parameter_bridge",
                    arguments=SERVICES,
                    parameters=[{"config_file": str(bridge), TIME.name: TIME.value()}],
                ),
                *driven,
                node("harmonic_link", (*SITE, TIME)),
                node(
                    "fleet_simulator",
                    (*SITE, TIME),
                    values={"clock": "follow", "unit_nodes": -1},
                ),
            ]
        ),
    ]
