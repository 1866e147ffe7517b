"""What is taken from a window before the net sees it, and given back to its forecast."""

import torch
from torch import nn

from .configuration_lstm_forecaster import LSTMForecasterConfig

# What varies less than this is rounding noise: it would turn an ordinary value into one whose square overflows.
SMALLEST_SCALE = 1e-15


class LSTMForecasterScaler(nn.Module):
    """
    Location and scale of each channel of a window, from its observed values alone: the net sees
    `(values - loc) / scale`, and what it says is multiplied by `scale` and shifted by `loc`.

    A window without observed values has location 0, and one that does not vary has scale 1, whatever the others in the
    batch look like: a row's forecast never depends on its neighbours.
    """

    def __init__(self, config: LSTMForecasterConfig):
        super().__init__()
        self.scaling = config.scaling
        if config.scaling == "revin":
            # The logarithm of RevIN's weight: the scale stays positive, so quantiles keep their order, and never zero.
            self.log_weight = nn.Parameter(torch.zeros(config.input_size))
            self.bias = nn.Parameter(torch.zeros(config.input_size))

    def forward(self, values: torch.Tensor, observed: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        r"""
        Args:
            values: (batch, length, channels), 0 where nothing was observed, in float32 or wider.
            observed: (batch, length, channels), bool.

        Returns:
            `loc` and `scale`, each (batch, 1, channels).
        """
        count = observed.sum(dim=1, keepdim=True).clamp(min=1)
        loc = torch.zeros_like(values[:, :1])
        scale = torch.ones_like(loc)
        if self.scaling == "mean":
            scale = values.abs().sum(dim=1, keepdim=True) / count
            scale = torch.where(scale > SMALLEST_SCALE, scale, 1.0)
        elif self.scaling != "none":
            mean = values.sum(dim=1, keepdim=True) / count
            loc = last_observed(values, observed) if self.scaling.startswith("last") else mean
            if self.scaling != "last":
                variance = ((values - mean) * observed).square().sum(dim=1, keepdim=True) / count
                # A constant series of large values varies by rounding alone: that is no scale to divide by.
                varies = variance.sqrt() > 1e-6 * mean.abs() + SMALLEST_SCALE
                scale = torch.where(varies, variance, 1.0).sqrt()
        if self.scaling == "revin":
            # ((x - loc) / scale) * weight + bias, written as another location and scale, is inverted like the rest.
            scale = scale / self.log_weight.exp().to(scale.dtype)
            loc = loc - self.bias.to(scale.dtype) * scale
        return loc, scale


def last_observed(values: torch.Tensor, observed: torch.Tensor) -> torch.Tensor:
    """The last observed value of each channel, 0 without one: (batch, length, channels) -> (batch, 1, channels)."""
    steps = torch.arange(1, values.shape[1] + 1, device=values.device).view(1, -1, 1)
    return values.gather(1, (steps * observed).argmax(dim=1, keepdim=True))


__all__ = ["LSTMForecasterScaler"]
