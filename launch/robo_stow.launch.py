"""One Robo-Stow: its controller, and its description for RViz and ros2_control.

ros2 launch robo_stow robo_stow.launch.py building:=/etc/robo_stow/site.yaml lifter:=lifter_1 \
    controller:=false drives:=true hardware:=real plugin:=my_drives/MyDrives
"""

from robo_stow_nodes import topics
from robo_stow_nodes.launching import (
    COMMON,
    DESCRIBED,
    SIM_TIME,
    SITE,
    Argument,
    described,
    launched,
    namespaced,
    node,
    site,
    text,
    when,
)

from launch import LaunchContext, LaunchDescription
from robo_stow.errors import InputError
from robo_stow.floor.urdf import lifter_arguments

PARTS = (
    Argument(
        "controller",
        "true",
        "start the lifter's controller; false where warehouse.launch.py has started it",
        choices=("true", "false"),
    ),
    Argument(
        "drives",
        "false",
        "have ros2_control follow the controller; false: a simulator is the drives",
        choices=("true", "false"),
    ),
)
LIFTER = Argument("lifter", "", "id of the Robo-Stow; empty: the building's first")
ARGUMENTS = (*COMMON, LIFTER, *PARTS, *DESCRIBED)


def generate_launch_description() -> LaunchDescription:
    """The lifter's node, the one to its ros2_control, and its robot_state_publisher."""
    return launched(ARGUMENTS, _start)


def _start(context: LaunchContext) -> list:
    building = site(context)
    wanted = text(context, LIFTER)
    found = [s for s in building.lifters if wanted in ("", s.id)]
    if not found:
        known = ", ".join(s.id for s in building.lifters)
        raise InputError("robo_stow.launch.py", "lifter", wanted, f"one of {known} expected")
    chosen = found[0]
    place = topics.topic("lifters/{lifter}", lifter=chosen.id)
    return [
        namespaced(
            [
                node(
                    kind,
                    (*SITE, SIM_TIME),
                    values={"lifter": chosen.id},
                    name=topics.topic(f"{kind}_{{lifter}}", lifter=chosen.id),
                    condition=when(part.name, "true"),
                )
                for kind, part in zip(("robo_stow_lifter", "lifter_drives"), PARTS, strict=True)
            ]
            + [
                described(
                    context, "robo_stow", chosen.id, lifter_arguments(building, chosen), place
                )
            ]
        )
    ]
