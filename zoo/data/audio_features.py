"""Features of many utterances, computed once and kept on disk."""

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from tqdm.auto import tqdm

from .audio import SpeechSplit, decode

# Seconds of sound that are transformed at once.
SECONDS = 60
# Seconds of work without a progress bar.
SILENT = 3


class Extractor(Protocol):
    """What features are made with: a feature extractor of a family."""

    feature_size: int
    sampling_rate: int

    def prepare(self, speech: Any, sampling_rate: int | None = None) -> np.ndarray:
        """Samples at the extractor's rate."""

    def log_mel(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray]:
        """`(frames, feature_size)` of each waveform."""

    def to_json_string(self) -> str:
        """All settings."""


class Features:
    """Log-mel spectrograms in one memory-mapped file, float16.

    Args:
        path: The file.
        lengths: Frames of each utterance.
        bins: Mel bins.
        problems: Why an utterance has no features, "" if it has; in place of its features is nothing.
        rates: Samples a second of the files.
    """

    def __init__(self, path: Path, lengths: Sequence[int], bins: int, problems: Sequence[str], rates: Sequence[int]):
        self.lengths, self.problems, self.rates = np.asarray(lengths, np.int64), list(problems), list(rates)
        self.offsets = np.r_[0, np.cumsum(self.lengths)]
        shape = (int(self.offsets[-1]), bins)
        self.frames = np.memmap(path, np.float16, "r", shape=shape) if shape[0] else np.zeros(shape, np.float16)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, row: int) -> np.ndarray:
        """`(frames, bins)` float16"""
        return self.frames[self.offsets[row] : self.offsets[row + 1]]


def cache_folder() -> Path:
    """Where features are kept: `zoo/features` in the folder of Hugging Face's caches."""
    from huggingface_hub.constants import HF_HOME

    return Path(HF_HOME) / "zoo" / "features"


def load_features(
    split: SpeechSplit, extractor: Extractor, max_seconds: float, folder: str | os.PathLike | None = None
) -> Features:
    """The features of a split, from the cache if they are there.

    Args:
        split: The utterances; one that cannot be used gets a problem and no features.
        extractor: Makes the features; other settings have other files in the cache.
        max_seconds: Longest utterance.
        folder: The cache; `cache_folder()` by default.
    """
    key = f"{split.fingerprint()}\n{extractor.to_json_string()}\n{max_seconds}"
    folder = cache_folder() if folder is None else Path(folder)
    stem = hashlib.sha256(key.encode()).hexdigest()[:32]
    path, index = folder / f"{stem}.f16", folder / f"{stem}.json"
    if not (index.is_file() and path.is_file()):
        folder.mkdir(parents=True, exist_ok=True)
        # Two runs may do the same at once: each writes its own file and renames it.
        handle, name = tempfile.mkstemp(dir=folder, suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                content = write_features(split, extractor, max_seconds, file)
            os.replace(name, path)
            Path(f"{name}.json").write_text(json.dumps(content))
            os.replace(f"{name}.json", index)
        finally:
            Path(name).unlink(missing_ok=True)
    return Features(path, bins=extractor.feature_size, **json.loads(index.read_text()))


def write_features(split: SpeechSplit, extractor: Extractor, max_seconds: float, file: Any) -> dict[str, list]:
    """Write all features to a file and return what `Features` needs beside it."""
    lengths: list[int] = []
    problems: list[str] = []
    rates: list[int] = []
    waiting: list[np.ndarray] = []
    pending: list[int] = []  # rows of what waits

    def flush() -> None:
        for features in extractor.log_mel(waiting) if waiting else ():
            file.write(np.ascontiguousarray(features, np.float16).tobytes())
            lengths[pending.pop(0)] = len(features)
        waiting.clear()

    for row, sound in enumerate(tqdm(split.sounds, "Computing spectrograms", unit=" utterances", delay=SILENT)):
        problem, rate = "", 0
        try:
            samples, rate = decode(sound, max_seconds)
            waiting.append(extractor.prepare(samples, rate))
            pending.append(row)
        except ValueError as error:
            problem = str(error)
        lengths.append(0)
        problems.append(problem)
        rates.append(rate)
        if sum(map(len, waiting)) > SECONDS * extractor.sampling_rate:
            flush()
    flush()
    return {"lengths": lengths, "problems": problems, "rates": rates}


__all__ = ["Extractor", "Features", "cache_folder", "load_features"]
