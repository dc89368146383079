"""One robot as a node of its own.

ros2 launch robo_stow drive_unit.launch.py building:=demo unit:=3 use_sim_time:=false
"""

from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from launch import LaunchDescription

ARGUMENTS = (
    ("building", "demo", str, "shipped building or YAML file"),
    ("seed", "-1", int, "seed of all randomness; -1: the building's"),
    ("unit", "0", int, "index of the unit in the fleet"),
    ("use_sim_time", "false", bool, "follow /clock"),
)


def generate_launch_description() -> LaunchDescription:
    """The unit's node, called after the unit."""
    defaults = PathJoinSubstitution(
        [FindPackageShare("robo_stow"), "config", "nodes", "drive_unit.yaml"]
    )
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=text)
                for name, default, _, text in ARGUMENTS
            ),
            Node(
                package="robo_stow",
                executable="drive_unit",
                name=["drive_unit_", LaunchConfiguration("unit")],
                parameters=[
                    defaults,
                    {
                        name: ParameterValue(LaunchConfiguration(name), value_type=kind)
                        for name, _, kind, _ in ARGUMENTS
                    },
                ],
                output="screen",
            ),
        ]
    )
