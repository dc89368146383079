"""Robo-Stow: kinematics, the lift cycle, refusals, and the interlock."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_stow.errors import InputError
from robo_stow.floor.building import Building
from robo_stow.floor.load import load_building
from robo_stow.lifter import kinematics
from robo_stow.lifter.core import LifterCore
from robo_stow.lifter.kinematics import LIMITS, forward, handoff_point, inverse, poses
from robo_stow.messages import (
    Alarm,
    DriveStatus,
    FleetState,
    LifterCommand,
    LifterFeedback,
    LifterState,
    LiftPhase,
    LiftRequest,
    LiftResult,
    Load,
    Message,
    UnitStatus,
)
from robo_stow.sim.lifter_drives import LifterDrives

DT = 0.1


@pytest.fixture(scope="module")
def building() -> Building:
    return load_building("demo")


# --- kinematics --------------------------------------------------------------------------------

joints = st.tuples(*(st.floats(low, high) for low, high in LIMITS))


@settings(max_examples=200, deadline=None)
@given(joint=joints)
def test_inverse_finds_joints_within_limits_for_every_pose_of_the_arm(
    joint: kinematics.Joints,
) -> None:
    position, rotation = forward(joint)
    found = inverse(position, rotation, joint)
    assert found is not None
    assert all(low <= q <= high for q, (low, high) in zip(found, LIMITS, strict=True))
    again, orientation = forward(found)
    assert np.allclose(again, position, atol=1e-6)
    assert np.allclose(orientation, rotation, atol=1e-5)


def test_zero_joints_stretch_the_arm_along_x() -> None:
    position, rotation = forward((0.0,) * 6)
    longest = kinematics.UPPER_ARM + kinematics.FOREARM + kinematics.TOOL
    assert position.tolist() == [longest, 0.0, kinematics.SHOULDER]
    assert rotation.tolist() == np.eye(3).tolist()


def test_what_is_out_of_reach_has_no_joints() -> None:
    near = (0.0,) * 6
    assert inverse(np.array([9.0, 0.0, 1.0]), np.eye(3), near) is None
    assert inverse(np.array([kinematics.TOOL, 0.0, kinematics.SHOULDER]), np.eye(3), near) is None


@pytest.mark.parametrize("name", ["demo", "dupont"])
def test_poses_reach_dock_and_hand_off_level_and_square(name: str) -> None:
    building = load_building(name)
    pocket = np.array([0.0, 0.0, kinematics.POCKET])
    for site in building.lifters:
        at = poses(building, site)
        for joint, point in (
            (at.insert[-1], np.array(site.dock)),
            (at.handoff, handoff_point(building, site)),
        ):
            position, rotation = forward(joint)
            assert np.allclose(position + site.base, point + pocket, atol=1e-6)
            assert rotation[2, 2] == pytest.approx(1.0)
            turns = math.atan2(rotation[1, 0], rotation[0, 0]) / (math.pi / 2)
            assert turns == pytest.approx(round(turns), abs=1e-6)


def test_the_fork_slides_nearly_straight_into_and_out_of_pallets(building: Building) -> None:
    site = building.lifters[0]
    at = poses(building, site)
    for path in ((at.approach[-1], *at.insert), (at.handoff, *at.withdraw)):
        ends = [forward(joint)[0] for joint in (path[0], path[-1])]
        along = (ends[1] - ends[0]) / np.linalg.norm(ends[1] - ends[0])
        assert np.linalg.norm(ends[1] - ends[0]) == pytest.approx(kinematics.INSERTION)
        for a, b in itertools.pairwise(path):
            for share in np.linspace(0, 1, 21):
                joint = tuple(p + share * (q - p) for p, q in zip(a, b, strict=True))
                away = forward(joint)[0] - ends[0]
                stray = np.linalg.norm(away - along * (away @ along))
                assert stray <= 1.2 * kinematics.STRAIGHT


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"dock": (20.5, 50.0, 0.0)}, "lifter_1.dock"),
        ({"base": (20.5, 44.0, 1.0), "dock": (20.5, 47.0, 0.0)}, "lifter_1.cell"),
        ({"base": (20.5, 40.9, 1.0)}, "lifter_1.dock"),
    ],
)
def test_a_site_out_of_reach_is_an_input_error_of_the_building(
    building: Building, change: dict[str, tuple[float, float, float]], field: str
) -> None:
    site = dataclasses.replace(building.lifters[0], **change)
    with pytest.raises(InputError, match="out of reach") as error:
        LifterCore(building, site)
    assert error.value.source == building.source
    assert error.value.field == field


# --- the lifter at work ------------------------------------------------------------------------


def fleet(
    now: float,
    building: Building,
    unit: int = 4,
    cell: int | None = None,
    speed: float = 0.0,
    offset: float = 0.0,
    load: Load = Load.NONE,
    status: UnitStatus = UnitStatus.OK,
    pending: int = 0,
) -> FleetState:
    """A report of one unit; by default it stands ready at the hand-off."""
    cell = building.lifters[0].cell if cell is None else cell
    x, y = building.grid.xy(np.array([cell], np.int32))
    zero = np.zeros(1, np.float32)
    return FleetState(
        stamp=now,
        unit=np.array([unit], np.int32),
        epoch=np.ones(1, np.uint32),
        done=np.array([7], np.uint32),
        released=np.array([7 + pending], np.uint32),
        cell=np.array([cell], np.int32),
        heading=np.zeros(1, np.uint8),
        x=(x + offset).astype(np.float32),
        y=y.astype(np.float32),
        yaw=zero,
        speed=np.array([speed], np.float32),
        load=np.array([load], np.uint8),
        load_id=np.array([-1], np.int32),
        battery=zero,
        status=np.array([status], np.uint8),
    )


class Rig:
    """A lifter's controller with its simulated drives, and what passes between them."""

    def __init__(
        self,
        building: Building,
        weight: float = 500.0,
        lose: Callable[[], bool] = lambda: False,
    ) -> None:
        self.building, self.site = building, building.lifters[0]
        self.core = LifterCore(building, self.site)
        self.drives = LifterDrives(building, self.site, 5, 0)
        self.drives.at_dock = weight
        self.lose = lose
        self.ticks = 0
        self.commands: list[LifterCommand] = []
        self.said: list[Message] = []
        self.let_go: list[tuple[float, str]] = []
        self.report: Callable[[float], FleetState | None] = lambda now: None
        self._pending: list[LifterCommand] = []
        self.feedback: LifterFeedback

    @property
    def now(self) -> float:
        return self.ticks * DT

    def request(
        self, pallet: str = "p1", weight: float = 500.0, unit: int = 4, stamp: float | None = None
    ) -> LiftRequest:
        stamp = self.now if stamp is None else stamp
        return LiftRequest(stamp, self.site.id, pallet, weight, unit)

    def tick(self, *inbox: Message) -> list[Message]:
        """One step of both; returns what the controller says besides commands."""
        self.ticks += 1
        now = self.now
        for command in self._pending:
            self.drives.command(now, command)
        feedback, let_go = self.drives.step(now)
        self.feedback = feedback or self.feedback
        if let_go:
            self.let_go.append((now, let_go))
        state = self.report(now)
        heard = [m for m in (state, feedback) if m is not None and not self.lose()]
        said = self.core.step(now, [*heard, *inbox])
        commands = [m for m in said if isinstance(m, LifterCommand)]
        self._pending = [c for c in commands if not self.lose()]
        self.commands += commands
        rest = [m for m in said if not isinstance(m, LifterCommand)]
        self.said += rest
        return rest

    def run(self, seconds: float) -> Iterator[list[Message]]:
        for _ in range(round(seconds / DT)):
            yield self.tick()

    def until(self, kind: type, seconds: float = 200.0) -> Message:
        for said in self.run(seconds):
            for message in said:
                if isinstance(message, kind):
                    return message
        raise AssertionError(f"no {kind.__name__} within {seconds} s")

    def until_phase(self, phase: LiftPhase, seconds: float = 200.0) -> LifterState:
        for said in self.run(seconds):
            for message in said:
                if isinstance(message, LifterState) and message.phase is phase:
                    return message
        raise AssertionError(f"never {phase.name}")


