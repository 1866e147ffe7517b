"""Splits of labelled images, and readers for own folders and Hub data sets."""

from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image

from zoo.data.images import ImageSplit, read_hub_images, read_image_folders, stratified_split
from zoo.models.fashion_cnn import FashionCNNConfig
from zoo.tasks.image_classification import ImageClassificationArguments, ImageClassificationTask


@pytest.fixture(autouse=True)
def no_progress_bars():
    datasets.disable_progress_bars()


def numbered_split(per_class=(60, 30, 10)) -> ImageSplit:
    """Images whose first two pixels hold their number, classes mixed."""
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(per_class)), per_class))
    pixels = np.zeros((len(labels), 1, 2, 2), np.uint8)
    pixels[:, 0, 0, 0] = np.arange(len(labels))
    return ImageSplit(pixels, labels, is_release=True)


def numbers(split: ImageSplit) -> list[int]:
    return split.images[:, 0, 0, 0].tolist()


def picture(brightness: int, size: tuple[int, int] = (28, 28), mode: str = "L") -> Image.Image:
    return Image.new("L", size, brightness).convert(mode)


def make_folder(folder: Path, classes=("bag", "coat"), count: int = 2, **options) -> str:
    """Image `i` of class `c` has the brightness 100 * c + i."""
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for image in range(count):
            picture(100 * number + image, **options).save(folder / name / f"{image}.png")
    return str(folder)


# Splits


def test_stratified_split():
    whole = numbered_split()
    rest, held_out = stratified_split(whole, 20, seed=1)
    assert np.bincount(held_out.labels).tolist() == [12, 6, 2]
    assert rest.is_release and held_out.is_release
    assert sorted(numbers(rest) + numbers(held_out)) == list(range(100))
    for part in (rest, held_out):
        assert numbers(part) == sorted(numbers(part))  # in the order of the file
        np.testing.assert_array_equal(part.labels, whole.labels[numbers(part)])
    again, other = (numbers(stratified_split(whole, 20, seed)[1]) for seed in (1, 2))
    assert numbers(held_out) == again != other


@pytest.mark.parametrize("size", [0, 2, 98, 1000])
def test_impossible_split(size):
    with pytest.raises(ValueError, match=f"validation_size={size} of 100 training images: give 3 to 97"):
        stratified_split(numbered_split(), size, seed=0)


def test_fingerprint():
    split = numbered_split()
    assert split.fingerprint() == numbered_split().fingerprint()
    other_pixel, other_label = numbered_split(), numbered_split()
    other_pixel.images[-1, -1, -1, -1] += 1
    other_label.labels[0] = 2 - other_label.labels[0] // 2
    other_shape = ImageSplit(split.images.reshape(-1, 1, 1, 4), split.labels)
    order = np.arange(100)[::-1]
    variants = [split, other_pixel, other_label, other_shape, split.take(order)]
    assert len({variant.fingerprint() for variant in variants}) == len(variants)
    assert split.take(order).take(order).fingerprint() == split.fingerprint()  # whatever the memory layout


# Own folders


def test_image_folders(tmp_path):
    found = read_image_folders(
        make_folder(tmp_path / "train", count=3),
        make_folder(tmp_path / "validation", count=1),
        make_folder(tmp_path / "test", count=2),
    )
    assert found.labels == ("bag", "coat")
    assert found.train.images.shape == (6, 1, 28, 28) and found.train.images.dtype == np.uint8
    assert found.train.labels.tolist() == [0, 0, 0, 1, 1, 1] and found.train.labels.dtype == np.int64
    assert found.train.images[:, 0, 5, 5].tolist() == [0, 1, 2, 100, 101, 102]
    assert (len(found.validation), len(found.test)) == (2, 4)


def test_names_of_files_and_classes_mean_nothing(tmp_path):
    make_folder(tmp_path, classes=("dress", "test", "train"), count=0)
    for name in ("train_1.png", "test-2.png", "validation.PNG", "plain.jpg"):
        for folder in ("dress", "test", "train"):
            picture(7).save(tmp_path / folder / name)
    found = read_image_folders(str(tmp_path))
    assert found.labels == ("dress", "test", "train") and found.validation is found.test is None
    assert np.bincount(found.train.labels).tolist() == [4, 4, 4]


def test_other_files_are_passed_over(tmp_path):
    make_folder(tmp_path, count=1)
    (tmp_path / "bag" / "back").mkdir()
    picture(50).save(tmp_path / "bag" / "back" / "deep.png")
    (tmp_path / ".cache").mkdir()
    (tmp_path / "metadata.csv").write_text("file_name,price\nbag/0.png,3\n")
    (tmp_path / "bag" / "notes.txt").write_text("my bags")
    (tmp_path / "bag" / "._0.png").write_bytes(b"macOS leaves these")
    found = read_image_folders(str(tmp_path))
    assert found.labels == ("bag", "coat")
    assert found.train.labels.tolist() == [0, 0, 1]


