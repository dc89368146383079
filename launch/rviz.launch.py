"""RViz with the control room's view of a site, or with that of one robot.

ros2 launch robo_stow rviz.launch.py
ros2 launch robo_stow rviz.launch.py view:=robot robot:=unit_0003 use_sim_time:=false
"""

from launch.actions import GroupAction
from launch_ros.actions import Node, PushROSNamespace
from robo_stow_nodes.launching import (
    NAMESPACE,
    SIM_TIME,
    Argument,
    launched,
    namespaced,
    shared,
    text,
    transforms,
)

from launch import LaunchContext, LaunchDescription

VIEW = Argument("view", "control_room", "what to look at", choices=("control_room", "robot"))
ROBOT = Argument("robot", "unit_0000", "name of the robot of view:=robot")
TIME = Argument("use_sim_time", "true", SIM_TIME.description, bool)


def generate_launch_description() -> LaunchDescription:
    """RViz; topics of the robot's view are relative to the robot's namespace."""
    return launched((VIEW, ROBOT, TIME, NAMESPACE), _start)


def _start(context: LaunchContext) -> list:
    view = text(context, VIEW)
    rviz = Node(
        package="rviz2",
        executable="rviz2",
        name="rviz",
        arguments=["-d", shared("config", "rviz", f"{view}.rviz")],
        parameters=[{TIME.name: TIME.value()}],
        remappings=transforms(context),
    )
    inner = text(context, ROBOT) if view == "robot" else ""
    return [namespaced([GroupAction([PushROSNamespace(inner), rviz])])]
