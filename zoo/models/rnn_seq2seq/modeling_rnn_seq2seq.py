"""The RNN encoder-decoder: padding, recurrent layers, attention, decoder, cache, models."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import GenerationConfig, GenerationMixin, PreTrainedModel
from transformers import initialization as init
from transformers.cache_utils import Cache
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutput, Seq2SeqLMOutput, Seq2SeqModelOutput
from transformers.utils.generic import can_return_tuple

from .configuration_rnn_seq2seq import RNNSeq2SeqConfig
from .layers_loss import IGNORED, cross_entropy, is_plain_linear, linear_cross_entropy


@dataclass
class RNNSeq2SeqEncoderOutput(BaseModelOutput):
    r"""
    Args:
        last_hidden_state (`torch.Tensor` of shape `(batch, source_length, hidden_size)`): Meaningless where
            `attention_mask` is 0.
        final_states (`torch.Tensor` of shape `(batch, encoder_layers, hidden_size)`): Each layer's hidden state after
            the last real token of its direction.
    """

    final_states: torch.FloatTensor | None = None


class RNNCache(Cache):
    """
    The decoder's memory of the target so far, of one size however long that is. It can be reordered, repeated and
    selected from along the batch, but not cropped: a recurrent net cannot forget its last token.

    Args:
        states (`list` of `torch.Tensor`): Each decoder layer's states, (states, batch, hidden_size).
        feed (`torch.Tensor` of shape `(batch, embedding_size)`): Output of the step before (Luong's attentional
            vector), which input feeding gives to the next step.
        keys (`torch.Tensor` of shape `(batch, source_length, hidden_size)`): The source as additive attention compares
            it.
    """

    is_compileable = False
    is_croppable = False

    def __init__(self, states: list[torch.Tensor], feed: torch.Tensor | None, keys: torch.Tensor | None):
        super().__init__(layers=[])
        self.states = states
        self.feed = feed
        self.keys = keys
        self.seen_tokens = 0

    def __repr__(self) -> str:
        return f"RNNCache(layers={len(self.states)}, batch_size={self.batch_size}, seen_tokens={self.seen_tokens})"

    def __len__(self) -> int:
        return len(self.states)

    @property
    def batch_size(self) -> int:
        """Rows that are being written."""
        return self.states[0].shape[1]

    @property
    def is_initialized(self) -> bool:
        """It is made with its states."""
        return True

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Target tokens that were read."""
        return self.seen_tokens

    def get_max_length(self, layer_idx: int | None = None) -> int:
        """-1: no limit."""
        return -1

    def update(self, *args: Any, **kwargs: Any) -> Any:
        """
        Raises:
            NotImplementedError: There are no keys and values to add to; the decoder sets `states`.
        """
        raise NotImplementedError("an RNNCache holds states, not keys and values; the decoder replaces them")

    def reset(self) -> None:
        """
        Raises:
            NotImplementedError: The first state depends on the source.
        """
        raise NotImplementedError("an RNNCache begins with the source's final states: make a new one")

    def crop(self, tokens_to_remove: int) -> None:
        """
        Raises:
            ValueError: Tokens would have to be forgotten.
        """
        if tokens_to_remove:
            raise ValueError("a recurrent net cannot forget tokens that it has read")

    def keys_of(self, memory: torch.Tensor) -> torch.Tensor:
        """What attention compares: `keys`, or the source itself."""
        return memory if self.keys is None else self.keys

    def to_tensors(self) -> dict[str, torch.Tensor]:
        """All state by name, batch first, for a runtime that knows only tensors; a step changes those of `past_`."""
        tensors = {f"past_states.{index}": state.transpose(0, 1) for index, state in enumerate(self.states)}
        return tensors | {n: t for n, t in (("past_feed", self.feed), ("keys", self.keys)) if t is not None}

    @classmethod
    def from_tensors(cls, tensors: dict[str, torch.Tensor]) -> "RNNCache":
        """The way back from `to_tensors`."""
        count = sum(name.startswith("past_states.") for name in tensors)
        states = [tensors[f"past_states.{index}"].transpose(0, 1) for index in range(count)]
        return cls(states, tensors.get("past_feed"), tensors.get("keys"))

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        """Beams swap places. `keys` stay: all beams of a sentence have the same source."""
        self.states = [state.index_select(1, beam_idx.to(state.device)) for state in self.states]
        if self.feed is not None:
            self.feed = self.feed.index_select(0, beam_idx.to(self.feed.device))

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep these rows, in this order."""
        self.reorder_cache(indices)
        if self.keys is not None:
            self.keys = self.keys.index_select(0, indices.to(self.keys.device))

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Each row so many times, side by side."""
        rows = torch.arange(self.batch_size, device=self.states[0].device)
        self.batch_select_indices(rows.repeat_interleave(repeats))


