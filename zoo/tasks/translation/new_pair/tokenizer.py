"""The tokenizer of a run that starts from trained weights: theirs, kept or changed."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from zoo.data.tokenizer import text_fit

from ..arguments import TranslationArguments
from .vocabulary import RowOrigins, change_vocabulary, describe_fit, fits_badly

if TYPE_CHECKING:
    from zoo.data.parallel_text import ParallelText

# Texts of each side that show how well a vocabulary fits.
FIT_TEXTS = 10_000


def adapt_tokenizer(
    arguments: TranslationArguments,
    tokenizer: Any,
    train: "ParallelText",
    languages: Sequence[str] = (),
    known: "Sequence[ParallelText]" = (),
) -> tuple[Any, RowOrigins | None, dict[str, Any], list[str]]:
    """Keep, extend or replace the vocabulary of a tokenizer.

    Args:
        arguments: The data section.
        tokenizer: The tokenizer of the weights.
        train: The pairs of the new data.
        languages: Languages that need a tag.
        known: Pairs that an extended vocabulary tokenizes as before.

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
    fits = {
        step: {side: text_fit(kind, texts[:FIT_TEXTS]) for side, texts in sides.items()}
        for step, kind in steps.items()
    }
    notes = {
        "mode": arguments.vocabulary,
        "pieces": {step: len(kind) for step, kind in steps.items()},
        "copied_rows": len(tokenizer) if origins is None else origins.copied,
        "new_rows": None if origins is None else arguments.new_rows,
        "fit": {step: {side: asdict(fit) for side, fit in fit_of.items()} for step, fit_of in fits.items()},
    }
    lines = [f"vocabulary: {arguments.vocabulary}"]
    for step, fit_of in fits.items():
        copied = f", {notes['copied_rows']:,} rows copied" if step == "after" else ""
        lines += [f"  {step}, {len(steps[step]):,} tokens{copied}"]
        lines += [f"    {names[side]}: {describe_fit(fit)}" for side, fit in fit_of.items()]
    last = fits[list(steps)[-1]]
    lines += [
        f"warning: the vocabulary does not fit {names[side]}: {describe_fit(fit)}; --vocabulary extend or replace"
        for side, fit in last.items()
        if arguments.vocabulary == "keep" and fits_badly(fit)
    ]
    return new, origins, notes, lines


__all__ = ["adapt_tokenizer"]
