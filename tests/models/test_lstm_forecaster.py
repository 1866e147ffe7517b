"""The LSTM forecaster: what it computes, against computations by hand."""

import math
from itertools import cycle, product

import pytest
import torch
from torch import nn
from transformers import Trainer, TrainingArguments

from zoo.models.lstm_forecaster import (
    LSTMForecasterConfig,
    LSTMForecasterForPrediction,
    modeling_lstm_forecaster,
)
from zoo.models.lstm_forecaster.configuration_lstm_forecaster import CELL_STATES, DECODINGS, HEADS, SCALINGS

CONTEXT, HORIZON, CHANNELS, BATCH = 12, 6, 2, 3


def build(seed=0, **fields) -> LSTMForecasterForPrediction:
    """A tiny model in evaluation mode."""
    torch.manual_seed(seed)
    fields = {
        "context_length": CONTEXT,
        "prediction_length": HORIZON,
        "input_size": CHANNELS,
        "hidden_size": 8,
        "patch_length": 4,
        **fields,
    }
    return LSTMForecasterForPrediction(LSTMForecasterConfig(**fields)).eval()


def input_weight(model) -> torch.Tensor:
    """What patches meet first: values, then what is missing of them, 4 columns each."""
    return model.model.embedding[0].weight if model.config.patch_embedding else model.model.layers[0].cell.weight_ih_l0


def counts(batch=BATCH, length=CONTEXT, channels=CHANNELS, seed=1) -> torch.Tensor:
    """Counts: the one kind of values that every head takes."""
    generator = torch.Generator().manual_seed(seed)
    return torch.poisson(torch.full((batch, length, channels), 5.0), generator=generator)


def covariates(length, width=3, seed=2) -> torch.Tensor:
    return torch.randn(BATCH, length, width, generator=torch.Generator().manual_seed(seed))


def everything(horizon=HORIZON) -> dict[str, torch.Tensor]:
    """Every argument of a model with `COVARIATE_FIELDS`."""
    return {
        "past_values": counts(),
        "past_time_features": covariates(CONTEXT),
        "future_time_features": covariates(horizon, seed=3),
        "static_categorical_features": torch.tensor([[0, 1], [2, 3], [1, 1]]),
        "static_real_features": covariates(1, 2)[:, 0],
    }


COVARIATE_FIELDS = {
    "num_time_features": 1,
    "num_dynamic_real_features": 2,
    "num_static_real_features": 2,
    "cardinality": [3, 4],
}
VALID = [
    (head, decoding, scaling)
    for head, decoding, scaling in product(HEADS, DECODINGS, SCALINGS)
    if head != "negative_binomial" or scaling in ("none", "mean")
]


# Training


@pytest.mark.parametrize("head", HEADS)
def test_every_combination_trains(head):
    """One step through every decoding and scaling reaches every weight with a finite gradient."""
    cells = cycle(product(CELL_STATES, (True, False)))
    for decoding, scaling in (others for first, *others in VALID if first == head):
        cell, channel_independent = next(cells)
        model = build(
            head=head,
            decoding=decoding,
            scaling=scaling,
            cell_type=cell,
            channel_independent=channel_independent,
            num_layers=2,
            dense_sizes=[5],
            learned_initial_state=True,
            **COVARIATE_FIELDS,
        ).train()
        outputs = model(**everything(), future_values=counts(length=HORIZON, seed=4))
        assert outputs.prediction_outputs.shape == (BATCH, HORIZON, CHANNELS)
        outputs.loss.backward()
        assert outputs.loss.isfinite()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None and parameter.grad.isfinite().all(), (decoding, scaling, cell, name)


