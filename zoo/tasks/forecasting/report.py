"""What a person reads of a forecaster: errors by horizon step and by series, fans, and how true its quantiles are.

MSE, MAE, RMSE, CRPS and widths are in the units that the model reads (z-scores with `standardize`, as the long-term
benchmarks report them); MAPE, sMAPE, the weighted quantile loss and OWA are relative and always of the data's units;
MASE, RMSSE and MSIS have none.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo.task import Report

from .batches import ForecastDataset
from .metrics import forecasting_metrics, owa

RELATIVE = ("mape", "smape", "wql")


def unpack(predictions: Any, config: Any) -> tuple[np.ndarray, np.ndarray | None, list[float]]:
    """(windows, horizon, channels) points, (levels, windows, horizon, channels) quantiles or None, their levels."""
    if not isinstance(predictions, (tuple, list)):
        return np.asarray(predictions), None, []
    return np.asarray(predictions[0]), np.moveaxis(np.asarray(predictions[1]), -1, 0), list(config.quantiles)


def score_forecasts(
    point: np.ndarray, dataset: ForecastDataset, quantiles: np.ndarray | None = None, levels: Sequence[float] = ()
) -> dict[str, float]:
    """All metrics of forecasts in the model's units; those that are no number (a scale of 0) are left out."""
    truth, (scale, squared_scale) = dataset.truth(), dataset.scales()
    found = forecasting_metrics(
        point, truth, scale=scale, squared_scale=squared_scale, quantiles=quantiles, quantile_levels=levels
    )
    in_units = forecasting_metrics(
        dataset.in_data_units(point),
        dataset.in_data_units(truth),
        quantiles=None if quantiles is None else dataset.in_data_units(quantiles),
        quantile_levels=levels,
    )
    found |= {name: in_units[name] for name in RELATIVE if name in in_units}
    naive2 = dataset.baseline("naive2")
    reference = {
        "smape": forecasting_metrics(dataset.in_data_units(naive2), dataset.in_data_units(truth))["smape"],
        "mase": forecasting_metrics(naive2, truth, scale=scale)["mase"],
    }
    found["owa"] = owa(found["smape"], found["mase"], reference)
    return {name: value for name, value in found.items() if np.isfinite(value)}


def score(predictions: Any, config: Any, dataset: ForecastDataset) -> dict[str, float]:
    """All metrics of a model's predictions."""
    point, quantiles, levels = unpack(predictions, config)
    return score_forecasts(point, dataset, quantiles, levels)


def by_step(point: np.ndarray, truth: np.ndarray) -> dict[str, list[float]]:
    """Mean absolute and mean squared error of each step of the horizon."""
    error = point.astype(np.float64) - truth
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


def draw_fans(
    point: np.ndarray, quantiles: np.ndarray | None, levels: Sequence[float], dataset: ForecastDataset, path: Path
) -> None:
    """History, truth and forecast of six windows spread over the split, in the units of the data."""
    import matplotlib.pyplot as plt

    truth = dataset.in_data_units(dataset.truth())
    shown = np.unique(np.linspace(0, len(point) - 1, 6).astype(int))
    figure, grid = plt.subplots(-(-len(shown) // 2), 2, figsize=(11, 8), layout="constrained", squeeze=False)
    for axes in grid.flat[len(shown) :]:
        axes.axis("off")
    horizon = point.shape[1]
    items, origins = dataset.windows.locate(dataset.numbers[shown])
    for place, (axes, row, item, origin) in enumerate(zip(grid.flat, shown, items, origins)):
        channel = place % point.shape[2]
        history = dataset.in_data_units(dataset.windows.history(int(dataset.numbers[row])))[-3 * horizon :, channel]
        future = np.arange(horizon)
        axes.plot(np.arange(-len(history), 0), history, color="grey", label="history")
        axes.plot(future, truth[row, :, channel], color="black", label="truth")
        axes.plot(future, dataset.in_data_units(point[row])[:, channel], color="tab:blue", label="forecast")
        if quantiles is not None:
            fan = dataset.in_data_units(quantiles[:, row])[..., channel]
            for low in range(len(levels) // 2):
                axes.fill_between(future, fan[low], fan[-1 - low], color="tab:blue", alpha=0.15, linewidth=0)
        name = dataset.processor.channels[channel]
        axes.set_title(f"{dataset.windows.series.item_ids[item]}, {name}, row {origin}", fontsize=9)
    grid.flat[0].legend(fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_steps(steps: Mapping[str, Mapping[str, Sequence[float]]], path: Path) -> None:
    """Mean absolute error by step of the horizon, of the model and the baselines."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for name, errors in steps.items():
        style = {"linewidth": 2} if name == "model" else {"linewidth": 1, "linestyle": "--"}
        axes.plot(np.arange(1, len(errors["mae"]) + 1), errors["mae"], label=name.replace("_", " "), **style)
    axes.set(xlabel="step of the horizon", ylabel="mean absolute error", ylim=(0, None), title="Error by horizon step")
    axes.legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_calibration(shares: Sequence[Mapping[str, float]], path: Path) -> None:
    """Share of the truth below each quantile against the level it should have."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5, 5), layout="constrained")
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--", label="perfectly calibrated")
    axes.plot([row["level"] for row in shares], [row["share"] for row in shares], marker="o", label="this model")
    axes.set(
        xlabel="level of the quantile", ylabel="share of the truth below it", title="Calibration of the quantiles"
    )
    axes.legend(loc="upper left")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def report(predictions: Any, config: Any, dataset: ForecastDataset, folder: Path) -> Report:
    """Tables and pictures of one evaluation.

    Args:
        predictions: The Trainer's: point forecasts, or (points, quantiles).
        config: Holds the levels of the quantiles.
        dataset: The windows in the same order.
        folder: Where the pictures go; it must exist.
    """
    import matplotlib

    matplotlib.use("Agg")
    point, quantiles, levels = unpack(predictions, config)
    truth = dataset.truth()
    methods = ("seasonal_naive", "naive")
    steps = {"model": by_step(point, truth), **{name: by_step(dataset.baseline(name), truth) for name in methods}}
    tables: dict[str, Any] = {"steps": steps, "series": by_series(point, dataset)}
    names = ["forecasts", "error_by_step"] + (["calibration"] if quantiles is not None else [])
    pictures = {name: folder / f"{name}.png" for name in names}
    draw_fans(point, quantiles, levels, dataset, pictures["forecasts"])
    draw_steps(steps, pictures["error_by_step"])
    if quantiles is not None:
        tables["calibration"] = calibration(quantiles, truth, levels)
        draw_calibration(tables["calibration"], pictures["calibration"])

    metrics = score(predictions, config, dataset)
    rows = {"model": metrics, **{name: score_forecasts(dataset.baseline(name), dataset) for name in methods}}
    shown = [name for name in ("mse", "mae", "smape", "mase", "owa", "crps") if name in metrics]
    lines = [f"{len(point):,} windows of {point.shape[1]} steps and {point.shape[2]} channels"]
    lines += [f"{'':16}" + "".join(f"{name:>10}" for name in shown)]
    lines += [f"{n:16}" + "".join(f"{row.get(name, np.nan):10.4f}" for name in shown) for n, row in rows.items()]
    covered = [name for name in metrics if name.startswith("coverage_")]
    lines += [f"intervals of {name.removeprefix('coverage_')}% cover {metrics[name]:.1%}" for name in covered]
    return Report(text="\n".join(lines), tables=tables, pictures=pictures)


__all__ = ["by_series", "by_step", "calibration", "report", "score", "score_forecasts", "unpack"]
