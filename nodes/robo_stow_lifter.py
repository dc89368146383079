"""Node of the Robo-Stow lifters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from robo_stow_interfaces.action import Lift
from robo_stow_nodes import parameters, topics
from robo_stow_nodes.shell import CoreNode, run_alone

from robo_stow.errors import InputError
from robo_stow.floor.building import LifterSite
from robo_stow.lifter.core import LifterCore
from robo_stow.messages import (
    Alarm,
    Core,
    LifterCommand,
    LifterState,
    LiftRequest,
    LiftResult,
)

if TYPE_CHECKING:
    from robo_stow.warehouse import Warehouse


class RoboStowLifterNode(CoreNode):
    """Controllers of one Robo-Stow, or of all of the building.

    A goal ends with the core's `LiftResult`, succeeded when the pallet stands on the unit, else
    aborted. A lift under way cannot be cancelled: its load would be left in the air.

    Serves:
        /lifters/<id>/lift (action Lift)

    Publishes:
        /lifters/<id>/command (LifterCommand): to the arm's drives.
        /lifters/<id>/state (LifterState), /lifters/<id>/result (LiftResult)
        /alarms (Alarm)

    Subscribes:
        /lifters/<id>/feedback (LifterFeedback): from the arm's drives.
        /fleet/state (FleetState): interlock, the unit must be reported in place.

    Parameters: those of `CoreNode`, and
        lifter (str): id of the Robo-Stow; empty for all.
    """

    KIND = "robo_stow_lifter"
    PUBLISHES = (LifterCommand, LifterState, LiftResult, Alarm)

    def lifters(self) -> Sequence[LifterSite]:
        return self._sites

    def build(self) -> Sequence[Core]:
        self._choose()
        return [LifterCore(self.building, site) for site in self._sites]

    def take(self, warehouse: Warehouse) -> Sequence[Core]:
        self._choose()
        return warehouse.lifters

    def _choose(self) -> None:
        wanted = parameters.declare(self, self.KIND, "lifter", "id of the Robo-Stow; empty: all")
        self._sites = [s for s in self.building.lifters if wanted in ("", s.id)]
        if not self._sites:
            known = ", ".join(site.id for site in self.building.lifters)
            raise InputError(self.KIND, "lifter", wanted, f"one of {known} expected")

    def connect(self) -> None:
        super().connect()
        self._goals: list[tuple[LiftRequest, ServerGoalHandle]] = []
        self._servers = [
            ActionServer(
                self,
                Lift,
                topics.topic(topics.LIFT, lifter=site.id),
                execute_callback=self._finish,
                goal_callback=self._on_goal,
                handle_accepted_callback=self._on_accepted,
                cancel_callback=lambda _: CancelResponse.REJECT,
            )
            for site in self._sites
        ]
        self._ended: dict[bytes, tuple[bool, Any]] = {}
        self._publish_result = self.outlets[LiftResult]
        self._publish_state = self.outlets[LifterState]
        self.outlets[LiftResult] = self._on_result
        self.outlets[LifterState] = self._on_state

    def _on_goal(self, message: Any) -> GoalResponse:
        try:
            self.converter.lift_goal().decode(message)
        except InputError as error:
            self.reject(error)
            return GoalResponse.REJECT
        return GoalResponse.ACCEPT

    def _on_accepted(self, goal: ServerGoalHandle) -> None:
        # Executed only to be ended: rclpy polls a coroutine that waits, a lift takes a minute.
        request: LiftRequest = self.converter.lift_goal().decode(goal.request)
        self._goals.append((request, goal))
        self.deliver(request)

    def _on_state(self, state: LifterState) -> None:
        self._publish_state(state)
        feedback = Lift.Feedback(phase=int(state.phase), load=float(state.load))
        for request, goal in self._goals:
            if request.lifter == state.lifter:
                goal.publish_feedback(feedback)

    def _on_result(self, result: LiftResult) -> None:
        self._publish_result(result)
        message = self.converter.lift_result().encode(result)
        name = (result.lifter, result.pallet, result.unit)
        still_open = []
        for request, goal in self._goals:
            if (request.lifter, request.pallet, request.unit) == name:
                self._ended[bytes(goal.goal_id.uuid)] = (result.ok, message)
                goal.execute()
            else:
                still_open.append((request, goal))
        self._goals = still_open

    def _finish(self, goal: ServerGoalHandle) -> Any:
        ok, message = self._ended.pop(bytes(goal.goal_id.uuid))
        if ok:
            goal.succeed()
        else:
            goal.abort()
        return message


def main(args: Sequence[str] | None = None) -> int:
    """Run the node as a process."""
    return run_alone(RoboStowLifterNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
