"""Lorries and their cut-offs: when an order must have been packed.

A carrier's lorries leave at fixed intervals. An order goes with the first one of its carrier that
leaves no sooner than its handling time after it has come; that departure is when it is due. Which
carrier takes it follows from its number alone, so that all totes of one order travel together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import blake2b
from itertools import accumulate

from robo_stow.floor.building import Lorry


def carrier_of(order: str, lorries: Sequence[Lorry]) -> Lorry:
    """The carrier that takes the order of which ``order`` is a tote (``536365-2`` of 536365)."""
    number = order.split("-", 1)[0]
    draw = int.from_bytes(blake2b(number.encode(), digest_size=8).digest(), "big") / 2.0**64
    shares = list(accumulate(lorry.share for lorry in lorries))
    for lorry, share in zip(lorries, shares, strict=True):
        if draw * shares[-1] < share:
            return lorry
    return lorries[-1]


def departure(lorry: Lorry, earliest: float) -> float:
    """When the carrier's first lorry leaves at or after ``earliest``, s."""
    first, every = lorry.first * 60.0, lorry.every * 60.0
    return first + max(math.ceil((earliest - first) / every), 0) * every
