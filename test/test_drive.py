"""Drive units: motion, taking over releases, loads, battery, faults."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_stow.drive.motion import RING, DriveUnits
from robo_stow.errors import InputError
from robo_stow.floor.building import CellKind, DriveProfile, Grid
from robo_stow.messages import Action, Heading, Load, PodPlaces, Release, UnitStatus

PROFILE = DriveProfile(
    name="test",
    max_speed=1.5,
    acceleration=1.0,
    turn_time=2.5,
    lift_time=2.2,
    payload=1000.0,
    footprint=0.7,
    mass=300.0,
    battery=1500.0,
    idle_power=40.0,
    drive_power=250.0,
    load_power=150.0,
    lift_energy=0.25,
    charge_power=3000.0,
    charge_below=0.35,
    charge_until=0.85,
)
F, CW, CCW = Action.FORWARD, Action.TURN_CW, Action.TURN_CCW
WIDTH, HEIGHT = 40, 12
STEP_OF = (1, WIDTH, -1, -WIDTH)


def make_grid(pitch: float = 1.0, **kinds: CellKind) -> Grid:
    kind = np.full(WIDTH * HEIGHT, CellKind.TRAVEL, np.uint8)
    for name, value in kinds.items():
        kind[int(name[1:])] = value
    cost = np.zeros(WIDTH * HEIGHT, np.float32)
    return Grid(WIDTH, HEIGHT, pitch, kind, np.full(WIDTH * HEIGHT, 15, np.uint8), cost)


def make_unit(
    cell: int = 5 * WIDTH,
    heading: int = Heading.EAST,
    grid: Grid | None = None,
    first_unit: int = 0,
    pods: tuple[int, ...] = (),
    charge: float = 1.0,
) -> DriveUnits:
    return DriveUnits(
        PROFILE,
        grid or make_grid(),
        1,
        np.array([cell], np.int32),
        np.array([heading], np.uint8),
        first_unit=first_unit,
        pod_cell=np.array(pods, np.int32),
        pod_mass=400.0,
        charge=charge,
    )


def walk(cell: int, heading: int, actions: list[int]) -> tuple[list[int], list[int]]:
    """Cells and headings after each action."""
    cells, headings = [], []
    for action in actions:
        if action == F:
            cell += STEP_OF[heading]
        elif action in (CW, CCW):
            heading = (heading + (1 if action == CW else 3)) % 4
        cells.append(cell)
        headings.append(heading)
    return cells, headings


def release(
    actions: list[int],
    cells: list[int],
    origin: int,
    first: int = 0,
    end: int | None = None,
    epoch: int = 0,
    unit: int = 0,
) -> Release:
    """Actions ``first`` to ``end`` of a route."""
    end = len(actions) if end is None else end
    return Release(
        stamp=0.0,
        epoch=epoch,
        unit=np.array([unit], np.int32),
        first=np.array([first], np.uint32),
        origin=np.array([origin if first == 0 else cells[first - 1]], np.int32),
        count=np.array([end - first], np.int32),
        action=np.array(actions[first:end], np.uint8),
        cell=np.array(cells[first:end], np.int32),
    )


def send(units: DriveUnits, actions: list[int], epoch: int = 0) -> None:
    """Release a whole route from where unit 0 of the group stands."""
    cell, heading = int(units.cell[0]), int(units.heading[0])
    cells, _ = walk(cell, heading, actions)
    taken = units.take(release(actions, cells, cell, epoch=epoch, unit=units.first_unit))
    assert taken.tolist() == [len(actions)]


def trapezoid(way: float, time: float) -> float:
    """Position of a time-optimal move over ``way`` m from rest to rest after ``time`` s."""
    v, a = PROFILE.max_speed, PROFILE.acceleration
    if way < v * v / a:
        v = math.sqrt(way * a)
    whole = way / v + v / a
    if time >= whole:
        return way
    if time < v / a:
        return a * time * time / 2
    if time > whole - v / a:
        return way - a * (whole - time) ** 2 / 2
    return v * (time - v / a / 2)


def seconds_until_done(units: DriveUnits, dt: float, limit: float = 200.0) -> float:
    now = 0.0
    while units.done[0] != units.released[0]:
        units.step(dt)
        now += dt
        assert now < limit
    return now


@pytest.mark.parametrize("dt", [0.01, 0.1, 0.25, 1.7])
@pytest.mark.parametrize("cells", [1, 2, 3, 17])
@pytest.mark.parametrize("pitch", [1.0, 1.3])
def test_straight_run_follows_the_trapezoid_exactly_at_any_step(
    dt: float, cells: int, pitch: float
) -> None:
    units = make_unit(grid=make_grid(pitch))
    send(units, [F] * cells)
    now, way = 0.0, cells * pitch
    while units.done[0] < cells:
        units.step(dt)
        now += dt
        state = units.states(now)
        position = float(state.x[0]) - 0.5 * pitch
        assert position == pytest.approx(trapezoid(way, now), abs=2e-6)
        behind = trapezoid(way, now) / pitch - state.done[0]
        assert -1e-6 <= behind < 1 + 1e-6
        assert state.cell[0] == 5 * WIDTH + state.done[0]
    assert state.speed[0] == 0.0
    assert position == pytest.approx(way, abs=2e-6)


@pytest.mark.parametrize("dt", [0.01, 0.1, 0.25])
def test_time_left_over_goes_into_the_next_action(dt: float) -> None:
    route = [CW, F, CCW, F, F, CW, CW, F]
    quarter = PROFILE.turn_time / 4
    one, two = 2 * math.sqrt(1.0 / PROFILE.acceleration), 2 * math.sqrt(2.0)
    units = make_unit()
    send(units, route)
    assert seconds_until_done(units, dt) == pytest.approx(4 * quarter + 2 * one + two, abs=dt)


def test_no_stop_at_cells_while_the_base_grows_ahead() -> None:
    units, route = make_unit(), [F] * 30
    cells, _ = walk(5 * WIDTH, 0, route)
    slowest = math.inf
    for tick in range(250):
        end = min(30, int(units.done[0]) + 5)
        units.take(release(route, cells, 5 * WIDTH, int(units.released[0]), end))
        units.step(0.1)
        if 2 < units.done[0] < 27:
            slowest = min(slowest, float(units.states(tick).speed[0]))
    assert slowest == pytest.approx(PROFILE.max_speed)
    assert units.done[0] == 30


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_motion_stays_physical_and_within_the_base(data: st.DataObject) -> None:
    """Random routes released bit by bit, random steps and stops."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    pitch = float(rng.uniform(0.5, 2.0))
    route: list[int] = []
    cell = 5 * WIDTH + 10
    at, heading = cell, 0
    while len(route) < 40:
        action = int(rng.choice([F, F, F, F, CW, CCW]))
        if action == F:
            row, col = divmod(at, WIDTH)
            ahead = (col + 1 < WIDTH, row + 1 < HEIGHT, col > 0, row > 0)[heading]
            if not ahead:
                continue
        route.append(action)
        (at,), (heading,) = walk(at, heading, [action])
    cells, headings = walk(cell, 0, route)
    units = make_unit(cell, 0, make_grid(pitch))
    a, top = PROFILE.acceleration, PROFILE.max_speed
    before = units.states(0.0)
    for _ in range(2000):
        known = int(units.released[0])
        if known < len(route) and rng.random() < 0.3:
            units.take(release(route, cells, cell, known, min(len(route), known + 3)))
        if rng.random() < 0.02:
            units.stop(0)
        elif rng.random() < 0.1:
            units.reset(0)
        dt = float(rng.uniform(0.0, 0.25))
        units.step(dt)
        state = units.states(0.0)
        moved = math.hypot(state.x[0] - before.x[0], state.y[0] - before.y[0])
        assert moved <= top * dt + 1e-5
        done, v = int(state.done[0]), float(state.speed[0])
        # A corner needs a standstill in between, in which time the speed can only fall and rise.
        assert abs(v - before.speed[0]) <= a * dt + 1e-5
        assert v <= top + 1e-6
        assert done >= before.done[0]
        assert state.cell[0] == (cells[done - 1] if done else cell)
        assert state.heading[0] == (headings[done - 1] if done else 0)
        run = 0
        while done + run < state.released[0] and route[done + run] == F:
            run += 1
        centre_x, centre_y = make_grid(pitch).xy(state.cell)
        offset = math.hypot(state.x[0] - centre_x[0], state.y[0] - centre_y[0])
        assert offset <= run * pitch + 1e-5
        assert v * v <= 2 * a * (run * pitch - offset) + 1e-4
        before = state
        if done == len(route):
            break
    units.reset(0)
    units.take(release(route, cells, cell, int(units.released[0])))
    for _ in range(1000):
        units.step(0.25)
    assert units.done[0] == len(route)
    assert units.cell[0] == cells[-1]
    assert units.states(0.0).speed[0] == 0.0


