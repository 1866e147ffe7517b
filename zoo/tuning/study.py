"""The YAML file of a study: a base recipe, variants by overrides, seeds. Every run is an ordinary `zoo train`."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zoo.registry import load_task, nearest
from zoo.training.command_line import RunSettings, parse_run
from zoo.training.recipe import RECIPES, Fields, UsageError, check_keys, read_yaml

from .fingerprint import recipe_key
from .overrides import SECTIONS, Overrides, check_sections, flags_of, merged, plain

STUDIES = RECIPES / "studies"
BASE = "base"
KEYS = ("title", "question", "note", "base", "seeds", "common", "variants", "section")
# When a run is evaluated and saved; the table does not show it.
NOT_SHOWN = ("eval_", "save_", "logging_")


@dataclass
class Variant:
    """One row of a study.

    Args:
        name: Its name in the table.
        recipe: Id or path of the recipe that it changes.
        overrides: Section (`data`, `model`, `training`) -> field -> value.
        model_name_or_path: Weights to start from, if not the recipe's.
        changed: What the study's file lists for this variant, without `common`; of the base: `common`.
    """

    name: str
    recipe: str
    overrides: Overrides = field(default_factory=dict)
    model_name_or_path: str = ""
    changed: Mapping[str, Any] = field(default_factory=dict)

    def argv(self, seed: int, flags: Sequence[str] = ()) -> list[str]:
        """Arguments of `zoo train` for one run; `flags` are for all runs and win."""
        start = ["--model_name_or_path", self.model_name_or_path] if self.model_name_or_path else []
        return [self.recipe, *start, *flags_of(self.overrides), "--seed", str(seed), *flags]

    def settings(self, seed: int, flags: Sequence[str] = ()) -> RunSettings:
        """The settings of one run.

        Raises:
            UsageError: A key or value does not fit; the message names the variant.
        """
        try:
            return parse_run(self.argv(seed, flags), prog="zoo study")
        except UsageError as error:
            raise UsageError(f"variant {self.name}: {error}") from None

    def describe(self) -> str:
        """What it changes, for the table."""
        parts = [f"recipe {self.recipe}"] if self.name != BASE and "recipe" in self.changed else []
        parts += [f"weights {self.model_name_or_path}"] if self.model_name_or_path else []
        fields = [item for section in SECTIONS for item in self.changed.get(section, {}).items()]
        parts += [f"{key}={plain(value)}" for key, value in fields if not key.startswith(NOT_SHOWN)]
        return ", ".join(parts)


@dataclass
class Study:
    """What is compared.

    Args:
        name: The file's name without `.yaml`.
        title, question: The heading of its page.
        base: Id or path of the recipe that all variants are compared with.
        seeds: One run of each variant for each of them.
        variants: In the order of the table, the base first.
        note: What a reader must know of the results, such as a reduced budget.
        section: A further part of the page, one of the task's `study_sections`.
    """

    name: str
    title: str
    question: str
    base: str
    seeds: list[int]
    variants: list[Variant]
    note: str = ""
    section: str = ""

    def variant(self, name: str) -> Variant:
        """The variant of this name.

        Raises:
            UsageError: There is none; the message names the nearest.
        """
        names = [variant.name for variant in self.variants]
        if name not in names:
            raise UsageError(f"{self.name}: no variant {name!r}; {nearest(name, names)}")
        return self.variants[names.index(name)]


def available_studies() -> list[str]:
    """Ids of the studies that the library ships."""
    return sorted(path.stem for path in STUDIES.glob("*.yaml"))


def read_study(path: Path) -> Fields:
    """The content of a study's file, its keys checked.

    Raises:
        UsageError: It is not a study; the message names file, key and the nearest known one.
    """
    content = read_yaml(path, "study")
    if not isinstance(content, dict):
        raise UsageError(f"{path}: a study is a mapping with the keys title, question, base, seeds and variants")
    check_keys(content, list(KEYS), str(path))
    for key in ("title", "base", "seeds", "variants"):
        if not content.get(key):
            raise UsageError(f"{path}: the key {key!r} is missing or empty")
    seeds = content["seeds"]
    if not isinstance(seeds, list) or not all(type(seed) is int and seed >= 0 for seed in seeds):
        raise UsageError(f"{path}: seeds must be a list of whole numbers such as [1, 2, 3], not {seeds!r}")
    if len(set(seeds)) != len(seeds):
        raise UsageError(f"{path}: seeds {seeds!r} hold a number twice")
    if not isinstance(content["variants"], dict):
        raise UsageError(f"{path}: variants must map each variant's name to what it changes")
    return content


def load_study(name: str | os.PathLike) -> Study:
    """A shipped study by its id, or a study file by its path. Its recipes may be files beside it.

    Raises:
        UsageError: There is no such study, or it is not one; the message names file, key and the nearest known one.
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        if str(name) not in available_studies():
            raise UsageError(f"no study {str(name)!r}; {nearest(str(name), available_studies())}")
        path = STUDIES / f"{name}.yaml"
    content = read_study(path)
    common = merged(check_sections(content.get("common"), f"{path}, common"))
    base = _beside(content["base"], path)
    variants = [Variant(BASE, base, common, changed=common)]
    for variant, changes in content["variants"].items():
        where = f"{path}, variants, {variant}"
        changes = check_sections(changes, where, ("recipe", "model_name_or_path", *SECTIONS))
        if not changes or str(variant) == BASE:
            raise UsageError(f"{where}: " + ("the base is a row already" if changes else "it changes nothing"))
        recipe = _beside(changes.get("recipe", base), path)
        changed = {key: value for key, value in changes.items() if value}
        start_from = changes.get("model_name_or_path", "")
        variants.append(Variant(str(variant), recipe, merged(common, changes), start_from, changed))
    title, question, note = (" ".join(str(content.get(key, "")).split()) for key in ("title", "question", "note"))
    section = str(content.get("section") or "")
    return Study(path.stem, title, question, base, content["seeds"], variants, note, section)


def _beside(recipe: str, study: Path) -> str:
    """The path of a recipe file that a study names relative to its own folder; an id stays as it is."""
    recipe = str(recipe)
    return str(study.parent / recipe) if Path(recipe).suffix in (".yaml", ".yml") else recipe


def check_study(study: Study, flags: Sequence[str] = ()) -> None:
    """Check that every run can be started and that no two variants are the same.

    Raises:
        UsageError: A recipe, key or value does not exist or fit; the message names the variant.
    """
    names: dict[str, str] = {}
    base = study.variants[0].settings(study.seeds[0], flags).recipe.task
    sections = list(load_task(base).study_sections)
    if study.section and study.section not in sections:
        advice = nearest(study.section, sections) if sections else f"the task {base} has none"
        raise UsageError(f"{study.name}: section {study.section!r}; {advice}")
    for variant in study.variants:
        settings = variant.settings(study.seeds[0], flags)
        where = f"{study.name}, variants, {variant.name}"
        if settings.recipe.task != base:
            raise UsageError(f"{where}: its task is {settings.recipe.task}, the base's {base}: other metrics")
        key = recipe_key(settings)
        if key in names:
            what = "changes nothing" if names[key] == BASE else f"is the same as {names[key]}"
            raise UsageError(f"{where}: it {what}")
        names[key] = variant.name


__all__ = ["BASE", "Study", "Variant", "available_studies", "check_study", "load_study"]
