"""Records a site with rosbag2, as MCAP.

ros2 launch robo_stow record.launch.py folder:=/var/bags regex:='fleet|orders|alarms'
"""

from pathlib import Path

from launch.actions import ExecuteProcess
from robo_stow_nodes.launching import NAMESPACE, SIM_TIME, Argument, launched, namespace, text

from launch import LaunchContext, LaunchDescription
from robo_stow.errors import InputError

FOLDER = Argument("folder", ".", "existing folder in which each recording makes its own")
REGEX = Argument("regex", ".*", "topics to record: how their names below the namespace begin")
TIME = Argument("use_sim_time", "true", SIM_TIME.description, bool)


def generate_launch_description() -> LaunchDescription:
    """One recorder; its bag is called after the time."""
    return launched((FOLDER, REGEX, TIME, NAMESPACE), _start)


def _start(context: LaunchContext) -> list:
    folder = text(context, FOLDER)
    if not Path(folder).is_dir():
        raise InputError("record.launch.py", "folder", folder, "an existing folder expected")
    topics = f"^{namespace(context)}/({text(context, REGEX)})"
    clock = ["--use-sim-time"] if text(context, TIME).lower() == "true" else []
    recorder = ExecuteProcess(
        cmd=[
            *("ros2", "bag", "record", "--storage", "mcap", "--disable-keyboard-controls"),
            *(*clock, "--regex", topics),
        ],
        cwd=folder,
        output="screen",
    )
    return [recorder]
