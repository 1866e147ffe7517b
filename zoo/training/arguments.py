"""Training arguments that transformers does not have, and those that say where a run starts and ends."""

from dataclasses import dataclass, field


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

    def __post_init__(self):
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay={self.ema_decay} must be at least 0 and below 1")
        if self.muon_learning_rate < 0:
            raise ValueError(f"muon_learning_rate={self.muon_learning_rate} must not be negative")
        if not 0 <= self.muon_momentum < 1:
            raise ValueError(f"muon_momentum={self.muon_momentum} must be at least 0 and below 1")


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


__all__ = ["RunArguments", "ZooTrainingArguments"]
