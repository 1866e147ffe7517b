"""Forecasting: the past of one or many series in, their future with its uncertainty out."""

from typing import Any

import numpy as np
from transformers import AutoModelForTimeSeriesPrediction

from zoo.tasks.base import Report, Task

from . import batches
from .pipeline import TimeSeriesForecastingPipeline
from .processor import SeriesProcessor


def compute_metrics(prediction: Any) -> dict[str, float]:
    """The Trainer's hook: errors in the units that the model reads."""
    from .metrics import mae, mse, smape

    predictions, truth = prediction.predictions, prediction.label_ids
    point = predictions[0] if isinstance(predictions, tuple) else predictions
    return {"mae": mae(point, truth), "mse": mse(point, truth), "smape": smape(point, truth)}


def warm_start(model: Any, train: batches.ForecastDataset, data: Any, trained: bool) -> list[str]:
    """Fit the linear map beside the net in closed form, if the recipe asks for it; see `linear.py`."""
    from .linear import warm_start

    return warm_start(model, train, data, trained)


def score(predictions: Any, truth: np.ndarray, config: Any, dataset: batches.ForecastDataset) -> dict[str, Any]:
    """Every metric of the record; see `report.py` for their units."""
    from .report import score

    return score(predictions, config, dataset)


def calibrate(predictions: Any, truth: np.ndarray, config: Any, dataset: batches.ForecastDataset, data: Any) -> None:
    """Fit the processor's intervals to the validation windows; see `conformal.py`."""
    from .conformal import Calibration, recency
    from .report import unpack

    point, quantiles, levels = unpack(predictions, config)
    weights = recency(dataset.ages(), data.calibration_half_life)
    floor = 0.0 if config.head == "negative_binomial" or config.log_values else None
    measured = (dataset.truth(), dataset.spreads)
    found = Calibration.fit(point, quantiles, levels, *measured, data.intervals, weights, floor, data.calibration_rate)
    dataset.processor.calibration = found.to_dict() if data.intervals and found.intervals else None


def baselines(train: batches.ForecastDataset, dataset: batches.ForecastDataset) -> dict[str, dict[str, Any]]:
    """Seasonal naive, naive, drift and Naive2 on the same windows."""
    from .report import BASELINES, score_baseline

    return {method: score_baseline(method, dataset) for method in BASELINES}


def report(predictions: Any, truth: np.ndarray, *arguments: Any) -> Report:
    """Tables by horizon step and series, fans, error by step and coverage; see `report.py`."""
    from .report import report

    return report(predictions, *arguments)


TASK = Task(
    name="forecasting",
    auto_class=AutoModelForTimeSeriesPrediction,
    data_arguments=batches.ForecastingArguments,
    load_data=batches.load_data,
    build_processor=batches.build_processor,
    auto_processor=SeriesProcessor,
    build_collator=batches.build_collator,
    evaluation_views=batches.evaluation_views,
    # Not max_eval_samples: validation windows choose the checkpoint.
    evaluation_fields=("max_predict_samples",),
    warm_start=warm_start,
    compute_metrics=compute_metrics,
    best_metric="mae",
    greater_is_better=False,
    calibrate=calibrate,
    score=score,
    baselines=baselines,
    report=report,
    pipelines={"time-series-forecasting": TimeSeriesForecastingPipeline},
    label_names=("future_values",),
    # Much of a series' noise nobody can forecast, and the future differs from the past.
    skill=0.1,
    gap=0.2,
    hub_tag="time-series-forecasting",
)

__all__ = ["TASK"]
