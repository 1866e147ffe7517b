"""A study: a base recipe, variants by overrides, seeds. Strict, and every run is an ordinary `zoo train`."""

import ast
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from zoo.record import installed_versions, sha256
from zoo.registry import FAMILIES, nearest
from zoo.training.command_line import RunSettings, parse_run
from zoo.training.recipe import RECIPES, UsageError, check_keys, read_value, read_yaml
from zoo.training.weights import find_model

STUDIES = RECIPES / "studies"
BASE = "base"
KEYS = ("title", "question", "note", "base", "seeds", "common", "variants", "section")
# What a page can have beside the table; names of functions in modules of the same name.
SECTION_NAMES = ["by_pairs"]
SECTIONS = ("data", "model", "training")
# When a run is evaluated and saved: it stands in the study's file, and the table has no room for it.
NOT_TOLD = ("eval_", "save_", "logging_")
VARIANT_KEYS = ("recipe", "model_name_or_path", *SECTIONS)
# What decides the figures beside the recipe.
VERSIONS = ("primer-zoo", "torch", "transformers")


@dataclass
class Variant:
    """One row of a study.

    Args:
        name: What the table calls it.
        recipe: The recipe that it changes: an id or a path.
        overrides: Section (`data`, `model`, `training`) -> field -> value.
        model_name_or_path: Weights to start from, if not the recipe's.
        changed: What of this its own lines of the study say.
    """

    name: str
    recipe: str
    overrides: dict[str, dict[str, Any]] = field(default_factory=dict)
    model_name_or_path: str = ""
    changed: dict[str, Any] = field(default_factory=dict)

    def argv(self, seed: int, flags: Sequence[str] = ()) -> list[str]:
        """Arguments of `zoo train` for one run; `flags` are for all runs and win."""
        start = ["--model_name_or_path", self.model_name_or_path] if self.model_name_or_path else []
        return [self.recipe, *start, *flags_of(self.overrides), "--seed", str(seed), *flags]

    def describe(self) -> str:
        """What it changes, in the words of the recipe, for a table."""
        parts = [f"recipe {self.recipe}"] if self.name != BASE and "recipe" in self.changed else []
        parts += [f"weights {self.model_name_or_path}"] if self.model_name_or_path else []
        parts += [
            f"{key}={plain(value)}"
            for section in SECTIONS
            for key, value in self.changed.get(section, {}).items()
            if not key.startswith(NOT_TOLD)
        ]
        return ", ".join(parts)


@dataclass
class Study:
    """What is compared.

    Args:
        name: The file's name without `.yaml`.
        title, question: What the table is about.
        note: What a reader must know of the figures, such as a reduced budget.
        base: Id or path of the recipe that everything is compared with.
        seeds: One run of each variant for each of them.
        variants: In the order of the table, the base first.
        section: What the page has beside the table: "by_pairs" or nothing.
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


def plain(value: Any) -> str:
    """A value as a command line and a table write it, without spaces."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "null"
    return (
        json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        if isinstance(value, (list, tuple, dict))
        else str(value)
    )


def quoted(value: Any) -> str:
    """A value as `--model_overrides` reads it back."""
    if not isinstance(value, str):
        return plain(value)
    try:
        simple = re.fullmatch(r"[\w./-]+", value) and read_value(value) == value
    except yaml.YAMLError:
        simple = False
    return value if simple else json.dumps(value, ensure_ascii=False)


def flags_of(overrides: Mapping[str, Any]) -> list[str]:
    """Overrides as flags of `zoo train`."""
    flags: list[str] = []
    if overrides.get("model"):
        parts = (f"{key}={quoted(value)}" for key, value in overrides["model"].items())
        flags += ["--model_overrides", ",".join(parts)]
    for section in ("data", "training"):
        for key, value in overrides.get(section, {}).items():
            texts = [*map(plain, value)] if isinstance(value, (list, tuple)) else [plain(value)]
            # argparse takes -1e-05 for a flag
            flags += [f"--{key}={texts[0]}"] if len(texts) == 1 and texts[0].startswith("-") else [f"--{key}", *texts]
    return flags


def available_studies() -> list[str]:
    """Ids of the studies that the library ships."""
    return sorted(path.stem for path in STUDIES.glob("*.yaml"))


