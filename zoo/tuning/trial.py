"""One trial of a search, in a Ray worker that lives for many: torch and transformers are imported once in it."""

import contextlib
import json
import logging
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray import tune

from zoo.training.build import build
from zoo.training.callbacks import EMACallback
from zoo.training.command_line import RunSettings, parse_run

from .progress import ReportCallback, reason
from .sharing import load_without_test, looked_at, unpack
from .space import overrides_of
from .study import flags_of, merged

FAILED = 1e30  # the score of a trial that failed, on the bad side: schedulers and TPE compare numbers
POINT_NAME = "point.json"
# Not for choosing between points: the score is the Trainer's own evaluation of each epoch.
TRIAL_FLAGS = (
    "--eval_strategy", "epoch", "--save_strategy", "epoch", "--save_total_limit", "1", "--save_only_model", "false",
    "--load_best_model_at_end", "false", "--average_checkpoints", "0", "--disable_tqdm", "true", "--skip_test",
)  # fmt: skip


@dataclass
class Assignment:
    """What all trials of a search share.

    Args:
        recipe: Id or path.
        trial: Overrides that hold for trials only, such as fewer epochs.
        flags: Of `zoo train`, for every trial.
        seed: Of every training.
        metric: Decides.
        greater_is_better: Which way.
        keeps_best: The recipe ends with its best epoch, so a trial's score is that of its best so far.
        place: The folder from which the command was given: relative paths of flags start there.
        data: Reference of the packed data in the object store, in a list so that Ray leaves it alone.
        data_fields: Names of the space whose value changes the data: such points load their own, once a worker.
        environment: Variables that workers on other machines need.
    """

    recipe: str
    trial: dict[str, dict[str, Any]]
    flags: list[str]
    seed: int
    metric: str
    greater_is_better: bool
    keeps_best: bool
    place: str = ""
    data: list[Any] = field(default_factory=list)
    data_fields: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)

    def settings(self, point: Mapping[str, Any], folder: str) -> RunSettings:
        """What `zoo train` would make of a point."""
        overrides = flags_of(merged(self.trial, overrides_of(point)))
        own = ["--seed", str(self.seed), "--output_dir", folder]
        return parse_run([self.recipe, *overrides, *self.flags, *TRIAL_FLAGS, *own], "zoo tune")


class _Loaded:
    """The data that this worker holds: the shared one, or the last that a point needed for itself."""

    def __init__(self) -> None:
        self.shared = ""
        self.data: Any = None
        self.point: dict[str, Any] = {}
        self.read: set[str] = set()

    def fits(self, point: Mapping[str, Any]) -> bool:
        """Whether reading at this point would give the same: all that was looked at is as it was then.

        A field may be looked at only where another has some value, so it is this reading's own fields that count.
        """
        names = [name for name in {*self.point, *point} if looked_at(name, self.read)]
        return all(name in self.point and name in point and self.point[name] == point[name] for name in names)

    def get(self, assignment: Assignment, settings: RunSettings, point: Mapping[str, Any]) -> Any:
        """The data of a point."""
        shared = assignment.data[0].hex()
        if shared != self.shared or not self.fits(point):
            self.shared, self.data = "", None  # not two at a time; and none if reading fails
            if any(name in point for name in assignment.data_fields):
                self.data, self.read = load_without_test(settings)
            else:
                self.data, self.read = unpack(ray.get(assignment.data[0])), set(assignment.data_fields)
            self.shared, self.point = shared, dict(point)
        if self.data.test is not None:
            raise RuntimeError("a trial must not hold the test split")
        return self.data


LOADED = _Loaded()


class ResumedRates(ReportCallback):
    """Reports; and where a population changed rate or decay, sets them over those of the checkpoint.

    Args:
        report: See `ReportCallback`.
        old, new: The points of the checkpoint and of the trial.
    """

    def __init__(self, report: Callable[[dict[str, Any]], None], old: Mapping[str, Any], new: Mapping[str, Any]):
        super().__init__(report)
        self.old, self.new = old, new

    def on_train_begin(
        self, args: Any, state: Any, control: Any, optimizer: Any = None, lr_scheduler: Any = None, **kwargs: Any
    ) -> None:
        """The checkpoint's optimizer and schedule are loaded by now."""
        rate, decay = "training.learning_rate", "training.weight_decay"
        for group in optimizer.param_groups if self.old else ():
            # Groups of another optimizer than --learning_rate's keep theirs.
            if rate in self.new and group.get("initial_lr") == self.old.get(rate):
                factor = self.new[rate] / self.old[rate]
                group["lr"] *= factor
                group["initial_lr"] *= factor
            if decay in self.new and group.get("weight_decay"):
                group["weight_decay"] = self.new[decay]
        if self.old and hasattr(lr_scheduler, "base_lrs"):
            lr_scheduler.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]


