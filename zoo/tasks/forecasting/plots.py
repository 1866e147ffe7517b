"""Plots of a forecaster's report: fans over history, error and coverage by step, true and nominal levels."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from zoo.plotting import drawing

from .metrics import intervals

if TYPE_CHECKING:
    from .dataset import ForecastDataset
    from .forecast import Forecast

# Windows in the plot of forecasts, and the lightest and darkest shade of a fan.
SHOWN = 6
SHADES = (0.15, 0.45)
Row = TypeVar("Row")


def _few(levels: Sequence[Row]) -> Sequence[Row]:
    """The outermost, the middle and the innermost of many intervals, to keep the plot readable."""
    return levels if len(levels) < 5 else [levels[0], levels[len(levels) // 2], levels[-1]]


def fans(forecast: "Forecast", dataset: "ForecastDataset", path: Path) -> None:
    """History, truth, forecast and intervals of six windows spread over the split, in the units of the data."""
    truth, point, quantiles = dataset.truth(), forecast.point, forecast.quantiles
    shown = np.unique(np.linspace(0, len(point) - 1, SHOWN).astype(int))
    rows = -(-len(shown) // 2)
    with drawing(path, rows, 2, figsize=(12, 2.9 * rows + 0.5), squeeze=False) as (figure, grid):
        for axes in grid.flat[len(shown) :]:
            axes.axis("off")
        horizon = point.shape[1]
        items, _ = dataset.windows.locate(dataset.numbers[shown])
        for place, (axes, row, item) in enumerate(zip(grid.flat, shown, items)):
            channel = place % point.shape[2]

            def in_units(values: np.ndarray, row: int = row, channel: int = channel) -> np.ndarray:
                return dataset.in_data_units(values, row)[..., channel]

            history = in_units(dataset.windows.history(int(dataset.numbers[row])))[-2 * horizon :]
            future = np.arange(1, horizon + 1)
            axes.plot(np.arange(1 - len(history), 1), history, color="0.55", linewidth=1, label="history")
            if quantiles is not None:
                bands = _few(sorted(intervals(in_units(quantiles[:, row]), forecast.levels).items())[::-1])
                for shade, (level, (low, high)) in zip(np.linspace(*SHADES, max(len(bands), 1)), bands):
                    label = f"{100 * level:g}% interval"
                    axes.fill_between(future, low, high, color="tab:blue", alpha=shade, linewidth=0, label=label)
            # From the last value of the history on: no gap between the lines.
            seen = np.r_[history[-1:], in_units(truth[row])]
            axes.plot(np.arange(1 - len(history[-1:]), horizon + 1), seen, color="black", linewidth=1.2, label="truth")
            axes.plot(future, in_units(point[row]), color="tab:orange", linewidth=1.5, label="forecast")
            axes.axvline(0.5, color="0.8", linewidth=0.8, zorder=0)
            axes.margins(x=0.01)
            series, channels = dataset.windows.series, dataset.processor.channels
            names = [series.item_ids[item]] * (len(series) > 1) + [channels[channel]] * (len(channels) > 1)
            axes.set_title(", ".join([*names, f"from {dataset.origin(int(row))}"]), fontsize=9)
            axes.tick_params(labelsize=8)
            if place >= len(shown) - 2:
                axes.set_xlabel("steps from the origin", fontsize=8)
        figure.legend(*grid.flat[0].get_legend_handles_labels(), loc="outside upper center", ncols=8, fontsize=8)


def steps(errors: Mapping[str, Mapping[str, Sequence[float]]], path: Path) -> None:
    """Mean absolute error by step of the horizon, of the model and the baselines."""
    with drawing(path, figsize=(7.5, 4)) as (_, axes):
        for number, (name, by_step) in enumerate(errors.items()):
            style = {"linewidth": 2.2, "zorder": 3} if name == "model" else {"linewidth": 1.1, "linestyle": "--"}
            label = "this model" if name == "model" else name.replace("_", " ")
            axes.plot(np.arange(1, len(by_step["mae"]) + 1), by_step["mae"], color=f"C{number}", label=label, **style)
        axes.set(
            xlabel="step of the horizon", ylabel="mean absolute error", ylim=(0, None), title="Error by horizon step"
        )
        axes.margins(x=0.01)
        axes.legend(fontsize=8)


def calibration(
    shares: Sequence[Mapping[str, float]], before: Sequence[Mapping[str, float]] | None, path: Path
) -> None:
    """Share of the truth below each quantile against its level, with and without calibration."""
    with drawing(path, figsize=(5, 5)) as (_, axes):
        axes.plot([0, 1], [0, 1], color="0.6", linestyle="--", linewidth=1, label="perfectly calibrated")
        if before is not None:
            pairs = [row["level"] for row in before], [row["share"] for row in before]
            axes.plot(*pairs, marker="o", markersize=4, color="tab:orange", label="before calibration")
        label = "this model" if before is None else "calibrated"
        axes.plot(
            [row["level"] for row in shares], [row["share"] for row in shares], marker="o", markersize=4, label=label
        )
        axes.set(
            xlabel="level of the quantile",
            ylabel="share of the truth below it",
            title="Calibration of the quantiles",
            xlim=(0, 1),
            ylim=(0, 1),
            aspect="equal",
        )
        axes.legend(loc="upper left", fontsize=8)


def coverage_by_step(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Share of the truth within each interval by step of the horizon, with its nominal level dashed."""
    with drawing(path, figsize=(7.5, 4)) as (_, axes):
        for number, row in enumerate(_few(rows)):
            shares = row["coverage_by_step"]
            label = f"{100 * row['level']:g}% interval: {100 * row['coverage']:.1f}%"
            axes.plot(np.arange(1, len(shares) + 1), shares, color=f"C{number}", label=label)
            axes.axhline(row["level"], color=f"C{number}", linestyle="--", linewidth=1)
        axes.set(
            xlabel="step of the horizon",
            ylabel="share of the truth inside",
            ylim=(0, 1.02),
            title="Coverage by horizon step",
        )
        axes.margins(x=0.01)
        axes.legend(loc="lower right", fontsize=8)


__all__ = ["calibration", "coverage_by_step", "fans", "steps"]
