"""What the launch files share; needs the packages `launch` and `launch_ros`.

Every launch argument is an `Argument`: it has a description, and nodes take it by its name. A
node's parameters are its own file in ``config/nodes``, then the file of the launch argument
``params_file`` where one is given, then the launch arguments that the node was given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from launch.actions import (
    DeclareLaunchArgument,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
)
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import (
    EqualsSubstitution,
    IfElseSubstitution,
    LaunchConfiguration,
    NotEqualsSubstitution,
    PathJoinSubstitution,
)
from launch_ros.actions import Node, PushROSNamespace
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from launch import Action, Condition, LaunchContext, LaunchDescription
from robo_stow.errors import InputError
from robo_stow.floor.building import Building
from robo_stow.floor.load import load_building
from robo_stow.floor.urdf import expand

PACKAGE = "robo_stow"


@dataclass(frozen=True)
class Argument:
    """A launch argument; ``kind`` is the type of the node parameter of that name."""

    name: str
    default: Any
    description: str
    kind: type = str
    choices: Sequence[str] | None = None

    def declare(self) -> DeclareLaunchArgument:
        """The action that declares it."""
        return DeclareLaunchArgument(
            self.name,
            default_value=self.default,
            description=self.description,
            choices=self.choices,
        )

    def value(self) -> ParameterValue:
        """Its value as a node's parameter."""
        return ParameterValue(LaunchConfiguration(self.name), value_type=self.kind)


BUILDING = Argument("building", "demo", "shipped building or YAML file")
UNITS = Argument("units", "0", "number of drive units; 0: as the building says", int)
ORDERS = Argument("orders", "", "CSV of order lines; empty: the building's own")
SEED = Argument("seed", "-1", "seed of all randomness; -1: the building's", int)
SIM_TIME = Argument("use_sim_time", "false", "follow /clock instead of the machine's clock", bool)
PARAMS_FILE = Argument("params_file", "", "parameter file that goes before those of the package")
NAMESPACE = Argument("namespace", "", "namespace of all nodes and topics; empty: none")
LOG_LEVEL = Argument("log_level", "info", "least severity of messages that nodes log")
HARDWARE = Argument("hardware", "mock", "what ros2_control drives", choices=("mock", "gz", "real"))
DESCRIPTION = Argument(
    "description", "true", "publish the robot's description", choices=("true", "false")
)
PLUGIN = Argument("plugin", "", "ros2_control plugin of real drives, PACKAGE/CLASS")
SITE = (BUILDING, UNITS, ORDERS, SEED)
"""Arguments that say to every node which site it is of."""
COMMON = (*SITE, SIM_TIME, PARAMS_FILE, NAMESPACE, LOG_LEVEL)
"""Arguments that every launch file of nodes has."""
DESCRIBED = (DESCRIPTION, HARDWARE, PLUGIN)
"""Arguments of `described`."""


def launched(
    arguments: Iterable[Argument], start: Callable[[LaunchContext], list[Action]]
) -> LaunchDescription:
    """A launch file's description: its arguments, then what ``start`` makes of their values."""
    return LaunchDescription(
        [*(argument.declare() for argument in arguments), OpaqueFunction(function=start)]
    )


def shared(*parts: Any) -> PathJoinSubstitution:
    """A file of the package's share folder."""
    return PathJoinSubstitution([FindPackageShare(PACKAGE), *parts])


def text(context: LaunchContext, argument: Argument) -> str:
    """What a launch argument says in this launch."""
    return str(LaunchConfiguration(argument.name).perform(context))


def integer(context: LaunchContext, argument: Argument) -> int:
    """What a launch argument that is a whole number says in this launch.

    Raises:
        InputError: it is none.
    """
    said = text(context, argument)
    try:
        return int(said)
    except ValueError:
        raise InputError("ros2 launch", argument.name, said, "a whole number expected") from None


