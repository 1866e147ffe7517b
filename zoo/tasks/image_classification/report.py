"""Report of a classifier: metrics by class, confusion matrix, calibration and the most confident mistakes."""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from zoo.plotting import drawing
from zoo.tasks.base import Report

from .metrics import calibration_bins, classification_metrics


def most_confused(matrix: np.ndarray, names: list[str], count: int = 5) -> list[dict[str, Any]]:
    """The `count` largest off-diagonal cells of a confusion matrix, of shape `(true classes, predicted classes)`."""
    errors = matrix * (1 - np.eye(len(matrix), dtype=int))
    cells = np.argsort(errors, axis=None)[::-1][:count]
    pairs = [np.unravel_index(cell, errors.shape) for cell in cells if errors.flat[cell]]
    return [
        {
            "true": names[t],
            "predicted": names[p],
            "count": int(errors[t, p]),
            "share": float(errors[t, p] / matrix[t].sum()),
        }
        for t, p in pairs
    ]


def draw_confusion_matrix(matrix: np.ndarray, names: list[str], path: Path) -> None:
    """Counts by true (row) and predicted (column) class."""
    from sklearn.metrics import ConfusionMatrixDisplay

    side = max(4.0, 0.75 * len(names) + 1.5)
    with drawing(path, figsize=(side, side)) as (_, axes):
        display = ConfusionMatrixDisplay(matrix, display_labels=names)
        display.plot(ax=axes, cmap="Blues", values_format="d", xticks_rotation=45, colorbar=False)
        axes.set_title(f"Confusion matrix, {matrix.sum():,} images")


def draw_reliability(logits: np.ndarray, labels: np.ndarray, path: Path) -> None:
    """Accuracy against confidence, with the share of predictions in each bin."""
    bins = calibration_bins(logits, labels)
    metrics = classification_metrics(logits, labels)
    with drawing(path, 2, 1, figsize=(5, 6), sharex=True, height_ratios=[3, 1]) as (_, (upper, lower)):
        confidence = [b["confidence"] for b in bins]
        upper.plot([0, 1], [0, 1], color="grey", linestyle="--", label="perfectly calibrated")
        upper.plot(confidence, [b["accuracy"] for b in bins], marker="o", label="this model")
        upper.set(
            ylabel="accuracy", ylim=(0, 1.02), title=f"Reliability (expected calibration error {metrics['ece']:.3f})"
        )
        upper.legend(loc="upper left")
        lower.bar([b["low"] + 1 / 30 for b in bins], [b["share"] for b in bins], width=1 / 16)
        lower.set(xlabel="confidence", ylabel="share of images", xlim=(0, 1))


def draw_mistakes(
    images: np.ndarray, labels: np.ndarray, probabilities: np.ndarray, names: list[str], path: Path, count: int = 25
) -> None:
    """The wrong predictions that the model was most sure of. `images`: (count, channels, height, width) uint8."""
    predicted = probabilities.argmax(1)
    wrong = np.flatnonzero(predicted != labels)
    worst = wrong[np.argsort(-probabilities[wrong].max(1), kind="stable")][:count]
    columns = 5
    rows = max(1, -(-len(worst) // columns))
    with drawing(path, rows, columns, figsize=(9, 2.1 * rows + 0.6), squeeze=False) as (figure, grid):
        for axes in grid.flat:
            axes.axis("off")
        for axes, row in zip(grid.flat, worst):
            axes.imshow(np.moveaxis(images[row], 0, -1).squeeze(), cmap="gray")
            confidence = probabilities[row].max()
            axes.set_title(f"{names[predicted[row]]} {confidence:.0%}\ntrue: {names[labels[row]]}", fontsize=8)
        figure.suptitle(f"Most confident mistakes ({len(wrong):,} of {len(labels):,} images are wrong)")


def report(logits: np.ndarray, labels: np.ndarray, names: list[str], images: np.ndarray, folder: Path) -> Report:
    """Tables and plots of one evaluation; the plots go to `folder`.

    Args:
        logits (`np.ndarray` of shape `(count, classes)`): Predictions.
        labels (`np.ndarray` of shape `(count,)`): True classes.
        names: Of the classes.
        images (`np.ndarray` of shape `(count, channels, height, width)`): uint8.
        folder: An existing folder.
    """
    from sklearn.metrics import classification_report, confusion_matrix

    numbers = range(len(names))
    predicted = logits.argmax(1)
    matrix = confusion_matrix(labels, predicted, labels=list(numbers))
    options: dict[str, Any] = {"labels": list(numbers), "target_names": names, "zero_division": 0}
    by_class = classification_report(labels, predicted, output_dict=True, **options)
    metrics, confused = classification_metrics(logits, labels), most_confused(matrix, names)
    plots = {
        name: folder / f"{name}.png" for name in ("confusion_matrix", "reliability_diagram", "confident_mistakes")
    }
    draw_confusion_matrix(matrix, names, plots["confusion_matrix"])
    draw_reliability(logits, labels, plots["reliability_diagram"])
    draw_mistakes(images, labels, softmax(logits, axis=1), names, plots["confident_mistakes"])

    lines = [
        classification_report(labels, predicted, digits=4, **options),
        f"accuracy {metrics['accuracy']:.4f} (95% interval {metrics['accuracy_low']:.4f} to "
        f"{metrics['accuracy_high']:.4f}, n = {metrics['n']:,}), NLL {metrics['nll']:.4f}, "
        f"Brier {metrics['brier']:.4f}, expected calibration error {metrics['ece']:.4f}",
        "most confused: "
        + (
            "; ".join(f"{c['true']} taken for {c['predicted']} {c['count']}x ({c['share']:.1%})" for c in confused)
            or "none"
        ),
    ]
    tables = {
        "classes": {name: {key: float(value) for key, value in by_class[name].items()} for name in names},
        "confusion_matrix": matrix.tolist(),
        "most_confused": confused,
        "calibration": calibration_bins(logits, labels),
    }
    return Report(text="\n".join(lines), tables=tables, plots=plots)


__all__ = ["draw_confusion_matrix", "draw_mistakes", "draw_reliability", "most_confused", "report"]
