"""Measure a saved model again, on any split."""

import dataclasses
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from transformers import PreTrainedConfig
from transformers.utils import cached_file

from zoo.record import RECORD_NAME, RunRecord, write_whole
from zoo.registry import FAMILIES, load_family, load_task, register_all
from zoo.tasks.base import Task, TaskData

from .argument_parser import RecipeParser, make_arguments
from .arguments import ZooTrainingArguments, argument
from .build import RECIPE_NAME, load_processor
from .command_line import flag_names, replaced_by
from .measure import PLOTS, Measured, measure, show_metrics
from .recipe import Fields, Recipe, UsageError, load_recipe
from .trainer import ZooTrainer
from .weights import load_config, named_model

SPLITS = ("train", "validation", "test")


@dataclass
class EvaluationArguments:
    """The flags of `zoo evaluate` beside the task's data flags."""

    _argument_group_name: ClassVar[str] = "evaluation"  # in the help of the command line

    split: str = argument("test", "train, validation, test or all.")
    output_dir: str | None = argument(None, "Write evaluation.json and the plots there.")
    per_device_eval_batch_size: int = argument(
        ZooTrainingArguments.per_device_eval_batch_size, "Rows a batch; default: the recipe's."
    )

    def __post_init__(self):
        if self.split not in (*SPLITS, "all"):
            raise ValueError(f"split={self.split!r} is not one of {', '.join(SPLITS)}, all")


@dataclass
class Evaluation:
    """A saved model, its task and the data to measure it on.

    Args:
        name: What the command line named.
        path: Folder or Hub id of the model.
        recipe: The recipe saved with it.
        task: With the data arguments of this evaluation.
        processor: The processor saved with it.
        arguments: The flags.
        data: All splits.
        splits: Those that are measured.
    """

    name: str
    path: str
    recipe: Recipe
    task: Task
    processor: Any
    arguments: EvaluationArguments
    data: TaskData
    splits: dict[str, Any]


def saved_recipe(model: str, config: PreTrainedConfig) -> Recipe:
    """The recipe that was saved with a model; without one, the first task of its family with default data."""
    try:
        path = cached_file(model, RECIPE_NAME, _raise_exceptions_for_missing_entries=False)
    except OSError:
        path = None
    if path is not None:
        return load_recipe(path)
    if config.model_type not in FAMILIES:
        raise UsageError(f"{model} is a {config.model_type}, not one of the families {', '.join(FAMILIES)}")
    return Recipe(id=Path(model).name, family=config.model_type, task=load_family(config.model_type).tasks[0])


def check_fields(config: PreTrainedConfig, model_fields: Mapping[str, Any], model: str) -> None:
    """Raise a UsageError if a model was made for other data: it would fail, or be measured wrongly."""
    for name, value in model_fields.items():
        if getattr(config, name) != value:
            raise UsageError(
                f"{model} has {name}={getattr(config, name)}, the data has {name}={value}: evaluate on data like that "
                "of its training (the same classes in the same order, the same channels and covariates)"
            )


def recipe_values(recipe: Recipe, task_class: type[Task], flags: set[str]) -> Fields:
    """The values of a model's recipe that hold for its evaluation with these flags."""
    arguments = task_class.arguments_class
    dropped = {*arguments.names("used_by", "training"), *replaced_by(flags)}
    values = {name: value for name, value in recipe.data.items() if name not in dropped}
    own_training, own_test = arguments.names("source", "train"), arguments.names("source", "test")
    if flags & {*own_test} and not flags & {*own_training}:  # the training data is not needed, and may not be here
        values |= dict.fromkeys(own_training)
    if rows := recipe.training.get("per_device_eval_batch_size"):
        values["per_device_eval_batch_size"] = int(rows)
    return values


