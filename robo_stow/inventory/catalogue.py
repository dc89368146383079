"""What the building sells: one entry a SKU, with size, weight and class of a piece.

The public order data name SKUs but not their sizes. For SKUs that the building's item file does
not list they are drawn here, log-normal as sizes of consumer goods are, from the seed and the
SKU's code alone: a SKU keeps its size whatever other SKUs an order file holds. Nine in ten pieces
have 0.2 to 3 litres and 0.05 to 2 kg; larger pieces tend to be heavier. Each side of a piece is up
to twice the next one.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from robo_stow.errors import InputError
from robo_stow.floor.building import Building, PodSpec
from robo_stow.fulfilment.orderfile import read_order_lines
from robo_stow.inventory.fit import AMBIENT, GRAM, MM, MM3, bins_of_face, pieces_in
from robo_stow.inventory.schema import NAME_LENGTH

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

VOLUME_RANGE = (0.2e-3, 3e-3)
"""5th and 95th percentile of a piece's volume, m^3."""
WEIGHT_RANGE = (0.05, 2.0)
"""5th and 95th percentile of a piece's weight, kg."""
CORRELATION = 0.7
"""Between the logarithms of volume and weight."""
LONGEST_RATIO = 2.0
"""Of two sides of a piece, next to each other in length."""
BIN_SHARE = 0.5
"""A drawn piece takes at most this share of the largest bin's volume and capacity."""

ITEM_COLUMNS = ("sku", "length_mm", "width_mm", "height_mm", "weight_g", "temperature", "hazard")
LARGEST_MM, HEAVIEST_G = 10_000, 10_000_000


@dataclass(frozen=True, eq=False)
class Catalogue:
    """SKUs in ascending order of their codes, with parallel arrays.

    Sizes are whole mm and weights whole grams, so that sums of pieces are exact.
    """

    sku: tuple[str, ...]
    size: F64  # [k, 3] m, a piece, the longest side first
    weight: F64  # [k] kg a piece
    demand: F64  # [k] share of order lines, sums to 1
    kept: tuple[tuple[str, str], ...]  # temperature and hazard class
    listed: NDArray[np.bool_]  # [k] the item file names it: its size is known, not drawn

    @cached_property
    def volume(self) -> F64:
        """Volume of a piece, [k] m^3."""
        sides = np.rint(self.size / MM).astype(np.int64)
        volume: F64 = sides.prod(axis=1) * MM3
        volume.setflags(write=False)
        return volume

    @cached_property
    def index(self) -> dict[str, int]:
        """Position of a SKU's code."""
        return {code: i for i, code in enumerate(self.sku)}

    @classmethod
    def from_orders(cls, building: Building, seed: int) -> Catalogue:
        """Catalogue of the SKUs in ``building.orders.file`` and ``building.stock.items``.

        Raises:
            InputError: a file, a line of it, or a SKU's code cannot be used.
        """
        ordered = read_order_lines(building.orders.file).sku
        codes, counts = np.unique(ordered, return_counts=True)
        lines = {str(code): int(n) for code, n in zip(codes, counts, strict=True)}
        for code in lines:
            if len(code) > NAME_LENGTH:
                raise InputError(
                    building.orders.file, "StockCode", code, f"longer than {NAME_LENGTH} letters"
                )
        items = read_items(building) if building.stock.items else {}
        sku = tuple(sorted(lines.keys() | items.keys()))
        sides, grams = draw_sizes(sku, seed, building.pod)
        kept = [AMBIENT] * len(sku)
        for i, code in enumerate(sku):
            if code in items:
                item = items[code]
                sides[i], grams[i], kept[i] = item.size, item.weight, item.kept
        share = np.array([lines.get(code, 0) for code in sku]) / len(ordered)
        listed = np.array([code in items for code in sku], bool)
        size, weight = sides.astype(np.float64) * MM, grams.astype(np.float64) * GRAM
        for array in (size, weight, share, listed):
            array.setflags(write=False)
        return cls(sku, size, weight, share, tuple(kept), listed)

    def __len__(self) -> int:
        return len(self.sku)


# --- sizes that are known ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Item:
    """A line of the item file."""

    size: tuple[int, int, int]  # mm, the longest side first
    weight: int  # g
    kept: tuple[str, str]  # temperature and hazard class


