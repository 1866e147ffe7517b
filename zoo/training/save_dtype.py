"""Weights in files of half the size: rounded before they are measured, so that the record describes what is saved."""

import os
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from .arguments import SAVE_DTYPES


@torch.no_grad()
def round_weights(model: nn.Module, name: str) -> None:
    """Round each weight to the nearest value of a type; the model keeps its own type. Buffers, such as the statistics
    of normalisation, are not changed.

    Args:
        model: Changed in place.
        name: float16 or bfloat16.

    Raises:
        ValueError: A weight is too large for the type; the message names it.
    """
    for label, parameter in model.named_parameters():
        rounded = parameter.to(SAVE_DTYPES[name]).to(parameter.dtype)
        if not torch.equal(rounded.isfinite(), parameter.isfinite()):
            raise ValueError(f"save_dtype={name}: {label} has values above {torch.finfo(SAVE_DTYPES[name]).max:g}")
        parameter.copy_(rounded)


def convert_file(path: Path, model: nn.Module, name: str) -> None:
    """Rewrite a model's safetensors file with the weights in another type.

    The config still says float32, so `from_pretrained` widens them again.

    Args:
        path: The file.
        model: Its model, which tells weights from buffers.
        name: float16 or bfloat16.
    """
    buffers = {label for label, _ in model.named_buffers()}
    with safe_open(path, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}
        metadata = file.metadata()
    dtype = SAVE_DTYPES[name]
    whole = path.with_suffix(".whole")
    save_file({key: t if key in buffers else t.to(dtype) for key, t in tensors.items()}, whole, metadata)
    os.replace(whole, path)


__all__ = ["convert_file", "round_weights"]
