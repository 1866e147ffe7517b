"""Forecasts that need no training, on the windows of a data set.

Each method takes the (rows, channels) history before an origin and returns (horizon, channels). Missing values are
skipped; a channel that was never observed is forecast as 0.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .metrics import seasonal_scales

if TYPE_CHECKING:
    from zoo.data.series_windows import WindowDataset


def _last_observed(history: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(channels,) last observed value, 0 if there is none, and its row."""
    if not len(history):
        return np.zeros(history.shape[1]), np.zeros(history.shape[1], np.int64)
    if not np.isnan(history[-1]).any():  # the usual case needs no search through a long history
        return history[-1], np.full(history.shape[1], len(history) - 1)
    observed = ~np.isnan(history)
    row = len(history) - 1 - observed[::-1].argmax(0)
    return np.where(observed.any(0), np.nan_to_num(history[row, np.arange(history.shape[1])]), 0), row


def naive(history: np.ndarray, horizon: int, season: int = 1) -> np.ndarray:
    """The last value, repeated."""
    return np.tile(_last_observed(history)[0], (horizon, 1))


def seasonal_naive(history: np.ndarray, horizon: int, season: int) -> np.ndarray:
    """The last season, repeated; a missing value is taken from the season before, and so on; else naive."""
    forecast = np.repeat(_last_observed(history)[0][None], season, axis=0)  # (season, channels)
    open_cells = np.ones(forecast.shape, bool)
    for end in range(len(history), 0, -season):
        part = history[max(end - season, 0) : end]
        cells = open_cells[season - len(part) :]  # the first season may be incomplete
        observed = cells & ~np.isnan(part)
        np.copyto(forecast[season - len(part) :], part, where=observed)
        cells &= ~observed
        if not open_cells.any():
            break
    return forecast[np.arange(horizon) % season]


def drift(history: np.ndarray, horizon: int, season: int = 1) -> np.ndarray:
    """The straight line through the first and the last value."""
    last, last_row = _last_observed(history)
    first, reversed_row = _last_observed(history[::-1])
    slope = (last - first) / np.maximum(last_row - (len(history) - 1 - reversed_row), 1)
    return last + np.arange(1, horizon + 1)[:, None] * slope


def is_seasonal(history: np.ndarray, season: int) -> np.ndarray:
    """(channels,) M4's test: the autocorrelation at lag `season` is beyond 90% limits (Bartlett's, for lags below it).

    Series of fewer than three seasons are not seasonal. The competition's R code computes at most
    10 log10(rows) lags, so it calls longer seasons absent; none of its data sets had one.
    """
    rows = len(history)
    if season < 2 or rows < 3 * season:
        return np.zeros(history.shape[1], bool)
    centred = history - history.mean(0)
    power = (centred**2).sum(0)
    products = [(centred[lag:] * centred[:-lag]).sum(0) for lag in range(1, season + 1)]
    correlation = np.divide(products, power, out=np.zeros((season, len(power))), where=power > 0)
    limit = 1.645 * np.sqrt((1 + 2 * (correlation[:-1] ** 2).sum(0)) / rows)
    return np.abs(correlation[-1]) > limit


