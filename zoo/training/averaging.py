"""The mean of a run's last or best checkpoints, if the validation split prefers it."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import broadcast
from safetensors import safe_open
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from .callbacks import logged_metric

if TYPE_CHECKING:
    from .trainer import ZooTrainer

FOLDER = "averaging"
WEIGHTS = "model.safetensors"


def members(
    steps: Sequence[int], history: Sequence[Mapping[str, Any]], count: int, by: str, metric: str, greater: bool
) -> list[int]:
    """The steps whose weights are averaged.

    Args:
        steps: Steps whose weights were saved.
        history: The Trainer's log.
        count: How many to take.
        by: "last", or "best": by `metric`, the later of two equal ones.
        metric: Name in the log, e.g. eval_bleu.
        greater: Whether a higher value is better.
    """
    if by == "last":
        return sorted(steps)[-count:]
    values = {entry["step"]: entry[metric] * (1 if greater else -1) for entry in history if metric in entry}
    ranked = sorted((values[step], step) for step in steps if step in values)
    return sorted(step for _, step in ranked[-count:])


def mean_weights(files: Sequence[Path]) -> dict[str, torch.Tensor]:
    """The mean of each float tensor over the files; other tensors are those of the last file."""
    total: dict[str, torch.Tensor] = {}
    kinds: dict[str, torch.dtype] = {}
    for file in files:
        with safe_open(file, framework="pt") as weights:
            for name in weights.keys():
                value = weights.get_tensor(name)
                kinds[name] = value.dtype
                summed = name in total and value.is_floating_point()
                total[name] = (
                    total[name].add_(value) if summed else value.double() if value.is_floating_point() else value
                )
    return {
        name: (value / len(files)).to(kinds[name]) if kinds[name].is_floating_point else value
        for name, value in total.items()
    }


class AverageCallback(TrainerCallback):
    """Keep the weights of the checkpoints that an average may need, in the run's folder `averaging`.

    They are links to the checkpoints' own files where the file system has links. The weights that any remaining
    checkpoint needs are kept, so that a run can be resumed from each of them.

    Args:
        count: How many checkpoints are averaged.
        by: "last", or "best" by the primary metric.
    """

    def __init__(self, count: int, by: str = "last"):
        self.count, self.by = count, by

    @staticmethod
    def saved(folder: Path) -> dict[int, Path]:
        """Step -> file of the weights that are kept."""
        return {
            int(file.stem.removeprefix("step-")): file for file in sorted((folder / FOLDER).glob("step-*.safetensors"))
        }

    def chosen(self, args: TrainingArguments, state: TrainerState, until: int) -> list[int]:
        """The steps that are averaged if the run ends at step `until`."""
        steps = [step for step in self.saved(Path(args.output_dir)) if step <= until]
        history = [entry for entry in state.log_history if entry["step"] <= until]
        return members(steps, history, self.count, self.by, logged_metric(args), bool(args.greater_is_better))

    @staticmethod
    def keep(checkpoint: Path, run: Path) -> None:
        """Keep the weights of a checkpoint in the folder of a run."""
        folder = run / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / f"step-{checkpoint.name.split('-')[-1]}.safetensors"
        if not target.is_file():
            temporary = target.with_suffix(".tmp")
            temporary.unlink(missing_ok=True)
            try:
                os.link(checkpoint / WEIGHTS, temporary)
            except OSError:  # a file system without links
                shutil.copyfile(checkpoint / WEIGHTS, temporary)
            temporary.replace(target)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """Keep the newest weights, and delete those that no checkpoint needs."""
        if not state.is_world_process_zero:
            return
        folder = Path(args.output_dir)
        self.keep(folder / f"checkpoint-{state.global_step}", folder)
        resumable = [int(path.name.split("-")[-1]) for path in folder.glob("checkpoint-*")]
        needed = {step for until in resumable for step in self.chosen(args, state, until)}
        for step, file in self.saved(folder).items():
            if step not in needed:
                file.unlink()

    def load(self, checkpoint: Path, run: Path) -> None:
        """Resume a run from a checkpoint, which may be another run's: delete what the run saved after it."""
        for step, file in self.saved(run).items():
            if step > int(checkpoint.name.split("-")[-1]):
                file.unlink()
        self.keep(checkpoint, run)


@torch.no_grad()
def set_weights(model: torch.nn.Module, values: Mapping[str, torch.Tensor]) -> None:
    """Copy the first process's values into the model of every process; tensors without a value keep theirs."""
    for name, tensor in model.state_dict().items():
        tensor.copy_(broadcast(values.get(name, tensor).to(tensor.device)))


def choose_weights(trainer: "ZooTrainer", callback: AverageCallback) -> dict[str, Any]:
    """Give the model the averaged weights if their primary metric on the validation split is not worse.

    Args:
        trainer: After training.
        callback: This Trainer's.

    Returns:
        The entry of the record: the steps, the metric of both, and which weights were chosen.
    """
    arguments, model = trainer.args, trainer.model
    metric = logged_metric(arguments)
    saved = callback.saved(Path(arguments.output_dir))
    steps = callback.chosen(arguments, trainer.state, trainer.state.global_step)
    single = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}

    def measure() -> float:
        return trainer.predict(trainer.eval_dataset, metric_key_prefix="eval").metrics[metric]

    values = {"single": measure()}
    # A file holds a tied weight under one of its names; the state has both names of the one tensor.
    set_weights(model, mean_weights([saved[step] for step in steps]) if trainer.is_world_process_zero() else {})
    values["average"] = measure()
    difference = values["average"] - values["single"]
    better = difference >= 0 if arguments.greater_is_better else difference <= 0
    if not better:
        set_weights(model, single)
    chosen = "average" if better else "single"
    return {"steps": steps, "by": callback.by, "metric": metric.removeprefix("eval_"), **values, "chosen": chosen}


__all__ = ["AverageCallback", "choose_weights", "mean_weights", "members"]
