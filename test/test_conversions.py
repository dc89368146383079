"""Records survive the wire; what breaks a record's contract does not get in."""

from __future__ import annotations

import dataclasses
import math
import typing
from enum import IntEnum
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_stow import messages as records
from robo_stow.errors import InputError
from robo_stow.floor.load import load_building
from robo_stow.inventory import requests

pytest.importorskip("robo_stow_interfaces", reason="needs the built workspace")

from rclpy.serialization import deserialize_message, serialize_message
from robo_stow_interfaces import msg, srv
from robo_stow_nodes import topics
from robo_stow_nodes.conversions import (
    COMMANDS,
    MESSAGES,
    SERVICES,
    Codec,
    Converter,
    UnitStateCodec,
)

CODES = {
    "heading": st.sampled_from(list(records.Heading)),
    "load": st.sampled_from(list(records.Load)),
    "status": st.sampled_from(list(records.UnitStatus)),
    "action": st.sampled_from([0, 1, 2, 4, 5, 6, 8, 9, 10, 11]),
    "operation": st.sampled_from([3, 4, 5, 6, 8, 9, 10, 11]),
    "hold": st.sampled_from([0, 1]),
    "occupied": st.sampled_from([0, 1]),
    "result": st.sampled_from(list(records.ErrandResult)),
}
TEXT = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=8)
STAMPS = st.integers(0, 10**6 * 10**9).map(lambda ns: ns * 1e-9)


def _item(name: str, kind: Any) -> st.SearchStrategy[Any]:
    if kind is str:
        return TEXT
    if kind is float:
        return st.floats(allow_nan=False, allow_infinity=False)
    if kind is bool:
        return st.booleans()
    if isinstance(kind, type) and issubclass(kind, IntEnum):
        return st.sampled_from(list(kind))
    if kind is np.uint8:
        return CODES[name]
    if kind is np.float32:
        return st.floats(width=32, allow_nan=False, allow_infinity=False)
    low, high = (0, 2**32 - 1) if kind is np.uint32 else (0, 2**31 - 1)
    return st.integers(low, high)


@st.composite
def some(draw: st.DrawFn, record: type) -> Any:
    """Any record of a type that keeps its contract."""
    length = draw(st.integers(0, 5))
    actions: int | None = None
    values: dict[str, Any] = {}
    for name, hint in typing.get_type_hints(record).items():
        origin, args = typing.get_origin(hint), typing.get_args(hint)
        size = length
        if name == "joint":
            size = 6
        elif actions is not None and name in ("action", "cell"):
            size = actions
        if name == "stamp":
            values[name] = draw(STAMPS)
        elif origin is np.ndarray:
            dtype = typing.get_args(args[1])[0]
            item = st.integers(0, 3) if name == "count" else _item(name, dtype)
            values[name] = np.array(draw(st.lists(item, min_size=size, max_size=size)), dtype)
            if name == "count":
                actions = int(values[name].sum())
        elif origin is tuple:
            values[name] = tuple(draw(st.lists(_item(name, args[0]), min_size=size, max_size=size)))
        else:
            values[name] = draw(_item(name, hint))
    return record(**values)


def same(left: Any, right: Any) -> bool:
    """Equal field by field; stamps to the nanosecond."""
    for field in dataclasses.fields(left):
        a, b = getattr(left, field.name), getattr(right, field.name)
        if isinstance(a, np.ndarray):
            if a.dtype != b.dtype or not np.array_equal(a, b):
                return False
        elif field.name == "stamp":
            if not math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-9):
                return False
        elif a != b or type(a) is not type(b):
            return False
    return True


def over_the_wire(codec: Codec, record: Any) -> Any:
    message = codec.encode(record)
    return codec.decode(deserialize_message(serialize_message(message), codec.message))


CODECS = [
    *(Converter().codec(record) for record in MESSAGES),
    *(Converter().request(record) for record in SERVICES),
    *(Converter().reply(record) for record in SERVICES),
    *(Converter().command(record) for record in COMMANDS),
    *(Converter().confirmation(record) for record in COMMANDS),
    Converter().lift_goal(),
    Converter().lift_result(),
]


@pytest.mark.parametrize("codec", CODECS, ids=lambda c: f"{c.record.__name__}-{c.message.__name__}")
def test_every_record_survives_the_wire(codec: Codec) -> None:
    @settings(max_examples=25, deadline=None)
    @given(some(codec.record))
    def check(record: Any) -> None:
        assert same(record, over_the_wire(codec, record))

    check()


