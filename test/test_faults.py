"""Everything that can go wrong with a fleet, interleaved at random; and ends in every write.

``FAULT_EXAMPLES=500 pytest test/test_faults.py`` looks further than the suite does.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from plant import ATTEMPTS, HALL, OPEN, STEP, Plant, make_building, operate, zone

from robo_stow.floor.building import CellKind
from robo_stow.messages import ErrandResult, Message, UnitReset, UnitStatus, ZoneEvent
from robo_stow.traffic.checker import Checker
from robo_stow.traffic.kept import UnitFile, write_durably
from robo_stow.traffic.manager import TrafficManager
from robo_stow.traffic.startup import GRACE
from robo_stow.traffic.zones import ZoneFile

EXAMPLES = int(os.environ.get("FAULT_EXAMPLES", "10"))
UNITS = 5
ZONES = {"north": (0, 1, 2, 10, 11, 12), "east": (18, 19, 28, 29)}  # of both floors
KEPT_EVERY = 1.0
"""s after which the node writes the units' cells also when no release asks for it."""


class Process:
    """A traffic manager with the files that its node keeps, written as the node writes them."""

    def __init__(self, plant: Plant, folder: Path, mark: int) -> None:
        self._plant = plant
        self._units = UnitFile(str(folder / "units.json"), plant.building)
        self._zones = ZoneFile(str(folder / "zones.json"), plant.building)
        self._kept_at = -1e9
        self.manager = TrafficManager(
            plant.building,
            0,
            iterations=ATTEMPTS,
            mark=mark,
            closed=self._zones.read(),
            last_cells=self._units.read(),
        )

    def step(self, now: float, inbox: Sequence[Message]) -> list[Message]:
        register = [] if self.manager.running else [self._plant.pods()]
        said = self.manager.step(now, [*inbox, *register])
        self._zones.write(self.manager.keep_outs(now))
        if not (self._units.covers(said) and 0.0 <= now - self._kept_at < KEPT_EVERY):
            self._kept_at = now
            places = self.manager.whereabouts()
            if places is not None:
                self._units.write(places)
        return said


class Site:
    """The processes that manage traffic: one, for a while none or two."""

    def __init__(self, plant: Plant, folder: Path) -> None:
        self._plant = plant
        self._folder = folder
        self.processes: list[Process] = []
        self.begin()

    def begin(self) -> None:
        mark = self._plant.rng.randrange(4096)
        self.processes.append(Process(self._plant, self._folder, mark))

    def step(self, now: float, inbox: Sequence[Message]) -> list[Message]:
        return [message for process in self.processes for message in process.step(now, inbox)]

    @property
    def running(self) -> bool:
        return all(process.manager.running for process in self.processes)


def pass_time(plant: Plant, site: Site, steps: int) -> None:
    operate(plant, site, steps)  # type: ignore[arg-type]


def reset_all(plant: Plant, site: Site) -> None:
    """A person sees to every unit, and says so; a second time where the first is refused."""
    for _ in range(2):
        for unit in range(UNITS):
            for process in site.processes:
                process.manager.command(plant.now, UnitReset(unit))


def inject(plant: Plant, site: Site, kind: str, which: int, back: float) -> None:
    """One fault, or one thing that people do about faults."""
    unit = plant.units[which]
    if kind == "stop" and unit.status == UnitStatus.OK:
        unit.status = UnitStatus.STOPPED
    elif kind == "die" and unit.status == UnitStatus.OK:
        unit.status = UnitStatus.DEAD
    elif kind == "mend":
        unit.status = UnitStatus.OK
    elif kind == "mute":
        unit.mute = not unit.mute
    elif kind == "restart" and not unit.under_way:
        unit.epoch, unit.done, unit.base = 0, 0, []
    elif kind == "links":
        plant.loss = (0.0, 0.1, 0.2, 0.3, 0.4)[which]
    elif kind == "kill":
        site.processes.pop(which % len(site.processes))
        for _ in range(which):  # nobody manages; the units go on
            plant.now += STEP
            plant.work()
        if not site.processes:
            site.begin()
    elif kind == "twice" and len(site.processes) < 2:
        site.begin()
    elif kind == "clock":
        plant.now -= back
        plant.checker = Checker(plant.building)
    elif kind == "reset":
        for process in site.processes:
            process.manager.command(plant.now, UnitReset(which))
    elif kind in ("enter", "leave", "open"):
        name = sorted(ZONES)[which % 2]
        event = {"enter": ZoneEvent.ENTERED, "leave": ZoneEvent.LEFT, "open": ZoneEvent.RESET}
        cells = ZONES[name] if kind == "enter" else ()
        plant.step(site, [zone(event[kind], *cells, name=name)])  # type: ignore[arg-type]


# A unit that is stopped with its LOWER before it is fenced by the next manager, then lowers.
SET_DOWN_UNSEEN = [("stop", 1, 1.5, 29), ("stop", 0, 1.5, 1)]
REPLACED = [("kill", 0, 1.5, 69), ("stop", 0, 1.5, 78)]

