"""Recipes: one YAML file holds everything that makes a run. An unknown key anywhere is an error."""

import dataclasses
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from zoo.registry import load_family, load_task, nearest

from .strict_yaml import UsageError, read_value, read_yaml, write_yaml

if TYPE_CHECKING:  # a wrong recipe is reported before torch and transformers are imported
    from zoo.tasks.base import Task

# Name -> value, as YAML reads it.
Fields: TypeAlias = dict[str, Any]
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


@dataclass
class Recipe:
    """What makes a run.

    Args:
        id: The recipe's file name without `.yaml`; a published model and its card folder have the same.
        family: A name of `zoo.registry.FAMILIES`; empty if the weights that a run starts from bring it.
        task: A name of `zoo.registry.TASKS`.
        description: One sentence for the lists.
        model_name_or_path: Weights to start from; `model` then holds only what differs from their config.
        data: Fields of the task's data arguments.
        model: Fields of the family's config.
        training: Fields of the task's training arguments.
        search: Search space and settings of `zoo tune`.
        publish: What the card says beside the measurements: title, licence, summary, limits, tags, ...
    """

    id: str
    family: str
    task: str
    description: str = ""
    model_name_or_path: str = ""
    data: Fields = field(default_factory=dict)
    model: Fields = field(default_factory=dict)
    training: Fields = field(default_factory=dict)
    search: Fields = field(default_factory=dict)
    publish: Fields = field(default_factory=dict)

    def to_dict(self) -> Fields:
        """Everything but empty sections, in the order of a recipe file."""
        return {key: value for key, value in dataclasses.asdict(self).items() if value not in ("", {})}

    def to_yaml(self) -> str:
        """The recipe as a file that `load_recipe` reads back."""
        return write_yaml(self.to_dict())

    def what_is_learnt(self) -> Fields:
        """The part that decides the weights: two runs with the same are the same run."""
        from .arguments import NOT_LEARNED

        task = load_task(self.task)
        evaluation = task.arguments_class.names("used_by", "evaluation")
        defaults = default_values(task.training_arguments_class())
        training = {key: value for key, value in self.training.items() if value != defaults.get(key)}
        keys = ("family", "task", "model_name_or_path", "model")
        return {
            **{key: value for key, value in self.to_dict().items() if key in keys},
            "data": {key: value for key, value in self.data.items() if key not in evaluation},
            "training": {key: value for key, value in training.items() if key not in NOT_LEARNED},
        }

    def primary_metric(self, task: "type[Task] | Task") -> tuple[str, bool]:
        """The metric that compares evaluations, and whether higher is better: `metric_for_best_model`, or the task's.

        `greater_is_better` of the recipe, or what the task knows of its metrics. "loss" is possible too; the verdict
        on the fit then takes the task's metric, since baselines have no loss.
        """
        name = (self.training.get("metric_for_best_model") or task.metric).removeprefix("eval_")
        default = not name.endswith("loss") and task.greater_is_better != (name in task.opposite_metrics)
        greater_is_better = self.training.get("greater_is_better")
        return name, default if greater_is_better is None else bool(greater_is_better)


def available_recipes() -> list[str]:
    """Ids of the recipes that the library ships."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def check_keys(section: Mapping[str, object], known: Iterable[str], where: str) -> None:
    """Raise a UsageError that names the first unknown key, where it is and the nearest known one."""
    names = list(known)
    for key in section:
        if key not in names:
            raise UsageError(f"{where}: unknown key {key!r}; {nearest(str(key), names)}")


def default_values(cls: type) -> Fields:
    """Name -> default of each field that a dataclass takes in its constructor."""
    return {
        f.name: f.default if f.default_factory is dataclasses.MISSING else f.default_factory()
        for f in dataclasses.fields(cls)
        if f.init
    }


def field_names(cls: type) -> list[str]:
    """Names of the fields that a dataclass takes in its constructor."""
    return list(default_values(cls))


def config_fields(config_class: type) -> list[str]:
    """Keys that a recipe's `model` section may have."""
    return [*field_names(config_class), "num_labels"]


def check_family(family: str, task: str, where: str) -> None:
    """Raise a UsageError if a family cannot do a task."""
    tasks = load_family(family).tasks
    if task not in tasks:
        raise UsageError(f"{where}: the family {family} can do {', '.join(tasks)}, not {task}")


def read_recipe(name: str | os.PathLike) -> Recipe:
    """As `load_recipe`, without a look into the sections, which needs torch and transformers."""
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        if str(name) not in available_recipes():
            raise UsageError(f"no recipe {str(name)!r}; {nearest(str(name), available_recipes())}")
        path = RECIPES / f"{name}.yaml"
    content = read_yaml(path, "recipe")
    if not isinstance(content, dict):
        raise UsageError(f"{path}: a recipe is a mapping with the keys family, task, data, model and training")
    check_keys(content, field_names(Recipe), str(path))
    if "task" not in content:
        raise UsageError(f"{path}: the key 'task' is missing")
    for section in SECTIONS:
        content[section] = {} if content.get(section) is None else content[section]
        if not isinstance(content[section], dict):
            raise UsageError(f"{path}: {section} must be a mapping, not {type(content[section]).__name__}")
    return Recipe(**{"id": path.stem, "family": "", **content})


def check_recipe(recipe: Recipe, where: str) -> None:
    """Raise a UsageError for the first key of a section that nothing reads."""
    try:
        task = load_task(recipe.task)
        family = load_family(recipe.family) if recipe.family else None
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from None
    if family is None and recipe.model:
        raise UsageError(f"{where}: model: name the family whose fields these are, or leave the section out")
    if family is not None:
        check_family(recipe.family, recipe.task, where)
        check_keys(recipe.model, config_fields(family.config_class), f"{where}, model")
    check_keys(recipe.data, field_names(task.arguments_class), f"{where}, data")
    check_keys(recipe.training, field_names(task.training_arguments_class()), f"{where}, training")
    check_keys(recipe.search, SEARCH_KEYS, f"{where}, search")
    check_keys(recipe.publish, PUBLISH_KEYS, f"{where}, publish")
    if "hub_token" in recipe.training:
        raise UsageError(f"{where}, training: hub_token: a token comes from HF_TOKEN or a login, not from a file")
    for key, value in recipe.publish.items():
        for text in value if isinstance(value, list) else [value]:
            if not isinstance(text, str):  # YAML reads `- Only logs: no zeros` as a mapping and `no` as False
                raise UsageError(f"{where}, publish: {key}: YAML reads {text!r}, which is not text: put it in quotes")


def load_recipe(name: str | os.PathLike) -> Recipe:
    """A shipped recipe by its id, or a recipe file by its path.

    Raises:
        UsageError: There is no such recipe, or it is not a recipe; the message names file, key and nearest known key.
    """
    recipe = read_recipe(name)
    check_recipe(recipe, str(name) if Path(name).suffix else str(RECIPES / f"{name}.yaml"))
    return recipe


__all__ = [
    "Fields",
    "Recipe",
    "UsageError",
    "available_recipes",
    "check_family",
    "check_keys",
    "check_recipe",
    "config_fields",
    "load_recipe",
    "read_recipe",
    "read_value",
    "read_yaml",
    "write_yaml",
]
