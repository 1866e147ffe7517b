"""The Transformer encoder-decoder: bare, and with an output layer that writes text."""

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.cache_utils import Cache, DynamicCache, EncoderDecoderCache
from transformers.generation import GenerationMixin
from transformers.modeling_outputs import (
    BaseModelOutput,
    BaseModelOutputWithPastAndCrossAttentions,
    Seq2SeqLMOutput,
    Seq2SeqModelOutput,
)
from transformers.utils.generic import can_return_tuple, merge_with_config_defaults
from transformers.utils.import_utils import is_torchdynamo_compiling
from transformers.utils.output_capturing import OutputRecorder, capture_outputs

from .configuration_transformer_seq2seq import TransformerSeq2SeqConfig
from .layers_attention import TransformerSeq2SeqAttention
from .layers_blocks import TransformerSeq2SeqDecoderLayer, TransformerSeq2SeqEncoderLayer, make_norm
from .layers_dropout import dropout
from .layers_loss import IGNORED, cross_entropy, is_plain_linear, linear_cross_entropy
from .layers_masks import hide_future, hide_padding, mask_left_padding
from .layers_positions import (
    Rotation,
    TransformerSeq2SeqLearnedPositions,
    TransformerSeq2SeqRotaryPositions,
    TransformerSeq2SeqSinusoidalPositions,
    count_positions,
)


class TransformerSeq2SeqPreTrainedModel(PreTrainedModel):
    """Weight initialisation and loading for the family."""

    config: TransformerSeq2SeqConfig
    base_model_prefix = "model"
    main_input_name = "input_ids"
    input_modalities: tuple[str, ...] = ("text",)  # type: ignore[assignment]
    supports_gradient_checkpointing = True
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
        return dropout(hidden_states, self.dropout, self.training), rotation

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
            input_ids: (batch, length), tokens of the source.
            attention_mask: (batch, length), 1 on real tokens; all are without it.
            inputs_embeds: (batch, length, d_model), in place of `input_ids`, before scale and positions.
            output_attentions: Also return the attention weights of each layer.
            output_hidden_states: Also return the input and the output of every layer.
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
        return BaseModelOutput(last_hidden_state=self.layer_norm(hidden_states))


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
            input_ids: (batch, length), tokens of the target after those that the cache holds.
            attention_mask: (batch, cached + length), 1 on real tokens; all are without it. Needed only where padding
                stands on the left: what follows a token never reaches it.
            encoder_hidden_states: (batch, source length, d_model).
            encoder_attention_mask: (batch, source length), 1 on real tokens.
            past_key_values: Keys and values of earlier steps.
            inputs_embeds: (batch, length, d_model), in place of `input_ids`, before scale and positions.
            position_ids: (batch, length), positions of the tokens; by default they follow from mask and cache.
            use_cache: Return a cache for the next step; the config decides by default.
            output_attentions: Also return the attention weights of each layer, to the target and to the source.
            output_hidden_states: Also return the input and the output of every layer.
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
    """The bare net: source and target to a vector for each token of the target."""

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
        What the decoder reads to foretell labels (batch, length): each one's predecessor, before the first one
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
            input_ids: (batch, source length), tokens of the source.
            attention_mask: (batch, source length), 1 on real tokens of the source; all are without it.
            decoder_input_ids: (batch, length), tokens of the target after those that the cache holds.
            decoder_attention_mask: (batch, cached + length), 1 on real tokens of the target. Needed only where padding
                stands on the left.
            encoder_outputs: What the encoder returned, in place of `input_ids`.
            past_key_values: Keys and values of earlier steps.
            inputs_embeds: (batch, source length, d_model), in place of `input_ids`.
            decoder_inputs_embeds: (batch, length, d_model), in place of `decoder_input_ids`.
            decoder_position_ids: (batch, length), positions of the target's tokens, which follow from mask and cache.
            use_cache: Return a cache for the next step; by default the config decides, and never in training.
            output_attentions: Also return all attention weights.
            output_hidden_states: Also return the input and the output of every layer.
            return_dict: A `ModelOutput` (default) or a plain tuple.

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
        self.post_init()

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

    def _expand_inputs_for_generation(
        self,
        expand_size: int = 1,
        is_encoder_decoder: bool = False,
        input_ids: torch.Tensor | None = None,
        **model_kwargs: Any,
    ) -> tuple[torch.Tensor | None, dict[str, Any]]:
        """
        Beams and samples of one source share it (see the cross-attention): what belongs to sources is not repeated.
        """
        shared = {name: model_kwargs.pop(name, None) for name in ("encoder_outputs", "attention_mask")}
        input_ids, model_kwargs = super()._expand_inputs_for_generation(expand_size, False, input_ids, **model_kwargs)
        return input_ids, {**model_kwargs, **{name: value for name, value in shared.items() if value is not None}}

    @staticmethod
    def _reorder_cache(past_key_values: EncoderDecoderCache, beam_idx: torch.Tensor) -> EncoderDecoderCache:
        """Keys and values of the targets follow their beams; those of a source are the same for all its beams."""
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
            labels: (batch, length), the target with its end sign; -100 is not foretold. Without `decoder_input_ids`
                they are shifted to the right for the decoder.
            label_smoothing: Share of the target that is spread evenly over the vocabulary, in the loss of `labels`.
            num_items_in_batch: Divide the loss by this instead of the number of labels. The Trainer gives it with
                gradient accumulation.
            skip_logits: Compute the loss without holding all logits, which is faster and needs little memory, and
                return `logits=None`. By default in training with `labels`.
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
        if labels is not None and skip_logits:
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