def prepare(argv: Sequence[str], prog: str = "zoo evaluate") -> Evaluation:
    """`MODEL [--split test] [--flag value ...]` -> everything that an evaluation needs, but the weights.

    Raises:
        UsageError: The call is wrong, or model and data do not fit.
        FileNotFoundError, ValueError: The data is missing or damaged.
    """
    path = named_model(argv, prog)
    register_all()
    config = load_config(path, argv[0])
    recipe = saved_recipe(path, config)
    task_class = load_task(recipe.task)
    parser = RecipeParser(
        task_class.arguments_class,
        EvaluationArguments,
        prog=prog,
        usage=f"{prog} {argv[0]} [--split test] [--flag value ...]",
    )
    parser.set_recipe(recipe_values(recipe, task_class, flag_names(argv)))
    data_values, own_values = parser.parse_values(argv[1:]).values()
    arguments = make_arguments(EvaluationArguments, own_values, "arguments")
    task = task_class(make_arguments(task_class.arguments_class, data_values, "arguments"))

    processor = load_processor(task, path)
    data = task.load_data(config, processor)
    check_fields(config, data.model_fields, argv[0])
    splits = data.splits()
    if arguments.split != "all":
        if arguments.split not in splits:
            raise UsageError(f"--split {arguments.split}: the data has only {', '.join(splits)}")
        splits = {arguments.split: splits[arguments.split]}
    return Evaluation(argv[0], path, recipe, task, processor, arguments, data, splits)


def evaluation_arguments(task: Task, output_dir: str, **values: Any) -> ZooTrainingArguments:
    """The Trainer's arguments to measure a model, without training."""
    return task.training_arguments_class()(
        output_dir=output_dir, eval_strategy="no", save_strategy="no", label_names=list(task.label_names), **values
    )


def evaluation_trainer(evaluation: Evaluation, scratch: str, **values: Any) -> ZooTrainer:
    """Load the model into a Trainer that measures. Weights are safetensors, code is this library's.

    Args:
        evaluation: What `prepare` returned.
        scratch: A folder that the Trainer may write to.
        values: Further training arguments.
    """
    task = evaluation.task
    model = task.auto_class.from_pretrained(evaluation.path, use_safetensors=True, trust_remote_code=False)
    task.attach(model, evaluation.processor)
    rows = evaluation.arguments.per_device_eval_batch_size
    arguments = evaluation_arguments(task, scratch, per_device_eval_batch_size=rows, **values)
    return task.make_trainer(model=model, args=arguments, processing_class=evaluation.processor)


def recorded_metrics(evaluation: Evaluation) -> dict[str, dict[str, float]]:
    """The record's metrics of those splits whose rows are the ones that were measured."""
    if not (Path(evaluation.path) / RECORD_NAME).is_file():
        return {}
    record, fingerprint = RunRecord.read(evaluation.path), evaluation.data.fingerprint
    rows = {split: details.get("sha256") for split, details in record.data.get("splits", {}).items()}
    return {
        split: metrics
        for split, metrics in record.metrics.items()
        if rows.get(split.removesuffix("_plain")) == fingerprint.get(split.removesuffix("_plain"))
    }


def evaluate(argv: Sequence[str], prog: str = "zoo evaluate") -> Measured:
    """`MODEL [--split test] [--flag value ...]`: measure, print and compare with the record.

    Args:
        argv: The command line.
        prog: The command, for the help.

    Returns:
        The metrics of each split, and the report on the last one.

    Raises:
        UsageError: The call is wrong, or model and data do not fit.
        OSError: The model cannot be loaded.
        FileNotFoundError, ValueError: The data is missing or damaged.
    """
    evaluation = prepare(argv, prog)
    if evaluation.data.train is None:  # rows of one's own; of others the training run has said it
        for warning in evaluation.data.warnings:
            print(warning, flush=True)
    output_dir = evaluation.arguments.output_dir
    with tempfile.TemporaryDirectory() as scratch:
        trainer = evaluation_trainer(evaluation, scratch)
        folder = Path(output_dir or scratch) / PLOTS
        measured = measure(trainer, evaluation.task, evaluation.splits, list(evaluation.splits)[-1], folder)
    if output_dir is None:
        measured.report.plots = {}
    else:
        data = dataclasses.asdict(evaluation.task.arguments)
        content = {"model": argv[0], "data": data, "metrics": measured.metrics}
        write_whole(Path(output_dir) / "evaluation.json", json.dumps(content, indent=1) + "\n")
    metric, _ = evaluation.recipe.primary_metric(evaluation.task)
    if metric not in measured.metrics[measured.reported]:  # a loss
        metric = evaluation.task.metric
    show_metrics(argv[0], measured, recorded_metrics(evaluation), metric)
    return measured


__all__ = ["Evaluation", "EvaluationArguments", "evaluate", "evaluation_arguments", "evaluation_trainer", "prepare"]
