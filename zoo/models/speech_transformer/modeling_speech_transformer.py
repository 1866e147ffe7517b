"""The speech Transformer: bare, with an output layer that writes text, and with one that is trained by CTC."""

import math
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.cache_utils import Cache, DynamicCache, EncoderDecoderCache
from transformers.generation import GenerationMixin, LogitsProcessorList
from transformers.masking_utils import create_bidirectional_mask, create_causal_mask
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import (
    BaseModelOutput,
    BaseModelOutputWithPastAndCrossAttentions,
    CausalLMOutput,
    Seq2SeqLMOutput,
    Seq2SeqModelOutput,
)
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.utils.generic import can_return_tuple, merge_with_config_defaults
from transformers.utils.import_utils import is_torchdynamo_compiling
from transformers.utils.output_capturing import OutputRecorder, capture_outputs

from .configuration_speech_transformer import SpeechTransformerConfig
from .generation_speech_transformer import SpeechTransformerCTCScorer

IGNORED = -100


def subsample(attention_mask: torch.Tensor | None, length: int, stride: int) -> torch.Tensor | None:
    """The mask `(batch, length)` of what convolutions made of the frames.

    Args:
        attention_mask (`torch.Tensor` of shape `(batch, frames)` or `(batch, frames, bins)`, *optional*): 1 on real
            frames, padding on the right; `generate()` makes the second form if it gets no mask.
        length (`int`): Positions that are left.
        stride (`int`): Frames to a position.
    """
    if attention_mask is None:
        return None
    if attention_mask.ndim == 3:
        attention_mask = attention_mask[..., 0]
    counts = (attention_mask.long().sum(1, keepdim=True) + stride - 1) // stride
    # By counts and not by slices, so that an export knows that the lengths agree.
    return (torch.arange(length, device=counts.device) < counts).long()


def count_positions(attention_mask: torch.Tensor) -> torch.Tensor:
    """`(batch, length)`, 1 on real tokens -> the number of real tokens before each; on padding any valid number."""
    return (attention_mask.long().cumsum(-1) - 1).clamp(min=0)


def mask_left_padding(decoder_input_ids: torch.Tensor, labels: torch.Tensor, pad: int | None) -> torch.Tensor | None:
    """`(batch, length)`, 0 where rows begin with padding that nothing is predicted from; `None` without any."""
    padded = (labels == IGNORED) & (decoder_input_ids == pad)
    if not is_torchdynamo_compiling() and not padded[:, 0].any():
        return None
    return 1 - padded.long().cumprod(-1)


def over_items(total: torch.Tensor, labels: torch.Tensor, num_items: torch.Tensor | int | None) -> torch.Tensor:
    """A sum of losses over `num_items`, or over the number of labels that are not -100."""
    return total / ((labels != IGNORED).sum().clamp(min=1) if num_items is None else num_items)


def cross_entropy(
    logits: torch.Tensor, labels: torch.Tensor, label_smoothing: float, num_items: torch.Tensor | int | None
) -> torch.Tensor:
    """Sum of the cross entropy of the labels that are not -100, over `num_items`, their number by default."""
    total = nn.functional.cross_entropy(
        logits.float().flatten(0, 1),
        labels.flatten(),
        ignore_index=IGNORED,
        label_smoothing=label_smoothing,
        reduction="sum",
    )
    return over_items(total, labels, num_items)


def ctc_loss(
    logits: torch.Tensor,
    attention_mask: torch.Tensor | None,
    labels: torch.Tensor,
    config: SpeechTransformerConfig,
    num_items: torch.Tensor | int | None,
) -> torch.Tensor:
    """Sum of the CTC losses of a batch, over `num_items`, the number of labels by default; a text that is too long
    for its sound counts nothing.

    Args:
        logits (`torch.Tensor` of shape `(batch, positions, vocab_size)`): Of the CTC output layer.
        attention_mask (`torch.Tensor` of shape `(batch, frames)`, *optional*): 1 on real frames.
        labels (`torch.Tensor` of shape `(batch, length)`): -100 on padding; the tokens that end a text are left out.
    """
    ends = torch.as_tensor(-1 if config.eos_token_id is None else config.eos_token_id, device=labels.device)
    real = (labels != IGNORED) & ~torch.isin(labels, ends)
    order = real.long().argsort(dim=1, descending=True, stable=True)  # left-aligned, whatever the padding side
    targets = labels.gather(1, order).clamp(min=0)
    mask = subsample(attention_mask, logits.shape[1], config.frames_per_position)
    lengths = torch.full_like(targets[:, 0], logits.shape[1]) if mask is None else mask.sum(1)
    with torch.autocast(logits.device.type, enabled=False):
        total = nn.functional.ctc_loss(
            logits.float().log_softmax(-1).transpose(0, 1),
            targets,
            lengths,
            real.sum(1),
            blank=config.pad_token_id,
            reduction="sum",
            zero_infinity=True,
        )
    return over_items(total, labels, num_items)


