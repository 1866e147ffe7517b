"""The `data` section of an image classification recipe."""

from dataclasses import dataclass, field
from typing import Any

from zoo.data.fashion_mnist import NAME as FASHION_MNIST
from zoo.tasks.base import DataArguments


def _train_source(help: str, default: Any = None) -> Any:
    return field(default=default, metadata={"help": help, "source": "train"})


def _augmentation(help: str, default: Any) -> Any:
    return field(default=default, metadata={"help": help, "loading": False})


@dataclass
class ImageClassificationArguments(DataArguments):
    """The `data` section of an image classification recipe."""

    dataset_name: str | None = _train_source("fashion-mnist, or a data set of the Hugging Face Hub.", FASHION_MNIST)
    dataset_config_name: str | None = _train_source("Configuration of the Hub data set.")
    data_dir: str | None = _train_source("Folder with the four Fashion-MNIST files.")
    train_dir: str | None = _train_source("Own images: one sub-folder per class.")
    validation_dir: str | None = _train_source("Own validation images, in the same layout.")
    test_dir: str | None = field(
        default=None, metadata={"help": "Own test images, in the same layout.", "source": "test"}
    )
    image_column_name: str = field(default="image", metadata={"help": "Column of the images in a Hub data set."})
    label_column_name: str = field(default="label", metadata={"help": "Column of the labels in a Hub data set."})
    validation_size: int = field(
        default=5000,
        metadata={"help": "Training images held out, stratified by class, if the data set has no validation split."},
    )
    validation_seed: int = field(default=42, metadata={"help": "Seed of that choice; the same in every run."})
    max_train_samples: int | None = field(default=None, metadata={"help": "Use at most this many training images."})
    max_eval_samples: int | None = field(default=None, metadata={"help": "Use at most this many validation images."})
    max_predict_samples: int | None = field(default=None, metadata={"help": "Use at most this many test images."})
    random_flip: str = _augmentation("none, random or alternate (every other epoch).", "none")
    random_shift: int = _augmentation("Shift training images by up to this many pixels.", 0)
    random_erasing: int = _augmentation("Side in pixels of a square to erase (cutout).", 0)
    mixup: float = _augmentation("alpha of mixup.", 0.0)
    cutmix: float = _augmentation("Share of batches with cutmix.", 0.0)
    test_time_augmentation: str = field(
        default="none",
        metadata={
            "help": "Average logits over TTA views: flip (the image and its mirror image), flip_shift (both also "
            "shifted by one pixel up, down, left and right), or none.",
            "loading": False,
            "used_by": "evaluation",
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


__all__ = ["ImageClassificationArguments"]
