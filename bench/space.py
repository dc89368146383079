"""Goods in the same bins: random stow against dedicated and class-based storage.

Stock over time comes from order lines of months under one replenishment policy, the same for all
three: a SKU that would fall below `SAFETY_DAYS` of its mean sales in the evening gets, next
morning, as many lots of T days of mean sales as it needs; at the start it holds its safety stock
and a random part of a lot. A SKU is kept from its first to its last sale. Pieces have the sizes of
the building's catalogue, lines are capped as in the order stream.

Bins all have the building's volume, of which `USABLE` can be filled.

- dedicated: each SKU owns as many bins as its own highest stock needs, and knows it beforehand;
- class-based: SKUs in three velocity classes (20, 30, 50 % of the SKUs by lines), anywhere within
  the zone of their class; each zone holds its own highest stock, with the waste of random stow;
- random: lots parted and put into random bins by the rules of random stow. The number of bins is
  the smallest tried (steps of `STEP`) in which every receipt of the whole period finds its place.

Needs order lines over months: ``ROBO_STOW_ORDERS=orders.csv.gz python bench/space.py``. Writes
``out/bench/space.json``.
"""

from __future__ import annotations

import json
import math
import os
import random
import sys
from collections import Counter, defaultdict, deque
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_stow.floor.building import Building
from robo_stow.floor.load import load_building
from robo_stow.fulfilment.orderfile import OrderLines, read_order_lines
from robo_stow.inventory.catalogue import MM3, Catalogue
from robo_stow.inventory.placement import lookalike

OUT = Path("out/bench/space.json")
LOT_DAYS = (14, 30, 45, 60)
SAFETY_DAYS = 7
USABLE = 0.85
PART, PARTS = 8, 20
"""A receipt is stowed in parts of 8 pieces, a large one in about 20; none over a quarter bin."""
STEP = 0.02
CLASSES = (0.2, 0.5, 1.0)
"""Upper ends of the velocity classes, as shares of the SKUs by falling lines."""
DAY = 86400.0
TRAVEL_DAYS = 20
"""Last days whose orders are used to count pods fetched."""

I64 = NDArray[np.int64]