def test_colours_and_sizes(tmp_path):
    make_folder(tmp_path, size=(40, 20), mode="RGB")
    red = Image.new("RGB", (12, 12), (255, 0, 0))
    red.save(tmp_path / "bag" / "red.png")
    gray = read_image_folders(str(tmp_path), image_size=12).train
    assert gray.images.shape == (5, 1, 12, 12)
    assert gray.images[2].min() == gray.images[2].max() == 76  # 0.299 * 255
    colours = read_image_folders(str(tmp_path), image_size=12, grayscale=False).train
    assert colours.images.shape == (5, 3, 12, 12)
    assert colours.images[2, :, 0, 0].tolist() == [255, 0, 0]


def test_transparent_and_deep_images(tmp_path):
    make_folder(tmp_path, count=1)
    Image.new("RGBA", (28, 28), (255, 255, 255, 0)).save(tmp_path / "bag" / "1.png")
    Image.fromarray(np.full((28, 28), 128 * 257, np.uint16)).save(tmp_path / "bag" / "2.png")
    assert read_image_folders(str(tmp_path)).train.images[1:3, 0, 0, 0].tolist() == [0, 128]


def test_a_test_folder_alone(tmp_path):
    """To evaluate a trained model on; its classes are compared with the model's."""
    make_folder(tmp_path, count=2)
    task = ImageClassificationTask(ImageClassificationArguments(test_dir=str(tmp_path), dataset_name=None))
    found = task.load_data(FashionCNNConfig())
    assert found.train is found.validation is None and len(found.test) == 2 * len(found.model_fields["id2label"])
    assert [*found.fingerprint] == ["test"] and found.source == str(tmp_path)


def test_folders_that_cannot_be_used(tmp_path):
    train, other = make_folder(tmp_path / "train"), make_folder(tmp_path / "test", classes=("bag", "boot"))
    (tmp_path / "flat").mkdir()
    for name, message in (
        ("nowhere", "--test_dir .*nowhere is not a folder"),
        ("flat", "one sub-folder of images per class, found none"),
        ("test", "test has the classes bag, boot, but .*train has bag, coat"),
    ):
        with pytest.raises((FileNotFoundError, ValueError), match=message):
            read_image_folders(train, test_dir=str(tmp_path / name))
    (tmp_path / "test/empty").mkdir()
    with pytest.raises(ValueError, match="empty: this class has no image"):
        read_image_folders(other)


@pytest.mark.parametrize("keep", [0, 20, 100])
def test_damaged_image_is_named(keep, tmp_path):
    make_folder(tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
    path = tmp_path / "coat" / "0.png"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"coat/0\.png is not a readable image .*: replace or delete it"):
        read_image_folders(str(tmp_path))


# Data sets in the form of the Hub


def write_hub_dataset(folder: Path, splits=("train", "test"), labels=(0, 1, 1), names=("bag", "coat")) -> str:
    kind = datasets.ClassLabel(names=list(names)) if names else datasets.Value("int64")
    features = datasets.Features({"picture": datasets.Image(), "kind": kind})
    folder.mkdir()
    for split in splits:
        pictures = [picture(10 * row, size=(30, 30)) for row in range(len(labels))]
        rows = datasets.Dataset.from_dict({"picture": pictures, "kind": list(labels)}, features=features)
        rows.to_parquet(folder / f"{split}-00000-of-00001.parquet")
    return str(folder)


COLUMNS = {"image_column": "picture", "label_column": "kind"}


def test_hub_images(tmp_path):
    name = write_hub_dataset(tmp_path / "garments", splits=("train", "validation", "test"))
    found = read_hub_images(name, **COLUMNS, image_size=20)
    assert found.labels == ("bag", "coat") and found.source == name
    for split in (found.train, found.validation, found.test):
        assert split.images.shape == (3, 1, 20, 20)
        assert split.images[:, 0, 3, 3].tolist() == [0, 10, 20]
        assert split.labels.tolist() == [0, 1, 1]
    assert read_hub_images(name, **COLUMNS, grayscale=False).train.images.shape == (3, 3, 28, 28)


@pytest.mark.parametrize(
    ("column", "flag"), [("image_column", "--image_column_name"), ("label_column", "--label_column_name")]
)
def test_missing_column(column, flag, tmp_path):
    name = write_hub_dataset(tmp_path / "garments")
    with pytest.raises(ValueError, match=f"no column 'colour'; it has picture, kind: choose one with {flag}"):
        read_hub_images(name, **COLUMNS | {column: "colour"})


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"names": None}, "column 'kind' holds .*, not class labels"),
        ({"labels": (0, -1, 1)}, "image 1 of train has the label -1"),
        ({"splits": ("test",)}, "has no train split; it has test"),
    ],
)
def test_data_sets_that_cannot_be_used(fields, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        read_hub_images(write_hub_dataset(tmp_path / "garments", **fields), **COLUMNS)
