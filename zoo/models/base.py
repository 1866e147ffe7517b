"""What a model family is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from transformers import AutoConfig, AutoImageProcessor, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.image_processing_utils import BaseImageProcessor


@dataclass(frozen=True)
class Family:
    """One architecture, whole: what its folder offers to the rest of the library.

    Args:
        name: The folder under `zoo/models/`, which is the config's `model_type` too.
        config_class: Its configuration.
        base_model_class: The model without a head.
        model_classes: The model with a head, for each task that the family can do.
        image_processor_class: What prepares images for it, if it takes images.
        tiny: Config fields of a model small enough to test in seconds.
    """

    name: str
    config_class: type[PreTrainedConfig]
    base_model_class: type[PreTrainedModel]
    model_classes: Mapping[str, type[PreTrainedModel]]
    image_processor_class: type[BaseImageProcessor] | None = None
    tiny: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks this family can do."""
        return tuple(self.model_classes)

    def register(self, auto_classes: Mapping[str, Any]) -> None:
        """Make transformers' Auto classes know this family. `auto_classes`: the Auto class of each task there is."""
        AutoConfig.register(self.config_class.model_type, self.config_class, exist_ok=True)
        AutoModel.register(self.config_class, self.base_model_class, exist_ok=True)
        for task, model_class in self.model_classes.items():
            if task in auto_classes:
                auto_classes[task].register(self.config_class, model_class, exist_ok=True)
        if self.image_processor_class is not None:
            AutoImageProcessor.register(
                self.config_class, image_processor_classes={"pil": self.image_processor_class}, exist_ok=True
            )


__all__ = ["Family"]
