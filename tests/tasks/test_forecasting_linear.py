"""The linear map of a forecaster, fitted in closed form before the first step of a run."""

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from transformers import pipeline

from tests.tasks.forecasts import SIZES, frame, load, make_task
from zoo.commands.train import main as train
from zoo.models.lstm_forecaster import LSTMForecasterConfig, LSTMForecasterForPrediction
from zoo.record import RunRecord
from zoo.tasks import forecasting
from zoo.tasks.base import Parent
from zoo.tasks.forecasting.arguments import ForecastingArguments
from zoo.training.trainer import Prediction

FIELDS = {"linear_skip": True, "level_weight": 0.3, "scaling": "last"}


@pytest.fixture(scope="module")
def fitted(forecaster, tmp_path_factory) -> tuple[Path, str]:
    """A finished run of a point forecaster that began with ridge regression, and its output."""
    folder, output = tmp_path_factory.mktemp("linear"), io.StringIO()
    recipe = yaml.safe_load((forecaster.parent / "tiny.yaml").read_text())
    recipe["model"] = {**SIZES, **FIELDS}
    recipe["data"] = {"standardize": True, "skip_ridge": 0.05, "train_file": str(forecaster.parent / "mine.csv")}
    recipe["data"] |= {
        "timestamp_column": "date",
        "intervals": [0.8],
        "calibration_half_life": 0,
        "calibration_rate": 0,
    }
    recipe["training"]["num_train_epochs"] = 2
    (folder / "linear.yaml").write_text(yaml.safe_dump(recipe))
    with contextlib.redirect_stdout(output):
        assert train([str(folder / "linear.yaml"), "--output_dir", str(folder / "run"), "--disable_tqdm", "true"]) == 0
    return folder / "run", output.getvalue()


def make_model(**fields) -> LSTMForecasterForPrediction:
    torch.manual_seed(0)
    return LSTMForecasterForPrediction(LSTMForecasterConfig(**SIZES, **{**FIELDS, **fields}, input_size=2))


def test_training_keeps_the_map_of_the_training_windows(fitted, tmp_path):
    data, model = load(tmp_path / "mine.csv", frame(), standardize=True), make_model()
    batches = [make_task().collate([data.train[index] for index in range(len(data.train))])]
    assert model.fit_linear_skip(batches, 0.05) == 2 * len(data.train)
    weights = load_file(fitted[0] / "model.safetensors")
    torch.testing.assert_close(weights["skip.weight"], model.skip.weight.detach(), rtol=1e-3, atol=1e-5)
    assert weights["head.output.weight"].abs().max() > 0  # the net has learned something beside it
    assert "The linear map was fitted to 442 windows of single series by ridge regression" in fitted[1]
    record = RunRecord.read(fitted[0])
    assert record.recipe["data"]["skip_ridge"] == 0.05
    assert record.metrics["test"]["mse"] < record.baselines["naive"]["mse"]


def test_a_point_forecaster_gets_intervals_too(fitted):
    record = RunRecord.read(fitted[0])
    (row,) = record.tables["intervals"]
    assert row["level"] == 0.8 and "coverage_before" not in row and "coverage_fixed" not in row
    # ceil((29 + 1) 0.8) of the 29 validation windows are inside at every step and channel.
    assert record.metrics["validation"]["coverage_80"] == pytest.approx(24 / 29)
    found = pipeline("time-series-forecasting", model=str(fitted[0]), device="cpu")(frame())
    assert list(found.columns) == ["item_id", "timestamp", "target", "predictions", "0.1", "0.9"]
    assert (found["0.1"] <= found["predictions"]).all() and (found["predictions"] <= found["0.9"]).all()


