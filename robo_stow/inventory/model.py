"""What the ledger's parts say to each other: SKUs, drafts of bookings, rejections."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Executable

from robo_stow.inventory import schema
from robo_stow.inventory.fit import Size
from robo_stow.messages import Reply

HOUSE = "house"
"""Owner of the goods of the site's own shop."""
MOST_PIECES = 10**9
"""More pieces than this in one request are a mistake."""

Write = tuple[Executable, dict[str, Any] | list[dict[str, Any]]]


class Rejection(Exception):
    """A request that cannot be booked, with the field to blame."""

    def __init__(self, field: str, value: object, message: str) -> None:
        super().__init__(f"{field} = {value!r}: {message}")


@dataclass(frozen=True, slots=True)
class Sku:
    """What the ledger knows of a SKU."""

    id: int
    code: str
    lot: int  # the lot of the house's own pieces without a lot code
    volume: int  # mm^3
    weight: int  # g
    kept: tuple[str, str]  # temperature and hazard class, "" for none
    size: Size  # mm, the longest side first


@dataclass(frozen=True)
class Site:
    """What does not change while the site works."""

    pods: int
    faces: int
    bins_per_pod: int
    cells: int
    skus: dict[str, Sku]
    by_id: dict[int, Sku] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Level:
    """Stock of one SKU in one bin."""

    bin: int
    sku: str
    on_hand: int
    reserved: int


@dataclass(frozen=True, slots=True)
class Booking:
    """Outcome of a request: the reply, and what it changed."""

    reply: Reply
    levels: tuple[Level, ...] = ()
    usage: tuple[tuple[int, int, int], ...] = ()  # bin, change of volume (mm^3), of weight (g)
    moved: tuple[int, int] | None = None  # pod, cell


class Draft:
    """What one request is going to write."""

    __slots__ = ("levels", "moved", "movements", "reply", "usage", "writes")

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.movements: list[dict[str, Any]] = []
        self.writes: list[Write] = []
        self.levels: list[Level] = []
        self.usage: list[tuple[int, int, int]] = []
        self.moved: tuple[int, int] | None = None

    def move(self, kind: str, quantity: int, **place: Any) -> None:
        """Add a movement; ``place`` names the columns that apply."""
        self.movements.append(
            {**_EMPTY, "kind": kind, "quantity": quantity, "line": len(self.movements), **place}
        )


_EMPTY: dict[str, Any] = dict.fromkeys(
    ("lot", "pallet", "bin", "order_id", "pod", "cell", "reason")
)


def text(field: str, value: object, longest: int = schema.NAME_LENGTH) -> str:
    """``value`` if it is a name; raises `Rejection`."""
    if not isinstance(value, str) or not value or not value.isprintable():
        raise Rejection(field, value, "must be printable text")
    if len(value) > longest:
        raise Rejection(field, value, f"longer than {longest} letters")
    return value


def whole(field: str, value: object, least: int) -> int:
    """``value`` as an int if it is a whole number from ``least`` on; raises `Rejection`."""
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise Rejection(field, value, "must be a whole number") from None
    if not least <= number <= MOST_PIECES:
        raise Rejection(field, number, f"must be {least}..{MOST_PIECES}")
    return number


def entries(request: Any, *fields: str) -> list[tuple[Any, ...]]:
    """The entries of a request whose parallel tuples are ``fields``."""
    columns = [tuple(getattr(request, field)) for field in fields]
    if not columns[0]:
        raise Rejection(fields[0], (), "empty")
    for name, column in zip(fields, columns, strict=True):
        if len(column) != len(columns[0]):
            raise Rejection(name, column, f"{len(columns[0])} entries expected, as in {fields[0]}")
    return list(zip(*columns, strict=True))


def total(field: str, pieces: Iterable[int]) -> int:
    """The sum of ``pieces`` if it is one that can be; raises `Rejection`."""
    number = sum(pieces)
    if number > MOST_PIECES:
        raise Rejection(field, number, f"in all, must be at most {MOST_PIECES}")
    return number


def plain(value: Any) -> Any:
    """The content of a request in plain Python, equal however its numbers were typed."""
    if isinstance(value, (str, bool)) or value is None:
        return value
    if isinstance(value, (tuple, list)):
        return tuple(plain(item) for item in value)
    if hasattr(value, "__dataclass_fields__"):
        names = value.__dataclass_fields__
        return (type(value).__name__, *(plain(getattr(value, name)) for name in names))
    try:
        return operator.index(value)
    except TypeError:
        return float(value) if hasattr(value, "__float__") else repr(value)
