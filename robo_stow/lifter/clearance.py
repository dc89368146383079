"""Clearances of a lift cycle: does the arm, or its load, touch what stands about?

Solids are boxes (a cylinder counts as the box round it): the collision shapes of the arm's
description and its pallet against the edge of the storage floor with its kerbs, the dock's floor
and table, pallets that wait on both sides of the table, the unit at the hand-off, bare units that
wait in its queue, and units with the tallest load on every other cell near by. Two boxes are apart
when one of 15 directions separates them (S. Gottschalk et al., "OBBTree", SIGGRAPH 1996).
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robo_stow.floor.building import Building, CellKind, LifterSite
from robo_stow.floor.urdf import frame
from robo_stow.floor.world import SLAB, kerbs, storage_height
from robo_stow.lifter.dynamics import PALLET, Arm, arm_of, stack_height
from robo_stow.lifter.kinematics import DECK, POCKET, TOOL, Joints, poses

F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]

STRIDE = 0.03
"""rad that the quickest joint moves between two positions that are looked at."""
TOLERANCE = 0.01
"""m that two solids must overlap to count: a pallet stands on its deck."""
TALLEST = 2.06
"""m, top of the tallest load above the storage floor: a lifted pod."""
NEIGHBOUR = 0.3
"""m between the pallet on the dock's table and those beside it."""
FAR = 9.0
"""m from the arm's foot beyond which nothing can be touched."""


@dataclass(frozen=True, eq=False, slots=True)
class Boxes:
    """Boxes in the world.

    Attributes:
        name: of each.
        frame: F64[n, 4, 4] of their middles.
        half: F64[n, 3] m, half their sides.
    """

    name: tuple[str, ...]
    frame: F64
    half: F64


def boxes(entries: Sequence[tuple[str, F64, Sequence[float]]]) -> Boxes:
    """Of names, frames F64[4, 4] of the middles and sides (m)."""
    return Boxes(
        tuple(name for name, _, _ in entries),
        np.array([at for _, at, _ in entries]).reshape(-1, 4, 4),
        np.array([size for _, _, size in entries]).reshape(-1, 3) / 2,
    )


def overlaps(a: Boxes, b: Boxes, tolerance: float = TOLERANCE) -> Bools:
    """Which boxes overlap by more than ``tolerance`` m, Bools[len(a), len(b)]."""
    gap = b.frame[None, :, :3, 3] - a.frame[:, None, :3, 3]
    radius = np.linalg.norm(a.half, axis=1)[:, None] + np.linalg.norm(b.half, axis=1)[None]
    found: Bools = np.linalg.norm(gap, axis=2) < radius
    i, j = np.nonzero(found)  # what spheres do not tell apart
    first, second = a.frame[i, :3, :3], b.frame[j, :3, :3]
    one, two = np.swapaxes(first, 1, 2), np.swapaxes(second, 1, 2)  # axes as rows
    edges = np.cross(one[:, :, None, :], two[:, None, :, :]).reshape(-1, 9, 3)
    size = np.linalg.norm(edges, axis=2, keepdims=True)
    parallel = size < 1e-6  # edges that give no direction of their own
    edges = np.where(parallel, one[:, :1], edges / np.where(parallel, 1.0, size))
    axes = np.concatenate([one, two, edges], axis=1)
    reach = np.einsum("nkd,nd->nk", np.abs(axes @ first), a.half[i])
    reach += np.einsum("nkd,nd->nk", np.abs(axes @ second), b.half[j])
    between = np.abs(np.einsum("nkd,nd->nk", axes, gap[i, j]))
    found[i, j] = (between < reach - tolerance).all(axis=1)
    return found


def _at(x: float, y: float, z: float) -> F64:
    matrix = np.eye(4)
    matrix[:3, 3] = x, y, z
    return matrix


def surroundings(building: Building, site: LifterSite) -> Boxes:
    """What the arm of a site must not touch, but for the pallet it lifts."""
    grid, top = building.grid, storage_height(building)
    pitch, side = grid.pitch, building.drive.footprint
    ground = building.levels[0].height
    x, y, table = site.dock
    longest = max(PALLET[:2])
    entries: list[tuple[str, F64, Sequence[float]]] = [
        ("the dock floor", _at(x, y, ground - 0.5), (4 * FAR, 4 * FAR, 1.0)),
        ("the dock table", _at(x, y, (ground + table) / 2), (longest, longest, table - ground)),
    ]
    tall = PALLET[2] + stack_height(building.lifter.rated_load)
    along_y = abs(x - site.base[0]) < abs(y - site.base[1])
    for offset in (-longest - NEIGHBOUR, longest + NEIGHBOUR):
        right, up = (offset, 0.0) if along_y else (0.0, offset)
        where = _at(x + right, y + up, table + tall / 2)
        entries.append(("a pallet beside the table", where, (longest, longest, tall)))
    for middle, sides in kerbs(building):
        entries.append(("a kerb", _at(*middle), sides))
    xs, ys = grid.xy(np.arange(grid.cells, dtype=np.int32))
    near = np.hypot(xs - site.base[0], ys - site.base[1]) < FAR
    wide = max(side, building.pod.size, PALLET[1])
    for cell in np.flatnonzero(near & (grid.kind != CellKind.WALL)).tolist():
        cx, cy = float(xs[cell]), float(ys[cell])
        entries.append(("the floor's edge", _at(cx, cy, top - SLAB / 2), (pitch, pitch, SLAB)))
        bare = cell == site.cell or cell in site.queue
        name = f"a {'bare' if bare else 'loaded'} unit on cell {cell}"
        width, height = (side, DECK) if bare else (wide, TALLEST)
        entries.append((name, _at(cx, cy, top + height / 2), (width, width, height)))
    return boxes(entries)


