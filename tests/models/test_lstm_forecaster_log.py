"""Logarithms of the values: what the net reads and forecasts with `log_values`."""

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError

from zoo.models.lstm_forecaster import LSTMForecasterConfig, LSTMForecasterForPrediction

FIELDS = {"context_length": 12, "prediction_length": 8, "patch_length": 4, "input_size": 2, "hidden_size": 8}
DECODINGS = ["direct", "segments", "recursive"]


def model(**fields) -> LSTMForecasterForPrediction:
    torch.manual_seed(0)
    return LSTMForecasterForPrediction(LSTMForecasterConfig(**{**FIELDS, **fields})).eval()


@pytest.mark.parametrize("decoding", DECODINGS)
@pytest.mark.parametrize("head", ["point", "quantile"])
def test_it_is_the_plain_net_on_logarithms(decoding, head):
    of_logarithms, plain = (model(decoding=decoding, head=head, log_values=log) for log in (True, False))
    values, future = torch.rand(3, 12, 2).mul(5).exp(), torch.rand(3, 8, 2).mul(5).exp()
    found = of_logarithms(values, future_values=future)
    expected = plain(values.log(), future_values=future.log())
    torch.testing.assert_close(found.prediction_outputs.log(), expected.prediction_outputs)
    torch.testing.assert_close(found.loss, expected.loss)
    if head == "quantile":
        torch.testing.assert_close(found.quantile_outputs.log(), expected.quantile_outputs)


@pytest.mark.parametrize("decoding", DECODINGS)
def test_a_longer_forecast_goes_on_from_values(decoding):
    of_logarithms, plain = (model(decoding=decoding, log_values=log) for log in (True, False))
    values = torch.rand(2, 12, 2).mul(5).exp()
    found = of_logarithms(values, prediction_length=13).prediction_outputs
    expected = plain(values.log(), prediction_length=13).prediction_outputs
    torch.testing.assert_close(found.log(), expected)


def test_missing_values_need_no_logarithm():
    of_logarithms = model(log_values=True, head="quantile")
    values, future = torch.rand(2, 12, 2) + 1, torch.rand(2, 8, 2) + 1
    values[0, 3], future[1, 2:] = float("nan"), float("nan")
    found = of_logarithms(values, future_values=future)
    found.loss.backward()
    assert torch.isfinite(found.loss) and torch.isfinite(found.prediction_outputs).all()
    assert all(torch.isfinite(p.grad).all() for p in of_logarithms.parameters())


def test_samples_are_values():
    paths = model(log_values=True, head="quantile", quantiles=[0.1, 0.5, 0.9]).generate(torch.rand(2, 12, 2) + 1)
    assert (paths.sequences > 0).all()


@pytest.mark.parametrize("value", [0.0, -3.0])
def test_values_that_have_no_logarithm_are_refused(value):
    values = torch.ones(1, 12, 2)
    values[0, 5, 1] = value
    with pytest.raises(ValueError, match=f"a value is {value:g}, but log_values=True takes positive values"):
        model(log_values=True)(values)


def test_a_future_that_has_no_logarithm_is_refused():
    with pytest.raises(ValueError, match="log_values=True takes positive values"):
        model(log_values=True)(torch.ones(1, 12, 2), future_values=torch.zeros(1, 8, 2))


def test_distributions_are_of_the_values():
    with pytest.raises(StrictDataclassError, match="log_values=True is for head='point' and 'quantile'"):
        model(log_values=True, head="normal")
