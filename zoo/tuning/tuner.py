"""Ray Tune's part of a search: the data in the cluster's object store, a Tuner, and what it tells."""

import logging
import os
import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

# Before ray is imported: Tune's own files of results, which nobody reads, are left out.
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "2")  # what a kill -9 can lose of the search's state
os.environ.setdefault("TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S", "0")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # Ctrl-C ends this command, which says how to go on
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # its boxes; the lines of the terminal are our own

import ray  # noqa: E402
from ray import tune  # noqa: E402
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, PopulationBasedTraining  # noqa: E402
from ray.tune.search.basic_variant import BasicVariantGenerator  # noqa: E402

from zoo.training.recipe import UsageError  # noqa: E402

from .cluster import environment  # noqa: E402
from .log import read_trials, write_event  # noqa: E402
from .settings import SearchSettings  # noqa: E402
from .sharing import load_without_test, looked_at, pack  # noqa: E402
from .trial import Assignment, run_trial  # noqa: E402

STATE = "ray"  # Tune's folder in the search's


def share_data(assignment: Assignment, settings: SearchSettings) -> None:
    """Read the data once, without its test split, and put it into the object store for all trials.

    Raises:
        FileNotFoundError, ValueError: The data is missing or damaged.
    """
    data, read = load_without_test(assignment.settings({}, "unused"))
    assignment.data = [ray.put(pack(data))]
    names = (one.name for one in settings.space.dimensions)
    assignment.data_fields = tuple(name for name in names if looked_at(name, read))
    assignment.environment = environment()


def has_state(folder: Path) -> bool:
    """Whether Tune wrote enough of the search in this folder to go on with it."""
    return tune.Tuner.can_restore(str((folder / STATE).resolve()))


