"""What every exported model shares, so that pipelines take it for a model of transformers."""

import copy
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedConfig, PreTrainedModel


class ExportedModel(PreTrainedModel):
    """A model whose weights are in another runtime. It runs on the CPU and cannot be trained.

    Args:
        config: The model's config.
        folder: The exported folder.
    """

    def __init__(self, config: PreTrainedConfig, folder: Path):
        config = copy.deepcopy(config)
        config._attn_implementation = "eager"  # transformers would look for attention in this class
        super().__init__(config)
        self.folder = folder
        if (folder / "generation_config.json").is_file():
            self.generation_config = GenerationConfig.from_pretrained(folder)
        self.eval()

    @property
    def device(self) -> torch.device:
        """The CPU."""
        return torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        """Of inputs and outputs."""
        return torch.float32

    def merge(self, given: GenerationConfig | None) -> GenerationConfig:
        """Generation settings: the given ones, completed by the model's own as transformers does it."""
        config = GenerationConfig() if given is None else copy.deepcopy(given)
        config.update(**self.generation_config.to_dict(), defaults_only=True)
        return config

    def to(self, *args: Any, **kwargs: Any) -> "ExportedModel":
        """It stays on the CPU."""
        return self


__all__ = ["ExportedModel"]
