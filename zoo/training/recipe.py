"""Recipes: one YAML file holds everything that makes a run. Strict: an unknown key anywhere is an error."""

import dataclasses
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from zoo.registry import load_family, load_task, nearest
from zoo.tasks.base import Task

from .arguments import ZooTrainingArguments

RECIPES = Path(__file__).parents[1] / "recipes"
SECTIONS = ("data", "model", "training", "search", "publish")
SEARCH_KEYS = (
    "space", "algorithm", "scheduler", "trials", "minutes", "total_epochs", "grace_epochs", "reduction_factor",
    "perturb_epochs", "seed", "cpus_per_trial", "gpus_per_trial", "trial",
)  # fmt: skip
PUBLISH_KEYS = (
    "title", "license", "summary", "limits", "tags", "language", "datasets", "citation", "test_looks", "example",
    "license_name", "data_license", "out_of_scope",
)  # fmt: skip

# What a run does unless its recipe or a flag says otherwise.
TRAINING_DEFAULTS = {
    "eval_strategy": "epoch",
    "save_strategy": "epoch",
    "save_total_limit": 2,
    "logging_strategy": "epoch",
    "per_device_eval_batch_size": 256,
    "remove_unused_columns": False,
    "dataloader_pin_memory": False,
    # A run is published whole when it has been measured, not checkpoint by checkpoint.
    "hub_strategy": "end",
}


class UsageError(ValueError):
    """Somebody asked for something that cannot be: a command ends with exit code 2."""


@dataclass
class Recipe:
    """What makes a run.

    Args:
        id: The recipe's file name without `.yaml`; a published model and its card folder have the same.
        family: A name of `zoo.registry.FAMILIES`; empty in a recipe that goes on with any model: its family then.
        task: A name of `zoo.registry.TASKS`.
        description: One sentence for the lists.
        model_name_or_path: Weights to start from; `model` then holds only what differs from their config.
        data: Fields of the task's data arguments.
        model: Fields of the family's config.
        training: Fields of the task's training arguments and of `ZooTrainingArguments`.
        search: Ranges for Ray Tune.
        publish: What only a person can say on the card: title, licence, summary, limits, tags, languages, data sets of
            the Hub, citation, how often the test split was looked at if not once, an example of an input, the data's
            licence, and uses that are out of scope.
    """

    id: str
    family: str
    task: str
    description: str = ""
    model_name_or_path: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    search: dict[str, Any] = field(default_factory=dict)
    publish: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Everything but empty sections, in the order of a recipe file."""
        return {key: value for key, value in dataclasses.asdict(self).items() if value not in ("", {})}

    def what_is_learnt(self) -> dict[str, Any]:
        """The part that decides the weights, and so whether two runs are the same."""
        keys = ("family", "task", "model_name_or_path", "data", "model", "training")
        evaluation = load_task(self.task).evaluation_fields
        data = {key: value for key, value in self.data.items() if key not in evaluation}
        after = ("save_dtype", "per_device_eval_batch_size")  # these come after learning, or beside it
        training = {
            key: value
            for key, value in self.training.items()
            if key not in after and value != TRAINING_DEFAULTS.get(key)
        }
        found = {key: value for key, value in self.to_dict().items() if key in keys}
        return {**found, "data": data, "training": training}

    def deciding_metric(self, task: Task) -> tuple[str, bool]:
        """The metric that decides, and whether higher is better: the recipe's, or the task's."""
        name = self.training.get("metric_for_best_model") or "loss"
        if name in ("loss", "eval_loss"):
            return task.best_metric, task.greater_is_better
        return name.removeprefix("eval_"), bool(self.training.get("greater_is_better", True))

    def to_yaml(self) -> str:
        """The recipe as a file that `load_recipe` reads back."""
        return write_yaml(self.to_dict())


class UniqueKeyLoader(yaml.SafeLoader):
    """YAML in which a key that stands twice is an error, where PyYAML silently takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        """A mapping's keys and values."""
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":  # <<: *anchor, whose keys may be replaced
                continue
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


class Dumper(yaml.SafeDumper):
    """Writes what UniqueKeyLoader reads back: a text such as `1e5` gets quotes."""


# YAML 1.1 wants `1.0e-4`; people, JSON and Python write `1e-4` and mean the number.
for side in (UniqueKeyLoader, Dumper):
    side.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+\.?\d*[eE][-+]?\d+$"), list("-+0123456789")
    )


def write_yaml(content: Any) -> str:
    """A recipe's content, or a part of it, in the order of its keys."""
    return yaml.dump(content, Dumper=Dumper, sort_keys=False, allow_unicode=True)


