"""The reader of Fashion-MNIST: every way in which its files can be wrong, and where it looks for them."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from zoo.data import fashion_mnist, images
from zoo.data.fashion_mnist import FILES, LABELS, load_fashion_mnist, read_idx, read_split

REAL = Path(fashion_mnist.SYSTEM_FOLDER)
needs_real_data = pytest.mark.skipif(
    not all((REAL / file).is_file() for files in FILES.values() for file in files),
    reason=f"needs Fashion-MNIST in {REAL}: apt-get install {fashion_mnist.SYSTEM_PACKAGE}",
)


def idx(array: np.ndarray) -> bytes:
    """The IDX form of an array of unsigned bytes."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def write(path: Path, content: bytes, **options) -> Path:
    path.write_bytes(gzip.compress(content, **options))
    return path


def make_folder(folder: Path, count: int = 6, seed: int = 0) -> Path:
    """A small data set in the form of the real one."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    for images_file, labels_file in FILES.values():
        write(folder / images_file, idx(generator.integers(0, 256, (count, 28, 28))))
        write(folder / labels_file, idx(generator.integers(0, 10, count)))
    return folder


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """A machine without the data: no ZOO_DATA, no system package, no network."""

    def no_hub(name, *arguments, **options):
        raise ConnectionError(f"offline, so {name} cannot be had")

    monkeypatch.delenv("ZOO_DATA", raising=False)
    monkeypatch.setattr(fashion_mnist, "SYSTEM_FOLDER", str(tmp_path / "system"))
    monkeypatch.setattr(fashion_mnist, "read_hub_images", no_hub)


# One file


def test_good_file(tmp_path):
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    small, large = (write(tmp_path / f"{level}.gz", idx(array), compresslevel=level, mtime=level) for level in (0, 9))
    assert small.read_bytes() != large.read_bytes()
    (one, one_digest), (other, other_digest) = read_idx(small, 3), read_idx(large, 3)
    np.testing.assert_array_equal(one, array)
    np.testing.assert_array_equal(one, other)
    assert one.dtype == np.uint8 and one.flags.writeable
    assert one_digest == other_digest and len(one_digest) == 64


GOOD = idx(np.arange(8).reshape(2, 2, 2))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file"),
        (b"\0\0", "not an IDX file"),
        (b"PNG!" + GOOD[4:], "not an IDX file of unsigned bytes .*50 4e 47 21"),
        (b"\0\0\x0d\3" + GOOD[4:], "not an IDX file of unsigned bytes"),  # 0x0d: floats
        (idx(np.arange(8)), "has 1 dimensions, expected 3; are images and labels swapped"),
        (GOOD[:10], "ends inside its header"),
        (GOOD[:16], r"header says \(2, 2, 2\), but 0 bytes follow"),
        (GOOD[:-1], r"header says \(2, 2, 2\), but 7 bytes follow"),
        (GOOD + b"\0", r"header says \(2, 2, 2\), but 9 bytes follow"),
        (GOOD[:4] + struct.pack(">3I", 2**32 - 1, 2**32 - 1, 2**32 - 1), "but 0 bytes follow"),
    ],
)
def test_bad_content(content, message, tmp_path):
    path = write(tmp_path / "file.gz", content)
    with pytest.raises(ValueError, match=message) as caught:
        read_idx(path, dimensions=3)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("damage", ["cut off", "no gzip", "impossible block", "checksum"])
def test_damaged_gzip(damage, tmp_path):
    path = write(tmp_path / "file.gz", idx(np.random.default_rng(0).integers(0, 256, (9, 28, 28))))
    content = bytearray(path.read_bytes())
    if damage == "cut off":
        del content[2000:]
    else:
        position = {"no gzip": 0, "impossible block": 10, "checksum": -8}[damage]
        content[position] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ValueError, match="file.gz: truncated or corrupt gzip file .*fetch it again"):
        read_idx(path, dimensions=3)


# Images and labels together


def test_good_split(tmp_path):
    split = read_split(make_folder(tmp_path), "train")
    assert split.images.shape == (6, 1, 28, 28) and split.images.dtype == np.uint8
    assert split.labels.shape == (6,) and split.labels.dtype == np.int64
    assert not split.is_release
    torch.from_numpy(split.images)  # warns, which is an error here, if the array must not be written to


@pytest.mark.parametrize(
    ("file", "array", "message"),
    [
        (0, np.zeros((5, 28, 28)), "holds 5 images, t10k-labels-idx1-ubyte.gz 6 labels"),
        (1, np.zeros(7), "holds 6 images, t10k-labels-idx1-ubyte.gz 7 labels"),
        (1, np.array([0, 1, 2, 10, 200, 0]), "label 10 of image 3 is not in 0..9"),
        (0, np.zeros((6, 32, 32)), "images of 32x32, not 28x28"),
    ],
)
def test_files_that_do_not_fit(file, array, message, tmp_path):
    write(make_folder(tmp_path) / FILES["test"][file], idx(array))
    read_split(tmp_path, "train")
    with pytest.raises(ValueError, match=message):
        read_split(tmp_path, "test")


def test_empty_split(tmp_path):
    with pytest.raises(ValueError, match="train-images-idx3-ubyte.gz: holds no image"):
        read_split(make_folder(tmp_path, count=0), "train")


# Where the data is


def test_order_of_the_places(nowhere, monkeypatch, tmp_path):
    def check(found, folder):
        np.testing.assert_array_equal(found.train.images[0], read_split(folder, "train").images[0])

    path, zoo_data, system = tmp_path / "own", tmp_path / "data", tmp_path / "system"
    hub = images.ImageSplits(LABELS, "the Hub", read_split(make_folder(tmp_path / "hub", seed=4), "train"))
    asked = []
    monkeypatch.setattr(fashion_mnist, "read_hub_images", lambda name: asked.append(name) or hub)
    assert load_fashion_mnist() is hub and asked == ["zalando-datasets/fashion_mnist"]
    make_folder(system, seed=3)
    found = load_fashion_mnist()
    check(found, system)
    assert "dataset-fashion-mnist" in found.source
    monkeypatch.setenv("ZOO_DATA", str(zoo_data))
    check(load_fashion_mnist(), system)
    make_folder(zoo_data / "fashion-mnist", seed=2)
    found = load_fashion_mnist()
    check(found, zoo_data / "fashion-mnist")
    assert found.source == "ZOO_DATA"
    make_folder(path, seed=1)
    found = load_fashion_mnist(str(path))
    check(found, path)
    assert "--data_dir" in found.source and str(path) not in found.source
    assert len(asked) == 1


def test_given_path_is_never_replaced(nowhere, tmp_path):
    make_folder(tmp_path / "system")
    own = make_folder(tmp_path / "own")
    (own / FILES["test"][1]).unlink()
    with pytest.raises(FileNotFoundError, match="own does not hold t10k-labels-idx1-ubyte.gz"):
        load_fashion_mnist(str(own))


@pytest.mark.parametrize("zoo_data", [None, "/some/place"])
def test_error_names_all_four_places(zoo_data, nowhere, monkeypatch, tmp_path):
    if zoo_data:
        monkeypatch.setenv("ZOO_DATA", zoo_data)
    with pytest.raises(FileNotFoundError) as caught:
        load_fashion_mnist()
    message = str(caught.value)
    places = ("--data_dir", "ZOO_DATA", str(tmp_path / "system"), "zalando-datasets/fashion_mnist")
    assert all(place in message for place in places)
    assert "apt-get install dataset-fashion-mnist" in message
    assert "offline, so zalando-datasets/fashion_mnist cannot be had" in message
    assert zoo_data is None or "/some/place/fashion-mnist" in message
    assert "\n" not in message


def test_damaged_data_is_no_reason_to_ask_the_hub(nowhere, tmp_path):
    write(make_folder(tmp_path / "system") / FILES["train"][1], b"nonsense")
    with pytest.raises(ValueError, match="not an IDX file"):
        load_fashion_mnist()


# The real data


@needs_real_data
def test_the_real_data():
    found = load_fashion_mnist()
    assert found.labels == LABELS and len(LABELS) == 10
    for split, count in ((found.train, 60_000), (found.test, 10_000)):
        assert split.images.shape == (count, 1, 28, 28)
        assert np.bincount(split.labels).tolist() == [count // 10] * 10
        assert split.is_release
    # The processor's constants are those of these pixels.
    assert found.train.images.mean() / 255 == pytest.approx(0.2860, abs=5e-5)
    assert found.train.images.std() / 255 == pytest.approx(0.3530, abs=5e-5)


@needs_real_data
def test_one_changed_pixel_is_no_release(tmp_path):
    images_file, labels_file = FILES["test"]
    (tmp_path / labels_file).symlink_to(REAL / labels_file)
    with gzip.open(REAL / images_file) as file:
        content = bytearray(file.read())
    write(tmp_path / images_file, bytes(content), compresslevel=0)
    assert read_split(tmp_path, "test").is_release
    content[-1] ^= 1
    write(tmp_path / images_file, bytes(content), compresslevel=0)
    assert not read_split(tmp_path, "test").is_release