class SpeechTransformerDropout(nn.Module):
    """Dropout that takes a fifth of torch's time on CPUs, where that is a sixth of a training step.

    16 random bits decide about a value. The probability is rounded to a multiple of 2**-16.
    """

    def __init__(self, probability: float):
        super().__init__()
        self.probability = probability

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Any shape -> the same."""
        if not self.training or not self.probability:
            return states
        if states.device.type != "cpu" or is_torchdynamo_compiling():
            return nn.functional.dropout(states, self.probability)
        levels = 2**16
        threshold = round(self.probability * levels)
        numbers = torch.empty(-(-states.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        drawn = numbers.view(torch.int16)[: states.numel()].view(states.shape)
        kept = torch.ge(drawn, threshold - levels // 2, out=torch.empty(states.shape, dtype=states.dtype))
        return states * kept.mul_(levels / (levels - threshold))


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
    queries, keys = scores.shape[-2:]
    lowest = torch.finfo(scores.dtype).min
    if attention_mask is None and module.is_causal and queries > 1:  # made for a kernel that hides the future itself
        future = torch.ones(queries, keys, dtype=torch.bool, device=scores.device).triu(keys - queries + 1)
        scores = scores.masked_fill(future, lowest)
    elif attention_mask is not None:
        is_bool = attention_mask.dtype == torch.bool
        scores = scores.masked_fill(~attention_mask, lowest) if is_bool else scores + attention_mask
    weights = scores.softmax(dim=-1)
    kept = nn.functional.dropout(weights, dropout, module.training)
    return torch.matmul(kept, value).transpose(1, 2).contiguous(), weights


def is_short_on_cpu(query: torch.Tensor, key: torch.Tensor) -> bool:
    """Whether training is faster with plain operations than with torch's fused kernel of CPUs, whose backward pass is
    slow for short sequences and very slow in half precision."""
    if query.device.type != "cpu" or not query.requires_grad or is_torchdynamo_compiling():
        return False
    return key.shape[2] <= (48 if query.dtype == torch.float32 else 256)


class SpeechTransformerSinusoidalPositions(nn.Module):
    """Sines of falling frequency, then their cosines (arXiv:1706.03762)."""

    def __init__(self, length: int, d_model: int):
        super().__init__()
        self.length, self.d_model = length, d_model
        self.table: torch.Tensor
        self.register_buffer("table", self.make_table(), persistent=False)

    def make_table(self) -> torch.Tensor:
        """`(length, d_model)`"""
        half = self.d_model // 2
        frequencies = torch.exp(torch.arange(half, dtype=torch.float32) * (-math.log(10000) / max(half - 1, 1)))
        angles = torch.arange(self.length, dtype=torch.float32)[:, None] * frequencies
        return torch.cat([angles.sin(), angles.cos()], dim=1)

    def forward(self, position_ids: torch.Tensor) -> torch.Tensor:
        """`(batch or 1, length)` -> `(batch or 1, length, d_model)`"""
        return nn.functional.embedding(position_ids, self.table)


class SpeechTransformerSubsampling(nn.Module):
    """Convolutions with stride 2 over time and frequency, then a projection: a quarter or an eighth of the frames."""

    def __init__(self, config: SpeechTransformerConfig):
        super().__init__()
        channels = config.conv_channels
        self.conv1 = nn.Conv2d(1, channels, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride=2, padding=1)
        self.conv3 = nn.Conv2d(channels, channels, 3, stride=2, padding=1) if config.conv_layers == 3 else None
        self.activation = ACT2FN[config.activation_function]
        self.out_proj = nn.Linear(channels * -(-config.num_mel_bins // config.frames_per_position), config.d_model)

    def forward(self, input_features: torch.Tensor, attention_mask: torch.Tensor | None) -> torch.Tensor:
        """`(batch, frames, bins)` -> `(batch, positions, d_model)`, rounded up."""
        hidden_states = input_features.unsqueeze(1)
        for conv, stride in ((self.conv1, 1), (self.conv2, 2), (self.conv3, 4)):
            if conv is None:
                continue
            mask = subsample(attention_mask, hidden_states.shape[2], stride)
            if mask is not None:  # padding is zero, as what the convolution adds at the end
                hidden_states = hidden_states.masked_fill(mask[:, None, :, None] == 0, 0.0)
            hidden_states = self.activation(conv(hidden_states))
        return self.out_proj(hidden_states.transpose(1, 2).flatten(2))


class SpeechTransformerAttention(nn.Module):
    """Multi-head attention: of a sequence to itself, or of the decoder to the encoder."""

    def __init__(
        self,
        config: SpeechTransformerConfig,
        num_heads: int,
        is_causal: bool = False,
        is_cross: bool = False,
        layer_idx: int | None = None,
    ):
        super().__init__()
        self.config, self.layer_idx, self.is_causal, self.is_cross = config, layer_idx, is_causal, is_cross
        self.head_dim = config.d_model // num_heads
        self.scaling = self.head_dim**-0.5
        if is_cross:
            self.q_proj = nn.Linear(config.d_model, config.d_model)
            self.kv_proj = nn.Linear(config.d_model, 2 * config.d_model)
        else:
            self.qkv_proj = nn.Linear(config.d_model, 3 * config.d_model)
        self.out_proj = nn.Linear(config.d_model, config.d_model)

    def split(self, projected: torch.Tensor, parts: int) -> tuple[torch.Tensor, ...]:
        """`(batch, length, parts * d_model)` -> as many views `(batch, heads, length, head_dim)`"""
        return projected.unflatten(2, (parts, -1, self.head_dim)).permute(2, 0, 3, 1, 4).unbind(0)

    def project(
        self, hidden_states: torch.Tensor, encoder_hidden_states: torch.Tensor | None, past_key_values: Any
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries, keys and values `(batch, heads, length, head_dim)`, with those of the cache."""
        if not self.is_cross:
            query, key, value = self.split(self.qkv_proj(hidden_states), 3)
            if past_key_values is not None:
                key, value = past_key_values.self_attention_cache.update(key, value, self.layer_idx)
            return query, key, value
        (query,) = self.split(self.q_proj(hidden_states), 1)
        if past_key_values is not None and past_key_values.is_updated.get(self.layer_idx):
            cached = past_key_values.cross_attention_cache.layers[self.layer_idx]
            return query, cached.keys, cached.values
        key, value = self.split(self.kv_proj(encoder_hidden_states), 2)
        if past_key_values is not None:
            key, value = past_key_values.cross_attention_cache.update(key, value, self.layer_idx)
            past_key_values.is_updated[self.layer_idx] = True
        return query, key, value

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        encoder_hidden_states: torch.Tensor | None = None,
        past_key_values: EncoderDecoderCache | None = None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """`(batch, length, d_model)` -> the same, and attention weights `(batch, heads, length, keys)` or `None`."""
        query, key, value = self.project(hidden_states, encoder_hidden_states, past_key_values)
        implementation = self.config._attn_implementation
        if kwargs.get("output_attentions") or (implementation == "sdpa" and is_short_on_cpu(query, key)):
            if attention_mask is not None and not (
                isinstance(attention_mask, torch.Tensor) and attention_mask.ndim == 4
            ):
                raise ValueError(
                    f"attn_implementation={implementation!r} shows no attention weights: use 'eager' or 'sdpa'"
                )
            implementation = "eager"  # fused kernels never hold the weights
        output, weights = ALL_ATTENTION_FUNCTIONS.get_interface(implementation, eager_attention_forward)(
            self,
            query,
            key,
            value,
            attention_mask,
            dropout=self.config.attention_dropout if self.training else 0.0,
            scaling=self.scaling,
            **kwargs,
        )
        return self.out_proj(output.flatten(2)), weights


