"""The families and tasks that the library has: one literal line each."""

import difflib
import importlib

from transformers import pipelines
from transformers.pipelines import PIPELINE_REGISTRY

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


def nearest(name: str, known: list[str]) -> str:
    """ ", did you mean X?" for a misspelt name, or the known names when nothing is near."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known))}"


def available() -> dict[str, list[str]]:
    """Names of the families and tasks."""
    return {"families": list(FAMILIES), "tasks": list(TASKS)}


def load_family(name: str) -> Family:
    """The family of this name.

    Raises:
        ValueError: There is none; the message names the nearest.
    """
    if name not in FAMILIES:
        raise ValueError(f"unknown family {name!r}; {nearest(name, list(FAMILIES))}")
    return importlib.import_module(FAMILIES[name]).FAMILY


def load_task(name: str) -> Task:
    """The task of this name.

    Raises:
        ValueError: There is none; the message names the nearest.
    """
    if name not in TASKS:
        raise ValueError(f"unknown task {name!r}; {nearest(name, list(TASKS))}")
    return importlib.import_module(TASKS[name]).TASK


def register_all() -> None:
    """Make transformers know every family and every pipeline."""
    tasks = {name: load_task(name) for name in TASKS}
    auto_classes = {name: task.auto_class for name, task in tasks.items()}
    for name in FAMILIES:
        load_family(name).register(auto_classes)
    for task in tasks.values():
        for name, pipeline_class in task.pipelines.items():
            # Names that transformers 5 dropped would be refused though they are registered.
            getattr(pipelines, "REMOVED_TASKS", {}).pop(name, None)
            # Not a second time: transformers warns of that.
            if name not in PIPELINE_REGISTRY.get_supported_tasks():
                PIPELINE_REGISTRY.register_pipeline(name, pipeline_class, pt_model=task.auto_class)


__all__ = ["FAMILIES", "TASKS", "available", "load_family", "load_task", "nearest", "register_all"]
