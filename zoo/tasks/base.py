"""Task: the base class of everything that a model of this library can be trained to do."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset
from transformers import PreTrainedConfig, PreTrainedModel

if TYPE_CHECKING:  # the Trainer brings datasets and pandas, which `import zoo` can do without
    from zoo.models.base import Family
    from zoo.record import RunRecord
    from zoo.training.arguments import ZooTrainingArguments
    from zoo.training.trainer import Prediction, ZooTrainer


def option(default: Any, help: str, **metadata: Any) -> Any:
    """A field of a `DataArguments` class; see there for the metadata."""
    return field(default=default, metadata={"help": help, **metadata})


@dataclass
class DataArguments:
    """Base class of a recipe's `data` section: each field is a key of the recipe and a flag of the command line.

    Beside `help`, the metadata of a field may have:

    - `source`: "train" or "test": the field names where training rows, or rows of an own test split, come from.
    - `used_by`: "training" for a field that evaluation must ignore; "evaluation" for one that does not change what a
      run learns.
    - `loading`: False if `Task.load_data` does not depend on the field; the trials of a search then share the data.
    """

    _argument_group_name: ClassVar[str] = "data"  # in the help of the command line

    @classmethod
    def names(cls, key: str, value: Any) -> list[str]:
        """Names of the fields whose metadata has this value under `key`."""
        return [f.name for f in dataclasses.fields(cls) if f.metadata.get(key) == value]

    def check(self, least: Mapping[str, float], choices: Mapping[str, Sequence[str | None]]) -> None:
        """Raise a ValueError that names a field with a value below its least, or one that is not a choice."""
        for name, minimum in least.items():
            value = getattr(self, name)
            if value is not None and value < minimum:
                raise ValueError(f"{name}={value} must be at least {minimum}")
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name}={getattr(self, name)!r} is not one of {', '.join(filter(None, known))}")


@dataclass
class TaskData:
    """The data of one run.

    Args:
        train: Training rows; None when a saved model is measured on an own test split.
        validation: The rows that every choice looks at.
        test: The rows that are looked at once.
        model_fields: Config fields that follow from the data, such as the labels.
        fingerprint: sha256 of each split.
        source: Where the data came from.
        notes: What else the record says about the data: licence, release, counts of the cleaning.
        processor: What was fitted to the training rows and is saved with the model, if anything.
        warnings: What the user should read before training begins.
        default_fields: Config fields that suit the data, for those that are not fixed.
    """

    train: Dataset | None
    validation: Dataset | None
    test: Dataset | None
    model_fields: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    notes: Mapping[str, Any] = field(default_factory=dict)
    processor: Any = None
    warnings: Sequence[str] = ()
    default_fields: Mapping[str, Any] = field(default_factory=dict)

    def splits(self) -> dict[str, Dataset]:
        """The splits that exist, by name."""
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in splits.items() if split is not None}


@dataclass
class Report:
    """The readable result of an evaluation.

    Args:
        text: What the terminal shows.
        tables: What the record keeps.
        plots: Name -> PNG file.
    """

    text: str = ""
    tables: dict[str, Any] = field(default_factory=dict)
    plots: dict[str, Path] = field(default_factory=dict)

    def __add__(self, other: "Report") -> "Report":
        text = "\n".join(part for part in (self.text, other.text) if part)
        return Report(text, {**self.tables, **other.tables}, {**self.plots, **other.plots})


@dataclass(frozen=True)
class Parent:
    """A trained model that a run starts from.

    Args:
        path: Folder or Hub id of its weights.
        processor: Its processor.
        data: The `data` section of its recipe; empty if there is none.
    """

    path: str
    processor: Any
    data: Mapping[str, Any] = field(default_factory=dict)

    def load_model(self, model_class: type[PreTrainedModel]) -> PreTrainedModel:
        """Another copy of the weights."""
        return model_class.from_pretrained(self.path, use_safetensors=True)


class Task(ABC):
    """What a model is trained for: data, collator, metrics and report.

    A run makes one instance. `load_data` comes first; once model and processor exist, `attach` keeps them, and every
    method below it may use `self.config` and `self.processor`.

    Class attributes:
        name: The folder under `zoo/tasks/`.
        auto_class: The Auto class that loads a model for the task.
        auto_processor: The class whose `from_pretrained` loads the processor saved with a model.
        arguments_class: Dataclass of the recipe's `data` section.
        metric: Primary metric: it chooses the checkpoint, stops early, and is shown in record, card and lists.
        greater_is_better: Whether a higher value of the primary metric is better.
        opposite_metrics: Metrics of the task for which the opposite holds.
        best_value: The highest possible value of a primary metric where higher is better.
        label_names: Arguments of the model's forward that hold the labels.
        pipelines: Name of each transformers pipeline that the task registers -> its class.
        pipeline_tag: The Hub's name of the task; default: the task's own.
        config_fields: Config fields that `load_data` reads.
        teacher_fields: Fields of the config that a teacher (`--teachers`) shares with the model that learns from it.
        teacher_processor_fields: The same of the processor: both must read the same inputs.
        study_sections: What a study's `section` may name: parts of its page that `study_section` writes.
        skill: A model that removes less than this share of the baseline's error from the training rows underfits.
        gap: A model overfits if its error grows by more than this share of the baseline's from training to validation.

    Args:
        arguments: The recipe's `data` section.
        seed: Of augmentation.
        fixed_fields: Names of the config fields that the data may not choose; None: all, as with trained weights.
    """

    name: ClassVar[str]
    auto_class: ClassVar[Any]
    auto_processor: ClassVar[Any]
    arguments_class: ClassVar[type[DataArguments]]
    metric: ClassVar[str]
    greater_is_better: ClassVar[bool] = True
    opposite_metrics: ClassVar[tuple[str, ...]] = ()
    best_value: ClassVar[float] = 1.0
    label_names: ClassVar[tuple[str, ...]] = ("labels",)
    pipelines: ClassVar[Mapping[str, type]] = {}
    pipeline_tag: ClassVar[str] = ""
    config_fields: ClassVar[tuple[str, ...]] = ()
    teacher_fields: ClassVar[tuple[str, ...]] = ()
    teacher_processor_fields: ClassVar[tuple[str, ...]] = ()
    study_sections: ClassVar[tuple[str, ...]] = ()
    skill: ClassVar[float] = 0.8
    gap: ClassVar[float] = 0.05

    def __init__(self, arguments: Any, seed: int = 0, fixed_fields: Collection[str] | None = None):
        self.arguments = arguments
        self.seed = seed
        self.fixed_fields = fixed_fields

    @classmethod
    def hub_tag(cls) -> str:
        """The pipeline tag of a model card."""
        return cls.pipeline_tag or cls.name.replace("_", "-")

    @classmethod
    def training_arguments_class(cls) -> "type[ZooTrainingArguments]":
        """The class of the recipe's `training` section."""
        from zoo.training.arguments import ZooTrainingArguments

        return ZooTrainingArguments

    @abstractmethod
    def load_data(self, config: PreTrainedConfig, processor: Any = None) -> TaskData:
        """Read, check and split the rows.

        Args:
            config: The model's config; `config_fields` are read.
            processor: The processor of the weights that a run starts from or measures: its statistics and vocabulary
                are used in place of new ones from the data.

        Raises:
            FileNotFoundError: The data is nowhere.
            ValueError: The data is damaged, or does not fit config or processor.
        """

    def make_processor(self, family: "Family", config: PreTrainedConfig, data: TaskData) -> Any:
        """What is saved with the model to prepare its inputs: image processor, tokenizer, feature extractor, ..."""
        return data.processor

    def make_model(
        self, model_class: type[PreTrainedModel], config: PreTrainedConfig, data: TaskData, parent: Parent | None
    ) -> PreTrainedModel:
        """A new model, or the parent's weights: with a new head where the labels differ."""
        if parent is None:
            return model_class(config)
        return model_class.from_pretrained(
            parent.path, config=config, ignore_mismatched_sizes=True, use_safetensors=True
        )

    def attach(self, model: PreTrainedModel, processor: Any) -> None:
        """Keep the processor and the model's config; a task that generates gives the model its settings, too."""
        self.config, self.processor = model.config, processor

    @abstractmethod
    def collate(self, rows: Any) -> dict[str, Tensor]:
        """Rows of a data set -> arguments of the model's forward."""

    @abstractmethod
    def evaluate(self, prediction: "Prediction", intervals: bool = False) -> dict[str, float]:
        """The metrics of predictions, during training and for the record alike.

        Args:
            prediction: Of all rows of `prediction.dataset`, in its order.
            intervals: Whether to add what only the record needs: `n`, 95% intervals and slow metrics.
        """

    def make_trainer(self, **kwargs: Any) -> "ZooTrainer":
        """The Trainer of a run; `kwargs` are those of `ZooTrainer` without collator and metrics."""
        from zoo.training.trainer import ZooTrainer

        return ZooTrainer(data_collator=self.collate, compute_metrics=self.evaluate, **kwargs)

    def check_teacher(self, config: PreTrainedConfig, processor: Any) -> None:
        """Raise a ValueError if a teacher with this config and processor reads or answers something else."""
        for mine, theirs, names in (
            (self.config, config, self.teacher_fields),
            (self.processor, processor, self.teacher_processor_fields),
        ):
            for name in names:
                value: Any = getattr(mine, name)
                other: Any = getattr(theirs, name, None)
                if not np.array_equal(value, other):  # numbers, texts, lists or dictionaries
                    raise ValueError(f"has {name}={other}, the model {value}; both must have the same")

    def distillation_loss(
        self, student: Any, teachers: Sequence[Any], inputs: Mapping[str, Tensor], temperature: float
    ) -> Tensor:
        """The distance of a model's outputs from those of its teachers; by default of their probabilities.

        Args:
            student: Outputs of the model that learns.
            teachers: Outputs of trained models for the same batch.
            inputs: The batch.
            temperature: Of a softmax.
        """
        from zoo.training.distillation import soft_label_loss

        return soft_label_loss(student, teachers, inputs, temperature)

    def output_distance(self, first: Any, second: Any, inputs: Mapping[str, Tensor]) -> Tensor:
        """How far two outputs for the same batch differ, a mean over rows or tokens; for R-Drop."""
        from zoo.training.r_drop import symmetric_divergence

        return symmetric_divergence(first, second, inputs)

    def views(self, dataset: Dataset) -> list[Dataset]:
        """The measured rows, then their TTA views in the same order; predictions are averaged over the list."""
        return [dataset]

    @abstractmethod
    def baselines(self, train: Dataset, dataset: Dataset) -> dict[str, dict[str, float]]:
        """Name of a simple baseline -> its metrics on `dataset`.

        The fit verdict measures errors in units of the first baseline that has the primary metric; one must have it.
        """

    def report(self, prediction: "Prediction", model: PreTrainedModel, folder: Path) -> Report:
        """Tables and plots of one split; plots go to `folder`. Without a text the terminal shows all metrics."""
        return Report()

    def before_training(self, model: PreTrainedModel, data: TaskData, parent: Parent | None) -> list[str]:
        """Called once before the first step: warm start, checks of data against the parent, a teacher.

        Returns:
            Warnings for the user.
        """
        return []

    def after_training(self, prediction: "Prediction") -> None:
        """Called with the predictions of the validation split for the final weights: calibration of the processor."""

    def trainable_rows(self, model: PreTrainedModel, data: TaskData) -> Mapping[str, Sequence[int]]:
        """Name of a tensor -> rows that LoRA trains as they are, such as embeddings of new tokens."""
        return {}

    def parent_view(self, dataset: Dataset, processor: Any) -> Dataset | None:
        """The rows as the parent reads them, if the record should compare the metrics before and after training."""
        return None

    def compared_metrics(self, metrics: Mapping[str, float]) -> list[str]:
        """Names of the metrics that the terminal compares before and after training."""
        return [self.metric]

    @classmethod
    def study_section(
        cls, name: str, results: "Sequence[tuple[RunRecord, float]]", metric: str, split: str, plot: Path
    ) -> str:
        """A further part of a study's page.

        Args:
            name: One of `study_sections`.
            results: The record of each finished run, and its value of the metric.
            metric: The primary metric of the study.
            split: The split that it was measured on.
            plot: The PNG file that may be drawn; the page refers to it by `plot.name`.

        Returns:
            Markdown that begins with a heading of level 2; empty if there is nothing to show.
        """
        return ""


__all__ = ["DataArguments", "Parent", "Report", "Task", "TaskData", "option"]
