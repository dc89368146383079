"""The traffic manager with a small plant: units at random paces, messages lost, late and twice."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from plant import (
    ATTEMPTS,
    CHARGE,
    FACE,
    LIFT,
    LOWER,
    NONE,
    OPEN,
    STEP,
    Plant,
    cell_of,
    make_building,
    operate,
    zone,
)

from robo_stow.errors import InputError
from robo_stow.floor.building import Building, CellKind, Zone
from robo_stow.messages import (
    Alarm,
    ErrandReports,
    ErrandResult,
    Errands,
    Load,
    Message,
    Release,
    UnitReset,
    UnitStatus,
    ZoneEvent,
)
from robo_stow.traffic.checker import Checker
from robo_stow.traffic.kept import UnitFile
from robo_stow.traffic.manager import SILENCE, TrafficManager
from robo_stow.traffic.startup import GRACE
from robo_stow.traffic.zones import ZoneFile, Zones

# --- errands -----------------------------------------------------------------------------------


def test_a_pod_trip_from_storage_to_a_station_and_back() -> None:
    building = make_building(3, 8)
    plant = Plant(building, 1)
    manager = plant.start()
    source, pod = next(iter(plant.pod_at.items()))
    station = cell_of(building, CellKind.STATION)
    lift = plant.order(0, source, LIFT, hold=1)
    plant.run(manager, 120)
    assert plant.results[0, lift] == ErrandResult.DONE
    assert plant.places[-1] == (pod, -1)
    assert plant.units[0].pod == pod
    for face in (2, 1):
        show = plant.order(0, station, FACE + face, hold=1)
        plant.run(manager, 120)
        assert plant.results[0, show] == ErrandResult.DONE
        assert plant.units[0].cell == station
        assert plant.units[0].base[-1] == (FACE + face, station)
    free = next(
        c
        for c in np.flatnonzero(building.grid.kind == CellKind.STORAGE).tolist()
        if c not in plant.pod_at
    )
    lower = plant.order(0, free, LOWER)
    plant.run(manager, 120)
    assert plant.results[0, lower] == ErrandResult.DONE
    assert plant.places[-1] == (pod, free)
    assert plant.pod_at[free] == pod
    assert plant.alarms == []


CROSSING = """
###.###
###.###
###.###
.......
###.###
###.###
###.###
"""


@pytest.mark.parametrize("hurried", [0, 1])
def test_the_unit_with_little_time_left_goes_first_at_a_crossing(hurried: int) -> None:
    # Equally far from the crossing and from their goals, one from the west, one from the north.
    plant = Plant(make_building(2, 0, CROSSING), 1, cells=[21, 3])
    plant.units[0].heading, plant.units[1].heading = 0, 1
    manager = plant.start()
    for unit, goal in ((0, 27), (1, 45)):
        plant.order(unit, goal, due=plant.now + 5.0 if unit == hurried else math.inf)
    plant.run(manager, 60.0, until=False)
    assert list(plant.results.values()) == [ErrandResult.DONE] * 2
    first, _ = next(iter(plant.results))  # in the order in which they came
    assert first == hurried


@pytest.mark.parametrize("seed", range(4))
def test_random_operation_without_losses(seed: int) -> None:
    plant = Plant(make_building(8, 16), seed, pace=0.8)
    manager = plant.start()
    assert operate(plant, manager, 1500) > 60
    assert ErrandResult.REJECTED not in plant.results.values()
    assert plant.alarms == []


@pytest.mark.parametrize("seed", range(4))
def test_random_operation_with_messages_lost_late_and_twice(seed: int) -> None:
    plant = Plant(make_building(7, 14), seed, loss=0.3, pace=0.3)
    manager = plant.start()
    assert operate(plant, manager, 2000) > 20
    assert "fenced" not in plant.kinds()
    # An order may be given again after it was carried out, since its report was lost.
    assert plant.results


@pytest.mark.parametrize("seed", range(6))
def test_a_restarted_manager_takes_over_in_the_middle_of_everything(seed: int) -> None:
    plant = Plant(make_building(5, 14), seed, loss=0.1 * (seed % 2), pace=0.5)
    manager = plant.start()
    for _ in range(4):
        operate(plant, manager, 200 + plant.rng.randrange(100))
        epoch = manager.epoch
        old = list(plant.in_flight)
        for _ in range(plant.rng.randrange(15)):  # nobody manages; the units go on
            plant.now += STEP
            plant.work()
        manager = TrafficManager(plant.building, 0, iterations=ATTEMPTS)
        for _ in range(300):
            # What the dead manager has sent last comes late.
            for release in old:
                plant.deliver(release)
            plant.step(manager, [plant.pods()])
            if manager.running:
                break
        assert manager.running
        assert manager.epoch > epoch
        started = plant.now
        plant.results.clear()
        operate(plant, manager, 200)
        assert sum(result == ErrandResult.DONE for result in plant.results.values()) > 5
        plant.run(manager, 120)
        carried = {unit.pod: -1 for unit in plant.units if unit.pod >= 0}
        assert plant.told == carried | {pod: cell for cell, pod in plant.pod_at.items()}
        # Until the register is up to date again, errands may be turned down or find another pod.
        assert set(plant.kinds()) <= {"errand", "pod"}
        assert [a for a in plant.alarms if a.stamp > started + 10] == []
        plant.alarms.clear()


def test_a_new_errand_replaces_the_old_one() -> None:
    building = make_building(1, 2)
    plant = Plant(building, 3, cells=[0])
    manager = plant.start()
    far = cell_of(building, CellKind.STATION)
    first = plant.order(0, far, hold=1)
    for _ in range(5):
        plant.step(manager)
    second = plant.order(0, 0, hold=1)
    plant.run(manager, 60)
    assert plant.results == {(0, second): ErrandResult.DONE}
    assert plant.units[0].cell == 0
    assert first < second


def test_an_operation_under_way_is_finished_before_the_next_errand() -> None:
    building = make_building(1, 1)
    plant = Plant(building, 4, pace=0.1)
    source = next(iter(plant.pod_at))
    plant.units[0].cell = source
    manager = plant.start()
    plant.places.clear()
    lift = plant.order(0, source, LIFT)
    while not plant.units[0].under_way:
        plant.step(manager)
    away = plant.order(0, 0)
    plant.run(manager, 120)
    assert plant.results[0, lift] == ErrandResult.DONE
    assert plant.results[0, away] == ErrandResult.DONE
    assert plant.units[0].load == Load.POD
    assert plant.places == [(0, -1)]


def test_an_ended_errand_is_answered_again_and_nothing_else_happens() -> None:
    plant = Plant(make_building(1, 1), 5)
    manager = plant.start()
    lift = plant.order(0, next(iter(plant.pod_at)), LIFT)
    again = plant.errands()
    plant.run(manager, 60)
    done = plant.units[0].done
    plant.results.clear()
    plant.places.clear()
    plant.step(manager, [again])
    assert plant.results == {(0, lift): ErrandResult.DONE}
    assert plant.places == [(0, -1)]
    plant.run(manager, 10, until=False)
    assert plant.units[0].done == done


def test_held_units_stand_fast_and_others_make_way() -> None:
    lane = "#####\n....."
    for hold in (0, 1):
        building = make_building(2, 0, lane)
        plant = Plant(building, 6, cells=[5, 7])
        manager = plant.start()
        plant.order(1, 7, hold=hold)
        plant.run(manager, 20)
        plant.order(0, 8)
        plant.run(manager, 60)
        assert (plant.units[0].cell == 8) == (hold == 0)
        assert (plant.units[1].cell == 7) == (hold == 1)


@pytest.mark.parametrize(
    ("goal", "operation", "words"),
    [
        ("outside", NONE, "no such cell"),
        ("wall", NONE, "a wall"),
        ("island", NONE, "no way"),
        ("empty storage", LIFT, "no pod stands there"),
        ("travel", LOWER, "carries no pod"),
        ("travel", FACE, "carries no pod"),
        ("travel", CHARGE, "no charger"),
        ("travel", 7, "no such operation"),
        ("travel", 12, "no such operation"),
    ],
)
def test_errands_that_cannot_be_are_rejected(goal: str, operation: int, words: str) -> None:
    building = make_building(2, 3)
    station = cell_of(building, CellKind.STATION)
    if goal == "island":  # the only way in is closed
        building.grid.exits[station - building.grid.width] &= ~np.uint8(2)
    plant = Plant(building, 7, cells=[0, 1])
    manager = plant.start()
    kind = building.grid.kind
    empty = [c for c in np.flatnonzero(kind == CellKind.STORAGE).tolist() if c not in plant.pod_at]
    cells = {
        "outside": building.grid.cells,
        "wall": cell_of(building, CellKind.WALL),
        "island": station,
        "empty storage": empty[0],
        "travel": 3,
    }
    number = plant.order(0, cells[goal], operation)
    plant.run(manager, 20)
    assert plant.results[0, number] == ErrandResult.REJECTED
    assert "errand" in plant.kinds()
    assert words in plant.alarms[-1].text
    # Nothing is lost: the next errand is carried out.
    number = plant.order(0, 4)
    plant.run(manager, 60)
    assert plant.results[0, number] == ErrandResult.DONE


def test_errands_for_unknown_units_are_rejected() -> None:
    plant = Plant(make_building(1, 0), 7)
    manager = plant.start()
    out = manager.step(
        plant.now + STEP,
        [
            Errands(
                plant.now,
                np.array([5, -1], np.int32),
                np.array([3, 4], np.uint32),
                np.zeros(2, np.int32),
                np.full(2, NONE, np.uint8),
                np.zeros(2, np.uint8),
                np.zeros(2, np.float32),
                np.full(2, np.inf),
            )
        ],
    )
    reports = next(m for m in out if isinstance(m, ErrandReports))
    assert reports.unit.tolist() == [5, -1]
    assert reports.result.tolist() == [ErrandResult.REJECTED] * 2


def test_two_units_never_get_the_same_pod_or_place() -> None:
    building = make_building(3, 2)
    plant = Plant(building, 8)
    manager = plant.start()
    one, two = list(plant.pod_at)
    first, second = plant.order(0, one, LIFT), plant.order(1, one, LIFT)
    plant.run(manager, 60)
    assert plant.results[0, first] == ErrandResult.DONE
    assert plant.results[1, second] == ErrandResult.REJECTED
    plant.run(manager, 5, until=False)
    plant.order(1, two, LIFT)
    plant.run(manager, 120)
    first, second = plant.order(0, one, LOWER), plant.order(1, one, LOWER)
    plant.run(manager, 120)
    assert plant.results[0, first] == ErrandResult.DONE
    assert plant.results[1, second] == ErrandResult.REJECTED
    number = plant.order(1, one, NONE)
    plant.run(manager, 10)
    assert plant.results[1, number] == ErrandResult.REJECTED, "loaded, to where a pod stands"


# --- faults ------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [UnitStatus.DEAD, UnitStatus.STOPPED])
@pytest.mark.parametrize("seed", range(3))
def test_others_drive_round_a_unit_that_stops(seed: int, status: UnitStatus) -> None:
    plant = Plant(make_building(4, 4, OPEN), seed)
    manager = plant.start()
    operate(plant, manager, 150)
    plant.units[0].status = status
    before = operate(plant, manager, 20)
    assert operate(plant, manager, 500) > before + 10
    plant.units[0].status = UnitStatus.OK
    plant.results.clear()
    operate(plant, manager, 400)
    assert any(unit == 0 for unit, _ in plant.results), "it goes on after a reset"
    assert plant.kinds() == ["halted"]


def test_others_drive_round_a_unit_that_falls_silent() -> None:
    plant = Plant(make_building(4, 4, OPEN), 2)
    manager = plant.start()
    operate(plant, manager, 100)
    plant.units[0].mute = True
    operate(plant, manager, round((SILENCE + 2) / STEP))
    assert plant.kinds() == ["halted"]
    plant.results.clear()
    operate(plant, manager, 300)
    assert len(plant.results) > 5


@pytest.mark.parametrize("lie", ["epoch", "done", "back", "cell", "heading"])
def test_a_unit_that_reports_what_cannot_be_is_fenced(lie: str) -> None:
    plant = Plant(make_building(4, 4, OPEN), 9)
    manager = plant.start()
    operate(plant, manager, 100)
    while plant.units[0].done == 0:
        operate(plant, manager, 1)
    plant.now += STEP
    truth = plant.state([0])
    change = {
        "epoch": {"epoch": truth.epoch + np.uint32(1)},
        "done": {"done": truth.done + np.uint32(50), "released": truth.released + np.uint32(50)},
        "back": {"done": truth.done - np.uint32(1)},
        "cell": {"cell": (truth.cell + 33) % plant.building.grid.cells},
        "heading": {"heading": (truth.heading + 2) % 4},
    }[lie]
    manager.step(plant.now, [dataclasses.replace(truth, **change)])
    out = [m for m in plant.step(manager) if isinstance(m, Release)]
    assert all(0 not in m.unit for m in out)
    plant.units[0].mute = True  # it stands from here on, and nobody may meet it
    plant.results.clear()
    operate(plant, manager, 500, sit_out=[0])
    assert sum(result == ErrandResult.DONE for result in plant.results.values()) > 10
    number = plant.order(0, 0)
    plant.run(manager, 2)
    assert plant.results[0, number] == ErrandResult.REJECTED


def test_old_states_are_ignored() -> None:
    plant = Plant(make_building(1, 0), 10, cells=[0])
    manager = plant.start()
    early = plant.state()
    number = plant.order(0, 6)
    while plant.units[0].done < 2:
        plant.step(manager)
    plant.step(manager, [early])
    plant.run(manager, 60)
    assert plant.results[0, number] == ErrandResult.DONE
    assert plant.alarms == []


@pytest.mark.parametrize("seed", range(6))
def test_a_fenced_unit_is_taken_in_again_when_it_is_reset(seed: int) -> None:
    plant = Plant(make_building(4, 4, OPEN), seed)
    manager = plant.start()
    operate(plant, manager, 100)
    assert not manager.command(plant.now, UnitReset(0)).ok
    assert not manager.command(plant.now, UnitReset(4)).ok
    truth = plant.state([0])
    lie = dataclasses.replace(truth, stamp=plant.now + STEP / 2, epoch=truth.epoch + np.uint32(1))
    out = manager.step(plant.now + STEP / 2, [lie])
    assert [alarm.kind for alarm in out if isinstance(alarm, Alarm)] == ["fenced"]
    operate(plant, manager, 50, sit_out=[0])
    number = plant.order(0, 0)
    plant.run(manager, 2)
    assert plant.results[0, number] == ErrandResult.REJECTED
    epoch = manager.epoch
    plant.step(manager, [UnitReset(0)])
    operate(plant, manager, 150)
    assert manager.running
    assert manager.epoch == epoch + 1
    plant.results.clear()
    operate(plant, manager, 300)
    assert any(unit == 0 and r == ErrandResult.DONE for (unit, _), r in plant.results.items())


# --- zones ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [0.0, 0.2])
@pytest.mark.parametrize("seed", range(3))
def test_nobody_drives_in_a_closed_zone_until_it_is_reset(seed: int, loss: float) -> None:
    building = make_building(5, 4, OPEN)
    plant = Plant(building, seed, loss=loss)
    manager = plant.start()
    operate(plant, manager, 100 + 10 * seed)
    cells = [row * 10 + column for row in range(3) for column in range(4)]
    plant.step(manager, [zone(ZoneEvent.ENTERED, *cells)])
    assert plant.closed == set(cells)
    inside = {u for u, unit in enumerate(plant.units) if plant.cells(unit) & plant.closed}
    places = [plant.cells(plant.units[u]) for u in sorted(inside)]
    assert "zone" in plant.kinds()
    plant.results.clear()
    operate(plant, manager, 300)
    assert places == [plant.cells(plant.units[u]) for u in sorted(inside)]
    outside = {u for u, unit in enumerate(plant.units) if not plant.cells(unit) & plant.closed}
    assert inside | outside == set(range(5))
    assert any(unit in outside for unit, _ in plant.results), "work goes on elsewhere"
    assert not manager.command(plant.now, zone(ZoneEvent.RESET)).ok, "somebody is in there"
    plant.step(manager, [zone(ZoneEvent.LEFT)])
    operate(plant, manager, 50)
    assert plant.closed == set(cells)
    assert places == [plant.cells(plant.units[u]) for u in sorted(inside)]
    plant.step(manager, [zone(ZoneEvent.RESET)])
    assert plant.closed == set()
    numbers = [plant.order(unit, 40 + 2 * unit) for unit in range(5)]
    plant.run(manager, 300)
    done = [plant.results.get((unit, number)) for unit, number in enumerate(numbers)]
    assert done == [ErrandResult.DONE] * 5
    assert "fenced" not in plant.kinds()


def test_a_zone_stays_closed_over_a_restart() -> None:
    building = make_building(5, 4, OPEN)
    plant = Plant(building, 5)
    manager = plant.start()
    operate(plant, manager, 100)
    cells = [row * 10 + column for row in range(2) for column in range(3)]
    plant.step(manager, [zone(ZoneEvent.ENTERED, *cells)])
    operate(plant, manager, 20)
    told = manager.keep_outs(plant.now)
    manager = TrafficManager(building, 0, iterations=ATTEMPTS, closed=told)
    for _ in range(round(2.2 * GRACE / STEP)):
        plant.step(manager, [plant.pods()])
    assert manager.running
    assert plant.closed == set(cells)
    operate(plant, manager, 200)
    plant.step(manager, [zone(ZoneEvent.LEFT)])
    plant.step(manager, [zone(ZoneEvent.RESET)])
    for _ in range(50):  # units that stood on their way come to the end of their bases
        plant.step(manager)
    for unit in range(5):
        manager.command(plant.now, UnitReset(unit))
    operate(plant, manager, 20)
    numbers = [plant.order(unit, 40 + 2 * unit) for unit in range(5)]
    plant.run(manager, 300)
    done = [plant.results.get((unit, number)) for unit, number in enumerate(numbers)]
    assert done == [ErrandResult.DONE] * 5


def test_zone_commands_that_cannot_be_are_refused() -> None:
    building = dataclasses.replace(
        make_building(1, 0), zones=(Zone("dock", (0, 1)), Zone("lane", (4,)))
    )
    plant = Plant(building, 6, cells=[20])
    manager = plant.start()
    for command, words in (
        (zone(ZoneEvent.ENTERED, name="nowhere"), "no zone 'nowhere'"),
        (zone(ZoneEvent.ENTERED, cell_of(building, CellKind.WALL)), "not a wall"),
        (zone(ZoneEvent.LEFT, name="dock"), "not closed"),
        (zone(ZoneEvent.RESET, name="dock"), "not closed"),
    ):
        answer = manager.command(plant.now, command)
        assert not answer.ok
        assert words in answer.reason
    for command in (zone(ZoneEvent.ENTERED, name="dock"),) * 2:
        assert manager.command(plant.now, command).ok
        plant.step(manager)
        assert plant.closed == {0, 1}
    assert manager.command(plant.now, zone(ZoneEvent.ENTERED, 1, 2, name="own")).ok
    plant.step(manager)
    assert plant.closed == {0, 1, 2}
    for event in (ZoneEvent.LEFT, ZoneEvent.RESET):
        assert manager.command(plant.now, zone(event, name="dock")).ok
    plant.step(manager)
    assert plant.closed == {1, 2}


def test_closed_zones_are_kept_on_disk(tmp_path: Path) -> None:
    building = make_building(1, 0)
    file = ZoneFile(str(tmp_path / "zones.json"), building)
    assert file.read().zone == ()
    zones = Zones(building)
    assert zones.apply(zone(ZoneEvent.ENTERED, 3, 4, name="a")) == ""
    assert zones.apply(zone(ZoneEvent.ENTERED, 7, name="b")) == ""
    assert zones.apply(zone(ZoneEvent.LEFT, name="b")) == ""
    file.write(zones.told(1.0))
    again = Zones(building, file.read())
    assert again.told(1.0).zone == ("a", "b")
    assert again.told(1.0).occupied.tolist() == [1, 0]
    assert np.flatnonzero(again.closed).tolist() == [3, 4, 7]
    assert again.apply(zone(ZoneEvent.RESET, name="a")) != ""
    assert again.apply(zone(ZoneEvent.RESET, name="b")) == ""


def test_a_unit_not_heard_of_after_a_restart_keeps_the_cells_that_are_on_disk(
    tmp_path: Path,
) -> None:
    plant = Plant(make_building(4, 4, OPEN), 3, pace=0.3)
    file = UnitFile(str(tmp_path / "units.json"), plant.building)
    assert file.read() == {}
    manager = plant.start()
    operate(plant, manager, 100)
    places = manager.whereabouts()
    assert places is not None
    file.write(places)
    assert file.covers(plant.sent[-5:])
    plant.units[0].mute = True  # and goes on to the end of its base
    again = UnitFile(str(tmp_path / "units.json"), plant.building)
    manager = TrafficManager(plant.building, 0, iterations=ATTEMPTS, last_cells=again.read())
    assert manager.whereabouts() is None
    for _ in range(round(GRACE / STEP) + 50):
        plant.step(manager, [plant.pods()])
    assert manager.running
    assert any("where it was last stays closed" in alarm.text for alarm in plant.alarms)
    here = plant.units[0].cell
    places = manager.whereabouts()
    assert places is not None and here in places[0]
    number = plant.order(1, here)
    for _ in range(300):
        plant.step(manager)  # fails where units meet
    assert (1, number) not in plant.results
    plant.units[0].mute = False
    plant.step(manager)
    assert manager.command(plant.now, UnitReset(0)).ok
    for _ in range(300):
        plant.step(manager)
    # Taken in where it is, and its cells open.
    places = manager.whereabouts()
    assert places is not None and places[0] == (plant.units[0].cell,)


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"unit_0001": [3]}', '{"unit_0000": 3}', '{"unit_0000": [9999]}', '{"a": [1]}'],
)
def test_a_broken_unit_file_is_an_input_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "units.json"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        UnitFile(str(path), make_building(1, 0)).read()
    assert "units.json" in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"a": 1}',
        '{"a": {"occupied": 1}}',
        '{"a": {"cells": [1]}}',
        '{"a": {"occupied": 1, "cells": [9999]}}',
    ],
)
def test_a_broken_zone_file_is_an_input_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "zones.json"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        ZoneFile(str(path), make_building(1, 0)).read()
    assert "zones.json" in str(error.value)


# --- start-up ------------------------------------------------------------------------------------


def test_nothing_moves_before_all_units_and_pods_are_known() -> None:
    plant = Plant(make_building(3, 5), 11)
    manager = TrafficManager(plant.building, 0)
    plant.units[2].mute = True
    for _ in range(20):
        plant.step(manager, [plant.pods()])
    assert not manager.running
    plant.units[2].mute = False
    for _ in range(5):
        plant.step(manager)
    assert manager.running
    manager = TrafficManager(plant.building, 0)
    for _ in range(20):
        plant.step(manager)
    assert not manager.running, "no pod places heard"
    for _ in range(5):
        plant.step(manager, [plant.pods()])
    assert manager.running


def test_a_unit_not_heard_of_is_left_out_and_taken_in_when_it_comes() -> None:
    plant = Plant(make_building(4, 8), 12)
    plant.units[1].mute = True
    manager = TrafficManager(plant.building, 0)
    for _ in range(round(GRACE / STEP) + 10):
        plant.step(manager, [plant.pods()])
    assert manager.running
    assert plant.kinds() == ["fenced"]
    # Where it stands nobody can know, so it must stand aside here.
    aside = plant.units[1].cell
    plant.units[1].cell = -1
    operate(plant, manager, 300, sit_out=[1])
    while True:
        plant.units[1].cell = aside
        if all(aside not in plant.cells(u) for u in plant.units if u is not plant.units[1]):
            break
        plant.units[1].cell = -1
        operate(plant, manager, 1, sit_out=[1])
    for unit in plant.units:
        unit.status = UnitStatus.OK
    plant.units[1].mute = False
    epoch = manager.epoch
    for _ in range(100):
        plant.step(manager)
    assert manager.running
    assert manager.epoch == epoch + 1
    number = plant.order(1, 0)
    operate(plant, manager, 300, sit_out=[1])
    assert plant.results[1, number] == ErrandResult.DONE


def test_two_units_in_one_cell_are_both_fenced() -> None:
    plant = Plant(make_building(3, 0), 13, cells=[0, 20, 40])
    lies = dataclasses.replace(plant.state(), cell=np.array([0, 40, 40], np.int32))
    manager = TrafficManager(plant.building, 0)
    out: list[Message] = []
    for i in range(5):
        out += manager.step(STEP * (i + 1), [dataclasses.replace(lies, stamp=STEP * (i + 1))])
    assert [m.kind for m in out if isinstance(m, Alarm)] == ["fenced", "fenced"]
    assert not manager.running, "unit 0 has not taken the epoch"


def test_equal_inputs_give_equal_outputs() -> None:
    def run() -> str:
        plant = Plant(make_building(6, 12), 14, loss=0.1)
        manager = plant.start(seed=3)
        operate(plant, manager, 200)
        return repr(plant.sent)

    assert run() == run()


def test_planning_is_measured_only_with_a_clock() -> None:
    plant = Plant(make_building(2, 0), 15)
    ticks = iter(range(10**6))
    manager = TrafficManager(plant.building, 0, clock=lambda: float(next(ticks)))
    for _ in range(50):
        plant.step(manager)
    assert manager.planner_ms
    assert set(manager.planner_ms) == {1000.0}
    manager = plant.start()
    plant.run(manager, 10, until=False)
    assert manager.planner_ms == []


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", [CellKind.STATION, CellKind.CHARGER])
def test_a_unit_at_a_workplace_stands_fast_over_a_restart(seed: int, kind: CellKind) -> None:
    plant = Plant(make_building(4, 4, OPEN), seed)
    manager = plant.start()
    place = cell_of(plant.building, kind)
    number = plant.order(0, place, hold=1)
    plant.run(manager, 120)
    assert plant.results[0, number] == ErrandResult.DONE
    manager = TrafficManager(plant.building, 0, iterations=ATTEMPTS)
    for _ in range(50):
        plant.step(manager, [plant.pods()])
    assert manager.running
    for turn in range(8):
        for unit in (1, 2, 3):  # one of them wants to the very place
            plant.order(unit, [place, 44, 34, 50, 2, 54][(turn + 2 * unit) % 6])
        plant.run(manager, 20)
        assert plant.units[0].cell == place, "a person may have a hand in its pod"
    number = plant.order(0, 0)
    plant.run(manager, 120)
    assert plant.results[0, number] == ErrandResult.DONE


class Both:
    """Two traffic managers that were started at the same moment."""

    def __init__(self, building: Building, marks: Sequence[int]) -> None:
        self.leads: dict[int, set[int]] = {}  # epoch -> managers that give releases in it
        self.managers = [
            TrafficManager(building, number, iterations=ATTEMPTS, mark=mark)
            for number, mark in enumerate(marks)
        ]

    def step(self, now: float, inbox: Sequence[Message]) -> list[Message]:
        out: list[Message] = []
        for number, manager in enumerate(self.managers):
            said = manager.step(now, inbox)
            for message in said:
                if isinstance(message, Release):
                    self.leads.setdefault(message.epoch, set()).add(number)
            out += said
        return out


@pytest.mark.parametrize("loss", [0.0, 0.2])
@pytest.mark.parametrize("seed", range(4))
def test_two_managers_at_once_never_lead_in_one_epoch(seed: int, loss: float) -> None:
    plant = Plant(make_building(6, 6, OPEN), seed, loss=loss)
    both = Both(plant.building, plant.rng.sample(range(4096), 2))
    aisles = np.flatnonzero(plant.building.grid.kind == CellKind.TRAVEL).tolist()
    for _ in range(500):
        for unit in range(6):
            if unit not in plant.orders:
                plant.order(unit, plant.rng.choice(aisles))
        plant.step(both, [plant.pods()])  # type: ignore[arg-type]  # fails where units meet
    assert all(len(leaders) == 1 for leaders in both.leads.values()), both.leads
    assert any(manager.running for manager in both.managers)


def test_an_epoch_that_nobody_gave_is_not_followed() -> None:
    plant = Plant(make_building(3, 0), 13, cells=[0, 20, 40])
    plant.units[1].epoch = 2**32 - 1
    manager = plant.start()
    assert plant.kinds() == ["fenced"]
    assert manager.epoch == 1
    number = plant.order(0, 40)
    plant.order(2, 0)
    plant.run(manager, 120)
    assert plant.results[0, number] == ErrandResult.DONE


def test_a_unit_whose_clock_is_ahead_does_not_silence_the_others() -> None:
    plant = Plant(make_building(3, 0), 13, cells=[0, 20, 40])
    manager = plant.start()
    ahead = dataclasses.replace(plant.state([1]), stamp=plant.now + 1e6)
    plant.step(manager, [ahead, ahead])
    assert plant.kinds() == ["clock"]
    numbers = [plant.order(unit, goal) for unit, goal in ((0, 40), (2, 0))]
    plant.run(manager, 120)
    done = [plant.results[unit, number] for unit, number in zip((0, 2), numbers, strict=True)]
    assert done == [ErrandResult.DONE] * 2
    assert plant.kinds() == ["clock"]


# --- time that goes back, units that start anew --------------------------------------------------


@pytest.mark.parametrize("back", [2.0, 7.0, 3600.0])
@pytest.mark.parametrize("seed", range(4))
def test_time_that_goes_back_is_told_and_work_goes_on(seed: int, back: float) -> None:
    plant = Plant(make_building(5, 8), seed, loss=0.1 * (seed % 2), pace=0.5)
    plant.now = 5000.0
    manager = plant.start()
    operate(plant, manager, 150 + 10 * seed)
    epoch, late = manager.epoch, plant.state()
    plant.now -= back
    plant.checker = Checker(plant.building)
    plant.step(manager, [late])  # sent before the step
    assert plant.kinds().count("clock") >= 1
    assert "gone back" in next(a.text for a in plant.alarms if a.kind == "clock")
    plant.results.clear()
    operate(plant, manager, 400)
    assert manager.running
    assert manager.epoch > epoch
    assert "fenced" not in plant.kinds()
    assert sum(result == ErrandResult.DONE for result in plant.results.values()) > 5


def test_a_unit_that_is_silent_when_time_goes_back_keeps_its_cells() -> None:
    plant = Plant(make_building(4, 4, OPEN), 2)
    plant.now = 500.0
    manager = plant.start()
    operate(plant, manager, 100)
    plant.units[0].mute = True  # it drives to the end of what it has, and stands there
    plant.now -= 100.0
    plant.checker = Checker(plant.building)
    for _ in range(round(GRACE / STEP) + 20):
        plant.step(manager, [plant.pods()])
    assert manager.running
    plant.results.clear()
    operate(plant, manager, 500, sit_out=[0])  # fails where units meet
    assert sum(result == ErrandResult.DONE for result in plant.results.values()) > 10
    plant.units[0].mute = False
    plant.results.clear()
    operate(plant, manager, 400)
    assert any(unit == 0 for unit, _ in plant.results), "it is taken in when it is heard again"


def test_a_unit_started_anew_beneath_its_pod_is_not_taken_for_an_empty_one() -> None:
    plant = Plant(make_building(3, 6), 1)
    manager = plant.start()
    plant.order(0, next(iter(plant.pod_at)), LIFT)
    plant.run(manager, 120)
    unit = plant.units[0]
    pod = unit.pod
    assert pod >= 0
    # Its computer starts anew: no epoch, no load.
    unit.epoch, unit.done, unit.base, unit.load, unit.pod = 0, 0, [], Load.NONE, -1
    operate(plant, manager, 5, sit_out=[0])
    assert plant.kinds() == ["fenced"]
    answer = manager.command(plant.now, UnitReset(0))
    assert not answer.ok
    assert f"pod {pod}" in answer.reason
    operate(plant, manager, 20, sit_out=[0])
    assert manager.running
    assert plant.told[pod] == -1
    # A person has taken the pod off, and says so.
    assert manager.command(plant.now, UnitReset(0)).ok
    operate(plant, manager, 200, sit_out=[0])
    assert manager.running
    assert [a.text for a in plant.alarms if a.kind == "pod"] == [
        f"pod {pod} is no longer on unit_0000; nobody says where"
    ]
    number = plant.order(0, 0)
    plant.run(manager, 120)
    assert plant.results[0, number] == ErrandResult.DONE


def test_a_unit_started_anew_that_still_knows_its_pod_comes_back_with_one_reset() -> None:
    plant = Plant(make_building(3, 6), 1)
    manager = plant.start()
    plant.order(0, next(iter(plant.pod_at)), LIFT)
    plant.run(manager, 120)
    unit = plant.units[0]
    unit.epoch, unit.done, unit.base = 0, 0, []
    operate(plant, manager, 5, sit_out=[0])
    assert plant.kinds() == ["fenced"]
    assert manager.command(plant.now, UnitReset(0)).ok
    operate(plant, manager, 100, sit_out=[0])
    number = plant.order(0, cell_of(plant.building, CellKind.STATION), FACE)
    plant.run(manager, 120)
    assert plant.results[0, number] == ErrandResult.DONE


@pytest.mark.parametrize("seed", range(4))
def test_a_unit_that_is_reset_and_not_heard_of_again_keeps_its_cells(seed: int) -> None:
    plant = Plant(make_building(4, 4, OPEN), seed)
    manager = plant.start()
    operate(plant, manager, 100)
    truth = plant.state([0])
    lie = dataclasses.replace(truth, stamp=plant.now + STEP / 2, epoch=truth.epoch + np.uint32(1))
    manager.step(plant.now + STEP / 2, [lie])
    operate(plant, manager, 50, sit_out=[0])
    assert manager.command(plant.now, UnitReset(0)).ok
    plant.units[0].mute = True  # its battery is empty now
    here = plant.units[0].cell
    operate(plant, manager, round(2 * GRACE / STEP), sit_out=[0])
    assert manager.running
    assert plant.kinds()[-1] == "fenced"
    number = plant.order(1, here)
    plant.results.clear()
    operate(plant, manager, 300, sit_out=[0])  # fails where units meet
    assert (1, number) not in plant.results
    assert plant.results
