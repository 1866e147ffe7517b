"""Random inputs of a model, by what it reads first: a graph is traced with them."""

from collections.abc import Callable
from typing import Any

import torch
from transformers import PreTrainedConfig

ROWS, LENGTH = 3, 12  # no axis of a traced batch may be 1, which torch.export takes for a constant


def images(config: Any) -> dict[str, torch.Tensor]:
    """Images of the one size that the model reads."""
    return {"pixel_values": torch.randn(ROWS, config.num_channels, config.image_size, config.image_size)}


def texts(config: Any) -> dict[str, torch.Tensor]:
    """Tokens, padded on the right."""
    mask = torch.ones(ROWS, LENGTH, dtype=torch.long)
    mask[1, LENGTH // 2 :] = 0
    return {"input_ids": torch.randint(0, config.vocab_size, (ROWS, LENGTH)), "attention_mask": mask}


def sound(config: Any) -> dict[str, torch.Tensor]:
    """Frames, padded on the right."""
    frames = 4 * LENGTH
    mask = torch.ones(ROWS, frames, dtype=torch.long)
    mask[1, frames // 2 :] = 0
    return {"input_features": torch.randn(ROWS, frames, config.num_mel_bins), "attention_mask": mask}


def series(config: Any) -> dict[str, torch.Tensor]:
    """Windows, and the covariates that the model reads with them. A missing value is NaN."""
    past, future, width = config.context_length, config.prediction_length, config.num_step_features
    inputs = {"past_values": 1 + torch.rand(ROWS, past, config.input_size)}
    if width:
        inputs["past_time_features"] = torch.randn(ROWS, past, width)
        inputs["future_time_features"] = torch.randn(ROWS, future, width)
    if config.cardinality:
        inputs["static_categorical_features"] = torch.zeros(ROWS, len(config.cardinality), dtype=torch.long)
    if config.num_static_real_features:
        inputs["static_real_features"] = torch.randn(ROWS, config.num_static_real_features)
    return inputs


# The model's main input -> its example.
EXAMPLES: dict[str, Callable[[Any], dict[str, torch.Tensor]]] = {
    "pixel_values": images,
    "input_ids": texts,
    "input_features": sound,
    "past_values": series,
}
# Inputs whose second axis has any length -> the name of that length, which several share.
LENGTHS = {
    "input_ids": "source",
    "attention_mask": "source",
    "input_features": "source",
    "past_values": "past",
    "past_time_features": "past",
}


def example(main_input_name: str, config: PreTrainedConfig) -> dict[str, torch.Tensor]:
    """Inputs for the model's forward, without labels."""
    return EXAMPLES[main_input_name](config)


__all__ = ["LENGTHS", "example"]
