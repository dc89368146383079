"""The building: levels, cells, stations, lifters, and what stands and works in it.

Pure values, built by `robo_stow.floor.load.load_building` from ``config/buildings/*.yaml``. The
storage level is a grid of cells, row 0 at its north wall; the world frame has x to the east and
y to the north (REP-103) with the origin at the grid's south-west corner.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

YAW = (0.0, -math.pi / 2, math.pi, math.pi / 2)
"""World yaw (rad) of headings EAST, SOUTH, WEST, NORTH."""


class CellKind(IntEnum):
    """What a cell is for."""

    WALL = 0
    TRAVEL = 1
    STORAGE = 2  # a pod may stand here; empty units drive beneath it
    QUEUE = 3  # waiting line of a station, pallet spot or hand-off
    STATION = 4  # pods are presented to a person here
    HANDOFF = 5  # a lifter sets pallets on units here
    CHARGER = 6
    PALLET = 7  # a unit with a pallet stands here while it is unloaded


@dataclass(frozen=True, eq=False)
class Grid:
    """Cells of the storage level.

    ``kind`` and ``exits`` are [height * width], row-major. Bit d of ``exits`` allows leaving the
    cell in heading d (0 E, 1 S, 2 W, 3 N); it is only set where the neighbour is not a wall.
    """

    width: int
    height: int
    pitch: float  # m, distance of cell centres
    kind: NDArray[np.uint8]
    exits: NDArray[np.uint8]
    cost: NDArray[np.float32]  # extra steps charged for entering a cell when planning

    @property
    def cells(self) -> int:
        """Number of cells, walls included."""
        return self.width * self.height

    def xy(self, cell: NDArray[np.int32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """World x, y (m) of cell centres."""
        row, col = np.divmod(cell, self.width)
        return (col + 0.5) * self.pitch, (self.height - row - 0.5) * self.pitch

    def cell_at(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.int32]:
        """Cells that contain the world points ``x, y`` (m)."""
        col = np.floor(np.asarray(x) / self.pitch).astype(np.int32)
        row = self.height - 1 - np.floor(np.asarray(y) / self.pitch).astype(np.int32)
        return (row * self.width + col).astype(np.int32)

    def neighbour(self, cell: int, heading: int) -> int:
        """Cell one step ahead, whether or not the exit is allowed; -1 outside the grid."""
        row, col = divmod(cell, self.width)
        row += (0, 1, 0, -1)[heading]
        col += (1, 0, -1, 0)[heading]
        inside = 0 <= row < self.height and 0 <= col < self.width
        return row * self.width + col if inside else -1


@dataclass(frozen=True)
class Level:
    """One storey; units drive on the storage level only."""

    name: str
    height: float  # m above the dock floor
    storage: bool


@dataclass(frozen=True)
class Station:
    """A pick or stow station: pods enter by a one-way lane, stop at ``cell`` and leave."""

    id: str
    kind: str  # "pick" or "stow"
    cell: int
    queue: tuple[int, ...]  # waiting cells, nearest to the station first
    pallet_cell: int = -1  # stow: where the unit with the pallet stands; -1: fed from outside
    pallet_queue: tuple[int, ...] = ()


@dataclass(frozen=True)
class LifterSite:
    """A Robo-Stow: lifts pallets from its dock position to its hand-off cell."""

    id: str
    cell: int  # hand-off cell on the storage level
    queue: tuple[int, ...]  # waiting cells, nearest first
    base: tuple[float, float, float]  # m, foot of the arm in the world frame
    dock: tuple[float, float, float]  # m, pallet pick-up point on level 1


@dataclass(frozen=True)
class Zone:
    """Part of the storage level that people may enter while units keep out."""

    name: str
    cells: tuple[int, ...]


@dataclass(frozen=True)
class DriveProfile:
    """Motion and energy of a drive unit."""

    name: str
    max_speed: float  # m/s
    acceleration: float  # m/s^2, also braking
    turn_time: float  # s for a full turn in place
    lift_time: float  # s to lift or lower a load
    payload: float  # kg
    footprint: float  # m, side of the square the unit needs
    mass: float  # kg
    battery: float  # Wh
    idle_power: float  # W
    drive_power: float  # W at full speed, empty
    load_power: float  # W more at full speed per 1000 kg
    lift_energy: float  # Wh a lift of 1000 kg
    charge_power: float  # W
    charge_below: float  # 0..1, go charging
    charge_until: float  # 0..1


@dataclass(frozen=True)
class Shelf:
    """A shelf of a pod's face: equal bins side by side."""

    bins: int
    width: float  # m, inside of one bin, across the face
    depth: float  # m
    height: float  # m
    capacity: float  # kg a bin


@dataclass(frozen=True)
class PodClass:
    """Pods kept for goods of one class; nothing else goes in, and these goods nowhere else."""

    pods: int
    temperature: str
    hazard: str  # "" for none