def cycle(building: Building, site: LifterSite) -> list[tuple[str, Joints, Joints, bool]]:
    """The moves of a whole lift: what each does, from where to where, and whether laden."""
    at = poses(building, site)
    stops = [
        *(("approach", joint, False) for joint in at.approach),
        *(("insert", joint, False) for joint in at.insert),
        ("weigh", at.weighing, True),
        *(("raise", joint, True) for joint in at.raised),
        *(("swing", joint, True) for joint in at.above),
        ("lower", at.handoff, True),
        *(("withdraw", joint, False) for joint in at.withdraw),
        *(("return", joint, False) for joint in at.parked),
    ]
    moves, here = [], at.parked[-1]
    for name, there, laden in stops:
        moves.append((name, here, there, laden))
        here = there
    return moves


def touches(building: Building, site: LifterSite, weight: float) -> list[str]:
    """What a whole lift of ``weight`` kg would touch, move by move; nothing when it is clear.

    A refused pallet is put back the same way. The fork may be in its pallet.
    """
    arm = arm_of(building, site)
    about = surroundings(building, site)
    base = _at(*site.base)
    height = PALLET[2] + stack_height(weight)
    sides = (*PALLET[:2], height)
    on_tool = _at(TOOL, 0.0, height / 2 - POCKET)
    at_dock = boxes([("the pallet at the dock", _at(*site.dock) @ _at(0, 0, height / 2), sides)])
    placed: Boxes | None = None
    found: dict[str, None] = {}

    def note(move: str, a: Boxes, b: Boxes) -> None:
        for i, j in zip(*np.nonzero(overlaps(a, b)), strict=True):
            found[f"{move}: {a.name[i]} touches {b.name[j]}"] = None

    for move, start, end, laden in cycle(building, site):
        way = np.array(end) - np.array(start)
        steps = 2 + int(np.abs(way).max() / STRIDE)
        q = np.array(start) + np.linspace(0.0, 1.0, steps)[:, None] * way
        frames = base @ arm.frames(q)
        solids = _solids(arm, frames)
        note(move, solids, about)
        hand = np.isin(solids.name, ["the gripper"])
        others = Boxes(
            tuple(np.array(solids.name)[~hand].tolist()), solids.frame[~hand], solids.half[~hand]
        )
        if laden:
            loads = Boxes(
                ("the load",) * steps,
                frames[:, -1] @ on_tool,
                np.tile(np.array(sides) / 2, (steps, 1)),
            )
            note(move, loads, about)
            for k in range(steps):  # the arm with its own load
                mine = slice(k * len(others.name) // steps, (k + 1) * len(others.name) // steps)
                note(
                    move,
                    Boxes(others.name[mine], others.frame[mine], others.half[mine]),
                    Boxes(("its load",), loads.frame[k : k + 1], loads.half[k : k + 1]),
                )
            placed = Boxes(("the pallet on the unit",), loads.frame[-1:], loads.half[-1:])
        else:
            note(move, others, at_dock if placed is None else placed)
            if move not in ("insert", "withdraw"):  # the fork is clear of it, too
                note(move, solids, at_dock if placed is None else placed)
    return list(found)


def _solids(arm: Arm, frames: F64) -> Boxes:
    """The arm's solids at each of F64[n, 6, 4, 4] frames of its bodies, one position at a time."""
    local, halves, owners, names = [], [], [], []
    for index, body in enumerate(arm.bodies):
        for at, link in body.parts:
            for solid in link.findall("collision"):
                local.append(at @ frame(solid))
                halves.append(_half(solid))
                owners.append(index)
                names.append(f"the {body.name.replace('_', ' ')}")
    n = len(frames)
    placed = frames[:, owners] @ np.array(local)
    return Boxes(tuple(names) * n, placed.reshape(-1, 4, 4), np.tile(np.array(halves), (n, 1)))


def _half(solid: ET.Element) -> list[float]:
    geometry = solid.find("geometry")
    assert geometry is not None
    shape = geometry[0]
    if shape.tag == "box":
        return [float(v) / 2 for v in shape.get("size", "").split()]
    radius = float(shape.get("radius", "0"))
    return [radius, radius, float(shape.get("length", 2 * radius)) / 2]
