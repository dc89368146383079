"""Buying by reorder points: what is ordered when stock falls, and when it comes.

The position of a SKU is what lies in the bins and what is on order and not in the bins yet. When it
falls to the reorder point, so many lots are ordered that it rises above it; each comes after the
lead time. All is read off the stock levels that the inventory tells.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence

import numpy as np

from robo_stow.floor.building import Building
from robo_stow.forecast.demand import DAY, daily_demand
from robo_stow.forecast.plan import Reorder, reorder
from robo_stow.fulfilment.orderfile import read_order_lines
from robo_stow.fulfilment.orders import orders_of
from robo_stow.messages import StockLevels

LEAD_DAYS = 2
LOT_DAYS = 12.0
SERVICE = 0.98
SETTLED = 5.0
"""Seconds after the first stock levels in which the whole of them comes."""
_SALT = 0xB0B


class Purchasing:
    """Reorder points at work.

    Args:
        policy: reorder point and lot of SKUs; others are never bought.
        lead: s from order to receipt. What the opening stock lacks is on its way already, and comes
            at times drawn over this span.
        seed: of those times.
    """

    def __init__(self, policy: Sequence[Reorder], lead: float, seed: int) -> None:
        self._policy: Mapping[str, Reorder] = {row.sku: row for row in policy}
        self._lead = lead
        self._rng = np.random.default_rng([seed, _SALT])
        self._at: dict[tuple[int, str], int] = {}
        self._on_hand: dict[str, int] = {}
        self._on_order: dict[str, int] = {}
        self._coming: list[tuple[float, int, str, int]] = []  # heap
        self._count = 0
        self._opens = math.inf
        self._open = False

    def position(self, sku: str) -> int:
        """Pieces in the bins and on order."""
        return self._on_hand.get(sku, 0) + self._on_order.get(sku, 0)

    def on_levels(self, levels: StockLevels, now: float) -> None:
        """Take new levels, and order what has fallen to its point."""
        self._opens = min(self._opens, now + SETTLED)
        touched: dict[str, None] = {}
        for bin_, sku, on_hand in zip(levels.bin, levels.sku, levels.on_hand, strict=True):
            change = on_hand - self._at.get((bin_, sku), 0)
            if not change:
                continue
            self._at[bin_, sku] = on_hand
            self._on_hand[sku] = self._on_hand.get(sku, 0) + change
            touched[sku] = None
            if change > 0 and self._open:  # what was on order is in the bins now
                self._on_order[sku] = max(self._on_order.get(sku, 0) - change, 0)
        if self._open:
            for sku in touched:
                self._order(sku, now + self._lead)

    @property
    def due(self) -> float:
        """Time (s) at which something comes."""
        if not self._open:
            return self._opens
        return self._coming[0][0] if self._coming else math.inf

    def delivered(self, now: float) -> list[tuple[str, int]]:
        """Lots that have come by ``now``: SKU and pieces."""
        if not self._open and now >= self._opens:
            self._open = True
            for sku in self._policy:
                self._order(sku, now + float(self._rng.uniform(0.0, self._lead)))
        found = []
        while self._coming and self._coming[0][0] <= now:
            _, _, sku, pieces = heapq.heappop(self._coming)
            found.append((sku, pieces))
        return found

    def _order(self, sku: str, comes: float) -> None:
        row = self._policy.get(sku)
        if row is None:
            return
        short = row.point - self.position(sku)
        if short >= 0:
            pieces = (short // row.lot + 1) * row.lot
            self._on_order[sku] = self._on_order.get(sku, 0) + pieces
            self._count += 1
            heapq.heappush(self._coming, (comes, self._count, sku, pieces))


def purchasing_from(history: str, building: Building, seed: int) -> Purchasing:
    """Reorder points from the order file ``history``, at the pace of the building's orders.

    A trading day lasts as long as one of the building's order file in its stream.

    Raises:
        InputError: a file cannot be used.
    """
    demand = daily_demand(
        read_order_lines(history), most=building.orders.max_pieces, source=history
    )
    policy = reorder(demand, lead_days=LEAD_DAYS, lot_days=LOT_DAYS, service=SERVICE)
    days = len(np.unique(read_order_lines(building.orders.file).time // DAY))
    day = orders_of(building, seed).period / days
    return Purchasing(policy, LEAD_DAYS * day, seed)
