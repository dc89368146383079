"""Order lines from a CSV file in the layout of the public Online Retail data.

Columns, by name in the header line: ``InvoiceNo, StockCode, Quantity, InvoiceDate, UnitPrice,
CustomerID, Country, kind``. Only rows of kind ``sale`` are order lines; cancellations,
corrections and postage are skipped. Files ending in ``.gz`` are decompressed.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from robo_stow.errors import InputError

COLUMNS = ("InvoiceNo", "StockCode", "Quantity", "InvoiceDate", "kind")
"""Columns that are needed; further ones may stand in any place."""
REGION = "Country"
"""Column that is read where it is."""


@dataclass(frozen=True, eq=False)
class OrderLines:
    """Sale lines in the order of the file; arrays are read-only."""

    order: NDArray[np.str_]  # [n] invoice number
    sku: NDArray[np.str_]  # [n] stock code
    quantity: NDArray[np.int64]  # [n] pieces, >= 1
    time: NDArray[np.float64]  # [n] s since 1970-01-01T00:00 of the shop's clock
    region: NDArray[np.str_]  # [n] where the order goes to; "" where the file does not say

    def __len__(self) -> int:
        return len(self.order)

    def select(self, keep: NDArray[np.bool_]) -> OrderLines:
        """The lines of which ``keep`` [n] is true."""
        return OrderLines(
            self.order[keep],
            self.sku[keep],
            self.quantity[keep],
            self.time[keep],
            self.region[keep],
        )


def read_order_lines(path: str | Path) -> OrderLines:
    """Sale lines of the CSV file ``path``.

    A file read before and not changed since is not read again.

    Raises:
        InputError: the file cannot be read, lacks a column, holds no sale, or a line holds a
            value that cannot be used (named by its line).
    """
    file = Path(path)
    try:
        stat = file.stat()
    except OSError as error:
        raise InputError(file, "file", str(file), error.strerror or str(error)) from error
    return _read(file, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=4)
def _read(file: Path, modified: int, size: int) -> OrderLines:
    order: list[str] = []
    sku: list[str] = []
    quantity: list[int] = []
    time: list[float] = []
    region: list[str] = []
    clock: dict[str, float] = {}  # an order's lines share one time stamp
    for line, (invoice, code, pieces, date, kind, country) in _rows(file):
        if kind != "sale":
            continue
        if not invoice:
            raise InputError(file, f"line {line}", invoice, "InvoiceNo is empty")
        if not code:
            raise InputError(file, f"line {line}", code, "StockCode is empty")
        try:
            count = int(pieces)
        except ValueError:
            count = 0
        if not 0 < count < 1 << 31:
            raise InputError(
                file, f"line {line}", pieces, "Quantity of a sale must be a whole number > 0"
            )
        seconds = clock.get(date)
        if seconds is None:
            seconds = clock[date] = _seconds(file, line, date)
        order.append(invoice)
        sku.append(code)
        quantity.append(count)
        time.append(seconds)
        region.append(country)
    if not order:
        raise InputError(file, "kind", "", "no line of kind 'sale' in the file")
    lines = OrderLines(
        np.array(order),
        np.array(sku),
        np.array(quantity, np.int64),
        np.array(time, np.float64),
        np.array(region),
    )
    for array in (lines.order, lines.sku, lines.quantity, lines.time, lines.region):
        array.setflags(write=False)
    return lines


def _rows(file: Path) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Line number and the values of `COLUMNS` and `REGION` of each row."""
    try:
        with _open(file) as stream:
            reader = csv.reader(stream)
            header = next(reader, [])
            for name in COLUMNS:
                if name not in header:
                    raise InputError(file, "line 1", ",".join(header), f"no column {name!r}")
            places = [header.index(name) for name in COLUMNS]
            region = header.index(REGION) if REGION in header else None
            width = len(header)
            for row in reader:
                if not row:  # a blank line
                    continue
                if len(row) != width:
                    raise InputError(
                        file,
                        f"line {reader.line_num}",
                        ",".join(row),
                        f"{len(row)} values, the header names {width}",
                    )
                where = "" if region is None else row[region]
                yield reader.line_num, (*[row[place] for place in places], where)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(file, "file", str(file), f"cannot be read: {reason}") from error
    except UnicodeDecodeError as error:
        raise InputError(file, "file", str(file), f"not UTF-8 text: {error.reason}") from error
    except csv.Error as error:
        raise InputError(file, f"line {reader.line_num}", "", str(error)) from error


def _open(file: Path) -> TextIO:
    if file.suffix == ".gz":
        return gzip.open(file, "rt", encoding="utf-8-sig", newline="")
    return open(file, encoding="utf-8-sig", newline="")


def _seconds(file: Path, line: int, date: str) -> float:
    try:
        stamp = datetime.fromisoformat(date)
    except ValueError:
        raise InputError(
            file, f"line {line}", date, "InvoiceDate must be ISO 8601, e.g. 2010-12-01T08:26:00"
        ) from None
    # The shop's clock is taken as it stands: no daylight saving, an offset in the file is ignored.
    return stamp.replace(tzinfo=timezone.utc).timestamp()
