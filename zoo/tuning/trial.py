"""A trial: what a Ray worker does for one point of a search or one run of a study."""

import contextlib
import json
import logging
import math
import os
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeAlias

import ray
from ray import tune
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from zoo.registry import load_task
from zoo.tasks.base import TaskData
from zoo.training.build import build, load_parent, load_run_data, make_task
from zoo.training.command_line import RunSettings, parse_run

from .fingerprint import digest
from .overrides import Overrides, Point, flags_of, merged, overrides_of
from .runs import Run
from .settings import Objective

FAILED = 1e30  # absolute score of a trial that failed: schedulers and TPE compare numbers
STATE_NAME = "trial.json"
# A trial is scored by the Trainer's own evaluation of each epoch.
TRIAL_FLAGS = (
    "--eval_strategy", "epoch", "--save_strategy", "epoch", "--save_total_limit", "1", "--save_only_model", "false",
    "--load_best_model_at_end", "false", "--average_checkpoints", "0", "--disable_tqdm", "true", "--skip_test",
)  # fmt: skip


class Diverged(RuntimeError):
    """A loss or metric is not finite."""


def check_finite(entry: Mapping[str, Any], epoch: float) -> None:
    """Check the loss and the metrics of a log entry.

    Raises:
        Diverged: One is infinite or NaN.
    """
    for name, value in entry.items():
        if isinstance(value, float) and not math.isfinite(value) and (name == "loss" or name.startswith("eval_")):
            raise Diverged(f"diverged: {name} is {value} after epoch {epoch:.3g}")


def reason(error: BaseException) -> str:
    """An error in one line, with its type where the message alone says little."""
    text = " ".join(str(error).split())
    explains = isinstance(error, (ValueError, Diverged, OSError)) and text
    return text if explains else f"{type(error).__name__}: {text}".rstrip(": ")


class TuneReport(TrainerCallback):
    """Report each evaluation to Tune, and end a run that diverges.

    Args:
        objective: Which metric is the score.
        point: The point of a search; reports wait for the checkpoint of the same epoch and hand it to Tune. None for a
            run that keeps its own checkpoints.
        resumed: The content of `trial.json` in the checkpoint that the trial goes on from. Where a population changed
            rate or decay, the new ones replace those of the checkpoint.
    """

    def __init__(self, objective: Objective, point: Point | None = None, resumed: Mapping[str, Any] | None = None):
        self.objective, self.point, self.resumed = objective, point, resumed or {}
        self.best, self.metrics = self.resumed.get("best"), dict[str, Any]()
        self.start = time.perf_counter() - self.resumed.get("seconds", 0.0)

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        optimizer: Optimizer,
        lr_scheduler: LRScheduler,
        **kwargs: object,
    ) -> None:
        """Give the optimizer and schedule, which the checkpoint just set, the new learning rate and weight decay."""
        old, new = self.resumed.get("point", {}), self.point or {}
        rate, decay = "training.learning_rate", "training.weight_decay"
        for group in optimizer.param_groups if old else ():
            # Groups of another optimizer than --learning_rate's keep theirs.
            if rate in new and group.get("initial_lr") == old.get(rate):
                factor = new[rate] / old[rate]
                group["lr"] *= factor
                group["initial_lr"] *= factor
            if decay in new and group.get("weight_decay"):
                group["weight_decay"] = new[decay]
        if old and hasattr(lr_scheduler, "base_lrs"):
            lr_scheduler.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict, **kwargs: object
    ) -> None:
        """A NaN ends the run before its next evaluation."""
        check_finite(logs, state.epoch or 0)

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, metrics: dict, **kwargs: object
    ) -> None:
        """Keep the metrics, or report them at once."""
        check_finite(metrics, state.epoch or 0)
        self.metrics = {name.removeprefix("eval_"): value for name, value in metrics.items()}
        if self.point is None:
            self.report(state, None)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """Report with the checkpoint; the run's own callbacks have written their files by now."""
        if self.point is not None and self.metrics:
            self.report(state, Path(args.output_dir) / f"checkpoint-{state.global_step}")

    def report(self, state: TrainerState, checkpoint: Path | None) -> None:
        """Report the kept metrics.

        Raises:
            RuntimeError: The score of a search is not among them.
        """
        name, metrics = self.objective.metric, self.metrics
        if name not in metrics and checkpoint is not None:
            raise RuntimeError(
                f"evaluations have no {name!r}, only {', '.join(sorted(metrics))}: name one of these as "
                "metric_for_best_model, or have it measured (of texts: predict_with_generate)"
            )
        seconds = time.perf_counter() - self.start
        result = {
            "epoch": state.epoch,
            "epochs": state.num_train_epochs,
            "metrics": {key: value for key, value in metrics.items() if isinstance(value, (int, float))},
            "seconds": seconds,
            "host": ray.get_runtime_context().get_node_id()[:8],
            "pid": os.getpid(),
        }
        if name in metrics:
            self.best = self.objective.better(self.best, float(metrics[name]))
            result["score"] = self.best if self.objective.keeps_best else float(metrics[name])
        self.metrics = {}
        if checkpoint is None:
            tune.report(result)
            return
        saved = {"point": self.point, "best": self.best, "seconds": seconds}
        (checkpoint / STATE_NAME).write_text(json.dumps(saved))
        tune.report(result, checkpoint=tune.Checkpoint.from_directory(str(checkpoint)))