def read_items(building: Building) -> dict[str, Item]:
    """The item file of a building.

    Raises:
        InputError: it cannot be read, or an item fits no bin of the building.
    """
    file = building.stock.items
    spec = building.pod
    kinds = {AMBIENT, *((kept.temperature, kept.hazard) for kept in spec.classes)}
    bins = set(bins_of_face(spec))
    items: dict[str, Item] = {}
    try:
        with Path(file).open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream, strict=True)
            head = next(reader, [])
            if tuple(head) != ITEM_COLUMNS:
                raise InputError(
                    file, "line 1", ",".join(head), f"must be {','.join(ITEM_COLUMNS)}"
                )
            for row in reader:
                where = f"line {reader.line_num}"
                if len(row) != len(ITEM_COLUMNS):
                    wanted = f"{len(ITEM_COLUMNS)} values expected, {len(row)} found"
                    raise InputError(file, where, ",".join(row), wanted)
                code, *sides, weight, temperature, hazard = row
                if not code or len(code) > NAME_LENGTH or not code.isprintable():
                    raise InputError(file, f"{where}, sku", code, "is no code of a SKU")
                if code in items:
                    raise InputError(file, f"{where}, sku", code, "is listed twice")
                names = zip(ITEM_COLUMNS[1:4], sides, strict=True)
                size = [_number(file, f"{where}, {name}", v, LARGEST_MM) for name, v in names]
                long, middle, short = sorted(size, reverse=True)
                item = Item(
                    (long, middle, short),
                    _number(file, f"{where}, weight_g", weight, HEAVIEST_G),
                    (temperature, hazard),
                )
                if item.kept not in kinds:
                    raise InputError(
                        file, f"{where}, temperature", temperature,
                        f"{building.source} keeps no pods for {class_name(item.kept)}",
                    )  # fmt: skip
                if not any(
                    pieces_in(item.size, bin_.size)
                    and math.prod(item.size) <= bin_.volume
                    and item.weight <= bin_.capacity
                    for bin_ in bins
                ):
                    raise InputError(file, f"{where}, sku", code, "fits no bin of the building")
                items[code] = item
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(file, "file", Path(file).name, f"cannot be read: {error}") from None
    return items


def class_name(kept: tuple[str, str]) -> str:
    """Temperature and hazard class, for people."""
    return f"{kept[0]} {kept[1]}".rstrip() + " goods"


def _number(file: str, field: str, value: str, most: int) -> int:
    try:
        number = int(value)
    except ValueError:
        number = 0
    if not 0 < number <= most:
        raise InputError(file, field, value, f"must be a whole number from 1 to {most}")
    return number


# --- sizes that are drawn ------------------------------------------------------------------------


def draw_sizes(sku: Sequence[str], seed: int, spec: PodSpec) -> tuple[I64, I64]:
    """Sides ([k, 3] mm, the longest first) and weight ([k] g) of a piece of each SKU."""
    bins = bins_of_face(spec)
    largest = max(bins, key=lambda bin_: bin_.volume)
    normal = NormalDist()
    u = np.array([_uniforms(code, seed) for code in sku]).reshape(-1, 4)
    z = np.array([[normal.inv_cdf(a), normal.inv_cdf(b)] for a, b in u[:, :2]]).reshape(-1, 2)
    z[:, 1] = CORRELATION * z[:, 0] + math.sqrt(1 - CORRELATION**2) * z[:, 1]
    volume = _lognormal(z[:, 0], VOLUME_RANGE).clip(max=largest.volume * MM3 * BIN_SHARE)
    weight = _lognormal(z[:, 1], WEIGHT_RANGE).clip(max=largest.capacity * GRAM * BIN_SHARE)

    upper, lower = 1.0 + (LONGEST_RATIO - 1.0) * u[:, 2:].T
    short = (volume / (upper * lower**2)) ** (1 / 3)
    sides = np.stack([upper * lower * short, lower * short, short], axis=1)
    # Rounded down, so that a clipped piece stays within the limit.
    sides = np.minimum(np.floor(sides / MM), np.sort(largest.size)[::-1])
    return np.maximum(sides, 1).astype(np.int64), np.maximum(weight / GRAM, 1).astype(np.int64)


def _uniforms(code: str, seed: int) -> tuple[float, ...]:
    """Four numbers in (0, 1) that depend on seed and code only."""
    digest = blake2b(f"{seed}\0{code}".encode(), digest_size=16).digest()
    digest += blake2b(f"{seed}\0{code}\0shape".encode(), digest_size=16).digest()
    whole = (int.from_bytes(digest[i : i + 8], "big") >> 11 for i in (0, 8, 16, 24))
    return tuple((n + 0.5) / 2**53 for n in whole)


def _lognormal(z: F64, bounds: tuple[float, float]) -> F64:
    """Log-normal values of standard normal ``z`` with 5 % and 95 % quantiles ``bounds``."""
    low, high = (math.log(bound) for bound in bounds)
    sigma = (high - low) / (2 * NormalDist().inv_cdf(0.95))
    return np.exp((low + high) / 2 + sigma * z)
