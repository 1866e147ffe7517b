"""Image classification: numbers, report, data sets and arguments of the task."""

import dataclasses
from pathlib import Path

import evaluate
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.special import softmax
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, f1_score, log_loss
from transformers import EvalPrediction
from transformers.modeling_outputs import ImageClassifierOutputWithNoAttention

import zoo.tasks.image_classification.batches as batches
from zoo import FashionCNNConfig
from zoo.data.images import ImageSplit, ImageSplits
from zoo.registry import load_family, load_task
from zoo.tasks.image_classification import TASK, metrics
from zoo.tasks.image_classification.batches import (
    ImageClassificationArguments,
    ImageDataset,
    LabelSmoother,
    build_collator,
    build_processor,
    load_data,
)
from zoo.tasks.image_classification.metrics import ImageClassificationMetric, calibration_bins, classification_metrics
from zoo.tasks.image_classification.report import most_confused, report

GENERATOR = np.random.default_rng(0)
LABELS = GENERATOR.integers(0, 4, 200)
LOGITS = GENERATOR.normal(size=(200, 4)) + 2 * np.eye(4)[LABELS]


def make_split(count: int = 40, classes: int = 4, seed: int = 0) -> ImageSplit:
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 256, (count, 1, 28, 28), dtype=np.uint8)
    return ImageSplit(pixels, np.arange(count) % classes)


# Metrics


def test_metrics_against_scikit_learn():
    found = classification_metrics(LOGITS, LABELS)
    probabilities, predicted = softmax(LOGITS, axis=1), LOGITS.argmax(1)
    assert found["n"] == 200
    assert found["accuracy"] == pytest.approx(accuracy_score(LABELS, predicted))
    assert found["macro_f1"] == pytest.approx(f1_score(LABELS, predicted, average="macro"))
    assert found["nll"] == pytest.approx(log_loss(LABELS, probabilities))
    assert found["brier"] == pytest.approx(np.square(probabilities - np.eye(4)[LABELS]).sum() / 200)
    assert 0.5 < found["accuracy"] < 0.99


@pytest.mark.parametrize(("right", "n"), [(0, 10), (7, 10), (10, 10), (9_500, 10_000)])
def test_wilson_interval_against_scipy(right, n):
    expected = binomtest(right, n).proportion_ci(confidence_level=0.95, method="wilson")
    low, high = metrics.wilson_interval(right, n)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    logits = np.eye(2)[[0] * right + [1] * (n - right)]
    found = classification_metrics(logits, np.zeros(n, int))
    assert (found["accuracy_low"], found["accuracy_high"]) == (low, high)


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
    certain = calibration_bins(np.array([[1000.0, 0.0]]), np.array([0]))  # confidence 1 has a bin too
    assert certain == [{"low": 14 / 15, "confidence": 1.0, "accuracy": 1.0, "share": 1.0}]


def test_huge_logits_stay_finite():
    found = classification_metrics(np.array([[1e4, 0.0], [0.0, 1e4]]), np.array([0, 0]))
    assert found["nll"] == pytest.approx(5e3) and found["brier"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("logits", "labels"), [(np.zeros((0, 4)), []), (np.zeros(4), [0] * 4), (np.zeros((3, 4)), [0, 1])]
)
def test_nothing_to_score_is_an_error(logits, labels):
    with pytest.raises(ValueError, match=r"expected \(count, classes\) logits and \(count,\) labels"):
        classification_metrics(logits, labels)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("how", ["class", "path"])
def test_evaluate_module_works_offline(how, dtype):
    metric = ImageClassificationMetric() if how == "class" else evaluate.load(str(Path(metrics.__file__)))
    found = metric.compute(predictions=LOGITS.astype(dtype), references=LABELS)
    assert found == pytest.approx(classification_metrics(LOGITS.astype(dtype), LABELS))


def test_metrics_of_a_trainer():
    found = TASK.compute_metrics(EvalPrediction(predictions=LOGITS.astype(np.float32), label_ids=LABELS))
    assert TASK.best_metric in found
    expected = classification_metrics(LOGITS, LABELS)
    assert found == pytest.approx({name: expected[name] for name in found}, rel=1e-5)


# Report


def make_report(tmp_path, logits, labels, classes=4):
    config = FashionCNNConfig(id2label=dict(enumerate(("shirt", "bag", "boot", "coat")[:classes])))
    dataset = ImageDataset(make_split(len(labels)))
    return report(logits, labels, config, dataset, tmp_path)


