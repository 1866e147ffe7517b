"""Whatever a person calls a picture becomes the tensor that the model was trained on."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, pipeline

from zoo import FashionCNNConfig, FashionCNNForImageClassification, FashionCNNImageProcessor
from zoo.registry import load_family
from zoo.tasks.image_classification import ImageClassificationArguments, ImageClassificationTask

PIXELS = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
COLOURS = np.random.default_rng(1).integers(0, 256, (28, 28, 3), dtype=np.uint8)
MEAN, STD = 0.2860, 0.3530


def pixel_values(images, **options) -> torch.Tensor:
    return FashionCNNImageProcessor()(images, return_tensors="pt", **options)["pixel_values"]


def normalised(pixels) -> torch.Tensor:
    """(28, 28) numbers of 0..255 -> (1, 1, 28, 28), by the definition."""
    values = (np.asarray(pixels, np.float64) / 255 - MEAN) / STD
    return torch.from_numpy(values).float()[None, None]


def assert_same(found: torch.Tensor, expected: torch.Tensor, levels: float = 0.0) -> None:
    """Equal up to rounding of floats and up to `levels` steps of the 256 brightness levels."""
    assert found.shape == expected.shape
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6 + levels / 255 / STD)


def luma(colours: np.ndarray) -> np.ndarray:
    return colours @ np.array([0.299, 0.587, 0.114])


# PIL images


def test_grayscale_picture():
    assert_same(pixel_values(Image.fromarray(PIXELS)), normalised(PIXELS))


def test_gray_picture_that_is_stored_as_colours():
    assert_same(pixel_values(Image.fromarray(PIXELS).convert("RGB")), normalised(PIXELS))


def test_colour_picture():
    assert_same(pixel_values(Image.fromarray(COLOURS)), normalised(luma(COLOURS)), levels=0.51)


def test_transparent_pixels_are_black():
    alpha = np.full((28, 28, 1), 255, np.uint8)
    alpha[:14] = 0
    picture = Image.fromarray(np.concatenate([COLOURS, alpha], axis=2))
    expected = luma(COLOURS)
    expected[:14] = 0
    assert_same(pixel_values(picture), normalised(expected), levels=0.51)


@pytest.mark.parametrize("mode", ["LA", "CMYK", "YCbCr", "HSV", "F", "I"])
def test_other_modes(mode):
    picture = Image.fromarray(PIXELS)
    picture = picture.convert("RGB").convert(mode) if mode in ("CMYK", "HSV") else picture.convert(mode)
    assert_same(pixel_values(picture), normalised(PIXELS), levels=1)


def test_palette():
    picture = Image.fromarray(PIXELS // 64 * 64).convert("P")
    assert picture.mode == "P"
    assert_same(pixel_values(picture), normalised(PIXELS // 64 * 64))
    picture.info["transparency"] = 64  # this entry of the palette is transparent
    expected = np.where(PIXELS // 64 == 1, 0, PIXELS // 64 * 64)
    assert_same(pixel_values(picture), normalised(expected))


def test_black_and_white():
    picture = Image.fromarray(PIXELS).convert("1", dither=Image.Dither.NONE)
    assert picture.mode == "1"
    assert_same(pixel_values(picture), normalised(np.where(PIXELS > 127, 255, 0)))


def test_sixteen_bits():
    picture = Image.fromarray(PIXELS.astype(np.uint16) * 257)
    assert picture.mode == "I;16"
    assert_same(pixel_values(picture), normalised(PIXELS))


# Arrays and tensors

LAYOUTS = {
    "height, width": PIXELS,
    "height, width, 1": PIXELS[..., None],
    "1, height, width": PIXELS[None],
    "height, width, 3": np.stack([PIXELS] * 3, axis=-1),
    "3, height, width": np.stack([PIXELS] * 3),
    "height, width, 4": np.stack([PIXELS] * 3 + [np.full_like(PIXELS, 255)], axis=-1),
    "4, height, width": np.stack([PIXELS] * 3 + [np.full_like(PIXELS, 255)]),
}
BATCHES = {
    "count, height, width": np.stack([PIXELS] * 5),
    "count, 1, height, width": np.stack([PIXELS[None]] * 5),
    "count, height, width, 1": np.stack([PIXELS[..., None]] * 5),
    "count, 3, height, width": np.stack([np.stack([PIXELS] * 3)] * 5),
    "list": [PIXELS] * 5,
    "list of many kinds": [PIXELS, Image.fromarray(PIXELS), PIXELS[None], torch.from_numpy(PIXELS), PIXELS / 255],
    "nested list": [[PIXELS, PIXELS], [PIXELS], [PIXELS, PIXELS]],
    "list of batches": [np.stack([PIXELS[None]] * 2), np.stack([PIXELS[None]] * 3)],
    "tuple": (Image.fromarray(PIXELS),) * 5,
}


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor], ids=["numpy", "torch"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_of_one_array(layout, kind):
    assert_same(pixel_values(kind(LAYOUTS[layout])), normalised(PIXELS))


@pytest.mark.parametrize("layout", BATCHES)
def test_layout_of_a_batch(layout):
    expected = normalised(PIXELS).repeat(5, 1, 1, 1)
    assert_same(pixel_values(BATCHES[layout]), expected)
    if isinstance(BATCHES[layout], np.ndarray):
        assert_same(pixel_values(torch.from_numpy(BATCHES[layout])), expected)


def test_batch_of_three_with_a_channel_axis_is_no_colour_picture():
    assert pixel_values(np.stack([PIXELS[None]] * 3)).shape == (3, 1, 28, 28)


def test_layout_can_be_said():
    narrow = np.zeros((3, 28, 3), np.uint8)
    narrow[0] = 255  # the top row, not the red channel
    values = pixel_values(narrow, input_data_format="channels_last")
    assert values[0, 0, 0, 0] > values[0, 0, -1, 0]


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.int32, np.uint16])
def test_integers_are_0_to_255(dtype):
    assert_same(pixel_values(PIXELS.astype(dtype)), normalised(PIXELS))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64, torch.bfloat16])
def test_floats_up_to_1_are_fractions(dtype):
    fractions = (torch.from_numpy(PIXELS).double() / 255).to(dtype)
    assert_same(pixel_values(fractions), normalised(PIXELS), levels=1 if dtype == torch.bfloat16 else 0)


def test_floats_above_1_are_0_to_255():
    assert_same(pixel_values(PIXELS.astype(np.float32)), normalised(PIXELS))


def test_booleans():
    assert_same(pixel_values(PIXELS > 127), normalised((PIXELS > 127) * 255))


def test_tensor_that_needs_a_gradient():
    assert_same(pixel_values(torch.from_numpy(PIXELS / 255).requires_grad_()), normalised(PIXELS))


# Options


@pytest.mark.parametrize("image", [PIXELS, Image.fromarray(PIXELS), PIXELS / 255], ids=["uint8", "PIL", "float"])
def test_invert(image):
    assert_same(pixel_values(image, do_invert=True), normalised(255 - PIXELS))
    assert_same(pixel_values(image), normalised(PIXELS))  # asked of one call, not of the processor


def test_larger_image_is_resized():
    large = np.kron(PIXELS, np.ones((4, 4), np.uint8))
    expected = np.asarray(Image.fromarray(large).resize((28, 28), Image.Resampling.BILINEAR))
    assert_same(pixel_values(large), normalised(expected))
    assert pixel_values(Image.new("RGB", (300, 200))).shape == (1, 1, 28, 28)


def test_colours_can_be_kept():
    mean, std = [MEAN] * 3, [STD] * 3
    processor = FashionCNNImageProcessor(do_convert_grayscale=False, image_mean=mean, image_std=std)
    values = processor(Image.fromarray(COLOURS), return_tensors="pt")["pixel_values"]
    for channel in range(3):
        assert_same(values[:, channel : channel + 1], normalised(COLOURS[..., channel]))
    gray = processor(PIXELS, return_tensors="pt")["pixel_values"]
    assert_same(gray[:, :1], normalised(PIXELS))
    assert torch.equal(gray[:, 0], gray[:, 2])


def test_numpy_answer():
    values = FashionCNNImageProcessor()([PIXELS, PIXELS], return_tensors="np")["pixel_values"]
    assert isinstance(values, np.ndarray) and values.shape == (2, 1, 28, 28)


# Wrong input


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (None, TypeError, "NoneType"),
        (3, TypeError, "int"),
        ({}, TypeError, "dict"),
        ([[1, 2], [3, 4]], TypeError, "int"),
        ([PIXELS, None], TypeError, "NoneType"),
        ([], ValueError, "no image given"),
        ([[], []], ValueError, "no image given"),
        ("no-such-file.png", ValueError, "no-such-file.png"),
        (np.zeros((0, 28, 28)), ValueError, r"\(0, 28, 28\) has no pixels"),
        (np.zeros((28, 0)), ValueError, r"\(28, 0\) has no pixels"),
        (np.zeros(28), ValueError, r"got an array of shape \(28,\)"),
        (np.zeros((1, 1, 1, 28, 28)), ValueError, r"got an array of shape \(1, 1, 1, 28, 28\)"),
        (np.zeros((2, 28, 28, 2)), ValueError, "1, 3 or 4 channels, got 2"),
        (np.zeros((2, 2, 28, 28)), ValueError, "1, 3 or 4 channels"),
    ],
)
def test_wrong_input(images, error, message):
    with pytest.raises(error, match=message):
        pixel_values(images)


# The same numbers as in training, after saving too


@pytest.mark.parametrize("fields", [{}, {"image_size": 20, "num_channels": 3}])
def test_same_numbers_as_in_training(fields):
    config = FashionCNNConfig(**fields)
    shape = (4, config.num_channels, config.image_size, config.image_size)
    images = np.random.default_rng(2).integers(0, 256, shape, dtype=np.uint8)
    task = ImageClassificationTask(ImageClassificationArguments())
    processor = task.make_processor(load_family("fashion_cnn"), config, None)
    task.attach(SimpleNamespace(config=config), processor)
    batch = task.collate({"pixel_values": torch.from_numpy(images), "labels": torch.zeros(4, dtype=torch.int64)})
    assert_same(processor(images, return_tensors="pt")["pixel_values"], batch["pixel_values"])


def test_save_and_load(tmp_path):
    processor = FashionCNNImageProcessor(do_invert=True, size={"height": 20, "width": 20}, image_mean=[0.5])
    processor.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "preprocessor_config.json").read_text())
    assert saved["do_invert"] is True and saved["image_mean"] == [0.5]
    FashionCNNConfig().save_pretrained(tmp_path)
    for loaded in (FashionCNNImageProcessor.from_pretrained(tmp_path), AutoImageProcessor.from_pretrained(tmp_path)):
        assert type(loaded) is FashionCNNImageProcessor
        assert loaded.to_dict() == processor.to_dict()
        again = loaded(PIXELS, return_tensors="pt")["pixel_values"]
        assert torch.equal(again, processor(PIXELS, return_tensors="pt")["pixel_values"])


def test_pixels_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match="NaN or infinite"):
        FashionCNNImageProcessor()(np.full((28, 28), np.nan))


def test_a_loaded_processor_can_invert_in_a_pipeline(tmp_path):
    FashionCNNImageProcessor().save_pretrained(tmp_path)
    FashionCNNForImageClassification(FashionCNNConfig(stage_channels=[4])).save_pretrained(tmp_path)
    inverting = AutoImageProcessor.from_pretrained(tmp_path, do_invert=True)
    classify = pipeline("image-classification", model=str(tmp_path), image_processor=inverting)
    plain = pipeline("image-classification", model=str(tmp_path))
    picture = Image.fromarray((np.arange(784, dtype=np.uint32) % 251).astype(np.uint8).reshape(28, 28))
    assert classify(picture) == plain(Image.eval(picture, lambda value: 255 - value))
