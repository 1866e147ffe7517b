"""The Tune callback that writes the log, and the lines of the terminal."""

import shutil
import sys
import time
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.experiment import Trial as TuneTrial

from .log import read_trials, write_event
from .overrides import plain
from .settings import Objective

REPORTED = ("score", "metrics", "seconds", "host", "pid")
QUIET_SECONDS = 30  # between two lines of progress in a log file


class TrialLogger(tune.Callback):
    """Append every event to trials.jsonl, and print a line at the end of each trial.

    Args:
        folder: Folder of the search or study.
        objective: The metric.
        total: Number of trials.
        done: How many of them an earlier call finished.
        epochs: Epochs of a whole trial; a trial that ends before was stopped.
    """

    def __init__(self, folder: str, objective: Objective, total: int, done: int = 0, epochs: int = 0):
        self.arguments = (folder, objective, total, done, epochs)
        self.folder, self.objective, self.total, self.epochs = Path(folder), objective, total, epochs
        trials = read_trials(self.folder)
        self.numbers = {trial.id: trial.number for trial in trials}
        self.ended = self.first = done
        self.begun, self.started = time.monotonic(), dict[str, float]()
        self.progress: dict[str, str] = {}
        self.shown = time.monotonic()
        self.best: float | None = None

    def __getstate__(self) -> dict[str, tuple]:
        return {"arguments": self.arguments}

    def __setstate__(self, state: dict[str, tuple]) -> None:
        folder, objective, total, _, epochs = state["arguments"]
        done = sum(trial.status != "running" for trial in read_trials(Path(folder)))
        self.__init__(folder, objective, total, done, epochs)  # type: ignore[misc]

    def on_trial_start(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: object) -> None:
        """Also called after a pause or an interruption."""
        self.numbers.setdefault(trial.trial_id, len(self.numbers) + 1)
        write_event(self.folder, "start", trial.trial_id, point=trial.config["point"])
        self.started.setdefault(trial.trial_id, time.monotonic())
        self.progress[trial.trial_id] = "starts"
        self.show_progress()

    def on_trial_result(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, result: dict[str, Any], **info: object
    ) -> None:
        """An evaluation, or why the trial failed."""
        if "failed" in result:
            write_event(self.folder, "failed", trial.trial_id, reason=result["failed"])
            return
        if "metrics" not in result:
            return
        # The point that it trained with: a population changes the trial's before the next epoch.
        reported = {key: result[key] for key in REPORTED if key in result}
        number = result["training_iteration"]
        write_event(self.folder, "epoch", trial.trial_id, epoch=number, point=result["config"]["point"], **reported)
        text = f"epoch {result['epoch']:.3g} of {result['epochs']:.3g}"
        if "score" in result:
            self.best = self.objective.better(self.best, result["score"])
            text += f", {self.objective.metric} {result['score']:.4g}"
        self.progress[trial.trial_id] = text
        self.show_progress()

    def on_trial_complete(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: object) -> None:
        """Trained to the end, stopped, or failed with a reason."""
        write_event(self.folder, "end", trial.trial_id, epochs=self.epochs)
        last = trial.last_result or {}
        if "late" in last:
            self.progress.pop(trial.trial_id, None)
        else:
            self.show_end(trial, last.get("failed", ""))

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: object) -> None:
        """Its process died."""
        text = " ".join(str(trial.get_pickled_error() or trial.get_error() or "").split())
        failure = f"the worker died: {text[:200]}".removesuffix(": ")
        write_event(self.folder, "failed", trial.trial_id, reason=failure)
        self.show_end(trial, failure)

    def name_of(self, trial: TuneTrial) -> str:
        """What the terminal calls it."""
        point = trial.config["point"]
        if "run" in point:
            return f"{point['variant']}, seed {point['seed']}"
        values = ", ".join(f"{name.partition('.')[2]}={plain(value)}" for name, value in point.items())
        return f"trial {self.numbers.get(trial.trial_id, 0)} ({values})"

    def time_left(self) -> str:
        """How long the rest may take, from the trials that this call finished."""
        here = self.ended - self.first
        if not here or self.ended >= self.total:
            return ""
        seconds = (time.monotonic() - self.begun) / here * (self.total - self.ended)
        return f", about {seconds / 60:.0f} min left" if seconds > 90 else f", about {seconds:.0f} s left"

    def show_end(self, trial: TuneTrial, failure: str) -> None:
        """Print a line that stays."""
        self.ended += 1
        progress = self.progress.pop(trial.trial_id, "").removeprefix("starts")
        seconds = time.monotonic() - self.started.pop(trial.trial_id, time.monotonic())
        text = ": ".join(filter(None, (self.name_of(trial), f"FAILED: {failure}" if failure else progress)))
        is_search = "run" not in trial.config["point"] and self.best is not None
        best = f"; best {self.objective.metric} {self.best:.4g}" if is_search else ""
        line = f"[{self.ended}/{self.total}] {text} ({seconds:.0f} s{self.time_left()}){best}"
        print(("\r\033[K" if sys.stdout.isatty() else "") + line, flush=True)
        self.show_progress()

    def show_progress(self) -> None:
        """Show what is running: in a line that is overwritten, or every half minute in one that stays."""
        running = " | ".join(f"{self.numbers.get(id, 0)}: {text}" for id, text in self.progress.items())
        if not sys.stdout.isatty():
            if running and time.monotonic() - self.shown >= QUIET_SECONDS:
                self.shown = time.monotonic()
                print(running, flush=True)
        else:
            print(f"\r\033[K{running[: shutil.get_terminal_size().columns - 1]}", end="", flush=True)


__all__ = ["TrialLogger"]
