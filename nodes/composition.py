"""All nodes of a site in one process, talking over the ROS graph like any others."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import rclpy
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from robo_stow_nodes.fleet_simulator import FleetSimulatorNode
from robo_stow_nodes.fulfilment import FulfilmentNode
from robo_stow_nodes.inventory import InventoryNode
from robo_stow_nodes.monitor import MonitorNode
from robo_stow_nodes.pick_station import PickStationNode
from robo_stow_nodes.robo_stow_lifter import RoboStowLifterNode
from robo_stow_nodes.shell import EXECUTORS, CoreNode, Stopper, spin
from robo_stow_nodes.stow_station import StowStationNode
from robo_stow_nodes.traffic_manager import TrafficManagerNode

if TYPE_CHECKING:
    from robo_stow.warehouse import Warehouse

KINDS: tuple[type[CoreNode], ...] = (
    RoboStowLifterNode,
    PickStationNode,
    StowStationNode,
    InventoryNode,
    FulfilmentNode,
    TrafficManagerNode,
    MonitorNode,
)
"""The nodes of a site beside the simulator, in the order of the embedded loop."""

FASTEST = 1e4
"""Speed that no node can follow: the clock goes as fast as they do."""

_CATCH_UP = 5.0
"""Wall time (s) the nodes have to come to the end of the clock's time."""


def run_composed(
    warehouse: Warehouse,
    minutes: float,
    *,
    seed: int,
    speed: float | None = None,
    executor: str = "events",
    simulator: type[FleetSimulatorNode] = FleetSimulatorNode,
    web_port: int | None = None,
    progress: Callable[[float], None] = lambda now: None,
) -> int | None:
    """Run ``warehouse`` over ROS 2 for ``minutes`` of simulated time.

    Args:
        speed: simulated seconds per wall second, at most; None for as fast as the nodes follow.
        executor: rclpy executor, "events" or "single".
        simulator: kind of the node that hosts the warehouse's plant.
        web_port: TCP port on this machine for the control room's page; None for no page.
        progress: called several times a second with the simulated time (s).

    Returns:
        The number of the signal that ended the run early, or None.
    """
    # One machine is enough for one process; a site that wants more says so.
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    stopper = Stopper()
    site = {
        "building": warehouse.building.source,
        "units": warehouse.building.units,
        "seed": seed,
    }
    own: dict[type[CoreNode], dict[str, Any]] = {MonitorNode: {"web": web_port or 0}}
    nodes = [
        kind(warehouse, **_options(site, use_sim_time=True, **own.get(kind, {}))) for kind in KINDS
    ]
    clock = simulator(warehouse, **_options(site, speed=speed or FASTEST, minutes=float(minutes)))
    nodes.append(clock)
    spinner = EXECUTORS[executor]()
    for node in nodes:
        spinner.add_node(node)
    end: float | None = None

    def stop() -> bool:
        nonlocal end
        progress(clock.now())
        if stopper.signal is not None:
            return True
        if not clock.finished:
            return False
        end = end or time.monotonic() + _CATCH_UP
        behind = clock.now() - warehouse.monitor.now
        return behind < clock.period / 2 or time.monotonic() > end

    try:
        spin(spinner, stop)
    finally:
        spinner.shutdown()
        for node in nodes:
            node.destroy_node()
        rclpy.try_shutdown()
        stopper.restore()
    return stopper.signal


def _options(site: dict[str, Any], **more: Any) -> dict[str, Any]:
    values = {**site, **more}
    return {"parameter_overrides": [Parameter(name, value=value) for name, value in values.items()]}
