"""When to say again what has not been answered."""

from __future__ import annotations

MOST = 4.0
"""Times the first wait that later ones become at most."""


class Patience:
    """A wait of ``first`` s from ``now``, after each repetition twice as long, up to `MOST` times.

    What was lost once is said again soon; what merely takes its time is not said over and over
    (exponential backoff, as in CoAP, RFC 7252, 4.2).
    """

    __slots__ = ("_longest", "_wait", "until")

    def __init__(self, first: float, now: float) -> None:
        self._wait = first
        self._longest = MOST * first
        self.until = now + first
        """Time (s) at which the wait is over."""

    def over(self, now: float) -> bool:
        """Whether it is time to repeat; then the next wait begins."""
        if now < self.until:
            return False
        self._wait = min(2.0 * self._wait, self._longest)
        self.until = now + self._wait
        return True
