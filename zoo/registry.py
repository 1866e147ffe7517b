"""The families and tasks of the library: one literal line each."""

import argparse
import difflib
import importlib
from collections.abc import Collection
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # torch and transformers take seconds, and a list of names does not need them
    from .models.base import Family
    from .tasks.base import Task

FAMILIES = {
    "fashion_cnn": "zoo.models.fashion_cnn",
    "lstm_forecaster": "zoo.models.lstm_forecaster",
    "rnn_seq2seq": "zoo.models.rnn_seq2seq",
    "speech_transformer": "zoo.models.speech_transformer",
    "transformer_seq2seq": "zoo.models.transformer_seq2seq",
}
TASKS = {
    "forecasting": "zoo.tasks.forecasting",
    "image_classification": "zoo.tasks.image_classification",
    "speech_recognition": "zoo.tasks.speech_recognition",
    "summarization": "zoo.tasks.summarization",
    "translation": "zoo.tasks.translation",
}


def nearest(name: str, known: Collection[str]) -> str:
    """ "did you mean X?" for a misspelt name, or all known names if none is close."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known))}"


def unknown_argument(argument: str, parser: argparse.ArgumentParser) -> str:
    """What is wrong with an argument that a parser does not know, without its value, which may be a token."""
    flag = argument.split("=")[0]
    if not flag.startswith("-"):
        return f"unexpected argument {flag!r}: every value comes after its flag, as in --flag value"
    known = [option for action in parser._actions for option in action.option_strings]
    close = difflib.get_close_matches(flag, known, n=1, cutoff=0.5)
    return f"unknown argument {flag!r}; " + (f"did you mean {close[0]!r}?" if close else "--help lists the flags")


def available() -> dict[str, list[str]]:
    """Names of the families and tasks."""
    return {"families": list(FAMILIES), "tasks": list(TASKS)}


def load_family(name: str) -> "Family":
    """The family of this name.

    Raises:
        ValueError: There is no such family; the message names the nearest.
    """
    if name not in FAMILIES:
        raise ValueError(f"unknown family {name!r}; {nearest(name, FAMILIES)}")
    return importlib.import_module(FAMILIES[name]).FAMILY


def load_task(name: str) -> "type[Task]":
    """The class of the task of this name.

    Raises:
        ValueError: There is no such task; the message names the nearest.
    """
    if name not in TASKS:
        raise ValueError(f"unknown task {name!r}; {nearest(name, TASKS)}")
    return importlib.import_module(TASKS[name]).TASK


@cache
def register_all() -> None:
    """Register every family and every pipeline with transformers."""
    from transformers import pipelines
    from transformers.pipelines import PIPELINE_REGISTRY

    tasks = {name: load_task(name) for name in TASKS}
    for name in FAMILIES:
        load_family(name).register({task_name: task.auto_class for task_name, task in tasks.items()})
    for task in tasks.values():
        for name, pipeline_class in task.pipelines.items():
            # transformers refuses names that it dropped in version 5, even if they are registered again.
            getattr(pipelines, "REMOVED_TASKS", {}).pop(name, None)
            known = PIPELINE_REGISTRY.supported_tasks.get(name)
            if known is None:
                PIPELINE_REGISTRY.register_pipeline(name, pipeline_class, pt_model=task.auto_class)
            elif known["impl"] is not pipeline_class:
                # Ours extends transformers' own pipeline, and serves all models that it loads, ours first: the first
                # Auto class that knows a config wins.
                auto_classes = tuple(dict.fromkeys((task.auto_class, *known["pt"])))
                PIPELINE_REGISTRY.supported_tasks[name] = {**known, "impl": pipeline_class, "pt": auto_classes}
                pipeline_class._registered_impl = {name: PIPELINE_REGISTRY.supported_tasks[name]}  # type: ignore


@cache
def public_classes() -> dict[str, type]:
    """Name -> class of everything that the families offer."""
    return {cls.__name__: cls for name in FAMILIES for cls in load_family(name).classes}


__all__ = [
    "FAMILIES", "TASKS", "available", "load_family", "load_task", "nearest", "public_classes", "register_all",
    "unknown_argument",
]  # fmt: skip
