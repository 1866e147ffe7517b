"""CSV and Parquet files, pandas frames and `datasets` objects to series, with every check that they allow."""

import gzip
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .series import SeriesSet
from .series_time import GridError, canonical_frequency, grid_positions, infer_frequency

TIMESTAMP_NAMES = ("timestamp", "date", "datetime", "time", "ds")
ITEM_NAMES = ("item_id", "unique_id", "series_id")
TARGET_NAMES = ("target", "y")
# What a CSV may write for a missing number.
MISSING = ("", "NA", "N/A", "#N/A", "n/a", "NaN", "nan", "-nan", "NULL", "null", "None", "<NA>")
# A day, midnight and an offset from UTC.
_MIDNIGHT = r"(\d{4}-\d{2}-\d{2})[T ]00:00(?::00(?:\.0+)?)?(?:Z|[+-]\d{2}(?::?\d{2})?)"
# A wrong year in one time stamp would make a grid that no memory holds.
_LARGEST_GRID = 20


@dataclass
class _Table:
    """A frame whose index numbers its rows in the file, and how to name a place in it."""

    frame: pd.DataFrame
    name: str
    is_csv: bool = False

    def where(self, row: int, column: Any = None) -> str:
        """The place of the frame's row at this position, as a person looks it up."""
        label = self.frame.index[row]
        place = f"{self.name}, line {label + 2}" if self.is_csv else f"{self.name}, row {label}"
        return place if column is None else f"{place}, column {str(column)!r}"

    def need(self, columns: Sequence[str], role: str) -> None:
        """Raise if a column is not there."""
        missing = [column for column in columns if column not in self.frame.columns]
        if missing:
            there = ", ".join(str(column) for column in self.frame.columns[:20])
            raise ValueError(f"{self.name} has no column {missing[0]!r} ({role}); it has {there}")


def read_series(
    source: Any,
    *,
    timestamp_column: str | None = None,
    target_columns: Sequence[str] | None = None,
    preferred_targets: Sequence[str] = (),
    item_column: str | None = None,
    known_columns: Sequence[str] = (),
    static_columns: Sequence[str] = (),
    frequency: str | None = None,
    timestamp_format: str | None = None,
) -> SeriesSet:
    """Series from a CSV (also .gz) or Parquet file, a pandas frame or a `datasets.Dataset`.

    Three layouts, told apart by the columns:

    - long: `item_id, timestamp, target, covariates...`, one row a series and time; the rows of different series may be
      interleaved. A cell may also hold the whole list of a series, as in the Chronos data sets of the Hub.
    - wide: `timestamp, a, b, c`, one series with a channel a column. Frames may have the time stamps as their index.
    - ragged: no time stamps, the first column an id, then one series a row, padded with empty cells (M4's files).

    Rows that are missing between a series' first and last time stamp become missing values, as do empty cells, "NA"
    and "NaN". Time stamps with a zone become UTC, but midnights of the zone stay the days that they are there; whole
    numbers are step numbers.

    Args:
        timestamp_column: Default: a column called timestamp, date, datetime, time or ds, else a first column of dates.
        target_columns: What to forecast. Default: `target` or `y` in the long layout; else all without a role.
        preferred_targets: What to forecast if all are there; else, and unless `target_columns` are given, the default.
        item_column: Default: a column called item_id, unique_id or series_id.
        known_columns: Numbers that are known for the future too. Covariates that are not known belong to the targets.
        static_columns: The same in all rows of a series: numbers, or text for categories.
        frequency: pandas alias. Default: inferred; give it where gaps outnumber the steps.
        timestamp_format: `strptime` format of time stamps that are not ISO 8601.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: What was read cannot be used; the message names file, row and column.
        TypeError: `source` is none of the above.
    """
    table = _open(source, timestamp_column, item_column)
    frame = table.frame
    if not len(frame):
        raise ValueError(f"{table.name} has no rows")
    item_column = _named(frame.columns, item_column, ITEM_NAMES)
    timestamp_column = _named(frame.columns, timestamp_column, TIMESTAMP_NAMES) or _dated_column(frame)
    # A table whose columns have roles is no ragged one: it lacks its time stamps.
    has_roles = target_columns or known_columns or static_columns or set(TARGET_NAMES) & set(frame.columns)
    is_ragged = timestamp_column is None and item_column in (None, frame.columns[0]) and not has_roles
    if is_ragged and _holds_ids(frame.iloc[:, 0]):
        return _ragged(table, frequency)
    if timestamp_column is None:
        raise ValueError(
            f"{table.name} has no column of time stamps (looked for {', '.join(TIMESTAMP_NAMES)}): name it with "
            f"timestamp_column; it has {', '.join(str(column) for column in frame.columns[:20])}"
        )
    table.need([timestamp_column], "timestamp_column")
    table.need([item_column] if item_column else [], "item_column")
    table.need(known_columns, "known_columns")
    table.need(static_columns, "static_columns")
    taken = {timestamp_column, item_column, *known_columns, *static_columns}
    if target_columns is None and preferred_targets and set(preferred_targets) <= set(frame.columns):
        target_columns = preferred_targets
    if target_columns is None:
        usual = [name for name in TARGET_NAMES if name in frame.columns] if item_column else []
        # pandas calls a column without a name "Unnamed: 0"; it is a row counter that a frame left in a CSV.
        free = [c for c in frame.columns if c not in taken and not str(c).startswith("Unnamed: ")]
        target_columns = usual[:1] or free
    table.need(target_columns, "target_columns")
    if not target_columns or set(target_columns) & taken or len(set(target_columns)) < len(target_columns):
        raise ValueError(
            f"{table.name}: needs target columns, each once, that have no other role, got {list(target_columns)}"
        )
    table = _unnest(table, [timestamp_column, *target_columns, *known_columns])
    return _dated(
        table, timestamp_column, list(target_columns), item_column, list(known_columns), list(static_columns),
        frequency, timestamp_format,
    )  # fmt: skip


