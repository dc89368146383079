"""What follows from a forecast: what to reorder, and what to send where before it is ordered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_stow.errors import InputError
from robo_stow.forecast.backtest import HORIZON, LEAST, STEP, TEST, TRAIN, fit
from robo_stow.forecast.demand import Demand, daily_demand, trading_days
from robo_stow.forecast.models import Model, MovingAverage, Smoothing, Spread
from robo_stow.fulfilment.orderfile import OrderLines, read_order_lines

F64 = NDArray[np.float64]

SERVICES = (0.8, 0.9, 0.95, 0.98, 0.99, 0.995)
COVER_DAYS = (2.0, 3.0, 5.0, 8.0, 12.0, 18.0)
"""Days of mean sales, beyond the lead time, that the rule of thumb reorders at."""
LEAST_LINES = 500
"""Order lines below which nothing is forecast for a region."""
LEAST_ENTRIES = 20
"""Entries of past lists below which a region is not trusted."""
TOLERANCE = 0.05
"""By how much the share of entries ordered in full may fall short of what was asked for."""
FILL_RATES = (0.96, 0.97)
"""Fill rates at which the stock that two policies need is compared."""


def expected_lines(demand: Demand) -> dict[str, float]:
    """Order lines of each SKU on the next trading day."""
    model, _ = fit(demand.lines, demand.weekday)
    ahead = (trading_days(demand, 1) + 3) % 7
    mean = model.forecast(demand.lines, demand.weekday, ahead)[0]
    return {code: float(lines) for code, lines in zip(demand.sku, mean, strict=True) if lines > 0}


def expected_from(history: str) -> dict[str, float]:
    """Order lines of each SKU on the trading day after those in the order file ``history``.

    Raises:
        InputError: the file cannot be used.
    """
    return expected_lines(daily_demand(read_order_lines(history), source=history))


@dataclass(frozen=True)
class Reorder:
    """When and how much of a SKU to buy."""

    sku: str
    daily: float  # pieces a trading day
    point: int  # pieces on hand and on order at or below which a lot is ordered
    lot: int  # pieces


def reorder(demand: Demand, *, lead_days: int, lot_days: float, service: float) -> list[Reorder]:
    """Reorder point and lot of every SKU that is likely to be asked for, most asked for first.

    The point is the ``service`` quantile of demand until a lot ordered tomorrow is there.

    Args:
        lead_days: trading days from order to receipt.
        lot_days: trading days of mean demand that a lot covers.
        service: 0..1
    """
    model, spread = fit(demand.pieces, demand.weekday)
    daily, point = _points(model, spread, demand, lead_days, service)
    lot = np.maximum(np.ceil(lot_days * daily), 1)
    rank = [k for k in np.argsort(-daily, kind="stable").tolist() if daily[k] > 0.0]
    return [Reorder(demand.sku[k], float(daily[k]), int(point[k]), int(lot[k])) for k in rank]


def _points(
    model: Model, spread: Spread, demand: Demand, lead_days: int, service: float
) -> tuple[F64, F64]:
    ahead = (trading_days(demand, max(lead_days + 1, HORIZON)) + 3) % 7
    mean = model.forecast(demand.pieces, demand.weekday, ahead)
    until = mean[: lead_days + 1].sum(axis=0)
    return mean[:HORIZON].mean(axis=0), spread.quantile(until, service)


def policies(demand: Demand, *, lead_days: int = 2, lot_days: float = 12.0) -> dict[str, Any]:
    """Fill rate against stock in the last `TEST` days, with the forecast and by a rule of thumb.

    Both look every evening and order the same lots. The rule of thumb reorders at so many days of
    the mean of the last 28 days; the forecast at a quantile of what is expected.

    Raises:
        InputError: too few days.
    """
    days = len(demand.day)
    if days < LEAST + TRAIN + TEST:
        needed = LEAST + TRAIN + TEST
        raise InputError("orders", "InvoiceDate", days, f"needs {needed} trading days")
    first = days - TEST
    model, spread = fit(demand.pieces[:first], demand.weekday[:first])
    mean_of = MovingAverage(28)
    points: dict[tuple[str, float], list[F64]] = {}
    lots = []
    for at in range(first, days, STEP):
        past = demand.until(at)
        ahead = (trading_days(past, HORIZON) + 3) % 7
        mean = mean_of.forecast(past.pieces, past.weekday, ahead[:1])[0]
        lots.append(np.maximum(np.ceil(lot_days * mean), 1))
        for service in SERVICES:
            point = _points(model, spread, past, lead_days, service)[1]
            points.setdefault(("forecast", service), []).append(point)
        for cover in COVER_DAYS:
            point = np.ceil((lead_days + 1 + cover) * mean)
            points.setdefault(("rule of thumb", cover), []).append(point)
    found: dict[str, Any] = {"forecast": [], "rule of thumb": []}
    for (name, setting), rows in points.items():
        fill, stock = _live(demand.pieces[first:], rows, lots, lead_days)
        found[name].append(
            {"setting": setting, "fill_rate": round(fill, 4), "mean_stock": round(stock)}
        )
    found["stock_at_fill_rate"] = {
        str(rate): {name: _stock_at(found[name], rate) for name in ("forecast", "rule of thumb")}
        for rate in FILL_RATES
    }
    return found


def _live(sold: F64, points: list[F64], lots: list[F64], lead_days: int) -> tuple[float, float]:
    """Fill rate and mean stock (pieces) of a policy; begins with the reorder point and a lot."""
    stock = points[0] + lots[0]
    coming = np.zeros((lead_days + 1, sold.shape[1]))
    filled = held = 0.0
    for day, wanted in enumerate(sold):
        stock = stock + coming[0]
        coming = np.roll(coming, -1, axis=0)
        coming[-1] = 0.0
        given = np.minimum(stock, wanted)
        filled += float(given.sum())
        stock = stock - given
        held += float(stock.sum())
        point, lot = points[day // STEP], lots[day // STEP]
        short = point - (stock + coming.sum(axis=0))
        coming[-1] = np.where(short >= 0, np.floor(short / lot) + 1.0, 0.0) * lot
    return filled / float(sold.sum()), held / len(sold)


def _stock_at(rows: list[dict[str, float]], rate: float) -> int | None:
    """Mean stock at a fill rate, between the settings that were tried; None: outside of them."""
    fill = np.array([row["fill_rate"] for row in rows])
    stock = np.array([row["mean_stock"] for row in rows])
    order = np.argsort(fill)
    if not fill.min() <= rate <= fill.max():
        return None
    return round(float(np.interp(rate, fill[order], stock[order])))


@dataclass(frozen=True)
class Shipment:
    """Pieces of a SKU to send to a region before they are ordered."""

    region: str
    sku: str
    pieces: int
    expected: float  # pieces ordered there in the coming week


def shipments(lines: OrderLines, *, confidence: float, source: str = "orders") -> list[Shipment]:
    """What each region will order in the coming week with at least probability ``confidence``.

    A region is listed only if that held in the latest weeks: where few customers order much and
    seldom, no list can be trusted.

    Raises:
        InputError: no region, which may be for want of the column, has `LEAST_LINES` order lines.
    """
    found = []
    for region in _regions(lines, source):
        demand = daily_demand(lines, region=region, source=source)
        model, spread = fit(demand.pieces, demand.weekday)
        if not _trusted(model, spread, demand, confidence):
            continue
        ahead = (trading_days(demand, HORIZON) + 3) % 7
        mean = model.forecast(demand.pieces, demand.weekday, ahead).sum(axis=0)
        pieces = spread.quantile(mean, 1.0 - confidence)
        rank = np.argsort(-pieces, kind="stable").tolist()
        found += [
            Shipment(region, demand.sku[k], int(pieces[k]), float(mean[k]))
            for k in rank
            if pieces[k] >= 1
        ]
    return found


def shipments_backtest(
    lines: OrderLines, *, confidence: float, source: str = "orders"
) -> dict[str, Any]:
    """Of what would have been sent, how much was ordered in its region within the week.

    A region that would not have been listed is None.
    """
    found: dict[str, Any] = {}
    for region in _regions(lines, source):
        demand = daily_demand(lines, region=region, source=source)
        first = len(demand.day) - TEST
        if first < LEAST + TRAIN:
            needed = LEAST + TRAIN + TEST
            raise InputError(source, "InvoiceDate", len(demand.day), f"needs {needed} trading days")
        past = demand.until(first)
        model, spread = fit(past.pieces, past.weekday)
        found[region] = None
        if _trusted(model, spread, past, confidence):
            sent, used, ordered, hits, entries = _sent(model, spread, demand, first, confidence)
            found[region] = {
                "pieces_sent": round(sent),
                "ordered_within_the_week": round(used / max(sent, 1.0), 4),
                "share_of_demand": round(used / max(ordered, 1.0), 4),
                "entries": entries,
                "entries_ordered_in_full": round(hits / max(entries, 1), 4),
            }
    return found


def _trusted(model: Smoothing, spread: Spread, demand: Demand, confidence: float) -> bool:
    """Whether enough of the entries of lists of the latest weeks were ordered in full."""
    first = max(len(demand.day) - TRAIN, 1)
    *_, hits, entries = _sent(model, spread, demand, first, confidence)
    return entries >= LEAST_ENTRIES and hits >= (confidence - TOLERANCE) * entries


def _sent(
    model: Smoothing, spread: Spread, demand: Demand, first: int, confidence: float
) -> tuple[float, float, float, int, int]:
    sent = used = ordered = 0.0
    hits = entries = 0
    for at in range(first, len(demand.day) - HORIZON + 1, HORIZON):
        past, ahead = demand.until(at), demand.weekday[at : at + HORIZON]
        mean = model.forecast(past.pieces, past.weekday, ahead).sum(axis=0)
        pieces = spread.quantile(mean, 1.0 - confidence)
        came = demand.pieces[at : at + HORIZON].sum(axis=0)
        sent += float(pieces.sum())
        used += float(np.minimum(pieces, came).sum())
        ordered += float(came.sum())
        entries += int((pieces >= 1).sum())
        hits += int(((pieces >= 1) & (came >= pieces)).sum())
    return sent, used, ordered, hits, entries


def _regions(lines: OrderLines, source: str) -> list[str]:
    regions, count = np.unique(lines.region, return_counts=True)
    found = [
        str(regions[i])
        for i in np.argsort(-count, kind="stable")
        if regions[i] and count[i] >= LEAST_LINES
    ]
    if not found:
        raise InputError(source, "Country", "", f"no region has {LEAST_LINES} order lines")
    return found
