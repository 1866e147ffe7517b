"""What a forecast is: a point, quantiles, or a distribution, with its loss and its samples."""

import math
from statistics import NormalDist

import torch
from torch import nn
from torch.distributions import Distribution, NegativeBinomial, Normal, StudentT
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer

from .configuration_lstm_forecaster import LSTMForecasterConfig

# The smallest spread of a distribution in units of the window's scale: the likelihood of a constant series
# stays bounded.
MINIMUM_SPREAD = 1e-4
Params = tuple[torch.Tensor, ...]


class LSTMForecasterHead(GradientCheckpointingLayer):
    """Dense layers and a linear output: each vector of features becomes the forecast of `steps` steps."""

    def __init__(self, config: LSTMForecasterConfig, steps: int, numbers: int):
        super().__init__()
        self.shape = (config.num_channels, numbers)
        sizes = [config.hidden_size, *config.dense_sizes]
        self.dense = nn.ModuleList(nn.Linear(size, after) for size, after in zip(sizes, sizes[1:]))
        self.activation = ACT2FN[config.hidden_act]
        self.dropout = nn.Dropout(config.dropout)
        self.output = nn.Linear(sizes[-1], steps * math.prod(self.shape))
        self.steps = steps
        self.has_covariates = config.num_step_features > 0
        if self.has_covariates:
            self.covariate_embedding = nn.Linear(config.num_step_features, sizes[-1], bias=False)
            self.covariate_output = nn.Linear(sizes[-1], math.prod(self.shape), bias=False)

    def zero_output(self) -> None:
        """Zero the last layer: raw numbers are 0 until it learns."""
        for parameter in (
            *self.output.parameters(),
            *(self.covariate_output.parameters() if self.has_covariates else ()),
        ):
            nn.init.zeros_(parameter)

    def forward(self, features: torch.Tensor, covariates: torch.Tensor | None = None) -> torch.Tensor:
        r"""
        Args:
            features (`torch.Tensor` of shape `(rows, segments, hidden_size)`)
            covariates (`torch.Tensor` of shape `(rows, segments * steps, num_step_features)`): What is known of the
                steps to forecast.

        Returns:
            (rows, segments * steps, channels, numbers), the raw numbers of the output.
        """
        for layer in self.dense:
            features = self.activation(layer(self.dropout(features)))
        features = self.dropout(features)
        raw = self.output(features).unflatten(-1, (self.steps, *self.shape))
        if self.has_covariates:
            # A step reads only its own covariates here (the local decoder of MQ-RNN, arXiv:1711.11053),
            # so the forecast of a step does not change with what is known about later ones.
            local = self.covariate_embedding(covariates).unflatten(1, (-1, self.steps)) + features.unsqueeze(2)
            raw = raw + self.covariate_output(self.activation(local)).unflatten(-1, self.shape)
        return raw.flatten(1, 2)


class PointOutput:
    """One number a step; loss by `config.loss`."""

    numbers = 1

    def __init__(self, config: LSTMForecasterConfig):
        self.config = config

    def restore(self, values: torch.Tensor) -> torch.Tensor:
        """From what the net forecasts to the units of the data."""
        return values.exp() if self.config.log_values else values

    def parameters(self, raw: torch.Tensor, loc: torch.Tensor, scale: torch.Tensor) -> Params:
        """
        Raw numbers (batch, length, channels, numbers) -> what they mean in the units of `loc` and `scale`, which have
        one step for all, or `loc` one for each.
        """
        return (raw[..., 0] * scale + loc,)

    def point(self, params: Params) -> torch.Tensor:
        """The best single forecast, (batch, length, channels)."""
        return self.restore(params[0])

    def quantiles(self, params: Params) -> torch.Tensor | None:
        """(batch, length, channels, levels) at `config.quantiles`, or `None` without a closed form."""
        return None

    def loss(self, params: Params, target: torch.Tensor, unit: torch.Tensor) -> torch.Tensor:
        """
        Loss of each number, (batch, length, channels); `target` is in the units of `params`, errors are in units of
        `unit` (batch, 1, channels).
        """
        prediction, target = params[0] / unit, target / unit
        if self.config.loss == "mae":
            return nn.functional.l1_loss(prediction, target, reduction="none")
        if self.config.loss == "huber":
            return nn.functional.huber_loss(prediction, target, reduction="none")
        return nn.functional.mse_loss(prediction, target, reduction="none")

    def sample(self, params: Params) -> torch.Tensor:
        """One draw of every number, (batch, length, channels)."""
        return self.point(params)


