"""What a task is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import transformers
from torch.utils.data import Dataset


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
        processor: What was fitted to the training rows and must travel with the model, if anything.
        origins: Where the rows of the vocabulary come from, if it is not that of the weights that the run starts from.
        remarks: What a person should read before the training begins.
    """

    train: Dataset | None
    validation: Dataset | None
    test: Dataset | None
    model_fields: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    notes: Mapping[str, Any] = field(default_factory=dict)
    processor: Any = None
    origins: Any = None
    remarks: Sequence[str] = ()

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
        load_data: (data arguments, config, saved processor or None) -> TaskData. A saved processor comes with the
            weights that a run starts from or measures: its statistics hold, not those of the data.
        build_processor: (family, config, TaskData) -> what is saved beside the model (image processor, tokenizer).
        auto_processor: The transformers Auto class that loads it again.
        build_collator: (processor, data arguments, seed) -> the Trainer's data_collator.
        evaluation_views: (dataset, data arguments) -> data sets whose predictions are averaged, for test-time
            augmentation; the first is the one that is scored.
        parent_view: (dataset, processor of the weights that a run started from) -> the rows as those weights read
            them, if the record should tell before from after; else None.
        check_parent: (weights that a run goes on with, their processor, training rows, `data` section of their recipe)
            -> remarks on data that does not look as they expect it.
        build_teacher: (data arguments, weights that a run goes on with or None, their processor, training rows, `data`
            section of their recipe) -> (what some training rows are learned from instead of their labels, see
            `GenerationMixin`, or None; remarks).
        evaluation_fields: Data fields that only evaluation reads: they do not change what a run learns.
        training_fields: Data fields that only training reads: they speak of what a run starts from.
        compute_metrics: transformers' hook, for the numbers that training looks at; a Seq2SeqTrainer's gets the data
            set as second argument.
        best_metric: The metric of `compute_metrics` that chooses between checkpoints.
        greater_is_better: Which way `best_metric` is better.
        calibrate: (predictions, label ids, config, validation data, data arguments): fits what the processor adds to a
            trained model's predictions, before any split is scored; default: nothing is.
        score: (predictions, label ids, config, dataset) -> every metric of the record, with n and intervals.
        baselines: (training data, data to score) -> the same metrics of trivial predictors; the first that has the
            deciding metric is the one that the fit diagnosis compares with.
        report: (predictions, label ids, config, dataset, folder) -> Report; pictures go to the folder.
        prepare_model: (model, processor, data arguments), called once a model is made or loaded: generation settings.
        warm_start: (model, training data, data arguments, whether its weights are trained already) -> remarks; sets
            weights of a new model that need no gradient descent, before the first step; default: there are none.
        inspect: (model, processor, dataset, folder) -> Report of what only the model shows, added to `report`'s.
        best_value: Of `best_metric`, where higher is better: an error is what is missing from it.
        label_smoother: Takes epsilon; replaces the Trainer's own where that one does not fit the labels.
        trainer: Name of transformers' Trainer for it.
        pipelines: Name of each transformers pipeline to register -> its class.
        label_names: Arguments of a model's forward that hold the truth.
        skill: A model that removes less than this share of the baseline's error from the training data underfits.
        gap: A model whose error grows by more than this share of the baseline's from training to validation overfits.
        hub_tag: The Hub's name of the task; default: the task's own.
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
    score: Callable[..., dict[str, Any]]
    baselines: Callable[..., dict[str, dict[str, Any]]]
    report: Callable[..., Report]
    evaluation_views: Callable[..., list[Dataset]] = lambda dataset, arguments: [dataset]
    prepare_model: Callable[..., None] = lambda model, processor, arguments: None
    warm_start: Callable[..., list[str]] = lambda model, train, arguments, trained: []
    inspect: Callable[..., Report] | None = None
    parent_view: Callable[..., Dataset | None] | None = None
    check_parent: Callable[..., list[str]] | None = None
    build_teacher: Callable[..., Any] | None = None
    best_value: float = 1.0
    evaluation_fields: tuple[str, ...] = ()
    training_fields: tuple[str, ...] = ()
    greater_is_better: bool = True
    calibrate: Callable[..., None] | None = None
    label_smoother: Callable[[float], Callable] | None = None
    trainer: str = "Trainer"
    pipelines: Mapping[str, type] = field(default_factory=dict)
    label_names: tuple[str, ...] = ("labels",)
    skill: float = 0.8
    gap: float = 0.05
    hub_tag: str = ""

    def __post_init__(self):
        if not self.hub_tag:
            object.__setattr__(self, "hub_tag", self.name.replace("_", "-"))

    # By name, because transformers' Trainer brings datasets and pandas, which `import zoo` can do without.
    @property
    def trainer_class(self) -> Any:
        """The Trainer's class."""
        return getattr(transformers, self.trainer)

    @property
    def training_arguments(self) -> Any:
        """The class of the Trainer's arguments: TrainingArguments, or Seq2SeqTrainingArguments for Seq2SeqTrainer."""
        return getattr(transformers, self.trainer.replace("Trainer", "TrainingArguments"))


__all__ = ["Report", "Task", "TaskData"]
