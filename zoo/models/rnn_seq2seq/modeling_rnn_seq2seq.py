"""The RNN encoder-decoder: a source is read, a target is written."""

from typing import Any

import torch
from torch import nn
from transformers import GenerationMixin, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import Seq2SeqLMOutput, Seq2SeqModelOutput
from transformers.utils.generic import can_return_tuple

from .configuration_rnn_seq2seq import RNNSeq2SeqConfig
from .layers_cache import RNNCache, RNNSeq2SeqEncoderOutput
from .layers_decoder import RNNSeq2SeqDecoder
from .layers_loss import IGNORED, cross_entropy, is_plain_linear, linear_cross_entropy
from .layers_padding import Padding
from .layers_recurrent import RNNSeq2SeqEncoderLayer, init_recurrent_weights


class RNNSeq2SeqPreTrainedModel(PreTrainedModel):
    """Weight initialisation and loading for the family."""

    config: RNNSeq2SeqConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    accepts_loss_kwargs = True
    _no_split_modules = ["RNNSeq2SeqEncoderLayer", "RNNSeq2SeqDecoderLayer"]
    _skip_keys_device_placement = ["past_key_values"]
    # A recurrent net cannot go back to an earlier token, as assisted decoding wants.
    _is_stateful = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.RNNBase):
            init_recurrent_weights(module)
        elif isinstance(module, nn.Linear):
            # LeCun's range: outputs as large as inputs.
            bound = module.in_features**-0.5
            init.uniform_(module.weight, -bound, bound)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            # Logits of the same table begin near 0, and so the loss at log(vocab_size).
            init.normal_(module.weight, std=module.embedding_dim**-0.5)
            # A slice loses the flag by which `init` leaves loaded weights alone.
            if module.padding_idx is not None and not getattr(module.weight, "_is_hf_initialized", False):
                init.zeros_(module.weight[module.padding_idx])


