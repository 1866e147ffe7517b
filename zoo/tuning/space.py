"""The `search` section of a recipe: what may be chosen, and how points of the space are drawn. Without Ray."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import yaml

from zoo.registry import load_family, load_task, nearest
from zoo.training.arguments import ZooTrainingArguments
from zoo.training.recipe import Recipe, UsageError, check_keys, config_fields, field_names, read_value

SECTIONS = ("data", "model", "training")
KINDS = ("uniform", "loguniform", "choice", "randint", "grid")
OPTIONS = ("when", "round")
# What a search sets for each trial, what it compares trials by, and what no training learns from.
NOTHING_TO_SEARCH = {
    f"training.{name}"
    for name in (
        "output_dir", "seed", "resume_from_checkpoint", "hub_token", "push_to_hub", "eval_strategy", "save_strategy",
        "save_total_limit", "save_only_model", "load_best_model_at_end", "average_checkpoints", "disable_tqdm",
        "metric_for_best_model", "greater_is_better", "max_steps",
    )
}  # fmt: skip
# What a population may change while it trains; everything else would not fit the weights or the schedule.
MUTABLE_TRAINING = ("learning_rate", "weight_decay", "label_smoothing_factor", "max_grad_norm")


@dataclass(frozen=True)
class Dimension:
    """One field that a search chooses.

    Args:
        name: `section.field`, e.g. `training.learning_rate`.
        kind: One of KINDS.
        values: The two ends of a range, or the choices.
        when: Other fields -> the values at which this one counts; elsewhere the recipe's own value stands.
        round: Draws of a range are rounded to multiples of it; 0: not at all.
    """

    name: str
    kind: str
    values: tuple[Any, ...]
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    round: float = 0.0

    @property
    def section(self) -> str:
        """Of the recipe."""
        return self.name.partition(".")[0]

    @property
    def field(self) -> str:
        """Name within the section."""
        return self.name.partition(".")[2]

    @property
    def finite(self) -> bool:
        """Whether it has choices rather than a range."""
        return self.kind in ("choice", "grid")

    def rounded(self, value: float) -> float:
        """A draw, rounded as the recipe asks, without digits that nobody would type, and still within its range."""
        if self.round:
            value = round(value / self.round) * self.round
        value = float(f"{value:.4g}") if self.kind == "loguniform" else round(value, 10)
        return min(max(value, float(self.values[0])), float(self.values[1]))

    def draw(self, random: np.random.Generator) -> Any:
        """A value at random."""
        if self.finite:
            return self.values[int(random.integers(len(self.values)))]
        low, high = self.values
        if self.kind == "randint":
            return int(random.integers(low, high + 1))
        if self.kind == "loguniform":
            return self.rounded(math.exp(random.uniform(math.log(low), math.log(high))))
        return self.rounded(float(random.uniform(low, high)))

    def ask(self, trial: Any) -> Any:
        """A value that an Optuna trial suggests."""
        if self.finite:  # by its place: Optuna's choices are numbers and texts only
            return self.values[trial.suggest_categorical(self.name, list(range(len(self.values))))]
        low, high = self.values
        if self.kind == "randint":
            return trial.suggest_int(self.name, low, high)
        return self.rounded(trial.suggest_float(self.name, low, high, log=self.kind == "loguniform"))

    def counts(self, point: Mapping[str, Any]) -> bool:
        """Whether the rest of a point lets this field count."""
        return all(name in point and point[name] in allowed for name, allowed in self.when.items())

    @property
    def mutable(self) -> bool:
        """Whether population-based training may change it between two epochs."""
        if self.when or self.section == "model":
            return not self.when and "dropout" in self.field
        return self.section == "training" and self.field in MUTABLE_TRAINING


@dataclass(frozen=True)
class Space:
    """All that a search may choose, the conditions' fields before those that depend on them."""

    dimensions: tuple[Dimension, ...]

    def _fill(self, value_of: Any) -> dict[str, Any]:
        point: dict[str, Any] = {}
        for dimension in self.dimensions:
            if dimension.counts(point):
                point[dimension.name] = value_of(dimension)
        return point

    def draw(self, random: np.random.Generator) -> dict[str, Any]:
        """A point at random: field -> value, without fields that do not count there."""
        return self._fill(lambda dimension: dimension.draw(random))

    def ask(self, trial: Any) -> dict[str, Any]:
        """A point that an Optuna trial suggests, field by field, so that conditions are known to it."""
        return self._fill(lambda dimension: dimension.ask(trial))

    def sample(self, count: int, seed: int) -> list[dict[str, Any]]:
        """So many different points; fewer where the space has fewer."""
        random, points = np.random.default_rng(seed), []
        for _ in range(100 * count):
            point = self.draw(random)
            if point not in points:
                points.append(point)
            if len(points) == count:
                break
        return points

    def grid(self) -> list[dict[str, Any]]:
        """Every point of a space of choices.

        Raises:
            UsageError: A field has a range.
        """
        for dimension in self.dimensions:
            if not dimension.finite and dimension.kind != "randint":
                raise UsageError(
                    f"search, space, {dimension.name}: a grid needs choices, not a {dimension.kind} range"
                )
        points: list[dict[str, Any]] = []
        for values in itertools.product(*map(_choices, self.dimensions)):
            given = dict(zip((dimension.name for dimension in self.dimensions), values))
            point = self._fill(lambda dimension, given=given: given[dimension.name])
            if point not in points:
                points.append(point)
        return points


