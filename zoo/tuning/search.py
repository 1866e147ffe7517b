"""A search from its command line to its folder: settings, trials, report, and the winner against the default."""

import argparse
import dataclasses
import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zoo.record import write_whole
from zoo.training.command_line import flag_names, parse_run
from zoo.training.recipe import Fields, Recipe, UsageError, load_recipe

from .cluster import check_room, cluster
from .log import LOG_NAME
from .overrides import Point, merged, overrides_of
from .report import final_lines, search_content, winning_recipe, write_search
from .runs import locked, missing_runs, plan, read_failures
from .settings import SearchSettings, objective_of, read_settings
from .study import BASE, Study, Variant
from .table import Row, tabulate
from .trial import SearchWork
from .tuner import STATE, can_resume, run_search, run_study


@dataclass
class Search:
    """What is searched, and how.

    Args:
        recipe: With its family.
        settings: Space, algorithm, budget.
        work: The training of a point.
        epochs: Epochs of a whole trial.
        folder: Folder of the results.
        command: The command line, which the page shows.
    """

    recipe: Recipe
    settings: SearchSettings
    work: SearchWork
    epochs: int
    folder: Path
    command: str = ""

    def describe(self) -> str:
        """One line before it starts."""
        settings = self.settings
        count = len(settings.points()) or settings.trials
        early = settings.scheduler if settings.algorithm != "pbt" else "none"
        return (
            f"{self.recipe.id}: {settings.algorithm} search over {len(settings.space.dimensions)} fields, {count} "
            f"trials of {self.epochs} epochs, early stopping {early}, by validation {self.work.objective.metric}"
        )

    def claim(self, resume: bool) -> None:
        """Make the folder, or check that it holds this search.

        Raises:
            UsageError: It holds another search, or none to go on with.
        """
        path = self.folder / "asked.json"
        asked = {"recipe": self.recipe.to_dict(), "settings": self.settings.describe()}
        asked = json.loads(json.dumps(asked | {"flags": self.work.flags, "seed": self.work.seed}))
        before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
        if resume:
            if before is None:
                raise UsageError(f"--resume: {self.folder} holds no search; start without the flag")
            changed = [key for key in asked if asked[key] != before.get(key)]
            if changed:
                raise UsageError(
                    f"--resume: {path} differs from this command in {', '.join(changed)}: use the same flags"
                )
            return
        if before is not None and (self.folder / LOG_NAME).is_file():
            raise UsageError(f"{self.folder} holds a search: go on with --resume, or choose another --output_dir")
        shutil.rmtree(self.folder / STATE, ignore_errors=True)  # of a search without any trial
        write_whole(path, json.dumps(asked, indent=1) + "\n")

    def run(self, address: str | None, jobs: int, resume: bool, seeds: Sequence[int]) -> None:
        """Search, report, and train the winner and the default recipe at full length.

        Args:
            address: Address of a Ray cluster; None: this machine.
            jobs: Trials at a time; 0: as many as there is room for.
            resume: Go on with an interrupted search.
            seeds: Seeds of the trainings at full length; none if empty.

        Raises:
            RuntimeError: No trial succeeded.
        """
        settings, folder = self.settings, self.folder
        with locked(folder):
            self.claim(resume)
            cpus = math.ceil(jobs * settings.cpus_per_trial) or None
            with cluster(address, cpus) as resources:
                check_room("per_trial", settings.cpus_per_trial, settings.gpus_per_trial)
                room = f"{resources.get('CPU', 0):g} CPUs, {resources.get('GPU', 0):g} GPUs"
                print(f"{self.describe()}; {room}", flush=True)
                try:
                    run_search(self.work, settings, folder, self.epochs, jobs, resume and can_resume(folder))
                finally:  # an interrupted search has a table of what is there
                    content = search_content(self, resources)
                    write_search(self, content)
                if content["best"] is None:
                    reasons = sorted({trial.get("reason", "no epoch was reached") for trial in content["trials"]})
                    raise RuntimeError(f"no trial succeeded: {'; '.join(reasons)[:300] or 'none began'}")
                self.finish(content, seeds, jobs)

    def finish(self, content: Fields, seeds: Sequence[int], jobs: int) -> None:
        """Write the winner's recipe, and compare it with the default."""
        path = winning_recipe(self, content["best"]["point"])
        content["winner"] = path.name
        extra = [f"The winner, trial {content['best']['trial']}, is the recipe {path.name}."]
        if seeds:
            rows = self.compare(content["best"]["point"], list(seeds), jobs)
            content["final"] = [vars(row) for row in rows]
            extra += final_lines(rows, self.work.objective.metric)
        write_search(self, content, extra)
        print("\n" + (self.folder / "search.md").read_text(encoding="utf-8"))
        print(f"search.json, search.md, plots and {path.name} in {self.folder}; train it with: zoo train {path}")

    def compare(self, point: Point, seeds: list[int], jobs: int) -> list[Row]:
        """Train default and winner at full length, measured on the test split: a study of two."""
        recipe, changes = self.work.recipe, overrides_of(point)
        variants = [Variant(BASE, recipe), Variant("winner", recipe, changes, changed=changes)]
        study = Study(f"{self.recipe.id}-final", f"{self.recipe.id}: default and winner", "", recipe, seeds, variants)
        folder, objective = self.folder / "final", self.work.objective
        folder.mkdir(exist_ok=True)
        runs = plan(study, folder, self.work.flags)
        print("\nthe default recipe and the winner, at full length:", flush=True)
        resources = (self.settings.cpus_per_trial, self.settings.gpus_per_trial)
        missing = missing_runs(runs, folder, test=True)
        if missing:
            run_study(missing, objective, folder, resources, jobs=jobs, test=True)
        return tabulate(study, runs, objective, read_failures(folder))


