"""Forecasting: the past of one or many series in, their future with its uncertainty out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset
from transformers import AutoModelForTimeSeriesPrediction, PreTrainedConfig, PreTrainedModel

from zoo.tasks.base import Parent, Report, Task, TaskData

from .arguments import ForecastingArguments
from .conformal import Calibration, recency
from .dataset import ForecastDataset
from .forecast import Forecast
from .metrics import mae, mse, smape
from .pipeline import TimeSeriesForecastingPipeline
from .processor import SeriesProcessor

if TYPE_CHECKING:
    from zoo.training.trainer import Prediction

    from .loading import Splits

# Windows of single series for ridge regression: neighbours overlap, so more would cost time and add little.
RIDGE_SERIES = 200_000
RIDGE_BATCH = 256


class ForecastingTask(Task):
    """Forecasting: the MAE in the model's units chooses the checkpoint."""

    name = "forecasting"
    auto_class = AutoModelForTimeSeriesPrediction
    auto_processor = SeriesProcessor
    arguments_class = ForecastingArguments
    metric = "mae"
    greater_is_better = False
    label_names = ("future_values",)
    pipelines = {"time-series-forecasting": TimeSeriesForecastingPipeline}
    pipeline_tag = "time-series-forecasting"
    config_fields = ("context_length", "prediction_length")
    teacher_fields = (
        "context_length", "prediction_length", "input_size", "head", "quantiles", "log_values", "num_time_features",
        "num_dynamic_real_features", "num_static_real_features", "cardinality",
    )  # fmt: skip
    teacher_processor_fields = ("mean", "std")
    # Much of a series' noise cannot be forecast, and the future differs from the past.
    skill = 0.1
    gap = 0.2

    arguments: ForecastingArguments
    # `refit_on_validation`: the model whose linear map is fitted again after training, and its training windows.
    refit: tuple[PreTrainedModel, ForecastDataset] | None = None
    # The validation windows and their metrics before the second fit, which sees these windows.
    held_out: tuple[ForecastDataset, dict[str, float]] | None = None

    def load_data(self, config: PreTrainedConfig, processor: SeriesProcessor | None = None) -> TaskData:
        """The windows of each split. Every statistic is of training rows, or the saved processor's.

        The contexts of a split that has a file of its own come from that file; otherwise they look back over the
        split's first row, as those of the benchmarks do.

        Raises:
            FileNotFoundError: No source has the data.
            ValueError: The data is damaged, too short, or does not fit the saved processor.
        """
        from zoo.data.series_time import calendar_names
        from zoo.data.series_windows import WindowDataset

        from .lengths import describe_lengths
        from .loading import fit_processor, read

        arguments = self.arguments
        splits, notes = read(arguments, config)
        lengths: dict[str, int] = {}
        series, rows = next(iter(splits.values()))
        if processor is None:
            if "train" not in splits or rows is None:
                raise ValueError("--validation_file and --test_file need --train_file")
            if "validation" not in splits:
                raise ValueError(
                    "there are no validation rows to choose the checkpoint by and to calibrate on: give "
                    "validation_size or validation_file"
                )
            processor = fit_processor(arguments, series, rows[1], notes["season"])
            lengths = self._choose_lengths(config, splits, notes["season"])
        prepared = {id(part): processor.prepare(part) for part, _ in splits.values()}
        limits = {
            "train": arguments.max_train_samples,
            "validation": arguments.max_eval_samples,
            "test": arguments.max_predict_samples,
        }
        datasets: dict[str, ForecastDataset] = {}
        for split, (part, bounds) in splits.items():
            try:
                windows = WindowDataset(
                    prepared[id(part)],
                    lengths.get("context_length", config.context_length),
                    lengths.get("prediction_length", config.prediction_length),
                    bounds,
                    stride=arguments.stride if split == "train" else 1,
                    min_context=arguments.min_context,
                    skip_short=arguments.skip_short,
                )
            except ValueError as error:
                raise ValueError(f"{part.source}, {split} split: {error}") from None
            dataset = ForecastDataset(
                windows, processor, training=split == "train", times=part, follow=split == "test"
            )
            datasets[split] = dataset.take(limits[split])
            if windows.skipped:
                notes.setdefault("skipped_series", {})[split] = len(windows.skipped)
        calendar = calendar_names(series.frequency) if processor.time_features else ()
        return TaskData(
            train=datasets.get("train"),
            validation=datasets.get("validation"),
            test=datasets.get("test"),
            model_fields={
                "input_size": len(series.channels),
                "num_time_features": len(calendar),
                "num_dynamic_real_features": len(series.known_names),
                "num_static_real_features": 0 if series.static_real is None else series.static_real.shape[1],
                "cardinality": processor.cardinality,
            },
            fingerprint={split: part.fingerprint(bounds) for split, (part, bounds) in splits.items()},
            source=series.source,
            notes={
                **notes,
                "channels": list(series.channels),
                "standardized": arguments.standardize or arguments.standardize_per_series,
            },
            processor=processor,
            warnings=[describe_lengths(lengths, series.frequency)] if lengths else [],
            default_fields=lengths,
        )

    def _choose_lengths(self, config: PreTrainedConfig, splits: "Splits", season: int) -> dict[str, int]:
        """The lengths that the recipe does not name."""
        if self.fixed_fields is None:
            return {}
        from .lengths import LENGTHS, choose_lengths

        rows = {
            split: int((part.lengths if bounds is None else bounds[1] - bounds[0]).min())
            for split, (part, bounds) in splits.items()
        }
        given = {name: getattr(config, name) for name in LENGTHS if name in self.fixed_fields}
        return choose_lengths(season, rows.pop("train"), min(rows.values()), given)

    def collate(self, rows: dict[str, Tensor] | list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """The model's arguments; a missing value of the future is NaN.

        Args:
            rows: A batch of `ForecastDataset.__getitems__`, or a list of its rows.
        """
        if isinstance(rows, list):
            rows = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
        dropped = ("item", "future_values", "future_observed_mask")
        future = rows["future_values"].masked_fill(~rows["future_observed_mask"], float("nan"))
        return {name: tensor for name, tensor in rows.items() if name not in dropped} | {"future_values": future}

    def views(self, dataset: Dataset) -> list[Dataset]:
        """The windows that are evaluated: of training windows a sample."""
        assert isinstance(dataset, ForecastDataset)
        return [dataset.evaluated]

    def before_training(self, model: PreTrainedModel, data: TaskData, parent: Parent | None) -> list[str]:
        """Fit the linear map beside a new net by ridge regression of `skip_ridge`, if the recipe asks for it.

        Raises:
            ValueError: The model has no linear map, the penalty does not fit the units of its values, or no training
                window has a whole future.
        """
        arguments, ridge, config = self.arguments, self.arguments.skip_ridge, model.config
        if not ridge:
            return []
        if not config.linear_skip:
            raise ValueError(
                f"skip_ridge={ridge} fits the linear map of a model with linear_skip=True; this one has none"
            )
        if parent is not None:
            return [f"skip_ridge={ridge} is for new models: the linear map of trained weights is trained further."]
        standardized = arguments.standardize or arguments.standardize_per_series
        if not standardized and not (config.scale_loss and config.scaling not in ("none", "last")):
            raise ValueError(
                f"skip_ridge={ridge} is a penalty for values of deviation 1: use standardize=true, or, where values "
                "cannot be standardized (log_values), scale_loss=true with scaling std or last_std"
            )
        assert isinstance(data.train, ForecastDataset)
        rows = self._fit_linear_skip(model, data.train)
        model.head.zero_output()  # training starts at the map's forecasts
        if arguments.refit_on_validation:
            self.refit = model, data.train
        return [f"The linear map was fitted to {rows:,} windows of single series by ridge regression and stays fixed."]

    def _fit_linear_skip(self, model: PreTrainedModel, windows: ForecastDataset | ConcatDataset) -> int:
        """Fit the map to at most 200,000 windows of single series, evenly spaced; how many they are."""
        count = min(len(windows), max(1, RIDGE_SERIES // model.config.input_size))
        chosen = np.linspace(0, len(windows) - 1, count).round().astype(int).tolist()
        batches = DataLoader(Subset(windows, chosen), batch_size=RIDGE_BATCH, collate_fn=self.collate)
        return model.fit_linear_skip(batches, self.arguments.skip_ridge)

    def check_teacher(self, config: PreTrainedConfig, processor: SeriesProcessor) -> None:
        """As for every task; and the model's forecast must be one that can be compared in training."""
        if self.config.head not in ("point", "quantile") or self.config.decoding == "recursive":
            raise ValueError(
                f"cannot teach a model with head={self.config.head} and decoding={self.config.decoding}: in training, "
                "distributions return no quantiles, and recursive decoding reads the true future"
            )
        super().check_teacher(config, processor)

    def distillation_loss(
        self, student: Any, teachers: Sequence[Any], inputs: Mapping[str, Tensor], temperature: float
    ) -> Tensor:
        """The mean absolute distance of the point forecast, or the quantiles, from the teachers' mean.

        With `log_values` it compares logarithms, with `scale_loss` in units of the window's scale, as the model's loss
        does. The temperature has no effect.
        """
        quantiles = self.config.head == "quantile"
        name = "quantile_outputs" if quantiles else "prediction_outputs"
        forecasts = [outputs[name] for outputs in (student, *teachers)]
        # Detached, as in the model's loss: a learned scale must not make the loss small by making the unit large.
        unit = student.scale.detach() if self.config.scale_loss else torch.ones_like(student.scale)
        unit = unit.unsqueeze(-1) if quantiles else unit
        if self.config.log_values:
            forecasts = [forecast.log() for forecast in forecasts]
        mine, *taught = forecasts
        return ((mine - torch.stack(taught).mean(0)) / unit).abs().mean()

    def output_distance(self, first: Any, second: Any, inputs: Mapping[str, Tensor]) -> Tensor:
        """The mean absolute distance of the points or quantiles.

        Raises:
            ValueError: The model learns a distribution, whose spread would not be compared.
        """
        if self.config.head not in ("point", "quantile"):
            raise ValueError(f"r_drop_alpha: head={self.config.head} has neither points nor quantiles in training")
        return self.distillation_loss(first, [second], inputs, 1.0)

    def after_training(self, prediction: "Prediction") -> None:
        """Fit the processor's conformal intervals to the validation windows; `refit_on_validation` comes after it."""
        arguments, dataset = self.arguments, prediction.dataset
        assert isinstance(dataset, ForecastDataset)
        calibration = Calibration.fit(
            Forecast.from_predictions(prediction.predictions, self.config.quantiles),
            dataset.truth(),
            dataset.spreads,
            arguments.intervals,
            weights=recency(dataset.ages(), arguments.calibration_half_life),
            floor=0.0 if self.config.head == "negative_binomial" or self.config.log_values else None,
            rate=arguments.calibration_rate,
        )
        is_used = arguments.intervals and calibration.intervals
        dataset.processor.calibration = calibration.to_dict() if is_used else None
        if self.refit is not None:
            model, train = self.refit
            self.held_out = dataset, self.evaluate(prediction)
            self._fit_linear_skip(model, ConcatDataset([train, dataset]))

    def evaluate(self, prediction: "Prediction", intervals: bool = False) -> dict[str, float]:
        """MAE, MSE and sMAPE in the model's units; with `intervals` every metric of the record.

        The record's sMAPE is in the data's units: with z-scores choose the checkpoint by MAE or MSE.

        After `refit_on_validation` the record has those of the validation split before it too, as `mae_held_out`...
        """
        if intervals:
            from .evaluation import record_metrics

            metrics = record_metrics(*self._forecast(prediction))
            if self.held_out is not None:
                validation, metrics_before = self.held_out
                if prediction.dataset is validation:
                    metrics |= {f"{name}_held_out": value for name, value in metrics_before.items()}
            return metrics
        point, truth = Forecast.from_predictions(prediction.predictions, ()).point, prediction.label_ids
        return {"mae": mae(point, truth), "mse": mse(point, truth), "smape": smape(point, truth)}

    def baselines(self, train: Dataset, dataset: Dataset) -> dict[str, dict[str, float]]:
        """Seasonal naive, naive, drift and Naive2 on the same windows."""
        from .evaluation import BASELINES, baseline_metrics

        assert isinstance(dataset, ForecastDataset)
        return {method: baseline_metrics(method, dataset) for method in BASELINES}

    def report(self, prediction: "Prediction", model: PreTrainedModel, folder: Path) -> Report:
        """Errors by horizon step and series, intervals and plots; see `report.py`."""
        from .report import report

        return report(*self._forecast(prediction), folder)

    def _forecast(self, prediction: "Prediction") -> tuple[Forecast, ForecastDataset]:
        assert isinstance(prediction.dataset, ForecastDataset)
        return Forecast.from_predictions(prediction.predictions, self.config.quantiles), prediction.dataset


TASK = ForecastingTask

__all__ = ["TASK", "ForecastingTask"]
