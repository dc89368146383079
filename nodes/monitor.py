"""Node of the monitor: key figures, diagnostics, and the floor for RViz."""

from __future__ import annotations

import json
import math
import time
from array import array
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import Point, TransformStamped
from nav_msgs.msg import OccupancyGrid
from numpy.typing import NDArray
from rclpy.clock import Clock, ClockType
from robo_stow_interfaces.msg import Heartbeat
from robo_stow_nodes import parameters, qos, topics
from robo_stow_nodes.shell import CoreNode, run_alone
from std_msgs.msg import ColorRGBA, String
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import Marker, MarkerArray

from robo_stow.floor.export import occupancy
from robo_stow.messages import Alarm, Core, Load, UnitStatus
from robo_stow.monitor import MonitorCore
from robo_stow.web.server import PERIOD, ControlRoom

if TYPE_CHECKING:
    from robo_stow.warehouse import Warehouse

FRAME = "map"
STALE_SECONDS = 5.0
"""Wall time (s) without a heartbeat after which a node counts as stale."""

_GREY, _BLUE, _GREEN, _RED = (
    ColorRGBA(r=r, g=g, b=b, a=1.0)
    for r, g, b in ((0.55, 0.5, 0.42), (0.1, 0.41, 0.67), (0.16, 0.62, 0.29), (0.82, 0.29, 0.36))
)
_COLOUR_OF_LOAD = {
    Load.NONE: ColorRGBA(r=0.95, g=0.6, b=0.1, a=1.0),
    Load.POD: _BLUE,
    Load.PALLET: _GREEN,
}


class MonitorNode(CoreNode):
    """Watches everything, decides nothing; conflicts come from the independent checker.

    Publishes:
        /alarms (Alarm): conflicts.
        /kpi (std_msgs/String): key figures as JSON.
        /diagnostics (diagnostic_msgs/DiagnosticArray): nodes by heartbeat, fleet, conflicts.
        /floor/map (nav_msgs/OccupancyGrid): transient local, once.
        /floor/markers (visualization_msgs/MarkerArray): pods, units, stations; a list each.
        /tf (tf2_msgs/TFMessage): the units in frame "map".

    Subscribes:
        /fleet/state (FleetState), /fleet/pod_places (PodPlaces)
        /orders/arrived (OrderArrived), /orders/shipped (OrderShipped)
        /stations/<id>/pick_visit (PickVisit), instruct (Instruct), scan (Scan),
        /stations/<id>/put (Put)
        /lifters/<id>/result (LiftResult), /inventory/pod_space (PodSpace), /alarms (Alarm)
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
        if not self._markers.get_subscription_count():
            return
        spec, drive, fleet = self.building.pod, self.building.drive, self.core.units
        standing = self.core.pods[self.core.pods >= 0]
        x, y = self.building.grid.xy(standing)
        carried = fleet.load_id >= 0
        pods = self._cubes(
            "pods",
            np.concatenate([x, fleet.x[carried]]),
            np.concatenate([y, fleet.y[carried]]),
            (spec.size, spec.size, 1.6),
            1.2,
            _GREY,
        )
        units = self._cubes(
            "units",
            fleet.x,
            fleet.y,
            (drive.footprint, drive.footprint, 0.3),
            0.15,
            _BLUE,
        )
        units.colors = [_COLOUR_OF_LOAD[Load(load)] for load in fleet.load.tolist()]
        places = []
        for name, colour, cells in (
            ("pick_stations", _BLUE, [s.cell for s in self.building.stations if s.kind == "pick"]),
            ("stow_stations", _GREEN, [s.cell for s in self.building.stations if s.kind == "stow"]),
            ("hand_offs", _RED, [site.cell for site in self.building.lifters]),
        ):
            x, y = self.building.grid.xy(np.array(cells, np.int32))
            pitch = self.building.grid.pitch
            places.append(self._cubes(name, x, y, (pitch, pitch, 0.02), 0.01, colour))
        self._markers.publish(MarkerArray(markers=[pods, units, *places]))

    def _cubes(
        self,
        name: str,
        x: NDArray[np.float64],
        y: NDArray[np.float64],
        size: tuple[float, float, float],
        height: float,
        colour: ColorRGBA,
    ) -> Marker:
        """One marker with a cube at each x, y (m), its centre ``height`` m above the floor."""
        marker = Marker(ns=name, type=Marker.CUBE_LIST, action=Marker.ADD, color=colour)
        marker.header.frame_id = FRAME
        marker.header.stamp = self.get_clock().now().to_msg()
        marker.pose.orientation.w = 1.0
        marker.scale.x, marker.scale.y, marker.scale.z = size
        z = self._height + height
        marker.points = [
            Point(x=px, y=py, z=z) for px, py in zip(x.tolist(), y.tolist(), strict=True)
        ]
        return marker

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
