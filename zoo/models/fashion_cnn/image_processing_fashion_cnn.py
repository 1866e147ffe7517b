"""Image processor of the Fashion CNN: images of garments in any format to normalised 28x28 tensors."""

from typing import Any

import numpy as np
from PIL import Image
from transformers.image_processing_backends import PilBackend
from transformers.image_utils import PILImageResampling
from transformers.processing_utils import ImagesKwargs


class FashionCNNImageProcessorKwargs(ImagesKwargs, total=False):  # type: ignore[call-arg]
    r"""
    do_convert_grayscale (`bool`, defaults to `True`): Turn colours into luma (ITU-R 601); `False` keeps RGB.
    do_invert (`bool`, defaults to `False`): Swap black and white first.
    """

    do_convert_grayscale: bool
    do_invert: bool


class FashionCNNImageProcessor(PilBackend):
    r"""
    Grayscale, resize, rescale and normalise, with PIL and NumPy alone (no torchvision).

    Takes PIL images of any mode, NumPy arrays and torch tensors: (height, width), (height, width, 1, 3 or 4),
    (1, 3 or 4, height, width), batches of these, and lists of these. Integers are read as 0..255; floats
    between 0 and 1 as fractions of 255. Transparent pixels become black, the background of Fashion-MNIST. An array of
    three axes whose first or last has 1, 3 or 4 entries is one image with channels, any other a batch of grayscale
    images: give small batches as (batch, 1, height, width).

    Fashion-MNIST shows light garments on black. For dark garments on a white background, as most photographs are, pass
    `do_invert=True`. Larger images are resized to `size` (bilinear); crop them around the garment first. With
    `do_convert_grayscale=False` images stay RGB; `image_mean` and `image_std` then need three values.

    Returns:
        `pixel_values` (batch, 1, 28, 28) with mean 0 and standard deviation 1 over the Fashion-MNIST training images.

    Raises:
        ValueError: No image, no pixels, NaN or infinite pixels, or a number of axes or channels that no image has.
        TypeError: The input is not an image.
    """

    valid_kwargs = FashionCNNImageProcessorKwargs
    resample = PILImageResampling.BILINEAR
    size = {"height": 28, "width": 28}
    do_resize = True
    do_rescale = True
    do_normalize = True
    do_convert_grayscale = True
    do_invert = False
    # Mean and standard deviation of the 60,000 training images, as fractions of 255.
    image_mean = [0.2860]
    image_std = [0.3530]

    def _prepare_images_structure(self, images: Any, expected_ndims: int = 3) -> list:
        """Flatten to a list of images; 2-D arrays, which transformers refuses, are given their channel axis."""
        images = self.fetch_images(images)
        if isinstance(images, list | tuple):
            if not images:
                raise ValueError("no image given: the list is empty")
            return [single for image in images for single in self._prepare_images_structure(image)]
        if isinstance(images, Image.Image):
            return [images]
        if not hasattr(images, "ndim"):
            raise TypeError(f"expected a PIL image, a NumPy array or a torch tensor, got {type(images).__name__}")
        if 0 in images.shape:
            raise ValueError(f"an array of shape {tuple(images.shape)} has no pixels")
        if images.ndim == 2:
            return [images[None]]
        channels = (1, 3, 4)
        if images.ndim == 3:
            if images.shape[0] in channels or images.shape[-1] in channels:
                return [images]
            return [image[None] for image in images]
        if images.ndim == 4:
            return list(images)
        raise ValueError(f"an image has 2 or 3 axes and a batch up to 4, got an array of shape {tuple(images.shape)}")

    def process_image(
        self, image: Any, do_convert_grayscale: bool = True, do_invert: bool = False, **kwargs
    ) -> np.ndarray:
        """One image of any kind -> (channels, height, width), 0..255."""
        if isinstance(image, Image.Image):
            if image.mode.startswith("I;16"):  # convert() would cut 16 bits off at 255
                image = image.point(lambda value: value * (1 / 256))
            image = image.convert("RGBA" if "A" in image.mode or "transparency" in image.info else "RGB")
            image, layout = np.asarray(image), "last"
        else:
            if hasattr(image, "detach"):
                image = image.detach().cpu()
                image = (image.float() if image.is_floating_point() else image).numpy()  # NumPy has no bfloat16
            layout = "first" if image.shape[0] in (1, 3, 4) else "last"
            layout = {"channels_first": "first", "channels_last": "last"}.get(
                kwargs.get("input_data_format") or layout, layout
            )
        if 0 in image.shape:
            raise ValueError(f"an image of shape {image.shape} has no pixels")
        image = np.moveaxis(image, -1, 0) if layout == "last" else image
        if len(image) not in (1, 3, 4):
            raise ValueError(f"an image has 1, 3 or 4 channels, got {len(image)} in one of shape {image.shape}")
        if not np.isfinite(image).all():
            raise ValueError(f"an image of shape {image.shape} has pixels that are NaN or infinite")
        if image.dtype == bool or (np.issubdtype(image.dtype, np.floating) and image.max() <= 1):
            image = image * np.float32(255)
        image = image.astype(np.float32)
        if len(image) == 4:
            image = image[:3] * (image[3:] / 255)
        if do_invert:
            image = 255 - image
        if do_convert_grayscale and len(image) == 3:
            image = np.tensordot(np.array([0.299, 0.587, 0.114], np.float32), image, axes=1)[None]
        elif not do_convert_grayscale and len(image) == 1:
            image = np.repeat(image, 3, axis=0)
        return np.rint(image).clip(0, 255).astype(np.uint8)


__all__ = ["FashionCNNImageProcessor"]
