"""Series in memory, their chronological split and their z-scores."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
import pandas as pd

from .series_time import calendar_features, calendar_names, time_stamps


@dataclass(frozen=True)
class SeriesSet:
    """Series of one frequency and with the same channels, concatenated.

    Args:
        values (`np.ndarray` of shape `(rows, channels)`): Floats; NaN where a value is missing.
        offsets (`np.ndarray` of shape `(series + 1,)`): int64; series `i` has the rows `offsets[i]:offsets[i + 1]`.
        item_ids: One id per series.
        channels: Names of the target columns.
        starts (`np.ndarray` of shape `(series,)`): First time stamp, datetime64[us] or int64 step numbers; None if the
            data has no time stamps.
        frequency: pandas alias, or a whole number in text for step numbers; None if unknown.
        known (`np.ndarray` of shape `(rows, covariates)`): Floats known for the future too (holidays, prices).
        known_names: Names of those columns.
        static_real (`np.ndarray` of shape `(series, numbers)`): float32 numbers of the whole series.
        static_categories (`np.ndarray` of shape `(series, categories)`): int64 codes into `static_levels`.
        static_levels: The levels of each category, in the order of their codes.
        source: Where the data came from.
        is_release: Whether the content is that of a known release of the data set.
    """

    values: np.ndarray
    offsets: np.ndarray
    item_ids: tuple[str, ...]
    channels: tuple[str, ...]
    starts: np.ndarray | None = None
    frequency: str | None = None
    known: np.ndarray | None = None
    known_names: tuple[str, ...] = ()
    static_real: np.ndarray | None = None
    static_categories: np.ndarray | None = None
    static_levels: tuple[tuple[str, ...], ...] = ()
    source: str = ""
    is_release: bool = False

    def __len__(self) -> int:
        return len(self.item_ids)

    @property
    def lengths(self) -> np.ndarray:
        """(series,) rows of each."""
        return np.diff(self.offsets)

    @property
    def dated(self) -> bool:
        """Whether the time stamps are dates, which have a calendar."""
        return self.starts is not None and self.starts.dtype.kind == "M"

    def item(self, number: int) -> np.ndarray:
        """(rows, channels) of one series, a view."""
        return self.values[self.offsets[number] : self.offsets[number + 1]]

    def select(self, channels: Sequence[str]) -> "SeriesSet":
        """Only these channels, in this order.

        Raises:
            ValueError: A channel is missing.
        """
        missing = [name for name in channels if name not in self.channels]
        if missing:
            raise ValueError(f"no column {missing[0]!r}; the data has {', '.join(self.channels)}")
        places = [self.channels.index(name) for name in channels]
        return replace(self, values=self.values[:, places], channels=tuple(channels))

    def timestamps(self, number: int, extra: int = 0) -> pd.Index:
        """Time stamps of one series and of `extra` steps after its end."""
        start = 0 if self.starts is None else self.starts[number]
        return time_stamps(start, int(self.lengths[number]) + extra, self.frequency)

    def calendar(self) -> np.ndarray:
        """(rows, features) float32 in -0.5..0.5; without features if the series have no dates."""
        if not self.dated:
            return np.empty((len(self.values), 0), np.float32)
        features = np.empty((len(self.values), len(calendar_names(self.frequency))), np.float32)
        for number in range(len(self)):
            rows = slice(self.offsets[number], self.offsets[number + 1])
            features[rows] = calendar_features(self.timestamps(number), self.frequency)
        return features

    def fingerprint(self, rows: tuple[np.ndarray, np.ndarray] | None = None) -> str:
        """sha256 of ids, times, values and covariates; of the rows `first:last` of each series if given."""
        first, last = (np.zeros(len(self), np.int64), self.lengths) if rows is None else rows
        digest = hashlib.sha256(repr((self.item_ids, self.channels, self.frequency, self.known_names)).encode())
        digest.update(np.stack([first, last]).astype("<i8").tobytes())
        if self.starts is not None:
            digest.update(self.starts.astype("<i8").tobytes())
        for table in (self.values,) if self.known is None else (self.values, self.known):
            for begin, low, high in zip(self.offsets, first, last):
                digest.update(table[begin + low : begin + high].astype("<f8").tobytes())
        for statics in (self.static_real, self.static_categories):
            if statics is not None:
                digest.update(statics.tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class SplitBounds:
    """Where the splits of each series end, in rows of the series.

    Args:
        train (`np.ndarray` of shape `(series,)`): int64; training has the rows `0:train`.
        validation (`np.ndarray` of shape `(series,)`): Validation has `train:validation`.
        test (`np.ndarray` of shape `(series,)`): Test has `validation:test`; rows after it are not used.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    def rows(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """(first, last) row of `train`, `validation` or `test` in each series."""
        edges = [np.zeros_like(self.train), self.train, self.validation, self.test]
        number = ("train", "validation", "test").index(split)
        return edges[number], edges[number + 1]


def chronological_split(
    series: SeriesSet, train: float | None = None, validation: float = 0, test: float = 0
) -> SplitBounds:
    """Training, then validation, then test rows of every series, by counts (whole numbers) or fractions (below 1).

    Counts: `train=None` takes what the other two leave, so that test is the end of each series; a given `train` begins
    at the first row, and rows after the three parts are not used (the ETT benchmark's way). Fractions are rounded down
    for training and test, and validation takes the rest when they add up to 1 (the way of Informer and after).

    Raises:
        ValueError: Counts and fractions are mixed, negative or too large, or a series is too short for them.
    """
    given = [part for part in (train, validation, test) if part]
    if any(part < 0 for part in given) or train == 0:
        raise ValueError(f"the split {train}/{validation}/{test} must not have negative parts, nor no training rows")
    fractions = [isinstance(part, float) and part < 1 for part in given]
    if any(fractions) and not all(fractions):
        raise ValueError(f"the split {train}/{validation}/{test} mixes counts and fractions")
    lengths = series.lengths
    if any(fractions):
        if sum(given) > 1 + 1e-9:
            raise ValueError(f"the split {train}/{validation}/{test} adds up to {sum(given):g}, more than 1")
        # 1e-9: 0.7 * 10 is 6.999... in floating point.
        parts = [np.floor(lengths * (part or 0) + 1e-9).astype(np.int64) for part in (train, validation, test)]
        if train is not None and abs(sum(given) - 1) < 1e-9 and validation:
            parts[1] = lengths - parts[0] - parts[2]
    else:
        parts = [np.full(len(series), int(part or 0)) for part in (train, validation, test)]
    if train is None:
        parts[0] = lengths - parts[1] - parts[2]
    needed = np.maximum(parts[0], 1) + parts[1] + parts[2]
    if (needed > lengths).any():
        short = int((needed > lengths).argmax())
        raise ValueError(
            f"series {series.item_ids[short]!r} has {lengths[short]} rows, too few for the split "
            f"{'rest' if train is None else train}/{validation}/{test} ({int((needed > lengths).sum())} such series)"
        )
    return SplitBounds(parts[0], parts[0] + parts[1], parts[0] + parts[1] + parts[2])


@dataclass(frozen=True)
class SeriesScaler:
    """z-scores from training rows, (value - mean) / standard deviation, of each channel (and each series, if asked).

    Args:
        mean (`np.ndarray` of shape `(1 or series, channels)`): In the units of the data.
        std (`np.ndarray` of the same shape): 1 where the training rows are constant or all missing.
        known_mean (`np.ndarray` of shape `(covariates,)`): Of the known covariates.
        known_std (`np.ndarray` of shape `(covariates,)`): Of the known covariates.
        static_mean (`np.ndarray` of shape `(numbers,)`): Of the static numbers, over series; empty: not scaled.
        static_std (`np.ndarray` of shape `(numbers,)`): Of the static numbers.
    """

    mean: np.ndarray
    std: np.ndarray
    known_mean: np.ndarray = field(default_factory=lambda: np.zeros(0))
    known_std: np.ndarray = field(default_factory=lambda: np.ones(0))
    static_mean: np.ndarray = field(default_factory=lambda: np.zeros(0))
    static_std: np.ndarray = field(default_factory=lambda: np.ones(0))

    @classmethod
    def fit(cls, series: SeriesSet, train_ends: np.ndarray, targets: str = "channel") -> "SeriesScaler":
        """Statistics of the first `train_ends[i]` rows of each series; missing values do not count.

        Args:
            series: In the units of the data.
            train_ends (`np.ndarray` of shape `(series,)`): Number of training rows of each series.
            targets: `channel` (all series share them), `series` (each has its own), or `none`: targets stay in their
                units, and only the known covariates are scaled.

        Raises:
            ValueError: `targets` is none of the three.
        """
        if targets not in ("channel", "series", "none"):
            raise ValueError(f"targets={targets!r} is not one of channel, series, none")
        rows = [slice(start, start + end) for start, end in zip(series.offsets[:-1], train_ends)]
        groups = [[part] for part in rows] if targets == "series" else [rows]
        channels = range(series.values.shape[1] if targets != "none" else 0)
        # A column at a time: no temporary array is as large as the data.
        moments = np.array([[_moments(series.values[:, c], group) for c in channels] for group in groups])
        if targets == "none":
            moments = np.tile([0.0, 1.0], (1, series.values.shape[1], 1))
        covariates: list[np.ndarray] = []
        for table, group in ((series.known, rows), (series.static_real, [slice(None)])):
            found = [] if table is None else [_moments(column, group) for column in table.T]
            covariates += [*np.array(found).reshape(-1, 2).T]
        return cls(moments[..., 0], moments[..., 1], *covariates)

    def transform(self, series: SeriesSet) -> SeriesSet:
        """The series in float32 z-scores; missing known covariates take their training mean: no mask covers them."""
        values = np.empty(series.values.shape, np.float32)
        for c in range(series.values.shape[1]):
            mean, std = (self._per_row(table[:, c], series) for table in (self.mean, self.std))
            values[:, c] = (series.values[:, c] - mean) / std
        if series.static_real is not None and len(self.static_mean):
            scores = (series.static_real - self.static_mean) / self.static_std
            series = replace(series, static_real=scores.astype(np.float32))
        if series.known is None:
            return replace(series, values=values)
        known = np.empty(series.known.shape, np.float32)
        for k, column in enumerate(series.known.T):
            known[:, k] = np.nan_to_num((column - self.known_mean[k]) / self.known_std[k])
        return replace(series, values=values, known=known)

    def _per_row(self, statistic: np.ndarray, series: SeriesSet) -> np.ndarray:
        return statistic[0] if len(statistic) == 1 else np.repeat(statistic, series.lengths)

    def inverse(self, values: np.ndarray, items: np.ndarray | int = 0) -> np.ndarray:
        """(windows, ..., channels) z-scores back in the units of the data; `items` are the windows' series numbers."""
        items = np.zeros(len(values), np.int64) if len(self.mean) == 1 else np.broadcast_to(items, len(values))
        shape = (len(values), *[1] * (values.ndim - 2), values.shape[-1])
        return values * self.std[items].reshape(shape) + self.mean[items].reshape(shape)

    def restore(self, series: SeriesSet) -> np.ndarray:
        """(rows, channels) float64 values of transformed series, back in the units of the data."""
        values = np.empty(series.values.shape)
        for c, column in enumerate(series.values.T):
            mean, std = (self._per_row(table[:, c], series) for table in (self.mean, self.std))
            values[:, c] = column * std + mean
        return values

    def to_dict(self) -> dict[str, list]:
        """Lists, for a JSON file beside the model."""
        return {f.name: getattr(self, f.name).tolist() for f in fields(self)}

    @classmethod
    def from_dict(cls, content: dict[str, list]) -> "SeriesScaler":
        """The inverse of `to_dict`."""
        return cls(**{name: np.asarray(numbers, np.float64) for name, numbers in content.items()})


def _moments(column: np.ndarray, rows: list[slice]) -> tuple[float, float]:
    """Mean and population standard deviation of the observed values in these rows of a column."""
    observed = np.concatenate([column[part] for part in rows]).astype(np.float64, copy=False)
    observed = observed[~np.isnan(observed)]
    if not len(observed):
        return 0.0, 1.0
    mean, std = float(observed.mean()), float(observed.std())
    # Rounding leaves a constant column with a deviation of about 1e-16 of its size; dividing by that makes noise.
    return mean, std if std > 1e-12 * abs(mean) else 1.0


__all__ = ["SeriesScaler", "SeriesSet", "SplitBounds", "chronological_split"]
