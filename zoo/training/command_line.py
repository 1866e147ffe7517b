"""The command line of training: flags win over the recipe, the recipe wins over defaults."""

import dataclasses
import functools
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, get_args, get_type_hints

import torch
import yaml
from transformers import HfArgumentParser

from zoo.registry import load_task, nearest

from .arguments import RunArguments, ZooTrainingArguments, computes_in_bf16
from .recipe import (
    TRAINING_DEFAULTS,
    Recipe,
    UsageError,
    available_recipes,
    check_keys,
    config_fields,
    load_recipe,
    read_value,
)
from .weights import family_of

# Where a run lies, what it shows and how it is fed does not change what it learns.
NOT_RECIPE = {
    "output_dir", "resume_from_checkpoint", "disable_tqdm", "report_to", "push_to_hub", "hub_model_id", "hub_token",
    "hub_private_repo", "hub_strategy", "hub_always_push", "hub_revision", "logging_steps", "logging_strategy",
    "save_total_limit", "save_strategy", "save_steps", "dataloader_num_workers", "dataloader_pin_memory", "run_name",
    "do_train", "do_eval", "do_predict", "use_cpu", "local_rank", "ddp_backend",
    "debug", "include_num_input_tokens_seen", "remove_unused_columns", "project", "trackio_space_id",
}  # fmt: skip


@dataclass
class RunSettings:
    """A recipe with the command line's flags in it, and the objects that its sections become."""

    recipe: Recipe
    data: Any
    training: Any
    zoo: ZooTrainingArguments
    run: RunArguments


def parse_overrides(text: str) -> dict[str, Any]:
    """`"a=1,b=[2,3]"` -> {"a": 1, "b": [2, 3]}, values read as YAML.

    Raises:
        UsageError: A part is not KEY=VALUE.
    """
    overrides: dict[str, Any] = {}
    parts = text.split(",") if text else []
    while parts:
        key, separator, _ = parts[0].partition("=")
        if not separator or not key.strip():
            raise UsageError(f'--model_overrides: {parts[0]!r} is not KEY=VALUE; write e.g. "classifier_dropout=0.2"')
        # A comma within brackets or quotes parts nothing: what stands before it is no YAML by itself.
        for count in range(1, len(parts) + 1):
            value = ",".join(parts[:count]).partition("=")[2]
            try:
                overrides[key.strip()] = read_value(value)
                break
            except yaml.YAMLError as error:
                reason = " ".join(str(error).split())
        else:
            raise UsageError(f"--model_overrides: cannot read {value!r} of {key!r}: {reason}")
        parts = parts[count:]
    return overrides


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


def make_parser(*classes: type, prog: str, usage: str | None = None) -> HfArgumentParser:
    """HF's parser: one flag a field; flags are never abbreviated; `null` is None, where a recipe may say null."""
    parser = HfArgumentParser(classes, prog=prog, usage=usage, allow_abbrev=False)
    hints = {name: hint for cls in classes for name, hint in get_type_hints(cls).items()}
    for action in parser._actions:
        if action.nargs is None and type(None) in get_args(hints.get(action.dest)):
            action.type = _or_null(action.type)  # type: ignore[arg-type]
    return parser


def _or_null(read: Callable[[str], Any]) -> Callable[[str], Any]:
    @functools.wraps(read)  # argparse's complaints name the type
    def found(text: str) -> Any:
        return None if text == "null" else read(text)

    return found


def parse_values(parser: HfArgumentParser, flags: Sequence[str], *classes: type) -> list[dict[str, Any]]:
    """The values of each class's fields. A wrong flag is one line that names the nearest flag."""

    def fail(message: str) -> None:
        raise UsageError(message)

    parser.error = fail  # type: ignore[method-assign, assignment]
    namespace, unknown = parser.parse_known_args(list(flags))
    if unknown:
        known = [option for action in parser._actions for option in action.option_strings]
        flag = unknown[0].split("=")[0]  # its value may be a token
        raise UsageError(f"unknown argument {flag!r}; {nearest(flag, known)}")
    return [{f.name: getattr(namespace, f.name) for f in dataclasses.fields(cls) if f.init} for cls in classes]


def parse_flags(parser: HfArgumentParser, flags: Sequence[str], *classes: type) -> list[Any]:
    """The arguments objects of the classes."""
    return [build(cls, values, "arguments") for cls, values in zip(classes, parse_values(parser, flags, *classes))]


