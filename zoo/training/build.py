"""Where the parts meet: a recipe becomes data, model, processor and Trainer."""

import dataclasses
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel, Trainer, TrainerCallback, set_seed

from zoo.models.base import Family
from zoo.pretrained import check_weights
from zoo.registry import load_family, load_task
from zoo.tasks.base import Task, TaskData

from .averaging import AverageCallback
from .callbacks import ClockCallback, EMACallback, EpochCallback, StopEarlyCallback
from .command_line import RunSettings
from .lora import Lora
from .optimizers import MuonWithAdamW, muon_groups
from .recipe import UsageError, load_recipe
from .token_batches import TokenBatchSampler
from .trainer import zoo_trainer
from .transplant import transplant, vocabulary_tensors
from .weights import find_model


@dataclass
class Parts:
    """Everything that a run works with."""

    family: Family
    task: Task
    data: TaskData
    model: PreTrainedModel
    processor: Any
    trainer: Trainer
    lora: Lora | None = None


def build_config(family: Family, fields: dict[str, Any], start_from: str | None) -> PreTrainedConfig:
    """The family's config with the recipe's fields, on top of a saved one if the run starts from a model.

    Raises:
        UsageError: The fields describe a model that cannot be, or the saved model is of another family.
    """
    try:
        if start_from is None:
            return family.config_class(**fields)
        config = AutoConfig.from_pretrained(start_from, trust_remote_code=False, **fields)
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


def build_model(
    family: Family, task: Task, config: PreTrainedConfig, start_from: str | None, data: TaskData, seed: int = 0
) -> PreTrainedModel:
    """A new model, or saved weights: a new head where labels differ, other rows for another vocabulary."""
    model_class = family.model_classes[task.name]
    if start_from is None:
        return model_class(config)
    if Path(start_from).is_dir():
        check_weights(start_from)
    if data.origins is None:
        return model_class.from_pretrained(
            start_from, config=config, ignore_mismatched_sizes=True, use_safetensors=True
        )
    parent = model_class.from_pretrained(start_from, use_safetensors=True)
    model = model_class(config)
    transplant(parent, model, data.origins, seed)
    return model


def build_lora(settings: RunSettings, data: TaskData, model: PreTrainedModel, weights: str | None) -> Lora | None:
    """Adapters inside the model, if the recipe asks for them.

    Raises:
        UsageError: There are no trained weights to adapt, or peft is not installed.
    """
    rank = settings.zoo.lora_rank
    if not rank:
        return None
    if weights is None:
        advice = "leave --random_weights out" if settings.zoo.random_weights else "name them with --model_name_or_path"
        raise UsageError(f"lora_rank={rank} adapts trained weights: {advice}")
    if data.origins is None:
        return Lora(model, rank, [], [])
    return Lora(model, rank, vocabulary_tensors(model), data.origins.fresh)


def learned_from(weights: str) -> dict[str, Any]:
    """The `data` section of the run that weights came from, if its recipe lies beside them and can be read."""
    path = Path(weights) / "recipe.yaml"
    try:
        return load_recipe(path).data if path.is_file() else {}
    except UsageError:
        return {}


def load_processor(task: Task, model: str) -> Any:
    """The processor that saved weights were trained with."""
    # transformers' Auto classes would ask whether to run code that lies beside the weights.
    is_auto = task.auto_processor.__module__.startswith("transformers.")
    options = {"trust_remote_code": False} if is_auto else {}
    return task.auto_processor.from_pretrained(model, **options)  # type: ignore[attr-defined]


def build_batch_sampler(settings: RunSettings, dataset: Any) -> TokenBatchSampler | None:
    """Batches by tokens, if the recipe asks for them.

    Raises:
        UsageError: The rows have no length.
    """
    tokens = settings.zoo.batch_tokens
    if not tokens:
        return None
    if not hasattr(dataset, "lengths"):
        raise UsageError(
            f"batch_tokens={tokens}: the rows of this task have no length; use per_device_train_batch_size"
        )
    return TokenBatchSampler(dataset.lengths, tokens, settings.training.seed, settings.training.world_size)


def build_callbacks(settings: RunSettings, dataset: Any, batch_sampler: Any) -> list[TrainerCallback]:
    """The clock, the epoch for data and batches that change by it, and what the recipe asks for."""
    zoo = settings.zoo
    callbacks: list[TrainerCallback] = [ClockCallback()]
    if hasattr(dataset, "set_epoch") or batch_sampler is not None:
        callbacks.append(EpochCallback(dataset, batch_sampler))
    if zoo.ema_decay:
        callbacks.append(EMACallback(zoo.ema_decay))
    if zoo.early_stopping_patience:
        callbacks.append(StopEarlyCallback(zoo.early_stopping_patience, zoo.early_stopping_threshold))
    if zoo.average_checkpoints:
        callbacks.append(AverageCallback(zoo.average_checkpoints, zoo.average_checkpoints_by))
    return callbacks


