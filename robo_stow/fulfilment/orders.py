"""Order totes from an order file, as an endless stream in time.

What becomes of the lines of the file (columns: `robo_stow.fulfilment.orderfile`):

- Only rows of kind ``sale`` with a quantity above 0 are order lines; cancellations, corrections
  and codes that are no product (postage, fees, vouchers: kind ``nonproduct``) are left out.
- Lines of more than `ABSURD` pieces are typing errors and are dropped; the public data holds one
  of 74,215 pieces that was cancelled within minutes.
- Lines of one order with the same SKU are one line.
- A line is capped at ``max_pieces``: what goes beyond is picked as full cases, outside this
  system.
- An order of more than ``max_lines`` lines is split, in the order of its lines, into totes
  ``536365-1``, ``536365-2``, ...; one that fits keeps its number.

Time: hours of the shop's clock in which nobody ordered (nights, holidays, the closed weekday) are
cut. What is left is stretched or compressed by one factor, so that the mean rate is
``orders_per_hour`` totes an hour while the order and the bursts of the real stream are kept. The
file knows minutes only; the totes of one minute are spread within it by the seed. At the end the
stream starts again with new numbers: ``536365-1-r2``, ``-r3``, ...
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from robo_stow.errors import InputError
from robo_stow.floor.building import OrderSpec
from robo_stow.fulfilment.orderfile import OrderLines, read_order_lines
from robo_stow.messages import OrderArrived

ABSURD = 1000
"""Lines of more pieces are dropped."""
MINUTE = 60.0
HOUR = 3600.0
_SALT = 0x0DE5


class OrderStream(Iterator[OrderArrived]):
    """Iterator over order totes by arrival time, without end.

    Args:
        spec: file, rate and rules of the building.
        seed: places totes within their minute; everything else is the file's.

    Raises:
        InputError: the file cannot be read or nothing in it is left by the rules, or a figure of
            ``spec`` is not above 0.
    """

    def __init__(self, spec: OrderSpec, seed: int) -> None:
        for name in ("orders_per_hour", "max_lines", "max_pieces", "due_minutes"):
            if not getattr(spec, name) > 0:
                raise InputError("orders", name, getattr(spec, name), "must be above 0")
        lines = read_order_lines(spec.file)
        self._spec = spec
        self._totes = _totes(lines, spec)
        if not self._totes:
            raise InputError(spec.file, "Quantity", "", f"no sale line of 1 to {ABSURD} pieces")
        clock, hours = _active_time(np.array([time for time, *_ in self._totes]))
        scale = len(self._totes) / spec.orders_per_hour / hours
        self.scale = scale
        """Simulated seconds for one second of the shop's active hours."""
        self.period = hours * HOUR * scale
        """Seconds after which the stream repeats."""
        self._arrival = _spread(clock, seed) * scale
        self._round = 0
        self._next = 0

    def __len__(self) -> int:
        """Totes in one round of the file."""
        return len(self._totes)

    def __next__(self) -> OrderArrived:
        _, name, sku, quantity = self._totes[self._next]
        arrival = float(self._arrival[self._next]) + self._round * self.period
        if self._round:
            name = f"{name}-r{self._round + 1}"
        self._next += 1
        if self._next == len(self._totes):
            self._next = 0
            self._round += 1
        return OrderArrived(arrival, name, sku, quantity, arrival + self._spec.due_minutes * MINUTE)


_Tote = tuple[float, str, tuple[str, ...], tuple[int, ...]]


def _totes(lines: OrderLines, spec: OrderSpec) -> list[_Tote]:
    """Totes (time, name, SKUs, quantities) in order of time, then of the file."""
    keep = np.flatnonzero(lines.quantity <= ABSURD)
    if not len(keep):
        return []
    orders, order = np.unique(lines.order[keep], return_inverse=True)
    skus, sku = np.unique(lines.sku[keep], return_inverse=True)
    pair, first, inverse = np.unique(
        order.astype(np.int64) * len(skus) + sku, return_index=True, return_inverse=True
    )
    quantity = np.zeros(len(pair), np.int64)
    np.add.at(quantity, inverse, lines.quantity[keep])
    quantity = np.minimum(quantity, spec.max_pieces)
    # Lines of an order belong together even where its rows do not follow one another.
    start = np.full(len(orders), len(keep))
    np.minimum.at(start, order, np.arange(len(keep)))
    time = lines.time[keep][start]
    owner = order[first]
    rank = np.lexsort((first, start[owner], time[owner]))
    owner, item, pieces = owner[rank], sku[first][rank], quantity[rank].tolist()
    names = [str(name) for name in orders]
    codes = [str(code) for code in skus]
    bounds = np.flatnonzero(np.diff(owner, prepend=-1, append=-1)).tolist()
    totes: list[_Tote] = []
    for begin, end in zip(bounds[:-1], bounds[1:], strict=True):
        number = int(owner[begin])
        parts = range(begin, end, spec.max_lines)
        for part, low in enumerate(parts):
            high = min(low + spec.max_lines, end)
            name = names[number] if len(parts) == 1 else f"{names[number]}-{part + 1}"
            content = tuple(codes[i] for i in item[low:high])
            totes.append((float(time[number]), name, content, tuple(pieces[low:high])))
    return totes


def _active_time(time: NDArray[np.float64]) -> tuple[NDArray[np.float64], int]:
    """Seconds of active hours before each ascending ``time``, and how many such hours there are."""
    hours, inverse = np.unique(np.floor(time / HOUR), return_inverse=True)
    return inverse * HOUR + time % HOUR, len(hours)


def _spread(clock: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Times within their minute, in ascending order."""
    rng = np.random.default_rng([seed, _SALT])
    return np.sort(np.floor(clock / MINUTE) * MINUTE + rng.uniform(0.0, MINUTE, len(clock)))
