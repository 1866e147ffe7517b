"""Series to batches: the data section of a recipe, the data set and the collator."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import Dataset

from zoo.data.sources import refuse_folder
from zoo.tasks.base import TaskData

from .processor import SeriesProcessor

if TYPE_CHECKING:
    from zoo.data.series import SeriesScaler, SeriesSet
    from zoo.data.series_windows import WindowDataset

    from .conformal import Outcomes

# The share of own series that is set aside where the recipe says nothing.
VALIDATION_SIZE, TEST_SIZE = 0.1, 0.2
# Training windows that are measured for the fit diagnosis: neighbours overlap, so more would say little more.
TRAINING_WINDOWS = 1000
# Rows that Naive2 looks back: all of M4 Hourly's longest series, and not ten years for each of 1e5 windows.
BASELINE_HISTORY = 1024
# Windows whose contexts are looked at in one go.
SPREAD_BATCH = 512
# What says how to read own data; data sets that the library knows by name need none of it.
NOT_NAMED = ("timestamp_column", "timestamp_format", "item_id_column", "known_columns", "static_columns", "frequency")
SIZES = ("validation_size", "test_size")
FILES = ("train_file", "validation_file", "test_file")


@dataclass
class ForecastingArguments:
    """The `data` section of a forecasting recipe. Lengths of context and horizon are the model's."""

    dataset_name: str | None = field(
        default=None, metadata={"help": "etth1, m4-hourly, or a data set of the Hugging Face Hub."}
    )
    dataset_config_name: str | None = field(default=None, metadata={"help": "Configuration of the Hub data set."})
    data_dir: str | None = field(default=None, metadata={"help": "Folder with the files of etth1 or m4-hourly."})
    train_file: str | None = field(default=None, metadata={"help": "Own series: CSV or Parquet, long or wide."})
    validation_file: str | None = field(default=None, metadata={"help": "Own validation series; default: cut off."})
    test_file: str | None = field(
        default=None, metadata={"help": "Own test series; default: cut off, unless validation has a file."}
    )
    timestamp_column: str | None = field(default=None, metadata={"help": "Column of the time stamps."})
    timestamp_format: str | None = field(default=None, metadata={"help": "strptime format, if not ISO 8601."})
    item_id_column: str | None = field(default=None, metadata={"help": "Column that says which series a row is of."})
    target_columns: list[str] | None = field(default=None, metadata={"help": "Columns to forecast."})
    known_columns: list[str] = field(
        default_factory=list, metadata={"help": "Columns of numbers that are known for the future too."}
    )
    static_columns: list[str] = field(
        default_factory=list, metadata={"help": "Columns that are the same in all rows of a series."}
    )
    frequency: str | None = field(default=None, metadata={"help": "pandas alias, e.g. h, D, MS; default: inferred."})
    season: int | None = field(
        default=None, metadata={"help": "Steps of a season, for MASE and the baselines; default: by frequency."}
    )
    validation_size: float | None = field(
        default=None, metadata={"help": "Rows of each series, or their share; default: 0.1, or the benchmark's."}
    )
    test_size: float | None = field(
        default=None, metadata={"help": "Last rows of each series, or their share; default: 0.2, or the benchmark's."}
    )
    standardize: bool = field(
        default=False, metadata={"help": "z-scores of each channel by training rows, as long-term benchmarks do."}
    )
    standardize_per_series: bool = field(
        default=False, metadata={"help": "z-scores of each series by its own training rows; implies --standardize."}
    )
    item_embedding: bool = field(
        default=False,
        metadata={"help": "Let the model learn an embedding of each series; it then forecasts no others."},
    )
    time_features: bool = field(default=False, metadata={"help": "Let the model read hour, weekday, month..."})
    stride: int = field(default=1, metadata={"help": "Rows between neighbouring training windows."})
    skip_ridge: float = field(
        default=0.0,
        metadata={
            "help": "Fit the linear map of a new model with linear_skip by ridge regression of this strength, such as "
            "0.05, before training, and keep it; 0: it is learned with the net."
        },
    )
    min_context: int | None = field(
        default=None,
        metadata={"help": "Rows that must lie before a forecast; the rest is padded. Default: context_length."},
    )
    intervals: list[float] = field(
        default_factory=lambda: [0.5, 0.8, 0.95],
        metadata={"help": "Nominal coverages of the intervals that are calibrated on the validation split."},
    )
    calibration_half_life: float | None = field(
        default=None,
        metadata={
            "help": "Rows after which a validation window counts half in that; 0: all count alike. Default: a third "
            "of the validation rows."
        },
    )
    calibration_rate: float = field(
        default=0.01,
        metadata={
            "help": "How fast intervals follow the outcomes of earlier windows, as a share of their half width; 0: "
            "they stay as calibrated."
        },
    )
    skip_short: bool = field(default=False, metadata={"help": "Leave out series that are too short, in each split."})
    max_train_samples: int | None = field(default=None, metadata={"help": "Use only so many training windows."})
    max_eval_samples: int | None = field(default=None, metadata={"help": "Use only so many validation windows."})
    max_predict_samples: int | None = field(default=None, metadata={"help": "Use only so many test windows."})

    def __post_init__(self):
        for name in ("target_columns", "known_columns", "static_columns"):
            if isinstance(getattr(self, name), str):
                setattr(self, name, [getattr(self, name)])
        for name in ("season", "stride", "max_train_samples", "max_eval_samples", "max_predict_samples"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        for name in ("validation_size", "test_size", "calibration_half_life"):
            if getattr(self, name) is not None and getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)} must not be negative")
        if not 0 <= self.skip_ridge < float("inf"):
            raise ValueError(f"skip_ridge={self.skip_ridge} must be a number of at least 0, such as 0.05")
        if not 0 <= self.calibration_rate <= 0.1:  # large steps cover less than they say
            raise ValueError(f"calibration_rate={self.calibration_rate} must be between 0 and 0.1, such as 0.01")
        if any(not 0 < level < 1 for level in self.intervals):
            raise ValueError(f"intervals={self.intervals} must be coverages between 0 and 1, such as 0.8")


