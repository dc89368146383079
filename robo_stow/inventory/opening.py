"""Opening stock: what lies in the bins when a site starts its first day.

Every SKU that is ordered gets at least ``stock.cover_pieces`` pieces and, beyond that, pieces in
proportion to its share of the order lines until ``stock.fill`` of the bins' volume is taken. The
pieces of a SKU are parted into lots of a few pieces, each put into a random bin by the rules of
random stow (`robo_stow.inventory.placement`): size, volume and weight, pods of the SKU's class, no
look-alikes in one bin, heavy pieces low, one lot of a SKU in a pod. Where a crowded building leaves
no such bin, the spread over pods gives way first, heavy-low next; what still finds no bin stays on
the pallet.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Insert, bindparam, func, insert, literal, select, text, update

from robo_stow.errors import InputError
from robo_stow.floor.building import Building
from robo_stow.floor.start import pod_cells
from robo_stow.inventory import schema
from robo_stow.inventory.catalogue import Catalogue
from robo_stow.inventory.database import insert_rows
from robo_stow.inventory.fit import GRAM, MM3, bins_of_face, classes_of_pods, pieces_in_boxes
from robo_stow.inventory.ledger import Ledger, write_reply
from robo_stow.inventory.model import Sku
from robo_stow.inventory.placement import HEAVY, SPREAD, is_low, lookalike
from robo_stow.messages import Reply

I64 = NDArray[np.int64]

KEY = "opening"
"""Idempotency key, and name of the pallet, of the opening stock."""
LOT_PIECES = 8
"""Most pieces of a SKU that are put into one bin, if there are pods enough."""
LOT_SHARE = 0.25
"""A lot takes at most this share of a bin, if a piece allows it."""
BEARABLE = 0.9
"""Share of the weight that bins and pods can bear that the opening stock may have."""
ROUNDS = 24
"""Random draws for each lot under all rules; half as many more under fewer rules."""
_SALT = 0x57044


def book_opening_stock(ledger: Ledger, building: Building, catalogue: Catalogue, seed: int) -> None:
    """Book receipt and stows of the opening stock and the pods' first places as one booking.

    Raises:
        InputError: ``stock.cover_pieces`` of every SKU are more than the bins hold.
        LedgerError: the database failed; then nothing has been booked.
    """
    skus = [ledger.skus[code] for code in catalogue.sku]
    received = draw_pieces(building, skus, catalogue.demand)
    kind, pieces, bins = draw_bins(building, skus, received, seed)
    stowed = np.bincount(kind, weights=pieces, minlength=len(skus)).astype(np.int64)
    ids = np.array([sku.id for sku in skus])
    lots = np.array([sku.lot for sku in skus])
    order = np.lexsort((ids[kind], bins))  # as the tables are sorted
    kind, pieces, bins = kind[order], pieces[order], bins[order]

    total, left = int(received.sum()), received - stowed
    receipts = [
        row
        for row in zip(ids.tolist(), lots.tolist(), received.tolist(), left.tolist(), strict=True)
        if row[2]
    ]
    lists = (bins.tolist(), ids[kind].tolist(), lots[kind].tolist(), pieces.tolist())
    stows = list(zip(*lists, strict=True))
    places = list(enumerate(pod_cells(building, seed).tolist()))
    body = write_reply(Reply(KEY, True, "", granted=(total,), left=int(left.sum())))
    with ledger.alone() as connection:
        if connection.execute(select(schema.reply).where(schema.reply.c.key == KEY)).first():
            return  # another process, opening the site at the same moment, was first
        insert_rows(
            connection, schema.reply, ("key", "digest", "time", "body"), [(KEY, "", 0.0, body)]
        )
        insert_rows(connection, schema.pallet, ("id", "time"), [(KEY, 0.0)])
        insert_rows(
            connection,
            schema.movement,
            ("key", "line", "time", "kind", "lot", "quantity", "pallet"),
            [
                (KEY, line, 0.0, "receive", lot, number, KEY)
                for line, (_, lot, number, _) in enumerate(receipts)
            ],
        )
        insert_rows(connection, schema.stock, ("bin", "sku", "lot", "on_hand"), stows)
        connection.execute(_stow_all(len(receipts)))  # far quicker than row by row from here
        insert_rows(
            connection,
            schema.movement,
            ("key", "line", "time", "kind", "quantity", "pod", "cell"),
            [
                (KEY, line, 0.0, "pod-moved", 0, pod, cell)
                for line, (pod, cell) in enumerate(places, len(receipts) + len(kind))
            ],
        )
        insert_rows(
            connection,
            schema.pallet_stock,
            ("pallet", "sku", "lot", "received", "quantity"),
            [(KEY, sku, lot, number, rest) for sku, lot, number, rest in receipts if rest],
        )
        insert_rows(connection, schema.pod_place, ("pod", "cell"), places)
        connection.execute(
            update(schema.balance)
            .where(schema.balance.c.sku == bindparam("at_sku"))
            .values(received=bindparam("pieces")),
            [{"at_sku": sku, "pieces": number} for sku, _, number, _ in receipts],
        )
        if connection.dialect.name == "postgresql":
            # Until autovacuum came by it would plan for empty tables, and a stow take 80 ms.
            connection.execute(text("ANALYZE"))


def _stow_all(first_line: int) -> Insert:
    """Statement that books a stow from the opening pallet for every row of stock."""
    s = schema.stock.c
    line = func.row_number().over(order_by=(s.bin, s.sku)) - 1 + first_line
    pallet, zero, kind = literal(KEY), literal(0.0), literal("stow")
    return insert(schema.movement).from_select(
        ["key", "line", "time", "kind", "lot", "quantity", "pallet", "bin"],
        select(pallet, line, zero, kind, s.lot, s.on_hand, pallet, s.bin).order_by(s.bin, s.sku),
    )


def draw_pieces(building: Building, skus: list[Sku], demand: NDArray[np.float64]) -> I64:
    """Pieces of each SKU, [k]: the cover, and more by demand up to the fill.

    Raises:
        InputError: the cover alone is more than the bins hold.
    """
    spec, rule = building.pod, building.stock
    volume = np.array([sku.volume for sku in skus]) * MM3
    weight = np.array([sku.weight for sku in skus]) * GRAM
    space = building.pods * spec.volume
    of_face = sum(shelf.bins * shelf.capacity for shelf in spec.shelves)
    bearable = BEARABLE * building.pods * min(spec.faces * of_face, spec.capacity)
    cover = np.where(demand > 0.0, rule.cover_pieces, 0)
    if cover @ volume > BEARABLE * space or cover @ weight > bearable:
        raise InputError(
            building.source,
            "stock.cover_pieces",
            rule.cover_pieces,
            f"{len(skus)} SKUs with {cover @ volume:.1f} m3 and {cover @ weight:.0f} kg do not fit "
            f"in the {building.pods * spec.bins} bins",
        )
    room = rule.fill * space

    def with_factor(factor: float) -> I64:
        return np.maximum(cover, np.floor(factor * demand).astype(np.int64))

    low, high = 0.0, space / float(demand @ volume)
    for _ in range(60):
        middle = (low + high) / 2
        pieces = with_factor(middle)
        fits = pieces @ volume <= room and pieces @ weight <= bearable
        low, high = (middle, high) if fits else (low, middle)
    return with_factor(low)


def draw_bins(
    building: Building, skus: list[Sku], received: I64, seed: int
) -> tuple[I64, I64, I64]:
    """Part the pieces into lots and draw a bin for each.

    Returns:
        For each stowed lot: index of its SKU, pieces, bin.
    """
    spec, pods = building.pod, building.pods
    volume = np.array([sku.volume for sku in skus])
    weight = np.array([sku.weight for sku in skus])
    face = bins_of_face(spec)
    bin_volume = np.array([bin_.volume for bin_ in face])
    bin_weight = np.array([bin_.capacity for bin_ in face])

    # Pieces of one SKU that a bin takes, [k, slots].
    most = pieces_in_boxes(
        np.array([sku.size for sku in skus]), np.array([bin_.size for bin_ in face])
    )
    most = np.minimum(most, bin_volume // volume[:, None])
    most = np.minimum(most, bin_weight // weight[:, None])
    # Pods of each SKU's class: of[first[k] : first[k] + count[k]].
    kinds = classes_of_pods(spec, pods)
    by_kind: dict[tuple[str, str], list[int]] = {}
    for pod, kept in enumerate(kinds):
        by_kind.setdefault(kept, []).append(pod)
    of = np.array([pod for members in by_kind.values() for pod in members])
    starts, start = {}, 0
    for kept, members in by_kind.items():
        starts[kept], start = start, start + len(members)
    first = np.array([starts[sku.kept] for sku in skus])
    count = np.array([len(by_kind[sku.kept]) for sku in skus])

    # Lots: small, but no more of them than pods, and at least SPREAD if there are the pieces.
    fitting = np.minimum(
        LOT_SHARE * bin_volume.mean() // volume, LOT_SHARE * bin_weight.mean() // weight
    )
    lot = np.clip(fitting.astype(np.int64), 1, LOT_PIECES)
    lots = np.maximum(-(-received // lot), np.minimum(SPREAD, received))
    lots = np.minimum(lots, count)
    kind = np.repeat(np.arange(len(skus)), lots)
    nth = np.arange(len(kind)) - np.repeat(np.cumsum(lots) - lots, lots)
    pieces = received[kind] // lots[kind] + (nth < received[kind] % lots[kind])
    # A lot of a SKU with more lots than pods may be too large for one bin.
    pieces = np.minimum(pieces, most.max(axis=1)[kind])

    codes = [lookalike(sku.code, building.stock.lookalike) for sku in skus]
    names = {name: number for number, name in enumerate(dict.fromkeys(codes))}
    group = np.array([names[name] for name in codes])
    low_slots = sum(is_low(bin_.shelf, len(spec.shelves)) for bin_ in face)
    heavy = weight > HEAVY
    share = np.cumsum(bin_volume) / bin_volume.sum()  # larger bins are drawn more often

    rng = np.random.default_rng([seed, _SALT])
    free_volume = np.tile(bin_volume, pods * spec.faces)
    free_weight = np.tile(bin_weight, pods * spec.faces)
    free_pod = np.full(pods, round(spec.capacity / GRAM))
    alike = _Pairs(len(names))
    spread = _Pairs(len(skus))
    where = np.full(len(kind), -1)
    waiting = rng.permutation(len(kind))
    for turn in range(2 * ROUNDS):
        if not len(waiting):
            break
        sku = kind[waiting]
        drawn = of[first[sku] + rng.integers(0, count[sku])] * spec.faces
        drawn += rng.integers(0, spec.faces, len(waiting))
        highest = np.where(heavy[sku] & (turn < ROUNDS * 3 // 2), share[low_slots - 1], 1.0)
        slot = np.searchsorted(share, highest * rng.random(len(waiting)), side="right")
        bins = drawn * spec.bins_per_face + slot
        need_volume, need_weight = pieces[waiting] * volume[sku], pieces[waiting] * weight[sku]
        ok = alike.free(bins, group[sku]) & (pieces[waiting] <= most[sku, slot])
        if turn < ROUNDS:
            ok &= spread.free(bins // spec.bins, sku)
        ok[ok] = _fitting(bins[ok], need_volume[ok], free_volume)
        ok[ok] = _fitting(bins[ok], need_weight[ok], free_weight)
        ok[ok] = _fitting(bins[ok] // spec.bins, need_weight[ok], free_pod)
        bins = bins[ok]
        where[waiting[ok]] = bins
        alike.add(bins, group[sku[ok]])
        spread.add(bins // spec.bins, sku[ok])
        np.subtract.at(free_volume, bins, need_volume[ok])
        np.subtract.at(free_weight, bins, need_weight[ok])
        np.subtract.at(free_pod, bins // spec.bins, need_weight[ok])
        waiting = waiting[~ok]
    stowed = np.flatnonzero(where >= 0)
    return kind[stowed], pieces[stowed], where[stowed]


class _Pairs:
    """A growing set of pairs (place, thing)."""

    def __init__(self, things: int) -> None:
        self._things = things
        self._taken = np.empty(0, np.int64)

    def free(self, place: I64, thing: I64) -> NDArray[np.bool_]:
        """Which pairs are not in the set; of equal ones only the first."""
        pair = place * self._things + thing
        fresh = np.zeros(len(pair), bool)
        fresh[np.unique(pair, return_index=True)[1]] = True
        at = np.searchsorted(self._taken, pair).clip(max=max(len(self._taken) - 1, 0))
        if len(self._taken):
            fresh &= self._taken[at] != pair
        return fresh

    def add(self, place: I64, thing: I64) -> None:
        """Put pairs into the set."""
        self._taken = np.sort(np.concatenate([self._taken, place * self._things + thing]))


def _fitting(place: I64, need: I64, free: I64) -> NDArray[np.bool_]:
    """Which needs fit into what is free at their places, those before them taken off."""
    order = np.argsort(place, kind="stable")
    sorted_place, sorted_need = place[order], need[order]
    running = np.cumsum(sorted_need)
    first = np.searchsorted(sorted_place, sorted_place)  # of the same place
    before = (running - sorted_need)[first]
    fits = np.empty(len(place), bool)
    fits[order] = running - before <= free[sorted_place]
    return fits