class SpeechTransformerFeedForward(nn.Module):
    """Each position on its own: wider, activation, back."""

    def __init__(self, config: SpeechTransformerConfig, ffn_dim: int):
        super().__init__()
        self.fc1 = nn.Linear(config.d_model, ffn_dim)
        self.fc2 = nn.Linear(ffn_dim, config.d_model)
        self.activation = ACT2FN[config.activation_function]
        self.dropout = SpeechTransformerDropout(config.activation_dropout)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """`(batch, length, d_model)` -> the same."""
        return self.fc2(self.dropout(self.activation(self.fc1(hidden_states))))


class SpeechTransformerConvolution(nn.Module):
    """Each position with its neighbours, every channel on its own (Conformer, arXiv:2005.08100). A norm over the
    channels takes the place of the batch norm, so that a result depends on nothing else in the batch."""

    def __init__(self, config: SpeechTransformerConfig):
        super().__init__()
        width, kernel = config.d_model, config.conv_kernel_size
        self.in_proj = nn.Linear(width, 2 * width)
        self.depthwise = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width, config.layer_norm_eps)
        self.out_proj = nn.Linear(width, width)

    def forward(self, hidden_states: torch.Tensor, padding: torch.Tensor | None) -> torch.Tensor:
        """`(batch, positions, d_model)`, and `(batch, positions, 1)`, true on padding -> as the first."""
        gated = nn.functional.glu(self.in_proj(hidden_states))
        if padding is not None:
            gated = gated.masked_fill(padding, 0.0)
        mixed = self.depthwise(gated.transpose(1, 2)).transpose(1, 2)
        return self.out_proj(nn.functional.silu(self.norm(mixed)))


