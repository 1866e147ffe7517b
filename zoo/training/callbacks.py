"""Trainer callbacks: a clock that survives interruptions, a moving average of the weights."""

import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback

EMA_NAME = "ema.safetensors"


class ClockCallback(TrainerCallback):
    """Write the seconds since training began into every log entry, evaluations included; a resumed run counts on."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start, or go on from the last entry of a resumed run's log."""
        before = max((entry.get("seconds", 0.0) for entry in state.log_history), default=0.0)
        self.start = time.perf_counter() - before

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stamp the newest entry."""
        if state.log_history and hasattr(self, "start"):
            state.log_history[-1]["seconds"] = round(time.perf_counter() - self.start, 1)


class EpochCallback(TrainerCallback):
    """Tell the training data which epoch it is.

    accelerate's data loader does so too, but not in the epoch in which a run is resumed, nor with several processes
    (accelerate 1.15, DataLoaderShard.set_epoch).
    """

    def __init__(self, dataset: Any):
        self.dataset = dataset

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A resumed run is told its epoch, a fraction, before it goes on in the middle."""
        self.dataset.set_epoch(int(state.epoch or 0))


class EMACallback(TrainerCallback):
    """Keep an exponential moving average of weights and float buffers; evaluate and finish with it.

    The average is updated after every optimizer step with min(decay, (1 + step) / (10 + step)), which forgets the
    random start. Evaluations during training see the average; checkpoints hold both the raw weights, to train on from,
    and the average.

    Args:
        decay: Share of the old average that one step keeps, 0..1.
    """

    def __init__(self, decay: float):
        self.decay = decay
        self.average: dict[str, torch.Tensor] = {}
        self.training_weights: dict[str, torch.Tensor] | None = None

    @staticmethod
    def _state(model: torch.nn.Module) -> dict[str, torch.Tensor]:
        """What is averaged, without a tied weight's second name."""
        seen: set[int] = set()
        state = {}
        for name, value in model.state_dict().items():
            if value.is_floating_point() and value.data_ptr() not in seen:
                seen.add(value.data_ptr())
                state[name] = value
        return state

    @torch.no_grad()
    def _copy_into(self, model: torch.nn.Module, values: dict[str, torch.Tensor]) -> None:
        state = self._state(model)
        for name, value in values.items():
            state[name].copy_(value)

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Start from the model's weights; a resumed run gives its checkpoint's average to `load` before."""
        if not self.average:
            self.average = {name: value.detach().clone() for name, value in self._state(model).items()}

    @torch.no_grad()
    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Update the average; show it to an evaluation that follows."""
        decay = min(self.decay, (1 + state.global_step) / (10 + state.global_step))
        current = self._state(model)
        torch._foreach_lerp_(list(self.average.values()), [current[name] for name in self.average], 1 - decay)
        self.on_epoch_end(args, state, control, model=model)

    def on_epoch_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Show the average to an evaluation that follows."""
        if control.should_evaluate and self.training_weights is None:
            self.training_weights = {name: value.detach().clone() for name, value in self._state(model).items()}
            self._copy_into(model, self.average)

    def on_evaluate(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Go on training with the raw weights."""
        if self.training_weights is not None:
            self._copy_into(model, self.training_weights)
            self.training_weights = None

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Write the average into the checkpoint, whole or not at all."""
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if state.is_world_process_zero and folder.is_dir():
            temporary = folder / f"{EMA_NAME}.tmp"
            save_file({name: value.contiguous() for name, value in self.average.items()}, temporary)
            temporary.replace(folder / EMA_NAME)

    def on_train_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """The average becomes the model: the one of the best checkpoint if that one was loaded."""
        if args.load_best_model_at_end and state.best_model_checkpoint:
            self.load(Path(state.best_model_checkpoint))
        self._copy_into(model, self.average)

    def load(self, checkpoint: Path) -> None:
        """Take the average from a checkpoint folder."""
        self.average = load_file(checkpoint / EMA_NAME)


__all__ = ["EMA_NAME", "ClockCallback", "EMACallback", "EpochCallback"]