FAULTS = st.lists(
    st.tuples(
        st.sampled_from(
            [*("stop", "die", "mend", "mute", "restart", "links", "kill", "twice", "clock")]
            + [*("reset", "enter", "leave", "open")]
        ),
        st.integers(0, UNITS - 1),
        st.sampled_from([1.5, 4.0, 9.0, 30.0, 900.0]),
        st.integers(1, 80),
    ),
    min_size=4,
    max_size=14,
)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=EXAMPLES <= 10,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    seed=st.integers(0, 2**16),
    floor=st.sampled_from([HALL, OPEN]),
    pace=st.sampled_from([0.2, 0.5, 0.9]),
    faults=FAULTS,
)
@example(478, HALL, 0.2, [*SET_DOWN_UNSEEN, ("stop", 0, 1.5, 14), *REPLACED])
@example(478, HALL, 0.2, [*SET_DOWN_UNSEEN, ("stop", 0, 1.5, 28), *REPLACED])
def test_nobody_meets_whatever_happens_at_once_and_all_arrive_when_it_is_over(
    seed: int, floor: str, pace: float, faults: list[tuple[str, int, float, int]]
) -> None:
    plant = Plant(make_building(UNITS, 6, floor), seed, pace=pace)
    plant.now = 20_000.0
    pods = {*plant.pod_at.values()}
    with tempfile.TemporaryDirectory() as folder:
        site = Site(plant, Path(folder))
        pass_time(plant, site, 60)
        for kind, which, back, steps in faults:
            inject(plant, site, kind, which, back)
            pass_time(plant, site, steps)  # fails where units meet, or enter what is closed
        # It is over: people mend, reset and leave, and messages flow again.
        plant.loss = 0.0
        del site.processes[1:]
        for unit in plant.units:
            unit.status, unit.mute = UnitStatus.OK, False
        for event in (ZoneEvent.LEFT, ZoneEvent.RESET):
            for name in ZONES:
                plant.step(site, [zone(event, name=name)])  # type: ignore[arg-type]
        assert plant.closed == set()
        for _ in range(4):
            pass_time(plant, site, round(1.2 * GRACE / STEP))
            reset_all(plant, site)
        pass_time(plant, site, round(2.4 * GRACE / STEP))
        assert site.running
        travel = np.flatnonzero(plant.building.grid.kind == CellKind.TRAVEL).tolist()
        goals = plant.rng.sample(travel, UNITS)
        numbers = [plant.order(unit, goal) for unit, goal in enumerate(goals)]
        plant.run(site, 400.0)  # type: ignore[arg-type]
    done = [plant.results.get((unit, number)) for unit, number in enumerate(numbers)]
    assert done == [ErrandResult.DONE] * UNITS
    carried = [unit.pod for unit in plant.units if unit.pod >= 0]
    assert sorted([*plant.pod_at.values(), *carried]) == sorted(pods)


# --- ends in the middle of a write ---------------------------------------------------------------


class Killed(BaseException):
    """The process is no more."""


@pytest.mark.parametrize("moment", range(7))
def test_an_end_in_any_step_of_a_write_leaves_the_old_file_or_the_new_one(
    moment: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "units.json"
    write_durably(path, "old")
    calls = 0
    completed = False

    def dying(function):  # type: ignore[no-untyped-def]
        def call(*args, **keywords):  # type: ignore[no-untyped-def]
            nonlocal calls
            calls += 1
            if calls == moment + 1:
                raise Killed
            return function(*args, **keywords)

        return call

    with monkeypatch.context() as patch:
        for name in ("open", "replace"):
            patch.setattr(Path, name, dying(getattr(Path, name)))
        for name in ("open", "fsync", "close"):
            patch.setattr(os, name, dying(getattr(os, name)))
        try:
            write_durably(path, "new")
            completed = True
        except Killed:
            pass
    assert calls >= min(moment + 1, 6), "every step of the write was reached"
    text = path.read_text()
    assert text in ("old", "new")
    assert text == "new" or not completed
    write_durably(path, "newer")  # what was left behind is in nobody's way
    assert path.read_text() == "newer"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["units.json"]


WRITER = """
import sys
from pathlib import Path
from robo_stow.traffic.kept import write_durably
for number in range(10**9):
    write_durably(Path(sys.argv[1]), f"{number} " * 20000)
    print(number, flush=True)
"""


def test_what_was_confirmed_outlasts_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "units.json"
    for trial in range(4):
        path.unlink(missing_ok=True)
        child = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "0\n"
        time.sleep(0.003 * trial)
        child.send_signal(signal.SIGKILL)
        confirmed = [0, *(int(line) for line in child.stdout.read().split())]
        child.wait()
        written = path.read_text().split()
        assert len(written) == 20000
        assert len(set(written)) == 1
        assert int(written[0]) >= confirmed[-1]
