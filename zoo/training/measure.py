"""Measure the final weights of a model on every split, with the task's report on one of them."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from zoo.tasks.base import Report, Task

from .prediction import Prediction
from .trainer import ZooSeq2SeqTrainer, ZooTrainer

PLOTS = "pictures"  # the folder's name in a run and in a card
# Training rows that are measured for the verdict on the fit, where measuring means generating.
FIT_ROWS = 200


@dataclass
class Measured:
    """Metrics of each split, and the task's report on one of them.

    Args:
        metrics: Split -> metric -> value; `<split>_plain` without test-time augmentation.
        reported: The split of the report.
        report: Tables and plots.
        datasets: Split -> the rows that were measured.
    """

    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    reported: str = ""
    report: Report = field(default_factory=Report)
    datasets: dict[str, Dataset] = field(default_factory=dict)


def views_of(trainer: ZooTrainer, task: Task, name: str, split: Any) -> list[Any]:
    """The rows of a split that are measured, and their TTA views.

    Training rows are measured for the verdict on the fit only, which compares single views: of training rows to
    generate for a sample is enough.
    """
    views: list[Any] = task.views(split)
    if name != "train":
        return views
    generates = isinstance(trainer, ZooSeq2SeqTrainer) and hasattr(views[0], "take")
    return [views[0].take(FIT_ROWS) if generates else views[0]]


def announce(trainer: ZooTrainer, views: Mapping[str, list[Any]]) -> None:
    """Say what will be measured, and how long it will take if evaluations during training tell."""
    parts = []
    for name, datasets in views.items():
        times = f" in {len(datasets)} views" if len(datasets) > 1 else ""
        parts.append(f"{name} ({len(datasets[0]):,} rows{times})")
    line = f"measuring the final weights on {', '.join(parts)}"
    if trainer.seconds_per_row is not None:
        rows = sum(len(datasets[0]) * len(datasets) for datasets in views.values())
        seconds = rows * trainer.seconds_per_row * trainer.final_cost()
        line += f": about {max(seconds, 1):.0f} s" if seconds < 90 else f": about {seconds / 60:.0f} min"
    print(line, flush=True)


def predict_views(
    trainer: ZooTrainer, views: list[Any], phase: str, **generation: Any
) -> tuple[Prediction, Prediction]:
    """(predictions averaged over the views, those of the first view), both with the rows of the first view."""
    predictions = [trainer.predict_rows(view, phase, **generation) for view in views]
    plain = predictions[0]
    if len(views) == 1:
        return plain, plain
    mean = np.mean([prediction.predictions for prediction in predictions], axis=0)
    return dataclasses.replace(plain, predictions=mean), plain


def measure(trainer: ZooTrainer, task: Task, splits: Mapping[str, Any], reported: str, folder: Path) -> Measured:
    """Predict every split.

    Args:
        trainer: Holds the final weights.
        task: With model and processor attached.
        splits: Name -> rows.
        reported: The split that the task reports on.
        folder: Folder for the plots of the report.
    """
    folder.mkdir(parents=True, exist_ok=True)
    measured = Measured(reported=reported)
    views = {name: views_of(trainer, task, name, split) for name, split in splits.items()}
    if trainer.is_world_process_zero():
        announce(trainer, views)
    for name, datasets in views.items():
        generation = {"num_beams": 1} if name == "train" else {}
        prediction, plain = predict_views(trainer, datasets, f"Measuring {name}", **generation)
        measured.datasets[name] = prediction.dataset
        measured.metrics[name] = task.evaluate(prediction, intervals=True)
        if plain is not prediction:
            measured.metrics[f"{name}_plain"] = task.evaluate(plain, intervals=True)
        if name == reported and trainer.is_world_process_zero():
            measured.report = task.report(prediction, trainer.model, folder)
            measured.report.text = measured.report.text or metric_lines(measured.metrics[name])
    return measured


def metric_lines(metrics: Mapping[str, object]) -> str:
    """The numbers among the metrics, one a line."""
    numbers = {name: value for name, value in metrics.items() if isinstance(value, int | float)}
    width = max(map(len, numbers), default=0)
    return "\n".join(
        f"{name:{width}} {value:,}" if isinstance(value, int) else f"{name:{width}} {value:.4f}"
        for name, value in numbers.items()
    )


def show_metrics(name: str, measured: Measured, record: Mapping[str, Mapping[str, float]], metric: str) -> None:
    """Print the report and, split by split, what was measured and what the model's record holds."""
    print(f"\n{measured.report.text}\n")
    for split, metrics in measured.metrics.items():
        line = f"{name}, {split}: {metric} {metrics[metric]:.4f} (n = {metrics['n']:,})"
        if split in record:
            line += f"; its record says {record[split][metric]:.4f} (n = {record[split]['n']:,})"
            differs = record[split]["n"] == metrics["n"] and f"{record[split][metric]:.4f}" != f"{metrics[metric]:.4f}"
            line += ": batches of another size, or other hardware, round differently" if differs else ""
        print(line)
    if measured.report.plots:
        print("plots:\n" + "\n".join(f"  {path}" for path in measured.report.plots.values()))


__all__ = ["PLOTS", "Measured", "measure", "predict_views", "show_metrics"]
