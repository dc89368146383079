"""Node of fulfilment."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from rclpy.action import ActionClient
from rclpy.task import Future
from robo_stow_interfaces.action import Lift
from robo_stow_nodes import parameters, topics
from robo_stow_nodes.shell import CoreNode, run_alone

from robo_stow.errors import InputError
from robo_stow.forecast.plan import expected_from
from robo_stow.fulfilment.core import FulfilmentCore
from robo_stow.inventory.held import OrderRecords
from robo_stow.inventory.ledger import Ledger
from robo_stow.messages import (
    Alarm,
    CancelRequest,
    Core,
    Errands,
    LiftRequest,
    LiftResult,
    MovePodRequest,
    OrderShipped,
    PickVisit,
    ReceiveRequest,
    ReserveRequest,
    ShipRequest,
    StowVisit,
    ToteReady,
)

if TYPE_CHECKING:
    from robo_stow.warehouse import Warehouse

SILENCE = 5.0
"""Building time (s) without feedback after which a goal is given up and may be sent anew."""

_Goal = tuple[str, str, int]


class FulfilmentNode(CoreNode):
    """Assigns orders, chooses pods, sends units, puts pods away, has pallets lifted.

    Publishes:
        /fleet/errands (Errands)
        /stations/<id>/pick_visit (PickVisit), /stations/<id>/stow_visit (StowVisit)
        /orders/tote_ready (ToteReady), /orders/shipped (OrderShipped), /alarms (Alarm)

    Subscribes:
        /fleet/state (FleetState), /fleet/errand_reports (ErrandReports),
        /fleet/pod_places (PodPlaces), /lifters/<id>/pallet_arrived (PalletArrived),
        /orders/arrived (OrderArrived), /orders/tote_packed (TotePacked),
        /stations/<id>/visit_done (VisitDone), /stations/<id>/put (Put),
        /inventory/stock_levels (StockLevels), /inventory/pod_space (PodSpace)

    Calls: /inventory/receive, reserve, cancel, ship, move_pod.
    Acts: /lifters/<id>/lift (Lift).
    Parameters: those of `CoreNode`, history (order lines of days before, CSV), and database: the
    ledger, read at the start, a minute later when it holds orders that a predecessor left open, and
    when orders are told that arrived before the start.
    """

    KIND = "fulfilment"
    PUBLISHES = (
        Errands,
        PickVisit,
        StowVisit,
        ToteReady,
        OrderShipped,
        ReceiveRequest,
        ReserveRequest,
        CancelRequest,
        ShipRequest,
        MovePodRequest,
        Alarm,
    )
    BY_ACTION = (LiftResult,)

    def build(self) -> Sequence[Core]:
        history = parameters.declare(
            self, self.KIND, "history", "order lines of days before, to anticipate by; empty: none"
        )
        expected = expected_from(history) if history else None
        database = parameters.declare(
            self, self.KIND, "database", "SQLAlchemy URL of the ledger, to resume open orders by"
        )
        records = OrderRecords(Ledger(database))
        return (FulfilmentCore(self.building, self.seed, expected, records=records),)

    def take(self, warehouse: Warehouse) -> Sequence[Core]:
        return (warehouse.fulfilment,)

    def connect(self) -> None:
        super().connect()
        self._lifts = {
            site.id: ActionClient(self, Lift, topics.topic(topics.LIFT, lifter=site.id))
            for site in self.building.lifters
        }
        self._heard: dict[_Goal, float] = {}  # open goals and when the lifter last spoke of them
        self.outlets[LiftRequest] = self._lift

    def _lift(self, request: LiftRequest) -> None:
        goal = (request.lifter, request.pallet, request.unit)
        if request.stamp - self._heard.get(goal, -SILENCE) < SILENCE:
            return
        client = self._lifts[request.lifter]
        if not client.server_is_ready():
            return  # the core asks again
        self._heard[goal] = request.stamp
        sent = client.send_goal_async(
            self.converter.lift_goal().encode(request),
            feedback_callback=lambda _: self._alive(goal),
        )
        sent.add_done_callback(partial(self._on_answer, goal))

    def _alive(self, goal: _Goal) -> None:
        if goal in self._heard:
            self._heard[goal] = self.now()

    def _on_answer(self, goal: _Goal, sent: Future) -> None:
        handle: Any = sent.result()
        if handle.accepted:
            handle.get_result_async().add_done_callback(partial(self._on_result, goal))
        else:
            self._heard.pop(goal, None)

    def _on_result(self, goal: _Goal, done: Future) -> None:
        self._heard.pop(goal, None)
        try:
            self.deliver(self.converter.lift_result().decode(done.result().result))
        except InputError as error:
            self.reject(error)


def main(args: Sequence[str] | None = None) -> int:
    """Run the node as a process."""
    return run_alone(FulfilmentNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