def test_every_record_has_a_way() -> None:
    ways = set(topics.TOPICS) | set(topics.SERVICES) | set(topics.COMMANDS)
    ways |= {records.LiftRequest, records.Reply}
    asked = {*typing.get_args(requests.Booked), *typing.get_args(requests.Question)}
    assert ways == set(typing.get_args(records.Message)) | asked
    assert set(topics.TOPICS) == set(MESSAGES)
    assert set(topics.SERVICES) == set(SERVICES)
    assert set(topics.COMMANDS) == set(COMMANDS)


@settings(max_examples=25, deadline=None)
@given(some(records.FleetState).filter(lambda state: len(state.unit) > 0))
def test_a_unit_says_of_itself_what_the_fleet_says(state: Any) -> None:
    alone = {
        field.name: getattr(state, field.name)[:1]
        for field in dataclasses.fields(state)
        if field.name != "stamp"
    }
    one = records.FleetState(stamp=state.stamp, **alone)
    message = UnitStateCodec().encode(one)
    wired = deserialize_message(serialize_message(message), msg.UnitState)
    assert same(one, UnitStateCodec().decode(wired))


# -- what is refused ------------------------------------------------------------------------------

BUILDING = load_building("demo")


def fleet(count: int = 3) -> Any:
    """A sound message about ``count`` units."""
    message = msg.FleetState(unit=list(range(count)))
    for name in message.get_fields_and_field_types():
        if name not in ("stamp", "unit"):
            setattr(message, name, [0] * count if "float" not in name else [0.0] * count)
    for name in ("x", "y", "yaw", "speed", "battery"):
        setattr(message, name, [0.5] * count)
    return message


BROKEN_FLEET = [
    ("unit", [0, 1], "arrays of one length"),
    ("x", [], "arrays of one length"),
    ("load", [0, 3, 0], "one of 0, 1, 2"),
    ("heading", [4, 0, 0], "one of 0, 1, 2, 3"),
    ("status", [0, 0, 200], "one of"),
    ("unit", [0, 1, BUILDING.units], "expected"),
    ("unit", [-1, 1, 2], "expected"),
    ("cell", [0, BUILDING.grid.cells, 0], "expected"),
    ("load_id", [0, -2, 0], "-1 to"),
    ("battery", [0.5, math.nan, 0.5], "finite"),
    ("x", [0.5, math.inf, 0.5], "finite"),
]


@pytest.mark.parametrize(("field", "value", "expected"), BROKEN_FLEET)
def test_a_broken_fleet_state_is_refused(field: str, value: Any, expected: str) -> None:
    codec = Converter(BUILDING).codec(records.FleetState)
    message = fleet()
    assert isinstance(codec.decode(message), records.FleetState)
    setattr(message, field, value)
    with pytest.raises(InputError, match=expected) as caught:
        codec.decode(message)
    assert caught.value.source == "FleetState"
    assert field in caught.value.field


def test_a_release_must_add_up() -> None:
    codec = Converter(BUILDING).codec(records.Release)
    fields = {"unit": [0], "first": [0], "origin": [5], "count": [2], "action": [0, 0]}
    assert codec.decode(msg.Release(**fields, cell=[6, 7])).count.tolist() == [2]
    for broken in (
        {"count": [3]},
        {"count": [-2]},
        {"action": [0, 3]},  # WAIT is never released
        {"action": [0, 12]},
        {"first": []},
    ):
        with pytest.raises(InputError):
            codec.decode(msg.Release(**{**fields, **broken}, cell=[6, 7]))


def test_a_broken_request_is_refused() -> None:
    converter = Converter(BUILDING)
    with pytest.raises(InputError, match="one length"):
        converter.request(records.ReserveRequest).decode(srv.Reserve.Request(key="k", bin=[1]))
    with pytest.raises(InputError, match="expected"):
        converter.request(records.ProposeRequest).decode(srv.Propose.Request(key="k", face=4))
    with pytest.raises(InputError, match="unknown code"):
        converter.codec(records.Scan).decode(msg.Scan(result=9))


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["unit", "cell", "load", "status", "heading", "x", "load_id"]),
        st.lists(st.integers(0, 255), max_size=4),
    )
)
def test_whatever_comes_in_is_a_record_or_an_input_error(changes: dict[str, list[int]]) -> None:
    codec = Converter(BUILDING).codec(records.FleetState)
    message = fleet()
    for name, values in changes.items():
        setattr(message, name, [float(v) for v in values] if name == "x" else values)
    try:
        state = codec.decode(message)
    except InputError:
        return
    sizes = {len(getattr(state, f.name)) for f in dataclasses.fields(state) if f.name != "stamp"}
    assert len(sizes) == 1
    assert ((state.unit >= 0) & (state.unit < BUILDING.units)).all()
