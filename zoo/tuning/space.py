"""The space of a search: the fields that it chooses, and how points are drawn. Without Ray."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
import yaml

from zoo.registry import load_family, load_task, nearest
from zoo.training.recipe import Fields, Recipe, UsageError, check_keys, config_fields, field_names, read_value

from .overrides import Point

if TYPE_CHECKING:
    import optuna

KINDS = ("uniform", "loguniform", "choice", "randint", "grid")
OPTIONS = ("when", "round")
# Fields that a search sets itself, compares trials by, or that do not change what is learned.
NOT_SEARCHABLE = {
    f"training.{name}"
    for name in (
        "output_dir", "seed", "resume_from_checkpoint", "hub_token", "push_to_hub", "eval_strategy", "save_strategy",
        "save_total_limit", "save_only_model", "load_best_model_at_end", "average_checkpoints", "disable_tqdm",
        "metric_for_best_model", "greater_is_better", "max_steps",
    )
}  # fmt: skip
# What population-based training may change between two epochs; the rest would not fit the weights or the schedule.
MUTABLE = ("learning_rate", "weight_decay", "label_smoothing_factor", "max_grad_norm")


def fits_weights(name: str) -> bool:
    """Whether a model with another value of this `section.field` can still load the same weights."""
    return not name.startswith("model.") or "dropout" in name


@dataclass(frozen=True)
class Dimension:
    """One field that a search chooses.

    Args:
        name: `section.field`, e.g. `training.learning_rate`.
        kind: One of KINDS.
        values: The two ends of a range, or the choices.
        when: Other fields -> the values that activate this one; otherwise it has the recipe's value.
        round: Draws of a range are rounded to multiples of it; 0 switches that off.
    """

    name: str
    kind: str
    values: tuple[Any, ...]
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    round: float = 0.0

    @property
    def section(self) -> str:
        """The recipe's section."""
        return self.name.partition(".")[0]

    @property
    def field(self) -> str:
        """The name within the section."""
        return self.name.partition(".")[2]

    @property
    def has_choices(self) -> bool:
        """Whether it has choices rather than a range."""
        return self.kind in ("choice", "grid")

    @property
    def mutable(self) -> bool:
        """Whether population-based training may change it between two epochs."""
        if self.when or self.section == "data":
            return False
        return fits_weights(self.name) if self.section == "model" else self.field in MUTABLE

    def rounded(self, value: float) -> float:
        """A draw, rounded to `round` and to a few digits, and within the range."""
        if self.round:
            value = round(value / self.round) * self.round
        value = float(f"{value:.4g}") if self.kind == "loguniform" else round(value, 10)
        return min(max(value, float(self.values[0])), float(self.values[1]))

    def draw(self, random: np.random.Generator) -> Any:
        """A random value."""
        if self.has_choices:
            return self.values[int(random.integers(len(self.values)))]
        low, high = self.values
        if self.kind == "randint":
            return int(random.integers(low, high + 1))
        if self.kind == "loguniform":
            return self.rounded(math.exp(random.uniform(math.log(low), math.log(high))))
        return self.rounded(float(random.uniform(low, high)))

    def suggest(self, trial: "optuna.Trial") -> Any:
        """A value that an Optuna trial suggests."""
        if self.has_choices:  # by index: Optuna's choices are numbers and strings only
            return self.values[trial.suggest_categorical(self.name, list(range(len(self.values))))]
        low, high = self.values
        if self.kind == "randint":
            return trial.suggest_int(self.name, low, high)
        return self.rounded(trial.suggest_float(self.name, low, high, log=self.kind == "loguniform"))

    def choices(self) -> Sequence[Any]:
        """Every value.

        Raises:
            UsageError: It has a range.
        """
        if self.kind == "randint":
            return range(self.values[0], self.values[1] + 1)
        if not self.has_choices:
            raise UsageError(f"search, space, {self.name}: a grid needs choices, not a {self.kind} range")
        return self.values

    def is_active(self, point: Point) -> bool:
        """Whether the point's other fields activate this one."""
        return all(name in point and point[name] in allowed for name, allowed in self.when.items())

    def describe(self) -> Fields:
        """As in a recipe."""
        when = {name: list(values) for name, values in self.when.items()}
        options = {"when": when, "round": self.round}
        return {self.kind: list(self.values)} | {key: value for key, value in options.items() if value}


