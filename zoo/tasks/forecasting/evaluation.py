"""The metrics of a forecast of a data set.

MSE, MAE, RMSE, CRPS and widths are in the units that the model reads (z-scores with `standardize`, as the long-term
benchmarks report them); MAPE, sMAPE, the weighted quantile loss and OWA are relative and always of the data's units;
MASE, RMSSE and MSIS have no unit.
"""

import numpy as np

from .bootstrap import block_intervals, blocks, window_terms
from .dataset import ForecastDataset
from .forecast import Forecast
from .metrics import forecasting_metrics, mape, mase, owa, smape, weighted_quantile_loss

# The fit verdict compares with the first.
BASELINES = ("seasonal_naive", "naive", "drift", "naive2")


def follows(dataset: ForecastDataset) -> bool:
    """Whether the intervals of the processor's calibration follow the outcomes of these windows."""
    calibration = dataset.processor.intervals
    return calibration is not None and calibration.rate > 0 and dataset.followed


def calibrated(forecast: Forecast, dataset: ForecastDataset, follow: bool = True) -> Forecast:
    """The forecast with the intervals of the processor's calibration; with `follow` as in `follows`, else as saved."""
    calibration = dataset.processor.intervals
    if calibration is None:
        return forecast
    outcomes = dataset.outcomes() if follow and follows(dataset) else None
    return calibration.apply(forecast, dataset.spreads, outcomes)


def forecast_metrics(forecast: Forecast, dataset: ForecastDataset) -> dict[str, float]:
    """All metrics of a forecast, without those that are not finite (where a scale is 0).

    Args:
        forecast: In the model's units.
        dataset: The windows in the same order.
    """
    truth, (scale, squared_scale) = dataset.truth(), dataset.scales()
    metrics = forecasting_metrics(
        forecast.point,
        truth,
        scale=scale,
        squared_scale=squared_scale,
        quantiles=forecast.quantiles,
        quantile_levels=forecast.levels,
    )
    raw_point, raw_truth = dataset.in_data_units(forecast.point), dataset.in_data_units(truth)
    metrics |= {"mape": mape(raw_point, raw_truth), "smape": smape(raw_point, raw_truth)}
    if forecast.quantiles is not None:
        raw_quantiles = dataset.in_data_units(forecast.quantiles)
        metrics["wql"] = weighted_quantile_loss(raw_quantiles, raw_truth, forecast.levels)
    naive2 = dataset.baseline("naive2")
    naive2_errors = {
        "smape": smape(dataset.in_data_units(naive2), raw_truth),
        "mase": mase(naive2, truth, scale),
    }
    metrics["owa"] = owa(metrics["smape"], metrics["mase"], naive2_errors)
    return {name: value for name, value in metrics.items() if np.isfinite(value)}


def baseline_metrics(method: str, dataset: ForecastDataset) -> dict[str, float]:
    """All metrics of a baseline; computed once, because report and record need them."""
    if method not in dataset.baseline_metrics:
        dataset.baseline_metrics[method] = forecast_metrics(Forecast(dataset.baseline(method)), dataset)
    return dataset.baseline_metrics[method]


def record_metrics(forecast: Forecast, dataset: ForecastDataset) -> dict[str, float]:
    """All metrics of a model's own forecast after calibration, with 95% intervals of the main ones.

    Where intervals follow outcomes, `crps_fixed` and `wql_fixed` are those of intervals that do not.

    Args:
        forecast: The model's, in its units, without calibration.
        dataset: The windows in the same order.
    """
    metrics = forecast_metrics(calibrated(forecast, dataset), dataset)
    if follows(dataset):
        others = forecast_metrics(calibrated(forecast, dataset, follow=False), dataset)
        metrics |= {f"{name}_fixed": others[name] for name in ("crps", "wql") if name in others}
    truth, (scale, _) = dataset.truth(), dataset.scales()
    model, naive2 = (
        window_terms(point, truth, dataset.in_data_units(point), dataset.in_data_units(truth), scale)
        for point in (forecast.point, dataset.baseline("naive2"))
    )
    horizon = forecast.point.shape[1]
    return metrics | block_intervals(model, naive2, blocks(*dataset.windows.locate(dataset.numbers), horizon))


__all__ = ["BASELINES", "baseline_metrics", "calibrated", "follows", "forecast_metrics", "record_metrics"]
