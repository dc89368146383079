"""A person's commands to the traffic manager of a running site."""

from __future__ import annotations

import os
import time

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from robo_stow_nodes import topics
from robo_stow_nodes.conversions import COMMANDS, Converter

from robo_stow.errors import RoboStowError
from robo_stow.messages import Confirmation, UnitReset, ZoneCommand

PATIENCE = 10.0
"""s to find the traffic manager, and again to hear its answer."""


def command(order: ZoneCommand | UnitReset) -> Confirmation:
    """Give a command and wait for its confirmation.

    Raises:
        RoboStowError: there is no traffic manager, or it does not answer.
    """
    # As for a site in one process: one machine is enough, and a larger site says so.
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    kind = type(order)
    converter = Converter()
    rclpy.init(args=[])
    try:
        node = Node("operator")
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        client = node.create_client(COMMANDS[kind], topics.COMMANDS[kind])
        if not client.wait_for_service(PATIENCE):
            raise RoboStowError(f"nobody serves {topics.COMMANDS[kind]}: is the site running?")
        future = client.call_async(converter.command(kind).encode(order))
        end = time.monotonic() + PATIENCE
        while not future.done() and time.monotonic() < end:
            executor.spin_once(timeout_sec=0.1)
        if not future.done():
            raise RoboStowError(f"no answer from {topics.COMMANDS[kind]} in {PATIENCE:g} s")
        answer: Confirmation = converter.confirmation(kind).decode(future.result())
        executor.shutdown()
        node.destroy_node()
    finally:
        rclpy.try_shutdown()
    return answer