class EpochBudget(tune.Stopper):
    """Stops the search when all trials together have trained so many epochs.

    Args:
        folder: Of the search, whose log knows of epochs before an interruption.
        limit: Epochs; 0: none.
    """

    def __init__(self, folder: str, limit: int):
        self.folder, self.limit = folder, limit
        self.counts: dict[str, int] | None = None

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether this trial ends; what matters is how many epochs there were."""
        if self.counts is None:
            self.counts = {trial.id: len(trial.epochs) for trial in read_trials(Path(self.folder))}
        if "metrics" in result:
            self.counts[trial_id] = max(self.counts.get(trial_id, 0), result["training_iteration"])
        return self.stop_all()

    def stop_all(self) -> bool:
        """Whether the search ends."""
        return bool(self.limit) and sum((self.counts or {}).values()) >= self.limit

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "limit": self.limit, "counts": None}


class Witness(tune.Callback):
    """Writes every event into the log, and the terminal's lines.

    Args:
        folder: Of the search.
        metric: Its name, for the terminal.
        epochs: Of a whole trial.
        total: Trials in all.
        greater_is_better: Which way.
    """

    def __init__(self, folder: str, metric: str, epochs: int, total: int, greater_is_better: bool):
        self.folder, self.metric, self.epochs, self.total = Path(folder), metric, epochs, total
        self.better = max if greater_is_better else min
        self.numbers = {trial.id: trial.number for trial in read_trials(self.folder)}
        self.running: dict[str, str] = {}
        self.best: float | None = None
        self.ended = 0

    def __getstate__(self) -> dict[str, Any]:
        better = self.better is max
        return {"arguments": (str(self.folder), self.metric, self.epochs, self.total, better)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(*state["arguments"])  # type: ignore[misc]  # the log knows what was before

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Also after a pause or an interruption."""
        point = trial.config.get("point", {})
        number = self.numbers.setdefault(trial.trial_id, len(self.numbers) + 1)
        write_event(self.folder, "start", trial.trial_id, point=point)
        self.running[trial.trial_id] = f"{number}: starts"
        self.status()

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """An epoch, or that the trial failed."""
        if "failed" in result:
            write_event(self.folder, "failed", trial.trial_id, reason=result["failed"])
            return
        if "metrics" not in result:
            return
        kept = {key: result[key] for key in ("score", "metrics", "seconds", "host", "pid")}
        # The point with which it trained: a population changes the trial's before the next epoch.
        point = result["config"]["point"]
        epoch = result["training_iteration"]
        write_event(self.folder, "epoch", trial.trial_id, epoch=epoch, point=point, **kept)
        self.best = result["score"] if self.best is None else self.better(self.best, result["score"])
        number = self.numbers.get(trial.trial_id, 0)
        self.running[trial.trial_id] = f"{number}: {epoch}/{self.epochs} {result['score']:.4g}"
        self.status()

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Trained to the end, stopped, or failed in a way that the trial could tell."""
        write_event(self.folder, "end", trial.trial_id, epochs=self.epochs)
        self.tell_end(trial, (trial.last_result or {}).get("failed", ""))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Its process died."""
        text = " ".join(str(trial.get_pickled_error() or trial.get_error() or "").split())
        reason = f"the worker died: {text[:200]}" if text else "the worker died"
        write_event(self.folder, "failed", trial.trial_id, reason=reason)
        self.tell_end(trial, reason)

    def tell_end(self, trial: Any, failure: str) -> None:
        """A line of the terminal."""
        self.ended += 1
        shown = self.running.pop(trial.trial_id, "").partition(": ")[2]
        number = self.numbers.get(trial.trial_id, 0)
        what = f"FAILED: {failure}" if failure else f"epoch {shown}"
        best = "" if self.best is None else f"; best {self.metric} {self.best:.4g}"
        point = ", ".join(f"{name.partition('.')[2]}={value}" for name, value in trial.config["point"].items())
        print(f"{self.clear()}trial {number} of {self.total}: {what} ({point}){best}", flush=True)
        self.status()

    @staticmethod
    def clear() -> str:
        """What empties the terminal's line."""
        return "\r\033[K" if sys.stdout.isatty() else ""

    def status(self) -> None:
        """What is under way, in a line that is written over."""
        if sys.stdout.isatty():
            text = f"{len(self.running)} running | " + " | ".join(self.running.values())
            print(f"{self.clear()}{text[: shutil.get_terminal_size().columns - 1]}", end="", flush=True)


def make_searcher(
    settings: SearchSettings, mode: str, points: list[dict[str, Any]], jobs: int
) -> tuple[Any, dict[str, Any]]:
    """(what proposes points, Tune's param_space).

    Raises:
        UsageError: Optuna is asked for and not installed.
    """
    if settings.algorithm != "tpe":
        # Tune's own max_concurrent_trials reaches searchers such as Optuna's, but not this one. The members of a
        # population must all exist, or they learn nothing of each other: they take turns where there is no room.
        limit = 0 if settings.algorithm == "pbt" else jobs
        return BasicVariantGenerator(max_concurrent=limit), {"point": tune.grid_search(points)}
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
        warnings.simplefilter("ignore")  # constant_liar, which spreads parallel trials, is called experimental
        sampler = optuna.samplers.TPESampler(seed=settings.seed, n_startup_trials=start, constant_liar=True)
    return OptunaSearch(Proposals(settings.space), metric="score", mode=mode, sampler=sampler), {}


class Proposals:
    """An Optuna trial -> Tune's config."""

    __name__ = "proposals"

    def __init__(self, space: Any):
        self.space = space

    def __call__(self, trial: Any) -> dict[str, Any]:
        """Asks the trial for each field that counts."""
        return {"point": self.space.ask(trial)}


