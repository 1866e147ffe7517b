"""The linear skip of the LSTM forecaster: a highway from the window to the forecast."""

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError

from zoo.models.lstm_forecaster import LSTMForecasterConfig, LSTMForecasterForPrediction

FIELDS = {"context_length": 10, "prediction_length": 6, "patch_length": 4, "input_size": 2, "hidden_size": 8}


def model(**fields) -> LSTMForecasterForPrediction:
    torch.manual_seed(0)
    return LSTMForecasterForPrediction(LSTMForecasterConfig(**{**FIELDS, "linear_skip": True, **fields})).eval()


@pytest.mark.parametrize("decoding", ["direct", "segments"])
@pytest.mark.parametrize("head", ["point", "quantile", "normal", "student_t"])
def test_training_begins_at_the_plain_net(decoding, head):
    skipping, plain = (model(decoding=decoding, head=head, linear_skip=skip) for skip in (True, False))
    plain.load_state_dict(skipping.state_dict(), strict=False)
    values = torch.randn(3, 10, 2)
    torch.testing.assert_close(skipping(values).prediction_outputs, plain(values).prediction_outputs)


@pytest.mark.parametrize("decoding", ["direct", "segments"])
@pytest.mark.parametrize("scaling", ["none", "std", "last"])
def test_it_adds_a_linear_map_of_the_scaled_window(decoding, scaling):
    skipping = model(decoding=decoding, scaling=scaling)
    values = 5 + 3 * torch.randn(3, 10, 2)
    before = skipping(values)
    weight = torch.nn.init.normal_(skipping.skip.weight.data)
    after = skipping(values)
    scaled = (values - before.loc) / before.scale
    added = torch.einsum("blc,sl->bsc", scaled, weight[:6, 2:]) * before.scale  # two steps of padding come first
    torch.testing.assert_close(after.prediction_outputs, before.prediction_outputs + added, rtol=1e-4, atol=1e-4)


def test_missing_values_do_not_enter():
    skipping = model()
    torch.nn.init.normal_(skipping.skip.weight.data)
    values, observed = torch.randn(2, 10, 2), torch.ones(2, 10, 2)
    observed[0, 3] = 0
    other = values.clone()
    other[0, 3] = 1e6
    first, second = (skipping(v, past_observed_mask=observed).prediction_outputs for v in (values, other))
    torch.testing.assert_close(first, second)


def test_it_learns_a_season_longer_than_the_net_remembers():
    """The value of ten steps ago, alone among noise: one linear map finds it."""
    torch.manual_seed(0)
    skipping = model(scaling="none", hidden_size=1, prediction_length=4).train()
    optimizer = torch.optim.AdamW(skipping.parameters(), lr=0.05, weight_decay=0)
    for _ in range(150):
        values = torch.randn(64, 10, 2)
        loss = skipping(values, future_values=values[:, :4]).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1


def test_longer_and_shorter_horizons():
    skipping = model()
    torch.nn.init.normal_(skipping.skip.weight.data, std=0.1)
    values = torch.randn(2, 10, 2)
    whole = skipping(values).prediction_outputs
    torch.testing.assert_close(skipping(values, prediction_length=3).prediction_outputs, whole[:, :3])
    longer = skipping(values, prediction_length=9).prediction_outputs
    torch.testing.assert_close(longer[:, :6], whole)
    moved = skipping(torch.cat([values, whole], dim=1)).prediction_outputs
    torch.testing.assert_close(longer[:, 6:], moved[:, :3])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"decoding": "recursive"}, "linear_skip=True with decoding='recursive'"),
        ({"head": "negative_binomial", "scaling": "mean"}, "linear_skip=True shifts"),
    ],
)
def test_what_cannot_be_is_refused(fields, message):
    with pytest.raises(StrictDataclassError, match=message):
        model(**fields)
