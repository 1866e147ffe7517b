"""The `data` section of a recipe from text to text."""

import argparse
from dataclasses import dataclass, field
from typing import Any

# What generation does if neither recipe nor flag says otherwise; names are those of transformers' GenerationConfig.
GENERATION = ("num_beams", "length_penalty", "early_stopping", "no_repeat_ngram_size", "repetition_penalty")
# What becomes of the vocabulary of the weights that a run starts from: the saved model has what came of it.
VOCABULARY = ("vocabulary", "vocabulary_size", "new_rows")
CHOICES = {
    # The names of zoo.data.vocabulary, whose imports a command line can do without.
    "vocabulary": ("keep", "extend", "replace"),
    "new_rows": ("mean", "rank", "compose"),
    "over_long": ("drop", "truncate"),
    "drop_overlap": ("source", "pair", "none"),
    "tokenizer_type": ("unigram", "bpe"),
}


class AddAction(argparse.Action):
    """A flag for several values that may also stand several times: argparse would take the last one's alone. What the
    recipe has does not stay."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        given = namespace.__dict__.setdefault("_added", {}).setdefault(self.dest, [])
        given += values
        setattr(namespace, self.dest, given)


@dataclass
class TextArguments:
    """Where the pairs come from, how they are cleaned and tokenized, and how the model generates."""

    dataset_name: str | None = field(
        default=None, metadata={"help": "A data set that the library knows, or one of the Hugging Face Hub."}
    )
    dataset_config_name: str | None = field(default=None, metadata={"help": "Configuration of the Hub data set."})
    data_dir: str | None = field(default=None, metadata={"help": "Folder with the files of a known data set."})
    train_file: list[str] | None = field(
        default=None,
        metadata={
            "help": "Own pairs: one TSV, CSV, JSONL or Parquet file, or two aligned files of lines, source first."
        },
    )
    extra_train: list[str] | None = field(
        default=None,
        metadata={
            "help": "Further training pairs: names of data sets that the library knows (their training splits), or "
            "files with two columns. They are cleaned alike, and never validated or tested on.",
            "action": AddAction,
        },
    )
    repeat_train: int = field(
        default=1, metadata={"help": "How often an epoch shows each pair of the data itself, beside extra_train."}
    )
    validation_file: list[str] | None = field(
        default=None, metadata={"help": "Own validation pairs; default: set aside from train_file."}
    )
    test_file: list[str] | None = field(
        default=None, metadata={"help": "Own test pairs; default: set aside from train_file."}
    )
    source_column: str | None = field(default=None, metadata={"help": "Column of the texts that go in."})
    target_column: str | None = field(default=None, metadata={"help": "Column of the texts that shall come out."})
    validation_size: float = field(
        default=0.05, metadata={"help": "Pairs, or their share, that are set aside without a validation_file."}
    )
    test_size: float = field(
        default=0.05, metadata={"help": "Pairs, or their share, that are set aside without a test_file."}
    )
    split_seed: int = field(default=0, metadata={"help": "Of the pairs that are set aside."})
    max_train_samples: int | None = field(
        default=None, metadata={"help": "Use so many training pairs, and of extra_train too."}
    )
    max_eval_samples: int | None = field(default=None, metadata={"help": "Use only so many validation pairs."})
    max_predict_samples: int | None = field(default=None, metadata={"help": "Use only so many test pairs."})

    max_source_length: int = field(default=128, metadata={"help": "Tokens of a source, with its end sign."})
    max_target_length: int = field(
        default=128, metadata={"help": "Tokens of a target, with its end sign, in training and in what is generated."}
    )
    over_long: str = field(
        default="drop",
        metadata={"help": "What becomes of longer training pairs: drop or truncate. Others are cut."},
    )
    max_characters: int | None = field(
        default=1000, metadata={"help": "Drop training pairs with a side of more characters."}
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
            "help": "Drop training pairs whose source stands in validation or test (source), or only whole pairs that "
            "do (pair), or none."
        },
    )

    tokenizer_type: str = field(default="unigram", metadata={"help": "SentencePiece model: unigram or bpe."})
    byte_fallback: bool = field(default=True, metadata={"help": "Spell unknown characters in bytes."})
    special_tokens: list[str] | None = field(
        default=None,
        metadata={
            "help": "Further tokens of a new vocabulary that are never cut, such as <sep>.",
            "action": AddAction,
        },
    )
    tokenizer_sampling: float = field(
        default=0.0,
        metadata={
            "help": "Another segmentation of each training text each epoch: the share of merges that BPE leaves out "
            "(0.1 is usual), or the smoothness of unigram's sampling (0.1 to 0.5); 0: none."
        },
    )

    vocabulary: str = field(
        default="keep",
        metadata={
            "help": "Of weights that a run starts from: keep their vocabulary, extend it by pieces of the new texts, "
            "or replace it by a new one, which takes over the rows of the pieces that both have."
        },
    )
    vocabulary_size: int | None = field(
        default=None,
        metadata={
            "help": "Pieces of the extended or new vocabulary at most; pieces that occur less than 5 times are left "
            "out. Default: half as many again as before, or as many as before."
        },
    )
    new_rows: str = field(
        default="compose",
        metadata={
            "help": "How the rows of new pieces begin: as the mean of all rows and noise (mean), as the row of an old "
            "piece of the same rank by frequency (rank), or as the mean of the old pieces that they are cut into "
            "(compose)."
        },
    )

    num_beams: int = field(default=5, metadata={"help": "Beams of the final figures and of the saved model."})
    length_penalty: float = field(default=1.0, metadata={"help": "Above 0 beam search prefers longer texts."})
    early_stopping: bool = field(default=True, metadata={"help": "Beam search ends when it has num_beams texts."})
    no_repeat_ngram_size: int = field(default=0, metadata={"help": "Never write so many tokens twice; 0: no limit."})
    repetition_penalty: float = field(default=1.0, metadata={"help": "Above 1: tokens that came before come less."})

    def __post_init__(self):
        for name in ("train_file", "validation_file", "test_file"):
            value = getattr(self, name)
            if isinstance(value, str):
                setattr(self, name, [value])
            elif value is not None and len(value) > 2:
                raise ValueError(f"{name} is one file, or two aligned files of lines; got {len(value)}")
        if isinstance(self.extra_train, str):
            self.extra_train = [self.extra_train]
        if isinstance(self.special_tokens, str):
            self.special_tokens = [self.special_tokens]
        if self.repeat_train < 1:
            raise ValueError(f"repeat_train={self.repeat_train} must be at least 1")
        numbers = ("max_train_samples", "max_eval_samples", "max_predict_samples", "vocabulary_size", "num_beams")
        for name in numbers:
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        for name in ("max_source_length", "max_target_length"):
            if getattr(self, name) < 2:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 2: a token and the end sign")
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


def prepare_model(model: Any, processor: Any, arguments: TextArguments) -> None:
    """Write the generation settings into the model, before a Seq2SeqTrainer fills in its own (20 tokens, greedy)."""
    settings = {name: getattr(arguments, name) for name in GENERATION}
    if arguments.num_beams == 1:
        # transformers saves no beam settings without beams: those of weights that the run starts from must go.
        settings |= dict.fromkeys(("length_penalty", "early_stopping"))
    start = model.config.decoder_start_token_id
    model.generation_config.update(
        **settings,
        max_length=arguments.max_target_length + 1,  # the sign that starts the decoder counts
        decoder_start_token_id=start,
        pad_token_id=processor.pad_token_id,
        bos_token_id=processor.bos_token_id,
        eos_token_id=processor.eos_token_id,
    )


__all__ = ["GENERATION", "VOCABULARY", "AddAction", "TextArguments", "prepare_model"]