def test_yaw_turns_at_a_constant_rate_and_stays_in_range() -> None:
    units = make_unit(heading=Heading.SOUTH)
    send(units, [CW] * 4 + [CCW] * 4)
    quarter, last = PROFILE.turn_time / 4, -math.pi / 2
    for tick in range(80):
        units.step(0.0625)
        yaw = float(units.states(0.0).yaw[0])
        assert -math.pi - 1e-6 <= yaw <= math.pi + 1e-6
        turned = math.remainder(yaw - last, 2 * math.pi)
        rate = math.pi / 2 / quarter * 0.0625
        assert abs(turned) == pytest.approx(rate, abs=1e-5)
        assert turned < 0 if tick < 40 else turned > 0
        last = yaw


# --- releases ----------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_lossy_repeating_reordering_transport_changes_nothing(data: st.DataObject) -> None:
    """Whatever happens to messages on the way, the unit drives the sender's route and no other.

    The sender sends windows of its route again until the unit reports them known.
    """
    route = data.draw(
        st.lists(st.sampled_from([F, F, CW, CCW, Action.LIFT, Action.FACE + 2]), max_size=60)
    )
    cell = 6 * WIDTH + 20
    cells, headings = walk(cell, 0, route)
    if any(not 0 <= c < WIDTH * HEIGHT for c in cells) or any(
        abs(b % WIDTH - a % WIDTH) > 1 for a, b in zip([cell, *cells], cells, strict=False)
    ):
        return
    units = make_unit(cell)
    in_flight: list[Release] = []
    passed = []
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    calm = False
    for tick in range(600):
        known = int(units.released[0])
        if known < len(route):
            first = int(rng.integers(0, known + 1)) if not calm else known
            end = int(rng.integers(first, len(route) + 1)) if not calm else len(route)
            in_flight.append(release(route, cells, cell, first, end))
        keep = []
        for message in rng.permutation(np.array(in_flight, object)) if in_flight else []:
            fate = rng.random()
            if calm or fate < 0.5:
                units.take(message)
            if not calm and 0.3 < fate < 0.8:
                keep.append(message)
        in_flight = keep[-20:]
        before = int(units.done[0])
        units.step(0.25)
        done = int(units.done[0])
        assert units.released[0] >= known
        assert route[before:done].count(F) <= 1  # no cell is jumped
        passed.append((done, int(units.cell[0]), int(units.heading[0])))
        calm = tick > 60
        if done == len(route):
            break
    assert units.done[0] == units.released[0] == len(route)
    for done, at, heading in passed:
        assert at == (cells[done - 1] if done else cell)
        assert heading == (headings[done - 1] if done else 0)


