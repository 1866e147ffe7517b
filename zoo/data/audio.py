"""Transcribed speech from Parquet files, tables, folders and the Hub: which sound has which text, said by whom."""

import csv
import hashlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .sources import find_files, not_found

PATH_COLUMNS = ("file_name", "path", "audio", "file")
TEXT_COLUMNS = ("text", "sentence", "transcription", "transcript")
SPEAKER_COLUMNS = ("speaker_id", "speaker", "client_id")
METADATA = ("metadata.csv", "metadata.tsv", "metadata.jsonl")
# A peak below this, where full scale is 1, is silence: a quarter of a step of 8-bit sound.
SILENCE = 1 / 512


@dataclass(frozen=True)
class NamedSpeech:
    """A corpus that the library knows by name.

    Args:
        folder: Under `$ZOO_DATA`, with train, validation and test.parquet.
        licence: Its licence.
        homepage: Where it comes from.
    """

    folder: str
    licence: str
    homepage: str


NAMED_SPEECH = {
    "fsdd": NamedSpeech("speech/fsdd", "CC BY-SA 4.0", "https://github.com/Jakobovski/free-spoken-digit-dataset"),
    "arabic-speech-commands": NamedSpeech(
        "speech/arabic_speech_commands",
        "CC BY 4.0",
        "https://github.com/abdulkaderghandoura/arabic-speech-commands-dataset",
    ),
    "speechocean762": NamedSpeech(
        "speech/speechocean762", "Apache-2.0 (authors' Hub card)", "https://github.com/jimbozhang/speechocean762"
    ),
}


@dataclass
class SpeechSplit:
    """Utterances of one split.

    Args:
        sounds: An audio file each: its path, or its content.
        texts: What is said; "" where it is missing.
        places: Where each was read, such as `metadata.csv:17`, for messages.
        speakers: Who speaks, if it is known.
        columns: Further columns by name, such as the age of the speaker.
        extra: Utterances at the end that were added.
    """

    sounds: list[Path | bytes]
    texts: list[str]
    places: list[str]
    speakers: list[str] | None = None
    columns: dict[str, list[Any]] = field(default_factory=dict)
    extra: int = 0

    def __len__(self) -> int:
        return len(self.texts)

    def name(self, row: int) -> str:
        """Where an utterance was read and its file, for messages: `metadata.csv:17 (a/1.flac)`."""
        sound = self.sounds[row]
        return f"{self.places[row]} ({sound.name})" if isinstance(sound, Path) else self.places[row]

    def take(self, rows: Sequence[int] | np.ndarray) -> "SpeechSplit":
        """Some rows, in this order."""
        return SpeechSplit(
            [self.sounds[row] for row in rows],
            [self.texts[row] for row in rows],
            [self.places[row] for row in rows],
            None if self.speakers is None else [self.speakers[row] for row in rows],
            {name: [values[row] for row in rows] for name, values in self.columns.items()},
        )

    def add(self, other: "SpeechSplit") -> "SpeechSplit":
        """The utterances of another split behind these; only these have further columns."""
        speakers = None
        if self.speakers is not None:
            speakers = self.speakers + (other.speakers or [""] * len(other))
        return SpeechSplit(
            [*self.sounds, *other.sounds],
            self.texts + other.texts,
            self.places + other.places,
            speakers,
            {name: [*values, *[None] * len(other)] for name, values in self.columns.items()},
            len(other),
        )

    def fingerprint(self) -> str:
        """sha256 of sounds, texts and speakers."""
        digest = hashlib.sha256()
        for row, (sound, text) in enumerate(zip(self.sounds, self.texts)):
            content = sound if isinstance(sound, bytes) else sound.read_bytes() if sound.is_file() else b""
            speaker = "" if self.speakers is None else self.speakers[row]
            digest.update(hashlib.sha256(content).digest() + json.dumps([text, speaker]).encode())
        return digest.hexdigest()


