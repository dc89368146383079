"""Goods in the same bin volume: random stow against dedicated and class-based storage.

Stock over time comes from order lines under one replenishment policy, the same for all three: a
SKU that would fall below `SAFETY_DAYS` of its mean sales in the evening gets, next morning, as many
lots of T days of mean sales as it needs; at the start it holds its safety stock and a random part
of a lot. A SKU is kept from its first to its last sale. Pieces have the sizes of the building's
catalogue, lines are capped as in the order stream.

Bins are those of the building: of each kind as many as its pods have, and a SKU's pieces in a bin
as many as fit by sides, usable volume and weight.

- dedicated: each SKU owns the bins that hold its own highest stock, which it knows beforehand, of
  the sizes that waste least, whether or not pods have so many of them;
- class-based: SKUs in three velocity classes (20, 30, 50 % of the SKUs by lines), at random in the
  bins of their class: each zone the smallest tried that takes all its receipts;
- random: lots parted and put into random bins by the rules of random stow, in the smallest building
  tried (steps of `STEP`) in which every receipt of the whole period finds its place.

Travel is counted on the last days' orders: an order's pods are fetched greedily, the one with most
open lines first, from a square field of pods with the station in the middle of one side, and go
back. With dedicated and class-based storage the pods with the quickest sellers stand nearest, with
random stow anywhere.

``--orders`` (or the environment's ROBO_STOW_ORDERS) names a file of months. Without one the shipped
six days are drawn again and again, at random, for `DRAWN_DAYS` days: no seasons, and the range of
goods does not change. Writes ``out/bench/space.json``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import random
import sys
import time
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_stow.bench.machine import machine
from robo_stow.cli.answer import answer
from robo_stow.cli.options import output_file
from robo_stow.floor.building import Building
from robo_stow.floor.load import load_building
from robo_stow.fulfilment.orderfile import OrderLines, read_order_lines
from robo_stow.inventory.catalogue import Catalogue
from robo_stow.inventory.fit import GRAM, MM, bins_of_face, pieces_in_boxes
from robo_stow.inventory.placement import lookalike

OUT = Path("out/bench/space.json")
LOT_DAYS = (14, 30, 45, 60)
SAFETY_DAYS = 7
DRAWN_DAYS = 270
PART, PARTS = 8, 20
"""A receipt is stowed in parts of 8 pieces, a large one in about 20; none over a quarter bin."""
STEP = 0.02
CLASSES = (0.2, 0.5, 1.0)
"""Upper ends of the velocity classes, as shares of the SKUs by falling lines."""
DAY = 86400.0
TRAVEL_DAYS = 20
"""Last days whose orders are used to count pods fetched and metres."""
POD_AREA = 2.0
"""m^2 of floor a pod, aisles included: blocks of 4 x 2 pods between single-lane aisles."""

I64 = NDArray[np.int64]


# --- demand and stock ----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Demand:
    """Pieces sold, and the orders of the last days."""

    pieces: I64  # [days, k]
    orders: list[dict[int, int]]  # pieces by SKU


def demand_of(lines: OrderLines, catalogue: Catalogue, most: int, drawn: bool, seed: int) -> Demand:
    """Demand of the file's days, or of `DRAWN_DAYS` drawn from them."""
    sku = np.array([catalogue.index[code] for code in lines.sku.tolist()])
    pieces = np.minimum(lines.quantity, most)
    day = ((lines.time - lines.time.min()) // DAY).astype(np.int64)
    of_file = np.zeros((int(day.max()) + 1, len(catalogue)), np.int64)
    np.add.at(of_file, (day, sku), pieces)
    days = np.arange(len(of_file))
    if drawn:
        open_days = np.flatnonzero(of_file.any(axis=1))
        days = np.random.default_rng([seed, 0xDA]).choice(open_days, DRAWN_DAYS)
    orders: list[dict[int, int]] = []
    for one in days[-TRAVEL_DAYS:].tolist():
        by_name: dict[str, dict[int, int]] = defaultdict(dict)
        for i in np.flatnonzero(day == one).tolist():
            order = by_name[str(lines.order[i])]
            order[int(sku[i])] = order.get(int(sku[i]), 0) + int(pieces[i])
        orders += by_name.values()
    return Demand(of_file[days], orders)


def stock_over_time(demand: I64, days: int, seed: int) -> tuple[I64, I64]:
    """Stock of each morning after receipts, and receipts, [days, k] pieces.

    Args:
        demand: [days, k] pieces sold.
        days: days of mean sales that a lot covers.
    """
    sold = demand > 0
    alive = np.maximum.accumulate(sold, axis=0) & np.maximum.accumulate(sold[::-1], axis=0)[::-1]
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


# --- the storages --------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Goods:
    """Pieces and bins. Bins repeat the slots of a face: bin b is of kind ``b % len(room)``."""

    volume: list[int]  # [k] mm^3 a piece
    weight: list[int]  # [k] g
    group: list[int]  # [k] of SKUs that look alike
    room: list[int]  # [slots] mm^3
    bears: list[int]  # [slots] g
    most: list[list[int]]  # [k][slots] pieces of the SKU alone in a bin

    @classmethod
    def of(cls, building: Building, catalogue: Catalogue) -> Goods:
        """Those of a building."""
        face = bins_of_face(building.pod)
        sides = np.rint(catalogue.size / MM).astype(np.int64)
        weight = np.rint(catalogue.weight / GRAM).astype(np.int64)
        volume = sides.prod(axis=1)
        room = np.array([bin_.volume for bin_ in face])
        bears = np.array([bin_.capacity for bin_ in face])
        most = pieces_in_boxes(sides, np.array([bin_.size for bin_ in face]))
        most = np.minimum(most, room // volume[:, None])
        most = np.minimum(most, bears // weight[:, None])
        names: dict[str, int] = {}
        alike = (lookalike(code, building.stock.lookalike) for code in catalogue.sku)
        group = [names.setdefault(name, len(names)) for name in alike]
        lists = (volume.tolist(), weight.tolist(), group, room.tolist(), bears.tolist())
        return cls(*lists, most.tolist())

    def space(self, bins: int) -> int:
        """Usable volume of so many bins, mm^3."""
        whole, rest = divmod(bins, len(self.room))
        return whole * sum(self.room) + sum(self.room[:rest])


class RandomStow:
    """Bins with goods in them, booked twice: by SKU and by bin."""

    def __init__(self, goods: Goods, bins: int, seed: int):
        kinds = len(goods.room)
        self.free = [goods.room[b % kinds] for b in range(bins)]
        self._bears = [goods.bears[b % kinds] for b in range(bins)]
        self._held: list[dict[int, list[int]]] = [{} for _ in range(bins)]  # group: SKU, pieces
        self.parts: dict[int, deque[list[int]]] = defaultdict(deque)  # SKU -> [bin, pieces]
        self._goods, self._kinds = goods, kinds
        self._quarter = sum(goods.room) // kinds // 4
        self._rng = random.Random(seed)

    def stow(self, sku: int, pieces: int) -> bool:
        """Put pieces into random bins; False when some find none."""
        volume = self._goods.volume[sku]
        most = max(min(max(PART, pieces // PARTS), self._quarter // volume), 1)
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
        goods, free, bears, held = self._goods, self.free, self._bears, self._held
        need, weight = pieces * goods.volume[sku], pieces * goods.weight[sku]
        group, most, kinds = goods.group[sku], goods.most[sku], self._kinds

        def fits(bin_: int) -> bool:
            if free[bin_] < need or bears[bin_] < weight:
                return False
            here = held[bin_].get(group)
            if here is None:
                return pieces <= most[bin_ % kinds]
            return here[0] == sku and here[1] + pieces <= most[bin_ % kinds]

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
        bears[bin_] -= weight
        held[bin_].setdefault(group, [sku, 0])[1] += pieces
        self.parts[sku].append([bin_, pieces])
        return True

    def _take(self, sku: int, bin_: int, pieces: int) -> None:
        goods = self._goods
        self.free[bin_] += pieces * goods.volume[sku]
        self._bears[bin_] += pieces * goods.weight[sku]
        entry = self._held[bin_][goods.group[sku]]
        entry[1] -= pieces
        if not entry[1]:
            del self._held[bin_][goods.group[sku]]

    def errors(self, stock: I64) -> int:
        """SKUs whose pieces, looked up, are not the stock, and bins that disagree."""
        found = Counter({sku: sum(n for _, n in parts) for sku, parts in self.parts.items()})
        wrong = sum(found[sku] != n for sku, n in enumerate(stock.tolist()))
        used: Counter[int] = Counter()
        for sku, parts in self.parts.items():
            for bin_, n in parts:
                used[bin_] += n * self._goods.volume[sku]
        room, kinds = self._goods.room, self._kinds
        return int(wrong + sum(room[b % kinds] - f != used[b] for b, f in enumerate(self.free)))


def smallest(goods: Goods, stock: I64, receipts: I64, demand: I64, seed: int) -> RandomStow:
    """Random stow in the smallest number of bins tried that takes every receipt."""
    peak = int((stock @ np.array(goods.volume)).max())
    least = math.ceil(peak / sum(goods.room) * len(goods.room))
    for tried in itertools.count():
        bins = math.ceil(least * (1 + tried * STEP))
        floor = fill(RandomStow(goods, bins, seed), stock, receipts, demand)
        if floor is not None:
            return floor
    raise AssertionError("unreachable")


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


def own_bins(goods: Goods, most_held: I64) -> I64:
    """Usable volume of the bins that each SKU owns with dedicated storage, [k] mm^3."""
    room = np.array(goods.room)
    some = np.array(list(itertools.product(range(6), repeat=len(set(goods.room)))))
    volumes = np.zeros(len(most_held), np.int64)
    kinds = np.array([goods.room.index(volume) for volume in dict.fromkeys(goods.room)])
    for sku in np.flatnonzero(most_held).tolist():
        takes = np.array(goods.most[sku])[kinds]
        best = int(np.argmin(room[kinds] / np.maximum(takes, 1e-9)))
        whole = max(int(most_held[sku]) // int(takes[best]) - 3, 0)
        rest = int(most_held[sku]) - whole * int(takes[best])
        enough = some @ takes >= rest
        volumes[sku] = whole * room[kinds[best]] + (some[enough] @ room[kinds]).min()
    return volumes


# --- travel --------------------------------------------------------------------------------------


def fetch(
    orders: Sequence[dict[int, int]],
    where: dict[int, dict[int, int]],
    distance: NDArray[np.float64],
) -> tuple[float, float]:
    """Pods fetched and metres driven a line, with the pod that has most open lines first.

    Args:
        orders: pieces by SKU.
        where: pieces by pod, of each SKU.
        distance: [pods] m to the station.
    """
    pods_fetched, metres = 0, 0.0
    for order in orders:
        left = {sku: n for sku, n in order.items() if where.get(sku)}
        have = {sku: dict(where[sku]) for sku in left}
        score: Counter[int] = Counter()
        for pods in have.values():
            score.update(pods.keys())
        while left:
            pod = max(score, key=lambda one: score[one])
            pods_fetched += 1
            metres += 2.0 * float(distance[pod])
            del score[pod]
            for sku in [sku for sku in left if pod in have[sku]]:
                left[sku] -= have[sku].pop(pod)
                if left[sku] <= 0 or not have[sku]:
                    del left[sku]
                    score.subtract(have[sku].keys())
    lines = sum(len(order) for order in orders)
    return pods_fetched / lines, metres / lines


def field(pods: int) -> NDArray[np.float64]:
    """Distances (m) of the places of so many pods to the station, the nearest first."""
    side = math.ceil(math.sqrt(pods))
    pitch = math.sqrt(POD_AREA)
    row, col = np.divmod(np.arange(side * side), side)
    metres = pitch * (row + 1 + np.abs(col - (side - 1) / 2))
    return np.sort(metres)[:pods]


def by_pod(floor: RandomStow, per_pod: int, first: int = 0) -> dict[int, dict[int, int]]:
    """Pieces by pod of each SKU; pods are numbered from ``first``."""
    where: dict[int, dict[int, int]] = {}
    for sku, parts in floor.parts.items():
        for bin_, n in parts:
            pods = where.setdefault(sku, {})
            pod = first + bin_ // per_pod
            pods[pod] = pods.get(pod, 0) + n
    return where


# --- study ---------------------------------------------------------------------------------------


def study(building: Building, catalogue: Catalogue, demand: Demand, days: int) -> dict[str, Any]:
    """Bin volume and travel for one lot size."""
    seed, per_pod = building.seed, building.pod.bins
    goods = Goods.of(building, catalogue)
    sold = demand.pieces
    stock, receipts = stock_over_time(sold, days, seed)
    highest = stock.max(axis=0)
    rank = np.empty(len(catalogue))
    order = np.argsort(-(sold > 0).sum(axis=0), kind="stable")
    rank[order] = np.arange(len(catalogue)) / len(catalogue)

    floor = smallest(goods, stock, receipts, sold, seed)
    random_volume = goods.space(len(floor.free))
    errors = floor.errors(stock[-1] - sold[-1])

    zone = np.searchsorted(CLASSES, rank, side="right")
    class_volume, class_pods = 0, 0
    class_where: dict[int, dict[int, int]] = {}
    for one in range(len(CLASSES)):
        inside = zone == one
        part = smallest(goods, stock * inside, receipts * inside, sold * inside, seed)
        errors += part.errors((stock[-1] - sold[-1]) * inside)
        class_volume += goods.space(len(part.free))
        class_where |= by_pod(part, per_pod, class_pods)
        class_pods += -(-len(part.free) // per_pod)

    owned = own_bins(goods, highest)
    pod_volume = goods.space(per_pod)
    dedicated_where: dict[int, dict[int, int]] = {}
    ends = np.cumsum(owned[order])
    for one, end in zip(order.tolist(), ends.tolist(), strict=True):
        if owned[one]:
            dedicated_where[one] = {(end - int(owned[one])) // pod_volume: 10**9}
    dedicated_pods = -(-int(ends[-1]) // pod_volume)

    random_pods = -(-len(floor.free) // per_pod)
    places = np.random.default_rng([seed, 0xF1]).permutation(field(random_pods))
    travel = {
        "dedicated": fetch(demand.orders, dedicated_where, field(dedicated_pods + 1)),
        "class_based": fetch(demand.orders, class_where, field(class_pods)),
        "random": fetch(demand.orders, by_pod(floor, per_pod), places),
    }
    held = (stock @ np.array(goods.volume)).max()
    any_size = int(highest @ np.array(goods.volume))
    m3 = 1e-9
    return {
        "lot_days": days,
        "bin_volume_m3": {
            "dedicated": round(int(owned.sum()) * m3, 1),
            "dedicated_bins_of_any_size": round(any_size * m3, 1),
            "class_based": round(class_volume * m3, 1),
            "random": round(random_volume * m3, 1),
        },
        "goods_in_the_same_bin_volume": {
            "random_over_dedicated": round(int(owned.sum()) / random_volume, 3),
            "random_over_dedicated_bins_of_any_size": round(any_size / random_volume, 3),
            "random_over_class_based": round(class_volume / random_volume, 3),
        },
        "random_volume_unused_at_the_peak": round(1.0 - held / random_volume, 3),
        "pods_fetched_a_line": {name: round(found[0], 3) for name, found in travel.items()},
        "metres_a_line": {name: round(found[1], 2) for name, found in travel.items()},
        "search_errors": errors,
    }


def main() -> None:
    """Measure for each lot size and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--orders", metavar="CSV", default=os.environ.get("ROBO_STOW_ORDERS"))
    parser.add_argument("--out", type=output_file, default=OUT, metavar="FILE")
    args = parser.parse_args()
    building = load_building("demo", orders=args.orders)
    catalogue = Catalogue.from_orders(building, building.seed)
    lines = read_order_lines(building.orders.file)
    drawn = args.orders is None
    demand = demand_of(lines, catalogue, building.orders.max_pieces, drawn, building.seed)
    result = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "orders": Path(building.orders.file).name,
        "days": f"{len(demand.pieces)}, " + ("drawn from the file's" if drawn else "the file's"),
        "skus": len(catalogue),
        "pieces_a_line_at_most": building.orders.max_pieces,
        "safety_days": SAFETY_DAYS,
        "usable_share_of_a_bin": building.pod.usable,
        "lot_sizes": [study(building, catalogue, demand, days) for days in LOT_DAYS],
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    sys.exit(answer("bench", main))
