"""What a person reads of a summarizer: ROUGE with intervals beside trivial summaries, the best and the worst texts."""

from pathlib import Path
from typing import Any

import numpy as np

from zoo.task import Report

from ..text.baselines import lead, nearest_targets
from ..text.dataset import TextDataset, decode, perplexity
from .metrics import NAMES, summarization_metrics


def score(predictions: Any, label_ids: np.ndarray, dataset: TextDataset) -> dict[str, Any]:
    """All metrics of a model's predictions."""
    tokens, losses = predictions
    found = summarization_metrics(decode(tokens, dataset.tokenizer), dataset.targets)
    return {**found, "perplexity": perplexity(losses, label_ids)}


def baselines(train: TextDataset, dataset: TextDataset) -> dict[str, dict[str, Any]]:
    """The same metrics of the first words of the text, as many as a training summary has in the median, and of the
    summary of the nearest training text."""
    words = int(np.median([len(text.split()) for text in train.targets]))
    found = {f"lead_{words}": lead(dataset.sources, words), "nearest_neighbour": nearest_targets(train, dataset)}
    return {name: summarization_metrics(texts, dataset.targets) for name, texts in found.items()}


def report(predictions: Any, label_ids: np.ndarray, dataset: TextDataset, folder: Path) -> Report:
    """Tables and pictures of one evaluation.

    Args:
        predictions: The Trainer's: tokens and losses.
        label_ids: The targets' tokens.
        dataset: The rows in the same order.
        folder: Where the pictures go; it must exist.
    """
    found = score(predictions, label_ids, dataset)
    lines = [f"{found['n']:,} texts"]
    lines += [
        f"{name}  {found[name]:.2f}  ({found[f'{name}_low']:.2f} to {found[f'{name}_high']:.2f})" for name in NAMES
    ]
    lines += [f"perplexity of a target token  {found['perplexity']:.3f}"]
    return Report(text="\n".join(lines))


__all__ = ["baselines", "report", "score"]
