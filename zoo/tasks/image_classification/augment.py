"""Augmentation of whole batches, the same whatever the batch size, the process or an interruption.

Every random number is a function of (seed, epoch, image, draw), not of a generator's state: a run that is resumed, or
split over several processes, sees the images that an uninterrupted single process sees.
"""

import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

_NAMES = (
    *("flip", "shift_y", "shift_x", "erase_y", "erase_x", "mix", "box_y", "box_x", "box_size"),
    *("erase", "erase_area", "erase_ratio", "erase_fill"),
)
_DRAWS = {name: number for number, name in enumerate(_NAMES)}
_LEAST_AREA, _LEAST_RATIO = 0.02, 0.3  # of random erasing, as in its paper


def _hash(values: torch.Tensor) -> torch.Tensor:
    """The finaliser of splitmix64 (Steele et al., 2014) on int64 tensors, whose products wrap as they must."""
    for shift, factor in ((30, -0x40A7B892E31B1A47), (27, -0x6B2FB644ECCEEE15)):
        values = (values ^ ((values >> shift) & ((1 << (64 - shift)) - 1))) * factor
    return values ^ ((values >> 31) & ((1 << 33) - 1))


def uniform(index: torch.Tensor, seed: int, epoch: int, draw: str) -> torch.Tensor:
    """Uniform numbers in [0, 1), one for each image number in `index` (batch,)."""
    key = (seed * 0x9E3779B1 + epoch * 0x85EBCA77 + _DRAWS[draw] * 0xC2B2AE3D) & 0x7FFFFFFFFFFFFFFF
    mixed = _hash(_hash(torch.tensor(key, device=index.device)) ^ index)
    return ((mixed >> 11) & ((1 << 53) - 1)).double() / (1 << 53)


def integers(index: torch.Tensor, seed: int, epoch: int, draw: str, high: int) -> torch.Tensor:
    """Whole numbers in [0, high), one for each image number in `index` (batch,)."""
    return (uniform(index, seed, epoch, draw) * high).long()


def _boxes(centre_y: torch.Tensor, centre_x: torch.Tensor, half: torch.Tensor, size: int) -> torch.Tensor:
    """True inside a square of side 2 * half around each centre: (batch, 1, size, size)."""
    steps = torch.arange(size, device=centre_y.device)
    rows = (steps >= (centre_y - half)[:, None]) & (steps < (centre_y + half)[:, None])
    columns = (steps >= (centre_x - half)[:, None]) & (steps < (centre_x + half)[:, None])
    return (rows[:, :, None] & columns[:, None, :])[:, None]


