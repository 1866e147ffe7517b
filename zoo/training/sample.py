"""A saved model, measured again on a sample of the rows that its record measured."""

import dataclasses
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import ProgressCallback

from zoo.record import RunRecord

from .evaluate import evaluation_trainer, prepare
from .run import measure

ROWS = 256
BATCH = 4  # rows of the batch that other processes answer too


@dataclass
class Sample:
    """What a sample said.

    Args:
        split: The split that the card reports.
        metric: The metric that decides.
        n: Rows.
        value: Of the metric, on the sample.
        recorded: Of the metric, in the record.
        baseline: Of the metric, of the record's trivial predictor.
        chance: Three standard errors of such a sample, where the record has an interval.
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
        """Whether the sample lies nearer to the record than to the trivial predictor, or as near as chance allows.

        Weights, processor or code that do not belong together leave little of what was learnt.
        """
        return abs(self.value - self.recorded) <= max(abs(self.baseline - self.recorded) / 2, self.chance)


def chance_of(recorded: dict[str, Any], metric: str, n: int) -> float:
    """Three standard errors of a metric on n rows, from its recorded 95% interval; 0 without one."""
    low, high = recorded.get(f"{metric}_low"), recorded.get(f"{metric}_high")
    if low is None or high is None:
        return 0.0
    # Windows that overlap were drawn in blocks for the interval; a sample that is spread evenly meets every block.
    fewer = 1 if "blocks" in recorded else recorded["n"] / n
    return 3 * (high - low) / (2 * 1.96) * fewer**0.5


def limits(data_arguments: type, rows: int) -> list[str]:
    """Flags that keep every split of a task small, as far as it has them."""
    names = {field.name for field in dataclasses.fields(data_arguments)}
    wanted = ("max_train_samples", "max_eval_samples", "max_predict_samples")
    return [part for name in wanted if name in names for part in (f"--{name}", str(rows))]


def measure_sample(folder: Path | str, rows: int = ROWS) -> Sample:
    """Measure the model in a folder on some rows of the split that its card reports.

    Raises:
        FileNotFoundError, ValueError: The data is nowhere, or does not fit the model.
    """
    from zoo.registry import load_task

    record = RunRecord.read(folder)
    split = "test" if "test" in record.metrics else "validation"
    data_arguments = load_task(record.recipe["task"]).data_arguments
    found = prepare([str(folder), "--split", split, *limits(data_arguments, rows)], "zoo publish")
    metric = record.fit["metric"]
    with tempfile.TemporaryDirectory() as scratch:
        trainer = evaluation_trainer(found, scratch)
        trainer.remove_callback(ProgressCallback)
        measured = measure(trainer, found.task, found.splits, found.data_arguments, split, Path(scratch))
        trainer.args.per_device_eval_batch_size = BATCH
        batch: dict[str, Any] = dict(next(iter(trainer.get_test_dataloader(found.splits[split]))))
    metrics = measured.metrics[split]
    return Sample(
        split=split,
        metric=metric,
        n=metrics["n"],
        value=metrics[metric],
        recorded=record.metrics[split][metric],
        baseline=next(iter(record.baselines.values()))[metric],
        chance=chance_of(record.metrics[split], metric, metrics["n"]),
        batch={name: value.cpu() for name, value in batch.items() if torch.is_tensor(value)},
    )


__all__ = ["ROWS", "Sample", "measure_sample"]
