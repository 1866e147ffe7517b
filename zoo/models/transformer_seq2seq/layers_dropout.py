"""Dropout whose random numbers cost little on CPUs."""

import torch
from torch import nn
from transformers.utils.import_utils import is_torchdynamo_compiling

# A 64-bit random number decides about four values, each by 16 bits.
LEVELS = 2**16


def draw_kept(like: torch.Tensor, threshold: int) -> torch.Tensor:
    """Ones and zeros of that shape and type; a zero with probability `threshold / LEVELS`."""
    numbers = torch.empty(-(-like.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    drawn = numbers.view(torch.int16)[: like.numel()].view(like.shape)
    return torch.ge(drawn, threshold - LEVELS // 2, out=torch.empty(like.shape, dtype=like.dtype))


def is_fast(states: torch.Tensor) -> bool:
    """Whether the cheap random numbers are wanted: on a CPU. Other devices and compilers have their own."""
    return states.device.type == "cpu" and not is_torchdynamo_compiling()


def dropout(states: torch.Tensor, probability: float, training: bool) -> torch.Tensor:
    """
    `torch.nn.functional.dropout`, twice as fast on a CPU, where it is a tenth of a training step. The probability is
    rounded to a multiple of 2**-16, and what is kept is scaled by the rounded one.
    """
    if not training or not probability:
        return states
    if not is_fast(states):
        return nn.functional.dropout(states, probability)
    threshold = round(probability * LEVELS)
    return states * draw_kept(states, threshold).mul_(LEVELS / (LEVELS - threshold))


def add_dropout(residual: torch.Tensor, states: torch.Tensor, probability: float, training: bool) -> torch.Tensor:
    """`residual + dropout(states)` in one pass."""
    if not training or not probability:
        return residual + states
    if not is_fast(states):
        return residual + nn.functional.dropout(states, probability)
    threshold = round(probability * LEVELS)
    return torch.addcmul(residual, states, draw_kept(states, threshold), value=LEVELS / (LEVELS - threshold))


__all__ = ["add_dropout", "dropout"]
