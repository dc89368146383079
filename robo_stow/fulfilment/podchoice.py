"""Which pod comes to a pick station next.

One step of greedy weighted set cover (Chvatal 1979): the pod that covers the most open lines of the
station for the time it costs. Urgent lines count more. Lines still in the backlog count in part,
since a pod that many orders want will find further ones to open while it stands there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_stow.fulfilment.dispatch import Units
from robo_stow.fulfilment.orderbook import Line, OrderBook
from robo_stow.fulfilment.putaway import Storage
from robo_stow.fulfilment.stock import StockMirror
from robo_stow.fulfilment.ways import FAR, Ways

BACKLOG_SHARE = 0.2
"""Worth of a backlog line beside an open one."""
BACKLOG_CAP = 6.0
"""Backlog lines that count at most."""
HANDLING = 240.0
"""Seconds a visit costs whatever the distance: lifting, turning, changing pods, putting away."""
SHORTLIST = 24
"""Pods that are compared in full."""


@dataclass(frozen=True, eq=False, slots=True)
class Candidates:
    """Pods that are compared in full."""

    share: NDArray[np.float64]  # [lines, pods] of each open line that a pod can serve, weighted
    extra: NDArray[np.floating[Any]]  # [pods] worth of the backlog lines that a pod could serve
    seconds: NDArray[np.floating[Any]]  # [pods] that a visit costs
    score: NDArray[np.floating[Any]]  # [pods] worth a second


def best_candidate(found: Candidates) -> int:
    """Index of the pod that is worth most by itself."""
    return int(np.argmax(found.score))


def choose_pod(
    lines: list[Line],
    station: int,
    stock: StockMirror,
    book: OrderBook,
    storage: Storage,
    units: Units,
    ways: Ways,
    available: NDArray[np.bool_],
    now: float,
    pick: Callable[[Candidates], int] = best_candidate,
) -> tuple[int, int]:
    """Pod and unit for the open ``lines`` of a station; (-1, -1) when none can be sent.

    Args:
        pick: which of the candidates.
    """
    free_units = units.free()
    if not len(free_units):
        return -1, -1
    worth: dict[int, float] = {}
    shares: list[dict[int, float]] = []
    for line in lines:
        weight = 1.0 + line.order.urgency(now)
        # A pod with too few pieces leaves a rest for which another must come.
        share = {
            pod: weight * (1.0 if pieces >= line.open else 0.4 * pieces / line.open)
            for pod, pieces in stock.free.get(line.sku, {}).items()
        }
        shares.append(share)
        for pod, part in share.items():
            worth[pod] = worth.get(pod, 0.0) + part
    pods = np.fromiter(worth, np.intp, len(worth))
    values = np.fromiter(worth.values(), np.float64, len(worth))
    usable = available[pods]
    pods, values = pods[usable], values[usable]
    cells = storage.place[pods]
    steps = 2.0 * ways.to(station)[cells]
    rough = np.where(steps < FAR, values / (HANDLING + steps * ways.seconds_a_step), 0.0)
    best = np.argsort(-rough, kind="stable")[:SHORTLIST]
    best = best[rough[best] > 0.0]
    if not len(best):
        return -1, -1
    unit, approach = units.nearest(cells[best], free_units)
    wanted = np.array([_wanted(int(pod), stock, book) for pod in pods[best]])
    extra = BACKLOG_SHARE * np.minimum(wanted, BACKLOG_CAP)
    seconds = HANDLING + (steps[best] + approach) * ways.seconds_a_step
    names = pods[best].tolist()
    table = np.array([[share.get(pod, 0.0) for pod in names] for share in shares])
    chosen = pick(Candidates(table, extra, seconds, (values[best] + extra) / seconds))
    return int(pods[best[chosen]]), int(unit[chosen])


def _wanted(pod: int, stock: StockMirror, book: OrderBook) -> float:
    """Backlog lines that a pod could serve."""
    total = 0.0
    for sku in stock.by_pod[pod]:
        weight = book.weight.get(sku)
        if weight and pod in stock.free[sku]:
            total += weight
    return total
