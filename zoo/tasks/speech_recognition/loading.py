"""The splits of a run: read, set aside, limited, and normalised."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from zoo.data.audio import NAMED_SPEECH, SpeechSplit, load_named_speech, read_hub_speech, read_speech, set_aside
from zoo.data.sources import refuse_folder
from zoo.data.transcripts import normalize_text

from ..text.generation import spread
from .arguments import SpeechRecognitionArguments
from .dataset import column_of

LIMITS = {"train": "max_train_samples", "validation": "max_eval_samples", "test": "max_predict_samples"}


def read(arguments: SpeechRecognitionArguments) -> tuple[dict[str, SpeechSplit], str, dict[str, Any]]:
    """(splits that exist, where they come from, notes for the record).

    Raises:
        FileNotFoundError: The data is nowhere.
        ValueError: It is damaged, or the arguments contradict each other.
    """
    name, columns = arguments.dataset_name, arguments.columns
    given = {split: folder for split in LIMITS if (folder := getattr(arguments, f"{split}_dir")) is not None}
    if "train" in given or (given and name is None):
        refuse_folder(arguments.data_dir, f"train_dir={arguments.train_dir}")
        splits = {split: read_speech(folder, **columns) for split, folder in given.items()}
        return splits, ", ".join(given.values()), {}
    if given:
        raise ValueError(f"--{next(iter(given))}_dir needs --train_dir: dataset_name={name} is read")
    if name is None:
        raise ValueError("no data: give --train_dir my_audio, or --dataset_name")
    if known := NAMED_SPEECH.get(name):
        splits = load_named_speech(name, arguments.data_dir)
        source = arguments.data_dir or f"ZOO_DATA/{known.folder}"
        return splits, source, {"licence": known.licence, "homepage": known.homepage}
    refuse_folder(arguments.data_dir, f"dataset_name={name}")
    return read_hub_speech(name, arguments.dataset_config_name, **columns), f"{name} on the Hugging Face Hub", {}


def complete(splits: dict[str, SpeechSplit], arguments: SpeechRecognitionArguments) -> dict[str, SpeechSplit]:
    """The splits of a run: missing ones are set aside from the training split, long ones cut to their limits, extra
    speech added for training, all texts normalised."""
    splits = {name: split for name, split in splits.items() if name in LIMITS}
    for name, share in (("test", arguments.test_size), ("validation", arguments.validation_size)):
        if "train" in splits and name not in splits and share:
            splits["train"], splits[name] = set_aside(splits["train"], share, arguments.split_seed)
    for name, split in splits.items():
        limit = getattr(arguments, LIMITS[name])
        if limit is not None and limit < len(split):
            splits[name] = split.take(spread(len(split), limit))  # files are often sorted by speaker
    if arguments.extra_train_dir is not None and "train" in splits:
        splits["train"] = splits["train"].add(read_speech(arguments.extra_train_dir, **arguments.columns))
    how = arguments.text_normalization
    return {
        name: replace(split, texts=[normalize_text(text, how) for text in split.texts])
        for name, split in splits.items()
    }


def describe_groups(groups: Iterable[str], splits: Iterable[SpeechSplit]) -> list[str]:
    """A warning if the data lacks some of `group_columns`."""
    known = {column for split in splits for column in split.columns}
    missing = [group for group in groups if column_of(group)[0] not in known]
    found = ", ".join(sorted(known)) or "no further columns"
    return [f"no error rates by {', '.join(missing)} (group_columns): the data has {found}"] if missing else []


__all__ = ["complete", "describe_groups", "read"]
