"""The Transformer encoder-decoder: dropout, positions, masks, attention, layers, models."""

import math
from typing import Any

import torch
from torch import nn
from transformers import GenerationConfig, PreTrainedModel
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.cache_utils import Cache, DynamicCache, EncoderDecoderCache
from transformers.generation import GenerationMixin
from transformers.masking_utils import create_bidirectional_mask, create_causal_mask
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import (
    BaseModelOutput,
    BaseModelOutputWithPastAndCrossAttentions,
    Seq2SeqLMOutput,
    Seq2SeqModelOutput,
)
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.utils.generic import can_return_tuple, merge_with_config_defaults
from transformers.utils.import_utils import is_torchdynamo_compiling
from transformers.utils.output_capturing import OutputRecorder, capture_outputs

from .configuration_transformer_seq2seq import TransformerSeq2SeqConfig
from .copy_mechanism import (
    TransformerSeq2SeqCopyHead,
    TransformerSeq2SeqEncoderOutput,
    add_copies,
    copy_cross_entropy,
    find_source_ids,
)
from .layers_loss import IGNORED, cross_entropy, is_plain_linear, linear_cross_entropy

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


def fast_dropout(states: torch.Tensor, probability: float, training: bool) -> torch.Tensor:
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


def add_fast_dropout(residual: torch.Tensor, states: torch.Tensor, probability: float, training: bool) -> torch.Tensor:
    """`residual + dropout(states)` in one pass."""
    if not training or not probability:
        return residual + states
    if not is_fast(states):
        return residual + nn.functional.dropout(states, probability)
    threshold = round(probability * LEVELS)
    return torch.addcmul(residual, states, draw_kept(states, threshold), value=LEVELS / (LEVELS - threshold))


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


def hide_padding(
    config: TransformerSeq2SeqConfig,
    embeds: torch.Tensor,
    attention_mask: torch.Tensor | None,
    source: torch.Tensor | None = None,
) -> Any:
    """
    The source's mask (batch, source_length) as attention takes it: from `embeds` to themselves, or to the encoder's
    states `source` (batch, source_length, d_model).

    For torch's kernels it is a view (batch, 1, 1, source_length), made here: the general way costs a twentieth of a
    step of generation on a CPU. Attention to the source uses these kernels with every implementation but "eager".
    """
    implementation = config._attn_implementation
    if source is not None and attention_mask is None:
        return None
    takes_view = implementation == "sdpa" or (source is not None and implementation != "eager")
    if attention_mask is None or attention_mask.ndim != 2 or not takes_view:
        return create_bidirectional_mask(config, embeds, attention_mask, source)
    if not is_torchdynamo_compiling() and attention_mask.device.type == "cpu" and attention_mask.all():
        return None
    return attention_mask[:, None, None, :].bool()


def hide_future(
    config: TransformerSeq2SeqConfig, embeds: torch.Tensor, attention_mask: torch.Tensor | None, cache: Any
) -> Any:
    """The mask of the target: a token sees itself and earlier ones, and one step of generation sees all."""
    own = None if cache is None else cache.self_attention_cache
    if attention_mask is None and embeds.shape[1] == 1 and isinstance(own, DynamicCache):
        return None
    return create_causal_mask(config, embeds, attention_mask, own)


