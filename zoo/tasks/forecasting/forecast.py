"""Forecast: point forecasts with their quantiles."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .metrics import intervals


@dataclass(frozen=True)
class Forecast:
    """Forecasts of some windows.

    Args:
        point (`np.ndarray` of shape `(windows, horizon, channels)`): Point forecasts.
        quantiles (`np.ndarray` of shape `(levels, windows, horizon, channels)`): Quantile forecasts, if there are any.
        levels: Of the quantiles, between 0 and 1.
    """

    point: np.ndarray
    quantiles: np.ndarray | None = None
    levels: Sequence[float] = ()

    @classmethod
    def from_predictions(cls, predictions: np.ndarray | Sequence[np.ndarray], levels: Sequence[float]) -> "Forecast":
        """From a model's output.

        Args:
            predictions: The Trainer's: point forecasts, or (point forecasts, quantiles) with the levels as last axis.
            levels: The levels of the model's config.
        """
        if not isinstance(predictions, (tuple, list)):
            return cls(np.asarray(predictions))
        return cls(np.asarray(predictions[0]), np.moveaxis(np.asarray(predictions[1]), -1, 0), tuple(levels))

    def intervals(self) -> dict[float, tuple[np.ndarray, np.ndarray]]:
        """Nominal coverage -> (lower, upper), for each pair of levels that is symmetric about the median."""
        return {} if self.quantiles is None else intervals(self.quantiles, self.levels)

    def take(self, rows: np.ndarray | slice) -> "Forecast":
        """The forecasts of these windows."""
        quantiles = None if self.quantiles is None else self.quantiles[:, rows]
        return Forecast(self.point[rows], quantiles, self.levels)


__all__ = ["Forecast"]
