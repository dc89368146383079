"""Records to ROS messages and back, by field name.

A codec is worked out once a type; after that a conversion is a loop over its fields. Arrays pass by
buffer: `numpy.ndarray` to `array.array` with one copy, back with none.

What comes in over the wire is checked here, so that no core ever sees parallel arrays of different
lengths, an unknown code, an index outside the building, or a number that is none.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from array import array
from collections.abc import Callable
from enum import IntEnum
from functools import cache
from typing import Any, TypeVar

import numpy as np
from robo_stow_interfaces import action, msg, srv

from robo_stow import messages as records
from robo_stow.errors import InputError
from robo_stow.floor.building import Building
from robo_stow.inventory import requests

R = TypeVar("R")

RENAMED = {"short": "missing"}
"""Record fields whose names are keywords of the interface language."""

MESSAGES: dict[type, type] = {
    record: getattr(msg, record.__name__)
    for record in (
        records.FleetState,
        records.Release,
        records.Errands,
        records.ErrandReports,
        records.PodPlaces,
        records.PodRegister,
        records.KeepOuts,
        records.Alarm,
        records.PalletArrived,
        records.LiftResult,
        records.LifterCommand,
        records.LifterFeedback,
        records.LifterState,
        records.OrderArrived,
        records.PickVisit,
        records.StowVisit,
        records.VisitDone,
        records.Instruct,
        records.Scan,
        records.Put,
        records.ToteReady,
        records.TotePacked,
        records.OrderShipped,
        records.StockLevels,
        records.PodSpace,
    )
}
"""Records that travel on topics, and their message types."""

SERVICES: dict[type, type] = {
    records.ReceiveRequest: srv.Receive,
    records.ReserveRequest: srv.Reserve,
    records.CancelRequest: srv.Cancel,
    records.PickRequest: srv.Pick,
    records.ProposeRequest: srv.Propose,
    records.StowRequest: srv.Stow,
    records.ShipRequest: srv.Ship,
    records.MovePodRequest: srv.MovePod,
    requests.ReceiveLotsRequest: srv.ReceiveLots,
    requests.AdjustRequest: srv.Adjust,
    requests.RestowRequest: srv.Restow,
    requests.CountRequest: srv.Count,
    requests.FindRequest: srv.Find,
    requests.AuditRequest: srv.Audit,
}
"""Requests and questions to the inventory, and their service types."""

COMMANDS: dict[type, type] = {records.ZoneCommand: srv.Zone, records.UnitReset: srv.ResetUnit}
"""Commands of people to the traffic manager, and their service types."""

ANSWERS: dict[type, type] = {
    requests.FindRequest: requests.FindReply,
    requests.AuditRequest: requests.AuditReply,
}
"""Responses to questions; to requests it is `Reply`."""

_FACES = tuple(records.Action.FACE + k for k in range(4))
_RELEASED = tuple(code for code in records.Action if code not in (records.Action.WAIT, 8))
_CODES: dict[tuple[type, str], tuple[int, ...]] = {
    (records.FleetState, "heading"): tuple(records.Heading),
    (records.FleetState, "load"): tuple(records.Load),
    (records.FleetState, "status"): tuple(records.UnitStatus),
    (records.Release, "action"): _RELEASED + _FACES,
    (records.Errands, "operation"): tuple(c for c in records.Operation if c != 8) + _FACES,
    (records.Errands, "hold"): (0, 1),
    (records.ErrandReports, "result"): tuple(records.ErrandResult),
    (records.KeepOuts, "occupied"): (0, 1),
}

_LENGTHS: dict[type, tuple[tuple[str, ...], ...]] = {
    records.Release: (("unit", "first", "origin", "count"), ("action", "cell")),
    records.KeepOuts: (("zone", "occupied", "count"),),
    records.Reply: (("bin", "sku", "quantity"),),
}
"""Fields of one length each, where it is not all the sequences of the record."""

_COUNTED = {records.Release: "action", records.KeepOuts: "cell"}
"""Field of which ``count`` says how much belongs to each entry."""

_UNASSIGNED = {
    (records.LifterState, "unit"),
    (records.PodPlaces, "cell"),
    (records.FleetState, "load_id"),
    (requests.AdjustRequest, "bin"),
    *((requests.FindReply, name) for name in ("bin", "pod", "face", "cell")),
}
"""Indices that may be -1."""

_OPEN_ENDED = {(records.Errands, "due")}
"""Times that may be infinite."""

_BOUNDED_AS = {"goal": "cell", "origin": "cell", "load_id": "pod", "to_bin": "bin"}


@dataclasses.dataclass(frozen=True)
class Limits:
    """Sizes of a building; an index outside is refused.

    Fields are called as the record fields they bound.
    """

    unit: int
    pod: int
    cell: int
    bin: int
    face: int

    @classmethod
    def of(cls, building: Building) -> Limits:
        """Sizes of ``building``."""
        return cls(
            unit=building.units,
            pod=building.pods,
            cell=building.grid.cells,
            bin=building.pods * building.pod.bins,
            face=building.pod.faces,
        )

    def bound(self, field: str) -> int | None:
        """One more than the largest index allowed in ``field``; None when it holds no index."""
        field = _BOUNDED_AS.get(field, field)
        return getattr(self, field, None)


Check = Callable[[Any], str]
"""Says what would have been right, or nothing when the value is fine."""


@dataclasses.dataclass(frozen=True)
class _Field:
    name: str  # in the record
    wire: str  # in the message
    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]
    checks: tuple[Check, ...]


class Codec:
    """Converts one record type to one message class and back.

    Args:
        record: dataclass of `robo_stow.messages`.
        message: generated ROS class with the same fields.
        limits: bounds of indices in incoming messages; None leaves them unchecked.

    Raises:
        TypeError: the message's fields are not those of the record.
    """

    def __init__(self, record: type[R], message: type, limits: Limits | None = None) -> None:
        hints = typing.get_type_hints(record)
        wire = {RENAMED.get(name, name): name for name in hints}
        slots = message.get_fields_and_field_types()  # type: ignore[attr-defined]
        if set(wire) != set(slots):
            raise TypeError(
                f"{message.__name__} and {record.__name__} differ in "
                f"{', '.join(sorted(set(wire) ^ set(slots)))}"
            )
        self.record = record
        self.message = message
        self._name = record.__name__
        self._stamped = "stamp" in hints
        self._fields = tuple(
            _field(record, name, hint, slots[RENAMED.get(name, name)], limits)
            for name, hint in hints.items()
            if name != "stamp"
        )
        sequences = tuple(name for name, hint in hints.items() if _is_sequence(hint))
        groups = _LENGTHS.get(record, (sequences,))
        self._groups = tuple(group for group in groups if len(group) > 1)

    def encode(self, record: Any) -> Any:
        """The message that says ``record``."""
        message = self.message()
        if self._stamped:
            time = message.stamp
            time.sec, time.nanosec = divmod(round(record.stamp * 1e9), 1_000_000_000)
        for field in self._fields:
            setattr(message, field.wire, field.encode(getattr(record, field.name)))
        return message

    def decode(self, message: Any) -> Any:
        """The record that ``message`` says.

        Raises:
            InputError: the message breaks the contract of its type.
        """
        values: dict[str, Any] = {}
        if self._stamped:
            values["stamp"] = message.stamp.sec + message.stamp.nanosec * 1e-9
        for field in self._fields:
            raw = getattr(message, field.wire)
            try:
                value = field.decode(raw)
            except ValueError:
                raise InputError(self._name, field.wire, raw, "unknown code") from None
            for check in field.checks:
                wrong = check(value)
                if wrong:
                    raise InputError(self._name, field.wire, _brief(value), wrong)
            values[field.name] = value
        for group in self._groups:
            lengths = [len(values[name]) for name in group]
            if lengths.count(lengths[0]) != len(lengths):
                raise InputError(
                    self._name, ", ".join(group), lengths, "arrays of one length expected"
                )
        counted = _COUNTED.get(self.record)
        if counted is not None:
            total = int(values["count"].sum(dtype=np.int64))
            if total != len(values[counted]):
                raise InputError(self._name, "count", total, f"{counted}: {len(values[counted])}")
        return self.record(**values)


class Converter:
    """Codecs of all topics, services and actions of a building."""

    def __init__(self, building: Building | None = None) -> None:
        self._limits = None if building is None else Limits.of(building)
        self._codecs: dict[tuple[type, type], Codec] = {}

    def codec(self, record: type, message: type | None = None) -> Codec:
        """The codec of ``record``, by default with its own message type."""
        message = MESSAGES[record] if message is None else message
        key = (record, message)
        if key not in self._codecs:
            self._codecs[key] = Codec(record, message, self._limits)
        return self._codecs[key]

    def request(self, record: type) -> Codec:
        """The codec of a request's service request."""
        return self.codec(record, SERVICES[record].Request)  # type: ignore[attr-defined]

    def reply(self, record: type) -> Codec:
        """The codec of the response to request or question type ``record``."""
        return self.codec(ANSWERS.get(record, records.Reply), SERVICES[record].Response)  # type: ignore[attr-defined]

    def command(self, record: type) -> Codec:
        """The codec of a person's command."""
        return self.codec(record, COMMANDS[record].Request)  # type: ignore[attr-defined]

    def confirmation(self, record: type) -> Codec:
        """The codec of the answer to command type ``record``."""
        return self.codec(records.Confirmation, COMMANDS[record].Response)  # type: ignore[attr-defined]

    def lift_goal(self) -> Codec:
        """The codec of `LiftRequest` as a goal."""
        return self.codec(records.LiftRequest, action.Lift.Goal)

    def lift_result(self) -> Codec:
        """The codec of `LiftResult` as a result."""
        return self.codec(records.LiftResult, action.Lift.Result)