def test_gaps_wrong_origins_and_jumps_are_rejected() -> None:
    route = [F, F, CW, F]
    cell = 5 * WIDTH
    cells, _ = walk(cell, 0, route)
    units = make_unit(cell)

    def rejected(message: Release) -> bool:
        known = units.released.copy()
        return not units.take(message).any() and bool((units.released == known).all())

    assert rejected(release(route, cells, cell, first=1))  # a gap
    assert rejected(release(route, cells, cell + 1))  # begins elsewhere
    assert rejected(release(route, [cell + 2, *cells[1:]], cell))  # a jump
    assert rejected(release(route, [cell + 1, cell + 2, cell + 3, cell + 4], cell))  # sideways
    assert rejected(release([Action.WAIT], [cell], cell))
    assert rejected(release([Action.FACE + 4], [cell], cell))
    assert rejected(release([CW, CW, F], [cell, cell, cell - 1], cell))  # off the grid's edge
    assert units.take(release(route, cells, cell, end=2)).tolist() == [2]
    moved = [cell + 5, cell + 6, *cells[2:]]
    assert rejected(release(route, moved, cell, first=0))  # known part ends elsewhere
    assert rejected(release(route, cells, cell, first=0, end=2))  # known
    assert units.take(release(route, cells, cell, first=1)).tolist() == [2]
    assert units.released[0] == 4


def test_a_wall_is_never_entered() -> None:
    cell = 5 * WIDTH
    units = make_unit(cell, grid=make_grid(**{f"c{cell + 2}": CellKind.WALL}))
    cells, _ = walk(cell, 0, [F, F])
    assert units.take(release([F, F], cells, cell)).tolist() == [0]
    assert units.take(release([F, F], cells, cell, end=1)).tolist() == [1]


