"""RViz with the control room's view of a site, or with that of one robot.

ros2 launch robo_stow rviz.launch.py
ros2 launch robo_stow rviz.launch.py view:=robot robot:=unit_0003 use_sim_time:=false
"""

from launch.actions import GroupAction
from launch.substitutions import IfElseSubstitution, LaunchConfiguration, NotEqualsSubstitution
from launch_ros.actions import Node, PushROSNamespace
from robo_stow_nodes.launching import NAMESPACE, SIM_TIME, Argument, namespaced, shared

from launch import LaunchDescription

VIEW = Argument("view", "control_room", "what to look at", choices=("control_room", "robot"))
ROBOT = Argument("robot", "unit_0000", "name of the robot of view:=robot")
TIME = Argument("use_sim_time", "true", SIM_TIME.description, bool)


def generate_launch_description() -> LaunchDescription:
    """RViz; topics of the robot's view are relative to the robot's namespace."""
    view = LaunchConfiguration(VIEW.name)
    inner = IfElseSubstitution(
        NotEqualsSubstitution(view, "robot"), "", LaunchConfiguration(ROBOT.name)
    )
    rviz = Node(
        package="rviz2",
        executable="rviz2",
        name="rviz",
        arguments=["-d", shared("config", "rviz", [view, ".rviz"])],
        parameters=[{TIME.name: TIME.value()}],
        # RViz reads the transforms by their absolute name; they are the site's.
        remappings=[
            ("/tf", [LaunchConfiguration(NAMESPACE.name), "/tf"]),
            ("/tf_static", [LaunchConfiguration(NAMESPACE.name), "/tf_static"]),
        ],
    )
    return LaunchDescription(
        [
            *(argument.declare() for argument in (VIEW, ROBOT, TIME, NAMESPACE)),
            namespaced([GroupAction([PushROSNamespace(inner), rviz])]),
        ]
    )
