"""Controller of one Robo-Stow: lifts pallets from the dock onto drive units, one at a time."""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from collections.abc import Sequence
from enum import Enum, auto

import numpy as np

from robo_stow.floor.building import Building, LifterSite
from robo_stow.lifter.kinematics import Joints, poses
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

FRESH = 1.0
"""s; an older report of a unit is no proof that it still stands there."""
CENTRED = 0.05
"""m a unit may stand off the centre of the hand-off cell."""
REPEAT = 1.0
"""s after which a command that is not answered is sent again."""
OVERDUE = 60.0
"""s after which drives that have not completed a command are reported."""
PATIENCE = 300.0
"""s after which a load that waits for its unit is reported."""
SHARE_OFF, WEIGHT_OFF = 0.05, 25.0
"""A pallet may differ from its declared weight by this share or these kg, whichever is more."""


class _Stage(Enum):
    IDLE = auto()
    APPROACH = auto()
    INSERT = auto()
    CLOSE = auto()
    WEIGH = auto()
    PUT_BACK = auto()
    LET_GO = auto()
    BACK_OUT = auto()
    RAISE = auto()
    SWING = auto()
    WAIT = auto()
    LOWER = auto()
    OPEN = auto()
    WITHDRAW = auto()
    RETURN = auto()


_PHASE = {
    _Stage.IDLE: LiftPhase.IDLE,
    _Stage.APPROACH: LiftPhase.APPROACH,
    _Stage.INSERT: LiftPhase.GRIP,
    _Stage.CLOSE: LiftPhase.GRIP,
    _Stage.WEIGH: LiftPhase.GRIP,
    _Stage.PUT_BACK: LiftPhase.GRIP,
    _Stage.LET_GO: LiftPhase.GRIP,
    _Stage.BACK_OUT: LiftPhase.RETURN,
    _Stage.RAISE: LiftPhase.LIFT,
    _Stage.SWING: LiftPhase.PLACE,
    _Stage.WAIT: LiftPhase.WAIT_FOR_UNIT,
    _Stage.LOWER: LiftPhase.RELEASE,
    _Stage.OPEN: LiftPhase.RELEASE,
    _Stage.WITHDRAW: LiftPhase.RELEASE,
    _Stage.RETURN: LiftPhase.RETURN,
}


_HALTS = {
    DriveStatus.STOPPED: ("estop", "emergency stop"),
    DriveStatus.NO_POWER: ("power", "drives without power"),
}
"""Kind and text of the alarm."""