def phases(said: list[Message]) -> list[LiftPhase]:
    return [
        phase for phase, _ in itertools.groupby(m.phase for m in said if isinstance(m, LifterState))
    ]


def test_a_whole_cycle_sets_the_pallet_on_the_unit(building: Building) -> None:
    rig = Rig(building)
    rig.report = lambda now: fleet(now, building)
    rig.tick(rig.request())
    result = rig.until(LiftResult)
    assert result == LiftResult(rig.now, rig.site.id, "p1", 4, True, "")
    assert 30.0 < rig.now < 60.0
    assert [what for _, what in rig.let_go] == ["handed over"]
    assert rig.drives.gripped == 0.0
    rig.until_phase(LiftPhase.IDLE)
    assert phases(rig.said) == [
        LiftPhase.APPROACH,
        LiftPhase.GRIP,
        LiftPhase.LIFT,
        LiftPhase.PLACE,
        LiftPhase.RELEASE,
        LiftPhase.RETURN,
        LiftPhase.IDLE,
    ]
    assert not any(isinstance(m, Alarm) for m in rig.said)
    # Back where it began, ready for the next.
    rig.drives.at_dock = 700.0
    rig.tick(rig.request("p2", 700.0))
    assert isinstance(second := rig.until(LiftResult), LiftResult)
    assert (second.pallet, second.ok) == ("p2", True)


