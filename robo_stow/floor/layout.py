"""Cells of a storage level, from a few parameters or from a drawn map.

**Generated layout.** A field of storage blocks, two pods deep, stands between one-way single-lane
aisles whose directions alternate. A hall runs round the field: outer lanes go counter-clockwise,
inner lanes clockwise, and lane changes are one-way too (outward and inward by turns), so loaded
units never meet head-on. Bays open off the hall's outer lane: U-shaped one-way lanes (in by the
queue, the work cell at the bottom, out again downstream of the way in), and charger pockets::

    o o o o o o o o o       o hall     > < ^ v aisles
    o [][] v [][] o o       [] storage
    o [][] v [][] o o       q queue, P pick station, out lane beside it
    o > > > > > > o o
    o o q o o o o o o
        q ^
        P ^

Bays, in map order (west to east, north to south), with the wall cells where people and arms stand:

- ``pick``: wall, in lane, out lane (3 cells wide);
- ``stow``: wall, pallet lane in and out, wall (the person, between both), pod lane in and out (6);
- ``lifter``: wall, in lane, out lane (3); the arm stands beyond the hand-off cell;
- ``feed``: a stow station without a pallet spot, goods come to it from outside: wall, in lane, out
  lane (3);
- ``charger``: a pocket one cell deep (1).

**Drawn map.** Rows of characters, north at the top; a space or ``#`` where nothing is:

======  ==========================================================================================
``#``   wall
``.``   travel, to be left in every direction
``>``   travel, one way east (``v`` south, ``<`` west, ``^`` north); sideways into storage only
``S``   storage
``e``   queue, one way east (``s`` south, ``w`` west, ``n`` north)
``P``   pick station
``T``   stow station; its pallet spot is the nearest ``B``
``B``   pallet spot
``H``   hand-off of a lifter; the arm stands beyond it, straight on from its queue
``C``   charger
======  ==========================================================================================

No cell is left against the arrow of the next one; work cells (``P T B H``) are entered from their
queue only, and left neither into storage nor into a queue. Stations and lifters are numbered in
reading order.

One-way aisles with alternating directions, two-deep blocks and U-shaped station lanes follow
Merschformann, Xie, Li: RAWSim-O, Logistics Research 11:8 (2018), and Lamballais, Roy, de Koster,
EJOR 256(3):976-990 (2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from robo_stow.floor.building import CellKind

DROW = (0, 1, 0, -1)
DCOL = (1, 0, -1, 0)

LANE_COST = 10.0
"""Extra steps for entering a queue cell: who has no business in a lane keeps out of it."""
POCKET_COST = 20.0
"""Extra steps for entering a charger pocket."""

BAY_WIDTH = {"pick": 3, "stow": 6, "lifter": 3, "feed": 3, "charger": 1}
SIDES = ("north", "east", "south", "west")

_CLOCKWISE = {"north": 0, "east": 1, "south": 2, "west": 3}  # heading of a clockwise lane
_OUTWARD = {"north": 3, "east": 0, "south": 1, "west": 2}


@dataclass(frozen=True)
class LayoutSpec:
    """Parameters of a generated layout."""

    blocks: tuple[int, int]  # columns and rows of blocks
    block_width: int  # storage cells of a block along its aisle
    lanes: int  # hall lanes in each direction
    pick_queue: int  # waiting cells before a station
    stow_queue: int
    handoff_queue: int
    sides: dict[str, tuple[str, ...]]  # bays along each side, in map order


@dataclass(eq=False)
class Cells:
    """What a layout makes: the grid's arrays and the work cells, in order of their numbers."""

    width: int
    height: int
    kind: NDArray[np.uint8] = field(init=False)
    exits: NDArray[np.uint8] = field(init=False)
    cost: NDArray[np.float32] = field(init=False)
    picks: list[int] = field(default_factory=list)
    stows: list[tuple[int, int]] = field(default_factory=list)  # station cell, pallet cell or -1
    handoffs: list[int] = field(default_factory=list)
    chargers: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        n = self.width * self.height
        self.kind = np.zeros(n, np.uint8)
        self.exits = np.zeros(n, np.uint8)
        self.cost = np.zeros(n, np.float32)

    def put(self, row: int, col: int, kind: CellKind, *headings: int, cost: float = 0.0) -> int:
        """Sets a cell and adds exits; returns its index."""
        cell = row * self.width + col
        self.kind[cell] = kind
        for heading in headings:
            self.exits[cell] |= 1 << heading
        self.cost[cell] = cost
        return cell


