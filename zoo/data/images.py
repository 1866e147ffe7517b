"""Labelled images in memory: splits, and readers for image folders and Hub data sets."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass
class ImageSplit:
    """Images of one split.

    Args:
        images: (count, channels, height, width), uint8.
        labels: (count,), int64.
        is_release: Whether the bytes are those of a known release of the data set.
    """

    images: np.ndarray
    labels: np.ndarray
    is_release: bool = False

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: np.ndarray) -> "ImageSplit":
        """The images of these row numbers."""
        return ImageSplit(self.images[rows], self.labels[rows], self.is_release)

    def fingerprint(self) -> str:
        """sha256 of images and labels."""
        digest = hashlib.sha256(str(self.images.shape).encode())
        digest.update(np.ascontiguousarray(self.images).data)
        digest.update(np.ascontiguousarray(self.labels).data)
        return digest.hexdigest()


@dataclass
class ImageSplits:
    """What a reader returns: the splits it found, the class names and where they came from."""

    train: ImageSplit
    labels: tuple[str, ...]
    source: str
    validation: ImageSplit | None = None
    test: ImageSplit | None = None


def stratified_split(split: ImageSplit, size: int, seed: int) -> tuple[ImageSplit, ImageSplit]:
    """(rest, held out): `size` images with the class shares of the whole, chosen by `seed`, each part in file order.

    Raises:
        ValueError: `size` leaves too few images for every class to stand on both sides.
    """
    from sklearn.model_selection import train_test_split

    try:
        rest, held_out = train_test_split(
            np.arange(len(split)), test_size=size, stratify=split.labels, random_state=seed
        )
    except ValueError as error:
        raise ValueError(f"validation_size={size} of {len(split)} training images: {error}") from error
    return split.take(np.sort(rest)), split.take(np.sort(held_out))


def _to_split(rows: Any, image_column: str, label_column: str, image_size: int, grayscale: bool) -> ImageSplit:
    """Decoded rows of a `datasets` split as uint8 arrays of one size."""
    from PIL import Image

    images = np.empty((len(rows), 1 if grayscale else 3, image_size, image_size), np.uint8)
    for row, image in enumerate(rows[image_column]):
        image = image.convert("L" if grayscale else "RGB")
        if image.size != (image_size, image_size):
            image = image.resize((image_size, image_size), Image.Resampling.BILINEAR)
        pixels = np.asarray(image)
        images[row] = pixels[None] if grayscale else np.moveaxis(pixels, -1, 0)
    return ImageSplit(images, np.asarray(rows[label_column], np.int64))


def _to_splits(
    loaded: Any, source: str, image_column: str, label_column: str, image_size: int, grayscale: bool
) -> ImageSplits:
    names = {"train": "train", "validation": "validation", "test": "test"}
    columns = loaded["train"].column_names
    for column, flag in ((image_column, "--image_column_name"), (label_column, "--label_column_name")):
        if column not in columns:
            raise ValueError(f"{source} has no column {column!r}; it has {', '.join(columns)}: choose one with {flag}")
    feature = loaded["train"].features[label_column]
    if not hasattr(feature, "names"):
        raise ValueError(f"{source}: column {label_column!r} holds {feature}, not class labels")
    found = {
        key: _to_split(loaded[name], image_column, label_column, image_size, grayscale)
        for key, name in names.items()
        if name in loaded
    }
    return ImageSplits(**found, labels=tuple(feature.names), source=source)


def read_hub_images(
    name: str,
    config_name: str | None = None,
    image_column: str = "image",
    label_column: str = "label",
    image_size: int = 28,
    grayscale: bool = True,
) -> ImageSplits:
    """A labelled image data set of the Hub (or a local folder in the same form) with a `train` split.

    Raises:
        ValueError: It has no `train` split, or a column is missing or holds no class labels.
    """
    from datasets import load_dataset

    loaded = load_dataset(name, config_name)
    if "train" not in loaded:
        raise ValueError(f"{name} has no train split; it has {', '.join(loaded)}")
    return _to_splits(loaded, name, image_column, label_column, image_size, grayscale)


def read_image_folders(
    train_dir: str,
    validation_dir: str | None = None,
    test_dir: str | None = None,
    image_size: int = 28,
    grayscale: bool = True,
) -> ImageSplits:
    """Folders with one sub-folder of images a class.

    Raises:
        FileNotFoundError: A folder does not exist.
        ValueError: A folder holds no images, or the splits disagree about the classes.
    """
    from datasets import load_dataset

    folders = {"train": train_dir, "validation": validation_dir, "test": test_dir}
    loaded = {}
    for split, folder in folders.items():
        if folder is None:
            continue
        if not Path(folder).is_dir():
            raise FileNotFoundError(f"--{split}_dir {folder} is not a folder")
        classes = sorted(entry.name for entry in Path(folder).iterdir() if entry.is_dir())
        if not classes:
            raise ValueError(f"{folder}: expected one sub-folder of images a class, found none")
        loaded[split] = load_dataset(
            "imagefolder", data_dir=str(Path(folder).absolute()), split="train", drop_labels=False
        )
    names = {split: rows.features["label"].names for split, rows in loaded.items()}
    for split, classes in names.items():
        if classes != names["train"]:
            raise ValueError(f"{folders[split]} has the classes {classes}, but {train_dir} has {names['train']}")
    return _to_splits(loaded, str(train_dir), "image", "label", image_size, grayscale)


__all__ = ["ImageSplit", "ImageSplits", "read_hub_images", "read_image_folders", "stratified_split"]
