"""SummarizationTask: its data, ROUGE, baselines and report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zoo.tasks.base import Report, option

from ..text.arguments import TextArguments
from ..text.dataset import TextDataset
from ..text.pipeline import SummarizationPipeline
from ..text.splits import NamedSplits
from ..text.task import TextTask


@dataclass
class SummarizationArguments(TextArguments):
    """The `data` section of a summarization recipe."""

    max_source_length: int = option(256, "Tokens of a text, EOS included.")
    max_target_length: int = option(64, "Tokens of a summary, EOS included, in training and in generation.")
    over_long: str = option(
        "truncate", "Training pairs with more tokens: drop or truncate. Validation and test pairs are truncated."
    )
    max_characters: int | None = option(None, "Drop training pairs with more characters on a side.")
    max_length_ratio: float | None = option(
        None, "Drop training pairs whose target is so many times longer or shorter than usual."
    )


class SummarizationTask(TextTask):
    """A text in, its summary out."""

    name = "summarization"
    arguments_class = SummarizationArguments
    metric = "rougeL"
    pipelines = {"summarization": SummarizationPipeline}
    # One text has many good summaries: a model removes only part of what is missing from 100.
    skill = 0.1

    def read_named(self, arguments: TextArguments) -> NamedSplits | None:
        """Debian's package descriptions."""
        from zoo.data.package_descriptions import LICENCE, NAME, load_package_descriptions

        if arguments.dataset_name != NAME:
            return None
        return load_package_descriptions(arguments.data_dir), {"licence": LICENCE}

    def text_metrics(
        self, predictions: Sequence[str], dataset: TextDataset, intervals: bool = False
    ) -> dict[str, float]:
        """ROUGE of the summaries; with `intervals` also how well names are copied."""
        from .metrics import summarization_metrics

        return summarization_metrics(predictions, dataset.targets, intervals, dataset.sources)

    def baselines(self, train: Any, dataset: Any) -> dict[str, dict[str, float]]:
        """The first words of the text, as many as the median training summary has; the summary of the nearest training
        text; and the frequencies of target tokens."""
        from ..text.baselines import lead, nearest_targets, token_frequencies

        words = int(np.median([len(text.split()) for text in train.targets]))
        texts = {f"lead_{words}": lead(dataset.sources, words), "nearest_neighbour": nearest_targets(train, dataset)}
        metrics = {name: self.text_metrics(summaries, dataset, intervals=True) for name, summaries in texts.items()}
        return {**metrics, "token_frequencies": token_frequencies(train, dataset)}

    def text_report(
        self, metrics: Mapping[str, float], texts: Sequence[str], rows: TextDataset, folder: Path
    ) -> Report:
        """ROUGE by length of the text, and the best and the worst summaries."""
        from ..text.report import by_length, draw_by_length, sample_rows
        from .metrics import NAMES, rouge_scores

        single = rouge_scores(texts, rows.targets)["rougeL"]
        lengths = by_length(rows.sources, "rougeL", lambda chosen: float(single[chosen].mean()))
        plot = folder / "rouge_by_length.png"
        draw_by_length(lengths, "rougeL", "ROUGE-L", metrics["rougeL"], plot)
        lines = [f"{metrics['n']:,} texts"]
        for name in NAMES:
            lines += [f"{name}  {metrics[name]:.2f}  ({metrics[f'{name}_low']:.2f} to {metrics[f'{name}_high']:.2f})"]
        for name, of in (
            ("name_recall", "of the names that belong there"),
            ("name_precision", "of the names written"),
        ):
            if name in metrics:
                lines += [f"{name}  {metrics[name]:.1f}%  {of}"]
        lines += [f"perplexity of a target token  {metrics['perplexity']:.3f}"]
        tables = {"by_length": lengths, "samples": sample_rows(single, "rougeL", texts, rows)}
        return Report("\n".join(lines), tables, {"rouge_by_length": plot})


__all__ = ["SummarizationArguments", "SummarizationTask"]
