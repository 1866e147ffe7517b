"""Conformal intervals: their width follows from the errors on held-out windows, and on the latest ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .forecast import Forecast

if TYPE_CHECKING:
    from zoo.data.series_windows import WindowDataset

# Significant digits of saved margins: far below their statistical error.
DIGITS = 6
# Least half width that a move is a share of, in units of the scale: a width of 0 could never grow again.
NARROWEST = 0.01
# Windows whose contexts are read at once.
SPREAD_BATCH = 512


@dataclass(frozen=True)
class Outcomes:
    """True values of windows that were forecast, for margins to follow.

    Args:
        truth (`np.ndarray` of shape `(windows, horizon, channels)`): NaN is missing, or not known yet.
        items (`np.ndarray` of shape `(windows,)`): The number of each window's series.
        origins (`np.ndarray` of shape `(windows,)`): The first row of each horizon in its series.
    """

    truth: np.ndarray
    items: np.ndarray
    origins: np.ndarray


@dataclass(frozen=True)
class ConformalIntervals:
    """Margins that give intervals a nominal coverage, separately for each horizon step (and channel).

    Starts from a model's own interval (conformalized quantile regression: Romano et al., 2019, arXiv:1905.03222) or,
    with the point forecast as both ends, from nothing (Lei et al., 2018, JASA 113:1094-1111). The guarantee is that of
    exchangeable windows: neighbouring windows of one series overlap, and a series that changes after calibration is
    covered less, or more.

    Args:
        level: Nominal coverage, between 0 and 1.
        margins (`np.ndarray` of shape `(horizon, ...)`): Added to both ends, in units of the data or of `scale`;
            negative ones narrow.
    """

    level: float
    margins: np.ndarray

    @classmethod
    def fit(
        cls,
        lower: np.ndarray,
        upper: np.ndarray,
        truth: np.ndarray,
        level: float,
        scale: np.ndarray | None = None,
        weights: np.ndarray | None = None,
        pooled: bool = False,
    ) -> "ConformalIntervals":
        """The smallest margins that cover ceil((n + 1) level) of the n observed windows at each step.

        Args:
            lower (`np.ndarray` of shape `(windows, horizon, ...)`): Lower ends, or the point forecast.
            upper (`np.ndarray` of the same shape): Upper ends, or the point forecast again.
            truth (`np.ndarray` of the same shape): NaN is missing. Windows that training and the choice between models
                did not see.
            level: Nominal coverage.
            scale: Broadcasts to the windows, e.g. MASE's: series of different size then share their margins.
            weights (`np.ndarray` of shape `(windows,)`): 1 for the newest, less for older windows, where a series
                drifts (Barber et al., 2023, arXiv:2202.13415). Default: all 1.
            pooled: One margin for all steps, where each has too few windows.

        Raises:
            ValueError: Shapes do not fit, the level is not between 0 and 1, a scale is not positive, or a step has too
                few windows for this level: 1 / (1 - level) - 1 are needed, weights added up.
        """
        if lower.shape != truth.shape or upper.shape != truth.shape or not 0 < level < 1:
            raise ValueError(f"ends {lower.shape}, {upper.shape}, truth {truth.shape} or level {level} do not fit")
        scores = np.maximum(lower - truth, truth - upper)
        if scale is not None:
            if not (np.asarray(scale) > 0).all():
                raise ValueError("a scale of the calibration windows is not positive")
            scores = scores / scale
        weights = np.ones(len(truth)) if weights is None else weights
        if pooled:
            margin = _margins(scores.reshape(-1, *truth.shape[2:]), np.repeat(weights, truth.shape[1]), level)
            return cls(level, np.broadcast_to(margin, truth.shape[1:]).copy())
        return cls(level, np.stack([_margins(scores[:, step], weights, level) for step in range(truth.shape[1])]))

    def follow(
        self, lower: np.ndarray, upper: np.ndarray, scale: np.ndarray, outcomes: Outcomes, rate: float
    ) -> np.ndarray:
        """(windows, horizon, ...) margins of each window, moved by the outcomes of the earlier windows of its series.

        The quantile tracker of Angelopoulos, Candès and Tibshirani (2023, arXiv:2307.16895; after Gibbs and Candès,
        2021, arXiv:2106.00170) with steps that are shares of the interval, where theirs are of one size: a miss widens
        it by `rate * level` of its half width, a hit narrows it by `rate * (1 - level)` of it, so that with a small
        rate it does not drift where it has its nominal coverage. Each step and channel moves alone, and step k of
        a window follows the windows that began k rows before it or earlier: nothing of the future.

        Args:
            lower (`np.ndarray` of shape `(windows, horizon, ...)`): Lower ends, or the point forecast.
            upper (`np.ndarray` of the same shape): Upper ends, or the point forecast again.
            scale: Of these windows, as in `fit`.
            outcomes: Of these windows.
            rate: 0: the margins stay.

        Raises:
            ValueError: The horizon is longer than the calibrated one.
        """
        steps, truth = np.arange(1, self._steps(lower) + 1), outcomes.truth
        moved = np.empty(truth.shape)
        order = np.lexsort((outcomes.origins, outcomes.items))
        for rows in np.split(order, np.flatnonzero(np.diff(outcomes.items[order])) + 1):
            track = np.empty((len(rows) + 1, *truth.shape[1:]))
            track[0] = self.margins[: len(steps)]
            for place, row in enumerate(rows):
                score = np.maximum(lower[row] - truth[row], truth[row] - upper[row]) / scale[row]
                half = np.abs(track[place] + (upper[row] - lower[row]) / (2 * scale[row]))
                move = rate * np.maximum(half, NARROWEST) * ((score > track[place]) - (1 - self.level))
                track[place + 1] = track[place] + np.where(np.isnan(score), 0, move)
            origins = outcomes.origins[rows]
            known = np.searchsorted(origins, origins[:, None] - steps, side="right")
            moved[rows] = track[known, steps - 1]
        return moved

    def apply(
        self,
        lower: np.ndarray,
        upper: np.ndarray,
        scale: np.ndarray | float = 1.0,
        margins: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Widened (or narrowed) ends; where narrowing would make them cross, both are their middle.

        Args:
            lower (`np.ndarray` of shape `(windows, horizon, ...)`): Lower ends, or the point forecast.
            upper (`np.ndarray` of the same shape): Upper ends, or the point forecast again.
            scale: Of these windows, if `fit` had one.
            margins: Of these windows, from `follow`; default: those of `fit`.

        Raises:
            ValueError: The horizon is longer than the calibrated one.
        """
        margin = (self.margins[: self._steps(lower)] if margins is None else margins) * scale
        middle = (lower + upper) / 2
        return np.minimum(lower - margin, middle), np.maximum(upper + margin, middle)

    def _steps(self, ends: np.ndarray) -> int:
        if ends.shape[1] > len(self.margins):
            raise ValueError(f"calibrated for {len(self.margins)} steps, asked for {ends.shape[1]}")
        return ends.shape[1]

    def for_steps(self, steps: int) -> "ConformalIntervals":
        """For a longer horizon: steps after the last calibrated one take its margins, without guarantee."""
        if steps <= len(self.margins):
            return self
        return ConformalIntervals(self.level, self.margins[np.minimum(np.arange(steps), len(self.margins) - 1)])


