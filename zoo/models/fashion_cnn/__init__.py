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
    search_space={
        "training.learning_rate": {"loguniform": [5e-4, 2e-2]},
        "training.per_device_train_batch_size": {"choice": [64, 128, 256]},
        "training.muon_learning_rate": {"choice": [0.0, 0.02]},  # 0: the recipe's optimizer alone
        "training.lr_scheduler_type": {"choice": ["linear", "cosine", "constant"]},
        # Three stages each: `pooling` of the recipe fashion-cnn names them one by one.
        "model.stage_channels": {"choice": [[32, 64, 128], [48, 96, 192], [64, 128, 192]]},
        "model.convs_per_stage": {"choice": [2, 3]},
        "model.conv_dropout": {"uniform": [0.0, 0.3], "round": 0.05},
        "model.classifier_dropout": {"uniform": [0.0, 0.5], "round": 0.05},
    },
)

__all__ = [
    "FAMILY",
    "FashionCNNConfig",
    "FashionCNNForImageClassification",
    "FashionCNNImageProcessor",
    "FashionCNNModel",
    "FashionCNNPreTrainedModel",
]