class UnitStateCodec:
    """One unit's `FleetState` (k = 1) as a `UnitState` message, and back."""

    def __init__(self, building: Building | None = None) -> None:
        self._codec = Converter(building).codec(records.FleetState)
        names = msg.FleetState.get_fields_and_field_types()
        self._arrays = tuple(name for name in names if name != "stamp")

    def encode(self, state: records.FleetState) -> msg.UnitState:
        """The message of a state that lists one unit."""
        message = msg.UnitState()
        time = message.stamp
        time.sec, time.nanosec = divmod(round(state.stamp * 1e9), 1_000_000_000)
        for name in self._arrays:
            setattr(message, name, getattr(state, name)[0].item())
        return message

    def decode(self, message: msg.UnitState) -> records.FleetState:
        """The state of one unit.

        Raises:
            InputError: as for a `FleetState` message.
        """
        fleet = msg.FleetState(stamp=message.stamp)
        for name in self._arrays:
            setattr(fleet, name, [getattr(message, name)])
        state: records.FleetState = self._codec.decode(fleet)
        return state


_TYPECODES = {"uint8": "B", "uint32": "I", "int32": "i", "float32": "f", "float64": "d"}


def _field(record: type, name: str, hint: Any, wire_type: str, limits: Limits | None) -> _Field:
    """How one field travels; ``wire_type`` is its type in the message."""
    encode, decode = _travel(hint, wire_type)
    checks: list[Check] = []
    codes = _CODES.get((record, name))
    if codes is not None:
        checks.append(_known(codes))
    bound = None if limits is None else limits.bound(name)
    # LiftPhase and ScanResult have no index; bounded fields are all plain integers.
    if bound is not None:
        lowest = -1 if (record, name) in _UNASSIGNED else 0
        checks.append(_within(lowest, bound, _is_sequence(hint)))
    if record in _COUNTED and name == "count":
        checks.append(_within(0, 2**31, True))
    if (record, name) in _OPEN_ENDED:
        checks.append(_no_nan)
    elif _holds(hint, float):
        checks.append(_finite if _is_sequence(hint) else _finite_scalar)
    return _Field(name, RENAMED.get(name, name), encode, decode, tuple(checks))