def namespace(context: LaunchContext) -> str:
    """What the names of the launch's topics begin with: empty, or ``/`` and its namespace."""
    name = text(context, NAMESPACE).strip("/")
    return name and f"/{name}"


def transforms(context: LaunchContext) -> list[tuple[str, str]]:
    """Remappings to the site's transforms of the absolute names that tf2 knows them by."""
    return [(name, namespace(context) + name) for name in ("/tf", "/tf_static")]


def site(context: LaunchContext) -> Building:
    """The building that the launch arguments name.

    Raises:
        InputError: it cannot be used.
    """
    return load_building(
        text(context, BUILDING),
        units=integer(context, UNITS) or None,
        orders=text(context, ORDERS) or None,
    )


def described(
    context: LaunchContext,
    robot: str,
    name: str,
    arguments: Mapping[str, object],
    place: str,
    joint_states: str = "",
) -> Node:
    """Publisher of the description of a robot, its frames called after ``name``.

    Args:
        robot: file in ``urdf/``, without its ending.
        arguments: of its xacro, besides those that the launch arguments give.
        place: what the names of the robot's topics begin with.
        joint_states: topic of its joints; empty: ``<place>/joint_states``.
    """
    description = expand(
        robot, {**arguments, **{a.name: text(context, a) for a in (HARDWARE, PLUGIN)}}
    )
    return Node(
        package="robot_state_publisher",
        executable="robot_state_publisher",
        name=f"{place.replace('/', '_')}_description",
        condition=when(DESCRIPTION.name, "true"),
        remappings=[
            *transforms(context),
            ("robot_description", f"{place}/robot_description"),
            ("joint_states", joint_states or f"{place}/joint_states"),
        ],
        parameters=[
            {
                "robot_description": ParameterValue(description, value_type=str),
                "frame_prefix": f"{name}/",
                SIM_TIME.name: SIM_TIME.value(),
            }
        ],
    )


def node(
    kind: str,
    arguments: Iterable[Argument],
    values: Mapping[str, Any] | None = None,
    ros_arguments: Sequence[str] = (),
    **options: Any,
) -> Node:
    """One of the package's nodes, with those launch arguments as parameters.

    Args:
        values: parameters that are no launch arguments.
        options: passed on to `launch_ros.actions.Node`.
    """
    defaults = shared("config", "nodes", f"{kind}.yaml")
    chosen = LaunchConfiguration(PARAMS_FILE.name)
    return Node(
        package=PACKAGE,
        executable=kind,
        parameters=[
            defaults,
            # Without a file of the caller's the defaults again, which changes nothing.
            IfElseSubstitution(NotEqualsSubstitution(chosen, ""), chosen, defaults),
            {**{argument.name: argument.value() for argument in arguments}, **(values or {})},
        ],
        ros_arguments=["--log-level", LaunchConfiguration(LOG_LEVEL.name), *ros_arguments],
        output="screen",
        **{"name": kind, **options},
    )


def when(name: str, value: str) -> Condition:
    """Whether the launch argument ``name`` is ``value``."""
    return IfCondition(EqualsSubstitution(LaunchConfiguration(name), value))


def include(file: str, arguments: dict[str, Any], condition: Condition) -> Action:
    """Another launch file of the package; its arguments stay its own."""
    source = PythonLaunchDescriptionSource(shared("launch", file))
    return GroupAction(
        [IncludeLaunchDescription(source, launch_arguments=arguments.items())],
        condition=condition,
        scoped=True,
    )


def passed(arguments: Iterable[Argument]) -> dict[str, Any]:
    """Launch arguments to hand on to an included file by the same names."""
    return {argument.name: LaunchConfiguration(argument.name) for argument in arguments}


def namespaced(actions: Sequence[Action]) -> GroupAction:
    """The actions, their nodes in the launch argument ``namespace``."""
    return GroupAction([PushROSNamespace(LaunchConfiguration(NAMESPACE.name)), *actions])
