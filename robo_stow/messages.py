"""What the rooms say to one another.

Every room is a core that is stepped: ``step(now, inbox) -> outbox``. Cores share no state; these
records are all that passes between them, in the embedded loop as well as over ROS 2, where each
record is one message, service or action of ``robo_stow_interfaces`` with the same field names.

Fleet-wide records are structs of arrays: parallel numpy arrays, one entry a unit (or pod, or bin).
Times are seconds of the building's clock (simulated or wall), lengths metres, masses kilograms,
angles radians counter-clockwise from +x (REP-103). Cells are ``row * width + column`` of the
storage level, row 0 at the north wall. Units, pods and bins are indices from 0. SKUs, orders,
pallets, stations and lifters are named by strings. Records are values: nobody changes one after
sending it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
U32 = NDArray[np.uint32]
I32 = NDArray[np.int32]
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


class Heading(IntEnum):
    """Grid headings in clockwise order; turning clockwise adds one modulo four."""

    EAST = 0
    SOUTH = 1
    WEST = 2
    NORTH = 3


class Action(IntEnum):
    """One element of a unit's release. FACE + k (k = 0..3) turns the carried pod to face k."""

    FORWARD = 0
    TURN_CW = 1
    TURN_CCW = 2
    WAIT = 3  # planner only; never released
    LIFT = 4
    LOWER = 5
    CHARGE = 6
    FACE = 8


class Operation(IntEnum):
    """What a unit does on arrival at an errand's goal; same codes as `Action`, 3 for nothing."""

    NONE = 3
    LIFT = 4
    LOWER = 5
    CHARGE = 6
    FACE = 8


class Load(IntEnum):
    """What a unit carries."""

    NONE = 0
    POD = 1
    PALLET = 2


class UnitStatus(IntEnum):
    """Health of a unit as it reports it."""

    OK = 0
    CHARGING = 1
    STOPPED = 2  # emergency stop: stands until reset
    DEAD = 3  # cannot move at all


class ErrandResult(IntEnum):
    """How an errand ended."""

    DONE = 0
    REJECTED = 1  # goal unreachable, unknown unit, or operation not possible


class ZoneEvent(IntEnum):
    """What happens to a zone that people may enter."""

    ENTERED = 0  # somebody goes in: closed to units
    LEFT = 1  # nobody is in there any more: still closed
    RESET = 2  # somebody has seen that it is empty: open again


class LiftPhase(IntEnum):
    """Phases of one lift cycle of a Robo-Stow."""

    IDLE = 0
    APPROACH = 1
    GRIP = 2
    LIFT = 3
    PLACE = 4
    WAIT_FOR_UNIT = 5  # load over the hand-off, held until the unit is reported in place
    RELEASE = 6
    RETURN = 7
    FAULT = 8


class DriveStatus(IntEnum):
    """State of a lifter's drives. In all but OK the brakes hold arm and load; the gripper, closed
    by springs, stays as it is."""

    OK = 0
    STOPPED = 1  # emergency stop: until reset by hand
    NO_POWER = 2  # when power is back the drives are STOPPED


class ScanResult(IntEnum):
    """What the person at a station found."""

    OK = 0
    SHORT = 1  # fewer pieces than instructed
    REFUSED = 2  # stow: the item does not fit in the bin


# --- fleet -------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, slots=True)
class FleetState:
    """State of all units, or of those listed in ``unit``; 10 Hz."""

    stamp: float
    unit: I32  # [k] indices
    epoch: U32  # [k] epoch of the release the unit follows
    done: U32  # [k] actions of that epoch completed
    released: U32  # [k] actions of that epoch known to the unit (end of its base)
    cell: I32  # [k] last cell whose centre was reached
    heading: U8  # [k] Heading at the last completed action
    x: F32  # [k] m
    y: F32  # [k] m
    yaw: F32  # [k] rad
    speed: F32  # [k] m/s
    load: U8  # [k] Load
    load_id: I32  # [k] pod index when load is POD, else -1
    battery: F32  # [k] 0..1
    status: U8  # [k] UnitStatus


