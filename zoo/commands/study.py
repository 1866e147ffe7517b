"""`zoo study STUDY [--jobs N] [--test] [--flag value ...]`: train the variants of a study and compare them."""

import argparse
import contextlib
import dataclasses
import json
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from . import guarded

INTERRUPTED = "interrupted; the same command goes on where it stopped"
# Flags that say where things lie and what trains them, not what is measured.
PLACES = ("--output_dir", "--report_dir", "--jobs", "--minutes", "--address", "--cpus_per_run", "--gpus_per_run")
REFUSED = ("--seed", "--output_dir", "--skip_test", "--resume_from_checkpoint", "--push_to_hub", "--model_overrides")


def make_parser() -> argparse.ArgumentParser:
    """The command's own flags; what it does not know goes to every `zoo train`."""
    from zoo.training.recipe import UsageError
    from zoo.tuning.study import available_studies

    parser = argparse.ArgumentParser(
        "zoo study",
        description=f"{__doc__} Other flags are those of `zoo train` and go to every run.",
        allow_abbrev=False,
    )
    parser.add_argument("study", help=f"the path of a YAML file, or one of {', '.join(available_studies())}")
    parser.add_argument("--output_dir", help="where runs and tables lie; default: runs/studies/STUDY")
    parser.add_argument("--jobs", type=int, default=0, help="trainings at a time; default: one a core")
    parser.add_argument("--address", help="of a Ray cluster (host:port, ray://host:port, auto) that trains the runs")
    parser.add_argument("--cpus_per_run", type=float, default=1.0, help="CPU cores of a run on the cluster")
    parser.add_argument("--gpus_per_run", type=float, default=0.0, help="GPUs of a run there; a fraction shares one")
    parser.add_argument("--seeds", type=int, nargs="+", help="instead of the study's")
    parser.add_argument("--only", nargs="+", default=[], metavar="VARIANT", help="these variants and the base")
    parser.add_argument("--test", action="store_true", help="measure the test split of the finished runs, too")
    parser.add_argument("--minutes", type=float, default=0.0, help="start no run after so many minutes")
    parser.add_argument("--retry_failed", action="store_true", help="try again what failed in an earlier call")
    parser.add_argument("--table_only", action="store_true", help="run nothing, write the table of what is there")
    parser.add_argument(
        "--accept_other_code",
        action="store_true",
        help="take finished runs though the family's code, torch or transformers were others; the table names them",
    )
    parser.add_argument("--report_dir", help="write STUDY.md, STUDY.json and STUDY.png there as well")

    def fail(message: str) -> Any:
        raise UsageError(message)

    parser.error = fail  # type: ignore[method-assign, assignment]
    return parser


def spelt(flag: str) -> str:
    """A flag without its value, by the field's name: `zoo train` takes --output-dir for --output_dir."""
    return f"--{flag[2:].split('=')[0].replace('-', '_')}" if flag.startswith("--") else flag


@contextlib.contextmanager
def workers_of(address: str | None, jobs: int, cpus: float, gpus: float) -> Iterator[Any]:
    """Where runs are trained: processes of this machine, or workers of the cluster at an address.

    Args:
        address: Of a Ray cluster; None: here.
        jobs: Runs at a time; 0: as many as there is room for.
        cpus, gpus: Of a run on the cluster.

    Raises:
        UsageError: Ray is not installed, nothing answers there, or no machine has room for a run.
    """
    from zoo.training.recipe import UsageError
    from zoo.tuning.workers import LocalPool

    if not address:
        yield LocalPool(jobs)
        return
    try:
        from zoo.tuning.cluster import cluster
        from zoo.tuning.cluster_workers import ClusterPool
    except ImportError as error:
        if (getattr(error, "name", "") or "").split(".")[0] != "ray":
            raise
        raise UsageError('--address needs Ray: pip install "primer-zoo[tune]"') from None
    with cluster(address):
        yield ClusterPool(jobs, cpus, gpus)


