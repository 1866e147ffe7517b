"""Published metrics on the real data: the M4 competition's benchmarks and ETTh1's seasonal naive."""

import shutil

import pytest

from zoo.data.named_series import NAMED_SERIES, load_named_series
from zoo.data.series import SeriesScaler
from zoo.data.series_windows import WindowDataset
from zoo.data.sources import find_files
from zoo.tasks.forecasting.baselines import forecast_windows, window_scales, window_truth
from zoo.tasks.forecasting.metrics import forecasting_metrics, mse, owa


def load(name, real_data):
    named = NAMED_SERIES[name]
    if not real_data or not find_files(named.folder, named.files):
        pytest.skip(f"needs ZOO_DATA, with {' and '.join(named.files)} of {named.homepage} in its {named.folder}/")
    series = load_named_series(name)
    assert series.is_release
    return series, named


def test_m4_hourly_benchmarks_are_those_the_competition_published(real_data):
    series, named = load("m4-hourly", real_data)
    assert len(series) == 414 and series.frequency == "h"
    windows = WindowDataset(series, 168, named.prediction_length, named.bounds(series).rows("test"))
    assert len(windows) == 414
    truth, (scale, squared) = window_truth(windows), window_scales(windows, named.season)
    found = {}
    for method in ("naive2", "naive", "seasonal_naive"):
        forecasts = forecast_windows(windows, method, named.season)
        found[method] = forecasting_metrics(forecasts, truth, scale=scale, squared_scale=squared)
    published = {"naive": (43.003, 11.608), "seasonal_naive": (13.912, 1.193), "naive2": (18.383, 2.395)}
    assert {name: (round(found[name]["smape"], 3), round(found[name]["mase"], 3)) for name in published} == published
    seasonal = found["seasonal_naive"]
    assert owa(seasonal["smape"], seasonal["mase"], found["naive2"]) == pytest.approx(0.6275, abs=5e-4)


def test_etth1_seasonal_naive_on_the_benchmark_split(real_data):
    raw, named = load("etth1", real_data)
    bounds = named.bounds(raw)
    series = SeriesScaler.fit(raw, bounds.train).transform(raw)
    for horizon, count, expected in ((96, 2785, 0.512), (192, 2689, 0.581), (336, 2545, 0.650), (720, 2161, 0.655)):
        windows = WindowDataset(series, 336, horizon, bounds.rows("test"))
        assert len(windows) == count
        forecasts = forecast_windows(windows, "seasonal_naive", named.season)
        assert round(mse(forecasts, window_truth(windows)), 3) == expected


def test_other_content_is_read_but_is_not_the_release(tmp_path, real_data):
    load("etth1", real_data)
    source = real_data / "ett" / "ETTh1.csv"
    shutil.copyfile(source, tmp_path / "ETTh1.csv")
    assert load_named_series("etth1", tmp_path).is_release
    lines = source.read_text().splitlines()
    (tmp_path / "ETTh1.csv").write_text("\n".join([*lines[:-1], lines[-1].replace("10.11", "10.12")]))
    assert not load_named_series("etth1", tmp_path).is_release
