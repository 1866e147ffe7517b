"""Split-conformal intervals: what a model missed on held-out windows decides how wide its intervals become."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ConformalIntervals:
    """Margins that give intervals a nominal coverage, a horizon step (and channel) at a time.

    Starts from a model's own interval (conformalized quantile regression: Romano et al., 2019, arXiv:1905.03222) or,
    with the point forecast as both ends, from nothing (Lei et al., 2018, JASA 113:1094-1111). The guarantee is that of
    exchangeable windows: neighbouring windows of one series overlap, and a series that changes after calibration is
    covered less.

    Args:
        level: Nominal coverage, between 0 and 1.
        margins: (horizon, ...) added to both ends, in units of the data or of `scale`; negative ones narrow.
    """

    level: float
    margins: np.ndarray

    @classmethod
    def fit(
        cls, lower: np.ndarray, upper: np.ndarray, truth: np.ndarray, level: float, scale: np.ndarray | None = None
    ) -> "ConformalIntervals":
        """The smallest margins that cover ceil((n + 1) level) of the n observed windows at each step.

        Args:
            lower: (windows, horizon, ...) lower ends, or the point forecast.
            upper: Upper ends, or the point forecast again.
            truth: NaN is missing. Windows that training and the choice between models did not see.
            level: Nominal coverage.
            scale: Broadcasts to the windows, e.g. MASE's: series of different size then share their margins.

        Raises:
            ValueError: Shapes do not fit, the level is not between 0 and 1, a scale is not positive, or a step has too
                few windows for this level: 1 / (1 - level) - 1 are needed.
        """
        if lower.shape != truth.shape or upper.shape != truth.shape or not 0 < level < 1:
            raise ValueError(f"ends {lower.shape}, {upper.shape}, truth {truth.shape} or level {level} do not fit")
        scores = np.maximum(lower - truth, truth - upper)
        if scale is not None:
            if not (np.asarray(scale) > 0).all():
                raise ValueError("a scale of the calibration windows is not positive")
            scores = scores / scale
        count = (~np.isnan(scores)).sum(0)
        # 1e-9: (19 + 1) * 0.95 must be 19 and not 19.000000000000004.
        rank = np.ceil((count + 1) * level - 1e-9).astype(np.int64)
        if (rank > count).any():
            needed = int(np.ceil(level / (1 - level) - 1e-9))
            raise ValueError(
                f"intervals of {level:.0%} need {needed} calibration windows at every step; one has {int(count.min())}"
            )
        ordered = np.sort(scores, axis=0)  # NaN last
        return cls(level, np.take_along_axis(ordered, rank[None] - 1, axis=0)[0])

    def apply(
        self, lower: np.ndarray, upper: np.ndarray, scale: np.ndarray | float = 1.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Widened (or narrowed) ends; where narrowing would make them cross, both are their middle.

        Args:
            lower: (windows, horizon, ...) lower ends, or the point forecast.
            upper: Upper ends, or the point forecast again.
            scale: Of these windows, if `fit` had one.

        Raises:
            ValueError: The horizon is longer than the calibrated one.
        """
        if lower.shape[1] > len(self.margins):
            raise ValueError(f"calibrated for {len(self.margins)} steps, asked for {lower.shape[1]}")
        margin = self.margins[: lower.shape[1]] * scale
        middle = (lower + upper) / 2
        return np.minimum(lower - margin, middle), np.maximum(upper + margin, middle)


__all__ = ["ConformalIntervals"]
