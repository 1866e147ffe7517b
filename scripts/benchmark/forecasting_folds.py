"""ZOO_DATA=... python scripts/benchmark/forecasting_folds.py [HORIZON ...]

Chooses context, level weight and ridge penalty of the linear map of the ETTh1 forecasters by cross-validation: the
11,520 rows of training and validation in four blocks of 2,880 (the last is the validation split), each forecast
by ridge regression on windows that do not touch it. No test row is read. A minute a horizon on one core.
"""

import sys

import numpy as np

from zoo.data.named_series import NAMED_SERIES, load_named_series

CONTEXTS = (336, 480)
LEVEL_WEIGHTS = (0.0, 0.3, 1.0, 3.0, 10.0)
RIDGES = (0.05, 0.1, 0.2, 0.4)
LONGEST = max(CONTEXTS)
# Validation windows of the benchmark look further back than the first block reaches.
FIRST = 720


def second_moments(rows: np.ndarray, starts: np.ndarray, horizon: int) -> np.ndarray:
    """Mean of z z', where z is the longest context, the future and 1 of a window of one channel."""
    total, offsets = 0.0, np.arange(-LONGEST, horizon)
    for channel in rows.T.astype(np.float32):
        for part in np.array_split(starts, max(len(starts) // 2000, 1)):
            windows = np.c_[channel[part[:, None] + offsets], np.ones(len(part), np.float32)]
            total = total + (windows.T @ windows).astype(np.float64)
    return total / (len(starts) * rows.shape[1])


def linear_map(context: int, level_weight: float, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Matrices that make the inputs and targets of the family's linear map (scaling `last`) from z."""
    eye = np.eye(LONGEST + horizon + 1)
    past, future, last = eye[LONGEST - context : LONGEST], eye[LONGEST:-1], eye[LONGEST - 1]
    return np.concatenate([past - last, level_weight * last[None], eye[-1:]]), future - last


def errors(rows: np.ndarray, horizon: int, block: int, size: int) -> np.ndarray:
    """MSE in the block, of shape `(contexts, level weights, ridges)`."""
    low, high = block * size, (block + 1) * size
    others = np.r_[0:low, high : len(rows)]
    scaled = (rows - rows[others].mean(0)) / rows[others].std(0)
    starts = np.arange(LONGEST, len(rows) - horizon + 1)
    outside = starts[(starts + horizon <= low) | (starts - LONGEST >= high)]
    training = second_moments(scaled, outside, horizon)
    held_out = second_moments(scaled, np.arange(max(low, FIRST), high - horizon + 1), horizon)
    results = []
    for context in CONTEXTS:
        for level_weight in LEVEL_WEIGHTS:
            inputs, targets = linear_map(context, level_weight, horizon)
            inner, outer = inputs @ training @ inputs.T, inputs @ training @ targets.T
            for ridge in RIDGES:
                weight = np.linalg.solve(inner + ridge * np.eye(len(inner)), outer).T
                residual = targets - weight @ inputs
                results.append(np.einsum("hz,hz->", residual @ held_out, residual) / horizon)
    return np.reshape(results, (len(CONTEXTS), len(LEVEL_WEIGHTS), len(RIDGES)))


def main(horizons: list[int]) -> None:
    """Print a table for each horizon, the best choices first."""
    series = load_named_series("etth1")
    bounds = NAMED_SERIES["etth1"].split
    rows = series.item(0)[: bounds["train"] + bounds["validation"]]
    for horizon in horizons:
        table = np.stack([errors(rows, horizon, block, bounds["validation"]) for block in range(4)], axis=-1)
        print(f"\n{horizon} hours: MSE of ridge regression in the four blocks and their mean\n")
        print("| context | level_weight | ridge | block 1 | 2 | 3 | 4 | mean |\n" + "|---" * 8 + "|")
        order = np.dstack(np.unravel_index(np.argsort(table.mean(-1), axis=None), table.shape[:-1]))[0]
        for context, weight, ridge in order:
            blocks = table[context, weight, ridge]
            cells = " | ".join(f"{value:.4f}" for value in (*blocks, blocks.mean()))
            print(f"| {CONTEXTS[context]} | {LEVEL_WEIGHTS[weight]:g} | {RIDGES[ridge]:g} | {cells} |", flush=True)


if __name__ == "__main__":
    main([int(text) for text in sys.argv[1:]] or [96, 192, 336, 720])
