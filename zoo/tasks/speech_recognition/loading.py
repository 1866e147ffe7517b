"""The splits of a run: read, normalised, checked, with features."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from zoo.data.audio import NAMED_SPEECH, SpeechSplit, load_named_speech, read_hub_speech, read_speech, set_aside
from zoo.data.audio_features import Features, load_features
from zoo.data.sources import refuse_folder

from .arguments import SpeechRecognitionArguments
from .texts import normalize_text

# Problems of a split that are shown one by one.
SHOWN = 5


def columns_of(arguments: SpeechRecognitionArguments) -> dict[str, str | None]:
    """The columns that the arguments name."""
    return {name: getattr(arguments, name) for name in ("audio_column", "text_column", "speaker_column")}


def read(arguments: SpeechRecognitionArguments) -> tuple[dict[str, SpeechSplit], str, dict[str, Any]]:
    """(splits that exist, where they come from, notes for the record).

    Raises:
        FileNotFoundError: The data is nowhere.
        ValueError: It is damaged, or the arguments contradict each other.
    """
    columns = columns_of(arguments)
    folders = {
        "train": arguments.train_dir,
        "validation": arguments.validation_dir,
        "test": arguments.test_dir,
    }
    given = {name: folder for name, folder in folders.items() if folder is not None}
    if arguments.train_dir is not None or (given and arguments.dataset_name is None):
        refuse_folder(arguments.data_dir, f"train_dir={arguments.train_dir}")
        splits = {name: read_speech(folder, **columns) for name, folder in given.items()}
        return splits, ", ".join(given.values()), {}
    if given:
        raise ValueError(f"--{next(iter(given))}_dir needs --train_dir: dataset_name={arguments.dataset_name} is read")
    if arguments.dataset_name is None:
        raise ValueError("no data: give --train_dir my_audio, or --dataset_name")
    if arguments.dataset_name in NAMED_SPEECH:
        named = NAMED_SPEECH[arguments.dataset_name]
        splits = load_named_speech(arguments.dataset_name, arguments.data_dir)
        source = arguments.data_dir or f"ZOO_DATA/{named.folder}"
        return splits, source, {"licence": named.licence, "homepage": named.homepage}
    refuse_folder(arguments.data_dir, f"dataset_name={arguments.dataset_name}")
    splits = read_hub_speech(arguments.dataset_name, arguments.dataset_config_name, **columns)
    return splits, f"{arguments.dataset_name} on the Hugging Face Hub", {}


def complete(splits: dict[str, SpeechSplit], arguments: SpeechRecognitionArguments) -> dict[str, SpeechSplit]:
    """Validation and test are set aside from the training split where they are missing."""
    sizes = {"test": arguments.test_size, "validation": arguments.validation_size}
    for name, share in sizes.items():
        if "train" in splits and name not in splits and share:
            splits["train"], splits[name] = set_aside(splits["train"], share, arguments.split_seed)
    limits = {
        "train": arguments.max_train_samples,
        "validation": arguments.max_eval_samples,
        "test": arguments.max_predict_samples,
    }
    for name, limit in limits.items():
        if name in splits and limit is not None and limit < len(splits[name]):
            # Evenly spaced: files are often sorted by speaker.
            splits[name] = splits[name].take(np.linspace(0, len(splits[name]) - 1, limit).astype(np.int64))
    if arguments.extra_train_dir is not None and "train" in splits:
        splits["train"] = splits["train"].add(read_speech(arguments.extra_train_dir, **columns_of(arguments)))
    how = arguments.text_normalization
    return {
        name: replace(split, texts=[normalize_text(text, how) for text in split.texts])
        for name, split in splits.items()
        if name in limits
    }


def find_problems(
    split: SpeechSplit, features: Features, tokenizer: Any, max_tokens: int, frames_per_position: int
) -> list[str]:
    """Why each utterance cannot be used, "" if it can: a text, for example, that has more tokens than the encoder has
    positions."""
    problems = list(features.problems)
    tokens = tokenizer(split.texts, return_attention_mask=False, verbose=False)["input_ids"] if len(split) else []
    for row, (text, ids) in enumerate(zip(split.texts, tokens)):
        if problems[row]:
            continue
        own = [token for token in ids if token != tokenizer.eos_token_id]
        if not text:
            problems[row] = "its text is missing"
        elif all(token == tokenizer.unk_token_id for token in own):
            problems[row] = f"its text has no character of the vocabulary: {text[:40]}"
        elif len(ids) > max_tokens:
            problems[row] = f"its text has {len(ids)} tokens, more than {max_tokens}"
        elif len(own) > -(-int(features.lengths[row]) // frames_per_position):
            seconds = features.lengths[row] / 100
            problems[row] = f"its text of {len(own)} tokens is too long for {seconds:.2f} seconds of sound"
    return problems


def describe_problems(name: str, split: SpeechSplit, problems: list[str]) -> list[str]:
    """Warnings of what is left out of a split: a line for each of the first ones, and one for all others.

    Raises:
        ValueError: More than half is left out.
    """
    bad = [row for row, problem in enumerate(problems) if problem]
    lines = [f"{split.places[row]}: left out of {name}: {problems[row]}" for row in bad[:SHOWN]]
    if 2 * len(bad) > len(split):
        raise ValueError(f"{len(bad):,} of {len(split):,} utterances cannot be used; {lines[0]}")
    if len(bad) > SHOWN:
        lines.append(f"{len(bad) - SHOWN:,} more of {len(split):,} utterances are left out of {name}")
    return lines


def describe_rates(splits: Mapping[str, Features], sampling_rate: int) -> list[str]:
    """A warning if files have fewer samples a second than the model hears."""
    rates = Counter(rate for features in splits.values() for rate in features.rates if 0 < rate < sampling_rate)
    if not rates:
        return []
    return [
        f"{rates.total():,} files have {min(rates):,} samples a second and lack the high frequencies of the "
        f"{sampling_rate:,} that the model hears (--sampling_rate)"
    ]


__all__ = ["complete", "describe_problems", "describe_rates", "find_problems", "load_features", "read"]
