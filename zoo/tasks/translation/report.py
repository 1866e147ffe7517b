"""What a person reads of a translator: every metric, BLEU by source length, the best and the worst sentences."""

from pathlib import Path
from typing import Any

import numpy as np

from zoo.tasks.base import Report

from ..text.baselines import nearest_targets, token_frequencies
from ..text.dataset import TextDataset, decode, perplexity
from ..text.tables import by_length, draw_by_length, sample_rows
from .metrics import bleu_of, sentence_chrf, sentence_counts, signatures, translation_metrics


def score(predictions: Any, label_ids: np.ndarray, dataset: TextDataset) -> dict[str, Any]:
    """All metrics of a model's predictions; those of kept pairs with their languages behind the name, bleu_en-de."""
    found: dict[str, Any] = {}
    for number, direction in enumerate(dataset.directions):
        rows = dataset.rows_of(number)
        if not len(rows):
            continue
        tokens, losses = (part[rows] for part in predictions)
        targets = [dataset.targets[row] for row in rows]
        metrics = translation_metrics(decode(tokens, dataset.tokenizer), targets, (direction.target or "en")[:2])
        metrics["perplexity"] = perplexity(losses, label_ids[rows])
        found |= metrics if number == 0 else {f"{name}_{direction.name}": value for name, value in metrics.items()}
    return found


def first_direction(
    predictions: Any, label_ids: np.ndarray, dataset: TextDataset
) -> tuple[Any, np.ndarray, TextDataset]:
    """The rows of the direction that is scored under plain names."""
    rows = dataset.rows_of(0)
    if len(rows) == len(dataset):
        return predictions, label_ids, dataset
    return tuple(part[rows] for part in predictions), label_ids[rows], dataset.select(rows)


def language_of(dataset: TextDataset) -> str:
    """Of the targets; two letters."""
    return (dataset.directions[0].target or "en")[:2]


def baselines(train: TextDataset, dataset: TextDataset) -> dict[str, dict[str, Any]]:
    """The same metrics of trivial translators, without intervals, and what token frequencies know of the targets."""
    language = language_of(dataset)
    train, dataset = (rows.select(rows.rows_of(0)) for rows in (train, dataset))
    found = {"copy_source": list(dataset.sources), "nearest_neighbour": nearest_targets(train, dataset)}
    scores = {name: translation_metrics(texts, dataset.targets, language, False) for name, texts in found.items()}
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
    predictions, label_ids, dataset = first_direction(predictions, label_ids, dataset)
    found = score(predictions, label_ids, dataset)
    texts = decode(predictions[0], dataset.tokenizer)
    counts = sentence_counts("bleu", texts, dataset.targets)
    lengths = by_length(dataset.sources, "bleu", lambda rows: bleu_of(counts[rows].sum(0), "exp"))
    picture = folder / "bleu_by_length.png"
    draw_by_length(lengths, "bleu", "BLEU", found["bleu"], picture)
    samples = sample_rows(sentence_chrf(texts, dataset.targets), "chrf", texts, dataset)
    interval = f"({found['bleu_low']:.2f} to {found['bleu_high']:.2f})"
    lines = [
        f"{found['n']:,} sentences",
        f"BLEU (cased, 13a)                 {found['bleu']:.2f}  {interval}",
        f"BLEU (lower case, 13a)            {found['bleu_13a_lowercase']:.2f}",
        f"BLEU (lower case, Moses tokens)   {found['bleu_moses_lowercase']:.2f}",
        f"chrF                              {found['chrf']:.2f}",
        f"perplexity of a target token      {found['perplexity']:.3f}",
    ]
    tables = {"signatures": signatures(), "by_length": lengths, "samples": samples}
    return Report(text="\n".join(lines), tables=tables, pictures={"bleu_by_length": picture})


__all__ = ["baselines", "language_of", "report", "score"]
