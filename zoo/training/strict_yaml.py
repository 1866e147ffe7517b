"""YAML as recipes and studies have it: no key twice, and 1e-4 is a number."""

import re
from pathlib import Path
from typing import Any

import yaml


class UsageError(ValueError):
    """The user asked for something that is not possible: a command ends with exit code 2."""


class StrictLoader(yaml.SafeLoader):
    """YAML in which a duplicated key is an error, where PyYAML silently takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        """A mapping's keys and values."""
        seen = set()
        for key_node, _ in node.value:
            # The keys of a merge (<<: *anchor) may be replaced.
            key = None if key_node.tag == "tag:yaml.org,2002:merge" else self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"duplicated key {key!r}", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


class Dumper(yaml.SafeDumper):
    """Writes what StrictLoader reads back: a text such as `1e5` gets quotes."""


# YAML 1.1 wants `1.0e-4`; people, JSON and Python write `1e-4` and mean the number.
for side in (StrictLoader, Dumper):
    side.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+\.?\d*[eE][-+]?\d+$"), list("-+0123456789")
    )


def write_yaml(content: object) -> str:
    """A recipe's content, or a part of it, in the order of its keys."""
    return yaml.dump(content, Dumper=Dumper, sort_keys=False, allow_unicode=True)


def read_value(text: str) -> Any:
    """A value of a flag, read as YAML.

    Raises:
        yaml.YAMLError: It is not YAML.
    """
    try:
        return yaml.load(text, Loader=StrictLoader)
    except ValueError as error:  # it looks like a date or a number, and is not
        raise yaml.YAMLError(f"{text!r}: {error}; put a text in quotes") from None


def read_yaml(path: Path, kind: str) -> Any:
    """The content of a YAML file.

    Args:
        path: The file.
        kind: What it should be, for the error: "recipe", "study".

    Raises:
        UsageError: There is no such file, or it is not YAML, or a key is duplicated.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=StrictLoader)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such {kind} file") from None
    except (yaml.YAMLError, ValueError) as error:
        raise UsageError(f"{path}: not a YAML file: {' '.join(str(error).split())}") from None


__all__ = ["UsageError", "read_value", "read_yaml", "write_yaml"]