def mask_left_padding(
    config: TransformerSeq2SeqConfig, decoder_input_ids: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor | None:
    """
    (batch, length), 0 where rows begin with padding: PAD tokens without a label. `None` without any, as causal
    attention needs no mask then. A prefix that is read but has no labels is not padding.
    """
    padded = (labels == IGNORED) & (decoder_input_ids == config.pad_token_id)
    if not is_torchdynamo_compiling() and not padded[:, 0].any():
        return None
    return 1 - padded.long().cumprod(-1)


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
    """(batch, heads, length, head_dim) -> (batch, length, heads, head_dim), and the weights before dropout."""
    scores = torch.matmul(query, key.transpose(2, 3)) * scaling
    weights = hide(scores, attention_mask, module.is_causal).softmax(dim=-1)
    seen = fast_dropout(weights, dropout, module.training)
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
        attention weights (batch, heads, length, source length) or `None`.
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
        return self.attend(query, key, value, attention_mask, implementation, **kwargs)


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
        return self.fc2(fast_dropout(inner, self.dropout, self.training))


class TransformerSeq2SeqLayer(GradientCheckpointingLayer):
    """What layers of encoder and decoder share: the position of the norm, and the feed-forward block."""

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
        hidden_states = add_fast_dropout(residual, output, self.dropout, self.training)
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


class TransformerSeq2SeqPreTrainedModel(PreTrainedModel):
    """Weight initialisation and loading for the family."""

    config: TransformerSeq2SeqConfig
    base_model_prefix = "model"
    main_input_name = "input_ids"
    input_modalities: tuple[str, ...] = ("text",)  # type: ignore[assignment]
    supports_gradient_checkpointing = True
    accepts_label_smoothing = True
    _no_split_modules = ["TransformerSeq2SeqEncoderLayer", "TransformerSeq2SeqDecoderLayer"]
    _skip_keys_device_placement = ["past_key_values"]
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_compile_fullgraph = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Linear):
            # Glorot's range of the whole matrix, fused projections included, which is what fairseq does.
            init.xavier_uniform_(module.weight)
        elif isinstance(module, TransformerSeq2SeqLearnedPositions):
            init.normal_(module.weight, std=0.5**0.5)  # as large as sinusoidal ones
        elif isinstance(module, nn.Embedding):
            # Also the output layer, if tied: logits start with a variance of 1.
            init.normal_(module.weight, std=self.config.d_model**-0.5)
            if module.padding_idx is not None and not getattr(module.weight, "_is_hf_initialized", False):
                init.zeros_(module.weight[module.padding_idx])
        elif isinstance(module, TransformerSeq2SeqSinusoidalPositions):
            init.copy_(module.table, module.make_table())

    def resize_token_embeddings(
        self, new_num_tokens: int | None = None, pad_to_multiple_of: int | None = None, mean_resizing: bool = True
    ) -> nn.Embedding:
        """As every model does it; untied embeddings of the decoder are resized too."""
        embeddings = super().resize_token_embeddings(new_num_tokens, pad_to_multiple_of, mean_resizing)
        if not self.config.tie_word_embeddings:
            decoder: Any = self.get_decoder()
            decoder.embed_tokens = self._get_resized_embeddings(
                decoder.embed_tokens, embeddings.num_embeddings, mean_resizing=mean_resizing
            )
        return embeddings


class TransformerSeq2SeqStack(TransformerSeq2SeqPreTrainedModel):
    """What encoder and decoder share: embeddings, positions, the last norm."""

    def __init__(self, config: TransformerSeq2SeqConfig, head_dim: int):
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.d_model, config.pad_token_id)
        self.embed_scale = config.d_model**0.5 if config.scale_embedding else 1.0
        self.dropout = config.dropout
        self.longest = None if config.position_embedding_type == "rotary" else config.max_position_embeddings
        self.embed_positions: nn.Module
        if config.position_embedding_type == "sinusoidal":
            self.embed_positions = TransformerSeq2SeqSinusoidalPositions(config)
        elif config.position_embedding_type == "learned":
            self.embed_positions = TransformerSeq2SeqLearnedPositions(config)
        else:
            self.embed_positions = TransformerSeq2SeqRotaryPositions(head_dim, config.rope_theta)
        # Layers that normalise their outputs leave nothing to do at the end.
        self.layer_norm = make_norm(config) if config.norm_position == "pre" else nn.Identity()
        self.gradient_checkpointing = False

    def embed(
        self, input_ids: torch.Tensor | None, inputs_embeds: torch.Tensor | None, prefix: str = ""
    ) -> torch.Tensor:
        """Token embeddings (batch, length, d_model), before scale and positions."""
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError(f"give either {prefix}input_ids or {prefix}inputs_embeds")
        return self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds

    def place(self, embeds: torch.Tensor, position_ids: torch.Tensor) -> tuple[torch.Tensor, Rotation | None]:
        """Scaled embeddings with their positions, which are either added to them or come as a rotation."""
        rotation = None
        if isinstance(self.embed_positions, TransformerSeq2SeqRotaryPositions):
            hidden_states = embeds * self.embed_scale
            rotation = self.embed_positions(position_ids, embeds.dtype)
        else:
            positions = self.embed_positions(position_ids).to(embeds.dtype)
            hidden_states = torch.add(positions, embeds, alpha=self.embed_scale)
        return fast_dropout(hidden_states, self.dropout, self.training), rotation

    def check_length(self, length: Any) -> None:
        """The last position has to exist. (Of a static cache the length is a tensor, which is not looked into.)"""
        if self.longest is not None and isinstance(length, int) and length > self.longest:
            raise ValueError(f"{length} tokens are more than max_position_embeddings={self.longest} of this model")


