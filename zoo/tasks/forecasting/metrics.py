"""Forecast metrics, one plain function each.

Arrays are (windows, horizon, channels), or anything of one shape. A NaN in the truth is a missing value, which no
metric counts. Where a metric would divide by zero, the cell is left out (MAPE, MASE, RMSSE, MSIS) or counts 0 (0/0 in
sMAPE); a metric without any cell is NaN.

Hyndman and Koehler (2006), Another look at measures of forecast accuracy, IJF 22:679-688: MASE. Makridakis et al.
(2020), The M4 Competition, IJF 36:54-74: sMAPE, OWA, MSIS. Makridakis et al. (2022), M5 accuracy competition, IJF
38:1346-1364: RMSSE. Gneiting and Raftery (2007), Strictly proper scoring rules, JASA 102:359-378: CRPS.
"""

from collections.abc import Mapping, Sequence

import numpy as np


def _mean(errors: np.ndarray, counted: np.ndarray) -> float:
    return float(errors[counted].mean()) if counted.any() else float("nan")


def _observed(truth: np.ndarray) -> np.ndarray:
    return ~np.isnan(truth)


def mse(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Mean squared error, in squared units of the data."""
    return _mean((prediction - truth) ** 2, _observed(truth))


def mae(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Mean absolute error, in units of the data."""
    return _mean(np.abs(prediction - truth), _observed(truth))


def rmse(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Root of the mean squared error over all cells."""
    return float(np.sqrt(mse(prediction, truth)))


def mape(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Mean absolute error in percent of the truth; cells whose truth is 0 are left out."""
    counted = _observed(truth) & (truth != 0)
    share = np.divide(np.abs(prediction - truth), np.abs(truth), out=np.zeros_like(truth), where=counted)
    return 100 * _mean(share, counted)


def smape(prediction: np.ndarray, truth: np.ndarray) -> float:
    """M4's symmetric percentage error 200 |y - f| / (|y| + |f|), from 0 to 200; 0 where truth and forecast are 0."""
    size = np.abs(prediction) + np.abs(truth)
    share = np.divide(np.abs(prediction - truth), size, out=np.zeros_like(size), where=size > 0)
    return 200 * _mean(share, _observed(truth))


def _scaled(errors: np.ndarray, truth: np.ndarray, scale: np.ndarray) -> float:
    """Mean of errors / scale where a value is observed and the scale is a positive number."""
    scale = np.broadcast_to(scale, errors.shape)
    counted = _observed(truth) & (scale > 0)
    return _mean(np.divide(errors, scale, out=np.zeros_like(errors), where=counted), counted)


def mase(prediction: np.ndarray, truth: np.ndarray, scale: np.ndarray) -> float:
    """Mean absolute error in units of the seasonal naive forecast's in-sample error (`seasonal_scales`)."""
    return _scaled(np.abs(prediction - truth), truth, scale)


def rmsse(prediction: np.ndarray, truth: np.ndarray, squared_scale: np.ndarray) -> float:
    """Root mean squared scaled error: the root over the horizon (axis 1) of each window, then the mean of windows."""
    scale = np.broadcast_to(squared_scale, truth.shape)
    counted = _observed(truth) & (scale > 0)
    scaled = np.divide((prediction - truth) ** 2, scale, out=np.zeros_like(truth), where=counted)
    cells = counted.sum(1)
    roots = np.sqrt(np.where(counted, scaled, 0).sum(1) / np.maximum(cells, 1))
    return _mean(roots, cells > 0)


def pinball(quantiles: np.ndarray, truth: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """(levels,) sum over the observed cells of twice the pinball loss of (levels, ...) quantiles; data units."""
    observed = _observed(truth)
    y = truth[observed]
    losses = []
    for level, quantile in zip(levels, quantiles):
        error = y - quantile[observed]
        losses.append(2 * np.maximum(level * error, (level - 1) * error).sum())
    return np.array(losses)


def weighted_quantile_loss(quantiles: np.ndarray, truth: np.ndarray, levels: Sequence[float]) -> float:
    """Mean over levels of twice the pinball loss by the sum of |truth| (GluonTS' mean_wQuantileLoss); NaN if all 0."""
    size = float(np.nansum(np.abs(truth)))
    return float(pinball(quantiles, truth, levels).mean() / size) if size > 0 else float("nan")


def crps(quantiles: np.ndarray, truth: np.ndarray, levels: Sequence[float]) -> float:
    """Continuous ranked probability score as the mean of twice the pinball loss over the levels; units of the data.

    It is exact for dense, evenly spaced levels, and an approximation otherwise. For a median alone it is the MAE.
    """
    observed = int(_observed(truth).sum())
    return float(pinball(quantiles, truth, levels).mean() / observed) if observed else float("nan")


def coverage(lower: np.ndarray, upper: np.ndarray, truth: np.ndarray) -> float:
    """Share of the observed values within the interval, ends included."""
    return _mean(((lower <= truth) & (truth <= upper)).astype(float), _observed(truth))


def width(lower: np.ndarray, upper: np.ndarray, truth: np.ndarray) -> float:
    """Mean width of the intervals where the truth is observed, in units of the data."""
    return _mean(upper - lower, _observed(truth))


def msis(lower: np.ndarray, upper: np.ndarray, truth: np.ndarray, scale: np.ndarray, level: float = 0.95) -> float:
    """M4's mean scaled interval score: width + 2 / (1 - level) x distance of a truth outside, over MASE's scale."""
    miss = np.maximum(lower - truth, 0) + np.maximum(truth - upper, 0)
    return _scaled(upper - lower + 2 / (1 - level) * miss, truth, scale)


def owa(smape: float, mase: float, naive2: Mapping[str, float]) -> float:
    """M4's overall weighted average of sMAPE and MASE relative to Naive2's; NaN if one of those is 0 or NaN."""
    if not (naive2["smape"] > 0 and naive2["mase"] > 0):
        return float("nan")
    return (smape / naive2["smape"] + mase / naive2["mase"]) / 2


def seasonal_scales(history: np.ndarray, season: int) -> tuple[np.ndarray, np.ndarray]:
    """(channels,) mean absolute and mean squared difference of (rows, channels) to one season before.

    Differences with a missing value do not count. A history of no more than `season` rows is compared step by step.
    NaN without any difference.
    """
    season = season if len(history) > season else 1
    difference = np.asarray(history[season:], np.float64) - history[:-season]
    observed = ~np.isnan(difference)
    count = np.where(observed.any(0), observed.sum(0), np.nan)
    difference = np.where(observed, difference, 0)
    return np.abs(difference).sum(0) / count, (difference**2).sum(0) / count


def intervals(quantiles: np.ndarray, levels: Sequence[float]) -> dict[float, tuple[np.ndarray, np.ndarray]]:
    """Nominal coverage -> (lower, upper), for each pair of levels that is symmetric about the median."""
    place = {round(level, 6): quantile for level, quantile in zip(levels, quantiles)}
    pairs = [(level, round(1 - level, 6)) for level in sorted(place) if level < 0.5]
    return {round(high - low, 6): (place[low], place[high]) for low, high in pairs if high in place}


def forecasting_metrics(
    prediction: np.ndarray,
    truth: np.ndarray,
    *,
    scale: np.ndarray | None = None,
    squared_scale: np.ndarray | None = None,
    quantiles: np.ndarray | None = None,
    quantile_levels: Sequence[float] = (),
) -> dict[str, float]:
    """All metrics that the given arrays allow.

    Args:
        prediction (`np.ndarray` of shape `(windows, horizon, channels)` or `(windows, horizon)`): Point forecasts.
        truth (`np.ndarray` of the same shape): NaN is missing.
        scale (`np.ndarray` of shape `(windows, 1, channels)`, or one that broadcasts): MASE's, see `seasonal_scales`.
        squared_scale (`np.ndarray` of the same shape): RMSSE's.
        quantiles (`np.ndarray` of shape `(levels, windows, horizon, channels)`): Quantile forecasts.
        quantile_levels: Their levels, between 0 and 1.

    Raises:
        ValueError: No value is observed, shapes or levels do not fit, or a forecast is not a finite number.
    """
    prediction, truth = np.asarray(prediction, np.float64), np.asarray(truth, np.float64)
    if prediction.shape != truth.shape or not _observed(truth).any():
        raise ValueError(
            f"expected forecasts and truth of one shape with an observed value, got {prediction.shape}, {truth.shape}"
        )
    if not np.isfinite(prediction[_observed(truth)]).all():
        raise ValueError("a forecast is not a finite number where the truth is observed")
    metrics = {
        "n": len(truth),
        "mse": mse(prediction, truth),
        "mae": mae(prediction, truth),
        "rmse": rmse(prediction, truth),
        "mape": mape(prediction, truth),
        "smape": smape(prediction, truth),
    }
    if scale is not None:
        metrics["mase"] = mase(prediction, truth, scale)
    if squared_scale is not None:
        metrics["rmsse"] = rmsse(prediction, truth, squared_scale)
    if quantiles is not None:
        quantiles = np.asarray(quantiles, np.float64)
        if quantiles.shape != (len(quantile_levels), *truth.shape) or not all(0 < q < 1 for q in quantile_levels):
            raise ValueError(
                f"{quantiles.shape} quantiles do not fit levels {quantile_levels} and truth {truth.shape}"
            )
        metrics["wql"] = weighted_quantile_loss(quantiles, truth, quantile_levels)
        metrics["crps"] = crps(quantiles, truth, quantile_levels)
        for level, (lower, upper) in intervals(quantiles, quantile_levels).items():
            metrics[f"coverage_{100 * level:g}"] = coverage(lower, upper, truth)
            metrics[f"width_{100 * level:g}"] = width(lower, upper, truth)
            if scale is not None:
                metrics[f"msis_{100 * level:g}"] = msis(lower, upper, truth, scale, level)
    return metrics
