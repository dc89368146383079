"""The demo building under `ros2 launch`: orders are shipped, and every process ends with 0.

Run by ``launch_test test/launch/demo.launch.test.py``, which comes with ROS 2.
"""

import time
import unittest

import launch_testing
import launch_testing.actions
import launch_testing.asserts
import rclpy
from ament_index_python.packages import get_package_share_directory
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from robo_stow_interfaces.msg import OrderShipped

from launch import LaunchDescription

SECONDS = 240.0
"""Wall time for the first order."""


def generate_test_description() -> LaunchDescription:
    file = get_package_share_directory("robo_stow") + "/launch/warehouse.launch.py"
    arguments = {"building": "demo", "speed": "100.0", "log_level": "warn"}
    return LaunchDescription(
        [
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(file), launch_arguments=arguments.items()
            ),
            launch_testing.actions.ReadyToTest(),
        ]
    )


class TestDemo(unittest.TestCase):
    def test_orders_are_shipped(self) -> None:
        rclpy.init()
        node = rclpy.create_node("listener")
        shipped: list[str] = []
        node.create_subscription(
            OrderShipped, "orders/shipped", lambda message: shipped.append(message.order), 1000
        )
        end = time.monotonic() + SECONDS
        while not shipped and time.monotonic() < end:
            rclpy.spin_once(node, timeout_sec=0.5)
        node.destroy_node()
        rclpy.shutdown()
        self.assertTrue(shipped)


@launch_testing.post_shutdown_test()
class TestEnd(unittest.TestCase):
    def test_exit_codes(self, proc_info: launch_testing.ProcInfoHandler) -> None:
        launch_testing.asserts.assertExitCodes(proc_info)
