"""The level that a forecaster is told, and its linear map fitted in closed form."""

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from sklearn.linear_model import Ridge

from zoo.models.lstm_forecaster import LSTMForecasterConfig, LSTMForecasterForPrediction

FIELDS = {"context_length": 10, "prediction_length": 6, "patch_length": 4, "input_size": 2, "hidden_size": 8}


def model(**fields) -> LSTMForecasterForPrediction:
    torch.manual_seed(0)
    fields = {**FIELDS, "linear_skip": True, "scaling": "last", **fields}
    return LSTMForecasterForPrediction(LSTMForecasterConfig(**fields)).eval()


def batches(count: int = 4, size: int = 32) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    walks = torch.randn(count, size, 16, 2, generator=generator).cumsum(dim=2)
    return [{"past_values": walk[:, :10], "future_values": walk[:, 10:]} for walk in walks]


def rows(parts: list[dict[str, torch.Tensor]], name: str) -> torch.Tensor:
    """(series of windows, steps)."""
    return torch.cat([part[name].transpose(1, 2).flatten(0, 1) for part in parts])


@pytest.mark.parametrize("scaling", ["last", "std", "last_std"])
@pytest.mark.parametrize("level_weight", [0.0, 0.3])
def test_the_map_is_that_of_ridge_regression(scaling, level_weight):
    fitted, parts = model(decoding="segments", scaling=scaling, level_weight=level_weight), batches()
    assert fitted.fit_linear_skip(parts, ridge=0.1) == 4 * 32 * 2
    past, future = rows(parts, "past_values"), rows(parts, "future_values")
    loc = past.mean(dim=1, keepdim=True) if scaling == "std" else past[:, -1:]
    inputs = past - loc
    if level_weight:
        inputs = torch.cat([inputs, level_weight * loc, torch.ones_like(loc)], dim=1)
    expected = Ridge(alpha=0.1 * len(past), fit_intercept=False).fit(inputs, future - loc).coef_
    padding = 2  # steps that fill the context up to whole patches: they are always 0
    found = fitted.skip.weight
    assert found[:6, :padding].abs().max() == 0
    torch.testing.assert_close(found[:6, padding:], torch.tensor(expected).float(), rtol=1e-3, atol=1e-4)
    assert found[6:].abs().max() == 0  # steps of the last segment that nobody asks for


@pytest.mark.parametrize("num_time_features", [0, 2])
def test_training_begins_at_the_map(num_time_features):
    fitted, parts = model(level_weight=0.5, num_time_features=num_time_features), batches()
    for part in parts if num_time_features else ():
        part["past_time_features"], part["future_time_features"] = torch.randn(32, 10, 2), torch.randn(32, 6, 2)
    fitted.fit_linear_skip(parts, ridge=1e-6)
    fitted.head.zero_output()
    past, future = rows(parts, "past_values"), rows(parts, "future_values")
    inputs = torch.cat([past, torch.ones_like(past[:, :1])], dim=1)  # the level and the differences span the values
    best = inputs @ torch.linalg.lstsq(inputs, future).solution
    found = torch.cat([fitted(**part).prediction_outputs for part in parts])
    torch.testing.assert_close(found.transpose(1, 2).flatten(0, 1), best, rtol=1e-3, atol=1e-3)


def test_errors_count_in_units_of_the_scale_where_the_loss_does():
    parts = batches()
    for part in parts:  # one channel a thousand times as large
        part["past_values"][..., 1] *= 1000
        part["future_values"][..., 1] *= 1000
    fitted = model(scaling="last_std", scale_loss=True)
    fitted.fit_linear_skip(parts, ridge=0.1)
    past, future = rows(parts, "past_values"), rows(parts, "future_values")
    loc, scale = past[:, -1:], past.std(dim=1, keepdim=True, correction=0)
    expected = Ridge(alpha=0.1 * len(past), fit_intercept=False).fit((past - loc) / scale, (future - loc) / scale)
    torch.testing.assert_close(fitted.skip.weight[:6, 2:], torch.tensor(expected.coef_).float(), rtol=1e-3, atol=1e-4)


def test_what_is_missing_is_left_out():
    fitted, parts = model(), batches()
    whole = fitted.fit_linear_skip(parts[:3], ridge=0.1)
    weight = fitted.skip.weight.clone()
    parts[3]["future_values"][:, 2] = float("nan")
    assert fitted.fit_linear_skip(parts, ridge=0.1) == whole
    torch.testing.assert_close(fitted.skip.weight, weight)
    with pytest.raises(ValueError, match="no window has a future that was wholly observed"):
        fitted.fit_linear_skip(parts[3:], ridge=0.1)
    torch.testing.assert_close(fitted.skip.weight, weight)


def test_the_fitted_map_is_not_trained():
    fitted, parts = model(), batches()
    fitted.fit_linear_skip(parts, ridge=0.1)
    fitted.train()(**parts[0]).loss.backward()
    assert fitted.skip.weight.grad is None
    assert fitted.head.output.weight.grad is not None


def test_models_without_a_map_and_wrong_strengths_are_refused():
    with pytest.raises(ValueError, match="linear_skip=False"):
        model(linear_skip=False).fit_linear_skip(batches(), ridge=0.1)
    for ridge in (0, -1, float("nan"), float("inf"), "abc", None, True):
        with pytest.raises(ValueError, match="must be a number above 0"):
            model().fit_linear_skip(batches(), ridge=ridge)


@pytest.mark.parametrize("steps", [3, 9, None])
def test_the_future_must_have_the_steps_of_the_horizon(steps):
    (batch,) = batches(1)
    batch["future_values"] = None if steps is None else torch.randn(32, steps, 2)
    with pytest.raises(ValueError, match="future_values must have prediction_length=6 steps"):
        model().fit_linear_skip([batch], ridge=0.1)


@pytest.mark.parametrize(
    ("decoding", "patch_embedding"),
    [("direct", True), ("direct", False), ("segments", True), ("recursive", True), ("recursive", False)],
)
@pytest.mark.parametrize("channel_independent", [True, False])
def test_the_net_knows_the_level_only_if_it_is_told(decoding, patch_embedding, channel_independent):
    fields = {"decoding": decoding, "patch_embedding": patch_embedding, "channel_independent": channel_independent}
    values = torch.randn(3, 10, 2)
    for level_weight, moves in ((0.0, True), (0.3, False)):
        told = model(linear_skip=False, level_weight=level_weight, **fields)
        here, there = (told(values + shift).prediction_outputs - shift for shift in (0.0, 5.0))
        assert torch.allclose(here, there, atol=1e-4) == moves


def test_wrong_levels_are_refused():
    for scaling in ("none", "mean"):
        with pytest.raises(StrictDataclassError, match="subtracts nothing"):
            model(scaling=scaling, level_weight=0.3)
    for level_weight in (-0.1, float("nan"), float("inf")):
        with pytest.raises(StrictDataclassError, match="must be a finite number"):
            model(level_weight=level_weight)


def test_saved_and_loaded(tmp_path):
    fitted = model(level_weight=0.3)
    fitted.fit_linear_skip(batches(), ridge=0.1)
    fitted.save_pretrained(tmp_path)
    again = LSTMForecasterForPrediction.from_pretrained(tmp_path)
    values = batches()[0]["past_values"]
    torch.testing.assert_close(again(values).prediction_outputs, fitted(values).prediction_outputs)
