"""How a search goes: the `search` section of a recipe, and the command line's flags over it."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from zoo.training.recipe import SEARCH_KEYS, Recipe, UsageError, check_keys

from .space import Space, is_number, parse_flag, read_space
from .study import SECTIONS, check_sections, merged

ALGORITHMS = ("random", "grid", "tpe", "pbt")
SCHEDULERS = ("asha", "none")
NUMBERS = {"trials": 1, "seed": 0, "grace_epochs": 1, "reduction_factor": 2, "perturb_epochs": 1}
LIMITS = ("minutes", "total_epochs", "cpus_per_trial", "gpus_per_trial")


@dataclass
class SearchSettings:
    """A search, but for its recipe.

    Args:
        space: What is chosen.
        algorithm: `random`, `grid`, `tpe` (Optuna) or `pbt` (population-based training).
        scheduler: `asha` stops the worse trials early; `none` trains all to the end.
        trials: Points; of a population, its members. A grid has as many as it has.
        minutes: After so many no trial goes on; 0: no limit.
        total_epochs: Epochs of all trials together after which no trial goes on; 0: no limit.
        grace_epochs: ASHA stops no trial before.
        reduction_factor: ASHA keeps one trial of so many at each halving.
        perturb_epochs: A population is compared after so many epochs.
        seed: Of the choice of points; the trainings have the recipe's seed.
        cpus_per_trial, gpus_per_trial: Room of one trial; fractions of a GPU share it.
        trial: Overrides that hold for trials only: fewer epochs, fewer rows.
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
    trial: dict[str, dict[str, Any]] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        """For search.json."""
        found = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "space"}
        return found | {
            "space": {
                one.name: {
                    one.kind: list(one.values),
                    **({"when": {name: list(values) for name, values in one.when.items()}} if one.when else {}),
                    **({"round": one.round} if one.round else {}),
                }
                for one in self.space.dimensions
            }
        }


def check_values(values: Mapping[str, Any], where: str) -> None:
    """Names are known and numbers fit.

    Raises:
        UsageError: One does not.
    """
    for key, allowed in (("algorithm", ALGORITHMS), ("scheduler", SCHEDULERS)):
        if values.get(key, allowed[0]) not in allowed:
            raise UsageError(f"{where}: {key}={values[key]!r} is not one of {', '.join(allowed)}")
    for key, least in NUMBERS.items():
        value = values.get(key, least)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise UsageError(f"{where}: {key}={value!r} must be a whole number of at least {least}")
    for key in LIMITS:
        value = values.get(key, 0)
        if not is_number(value) or value < 0:
            raise UsageError(f"{where}: {key}={value!r} must be a number of at least 0")
    if values.get("cpus_per_trial", 1) == 0 and not values.get("gpus_per_trial"):
        raise UsageError(f"{where}: a trial needs some of a CPU or GPU: cpus_per_trial and gpus_per_trial are 0")


def read_settings(recipe: Recipe, flags: Mapping[str, Any], space: Sequence[str] = ()) -> SearchSettings:
    """The recipe's `search` section with the command line's values over it.

    Args:
        recipe: Whose.
        flags: Values of the command line's flags; None where one was not given.
        space: FIELD=SPEC of the command line: a mapping or list searches a field, one value fixes it.

    Raises:
        UsageError: A key is unknown, or a value does not fit.
    """
    where = f"{recipe.id}, search"
    content = dict(recipe.search)
    check_keys(content, list(SEARCH_KEYS), where)
    spec = content.pop("space", None)
    spec = {} if spec is None else dict(spec) if isinstance(spec, dict) else spec
    trial = merged(check_sections(content.pop("trial", None), f"{where}, trial", SECTIONS))
    for text in space:
        name, value = parse_flag(text)
        if isinstance(spec, dict):
            spec[name] = value if isinstance(value, (dict, list)) else [value]
    values = {**content, **{key: value for key, value in flags.items() if value is not None}}
    check_values(values, where)
    read = read_space(spec, recipe, f"{where}, space")
    settings = SearchSettings(space=read, trial=trial, **values)
    if settings.algorithm == "pbt":
        if not any(one.mutable for one in read.dimensions):
            raise UsageError(
                f"{where}: population-based training changes rates, decay and dropout; the space has none of them"
            )
        if settings.trials < 2:
            raise UsageError(f"{where}: a population needs at least 2 trials")
    return settings


__all__ = ["ALGORITHMS", "SCHEDULERS", "SearchSettings", "read_settings"]