def test_the_map_is_fitted_again_to_validation_windows_too(tmp_path):
    data, model = load(tmp_path / "mine.csv", frame(), standardize=True), make_model()
    task = make_task(model.config, standardize=True, skip_ridge=0.05, refit_on_validation=True)
    task.before_training(model, data, None)
    torch.nn.init.normal_(model.head.output.weight)  # the net has learned something
    before, net = model.skip.weight.clone(), model.head.output.weight.clone()
    truths = {name: (rows.truth(), rows) for name, rows in data.splits().items()}
    predictions = {name: Prediction(np.zeros_like(truth), truth, rows) for name, (truth, rows) in truths.items()}
    task.after_training(predictions["validation"])
    assert data.validation.processor.calibration is not None
    assert not torch.equal(model.skip.weight, before) and torch.equal(model.head.output.weight, net)
    rows = [split[index] for split in (data.train, data.validation) for index in range(len(split))]
    model.fit_linear_skip([task.collate(rows)], 0.05)
    again, expected = make_model(), model.skip.weight.clone()
    task.before_training(again, data, None)
    task.after_training(predictions["validation"])
    torch.testing.assert_close(again.skip.weight, expected, rtol=1e-3, atol=1e-5)
    # The record tells what the validation windows said before they were used.
    held_out = task.evaluate(predictions["validation"], intervals=True)["mse_held_out"]
    assert held_out == pytest.approx(np.square(data.validation.truth()).mean(), rel=1e-5)
    assert "mse_held_out" not in task.evaluate(predictions["test"], intervals=True)
    with pytest.raises(ValueError, match="set skip_ridge too"):
        ForecastingArguments(refit_on_validation=True)


def test_trained_weights_are_not_fitted_again(fitted, tmp_path):
    data = load(tmp_path / "mine.csv", frame(), standardize=True)
    model = LSTMForecasterForPrediction.from_pretrained(fitted[0])
    before = model.skip.weight.detach().clone()
    task = make_task(skip_ridge=0.05, standardize=True)
    (warning,) = task.before_training(model, data, Parent(str(fitted[0]), data.processor))
    assert "skip_ridge=0.05 is for new models" in warning
    assert torch.equal(model.skip.weight, before) and model.skip.weight.requires_grad  # it is trained further


def test_a_model_without_a_map_is_an_error(tmp_path):
    data = load(tmp_path / "mine.csv", frame(), standardize=True)
    task = make_task(skip_ridge=0.05, standardize=True)
    for parent in (None, Parent("runs/parent", data.processor)):
        with pytest.raises(ValueError, match="skip_ridge=0.05 fits the linear map of a model with linear_skip=True"):
            task.before_training(make_model(linear_skip=False), data, parent)


def test_values_of_another_size_are_refused(tmp_path):
    """A penalty for deviation 1 would suppress the map of small values, and not affect that of large ones."""
    data = load(tmp_path / "mine.csv", frame())
    task = make_task(skip_ridge=0.1)
    for fields, fits in (({}, False), ({"scale_loss": True}, False), ({"scaling": "std", "scale_loss": True}, True)):
        model = make_model(**fields)
        if fits:
            assert task.before_training(model, data, None)
        else:
            with pytest.raises(
                ValueError, match="skip_ridge=0.1 is a penalty for values of deviation 1: use standard"
            ):
                task.before_training(model, data, None)


def test_windows_with_gaps_only_raise(tmp_path):
    table = frame()
    table.loc[::5, ["a", "b"]] = None
    data = load(tmp_path / "mine.csv", table, standardize=True)
    model = make_model()
    with pytest.raises(ValueError, match="ridge regression has nothing to fit to.* fill the gaps"):
        make_task(skip_ridge=0.1, standardize=True).before_training(model, data, None)


def test_windows_of_a_long_series_are_sampled_from_all_of_it(tmp_path, monkeypatch):
    data = load(tmp_path / "mine.csv", frame())
    model = make_model()
    monkeypatch.setattr(forecasting, "RIDGE_SERIES", 10)
    read = []
    monkeypatch.setattr(type(data.train), "__getitem__", lambda self, index: read.append(index) or self.windows[index])
    monkeypatch.setattr(type(data.train), "__getitems__", None, raising=False)
    task = make_task(skip_ridge=0.1, standardize=True)
    assert task.before_training(model, data, None)[0].startswith("The linear map")
    assert len(read) == 5 and read[0] == 0 and read[-1] == len(data.train) - 1


@pytest.mark.parametrize("ridge", [-0.1, float("inf"), float("nan")])
def test_a_strength_that_cannot_be(ridge):
    with pytest.raises(ValueError, match="skip_ridge"):
        ForecastingArguments(skip_ridge=ridge)