class RNNSeq2SeqEncoder(RNNSeq2SeqPreTrainedModel):
    """The embeddings of source and target, and the recurrent layers that read the source."""

    def __init__(self, config: RNNSeq2SeqConfig):
        super().__init__(config)
        self.embed_tokens: Any = nn.Embedding(config.vocab_size, config.embedding_size, config.pad_token_id)
        self.embed_scale = config.embedding_size**0.5 if config.scale_embedding else 1.0
        self.embedding_dropout = nn.Dropout(
            config.dropout if config.embedding_dropout is None else config.embedding_dropout
        )
        self.layers = nn.ModuleList(RNNSeq2SeqEncoderLayer(config, index) for index in range(config.encoder_layers))
        self.post_init()

    def embed(self, input_ids: torch.Tensor | None, inputs_embeds: torch.Tensor | None = None) -> torch.Tensor:
        """
        Tokens of either side, or their embeddings -> (batch, length, embedding_size), with dropout.

        Raises:
            ValueError: Both or none were given.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give token ids or their embeddings, one of them: see input_ids and inputs_embeds")
        if inputs_embeds is None:
            inputs_embeds = self.embed_tokens(input_ids)
        return self.embedding_dropout(inputs_embeds * self.embed_scale)

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
    ) -> RNNSeq2SeqEncoderOutput:
        r"""
        Args:
            input_ids: (batch, source_length).
            attention_mask: (batch, source_length), 1 for real tokens, wherever they stand. Without it all are real.
            inputs_embeds: (batch, source_length, embedding_size), in place of `input_ids`.
            output_attentions: Not used: nothing attends here.
            output_hidden_states: Also return the embedded tokens and the output of every layer.
            return_dict: A `ModelOutput` (default) or a plain tuple.
        """
        hidden_state = self.embed(input_ids, inputs_embeds)
        padding = Padding(source_mask(attention_mask, hidden_state))
        hidden_state = padding.front(hidden_state)
        hidden_states, final_states = [hidden_state], []
        for layer in self.layers:
            hidden_state, final_state = layer(hidden_state, padding)
            hidden_states.append(hidden_state)
            final_states.append(final_state)
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        at_place = [padding.places(state) for state in hidden_states[0 if output_hidden_states else -1 :]]
        return RNNSeq2SeqEncoderOutput(
            last_hidden_state=at_place[-1],
            hidden_states=tuple(at_place) if output_hidden_states else None,
            final_states=torch.stack(final_states, dim=1),  # type: ignore[arg-type]
        )


def source_mask(attention_mask: torch.Tensor | None, states: torch.Tensor) -> torch.Tensor:
    """
    (batch, length) bool, true for real tokens.

    Raises:
        ValueError: The mask does not fit the source (batch, length, width).
    """
    if attention_mask is None:
        return torch.ones(states.shape[:2], dtype=torch.bool, device=states.device)
    if attention_mask.shape != states.shape[:2]:
        raise ValueError(
            f"attention_mask has shape {tuple(attention_mask.shape)}, but the source has {tuple(states.shape[:2])}"
        )
    return attention_mask.to(states.device).bool()


class RNNSeq2SeqModel(RNNSeq2SeqPreTrainedModel):
    """The bare net: source and target so far to the vector from which the next token is chosen."""

    def __init__(self, config: RNNSeq2SeqConfig):
        super().__init__(config)
        self.encoder = RNNSeq2SeqEncoder(config)
        self.decoder = RNNSeq2SeqDecoder(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The table of the embeddings of source and target."""
        return self.encoder.embed_tokens

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the table."""
        self.encoder.embed_tokens = value

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        decoder_input_ids: torch.Tensor | None = None,
        decoder_attention_mask: torch.Tensor | None = None,
        encoder_outputs: RNNSeq2SeqEncoderOutput | None = None,
        past_key_values: RNNCache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        decoder_inputs_embeds: torch.Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
    ) -> Seq2SeqModelOutput:
        r"""
        Args:
            input_ids: (batch, source_length).
            attention_mask: (batch, source_length), 1 for real tokens, wherever they stand. Without it all are real.
            decoder_input_ids: (batch, target_length), the target so far; with a cache what is new of it.
            decoder_attention_mask: (batch, target_length): tokens where it is 0 are read over. It may be longer; the
                last ones hold.
            encoder_outputs: What the encoder returned for the source, output or tuple, in place of `input_ids`.
            past_key_values: What an earlier call returned; it goes on from there, and is changed.
            inputs_embeds: (batch, source_length, embedding_size), in place of `input_ids`.
            decoder_inputs_embeds: (batch, target_length, embedding_size), in place of `decoder_input_ids`.
            use_cache: Return `past_key_values`.
            output_attentions: Also return `cross_attentions`: a tuple of the one attention's weights (batch, 1,
                target_length, source_length). `None` with `attention="none"`.
            output_hidden_states: Also return the embedded tokens and the output of every layer.
            return_dict: A `ModelOutput` (default) or a plain tuple.

        Returns:
            `last_hidden_state` (batch, target_length, embedding_size), the vectors from which tokens are chosen.
            `decoder_hidden_states` ends with it.

        Raises:
            ValueError: An argument is missing, or does not fit the others; the message names it.
        """
        config = self.config
        use_cache = config.use_cache if use_cache is None else use_cache
        output_attentions = config.output_attentions if output_attentions is None else output_attentions
        if output_hidden_states is None:
            output_hidden_states = config.output_hidden_states
        if encoder_outputs is None:
            encoder_outputs = self.encoder(
                input_ids,
                attention_mask=attention_mask,
                inputs_embeds=inputs_embeds,
                output_hidden_states=output_hidden_states,
                return_dict=True,
            )
        elif isinstance(encoder_outputs, tuple) and len(encoder_outputs) > 1:
            encoder_outputs = RNNSeq2SeqEncoderOutput(encoder_outputs[0], final_states=encoder_outputs[-1])
        final_states = getattr(encoder_outputs, "final_states", None)
        if final_states is None:
            raise ValueError("encoder_outputs must be what this model's encoder returned, with its final_states")
        if decoder_input_ids is None and decoder_inputs_embeds is None:
            raise ValueError("decoder_input_ids is missing: give the target so far, or labels")
        inputs = self.encoder.embed(decoder_input_ids, decoder_inputs_embeds)
        memory = encoder_outputs.last_hidden_state
        cache = past_key_values
        if cache is None:
            cache = self.decoder.begin(memory, final_states)
        elif not isinstance(cache, RNNCache):
            raise ValueError(f"past_key_values is a {type(cache).__name__}, but a recurrent decoder keeps an RNNCache")
        vectors, hidden_states, weights = self.decoder(
            inputs,
            memory,
            source_mask(attention_mask, memory),
            cache,
            target_mask(decoder_attention_mask, inputs, use_cache or past_key_values is not None),
        )
        return Seq2SeqModelOutput(
            last_hidden_state=vectors,
            past_key_values=cache if use_cache else None,
            decoder_hidden_states=(*hidden_states, vectors) if output_hidden_states else None,
            cross_attentions=(weights.unsqueeze(1),) if output_attentions and weights is not None else None,
            encoder_last_hidden_state=memory,
            encoder_hidden_states=encoder_outputs.hidden_states,
        )


def target_mask(attention_mask: torch.Tensor | None, inputs: torch.Tensor, cached: bool) -> torch.Tensor | None:
    """
    (batch, target_length) bool, or `None` where no token must be read over, which is far faster. Padding behind the
    target changes nothing before it, so it only matters to what is `cached`.

    Raises:
        ValueError: The mask does not fit the target (batch, target_length, width).
    """
    if attention_mask is None:
        return None
    batch, length, _ = inputs.shape
    mask = attention_mask.to(inputs.device).bool()[:, -length:]
    if mask.shape != (batch, length):
        raise ValueError(
            f"decoder_attention_mask has shape {tuple(attention_mask.shape)}, but the target has {(batch, length)}"
        )
    harmless = mask.all() if cached else (mask[:, 1:] <= mask[:, :-1]).all()
    return None if harmless else mask


class RNNSeq2SeqForConditionalGeneration(RNNSeq2SeqPreTrainedModel, GenerationMixin):
    """The net with a comparison of its vectors with every token's embedding: logits, their loss and `generate()`."""

    _tied_weights_keys = {"lm_head.weight": "model.encoder.embed_tokens.weight"}

    def __init__(self, config: RNNSeq2SeqConfig):
        super().__init__(config)
        self.model = RNNSeq2SeqModel(config)
        self.lm_head = nn.Linear(config.embedding_size, config.vocab_size)
        self.post_init()

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        """No: there are no keys and values to keep. The decoder makes its own cache in its first step."""
        return False

    def prepare_decoder_input_ids_from_labels(self, labels: torch.Tensor) -> torch.Tensor:
        """
        What the decoder reads to write the labels, (batch, target_length): the start token before the first label that
        counts, then the labels but the last.
        """
        shifted = labels.roll(1, dims=1)
        first = (labels != IGNORED).long().argmax(dim=1, keepdim=True)
        shifted.scatter_(1, first, self.config.decoder_start_token_id)
        shifted[:, 0] = torch.where(first[:, 0] == 0, shifted[:, 0], self.config.pad_token_id)
        return shifted.masked_fill(shifted == IGNORED, self.config.pad_token_id)

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        decoder_input_ids: torch.Tensor | None = None,
        decoder_attention_mask: torch.Tensor | None = None,
        encoder_outputs: RNNSeq2SeqEncoderOutput | None = None,
        past_key_values: RNNCache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        decoder_inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        logits_to_keep: int = 0,
        label_smoothing: float = 0.0,
        num_items_in_batch: torch.Tensor | int | None = None,
        skip_logits: bool | None = None,
    ) -> Seq2SeqLMOutput:
        r"""
        Arguments as of `RNNSeq2SeqModel`, and:

        Args:
            labels: (batch, target_length), the tokens to be written; -100 is not counted. Without `decoder_input_ids`
                the decoder reads them, moved one place to the right.
            logits_to_keep: Compute the logits of so many last positions; 0 for all.
            label_smoothing: Share of the target that is spread evenly over the vocabulary, in the loss of `labels`.
            num_items_in_batch: What the summed loss is divided by, instead of the number of labels that count: the
                Trainer's number of labels in a batch that it accumulates.
            skip_logits: Compute the loss without holding all logits, which is faster and needs little memory, and
                return `logits=None`. By default in training with `labels`.

        Returns:
            `loss` (mean cross-entropy in nats, with labels only) and `logits` (batch, target_length, vocab_size).
        """
        if labels is not None:
            use_cache = False
            if decoder_input_ids is None and decoder_inputs_embeds is None:
                decoder_input_ids = self.prepare_decoder_input_ids_from_labels(labels)
            if decoder_attention_mask is None and (labels[:, 0] == IGNORED).any():
                decoder_attention_mask = (labels != IGNORED).long().cummax(dim=1).values  # padding in front
        outputs: Any = self.model(
            input_ids,
            attention_mask=attention_mask,
            decoder_input_ids=decoder_input_ids,
            decoder_attention_mask=decoder_attention_mask,
            encoder_outputs=encoder_outputs,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            decoder_inputs_embeds=decoder_inputs_embeds,
            use_cache=use_cache,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
        )
        vectors = outputs.last_hidden_state
        loss = logits = None
        if skip_logits is None:
            skip_logits = self.training and is_plain_linear(self.lm_head)
        if labels is not None and skip_logits:
            loss = linear_cross_entropy(vectors, self.lm_head, labels, label_smoothing, num_items_in_batch)
        else:
            logits = self.lm_head(vectors[:, -logits_to_keep:])
            if labels is not None:
                loss = cross_entropy(logits, labels, label_smoothing, num_items_in_batch)
        return Seq2SeqLMOutput(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            decoder_hidden_states=outputs.decoder_hidden_states,
            cross_attentions=outputs.cross_attentions,
            encoder_last_hidden_state=outputs.encoder_last_hidden_state,
            encoder_hidden_states=outputs.encoder_hidden_states,
        )


__all__ = [
    "RNNSeq2SeqEncoder",
    "RNNSeq2SeqForConditionalGeneration",
    "RNNSeq2SeqModel",
    "RNNSeq2SeqPreTrainedModel",
]