class Reporter:
    """Hands an evaluation to Tune when the checkpoint of the same epoch is there.

    Args:
        assignment: Of the search.
        point: Of the trial.
        folder: Where the Trainer writes.
        state: What the checkpoint said of the score so far and of the seconds.
    """

    def __init__(self, assignment: Assignment, point: Mapping[str, Any], folder: Path, state: Mapping[str, Any]):
        self.assignment, self.point, self.folder = assignment, point, folder
        self.best, self.before = state.get("best"), state.get("seconds", 0.0)
        self.begun = time.perf_counter()
        self.found: dict[str, Any] | None = None

    def evaluated(self, found: dict[str, Any]) -> None:
        """Called after an evaluation."""
        if self.assignment.metric not in found["metrics"]:
            known = ", ".join(sorted(found["metrics"]))
            raise RuntimeError(
                f"evaluations have no {self.assignment.metric!r}, only {known}: name one of these as "
                "metric_for_best_model, or have it measured (of texts: predict_with_generate)"
            )
        self.found = found

    def saved(self, checkpoint: Path) -> None:
        """Called after the Trainer wrote a checkpoint."""
        if self.found is None:
            return
        value = float(self.found["metrics"][self.assignment.metric])
        pick = max if self.assignment.greater_is_better else min
        self.best = value if self.best is None else pick(self.best, value)
        seconds = self.before + time.perf_counter() - self.begun
        state = {"point": self.point, "best": self.best, "seconds": seconds}
        (checkpoint / POINT_NAME).write_text(json.dumps(state))
        metrics = {key: value for key, value in self.found["metrics"].items() if isinstance(value, (int, float))}
        result = {
            "score": self.best if self.assignment.keeps_best else value,
            "epoch": self.found["epoch"],
            "metrics": metrics,
            "seconds": seconds,
            "host": ray.get_runtime_context().get_node_id()[:8],
            "pid": os.getpid(),
        }
        self.found = None
        tune.report(result, checkpoint=tune.Checkpoint.from_directory(str(checkpoint)))


def train_trial(point: Mapping[str, Any], assignment: Assignment, folder: Path) -> None:
    """Train at a point of the space and report after each epoch; goes on from Tune's checkpoint if it has one."""
    checkpoint, state = None, {}
    given = tune.get_checkpoint()
    if given is not None:
        checkpoint = folder / "from"
        given.to_directory(str(checkpoint))
        state = json.loads((checkpoint / POINT_NAME).read_text())
    settings = assignment.settings(point, str(folder / "run"))
    reporter = Reporter(assignment, point, folder, state)
    callback = ResumedRates(reporter.evaluated, state.get("point", {}), point)
    data = LOADED.get(assignment, settings, point)
    parts = build(settings, [callback, Saved(reporter)], data)
    if checkpoint is not None:
        for each in parts.trainer.callback_handler.callbacks:
            if isinstance(each, EMACallback):
                each.load(checkpoint)
    parts.trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)


class Saved(ReportCallback):
    """Tells a Reporter of each checkpoint; the run's own callbacks have put their files into it by then."""

    def __init__(self, reporter: Reporter):
        super().__init__(lambda found: None)
        self.reporter = reporter

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The Trainer wrote a checkpoint."""
        self.reporter.saved(Path(args.output_dir) / f"checkpoint-{state.global_step}")


def run_trial(config: dict[str, Any], assignment: Assignment) -> None:
    """Tune's trainable: a trial that fails reports why, and its worker goes on to the next one."""
    for name, value in assignment.environment.items():
        os.environ.setdefault(name, value)
    with contextlib.suppress(OSError):  # a machine that does not share it
        os.chdir(assignment.place)
    logging.getLogger("transformers").setLevel(logging.ERROR)
    folder = Path(tempfile.mkdtemp(prefix="zoo-trial-"))
    try:
        with warnings.catch_warnings(), open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            warnings.simplefilter("ignore")
            train_trial(config["point"], assignment, folder)
    except Exception as error:
        bad = -FAILED if assignment.greater_is_better else FAILED
        tune.report({"score": bad, "failed": reason(error)})
    finally:
        shutil.rmtree(folder, ignore_errors=True)


__all__ = ["FAILED", "Assignment", "run_trial"]
