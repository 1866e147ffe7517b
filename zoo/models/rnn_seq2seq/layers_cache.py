"""What the encoder hands to the decoder, and what the decoder keeps between two steps of generate()."""

from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import Cache
from transformers.modeling_outputs import BaseModelOutput


@dataclass
class RNNSeq2SeqEncoderOutput(BaseModelOutput):
    r"""
    Args:
        last_hidden_state: (batch, source_length, hidden_size); where `attention_mask` is zero it says nothing.
        final_states: (batch, encoder_layers, hidden_size), each layer's hidden state after the last real token of its
            direction.
    """

    final_states: torch.FloatTensor | None = None


class RNNCache(Cache):
    """
    The decoder's memory of the target so far, of one size however long that is. It can be reordered, repeated and
    selected from along the batch, but not cropped: a recurrent net cannot forget its last token.

    Args:
        states: Each decoder layer's states, (states, batch, hidden_size).
        feed: (batch, embedding_size), the vector that chose the last token, with input feeding.
        keys: (batch, source_length, hidden_size), the source as additive attention compares it.
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


__all__ = ["RNNCache", "RNNSeq2SeqEncoderOutput"]