@dataclass(frozen=True, eq=False, slots=True)
class Release:
    """Released actions for some units (VDA 5050 base), sent again until reported as known.

    Unit ``unit[i]`` gets ``count[i]`` actions, numbered ``first[i]``, ``first[i] + 1``, ... in
    ``epoch``; they stand one unit after the other in ``action`` and ``cell`` (the cell where each
    action ends). A unit takes actions it does not know yet, ignores those it does, and rejects a
    message of an older epoch, one that leaves a gap, or one whose first new action does not
    continue from the end of its base. A newer epoch is accepted only at rest at the end of the
    base, when ``origin[i]`` is the unit's cell.
    """

    stamp: float
    epoch: int
    unit: I32  # [k]
    first: U32  # [k]
    origin: I32  # [k] cell where action ``first`` begins
    count: I32  # [k]
    action: U8  # [sum(count)] Action codes
    cell: I32  # [sum(count)]


@dataclass(frozen=True, eq=False, slots=True)
class Errands:
    """Fulfilment to traffic: go to ``goal`` and do ``operation`` there.

    A unit has one errand at a time; a new errand number replaces the old one (at the end of what
    is released). ``hold`` = 1: afterwards the unit stands fast until its next errand; 0: it may be
    asked to make way. Numbers grow per unit; the same number again changes nothing and is
    answered again if done.
    """

    stamp: float
    unit: I32  # [k]
    errand: U32  # [k]
    goal: I32  # [k] cell
    operation: U8  # [k] Operation (FACE + k for a face)
    hold: U8  # [k]
    priority: F32  # [k] larger goes first
    due: F64  # [k] s, building time by which the unit should be at its goal; inf: whenever


@dataclass(frozen=True, eq=False, slots=True)
class ErrandReports:
    """Traffic to fulfilment: errands that ended."""

    stamp: float
    unit: I32  # [k]
    errand: U32  # [k]
    result: U8  # [k] ErrandResult


@dataclass(frozen=True, eq=False, slots=True)
class PodPlaces:
    """Traffic to everyone: where pods stand, -1 while carried; all at start, then changes."""

    stamp: float
    pod: I32  # [k]
    cell: I32  # [k]


@dataclass(frozen=True, eq=False, slots=True)
class PodRegister:
    """Inventory to traffic: where pods were last set down; all at start, then changes.

    Traffic starts from it and from what the units carry; after that it knows better itself.
    """

    stamp: float
    pod: I32  # [k]
    cell: I32  # [k]


@dataclass(frozen=True, eq=False, slots=True)
class ZoneCommand:
    """A person, gate or light barrier to traffic; carried out at once, repeats change nothing."""

    zone: str
    event: ZoneEvent
    cell: I32  # [k] ENTERED: cells to close; none: those of the building's zone of that name


@dataclass(frozen=True, slots=True)
class UnitReset:
    """A person to traffic: trust this fenced unit again."""

    unit: int


@dataclass(frozen=True, eq=False, slots=True)
class KeepOuts:
    """Traffic to everyone: all zones that are closed; on every change, and once a second after it.

    A unit that is in one of their cells, or whose released actions lead into one, brakes at once
    and stands until they are open; then it goes on. Nothing is released into them.
    """

    stamp: float
    zone: tuple[str, ...]
    occupied: U8  # [z] 1: somebody is known to be in there
    count: I32  # [z] cells of each zone
    cell: I32  # [sum(count)]


@dataclass(frozen=True, slots=True)
class Confirmation:
    """Answer to a person's command."""

    ok: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something a person should know: conflicts, fenced units, refused lifts."""

    stamp: float
    source: str  # room
    kind: str  # short machine-readable word, e.g. "conflict", "overload", "fenced"
    text: str


# --- lifter ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PalletArrived:
    """A pallet stands at a lifter's dock position on level 1, scanned.

    At a stow station without a pallet spot, ``lifter`` names the station and the goods stand there.
    """

    stamp: float
    pallet: str
    lifter: str
    weight: float  # kg, gross
    sku: tuple[str, ...]
    quantity: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LiftRequest:
    """Lift ``pallet`` from the dock and set it on ``unit`` at the lifter's hand-off cell."""

    stamp: float
    lifter: str
    pallet: str
    weight: float
    unit: int