def test_a_newer_epoch_only_at_rest_at_the_end_of_the_base_from_the_right_cell() -> None:
    cell = 5 * WIDTH
    units = make_unit(cell)
    send(units, [F, F, F], epoch=0)
    units.step(1.0)
    other, _ = walk(cell, 0, [F])
    assert units.take(release([F], other, cell, epoch=3)).tolist() == [0]  # moving
    seconds_until_done(units, 0.1)
    assert units.take(release([F], other, cell, epoch=3)).tolist() == [0]  # wrong cell
    here = cell + 3
    cells, _ = walk(here, 0, [F, F])
    assert units.take(release([F, F], cells, here, first=1, epoch=3)).tolist() == [0]  # a gap
    assert units.take(release([F, F], cells, here, epoch=3)).tolist() == [2]
    assert (units.epoch[0], units.done[0], units.released[0]) == (3, 0, 2)
    old, _ = walk(here, 0, [CW])
    assert units.take(release([CW], old, here, epoch=2)).tolist() == [0]
    assert seconds_until_done(units, 0.1) > 0
    assert units.cell[0] == here + 2


def test_an_empty_release_of_a_newer_epoch_begins_it() -> None:
    units = make_unit()
    assert units.take(release([], [], int(units.cell[0]), epoch=9)).tolist() == [0]
    assert (units.epoch[0], units.done[0], units.released[0]) == (9, 0, 0)


def test_a_base_longer_than_the_ring_is_taken_in_parts() -> None:
    units = make_unit()
    cell = int(units.cell[0])
    route = [CW, CCW] * RING
    cells, _ = walk(cell, 0, route)
    assert units.take(release(route, cells, cell)).tolist() == [RING]
    units.step(PROFILE.turn_time)
    assert units.take(release(route, cells, cell)).tolist() == [4]
    for _ in range(1000):
        units.take(release(route, cells, cell))
        units.step(0.25)
    assert units.done[0] == len(route)


def test_a_group_takes_only_the_entries_of_its_own_units() -> None:
    units = make_unit(cell=3, first_unit=7)
    message = Release(
        stamp=0.0,
        epoch=0,
        unit=np.array([6, 7, 8], np.int32),
        first=np.zeros(3, np.uint32),
        origin=np.array([0, 3, 9], np.int32),
        count=np.array([2, 1, 1], np.int32),
        action=np.array([F, F, F, F], np.uint8),
        cell=np.array([1, 2, 4, 10], np.int32),
    )
    assert units.take(message).tolist() == [0, 1, 0]
    seconds_until_done(units, 0.1)
    state = units.states(4.5)
    assert (state.stamp, state.unit.tolist(), state.cell.tolist()) == (4.5, [7], [4])


@pytest.mark.parametrize("count", [[-1], [3], [1]])
def test_a_release_whose_arrays_do_not_fit_is_an_input_error(count: list[int]) -> None:
    units = make_unit()
    cell = int(units.cell[0])
    message = Release(
        0.0,
        0,
        np.zeros(1, np.int32),
        np.zeros(1, np.uint32),
        np.array([cell], np.int32),
        np.array(count, np.int32),
        np.array([F, F], np.uint8),
        np.array([cell + 1, cell + 2], np.int32),
    )
    with pytest.raises(InputError, match="Release: count"):
        units.take(message)
    assert units.released[0] == 0


# --- pods, pallets -----------------------------------------------------------------------------


def test_lift_carry_face_and_lower_a_pod() -> None:
    cell = 5 * WIDTH
    units = make_unit(cell, pods=(17, cell))
    send(units, [Action.LIFT, F, Action.FACE + 3, Action.FACE + 1, Action.LOWER, F])
    quarter, lift = PROFILE.turn_time / 4, PROFILE.lift_time
    units.step(lift - 0.01)
    assert units.load[0] == Load.NONE
    assert units.pod_at[cell] == 1
    units.step(0.02)
    assert (units.load[0], units.load_id[0], units.pod_at[cell]) == (Load.POD, 1, -1)
    # Face 3 is one quarter away from face 0, face 1 two from face 3.
    whole = lift + 2.0 + 3 * quarter + lift + 2.0
    assert seconds_until_done(units, 0.01) == pytest.approx(whole - lift - 0.01, abs=0.02)
    assert (units.load[0], units.load_id[0]) == (Load.NONE, -1)
    assert units.pod_at[cell + 1] == 1
    assert units.pod_face.tolist() == [0, 1]
    assert units.states(0.0).load_id[0] == -1


