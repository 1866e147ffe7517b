"""The LSTM forecaster: scales, missing values, heads, losses and sample paths."""

import pytest
import scipy.stats
import torch

from tests.models.test_lstm_forecaster import (
    BATCH,
    CHANNELS,
    CONTEXT,
    COVARIATE_FIELDS,
    HORIZON,
    VALID,
    build,
    counts,
    everything,
    input_weight,
)
from zoo.models.lstm_forecaster.configuration_lstm_forecaster import DECODINGS, HEADS, SCALINGS
from zoo.models.lstm_forecaster.layers_heads import OUTPUTS, student_t_quantile

# Scaling


@pytest.mark.parametrize("scaling", SCALINGS)
def test_loc_and_scale_of_observed_values(scaling):
    values = counts()
    mask = torch.ones_like(values)
    mask[0, :5, 0], mask[0, -2:, 0] = 0, 0
    seen = values[0, 5:-2, 0]
    expected = {
        "none": (0.0, 1.0),
        "mean": (0.0, seen.abs().mean()),
        "std": (seen.mean(), seen.std(correction=0)),
        "revin": (seen.mean(), seen.std(correction=0)),
        "last": (seen[-1], 1.0),
        "last_std": (seen[-1], seen.std(correction=0)),
    }[scaling]
    outputs = build(scaling=scaling)(values.masked_fill(mask == 0, 1e6), past_observed_mask=mask)
    assert outputs.loc.shape == outputs.scale.shape == (BATCH, 1, CHANNELS)
    assert outputs.loc[0, 0, 0].item() == pytest.approx(float(expected[0]))
    assert outputs.scale[0, 0, 0].item() == pytest.approx(float(expected[1]))


@pytest.mark.parametrize("decoding", DECODINGS)
@pytest.mark.parametrize(
    ("scaling", "factor", "shift"),
    [("mean", 50, 0), ("std", 50, 300), ("last", 1, 300), ("last_std", 50, 300), ("revin", 50, 300)],
)
def test_the_forecast_moves_with_the_series(decoding, scaling, factor, shift):
    model = build(scaling=scaling, decoding=decoding)
    before = model(counts()).prediction_outputs
    after = model(counts() * factor + shift).prediction_outputs
    torch.testing.assert_close(after, before * factor + shift, rtol=1e-4, atol=1e-3)
    assert before.std() > 0


def test_revin_is_a_learned_scale_and_shift():
    """Against the formula of Kim et al.: normalise, weight and shift; the forecast takes the way back."""
    model, plain = build(scaling="revin"), build(scaling="none")
    scaler = model.model.scaler
    plain.load_state_dict({k: v for k, v in model.state_dict().items() if "scaler" not in k})
    with torch.no_grad():
        scaler.log_weight.copy_(torch.tensor([0.3, -0.7]))
        scaler.bias.copy_(torch.tensor([0.5, 2.0]))
    values = counts()
    mean, std = values.mean(1, keepdim=True), values.std(1, keepdim=True, correction=0)
    weight, bias = scaler.log_weight.exp(), scaler.bias
    inside = plain((values - mean) / std * weight + bias).prediction_outputs
    torch.testing.assert_close(model(values).prediction_outputs, (inside - bias) / weight * std + mean)


# Missing values


@pytest.mark.parametrize("decoding", DECODINGS)
def test_missing_values_do_not_matter_whatever_they_hold(decoding):
    model = build(decoding=decoding)
    with torch.no_grad():
        input_weight(model).add_(0.1)
    values, mask = counts(), torch.ones(BATCH, CONTEXT, CHANNELS, dtype=torch.bool)
    mask[0, 3:6] = False
    mask[1, -1, 0] = False
    expected = model(values, past_observed_mask=mask).prediction_outputs
    for filling in (0.0, 1e9, float("nan"), float("inf")):
        filled = values.masked_fill(~mask, filling)
        torch.testing.assert_close(model(filled, past_observed_mask=mask).prediction_outputs, expected)
    torch.testing.assert_close(model(values.masked_fill(~mask, float("nan"))).prediction_outputs, expected)
    torch.testing.assert_close(model(values, past_observed_mask=mask.float()).prediction_outputs, expected)
    one_mask = mask[..., :1]
    by_step = model(values, past_observed_mask=one_mask.expand(-1, -1, 2)).prediction_outputs
    torch.testing.assert_close(model(values, past_observed_mask=one_mask).prediction_outputs, by_step)
    torch.testing.assert_close(model(values, past_observed_mask=one_mask[..., 0]).prediction_outputs, by_step)


