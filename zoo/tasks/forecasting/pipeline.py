"""`pipeline("time-series-forecasting", model=...)`: series in, a table of their future out."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import PreTrainedModel
from transformers.pipelines.base import Pipeline
from transformers.utils import FEATURE_EXTRACTOR_NAME, cached_file, logging

from .forecast import Forecast
from .processor import SeriesProcessor

if TYPE_CHECKING:
    import pandas as pd

    from zoo.data.series import SeriesSet

    from .conformal import Outcomes

logger = logging.get_logger(__name__)
# Windows per forward pass.
BATCH = 256


def saved_processor(model: PreTrainedModel) -> SeriesProcessor:
    """The processor that was saved with the model; for a model without one, a processor that changes nothing.

    Raises:
        OSError: It is damaged, or may exist but cannot be read: forecasts without its z-scores would be wrong.
    """
    if model.name_or_path:
        name = model.name_or_path
        if cached_file(name, FEATURE_EXTRACTOR_NAME, _raise_exceptions_for_missing_entries=False):
            return SeriesProcessor.from_pretrained(name)
    # A model that was saved alone, or made from a config.
    channels = model.config.input_size
    return SeriesProcessor(["target"] if channels == 1 else [f"target_{number}" for number in range(channels)])


def from_arrays(inputs: Any, channels: Sequence[str]) -> "SeriesSet":
    """One series, (rows,) or (rows, channels), or several: a list of such, (series, rows, channels), or {id: series}.

    Raises:
        ValueError: It is none of these, or the channels are not the model's.
    """
    from zoo.data.series import SeriesSet

    if isinstance(inputs, Mapping):
        names, inputs, several = [str(name) for name in inputs], list(inputs.values()), True
    else:
        several = isinstance(inputs, (list, tuple)) and len(inputs) > 0 and np.ndim(inputs[0]) > 0
        several = several or (isinstance(inputs, (np.ndarray, torch.Tensor)) and inputs.ndim == 3)
        names = [str(number) for number in range(len(inputs) if several else 1)]
    if isinstance(inputs, (list, tuple)) and not inputs:
        raise ValueError("expected at least one series to forecast, found none")
    try:
        items = [np.asarray(item, dtype=np.float64) for item in (inputs if several else [inputs])]
    except (TypeError, ValueError):
        raise ValueError(
            "expected numbers, or one path or frame: a list holds the values of a series, or one array for each series"
        ) from None
    items = [item[:, None] if item.ndim == 1 else item for item in items]
    for name, item in zip(names, items):
        if item.ndim != 2 or item.shape[1] != len(channels) or not len(item):
            raise ValueError(f"a series has shape {item.shape}, but the model takes (rows, {len(channels)})")
        infinite = np.isinf(item).any(axis=1)
        if infinite.any():
            raise ValueError(f"series {name!r}, row {infinite.argmax()}: holds an infinite value; NaN is missing")
    offsets = np.r_[0, np.cumsum([len(item) for item in items])]
    return SeriesSet(np.concatenate(items), offsets, tuple(names), tuple(channels))


def extend(series: "SeriesSet", steps: int) -> "SeriesSet":
    """The series with `steps` missing values after the end of each."""
    gap = np.full((steps, series.values.shape[1]), np.nan)
    values = np.concatenate([part for number in range(len(series)) for part in (series.item(number), gap)])
    return replace(series, values=values, offsets=series.offsets + steps * np.arange(len(series) + 1))


class TimeSeriesForecastingPipeline(Pipeline):
    """Forecast series of any number and length.

    ```python
    >>> forecast = pipeline("time-series-forecasting", model=zoo.pretrained("lstm-forecaster-m4-hourly"))
    >>> forecast([112.0, 118.0, 132.0, ...], prediction_length=24)
    ```

    Call it with a pandas frame (long or wide) or series, the path of a CSV or Parquet file, a list of numbers, an
    array (rows,) or (rows, channels), a list of arrays, or arrays by their ids. Missing values are NaN. A series that
    the model was not trained on is scaled by its own history if the model has z-scores of each series, and rejected if
    it has item embeddings.

    Args of a call:
        prediction_length: Steps to forecast; default: the model's.
        recalibrate: Rows of the history to forecast too, as if the series had ended there: the intervals follow the
            outcomes of those forecasts, as they do on the test split; default: 0, the intervals of the validation
            split. Step k follows the windows that begin k rows or more before the end, so give more than the horizon;
            rows without a whole context before them are left out.
        future: Frame with the known covariates of exactly the steps to forecast, for a model that reads them.
        timestamp_column, timestamp_format, target_columns, item_id_column, frequency: As in a recipe's data; default:
            the training's target columns where they exist and its format, else found by name.

    Returns a frame with a row for each series, channel and step: `item_id`, `timestamp`, `target` (the name of the
    channel), `predictions`, and a column for each quantile ("0.1", "0.5", ...) that the model forecasts or that its
    calibration made: the columns "0.1" and "0.9" are the ends of the 80% interval.

    Args:
        series_processor: Default: what was saved with the model. A model does not know its revision: for one that is
            not the newest, give `SeriesProcessor.from_pretrained(name, revision=...)`.
    """

    _load_tokenizer = False
    _load_image_processor = False
    _load_feature_extractor = False
    _load_processor = False

    def __init__(self, *args: Any, series_processor: SeriesProcessor | None = None, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.series_processor = series_processor or saved_processor(self.model)

    def _sanitize_parameters(self, **parameters: Any) -> tuple[dict, dict, dict]:
        names = {
            "prediction_length", "recalibrate", "future", "timestamp_column", "timestamp_format", "target_columns",
            "item_id_column", "frequency",
        }  # fmt: skip
        unknown = sorted(set(parameters) - names)
        if unknown:
            raise TypeError(f"unknown argument {unknown[0]!r}; known: {', '.join(sorted(names))}")
        return parameters, {}, {}

    def __call__(self, inputs: Any, **kwargs: Any) -> "pd.DataFrame":  # type: ignore[override]
        """The forecast. A list is one request here, not one for each element: see the class."""
        parameters, _, _ = self._sanitize_parameters(**kwargs)
        return self.run_single(inputs, {**self._preprocess_params, **parameters}, {}, {})

    def read(self, inputs: Any, columns: dict[str, Any]) -> "SeriesSet":
        """Series from anything that a call takes, with the model's channels in their order."""
        import pandas as pd

        from zoo.data.series_files import read_series

        processor = self.series_processor
        if isinstance(inputs, pd.Series):
            dated = isinstance(inputs.index, pd.DatetimeIndex)
            inputs = inputs.to_frame(processor.channels[0]) if dated else inputs.to_numpy()
        if isinstance(inputs, (list, tuple, np.ndarray, torch.Tensor, Mapping)):
            return from_arrays(inputs, processor.channels)
        targets = columns.pop("target_columns", None)
        columns.setdefault("static_columns", processor.static_columns)
        series = read_series(
            inputs,
            target_columns=[targets] if isinstance(targets, str) else targets,
            preferred_targets=processor.channels,
            preferred_format=processor.timestamp_format,
            item_column=columns.pop("item_id_column", None),
            known_columns=processor.known_columns,
            **columns,
        )
        return processor.arrange(series)

    def read_on(
        self, series: "SeriesSet", past: "pd.DataFrame", future: "pd.DataFrame", columns: dict[str, Any]
    ) -> "SeriesSet":
        """The series, read from the frame of the past, with the rows of the future after them."""
        import pandas as pd

        labels = {str(column): column for column in past.columns}
        # Static columns are read from the past.
        columns = columns | {"target_columns": [labels[name] for name in series.channels], "static_columns": ()}
        # With their index: it may hold the time stamps.
        extended = self.read(pd.concat([past, future]), columns)
        statics = ("static_real", "static_categories", "static_levels")
        return replace(extended, **{name: getattr(series, name) for name in statics})

    def _check_recalibrate(self, rows: int, steps: int) -> None:
        if isinstance(rows, bool) or not hasattr(rows, "__index__") or rows < 0:
            raise ValueError(f"recalibrate={rows!r} must be a number of rows, 0 or more")
        calibration = self.series_processor.intervals
        if rows and (calibration is None or not calibration.rate):
            raise ValueError(
                "recalibrate: this model has no intervals that follow; train it with `intervals` and a "
                "`calibration_rate` above 0"
            )
        if 0 < rows < steps:
            logger.warning_once(
                f"recalibrate={rows}: the intervals of the steps after {rows} have no outcomes to follow"
            )

    def preprocess(
        self,
        inputs: Any,
        prediction_length: int | None = None,
        future: "pd.DataFrame | None" = None,
        recalibrate: int = 0,
        **columns: Any,
    ) -> dict[str, Any]:
        """Windows whose horizons begin where the series end, or up to `recalibrate` rows before."""
        import pandas as pd

        from zoo.data.series_windows import WindowDataset

        from .baselines import window_truth
        from .conformal import Outcomes, window_spreads

        steps = self.model.config.prediction_length if prediction_length is None else prediction_length
        if isinstance(steps, bool) or not hasattr(steps, "__index__") or steps < 1:
            raise ValueError(f"prediction_length={steps!r} must be a number of steps, 1 or more")
        self._check_recalibrate(recalibrate, steps)
        if future is not None and not isinstance(inputs, pd.DataFrame):
            raise ValueError("`future` goes with a frame of the past: read the file with pandas first")
        series = self.read(inputs, dict(columns))
        if future is not None:
            missing = [name for name in self.series_processor.known_columns if name not in future.columns]
            if missing:
                raise ValueError(f"`future` has no column {missing[0]!r}, which the model reads")
            extended = self.read_on(series, inputs, future, dict(columns))
            if extended.item_ids != series.item_ids or (extended.lengths - series.lengths != steps).any():
                raise ValueError(f"`future` must have exactly the {steps} steps after the end of each series")
        elif self.series_processor.known_columns:
            raise ValueError(f"the model reads {self.series_processor.known_columns}: give those of the `future`")
        else:
            extended = extend(series, steps)
        trained = self.series_processor.frequency
        if series.dated and trained is not None and series.frequency != trained:
            logger.warning_once(
                f"the model was trained on series of frequency {trained!r}; these have {series.frequency!r}"
            )
        # Not of the extended series: a frame of the future may have targets too.
        scaler = self.series_processor.scaler(series, new_series=True)
        ends = extended.lengths - steps
        # Forecasts from less than a whole context would not represent the next ones.
        before = np.clip(ends - self.model.config.context_length, 0, min(recalibrate, ends.max()))
        windows = WindowDataset(
            self.series_processor.prepare(extended, scaler),
            self.model.config.context_length,
            steps,
            (ends - before, extended.lengths),
            min_context=0,
        )
        dropped = ("item", "future_values", "future_observed_mask")
        numbers = np.arange(len(windows))
        batches = [windows.__getitems__(numbers[first : first + BATCH]) for first in range(0, len(windows), BATCH)]
        return {
            "batches": [{name: part for name, part in batch.items() if name not in dropped} for batch in batches],
            "series": extended,
            "scaler": scaler,
            "steps": steps,
            "spreads": window_spreads(windows, numbers),
            "last": windows.ends - 1,
            "outcomes": Outcomes(window_truth(windows), *windows.locate(numbers)) if recalibrate else None,
            "empty": self._without_values(series),
        }

    def _without_values(self, series: "SeriesSet") -> np.ndarray:
        """(series, channels) whether the model reads no value of it, so that its forecast would be made up."""
        read = self.model.config.context_length
        empty = np.stack([np.isnan(series.item(number)[-read:]).all(axis=0) for number in range(len(series))])
        for number, channel in np.argwhere(empty):
            logger.warning(
                f"series {series.item_ids[number]!r}, {series.channels[channel]!r}: holds no value in its last {read} "
                "rows, so its forecast is NaN"
            )
        return empty

    def _forward(self, model_inputs: dict[str, Any]) -> dict[str, Any]:
        steps, points, quantiles = model_inputs["steps"], [], []
        for batch in model_inputs["batches"]:
            output = self.model(**batch, prediction_length=steps)
            points.append(output["prediction_outputs"])
            if output.get("quantile_outputs") is not None:
                quantiles.append(output["quantile_outputs"])
            elif output.get("params") is not None:  # a distribution whose quantiles have no closed form
                paths = self.model.generate(**batch, prediction_length=steps).sequences
                levels = torch.tensor(self.model.config.quantiles, device=paths.device)
                quantiles.append(torch.quantile(paths.float(), levels, dim=1).movedim(0, -1))
        kept = {name: model_inputs[name] for name in ("series", "scaler", "spreads", "last", "outcomes", "empty")}
        return kept | {"points": torch.cat(points), "quantiles": torch.cat(quantiles) if quantiles else None}

    def calibrate(
        self, forecast: Forecast, spreads: np.ndarray, outcomes: "Outcomes | None", last: np.ndarray
    ) -> Forecast:
        """The forecast of the windows `last`, with the intervals of the saved calibration if there is one."""
        calibration = self.series_processor.intervals
        if calibration is None:
            return forecast.take(last)
        calibrated = len(calibration.intervals[0].margins)
        if forecast.point.shape[1] > calibrated:
            logger.warning_once(
                f"intervals are calibrated for {calibrated} steps; those of later steps have less certain coverage"
            )
        return calibration.apply(forecast, spreads, outcomes, last)

    def postprocess(self, model_outputs: dict[str, Any]) -> "pd.DataFrame":
        """The frame, in the units of the data."""
        import pandas as pd

        scaler, series = model_outputs["scaler"], model_outputs["series"]
        quantiles = model_outputs["quantiles"]
        forecast = self.calibrate(
            Forecast(
                model_outputs["points"].double().numpy(),
                None if quantiles is None else quantiles.double().movedim(-1, 0).numpy(),
                self.model.config.quantiles,
            ),
            model_outputs["spreads"],
            model_outputs["outcomes"],
            # The window of each series that begins at its end; earlier ones serve as outcomes.
            model_outputs["last"],
        )
        items, steps = np.arange(len(series)), forecast.point.shape[1]
        columns = {"predictions": scaler.inverse(forecast.point, items)}
        for level, values in zip(forecast.levels, () if forecast.quantiles is None else forecast.quantiles):
            columns[f"{level:g}"] = scaler.inverse(values, items)
        # A model that reads several channels together still needs values of the channel itself.
        empty = model_outputs["empty"][:, None, :]
        columns = {name: np.where(empty, np.nan, values) for name, values in columns.items()}
        frames = [
            pd.DataFrame(
                {
                    "item_id": series.item_ids[item],
                    "timestamp": series.timestamps(item)[-steps:],
                    "target": channel,
                    **{name: values[item, :, place] for name, values in columns.items()},
                }
            )
            for item in range(len(series))
            for place, channel in enumerate(series.channels)
        ]
        return pd.concat(frames, ignore_index=True)


__all__ = ["TimeSeriesForecastingPipeline", "from_arrays"]
