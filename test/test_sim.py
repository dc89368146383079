"""The embedded plant: people, packers, arrivals, faults, and physics of pods and pallets."""

from __future__ import annotations

import dataclasses
import math
import pickle

import numpy as np
import pytest

from robo_stow.drive.motion import DriveUnits
from robo_stow.errors import InputError
from robo_stow.floor.building import Building, CellKind, FaultSpec, PeopleSpec
from robo_stow.floor.load import load_building
from robo_stow.floor.start import pod_cells, unit_cells
from robo_stow.fulfilment.trips import RETRY
from robo_stow.inventory.catalogue import Catalogue
from robo_stow.lifter.core import LifterCore
from robo_stow.messages import (
    Action,
    Alarm,
    FleetState,
    Heading,
    Instruct,
    LifterCommand,
    LifterFeedback,
    LiftRequest,
    LiftResult,
    Load,
    Message,
    OrderArrived,
    PalletArrived,
    Put,
    Release,
    Scan,
    ScanResult,
    TotePacked,
    ToteReady,
    UnitReset,
    UnitStatus,
    VisitDone,
)
from robo_stow.sim.arrivals import REPEAT, STACK_VOLUME, TARE, PalletArrivals, case_pieces
from robo_stow.sim.faults import Faults
from robo_stow.sim.people import RESCAN, Packers, Person
from robo_stow.sim.plant import Plant
from robo_stow.simulate import Loop
from robo_stow.warehouse import build_warehouse

DT = 0.1
PEOPLE = PeopleSpec(
    pick_line=4.0,
    pick_piece=2.0,
    put_share=0.5,
    stow_line=5.0,
    stow_piece=1.5,
    pack_tote=40.0,
    packers=2,
    spread=0.25,
    short_share=0.1,
    damaged_share=0.0,
    rescan_share=0.0,
)


@pytest.fixture(scope="module")
def building() -> Building:
    return load_building("demo")


def instruct(work: int, quantity: int = 2, stow: bool = False) -> Instruct:
    return Instruct(0.0, "pick_1", work, stow, 5, "A", quantity)


def turn(unit: int, building: Building, seed: int, actions: list[int]) -> Release:
    """Actions on the spot for one unit at its start place."""
    cells, _ = unit_cells(building, seed)
    count = len(actions)
    return Release(
        0.0,
        0,
        np.array([unit], np.int32),
        np.zeros(1, np.uint32),
        cells[unit : unit + 1],
        np.array([count], np.int32),
        np.array(actions, np.uint8),
        np.full(count, cells[unit], np.int32),
    )


def of(kind: type, messages: list[Message]) -> list:
    return [m for m in messages if isinstance(m, kind)]


class Site:
    """A plant and what it says, step by step."""

    def __init__(self, building: Building, seed: int = 1) -> None:
        self.plant = Plant(building, seed)
        self.ticks = 0
        self.said: list[Message] = []

    @property
    def now(self) -> float:
        return self.ticks * DT

    def tick(self, *inbox: Message) -> list[Message]:
        self.ticks += 1
        said = self.plant.step(self.now, inbox)
        self.said += said
        return said

    def run(self, seconds: float) -> list[Message]:
        return [m for _ in range(round(seconds / DT)) for m in self.tick()]


# --- people ------------------------------------------------------------------------------------


def test_works_are_done_one_after_the_other_in_order() -> None:
    person = Person(dataclasses.replace(PEOPLE, spread=0.0, short_share=0.0), 1, 0)
    for work, stow in ((1, False), (2, True), (3, False)):
        assert not person.instruct(10.0, instruct(work, stow=stow))
    assert person.finish == 14.0
    assert person.step(13.9) == []
    said = person.step(40.0)
    assert [(type(s), s.work, s.stamp) for s in said] == [
        (Scan, 1, 14),  # the pod is free while the pieces go into the tote
        (Put, 1, 18),
        (Scan, 2, 26),
        (Scan, 3, 30),
        (Put, 3, 34),
    ]
    assert {(s.result, s.quantity) for s in said if isinstance(s, Scan)} == {(ScanResult.OK, 2)}
    assert person.finish == math.inf