class SpeechTransformerEncoderLayer(GradientCheckpointingLayer):
    """Self-attention, perhaps a convolution, and feed-forward, each behind a norm."""

    def __init__(self, config: SpeechTransformerConfig):
        super().__init__()
        self.self_attn = SpeechTransformerAttention(config, config.encoder_attention_heads)
        self.self_attn_layer_norm = nn.LayerNorm(config.d_model, config.layer_norm_eps)
        self.conv = None
        if config.conv_kernel_size:
            self.conv = SpeechTransformerConvolution(config)
            self.conv_layer_norm = nn.LayerNorm(config.d_model, config.layer_norm_eps)
        self.ffn = SpeechTransformerFeedForward(config, config.encoder_ffn_dim)
        self.final_layer_norm = nn.LayerNorm(config.d_model, config.layer_norm_eps)
        self.dropout = SpeechTransformerDropout(config.dropout)

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        padding: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> torch.Tensor:
        """`(batch, positions, d_model)`, and `(batch, positions, 1)`, true on padding -> as the first."""
        output, _ = self.self_attn(self.self_attn_layer_norm(hidden_states), attention_mask, **kwargs)
        hidden_states = hidden_states + self.dropout(output)
        if self.conv is not None:
            hidden_states = hidden_states + self.dropout(self.conv(self.conv_layer_norm(hidden_states), padding))
        return hidden_states + self.dropout(self.ffn(self.final_layer_norm(hidden_states)))


class SpeechTransformerDecoderLayer(GradientCheckpointingLayer):
    """Self-attention to earlier tokens, attention to the encoder, feed-forward, each behind a norm."""

    def __init__(self, config: SpeechTransformerConfig, layer_idx: int):
        super().__init__()
        heads = config.decoder_attention_heads
        self.self_attn = SpeechTransformerAttention(config, heads, is_causal=True, layer_idx=layer_idx)
        self.self_attn_layer_norm = nn.LayerNorm(config.d_model, config.layer_norm_eps)
        self.encoder_attn = SpeechTransformerAttention(config, heads, is_cross=True, layer_idx=layer_idx)
        self.encoder_attn_layer_norm = nn.LayerNorm(config.d_model, config.layer_norm_eps)
        self.ffn = SpeechTransformerFeedForward(config, config.decoder_ffn_dim)
        self.final_layer_norm = nn.LayerNorm(config.d_model, config.layer_norm_eps)
        self.dropout = SpeechTransformerDropout(config.dropout)

    def forward(
        self,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        encoder_attention_mask: torch.Tensor | None = None,
        past_key_values: EncoderDecoderCache | None = None,
        **kwargs: Any,
    ) -> torch.Tensor:
        """`(batch, length, d_model)` and the encoder's `(batch, positions, d_model)` -> `(batch, length, d_model)`"""
        output, _ = self.self_attn(
            self.self_attn_layer_norm(hidden_states), attention_mask, past_key_values=past_key_values, **kwargs
        )
        hidden_states = hidden_states + self.dropout(output)
        output, _ = self.encoder_attn(
            self.encoder_attn_layer_norm(hidden_states),
            encoder_attention_mask,
            encoder_hidden_states=encoder_hidden_states,
            past_key_values=past_key_values,
            **kwargs,
        )
        hidden_states = hidden_states + self.dropout(output)
        return hidden_states + self.dropout(self.ffn(self.final_layer_norm(hidden_states)))


class SpeechTransformerPreTrainedModel(PreTrainedModel):
    """Weight initialisation and loading for the family."""

    config: SpeechTransformerConfig
    base_model_prefix = "model"
    main_input_name = "input_features"
    input_modalities: tuple[str, ...] = ("audio",)  # type: ignore[assignment]
    supports_gradient_checkpointing = True
    _no_split_modules = ["SpeechTransformerEncoderLayer", "SpeechTransformerDecoderLayer"]
    _skip_keys_device_placement = ["past_key_values"]
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_compile_fullgraph = True

    def subsample_mask(self, attention_mask: torch.Tensor | None, encoded: torch.Tensor) -> torch.Tensor | None:
        """The mask of `(batch, frames)` as one of `encoded`, `(batch, positions, ...)`: 1 on real positions."""
        return subsample(attention_mask, encoded.shape[1], self.config.frames_per_position)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Linear):
            init.xavier_uniform_(module.weight)
        elif isinstance(module, nn.Conv2d):
            init.kaiming_normal_(module.weight, nonlinearity="relu")
        elif isinstance(module, nn.Embedding):
            # Also the output layer, if tied: logits start with a variance of 1.
            init.normal_(module.weight, std=self.config.d_model**-0.5)
            if module.padding_idx is not None and not getattr(module.weight, "_is_hf_initialized", False):
                init.zeros_(module.weight[module.padding_idx])
        elif isinstance(module, SpeechTransformerSinusoidalPositions):
            init.copy_(module.table, module.make_table())