class LifterCore:
    """State machine of one lifter.

    Requests are served first come, first served. A request for a pallet that has been answered
    is answered the same way again (after a refusal only while the declared weight is the same);
    a newer request for a pallet in work may name another unit.

    **Interlock.** Over the hand-off the gripper is opened only while a fresh report shows the
    requested unit in the hand-off cell, centred, at rest with nothing left to do, empty and in
    order; so it is for every repetition of that command. Otherwise the load is held, for as long
    as it takes; when the unit leaves before the gripper opened, the load is raised again.

    **Load.** A pallet declared above the rated load is refused untouched. One that is gripped is
    lifted a little and weighed; if it exceeds the rating or differs from its declaration, it is
    put down again and refused.

    **Stops.** While the drives report an emergency stop or no power (brakes hold arm and load, the
    gripper stays closed) nothing is commanded. After they have been reset by hand the last command
    is given again, an opening only to a unit that is in place.

    After a restart with a load in the gripper nothing is opened: the lift goes on with the first
    request whose declared weight fits the load.
    """

    consumes: tuple[type, ...] = (LiftRequest, FleetState, LifterFeedback)

    def __init__(self, building: Building, site: LifterSite) -> None:
        """Raises `InputError` when the site's dock or hand-off is out of the arm's reach."""
        self.site = site
        self._rated = building.lifter.rated_load
        self._poses = poses(building, site)
        x, y = building.grid.xy(np.array([site.cell], np.int32))
        self._x, self._y = float(x[0]), float(y[0])
        self._stage = _Stage.IDLE
        self._since = 0.0
        self._path: list[Joints] = []
        self._queue: deque[LiftRequest] = deque()
        self._request: LiftRequest | None = None
        self._refusal = ""
        self._answered: dict[str, tuple[float, LiftResult]] = {}
        self._feedback: LifterFeedback | None = None
        self._sequence = 0
        self._command: LifterCommand | None = None
        self._sent = -math.inf
        self._issued = 0.0
        self._alarmed = False
        self._unit_seen = -math.inf
        self._unit_ready = False
        self._published: LifterState | None = None

    def step(self, now: float, inbox: Sequence[Message]) -> list[Message]:
        """Take requests, reports and feedback; send commands, results and the state."""
        out: list[Message] = []
        for message in inbox:
            if isinstance(message, FleetState):
                if self._request is not None:
                    self._watch(message)
            elif isinstance(message, LifterFeedback):
                if message.lifter == self.site.id:
                    self._hear(now, message, out)
            elif isinstance(message, LiftRequest) and message.lifter == self.site.id:
                self._ask(now, message, out)
        if not self._halted:
            if self._feedback is not None and (self._request is not None or self._queue):
                self._advance(now, out)
            self._repeat(now, out)
        self._publish(now, out)
        return out

    @property
    def due(self) -> float:
        """Time (s) at which a step has something to do although nothing has come in."""
        if self._request is not None or self._queue or self._published is None:
            return -math.inf
        if self._command is not None and not self._completed():
            return -math.inf
        return self._published.stamp + 1.0

    @property
    def _halted(self) -> bool:
        return self._feedback is not None and self._feedback.status is not DriveStatus.OK

    # --- what comes in -------------------------------------------------------------------------

    def _hear(self, now: float, feedback: LifterFeedback, out: list[Message]) -> None:
        if self._feedback is not None and feedback.stamp < self._feedback.stamp:
            return
        was = DriveStatus.OK if self._feedback is None else self._feedback.status
        if feedback.status is not was:
            if feedback.status is not DriveStatus.OK:
                kind, why = _HALTS[feedback.status]
                self._alarm(now, kind, f"{why}; holds {feedback.load:.0f} kg", out)
            self._issued, self._sent = now, -math.inf  # what was pending is commanded again
        self._feedback = feedback
        # A controller that restarts numbers on from where its drives are.
        self._sequence = max(self._sequence, feedback.sequence)

    def _watch(self, state: FleetState) -> None:
        assert self._request is not None
        at = np.flatnonzero(state.unit == self._request.unit)
        if not len(at) or state.stamp < self._unit_seen:
            return
        i = at[-1]
        self._unit_seen = state.stamp
        self._unit_ready = bool(
            state.cell[i] == self.site.cell
            and state.speed[i] == 0.0
            and state.done[i] == state.released[i]
            and state.load[i] == Load.NONE
            and state.status[i] == UnitStatus.OK
            and math.hypot(state.x[i] - self._x, state.y[i] - self._y) <= CENTRED
        )

    def _ask(self, now: float, request: LiftRequest, out: list[Message]) -> None:
        answered = self._answered.get(request.pallet)
        if answered is not None:
            weight, result = answered
            if result.ok or weight == request.weight:
                out.append(result)
                return
        if self._request is not None and self._request.pallet == request.pallet:
            if request.unit != self._request.unit and request.stamp > self._request.stamp:
                self._request = dataclasses.replace(
                    self._request, stamp=request.stamp, unit=request.unit
                )
                self._forget_unit()
            return
        for i, waiting in enumerate(self._queue):
            if waiting.pallet == request.pallet:
                if request.stamp > waiting.stamp:
                    self._queue[i] = request
                return
        if not 0.0 < request.weight <= self._rated:
            reason = (
                f"declared weight {request.weight:.0f} kg exceeds the rated load "
                f"{self._rated:.0f} kg"
                if request.weight > self._rated
                else f"declared weight {request.weight} kg is no weight"
            )
            kind = "overload" if request.weight > self._rated else "weight"
            self._alarm(now, kind, f"{request.pallet}: {reason}", out)
            self._answer(now, request, False, reason, out)
            return
        self._queue.append(request)

    # --- the cycle -----------------------------------------------------------------------------

    def _advance(self, now: float, out: list[Message]) -> None:
        """Pass through stages until one has to wait for the drives, a unit or a request."""
        while True:
            if self._stage is _Stage.IDLE:
                if not self._queue or not self._begin(now, out):
                    return
            elif self._stage is _Stage.WAIT:
                if not self._unit_in_place(now):
                    if now - self._since > PATIENCE and not self._alarmed:
                        self._alarmed = True
                        assert self._request is not None
                        text = f"holds {self._request.pallet}, unit {self._request.unit} not there"
                        self._alarm(now, "handoff", text, out)
                    return
                self._enter(now, _Stage.LOWER, [self._poses.handoff], out)
            elif self._stage is _Stage.OPEN and self._command is None:
                # The load stands on the deck, still gripped.
                if self._unit_in_place(now):
                    self._send(now, self._poses.handoff, out)
                elif self._unit_left(now):
                    self._enter(now, _Stage.SWING, [self._poses.above[-1]], out)
                return
            elif not self._completed():
                if self._stage is _Stage.OPEN and self._unit_left(now) and self._still_closed():
                    self._enter(now, _Stage.SWING, [self._poses.above[-1]], out)
                return
            elif self._path:
                self._send(now, self._path.pop(0), out)
            elif not self._leave(now, out):
                return

    def _begin(self, now: float, out: list[Message]) -> bool:
        """Start on the next request, or go on with a load that a restart left in the gripper."""
        feedback, at = self._feedback, self._poses
        assert feedback is not None
        held = feedback.load if feedback.gripper_closed else 0.0
        fits = [
            i
            for i, request in enumerate(self._queue)
            if held <= 0.0 or abs(held - request.weight) <= self._tolerance(request.weight)
        ]
        if not fits:
            if not self._alarmed:
                self._alarmed = True
                self._alarm(now, "load", f"gripper holds {held:.0f} kg nobody asked for", out)
            return False
        self._request = self._queue[fits[0]]
        del self._queue[fits[0]]
        self._refusal = ""
        self._forget_unit()
        column = feedback.joint[0]
        if held > 0.0 and abs(column - at.above[-1][0]) < abs(column - at.raised[-1][0]):
            self._enter(now, _Stage.SWING, [at.above[-1]], out)
        elif held > 0.0:
            self._enter(now, _Stage.RAISE, list(at.raised), out)
        elif feedback.gripper_closed and math.dist(feedback.joint, at.insert[-1]) < 0.01:
            self._enter(now, _Stage.WEIGH, [at.weighing], out)
        else:
            self._enter(now, _Stage.APPROACH, list(at.approach), out)
        return True

    def _leave(self, now: float, out: list[Message]) -> bool:
        """Go on from a stage whose commands are completed; returns whether to look further."""
        at, request = self._poses, self._request
        assert request is not None and self._feedback is not None
        stage = self._stage
        if stage is _Stage.APPROACH:
            self._enter(now, _Stage.INSERT, list(at.insert), out)
        elif stage is _Stage.INSERT:
            self._enter(now, _Stage.CLOSE, [at.insert[-1]], out)
        elif stage is _Stage.CLOSE:
            self._enter(now, _Stage.WEIGH, [at.weighing], out)
        elif stage is _Stage.WEIGH:
            self._refusal = self._weigh(now, request, self._feedback.load, out)
            if self._refusal:
                self._enter(now, _Stage.PUT_BACK, [at.insert[-1]], out)
            else:
                self._enter(now, _Stage.RAISE, list(at.raised), out)
        elif stage is _Stage.PUT_BACK:
            self._enter(now, _Stage.LET_GO, [at.insert[-1]], out)
        elif stage is _Stage.LET_GO:
            self._enter(
                now, _Stage.BACK_OUT, [*at.insert[-2::-1], *at.approach[::-1], at.parked[-1]], out
            )
        elif stage is _Stage.RAISE:
            self._enter(now, _Stage.SWING, list(at.above), out)
        elif stage is _Stage.SWING:
            if self._feedback.load < 0.5 * request.weight:
                reason = f"lost the load: {self._feedback.load:.0f} kg left in the gripper"
                self._alarm(now, "load", f"{request.pallet}: {reason}", out)
                self._answer(now, request, False, reason, out)
                self._enter(now, _Stage.RETURN, list(at.parked), out)
            else:
                self._enter(now, _Stage.WAIT, [], out)
        elif stage is _Stage.LOWER:
            self._enter(now, _Stage.OPEN, [], out)
        elif stage is _Stage.OPEN:
            self._enter(now, _Stage.WITHDRAW, list(at.withdraw), out)
        elif stage is _Stage.WITHDRAW:
            self._answer(now, request, True, "", out)
            self._enter(now, _Stage.RETURN, list(at.parked), out)
        else:  # RETURN, BACK_OUT
            if stage is _Stage.BACK_OUT:
                self._answer(now, request, False, self._refusal, out)
            self._request = None
            self._enter(now, _Stage.IDLE, [], out)
            return bool(self._queue)
        return True

    def _weigh(self, now: float, request: LiftRequest, measured: float, out: list[Message]) -> str:
        """Why the gripped pallet must not be lifted, or nothing."""
        if measured > self._rated:
            kind = "overload"
            reason = f"measured {measured:.0f} kg exceeds the rated load {self._rated:.0f} kg"
        elif abs(measured - request.weight) > self._tolerance(request.weight):
            kind = "weight"
            reason = f"measured {measured:.0f} kg, declared {request.weight:.0f} kg"
        else:
            return ""
        self._alarm(now, kind, f"{request.pallet}: {reason}", out)
        return reason

    @staticmethod
    def _tolerance(weight: float) -> float:
        return max(SHARE_OFF * weight, WEIGHT_OFF)

    # --- interlock -----------------------------------------------------------------------------

    def _forget_unit(self) -> None:
        self._unit_seen = -math.inf
        self._unit_ready = False

    def _unit_in_place(self, now: float) -> bool:
        return self._unit_ready and abs(now - self._unit_seen) <= FRESH

    def _unit_left(self, now: float) -> bool:
        return not self._unit_ready and abs(now - self._unit_seen) <= FRESH

    # --- drives --------------------------------------------------------------------------------

    def _enter(self, now: float, stage: _Stage, path: list[Joints], out: list[Message]) -> None:
        self._stage, self._since, self._path = stage, now, path
        self._command = None
        self._alarmed = False
        if path:
            self._send(now, path.pop(0), out)

    def _send(self, now: float, joint: Joints, out: list[Message]) -> None:
        stage = self._stage
        # Open on the way in, to put a refused pallet back, and for the release on the unit.
        closed = stage in (
            *(_Stage.CLOSE, _Stage.WEIGH, _Stage.PUT_BACK, _Stage.RAISE, _Stage.SWING),
            *(_Stage.WAIT, _Stage.LOWER),
        )
        laden = closed and stage is not _Stage.CLOSE and self._request is not None
        self._sequence += 1
        self._command = LifterCommand(
            stamp=now,
            lifter=self.site.id,
            sequence=self._sequence,
            joint=joint,
            gripper_closed=closed,
            payload=self._request.weight if laden and self._request is not None else 0.0,
        )
        self._sent = self._issued = now
        out.append(self._command)

    def _completed(self) -> bool:
        if self._command is None:
            return True
        assert self._feedback is not None
        return self._feedback.sequence == self._command.sequence

    def _still_closed(self) -> bool:
        assert self._feedback is not None
        return self._feedback.gripper_closed

    def _repeat(self, now: float, out: list[Message]) -> None:
        if self._command is None or self._feedback is None or self._completed():
            return
        if now - self._issued > OVERDUE and not self._alarmed:
            self._alarmed = True
            text = f"drives have not completed command {self._command.sequence}"
            self._alarm(now, "drives", text, out)
        if now - self._sent < REPEAT:
            return
        if self._stage is _Stage.OPEN and not self._unit_in_place(now):
            return
        self._sent = now
        self._command = dataclasses.replace(self._command, stamp=now)
        out.append(self._command)

    # --- what goes out -------------------------------------------------------------------------

    def _answer(
        self, now: float, request: LiftRequest, ok: bool, reason: str, out: list[Message]
    ) -> None:
        result = LiftResult(now, self.site.id, request.pallet, request.unit, ok, reason)
        self._answered[request.pallet] = (request.weight, result)
        out.append(result)

    def _alarm(self, now: float, kind: str, text: str, out: list[Message]) -> None:
        out.append(Alarm(now, "lifter", kind, f"{self.site.id}: {text}"))

    def _publish(self, now: float, out: list[Message]) -> None:
        last, request = self._published, self._request
        phase = _PHASE[self._stage]
        if self._halted or (self._alarmed and self._stage is not _Stage.WAIT):
            phase = LiftPhase.FAULT
        pallet, unit = ("", -1) if request is None else (request.pallet, request.unit)
        if (
            last is not None
            and now - last.stamp < 1.0
            and (last.phase, last.pallet, last.unit) == (phase, pallet, unit)
        ):
            return
        load = 0.0 if self._feedback is None else self._feedback.load
        self._published = LifterState(now, self.site.id, phase, pallet, unit, load)
        out.append(self._published)
