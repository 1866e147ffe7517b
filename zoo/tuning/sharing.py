"""The data of a search lies once on each machine: packed so that every trial reads the same memory."""

import pickle
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from ray import cloudpickle

from zoo.registry import load_family, load_task
from zoo.tasks.base import TaskData
from zoo.training.build import build_config, load_processor
from zoo.training.command_line import RunSettings


class _Packer(cloudpickle.CloudPickler):
    """cloudpickle with the memory of tensors left aside, as pickle's protocol 5 does for NumPy's arrays."""

    def reducer_override(self, value: Any) -> Any:
        if type(value) is torch.Tensor and value.device.type == "cpu" and value.is_contiguous():
            if value.dtype not in (torch.bfloat16,) and not value.requires_grad:
                return _tensor, (value.numpy(),)
        return super().reducer_override(value)


def _tensor(array: np.ndarray) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # shared memory is not writable, and nobody writes there
        return torch.from_numpy(array)


class _File:
    """A file in memory that keeps what is written."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def write(self, part: Any) -> int:
        self.parts.append(bytes(part))
        return len(part)


def pack(value: Any) -> tuple[bytes, list[int], list[np.ndarray]]:
    """(pickle, which memory each of its buffers is, the memory): memory that two arrays share is kept once."""
    places: dict[tuple[int, int], int] = {}
    order: list[int] = []
    arrays: list[np.ndarray] = []

    def keep(buffer: pickle.PickleBuffer) -> None:
        array = np.frombuffer(buffer.raw(), np.uint8)
        key = (array.__array_interface__["data"][0], array.nbytes)
        if key not in places:
            places[key] = len(arrays)
            arrays.append(array)
        order.append(places[key])

    file = _File()
    _Packer(file, protocol=5, buffer_callback=keep).dump(value)
    return b"".join(file.parts), order, arrays


def unpack(packed: tuple[bytes, list[int], list[np.ndarray]]) -> Any:
    """What was packed; its arrays and tensors are views of the packed memory."""
    content, order, arrays = packed
    return pickle.loads(content, buffers=[arrays[place] for place in order])


def load_without_test(settings: RunSettings) -> tuple[TaskData, set[str]]:
    """(a run's data without the test split, which no trial may see; what its reading depends on, as `section.field`).

    A section of which everything was asked for stands as `section.*`.
    """
    recipe = settings.recipe
    family, task = load_family(recipe.family), load_task(recipe.task)
    start_from = recipe.model_name_or_path or None
    config = build_config(family, recipe.model, start_from)
    saved = None if start_from is None else load_processor(task, start_from)
    with watched(config) as model, watched(settings.data) as arguments:
        data = task.load_data(settings.data, config, saved)
    data.test = None
    data.fingerprint = {name: value for name, value in data.fingerprint.items() if name != "test"}
    read = {f"{section}.{name}" for section, names in (("model", model), ("data", arguments)) for name in names}
    return data, {
        "data.*" if name == "data.__dict__" else "model.*" if name == "model.__dict__" else name for name in read
    }


def looked_at(name: str, read: set[str]) -> bool:
    """Whether a reading that depended on `read` depended on this `section.field`."""
    return name in read or f"{name.partition('.')[0]}.*" in read


@contextmanager
def watched(config: Any) -> Iterator[set[str]]:
    """Within it, the names of the attributes that somebody reads from an object gather in the set."""
    read: set[str] = set()
    own = type(config)

    class Watched(own):  # type: ignore[misc, valid-type]
        def __getattribute__(self, name: str) -> Any:
            read.add(name)
            return super().__getattribute__(name)

    config.__class__ = Watched
    try:
        yield read
    finally:
        config.__class__ = own


__all__ = ["load_without_test", "looked_at", "pack", "unpack", "watched"]
