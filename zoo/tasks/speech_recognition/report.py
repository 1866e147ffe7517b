"""What a person reads of a recognizer: its errors by kind, length, speaker and word, and where it listens."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import jiwer
import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from zoo.plotting import drawing
from zoo.tasks.base import Report

from ..text.report import Table, by_length, draw_by_length
from .dataset import SpeechDataset
from .metrics import count_errors, rate

# Best, median and worst utterances that are shown; pairs of confused words.
SAMPLES, CONFUSED = 3, 15


def by_speaker(counts: np.ndarray, speakers: Sequence[str] | None) -> Table:
    """WER of each speaker, best first; `counts`: `(utterances, 4)`."""
    names = np.array(speakers or [])
    rows = [(str(name), counts[names == name]) for name in np.unique(names)]
    table = [{"speaker": name, "n": len(own), "wer": float(rate(own.sum(0)))} for name, own in rows]
    return sorted(table, key=lambda row: row["wer"])


def confused_words(references: Sequence[str], predictions: Sequence[str]) -> Table:
    """The words that are most often taken for another one."""
    pairs: Counter[tuple[str, str]] = Counter()
    output = jiwer.process_words(list(references), list(predictions))
    for truth, text, chunks in zip(output.references, output.hypotheses, output.alignments):
        for chunk in chunks:
            if chunk.type == "substitute":
                said = truth[chunk.ref_start_idx : chunk.ref_end_idx]
                pairs.update(zip(said, text[chunk.hyp_start_idx : chunk.hyp_end_idx]))
    found = pairs.most_common(CONFUSED)
    return [{"said": said, "recognized": text, "count": number} for (said, text), number in found]


def sample_rows(order: np.ndarray, counts: np.ndarray, texts: Sequence[str], rows: SpeechDataset) -> Table:
    """The best, median and worst utterances; `order`: their numbers, best first."""
    first = max((len(order) - SAMPLES) // 2, 0)
    chosen = [*order[:SAMPLES], *order[first : first + SAMPLES], *order[-SAMPLES:]]
    references, speakers = rows.texts, rows.speakers
    return [
        {
            "wer": float(rate(counts[row])),
            "reference": references[row],
            "prediction": texts[row],
            "speaker": None if speakers is None else speakers[row],
        }
        for row in dict.fromkeys(map(int, chosen))
    ]


def text_report(metrics: Mapping[str, float], texts: Sequence[str], rows: SpeechDataset, folder: Path) -> Report:
    """Tables and a plot of the errors of recognized texts, one for each row; the plot goes to `folder`."""
    references = rows.texts
    counts = count_errors(references, texts)
    lengths = by_length(references, "wer", lambda chosen: float(rate(counts[chosen].sum(0))))
    voices = by_speaker(counts, rows.speakers)
    samples = sample_rows(np.argsort(rate(counts), kind="stable"), counts, texts, rows)
    lines = [
        f"WER {metrics['wer']:.2f}% (95% interval {metrics['wer_low']:.2f} to {metrics['wer_high']:.2f}, n = "
        f"{metrics['n']:,} utterances, {metrics['words']:,} words), CER {metrics['cer']:.2f}%, "
        f"{metrics['sentence_accuracy']:.2f}% of the utterances without an error",
        f"of 100 words {metrics['substitutions']:.2f} substituted, {metrics['deletions']:.2f} deleted, "
        f"{metrics['insertions']:.2f} inserted",
    ]
    for name in (key[2:] for key in metrics if key.startswith("n_")):
        exact = metrics[f"sentence_accuracy_{name}"]
        lines.append(f"{name}: WER {metrics[f'wer_{name}']:.2f}%, {exact:.2f}% without an error")
    if len(voices) > 1:
        ends = [f"{voice['wer']:.2f}% ({voice['speaker']})" for voice in (voices[0], voices[-1])]
        lines.append(f"{len(voices)} speakers: WER {' to '.join(ends)}")
    for row in lengths:
        words = " to ".join(map(str, dict.fromkeys(row["words"])))
        lines.append(f"words {words}: WER {row['wer']:.2f}% (n = {row['n']:,})")
    lines += [f"{row['wer']:6.1f}%  said: {row['reference']}\n         read: {row['prediction']}" for row in samples]
    plots = {}
    if len(lengths) > 1:
        plots["wer_by_length"] = folder / "wer_by_length.png"
        draw_by_length(lengths, "wer", "WER in %", metrics["wer"], plots["wer_by_length"], of="text")
    confused = confused_words(references, texts)
    tables = {"samples": samples, "by_length": lengths, "by_speaker": voices, "confused_words": confused}
    return Report("\n".join(lines), tables, plots)


@torch.no_grad()
def attention_report(
    model: PreTrainedModel, batch: Mapping[str, torch.Tensor], tokenizer: PreTrainedTokenizerFast, folder: Path
) -> Report:
    """Where the decoder listens while it reads the text of an utterance, a batch of one row."""
    inputs = {name: value.to(model.device) for name, value in batch.items()}
    model.eval()
    outputs = model(**{name: value for name, value in inputs.items() if name != "labels"}, output_attentions=True)
    features = inputs["input_features"][0].cpu().numpy()
    weights = outputs.cross_attentions[-1][0].float().mean(0).cpu().numpy()  # of the last layer
    tokens = tokenizer.convert_ids_to_tokens(inputs["labels"][0].tolist())

    seconds, height = len(features) / 100, min(8.0, 1.0 + 0.18 * len(tokens))
    path, heights = folder / "attention.png", [2.2, height]
    with drawing(path, 2, 1, figsize=(9, sum(heights)), sharex=True, height_ratios=heights) as (_, (upper, lower)):
        extent = (0, seconds, 0, features.shape[1])
        upper.imshow(features.T, origin="lower", aspect="auto", cmap="magma", extent=extent)
        upper.set(ylabel="mel bin", title="Attention under the spectrogram")
        lower.imshow(weights, aspect="auto", cmap="Blues", extent=(0, seconds, len(tokens), 0))
        lower.set_yticks(np.arange(len(tokens)) + 0.5, tokens, fontsize=7)
        lower.set(xlabel="seconds", ylabel="token")
    return Report(plots={"attention": path})


__all__ = ["attention_report", "text_report"]
