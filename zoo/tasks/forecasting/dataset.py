"""Windows of one split as a data set, with what their metrics need."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import Dataset

from .baselines import forecast_windows, window_scales, window_truth
from .conformal import Outcomes, window_spreads
from .processor import SeriesProcessor

if TYPE_CHECKING:  # they bring pandas, which `import zoo` can do without
    from zoo.data.series import SeriesScaler, SeriesSet
    from zoo.data.series_windows import WindowDataset

# Training windows that are evaluated for the fit verdict: neighbours overlap, so more would add little.
TRAINING_WINDOWS = 1000
# Rows that Naive2 looks back: all of M4 Hourly's longest series, and not ten years for each of 1e5 windows.
BASELINE_HISTORY = 1024


class ForecastDataset(Dataset):
    """Windows of one split, with what their metrics need.

    Args:
        windows: All windows of the split, in the units that the model reads.
        processor: Has their z-scores and their season.
        numbers (`np.ndarray` of shape `(windows,)`): The windows to use; default: all.
        training: Whether these are the training windows, of which only a sample is evaluated.
        times: The series as they were read, whose time stamps name the windows: series that a model reads without a
            calendar have none.
        follow: Whether intervals follow the outcomes of these windows. Those of the validation split do not: they
            were calibrated on them.
    """

    def __init__(
        self,
        windows: "WindowDataset",
        processor: SeriesProcessor,
        numbers: np.ndarray | None = None,
        training: bool = False,
        times: "SeriesSet | None" = None,
        follow: bool = False,
    ):
        self.windows, self.processor, self.training, self.follow = windows, processor, training, follow
        self.calendar = None if times is None or times.starts is None else (times.starts, times.frequency)
        self.numbers = np.arange(len(windows)) if numbers is None else numbers
        self._baselines: dict[str, np.ndarray] = {}
        self.baseline_metrics: dict[str, dict[str, float]] = {}  # a cache, which evaluation.py fills

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, row: int) -> dict[str, torch.Tensor]:
        return self.windows[int(self.numbers[row])]

    def __getitems__(self, rows: Sequence[int]) -> dict[str, torch.Tensor]:
        """A whole batch at once: torch's data loader prefers this to one call a window."""
        return self.windows.__getitems__(self.numbers[np.asarray(rows)])

    def take(self, limit: int | None) -> "ForecastDataset":
        """At most so many windows, spread evenly."""
        if limit is None or limit >= len(self):
            return self
        rows = np.linspace(0, len(self) - 1, limit).astype(np.int64)
        # Intervals do not follow a sample: they would follow more slowly than all windows.
        taken = ForecastDataset(self.windows, self.processor, self.numbers[rows], self.training)
        taken.calendar = self.calendar
        return taken

    def origin(self, row: int) -> str:
        """When the horizon of a window begins, in words: a time stamp, or else a row."""
        item, origin = (int(part) for part in self.windows.locate(self.numbers[row]))
        if self.calendar is None:
            return f"row {origin:,}"
        from zoo.data.series_time import time_stamps

        starts, frequency = self.calendar
        stamp = time_stamps(starts[item], origin + 1, frequency)[-1]
        return str(stamp).removesuffix(" 00:00:00").removesuffix(":00")

    @cached_property
    def evaluated(self) -> "ForecastDataset":
        """The windows that are evaluated: all, but of training windows a sample."""
        return self.take(TRAINING_WINDOWS) if self.training else self

    def truth(self) -> np.ndarray:
        """(windows, horizon, channels) in the model's units, NaN where missing."""
        return window_truth(self.windows, self.numbers)

    def scales(self) -> tuple[np.ndarray, np.ndarray]:
        """(windows, 1, channels) scales of MASE and RMSSE in the model's units."""
        return window_scales(self.windows, self.processor.season, self.numbers)

    @cached_property
    def spreads(self) -> np.ndarray:
        """(windows, 1, channels) the unit of each window's margins, in the model's units."""
        return window_spreads(self.windows, self.numbers)

    @cached_property
    def followed(self) -> bool:
        """Whether intervals follow these windows: only where a series has more than one."""
        items, _ = self.windows.locate(self.numbers)
        return self.follow and len(np.unique(items)) < len(items)

    def outcomes(self) -> Outcomes:
        """The true values of the windows, for intervals that follow them."""
        return Outcomes(self.truth(), *self.windows.locate(self.numbers))

    def ages(self) -> np.ndarray:
        """(windows,) rows between each origin and the end of the split in its series."""
        items, origins = self.windows.locate(self.numbers)
        return self.windows.last[items] - origins

    @cached_property
    def scaler(self) -> "SeriesScaler":
        """z-scores of these series."""
        return self.processor.scaler(self.windows.series)

    def _of_windows(self, table: np.ndarray, rows: int | slice = slice(None)) -> np.ndarray:
        """A statistic of (1 or series, channels) for the windows in these rows: (windows, 1, channels), or smaller."""
        if len(table) == 1:
            return table[0]
        items = self.windows.locate(self.numbers[rows])[0]
        return table[items] if items.ndim == 0 else table[items][:, None]

    def in_data_units(self, values: np.ndarray, rows: int | slice = slice(None)) -> np.ndarray:
        """From the model's units.

        Args:
            values (`np.ndarray` of shape `(..., windows, horizon, channels)`): Or `(..., channels)` of one window.
            rows: The windows that they belong to: all, or the number of one.
        """
        return values * self._of_windows(self.scaler.std, rows) + self._of_windows(self.scaler.mean, rows)

    def baseline(self, method: str) -> np.ndarray:
        """(windows, horizon, channels) forecasts of a baseline in the model's units, made in those of the data."""
        if method not in self._baselines:
            raw = copy.copy(self.windows)
            raw.series = replace(raw.series, values=self.scaler.restore(raw.series))
            season, history = self.processor.season, max(BASELINE_HISTORY, 4 * self.processor.season)
            forecasts = forecast_windows(raw, method, season, history, self.numbers)
            mean, std = (self._of_windows(table) for table in (self.scaler.mean, self.scaler.std))
            self._baselines[method] = (forecasts - mean) / std
        return self._baselines[method]


__all__ = ["ForecastDataset"]