def _margins(scores: np.ndarray, weights: np.ndarray, level: float) -> np.ndarray:
    """(...) the weighted quantiles of (windows, ...) scores, NaN where missing; `ConformalIntervals.fit` explains."""
    order = np.argsort(scores, axis=0)  # NaN last
    ordered = np.take_along_axis(scores, order, axis=0)
    reached = np.cumsum(np.where(np.isnan(ordered), 0, weights[order]), axis=0)
    # The window to come counts 1 and may be anywhere: its score is taken as infinite.
    # 1e-9: (19 + 1) * 0.95 must be 19 and not 19.000000000000004.
    needed = (reached[-1] + 1) * level - 1e-9
    if (needed > reached[-1]).any():
        windows = int(np.ceil(level / (1 - level) - 1e-9))
        raise ValueError(
            f"intervals of {level:.0%} need {windows} calibration windows at every step; "
            f"one has {reached[-1].min():.4g}"
        )
    return np.take_along_axis(ordered, (reached < needed).sum(0)[None], axis=0)[0]


def window_spread(values: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """(windows, 1, channels) standard deviation of each window's context: the unit of its margins.

    The unit of a constant context is the size of its values, or 1 where that is 0 or nothing was observed.

    Args:
        values (`np.ndarray` of shape `(windows, context, channels)`): Contexts.
        observed (`np.ndarray` of the same shape): False where a value is missing.
    """
    values = np.where(observed, np.asarray(values, np.float64), 0)
    count = np.maximum(observed.sum(1, keepdims=True), 1)
    mean = values.sum(1, keepdims=True) / count
    spread = np.sqrt((((values - mean) ** 2) * observed).sum(1, keepdims=True) / count)
    size = np.abs(values).sum(1, keepdims=True) / count
    # A constant of 1e6 in float32 varies by rounding alone.
    unit = np.where(spread > 1e-6 * size, spread, size)
    return np.where(unit > 0, unit, 1.0)


def window_spreads(dataset: "WindowDataset", windows: np.ndarray) -> np.ndarray:
    """`window_spread` of the contexts of these windows, (windows, 1, channels)."""
    batches = (dataset.__getitems__(windows[at : at + SPREAD_BATCH]) for at in range(0, len(windows), SPREAD_BATCH))
    return np.concatenate(
        [window_spread(batch["past_values"].numpy(), batch["past_observed_mask"].numpy()) for batch in batches]
    )


def recency(ages: np.ndarray, half_life: float | None) -> np.ndarray | None:
    """Weights of windows by age in rows: 1 for the newest, half of it each `half_life` rows before.

    Args:
        ages (`np.ndarray` of shape `(windows,)`): Rows between origin and end of the calibration rows.
        half_life: Default: a third of the span of the ages, so that the oldest window has an eighth of the weight; 0:
            equal weights, which is None, as it is where all windows have one age (one window a series).
    """
    span = int(ages.max() - ages.min())
    half_life = span / 3 if half_life is None else half_life
    return 0.5 ** ((ages - ages.min()) / half_life) if half_life and span else None


@dataclass(frozen=True)
class Calibration:
    """Intervals of several levels.

    Margins around the point forecast are in units of each window's spread. Those of the model's own intervals are
    shares of their half width (CQR-r of Sesia and Candès, 2020, arXiv:1909.05433): where the model is sure, they
    are small.

    Args:
        intervals: One a level, ascending.
        from_point: Whether they start from the point forecast and not from the model's quantiles.
        windows: Number of windows that they were fitted to.
        floor: Smallest possible value, such as 0 for counts: lower ends are raised to it, which loses no coverage.
        rate: How fast margins follow outcomes; see `ConformalIntervals.follow`.
        relative: Whether margins are shares of half widths. Older models have units of the spread throughout.
    """

    intervals: tuple[ConformalIntervals, ...]
    from_point: bool
    windows: int
    floor: float | None = None
    rate: float = 0.0
    relative: bool = False

    @classmethod
    def fit(
        cls,
        forecast: Forecast,
        truth: np.ndarray,
        scale: np.ndarray,
        coverages: Sequence[float],
        *,
        weights: np.ndarray | None = None,
        floor: float | None = None,
        rate: float = 0.0,
    ) -> "Calibration":
        """Calibrate the coverages and every symmetric pair of the model's quantiles.

        A level for which there are too few windows is fitted without weights, then with one margin for all steps; if
        there are still too few, it is left out.

        Args:
            forecast: The model's.
            truth (`np.ndarray` of shape `(windows, horizon, channels)`): NaN is missing.
            scale (`np.ndarray` of shape `(windows, 1, channels)`): `window_spread` of the windows.
            coverages: Nominal coverages, between 0 and 1.
            weights (`np.ndarray` of shape `(windows,)`): See `recency`.
            floor: See the class.
            rate: See the class.
        """
        own = forecast.intervals()
        fitted = []
        for coverage in sorted({round(coverage, 6) for coverage in coverages} | set(own)):
            lower, upper = _start(coverage, forecast.point, own)
            unit = _half_width(lower, upper, scale) if own else scale
            for choice in ({"weights": weights}, {}, {"pooled": True}):
                try:
                    fitted.append(ConformalIntervals.fit(lower, upper, truth, coverage, unit, **choice))
                    break
                except ValueError:
                    continue
        return cls(tuple(fitted), not own, len(truth), floor, rate, relative=bool(own))

    def apply(
        self,
        forecast: Forecast,
        scale: np.ndarray,
        outcomes: Outcomes | None = None,
        rows: np.ndarray | slice = slice(None),
    ) -> Forecast:
        """The forecast with calibrated quantiles: both ends of each interval, and the model's other quantiles.

        Args:
            forecast: The model's.
            scale (`np.ndarray` of shape `(windows, 1, channels)`): `window_spread` of the windows.
            outcomes: Of the windows: the margins of each follow what was known when it was forecast.
            rows: The windows to return; the others only serve as outcomes.
        """
        own = {} if self.from_point else forecast.intervals()
        shown = forecast.take(rows)
        quantiles: dict[float, np.ndarray] = {}
        if shown.quantiles is not None and not self.from_point:
            quantiles = dict(zip((round(level, 6) for level in shown.levels), shown.quantiles))
        for interval in self.intervals:
            lower, upper = _start(interval.level, forecast.point, own)
            unit = _half_width(lower, upper, scale) if self.relative else scale
            interval, margins = interval.for_steps(forecast.point.shape[1]), None
            if outcomes is not None:
                margins = interval.follow(lower, upper, unit, outcomes, self.rate)[rows]
            tail = (1 - interval.level) / 2
            ends = interval.apply(lower[rows], upper[rows], unit[rows], margins)
            quantiles[round(tail, 6)], quantiles[round(1 - tail, 6)] = ends
        if not quantiles:
            return shown
        ascending = sorted(quantiles)
        # Levels may cross where their margins differ; sorting never makes them worse (Chernozhukov et al. 2010).
        values = np.sort(np.stack([quantiles[level] for level in ascending]), axis=0)
        return Forecast(shown.point, values if self.floor is None else np.maximum(values, self.floor), ascending)

    def to_dict(self) -> dict[str, Any]:
        """Numbers and lists, for a JSON file beside the model."""
        return {
            "levels": [interval.level for interval in self.intervals],
            "margins": [_rounded(interval.margins) for interval in self.intervals],
            "from_point": self.from_point,
            "windows": self.windows,
            "floor": self.floor,
            "rate": self.rate,
            "relative": self.relative,
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "Calibration":
        """The inverse of `to_dict`."""
        pairs = zip(content["levels"], content["margins"], strict=True)
        fitted = tuple(ConformalIntervals(level, np.asarray(margins, np.float64)) for level, margins in pairs)
        since = {name: content[name] for name in ("floor", "rate", "relative") if name in content}
        return cls(fitted, content["from_point"], content["windows"], **since)


def _start(
    coverage: float, point: np.ndarray, own: dict[float, tuple[np.ndarray, np.ndarray]]
) -> tuple[np.ndarray, np.ndarray]:
    """Ends before calibration: the model's own interval of the nearest level, else the point forecast."""
    return own[min(own, key=lambda level: abs(level - coverage))] if own else (point, point)


def _half_width(lower: np.ndarray, upper: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Half of each interval, but not nothing: where the model sees no uncertainty, a share of the window's spread."""
    return np.maximum((upper - lower) / 2, NARROWEST * spread)


def _rounded(numbers: np.ndarray) -> list:
    """Nested lists, rounded up to `DIGITS` digits: rounding down would exclude the window that set the margin."""
    unit = 10.0 ** (np.floor(np.log10(np.where(numbers == 0, 1, np.abs(numbers)))) - DIGITS + 1)
    up = np.ceil(numbers / unit) * unit
    return np.vectorize(lambda number: float(f"{number:.{DIGITS}g}"), otypes=[float])(up).tolist()


__all__ = ["Calibration", "ConformalIntervals", "Outcomes", "recency", "window_spread", "window_spreads"]
