"""Measure a saved model again, on any split."""

import dataclasses
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig, Trainer
from transformers.utils import cached_file

from zoo.pretrained import shipped_models
from zoo.record import RECORD_NAME, RunRecord, write_whole
from zoo.registry import FAMILIES, load_family, load_task
from zoo.tasks.base import Task, TaskData

from .build import load_processor
from .command_line import make_parser, parse_flags
from .recipe import Recipe, UsageError, load_recipe
from .run import PICTURES, RECIPE_NAME, Measured, measure
from .trainer import zoo_trainer
from .weights import find_model, load_config

SPLITS = ("train", "validation", "test")
# What a recipe says of the data that it trained on, and what a person names to measure a model on instead.
TRAINED_ON = (
    "dataset_name", "dataset_config_name", "data_dir", "train_file", "validation_file", "train_dir", "validation_dir",
    "extra_train", "keep_pair",
)  # fmt: skip
OWN_TEST = ("test_file", "test_dir")


@dataclass
class EvaluationArguments:
    """What `zoo evaluate` takes beside the task's data flags."""

    split: str = field(default="test", metadata={"help": "train, validation, test or all."})
    output_dir: str | None = field(default=None, metadata={"help": "Write evaluation.json and the pictures there."})
    per_device_eval_batch_size: int = field(default=256, metadata={"help": "Rows a batch; default: the recipe's."})

    def __post_init__(self):
        if self.split not in (*SPLITS, "all"):
            raise ValueError(f"split={self.split!r} is not one of {', '.join(SPLITS)}, all")


def read_recipe(model: str, config: PreTrainedConfig) -> Recipe:
    """The recipe saved with the model; without one, the first task of its family with default data."""
    try:
        path = cached_file(model, RECIPE_NAME, _raise_exceptions_for_missing_entries=False)
    except OSError:
        path = None
    if path is not None:
        return load_recipe(path)
    if config.model_type not in FAMILIES:
        raise UsageError(f"{model} is a {config.model_type}, not one of the families {', '.join(FAMILIES)}")
    return Recipe(id=Path(model).name, family=config.model_type, task=load_family(config.model_type).tasks[0])


def check_fields(config: PreTrainedConfig, data_fields: Mapping[str, Any], model: str) -> None:
    """A model that was made for other data would fail, or be measured wrongly without a word."""
    for name, value in data_fields.items():
        if getattr(config, name) != value:
            raise UsageError(
                f"{model} has {name}={getattr(config, name)}, the data has {name}={value}: evaluate on data like that "
                "of its training (the same classes in the same order, the same channels and covariates)"
            )


@dataclass
class Evaluation:
    """A saved model, its task and the data to measure it on."""

    name: str
    path: str
    recipe: Recipe
    task: Task
    processor: Any
    data_arguments: Any
    arguments: EvaluationArguments
    data: TaskData
    splits: dict[str, Any]


def prepare(argv: Sequence[str], prog: str = "zoo evaluate") -> Evaluation:
    """`MODEL [--split test] [--flag value ...]` -> everything that an evaluation needs, but the weights.

    Raises:
        UsageError: The call is wrong, or model and data do not fit.
        FileNotFoundError, ValueError: The data is missing or damaged.
    """
    usage = f"{prog} MODEL [--split test] [--flag value ...]"
    if argv and argv[0] in ("-h", "--help"):
        print(
            f"usage: {usage}\n\nMODEL is a run's folder, a Hub id or one of {', '.join(shipped_models()) or '(none)'}."
        )
        raise SystemExit(0)
    if not argv or argv[0].startswith("-"):
        raise UsageError(f"name a model first: {usage}")
    model_name = find_model(argv[0])
    config = load_config(model_name, argv[0])
    recipe = read_recipe(model_name, config)
    task = load_task(recipe.task)
    parser = make_parser(task.data_arguments, EvaluationArguments, prog=prog, usage=usage)
    parser.set_defaults(**{name: value for name, value in recipe.data.items() if name not in task.training_fields})
    if rows := recipe.training.get("per_device_eval_batch_size"):  # beams of many long texts at once need memory
        parser.set_defaults(per_device_eval_batch_size=int(rows))
    given = {flag.split("=")[0].removeprefix("--").replace("-", "_") for flag in argv[1:] if flag.startswith("--")}
    if given & {*OWN_TEST} and not given & {*TRAINED_ON}:  # nothing of the training data is needed, or may be here
        parser.set_defaults(**{name: None for name in TRAINED_ON if parser.get_default(name) is not None})
    if given & {"train_file", "train_dir", "dataset_name"}:
        parser.set_defaults(data_dir=None)  # of the data set that the recipe names
    data_arguments, arguments = parse_flags(parser, argv[1:], task.data_arguments, EvaluationArguments)

    processor = load_processor(task, model_name)
    data = task.load_data(data_arguments, config, processor)
    check_fields(config, data.model_fields, argv[0])
    splits = data.splits()
    if arguments.split != "all":
        if arguments.split not in splits:
            raise UsageError(f"--split {arguments.split}: the data has only {', '.join(splits)}")
        splits = {arguments.split: splits[arguments.split]}
    return Evaluation(argv[0], model_name, recipe, task, processor, data_arguments, arguments, data, splits)


