"""Summarization: a text in, its summary out."""

from typing import Any

import numpy as np
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from zoo.tasks.base import Report, Task

from ..text import dataset as rows
from ..text.arguments import GENERATION, VOCABULARY, prepare_model
from ..text.pipeline import SummarizationPipeline
from .batches import SummarizationArguments, load_data


def compute_metrics(prediction: Any, dataset: rows.TextDataset) -> dict[str, float]:
    """The Trainer's hook: ROUGE of what was generated, perplexity of the truth."""
    from .metrics import rouge_scores

    found = {"perplexity": rows.perplexity(prediction.predictions[-1], prediction.label_ids)}
    if len(prediction.predictions) > 1:
        scores = rouge_scores(rows.decode(prediction.predictions[0], dataset.tokenizer), dataset.targets)
        found |= {name: float(values.mean()) for name, values in scores.items()}
    return found


def score(predictions: Any, label_ids: np.ndarray, config: Any, dataset: rows.TextDataset) -> dict[str, Any]:
    """Every metric of the record."""
    from .report import score

    return score(predictions, label_ids, dataset)


def baselines(train: rows.TextDataset, dataset: rows.TextDataset) -> dict[str, dict[str, Any]]:
    """The first words of the text, and the summary of the nearest training text."""
    from .report import baselines

    return baselines(train, dataset)


def report(predictions: Any, label_ids: np.ndarray, config: Any, *arguments: Any) -> Report:
    """Tables by length and by text, and pictures; see `report.py`."""
    from .report import report

    return report(predictions, label_ids, *arguments)


def inspect(*arguments: Any) -> Report:
    """Attention maps; see `zoo/tasks/text/tables.py`."""
    from ..text.tables import inspect

    return inspect(*arguments)


TASK = Task(
    name="summarization",
    auto_class=AutoModelForSeq2SeqLM,
    data_arguments=SummarizationArguments,
    load_data=load_data,
    build_processor=rows.build_processor,
    auto_processor=AutoTokenizer,
    build_collator=rows.build_collator,
    evaluation_views=rows.evaluation_views,
    evaluation_fields=GENERATION,
    training_fields=VOCABULARY,
    prepare_model=prepare_model,
    compute_metrics=compute_metrics,
    best_metric="rougeL",
    best_value=100.0,
    score=score,
    baselines=baselines,
    report=report,
    inspect=inspect,
    trainer="Seq2SeqTrainer",
    pipelines={"summarization": SummarizationPipeline},
    # One text has many good summaries: what is missing from 100 can be removed in part only.
    skill=0.1,
    gap=0.1,
)

__all__ = ["TASK"]
