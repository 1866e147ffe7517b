"""A saved model, measured again on a sample of the rows that its record measured."""

import dataclasses
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from zoo.record import RunRecord
from zoo.registry import load_task

from .evaluate import evaluation_trainer, prepare
from .measure import measure

ROWS = 256
BATCH = 4  # rows of the batch that other processes predict, too


@dataclass
class Sample:
    """The metric of a sample beside the record's.

    Args:
        split: The split that the card reports.
        metric: The primary metric.
        n: Rows.
        value: The metric on the sample.
        recorded: The metric in the record.
        baseline: The metric of the record's baseline.
        chance: Three standard errors of such a sample, where the record has an interval; else 0.
        batch: Some of the rows as the model reads them.
    """

    split: str
    metric: str
    n: int
    value: float
    recorded: float
    baseline: float
    chance: float
    batch: dict[str, torch.Tensor]

    @property
    def plausible(self) -> bool:
        """Whether the sample is nearer to the record than to the baseline, or as near as chance allows.

        Weights, processor or code that do not belong together leave little of what was learnt.
        """
        return abs(self.value - self.recorded) <= max(abs(self.baseline - self.recorded) / 2, self.chance)


def chance_of(recorded: Mapping[str, float], metric: str, n: int) -> float:
    """Three standard errors of a metric on n rows, from its recorded 95% interval; 0 without one."""
    low, high = recorded.get(f"{metric}_low"), recorded.get(f"{metric}_high")
    if low is None or high is None:
        return 0.0
    # Overlapping windows were drawn in blocks for the interval; an evenly spread sample has rows of every block.
    fewer = 1 if "blocks" in recorded else recorded["n"] / n
    return 3 * (high - low) / (2 * 1.96) * fewer**0.5


def limits(arguments_class: type, rows: int) -> list[str]:
    """Flags that keep every split of a task small, as far as the task has them."""
    names = {field.name for field in dataclasses.fields(arguments_class)}
    flags = ("max_train_samples", "max_eval_samples", "max_predict_samples")
    return [part for name in flags if name in names for part in (f"--{name}", str(rows))]


def measure_sample(folder: Path | str, rows: int = ROWS) -> Sample:
    """Measure the model in a folder on some rows of the split that its card reports.

    Raises:
        FileNotFoundError, ValueError: The data is missing, or does not fit the model.
    """
    record = RunRecord.read(folder)
    split = record.split
    flags = limits(load_task(record.recipe["task"]).arguments_class, rows)
    evaluation = prepare([str(folder), "--split", split, *flags], "zoo publish")
    metric = record.fit["metric"]
    with tempfile.TemporaryDirectory() as scratch:
        trainer = evaluation_trainer(evaluation, scratch, disable_tqdm=True)
        measured = measure(trainer, evaluation.task, evaluation.splits, split, Path(scratch))
        dataset = evaluation.splits[split]
        numbers = list(range(min(BATCH, len(dataset))))
        fetch = getattr(dataset, "__getitems__", None)  # as a data loader hands rows to the collator
        batch = evaluation.task.collate(fetch(numbers) if fetch else [dataset[number] for number in numbers])
    metrics = measured.metrics[split]
    n = int(metrics["n"])
    return Sample(
        split=split,
        metric=metric,
        n=n,
        value=metrics[metric],
        recorded=record.metrics[split][metric],
        baseline=next(values[metric] for values in record.baselines.values() if metric in values),
        chance=chance_of(record.metrics[split], metric, n),
        batch={name: value.cpu() for name, value in batch.items() if torch.is_tensor(value)},
    )


__all__ = ["ROWS", "Sample", "measure_sample"]
