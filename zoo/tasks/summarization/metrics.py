"""ROUGE-1, ROUGE-2 and ROUGE-L of summaries, with bootstrap intervals.

F measures in 0..100 of Google's rouge-score (Lin, 2004): words in lower case, split by everything but a-z and 0-9,
English stems. Means over texts; intervals are percentiles of 1,000 bootstrap samples of the texts.
"""

from collections.abc import Sequence

import numpy as np

NAMES = ("rouge1", "rouge2", "rougeL")
SAMPLES = 1000


def rouge_scores(predictions: Sequence[str], references: Sequence[str]) -> dict[str, np.ndarray]:
    """ROUGE of each text: name -> F measures of shape `(texts,)`, in 0..100.

    Raises:
        ValueError: There is nothing to score, or the numbers of texts differ.
    """
    from rouge_score.rouge_scorer import RougeScorer

    if not len(predictions) or len(predictions) != len(references):
        raise ValueError(f"expected as many summaries as references, got {len(predictions)} and {len(references)}")
    scorer = RougeScorer(list(NAMES), use_stemmer=True)
    scores = [scorer.score(reference, prediction) for prediction, reference in zip(predictions, references)]
    return {name: np.array([100 * score[name].fmeasure for score in scores]) for name in NAMES}


def bootstrap(values: np.ndarray, seed: int = 12345) -> list[float]:
    """The 2.5% and 97.5% percentiles of the mean of `values`, of shape `(texts,)`, over samples with replacement."""
    random = np.random.default_rng(seed)
    means = [values[random.integers(0, len(values), len(values))].mean() for _ in range(SAMPLES)]
    return np.percentile(means, [2.5, 97.5]).tolist()


def summarization_metrics(
    predictions: Sequence[str], references: Sequence[str], intervals: bool = False
) -> dict[str, float]:
    """The metrics of summaries; `intervals` adds `n`, 95% intervals (`..._low`, `..._high`) and the ratio of words."""
    metrics: dict[str, float] = {"n": len(predictions)} if intervals else {}
    for name, values in rouge_scores(predictions, references).items():
        metrics[name] = float(values.mean())
        if intervals:
            metrics[f"{name}_low"], metrics[f"{name}_high"] = bootstrap(values)
    if intervals:
        words = [sum(len(text.split()) for text in texts) for texts in (predictions, references)]
        metrics["length_ratio"] = words[0] / max(words[1], 1)
    return metrics


__all__ = ["rouge_scores", "summarization_metrics"]