class LayoutError(ValueError):
    """A layout cannot be built; ``where`` names the parameter, e.g. ``south`` or ``line 3``."""

    def __init__(self, where: str, value: object, message: str) -> None:
        super().__init__(message)
        self.where = where
        self.value = value
        self.message = message


# --- generated layout ---------------------------------------------------------------------------


def bay_depth(spec: LayoutSpec, bay: str) -> int:
    """Cells a bay reaches beyond the hall."""
    return {
        "pick": spec.pick_queue + 1,
        "stow": spec.stow_queue + 1,
        "lifter": spec.handoff_queue + 1,
        "feed": spec.stow_queue + 1,
        "charger": 1,
    }[bay]


def generate(spec: LayoutSpec) -> Cells:
    """Builds the cells of a generated layout.

    Raises:
        LayoutError: the bays of a side do not fit beside the hall.
    """
    across, down = spec.blocks
    hall = 2 * spec.lanes
    field_w = across * (spec.block_width + 1) - 1
    field_h = down * 3 - 1
    depth = {
        side: max((bay_depth(spec, bay) for bay in spec.sides.get(side, ())), default=0)
        for side in SIDES
    }
    left, top = depth["west"], depth["north"]
    core_w, core_h = field_w + 2 * hall, field_h + 2 * hall
    cells = Cells(left + core_w + depth["east"], top + core_h + depth["south"])

    _field(cells, top + hall, left + hall, field_h, field_w, spec.block_width)
    _hall(cells, spec, top, left, core_h, core_w)
    _join_storage(cells)
    for side in SIDES:
        _bays(cells, spec, side, top, left, core_h, core_w)
    return cells


def _aisle_heading(index: int, vertical: bool) -> int:
    """Direction of the index-th aisle: against the inner hall lane it lies nearest to first."""
    if vertical:
        return 1 if index % 2 == 0 else 3
    return 2 if index % 2 == 0 else 0


