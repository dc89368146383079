"""RMFS-16: the reference scenario for robotic mobile fulfilment systems.

Pods, stations, units and times are those of `rmfs16.yaml`. Orders and goods are synthetic and never
run out: `BACKLOG` orders wait to be given to a station, and about as many bundles of `BUNDLE` items
stand at the stow stations, as long as stock is below the upper of the replenishment bounds.

- 1,000 SKUs; the popularity of each is drawn from an exponential distribution.
- Lines an order: a normal distribution (mean 1, deviation 1), rounded, drawn again outside 1 to 4
  (mean 1.56). Items a line: the same with deviation 0.33 and 1 to 3 (mean 1.07).
- A bundle is of one SKU, drawn by popularity. Bundles come to a station in deliveries of
  `DELIVERY`, about the weight of 1,000 that a replenishment station of the reference holds; which
  pods take how much of them is the inventory's decision, 10 s for each 6 items.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from robo_stow.floor.building import Building
from robo_stow.floor.load import building_from_text, find_building
from robo_stow.fulfilment.core import FulfilmentCore
from robo_stow.fulfilment.podchoice import Candidates, best_candidate
from robo_stow.fulfilment.rolling import best_of_cover
from robo_stow.inventory.catalogue import Catalogue
from robo_stow.inventory.fit import AMBIENT
from robo_stow.messages import Core, Message, OrderArrived, PalletArrived, VisitDone
from robo_stow.sim.plant import Plant
from robo_stow.simulate import QuickLoop
from robo_stow.warehouse import build_warehouse

SKUS = 1000
BACKLOG = 200
"""Orders that wait to be given to a station."""
BUNDLE = 6
DELIVERY = 33
"""Bundles that come to a station at a time."""
ITEM_SIZE = (0.25, 0.2, 0.1)
"""m; a pod holds 100."""
ITEM_WEIGHT = 5.0
"""kg."""
STOCK_BOUNDS = (0.65, 0.85)
"""Shares of capacity: deliveries stop above the upper and begin again below the lower one."""
WARM_UP = 600.0
"""s that are run and not measured."""
FIGURES = (
    "items_per_station_hour",
    "lines_per_unit_hour",
    "item_pile_on",
    "station_idle",
    "conflicts",
)
CHOICES: dict[str, Callable[[Candidates], int]] = {
    "rule": best_candidate,
    "cover": best_of_cover,
}
"""How the next pod for a station is chosen among the candidates."""
_SALT = 0x3F51


@dataclass(frozen=True)
class Peer:
    """A published or measured run of another system on this scenario."""

    name: str
    figures: tuple[float, ...]  # in the order of `FIGURES`


PEERS = (
    Peer("RAWSim-O, tuned rules, 16 units", (355.7, 42.1, 4.77, 0.029, 0)),
    Peer("RAWSim-O, random rules, 16 units", (184.8, 22.0, 1.22, 0.49, 0)),
    Peer("RAWSim-O, tuned rules, 32 units, 4 + 4", (356.0, 42.3, 5.20, 0.023, 0)),
)
"""Its own simulator, 600 s warm-up and 3,600 s measured."""


def scenario(units: int, pick_stations: int) -> Building:
    """The building, with as many stow as pick stations.

    Raises:
        InputError: so many stations or units do not fit.
    """
    path = find_building("rmfs16")
    raw = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    raw["units"] = units
    raw["layout"]["east"] = [f"pick x {pick_stations}"]
    raw["layout"]["west"] = [f"feed x {pick_stations}"]
    return building_from_text(yaml.safe_dump(raw), str(path))


def catalogue(seed: int) -> Catalogue:
    """SKUs of one size and exponential popularity."""
    weight = np.random.default_rng([seed, _SALT, 0]).exponential(1.0, SKUS)
    sku = tuple(f"item-{number:04d}" for number in range(SKUS))
    return Catalogue(
        sku,
        np.tile(ITEM_SIZE, (SKUS, 1)),
        np.full(SKUS, ITEM_WEIGHT),
        weight / weight.sum(),
        (AMBIENT,) * SKUS,
        np.zeros(SKUS, bool),
    )


class Supply:
    """Orders and goods from outside, as many as keep the backlogs full.

    Args:
        waiting: number of orders that wait to be given to a station.
        items: items in stock at the start.
    """

    consumes: tuple[type, ...] = (VisitDone,)

    def __init__(
        self,
        building: Building,
        seed: int,
        goods: Catalogue,
        waiting: Callable[[], int],
        items: int,
    ) -> None:
        self._rng = np.random.default_rng([seed, _SALT, 1])
        self._goods = goods
        self._waiting = waiting
        self._due = building.orders.due_minutes * 60.0
        self._kind = {station.id: station.kind for station in building.stations}
        self._standing = {s.id: 0 for s in building.stations if s.kind == "stow"}
        self._most = max(1, round(BACKLOG / DELIVERY / max(len(self._standing), 1)))
        self._capacity = building.pods * building.pod.capacity / ITEM_WEIGHT
        self._ended: dict[str, int] = {}
        self._orders = 0
        self._deliveries = 0
        self._open = True
        self.items = items
        """Items in stock."""

    @property
    def fill(self) -> float:
        """Items in stock, as a share of capacity."""
        return self.items / self._capacity

    def step(self, now: float, inbox: Sequence[Message]) -> list[Message]:
        """Count what was picked and stowed; fill the backlogs up."""
        for message in inbox:
            assert isinstance(message, VisitDone)
            if message.visit <= self._ended.get(message.station, -1):
                continue
            self._ended[message.station] = message.visit
            if self._kind[message.station] == "pick":
                self.items -= message.handled
            else:
                self.items += message.handled
                self._standing[message.station] -= message.pallet_empty
        low, high = STOCK_BOUNDS
        self._open = self.fill < (high if self._open else low)
        out: list[Message] = [self._order(now) for _ in range(BACKLOG - self._waiting())]
        if self._open:
            for station, standing in self._standing.items():
                out += [self._delivery(now, station) for _ in range(self._most - standing)]
        return out

    @property
    def due(self) -> float:
        """Time (s) at which a step has something to do although nothing has come in."""
        lacking = self._open and min(self._standing.values(), default=self._most) < self._most
        return -math.inf if lacking or self._waiting() < BACKLOG else math.inf

    def _order(self, now: float) -> OrderArrived:
        self._orders += 1
        lines = self._whole(1.0, 1.0, 4)
        skus = self._rng.choice(SKUS, lines, replace=False, p=self._goods.demand)
        return OrderArrived(
            now,
            f"order-{self._orders:06d}",
            tuple(self._goods.sku[k] for k in skus.tolist()),
            tuple(self._whole(1.0, 0.33, 3) for _ in range(lines)),
            now + self._due,
        )

    def _delivery(self, now: float, station: str) -> PalletArrived:
        self._standing[station] += 1
        self._deliveries += 1
        drawn: NDArray[np.intp] = self._rng.choice(SKUS, DELIVERY, p=self._goods.demand)
        skus, bundles = np.unique(drawn, return_counts=True)
        return PalletArrived(
            now,
            f"delivery-{self._deliveries:05d}",
            station,
            DELIVERY * BUNDLE * ITEM_WEIGHT,
            tuple(self._goods.sku[k] for k in skus.tolist()),
            tuple((bundles * BUNDLE).tolist()),
        )

    def _whole(self, mean: float, deviation: float, most: int) -> int:
        while True:
            number = round(float(self._rng.normal(mean, deviation)))
            if 1 <= number <= most:
                return number


def run_rmfs(
    building: Building,
    seed: int,
    minutes: float,
    progress: Callable[[float], None] | None = None,
    choice: str = "rule",
) -> dict[str, Any]:
    """Run the scenario once: the warm-up, then ``minutes`` that are measured.

    Args:
        progress: called about every 10 simulated seconds with the simulated time (s).
        choice: of the next pod, one of `CHOICES`.

    Returns:
        The `FIGURES`; ``stock`` (start, end), ``stock_conserved``; ``wall_seconds`` and
        ``cpu_seconds`` of it all, and ``speed``, simulated seconds for one of processor time.
    """
    began, began_cpu = time.perf_counter(), time.process_time()
    goods = catalogue(seed)
    plant = Plant(building, seed, orders=())
    warehouse = build_warehouse(building, seed, plant=plant, catalogue=goods)
    fulfilment = FulfilmentCore(building, seed, pick=CHOICES[choice])
    warehouse = replace(warehouse, fulfilment=fulfilment)
    monitor, book = warehouse.monitor, warehouse.fulfilment.book
    opening = round(building.stock.fill * building.pods * building.pod.capacity / ITEM_WEIGHT)
    supply = Supply(building, seed, goods, lambda: len(book.backlog), opening)
    cores: tuple[Core, ...] = (supply, *warehouse.cores)
    loop = QuickLoop(cores)

    def run(seconds: float) -> dict[str, float]:
        for now in loop.run(seconds, every=10.0):
            if progress is not None:
                progress(now)
        figures = monitor.figures()
        keys = ("units_picked", "lines_picked", "pods_handled")
        return {"busy": monitor.pick_busy} | {key: figures[key] for key in keys}

    before = run(WARM_UP)
    filled = supply.fill
    after = run(minutes * 60.0)
    done = {key: after[key] - before[key] for key in after}
    stations = sum(station.kind == "pick" for station in building.stations)
    hours = minutes / 60.0
    conserved = not warehouse.inventory.audit()
    cpu = time.process_time() - began_cpu
    return {
        "seed": seed,
        "items_per_station_hour": done["units_picked"] / stations / hours,
        "lines_per_unit_hour": done["lines_picked"] / building.units / hours,
        "item_pile_on": done["units_picked"] / max(done["pods_handled"], 1.0),
        "station_idle": max(0.0, 1.0 - done["busy"] / (minutes * 60.0 * stations)),
        "conflicts": monitor.conflicts,
        "stock": [round(filled, 4), round(supply.fill, 4)],
        "stock_conserved": conserved,
        "wall_seconds": round(time.perf_counter() - began, 2),
        "cpu_seconds": round(cpu, 2),
        "speed": round((WARM_UP + minutes * 60.0) / cpu),
    }


def summary(runs: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Mean, least and largest of each of the `FIGURES` over ``runs``."""
    found = {}
    for key in FIGURES:
        values = np.array([run[key] for run in runs], np.float64)
        found[key] = {
            "mean": round(float(values.mean()), 4),
            "min": round(float(values.min()), 4),
            "max": round(float(values.max()), 4),
        }
    return found


def bound(building: Building) -> float:
    """Items a station can pick in an hour."""
    return 3600.0 / (building.people.pick_line + building.people.pick_piece)