def check_validation(settings: RunSettings, data: TaskData) -> None:
    """What looks at the validation split needs one.

    Raises:
        UsageError: There is none.
    """
    for name in ("early_stopping_patience", "average_checkpoints"):
        if getattr(settings.zoo, name) and (data.validation is None or settings.training.eval_strategy == "no"):
            raise UsageError(
                f"{name} looks at the validation split after each epoch: there is none, or eval_strategy is no"
            )


def build_trainer(
    settings: RunSettings,
    task: Task,
    data: TaskData,
    model: PreTrainedModel,
    processor: Any,
    callbacks: Sequence[TrainerCallback] = (),
    lora: Lora | None = None,
) -> Trainer:
    """The Trainer of a run, with smoothing, moving average and optimizer as the recipe says."""
    collator = task.build_collator(processor, settings.data, model.config, settings.training.seed)
    check_validation(settings, data)
    settings.training.label_names = list(task.label_names)
    batch_sampler = build_batch_sampler(settings, data.train)
    trainer = zoo_trainer(task.trainer_class)(
        model=model,
        args=settings.training,
        train_dataset=data.train,
        eval_dataset=data.validation,
        data_collator=collator,
        compute_metrics=task.compute_metrics,
        processing_class=processor,
        callbacks=[*build_callbacks(settings, data.train, batch_sampler), *callbacks],
    )
    trainer.batch_sampler = batch_sampler
    trainer.generation_samples = settings.zoo.generation_samples
    trainer.undecayed = frozenset(lora.trained if lora is not None else ())
    if settings.zoo.muon_learning_rate:
        decay = set(trainer.get_decay_parameter_names(model))
        rates = (settings.zoo.muon_learning_rate, settings.zoo.muon_momentum)
        trainer.optimizer = MuonWithAdamW(muon_groups(model, *rates, settings.training, decay))
    smoothing = settings.training.label_smoothing_factor
    if smoothing and task.label_smoother is not None:
        trainer.label_smoother = task.label_smoother(smoothing)
    elif smoothing and "label_smoothing" in inspect.signature(model.forward).parameters:
        trainer.label_smoother, trainer.label_smoothing = None, smoothing
    return trainer


def build(
    settings: RunSettings, callbacks: Sequence[TrainerCallback] = (), shared_data: TaskData | None = None
) -> Parts:
    """All parts of a run, in the order in which they need each other.

    Args:
        settings: The recipe with the command line's flags.
        callbacks: Further callbacks of the Trainer, which come after the run's own.
        shared_data: The data, if somebody loaded it before: the runs of a search share it.

    Raises:
        UsageError: Recipe and flags ask for something that cannot be.
        FileNotFoundError: The data is nowhere.
        ValueError: The data is damaged.
    """
    recipe = settings.recipe
    start_from = find_model(recipe.model_name_or_path) if recipe.model_name_or_path else None
    family, task = load_family(recipe.family), load_task(recipe.task)
    set_seed(settings.training.seed)
    config = build_config(family, recipe.model, start_from)
    saved = None if start_from is None else load_processor(task, start_from)
    data = task.load_data(settings.data, config, saved) if shared_data is None else shared_data
    if data.train is None:
        raise UsageError("there is nothing to train on: name the training data, too")
    config = build_config(family, {**recipe.model, **data.model_fields}, start_from)
    weights = None if settings.zoo.random_weights else start_from
    model = build_model(family, task, config, weights, data, settings.training.seed)
    processor = saved if saved is not None and data.origins is None else task.build_processor(family, config, data)
    task.prepare_model(model, processor, settings.data)
    parent, learned, remarks = None, {}, [*data.remarks]
    remarks += task.warm_start(model, data.train, settings.data, weights is not None)
    if weights is not None and task.check_parent is not None:
        parent = family.model_classes[task.name].from_pretrained(weights, use_safetensors=True)
        learned = learned_from(weights)
        remarks += task.check_parent(parent, saved, data.train, learned)
    teacher = None
    if task.build_teacher is not None:
        teacher, told = task.build_teacher(settings.data, parent, saved, data.train, learned)
        remarks += told
    data = dataclasses.replace(data, remarks=remarks)  # the trials of a search share the data, and not the remarks
    lora = build_lora(settings, data, model, weights)
    trainer = build_trainer(settings, task, data, model, processor, callbacks, lora)
    trainer.teacher = teacher
    return Parts(family, task, data, model, processor, trainer, lora)


__all__ = ["Parts", "build", "build_config", "build_model", "build_trainer", "load_processor"]
