"""Intervals of forecasting metrics: blocks of windows that share rows, drawn with replacement."""

import numpy as np
import pytest

from zoo.tasks.forecasting.bootstrap import block_intervals, blocks, window_terms
from zoo.tasks.forecasting.metrics import forecasting_metrics


def forecasts(windows, seed=0):
    draw = np.random.default_rng(seed)
    truth = 5 + draw.normal(size=(windows, 4, 2))
    truth[0, :2, 0] = np.nan
    return truth + draw.normal(size=truth.shape), truth, np.full((windows, 1, 2), 0.5)


def test_windows_that_forecast_the_same_rows_are_one_block():
    items, origins = np.array([0, 0, 0, 0, 2, 2]), np.array([10, 13, 14, 21, 7, 10])
    assert blocks(items, origins, 4).tolist() == [0, 0, 1, 2, 3, 3]


def test_terms_are_the_metrics():
    point, truth, scale = forecasts(30)
    terms = window_terms(point, truth, point, truth, scale)
    found = forecasting_metrics(point, truth, scale=scale)
    for name, values in terms.items():
        total, count = values.sum(0)
        assert total / count == pytest.approx(found[name])


def test_intervals_hold_the_metric_and_are_wider_where_blocks_are():
    point, truth, scale = forecasts(400)
    terms = window_terms(point, truth, point, truth, scale)
    alone = block_intervals(terms, terms, np.arange(400))
    assert alone["mse_low"] < np.nanmean((point - truth) ** 2) < alone["mse_high"]
    assert alone["owa_low"] == pytest.approx(1) == alone["owa_high"] and alone["blocks"] == 400
    # ten copies of each window are no more evidence than one of them
    copies = {name: np.repeat(values[:40], 10, axis=0) for name, values in terms.items()}
    first = {name: values[:40] for name, values in terms.items()}
    together = block_intervals(copies, copies, np.repeat(np.arange(40), 10))
    expected = block_intervals(first, first, np.arange(40))
    assert {name: together[name] for name in together} == pytest.approx(expected)
    width, narrow = (found["mse_high"] - found["mse_low"] for found in (together, alone))
    assert width > 2 * narrow
    spread = terms["mse"][:, 0].std() / 4 / np.sqrt(400) / 2
    assert narrow == pytest.approx(2 * 1.96 * spread, rel=0.15)


def test_too_few_blocks_give_no_interval():
    point, truth, scale = forecasts(40)
    terms = window_terms(point, truth, point, truth, scale)
    assert block_intervals(terms, terms, np.repeat(np.arange(4), 10)) == {"blocks": 4}


def test_a_metric_that_some_draws_do_not_have_has_no_interval():
    point, truth, scale = forecasts(40)
    scale[:] = 0
    terms = window_terms(point, truth, point, truth, scale)
    found = block_intervals(terms, terms, np.arange(40))
    assert "mase_low" not in found and "owa_low" not in found and "smape_low" in found
