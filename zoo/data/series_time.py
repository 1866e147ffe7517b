"""Time stamps of regular series: their frequency, their places on its grid, and calendar features.

A frequency is a pandas alias ("h", "15min", "D", "7D", "B", "MS", "3ME"), or a whole number in text ("1") for series
whose time stamps are step numbers. `times` are int64 of shape `(rows,)`, microseconds since 1970 or step numbers,
increasing within each series; `offsets`, of shape `(series + 1,)`, say where each series begins.
"""

import numpy as np
import pandas as pd
from pandas.tseries import offsets as pandas_offsets
from pandas.tseries.frequencies import to_offset

_SECOND = 1_000_000  # microseconds, the unit of every time stamp here
_MINUTE, _HOUR, _DAY = 60 * _SECOND, 3600 * _SECOND, 86_400 * _SECOND
_MONTHS = {
    1: (pandas_offsets.MonthBegin, pandas_offsets.MonthEnd, pandas_offsets.BMonthBegin, pandas_offsets.BMonthEnd),
    3: (pandas_offsets.QuarterBegin, pandas_offsets.QuarterEnd),
    12: (pandas_offsets.YearBegin, pandas_offsets.YearEnd),
}
# So many equal larger steps in a row are another frequency, not gaps.
_OTHER_STEPS = 10


class GridError(ValueError):
    """A time stamp does not fit the grid; `row` counts the time stamps from 0."""

    def __init__(self, row: int, reason: str):
        super().__init__(reason)
        self.row = row


def _step(frequency: str) -> tuple[str, int]:
    """(kind, size): "steps", "months", or microseconds of "time" and of "business" days."""
    if frequency.isdigit() and int(frequency) > 0:
        return "steps", int(frequency)
    try:
        offset = to_offset(frequency)
    except ValueError:
        offset = None
    if offset is None or offset.n < 1:
        raise ValueError(f"frequency={frequency!r} is not a pandas frequency such as 'h', '15min', 'D', 'B' or 'MS'")
    if isinstance(offset, pandas_offsets.BusinessDay) and offset.n == 1:
        return "business", _DAY
    if isinstance(offset, pandas_offsets.Week):
        return "time", 7 * _DAY * offset.n
    for months, classes in _MONTHS.items():
        if isinstance(offset, classes):
            return "months", months * offset.n
    try:
        return "time", int(pd.Timedelta(offset) // pd.Timedelta(microseconds=1))
    except ValueError:
        raise ValueError(f"frequency={frequency!r} has no regular step that this library knows") from None


def _months(times: np.ndarray) -> np.ndarray:
    return times.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)


def _days(times: np.ndarray) -> np.ndarray:
    return times.astype("datetime64[us]").astype("datetime64[D]")


def _month_alias(times: np.ndarray) -> str | None:
    """MS or ME when all time stamps are midnights of first or of last days, else None."""
    if (times % _DAY).any():
        return None
    for alias, days in (("MS", times), ("ME", times + _DAY)):
        if (days.astype("datetime64[us]") == _months(days).astype("datetime64[M]")).all():
            return alias
    return None


def _alias(microseconds: int) -> str:
    days, rest = divmod(microseconds, _DAY)
    if rest:
        return to_offset(pd.Timedelta(microseconds=microseconds)).freqstr
    return "D" if days == 1 else f"{days}D"


def canonical_frequency(frequency: str, times: np.ndarray) -> str:
    """The alias with which `pandas.date_range` continues `times` ("W" on Tuesdays becomes "7D").

    Raises:
        ValueError: It is not a frequency, or is one of months and the time stamps are neither first nor last days.
    """
    kind, size = _step(frequency)
    if kind != "months":
        return {"steps": frequency, "business": "B"}.get(kind) or _alias(size)
    ending = _month_alias(times)
    if ending is None:
        raise ValueError(f"frequency={frequency!r} needs time stamps at the first or at the last day of a month")
    return ending if size == 1 else f"{size}{ending}"


def infer_frequency(times: np.ndarray, offsets: np.ndarray, dated: bool = True) -> str:
    """The step that is most frequent between neighbours, as a frequency; `dated`: whether `times` are dates.

    Raises:
        ValueError: No series has two rows, or they are months apart on neither first nor last days.
    """
    neighbours = np.diff(_owner(offsets)) == 0
    steps = np.diff(times)[neighbours]
    if not len(steps):
        raise ValueError("no series has two rows to infer a frequency from: give it as `frequency`")
    sizes, counts = np.unique(steps, return_counts=True)
    step = int(sizes[counts.argmax()])
    if not dated:
        return str(step)
    if step >= 28 * _DAY:
        ending = _month_alias(times)
        if ending is not None:
            months, often = np.unique(np.diff(_months(times))[neighbours], return_counts=True)
            count = int(months[often.argmax()])
            return ending if count == 1 else f"{count}{ending}"
        # Months have 28 to 31 days; days in equal numbers, with gaps, would be multiples of one step.
        if counts.max() < 0.8 * len(steps) and (sizes % step).any():
            raise ValueError(
                "these look like months, but the time stamps are neither all first days nor all last days of a "
                "month: write the first day of each"
            )
    is_business = step == _DAY and 3 * _DAY in sizes and np.is_busday(_days(times)).all()
    return "B" if is_business else _alias(step)