@pytest.mark.parametrize("decoding", DECODINGS)
def test_learns_a_sine(decoding):
    model = build(decoding=decoding, input_size=1, hidden_size=16, scaling="last").train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    wave = torch.sin(torch.arange(200) * 2 * torch.pi / 9)
    windows = wave.unfold(0, CONTEXT + HORIZON, 1)
    for _ in range(150):
        optimizer.zero_grad()
        model(windows[:, :CONTEXT], future_values=windows[:, CONTEXT:]).loss.backward()
        optimizer.step()
    # The variance of a sine is 0.5.
    assert model.eval()(windows[:, :CONTEXT], future_values=windows[:, CONTEXT:]).loss < 0.01


class Windows(torch.utils.data.Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        window = counts(1, CONTEXT + HORIZON, seed=index)[0]
        return {"past_values": window[:CONTEXT], "future_values": window[CONTEXT:]}


def test_trainer_accumulates_the_true_gradient(tmp_path):
    """Four batches of two give the step of one batch of eight, and predictions are the forecasts alone."""
    trained = []
    for size, accumulation in ((8, 1), (2, 4)):
        model = build()
        arguments = TrainingArguments(
            output_dir=str(tmp_path),
            per_device_train_batch_size=size,
            gradient_accumulation_steps=accumulation,
            max_steps=1,
            learning_rate=0.1,
            optim="sgd",
            max_grad_norm=0,
            save_strategy="no",
            use_cpu=True,
            label_names=["future_values"],
            disable_tqdm=True,
        )
        trainer = Trainer(model, arguments, train_dataset=Windows(), eval_dataset=Windows())
        trainer.train()
        trained.append(model.head.output.weight.detach().clone())
        prediction = trainer.predict(Windows())
    torch.testing.assert_close(*trained)
    assert prediction.predictions.shape == prediction.label_ids.shape == (8, HORIZON, CHANNELS)
    assert math.isfinite(prediction.metrics["test_loss"])


@pytest.mark.parametrize("use_reentrant", [False, True])
@pytest.mark.parametrize(("decoding", "patch_embedding"), [("direct", False), ("segments", True), ("recursive", True)])
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_gradient_checkpointing_changes_nothing(decoding, patch_embedding, use_reentrant):
    gradients = []
    for checkpointing in (False, True):
        model = build(decoding=decoding, patch_embedding=patch_embedding, num_layers=2).train()
        if checkpointing:
            model.activation_checkpointing_enable({"use_reentrant": use_reentrant})
            assert all(layer.gradient_checkpointing for layer in model.model.layers)
        model(counts(), future_values=counts(length=HORIZON)).loss.backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("cell", CELL_STATES)
@pytest.mark.parametrize("autocast", [False, True])
def test_bfloat16(cell, autocast):
    values, future = 1000 + counts(), 1000 + counts(length=HORIZON)
    for decoding in DECODINGS:
        model = build(cell_type=cell, decoding=decoding, scaling="revin", learned_initial_state=True).train()
        expected = model(values, future_values=future)
        model = model if autocast else model.to(torch.bfloat16)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            outputs = model(values, future_values=future)
        outputs.loss.backward()
        # Scales are undone in float32: bfloat16 knows no number between 1000 and 1004.
        assert outputs.prediction_outputs.dtype == torch.float32
        torch.testing.assert_close(outputs.prediction_outputs, expected.prediction_outputs, atol=0.2, rtol=0)


# What the net computes


@pytest.mark.parametrize(("cell", "module"), [("lstm", nn.LSTM), ("gru", nn.GRU), ("rnn", nn.RNN)])
@pytest.mark.parametrize("patch_length", [1, 4])
def test_direct_forecast_by_hand(cell, module, patch_length):
    """Without embedding: torch's own recurrent net over patches of values and zeros for "nothing is missing"."""
    model = build(
        cell_type=cell, patch_length=patch_length, patch_embedding=False, num_layers=2, scaling="none", dense_sizes=[5]
    )
    values = counts()
    plain = module(2 * patch_length, 8, num_layers=2, batch_first=True)
    for index, layer in enumerate(model.model.layers):
        for name, parameter in layer.cell.named_parameters():
            getattr(plain, name.replace("l0", f"l{index}")).data.copy_(parameter)
    for channel in range(CHANNELS):
        patches = values[:, :, channel].reshape(BATCH, -1, patch_length)
        features = plain(torch.cat([patches, torch.zeros_like(patches)], dim=-1))[0][:, -1]
        expected = model.head.output(model.head.dense[0](features).relu())
        torch.testing.assert_close(model(values).prediction_outputs[:, :, channel], expected)


def test_no_python_loop_over_time(monkeypatch):
    """Each recurrent layer runs once over the context, and once more for all segments together."""
    calls = []
    forward = modeling_lstm_forecaster.LSTMForecasterLayer.forward
    monkeypatch.setattr(
        modeling_lstm_forecaster.LSTMForecasterLayer,
        "forward",
        lambda self, *args: (calls.append(len(args[0])), forward(self, *args))[1],
    )
    build(patch_length=1)(counts())
    assert calls == [BATCH * CHANNELS]
    calls.clear()
    build(patch_length=1, decoding="segments")(counts())
    assert calls == [BATCH * CHANNELS, BATCH * CHANNELS * HORIZON]


@pytest.mark.parametrize("decoding", ["direct", "recursive"])
def test_independent_channels_share_one_net(decoding):
    model = build(decoding=decoding)
    alone = build(decoding=decoding, input_size=1)
    alone.load_state_dict(model.state_dict())
    values = counts()
    together = model(values).prediction_outputs
    for channel in range(CHANNELS):
        torch.testing.assert_close(alone(values[..., channel]).prediction_outputs, together[..., channel])
    joint = build(decoding=decoding, channel_independent=False)
    changed = values.clone()
    changed[..., 1] += torch.arange(CONTEXT)
    torch.testing.assert_close(model(changed).prediction_outputs[..., 0], together[..., 0])
    assert not torch.allclose(
        joint(changed).prediction_outputs[..., 0], joint(values).prediction_outputs[..., 0], atol=1e-4
    )


def test_segments_are_decoded_from_the_last_state():
    """Each segment by itself: one step of the recurrent net on its position and channel, then the head."""
    model = build(decoding="segments", scaling="last", num_layers=2)
    values = counts()
    expected = torch.zeros(BATCH, 8, CHANNELS)
    states = model.model(values).recurrent_state
    for row, channel, segment in product(range(BATCH), range(CHANNELS), range(2)):
        hidden = torch.cat([model.queries.position[segment], model.queries.channel[channel]]).view(1, 1, -1)
        for layer, state in zip(model.model.layers, states):
            hidden, _ = layer(hidden, state[:, row * CHANNELS + channel].unsqueeze(1).contiguous())
        expected[row, segment * 4 : segment * 4 + 4, channel] = model.head(hidden)[0, :, 0, 0]
    expected = expected[:, :HORIZON] + values[:, -1:]
    torch.testing.assert_close(model(values).prediction_outputs, expected)


@pytest.mark.parametrize("patch_length", [1, 4])
@pytest.mark.parametrize("channel_independent", [True, False])
def test_recursive_forecast_reads_its_own_values(patch_length, channel_independent):
    """Teacher forcing with the model's own forecast as the truth gives that forecast."""
    model = build(
        decoding="recursive", patch_length=patch_length, channel_independent=channel_independent, **COVARIATE_FIELDS
    )
    forecast = model(**everything()).prediction_outputs
    taught = model.train()(**everything(), future_values=forecast)
    torch.testing.assert_close(taught.prediction_outputs, forecast)
    assert taught.loss < 1e-10
    other = model(**everything(), future_values=forecast + torch.arange(HORIZON).view(1, -1, 1))
    assert not torch.allclose(other.prediction_outputs[:, -1], forecast[:, -1])


@pytest.mark.parametrize("decoding", DECODINGS)
def test_evaluation_never_reads_the_future(decoding):
    model = build(decoding=decoding)
    given = model(counts(), future_values=counts(length=HORIZON, seed=9)).prediction_outputs
    torch.testing.assert_close(given, model(counts()).prediction_outputs, rtol=0, atol=0)


@pytest.mark.parametrize("decoding", DECODINGS)
@pytest.mark.parametrize("scaling", SCALINGS)
def test_a_row_alone_is_the_row_in_its_batch(decoding, scaling):
    model = build(decoding=decoding, scaling=scaling, **COVARIATE_FIELDS)
    arguments = everything()
    mask = torch.ones(BATCH, CONTEXT, CHANNELS)
    mask[1], mask[2, :5] = 0, 0
    together = model(**arguments, past_observed_mask=mask).prediction_outputs
    for row in range(BATCH):
        one = {name: tensor[row : row + 1] for name, tensor in arguments.items()}
        alone = model(**one, past_observed_mask=mask[row : row + 1]).prediction_outputs[0]
        torch.testing.assert_close(alone, together[row])


def test_context_that_patches_do_not_divide():
    """The last step is always the end of a patch: the window is filled up on the left, as a longer one with gaps."""
    model, longer = build(context_length=10), build(context_length=12)
    values = counts()
    mask = torch.ones_like(values)
    mask[:, :2] = 0
    torch.testing.assert_close(
        model(values).prediction_outputs, longer(values, past_observed_mask=mask).prediction_outputs
    )


def test_covariates_reach_the_forecast():
    model = build(**COVARIATE_FIELDS)
    arguments = everything()
    before = model(**arguments).prediction_outputs
    for name, tensor in arguments.items():
        changed = 1 - tensor if name == "static_categorical_features" else tensor + torch.rand_like(tensor)
        after = model(**{**arguments, name: changed % 3 if "categorical" in name else changed}).prediction_outputs
        assert (after - before).abs().max() > 1e-3, name


@pytest.mark.parametrize("decoding", ["direct", "segments"])
def test_a_step_sees_its_own_covariates_only(decoding):
    model = build(decoding=decoding, **COVARIATE_FIELDS)
    arguments = everything()
    before = model(**arguments).prediction_outputs
    arguments["future_time_features"][:, 2] += 1
    change = (model(**arguments).prediction_outputs - before).abs().amax(dim=(0, 2))
    assert change[2] > 1e-3 and change[[0, 1, 3, 4, 5]].max() == 0


@pytest.mark.parametrize(("channel_independent", "shape"), [(True, (BATCH, CHANNELS, 3, 8)), (False, (BATCH, 3, 8))])
def test_hidden_states(channel_independent, shape):
    model = build(num_layers=2, channel_independent=channel_independent)
    outputs = model(counts(), output_hidden_states=True)
    assert [tuple(state.shape) for state in outputs.hidden_states] == [shape] * 3
    base = model.model(counts())
    assert base.hidden_states is None
    torch.testing.assert_close(base.last_hidden_state, outputs.hidden_states[-1])
    assert isinstance(model(counts(), return_dict=False), tuple)


# Length of the horizon


@pytest.mark.parametrize("decoding", DECODINGS)
def test_a_shorter_horizon_is_a_crop(decoding):
    model = build(decoding=decoding, **COVARIATE_FIELDS)
    arguments = everything()
    full = model(**arguments).prediction_outputs
    arguments["future_time_features"] = arguments["future_time_features"][:, :3]
    torch.testing.assert_close(model(**arguments, prediction_length=3).prediction_outputs, full[:, :3])
    short = model(**arguments, future_values=counts(length=3))
    torch.testing.assert_close(short.prediction_outputs, full[:, :3])


@pytest.mark.parametrize("decoding", ["direct", "segments"])
def test_a_longer_horizon_is_rolled_out(decoding):
    """By hand: append the forecast to the window and forecast again."""
    model = build(decoding=decoding, **COVARIATE_FIELDS)
    arguments = everything(horizon=15)
    rolled = model(**arguments, prediction_length=15).prediction_outputs
    future, forecasts = arguments.pop("future_time_features"), []
    for start in (0, 6, 12):
        known = torch.nn.functional.pad(future, (0, 0, 0, 3))[:, start : start + 6]
        forecasts.append(model(**arguments, future_time_features=known).prediction_outputs)
        arguments["past_values"] = torch.cat([arguments["past_values"], forecasts[-1]], dim=1)
        arguments["past_time_features"] = torch.cat([arguments["past_time_features"], known], dim=1)
    torch.testing.assert_close(rolled, torch.cat(forecasts, dim=1)[:, :15])


def test_a_longer_recursion_reads_on():
    """The recurrent net keeps its state over the trained horizon."""
    model = build(decoding="recursive")
    longer = build(decoding="recursive", prediction_length=15)
    longer.load_state_dict(model.state_dict())
    torch.testing.assert_close(model(counts(), prediction_length=15).prediction_outputs, longer(counts())[0])


# Weights


def test_weights_begin_as_intended():
    model = build(num_layers=2, learned_initial_state=True, scaling="revin", decoding="segments", cardinality=[50])
    for layer in model.model.layers:
        for gate, bias in enumerate(layer.cell.bias_ih_l0.chunk(4)):
            assert (bias == (1 if gate == 1 else 0)).all()
        assert (layer.cell.bias_hh_l0 == 0).all() and (layer.initial_state == 0).all()
        for recurrence in layer.cell.weight_hh_l0.chunk(4):
            torch.testing.assert_close(recurrence @ recurrence.T, torch.eye(8))
        assert 0.05 < layer.cell.weight_ih_l0.std() < 0.6
    assert 0.5 < model.queries.position.std() < 1.5 and 0.5 < model.queries.channel.std() < 1.5
    assert 0.8 < model.model.static_embeddings[0].weight.std() < 1.2
    assert (model.model.scaler.log_weight == 0).all() and (model.model.scaler.bias == 0).all()
    assert 0.2 < model.head.output.weight.std() / (8**-0.5 / 3**0.5) < 1.8
    for net in (model, build(patch_embedding=False)):
        assert (input_weight(net)[:, :4] != 0).all() and (input_weight(net)[:, 4:8] == 0).all()


@pytest.mark.parametrize("cell", ["gru", "rnn"])
def test_other_cells_begin_as_intended(cell):
    for name, parameter in build(cell_type=cell).model.layers[0].cell.named_parameters():
        if name.startswith("bias"):
            assert (parameter == 0).all()
        elif name.startswith("weight_hh"):
            for recurrence in parameter.chunk(modeling_lstm_forecaster.GATES[modeling_lstm_forecaster.CELLS[cell]]):
                torch.testing.assert_close(recurrence @ recurrence.T, torch.eye(8))


@pytest.mark.parametrize(("cell", "decoding"), list(zip(CELL_STATES, DECODINGS)))
def test_saved_and_loaded_is_the_same(tmp_path, cell, decoding):
    model = build(
        cell_type=cell,
        decoding=decoding,
        scaling="revin",
        learned_initial_state=True,
        num_layers=2,
        **COVARIATE_FIELDS,
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1)
    model.save_pretrained(tmp_path)
    loaded, report = LSTMForecasterForPrediction.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values()), report
    assert loaded.state_dict().keys() == model.state_dict().keys()
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name
    assert torch.equal(loaded(**everything()).prediction_outputs, model(**everything()).prediction_outputs)
    assert loaded.config.to_diff_dict() == model.config.to_diff_dict()


