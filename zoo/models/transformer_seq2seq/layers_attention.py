"""Attention of the Transformer encoder-decoder: to itself, and of the decoder to the source."""

from typing import Any

import torch
from torch import nn
from transformers.cache_utils import EncoderDecoderCache
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.utils.import_utils import is_torchdynamo_compiling

from .configuration_transformer_seq2seq import TransformerSeq2SeqConfig
from .layers_dropout import dropout as drop
from .layers_positions import Rotation, rotate


def hide(scores: torch.Tensor, attention_mask: torch.Tensor | None, is_causal: bool) -> torch.Tensor:
    """
    Scores (batch, heads, queries, keys) without what a query must not see.

    Masks of every implementation are understood: additive or boolean (batch, 1, queries, keys), boolean (batch, keys),
    or none, which in a causal layer means that the kernel would have hidden the future.
    """
    lowest = torch.finfo(scores.dtype).min
    queries, keys = scores.shape[-2:]
    if attention_mask is None or attention_mask.ndim == 2:
        if is_causal and queries > 1:
            future = torch.ones(queries, keys, dtype=torch.bool, device=scores.device).triu(keys - queries + 1)
            scores = scores.masked_fill(future, lowest)
        if attention_mask is None:
            return scores
        attention_mask = attention_mask[:, None, None, :].bool()
    if attention_mask.dtype == torch.bool:
        return scores.masked_fill(~attention_mask, lowest)
    return scores + attention_mask


