"""Stations: the interlock, and that nothing is reported done that the ledger has not booked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from robo_stow.floor.building import Building
from robo_stow.floor.load import load_building
from robo_stow.fulfilment.stations import PickStationCore, StowStationCore
from robo_stow.messages import (
    FleetState,
    Instruct,
    Load,
    Message,
    PickRequest,
    PickVisit,
    ProposeRequest,
    Reply,
    Scan,
    ScanResult,
    StowRequest,
    StowVisit,
    VisitDone,
)

POD = 7


@pytest.fixture(scope="module")
def building() -> Building:
    return load_building("demo", units=3)


def fleet(building: Building, **changed: dict[int, float]) -> FleetState:
    """Three units: 0 and 1 somewhere, 2 with a pallet at the stow station."""
    n = building.units
    arrays = {
        "cell": np.array([1, 2, stow(building).station.pallet_cell], np.int32),
        "speed": np.zeros(n, np.float32),
        "load": np.array([Load.POD, Load.NONE, Load.PALLET], np.uint8),
        "load_id": np.array([POD, -1, -1], np.int32),
    }
    for name, values in changed.items():
        for unit, value in values.items():
            arrays[name][unit] = value
    zero32, zero = np.zeros(n, np.uint32), np.zeros(n, np.float32)
    return FleetState(
        0.0, np.arange(n, dtype=np.int32), zero32, zero32, zero32, arrays["cell"],
        np.zeros(n, np.uint8), zero, zero, zero, arrays["speed"], arrays["load"],
        arrays["load_id"], np.ones(n, np.float32), np.zeros(n, np.uint8),
    )  # fmt: skip


def pick(building: Building) -> PickStationCore:
    return PickStationCore(building, next(s for s in building.stations if s.kind == "pick"))


def stow(building: Building) -> StowStationCore:
    return StowStationCore(building, next(s for s in building.stations if s.kind == "stow"))


def in_place(building: Building, core: PickStationCore | StowStationCore) -> FleetState:
    return fleet(building, cell={0: core.station.cell})


def pick_visit(core: PickStationCore, number: int = 1) -> PickVisit:
    return PickVisit(
        0.0, core.station.id, number, 0, POD, 2, ("a", "b"), (170, 171), ("X", "Y"), (2, 3)
    )


def stow_visit(core: StowStationCore) -> StowVisit:
    return StowVisit(0.0, core.station.id, 1, 0, POD, 2, "p1")


def only(messages: list[Message], kind: type) -> list[Message]:
    return [m for m in messages if isinstance(m, kind)]


def scan(core: PickStationCore | StowStationCore, work: Instruct, quantity: int) -> Scan:
    result = ScanResult.OK if quantity == work.quantity else ScanResult.SHORT
    return Scan(0.0, core.station.id, work.work, result, quantity)


@pytest.mark.parametrize(
    "change",
    [
        {"cell": {0: 5}},
        {"speed": {0: 0.1}},
        {"load_id": {0: POD + 1}},
        {"load": {0: Load.NONE}},
    ],
)
def test_nobody_reaches_in_unless_the_pod_stands_in_place(
    building: Building, change: dict[str, dict[int, float]]
) -> None:
    for core, visit in (
        (c := pick(building), pick_visit(c)),
        (d := stow(building), stow_visit(d)),
    ):
        wrong = fleet(building, **{"cell": {0: core.station.cell}, **change})
        proposal = Reply(f"{core.station.id}/1/p", True, "", (), (170,), ("X",), (2,), 2)
        said = core.step(0.0, [visit, wrong, proposal])
        for tick in range(1, 20):
            said += core.step(tick / 10, [wrong])
        assert not only(said, Instruct)
        said = core.step(3.0, [in_place(building, core)])
        assert only(said, Instruct)


def test_a_pallet_must_stand_beside_the_stower(building: Building) -> None:
    core = stow(building)
    proposal = Reply(f"{core.station.id}/1/p", True, "", (), (170,), ("X",), (2,), 2)
    core.step(0.0, [stow_visit(core), proposal])
    away = fleet(building, cell={0: core.station.cell, 2: 3})
    assert not only(core.step(0.1, [away]), Instruct)
    assert only(core.step(0.2, [in_place(building, core)]), Instruct)


def test_a_visit_is_done_when_the_ledger_has_booked_every_pick(building: Building) -> None:
    core = pick(building)
    works = only(core.step(0.0, [pick_visit(core), in_place(building, core)]), Instruct)
    assert [(w.bin, w.sku, w.quantity, w.stow) for w in works] == [
        (170, "X", 2, False),
        (171, "Y", 3, False),
    ]
    asked = core.step(1.0, [scan(core, works[0], 2), scan(core, works[1], 1)])
    assert only(asked, PickRequest) == [
        PickRequest(f"{core.station.id}/1/0", "a", 170, "X", 2, 0),
        PickRequest(f"{core.station.id}/1/1", "b", 171, "Y", 1, 2),
    ]
    first, second = (Reply(f"{core.station.id}/1/{i}", True, "", (q,)) for i, q in ((0, 2), (1, 1)))
    assert not only(core.step(1.1, [first]), VisitDone)
    again = core.step(10.0, [first])  # the other request is repeated, the reply harmless
    assert only(again, PickRequest) == only(asked, PickRequest)[1:]
    done = only(core.step(10.1, [second, second]), VisitDone)
    # A pick's index stands once for each missing piece.
    assert done == [VisitDone(10.1, core.station.id, 1, 3, (1, 1), False)]
    assert core.step(11.0, [pick_visit(core)]) == done


def test_instructions_without_an_answer_are_repeated_ever_more_rarely(building: Building) -> None:
    core = pick(building)
    works = only(core.step(0.0, [pick_visit(core), in_place(building, core)]), Instruct)
    repeated = []
    for tick in range(1, 400):
        again = only(core.step(tick / 10, []), Instruct)
        assert [w.work for w in again] in ([], [w.work for w in works])
        repeated += [tick / 10] * bool(again)
    assert repeated == [2.0, 6.0, 14.0, 22.0, 30.0, 38.0]


def test_a_station_hears_what_is_for_it(building: Building) -> None:
    core = pick(building)
    works = only(core.step(0.0, [pick_visit(core), in_place(building, core)]), Instruct)
    (asked,) = only(core.step(1.0, [scan(core, works[0], 2)]), PickRequest)
    for message in (pick_visit(core), scan(core, works[1], 1), in_place(building, core)):
        assert core.hears(message)
    assert core.hears(Reply(asked.key, True, ""))
    assert not core.hears(Reply("fulfilment/reserve/1", True, ""))
    assert not core.hears(replace(pick_visit(core), station="another"))
    assert not core.hears(replace(scan(core, works[1], 1), station="another"))


def test_damaged_pieces_are_booked_as_such(building: Building) -> None:
    core = pick(building)
    works = only(core.step(0.0, [pick_visit(core), in_place(building, core)]), Instruct)
    found = replace(scan(core, works[1], 1), damaged=1)
    (asked,) = only(core.step(1.0, [found]), PickRequest)
    assert (asked.quantity, asked.short, asked.damaged) == (1, 2, 1)


def test_a_repeated_visit_or_scan_is_worked_once(building: Building) -> None:
    core = pick(building)
    here = in_place(building, core)
    works = only(core.step(0.0, [pick_visit(core), pick_visit(core), here]), Instruct)
    assert len(works) == 2
    scans = [scan(core, works[0], 2)] * 3
    assert len(only(core.step(0.1, [*scans, pick_visit(core), here]), PickRequest)) == 1


def test_lost_instructions_are_given_again_with_their_number(building: Building) -> None:
    core = pick(building)
    works = only(core.step(0.0, [pick_visit(core), in_place(building, core)]), Instruct)
    again = only(core.step(5.0, [in_place(building, core)]), Instruct)
    assert [w.work for w in again] == [w.work for w in works]


def test_a_second_visit_of_the_same_pod_is_instructed_while_the_first_is_worked(
    building: Building,
) -> None:
    core = pick(building)
    here = in_place(building, core)
    first = only(core.step(0.0, [pick_visit(core, 1), here]), Instruct)
    second = only(core.step(0.1, [pick_visit(core, 2), here]), Instruct)
    assert len(first) == len(second) == 2
    assert min(w.work for w in second) > max(w.work for w in first)


def test_a_refused_booking_counts_as_missing_and_raises_an_alarm(building: Building) -> None:
    core = pick(building)
    works = only(core.step(0.0, [pick_visit(core), in_place(building, core)]), Instruct)
    core.step(0.1, [scan(core, works[0], 2), scan(core, works[1], 3)])
    refused = Reply(f"{core.station.id}/1/0", False, "not reserved")
    said = core.step(0.2, [refused, Reply(f"{core.station.id}/1/1", True, "", (3,))])
    assert only(said, VisitDone)[0].short == (0, 0)
    assert [m.kind for m in said if hasattr(m, "kind")] == ["pick_refused"]


def test_a_stow_visit_proposes_stows_and_tells_when_the_pallet_is_empty(
    building: Building,
) -> None:
    core = stow(building)
    here = in_place(building, core)
    asked = only(core.step(0.0, [stow_visit(core), here]), ProposeRequest)
    key = f"{core.station.id}/1"
    assert asked == [ProposeRequest(f"{key}/p", "p1", POD, 2)]
    assert only(core.step(3.0, [here]), ProposeRequest) == asked
    proposal = Reply(f"{key}/p", True, "", (), (170, 171), ("X", "Y"), (2, 3), 5)
    works = only(core.step(3.1, [proposal, here]), Instruct)
    assert [(w.bin, w.quantity, w.stow) for w in works] == [(170, 2, True), (171, 3, True)]
    booked = core.step(4.0, [scan(core, works[0], 2), scan(core, works[1], 3)])
    assert only(booked, StowRequest) == [
        StowRequest(f"{key}/0", "p1", 170, "X", 2),
        StowRequest(f"{key}/1", "p1", 171, "Y", 3),
    ]
    replies = [Reply(f"{key}/0", True, "", (2,), left=3), Reply(f"{key}/1", True, "", (3,), left=0)]
    done = only(core.step(4.1, replies), VisitDone)
    assert done == [VisitDone(4.1, core.station.id, 1, 5, (), True)]


def test_what_does_not_fit_stays_on_the_pallet(building: Building) -> None:
    core = stow(building)
    here = in_place(building, core)
    proposal = Reply(f"{core.station.id}/1/p", True, "", (), (170,), ("X",), (2,), 2)
    works = only(core.step(0.0, [stow_visit(core), proposal, here]), Instruct)
    refused = replace(scan(core, works[0], 0), result=ScanResult.REFUSED)
    said = core.step(1.0, [refused])
    assert not only(said, StowRequest)
    assert only(said, VisitDone) == [VisitDone(1.0, core.station.id, 1, 0, (), False)]


def test_a_face_where_nothing_fits_is_done_at_once(building: Building) -> None:
    core = stow(building)
    nothing = Reply(f"{core.station.id}/1/p", True, "", left=9)
    said = core.step(0.0, [stow_visit(core), nothing, in_place(building, core)])
    assert only(said, VisitDone) == [VisitDone(0.0, core.station.id, 1, 0, (), False)]
