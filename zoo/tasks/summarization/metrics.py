"""Summary metrics from texts, as an `evaluate` module that needs no network.

ROUGE-1, ROUGE-2 and ROUGE-L (F measure, in 0..100) of Google's rouge-score: words in lower case, split by everything
but a-z and 0-9, English stems. Means over texts; intervals are percentiles of 1,000 bootstrap samples of the texts.
"""

from collections.abc import Sequence
from typing import Any

import datasets
import evaluate
import numpy as np

_DESCRIPTION = """
ROUGE-1, ROUGE-2 and ROUGE-L of summaries, with bootstrap intervals.
"""
_CITATION = """
Lin, C.-Y. (2004), ROUGE: A Package for Automatic Evaluation of Summaries, ACL workshop.
"""
_KWARGS_DESCRIPTION = """
Args:
    predictions: Summaries.
    references: One reference each.
    use_stemmer: Whether words that differ in their English endings are equal.
Returns:
    n, rouge1, rouge2, rougeL, each with _low and _high, length_ratio (of words).
"""
NAMES = ("rouge1", "rouge2", "rougeL")
SAMPLES = 1000


def rouge_scores(
    predictions: Sequence[str], references: Sequence[str], use_stemmer: bool = True
) -> dict[str, np.ndarray]:
    """Name -> (texts,) F measures in 0..100.

    Raises:
        ValueError: There is nothing to score, or the numbers of texts differ.
    """
    from rouge_score.rouge_scorer import RougeScorer

    if not len(predictions) or len(predictions) != len(references):
        raise ValueError(f"expected as many summaries as references, got {len(predictions)} and {len(references)}")
    scorer = RougeScorer(list(NAMES), use_stemmer=use_stemmer)
    found = [scorer.score(reference, prediction) for prediction, reference in zip(predictions, references)]
    return {name: np.array([100 * row[name].fmeasure for row in found]) for name in NAMES}


def bootstrap(values: np.ndarray, seed: int = 12345) -> tuple[float, float]:
    """The 2.5% and 97.5% percentiles of the mean over samples with replacement."""
    random = np.random.default_rng(seed)
    means = [values[random.integers(0, len(values), len(values))].mean() for _ in range(SAMPLES)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def summarization_metrics(
    predictions: Sequence[str], references: Sequence[str], use_stemmer: bool = True
) -> dict[str, Any]:
    """All metrics; see the module."""
    found: dict[str, Any] = {"n": len(predictions)}
    for name, values in rouge_scores(predictions, references, use_stemmer).items():
        found[name] = float(values.mean())
        found[f"{name}_low"], found[f"{name}_high"] = bootstrap(values)
    words = [sum(len(text.split()) for text in texts) for texts in (predictions, references)]
    found["length_ratio"] = words[0] / max(words[1], 1)
    return found


class SummarizationMetric(evaluate.Metric):
    """`evaluate.load("zoo/tasks/summarization/metrics.py")`, or use the class itself."""

    def _info(self) -> evaluate.MetricInfo:
        texts = datasets.Value("string")
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features({"predictions": texts, "references": texts}),
        )

    def _compute(self, predictions, references, use_stemmer: bool = True) -> dict[str, Any]:
        return summarization_metrics(predictions, references, use_stemmer)
