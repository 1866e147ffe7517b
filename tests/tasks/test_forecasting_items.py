"""Series that a model tells apart, and what is known of the future, from the files to the pipeline."""

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from transformers import pipeline

from zoo.commands.evaluate import main as evaluate
from zoo.commands.train import main as train
from zoo.models.lstm_forecaster import LSTMForecasterConfig, LSTMForecasterForPrediction
from zoo.record import RunRecord
from zoo.tasks.forecasting import ForecastingTask
from zoo.tasks.forecasting.arguments import ForecastingArguments
from zoo.tasks.forecasting.processor import SeriesProcessor

SIZES = {"context_length": 24, "prediction_length": 6, "patch_length": 6, "hidden_size": 16}
LEVELS = {"shop": 10.0, "mall": 5000.0, "kiosk": 0.1}


def frame(rows: int = 200, names=tuple(LEVELS)) -> pd.DataFrame:
    """Daily series of very different size, each with a holiday that doubles its value."""
    random = np.random.default_rng(0)
    tables = []
    for number, name in enumerate(names):
        holiday = (random.random(rows) < 0.2).astype(float)
        wave = 2 + np.sin(2 * np.pi * (np.arange(rows) + number) / 7)
        values = LEVELS.get(name, 1.0) * wave * (1 + holiday)
        stamps = pd.date_range("2024-01-01", periods=rows, freq="D")
        tables.append(pd.DataFrame({"item_id": name, "date": stamps, "target": values, "holiday": holiday}))
    return pd.concat(tables, ignore_index=True)


def load(tmp_path, table=None, saved=None, **fields):
    path = tmp_path / "items.csv"
    (frame() if table is None else table).to_csv(path, index=False)
    arguments = ForecastingArguments(
        train_file=str(path), timestamp_column="date", target_columns=["target"], **fields
    )
    return ForecastingTask(arguments).load_data(LSTMForecasterConfig(**SIZES), saved)


def test_each_series_has_z_scores_of_its_own_training_rows(tmp_path):
    data = load(tmp_path, standardize_per_series=True)
    values, table = data.train.windows.series, frame()
    for number, name in enumerate(LEVELS):
        training = values.item(number)[:140, 0]  # 70% of 200
        assert (training.mean(), training.std()) == pytest.approx((0, 1), abs=1e-5)
        np.testing.assert_allclose(
            data.test.in_data_units(data.test.truth())[number * 35],
            table[table["item_id"] == name]["target"][160:166].to_numpy()[:, None],
            rtol=1e-5,
        )
    changed = frame()
    changed.loc[changed.groupby("item_id").cumcount() >= 160, "target"] = 1e6
    assert load(tmp_path, changed, standardize_per_series=True).processor.to_dict() == data.processor.to_dict()
    assert data.notes["standardized"] is True


def test_units_of_a_series_change_no_relative_error(tmp_path):
    found = {}
    for per_series in (False, True):
        data = load(tmp_path, standardize_per_series=per_series)
        task = ForecastingTask(ForecastingArguments())
        found[per_series] = task.baselines(data.train, data.test)["seasonal_naive"]
    for name in ("mase", "smape", "owa", "rmsse"):
        assert found[True][name] == pytest.approx(found[False][name], rel=1e-3)
    assert found[False]["mse"] > 100 * found[True]["mse"]


def test_a_model_reads_which_series_it_forecasts(tmp_path):
    table = frame().assign(kind="store")
    data = load(tmp_path, table, item_embedding=True, static_columns=["kind"])
    assert data.model_fields["cardinality"] == [1, 3]
    batch = data.train.__getitems__([0, len(data.train) - 1])
    assert batch["static_categorical_features"].tolist() == [[0, 0], [0, 2]]
    # Files with some of the series, in another order, have the same codes.
    part = load(
        tmp_path, table[table["item_id"] != "shop"][::-1].sort_values("date"), data.processor, static_columns=["kind"]
    )
    codes = dict(zip(part.train.windows.series.item_ids, part.train.windows.series.static_categories[:, 1]))
    assert codes == {"mall": 1, "kiosk": 2}