def _owner(offsets: np.ndarray) -> np.ndarray:
    """(rows,) the series that each row belongs to."""
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def grid_positions(times: np.ndarray, offsets: np.ndarray, frequency: str, strict: bool) -> np.ndarray:
    """(rows,) int64: number of steps between the first row of its series and each row.

    `strict` treats a stretch of equal larger steps as another frequency, not as gaps.

    Raises:
        GridError: A row is between two steps, or a series (or a stretch of one) has another frequency.
    """
    kind, size = _step(frequency)
    first = np.repeat(times[offsets[:-1]], np.diff(offsets))
    if kind == "business":
        on_grid = np.is_busday(_days(times)) & (times % _DAY == first % _DAY)
        positions = np.busday_count(_days(first), _days(times)).astype(np.int64)
    else:
        distance = _months(times) - _months(first) if kind == "months" else times - first
        on_grid, positions = distance % size == 0, distance // size
        if kind == "months" and _month_alias(times) is None:
            raise GridError(0, "monthly time stamps must all be first days or all be last days of a month")
    if not on_grid.all():
        row = int((~on_grid).argmax())
        raise GridError(row, f"is between two steps of the frequency {frequency!r} (mixed frequencies?)")
    if not strict:
        return positions
    steps, owner = np.diff(positions, append=-1), _owner(offsets)
    # Runs of equal steps. The step from a series' last row to the next series' row 0 is never positive: it ends a run.
    begins = np.flatnonzero(np.r_[True, (steps[1:] != steps[:-1]) | (owner[1:] != owner[:-1])])
    lengths = np.diff(np.r_[begins, len(steps)])
    enough = np.minimum(_OTHER_STEPS, np.maximum(np.diff(offsets)[owner[begins]] - 1, 2))
    other = np.flatnonzero((steps[begins] > 1) & (lengths >= enough))
    if len(other):
        run = other[0]
        raise GridError(
            int(begins[run]),
            f"begins {lengths[run]} steps of {steps[begins[run]]} x {frequency!r} where the rest has single steps: "
            "mixed frequencies (give `frequency` if these are gaps)",
        )
    return positions


def time_stamps(start: np.datetime64 | int, count: int, frequency: str | None) -> pd.Index:
    """`count` time stamps (or step numbers) from `start` on."""
    step = int(frequency) if frequency is not None and frequency.isdigit() else None
    if frequency is not None and step is None and isinstance(start, np.datetime64):
        return pd.date_range(pd.Timestamp(start), periods=count, freq=frequency)
    step = step or 1
    return pd.RangeIndex(int(start), int(start) + count * step, step)


# Name -> (value at each time stamp, smallest, largest).
_CALENDAR = {
    "second": (lambda index: index.second, 0, 59),
    "minute": (lambda index: index.minute, 0, 59),
    "hour": (lambda index: index.hour, 0, 23),
    "day_of_week": (lambda index: index.day_of_week, 0, 6),
    "day_of_month": (lambda index: index.day, 1, 31),
    "day_of_year": (lambda index: index.day_of_year, 1, 366),
    "week_of_year": (lambda index: index.isocalendar().week, 1, 53),
    "month": (lambda index: index.month, 1, 12),
}


def calendar_names(frequency: str | None) -> tuple[str, ...]:
    """The calendar features that vary at this frequency (the choice of GluonTS); none for step numbers."""
    if frequency is None or frequency.isdigit():
        return ()
    kind, size = _step(frequency)
    if kind == "months":
        return ("month",) if size < 12 else ()
    if size >= 7 * _DAY:
        return ("day_of_month", "week_of_year")
    names: tuple[str, ...] = ("day_of_week", "day_of_month", "day_of_year")
    for name, unit in (("hour", _DAY), ("minute", _HOUR), ("second", _MINUTE)):
        names = (name, *names) if size < unit else names
    return names


def calendar_features(stamps: pd.Index, frequency: str | None) -> np.ndarray:
    """(rows, features) float32, each from -0.5 to 0.5: Monday is -0.5 and Sunday 0.5 of `day_of_week`."""
    names = calendar_names(frequency)
    features = np.empty((len(stamps), len(names)), np.float32)
    for column, name in enumerate(names):
        read, low, high = _CALENDAR[name]
        features[:, column] = (np.asarray(read(stamps), np.float32) - low) / (high - low) - 0.5
    return features


def season_length(frequency: str | None) -> int:
    """Steps of the usual season at this frequency: a day, a week of days, a year of months; 1 for none."""
    if frequency is None or frequency.isdigit():
        return 1
    kind, size = _step(frequency)
    if kind == "business":
        return 5
    if kind == "months":
        return 12 // size if 12 % size == 0 else 1
    if size < _DAY:
        whole = _HOUR if size < _MINUTE else _DAY
        return whole // size if whole % size == 0 else 1
    return 7 if size == _DAY else 1


__all__ = [
    "GridError",
    "calendar_features",
    "calendar_names",
    "canonical_frequency",
    "grid_positions",
    "infer_frequency",
    "season_length",
    "time_stamps",
]