@dataclass(frozen=True, slots=True)
class LiftResult:
    """End of a lift: ``ok`` means the pallet stands on the unit."""

    stamp: float
    lifter: str
    pallet: str
    unit: int
    ok: bool
    reason: str


@dataclass(frozen=True, slots=True)
class LifterCommand:
    """Lifter controller to its drives: move to a joint target, open or close the gripper."""

    stamp: float
    lifter: str
    sequence: int
    joint: tuple[float, ...]  # [6] rad
    gripper_closed: bool
    payload: float  # kg expected in the gripper, for the drives' feed-forward


@dataclass(frozen=True, slots=True)
class LifterFeedback:
    """Lifter drives to its controller."""

    stamp: float
    lifter: str
    sequence: int  # of the command last completed
    joint: tuple[float, ...]  # [6] rad
    gripper_closed: bool
    load: float  # kg measured in the gripper
    status: DriveStatus
    energy: float  # Wh taken since the drives were switched on


@dataclass(frozen=True, slots=True)
class LifterState:
    """What a lifter is doing; published on change and once a second."""

    stamp: float
    lifter: str
    phase: LiftPhase
    pallet: str
    unit: int
    load: float


# --- orders and stations -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OrderArrived:
    """An order (one tote's worth of lines) from the shop."""

    stamp: float
    order: str
    sku: tuple[str, ...]
    quantity: tuple[int, ...]
    due: float  # s, latest ship time


@dataclass(frozen=True, slots=True)
class PickVisit:
    """Fulfilment to a pick station: the unit stands there with this pod and face; pick these."""

    stamp: float
    station: str
    visit: int
    unit: int
    pod: int
    face: int
    order: tuple[str, ...]  # one entry a pick
    bin: tuple[int, ...]
    sku: tuple[str, ...]
    quantity: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class StowVisit:
    """Fulfilment to a stow station: stow from ``pallet`` into this face of the pod."""

    stamp: float
    station: str
    visit: int
    unit: int
    pod: int
    face: int
    pallet: str


@dataclass(frozen=True, slots=True)
class VisitDone:
    """A station has finished a visit, and the ledger has acknowledged all of it."""

    stamp: float
    station: str
    visit: int
    handled: int  # pieces picked or stowed
    short: tuple[int, ...]  # indices of picks that found too little
    pallet_empty: bool  # stow only


@dataclass(frozen=True, slots=True)
class Instruct:
    """Station to the person (screen and light): one piece of handwork."""

    stamp: float
    station: str
    work: int  # number, growing per station
    stow: bool
    bin: int
    sku: str
    quantity: int
    order: str = ""  # pick: whose tote lights up


@dataclass(frozen=True, slots=True)
class Scan:
    """The person to the station: taken out and scanned, or stowed; the pod is needed no more."""

    stamp: float
    station: str
    work: int
    result: ScanResult
    quantity: int  # pieces really moved
    damaged: int = 0  # pick: pieces found damaged and put aside


@dataclass(frozen=True, slots=True)
class Put:
    """The person to everyone: the pieces of a pick are in the tote, its button pressed."""

    stamp: float
    station: str
    work: int
    order: str


@dataclass(frozen=True, slots=True)
class ToteReady:
    """Fulfilment to packing: all lines of the order are in the tote."""

    stamp: float
    order: str
    pieces: int


@dataclass(frozen=True, slots=True)
class TotePacked:
    """Packing to fulfilment: packed, labelled, at the dock; may be shipped."""

    stamp: float
    order: str


@dataclass(frozen=True, slots=True)
class OrderShipped:
    """Fulfilment to everyone: the ledger has recorded the shipment."""

    stamp: float
    order: str
    arrived: float
    lines: int
    pieces: int


