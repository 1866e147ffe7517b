"""Benchmark data sets of forecasting that a recipe can name: ETTh1 and M4 Hourly."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .series import SeriesSet, SplitBounds, chronological_split
from .series_files import read_series
from .sources import find_files, from_hub, place, present

# The same files as the authors publish, in the form that papers use them.
HUB_ID = "thuml/Time-Series-Library"


def _read_etth1(folder: Path) -> SeriesSet:
    return read_series(folder / "ETTh1.csv", timestamp_column="date")


def _read_m4_hourly(folder: Path) -> SeriesSet:
    """The competition's training rows, followed by its test rows.

    Raises:
        ValueError: The two files do not have the same series, or a test series does not have 48 values.
    """
    train, test = (read_series(present(folder / f"Hourly-{part}.csv"), frequency="h") for part in ("train", "test"))
    if train.item_ids != test.item_ids or (test.lengths != 48).any():
        raise ValueError(f"{folder}: Hourly-test does not have 48 values of each series in Hourly-train")
    values = np.concatenate([part.item(number) for number in range(len(train)) for part in (train, test)])
    return replace(train, values=values, offsets=train.offsets + test.offsets)


@dataclass(frozen=True)
class NamedSeries:
    """A data set that a recipe names.

    Args:
        folder: Its folder under `$ZOO_DATA`.
        files: Plain file names; each may also end in .gz.
        hub_files: Their paths in the repository `HUB_ID` of the Hub.
        read: Folder -> series.
        release: `SeriesSet.fingerprint()` of the published content.
        split: Arguments of `chronological_split`: the split of the benchmark.
        season: Steps of its season.
        prediction_length: Of the benchmark; 0 if it has several.
        licence: Of the data.
        homepage: Where the authors publish it.
    """

    folder: str
    files: Sequence[str]
    hub_files: Sequence[str]
    read: Callable[[Path], SeriesSet]
    release: str
    split: dict[str, int]
    season: int
    prediction_length: int
    licence: str
    homepage: str

    def bounds(self, series: SeriesSet) -> SplitBounds:
        """The benchmark's split."""
        return chronological_split(series, **self.split)


NAMED_SERIES = {
    "etth1": NamedSeries(
        folder="ett",
        files=["ETTh1.csv"],
        hub_files=["ETT-small/ETTh1.csv"],
        read=_read_etth1,
        release="7149d71f4f8670f483911e17635321a3eae055f35a1f123ac6c9b28901f11261",
        split={"train": 8640, "validation": 2880, "test": 2880},
        season=24,
        prediction_length=0,
        licence="CC BY-ND 4.0",
        homepage="https://github.com/zhouhaoyi/ETDataset",
    ),
    "m4-hourly": NamedSeries(
        folder="m4",
        files=["Hourly-train.csv", "Hourly-test.csv"],
        hub_files=["m4/Hourly-train.csv", "m4/Hourly-test.csv"],
        read=_read_m4_hourly,
        release="712c12e678274a98eff8ce455a335d8114555788c15c5fbf2d28bb2cb0f8a32f",
        split={"validation": 48, "test": 48},
        season=24,
        prediction_length=48,
        licence="published for research by the M4 competition",
        homepage="https://github.com/Mcompetitions/M4-methods",
    ),
}


def load_named_series(name: str, path: str | os.PathLike | None = None) -> SeriesSet:
    """A named data set from the folder `path`, `$ZOO_DATA/<folder>` or the Hub.

    Raises:
        ValueError: The name is unknown, or the files are damaged.
        FileNotFoundError: None of the three has it.
    """
    if name not in NAMED_SERIES:
        raise ValueError(f"unknown data set {name!r}; known: {', '.join(NAMED_SERIES)}, or give a file")
    named = NAMED_SERIES[name]
    folder, source = find_files(named.folder, named.files, path), place(path)
    if folder is None:
        from huggingface_hub import hf_hub_download

        def download() -> Path:
            return Path([hf_hub_download(HUB_ID, file, repo_type="dataset") for file in named.hub_files][0]).parent

        advice = f"{name} is published at {named.homepage}"
        folder, source = from_hub(download, named.folder, HUB_ID, advice), HUB_ID
    series = replace(named.read(folder), source=source)
    return replace(series, is_release=series.fingerprint() == named.release)


__all__ = ["HUB_ID", "NAMED_SERIES", "NamedSeries", "load_named_series"]
