"""Labelled images in memory, and readers for image folders and Hub data sets."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image


@dataclass
class ImageSplit:
    """Images of one split.

    Args:
        images (`np.ndarray` of shape `(count, channels, height, width)`): uint8.
        labels (`np.ndarray` of shape `(count,)`): int64 class numbers.
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
    """The splits of a data set, its class names and its source."""

    labels: tuple[str, ...]
    source: str
    train: ImageSplit | None = None
    validation: ImageSplit | None = None
    test: ImageSplit | None = None


def stratified_split(split: ImageSplit, size: int, seed: int) -> tuple[ImageSplit, ImageSplit]:
    """(rest, held out): `size` images with the class shares of the whole, chosen by `seed`, each part in file order.

    Raises:
        ValueError: `size` leaves too few images for a class to be in both parts.
    """
    from sklearn.model_selection import train_test_split

    classes = len(np.unique(split.labels))
    if not classes <= size <= len(split) - classes:
        raise ValueError(
            f"validation_size={size} of {len(split)} training images: give {classes} to {len(split) - classes}, so "
            f"that each of the {classes} classes is in both parts"
        )
    try:
        rest, held_out = train_test_split(
            np.arange(len(split)), test_size=size, stratify=split.labels, random_state=seed
        )
    except ValueError as error:
        raise ValueError(f"validation_size={size} of {len(split)} training images: {error}") from error
    return split.take(np.sort(rest)), split.take(np.sort(held_out))


def _to_pixels(image: "Image.Image", image_size: int, grayscale: bool) -> np.ndarray:
    """A PIL image of any mode -> (1 or 3, image_size, image_size) uint8, as the models' image processors read it."""
    from PIL import Image

    if image.mode.startswith("I;16"):  # convert() would clip 16 bits at 255
        image = image.point(lambda value: value * (1 / 256))
    if "A" in image.mode or "transparency" in image.info:  # transparent pixels become black
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
    image = image.convert("L" if grayscale else "RGB")
    if image.size != (image_size, image_size):
        image = image.resize((image_size, image_size), Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    return pixels[None] if grayscale else np.moveaxis(pixels, -1, 0)


def read_hub_images(
    name: str,
    config_name: str | None = None,
    image_column: str = "image",
    label_column: str = "label",
    image_size: int = 28,
    grayscale: bool = True,
) -> ImageSplits:
    """A labelled image data set of the Hub (or a local folder in the same form) with a `train` split.

    Args:
        name: Hub id or folder.
        config_name: Its configuration.
        image_column: Column of the images.
        label_column: Column of the labels.
        image_size: Height and width of the returned images.
        grayscale: Whether they have one channel, not three.

    Raises:
        ValueError: It has no `train` split, or a column is missing or holds no class labels.
    """
    from datasets import load_dataset

    loaded = load_dataset(name, config_name)
    if "train" not in loaded:
        raise ValueError(f"{name} has no train split; it has {', '.join(loaded)}")
    columns = loaded["train"].column_names
    for column, flag in ((image_column, "--image_column_name"), (label_column, "--label_column_name")):
        if column not in columns:
            raise ValueError(f"{name} has no column {column!r}; it has {', '.join(columns)}: choose one with {flag}")
    feature = loaded["train"].features[label_column]
    if not hasattr(feature, "names"):
        raise ValueError(f"{name}: column {label_column!r} holds {feature}, not class labels")
    splits: dict[str, ImageSplit] = {}
    for split in ("train", "validation", "test"):
        if split not in loaded:
            continue
        labels = np.asarray(loaded[split][label_column], np.int64)
        if len(labels) and labels.min() < 0:
            raise ValueError(
                f"{name}: image {int(labels.argmin())} of {split} has the label {labels.min()}, which marks images "
                "without a label"
            )
        images = np.empty((len(labels), 1 if grayscale else 3, image_size, image_size), np.uint8)
        for row, image in enumerate(loaded[split][image_column]):
            images[row] = _to_pixels(image, image_size, grayscale)
        splits[split] = ImageSplit(images, labels)
    return ImageSplits(tuple(feature.names), name, **splits)


def _read_folder(folder: str, image_size: int, grayscale: bool) -> tuple[ImageSplit, tuple[str, ...]]:
    """The images below the sub-folders of a folder, and the names of these: the classes."""
    from PIL import Image

    extensions = {extension for extension, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    classes = sorted(entry for entry in Path(folder).iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not classes:
        raise ValueError(f"{folder}: expected one sub-folder of images per class, found none")
    images, labels = [], []
    for label, class_folder in enumerate(classes):
        files = sorted(
            path
            for path in class_folder.rglob("*")
            if path.suffix.lower() in extensions and not path.name.startswith(".")
        )
        if not files:
            raise ValueError(f"{class_folder}: this class has no image: add images or delete the folder")
        for path in files:
            try:
                with Image.open(path) as image:
                    images.append(_to_pixels(image, image_size, grayscale))
            except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises for damaged files
                raise ValueError(f"{path} is not a readable image ({error}): replace or delete it") from error
            labels.append(label)
    return ImageSplit(np.stack(images), np.asarray(labels, np.int64)), tuple(entry.name for entry in classes)


def read_image_folders(
    train_dir: str | None,
    validation_dir: str | None = None,
    test_dir: str | None = None,
    image_size: int = 28,
    grayscale: bool = True,
) -> ImageSplits:
    """Folders with one sub-folder of images per class. File names have no meaning, unlike in `datasets`.

    Args:
        train_dir, validation_dir, test_dir: The folder of each split.
        image_size: Height and width of the returned images.
        grayscale: Whether they have one channel, not three.

    Raises:
        FileNotFoundError: A folder does not exist.
        ValueError: A folder or a class holds no images, a file is damaged, or the splits disagree about the classes.
    """
    splits: dict[str, ImageSplit] = {}
    names: tuple[str, ...] = ()
    first = train_dir or validation_dir or test_dir
    for split, folder in {"train": train_dir, "validation": validation_dir, "test": test_dir}.items():
        if folder is None:
            continue
        if not Path(folder).is_dir():
            raise FileNotFoundError(f"--{split}_dir {folder} is not a folder")
        splits[split], classes = _read_folder(folder, image_size, grayscale)
        names = names or classes
        if classes != names:
            raise ValueError(f"{folder} has the classes {', '.join(classes)}, but {first} has {', '.join(names)}")
    return ImageSplits(names, str(first), **splits)


__all__ = ["ImageSplit", "ImageSplits", "read_hub_images", "read_image_folders", "stratified_split"]
