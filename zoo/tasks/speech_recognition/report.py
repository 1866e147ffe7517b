"""What a person reads of a recognizer: its errors by kind, length, speaker and word, and where it listens."""

from collections import Counter
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import torch

from zoo.tasks.base import Report

from .dataset import SpeechDataset
from .metrics import count_errors, rate, speech_metrics

# Least words of each row of the table by length.
LENGTHS = (1, 2, 3, 5, 8, 12, 20)
SAMPLES = 3


def by_length(counts: np.ndarray) -> list[dict[str, Any]]:
    """WER of utterances of similar numbers of words; `counts`: `(utterances, 4)`."""
    words = counts[:, :3].sum(1)
    rows = []
    for first, following in zip(LENGTHS, (*LENGTHS[1:], None)):
        chosen = (words >= first) & (words < following if following else True)
        if chosen.any():
            last = following - 1 if following else None
            name = f"{first}" if last == first else f"{first} to {last}" if last else f"{first} or more"
            rows.append({"words": name, "n": int(chosen.sum()), "wer": float(rate(counts[chosen].sum(0)))})
    return rows


def by_speaker(counts: np.ndarray, speakers: list[str] | None) -> list[dict[str, Any]]:
    """WER of each speaker, best first; `counts`: `(utterances, 4)`."""
    names = np.array(speakers or [])
    rows = [
        {"speaker": str(name), "n": int((names == name).sum()), "wer": float(rate(counts[names == name].sum(0)))}
        for name in np.unique(names)
    ]
    return sorted(rows, key=lambda row: row["wer"])


def confused_words(references: list[str], predictions: list[str], count: int = 15) -> list[dict[str, Any]]:
    """The words that are most often taken for another one."""
    pairs: Counter[tuple[str, str]] = Counter()
    output = jiwer.process_words(references, predictions)
    for truth, text, chunks in zip(output.references, output.hypotheses, output.alignments):
        for chunk in chunks:
            if chunk.type == "substitute":
                said = truth[chunk.ref_start_idx : chunk.ref_end_idx]
                pairs.update(zip(said, text[chunk.hyp_start_idx : chunk.hyp_end_idx]))
    return [{"said": said, "recognized": text, "count": number} for (said, text), number in pairs.most_common(count)]


def draw_by_length(rows: list[dict[str, Any]], path: Path) -> None:
    """WER by number of words."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
    bars = axes.bar([row["words"] for row in rows], [row["wer"] for row in rows])
    axes.bar_label(bars, [f"{row['wer']:.1f}\nn = {row['n']:,}" for row in rows], fontsize=8)
    axes.margins(y=0.2)
    axes.set(xlabel="words", ylabel="word error rate in %", title="Word error rate by length")
    figure.savefig(path, dpi=110)
    plt.close(figure)


@torch.no_grad()
def attend(task: Any, row: dict[str, Any], model: Any) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """(`(frames, bins)` features, `(tokens, positions)` attention of the last layer, tokens) of one utterance."""
    inputs = {name: value.to(model.device) for name, value in task.collate([row]).items()}
    was_training = model.training
    model.eval()
    outputs = model(**{name: value for name, value in inputs.items() if name != "labels"}, output_attentions=True)
    model.train(was_training)
    weights = outputs.cross_attentions[-1][0].float().mean(0).cpu().numpy()
    tokens = task.processor.tokenizer.convert_ids_to_tokens(inputs["labels"][0].tolist())
    return inputs["input_features"][0].cpu().numpy(), weights, tokens


def draw_attention(features: np.ndarray, weights: np.ndarray, tokens: list[str], path: Path) -> None:
    """A spectrogram, and under it where the decoder listens for each token."""
    import matplotlib.pyplot as plt

    seconds = len(features) / 100
    height = min(8.0, 1.0 + 0.18 * len(tokens))
    figure, (upper, lower) = plt.subplots(
        2, 1, figsize=(9, 2.2 + height), sharex=True, height_ratios=[2.2, height], layout="constrained"
    )
    upper.imshow(features.T, origin="lower", aspect="auto", cmap="magma", extent=(0, seconds, 0, features.shape[1]))
    upper.set(ylabel="mel bin", title="Attention under the spectrogram")
    lower.imshow(weights, aspect="auto", cmap="Blues", extent=(0, seconds, len(tokens), 0))
    lower.set_yticks(np.arange(len(tokens)) + 0.5, tokens, fontsize=7)
    lower.set(xlabel="seconds", ylabel="token")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def report(task: Any, dataset: SpeechDataset, predictions: list[str], model: Any, folder: Path) -> Report:
    """Tables and plots of one split.

    Args:
        task: With model and processor attached.
        dataset: The rows.
        predictions: The text that was recognized in each.
        model: For the attention of one row.
        folder: Where the plots go.
    """
    import matplotlib

    matplotlib.use("Agg")
    references = dataset.texts
    counts = count_errors(references, predictions)
    groups = task.groups(dataset)
    metrics = speech_metrics(references, predictions, groups, with_intervals=True)
    order = np.argsort(rate(counts), kind="stable")
    middle = len(order) // 2
    chosen = [*order[:SAMPLES], *order[middle - SAMPLES // 2 : middle + SAMPLES // 2 + 1], *order[-SAMPLES:]]
    speakers = dataset.speakers
    samples = [
        {
            "wer": float(rate(counts[row])),
            "reference": references[row],
            "prediction": predictions[row],
            "speaker": None if speakers is None else speakers[row],
        }
        for row in dict.fromkeys(int(row) for row in chosen)
    ]
    lengths, voices = by_length(counts), by_speaker(counts, speakers)
    confused = confused_words(references, predictions)

    plots = {"attention": folder / "attention.png"}
    draw_attention(*attend(task, dataset[int(order[middle])], model), plots["attention"])
    if len(lengths) > 1:
        plots["wer_by_length"] = folder / "wer_by_length.png"
        draw_by_length(lengths, plots["wer_by_length"])

    lines = [
        f"WER {metrics['wer']:.2f}% (95% interval {metrics['wer_low']:.2f} to {metrics['wer_high']:.2f}, n = "
        f"{metrics['n']:,} utterances, {metrics['words']:,} words), CER {metrics['cer']:.2f}%, "
        f"{metrics['sentence_accuracy']:.2f}% of the utterances without an error",
        f"of 100 words {metrics['substitutions']:.2f} substituted, {metrics['deletions']:.2f} deleted, "
        f"{metrics['insertions']:.2f} inserted",
    ]
    for name in groups:
        if f"wer_{name}" in metrics:
            exact = metrics[f"sentence_accuracy_{name}"]
            lines.append(f"{name}: WER {metrics[f'wer_{name}']:.2f}%, {exact:.2f}% without an error")
    if len(voices) > 1:
        best, worst = voices[0], voices[-1]
        lines.append(
            f"{len(voices)} speakers: WER {best['wer']:.2f}% ({best['speaker']}) to {worst['wer']:.2f}% "
            f"({worst['speaker']})"
        )
    lines += [f"words {row['words']}: WER {row['wer']:.2f}% (n = {row['n']:,})" for row in lengths]
    lines += [f"{row['wer']:6.1f}%  said: {row['reference']}\n         read: {row['prediction']}" for row in samples]
    tables = {"samples": samples, "by_length": lengths, "by_speaker": voices, "confused_words": confused}
    return Report("\n".join(lines), tables, plots)


__all__ = ["report"]
