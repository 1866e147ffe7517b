"""Muon for inner matrices and filters, AdamW for the rest, as one optimizer that a Trainer can schedule and save."""

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.optim.adamw import adamw
from transformers import PreTrainedModel

from .arguments import ZooTrainingArguments

# Parameters with their settings, as torch.optim has them.
Group: TypeAlias = dict[str, Any]


def orthogonalize(matrix: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """An approximation of the nearest semi-orthogonal matrix by Newton-Schulz iterations (Jordan et al., 2024, Muon).

    torch.optim.Muon does this in bfloat16 for 2-D parameters alone; here filters of any rank are flattened to
    (out, rest) and stay in their own precision, which is faster on CPUs without bfloat16 arithmetic.
    """
    flat = matrix.reshape(len(matrix), -1)
    tall = flat.shape[0] > flat.shape[1]
    x = flat.T if tall else flat
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return (x.T if tall else x).reshape(matrix.shape)


class MuonWithAdamW(torch.optim.Optimizer):
    """Groups with `muon=True` take orthogonalised momentum steps, the others take AdamW steps.

    Args:
        groups: Parameter groups with `params`, `lr`, `weight_decay` and `muon`; Muon's have `momentum`, AdamW's
            `betas` and `eps`. Weight decay is decoupled in both.
    """

    def __init__(self, groups: Iterable[Group]):
        defaults = {
            "lr": 0.0,
            "weight_decay": 0.0,
            "muon": False,
            "momentum": 0.95,
            "betas": (0.9, 0.999),
            "eps": 1e-8,
        }
        super().__init__(groups, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if group["muon"]:
                for parameter in parameters:
                    self._muon_step(parameter, parameter.grad, group)
            elif parameters:
                self._adamw_step(parameters, group)
        return loss

    def _muon_step(self, parameter: torch.Tensor, gradient: torch.Tensor, group: Group) -> None:
        state = self.state[parameter]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        buffer = state["momentum_buffer"].mul_(group["momentum"]).add_(gradient)
        update = orthogonalize(gradient.add(buffer, alpha=group["momentum"]))
        scale = max(1.0, len(parameter) / parameter[0].numel()) ** 0.5
        parameter.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-group["lr"] * scale)

    def _adamw_step(self, parameters: list[torch.Tensor], group: Group) -> None:
        for parameter in parameters:
            if not self.state[parameter]:
                zeros = {name: torch.zeros_like(parameter) for name in ("exp_avg", "exp_avg_sq")}
                self.state[parameter].update(step=torch.tensor(0.0), **zeros)
        states = [self.state[parameter] for parameter in parameters]
        beta1, beta2 = group["betas"]
        adamw(
            parameters,
            [parameter.grad for parameter in parameters if parameter.grad is not None],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            max_exp_avg_sqs=[],
            state_steps=[state["step"] for state in states],
            amsgrad=False,
            beta1=beta1,
            beta2=beta2,
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )


def muon_groups(model: PreTrainedModel, arguments: ZooTrainingArguments, decay: set[str]) -> list[Group]:
    """Parameter groups: Muon for the weight matrices and filters inside the base model but its first, which reads the
    input; AdamW for first layer, embeddings, norms, biases and heads.

    Args:
        model: With a base model inside.
        arguments: Rates and decay of both.
        decay: Names of the parameters that are decayed.
    """
    embeddings = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    trained = [p for p in model.base_model.parameters() if p.requires_grad]
    inner = [p for p in trained if p.ndim >= 2 and id(p) not in embeddings][1:]
    muon = {id(p) for p in inner}
    rest = [(name, p) for name, p in model.named_parameters() if p.requires_grad and id(p) not in muon]
    betas = (arguments.adam_beta1, arguments.adam_beta2)
    shared = {"lr": arguments.learning_rate, "betas": betas, "eps": arguments.adam_epsilon}
    muon_settings = {"lr": arguments.muon_learning_rate, "momentum": arguments.muon_momentum, "muon": True}
    return [
        {"params": inner, "weight_decay": arguments.weight_decay, **muon_settings},
        {"params": [p for name, p in rest if name in decay], "weight_decay": arguments.weight_decay, **shared},
        {"params": [p for name, p in rest if name not in decay], "weight_decay": 0.0, **shared},
    ]


__all__ = ["MuonWithAdamW", "muon_groups", "orthogonalize"]
