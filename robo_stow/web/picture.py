"""What the control room's page is told, as plain data for JSON."""

from __future__ import annotations

from typing import Any

import numpy as np

from robo_stow.floor.building import Building, Grid
from robo_stow.monitor import MonitorCore

ALARMS_SHOWN = 50
"""Latest alarms that the page lists."""


def floor(building: Building) -> dict[str, Any]:
    """What does not change while a site runs.

    Returns:
        ``kind`` (one digit a cell, row by row from the south-west corner), sizes in m, and the
        cells of stations and lifters, numbered in that order.
    """
    grid = building.grid
    rows = grid.kind.reshape(grid.height, grid.width)[::-1]
    return {
        "name": building.name,
        "width": grid.width,
        "height": grid.height,
        "pitch": grid.pitch,
        "kind": "".join(map(str, rows.ravel().tolist())),
        "footprint": building.drive.footprint,
        "pod_size": building.pod.size,
        "names": [building.unit_name(unit) for unit in range(building.units)],
        "stations": [
            {"id": site.id, "kind": site.kind, "cell": int(_from_south(grid, site.cell))}
            for site in building.stations
        ],
        "lifters": [
            {"id": site.id, "cell": int(_from_south(grid, site.cell))} for site in building.lifters
        ],
    }


def moment(monitor: MonitorCore) -> dict[str, Any]:
    """Where everything is now: a list of numbers for each kind of thing, in units' order.

    Returns:
        ``x``, ``y`` in cm, ``yaw`` in degrees, ``battery`` in %, ``pods`` as the cells (see
        `floor`) of the pods that stand on the floor, ``figures`` as in ``report.json``, the latest
        ``alarms``.
    """
    units = monitor.units
    seen = units.cell >= 0
    return {
        "now": round(monitor.now, 2),
        "unit": np.flatnonzero(seen).tolist(),
        "x": _whole(100.0 * units.x[seen]),
        "y": _whole(100.0 * units.y[seen]),
        "yaw": _whole(np.degrees(units.yaw[seen])),
        "load": units.load[seen].tolist(),
        "load_id": units.load_id[seen].tolist(),
        "status": units.status[seen].tolist(),
        "battery": _whole(100.0 * units.battery[seen]),
        "pods": _from_south(monitor.building.grid, monitor.pods[monitor.pods >= 0]).tolist(),
        "figures": monitor.figures(),
        "alarms": [
            {"stamp": round(a.stamp, 1), "kind": a.kind, "source": a.source, "text": a.text}
            for a in monitor.alarms[-ALARMS_SHOWN:]
        ],
    }


def _from_south(grid: Grid, cell: Any) -> Any:
    """Cells, numbered row by row from the south-west corner, as the page's y goes; not the grid's
    north-west."""
    row, column = np.divmod(cell, grid.width)
    return (grid.height - 1 - row) * grid.width + column


def _whole(values: np.ndarray[Any, np.dtype[Any]]) -> list[int]:
    rounded: list[int] = np.rint(values).astype(np.int32).tolist()
    return rounded