class TransformerSeq2SeqEncoder(TransformerSeq2SeqStack):
    """Reads the source."""

    _can_record_outputs = {
        "hidden_states": TransformerSeq2SeqEncoderLayer,
        "attentions": TransformerSeq2SeqAttention,
    }

    def __init__(self, config: TransformerSeq2SeqConfig):
        super().__init__(config, config.encoder_head_dim)
        self.layers = nn.ModuleList(
            TransformerSeq2SeqEncoderLayer(config, index) for index in range(config.encoder_layers)
        )
        self.post_init()

    @merge_with_config_defaults
    @capture_outputs
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> BaseModelOutput:
        r"""
        Args:
            input_ids (`torch.LongTensor` of shape `(batch, length)`): Tokens of the source.
            attention_mask (`torch.LongTensor` of shape `(batch, length)`): 1 on real tokens; all are without it.
            inputs_embeds (`torch.Tensor` of shape `(batch, length, d_model)`): In place of `input_ids`, before scale
                and positions.
            output_attentions (`bool`, *optional*): Also return the attention weights of each layer.
            output_hidden_states (`bool`, *optional*): Also return the input and the output of every layer.
        """
        embeds = self.embed(input_ids, inputs_embeds)
        length = embeds.shape[1]
        self.check_length(length)
        if attention_mask is not None and attention_mask.ndim == 2:
            if attention_mask.shape != embeds.shape[:2]:
                given, source = tuple(attention_mask.shape), tuple(embeds.shape[:2])
                raise ValueError(f"attention_mask has shape {given}, but the source has {source}")
            position_ids = count_positions(attention_mask)
        else:
            position_ids = torch.arange(length, device=embeds.device)[None]
        hidden_states, rotation = self.place(embeds, position_ids)
        attention_mask = hide_padding(self.config, embeds, attention_mask)
        kwargs = {**kwargs, "implementation": self.config._attn_implementation}
        kwargs.pop("use_cache", None)
        for layer in self.layers:
            hidden_states = layer(hidden_states, attention_mask, rotation, **kwargs)
        return TransformerSeq2SeqEncoderOutput(
            last_hidden_state=self.layer_norm(hidden_states),
            input_ids=input_ids if self.config.copy_mechanism else None,
        )


