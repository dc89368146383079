"""Pallets that lorries bring to the docks of the lifters."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from robo_stow.floor.building import Building
from robo_stow.forecast.purchasing import Purchasing
from robo_stow.inventory.catalogue import Catalogue
from robo_stow.messages import LiftResult, PalletArrived

TARE = 25.0
"""kg, an empty EUR pallet (EN 13698-1)."""
CASE_VOLUME = 0.03
"""m^3 of goods in a case; a piece larger than that is a case of its own."""
CASES = (1, 2, 4, 6, 8, 12, 24, 48)
"""Usual numbers of pieces in a case."""
CASES_OF_SKU = 3.0
"""Mean number of cases of one SKU on a mixed pallet."""
STACK_VOLUME = 1.2 * 0.8 * 1.5
"""m^3 of goods that fit on a pallet."""
CONSOLIDATION = 1800.0
"""Longest time (s) that a lot that was bought waits for others to share its pallet."""
REPEAT = 10.0
"""s after which a pallet that still stands at its dock is announced again."""


def case_pieces(volume: float) -> int:
    """Pieces in a case of goods of ``volume`` m^3 each."""
    return max((n for n in CASES if n * volume <= CASE_VOLUME), default=1)


class PalletArrivals:
    """Pallets at a mean rate, to the lifters in turn; each dock takes the next when it is free.

    At the start a pallet stands at every dock.
    Contents are whole cases of SKUs drawn by demand, up to about ``pallet_pieces`` pieces, and no
    more than fits on a pallet or may be carried by a drive unit and lifted.

    With ``purchasing`` nothing is drawn: pallets bring the lots that it has bought, several to a
    pallet.
    """

    def __init__(self, building: Building, seed: int, purchasing: Purchasing | None = None) -> None:
        self._catalogue = Catalogue.from_orders(building, seed)
        self._cumulative = np.cumsum(self._catalogue.demand)
        self._case = [case_pieces(float(v)) for v in self._catalogue.volume]
        self._stock = building.stock
        self._heaviest = min(building.lifter.rated_load, building.drive.payload)
        self._rng = np.random.default_rng([seed, 0xD0C5])
        self._lifters = tuple(site.id for site in building.lifters)
        self._yard: dict[str, deque[PalletArrived]] = {name: deque() for name in self._lifters}
        self._docked: dict[str, PalletArrived | None] = dict.fromkeys(self._lifters)
        self._announced: dict[str, float] = dict.fromkeys(self._lifters, -math.inf)
        self._count = 0
        self._purchasing = purchasing
        self._lots: deque[tuple[float, int, int]] = deque()  # since when (s), SKU, pieces
        drawn = bool(self._lifters) and purchasing is None
        self._next = self._interval() if drawn else math.inf
        if self._next < math.inf:
            for _ in self._lifters:
                self._arrive()

    def _interval(self) -> float:
        rate = self._stock.pallets_per_hour
        return float(self._rng.exponential(3600.0 / rate)) if rate > 0 else math.inf

    def leave(self, result: LiftResult) -> float:
        """A lift has ended: lifted or refused, the pallet leaves the dock.

        Returns:
            Weight of the pallet, kg; 0 if that pallet is not at the dock (any more).
        """
        pallet = self._docked.get(result.lifter)
        if pallet is None or pallet.pallet != result.pallet:
            return 0.0
        self._docked[result.lifter] = None
        return pallet.weight

    @property
    def due(self) -> float:
        """Time (s) at which a step has something to do."""
        due = self._next
        if self._purchasing is not None:
            due = min(due, self._purchasing.due)
            if self._lots:
                due = min(due, self._lots[0][0] + CONSOLIDATION)
        for lifter in self._lifters:
            if self._docked[lifter] is not None:
                due = min(due, self._announced[lifter] + REPEAT)
            elif self._yard[lifter]:
                return -math.inf
        return due

    def step(self, now: float) -> list[PalletArrived]:
        """Pallets to announce: newly at a dock, or still there after a while."""
        while self._next <= now:
            self._arrive()
            self._next += self._interval()
        if self._purchasing is not None:
            self._load(self._purchasing.delivered(now), now)
        out = []
        for lifter in self._lifters:
            pallet = self._docked[lifter]
            if pallet is None:
                if not self._yard[lifter]:
                    continue
                pallet = self._yard[lifter].popleft()
            elif now - self._announced[lifter] < REPEAT:
                continue
            self._docked[lifter] = pallet = _stamped(pallet, now)
            self._announced[lifter] = now
            out.append(pallet)
        return out

    def _arrive(self) -> None:
        self._bring(self._draw())

    def _bring(self, quantity: dict[int, int]) -> None:
        """A pallet with so many pieces of each SKU stands in the yard of the next lifter."""
        lifter = self._lifters[self._count % len(self._lifters)]
        self._count += 1
        pieces = np.array(list(quantity.values()))
        weight = TARE + float(pieces @ self._catalogue.weight[list(quantity)])
        self._yard[lifter].append(
            PalletArrived(
                stamp=0.0,
                pallet=f"pallet-{self._count:06d}",
                lifter=lifter,
                weight=round(weight, 3),
                sku=tuple(self._catalogue.sku[k] for k in quantity),
                quantity=tuple(quantity.values()),
            )
        )

    def _load(self, lots: list[tuple[str, int]], now: float) -> None:
        """Put lots on pallets; one leaves when it is full or its oldest lot has waited enough."""
        for sku, pieces in lots:
            if sku in self._catalogue.index:
                self._lots.append((now, self._catalogue.index[sku], pieces))
        while self._lots and self._lifters:
            waiting = sum(pieces for _, _, pieces in self._lots)
            if waiting < self._stock.pallet_pieces and now - self._lots[0][0] < CONSOLIDATION:
                return
            quantity: dict[int, int] = {}
            room, volume, weight = self._stock.pallet_pieces, STACK_VOLUME, self._heaviest - TARE
            while self._lots and room > 0:
                since, k, pieces = self._lots[0]
                each, heavy = float(self._catalogue.volume[k]), float(self._catalogue.weight[k])
                taken = min(pieces, room, int(volume / each), int(weight / heavy))
                if taken < 1:
                    if quantity:
                        break
                    taken = 1  # larger than a pallet should be: it comes alone
                quantity[k] = quantity.get(k, 0) + taken
                room, volume, weight = room - taken, volume - taken * each, weight - taken * heavy
                self._lots.popleft()
                if taken < pieces:
                    self._lots.appendleft((since, k, pieces - taken))
            self._bring(quantity)

    def _draw(self) -> dict[int, int]:
        """Pieces of the SKUs of a pallet that comes by chance."""
        quantity: dict[int, int] = {}
        pieces, volume, weight = 0, 0.0, TARE
        while pieces < self._stock.pallet_pieces:
            k = int(np.searchsorted(self._cumulative, self._rng.random(), side="right"))
            k = min(k, len(self._case) - 1)
            case = self._case[k]
            room = min(
                self._stock.pallet_pieces - pieces + case - 1,
                (STACK_VOLUME - volume) / self._catalogue.volume[k],
                (self._heaviest - weight) / self._catalogue.weight[k],
            )
            cases = min(int(self._rng.geometric(1.0 / CASES_OF_SKU)), int(room) // case)
            if cases < 1:
                break
            quantity[k] = quantity.get(k, 0) + cases * case
            pieces += cases * case
            volume += cases * case * float(self._catalogue.volume[k])
            weight += cases * case * float(self._catalogue.weight[k])
        return quantity


def _stamped(pallet: PalletArrived, now: float) -> PalletArrived:
    return PalletArrived(
        now, pallet.pallet, pallet.lifter, pallet.weight, pallet.sku, pallet.quantity
    )
