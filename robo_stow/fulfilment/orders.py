"""Order totes from an order file, as an endless stream in time.

What becomes of the lines of the file (columns: `robo_stow.fulfilment.orderfile`):

- Only rows of kind ``sale`` with a quantity above 0 are order lines; cancellations, corrections
  and codes that are no product (postage, fees, vouchers: kind ``nonproduct``) are left out.
- Lines of more than `ABSURD` pieces are typing errors and are dropped; the public data holds one
  of 74,215 pieces that was cancelled within minutes.
- Lines of one order with the same SKU are one line.
- A line is capped at ``max_pieces``: what goes beyond is picked as full cases, outside this
  system.
- An order of more than ``max_lines`` lines, or of more volume than a tote takes, is split, in the
  order of its lines, into totes ``536365-1``, ``536365-2``, ...; one that fits keeps its number. A
  line that fills more than a tote is split by pieces; a piece larger than a tote has one to itself.

Time: hours of the shop's clock in which nobody ordered (nights, holidays, the closed weekday) are
cut. What is left is stretched or compressed by one factor, so that the mean rate is
``orders_per_hour`` totes an hour while the order and the bursts of the real stream are kept. The
file knows minutes only; the totes of one minute are spread within it by the seed. At the end the
stream starts again with new numbers: ``536365-1-r2``, ``-r3``, ...
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from robo_stow.errors import InputError
from robo_stow.floor.building import Building, Lorry, OrderSpec
from robo_stow.fulfilment.lorries import carrier_of, departure
from robo_stow.fulfilment.orderfile import OrderLines, read_order_lines
from robo_stow.inventory.catalogue import Catalogue
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
        volume: of a piece of each SKU, m^3; None: totes are not split by volume.
        lorries: by whose departures orders are due.

    Raises:
        InputError: the file cannot be read or nothing in it is left by the rules, or a figure of
            ``spec`` is not above 0.
    """

    def __init__(
        self,
        spec: OrderSpec,
        seed: int,
        volume: Mapping[str, float] | None = None,
        lorries: Sequence[Lorry] = (),
    ) -> None:
        for name in ("orders_per_hour", "max_lines", "max_pieces", "due_minutes"):
            if not getattr(spec, name) > 0:
                raise InputError("orders", name, getattr(spec, name), "must be above 0")
        lines = read_order_lines(spec.file)
        self._spec = spec
        self._lorries = tuple(lorries)
        self._totes = _totes(lines, spec, volume)
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
        due = arrival + self._spec.due_minutes * MINUTE
        if self._lorries:
            due = departure(carrier_of(name, self._lorries), due)
        return OrderArrived(arrival, name, sku, quantity, due)


_Tote = tuple[float, str, tuple[str, ...], tuple[int, ...]]


def orders_of(building: Building, seed: int) -> OrderStream:
    """The orders of a building: its totes take a volume, its lorries leave at their times.

    Raises:
        InputError: as of `OrderStream`, or the item file cannot be used.
    """
    volume = None
    if building.orders.tote_volume > 0.0:
        catalogue = Catalogue.from_orders(building, seed)
        volume = dict(zip(catalogue.sku, catalogue.volume.tolist(), strict=True))
    return OrderStream(building.orders, seed, volume, building.lorries)


_Content = list[tuple[str, int]]
"""SKU and pieces of each line of a tote."""


def split_totes(
    lines: _Content, spec: OrderSpec, volume: Mapping[str, float] | None
) -> list[_Content]:
    """Fill totes with the lines of an order, one after the other.

    Args:
        volume: of a piece of each SKU, m^3; None: unknown, only lines are counted.
    """
    if volume is None or spec.tote_volume <= 0.0:
        return [lines[at : at + spec.max_lines] for at in range(0, len(lines), spec.max_lines)]
    totes: list[_Content] = []
    free = 0.0
    for sku, quantity in lines:
        piece = volume[sku]
        most = max(int(spec.tote_volume / piece), 1)
        while quantity:
            pieces = min(quantity, most)
            if not totes or len(totes[-1]) == spec.max_lines or pieces * piece > free:
                totes.append([])
                free = spec.tote_volume
            totes[-1].append((sku, pieces))
            free -= pieces * piece
            quantity -= pieces
    return totes


def _totes(lines: OrderLines, spec: OrderSpec, volume: Mapping[str, float] | None) -> list[_Tote]:
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
        content = [(codes[item[i]], pieces[i]) for i in range(begin, end)]
        parts = split_totes(content, spec, volume)
        for part, tote in enumerate(parts):
            name = names[number] if len(parts) == 1 else f"{names[number]}-{part + 1}"
            wanted = tuple(code for code, _ in tote), tuple(count for _, count in tote)
            totes.append((float(time[number]), name, *wanted))
    return totes


def _active_time(time: NDArray[np.float64]) -> tuple[NDArray[np.float64], int]:
    """Seconds of active hours before each ascending ``time``, and how many such hours there are."""
    hours, inverse = np.unique(np.floor(time / HOUR), return_inverse=True)
    return inverse * HOUR + time % HOUR, len(hours)


def _spread(clock: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Times within their minute, in ascending order."""
    rng = np.random.default_rng([seed, _SALT])
    return np.sort(np.floor(clock / MINUTE) * MINUTE + rng.uniform(0.0, MINUTE, len(clock)))
