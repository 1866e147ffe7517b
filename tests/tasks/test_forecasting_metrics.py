"""Forecast metrics by hand; `test_forecasting_oracles.py` compares them with other libraries."""

import numpy as np
import pytest

from zoo.tasks.forecasting import metrics
from zoo.tasks.forecasting.metrics import forecasting_metrics, seasonal_scales

NAN = np.nan


@pytest.fixture
def forecast():
    random = np.random.default_rng(0)
    truth = random.gamma(2, 10, (6, 5, 2))
    return truth + random.normal(size=truth.shape), truth


def test_missing_truth_counts_nowhere(forecast):
    prediction, truth = forecast
    quantiles = np.stack([prediction - 1, prediction, prediction + 1])
    options = {
        "scale": np.full((6, 1, 2), 2.0),
        "squared_scale": np.full((6, 1, 2), 3.0),
        "quantile_levels": [0.1, 0.5, 0.9],
    }
    whole = forecasting_metrics(
        prediction[:4], truth[:4], **{**options, "scale": 2.0, "squared_scale": 3.0}, quantiles=quantiles[:, :4]
    )
    truth[4:] = NAN
    prediction[4:], quantiles[:, 4:] = NAN, NAN
    masked = forecasting_metrics(prediction, truth, **options, quantiles=quantiles)
    assert {**masked, "n": 4} == pytest.approx(whole)


def test_smape_by_hand():
    assert metrics.smape(np.array([150.0, 0, 5]), np.array([50.0, 0, 0])) == pytest.approx((100 + 0 + 200) / 3)


def test_cells_that_would_divide_by_zero():
    prediction, truth = np.array([[2.0, 5.0]]), np.array([[0.0, 4.0]])
    assert metrics.mape(prediction, truth) == 25
    assert np.isnan(metrics.mape(prediction[:, :1], truth[:, :1]))
    scale = np.array([[0.0, 2.0]])
    assert metrics.mase(prediction, truth, scale) == 0.5
    assert np.isnan(metrics.mase(prediction, truth, np.zeros((1, 1))))
    assert metrics.rmsse(prediction, truth, scale) == pytest.approx(0.5**0.5)
    assert np.isnan(metrics.weighted_quantile_loss(prediction[None], np.zeros((1, 2)), [0.5]))
    assert np.isnan(metrics.owa(1.0, 1.0, {"smape": 1.0, "mase": 0.0}))


def test_seasonal_scales_by_hand():
    history = np.array([[1.0, NAN], [2, NAN], [4, NAN], [8, 1], [NAN, 2], [5, 4]])
    absolute, squared = seasonal_scales(history, 2)
    assert absolute[0] == (3 + 6 + 3) / 3 and squared[0] == (9 + 36 + 9) / 3
    assert absolute[1] == 3 and squared[1] == 9
    assert seasonal_scales(np.array([[1.0], [4]]), 24)[0] == 3
    assert np.isnan(seasonal_scales(np.array([[1.0]]), 24)[0]).all()


def test_mase_and_rmsse_average_windows_after_scaling():
    prediction, truth = np.zeros((2, 2, 1)), np.array([[[3.0], [3]], [[1], [NAN]]])
    scale = np.array([1.0, 2.0])[:, None, None]
    assert metrics.mase(prediction, truth, scale) == pytest.approx((3 + 3 + 0.5) / 3)
    assert metrics.rmsse(prediction, truth, scale**2) == pytest.approx((3 + 0.5) / 2)


def test_crps_of_a_normal_distribution_approaches_its_closed_form():
    from scipy.stats import norm

    levels = (np.arange(999) + 0.5) / 999
    y = np.array([0.7])
    closed = y[0] * (2 * norm.cdf(0.7) - 1) + 2 * norm.pdf(0.7) - 1 / np.sqrt(np.pi)
    assert metrics.crps(norm.ppf(levels)[:, None], y, levels) == pytest.approx(closed, rel=1e-3)


def test_intervals_by_hand():
    lower, upper, truth = np.zeros((1, 4)), np.full((1, 4), 10.0), np.array([[0.0, 12, -1, NAN]])
    assert metrics.coverage(lower, upper, truth) == pytest.approx(1 / 3)
    assert metrics.width(lower, upper, truth) == 10
    # M4: (10 + 10 + 40 * 2 + 10 + 40 * 1) / 3, in units of the scale
    assert metrics.msis(lower, upper, truth, 5.0) == pytest.approx((30 + 80 + 40) / 3 / 5)


def test_intervals_come_from_symmetric_quantiles_only(forecast):
    prediction, truth = forecast
    quantiles = np.stack([prediction + shift for shift in (-3, -2, -1, 0, 2)])
    found = forecasting_metrics(
        prediction, truth, quantiles=quantiles, quantile_levels=[0.025, 0.1, 0.2, 0.5, 0.9], scale=1.0
    )
    assert {"coverage_80", "width_80", "msis_80"} <= set(found) and found["width_80"] == pytest.approx(4)
    assert not {"coverage_95", "coverage_60"} & set(found)


def test_owa_is_the_mean_of_both_errors_relative_to_naive2():
    assert metrics.owa(2.0, 9.0, {"smape": 4.0, "mase": 6.0}) == 1.0


def test_what_cannot_be_scored(forecast):
    prediction, truth = forecast
    with pytest.raises(ValueError, match="one shape"):
        forecasting_metrics(prediction[:3], truth)
    with pytest.raises(ValueError, match="observed value"):
        forecasting_metrics(prediction, np.full_like(truth, NAN))
    with pytest.raises(ValueError, match="do not fit levels"):
        forecasting_metrics(prediction, truth, quantiles=prediction[None], quantile_levels=[0.1, 0.9])
    prediction[0, 0, 0] = NAN
    with pytest.raises(ValueError, match="not a finite number"):
        forecasting_metrics(prediction, truth)
