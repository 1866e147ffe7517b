"""What the model is given, checked and brought into one shape."""

from typing import NamedTuple

import torch
from torch import nn

from .configuration_lstm_forecaster import LSTMForecasterConfig


def read_series(
    name: str, values: torch.Tensor, mask: torch.Tensor | None, channels: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Values and what was observed of them, both (batch, length, channels); what is missing, by the mask or because it is
    not a finite number, becomes 0. Statistics of bf16 values would be off: values are float32 or wider from here on.
    """
    if values.ndim == 2 and channels == 1:
        values = values.unsqueeze(-1)
    if values.ndim != 3 or values.shape[-1] != channels:
        flat = " or (batch, length)" if channels == 1 else ""
        raise ValueError(
            f"{name}_values has shape {tuple(values.shape)}, but this model takes (batch, length, {channels}){flat}"
        )
    values = values.to(torch.promote_types(values.dtype, torch.float32))
    observed = values.isfinite()
    if mask is not None:
        mask = mask.unsqueeze(-1) if mask.ndim == 2 else mask
        if mask.shape not in (values.shape, (*values.shape[:2], 1)):
            raise ValueError(
                f"{name}_observed_mask has shape {tuple(mask.shape)}, but {name}_values has {tuple(values.shape)}"
            )
        observed = observed & mask.to(torch.bool)
    return torch.where(observed, values, 0.0), observed


def logarithms(values: torch.Tensor, observed: torch.Tensor) -> torch.Tensor:
    """Natural logarithms of the observed values, 0 where nothing was observed.

    Raises:
        ValueError: An observed value is not positive.
    """
    if bool((observed & (values <= 0)).any()):
        least = values[observed].min().item()
        raise ValueError(f"a value is {least:g}, but log_values=True takes positive values: use log_values=False")
    return torch.where(observed, values, 1.0).log()


def read_step_features(
    name: str, features: torch.Tensor | None, batch: int, length: int, width: int, exact: bool = False
) -> torch.Tensor | None:
    """
    Features of the steps of a window, (batch, length, width), or `None` where the model takes none. Unless `exact`,
    more steps than needed are cropped.
    """
    if features is None:
        if width:
            raise ValueError(f"{name} is missing: this model takes {width} features of each step")
        return None
    fits = features.ndim == 3 and len(features) == batch and features.shape[-1] == width
    if not fits or features.shape[1] < length or (exact and features.shape[1] > length):
        raise ValueError(
            f"{name} has shape {tuple(features.shape)}, but ({batch}, {length}, {width}) is needed: batch, steps, "
            "num_time_features + num_dynamic_real_features"
        )
    return features[:, :length] if width else None


def read_static_features(
    config: LSTMForecasterConfig,
    embeddings: nn.ModuleList,
    categorical: torch.Tensor | None,
    real: torch.Tensor | None,
    batch: int,
) -> torch.Tensor | None:
    """(batch, num_static_features), categories embedded, or `None` where the model takes none."""
    for name, features, width in (
        ("static_categorical_features", categorical, len(config.cardinality)),
        ("static_real_features", real, config.num_static_real_features),
    ):
        if features is None and width:
            raise ValueError(f"{name} is missing: this model takes {width} for each window")
        if features is not None and tuple(features.shape) != (batch, width):
            raise ValueError(f"{name} has shape {tuple(features.shape)}, but ({batch}, {width}) is needed")
    parts = []
    if categorical is not None:
        parts += [embed(categorical[:, index]) for index, embed in enumerate(embeddings)]
    if real is not None and config.num_static_real_features:
        parts.append(real)
    return torch.cat(parts, dim=-1) if parts else None


def fit(series: torch.Tensor, config: LSTMForecasterConfig) -> torch.Tensor:
    """The last `context_length` steps of (batch, length, ...), filled up with zeros on the left to whole patches."""
    series = series[:, -config.context_length :]
    missing = config.num_patches * config.patch_length - series.shape[1]
    return nn.functional.pad(series, (0, 0, missing, 0)) if missing else series


def tile(tensor: torch.Tensor, copies: int, dim: int = 0) -> torch.Tensor:
    """The whole tensor `copies` times in a row along `dim`."""
    return tensor if copies == 1 else torch.cat([tensor] * copies, dim=dim)


def tile_or_none(tensor: torch.Tensor | None, copies: int) -> torch.Tensor | None:
    """`tile`, for what a model may not take."""
    return None if tensor is None else tile(tensor, copies)


class Window(NamedTuple):
    """The past as the base model's `forward` takes it, argument by argument."""

    past_values: torch.Tensor
    past_observed_mask: torch.Tensor
    past_time_features: torch.Tensor | None
    static_categorical_features: torch.Tensor | None
    static_real_features: torch.Tensor | None

    def tile(self, copies: int) -> "Window":
        """Copies of the whole batch, one after the other."""
        values, observed, *others = self
        return Window(tile(values, copies), tile(observed, copies), *(tile_or_none(other, copies) for other in others))

    def move_on(self, values: torch.Tensor, step_features: torch.Tensor | None) -> "Window":
        """The window that ends with `values` (batch, length, channels), taken for observed ones."""
        observed = torch.ones_like(values, dtype=torch.bool)
        features = self.past_time_features
        if features is not None and step_features is not None:
            features = torch.cat([features, step_features], dim=1)
        return self._replace(
            past_values=torch.cat([self.past_values, values], dim=1),
            past_observed_mask=torch.cat([self.past_observed_mask, observed], dim=1),
            past_time_features=features,
        )


def read_request(
    config: LSTMForecasterConfig,
    past_values: torch.Tensor,
    past_time_features: torch.Tensor | None,
    past_observed_mask: torch.Tensor | None,
    static_categorical_features: torch.Tensor | None,
    static_real_features: torch.Tensor | None,
    future_time_features: torch.Tensor | None,
    prediction_length: int | None,
) -> tuple[Window, torch.Tensor | None, int]:
    """The window, what is known of the steps to forecast, and how many they are."""
    length = config.prediction_length if prediction_length is None else prediction_length
    if length < 1:
        raise ValueError(f"prediction_length={length} must be at least 1")
    values, observed = read_series("past", past_values, past_observed_mask, config.input_size)
    known = read_step_features(
        "future_time_features", future_time_features, len(values), length, config.num_step_features
    )
    window = Window(values, observed, past_time_features, static_categorical_features, static_real_features)
    return window, known, length


__all__ = [
    "Window",
    "fit",
    "logarithms",
    "read_request",
    "read_series",
    "read_static_features",
    "read_step_features",
    "tile",
    "tile_or_none",
]
