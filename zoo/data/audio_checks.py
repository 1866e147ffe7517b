"""Which utterances cannot be used, and what a person reads about them."""

from collections import Counter
from collections.abc import Iterable

from transformers import PreTrainedTokenizerFast

from .audio import SpeechSplit
from .audio_features import Features

# Problems of a split that are shown one by one.
SHOWN = 10


def find_problems(
    split: SpeechSplit,
    features: Features,
    tokenizer: PreTrainedTokenizerFast,
    max_tokens: int,
    frames_per_position: int,
) -> list[str]:
    """Why each utterance cannot be used, "" if it can: a text, for example, that has more tokens than the encoder has
    positions."""
    problems = list(features.problems)
    tokens = tokenizer(split.texts, return_attention_mask=False, verbose=False)["input_ids"] if len(split) else []
    for row, (text, ids) in enumerate(zip(split.texts, tokens)):
        if problems[row]:
            continue
        own = [token for token in ids if token != tokenizer.eos_token_id]
        said = [token for token in own if token != tokenizer.unk_token_id]
        if not text:
            problems[row] = "its text is missing"
        elif not tokenizer.decode(said).strip():
            problems[row] = f"its text has no character of the vocabulary: {text[:40]}"
        elif len(ids) > max_tokens:
            problems[row] = f"its text has {len(ids)} tokens, more than {max_tokens}"
        elif len(own) > -(-int(features.lengths[row]) // frames_per_position):
            seconds = features.lengths[row] / 100
            problems[row] = f"its text of {len(own)} tokens is too long for {seconds:.2f} seconds of sound"
    return problems


def describe_problems(split_name: str, split: SpeechSplit, problems: list[str]) -> list[str]:
    """Warnings of what is left out of a split: a line for each of the first ones, and one for all others.

    Raises:
        ValueError: More than half is left out.
    """
    bad = [row for row, problem in enumerate(problems) if problem]
    lines = [f"{split.name(row)}: left out of {split_name}: {problems[row]}" for row in bad[:SHOWN]]
    if 2 * len(bad) > len(split):
        raise ValueError(
            f"{len(bad):,} of {len(split):,} utterances of {split_name} cannot be used; the first: "
            f"{split.name(bad[0])}: {problems[bad[0]]}"
        )
    if len(bad) > SHOWN:
        lines.append(f"{len(bad) - SHOWN:,} more of {len(split):,} utterances are left out of {split_name}")
    return lines


def describe_characters(name: str, split: SpeechSplit, tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """A warning if texts have characters that the vocabulary lacks."""
    rows = tokenizer(split.texts, return_attention_mask=False, verbose=False)["input_ids"] if len(split) else []
    texts = [text for text, ids in zip(split.texts, rows) if tokenizer.unk_token_id in ids]
    unknown = {character for text in texts for character in set(text)} - {*"".join(tokenizer.get_vocab()), " "}
    if not unknown:
        return []
    shown = " ".join(sorted(unknown)[:SHOWN]) + (" ..." if len(unknown) > SHOWN else "")
    return [
        f"{len(texts):,} of {len(split):,} texts of {name} have characters that the vocabulary lacks, which the model "
        f"cannot write: {shown}"
    ]


def describe_rates(splits: Iterable[Features], sampling_rate: int) -> list[str]:
    """A warning if files have fewer samples a second than the model hears."""
    rates = Counter(rate for features in splits for rate in features.rates if 0 < rate < sampling_rate)
    if not rates:
        return []
    return [
        f"{rates.total():,} files have {min(rates):,} samples a second and lack the high frequencies of the "
        f"{sampling_rate:,} that the model hears (--sampling_rate)"
    ]


__all__ = ["describe_characters", "describe_problems", "describe_rates", "find_problems"]