def test_requests_are_served_in_turn_and_repeats_change_nothing(building: Building) -> None:
    rig = Rig(building)
    rig.report = lambda now: fleet(now, building)
    rig.tick(rig.request("p1"), rig.request("p2", 510.0), rig.request("p3", 520.0))
    results: list[LiftResult] = []
    for _ in range(4000):
        if rig.ticks % 20 == 0:
            inbox = [rig.request(f"p{i}", 490.0 + 10 * i) for i in (3, 2, 1)]
        else:
            inbox = []
        if rig.drives.at_dock == 0.0 and rig.drives.gripped == 0.0:
            rig.drives.at_dock = 500.0
        results += [m for m in rig.tick(*inbox) if isinstance(m, LiftResult)]
    first = {r.pallet: r for r in reversed(results)}
    assert [p for p, _ in itertools.groupby(r.pallet for r in results)][:1] == ["p1"]
    assert [r.pallet for r in sorted(first.values(), key=lambda r: r.stamp)] == ["p1", "p2", "p3"]
    assert all(r == first[r.pallet] for r in results)
    assert len(results) > 100
    assert len(rig.let_go) == 3


@pytest.mark.parametrize(
    ("weight", "kind", "words"),
    [
        (6001.0, "overload", ("6001", "6000")),
        (math.inf, "overload", ("inf", "6000")),
        (0.0, "weight", ("0.0",)),
        (math.nan, "weight", ("nan",)),
    ],
)
def test_a_declared_weight_that_is_too_much_or_none_is_refused_untouched(
    building: Building, weight: float, kind: str, words: tuple[str, ...]
) -> None:
    rig = Rig(building, 6500.0)
    rig.tick()
    said = rig.tick(rig.request(weight=weight))
    result = next(m for m in said if isinstance(m, LiftResult))
    alarm = next(m for m in said if isinstance(m, Alarm))
    assert not result.ok
    assert alarm.kind == kind
    for word in words:
        assert word in result.reason
    for _ in rig.run(5.0):
        pass
    assert rig.commands == []


def test_the_rated_load_itself_is_lifted(building: Building) -> None:
    rig = Rig(building, 5990.0)
    rig.report = lambda now: fleet(now, building)
    rig.tick(rig.request(weight=6000.0))
    assert rig.until(LiftResult).ok


