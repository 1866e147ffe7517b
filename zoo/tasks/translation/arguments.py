"""The data section of a translation recipe."""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from zoo.tasks.base import TaskData

from ..text.arguments import AddAction, TextArguments
from ..text.kept_pairs import KeptPair
from ..text.loading import load_data as load_texts
from ..text.loading import read

# Source language, target language, file, two aligned files with a comma between, or name of a data set.
KEEP_PAIR = re.compile(r"(\w+)-(\w+):(.+)")
KEEP_TARGETS = ("parent", "truth")


@dataclass
class TranslationArguments(TextArguments):
    """The `data` section of a translation recipe."""

    source_lang: str | None = field(default=None, metadata={"help": "Language of the sources: en, de, ..."})
    target_lang: str | None = field(default=None, metadata={"help": "Language of the targets: en, de, ..."})
    keep_pair: list[str] | None = field(
        default=None,
        metadata={
            "help": "Pairs of languages that the model shall not lose, each with its data: en-de:FILE, two aligned "
            "files as en-de:SOURCES,TARGETS, or the name of a known data set in place of the file. A pair may come "
            "several times: the data have equal shares, and validation and test are of the first. Sources then begin "
            "with a tag of the target language.",
            "action": AddAction,
        },
    )
    language_tags: bool = field(
        default=False,
        metadata={
            "help": "Sources begin with a tag of the target language though there is one pair only, so that other "
            "pairs can join it later. With keep_pair they always do."
        },
    )
    keep_ratio: float = field(default=0.2, metadata={"help": "Share of the kept pairs in the training pairs."})
    keep_targets: str | None = field(
        default=None,
        metadata={
            "help": "What kept pairs are learned from: parent (how likely the model that the run goes on with finds "
            "each next piece, which keeps more), or truth (their targets). Default: parent, for the kept pairs that "
            "it translates into another language than the new pair's, where its pieces stay."
        },
    )
    keep_weight: float = field(
        default=4.0,
        metadata={"help": "With keep_targets=parent: how much a kept piece counts in the loss beside a new one."},
    )

    def __post_init__(self):
        super().__post_init__()
        if isinstance(self.keep_pair, str):
            self.keep_pair = [self.keep_pair]
        if not 0 < self.keep_ratio < 1:
            raise ValueError(f"keep_ratio={self.keep_ratio} must be above 0 and below 1")
        if not self.keep_weight > 0:
            raise ValueError(f"keep_weight={self.keep_weight} must be above 0")
        if self.keep_targets not in (None, *KEEP_TARGETS):
            raise ValueError(f"keep_targets={self.keep_targets!r} is not one of {', '.join(KEEP_TARGETS)}")
        new = (self.source_lang, self.target_lang)
        if self.language_tags and self.target_lang is None:
            raise ValueError("language_tags needs the target's language: --target_lang de")
        for text in self.keep_pair or ():
            match = KEEP_PAIR.fullmatch(text)
            if match is None:
                raise ValueError(
                    f"keep_pair={text!r} is not SOURCE-TARGET:FILE, such as en-de:old.tsv or en-pt_BR:old.tsv"
                )
            if None in new:
                raise ValueError("keep_pair needs the languages of the new pair: --source_lang and --target_lang")
            if match.group(1, 2) == new:
                raise ValueError(
                    f"keep_pair={text!r} has the languages of the new pair: the tag >>{new[1]}<< cannot stand for "
                    "two of them; further pairs of one direction are extra_train"
                )


def read_named(arguments: TranslationArguments) -> Any:
    """(splits, notes) of a parallel corpus that the library knows; None for another name.

    Raises:
        ValueError: The languages are not given.
    """
    from zoo.data.named_pairs import NAMED_PAIRS, load_named_pairs

    named = NAMED_PAIRS.get(arguments.dataset_name or "")
    if named is None:
        return None
    if not arguments.source_lang or not arguments.target_lang:
        raise ValueError(f"{arguments.dataset_name}: say which languages, e.g. --source_lang en --target_lang de")
    splits = load_named_pairs(
        arguments.dataset_name or "", arguments.source_lang, arguments.target_lang, arguments.data_dir
    )
    return splits, {"licence": named.licence, "homepage": named.homepage}


def read_kept(text: str, arguments: TranslationArguments) -> KeptPair:
    """The data of SOURCE-TARGET:FILE.

    Raises:
        ValueError, FileNotFoundError: It is neither a file nor a known data set, or it is damaged.
    """
    source, target, name = KEEP_PAIR.fullmatch(text).groups()  # type: ignore[union-attr]  # checked by the arguments
    own = replace(
        arguments,
        source_lang=source, target_lang=target, source_column=None, target_column=None, keep_pair=None, data_dir=None,
        train_file=None, validation_file=None, test_file=None, dataset_name=None,
    )  # fmt: skip
    files = [name] if Path(name).is_file() else name.split(",")
    is_file = [Path(file).is_file() for file in files]
    if len(files) == 2 and sum(is_file) == 1:
        raise ValueError(f"--keep_pair {text}: {files[is_file.index(False)]} is not a file")
    own = replace(own, **({"train_file": files} if len(files) < 3 and all(is_file) else {"dataset_name": name}))
    if own.train_file is None and read_named(own) is None:
        raise ValueError(f"--keep_pair {text}: {name} is neither a file nor a data set that the library knows by name")
    return KeptPair(source, target, read(own, read_named)[0])


def load_data(arguments: TranslationArguments, config: Any, processor: Any = None) -> TaskData:
    """The pairs of a run; see `zoo/tasks/text/loading.py`."""
    kept: list[KeptPair] = []
    for text in arguments.keep_pair or ():
        name = text.partition(":")[0]
        again = any(name == f"{other.source}-{other.target}" for other in kept)
        pair = read_kept(text, replace(arguments, validation_size=0.0, test_size=0.0) if again else arguments)
        kept.append(replace(pair, splits={"train": pair.splits["train"]}) if again else pair)
    data = load_texts(arguments, config, processor, read_named=read_named, kept=kept, keep_ratio=arguments.keep_ratio)
    languages = {"source_lang": arguments.source_lang, "target_lang": arguments.target_lang}
    data.notes = {**data.notes, **languages}
    return data


__all__ = ["TranslationArguments", "load_data", "read_named"]