def test_a_missing_value_reads_as_zero_and_a_mark():
    model = build(scaling="std", input_size=1)
    values = 10 + counts(channels=1)
    values[0, 5], values[1, -1] = float("nan"), float("nan")
    read = []
    model.model.embedding.register_forward_pre_hook(lambda module, args: read.append(args[0]))
    loc, scale = model(values).loc, model(values).scale
    seen, missing = (part.flatten(1) for part in read[0].split(4, dim=-1))
    torch.testing.assert_close(missing, values[..., 0].isnan().float())
    torch.testing.assert_close(seen, ((values - loc) / scale).nan_to_num(0.0)[..., 0])


def test_the_net_is_told_what_is_missing():
    """A missing value and an observed one that equals the mean differ once the net has learned to tell them apart."""
    model = build(scaling="none")
    values, mask = counts(), torch.ones(BATCH, CONTEXT, CHANNELS)
    values[:, 5], mask[:, 5] = 0, 0
    fresh = model(values).prediction_outputs
    torch.testing.assert_close(model(values, past_observed_mask=mask).prediction_outputs, fresh)
    with torch.no_grad():
        input_weight(model)[:, 4:].add_(0.5)
    torch.testing.assert_close(model(values).prediction_outputs, fresh)
    assert not torch.allclose(model(values, past_observed_mask=mask).prediction_outputs, fresh, atol=1e-3)


@pytest.mark.parametrize("scaling", SCALINGS)
def test_a_short_window_is_one_with_a_missing_beginning(scaling):
    model = build(scaling=scaling, **COVARIATE_FIELDS)
    with torch.no_grad():
        input_weight(model).add_(0.1)
    arguments = everything()
    mask = torch.ones(BATCH, CONTEXT, CHANNELS)
    mask[:, :7] = 0
    arguments["past_time_features"][:, :7] = 0
    padded = model(**arguments, past_observed_mask=mask).prediction_outputs
    for name in ("past_values", "past_time_features"):
        arguments[name] = arguments[name][:, 7:]
    torch.testing.assert_close(model(**arguments).prediction_outputs, padded)


def test_a_long_window_is_cropped():
    values = counts(length=CONTEXT + 9)
    expected = build()(values[:, -CONTEXT:])
    outputs = build()(values)
    torch.testing.assert_close(outputs.prediction_outputs, expected.prediction_outputs)
    torch.testing.assert_close(outputs.loc, expected.loc)


HARD = {
    "constant": torch.full((BATCH, CONTEXT, CHANNELS), 3.0),
    "constant and large": torch.full((BATCH, CONTEXT, CHANNELS), 7_654_321.0),
    "zero": torch.zeros(BATCH, CONTEXT, CHANNELS),
    "tiny": counts() * 1e-30,
    "all missing": torch.full((BATCH, CONTEXT, CHANNELS), float("nan")),
    "one value": torch.full((BATCH, CONTEXT, CHANNELS), float("nan")).index_fill(1, torch.tensor([4]), 2.0),
    "one step": counts(length=1),
    "no step": counts(length=0),
}


@pytest.mark.parametrize("head", HEADS)
def test_hard_windows_give_finite_numbers(head):
    """Losses, forecasts and gradients, for every scaling, with a future that is whole, holed or missing."""
    whole = torch.cat([window for window in HARD.values() if window.shape[1] == CONTEXT])
    for decoding, scaling in (others for first, *others in VALID if first == head):
        model = build(head=head, decoding=decoding, scaling=scaling).train()
        for window in (whole, HARD["one step"], HARD["no step"]):
            future = counts(batch=len(window), length=HORIZON)
            future[::3], future[1::3, 2] = float("nan"), float("nan")
            model.zero_grad()
            outputs = model(window, future_values=future)
            outputs.loss.backward()
            assert outputs.loss.isfinite(), (decoding, scaling)
            assert outputs.prediction_outputs.isfinite().all(), (decoding, scaling)
            for parameter in model.parameters():
                assert parameter.grad.isfinite().all(), (decoding, scaling)
        rolled = model.eval()(whole, prediction_length=5 * HORIZON)
        assert rolled.prediction_outputs.isfinite().all(), (decoding, scaling)


def test_a_constant_window_is_not_stretched():
    """Rounding is no variation: the scale of a constant series is 1."""
    constant = HARD["constant and large"]
    assert (constant.sum(1) / CONTEXT != constant[:, 0]).all()
    assert (build()(HARD["constant and large"]).scale == 1).all()
    assert (build()(1e6 + counts()).scale < 10).all() and (build()(1e6 + counts()).scale != 1).all()