def test_impossible_work_fails_and_changes_nothing() -> None:
    cell = 5 * WIDTH
    units = make_unit(cell, pods=(cell + 1, cell + 2))
    send(units, [Action.LIFT, Action.LOWER, Action.FACE + 2, Action.CHARGE])
    failures = [failure for _ in range(100) for failure in units.step(0.1)]
    assert failures == [(0, a) for a in (Action.LIFT, Action.LOWER, Action.CHARGE, Action.FACE)]
    send(units, [F, Action.LIFT, F, Action.LOWER, Action.LIFT], epoch=1)
    failures = [failure for _ in range(200) for failure in units.step(0.1)]
    assert failures == [(0, Action.LOWER), (0, Action.LIFT)]
    assert (units.load[0], units.load_id[0]) == (Load.POD, 0)
    assert units.pod_at[cell + 2] == 1
    assert units.status[0] == UnitStatus.OK


def test_pallets_are_set_on_and_taken_off_from_outside() -> None:
    units = make_unit()
    units.load_pallet(0, 800.0)
    state = units.states(0.0)
    assert (state.load[0], state.load_id[0]) == (Load.PALLET, -1)
    units.unload_pallet(0)
    assert units.states(0.0).load[0] == Load.NONE
    assert state.load[0] == Load.PALLET  # a record never changes


def test_a_lone_unit_learns_where_pods_stand() -> None:
    cell = 5 * WIDTH
    units = make_unit(cell, pods=(cell, cell + 3, cell + 5))
    send(units, [Action.LIFT])
    seconds_until_done(units, 0.1)
    places = PodPlaces(0.0, np.array([0, 1, 2], np.int32), np.array([9, -1, cell + 3], np.int32))
    units.place_pods(places)
    assert units.load_id[0] == 0
    assert units.pod_at[[9, cell, cell + 3, cell + 5]].tolist() == [-1, -1, 2, -1]
    for pod, where in ((3, 1), (-1, 1), (1, WIDTH * HEIGHT), (1, -2)):
        with pytest.raises(InputError, match="PodPlaces"):
            units.place_pods(PodPlaces(0.0, np.array([pod]), np.array([where])))


@pytest.mark.parametrize("pods", [(3, 3), (WIDTH * HEIGHT,)])
def test_impossible_start_places_are_input_errors(pods: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="pod_cell"):
        make_unit(pods=pods)


# --- battery, faults ---------------------------------------------------------------------------


def test_energy_of_idling_driving_and_lifting() -> None:
    cell = 5 * WIDTH
    units = make_unit(cell, pods=(cell,))
    for _ in range(100):
        units.step(0.1)
    idle = PROFILE.idle_power * 10 / 3600
    full = PROFILE.battery
    assert units.states(0.0).battery[0] == pytest.approx(1 - idle / full, abs=1e-6)
    send(units, [Action.LIFT, *[F] * 15])
    start = 10 + 0.0
    taken = seconds_until_done(units, 0.1)
    used = PROFILE.idle_power * (start + taken) / 3600 + PROFILE.lift_energy * 0.4
    used += (PROFILE.drive_power + PROFILE.load_power * 0.4) * 15 / PROFILE.max_speed / 3600
    assert units.states(0.0).battery[0] == pytest.approx(1 - used / full, abs=1e-6)


def test_charging_lasts_until_the_next_action() -> None:
    cell = 5 * WIDTH
    units = make_unit(cell, grid=make_grid(**{f"c{cell}": CellKind.CHARGER}), charge=0.5)
    send(units, [Action.CHARGE])
    for _ in range(100):
        assert units.step(0.1) == []
        assert units.status[0] == UnitStatus.CHARGING
    gained = (PROFILE.charge_power - PROFILE.idle_power) * 10 / 3600 / PROFILE.battery
    assert units.states(0.0).battery[0] == pytest.approx(0.5 + gained, abs=1e-6)
    send(units, [F], epoch=1)
    units.step(0.1)
    assert units.status[0] == UnitStatus.OK
    for _ in range(30_000):
        units.step(0.25)
    assert units.states(0.0).battery[0] < 0.5 + gained  # no charge from afar


