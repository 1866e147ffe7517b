"""What a forecaster needs to know of its training data: channels, covariates, frequency and z-scores."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from transformers.feature_extraction_utils import FeatureExtractionMixin

if TYPE_CHECKING:
    from zoo.data.series import SeriesScaler, SeriesSet

    from .conformal import Calibration


class SeriesProcessor(FeatureExtractionMixin):
    """Brings series into the form that a model was trained on; saved beside it as `preprocessor_config.json`.

    Args:
        channels: Names of the target columns, one a channel.
        mean: (1, channels) subtracted from the targets; default: 0.
        std: (1, channels) that they are divided by; default: 1.
        known_columns: Names of the covariates that are known for the future too.
        known_mean: (covariates,) of them; default: 0.
        known_std: (covariates,); default: 1.
        static_columns: Names of the columns that are the same in all rows of a series.
        static_levels: The levels of each categorical one, in the order of their codes.
        time_features: Whether the model reads calendar features.
        frequency: pandas alias of the training data.
        season: Steps of its season.
        calibration: `Calibration.to_dict()` of the trained model's intervals; None before training.
    """

    def __init__(
        self,
        channels: Sequence[str] = ("target",),
        mean: Sequence[Sequence[float]] | None = None,
        std: Sequence[Sequence[float]] | None = None,
        known_columns: Sequence[str] = (),
        known_mean: Sequence[float] | None = None,
        known_std: Sequence[float] | None = None,
        static_columns: Sequence[str] = (),
        static_levels: Sequence[Sequence[str]] = (),
        time_features: bool = False,
        frequency: str | None = None,
        season: int = 1,
        calibration: dict[str, Any] | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.channels, self.known_columns = list(channels), list(known_columns)
        self.static_columns, self.static_levels = list(static_columns), [list(levels) for levels in static_levels]
        self.mean = [[0.0] * len(self.channels)] if mean is None else mean
        self.std = [[1.0] * len(self.channels)] if std is None else std
        self.known_mean = [0.0] * len(self.known_columns) if known_mean is None else known_mean
        self.known_std = [1.0] * len(self.known_columns) if known_std is None else known_std
        self.time_features, self.frequency, self.season = time_features, frequency, season
        self.calibration = calibration

    @property
    def scaler(self) -> "SeriesScaler":
        """The z-scores; mean 0 and deviation 1 if the model reads the units of the data."""
        from zoo.data.series import SeriesScaler

        names = ("mean", "std", "known_mean", "known_std")
        return SeriesScaler.from_dict({name: getattr(self, name) for name in names})

    @property
    def intervals(self) -> "Calibration | None":
        """What turns the model's forecasts into calibrated intervals, if it was calibrated."""
        from .conformal import Calibration

        return None if self.calibration is None else Calibration.from_dict(self.calibration)

    def prepare(self, series: "SeriesSet") -> "SeriesSet":
        """The series as the model reads them: float32 z-scores, categories in the saved codes.

        Raises:
            ValueError: They have another number of channels, other covariates, or a category that was not trained.
        """
        if len(series.channels) != len(self.channels):
            raise ValueError(
                f"the model forecasts {len(self.channels)} channels ({', '.join(self.channels)}), the data has "
                f"{len(series.channels)} ({', '.join(series.channels)})"
            )
        if series.known_names != tuple(self.known_columns):
            raise ValueError(
                f"the model reads the covariates {self.known_columns}, the data has {list(series.known_names)}"
            )
        series = self.scaler.transform(series)
        if series.static_categories is not None:
            series = replace(series, static_categories=self._recode(series))
        # Without start times, series have no calendar.
        return series if self.time_features else replace(series, starts=None)

    def _recode(self, series: "SeriesSet") -> np.ndarray:
        """(series, categories) codes of the saved levels."""
        assert series.static_categories is not None
        codes = np.empty_like(series.static_categories)
        for column, (known, found) in enumerate(zip(self.static_levels, series.static_levels, strict=True)):
            unknown = [level for level in found if level not in known]
            if unknown:
                raise ValueError(f"the category {unknown[0]!r} was not in the training data; known: {known[:20]}")
            table = np.array([known.index(level) for level in found], np.int64)
            codes[:, column] = table[series.static_categories[:, column]]
        return codes


__all__ = ["SeriesProcessor"]