def eager_attention_forward(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention in plain operations; the only implementation that shows its weights (before dropout)."""
    scores = torch.matmul(query, key.transpose(2, 3)) * scaling
    weights = hide(scores, attention_mask, module.is_causal).softmax(dim=-1)
    seen = drop(weights, dropout, module.training)
    return torch.matmul(seen, value).transpose(1, 2).contiguous(), weights


def is_short_on_cpu(query: torch.Tensor, key: torch.Tensor) -> bool:
    """
    Whether training is faster with plain operations than with torch's fused kernel of CPUs, whose backward pass is
    slow for short texts and very slow in half precision. (One core of a Zen 4, forward and backward of 4,032 tokens in
    rows of 18, 4 heads of 32: float32 9 against 14 ms, bfloat16 10 against 70 ms; in rows of 256 they are equal.)
    """
    if query.device.type != "cpu" or not query.requires_grad or is_torchdynamo_compiling():
        return False
    return key.shape[2] <= (48 if query.dtype == torch.float32 else 256)


class TransformerSeq2SeqAttention(nn.Module):
    """What both kinds of attention share: heads, the choice of implementation, the output projection."""

    def __init__(self, config: TransformerSeq2SeqConfig, num_heads: int, is_causal: bool, layer_idx: int):
        super().__init__()
        self.config, self.layer_idx, self.is_causal = config, layer_idx, is_causal
        self.num_heads, self.head_dim = num_heads, config.d_model // num_heads
        self.scaling, self.dropout = self.head_dim**-0.5, config.attention_dropout
        self.out_proj = nn.Linear(config.d_model, config.d_model)

    def split(self, projected: torch.Tensor, parts: int) -> tuple[torch.Tensor, ...]:
        """(batch, length, parts * d_model) -> as many views (batch, heads, length, head_dim)."""
        batch, length, _ = projected.shape
        return projected.view(batch, length, parts, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)

    def attend(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        implementation: str | None = None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """
        Heads (batch, heads, length, head_dim) -> output (batch, queries, d_model) and weights, where they exist.
        `implementation`: the config's, which is slow to look up in every layer.
        """
        if implementation is None:
            implementation = self.config._attn_implementation
        if kwargs.get("output_attentions") or (implementation == "sdpa" and is_short_on_cpu(query, key)):
            if attention_mask is not None and not isinstance(attention_mask, torch.Tensor):
                raise ValueError(
                    f"attn_implementation={implementation!r} shows no attention weights: use 'eager' or 'sdpa'"
                )
            implementation = "eager"  # fused kernels never hold the weights
        attention = ALL_ATTENTION_FUNCTIONS.get_interface(implementation, eager_attention_forward)
        output, weights = attention(
            self,
            query,
            key,
            value,
            attention_mask,
            dropout=self.dropout if self.training else 0.0,
            scaling=self.scaling,
            **kwargs,
        )
        return self.out_proj(output.flatten(2)), weights


class TransformerSeq2SeqSelfAttention(TransformerSeq2SeqAttention):
    """Tokens look at each other. One matrix makes queries, keys and values."""

    def __init__(self, config: TransformerSeq2SeqConfig, num_heads: int, is_causal: bool, layer_idx: int):
        super().__init__(config, num_heads, is_causal, layer_idx)
        self.qkv_proj = nn.Linear(config.d_model, 3 * config.d_model)

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        rotation: Rotation | None = None,
        past_key_values: EncoderDecoderCache | None = None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(batch, length, d_model) -> the same, and attention weights (batch, heads, length, keys) or `None`."""
        query, key, value = self.split(self.qkv_proj(hidden_states), 3)
        if rotation is not None:
            query, key = rotate(query, rotation), rotate(key, rotation)
        if past_key_values is not None:
            key, value = past_key_values.self_attention_cache.update(key, value, self.layer_idx)
        return self.attend(query, key, value, attention_mask, **kwargs)


class TransformerSeq2SeqCrossAttention(TransformerSeq2SeqAttention):
    """Tokens of the target look at the source, whose keys and values are made once."""

    def __init__(self, config: TransformerSeq2SeqConfig, num_heads: int, layer_idx: int):
        super().__init__(config, num_heads, False, layer_idx)
        self.q_proj = nn.Linear(config.d_model, config.d_model)
        self.kv_proj = nn.Linear(config.d_model, 2 * config.d_model)

    def forward(
        self,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        past_key_values: EncoderDecoderCache | None = None,
        implementation: str | None = None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """
        (batch, length, d_model) and the source (batch, source length, d_model) -> (batch, length, d_model), and
        attention weights (batch, heads, length, source length) or `None`. A source may have several targets, such as
        the beams of a search: then its batch is a divisor of theirs.
        """
        (query,) = self.split(self.q_proj(hidden_states), 1)
        if past_key_values is not None and past_key_values.is_updated.get(self.layer_idx):
            cached = past_key_values.cross_attention_cache.layers[self.layer_idx]
            key, value = cached.keys, cached.values
        else:
            key, value = self.split(self.kv_proj(encoder_hidden_states), 2)
            if past_key_values is not None:
                key, value = past_key_values.cross_attention_cache.update(key, value, self.layer_idx)
                past_key_values.is_updated[self.layer_idx] = True
        if attention_mask is not None and implementation != "eager":
            implementation = "sdpa"  # flash attention would take the padding of the source for that of the target
        rows, copies = len(query), len(query) // len(key)
        if copies == 1:
            return self.attend(query, key, value, attention_mask, implementation, **kwargs)
        # Targets of one source stand one after the other, as if they were tokens of one target.
        query = query.unflatten(0, (-1, copies)).transpose(1, 2).flatten(2, 3)
        if attention_mask is not None:
            attention_mask = attention_mask[:, :, :1]  # hides padding of the source, from all queries alike
        output, weights = self.attend(query, key, value, attention_mask, implementation, **kwargs)
        if weights is not None:
            weights = weights.unflatten(2, (copies, -1)).transpose(1, 2).flatten(0, 1)
        return output.reshape(rows, -1, output.shape[-1]), weights


__all__ = [
    "TransformerSeq2SeqAttention",
    "TransformerSeq2SeqCrossAttention",
    "TransformerSeq2SeqSelfAttention",
    "eager_attention_forward",
]