def decode(sound: Path | bytes, max_seconds: float | None = None) -> tuple[np.ndarray, int]:
    """The samples of an audio file (WAV, FLAC, Ogg, Opus, MP3, ...) and their rate.

    Args:
        sound: Path or content.
        max_seconds: Longest sound; a longer one is not decoded.

    Returns:
        `(samples,)` float32, the mean of all channels, and samples a second.

    Raises:
        ValueError: The file is missing, not an audio file, empty, truncated, longer than `max_seconds`, silent, or
            has samples that are not finite.
    """
    import soundfile

    if isinstance(sound, Path) and not sound.is_file():
        raise ValueError("the file does not exist")
    if not (len(sound) if isinstance(sound, bytes) else sound.stat().st_size):
        raise ValueError("the file is empty")
    try:
        with soundfile.SoundFile(io.BytesIO(sound) if isinstance(sound, bytes) else sound) as file:
            rate, expected = file.samplerate, file.frames
            if max_seconds is not None and expected > max_seconds * rate:
                raise ValueError(f"{expected / rate:,.1f} seconds are more than max_seconds={max_seconds:g}")
            samples = file.read(dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError) as error:
        reason = str(error).split(": ", 1)[-1].strip(" .")
        raise ValueError(f"it is damaged, or not WAV, FLAC, Ogg, Opus or MP3 ({reason})") from None
    if len(samples) < expected:
        raise ValueError(f"it is truncated: {len(samples):,} of {expected:,} samples are there")
    mono = samples.mean(axis=1)
    if not len(mono):
        raise ValueError("there are no samples")
    if not np.isfinite(mono).all():
        raise ValueError("it has samples that are NaN or infinite")
    if np.abs(mono).max() < SILENCE:
        raise ValueError("it is silent")
    return mono, rate


def read_rows(path: Path) -> list[tuple[dict[str, Any], str]]:
    """The rows of a Parquet, CSV, TSV or JSONL file, each with its place.

    Raises:
        ValueError: The file has another ending, or a row is damaged.
    """
    kind = path.suffix.lower()
    if kind == ".parquet":
        import pyarrow.parquet

        table = pyarrow.parquet.read_table(path)
        return [(row, f"{path.name}:{number}") for number, row in enumerate(table.to_pylist(), 1)]
    if kind not in (".csv", ".tsv", ".jsonl"):
        raise ValueError(f"{path}: expected a .parquet, .csv, .tsv or .jsonl file, or a folder with metadata.csv")
    found: list[tuple[dict[str, Any], str]] = []
    with open(path, encoding="utf-8-sig", newline="") as file:
        if kind == ".jsonl":
            for number, line in enumerate(file, 1):
                try:
                    row = json.loads(line) if line.strip() else None
                except json.JSONDecodeError as error:
                    raise ValueError(f"{path}:{number}: not JSON ({error.msg})") from None
                if row is not None:
                    found.append((row, f"{path.name}:{number}"))
            return found
        reader = csv.DictReader(file, delimiter="\t" if kind == ".tsv" else ",", strict=True)
        try:
            for row in reader:
                if None in row or None in row.values():
                    count = len(reader.fieldnames or ())
                    raise ValueError(f"{path}:{reader.line_num}: expected {count} columns, found another number")
                found.append((row, f"{path.name}:{reader.line_num}"))
        except csv.Error as error:
            raise ValueError(f"{path}:{reader.line_num}: {error}") from None
    return found


def pick(columns: Sequence[str], wanted: str | None, known: Sequence[str], what: str, where: Any) -> str:
    """The column that is asked for, or the first known one.

    Raises:
        ValueError: There is none.
    """
    for name in known if wanted is None else (wanted,):
        if name in columns:
            return name
    expected = " or ".join(known) if wanted is None else wanted
    raise ValueError(f"{where}: no column {expected} for the {what}; found {', '.join(columns)}")


def to_split(
    rows: Sequence[tuple[Mapping[str, Any], str]],
    folder: Path,
    where: Any,
    audio_column: str | None = None,
    text_column: str | None = None,
    speaker_column: str | None = None,
) -> SpeechSplit:
    """Utterances of rows with columns for sound, text and perhaps speaker.

    Args:
        rows: Each with its place.
        folder: Of relative paths.
        where: File or data set, for messages.
        audio_column, text_column, speaker_column: Names; by default those that are usual.

    Raises:
        ValueError: There are no rows, or a column is missing.
    """
    if not rows:
        raise ValueError(f"{where}: no rows")
    columns = list(rows[0][0])
    audio = pick(columns, audio_column, PATH_COLUMNS, "sound", where)
    text = pick(columns, text_column, TEXT_COLUMNS, "text", where)
    speaker = None
    if speaker_column is not None or set(SPEAKER_COLUMNS) & set(columns):
        speaker = pick(columns, speaker_column, SPEAKER_COLUMNS, "speaker", where)
    sounds: list[Path | bytes] = []
    for row, place in rows:
        value = row.get(audio)
        if isinstance(value, Mapping):
            content, value = value.get("bytes"), value.get("path")
            if content is not None:
                sounds.append(bytes(content))
                continue
        if not isinstance(value, (str, os.PathLike)) or not str(value):
            raise ValueError(f"{place}: column {audio} has neither a path nor an audio file")
        sounds.append(folder / value)
    return SpeechSplit(
        sounds,
        [str(row.get(text) or "").strip() for row, _ in rows],
        [place for _, place in rows],
        None if speaker is None else [str(row.get(speaker)) for row, _ in rows],
        {name: [row.get(name) for row, _ in rows] for name in columns if name not in (audio, text, speaker)},
    )


