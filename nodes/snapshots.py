"""Keeps the whole of what a topic has said in changes, for those who join late."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from robo_stow.messages import PodPlaces, PodRegister, PodSpace, StockLevels

_KEYS: dict[type, tuple[str, ...]] = {
    PodPlaces: ("pod",),
    PodRegister: ("pod",),
    StockLevels: ("bin", "sku"),
    PodSpace: ("pod", "face"),
}
_VALUES: dict[type, tuple[str, ...]] = {
    PodPlaces: ("cell",),
    PodRegister: ("cell",),
    StockLevels: ("on_hand", "reserved"),
    PodSpace: ("free",),
}

KINDS = tuple(_KEYS)
"""Records that are sent as changes of absolute values."""

ROWS = 20_000
"""Rows in one message of a snapshot: bounds the time a receiver is busy with it."""


class Snapshot:
    """The latest value of every row a record type has carried."""

    def __init__(self, record: type) -> None:
        self._record = record
        self._rows: dict[tuple[Any, ...], tuple[Any, ...]] = {}

    def add(self, record: Any) -> None:
        """Take in a change."""
        keys = zip(*(_plain(getattr(record, name)) for name in _KEYS[self._record]), strict=True)
        values = zip(
            *(_plain(getattr(record, name)) for name in _VALUES[self._record]), strict=True
        )
        self._rows.update(zip(keys, values, strict=True))

    def whole(self, stamp: float) -> Iterator[Any]:
        """All rows, in records of at most `ROWS` rows."""
        rows = [key + value for key, value in self._rows.items()]
        names = _KEYS[self._record] + _VALUES[self._record]
        for start in range(0, len(rows), ROWS):
            columns = zip(*rows[start : start + ROWS], strict=True)
            fields: dict[str, Any] = dict(zip(names, columns, strict=True))
            if self._record in (PodPlaces, PodRegister):
                fields = {name: np.array(column, np.int32) for name, column in fields.items()}
            yield self._record(stamp=stamp, **fields)


def _plain(column: Any) -> Any:
    return column.tolist() if isinstance(column, np.ndarray) else column
