"""The command line of training: flags win over the recipe, the recipe wins over the defaults of the arguments."""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from zoo.registry import load_family, load_task, register_all

from .recipe import (
    Fields,
    Recipe,
    UsageError,
    available_recipes,
    check_keys,
    check_recipe,
    config_fields,
    read_recipe,
    read_value,
)

if TYPE_CHECKING:  # a wrong name is reported before torch and transformers are imported
    from zoo.tasks.base import DataArguments, Task

    from .arguments import RunArguments, ZooTrainingArguments

# Training data is named either by own files or as a known data set: a flag of one kind replaces a recipe's other kind.
OWN_FILES, KNOWN_DATA = ("train_file", "train_dir"), ("dataset_name", "data_dir")
REPLACED = {
    "train_file": KNOWN_DATA,
    "train_dir": KNOWN_DATA,
    "dataset_name": (*OWN_FILES, "data_dir"),
}
# Training arguments that compare evaluations by the primary metric.
COMPARES = ("load_best_model_at_end", "early_stopping_patience", "average_checkpoints")


@dataclass
class RunSettings:
    """A recipe with the flags of the command line in it, and the arguments that its sections become.

    Args:
        recipe: What the run's recipe.yaml holds.
        data: The task's data arguments.
        training: The Trainer's arguments.
        run: Where the run starts from.
    """

    recipe: Recipe
    data: "DataArguments"
    training: "ZooTrainingArguments"
    run: "RunArguments"


def parse_overrides(text: str) -> Fields:
    """`"a=1,b=[2,3]"` -> {"a": 1, "b": [2, 3]}, values read as YAML.

    Raises:
        UsageError: A part is not KEY=VALUE.
    """
    overrides: Fields = {}
    parts = text.split(",") if text else []
    while parts:
        key, separator, _ = parts[0].partition("=")
        if not separator or not key.strip():
            raise UsageError(f'--model_overrides: {parts[0]!r} is not KEY=VALUE; write e.g. "classifier_dropout=0.2"')
        # A comma within brackets or quotes does not end a value: the text before it is not YAML by itself.
        for count in range(1, len(parts) + 1):
            value = ",".join(parts[:count]).partition("=")[2]
            try:
                overrides[key.strip()] = read_value(value)
                break
            except yaml.YAMLError as error:
                reason = " ".join(str(error).split())
        else:
            raise UsageError(f"--model_overrides: cannot read {value!r} of {key!r}: {reason}")
        parts = parts[count:]
    return overrides


def flag_names(flags: Iterable[str]) -> set[str]:
    """Names of the fields that flags set."""
    return {flag.split("=")[0][2:].replace("-", "_") for flag in flags if flag.startswith("--")}


def check_data_named_once(names: Iterable[str]) -> None:
    """Raise a UsageError if own files and a known data set are named in one place."""
    for own in OWN_FILES:
        for known in KNOWN_DATA:
            if {own, known} <= {*names}:
                raise UsageError(f"--{own} and --{known} both name the data; leave one out")


def replaced_by(flags: Iterable[str]) -> set[str]:
    """Names of a recipe's data fields that no longer hold when these flags name other data."""
    return {name for flag in flags for name in REPLACED.get(flag, ())} - {*flags}


def metric_arguments(recipe: Recipe, task: "type[Task]", training: Fields) -> Fields:
    """The Trainer's arguments that say how evaluations are compared; transformers' default would be the loss.

    Raises:
        UsageError: Something compares them by a metric that needs generation, which the recipe switched off.
    """
    metric, greater_is_better = recipe.primary_metric(task)
    if metric == task.metric and not training.get("predict_with_generate", True):
        for name in COMPARES:
            if training[name]:
                raise UsageError(
                    f"{name} compares evaluations by {metric}, which needs predict_with_generate: set it to true, or "
                    "set metric_for_best_model to loss"
                )
        return {"metric_for_best_model": None}  # evaluations do not have it
    return {"metric_for_best_model": metric, "greater_is_better": greater_is_better}