@pytest.mark.parametrize(
    ("declared", "real", "kind", "words"),
    [
        (5900.0, 6150.0, "overload", ("6000",)),
        (500.0, 560.0, "weight", ("500",)),
        (500.0, 430.0, "weight", ("500",)),
        (500.0, 0.0, "weight", ("0 kg", "500")),
    ],
)
def test_what_weighs_other_than_declared_is_put_down_again(
    building: Building, declared: float, real: float, kind: str, words: tuple[str, ...]
) -> None:
    rig = Rig(building, real)
    rig.report = lambda now: fleet(now, building)
    rig.tick(rig.request(weight=declared))
    result = rig.until(LiftResult)
    assert not result.ok
    for word in words:
        assert word in result.reason
    assert [m.kind for m in rig.said if isinstance(m, Alarm)] == [kind]
    assert rig.drives.at_dock == real
    assert [what for _, what in rig.let_go] == (["docked"] if real else [])
    assert LiftPhase.LIFT not in phases(rig.said)
    rig.until_phase(LiftPhase.IDLE)
    # The same request has the same answer; a corrected declaration is tried.
    assert result in rig.tick(rig.request(weight=declared))
    if real and kind == "weight":
        rig.tick(rig.request(weight=real))
        assert rig.until(LiftResult).ok


@pytest.mark.parametrize(
    "wrong",
    [
        {"unit": 5},
        {"cell": 3},
        {"speed": 0.1},
        {"offset": 0.2},
        {"load": Load.POD},
        {"load": Load.PALLET},
        {"status": UnitStatus.DEAD},
        {"status": UnitStatus.STOPPED},
        {"pending": 1},
        None,
    ],
)
def test_the_load_is_held_until_the_unit_is_in_place(
    building: Building, wrong: dict[str, object] | None
) -> None:
    rig = Rig(building)
    rig.report = lambda now: None if wrong is None else fleet(now, building, **wrong)
    rig.tick(rig.request())
    rig.until_phase(LiftPhase.WAIT_FOR_UNIT)
    for said in rig.run(60.0):
        assert not any(isinstance(m, LiftResult) for m in said)
    assert rig.let_go == []
    assert rig.drives.gripped == 500.0
    rig.report = lambda now: fleet(now, building)
    assert rig.until(LiftResult).ok
    assert rig.let_go[0][1] == "handed over"


def test_old_reports_prove_nothing(building: Building) -> None:
    rig = Rig(building)
    rig.report = lambda now: fleet(now - 1.5, building)
    rig.tick(rig.request())
    rig.until_phase(LiftPhase.WAIT_FOR_UNIT)
    for _ in rig.run(30.0):
        pass
    assert rig.let_go == []
    # A report that arrives after a newer one is no news either.
    reports = iter([fleet(rig.now + 0.1, building, cell=3), fleet(rig.now - 0.2, building)])
    rig.report = lambda now: next(reports, None)
    for _ in rig.run(3.0):
        pass
    assert rig.commands[-1].gripper_closed
    assert phases(rig.said)[-1] is LiftPhase.WAIT_FOR_UNIT


def test_a_unit_that_leaves_before_the_gripper_opens_is_waited_for_again(
    building: Building,
) -> None:
    rig = Rig(building)
    rig.report = lambda now: fleet(now, building)
    rig.tick(rig.request())
    rig.until_phase(LiftPhase.RELEASE)
    rig.report = lambda now: fleet(now, building, cell=3)
    rig.until_phase(LiftPhase.WAIT_FOR_UNIT)
    assert rig.drives.gripped == 500.0
    rig.report = lambda now: fleet(now, building)
    assert rig.until(LiftResult).ok


def test_another_unit_may_be_named_while_the_load_is_held(building: Building) -> None:
    rig = Rig(building)
    rig.report = lambda now: fleet(now, building, unit=9)
    rig.tick(rig.request())
    rig.until_phase(LiftPhase.WAIT_FOR_UNIT)
    for _ in rig.run(10.0):
        pass
    rig.tick(rig.request(unit=9))
    result = rig.until(LiftResult)
    assert (result.unit, result.ok) == (9, True)


def test_a_load_that_waits_long_is_reported_once(building: Building) -> None:
    rig = Rig(building)
    rig.tick(rig.request())
    for _ in rig.run(700.0):
        pass
    assert [m.kind for m in rig.said if isinstance(m, Alarm)] == ["handoff"]


def test_silent_drives_are_reported_and_commands_repeated(building: Building) -> None:
    rig = Rig(building)
    rig.tick()
    rig.tick(rig.request())
    rig.lose = lambda: True
    for _ in rig.run(100.0):
        pass
    assert [m.kind for m in rig.said if isinstance(m, Alarm)] == ["drives"]
    assert phases(rig.said)[-1] is LiftPhase.FAULT
    assert len({c.sequence for c in rig.commands}) == 1
    assert len(rig.commands) == pytest.approx(100, abs=10)
    rig.lose = lambda: False
    rig.report = lambda now: fleet(now, building)
    assert rig.until(LiftResult).ok


