"""Overrides of a recipe, section by section, and the flags of `zoo train` that they become."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import yaml

from zoo.training.recipe import Fields, UsageError, check_keys, read_value

SECTIONS = ("data", "model", "training")
# Section -> field -> value.
Overrides: TypeAlias = Mapping[str, Mapping[str, Any]]
# A point of a space: `section.field` -> value.
Point: TypeAlias = dict[str, Any]


def plain(value: object) -> str:
    """A value as a command line and a table write it, without spaces."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "null"
    is_nested = isinstance(value, (list, tuple, dict))
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False) if is_nested else str(value)


def quoted(value: object) -> str:
    """A value as `--model_overrides` reads it back."""
    if not isinstance(value, str):
        return plain(value)
    try:
        simple = re.fullmatch(r"[\w./-]+", value) and read_value(value) == value
    except yaml.YAMLError:
        simple = False
    return value if simple else json.dumps(value, ensure_ascii=False)


def flags_of(overrides: Overrides) -> list[str]:
    """Overrides as flags of `zoo train`."""
    flags: list[str] = []
    if overrides.get("model"):
        fields = (f"{key}={quoted(value)}" for key, value in overrides["model"].items())
        flags += ["--model_overrides", ",".join(fields)]
    for section in ("data", "training"):
        for key, value in overrides.get(section, {}).items():
            texts = [*map(plain, value)] if isinstance(value, (list, tuple)) else [plain(value)]
            # argparse takes -1e-05 for a flag
            flags += [f"--{key}={texts[0]}"] if len(texts) == 1 and texts[0].startswith("-") else [f"--{key}", *texts]
    return flags


def merged(*sources: Overrides) -> Overrides:
    """Overrides of several sources; later ones win."""
    sections: dict[str, dict[str, Any]] = {}
    for section in SECTIONS:
        values = {key: value for source in sources for key, value in (source.get(section) or {}).items()}
        if values:
            sections[section] = values
    return sections


def overrides_of(point: Point) -> Overrides:
    """A point as overrides."""
    sections: dict[str, dict[str, Any]] = {}
    for name, value in point.items():
        section, _, key = name.partition(".")
        sections.setdefault(section, {})[key] = value
    return sections


def check_sections(content: object, where: str, keys: Sequence[str] = SECTIONS) -> Fields:
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


__all__ = ["SECTIONS", "Overrides", "Point", "check_sections", "flags_of", "merged", "overrides_of", "plain"]
