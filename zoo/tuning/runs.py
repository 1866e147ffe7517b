"""Run a study: what is finished is kept, what was cut off goes on, what fails is marked."""

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.record import RECORD_NAME, write_whole
from zoo.training.recipe import UsageError
from zoo.training.run import whole_checkpoints

from .study import Study, Variant, code_key, recipe_key, settings_of
from .workers import Job, Pool, work_off

EVALUATION = "test"  # folder in a run's folder


@dataclass
class Run:
    """One training of a study.

    Args:
        variant, seed: Which.
        folder: Where it lies: variant, seed, and what stands for its recipe and for the code.
        argv: Of `zoo train`, without folder and test split.
        keeps_average: The recipe saves a moving average with each checkpoint.
        other_code: The folder is a finished run of other code or versions.
    """

    variant: Variant
    seed: int
    folder: Path
    argv: list[str]
    keeps_average: bool = False
    other_code: bool = False

    @property
    def name(self) -> str:
        """For the terminal."""
        return f"{self.variant.name}, seed {self.seed}"

    @property
    def finished(self) -> bool:
        """Whether its figures are there."""
        return (self.folder / RECORD_NAME).is_file()

    @property
    def tested(self) -> bool:
        """Whether its test figures are there."""
        return (self.folder / EVALUATION / "evaluation.json").is_file()

    def beside(self, kind: str) -> Path:
        """A file about the run: its log, or why it failed."""
        return self.folder.parents[1] / kind / f"{self.folder.name}.{'json' if kind == 'failed' else 'log'}"

    @property
    def failure(self) -> str:
        """Why it failed, or nothing."""
        path = self.beside("failed")
        return json.loads(path.read_text(encoding="utf-8"))["reason"] if path.is_file() else ""

    def fail(self, reason: str, kind: str) -> None:
        """Note why."""
        content = {"reason": reason, "when": kind, "argv": self.argv}
        write_whole(self.beside("failed"), json.dumps(content, indent=1) + "\n")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Within it, nobody else runs the study in this folder.

    Raises:
        UsageError: Somebody does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as file:
        try:
            import fcntl
        except ImportError:  # Windows
            fcntl = None  # type: ignore[assignment]
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(f"another process works in {folder}: wait, or choose another --output_dir") from None
        yield


def plan(
    study: Study, folder: Path, flags: Sequence[str] = (), only: Sequence[str] = (), accept_other_code: bool = False
) -> list[Run]:
    """All runs of a study, seed by seed: after the first seed every variant has a figure.

    Args:
        study: Which.
        folder: Of the study.
        flags: Of `zoo train`, for every run.
        only: Names of the variants, the base always among them; all if empty.
        accept_other_code: Take finished runs of the same recipe and seed, whatever code and versions they had.

    Raises:
        UsageError: A variant is unknown or asks for what cannot be.
    """
    for name in only:
        study.variant(name)
    chosen = [variant for place, variant in enumerate(study.variants) if not only or not place or variant.name in only]
    runs = []
    for seed in study.seeds:
        for variant in chosen:
            settings = settings_of(variant, seed, flags)
            recipe, code = recipe_key(settings), code_key(settings.recipe.family)
            found, other = find(folder / "runs", recipe, code, accept_other_code)
            label = "".join(c if c.isalnum() or c in "-._" else "_" for c in variant.name)
            place = found or folder / "runs" / f"{label}-{seed}-{recipe}-{code}"
            runs.append(Run(variant, seed, place, variant.argv(seed, flags), bool(settings.zoo.ema_decay), other))
    return runs


def find(folder: Path, recipe: str, code: str, accept_other_code: bool) -> tuple[Path | None, bool]:
    """(folder of a run with this content under whatever name, whether its code is another)."""
    same = sorted(folder.glob(f"*-{recipe}-{code}"))
    if same and ((same[0] / RECORD_NAME).is_file() or not accept_other_code):
        return same[0], False
    if accept_other_code:
        for path in sorted(folder.glob(f"*-{recipe}-??????"), key=os.path.getmtime, reverse=True):
            if (path / RECORD_NAME).is_file():
                return path, True
    return (same[0] if same else None), False


def training_job(run: Run) -> Job:
    """`zoo train` for a run, from its last checkpoint if it was cut off. It never looks at the test split."""
    argv = [*run.argv, "--output_dir", str(run.folder), "--skip_test", "--disable_tqdm", "true"]
    if run.folder.is_dir():
        if whole_checkpoints(run.folder, run.keeps_average):
            argv += ["--resume_from_checkpoint", "last"]
        else:
            shutil.rmtree(run.folder)  # cut off before its first checkpoint
    return Job(run.name, "train", argv, run.beside("logs"))


