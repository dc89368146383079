"""What people ask of the ledger, beside the work of the stations.

Requests that put it right are booked like those of `robo_stow.messages`: an idempotency key each,
one reply. Corrections never take pieces that are reserved for an order: whoever finds those missing
books a short pick or cancels the reservation first, so that the order hears of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from robo_stow.messages import Request

REASONS = ("damage", "expired", "found", "missing", "receipt", "return")
"""Why stock may be adjusted by hand; short picks, mis-stows and counts name themselves."""


@dataclass(frozen=True, slots=True)
class ReceiveLotsRequest:
    """Book a pallet whose goods have owners and lots; entry by entry.

    Several lots of one SKU need several pallets.
    """

    key: str
    pallet: str
    sku: tuple[str, ...]
    quantity: tuple[int, ...]
    owner: tuple[str, ...]  # "house" for the shop's own goods
    lot: tuple[str, ...]  # "" for none
    expiry: tuple[str, ...]  # ISO 8601 date, "" for none


@dataclass(frozen=True, slots=True)
class AdjustRequest:
    """Pieces turned up (quantity > 0) or are gone (quantity < 0), in a bin or on a pallet."""

    key: str
    sku: str
    quantity: int
    reason: str  # one of REASONS
    bin: int = -1
    pallet: str = ""


@dataclass(frozen=True, slots=True)
class RestowRequest:
    """Pieces booked in ``bin`` were found in ``to_bin``, or moved there: a mis-stow put right."""

    key: str
    sku: str
    quantity: int
    bin: int
    to_bin: int


@dataclass(frozen=True, slots=True)
class CountRequest:
    """Somebody counted all that is in a bin; what is not named is not there.

    The reply's ``granted`` are the pieces found and the pieces missing.
    """

    key: str
    bin: int
    sku: tuple[str, ...]
    quantity: tuple[int, ...]


Booked = Request | ReceiveLotsRequest | AdjustRequest | RestowRequest | CountRequest
"""All that the ledger books."""


@dataclass(frozen=True, slots=True)
class FindRequest:
    """Where are the pieces of a SKU?"""

    sku: str


@dataclass(frozen=True, slots=True)
class FindReply:
    """Every place that holds pieces of the SKU; texts are empty and numbers -1 where none apply."""

    ok: bool
    reason: str  # why not
    place: tuple[str, ...] = ()  # bin, pallet or tote
    owner: tuple[str, ...] = ()
    lot: tuple[str, ...] = ()
    expiry: tuple[str, ...] = ()  # ISO 8601 date
    bin: tuple[int, ...] = ()
    pod: tuple[int, ...] = ()
    face: tuple[int, ...] = ()
    slot: tuple[int, ...] = ()  # 0 is the lowest
    cell: tuple[int, ...] = ()  # where the pod was last set down
    pallet: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    pieces: tuple[int, ...] = ()
    reserved: tuple[int, ...] = ()  # of the pieces


@dataclass(frozen=True, slots=True)
class AuditRequest:
    """Is the ledger right? Its totals alone are quick, all of it means to read every movement."""

    totals_only: bool = False


@dataclass(frozen=True, slots=True)
class AuditReply:
    """What `robo_stow.inventory.audit` found; ``ok`` when it is nothing."""

    ok: bool
    reason: str
    finding: tuple[str, ...] = ()


Question = FindRequest | AuditRequest
"""Asked without a key, as nothing is booked."""
Answer = FindReply | AuditReply