@dataclass(frozen=True)
class Space:
    """The fields that a search chooses; those of a condition come before those that depend on them."""

    dimensions: tuple[Dimension, ...]

    @property
    def names(self) -> list[str]:
        """`section.field` of each dimension."""
        return [dimension.name for dimension in self.dimensions]

    def _point(self, value_of: Callable[[Dimension], Any]) -> Point:
        point: Point = {}
        for dimension in self.dimensions:
            if dimension.is_active(point):
                point[dimension.name] = value_of(dimension)
        return point

    def suggest(self, trial: "optuna.Trial") -> Point:
        """A point that an Optuna trial suggests, field by field, so that it knows the conditions."""
        return self._point(lambda dimension: dimension.suggest(trial))

    def sample(self, count: int, seed: int) -> list[Point]:
        """Up to `count` different random points; field -> value, without inactive fields."""
        random, points = np.random.default_rng(seed), []
        for _ in range(100 * count):
            point = self._point(lambda dimension: dimension.draw(random))
            if point not in points:
                points.append(point)
            if len(points) == count:
                break
        return points

    def grid(self) -> list[Point]:
        """Every point of a space of choices.

        Raises:
            UsageError: A field has a range.
        """

        def point_of(values: tuple[object, ...]) -> Point:
            chosen = dict(zip(self.names, values))
            return self._point(lambda dimension: chosen[dimension.name])

        points: list[Point] = []
        for values in itertools.product(*(dimension.choices() for dimension in self.dimensions)):
            point = point_of(values)
            if point not in points:
                points.append(point)
        return points


def known_fields(recipe: Recipe) -> list[str]:
    """Every `section.field` that a recipe of this family and task may have."""
    family, task = load_family(recipe.family), load_task(recipe.task)
    sections = {
        "data": field_names(task.arguments_class),
        "model": config_fields(family.config_class),
        "training": field_names(task.training_arguments_class()),
    }
    return [f"{section}.{name}" for section, names in sections.items() for name in names]


