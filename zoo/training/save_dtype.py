"""Weights in files of half the size: rounded before they are measured, so that the figures are of what is saved."""

import os
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

SAVE_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@torch.no_grad()
def round_weights(model: nn.Module, name: str) -> None:
    """Give each weight the nearest value that the type has; the model goes on in its own. Buffers, such as the
    statistics of normalisation, stay as they are.

    Args:
        model: Is changed.
        name: Of `SAVE_DTYPES`.

    Raises:
        ValueError: A weight is too large for the type; the message names it.
    """
    for label, parameter in model.named_parameters():
        rounded = parameter.to(SAVE_DTYPES[name]).to(parameter.dtype)
        if not torch.equal(rounded.isfinite(), parameter.isfinite()):
            raise ValueError(f"save_dtype={name}: {label} has values above {torch.finfo(SAVE_DTYPES[name]).max:g}")
        parameter.copy_(rounded)


def convert_file(path: Path, model: nn.Module, name: str) -> None:
    """Write a model's safetensors file anew with the weights in the type of `SAVE_DTYPES`.

    The config still says float32, so `from_pretrained` widens them again.
    """
    buffers = {label for label, _ in model.named_buffers()}
    with safe_open(path, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}
        metadata = file.metadata()
    dtype = SAVE_DTYPES[name]
    whole = path.with_suffix(".whole")
    save_file({key: t if key in buffers else t.to(dtype) for key, t in tensors.items()}, whole, metadata)
    os.replace(whole, path)


__all__ = ["SAVE_DTYPES", "convert_file", "round_weights"]