# Losses


@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
def test_point_loss_counts_observed_values_only(loss):
    model = build(loss=loss)
    future = counts(length=HORIZON)
    mask = torch.rand(BATCH, HORIZON, CHANNELS, generator=torch.Generator().manual_seed(0)) < 0.6
    outputs = model(counts(), future_values=future.masked_fill(~mask, 1e9), future_observed_mask=mask)
    error = (outputs.prediction_outputs - future)[mask].abs()
    huber = torch.where(error < 1, error**2 / 2, error - 0.5)
    torch.testing.assert_close(outputs.loss, {"mse": error**2, "mae": error, "huber": huber}[loss].mean())
    by_nan = model(counts(), future_values=future.masked_fill(~mask, float("nan")))
    torch.testing.assert_close(by_nan.loss, outputs.loss)


def test_a_future_that_is_missing_has_loss_zero():
    model = build().train()
    loss = model(counts(), future_values=torch.full((BATCH, HORIZON, CHANNELS), float("nan"))).loss
    loss.backward()
    assert loss == 0 and all((parameter.grad == 0).all() for parameter in model.parameters())


@pytest.mark.parametrize("head", ["point", "quantile"])
def test_scale_loss_weighs_series_alike(head):
    future = counts(length=HORIZON)
    small, large = (build(head=head, scale_loss=True)(counts() * x, future_values=future * x).loss for x in (1, 100))
    torch.testing.assert_close(small, large)
    small, large = (build(head=head)(counts() * x, future_values=future * x).loss for x in (1, 100))
    assert large > 90 * small


def test_scale_loss_is_no_way_out_for_revin():
    """The loss in units of the scale must not fall by making that scale larger."""
    model = build(scaling="revin", scale_loss=True).train()
    with torch.no_grad():
        model.head.output.weight.zero_()
    model(counts(), future_values=counts(length=HORIZON) + 50).loss.backward()
    torch.testing.assert_close(model.model.scaler.log_weight.grad, torch.zeros(CHANNELS))


def test_pinball_loss_by_hand():
    model = build(head="quantile", quantiles=[0.1, 0.5, 0.8])
    future = counts(length=HORIZON)
    outputs = model(counts(), future_values=future)
    total = 0.0
    for index, level in enumerate((0.1, 0.5, 0.8)):
        error = future - outputs.quantile_outputs[..., index]
        total += torch.where(error > 0, level * error, (level - 1) * error).mean() * 2 / 3
    torch.testing.assert_close(outputs.loss, total)


@pytest.mark.parametrize("head", ["normal", "student_t", "negative_binomial"])
def test_likelihood_is_that_of_the_distribution(head):
    model = build(head=head, scaling="mean")
    future = counts(length=HORIZON)
    outputs = model(counts(), future_values=future)
    distribution = model.output_distribution(outputs.params)
    torch.testing.assert_close(outputs.prediction_outputs, distribution.mean)
    torch.testing.assert_close(outputs.loss, -distribution.log_prob(future).mean())
    p = [param.detach().numpy() for param in outputs.params]
    reference = {
        "normal": lambda: scipy.stats.norm.logpdf(future, p[0], p[1]),
        "student_t": lambda: scipy.stats.t.logpdf(future, p[0], p[1], p[2]),
        "negative_binomial": lambda: scipy.stats.nbinom.logpmf(future, p[0], 1 / (1 + torch.tensor(p[1]).exp())),
    }[head]()
    assert outputs.loss.item() == pytest.approx(-reference.mean(), rel=1e-4)


def test_negative_binomial_scales_with_the_series():
    """Twice the counts, twice the mean: counts stay counts."""
    model = build(head="negative_binomial", scaling="mean")
    once, twice = model(counts()), model(counts() * 2)
    torch.testing.assert_close(twice.prediction_outputs, once.prediction_outputs * 2)
    paths = model.generate(counts()).sequences
    assert (paths == paths.round()).all() and (paths >= 0).all()
    with pytest.raises(ValueError, match="negative numbers.*counts"):
        model(counts(), future_values=-counts(length=HORIZON))


def test_point_head_has_no_distribution():
    with pytest.raises(ValueError, match="head='point' forecasts no distribution"):
        build().output_distribution((torch.zeros(1),))


# Quantiles