class SpeechTransformerEncoder(SpeechTransformerPreTrainedModel):
    """Reads the sound."""

    _can_record_outputs = {
        "hidden_states": SpeechTransformerEncoderLayer,
        "attentions": SpeechTransformerAttention,
    }

    def __init__(self, config: SpeechTransformerConfig):
        super().__init__(config)
        self.subsampling = SpeechTransformerSubsampling(config)
        longest = -(-config.max_source_positions // config.frames_per_position)
        self.embed_positions = SpeechTransformerSinusoidalPositions(longest, config.d_model)
        self.dropout = SpeechTransformerDropout(config.dropout)
        self.layers = nn.ModuleList(SpeechTransformerEncoderLayer(config) for _ in range(config.encoder_layers))
        self.layer_norm = nn.LayerNorm(config.d_model, config.layer_norm_eps)
        self.gradient_checkpointing = False
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The first convolution: sound has no embeddings."""
        return self.subsampling.conv1

    @merge_with_config_defaults
    @capture_outputs
    def forward(
        self,
        input_features: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> BaseModelOutput:
        r"""
        Args:
            input_features (`torch.Tensor` of shape `(batch, frames, num_mel_bins)`): The sound.
            attention_mask (`torch.Tensor` of shape `(batch, frames)`, *optional*): 1 on real frames; all are without
                it. Padding is on the right.
            output_attentions (`bool`, *optional*): Also return the attention weights of each layer.
            output_hidden_states (`bool`, *optional*): Also return the input and the output of every layer.

        Raises:
            ValueError: The sound has other bins than the model, is longer than it reads, or the mask does not fit.
        """
        if input_features is None:
            raise ValueError("give either input_features or encoder_outputs")
        frames, bins = input_features.shape[1:]
        if bins != self.config.num_mel_bins:
            raise ValueError(f"input_features have {bins} mel bins, the model reads {self.config.num_mel_bins}")
        if frames > self.config.max_source_positions:
            raise ValueError(f"{frames} frames are more than max_source_positions={self.config.max_source_positions}")
        if attention_mask is not None and attention_mask.ndim == 3:
            attention_mask = attention_mask[..., 0]
        if attention_mask is not None and attention_mask.shape != input_features.shape[:2]:
            given, expected = tuple(attention_mask.shape), tuple(input_features.shape[:2])
            raise ValueError(f"attention_mask has shape {given}, but the sound has {expected}")
        embeds = self.subsampling(input_features.to(self.subsampling.out_proj.weight.dtype), attention_mask)
        positions = self.embed_positions(torch.arange(embeds.shape[1], device=embeds.device)[None])
        hidden_states = self.dropout(embeds + positions.to(embeds.dtype))
        positions_mask = self.subsample_mask(attention_mask, embeds)
        mask = create_bidirectional_mask(self.config, hidden_states, positions_mask)
        padding = None if positions_mask is None else positions_mask[..., None] == 0
        recording = {"output_attentions": kwargs.get("output_attentions")}
        for layer in self.layers:
            hidden_states = layer(hidden_states, mask, padding, **recording)
        return BaseModelOutput(last_hidden_state=self.layer_norm(hidden_states))


class SpeechTransformerDecoder(SpeechTransformerPreTrainedModel):
    """Writes the text, looking at the sound."""

    _can_record_outputs = {
        "hidden_states": SpeechTransformerDecoderLayer,
        "attentions": OutputRecorder(SpeechTransformerAttention, index=1, layer_name="self_attn"),
        "cross_attentions": OutputRecorder(SpeechTransformerAttention, index=1, layer_name="encoder_attn"),
    }

    def __init__(self, config: SpeechTransformerConfig):
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.d_model, config.pad_token_id)
        self.embed_scale = config.d_model**0.5
        self.embed_positions = SpeechTransformerSinusoidalPositions(config.max_target_positions, config.d_model)
        self.dropout = SpeechTransformerDropout(config.dropout)
        self.layers = nn.ModuleList(SpeechTransformerDecoderLayer(config, i) for i in range(config.decoder_layers))
        self.layer_norm = nn.LayerNorm(config.d_model, config.layer_norm_eps)
        self.gradient_checkpointing = False
        self.post_init()

    def make_cache(self, past_key_values: Cache | None) -> EncoderDecoderCache:
        """A cache of text and of sound; a given one is kept."""
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
            input_ids (`torch.Tensor` of shape `(batch, length)`): Tokens after those that the cache holds.
            attention_mask (`torch.Tensor` of shape `(batch, cached + length)`, *optional*): 1 on real tokens. Needed
                only where a text is padded on the left.
            encoder_hidden_states (`torch.Tensor` of shape `(batch, positions, d_model)`): What the encoder returned.
            encoder_attention_mask (`torch.Tensor` of shape `(batch, positions)`, *optional*): 1 on real positions.
            past_key_values (`Cache`, *optional*): Keys and values of earlier steps.
            inputs_embeds (`torch.Tensor` of shape `(batch, length, d_model)`, *optional*): In place of `input_ids`.
            position_ids (`torch.Tensor` of shape `(batch, length)`, *optional*): By default from mask and cache.
            use_cache (`bool`, *optional*): Return a cache for the next step; the config decides by default.
            output_attentions (`bool`, *optional*): Also return the attention weights of each layer.
            output_hidden_states (`bool`, *optional*): Also return the input and the output of every layer.

        Raises:
            ValueError: An argument is missing, or the text is longer than `max_target_positions`.
        """
        if encoder_hidden_states is None:
            raise ValueError("encoder_hidden_states is missing: the decoder of a recognizer reads the sound")
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give either decoder_input_ids or decoder_inputs_embeds")
        embeds = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        length = embeds.shape[1]
        cache = self.make_cache(past_key_values) if use_cache or past_key_values is not None else None
        past = 0 if cache is None else cache.get_seq_length()
        # Of a static cache the length is a tensor, which is not looked into.
        if isinstance(past, int) and past + length > self.config.max_target_positions:
            raise ValueError(
                f"{past + length} tokens are more than max_target_positions={self.config.max_target_positions}"
            )
        if position_ids is None:
            if attention_mask is not None and attention_mask.ndim == 2:
                position_ids = count_positions(attention_mask)[:, -length:]
            else:
                position_ids = torch.arange(length, device=embeds.device)[None] + past
        positions = self.embed_positions(position_ids).to(embeds.dtype)
        hidden_states = self.dropout(embeds * self.embed_scale + positions)
        own_cache = None if cache is None else cache.self_attention_cache
        mask = create_causal_mask(self.config, hidden_states, attention_mask, own_cache)
        encoder_mask = create_bidirectional_mask(
            self.config, hidden_states, encoder_attention_mask, encoder_hidden_states
        )
        recording = {"output_attentions": kwargs.get("output_attentions")}
        for layer in self.layers:
            hidden_states = layer(
                hidden_states, encoder_hidden_states, mask, encoder_mask, past_key_values=cache, **recording
            )
        return BaseModelOutputWithPastAndCrossAttentions(
            last_hidden_state=self.layer_norm(hidden_states), past_key_values=cache
        )


class SpeechTransformerModel(SpeechTransformerPreTrainedModel):
    """The model without its head: spectrogram and text to a hidden state for each token of the text."""

    def __init__(self, config: SpeechTransformerConfig):
        super().__init__(config)
        self.encoder = SpeechTransformerEncoder(config)
        self.decoder = SpeechTransformerDecoder(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        """Embeddings of the text's tokens."""
        return self.decoder.embed_tokens

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Embeddings of the text's tokens."""
        self.decoder.embed_tokens = value

    def shift_right(self, labels: torch.Tensor) -> torch.Tensor:
        """What the decoder reads to predict labels `(batch, length)`: each one's predecessor, before the first one
        `decoder_start_token_id`, on padding `pad_token_id`."""
        padded = labels == IGNORED
        shifted = labels.masked_fill(padded, self.config.pad_token_id).roll(1, dims=-1)
        shifted[:, 0] = self.config.pad_token_id
        first = padded.long().cumprod(-1).sum(-1, keepdim=True)  # labels may be padded on the left
        start: Any = self.config.decoder_start_token_id
        return shifted.scatter(1, first.clamp(max=labels.shape[1] - 1), start)

    @can_return_tuple
    def forward(
        self,
        input_features: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        decoder_input_ids: torch.Tensor | None = None,
        decoder_attention_mask: torch.Tensor | None = None,
        encoder_outputs: Any = None,
        past_key_values: Cache | None = None,
        decoder_inputs_embeds: torch.Tensor | None = None,
        decoder_position_ids: torch.Tensor | None = None,
        use_cache: bool | None = None,
        **kwargs: Any,
    ) -> Seq2SeqModelOutput:
        r"""
        Args:
            input_features (`torch.Tensor` of shape `(batch, frames, num_mel_bins)`): The sound.
            attention_mask (`torch.Tensor` of shape `(batch, frames)`, *optional*): 1 on real frames; all are without
                it. Padding is on the right.
            decoder_input_ids (`torch.Tensor` of shape `(batch, length)`): Tokens of the text after those that the
                cache holds.
            decoder_attention_mask (`torch.Tensor` of shape `(batch, cached + length)`, *optional*): 1 on real tokens
                of the text. Needed only where a text is padded on the left.
            encoder_outputs (`BaseModelOutput` or `tuple`, *optional*): In place of `input_features`.
            past_key_values (`Cache`, *optional*): Keys and values of earlier steps.
            decoder_inputs_embeds (`torch.Tensor` of shape `(batch, length, d_model)`, *optional*): In place of
                `decoder_input_ids`.
            decoder_position_ids (`torch.Tensor` of shape `(batch, length)`, *optional*): Positions of the tokens,
                which follow from mask and cache.
            use_cache (`bool`, *optional*): Return a cache for the next step; by default the config decides, and never
                in training.
            output_attentions (`bool`, *optional*): Also return all attention weights.
            output_hidden_states (`bool`, *optional*): Also return the input and the output of every layer.
            return_dict (`bool`, *optional*): A `ModelOutput` (default) or a plain tuple.

        Raises:
            ValueError: An argument is missing or does not fit, or sound or text is too long.
        """
        if encoder_outputs is None:
            encoder_outputs = self.encoder(input_features=input_features, attention_mask=attention_mask, **kwargs)
        elif not isinstance(encoder_outputs, BaseModelOutput):
            encoder_outputs = BaseModelOutput(*encoder_outputs)
        encoded = encoder_outputs.last_hidden_state
        decoder_outputs = self.decoder(
            input_ids=decoder_input_ids,
            attention_mask=decoder_attention_mask,
            encoder_hidden_states=encoded,
            encoder_attention_mask=self.subsample_mask(attention_mask, encoded),
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
            encoder_last_hidden_state=encoded,
            encoder_hidden_states=encoder_outputs.hidden_states,
            encoder_attentions=encoder_outputs.attentions,
        )


class SpeechTransformerForConditionalGeneration(SpeechTransformerPreTrainedModel, GenerationMixin):
    """The net with an output layer that writes text with `generate()`, and a CTC output layer on the encoder."""

    _tied_weights_keys = {"lm_head.weight": "model.decoder.embed_tokens.weight"}
    accepts_label_smoothing = True
    ctc_scorer_class = SpeechTransformerCTCScorer

    def __init__(self, config: SpeechTransformerConfig):
        super().__init__(config)
        self.model = SpeechTransformerModel(config)
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        self.ctc_head = nn.Linear(config.d_model, config.vocab_size) if config.ctc_loss_weight else None
        self.post_init()

    def _get_feature_vector_attention_mask(self, feature_vector_length: int, attention_mask: torch.Tensor) -> Any:
        """The mask of the encoder's positions; transformers' name for it."""
        return subsample(attention_mask, feature_vector_length, self.config.frames_per_position)

    def prepare_decoder_input_ids_from_labels(self, labels: torch.Tensor) -> torch.Tensor:
        """Labels `(batch, length)`, -100 on padding -> what the decoder reads, as long."""
        return self.model.shift_right(labels)

    def prepare_inputs_for_generation(self, input_ids: torch.Tensor, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """As every model does it; padded beginnings get their positions before a static cache hides their mask."""
        inputs = super().prepare_inputs_for_generation(input_ids, *args, **kwargs)
        mask = kwargs.get("decoder_attention_mask")
        if mask is not None and mask.ndim == 2:
            length = inputs["decoder_input_ids"].shape[1]
            inputs.setdefault("decoder_position_ids", count_positions(mask)[:, -length:])
        return inputs

    def generate(  # type: ignore[override]
        self,
        inputs: torch.Tensor | None = None,
        generation_config: Any = None,
        logits_processor: LogitsProcessorList | None = None,
        *args: Any,
        ctc_weight: float | None = None,
        **kwargs: Any,
    ) -> Any:
        """As every model does it; `ctc_weight`, above 0, scores texts by CTC as well.

        Args:
            ctc_weight (`float`, *optional*): Share of CTC in the scores; `config.ctc_decoding_weight` by default.

        Raises:
            ValueError: The model has no CTC output layer, or the share is not below 1.
        """
        if ctc_weight is None:
            ctc_weight = self.config.ctc_decoding_weight
        if not ctc_weight:
            return super().generate(inputs, generation_config, logits_processor, *args, **kwargs)
        if self.ctc_head is None or not 0 < ctc_weight < 1:
            raise ValueError(
                f"ctc_weight={ctc_weight} must be below 1, and needs a model with ctc_loss_weight above 0"
            )
        features, mask = kwargs.pop("input_features", inputs), kwargs.get("attention_mask")
        encoded = kwargs.pop("encoder_outputs", None)
        with torch.no_grad():
            if encoded is None:
                encoded = self.model.encoder(input_features=features, attention_mask=mask)
            logits = self.ctc_head(encoded[0])
        log_probs, mask = logits.float().log_softmax(-1), self.subsample_mask(mask, logits)
        scorer = self.ctc_scorer_class(log_probs, mask, ctc_weight, self.config)
        processors = LogitsProcessorList([*(logits_processor or ()), scorer])
        return super().generate(None, generation_config, processors, *args, encoder_outputs=encoded, **kwargs)

    def resize_token_embeddings(
        self, new_num_tokens: int | None = None, pad_to_multiple_of: int | None = None, mean_resizing: bool = True
    ) -> nn.Embedding:
        """As every model does it; the CTC output layer is resized too."""
        embeddings = super().resize_token_embeddings(new_num_tokens, pad_to_multiple_of, mean_resizing)
        if self.ctc_head is not None:
            self.ctc_head = self._get_resized_lm_head(self.ctc_head, self.config.vocab_size, mean_resizing=False)
        return embeddings

    @can_return_tuple
    def forward(
        self,
        input_features: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        decoder_input_ids: torch.Tensor | None = None,
        decoder_attention_mask: torch.Tensor | None = None,
        encoder_outputs: Any = None,
        past_key_values: Cache | None = None,
        decoder_inputs_embeds: torch.Tensor | None = None,
        decoder_position_ids: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        use_cache: bool | None = None,
        label_smoothing: float = 0.0,
        num_items_in_batch: torch.Tensor | int | None = None,
        **kwargs: Any,
    ) -> Seq2SeqLMOutput:
        r"""
        Arguments of the base model, and:

        Args:
            labels (`torch.Tensor` of shape `(batch, length)`, *optional*): The text with its EOS; -100 on padding.
                Without `decoder_input_ids` they are shifted to the right for the decoder.
            label_smoothing (`float`, defaults to 0.0): Share of the target that is spread evenly over the vocabulary,
                in the loss of the decoder.
            num_items_in_batch (`int`, *optional*): Divide the loss by this instead of the number of labels. The
                Trainer gives it with gradient accumulation.
        """
        if labels is not None:
            use_cache = False if use_cache is None else use_cache
            if decoder_input_ids is None and decoder_inputs_embeds is None:
                decoder_input_ids = self.model.shift_right(labels)
            if decoder_input_ids is not None and decoder_attention_mask is None:
                decoder_attention_mask = mask_left_padding(decoder_input_ids, labels, self.config.pad_token_id)
        outputs = self.model(
            input_features,
            attention_mask=attention_mask,
            decoder_input_ids=decoder_input_ids,
            decoder_attention_mask=decoder_attention_mask,
            encoder_outputs=encoder_outputs,
            past_key_values=past_key_values,
            decoder_inputs_embeds=decoder_inputs_embeds,
            decoder_position_ids=decoder_position_ids,
            use_cache=use_cache,
            **kwargs,
        )
        logits = self.lm_head(outputs.last_hidden_state)
        loss = None
        if labels is not None:
            loss = cross_entropy(logits, labels, label_smoothing, num_items_in_batch)
            if self.ctc_head is not None:
                weight, ctc_logits = self.config.ctc_loss_weight, self.ctc_head(outputs.encoder_last_hidden_state)
                aligned = ctc_loss(ctc_logits, attention_mask, labels, self.config, num_items_in_batch)
                loss = (1 - weight) * loss + weight * aligned
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


class SpeechTransformerForCTC(SpeechTransformerPreTrainedModel):
    """The encoder with a CTC output layer: all of a text at once. It also loads from a model that was trained with
    decoder and CTC."""

    _keys_to_ignore_on_load_unexpected = [r"decoder\.", r"lm_head\."]

    def __init__(self, config: SpeechTransformerConfig):
        super().__init__(config)
        self.encoder = SpeechTransformerEncoder(config)
        self.ctc_head = nn.Linear(config.d_model, config.vocab_size)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_features: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        num_items_in_batch: torch.Tensor | int | None = None,
        **kwargs: Any,
    ) -> CausalLMOutput:
        r"""
        Args:
            input_features (`torch.Tensor` of shape `(batch, frames, num_mel_bins)`): The sound.
            attention_mask (`torch.Tensor` of shape `(batch, frames)`, *optional*): 1 on real frames; all are without
                it. Padding is on the right.
            labels (`torch.Tensor` of shape `(batch, length)`, *optional*): The text, with or without its EOS; -100 on
                padding.
            num_items_in_batch (`int`, *optional*): Divide the loss by this instead of the number of labels.

        Returns:
            Logits of shape `(batch, positions, vocab_size)`; padding positions hold the blank alone.
        """
        outputs = self.encoder(input_features=input_features, attention_mask=attention_mask, **kwargs)
        logits, loss = self.ctc_head(outputs.last_hidden_state), None
        if labels is not None:
            loss = ctc_loss(logits, attention_mask, labels, self.config, num_items_in_batch)
        mask = self.subsample_mask(attention_mask, logits)
        if mask is not None:
            blank = torch.full_like(logits[:1, :1], torch.finfo(logits.dtype).min)
            blank[..., self.config.pad_token_id] = 0.0
            logits = torch.where(mask[..., None].bool(), logits, blank)
        return CausalLMOutput(
            loss=loss, logits=logits, hidden_states=outputs.hidden_states, attentions=outputs.attentions
        )


__all__ = [
    "SpeechTransformerForCTC",
    "SpeechTransformerForConditionalGeneration",
    "SpeechTransformerModel",
    "SpeechTransformerPreTrainedModel",
]