def _field(cells: Cells, top: int, left: int, height: int, width: int, block: int) -> None:
    """Storage blocks and the aisles between them."""
    for r in range(height):
        for c in range(width):
            headings = []
            if c % (block + 1) == block:
                headings.append(_aisle_heading(c // (block + 1), vertical=True))
            if r % 3 == 2:
                headings.append(_aisle_heading(r // 3, vertical=False))
            kind = CellKind.TRAVEL if headings else CellKind.STORAGE
            cells.put(top + r, left + c, kind, *headings)


def _hall(cells: Cells, spec: LayoutSpec, top: int, left: int, height: int, width: int) -> None:
    """Rings of one-way lanes round the field, the lane changes, and the ways into the aisles."""
    rings = 2 * spec.lanes
    for ring in range(rings):
        turn = 2 if ring < spec.lanes else 0  # outer lanes run counter-clockwise
        r0, r1, c0, c1 = top + ring, top + height - 1 - ring, left + ring, left + width - 1 - ring
        for side in SIDES:
            heading = (_CLOCKWISE[side] + turn) % 4
            for row, col in _side_cells(side, r0, r1, c0, c1):
                r, c = row + DROW[heading], col + DCOL[heading]
                if r0 <= r <= r1 and c0 <= c <= c1:
                    cells.put(row, col, CellKind.TRAVEL, heading)
            for row, col in _side_cells(side, r0, r1, c0, c1)[1:-1]:
                out = _flows_out(spec, side, row - top - rings, col - left - rings)
                outward = _OUTWARD[side]
                if out and ring > 0:
                    cells.put(row, col, CellKind.TRAVEL, outward)
                if not out and ring < rings - 1:
                    # The lane change ends in the next ring, unless this is that ring's corner.
                    r, c = row - DROW[outward], col - DCOL[outward]
                    if _inside_side(side, r, c, r0, r1, c0, c1):
                        cells.put(row, col, CellKind.TRAVEL, (outward + 2) % 4)
    # From the innermost lane into the aisles that lead away from it.
    inner = rings - 1
    r0, r1, c0, c1 = top + inner, top + height - 1 - inner, left + inner, left + width - 1 - inner
    for side in SIDES:
        inward = (_OUTWARD[side] + 2) % 4
        for row, col in _side_cells(side, r0, r1, c0, c1)[1:-1]:
            ahead = (row + DROW[inward]) * cells.width + col + DCOL[inward]
            if cells.kind[ahead] == CellKind.TRAVEL and cells.exits[ahead] >> inward & 1:
                cells.put(row, col, CellKind.TRAVEL, inward)


def _side_cells(side: str, r0: int, r1: int, c0: int, c1: int) -> list[tuple[int, int]]:
    """Cells of one side of a ring, corners included, in map order."""
    if side in ("north", "south"):
        row = r0 if side == "north" else r1
        return [(row, col) for col in range(c0, c1 + 1)]
    col = c0 if side == "west" else c1
    return [(row, col) for row in range(r0, r1 + 1)]


def _inside_side(side: str, row: int, col: int, r0: int, r1: int, c0: int, c1: int) -> bool:
    """Whether a cell of the next ring is no corner of that ring."""
    if side in ("north", "south"):
        return c0 + 1 < col < c1 - 1
    return r0 + 1 < row < r1 - 1


def _flows_out(spec: LayoutSpec, side: str, row: int, col: int) -> bool:
    """Whether lanes are changed outward at a place of a side (``row, col`` from the field)."""
    along_row = side in ("north", "south")
    place, pitch = (col, spec.block_width + 1) if along_row else (row, 3)
    count = spec.blocks[0 if along_row else 1] - 1
    index, rest = divmod(place, pitch)
    if rest == pitch - 1 and 0 <= index < count:
        return _aisle_heading(index, vertical=along_row) == _OUTWARD[side]
    return place % 2 == 0


def _join_storage(cells: Cells) -> None:
    """Storage cells can be entered from and left to every neighbour."""
    kind = cells.kind.reshape(cells.height, cells.width)
    exits = cells.exits.reshape(cells.height, cells.width)
    for heading in range(4):
        dr, dc = DROW[heading], DCOL[heading]
        here = _window(kind, -dr, -dc)
        there = _window(kind, dr, dc)
        both = (here != CellKind.WALL) & (there != CellKind.WALL)
        either = (here == CellKind.STORAGE) | (there == CellKind.STORAGE)
        _window(exits, -dr, -dc)[both & either] |= np.uint8(1 << heading)


def _window(a: NDArray[np.uint8], dr: int, dc: int) -> NDArray[np.uint8]:
    """The part of ``a`` left when ``dr`` rows and ``dc`` columns are cut from its beginning."""
    rows = slice(max(dr, 0), a.shape[0] + min(dr, 0))
    cols = slice(max(dc, 0), a.shape[1] + min(dc, 0))
    return a[rows, cols]


def _bays(
    cells: Cells, spec: LayoutSpec, side: str, top: int, left: int, height: int, width: int
) -> None:
    """Bays of one side, spread evenly along it."""
    bays = spec.sides.get(side, ())
    if not bays:
        return
    along_row = side in ("north", "south")
    room = (width if along_row else height) - 2  # not at the corners
    used = sum(BAY_WIDTH[bay] for bay in bays)
    if used > room:
        raise LayoutError(side, used, f"the bays are {used} cells wide, the side has {room}")
    # Along the outer lane's flow an in lane comes before its out lane; map order runs with the
    # flow on the south side only in the east-west direction, and on the west side north-south.
    with_flow = side in ("south", "west")
    spare, gaps = room - used, len(bays) + 1
    place = 1
    for i, bay in enumerate(bays):
        place += spare * (i + 1) // gaps - spare * i // gaps
        _bay(cells, spec, side, bay, place, with_flow, (top, left, height, width))
        place += BAY_WIDTH[bay]


def _bay(
    cells: Cells,
    spec: LayoutSpec,
    side: str,
    bay: str,
    place: int,
    with_flow: bool,
    core: tuple[int, int, int, int],
) -> None:
    top, left, height, width = core
    outward = _OUTWARD[side]
    inward = (outward + 2) % 4
    flow = (_CLOCKWISE[side] + 2) % 4

    def at(along: int, out: int) -> tuple[int, int]:
        """Cell ``along`` cells with the flow from the bay's first, ``out`` beyond the hall."""
        p = place + (along if with_flow else BAY_WIDTH[bay] - 1 - along)
        if side == "north":
            return top - out, left + p
        if side == "south":
            return top + height - 1 + out, left + p
        if side == "west":
            return top + p, left - out
        return top + p, left + width - 1 + out

    def lane(first: int, depth: int, kind: CellKind, at_exit: bool = False) -> int:
        """A U-shaped lane; the work cell is its bottom on the way in, or on the way out."""
        cells.put(*at(first, 0), CellKind.TRAVEL, outward)
        for out in range(1, depth):
            cells.put(*at(first, out), CellKind.QUEUE, outward, cost=LANE_COST)
        for out in range(1, depth):
            cells.put(*at(first + 1, out), CellKind.TRAVEL, inward)
        corner = CellKind.QUEUE if at_exit else kind
        work = cells.put(*at(first, depth), corner, flow, cost=LANE_COST)
        beside = kind if at_exit else CellKind.TRAVEL
        cost = LANE_COST if at_exit else 0.0
        last = cells.put(*at(first + 1, depth), beside, inward, cost=cost)
        return last if at_exit else work

    depth = bay_depth(spec, bay)
    if bay == "pick":
        cells.picks.append(lane(1, depth, CellKind.STATION))
    elif bay == "stow":
        pallet = lane(1, depth, CellKind.PALLET, at_exit=True)
        cells.stows.append((lane(4, depth, CellKind.STATION), pallet))
    elif bay == "feed":
        cells.stows.append((lane(1, depth, CellKind.STATION), -1))
    elif bay == "lifter":
        cells.handoffs.append(lane(1, depth, CellKind.HANDOFF))
    else:
        cells.put(*at(0, 0), CellKind.TRAVEL, outward)
        cells.chargers.append(cells.put(*at(0, 1), CellKind.CHARGER, inward, cost=POCKET_COST))


# --- drawn map ----------------------------------------------------------------------------------

_ONE_WAY = {">": 0, "v": 1, "<": 2, "^": 3}
_QUEUE = {"e": 0, "s": 1, "w": 2, "n": 3}
_KINDS = {
    "#": CellKind.WALL,
    " ": CellKind.WALL,
    ".": CellKind.TRAVEL,
    "S": CellKind.STORAGE,
    "P": CellKind.STATION,
    "T": CellKind.STATION,
    "B": CellKind.PALLET,
    "H": CellKind.HANDOFF,
    "C": CellKind.CHARGER,
    **dict.fromkeys(_ONE_WAY, CellKind.TRAVEL),
    **dict.fromkeys(_QUEUE, CellKind.QUEUE),
}
_WORK = frozenset((CellKind.STATION, CellKind.PALLET, CellKind.HANDOFF))
MAP_CHARACTERS = "".join(_KINDS)


def parse(rows: Sequence[str]) -> Cells:
    """Builds the cells of a drawn map (legend above); short rows are walls to the right.

    Raises:
        LayoutError: an unknown character, or stow stations and pallet spots that do not pair up.
    """
    height, width = len(rows), max((len(row) for row in rows), default=0)
    if not height or not width:
        raise LayoutError("map", "", "has no cells")
    cells = Cells(width, height)
    text = [row.ljust(width) for row in rows]
    stows, pallets = [], []
    for r, row in enumerate(text):
        for c, char in enumerate(row):
            if char not in _KINDS:
                raise LayoutError(
                    f"map[{r}]", char, f"unknown character; known are {MAP_CHARACTERS!r}"
                )
            cell = cells.put(r, c, _KINDS[char])
            if char == "P":
                cells.picks.append(cell)
            elif char == "T":
                stows.append(cell)
            elif char == "B":
                pallets.append(cell)
            elif char == "H":
                cells.handoffs.append(cell)
            elif char == "C":
                cells.chargers.append(cell)
    for r, row in enumerate(text):
        for c, char in enumerate(row):
            for heading in range(4):
                to_r, to_c = r + DROW[heading], c + DCOL[heading]
                if (
                    0 <= to_r < height
                    and 0 <= to_c < width
                    and _may_leave(char, heading, text[to_r][to_c])
                ):
                    cells.exits[r * width + c] |= 1 << heading
    cells.cost[np.isin(cells.kind, [CellKind.QUEUE, *_WORK])] = LANE_COST
    cells.cost[cells.kind == CellKind.CHARGER] = POCKET_COST
    cells.stows = _pair(stows, pallets, width)
    return cells


def _may_leave(char: str, heading: int, to: str) -> bool:
    kind, to_kind = _KINDS[char], _KINDS[to]
    if CellKind.WALL in (kind, to_kind):
        return False
    against = _ONE_WAY.get(to, _QUEUE.get(to))
    if against == (heading + 2) % 4:
        return False
    if char in _QUEUE:
        return _QUEUE[char] == heading
    if to_kind in _WORK:
        return False
    if char in _ONE_WAY:
        return _ONE_WAY[char] == heading or to_kind == CellKind.STORAGE
    return kind not in _WORK or to_kind not in (CellKind.STORAGE, CellKind.QUEUE)


def _pair(stows: list[int], pallets: list[int], width: int) -> list[tuple[int, int]]:
    """Gives every stow station the nearest pallet spot that is still free."""
    if len(stows) != len(pallets):
        raise LayoutError(
            "map",
            f"{len(stows)} T, {len(pallets)} B",
            "every stow station T needs one pallet spot B",
        )
    free, pairs = list(pallets), []
    for cell in stows:
        row, col = divmod(cell, width)
        nearest = min(free, key=lambda b: (abs(b // width - row) + abs(b % width - col), b))
        free.remove(nearest)
        pairs.append((cell, nearest))
    return pairs


def lane_to(cells: Cells, cell: int) -> tuple[int, ...]:
    """Queue cells that lead one way into a work cell, nearest first.

    Raises:
        LayoutError: the lane forks or runs in a circle.
    """
    lane: list[int] = []
    seen = {cell}
    while True:
        before = [
            source
            for source, heading in _neighbours(cells, cell)
            if cells.kind[source] == CellKind.QUEUE and cells.exits[source] >> heading & 1
        ]
        if not before:
            return tuple(lane)
        if len(before) > 1 or before[0] in seen:
            where = divmod(before[-1], cells.width)
            raise LayoutError(
                "queue", where, "queue cells must form one line into a station (row, column)"
            )
        cell = before[0]
        seen.add(cell)
        lane.append(cell)


def _neighbours(cells: Cells, cell: int) -> list[tuple[int, int]]:
    """Neighbouring cells and the heading in which each leads to ``cell``."""
    row, col = divmod(cell, cells.width)
    out = []
    for heading in range(4):
        r, c = row - DROW[heading], col - DCOL[heading]
        if 0 <= r < cells.height and 0 <= c < cells.width:
            out.append((r * cells.width + c, heading))
    return out
