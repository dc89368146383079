"""Forecasts of intermittent daily demand, for all SKUs at once.

`Smoothing` is what is used: the mean of each SKU since its first sale, days weighed by an
exponential of their age, drawn towards the mean of all SKUs as long as little is known, times a
profile of the weekdays that all SKUs share. Zero days count, so a SKU that is no longer asked for
fades away (as in TSB: Teunter, Syntetos, Babai, EJOR 214(3):606-615, 2011), and a new one is not
held down by the time before it was sold.

The others are what it is measured against.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

PROFILE_DAYS = 48
"""Latest trading days from which the profile of the weekdays is taken."""
PROFILE_PRIOR = 2.0
"""Days of mean demand that the profile starts from for each weekday."""
LATEST = 60
"""Latest trading days from which the mean of all SKUs is taken."""


class Model(Protocol):
    """A way to forecast."""

    @property
    def name(self) -> str:
        """As shown."""
        ...

    def forecast(self, history: F64, weekday: I64, ahead: I64) -> F64:
        """Mean demand of days to come.

        Args:
            history: [d, k] demand of past trading days.
            weekday: [d] their weekdays.
            ahead: [h] weekdays of the trading days to come.

        Returns:
            [h, k]
        """
        ...


@dataclass(frozen=True)
class SeasonalNaive:
    """What was ordered on the same weekday last time; the baseline."""

    name: str = "seasonal naive"

    def forecast(self, history: F64, weekday: I64, ahead: I64) -> F64:
        """As `Model` says; a weekday never seen: the last day."""
        rows = []
        for day in ahead.tolist():
            same = np.flatnonzero(weekday == day)
            rows.append(history[same[-1] if len(same) else -1])
        return np.array(rows)


@dataclass(frozen=True)
class MovingAverage:
    """Mean of the latest trading days."""

    days: int = 28

    @property
    def name(self) -> str:
        """With its days."""
        return f"mean of {self.days} days"

    def forecast(self, history: F64, weekday: I64, ahead: I64) -> F64:
        """As `Model` says."""
        return np.repeat(history[-self.days :].mean(axis=0)[None], len(ahead), axis=0)


@dataclass(frozen=True)
class Tsb:
    """Teunter, Syntetos, Babai: probability and size of demand, each smoothed exponentially."""

    probability: float = 0.05
    size: float = 0.1
    name: str = "TSB"

    def forecast(self, history: F64, weekday: I64, ahead: I64) -> F64:
        """As `Model` says."""
        chance = (history[:6] > 0).mean(axis=0)
        level = np.zeros(history.shape[1])
        for row in history:
            sold = row > 0
            chance += self.probability * (sold - chance)
            step = np.where(level > 0, self.size, 1.0) * (row - level)
            level = np.where(sold, level + step, level)
        return np.repeat((chance * level)[None], len(ahead), axis=0)


@dataclass(frozen=True)
class Smoothing:
    """The model in use.

    Args:
        half_life: trading days after which a day counts half.
        prior: trading days that the mean of all SKUs counts for.
    """

    half_life: float = 10.0
    prior: float = 0.5
    name: str = "smoothing"

    def forecast(self, history: F64, weekday: I64, ahead: I64) -> F64:
        """As `Model` says."""
        profile = weekday_profile(history, weekday)
        age = np.arange(len(history))[::-1]
        weight = 0.5 ** (age / self.half_life)
        level = history / profile[weekday][:, None]
        known = np.maximum.accumulate(history > 0, axis=0)
        mean = level[-LATEST:].mean()
        total = weight @ level + self.prior * mean
        seen = weight @ known + self.prior
        rate = np.where(known[-1], total / np.maximum(seen, 1e-9), 0.0)
        return np.asarray(profile[ahead][:, None] * rate)


def weekday_profile(history: F64, weekday: I64) -> F64:
    """Demand of each weekday over that of a mean day, [7]."""
    total, day = history[-PROFILE_DAYS:].sum(axis=1), weekday[-PROFILE_DAYS:]
    mean = max(float(total.mean()), 1e-9)
    sums = np.bincount(day, weights=total, minlength=7) + PROFILE_PRIOR * mean
    profile: F64 = sums / (np.bincount(day, minlength=7) + PROFILE_PRIOR) / mean
    return profile


@dataclass(frozen=True)
class Spread:
    """Variance of demand about its forecast: ``linear * mean + square * mean ** 2``."""

    linear: float
    square: float

    @classmethod
    def fit(cls, mean: F64, found: F64) -> Spread:
        """From forecasts and what came, of any shape; never less than a Poisson's."""
        from scipy.optimize import nnls  # type: ignore[import-untyped]  # slow to import

        mean, found = mean.ravel(), found.ravel()
        some = mean > 0
        columns = np.stack([mean[some], mean[some] ** 2], axis=1)
        excess = (found[some] - mean[some]) ** 2 - mean[some]
        weight = 1.0 / np.maximum(mean[some], 0.05)  # large means vary most
        (linear, square), _ = nnls(columns * weight[:, None], excess * weight)
        return cls(1.0 + float(linear), float(square))

    def quantile(self, mean: F64, share: float | F64) -> F64:
        """Demand that is not exceeded with probability ``share`` (negative binomial)."""
        from scipy.stats import nbinom  # type: ignore[import-untyped]  # slow to import

        mean = np.asarray(mean, np.float64)
        above = np.maximum((self.linear - 1.0) * mean + self.square * mean**2, 1e-6 * mean)
        with np.errstate(divide="ignore", invalid="ignore"):
            size = mean**2 / above
            chance = size / (size + mean)
        found = nbinom.ppf(share, size, chance)
        return np.asarray(np.where(mean > 0, found, 0.0))


def in_sample(
    model: Model, history: F64, weekday: I64, days: int, origins: Sequence[int]
) -> tuple[F64, F64]:
    """Forecast and real demand of the ``days`` after each of the origins, [origins, k]."""
    means, found = [], []
    for at in origins:
        ahead = weekday[at : at + days]
        means.append(model.forecast(history[:at], weekday[:at], ahead).sum(axis=0))
        found.append(history[at : at + days].sum(axis=0))
    return np.array(means), np.array(found)
