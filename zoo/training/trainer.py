"""The library's one change to transformers' Trainers."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers import Trainer


@contextmanager
def every_row(arguments: Any) -> Iterator[None]:
    """Within it, data loaders keep their last, smaller batch."""
    drop_last, arguments.dataloader_drop_last = arguments.dataloader_drop_last, False
    try:
        yield
    finally:
        arguments.dataloader_drop_last = drop_last


class EveryRowMixin:
    """Evaluate every row: `dataloader_drop_last` is for training, but the Trainer drops rows of evaluations too."""

    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        """The data loader of an evaluation."""
        with every_row(self.args):  # type: ignore[attr-defined]
            return super().get_eval_dataloader(eval_dataset)  # type: ignore[misc]

    def get_test_dataloader(self, test_dataset: Any) -> Any:
        """The data loader of `predict`."""
        with every_row(self.args):  # type: ignore[attr-defined]
            return super().get_test_dataloader(test_dataset)  # type: ignore[misc]


def with_every_row(trainer_class: type[Trainer]) -> type[Trainer]:
    """A Trainer class that measures every row."""
    return type(f"Zoo{trainer_class.__name__}", (EveryRowMixin, trainer_class), {})


__all__ = ["with_every_row"]
