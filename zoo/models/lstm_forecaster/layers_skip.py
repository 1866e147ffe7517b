"""The linear map beside the recurrent net, and its fit in closed form."""

import torch
from torch import nn

from .configuration_lstm_forecaster import LSTMForecasterConfig


class LSTMForecasterSkip(nn.Module):
    """
    A linear map from the scaled window to the forecast, the same for every channel (LSTNet's highway). With
    `level_weight` it also reads the level of the window, so forecasts can return to a mean, and has an intercept.
    """

    def __init__(self, config: LSTMForecasterConfig):
        super().__init__()
        decoded = config.num_segments * config.patch_length  # the last segment is cropped later
        steps = config.prediction_length if config.decoding == "direct" else decoded
        self.length = config.num_patches * config.patch_length
        self.level_weight = config.level_weight
        # Zeros at first: training begins at the plain net.
        self.weight = nn.Parameter(torch.zeros(steps, self.length + (2 if config.level_weight else 0)))

    def level(self, loc: torch.Tensor) -> torch.Tensor:
        """(batch, 1, input_size) -> (batch, 2, input_size): the weighted level and 1."""
        return torch.cat([self.level_weight * loc, torch.ones_like(loc)], dim=1)

    def forward(self, scaled_values: torch.Tensor, loc: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        r"""
        Args:
            scaled_values (`torch.Tensor` of shape `(batch, num_patches * patch_length, input_size)`): 0 where nothing
                was observed.
            loc, scale: (batch, 1, input_size), what was taken out of them.

        Returns:
            (batch, steps, input_size), the difference between forecast and `loc`, in the units of the data.
        """
        dtype = self.weight.dtype
        # Not `weight @ inputs(...)`: half precision would round values of any size, where scaled ones are about 1.
        shift = torch.matmul(self.weight[:, : self.length], scaled_values.to(dtype)).to(loc.dtype) * scale
        if self.level_weight:
            shift = shift + torch.matmul(self.weight[:, self.length :], self.level(loc).to(dtype)).to(loc.dtype)
        return shift

    def inputs(self, scaled_values: torch.Tensor, loc: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        """What `weight` is multiplied with, (batch, columns of `weight`, input_size); arguments as of `forward`."""
        inputs = scaled_values * scale
        return torch.cat([inputs, self.level(loc)], dim=1) if self.level_weight else inputs

    def set(self, weight: torch.Tensor) -> None:
        """Take (prediction_length, columns) as the map and stop learning it; steps beyond the horizon stay 0."""
        self.weight.zero_()
        self.weight[: len(weight)] = weight.to(self.weight)
        self.requires_grad_(False)


class RidgeRegression:
    """
    Least squares with a penalty (Hoerl and Kennard 1970), batch by batch: the matrix W of the smallest
    `mean |y - W x|^2 + ridge * |W|^2`, the intercept among its columns. On the long-term benchmarks a linear map
    fitted in closed form is at least as good as one found by gradient descent (Toner and Darlow, arXiv:2403.14587).

    Args:
        ridge (`float`): Strength of the penalty, above 0, so that there is one solution, of however few rows. It
            counts in squares of the unit of `x`.
    """

    def __init__(self, ridge: float):
        if isinstance(ridge, bool) or not isinstance(ridge, (int, float)) or not 0 < ridge < float("inf"):
            raise ValueError(f"ridge={ridge} must be a number above 0, such as 0.05")
        self.ridge = ridge
        self.rows = 0
        self.inner: torch.Tensor | None = None
        self.outer: torch.Tensor | None = None

    def add(
        self, inputs: torch.Tensor, targets: torch.Tensor, whole: torch.Tensor, unit: torch.Tensor | None = None
    ) -> None:
        r"""
        Args:
            inputs (`torch.Tensor` of shape `(batch, columns, channels)`)
            targets (`torch.Tensor` of shape `(batch, steps, channels)`)
            whole (`torch.Tensor` of shape `(batch, channels)`): Bool: the others are left out.
            unit (`torch.Tensor` of shape `(batch, 1, channels)`): What errors are measured in; default: the units of
                the targets.
        """
        if unit is not None:
            inputs, targets = inputs / unit, targets / unit
        # In double precision: a sum over all windows of squares of values that are alike.
        x, y = (part.transpose(1, 2)[whole].double() for part in (inputs, targets))
        inner, outer = x.T @ x, x.T @ y
        self.inner = inner if self.inner is None else self.inner + inner
        self.outer = outer if self.outer is None else self.outer + outer
        self.rows += len(x)

    def solve(self) -> torch.Tensor:
        """W, (steps, columns).

        Raises:
            ValueError: There were no rows.
        """
        if self.inner is None or self.outer is None or not self.rows:
            raise ValueError(
                "ridge regression has nothing to fit to: no window has a future that was wholly observed; fill the "
                "gaps of the series, or let the linear map learn with the net"
            )
        penalty = self.ridge * self.rows * torch.eye(len(self.inner)).to(self.inner)
        return torch.linalg.solve(self.inner + penalty, self.outer).T


__all__ = ["LSTMForecasterSkip", "RidgeRegression"]
