"""`zoo study STUDY [--jobs N] [--test] [--flag value ...]`: train the variants of a study and compare them."""

import argparse
import contextlib
import dataclasses
import math
import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.training.command_line import flag_names
from zoo.training.recipe import UsageError

from . import Parser, guarded

if TYPE_CHECKING:
    from zoo.tuning.study import Study

INTERRUPTED = "interrupted; the same command goes on where it stopped"
REFUSED = (
    "seed", "output_dir", "skip_test", "resume_from_checkpoint", "push_to_hub", "model_overrides", "ray_workers",
)  # fmt: skip


def make_parser() -> argparse.ArgumentParser:
    """The command's own flags; unknown ones go to `zoo train` of every run."""
    parser = Parser(
        "zoo study",
        description=f"{__doc__} Other flags are those of `zoo train` and go to every run.",
    )
    add = parser.add_argument
    add("study", help="the path of a YAML file, or the id of a shipped study (`zoo list`)")
    add("--output_dir", help="the folder of runs and tables; default: runs/studies/STUDY")
    add("--jobs", type=int, default=0, help="runs at a time; default: as many as there is room for")
    add("--address", help="address of a Ray cluster (host:port, ray://host:port, auto); default: this machine alone")
    add("--cpus_per_run", type=float, default=1.0, help="CPU cores of a run")
    add("--gpus_per_run", type=float, default=0.0, help="GPUs of a run; a fraction shares one")
    add("--seeds", type=int, nargs="+", help="seeds, instead of the study's")
    add("--only", nargs="+", default=[], metavar="VARIANT", help="these variants and the base")
    add("--test", action="store_true", help="measure the test split of the finished runs, too")
    add("--minutes", type=float, default=0.0, help="start no run after so many minutes")
    add("--retry_failed", action="store_true", help="try again what failed in an earlier call")
    add("--table_only", action="store_true", help="run nothing, write the table of what is there")
    add("--accept_other_code", action="store_true",
        help="take finished runs though the family's code, torch or transformers were others; the table names them",
    )  # fmt: skip
    add("--report_dir", help="write STUDY.md, STUDY.json and STUDY.png there as well")
    return parser


def check_flags(flags: Sequence[str], why: str, advice: str = "") -> None:
    """Refuse flags of `zoo train` that a search or study sets.

    Args:
        flags: Flags of `zoo train`; it takes --output-dir for --output_dir.
        why: The reason, for the error.
        advice: What to do instead of `--model_overrides`.

    Raises:
        UsageError: One was given.
    """
    for flag in flags:
        if flag_names([flag]) & {*REFUSED}:
            raise UsageError(f"{flag}: {why}{advice if 'overrides' in flag else ''}")


def command_of(arguments: argparse.Namespace, flags: Sequence[str]) -> str:
    """The command that the page shows, without the flags that do not change what is measured."""
    own = [arguments.study]
    for name in ("seeds", "only"):
        if values := getattr(arguments, name):
            own += [f"--{name}", *map(str, values)]
    return shlex.join(["zoo", "study", *own, *["--test"] * arguments.test, *flags])


@contextlib.contextmanager
def connected(arguments: argparse.Namespace) -> Iterator[tuple[float, float]]:
    """Within it, there is a cluster to train on; gives CPUs and GPUs of a run.

    On this machine alone, fewer runs than cores share all of them.
    """
    from zoo.tuning.cluster import cluster

    cpus, jobs = arguments.cpus_per_run, arguments.jobs
    if not arguments.address and jobs:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        cpus = max(cpus, float(cores // jobs))
    with cluster(arguments.address, math.ceil(jobs * cpus) or None):
        yield cpus, arguments.gpus_per_run


def study(argv: list[str]) -> None:
    """Parse the command line, run what is missing, and write table and plot."""
    arguments, flags = make_parser().parse_known_args(argv)
    check_flags(flags, "a study sets it itself for each run")
    if min(arguments.jobs, arguments.minutes, arguments.gpus_per_run) < 0 or arguments.cpus_per_run <= 0:
        raise UsageError("--jobs, --minutes and --gpus_per_run must not be negative, and --cpus_per_run above 0")
    from zoo.tuning.study import check_study, load_study

    chosen = load_study(arguments.study)
    if arguments.seeds:
        chosen = dataclasses.replace(chosen, seeds=list(dict.fromkeys(arguments.seeds)))
    check_study(chosen, flags)
    compare(chosen, arguments, flags, command_of(arguments, flags))


def compare(chosen: "Study", arguments: argparse.Namespace, flags: list[str], command: str) -> None:
    """Run what is missing of a study and write its table.

    Args:
        chosen: With the seeds of the command line.
        arguments: The command's own flags.
        flags: Flags of `zoo train`, for every run.
        command: The command line, which the page shows.
    """
    from zoo.tuning.report import study_table, write_study
    from zoo.tuning.runs import locked, missing_runs, plan, read_failures
    from zoo.tuning.settings import objective_of
    from zoo.tuning.table import tabulate

    # Flags and the common part may name the metric.
    objective = objective_of(chosen.variants[0].settings(chosen.seeds[0], flags).recipe)
    folder = Path(arguments.output_dir or f"runs/studies/{chosen.name}")
    with locked(folder):
        runs = plan(chosen, folder, flags, arguments.only, arguments.accept_other_code)
        missing = missing_runs(runs, folder, arguments.test, arguments.retry_failed)
        try:
            if missing and not arguments.table_only:
                with connected(arguments) as resources:
                    from zoo.tuning.tuner import run_study

                    run_study(
                        missing,
                        objective,
                        folder,
                        resources,
                        jobs=arguments.jobs,
                        test=arguments.test,
                        minutes=arguments.minutes,
                        done=len(runs) - len(missing),
                    )
        finally:  # an interrupted study has a table of what is there
            rows = tabulate(chosen, runs, objective, read_failures(folder))
            write_study(chosen, runs, rows, objective, command, folder, "study")
            if arguments.report_dir:
                write_study(chosen, runs, rows, objective, command, Path(arguments.report_dir), chosen.name)
    print("\n" + study_table(chosen, rows, objective))
    print(f"\nstudy.md, study.json, study.png and the runs in {folder}")
    if not any(row.runs for row in rows):
        raise RuntimeError(f"no run of {chosen.name} succeeded; logs are in {folder / 'logs'}")


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of the command."""
    return guarded(study, argv, INTERRUPTED)
