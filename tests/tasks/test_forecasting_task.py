"""Forecasting from a CSV to a run, its record, its evaluation and its pipeline."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from transformers import pipeline

from tests.tasks.forecasts import SIZES, frame, load, make_task
from zoo.commands.evaluate import main as evaluate
from zoo.commands.train import main as train
from zoo.hub.card import render_card
from zoo.models.lstm_forecaster import LSTMForecasterConfig, LSTMForecasterForPrediction
from zoo.record import RunRecord
from zoo.tasks.forecasting import ForecastingTask
from zoo.tasks.forecasting.processor import SeriesProcessor
from zoo.tasks.forecasting.report import by_step
from zoo.training.command_line import parse_run
from zoo.training.trainer import Prediction

QUANTILES = ["0.025", "0.1", "0.25", "0.5", "0.75", "0.9", "0.975"]


def test_an_own_file_alone_evaluates_a_model(forecaster, tmp_path):
    """All its rows are test rows; the statistics are those of the saved processor."""
    copy = shutil.copytree(forecaster, tmp_path / "run")
    (copy / "recipe.yaml").write_text((copy / "recipe.yaml").read_text().replace("mine.csv", "gone.csv"))
    frame()[300:].to_csv(tmp_path / "new.csv", index=False)
    flags = ["--test_file", str(tmp_path / "new.csv"), "--output_dir", str(tmp_path / "out")]
    assert evaluate([str(copy), *flags]) == 0
    measured = json.loads((tmp_path / "out/evaluation.json").read_text())["metrics"]
    assert [*measured] == ["test"] and measured["test"]["n"] == 100 - 48 - 12 + 1
    assert measured["test"]["mse"] == pytest.approx(RunRecord.read(forecaster).metrics["test"]["mse"], rel=0.5)


def test_a_folder_that_would_be_ignored_raises(forecaster):
    task = make_task(train_file=str(forecaster.parent / "mine.csv"), data_dir="/mine")
    with pytest.raises(ValueError, match="data_dir=/mine has the files of a known data set, but a file of your own"):
        task.load_data(task.config)


def test_a_run_is_complete_and_learns(forecaster):
    names = {path.name for path in forecaster.iterdir()}
    assert {"config.json", "model.safetensors", "preprocessor_config.json", "recipe.yaml", "results.json"} <= names
    plots = {"forecasts.png", "error_by_step.png", "calibration.png", "coverage_by_step.png", "learning_curves.png"}
    assert {path.name for path in (forecaster / "pictures").iterdir()} == plots
    record = RunRecord.read(forecaster)
    assert record.metrics["test"]["n"] == 80 - 12 + 1 and record.metrics["validation"]["n"] == 40 - 12 + 1
    assert set(record.baselines) == {"seasonal_naive", "naive", "drift", "naive2"}
    assert record.metrics["test"]["mse"] < 0.3 * record.baselines["naive"]["mse"]
    assert {"mae", "smape", "mase", "rmsse", "owa", "crps", "wql", "coverage_80", "msis_80"} <= set(
        record.metrics["test"]
    )
    assert record.fit["metric"] == "mse" and record.fit["test"] == record.metrics["test"]["mse"]
    assert len(record.tables["steps"]["model"]["mae"]) == 12
    assert {row["channel"] for row in record.tables["series"]} == {"a", "b"}
    assert record.data["notes"]["channels"] == ["a", "b"] and record.data["notes"]["season"] == 24


def test_the_best_checkpoint_is_the_one_with_the_lowest_error(forecaster):
    history = RunRecord.read(forecaster).history
    best = min(entry["eval_mse"] for entry in history if "eval_mse" in entry)
    assert RunRecord.read(forecaster).metrics["validation"]["mse"] == pytest.approx(best, rel=1e-4)


def test_evaluation_measures_what_the_record_says(forecaster, tmp_path, capsys):
    assert evaluate([str(forecaster), "--split", "all", "--output_dir", str(tmp_path / "out")]) == 0
    measured = json.loads((tmp_path / "out/evaluation.json").read_text())["metrics"]
    recorded = json.loads((forecaster / "results.json").read_text())["metrics"]
    assert measured.keys() == recorded.keys()
    for split in measured:
        assert measured[split] == pytest.approx(recorded[split])
    assert "test: mse" in capsys.readouterr().out


def test_intervals_are_calibrated_on_validation_and_recorded_before_and_after(forecaster):
    tables, metrics = RunRecord.read(forecaster).tables, RunRecord.read(forecaster).metrics
    rows = {row["level"]: row for row in tables["intervals"]}
    assert set(rows) == {0.5, 0.8, 0.95}
    assert abs(rows[0.8]["coverage"] - 0.8) < abs(rows[0.8]["coverage_before"] - 0.8)
    assert rows[0.8]["coverage"] == metrics["test"]["coverage_80"] and rows[0.8]["width_before"] > 0
    # The model has no 95% interval of its own.
    assert "coverage_before" not in rows[0.95] and rows[0.95]["width"] == metrics["test"]["width_95"]
    assert len(rows[0.95]["coverage_by_step"]) == 12 and len(rows[0.95]["coverage_by_channel"]) == 2
    assert [row["level"] for row in tables["calibration_before"]] == [0.1, 0.5, 0.9]
    saved = SeriesProcessor.from_pretrained(forecaster).intervals
    assert saved.windows == metrics["validation"]["n"] and not saved.from_point
    assert [interval.margins.shape for interval in saved.intervals] == [(12, 2)] * 3


def test_calibration_follows_its_data_fields(tmp_path):
    data = load(tmp_path / "mine.csv", frame())
    truth = data.validation.truth()
    # Errors grow from window to window: where recent windows count more, intervals are wider.
    predictions = truth + np.linspace(0.1, 1, len(truth))[:, None, None] * data.validation.spreads
    margins = {}
    for half_life in (None, 0, 1000):
        task = make_task(intervals=[0.5], calibration_half_life=half_life)
        task.after_training(Prediction(predictions, truth, data.validation))
        (interval,) = data.processor.intervals.intervals
        assert interval.margins == pytest.approx(interval.margins[0, 0], rel=1e-4)
        margins[half_life] = interval.margins[0, 0]
    assert margins[None] > margins[0] + 0.1 and margins[1000] == pytest.approx(margins[0], abs=0.04)
    make_task(intervals=[]).after_training(Prediction(predictions, truth, data.validation))
    assert data.processor.intervals is None


def test_other_channels_are_one_line(forecaster, capsys):
    assert evaluate([str(forecaster), "--target_columns", "a"]) == 1
    assert "the model forecasts 2 channels (a, b), the data has 1 (a)" in capsys.readouterr().err


def save_untrained(folder, data):
    """A model with random weights and the processor of its data, as a run leaves them."""
    torch.manual_seed(0)
    LSTMForecasterForPrediction(LSTMForecasterConfig(**SIZES, **data.model_fields)).save_pretrained(folder)
    data.processor.save_pretrained(folder)
    return str(folder)


def test_channels_are_found_by_name_and_not_by_place(tmp_path):
    data = load(tmp_path / "mine.csv", frame(), standardize=True)
    other = frame()[["date", "b", "a"]].assign(c="text")
    again = load(tmp_path / "other.csv", other[["date", "b", "a"]], data.processor)
    for name, tensor in data.test[0].items():
        torch.testing.assert_close(again.test[0][name], tensor)
    forecast = pipeline("time-series-forecasting", model=save_untrained(tmp_path / "run", data), device="cpu")
    other.to_csv(tmp_path / "more.csv", index=False)
    expected = forecast(frame())
    pd.testing.assert_frame_equal(forecast(str(tmp_path / "more.csv")), expected)
    # Names that the model does not know are taken by position; some of each would be a guess.
    renamed = forecast(frame().rename(columns={"a": "x", "b": "y"}))
    np.testing.assert_array_equal(renamed["predictions"], expected["predictions"])
    with pytest.raises(ValueError, match=r"2 channels \(a, b\), the data has 2 \(a, y\)"):
        forecast(frame().rename(columns={"b": "y"}))


def test_the_calendar_that_a_model_reads_must_be_there(tmp_path):
    data = load(tmp_path / "mine.csv", frame(), time_features=True)
    forecast = pipeline("time-series-forecasting", model=save_untrained(tmp_path / "run", data), device="cpu")
    with pytest.raises(ValueError, match="reads the calendar of series of frequency 'h', but these have no dates"):
        forecast(np.ones((60, 2)))
    with pytest.raises(ValueError, match="but these have the frequency 'D'"):
        forecast(frame().assign(date=pd.date_range("2024-01-01", periods=400, freq="D")))
    with pytest.raises(ValueError, match="time_features: .*have no dates; give others, or train without"):
        load(tmp_path / "steps.csv", frame().assign(date=np.arange(400)), time_features=True)


def test_another_frequency_warns(caplog):
    forecast = plain_pipeline()
    forecast.series_processor.frequency = "15min"  # a frequency of its own: the warning is shown once
    stamps = pd.date_range("2024-01-01", periods=60, freq="D")
    forecast(pd.DataFrame({"timestamp": stamps, "target": np.arange(60.0)}))
    assert "trained on series of frequency '15min'; these have 'D'" in caplog.text


def test_a_damaged_processor_is_no_missing_one(tmp_path):
    save_untrained(tmp_path / "run", load(tmp_path / "mine.csv", frame()))
    (tmp_path / "run/preprocessor_config.json").write_text("{")
    with pytest.raises(OSError, match="preprocessor_config.json"):
        pipeline("time-series-forecasting", model=str(tmp_path / "run"), device="cpu")
    (tmp_path / "run/preprocessor_config.json").unlink()
    forecast = pipeline("time-series-forecasting", model=str(tmp_path / "run"), device="cpu")
    assert forecast.series_processor.channels == ["target_0", "target_1"]


def test_the_pipeline_forecasts_in_the_units_of_the_data(forecaster):
    forecast = pipeline("time-series-forecasting", model=str(forecaster), device="cpu")
    whole = frame(424)
    found = forecast(whole[:400])
    assert list(found.columns) == ["item_id", "timestamp", "target", "predictions", *QUANTILES]
    assert list(found["target"]) == ["a"] * 12 + ["b"] * 12
    assert list(found["timestamp"][:12]) == list(whole["date"][400:412])
    for channel, size in (("a", 1), ("b", 100)):
        rows = found[found["target"] == channel]
        truth = size * np.sin(np.arange(400, 412) * 2 * np.pi / 24) + (1000 if channel == "b" else 0)
        assert np.abs(rows["predictions"].to_numpy() - truth).mean() < 0.4 * size
        assert (rows["0.1"] <= rows["0.5"]).all() and (rows["0.5"] <= rows["0.9"]).all()
    assert len(forecast(whole[:400], prediction_length=30)) == 60


def plain_pipeline(**fields):
    torch.manual_seed(0)
    model = LSTMForecasterForPrediction(LSTMForecasterConfig(**SIZES, **fields)).eval()
    return pipeline("time-series-forecasting", model=model, device="cpu")


def test_the_pipeline_takes_lists_arrays_and_long_frames():
    forecast = plain_pipeline()
    numbers = [float(number % 7) for number in range(60)]
    expected = forecast(numbers)
    assert list(expected["item_id"]) == ["0"] * 12 and np.isfinite(expected["predictions"]).all()
    pd.testing.assert_frame_equal(forecast(np.array(numbers)), expected)
    both = forecast([numbers, numbers[:20]])
    assert list(both["item_id"].unique()) == ["0", "1"]
    np.testing.assert_allclose(both["predictions"][:12], expected["predictions"], atol=1e-5)
    stamps = pd.date_range("2024-01-01", periods=60, freq="D")
    long = pd.DataFrame({"item_id": "x", "timestamp": stamps, "target": numbers})
    found = forecast(long)
    np.testing.assert_allclose(found["predictions"], expected["predictions"], atol=1e-5)
    assert found["timestamp"][0] == pd.Timestamp("2024-03-01")
    dated = pd.Series(numbers, index=stamps)
    pd.testing.assert_frame_equal(forecast(dated), found.assign(item_id="series"))
    pd.testing.assert_frame_equal(forecast(dated.reset_index(drop=True)), expected)
    german = long.assign(timestamp=stamps.strftime("%d.%m.%Y"))
    pd.testing.assert_frame_equal(forecast(german, timestamp_format="%d.%m.%Y"), found)
    forecast.series_processor.timestamp_format = "%d.%m.%Y"  # as it is after training on such a file
    pd.testing.assert_frame_equal(forecast(german), found)
    pd.testing.assert_frame_equal(forecast(long), found)


def test_a_series_without_a_value_has_no_forecast(caplog):
    known = [float(number % 7) for number in range(60)]
    table = plain_pipeline()({"shop": known, "empty": [1.0] * 20 + [np.nan] * 50})
    shop, empty = table[table.item_id == "shop"], table[table.item_id == "empty"]
    numbers = table.columns[3:]
    assert np.isfinite(shop[numbers]).all(axis=None) and empty[numbers].isna().all(axis=None)
    assert "series 'empty', 'target': holds no value in its last 48 rows, so its forecast is NaN" in caplog.text


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        (np.zeros((30, 3)), {}, r"a series has shape \(30, 3\), but the model takes \(rows, 1\)"),
        ([1.0, 2.0], {"prediction_length": 0}, "prediction_length=0 must be a number of steps, 1 or more"),
        ([1.0, 2.0], {"prediction_length": "7"}, "prediction_length='7' must be a number of steps"),
        ([], {}, "at least one series to forecast, found none"),
        (["mine.csv", "other.csv"], {}, "expected numbers, or one path or frame"),
        ({"shop": [1.0, float("inf")]}, {}, "series 'shop', row 1: holds an infinite value"),
    ],
)
def test_the_pipeline_rejects(inputs, options, message):
    with pytest.raises(ValueError, match=message):
        plain_pipeline()(inputs, **options)


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        ([], 1, "name the data: --train_file mine.csv, or --dataset_name"),
        (["--train_file", "/nowhere.csv"], 1, "/nowhere.csv is not a file"),
        (["--train_file", "MINE", "--data_dir", "/mine"], 2, "--train_file and --data_dir both name the data"),
        (["--test_file", "MINE"], 1, "need --train_file"),
        (["--train_file", "MINE", "--target_columns", "c"], 1, "'c'"),
        (["--train_file", "MINE", "--model_overrides", "context_length=900"], 1, "mine.csv, train split: series"),
        (["--train_file", "MINE", "--validation_size", "-1"], 2, "validation_size=-1.0 must be at least 0"),
        (["--train_file", "MINE", "--validation_size", "0"], 1, "no validation rows to choose the checkpoint by"),
        (
            ["--train_file", "MINE", "--validation_size", "40"],
            1,
            "validation_size=40 is a number of rows: give the other",
        ),
        (["--train_file", "MINE", "--intervals", "80"], 2, "intervals=[80.0] must be coverages between 0 and 1"),
        (["--dataset_name", "m4-hourly"], 1, "48 steps ahead: set prediction_length"),
    ],
)
def test_bad_input_is_one_line(forecaster, tmp_path, capsys, flags, code, message):
    flags = [str(forecaster.parent / "mine.csv") if flag == "MINE" else flag for flag in flags]
    assert train([str(forecaster.parent / "tiny.yaml"), *flags, "--output_dir", str(tmp_path / "run")]) == code
    error = capsys.readouterr().err.strip().splitlines()
    assert message in error[-1] and error[-1].startswith("error: ") and "Traceback" not in "\n".join(error)


def test_no_test_row_reaches_training(tmp_path):
    table = frame()
    before = load(tmp_path / "one.csv", table, standardize=True)
    table.loc[320:, ["a", "b"]] = 1e6
    after = load(tmp_path / "two.csv", table, standardize=True)
    assert after.processor.to_dict() == before.processor.to_dict()
    assert after.fingerprint["train"] == before.fingerprint["train"]
    assert after.fingerprint["test"] != before.fingerprint["test"]
    for name, tensor in before.train[len(before.train) - 1].items():
        torch.testing.assert_close(after.train[len(after.train) - 1][name], tensor)


def test_a_saved_processor_keeps_its_units(tmp_path):
    saved = load(tmp_path / "one.csv", frame(), standardize=True).processor
    saved.save_pretrained(tmp_path)
    again = SeriesProcessor.from_pretrained(tmp_path)
    assert again.mean == saved.mean and again.channels == ["a", "b"]
    table = frame()
    table["a"] += 5
    moved = load(tmp_path / "two.csv", table, again, standardize=True)
    assert moved.processor is again
    assert moved.train[0]["past_values"][:, 0].mean() > 5


def test_units_change_squared_errors_and_no_relative_ones(tmp_path):
    found = {}
    for standardize in (False, True):
        data = load(tmp_path / "mine.csv", frame(), standardize=standardize)
        found[standardize] = make_task().baselines(data.train, data.test)["seasonal_naive"]
    for name in ("mase", "smape", "owa", "rmsse"):
        assert found[True][name] == pytest.approx(found[False][name], rel=1e-3)
    assert found[False]["mse"] > 10 * found[True]["mse"]


def test_missing_future_values_are_nan_for_model_and_metrics(tmp_path):
    table = frame()
    table.loc[48, "a"] = np.nan
    data = load(tmp_path / "mine.csv", table)
    batch = make_task().collate(data.train.__getitems__([0, 20]))
    assert "item" not in batch and "future_observed_mask" not in batch
    missing = batch["future_values"].isnan()
    assert missing[0, 0, 0] and missing.sum() == 1
    assert not batch["past_observed_mask"][1, 28, 0]


def test_a_split_with_a_file_of_its_own(tmp_path):
    table = frame()
    table[300:].to_csv(tmp_path / "test.csv", index=False)
    data = load(tmp_path / "train.csv", table[:300], test_file=str(tmp_path / "test.csv"), validation_size=60)
    assert len(data.test) == 100 - 48 - 12 + 1 and len(data.validation) == 60 - 12 + 1
    assert len(data.train) == 240 - 48 - 12 + 1
    for name, size in (
        ("test_file", "test_size"),
        ("validation_file", "validation_size"),
        ("validation_file", "test_size"),
    ):
        with pytest.raises(ValueError, match=f"{size}=30 would split nothing off train_file, beside a {name}"):
            load(tmp_path / "train.csv", table[:300], **{name: str(tmp_path / "test.csv"), size: 30})


def test_an_own_file_has_its_own_season(tmp_path):
    # As with --train_file on a recipe that names a data set.
    daily = frame().assign(date=pd.date_range("2024-01-01", periods=400, freq="D"))
    data = load(tmp_path / "mine.csv", daily, dataset_name="etth1")
    assert data.processor.season == 7 and data.notes["season"] == 7


def test_a_flag_that_names_a_data_set_replaces_the_file_of_the_recipe(tmp_path):
    recipe = {"family": "lstm_forecaster", "task": "forecasting", "data": {"train_file": "mine.csv", "season": 7}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(recipe))
    settings = parse_run([str(tmp_path / "mine.yaml"), "--dataset_name", "etth1"])
    assert settings.recipe.data == {"dataset_name": "etth1", "season": 7}
    assert settings.data.train_file is None


def test_short_series_are_left_out_of_every_split(tmp_path):
    table = pd.concat(
        [frame()[["date", "a"]].assign(item_id="long"), frame(60)[["date", "a"]].assign(item_id="short")]
    )
    with pytest.raises(ValueError, match="series 'short' has 42 rows.*or set skip_short"):
        load(tmp_path / "mine.csv", table)
    data = load(tmp_path / "mine.csv", table, skip_short=True)
    assert data.notes["skipped_series"] == {"train": 1, "validation": 1}


def test_a_step_without_truth_has_no_error_and_no_warning():
    truth = np.ones((2, 3, 1))
    truth[:, 1] = np.nan
    found = by_step(np.zeros((2, 3, 1)), truth)
    assert np.isnan(found["mae"]).tolist() == [False, True, False] and found["mse"][2] == 1


def test_limits_take_windows_from_everywhere(tmp_path):
    data = load(tmp_path / "mine.csv", frame(), max_train_samples=10, max_predict_samples=3)
    assert len(data.train) == 10 and len(data.test) == 3
    assert data.train.numbers[-1] == len(data.train.windows) - 1


def test_the_card_says_what_the_record_says(forecaster):
    record = RunRecord.read(forecaster)
    card = render_card(record)
    assert "pipeline_tag: time-series-forecasting" in card
    assert f"{record.metrics['test']['mse']:.4f}" in card and "baseline: naive2" in card
    row = {row["level"]: row for row in record.tables["intervals"]}[0.8]
    (line,) = [line for line in card.splitlines() if line.startswith("| 80% |")]
    shown = [f"{100 * row[f'coverage{suffix}']:.1f}%" for suffix in ("", "_fixed", "_before")]
    shown += [f"{row[f'width{suffix}']:.4g}" for suffix in ("", "_fixed", "_before")]
    assert all(metric in line for metric in shown) and line.count("|") == 10
    for plot in (forecaster / "pictures").iterdir():
        assert f"(pictures/{plot.name})" in card
    del record.tables["calibration_before"]  # a point head
    (line,) = [line for line in render_card(record).splitlines() if line.startswith("| 80% |")]
    assert line.count("|") == 8
    for row in record.tables["intervals"]:  # one window per series: nothing to follow
        for name in ("coverage_fixed", "width_fixed", "msis_fixed"):
            del row[name]
    (line,) = [line for line in render_card(record).splitlines() if line.startswith("| 80% |")]
    assert line.count("|") == 5


def test_the_python_example_of_the_docs_runs(tmp_path, monkeypatch):
    text = (Path(__file__).parents[2] / "docs/guides/forecasting.md").read_text()
    (code,) = [part.split("```")[0] for part in text.split("```python")[1:] if "make_trainer(" in part]
    monkeypatch.chdir(tmp_path)
    frame().to_csv("mine.csv", index=False)
    names = {}
    exec(code.replace("num_train_epochs=5", "max_steps=2, use_cpu=True, disable_tqdm=True"), names)
    assert len(names["data"].train) == 280 - 48 - 12 + 1 and names["model"].config.input_size == 2
    assert names["trainer"].state.global_step == 2 and np.isfinite(names["metrics"]["mse"])
    assert 0 < names["metrics"]["coverage_80"] <= 1


def test_some_channels_of_a_named_data_set(tmp_path):
    values = np.random.default_rng(0).normal(size=(14_400, 3))
    table = pd.DataFrame(values, columns=["HUFL", "LULL", "OT"])
    table.insert(0, "date", pd.date_range("2016-07-01", periods=len(table), freq="h"))
    table.to_csv(tmp_path / "ETTh1.csv", index=False)
    task = make_task(dataset_name="etth1", data_dir=str(tmp_path), target_columns=["OT", "HUFL"])
    data = task.load_data(task.config)
    assert data.model_fields["input_size"] == 2 and data.processor.channels == ["OT", "HUFL"]
    np.testing.assert_allclose(data.train.windows.series.values, values[:, [2, 0]], rtol=1e-6)
    for fields, message in (
        ({"target_columns": ["XY"]}, "no column 'XY'; the data has HUFL, LULL, OT"),
        ({"known_columns": ["HUFL"]}, "etth1 has its own columns: leave out known_columns"),
        ({"test_size": 0.3}, "etth1 has its own split: leave out test_size"),
    ):
        with pytest.raises(ValueError, match=message):
            ForecastingTask(dataclasses.replace(task.arguments, **fields)).load_data(task.config)
