"""What the control room sees: key figures, the floor's heat map, and conflicts.

The monitor only listens. Conflicts come from the independent checker, which shares nothing with
the planner.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_stow.floor.building import Building
from robo_stow.floor.start import pod_cells
from robo_stow.fulfilment.lorries import carrier_of
from robo_stow.messages import (
    Alarm,
    FleetState,
    Instruct,
    KeepOuts,
    LifterFeedback,
    LifterState,
    LiftPhase,
    LiftResult,
    Load,
    Message,
    OrderArrived,
    OrderShipped,
    PickVisit,
    PodPlaces,
    PodSpace,
    Put,
    Scan,
    ScanResult,
    UnitStatus,
)
from robo_stow.tally import Tally, Units
from robo_stow.traffic.checker import Checker

PUT_PATIENCE = 3.0
"""Seconds beyond twice the usual time after which an unheard put counts as done."""
SAMPLE = 10.0
"""Seconds between points of the activity curves."""


class MonitorCore:
    """Counts what the rooms report; `figures` gives the totals at any time.

    Repeated records are counted once: orders and pallets by name, handwork by its number.
    """

    consumes = (
        FleetState,
        PodPlaces,
        KeepOuts,
        OrderArrived,
        OrderShipped,
        PickVisit,
        Instruct,
        Scan,
        Put,
        LiftResult,
        LifterState,
        LifterFeedback,
        PodSpace,
        Alarm,
    )

    def __init__(self, building: Building, seed: int) -> None:
        self.building = building
        self.seed = seed
        self.now = 0.0
        self.alarms: list[Alarm] = []
        self.conflicts = 0
        self.closed_cells = 0
        self.order_to_ship: list[float] = []
        self.activity: list[tuple[float, float, float, float, float]] = []
        self.station_busy: dict[str, list[float]] = {s.id: [] for s in building.stations}
        self.checker = Checker(building)
        self.pods: NDArray[np.int32] = pod_cells(building, seed).astype(np.int32)
        """Cell of each pod as last heard, -1 while carried."""
        self.units = Units(building.units)
        self.tally = Tally(self.units, building.grid.cells)
        self._due: dict[str, float] = {}  # of each order received, s
        self._by_due: list[tuple[float, str]] = []  # heap; those not yet looked at
        self._orders_late = 0
        self._shipped: dict[str, float] = {}  # when
        self._lifted: set[str] = set()
        self._lifts = {site.id: _Lifts() for site in building.lifters}
        self._lines_picked = 0
        self._pieces_picked = 0
        self._pieces_stowed = 0
        self._kind = {s.id: s.kind for s in building.stations}
        self._open_work: dict[str, set[int]] = {s.id: set() for s in building.stations}
        self._done_work: dict[str, set[int]] = {s.id: set() for s in building.stations}
        self._putting: dict[str, dict[int, float]] = {s.id: {} for s in building.stations}
        self._busy_in_sample = {s.id: 0.0 for s in building.stations}
        self._busy = {s.id: 0.0 for s in building.stations}
        self._visits: dict[str, tuple[int, int]] = {}
        self._pods_handled = 0
        self._face_free = np.full((building.pods, building.pod.faces), np.nan)
        self._next_sample = SAMPLE

    # -- intake ---------------------------------------------------------------------------------

    def step(self, now: float, inbox: Sequence[Message]) -> list[Message]:
        """Take in what the rooms said; conflicts go out as alarms."""
        elapsed = max(0.0, now - self.now)
        self.now = now
        found: list[Message] = []
        for message in inbox:
            if isinstance(message, FleetState):
                found += self._on_fleet(message)
            elif isinstance(message, PodPlaces):
                self.pods[message.pod] = message.cell
            elif isinstance(message, KeepOuts):
                self.closed_cells = len(np.unique(message.cell))
                self.checker.keep_out(message.cell, now, self.units.speed)
            elif isinstance(message, Instruct):
                if message.work not in self._done_work[message.station]:
                    self._open_work[message.station].add(message.work)
            elif isinstance(message, Scan):
                self._on_scan(message)
            elif isinstance(message, Put):
                self._putting[message.station].pop(message.work, None)
            elif isinstance(message, PickVisit):
                self._on_visit(message)
            elif isinstance(message, OrderArrived):
                if message.order not in self._due:
                    self._due[message.order] = message.due
                    heapq.heappush(self._by_due, (message.due, message.order))
            elif isinstance(message, OrderShipped):
                if message.order not in self._shipped:
                    self._shipped[message.order] = message.stamp
                    self.order_to_ship.append(message.stamp - message.arrived)
            elif isinstance(message, LiftResult):
                if message.ok:
                    self._lifted.add(message.pallet)
                    self._lifts[message.lifter].ok = True
            elif isinstance(message, LifterState):
                self._lifts[message.lifter].phase(message)
            elif isinstance(message, LifterFeedback):
                self._lifts[message.lifter].energy = message.energy
            elif isinstance(message, PodSpace):
                self._face_free[list(message.pod), list(message.face)] = message.free
            elif isinstance(message, Alarm) and message.kind != "conflict":
                self.alarms.append(message)  # conflicts it has found and noted itself
        self._account(elapsed)
        return found

    def _on_fleet(self, state: FleetState) -> list[Alarm]:
        self.tally.take(state)
        self.units.update(state)
        return self._note(self.checker.check(state, self.pods))

    def seen(self, stamp: float) -> list[Alarm]:
        """Conflicts that the checker has found in the states of ``stamp`` (s), looked at in C."""
        return self._note(self.checker.tell(stamp))

    def _note(self, conflicts: list[Alarm]) -> list[Alarm]:
        self.conflicts += len(conflicts)
        self.alarms += conflicts
        return conflicts

    def _on_scan(self, scan: Scan) -> None:
        done = self._done_work[scan.station]
        if scan.work in done:
            return
        done.add(scan.work)
        self._open_work[scan.station].discard(scan.work)
        putting = self._putting[scan.station]
        putting.clear()  # the work before is done, whether or not its put was heard
        if scan.result == ScanResult.REFUSED:
            return
        if self._kind[scan.station] == "pick":
            if scan.quantity > 0:
                people = self.building.people
                usual = people.put_share * (people.pick_line + people.pick_piece * scan.quantity)
                putting[scan.work] = self.now + 2.0 * usual + PUT_PATIENCE
            self._lines_picked += 1
            self._pieces_picked += scan.quantity
        else:
            self._pieces_stowed += scan.quantity

    def _on_visit(self, visit: PickVisit) -> None:
        last_visit, last_pod = self._visits.get(visit.station, (-1, -1))
        if visit.visit > last_visit:
            # Further faces of a pod that has not left count as the same handling.
            self._pods_handled += visit.pod != last_pod
            self._visits[visit.station] = (visit.visit, visit.pod)

    def _account(self, elapsed: float) -> None:
        for station, work in self._open_work.items():
            putting = self._putting[station]
            if work or any(self.now < until for until in putting.values()):
                self._busy_in_sample[station] += elapsed
        if self.now < self._next_sample:
            return
        self._next_sample += SAMPLE
        fleet = self.units
        active = (fleet.load != Load.NONE) | (fleet.speed > 0.0)
        charging = fleet.status == UnitStatus.CHARGING
        units = len(active)
        self.activity.append(
            (
                self.now,
                float(np.count_nonzero(fleet.load == Load.POD)) / units,
                float(np.count_nonzero(active & (fleet.load == Load.NONE))) / units,
                float(np.count_nonzero(charging)) / units,
                float(np.count_nonzero(self.pods < 0)),
            )
        )
        for station, seconds in self._busy_in_sample.items():
            self.station_busy[station].append(min(1.0, seconds / SAMPLE))
            self._busy[station] += seconds
            self._busy_in_sample[station] = 0.0

    @property
    def due(self) -> float:
        """Time (s) at which a step has something to do although nothing has come in."""
        puts = (until for puts in self._putting.values() for until in puts.values())
        return min((self._next_sample, *(until for until in puts if until > self.now)))

    # -- figures --------------------------------------------------------------------------------

    def figures(self) -> dict[str, Any]:
        """Key figures so far; the keys of ``report.json`` that the monitor can know."""
        picks = [s.id for s in self.building.stations if s.kind == "pick"]
        hours = self.now / 3600.0
        waits = np.array(self.order_to_ship, np.float64) / 60.0
        fraction = 1.0 - float(np.nanmean(self._face_free)) if self._face_seen() else 0.0
        return {
            "seed": self.seed,
            "building": self.building.name,
            "units": self.building.units,
            "simulated_minutes": round(self.now / 60.0, 3),
            "orders_received": len(self._due),
            "orders_shipped": len(self._shipped),
            "orders_late": self._count_late(),
            "order_to_ship_minutes": {
                "p50": _quantile(waits, 0.5),
                "p90": _quantile(waits, 0.9),
                "max": _quantile(waits, 1.0),
            },
            "lines_picked": self._lines_picked,
            "units_picked": self._pieces_picked,
            "lines_per_station_hour": _ratio(self._lines_picked, hours * len(picks)),
            "pile_on": _ratio(self._pieces_picked, self._pods_handled),
            "pods_handled": self._pods_handled,
            "pallets_lifted": len(self._lifted),
            "lift_cycle_seconds": _spread(
                [s for lifts in self._lifts.values() for s in lifts.seconds]
            ),
            "lift_energy_wh": _spread([e for lifts in self._lifts.values() for e in lifts.used]),
            "units_stowed": self._pieces_stowed,
            "station_busy": _ratio(self.pick_busy, self.now * len(picks)),
            "unit_utilisation": _ratio(self.tally.active, self.tally.all),
            "storage_utilisation": round(fraction, 4),
            "conflicts": self.conflicts,
            "alarms": len(self.alarms),
        }

    def departures(self) -> list[dict[str, Any]]:
        """Lorries that have left: the orders that were to go with each, and those it missed."""
        rows: dict[tuple[float, str], list[bool]] = {}
        for order, due in self._due.items():
            if due <= self.now:
                carrier = carrier_of(order, self.building.lorries).carrier
                rows.setdefault((due, carrier), []).append(self._late(order))
        return [
            {"minutes": due / 60.0, "carrier": carrier, "orders": len(late), "late": sum(late)}
            for (due, carrier), late in sorted(rows.items())
        ]

    def _late(self, order: str) -> bool:
        """Whether an order that is due was shipped too late, or is not yet."""
        return self._shipped.get(order, math.inf) > self._due[order]

    def _count_late(self) -> int:
        while self._by_due and self._by_due[0][0] <= self.now:
            self._orders_late += self._late(heapq.heappop(self._by_due)[1])
        return self._orders_late

    @property
    def pick_busy(self) -> float:
        """Seconds in which people at pick stations had work in hand, of all of them."""
        picks = [s.id for s in self.building.stations if s.kind == "pick"]
        return sum(self._busy[s] + self._busy_in_sample[s] for s in picks)

    def _face_seen(self) -> bool:
        return bool(np.isfinite(self._face_free).any())


class _Lifts:
    """Cycles of one lifter that ended well: their time without waiting for a unit, and energy."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.used: list[float] = []  # Wh
        self.energy = 0.0  # as last told
        self.ok = False
        self._last = LiftPhase.IDLE
        self._since = self._waited = self._turned = 0.0
        self._before = 0.0

    def phase(self, state: LifterState) -> None:
        """A lifter says what it does."""
        last, now = self._last, state.phase
        if now is last:
            return
        if last is LiftPhase.WAIT_FOR_UNIT:
            self._waited += state.stamp - self._turned
        ended = last is LiftPhase.RETURN and now in (LiftPhase.IDLE, LiftPhase.APPROACH)
        if ended and self.ok:
            self.seconds.append(state.stamp - self._since - self._waited)
            self.used.append(self.energy - self._before)
        if now is LiftPhase.APPROACH:
            self._since, self._waited, self._before, self.ok = state.stamp, 0.0, self.energy, False
        self._last, self._turned = now, state.stamp


def _spread(values: list[float]) -> dict[str, float | None]:
    numbers = np.array(values, np.float64)
    return {name: _quantile(numbers, q) for name, q in (("p50", 0.5), ("max", 1.0))}


def _quantile(values: NDArray[np.float64], q: float) -> float | None:
    return round(float(np.quantile(values, q)), 3) if len(values) else None


def _ratio(part: float, whole: float) -> float:
    return round(part / whole, 4) if whole > 0 else 0.0
