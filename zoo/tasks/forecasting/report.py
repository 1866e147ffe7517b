"""What a person reads of a forecaster: errors by horizon step and by series, fans, and how true its quantiles are.

MSE, MAE, RMSE, CRPS and widths are in the units that the model reads (z-scores with `standardize`, as the long-term
benchmarks report them); MAPE, sMAPE, the weighted quantile loss and OWA are relative and always of the data's units;
MASE, RMSSE and MSIS have none.
"""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo.tasks.base import Report

from .batches import ForecastDataset
from .bootstrap import block_intervals, blocks, window_terms
from .metrics import (
    coverage,
    forecasting_metrics,
    intervals,
    mape,
    mase,
    msis,
    owa,
    smape,
    weighted_quantile_loss,
    width,
)

# In every report, the one that the fit diagnosis compares with first.
BASELINES = ("seasonal_naive", "naive", "drift", "naive2")


def unpack(predictions: Any, config: Any) -> tuple[np.ndarray, np.ndarray | None, list[float]]:
    """(windows, horizon, channels) points, (levels, windows, horizon, channels) quantiles or None, their levels."""
    if not isinstance(predictions, (tuple, list)):
        return np.asarray(predictions), None, []
    return np.asarray(predictions[0]), np.moveaxis(np.asarray(predictions[1]), -1, 0), list(config.quantiles)


def calibrated(
    predictions: Any, config: Any, dataset: ForecastDataset, follow: bool = True
) -> tuple[np.ndarray, np.ndarray | None, list[float]]:
    """`unpack`, with the quantiles that the processor's calibration makes of the model's, or of its points.

    Args:
        predictions: The Trainer's: point forecasts, or (points, quantiles).
        config: Holds the levels of the quantiles.
        dataset: The windows in the same order.
        follow: Whether intervals of the test split follow the outcomes of its earlier windows.
    """
    point, quantiles, levels = unpack(predictions, config)
    intervals = dataset.processor.intervals
    if intervals is not None:
        outcomes = dataset.outcomes() if follow and dataset.followed and intervals.rate else None
        quantiles, levels = intervals.apply(point, quantiles, levels, dataset.spreads, outcomes)
    return point, quantiles, levels


def fixed(predictions: Any, config: Any, dataset: ForecastDataset) -> tuple[np.ndarray | None, list[float]] | None:
    """Quantiles and levels of intervals that do not follow outcomes; None where there is nothing to follow anyway."""
    intervals = dataset.processor.intervals
    if intervals is None or not intervals.rate or not dataset.followed:
        return None
    return calibrated(predictions, config, dataset, follow=False)[1:]


def score_forecasts(
    point: np.ndarray, dataset: ForecastDataset, quantiles: np.ndarray | None = None, levels: Sequence[float] = ()
) -> dict[str, float]:
    """All metrics of forecasts in the model's units; those that are no number (a scale of 0) are left out."""
    truth, (scale, squared_scale) = dataset.truth(), dataset.scales()
    found = forecasting_metrics(
        point, truth, scale=scale, squared_scale=squared_scale, quantiles=quantiles, quantile_levels=levels
    )
    raw_point, raw_truth = dataset.in_data_units(point), dataset.in_data_units(truth)
    found |= {"mape": mape(raw_point, raw_truth), "smape": smape(raw_point, raw_truth)}
    if quantiles is not None:
        found["wql"] = weighted_quantile_loss(dataset.in_data_units(quantiles), raw_truth, levels)
    found["owa"] = owa(found["smape"], found["mase"], naive2_errors(dataset))
    return {name: value for name, value in found.items() if np.isfinite(value)}


def naive2_errors(dataset: ForecastDataset) -> dict[str, float]:
    """What OWA compares with."""
    if "naive2" not in dataset.errors:
        forecast, truth = dataset.baseline("naive2"), dataset.truth()
        dataset.errors["naive2"] = {
            "smape": smape(dataset.in_data_units(forecast), dataset.in_data_units(truth)),
            "mase": mase(forecast, truth, dataset.scales()[0]),
        }
    return dataset.errors["naive2"]


