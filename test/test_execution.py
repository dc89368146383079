"""The execution graph against a slow, obvious model of it, under delays and lost messages."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_stow.messages import FleetState, Release
from robo_stow.traffic.execution import ExecutionGraph, PlanError, Verdict

FORWARD, CW, CCW, WAIT, LIFT = 0, 1, 2, 3, 4
WIDTH, HEIGHT = 5, 4


def ahead(cell: int, heading: int) -> int | None:
    row, column = divmod(cell, WIDTH)
    row += (0, 1, 0, -1)[heading]
    column += (1, 0, -1, 0)[heading]
    return row * WIDTH + column if 0 <= row < HEIGHT and 0 <= column < WIDTH else None


def after(cell: int, heading: int, action: int) -> tuple[int, int]:
    if action == FORWARD:
        there = ahead(cell, heading)
        assert there is not None
        return there, heading
    return cell, (heading + {CW: 1, CCW: 3}.get(action, 0)) % 4


@dataclass
class Model:
    """The same as lists, searched from end to end."""

    start: list[tuple[int, int]]
    limit: int
    plan: list[list[tuple[int, int, int]]] = field(default_factory=list)  # action, cell, heading
    visits: list[tuple[int, int, int]] = field(default_factory=list)  # cell, unit, nth of the unit
    base: list[int] = field(default_factory=list)
    done: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.plan = [[] for _ in self.start]
        self.base = [0] * len(self.start)
        self.done = [0] * len(self.start)
        self.visits = [(cell, unit, 0) for unit, (cell, _) in enumerate(self.start)]

    def end(self, unit: int) -> tuple[int, int]:
        return self.plan[unit][-1][1:] if self.plan[unit] else self.start[unit]

    def at(self, unit: int, count: int) -> tuple[int, int]:
        return self.plan[unit][count - 1][1:] if count else self.start[unit]

    def is_safe(self, step: list[int]) -> bool:
        ends = [self.end(unit) for unit in range(len(step))]
        places = []
        for (cell, heading), action in zip(ends, step, strict=True):
            if action == FORWARD and ahead(cell, heading) is None:
                return False
            places.append(after(cell, heading, action)[0])
        if len(set(places)) < len(places):
            return False
        # Units can go one after the other: find one whose place is free, again and again.
        now = [cell for cell, _ in ends]
        left = {unit for unit, action in enumerate(step) if action == FORWARD}
        while left:
            free = [unit for unit in left if places[unit] not in now]
            if not free:
                return False
            now[free[0]] = places[free[0]]
            left.remove(free[0])
        return True

    def commit(self, step: list[int]) -> None:
        for unit, action in enumerate(step):
            if action != WAIT:
                self.append(unit, action)

    def append(self, unit: int, action: int) -> None:
        cell, heading = after(*self.end(unit), action)
        self.plan[unit].append((action, cell, heading))
        if action == FORWARD:
            nth = sum(1 for _, other, _ in self.visits if other == unit)
            self.visits.append((cell, unit, nth))

    def moves(self, unit: int, count: int) -> int:
        return sum(1 for action, _, _ in self.plan[unit][:count] if action == FORWARD)

    def is_gone(self, unit: int, nth: int) -> bool:
        return self.moves(unit, self.done[unit]) > nth

    def release(self) -> None:
        for unit, plan in enumerate(self.plan):
            while self.base[unit] < min(len(plan), self.done[unit] + self.limit):
                if plan[self.base[unit]][0] == FORWARD:
                    nth = self.moves(unit, self.base[unit]) + 1
                    cell = plan[self.base[unit]][1]
                    before = self.visits[: self.visits.index((cell, unit, nth))]
                    if any(c == cell and not self.is_gone(u, n) for c, u, n in before):
                        break
                self.base[unit] += 1

    def truncate(self) -> None:
        for unit, plan in enumerate(self.plan):
            released = self.moves(unit, self.base[unit])
            del plan[self.base[unit] :]
            self.visits = [(c, u, n) for c, u, n in self.visits if u != unit or n <= released]

    def claims(self, unit: int) -> list[int]:
        first, last = self.moves(unit, self.done[unit]), self.moves(unit, self.base[unit])
        return [c for c, u, n in self.visits if u == unit and first <= n <= last]


@dataclass
class Unit:
    """A unit that follows releases as messages.Release documents, at its own pace."""

    cell: int
    heading: int
    known: list[tuple[int, int]] = field(default_factory=list)  # action, cell
    done: int = 0
    under_way: bool = False

    def take(self, first: int, actions: list[tuple[int, int]]) -> None:
        if first <= len(self.known):
            assert actions[: len(self.known) - first] == self.known[first:][: len(actions)]
            self.known += actions[len(self.known) - first :]

    def work(self, rng: random.Random) -> None:
        if self.under_way:
            action, cell = self.known[self.done]
            where = after(self.cell, self.heading, action)
            assert where[0] == cell
            self.cell, self.heading = where
            self.done += 1
            self.under_way = False
        elif self.done < len(self.known) and rng.random() < 0.7:
            self.under_way = True

    def cells(self) -> set[int]:
        """Where it is: both cells while it drives."""
        cells = {self.cell}
        if self.under_way:
            cells.add(self.known[self.done][1])
        return cells


def state(stamp: float, units: list[Unit], which: list[int], epoch: int = 1) -> FleetState:
    some = [units[u] for u in which]
    zeros = np.zeros(len(which), np.float32)
    return FleetState(
        stamp=stamp,
        unit=np.array(which, np.int32),
        epoch=np.full(len(which), epoch, np.uint32),
        done=np.array([u.done for u in some], np.uint32),
        released=np.array([len(u.known) for u in some], np.uint32),
        cell=np.array([u.cell for u in some], np.int32),
        heading=np.array([u.heading for u in some], np.uint8),
        x=zeros,
        y=zeros,
        yaw=zeros,
        speed=zeros,
        load=np.zeros(len(which), np.uint8),
        load_id=np.full(len(which), -1, np.int32),
        battery=zeros,
        status=np.zeros(len(which), np.uint8),
    )


def deliver(release: Release, units: list[Unit]) -> None:
    at = 0
    for unit, first, count in zip(
        release.unit.tolist(), release.first.tolist(), release.count.tolist(), strict=True
    ):
        actions = release.action[at : at + count].tolist()
        cells = release.cell[at : at + count].tolist()
        units[unit].take(first, list(zip(actions, cells, strict=True)))
        at += count


def make(starts: list[tuple[int, int]], limit: int = 4) -> ExecutionGraph:
    graph = ExecutionGraph(len(starts), WIDTH, HEIGHT, capacity=limit + 2, ahead=limit)
    graph.reset(1, np.array([c for c, _ in starts]), np.array([h for _, h in starts]))
    return graph


def random_step(rng: random.Random, model: Model, limit: int) -> list[int]:
    """A random joint step, mostly made safe by letting units wait."""
    step = [
        rng.choice([FORWARD, FORWARD, FORWARD, CW, CCW, WAIT])
        if len(model.plan[unit]) - model.done[unit] <= limit
        else WAIT
        for unit in range(len(model.start))
    ]
    while rng.random() < 0.95 and not model.is_safe(step):
        step[rng.choice([u for u, a in enumerate(step) if a == FORWARD])] = WAIT
    return step


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 12), limit=st.integers(1, 5))
def test_agrees_with_the_model_and_never_lets_two_units_meet(
    seed: int, count: int, limit: int
) -> None:
    rng = random.Random(seed)
    starts = [(c, rng.randrange(4)) for c in rng.sample(range(WIDTH * HEIGHT), count)]
    graph, model = make(starts, limit), Model(starts, limit)
    units = [Unit(c, h) for c, h in starts]
    releases: list[Release] = []
    reports: list[FleetState] = []
    newest = [-1.0] * count
    now = 0.0
    ending = 0
    while ending < 400:
        now += 1.0
        ending += now > 60
        if not ending:
            step = random_step(rng, model, limit)
            if model.is_safe(step):
                graph.commit(np.array(step, np.uint8))
                model.commit(step)
            else:
                with pytest.raises(PlanError):
                    graph.commit(np.array(step, np.uint8))
            unit = rng.randrange(count)
            if rng.random() < 0.2 and len(model.plan[unit]) - model.done[unit] <= limit:
                graph.append(unit, LIFT)
                model.append(unit, LIFT)
            if rng.random() < 0.03:
                graph.truncate()
                model.truncate()
        graph.release()
        model.release()
        release = graph.collect(now, again=3.0)
        if release is not None:
            releases.append(release)
        # Messages are lost, come twice, late and in any order.
        for message in rng.sample(releases, min(2, len(releases))):
            deliver(message, units)
        # The first ones stay and come again when they are long out of date.
        releases = [*releases[:2], *releases[2:][-5:]] if not ending else releases[-1:]
        for unit_model in units:
            unit_model.work(rng)
        taken: list[set[int]] = [u.cells() for u in units]
        assert sum(map(len, taken)) == len(set().union(*taken)), "two units in one cell"
        which = [u for u in range(count) if ending or rng.random() < 0.8]
        reports = [*reports[:2], *reports[2:][-4:], state(now, units, which)]
        for report in rng.sample(reports, len(reports)) if rng.random() < 0.7 or ending else []:
            verdicts = graph.report(report)
            for i, u in enumerate(report.unit.tolist()):
                fresh = report.stamp > newest[u]
                assert (0 if verdicts is None else verdicts[i]) == (
                    Verdict.OK if fresh else Verdict.STALE
                )
                if fresh:
                    newest[u] = report.stamp
                    model.done[u] = int(report.done[i])
        claims = [model.claims(u) for u in range(count)]
        flat = [c for cells in claims for c in cells]
        assert all(len(set(a) & set(b)) == 0 for i, a in enumerate(claims) for b in claims[:i]), (
            flat
        )
        for u in range(count):
            assert graph.claims(u).tolist() == claims[u]
            assert (graph.cell[u], graph.heading[u]) == model.at(u, model.done[u])
            assert (graph.end_cell[u], graph.end_heading[u]) == model.end(u)
            assert graph.backlog[u] == len(model.plan[u]) - model.done[u]
        assert graph.base.tolist() == model.base
        assert graph.done.tolist() == model.done
        if ending and all(len(p) == d for p, d in zip(model.plan, model.done, strict=True)):
            break
    assert graph.planned.tolist() == graph.done.tolist(), "no progress although reports flow"


def test_what_a_unit_cannot_have_done_is_a_fault_and_changes_nothing() -> None:
    graph = make([(0, 0), (10, 0)])
    graph.commit(np.array([FORWARD, CW], np.uint8))
    graph.commit(np.array([FORWARD, FORWARD], np.uint8))
    graph.release()
    graph.collect(0.0, 0.5)
    units = [Unit(0, 0), Unit(10, 0)]

    def verdict(epoch: int = 1, **change: int) -> Verdict:
        unit = Unit(0, 0, known=[(0, 1)])
        for name, value in change.items():
            setattr(unit, name, [(0, 0)] * value if name == "known" else value)
        verdicts = graph.report(state(5.0, [unit], [0], epoch))
        return Verdict.OK if verdicts is None else Verdict(int(verdicts[0]))

    assert verdict(done=1, known=0) is Verdict.BEYOND
    assert verdict(done=3, known=3) is Verdict.BEYOND
    assert verdict(cell=2, known=2) is Verdict.CELL
    assert verdict(heading=2) is Verdict.HEADING
    assert verdict(epoch=2) is Verdict.EPOCH
    assert graph.done[0] == 0 and graph.known[0] == 0
    assert verdict(done=1, known=2, cell=1) is Verdict.OK
    assert graph.done[0] == 1 and graph.cell[0] == 1
    assert verdict(done=2, known=2, cell=2) is Verdict.STALE
    late = state(6.0, units, [0])
    assert graph.report(late) is not None and graph.done[0] == 1
    stranger = graph.report(state(7.0, [*units, Unit(4, 0)], [2]))
    assert stranger is not None and stranger[0] == Verdict.UNIT


def test_releases_are_sent_again_until_known_and_hold_all_that_is_unknown() -> None:
    graph = make([(0, 0)])
    for _ in range(2):
        graph.commit(np.array([FORWARD], np.uint8))
    graph.release()
    first = graph.collect(0.0, 0.5)
    assert first is not None and first.cell.tolist() == [1, 2]
    assert graph.collect(0.4, 0.5) is None
    again = graph.collect(0.5, 0.5)
    assert again is not None and again.cell.tolist() == [1, 2]
    graph.commit(np.array([FORWARD], np.uint8))
    graph.release()
    more = graph.collect(0.6, 0.5)
    assert more is not None
    assert (more.first.tolist(), more.origin.tolist(), more.cell.tolist()) == ([0], [0], [1, 2, 3])
    unit = Unit(0, 0)
    deliver(more, [unit])
    graph.report(state(1.0, [unit], [0]))
    assert graph.collect(9.0, 0.5) is None


def test_fenced_units_keep_their_cells_and_get_nothing() -> None:
    graph = make([(0, 0), (5, 0)])
    graph.commit(np.array([FORWARD, FORWARD], np.uint8))
    graph.release()
    graph.collect(0.0, 0.5)
    graph.fence(0)
    graph.truncate()
    assert graph.claims(0).tolist() == [0, 1]
    assert graph.collect(9.0, 0.5).unit.tolist() == [1]
    with pytest.raises(PlanError) as error:
        graph.commit(np.array([FORWARD, WAIT], np.uint8))
    assert error.value.unit == 0


def test_absent_units_take_no_cell() -> None:
    graph = ExecutionGraph(2, WIDTH, HEIGHT, capacity=3, ahead=3)
    graph.reset(4, np.array([-1, 0]), np.array([0, 0]))
    assert graph.claims(0).tolist() == []
    graph.commit(np.array([WAIT, FORWARD], np.uint8))
    with pytest.raises(PlanError):
        graph.append(0, LIFT)


@pytest.mark.parametrize("cells", [[3, 3], [0, WIDTH * HEIGHT], [-2, 0]])
def test_impossible_starts_are_refused(cells: list[int]) -> None:
    graph = ExecutionGraph(2, WIDTH, HEIGHT, capacity=3, ahead=3)
    with pytest.raises(PlanError):
        graph.reset(1, np.array(cells), np.array([0, 0]))


@pytest.mark.parametrize(
    ("units", "width", "capacity", "ahead"),
    [(-1, 5, 4, 4), (1, 0, 4, 4), (1, 5, 0, 1), (1, 5, 4, 0)],
)
def test_sizes_out_of_range_are_refused(units: int, width: int, capacity: int, ahead: int) -> None:
    with pytest.raises(ValueError, match="no execution graph"):
        ExecutionGraph(units, width, 4, capacity=capacity, ahead=ahead)