class ForecastDataset(Dataset):
    """Windows of one split, with what scoring them needs.

    Args:
        windows: All windows of the split, in the units that the model reads.
        processor: Knows their units and their season.
        numbers: The windows to use; default: all.
        training: Whether these are the training windows, of which only a sample is measured.
        times: The series as they were read, if windows are to be named by their time stamps: a model that reads no
            calendar has series without.
        follow: Whether intervals follow the outcomes of these windows: on validation they know them already.
    """

    def __init__(
        self,
        windows: "WindowDataset",
        processor: SeriesProcessor,
        numbers: np.ndarray | None = None,
        training: bool = False,
        times: "SeriesSet | None" = None,
        follow: bool = False,
    ):
        self.windows, self.processor, self.training, self.follow = windows, processor, training, follow
        self.calendar = None if times is None or times.starts is None else (times.starts, times.frequency)
        self.numbers = np.arange(len(windows)) if numbers is None else numbers
        self._baselines: dict[str, np.ndarray] = {}
        # Of baselines, by their names: several tables show them.
        self.scores: dict[str, dict[str, float]] = {}
        self.errors: dict[str, dict[str, float]] = {}

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, row: int) -> dict[str, torch.Tensor]:
        return self.windows[int(self.numbers[row])]

    def __getitems__(self, rows: Sequence[int]) -> dict[str, torch.Tensor]:
        """A whole batch at once: torch's data loader prefers this to one call a window."""
        return self.windows.__getitems__(self.numbers[np.asarray(rows)])

    def take(self, limit: int | None) -> "ForecastDataset":
        """At most so many windows, spread evenly."""
        if limit is None or limit >= len(self):
            return self
        rows = np.linspace(0, len(self) - 1, limit).astype(np.int64)
        # Intervals do not follow a sample: they would follow more slowly than all windows.
        taken = ForecastDataset(self.windows, self.processor, self.numbers[rows], self.training)
        taken.calendar = self.calendar
        return taken

    def origin(self, row: int) -> str:
        """When the horizon of a window begins, as a person reads it."""
        item, origin = (int(part) for part in self.windows.locate(self.numbers[row]))
        if self.calendar is None:
            return f"row {origin:,}"
        from zoo.data.series_time import time_stamps

        starts, frequency = self.calendar
        stamp = time_stamps(starts[item], origin + 1, frequency)[-1]
        return str(stamp).removesuffix(" 00:00:00").removesuffix(":00")

    @cached_property
    def measured(self) -> "ForecastDataset":
        """The windows that are measured: all, but of training windows a sample."""
        return self.take(TRAINING_WINDOWS) if self.training else self

    def truth(self) -> np.ndarray:
        """(windows, horizon, channels) in the model's units, NaN where missing."""
        from .baselines import window_truth

        return window_truth(self.windows, self.numbers)

    def scales(self) -> tuple[np.ndarray, np.ndarray]:
        """(windows, 1, channels) scales of MASE and RMSSE in the model's units."""
        from .baselines import window_scales

        return window_scales(self.windows, self.processor.season, self.numbers)

    @cached_property
    def spreads(self) -> np.ndarray:
        """(windows, 1, channels) the unit of each window's margins, in the model's units."""
        from .conformal import window_spread

        found = []
        for first in range(0, len(self), SPREAD_BATCH):
            batch = self.__getitems__(range(first, min(first + SPREAD_BATCH, len(self))))
            found.append(window_spread(batch["past_values"].numpy(), batch["past_observed_mask"].numpy()))
        return np.concatenate(found)

    @cached_property
    def followed(self) -> bool:
        """Whether intervals follow these windows: in some series there are several."""
        items, _ = self.windows.locate(self.numbers)
        return self.follow and len(np.unique(items)) < len(items)

    def outcomes(self) -> "Outcomes":
        """What became of the windows."""
        from .conformal import Outcomes

        return Outcomes(self.truth(), *self.windows.locate(self.numbers))

    def ages(self) -> np.ndarray:
        """(windows,) rows between each origin and the end of the split in its series."""
        items, origins = self.windows.locate(self.numbers)
        return self.windows.last[items] - origins

    @cached_property
    def scaler(self) -> "SeriesScaler":
        """z-scores of these series."""
        return self.processor.scaler(self.windows.series)

    def _of_windows(self, table: np.ndarray, rows: Any = slice(None)) -> np.ndarray:
        """A statistic of (1 or series, channels) for the windows in these rows: (windows, 1, channels), or smaller."""
        if len(table) == 1:
            return table[0]
        items = self.windows.locate(self.numbers[rows])[0]
        return table[items] if items.ndim == 0 else table[items][:, None]

    def in_data_units(self, values: np.ndarray, rows: Any = slice(None)) -> np.ndarray:
        """From the model's units.

        Args:
            values: (..., windows, horizon, channels), or (..., channels) of one window.
            rows: Which windows they are of: all, or the number of one.
        """
        return values * self._of_windows(self.scaler.std, rows) + self._of_windows(self.scaler.mean, rows)

    def baseline(self, method: str) -> np.ndarray:
        """(windows, horizon, channels) forecasts of a baseline in the model's units, made in those of the data."""
        if method not in self._baselines:
            from .baselines import forecast_windows

            raw = copy.copy(self.windows)
            raw.series = replace(raw.series, values=self.scaler.restore(raw.series))
            season, history = self.processor.season, max(BASELINE_HISTORY, 4 * self.processor.season)
            forecasts = forecast_windows(raw, method, season, history, self.numbers)
            mean, std = (self._of_windows(table) for table in (self.scaler.mean, self.scaler.std))
            self._baselines[method] = (forecasts - mean) / std
        return self._baselines[method]