def score_baseline(method: str, dataset: ForecastDataset) -> dict[str, float]:
    """All metrics of a baseline; report and record both ask for them."""
    if method not in dataset.scores:
        dataset.scores[method] = score_forecasts(dataset.baseline(method), dataset)
    return dataset.scores[method]


def score(predictions: Any, config: Any, dataset: ForecastDataset) -> dict[str, float]:
    """All metrics of a model's predictions, calibrated if its processor is, with intervals of the main ones."""
    return _score(*calibrated(predictions, config, dataset), fixed(predictions, config, dataset), dataset)


def _score(
    point: np.ndarray,
    quantiles: np.ndarray | None,
    levels: Sequence[float],
    unmoved: tuple[np.ndarray | None, list[float]] | None,
    dataset: ForecastDataset,
) -> dict[str, float]:
    """Where intervals follow outcomes, `crps_fixed` and `wql_fixed` are of those that do not."""
    found = score_forecasts(point, dataset, quantiles, levels)
    if unmoved is not None:
        others = score_forecasts(point, dataset, *unmoved)
        found |= {f"{name}_fixed": others[name] for name in ("crps", "wql") if name in others}
    return found | score_intervals(point, dataset)


def score_intervals(point: np.ndarray, dataset: ForecastDataset) -> dict[str, float]:
    """The 95% intervals of MSE, MAE, sMAPE, MASE and OWA; see `bootstrap.py`."""
    truth, (scale, _) = dataset.truth(), dataset.scales()
    model, naive2 = (
        window_terms(forecast, truth, dataset.in_data_units(forecast), dataset.in_data_units(truth), scale)
        for forecast in (point, dataset.baseline("naive2"))
    )
    return block_intervals(model, naive2, blocks(*dataset.windows.locate(dataset.numbers), point.shape[1]))


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
            found = forecasting_metrics(point[part], truth[part], scale=scale[of_item][..., channel : channel + 1])
            kept = {key: found[key] for key in ("n", "mse", "mae", "mase") if np.isfinite(found[key])}
            rows.append({"series": dataset.windows.series.item_ids[item], "channel": name, **kept})
    return sorted(rows, key=lambda row: -row.get("mase", row["mae"]))


def calibration(quantiles: np.ndarray, truth: np.ndarray, levels: Sequence[float]) -> list[dict[str, float]]:
    """Share of the truth at or below each quantile."""
    observed = ~np.isnan(truth)
    return [
        {"level": float(level), "share": float((truth <= quantile)[observed].mean())}
        for level, quantile in zip(levels, quantiles)
    ]


