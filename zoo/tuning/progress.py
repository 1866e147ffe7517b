"""What a run tells those who wait for it: a callback that reports each evaluation and stops a run that diverged."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from transformers import TrainerCallback


class Diverged(RuntimeError):
    """A loss or metric is no number any more."""


def check_finite(entry: Mapping[str, Any], epoch: float) -> None:
    """Raise Diverged if a loss, or the metric of an evaluation, is infinite or not a number."""
    for name, value in entry.items():
        if isinstance(value, float) and not math.isfinite(value) and (name == "loss" or name.startswith("eval_")):
            raise Diverged(f"diverged: {name} is {value} after epoch {epoch:.3g}")


class ReportCallback(TrainerCallback):
    """Hand each evaluation on: epoch, epochs in all and metrics without `eval_`; raise Diverged at the first NaN.

    Args:
        report: Takes what is handed on.
    """

    def __init__(self, report: Callable[[dict[str, Any]], None]):
        self.report = report

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """The training loss: a NaN ends the run before its next evaluation."""
        check_finite(logs or {}, state.epoch or 0)

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        """The metrics of an evaluation."""
        check_finite(metrics or {}, state.epoch or 0)
        found = {name.removeprefix("eval_"): value for name, value in (metrics or {}).items()}
        self.report({"epoch": state.epoch, "epochs": state.num_train_epochs, "metrics": found})


def reason(error: BaseException) -> str:
    """An error in one line, with its kind where the message alone says little."""
    text = " ".join(str(error).split())
    told = isinstance(error, (ValueError, Diverged, OSError)) and text
    return text if told else f"{type(error).__name__}: {text}".rstrip(": ")


__all__ = ["Diverged", "ReportCallback", "check_finite", "reason"]
