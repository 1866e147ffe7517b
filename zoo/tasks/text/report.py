"""Parts of the reports of text tasks: metrics by length, the best and the worst texts, attention maps."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from zoo.plotting import drawing
from zoo.tasks.base import Report

from .dataset import TextDataset

Table = list[dict[str, Any]]
# Texts of each kind in the table of samples; texts of a bin at least; bins at most.
SAMPLES, SMALLEST_BIN, BINS = 3, 10, 6
# How many texts' attention is drawn, and the tokens of the longest.
MAPS, LONGEST_MAP = 4, 30


def length_bins(lengths: np.ndarray) -> list[tuple[int, int, np.ndarray]]:
    """(shortest, longest, rows) of up to six bins of about as many texts; texts of one length share a bin."""
    edges = np.unique(np.quantile(lengths, np.linspace(0, 1, BINS + 1)[1:-1], method="nearest"))
    numbers = np.searchsorted(edges, lengths)
    bins = [np.flatnonzero(numbers == number) for number in np.unique(numbers)]
    merged: list[np.ndarray] = []
    for rows in bins:
        if merged and min(len(rows), len(merged[-1])) < SMALLEST_BIN:
            rows = np.concatenate([merged.pop(), rows])
        merged.append(rows)
    return [(int(lengths[rows].min()), int(lengths[rows].max()), np.sort(rows)) for rows in merged]


def by_length(sources: Sequence[str], metric: str, measure: Callable[[np.ndarray], float]) -> Table:
    """A table of a metric by words of the source; `measure` gives its value on some rows."""
    lengths = np.array([len(text.split()) for text in sources])
    return [{"words": [low, high], "n": len(rows), metric: measure(rows)} for low, high, rows in length_bins(lengths)]


def draw_by_length(table: Table, metric: str, label: str, whole: float, path: Path, of: str = "source") -> None:
    """Draw the metric by words of the source, or of another text, and its value over all texts."""
    with drawing(path, figsize=(7, 4)) as (_, axes):
        names = [" to ".join(map(str, dict.fromkeys(row["words"]))) for row in table]
        bars = axes.bar(names, [row[metric] for row in table])
        axes.bar_label(bars, [f"n = {row['n']:,}" for row in table], fontsize=8)
        axes.axhline(whole, color="grey", linestyle="--", label=f"all: {whole:.1f}")
        axes.set(xlabel=f"words of the {of}", ylabel=label, title=f"{label} by length of the {of}")
        axes.legend()


def sample_rows(scores: np.ndarray, metric: str, predictions: Sequence[str], dataset: TextDataset) -> Table:
    """The best, median and worst texts by a metric of single texts, `scores` of shape `(rows,)`."""
    order = np.argsort(-scores, kind="stable")
    count = min(SAMPLES, len(order) // 3) or 1
    middle = max((len(order) - count) // 2, 0)
    kinds = {"best": order[:count], "median": order[middle : middle + count], "worst": order[-count:]}
    return [
        {
            "kind": kind,
            metric: float(scores[row]),
            "source": dataset.sources[row],
            "reference": dataset.targets[row],
            "prediction": predictions[row],
        }
        for kind, rows in kinds.items()
        for row in rows
    ]


def rows_for_maps(dataset: TextDataset) -> list[int]:
    """Rows of different length that fit into a plot."""
    lengths = dataset.lengths[:, 0]
    fitting = np.flatnonzero(lengths <= LONGEST_MAP)
    if not len(fitting):
        return []
    ordered = fitting[np.argsort(lengths[fitting], kind="stable")]
    places = np.linspace(0, len(ordered) - 1, MAPS + 2)[1:-1].round().astype(int)
    return [int(ordered[place]) for place in np.unique(places)]


@torch.no_grad()
def attention_maps(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, dataset: TextDataset) -> Table:
    """Cross-attention of a few rows: `source` and `target`, the tokens of each, and `weights` of shape
    `(target, source)`, the mean over layers and heads. Empty for a model without attention."""
    maps: Table = []
    implementation = model.config._attn_implementation
    model.eval()
    try:
        if implementation not in (None, "eager"):
            model.set_attn_implementation("eager")  # fused attention keeps no weights
        for row in rows_for_maps(dataset):
            source = torch.tensor(dataset.encoded.sources[row], device=model.device)[None].long()
            mask = torch.ones_like(source)
            tokens = model.generate(input_ids=source, attention_mask=mask)
            outputs = model(
                input_ids=source, attention_mask=mask, decoder_input_ids=tokens[:, :-1], output_attentions=True
            )
            layers = [layer for layer in outputs.cross_attentions or () if layer is not None]
            if not layers:
                return []
            weights = torch.stack([layer[0].float().mean(0) for layer in layers]).mean(0).cpu().numpy()
            maps.append(
                {
                    "source": tokenizer.convert_ids_to_tokens(source[0].tolist()),
                    "target": tokenizer.convert_ids_to_tokens(tokens[0, 1:].tolist()),
                    "weights": weights,
                }
            )
    finally:
        if implementation not in (None, "eager"):
            model.set_attn_implementation(implementation)
    return maps


def draw_attention(maps: Table, path: Path) -> None:
    """Draw a heat map for each row: source tokens from left to right, generated tokens from top to bottom."""
    with drawing(path, 2, -(-len(maps) // 2), figsize=(14, 13), dpi=90, squeeze=False) as (figure, grid):
        for axes in grid.flat[len(maps) :]:
            axes.axis("off")
        for axes, item in zip(grid.flat, maps):
            axes.imshow(item["weights"], cmap="Blues", vmin=0, aspect="auto")
            labels = [[token.replace("▁", "_") for token in item[side]] for side in ("source", "target")]
            axes.set_xticks(range(len(labels[0])), labels[0], rotation=90, fontsize=8)
            axes.set_yticks(range(len(labels[1])), labels[1], fontsize=8)
            axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False)
        figure.suptitle("Attention to source tokens (across) while generating (down); mean over layers and heads")


def attention_report(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, dataset: TextDataset, folder: Path
) -> Report:
    """Attention maps; nothing for a model without attention."""
    maps = attention_maps(model, tokenizer, dataset)
    if not maps:
        return Report()
    path = folder / "attention.png"
    draw_attention(maps, path)
    texts = [{side: tokenizer.convert_tokens_to_string(item[side]) for side in ("source", "target")} for item in maps]
    return Report(tables={"attention": texts}, plots={"attention": path})


__all__ = ["attention_maps", "attention_report", "by_length", "draw_by_length", "length_bins", "sample_rows"]
