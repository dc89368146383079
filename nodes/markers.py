"""The floor as RViz markers: one marker a list, however many units there are.

What stands is sent once (`places`), pods when one has been moved (`pods`), the fleet every time
(`fleet`). Lists are kept between messages, so that a message costs its changes and its sending.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point
from numpy.typing import NDArray
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from robo_stow.floor.building import Building, CellKind
from robo_stow.messages import I32, LifterState, Load, Release, UnitStatus

FRAME = "map"

Numbers = NDArray[np.floating]


def _colour(r: float, g: float, b: float, a: float = 1.0) -> ColorRGBA:
    return ColorRGBA(r=r, g=g, b=b, a=a)


_POD = _colour(0.55, 0.5, 0.42)
_TEXT = _colour(0.95, 0.95, 0.95)
_HEADING = _colour(0.1, 0.1, 0.1)
_PATH = _colour(0.2, 0.8, 0.3, 0.8)
_FAULT = _colour(0.9, 0.1, 0.1)
_OF_LOAD = {
    Load.NONE: _colour(0.95, 0.6, 0.1),
    Load.POD: _colour(0.1, 0.41, 0.67),
    Load.PALLET: _colour(0.16, 0.62, 0.29),
}
_OF_KIND = {
    CellKind.QUEUE: _colour(0.9, 0.8, 0.45),
    CellKind.STATION: _colour(0.85, 0.4, 0.33),
    CellKind.HANDOFF: _colour(0.6, 0.45, 0.8),
    CellKind.CHARGER: _colour(0.5, 0.75, 0.9),
    CellKind.PALLET: _colour(0.5, 0.75, 0.55),
}


class _List:
    """A marker that is a list of points, of as many as are shown."""

    def __init__(
        self, name: str, kind: int, size: Sequence[float], colour: ColorRGBA, z: float
    ) -> None:
        self.marker = Marker(ns=name, type=kind, action=Marker.ADD, color=colour)
        self.marker.header.frame_id = FRAME
        self.marker.pose.orientation.w = 1.0
        self.marker.scale.x, self.marker.scale.y, self.marker.scale.z = size
        self._z = z
        self._points: list[Point] = []

    def show(self, x: Numbers, y: Numbers) -> Marker:
        """With points at ``x, y`` (m)."""
        points = self._points
        while len(points) < len(x):
            points.append(Point(z=self._z))
        for point, px, py in zip(points, x.tolist(), y.tolist(), strict=False):
            point.x, point.y = px, py
        self.marker.points = points[: len(x)]
        self.marker.action = Marker.ADD if len(x) else Marker.DELETE
        return self.marker


class FloorMarkers:
    """Markers of a building.

    Args:
        building: the site.
        height: z (m) of the storage floor in `FRAME`.
    """

    def __init__(self, building: Building, height: float) -> None:
        self._building, self._height = building, height
        pod, unit = building.pod.size, building.drive.footprint

        def cubes(name: str, size: Sequence[float], above: float, colour: ColorRGBA) -> _List:
            return _List(name, Marker.CUBE_LIST, size, colour, height + above)

        tall = (pod, pod, 1.6)
        self._pods = cubes("pods", tall, 1.2, _POD)
        self._carried = cubes("carried pods", tall, 1.25, _OF_LOAD[Load.POD])
        self._units = cubes("units", (unit, unit, 0.3), 0.15, _OF_LOAD[Load.NONE])
        lines = Marker.LINE_LIST
        self._headings = _List("headings", lines, (0.08, 0, 0), _HEADING, height + 0.32)
        self._paths = _List("paths", lines, (0.06, 0, 0), _PATH, height + 0.4)
        self._faults = _List("faults", Marker.SPHERE_LIST, (0.8, 0.8, 0.8), _FAULT, height + 2.6)
        self._colours = [_OF_LOAD.get(Load(k), _FAULT) for k in sorted(Load)]
        n = building.units
        self._epoch = np.zeros(n, np.int64)
        self._way: list[dict[int, int]] = [{} for _ in range(n)]  # action number: cell
        self._lifters: dict[str, str] = {}

    def on_release(self, release: Release) -> None:
        """Remember the paths of units."""
        at = 0
        cells = release.cell.tolist()
        rows = zip(
            release.unit.tolist(), release.first.tolist(), release.count.tolist(), strict=True
        )
        for unit, first, count in rows:
            if release.epoch > self._epoch[unit]:
                self._epoch[unit] = release.epoch
                self._way[unit].clear()
            if release.epoch == self._epoch[unit]:
                self._way[unit].update(enumerate(cells[at : at + count], first))
            at += count

    def on_lifter(self, state: LifterState) -> None:
        """Remember what a lifter is doing."""
        load = f", {state.load:.0f} kg" if state.load > 0.0 else ""
        self._lifters[state.lifter] = f"{state.lifter}: {state.phase.name.lower()}{load}"

    def places(self, stamp: Time) -> MarkerArray:
        """Cells by their use, and the names of stations; lifters are named in `fleet`."""
        building, pitch = self._building, self._building.grid.pitch
        markers = []
        for kind, colour in _OF_KIND.items():
            x, y = building.grid.xy(np.flatnonzero(building.grid.kind == kind).astype(np.int32))
            size = (0.96 * pitch, 0.96 * pitch, 0.02)
            name = f"{kind.name.lower()} cells"
            tiles = _List(name, Marker.CUBE_LIST, size, colour, self._height + 0.01)
            markers.append(tiles.show(x, y))
        named = [(s.id, s.cell) for s in building.stations]
        return self._stamped(stamp, [*markers, *self._texts("names", named, 0.3)])

    def pods(self, stamp: Time, cells: I32) -> MarkerArray:
        """Standing pods; ``cells`` [pods], -1 for those that do not stand."""
        x, y = self._building.grid.xy(cells[cells >= 0])
        return self._stamped(stamp, [self._pods.show(x, y)])

    def fleet(
        self,
        stamp: Time,
        x: Numbers,
        y: Numbers,
        yaw: Numbers,
        load: NDArray[np.uint8],
        status: NDArray[np.uint8],
        done: NDArray[np.integer],
        alarms: Sequence[str],
    ) -> MarkerArray:
        """Units, their loads, headings, released paths and faults; lifters; latest alarms.

        Args:
            x, y, yaw, load, status, done: of all units, as in `FleetState`.
        """
        units = self._units.show(x, y)
        units.colors = [self._colours[k] for k in load.tolist()]
        reach = self._building.drive.footprint / 2
        ahead_x = np.stack([x, x + reach * np.cos(yaw)], axis=1).ravel()
        ahead_y = np.stack([y, y + reach * np.sin(yaw)], axis=1).ravel()
        carried, broken = load == Load.POD, status >= UnitStatus.STOPPED
        markers = [
            units,
            self._headings.show(ahead_x, ahead_y),
            self._carried.show(x[carried], y[carried]),
            self._paths.show(*self._lines(x, y, done)),
            self._faults.show(x[broken], y[broken]),
        ]
        cell_of = {site.id: site.cell for site in self._building.lifters}
        doing = [(text, cell_of[name]) for name, text in self._lifters.items()]
        markers += self._texts("lifters", doing, 3.0)
        if alarms:
            corner = (self._building.grid.height - 1) * self._building.grid.width
            markers += self._texts("alarms", [("\n".join(alarms), corner)], 1.0)
        return self._stamped(stamp, markers)

    def _lines(self, x: Numbers, y: Numbers, done: NDArray[np.integer]) -> tuple[Numbers, Numbers]:
        """Ends of the lines from every unit along what it may still drive."""
        grid, units, cells, starts = self._building.grid, [], [], []
        for unit, (way, first) in enumerate(zip(self._way, done.tolist(), strict=True)):
            if not way:
                continue
            for number in [n for n in way if n < first]:
                del way[number]
            last = -1
            for number in sorted(way):
                if way[number] != last:
                    units.append(unit)
                    starts.append(last)
                    cells.append(last := way[number])
        to_x, to_y = grid.xy(np.array(cells, np.int32))
        from_cell = np.array(starts, np.int32)
        from_x, from_y = grid.xy(from_cell)
        begins, of = from_cell < 0, np.array(units, np.intp)
        from_x = np.where(begins, x[of], from_x)
        from_y = np.where(begins, y[of], from_y)
        return (
            np.stack([from_x, to_x], axis=1).ravel(),
            np.stack([from_y, to_y], axis=1).ravel(),
        )

    def _texts(self, name: str, texts: Iterable[tuple[str, int]], above: float) -> list[Marker]:
        markers = []
        for number, (text, cell) in enumerate(texts):
            marker = Marker(ns=name, id=number, type=Marker.TEXT_VIEW_FACING, text=text)
            marker.color = _TEXT
            marker.header.frame_id = FRAME
            x, y = self._building.grid.xy(np.array([cell], np.int32))
            marker.pose.position.x, marker.pose.position.y = float(x[0]), float(y[0])
            marker.pose.position.z = self._height + above
            marker.pose.orientation.w = 1.0
            marker.scale.z = 0.5 * self._building.grid.pitch
            markers.append(marker)
        return markers

    @staticmethod
    def _stamped(stamp: Time, markers: list[Marker]) -> MarkerArray:
        for marker in markers:
            marker.header.stamp = stamp
        return MarkerArray(markers=markers)
