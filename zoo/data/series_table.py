"""A table of series: opened from a file or an object, with errors that name file, row and column."""

import gzip
import os
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

TIMESTAMP_NAMES = ("timestamp", "date", "datetime", "time", "ds")
ITEM_NAMES = ("item_id", "unique_id", "series_id")
# Spellings of a missing number in a CSV.
MISSING = ("", "NA", "N/A", "#N/A", "n/a", "NaN", "nan", "-nan", "NULL", "null", "None", "<NA>")
# A day, midnight and an offset from UTC.
_MIDNIGHT = r"(\d{4}-\d{2}-\d{2})[T ]00:00(?::00(?:\.0+)?)?(?:Z|[+-]\d{2}(?::?\d{2})?)"


# 1.234.567,89 or 1234,5 or 17: numbers with a decimal comma, and points between thousands.
_COMMA_NUMBER = r"\s*[+-]?(?:\d{1,3}(?:\.\d{3})+|\d+)(?:,\d+)?\s*"
# Of those, such as are no number with a comma between thousands: 1,5 and 0,125 but not 1,500.
_DECIMAL_COMMA = r".*,(?:\d{1,2}|\d{4,})\s*|.*\..*,.*|\s*[+-]?(?:0|\d{4,}),.*"
# Dates as people write them, and their format.
_DATES = {
    r"\d{1,2}\.\d{1,2}\.\d{4}": ("%d.%m.%Y",),
    r"\d{1,2}/\d{1,2}/\d{4}": ("%d/%m/%Y", "%m/%d/%Y"),
    r"\d{1,2}-\d{1,2}-\d{4}": ("%d-%m-%Y", "%m-%d-%Y"),
    r"\d{4}/\d{1,2}/\d{1,2}": ("%Y/%m/%d",),
}
# How pandas begins "Expected 2 fields in line 102, saw 4".
_PARSER = "Error tokenizing data. C error: "
_CLOCKS = {"": "", r"[ T]\d{1,2}:\d{2}": " %H:%M", r"[ T]\d{1,2}:\d{2}:\d{2}": " %H:%M:%S"}


def comma(cell: object) -> str:
    """What to do about a decimal comma, for an error; empty if the cell has none."""
    is_decimal = re.fullmatch(r"\s*[+-]?[0-9.]*,[0-9]+\s*", str(cell)) is not None
    return ": write a decimal point, and no comma" if is_decimal else ""


def decimal_points(column: pd.Series) -> pd.Series:
    """The column with decimal points, if all its cells are numbers with a decimal comma and some cannot be others."""
    text = column.dropna().astype(str)
    if not text.str.fullmatch(_COMMA_NUMBER).all() or not text.str.fullmatch(_DECIMAL_COMMA).any():
        return column
    return text.str.replace(".", "", regex=False).str.replace(",", ".", regex=False).reindex(column.index)


def parse_dates(text: pd.Series, timestamp_format: str) -> pd.Series:
    """Dates in UTC, NaT where a cell is not in the format.

    Raises:
        ValueError: It is not a `strptime` format.
    """
    try:
        return pd.to_datetime(text, format=timestamp_format, errors="coerce", utc=True)
    except ValueError as error:
        raise ValueError(f"timestamp_format={timestamp_format!r}: {error}") from None


def date_formats(column: pd.Series) -> list[str]:
    """The `strptime` formats that fit the cells; days and months stay ambiguous where no cell tells them apart."""
    text = column.head(1000).astype(str)
    return [
        format + clock
        for date, formats in _DATES.items()
        for pattern, clock in _CLOCKS.items()
        if text.str.fullmatch(date + pattern).all()
        for format in formats
        if pd.to_datetime(text, format=format + clock, errors="coerce").notna().all()
    ]