def testing_job(run: Run) -> Job:
    """`zoo evaluate` on the test split, with the run's final weights."""
    argv = [str(run.folder), "--split", "test", "--output_dir", str(run.folder / EVALUATION)]
    return Job(f"{run.name}, test split", "evaluate", argv, run.beside("logs"))


class Terminal:
    """What the terminal shows: a line at the end of each run, and where it is a terminal, what is under way.

    Args:
        total: Runs in all.
        done: Runs that are there already.
        metric: What is shown of an evaluation.
    """

    def __init__(self, total: int, done: int, metric: str):
        self.total, self.done, self.metric = total, done, metric
        self.begun = time.monotonic()
        self.started: dict[str, float] = {}
        self.state: dict[str, str] = {}
        self.first = done

    def line(self, text: str) -> None:
        """A line that stays."""
        print(("\r\033[K" if sys.stdout.isatty() else "") + text, flush=True)

    def status(self) -> None:
        """What is under way, in a line that is written over."""
        if sys.stdout.isatty():
            width = shutil.get_terminal_size().columns - 1
            text = " | ".join(f"{name}: {state}" for name, state in self.state.items())
            print(f"\r\033[K{text[:width]}", end="", flush=True)

    def left(self) -> str:
        """How long the rest may take, from what the runs so far took."""
        here = self.done - self.first
        if not here or self.done == self.total:
            return ""
        seconds = (time.monotonic() - self.begun) / here * (self.total - self.done)
        return f", about {seconds / 60:.0f} min left" if seconds > 90 else f", about {seconds:.0f} s left"

    def tell(self, job: Job, kind: str, content: Any) -> None:
        """Show what a worker says."""
        if kind == "start":
            self.started[job.name], self.state[job.name] = time.monotonic(), "starts"
        elif kind == "progress":
            value = content["metrics"].get(self.metric)
            shown = f", {self.metric} {value:.4g}" if value is not None else ""
            self.state[job.name] = f"epoch {content['epoch']:.3g} of {content['epochs']}{shown}"
        else:
            last = self.state.pop(job.name, "")
            self.done += 1
            seconds = time.monotonic() - self.started.pop(job.name)
            what = f"FAILED: {content}" if kind == "failed" else last.removeprefix("starts")
            text = ": ".join(filter(None, (job.name, what)))
            self.line(f"[{self.done}/{self.total}] {text} ({seconds:.0f} s{self.left()})")
        self.status()


def forget_checkpoints(run: Run) -> None:
    """A finished run needs its checkpoints no more."""
    for path in run.folder.glob("checkpoint-*"):
        shutil.rmtree(path, ignore_errors=True)


def run_study(
    runs: Sequence[Run],
    metric: str,
    pool: Pool,
    test: bool = False,
    retry_failed: bool = False,
    minutes: float = 0.0,
) -> None:
    """Do what is missing of the runs.

    Args:
        runs: From `plan`.
        metric: Shown in the terminal.
        pool: Where they are trained, and how many at a time.
        test: Measure the test split of the finished runs as well.
        retry_failed: Try again what failed in an earlier call.
        minutes: Start no run after so many minutes; 0: no limit.
    """
    if retry_failed:
        for run in runs:
            run.beside("failed").unlink(missing_ok=True)
    end = time.monotonic() + 60 * minutes if minutes else float("inf")
    for done, make in (("finished", training_job), ("tested", testing_job))[: 2 if test else 1]:
        todo = [
            run for run in runs if not getattr(run, done) and not run.failure and (done == "finished" or run.finished)
        ]
        by_folder = {str(run.folder): run for run in todo}
        made = {id(job := make(run)): (job, run) for run in by_folder.values()}
        terminal = Terminal(len(runs), len(runs) - len(made), metric)

        def tell(job: Job, kind: str, content: Any, made: Any = made, terminal: Terminal = terminal) -> None:
            run = made[id(job)][1]
            if kind == "failed":
                run.fail(content, job.kind)
            elif kind == "done" and job.kind == "train":
                forget_checkpoints(run)
            terminal.tell(job, kind, content)

        if made:
            what = "trainings" if done == "finished" else "evaluations of the test split"
            kept = len(runs) - len(made)
            print(f"{len(made)} {what}, {min(pool.size, len(made))} at a time ({kept} are there already)", flush=True)
            work_off([job for job, _ in made.values()], pool, tell, lambda: time.monotonic() < end)


__all__ = ["Run", "locked", "plan", "run_study"]
