"""Classification metrics from logits, as plain functions."""

import numpy as np
from scipy.special import log_softmax


def calibration_bins(logits: np.ndarray, labels: np.ndarray, bins: int = 15) -> list[dict[str, float]]:
    """Confidence, accuracy and share of the predictions in each non-empty bin of confidence (Guo et al., 2017).

    Args:
        logits (`np.ndarray` of shape `(count, classes)`): Predictions.
        labels (`np.ndarray` of shape `(count,)`): True classes.
        bins: Number of bins of equal width.
    """
    probabilities = np.exp(log_softmax(logits, axis=1))
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    number = np.minimum((confidence * bins).astype(int), bins - 1)
    return [
        {
            "low": b / bins,
            "confidence": float(confidence[number == b].mean()),
            "accuracy": float(right[number == b].mean()),
            "share": float((number == b).mean()),
        }
        for b in range(bins)
        if (number == b).any()
    ]


def classification_metrics(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Accuracy with its 95% Wilson interval, macro F1, NLL (nats), Brier score and expected calibration error.

    Args:
        logits (`np.ndarray` of shape `(count, classes)`): Predictions.
        labels (`np.ndarray` of shape `(count,)`): True classes.

    Raises:
        ValueError: The arrays are empty, or their shapes do not fit.
    """
    from scipy.stats import binomtest
    from sklearn.metrics import f1_score

    logits, labels = np.asarray(logits, dtype=np.float64), np.asarray(labels)
    if not len(labels) or logits.ndim != 2 or len(logits) != len(labels):
        raise ValueError(
            f"expected (count, classes) logits and (count,) labels, got {logits.shape} and {labels.shape}"
        )
    log_probabilities = log_softmax(logits, axis=1)
    predicted = logits.argmax(1)
    right = int((predicted == labels).sum())
    interval = binomtest(right, len(labels)).proportion_ci(confidence_level=0.95, method="wilson")
    one_hot = np.eye(logits.shape[1])[labels]
    return {
        "n": len(labels),
        "accuracy": right / len(labels),
        "accuracy_low": float(interval.low),
        "accuracy_high": float(interval.high),
        "macro_f1": float(f1_score(labels, predicted, average="macro", zero_division=0)),
        "nll": float(-log_probabilities[np.arange(len(labels)), labels].mean()),
        "brier": float(((np.exp(log_probabilities) - one_hot) ** 2).sum(1).mean()),
        "ece": sum(b["share"] * abs(b["confidence"] - b["accuracy"]) for b in calibration_bins(logits, labels)),
    }


__all__ = ["calibration_bins", "classification_metrics"]
