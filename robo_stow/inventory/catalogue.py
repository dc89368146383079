"""What the building sells: one entry a SKU, with the size and weight of a piece.

The public order data name SKUs but not their sizes. They are drawn here, log-normal as sizes of
consumer goods are, from the seed and the SKU's code alone: a SKU keeps its size whatever other
SKUs an order file holds. Nine in ten pieces have 0.2 to 3 litres and 0.05 to 2 kg; larger pieces
tend to be heavier.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from robo_stow.errors import InputError
from robo_stow.floor.building import Building
from robo_stow.fulfilment.orderfile import read_order_lines

F64 = NDArray[np.float64]

VOLUME_RANGE = (0.2e-3, 3e-3)
"""5th and 95th percentile of a piece's volume, m^3."""
WEIGHT_RANGE = (0.05, 2.0)
"""5th and 95th percentile of a piece's weight, kg."""
CORRELATION = 0.7
"""Between the logarithms of volume and weight."""
BIN_SHARE = 0.5
"""A piece takes at most this share of a bin's volume and capacity."""

MM3 = 1e-9  # m^3
GRAM = 1e-3  # kg
LONGEST_CODE = 64


@dataclass(frozen=True, eq=False)
class Catalogue:
    """SKUs in ascending order of their codes, with parallel arrays.

    Volumes are whole mm^3 and weights whole grams, so that sums of pieces are exact.
    """

    sku: tuple[str, ...]
    volume: F64  # [k] m^3 a piece
    weight: F64  # [k] kg a piece
    demand: F64  # [k] share of order lines, sums to 1
    index: dict[str, int] = field(repr=False)

    @classmethod
    def from_orders(cls, building: Building, seed: int) -> Catalogue:
        """Catalogue of the SKUs in ``building.orders.file``.

        Raises:
            InputError: the order file, a line of it, or a SKU's code cannot be used.
        """
        codes, count = np.unique(read_order_lines(building.orders.file).sku, return_counts=True)
        sku = tuple(str(code) for code in codes)
        for code in sku:
            if len(code) > LONGEST_CODE:
                raise InputError(
                    building.orders.file, "StockCode", code, f"longer than {LONGEST_CODE} letters"
                )
        volume, weight = draw_sizes(
            sku,
            seed,
            largest=building.pod.bin_volume * BIN_SHARE,
            heaviest=building.pod.bin_capacity * BIN_SHARE,
        )
        demand = count / count.sum()
        for array in (volume, weight, demand):
            array.setflags(write=False)
        return cls(sku, volume, weight, demand, {code: i for i, code in enumerate(sku)})

    def __len__(self) -> int:
        return len(self.sku)


def draw_sizes(
    sku: Iterable[str], seed: int, *, largest: float, heaviest: float
) -> tuple[F64, F64]:
    """Volume (m^3) and weight (kg) of a piece of each SKU, at most ``largest``, ``heaviest``."""
    normal = NormalDist()
    z = np.array([_uniforms(code, seed) for code in sku]).reshape(-1, 2)
    z = np.array([[normal.inv_cdf(u), normal.inv_cdf(v)] for u, v in z]).reshape(-1, 2)
    z[:, 1] = CORRELATION * z[:, 0] + math.sqrt(1 - CORRELATION**2) * z[:, 1]
    volume = _lognormal(z[:, 0], VOLUME_RANGE).clip(1000 * MM3, largest)
    weight = _lognormal(z[:, 1], WEIGHT_RANGE).clip(GRAM, heaviest)
    # Rounded down, so that a clipped piece stays within the limit.
    return np.floor(volume / MM3 + 1e-6) * MM3, np.floor(weight / GRAM + 1e-6) * GRAM


def _uniforms(code: str, seed: int) -> tuple[float, float]:
    """Two numbers in (0, 1) that depend on seed and code only."""
    digest = blake2b(f"{seed}\0{code}".encode(), digest_size=16).digest()
    u, v = (int.from_bytes(digest[i : i + 8], "big") >> 11 for i in (0, 8))
    return (u + 0.5) / 2**53, (v + 0.5) / 2**53


def _lognormal(z: F64, bounds: tuple[float, float]) -> F64:
    """Log-normal values of standard normal ``z`` with 5 % and 95 % quantiles ``bounds``."""
    low, high = (math.log(bound) for bound in bounds)
    sigma = (high - low) / (2 * NormalDist().inv_cdf(0.95))
    return np.exp((low + high) / 2 + sigma * z)