def test_report(tmp_path):
    found = make_report(tmp_path, LOGITS, LABELS)
    predicted = LOGITS.argmax(1)
    matrix = np.array(found.tables["confusion_matrix"])
    assert matrix.tolist() == [[int(((LABELS == t) & (predicted == p)).sum()) for p in range(4)] for t in range(4)]
    bag = found.tables["classes"]["bag"]
    assert bag["recall"] == pytest.approx(matrix[1, 1] / matrix[1].sum())
    assert bag["precision"] == pytest.approx(matrix[1, 1] / matrix[:, 1].sum())
    assert bag["f1-score"] == pytest.approx(2 * matrix[1, 1] / (matrix[1].sum() + matrix[:, 1].sum()))
    assert bag["support"] == matrix[1].sum()
    assert found.tables["calibration"] == calibration_bins(LOGITS, LABELS)
    assert f"accuracy {(LABELS == predicted).mean():.4f} (95% interval" in found.text
    assert "n = 200" in found.text
    assert set(found.pictures) == {"confusion_matrix", "reliability_diagram", "confident_mistakes"}
    for path in found.pictures.values():
        with Image.open(path) as picture:
            picture.verify()
            assert path.suffix == ".png" and picture.width > 200 and picture.height > 200


def test_most_confused_pairs():
    matrix = np.array([[8, 2, 0], [5, 5, 0], [0, 1, 9]])
    assert most_confused(matrix, ["a", "b", "c"]) == [
        {"true": "b", "predicted": "a", "count": 5, "share": 0.5},
        {"true": "a", "predicted": "b", "count": 2, "share": 0.2},
        {"true": "c", "predicted": "b", "count": 1, "share": 0.1},
    ]
    assert len(most_confused(matrix, ["a", "b", "c"], count=2)) == 2


def test_report_without_mistakes(tmp_path):
    found = make_report(tmp_path, 5 * np.eye(4)[LABELS], LABELS)
    assert found.tables["most_confused"] == []
    assert "most confused: none" in found.text
    assert all(path.is_file() for path in found.pictures.values())


def test_report_with_a_class_that_never_occurs(tmp_path):
    labels = LABELS % 3
    found = make_report(tmp_path, LOGITS * [1, 1, 1, 0] - [0, 0, 0, 9], labels)
    assert found.tables["classes"]["coat"] == {"precision": 0, "recall": 0, "f1-score": 0, "support": 0}
    assert np.array(found.tables["confusion_matrix"]).shape == (4, 4)


def test_report_where_everything_is_wrong(tmp_path):
    found = make_report(tmp_path, 5 * np.eye(4)[(LABELS + 1) % 4], LABELS)
    assert len(found.tables["most_confused"]) == 4
    assert np.trace(found.tables["confusion_matrix"]) == 0


def test_baseline_knows_the_class_frequencies_of_training():
    train = ImageDataset(ImageSplit(np.zeros((10, 1, 28, 28), np.uint8), np.array([1] * 7 + [0] * 3)))
    test = ImageDataset(ImageSplit(np.zeros((4, 1, 28, 28), np.uint8), np.array([1, 0, 1, 1])))
    found = TASK.baselines(train, test)["class_frequency"]
    assert found["accuracy"] == 0.75
    assert found["nll"] == pytest.approx(-(3 * np.log(8 / 12) + np.log(4 / 12)) / 4)  # counts + 1


# Label smoothing


