"""Rolling-origin backtest: how far off forecasts would have been.

From each origin in the last `TEST` trading days, every `STEP`, the next `HORIZON` trading days (a
week) are forecast from what lies before it. The parameters of `Smoothing` are chosen on the
`TRAIN` trading days before the first of those origins, so nothing that is tested was looked at.
Only SKUs that were sold before an origin are judged there.

Measures (Hyndman, Koehler, IJF 22(4):679-688, 2006): over single days RMSSE and MASE, scaled by the
baseline's own error before the first origin; over the whole week WAPE, and the pinball loss of
quantiles. Much demand is zero, and then the best *median* is zero for most SKUs: errors that are
absolute reward forecasts that are too low, squared ones and sums over a week do not.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_stow.errors import InputError
from robo_stow.forecast.models import (
    Model,
    MovingAverage,
    SeasonalNaive,
    Smoothing,
    Spread,
    Tsb,
    in_sample,
)

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

HORIZON = 6
STEP = 3
TEST = 72
TRAIN = 48
LEAST = 36
"""Trading days before the first forecast."""
HALF_LIVES = (5.0, 8.0, 12.0, 20.0, 40.0)
PRIORS = (0.25, 0.5, 1.0, 2.0)
QUANTILES = (0.5, 0.8, 0.95)
PAST_WEEKS = 8
"""Weeks from which the baseline takes its quantiles."""


def choose(history: F64, weekday: I64, origins: Sequence[int]) -> Smoothing:
    """Parameters with the least squared error over the weeks after ``origins``."""
    candidates = [Smoothing(h, p) for h, p in itertools.product(HALF_LIVES, PRIORS)]
    if not origins:
        return Smoothing()

    def loss(model: Smoothing) -> float:
        mean, found = in_sample(model, history, weekday, HORIZON, origins)
        return float(np.mean((mean - found) ** 2))

    return min(candidates, key=loss)


def fit(history: F64, weekday: I64) -> tuple[Smoothing, Spread]:
    """Model and spread of weekly demand, from the latest weeks of ``history``."""
    first = max(min(LEAST, len(history) // 2), len(history) - TRAIN)
    origins = range(first, len(history) - HORIZON + 1, STEP)
    model = choose(history, weekday, origins)
    if not origins:
        return model, Spread(1.0, 0.0)
    return model, Spread.fit(*in_sample(model, history, weekday, HORIZON, origins))


def backtest(history: F64, weekday: I64, source: str = "orders") -> dict[str, Any]:
    """Errors of every model.

    Args:
        history: [d, k] demand by trading day.
        weekday: [d] their weekdays.
        source: name of the data in errors.

    Raises:
        InputError: too few days.
    """
    days = len(history)
    needed = LEAST + TRAIN + TEST
    if days < needed:
        raise InputError(source, "InvoiceDate", days, f"a backtest needs {needed} trading days")
    first = days - TEST
    origins = list(range(first, days - HORIZON + 1, STEP))
    smoothing, spread = fit(history[:first], weekday[:first])
    naive = SeasonalNaive()
    models: tuple[Model, ...] = (naive, MovingAverage(), Tsb(), smoothing)

    known_from = np.argmax(history > 0, axis=0)
    sold: NDArray[np.bool_] = np.asarray((history > 0).any(axis=0))
    scale = _naive_errors(naive, history[:first], weekday[:first])
    results = {
        model.name: _errors(model, history, weekday, origins, known_from, sold, scale)
        for model in models
    }
    baseline = results[naive.name]
    for figures in results.values():
        figures["over_baseline"] = {
            key: round(figures[key] / baseline[key], 4) for key in ("rmsse", "mase", "week_wape")
        }
    pinball = _pinball(smoothing, spread, history, weekday, origins, known_from, sold)
    return {
        "trading_days": days,
        "skus": history.shape[1],
        "origins": len(origins),
        "horizon_days": HORIZON,
        "zero_share": round(float(np.mean(history[first:] == 0)), 4),
        "chosen": {"half_life": smoothing.half_life, "prior": smoothing.prior},
        "spread": {"linear": round(spread.linear, 3), "square": round(spread.square, 3)},
        "models": results,
        "week_pinball": pinball,
    }


def _naive_errors(model: Model, history: F64, weekday: I64) -> tuple[float, float]:
    """Mean absolute and root mean squared error of day-ahead-a-week forecasts of the baseline."""
    mean, found = [], []
    for at in range(LEAST, len(history) - HORIZON + 1, STEP):
        mean.append(model.forecast(history[:at], weekday[:at], weekday[at : at + HORIZON]))
        found.append(history[at : at + HORIZON])
    error = np.array(mean) - np.array(found)
    return float(np.abs(error).mean()), float(np.sqrt((error**2).mean()))


def _errors(
    model: Model,
    history: F64,
    weekday: I64,
    origins: Sequence[int],
    known_from: NDArray[np.intp],
    sold: NDArray[np.bool_],
    scale: tuple[float, float],
) -> dict[str, Any]:
    absolute = squared = week = total = forecast = 0.0
    count = 0
    for at in origins:
        known = sold & (known_from < at)
        mean = model.forecast(history[:at], weekday[:at], weekday[at : at + HORIZON])[:, known]
        found = history[at : at + HORIZON][:, known]
        absolute += float(np.abs(mean - found).sum())
        squared += float(((mean - found) ** 2).sum())
        week += float(np.abs(mean.sum(axis=0) - found.sum(axis=0)).sum())
        total += float(found.sum())
        forecast += float(mean.sum())
        count += found.size
    return {
        "rmsse": round((squared / count) ** 0.5 / scale[1], 4),
        "mase": round(absolute / count / scale[0], 4),
        "week_wape": round(week / total, 4),
        "bias": round(forecast / total - 1.0, 4),
    }


def _pinball(
    model: Model,
    spread: Spread,
    history: F64,
    weekday: I64,
    origins: Sequence[int],
    known_from: NDArray[np.intp],
    sold: NDArray[np.bool_],
) -> dict[str, Any]:
    """Mean loss of quantiles of weekly demand, against those of each SKU's latest weeks."""
    ours, theirs = np.zeros(len(QUANTILES)), np.zeros(len(QUANTILES))
    covered, count = np.zeros(len(QUANTILES)), 0
    for at in origins:
        known = sold & (known_from < at)
        ahead = weekday[at : at + HORIZON]
        mean = model.forecast(history[:at], weekday[:at], ahead)[:, known].sum(axis=0)
        past = history[at - HORIZON * PAST_WEEKS : at][:, known]
        weeks = past.reshape(-1, HORIZON, past.shape[1]).sum(axis=1)
        found = history[at : at + HORIZON][:, known].sum(axis=0)
        for i, share in enumerate(QUANTILES):
            quantile = spread.quantile(mean, share)
            ours[i] += _loss(quantile, found, share)
            theirs[i] += _loss(np.quantile(weeks, share, axis=0), found, share)
            covered[i] += float((found <= quantile).sum())
        count += len(found)
    return {
        str(share): {
            "smoothing": round(ours[i] / count, 4),
            "latest weeks": round(theirs[i] / count, 4),
            "covered": round(covered[i] / count, 4),
        }
        for i, share in enumerate(QUANTILES)
    }


def _loss(quantile: F64, found: F64, share: float) -> float:
    error = found - quantile
    return float(np.maximum(share * error, (share - 1.0) * error).sum())
