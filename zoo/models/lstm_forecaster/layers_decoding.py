"""A horizon decoded patch after patch."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from .layers_heads import Params
from .layers_outputs import LSTMForecasterModelOutput
from .layers_window import tile, tile_or_none

# Parameters of a forecast -> the values that it goes on from.
Choose = Callable[[Params], torch.Tensor]


def join(params: list[Params], length: int) -> Params:
    """Parameters of consecutive steps, cropped to the first `length`."""
    return tuple(torch.cat(parts, dim=1)[:, :length] for parts in zip(*params))


def decode_recursive(
    net: Any,
    features: torch.Tensor,
    encoded: LSTMForecasterModelOutput,
    step_features: torch.Tensor | None,
    length: int,
    choose: Choose,
    copies: int,
) -> tuple[Params, torch.Tensor]:
    """
    Patch after patch, reading its own choices (DeepAR, arXiv:1704.04110).

    Args:
        net: The [`LSTMForecasterForPrediction`].
        features: (rows, 1, hidden_size), what it remembers after the window.
        encoded, step_features, length, choose, copies: As of its `decode`, and so is what is returned.
    """
    patch = net.config.patch_length
    features = tile(features, copies)
    encoded = LSTMForecasterModelOutput(
        recurrent_state=tuple(tile(state, copies, dim=1) for state in encoded.recurrent_state),
        loc=tile(encoded.loc, copies),
        scale=tile(encoded.scale, copies),
        static_features=tile_or_none(encoded.static_features, copies),
    )
    if step_features is not None:
        step_features = tile(nn.functional.pad(step_features, (0, 0, 0, -length % patch)), copies)
    params: list[Params] = []
    path: list[torch.Tensor] = []
    for start in range(0, length, patch):
        if start:
            read = None if step_features is None else step_features[:, start - patch : start]
            observed = torch.ones_like(path[-1], dtype=torch.bool)
            features, encoded.recurrent_state = net.read_on(path[-1], observed, read, encoded)
        known = None if step_features is None else step_features[:, start : start + patch]
        params.append(net.read_out(features, known, encoded))
        path.append(choose(params[-1]))
    return join(params, length), torch.cat(path, dim=1)[:, :length]


__all__ = ["Choose", "decode_recursive", "join"]
