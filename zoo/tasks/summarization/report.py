"""What a person reads of a summarizer: ROUGE with intervals beside trivial summaries, the best and the worst texts."""

from pathlib import Path
from typing import Any

import numpy as np

from zoo.tasks.base import Report

from ..text.baselines import lead, nearest_targets, token_frequencies
from ..text.dataset import TextDataset, decode, perplexity
from ..text.tables import by_length, draw_by_length, sample_rows
from .metrics import NAMES, rouge_scores, summarization_metrics


def score(predictions: Any, label_ids: np.ndarray, dataset: TextDataset) -> dict[str, Any]:
    """All metrics of a model's predictions."""
    tokens, losses = predictions
    found = summarization_metrics(decode(tokens, dataset.tokenizer), dataset.targets)
    return {**found, "perplexity": perplexity(losses, label_ids)}


def baselines(train: TextDataset, dataset: TextDataset) -> dict[str, dict[str, Any]]:
    """The same metrics of the first words of the text, as many as a training summary has in the median, and of the
    summary of the nearest training text; and what token frequencies know of the summaries."""
    words = int(np.median([len(text.split()) for text in train.targets]))
    found = {f"lead_{words}": lead(dataset.sources, words), "nearest_neighbour": nearest_targets(train, dataset)}
    scores = {name: summarization_metrics(texts, dataset.targets) for name, texts in found.items()}
    return {**scores, "token_frequencies": token_frequencies(train, dataset)}


def report(predictions: Any, label_ids: np.ndarray, dataset: TextDataset, folder: Path) -> Report:
    """Tables and pictures of one evaluation.

    Args:
        predictions: The Trainer's: tokens and losses.
        label_ids: The targets' tokens.
        dataset: The rows in the same order.
        folder: Where the pictures go; it must exist.
    """
    import matplotlib

    matplotlib.use("Agg")
    found = score(predictions, label_ids, dataset)
    texts = decode(predictions[0], dataset.tokenizer)
    single = rouge_scores(texts, dataset.targets)["rougeL"]
    lengths = by_length(dataset.sources, "rougeL", lambda rows: float(single[rows].mean()))
    picture = folder / "rouge_by_length.png"
    draw_by_length(lengths, "rougeL", "ROUGE-L", found["rougeL"], picture)
    lines = [f"{found['n']:,} texts"]
    for name in NAMES:
        lines += [f"{name}  {found[name]:.2f}  ({found[f'{name}_low']:.2f} to {found[f'{name}_high']:.2f})"]
    lines += [f"perplexity of a target token  {found['perplexity']:.3f}"]
    tables = {"by_length": lengths, "samples": sample_rows(single, "rougeL", texts, dataset)}
    return Report(text="\n".join(lines), tables=tables, pictures={"rouge_by_length": picture})


__all__ = ["baselines", "report", "score"]
