"""What lies where, as fulfilment knows it: a mirror of the ledger's stock levels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robo_stow.floor.building import Building
from robo_stow.messages import PodSpace, StockLevels

DOUBT = 10.0
"""Seconds a place is passed over after the ledger granted less than the mirror promised."""


@dataclass(eq=False, slots=True)
class Place:
    """Stock of one SKU in one bin."""

    bin: int
    pod: int
    face: int
    sku: str
    on_hand: int = 0
    reserved: int = 0  # as the ledger says
    asked: int = 0  # reservations asked for and not yet answered
    doubted_until: float = 0.0
    free: int = 0  # pieces that may still be reserved, kept up by the mirror


class StockMirror:
    """Free stock by SKU and by pod, and the free space of pod faces.

    Absolute levels come from the ledger, which alone decides; reservations under way are
    subtracted here so that the same piece is not asked for twice.
    """

    def __init__(self, building: Building) -> None:
        self._spec = building.pod
        self.by_sku: dict[str, dict[int, Place]] = {}
        self.by_pod: list[dict[str, list[Place]]] = [{} for _ in range(building.pods)]
        self.free: dict[str, dict[int, int]] = {}
        """Free pieces by SKU and pod, above 0."""
        self.total: dict[str, int] = {}
        """Free pieces of a SKU in all pods."""
        self.space: NDArray[np.float64] = np.zeros((building.pods, building.pod.faces))
        """Free share of the volume of each pod face, [pods, faces]."""
        self._doubted: list[Place] = []

    def on_levels(self, levels: StockLevels) -> list[str]:
        """Take new levels; returns the SKUs of which more is free than before."""
        more: dict[str, None] = {}
        bins, bins_per_face = self._spec.bins, self._spec.bins_per_face
        for bin_, sku, on_hand, reserved in zip(
            levels.bin, levels.sku, levels.on_hand, levels.reserved, strict=True
        ):
            places = self.by_sku.get(sku)
            if places is None:
                places = self.by_sku[sku] = {}
            place = places.get(bin_)
            if place is None:
                if on_hand == 0:
                    continue
                pod, inside = divmod(bin_, bins)
                place = places[bin_] = Place(bin_, pod, inside // bins_per_face, sku)
                self.by_pod[pod].setdefault(sku, []).append(place)
            place.on_hand, place.reserved = on_hand, reserved
            place.doubted_until = 0.0
            if self._update(place) > 0:
                more[sku] = None
            if on_hand == 0 and place.asked == 0:
                self._forget(place)
        return list(more)

    def on_space(self, space: PodSpace) -> None:
        """Take new free shares of pod faces."""
        self.space[list(space.pod), list(space.face)] = space.free

    def ask(self, place: Place, quantity: int) -> None:
        """A reservation of ``quantity`` is on its way to the ledger."""
        place.asked += quantity
        self._update(place)

    def answered(self, place: Place, asked: int, granted: int, now: float) -> None:
        """The ledger's answer to a reservation; its new levels come by `on_levels`."""
        place.asked -= asked
        if granted < asked:
            place.doubted_until = now + DOUBT
            self._doubted.append(place)
        self._update(place)

    def settle(self, now: float) -> None:
        """Trust places again whose doubt has passed."""
        if self._doubted:
            over = [place for place in self._doubted if place.doubted_until <= now]
            self._doubted = [place for place in self._doubted if place.doubted_until > now]
            for place in over:
                place.doubted_until = 0.0
                self._update(place)

    def cover(self, sku: str) -> int:
        """Most free pieces of a SKU on any one pod."""
        return max(self.free.get(sku, {}).values(), default=0)

    def on_pod(self, pod: int, sku: str) -> int:
        """Free pieces of a SKU on a pod."""
        return self.free.get(sku, {}).get(pod, 0)

    def _update(self, place: Place) -> int:
        free = place.on_hand - place.reserved - place.asked
        if free < 0 or place.doubted_until:
            free = 0
        change = free - place.free
        if change:
            place.free = free
            self.total[place.sku] = self.total.get(place.sku, 0) + change
            pods = self.free.setdefault(place.sku, {})
            pods[place.pod] = pods.get(place.pod, 0) + change
            if not pods[place.pod]:
                del pods[place.pod]
        return change

    def _forget(self, place: Place) -> None:
        del self.by_sku[place.sku][place.bin]
        places = self.by_pod[place.pod]
        places[place.sku].remove(place)
        if not places[place.sku]:
            del places[place.sku]
