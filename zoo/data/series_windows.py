"""Windows of context and horizon over series, gathered when a batch needs them."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from .series import SeriesSet


class WindowDataset(Dataset):
    """Every window whose horizon is within the given rows; its context may begin before them.

    Windows are not stored: a batch is one gather from the series' own array. The names of the
    tensors are those of transformers' TimeSeriesTransformer:

    - `past_values` (context, channels), `past_observed_mask` (the same, bool), float32; 0 and False if missing;
    - `future_values`, `future_observed_mask` (horizon, channels);
    - `past_time_features`, `future_time_features` (context or horizon, features): calendar, then known
      covariates; absent if there are none;
    - `static_real_features`, `static_categorical_features` (numbers,): absent if there are none;
    - `item`: the series' number.

    Args:
        series: Scaled or raw series; float32 values are shared and not copied.
        context_length: Rows that a model reads.
        prediction_length: Rows that it forecasts.
        rows: (first, last) row of the split in each series, as `SplitBounds.rows` gives them; default: all rows.
        stride: Rows between the origins of neighbouring windows.
        min_context: Minimum rows before an origin; the context is padded on the left, masked. Default:
            `context_length`.
        skip_short: Leave out series with too few rows (their ids are in `skipped`) instead of raising.

    Raises:
        ValueError: A length is not positive, or a series (with `skip_short`: every series) has too few rows.
    """

    def __init__(
        self,
        series: SeriesSet,
        context_length: int,
        prediction_length: int,
        rows: tuple[np.ndarray, np.ndarray] | None = None,
        stride: int = 1,
        min_context: int | None = None,
        skip_short: bool = False,
    ):
        min_context = context_length if min_context is None else min_context
        if min(context_length, prediction_length, stride) < 1 or not 0 <= min_context <= context_length:
            raise ValueError(
                f"context_length={context_length}, prediction_length={prediction_length} and stride={stride} must be "
                f"positive, and min_context={min_context} between 0 and context_length"
            )
        self.series, self.stride = series, stride
        self.context_length, self.prediction_length, self.min_context = context_length, prediction_length, min_context
        self.first, self.last = rows or (np.zeros(len(series), np.int64), series.lengths)
        # An origin is the first row of a horizon.
        self.first_origin = np.maximum(self.first, min_context)
        counts = np.maximum((self.last - prediction_length - self.first_origin) // stride + 1, 0)
        self.skipped = tuple(series.item_ids[number] for number in np.flatnonzero(counts == 0))
        if self.skipped and (not skip_short or not counts.any()):
            raise ValueError(self._too_short(int((counts == 0).argmax())))
        self.ends = np.cumsum(counts)
        self.values = torch.from_numpy(series.values)
        self.features = torch.from_numpy(_features(series))
        self.statics = {
            name: torch.from_numpy(table)
            for name, table in (
                ("static_real_features", series.static_real),
                ("static_categorical_features", series.static_categories),
            )
            if table is not None
        }

    def _too_short(self, number: int) -> str:
        before, rows = int(self.first[number]), int(self.last[number] - self.first[number])
        return (
            f"series {self.series.item_ids[number]!r} has {rows} rows and {before} before them, too few for "
            f"{self.min_context} of context + {self.prediction_length} to forecast ({len(self.skipped)} such series): "
            "give longer series, shorten context_length or prediction_length (fields of the model), lower "
            "min_context, or set skip_short to leave out such series"
        )

    def __len__(self) -> int:
        return int(self.ends[-1])

    def locate(self, windows: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(series number, origin as a row of that series) of each window.

        Raises:
            IndexError: A number is out of range.
        """
        index = np.asarray(windows, np.int64)
        if index.size and not (-len(self) <= index.min() and index.max() < len(self)):
            raise IndexError(f"the data set has {len(self)} windows, asked for {index.min()}..{index.max()}")
        index = index % len(self)
        items = np.searchsorted(self.ends, index, side="right")
        return items, self.first_origin[items] + self.stride * (index - np.r_[0, self.ends][items])

    def history(self, window: int) -> np.ndarray:
        """(rows, channels) of all rows before the window's origin, not only its context; a view."""
        items, origins = self.locate([window])
        return self.series.item(items[0])[: origins[0]]

    def __getitem__(self, window: int) -> dict[str, torch.Tensor]:
        return {name: tensor[0] for name, tensor in self.__getitems__([window]).items()}

    def __getitems__(self, windows: Sequence[int] | np.ndarray) -> dict[str, torch.Tensor]:
        """A whole batch at once: torch's data loader prefers this to one call per window."""
        items, origins = self.locate(windows)
        starts = torch.from_numpy(self.series.offsets[items])[:, None]
        steps = torch.arange(-self.context_length, self.prediction_length)
        rows = starts + torch.from_numpy(origins)[:, None] + steps  # (batch, context + horizon)
        inside = rows >= starts
        rows = rows.clamp_(min=starts)
        values = self.values[rows]
        observed = values.isfinite() & inside[..., None]
        values = values.masked_fill(~observed, 0).float()
        split = self.context_length
        batch = {
            "past_values": values[:, :split],
            "past_observed_mask": observed[:, :split],
            "future_values": values[:, split:],
            "future_observed_mask": observed[:, split:],
        }
        if self.features.shape[1]:
            features = self.features[rows].masked_fill(~inside[..., None], 0)
            batch |= {"past_time_features": features[:, :split], "future_time_features": features[:, split:]}
        number = torch.from_numpy(items)
        return batch | {name: table[number] for name, table in self.statics.items()} | {"item": number}


def _features(series: SeriesSet) -> np.ndarray:
    """(rows, features) float32: calendar, then known covariates with 0 for what is missing."""
    calendar = series.calendar()
    if series.known is None:
        return calendar
    return np.concatenate([calendar, np.nan_to_num(series.known.astype(np.float32, copy=False))], axis=1)


__all__ = ["WindowDataset"]
