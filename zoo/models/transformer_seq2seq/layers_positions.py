"""Positions: which token comes after which, whatever padding stands between."""

import math

import torch
from torch import nn

from .configuration_transformer_seq2seq import TransformerSeq2SeqConfig

# cos and sin of a rotation, (batch or 1, 1, length, head_dim) each.
Rotation = tuple[torch.Tensor, torch.Tensor]


def count_positions(attention_mask: torch.Tensor) -> torch.Tensor:
    """(batch, length), 1 on real tokens -> the number of real tokens before each; on padding any valid number."""
    return (attention_mask.long().cumsum(-1) - 1).clamp(min=0)


class TransformerSeq2SeqSinusoidalPositions(nn.Module):
    """Sines of falling frequency, then their cosines (arXiv:1706.03762, in the order of Marian)."""

    def __init__(self, config: TransformerSeq2SeqConfig):
        super().__init__()
        self.config = config
        self.table: torch.Tensor
        self.register_buffer("table", self.make_table(), persistent=False)

    def make_table(self) -> torch.Tensor:
        """(max_position_embeddings, d_model)."""
        half = self.config.d_model // 2
        frequencies = torch.exp(torch.arange(half, dtype=torch.float32) * (-math.log(10000) / max(half - 1, 1)))
        angles = torch.arange(self.config.max_position_embeddings, dtype=torch.float32)[:, None] * frequencies
        return torch.cat([angles.sin(), angles.cos()], dim=1)

    def forward(self, position_ids: torch.Tensor) -> torch.Tensor:
        """(batch or 1, length) -> (batch or 1, length, d_model)."""
        return nn.functional.embedding(position_ids, self.table)


class TransformerSeq2SeqLearnedPositions(nn.Embedding):
    """A vector of its own for each position."""

    def __init__(self, config: TransformerSeq2SeqConfig):
        super().__init__(config.max_position_embeddings, config.d_model)


class TransformerSeq2SeqRotaryPositions(nn.Module):
    """
    Turns queries and keys by angles that grow with their positions, so that attention sees distances
    (arXiv:2104.09864). It keeps no buffer: angles in half precision would not tell far positions apart.
    """

    def __init__(self, head_dim: int, theta: float):
        super().__init__()
        self.head_dim, self.theta = head_dim, theta

    def forward(self, position_ids: torch.Tensor, dtype: torch.dtype) -> Rotation:
        """(batch or 1, length) -> cos and sin for `rotate`."""
        pairs = torch.arange(0, self.head_dim, 2, device=position_ids.device, dtype=torch.float32)
        angles = position_ids[:, None, :, None].float() * self.theta ** (-pairs / self.head_dim)
        angles = torch.cat([angles, angles], dim=-1)
        return angles.cos().to(dtype), angles.sin().to(dtype)


def rotate(states: torch.Tensor, rotation: Rotation) -> torch.Tensor:
    """Queries or keys (batch, heads, length, head_dim), turned. Number i and number i + head_dim / 2 are a pair."""
    cos, sin = rotation
    first, second = states.chunk(2, dim=-1)
    return states * cos + torch.cat([-second, first], dim=-1) * sin


__all__ = [
    "Rotation",
    "TransformerSeq2SeqLearnedPositions",
    "TransformerSeq2SeqRotaryPositions",
    "TransformerSeq2SeqSinusoidalPositions",
    "count_positions",
    "rotate",
]
