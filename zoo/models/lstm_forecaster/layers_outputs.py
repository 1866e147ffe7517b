"""What the models return."""

from dataclasses import dataclass

import torch
from transformers.utils import ModelOutput


@dataclass
class LSTMForecasterModelOutput(ModelOutput):
    """
    What the recurrent net remembers of a window. `rows` is batch * input_size with `channel_independent`, else batch.

    Args:
        last_hidden_state: (batch, input_size, num_patches, hidden_size) with `channel_independent`, as in
            PatchTST, else (batch, num_patches, hidden_size).
        recurrent_state: The state after the last patch of each layer, (1, or 2 with an LSTM, rows, hidden_size).
        hidden_states: The input of the first recurrent layer and the output of each, shaped as `last_hidden_state`.
        loc: (batch, 1, input_size), what was subtracted from the values.
        scale: (batch, 1, input_size), what they were divided by.
        static_features: (batch, num_static_features), categories embedded.
        scaled_values: (batch, num_patches * patch_length, input_size), the window as the net reads it, 0 where nothing
            was observed; with `linear_skip` only.
    """

    # A ModelOutput wants defaults, also for what is always there.
    last_hidden_state: torch.Tensor = None  # type: ignore[assignment]
    recurrent_state: tuple[torch.Tensor, ...] = None  # type: ignore[assignment]
    hidden_states: tuple[torch.Tensor, ...] | None = None
    loc: torch.Tensor = None  # type: ignore[assignment]
    scale: torch.Tensor = None  # type: ignore[assignment]
    static_features: torch.Tensor | None = None
    scaled_values: torch.Tensor | None = None


@dataclass
class LSTMForecasterForPredictionOutput(ModelOutput):
    """
    A forecast in the units of `past_values`. Where `past_values` has no channel axis, neither has anything here.

    Args:
        loss: Mean over the observed future values, with `future_values` only.
        prediction_outputs: (batch, length, input_size), the point forecast: the number itself, the median of the
            quantile head (or the level next to it), the mean of a distribution.
        quantile_outputs: (batch, length, input_size, quantiles), never crossing: of the quantile head, and outside
            training of the normal and Student-t heads. Negative binomial ones come from `generate()`.
        params: Parameters of the distribution, (batch, length, input_size) each; see `output_distribution`.
        loc: (batch, 1, input_size), what was subtracted from the (first) window.
        scale: (batch, 1, input_size), what it was divided by.
        hidden_states: As in [`LSTMForecasterModelOutput`].
    """

    loss: torch.Tensor | None = None
    prediction_outputs: torch.Tensor | None = None
    quantile_outputs: torch.Tensor | None = None
    params: tuple[torch.Tensor, ...] | None = None
    loc: torch.Tensor | None = None
    scale: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None


__all__ = ["LSTMForecasterForPredictionOutput", "LSTMForecasterModelOutput"]
