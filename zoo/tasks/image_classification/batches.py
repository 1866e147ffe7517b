"""Images to batches: the data section of a recipe, the data set and the collator."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from zoo.data.fashion_mnist import NAME as FASHION_MNIST
from zoo.data.fashion_mnist import load_fashion_mnist
from zoo.data.images import ImageSplit, ImageSplits, read_hub_images, read_image_folders, stratified_split
from zoo.data.sources import refuse_folder
from zoo.tasks.base import TaskData

from .augment import Augmentation


@dataclass
class ImageClassificationArguments:
    """The `data` section of an image classification recipe."""

    dataset_name: str | None = field(
        default=FASHION_MNIST, metadata={"help": "fashion-mnist, or a data set of the Hugging Face Hub."}
    )
    dataset_config_name: str | None = field(default=None, metadata={"help": "Configuration of the Hub data set."})
    data_dir: str | None = field(default=None, metadata={"help": "Folder with the four Fashion-MNIST files."})
    train_dir: str | None = field(default=None, metadata={"help": "Own images: one sub-folder a class."})
    validation_dir: str | None = field(default=None, metadata={"help": "Own validation images, laid out alike."})
    test_dir: str | None = field(default=None, metadata={"help": "Own test images, laid out alike."})
    image_column_name: str = field(default="image", metadata={"help": "Column of the images in a Hub data set."})
    label_column_name: str = field(default="label", metadata={"help": "Column of the labels in a Hub data set."})
    validation_size: int = field(
        default=5000,
        metadata={
            "help": "Training images set aside, stratified by class, where the data set has no validation split."
        },
    )
    validation_seed: int = field(default=42, metadata={"help": "Seed of that choice; the same in every run."})
    max_train_samples: int | None = field(default=None, metadata={"help": "Use only so many training images."})
    max_eval_samples: int | None = field(default=None, metadata={"help": "Use only so many validation images."})
    max_predict_samples: int | None = field(default=None, metadata={"help": "Use only so many test images."})
    random_flip: str = field(default="none", metadata={"help": "none, random or alternate (every other epoch)."})
    random_shift: int = field(default=0, metadata={"help": "Shift training images by up to so many pixels."})
    random_erasing: int = field(default=0, metadata={"help": "Side in pixels of a square to erase (cutout)."})
    mixup: float = field(default=0.0, metadata={"help": "alpha of mixup."})
    cutmix: float = field(default=0.0, metadata={"help": "Share of batches with cutmix."})
    test_time_augmentation: str = field(
        default="none",
        metadata={
            "help": "Average logits over views: flip (the image and its mirror image), flip_shift (both also moved by "
            "one pixel up, down, left and right), or none."
        },
    )

    def __post_init__(self):
        for name, allowed in (
            ("random_flip", ("none", "random", "alternate")),
            ("test_time_augmentation", ("none", "flip", "flip_shift")),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name}={getattr(self, name)!r} is not one of {', '.join(allowed)}")
        for name in ("max_train_samples", "max_eval_samples", "max_predict_samples"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        for name in ("random_shift", "random_erasing", "mixup", "cutmix"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)} must not be negative")
        if self.cutmix > 1:
            raise ValueError(f"cutmix={self.cutmix} is a share of batches and must be at most 1")


class ImageDataset(Dataset):
    """Images that stay uint8 in memory and are fetched a batch at a time.

    Args:
        split: The images.
        training: Whether batches carry what augmentation needs (the epoch and the images' numbers).
        flipped: Show every image mirrored, for test-time augmentation.
        offset: Show every image moved by so many pixels (down, right), negative for up and left; 0 comes in.
    """

    def __init__(
        self, split: ImageSplit, training: bool = False, flipped: bool = False, offset: tuple[int, int] = (0, 0)
    ):
        self.split = split
        self.images = torch.from_numpy(split.images)
        self.labels = torch.from_numpy(split.labels)
        self.training = training
        self.flipped = flipped
        self.offset = offset
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called when an epoch starts."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> dict[str, torch.Tensor]:
        return {"pixel_values": self.images[row], "labels": self.labels[row]}

    def __getitems__(self, rows: Sequence[int]) -> dict[str, Any]:
        """A whole batch at once: torch's data loader prefers this to one call an image."""
        index = torch.as_tensor(rows)
        images = self.images[index]
        if any(self.offset):
            height, width = images.shape[-2:]
            margin = max(map(abs, self.offset))
            top, left = (margin - shift for shift in self.offset)
            images = nn.functional.pad(images, (margin,) * 4)[:, :, top : top + height, left : left + width]
        batch: dict[str, Any] = {
            "pixel_values": images.flip(-1) if self.flipped else images,
            "labels": self.labels[index],
        }
        if self.training:
            batch |= {"index": index, "epoch": self.epoch}
        return batch

    def view(self, flipped: bool = False, offset: tuple[int, int] = (0, 0)) -> "ImageDataset":
        """The same images as an evaluation sees them, without augmentation."""
        return ImageDataset(self.split, flipped=flipped, offset=offset)


class ImageCollator:
    """uint8 images to normalised float batches; augments those of a training data set.

    Args:
        image_mean: Mean of each channel as a fraction of 255.
        image_std: Standard deviation of each channel as a fraction of 255.
        augmentation: What to do to training images.
    """

    def __init__(self, image_mean: Sequence[float], image_std: Sequence[float], augmentation: Augmentation):
        self.mean = torch.tensor(image_mean)[:, None, None] * 255
        self.std = torch.tensor(image_std)[:, None, None] * 255
        self.augmentation = augmentation

    def __call__(self, batch: dict[str, Any] | list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        if isinstance(batch, list):
            batch = {key: torch.stack([row[key] for row in batch]) for key in batch[0]}
        images, labels = batch["pixel_values"], batch["labels"]
        if "epoch" not in batch:
            return {"pixel_values": (images.float() - self.mean) / self.std, "labels": labels}
        index, epoch = batch["index"], batch["epoch"]
        images = self.augmentation.geometric(images, index, epoch)
        pixel_values = (images.float() - self.mean) / self.std
        pixel_values = self.augmentation.erasing(pixel_values, index, epoch)
        pixel_values, labels = self.augmentation.mixing(pixel_values, labels, index, epoch)
        return {"pixel_values": pixel_values, "labels": labels}


class LabelSmoother:
    """Cross-entropy with smoothed labels (Szegedy et al., 2016, arXiv:1512.00567) for class numbers and probabilities.

    The Trainer's own smoother knows class numbers only, which mixup and cutmix do not give.
    """

    def __init__(self, epsilon: float):
        self.epsilon = epsilon

    def __call__(self, model_output: Any, labels: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        return nn.functional.cross_entropy(model_output["logits"], labels, label_smoothing=self.epsilon)


def read(arguments: ImageClassificationArguments, config: Any) -> ImageSplits:
    """The images that the arguments name, in the size and colours of the config."""
    shape = {"image_size": config.image_size, "grayscale": config.num_channels == 1}
    if arguments.train_dir is not None:
        refuse_folder(arguments.data_dir, f"train_dir={arguments.train_dir}")
        return read_image_folders(arguments.train_dir, arguments.validation_dir, arguments.test_dir, **shape)
    if arguments.test_dir is not None and arguments.dataset_name is None:  # to measure a trained model on
        return read_image_folders(None, arguments.validation_dir, arguments.test_dir, **shape)
    if arguments.validation_dir is not None or arguments.test_dir is not None:
        raise ValueError("--validation_dir and --test_dir need --train_dir, which names the classes")
    if arguments.dataset_name == FASHION_MNIST:
        if shape != {"image_size": 28, "grayscale": True}:
            raise ValueError(
                f"Fashion-MNIST is 28x28 grayscale, but the model takes {config.num_channels} channels of "
                f"{config.image_size}x{config.image_size}: set image_size=28 and num_channels=1"
            )
        return load_fashion_mnist(arguments.data_dir)
    refuse_folder(arguments.data_dir, f"dataset_name={arguments.dataset_name}")
    return read_hub_images(
        arguments.dataset_name or "",
        arguments.dataset_config_name,
        arguments.image_column_name,
        arguments.label_column_name,
        **shape,
    )


def load_data(arguments: ImageClassificationArguments, config: Any, processor: Any = None) -> TaskData:
    """The splits of a run. A missing validation split is taken from the training images, never from the test images.

    Raises:
        FileNotFoundError: The data is nowhere.
        ValueError: The data is damaged or does not fit the model.
    """
    splits = read(arguments, config)
    if splits.train is not None and splits.validation is None:
        splits.train, splits.validation = stratified_split(
            splits.train, arguments.validation_size, arguments.validation_seed
        )
    limits = {
        "train": arguments.max_train_samples,
        "validation": arguments.max_eval_samples,
        "test": arguments.max_predict_samples,
    }
    datasets: dict[str, Any] = {}
    for name, limit in limits.items():
        split: ImageSplit | None = getattr(splits, name)
        if split is not None and limit is not None and limit < len(split):
            # Spread over the file: the classes of an image folder lie one after the other.
            split = split.take(np.linspace(0, len(split) - 1, limit).astype(np.int64))
        datasets[name] = None if split is None else ImageDataset(split, training=name == "train")
    id2label = dict(enumerate(splits.labels))
    return TaskData(
        **datasets,
        model_fields={"id2label": id2label, "label2id": {label: number for number, label in id2label.items()}},
        fingerprint={name: d.split.fingerprint() for name, d in datasets.items() if d is not None},
        source=splits.source,
        notes={"known_release": splits.train is not None and splits.train.is_release},
    )


def build_processor(family: Any, config: Any, data: Any = None) -> Any:
    """The family's image processor for the config's image size and colours."""
    size = {"height": config.image_size, "width": config.image_size}
    if config.num_channels == 1:
        return family.image_processor_class(size=size)
    mean, std = family.image_processor_class.image_mean * 3, family.image_processor_class.image_std * 3
    return family.image_processor_class(size=size, do_convert_grayscale=False, image_mean=mean, image_std=std)


def build_collator(processor: Any, arguments: ImageClassificationArguments, config: Any, seed: int) -> ImageCollator:
    """The collator that normalises as the processor does and augments as the recipe says.

    Raises:
        ValueError: The augmentation does not fit the images.
    """
    for name in ("random_shift", "random_erasing"):
        if getattr(arguments, name) >= config.image_size:
            raise ValueError(f"{name}={getattr(arguments, name)} must be below image_size={config.image_size}")
    augmentation = Augmentation(
        flip=arguments.random_flip,
        shift=arguments.random_shift,
        erase=arguments.random_erasing,
        mixup=arguments.mixup,
        cutmix=arguments.cutmix,
        num_labels=config.num_labels,
        seed=seed,
    )
    return ImageCollator(processor.image_mean, processor.image_std, augmentation)


def evaluation_views(dataset: ImageDataset, arguments: ImageClassificationArguments) -> list[Dataset]:
    """The images as they are, and further views by `test_time_augmentation` (after Jordan, 2024, arXiv:2404.00498)."""
    neighbours = [(1, 0), (-1, 0), (0, 1), (0, -1)] if arguments.test_time_augmentation == "flip_shift" else []
    offsets = [(0, 0), *neighbours]
    sides = (False,) if arguments.test_time_augmentation == "none" else (False, True)
    return [dataset.view(flipped, offset) for offset in offsets for flipped in sides]


__all__ = [
    "ImageClassificationArguments",
    "ImageCollator",
    "ImageDataset",
    "LabelSmoother",
    "build_collator",
    "build_processor",
    "evaluation_views",
    "load_data",
]
