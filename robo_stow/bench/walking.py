"""Picking on foot: the conventional warehouse that `robo_stow.bench.headline` compares with.

A floor of parallel aisles with shelves on both sides, a cross aisle in front and one behind, and
the depot in front. Pickers push carts that hold the totes of several orders and sort while they
pick. Everything that is a matter of skill is done as well as is known:

- routes are the shortest there are (Ratliff, Rosenthal, Operations Research 31(3):507-521, 1983),
  so never longer than S-shape or largest gap;
- batches grow from the oldest order by those that add the fewest aisles (seed batching: de Koster,
  van der Poort, Wolters, IJPR 37(7):1479-1504, 1999); a free picker leaves as soon as there is an
  order, so that nobody waits for a wave; idle pickers share what waits, and carts are full when
  there is much to do;
- quick SKUs lie near the depot, by lines or by lines a bin (cube-per-order index: Heskett 1963);
  with classes a SKU has more than one place, and the one that fits the batch is taken;
- of the ways to lay the aisles and the goods, the one with the shortest tours is used.

Pickers never get in each other's way, never err and never rest.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robo_stow.floor.building import PeopleSpec
from robo_stow.messages import OrderArrived, ToteReady
from robo_stow.sim.people import Packers, time_factor

LOOKED_AT = 300
"""Oldest waiting orders among which a batch is sought."""
_SALT = 0x3A1C


@dataclass(frozen=True)
class WalkingSpec:
    """Assumptions on walking pickers; `config/headline.yaml` gives each its source."""

    pickers: int
    speed: float  # m/s
    search: float  # s a line, to find the bin
    tour_setup: float  # s a tour
    tote_drop: float  # s a tote, handed over at the end of a tour
    cart_totes: int
    aisle_width: float  # m
    cross_aisle: float  # m
    staging: float  # m2 a picker, for carts and hand-over in front


@dataclass(frozen=True)
class Floor:
    """Shelves on a rectangular floor; a stop is a place in an aisle, section by section.

    Distances along an aisle are from the middle of the front cross aisle.
    """

    aisles: int
    rows: int  # sections along an aisle
    module: float  # m, from aisle to aisle
    section: float  # m, length of a section
    cross_aisle: float  # m, width

    @property
    def length(self) -> float:
        """From the middle of the front cross aisle to that of the back one, m."""
        return self.rows * self.section + self.cross_aisle

    @property
    def stops(self) -> int:
        """Places to stop, each with a section of shelves left and right."""
        return self.aisles * self.rows

    @property
    def depot(self) -> int:
        """Aisle in front of which tours start and end."""
        return self.aisles // 2

    def along(self, stop: NDArray[np.int64]) -> NDArray[np.float64]:
        """Distance (m) of stops along their aisle."""
        return np.asarray(self.cross_aisle / 2 + (stop % self.rows + 0.5) * self.section)

    def across(self, stop: NDArray[np.int64]) -> NDArray[np.float64]:
        """Distance (m) of the aisles of stops from the depot."""
        aisles = np.abs(stop // self.rows - self.depot)
        return np.asarray(aisles * self.module, np.float64)

    def tour(self, stops: Sequence[int]) -> float:
        """Length (m) of the shortest tour from the depot through ``stops``."""
        picks: list[list[float]] = [[] for _ in range(self.aisles)]
        for stop in sorted(set(stops)):
            picks[stop // self.rows].append(
                self.cross_aisle / 2 + (stop % self.rows + 0.5) * self.section
            )
        return shortest_tour(picks, self.module, self.length, self.depot)


def lay_out(width: float, depth: float, section: float, spec: WalkingSpec) -> Floor:
    """The shelves that fit on ``width`` times ``depth`` m; aisles run along the depth.

    Args:
        section: m; length of a section of shelves, and depth of two that stand back to back.
    """
    module = spec.aisle_width + section
    staging = spec.pickers * spec.staging / width
    rows = math.floor((depth - 2 * spec.cross_aisle - staging) / section)
    return Floor(math.floor(width / module), rows, module, section, spec.cross_aisle)


# States of a partial tour at an aisle: degree (uneven, even or 0) at its back and front end, and
# the number of connected parts; transitions by how the aisle is walked and by the steps taken
# along the back and the front cross aisle to the next one (tables I and II of the paper).
_UU1, _0E1, _E01, _EE1, _EE2, _NONE, _DONE = range(7)
_THROUGH = (_EE1, _UU1, _UU1, _UU1, _UU1, _UU1, -1)
_FROM_BACK = (_UU1, _EE2, _E01, _EE1, _EE2, _E01, -1)
_FROM_FRONT = (_UU1, _0E1, _EE2, _EE1, _EE2, _0E1, -1)
_BOTH_ENDS = (_UU1, _EE2, _EE2, _EE1, _EE2, _EE2, -1)
_TWICE = (_UU1, _EE1, _EE1, _EE1, _EE1, _EE1, -1)
_ON = (
    (2, (_UU1, -1, -1, -1, -1, -1, -1)),  # one step along each
    (2, (-1, -1, _E01, _E01, -1, -1, -1)),  # two along the back
    (2, (-1, _0E1, -1, _0E1, -1, -1, -1)),  # two along the front
    (4, (-1, _EE2, _EE2, _EE1, _EE2, -1, -1)),  # two along each
    (0, (-1, _DONE, _DONE, _DONE, -1, _NONE, _DONE)),  # none
)


def shortest_tour(
    picks: Sequence[Sequence[float]], module: float, length: float, depot: int
) -> float:
    """Length (m) of the shortest tour through one block of parallel aisles.

    Args:
        picks: for each aisle the places (m from its front end) to stop at, ascending.
        module: m from aisle to aisle.
        length: m from the front end of an aisle to its back end.
        depot: aisle at whose front end the tour starts and ends.
    """
    cost = [math.inf] * 7
    cost[_NONE] = 0.0
    for aisle in range(len(picks)):
        places = list(picks[aisle])
        if aisle == depot:
            places.insert(0, 0.0)
        if places:
            gap = max((b - a for a, b in zip(places, places[1:], strict=False)), default=0.0)
            walks = (
                (length, _THROUGH),
                (2 * (length - places[0]), _FROM_BACK),
                (2 * places[-1], _FROM_FRONT),
                (2 * (length - gap), _BOTH_ENDS),
                (2 * length, _TWICE),
            )
            cost = _moved(cost, walks)
        else:  # may be walked through all the same
            through = _moved(cost, ((length, _THROUGH), (2 * length, _TWICE)))
            cost = [min(one, other) for one, other in zip(cost, through, strict=True)]
        if aisle + 1 < len(picks):
            cost = _moved(cost, tuple((steps * module, to) for steps, to in _ON))
    return min(cost[_0E1], cost[_E01], cost[_EE1], cost[_DONE])


def _moved(cost: list[float], moves: Sequence[tuple[float, tuple[int, ...]]]) -> list[float]:
    found = [math.inf] * 7
    for metres, to in moves:
        for state, value in enumerate(cost):
            after = to[state]
            if after >= 0 and value + metres < found[after]:
                found[after] = value + metres
    return found


@dataclass(frozen=True)
class Shelving:
    """Where each SKU lies."""

    floor: Floor
    places: tuple[tuple[int, ...], ...]  # stops of each SKU, the nearest first


ORDERS = ("aisle by aisle", "front to back", "nearest first")
"""Ways to count the places of a floor from the best one on."""


def ranked_stops(floor: Floor, order: str) -> NDArray[np.int64]:
    """Stops from the best to the worst."""
    stops = np.arange(floor.stops)
    along, across = floor.along(stops), floor.across(stops)
    if order == "aisle by aisle":
        return np.lexsort((along, stops // floor.rows, across))
    if order == "front to back":
        return np.lexsort((across, along))
    return np.lexsort((along, along + across))


def dedicated(
    floor: Floor, order: str, bins: NDArray[np.int64], worth: NDArray[np.float64], per_stop: int
) -> Shelving:
    """Each SKU has bins of its own.

    Args:
        bins: [k] bins that each SKU owns.
        worth: [k] SKUs of the largest lie first.
        per_stop: bins at a stop.
    """
    stops = ranked_stops(floor, order)
    first = np.zeros(len(bins), np.int64)
    rank = np.argsort(-worth, kind="stable")
    first[rank] = np.cumsum(bins[rank]) - bins[rank]
    at = np.minimum(first // per_stop, len(stops) - 1)
    return Shelving(floor, tuple((int(stop),) for stop in stops[at]))


def classes(
    floor: Floor,
    order: str,
    bins: NDArray[np.int64],
    worth: NDArray[np.float64],
    per_stop: int,
    bounds: Sequence[float],
    lots: int,
    seed: int,
) -> Shelving:
    """SKUs in classes by worth, their lots each anywhere within the zone of the class.

    Args:
        bounds: upper ends of the classes, as shares of the SKUs.
        lots: into which the bins of a SKU are parted; one lies in one place.
    """
    stops = ranked_stops(floor, order)
    rng = np.random.default_rng([seed, _SALT, 1])
    found: list[list[int]] = [[] for _ in range(len(bins))]
    rank = np.argsort(-worth, kind="stable")
    begin, used = 0, 0
    for bound in bounds:
        end = round(bound * len(rank))
        members = rank[begin:end]
        sku = np.repeat(members, lots)
        part = np.tile(np.arange(lots), len(members))
        size = bins[sku] // lots + (part < bins[sku] % lots)
        for one in rng.permutation(np.flatnonzero(size)).tolist():
            found[int(sku[one])].append(int(stops[min(used // per_stop, len(stops) - 1)]))
            used += int(size[one])
        begin = end

    def reach(stop: int) -> float:
        at = np.array([stop])
        return float((floor.along(at) + floor.across(at))[0])

    return Shelving(floor, tuple(tuple(sorted(set(stops), key=reach)) for stops in found))


@dataclass(frozen=True)
class Walk:
    """What came of a run."""

    shipped: dict[str, float]  # s, when each order had been packed
    tour_lines: tuple[tuple[float, int], ...]  # of each tour: end (s), lines
    metres: float
    busy: float  # s of pickers on tour
    end: float  # s, when the last tour ended

    @property
    def tours(self) -> int:
        """Number of tours."""
        return len(self.tour_lines)

    @property
    def lines(self) -> int:
        """Lines picked on all tours."""
        return sum(lines for _, lines in self.tour_lines)


class Pickers:
    """All pickers of a shift.

    Args:
        people: times for a pick, the same as at a pick station, and packing.
        sku: number of each SKU.
    """

    def __init__(
        self,
        shelving: Shelving,
        spec: WalkingSpec,
        people: PeopleSpec,
        sku: dict[str, int],
        seed: int,
    ) -> None:
        self._floor = shelving.floor
        self._places = shelving.places
        self._spec = spec
        self._people = people
        self._sku = sku
        self._rng = np.random.default_rng([seed, _SALT])
        self._packers = Packers(people, seed)

    def work(self, orders: Sequence[OrderArrived], until: float = math.inf) -> Walk:
        """Pick and pack ``orders``, in order of arrival; no tour starts after ``until`` (s)."""
        free = [0.0] * self._spec.pickers
        heapq.heapify(free)
        waiting: list[tuple[OrderArrived, int]] = []  # with the aisles it needs, as bits
        following = 0
        ended: list[tuple[float, OrderArrived]] = []
        tour_lines: list[tuple[float, int]] = []
        metres, busy = 0.0, 0.0
        while waiting or following < len(orders):
            now = heapq.heappop(free)
            if not waiting:
                now = max(now, orders[following].stamp)
            while following < len(orders) and orders[following].stamp <= now:
                waiting.append((orders[following], self._aisles(orders[following])))
                following += 1
            if now > until:
                break
            idle = 1 + sum(other <= now for other in free)
            batch = self._batch(waiting, min(self._spec.cart_totes, -(-len(waiting) // idle)))
            stops = self._stops(batch)
            length = self._floor.tour(stops)
            count = sum(len(order.sku) for order in batch)
            time = self._spec.tour_setup + length / self._spec.speed
            for order in batch:
                time += self._spec.tote_drop
                for pieces in order.quantity:
                    hands = self._people.pick_line + self._people.pick_piece * pieces
                    time += self._spec.search + hands * time_factor(self._rng, self._people.spread)
            end = now + time
            ended += [(end, order) for order in batch]
            heapq.heappush(free, end)
            tour_lines.append((end, count))
            metres, busy = metres + length, busy + time
        last = max((at for at, _ in tour_lines), default=0.0)
        return Walk(self._packed(ended), tuple(tour_lines), metres, busy, last)

    def batch(self, orders: Sequence[OrderArrived]) -> float:
        """Length (m) of the tour for a batch of ``orders``."""
        return self._floor.tour(self._stops(orders))

    def _packed(self, ended: list[tuple[float, OrderArrived]]) -> dict[str, float]:
        ended.sort(key=lambda entry: (entry[0], entry[1].stamp))
        for now, order in ended:
            self._packers.announce(now, ToteReady(now, order.order, sum(order.quantity)))
        return {tote.order: tote.stamp for tote in self._packers.step(math.inf)}

    def _aisles(self, order: OrderArrived) -> int:
        found = 0
        for code in order.sku:
            found |= 1 << self._places[self._sku[code]][0] // self._floor.rows
        return found

    def _batch(self, waiting: list[tuple[OrderArrived, int]], totes: int) -> list[OrderArrived]:
        """Take the oldest order and those that add the fewest aisles to it."""
        seed, have = waiting.pop(0)
        batch = [seed]
        while waiting and len(batch) < totes:
            best = min(
                range(min(len(waiting), LOOKED_AT)),
                key=lambda i: ((waiting[i][1] & ~have).bit_count(), i),
            )
            order, aisles = waiting.pop(best)
            batch.append(order)
            have |= aisles
        return batch

    def _stops(self, batch: Sequence[OrderArrived]) -> list[int]:
        """A place for each line: the only one, else one in an aisle that is visited anyway."""
        rows = self._floor.rows
        lines = [self._places[self._sku[code]] for order in batch for code in order.sku]
        stops = [places[0] for places in lines if len(places) == 1]
        aisles = {stop // rows for stop in stops}
        for places in lines:
            if len(places) > 1:
                stop = next((s for s in places if s // rows in aisles), places[0])
                stops.append(stop)
                aisles.add(stop // rows)
        return stops