def test_repeated_instructions_are_answered_again_and_change_nothing() -> None:
    person, calm = Person(PEOPLE, 1, 0), Person(PEOPLE, 1, 0)
    scans, quiet = [], []
    for tick in range(600):
        now = tick * DT
        if tick % 100 == 0:
            calm.instruct(now, instruct(tick // 100))
            calm.instruct(now, instruct(tick // 100 + 1))
        if tick % 5 == 0:
            for work in range(max(0, tick // 100 - 3), tick // 100 + 2):
                again = person.instruct(now, instruct(work))
                assert set(again) <= set(scans)
        scans += person.step(now)
        quiet += calm.step(now)
    assert [s.work for s in of(Scan, scans)] == [0, 1, 2, 3, 4, 5, 6][: len(of(Scan, scans))]
    assert scans == quiet
    assert len(scans) > 4


def test_a_number_used_again_for_other_work_is_new_work() -> None:
    person = Person(PEOPLE, 1, 0)
    person.instruct(0.0, instruct(1))
    person.step(100.0)
    assert not person.instruct(100.0, instruct(1, quantity=3, stow=True))
    assert [(s.work, s.quantity) for s in person.step(200.0)] == [(1, 3)]


def test_times_and_shorts_follow_their_figures() -> None:
    person = Person(PEOPLE, 7, 3)
    n = 4000
    for work in range(n):
        person.instruct(0.0, instruct(work, 3))
    said = person.step(1e9)
    scans = of(Scan, said)
    times = np.diff([0.0, *(s.stamp for s in of(Put, said))])
    assert times.mean() == pytest.approx(10.0, rel=0.02)
    assert np.log(times).std() == pytest.approx(PEOPLE.spread, rel=0.05)
    short = [s for s in scans if s.result is ScanResult.SHORT]
    assert len(short) / n == pytest.approx(PEOPLE.short_share, abs=0.02)
    assert {s.quantity for s in short} == {2}
    for work in range(n, n + 200):
        person.instruct(1e9, instruct(work, stow=True))
    assert {s.result for s in person.step(2e9)} == {ScanResult.OK}


def test_damaged_pieces_are_put_aside_and_wrong_scans_cost_time() -> None:
    spec = dataclasses.replace(PEOPLE, spread=0.0, damaged_share=0.2, rescan_share=0.3)
    person = Person(spec, 7, 3)
    n = 4000
    for work in range(n):
        person.instruct(0.0, instruct(work, 3))
    said = person.step(1e9)
    scans = of(Scan, said)
    damaged = [s for s in scans if s.damaged]
    assert {(s.result, s.quantity, s.damaged) for s in damaged} == {(ScanResult.SHORT, 2, 1)}
    assert len(damaged) / n == pytest.approx(0.9 * 0.2, abs=0.02)  # of those not short
    times = np.diff([0.0, *(s.stamp for s in of(Put, said))])
    assert set(times.round(6)) == {10.0, 10.0 + RESCAN}
    assert np.mean(times > 10.5) == pytest.approx(0.3, abs=0.03)


def test_packers_share_a_queue() -> None:
    packers = Packers(dataclasses.replace(PEOPLE, spread=0.0), 1)
    for order in "abcde":
        assert packers.announce(100.0, ToteReady(100.0, order, 1)) is None
    packers.announce(101.0, ToteReady(101.0, "a", 1))
    packed = packers.step(1000.0)
    assert [(p.order, p.stamp) for p in packed] == [
        ("a", 140.0),
        ("b", 140.0),
        ("c", 180.0),
        ("d", 180.0),
        ("e", 220.0),
    ]
    assert packers.announce(300.0, ToteReady(300.0, "c", 1)) == packed[2]
    assert packers.step(2000.0) == []


# --- arrivals ----------------------------------------------------------------------------------


def test_pallets_come_to_free_docks_in_turn(building: Building) -> None:
    site = building.lifters[0]
    twin = dataclasses.replace(site, id="lifter_2")
    two = dataclasses.replace(
        building,
        lifters=(site, twin),
        stock=dataclasses.replace(building.stock, pallets_per_hour=60.0),
    )
    arrivals = PalletArrivals(two, 1)
    first = arrivals.step(0.0)
    assert [(p.pallet, p.lifter) for p in first] == [
        ("pallet-000001", "lifter_1"),
        ("pallet-000002", "lifter_2"),
    ]
    for t in range(1, 1000):
        again = arrivals.step(t * 1.0)
        assert [p.pallet for p in again] == ([p.pallet for p in first] if t % REPEAT == 0 else [])
    refused = LiftResult(1000.0, "lifter_2", "pallet-000002", 3, False, "too heavy")
    assert arrivals.leave(refused) == first[1].weight
    assert arrivals.leave(refused) == 0.0
    assert arrivals.leave(dataclasses.replace(refused, lifter="lifter_1")) == 0.0
    later = {p.pallet: p for p in arrivals.step(1000.5)}
    assert [p.lifter for name, p in later.items() if name not in {f.pallet for f in first}] == [
        "lifter_2"
    ]


def test_pallets_hold_whole_cases_and_weigh_what_is_on_them(building: Building) -> None:
    catalogue = Catalogue.from_orders(building, 1)
    arrivals = PalletArrivals(building, 1)
    names, pieces = set(), []
    for n in range(300):
        pallet = arrivals.step(n * 4000.0)[0]
        index = [catalogue.index[sku] for sku in pallet.sku]
        assert len(set(index)) == len(index)
        quantity = np.array(pallet.quantity)
        cases = np.array([case_pieces(float(catalogue.volume[k])) for k in index])
        assert np.all(quantity > 0)
        assert np.all(quantity % cases == 0)
        assert quantity @ catalogue.volume[index] <= STACK_VOLUME
        assert pallet.weight == pytest.approx(TARE + quantity @ catalogue.weight[index], abs=1e-3)
        assert pallet.weight <= building.drive.payload
        names.add(pallet.pallet)
        pieces.append(quantity.sum())
        arrivals.leave(LiftResult(0.0, pallet.lifter, pallet.pallet, 0, True, ""))
    assert len(names) == 300
    assert np.mean(pieces) == pytest.approx(building.stock.pallet_pieces, rel=0.15)


def test_the_rate_of_pallets_and_orders_is_the_buildings(building: Building) -> None:
    site = Site(building)
    hours = 2.0
    pallets = 0
    for _ in range(round(hours * 3600)):
        said = site.plant.step(site.now, [])
        site.ticks += 10
        site.said += of(OrderArrived, said)
        for pallet in of(PalletArrived, said):
            pallets += 1
            site.plant.step(
                site.now, [LiftResult(site.now, pallet.lifter, pallet.pallet, 0, False, "")]
            )
    orders = of(OrderArrived, site.said)
    assert len(orders) == pytest.approx(hours * building.orders.orders_per_hour, rel=0.35)
    assert pallets == pytest.approx(hours * building.stock.pallets_per_hour, rel=0.5)
    assert len({o.order for o in orders}) == len(orders)
    assert [o.stamp for o in orders] == sorted(o.stamp for o in orders)


def test_orders_may_come_from_another_file(building: Building) -> None:
    with pytest.raises(InputError, match="no/such"):
        Plant(load_building("demo", orders="/no/such/orders.csv"), 1)


# --- faults ------------------------------------------------------------------------------------


def test_the_given_share_of_actions_is_late(building: Building) -> None:
    spec = FaultSpec(late_share=0.02, late_seconds=2.0)
    faults = Faults(spec, 1)
    n, count = 200, 100
    cells = np.full(n, building.chargers[0], np.int32)
    units = DriveUnits(building.drive, building.grid, n, cells, np.zeros(n, np.uint8))
    quarter = building.drive.turn_time / 4
    message = Release(
        0.0,
        0,
        units.unit,
        np.zeros(n, np.uint32),
        cells,
        np.full(n, count, np.int32),
        np.ones(n * count, np.uint8),
        np.repeat(cells, count),
    )
    for _ in range(2):  # the repetition is not late once more
        faults.hesitate(message, units.take(message), units)
    finished = np.zeros(n)
    for tick in range(3000):
        units.step(DT)
        finished[(finished == 0) & (units.done == count)] = tick * DT
    late = finished - count * quarter
    assert np.all(finished > 0)
    assert late.mean() == pytest.approx(count * 0.02 * 2.0, rel=0.2)


def test_scheduled_faults_happen_in_time(building: Building) -> None:
    site = Site(building)
    site.plant.faults.schedule(2.0, "stop", 3)
    site.plant.faults.schedule(1.0, "kill", 5)
    site.plant.faults.schedule(4.0, "reset", 3)
    seen = []
    for _ in range(50):
        state = of(FleetState, site.tick())[0]
        seen.append((state.status[3], state.status[5]))
    assert seen[8] == (UnitStatus.OK, UnitStatus.OK)
    assert seen[15] == (UnitStatus.OK, UnitStatus.DEAD)
    assert seen[30] == (UnitStatus.STOPPED, UnitStatus.DEAD)
    assert seen[45] == (UnitStatus.OK, UnitStatus.DEAD)
    with pytest.raises(ValueError, match="explode"):
        site.plant.faults.schedule(2.0, "explode", 3)


# --- the plant as a whole ----------------------------------------------------------------------


def test_states_every_step_and_drives_when_something_changes(building: Building) -> None:
    site = Site(building)
    said = site.run(10.0)
    states = of(FleetState, said)
    assert [s.stamp for s in states] == pytest.approx([(i + 1) * DT for i in range(100)])
    cells, headings = unit_cells(building, 1)
    assert states[0].cell.tolist() == cells.tolist()
    assert states[0].heading.tolist() == headings.tolist()
    assert np.all(states[0].battery > building.drive.charge_below)
    assert len(of(LifterFeedback, said)) == pytest.approx(10, abs=2)


def test_a_unit_lifts_the_pod_that_stands_above_it_and_nothing_else(building: Building) -> None:
    pods = pod_cells(building, 1)
    cells, _ = unit_cells(building, 1)
    beneath = next(i for i, cell in enumerate(cells) if cell in pods)
    site = Site(dataclasses.replace(building, faults=FaultSpec(0.0, 0.0)))
    lift = [Action.LIFT, Action.FACE + 1, Action.LOWER, Action.LOWER]
    site.tick(turn(beneath, building, 1, lift))
    site.run(building.drive.lift_time)
    state = of(FleetState, site.said)[-1]
    assert state.load[beneath] == Load.POD
    assert pods[state.load_id[beneath]] == cells[beneath]
    assert of(Alarm, site.said) == []
    site.run(20.0)
    state = of(FleetState, site.said)[-1]
    assert (state.load[beneath], state.load_id[beneath]) == (Load.NONE, -1)
    alarms = of(Alarm, site.said)
    assert [(a.kind, a.text) for a in alarms] == [("plant", f"unit {beneath} could not LOWER")]


def test_a_pallet_goes_from_the_lorry_onto_a_unit_and_off_again(
    building: Building, monkeypatch: pytest.MonkeyPatch
) -> None:
    stow = next(s for s in building.stations if s.kind == "stow")
    lifter = building.lifters[0]
    cells, headings = unit_cells(building, 1)
    cells = cells.copy()
    cells[:2] = lifter.cell, stow.pallet_cell
    monkeypatch.setattr("robo_stow.sim.plant.unit_cells", lambda *_: (cells, headings))
    site, core = Site(building), LifterCore(building, lifter)
    heard: list[Message] = []
    to_plant: list[Message] = []
    while not of(LiftResult, heard):
        said = site.tick(*to_plant)
        asked = [
            LiftRequest(p.stamp, p.lifter, p.pallet, p.weight, 0) for p in of(PalletArrived, said)
        ]
        to_plant = core.step(site.now, [*said, *asked])
        heard += to_plant
        assert site.now < 100.0
    assert site.plant.units.load[0] == Load.NONE
    result = of(LiftResult, heard)[0]
    site.tick(result)
    site.tick(result)
    assert of(FleetState, site.said)[-1].load[0] == Load.PALLET
    assert of(Alarm, site.said) == []
    # The unit on the pallet spot is emptied once per visit, however often it is told.
    site.plant.units.load_pallet(1, 300.0)
    empty = VisitDone(site.now, stow.id, 17, 5, (), True)
    site.tick(dataclasses.replace(empty, visit=16, pallet_empty=False))
    assert site.plant.units.load[1] == Load.PALLET
    site.tick(empty)
    assert site.plant.units.load[:2].tolist() == [Load.PALLET, Load.NONE]
    site.plant.units.load_pallet(1, 300.0)
    site.tick(empty)
    assert site.plant.units.load[1] == Load.PALLET


def test_a_gripper_opened_over_nothing_drops_the_pallet(building: Building) -> None:
    lifter = building.lifters[0]
    site, core = Site(building), LifterCore(building, lifter)
    commands: list[Message] = []
    while site.now < 80.0:
        said = site.tick(*of(LifterCommand, commands))
        asked = [
            LiftRequest(p.stamp, p.lifter, p.pallet, p.weight, 0) for p in of(PalletArrived, said)
        ]
        commands = core.step(site.now, [*said, *asked])
    assert of(Alarm, site.said) == []
    feedback = of(LifterFeedback, site.said)[-1]
    assert feedback.gripper_closed
    open_now = LifterCommand(site.now, lifter.id, feedback.sequence + 1, feedback.joint, False, 0.0)
    site.tick(open_now)
    site.run(10.0)
    assert [a.text for a in of(Alarm, site.said)] == [f"{lifter.id} dropped a pallet"]
    # Nor is a lift believed whose unit is not there.
    pallet = of(PalletArrived, site.said)[0].pallet
    site.tick(LiftResult(site.now, lifter.id, pallet, 0, True, ""))
    assert of(Alarm, site.said)[-1].text == f"{pallet} is not on unit 0"
    assert site.plant.units.load[0] == Load.NONE


def test_commands_that_come_late_or_out_of_order_are_not_obeyed(building: Building) -> None:
    site = Site(building)
    site.run(5.0)
    here = of(LifterFeedback, site.said)[-1].joint
    away = (here[0] - 0.5, *here[1:])
    lifter = building.lifters[0].id
    site.tick(LifterCommand(site.now - 3.0, lifter, 4, away, False, 0.0))
    site.run(5.0)
    assert of(LifterFeedback, site.said)[-1].joint == here
    site.tick(LifterCommand(site.now, lifter, 9, away, False, 0.0))
    site.tick(LifterCommand(site.now, lifter, 8, here, True, 0.0))
    site.run(10.0)
    last = of(LifterFeedback, site.said)[-1]
    assert (last.sequence, last.joint, last.gripper_closed) == (9, away, False)


def test_stations_and_packing_answer(building: Building) -> None:
    site = Site(building)
    station = building.stations[0].id
    work = Instruct(0.0, station, 1, False, 3, "A", 2)
    site.tick(work, ToteReady(0.0, "o1", 2), dataclasses.replace(work, station="nowhere"))
    site.run(200.0)
    scan, packed = of(Scan, site.said), of(TotePacked, site.said)
    assert [(s.station, s.work) for s in scan] == [(station, 1)]
    assert [p.order for p in packed] == ["o1"]
    again = site.tick(work, ToteReady(0.0, "o1", 2))
    assert of(Scan, again) == scan
    assert of(Put, again) == of(Put, site.said)[:1]
    assert of(TotePacked, again) == packed


def script(building: Building, seed: int, tick: int) -> list[Message]:
    """Something for everyone to do, now and then."""
    inbox: list[Message] = []
    if tick == 5:
        inbox += [turn(u, building, 1, [Action.LIFT, 1, 2, Action.LOWER]) for u in range(9)]
    if tick % 50 == 10:
        inbox += [Instruct(0.0, s.id, tick, s.kind == "stow", 1, "A", 3) for s in building.stations]
        inbox.append(ToteReady(0.0, f"o{tick}", 3))
    if tick == 30:
        joint = (1.0, 1.5, -1.5, 0.0, 0.5, 0.2)
        inbox += [LifterCommand(3.0, s.id, 1, joint, True, 100.0) for s in building.lifters]
    return inbox


def test_equal_seeds_and_inputs_give_equal_bytes(building: Building) -> None:
    def record(seed: int) -> list[bytes]:
        plant = Plant(building, seed)
        out = []
        for tick in range(1, 1200):
            for message in plant.step(tick * DT, script(building, seed, tick)):
                out.append(pickle.dumps(dataclasses.astuple(message)))
        return out

    first, second, other = record(1), record(1), record(2)
    assert first == second
    assert first != other


def test_pods_are_neither_lost_nor_doubled(building: Building) -> None:
    """Whatever units try with pods, every pod stands on one cell or rides on one unit."""
    calm = dataclasses.replace(building, faults=FaultSpec(0.1, 1.0))
    site = Site(calm)
    rng = np.random.default_rng(3)
    grid = building.grid
    cells, headings = (a.copy() for a in unit_cells(building, 1))
    ends = [(int(c), int(h)) for c, h in zip(cells, headings, strict=True)]
    sent = [0] * building.units
    for tick in range(1500):
        inbox: list[Message] = []
        if tick % 10 == 0:
            u = int(rng.integers(building.units))
            cell, heading = ends[u]
            actions, places = [], []
            for code in rng.choice([0, 0, 1, 2, Action.LIFT, Action.LOWER, Action.FACE + 3], 6):
                if code == 0:
                    ahead = grid.neighbour(cell, heading)
                    if ahead < 0 or grid.kind[ahead] == CellKind.WALL:
                        continue
                    cell = ahead
                elif code in (1, 2):
                    heading = (heading + (1 if code == 1 else 3)) % 4
                actions.append(code)
                places.append(cell)
            inbox = [
                Release(
                    site.now,
                    0,
                    np.array([u], np.int32),
                    np.array([sent[u]], np.uint32),
                    np.array([ends[u][0]], np.int32),
                    np.array([len(actions)], np.int32),
                    np.array(actions, np.uint8),
                    np.array(places, np.int32),
                )
            ]
            sent[u] += len(actions)
            ends[u] = (cell, heading)
        state = of(FleetState, site.tick(*inbox))[0]
        carried = state.load_id[state.load == Load.POD]
        standing = site.plant.units.pod_at[site.plant.units.pod_at >= 0]
        assert sorted([*carried, *standing]) == list(range(building.pods))
    assert any("could not" in a.text for a in of(Alarm, site.said))


# --- by hand -----------------------------------------------------------------------------------


def middle(building: Building, cell: int) -> tuple[float, float]:
    x, y = building.grid.xy(np.array([cell], np.int32))
    return float(x[0]), float(y[0])


def empty_cell(building: Building, plant: Plant, kind: CellKind = CellKind.TRAVEL) -> int:
    """A cell where nobody is and nobody goes."""
    units = plant.units
    taken = {int(cell) for cell in units.cell}
    for unit in range(units.n):
        taken |= set(units.pending(unit)[1].tolist())
    cells = np.flatnonzero(building.grid.kind == kind).tolist()
    return next(cell for cell in cells if cell not in taken)


def test_a_unit_set_down_elsewhere_is_there_and_forgets_its_way(building: Building) -> None:
    site = Site(building)
    beneath = next(
        u for u, cell in enumerate(unit_cells(building, 1)[0]) if cell in pod_cells(building, 1)
    )
    site.tick(turn(beneath, building, 1, [Action.LIFT, Action.TURN_CW, Action.TURN_CW]))
    site.run(building.drive.lift_time + 0.2)
    cell = empty_cell(building, site.plant)
    x, y = middle(building, cell)
    site.plant.displace(beneath, x + 0.3, y - 0.3, math.pi / 2 + 0.4)
    state = of(FleetState, site.run(10.0))[-1]
    assert (state.x[beneath], state.y[beneath]) == pytest.approx((x, y))
    assert (state.cell[beneath], state.heading[beneath]) == (cell, Heading.NORTH)
    assert (state.done[beneath], state.released[beneath]) == (1, 1)
    assert state.load[beneath] == Load.POD
    # A release of the next epoch leads on from there.
    onward = turn(beneath, building, 1, [Action.TURN_CCW])
    onward = dataclasses.replace(
        onward, epoch=1, origin=np.array([cell], np.int32), cell=np.array([cell], np.int32)
    )
    site.tick(onward)
    state = of(FleetState, site.run(5.0))[-1]
    assert (state.done[beneath], state.heading[beneath]) == (1, Heading.WEST)


def test_a_unit_is_set_down_only_where_it_can_stand(building: Building) -> None:
    site = Site(building)
    cells, _ = unit_cells(building, 1)
    pods = pod_cells(building, 1)
    beneath = next(u for u, cell in enumerate(cells) if cell in pods)
    other = (beneath + 1) % building.units
    site.tick(turn(beneath, building, 1, [Action.LIFT]))
    site.run(building.drive.lift_time + 0.2)
    wall = int(np.flatnonzero(building.grid.kind == CellKind.WALL)[0])
    standing = next(int(c) for c in pods if c not in cells)
    for (x, y), wrong in (
        (middle(building, wall), "no place to stand"),
        ((-1.0, 2.0), "no place to stand"),
        ((math.nan, 2.0), "no place to stand"),
        ((1e12, 2.0), "no place to stand"),
        (middle(building, int(cells[other])), f"{building.unit_name(other)} stands there"),
        (middle(building, standing), "a pod stands there"),
    ):
        with pytest.raises(InputError, match=wrong):
            site.plant.displace(beneath, x, y, 0.0)
    assert site.plant.units.cell[beneath] == cells[beneath]
    # Nor in the way of another.
    grid = building.grid
    for heading in range(4):
        ahead = grid.neighbour(int(cells[other]), heading)
        if ahead >= 0 and grid.kind[ahead] != CellKind.WALL and ahead not in cells:
            break
    turns = (heading - int(unit_cells(building, 1)[1][other])) % 4
    way = turn(other, building, 1, [Action.TURN_CW] * turns + [Action.FORWARD])
    way.cell[-1] = ahead
    site.tick(way)
    with pytest.raises(InputError, match="is on its way there"):
        site.plant.displace((other + 1) % building.units, *middle(building, ahead), 0.0)
    with pytest.raises(InputError, match="a node of its own"):
        site.plant.displace(building.units, *middle(building, ahead), 0.0)


def test_a_unit_that_was_taken_away_reports_nothing_until_it_is_back(building: Building) -> None:
    site = Site(building)
    site.run(0.2)
    site.plant.remove(3)
    with pytest.raises(InputError, match="is not there"):
        site.plant.remove(3)
    state = of(FleetState, site.tick())[0]
    assert state.unit.tolist() == [u for u in range(building.units) if u != 3]
    assert all(
        len(getattr(state, f.name)) == building.units - 1
        for f in dataclasses.fields(state)
        if f.name != "stamp"
    )
    # Its place is free for another.
    x, y = middle(building, int(site.plant.units.cell[3]))
    site.plant.displace(4, x, y, 0.0)
    x, y = middle(building, empty_cell(building, site.plant))
    site.plant.displace(3, x, y, 0.0)
    state = of(FleetState, site.tick())[0]
    assert state.unit.tolist() == list(range(building.units))
    assert state.status[3] == UnitStatus.OK


@pytest.mark.parametrize("kind", [CellKind.STATION, CellKind.HANDOFF, CellKind.PALLET])
def test_a_unit_that_is_worked_at_stays(building: Building, kind: CellKind) -> None:
    site = Site(building)
    site.run(0.2)
    away = middle(building, empty_cell(building, site.plant))
    site.plant.displace(2, *middle(building, empty_cell(building, site.plant, kind)), 0.0)
    for change in (lambda: site.plant.displace(2, *away, 0.0), lambda: site.plant.remove(2)):
        with pytest.raises(InputError, match="stands where people or a lifter work"):
            change()
    site.plant.units.load_pallet(3, 100.0)
    with pytest.raises(InputError, match="carries a pallet"):
        site.plant.displace(3, *away, 0.0)


def test_a_loaded_unit_is_not_taken_away(building: Building) -> None:
    site = Site(building)
    beneath = next(
        u for u, cell in enumerate(unit_cells(building, 1)[0]) if cell in pod_cells(building, 1)
    )
    site.tick(turn(beneath, building, 1, [Action.LIFT]))
    site.run(building.drive.lift_time + 0.2)
    with pytest.raises(InputError, match="is loaded"):
        site.plant.remove(beneath)


def test_a_person_who_has_left_goes_on_afterwards(building: Building) -> None:
    site = Site(building)
    station = building.stations[0].id
    site.tick(Instruct(0.0, station, 1, False, 3, "A", 2))
    site.plant.attended(station, False)
    assert of(Scan, site.run(200.0)) == []
    site.tick(Instruct(0.0, station, 2, False, 3, "A", 2))  # unheard
    site.plant.attended(station, False)
    site.plant.attended(station, True)
    back = site.now
    scans = of(Scan, site.run(200.0))
    assert [scan.work for scan in scans] == [1]
    undisturbed = Site(building)
    undisturbed.tick(Instruct(0.0, station, 1, False, 3, "A", 2))
    alone = of(Scan, undisturbed.run(200.0))
    assert scans[0].stamp - back == pytest.approx(alone[0].stamp - DT)


@pytest.mark.parametrize("seed", [1, 2])
def test_units_set_down_elsewhere_are_fenced_and_taken_in_again(seed: int) -> None:
    building = load_building("demo", units=8)
    site = build_warehouse(building, seed)
    plant, loop = site.plant, Loop(site.cores)
    rng = np.random.default_rng(seed)

    def run(seconds: float) -> None:
        for _ in loop.run(seconds):
            pass

    def told(kind: str, unit: int) -> bool:
        name = building.unit_name(unit)
        return any(a.kind == kind and name in a.text for a in site.monitor.alarms)

    displaced: list[int] = []
    run(60.0)
    for unit in rng.permutation(8).tolist():
        away = middle(building, empty_cell(building, plant))
        site.monitor.alarms.clear()
        try:
            if rng.random() < 0.5:
                plant.remove(unit)
                run(15.0)
                assert told("halted", unit)
                away = middle(building, empty_cell(building, plant))
            plant.displace(unit, *away, 0.3)
        except InputError:
            continue  # it is worked at, or loaded
        run(5.0)
        assert told("fenced", unit)
        assert site.traffic.command(loop.now, UnitReset(unit)).ok
        epoch = int(plant.units.epoch[unit])
        run(20.0)
        assert int(plant.units.epoch[unit]) > epoch
        displaced.append(unit)
    assert len(displaced) > 2
    picked = site.monitor.figures()["lines_picked"]
    run(120.0)
    assert site.monitor.figures()["lines_picked"] > picked
    assert (plant.units.done[displaced] > 0).all()  # in the last epoch: they work again
    assert site.monitor.conflicts == 0
    assert site.inventory.audit() == []


def test_a_fenced_unit_is_not_sent_for_one_pod_after_the_other() -> None:
    building = load_building("demo", units=8)
    site = build_warehouse(building, 1)
    plant, loop = site.plant, Loop(site.cores)
    for _ in loop.run(60.0):
        pass
    unit = int(np.flatnonzero(plant.units.load == Load.NONE)[0])
    plant.displace(unit, *middle(building, empty_cell(building, plant)), 0.0)
    for _ in loop.run(60.0):
        pass
    name = building.unit_name(unit)
    said = [a.text for a in site.monitor.alarms if name in a.text]
    assert 1 < len(said) <= 2 + 60.0 / RETRY, said
    assert site.traffic.command(loop.now, UnitReset(unit)).ok
    for _ in loop.run(120.0):
        pass
    assert plant.units.done[unit] > 0
