"""CSV and Parquet files, pandas frames and `datasets` objects to series."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from .series import SeriesSet
from .series_table import ITEM_NAMES, TIMESTAMP_NAMES, Table, date_formats, open_table, parse_dates, usual_column
from .series_time import GridError, canonical_frequency, grid_positions, infer_frequency

TARGET_NAMES = ("target", "y")
# A wrong year in one time stamp would make a grid that does not fit into memory.
_LARGEST_GRID = 20


class _Columns(NamedTuple):
    """The role of each column of the long and wide layouts."""

    time: str
    item: str | None
    targets: list[str]
    known: list[str]
    static: list[str]


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
    preferred_format: str | None = None,
) -> SeriesSet:
    """Series from a CSV (also .gz) or Parquet file, a pandas frame or a `datasets.Dataset`.

    Three layouts, distinguished by the columns:

    - long: `item_id, timestamp, target, covariates...`, one row per series and time; rows of different series may be
      interleaved. A cell may also hold the whole list of a series, as in the Chronos data sets of the Hub.
    - wide: `timestamp, a, b, c`, one series with one channel per column. A frame may have the time stamps as index.
    - ragged: no time stamps, the first column an id, then one series per row, padded with empty cells (M4's files).

    Rows that are missing between a series' first and last time stamp become missing values, as do empty cells, "NA"
    and "NaN". Numbers of a CSV may have a decimal comma, and points between thousands, if the whole column can be read
    so and some cell not otherwise. Time stamps with a zone become UTC, but midnights of the zone keep their local
    date; whole numbers are step numbers.

    Args:
        timestamp_column: Default: a column called timestamp, date, datetime, time or ds, else a first column of dates.
        target_columns: What to forecast. Default: `target` or `y` in the long layout; else all without a role.
        preferred_targets: Default instead, if the data has all of them.
        item_column: Default: a column called item_id, unique_id or series_id.
        known_columns: Numbers that are known for the future too. Other covariates belong to the targets.
        static_columns: The same in all rows of a series: numbers, or text for categories.
        frequency: pandas alias. Default: inferred; give it where gaps outnumber the steps.
        timestamp_format: `strptime` format of time stamps that are not ISO 8601.
        preferred_format: Default instead, if the time stamps have it.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The content cannot be used; the message names file, row and column.
        TypeError: `source` is none of the above.
    """
    table = open_table(source, timestamp_column, item_column)
    frame = table.frame
    if not len(frame):
        raise ValueError(f"{table.name} has no rows")
    item = usual_column(frame.columns, item_column, ITEM_NAMES)
    time = usual_column(frame.columns, timestamp_column, TIMESTAMP_NAMES)
    time = time or _dated_column(frame, timestamp_format or preferred_format)
    if time is None:
        # A table whose columns have roles is not ragged: it lacks its time stamps.
        has_roles = target_columns or known_columns or static_columns or set(TARGET_NAMES) & set(frame.columns)
        if item in (None, frame.columns[0]) and not has_roles and _holds_ids(frame.iloc[:, 0]):
            return _ragged(table, frequency)
        raise ValueError(
            f"{table.name} has no column of time stamps (looked for {', '.join(TIMESTAMP_NAMES)}): name it with "
            f"timestamp_column; it has {table.describe_columns()}"
        )
    if timestamp_format is None and time in frame.columns and _has_format(frame[time], preferred_format):
        timestamp_format = preferred_format
    taken = {time, item, *known_columns, *static_columns}
    if target_columns is None and preferred_targets and set(preferred_targets) <= set(frame.columns):
        target_columns = preferred_targets
    if target_columns is None:
        usual = [name for name in TARGET_NAMES if name in frame.columns] if item else []
        # pandas calls a column without a name "Unnamed: 0"; it is a row counter that a frame left in a CSV.
        free = [c for c in frame.columns if c not in taken and not str(c).startswith("Unnamed: ")]
        target_columns = usual[:1] or free
    table.need([time], "timestamp_column")
    table.need([item] if item else [], "item_id_column")
    table.need(known_columns, "known_columns")
    table.need(static_columns, "static_columns")
    table.need(target_columns, "target_columns")
    if not target_columns or set(target_columns) & taken or len(set(target_columns)) < len(target_columns):
        raise ValueError(
            f"{table.name}: needs target columns, each once, that have no other role, got {list(target_columns)}"
        )
    columns = _Columns(time, item, list(target_columns), list(known_columns), list(static_columns))
    return _dated(_unnest(table, columns), columns, frequency, timestamp_format)


def _holds_ids(column: pd.Series) -> bool:
    """Whether it is text that is not all numbers: the first column of a table of numbers does not hold ids."""
    is_text = pd.api.types.is_string_dtype(column) or column.dtype == object
    return is_text and not pd.to_numeric(column, errors="coerce").notna().all()


def _has_format(column: pd.Series, timestamp_format: str | None) -> bool:
    """Whether the first cells are time stamps in this `strptime` format."""
    if timestamp_format is None or pd.api.types.is_datetime64_any_dtype(column):
        return False
    return bool(parse_dates(column.head(20).astype(str), timestamp_format).notna().all())


def _dated_column(frame: pd.DataFrame, timestamp_format: str | None) -> str | None:
    """The first column if it holds dates: of this format, or of another that an error then names."""
    column = frame.iloc[:, 0]
    if pd.api.types.is_datetime64_any_dtype(column):
        return column.name
    if not _holds_ids(column):
        return None
    dates = parse_dates(column.head(20), "ISO8601")
    is_dated = dates.notna().all() or _has_format(column, timestamp_format) or date_formats(column)
    return column.name if is_dated else None


def _unnest(table: Table, columns: _Columns) -> Table:
    """One row per time stamp where a cell holds a whole series."""
    names = [columns.time, *columns.targets, *columns.known]
    nested = [name for name in names if isinstance(table.frame[name].iloc[0], (list, tuple, np.ndarray))]
    if not nested:
        return table
    try:
        return replace(table, frame=table.frame.explode(nested))
    except ValueError:
        lengths = table.frame[nested].map(len)
        row = int((lengths.nunique(axis=1) > 1).to_numpy().argmax())
        raise ValueError(f"{table.where(row)}: the lists in {', '.join(nested)} differ in length") from None


def _dated(table: Table, columns: _Columns, frequency: str | None, timestamp_format: str | None) -> SeriesSet:
    """The long and wide layouts."""
    if columns.item is None:
        codes, ids = np.zeros(len(table.frame), np.int64), pd.Index(["series"])
    else:
        # Ids from a CSV are text, and an empty one is missing.
        names = table.frame[columns.item]
        codes, ids = pd.factorize(names.replace({"": None}) if table.is_csv else names)
        table.reject(codes < 0, columns.item, "the id is missing")
    if (np.diff(codes) < 0).any():
        order = np.argsort(codes, kind="stable")
        table, codes = replace(table, frame=table.frame.iloc[order]), codes[order]
    times, dated = table.times(columns.time, timestamp_format)
    offsets = np.searchsorted(codes, np.arange(len(ids) + 1))
    steps = np.append(1, np.where(np.diff(codes) == 0, np.diff(times), 1))
    problem = "occurs twice" if 0 in steps[steps <= 0][:1] else "is earlier than the row before it: sort the rows"
    if columns.item is None:
        problem += " (if the rows are of several series, name the column of their ids as item_id_column)"
    table.reject(steps <= 0, columns.time, lambda cell: f"time stamp {cell} {problem}")
    positions, frequency = _grid(table, columns.time, times, offsets, frequency, dated)
    values, covariates = table.numbers(columns.targets), table.numbers(columns.known)
    for name, column in zip(columns.targets, values.T):
        if np.isnan(column).all():
            raise ValueError(f"{table.name}, column {str(name)!r}: holds no number")
    grid_offsets = np.r_[0, np.cumsum(positions[offsets[1:] - 1] + 1)]
    if grid_offsets[-1] != len(values):  # missing rows become NaN
        rows = grid_offsets[codes] + positions
        whole = [np.full((grid_offsets[-1], part.shape[1]), np.nan) for part in (values, covariates)]
        whole[0][rows], whole[1][rows] = values, covariates
        values, covariates = whole
    starts = times[offsets[:-1]]
    series = SeriesSet(
        values,
        grid_offsets,
        tuple(str(name) for name in ids),
        tuple(str(name) for name in columns.targets),
        starts.astype("datetime64[us]") if dated else starts,
        frequency,
        covariates if columns.known else None,
        tuple(columns.known),
        source=table.name,
    )
    return replace(series, **_statics(table, columns.static, codes, offsets)) if columns.static else series


def _grid(
    table: Table, name: str, times: np.ndarray, offsets: np.ndarray, frequency: str | None, dated: bool
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
            f"{table.where(row, name)}: time stamp {table.frame[name].iloc[row]} is {steps[row - 1]} steps of "
            f"{frequency!r} after the one before it: a wrong date, or a frequency that is too fine"
        )
    return positions, frequency


def _statics(table: Table, columns: list[str], codes: np.ndarray, offsets: np.ndarray) -> dict[str, Any]:
    """The static columns: numbers, and codes of categories."""
    firsts = table.frame[columns].iloc[offsets[:-1]]
    for name in columns:
        column = table.frame[name]
        table.reject(column.isna(), name, "the static value is missing")
        differs = column.to_numpy() != firsts[name].to_numpy()[codes]
        table.reject(differs, name, lambda cell: f"{str(cell)!r} differs within its series; it is not static")
    real = [name for name in columns if pd.api.types.is_numeric_dtype(table.frame[name])]
    statics: dict[str, Any] = {}
    if real:
        statics["static_real"] = replace(table, frame=firsts).numbers(real).astype(np.float32)
    coded = [pd.factorize(firsts[name].astype(str), sort=True) for name in columns if name not in real]
    if coded:
        statics["static_categories"] = np.stack([code for code, _ in coded], axis=1).astype(np.int64)
        statics["static_levels"] = tuple(tuple(levels) for _, levels in coded)
    return statics


def _ragged(table: Table, frequency: str | None) -> SeriesSet:
    """One series per row: an id, then its values, then empty cells."""
    ids = table.frame.iloc[:, 0].astype(str)
    table.reject(ids.duplicated(), ids.name, lambda cell: f"the id {str(cell)!r} occurs twice")
    cells = table.numbers(table.frame.columns[1:])
    observed = ~np.isnan(cells)
    table.reject(~observed.any(axis=1), ids.name, lambda cell: f"the series {str(cell)!r} holds no number")
    lengths = cells.shape[1] - observed[:, ::-1].argmax(axis=1)
    values = cells[np.arange(cells.shape[1]) < lengths[:, None]][:, None]
    if frequency is not None:
        frequency = canonical_frequency(frequency, np.zeros(0, np.int64))
    return SeriesSet(
        values, np.r_[0, np.cumsum(lengths)], tuple(ids), ("target",), frequency=frequency, source=table.name
    )


__all__ = ["read_series"]
