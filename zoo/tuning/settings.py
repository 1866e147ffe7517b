"""The settings of a search: the `search` section of a recipe, and the command line's flags."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from zoo.registry import load_task
from zoo.training.recipe import SEARCH_KEYS, Fields, Recipe, UsageError, check_keys

from .overrides import Overrides, Point, check_sections, merged
from .space import Space, default_space, is_number, parse_flag, read_space

ALGORITHMS = ("random", "grid", "tpe", "pbt")
SCHEDULERS = ("asha", "none")
# Smallest value of each whole number.
WHOLE = {"trials": 1, "seed": 0, "grace_epochs": 1, "reduction_factor": 2, "perturb_epochs": 1}
NUMBERS = ("minutes", "total_epochs", "cpus_per_trial", "gpus_per_trial")


@dataclass
class Objective:
    """What trials are compared by.

    Args:
        metric: Name of the primary metric.
        greater_is_better: Whether a higher value is better.
        keeps_best: Whether a run ends with its best epoch: its score is then the best one so far.
    """

    metric: str
    greater_is_better: bool = True
    keeps_best: bool = False

    @property
    def mode(self) -> str:
        """Tune's name of the direction."""
        return "max" if self.greater_is_better else "min"

    def better(self, one: float | None, other: float) -> float:
        """The better one of two values."""
        return other if one is None else (max if self.greater_is_better else min)(one, other)


def objective_of(recipe: Recipe) -> Objective:
    """The primary metric of a recipe; flags may have set it."""
    keeps_best = bool(recipe.training.get("load_best_model_at_end") or recipe.training.get("average_checkpoints"))
    return Objective(*recipe.primary_metric(load_task(recipe.task)), keeps_best)


@dataclass
class SearchSettings:
    """A search, except for its recipe.

    Args:
        space: The fields that it chooses.
        algorithm: `random`, `grid`, `tpe` (Optuna) or `pbt` (population-based training).
        scheduler: `asha` stops the worse trials early; `none` trains all to the end.
        trials: Number of points, or of a population's members. A grid tries all of its points.
        minutes: Stop all trials after so many minutes; 0 switches it off.
        total_epochs: Stop all trials after so many epochs in all; 0 switches it off.
        grace_epochs: Epochs before which ASHA stops no trial.
        reduction_factor: ASHA keeps one trial of so many at each halving.
        perturb_epochs: Epochs between two comparisons of a population.
        seed: Seed of the choice of points; trainings have the recipe's seed.
        cpus_per_trial, gpus_per_trial: Resources of a trial; a fraction of a GPU shares it.
        trial: Overrides for trials only, such as fewer epochs or fewer rows.
    """

    space: Space
    algorithm: str = "random"
    scheduler: str = "asha"
    trials: int = 20
    minutes: float = 0.0
    total_epochs: int = 0
    grace_epochs: int = 1
    reduction_factor: int = 3
    perturb_epochs: int = 1
    seed: int = 0
    cpus_per_trial: float = 1.0
    gpus_per_trial: float = 0.0
    trial: Overrides = field(default_factory=dict)

    def describe(self) -> Fields:
        """For search.json."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "space"}
        return values | {"space": {dimension.name: dimension.describe() for dimension in self.space.dimensions}}

    def points(self) -> list[Point]:
        """The points that are known before the search begins; none for TPE.

        Raises:
            UsageError: A grid over a range.
        """
        if self.algorithm == "tpe":
            return []
        return self.space.grid() if self.algorithm == "grid" else self.space.sample(self.trials, self.seed)


def check_values(values: Fields, where: str) -> None:
    """Check names and numbers.

    Raises:
        UsageError: One does not fit.
    """
    for key, allowed in (("algorithm", ALGORITHMS), ("scheduler", SCHEDULERS)):
        if values.get(key, allowed[0]) not in allowed:
            raise UsageError(f"{where}: {key}={values[key]!r} is not one of {', '.join(allowed)}")
    for key, least in WHOLE.items():
        value = values.get(key, least)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise UsageError(f"{where}: {key}={value!r} must be a whole number of at least {least}")
    for key in NUMBERS:
        value = values.get(key, 0)
        if not is_number(value) or value < 0:
            raise UsageError(f"{where}: {key}={value!r} must be a number of at least 0")
    if values.get("cpus_per_trial", 1) == 0 and not values.get("gpus_per_trial"):
        raise UsageError(f"{where}: cpus_per_trial and gpus_per_trial are both 0: a trial needs a share of one")


def read_spec(recipe: Recipe, flags: Sequence[str]) -> Any:
    """The space in a recipe's format: the recipe's own or else its family's, changed by `--space` flags.

    Without a space in the recipe, flags that give choices or ranges replace the family's space.

    Args:
        recipe: With its family.
        flags: FIELD=SPEC, where SPEC is a mapping or a list of choices, or one value that fixes the field.
    """
    spec = recipe.search.get("space")
    given = dict(map(parse_flag, flags))
    searched = {name: value for name, value in given.items() if isinstance(value, (dict, list))}
    fixed = {name: [value] for name, value in given.items() if name not in searched}
    if not spec and spec != {}:
        spec = {} if searched else default_space(recipe)
    return {**spec, **searched, **fixed} if isinstance(spec, dict) else spec


def read_settings(recipe: Recipe, flags: Fields, space: Sequence[str] = ()) -> SearchSettings:
    """The recipe's `search` section with the command line's values over it.

    Args:
        recipe: With its family.
        flags: Values of the command line's flags; None where one was not given.
        space: The values of `--space`.

    Raises:
        UsageError: A key is unknown, or a value does not fit.
    """
    where = f"{recipe.id}, search"
    content = dict(recipe.search)
    check_keys(content, list(SEARCH_KEYS), where)
    content.pop("space", None)
    trial = merged(check_sections(content.pop("trial", None), f"{where}, trial"))
    values = {**content, **{key: value for key, value in flags.items() if value is not None}}
    check_values(values, where)
    settings = SearchSettings(read_space(read_spec(recipe, space), recipe, f"{where}, space"), trial=trial, **values)
    if settings.algorithm == "pbt":
        if not any(dimension.mutable for dimension in settings.space.dimensions):
            raise UsageError(
                f"{where}: population-based training changes rates, decay and dropout; the space has none of them"
            )
        if settings.trials < 2:
            raise UsageError(f"{where}: a population needs at least 2 trials")
    return settings


__all__ = ["Objective", "SearchSettings", "objective_of", "read_settings"]
