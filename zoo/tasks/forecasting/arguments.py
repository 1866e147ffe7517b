"""The `data` section of a forecasting recipe."""

from dataclasses import dataclass, field

from zoo.tasks.base import DataArguments, option


@dataclass
class ForecastingArguments(DataArguments):
    """The `data` section of a forecasting recipe. Lengths of context and horizon are the model's."""

    dataset_name: str | None = option(None, "etth1, m4-hourly, or a data set of the Hugging Face Hub.", source="train")
    dataset_config_name: str | None = option(None, "Configuration of the Hub data set.", source="train")
    data_dir: str | None = option(None, "Folder with the files of etth1 or m4-hourly.", source="train")
    train_file: str | None = option(None, "Own series: CSV or Parquet, long or wide.", source="train")
    validation_file: str | None = option(
        None, "Own validation series; default: split off the training file.", source="train"
    )
    test_file: str | None = option(
        None, "Own test series; default: split off the training file, unless validation has a file.", source="test"
    )
    timestamp_column: str | None = option(None, "Column of the time stamps.")
    timestamp_format: str | None = option(None, "strptime format, if not ISO 8601.")
    item_id_column: str | None = option(None, "Column with the id of a row's series.")
    target_columns: list[str] | None = option(None, "Columns to forecast.")
    known_columns: list[str] = field(
        default_factory=list, metadata={"help": "Numeric columns that are known for the future too."}
    )
    static_columns: list[str] = field(
        default_factory=list, metadata={"help": "Columns that are the same in all rows of a series."}
    )
    frequency: str | None = option(None, "pandas alias, e.g. h, D, MS; default: inferred.")
    season: int | None = option(None, "Steps of a season, for MASE and the baselines; default: by frequency.")
    validation_size: float | None = option(
        None, "Rows of each series, or their share; default: 0.1, or the benchmark's."
    )
    test_size: float | None = option(
        None, "Last rows of each series, or their share; default: 0.2, or the benchmark's."
    )
    standardize: bool = option(False, "z-scores of each channel by training rows, as long-term benchmarks do.")
    standardize_per_series: bool = option(
        False, "z-scores of each series by its own training rows; implies --standardize."
    )
    item_embedding: bool = option(
        False, "Let the model learn an embedding of each series; it cannot forecast other series then."
    )
    time_features: bool = option(False, "Let the model read hour, weekday, month...")
    stride: int = option(1, "Rows between neighbouring training windows.")
    skip_ridge: float = option(
        0.0,
        "Fit the linear map of a new model with linear_skip by ridge regression of this strength, such as "
        "0.05, before training, and keep it; 0: it is learned with the net.",
        loading=False,
    )
    refit_on_validation: bool = option(
        False,
        "Fit the map of skip_ridge again, to training and validation windows, once the validation split "
        "has chosen the weights and calibrated the intervals.",
        loading=False,
    )
    min_context: int | None = option(
        None, "Minimum rows before a forecast; the rest is padded. Default: context_length."
    )
    intervals: list[float] = field(
        default_factory=lambda: [0.5, 0.8, 0.95],
        metadata={
            "help": "Nominal coverages of the intervals that are calibrated on the validation split.",
            "loading": False,
        },
    )
    calibration_half_life: float | None = option(
        None,
        "Rows after which a validation window has half the weight in calibration; 0: equal weights. "
        "Default: a third of the validation rows.",
        loading=False,
    )
    calibration_rate: float = option(
        0.01,
        "How fast intervals follow the outcomes of earlier windows, as a share of their half width; 0: "
        "they stay as calibrated.",
        loading=False,
    )
    skip_short: bool = option(False, "Leave out series that are too short, in each split.")
    max_train_samples: int | None = option(None, "Use at most this many training windows.")
    # Not "evaluation": validation windows choose the checkpoint.
    max_eval_samples: int | None = option(None, "Use at most this many validation windows.")
    max_predict_samples: int | None = option(None, "Use at most this many test windows.", used_by="evaluation")

    def __post_init__(self):
        for name in ("target_columns", "known_columns", "static_columns"):
            if isinstance(getattr(self, name), str):
                setattr(self, name, [getattr(self, name)])
        counts = ("season", "stride", "max_train_samples", "max_eval_samples", "max_predict_samples")
        sizes = ("validation_size", "test_size", "calibration_half_life")
        self.check({**dict.fromkeys(counts, 1), **dict.fromkeys(sizes, 0)}, {})
        if not 0 <= self.skip_ridge < float("inf"):
            raise ValueError(f"skip_ridge={self.skip_ridge} must be a number of at least 0, such as 0.05")
        if self.refit_on_validation and not self.skip_ridge:
            raise ValueError("refit_on_validation=true fits the map of skip_ridge again: set skip_ridge too")
        if not 0 <= self.calibration_rate <= 0.1:  # large steps cover less than their level
            raise ValueError(f"calibration_rate={self.calibration_rate} must be between 0 and 0.1, such as 0.01")
        if any(not 0 < level < 1 for level in self.intervals):
            raise ValueError(f"intervals={self.intervals} must be coverages between 0 and 1, such as 0.8")


__all__ = ["ForecastingArguments"]
