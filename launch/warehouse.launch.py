"""All nodes of a simulated site, a process each.

ros2 launch robo_stow warehouse.launch.py building:=demo speed:=5.0
"""

from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from launch import LaunchDescription

NODES = (
    "traffic_manager",
    "inventory",
    "fulfilment",
    "robo_stow_lifter",
    "pick_station",
    "stow_station",
    "monitor",
)
ARGUMENTS = (
    ("building", "demo", str, "shipped building or YAML file"),
    ("units", "0", int, "drive units; 0: as the building says"),
    ("orders", "", str, "CSV of order lines; empty: the building's own"),
    ("seed", "-1", int, "seed of all randomness; -1: the building's"),
)


def generate_launch_description() -> LaunchDescription:
    """Every room's node and the embedded simulator, which starts the clock when it hears them."""
    site = {name: _value(name, kind) for name, _, kind, _ in ARGUMENTS}
    simulator = {
        "speed": _value("speed", float),
        "minutes": _value("minutes", float),
    }
    arguments = [
        *((name, default, text) for name, default, _, text in ARGUMENTS),
        ("speed", "1.0", "building seconds per wall second, upper bound"),
        ("minutes", "0.0", "building minutes to run; 0: no end"),
        ("database", "sqlite://", "SQLAlchemy URL of the ledger; the default lives in memory"),
    ]
    database = {"database": _value("database", str)}
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=text)
                for name, default, text in arguments
            ),
            *(_node(name, site, *([database] if name == "inventory" else [])) for name in NODES),
            _node("fleet_simulator", site, simulator),
        ]
    )


def _value(name: str, kind: type) -> ParameterValue:
    return ParameterValue(LaunchConfiguration(name), value_type=kind)


def _node(name: str, *parameters: dict) -> Node:
    defaults = PathJoinSubstitution(
        [FindPackageShare("robo_stow"), "config", "nodes", f"{name}.yaml"]
    )
    return Node(
        package="robo_stow",
        executable=name,
        name=name,
        parameters=[defaults, *parameters],
        output="screen",
    )
