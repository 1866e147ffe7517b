"""The settings of a search as Tune's searchers and schedulers."""

import warnings
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ray import tune
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, PopulationBasedTraining, TrialScheduler
from ray.tune.search import SearchAlgorithm, Searcher
from ray.tune.search.basic_variant import BasicVariantGenerator
from ray.tune.search.sample import Domain

from zoo.training.recipe import UsageError

from .overrides import Point
from .settings import SearchSettings
from .space import Dimension, Space

if TYPE_CHECKING:
    import optuna


def make_searcher(settings: SearchSettings, mode: str, jobs: int) -> SearchAlgorithm | Searcher:
    """What proposes points.

    Args:
        settings: Settings of the search.
        mode: "max" or "min".
        jobs: Trials at a time; 0: no limit.

    Raises:
        UsageError: Optuna is asked for and not installed.
    """
    if settings.algorithm != "tpe":
        # Tune's max_concurrent_trials does not reach this searcher. The members of a population must all exist to be
        # compared: they take turns where there is no room.
        return BasicVariantGenerator(max_concurrent=0 if settings.algorithm == "pbt" else jobs)
    try:
        import optuna
        from ray.tune.search.optuna import OptunaSearch
    except ImportError:
        raise UsageError(
            'algorithm=tpe needs Optuna: pip install "primer-zoo[tpe]", or use --algorithm random'
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    start = min(10, max(4, settings.trials // 4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # constant_liar, which spreads parallel trials, is experimental
        sampler = optuna.samplers.TPESampler(seed=settings.seed, n_startup_trials=start, constant_liar=True)
    return OptunaSearch(SuggestPoint(settings.space), metric="score", mode=mode, sampler=sampler)


class SuggestPoint:
    """Optuna's define-by-run function: a trial -> Tune's config."""

    __name__ = "suggest_point"

    def __init__(self, space: Space):
        self.space = space

    def __call__(self, trial: "optuna.Trial") -> dict[str, Point]:
        return {"point": self.space.suggest(trial)}


def make_scheduler(settings: SearchSettings, mode: str, epochs: int) -> TrialScheduler:
    """What stops or changes trials while they train.

    Args:
        settings: Settings of the search.
        mode: "max" or "min".
        epochs: Epochs of a whole trial.
    """
    compared: dict[str, Any] = {"time_attr": "training_iteration", "metric": "score", "mode": mode}
    if settings.algorithm == "pbt":
        mutable = [dimension for dimension in settings.space.dimensions if dimension.mutable]
        return PopulationBasedTraining(
            **compared,
            perturbation_interval=settings.perturb_epochs,
            hyperparam_mutations={"point": {dimension.name: mutation(dimension) for dimension in mutable}},
            custom_explore_fn=partial(keep_in_range, mutable),
            log_config=False,
        )
    if settings.scheduler == "none" or epochs <= settings.grace_epochs:
        return FIFOScheduler()
    return ASHAScheduler(
        **compared, max_t=epochs, grace_period=settings.grace_epochs, reduction_factor=settings.reduction_factor
    )


def mutation(dimension: Dimension) -> list[object] | Domain:
    """What a population resamples a field from; otherwise it multiplies by 0.8 or 1.2, or takes a neighbour."""
    if dimension.has_choices or dimension.kind == "randint":
        return list(dimension.choices())
    return (tune.loguniform if dimension.kind == "loguniform" else tune.uniform)(*dimension.values)


def keep_in_range(dimensions: Sequence[Dimension], config: dict[str, Point]) -> dict[str, Point]:
    """Round what a population changed, and keep it in the range of the space."""
    changed = [dimension for dimension in dimensions if dimension.kind in ("uniform", "loguniform")]
    rounded = {dimension.name: dimension.rounded(config["point"][dimension.name]) for dimension in changed}
    return {**config, "point": {**config["point"], **rounded}}


__all__ = ["make_scheduler", "make_searcher"]
