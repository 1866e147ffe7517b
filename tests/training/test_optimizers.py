"""Muon for inner matrices, AdamW for the rest; the moving average."""

import types

import pytest
import torch
from transformers import TrainerControl

from zoo import FashionCNNConfig, FashionCNNForImageClassification
from zoo.training.callbacks import EMACallback
from zoo.training.optimizers import MuonWithAdamW, muon_groups, orthogonalize


@pytest.mark.parametrize("shape", [(8, 8), (4, 32), (32, 4), (16, 3, 3, 3)])
def test_orthogonalize_flattens_the_spectrum(shape):
    torch.manual_seed(0)
    matrix = torch.randn(shape) * torch.logspace(-1, 1, shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    result = orthogonalize(matrix)
    assert result.shape == matrix.shape
    singular = torch.linalg.svdvals(result.reshape(shape[0], -1))
    assert singular.max() < 1.3 and singular.median() > 0.5
    assert (result * matrix).sum() > 0  # still a descent direction


def test_the_adamw_part_is_torchs_adamw():
    torch.manual_seed(0)
    start, gradients = torch.randn(5), [torch.randn(5) for _ in range(4)]
    ours, theirs = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    settings = {"lr": 0.1, "betas": (0.8, 0.99), "eps": 1e-6, "weight_decay": 0.05}
    optimizers = MuonWithAdamW([{"params": [ours], **settings}]), torch.optim.AdamW([theirs], **settings)
    for gradient in gradients:
        for parameter, optimizer in zip((ours, theirs), optimizers):
            parameter.grad = gradient.clone()
            optimizer.step()
    torch.testing.assert_close(ours, theirs)


def test_muon_steps_are_of_equal_size_in_every_direction():
    parameter = torch.nn.Parameter(torch.zeros(6, 6))
    optimizer = MuonWithAdamW([{"params": [parameter], "lr": 0.1, "muon": True, "momentum": 0.0}])
    parameter.grad = torch.diag(torch.tensor([1e-1, 1.0, 2.0, 5.0, 10.0, 20.0]))
    optimizer.step()
    steps = -parameter.detach().diagonal()
    assert (steps > 0.05).sum() >= 5 and steps.max() < 0.13


def test_who_trains_what():
    model = FashionCNNForImageClassification(
        FashionCNNConfig(stem_channels=4, stage_channels=[8, 16], convs_per_stage=2, dense_sizes=[12])
    )
    names = {id(p): name for name, p in model.named_parameters()}
    arguments = types.SimpleNamespace(
        learning_rate=1e-3, adam_beta1=0.9, adam_beta2=0.99, adam_epsilon=1e-8, weight_decay=0.1,
        muon_learning_rate=0.02, muon_momentum=0.9,
    )  # fmt: skip
    decay = {name for name, p in model.named_parameters() if p.ndim > 1}
    muon, decayed, plain = ({names[id(p)] for p in group["params"]} for group in muon_groups(model, arguments, decay))
    assert muon == {f"fashion_cnn.stages.{s}.layers.{layer}.convolution.weight" for s in (0, 1) for layer in (0, 1)}
    assert decayed == {"fashion_cnn.stem.0.weight", "dense.0.weight", "classifier.weight"}
    assert "classifier.bias" in plain and "fashion_cnn.stages.0.layers.0.normalization.weight" in plain
    assert muon | decayed | plain == set(names.values())


def run_step(callback, model, step, evaluate=False):
    arguments, control = types.SimpleNamespace(), TrainerControl(should_evaluate=evaluate)
    state = types.SimpleNamespace(global_step=step, is_world_process_zero=True)
    callback.on_step_end(arguments, state, control, model=model)


def test_the_average_follows_its_definition_and_evaluations_see_it():
    model = torch.nn.Linear(1, 1, bias=False)
    callback = EMACallback(decay=0.5)
    model.weight.data.fill_(0.0)
    callback.on_train_begin(None, None, None, model=model)
    expected = 0.0
    for step in range(1, 6):
        model.weight.data.fill_(float(step))
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
        run_step(callback, model, step, evaluate=step == 5)
    assert model.weight.item() == pytest.approx(expected)  # swapped in for the evaluation
    callback.on_evaluate(None, None, None, model=model)
    assert model.weight.item() == 5.0  # and training goes on with the raw weights


def test_a_loaded_average_moves_to_the_device_of_the_model():
    """A checkpoint is read into the memory of the CPU."""
    model, callback = torch.nn.Linear(1, 1, bias=False, device="meta"), EMACallback(decay=0.5)
    callback.average = {"weight": torch.zeros(1, 1)}
    callback.on_train_begin(None, None, None, model=model)
    assert callback.average["weight"].is_meta


def test_the_average_counts_tied_weights_once_and_leaves_counters_alone():
    model = torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    model[2].weight = model[1].weight
    callback = EMACallback(decay=0.9)
    callback.on_train_begin(None, None, None, model=model)
    assert "0.running_mean" in callback.average and "0.num_batches_tracked" not in callback.average
    assert ("1.weight" in callback.average) != ("2.weight" in callback.average)
