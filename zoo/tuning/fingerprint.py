"""Hashes of what decides the result of a run: its recipe, the files that it names, code and versions."""

import ast
import hashlib
import json
from functools import cache
from pathlib import Path

from zoo.record import installed_versions, sha256
from zoo.training.command_line import RunSettings

MODELS = Path(__file__).parents[1] / "models"
# The packages that decide a result.
VERSIONS = ("primer-zoo", "torch", "transformers")


def digest(content: object) -> str:
    """Ten characters of the sha256 of a JSON value."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:10]


def recipe_key(settings: RunSettings) -> str:
    """Hash of what a run learns from: resolved recipe, seed, and the content of the files that the recipe names."""
    content = {**settings.recipe.what_is_learnt(), "seed": settings.training.seed}
    models = (settings.recipe.model_name_or_path, *(settings.training.teachers or ()))
    named = [*files_in(settings.recipe.data), *(path for model in models for path in weights_of(model))]
    files = [_content_of(path, path.stat().st_mtime_ns) for path in named]
    return digest({**content, "files": files} if files else content)


def files_in(value: object) -> list[Path]:
    """The files that a recipe's `data` section names: paths, and those of `en-de:FILE,FILE`."""
    if isinstance(value, (list, tuple, dict)):
        return [path for part in (value.values() if isinstance(value, dict) else value) for path in files_in(part)]
    if not isinstance(value, str) or not value:
        return []
    return [path for part in (value, *value.partition(":")[2].split(",")) if part and (path := Path(part)).is_file()]


def weights_of(model: str) -> list[Path]:
    """The weights of a model that is on this machine."""
    from zoo.training.weights import find_model

    folder = Path(find_model(model)) if model else None
    return sorted(folder.glob("*.safetensors")) if folder is not None and folder.is_dir() else []


@cache
def _content_of(path: Path, modified: int) -> str:
    return sha256(path)  # once for all runs of a study, which name the same files


def code_key(family: str) -> str:
    """Hash of the family's code, without comments and docstrings, and of the versions of the packages it needs."""
    versions = installed_versions()
    code = {path.name: code_of(path) for path in sorted((MODELS / family).glob("*.py"))}
    return digest({"versions": {name: versions.get(name) for name in VERSIONS}, "code": code})[:6]


def code_of(path: Path) -> str:
    """A file's code without comments and docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)


def versions_and_code() -> dict[str, str]:
    """What all machines of a cluster must have in common: versions, and the code of every family."""
    versions = installed_versions()
    families = sorted(path.parent.name for path in MODELS.glob("*/__init__.py"))
    code = {f"code of {family}": code_key(family) for family in families}
    return {name: versions[name] for name in VERSIONS if name in versions} | code


__all__ = ["code_key", "recipe_key", "versions_and_code"]