@dataclass(frozen=True)
class Augmentation:
    """Random changes to training images. 0 and "none" switch a change off.

    Args:
        flip: "random": mirror half of the images; "alternate": each image every other epoch (Jordan, 2024,
            arXiv:2404.00498), which shows each side equally often.
        shift: Move by up to this many pixels each way; empty pixels are 0.
        erase: Side in pixels of a square that is set to the mean at a random place (DeVries and Taylor, 2017,
            arXiv:1708.04552: cutout; the square may be half outside).
        erase_area: Largest share of the image that a rectangle of noise covers (Zhong et al., 2017, arXiv:1708.04896:
            random erasing, of 2% to this share, with sides in a ratio of .3 to 3.33).
        erase_probability: Probability that an image gets such a rectangle.
        mixup: alpha of mixup (Zhang et al., 2018, arXiv:1710.09412): pairs of images are blended, and their labels.
        cutmix: Share of batches in which a square of another image is pasted in (Yun et al., 2019, arXiv:1905.04899).
        num_labels: Number of classes, for the blended labels.
        seed: Of all random numbers here.
    """

    flip: str = "none"
    shift: int = 0
    erase: int = 0
    erase_area: float = 0.0
    erase_probability: float = 0.5
    mixup: float = 0.0
    cutmix: float = 0.0
    num_labels: int = 10
    seed: int = 0

    def geometric(self, images: torch.Tensor, index: torch.Tensor, epoch: int) -> torch.Tensor:
        """Shift and flip: (batch, channels, size, size), any type. `index`: (batch,) numbers of the images."""
        size = images.shape[-1]
        if self.shift:
            padded = nn.functional.pad(images, (self.shift,) * 4)
            top = integers(index, self.seed, epoch, "shift_y", 2 * self.shift + 1)
            left = integers(index, self.seed, epoch, "shift_x", 2 * self.shift + 1)
            steps = torch.arange(size, device=images.device)
            batch = torch.arange(len(images), device=images.device)[:, None, None]
            # Advanced indexing around a slice puts the channels last: (batch, size, size, channels).
            images = padded[batch, :, (top[:, None] + steps)[:, :, None], (left[:, None] + steps)[:, None, :]]
            images = images.permute(0, 3, 1, 2)
        if self.flip != "none":
            # Alternating: the first epoch's side is random, then it changes every epoch.
            first = uniform(index, self.seed, 0 if self.flip == "alternate" else epoch, "flip") < 0.5
            flipped = first ^ bool(epoch % 2) if self.flip == "alternate" else first
            images = torch.where(flipped[:, None, None, None], images.flip(-1), images)
        return images

    def random_erasing(self, images: torch.Tensor, index: torch.Tensor, epoch: int) -> torch.Tensor:
        """Cover a rectangle of uint8 images, (batch, channels, size, size), with random pixels."""
        if not self.erase_area:
            return images
        size = images.shape[-1]
        draw = partial(uniform, index, self.seed, epoch)
        area = (_LEAST_AREA + (self.erase_area - _LEAST_AREA) * draw("erase_area")) * size**2
        ratio = (math.log(_LEAST_RATIO) * (1 - 2 * draw("erase_ratio"))).exp()
        height = (area * ratio).sqrt().round().clamp(1, size)
        width = (area / ratio).sqrt().round().clamp(1, size)
        top = (draw("erase_y") * (size - height + 1)).floor()
        left = (draw("erase_x") * (size - width + 1)).floor()
        steps = torch.arange(size, device=images.device)
        rows = (steps >= top[:, None]) & (steps < (top + height)[:, None])
        columns = (steps >= left[:, None]) & (steps < (left + width)[:, None])
        erased = (rows[:, :, None] & columns[:, None, :]) & (draw("erase") < self.erase_probability)[:, None, None]
        pixel = torch.arange(images[0].numel(), device=images.device)
        noise = integers((index[:, None] * len(pixel) + pixel).flatten(), self.seed, epoch, "erase_fill", 256)
        return torch.where(erased[:, None], noise.reshape(images.shape).to(images.dtype), images)

    def erasing(self, pixel_values: torch.Tensor, index: torch.Tensor, epoch: int) -> torch.Tensor:
        """Set a square of normalised images to 0, the mean."""
        if not self.erase:
            return pixel_values
        size = pixel_values.shape[-1]
        centre_y = integers(index, self.seed, epoch, "erase_y", size + 1)
        centre_x = integers(index, self.seed, epoch, "erase_x", size + 1)
        half = torch.full_like(centre_y, self.erase).float() / 2
        return pixel_values.masked_fill(_boxes(centre_y, centre_x, half, size), 0.0)

    def mixing(
        self, pixel_values: torch.Tensor, labels: torch.Tensor, index: torch.Tensor, epoch: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mixup or cutmix of each image with the one before it in the batch; labels become (batch, num_labels)."""
        if not self.mixup and not self.cutmix:
            return pixel_values, labels
        targets = nn.functional.one_hot(labels, self.num_labels).to(pixel_values.dtype)
        leader, partner = index[:1], pixel_values.roll(1, 0)  # the batch's first image draws for the whole batch
        draw = uniform(leader, self.seed, epoch, "mix")
        if self.cutmix and (not self.mixup or draw < self.cutmix):
            if draw >= self.cutmix:
                return pixel_values, targets
            size = pixel_values.shape[-1]
            half = size * (1 - uniform(leader, self.seed, epoch, "box_size")).sqrt() / 2
            centre_y = integers(leader, self.seed, epoch, "box_y", size)
            centre_x = integers(leader, self.seed, epoch, "box_x", size)
            box = _boxes(centre_y, centre_x, half, size)
            pixel_values = torch.where(box, partner, pixel_values)
            keep = 1 - box.double().mean().to(targets.dtype)
        else:
            # Beta(alpha, alpha) has no closed inverse; scipy's is exact and one number a batch is cheap.
            from scipy.stats import beta

            share = float(uniform(leader, self.seed, epoch, "box_y"))
            keep = torch.tensor(float(beta.ppf(share, self.mixup, self.mixup)), dtype=targets.dtype)
            pixel_values = keep * pixel_values + (1 - keep) * partner
        return pixel_values, keep * targets + (1 - keep) * targets.roll(1, 0)


__all__ = ["Augmentation", "integers", "uniform"]
