"""Padding without packed sequences: real tokens move to the front, and back to their places at the end."""

import torch


def move_rows(hidden_states: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """(batch, length, width) with position `index[b, t]` of row b moved to t. Copies whole vectors, which is fast."""
    batch, length, width = hidden_states.shape
    start = torch.arange(0, batch * length, length, device=index.device).unsqueeze(1)
    return (
        hidden_states.reshape(batch * length, width)
        .index_select(0, (index + start).flatten())
        .view(index.shape + (width,))
    )


class Padding:
    """
    Where the real tokens of a padded batch are, on whichever side the padding is, or between.

    A recurrent net that reads real tokens first never sees padding before them, and what it says about the padding
    behind them is dropped. One that reads from the end reads each row's real tokens in reverse, again padding last.

    Args:
        mask: (batch, length) bool, true for real tokens.
    """

    def __init__(self, mask: torch.Tensor):
        self.mask = mask
        length = mask.shape[1]
        positions = torch.arange(length, device=mask.device).expand_as(mask)
        count = mask.sum(dim=1, keepdim=True)
        self.last = (count - 1).clamp(min=0).squeeze(1)  # (batch,) place of the last real token, once in front
        # A stable sort keeps the order of the tokens.
        self.to_front = torch.argsort(~mask, dim=1, stable=True)
        self.to_places = torch.argsort(self.to_front, dim=1)
        self.reverse = torch.where(positions < count, count - 1 - positions, positions)

    def front(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """(batch, length, width), real tokens first."""
        return move_rows(hidden_states, self.to_front)

    def places(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """The way back from `front`."""
        return move_rows(hidden_states, self.to_places)

    def reversed(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Real tokens, which stand in front, in reverse order; its own way back."""
        return move_rows(hidden_states, self.reverse)

    def at_last(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """(batch, width), what stands at the last real token."""
        rows = torch.arange(len(hidden_states), device=hidden_states.device)
        return hidden_states[rows, self.last]


__all__ = ["Padding"]