def test_a_restarted_controller_goes_on_with_the_load_in_its_gripper(building: Building) -> None:
    for seconds in (12.0, 14.0, 18.0, 25.0, 40.0):
        rig = Rig(building)
        rig.tick(rig.request())
        for _ in rig.run(seconds):
            pass
        rig.core = LifterCore(building, rig.site)
        for _ in rig.run(5.0):
            pass
        held = rig.drives.gripped
        hanging = rig.drives._weigh() > 0.0
        rig.tick(rig.request("other", 900.0))
        for _ in rig.run(1.0):
            pass
        if hanging:
            assert [m.kind for m in rig.said if isinstance(m, Alarm)] == ["load"]
            assert rig.drives.gripped == held
            rig.report = lambda now: fleet(now, building)
            rig.tick(rig.request())
            result = rig.until(LiftResult)
            assert (result.pallet, result.ok) == ("p1", True)
            assert [what for _, what in rig.let_go] == ["handed over"]


def test_messages_of_other_lifters_are_not_heard(building: Building) -> None:
    rig = Rig(building)
    rig.tick(dataclasses.replace(rig.request(), lifter="lifter_9"))
    far = LifterFeedback(99.0, "lifter_9", 50, (0.0,) * 6, True, 800.0, DriveStatus.STOPPED, 0.0)
    rig.tick(far)
    for _ in rig.run(3.0):
        pass
    assert rig.commands == []
    states = [m for m in rig.said if isinstance(m, LifterState)]
    assert len(states) == pytest.approx(3, abs=1)  # once a second when nothing changes


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), loss=st.sampled_from([0.0, 0.2, 0.6]))
def test_interlock_holds_whatever_units_do_and_messages_suffer(seed: int, loss: float) -> None:
    """Never is the gripper told to open over the hand-off without a fresh report of the unit in
    place, and every lift ends once the unit stays."""
    building = load_building("demo")
    rng = np.random.default_rng(seed)
    rig = Rig(building, lose=lambda: bool(rng.random() < loss))
    delivered: list[FleetState] = []
    wrong: list[dict[str, object]] = [
        {},
        {"cell": 3},
        {"speed": 0.3},
        {"load": Load.PALLET},
        {"status": UnitStatus.STOPPED},
        {"unit": 8},
        {"pending": 2},
    ]
    mood: dict[str, object] = {}

    def report(now: float) -> FleetState | None:
        nonlocal mood
        if now > 150.0:
            mood = {}
        elif rng.random() < 0.05:
            mood = wrong[int(rng.integers(len(wrong)))]
        if now < 150.0 and rng.random() < 0.1:
            return None
        return fleet(now - (0.8 * rng.random() if now < 150.0 else 0.0), building, **mood)

    rig.report = report
    listen = rig.core.step

    def overheard(now: float, inbox: list[Message]) -> list[Message]:
        delivered.extend(m for m in inbox if isinstance(m, FleetState) and m.unit[0] == 4)
        said = listen(now, inbox)
        for command in said:
            if not isinstance(command, LifterCommand) or command.gripper_closed:
                continue
            column = forward(command.joint)[0] + rig.site.base
            over = np.hypot(*(column - handoff_point(building, rig.site))[:2]) < 0.5
            if not over or not rig.drives._closed:
                continue
            latest = max(delivered, key=lambda m: m.stamp)
            assert now - latest.stamp <= 1.0
            assert latest.cell[0] == rig.site.cell
            assert latest.speed[0] == 0.0
            assert latest.load[0] == Load.NONE
            assert latest.status[0] == UnitStatus.OK
            assert latest.done[0] == latest.released[0]
        return said

    rig.core.step = overheard  # type: ignore[method-assign]
    result: LiftResult | None = None
    while result is None and rig.now < 400.0:
        asked = [rig.request()] if rig.ticks % 30 == 0 else []
        for message in rig.tick(*asked):
            if isinstance(message, LiftResult):
                result = message
    assert result is not None
    assert [what for _, what in rig.let_go] == ["handed over"]
    assert result.ok or "lost the load" in result.reason


