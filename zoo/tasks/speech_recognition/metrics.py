"""Word and character error rates in percent, with bootstrap intervals over utterances.

Rates are those of jiwer: substitutions, deletions and insertions of the best alignment over the words (or characters)
of the references. They may exceed 100.
"""

from collections.abc import Mapping, Sequence

import jiwer
import numpy as np

SAMPLES = 1000
# Columns of counts.
HITS, SUBSTITUTIONS, DELETIONS, INSERTIONS = range(4)


def count_errors(references: Sequence[str], predictions: Sequence[str], unit: str = "words") -> np.ndarray:
    """Hits, substitutions, deletions and insertions of each utterance.

    Args:
        references: What is said; not empty.
        predictions: What was recognized; as many.
        unit: "words" or "characters".

    Returns:
        `np.ndarray` of shape `(utterances, 4)`.

    Raises:
        ValueError: There is nothing to compare, or the numbers differ.
    """
    if not len(references) or len(references) != len(predictions):
        raise ValueError(f"expected as many predictions as texts, got {len(predictions)} and {len(references)}")
    process = jiwer.process_words if unit == "words" else jiwer.process_characters
    output = process(list(references), list(predictions))
    counts = np.zeros((len(references), 4), np.int64)
    columns = {"equal": HITS, "substitute": SUBSTITUTIONS, "delete": DELETIONS, "insert": INSERTIONS}
    for row, chunks in enumerate(output.alignments):
        for chunk in chunks:
            size = max(chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx)
            counts[row, columns[chunk.type]] += size
    return counts


def rate(counts: np.ndarray) -> np.ndarray:
    """Error rate in percent of counts `(..., 4)` that are summed already."""
    errors = counts[..., SUBSTITUTIONS:].sum(-1)
    return 100 * errors / np.maximum(counts[..., : DELETIONS + 1].sum(-1), 1)


def totals(values: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Error rates of all counts `(utterances, 4)`, and means in percent of shares `(utterances,)`, by name."""
    return {name: float(rate(v.sum(0)) if v.ndim == 2 else 100 * v.mean()) for name, v in values.items()}


def intervals(values: Mapping[str, np.ndarray], seed: int = 12345) -> dict[str, float]:
    """95% bootstrap intervals of `totals` over utterances, `<name>_low` and `<name>_high`."""
    rows = len(next(iter(values.values())))
    draws = np.random.default_rng(seed).multinomial(rows, np.full(rows, 1 / rows), SAMPLES)
    found: dict[str, float] = {}
    for name, value in values.items():
        samples = rate(draws @ value) if value.ndim == 2 else 100 * (draws @ value) / rows
        low, high = np.percentile(samples, [2.5, 97.5])
        found |= {f"{name}_low": float(low), f"{name}_high": float(high)}
    return found


def speech_metrics(
    references: Sequence[str],
    predictions: Sequence[str],
    groups: Mapping[str, np.ndarray] | None = None,
    with_intervals: bool = False,
) -> dict[str, float]:
    """All metrics, in percent.

    Args:
        references: What is said.
        predictions: What was recognized.
        groups: Name -> mask of its utterances, `(utterances,)`; each gets its own word error rate.
        with_intervals: Add `n`, intervals, the kinds of errors and the groups.

    Returns:
        `wer`, `cer` and `sentence_accuracy`, and with intervals their `_low` and `_high`, `n`, `words`,
        `substitutions`, `deletions` and `insertions` in percent of the words, and `wer_<group>`,
        `sentence_accuracy_<group>` and `n_<group>`.
    """
    words = count_errors(references, predictions)
    exact = np.array([text == truth for text, truth in zip(predictions, references)], float)
    values = {"wer": words, "cer": count_errors(references, predictions, "characters"), "sentence_accuracy": exact}
    metrics = totals(values)
    if not with_intervals:
        return metrics
    said = int(words[:, : DELETIONS + 1].sum())
    kinds = {"substitutions": SUBSTITUTIONS, "deletions": DELETIONS, "insertions": INSERTIONS}
    metrics |= {"n": len(words), "words": said, **intervals(values)}
    metrics |= {name: float(100 * words[:, column].sum() / max(said, 1)) for name, column in kinds.items()}
    for name, mask in (groups or {}).items():
        if mask.any():
            own = {f"wer_{name}": words[mask], f"sentence_accuracy_{name}": exact[mask]}
            metrics |= {**totals(own), f"n_{name}": int(mask.sum()), **intervals(own)}
    return metrics


__all__ = ["count_errors", "intervals", "rate", "speech_metrics"]
