"""Arguments of the Trainers: transformers' own, with the library's fields and defaults."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from transformers import Seq2SeqTrainingArguments, TrainingArguments
from transformers.trainer_utils import HubStrategy, IntervalStrategy, SaveStrategy

from .recipe import UsageError

SAVE_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}

# Fields that do not belong to a recipe: where a run is stored, what it shows and how it is fed, not what it learns.
# When it saves is a part of it: the best checkpoint, or an average of several, becomes the model.
NOT_IN_RECIPE = frozenset(
    "output_dir resume_from_checkpoint run_name project trackio_space_id report_to disable_tqdm debug "
    "logging_steps logging_strategy save_total_limit include_num_input_tokens_seen "
    "push_to_hub hub_model_id hub_token hub_private_repo hub_strategy hub_always_push hub_revision "
    "do_train do_eval do_predict use_cpu local_rank ddp_backend remove_unused_columns "
    "dataloader_num_workers dataloader_pin_memory".split()
)
# Fields of a recipe that do not change the weights that a run learns.
NOT_LEARNED = frozenset({"save_dtype", "per_device_eval_batch_size"})


def argument(default: Any, help: str) -> Any:
    """A field with its default and the help of its flag."""
    return field(default=default, metadata={"help": help})


@dataclass
class ZooTrainingArguments(TrainingArguments):
    """[`~transformers.TrainingArguments`] with the fields that [`ZooTrainer`] reads.

    These defaults differ from transformers': evaluate, save and log once an epoch, keep two checkpoints, evaluate in
    batches of 256, keep all columns, do not pin memory, push to the Hub only at the end, and report as the project
    primer-zoo, each run under its folder's name. Several processes do not look for parameters without a gradient.
    """

    _argument_group_name: ClassVar[str] = "training"  # in the help of the command line

    eval_strategy: IntervalStrategy | str = argument("epoch", "When to evaluate: no, steps or epoch.")
    save_strategy: SaveStrategy | str = argument("epoch", "When to save a checkpoint: no, steps, epoch or best.")
    save_total_limit: int | None = argument(2, "How many checkpoints to keep.")
    logging_strategy: IntervalStrategy | str = argument("epoch", "When to log: no, steps or epoch.")
    per_device_eval_batch_size: int = argument(
        256, "Rows of an evaluation batch; where rows have lengths, short ones make larger batches."
    )
    remove_unused_columns: bool = argument(False, "Remove columns that the model's forward does not take.")
    dataloader_pin_memory: bool = argument(False, "Pin the memory of batches.")
    run_name: str | None = argument(
        None, "Name of the run for --report_to (wandb, trackio); default: the name of the output folder."
    )
    project: str = argument("primer-zoo", "Project of the run for --report_to; WANDB_PROJECT replaces it for wandb.")
    hub_strategy: HubStrategy | str = argument("end", "When to push: only `end` is possible for a run.")
    use_cpu: bool = argument(False, "Use the CPU though there is an accelerator.")
    ddp_find_unused_parameters: bool | None = argument(
        False, "With several processes: look for parameters that got no gradient. All do in this library's models."
    )
    metric_for_best_model: str | None = argument(
        None, "Metric that compares evaluations; default: the task's primary metric in a recipe, the loss without one."
    )

    ema_decay: float = argument(0.0, "Evaluate and save an exponential moving average of the weights; 0: do not.")
    muon_learning_rate: float = argument(
        0.0, "Train the inner matrices and filters with Muon at this rate; 0: train all with --optim."
    )
    muon_momentum: float = argument(0.95, "Momentum of Muon.")
    batch_tokens: int = argument(
        0,
        "Make batches of rows of similar length with at most so many tokens, padding included. "
        "0: batches of per_device_train_batch_size rows.",
    )
    shortest_first_epochs: int = argument(
        0, "With batch_tokens: in so many epochs the batches come from the shortest rows to the longest (curriculum)."
    )
    min_steps: int = argument(
        0,
        "Train for at least so many steps: few rows are passed more than num_train_epochs times, and no run stops "
        "early before. Setting num_train_epochs or max_steps by a flag switches it off.",
    )
    early_stopping_patience: int = argument(
        0, "Stop after so many evaluations without progress in metric_for_best_model; 0: never."
    )
    early_stopping_threshold: float = argument(0.0, "Minimum improvement that counts as progress.")
    average_checkpoints: int = argument(
        0,
        "Average the weights of so many checkpoints at the end, and keep the average if metric_for_best_model on the "
        "validation split is not worse. 0: do not average.",
    )
    average_checkpoints_by: str = argument(
        "last", "Which checkpoints to average: last, or best by metric_for_best_model."
    )
    teachers: list[str] | None = argument(
        None,
        "Teachers, for knowledge distillation: learn from the outputs of these trained models as well as from labels. "
        "Folders, ids of shipped models or Hub ids; of several, the mean is learned.",
    )
    teacher_weight: float = argument(
        0.5, "The loss is (1 - teacher_weight) * loss of the labels + teacher_weight * distance from the teachers."
    )
    teacher_temperature: float = argument(
        1.0,
        "Divide logits of model and teachers by this: above 1, unlikely classes count more. Forecasters ignore it.",
    )
    r_drop_alpha: float = argument(
        0.0,
        "R-Drop: pass every batch twice, with different dropout, and add half of this times the difference of the two "
        "outputs to the loss. Its paper uses 5 for translation. 0: do not.",
    )
    random_weights: bool = argument(
        False, "Take only architecture and processor of --model_name_or_path, not its weights."
    )
    lora_rank: int = argument(
        0,
        "Freeze the weights that the run starts from and train adapters of this rank, and embeddings of new tokens; "
        "the adapters are merged before the model is saved. 0: train all weights.",
    )
    save_dtype: str = argument(
        "float32",
        "Type of the saved weights: float32, float16 or bfloat16. They are rounded before the final evaluation, and "
        "loaded as float32 again.",
    )
    bf16_if_supported: bool = argument(False, "Train in bfloat16 where the hardware computes in it.")

    def __post_init__(self):
        for name in ("lora_rank", "batch_tokens", "early_stopping_patience", "average_checkpoints", "min_steps",
                     "shortest_first_epochs", "early_stopping_threshold", "muon_learning_rate",
                     "r_drop_alpha"):  # fmt: skip
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)} must not be negative")
        for name in ("ema_decay", "muon_momentum"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 0 and below 1")
        for name, choices in (("save_dtype", SAVE_DTYPES), ("average_checkpoints_by", ("last", "best"))):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}={getattr(self, name)!r} is not one of {', '.join(choices)}")
        if isinstance(self.teachers, str):
            self.teachers = [self.teachers]
        if self.teachers is not None and not all(isinstance(name, str) for name in self.teachers):
            raise ValueError(f"teachers={self.teachers} must be names of models")
        if not self.teachers and (self.teacher_weight, self.teacher_temperature) != (0.5, 1.0):
            raise ValueError("teacher_weight and teacher_temperature are of teachers: name them with --teachers")
        if not 0 < self.teacher_weight <= 1:
            raise ValueError(f"teacher_weight={self.teacher_weight} must be above 0 and at most 1")
        if self.teacher_temperature <= 0:
            raise ValueError(f"teacher_temperature={self.teacher_temperature} must be above 0")
        if self.average_checkpoints and self.ema_decay:
            raise ValueError("average_checkpoints and ema_decay are two ways to average the weights: set one of them")
        # Early stopping and averaging compare evaluations, too; transformers fills this in for load_best_model_at_end.
        if self.metric_for_best_model is None and (self.early_stopping_patience or self.average_checkpoints):
            self.metric_for_best_model = "loss"
        if self.run_name is None and self.output_dir:
            self.run_name = Path(self.output_dir).resolve().name
        on_cpu = self.use_cpu or not torch.accelerator.is_available()
        if self.bf16_if_supported and computes_in_bf16(on_cpu):
            self.bf16, self.use_cpu = True, on_cpu  # transformers accepts bf16 on a CPU only with use_cpu
        super().__post_init__()
        if "wandb" in self.report_to:  # transformers hands `project` to trackio alone
            os.environ.setdefault("WANDB_PROJECT", self.project)


@dataclass
class ZooSeq2SeqTrainingArguments(ZooTrainingArguments, Seq2SeqTrainingArguments):
    """[`~transformers.Seq2SeqTrainingArguments`] with the fields that [`ZooSeq2SeqTrainer`] reads."""

    predict_with_generate: bool = argument(True, "Generate in evaluations, for metrics of the generated tokens.")
    generation_samples: int = argument(
        0, "Validation rows to generate for in evaluations during training, evenly spread; 0: all."
    )

    def __post_init__(self):
        if self.generation_samples < 0:
            raise ValueError(f"generation_samples={self.generation_samples} must not be negative")
        super().__post_init__()


def computes_in_bf16(on_cpu: bool) -> bool:
    """Whether bfloat16 is faster than float32 here: on GPUs that have it, and CPUs with its matrix instructions."""
    if not on_cpu:
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


@dataclass
class RunArguments:
    """Where a run starts from, where it runs, and whether it measures the test split: flags, not keys of a recipe."""

    _argument_group_name: ClassVar[str] = "model and run"  # in the help of the command line

    model_name_or_path: str | None = argument(
        None, "Start from these weights (a folder or a Hub id) instead of random ones."
    )
    model_overrides: str | None = argument(
        None, 'Config fields, e.g. "classifier_dropout=0.2,stage_channels=[32,64]".'
    )
    skip_test: bool = argument(False, "Do not measure the test split.")
    ray_workers: int = argument(0, "Train as so many processes of Ray Train; 0: without Ray.")
    cpus_per_worker: int = argument(1, "CPU cores of each of these processes.")
    address: str | None = argument(
        None, "Address of a Ray cluster for them (host:port, ray://host:port, auto); default: this machine alone."
    )

    def __post_init__(self):
        if self.ray_workers < 0 or self.cpus_per_worker < 1:
            raise UsageError("ray_workers must not be negative, and cpus_per_worker must be at least 1")
        if self.cpus_per_worker > 1 and not self.ray_workers:
            raise UsageError("cpus_per_worker is of Ray's workers: say with --ray_workers how many train")
        if self.address and not self.ray_workers:
            raise UsageError("address names a Ray cluster: say with --ray_workers how many processes train there")


__all__ = ["RunArguments", "ZooSeq2SeqTrainingArguments", "ZooTrainingArguments", "computes_in_bf16"]