@dataclass(frozen=True)
class Table:
    """A frame with what its error messages need.

    Args:
        frame: Its index numbers the rows of the source.
        name: Of the source, in error messages.
        is_csv: Whether rows are lines of a CSV.
    """

    frame: pd.DataFrame
    name: str
    is_csv: bool = False

    def where(self, row: int, column: str | None = None) -> str:
        """The place of the frame's row at this position, in the source."""
        label = self.frame.index[row]
        place = f"{self.name}, line {label + 2}" if self.is_csv else f"{self.name}, row {label}"
        return place if column is None else f"{place}, column {str(column)!r}"

    def need(self, columns: Sequence[str], role: str) -> None:
        """Raise if a column is missing."""
        missing = [column for column in columns if column not in self.frame.columns]
        if missing:
            raise ValueError(f"{self.name} has no column {missing[0]!r} ({role}); it has {self.describe_columns()}")

    def describe_columns(self) -> str:
        """The first columns, for an error message."""
        return ", ".join(str(column) for column in self.frame.columns[:20])

    def reject(self, wrong: np.ndarray | pd.Series, column: str, problem: str | Callable[[Any], str]) -> None:
        """Raise if a row is wrong, naming the first.

        Args:
            wrong (`np.ndarray` or `pd.Series` of shape `(rows,)`): Whether each row is wrong.
            column: The column to name.
            problem: What is wrong, or a function of the cell that returns it.
        """
        wrong = np.asarray(wrong, bool)
        if wrong.any():
            row = int(wrong.argmax())
            text = problem if isinstance(problem, str) else problem(self.frame[column].iloc[row])
            raise ValueError(f"{self.where(row, column)}: {text}")

    def numbers(self, columns: Sequence[str]) -> np.ndarray:
        """(rows, columns) float64, NaN where a cell is empty; text and infinite values raise."""
        values = np.empty((len(self.frame), len(columns)), np.float64)
        for place, name in enumerate(columns):
            column = self.frame[name]
            if pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.is_timedelta64_dtype(column):
                raise ValueError(f"{self.where(0, name)}: holds dates, not numbers; leave it out with target_columns")
            if not pd.api.types.is_numeric_dtype(column):
                column = decimal_points(column) if self.is_csv else column
                parsed = pd.to_numeric(column, errors="coerce")
                self.reject(
                    parsed.isna() & column.notna(), name, lambda cell: f"{str(cell)!r} is not a number{comma(cell)}"
                )
                column = parsed
            values[:, place] = column.to_numpy(np.float64, na_value=np.nan)
            self.reject(np.isinf(values[:, place]), name, lambda cell: f"{cell} is infinite")
        return values

    def times(self, name: str, timestamp_format: str | None) -> tuple[np.ndarray, bool]:
        """(rows,) int64 and whether they are dates: microseconds since 1970, or step numbers."""
        column = self.frame[name]
        self.reject(column.isna(), name, "the time stamp is missing")
        if pd.api.types.is_numeric_dtype(column) and timestamp_format is None:
            if column.between(19_000_101, 22_001_231).all():
                raise ValueError(
                    f"{self.where(0, name)}: if {column.iloc[0]} is a date, give timestamp_format='%Y%m%d'"
                )
            self.reject(column != column // 1, name, lambda cell: f"{cell} is neither a date nor a step number")
            return column.to_numpy(np.int64), False
        if not pd.api.types.is_datetime64_any_dtype(column):
            text = column.astype(str)
            # The first 20 tell quickly that they are not all midnights with an offset from UTC.
            if timestamp_format is None and all(t.str.fullmatch(_MIDNIGHT).all() for t in (text.head(20), text)):
                text = text.str.extract(_MIDNIGHT)[0]
            column = parse_dates(text, timestamp_format or "ISO8601")
            if column.isna().any():
                expected = timestamp_format or f"ISO 8601 (2016-07-01 13:00); {self._format_advice(name)}"
                if "%" not in expected and timestamp_format:
                    expected += ", which is no strptime format: write %d for days, %m for months, %Y for years"
                self.reject(column.isna(), name, lambda cell: f"{str(cell)!r} is not a time stamp in {expected}")
        if column.dt.tz is not None:
            # Days of a zone are not all 24 hours long, so its midnights have no regular step in UTC.
            local = column.dt.tz_localize(None)
            is_days = (local == local.dt.normalize()).all()
            column = local if is_days else column.dt.tz_convert("UTC").dt.tz_localize(None)
        return column.to_numpy("datetime64[us]").astype(np.int64), True

    def _format_advice(self, name: str) -> str:
        formats = date_formats(self.frame[name])
        if not formats:
            return "give the format as timestamp_format"
        return "give timestamp_format, here " + " or ".join(repr(format) for format in formats)


def usual_column(columns: pd.Index, given: str | None, usual: Sequence[str]) -> str | None:
    """The given column, or else the first with a usual name, or None."""
    return given or next((column for name in usual for column in columns if str(column).lower() == name), None)


def open_table(source: Any, timestamp_column: str | None = None, item_column: str | None = None) -> Table:
    """A CSV (also .gz) or Parquet file, a pandas frame or a `datasets.Dataset` as a table.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file is damaged or of another kind.
        TypeError: `source` is none of the above.
    """
    if isinstance(source, pd.DataFrame):
        frame = source
        # AutoGluon's frames have (item_id, timestamp) as their index, others only the time stamps.
        if isinstance(frame.index, pd.MultiIndex):
            frame = frame.reset_index()
        elif isinstance(frame.index, pd.DatetimeIndex):
            frame = frame.rename_axis(frame.index.name or "timestamp").reset_index()
        return Table(frame.reset_index(drop=True), "the frame")
    if hasattr(source, "to_pandas"):
        return Table(source.to_pandas().reset_index(drop=True), "the data set")
    if isinstance(source, dict):
        raise TypeError(f"a data set with the splits {', '.join(map(str, source))}: choose one of them")
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(f"series come from a file, a pandas frame or a datasets.Dataset, not {type(source).__name__}")
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file")
    try:
        if path.suffix in (".parquet", ".pq"):
            return replace(open_table(pd.read_parquet(path)), name=path.name)
        if path.name.removesuffix(".gz").endswith((".csv", ".tsv", ".txt")):
            return _read_csv(path, timestamp_column, item_column)
    except pd.errors.EmptyDataError:
        raise ValueError(f"{path} is empty") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}, line {line}: this is not UTF-8; save the file as UTF-8") from None
    except (ValueError, OSError, EOFError, pd.errors.ParserWarning) as error:  # pandas' parser errors are ValueErrors
        raise ValueError(f"{path}: {' '.join(str(error).split()).replace(_PARSER, '')}") from error
    raise ValueError(f"{path}: expected a .csv, .csv.gz or .parquet file")


def _read_csv(path: Path, timestamp_column: str | None, item_column: str | None) -> Table:
    opened = gzip.open(path, "rt", encoding="utf-8-sig") if path.suffix == ".gz" else open(path, encoding="utf-8-sig")
    with opened as file:
        separator = max(",;\t", key=file.readline().count)
    options: dict[str, Any] = {"sep": separator, "encoding": "utf-8-sig", "index_col": False}
    columns = pd.read_csv(path, nrows=0, **options).columns
    item = usual_column(columns, item_column, ITEM_NAMES)
    if item is None and usual_column(columns, timestamp_column, TIMESTAMP_NAMES) is None:
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
    return Table(frame[~blank] if blank.any() else frame, path.name, is_csv=True)


__all__ = ["ITEM_NAMES", "TIMESTAMP_NAMES", "Table", "date_formats", "open_table", "parse_dates", "usual_column"]
