"""Where goods may be stowed: any bin they fit, drawn at random among those that stay pickable.

A stow must fit: sides of the piece and the bin (`robo_stow.inventory.fit`), volume of the bin,
weight of the bin and of the pod, the class of the pod, one lot of a SKU in a bin. Among the bins
that fit a proposal keeps to rules that make random stow work for the people at the stations (they
are free to stow elsewhere):

- no two SKUs that look alike in one bin;
- heavy pieces on the lower half of the shelves;
- a receipt of a SKU is spread over at least `SPREAD` pods, so that a piece is near any station.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, select

from robo_stow.inventory import schema
from robo_stow.inventory.fit import Size, pieces_in
from robo_stow.inventory.model import Rejection, Site, Sku
from robo_stow.inventory.prepared import Prepared

SPREAD = 3
"""Pods over which a receipt of a SKU is spread at least."""
HEAVY = 1500
"""A piece of more than so many g is heavy."""


@dataclass(slots=True)
class Bin:
    """A bin on the face before the stower."""

    number: int
    shelf: int  # 0 is the lowest
    size: Size  # mm
    volume: int  # mm^3 free
    weight: int  # g it can still bear
    held: dict[str, tuple[int, int]]  # SKU -> lot, pieces


@dataclass(frozen=True, slots=True)
class Goods:
    """Pieces of one SKU left on a pallet."""

    sku: Sku
    lot: int
    received: int
    left: int
    in_pod: int  # pieces of the SKU already in the pod


@dataclass(frozen=True, slots=True)
class View:
    """What a proposal is made from."""

    bins: tuple[Bin, ...]  # of the face
    shelves: int
    goods: tuple[Goods, ...]  # on the pallet and of the pod's class
    pod_weight: int  # g the pod can still bear
    left: int  # pieces on the pallet


_stock, _bin, _sku, _on_pallet = schema.stock, schema.bin_, schema.sku, schema.pallet_stock
_POD = select(schema.pod.c.capacity, schema.pod.c.hazard, schema.pod.c.temperature).where(
    schema.pod.c.id == bindparam("at_pod")
)
_BINS = (
    select(_bin.c.id, _bin.c.shelf, _bin.c.volume, _bin.c.capacity)
    .add_columns(_bin.c.width, _bin.c.depth, _bin.c.height)
    .where(_bin.c.id.between(bindparam("first"), bindparam("last")))
    .order_by(_bin.c.id)
)
_HELD = (
    select(_stock.c.bin, _stock.c.sku, _stock.c.lot, _stock.c.on_hand)
    .where(_stock.c.bin.between(bindparam("first"), bindparam("last")))
    .order_by(_stock.c.bin, _stock.c.sku)
)
_PALLET = (
    select(schema.pallet.c.id, _on_pallet.c.sku, _on_pallet.c.lot)
    .add_columns(_on_pallet.c.received, _on_pallet.c.quantity)
    .join_from(schema.pallet, _on_pallet, isouter=True)
    .where(schema.pallet.c.id == bindparam("at_pallet"))
    .order_by(_on_pallet.c.sku)
)


def look(connection: Prepared, site: Site, pallet: str, pod: int, face: int) -> View:
    """Read what a proposal for a face and a pallet needs.

    Raises:
        Rejection: unknown pallet.
    """
    rows = connection.execute(_PALLET, {"at_pallet": pallet}).all()
    if not rows:
        raise Rejection("pallet", pallet, "unknown pallet")
    capacity, hazard, temperature = connection.execute(_POD, {"at_pod": pod}).one()
    first = pod * site.bins_per_pod
    slots = site.bins_per_pod // site.faces
    front = {"first": first + face * slots, "last": first + (face + 1) * slots - 1}
    bins = {
        number: Bin(number, shelf, (width, depth, height), volume, weight, {})
        for number, shelf, volume, weight, width, depth, height in connection.execute(_BINS, front)
    }
    in_pod: dict[int, int] = {}
    whole = {"first": first, "last": first + site.bins_per_pod - 1}
    for number, sku_id, lot, on_hand in connection.execute(_HELD, whole):
        sku = site.by_id[sku_id]
        in_pod[sku_id] = in_pod.get(sku_id, 0) + on_hand
        capacity -= on_hand * sku.weight
        bin_ = bins.get(number)
        if bin_ is not None:
            bin_.volume -= on_hand * sku.volume
            bin_.weight -= on_hand * sku.weight
            bin_.held[sku.code] = (lot, on_hand)
    stock = [(site.by_id[row.sku], row) for row in rows if row.sku is not None]
    return View(
        tuple(bins.values()),
        1 + max(bin_.shelf for bin_ in bins.values()),
        tuple(
            Goods(sku, row.lot, row.received, row.quantity, in_pod.get(sku.id, 0))
            for sku, row in stock
            if sku.kept == (temperature, hazard)
        ),
        capacity,
        sum(row.quantity for _, row in stock),
    )


def lookalike(code: str, letters: int) -> str:
    """Name of the group of SKUs that look like ``code``: the same first ``letters``."""
    return code[:letters] if letters else code


def is_low(shelf: int, shelves: int) -> bool:
    """Whether a shelf is in the lower half of a face."""
    return shelf < (shelves + 1) // 2


def propose(view: View, letters: int, rng: random.Random) -> list[tuple[int, str, int]]:
    """Stows (bin, SKU, pieces) for one visit of a face.

    Args:
        view: the face and the pallet; the bins' free volume and weight are used up.
        letters: leading letters that SKUs which look alike share.
        rng: draws the bins.

    Returns:
        Stows that all fit together. Goods the pod has its share of are proposed only when
        nothing else is, so that a pallet always gets emptied.
    """
    wanting = [item for item in view.goods if item.in_pod < _share(item)]
    for chosen in (wanting, [item for item in view.goods if item.in_pod >= _share(item)]):
        stows = _place(view, chosen, letters, rng)
        if stows:
            return stows
    return []


def _share(item: Goods) -> int:
    """Pieces of a receipt that one pod takes."""
    return -(-item.received // SPREAD)


def _place(
    view: View, goods: Sequence[Goods], letters: int, rng: random.Random
) -> list[tuple[int, str, int]]:
    stows: list[tuple[int, str, int]] = []
    pod_weight = view.pod_weight
    for item in rng.sample(goods, len(goods)):
        sku = item.sku
        share = _share(item)
        want = min(item.left, share - item.in_pod if item.in_pod < share else share)
        for bin_, fits in _candidates(view, item, want, letters, rng):
            pieces = min(want, fits, pod_weight // sku.weight)
            if not pieces:
                break
            stows.append((bin_.number, sku.code, pieces))
            bin_.volume -= pieces * sku.volume
            bin_.weight -= pieces * sku.weight
            bin_.held[sku.code] = (item.lot, bin_.held.get(sku.code, (0, 0))[1] + pieces)
            pod_weight -= pieces * sku.weight
            want -= pieces
            if not want:
                break
    return stows


def _candidates(
    view: View, item: Goods, want: int, letters: int, rng: random.Random
) -> list[tuple[Bin, int]]:
    """Bins for a SKU in random order with the pieces that fit, those that take all first."""
    sku = item.sku
    group = lookalike(sku.code, letters)
    open_bins = []
    for bin_ in view.bins:
        lot, held = bin_.held.get(sku.code, (item.lot, 0))
        if lot != item.lot or (sku.weight > HEAVY and not is_low(bin_.shelf, view.shelves)):
            continue
        fits = min(bin_.volume // sku.volume, bin_.weight // sku.weight)
        if fits > 0:
            fits = min(fits, pieces_in(sku.size, bin_.size) - held)
        if fits < 1:
            continue
        if any(code != sku.code and lookalike(code, letters) == group for code in bin_.held):
            continue
        open_bins.append((bin_, fits))
    rng.shuffle(open_bins)
    open_bins.sort(key=lambda entry: entry[1] < want)
    return open_bins