@pytest.mark.parametrize("cell", CELL_STATES)
def test_what_a_file_lacks_is_initialised(tmp_path, cell):
    """Loading goes through the meta device: what nobody initialises holds whatever was in memory."""
    fields = {"cell_type": cell, "scaling": "revin", "decoding": "segments", "learned_initial_state": True}
    model = build(**fields, cardinality=[3])
    model.save_pretrained(tmp_path, state_dict={"head.output.bias": torch.full((4,), 7.0)})
    torch.manual_seed(0)
    loaded = LSTMForecasterForPrediction.from_pretrained(tmp_path)
    assert (loaded.head.output.bias == 7).all()
    for name, tensor in loaded.state_dict().items():
        fresh = model.state_dict()[name]
        if name == "head.output.bias":
            continue
        if fresh.unique().numel() <= 2:
            assert torch.equal(tensor, fresh), name
        else:
            assert 0.3 < tensor.std() / fresh.std() < 3, name


# Configuration


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"cell_type": "lsmt"}, "cell_type='lsmt' is not one of lstm, gru, rnn"),
        ({"scaling": "minmax"}, "scaling='minmax' is not one of"),
        ({"decoding": "beam"}, "decoding='beam' is not one of"),
        ({"head": "gamma"}, "head='gamma' is not one of"),
        ({"loss": "mape"}, "loss='mape' is not one of"),
        ({"hidden_act": "rely"}, "hidden_act='rely' is not one of"),
        *(
            ({field: 0}, f"{field}=0 must be at least 1")
            for field in ("context_length", "prediction_length", "input_size", "hidden_size", "num_layers")
        ),
        ({"patch_length": 0}, "patch_length=0 must be at least 1"),
        ({"num_parallel_samples": 0}, "num_parallel_samples=0 must be at least 1"),
        ({"num_time_features": -1}, "num_time_features=-1 must be at least 0"),
        ({"num_dynamic_real_features": -1}, "num_dynamic_real_features=-1 must be at least 0"),
        ({"num_static_real_features": -1}, "num_static_real_features=-1 must be at least 0"),
        ({"dense_sizes": [4, 0]}, r"dense_sizes=\[4, 0\] must hold whole numbers"),
        ({"cardinality": [0]}, r"cardinality=\[0\] must hold whole numbers"),
        ({"cardinality": [3], "embedding_dimension": [2, 2]}, "embedding_dimension=.* has 2 values"),
        ({"dropout": 1.0}, "dropout=1.0 must be at least 0 and below 1"),
        ({"patch_length": 400}, "patch_length=400 is longer than context_length=336"),
        ({"quantiles": []}, r"quantiles=\[\] must be ascending"),
        ({"quantiles": [0.5, 0.1]}, r"quantiles=\[0.5, 0.1\] must be ascending"),
        ({"quantiles": [0.5, 1.0]}, r"quantiles=\[0.5, 1.0\] must be ascending"),
        ({"head": "negative_binomial"}, "scaling='std' shifts the values"),
        ({"head": "negative_binomial", "scaling": "mean", "scale_loss": True}, "scale_loss=True has no meaning"),
        ({"decoding": "segments", "patch_embedding": False}, "patch_embedding=False with decoding='segments'"),
        ({"head": "quantile", "loss": "mae"}, "loss='mae' is for head='point' only"),
        ({"hidden_size": "8"}, "hidden_size"),
    ],
)
def test_config_names_field_and_reason(fields, message):
    with pytest.raises(Exception, match=message):
        LSTMForecasterConfig(**fields)


def test_config_defaults_and_derived_numbers():
    config = LSTMForecasterConfig(context_length=100, prediction_length=50, cardinality=[3, 200], patch_length=24)
    assert (config.num_patches, config.num_segments, config.embedding_dimension) == (5, 3, [2, 50])
    assert config.num_hidden_layers == config.num_layers
    assert config.num_static_features == 52
    assert config.embedding_dimension == LSTMForecasterConfig.from_dict(config.to_dict()).embedding_dimension