def make_scheduler(settings: SearchSettings, mode: str, epochs: int) -> Any:
    """What stops or changes trials while they train."""
    if settings.algorithm == "pbt":
        mutable = [one for one in settings.space.dimensions if one.mutable]
        return PopulationBasedTraining(
            time_attr="training_iteration",
            metric="score",
            mode=mode,
            perturbation_interval=settings.perturb_epochs,
            hyperparam_mutations={"point": {one.name: mutation(one) for one in mutable}},
            custom_explore_fn=Within(mutable),
            log_config=False,
        )
    if settings.scheduler == "none" or epochs <= settings.grace_epochs:
        return FIFOScheduler()
    return ASHAScheduler(
        time_attr="training_iteration",
        metric="score",
        mode=mode,
        max_t=epochs,
        grace_period=settings.grace_epochs,
        reduction_factor=settings.reduction_factor,
    )


def mutation(dimension: Any) -> Any:
    """From what a population draws a field anew; else it multiplies by 0.8 or 1.2, or takes a neighbour."""
    if dimension.finite:
        return list(dimension.values)
    low, high = dimension.values
    if dimension.kind == "randint":
        return list(range(low, high + 1))
    return tune.loguniform(low, high) if dimension.kind == "loguniform" else tune.uniform(low, high)


class Within:
    """What a population draws or multiplies, rounded and within the range that the space gives.

    Args:
        dimensions: That it changes.
    """

    def __init__(self, dimensions: list[Any]):
        self.dimensions = dimensions

    def __call__(self, config: dict[str, Any]) -> dict[str, Any]:
        """Tune's config with its point put right."""
        point = dict(config["point"])
        for one in self.dimensions:
            if one.kind in ("uniform", "loguniform"):
                point[one.name] = one.rounded(point[one.name])
        return {**config, "point": point}


def make_points(settings: SearchSettings) -> list[dict[str, Any]]:
    """The points that are known before the search begins; TPE has none."""
    if settings.algorithm == "tpe":
        return []
    points = settings.space.grid() if settings.algorithm == "grid" else []
    return points or settings.space.sample(settings.trials, settings.seed)


def search(
    assignment: Assignment, settings: SearchSettings, folder: Path, epochs: int, jobs: int = 0, resume: bool = False
) -> None:
    """Run the trials; what became of them is in the folder's log.

    Args:
        assignment: What they train.
        settings: How it goes.
        folder: Of the search.
        epochs: Of a whole trial.
        jobs: Trials at a time; 0: as many as there is room for.
        resume: Go on with the search that the folder holds.
    """
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    mode = "max" if assignment.greater_is_better else "min"
    share_data(assignment, settings)
    room = {"cpu": settings.cpus_per_trial, "gpu": settings.gpus_per_trial}
    trainable = tune.with_resources(tune.with_parameters(run_trial, assignment=assignment), room)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's own, of deprecations that it has not followed yet
        if resume:
            tuner = tune.Tuner.restore(str((folder / STATE).resolve()), trainable, resume_unfinished=True)
        else:
            points = make_points(settings)
            total = len(points) or settings.trials
            searcher, space = make_searcher(settings, mode, points, jobs)
            tuner = tune.Tuner(
                trainable,
                param_space=space,
                tune_config=tune.TuneConfig(
                    search_alg=searcher,
                    scheduler=make_scheduler(settings, mode, epochs),
                    num_samples=1 if points else settings.trials,
                    time_budget_s=60 * settings.minutes or None,
                    max_concurrent_trials=jobs or None,
                    reuse_actors=True,
                    trial_dirname_creator=lambda trial: f"trial-{trial.trial_id}",
                ),
                run_config=tune.RunConfig(
                    name=STATE,
                    storage_path=str(folder.resolve()),
                    stop=EpochBudget(str(folder), settings.total_epochs),
                    callbacks=[Witness(str(folder), assignment.metric, epochs, total, assignment.greater_is_better)],
                    checkpoint_config=tune.CheckpointConfig(num_to_keep=1),
                    verbose=0,
                ),
            )
        write_event(folder, "begin", "")
        tuner.fit()
        for trial in read_trials(folder):
            if trial.status == "running":  # a budget ended the search: Tune tells nobody of their end
                write_event(folder, "end", trial.id, epochs=epochs)
        write_event(folder, "search", "")


__all__ = ["has_state", "make_points", "search"]
