"""ROUGE-1, ROUGE-2 and ROUGE-L of summaries, with bootstrap intervals.

F measures in 0..100 of Google's rouge-score (Lin, 2004): words in lower case, split by everything but a-z and 0-9,
English stems. Means over texts; intervals are percentiles of 1,000 bootstrap samples of the texts.
Names are words with a capital letter or a digit that are not the first of a sentence.
"""

import re
from collections.abc import Sequence

import numpy as np

NAMES = ("rouge1", "rouge2", "rougeL")
SAMPLES = 1000
WORD = re.compile(r"\w(?:[\w.+#'-]*[\w+#])?")


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


def names(text: str) -> set[str]:
    """The words with a capital letter or a digit. A capital that begins a sentence does not count."""
    found = set()
    for match in WORD.finditer(text):
        before = text[: match.start()].rstrip("\"'([ \n")
        inner = match[0][1:] if not before or before[-1] in ".!?:" else match[0]
        if any(character.isupper() or character.isdigit() for character in inner):
            found.add(match[0])
    return found


def name_metrics(predictions: Sequence[str], references: Sequence[str], sources: Sequence[str]) -> dict[str, float]:
    """How well names are copied from the sources, in percent over all texts.

    Returns:
        `name_recall`: of the names that a reference has from its source, those in the summary. `name_precision`: of
        the names in a summary, those that are words of its source. Each is left out where there are no such names.
    """
    wanted = right = written = supported = 0
    for prediction, reference, source in zip(predictions, references, sources):
        words, predicted = set(WORD.findall(source)), names(prediction)
        expected = names(reference) & words
        wanted += len(expected)
        right += len(expected & set(WORD.findall(prediction)))
        written += len(predicted)
        supported += len(predicted & words)
    shares = {"name_recall": (right, wanted), "name_precision": (supported, written)}
    return {name: 100 * part / whole for name, (part, whole) in shares.items() if whole}


def summarization_metrics(
    predictions: Sequence[str],
    references: Sequence[str],
    intervals: bool = False,
    sources: Sequence[str] | None = None,
) -> dict[str, float]:
    """The metrics of summaries.

    Args:
        predictions: The summaries.
        references: The true ones.
        intervals: Also `n`, 95% intervals (`..._low`, `..._high`), the ratio of words and, with sources, of names.
        sources: What is summarized.
    """
    metrics: dict[str, float] = {"n": len(predictions)} if intervals else {}
    for name, values in rouge_scores(predictions, references).items():
        metrics[name] = float(values.mean())
        if intervals:
            metrics[f"{name}_low"], metrics[f"{name}_high"] = bootstrap(values)
    if intervals:
        words = [sum(len(text.split()) for text in texts) for texts in (predictions, references)]
        metrics["length_ratio"] = words[0] / max(words[1], 1)
        if sources is not None:
            metrics |= name_metrics(predictions, references, sources)
    return metrics


__all__ = ["name_metrics", "names", "rouge_scores", "summarization_metrics"]