def read_value(text: str) -> Any:
    """What YAML makes of a value on a command line.

    Raises:
        yaml.YAMLError: It is no YAML.
    """
    try:
        return yaml.load(text, Loader=UniqueKeyLoader)
    except ValueError as error:  # what looks like a date or a number and is none
        raise yaml.YAMLError(f"{text!r}: {error}; put a text in quotes") from None


def available_recipes() -> list[str]:
    """Ids of the recipes that the library ships."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def check_keys(section: dict[str, Any], known: list[str], where: str) -> None:
    """Raise a UsageError that names the first unknown key, where it stands and the nearest known one."""
    for key in section:
        if key not in known:
            raise UsageError(f"{where}: unknown key {key!r}; {nearest(str(key), known)}")


def field_names(*classes: type) -> list[str]:
    """Names of the fields that the dataclasses take in their constructors."""
    return [f.name for cls in classes for f in dataclasses.fields(cls) if f.init]


def config_fields(config_class: type) -> list[str]:
    """Keys that a recipe's `model` section may have."""
    return [*field_names(config_class), "num_labels"]


def check_texts(publish: dict[str, Any], where: str) -> None:
    """What a person says on the card is text: YAML makes a mapping of `- Only logs: no zeros`, and False of `no`."""
    for key, value in publish.items():
        for text in value if isinstance(value, list) else [value]:
            if not isinstance(text, str):
                raise UsageError(f"{where}, publish: {key}: YAML reads {text!r}, which is no text: put it in quotes")


def check_family(family: str, task: str, where: str) -> None:
    """Raise a UsageError if a family does not do a task."""
    tasks = load_family(family).tasks
    if task not in tasks:
        raise UsageError(f"{where}: the family {family} does {', '.join(tasks)}, not {task}")


def check_recipe(recipe: Recipe, where: str) -> None:
    """Every key of every section is one that something reads."""
    try:
        task = load_task(recipe.task)
        family = load_family(recipe.family) if recipe.family else None
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from None
    if family is None and recipe.model:
        raise UsageError(f"{where}: model: its fields are a family's: name it, or leave the section out")
    if family is not None:
        check_family(recipe.family, recipe.task, where)
        check_keys(recipe.model, config_fields(family.config_class), f"{where}, model")
    check_keys(recipe.data, field_names(task.data_arguments), f"{where}, data")
    check_keys(recipe.training, field_names(task.training_arguments, ZooTrainingArguments), f"{where}, training")
    if "hub_token" in recipe.training:
        raise UsageError(f"{where}, training: hub_token: a token comes from HF_TOKEN or a login, not from a file")
    check_keys(recipe.search, list(SEARCH_KEYS), f"{where}, search")
    check_keys(recipe.publish, list(PUBLISH_KEYS), f"{where}, publish")
    check_texts(recipe.publish, where)


def read_yaml(path: Path, kind: str) -> Any:
    """What a YAML file holds, no key twice.

    Raises:
        UsageError: There is no such file of that kind, or it is not YAML.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=UniqueKeyLoader)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such {kind} file") from None
    except (yaml.YAMLError, ValueError) as error:
        raise UsageError(f"{path}: not a YAML file: {' '.join(str(error).split())}") from None


def load_recipe(name: str | os.PathLike) -> Recipe:
    """A shipped recipe by its id, or a recipe file by its path.

    Raises:
        UsageError: There is no such recipe, or it is not a recipe; the message names file, key and the nearest known.
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        if str(name) not in available_recipes():
            raise UsageError(f"no recipe {str(name)!r}; {nearest(str(name), available_recipes())}")
        path = RECIPES / f"{name}.yaml"
    content = read_yaml(path, "recipe")
    if not isinstance(content, dict):
        raise UsageError(f"{path}: a recipe is a mapping with the keys family, task, data, model and training")
    keys = [f.name for f in dataclasses.fields(Recipe)]
    check_keys(content, keys, str(path))
    if "task" not in content:
        raise UsageError(f"{path}: the key 'task' is missing")
    content.setdefault("family", "")
    for section in SECTIONS:
        content[section] = {} if content.get(section) is None else content[section]
        if not isinstance(content[section], dict):
            raise UsageError(f"{path}: {section} must be a mapping, not {type(content[section]).__name__}")
    recipe = Recipe(**{"id": path.stem, **content})
    check_recipe(recipe, str(path))
    return recipe


__all__ = [
    "Recipe",
    "UsageError",
    "available_recipes",
    "check_family",
    "check_keys",
    "check_recipe",
    "config_fields",
    "load_recipe",
    "read_yaml",
]
