"""The headline: the same orders on the same floor, on foot in two ways and with this system.

- ``dedicated``, ``classes``: walking pickers (`robo_stow.bench.walking`) among shelves where each
  SKU has its own bins, or any bin of its velocity class;
- ``pods``: the embedded simulator with all cores, its orders and pallets at the same rate.

Each cell of the study is one way, one load and one seed. The seed chooses from which moment of the
order file on orders come. Orders that arrive after the warm-up and before the end count, until the
last of them is shipped, while more keep coming; what is not shipped after `PATIENCE` more minutes
counts with the time it has waited.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from numpy.typing import NDArray

from robo_stow.bench import walking
from robo_stow.cells import Cell, Result
from robo_stow.errors import InputError
from robo_stow.floor.building import Building
from robo_stow.floor.load import load_building
from robo_stow.fulfilment.orders import OrderStream
from robo_stow.inventory.catalogue import Catalogue
from robo_stow.inventory.fit import GRAM, MM3
from robo_stow.inventory.model import Sku
from robo_stow.inventory.opening import draw_pieces
from robo_stow.messages import FleetState, Message, OrderArrived, OrderShipped
from robo_stow.resources import share_dir
from robo_stow.sim.plant import Plant
from robo_stow.simulate import quickest_loop
from robo_stow.warehouse import build_warehouse

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WAYS = ("dedicated", "classes", "pods")
LABELS = {
    "dedicated": "walking, dedicated shelves",
    "classes": "walking, class-based shelves",
    "pods": "Robo-Stow",
}
SECTIONS = ("walking", "both", "stock", "energy")
BASES = ("published", "measured", "building", "assumption")
"""What a value may rest on."""
PATIENCE = 90.0
"""Minutes after the end until which orders are waited for."""
SAMPLE_TOURS = 30
"""Full batches by which the layout with the shortest tours is found."""
_SALT = 0x4EAD


@dataclass(frozen=True)
class Assumption:
    """A row of the table of assumptions."""

    name: str
    value: Any
    range: tuple[float, float] | None  # what is plausible at the least and at the most
    unit: str
    basis: str  # one of `BASES`
    source: str


@dataclass(frozen=True)
class Study:
    """What `config/headline.yaml` says."""

    building: Building
    loads: tuple[float, ...]
    overload: float
    article: tuple[float, float]  # min
    goal: dict[str, float]  # min, by quantile
    assumptions: tuple[Assumption, ...]

    def value(self, name: str) -> Any:
        """Value of an assumption, by ``section.name``."""
        return next(row.value for row in self.assumptions if row.name == name)

    @property
    def walking(self) -> walking.WalkingSpec:
        """What is assumed of walking pickers."""
        names = [field.name for field in fields(walking.WalkingSpec)]
        return walking.WalkingSpec(**{name: self.value(f"walking.{name}") for name in names})

    def assuming(self, other: Mapping[str, float]) -> Study:
        """The study with other values of some assumptions, by ``section.name``."""
        rows = [replace(row, value=other.get(row.name, row.value)) for row in self.assumptions]
        return replace(self, assumptions=tuple(rows))


@lru_cache(maxsize=4)
def load_study(orders: str | None = None) -> Study:
    """The shipped study, with the building it names.

    Args:
        orders: CSV of order lines instead of the building's.
    """
    path = share_dir() / "config" / "headline.yaml"
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    building = load_building(raw["building"], orders=orders)
    rows = []
    for section in SECTIONS:
        for name, row in raw[section].items():
            value = row["value"] if "value" in row else _field(building, row["field"])
            span = tuple(row["range"]) if "range" in row else None
            source = " ".join(row["source"].split())
            rows.append(
                Assumption(f"{section}.{name}", value, span, row["unit"], row["basis"], source)
            )
    return Study(
        building,
        tuple(float(load) for load in raw["loads"]),
        raw["overload"],
        tuple(raw["article_minutes"]),
        raw["goal_minutes"],
        tuple(rows),
    )


def _field(building: Building, name: str) -> Any:
    section, field = name.split(".")
    return getattr(getattr(building, "pod" if section == "pods" else section), field)


def assumption_table(study: Study) -> str:
    """All assumptions as a Markdown table."""
    lines = ["| what | value | plausible | basis | source |", "|---|---|---|---|---|"]
    for row in study.assumptions:
        values = row.value if isinstance(row.value, list) else [row.value]
        shown = ", ".join(f"{value:g}" for value in values)
        name = row.name.replace("_", " ").replace(".", ": ")
        span = "" if row.range is None else f"{row.range[0]:g} to {row.range[1]:g}"
        lines.append(f"| {name} | {shown} {row.unit} | {span} | {row.basis} | {row.source} |")
    return "\n".join(lines)


# -- orders ----------------------------------------------------------------------------------------


def arrivals(building: Building, load: float, seed: int) -> Iterator[OrderArrived]:
    """Orders at a mean rate of ``load`` an hour from a moment of the file that the seed draws."""
    spec = replace(building.orders, orders_per_hour=load)
    stream = OrderStream(spec, seed)
    start = float(np.random.default_rng([seed, _SALT]).uniform(0.0, stream.period))
    for order in stream:
        if order.stamp >= start:
            yield replace(order, stamp=order.stamp - start, due=order.due - start)


def waits(
    orders: Sequence[OrderArrived], shipped: Mapping[str, float], end: float
) -> NDArray[np.float64]:
    """Minutes from order to ship; of orders not shipped, what they had waited at ``end`` (s)."""
    seconds = [shipped.get(order.order, end) - order.stamp for order in orders]
    return np.array(seconds, np.float64) / 60.0


def _times(found: NDArray[np.float64], minutes: float) -> dict[str, float]:
    if not len(found):
        raise InputError("command line", "--minutes", minutes, "no order comes in this time")
    p50, p90, p95 = np.quantile(found, (0.5, 0.9, 0.95)).tolist()
    return {"p50": round(p50, 3), "p90": round(p90, 3), "p95": round(p95, 3)}


# -- on foot ---------------------------------------------------------------------------------------


def shelving(
    orders: str | None, way: str, seed: int, spec: walking.WalkingSpec
) -> walking.Shelving:
    """Shelves with the goods of the building's opening stock, laid out for the shortest tours."""
    untimed = replace(spec, speed=1.0, search=0.0, tour_setup=0.0, tote_drop=0.0)
    return _shelving(orders, way, seed, untimed)  # metres depend on no time: found once