def _model_help(recipe: Recipe) -> str | None:
    """The fields that --model_overrides takes."""
    if not recipe.family:  # the weights' own
        return None
    from transformers import PreTrainedConfig

    common = config_fields(PreTrainedConfig)
    names = [name for name in config_fields(load_family(recipe.family).config_class) if name not in common]
    set_by_recipe = ",".join(f"{name}={value}".replace(" ", "") for name, value in recipe.model.items())
    return (
        f"Fields of the model, for --model_overrides: {', '.join(names)}. The recipe sets: {set_by_recipe or 'none'}. "
        "Their meaning is in the docs of the model's configuration."
    )


def parse_run(argv: Sequence[str], prog: str = "zoo train") -> RunSettings:
    """`RECIPE [--flag value ...]` -> everything a run needs.

    Raises:
        UsageError: No such recipe, an unknown flag or key, or a value that does not fit.
    """
    usage = f"{prog} RECIPE [--flag value ...]"
    if argv and argv[0] in ("-h", "--help"):
        print(f"usage: {usage}\n\nRECIPE is one of {', '.join(available_recipes())}, or the path of a YAML file.")
        print(f"`{prog} RECIPE --help` lists the flags of that recipe's task.")
        raise SystemExit(0)
    if not argv or argv[0].startswith("-"):
        raise UsageError(f"name a recipe first: {usage}; recipes: {', '.join(available_recipes())}")
    flags = flag_names(argv)
    if "hub_token" in flags:
        raise UsageError("--hub_token: a token comes from HF_TOKEN or `hf auth login`, never from a command line")
    recipe = read_recipe(argv[0])
    check_data_named_once(flags)
    check_data_named_once(key for key, value in recipe.data.items() if value)

    from .argument_parser import RecipeParser, changed_values, make_arguments  # torch and transformers from here on
    from .arguments import NOT_IN_RECIPE, RunArguments
    from .weights import family_of

    register_all()
    check_recipe(recipe, argv[0])
    replaced = replaced_by(flags)
    if {"num_train_epochs", "max_steps"} & flags:  # whoever names a length means it
        replaced = {*replaced, "min_steps"}
    recipe = dataclasses.replace(
        recipe,
        data={k: v for k, v in recipe.data.items() if k not in replaced},
        training={k: v for k, v in recipe.training.items() if k not in replaced},
    )
    task = load_task(recipe.task)
    data_class, training_class = task.arguments_class, task.training_arguments_class()
    usage = f"{prog} {argv[0]} [--flag value ...]"
    parser = RecipeParser(data_class, RunArguments, training_class, prog=prog, usage=usage, epilog=_model_help(recipe))
    parser.set_recipe({"output_dir": f"runs/{recipe.id}", **recipe.data, **recipe.training})
    parser.set_recipe({"model_name_or_path": recipe.model_name_or_path or None})
    values = parser.parse_values(argv[1:])
    data, training, run = values[data_class], values[training_class], RunArguments(**values[RunArguments])

    start_from = run.model_name_or_path or ""
    family = family_of(recipe, start_from)
    overrides = parse_overrides(run.model_overrides or "")
    check_keys(overrides, config_fields(family.config_class), "--model_overrides")
    # Weights bring their own architecture: the recipe's would not fit other weights.
    model = recipe.model if start_from == recipe.model_name_or_path else {}
    learned = {key: value for key, value in training.items() if key not in NOT_IN_RECIPE}
    resolved = dataclasses.replace(
        recipe,
        family=family.name,
        model_name_or_path=start_from,
        data=changed_values(data_class, data),
        model={**model, **overrides},
        training=changed_values(training_class, learned),
    )
    training |= metric_arguments(resolved, task, training)
    return RunSettings(
        resolved,
        data=make_arguments(data_class, data, f"{argv[0]}, data"),
        training=make_arguments(training_class, training, f"{argv[0]}, training"),
        run=run,
    )


__all__ = ["RunSettings", "parse_overrides", "parse_run"]