def _choices(dimension: Dimension) -> Sequence[Any]:
    if dimension.kind == "randint":
        return range(dimension.values[0], dimension.values[1] + 1)
    return dimension.values


def overrides_of(point: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """A point as overrides of a recipe: section -> field -> value."""
    sections: dict[str, dict[str, Any]] = {}
    for name, value in point.items():
        section, _, key = name.partition(".")
        sections.setdefault(section, {})[key] = value
    return sections


def known_fields(recipe: Recipe) -> dict[str, list[str]]:
    """Section -> fields that a recipe of this family and task may have."""
    family, task = load_family(recipe.family), load_task(recipe.task)
    return {
        "data": field_names(task.data_arguments),
        "model": config_fields(family.config_class),
        "training": field_names(task.training_arguments, ZooTrainingArguments),
    }


def check_name(name: Any, fields: Mapping[str, list[str]], where: str) -> None:
    """A dimension is `section.field` of the recipe.

    Raises:
        UsageError: It is not; the message names the nearest.
    """
    section, dot, key = str(name).partition(".")
    known = [f"{one}.{field}" for one, names in fields.items() for field in names]
    if not dot or section not in fields or key not in fields[section]:
        raise UsageError(f"{where}: {str(name)!r} is no section.field of a recipe; {nearest(str(name), known)}")
    if name in NOTHING_TO_SEARCH:
        raise UsageError(f"{where}: {name} is nothing to search over")


def read_dimension(name: str, spec: Any, where: str) -> Dimension:
    """A dimension from what the recipe says of it: `{uniform: [0, 0.5]}`, or a plain list of choices.

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
        numbers = [value for value in values if is_number(value)]
        if len(numbers) != 2 or len(values) != 2 or not numbers[0] < numbers[1]:
            raise UsageError(f"{where}, {kind}: must be two numbers, the smaller first, not {values!r}")
        if kind == "loguniform" and numbers[0] <= 0:
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


def is_number(value: Any) -> bool:
    """Whether this is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def check_when(dimension: Dimension, dimensions: Mapping[str, Dimension], where: str) -> None:
    """A condition names other fields of the space, and values that they can have: else the field would never count.

    Raises:
        UsageError: It does not.
    """
    for name, values in dimension.when.items():
        if name not in dimensions:
            raise UsageError(f"{where}, when: {name!r} is not in the space; {nearest(name, list(dimensions))}")
        other = dimensions[name]
        for value in values:
            if other.finite and value not in other.values:
                raise UsageError(f"{where}, when: {name} is never {value!r}, only one of {list(other.values)}")


def read_space(content: Any, recipe: Recipe, where: str) -> Space:
    """The space of a recipe's `search` section.

    Raises:
        UsageError: A field does not exist, a range cannot be, or conditions wait for each other.
    """
    if not isinstance(content, dict) or not content:
        raise UsageError(f"{where}: the space is empty: name fields, e.g. training.learning_rate: {{choice: [0.01]}}")
    fields = known_fields(recipe)
    for name in content:
        check_name(name, fields, where)
    dimensions = {name: read_dimension(name, spec, where) for name, spec in content.items()}
    for dimension in dimensions.values():
        check_when(dimension, dimensions, f"{where}, {dimension.name}")
    return Space(tuple(_in_order(dimensions, where)))


def _in_order(dimensions: Mapping[str, Dimension], where: str) -> Iterator[Dimension]:
    done: set[str] = set()
    waiting = list(dimensions.values())
    while waiting:
        ready = [dimension for dimension in waiting if set(dimension.when) <= done]
        if not ready:
            raise UsageError(f"{where}: {waiting[0].name} and its conditions wait for each other")
        yield from ready
        done |= {dimension.name for dimension in ready}
        waiting = [dimension for dimension in waiting if dimension.name not in done]


def parse_flag(text: str) -> tuple[str, Any]:
    """`training.learning_rate={loguniform: [1e-4, 1e-2]}` -> (field, what YAML makes of the rest).

    Raises:
        UsageError: It is not FIELD=YAML.
    """
    name, separator, spec = text.partition("=")
    if not separator or not name.strip():
        raise UsageError(f'--space {text!r}: write FIELD=SPEC, e.g. "model.dropout={{uniform: [0, 0.5]}}"')
    try:
        return name.strip(), read_value(spec)
    except yaml.YAMLError as error:
        raise UsageError(f"--space {name}: cannot read {spec!r}: {' '.join(str(error).split())}") from None


__all__ = ["Dimension", "Space", "overrides_of", "parse_flag", "read_space"]
