"""One robot: its node, and its description for RViz.

ros2 launch robo_stow drive_unit.launch.py building:=demo unit:=3
"""

from launch.actions import OpaqueFunction
from robo_stow_nodes.launching import (
    BUILDING,
    COMMON,
    DESCRIPTION,
    HARDWARE,
    ORDERS,
    PLUGIN,
    SEED,
    SIM_TIME,
    UNITS,
    Argument,
    described,
    namespaced,
    node,
    site,
    text,
)

from launch import LaunchContext, LaunchDescription
from robo_stow.errors import InputError
from robo_stow.floor.urdf import drive_unit_arguments

UNIT = Argument("unit", "0", "index of the unit in the fleet", int)
ARGUMENTS = (*COMMON, UNIT, DESCRIPTION, HARDWARE, PLUGIN)


def generate_launch_description() -> LaunchDescription:
    """The unit's node and its robot_state_publisher."""
    return LaunchDescription(
        [
            *(argument.declare() for argument in ARGUMENTS),
            OpaqueFunction(function=_start),
        ]
    )


def _start(context: LaunchContext) -> list:
    building = site(context)
    unit = int(text(context, UNIT))
    if not 0 <= unit < building.units:
        raise InputError(
            "drive_unit.launch.py", "unit", unit, f"0 to {building.units - 1} expected"
        )
    description = {
        **drive_unit_arguments(building),
        "hardware": text(context, HARDWARE),
        "plugin": text(context, PLUGIN),
    }
    return [
        namespaced(
            [
                node(
                    "drive_unit",
                    (BUILDING, UNITS, ORDERS, SEED, SIM_TIME, UNIT),
                    name=f"drive_unit_{unit}",
                ),
                described("drive_unit", building.unit_name(unit), description),
            ]
        )
    ]