@pytest.mark.parametrize("quantiles", [[0.5], [0.1, 0.2], [0.8, 0.9], [0.025, 0.1, 0.5, 0.9, 0.975]])
def test_quantiles_never_cross(quantiles):
    output = OUTPUTS["quantile"](build(quantiles=quantiles).config)
    raw = torch.randn(50, HORIZON, CHANNELS, len(quantiles)) * 50
    loc, scale = torch.randn(50, 1, CHANNELS) * 1e3, torch.rand(50, 1, CHANNELS)
    values = output.parameters(raw, loc, scale)[0]
    assert values.shape == raw.shape and (values.diff(dim=-1) >= 0).all()
    # Raw zeros are the quantiles of a standard normal, around the centre.
    values = output.parameters(torch.zeros(1, 1, 1, len(quantiles)), torch.zeros(1, 1, 1), torch.ones(1, 1, 1))[0]
    expected = torch.tensor(scipy.stats.norm.ppf(quantiles), dtype=torch.float32)
    torch.testing.assert_close(values[0, 0, 0], expected - expected[output.centre], atol=1e-5, rtol=1e-5)


def test_quantile_head_gives_the_median_and_learns_quantiles():
    """Trained on noise, the quantiles are those of the noise."""
    levels = [0.1, 0.5, 0.9]
    model = build(head="quantile", quantiles=levels, input_size=1, scaling="none").train()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-2)
    torch.manual_seed(0)
    for _ in range(150):
        optimizer.zero_grad()
        model(torch.zeros(64, CONTEXT), future_values=torch.rand(64, HORIZON)).loss.backward()
        optimizer.step()
    outputs = model.eval()(torch.zeros(1, CONTEXT))
    assert outputs.quantile_outputs.shape == (1, HORIZON, 3)
    torch.testing.assert_close(outputs.quantile_outputs[..., 1], outputs.prediction_outputs)
    torch.testing.assert_close(outputs.quantile_outputs[0].mean(0), torch.tensor(levels), atol=0.06, rtol=0)


def test_student_t_quantiles():
    levels = torch.tensor([0.001, 0.025, 0.1, 0.4, 0.5, 0.7, 0.9, 0.99], dtype=torch.float64)
    for freedom in (2.001, 2.5, 4.0, 7.0, 30.0, 1e3, 1e9):
        expected = torch.tensor(scipy.stats.t.ppf(levels, freedom))
        found = student_t_quantile(levels, torch.tensor([freedom], dtype=torch.float64))
        torch.testing.assert_close(found, expected, rtol=2e-3, atol=1e-6)
        single = student_t_quantile(levels.float(), torch.tensor([freedom]))
        torch.testing.assert_close(single.double(), expected, rtol=4e-3, atol=1e-3)


@pytest.mark.parametrize("head", ["normal", "student_t"])
def test_distributions_report_quantiles_outside_training(head):
    model = build(head=head, quantiles=[0.1, 0.5, 0.9])
    outputs = model(counts())
    paths = model.generate(counts(), num_parallel_samples=4000).sequences
    sampled = paths.quantile(torch.tensor([0.1, 0.5, 0.9]), dim=1).permute(1, 2, 3, 0)
    assert outputs.quantile_outputs.shape == (BATCH, HORIZON, CHANNELS, 3)
    torch.testing.assert_close(outputs.quantile_outputs, sampled, atol=0.5, rtol=0)
    assert model.train()(counts()).quantile_outputs is None


# Sample paths


@pytest.mark.parametrize("decoding", DECODINGS)
@pytest.mark.parametrize("head", OUTPUTS)
def test_generate(head, decoding):
    model = build(head=head, decoding=decoding, scaling="mean", num_parallel_samples=7, **COVARIATE_FIELDS)
    paths = 1 if head == "point" else 7
    for horizon in (4, 15):
        arguments = everything(horizon)
        torch.manual_seed(0)
        first = model.generate(**arguments, prediction_length=horizon).sequences
        torch.manual_seed(0)
        again = model.generate(**arguments, prediction_length=horizon).sequences
        assert first.shape == (BATCH, paths, horizon, CHANNELS) and first.isfinite().all()
        assert torch.equal(first, again)
        if head == "point":
            expected = model(**arguments, prediction_length=horizon).prediction_outputs
            torch.testing.assert_close(first[:, 0], expected)
        else:
            assert (first.std(dim=1) > 0).all(dim=-1).any()
    assert model.generate(**everything(), num_parallel_samples=2).sequences.shape[1] == min(2, paths)
    with pytest.raises(ValueError, match="num_parallel_samples=0"):
        model.generate(**everything(), num_parallel_samples=0)


