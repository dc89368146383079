"""Zones that people may enter, closed to units until they are reset by hand.

The rule is that of ISO 3691-4 for restarts: that the person has gone does not open a zone; somebody
who sees that it is empty does. It is a rule of operation, not a certified safety function: what
protects a person in the last metre is the units' own sensors.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robo_stow.errors import InputError
from robo_stow.floor.building import Building, CellKind
from robo_stow.messages import I32, KeepOuts, ZoneCommand, ZoneEvent
from robo_stow.traffic.kept import read_cells, read_json, write_durably

Bools = NDArray[np.bool_]


@dataclass
class _Closed:
    cells: I32
    occupied: bool


class Zones:
    """Which zones are closed.

    Args:
        building: with its named zones.
        closed: those that are closed from the start, as they were left.

    Public:
        closed: Bools[cells] cells that no unit may enter now.
    """

    def __init__(self, building: Building, closed: KeepOuts | None = None) -> None:
        grid = building.grid
        self._known = {zone.name: np.array(zone.cells, np.int32) for zone in building.zones}
        self._floor: Bools = np.asarray(grid.kind != CellKind.WALL)
        self._closed: dict[str, _Closed] = {}
        self.closed: Bools = np.zeros(grid.cells, np.bool_)
        if closed is not None:
            cells_of = np.split(closed.cell, np.cumsum(closed.count))[:-1]
            for name, occupied, cells in zip(
                closed.zone, closed.occupied.tolist(), cells_of, strict=True
            ):
                self._closed[name] = _Closed(cells, bool(occupied))
            self._mark()

    def _mark(self) -> None:
        self.closed[:] = False
        for zone in self._closed.values():
            self.closed[zone.cells] = True

    @property
    def any_closed(self) -> bool:
        """Whether a zone is closed."""
        return bool(self._closed)

    def apply(self, command: ZoneCommand) -> str:
        """Carry a command out; why not, empty when it was."""
        name = command.zone
        zone = self._closed.get(name)
        if command.event is ZoneEvent.ENTERED:
            cells = np.unique(command.cell) if len(command.cell) else self._known.get(name)
            if cells is None:
                return f"no zone {name!r} in the building, and no cells given"
            cells = cells[self._floor[cells]]
            if not len(cells):
                return f"zone {name!r} has no cell that is not a wall"
            if zone is not None:  # somebody else enters, or the same with more cells
                cells = np.union1d(cells, zone.cells)
            self._closed[name] = _Closed(cells.astype(np.int32), True)
        elif zone is None:
            return f"zone {name!r} is not closed"
        elif command.event is ZoneEvent.LEFT:
            zone.occupied = False
        elif zone.occupied:
            return f"somebody is in zone {name!r}"
        else:
            del self._closed[name]
        self._mark()
        return ""

    def told(self, stamp: float) -> KeepOuts:
        """All closed zones."""
        zones = sorted(self._closed.items())
        cells = [zone.cells for _, zone in zones]
        return KeepOuts(
            stamp=stamp,
            zone=tuple(name for name, _ in zones),
            occupied=np.array([zone.occupied for _, zone in zones], np.uint8),
            count=np.array([len(c) for c in cells], np.int32),
            cell=np.concatenate([np.zeros(0, np.int32), *cells]),
        )


class ZoneFile:
    """Closed zones on disk, so that a restart opens none of them.

    Args:
        path: of the file; it need not exist.
        building: whose cells they are.
    """

    def __init__(self, path: str, building: Building) -> None:
        self._path = Path(path)
        self._cells = building.grid.cells
        self._written = ""

    def read(self) -> KeepOuts:
        """What was written last; nothing closed when there is no file.

        Raises:
            InputError: the file cannot be read, or is not of this building.
        """
        zones = read_json(self._path)
        for name, zone in zones.items():
            if not isinstance(zone, dict) or not {"cells", "occupied"} <= set(zone):
                raise InputError(self._path, name, zone, "must have cells and occupied")
            read_cells(self._path, f"{name}.cells", zone["cells"], self._cells)
        return KeepOuts(
            stamp=0.0,
            zone=tuple(zones),
            occupied=np.array([bool(zone["occupied"]) for zone in zones.values()], np.uint8),
            count=np.array([len(zone["cells"]) for zone in zones.values()], np.int32),
            cell=np.array([c for zone in zones.values() for c in zone["cells"]], np.int32),
        )

    def write(self, closed: KeepOuts) -> None:
        """Keep the zones; on disk when it returns.

        Raises:
            InputError: the file cannot be written.
        """
        cells = np.split(closed.cell, np.cumsum(closed.count))
        text = json.dumps(
            {
                name: {"occupied": bool(closed.occupied[i]), "cells": cells[i].tolist()}
                for i, name in enumerate(closed.zone)
            }
        )
        if text == self._written:
            return
        write_durably(self._path, text)
        self._written = text
