"""Node of the monitor: key figures, diagnostics, and the floor for RViz."""

from __future__ import annotations

import json
import math
import time
from array import array
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import OccupancyGrid
from rclpy.clock import Clock, ClockType
from robo_stow_interfaces.msg import Heartbeat
from robo_stow_nodes import parameters, qos, topics
from robo_stow_nodes.markers import FRAME, FloorMarkers
from robo_stow_nodes.shell import CoreNode, run_alone
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import MarkerArray

from robo_stow.errors import InputError
from robo_stow.floor.export import occupancy
from robo_stow.messages import I32, Alarm, Core, LifterState, Release, UnitStatus
from robo_stow.monitor import MonitorCore
from robo_stow.web.server import PERIOD, ControlRoom

if TYPE_CHECKING:
    from robo_stow.warehouse import Warehouse

STALE_SECONDS = 5.0
"""Wall time (s) without a heartbeat after which a node counts as stale."""

SHOWN_ALARMS = 4
"""Latest alarms in RViz."""


class MonitorNode(CoreNode):
    """Watches everything, decides nothing; conflicts come from the independent checker.

    Publishes:
        /alarms (Alarm): conflicts.
        /kpi (std_msgs/String): key figures as JSON.
        /diagnostics (diagnostic_msgs/DiagnosticArray): nodes by heartbeat, fleet, conflicts.
        /floor/map (nav_msgs/OccupancyGrid): transient local, once.
        /floor/markers (visualization_msgs/MarkerArray): units, headings, carried pods, released
            paths, faults, lifters, alarms; a list each.
        /floor/pods, /floor/places (visualization_msgs/MarkerArray): standing pods, on change;
            cells by their use and names, once; transient local.
        /tf (tf2_msgs/TFMessage): the units in frame "map".

    Subscribes:
        /fleet/state (FleetState), /fleet/pod_places (PodPlaces)
        /orders/arrived (OrderArrived), /orders/shipped (OrderShipped)
        /stations/<id>/pick_visit (PickVisit), instruct (Instruct), scan (Scan),
        /stations/<id>/put (Put)
        /lifters/<id>/result (LiftResult), state (LifterState), feedback (LifterFeedback),
        /inventory/pod_space (PodSpace), /alarms (Alarm)
        /fleet/release (Release): for the markers.
        /heartbeat (Heartbeat)

    Parameters: those of `CoreNode`, and
        kpi_period (s): wall time between /kpi, and between /diagnostics.
        marker_period (s): wall time between /floor/markers.
        tf_period (s): wall time between /tf; 0 for never.
        web: TCP port on this machine of the control room's page; 0 for none.
    """

    KIND = "monitor"
    PUBLISHES = (Alarm,)
    core: MonitorCore

    def build(self) -> Sequence[Core]:
        self.core = MonitorCore(self.building, self.seed)
        return (self.core,)

    def take(self, warehouse: Warehouse) -> Sequence[Core]:
        self.core = warehouse.monitor
        return (self.core,)

    def connect(self) -> None:
        super().connect()
        self._height = next(level.height for level in self.building.levels if level.storage)
        self._beats: dict[str, tuple[float, Heartbeat]] = {}
        self.create_subscription(Heartbeat, topics.HEARTBEAT, self._on_heartbeat, qos.COMMAND)
        self._kpi = self.create_publisher(String, topics.KPI, qos.STATE)
        self._diagnostics = self.create_publisher(DiagnosticArray, topics.DIAGNOSTICS, qos.STATE)
        self._markers = self.create_publisher(MarkerArray, topics.MARKERS, qos.STATE)
        self._tf = self.create_publisher(TFMessage, topics.TF, qos.STATE)
        self._map = self.create_publisher(OccupancyGrid, topics.MAP, qos.LATCHED)
        self._publish_map()
        self._floor = FloorMarkers(self.building, self._height)
        self._pods = self.create_publisher(MarkerArray, topics.PODS, qos.LATCHED)
        self._shown_pods: I32 = np.full_like(self.core.pods, -2)
        self._places = self.create_publisher(MarkerArray, topics.PLACES, qos.LATCHED)
        self._places.publish(self._floor.places(self.get_clock().now().to_msg()))
        codec = self.converter.codec
        self.create_subscription(
            codec(Release).message, topics.TOPICS[Release], self._on_release, qos.of(Release)
        )

    def deliver(self, record: Any) -> None:
        if isinstance(record, LifterState):
            self._floor.on_lifter(record)
        super().deliver(record)

    def start(self) -> None:
        super().start()
        declare = partial(parameters.declare, self, self.KIND)
        wall = Clock(clock_type=ClockType.STEADY_TIME)
        period = declare("kpi_period", "wall time between /kpi, s", (0.1, 3600.0))
        self.create_timer(period, self._publish_figures, clock=wall)
        period = declare("marker_period", "wall time between /floor/markers, s", (0.02, 3600.0))
        self.create_timer(period, self._publish_markers, clock=wall)
        period = declare("tf_period", "wall time between /tf, s; 0: never", (0.0, 3600.0))
        if period:
            self.create_timer(period, self._publish_tf, clock=wall)
        port = declare("web", "port of the control room's page; 0: none", (0, 65535))
        self._room = ControlRoom(self.core, port) if port else None
        if self._room is not None:
            self.get_logger().info(f"control room: {self._room.url}")
            self.create_timer(PERIOD, self._room.show, clock=wall)

    def destroy_node(self) -> None:
        if self._room is not None:
            self._room.close()
        super().destroy_node()

    def _on_heartbeat(self, beat: Heartbeat) -> None:
        self._beats[beat.node] = (time.monotonic(), beat)

    # -- figures --------------------------------------------------------------------------------

    def _publish_figures(self) -> None:
        if self._kpi.get_subscription_count():
            self._kpi.publish(String(data=json.dumps(self.core.figures())))
        if self._diagnostics.get_subscription_count():
            message = DiagnosticArray(status=[*self._node_status(), self._floor_status()])
            message.header.stamp = self.get_clock().now().to_msg()
            self._diagnostics.publish(message)

    def _node_status(self) -> list[DiagnosticStatus]:
        wall = time.monotonic()
        found = []
        for node, (heard, beat) in sorted(self._beats.items()):
            stale = wall - heard > STALE_SECONDS
            found.append(
                DiagnosticStatus(
                    level=DiagnosticStatus.STALE if stale else DiagnosticStatus.OK,
                    name=f"robo_stow: {node}",
                    message=f"silent for {wall - heard:.0f} s" if stale else "running",
                    hardware_id=self.building.name,
                    values=[
                        _value("building time, s", f"{beat.stamp.sec}"),
                        _value(
                            "step time since last heartbeat, ms", f"{beat.step_seconds * 1e3:.1f}"
                        ),
                    ],
                )
            )
        return found

    def _floor_status(self) -> DiagnosticStatus:
        broken = int(np.count_nonzero(self.core.units.status >= UnitStatus.STOPPED))
        if self.core.conflicts:
            level, text = DiagnosticStatus.ERROR, f"{self.core.conflicts} conflicts"
        elif broken:
            level, text = DiagnosticStatus.WARN, f"{broken} units stopped or dead"
        else:
            level, text = DiagnosticStatus.OK, "no conflict"
        return DiagnosticStatus(
            level=level,
            name="robo_stow: floor",
            message=text,
            hardware_id=self.building.name,
            values=[
                _value("conflicts", str(self.core.conflicts)),
                _value("units stopped or dead", str(broken)),
                _value("closed cells", str(self.core.closed_cells)),
                _value("alarms", str(len(self.core.alarms))),
            ],
        )

    # -- the floor for RViz ---------------------------------------------------------------------

    def _publish_map(self) -> None:
        grid = self.building.grid
        message = OccupancyGrid(data=array("b", occupancy(grid).tobytes()))
        message.header.frame_id = FRAME
        message.info.resolution = grid.pitch
        message.info.width, message.info.height = grid.width, grid.height
        message.info.origin.position.z = self._height
        message.info.origin.orientation.w = 1.0
        self._map.publish(message)

    def _publish_markers(self) -> None:
        stamp = self.get_clock().now().to_msg()
        if self._pods.get_subscription_count() and (self._shown_pods != self.core.pods).any():
            self._shown_pods = self.core.pods.copy()
            self._pods.publish(self._floor.pods(stamp, self._shown_pods))
        if self._markers.get_subscription_count():
            units, alarms = self.core.units, self.core.alarms[-SHOWN_ALARMS:]
            texts = [f"{alarm.source} {alarm.kind}: {alarm.text}" for alarm in alarms]
            message = self._floor.fleet(
                stamp,
                units.x,
                units.y,
                units.yaw,
                units.load,
                units.status,
                units.done,
                texts,
            )
            self._markers.publish(message)

    def _on_release(self, message: Any) -> None:
        if not self._markers.get_subscription_count():
            return
        try:
            self._floor.on_release(self.converter.codec(Release).decode(message))
        except InputError as error:
            self.reject(error)

    def _publish_tf(self) -> None:
        if not self._tf.get_subscription_count():
            return
        units = self.core.units
        stamp = self.get_clock().now().to_msg()
        transforms = []
        for unit, (x, y, yaw) in enumerate(
            zip(units.x.tolist(), units.y.tolist(), units.yaw.tolist(), strict=True)
        ):
            transform = TransformStamped(child_frame_id=self.building.unit_name(unit))
            transform.header.stamp = stamp
            transform.header.frame_id = FRAME
            place = transform.transform
            place.translation.x, place.translation.y = x, y
            place.translation.z = self._height
            place.rotation.z, place.rotation.w = math.sin(yaw / 2.0), math.cos(yaw / 2.0)
            transforms.append(transform)
        self._tf.publish(TFMessage(transforms=transforms))


def _value(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=value)


def main(args: Sequence[str] | None = None) -> int:
    """Run the node as a process."""
    return run_alone(MonitorNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
