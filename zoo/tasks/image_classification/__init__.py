"""Image classification: labelled images in, a class out."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import AutoImageProcessor, AutoModelForImageClassification, PreTrainedConfig, PreTrainedModel
from transformers.image_processing_utils import BaseImageProcessor
from transformers.modeling_outputs import ImageClassifierOutputWithNoAttention

from zoo.data.images import ImageSplit, stratified_split
from zoo.tasks.base import Report, Task, TaskData

from .arguments import ImageClassificationArguments
from .augment import Augmentation
from .dataset import ImageDataset
from .loading import read, validation_size

if TYPE_CHECKING:
    from zoo.models.base import Family
    from zoo.training.trainer import Prediction, ZooTrainer


def smoothed_cross_entropy(
    outputs: ImageClassifierOutputWithNoAttention,
    labels: Tensor,
    num_items_in_batch: Tensor | int | None = None,
    *,
    smoothing: float,
) -> Tensor:
    """Cross-entropy with smoothed labels (Szegedy et al., 2016, arXiv:1512.00567): a `compute_loss_func`.

    The Trainer's own smoothing knows class numbers only, but mixup and cutmix make probabilities.

    Args:
        outputs: Its `logits` are (`torch.Tensor` of shape `(batch, classes)`).
        labels (`torch.Tensor` of shape `(batch,)` or `(batch, classes)`): Class numbers or probabilities.
        num_items_in_batch: Number of label values in all batches of one optimizer step.
        smoothing: Probability that is spread evenly over all classes.
    """
    if num_items_in_batch is None:
        return nn.functional.cross_entropy(outputs["logits"], labels, label_smoothing=smoothing)
    total = nn.functional.cross_entropy(outputs["logits"], labels, label_smoothing=smoothing, reduction="sum")
    return total * labels[0].numel() / num_items_in_batch


class ImageClassificationTask(Task):
    """Image classification: accuracy chooses the checkpoint."""

    name = "image_classification"
    auto_class = AutoModelForImageClassification
    auto_processor = AutoImageProcessor
    arguments_class = ImageClassificationArguments
    metric = "accuracy"
    opposite_metrics = ("nll", "brier", "ece")
    config_fields = ("image_size", "num_channels")
    teacher_fields = ("image_size", "num_channels", "id2label")
    teacher_processor_fields = ("image_mean", "image_std")

    arguments: ImageClassificationArguments

    def load_data(self, config: PreTrainedConfig, processor: BaseImageProcessor | None = None) -> TaskData:
        """Read the images. A missing validation split is taken from the training images, never from the test images.

        Raises:
            FileNotFoundError: No source has the data.
            ValueError: The data is damaged or does not fit the model.
        """
        splits = read(self.arguments, config)
        if splits.train is not None and splits.validation is None:
            splits.train, splits.validation = stratified_split(
                splits.train,
                validation_size(self.arguments.validation_size, len(splits.train), len(splits.labels)),
                self.arguments.validation_seed,
            )
        limits = {
            "train": self.arguments.max_train_samples,
            "validation": self.arguments.max_eval_samples,
            "test": self.arguments.max_predict_samples,
        }
        datasets: dict[str, ImageDataset] = {}
        for name, limit in limits.items():
            split: ImageSplit | None = getattr(splits, name)
            if split is None:
                continue
            if limit is not None and limit < len(split):
                # Evenly spaced: an image folder is sorted by class.
                split = split.take(np.linspace(0, len(split) - 1, limit).astype(np.int64))
            datasets[name] = ImageDataset(split, training=name == "train")
        id2label = dict(enumerate(splits.labels))
        return TaskData(
            train=datasets.get("train"),
            validation=datasets.get("validation"),
            test=datasets.get("test"),
            model_fields={"id2label": id2label, "label2id": {label: number for number, label in id2label.items()}},
            fingerprint={name: dataset.split.fingerprint() for name, dataset in datasets.items()},
            source=splits.source,
            notes={"known_release": splits.train is not None and splits.train.is_release},
        )

    def make_processor(self, family: "Family", config: PreTrainedConfig, data: TaskData) -> BaseImageProcessor:
        """The family's image processor for the config's image size and colours.

        Raises:
            ValueError: The processor makes images with another number of channels than the config's.
        """
        processor_class, channels = family.processor_class, config.num_channels
        size = {"height": config.image_size, "width": config.image_size}
        mean, std = processor_class.image_mean, processor_class.image_std
        if len(mean) == channels:
            return processor_class(size=size)
        if len(mean) == 1 and hasattr(processor_class, "do_convert_grayscale"):
            return processor_class(
                size=size, do_convert_grayscale=False, image_mean=mean * channels, image_std=std * channels
            )
        raise ValueError(
            f"num_channels={channels}, but {processor_class.__name__} makes images with {len(mean)}: set "
            f"num_channels={len(mean)}"
        )

    def attach(self, model: PreTrainedModel, processor: BaseImageProcessor) -> None:
        """Prepare normalisation and augmentation.

        Raises:
            ValueError: The augmentation does not fit the images.
        """
        super().attach(model, processor)
        for name in ("random_shift", "random_erasing"):
            if getattr(self.arguments, name) >= self.config.image_size:
                raise ValueError(
                    f"{name}={getattr(self.arguments, name)} must be below image_size={self.config.image_size}"
                )
        self.mean = torch.tensor(processor.image_mean)[:, None, None] * 255
        self.std = torch.tensor(processor.image_std)[:, None, None] * 255
        self.augmentation = Augmentation(
            flip=self.arguments.random_flip,
            shift=self.arguments.random_shift,
            erase=self.arguments.random_erasing,
            erase_area=self.arguments.random_erasing_area,
            erase_probability=self.arguments.random_erasing_probability,
            mixup=self.arguments.mixup,
            cutmix=self.arguments.cutmix,
            num_labels=self.config.num_labels,
            seed=self.seed,
        )

    def collate(self, rows: dict[str, Any] | list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """uint8 images -> normalised float batches; those of a training data set are augmented.

        Args:
            rows: A batch of `ImageDataset.__getitems__`, or a list of its rows.
        """
        if isinstance(rows, list):
            rows = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
        images, labels = rows["pixel_values"], rows["labels"]
        if "epoch" not in rows:
            return {"pixel_values": (images.float() - self.mean) / self.std, "labels": labels}
        index, epoch = rows["index"], rows["epoch"]
        images = self.augmentation.geometric(images, index, epoch)
        images = self.augmentation.random_erasing(images, index, epoch)
        pixel_values = self.augmentation.erasing((images.float() - self.mean) / self.std, index, epoch)
        pixel_values, labels = self.augmentation.mixing(pixel_values, labels, index, epoch)
        return {"pixel_values": pixel_values, "labels": labels}

    def make_trainer(self, **kwargs: Any) -> "ZooTrainer":
        """The Trainer, with label smoothing that also takes the probabilities of mixup and cutmix."""
        if smoothing := kwargs["args"].label_smoothing_factor:
            kwargs["compute_loss_func"] = partial(smoothed_cross_entropy, smoothing=smoothing)
        return super().make_trainer(**kwargs)

    def views(self, dataset: Dataset) -> list[Dataset]:
        """The images as they are, then the TTA views of `test_time_augmentation` (Jordan, 2024, arXiv:2404.00498)."""
        assert isinstance(dataset, ImageDataset)
        offsets = [(0, 0)]
        if self.arguments.test_time_augmentation == "flip_shift":
            offsets += [(1, 0), (-1, 0), (0, 1), (0, -1)]
        sides = (False,) if self.arguments.test_time_augmentation == "none" else (False, True)
        return [dataset.view(flipped, offset) for offset in offsets for flipped in sides]

    def evaluate(self, prediction: "Prediction", intervals: bool = False) -> dict[str, Any]:
        """Accuracy, macro F1, NLL and calibration error; with `intervals` also n, Brier and accuracy's interval."""
        from .metrics import classification_metrics

        metrics = classification_metrics(prediction.predictions, prediction.label_ids)
        return metrics if intervals else {name: metrics[name] for name in ("accuracy", "macro_f1", "nll", "ece")}

    def baselines(self, train: Dataset, dataset: Dataset) -> dict[str, dict[str, float]]:
        """The frequency of each class in the training data as its probability."""
        from .metrics import classification_metrics

        assert isinstance(train, ImageDataset) and isinstance(dataset, ImageDataset)
        labels = dataset.split.labels
        counts = np.bincount(train.split.labels, minlength=int(labels.max()) + 1) + 1.0
        logits = np.tile(np.log(counts / counts.sum()), (len(labels), 1))
        return {"class_frequency": classification_metrics(logits, labels)}

    def report(self, prediction: "Prediction", model: PreTrainedModel, folder: Path) -> Report:
        """Metrics by class, confusion matrix, calibration and mistakes; see `report.py`."""
        from .report import report

        assert isinstance(prediction.dataset, ImageDataset)
        names = [model.config.id2label[number] for number in range(model.config.num_labels)]
        return report(prediction.predictions, prediction.label_ids, names, prediction.dataset.split.images, folder)


TASK = ImageClassificationTask

__all__ = ["TASK", "ImageClassificationTask", "smoothed_cross_entropy"]