def make_search(arguments: argparse.Namespace, flags: list[str], command: str = "") -> Search:
    """The search of a command line.

    Args:
        arguments: The own flags of `zoo tune`.
        flags: Flags of `zoo train`.
        command: The command line, which the page shows.

    Raises:
        UsageError: Something does not fit.
    """
    name = str(Path(arguments.recipe).resolve()) if Path(arguments.recipe).suffix else arguments.recipe
    recipe = load_recipe(name)
    resolved = parse_run([name, *flags], "zoo tune").recipe  # flags may name weights, and with them a family
    recipe = dataclasses.replace(
        recipe, family=resolved.family, model_name_or_path=resolved.model_name_or_path or recipe.model_name_or_path
    )
    names = {f.name for f in dataclasses.fields(SearchSettings)} - {"space", "trial", "seed"}
    values = {name: getattr(arguments, name) for name in names} | {"seed": arguments.search_seed}
    settings = read_settings(recipe, values, arguments.space)
    if arguments.epochs is not None:
        if arguments.epochs < 1:
            raise UsageError("--epochs must be at least 1")
        settings.trial = merged(settings.trial, {"training": {"num_train_epochs": arguments.epochs}})
    chosen = {one.field: one.name for one in settings.space.dimensions if one.section != "model"}
    for key in flag_names(flags) & {*chosen}:
        raise UsageError(f'--{key}: the search chooses it; to fix it give --space "{chosen[key]}=VALUE" instead')
    settings.points()  # a grid over a range is an error
    seed = int(recipe.training.get("seed", 42)) if arguments.seed is None else arguments.seed
    work = SearchWork(name, objective_of(resolved), settings.trial, flags, seed)
    training = work.settings({}).training
    if training.max_steps > 0:
        raise UsageError(f"max_steps={training.max_steps}: a search counts epochs: give --max_steps -1 and --epochs")
    folder = Path(arguments.output_dir or f"runs/tune/{recipe.id}")
    return Search(recipe, settings, work, max(1, round(training.num_train_epochs)), folder, command)


__all__ = ["Search", "make_search"]