def stock_over_time(demand: I64, alive: NDArray[np.bool_], days: int, seed: int) -> tuple[I64, I64]:
    """Stock of each morning after receipts, and receipts, [days, k] pieces.

    Args:
        demand: [days, k] pieces sold.
        alive: [days, k] between the first and the last sale.
        days: days of mean sales that a lot covers.
    """
    rng = np.random.default_rng([seed, days])
    mean = demand.sum(axis=0) / np.maximum(alive.sum(axis=0), 1)
    lot = np.maximum(np.ceil(days * mean), 1).astype(np.int64)
    safety = np.ceil(SAFETY_DAYS * mean).astype(np.int64)
    opening = safety + np.floor(rng.random(len(mean)) * lot).astype(np.int64)
    held = np.zeros(len(mean), np.int64)
    started = np.zeros(len(mean), bool)
    stock, receipts = np.zeros_like(demand), np.zeros_like(demand)
    for day in range(len(demand)):
        first = alive[day] & ~started
        started |= first
        receipts[day][first] = opening[first]
        after = held + receipts[day] - demand[day]
        short = np.where(alive[day], np.maximum(safety - after, 0), 0)
        receipts[day] += -(-short // lot) * lot
        held = held + receipts[day]
        stock[day] = held
        held = held - demand[day]
        held[~alive[day]] = 0  # sold off when it leaves the range
    return stock, receipts


class RandomStow:
    """Bins with goods in them, booked twice: by SKU and by bin."""

    def __init__(self, bins: int, volume: list[int], group: list[int], room: int, seed: int):
        self.free = [room] * bins
        self.alike: list[dict[int, list[int]]] = [{} for _ in range(bins)]  # group: SKU, pieces
        self.parts: dict[int, deque[list[int]]] = defaultdict(deque)  # SKU -> [bin, pieces]
        self._volume, self._group, self._room = volume, group, room
        self._rng = random.Random(seed)

    def stow(self, sku: int, pieces: int) -> bool:
        """Put pieces into random bins; False when some find none."""
        most = max(min(max(PART, pieces // PARTS), self._room // 4 // self._volume[sku]), 1)
        while pieces:
            part = min(pieces, most)
            while not self._put(sku, part):
                part //= 2
                if not part:
                    return False
            pieces -= part
        return True

    def pick(self, sku: int, pieces: int) -> None:
        """Take the pieces that came first."""
        parts = self.parts[sku]
        while pieces:
            taken = min(pieces, parts[0][1])
            self._take(sku, parts[0][0], taken)
            parts[0][1] -= taken
            pieces -= taken
            if not parts[0][1]:
                parts.popleft()

    def _put(self, sku: int, pieces: int) -> bool:
        need, group = pieces * self._volume[sku], self._group[sku]
        free, alike = self.free, self.alike

        def fits(bin_: int) -> bool:
            return free[bin_] >= need and (group not in alike[bin_] or alike[bin_][group][0] == sku)

        for _ in range(40):
            bin_ = int(self._rng.random() * len(free))
            if fits(bin_):
                break
        else:
            start = int(self._rng.random() * len(free))
            bin_ = next(filter(fits, (*range(start, len(free)), *range(start))), -1)
            if bin_ < 0:
                return False
        free[bin_] -= need
        alike[bin_].setdefault(group, [sku, 0])[1] += pieces
        self.parts[sku].append([bin_, pieces])
        return True

    def _take(self, sku: int, bin_: int, pieces: int) -> None:
        self.free[bin_] += pieces * self._volume[sku]
        entry = self.alike[bin_][self._group[sku]]
        entry[1] -= pieces
        if not entry[1]:
            del self.alike[bin_][self._group[sku]]

    def errors(self, stock: I64, room: int) -> int:
        """SKUs whose pieces, looked up, are not the stock, and bins that disagree."""
        found = Counter({sku: sum(n for _, n in parts) for sku, parts in self.parts.items()})
        wrong = sum(found[sku] != n for sku, n in enumerate(stock.tolist()))
        used: Counter[int] = Counter()
        for sku, parts in self.parts.items():
            for bin_, n in parts:
                used[bin_] += n * self._volume[sku]
        return int(wrong + sum(room - free != used[b] for b, free in enumerate(self.free)))


def pods_fetched(orders: list[dict[int, int]], where: dict[int, dict[int, int]]) -> int:
    """Pods that bring all lines of each order, the pod with most open lines first.

    Args:
        orders: pieces by SKU.
        where: pieces by pod, of each SKU.
    """
    fetched = 0
    for order in orders:
        left = {sku: n for sku, n in order.items() if where.get(sku)}
        have = {sku: dict(where[sku]) for sku in left}
        score: Counter[int] = Counter()
        for pods in have.values():
            score.update(pods.keys())
        while left:
            pod = max(score, key=lambda one: score[one])
            fetched += 1
            del score[pod]
            for sku in [sku for sku in left if pod in have[sku]]:
                left[sku] -= have[sku].pop(pod)
                if left[sku] <= 0 or not have[sku]:
                    del left[sku]
                    score.subtract(have[sku].keys())
    return fetched


def study(building: Building, lines: OrderLines, days: int, seed: int) -> dict[str, Any]:
    """Bins and pods fetched for one lot size."""
    catalogue = Catalogue.from_orders(building, seed)
    volume = np.rint(catalogue.volume / MM3).astype(np.int64)
    sku = np.array([catalogue.index[code] for code in lines.sku.tolist()])
    pieces = np.minimum(lines.quantity, building.orders.max_pieces)
    day = ((lines.time - lines.time.min()) // DAY).astype(np.int64)
    demand = np.zeros((int(day.max()) + 1, len(catalogue)), np.int64)
    np.add.at(demand, (day, sku), pieces)
    sold = demand > 0
    alive = np.maximum.accumulate(sold, axis=0) & np.maximum.accumulate(sold[::-1], axis=0)[::-1]
    stock, receipts = stock_over_time(demand, alive, days, seed)

    room = math.floor(building.pod.bin_volume / MM3 * USABLE)
    held = stock * volume
    dedicated_bins = -(-held.max(axis=0) // room)
    rank = np.empty(len(catalogue))
    rank[np.argsort(-catalogue.demand, kind="stable")] = np.arange(len(catalogue)) / len(catalogue)
    zone = np.searchsorted(CLASSES, rank, side="right")
    class_bins: int = sum(
        math.ceil(held[:, zone == one].sum(axis=1).max() / room) for one in range(len(CLASSES))
    )
    names: dict[str, int] = {}
    group = [
        names.setdefault(lookalike(code, building.stock.lookalike), len(names))
        for code in catalogue.sku
    ]
    least = math.ceil(held.sum(axis=1).max() / room)
    for tried in range(50):
        bins = math.ceil(least * (1 + tried * STEP))
        floor = fill(RandomStow(bins, volume.tolist(), group, room, seed), stock, receipts, demand)
        if floor is not None:
            break
    else:
        sys.exit(f"bench: random stow does not fit in {bins} bins")

    dedicated = int(dedicated_bins.sum())
    shelf = float(held.max(axis=0).sum() / room)  # as if a bin could be as small as its goods
    class_bins = math.ceil(class_bins * bins / least)
    orders: dict[str, dict[int, int]] = defaultdict(dict)
    late = np.flatnonzero(day > day.max() - TRAVEL_DAYS)
    for i in late.tolist():
        order = orders[str(lines.order[i])]
        order[int(sku[i])] = order.get(int(sku[i]), 0) + int(pieces[i])
    per_pod = building.pod.bins
    random_pods: dict[int, dict[int, int]] = {}
    for one, parts in floor.parts.items():
        for bin_, n in parts:
            pods = random_pods.setdefault(one, {})
            pods[bin_ // per_pod] = pods.get(bin_ // per_pod, 0) + n
    first = np.zeros(len(catalogue), np.int64)  # quick sellers side by side
    by_rank = np.argsort(rank)
    first[by_rank] = np.cumsum(dedicated_bins[by_rank]) - dedicated_bins[by_rank]
    dedicated_pods = {
        int(one): {int(first[one]) // per_pod: 10**9} for one in np.flatnonzero(dedicated_bins)
    }
    asked = list(orders.values())
    count = sum(len(order) for order in asked)
    return {
        "lot_days": days,
        "bins": {"dedicated": dedicated, "class_based": class_bins, "random": bins},
        "goods_in_the_same_bins": {
            "random_over_dedicated": round(dedicated / bins, 3),
            "random_over_dedicated_of_any_size": round(shelf / bins, 3),
            "random_over_class_based": round(class_bins / bins, 3),
        },
        "random_waste": round(bins / least - 1, 3),
        "pods_fetched_a_line": {
            "dedicated": round(pods_fetched(asked, dedicated_pods) / count, 3),
            "random": round(pods_fetched(asked, random_pods) / count, 3),
        },
        "search_errors": floor.errors(stock[-1] - demand[-1], room),
    }


def fill(floor: RandomStow, stock: I64, receipts: I64, demand: I64) -> RandomStow | None:
    """Live through the whole period; None when a receipt finds no place."""
    for today in range(len(stock)):
        for sku in np.flatnonzero(receipts[today]).tolist():
            if not floor.stow(sku, int(receipts[today, sku])):
                return None
        for sku in np.flatnonzero(demand[today]).tolist():
            floor.pick(sku, int(demand[today, sku]))
        if today + 1 < len(stock):
            evening = stock[today] - demand[today]
            ended = np.flatnonzero(evening + receipts[today + 1] != stock[today + 1])
            for sku in ended.tolist():  # left the range
                floor.pick(sku, int(evening[sku]))
    return floor


def main() -> None:
    """Measure for each lot size and write the result."""
    file = os.environ.get("ROBO_STOW_ORDERS")
    if file is None:
        print("bench: ROBO_STOW_ORDERS names no order file of months, space not measured")
        return
    demo = load_building("demo")
    building = replace(demo, orders=replace(demo.orders, file=file))
    lines = read_order_lines(file)
    result = {
        "orders": Path(file).name,
        "safety_days": SAFETY_DAYS,
        "usable_share_of_a_bin": USABLE,
        "bin_litres": round(building.pod.bin_volume * 1e3, 3),
        "lot_sizes": [study(building, lines, days, building.seed) for days in LOT_DAYS],
    }
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
