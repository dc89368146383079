"""A whole site, a process a node.

ros2 launch robo_stow warehouse.launch.py building:=demo speed:=5.0
ros2 launch robo_stow warehouse.launch.py building:=demo rviz:=true record:=true
ros2 launch robo_stow warehouse.launch.py building:=demo sim:=gazebo units:=8
ros2 launch robo_stow warehouse.launch.py building:=/etc/robo_stow/site.yaml sim:=none \
    database:=postgresql:///robo_stow
"""

from launch.substitutions import IfElseSubstitution, LaunchConfiguration, NotEqualsSubstitution
from robo_stow_nodes.launching import (
    COMMON,
    NAMESPACE,
    SIM_TIME,
    SITE,
    Argument,
    include,
    namespaced,
    node,
    passed,
    when,
)

from launch import LaunchDescription

SIM = Argument(
    "sim",
    "embedded",
    "what moves: embedded simulator; gazebo: Harmonic; classic: Gazebo 11, headless; "
    "none: hardware",
    choices=("embedded", "gazebo", "classic", "none"),
)
SPEED = Argument("speed", "1.0", "building seconds per wall second, upper bound", float)
MINUTES = Argument("minutes", "0.0", "building time to run, min; 0: no end", float)
DATABASE = Argument("database", "sqlite://", "SQLAlchemy URL of the ledger; default: in memory")
UNIT_NODES = Argument(
    "unit_nodes",
    IfElseSubstitution(NotEqualsSubstitution(LaunchConfiguration("sim"), "embedded"), "-1", "0"),
    "units 0 to n - 1 are nodes of their own (drive_unit.launch.py); -1: all",
    int,
)
WEB = Argument("web", "0", "port of the control room's page on this machine; 0: none", int)
TIME = Argument(
    "use_sim_time",
    NotEqualsSubstitution(LaunchConfiguration("sim"), "none"),
    SIM_TIME.description + "; default: unless sim is none",
    bool,
)
SWITCHES = (
    Argument("rviz", "false", "show the control room in RViz", choices=("true", "false")),
    Argument("record", "false", "record all topics with rosbag2", choices=("true", "false")),
)
ARGUMENTS = (
    SIM,
    *(TIME if argument is SIM_TIME else argument for argument in COMMON),
    SPEED,
    MINUTES,
    DATABASE,
    UNIT_NODES,
    WEB,
    *SWITCHES,
)
NODES = {
    "traffic_manager": (UNIT_NODES,),
    "inventory": (DATABASE,),
    "fulfilment": (DATABASE,),
    "robo_stow_lifter": (),
    "pick_station": (),
    "stow_station": (),
    "monitor": (WEB,),
}
"""The nodes of every site, with the launch arguments they take besides those of all nodes."""


def generate_launch_description() -> LaunchDescription:
    """Every room's node, and what moves; a simulator starts the clock when it hears the nodes."""
    simulated = (*SITE, SPEED, MINUTES)
    shown = passed((SIM_TIME, NAMESPACE))
    nodes = [
        *(node(kind, (*SITE, TIME, *more)) for kind, more in NODES.items()),
        node("fleet_simulator", (*simulated, UNIT_NODES), condition=when("sim", "embedded")),
        node("gazebo_link", simulated, condition=when("sim", "classic")),
    ]
    return LaunchDescription(
        [
            *(argument.declare() for argument in ARGUMENTS),
            namespaced(nodes),
            include("gazebo.launch.py", passed(COMMON), when("sim", "gazebo")),
            include("rviz.launch.py", shown, when("rviz", "true")),
            include("record.launch.py", shown, when("record", "true")),
        ]
    )
