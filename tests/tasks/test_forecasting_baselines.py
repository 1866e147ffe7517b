"""Baselines, by hand and on simulated series."""

import numpy as np
import pytest

from zoo.data.series import SeriesSet, chronological_split
from zoo.data.series_windows import WindowDataset
from zoo.tasks.forecasting.baselines import (
    BASELINES,
    drift,
    forecast_windows,
    is_seasonal,
    naive,
    naive2,
    seasonal_indices,
    seasonal_naive,
    window_scales,
    window_truth,
)

NAN = np.nan


def column(*values):
    return np.array(values, float)[:, None]


def waves(rows=120, season=12, channels=1):
    """Positive series with a trend and a season that multiplies it."""
    t = np.arange(rows)[:, None]
    return (100 + t) * (1 + 0.5 * np.sin(2 * np.pi * t / season + np.arange(channels)))


def test_naive_and_drift_by_hand():
    history = column(NAN, 1, 5, 7, NAN)
    assert naive(history, 2)[:, 0].tolist() == [7, 7]
    assert drift(history, 2)[:, 0].tolist() == [10, 13]
    assert drift(column(4), 2)[:, 0].tolist() == [4, 4]


def test_seasonal_naive_by_hand():
    assert seasonal_naive(column(9, 1, 2, 3), 5, 3)[:, 0].tolist() == [1, 2, 3, 1, 2]
    assert seasonal_naive(column(7, 8, 9, 1, NAN, 3), 3, 3)[:, 0].tolist() == [1, 8, 3]  # the season before fills in
    assert seasonal_naive(column(8, 9), 5, 3)[:, 0].tolist() == [9, 8, 9, 9, 8]  # no full season: naive fills in
    assert seasonal_naive(column(5, 1, NAN, NAN), 3, 3)[:, 0].tolist() == [1, 1, 5]


def test_naive2_repeats_a_multiplicative_season():
    history = waves()
    forecast = naive2(history, 24, 12)
    level = forecast[:, 0] / (1 + 0.5 * np.sin(2 * np.pi * np.arange(120, 144) / 12))
    assert np.ptp(level) / level.mean() < 0.02  # the trend bends the factors a little
    flat = seasonal_indices(history, 12)
    np.testing.assert_allclose(flat.mean(0), 1)
    assert naive2(history[:30], 3, 12)[:, 0].tolist() == [history[29, 0]] * 3  # under three seasons: naive


def test_naive2_leaves_channels_alone_that_have_no_season_or_no_positive_values():
    random = np.random.default_rng(0)
    history = np.hstack([waves(), 50 + random.normal(size=(120, 1)), waves() - 200, np.full((120, 1), 3.0)])
    assert is_seasonal(history, 12).tolist() == [True, False, True, False]
    forecast = naive2(history, 12, 12)
    assert np.ptp(forecast[:, 0]) > 10
    np.testing.assert_array_equal(forecast[:, 1:], np.tile(history[-1, 1:], (12, 1)))


def test_the_limit_of_the_seasonality_test_counts_shorter_lags_only():
    # Autocorrelations 0.075, -0.677: the limit is 1.645 sqrt((1 + 2 * 0.075^2) / 8) = 0.585; with lag 2 it were 0.808.
    assert is_seasonal(column(5, 5, 7, 9, 1, 2, 8, 9), 2).tolist() == [True]


def test_seasonal_indices_of_an_odd_season():
    factors = seasonal_indices(np.tile(column(1, 2, 3), (7, 1)), 3)
    np.testing.assert_allclose(factors[:, 0], [0.5, 1, 1.5])


@pytest.mark.parametrize("method", BASELINES)
@pytest.mark.parametrize("history", [np.zeros((0, 2)), np.full((60, 2), NAN), np.full((60, 2), 3.0), waves(60, 12, 2)])
def test_every_history_gives_finite_forecasts(method, history):
    history = history.copy()
    history[5:8] = NAN
    history[:2, :1] = NAN
    forecast = BASELINES[method](history, 15, 12)
    assert forecast.shape == (15, 2) and np.isfinite(forecast).all()


def windows_of(values, lengths, split="test", **parts):
    ids, channels = tuple(map(str, range(len(lengths)))), tuple(f"c{i}" for i in range(values.shape[1]))
    series = SeriesSet(values, np.r_[0, np.cumsum(lengths)], ids, channels)
    return WindowDataset(series, 10, 6, chronological_split(series, **parts).rows(split))


def test_windows_are_forecast_from_all_that_lies_before_them():
    values = np.vstack([waves(60, 12, 2), waves(80, 12, 2) * 3])
    windows = windows_of(values, [60, 80], validation=10, test=10)
    assert len(windows) == 10
    truth = window_truth(windows)
    batch = windows.__getitems__(range(10))
    np.testing.assert_allclose(truth, batch["future_values"].numpy(), rtol=1e-6)
    forecasts = forecast_windows(windows, "naive2", 12)
    np.testing.assert_allclose(forecasts[7], naive2(values[60 : 60 + 72], 6, 12))  # 7 is origin 72 of the second
    short = forecast_windows(windows, "naive2", 12, max_history=20, windows=[7])
    np.testing.assert_array_equal(short[0], np.tile(values[60 + 71], (6, 1)))


def test_scales_come_from_rows_before_the_evaluated_part_only():
    values = waves(60, 12, 2)
    windows = windows_of(values, [60], validation=10, test=10)
    scales = window_scales(windows, 12)
    assert scales[0].shape == (5, 1, 2)
    np.testing.assert_allclose(scales[0][0, 0], np.abs(values[12:50] - values[:38]).mean(0))
    changed = values.copy()
    changed[50:] = 1e9
    again = window_scales(windows_of(changed, [60], validation=10, test=10), 12)
    np.testing.assert_array_equal(scales, again)
    assert np.isfinite(window_scales(windows_of(values, [60], "train", validation=10, test=10), 12)).all()


def test_unknown_baseline():
    with pytest.raises(ValueError, match="not one of naive, seasonal_naive, drift, naive2"):
        forecast_windows(windows_of(waves(), [120], validation=10, test=10), "arima", 12)
