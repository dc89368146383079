"""One robot: its node, and its description for RViz.

ros2 launch robo_stow drive_unit.launch.py building:=demo unit:=3 use_sim_time:=true
ros2 launch robo_stow drive_unit.launch.py building:=/etc/robo_stow/site.yaml unit:=3 \
    backend:=cmd_vel start:=fiducial cmd_vel:=/cmd_vel odom:=/odom
ros2 launch robo_stow drive_unit.launch.py building:=/etc/robo_stow/site.yaml unit:=3 backend:=nav2
"""

from robo_stow_nodes.launching import (
    COMMON,
    DESCRIBED,
    SIM_TIME,
    SITE,
    Argument,
    described,
    integer,
    launched,
    namespaced,
    node,
    site,
    text,
)

from launch import LaunchContext, LaunchDescription
from robo_stow.errors import InputError
from robo_stow.floor.urdf import drive_unit_arguments

UNIT = Argument("unit", "0", "index of the unit in the fleet", int)
BACKEND = (
    Argument(
        "backend",
        "kinematic",
        "what moves the unit: simulated motion, speed commands and odometry, or Nav2",
        choices=("kinematic", "cmd_vel", "nav2"),
    ),
    Argument(
        "start",
        "building",
        "where it begins: at its start place, or (cmd_vel) at the first fiducial it sees",
        choices=("building", "fiducial"),
    ),
    Argument(
        "platform",
        "timed",
        "lift and turntable: joints, or timed by the drive profile",
        choices=("timed", "joints"),
    ),
    Argument(
        "navigation",
        "follow_path",
        "Nav2 goals for straight runs",
        choices=("follow_path", "through_poses"),
    ),
)
TOPICS = tuple(
    Argument(name, "", f"topic of the {what}; empty: <unit>/{name}")
    for name, what in (
        ("joint_states", "joints of the platform"),
        ("cmd_vel", "speed commands"),
        ("odom", "odometry"),
        ("fiducial", "pose that a fiducial tells"),
        ("battery_state", "battery"),
        ("emergency_stop", "emergency stop circuit"),
    )
)
JOINT_STATES = TOPICS[0]
ENCLAVE = Argument("enclave", "/", "SROS2 enclave of the node")
NAV2 = Argument("nav2_namespace", "", "namespace of the robot's Nav2; empty: the unit's name")
ACTION_PARTS = ("send_goal", "cancel_goal", "get_result", "feedback", "status")
"""An action is remapped by the services and topics that it consists of."""
ARGUMENTS = (*COMMON, UNIT, *BACKEND, *TOPICS, NAV2, ENCLAVE, *DESCRIBED)


def generate_launch_description() -> LaunchDescription:
    """The unit's node and its robot_state_publisher."""
    return launched(ARGUMENTS, _start)


def _start(context: LaunchContext) -> list:
    building = site(context)
    unit = integer(context, UNIT)
    if not 0 <= unit < building.units:
        raise InputError(
            "drive_unit.launch.py", "unit", unit, f"0 to {building.units - 1} expected"
        )
    name = building.unit_name(unit)
    remappings = [
        (f"{name}/{topic.name}", text(context, topic)) for topic in TOPICS if text(context, topic)
    ]
    nav2 = text(context, NAV2)
    for action in ("follow_path", "navigate_through_poses", "spin"):
        for part in ACTION_PARTS if nav2 else ():
            end = f"{action}/_action/{part}"
            remappings.append((f"{name}/{end}", f"{nav2.rstrip('/')}/{end}"))
    return [
        namespaced(
            [
                node(
                    "drive_unit",
                    (*SITE, SIM_TIME, UNIT, *BACKEND),
                    name=f"drive_unit_{unit}",
                    remappings=remappings,
                    ros_arguments=["--enclave", text(context, ENCLAVE)],
                ),
                described(
                    context,
                    "drive_unit",
                    name,
                    drive_unit_arguments(building),
                    name,
                    text(context, JOINT_STATES),
                ),
            ]
        )
    ]