def is_number(value: object) -> TypeGuard[float]:
    """Whether this is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def read_dimension(name: str, spec: Any, where: str) -> Dimension:
    """A dimension from its entry in the recipe: `{uniform: [0, 0.5]}`, or a plain list of choices.

    Raises:
        UsageError: It cannot be read.
    """
    where = f"{where}, {name}"
    spec = {"choice": spec} if isinstance(spec, list) else spec
    if not isinstance(spec, dict):
        raise UsageError(f"{where}: write e.g. {{uniform: [0, 0.5]}} or a list of choices, not {spec!r}")
    check_keys(spec, [*KINDS, *OPTIONS], where)
    kinds = [kind for kind in KINDS if kind in spec]
    if len(kinds) != 1:
        raise UsageError(f"{where}: give exactly one of {', '.join(KINDS)}, not {', '.join(kinds) or 'none'}")
    kind, values = kinds[0], spec[kinds[0]]
    if not isinstance(values, list) or not values:
        raise UsageError(f"{where}, {kind}: must be a list, not {values!r}")
    if kind not in ("choice", "grid"):
        if len(values) != 2 or not all(map(is_number, values)) or not values[0] < values[1]:
            raise UsageError(f"{where}, {kind}: must be two numbers, the smaller first, not {values!r}")
        if kind == "loguniform" and values[0] <= 0:
            raise UsageError(f"{where}, loguniform: both ends must be above 0, not {values!r}")
        if kind == "randint" and not all(isinstance(value, int) for value in values):
            raise UsageError(f"{where}, randint: must be two whole numbers, not {values!r}")
    step = spec.get("round", 0.0)
    if not is_number(step) or step < 0:
        raise UsageError(f"{where}, round: must be a number above 0, not {step!r}")
    if step and kind not in ("uniform", "loguniform"):
        raise UsageError(f"{where}, round: only ranges of uniform and loguniform are rounded")
    when = {} if spec.get("when") is None else spec["when"]
    if not isinstance(when, dict):
        raise UsageError(f"{where}, when: must map other fields to their values, not {when!r}")
    conditions = {str(key): tuple(value if isinstance(value, list) else [value]) for key, value in when.items()}
    return Dimension(name, kind, tuple(values), conditions, float(step))


def check_when(dimension: Dimension, dimensions: Mapping[str, Dimension], where: str) -> None:
    """A condition names other fields of the space, and values that they can have.

    Raises:
        UsageError: It does not: the field would never be active.
    """
    for name, values in dimension.when.items():
        if name not in dimensions:
            raise UsageError(f"{where}, when: {name!r} is not in the space; {nearest(name, list(dimensions))}")
        other = dimensions[name]
        for value in values:
            if other.has_choices and value not in other.values:
                raise UsageError(f"{where}, when: {name} is never {value!r}, only one of {list(other.values)}")


def read_space(content: Any, recipe: Recipe, where: str) -> Space:
    """The space of a recipe's `search` section.

    Raises:
        UsageError: A field does not exist, a range is wrong, or conditions form a cycle.
    """
    if not isinstance(content, dict) or not content:
        raise UsageError(f"{where}: the space is empty: name fields, e.g. training.learning_rate: {{choice: [0.01]}}")
    known = known_fields(recipe)
    for name in content:
        if name not in known:
            raise UsageError(f"{where}: {str(name)!r} is not a section.field of a recipe; {nearest(str(name), known)}")
        if name in NOT_SEARCHABLE:
            raise UsageError(f"{where}: {name} cannot be searched")
    dimensions = {name: read_dimension(name, spec, where) for name, spec in content.items()}
    for dimension in dimensions.values():
        check_when(dimension, dimensions, f"{where}, {dimension.name}")
    ordered: dict[str, Dimension] = {}
    waiting = dimensions
    while waiting:
        ready = {name: dimension for name, dimension in waiting.items() if dimension.when.keys() <= ordered.keys()}
        if not ready:
            raise UsageError(f"{where}: the conditions of {next(iter(waiting))} form a cycle")
        ordered |= ready
        waiting = {name: dimension for name, dimension in waiting.items() if name not in ready}
    return Space(tuple(ordered.values()))


def parse_flag(text: str) -> tuple[str, Any]:
    """`training.learning_rate={loguniform: [1e-4, 1e-2]}` -> (field, the rest read as YAML).

    Raises:
        UsageError: It is not FIELD=YAML.
    """
    name, separator, spec = text.partition("=")
    if not separator or not name.strip() or not spec.strip():
        raise UsageError(f'--space {text!r}: write FIELD=SPEC, e.g. "model.dropout={{uniform: [0, 0.5]}}"')
    try:
        return name.strip(), read_value(spec)
    except yaml.YAMLError as error:
        raise UsageError(f"--space {name}: cannot read {spec!r}: {' '.join(str(error).split())}") from None


def default_space(recipe: Recipe) -> Fields:
    """The space of the recipe's family, in a recipe's format; without the architecture where weights fix it.

    A recipe with batches by tokens searches their size, any other one the number of rows.
    """
    unused = "per_device_train_batch_size" if recipe.training.get("batch_tokens") else "batch_tokens"
    return {
        name: value
        for name, value in load_family(recipe.family).search_space.items()
        if name != f"training.{unused}" and (not recipe.model_name_or_path or fits_weights(name))
    }


__all__ = ["Dimension", "Space", "default_space", "is_number", "parse_flag", "read_space"]
