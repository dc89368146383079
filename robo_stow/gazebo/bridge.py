"""What ros_gz_bridge carries between ROS 2 and Gazebo Harmonic, as its configuration files.

Topics of Gazebo are those of `robo_stow.floor.world`; those of ROS are those of the node
``drive_unit``, relative to the bridge's namespace. The clock is bridged once for a world.

Of the camera there is no picture: a fiducial's pose is the unit's true one, of which the unit uses
what a camera could see (`robo_stow.drive.wheels.SIGHT`).
"""

from __future__ import annotations

from typing import NamedTuple

import yaml

from robo_stow.floor.world import ARM_JOINTS


class Bridged(NamedTuple):
    """One topic, in the words of ros_gz_bridge."""

    ros_topic_name: str
    gz_topic_name: str
    ros_type_name: str
    gz_type_name: str
    direction: str


CLOCK = Bridged("/clock", "/clock", "rosgraph_msgs/msg/Clock", "gz.msgs.Clock", "GZ_TO_ROS")

SERVICES = [
    "/world/default/create@ros_gz_interfaces/srv/SpawnEntity",
    "/world/default/remove@ros_gz_interfaces/srv/DeleteEntity",
]
"""Services of the world, as arguments of ros_gz_bridge's parameter_bridge."""


def unit_topics(name: str) -> list[Bridged]:
    """Topics of the drive unit ``name``."""
    rows = (
        ("cmd_vel", "cmd_vel", "geometry_msgs/msg/TwistStamped", "Twist", "ROS_TO_GZ"),
        ("odom", "odometry", "nav_msgs/msg/Odometry", "Odometry", "GZ_TO_ROS"),
        ("fiducial", "pose", "geometry_msgs/msg/PoseStamped", "Pose", "GZ_TO_ROS"),
        ("load/attach", "load/attach", "std_msgs/msg/Empty", "Empty", "ROS_TO_GZ"),
        ("load/detach", "load/detach", "std_msgs/msg/Empty", "Empty", "ROS_TO_GZ"),
        ("load/state", "load/state", "std_msgs/msg/String", "StringMsg", "GZ_TO_ROS"),
    )
    return [
        Bridged(f"{name}/{ros}", f"/model/{name}/{gz}", kind, f"gz.msgs.{gz_kind}", direction)
        for ros, gz, kind, gz_kind, direction in rows
    ]


def lifter_topics(name: str) -> list[Bridged]:
    """Topics of the Robo-Stow ``name``."""
    return [
        Bridged(
            f"lifters/{name}/{joint}/cmd_pos",
            f"/model/{name}/joint/{joint}/cmd_pos",
            "std_msgs/msg/Float64",
            "gz.msgs.Double",
            "ROS_TO_GZ",
        )
        for joint in ARM_JOINTS
    ]


def configuration(topics: list[Bridged]) -> str:
    """A file for the parameter ``config_file`` of ros_gz_bridge's parameter_bridge."""
    return yaml.safe_dump([topic._asdict() for topic in topics], sort_keys=False)
