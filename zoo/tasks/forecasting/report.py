"""Report of a forecaster: errors by horizon step and by series, coverage of the intervals, and plots."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo.tasks.base import Report

from . import plots
from .dataset import ForecastDataset
from .evaluation import BASELINES, baseline_metrics, calibrated, follows, record_metrics
from .forecast import Forecast
from .metrics import coverage, forecasting_metrics, msis, width

SHOWN = ("mse", "mae", "smape", "mase", "owa", "crps")


def by_step(point: np.ndarray, truth: np.ndarray) -> dict[str, list[float]]:
    """Mean absolute and mean squared error of each step of the horizon."""
    error = point.astype(np.float64) - truth
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a step without truth
        return {
            "mae": np.nanmean(np.abs(error), axis=(0, 2)).tolist(),
            "mse": np.nanmean(error**2, axis=(0, 2)).tolist(),
        }


def by_series(point: np.ndarray, dataset: ForecastDataset) -> list[dict[str, Any]]:
    """Errors of each series and channel, the worst (by MASE, else by MAE) first."""
    truth, (scale, _) = dataset.truth(), dataset.scales()
    items, _ = dataset.windows.locate(dataset.numbers)
    rows = []
    for item in np.unique(items):
        of_item = items == item
        for channel, name in enumerate(dataset.processor.channels):
            part = (of_item, slice(None), slice(channel, channel + 1))
            if np.isnan(truth[part]).all():
                continue
            metrics = forecasting_metrics(point[part], truth[part], scale=scale[of_item][..., channel : channel + 1])
            finite = {key: metrics[key] for key in ("n", "mse", "mae", "mase") if np.isfinite(metrics[key])}
            rows.append({"series": dataset.windows.series.item_ids[item], "channel": name, **finite})
    return sorted(rows, key=lambda row: -row.get("mase", row["mae"]))


def calibration(forecast: Forecast, truth: np.ndarray) -> list[dict[str, float]]:
    """Share of the truth at or below each quantile."""
    observed = ~np.isnan(truth)
    pairs = zip(forecast.levels, () if forecast.quantiles is None else forecast.quantiles)
    return [{"level": float(level), "share": float((truth <= values)[observed].mean())} for level, values in pairs]


def describe_intervals(
    forecast: Forecast, dataset: ForecastDataset, others: Mapping[str, Forecast]
) -> list[dict[str, Any]]:
    """Coverage, mean width (in the model's units) and MSIS of each interval.

    Args:
        forecast: With the quantiles that are used.
        dataset: The windows.
        others: Forecasts to compare with, by the suffix of their metrics: `_fixed` with the margins of the validation
            split alone, `_before` without calibration.
    """
    truth, (scale, _) = dataset.truth(), dataset.scales()
    other_intervals = {suffix: other.intervals() for suffix, other in others.items()}
    rows = []
    for level, ends in sorted(forecast.intervals().items()):
        row: dict[str, Any] = {"level": level}
        for suffix, interval in (("", ends), *((suffix, own.get(level)) for suffix, own in other_intervals.items())):
            if interval is None:
                continue
            metrics = {
                "coverage": coverage(*interval, truth),
                "width": width(*interval, truth),
                "msis": msis(*interval, truth, scale, level),
            }
            row |= {f"{name}{suffix}": value for name, value in metrics.items() if np.isfinite(value)}
        inside = np.where(np.isnan(truth), np.nan, (ends[0] <= truth) & (truth <= ends[1]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a step or channel without truth
            row["coverage_by_step"] = np.nanmean(inside, axis=(0, 2)).tolist()
            row["coverage_by_channel"] = np.nanmean(inside, axis=(0, 1)).tolist()
        rows.append(row)
    return rows


def report(uncalibrated: Forecast, dataset: ForecastDataset, folder: Path) -> Report:
    """Tables and plots of one evaluation.

    Args:
        uncalibrated: The model's forecast.
        dataset: The windows in the same order.
        folder: Where the plots go; it must exist.
    """
    forecast, truth = calibrated(uncalibrated, dataset), dataset.truth()
    steps = {"model": by_step(forecast.point, truth)}
    steps |= {name: by_step(dataset.baseline(name), truth) for name in BASELINES}
    tables: dict[str, Any] = {"steps": steps, "series": by_series(forecast.point, dataset)}
    names = ["forecasts", "error_by_step"]
    if forecast.quantiles is not None:
        tables["calibration"] = calibration(forecast, truth)
        if dataset.processor.calibration and uncalibrated.quantiles is not None:
            tables["calibration_before"] = calibration(uncalibrated, truth)
        others = {"_before": uncalibrated}
        if follows(dataset):
            others["_fixed"] = calibrated(uncalibrated, dataset, follow=False)
        tables["intervals"] = describe_intervals(forecast, dataset, others)
        names += ["calibration"] + (["coverage_by_step"] if tables["intervals"] else [])
    paths = {name: folder / f"{name}.png" for name in names}
    plots.fans(forecast, dataset, paths["forecasts"])
    plots.steps(steps, paths["error_by_step"])
    if "calibration" in paths:
        plots.calibration(tables["calibration"], tables.get("calibration_before"), paths["calibration"])
    if "coverage_by_step" in paths:
        plots.coverage_by_step(tables["intervals"], paths["coverage_by_step"])
    metrics = record_metrics(uncalibrated, dataset)
    rows = {"model": metrics, **{name: baseline_metrics(name, dataset) for name in BASELINES}}
    windows, horizon, channels = forecast.point.shape
    lines = [
        f"{windows:,} windows of {horizon} steps and {channels} channel{'s' * (channels != 1)}",
        *_table(rows, [name for name in SHOWN if name in metrics]),
        *(
            f"95% interval of {name}: {metrics[f'{name}_low']:.4f} to {metrics[f'{name}_high']:.4f}, by "
            f"{metrics['blocks']:,} blocks of windows"
            for name in ("mse", "smape", "owa")
            if f"{name}_low" in metrics
        ),
        *_interval_table(tables.get("intervals", ())),
    ]
    return Report(text="\n".join(lines), tables=tables, plots=paths)


def _table(rows: Mapping[str, Mapping[str, float]], names: Sequence[str]) -> list[str]:
    lines = [f"{'':16}" + "".join(f"{name:>10}" for name in names)]
    for label, row in rows.items():
        cells = (f"{row[name]:.4f}" if name in row else "-" for name in names)
        lines.append(f"{label:16}" + "".join(f"{cell:>10}" for cell in cells))
    return lines


def _interval_table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Coverage and mean width of each interval; see the docs for what `fixed` and `before` mean."""
    if not rows:
        return []
    kinds = {"": "covers", "_fixed": "fixed", "_before": "before"}
    kinds = {suffix: label for suffix, label in kinds.items() if any(f"width{suffix}" in row for row in rows)}
    lines = [f"{'intervals':16}" + "".join(f"{label:>10}{'width':>10}" for label in kinds.values())]
    for row in rows:
        line = f"{100 * row['level']:g}%".ljust(16)
        for suffix in kinds:
            values = row.get(f"coverage{suffix}"), row.get(f"width{suffix}")
            line += "".join(f"{'-' if v is None else format(v, s):>10}" for v, s in zip(values, (".1%", ".4g")))
        lines.append(line)
    notes = {"_fixed": "fixed: if they did not follow the outcomes", "_before": "before: without calibration"}
    shown = [note for suffix, note in notes.items() if suffix in kinds]
    return [*lines, f"({'; '.join(shown)})"] if shown else lines


__all__ = ["by_series", "by_step", "calibration", "describe_intervals", "report"]
