"""Image classification: metrics, report, data sets and arguments of the task."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.special import softmax
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, f1_score, log_loss
from transformers.modeling_outputs import ImageClassifierOutputWithNoAttention

from zoo import FashionCNNConfig
from zoo.data.images import ImageSplit, ImageSplits
from zoo.registry import load_family, load_task
from zoo.tasks.image_classification import ImageClassificationTask, loading, smoothed_cross_entropy
from zoo.tasks.image_classification.arguments import ImageClassificationArguments
from zoo.tasks.image_classification.dataset import ImageDataset
from zoo.tasks.image_classification.metrics import calibration_bins, classification_metrics
from zoo.tasks.image_classification.report import most_confused
from zoo.training.arguments import ZooTrainingArguments
from zoo.training.trainer import Prediction

GENERATOR = np.random.default_rng(0)
LABELS = GENERATOR.integers(0, 4, 200)
LOGITS = GENERATOR.normal(size=(200, 4)) + 2 * np.eye(4)[LABELS]


def make_split(count: int = 40, classes: int = 4, seed: int = 0) -> ImageSplit:
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 256, (count, 1, 28, 28), dtype=np.uint8)
    return ImageSplit(pixels, np.arange(count) % classes)


def make_task(config: FashionCNNConfig | None = None, **fields) -> ImageClassificationTask:
    """A task as a run has it once the model is made."""
    config = config or FashionCNNConfig()
    task = ImageClassificationTask(ImageClassificationArguments(**fields))
    task.attach(SimpleNamespace(config=config), task.make_processor(load_family("fashion_cnn"), config, None))
    return task


def load(config: FashionCNNConfig | None = None, **fields):
    return ImageClassificationTask(ImageClassificationArguments(**fields)).load_data(config or FashionCNNConfig())


# Metrics


def test_metrics_against_scikit_learn():
    found = classification_metrics(LOGITS, LABELS)
    probabilities, predicted = softmax(LOGITS, axis=1), LOGITS.argmax(1)
    assert found["n"] == 200
    assert found["accuracy"] == pytest.approx(accuracy_score(LABELS, predicted))
    assert found["macro_f1"] == pytest.approx(f1_score(LABELS, predicted, average="macro"))
    assert found["nll"] == pytest.approx(log_loss(LABELS, probabilities))
    assert found["brier"] == pytest.approx(np.square(probabilities - np.eye(4)[LABELS]).sum() / 200)
    wilson = binomtest(int((predicted == LABELS).sum()), 200).proportion_ci(method="wilson")
    assert (found["accuracy_low"], found["accuracy_high"]) == pytest.approx((wilson.low, wilson.high))
    assert 0.5 < found["accuracy_low"] < found["accuracy"] < found["accuracy_high"] < 0.99


def test_metrics_by_hand():
    probabilities = np.array([[0.8, 0.2], [0.8, 0.2], [0.4, 0.6], [0.1, 0.9]])
    found = classification_metrics(np.log(probabilities), np.array([0, 1, 1, 1]))
    assert found["accuracy"] == 0.75
    assert found["nll"] == pytest.approx(-np.log([0.8, 0.2, 0.6, 0.9]).mean())
    assert found["brier"] == pytest.approx((2 * 0.2**2 + 2 * 0.8**2 + 2 * 0.4**2 + 2 * 0.1**2) / 4)
    # Confidences 0.8 (one of two right), 0.6 and 0.9 (right).
    assert found["ece"] == pytest.approx(2 / 4 * abs(0.8 - 0.5) + 1 / 4 * 0.4 + 1 / 4 * 0.1)


def test_calibration_bins_cover_every_prediction():
    bins = calibration_bins(LOGITS, LABELS)
    assert sum(b["share"] for b in bins) == pytest.approx(1)
    assert all(b["low"] <= b["confidence"] <= b["low"] + 1 / 15 + 1e-12 for b in bins)
    certain = calibration_bins(np.array([[1e4, 0.0]]), np.array([0]))  # huge logits; confidence 1 has a bin too
    assert certain == [{"low": 14 / 15, "confidence": 1.0, "accuracy": 1.0, "share": 1.0}]


@pytest.mark.parametrize(
    ("logits", "labels"), [(np.zeros((0, 4)), []), (np.zeros(4), [0] * 4), (np.zeros((3, 4)), [0, 1])]
)
def test_nothing_to_score_is_an_error(logits, labels):
    with pytest.raises(ValueError, match=r"expected \(count, classes\) logits and \(count,\) labels"):
        classification_metrics(logits, labels)


def test_training_and_record_measure_alike():
    prediction = Prediction(LOGITS.astype(np.float32), LABELS, ImageDataset(make_split(200)))
    during_training = make_task().evaluate(prediction)
    assert set(during_training) == {"accuracy", "macro_f1", "nll", "ece"}
    record = make_task().evaluate(prediction, intervals=True)
    assert record == pytest.approx(classification_metrics(LOGITS, LABELS), rel=1e-5)
    assert during_training == {name: record[name] for name in during_training}


# Report


def make_report(tmp_path, logits, labels):
    config = FashionCNNConfig(id2label=dict(enumerate(("shirt", "bag", "boot", "coat"))))
    prediction = Prediction(logits, labels, ImageDataset(make_split(len(labels))))
    return make_task().report(prediction, SimpleNamespace(config=config), tmp_path)


def test_report(tmp_path):
    # "coat" never occurs and is never predicted.
    labels, logits = LABELS % 3, LOGITS * [1, 1, 1, 0] - [0, 0, 0, 9]
    found, predicted = make_report(tmp_path, logits, labels), logits.argmax(1)
    matrix = np.array(found.tables["confusion_matrix"])
    assert matrix.tolist() == [[int(((labels == t) & (predicted == p)).sum()) for p in range(4)] for t in range(4)]
    bag = found.tables["classes"]["bag"]
    assert bag["recall"] == pytest.approx(matrix[1, 1] / matrix[1].sum())
    assert bag["precision"] == pytest.approx(matrix[1, 1] / matrix[:, 1].sum())
    assert bag["f1-score"] == pytest.approx(2 * matrix[1, 1] / (matrix[1].sum() + matrix[:, 1].sum()))
    assert bag["support"] == matrix[1].sum()
    assert found.tables["classes"]["coat"] == {"precision": 0, "recall": 0, "f1-score": 0, "support": 0}
    assert found.tables["calibration"] == calibration_bins(logits, labels)
    assert f"accuracy {(labels == predicted).mean():.4f} (95% interval" in found.text and "n = 200" in found.text
    assert set(found.plots) == {"confusion_matrix", "reliability_diagram", "confident_mistakes"}
    for path in found.plots.values():
        with Image.open(path) as plot:
            plot.verify()
            assert path.suffix == ".png" and plot.width > 200 and plot.height > 200


def test_most_confused_pairs():
    matrix = np.array([[8, 2, 0], [5, 5, 0], [0, 1, 9]])
    assert most_confused(matrix, ["a", "b", "c"]) == [
        {"true": "b", "predicted": "a", "count": 5, "share": 0.5},
        {"true": "a", "predicted": "b", "count": 2, "share": 0.2},
        {"true": "c", "predicted": "b", "count": 1, "share": 0.1},
    ]
    assert len(most_confused(matrix, ["a", "b", "c"], count=2)) == 2


@pytest.mark.parametrize("right", [True, False])
def test_report_where_everything_is_right_or_wrong(tmp_path, right):
    found = make_report(tmp_path, 5 * np.eye(4)[LABELS if right else (LABELS + 1) % 4], LABELS)
    assert len(found.tables["most_confused"]) == (0 if right else 4)
    assert ("most confused: none" in found.text) == right
    assert np.trace(found.tables["confusion_matrix"]) == (200 if right else 0)
    assert all(path.is_file() for path in found.plots.values())


def test_baseline_knows_the_class_frequencies_of_training():
    train = ImageDataset(ImageSplit(np.zeros((12, 1, 28, 28), np.uint8), np.array([1] * 9 + [0] * 3)))
    test = ImageDataset(ImageSplit(np.zeros((4, 1, 28, 28), np.uint8), np.array([1, 0, 1, 1])))
    found = make_task().baselines(train, test)["class_frequency"]
    assert found["accuracy"] == 0.75
    assert found["nll"] == pytest.approx(-(3 * np.log(10 / 14) + np.log(4 / 14)) / 4)  # counts + 1


# Label smoothing


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_label_smoothing_of_class_numbers_and_probabilities(smoothing):
    logits, labels = torch.from_numpy(LOGITS).float(), torch.from_numpy(LABELS)
    outputs = ImageClassifierOutputWithNoAttention(logits=logits)
    expected = torch.nn.functional.cross_entropy(logits, labels, label_smoothing=smoothing)
    torch.testing.assert_close(smoothed_cross_entropy(outputs, labels, smoothing=smoothing), expected)
    one_hot = torch.nn.functional.one_hot(labels, 4).float()
    torch.testing.assert_close(smoothed_cross_entropy(outputs, one_hot, smoothing=smoothing), expected)
    soft = 0.7 * one_hot + 0.3 * one_hot.roll(1, 0)
    target = (1 - smoothing) * soft + smoothing / 4
    by_hand = -(target * logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(smoothed_cross_entropy(outputs, soft, smoothing=smoothing), by_hand)


@pytest.mark.parametrize("soft", [False, True])
def test_label_smoothing_does_not_depend_on_gradient_accumulation(soft):
    logits, labels = torch.from_numpy(LOGITS).float(), torch.from_numpy(LABELS)
    labels = 0.9 * torch.nn.functional.one_hot(labels, 4) + 0.025 if soft else labels
    items = labels.ne(-100).sum()  # as the Trainer counts them
    parts = [
        smoothed_cross_entropy(ImageClassifierOutputWithNoAttention(logits=part), target, items, smoothing=0.1)
        for part, target in zip(logits.split(30), labels.split(30))
    ]
    whole = smoothed_cross_entropy(ImageClassifierOutputWithNoAttention(logits=logits), labels, smoothing=0.1)
    torch.testing.assert_close(sum(parts), whole)


def test_the_trainer_smooths_labels_by_the_task(tmp_path):
    family = load_family("fashion_cnn")
    model = family.model_classes["image_classification"](FashionCNNConfig(**family.tiny))
    rows = ImageDataset(make_split())
    for smoothing in (0.0, 0.1):
        arguments = ZooTrainingArguments(output_dir=str(tmp_path), label_smoothing_factor=smoothing, use_cpu=True)
        task = make_task(model.config)
        trainer = task.make_trainer(model=model, args=arguments, train_dataset=rows, eval_dataset=rows)
        assert getattr(trainer.compute_loss_func, "keywords", None) == ({"smoothing": 0.1} if smoothing else None)


# Data sets, batches and arguments


def test_a_batch_is_its_rows():
    dataset = ImageDataset(make_split())
    batch = dataset.__getitems__([3, 0, 7])
    rows = [dataset[row] for row in (3, 0, 7)]
    assert torch.equal(batch["pixel_values"], torch.stack([row["pixel_values"] for row in rows]))
    collate = make_task().collate
    one, other = collate(batch), collate(rows)
    assert torch.equal(one["pixel_values"], other["pixel_values"]) and torch.equal(one["labels"], other["labels"])
    assert set(one) == {"pixel_values", "labels"}


def test_only_training_batches_are_augmented():
    collate = make_task(random_shift=4, random_erasing=9, random_erasing_area=0.3, mixup=1.0).collate
    training = ImageDataset(make_split(), training=True)
    rows = list(range(40))
    changed, plain = collate(training.__getitems__(rows)), collate(training.view().__getitems__(rows))
    assert changed["labels"].shape == (40, 10) and plain["labels"].shape == (40,)
    assert not torch.allclose(changed["pixel_values"], plain["pixel_values"])
    expected = (torch.from_numpy(make_split().images) / 255 - 0.2860) / 0.3530
    torch.testing.assert_close(plain["pixel_values"], expected)
    training.set_epoch(1)
    assert not torch.equal(collate(training.__getitems__(rows))["pixel_values"], changed["pixel_values"])


def test_tta_views():
    images = np.arange(2 * 9, dtype=np.uint8).reshape(2, 1, 3, 3) + 1
    dataset = ImageDataset(ImageSplit(images, np.zeros(2, np.int64)), training=True)

    def shown(kind):
        batches = [view.__getitems__([0]) for view in make_task(test_time_augmentation=kind).views(dataset)]
        assert all(set(batch) == {"pixel_values", "labels"} for batch in batches)
        return [batch["pixel_values"][0, 0].tolist() for batch in batches]

    plain = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert shown("none") == [plain]
    assert shown("flip") == [plain, [[3, 2, 1], [6, 5, 4], [9, 8, 7]]]
    views = shown("flip_shift")
    assert views[:2] == shown("flip") and len(views) == 10
    assert views[2] == [[0, 0, 0], [1, 2, 3], [4, 5, 6]]  # down
    assert views[4] == [[4, 5, 6], [7, 8, 9], [0, 0, 0]]  # up
    assert views[6] == [[0, 1, 2], [0, 4, 5], [0, 7, 8]]  # right
    assert views[8] == [[2, 3, 0], [5, 6, 0], [8, 9, 0]]  # left
    assert [row[::-1] for row in views[8]] == views[9]


@pytest.fixture
def small_data(monkeypatch):
    """A data set of 400 training and 40 test images in the place of Fashion-MNIST."""

    def load(path=None):
        return ImageSplits(("a", "b", "c", "d"), "made up", make_split(400), test=make_split(40, seed=1))

    monkeypatch.setattr(loading, "load_fashion_mnist", load)


def test_validation_is_taken_from_training(small_data):
    data = load(validation_size=80)
    assert [(name, len(split)) for name, split in data.splits().items()] == [
        ("train", 320), ("validation", 80), ("test", 40),
    ]  # fmt: skip
    assert np.bincount(data.validation.split.labels).tolist() == [20] * 4
    assert data.train.training and not data.validation.training and not data.test.training
    assert data.model_fields == {
        "id2label": {0: "a", 1: "b", 2: "c", 3: "d"},
        "label2id": {"a": 0, "b": 1, "c": 2, "d": 3},
    }
    assert data.fingerprint["test"] == make_split(40, seed=1).fingerprint()
    assert data.source == "made up" and data.notes == {"known_release": False}
    again = load(validation_size=80, validation_seed=1)
    assert again.fingerprint["test"] == data.fingerprint["test"]
    assert again.fingerprint["validation"] != data.fingerprint["validation"]


@pytest.mark.parametrize(("size", "held_out"), [(None, 40), (0.25, 100), (60.0, 60)])
def test_how_many_images_are_held_out(small_data, size, held_out):
    assert len(load(validation_size=size).validation) == held_out


def test_a_tiny_data_set_holds_out_one_image_of_each_class():
    assert loading.validation_size(None, images=12, classes=4) == 4
    assert loading.validation_size(None, images=60_000, classes=10) == 5000


def test_sample_limits(small_data):
    limits = {"max_train_samples": 30, "max_eval_samples": 8, "max_predict_samples": 1}
    data = load(validation_size=80, **limits)
    assert {name: len(split) for name, split in data.splits().items()} == {"train": 30, "validation": 8, "test": 1}
    whole = load(validation_size=80)
    positions = [
        int(np.flatnonzero((whole.train.split.images == image).all((1, 2, 3)))[0]) for image in data.train.split.images
    ]
    assert positions[0] == 0 and positions[-1] == 319 and len(set(positions)) == 30  # spread over the file
    more = load(validation_size=80, max_train_samples=9999)
    assert more.fingerprint == whole.fingerprint


def test_data_and_model_must_fit(small_data):
    for config in ({"image_size": 32}, {"num_channels": 3}):
        with pytest.raises(ValueError, match="set image_size=28 and num_channels=1"):
            load(FashionCNNConfig(**config))
    for field in ("validation_dir", "test_dir"):
        with pytest.raises(ValueError, match="need --train_dir"):
            load(**{field: "somewhere"})
    for field in ("random_shift", "random_erasing"):
        with pytest.raises(ValueError, match=f"{field}=28 must be below image_size=28"):
            make_task(**{field: 28})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"random_flip": "sometimes"}, "random_flip='sometimes' is not one of none, random, alternate"),
        ({"test_time_augmentation": "crop"}, "test_time_augmentation='crop' is not one of none, flip, flip_shift"),
        ({"random_shift": -1}, "random_shift=-1 must be at least 0"),
        ({"cutmix": 1.1}, "cutmix=1.1 is a share of batches"),
        ({"random_erasing_area": 1.5}, "random_erasing_area=1.5 is a share of the image"),
        ({"random_erasing_area": 0.01}, "random_erasing_area=0.01 must be 0 or at least 0.02"),
        ({"random_erasing_probability": -0.1}, "random_erasing_probability=-0.1 must be at least 0"),
        ({"max_train_samples": 0}, "max_train_samples=0 must be at least 1"),
    ],
)
def test_bad_data_arguments_are_named(fields, message):
    with pytest.raises(ValueError, match=message):
        ImageClassificationArguments(**fields)


def test_the_task_is_registered_and_its_arguments_explained():
    assert load_task("image_classification") is ImageClassificationTask
    for field in dataclasses.fields(ImageClassificationArguments):
        assert field.metadata["help"].endswith("."), field.name
    names = ImageClassificationArguments.names
    assert names("used_by", "evaluation") == ["test_time_augmentation"] and names("source", "test") == ["test_dir"]
    assert {"mixup", "random_flip"} < set(names("loading", False)) and "validation_size" not in names("loading", False)