# --- inventory: requests carry an idempotency key, the same key again gives the same reply ------


@dataclass(frozen=True, slots=True)
class ReceiveRequest:
    """Book a pallet into the building."""

    key: str
    pallet: str
    sku: tuple[str, ...]
    quantity: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ReserveRequest:
    """Reserve pieces in bins for orders, entry by entry; each entry is granted whole or in part."""

    key: str
    order: tuple[str, ...]
    bin: tuple[int, ...]
    sku: tuple[str, ...]
    quantity: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """Give back what is still reserved for an order in a bin."""

    key: str
    order: str
    bin: int
    sku: str
    quantity: int


@dataclass(frozen=True, slots=True)
class PickRequest:
    """Book a pick: ``quantity`` pieces from ``bin`` into the order's tote.

    ``short`` pieces were expected in the bin and cannot be had: booked as an adjustment with reason
    "short pick", of which ``damaged`` with reason "damage"; their reservation ends.
    """

    key: str
    order: str
    bin: int
    sku: str
    quantity: int
    short: int
    damaged: int = 0


@dataclass(frozen=True, slots=True)
class ProposeRequest:
    """Ask for bins on one face of a pod for what is left on a pallet."""

    key: str
    pallet: str
    pod: int
    face: int


@dataclass(frozen=True, slots=True)
class StowRequest:
    """Book a stow: ``quantity`` pieces from the pallet into the bin."""

    key: str
    pallet: str
    bin: int
    sku: str
    quantity: int


@dataclass(frozen=True, slots=True)
class ShipRequest:
    """Book all pieces in an order's tote as shipped."""

    key: str
    order: str


@dataclass(frozen=True, slots=True)
class MovePodRequest:
    """Remember where a pod was set down."""

    key: str
    pod: int
    cell: int


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer to one request.

    ``granted``: reserve: pieces per entry; others: the pieces booked (one entry).
    ``bin, sku, quantity``: the proposal (propose only). ``left``: pieces left on the pallet
    (propose and stow).
    """

    key: str
    ok: bool
    reason: str
    granted: tuple[int, ...] = ()
    bin: tuple[int, ...] = ()
    sku: tuple[str, ...] = ()
    quantity: tuple[int, ...] = ()
    left: int = 0


@dataclass(frozen=True, slots=True)
class StockLevels:
    """Inventory to fulfilment: stock of bins, absolute values; all of it at start, then changes."""

    stamp: float
    bin: tuple[int, ...]
    sku: tuple[str, ...]
    on_hand: tuple[int, ...]
    reserved: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PodSpace:
    """Inventory to fulfilment: free volume of pod faces (share, 0..1), as `StockLevels` changes."""

    stamp: float
    pod: tuple[int, ...]
    face: tuple[int, ...]
    free: tuple[float, ...]


Request = (
    ReceiveRequest
    | ReserveRequest
    | CancelRequest
    | PickRequest
    | ProposeRequest
    | StowRequest
    | ShipRequest
    | MovePodRequest
)
"""Answered by the inventory with one `Reply`; repeated by the asker until answered."""

Message = (
    FleetState
    | Release
    | Errands
    | ErrandReports
    | PodPlaces
    | PodRegister
    | ZoneCommand
    | UnitReset
    | KeepOuts
    | Alarm
    | PalletArrived
    | LiftRequest
    | LiftResult
    | LifterCommand
    | LifterFeedback
    | LifterState
    | OrderArrived
    | PickVisit
    | StowVisit
    | VisitDone
    | Instruct
    | Scan
    | Put
    | ToteReady
    | TotePacked
    | OrderShipped
    | Request
    | Reply
    | StockLevels
    | PodSpace
)


class Core(Protocol):
    """A room's decision core."""

    @property
    def consumes(self) -> tuple[type, ...]:
        """Record types this core wants in its inbox."""
        ...

    def step(self, now: float, inbox: Sequence[Message]) -> list[Message]:
        """Take what has come in since the last step and the time (s); say what is to be sent."""
        ...
