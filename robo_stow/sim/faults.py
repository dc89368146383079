"""What goes wrong with simulated drive units, from a seed and from a schedule."""

from __future__ import annotations

import heapq
import math

import numpy as np

from robo_stow.drive.motion import lateness
from robo_stow.drive.units import Units
from robo_stow.floor.building import FaultSpec
from robo_stow.messages import I32, Release


class Faults:
    """Late actions at random, and emergency stops and breakdowns at set times."""

    def __init__(self, spec: FaultSpec, seed: int) -> None:
        self.spec = spec
        self.seed = int(np.random.default_rng([seed, 0xFA17]).integers(2**63))
        """Of the lateness of actions."""
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

        Which ones and by how much follows from the seed, the unit and the action's number alone.

        Args:
            taken: I32[k] what `DriveUnits.take` returned.
        """
        spec = self.spec
        if spec.late_share <= 0.0:
            return
        for i in np.flatnonzero(taken).tolist():
            unit = int(release.unit[i])
            end = int(units.released[unit - units.first_unit])
            for number in range(end - int(taken[i]), end):
                seconds = lateness(
                    self.seed, unit, release.epoch, number, spec.late_share, spec.late_seconds
                )
                if seconds > 0.0:
                    units.delay(unit, number, seconds)

    @property
    def due(self) -> float:
        """Time (s) of the next scheduled fault."""
        return self._events[0][0] if self._events else math.inf