def _size(given: float | None, default: float) -> float:
    """A share stays a share; 1 and above are rows."""
    size = default if given is None else given
    return int(size) if size >= 1 or size == 0 else size


def read(arguments: ForecastingArguments, config: Any) -> tuple[dict[str, tuple["SeriesSet", Any]], dict[str, Any]]:
    """({split: (series, its (first, last) rows or None for all)}, notes for the record)."""
    from zoo.data.named_series import NAMED_SERIES, load_named_series
    from zoo.data.series import chronological_split
    from zoo.data.series_files import read_series
    from zoo.data.series_time import season_length

    columns: dict[str, Any] = {
        "timestamp_column": arguments.timestamp_column,
        "target_columns": arguments.target_columns,
        "item_column": arguments.item_id_column,
        "known_columns": arguments.known_columns,
        "static_columns": arguments.static_columns,
        "frequency": arguments.frequency,
        "timestamp_format": arguments.timestamp_format,
    }
    # An own file goes before the data set that a recipe names.
    named = None if arguments.train_file else NAMED_SERIES.get(arguments.dataset_name or "")
    sizes = (_size(arguments.validation_size, VALIDATION_SIZE), _size(arguments.test_size, TEST_SIZE))
    given = {name: getattr(arguments, name) for name in SIZES if getattr(arguments, name)}
    cut_off = arguments.train_file and not (arguments.validation_file or arguments.test_file)
    if len({size < 1 for size in sizes if size}) > 1 and cut_off:
        rows = next(name for name, size in given.items() if size >= 1)
        raise ValueError(
            f"{rows}={given[rows]:g} is a number of rows: give the other of the two sizes in rows as well"
        )
    found: dict[str, tuple[SeriesSet, Any]]
    notes: dict[str, Any]
    files: dict[str, Any] = {name: getattr(arguments, name) for name in FILES}
    alone = [name for name, file in files.items() if file] == ["test_file"] and arguments.dataset_name is None
    if arguments.train_file is None and any(files.values()) and not alone:
        raise ValueError("--validation_file and --test_file need --train_file")
    if named is None and (arguments.train_file or arguments.dataset_name):
        refuse_folder(
            arguments.data_dir, "a file of your own" if arguments.train_file else str(arguments.dataset_name)
        )
    if alone:  # to measure a trained model on
        series = read_series(files["test_file"], **columns)
        found, notes = {"test": (series, None)}, {}
    elif arguments.train_file is not None:
        parts = {name.removesuffix("_file"): read_series(file, **columns) for name, file in files.items() if file}
        series = parts.pop("train")
        if parts:  # what has a file of its own is not cut off the training file, nor is a test without one
            unused = [name for name in given if name == "test_size" or "validation" in parts]
            if unused:
                raise ValueError(
                    f"{unused[0]}={given[unused[0]]:g} would cut nothing off train_file, beside a "
                    f"{' and a '.join(f'{part}_file' for part in parts)}: leave it out"
                )
            sizes = (0 if "validation" in parts else sizes[0], 0)
        bounds = chronological_split(series, None, *sizes)
        found = {"train": (series, bounds.rows("train"))}
        for split, size in zip(("validation", "test"), sizes):
            if split in parts:
                found[split] = (parts[split], None)
            elif size:
                found[split] = (series, bounds.rows(split))
        notes = {}
    elif named is not None:
        if named.prediction_length and named.prediction_length != config.prediction_length:
            raise ValueError(
                f"{arguments.dataset_name} is forecast {named.prediction_length} steps ahead: "
                f"set prediction_length={named.prediction_length}"
            )
        foreign = [name for name in (*NOT_NAMED, *SIZES) if getattr(arguments, name) not in (None, [])]
        if foreign:
            what = "split" if foreign[0] in SIZES else "columns"
            raise ValueError(f"{arguments.dataset_name} has its own {what}: leave out {foreign[0]}")
        series = load_named_series(arguments.dataset_name or "", arguments.data_dir)
        series = series.select(arguments.target_columns) if arguments.target_columns else series
        bounds = named.bounds(series)
        found = {split: (series, bounds.rows(split)) for split in ("train", "validation", "test")}
        notes = {"known_release": series.is_release, "licence": named.licence, "homepage": named.homepage}
    elif arguments.dataset_name is not None:
        import datasets

        table = datasets.load_dataset(arguments.dataset_name, arguments.dataset_config_name, split="train")
        series = replace(read_series(table, **columns), source=arguments.dataset_name)
        bounds = chronological_split(series, None, *sizes)
        found = {
            split: (series, bounds.rows(split))
            for split, size in zip(("train", "validation", "test"), (1, *sizes))
            if size
        }
        notes = {}
    else:
        raise ValueError("name the data: --train_file mine.csv, or --dataset_name etth1, m4-hourly or one of the Hub")
    season = arguments.season or (named.season if named else season_length(series.frequency))
    return found, {**notes, "season": season, "frequency": series.frequency, "series": len(series)}