def test_a_report_of_one_unit_says_nothing_of_the_next(building: Building) -> None:
    first = Rig(building)
    first.report = lambda now: fleet(now, building)
    first.tick(first.request())
    first.until_phase(LiftPhase.RELEASE)
    rig = Rig(building)
    rig.report = lambda now: fleet(now, building) if rig.ticks < first.ticks - 1 else None
    rig.tick(rig.request())
    while rig.ticks < first.ticks - 1:
        rig.tick()
    rig.tick(rig.request(unit=9))  # the old unit's report is still fresh
    for _ in rig.run(5.0):
        pass
    assert phases(rig.said)[-1] is LiftPhase.WAIT_FOR_UNIT


# --- stops -------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(
    at=st.floats(0.5, 55.0),
    power=st.booleans(),
    seconds=st.floats(0.2, 20.0),
    loss=st.sampled_from([0.0, 0.2]),
)
def test_a_stop_at_any_moment_holds_the_load_until_reset(
    at: float, power: bool, seconds: float, loss: float
) -> None:
    building = load_building("demo")
    rng = np.random.default_rng(3)
    rig = Rig(building, lose=lambda: bool(rng.random() < loss))
    rig.report = lambda now: fleet(now, building)
    asked = rig.request()
    rig.tick(asked)
    for _ in rig.run(at):
        pass
    drives = rig.drives
    held, closed, let_go = drives.gripped, rig.feedback.gripper_closed, list(rig.let_go)
    (drives.cut_power if power else drives.stop)()
    for _ in rig.run(0.5):  # braking
        pass
    still = rig.feedback.joint
    for _ in rig.run(seconds):
        assert rig.feedback.joint == still
        assert rig.feedback.gripper_closed == closed
        assert drives.gripped == held
    assert rig.let_go == let_go
    if power:
        drives.reset()  # means nothing without power
        assert drives.status is DriveStatus.NO_POWER
        drives.restore_power()
        for _ in rig.run(2.0):
            pass
    assert drives.status is DriveStatus.STOPPED  # nothing starts by itself
    assert rig.feedback.joint == still
    drives.reset()
    for _ in range(5):  # the request may have been lost
        rig.tick(asked)
    if not any(isinstance(m, LiftResult) for m in rig.said):
        rig.until(LiftResult)
    assert [what for _, what in rig.let_go] == ["handed over"]
    assert drives.gripped == 0.0


@pytest.mark.parametrize(("cut", "kind"), [(False, "estop"), (True, "power")])
def test_a_stop_is_told_once_and_shown(building: Building, cut: bool, kind: str) -> None:
    rig = Rig(building)
    rig.report = lambda now: fleet(now, building)
    rig.tick(rig.request())
    rig.until_phase(LiftPhase.LIFT)
    (rig.drives.cut_power if cut else rig.drives.stop)()
    assert rig.until_phase(LiftPhase.FAULT).pallet == "p1"
    sent = len(rig.commands)
    for _ in rig.run(5.0):
        pass
    assert len(rig.commands) == sent
    alarms = [m for m in rig.said if isinstance(m, Alarm)]
    assert [(a.kind, a.text.endswith("holds 500 kg") or "holds" in a.text) for a in alarms] == [
        (kind, True)
    ]


def test_no_gripper_opens_after_a_stop_when_the_unit_has_left(building: Building) -> None:
    rig = Rig(building)
    rig.report = lambda now: fleet(now, building)
    rig.tick(rig.request())
    rig.until_phase(LiftPhase.RELEASE)
    rig.drives.stop()
    for _ in rig.run(2.0):
        pass
    rig.report = lambda now: fleet(now, building, cell=building.lifters[0].queue[0])
    rig.drives.reset()
    for _ in rig.run(30.0):
        pass
    assert rig.drives.gripped == 500.0 and rig.let_go == []
    rig.report = lambda now: fleet(now, building)
    rig.until(LiftResult)
    assert [what for _, what in rig.let_go] == ["handed over"]