class QuantileOutput(PointOutput):
    """
    The centre (the median, or the level next to it) and the gaps to its neighbours, which are positive: quantiles
    never cross. Gaps of raw value 0 are those of a standard normal distribution. Trained by the pinball loss, doubled
    and averaged over the levels, which approximates the CRPS.
    """

    def __init__(self, config: LSTMForecasterConfig):
        super().__init__(config)
        self.levels = list(config.quantiles)
        self.numbers = len(self.levels)
        self.centre = min(range(self.numbers), key=lambda index: abs(self.levels[index] - 0.5))
        scores = [NormalDist().inv_cdf(level) for level in self.levels]
        gaps = [high - low for low, high in zip(scores, scores[1:])]
        self.gap_offsets = [math.log(math.expm1(gap)) for gap in gaps]

    def parameters(self, raw, loc, scale):
        centre = raw[..., self.centre : self.centre + 1]
        others = torch.cat([raw[..., : self.centre], raw[..., self.centre + 1 :]], dim=-1)
        gaps = nn.functional.softplus(others + raw.new_tensor(self.gap_offsets))
        below = centre - gaps[..., : self.centre].flip(-1).cumsum(-1).flip(-1)
        above = centre + gaps[..., self.centre :].cumsum(-1)
        return (torch.cat([below, centre, above], dim=-1) * scale.unsqueeze(-1) + loc.unsqueeze(-1),)

    def point(self, params):
        return self.restore(params[0][..., self.centre])

    def quantiles(self, params):
        return self.restore(params[0])

    def loss(self, params, target, unit):
        levels = params[0].new_tensor(self.levels)
        error = (target.unsqueeze(-1) - params[0]) / unit.unsqueeze(-1)
        return 2 * torch.maximum(levels * error, (levels - 1) * error).mean(-1)

    def sample(self, params):
        """A random level of the piecewise linear quantile function; its outermost segments are extrapolated."""
        values = self.restore(params[0])
        if self.numbers == 1:
            return values[..., 0]
        levels = values.new_tensor(self.levels)
        level = torch.rand_like(values[..., 0])
        right = torch.searchsorted(levels, level).clamp(1, self.numbers - 1)
        low, high = (values.gather(-1, index.unsqueeze(-1)).squeeze(-1) for index in (right - 1, right))
        return low + (high - low) * (level - levels[right - 1]) / (levels[right] - levels[right - 1])


class DistributionOutput(PointOutput):
    """A distribution of torch; loss is the negative log-likelihood in the units of the data."""

    def distribution(self, params: Params) -> Distribution:
        """The distribution of every step and channel."""
        raise NotImplementedError

    def point(self, params):
        return self.distribution(params).mean

    def loss(self, params, target, unit):
        return -self.distribution(params).log_prob(target)

    def sample(self, params):
        return self.distribution(params).sample()


class NormalOutput(DistributionOutput):
    """`params`: mean and standard deviation."""

    numbers = 2

    def parameters(self, raw, loc, scale):
        mean, spread = raw.unbind(-1)
        return mean * scale + loc, (nn.functional.softplus(spread) + MINIMUM_SPREAD) * scale

    def distribution(self, params):
        mean, spread = params
        return Normal(mean, spread, validate_args=False)

    def quantiles(self, params):
        mean, spread = (param.unsqueeze(-1) for param in params)
        return mean + spread * torch.special.ndtri(mean.new_tensor(self.config.quantiles))


class StudentTOutput(DistributionOutput):
    """`params`: degrees of freedom (above 2, so that the variance exists), location and scale."""

    numbers = 3

    def parameters(self, raw, loc, scale):
        freedom, centre, spread = raw.unbind(-1)
        softplus = nn.functional.softplus
        return 2 + softplus(freedom), centre * scale + loc, (softplus(spread) + MINIMUM_SPREAD) * scale

    def distribution(self, params):
        freedom, centre, spread = params
        return StudentT(freedom, centre, spread, validate_args=False)

    def quantiles(self, params):
        freedom, centre, spread = (param.unsqueeze(-1) for param in params)
        return centre + spread * student_t_quantile(centre.new_tensor(self.config.quantiles), freedom)


class NegativeBinomialOutput(DistributionOutput):
    """`params`: total count and logits. The window's scale stretches the mean; counts cannot be shifted."""

    numbers = 2

    def parameters(self, raw, loc, scale):
        mean, total_count = (nn.functional.softplus(number) + MINIMUM_SPREAD for number in raw.unbind(-1))
        return total_count, (mean * scale / total_count).log()

    def distribution(self, params):
        total_count, logits = params
        return NegativeBinomial(total_count=total_count, logits=logits, validate_args=False)


def student_t_quantile(level: torch.Tensor, freedom: torch.Tensor) -> torch.Tensor:
    """
    Quantile function of Student's t distribution with more than 2 degrees of freedom, which torch lacks: G. W. Hill,
    Algorithm 396, Communications of the ACM 13 (1970), within 0.1% of the exact value.

    Args:
        level: Levels between 0 and 1, broadcast against `freedom`.
        freedom: Degrees of freedom.
    """
    freedom = freedom.clamp(max=1e4)  # where it is a normal distribution, and 48 / a**2 still has its digits
    tails = 2 * torch.minimum(level, 1 - level)
    a = 1 / (freedom - 0.5)
    b = 48 / a.square()
    c = ((20700 * a / b - 98) * a - 16) * a + 96.36
    d = ((94.5 / (b + c) - 3) / b + 1) * (a * torch.pi / 2).sqrt() * freedom
    y = (d * tails) ** (2 / freedom)

    x = torch.special.ndtri(tails / 2).expand_as(y)
    near = c + torch.where(freedom < 5, 0.3 * (freedom - 4.5) * (x + 0.6), 0)
    near = (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b + near
    near = (((((0.4 * x**2 + 6.3) * x**2 + 36) * x**2 + 94.5) / near - x**2 - 3) / b + 1) * x
    near = torch.expm1(a * near.square())

    far = 1 / (((freedom + 6) / (freedom * y) - 0.089 * d - 0.822) * (freedom + 2) * 3) + 0.5 / (freedom + 4)
    far = (far * y - 1) * (freedom + 1) / (freedom + 2) + 1 / y

    size = (freedom * torch.where(y > 0.05 + a, near, far)).clamp(min=0).sqrt()
    return torch.sign(level - 0.5) * size


OUTPUTS: dict[str, type[PointOutput]] = {
    "point": PointOutput,
    "quantile": QuantileOutput,
    "normal": NormalOutput,
    "student_t": StudentTOutput,
    "negative_binomial": NegativeBinomialOutput,
}

__all__ = [
    "LSTMForecasterHead",
    "OUTPUTS",
    "DistributionOutput",
    "Params",
    "PointOutput",
    "student_t_quantile",
]