def fit_processor(arguments: ForecastingArguments, series: "SeriesSet", rows: Any, season: int) -> SeriesProcessor:
    """What the training rows say about the data."""
    from zoo.data.series import SeriesScaler

    per_series = arguments.standardize_per_series
    scaler = SeriesScaler.fit(
        series, rows[1], "series" if per_series else "channel" if arguments.standardize else "none"
    )
    statistics: dict[str, Any] = scaler.to_dict()
    return SeriesProcessor(
        channels=series.channels,
        **statistics,
        known_columns=series.known_names,
        static_columns=arguments.static_columns,
        static_levels=series.static_levels,
        time_features=arguments.time_features,
        frequency=series.frequency,
        season=season,
        per_series=per_series,
        item_ids=series.item_ids if per_series or arguments.item_embedding else (),
        item_embedding=arguments.item_embedding,
    )


def load_data(arguments: ForecastingArguments, config: Any, processor: SeriesProcessor | None = None) -> TaskData:
    """The windows of a run. Every statistic is of training rows, or the saved processor's.

    A split that has a file of its own takes its contexts from that file; otherwise they look back over the split's
    beginning, as the benchmarks' do.

    Raises:
        FileNotFoundError: The data is nowhere.
        ValueError: The data is damaged, too short, or does not fit the saved processor.
    """
    from zoo.data.series_time import calendar_names
    from zoo.data.series_windows import WindowDataset

    parts, notes = read(arguments, config)
    series, rows = parts.get("train") or parts["test"]
    if processor is None:
        if "train" not in parts:
            raise ValueError("--validation_file and --test_file need --train_file")
        if "validation" not in parts:
            raise ValueError(
                "there are no validation rows to choose the checkpoint by and to calibrate on: give "
                "validation_size or validation_file"
            )
        processor = fit_processor(arguments, series, rows, notes["season"])
    prepared = {id(part): processor.prepare(part) for part, _ in parts.values()}
    limits = {
        "train": arguments.max_train_samples,
        "validation": arguments.max_eval_samples,
        "test": arguments.max_predict_samples,
    }
    found: dict[str, ForecastDataset] = {}
    for split, (part, bounds) in parts.items():
        training = split == "train"
        windows = WindowDataset(
            prepared[id(part)],
            config.context_length,
            config.prediction_length,
            bounds,
            stride=arguments.stride if training else 1,
            min_context=arguments.min_context,
            skip_short=arguments.skip_short,
        )
        dataset = ForecastDataset(windows, processor, training=training, times=part, follow=split == "test")
        found[split] = dataset.take(limits[split])
        if windows.skipped:
            notes.setdefault("skipped_series", {})[split] = len(windows.skipped)
    calendar = calendar_names(series.frequency) if processor.time_features else ()
    return TaskData(
        train=found.get("train"),
        validation=found.get("validation"),
        test=found.get("test"),
        model_fields={
            "input_size": len(series.channels),
            "num_time_features": len(calendar),
            "num_dynamic_real_features": len(series.known_names),
            "num_static_real_features": 0 if series.static_real is None else series.static_real.shape[1],
            "cardinality": processor.cardinality,
        },
        fingerprint={split: part.fingerprint(bounds) for split, (part, bounds) in parts.items()},
        source=series.source,
        notes={
            **notes,
            "channels": list(series.channels),
            "standardized": arguments.standardize or arguments.standardize_per_series,
        },
        processor=processor,
    )


def build_processor(family: Any, config: Any, data: TaskData) -> SeriesProcessor:
    """What `load_data` fitted."""
    return data.processor


def collate(batch: Any) -> dict[str, torch.Tensor]:
    """The model's arguments; a missing value of the future is NaN, as models and metrics read it."""
    if isinstance(batch, list):
        batch = {key: torch.stack([row[key] for row in batch]) for key in batch[0]}
    dropped = ("item", "future_values", "future_observed_mask")
    future = batch["future_values"].masked_fill(~batch["future_observed_mask"], float("nan"))
    return {name: tensor for name, tensor in batch.items() if name not in dropped} | {"future_values": future}


def build_collator(processor: Any, arguments: ForecastingArguments, config: Any, seed: int) -> Any:
    """`collate`: the windows are scaled already, and nothing is random."""
    return collate


def evaluation_views(dataset: ForecastDataset, arguments: ForecastingArguments) -> list[Dataset]:
    """The windows that are measured."""
    return [dataset.measured]


__all__ = [
    "ForecastDataset",
    "ForecastingArguments",
    "build_collator",
    "build_processor",
    "collate",
    "evaluation_views",
    "load_data",
]
