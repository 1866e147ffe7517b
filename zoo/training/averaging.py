"""The mean of a run's last or best checkpoints, if the validation split prefers it."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast
from safetensors import safe_open
from transformers import Trainer, TrainerCallback

FOLDER = "averaging"
WEIGHTS = "model.safetensors"


def members(
    steps: Sequence[int], history: Sequence[Mapping[str, Any]], count: int, by: str, metric: str, greater: bool
) -> list[int]:
    """The steps whose weights are averaged, of those that were saved.

    Args:
        steps: Of the saved weights.
        history: The Trainer's log.
        count: How many to take.
        by: "last", or "best": by `metric`, the later of two equal ones.
        metric: Name in the log, e.g. eval_bleu.
        greater: Whether more of it is better.
    """
    if by == "last":
        return sorted(steps)[-count:]
    figures = {entry["step"]: entry[metric] * (1 if greater else -1) for entry in history if metric in entry}
    ranked = sorted((figures[step], step) for step in steps if step in figures)
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

    They are links to the checkpoints' own files where the file system has links. What any remaining checkpoint needs
    is kept, so that a run can be resumed from each of them.

    Args:
        count: How many checkpoints are averaged.
        by: "last" or "best", by the metric that chooses between checkpoints.
    """

    def __init__(self, count: int, by: str = "last"):
        self.count, self.by = count, by

    @staticmethod
    def saved(folder: Path) -> dict[int, Path]:
        """Step -> file of the weights that are kept."""
        return {
            int(file.stem.removeprefix("step-")): file for file in sorted((folder / FOLDER).glob("step-*.safetensors"))
        }

    def chosen(self, args: Any, state: Any, until: int) -> list[int]:
        """The steps that are averaged if the run ends at step `until`."""
        steps = [step for step in self.saved(Path(args.output_dir)) if step <= until]
        history = [entry for entry in state.log_history if entry["step"] <= until]
        metric = f"eval_{(args.metric_for_best_model or 'loss').removeprefix('eval_')}"
        return members(steps, history, self.count, self.by, metric, bool(args.greater_is_better))

    def keep(self, checkpoint: Path) -> None:
        """Keep the weights of a checkpoint too."""
        folder = checkpoint.parent / FOLDER
        folder.mkdir(exist_ok=True)
        target = folder / f"step-{checkpoint.name.split('-')[-1]}.safetensors"
        if not target.is_file():
            temporary = target.with_suffix(".tmp")
            temporary.unlink(missing_ok=True)
            try:
                os.link(checkpoint / WEIGHTS, temporary)
            except OSError:  # a file system without links
                shutil.copyfile(checkpoint / WEIGHTS, temporary)
            temporary.replace(target)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Keep the newest weights, and forget what no checkpoint needs."""
        if not state.is_world_process_zero:
            return
        folder = Path(args.output_dir)
        self.keep(folder / f"checkpoint-{state.global_step}")
        resumable = [int(path.name.split("-")[-1]) for path in folder.glob("checkpoint-*")]
        needed = {step for until in resumable for step in self.chosen(args, state, until)}
        for step, file in self.saved(folder).items():
            if step not in needed:
                file.unlink()

    def load(self, checkpoint: Path) -> None:
        """Go on from a checkpoint: what was saved after it is forgotten."""
        for step, file in self.saved(checkpoint.parent).items():
            if step > int(checkpoint.name.split("-")[-1]):
                file.unlink()
        self.keep(checkpoint)


@torch.no_grad()
def set_weights(trainer: Trainer, values: Mapping[str, torch.Tensor]) -> None:
    """Copy the first process's values into the model of every process; what is not among them stays."""
    for name, tensor in trainer.model.state_dict().items():
        tensor.copy_(broadcast(values.get(name, tensor).to(tensor.device)))


def choose_weights(
    trainer: Trainer, callback: AverageCallback, metric: str, greater_is_better: bool
) -> dict[str, Any]:
    """Give the model the averaged weights if the validation split finds them no worse than those that it has.

    Returns:
        What the record says of it: the steps, the metric of both, and which was chosen.
    """
    arguments, folder = trainer.args, Path(trainer.args.output_dir)
    saved = callback.saved(folder)
    steps = callback.chosen(arguments, trainer.state, trainer.state.global_step)
    single = {name: value.detach().cpu().clone() for name, value in trainer.model.state_dict().items()}
    found = {"single": trainer.predict(trainer.eval_dataset, metric_key_prefix="eval").metrics[f"eval_{metric}"]}
    # A file holds a tied weight under one of its names; the state has both names of the one tensor.
    set_weights(trainer, mean_weights([saved[step] for step in steps]) if trainer.is_world_process_zero() else {})
    found["average"] = trainer.predict(trainer.eval_dataset, metric_key_prefix="eval").metrics[f"eval_{metric}"]
    better = found["average"] >= found["single"] if greater_is_better else found["average"] <= found["single"]
    if not better:
        set_weights(trainer, single)
    return {"steps": steps, "by": callback.by, "metric": metric, **found, "chosen": "average" if better else "single"}


__all__ = ["AverageCallback", "choose_weights", "mean_weights", "members"]