@pytest.mark.parametrize("epsilon", [0.0, 0.1])
def test_label_smoother(epsilon):
    logits, labels = torch.from_numpy(LOGITS).float(), torch.from_numpy(LABELS)
    outputs = ImageClassifierOutputWithNoAttention(logits=logits)
    hard = LabelSmoother(epsilon)(outputs, labels)
    expected = torch.nn.functional.cross_entropy(logits, labels, label_smoothing=epsilon)
    torch.testing.assert_close(hard, expected)
    one_hot = torch.nn.functional.one_hot(labels, 4).float()
    torch.testing.assert_close(LabelSmoother(epsilon)(outputs, one_hot), expected)
    soft = 0.7 * one_hot + 0.3 * one_hot.roll(1, 0)
    target = (1 - epsilon) * soft + epsilon / 4
    by_hand = -(target * logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(TASK.label_smoother(epsilon)(outputs, soft, shift_labels=False), by_hand)


# Data sets, batches and arguments


def test_a_batch_is_its_rows():
    dataset = ImageDataset(make_split())
    batch = dataset.__getitems__([3, 0, 7])
    rows = [dataset[row] for row in (3, 0, 7)]
    assert torch.equal(batch["pixel_values"], torch.stack([row["pixel_values"] for row in rows]))
    collator = batches.ImageCollator([0.286], [0.353], batches.Augmentation())
    one, other = collator(batch), collator(rows)
    assert torch.equal(one["pixel_values"], other["pixel_values"]) and torch.equal(one["labels"], other["labels"])
    assert set(one) == {"pixel_values", "labels"}


def test_only_training_batches_are_augmented():
    config, arguments = FashionCNNConfig(), ImageClassificationArguments(random_shift=4, random_erasing=9, mixup=1.0)
    processor = build_processor(load_family("fashion_cnn"), config)
    collator = build_collator(processor, arguments, config, seed=0)
    training = ImageDataset(make_split(), training=True)
    rows = list(range(40))
    changed, plain = collator(training.__getitems__(rows)), collator(training.unaugmented().__getitems__(rows))
    assert changed["labels"].shape == (40, 10) and plain["labels"].shape == (40,)
    assert not torch.allclose(changed["pixel_values"], plain["pixel_values"])
    expected = (torch.from_numpy(make_split().images) / 255 - 0.2860) / 0.3530
    torch.testing.assert_close(plain["pixel_values"], expected)
    training.set_epoch(1)
    assert not torch.equal(collator(training.__getitems__(rows))["pixel_values"], changed["pixel_values"])


def test_evaluation_views():
    dataset = ImageDataset(make_split(), training=True)
    (plain,) = TASK.evaluation_views(dataset, ImageClassificationArguments())
    first, second = TASK.evaluation_views(dataset, ImageClassificationArguments(test_time_augmentation="flip"))
    pixels = torch.from_numpy(make_split().images)
    for view, expected in ((plain, pixels), (first, pixels), (second, pixels.flip(-1))):
        batch = view.__getitems__(list(range(40)))
        assert torch.equal(batch["pixel_values"], expected)
        assert set(batch) == {"pixel_values", "labels"}


@pytest.fixture
def small_data(monkeypatch):
    """A data set of 400 training and 40 test images in the place of Fashion-MNIST."""

    def load(path=None):
        return ImageSplits(make_split(400), ("a", "b", "c", "d"), "made up", test=make_split(40, seed=1))

    monkeypatch.setattr(batches, "load_fashion_mnist", load)


def test_validation_is_taken_from_training(small_data):
    data = load_data(ImageClassificationArguments(validation_size=80), FashionCNNConfig())
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
    again = load_data(ImageClassificationArguments(validation_size=80, validation_seed=1), FashionCNNConfig())
    assert again.fingerprint["test"] == data.fingerprint["test"]
    assert again.fingerprint["validation"] != data.fingerprint["validation"]


def test_sample_limits(small_data):
    limits = {"max_train_samples": 30, "max_eval_samples": 8, "max_predict_samples": 1}
    data = load_data(ImageClassificationArguments(validation_size=80, **limits), FashionCNNConfig())
    assert {name: len(split) for name, split in data.splits().items()} == {"train": 30, "validation": 8, "test": 1}
    whole = load_data(ImageClassificationArguments(validation_size=80), FashionCNNConfig())
    positions = [
        int(np.flatnonzero((whole.train.split.images == image).all((1, 2, 3)))[0]) for image in data.train.split.images
    ]
    assert positions[0] == 0 and positions[-1] == 319 and len(set(positions)) == 30  # spread over the file
    more = load_data(ImageClassificationArguments(validation_size=80, max_train_samples=9999), FashionCNNConfig())
    assert more.fingerprint == whole.fingerprint


@pytest.mark.parametrize("fields", [{"image_size": 32}, {"num_channels": 3}])
def test_fashion_mnist_fits_one_shape_only(fields, small_data):
    with pytest.raises(ValueError, match="set image_size=28 and num_channels=1"):
        load_data(ImageClassificationArguments(), FashionCNNConfig(**fields))


@pytest.mark.parametrize("field", ["validation_dir", "test_dir"])
def test_folders_without_a_training_folder(field):
    with pytest.raises(ValueError, match="need --train_dir"):
        load_data(ImageClassificationArguments(**{field: "somewhere"}), FashionCNNConfig())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"random_flip": "sometimes"}, "random_flip='sometimes' is not one of none, random, alternate"),
        ({"test_time_augmentation": "crop"}, "test_time_augmentation='crop' is not one of none, flip"),
        ({"random_shift": -1}, "random_shift=-1 must not be negative"),
        ({"random_erasing": -1}, "random_erasing=-1"),
        ({"mixup": -0.1}, "mixup=-0.1"),
        ({"cutmix": -0.1}, "cutmix=-0.1"),
        ({"cutmix": 1.1}, "cutmix=1.1 is a share of batches"),
        ({"max_train_samples": 0}, "max_train_samples=0 must be at least 1"),
        ({"max_eval_samples": -5}, "max_eval_samples=-5"),
        ({"max_predict_samples": 0}, "max_predict_samples=0"),
    ],
)
def test_bad_data_arguments_are_named(fields, message):
    with pytest.raises(ValueError, match=message):
        ImageClassificationArguments(**fields)


def test_the_task_is_registered_and_its_arguments_explained():
    assert load_task("image_classification") is TASK
    for field in dataclasses.fields(TASK.data_arguments):
        assert field.metadata["help"].endswith("."), field.name
