"""LoRA by peft: small matrices beside the frozen ones (Hu et al., 2022, arXiv:2106.09685), merged before saving."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from .recipe import UsageError

# The update of a matrix is scaled by this, whatever the rank: twice as much as peft has it by default.
SCALE = 2


class Lora:
    """Adapters inside a model, which stays of its own class: checkpoints, averages and generation need not know.

    Every linear map gets an adapter but the output layer, whose rows are embeddings. Of the embeddings, of tied and
    untied tables and of output biases the rows of new pieces are trained as they are, all others are frozen; so are
    weights that are no linear map (norms, recurrent cells) and their biases. `trained` names these tables: weight
    decay, which needs no gradient, would change their frozen rows.

    Args:
        model: Changed in place.
        rank: Of the adapters.
        tables: Names of the tensors with a row for each piece.
        new: Ids of the new pieces.

    Raises:
        UsageError: peft is not installed.
    """

    def __init__(self, model: PreTrainedModel, rank: int, tables: Sequence[str], new: Sequence[int]):
        try:
            from peft import LoraConfig, inject_adapter_in_model
        except ImportError:
            raise UsageError("--lora_rank needs peft: pip install primer-zoo[lora]") from None
        output = model.get_output_embeddings()
        targets = [
            name for name, module in model.named_modules() if isinstance(module, nn.Linear) and module is not output
        ]
        config = LoraConfig(r=rank, lora_alpha=SCALE * rank, target_modules=targets, lora_dropout=0.0)
        self.model: Any = inject_adapter_in_model(config, model)
        self.trained = [self.train_rows(name, new) for name in tables] if len(new) else []

    def train_rows(self, name: str, new: Sequence[int]) -> str:
        """Let the optimizer change some rows of a frozen tensor, by a mask of its gradient."""
        value = self.model.get_parameter(name)
        if not value.requires_grad:  # a tied tensor has two names
            value.requires_grad_(True)
            mask = torch.zeros(len(value), *(1 for _ in value.shape[1:]), device=value.device)
            mask[list(new)] = 1
            value.register_hook(lambda gradient: gradient * mask.to(gradient))
        return name

    def merge(self) -> None:
        """Add what the adapters learned to the weights, and take them out."""
        from peft.tuners.lora import LoraLayer

        for name, module in [*self.model.named_modules()]:
            if isinstance(module, LoraLayer):
                module.merge()
                parent, _, last = name.rpartition(".")
                setattr(self.model.get_submodule(parent), last, module.get_base_layer())
        for value in self.model.parameters():
            value.requires_grad_(True)
        for note in ("peft_config", "_hf_peft_config_loaded"):
            if note in vars(self.model):
                delattr(self.model, note)


__all__ = ["Lora"]
