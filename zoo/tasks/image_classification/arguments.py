"""The `data` section of an image classification recipe."""

from dataclasses import dataclass

from zoo.data.fashion_mnist import NAME as FASHION_MNIST
from zoo.tasks.base import DataArguments, option

LEAST = {
    **dict.fromkeys(("max_train_samples", "max_eval_samples", "max_predict_samples"), 1),
    **dict.fromkeys(("random_shift", "random_erasing", "mixup", "cutmix"), 0),
    **dict.fromkeys(("random_erasing_area", "random_erasing_probability"), 0),
}
_SHARES = {"cutmix": "batches", "random_erasing_area": "the image", "random_erasing_probability": "images"}
CHOICES = {
    "random_flip": ("none", "random", "alternate"),
    "test_time_augmentation": ("none", "flip", "flip_shift"),
}


@dataclass
class ImageClassificationArguments(DataArguments):
    """The `data` section of an image classification recipe."""

    dataset_name: str | None = option(
        FASHION_MNIST, "fashion-mnist, or a data set of the Hugging Face Hub.", source="train"
    )
    dataset_config_name: str | None = option(None, "Configuration of the Hub data set.", source="train")
    data_dir: str | None = option(None, "Folder with the four Fashion-MNIST files.", source="train")
    train_dir: str | None = option(None, "Own images: one sub-folder per class.", source="train")
    validation_dir: str | None = option(None, "Own validation images, in the same layout.", source="train")
    test_dir: str | None = option(None, "Own test images, in the same layout.", source="test")
    image_column_name: str = option("image", "Column of the images in a Hub data set.")
    label_column_name: str = option("label", "Column of the labels in a Hub data set.")
    validation_size: float | None = option(
        None,
        "Training images held out, stratified by class, if the data set has no validation split: a number or a share. "
        "Default: a tenth, at most 5,000.",
    )
    validation_seed: int = option(42, "Seed of that choice; the same in every run.")
    max_train_samples: int | None = option(None, "Use at most this many training images.")
    max_eval_samples: int | None = option(None, "Use at most this many validation images.")
    max_predict_samples: int | None = option(None, "Use at most this many test images.")
    random_flip: str = option("none", "none, random or alternate (every other epoch).", loading=False)
    random_shift: int = option(0, "Shift training images by up to this many pixels.", loading=False)
    random_erasing: int = option(0, "Side in pixels of a square to erase (cutout).", loading=False)
    random_erasing_area: float = option(
        0.0, "Cover a rectangle of noise, at most this share of the image (the paper's: 0.4).", loading=False
    )
    random_erasing_probability: float = option(0.5, "Share of images with such a rectangle.", loading=False)
    mixup: float = option(0.0, "alpha of mixup.", loading=False)
    cutmix: float = option(0.0, "Share of batches with cutmix.", loading=False)
    test_time_augmentation: str = option(
        "none",
        "Average logits over TTA views: flip (the image and its mirror image), flip_shift (both also "
        "shifted by one pixel up, down, left and right), or none.",
        loading=False,
        used_by="evaluation",
    )

    def __post_init__(self):
        self.check(LEAST, CHOICES)
        if self.validation_size is not None and self.validation_size <= 0:
            raise ValueError(f"validation_size={self.validation_size} must be a number of images or a share above 0")
        for name, of in _SHARES.items():
            if getattr(self, name) > 1:
                raise ValueError(f"{name}={getattr(self, name)} is a share of {of} and must be at most 1")
        if 0 < self.random_erasing_area < 0.02:
            raise ValueError(f"random_erasing_area={self.random_erasing_area} must be 0 or at least 0.02")


__all__ = ["ImageClassificationArguments"]
