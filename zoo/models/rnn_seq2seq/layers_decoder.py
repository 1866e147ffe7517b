"""The decoder: recurrent layers, attention between them, and the vector from which a token is chosen."""

from typing import Any

import torch
from torch import nn

from .configuration_rnn_seq2seq import RNNSeq2SeqConfig
from .layers_attention import RNNSeq2SeqAttention
from .layers_cache import RNNCache
from .layers_recurrent import RNNSeq2SeqDecoderLayer, step

# The output vectors; what every layer put out, the embedded tokens first; the weights of attention.
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
        """The last layer's output, with attention's answer -> (..., embedding_size), Luong's attentional vector."""
        return self.output_dropout(self.output_projection(self.dropout(hidden_states)).tanh())

    def begin(self, memory: torch.Tensor, final_states: torch.Tensor) -> RNNCache:
        """
        What the decoder knows before the first token: layer k goes on from the final state of the encoder's layer k,
        or of its last one. Arguments as of `RNNSeq2SeqEncoderOutput`.
        """
        top = final_states.shape[1] - 1
        states = [layer.first_state(final_states[:, min(index, top)]) for index, layer in enumerate(self.layers)]
        feed = memory.new_zeros(len(memory), self.output_projection.out_features) if self.input_feeding else None
        keys = self.attention.keys(memory) if self.attention is not None else None
        return RNNCache(states, feed, None if keys is memory else keys)

    def forward(
        self,
        inputs: torch.Tensor,
        memory: torch.Tensor,
        memory_mask: torch.Tensor,
        cache: RNNCache,
        mask: torch.Tensor | None = None,
    ) -> Written:
        """
        Args:
            inputs: (batch, length, embedding_size), embedded tokens.
            memory: (batch, source_length, hidden_size), the encoded source.
            memory_mask: (batch, source_length) bool, true for real tokens.
            cache: What was read before; it goes on from there.
            mask: (batch, length) bool: read over the tokens where it is false. `None` reads every token.
        """
        cache.seen_tokens += inputs.shape[1]
        if self.input_feeding or mask is not None:
            return self._one_by_one(inputs, memory, memory_mask, cache, mask)
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
                    answer, weight = self.attention(output.unsqueeze(1), memory, keys, memory_mask)
                    context = answer.squeeze(1)
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


__all__ = ["RNNSeq2SeqDecoder"]