@lru_cache(maxsize=32)
def _shelving(
    orders: str | None, way: str, seed: int, spec: walking.WalkingSpec
) -> walking.Shelving:
    study = load_study(orders)
    building = study.building
    catalogue = Catalogue.from_orders(building, seed)
    skus = [
        Sku(k, code, k, volume, weight, kept, (0, 0, 0))
        for k, (code, volume, weight, kept) in enumerate(
            zip(
                catalogue.sku,
                np.rint(catalogue.volume / MM3).astype(int).tolist(),
                np.rint(catalogue.weight / GRAM).astype(int).tolist(),
                catalogue.kept,
                strict=True,
            )
        )
    ]
    volume = draw_pieces(building, skus, catalogue.demand) * catalogue.volume
    if way == "dedicated":
        volume = volume * study.value("stock.peak_over_mean")
    bins = np.maximum(np.ceil(volume / (building.pod.volume / building.pod.bins)), 1).astype(
        np.int64
    )

    width, depth = floor_size(building)
    sample = sample_orders(building, seed, spec.cart_totes * SAMPLE_TOURS)
    best: tuple[float, walking.Shelving] | None = None
    for sides in ((width, depth), (depth, width)):
        floor = walking.lay_out(*sides, building.pod.size, spec)
        per_stop = stop_bins(study)
        room = floor.stops * per_stop
        fitting = bins if bins.sum() <= room else np.maximum(bins * room // bins.sum(), 1)
        worths = (catalogue.demand, catalogue.demand / fitting)
        for order, worth in itertools.product(walking.ORDERS, worths):
            if way == "dedicated":
                found = walking.dedicated(floor, order, fitting, worth, per_stop)
            else:
                rule = study.value("stock.class_bounds"), study.value("stock.class_lots")
                found = walking.classes(floor, order, fitting, worth, per_stop, *rule, seed)
            pickers = walking.Pickers(found, spec, building.people, catalogue.index, seed)
            metres = sum(
                pickers.batch(sample[at : at + spec.cart_totes])
                for at in range(0, len(sample), spec.cart_totes)
            )
            if best is None or metres < best[0]:
                best = metres, found
    assert best is not None
    return best[1]


def floor_size(building: Building) -> tuple[float, float]:
    """Sides (m) of the storage level."""
    return building.grid.width * building.grid.pitch, building.grid.height * building.grid.pitch


def stop_bins(study: Study) -> int:
    """Bins of the two sections left and right of a stop."""
    return int(study.building.pod.bins * study.value("stock.shelf_gain"))


def sample_orders(building: Building, seed: int, count: int) -> list[OrderArrived]:
    """Orders drawn from the whole file."""
    stream = OrderStream(building.orders, seed)
    every = max(len(stream) // count, 1)
    drawn = [
        order for i, order in zip(range(every * count), stream, strict=False) if i % every == 0
    ]
    return [drawn[i] for i in np.random.default_rng([seed, _SALT, 1]).permutation(len(drawn))]


def run_walking(cell: Cell) -> Result:
    """One cell on foot; ``assume`` in it are other values of assumptions."""
    study = load_study(cell["orders"]).assuming(cell.get("assume", {}))
    building, spec = study.building, study.walking
    window, end = _window(cell)
    orders = []
    for order in arrivals(building, cell["load"], cell["seed"]):
        if order.stamp > end + PATIENCE * 60.0:
            break
        orders.append(order)
    index = Catalogue.from_orders(building, cell["seed"]).index
    shelves = shelving(cell["orders"], cell["way"], cell["seed"], spec)
    pickers = walking.Pickers(shelves, spec, building.people, index, cell["seed"])
    walk = pickers.work(orders, until=end + PATIENCE * 60.0)
    counted = [order for order in orders if window < order.stamp <= end]
    found = waits(counted, walk.shipped, end + PATIENCE * 60.0)
    picked = sum(lines for at, lines in walk.tour_lines if at > window)
    hours = (walk.end - window) / 3600.0
    return {
        "order_to_ship_minutes": _times(found, cell["minutes"]),
        "orders": len(counted),
        "not_shipped": sum(order.order not in walk.shipped for order in counted),
        "lines_per_person_hour": picked / hours / spec.pickers,
        "lines_ordered_per_hour": _lines_per_hour(counted, cell),
        "orders_per_hour": len(counted) / cell["minutes"] * 60.0,
        "busy": walk.busy / walk.end / spec.pickers,
        "metres_a_line": walk.metres / walk.lines,
        "lines_a_tour": walk.lines / walk.tours,
    }


def _lines_per_hour(orders: Sequence[OrderArrived], cell: Cell) -> float:
    return sum(len(order.sku) for order in orders) / float(cell["minutes"]) * 60.0


def _window(cell: Cell) -> tuple[float, float]:
    """Seconds between which orders that arrive are counted."""
    return cell["warm_up"] * 60.0, (cell["warm_up"] + cell["minutes"]) * 60.0


# -- with pods -------------------------------------------------------------------------------------


class Meter:
    """Energy that the drive units draw from their batteries, and who has shipped when."""

    consumes: tuple[type, ...] = (FleetState, OrderShipped)
    EVERY = 10.0
    """Seconds between readings of the batteries."""

    def __init__(self, building: Building) -> None:
        self._battery = building.drive.battery
        self._idle = building.drive.idle_power
        self._level: NDArray[np.float64] = np.full(building.units, np.nan)
        self._read = -math.inf
        self.watt_hours = 0.0
        self.shipped: dict[str, float] = {}

    @property
    def due(self) -> float:
        """Time (s) of the next reading."""
        return self._read + self.EVERY

    def step(self, now: float, inbox: Sequence[Message]) -> list[Message]:
        """Read; says nothing."""
        for message in inbox:
            if isinstance(message, OrderShipped):
                self.shipped.setdefault(message.order, message.stamp)
            elif isinstance(message, FleetState) and now >= self.due - 1e-6:
                self._take(message, now - self._read)
                self._read = now
        return []

    def _take(self, state: FleetState, elapsed: float) -> None:
        before = self._level[state.unit]
        drop = before - state.battery
        seen = np.isfinite(before)
        used = np.where(drop[seen] > 0.0, drop[seen] * self._battery, 0.0)
        charging = int(np.count_nonzero(drop[seen] < 0.0))  # what it uses meanwhile is not seen
        if math.isfinite(elapsed):
            self.watt_hours += float(used.sum()) + charging * self._idle * elapsed / 3600.0
        self._level[state.unit] = state.battery


def run_pods(cell: Cell, progress: Callable[[float], None] | None = None) -> Result:
    """One cell with this system: all cores in the embedded simulator."""
    began = time.perf_counter()
    study = load_study(cell["orders"])
    seed, load = cell["seed"], cell["load"]
    building = study.building
    pieces = float(np.mean([sum(o.quantity) for o in sample_orders(building, seed, 500)]))
    pallets = load * pieces / building.stock.pallet_pieces
    building = replace(building, stock=replace(building.stock, pallets_per_hour=pallets))
    window, end = _window(cell)
    counted: list[OrderArrived] = []

    def told() -> Iterator[OrderArrived]:
        for order in arrivals(building, load, seed):
            if window < order.stamp <= end:
                counted.append(order)
            yield order

    warehouse = build_warehouse(building, seed, plant=Plant(building, seed, orders=told()))
    meter = Meter(building)
    loop = quickest_loop((*warehouse.cores, meter))
    monitor = warehouse.monitor

    def run(seconds: float) -> tuple[float, float, float, float]:
        for now in loop.run(seconds, every=60.0):
            if progress is not None:
                progress(now)
        figures = monitor.figures()
        return (
            figures["lines_picked"],
            figures["pods_handled"],
            monitor.pick_busy,
            meter.watt_hours,
        )

    before = run(window)
    after = run(end - window)
    while loop.now < end + PATIENCE * 60.0 and any(o.order not in meter.shipped for o in counted):
        if load >= study.overload:
            break  # capacity is asked for, not the wait
        run(60.0)
    lines, pods, busy, watt_hours = (b - a for a, b in zip(before, after, strict=True))
    hours = (end - window) / 3600.0
    stations = sum(station.kind == "pick" for station in building.stations)
    return {
        "order_to_ship_minutes": _times(waits(counted, meter.shipped, loop.now), cell["minutes"]),
        "orders": len(counted),
        "not_shipped": sum(order.order not in meter.shipped for order in counted),
        "lines_per_person_hour": lines / hours / stations,
        "lines_ordered_per_hour": _lines_per_hour(counted, cell),
        "orders_per_hour": len(counted) / cell["minutes"] * 60.0,
        "busy": busy / (end - window) / stations,
        "lines_a_pod": lines / max(pods, 1),
        "drive_wh_a_line": watt_hours / max(lines, 1),
        "conflicts": monitor.conflicts,
        "stock_conserved": not warehouse.inventory.audit(),
        "wall_seconds": round(time.perf_counter() - began, 1),
    }


def run_cell(cell: Cell) -> Result:
    """One way, load and seed."""
    return run_pods(cell) if cell["way"] == "pods" else run_walking(cell)


# -- what comes of it ------------------------------------------------------------------------------


def space(study: Study) -> dict[str, Any]:
    """Goods on the same floor, and why."""
    building, spec = study.building, study.walking
    width, depth = floor_size(building)
    floors = [
        walking.lay_out(*s, building.pod.size, spec) for s in ((width, depth), (depth, width))
    ]
    shelf_bins = max(floor.stops for floor in floors) * stop_bins(study)
    pod_bins = building.pods * building.pod.bins
    aisles = pod_bins / shelf_bins
    dedicated, classes = (
        study.value(f"stock.random_over_{way}") for way in ("dedicated", "classes")
    )
    return {
        "floor_m2": width * depth,
        "bins": {"walking": shelf_bins, "pods": pod_bins},
        "from_floor": round(aisles, 3),
        "from_random_stow": {"over_dedicated": dedicated, "over_classes": classes},
        "goods": {
            "over_dedicated": round(aisles * dedicated, 3),
            "over_classes": round(aisles * classes, 3),
        },
    }


def energy(study: Study, way: str, lines_per_hour: float, drive_wh: float = 0.0) -> float:
    """Electricity (Wh) a line: light, and what the drive units charge."""
    building = study.building
    width, depth = floor_size(building)
    lit = width * depth
    if way == "pods":
        lit = len(building.stations) * study.value("energy.lit_station")
    light = lit * study.value("energy.lighting") / lines_per_hour
    return float(light + drive_wh / study.value("energy.charger_efficiency"))


def marked_load(
    wait: Callable[[float], float], low: float, high: float, minutes: tuple[float, float]
) -> float | None:
    """Load (orders an hour) at which walking takes the middle of ``minutes``; None: at none.

    Args:
        wait: median order-to-ship (min) of a load.
        low, high: loads between which it is sought.
    """
    wanted = sum(minutes) / 2
    if wait(low) > wanted or wait(high) < wanted:
        return None
    for _ in range(12):
        middle = round((low + high) / 2, 1)
        found = wait(middle)
        if minutes[0] <= found <= minutes[1]:
            return middle
        low, high = (middle, high) if found < wanted else (low, middle)
    return None


def kept_load(
    wait: Callable[[float], float], low: float, high: float, minutes: float, steps: int = 8
) -> float | None:
    """Greatest load (orders an hour) at which ``wait`` is still below ``minutes``; None: at none.

    Args:
        wait: order-to-ship (min) of a load.
        low, high: loads between which it is sought, by ``steps`` halvings.
    """
    if wait(low) >= minutes:
        return None
    if wait(high) < minutes:
        return high
    for _ in range(steps):
        middle = round((low + high) / 2)
        low, high = (middle, high) if wait(middle) < minutes else (low, middle)
    return low


def mean_times(results: Sequence[Result]) -> dict[str, float]:
    """Mean over seeds of each quantile of order-to-ship, min."""
    return {
        key: round(float(np.mean([r["order_to_ship_minutes"][key] for r in results])), 2)
        for key in ("p50", "p90", "p95")
    }


def plot(result: Mapping[str, Any]) -> Figure:
    """Order-to-ship against load of all three ways, with the article's minutes marked."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots()
    colours = {"dedicated": "tab:red", "classes": "tab:orange", "pods": "tab:blue"}
    for way in WAYS:
        rows = sorted(result["curves"][way], key=lambda row: float(row["load"]))
        loads = [row["load"] for row in rows]
        for key, style in (("p50", "-"), ("p95", ":")):
            minutes = [row["order_to_ship_minutes"][key] for row in rows]
            label = f"{LABELS[way]}, {key}"
            axes.plot(loads, minutes, style, marker=".", color=colours[way], label=label)
    low, high = result["article_minutes"]
    axes.axhspan(low, high, color="0.85", zorder=0)
    axes.annotate(
        f"the article's {low} to {high} min",
        (0.01, math.sqrt(low * high)),
        xycoords=("axes fraction", "data"),
        va="center",
        fontsize=9,
    )
    for key, minutes in result["goal_minutes"].items():
        axes.axhline(minutes, color="tab:blue", lw=0.8, ls="-" if key == "p50" else ":", alpha=0.5)
        axes.annotate(
            f"goal {key}",
            (0.01, minutes),
            xycoords=("axes fraction", "data"),
            va="bottom",
            fontsize=8,
            color="tab:blue",
        )
    for way in WAYS[:2]:
        mark = result["marks"][way]
        if mark is not None:
            axes.axvline(mark["load"], color=colours[way], lw=0.8, ls="--")
            axes.annotate(
                f"{mark['load']:.0f}/h",
                (mark["load"], 1.1),
                rotation=90,
                ha="right",
                color=colours[way],
                fontsize=9,
            )
    for way in WAYS:
        most = result["most_orders_per_hour"][way]
        axes.plot([most, most], [0.8, 1.0], color=colours[way], lw=4, solid_capstyle="butt")
    axes.annotate(
        "bars: as many as can be done", (0.01, 0.01), xycoords="axes fraction", fontsize=9
    )
    axes.set_ylim(0.8, 200)
    axes.set_yscale("log")
    axes.set_yticks([1, 2, 5, 10, 20, 50, 100], ["1", "2", "5", "10", "20", "50", "100"])
    axes.set_xlabel("orders an hour")
    axes.set_ylabel("order to ship, min")
    axes.grid(alpha=0.3)
    axes.set_title(result["title"])
    figure.legend(fontsize=9, loc="outside lower center", ncols=3)
    return figure
