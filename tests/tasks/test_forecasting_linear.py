"""The linear map of a forecaster, fitted in closed form before the first step of a run."""

import pytest
import torch
import yaml
from safetensors.torch import load_file

from tests.tasks.forecasts import SIZES, frame, load, make_task
from zoo.commands.evaluate import main as evaluate
from zoo.commands.train import main as train
from zoo.models.lstm_forecaster import LSTMForecasterConfig, LSTMForecasterForPrediction
from zoo.record import RunRecord
from zoo.tasks import forecasting
from zoo.tasks.forecasting.arguments import ForecastingArguments

FIELDS = {"linear_skip": True, "level_weight": 0.3, "scaling": "last"}


@pytest.fixture(scope="module")
def fitted(forecaster, tmp_path_factory):
    """A finished run that began with ridge regression."""
    folder = tmp_path_factory.mktemp("linear")
    recipe = yaml.safe_load((forecaster.parent / "tiny.yaml").read_text())
    recipe["model"] = {**SIZES, **FIELDS}
    recipe["data"] = {"standardize": True, "skip_ridge": 0.05}
    recipe["training"]["num_train_epochs"] = 2
    (folder / "linear.yaml").write_text(yaml.safe_dump(recipe))
    assert train([str(folder / "linear.yaml"), *flags(forecaster, folder / "run")]) == 0
    return folder / "run"


def flags(forecaster, output):
    source = ["--train_file", str(forecaster.parent / "mine.csv"), "--timestamp_column", "date"]
    return [*source, "--target_columns", "a", "b", "--output_dir", str(output), "--disable_tqdm", "true"]


def skip_of(folder) -> torch.Tensor:
    return load_file(folder / "model.safetensors")["skip.weight"]


def test_training_keeps_the_map_of_the_training_windows(fitted, tmp_path):
    data = load(tmp_path / "mine.csv", frame(), standardize=True)
    model = LSTMForecasterForPrediction(LSTMForecasterConfig(**SIZES, **FIELDS, input_size=2))
    batches = [make_task().collate([data.train[index] for index in range(len(data.train))])]
    assert model.fit_linear_skip(batches, 0.05) == 2 * len(data.train)
    torch.testing.assert_close(skip_of(fitted), model.skip.weight.detach(), rtol=1e-3, atol=1e-5)
    head = load_file(fitted / "model.safetensors")["head.output.weight"]
    assert head.abs().max() > 0  # the net has learned something beside it


def test_a_fitted_model_is_evaluated(fitted, tmp_path):
    record = RunRecord.read(fitted)
    assert record.recipe["data"]["skip_ridge"] == 0.05
    assert record.metrics["test"]["mse"] < record.baselines["naive"]["mse"]
    assert evaluate([str(fitted), "--output_dir", str(tmp_path / "out")]) == 0


def test_a_run_prints_what_it_fitted(forecaster, fitted, tmp_path, capsys):
    recipe = str(fitted.parent / "linear.yaml")
    assert train([recipe, *flags(forecaster, tmp_path / "run"), "--max_steps", "1"]) == 0
    assert "The linear map was fitted to 442 windows of single series by ridge regression" in capsys.readouterr().out


def test_trained_weights_are_not_fitted_again(forecaster, fitted, tmp_path, capsys):
    recipe = str(fitted.parent / "linear.yaml")
    start = ["--model_name_or_path", str(fitted), "--max_steps", "2"]
    assert train([recipe, *flags(forecaster, tmp_path / "run"), *start]) == 0
    assert "skip_ridge=0.05 is for new models" in capsys.readouterr().out
    assert not torch.equal(skip_of(tmp_path / "run"), skip_of(fitted))  # it goes on learning


def test_a_model_without_a_map_is_an_error_in_one_line(forecaster, fitted, tmp_path, capsys):
    recipe = str(fitted.parent / "linear.yaml")
    off = ["--model_overrides", "linear_skip=false"]
    assert train([recipe, *flags(forecaster, tmp_path / "run"), *off]) == 1
    assert "skip_ridge=0.05 fits the linear map of a model with linear_skip=True" in capsys.readouterr().err
    assert train([recipe, *flags(forecaster, tmp_path / "run"), *off, "--model_name_or_path", str(fitted)]) == 1
    assert "skip_ridge=0.05 fits the linear map of a model with linear_skip=True" in capsys.readouterr().err


def test_values_of_another_size_are_refused(tmp_path):
    """A penalty for deviation 1 would suppress the map of small values, and not affect that of large ones."""
    data = load(tmp_path / "mine.csv", frame())
    task = make_task(skip_ridge=0.1)
    for fields, fits in (({}, False), ({"scale_loss": True}, False), ({"scaling": "std", "scale_loss": True}, True)):
        config = LSTMForecasterConfig(**SIZES, **{**FIELDS, **fields}, input_size=2)
        model = LSTMForecasterForPrediction(config)
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
    model = LSTMForecasterForPrediction(LSTMForecasterConfig(**SIZES, **FIELDS, input_size=2))
    with pytest.raises(ValueError, match="ridge regression has nothing to fit to.* fill the gaps"):
        make_task(skip_ridge=0.1, standardize=True).before_training(model, data, None)


def test_windows_of_a_long_series_are_sampled_from_all_of_it(tmp_path, monkeypatch):
    data = load(tmp_path / "mine.csv", frame())
    model = LSTMForecasterForPrediction(LSTMForecasterConfig(**SIZES, **FIELDS, input_size=2))
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