def study(argv: list[str]) -> None:
    """Parse the command line, run what is missing, and write table and picture."""
    from zoo.registry import load_task
    from zoo.training.recipe import UsageError
    from zoo.tuning.study import check_study, load_study, settings_of
    from zoo.tuning.study_runs import locked, plan, run_study
    from zoo.tuning.study_table import markdown, tabulate

    arguments, flags = make_parser().parse_known_args(argv)
    for flag in flags:
        if spelt(flag) in REFUSED:
            raise UsageError(f"{flag}: a study sets it itself for each run")
    if min(arguments.jobs, arguments.minutes, arguments.gpus_per_run) < 0 or arguments.cpus_per_run <= 0:
        raise UsageError("--jobs, --minutes and --gpus_per_run must not be negative, and --cpus_per_run above 0")
    chosen = load_study(arguments.study)
    if arguments.seeds:
        chosen = dataclasses.replace(chosen, seeds=list(dict.fromkeys(arguments.seeds)))
    check_study(chosen, flags)
    recipe = settings_of(chosen.variants[0], chosen.seeds[0], flags).recipe  # flags and the common part may name it
    metric, greater_is_better = recipe.deciding_metric(load_task(recipe.task))
    folder = Path(arguments.output_dir or f"runs/studies/{chosen.name}")
    with locked(folder):
        runs = plan(chosen, folder, flags, arguments.only, arguments.accept_other_code)
        try:
            if not arguments.table_only:
                room = (arguments.jobs, arguments.cpus_per_run, arguments.gpus_per_run)
                with workers_of(arguments.address, *room) as pool:
                    run_study(runs, metric, pool, arguments.test, arguments.retry_failed, arguments.minutes)
        finally:  # an interrupted study has a table of what is there
            rows = tabulate(chosen, runs, metric, greater_is_better)
            command = shlex.join(["python", "scripts/study.py", *without_places(argv)])
            places = [(folder, "study")]
            places += [(Path(arguments.report_dir), chosen.name)] if arguments.report_dir else []
            for place, name in places:
                write(chosen, runs, rows, (metric, greater_is_better), command, place / name)
    print("\n" + markdown(chosen, rows, metric, greater_is_better, command).split("\n![")[0])
    print(f"\nstudy.md, study.json, study.png and the runs in {folder}")
    if not any(row.runs for row in rows):
        raise RuntimeError(f"no run of {chosen.name} succeeded; logs are in {folder / 'logs'}")


def without_places(argv: Sequence[str]) -> list[str]:
    """The command line without the flags that only say where things lie and how many go at a time."""
    kept, value = [], False
    for argument in argv:
        if value:  # of the flag before
            value = False
        elif argument.split("=")[0] in PLACES:
            value = "=" not in argument
        elif argument not in ("--table_only", "--accept_other_code", "--retry_failed"):
            kept.append(argument)
    return kept


def write(study: Any, runs: Any, rows: Any, goal: tuple[str, bool], command: str, place: Path) -> None:
    """Page, data and pictures of a study: `place` with a suffix."""
    from zoo.record import write_whole
    from zoo.tuning.by_pairs import by_pairs
    from zoo.tuning.study_picture import draw_study
    from zoo.tuning.study_table import content, deciding_split, markdown

    page = markdown(study, rows, *goal, command)
    drawn = draw_study(rows, goal[0], study.title, place.with_name(f"{place.name}.png"))
    picture = "![The figures of all seeds]"
    page = page.replace(f"{picture}(PICTURE)\n\n", f"{picture}({place.name}.png)\n\n" if drawn else "")
    if study.section:
        more = by_pairs(runs, rows, goal[0], deciding_split(rows), place.with_name(f"{place.name}-by-pairs.png"))
        page = page.replace("```bash\n", f"{more}\n```bash\n") if more else page
    write_whole(place.with_name(f"{place.name}.md"), page)
    found = content(study, rows, *goal, command)
    write_whole(place.with_name(f"{place.name}.json"), json.dumps(found, indent=1, ensure_ascii=False) + "\n")


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of the command."""
    return guarded(study, argv, INTERRUPTED)
