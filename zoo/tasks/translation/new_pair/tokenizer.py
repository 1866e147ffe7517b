"""The tokenizer of a run that starts from trained weights: theirs, kept or changed."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedTokenizerFast

from zoo.data.tokenizer import text_fit

from ..arguments import TranslationArguments
from .vocabulary import RowOrigins, change_vocabulary, describe_fit, fits_badly

if TYPE_CHECKING:
    from zoo.data.parallel_text import ParallelText

# Texts of each side that show how well a vocabulary fits.
FIT_TEXTS = 10_000


def adapt_tokenizer(
    arguments: TranslationArguments,
    tokenizer: PreTrainedTokenizerFast,
    train: "ParallelText",
    languages: Sequence[str] = (),
    known: "Sequence[ParallelText]" = (),
) -> tuple[PreTrainedTokenizerFast, RowOrigins | None, dict[str, Any], list[str]]:
    """Keep, extend or replace the vocabulary of a tokenizer for the pairs `train`; see `change_vocabulary`.

    Returns:
        The tokenizer, the origins of its rows (None if it stays), notes for the record, and lines for the user.

    Raises:
        ValueError: The tokenizer is of another kind, or the size makes no sense.
    """
    sides = {"source": train.source, "target": train.target}
    names = dict(zip(sides, (language or f"{side}s" for side, language in zip(sides, arguments.languages))))
    new, origins = change_vocabulary(
        tokenizer,
        list(sides.values()),
        arguments.vocabulary,
        size=arguments.vocabulary_size,
        new_rows=arguments.new_rows,
        languages=languages,
        known=[text for pairs in known for side in (pairs.source, pairs.target) for text in side],
    )
    steps = {"before": tokenizer} | ({} if origins is None else {"after": new})
    copied = len(tokenizer) if origins is None else origins.copied
    notes: dict[str, Any] = {
        "mode": arguments.vocabulary,
        "tokens": {step: len(kind) for step, kind in steps.items()},
        "copied_rows": copied,
        "new_rows": None if origins is None else arguments.new_rows,
        "fit": {step: {} for step in steps},
    }
    lines, warnings = [f"vocabulary: {arguments.vocabulary}"], []
    for step, kind in steps.items():
        lines.append(f"  {step}, {len(kind):,} tokens" + (f", {copied:,} rows copied" if step == "after" else ""))
        for side, texts in sides.items():
            fit = text_fit(kind, texts[:FIT_TEXTS])
            notes["fit"][step][side] = asdict(fit)
            lines.append(f"    {names[side]}: {describe_fit(fit)}")
            if arguments.vocabulary == "keep" and step == list(steps)[-1] and fits_badly(fit):
                warnings.append(
                    f"warning: the vocabulary does not fit {names[side]}: {describe_fit(fit)}; --vocabulary extend or "
                    "replace"
                )
    return new, origins, notes, [*lines, *warnings]


__all__ = ["adapt_tokenizer"]
