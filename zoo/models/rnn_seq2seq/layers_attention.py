"""How the decoder looks at the source."""

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from .configuration_rnn_seq2seq import RNNSeq2SeqConfig


class RNNSeq2SeqAttention(GradientCheckpointingLayer):
    """Every target position takes a weighted mean of the source, for all positions at once."""

    def __init__(self, config: RNNSeq2SeqConfig):
        super().__init__()
        size = config.hidden_size
        self.kind = config.attention
        if self.kind in ("general", "additive"):
            self.query = nn.Linear(size, size, bias=False)
        if self.kind == "additive":
            self.key = nn.Linear(size, size)
            self.score = nn.Linear(size, 1, bias=False)

    def keys(self, memory: torch.Tensor) -> torch.Tensor:
        """The source as it is compared, (batch, source_length, hidden_size): the same for every step."""
        return self.key(memory) if self.kind == "additive" else memory

    def forward(
        self, hidden_states: torch.Tensor, memory: torch.Tensor, keys: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Args:
            hidden_states: (batch, target_length, hidden_size), what asks.
            memory: (batch, source_length, hidden_size), what is asked.
            keys: Of `keys(memory)`.
            mask: (batch, source_length) bool, true for real tokens.

        Returns:
            The answers (batch, target_length, hidden_size), and the weights (batch, target_length, source_length),
            which sum to 1 over the real tokens.
        """
        query = hidden_states if self.kind == "dot" else self.query(hidden_states)
        if self.kind == "additive":
            scores = self.score(torch.tanh(query.unsqueeze(2) + keys.unsqueeze(1))).squeeze(3)
        else:
            scores = query @ keys.transpose(1, 2)
        scores = scores.masked_fill(~mask.unsqueeze(1), torch.finfo(scores.dtype).min)
        weights = scores.softmax(dim=-1, dtype=torch.float32).to(memory.dtype)
        return weights @ memory, weights


__all__ = ["RNNSeq2SeqAttention"]
