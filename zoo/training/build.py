"""Where the parts meet: a recipe becomes data, model, processor and Trainer."""

from dataclasses import dataclass
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel, Trainer, TrainerCallback, set_seed

from zoo.family import Family
from zoo.registry import load_family, load_task
from zoo.task import Task, TaskData

from .callbacks import ClockCallback, EMACallback, EpochCallback
from .command_line import RunSettings
from .optimizers import MuonWithAdamW, muon_groups
from .recipe import UsageError
from .trainer import with_every_row


@dataclass
class Parts:
    """Everything that a run works with."""

    family: Family
    task: Task
    data: TaskData
    model: PreTrainedModel
    processor: Any
    trainer: Trainer


def build_config(family: Family, fields: dict[str, Any], start_from: str | None) -> PreTrainedConfig:
    """The family's config with the recipe's fields, on top of a saved one if the run starts from a model.

    Raises:
        UsageError: The fields describe a model that cannot be, or the saved model is of another family.
    """
    try:
        if start_from is None:
            return family.config_class(**fields)
        config = AutoConfig.from_pretrained(start_from, **fields)
        config.validate()  # fields on top of a saved config are set after its own validation
    except (StrictDataclassError, ValueError, TypeError) as error:
        raise UsageError(f"model: {_reason(error)}") from None
    except OSError as error:
        raise UsageError(f"--model_name_or_path {start_from}: {' '.join(str(error).split())}") from None
    if not isinstance(config, family.config_class):
        raise UsageError(
            f"--model_name_or_path {start_from} is a {config.model_type}, the recipe is for {family.name}"
        )
    return config


def _reason(error: Exception) -> str:
    """A strict config wraps a validator's ValueError; people want what the validator said."""
    cause = error.__cause__
    return " ".join(str(cause if isinstance(cause, ValueError) else error).split())


def build_model(family: Family, task: Task, config: PreTrainedConfig, start_from: str | None) -> PreTrainedModel:
    """A new model, or saved weights with a new head where the labels differ."""
    model_class = family.model_classes[task.name]
    if start_from is None:
        return model_class(config)
    return model_class.from_pretrained(start_from, config=config, ignore_mismatched_sizes=True)


def build_processor(family: Family, task: Task, config: PreTrainedConfig, start_from: str | None) -> Any:
    """A new processor, or the one that the saved weights were trained with."""
    if start_from is None:
        return task.build_processor(family, config)
    return task.auto_processor.from_pretrained(start_from)  # type: ignore[attr-defined]


def build_callbacks(settings: RunSettings, dataset: Any) -> list[TrainerCallback]:
    """The clock, the epoch for data that augments by it, the moving average if the recipe has one."""
    callbacks: list[TrainerCallback] = [ClockCallback()]
    if hasattr(dataset, "set_epoch"):
        callbacks.append(EpochCallback(dataset))
    if settings.zoo.ema_decay:
        callbacks.append(EMACallback(settings.zoo.ema_decay))
    return callbacks


def build_trainer(
    settings: RunSettings, task: Task, data: TaskData, model: PreTrainedModel, processor: Any
) -> Trainer:
    """The Trainer of a run, with smoothing, moving average and optimizer as the recipe says."""
    collator = task.build_collator(processor, settings.data, model.config, settings.training.seed)
    trainer = with_every_row(task.trainer_class)(
        model=model,
        args=settings.training,
        train_dataset=data.train,
        eval_dataset=data.validation,
        data_collator=collator,
        compute_metrics=task.compute_metrics,
        processing_class=processor,
        callbacks=build_callbacks(settings, data.train),
    )
    if settings.zoo.muon_learning_rate:
        decay = set(trainer.get_decay_parameter_names(model))
        rates = (settings.zoo.muon_learning_rate, settings.zoo.muon_momentum)
        trainer.optimizer = MuonWithAdamW(muon_groups(model, *rates, settings.training, decay))
    if settings.training.label_smoothing_factor and task.label_smoother is not None:
        trainer.label_smoother = task.label_smoother(settings.training.label_smoothing_factor)
    return trainer


def build(settings: RunSettings) -> Parts:
    """All parts of a run, in the order in which they need each other.

    Raises:
        UsageError: Recipe and flags ask for something that cannot be.
        FileNotFoundError: The data is nowhere.
        ValueError: The data is damaged.
    """
    recipe, start_from = settings.recipe, settings.recipe.model_name_or_path or None
    family, task = load_family(recipe.family), load_task(recipe.task)
    set_seed(settings.training.seed)
    config = build_config(family, recipe.model, start_from)
    data = task.load_data(settings.data, config)
    config = build_config(family, {**recipe.model, **data.model_fields}, start_from)
    model = build_model(family, task, config, start_from)
    processor = build_processor(family, task, config, start_from)
    return Parts(family, task, data, model, processor, build_trainer(settings, task, data, model, processor))


__all__ = ["Parts", "build", "build_config", "build_model", "build_trainer"]