def read_speech(path: str | os.PathLike, **columns: str | None) -> SpeechSplit:
    """Utterances of a table (Parquet, CSV, TSV, JSONL), or of a folder of audio files with metadata.csv, .tsv, .jsonl.

    Args:
        path: File or folder; paths in a table are relative to its folder.
        columns: `audio_column`, `text_column`, `speaker_column`; see `to_split`.

    Raises:
        FileNotFoundError: It does not exist, or the folder has no metadata.
        ValueError: It is damaged; the message names file and row.
    """
    path = Path(path)
    if path.is_dir():
        table = next((path / name for name in METADATA if (path / name).is_file()), None)
        if table is None:
            raise FileNotFoundError(f"{path} has no {' or '.join(METADATA)} with the columns file_name and text")
        path = table
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    return to_split(read_rows(path), path.parent, path, **columns)


def load_named_speech(name: str, data_dir: str | os.PathLike | None = None) -> dict[str, SpeechSplit]:
    """The splits of a corpus of `NAMED_SPEECH`: from `data_dir`, or from `$ZOO_DATA`.

    Raises:
        FileNotFoundError: It is nowhere.
    """
    named = NAMED_SPEECH[name]
    files = {split: f"{split}.parquet" for split in ("train", "validation", "test")}
    folder = find_files(named.folder, list(files.values()), data_dir)
    if folder is None:
        advice = f"its homepage is {named.homepage}"
        raise not_found(named.folder, None, None, None, "", advice)
    return {split: read_speech(folder / file) for split, file in files.items()}


def read_hub_speech(name: str, config_name: str | None = None, **columns: str | None) -> dict[str, SpeechSplit]:
    """The splits of a Hub data set with a column of audio. Files are not decoded by `datasets`, so that torchcodec is
    not needed.

    Raises:
        ConnectionError, FileNotFoundError: The Hub does not answer or does not have it.
        ValueError: A column is missing.
    """
    from datasets import Audio, load_dataset

    splits: dict[str, SpeechSplit] = {}
    for split, dataset in load_dataset(name, config_name).items():
        audio = columns.get("audio_column") or next(
            (column for column, feature in dataset.features.items() if isinstance(feature, Audio)), None
        )
        if audio is not None:
            dataset = dataset.cast_column(audio, Audio(decode=False))
        rows = [(row, f"{name}, {split}:{number}") for number, row in enumerate(dataset, 1)]
        names = {"valid": "validation", "dev": "validation", "eval": "validation"}
        splits[names.get(split, split)] = to_split(rows, Path(), name, **{**columns, "audio_column": audio})
    return splits


def set_aside(split: SpeechSplit, share: float, seed: int) -> tuple[SpeechSplit, SpeechSplit]:
    """(the rest, about this share of the rows): all utterances of some speakers, or any where no speakers are known.

    A hash chooses, so a choice does not depend on the order of the rows.

    Raises:
        ValueError: Nothing would be left on one side.
    """
    names = split.speakers
    if names is None or len(set(names)) < 2:
        names = [f"{text}\0{place}" for text, place in zip(split.texts, split.places)]
    order = sorted(set(names), key=lambda name: hashlib.sha256(f"{seed}\0{name}".encode()).digest())
    counts = {name: names.count(name) for name in order} if len(order) < len(names) else dict.fromkeys(order, 1)
    chosen: set[str] = set()
    taken = 0
    for name in order:
        # A speaker of many utterances may overshoot: stop where the share is nearest.
        if chosen and abs(taken + counts[name] - share * len(names)) >= abs(taken - share * len(names)):
            break
        chosen.add(name)
        taken += counts[name]
    rows = np.array([name in chosen for name in names])
    if rows.all() or not rows.any():
        raise ValueError(f"{len(split)} utterances of {len(order)} speakers are too few to set some aside")
    return split.take(np.flatnonzero(~rows)), split.take(np.flatnonzero(rows))


__all__ = [
    "NAMED_SPEECH",
    "NamedSpeech",
    "SpeechSplit",
    "decode",
    "load_named_speech",
    "read_hub_speech",
    "read_speech",
    "set_aside",
]