def _travel(hint: Any, wire_type: str) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Encoder and decoder of a field."""
    if typing.get_origin(hint) is np.ndarray:
        dtype = typing.get_args(typing.get_args(hint)[1])[0]
        code = _TYPECODES[np.dtype(dtype).name]
        return lambda value: array(code, np.asarray(value, dtype).tobytes()), np.asarray
    if typing.get_origin(hint) is tuple:
        item = typing.get_args(hint)[0]
        if item is str:
            return list, tuple
        if "[6]" in wire_type:
            return lambda value: np.asarray(value, np.float64), lambda value: tuple(value.tolist())
        code = "i" if item is int else "d"
        return lambda value: array(code, value), tuple
    if isinstance(hint, type) and issubclass(hint, IntEnum):
        return int, hint
    return hint, hint


@cache
def _is_sequence(hint: Any) -> bool:
    return typing.get_origin(hint) in (np.ndarray, tuple)


def _holds(hint: Any, kind: type) -> bool:
    if typing.get_origin(hint) is np.ndarray:
        dtype = typing.get_args(typing.get_args(hint)[1])[0]
        return kind is float and np.issubdtype(dtype, np.floating)
    return kind in (typing.get_args(hint) or (hint,))


def _known(codes: tuple[int, ...]) -> Check:
    allowed = np.zeros(256, bool)
    allowed[list(codes)] = True
    wanted = f"one of {', '.join(str(int(code)) for code in sorted(codes))} expected"
    return lambda value: "" if allowed[value].all() else wanted


def _within(lowest: int, bound: int, sequence: bool) -> Check:
    wanted = f"{lowest} to {bound - 1} expected"
    if not sequence:
        return lambda value: "" if lowest <= value < bound else wanted

    def check(value: Any) -> str:
        indices = np.asarray(value, np.int32)
        if not len(indices):
            return ""
        return "" if indices.min() >= lowest and indices.max() < bound else wanted

    return check


def _finite(value: Any) -> str:
    return "" if np.isfinite(value).all() else "finite numbers expected"


def _no_nan(value: Any) -> str:
    return "numbers expected" if np.isnan(value).any() else ""


def _finite_scalar(value: float) -> str:
    return "" if math.isfinite(value) else "a finite number expected"


def _brief(value: Any) -> str:
    """A value for an error message: sequences by their first elements."""
    if isinstance(value, (np.ndarray, tuple)):
        shown = ", ".join(str(item) for item in list(value[:8]))
        return f"[{shown}{', ...' if len(value) > 8 else ''}]"
    return str(value)