def _open(source: Any, timestamp_column: str | None, item_column: str | None) -> _Table:
    if isinstance(source, pd.DataFrame):
        frame = source
        # AutoGluon's frames carry (item_id, timestamp) as their index, others the time stamps alone.
        if isinstance(frame.index, pd.MultiIndex):
            frame = frame.reset_index()
        elif isinstance(frame.index, pd.DatetimeIndex):
            frame = frame.rename_axis(frame.index.name or "timestamp").reset_index()
        return _Table(frame.reset_index(drop=True), "the frame")
    if hasattr(source, "to_pandas"):
        return _Table(source.to_pandas().reset_index(drop=True), "the data set")
    if isinstance(source, dict):
        raise TypeError(f"a data set with the splits {', '.join(map(str, source))}: choose one of them")
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(f"series come from a file, a pandas frame or a datasets.Dataset, not {type(source).__name__}")
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file")
    try:
        if path.suffix in (".parquet", ".pq"):
            return replace(_open(pd.read_parquet(path), None, None), name=path.name)
        if path.name.removesuffix(".gz").endswith((".csv", ".tsv", ".txt")):
            return _read_csv(path, timestamp_column, item_column)
    except (ValueError, OSError, EOFError, pd.errors.ParserWarning) as error:  # pandas' parser errors are ValueErrors
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from error
    raise ValueError(f"{path}: expected a .csv, .csv.gz or .parquet file")


def _read_csv(path: Path, timestamp_column: str | None, item_column: str | None) -> _Table:
    opened = gzip.open(path, "rt", encoding="utf-8-sig") if path.suffix == ".gz" else open(path, encoding="utf-8-sig")
    with opened as file:
        separator = max(",;\t", key=file.readline().count)
    options: dict[str, Any] = {"sep": separator, "encoding": "utf-8-sig", "index_col": False}
    columns = pd.read_csv(path, nrows=0, **options).columns
    item = _named(columns, item_column, ITEM_NAMES)
    if item is None and _named(columns, timestamp_column, TIMESTAMP_NAMES) is None:
        item = columns[0]  # ids of the ragged layout, or time stamps; both are text
    # Ids stay text: 007 is not 7, and "NA" (Namibia) is not missing.
    options |= {"keep_default_na": False, "na_values": {column: MISSING for column in columns if column != item}}
    options |= {"dtype": {item: str}} if item in columns else {}
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header
        # Blank lines are read so that rows keep their line numbers.
        frame = pd.read_csv(path, skip_blank_lines=False, low_memory=False, **options)
    blank = frame[[column for column in columns if column != item]].isna().all(axis=1)
    if item in columns:
        blank &= frame[item] == ""
    return _Table(frame[~blank] if blank.any() else frame, path.name, is_csv=True)


