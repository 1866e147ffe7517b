"""The runs of a study: finished ones are kept, interrupted ones go on, failures are recorded."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub.utils import WeakFileLock
from transformers import TrainerCallback

from zoo.record import RECORD_NAME
from zoo.training.recipe import UsageError

from .fingerprint import code_key, recipe_key
from .log import read_trials
from .study import Study, Variant

EVALUATION = "test"  # folder in a run's folder


@dataclass
class Run:
    """One training of a study.

    Args:
        variant, seed: What is trained.
        folder: Named by variant, seed, and the hashes of recipe and code.
        argv: Arguments of `zoo train`, without the folder.
        keeps_average: Whether checkpoints hold a moving average.
        other_code: Whether the folder is a finished run of other code or versions.
    """

    variant: Variant
    seed: int
    folder: Path
    argv: list[str]
    keeps_average: bool = False
    other_code: bool = False

    @property
    def finished(self) -> bool:
        """Whether it is trained and measured."""
        return (self.folder / RECORD_NAME).is_file()

    @property
    def tested(self) -> bool:
        """Whether its test split is measured."""
        return (self.folder / EVALUATION / "evaluation.json").is_file()

    @property
    def point(self) -> dict[str, str | int]:
        """Its values in the grid, and its folder, which identifies it in the log."""
        return {"variant": self.variant.name, "seed": self.seed, "run": self.folder.name}

    def train(self, callbacks: Sequence[TrainerCallback]) -> None:
        """`zoo train` without the test split, from its last checkpoint if it was interrupted."""
        from zoo.training.command_line import parse_run
        from zoo.training.run import run, whole_checkpoints

        argv = [*self.argv, "--output_dir", str(self.folder), "--skip_test", "--disable_tqdm", "true"]
        if self.folder.is_dir():
            if whole_checkpoints(self.folder, self.keeps_average):
                argv += ["--resume_from_checkpoint", "last"]
            else:
                shutil.rmtree(self.folder)  # interrupted before its first checkpoint
        run(parse_run(argv), argv, callbacks)
        for path in self.folder.glob("checkpoint-*"):
            shutil.rmtree(path, ignore_errors=True)

    def test(self) -> None:
        """`zoo evaluate` on the test split, with the final weights."""
        from zoo.training.evaluate import evaluate

        evaluate([str(self.folder), "--split", "test", "--output_dir", str(self.folder / EVALUATION)])


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Within it, no other process works in this folder.

    Raises:
        UsageError: One does already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(WeakFileLock(folder / ".lock", timeout=0.1))
        except TimeoutError:
            raise UsageError(f"another process works in {folder}: wait, or choose another --output_dir") from None
        yield


def plan(
    study: Study, folder: Path, flags: Sequence[str] = (), only: Sequence[str] = (), accept_other_code: bool = False
) -> list[Run]:
    """All runs of a study, the first seed of every variant before the second of any.

    Args:
        study: Variants and seeds.
        folder: Folder of the study.
        flags: Flags of `zoo train`, for every run.
        only: Names of the variants, beside the base; all if empty.
        accept_other_code: Take finished runs of the same recipe and seed, whatever their code and versions.

    Raises:
        UsageError: A variant is unknown or its recipe does not fit.
    """
    chosen = [study.variants[0], *(study.variant(name) for name in only)] if only else study.variants
    runs = []
    for seed in study.seeds:
        for variant in study.variants:
            if variant not in chosen:
                continue
            settings = variant.settings(seed, flags)
            recipe, code = recipe_key(settings), code_key(settings.recipe.family)
            existing, other = find_run(folder / "runs", recipe, code, accept_other_code)
            label = "".join(c if c.isalnum() or c in "-._" else "_" for c in variant.name)
            path = existing or folder / "runs" / f"{label}-{seed}-{recipe}-{code}"
            has_average = bool(settings.training.ema_decay)
            runs.append(Run(variant, seed, path, variant.argv(seed, flags), has_average, other))
    return runs


def find_run(folder: Path, recipe: str, code: str, accept_other_code: bool) -> tuple[Path | None, bool]:
    """(folder of the run with these hashes, under whatever name; whether its code is another)."""
    same = next(iter(sorted(folder.glob(f"*-{recipe}-{code}"))), None)
    if accept_other_code and not (same and (same / RECORD_NAME).is_file()):
        finished = [path.parent for path in folder.glob(f"*-{recipe}-??????/{RECORD_NAME}")]
        if finished:
            return max(finished, key=os.path.getmtime), True
    return same, False


def read_failures(folder: Path) -> dict[str, str]:
    """Name of a run's folder -> why its last trial failed."""
    last = {trial.point["run"]: trial for trial in read_trials(folder) if "run" in trial.point}
    return {name: trial.reason for name, trial in last.items() if trial.status == "failed"}


def missing_runs(runs: Sequence[Run], folder: Path, test: bool = False, retry_failed: bool = False) -> list[Run]:
    """The runs that are not finished and did not fail.

    Args:
        runs: What `plan` returned.
        folder: Folder of the study.
        test: Whether a finished run has its test split measured.
        retry_failed: Whether those that failed in an earlier call are missing, too.
    """
    failures = {} if retry_failed else read_failures(folder)
    by_name = {run.folder.name: run for run in runs if run.folder.name not in failures}
    return [run for run in by_name.values() if not run.finished or (test and not run.tested)]


__all__ = ["EVALUATION", "Run", "locked", "missing_runs", "plan", "read_failures"]
