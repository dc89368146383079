"""Which pod comes to a pick station next.

One step of greedy weighted set cover (Chvatal 1979): the pod that covers the most open lines of the
station for the time it costs. Urgent lines count more. Lines still in the backlog count in part,
since a pod that many orders want will find further ones to open while it stands there.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from robo_stow.fulfilment.dispatch import Units
from robo_stow.fulfilment.orderbook import Line, OrderBook
from robo_stow.fulfilment.putaway import Storage
from robo_stow.fulfilment.stock import StockMirror
from robo_stow.fulfilment.ways import FAR, Ways

BACKLOG_SHARE = 0.5
"""Worth of a backlog line beside an open one."""
BACKLOG_CAP = 6.0
"""Backlog lines that count at most."""
HANDLING = 60.0
"""Seconds a visit costs whatever the distance: lifting, turning, changing pods, putting away."""
SHORTLIST = 24
"""Pods that are compared in full."""


def choose_pod(
    lines: list[Line],
    station: int,
    stock: StockMirror,
    book: OrderBook,
    storage: Storage,
    units: Units,
    ways: Ways,
    available: Callable[[int], bool],
    now: float,
) -> tuple[int, int]:
    """Pod and unit for the open ``lines`` of a station; (-1, -1) when none can be sent."""
    free_units = units.free()
    if not len(free_units):
        return -1, -1
    worth: dict[int, float] = {}
    for line in lines:
        places = stock.by_sku.get(line.sku)
        if not places:
            continue
        weight = 1.0 + line.order.urgency(now)
        whole: dict[int, int] = {}
        for place in places.values():
            if place.free:
                whole[place.pod] = whole.get(place.pod, 0) + place.free
        for pod, pieces in whole.items():
            # A pod with too few pieces leaves a rest for which another must come.
            share = 1.0 if pieces >= line.open else 0.4 * pieces / line.open
            worth[pod] = worth.get(pod, 0.0) + weight * share
    to_station = ways.to(station)
    shortlist: list[tuple[float, int]] = []
    for pod, value in worth.items():
        if available(pod):
            steps = int(to_station[storage.place[pod]])
            if steps < FAR:
                shortlist.append((value / (HANDLING + 2.0 * steps * ways.seconds_a_step), pod))
    shortlist.sort(key=lambda entry: (-entry[0], entry[1]))
    best, chosen = -np.inf, (-1, -1)
    for _, pod in shortlist[:SHORTLIST]:
        wanted = sum(
            book.weight.get(sku, 0.0)
            for sku, places in stock.by_pod[pod].items()
            if any(place.free for place in places)
        )
        value = worth[pod] + BACKLOG_SHARE * min(wanted, BACKLOG_CAP)
        cell = int(storage.place[pod])
        unit, approach = units.nearest(cell, free_units)
        way = approach + 2.0 * int(to_station[cell])
        score = value / (HANDLING + way * ways.seconds_a_step)
        if score > best:
            best, chosen = score, (pod, unit)
    return chosen