class TransformerSeq2SeqDecoder(TransformerSeq2SeqStack):
    """Writes the target, looking at the source."""

    _can_record_outputs = {
        "hidden_states": TransformerSeq2SeqDecoderLayer,
        "attentions": OutputRecorder(TransformerSeq2SeqAttention, index=1, layer_name="self_attn"),
        "cross_attentions": OutputRecorder(TransformerSeq2SeqAttention, index=1, layer_name="encoder_attn"),
    }

    def __init__(self, config: TransformerSeq2SeqConfig):
        super().__init__(config, config.decoder_head_dim)
        self.layers = nn.ModuleList(
            TransformerSeq2SeqDecoderLayer(config, index) for index in range(config.decoder_layers)
        )
        self.post_init()

    def make_cache(self, past_key_values: Cache | None) -> EncoderDecoderCache:
        """A cache of targets and of sources; a given one is kept."""
        if isinstance(past_key_values, EncoderDecoderCache):
            return past_key_values
        own = DynamicCache(config=self.config) if past_key_values is None else past_key_values
        return EncoderDecoderCache(own, DynamicCache(config=self.config))

    @merge_with_config_defaults
    @capture_outputs
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        encoder_hidden_states: torch.Tensor | None = None,
        encoder_attention_mask: torch.Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        use_cache: bool | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPastAndCrossAttentions:
        r"""
        Args:
            input_ids (`torch.LongTensor` of shape `(batch, length)`): Tokens of the target after those that the cache
                holds.
            attention_mask (`torch.LongTensor` of shape `(batch, cached + length)`): 1 on real tokens; all are without
                it. Needed only with padding on the left: later tokens never change earlier ones.
            encoder_hidden_states (`torch.Tensor` of shape `(batch, source_length, d_model)`)
            encoder_attention_mask (`torch.LongTensor` of shape `(batch, source_length)`): 1 on real tokens.
            past_key_values (`Cache`, *optional*): Keys and values of earlier steps.
            inputs_embeds (`torch.Tensor` of shape `(batch, length, d_model)`): In place of `input_ids`, before scale
                and positions.
            position_ids (`torch.LongTensor` of shape `(batch, length)`): Positions of the tokens; by default they
                follow from mask and cache.
            use_cache (`bool`, *optional*): Return a cache for the next step; the config decides by default.
            output_attentions (`bool`, *optional*): Also return the attention weights of each layer, to the target and
                to the source.
            output_hidden_states (`bool`, *optional*): Also return the input and the output of every layer.
        """
        if encoder_hidden_states is None:
            raise ValueError("encoder_hidden_states is missing: the decoder of a translator reads the source")
        embeds = self.embed(input_ids, inputs_embeds, "decoder_")
        length = embeds.shape[1]
        cache = self.make_cache(past_key_values) if use_cache or past_key_values is not None else None
        past = 0 if cache is None else cache.get_seq_length()
        self.check_length(past + length)
        if position_ids is None:
            if attention_mask is not None and attention_mask.ndim == 2:
                position_ids = count_positions(attention_mask)[:, -length:]
            else:
                position_ids = torch.arange(length, device=embeds.device)[None] + past
        hidden_states, rotation = self.place(embeds, position_ids)
        attention_mask = hide_future(self.config, embeds, attention_mask, cache)
        encoder_attention_mask = hide_padding(self.config, embeds, encoder_attention_mask, encoder_hidden_states)
        kwargs = {**kwargs, "implementation": self.config._attn_implementation}
        for layer in self.layers:
            hidden_states = layer(
                hidden_states,
                encoder_hidden_states,
                attention_mask,
                encoder_attention_mask,
                rotation,
                past_key_values=cache,
                **kwargs,
            )
        return BaseModelOutputWithPastAndCrossAttentions(
            last_hidden_state=self.layer_norm(hidden_states), past_key_values=cache
        )


