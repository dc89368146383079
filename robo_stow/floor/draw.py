"""A picture of a building: cells by kind, one-way arrows, stations, lifters, pods and units."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Patch, Rectangle
from numpy.typing import NDArray

from robo_stow.floor import layout
from robo_stow.floor.building import Building, CellKind, Grid
from robo_stow.floor.load import edges
from robo_stow.floor.start import pod_cells, unit_cells

PAPER = "#ffffff"
INK = "#26323f"
POD = "#5f7d9c"
UNIT = "#f5821f"
ARROW = "#a9b4c0"
ARM = "#7a4fb5"
COLOURS = {
    CellKind.WALL: PAPER,
    CellKind.TRAVEL: "#eef1f5",
    CellKind.STORAGE: "#cfd8e3",
    CellKind.QUEUE: "#fbe6b0",
    CellKind.STATION: "#e0503c",
    CellKind.HANDOFF: "#b596e0",
    CellKind.CHARGER: "#8fd0f0",
    CellKind.PALLET: "#8ccf9f",
}
STOW = "#2f9a5b"
_LABELS = {
    CellKind.TRAVEL: "travel, one way as the arrows",
    CellKind.STORAGE: "storage, free",
    CellKind.QUEUE: "queue",
    CellKind.HANDOFF: "hand-off",
    CellKind.CHARGER: "charger",
    CellKind.PALLET: "pallet spot",
}
_DPI = 100
_MARGIN = 1.5  # m round everything, for labels
_HEAD, _FOOT = 0.75, 0.75  # inches above and below the floor, for title and legend


def draw(building: Building, path: Path, *, seed: int | None = None) -> None:
    """Writes a PNG of the building as it opens; ``seed`` (default: its own) places pods and units.

    Raises:
        OSError: the file cannot be written.
    """
    x0, x1, y0, y1 = _extent(building)
    # Cells of 10 to 36 pixels, the picture about 1,800 pixels long.
    scale = float(np.clip(1800.0 / max(x1 - x0, y1 - y0), 10.0, 36.0)) / _DPI  # inches per metre
    width, floor = max((x1 - x0) * scale, 9.0), (y1 - y0) * scale
    height = _HEAD + floor + _FOOT
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor=PAPER)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, _FOOT / height, 1.0, floor / height))
    draw_floor(axes, building)
    seed = building.seed if seed is None else seed
    _pods(axes, building, pod_cells(building, seed))
    cells, headings = unit_cells(building, seed)
    _units(axes, building, cells, headings)
    grid = building.grid
    figure.text(
        0.5,
        1.0 - 0.3 / height,
        f"{building.name}: {building.units:,} drive units, {building.pods:,} pods, "
        f"{len(building.stations)} stations, {len(building.lifters)} Robo-Stow",
        ha="center",
        va="center",
        fontsize=14,
        color=INK,
        weight="bold",
    )
    figure.text(
        0.5,
        1.0 - 0.58 / height,
        f"storage level, {grid.width * grid.pitch:g} m x {grid.height * grid.pitch:g} m, "
        f"one cell is {grid.pitch:g} m; north is up",
        ha="center",
        va="center",
        fontsize=9,
        color=INK,
    )
    figure.legend(
        handles=_legend(), loc="lower center", ncol=5, frameon=False, fontsize=9, labelcolor=INK
    )
    figure.savefig(path, format="png")


def draw_floor(axes: Axes, building: Building) -> None:
    """Draws cells, arrows, stations and lifters on ``axes``, in metres of the world frame."""
    grid = building.grid
    image = np.empty((grid.cells, 3))
    for kind, colour in COLOURS.items():
        image[grid.kind == kind] = to_rgb(colour)
    image[[s.cell for s in building.stations if s.kind == "stow"]] = to_rgb(STOW)
    width, height = grid.width * grid.pitch, grid.height * grid.pitch
    axes.imshow(
        image.reshape(grid.height, grid.width, 3),
        extent=(0.0, width, 0.0, height),
        interpolation="nearest",
        zorder=0,
    )
    _lines(axes, grid)
    _arrows(axes, grid)
    _sites(axes, building)
    x0, x1, y0, y1 = _extent(building)
    axes.set_xlim(x0, x1)
    axes.set_ylim(y0, y1)
    axes.set_aspect("equal")
    axes.axis("off")


def _extent(building: Building) -> tuple[float, float, float, float]:
    """Least and greatest x and y (m) of all there is to draw."""
    grid = building.grid
    x = [0.0, grid.width * grid.pitch, *(lifter.dock[0] for lifter in building.lifters)]
    y = [0.0, grid.height * grid.pitch, *(lifter.dock[1] for lifter in building.lifters)]
    return min(x) - _MARGIN, max(x) + _MARGIN, min(y) - _MARGIN, max(y) + _MARGIN


def _squares(grid: Grid, cells: NDArray[np.int32], side: float) -> NDArray[np.float64]:
    """Corners, [n, 4, 2], of squares of ``side`` metres centred on cells."""
    x, y = grid.xy(cells)
    corner = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)]) * side
    return np.stack([x, y], axis=1)[:, None, :] + corner


def _lines(axes: Axes, grid: Grid) -> None:
    """Thin borders of the cells that are not wall."""
    cells = np.flatnonzero(grid.kind != CellKind.WALL).astype(np.int32)
    axes.add_collection(
        PolyCollection(
            _squares(grid, cells, grid.pitch),  # type: ignore[arg-type]
            facecolors="none",
            edgecolors="#dbe1e8",
            linewidths=0.4,
            zorder=1,
        ),
        autolim=False,
    )


def _arrows(axes: Axes, grid: Grid) -> None:
    """A small triangle at every border between aisle cells that may be crossed."""
    source, target = edges(grid, (grid.kind != CellKind.WALL) & (grid.kind != CellKind.STORAGE))
    x, y = grid.xy(source.astype(np.int32))
    to_x, to_y = grid.xy(target.astype(np.int32))
    ahead = np.stack([to_x - x, to_y - y], axis=1)
    aside = ahead[:, ::-1] * (-1.0, 1.0)
    centre = np.stack([x, y], axis=1)
    tip = centre + 0.44 * ahead
    foot = centre + 0.24 * ahead
    triangles = np.stack([tip, foot + 0.13 * aside, foot - 0.13 * aside], axis=1)
    axes.add_collection(
        PolyCollection(
            triangles,  # type: ignore[arg-type]
            facecolors=ARROW,
            edgecolors="none",
            zorder=2,
        ),
        autolim=False,
    )


def _outward(grid: Grid, queue: tuple[int, ...], cell: int) -> tuple[float, float]:
    """Unit vector straight on from the lane that leads into a cell."""
    first = queue[-1]
    second = queue[-2] if len(queue) > 1 else cell
    heading = next(h for h in range(4) if grid.neighbour(first, h) == second)
    return layout.DCOL[heading], -layout.DROW[heading]


def _sites(axes: Axes, building: Building) -> None:
    grid = building.grid
    size = float(np.clip(700.0 / max(grid.width, grid.height), 5.5, 11.0))

    def label(text: str, cell: int, queue: tuple[int, ...], colour: str) -> None:
        x, y = (float(v[0]) for v in grid.xy(np.array([cell], np.int32)))
        dx, dy = _outward(grid, queue, cell)
        sideways = bool(dx)
        axes.text(
            x + dx * 0.7 * grid.pitch,
            y + dy * 0.7 * grid.pitch,
            text.replace("_", " "),
            ha=("left" if dx > 0 else "right") if sideways else "center",
            va="center" if sideways else ("bottom" if dy > 0 else "top"),
            fontsize=size,
            color=colour,
            weight="bold",
            zorder=6,
        )

    for station in building.stations:
        colour = COLOURS[CellKind.STATION] if station.kind == "pick" else STOW
        label(station.id, station.cell, station.queue, colour)
    for lifter in building.lifters:
        x, y = (float(v[0]) for v in grid.xy(np.array([lifter.cell], np.int32)))
        (bx, by, _), (dock_x, dock_y, _) = lifter.base, lifter.dock
        axes.plot([dock_x, bx, x], [dock_y, by, y], color=ARM, lw=2.5, zorder=4)
        axes.add_patch(Circle((bx, by), 0.7, color=ARM, zorder=5))
        axes.add_patch(
            Rectangle(
                (dock_x - 0.6, dock_y - 0.6),
                1.2,
                1.2,
                facecolor="#c89f6d",
                edgecolor=INK,
                lw=0.6,
                zorder=5,
            )
        )
        axes.text(
            bx + 1.0,
            by,
            lifter.id.replace("_", " "),
            va="center",
            fontsize=size,
            color=ARM,
            weight="bold",
            zorder=6,
        )


def _pods(axes: Axes, building: Building, cells: NDArray[np.int32]) -> None:
    axes.add_collection(
        PolyCollection(
            _squares(building.grid, cells, building.pod.size * 0.88),  # type: ignore[arg-type]
            facecolors=POD,
            edgecolors="#4a6480",
            linewidths=0.3,
            zorder=3,
        ),
        autolim=False,
    )


def _units(
    axes: Axes, building: Building, cells: NDArray[np.int32], headings: NDArray[np.uint8]
) -> None:
    grid = building.grid
    side = building.drive.footprint * 0.8
    axes.add_collection(
        PolyCollection(
            _squares(grid, cells, side),  # type: ignore[arg-type]
            facecolors=UNIT,
            edgecolors=INK,
            linewidths=0.5,
            zorder=4,
        ),
        autolim=False,
    )
    x, y = grid.xy(cells)
    ahead = np.stack(
        [np.array(layout.DCOL, float)[headings], -np.array(layout.DROW, float)[headings]], axis=1
    )
    aside = ahead[:, ::-1] * (-1.0, 1.0)
    centre = np.stack([x, y], axis=1)
    noses = np.stack(
        [
            centre + 0.38 * side * ahead,
            centre - 0.1 * side * ahead + 0.28 * side * aside,
            centre - 0.1 * side * ahead - 0.28 * side * aside,
        ],
        axis=1,
    )
    axes.add_collection(
        PolyCollection(noses, facecolors=INK, edgecolors="none", zorder=5),  # type: ignore[arg-type]
        autolim=False,
    )


def _legend() -> list[Patch | Line2D]:
    def patch(colour: str, text: str) -> Patch:
        return Patch(facecolor=colour, edgecolor="#9aa6b2", lw=0.5, label=text)

    handles: list[Patch | Line2D] = [patch(COLOURS[kind], text) for kind, text in _LABELS.items()]
    handles.append(patch(COLOURS[CellKind.STATION], "pick station"))
    handles.append(patch(STOW, "stow station"))
    handles.append(patch(POD, "pod"))
    handles.append(patch(UNIT, "drive unit"))
    handles.append(
        Line2D([], [], color=ARM, lw=2.5, marker="o", ms=8, label="Robo-Stow arm, dock pallet")
    )
    return handles
