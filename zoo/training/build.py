"""A recipe becomes data, model, processor and Trainer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel, TrainerCallback, set_seed

from zoo.models.base import Family
from zoo.pretrained import check_weights
from zoo.registry import FAMILIES, load_family, load_task
from zoo.tasks.base import Parent, Task, TaskData

from .command_line import RunSettings
from .distillation import Distillation
from .lora import Lora
from .recipe import Fields, UsageError, check_family, load_recipe
from .trainer import ZooTrainer
from .weights import find_model, load_config, version_of

RECIPE_NAME = "recipe.yaml"


@dataclass
class Parts:
    """Everything that a run works with.

    Args:
        family: The model's family.
        task: With model and processor attached.
        data: The splits.
        model: The model that is trained.
        processor: What is saved with it.
        trainer: Its Trainer.
        parent: The model that the run starts from, also if only its architecture and processor are taken.
        lora: The adapters, if there are any.
        warnings: What the user should read before training begins.
        origins: Name of each model that the run starts from or learns from -> what `version_of` says of it.
    """

    family: Family
    task: Task
    data: TaskData
    model: PreTrainedModel
    processor: Any
    trainer: ZooTrainer
    parent: Parent | None = None
    lora: Lora | None = None
    warnings: list[str] = field(default_factory=list)
    origins: dict[str, str] = field(default_factory=dict)


def build_config(family: Family, fields: Fields, start_from: str | None) -> PreTrainedConfig:
    """The family's config with the recipe's fields, on top of a saved one if the run starts from a model.

    Raises:
        UsageError: The fields contradict each other, or the saved model is of another family.
    """
    try:
        if start_from is None:
            return family.config_class(**fields)
        config = AutoConfig.from_pretrained(start_from, trust_remote_code=False, **fields)
        config.validate()  # fields on top of a saved config are set after its own validation
    except (StrictDataclassError, ValueError, TypeError) as error:
        cause = error.__cause__  # a strict config wraps a validator's ValueError, which says what is wrong
        reason = " ".join(str(cause if isinstance(cause, ValueError) else error).split())
        raise UsageError(f"model: {reason}") from None
    except OSError as error:
        raise UsageError(f"--model_name_or_path {start_from}: {' '.join(str(error).split())}") from None
    if not isinstance(config, family.config_class):
        raise UsageError(
            f"--model_name_or_path {start_from} is a {config.model_type}, the recipe is for {family.name}"
        )
    return config


def load_processor(task: Task | type[Task], model: str) -> Any:
    """The processor saved with a model."""
    # transformers' Auto classes would ask whether to run code that was saved with the weights.
    is_auto = task.auto_processor.__module__.startswith("transformers.")
    options = {"trust_remote_code": False} if is_auto else {}
    return task.auto_processor.from_pretrained(model, **options)


def load_parent(settings: RunSettings, task: Task) -> Parent | None:
    """The model that a run starts from, with its processor and the `data` section of its recipe if it can be read.

    Raises:
        UsageError: It does not exist, is of another family, or does not fit the recipe's `model` section.
    """
    if not settings.recipe.model_name_or_path:
        return None
    path = find_model(settings.recipe.model_name_or_path)
    build_config(load_family(settings.recipe.family), settings.recipe.model, path)  # errors before the processor's
    recipe = Path(path) / RECIPE_NAME
    try:
        data = load_recipe(recipe).data if recipe.is_file() else {}
    except UsageError:  # of another version of the library
        data = {}
    return Parent(path, load_processor(task, path), data)


def make_task(settings: RunSettings) -> Task:
    """The task of a run; the data may choose config fields that neither the recipe nor trained weights set."""
    recipe = settings.recipe
    fixed = None if recipe.model_name_or_path else recipe.model.keys()
    return load_task(recipe.task)(settings.data, settings.training.seed, fixed)


def load_run_data(settings: RunSettings, task: Task, parent: Parent | None) -> TaskData:
    """The data of a run."""
    config = build_config(load_family(settings.recipe.family), settings.recipe.model, parent.path if parent else None)
    return task.load_data(config, parent.processor if parent else None)


def build_lora(
    settings: RunSettings, task: Task, data: TaskData, model: PreTrainedModel, trained: bool
) -> Lora | None:
    """Adapters inside the model, if the recipe asks for them.

    Args:
        settings: Settings of the run.
        task: Names the rows that are trained as they are.
        data: Data of the run.
        model: Changed in place.
        trained: Whether its weights are trained already.

    Raises:
        UsageError: There are no trained weights to adapt, or peft is not installed.
    """
    rank = settings.training.lora_rank
    if not rank:
        return None
    if not trained:
        advice = "leave --random_weights out" if settings.training.random_weights else "set --model_name_or_path"
        raise UsageError(f"lora_rank={rank} adapts trained weights: {advice}")
    return Lora(model, rank, task.trainable_rows(model, data))


def build_distillation(settings: RunSettings, task: Task) -> Distillation | None:
    """The trained models that the run learns from, if the recipe names any.

    Raises:
        UsageError: One cannot be loaded, or does not read and answer what the model does; the message names the field.
    """
    training, teachers = settings.training, []
    for name in training.teachers or ():
        try:
            path = find_model(name)
            kind = load_config(path).model_type
            if kind in FAMILIES:
                check_family(kind, task.name, name)
            teacher = task.auto_class.from_pretrained(
                path, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
            )
            task.check_teacher(teacher.config, load_processor(task, path))
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise UsageError(f"teachers: {reason if name in reason else f'{name} {reason}'}") from None
        teachers.append(teacher)
    if not teachers:
        return None
    return Distillation(teachers, training.teacher_weight, training.teacher_temperature, task.distillation_loss)


def check_validation(settings: RunSettings, data: TaskData) -> None:
    """Raise a UsageError if something needs evaluations during training, or checkpoints, and there are none."""
    training = settings.training
    for name in ("early_stopping_patience", "average_checkpoints"):
        if getattr(training, name) and (data.validation is None or training.eval_strategy == "no"):
            raise UsageError(
                f"{name} evaluates on the validation split during training: there is none, or eval_strategy is no"
            )
    if training.average_checkpoints and training.save_strategy == "no":
        raise UsageError("average_checkpoints: there are no checkpoints, since save_strategy is no")


def build(
    settings: RunSettings, callbacks: Sequence[TrainerCallback] = (), shared_data: TaskData | None = None
) -> Parts:
    """All parts of a run, in the order in which they need each other.

    Args:
        settings: The recipe with the command line's flags.
        callbacks: Further callbacks of the Trainer, which come after its own.
        shared_data: The data, if it was loaded before: the trials of a search share it.

    Raises:
        UsageError: Recipe and flags ask for something that is not possible.
        FileNotFoundError: The data does not exist.
        ValueError: The data is damaged.
    """
    recipe, training = settings.recipe, settings.training
    set_seed(training.seed)
    family = load_family(recipe.family)
    task = make_task(settings)
    parent = load_parent(settings, task)
    for name in training.teachers or ():
        find_model(name)  # a wrong name is an error before the data is read
    data = load_run_data(settings, task, parent) if shared_data is None else shared_data
    if data.train is None:
        raise UsageError("there is no training data: name it, too")
    fields = {**data.default_fields, **recipe.model, **data.model_fields}
    config = build_config(family, fields, parent.path if parent else None)
    start = None if training.random_weights else parent
    if start is not None and Path(start.path).is_dir():
        check_weights(start.path)
    model = task.make_model(family.model_classes[task.name], config, data, start)
    if parent is not None and data.processor is None:
        processor = parent.processor
    else:
        processor = task.make_processor(family, config, data)
    task.attach(model, processor)
    warnings = [*data.warnings, *task.before_training(model, data, start)]
    lora = build_lora(settings, task, data, model, start is not None)
    check_validation(settings, data)
    epochs = training.num_train_epochs
    training.label_names = list(task.label_names)
    trainer = task.make_trainer(
        model=model,
        args=training,
        train_dataset=data.train,
        eval_dataset=data.validation,
        processing_class=processor,
        callbacks=callbacks,
        no_decay=lora.no_decay if lora is not None else (),
        distillation=build_distillation(settings, task),
        distance_func=task.output_distance,
    )
    if training.num_train_epochs != epochs:  # the Trainer raised it for min_steps
        rows = len(data.train)  # type: ignore[arg-type]
        warnings.append(f"{rows:,} training rows: {training.num_train_epochs} epochs make {training.min_steps} steps")
    models = (recipe.model_name_or_path, *(training.teachers or ()))
    origins = {name: version_of(name) for name in models if name}
    return Parts(family, task, data, model, processor, trainer, parent, lora, warnings, origins)


__all__ = ["Parts", "build", "build_config", "load_parent", "load_processor", "load_run_data", "make_task"]
