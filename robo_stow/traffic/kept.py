"""What outlasts a restart of the traffic manager: files that are whole at all times."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from robo_stow.errors import InputError
from robo_stow.floor.building import Building
from robo_stow.messages import Message, Release


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty when there is no file.

    Raises:
        InputError: the file cannot be read, or holds something else.
    """
    if not path.exists():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(path, "file", path.name, f"{error}") from None
    if not isinstance(value, dict):
        raise InputError(path, "file", path.name, "must hold a JSON object")
    return value


def read_cells(path: Path, field: str, value: Any, cells: int) -> tuple[int, ...]:
    """A list of cells of a floor of so many.

    Raises:
        InputError: it is something else.
    """
    fits = isinstance(value, list) and all(type(c) is int and 0 <= c < cells for c in value)
    if not fits:
        raise InputError(path, field, value, f"must be a list of cells, 0 to {cells - 1}")
    return tuple(value)


def write_durably(path: Path, text: str) -> None:
    """Replace a file as a whole; on disk when it returns.

    Raises:
        InputError: the file cannot be written.
    """
    new = path.with_name(path.name + ".new")
    try:
        with new.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # else the old file may be back after a power cut
        finally:
            os.close(folder)
    except OSError as error:
        raise InputError(path, "file", path.name, f"{error}") from None


class UnitFile:
    """Where every unit is and may come to, on disk before it is let go there.

    A unit that a new traffic manager does not hear of is in one of these cells.

    Args:
        path: of the file, a line a unit; it need not exist.
        building: whose units and cells they are.
    """

    def __init__(self, path: str, building: Building) -> None:
        self._path = Path(path)
        self._cells = building.grid.cells
        self._names = [building.unit_name(unit) for unit in range(building.units)]
        self._written = ""
        self._pairs = np.zeros(0, np.int64)  # unit * cells + cell, of what is on disk

    def read(self) -> dict[int, tuple[int, ...]]:
        """The cells of each unit, as written last.

        Raises:
            InputError: the file cannot be read, or is not of this building.
        """
        numbers = {name: unit for unit, name in enumerate(self._names)}
        found = {}
        for name, cells in read_json(self._path).items():
            if name not in numbers:
                raise InputError(self._path, "unit", name, "the building has no such unit")
            found[numbers[name]] = read_cells(self._path, name, cells, self._cells)
        return found

    def covers(self, said: Iterable[Message]) -> bool:
        """Whether all that the releases among ``said`` lead to is on disk."""
        return all(
            np.isin(
                np.repeat(message.unit.astype(np.int64), message.count) * self._cells
                + message.cell,
                self._pairs,
            ).all()
            for message in said
            if isinstance(message, Release)
        )

    def write(self, places: Mapping[int, Iterable[int]]) -> None:
        """Keep the cells of each unit; on disk when it returns.

        Raises:
            InputError: the file cannot be written.
        """
        rows = [(unit, sorted(set(cells))) for unit, cells in sorted(places.items())]
        lines = [f"{json.dumps(self._names[unit])}: {cells}" for unit, cells in rows]
        text = "{\n" + ",\n".join(lines) + "\n}\n"
        if text == self._written:
            return
        write_durably(self._path, text)
        self._written = text
        pairs = [unit * self._cells + cell for unit, cells in rows for cell in cells]
        self._pairs = np.array(pairs, np.int64)
