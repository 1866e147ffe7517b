"""Images in memory as a data set that yields whole batches."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset

from zoo.data.images import ImageSplit


class ImageDataset(Dataset):
    """Images that stay uint8 in memory and are fetched a batch at a time.

    Args:
        split: The images.
        training: Whether batches carry what augmentation needs (the epoch and the images' numbers).
        flipped: Whether every image is mirrored, as a TTA view.
        offset: Pixels (down, right) by which every image is shifted, as a TTA view; empty pixels are 0.
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
        """A whole batch at once: torch's data loader prefers this to one call per image."""
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
        """The same images without augmentation, mirrored or shifted if asked for."""
        return ImageDataset(self.split, flipped=flipped, offset=offset)


__all__ = ["ImageDataset"]
