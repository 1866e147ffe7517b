"""Random inputs of a tiny model, one function a task: what the contract tests feed to every family."""

import torch


def image_classification(config, rows: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (rows, config.num_channels, config.image_size, config.image_size)
    return {
        "pixel_values": torch.randn(shape, generator=generator),
        "labels": torch.arange(rows) % config.num_labels,
    }


INPUTS = {"image_classification": image_classification}
