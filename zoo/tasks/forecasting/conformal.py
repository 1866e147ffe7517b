"""Conformal intervals: what a model missed on held-out windows, and on the latest ones, decides their width."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .metrics import intervals

# Significant digits of saved margins: far below their statistical error.
DIGITS = 6
# Half of the width that a move takes for the least, in units of the scale: a width of 0 could never grow again.
NARROWEST = 0.01


@dataclass(frozen=True)
class Outcomes:
    """What became of windows that were forecast, for margins to follow.

    Args:
        truth: (windows, horizon, channels); NaN is missing, or not known yet.
        items: (windows,) the series of each.
        origins: (windows,) the first row of each horizon in its series.
    """

    truth: np.ndarray
    items: np.ndarray
    origins: np.ndarray


@dataclass(frozen=True)
class ConformalIntervals:
    """Margins that give intervals a nominal coverage, a horizon step (and channel) at a time.

    Starts from a model's own interval (conformalized quantile regression: Romano et al., 2019, arXiv:1905.03222) or,
    with the point forecast as both ends, from nothing (Lei et al., 2018, JASA 113:1094-1111). The guarantee is that of
    exchangeable windows: neighbouring windows of one series overlap, and a series that changes after calibration is
    covered less, or more.

    Args:
        level: Nominal coverage, between 0 and 1.
        margins: (horizon, ...) added to both ends, in units of the data or of `scale`; negative ones narrow.
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
            lower: (windows, horizon, ...) lower ends, or the point forecast.
            upper: Upper ends, or the point forecast again.
            truth: NaN is missing. Windows that training and the choice between models did not see.
            level: Nominal coverage.
            scale: Broadcasts to the windows, e.g. MASE's: series of different size then share their margins.
            weights: (windows,) how much each counts, 1 for one that is as good as new: older windows count less where
                a series drifts (Barber et al., 2023, arXiv:2202.13415). Default: all 1.
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
        """(windows, horizon, ...) margins of each window, moved by what came of the earlier windows of its series.

        The quantile tracker of Angelopoulos, Candès and Tibshirani (2023, arXiv:2307.16895; after Gibbs and Candès,
        2021, arXiv:2106.00170) with steps that are shares of the interval, where theirs are of one size: a miss widens
        it by `rate * level` of its half width, a hit narrows it by `rate * (1 - level)` of it, so that with a small
        rate it stands still where it covers what it says. Each step and channel moves alone, and step k of a window
        knows the windows that began k rows before it or earlier: nothing of the future.

        Args:
            lower: (windows, horizon, ...) lower ends, or the point forecast.
            upper: Upper ends, or the point forecast again.
            scale: Of these windows, as of `fit`.
            outcomes: Of these windows.
            rate: 0: the margins stay.

        Raises:
            ValueError: The horizon is longer than the calibrated one.
        """
        steps, truth = np.arange(1, self._steps(lower) + 1), outcomes.truth
        found = np.empty(truth.shape)
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
            found[rows] = track[known, steps - 1]
        return found

    def apply(
        self,
        lower: np.ndarray,
        upper: np.ndarray,
        scale: np.ndarray | float = 1.0,
        margins: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Widened (or narrowed) ends; where narrowing would make them cross, both are their middle.

        Args:
            lower: (windows, horizon, ...) lower ends, or the point forecast.
            upper: Upper ends, or the point forecast again.
            scale: Of these windows, if `fit` had one.
            margins: Of these windows, from `follow`; default: those that `fit` found.

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
        """For a horizon of so many steps: steps after the last calibrated one take its margins, without guarantee."""
        if steps <= len(self.margins):
            return self
        return ConformalIntervals(self.level, self.margins[np.minimum(np.arange(steps), len(self.margins) - 1)])


def _margins(scores: np.ndarray, weights: np.ndarray, level: float) -> np.ndarray:
    """(...) the weighted quantiles of (windows, ...) scores, NaN where missing; `ConformalIntervals.fit` explains."""
    order = np.argsort(scores, axis=0)  # NaN last
    ordered = np.take_along_axis(scores, order, axis=0)
    reached = np.cumsum(np.where(np.isnan(ordered), 0, weights[order]), axis=0)
    # The window to come counts 1 and may lie anywhere: it stands at infinity.
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

    What does not vary has the size of its values as its unit, and 1 where that is 0 or nothing was observed.

    Args:
        values: (windows, context, channels).
        observed: The same shape, bool; what is False does not count.
    """
    values = np.where(observed, np.asarray(values, np.float64), 0)
    count = np.maximum(observed.sum(1, keepdims=True), 1)
    mean = values.sum(1, keepdims=True) / count
    spread = np.sqrt((((values - mean) ** 2) * observed).sum(1, keepdims=True) / count)
    size = np.abs(values).sum(1, keepdims=True) / count
    # A constant of 1e6 in float32 varies by rounding alone.
    unit = np.where(spread > 1e-6 * size, spread, size)
    return np.where(unit > 0, unit, 1.0)


def recency(ages: np.ndarray, half_life: float | None) -> np.ndarray | None:
    """Weights of windows that are so many rows old: 1 for the youngest, half of it each `half_life` rows before.

    Args:
        ages: (windows,) rows between origin and end of the calibration rows.
        half_life: Default: a third of the span of the ages, so that the oldest window counts an eighth; 0: all count
            alike, and so they do where none is older than another (one window a series).
    """
    span = int(ages.max() - ages.min())
    half_life = span / 3 if half_life is None else half_life
    return 0.5 ** ((ages - ages.min()) / half_life) if half_life and span else None


@dataclass(frozen=True)
class Calibration:
    """Intervals of several levels, in units of each window's spread; what it was fitted to.

    Args:
        intervals: One a level, ascending.
        from_point: Whether they start from the point forecast and not from the model's quantiles.
        windows: How many windows they were fitted to.
        floor: What no value can be below, so no end either: 0 of counts. An end that is raised to it covers no less.
        rate: How fast margins follow outcomes where there are some; see `ConformalIntervals.follow`.
    """

    intervals: tuple[ConformalIntervals, ...]
    from_point: bool
    windows: int
    floor: float | None = None
    rate: float = 0.0

    @classmethod
    def fit(
        cls,
        point: np.ndarray,
        quantiles: np.ndarray | None,
        levels: Sequence[float],
        truth: np.ndarray,
        scale: np.ndarray,
        coverages: Sequence[float],
        weights: np.ndarray | None = None,
        floor: float | None = None,
        rate: float = 0.0,
    ) -> "Calibration":
        """Calibrate the coverages and every symmetric pair of the model's quantiles.

        A level for which there are too few windows is fitted without weights, then with one margin for all steps; if
        there are still too few, it is left out.

        Args:
            point: (windows, horizon, channels).
            quantiles: (levels, windows, horizon, channels), or None.
            levels: Of the quantiles.
            truth: As `point`; NaN is missing.
            scale: `window_spread` of the windows.
            coverages: Nominal coverages, between 0 and 1.
            weights: (windows,), as of `recency`.
            floor: What no value can be below.
            rate: As of the class.
        """
        own = {} if quantiles is None else intervals(quantiles, levels)
        fitted = []
        for coverage in sorted({round(coverage, 6) for coverage in coverages} | set(own)):
            lower, upper = _start(coverage, point, own)
            for choice in ({"weights": weights}, {}, {"pooled": True}):
                try:
                    found = ConformalIntervals.fit(lower, upper, truth, coverage, scale, **choice)
                except ValueError:
                    continue
                fitted.append(found)
                break
        return cls(tuple(fitted), not own, len(truth), floor, rate)

    def apply(
        self,
        point: np.ndarray,
        quantiles: np.ndarray | None,
        levels: Sequence[float],
        scale: np.ndarray,
        outcomes: Outcomes | None = None,
        rows: Any = slice(None),
    ) -> tuple[np.ndarray | None, list[float]]:
        """(levels, windows, horizon, channels) quantiles that ascend, and their levels; other arguments as of `fit`.

        Both ends of each interval are quantiles, beside those of the model that no interval replaces.

        Args:
            outcomes: Of these windows: the margins of each follow what was known when it was forecast.
            rows: The windows to give quantiles of; the others are there to be followed.
        """
        own = {} if quantiles is None or self.from_point else intervals(quantiles, levels)
        found = {}
        if quantiles is not None and not self.from_point:
            found = dict(zip((round(level, 6) for level in levels), quantiles[:, rows]))
        for interval in self.intervals:
            lower, upper = _start(interval.level, point, own)
            interval, margins = interval.for_steps(point.shape[1]), None
            if outcomes is not None:
                margins = interval.follow(lower, upper, scale, outcomes, self.rate)[rows]
            tail = (1 - interval.level) / 2
            ends = interval.apply(lower[rows], upper[rows], scale[rows], margins)
            found[round(tail, 6)], found[round(1 - tail, 6)] = ends
        if not found:
            return None if quantiles is None else quantiles[:, rows], list(levels)
        ascending = sorted(found)
        # Levels may cross where their margins differ; sorting never makes them worse (Chernozhukov et al. 2010).
        values = np.sort(np.stack([found[level] for level in ascending]), axis=0)
        return values if self.floor is None else np.maximum(values, self.floor), ascending

    def to_dict(self) -> dict[str, Any]:
        """Numbers and lists, for a JSON file beside the model."""
        return {
            "levels": [interval.level for interval in self.intervals],
            "margins": [_rounded(interval.margins) for interval in self.intervals],
            "from_point": self.from_point,
            "windows": self.windows,
            "floor": self.floor,
            "rate": self.rate,
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "Calibration":
        """What `to_dict` gave."""
        pairs = zip(content["levels"], content["margins"], strict=True)
        fitted = tuple(ConformalIntervals(level, np.asarray(margins, np.float64)) for level, margins in pairs)
        return cls(fitted, content["from_point"], content["windows"], content.get("floor"), content.get("rate", 0.0))


def _start(
    coverage: float, point: np.ndarray, own: dict[float, tuple[np.ndarray, np.ndarray]]
) -> tuple[np.ndarray, np.ndarray]:
    """Where an interval starts from: the model's own of this level, else of the nearest, else the point forecast."""
    return own[min(own, key=lambda level: abs(level - coverage))] if own else (point, point)


def _rounded(numbers: np.ndarray) -> list:
    """Nested lists, up to so many significant digits: rounding down would lose the window that the margin is from."""
    unit = 10.0 ** (np.floor(np.log10(np.where(numbers == 0, 1, np.abs(numbers)))) - DIGITS + 1)
    up = np.ceil(numbers / unit) * unit
    return np.vectorize(lambda number: float(f"{number:.{DIGITS}g}"), otypes=[float])(up).tolist()


__all__ = ["Calibration", "ConformalIntervals", "Outcomes", "recency", "window_spread"]
