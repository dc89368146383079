"""The embedded loop: every core of a site stepped in one process, as fast as it goes.

The same cores run behind ROS 2 nodes; here records go from outbox to inbox by reference. Equal
buildings and seeds give equal runs, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from robo_stow.messages import Core, Message
from robo_stow.warehouse import Warehouse

STEP = 0.1
"""Simulated seconds between steps (the fleet reports at 10 Hz)."""


class Loop:
    """Steps cores in a fixed order and delivers what each says to those that want it."""

    def __init__(self, cores: Sequence[Core], step: float = STEP) -> None:
        self._cores = tuple(cores)
        self._step = step
        self._inboxes: list[list[Message]] = [[] for _ in self._cores]
        self._readers: dict[type, list[int]] = {}
        for index, core in enumerate(self._cores):
            for record in core.consumes:
                self._readers.setdefault(record, []).append(index)
        self.ticks = 0

    @property
    def now(self) -> float:
        """Simulated time of the last step, s."""
        return self.ticks * self._step

    def tick(self) -> None:
        """Advance the building by one step."""
        self.ticks += 1
        now = self.now
        for index, core in enumerate(self._cores):
            inbox, self._inboxes[index] = self._inboxes[index], []
            for message in core.step(now, inbox):
                for reader in self._readers.get(type(message), ()):
                    self._inboxes[reader].append(message)

    def run(self, seconds: float, every: float = 1.0) -> Iterator[float]:
        """Run for ``seconds`` of simulated time; yields the time (s) about ``every`` seconds."""
        end = self.ticks + round(seconds / self._step)
        stride = max(1, round(every / self._step))
        while self.ticks < end:
            for _ in range(min(stride, end - self.ticks)):
                self.tick()
            yield self.now


def simulate(
    warehouse: Warehouse,
    minutes: float,
    progress: Callable[[float], None] | None = None,
) -> None:
    """Run ``warehouse`` for ``minutes`` of simulated time.

    Args:
        progress: called about once a simulated second with the simulated time (s).
    """
    for now in Loop(warehouse.cores).run(minutes * 60.0):
        if progress is not None:
            progress(now)
