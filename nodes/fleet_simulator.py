"""Node of the embedded simulator; it owns the building's clock."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from rclpy.clock import Clock as RosClock
from rclpy.clock import ClockType
from robo_stow_interfaces.msg import Heartbeat
from robo_stow_nodes import parameters, qos, topics
from robo_stow_nodes.gazebo_services import GazeboServices, Shown
from robo_stow_nodes.shell import CoreNode, run_alone
from rosgraph_msgs.msg import Clock

from robo_stow.errors import InputError
from robo_stow.messages import (
    Core,
    FleetState,
    LifterFeedback,
    Message,
    OrderArrived,
    PalletArrived,
    Put,
    Scan,
    TotePacked,
)
from robo_stow.sim.entities import Entities, Hands
from robo_stow.sim.plant import Plant, drive_units

if TYPE_CHECKING:
    from robo_stow.warehouse import Warehouse

CLOCK_DEPTH = 10
SHORTEST_TIMER = 0.005
"""Wall time between looks at the clock; above 20 times real time the heartbeats drive it on."""
REPEAT_SECONDS = 0.01
"""Wall time after which a halted clock is published again: clocks are read with best effort."""


class FleetSimulatorNode(CoreNode):
    """Drive units, lifter drives, people at stations, packers, orders and pallets, and the clock.

    The clock starts when all nodes of ``wait_for`` have been heard, and never runs more than
    ``lead`` ahead of the slowest node: a node says by its heartbeats how far it has come. One that
    has been silent for ``patience`` is no longer waited for.

    Publishes:
        /clock (rosgraph_msgs/Clock): building time, every period, after the states of that time.
        /fleet/state (FleetState)
        /lifters/<id>/feedback (LifterFeedback), /lifters/<id>/pallet_arrived (PalletArrived)
        /stations/<id>/scan (Scan), /stations/<id>/put (Put)
        /orders/arrived (OrderArrived), /orders/tote_packed (TotePacked)
        gazebo_msgs: topics and services of `GazeboServices`.

    Subscribes:
        /fleet/release (Release), /fleet/keep_outs (KeepOuts)
        /fleet/pod_places (PodPlaces): with units that are nodes of their own.
        /lifters/<id>/command (LifterCommand), /lifters/<id>/result (LiftResult)
        /stations/<id>/instruct (Instruct), /stations/<id>/visit_done (VisitDone)
        /orders/tote_ready (ToteReady)
        /heartbeat (Heartbeat)

    Parameters: those of `CoreNode`, and
        unit_nodes (int): units 0 to n - 1 are nodes of their own, not simulated here; -1: all.
        clock (str): own: publish /clock; follow: step with the clock of somebody else, whom
            ``use_sim_time`` then names; ``speed`` and all after it are without effect.
        speed: building seconds per wall second, upper bound.
        minutes (min): building time after which the clock stops; 0 for never.
        wait_for (list of str): names of nodes to wait for at the start.
        start_timeout (s): wall time to wait for them.
        lead (s): building time the clock may be ahead of the slowest node.
        patience (s): wall time after which a silent node is no longer waited for.
    """

    KIND = "fleet_simulator"
    PUBLISHES = (FleetState, LifterFeedback, Scan, Put, TotePacked, OrderArrived, PalletArrived)

    def build(self) -> Sequence[Core]:
        text = "units that are nodes of their own; -1: all"
        count = parameters.declare(self, self.KIND, "unit_nodes", text, (-1, 100_000))
        first = self.building.units if count < 0 else min(count, self.building.units)
        return (Plant(self.building, self.seed, drive_units(self.building, self.seed, first)),)

    def take(self, warehouse: Warehouse) -> Sequence[Core]:
        return (warehouse.plant,)

    def connect(self) -> None:
        super().connect()
        (plant,) = self.cores
        entities = Entities(self.building, self.seed, cast(Hands, plant))
        self._gazebo = GazeboServices(self, entities, self.shown())

    def shown(self) -> Shown | None:
        """Where else additions to the world are to be seen."""
        return None

    def deliver(self, record: Any) -> None:
        self._gazebo.entities.see(record)
        super().deliver(record)

    def send(self, said: Sequence[Message]) -> None:
        for record in said:
            self._gazebo.entities.see(record)
        super().send(said)
        self._gazebo.publish()

    def start(self) -> None:
        declare = partial(parameters.declare, self, self.KIND)
        clock = declare("clock", "own: publish /clock; follow: step with somebody else's")
        if clock not in ("own", "follow"):
            raise InputError(self.KIND, "clock", clock, "own or follow expected")
        self._follows = clock == "follow"
        if self._follows:
            super().start()
            return
        speed = declare("speed", "building seconds per wall second, at most", (1e-3, 1e4))
        minutes = declare("minutes", "building time to run, min; 0: no end", (0.0, 1e6))
        self._awaited: set[str] = set(declare("wait_for", "nodes to wait for at the start"))
        timeout = declare("start_timeout", "wall time to wait for them, s", (0.0, 3600.0))
        self._lead = declare("lead", "building time ahead of the slowest node, s", (0.1, 60.0))
        self._patience = declare(
            "patience", "wall time to wait for a silent node, s", (0.1, 3600.0)
        )
        self._last_tick = round(minutes * 60.0 / self.period) if minutes else math.inf
        self._ticks = 0
        self._said_at = 0.0  # wall time of the last clock message
        self._reached: dict[str, tuple[float, float]] = {}  # node: building time, wall time heard
        self._deadline: float | None = time.monotonic() + timeout
        self._clock_out = self.create_publisher(Clock, topics.CLOCK, CLOCK_DEPTH)
        self.create_subscription(Heartbeat, topics.HEARTBEAT, self._on_heartbeat, qos.COMMAND)
        self._interval = self.period / speed  # wall time of a period
        self._due = 0.0  # wall time of the next one
        self.create_timer(
            max(self._interval, SHORTEST_TIMER),
            self.on_timer,
            clock=RosClock(clock_type=ClockType.STEADY_TIME),
        )

    @property
    def finished(self) -> bool:
        """Whether the time to run is over."""
        return self._ticks >= self._last_tick

    def now(self) -> float:
        return super().now() if self._follows else self._ticks * self.period

    def on_timer(self) -> None:
        """Advance the building by one period when it is time and nobody has to be waited for."""
        if self._follows:
            super().on_timer()
            return
        wall = time.monotonic()
        if self.finished or wall < self._due or not self._may_start(wall):
            return
        slowest = min(
            (at for at, heard in self._reached.values() if wall - heard < self._patience),
            default=math.inf,
        )
        if self.now() + self.period < slowest + self._lead + self.period / 2:
            self._ticks += 1
            self._due = max(self._due + self._interval, wall)
            self.step(self.now())
        elif wall - self._said_at < REPEAT_SECONDS:
            return
        self._said_at = wall
        clock = Clock()
        clock.clock.sec, clock.clock.nanosec = divmod(round(self.now() * 1e9), 1_000_000_000)
        self._clock_out.publish(clock)

    def _may_start(self, wall: float) -> bool:
        if self._deadline is None:
            return True
        missing = self._awaited - set(self._reached)
        if missing and wall < self._deadline:
            return False
        if missing:
            names = ", ".join(sorted(missing))
            self.get_logger().warning(f"starting without {names}: not heard in time")
        self._deadline = None
        return True

    def _on_heartbeat(self, beat: Heartbeat) -> None:
        stamp = beat.stamp.sec + beat.stamp.nanosec * 1e-9
        self._reached[beat.node] = (stamp, time.monotonic())
        self.on_timer()  # may be the one that was waited for


def main(args: Sequence[str] | None = None) -> int:
    """Run the node as a process."""
    return run_alone(FleetSimulatorNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