def evaluate(argv: Sequence[str], prog: str = "zoo evaluate") -> Measured:
    """`MODEL [--split test] [--flag value ...]`: measure, print and compare with the record.

    Args:
        argv: MODEL is the folder of a run, a shipped model's id or a Hub id.

    Raises:
        UsageError: The call is wrong, or model and data do not fit.
        OSError: The model cannot be loaded.
        FileNotFoundError, ValueError: The data is missing or damaged.
    """
    found = prepare(argv, prog)
    arguments = found.arguments
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(arguments.output_dir or temporary)
        measured = run_evaluation(found, folder)
        if arguments.output_dir is None:
            measured.report.pictures = {}
    recorded = recorded_of(found)
    if arguments.output_dir is not None:
        content = {"model": argv[0], "data": dataclasses.asdict(found.data_arguments), "metrics": measured.metrics}
        write_whole(Path(arguments.output_dir) / "evaluation.json", json.dumps(content, indent=1) + "\n")
    show(argv[0], measured, recorded, found.recipe.deciding_metric(found.task)[0])
    return measured


def recorded_of(found: Evaluation) -> dict[str, dict[str, Any]]:
    """The record's metrics of those splits whose rows are the ones that were measured."""
    if not (Path(found.path) / RECORD_NAME).is_file():
        return {}
    record = RunRecord.read(found.path)
    rows = {split: details.get("sha256") for split, details in record.data.get("splits", {}).items()}
    return {
        split: metrics
        for split, metrics in record.metrics.items()
        if rows.get(split.removesuffix("_plain")) == found.data.fingerprint.get(split.removesuffix("_plain"))
    }


def evaluation_trainer(found: Evaluation, scratch: str) -> Trainer:
    """Load the model into a Trainer that measures. Weights are safetensors, code is this library's."""
    task = found.task
    options = {"use_safetensors": True, "trust_remote_code": False}
    model = task.auto_class.from_pretrained(found.path, **options)  # type: ignore[attr-defined]
    task.prepare_model(model, found.processor, found.data_arguments)
    training = task.training_arguments(
        output_dir=scratch,
        per_device_eval_batch_size=found.arguments.per_device_eval_batch_size,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        label_names=list(task.label_names),
    )
    return zoo_trainer(task.trainer_class)(
        model=model,
        args=training,
        data_collator=task.build_collator(found.processor, found.data_arguments, model.config, training.seed),
        processing_class=found.processor,
    )


def run_evaluation(found: Evaluation, folder: Path) -> Measured:
    """Run the model over the splits and draw the last one's pictures."""
    with tempfile.TemporaryDirectory() as scratch:
        trainer = evaluation_trainer(found, scratch)
        reported = list(found.splits)[-1]
        return measure(trainer, found.task, found.splits, found.data_arguments, reported, folder / PICTURES)


def show(name: str, measured: Measured, record: dict[str, dict[str, Any]], metric: str) -> None:
    """Print the report and, split by split, what was measured beside what the model's record says."""
    print(f"\n{measured.report.text}\n")
    for split, metrics in measured.metrics.items():
        line = f"{name}, {split}: {metric} {metrics[metric]:.4f} (n = {metrics['n']:,})"
        if split in record:
            line += f"; its record says {record[split][metric]:.4f} (n = {record[split]['n']:,})"
        print(line)
    if measured.report.pictures:
        print("pictures:\n" + "\n".join(f"  {path}" for path in measured.report.pictures.values()))


__all__ = ["Evaluation", "EvaluationArguments", "evaluate", "evaluation_trainer", "prepare", "run_evaluation"]