class TransformerSeq2SeqModel(TransformerSeq2SeqPreTrainedModel):
    """The model without its head: source and target to a hidden state for each token of the target."""

    _tied_weights_keys = {"decoder.embed_tokens.weight": "encoder.embed_tokens.weight"}

    def __init__(self, config: TransformerSeq2SeqConfig):
        super().__init__(config)
        self.encoder = TransformerSeq2SeqEncoder(config)
        self.decoder = TransformerSeq2SeqDecoder(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        """Embeddings of the source's tokens; those of the target's are the same unless untied."""
        return self.encoder.embed_tokens

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Embeddings of the source's tokens, and of the target's if tied."""
        self.encoder.embed_tokens = value
        if self.config.tie_word_embeddings:
            self.decoder.embed_tokens = value

    def shift_right(self, labels: torch.Tensor) -> torch.Tensor:
        """
        What the decoder reads to predict labels (batch, length): each one's predecessor, before the first one
        `decoder_start_token_id`, on padding `pad_token_id`.
        """
        padded = labels == IGNORED
        shifted = labels.masked_fill(padded, self.config.pad_token_id).roll(1, dims=-1)
        shifted[:, 0] = self.config.pad_token_id
        first = padded.long().cumprod(-1).sum(-1, keepdim=True)  # labels may be padded on the left
        start: Any = self.config.decoder_start_token_id
        return shifted.scatter(1, first.clamp(max=labels.shape[1] - 1), start)

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        decoder_input_ids: torch.Tensor | None = None,
        decoder_attention_mask: torch.Tensor | None = None,
        encoder_outputs: Any = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        decoder_inputs_embeds: torch.Tensor | None = None,
        decoder_position_ids: torch.Tensor | None = None,
        use_cache: bool | None = None,
        **kwargs: Any,
    ) -> Seq2SeqModelOutput:
        r"""
        Args:
            input_ids (`torch.LongTensor` of shape `(batch, source_length)`): Tokens of the source.
            attention_mask (`torch.LongTensor` of shape `(batch, source_length)`): 1 on real tokens of the source; all
                are without it.
            decoder_input_ids (`torch.LongTensor` of shape `(batch, length)`): Tokens of the target after those that
                the cache holds.
            decoder_attention_mask (`torch.LongTensor` of shape `(batch, cached + length)`): 1 on real tokens of the
                target. Needed only with padding on the left.
            encoder_outputs (`ModelOutput` or `tuple`, *optional*): What the encoder returned, in place of `input_ids`.
            past_key_values (`Cache`, *optional*): Keys and values of earlier steps.
            inputs_embeds (`torch.Tensor` of shape `(batch, source_length, d_model)`): In place of `input_ids`.
            decoder_inputs_embeds (`torch.Tensor` of shape `(batch, length, d_model)`): In place of
                `decoder_input_ids`.
            decoder_position_ids (`torch.LongTensor` of shape `(batch, length)`): Positions of the target's tokens,
                which follow from mask and cache.
            use_cache (`bool`, *optional*): Return a cache for the next step; by default the config decides, and never
                in training.
            output_attentions (`bool`, *optional*): Also return all attention weights.
            output_hidden_states (`bool`, *optional*): Also return the input and the output of every layer.
            return_dict (`bool`, *optional*): A `ModelOutput` (default) or a plain tuple.

        Raises:
            ValueError: An argument is missing, or a text is longer than `max_position_embeddings`.
        """
        if encoder_outputs is None:
            encoder_outputs = self.encoder(
                input_ids=input_ids, attention_mask=attention_mask, inputs_embeds=inputs_embeds, **kwargs
            )
        elif not isinstance(encoder_outputs, BaseModelOutput):
            encoder_outputs = BaseModelOutput(*encoder_outputs)
        decoder_outputs = self.decoder(
            input_ids=decoder_input_ids,
            attention_mask=decoder_attention_mask,
            encoder_hidden_states=encoder_outputs.last_hidden_state,
            encoder_attention_mask=attention_mask,
            past_key_values=past_key_values,
            inputs_embeds=decoder_inputs_embeds,
            position_ids=decoder_position_ids,
            use_cache=False if use_cache is None and self.training else use_cache,
            **kwargs,
        )
        return Seq2SeqModelOutput(
            last_hidden_state=decoder_outputs.last_hidden_state,
            past_key_values=decoder_outputs.past_key_values,
            decoder_hidden_states=decoder_outputs.hidden_states,
            decoder_attentions=decoder_outputs.attentions,
            cross_attentions=decoder_outputs.cross_attentions,
            encoder_last_hidden_state=encoder_outputs.last_hidden_state,
            encoder_hidden_states=encoder_outputs.hidden_states,
            encoder_attentions=encoder_outputs.attentions,
        )


class TransformerSeq2SeqForConditionalGeneration(TransformerSeq2SeqPreTrainedModel, GenerationMixin):
    """The net with an output layer: the loss of given targets, and `generate()` for new ones."""

    _tied_weights_keys = {
        "model.decoder.embed_tokens.weight": "model.encoder.embed_tokens.weight",
        "lm_head.weight": "model.encoder.embed_tokens.weight",
    }

    def __init__(self, config: TransformerSeq2SeqConfig):
        super().__init__(config)
        self.model = TransformerSeq2SeqModel(config)
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=config.final_logits_bias)
        self.copy_head = TransformerSeq2SeqCopyHead(config.d_model) if config.copy_mechanism else None
        self.post_init()

    def _prepare_generated_length(
        self, generation_config: GenerationConfig, has_default_max_length: bool, **kwargs: Any
    ) -> GenerationConfig:
        """A caller's `max_new_tokens` replaces the model's own `max_length`, where transformers would warn of both."""
        is_own = generation_config.max_length == self.generation_config.max_length
        return super()._prepare_generated_length(
            generation_config=generation_config,
            has_default_max_length=has_default_max_length or (generation_config.max_new_tokens is not None and is_own),
            **kwargs,
        )

    def prepare_decoder_input_ids_from_labels(self, labels: torch.Tensor) -> torch.Tensor:
        """Labels (batch, length), -100 on padding -> what the decoder reads, as long."""
        return self.model.shift_right(labels)

    def prepare_inputs_for_generation(self, input_ids: torch.Tensor, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """As every model does it; padded beginnings get their positions before a static cache hides their mask."""
        inputs = super().prepare_inputs_for_generation(input_ids, *args, **kwargs)
        mask = kwargs.get("decoder_attention_mask")
        if mask is not None and mask.ndim == 2:
            length = inputs["decoder_input_ids"].shape[1]
            inputs.setdefault("decoder_position_ids", count_positions(mask)[:, -length:])
        return inputs

    @staticmethod
    def _reorder_cache(past_key_values: EncoderDecoderCache, beam_idx: torch.Tensor) -> EncoderDecoderCache:
        """Only the targets follow their beams: the source is the same for all beams."""
        past_key_values.self_attention_cache.reorder_cache(beam_idx)
        return past_key_values

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        decoder_input_ids: torch.Tensor | None = None,
        decoder_attention_mask: torch.Tensor | None = None,
        encoder_outputs: Any = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        decoder_inputs_embeds: torch.Tensor | None = None,
        decoder_position_ids: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        use_cache: bool | None = None,
        label_smoothing: float = 0.0,
        num_items_in_batch: torch.Tensor | int | None = None,
        skip_logits: bool | None = None,
        **kwargs: Any,
    ) -> Seq2SeqLMOutput:
        r"""
        Arguments of the base model, and:

        Args:
            labels (`torch.LongTensor` of shape `(batch, length)`): The target with its EOS; -100 has no loss.
                Without `decoder_input_ids` they are shifted to the right for the decoder.
            label_smoothing (`float`, defaults to 0.0): Share of the target that is spread evenly over the vocabulary,
                in the loss of `labels`.
            num_items_in_batch (`int` or `torch.Tensor`, *optional*): Divide the loss by this instead of the number of
                labels. The Trainer gives it with gradient accumulation.
            skip_logits (`bool`, *optional*): Return `logits=None` and compute the loss without holding them, which is
                faster and, but for `copy_mechanism`, needs little memory. By default in training with `labels`.

        Returns `loss` (nats, with `labels` only) and `logits` (with `copy_mechanism` float32 log-probabilities).
        """
        if labels is not None:
            use_cache = False if use_cache is None else use_cache
            if decoder_input_ids is None and decoder_inputs_embeds is None:
                decoder_input_ids = self.model.shift_right(labels)
            if decoder_input_ids is not None and decoder_attention_mask is None:
                decoder_attention_mask = mask_left_padding(self.config, decoder_input_ids, labels)
        outputs = self.model(
            input_ids,
            attention_mask=attention_mask,
            decoder_input_ids=decoder_input_ids,
            decoder_attention_mask=decoder_attention_mask,
            encoder_outputs=encoder_outputs,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            decoder_inputs_embeds=decoder_inputs_embeds,
            decoder_position_ids=decoder_position_ids,
            use_cache=use_cache,
            **kwargs,
        )
        hidden_states = outputs.last_hidden_state
        loss = logits = None
        if skip_logits is None:
            skip_logits = self.training and not is_torchdynamo_compiling() and is_plain_linear(self.lm_head)
        if self.copy_head is not None:
            logits = self.lm_head(hidden_states)
            source_ids = find_source_ids(input_ids, encoder_outputs)
            pointer, log_odds = self.copy_head(hidden_states, outputs.encoder_last_hidden_state, attention_mask)
            if labels is not None:
                loss = copy_cross_entropy(
                    logits, pointer, log_odds, source_ids, labels, label_smoothing, num_items_in_batch
                )
            skipped = labels is not None and skip_logits
            logits = None if skipped else add_copies(logits, pointer, log_odds, source_ids)
        elif labels is not None and skip_logits:
            loss = linear_cross_entropy(hidden_states, self.lm_head, labels, label_smoothing, num_items_in_batch)
        else:
            logits = self.lm_head(hidden_states)
            if labels is not None:
                loss = cross_entropy(logits, labels, label_smoothing, num_items_in_batch)
        return Seq2SeqLMOutput(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            decoder_hidden_states=outputs.decoder_hidden_states,
            decoder_attentions=outputs.decoder_attentions,
            cross_attentions=outputs.cross_attentions,
            encoder_last_hidden_state=outputs.encoder_last_hidden_state,
            encoder_hidden_states=outputs.encoder_hidden_states,
            encoder_attentions=outputs.encoder_attentions,
        )


__all__ = [
    "TransformerSeq2SeqForConditionalGeneration",
    "TransformerSeq2SeqModel",
    "TransformerSeq2SeqPreTrainedModel",
]
