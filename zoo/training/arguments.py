"""Training arguments that transformers does not have, and those that say where a run starts and ends."""

from dataclasses import dataclass, field

import torch

from .save_dtype import SAVE_DTYPES


@dataclass
class ZooTrainingArguments:
    """Fields of a recipe's `training` section beside those of transformers' TrainingArguments."""

    ema_decay: float = field(
        default=0.0,
        metadata={"help": "Evaluate and save an exponential moving average of the weights; 0 switches it off."},
    )
    muon_learning_rate: float = field(
        default=0.0,
        metadata={"help": "Train the inner matrices and filters with Muon at this rate; 0 leaves all to --optim."},
    )
    muon_momentum: float = field(default=0.95, metadata={"help": "Momentum of Muon."})
    batch_tokens: int = field(
        default=0,
        metadata={
            "help": "Batches of rows of about one length: rows times the longest side are at most so many tokens. "
            "0: batches of per_device_train_batch_size rows."
        },
    )
    early_stopping_patience: int = field(
        default=0,
        metadata={"help": "Stop after so many evaluations without progress in metric_for_best_model; 0: never."},
    )
    early_stopping_threshold: float = field(
        default=0.0, metadata={"help": "What is not better by more than this is no progress."}
    )
    average_checkpoints: int = field(
        default=0,
        metadata={
            "help": "Average the weights of so many checkpoints at the end; the validation split decides between the "
            "average and the single one. 0 switches it off."
        },
    )
    average_checkpoints_by: str = field(
        default="last", metadata={"help": "Which checkpoints are averaged: the last, or the best by validation."}
    )
    generation_samples: int = field(
        default=0,
        metadata={"help": "Validation rows that evaluations during training generate for, evenly spread; 0: all."},
    )
    random_weights: bool = field(
        default=False,
        metadata={
            "help": "Take only architecture and processor of --model_name_or_path, and train from random weights: "
            "what a model that goes on with other data is compared with."
        },
    )
    lora_rank: int = field(
        default=0,
        metadata={
            "help": "Freeze the weights that the run starts from and train adapters of this rank beside them, and the "
            "embeddings of new pieces; they are merged before the model is saved. 0 trains everything."
        },
    )
    save_dtype: str = field(
        default="float32",
        metadata={
            "help": "Type of the weights in the file: float32, float16 or bfloat16, which halve it. They are rounded "
            "before the final figures are measured, and loaded as float32 again."
        },
    )
    bf16_if_supported: bool = field(
        default=False, metadata={"help": "Train in bfloat16 where the hardware computes in it."}
    )

    def __post_init__(self):
        for name in (
            "lora_rank",
            "batch_tokens",
            "early_stopping_patience",
            "average_checkpoints",
            "generation_samples",
        ):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)} must not be negative")
        if self.early_stopping_threshold < 0:
            raise ValueError(f"early_stopping_threshold={self.early_stopping_threshold} must not be negative")
        if self.save_dtype not in SAVE_DTYPES:
            raise ValueError(f"save_dtype={self.save_dtype!r} is not one of {', '.join(SAVE_DTYPES)}")
        if self.average_checkpoints_by not in ("last", "best"):
            raise ValueError(f"average_checkpoints_by={self.average_checkpoints_by!r} is not one of last, best")
        if self.average_checkpoints and self.ema_decay:
            raise ValueError("average_checkpoints and ema_decay are two ways to average the weights: set one of them")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay={self.ema_decay} must be at least 0 and below 1")
        if self.muon_learning_rate < 0:
            raise ValueError(f"muon_learning_rate={self.muon_learning_rate} must not be negative")
        if not 0 <= self.muon_momentum < 1:
            raise ValueError(f"muon_momentum={self.muon_momentum} must be at least 0 and below 1")


def computes_in_bf16(on_cpu: bool) -> bool:
    """Whether bfloat16 is faster than float32 here: on GPUs that have it, and CPUs with its matrix instructions."""
    if not on_cpu:
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


@dataclass
class RunArguments:
    """Where a run starts from. These do not belong to a recipe."""

    model_name_or_path: str | None = field(
        default=None, metadata={"help": "Start from these weights (a folder or a Hub id) instead of random ones."}
    )
    model_overrides: str | None = field(
        default=None, metadata={"help": 'Config fields, e.g. "classifier_dropout=0.2,stage_channels=[32,64]".'}
    )
    skip_test: bool = field(default=False, metadata={"help": "Do not look at the test split."})


__all__ = ["RunArguments", "ZooTrainingArguments", "computes_in_bf16"]
