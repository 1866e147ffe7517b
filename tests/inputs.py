"""Random inputs of a tiny model, one function a task: what the contract tests feed to every family."""

import torch


def image_classification(config, rows: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (rows, config.num_channels, config.image_size, config.image_size)
    return {
        "pixel_values": torch.randn(shape, generator=generator),
        "labels": torch.arange(rows) % config.num_labels,
    }


def forecasting(config, rows: int) -> dict[str, torch.Tensor]:
    """Waves whose past tells their future."""
    generator = torch.Generator().manual_seed(0)
    past, future = config.context_length, config.prediction_length
    shape = (rows, 1, config.input_size)
    phase, size = torch.rand(shape, generator=generator) * 6.28, 0.5 + torch.rand(shape, generator=generator)
    waves = size * torch.sin(torch.arange(past + future)[None, :, None] * 0.7 + phase)
    return {"past_values": waves[:, :past], "future_values": waves[:, past:]}


INPUTS = {"forecasting": forecasting, "image_classification": image_classification}
