"""Ray Tune: the engine of searches and studies."""

import logging
import math
import os
import shutil
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.search.basic_variant import BasicVariantGenerator

from zoo.tasks.base import TaskData

from .algorithms import make_scheduler, make_searcher
from .cluster import check_room
from .log import read_trials, write_event
from .logger import TrialLogger
from .overrides import Point
from .runs import Run
from .settings import Objective, SearchSettings
from .trial import SearchWork, StudyWork, Work, WorkerSetup, data_key, load_without_test, run_trial

STATE = "ray"  # Tune's folder
# Environment variables that workers on other machines need.
WORKER_VARIABLES = ("ZOO_DATA", "HF_HUB_OFFLINE", "HF_HOME")


class EpochBudget(tune.Stopper):
    """Stops a search when all trials together have trained for so many epochs.

    Args:
        folder: Folder of the search, whose log knows the epochs before an interruption.
        limit: Number of epochs; 0 switches it off.
    """

    def __init__(self, folder: str, limit: int):
        self.folder, self.limit = folder, limit
        self.counts: dict[str, int] | None = None

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Count the epoch."""
        if self.counts is None:
            self.counts = {trial.id: len(trial.epochs) for trial in read_trials(Path(self.folder))}
        if "metrics" in result:
            self.counts[trial_id] = max(self.counts.get(trial_id, 0), result["training_iteration"])
        return self.stop_all()

    def stop_all(self) -> bool:
        """Whether the search ends."""
        return bool(self.limit) and sum((self.counts or {}).values()) >= self.limit

    def __getstate__(self) -> dict[str, object]:
        return {"folder": self.folder, "limit": self.limit, "counts": None}


def run_trials(
    folder: Path,
    work: Work,
    resources: tuple[float, float],
    points: Sequence[Point],
    logger: TrialLogger,
    data: TaskData | None = None,
    resume: bool = False,
    stop: tune.Stopper | None = None,
    **options: Any,
) -> None:
    """Run the trials of a search or a study; what happened is in the folder's log.

    Args:
        folder: Folder of the search or study.
        work: What a trial does.
        resources: CPUs and GPUs of a trial.
        points: One trial each; empty if the searcher proposes them.
        logger: Writes the log.
        data: Shared by the trials, through Ray's object store.
        resume: Go on with what Tune saved in the folder.
        stop: Ends all trials.
        options: Options of `tune.TuneConfig`.
    """
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    cpus, gpus = resources
    variables = {name: os.environ[name] for name in WORKER_VARIABLES if name in os.environ}
    setup = WorkerSetup(variables, os.getcwd(), threads=max(1, int(cpus)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Ray: its own deprecations, and that shared tensors are read-only
        trainable = tune.with_parameters(run_trial, work=work, setup=setup, data=data)
        trainable = tune.with_resources(trainable, {"cpu": cpus, "gpu": gpus})
        if resume:
            tuner = tune.Tuner.restore(str((folder / STATE).resolve()), trainable, resume_unfinished=True)
        else:
            tuner = tune.Tuner(
                trainable,
                param_space={"point": tune.grid_search(list(points))} if points else {},
                tune_config=tune.TuneConfig(
                    **options, reuse_actors=True, trial_dirname_creator=lambda trial: f"trial-{trial.trial_id}"
                ),
                run_config=tune.RunConfig(
                    name=STATE,
                    storage_path=str(folder.resolve()),
                    stop=stop,
                    callbacks=[logger],
                    # A member of a population may copy another one's checkpoint after the next one was written.
                    checkpoint_config=tune.CheckpointConfig(num_to_keep=3),
                    verbose=0,
                ),
            )
        write_event(folder, "begin", "")
        tuner.fit()
        for trial in read_trials(folder):
            if trial.status == "running":  # a budget ended the search, which Tune does not report
                write_event(folder, "end", trial.id, epochs=logger.epochs)
        write_event(folder, "search", "")


def can_resume(folder: Path) -> bool:
    """Whether Tune saved enough of the search in this folder to go on with it."""
    return tune.Tuner.can_restore(str((folder / STATE).resolve()))


def run_search(
    work: SearchWork, settings: SearchSettings, folder: Path, epochs: int, jobs: int = 0, resume: bool = False
) -> None:
    """Run the trials of a search.

    Args:
        work: What they train.
        settings: Space, algorithm and budget.
        folder: Folder of the search.
        epochs: Epochs of a whole trial.
        jobs: Trials at a time; 0: as many as there is room for.
        resume: Go on with the search in the folder.

    Raises:
        FileNotFoundError, ValueError: The data is missing or damaged.
    """
    default = work.settings({})
    data = load_without_test(default)
    points, mode = settings.points(), work.objective.mode
    run_trials(
        folder,
        replace(work, data_key=data_key(default)),
        (settings.cpus_per_trial, settings.gpus_per_trial),
        points,
        TrialLogger(str(folder), work.objective, len(points) or settings.trials, epochs=epochs),
        data,
        resume,
        EpochBudget(str(folder), settings.total_epochs),
        search_alg=make_searcher(settings, mode, jobs),
        scheduler=make_scheduler(settings, mode, epochs),
        num_samples=1 if points else settings.trials,
        time_budget_s=60 * settings.minutes or None,
        max_concurrent_trials=jobs or None,
    )


def run_study(
    runs: Sequence[Run],
    objective: Objective,
    folder: Path,
    resources: tuple[float, float],
    jobs: int = 0,
    test: bool = False,
    minutes: float = 0.0,
    done: int = 0,
) -> None:
    """Do runs of a study: a grid over variants and seeds.

    Args:
        runs: The missing ones.
        objective: The metric.
        folder: Folder of the study.
        resources: CPUs and GPUs of a run.
        jobs: Runs at a time; 0: as many as there is room for.
        test: Measure the test split of finished runs, too.
        minutes: Start no run after so many minutes; 0: no limit.
        done: Number of the study's other runs.

    Raises:
        UsageError: No machine has room for a run.
    """
    room = check_room("per_run", *resources)
    jobs = min(jobs or room, room, len(runs))
    trainings = sum(not run.finished for run in runs)
    what = f"{trainings} trainings" if trainings else f"{len(runs)} evaluations of the test split"
    print(f"{what}, {jobs} at a time ({done} are there already)", flush=True)
    shutil.rmtree(folder / STATE, ignore_errors=True)  # of an interrupted call: the runs' own folders hold all
    deadline = time.time() + 60 * minutes if minutes else math.inf
    run_trials(
        folder,
        StudyWork({run.folder.name: run for run in runs}, objective, folder / "logs", test, deadline),
        resources,
        [run.point for run in runs],
        TrialLogger(str(folder), objective, len(runs) + done, done),
        search_alg=BasicVariantGenerator(max_concurrent=jobs),
    )
    shutil.rmtree(folder / STATE, ignore_errors=True)


__all__ = ["EpochBudget", "can_resume", "run_search", "run_study", "run_trials"]