def test_an_empty_battery_stops_the_unit_for_good() -> None:
    units = make_unit(charge=1e-5)
    send(units, [F] * 20)
    for _ in range(300):
        units.step(0.1)
    state = units.states(0.0)
    assert state.status[0] == UnitStatus.DEAD
    assert state.battery[0] == 0.0
    assert state.speed[0] == 0.0
    assert state.done[0] < 20
    units.reset(0, charge=0.5)
    seconds_until_done(units, 0.1)
    assert units.cell[0] == 5 * WIDTH + 20


@pytest.mark.parametrize(
    ("halt", "status"), [("stop", UnitStatus.STOPPED), ("kill", UnitStatus.DEAD)]
)
def test_a_halt_brakes_at_once_anywhere_and_a_reset_goes_on(halt: str, status: int) -> None:
    units = make_unit()
    send(units, [F] * 10)
    for _ in range(25):
        units.step(0.1)
    getattr(units, halt)(0)
    at, v = float(units.states(0.0).x[0]), PROFILE.max_speed
    for _ in range(40):
        units.step(0.1)
    state = units.states(0.0)
    assert state.status[0] == status
    assert state.speed[0] == 0.0
    assert state.x[0] - at == pytest.approx(v * v / 2 / PROFILE.acceleration, abs=1e-5)
    assert state.cell[0] == math.floor(state.x[0] - 0.5) + 5 * WIDTH
    units.reset(0)
    seconds_until_done(units, 0.1)
    assert units.states(0.0).x[0] == pytest.approx(10.5)
    assert units.status[0] == UnitStatus.OK


@settings(max_examples=60, deadline=None)
@given(
    closed=st.integers(0, 14),
    after=st.floats(0.0, 12.0),
    length=st.integers(1, 12),
)
def test_a_closed_cell_holds_who_is_in_it_or_on_the_way_into_it(
    closed: int, after: float, length: int
) -> None:
    start = 5 * WIDTH
    units = make_unit(start)
    send(units, [F] * length)
    units.step(after)
    before = units.states(after)
    units.keep_out(np.array([start + closed], np.int32))
    speed = float(before.speed[0])
    for _ in range(60):
        units.step(0.1)
    state = units.states(after + 6.0)
    if state.cell[0] <= start + closed <= start + length:  # else it has left it, or never comes
        assert state.status[0] == UnitStatus.STOPPED
        assert state.speed[0] == 0.0
        braking = speed**2 / (2 * PROFILE.acceleration)
        assert state.x[0] <= before.x[0] + braking + 1e-4
    else:
        assert state.status[0] == UnitStatus.OK
    units.keep_out(np.zeros(0, np.int32))
    units.step(0.0)
    assert seconds_until_done(units, 0.1) < 60.0
    assert units.states(0.0).cell[0] == start + length
    assert units.states(0.0).status[0] == UnitStatus.OK


def test_a_late_action_is_waited_for_at_rest() -> None:
    units = make_unit()
    send(units, [F] * 6)
    units.delay(0, 3, 2.5)
    slow = []
    now = 0.0
    while units.done[0] < 6:
        units.step(0.05)
        now += 0.05
        if units.states(0.0).speed[0] == 0.0:
            slow.append(int(units.done[0]))
    three = 3.0 / 1.5 + 1.5
    assert now == pytest.approx(2 * three + 2.5, abs=0.05)
    assert set(slow) == {3, 6}
    assert len(slow) == pytest.approx(2.5 / 0.05 + 1, abs=2)


def test_a_delay_of_what_has_begun_or_is_near_or_unknown_is_void() -> None:
    units = make_unit()
    send(units, [F] * 2)
    units.step(1.3)
    units.delay(0, 0, 9.0)
    units.delay(0, 1, 9.0)  # 0.2 m ahead at more than 1 m/s
    units.delay(0, 2, 9.0)
    assert seconds_until_done(units, 0.1) < 5.0
    send(units, [CW, CW], epoch=1)
    units.step(0.1)
    units.delay(0, 0, 9.0)
    assert seconds_until_done(units, 0.1) < 5.0


def test_equal_inputs_give_equal_bytes() -> None:
    def run() -> bytes:
        units = make_unit(pods=(5 * WIDTH,))
        send(units, [Action.LIFT, F, CW, F, F, CCW, F, Action.FACE + 2])
        out = b""
        for _ in range(300):
            units.step(0.1)
            state = units.states(0.0)
            out += b"".join(np.asarray(getattr(state, name)).tobytes() for name in state.__slots__)
        return out

    assert run() == run()
