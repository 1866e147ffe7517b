"""Shared fixtures: a tiny data set in the files of Fashion-MNIST, recipes for it, and a finished run."""

import gzip
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
import yaml

# Before anything imports the Hub's client, which reads them then: no network, and no trace outside a temporary folder.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="zoo-tests-")
os.environ["MPLBACKEND"] = "Agg"
# For the few tests that name it. xdist's workers inherit the environment that is left here.
REAL_DATA = os.environ.pop("ZOO_DATA", None) or os.environ.get("ZOO_REAL_DATA")
if REAL_DATA:
    os.environ["ZOO_REAL_DATA"] = REAL_DATA

import zoo  # noqa: E402, F401  registers the families with transformers

# Files that take more than half a minute, the longest first. Several processes get whole files in this order
# (scripts/test.sh), so that none of them works alone through a long file at the end.
LONG_FILES = (
    "test_lessons.py",
    "tuning/test_search.py",
    "tasks/test_new_pair.py",
    "training/test_run.py",
    "tuning/test_study.py",
    "test_contract.py",
    "tasks/test_replay.py",
    "test_contract_onnx.py",
    "tuning/test_speech.py",
    "test_docs.py",
    "export/test_onnx.py",
    "hub/test_publish_models.py",
    "data/test_synthetic_speech.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first."""
    place = {Path(__file__).parent / name: number for number, name in enumerate(LONG_FILES)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


def write_idx(path: Path, array: np.ndarray) -> None:
    """A gzipped IDX file of unsigned bytes."""
    header = b"\x00\x00\x08" + bytes([array.ndim]) + np.array(array.shape, ">u4").tobytes()
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(header + array.astype(np.uint8).tobytes())


def write_fashion_mnist(folder: Path, train: int, test: int) -> Path:
    """Four IDX files of images whose class shows as a bright row, easy to learn."""
    random = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    for prefix, count in (("train", train), ("t10k", test)):
        labels = np.arange(count) % 10
        images = random.integers(0, 80, (count, 28, 28))
        for image, label in zip(images, labels):
            image[2 * label + 4 : 2 * label + 6, 4:24] = 255
        write_idx(folder / f"{prefix}-images-idx3-ubyte.gz", images)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", labels)
    return folder


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory) -> Path:
    """240 training and 60 test images in Fashion-MNIST's files."""
    return write_fashion_mnist(tmp_path_factory.mktemp("data"), train=240, test=60)


@pytest.fixture(scope="session")
def finished(tmp_path_factory, tiny_data) -> Path:
    """A folder with a recipe, tiny.yaml, and its finished run."""
    from zoo.commands.train import main as train

    folder = tmp_path_factory.mktemp("finished")
    recipe = {
        "family": "fashion_cnn",
        "task": "image_classification",
        "data": {"data_dir": str(tiny_data), "validation_size": 40, "test_time_augmentation": "flip"},
        "model": {"stage_channels": [8, 8], "pool_position": "first", "global_pooling": "flatten"},
        "training": {"num_train_epochs": 8, "per_device_train_batch_size": 20, "learning_rate": 0.02, "use_cpu": True},
        "publish": {
            "title": "A Title",
            "license": "apache-2.0",
            "summary": "What it is.",
            "limits": ["Knows ten classes only."],
            "language": "en",
            "datasets": ["org/data"],
        },
    }
    (folder / "tiny.yaml").write_text(yaml.safe_dump(recipe))
    assert train([str(folder / "tiny.yaml"), "--output_dir", str(folder / "run"), "--disable_tqdm", "true"]) == 0
    return folder


@pytest.fixture
def tiny_recipe(tmp_path, tiny_data) -> Path:
    """A recipe that trains in a second or two and uses every moving part: Muon, average, dropout, augmentation."""
    recipe = {
        "family": "fashion_cnn",
        "task": "image_classification",
        "data": {
            "data_dir": str(tiny_data),
            "validation_size": 40,
            "random_shift": 1,
            "random_flip": "random",
            "random_erasing": 4,
        },
        "model": {
            "stem_channels": 4,
            "stage_channels": [8, 8],
            "convs_per_stage": 2,
            "pool_position": "first",
            "residual": True,
            "classifier_dropout": 0.1,
        },
        "training": {
            "num_train_epochs": 2,
            "per_device_train_batch_size": 40,
            "learning_rate": "1e-2",
            "muon_learning_rate": 0.02,
            "label_smoothing_factor": 0.1,
            "ema_decay": 0.9,
            "dataloader_drop_last": True,
            "per_device_eval_batch_size": 32,
            "use_cpu": True,
            "disable_tqdm": True,
        },
        "publish": {"title": "Tiny", "license": "apache-2.0", "tags": ["test"]},
    }
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path


@pytest.fixture
def real_data(monkeypatch) -> Path | None:
    """The folder that ZOO_DATA named when the tests began, set again for this test; None if it named none."""
    if REAL_DATA:
        monkeypatch.setenv("ZOO_DATA", REAL_DATA)
    return Path(REAL_DATA) if REAL_DATA else None
