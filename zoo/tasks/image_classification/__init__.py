"""Image classification: labelled pictures in, a class out."""

from typing import Any

import numpy as np
from transformers import AutoImageProcessor, AutoModelForImageClassification

from zoo.tasks.base import Report, Task

from . import batches


def score(logits: np.ndarray, labels: np.ndarray, config: Any = None, dataset: Any = None) -> dict[str, Any]:
    """Accuracy with interval, macro F1, NLL, Brier and calibration error."""
    from .metrics import classification_metrics

    return classification_metrics(logits, labels)


def compute_metrics(prediction: Any) -> dict[str, float]:
    """The Trainer's hook: the same numbers, without the count and the interval."""
    metrics = score(prediction.predictions, prediction.label_ids)
    return {name: metrics[name] for name in ("accuracy", "macro_f1", "nll", "ece")}


def baselines(train: batches.ImageDataset, dataset: batches.ImageDataset) -> dict[str, dict[str, Any]]:
    """A predictor that knows only how frequent each class is in the training data."""
    labels = dataset.split.labels
    counts = np.bincount(train.split.labels, minlength=int(labels.max()) + 1) + 1.0
    return {"class_frequency": score(np.tile(np.log(counts / counts.sum()), (len(labels), 1)), labels)}


def report(*arguments: Any) -> Report:
    """Table by class, confusions, calibration and mistakes; see `report.py`."""
    from .report import report

    return report(*arguments)


TASK = Task(
    name="image_classification",
    auto_class=AutoModelForImageClassification,
    data_arguments=batches.ImageClassificationArguments,
    load_data=batches.load_data,
    build_processor=batches.build_processor,
    auto_processor=AutoImageProcessor,
    build_collator=batches.build_collator,
    evaluation_views=batches.evaluation_views,
    evaluation_fields=("test_time_augmentation",),
    compute_metrics=compute_metrics,
    best_metric="accuracy",
    score=score,
    baselines=baselines,
    report=report,
    label_smoother=batches.LabelSmoother,
)

__all__ = ["TASK"]
