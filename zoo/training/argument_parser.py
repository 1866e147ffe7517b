"""The parser behind the command line: one flag for each field of some dataclasses."""

import argparse
import dataclasses
import functools
import json
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from copy import copy
from enum import Enum
from typing import NoReturn, TypeVar, get_args, get_type_hints

from transformers import HfArgumentParser

from zoo.registry import nearest, unknown_argument

from .recipe import Fields, UsageError, default_values

T = TypeVar("T")
# Longer lists of choices are left out of the help.
MOST_CHOICES = 6
# What argparse reads of a field's metadata; the rest is for the library.
ARGPARSE_KEYS = ("help", "action", "choices", "aliases")


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Help with one spelling of each flag, no list of forty choices, and no default of None."""

    def _format_action_invocation(self, action: argparse.Action) -> str:
        shown = copy(action)
        if len(action.option_strings) == 2 and action.option_strings[0].startswith("--"):
            shown.option_strings = action.option_strings[:1]  # --output-dir is --output_dir
        if action.choices is not None and len(list(action.choices)) > MOST_CHOICES:
            shown.choices = None
        return super()._format_action_invocation(shown)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default in (None, []) else super()._get_help_string(action)


class RecipeParser(HfArgumentParser):
    """transformers' parser, with the values of a recipe as defaults; a wrong flag is one line that names the nearest.

    Flags cannot be abbreviated, and `null` sets a field to None where None is possible.

    Args:
        classes: Dataclasses, one flag for each of their fields.
        prog: The command, for the help.
        usage: The usage line of the help.
        epilog: The last paragraph of the help.
    """

    def __init__(self, *classes: type, prog: str, usage: str | None = None, epilog: str | None = None):
        layout = {"usage": usage, "epilog": epilog, "formatter_class": _HelpFormatter}
        super().__init__(classes, prog=prog, allow_abbrev=False, **layout)
        hints = {name: hint for cls in classes for name, hint in get_type_hints(cls).items()}
        for action in self._actions:
            if action.nargs is None and type(None) in get_args(hints.get(action.dest)):
                action.type = _or_null(action.type)  # type: ignore[arg-type]

    @staticmethod
    def _parse_dataclass_field(parser: ArgumentParser, field: dataclasses.Field) -> None:
        field = copy(field)
        metadata = {key: value for key, value in field.metadata.items() if key in ARGPARSE_KEYS}
        field.metadata = metadata  # type: ignore[assignment]
        HfArgumentParser._parse_dataclass_field(parser, field)

    def error(self, message: str) -> NoReturn:
        """Raise a UsageError."""
        raise UsageError(message)

    def _check_value(self, action: argparse.Action, value: object) -> None:
        choices = [str(choice) for choice in action.choices or ()]
        if choices and str(value) not in choices:  # argparse would list forty optimizers
            raise argparse.ArgumentError(action, f"{value!r} is not a choice; {nearest(str(value), choices)}")

    def set_recipe(self, values: Fields) -> None:
        """Make the values of a recipe the defaults."""
        self.set_defaults(**{key: json.dumps(v) if isinstance(v, dict) else v for key, v in values.items()})

    def parse_values(self, flags: Sequence[str]) -> dict[type, Fields]:
        """The values of each dataclass's fields.

        Raises:
            UsageError: A flag is unknown, or its value does not fit.
        """
        namespace, unknown = self.parse_known_args(list(flags))
        if unknown:
            raise UsageError(unknown_argument(unknown[0], self))
        return {cls: {name: getattr(namespace, name) for name in default_values(cls)} for cls in self.dataclass_types}


def _or_null(read: Callable[[str], T]) -> Callable[[str], T | None]:
    @functools.wraps(read)  # argparse's messages name the type
    def read_or_null(text: str) -> T | None:
        return None if text == "null" else read(text)

    return read_or_null


def changed_values(cls: type, values: Fields) -> Fields:
    """The values that differ from the defaults of a dataclass, as a recipe holds them."""

    def plain(value: object) -> object:
        return value.value if isinstance(value, Enum) else value

    defaults = default_values(cls)
    return {name: plain(value) for name, value in values.items() if plain(value) != plain(defaults[name])}


def make_arguments(cls: type[T], values: Fields, where: str) -> T:
    """An arguments object.

    Raises:
        UsageError: The constructor refuses a value.
    """
    try:
        return cls(**values)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{where}: {' '.join(str(error).split())}") from None


__all__ = ["RecipeParser", "changed_values", "make_arguments"]