def _named(columns: pd.Index, given: str | None, usual: tuple[str, ...]) -> str | None:
    """The column that was asked for, or the first with a usual name."""
    found = [column for name in usual for column in columns if str(column).lower() == name]
    return given or (found[0] if found else None)


def _is_text(column: pd.Series) -> bool:
    return pd.api.types.is_string_dtype(column) or column.dtype == object


def _holds_ids(column: pd.Series) -> bool:
    """Text that is not all numbers: a table of bare numbers is not one of ids."""
    return _is_text(column) and not pd.to_numeric(column, errors="coerce").notna().all()


def _dated_column(frame: pd.DataFrame) -> str | None:
    """The first column if it holds dates."""
    column = frame.iloc[:, 0]
    if pd.api.types.is_datetime64_any_dtype(column):
        return column.name
    if not _holds_ids(column):
        return None
    return (
        column.name
        if pd.to_datetime(column.head(20), format="ISO8601", errors="coerce", utc=True).notna().all()
        else None
    )


def _unnest(table: _Table, columns: list[str]) -> _Table:
    """One row a time stamp where a cell holds a whole series."""
    nested = [c for c in columns if isinstance(table.frame[c].iloc[0], (list, tuple, np.ndarray))]
    if not nested:
        return table
    try:
        return replace(table, frame=table.frame.explode(nested))
    except ValueError:
        lengths = table.frame[nested].map(len)
        row = int((lengths.nunique(axis=1) > 1).to_numpy().argmax())
        raise ValueError(f"{table.where(row)}: the lists in {', '.join(nested)} differ in length") from None


def numbers(table: _Table, columns: Sequence[Any]) -> np.ndarray:
    """(rows, columns) float64, NaN where a cell is empty; text and infinite values raise, naming the place."""
    found = np.empty((len(table.frame), len(columns)), np.float64)
    for number, name in enumerate(columns):
        column = table.frame[name]
        if pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.is_timedelta64_dtype(column):
            raise ValueError(f"{table.where(0, name)}: holds dates, not numbers; leave it out with target_columns")
        if not pd.api.types.is_numeric_dtype(column):
            parsed = pd.to_numeric(column, errors="coerce")
            wrong = (parsed.isna() & column.notna()).to_numpy()
            if wrong.any():
                row = int(wrong.argmax())
                raise ValueError(f"{table.where(row, name)}: {str(column.iloc[row])!r} is not a number")
            column = parsed
        found[:, number] = column.to_numpy(np.float64, na_value=np.nan)
        infinite = np.isinf(found[:, number])
        if infinite.any():
            row = int(infinite.argmax())
            raise ValueError(f"{table.where(row, name)}: {found[row, number]} is infinite")
    return found


