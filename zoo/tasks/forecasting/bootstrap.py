"""How far the figures of a test split would move on other data of the same kind."""

from collections.abc import Mapping

import numpy as np

SAMPLES = 1000
LEVEL = 0.95
# Fewer blocks than these say nothing of how much blocks differ.
FEWEST = 5


def blocks(items: np.ndarray, origins: np.ndarray, horizon: int) -> np.ndarray:
    """(windows,) number of the block that each window belongs to.

    Windows of a series that begin within one horizon of each other forecast the same rows, so their errors are nearly
    one error: they are drawn together.

    Args:
        items: (windows,) number of the series.
        origins: (windows,) row where the forecast begins.
        horizon: Steps of a forecast.
    """
    first = np.full(items.max() + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, items, origins)
    pairs = np.stack([items, (origins - first[items]) // horizon], axis=1)
    return np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1)


def window_terms(
    point: np.ndarray, truth: np.ndarray, raw_point: np.ndarray, raw_truth: np.ndarray, scale: np.ndarray
) -> dict[str, np.ndarray]:
    """The means among the metrics, as (windows, 2): the sum over the cells that count, and how many do.

    Args:
        point: (windows, horizon, channels) in the model's units.
        truth: The same; NaN is missing.
        raw_point: In the data's units, for sMAPE.
        raw_truth: The same.
        scale: (windows, 1, channels), MASE's.
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
    """The 95% intervals of the means, and of OWA, by drawing blocks with replacement (Kuensch 1989).

    Args:
        terms: Of the model, see `window_terms`.
        naive2: Of Naive2 on the same windows.
        block: (windows,) see `blocks`.
        seed: Of the draws.

    Returns:
        `mse_low`, `mse_high` and so on, and the number of `blocks`; that number alone if it is below 5.
    """
    count = int(block.max()) + 1
    if count < FEWEST:
        return {"blocks": count}
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), SAMPLES)

    def means(of: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        found = {}
        for name, values in of.items():
            sums = drawn @ np.stack([np.bincount(block, column, count) for column in values.T], axis=1)
            found[name] = np.divide(sums[:, 0], sums[:, 1], out=np.full(SAMPLES, np.nan), where=sums[:, 1] > 0)
        return found

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