def test_new_series_raise(tmp_path):
    other = frame(names=["shop", "bazaar"])
    saved = load(tmp_path, standardize_per_series=True).processor
    with pytest.raises(
        ValueError, match="z-scores of each training series, and not of 'bazaar'; known: shop, mall, kio"
    ):
        load(tmp_path, other, saved)
    saved = load(tmp_path, item_embedding=True).processor
    with pytest.raises(
        ValueError, match="series 'bazaar' was not in the training data; known: shop, .*train without item"
    ):
        load(tmp_path, other, saved)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run that tells series apart, scales each, and reads a covariate."""
    folder = tmp_path_factory.mktemp("items")
    frame().to_csv(folder / "items.csv", index=False)
    recipe = {
        "family": "lstm_forecaster",
        "task": "forecasting",
        "data": {
            "train_file": str(folder / "items.csv"),
            "timestamp_column": "date",
            "target_columns": ["target"],
            "known_columns": ["holiday"],
            "standardize_per_series": True,
            "item_embedding": True,
        },
        "model": {**SIZES, "scaling": "none", "patch_length": 1, "patch_embedding": False},
        "training": {"num_train_epochs": 8, "per_device_train_batch_size": 32, "learning_rate": 0.01, "use_cpu": True},
    }
    (folder / "items.yaml").write_text(yaml.safe_dump(recipe))
    assert train([str(folder / "items.yaml"), "--output_dir", str(folder / "run"), "--disable_tqdm", "true"]) == 0
    return folder / "run"


def test_a_run_with_items_learns_and_is_evaluated_again(run, capsys):
    record = RunRecord.read(run)
    assert record.metrics["test"]["mae"] < 0.5 * record.baselines["seasonal_naive"]["mae"]
    assert {row["series"] for row in record.tables["series"]} == set(LEVELS)
    assert evaluate([str(run)]) == 0
    assert f"mae {record.metrics['test']['mae']:.4f}" in capsys.readouterr().out
    assert SeriesProcessor.from_pretrained(run).item_ids == list(LEVELS)


def test_the_pipeline_reads_known_covariates_of_the_future(run):
    forecast = pipeline("time-series-forecasting", model=str(run), device="cpu")
    whole = frame(206)
    past = whole[whole.groupby("item_id").cumcount() < 200]
    future = whole[whole.groupby("item_id").cumcount() >= 200]
    options = {"timestamp_column": "date", "item_id_column": "item_id"}
    found = forecast(past, future=future.drop(columns="target"), **options)
    assert list(found["item_id"].unique()) == list(LEVELS) and len(found) == 18
    assert list(found["timestamp"][:6]) == list(pd.date_range("2024-07-19", periods=6, freq="D"))
    for name, level in LEVELS.items():
        rows, truth = (part[part["item_id"] == name] for part in (found, future))
        assert np.abs(rows["predictions"].to_numpy() - truth["target"].to_numpy()).mean() < 0.5 * level
        assert (rows["0.025"] < rows["0.975"]).all()
    # Targets in the frame of the future change nothing; its holidays do.
    pd.testing.assert_frame_equal(forecast(past, future=future.assign(target=1e9), **options), found)
    other = forecast(past, future=future.assign(target=0.0, holiday=1 - future["holiday"]), **options)
    assert np.abs(other["predictions"] / found["predictions"] - 1).max() > 0.2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda past, future: (past, None), "the model reads .'holiday'.: give those of the `future`"),
        (
            lambda past, future: (past, future[future["item_id"] != "mall"]),
            "must have exactly the 6 steps after the end of each",
        ),
        (lambda past, future: (past, future.drop(columns="holiday")), "no column 'holiday', which the model reads"),
        (lambda past, future: ("items.csv", future), "goes with a frame of the past"),
        (
            lambda past, future: (past.replace("mall", "bazaar"), future.replace("mall", "bazaar")),
            "series 'bazaar' was not",
        ),
    ],
)
def test_the_pipeline_rejects_a_wrong_future(run, change, message):
    forecast = pipeline("time-series-forecasting", model=str(run), device="cpu")
    whole = frame(206)
    counter = whole.groupby("item_id").cumcount()
    past, future = change(whole[counter < 200], whole[counter >= 200].drop(columns="target"))
    with pytest.raises(ValueError, match=message):
        forecast(past, future=future, timestamp_column="date", item_id_column="item_id")


def test_the_future_may_have_an_index_and_needs_no_static_columns(tmp_path):
    kinds = {"shop": "indoor", "mall": "indoor", "kiosk": "outdoor"}
    table = frame(206)
    table["kind"] = table["item_id"].map(kinds)
    data = load(tmp_path, table, known_columns=["holiday"], static_columns=["kind"], standardize=True)
    torch.manual_seed(0)
    model = LSTMForecasterForPrediction(LSTMForecasterConfig(**SIZES, **data.model_fields)).eval()
    forecast = pipeline("time-series-forecasting", model=model, device="cpu", series_processor=data.processor)
    late = table.groupby("item_id").cumcount() >= 200
    past, future = table[~late], table[late].drop(columns=["target", "kind"])
    found = forecast(past, future=future, timestamp_column="date")
    assert len(found) == 18 and np.isfinite(found["predictions"]).all()
    index = ["item_id", "date"]
    pd.testing.assert_frame_equal(
        forecast(past.set_index(index), future=future.set_index(index), timestamp_column="date"), found
    )


def test_static_numbers_are_z_scores_over_the_training_series(tmp_path):
    people = {"shop": 1e6, "mall": 3e6, "kiosk": 2e6}
    table = frame()
    table["people"] = table["item_id"].map(people)
    data = load(tmp_path, table, static_columns=["people"])
    expected = {"shop": -(1.5**0.5), "mall": 1.5**0.5, "kiosk": 0.0}
    found = data.test.windows.series.static_real[:, 0]
    np.testing.assert_allclose(found, [expected[name] for name in LEVELS], atol=1e-6)
    # Other series are scaled by the training series.
    part = load(tmp_path, table[table["item_id"] == "mall"], data.processor, static_columns=["people"])
    np.testing.assert_allclose(part.train.windows.series.static_real, [[1.5**0.5]], atol=1e-6)


def test_a_new_series_is_scaled_by_its_history(tmp_path):
    data = load(tmp_path, standardize_per_series=True)
    torch.manual_seed(0)
    model = LSTMForecasterForPrediction(LSTMForecasterConfig(**SIZES, scaling="none")).eval()
    forecast = pipeline("time-series-forecasting", model=model, device="cpu", series_processor=data.processor)
    values = np.sin(np.arange(50.0))
    found = forecast({"bazaar": 100 + 7 * values, "shop": values})
    assert list(found["item_id"].unique()) == ["bazaar", "shop"]
    again = forecast({"other": 1000 + 70 * values})
    # Ten times as large in every way: the same z-scores, so the same forecast ten times as large.
    np.testing.assert_allclose(again["predictions"], 10 * found["predictions"][:6], rtol=1e-5)
    past, future = frame(56, ["bazaar"]).iloc[:50], frame(56, ["bazaar"]).iloc[50:]
    options = {"timestamp_column": "date", "target_columns": ["target"]}
    expected = forecast(past, **options)
    found = forecast(past, future=future.assign(target=1e9), **options)
    pd.testing.assert_frame_equal(found, expected)  # the future is no part of the history
    with pytest.raises(ValueError, match="at least one series to forecast"):
        forecast({})
