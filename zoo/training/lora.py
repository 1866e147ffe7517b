"""LoRA by peft: small matrices beside the frozen ones (Hu et al., 2022, arXiv:2106.09685), merged before saving."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from .recipe import UsageError

# lora_alpha / rank: twice peft's default.
SCALE = 2


class Lora:
    """Adapters inside a model, which keeps its class: checkpoints, averages and generation need no change.

    Every linear map but the output layer gets an adapter. All other weights are frozen, except for chosen rows of some
    tensors, such as the embeddings of new tokens. `no_decay` names these tensors: weight decay, which needs no
    gradient, would change their frozen rows.

    Args:
        model: Changed in place.
        rank: Rank of the adapters.
        rows: Name of a tensor -> its rows that are trained.

    Raises:
        UsageError: peft is not installed.
    """

    def __init__(self, model: PreTrainedModel, rank: int, rows: Mapping[str, Sequence[int]] | None = None):
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
        self.no_decay = list(rows or ())
        for name, numbers in (rows or {}).items():
            self._train_rows(name, numbers)

    def _train_rows(self, name: str, rows: Sequence[int]) -> None:
        """Let the optimizer change some rows of a frozen tensor, by a mask of its gradient."""
        value = self.model.get_parameter(name)
        if not value.requires_grad:  # a tied tensor has two names
            value.requires_grad_(True)
            mask = torch.zeros(len(value), *(1 for _ in value.shape[1:]), device=value.device)
            mask[list(rows)] = 1
            value.register_hook(lambda gradient: gradient * mask.to(gradient))

    def merge(self) -> None:
        """Add the adapters to the weights, and remove them."""
        from peft.tuners.lora import LoraLayer

        for name, module in [*self.model.named_modules()]:
            if isinstance(module, LoraLayer):
                module.merge()
                parent, _, last = name.rpartition(".")
                setattr(self.model.get_submodule(parent), last, module.get_base_layer())
        for value in self.model.parameters():
            value.requires_grad_(True)
        for attribute in ("peft_config", "_hf_peft_config_loaded"):
            if attribute in vars(self.model):
                delattr(self.model, attribute)


__all__ = ["Lora"]