def _times(table: _Table, name: str, timestamp_format: str | None) -> tuple[np.ndarray, bool]:
    """(rows,) int64 and whether they are dates: microseconds since 1970, or step numbers."""
    column = table.frame[name]
    missing = column.isna().to_numpy()
    if missing.any():
        raise ValueError(f"{table.where(int(missing.argmax()), name)}: the time stamp is missing")
    if pd.api.types.is_numeric_dtype(column) and timestamp_format is None:
        if column.between(19_000_101, 22_001_231).all():
            raise ValueError(f"{table.where(0, name)}: if {column.iloc[0]} is a date, give timestamp_format='%Y%m%d'")
        whole = (column == column // 1).to_numpy()
        if not whole.all():
            row = int((~whole).argmax())
            raise ValueError(f"{table.where(row, name)}: {column.iloc[row]} is neither a date nor a step number")
        return column.to_numpy(np.int64), False
    if not pd.api.types.is_datetime64_any_dtype(column):
        text = column.astype(str)
        if timestamp_format is None:
            text_of_days = _days_of_zone(text)
            text = text if text_of_days is None else text_of_days
        column = pd.to_datetime(text, format=timestamp_format or "ISO8601", errors="coerce", utc=True)
        wrong = column.isna().to_numpy()
        if wrong.any():
            row = int(wrong.argmax())
            expected = timestamp_format or "ISO 8601 (2016-07-01 13:00); give the format as timestamp_format"
            raise ValueError(f"{table.where(row, name)}: {text.iloc[row]!r} is not a time stamp in {expected}")
    if column.dt.tz is not None:
        # Days of a zone are not all 24 hours long, so its midnights have no regular step in UTC.
        local = column.dt.tz_localize(None)
        is_days = (local == local.dt.normalize()).all()
        column = local if is_days else column.dt.tz_convert("UTC").dt.tz_localize(None)
    return column.to_numpy("datetime64[us]").astype(np.int64), True


def _days_of_zone(text: pd.Series) -> pd.Series | None:
    """The time stamps without their offsets from UTC if all are midnights with one, else None."""
    if not text.head(20).str.fullmatch(_MIDNIGHT).all() or not text.str.fullmatch(_MIDNIGHT).all():
        return None
    return text.str.extract(_MIDNIGHT)[0]


def _dated(
    table: _Table, time: str, targets: list[str], item: str | None, known: list[str], static: list[str],
    frequency: str | None, timestamp_format: str | None,
) -> SeriesSet:  # fmt: skip
    """The long and wide layouts."""
    if item is None:
        codes, ids = np.zeros(len(table.frame), np.int64), pd.Index(["series"])
    else:
        # ids from a CSV are text, and an empty one is missing
        codes, ids = pd.factorize(table.frame[item].replace({"": None}) if table.is_csv else table.frame[item])
        if (codes < 0).any():
            raise ValueError(f"{table.where(int((codes < 0).argmax()), item)}: the id is missing")
    if (np.diff(codes) < 0).any():
        order = np.argsort(codes, kind="stable")
        table, codes = replace(table, frame=table.frame.iloc[order]), codes[order]
    times, dated = _times(table, time, timestamp_format)
    offsets = np.searchsorted(codes, np.arange(len(ids) + 1))
    _check_order(table, time, times, codes)
    positions, frequency = _grid(table, time, times, offsets, frequency, dated)
    values, covariates = numbers(table, targets), numbers(table, known)
    for name, column in zip(targets, values.T):
        if np.isnan(column).all():
            raise ValueError(f"{table.name}, column {str(name)!r}: holds no number")
    lengths = positions[offsets[1:] - 1] + 1
    grid_offsets = np.r_[0, np.cumsum(lengths)]
    if grid_offsets[-1] != len(values):
        rows = grid_offsets[codes] + positions
        values, covariates = (_spread(part, rows, int(grid_offsets[-1])) for part in (values, covariates))
    starts = times[offsets[:-1]]
    series = SeriesSet(
        values,
        grid_offsets,
        tuple(str(name) for name in ids),
        tuple(str(name) for name in targets),
        starts.astype("datetime64[us]") if dated else starts,
        frequency,
        covariates if known else None,
        tuple(known),
        source=table.name,
    )
    return replace(series, **_statics(table, static, codes, offsets)) if static else series


def _spread(part: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    """The rows at their places on the grid, NaN between them."""
    whole = np.full((count, part.shape[1]), np.nan)
    whole[rows] = part
    return whole


def _check_order(table: _Table, name: str, times: np.ndarray, codes: np.ndarray) -> None:
    wrong = (np.diff(times) <= 0) & (np.diff(codes) == 0)
    if wrong.any():
        row = int(wrong.argmax()) + 1
        value = table.frame[name].iloc[row]
        what = "occurs twice" if times[row] == times[row - 1] else "is earlier than the row before it: sort the rows"
        raise ValueError(f"{table.where(row, name)}: time stamp {value} {what}")


def _grid(
    table: _Table, name: str, times: np.ndarray, offsets: np.ndarray, frequency: str | None, dated: bool
) -> tuple[np.ndarray, str]:
    """Positions of the rows on the grid of the frequency, and the frequency."""
    inferred = frequency is None
    try:
        if frequency is None:
            frequency = infer_frequency(times, offsets, dated)
        elif frequency.isdigit() == dated:
            raise ValueError(
                f"frequency={frequency!r} does not fit time stamps that are {'dates' if dated else 'numbers'}"
            )
        frequency = canonical_frequency(frequency, times)
        positions = grid_positions(times, offsets, frequency, strict=inferred)
    except GridError as error:
        value = table.frame[name].iloc[error.row]
        raise ValueError(f"{table.where(error.row, name)}: time stamp {value} {error}") from None
    except ValueError as error:
        raise ValueError(f"{table.name}, column {str(name)!r}: {error}") from None
    steps = np.diff(positions)
    if (positions[offsets[1:] - 1] + 1).sum() > _LARGEST_GRID * max(len(times), 1000):
        row = int(steps.argmax()) + 1
        raise ValueError(
            f"{table.where(row, name)}: time stamp {table.frame[name].iloc[row]} lies {steps[row - 1]} steps of "
            f"{frequency!r} after the one before it: a wrong date, or a frequency that is too fine"
        )
    return positions, frequency


def _statics(table: _Table, columns: list[str], codes: np.ndarray, offsets: np.ndarray) -> dict[str, Any]:
    """What is the same in all rows of a series: numbers, and codes of categories."""
    firsts = table.frame[columns].iloc[offsets[:-1]]
    for name in columns:
        column = table.frame[name]
        if column.isna().any():
            raise ValueError(
                f"{table.where(int(column.isna().to_numpy().argmax()), name)}: the static value is missing"
            )
        differs = column.to_numpy() != firsts[name].to_numpy()[codes]
        if differs.any():
            row = int(differs.argmax())
            raise ValueError(
                f"{table.where(row, name)}: {column.iloc[row]!r} differs within its series; it is not static"
            )
    real = [name for name in columns if pd.api.types.is_numeric_dtype(table.frame[name])]
    found: dict[str, Any] = {}
    if real:
        found["static_real"] = numbers(replace(table, frame=firsts), real).astype(np.float32)
    coded = [pd.factorize(firsts[name].astype(str), sort=True) for name in columns if name not in real]
    if coded:
        found["static_categories"] = np.stack([code for code, _ in coded], axis=1).astype(np.int64)
        found["static_levels"] = tuple(tuple(levels) for _, levels in coded)
    return found


def _ragged(table: _Table, frequency: str | None) -> SeriesSet:
    """One series a row: an id, then its values, then empty cells."""
    ids = table.frame.iloc[:, 0].astype(str)
    twice = ids.duplicated().to_numpy()
    if twice.any():
        row = int(twice.argmax())
        raise ValueError(f"{table.where(row, ids.name)}: the id {ids.iloc[row]!r} occurs twice")
    cells = numbers(table, table.frame.columns[1:])
    observed = ~np.isnan(cells)
    if not observed.any(axis=1).all():
        row = int((~observed.any(axis=1)).argmax())
        raise ValueError(f"{table.where(row)}: the series {ids.iloc[row]!r} holds no number")
    lengths = cells.shape[1] - observed[:, ::-1].argmax(axis=1)
    values = cells[np.arange(cells.shape[1]) < lengths[:, None]][:, None]
    if frequency is not None:
        frequency = canonical_frequency(frequency, np.zeros(0, np.int64))
    return SeriesSet(
        values, np.r_[0, np.cumsum(lengths)], tuple(ids), ("target",), frequency=frequency, source=table.name
    )


__all__ = ["read_series"]
