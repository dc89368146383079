"""Questions to the inventory, asked again until answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from robo_stow.messages import Message, Reply, Request

REPEAT = 2.0
"""Seconds after which an unanswered request is sent again."""


@dataclass(slots=True)
class _Asked:
    request: Request
    answered: Callable[[Reply, float], None] | None
    sent: float


class Ledger:
    """Outstanding requests by idempotency key; the same key again changes nothing there."""

    def __init__(self, out: list[Message]) -> None:
        self._out = out
        self._asked: dict[str, _Asked] = {}
        self._number = 0

    def start(self, now: float) -> None:
        """Number requests from the clock, so that keys differ from those before a restart."""
        self._number = int(now * 1000)

    def key(self, kind: str) -> str:
        """A key never used before."""
        self._number += 1
        return f"fulfilment/{kind}/{self._number}"

    def ask(
        self, now: float, request: Request, answered: Callable[[Reply, float], None] | None = None
    ) -> None:
        """Send ``request`` until its reply comes, then call ``answered`` with it and the time."""
        if request.key not in self._asked:
            self._asked[request.key] = _Asked(request, answered, now)
            self._out.append(request)

    def on_reply(self, reply: Reply, now: float) -> None:
        """Take a reply; those to others' requests and repeated ones are ignored."""
        asked = self._asked.pop(reply.key, None)
        if asked is not None and asked.answered is not None:
            asked.answered(reply, now)

    def repeat(self, now: float) -> None:
        """Send again what was not answered in time."""
        for asked in self._asked.values():
            if now - asked.sent >= REPEAT:
                asked.sent = now
                self._out.append(asked.request)