def build(cls: type, values: dict[str, Any], where: str) -> Any:
    """An arguments object, with a constructor's complaint turned into a UsageError."""
    try:
        return cls(**values)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{where}: {' '.join(str(error).split())}") from None


def parse_run(argv: Sequence[str], prog: str = "zoo train") -> RunSettings:
    """`RECIPE [--flag value ...]` -> everything a run needs.

    Raises:
        UsageError: No such recipe, an unknown flag or key, or a value that does not fit.
    """
    usage = f"{prog} RECIPE [--flag value ...]"
    if argv and argv[0] in ("-h", "--help"):
        print(f"usage: {usage}\n\nRECIPE is one of {', '.join(available_recipes())}, or the path of a YAML file.")
        print(f"`{prog} RECIPE --help` lists the flags of that recipe's task.")
        raise SystemExit(0)
    if not argv or argv[0].startswith("-"):
        raise UsageError(f"name a recipe first: {usage}; recipes: {', '.join(available_recipes())}")
    if any(argument.split("=")[0] == "--hub_token" for argument in argv):
        raise UsageError("--hub_token: a token comes from HF_TOKEN or `hf auth login`, never from a command line")
    recipe = load_recipe(argv[0])
    # A flag may name other data than the recipe; one of the two places must not name both.
    flags = {argument.split("=")[0] for argument in argv}
    for named in (flags, {f"--{key}" for key, value in recipe.data.items() if value}):
        for own, known in itertools.product(("--train_file", "--train_dir"), ("--dataset_name", "--data_dir")):
            if {own, known} <= named:
                raise UsageError(f"{own} and {known} both name the data; leave one out")
    instead = {
        "--dataset_name": ("train_file", "data_dir"),
        "--train_file": ("data_dir",),
        "--train_dir": ("data_dir",),
    }
    dropped = {name for flag in flags & {*instead} for name in instead[flag]}
    recipe = dataclasses.replace(recipe, data={k: v for k, v in recipe.data.items() if k not in dropped})
    task = load_task(recipe.task)
    classes = (task.data_arguments, task.training_arguments, ZooTrainingArguments, RunArguments)
    parser = make_parser(*classes, prog=prog, usage=usage)
    places = {"output_dir": f"runs/{recipe.id}", "model_name_or_path": recipe.model_name_or_path or None}
    defaults = {**TRAINING_DEFAULTS, **places, **recipe.data, **recipe.training}
    parser.set_defaults(
        **{key: json.dumps(value) if isinstance(value, dict) else value for key, value in defaults.items()}
    )
    values = parse_values(parser, argv[1:], *classes)

    start_from = values[-1]["model_name_or_path"] or ""
    family = family_of(recipe, start_from)
    overrides = parse_overrides(values[-1]["model_overrides"] or "")
    check_keys(overrides, config_fields(family.config_class), "--model_overrides")
    changed = [
        {
            f.name: _plain(section[f.name])
            for f in dataclasses.fields(cls)
            if f.init and f.name not in NOT_RECIPE and _plain(section[f.name]) != _plain(_default(f))
        }
        for cls, section in zip(classes, values)
    ]
    # Weights bring their own architecture: the recipe's would not fit them.
    model = {**(recipe.model if start_from == recipe.model_name_or_path else {}), **overrides}
    training = {**changed[1], **changed[2]}
    resolved = dataclasses.replace(
        recipe,
        family=family.name,
        model_name_or_path=start_from,
        data=changed[0],
        model=model,
        training=training,
    )
    on_cpu = values[1]["use_cpu"] or not torch.accelerator.is_available()
    if values[2]["bf16_if_supported"] and computes_in_bf16(on_cpu):
        # Not in the resolved recipe: another machine may lack it. transformers wants to be told of CPUs.
        values[1] |= {"bf16": True, "use_cpu": on_cpu}
    names = ("data", "training", "training", "arguments")
    objects = [build(cls, section, f"{argv[0]}, {name}") for cls, section, name in zip(classes, values, names)]
    return RunSettings(resolved, *objects)


def _default(f: dataclasses.Field) -> Any:
    if f.name in TRAINING_DEFAULTS:  # else --eval_strategy no, transformers' default, would not be kept
        return TRAINING_DEFAULTS[f.name]
    if f.default_factory is not dataclasses.MISSING:
        return f.default_factory()
    return f.default


__all__ = ["RunSettings", "build", "make_parser", "parse_flags", "parse_overrides", "parse_run"]
