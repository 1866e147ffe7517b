"""Family: what the folder of an architecture offers to the rest of the library."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoImageProcessor,
    AutoModel,
    AutoProcessor,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.image_processing_utils import BaseImageProcessor


@dataclass(frozen=True)
class Family:
    """One architecture.

    Args:
        name: The folder under `zoo/models/`, which is the config's `model_type` too.
        config_class: Its configuration.
        base_model_class: The model without a head.
        model_classes: The model with a head, for each task that the family can do.
        other_model_classes: Auto class -> a further model with a head, for which the library has no task.
        processor_class: What prepares its inputs: an image processor or a `ProcessorMixin`; None if a tokenizer does.
        feature_extractor_class: The feature extractor of its `ProcessorMixin`, if it has one.
        tiny: Config fields of a model small enough to test in seconds.
        search_space: What `zoo tune` searches where the recipe has no space, in the format of a recipe's
            `search.space`.
    """

    name: str
    config_class: type[PreTrainedConfig]
    base_model_class: type[PreTrainedModel]
    model_classes: Mapping[str, type[PreTrainedModel]]
    other_model_classes: Mapping[Any, type[PreTrainedModel]] = field(default_factory=dict)
    processor_class: Any = None
    feature_extractor_class: Any = None
    tiny: Mapping[str, Any] = field(default_factory=dict)
    search_space: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks that this family can do."""
        return tuple(self.model_classes)

    @property
    def processors(self) -> dict[Any, Any]:
        """Auto class -> the class that it loads for this family."""
        found = {AutoFeatureExtractor: self.feature_extractor_class}
        is_image_processor = isinstance(self.processor_class, type) and issubclass(
            self.processor_class, BaseImageProcessor
        )
        found[AutoImageProcessor if is_image_processor else AutoProcessor] = self.processor_class
        return {auto_class: found for auto_class, found in found.items() if found is not None}

    @property
    def classes(self) -> tuple[type, ...]:
        """Every public class of the family."""
        models = (self.base_model_class, *self.model_classes.values(), *self.other_model_classes.values())
        return tuple(dict.fromkeys((self.config_class, *models, *self.processors.values())))

    def register(self, auto_classes: Mapping[str, Any]) -> None:
        """Register the family with transformers' Auto classes.

        Args:
            auto_classes: The Auto class of each task.
        """
        AutoConfig.register(self.config_class.model_type, self.config_class, exist_ok=True)
        AutoModel.register(self.config_class, self.base_model_class, exist_ok=True)
        for task, model_class in self.model_classes.items():
            if task in auto_classes:
                auto_classes[task].register(self.config_class, model_class, exist_ok=True)
        for auto_class, model_class in self.other_model_classes.items():
            auto_class.register(self.config_class, model_class, exist_ok=True)
        for auto_class, processor_class in self.processors.items():
            if auto_class is AutoImageProcessor:
                auto_class.register(self.config_class, image_processor_classes={"pil": processor_class}, exist_ok=True)
            else:
                auto_class.register(self.config_class, processor_class, exist_ok=True)


__all__ = ["Family"]
