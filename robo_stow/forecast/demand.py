"""Daily demand by SKU, from order lines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robo_stow.errors import InputError
from robo_stow.fulfilment.orderfile import OrderLines
from robo_stow.fulfilment.orders import ABSURD

F64 = NDArray[np.float64]
DAY = 86400


@dataclass(frozen=True, eq=False)
class Demand:
    """Order lines and pieces of each SKU on each trading day; a day without orders is none."""

    sku: tuple[str, ...]
    day: NDArray[np.int64]  # [d] days since 1970-01-01, ascending
    lines: F64  # [d, k]
    pieces: F64  # [d, k]

    @property
    def weekday(self) -> NDArray[np.int64]:
        """Day of the week of each day, Monday 0, [d]."""
        return (self.day + 3) % 7

    def until(self, days: int) -> Demand:
        """The first ``days`` trading days."""
        return Demand(self.sku, self.day[:days], self.lines[:days], self.pieces[:days])


def daily_demand(
    lines: OrderLines, *, region: str | None = None, most: int = ABSURD, source: str = "orders"
) -> Demand:
    """Demand by day.

    Lines of one order with the same SKU are one; lines of more than `ABSURD` pieces are typing
    errors and left out.

    Args:
        region: orders of one region only; days and SKUs are those of all.
        most: pieces of a line that count.
        source: name of the data in errors.

    Raises:
        InputError: nothing is left.
    """
    keep = lines.quantity <= ABSURD
    if not keep.any():
        raise InputError(source, "Quantity", "", f"no sale line of 1 to {ABSURD} pieces")
    codes, sku = np.unique(lines.sku[keep], return_inverse=True)
    days, day = np.unique((lines.time[keep] // DAY).astype(np.int64), return_inverse=True)
    order = np.unique(lines.order[keep], return_inverse=True)[1]
    pieces = lines.quantity[keep].astype(np.float64)
    if region is not None:
        mine = lines.region[keep] == region
        sku, day, order, pieces = sku[mine], day[mine], order[mine], pieces[mine]
    key = (order.astype(np.int64) * len(days) + day) * len(codes) + sku
    one, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    of_line = np.zeros(len(one))
    np.add.at(of_line, inverse, pieces)
    counted = np.zeros((len(days), len(codes)))
    amount = np.zeros_like(counted)
    np.add.at(counted, (day[first], sku[first]), 1.0)
    np.add.at(amount, (day[first], sku[first]), np.minimum(of_line, most))
    return Demand(tuple(str(code) for code in codes), days, counted, amount)


def trading_days(demand: Demand, days: int) -> NDArray[np.int64]:
    """The next ``days`` trading days after the last one, as weekdays of recent weeks suggest."""
    recent = demand.day > demand.day[-1] - 28
    open_on = np.unique(demand.weekday[recent])
    found: list[int] = []
    day = int(demand.day[-1])
    while len(found) < days:
        day += 1
        if (day + 3) % 7 in open_on:
            found.append(day)
    return np.array(found, np.int64)
