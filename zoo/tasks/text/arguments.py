"""The `data` section of a recipe from text to text."""

import argparse
from dataclasses import dataclass, fields
from typing import Any

from zoo.tasks.base import DataArguments, option

# Metadata of the fields that transformers' GenerationConfig has too.
_GENERATION = {"used_by": "evaluation", "loading": False}
LEAST = {
    **dict.fromkeys(("repeat_train", "max_train_samples", "max_eval_samples", "max_predict_samples", "num_beams"), 1),
    **dict.fromkeys(("max_source_length", "max_target_length"), 2),  # a token and EOS
    **dict.fromkeys(("validation_size", "test_size", "no_repeat_ngram_size"), 0),
}
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

    dataset_name: str | None = option(
        None, "A data set that the library knows, or one of the Hugging Face Hub.", source="train"
    )
    dataset_config_name: str | None = option(None, "Configuration of the Hub data set.", source="train")
    data_dir: str | None = option(None, "Folder with the files of a known data set.", source="train")
    train_file: list[str] | None = option(
        None,
        "Own pairs: one TSV, CSV, JSONL or Parquet file, or two aligned files of lines, source first.",
        source="train",
    )
    extra_train: list[str] | None = option(
        None,
        "Further training pairs: names of data sets that the library knows (their training splits), or "
        "files with two columns. They are cleaned alike, and never validated or tested on.",
        source="train",
        action=AddAction,
    )
    repeat_train: int = option(1, "How often an epoch shows each pair of the data itself, beside extra_train.")
    validation_file: list[str] | None = option(
        None, "Own validation pairs; default: set aside from train_file.", source="train"
    )
    test_file: list[str] | None = option(None, "Own test pairs; default: set aside from train_file.", source="test")
    source_column: str | None = option(None, "Column of the source texts.")
    target_column: str | None = option(None, "Column of the target texts.")
    validation_size: float = option(0.05, "Pairs, or their share, that are set aside without a validation_file.")
    test_size: float = option(0.05, "Pairs, or their share, that are set aside without a test_file.")
    split_seed: int = option(0, "Seed of the pairs that are set aside.")
    max_train_samples: int | None = option(None, "Training pairs at most, and as many of each extra_train.")
    max_eval_samples: int | None = option(None, "Validation pairs at most.")
    max_predict_samples: int | None = option(None, "Test pairs at most.")

    max_source_length: int = option(128, "Tokens of a source, EOS included.")
    max_target_length: int = option(128, "Tokens of a target, EOS included, in training and in generation.")
    over_long: str = option(
        "drop", "Training pairs with more tokens: drop or truncate. Validation and test pairs are truncated."
    )
    max_characters: int | None = option(1000, "Drop training pairs with more characters on a side.")
    max_length_ratio: float | None = option(
        3.0, "Drop training pairs whose target is so many times longer or shorter than usual."
    )
    drop_identical: bool = option(True, "Drop training pairs whose sides are the same text.")
    drop_duplicates: bool = option(True, "Keep one of equal training pairs.")
    drop_overlap: str = option(
        "source",
        "Drop training pairs whose source is in validation or test too (source), or only those whose "
        "source and target are (pair), or none.",
    )

    tokenizer_type: str = option("unigram", "SentencePiece model: unigram or bpe.")
    byte_fallback: bool = option(True, "Tokenize unknown characters into bytes.")
    special_tokens: list[str] | None = option(
        None, "Further tokens of a new vocabulary that are never split, such as <sep>.", action=AddAction
    )
    tokenizer_sampling: float = option(
        0.0,
        "Tokenize each training text differently each epoch: the share of merges that BPE leaves out "
        "(0.1 is usual), or the smoothness of unigram's sampling (0.1 to 0.5); 0: never.",
    )

    num_beams: int = option(5, "Beams of the final metrics and of the saved model.", **_GENERATION)
    length_penalty: float = option(1.0, "Above 0 beam search prefers longer texts.", **_GENERATION)
    early_stopping: bool = option(True, "Beam search ends when it has num_beams texts.", **_GENERATION)
    no_repeat_ngram_size: int = option(0, "Never generate so many tokens in a row twice; 0: no limit.", **_GENERATION)
    repetition_penalty: float = option(
        1.0, "Above 1: tokens that were generated before become less likely.", **_GENERATION
    )

    @property
    def languages(self) -> tuple[str | None, str | None]:
        """Languages of source and target, where a task has them."""
        return None, None

    @property
    def columns(self) -> dict[str, str | None]:
        """What finds the columns of source and target."""
        source_lang, target_lang = self.languages
        columns = {"source_column": self.source_column, "target_column": self.target_column}
        return {"source_lang": source_lang, "target_lang": target_lang, **columns}

    def __post_init__(self):
        for item in fields(self):
            if item.type == list[str] | None and isinstance(getattr(self, item.name), str):
                setattr(self, item.name, [getattr(self, item.name)])
        for name in ("train_file", "validation_file", "test_file"):
            files = getattr(self, name) or ()
            if len(files) > 2:
                raise ValueError(f"{name} is one file, or two aligned files of lines; got {len(files)}")
        self.check(LEAST, CHOICES)
        if self.max_length_ratio is not None and self.max_length_ratio <= 1:
            raise ValueError(f"max_length_ratio={self.max_length_ratio} must be above 1")
        if not 0 <= self.tokenizer_sampling < 1:
            raise ValueError(f"tokenizer_sampling={self.tokenizer_sampling} must be at least 0 and below 1")


__all__ = ["AddAction", "TextArguments"]
