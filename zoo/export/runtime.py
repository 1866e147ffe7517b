"""What every exported model shares, so that pipelines take it for a model of transformers."""

import copy
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedConfig, PreTrainedModel

from zoo.registry import load_family


class ExportedModel(PreTrainedModel):
    """A model whose weights are in another runtime. It runs on the CPU and cannot be trained.

    Args:
        config: The model's config.
        folder: The exported folder.
    """

    original: Any = None  # the class that was exported

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


def named_as_original(runtime: type[ExportedModel], config: PreTrainedConfig) -> type[ExportedModel]:
    """The class of an exported model by the name of the class that was exported: pipelines of transformers know models
    by these names."""
    classes = list(load_family(config.model_type).model_classes.values())
    original = next((cls for cls in classes if cls.__name__ in (config.architectures or ())), classes[0])
    return type(original.__name__, (runtime,), {"original": original, "__doc__": runtime.__doc__})


__all__ = ["ExportedModel", "named_as_original"]
