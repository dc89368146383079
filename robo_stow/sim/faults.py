"""What goes wrong with simulated drive units, from a seed and from a schedule."""

from __future__ import annotations

import heapq

import numpy as np

from robo_stow.drive.units import Units
from robo_stow.floor.building import FaultSpec
from robo_stow.messages import I32, Release


class Faults:
    """Late actions at random, and emergency stops and breakdowns at set times."""

    def __init__(self, spec: FaultSpec, seed: int) -> None:
        self._spec = spec
        self._rng = np.random.default_rng([seed, 0xFA17])
        self._events: list[tuple[float, int, str, int]] = []
        self._scheduled = 0

    def schedule(self, at: float, kind: str, unit: int) -> None:
        """At time ``at`` (s): "stop" (emergency stop), "kill" (break) or "reset" a unit."""
        if kind not in ("stop", "kill", "reset"):
            raise ValueError(f"kind {kind!r} is none of stop, kill, reset")
        heapq.heappush(self._events, (at, self._scheduled, kind, unit))
        self._scheduled += 1

    def strike(self, now: float, units: Units) -> None:
        """Let scheduled faults happen that are due at ``now``."""
        while self._events and self._events[0][0] <= now:
            _, _, kind, unit = heapq.heappop(self._events)
            {"stop": units.stop, "kill": units.kill, "reset": units.reset}[kind](unit)

    def hesitate(self, release: Release, taken: I32, units: Units) -> None:
        """Make some of the actions late that were newly taken from a release.

        Args:
            taken: I32[k] what `DriveUnits.take` returned.
        """
        actions = int(taken.sum())
        if not actions or self._spec.late_share <= 0.0:
            return
        late = np.flatnonzero(self._rng.random(actions) < self._spec.late_share)
        if not len(late):
            return
        ends = np.cumsum(taken)
        entries = np.searchsorted(ends, late, side="right")
        for action, i in zip(late.tolist(), entries.tolist(), strict=True):
            unit = int(release.unit[i])
            number = int(units.released[unit - units.first_unit]) - int(ends[i]) + action
            units.delay(unit, number, float(self._rng.exponential(self._spec.late_seconds)))
