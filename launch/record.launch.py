"""Records a site with rosbag2, as MCAP.

ros2 launch robo_stow record.launch.py folder:=/var/bags regex:='(fleet|orders|alarms).*'
"""

from launch.actions import ExecuteProcess
from launch.substitutions import IfElseSubstitution, LaunchConfiguration
from robo_stow_nodes.launching import NAMESPACE, SIM_TIME, Argument

from launch import LaunchDescription

FOLDER = Argument("folder", ".", "existing folder in which each recording makes its own")
REGEX = Argument("regex", ".*", "topics to record, below the namespace")
TIME = Argument("use_sim_time", "true", SIM_TIME.description, bool)
ARGUMENTS = (FOLDER, REGEX, TIME, NAMESPACE)


def generate_launch_description() -> LaunchDescription:
    """One recorder; its bag is called after the time."""
    topics = ["^", LaunchConfiguration(NAMESPACE.name), "/", LaunchConfiguration(REGEX.name)]
    clock = IfElseSubstitution(
        LaunchConfiguration(TIME.name), "--use-sim-time", "--disable-keyboard-controls"
    )
    recorder = ExecuteProcess(
        cmd=[
            *("ros2", "bag", "record", "--storage", "mcap", "--disable-keyboard-controls", clock),
            *("--regex", topics),
        ],
        cwd=LaunchConfiguration(FOLDER.name),
        output="screen",
    )
    return LaunchDescription([*(argument.declare() for argument in ARGUMENTS), recorder])