def seasonal_indices(history: np.ndarray, season: int) -> np.ndarray:
    """(season, channels) factors of the classical multiplicative decomposition (R's `decompose`), from row 0 on.

    The trend is a centred moving average over one season; the mean of value / trend at each place in the season,
    divided by the mean of these means, is the factor.
    """
    half = season // 2
    weights = np.full(season + (season % 2 == 0), 1.0)
    if season % 2 == 0:
        weights[[0, -1]] = 0.5
    windows = np.lib.stride_tricks.sliding_window_view(history, len(weights), axis=0)  # (rows - season, channels, w)
    ratio = history[half : len(history) - half] / (windows @ (weights / season))
    padded = np.full((-(-len(history) // season) * season, history.shape[1]), np.nan)
    padded[half : half + len(ratio)] = ratio
    factors = np.nanmean(padded.reshape(-1, season, history.shape[1]), axis=0)
    return factors / factors.mean(0)


def naive2(history: np.ndarray, horizon: int, season: int) -> np.ndarray:
    """M4's Naive2: the naive forecast of the seasonally adjusted series, with its season put back.

    Channels that are not seasonal by the test, or have values that are not positive (where factors have no meaning),
    get the naive forecast. A missing value is replaced by the last one before it.
    """
    forecast = naive(history, horizon)
    observed = ~np.isnan(history)
    begin = int(observed.any(1).argmax()) if len(history) else 0
    filled = _fill_forward(history[begin:])
    usable = np.flatnonzero((filled > 0).all(0) & is_seasonal(filled, season)) if len(filled) else np.zeros(0, int)
    if not len(usable):
        return forecast
    part = filled[:, usable]
    factors = seasonal_indices(part, season)
    place = (len(part) + np.arange(-1, horizon)) % season  # of the last row, then of the forecasts
    forecast[:, usable] = part[-1] / factors[place[0]] * factors[place[1:]]
    return forecast


def _fill_forward(history: np.ndarray) -> np.ndarray:
    """Each missing value replaced by the last one before it; NaN where there is none."""
    rows = np.where(np.isnan(history), 0, np.arange(len(history))[:, None])
    return np.take_along_axis(history, np.maximum.accumulate(rows, axis=0), axis=0)


BASELINES: dict[str, Callable[[np.ndarray, int, int], np.ndarray]] = {
    "naive": naive,
    "seasonal_naive": seasonal_naive,
    "drift": drift,
    "naive2": naive2,
}


def forecast_windows(
    dataset: "WindowDataset",
    method: str,
    season: int,
    max_history: int | None = None,
    windows: Sequence[int] | np.ndarray | None = None,
) -> np.ndarray:
    """(windows, horizon, channels) forecasts of a baseline, in the units of the data set.

    Args:
        dataset: Windows; a method sees all rows before their origins, as the competition's methods do.
        method: A key of `BASELINES`.
        season: Steps of a season.
        max_history: Look back at most so many rows: Naive2 works through its whole history for every window.
        windows: Numbers of the windows; default: all.

    Raises:
        ValueError: The method is unknown, or the season is not positive.
    """
    if method not in BASELINES or season < 1:
        raise ValueError(f"method={method!r} is not one of {', '.join(BASELINES)}, or season={season} is not positive")
    numbers = range(len(dataset)) if windows is None else windows
    channels = dataset.series.values.shape[1]
    forecasts = np.empty((len(numbers), dataset.prediction_length, channels), dataset.series.values.dtype)
    for row, window in enumerate(numbers):
        history = dataset.history(window)
        history = history if max_history is None else history[-max_history:]
        forecasts[row] = BASELINES[method](history, dataset.prediction_length, season)
    return forecasts


def window_truth(dataset: "WindowDataset", windows: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
    """(windows, horizon, channels) true values of the windows' horizons, NaN where missing."""
    items, origins = dataset.locate(range(len(dataset)) if windows is None else windows)
    rows = (dataset.series.offsets[items] + origins)[:, None] + np.arange(dataset.prediction_length)
    return dataset.series.values[rows]


def window_scales(
    dataset: "WindowDataset", season: int, windows: Sequence[int] | np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(windows, 1, channels) scales of MASE and RMSSE: of each series' rows before the part that is evaluated.

    For the training part itself, which has no rows before it, they come from its own rows.
    """
    items, _ = dataset.locate(range(len(dataset)) if windows is None else windows)
    ends = np.where(dataset.first > 0, dataset.first, dataset.last)
    pairs = {int(i): seasonal_scales(dataset.series.item(i)[: ends[i]], season) for i in np.unique(items)}
    absolute, squared = (np.stack([pairs[int(i)][k] for i in items])[:, None] for k in (0, 1))
    return absolute, squared


__all__ = [
    "BASELINES",
    "drift",
    "forecast_windows",
    "is_seasonal",
    "naive",
    "naive2",
    "seasonal_indices",
    "seasonal_naive",
    "window_scales",
    "window_truth",
]