def describe_intervals(
    dataset: ForecastDataset,
    quantiles: np.ndarray,
    levels: Sequence[float],
    others: Mapping[str, tuple[np.ndarray | None, Sequence[float]]],
) -> list[dict[str, Any]]:
    """Coverage, mean width (units of the model) and MSIS of each interval.

    Args:
        dataset: The windows.
        quantiles: (levels, windows, horizon, channels) as they are used.
        levels: Of them.
        others: Quantiles and levels to compare with, by the suffix of their names: `_fixed` with the margins of the
            validation split alone, `_before` without calibration.
    """
    truth, (scale, _) = dataset.truth(), dataset.scales()
    compared = {suffix: {} if values is None else intervals(values, of) for suffix, (values, of) in others.items()}
    rows = []
    for level, ends in sorted(intervals(quantiles, levels).items()):
        row: dict[str, Any] = {"level": level}
        for suffix, found in (("", ends), *((suffix, own.get(level)) for suffix, own in compared.items())):
            if found is not None:
                measured = {
                    "coverage": coverage(*found, truth),
                    "width": width(*found, truth),
                    "msis": msis(*found, truth, scale, level),
                }
                row |= {f"{name}{suffix}": value for name, value in measured.items() if np.isfinite(value)}
        inside = np.where(np.isnan(truth), np.nan, (ends[0] <= truth) & (truth <= ends[1]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a step or channel without truth
            row["coverage_by_step"] = np.nanmean(inside, axis=(0, 2)).tolist()
            row["coverage_by_channel"] = np.nanmean(inside, axis=(0, 1)).tolist()
        rows.append(row)
    return rows


def report(predictions: Any, config: Any, dataset: ForecastDataset, folder: Path) -> Report:
    """Tables and pictures of one evaluation.

    Args:
        predictions: The Trainer's: point forecasts, or (points, quantiles).
        config: Holds the levels of the quantiles.
        dataset: The windows in the same order.
        folder: Where the pictures go; it must exist.
    """
    from . import pictures as draw

    before = unpack(predictions, config)[1:]
    point, quantiles, levels = calibrated(predictions, config, dataset)
    unmoved = fixed(predictions, config, dataset)
    truth = dataset.truth()
    steps = {"model": by_step(point, truth), **{name: by_step(dataset.baseline(name), truth) for name in BASELINES}}
    tables: dict[str, Any] = {"steps": steps, "series": by_series(point, dataset)}
    names = ["forecasts", "error_by_step"]
    if quantiles is not None:
        tables["calibration"] = calibration(quantiles, truth, levels)
        if dataset.processor.calibration and before[0] is not None:
            tables["calibration_before"] = calibration(before[0], truth, before[1])
        others: dict[str, Any] = {"_before": before}
        if unmoved is not None:
            others["_fixed"] = unmoved
        tables["intervals"] = describe_intervals(dataset, quantiles, levels, others)
        names += ["calibration"] + (["coverage_by_step"] if tables["intervals"] else [])
    pictures = {name: folder / f"{name}.png" for name in names}
    draw.fans(point, quantiles, levels, dataset, pictures["forecasts"])
    draw.steps(steps, pictures["error_by_step"])
    if "calibration" in pictures:
        draw.calibration(tables["calibration"], tables.get("calibration_before"), pictures["calibration"])
    if "coverage_by_step" in pictures:
        draw.coverage_by_step(tables["intervals"], pictures["coverage_by_step"])

    metrics = _score(point, quantiles, levels, unmoved, dataset)
    rows = {"model": metrics, **{name: score_baseline(name, dataset) for name in BASELINES}}
    shown = [name for name in ("mse", "mae", "smape", "mase", "owa", "crps") if name in metrics]
    lines = [f"{len(point):,} windows of {point.shape[1]} steps and {point.shape[2]} channels"]
    lines += [f"{'':16}" + "".join(f"{name:>10}" for name in shown)]
    for label, row in rows.items():
        cells = (f"{row[name]:.4f}" if name in row else "-" for name in shown)
        lines.append(f"{label:16}" + "".join(f"{cell:>10}" for cell in cells))
    lines += [
        f"95% interval of {name}: {metrics[f'{name}_low']:.4f} to {metrics[f'{name}_high']:.4f}, by "
        f"{metrics['blocks']:,} blocks of windows"
        for name in ("mse", "smape", "owa")
        if f"{name}_low" in metrics
    ]
    lines += [line_of_interval(row) for row in tables.get("intervals", ())]
    return Report(text="\n".join(lines), tables=tables, pictures=pictures)


def line_of_interval(row: Mapping[str, Any]) -> str:
    """What a person wants to know of an interval."""
    text = f"intervals of {100 * row['level']:g}% cover {row['coverage']:.1%}, mean width {row['width']:.4g}"
    for suffix, label in (("fixed", "if they did not follow"), ("before", "before calibration")):
        if f"coverage_{suffix}" in row:
            text += f"; {label} {row[f'coverage_{suffix}']:.1%}, {row[f'width_{suffix}']:.4g}"
    return text


__all__ = ["by_series", "by_step", "calibrated", "calibration", "report", "score", "score_baseline", "unpack"]
