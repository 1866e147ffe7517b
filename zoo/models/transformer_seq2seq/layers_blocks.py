"""Layers of the Transformer encoder-decoder: attention and feed-forward blocks with their residual paths."""

from typing import Any

import torch
from torch import nn
from transformers.activations import ACT2FN
from transformers.cache_utils import EncoderDecoderCache
from transformers.modeling_layers import GradientCheckpointingLayer

from .configuration_transformer_seq2seq import TransformerSeq2SeqConfig
from .layers_attention import TransformerSeq2SeqCrossAttention, TransformerSeq2SeqSelfAttention
from .layers_dropout import add_dropout, dropout
from .layers_positions import Rotation


def make_norm(config: TransformerSeq2SeqConfig) -> nn.Module:
    """The normalisation that the config names."""
    norm_class = nn.LayerNorm if config.norm_type == "layer_norm" else nn.RMSNorm
    return norm_class(config.d_model, eps=config.layer_norm_eps)


class TransformerSeq2SeqFeedForward(nn.Module):
    """Each token on its own: wider, activation, back. A gate multiplies the activation by a second projection."""

    def __init__(self, config: TransformerSeq2SeqConfig, ffn_dim: int):
        super().__init__()
        self.gated = config.gated_ffn
        self.fc1 = nn.Linear(config.d_model, 2 * ffn_dim if self.gated else ffn_dim)
        self.fc2 = nn.Linear(ffn_dim, config.d_model)
        self.activation = ACT2FN[config.activation_function]
        self.dropout = config.activation_dropout

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """(batch, length, d_model) -> the same."""
        inner = self.fc1(hidden_states)
        if self.gated:
            gate, inner = inner.chunk(2, dim=-1)
            inner = self.activation(gate) * inner
        else:
            inner = self.activation(inner)
        return self.fc2(dropout(inner, self.dropout, self.training))


class TransformerSeq2SeqLayer(GradientCheckpointingLayer):
    """What layers of encoder and decoder share: where the norm stands, and the feed-forward block."""

    def __init__(self, config: TransformerSeq2SeqConfig, num_heads: int, ffn_dim: int, is_causal: bool, index: int):
        super().__init__()
        self.pre_norm = config.norm_position == "pre"
        self.dropout = config.dropout
        self.self_attn = TransformerSeq2SeqSelfAttention(config, num_heads, is_causal, index)
        self.self_attn_layer_norm = make_norm(config)
        self.ffn = TransformerSeq2SeqFeedForward(config, ffn_dim)
        self.final_layer_norm = make_norm(config)

    def enter(self, hidden_states: torch.Tensor, norm: nn.Module) -> torch.Tensor:
        """What a block reads."""
        return norm(hidden_states) if self.pre_norm else hidden_states

    def leave(self, residual: torch.Tensor, output: torch.Tensor, norm: nn.Module) -> torch.Tensor:
        """What a block hands on: its output added to what it read."""
        hidden_states = add_dropout(residual, output, self.dropout, self.training)
        return hidden_states if self.pre_norm else norm(hidden_states)

    def feed_forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """The last block of a layer."""
        norm = self.final_layer_norm
        return self.leave(hidden_states, self.ffn(self.enter(hidden_states, norm)), norm)


class TransformerSeq2SeqEncoderLayer(TransformerSeq2SeqLayer):
    """Self-attention and feed-forward."""

    def __init__(self, config: TransformerSeq2SeqConfig, index: int):
        super().__init__(config, config.encoder_attention_heads, config.encoder_ffn_dim, False, index)

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        rotation: Rotation | None = None,
        **kwargs: Any,
    ) -> torch.Tensor:
        """(batch, length, d_model) -> the same."""
        norm = self.self_attn_layer_norm
        output, _ = self.self_attn(self.enter(hidden_states, norm), attention_mask, rotation, **kwargs)
        return self.feed_forward(self.leave(hidden_states, output, norm))


class TransformerSeq2SeqDecoderLayer(TransformerSeq2SeqLayer):
    """Self-attention to earlier tokens, attention to the source, feed-forward."""

    def __init__(self, config: TransformerSeq2SeqConfig, index: int):
        super().__init__(config, config.decoder_attention_heads, config.decoder_ffn_dim, True, index)
        self.encoder_attn = TransformerSeq2SeqCrossAttention(config, config.decoder_attention_heads, index)
        self.encoder_attn_layer_norm = make_norm(config)

    def forward(
        self,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        encoder_attention_mask: torch.Tensor | None = None,
        rotation: Rotation | None = None,
        past_key_values: EncoderDecoderCache | None = None,
        **kwargs: Any,
    ) -> torch.Tensor:
        """(batch, length, d_model), with the source (batch, source length, d_model) -> (batch, length, d_model)."""
        norm = self.self_attn_layer_norm
        output, _ = self.self_attn(
            self.enter(hidden_states, norm), attention_mask, rotation, past_key_values=past_key_values, **kwargs
        )
        hidden_states = self.leave(hidden_states, output, norm)
        norm = self.encoder_attn_layer_norm
        output, _ = self.encoder_attn(
            self.enter(hidden_states, norm),
            encoder_hidden_states,
            encoder_attention_mask,
            past_key_values=past_key_values,
            **kwargs,
        )
        return self.feed_forward(self.leave(hidden_states, output, norm))


__all__ = ["TransformerSeq2SeqDecoderLayer", "TransformerSeq2SeqEncoderLayer", "make_norm"]
