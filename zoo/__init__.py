"""zoo: the classic architectures of a first deep-learning course in the Hugging Face ecosystem.

Importing it registers every family with transformers' Auto classes, and every pipeline with transformers.
"""

import sys
from importlib import import_module
from typing import Any

from .pretrained import pretrained
from .registry import available, load_family, load_task, public_classes, register_all

__version__ = "0.2.0"

# Imported on first use: the Trainer brings datasets and pandas.
_MODULES = {
    "Distillation": "zoo.training.distillation",
    "load_exported": "zoo.export.loading",
    "RunRecord": "zoo.record",
    "ZooSeq2SeqTrainer": "zoo.training.trainer",
    "ZooSeq2SeqTrainingArguments": "zoo.training.arguments",
    "ZooTrainer": "zoo.training.trainer",
    "ZooTrainingArguments": "zoo.training.arguments",
    "load_fashion_mnist": "zoo.data.fashion_mnist",
    "publish": "zoo.commands.from_python",
    "train": "zoo.commands.from_python",
    "tune": "zoo.commands.from_python",
}

__all__ = ["available", "load_family", "load_task", "pretrained", *sorted(_MODULES)]

# The command line registers them only when a command needs models: `zoo --help` answers at once.
if "zoo_cli" not in sys.modules:
    register_all()
    __all__ += sorted(public_classes())


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    if not name.startswith("_") and name in public_classes():
        return public_classes()[name]
    raise AttributeError(f"module 'zoo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES, *public_classes()})
