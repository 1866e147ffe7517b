"""SeriesProcessor: channels, covariates, frequency and z-scores of a forecaster's training data."""

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
        mean: (1, channels) subtracted from the targets, or (items, channels) with `per_series`; default: 0.
        std: The same shape; divisor of the targets; default: 1.
        per_series: Whether each series has its own mean and deviation.
        item_ids: The series of the training data, where `per_series` or `item_embedding` distinguish them.
        item_embedding: Whether the model reads the series' number, as the last static category.
        known_columns: Names of the covariates that are known for the future too.
        known_mean: (covariates,) of them; default: 0.
        known_std: (covariates,); default: 1.
        static_mean: (numbers,) of the static columns that are numbers; default: they are read as they are.
        static_std: (numbers,).
        static_columns: Names of the columns that are the same in all rows of a series.
        static_levels: The levels of each categorical one, in the order of their codes.
        time_features: Whether the model reads calendar features.
        frequency: pandas alias of the training data.
        season: Steps of its season.
        timestamp_format: `strptime` format of its time stamps, unless ISO 8601; the pipeline reads this one too.
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
        static_mean: Sequence[float] = (),
        static_std: Sequence[float] = (),
        static_columns: Sequence[str] = (),
        static_levels: Sequence[Sequence[str]] = (),
        time_features: bool = False,
        frequency: str | None = None,
        season: int = 1,
        timestamp_format: str | None = None,
        per_series: bool = False,
        item_ids: Sequence[str] = (),
        item_embedding: bool = False,
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
        self.static_mean, self.static_std = list(static_mean), list(static_std)
        self.time_features, self.frequency, self.season = time_features, frequency, season
        self.timestamp_format = timestamp_format
        self.per_series, self.item_ids, self.item_embedding = per_series, list(item_ids), item_embedding
        self.calibration = calibration

    @property
    def cardinality(self) -> list[int]:
        """Number of values of each static category, as in the config."""
        return [len(levels) for levels in self.static_levels] + [len(self.item_ids)] * self.item_embedding

    def scaler(self, series: "SeriesSet", new_series: bool = False) -> "SeriesScaler":
        """The z-scores of these series; mean 0 and deviation 1 if the model reads the units of the data.

        Args:
            series: In the units of the data if `new_series`.
            new_series: Whether a series that was not trained on is scaled by its own rows and not an error, with
                `per_series`.

        Raises:
            ValueError: With `per_series`, a series was not trained on.
        """
        from zoo.data.series import SeriesScaler

        names = ("mean", "std", "known_mean", "known_std", "static_mean", "static_std")
        saved = SeriesScaler.from_dict({name: getattr(self, name) for name in names})
        if not self.per_series:
            return saved
        place = {item: number for number, item in enumerate(self.item_ids)}
        rows = np.array([place.get(item, -1) for item in series.item_ids])
        if (rows < 0).any() and not new_series:
            unknown = series.item_ids[int((rows < 0).argmax())]
            raise ValueError(
                f"the model has z-scores of each training series, and not of {unknown!r}; known: {_few(self.item_ids)}"
            )
        mean, std = saved.mean[rows], saved.std[rows]
        if (rows < 0).any():
            own = SeriesScaler.fit(series, series.lengths, "series")
            mean, std = (np.where(rows[:, None] < 0, *pair) for pair in ((own.mean, mean), (own.std, std)))
        return replace(saved, mean=mean, std=std)

    @property
    def intervals(self) -> "Calibration | None":
        """The model's calibration, if it has one."""
        from .conformal import Calibration

        return None if self.calibration is None else Calibration.from_dict(self.calibration)

    def prepare(self, series: "SeriesSet", scaler: "SeriesScaler | None" = None) -> "SeriesSet":
        """The series as the model reads them: float32 z-scores, categories in the saved codes.

        Args:
            series: In the units of the data.
            scaler: Default: `self.scaler(series)`.

        Raises:
            ValueError: They have other channels, other covariates, another calendar, or a category or (where the
                model distinguishes them) a series that was not trained on.
        """
        series = self.arrange(series)
        if self.time_features:
            self._check_calendar(series)
        if series.known_names != tuple(self.known_columns):
            raise ValueError(
                f"the model reads the covariates {self.known_columns}, the data has {list(series.known_names)}"
            )
        codes = self._codes(series)
        series = replace((scaler or self.scaler(series)).transform(series), static_categories=codes)
        # Without start times, series have no calendar.
        return series if self.time_features else replace(series, starts=None)

    def arrange(self, series: "SeriesSet") -> "SeriesSet":
        """Select the model's channels in the model's order.

        Channels of other names are taken by position.

        Raises:
            ValueError: They are not as many, or some have the names of the model's channels and others not.
        """
        names, missing = tuple(self.channels), [name for name in self.channels if name not in series.channels]
        if not missing:
            return series if series.channels == names else series.select(names)
        if len(missing) < len(names) or len(series.channels) != len(names):
            raise ValueError(
                f"the model forecasts {len(names)} channel{'s'[: len(names) > 1]} ({', '.join(names)}), the data has "
                f"{len(series.channels)} ({', '.join(series.channels)})"
            )
        return series

    def _check_calendar(self, series: "SeriesSet") -> None:
        from zoo.data.series_time import calendar_names

        if not series.dated or calendar_names(series.frequency) != calendar_names(self.frequency):
            problem = f"have the frequency {series.frequency!r}" if series.dated else "have no dates"
            raise ValueError(
                f"time_features: the model reads the calendar of series of frequency {self.frequency!r}, but these "
                f"{problem}; give others, or train without time_features"
            )

    def _codes(self, series: "SeriesSet") -> np.ndarray | None:
        """(series, categories) codes of the saved levels, and of the series itself where the model reads it."""
        columns = [] if series.static_categories is None else [self._recode(series)]
        if self.item_embedding:
            columns.append(_places(series.item_ids, self.item_ids, "series")[:, None])
        return np.concatenate(columns, axis=1) if columns else None

    def _recode(self, series: "SeriesSet") -> np.ndarray:
        """(series, categories) codes of the saved levels."""
        assert series.static_categories is not None
        codes = np.empty_like(series.static_categories)
        for column, (known, names) in enumerate(zip(self.static_levels, series.static_levels, strict=True)):
            table = _places(names, known, "category")
            codes[:, column] = table[series.static_categories[:, column]]
        return codes


def _places(names: Sequence[str], known: Sequence[str], what: str) -> np.ndarray:
    """(names,) position of each among the known ones."""
    place = {name: number for number, name in enumerate(known)}
    unknown = [name for name in names if name not in place]
    if unknown:
        advice = "; train without item_embedding to forecast new series" if what == "series" else ""
        raise ValueError(f"the {what} {unknown[0]!r} was not in the training data; known: {_few(known)}{advice}")
    return np.array([place[name] for name in names], np.int64)


def _few(names: Sequence[str]) -> str:
    """The first names of many."""
    return ", ".join(names[:10]) + (f" and {len(names) - 10:,} more" if len(names) > 10 else "")


__all__ = ["SeriesProcessor"]