def test_a_single_series_needs_no_channel_axis():
    model = build(input_size=1, head="quantile")
    values, future = counts(channels=1), counts(length=HORIZON, channels=1)
    flat, full = model(values[..., 0], future_values=future[..., 0]), model(values, future_values=future)
    for name in ("prediction_outputs", "quantile_outputs", "loc", "scale"):
        torch.testing.assert_close(flat[name], full[name].squeeze(2))
    torch.testing.assert_close(flat.loss, full.loss)
    assert model.generate(values[..., 0]).sequences.shape == (BATCH, 100, HORIZON)
    assert model.generate(values).sequences.shape == (BATCH, 100, HORIZON, 1)


@pytest.mark.parametrize("head", ["quantile", "normal"])
def test_paths_of_a_window_come_from_its_own_forecast(head):
    """Rows and copies are not mixed up: the sample quantiles of each row are those that the head forecast."""
    model = build(head=head, quantiles=[0.2, 0.5, 0.8])
    values = counts() + torch.tensor([0.0, 100.0, 1000.0]).view(BATCH, 1, 1)
    expected = model(values).quantile_outputs
    paths = model.generate(values, num_parallel_samples=4000).sequences
    found = paths.quantile(torch.tensor([0.2, 0.5, 0.8]), dim=1).permute(1, 2, 3, 0)
    torch.testing.assert_close(found, expected, atol=0.4, rtol=0)


@pytest.mark.parametrize("channel_independent", [True, False])
@pytest.mark.parametrize("decoding", DECODINGS)
def test_a_path_goes_on_from_its_own_values(decoding, channel_independent):
    """With draws that are known, a path is the forecast that follows from them, copy by copy and row by row."""
    model = build(decoding=decoding, head="normal", channel_independent=channel_independent, **COVARIATE_FIELDS)
    horizon = 2 * HORIZON
    arguments = everything(horizon)
    parts = []

    def draw(params):
        # Copies lie one after the other, each the whole batch: the second one draws 1 more.
        values = params[0].unflatten(0, (2, BATCH)).clone()
        values[1] += 1
        parts.append(values.flatten(0, 1))
        return parts[-1]

    model.output.sample = draw
    paths = model.generate(**arguments, prediction_length=horizon, num_parallel_samples=2).sequences
    torch.testing.assert_close(paths[:, 0], model(**arguments, prediction_length=horizon).prediction_outputs)
    if decoding == "recursive":
        taught = model.train()(**arguments, future_values=paths[:, 1]).prediction_outputs
    else:
        first = model(**{**arguments, "future_time_features": arguments["future_time_features"][:, :HORIZON]})
        known = arguments["future_time_features"]
        arguments["past_values"] = torch.cat([arguments["past_values"], first.prediction_outputs + 1], dim=1)
        arguments["past_time_features"] = torch.cat([arguments["past_time_features"], known[:, :HORIZON]], dim=1)
        second = model(**{**arguments, "future_time_features": known[:, HORIZON:]})
        taught = torch.cat([first.prediction_outputs, second.prediction_outputs], dim=1)
    torch.testing.assert_close(paths[:, 1], taught + 1)


# Arguments


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"past_values": torch.zeros(3, 12)}, r"past_values has shape \(3, 12\)"),
        ({"past_values": torch.zeros(3, 12, 5)}, r"past_values has shape \(3, 12, 5\)"),
        ({"past_observed_mask": torch.ones(3, 11, 2)}, r"past_observed_mask has shape \(3, 11, 2\)"),
        ({"past_time_features": None}, "past_time_features is missing"),
        ({"past_time_features": torch.zeros(3, 12, 9)}, "past_time_features has shape"),
        ({"past_time_features": torch.zeros(3, 13, 3)}, "past_time_features has shape"),
        ({"future_time_features": None}, "future_time_features is missing"),
        ({"future_time_features": torch.zeros(3, 5, 3)}, r"future_time_features has shape \(3, 5, 3\)"),
        ({"static_real_features": None}, "static_real_features is missing"),
        ({"static_categorical_features": torch.zeros(3, 1).long()}, "static_categorical_features has shape"),
        ({"future_values": torch.zeros(2, 6, 2)}, "3 windows"),
        ({"future_values": torch.zeros(3, 6, 2), "prediction_length": 5}, "prediction_length=5"),
        ({"future_observed_mask": torch.ones(3, 2, 2), "future_values": torch.zeros(3, 6, 2)}, "future_observed_mask"),
        ({"prediction_length": 0}, "prediction_length=0 must be at least 1"),
    ],
)
def test_forward_names_argument_and_reason(changes, message):
    with pytest.raises(ValueError, match=message):
        build(**COVARIATE_FIELDS)(**{**everything(), **changes})
