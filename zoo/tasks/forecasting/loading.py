"""From the `data` section of a recipe to series and the rows of each split."""

from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from transformers import PreTrainedConfig

from zoo.data.named_series import NAMED_SERIES, load_named_series
from zoo.data.series import SeriesScaler, SeriesSet, chronological_split
from zoo.data.series_files import read_series
from zoo.data.series_time import season_length
from zoo.data.sources import refuse_folder

from .arguments import ForecastingArguments
from .processor import SeriesProcessor

# (first, last) row of a split in each series; None for all rows.
Rows: TypeAlias = tuple[np.ndarray, np.ndarray] | None
Splits: TypeAlias = dict[str, tuple[SeriesSet, Rows]]

# The shares of own series that are held out by default.
VALIDATION_SIZE, TEST_SIZE = 0.1, 0.2
# How to read own data; data sets that the library knows by name need none of it.
COLUMNS = ("timestamp_column", "timestamp_format", "item_id_column", "known_columns", "static_columns", "frequency")
SIZES = ("validation_size", "test_size")


def read(arguments: ForecastingArguments, config: PreTrainedConfig) -> tuple[Splits, dict[str, Any]]:
    """The series that the arguments name.

    Returns:
        The splits, the first of which is the training split if there is one, and notes for the record.

    Raises:
        FileNotFoundError: No source has the data.
        ValueError: The arguments contradict each other, or the data is damaged or too short.
    """
    own = {
        split: file
        for split, file in (
            ("train", arguments.train_file),
            ("validation", arguments.validation_file),
            ("test", arguments.test_file),
        )
        if file
    }
    # An own file takes precedence over the data set that a recipe names.
    named = None if arguments.train_file else NAMED_SERIES.get(arguments.dataset_name or "")
    notes: dict[str, Any] = {}
    if arguments.train_file is not None:
        refuse_folder(arguments.data_dir, "a file of your own")
        splits = _read_own(arguments, own)
    elif own and ([*own] != ["test"] or arguments.dataset_name is not None):
        raise ValueError("--validation_file and --test_file need --train_file")
    elif own:  # to evaluate a trained model
        splits = {"test": (_read(arguments, own["test"]), None)}
    elif named is not None:
        if named.prediction_length and named.prediction_length != config.prediction_length:
            raise ValueError(
                f"{arguments.dataset_name} is forecast {named.prediction_length} steps ahead: "
                f"set prediction_length={named.prediction_length}"
            )
        foreign = [name for name in (*COLUMNS, *SIZES) if getattr(arguments, name) not in (None, [])]
        if foreign:
            what = "split" if foreign[0] in SIZES else "columns"
            raise ValueError(f"{arguments.dataset_name} has its own {what}: leave out {foreign[0]}")
        series = load_named_series(arguments.dataset_name or "", arguments.data_dir)
        series = series.select(arguments.target_columns) if arguments.target_columns else series
        bounds = named.bounds(series)
        splits = {split: (series, bounds.rows(split)) for split in ("train", "validation", "test")}
        notes = {"known_release": series.is_release, "licence": named.licence, "homepage": named.homepage}
    elif arguments.dataset_name is not None:
        refuse_folder(arguments.data_dir, arguments.dataset_name)
        import datasets

        table = datasets.load_dataset(arguments.dataset_name, arguments.dataset_config_name, split="train")
        series = replace(_read(arguments, table), source=arguments.dataset_name)
        splits = _held_out(series, *_sizes(arguments))
    else:
        raise ValueError("name the data: --train_file mine.csv, or --dataset_name etth1, m4-hourly or one of the Hub")
    series, _ = next(iter(splits.values()))
    season = arguments.season or (named.season if named else season_length(series.frequency))
    return splits, {**notes, "season": season, "frequency": series.frequency, "series": len(series)}


def _read_own(arguments: ForecastingArguments, files: dict[str, str]) -> Splits:
    """Series from own files; what has no file of its own is split off the training file."""
    sizes, others = _sizes(arguments), [split for split in files if split != "train"]
    given = {name: getattr(arguments, name) for name in SIZES if getattr(arguments, name)}
    if others:
        unused = [name for name in given if name == "test_size" or "validation" in others]
        if unused:
            raise ValueError(
                f"{unused[0]}={given[unused[0]]:g} would split nothing off train_file, beside a "
                f"{' and a '.join(f'{split}_file' for split in others)}: leave it out"
            )
        # Without a test file there is no test split.
        sizes = (0 if "validation" in others else sizes[0], 0)
    elif len({size < 1 for size in sizes if size}) > 1:
        rows = next(name for name, size in given.items() if size >= 1)
        raise ValueError(f"{rows}={given[rows]:g} is a number of rows: give the other of the two sizes in rows too")
    splits = _held_out(_read(arguments, files["train"]), *sizes)
    splits |= {split: (_read(arguments, files[split]), None) for split in others}
    return {split: splits[split] for split in ("train", "validation", "test") if split in splits}


def _sizes(arguments: ForecastingArguments) -> tuple[float, float]:
    """Validation and test size: a share below 1, else a whole number of rows."""
    given = (arguments.validation_size, arguments.test_size)
    sizes = [default if size is None else size for size, default in zip(given, (VALIDATION_SIZE, TEST_SIZE))]
    validation, test = (int(size) if size >= 1 or size == 0 else size for size in sizes)
    return validation, test


def _held_out(series: SeriesSet, validation: float, test: float) -> Splits:
    """Validation and test rows at the end of each series, if they have a size; the rest is for training."""
    bounds = chronological_split(series, None, validation, test)
    sizes = {"train": 1, "validation": validation, "test": test}
    return {split: (series, bounds.rows(split)) for split, size in sizes.items() if size}


def _read(arguments: ForecastingArguments, source: Any) -> SeriesSet:
    return read_series(
        source,
        timestamp_column=arguments.timestamp_column,
        target_columns=arguments.target_columns,
        item_column=arguments.item_id_column,
        known_columns=arguments.known_columns,
        static_columns=arguments.static_columns,
        frequency=arguments.frequency,
        timestamp_format=arguments.timestamp_format,
    )


def fit_processor(
    arguments: ForecastingArguments, series: SeriesSet, train_ends: np.ndarray, season: int
) -> SeriesProcessor:
    """The statistics of the training rows.

    Args:
        arguments: Which z-scores, covariates and embeddings the model reads.
        series: In the units of the data.
        train_ends (`np.ndarray` of shape `(series,)`): Number of training rows of each series.
        season: Steps of a season.
    """
    per_series = arguments.standardize_per_series
    targets = "series" if per_series else "channel" if arguments.standardize else "none"
    statistics: dict[str, Any] = SeriesScaler.fit(series, train_ends, targets).to_dict()
    return SeriesProcessor(
        channels=series.channels,
        **statistics,
        known_columns=series.known_names,
        static_columns=arguments.static_columns,
        static_levels=series.static_levels,
        time_features=arguments.time_features,
        frequency=series.frequency,
        season=season,
        timestamp_format=arguments.timestamp_format,
        per_series=per_series,
        item_ids=series.item_ids if per_series or arguments.item_embedding else (),
        item_embedding=arguments.item_embedding,
    )


__all__ = ["Rows", "Splits", "fit_processor", "read"]
