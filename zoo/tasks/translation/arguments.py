"""The `data` section of a translation recipe."""

import re
from dataclasses import dataclass

from zoo.tasks.base import option

from ..text.arguments import AddAction, TextArguments

# Source language, target language, file, two aligned files with a comma between, or name of a data set.
KEEP_PAIR = re.compile(r"(\w+)-(\w+):(.+)")
CHOICES = {
    "vocabulary": ("keep", "extend", "replace"),
    "new_rows": ("mean", "rank", "compose"),
    "keep_targets": (None, "parent", "truth"),
}


@dataclass
class TranslationArguments(TextArguments):
    """The `data` section of a translation recipe."""

    source_lang: str | None = option(None, "Language of the sources: en, de, ...")
    target_lang: str | None = option(None, "Language of the targets: en, de, ...")
    language_tags: bool = option(
        False,
        "Sources begin with a tag of the target language though there is one language pair only, so that "
        "others can join it later. With keep_pair they always do.",
    )

    vocabulary: str = option(
        "keep",
        "What becomes of the vocabulary of the weights that a run starts from: keep it, extend it by "
        "tokens of the new texts, or replace it by a new one that takes over the rows of the tokens that both "
        "have.",
        used_by="training",
    )
    vocabulary_size: int | None = option(
        None,
        "Tokens of the extended or new vocabulary at most; tokens that occur less than 5 times are left "
        "out. Default: half as many again as before, or as many as before.",
        used_by="training",
    )
    new_rows: str = option(
        "compose",
        "How the embeddings of new tokens begin: as the mean of all and noise (mean), as that of an old "
        "token of the same rank by frequency (rank), or as the mean of the old tokens that spell them (compose).",
        used_by="training",
    )
    keep_pair: list[str] | None = option(
        None,
        "Language pairs that the model must not forget, each with data to replay: en-de:FILE, two aligned "
        "files as en-de:SOURCES,TARGETS, or the name of a known data set in place of the file. A pair may come "
        "several times: its data have equal shares, and validation and test are of the first. Sources then begin "
        "with a tag of the target language.",
        source="train",
        action=AddAction,
    )
    keep_ratio: float = option(0.2, "Share of replay in the training pairs.")
    keep_targets: str | None = option(
        None,
        "What replay is learned from: parent (the next-token distribution of the model that the run "
        "starts from, which keeps more), or truth (the targets). Default: parent, for the language pairs that it "
        "translates into another language than the new pair's, where its vocabulary stays.",
        loading=False,
    )
    keep_weight: float = option(
        4.0, "With keep_targets=parent: weight of a replayed token in the loss beside a new one.", loading=False
    )

    @property
    def languages(self) -> tuple[str | None, str | None]:
        """Languages of source and target."""
        return self.source_lang, self.target_lang

    def __post_init__(self):
        super().__post_init__()
        self.check({"vocabulary_size": 1}, CHOICES)
        if not 0 < self.keep_ratio < 1:
            raise ValueError(f"keep_ratio={self.keep_ratio} must be above 0 and below 1")
        if not self.keep_weight > 0:
            raise ValueError(f"keep_weight={self.keep_weight} must be above 0")
        if self.language_tags and self.target_lang is None:
            raise ValueError("language_tags needs the target's language: --target_lang de")
        for text in self.keep_pair or ():
            match = KEEP_PAIR.fullmatch(text)
            if match is None:
                raise ValueError(
                    f"keep_pair={text!r} is not SOURCE-TARGET:FILE, such as en-de:old.tsv or en-pt_BR:old.tsv"
                )
            if None in self.languages:
                raise ValueError("keep_pair needs the languages of the new pair: --source_lang and --target_lang")
            if match.group(1, 2) == self.languages:
                raise ValueError(
                    f"keep_pair={text!r} has the languages of the new pair: the tag >>{self.target_lang}<< cannot "
                    "stand for two of them; further pairs of one direction are extra_train"
                )


__all__ = ["TranslationArguments"]
