"""Intervals of forecast metrics, from a bootstrap of blocks of windows."""

from collections.abc import Mapping

import numpy as np

SAMPLES = 1000
LEVEL = 0.95
# Fewer blocks are too few to estimate how much blocks differ.
FEWEST = 5


def blocks(items: np.ndarray, origins: np.ndarray, horizon: int) -> np.ndarray:
    """(windows,) number of each window's block.

    Windows of a series that begin within one horizon of each other forecast the same rows, so their errors are nearly
    one error: they are drawn together.

    Args:
        items (`np.ndarray` of shape `(windows,)`): Number of each window's series.
        origins (`np.ndarray` of shape `(windows,)`): Row where the forecast begins.
        horizon: Steps of a forecast.
    """
    first = np.full(items.max() + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, items, origins)
    pairs = np.stack([items, (origins - first[items]) // horizon], axis=1)
    return np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1)


def window_terms(
    point: np.ndarray, truth: np.ndarray, raw_point: np.ndarray, raw_truth: np.ndarray, scale: np.ndarray
) -> dict[str, np.ndarray]:
    """Terms of the metrics that are means: for each window the sum over the counted cells and their number.

    Args:
        point (`np.ndarray` of shape `(windows, horizon, channels)`): In the model's units.
        truth (`np.ndarray` of the same shape): NaN is missing.
        raw_point: `point` in the data's units, for sMAPE.
        raw_truth: `truth` in the data's units.
        scale (`np.ndarray` of shape `(windows, 1, channels)`): MASE's.

    Returns:
        Name of each metric -> (windows, 2).
    """
    error = np.abs(np.asarray(point, np.float64) - truth)
    observed, scale = ~np.isnan(truth), np.broadcast_to(scale, error.shape)
    size = np.abs(raw_point) + np.abs(raw_truth)
    share = np.divide(np.abs(raw_point - raw_truth), size, out=np.zeros_like(size), where=size > 0)
    scaled = observed & (scale > 0)
    cells = {
        "mse": (error**2, observed),
        "mae": (error, observed),
        "smape": (200 * share, observed),
        "mase": (np.divide(error, scale, out=np.zeros_like(error), where=scaled), scaled),
    }
    return {
        name: np.stack([np.where(counted, value, 0).sum((1, 2)), counted.sum((1, 2))], axis=1)
        for name, (value, counted) in cells.items()
    }


def block_intervals(
    terms: Mapping[str, np.ndarray], naive2: Mapping[str, np.ndarray], block: np.ndarray, seed: int = 0
) -> dict[str, float]:
    """95% intervals of the means and of OWA, by drawing blocks with replacement (Kuensch 1989).

    Args:
        terms: The model's, see `window_terms`.
        naive2: Those of Naive2 on the same windows.
        block (`np.ndarray` of shape `(windows,)`): See `blocks`.
        seed: Of the draws.

    Returns:
        `mse_low`, `mse_high` and so on, and the number of `blocks`; only that number if it is below 5.
    """
    count = int(block.max()) + 1
    if count < FEWEST:
        return {"blocks": count}
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), SAMPLES)

    def means(of: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        drawn_means = {}
        for name, values in of.items():
            sums = drawn @ np.stack([np.bincount(block, column, count) for column in values.T], axis=1)
            drawn_means[name] = np.divide(sums[:, 0], sums[:, 1], out=np.full(SAMPLES, np.nan), where=sums[:, 1] > 0)
        return drawn_means

    model, other = means(terms), means(naive2)
    with np.errstate(divide="ignore", invalid="ignore"):
        model["owa"] = (model["smape"] / other["smape"] + model["mase"] / other["mase"]) / 2
    result: dict[str, float] = {"blocks": count}
    for name, values in model.items():
        if np.isfinite(values).all():
            low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
            result |= {f"{name}_low": float(low), f"{name}_high": float(high)}
    return result


__all__ = ["block_intervals", "blocks", "window_terms"]
