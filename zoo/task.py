"""What a task is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments


@dataclass
class TaskData:
    """The data of one run, ready for a Trainer.

    Args:
        train: Training rows.
        validation: The rows that every choice looks at.
        test: The rows that are looked at once.
        model_fields: Config fields that follow from the data, such as the labels.
        fingerprint: sha256 of each split.
        source: Where the data came from.
        notes: What else the record should say about the data (licence, release, cleaning counts).
    """

    train: Dataset | None
    validation: Dataset | None
    test: Dataset | None
    model_fields: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    notes: Mapping[str, Any] = field(default_factory=dict)

    def splits(self) -> dict[str, Any]:
        """The splits that exist, by name."""
        found = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in found.items() if split is not None}


@dataclass
class Report:
    """What a person reads after an evaluation: text for the terminal, tables for the record, pictures."""

    text: str
    tables: dict[str, Any] = field(default_factory=dict)
    pictures: dict[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """What a task needs, whole: from columns of data to numbers and pictures.

    Args:
        name: The folder under `zoo/tasks/`.
        auto_class: The transformers Auto class that loads a model for it.
        data_arguments: Dataclass of the recipe's `data` section; each field is a command-line flag too.
        load_data: (data arguments, config) -> TaskData.
        build_processor: (family, config) -> what is saved beside the model (image processor, tokenizer).
        auto_processor: The transformers Auto class that loads it again.
        build_collator: (processor, data arguments, seed) -> the Trainer's data_collator.
        evaluation_views: (dataset, data arguments) -> data sets whose predictions are averaged, for test-time
            augmentation.
        compute_metrics: transformers' hook, for the numbers that training looks at.
        best_metric: The metric of `compute_metrics` that chooses between checkpoints.
        greater_is_better: Which way `best_metric` is better.
        score: (predictions, label ids) -> every metric of the record, with n and intervals.
        baselines: (training data, data to score) -> the same metrics of trivial predictors.
        report: (predictions, label ids, config, dataset, folder) -> Report; pictures go to the folder.
        label_smoother: Takes epsilon; replaces the Trainer's own where that one does not fit the labels.
        trainer_class: transformers' Trainer for it.
        training_arguments: transformers' arguments for it.
        pipelines: Name of each transformers pipeline to register -> its class.
    """

    name: str
    auto_class: type
    data_arguments: type
    load_data: Callable[..., TaskData]
    build_processor: Callable[..., Any]
    auto_processor: type
    build_collator: Callable[..., Callable]
    compute_metrics: Callable[..., dict[str, float]]
    best_metric: str
    score: Callable[[np.ndarray, np.ndarray], dict[str, Any]]
    baselines: Callable[..., dict[str, dict[str, Any]]]
    report: Callable[..., Report]
    evaluation_views: Callable[..., list[Dataset]] = lambda dataset, arguments: [dataset]
    greater_is_better: bool = True
    label_smoother: Callable[[float], Callable] | None = None
    trainer_class: type[Trainer] = Trainer
    training_arguments: type[TrainingArguments] = TrainingArguments
    pipelines: Mapping[str, type] = field(default_factory=dict)


__all__ = ["Report", "Task", "TaskData"]
