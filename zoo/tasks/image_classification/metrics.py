"""Classification metrics from logits, as an `evaluate` module that needs no network."""

import datasets
import evaluate
import numpy as np
from scipy.special import log_softmax
from scipy.stats import norm

_DESCRIPTION = """
Accuracy with its 95% Wilson interval, macro F1, negative log-likelihood (nats), Brier score and expected calibration
error (15 equal-width bins) of class logits.
"""
_CITATION = """
Wilson, E. B. (1927), JASA 22:209-212. Brier, G. W. (1950), Monthly Weather Review 78:1-3.
Guo, C. et al. (2017), On Calibration of Modern Neural Networks, arXiv:1706.04599.
"""
_KWARGS_DESCRIPTION = """
Args:
    predictions: (count, classes) logits.
    references: (count,) class numbers.
Returns:
    n, accuracy, accuracy_low, accuracy_high, macro_f1, nll, brier, ece.
"""


def wilson_interval(successes: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's interval for a share: stays within 0..1 and is right for shares near them."""
    z = norm.ppf(0.5 + confidence / 2)
    share = successes / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return float(centre - half), float(centre + half)


def calibration_bins(logits: np.ndarray, labels: np.ndarray, bins: int = 15) -> list[dict[str, float]]:
    """Confidence, accuracy and share of the predictions in each bin of confidence that is not empty."""
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
    """All metrics of (count, classes) logits against (count,) labels.

    Raises:
        ValueError: There is nothing to score, or the shapes do not fit.
    """
    from sklearn.metrics import f1_score

    logits, labels = np.asarray(logits, dtype=np.float64), np.asarray(labels)
    if not len(labels) or logits.ndim != 2 or len(logits) != len(labels):
        raise ValueError(
            f"expected (count, classes) logits and (count,) labels, got {logits.shape} and {labels.shape}"
        )
    log_probabilities = log_softmax(logits, axis=1)
    predicted = logits.argmax(1)
    right = int((predicted == labels).sum())
    low, high = wilson_interval(right, len(labels))
    one_hot = np.eye(logits.shape[1])[labels]
    return {
        "n": len(labels),
        "accuracy": right / len(labels),
        "accuracy_low": low,
        "accuracy_high": high,
        "macro_f1": float(f1_score(labels, predicted, average="macro", zero_division=0)),
        "nll": float(-log_probabilities[np.arange(len(labels)), labels].mean()),
        "brier": float(((np.exp(log_probabilities) - one_hot) ** 2).sum(1).mean()),
        "ece": sum(b["share"] * abs(b["confidence"] - b["accuracy"]) for b in calibration_bins(logits, labels)),
    }


class ImageClassificationMetric(evaluate.Metric):
    """`evaluate.load("zoo/tasks/image_classification/metrics.py")`, or use the class itself."""

    def _info(self) -> evaluate.MetricInfo:
        features = {"predictions": datasets.Sequence(datasets.Value("float64")), "references": datasets.Value("int64")}
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features(features),
        )

    def _compute(self, predictions, references) -> dict[str, float]:
        return classification_metrics(np.asarray(predictions), np.asarray(references))
