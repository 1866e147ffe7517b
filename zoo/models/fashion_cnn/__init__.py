"""Fashion CNN: a configurable convolutional image classifier."""

from zoo.models.base import Family

from .configuration_fashion_cnn import FashionCNNConfig
from .image_processing_fashion_cnn import FashionCNNImageProcessor
from .modeling_fashion_cnn import FashionCNNForImageClassification, FashionCNNModel, FashionCNNPreTrainedModel

FAMILY = Family(
    name="fashion_cnn",
    config_class=FashionCNNConfig,
    base_model_class=FashionCNNModel,
    model_classes={"image_classification": FashionCNNForImageClassification},
    processor_class=FashionCNNImageProcessor,
    tiny={"image_size": 12, "stage_channels": [8, 16], "convs_per_stage": 2, "residual": True, "num_labels": 4},
)

__all__ = [
    "FAMILY",
    "FashionCNNConfig",
    "FashionCNNForImageClassification",
    "FashionCNNImageProcessor",
    "FashionCNNModel",
    "FashionCNNPreTrainedModel",
]
