"""The `data` section of a recipe from text to text."""

import argparse
from dataclasses import dataclass, field, fields
from typing import Any

from zoo.tasks.base import DataArguments

# Metadata of the fields that transformers' GenerationConfig has too.
_GENERATION = {"used_by": "evaluation", "loading": False}
CHOICES = {
    "over_long": ("drop", "truncate"),
    "drop_overlap": ("source", "pair", "none"),
    "tokenizer_type": ("unigram", "bpe"),
}


class AddAction(argparse.Action):
    """A flag that takes several values and may be repeated; it replaces the recipe's values."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        given = namespace.__dict__.setdefault("_added", {}).setdefault(self.dest, [])
        given += values
        setattr(namespace, self.dest, given)


@dataclass
class TextArguments(DataArguments):
    """Where the pairs come from, how they are cleaned and tokenized, and how the model generates."""

    dataset_name: str | None = field(
        default=None,
        metadata={"help": "A data set that the library knows, or one of the Hugging Face Hub.", "source": "train"},
    )
    dataset_config_name: str | None = field(
        default=None, metadata={"help": "Configuration of the Hub data set.", "source": "train"}
    )
    data_dir: str | None = field(
        default=None, metadata={"help": "Folder with the files of a known data set.", "source": "train"}
    )
    train_file: list[str] | None = field(
        default=None,
        metadata={
            "help": "Own pairs: one TSV, CSV, JSONL or Parquet file, or two aligned files of lines, source first.",
            "source": "train",
        },
    )
    extra_train: list[str] | None = field(
        default=None,
        metadata={
            "help": "Further training pairs: names of data sets that the library knows (their training splits), or "
            "files with two columns. They are cleaned alike, and never validated or tested on.",
            "source": "train",
            "action": AddAction,
        },
    )
    repeat_train: int = field(
        default=1, metadata={"help": "How often an epoch shows each pair of the data itself, beside extra_train."}
    )
    validation_file: list[str] | None = field(
        default=None,
        metadata={"help": "Own validation pairs; default: set aside from train_file.", "source": "train"},
    )
    test_file: list[str] | None = field(
        default=None, metadata={"help": "Own test pairs; default: set aside from train_file.", "source": "test"}
    )
    source_column: str | None = field(default=None, metadata={"help": "Column of the source texts."})
    target_column: str | None = field(default=None, metadata={"help": "Column of the target texts."})
    validation_size: float = field(
        default=0.05, metadata={"help": "Pairs, or their share, that are set aside without a validation_file."}
    )
    test_size: float = field(
        default=0.05, metadata={"help": "Pairs, or their share, that are set aside without a test_file."}
    )
    split_seed: int = field(default=0, metadata={"help": "Seed of the pairs that are set aside."})
    max_train_samples: int | None = field(
        default=None, metadata={"help": "Training pairs at most, and as many of each extra_train."}
    )
    max_eval_samples: int | None = field(default=None, metadata={"help": "Validation pairs at most."})
    max_predict_samples: int | None = field(default=None, metadata={"help": "Test pairs at most."})

    max_source_length: int = field(default=128, metadata={"help": "Tokens of a source, EOS included."})
    max_target_length: int = field(
        default=128, metadata={"help": "Tokens of a target, EOS included, in training and in generation."}
    )
    over_long: str = field(
        default="drop",
        metadata={
            "help": "Training pairs with more tokens: drop or truncate. Validation and test pairs are truncated."
        },
    )
    max_characters: int | None = field(
        default=1000, metadata={"help": "Drop training pairs with more characters on a side."}
    )
    max_length_ratio: float | None = field(
        default=3.0,
        metadata={"help": "Drop training pairs whose target is so many times longer or shorter than usual."},
    )
    drop_identical: bool = field(default=True, metadata={"help": "Drop training pairs whose sides are the same text."})
    drop_duplicates: bool = field(default=True, metadata={"help": "Keep one of equal training pairs."})
    drop_overlap: str = field(
        default="source",
        metadata={
            "help": "Drop training pairs whose source is in validation or test too (source), or only those whose "
            "source and target are (pair), or none."
        },
    )

    tokenizer_type: str = field(default="unigram", metadata={"help": "SentencePiece model: unigram or bpe."})
    byte_fallback: bool = field(default=True, metadata={"help": "Tokenize unknown characters into bytes."})
    special_tokens: list[str] | None = field(
        default=None,
        metadata={
            "help": "Further tokens of a new vocabulary that are never split, such as <sep>.",
            "action": AddAction,
        },
    )
    tokenizer_sampling: float = field(
        default=0.0,
        metadata={
            "help": "Tokenize each training text differently each epoch: the share of merges that BPE leaves out "
            "(0.1 is usual), or the smoothness of unigram's sampling (0.1 to 0.5); 0: never."
        },
    )

    num_beams: int = field(
        default=5, metadata={"help": "Beams of the final metrics and of the saved model.", **_GENERATION}
    )
    length_penalty: float = field(
        default=1.0, metadata={"help": "Above 0 beam search prefers longer texts.", **_GENERATION}
    )
    early_stopping: bool = field(
        default=True, metadata={"help": "Beam search ends when it has num_beams texts.", **_GENERATION}
    )
    no_repeat_ngram_size: int = field(
        default=0, metadata={"help": "Never generate so many tokens in a row twice; 0: no limit.", **_GENERATION}
    )
    repetition_penalty: float = field(
        default=1.0, metadata={"help": "Above 1: tokens that were generated before become less likely.", **_GENERATION}
    )

    @property
    def languages(self) -> tuple[str | None, str | None]:
        """Languages of source and target, where a task has them."""
        return None, None

    def __post_init__(self):
        for item in fields(self):
            if item.type == list[str] | None and isinstance(getattr(self, item.name), str):
                setattr(self, item.name, [getattr(self, item.name)])
        for name in ("train_file", "validation_file", "test_file"):
            files = getattr(self, name) or ()
            if len(files) > 2:
                raise ValueError(f"{name} is one file, or two aligned files of lines; got {len(files)}")
        if self.repeat_train < 1:
            raise ValueError(f"repeat_train={self.repeat_train} must be at least 1")
        for name in ("max_train_samples", "max_eval_samples", "max_predict_samples", "num_beams"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        for name in ("max_source_length", "max_target_length"):
            if getattr(self, name) < 2:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 2: a token and EOS")
        for name in ("validation_size", "test_size", "no_repeat_ngram_size"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)} must not be negative")
        if self.max_length_ratio is not None and self.max_length_ratio <= 1:
            raise ValueError(f"max_length_ratio={self.max_length_ratio} must be above 1")
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name}={getattr(self, name)!r} is not one of {', '.join(known)}")
        if not 0 <= self.tokenizer_sampling < 1:
            raise ValueError(f"tokenizer_sampling={self.tokenizer_sampling} must be at least 0 and below 1")


__all__ = ["AddAction", "TextArguments"]
