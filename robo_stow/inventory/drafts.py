"""What each request would write, or why it is rejected.

A draft first reads, under locks, all that the request is judged by, then lists the movements and
the changes of positions that follow from them. Nothing is written here, so a rejected request
leaves no trace in the transaction it shares with others.

Locks are taken in one order: pod, stock by bin and SKU, pallet, then (when written) reservations,
totes and totals by SKU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

from sqlalchemy import Row

from robo_stow.inventory import statements as sql
from robo_stow.inventory.catalogue import class_name
from robo_stow.inventory.fit import GRAM, MM3, pieces_in
from robo_stow.inventory.model import (
    MOST_PIECES,
    Draft,
    Level,
    Rejection,
    Site,
    Sku,
    entries,
    text,
    total,
    whole,
)
from robo_stow.inventory.prepared import Prepared
from robo_stow.inventory.requests import (
    REASONS,
    AdjustRequest,
    Booked,
    CountRequest,
    ReceiveLotsRequest,
    RestowRequest,
)
from robo_stow.messages import (
    CancelRequest,
    MovePodRequest,
    PickRequest,
    ReceiveRequest,
    Reply,
    ReserveRequest,
    ShipRequest,
    StowRequest,
)

SHORT_PICK, DAMAGE, MIS_STOW, COUNT = "short pick", "damage", "mis-stow", "count"
"""Reasons of adjustments that follow from what was requested."""


class Drafter:
    """Drafts bookings for a site."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._handlers: dict[type, Callable[[Prepared, Any, float], Draft]] = {
            ReceiveRequest: self._receive,
            ReserveRequest: self._reserve,
            CancelRequest: self._cancel,
            PickRequest: self._pick,
            StowRequest: self._stow,
            ShipRequest: self._ship,
            MovePodRequest: self._move_pod,
            ReceiveLotsRequest: self._receive_lots,
            AdjustRequest: self._adjust,
            RestowRequest: self._restow,
            CountRequest: self._count,
        }

    def draft(self, connection: Prepared, request: Booked, now: float) -> Draft:
        """What ``request`` would write.

        Raises:
            Rejection: it cannot be booked.
        """
        return self._handlers[type(request)](connection, request, now)

    def _receive(self, connection: Prepared, request: ReceiveRequest, now: float) -> Draft:
        pallet = text("pallet", request.pallet)
        pieces: dict[int, int] = {}
        for code, quantity in entries(request, "sku", "quantity"):
            sku = self._sku(code)
            pieces[sku.id] = pieces.get(sku.id, 0) + whole("quantity", quantity, 1)
        self._check_new(connection, pallet)
        lots = {number: self._site.by_id[number].lot for number in pieces}
        return self._received(request.key, pallet, pieces, lots, now)

    def _receive_lots(self, connection: Prepared, request: ReceiveLotsRequest, now: float) -> Draft:
        pallet = text("pallet", request.pallet)
        pieces: dict[int, int] = {}
        goods: dict[int, tuple[str, str, date | None]] = {}
        for code, quantity, owner, lot, expiry in entries(
            request, "sku", "quantity", "owner", "lot", "expiry"
        ):
            sku = self._sku(code)
            one = (text("owner", owner), lot if lot == "" else text("lot", lot), _day(expiry))
            if goods.setdefault(sku.id, one) != one:
                raise Rejection("lot", lot, f"a pallet takes one lot of {code}")
            pieces[sku.id] = pieces.get(sku.id, 0) + whole("quantity", quantity, 1)
        self._check_new(connection, pallet)
        for number, (owner, lot, day) in goods.items():
            at = {"at_sku": number, "at_owner": owner, "at_lot": lot}
            row = connection.execute(sql.LOT, at).first()
            if row is not None and row.expiry != day:
                raise Rejection("expiry", str(day or ""), f"lot {lot!r} has {row.expiry or ''}")
        # Names that come new stay even if the booking is undone by another: they move nothing.
        lots: dict[int, int] = {}
        for number in sorted(goods):
            owner, lot, day = goods[number]
            connection.execute(sql.ADD_OWNER, {"code": owner})
            new = {"sku": number, "owner": owner, "code": lot, "expiry": day}
            connection.execute(sql.ADD_LOT, new)
            at = {"at_sku": number, "at_owner": owner, "at_lot": lot}
            lots[number] = connection.execute(sql.LOT, at).one().id
        return self._received(request.key, pallet, pieces, lots, now)

    def _check_new(self, connection: Prepared, pallet: str) -> None:
        if connection.execute(sql.PALLET, {"at_pallet": pallet}).first() is not None:
            raise Rejection("pallet", pallet, "received before")

    def _received(
        self, key: str, pallet: str, pieces: dict[int, int], lots: dict[int, int], now: float
    ) -> Draft:
        received = total("quantity", pieces.values())
        draft = Draft(Reply(key, True, "", granted=(received,), left=received))
        rows, counts = [], []
        for number in sorted(pieces):
            lot, quantity = lots[number], pieces[number]
            draft.move("receive", quantity, lot=lot, pallet=pallet)
            rows.append(
                {
                    "pallet": pallet,
                    "sku": number,
                    "lot": lot,
                    "received": quantity,
                    "quantity": quantity,
                }
            )
            counts.append({"at_sku": number, "more": quantity})
        draft.writes += [
            (sql.INSERT_PALLET, {"id": pallet, "time": now}),
            (sql.INSERT_ON_PALLET, rows),
            (sql.COUNT_RECEIVED, counts),
        ]
        return draft

    def _reserve(self, connection: Prepared, request: ReserveRequest, now: float) -> Draft:
        wanted = [
            (
                text("order", order),
                self._bin(bin_),
                self._sku(code),
                whole("quantity", quantity, 1),
            )
            for order, bin_, code, quantity in entries(request, "order", "bin", "sku", "quantity")
        ]
        places = sorted({(bin_, sku.id) for _, bin_, sku, _ in wanted})
        stock = {place: self._stock(connection, *place) for place in places}
        free = {
            place: row.on_hand - row.reserved for place, row in stock.items() if row is not None
        }
        granted: list[int] = []
        held: dict[tuple[str, int, int], int] = {}
        moved: list[tuple[str, int, Sku, int]] = []
        for order, bin_, sku, quantity in wanted:
            place = (bin_, sku.id)
            given = min(quantity, free.get(place, 0))
            granted.append(given)
            if given:
                free[place] -= given
                moved.append((order, bin_, sku, given))
                one = (order, bin_, sku.id)
                held[one] = held.get(one, 0) + given
        draft = Draft(Reply(request.key, True, "", granted=tuple(granted)))
        if not moved:
            return draft
        for order, bin_, sku, given in moved:
            lot = stock[bin_, sku.id].lot  # type: ignore[union-attr]  # something was free
            draft.move("reserve", given, lot=lot, bin=bin_, order_id=order)
        draft.writes.append(
            (
                sql.RESERVE_MORE,
                [
                    {"order_id": order, "bin": bin_, "sku": number, "quantity": quantity}
                    for (order, bin_, number), quantity in held.items()
                ],
            )
        )
        for (bin_, number), level in stock.items():
            if level is not None and level.on_hand - level.reserved != free[bin_, number]:
                reserved = level.on_hand - free[bin_, number]
                self._set_stock(
                    draft, bin_, self._site.by_id[number], level, level.on_hand, reserved
                )
        return draft

    def _cancel(self, connection: Prepared, request: CancelRequest, now: float) -> Draft:
        order = text("order", request.order)
        bin_, sku = self._bin(request.bin), self._sku(request.sku)
        quantity = whole("quantity", request.quantity, 1)
        row = self._stock(connection, bin_, sku.id)
        held = self._held(connection, order, bin_, sku)
        if row is None or not held:
            raise Rejection("order", order, f"has no {sku.code} reserved in bin {bin_}")
        given = min(quantity, held)
        draft = Draft(Reply(request.key, True, "", granted=(given,)))
        self._release(draft, order, bin_, sku, row, held, given, None)
        self._set_stock(draft, bin_, sku, row, row.on_hand, row.reserved - given)
        return draft

    def _pick(self, connection: Prepared, request: PickRequest, now: float) -> Draft:
        order = text("order", request.order)
        bin_, sku = self._bin(request.bin), self._sku(request.sku)
        quantity = whole("quantity", request.quantity, 0)
        short = whole("short", request.short, 0)
        damaged = whole("damaged", request.damaged, 0)
        if damaged > short:
            raise Rejection("damaged", damaged, f"more than the {short} that are short")
        if not quantity + short:
            raise Rejection("quantity", quantity, "nothing picked and nothing short")
        row = self._stock(connection, bin_, sku.id)
        held = self._held(connection, order, bin_, sku)
        if row is None or quantity + short > held:
            raise Rejection(
                "quantity",
                quantity + short,
                f"order {order} has only {held} of {sku.code} reserved in bin {bin_}",
            )
        draft = Draft(Reply(request.key, True, "", granted=(quantity,)))
        if quantity:
            draft.move("pick", quantity, lot=row.lot, bin=bin_, order_id=order)
            draft.writes.append(
                (sql.TOTE_MORE, {"order_id": order, "lot": row.lot, "quantity": quantity})
            )
        self._release(draft, order, bin_, sku, row, held, short, SHORT_PICK, picked=quantity)
        if short > damaged:
            draft.move("adjust", damaged - short, lot=row.lot, bin=bin_, reason=SHORT_PICK)
        if damaged:
            draft.move("adjust", -damaged, lot=row.lot, bin=bin_, reason=DAMAGE)
        gone = quantity + short
        self._set_stock(draft, bin_, sku, row, row.on_hand - gone, row.reserved - gone)
        if short:
            draft.writes.append((sql.COUNT_ADJUSTED, {"at_sku": sku.id, "more": -short}))
        return draft

    def _stow(self, connection: Prepared, request: StowRequest, now: float) -> Draft:
        pallet = text("pallet", request.pallet)
        bin_, sku = self._bin(request.bin), self._sku(request.sku)
        quantity = whole("quantity", request.quantity, 1)
        self._check_fit(connection, bin_, sku, quantity)
        row = self._stock(connection, bin_, sku.id)
        at = {"at_pallet": pallet, "at_sku": sku.id}
        on_pallet = connection.execute(sql.ON_PALLET, at).first()
        if on_pallet is None or on_pallet.quantity < quantity:
            if connection.execute(sql.PALLET, at).first() is None:
                raise Rejection("pallet", pallet, "unknown pallet")
            left = 0 if on_pallet is None else on_pallet.quantity
            raise Rejection("quantity", quantity, f"pallet {pallet} has {left} of {sku.code} left")
        lot = on_pallet.lot
        _check_lot(bin_, sku, row, lot)
        left = connection.execute(sql.PALLET_LEFT, at).scalar_one() - quantity
        draft = Draft(Reply(request.key, True, "", granted=(quantity,), left=int(left)))
        draft.move("stow", quantity, lot=lot, pallet=pallet, bin=bin_)
        self._more_stock(draft, bin_, sku, lot, row, quantity)
        if on_pallet.quantity > quantity:
            rest = on_pallet.quantity - quantity
            draft.writes.append((sql.SET_ON_PALLET, {**at, "new_quantity": rest}))
        else:
            draft.writes.append((sql.END_ON_PALLET, at))
        return draft

    def _ship(self, connection: Prepared, request: ShipRequest, now: float) -> Draft:
        order = text("order", request.order)
        at = {"at_order": order}
        # Stock comes before totes in the order of locks; what is still reserved is given back.
        held = connection.execute(sql.RESERVED_FOR, at).all()
        stock = [self._stock(connection, bin_, sku) for bin_, sku, _ in held]
        rows = connection.execute(sql.TOTE, at).all()
        if not rows:
            raise Rejection("order", order, "has nothing in a tote")
        shipped = sum(int(row.quantity) for row in rows)
        draft = Draft(Reply(request.key, True, "", granted=(shipped,)))
        counts: dict[int, int] = {}
        for row in rows:
            draft.move("ship", row.quantity, lot=row.lot, order_id=order)
            counts[row.sku] = counts.get(row.sku, 0) + row.quantity
        for (bin_, number, _), level in zip(held, stock, strict=True):
            sku = self._site.by_id[number]
            quantity = self._held(connection, order, bin_, sku)
            if level is None or not quantity:
                continue  # picked or cancelled while we waited for the lock
            self._release(draft, order, bin_, sku, level, quantity, quantity, "shipped")
            self._set_stock(draft, bin_, sku, level, level.on_hand, level.reserved - quantity)
        draft.writes.append((sql.END_TOTE, at))
        draft.writes.append(
            (sql.COUNT_SHIPPED, [{"at_sku": sku, "more": counts[sku]} for sku in sorted(counts)])
        )
        return draft

    def _move_pod(self, connection: Prepared, request: MovePodRequest, now: float) -> Draft:
        pod = whole("pod", request.pod, 0)
        if pod >= self._site.pods:
            raise Rejection("pod", pod, f"unknown pod, the building has 0..{self._site.pods - 1}")
        cell = whole("cell", request.cell, 0)
        if cell >= self._site.cells:
            raise Rejection("cell", cell, f"unknown cell, the level has 0..{self._site.cells - 1}")
        draft = Draft(Reply(request.key, True, ""))
        draft.move("pod-moved", 0, pod=pod, cell=cell)
        draft.writes.append((sql.PLACE_POD, {"pod": pod, "cell": cell}))
        draft.moved = (pod, cell)
        return draft

    # --- corrections ---------------------------------------------------------------------------

    def _adjust(self, connection: Prepared, request: AdjustRequest, now: float) -> Draft:
        sku = self._sku(request.sku)
        quantity = whole("quantity", request.quantity, -MOST_PIECES)
        if not quantity:
            raise Rejection("quantity", quantity, "adjusts nothing")
        if request.reason not in REASONS:
            raise Rejection("reason", request.reason, f"must be one of {', '.join(REASONS)}")
        if (request.bin == -1) == (request.pallet == ""):
            raise Rejection("bin", request.bin, "name either a bin or a pallet")
        draft = Draft(Reply(request.key, True, "", granted=(abs(quantity),)))
        if request.pallet:
            place: dict[str, Any] = {"pallet": text("pallet", request.pallet)}
            lot = self._adjust_pallet(connection, draft, place["pallet"], sku, quantity)
        else:
            place = {"bin": self._bin(request.bin)}
            if quantity > 0:
                self._check_fit(connection, place["bin"], sku, quantity)
            row = self._stock(connection, place["bin"], sku.id)
            if quantity > 0:
                lot = sku.lot if row is None else row.lot
                self._more_stock(draft, place["bin"], sku, lot, row, quantity)
            else:
                row = _check_free(place["bin"], sku, row, -quantity)
                lot = row.lot
                self._set_stock(draft, place["bin"], sku, row, row.on_hand + quantity, row.reserved)
        draft.move("adjust", quantity, lot=lot, reason=request.reason, **place)
        draft.writes.append((sql.COUNT_ADJUSTED, {"at_sku": sku.id, "more": quantity}))
        return draft

    def _adjust_pallet(
        self, connection: Prepared, draft: Draft, pallet: str, sku: Sku, quantity: int
    ) -> int:
        """Change what is on a pallet; returns the lot."""
        if connection.execute(sql.PALLET, {"at_pallet": pallet}).first() is None:
            raise Rejection("pallet", pallet, "unknown pallet")
        at = {"at_pallet": pallet, "at_sku": sku.id}
        row = connection.execute(sql.ON_PALLET, at).first()
        if quantity > 0:
            left = int(connection.execute(sql.PALLET_LEFT, at).scalar_one())
            total("quantity", (left, quantity))
            lot = sku.lot if row is None else row.lot
            one = {"pallet": pallet, "sku": sku.id, "lot": lot}
            if row is None:
                new = {**one, "received": quantity, "quantity": quantity}
                draft.writes.append((sql.INSERT_ON_PALLET, new))
            else:
                draft.writes.append((sql.ADD_TO_PALLET, {**at, "more": quantity}))
            return lot
        if row is None or row.quantity < -quantity:
            left = 0 if row is None else row.quantity
            raise Rejection("quantity", quantity, f"pallet {pallet} has {left} of {sku.code} left")
        if row.quantity + quantity:
            new = {**at, "new_quantity": row.quantity + quantity}
            draft.writes.append((sql.SET_ON_PALLET, new))
        else:
            draft.writes.append((sql.END_ON_PALLET, at))
        return int(row.lot)

    def _restow(self, connection: Prepared, request: RestowRequest, now: float) -> Draft:
        sku, quantity = self._sku(request.sku), whole("quantity", request.quantity, 1)
        bin_, to_bin = self._bin(request.bin), self._bin(request.to_bin)
        if bin_ == to_bin:
            raise Rejection("to_bin", to_bin, "is the bin itself")
        self._check_fit(connection, to_bin, sku, quantity)
        rows = {place: self._stock(connection, place, sku.id) for place in sorted((bin_, to_bin))}
        row = _check_free(bin_, sku, rows[bin_], quantity)
        _check_lot(to_bin, sku, rows[to_bin], row.lot)
        draft = Draft(Reply(request.key, True, "", granted=(quantity,)))
        draft.move("adjust", -quantity, lot=row.lot, bin=bin_, reason=MIS_STOW)
        draft.move("adjust", quantity, lot=row.lot, bin=to_bin, reason=MIS_STOW)
        self._set_stock(draft, bin_, sku, row, row.on_hand - quantity, row.reserved)
        self._more_stock(draft, to_bin, sku, row.lot, rows[to_bin], quantity)
        return draft

    def _count(self, connection: Prepared, request: CountRequest, now: float) -> Draft:
        bin_ = self._bin(request.bin)
        counted: dict[int, int] = {}
        if request.sku or request.quantity:
            for code, quantity in entries(request, "sku", "quantity"):
                sku = self._sku(code)
                counted[sku.id] = counted.get(sku.id, 0) + whole("quantity", quantity, 0)
        total("quantity", counted.values())
        # A full bin is what it is: no check of volume and weight, but nobody may stow meanwhile.
        connection.execute(sql.LOCK_POD, {"at_pod": bin_ // self._site.bins_per_pod})
        rows = {row.sku: row for row in connection.execute(sql.STOCK_IN, {"at_bin": bin_})}
        found = missing = 0
        changes = []
        for number in sorted(rows.keys() | counted.keys()):
            sku, row = self._site.by_id[number], rows.get(number)
            change = counted.get(number, 0) - (0 if row is None else row.on_hand)
            if change < 0:
                _check_free(bin_, sku, row, -change)
            if change:
                changes.append((sku, row, change))
            found, missing = found + max(change, 0), missing + max(-change, 0)
        draft = Draft(Reply(request.key, True, "", granted=(found, missing)))
        draft.move("count", 0, bin=bin_)
        for sku, row, change in changes:
            lot = sku.lot if row is None else row.lot
            draft.move("adjust", change, lot=lot, bin=bin_, reason=COUNT)
            if row is None:
                self._more_stock(draft, bin_, sku, lot, None, change)
            else:
                self._set_stock(draft, bin_, sku, row, row.on_hand + change, row.reserved)
            draft.writes.append((sql.COUNT_ADJUSTED, {"at_sku": sku.id, "more": change}))
        return draft

    # --- parts of bookings ---------------------------------------------------------------------

    def _check_fit(self, connection: Prepared, bin_: int, sku: Sku, quantity: int) -> None:
        """Lock the bin's pod and reject what would overfill the bin or the pod."""
        pod = bin_ // self._site.bins_per_pod
        at = {"at_bin": bin_, "at_sku": sku.id}
        shelf = connection.execute(sql.BIN_AND_SKU, at).one()
        kept = (shelf.temperature, shelf.hazard)
        of_sku = (shelf.sku_temperature, shelf.sku_hazard)
        if kept != of_sku:
            reason = f"{sku.code} is {class_name(of_sku)}, pod {pod} is for {class_name(kept)}"
            raise Rejection("bin", bin_, reason)
        volume, box = shelf.volume, (shelf.width, shelf.depth, shelf.height)
        first = pod * self._site.bins_per_pod
        used_volume, used_weight, pod_weight, alike = connection.execute(
            sql.USED,
            {
                "at_bin": bin_,
                "at_sku": sku.id,
                "first_bin": first,
                "last_bin": first + self._site.bins_per_pod - 1,
            },
        ).one()
        most = pieces_in(sku.size, box)
        if alike + quantity > most:
            raise Rejection(
                "bin",
                bin_,
                f"of {sku.code}, {_millimetres(sku.size)}, the bin, {_millimetres(box)}, takes "
                f"{most} pieces and holds {alike}",
            )
        if used_volume + quantity * sku.volume > volume:
            raise Rejection(
                "bin",
                bin_,
                f"{quantity} of {sku.code} need {quantity * sku.volume * MM3 * 1e3:.3f} litres, "
                f"free are {(volume - int(used_volume)) * MM3 * 1e3:.3f}",
            )
        weight = quantity * sku.weight
        for name, number, spare in (
            ("bin", bin_, shelf.limit - used_weight),
            ("pod", pod, shelf.capacity - pod_weight),
        ):
            if weight > spare:
                raise Rejection(
                    name,
                    number,
                    f"{quantity} of {sku.code} weigh {weight * GRAM:.3f} kg, "
                    f"it can bear {int(spare) * GRAM:.3f} more",
                )

    def _stock(self, connection: Prepared, bin_: int, sku: int) -> Row[Any] | None:
        """Lot, pieces on hand and reserved of a SKU in a bin, locked until the commit."""
        return connection.execute(sql.STOCK, {"at_bin": bin_, "at_sku": sku}).first()

    def _held(self, connection: Prepared, order: str, bin_: int, sku: Sku) -> int:
        """Pieces reserved for an order; read after the lock on the stock."""
        at = {"at_order": order, "at_bin": bin_, "at_sku": sku.id}
        return int(connection.execute(sql.RESERVED, at).scalar() or 0)

    def _release(
        self,
        draft: Draft,
        order: str,
        bin_: int,
        sku: Sku,
        row: Row[Any],
        held: int,
        quantity: int,
        reason: str | None,
        picked: int = 0,
    ) -> None:
        """End ``quantity`` pieces of a reservation, and the ``picked`` ones it was for."""
        if quantity:
            draft.move("release", quantity, lot=row.lot, bin=bin_, order_id=order, reason=reason)
        at = {"at_order": order, "at_bin": bin_, "at_sku": sku.id}
        left = held - quantity - picked
        if left:
            draft.writes.append((sql.SET_RESERVATION, {**at, "new_quantity": left}))
        else:
            draft.writes.append((sql.END_RESERVATION, at))

    def _more_stock(
        self, draft: Draft, bin_: int, sku: Sku, lot: int, row: Row[Any] | None, quantity: int
    ) -> None:
        """Add pieces to a stock row, which may have to be made."""
        if row is not None:
            self._set_stock(draft, bin_, sku, row, row.on_hand + quantity, row.reserved)
            return
        new = {"bin": bin_, "sku": sku.id, "lot": lot, "on_hand": quantity, "reserved": 0}
        draft.writes.append((sql.ADD_STOCK, new))
        self._note(draft, bin_, sku, quantity, quantity, 0)

    def _set_stock(
        self, draft: Draft, bin_: int, sku: Sku, row: Row[Any], on_hand: int, reserved: int
    ) -> None:
        """Give a stock row new values."""
        at = {"at_bin": bin_, "at_sku": sku.id}
        if on_hand:
            new = {"new_on_hand": on_hand, "new_reserved": reserved}
            draft.writes.append((sql.SET_STOCK, {**at, **new}))
        else:
            draft.writes.append((sql.END_STOCK, at))
        self._note(draft, bin_, sku, on_hand - row.on_hand, on_hand, reserved)

    def _note(
        self, draft: Draft, bin_: int, sku: Sku, change: int, on_hand: int, reserved: int
    ) -> None:
        """Remember what to tell the others."""
        draft.levels.append(Level(bin_, sku.code, on_hand, reserved))
        if change:
            draft.usage.append((bin_, change * sku.volume, change * sku.weight))

    def _sku(self, code: object) -> Sku:
        sku = self._site.skus.get(code) if isinstance(code, str) else None
        if sku is None:
            raise Rejection("sku", code, "unknown SKU")
        return sku

    def _bin(self, value: object) -> int:
        bin_ = whole("bin", value, 0)
        last = self._site.pods * self._site.bins_per_pod - 1
        if bin_ > last:
            raise Rejection("bin", bin_, f"unknown bin, the building has 0..{last}")
        return bin_


def _check_free(bin_: int, sku: Sku, row: Row[Any] | None, quantity: int) -> Row[Any]:
    """The stock row if so many pieces can go that no order has reserved."""
    if row is None or row.on_hand - row.reserved < quantity:
        on_hand, reserved = (0, 0) if row is None else (row.on_hand, row.reserved)
        raise Rejection(
            "quantity",
            quantity,
            f"bin {bin_} has {on_hand} of {sku.code}, {reserved} of them reserved; "
            "book short picks or cancel first",
        )
    return row


def _check_lot(bin_: int, sku: Sku, row: Row[Any] | None, lot: int) -> None:
    """A bin holds one lot of a SKU."""
    if row is not None and row.lot != lot:
        raise Rejection("bin", bin_, f"holds another lot of {sku.code}")


def _millimetres(size: Sequence[int]) -> str:
    return " x ".join(map(str, size)) + " mm"


def _day(value: object) -> date | None:
    if value == "":
        return None
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        raise Rejection("expiry", value, "must be a date such as 2027-01-31, or empty") from None
