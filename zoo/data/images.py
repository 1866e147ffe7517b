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

    train: ImageSplit | None
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


def _to_pixels(image: Any, image_size: int, grayscale: bool) -> np.ndarray:
    """A PIL image of any mode -> (1 or 3, image_size, image_size) uint8, as the models' image processors read it."""
    from PIL import Image

    if image.mode.startswith("I;16"):  # convert() would cut 16 bits off at 255
        image = image.point(lambda value: value * (1 / 256))
    if "A" in image.mode or "transparency" in image.info:  # transparent pixels become black
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
    image = image.convert("L" if grayscale else "RGB")
    if image.size != (image_size, image_size):
        image = image.resize((image_size, image_size), Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    return pixels[None] if grayscale else np.moveaxis(pixels, -1, 0)


def _to_split(rows: Any, image_column: str, label_column: str, image_size: int, grayscale: bool) -> ImageSplit:
    """Decoded rows of a `datasets` split as uint8 arrays of one size."""
    labels = np.asarray(rows[label_column], np.int64)
    if len(labels) and labels.min() < 0:
        raise ValueError(f"image {int(labels.argmin())} has the label {labels.min()}, which marks images without one")
    images = np.empty((len(rows), 1 if grayscale else 3, image_size, image_size), np.uint8)
    for row, image in enumerate(rows[image_column]):
        images[row] = _to_pixels(image, image_size, grayscale)
    return ImageSplit(images, labels)


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


def _read_folder(folder: str, image_size: int, grayscale: bool) -> tuple[ImageSplit, tuple[str, ...]]:
    """The images below the sub-folders of a folder, and the names of these: the classes."""
    from PIL import Image

    extensions = {extension for extension, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    classes = sorted(entry for entry in Path(folder).iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not classes:
        raise ValueError(f"{folder}: expected one sub-folder of images a class, found none")
    images, labels = [], []
    for label, class_folder in enumerate(classes):
        found = (path for path in class_folder.rglob("*") if not path.name.startswith("."))
        files = sorted(path for path in found if path.suffix.lower() in extensions)
        if not files:
            raise ValueError(f"{class_folder} is a class without an image: add images or delete the folder")
        for path in files:
            try:
                with Image.open(path) as image:
                    images.append(_to_pixels(image, image_size, grayscale))
            except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises for damaged files
                raise ValueError(f"{path} is no readable image ({error}): replace or delete it") from error
            labels.append(label)
    return ImageSplit(np.stack(images), np.asarray(labels, np.int64)), tuple(entry.name for entry in classes)


def read_image_folders(
    train_dir: str | None,
    validation_dir: str | None = None,
    test_dir: str | None = None,
    image_size: int = 28,
    grayscale: bool = True,
) -> ImageSplits:
    """Folders with one sub-folder of images a class; the first folder says which. Names of files mean nothing here,
    unlike in `datasets`.

    Raises:
        FileNotFoundError: A folder does not exist.
        ValueError: A folder or a class holds no images, a file is damaged, or the splits disagree about the classes.
    """
    found: dict[str, ImageSplit] = {}
    names: tuple[str, ...] = ()
    first = train_dir or validation_dir or test_dir
    for split, folder in {"train": train_dir, "validation": validation_dir, "test": test_dir}.items():
        if folder is None:
            continue
        if not Path(folder).is_dir():
            raise FileNotFoundError(f"--{split}_dir {folder} is not a folder")
        found[split], classes = _read_folder(folder, image_size, grayscale)
        names = names or classes
        if classes != names:
            raise ValueError(f"{folder} has the classes {', '.join(classes)}, but {first} has {', '.join(names)}")
    return ImageSplits(**{"train": None, **found}, labels=names, source=str(first))


__all__ = ["ImageSplit", "ImageSplits", "read_hub_images", "read_image_folders", "stratified_split"]