def merged(*sources: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Overrides on top of each other, section by section."""
    sections: dict[str, dict[str, Any]] = {}
    for section in SECTIONS:
        values = {key: value for source in sources for key, value in (source.get(section) or {}).items()}
        if values:
            sections[section] = values
    return sections


def check_sections(content: Any, where: str, keys: Sequence[str]) -> dict[str, Any]:
    """A mapping of sections, each of which is a mapping.

    Raises:
        UsageError: It is not.
    """
    content = {} if content is None else content
    if not isinstance(content, dict):
        raise UsageError(f"{where} must be a mapping of {', '.join(keys)}, not {type(content).__name__}")
    check_keys(content, list(keys), where)
    for section in SECTIONS:
        if not isinstance(content.get(section) or {}, dict):
            raise UsageError(f"{where}, {section} must be a mapping, not {type(content[section]).__name__}")
    return content


def read_study(path: Path) -> dict[str, Any]:
    """The content of a study's file, its keys checked.

    Raises:
        UsageError: It is no study; the message names file, key and the nearest known one.
    """
    content = read_yaml(path, "study")
    if not isinstance(content, dict):
        raise UsageError(f"{path}: a study is a mapping with the keys title, question, base, seeds and variants")
    check_keys(content, list(KEYS), str(path))
    for key in ("title", "base", "seeds", "variants"):
        if not content.get(key):
            raise UsageError(f"{path}: the key {key!r} is missing or empty")
    seeds = content["seeds"]
    if not isinstance(seeds, list) or not all(isinstance(seed, int) and seed >= 0 for seed in seeds):
        raise UsageError(f"{path}: seeds must be a list of whole numbers such as [1, 2, 3], not {seeds!r}")
    if len(set(seeds)) != len(seeds):
        raise UsageError(f"{path}: seeds: a number stands twice in {seeds!r}")
    if content.get("section", SECTION_NAMES[0]) not in SECTION_NAMES:
        raise UsageError(f"{path}: section {content['section']!r}; {nearest(str(content['section']), SECTION_NAMES)}")
    if not isinstance(content["variants"], dict):
        raise UsageError(f"{path}: variants must map each variant's name to what it changes")
    return content


def load_study(name: str | os.PathLike) -> Study:
    """A shipped study by its id, or a study file by its path. Variants and base may name a recipe file beside it.

    Raises:
        UsageError: There is no such study, or it is not one; the message names file, key and the nearest known one.
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        if str(name) not in available_studies():
            raise UsageError(f"no study {str(name)!r}; {nearest(str(name), available_studies())}")
        path = STUDIES / f"{name}.yaml"
    content = read_study(path)
    common = check_sections(content.get("common"), f"{path}, common", SECTIONS)
    base = beside(content["base"], path)
    variants = [Variant(BASE, base, merged(common), changed=merged(common))]
    for variant, changes in content["variants"].items():
        where = f"{path}, variants, {variant}"
        changes = check_sections(changes, where, VARIANT_KEYS)
        if not changes or str(variant) == BASE:
            raise UsageError(f"{where}: " + ("the base is a row already" if changes else "it changes nothing"))
        variants.append(
            Variant(
                str(variant),
                beside(changes.get("recipe", base), path),
                merged(common, changes),
                changes.get("model_name_or_path", ""),
                {key: value for key, value in changes.items() if value},
            )
        )
    texts = {key: " ".join(str(content.get(key, "")).split()) for key in ("title", "question", "note")}
    return Study(
        path.stem, texts["title"], texts["question"], base, content["seeds"], variants, texts["note"],
        content.get("section", ""),
    )  # fmt: skip


def beside(recipe: str, study: Path) -> str:
    """A recipe file that a study names lies where the study lies, unless its path is absolute."""
    recipe = str(recipe)
    return str(study.parent / recipe) if Path(recipe).suffix in (".yaml", ".yml") else recipe


def check_study(study: Study, flags: Sequence[str] = ()) -> None:
    """Every run of the study can be asked for, and no two variants are the same.

    Raises:
        UsageError: A recipe, key or value does not exist or fit; the message names the variant.
    """
    known: dict[str, str] = {}
    task = ""
    for variant in study.variants:
        settings = settings_of(variant, study.seeds[0], flags)
        task = task or settings.recipe.task
        if settings.recipe.task != task:
            raise UsageError(
                f"{study.name}, variants, {variant.name}: its task is {settings.recipe.task}, the base's {task}: "
                "their figures cannot be compared"
            )
        key = recipe_key(settings)
        if key in known:
            what = "changes nothing" if known[key] == BASE else f"is the same as {known[key]}"
            raise UsageError(f"{study.name}, variants, {variant.name}: it {what}")
        known[key] = variant.name


def settings_of(variant: Variant, seed: int, flags: Sequence[str]) -> RunSettings:
    """What `zoo train` makes of one run.

    Raises:
        UsageError: A key or value does not fit; the message names the variant.
    """
    try:
        return parse_run(variant.argv(seed, flags), prog="zoo study")
    except UsageError as error:
        raise UsageError(f"variant {variant.name}: {error}") from None


def digest(content: Any) -> str:
    """Ten characters that stand for the content."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:10]


def recipe_key(settings: RunSettings) -> str:
    """Stands for what decides what a run learns: the resolved recipe, its seed, and the content of the files that it
    names, own data and the weights to start from."""
    content = {**settings.recipe.what_is_learnt(), "seed": settings.training.seed}
    named = [*files_in(settings.recipe.data), *weights_of(settings.recipe.model_name_or_path)]
    files = [content_of(path, path.stat().st_mtime_ns) for path in named]
    return digest({**content, "files": files} if files else content)


def files_in(value: Any) -> list[Path]:
    """The files that stand in a recipe's data: paths, and those of en-de:FILE,FILE."""
    if isinstance(value, (list, tuple, dict)):
        return [path for part in (value.values() if isinstance(value, dict) else value) for path in files_in(part)]
    if not isinstance(value, str) or not value:
        return []
    return [path for part in (value, *value.partition(":")[2].split(",")) if part and (path := Path(part)).is_file()]


def weights_of(model: str) -> list[Path]:
    """The weights of a model that lies on this machine."""
    folder = Path(find_model(model)) if model else None
    return sorted(folder.glob("*.safetensors")) if folder is not None and folder.is_dir() else []


@cache
def content_of(path: Path, changed: int) -> str:
    """sha256 of a file as it was at this time; all runs of a study name the same files."""
    return sha256(path)


def code_key(family: str) -> str:
    """Stands for the versions and the family's code, comments and docstrings aside, with which a run learns."""
    found = installed_versions()
    folder = Path(__file__).parents[1] / FAMILIES[family].removeprefix("zoo.").replace(".", "/")
    code = {path.name: code_of(path) for path in sorted(folder.glob("*.py"))}
    return digest({"versions": {name: found.get(name) for name in VERSIONS}, "code": code})[:6]


def code_of(path: Path) -> str:
    """A file's code without comments and docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)


__all__ = [
    "BASE",
    "Study",
    "Variant",
    "available_studies",
    "check_study",
    "code_key",
    "flags_of",
    "load_study",
    "recipe_key",
    "settings_of",
]
