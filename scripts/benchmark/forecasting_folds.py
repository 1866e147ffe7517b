"""ZOO_DATA=... python scripts/benchmark/forecasting_folds.py [HORIZON ...]

The value of a window's level (`level_weight`) to a linear forecaster of ETTh1, by cross-validation: the 11,520 rows
of training and validation in four blocks of 2,880 (the last is the benchmark's validation split), each forecast by
ridge regression from windows that do not touch it. No test row is read.
"""

import sys

import numpy as np
import torch

from zoo.data.named_series import NAMED_SERIES, load_named_series
from zoo.models.lstm_forecaster import LSTMForecasterConfig
from zoo.models.lstm_forecaster.modeling_lstm_forecaster import LSTMForecasterSkip, RidgeRegression

CONTEXT = 336
# Windows of the benchmark's validation split look back further than the first block begins.
LONGEST = 720
CHOICES = [(0.0, 0.05), (0.1, 0.05), (0.3, 0.05), (1.0, 0.05), (0.0, 0.5), (0.3, 0.15), (1.0, 0.15), (1.0, 0.5)]


def windows(rows: np.ndarray, starts: np.ndarray, horizon: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(windows, steps, channels) before `starts` and after them, both less the last value before, and that value."""
    past = torch.from_numpy(rows[starts[:, None] - CONTEXT + np.arange(CONTEXT)])
    future = torch.from_numpy(rows[starts[:, None] + np.arange(horizon)])
    return past - past[:, -1:], future - past[:, -1:], past[:, -1:]


def errors(rows: np.ndarray, horizon: int, block: int, size: int) -> list[float]:
    """MSE in the block for every choice of level weight and ridge."""
    low, high = block * size, (block + 1) * size
    others = np.r_[0:low, high : len(rows)]
    scaled = ((rows - rows[others].mean(0)) / rows[others].std(0)).astype("float32")
    starts = np.arange(CONTEXT, len(rows) - horizon + 1)
    outside = starts[(starts + horizon <= low) | (starts - CONTEXT >= high)]
    # Scaling `last` of the family: the inputs of its linear map, and ridge regression on them.
    fields = {"context_length": CONTEXT, "prediction_length": horizon, "scaling": "last", "linear_skip": True}
    skips = [LSTMForecasterSkip(LSTMForecasterConfig(**fields, level_weight=weight)) for weight, _ in CHOICES]
    fits = [RidgeRegression(ridge) for _, ridge in CHOICES]
    for part in np.array_split(outside, 20):
        past, future, level = windows(scaled, part, horizon)
        for fit, skip in zip(fits, skips):
            inputs = skip.inputs(past, level, torch.ones_like(level))
            fit.add(inputs, future, torch.ones(len(part), rows.shape[1], dtype=torch.bool))
    maps = [fit.solve().float() for fit in fits]
    sums, count = [0.0] * len(maps), 0
    for part in np.array_split(np.arange(max(low, LONGEST), high - horizon + 1), 10):
        past, future, level = windows(scaled, part, horizon)
        for number, skip in enumerate(skips):
            inputs = skip.inputs(past, level, torch.ones_like(level))
            sums[number] += float((maps[number] @ inputs - future).square().sum())
        count += future.numel()
    return [total / count for total in sums]


def main(horizons: list[int]) -> None:
    """Print a table for each horizon."""
    series = load_named_series("etth1")
    bounds = NAMED_SERIES["etth1"].split
    rows = series.item(0)[: bounds["train"] + bounds["validation"]]
    for horizon in horizons:
        table = np.array([errors(rows, horizon, block, bounds["validation"]) for block in range(4)])
        print(f"\n{horizon} hours: MSE of the four blocks and their mean\n\n| level_weight | ridge | | | | | mean |")
        print("|---|---|---|---|---|---|---|")
        for (weight, ridge), column in zip(CHOICES, table.T):
            cells = " | ".join(f"{value:.4f}" for value in (*column, column.mean()))
            print(f"| {weight:g} | {ridge:g} | {cells} |", flush=True)


if __name__ == "__main__":
    main([int(text) for text in sys.argv[1:]] or [96, 192, 336, 720])
