"""The tokenizer of a run: trained on its texts, or that of the weights it starts from, kept or changed."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch

from .arguments import TextArguments

if TYPE_CHECKING:
    from zoo.data.parallel_text import ParallelText
    from zoo.data.vocabulary import RowOrigins

# Texts of each side that say how well a vocabulary fits.
FIT_TEXTS = 10_000


def fit_tokenizer(arguments: TextArguments, config: Any, train: "ParallelText", languages: Sequence[str] = ()) -> Any:
    """A tokenizer of the training texts, of both sides."""
    from zoo.data.tokenizer import train_tokenizer

    tokenizer = train_tokenizer(
        [*train.source, *train.target],
        vocab_size=config.vocab_size,
        model_type=arguments.tokenizer_type,
        byte_fallback=arguments.byte_fallback,
        languages=languages,
        special_tokens=arguments.special_tokens or (),
    )
    tokenizer.model_max_length = arguments.max_source_length  # a pipeline divides what is longer
    return tokenizer


def check_tokenizer(config: Any, tokenizer: Any) -> None:
    """Weights and tokenizer that were not made for each other learn nothing and say nothing of it.

    Raises:
        ValueError: They differ in size or in a special token; the message names both.
    """
    if len(tokenizer) != config.vocab_size:
        raise ValueError(
            f"the model has vocab_size={config.vocab_size}, its tokenizer {len(tokenizer)} pieces: they do not belong "
            "together; take both from one folder"
        )
    for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
        ours, theirs = getattr(config, name, None), getattr(tokenizer, name)
        if ours is not None and ours != theirs:
            raise ValueError(
                f"the model has {name}={ours}, its tokenizer {name}={theirs}: they do not belong together; take both "
                "from one folder"
            )


def adapt_tokenizer(
    arguments: TextArguments,
    tokenizer: Any,
    train: "ParallelText",
    languages: Sequence[str] = (),
    known: Sequence["ParallelText"] = (),
) -> tuple[Any, "RowOrigins | None", dict[str, Any], list[str]]:
    """(tokenizer, origins of its rows, notes for the record, remarks for a person) of a run that goes on from weights.

    Args:
        arguments: The data section.
        tokenizer: Of the weights.
        train: The pairs of the new data.
        languages: That need a tag.
        known: Pairs that an extended vocabulary cuts as before.

    Raises:
        ValueError: The tokenizer is of another kind, or the size makes no sense.
    """
    from zoo.data.tokenizer import text_fit
    from zoo.data.vocabulary import change_vocabulary, describe_fit, fits_badly

    sides = {"source": train.source, "target": train.target}
    names = {side: getattr(arguments, f"{side}_lang", None) or f"{side}s" for side in sides}
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
        "new_rows": None if origins is None else origins.method,
        "fit": {step: {side: asdict(fit) for side, fit in found.items()} for step, found in fits.items()},
    }
    remarks = [f"vocabulary: {arguments.vocabulary}"]
    for step, found in fits.items():
        copied = f", {notes['copied_rows']:,} rows copied" if step == "after" else ""
        remarks += [f"  {step}, {len(steps[step]):,} pieces{copied}"]
        remarks += [f"    {names[side]}: {describe_fit(fit)}" for side, fit in found.items()]
    last = fits[list(steps)[-1]]
    remarks += [
        f"warning: the vocabulary does not fit {names[side]}: {describe_fit(fit)}; --vocabulary extend or replace"
        for side, fit in last.items()
        if arguments.vocabulary == "keep" and fits_badly(fit)
    ]
    return new, origins, notes, remarks


def build_sampler(arguments: TextArguments, tokenizer: Any) -> Any:
    """What cuts a training text in another way each epoch, or None. It follows from the run's seed."""
    if not arguments.tokenizer_sampling:
        return None
    from zoo.data.tokenizer_sampling import SubwordSampler

    return SubwordSampler(tokenizer, arguments.tokenizer_sampling, torch.initial_seed())


__all__ = ["adapt_tokenizer", "build_sampler", "check_tokenizer", "fit_tokenizer"]