def data_key(settings: RunSettings) -> str:
    """Hash of the fields that `Task.load_data` reads: trials with the same one share their data."""
    unread = settings.data.names("loading", False)
    data = {f.name: getattr(settings.data, f.name) for f in fields(settings.data) if f.name not in unread}
    model = [settings.recipe.model.get(name) for name in load_task(settings.recipe.task).config_fields]
    return digest([data, model])


def load_without_test(settings: RunSettings) -> TaskData:
    """The data of a run without the test split, which no trial may see."""
    task = make_task(settings)
    data = load_run_data(settings, task, load_parent(settings, task))
    fingerprint = {name: value for name, value in data.fingerprint.items() if name != "test"}
    return replace(data, test=None, fingerprint=fingerprint)


_own_data: dict[str, TaskData] = {}  # of this worker, by `data_key`


@dataclass
class SearchWork:
    """The training of a search's points.

    Args:
        recipe: Id or path.
        objective: How trials are compared.
        trial: Overrides for trials only, such as fewer epochs.
        flags: Flags of `zoo train`, for every trial.
        seed: Seed of every training.
        data_key: `data_key` of the data that the trials share.
    """

    recipe: str
    objective: Objective
    trial: Overrides = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)
    seed: int = 42
    data_key: str = ""

    def settings(self, point: Point, folder: str = "unused") -> RunSettings:
        """The settings of a point's training."""
        overrides = flags_of(merged(self.trial, overrides_of(point)))
        own = ["--seed", str(self.seed), "--output_dir", folder]
        return parse_run([self.recipe, *overrides, *self.flags, *TRIAL_FLAGS, *own], "zoo tune")

    def data_of(self, settings: RunSettings, shared: TaskData | None) -> TaskData:
        """The shared data, or a trial's own if its point changes what is read; a worker keeps the last of these."""
        key = data_key(settings)
        if shared is not None and key == self.data_key:
            data = shared
        else:
            if key not in _own_data:
                _own_data.clear()
                _own_data[key] = load_without_test(settings)
            data = _own_data[key]
        if data.test is not None:
            raise RuntimeError("a trial must not hold the test split")
        return data

    def log(self, point: Point) -> str:
        """The null device: a search keeps no logs."""
        return os.devnull

    def do(self, point: Point, data: TaskData | None) -> None:
        """Train, from Tune's checkpoint if there is one, and report each epoch."""
        with tempfile.TemporaryDirectory(prefix="zoo-trial-") as folder:
            checkpoint, resumed = None, {}
            given = tune.get_checkpoint()
            if given is not None:
                checkpoint = Path(given.to_directory(os.path.join(folder, "from")))
                resumed = json.loads((checkpoint / STATE_NAME).read_text())
            settings = self.settings(point, os.path.join(folder, "run"))
            parts = build(settings, [TuneReport(self.objective, point, resumed)], self.data_of(settings, data))
            parts.trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)


@dataclass
class StudyWork:
    """The runs of a study.

    Args:
        runs: Name of its folder -> run.
        objective: Objective of the study.
        logs: Folder of the runs' logs.
        test: Whether finished runs are measured on the test split.
        deadline: Time (`time.time()`) after which no run starts.
    """

    runs: Mapping[str, Run]
    objective: Objective
    logs: Path
    test: bool = False
    deadline: float = math.inf

    def log(self, point: Point) -> str:
        """A file for each run."""
        return str(self.logs / f"{point['run']}.log")

    def do(self, point: Point, data: TaskData | None) -> None:
        """Train unless that is done, then measure the test split if asked for."""
        run = self.runs[point["run"]]
        if time.time() > self.deadline:
            tune.report({"late": True})
            return
        if not run.finished:
            run.train([TuneReport(self.objective)])
        if self.test and not run.tested:
            run.test()


# What `run_trial` does for a point: a search trains it, a study makes a run of it.
Work: TypeAlias = SearchWork | StudyWork


@dataclass
class WorkerSetup:
    """What a worker needs of the process that the user started.

    Args:
        variables: Environment variables, for machines that do not set their own.
        folder: The working directory, from which relative paths start.
        threads: Threads of torch.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    folder: str = ""
    threads: int = 1

    @contextlib.contextmanager
    def applied(self, log: str) -> Iterator[None]:
        """Within it, a trial runs as if it was started there, and its prints go to the log."""
        import torch

        for name, value in self.variables.items():
            os.environ.setdefault(name, value)
        with contextlib.suppress(OSError):  # a machine that does not have the folder
            os.chdir(self.folder)
        torch.set_num_threads(self.threads)
        logging.getLogger("transformers").setLevel(logging.ERROR)
        Path(log).parent.mkdir(parents=True, exist_ok=True)
        with open(log, "a") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield


def run_trial(config: dict[str, Point], work: Work, setup: WorkerSetup, data: TaskData | None = None) -> None:
    """Tune's trainable. A trial that fails reports why, and its worker goes on with the next one."""
    with setup.applied(work.log(config["point"])):
        try:
            work.do(config["point"], data)
        except Exception as error:
            traceback.print_exc()
            worst = -FAILED if work.objective.greater_is_better else FAILED
            tune.report({"score": worst, "failed": reason(error)})


__all__ = [
    "SearchWork",
    "StudyWork",
    "TuneReport",
    "Work",
    "WorkerSetup",
    "data_key",
    "load_without_test",
    "run_trial",
]
