"""What fits where: boxes in bins, set straight, any side up.

Lengths are whole mm, volumes whole mm^3, weights whole g: sums of pieces are exact. Pieces and
bins are boxes. A piece fits a bin when it does in one of its six positions; of one SKU a bin takes
no more pieces than stand in it in rows, all alike; of all goods together no more volume than the
bin can use. That a mix of bulky pieces can be packed is for the person who stows to see.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from robo_stow.floor.building import PodSpec

MM = 1e-3  # m
MM3 = 1e-9  # m^3
GRAM = 1e-3  # kg

AMBIENT = ("ambient", "")
"""Temperature and hazard class of ordinary goods."""

I64 = NDArray[np.int64]
Size = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class BinSpec:
    """One bin of a face."""

    shelf: int  # 0 is the lowest
    size: Size  # mm: width, depth, height
    volume: int  # mm^3 that goods take at most
    capacity: int  # g


def bins_of_face(spec: PodSpec) -> tuple[BinSpec, ...]:
    """The bins of a face, by slot."""
    return tuple(
        BinSpec(
            number,
            size := (_whole(shelf.width), _whole(shelf.depth), _whole(shelf.height)),
            math.floor(spec.usable * math.prod(size) + 0.5),
            math.floor(shelf.capacity / GRAM + 0.5),
        )
        for number, shelf in enumerate(spec.shelves)
        for _ in range(shelf.bins)
    )


def classes_of_pods(spec: PodSpec, pods: int) -> list[tuple[str, str]]:
    """Temperature and hazard class that each pod is kept for."""
    special = [(kept.temperature, kept.hazard) for kept in spec.classes for _ in range(kept.pods)]
    return [AMBIENT] * (pods - len(special)) + special


def pieces_in(piece: Size, box: Size) -> int:
    """Equal pieces that stand in a box in rows, all in one position, the best of six."""
    width, depth, height = box
    return max((width // a) * (depth // b) * (height // c) for a, b, c in permutations(piece))


def pieces_in_boxes(pieces: I64, boxes: I64) -> I64:
    """`pieces_in` of all sizes ``pieces`` [k, 3] and ``boxes`` [b, 3]: [k, b]."""
    fitting = [
        np.prod(boxes[None, :, :] // pieces[:, None, list(turned)], axis=2)
        for turned in permutations(range(3))
    ]
    most: I64 = np.max(fitting, axis=0)
    return most


def _whole(metres: float) -> int:
    return math.floor(metres / MM + 0.5)
