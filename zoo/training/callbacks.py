"""Callbacks of ZooTrainer: training time, epochs, early stopping, moving average of the weights, progress bars."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.data import Dataset
from tqdm.auto import tqdm
from transformers import ProgressCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from .token_batches import TokenBatchSampler

EMA_NAME = "ema.safetensors"


class ClockCallback(TrainerCallback):
    """Write the seconds since training began into every log entry; a resumed run counts on."""

    start: float | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Start, or continue from the last entry of a resumed run's log."""
        before = max((entry.get("seconds", 0.0) for entry in state.log_history), default=0.0)
        self.start = time.perf_counter() - before

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """Stamp the newest entry."""
        if state.log_history and self.start is not None:
            state.log_history[-1]["seconds"] = round(time.perf_counter() - self.start, 1)


class EpochCallback(TrainerCallback):
    """Pass the epoch to the training data and the batch sampler.

    accelerate's data loader does so too, but not in the epoch in which a run is resumed, nor with several processes
    (accelerate 1.15, DataLoaderShard.set_epoch).

    Args:
        dataset: Its `set_epoch(epoch)` is called if it has one.
        batch_sampler: Its attribute `epoch` is set.
    """

    def __init__(self, dataset: Dataset | None = None, batch_sampler: TokenBatchSampler | None = None):
        self.dataset, self.batch_sampler = dataset, batch_sampler

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Also called when a run is resumed in the middle of an epoch; `state.epoch` is a fraction then."""
        # Step numbers times the step's size: 6.999... is the end of epoch 7.
        epoch = int((state.epoch or 0) + 1e-6)
        if self.dataset is not None and hasattr(self.dataset, "set_epoch"):
            self.dataset.set_epoch(epoch)
        if self.batch_sampler is not None:
            self.batch_sampler.epoch = epoch


def logged_metric(args: TrainingArguments) -> str:
    """Name in the Trainer's log of the metric that compares evaluations, e.g. eval_bleu."""
    return f"eval_{(args.metric_for_best_model or 'loss').removeprefix('eval_')}"


def evaluations_since_best(
    history: Sequence[Mapping[str, Any]], metric: str, greater_is_better: bool, threshold: float = 0.0
) -> int:
    """How many evaluations came after the last one that was better than all before it.

    Args:
        history: The Trainer's log.
        metric: Name in the log, e.g. eval_bleu.
        greater_is_better: Whether a higher value is better.
        threshold: Minimum improvement over the best value so far.
    """
    sign = 1 if greater_is_better else -1
    best, since = float("-inf"), 0
    for value in (sign * entry[metric] for entry in history if metric in entry):
        best, since = (value, 0) if value > best + threshold else (best, since + 1)
    return since


class StopEarlyCallback(TrainerCallback):
    """Stop after so many evaluations in a row without progress.

    transformers' EarlyStoppingCallback counts in memory, so a resumed run counts from zero; this one counts in the
    log, which is saved with each checkpoint.

    Args:
        patience: Evaluations without progress.
        threshold: Minimum improvement that counts as progress.
    """

    def __init__(self, patience: int, threshold: float = 0.0):
        self.patience, self.threshold = patience, threshold

    def is_over(self, args: TrainingArguments, history: Sequence[Mapping[str, Any]]) -> bool:
        """Whether a run with this log has stopped."""
        if history and history[-1].get("step", 0) < args.min_steps:
            return False
        since = evaluations_since_best(history, logged_metric(args), bool(args.greater_is_better), self.threshold)
        return since >= self.patience

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """The log holds this evaluation already."""
        if self.is_over(args, state.log_history):
            control.should_training_stop = True


class EMACallback(TrainerCallback):
    """Keep an exponential moving average of weights and float buffers; evaluate with it and finish with it.

    The average is updated after every optimizer step with min(decay, (1 + step) / (10 + step)), which forgets the
    random start. Checkpoints hold both the raw weights, to train on from, and the average.

    Args:
        decay: Share of the old average that one step keeps, 0..1.
    """

    def __init__(self, decay: float):
        self.decay = decay
        self.average: dict[str, torch.Tensor] = {}
        self.training_weights: dict[str, torch.Tensor] | None = None

    @staticmethod
    def _state(model: nn.Module) -> dict[str, torch.Tensor]:
        """The averaged tensors, a tied weight once."""
        seen: set[int] = set()
        state = {}
        for name, value in model.state_dict().items():
            if value.is_floating_point() and value.data_ptr() not in seen:
                seen.add(value.data_ptr())
                state[name] = value
        return state

    @torch.no_grad()
    def _copy_into(self, model: nn.Module, values: dict[str, torch.Tensor]) -> None:
        state = self._state(model)
        for name, value in values.items():
            state[name].copy_(value)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: nn.Module, **kwargs: object
    ) -> None:
        """Start from the model's weights, or from the average that was loaded from a checkpoint."""
        self.average = {
            name: self.average.get(name, value).to(value.device, copy=True)
            for name, value in self._state(model).items()
        }

    @torch.no_grad()
    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: nn.Module, **kwargs: object
    ) -> None:
        """Update the average, and use it in an evaluation that follows."""
        decay = min(self.decay, (1 + state.global_step) / (10 + state.global_step))
        current = self._state(model)
        torch._foreach_lerp_(list(self.average.values()), [current[name] for name in self.average], 1 - decay)
        self.on_epoch_end(args, state, control, model=model)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: nn.Module, **kwargs: object
    ) -> None:
        """Use the average in an evaluation that follows."""
        if control.should_evaluate and self.training_weights is None:
            self.training_weights = {name: value.detach().clone() for name, value in self._state(model).items()}
            self._copy_into(model, self.average)

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: nn.Module, **kwargs: object
    ) -> None:
        """Train on with the raw weights."""
        if self.training_weights is not None:
            self._copy_into(model, self.training_weights)
            self.training_weights = None

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """Write the average into the checkpoint, whole or not at all."""
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if state.is_world_process_zero and folder.is_dir():
            temporary = folder / f"{EMA_NAME}.tmp"
            save_file({name: value.contiguous() for name, value in self.average.items()}, temporary)
            temporary.replace(folder / EMA_NAME)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: nn.Module, **kwargs: object
    ) -> None:
        """The average becomes the model: that of the best checkpoint if the best checkpoint was loaded."""
        if args.load_best_model_at_end and state.best_model_checkpoint:
            self.load(Path(state.best_model_checkpoint))
        self._copy_into(model, self.average)

    def load(self, checkpoint: Path) -> None:
        """Take the average from a checkpoint folder."""
        self.average = load_file(checkpoint / EMA_NAME)


class NamedProgressCallback(ProgressCallback):
    """transformers' progress bars, with a name before each: "Training", "Measuring test", ..."""

    prediction_bar: tqdm | None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Open the bar of training."""
        super().on_train_begin(args, state, control, **kwargs)
        if self.training_bar is not None:
            self.training_bar.set_description("Training")

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Close the bar of training; a resumed run that had stopped early has none."""
        if self.training_bar is not None:
            super().on_train_end(args, state, control, **kwargs)

    def begin(self, name: str, batches: int) -> None:
        """Open the bar of an evaluation before its first batch, which may take long."""
        self.prediction_bar = tqdm(total=batches, desc=name, leave=self.training_bar is None, dynamic_ncols=True)


__all__ = [
    "EMA_NAME",
    "ClockCallback",
    "EMACallback",
    "EpochCallback",
    "NamedProgressCallback",
    "StopEarlyCallback",
    "evaluations_since_best",
    "logged_metric",
]
