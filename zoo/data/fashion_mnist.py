"""Fashion-MNIST from its four IDX files, or from the Hub."""

import hashlib
import math
from pathlib import Path

import numpy as np

from .images import ImageSplit, ImageSplits, read_hub_images
from .sources import find_files, from_hub, place, read_bytes

NAME = "fashion-mnist"
HUB_ID = "zalando-datasets/fashion_mnist"
SYSTEM_PACKAGE = "dataset-fashion-mnist"
SYSTEM_FOLDER = "/usr/share/datasets/fashion-mnist"
LABELS = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
FILES = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}
# sha256 of the decompressed files of the corrected release (github.com/zalandoresearch/fashion-mnist).
RELEASE = {
    "train-images-idx3-ubyte.gz": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte.gz": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte.gz": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte.gz": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}


def read_idx(path: Path | str, dimensions: int) -> tuple[np.ndarray, str]:
    """One gzipped IDX file of unsigned bytes (yann.lecun.com/exdb/mnist) and the sha256 of its decompressed bytes.

    Raises:
        ValueError: The file is truncated or corrupt, is not an IDX file of unsigned bytes with `dimensions` axes, or
            has more or fewer bytes than its header says.
    """
    content = read_bytes(Path(path))
    if len(content) < 4 or content[:3] != b"\x00\x00\x08":
        raise ValueError(f"{path}: not an IDX file of unsigned bytes (it begins with {content[:4].hex(' ')!r})")
    if content[3] != dimensions:
        raise ValueError(f"{path}: has {content[3]} dimensions, expected {dimensions}; are images and labels swapped?")
    header = 4 + 4 * dimensions
    if len(content) < header:
        raise ValueError(f"{path}: ends inside its header; fetch it again")
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", dimensions, offset=4))
    if len(content) - header != math.prod(shape):
        raise ValueError(f"{path}: the header says {shape}, but {len(content) - header} bytes follow; fetch it again")
    # From a bytearray, because torch wants arrays that it may write to.
    pixels = np.frombuffer(bytearray(content), np.uint8, offset=header).reshape(shape)
    return pixels, hashlib.sha256(content).hexdigest()


def read_split(folder: Path | str, split: str) -> ImageSplit:
    """The `train` or `test` images of a folder with the four files.

    Raises:
        ValueError: A file is damaged, images and labels differ in number, or a label has no class.
    """
    images_file, labels_file = FILES[split]
    images_path, labels_path = Path(folder) / images_file, Path(folder) / labels_file
    images, images_hash = read_idx(images_path, dimensions=3)
    labels, labels_hash = read_idx(labels_path, dimensions=1)
    if len(images) != len(labels):
        raise ValueError(f"{folder}: {images_file} holds {len(images)} images, {labels_file} {len(labels)} labels")
    if not len(images):
        raise ValueError(f"{images_path}: holds no image")
    if images.shape[1:] != (28, 28):
        raise ValueError(f"{images_path}: holds images of {images.shape[1]}x{images.shape[2]}, not 28x28")
    if labels.max() >= len(LABELS):
        row = int((labels >= len(LABELS)).argmax())
        raise ValueError(f"{labels_path}: label {labels[row]} of image {row} is not in 0..{len(LABELS) - 1}")
    is_release = images_hash == RELEASE[images_file] and labels_hash == RELEASE[labels_file]
    return ImageSplit(images[:, None], labels.astype(np.int64), is_release=is_release)


def load_fashion_mnist(path: str | None = None) -> ImageSplits:
    """Training and test images, from `path`, `$ZOO_DATA/fashion-mnist`, the Debian package's folder or the Hub.

    Raises:
        FileNotFoundError: None of the four has it.
        ValueError: The files are damaged.
    """
    folder = find_files(NAME, [file for files in FILES.values() for file in files], path, SYSTEM_FOLDER)
    if folder is None:
        return from_hub(lambda: read_hub_images(HUB_ID), NAME, HUB_ID, "", SYSTEM_FOLDER, SYSTEM_PACKAGE)
    is_system = path is None and folder == Path(SYSTEM_FOLDER)
    source = f"the system package {SYSTEM_PACKAGE}" if is_system else place(path)
    return ImageSplits(
        train=read_split(folder, "train"), test=read_split(folder, "test"), labels=LABELS, source=source
    )


__all__ = ["FILES", "LABELS", "load_fashion_mnist", "read_idx", "read_split"]
