"""`zoo tune RECIPE [--trials N] [--algorithm tpe] [--flag value ...]`: search what a recipe leaves open."""

import argparse
import dataclasses
import json
import math
import os
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import guarded
from .study import spelt, workers_of

INTERRUPTED = "interrupted; go on with the same command and --resume"
REFUSED = ("--seed", "--output_dir", "--skip_test", "--resume_from_checkpoint", "--push_to_hub", "--model_overrides")
OWN = ("algorithm", "scheduler", "trials", "minutes", "total_epochs", "grace_epochs", "reduction_factor",
       "perturb_epochs", "cpus_per_trial", "gpus_per_trial")  # fmt: skip


def make_parser() -> argparse.ArgumentParser:
    """The command's own flags; what it does not know goes to every trial's `zoo train`."""
    from zoo.training.recipe import UsageError
    from zoo.tuning.settings import ALGORITHMS, SCHEDULERS

    parser = argparse.ArgumentParser(
        "zoo tune",
        description=f"{__doc__} Other flags are those of `zoo train` and hold for every trial, winner and default.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("recipe", help="the id or the path of a recipe")
    add("--space", action="append", default=[], metavar="FIELD=SPEC",
        help='search a field, e.g. "training.learning_rate={loguniform: [1e-4, 1e-2]}" or "model.dropout=[0, 0.2]", '
        'or fix it, e.g. "training.optim=sgd"; can be given several times')  # fmt: skip
    add("--algorithm", help=f"how points are chosen: {', '.join(ALGORITHMS)}")
    add("--scheduler", help=f"what stops trials early: {', '.join(SCHEDULERS)}")
    add("--trials", type=int, help="how many points; members of a population")
    add("--epochs", type=int, help="of a whole trial; default: the recipe's")
    add("--minutes", type=float, help="let no trial go on after so many minutes")
    add("--total_epochs", type=int, help="let no trial go on when all together had so many epochs")
    add("--grace_epochs", type=int, help="ASHA stops no trial before")
    add("--reduction_factor", type=int, help="ASHA keeps one trial of so many")
    add("--perturb_epochs", type=int, help="a population is compared after so many epochs")
    add("--search_seed", type=int, help="of the choice of points")
    add("--cpus_per_trial", type=float, help="CPU cores of a trial")
    add("--gpus_per_trial", type=float, help="GPUs of a trial; a fraction shares one")
    add(
        "--jobs",
        type=int,
        default=0,
        help="trials at a time (of pbt on a cluster: all); default: as many as there is room for",
    )
    add("--address", help="of a Ray cluster (host:port, ray://host:port, auto); default: this machine alone")
    add(
        "--output_dir",
        help="where everything lies; on a cluster a shared folder; default: runs/tune/RECIPE",
    )
    add("--resume", action="store_true", help="go on with an interrupted search")
    add("--seed", type=int, help="of every training, instead of the recipe's")
    add("--skip_final", action="store_true", help="do not train winner and default at full length for test figures")
    add("--final_seeds", type=int, nargs="+", help="seeds of these final trainings; default: one")

    def fail(message: str) -> Any:
        raise UsageError(message)

    parser.error = fail  # type: ignore[method-assign, assignment]
    return parser


def prepare(argv: list[str]) -> tuple[Any, Any, Any, Any]:
    """(arguments, recipe, settings, assignment) of a command line.

    Raises:
        UsageError: Something of it does not fit.
    """
    from zoo.registry import load_task
    from zoo.training.command_line import parse_run
    from zoo.training.recipe import UsageError, load_recipe
    from zoo.tuning.settings import read_settings
    from zoo.tuning.study import merged
    from zoo.tuning.trial import Assignment

    arguments, flags = make_parser().parse_known_args(argv)
    for flag in flags:
        if spelt(flag) in REFUSED:
            advice = '; fix a field with --space "model.FIELD=VALUE"' if "overrides" in flag else ""
            raise UsageError(f"{flag}: a search sets it itself for each trial{advice}")
    if arguments.jobs < 0:
        raise UsageError(f"--jobs {arguments.jobs}: must not be negative")
    recipe = load_recipe(arguments.recipe)
    name = str(Path(arguments.recipe).resolve()) if Path(arguments.recipe).suffix else arguments.recipe
    resolved = parse_run([name, *flags], "zoo tune").recipe  # flags may name weights, and with them a family
    recipe = dataclasses.replace(recipe, family=resolved.family)
    values = {name: getattr(arguments, name) for name in OWN} | {"seed": arguments.search_seed}
    settings = read_settings(recipe, values, arguments.space)
    if arguments.epochs is not None:
        if arguments.epochs < 1:
            raise UsageError("--epochs must be at least 1")
        settings.trial = merged(settings.trial, {"training": {"num_train_epochs": arguments.epochs}})
    chosen = {f"--{one.field}": one.name for one in settings.space.dimensions if one.section != "model"}
    for flag in map(spelt, flags):
        if flag in chosen:
            raise UsageError(f'{flag}: the search chooses it; to fix it give --space "{chosen[flag]}=VALUE" instead')
    metric, greater_is_better = resolved.deciding_metric(load_task(recipe.task))
    keeps_best = bool(resolved.training.get("load_best_model_at_end") or resolved.training.get("average_checkpoints"))
    seed = settings_seed(recipe, arguments)
    assignment = Assignment(name, settings.trial, flags, seed, metric, greater_is_better, keeps_best)
    assignment.place = os.getcwd()
    steps = assignment.settings({}, "unused").training.max_steps
    if steps > 0:
        raise UsageError(f"max_steps={steps}: a search counts epochs: give --max_steps -1 and --epochs")
    return arguments, recipe, settings, assignment


def settings_seed(recipe: Any, arguments: Any) -> int:
    """Of every training: the command line's, or the recipe's."""
    return int(recipe.training.get("seed", 42)) if arguments.seed is None else arguments.seed


def claim(folder: Path, resume: bool, asked: dict[str, Any]) -> None:
    """Make the search's folder, or find in it the search that goes on.

    Raises:
        UsageError: It holds another search, or none to go on with.
    """
    from zoo.record import write_whole
    from zoo.training.recipe import UsageError
    from zoo.tuning.log import LOG_NAME

    path = folder / "asked.json"
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    if resume and before is None:
        raise UsageError(f"--resume: {folder} holds no search; start without the flag")
    if resume and before is not None:
        changed = [key for key in asked if asked[key] != before.get(key)]
        if changed:
            raise UsageError(f"--resume: {path} differs from this command in {', '.join(changed)}: use the same flags")
        return
    if before is not None and (folder / LOG_NAME).is_file():
        raise UsageError(f"{folder} holds a search: go on with --resume, or choose another --output_dir")
    shutil.rmtree(folder / "ray", ignore_errors=True)  # of a search that never began a trial
    write_whole(path, json.dumps(asked, indent=1) + "\n")


def tune(argv: list[str]) -> None:
    """Parse the command line, search, report, and train the winner beside the default."""
    from zoo.training.recipe import UsageError
    from zoo.tuning.study_runs import locked

    arguments, recipe, settings, assignment = prepare(argv)
    try:
        from zoo.tuning import tune as ray_tune
        from zoo.tuning.cluster import check_room, cluster
    except ImportError as error:
        if (getattr(error, "name", "") or "").split(".")[0] != "ray":
            raise
        raise UsageError('a search needs Ray: pip install "primer-zoo[tune]"') from None
    folder = Path(arguments.output_dir or f"runs/tune/{recipe.id}")
    epochs = max(1, round(assignment.settings({}, str(folder / "unused")).training.num_train_epochs))
    if settings.algorithm != "tpe":
        ray_tune.make_points(settings)
    described = json.loads(json.dumps(settings.describe()))
    asked = {"recipe": recipe.to_dict(), "settings": described, "flags": assignment.flags, "seed": assignment.seed}
    with locked(folder):
        claim(folder, arguments.resume, asked)
        command = shlex.join(["python", "scripts/tune.py", *argv])
        cpus = math.ceil(arguments.jobs * settings.cpus_per_trial) or None
        with cluster(arguments.address, cpus) as resources:
            check_room("per_trial", settings.cpus_per_trial, settings.gpus_per_trial)
            begin(recipe, settings, assignment, epochs, resources)
            resume = arguments.resume and ray_tune.has_state(folder)
            try:
                ray_tune.search(assignment, settings, folder, epochs, arguments.jobs, resume)
            finally:
                found = report(folder, recipe, settings, assignment, command, resources, epochs)
        if found["best"] is None:
            reasons = sorted({trial.get("reason", "no epoch was reached") for trial in found["trials"]})
            raise RuntimeError(f"no trial succeeded: {'; '.join(reasons)[:300] or 'none began'}")
        seeds = [] if arguments.skip_final else list(dict.fromkeys(arguments.final_seeds or [assignment.seed]))
        place = (arguments.address, arguments.jobs, settings.cpus_per_trial, settings.gpus_per_trial)
        finish(folder, recipe, assignment, found, seeds, place)


def begin(recipe: Any, settings: Any, assignment: Any, epochs: int, resources: dict[str, float]) -> None:
    """Say what is going to happen."""
    from zoo.tuning import tune as ray_tune

    count = settings.trials if settings.algorithm == "tpe" else len(ray_tune.make_points(settings))
    early = settings.scheduler if settings.algorithm != "pbt" else "none"
    print(
        f"{recipe.id}: {settings.algorithm} search over {len(settings.space.dimensions)} fields, {count} trials of "
        f"{epochs} epochs, early stopping {early}, by validation {assignment.metric}; "
        f"{resources.get('CPU', 0):g} CPUs, {resources.get('GPU', 0):g} GPUs",
        flush=True,
    )


def report(
    folder: Path, recipe: Any, settings: Any, assignment: Any, command: str, resources: Any, epochs: int
) -> dict[str, Any]:
    """Write table, search.json and pictures of what the log holds."""
    from zoo.tuning import pictures
    from zoo.tuning.log import read_trials, wall_seconds

    trials = read_trials(folder)
    names = [one.name for one in settings.space.dimensions]
    from zoo.tuning.report import content

    found = content(recipe.id, command, trials, assignment, settings, wall_seconds(folder), resources, epochs)
    write(folder, recipe, assignment, found, trials, names, [])
    pictures.draw_history(trials, assignment.metric, assignment.greater_is_better, folder / "history.png")
    pictures.draw_importance(found["importance"], folder / "importance.png")
    pictures.draw_parallel(trials, names, assignment.metric, assignment.greater_is_better, folder / "parallel.png")
    return found


def write(folder: Path, recipe: Any, assignment: Any, found: Any, trials: Any, names: Any, notes: list[str]) -> None:
    """search.json and search.md."""
    from zoo.record import write_whole
    from zoo.tuning.report import markdown

    write_whole(folder / "search.json", json.dumps(found, indent=1, ensure_ascii=False, default=str) + "\n")
    notes = [*notes, "", "```bash", found["command"], "```"]
    page = markdown(f"Search: {recipe.id}", trials, names, assignment, notes)
    write_whole(folder / "search.md", page)


def finish(
    folder: Path, recipe: Any, assignment: Any, found: dict[str, Any], seeds: list[int], place: tuple[Any, ...]
) -> None:
    """The winner as a recipe, and its test figure beside the default's.

    Args:
        folder: Of the search.
        recipe, assignment: What was searched.
        found: Content of search.json.
        seeds: Of the final trainings; with none of them there is no test figure.
        place: Of `workers_of`, for these trainings.
    """
    from zoo.tuning.log import read_trials
    from zoo.tuning.report import winning_recipe

    trials, names = read_trials(folder), list(found["settings"]["space"])
    path = winning_recipe(assignment, found["best"]["point"], folder, recipe.id)
    found["winner"] = path.name
    notes = [f"The winner, trial {found['best']['trial']}, is the recipe {path.name}."]
    if seeds:
        rows = compare(folder, recipe, assignment, found["best"]["point"], seeds, place)
        found["final"] = [vars(row) for row in rows]
        notes += final_notes(rows, assignment.metric)
    write(folder, recipe, assignment, found, trials, names, notes)
    print("\n" + (folder / "search.md").read_text(encoding="utf-8"))
    print(f"search.json, search.md, pictures and {path.name} in {folder}; train it with: zoo train {path}")


def compare(
    folder: Path, recipe: Any, assignment: Any, point: dict[str, Any], seeds: list[int], place: tuple[Any, ...]
) -> list[Any]:
    """Train winner and default at full length, measure both on the test split: a study of two."""
    from zoo.tuning.space import overrides_of
    from zoo.tuning.study import BASE, Study, Variant
    from zoo.tuning.study_runs import plan, run_study
    from zoo.tuning.study_table import tabulate

    changes = overrides_of(point)
    variants = [Variant(BASE, assignment.recipe), Variant("winner", assignment.recipe, changes, "", dict(changes))]
    study = Study(f"{recipe.id}-final", f"{recipe.id}: default and winner", "", assignment.recipe, seeds, variants)
    runs = plan(study, folder / "final", assignment.flags)
    print("\nthe default recipe and the winner, at full length:", flush=True)
    with workers_of(*place) as pool:
        run_study(runs, assignment.metric, pool, test=True)
    return tabulate(study, runs, assignment.metric, assignment.greater_is_better)


def final_notes(rows: list[Any], metric: str) -> list[str]:
    """The default's and the winner's figures, in the page."""
    heads = ["at full length", f"test {metric}", "validation", "train", "parameters", "seeds"]
    lines = ["", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row, name in zip(rows, ("the default recipe", "the winner")):
        if not row.runs:
            why = row.failures[0]["reason"] if row.failures else "not run"
            lines.append(f"| {name} | FAILED: {why} | | | | |")
            continue
        figures = [f"{row.mean(split):.4f}" if row.values(split) else "" for split in ("test", "validation", "train")]
        lines.append(f"| {name} | {' | '.join(figures)} | {row.mean('parameters'):,.0f} | {len(row.runs)} |")
    return [*lines, ""]


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of the command."""
    return guarded(tune, argv, INTERRUPTED)