def move_rows(hidden_states: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """(batch, length, width) with position `index[b, t]` of row b moved to t. Copies whole vectors, which is fast."""
    batch, length, width = hidden_states.shape
    start = length * torch.arange(batch, device=index.device).unsqueeze(1)
    return (
        hidden_states.reshape(batch * length, width)
        .index_select(0, (index + start).flatten())
        .view(index.shape + (width,))
    )


class Padding:
    """
    Where the real tokens of a padded batch are, on whichever side the padding is, or between.

    A recurrent net reads each row's real tokens first, in either direction, so it never sees padding before them, and
    what it computes for the padding behind them is ignored. (Packed sequences do the same and are ten times slower.)

    Args:
        mask (`torch.BoolTensor` of shape `(batch, length)`): True for real tokens.
    """

    def __init__(self, mask: torch.Tensor):
        positions = torch.arange(mask.shape[1], device=mask.device).expand_as(mask)
        count = mask.sum(dim=1, keepdim=True)
        self.rows = torch.arange(mask.shape[0], device=mask.device)
        self.last = (count - 1).clamp(min=0).squeeze(1)
        # Where each token moves to. Counted, because ONNX has no stable sort.
        to_places = torch.where(mask, mask.cumsum(dim=1), count + (~mask).cumsum(dim=1)) - 1
        to_front = torch.empty_like(to_places).scatter_(1, to_places, positions)
        reverse = torch.where(positions < count, count - 1 - positions, positions)
        self.forward_order = to_front, to_places
        self.backward_order = to_front.gather(1, reverse), reverse.gather(1, to_places)

    def front(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """(batch, length, width), real tokens first."""
        return move_rows(hidden_states, self.forward_order[0])

    def places(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """The way back from `front`."""
        return move_rows(hidden_states, self.forward_order[1])

    def read(
        self, cell: nn.RNNBase, inputs: torch.Tensor, order: tuple[torch.Tensor, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs (batch, length, width) -> what the cell puts out for each, and (batch, size) after the last token."""
        outputs, _ = run(cell, move_rows(inputs, order[0]), None)
        return move_rows(outputs, order[1]), outputs[self.rows, self.last]


CELLS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
GATES: dict[type[nn.Module], int] = {nn.LSTM: 4, nn.GRU: 3, nn.RNN: 1}


def run(cell: nn.RNNBase, inputs: torch.Tensor, state: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """
    A whole sequence (batch, length, input_size) -> (batch, length, size) and the state after it. A state is one tensor
    (1, or 2 with an LSTM, batch, size): re-entrant checkpointing sees gradients of tensors only.
    """
    device = inputs.device.type
    if torch.is_autocast_enabled(device):
        # Autocast leaves inputs alone here, and CPUs without bfloat16 refuse float32 inputs with bfloat16 weights.
        dtype = torch.get_autocast_dtype(device)
        inputs, state = inputs.to(dtype), None if state is None else state.to(dtype)
    if isinstance(cell, nn.LSTM):
        hidden_states, after = cell(inputs, None if state is None else (state[:1], state[1:]))
        return hidden_states, torch.cat(after)
    return cell(inputs, state)


def step(cell: Any, projected: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
    """
    One token of an `nn.RNNBase`: its projected input, `weight_ih_l0 @ input + bias_ih_l0` (batch, gates * size), and
    the state before (states, batch, size) -> the state after; its first is the hidden state.
    """
    hidden = state[0]
    recurrent = nn.functional.linear(hidden, cell.weight_hh_l0, cell.bias_hh_l0)
    if isinstance(cell, nn.LSTM):
        into, forget, candidate, out = (projected + recurrent).chunk(4, dim=-1)
        memory = forget.sigmoid() * state[1] + into.sigmoid() * candidate.tanh()
        return torch.stack([out.sigmoid() * memory.tanh(), memory])
    if isinstance(cell, nn.GRU):
        reset, update, candidate = projected.chunk(3, dim=-1)
        recurrent_reset, recurrent_update, recurrent_candidate = recurrent.chunk(3, dim=-1)
        candidate = (candidate + (reset + recurrent_reset).sigmoid() * recurrent_candidate).tanh()
        return torch.lerp(candidate, hidden, (update + recurrent_update).sigmoid()).unsqueeze(0)
    return (projected + recurrent).tanh().unsqueeze(0)


class RNNSeq2SeqEncoderLayer(GradientCheckpointingLayer):
    """One recurrent layer that reads from the front, and from the end too if bidirectional."""

    def __init__(self, config: RNNSeq2SeqConfig, index: int):
        super().__init__()
        self.dropout = nn.Dropout(config.dropout if index else 0.0)
        width = config.hidden_size if index else config.embedding_size
        size = config.hidden_size // (2 if config.bidirectional else 1)
        self.forward_cell = CELLS[config.cell_type](width, size, batch_first=True)
        self.backward_cell = CELLS[config.cell_type](width, size, batch_first=True) if config.bidirectional else None

    def forward(self, hidden_states: torch.Tensor, padding: Padding) -> tuple[torch.Tensor, torch.Tensor]:
        """
        (batch, length, width) -> (batch, length, hidden_size), and (batch, hidden_size) after the last real token of
        each direction.
        """
        inputs = self.dropout(hidden_states)
        outputs, final_state = padding.read(self.forward_cell, inputs, padding.forward_order)
        if self.backward_cell is not None:
            backward, last = padding.read(self.backward_cell, inputs, padding.backward_order)
            outputs, final_state = torch.cat([outputs, backward], dim=-1), torch.cat([final_state, last], dim=-1)
        return outputs, final_state


class RNNSeq2SeqDecoderLayer(GradientCheckpointingLayer):
    """One recurrent layer that goes on from a state, and how that state begins."""

    def __init__(self, config: RNNSeq2SeqConfig, index: int):
        super().__init__()
        self.dropout = nn.Dropout(config.dropout if index else 0.0)
        width = config.hidden_size * (2 if config.reads_context(index) else 1)
        if index == 0:
            width = config.embedding_size * (2 if config.input_feeding else 1)
        self.num_states = config.num_states
        self.bridge = nn.Linear(config.hidden_size, config.num_states * config.hidden_size)
        self.cell: Any = CELLS[config.cell_type](width, config.hidden_size, batch_first=True)

    def first_state(self, final_state: torch.Tensor) -> torch.Tensor:
        """The encoder's (batch, hidden_size) -> (states, batch, hidden_size)."""
        state = self.bridge(final_state).tanh()
        return state.view(state.shape[0], self.num_states, -1).transpose(0, 1).contiguous()

    def forward(self, hidden_states: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(batch, length, width) -> (batch, length, hidden_size), and the state after the last position."""
        return run(self.cell, self.dropout(hidden_states), state)

    def project(self, inputs: torch.Tensor, columns: slice = slice(None)) -> torch.Tensor:
        """
        What `step` takes: (..., width) -> (..., gates * hidden_size). With `columns`, `inputs` has only these columns
        of the layer's input, and the result is their part of the sum; the part with column 0 has the bias.
        """
        bias = None if columns.start else self.cell.bias_ih_l0
        return nn.functional.linear(inputs, self.cell.weight_ih_l0[:, columns], bias)


def init_recurrent_weights(cell: nn.RNNBase) -> None:
    """
    Gate by gate: Glorot for the input, orthogonal for the recurrence (Saxe et al. 2013, arXiv:1312.6120), bias 0 but 1
    for an LSTM's forget gate (Jozefowicz et al. 2015), which remembers until it learns what to forget.
    """
    gates = GATES[type(cell)]
    for name, parameter in cell.named_parameters():
        value = torch.zeros_like(parameter, dtype=torch.float32)
        for gate in value.chunk(gates) if name.startswith("weight") else ():
            if name.startswith("weight_ih"):
                init.xavier_uniform_(gate)
            else:
                init.orthogonal_(gate)
        if isinstance(cell, nn.LSTM) and name.startswith("bias_ih"):
            value.chunk(gates)[1].fill_(1.0)
        init.copy_(parameter, value)


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
            hidden_states (`torch.Tensor` of shape `(batch, target_length, hidden_size)`): The queries.
            memory (`torch.Tensor` of shape `(batch, source_length, hidden_size)`): The encoded source.
            keys (`torch.Tensor` of shape `(batch, source_length, hidden_size)`): What `keys(memory)` returned.
            mask (`torch.BoolTensor` of shape `(batch, source_length)`): True for real tokens.

        Returns:
            The weighted means (batch, target_length, hidden_size), and the weights (batch, target_length,
            source_length), which sum to 1 over the real tokens.
        """
        query = hidden_states if self.kind == "dot" else self.query(hidden_states)
        if self.kind == "additive":
            scores = self.score(torch.tanh(query.unsqueeze(2) + keys.unsqueeze(1))).squeeze(3)
        else:
            scores = query @ keys.transpose(1, 2)
        scores = scores.masked_fill(~mask.unsqueeze(1), torch.finfo(scores.dtype).min)
        weights = scores.softmax(dim=-1, dtype=torch.float32).to(memory.dtype)
        return weights @ memory, weights


# Output vectors (batch, length, embedding_size); embedded tokens and each layer's outputs; attention weights.
Written = tuple[torch.Tensor, list[torch.Tensor], torch.Tensor | None]


class RNNSeq2SeqDecoder(nn.Module):
    """
    Reads embedded target tokens, (batch, length, embedding_size), and turns each into the vector that is compared with
    the output embeddings to choose the next token.
    """

    def __init__(self, config: RNNSeq2SeqConfig):
        super().__init__()
        self.layers: Any = nn.ModuleList(
            RNNSeq2SeqDecoderLayer(config, index) for index in range(config.decoder_layers)
        )
        self.attention = None if config.attention == "none" else RNNSeq2SeqAttention(config)
        self.attention_layer = config.attention_layer
        self.input_feeding = config.input_feeding
        width = config.hidden_size * (2 if config.reads_context(config.decoder_layers) else 1)
        self.dropout = nn.Dropout(config.dropout)
        self.output_projection = nn.Linear(width, config.embedding_size)
        self.output_dropout = nn.Dropout(config.dropout if config.output_dropout is None else config.output_dropout)

    def read_out(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """The last layer's output and attention's context -> (..., embedding_size), Luong's attentional vector."""
        return self.output_dropout(self.output_projection(self.dropout(hidden_states)).tanh())

    def begin(self, memory: torch.Tensor, final_states: torch.Tensor) -> RNNCache:
        """
        What the decoder knows before the first token: layer k goes on from the final state of the encoder's layer k,
        or of its last one. Arguments as of `RNNSeq2SeqEncoderOutput`.
        """
        top = final_states.shape[1] - 1
        states = [layer.first_state(final_states[:, min(index, top)]) for index, layer in enumerate(self.layers)]
        feed = memory.new_zeros(memory.shape[0], self.output_projection.out_features) if self.input_feeding else None
        keys = self.attention.keys(memory) if self.attention is not None else None
        return RNNCache(states, feed, None if keys is memory else keys)

    def forward(
        self,
        inputs: torch.Tensor,
        memory: torch.Tensor,
        memory_mask: torch.Tensor,
        cache: RNNCache,
        mask: torch.Tensor | None = None,
        keeps_cache: bool = False,
    ) -> Written:
        """
        Args:
            inputs (`torch.Tensor` of shape `(batch, length, embedding_size)`): Embedded tokens.
            memory (`torch.Tensor` of shape `(batch, source_length, hidden_size)`): The encoded source.
            memory_mask (`torch.Tensor` of shape `(batch, source_length)`): True for real tokens.
            cache (`RNNCache`): What was read before; it goes on from there.
            mask (`torch.BoolTensor` of shape `(batch, length)`): Tokens where it is false are skipped: they do not
                change the states. `None` skips none.
        """
        cache.seen_tokens += inputs.shape[1]
        if self.input_feeding or (mask is not None and keeps_cache):
            return self._one_by_one(inputs, memory, memory_mask, cache, mask)
        if mask is not None:
            # Nobody reads the states at the end, so skipped tokens may as well come last.
            padding = Padding(mask)
            vectors, hidden_states, weights = self(padding.front(inputs), memory, memory_mask, cache)
            hidden_states = [padding.places(state) for state in hidden_states]
            return padding.places(vectors), hidden_states, None if weights is None else padding.places(weights)
        hidden_states, weights, context = [inputs], None, None
        for index, layer in enumerate(self.layers):
            output, cache.states[index] = layer(inputs, cache.states[index])
            hidden_states.append(output)
            if self.attention is not None and index + 1 == self.attention_layer:
                context, weights = self.attention(output, memory, cache.keys_of(memory), memory_mask)
            inputs = output if context is None else torch.cat([output, context], dim=-1)
        return self.read_out(inputs), hidden_states, weights

    def _one_by_one(
        self,
        inputs: torch.Tensor,
        memory: torch.Tensor,
        memory_mask: torch.Tensor,
        cache: RNNCache,
        mask: torch.Tensor | None,
    ) -> Written:
        """`forward` token by token, for when a step depends on what the one before put out, or is left out."""
        states, feed, keys = list(cache.states), cache.feed, cache.keys_of(memory)
        embedded, width = inputs, inputs.shape[-1]
        first = self.layers[0]
        projected = first.project(embedded, slice(width))  # all at once; what is fed comes on top
        outputs: list[list[torch.Tensor]] = [[] for _ in self.layers]
        vectors: list[torch.Tensor] = []
        weights: list[torch.Tensor] = []
        for position in range(embedded.shape[1]):
            before = list(states)
            gates, context = projected[:, position], None
            if feed is not None:
                gates = gates + first.project(feed, slice(width, None))
            for index, layer in enumerate(self.layers):
                if index:
                    gates = layer.project(layer.dropout(inputs))
                states[index] = step(layer.cell, gates, states[index])
                output = states[index][0]
                outputs[index].append(output)
                if self.attention is not None and index + 1 == self.attention_layer:
                    mean, weight = self.attention(output.unsqueeze(1), memory, keys, memory_mask)
                    context = mean.squeeze(1)
                    weights.append(weight.squeeze(1))
                inputs = output if context is None else torch.cat([output, context], dim=-1)
            vectors.append(self.read_out(inputs))
            real = None if mask is None else mask[:, position].unsqueeze(1)
            if feed is not None:
                feed = vectors[-1] if real is None else torch.where(real, vectors[-1], feed)
            if real is not None:
                states = [torch.where(real, new, old) for new, old in zip(states, before)]
        cache.states, cache.feed = states, feed
        hidden_states = [embedded, *(torch.stack(output, dim=1) for output in outputs)]
        return torch.stack(vectors, dim=1), hidden_states, torch.stack(weights, dim=1) if weights else None


class RNNSeq2SeqPreTrainedModel(PreTrainedModel):
    """Weight initialisation and loading for the family."""

    config: RNNSeq2SeqConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    accepts_loss_kwargs = True
    accepts_label_smoothing = True
    _no_split_modules = ["RNNSeq2SeqEncoderLayer", "RNNSeq2SeqDecoderLayer"]
    _skip_keys_device_placement = ["past_key_values"]
    # A recurrent net cannot go back to an earlier token, as assisted decoding wants.
    _is_stateful = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.RNNBase):
            init_recurrent_weights(module)
        elif isinstance(module, nn.Linear):
            # The range of torch.nn.Linear.
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
        return_dict: bool | None = None,
    ) -> RNNSeq2SeqEncoderOutput:
        r"""
        Args:
            input_ids (`torch.LongTensor` of shape `(batch, source_length)`)
            attention_mask (`torch.LongTensor` of shape `(batch, source_length)`): 1 for real tokens, 0 for
                padding on any side. Default: all are real.
            inputs_embeds (`torch.Tensor` of shape `(batch, source_length, embedding_size)`): In place of `input_ids`.
            output_attentions (`bool`, *optional*): Not used: nothing attends here.
            output_hidden_states (`bool`, *optional*): Also return the embedded tokens and the output of every layer.
            return_dict (`bool`, *optional*): A `ModelOutput` (default) or a plain tuple.
        """
        hidden_state = self.embed(input_ids, inputs_embeds)
        padding = Padding(source_mask(attention_mask, hidden_state))
        hidden_states, final_states = [hidden_state], []
        for layer in self.layers:
            hidden_state, final_state = layer(hidden_state, padding)
            hidden_states.append(hidden_state)
            final_states.append(final_state)
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        return RNNSeq2SeqEncoderOutput(
            last_hidden_state=hidden_state,
            hidden_states=tuple(hidden_states) if output_hidden_states else None,
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
    """The model without its head: source and target so far to the hidden state that predicts the next token."""

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
        return_dict: bool | None = None,
    ) -> Seq2SeqModelOutput:
        r"""
        Args:
            input_ids (`torch.LongTensor` of shape `(batch, source_length)`)
            attention_mask (`torch.LongTensor` of shape `(batch, source_length)`): 1 for real tokens, 0 for
                padding on any side. Default: all are real.
            decoder_input_ids (`torch.LongTensor` of shape `(batch, target_length)`): The target so far; with a cache
                what is new of it.
            decoder_attention_mask (`torch.LongTensor` of shape `(batch, target_length)`): Tokens where it is 0 are
                skipped. Of a longer mask the last `target_length` columns are used.
            encoder_outputs (`ModelOutput` or `tuple`, *optional*): What the encoder returned for the source, output or
                tuple, in place of `input_ids`.
            past_key_values (`Cache`, *optional*): What an earlier call returned; it goes on from there, and is
                changed.
            inputs_embeds (`torch.Tensor` of shape `(batch, source_length, embedding_size)`): In place of `input_ids`.
            decoder_inputs_embeds (`torch.Tensor` of shape `(batch, target_length, embedding_size)`): In place of
                `decoder_input_ids`.
            use_cache (`bool`, *optional*): Return `past_key_values`.
            output_attentions (`bool`, *optional*): Also return `cross_attentions`: a tuple of the one attention's
                weights (batch, 1, target_length, source_length). `None` with `attention="none"`.
            output_hidden_states (`bool`, *optional*): Also return the embedded tokens and the output of every layer.
            return_dict (`bool`, *optional*): A `ModelOutput` (default) or a plain tuple.

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
        elif isinstance(encoder_outputs, tuple):
            final_states = encoder_outputs[-1] if len(encoder_outputs) > 1 else None
            encoder_outputs = RNNSeq2SeqEncoderOutput(encoder_outputs[0], final_states=final_states)
        if decoder_input_ids is None and decoder_inputs_embeds is None:
            raise ValueError("decoder_input_ids is missing: give the target so far, or labels")
        inputs = self.encoder.embed(decoder_input_ids, decoder_inputs_embeds)
        memory = encoder_outputs.last_hidden_state
        cache, keeps_cache = past_key_values, use_cache or past_key_values is not None
        if cache is None:
            states = getattr(encoder_outputs, "final_states", None)
            if states is None:
                raise ValueError("encoder_outputs must be what this model's encoder returned, with its final_states")
            cache = self.decoder.begin(memory, states)
        elif not isinstance(cache, RNNCache):
            raise ValueError(f"past_key_values is a {type(cache).__name__}, but a recurrent decoder keeps an RNNCache")
        vectors, hidden_states, weights = self.decoder(
            inputs,
            memory,
            source_mask(attention_mask, memory),
            cache,
            target_mask(decoder_attention_mask, inputs),
            keeps_cache,
        )
        return Seq2SeqModelOutput(
            last_hidden_state=vectors,
            past_key_values=cache if use_cache else None,
            decoder_hidden_states=(*hidden_states, vectors) if output_hidden_states else None,
            cross_attentions=(weights.unsqueeze(1),) if output_attentions and weights is not None else None,
            encoder_last_hidden_state=memory,
            encoder_hidden_states=encoder_outputs.hidden_states,
        )


def target_mask(attention_mask: torch.Tensor | None, inputs: torch.Tensor) -> torch.Tensor | None:
    """
    (batch, target_length) bool, or `None` if no token is skipped.

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
    # Without a mask nothing loops over tokens; what is exported must not depend on what the mask holds.
    return None if not torch.compiler.is_compiling() and mask.all() else mask


class RNNSeq2SeqForConditionalGeneration(RNNSeq2SeqPreTrainedModel, GenerationMixin):
    """The model with its head: logits over the vocabulary, the loss of `labels`, and `generate()`."""

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

    def begin_cache(self, encoder_outputs: Any) -> RNNCache:
        """What the decoder knows before the first token of a source."""
        return self.model.decoder.begin(encoder_outputs.last_hidden_state, encoder_outputs.final_states)

    cache_from_tensors = staticmethod(RNNCache.from_tensors)

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
        return_dict: bool | None = None,
    ) -> Seq2SeqLMOutput:
        r"""
        Arguments as of `RNNSeq2SeqModel`, and:

        Args:
            labels (`torch.LongTensor` of shape `(batch, target_length)`): The tokens to be written; -100 is not
                counted. Without `decoder_input_ids` the decoder reads them, moved one place to the right.
            logits_to_keep (`int`, defaults to 0): Compute the logits of only this many last positions; 0 for all,
                which the loss of `labels` needs.
            label_smoothing (`float`, defaults to 0.0): Share of the target that is spread evenly over the vocabulary,
                in the loss of `labels`.
            num_items_in_batch (`int` or `torch.Tensor`, *optional*): What the summed loss is divided by, instead of
                the number of labels that count: the Trainer's number of labels in a batch that it accumulates.
            skip_logits (`bool`, *optional*): Compute the loss without holding all logits, which is faster and needs
                little memory, and return `logits=None`. By default in training with `labels`.

        Returns:
            `loss` (mean cross-entropy in nats, with labels only) and `logits` (batch, target_length, vocab_size).
        """
        if labels is not None:
            use_cache = False
            if decoder_input_ids is None and decoder_inputs_embeds is None:
                decoder_input_ids = self.prepare_decoder_input_ids_from_labels(labels)
            starts_padded = torch.compiler.is_compiling() or (labels[:, 0] == IGNORED).any()
            if decoder_attention_mask is None and starts_padded:
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
