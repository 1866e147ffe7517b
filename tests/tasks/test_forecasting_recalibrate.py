"""Intervals that follow what came of earlier forecasts, in the pipeline and on the test split."""

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import pipeline

from tests.tasks.forecasts import SIZES, frame, load, make_task
from zoo.record import RunRecord
from zoo.tasks.forecasting.arguments import ForecastingArguments
from zoo.tasks.forecasting.evaluation import calibrated
from zoo.tasks.forecasting.forecast import Forecast


def test_a_pipeline_that_recalibrates_is_the_backtest(forecaster, tmp_path):
    forecast = pipeline("time-series-forecasting", model=str(forecaster), device="cpu")
    saved, config, context = forecast.series_processor, forecast.model.config, SIZES["context_length"]
    frame().to_csv(tmp_path / "mine.csv", index=False)
    task = make_task(config, test_file=str(tmp_path / "mine.csv"), timestamp_column="date")
    data = task.load_data(config, saved).test  # every window of the file
    with torch.no_grad():
        batch = task.collate(data.__getitems__(range(len(data))))
        output = forecast.model(**{name: tensor for name, tensor in batch.items() if name != "future_values"})
    predictions = output.prediction_outputs.numpy(), output.quantile_outputs.numpy()
    backtest = calibrated(Forecast.from_predictions(predictions, config.quantiles), data)
    expected = data.in_data_units(backtest.quantiles)[backtest.levels.index(0.1), 330 - context].T.ravel()
    found = forecast(frame()[:330], recalibrate=330 - context)
    np.testing.assert_allclose(found["0.1"], expected, rtol=1e-4)
    fixed = forecast(frame()[:330])
    assert not np.allclose(found["0.1"], fixed["0.1"], rtol=1e-4)
    pd.testing.assert_series_equal(found["predictions"], fixed["predictions"])
    # Only what has a whole context before it counts.
    short = forecast(frame()[330 - 100 : 330], recalibrate=1000)
    pd.testing.assert_frame_equal(short, forecast(frame()[330 - 100 : 330], recalibrate=100 - context))
    assert not np.allclose(short["0.1"], found["0.1"], rtol=1e-4)
    assert len(forecast(frame()[:5], recalibrate=10**20)) == 2 * 12


def test_each_series_recalibrates_alone_and_beyond_the_horizon_too(forecaster):
    forecast = pipeline("time-series-forecasting", model=str(forecaster), device="cpu")
    parts = {"long": frame()[:330], "short": frame()[:20], "middle": frame(200)}
    table = pd.concat([part.assign(item_id=name) for name, part in parts.items()], ignore_index=True)
    table.loc[5:100:7, "a"] = np.nan
    together = forecast(table, recalibrate=150)
    for name in parts:
        alone = forecast(table[table["item_id"] == name], recalibrate=150)
        found = together[together["item_id"] == name].reset_index(drop=True)
        pd.testing.assert_frame_equal(found, alone, rtol=1e-4)
    ahead = forecast(frame()[:330], prediction_length=30, recalibrate=150)
    assert len(ahead) == 60 and ahead.notna().all(axis=None)


@pytest.mark.parametrize("rows", [-1, 2.5, True, "300", None])
def test_rows_to_recalibrate_with_are_a_number(forecaster, rows):
    forecast = pipeline("time-series-forecasting", model=str(forecaster), device="cpu")
    with pytest.raises(ValueError, match=f"recalibrate={rows!r} must be a number of rows, 0 or more"):
        forecast(frame(), recalibrate=rows)


def test_intervals_that_cannot_follow(forecaster, caplog):
    forecast = pipeline("time-series-forecasting", model=str(forecaster), device="cpu")
    forecast(frame(), recalibrate=7)
    assert "recalibrate=7: the intervals of the steps after 7 have no outcomes to follow" in caplog.text
    for calibration in (None, forecast.series_processor.calibration | {"rate": 0}):
        forecast.series_processor.calibration = calibration
        with pytest.raises(ValueError, match="this model has no intervals that follow; train it with `intervals`"):
            forecast(frame(), recalibrate=100)
    with pytest.raises(ValueError, match="calibration_rate=0.5 must be between 0 and 0.1"):
        ForecastingArguments(calibration_rate=0.5)


def test_only_whole_test_splits_are_followed(forecaster, tmp_path):
    """The margins were calibrated on validation, and a sample would be followed more slowly."""
    data = load(tmp_path / "mine.csv", frame())
    assert data.test.followed and data.test.take(10**6).followed
    assert not (data.validation.followed or data.train.followed or data.test.take(30).followed)
    record = RunRecord.read(forecaster)
    assert record.metrics["test"]["crps_fixed"] != record.metrics["test"]["crps"]
    assert "crps_fixed" not in record.metrics["validation"]
