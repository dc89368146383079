"""People: handwork at stations as instructed, and packers at the packing desk."""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Sequence

import numpy as np

from robo_stow.floor.building import PeopleSpec
from robo_stow.messages import Instruct, Put, Scan, ScanResult, TotePacked, ToteReady

RESCAN = 6.0
"""s that scanning a wrong piece costs."""
REMEMBERED = 64
"""Latest works of which a station's person can repeat the scan."""


_Work = tuple[int, bool, int, str, int]


def _key(work: Instruct) -> _Work:
    """What makes two instructions the same work; a restarted station may use a number again."""
    return work.work, work.stow, work.bin, work.sku, work.quantity


def time_factor(rng: np.random.Generator, spread: float) -> float:
    """Log-normal factor with mean 1 and standard deviation ``spread`` of its logarithm."""
    return math.exp(spread * float(rng.standard_normal()) - 0.5 * spread * spread)


class Person:
    """Someone at a station who does one instructed piece of work after the other.

    A pick is scanned when its pieces are out of the pod; then they are put into the tote, and only
    after that the next work begins.
    An instruction that comes again is answered again when done, and otherwise changes nothing.
    With the given shares, a pick finds one piece fewer than instructed, or one damaged, which is
    put aside, or a wrong piece is scanned first: the scanner tells so, and it takes `RESCAN` s to
    put it back and take the right one.
    """

    def __init__(self, spec: PeopleSpec, seed: int, index: int) -> None:
        self._spec = spec
        self._rng = np.random.default_rng([seed, 0x9E09, index])
        self._waiting: deque[Instruct] = deque()
        self._hands: Instruct | None = None
        self._known: set[_Work] = set()  # in hand and waiting
        self._finish = math.inf
        self._put_time = 0.0  # s of the work in hand that follow its scan
        self._put: Put | None = None  # said at `_finish`; None: the scan is
        self._done: dict[_Work, list[Scan | Put]] = {}
        self._left: float | None = None  # s, since when nobody is there

    @property
    def finish(self) -> float:
        """Time (s) of the next scan or put; infinite when there is no work in hand."""
        return self._finish if self._left is None else math.inf

    def attend(self, now: float, there: bool) -> None:
        """Be at the station from ``now`` (s) on, or not."""
        if not there and self._left is None:
            self._left = now
        elif there and self._left is not None:
            self._finish += now - self._left
            self._left = None

    def instruct(self, now: float, work: Instruct) -> Sequence[Scan | Put]:
        """Take an instruction; returns what was said before if that work has been done."""
        if self._left is not None:
            return ()
        key = _key(work)
        if key in self._done:
            return tuple(self._done[key])
        if key not in self._known:
            self._known.add(key)
            if self._hands is None:
                self._begin(now, work)
            else:
                self._waiting.append(work)
        return ()

    def step(self, now: float) -> list[Scan | Put]:
        """What is said by ``now``: scans and puts of the works in hand."""
        said: list[Scan | Put] = []
        while self._hands is not None and self.finish <= now:
            key = _key(self._hands)
            if self._put is None:
                scan = self._scan(self._hands)
                self._done[key] = [scan]
                if len(self._done) > REMEMBERED:
                    del self._done[next(iter(self._done))]
                said.append(scan)
                if not self._hands.stow and scan.quantity > 0:
                    self._finish += self._put_time
                    hands = self._hands
                    self._put = Put(self._finish, hands.station, hands.work, hands.order)
                    continue
            else:
                self._done[key].append(self._put)
                said.append(self._put)
                self._put = None
            self._known.discard(key)
            if self._waiting:
                self._begin(self._finish, self._waiting.popleft())
            else:
                self._hands, self._finish = None, math.inf
        return said

    def _begin(self, now: float, work: Instruct) -> None:
        spec = self._spec
        line, piece = (
            (spec.stow_line, spec.stow_piece) if work.stow else (spec.pick_line, spec.pick_piece)
        )
        self._hands = work
        time = (line + piece * work.quantity) * time_factor(self._rng, spec.spread)
        if self._happens(spec.rescan_share):
            time += RESCAN
        self._put_time = 0.0 if work.stow else time * spec.put_share
        self._finish = now + time - self._put_time

    def _scan(self, work: Instruct) -> Scan:
        pick = not work.stow and work.quantity > 0
        short = pick and self._happens(self._spec.short_share)
        damaged = pick and not short and self._happens(self._spec.damaged_share)
        return Scan(
            stamp=self._finish,
            station=work.station,
            work=work.work,
            result=ScanResult.SHORT if short or damaged else ScanResult.OK,
            quantity=work.quantity - (short or damaged),
            damaged=int(damaged),
        )

    def _happens(self, share: float) -> bool:
        return share > 0.0 and self._rng.random() < share


class Packers:
    """Packers who take totes first come, first served.

    A tote announced again is answered again when packed, and otherwise changes nothing.
    """

    def __init__(self, spec: PeopleSpec, seed: int) -> None:
        self._spec = spec
        self._rng = np.random.default_rng([seed, 0x9AC7])
        self._free = [0.0] * spec.packers  # heap: times at which packers are free
        self._finish: list[tuple[float, int, str]] = []  # heap
        self._packed: dict[str, TotePacked | None] = {}

    def announce(self, now: float, tote: ToteReady) -> TotePacked | None:
        """Take a tote; returns the answer again if it has been packed."""
        if tote.order in self._packed:
            return self._packed[tote.order]
        time = self._spec.pack_tote * time_factor(self._rng, self._spec.spread)
        finish = max(now, heapq.heappop(self._free)) + time
        heapq.heappush(self._free, finish)
        heapq.heappush(self._finish, (finish, len(self._packed), tote.order))
        self._packed[tote.order] = None
        return None

    @property
    def due(self) -> float:
        """Time (s) when the next tote is packed; infinite when there is none."""
        return self._finish[0][0] if self._finish else math.inf

    def step(self, now: float) -> list[TotePacked]:
        """Totes packed by ``now``."""
        packed = []
        while self._finish and self._finish[0][0] <= now:
            finish, _, order = heapq.heappop(self._finish)
            answer = TotePacked(finish, order)
            self._packed[order] = answer
            packed.append(answer)
        return packed