@dataclass(frozen=True)
class PodSpec:
    """Pods: equal faces with shelves of bins.

    Bin number = pod * bins + face * bins_per_face + slot; slots go along the shelves, the lowest
    first. Pods of special classes have the highest numbers, in the order of ``classes``.
    """

    size: float  # m, side of the square footprint
    mass: float  # kg, empty
    capacity: float  # kg
    faces: int
    usable: float  # 0..1, share of a bin's volume that goods take at most; the rest is air
    shelves: tuple[Shelf, ...]  # of every face, the lowest first
    classes: tuple[PodClass, ...]

    @cached_property
    def bins_per_face(self) -> int:
        """Bins of one face."""
        return sum(shelf.bins for shelf in self.shelves)

    @cached_property
    def bins(self) -> int:
        """Bins of one pod."""
        return self.faces * self.bins_per_face

    @cached_property
    def volume(self) -> float:
        """Volume that the goods of one pod take at most, m^3."""
        of_face = sum(s.bins * s.width * s.depth * s.height for s in self.shelves)
        return self.faces * self.usable * of_face


@dataclass(frozen=True)
class LifterSpec:
    """What a Robo-Stow can do."""

    rated_load: float  # kg; more is refused
    joint_speed: tuple[float, ...]  # rad/s, 6
    joint_acceleration: tuple[float, ...]  # rad/s^2, 6
    grip_time: float  # s to close or open the gripper


@dataclass(frozen=True)
class PeopleSpec:
    """Speed of the people at stations; times vary log-normally with ``spread``."""

    pick_line: float  # s for each pick, besides the pieces
    pick_piece: float  # s a piece
    put_share: float  # 0..1 of a pick's time that comes after the scan: into the tote, button
    stow_line: float  # s
    stow_piece: float  # s
    pack_tote: float  # s
    packers: int
    spread: float  # standard deviation of log time
    short_share: float  # share of picks that find a piece too few
    damaged_share: float  # share of picks that find a piece damaged
    rescan_share: float  # share of works of which a wrong piece is scanned first


@dataclass(frozen=True)
class OrderSpec:
    """Where orders come from and how real order lines become order totes."""

    file: str  # CSV path, resolved
    orders_per_hour: float  # arrival rate the stream is scaled to
    max_lines: int  # an order with more lines is split into several totes
    max_pieces: int  # pieces a line are capped at this
    tote_volume: float  # m^3 of goods that a tote takes; 0: as many as come
    due_minutes: float  # time allowed; with lorries the least from arrival to departure


@dataclass(frozen=True)
class Lorry:
    """A carrier's lorries, which leave at fixed intervals."""

    carrier: str
    share: float  # of the orders, beside the shares of the others
    first: float  # min, first departure
    every: float  # min


@dataclass(frozen=True)
class StockSpec:
    """Opening stock and replenishment."""

    fill: float  # share of bin volume filled at the start
    cover_pieces: int  # least opening stock of a SKU, pieces
    pallet_pieces: int  # about how many pieces come on a pallet
    pallets_per_hour: float
    lookalike: int  # SKUs whose codes share this many leading characters look alike
    items: str  # CSV path of sizes and classes of SKUs, resolved; "": sizes are drawn


@dataclass(frozen=True)
class TrafficSpec:
    """Traffic manager."""

    tick: float  # s between plan steps
    backlog: int  # actions a unit may have planned but not done before it is left out of a plan
    budget: float  # s of planning a tick


@dataclass(frozen=True)
class FulfilmentSpec:
    """Order and pod dispatch."""

    slots: int  # orders open at once at a pick station (put wall)
    pods_per_station: int  # pods under way to or at a station


@dataclass(frozen=True)
class FaultSpec:
    """What goes wrong in the embedded simulator."""

    late_share: float  # share of moves that start late
    late_seconds: float  # mean delay of those, s, exponential


@dataclass(frozen=True, eq=False)
class Building:
    """Everything the rooms need to know of a site."""

    name: str
    source: str  # file it was read from
    seed: int
    levels: tuple[Level, ...]
    grid: Grid
    stations: tuple[Station, ...]
    lifters: tuple[LifterSite, ...]
    chargers: tuple[int, ...]
    zones: tuple[Zone, ...]
    units: int
    pods: int
    drive: DriveProfile
    pod: PodSpec
    lifter: LifterSpec
    people: PeopleSpec
    orders: OrderSpec
    stock: StockSpec
    traffic: TrafficSpec
    fulfilment: FulfilmentSpec
    faults: FaultSpec
    lorries: tuple[Lorry, ...] = ()

    def unit_name(self, unit: int) -> str:
        """ROS namespace of a unit."""
        return f"unit_{unit:04d}"

    def pod_of_bin(self, bin_: int) -> int:
        """Pod that holds a bin."""
        return bin_ // self.pod.bins

    def face_of_bin(self, bin_: int) -> int:
        """Face of its pod on which a bin opens."""
        return bin_ % self.pod.bins // self.pod.bins_per_face
