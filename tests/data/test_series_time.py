"""Frequencies and calendar features."""

import numpy as np
import pandas as pd
import pytest

from zoo.data.series_files import read_series
from zoo.data.series_time import calendar_features, calendar_names, season_length, time_stamps


def frame(stamps):
    return pd.DataFrame({"timestamp": stamps, "x": np.arange(len(stamps), dtype=float)})


@pytest.mark.parametrize(
    "alias, start, expected",
    [
        ("h", "2020-01-01", "h"),
        ("15min", "2020-01-01", "15min"),
        ("D", "2020-01-01", "D"),
        ("W-TUE", "2020-01-07", "7D"),
        ("B", "2020-01-01", "B"),
        ("MS", "2020-01-01", "MS"),
        ("ME", "2020-01-31", "ME"),
        ("QS-FEB", "2020-02-01", "3MS"),
        ("YE", "2020-12-31", "12ME"),
        ("2MS", "2020-01-01", "2MS"),
        ("6ME", "2020-01-31", "6ME"),
        ("10s", "2020-01-01", "10s"),
    ],
)
def test_inferred_frequency_continues_the_series(alias, start, expected):
    stamps = pd.date_range(start, periods=40, freq=alias)
    holes = stamps.delete([5, 6, 20])
    for given, frequency in ((stamps, None), (holes, None), (stamps, alias)):
        series = read_series(frame(given), frequency=frequency)
        assert series.frequency == expected
        assert (series.timestamps(0) == stamps).all()
        assert np.isnan(series.values).sum() == 40 - len(given)


@pytest.mark.parametrize("alias", ["BME", "BMS", "SME-15"])
def test_months_on_other_days_raise(alias):
    stamps = pd.date_range("2020-01-01", periods=40, freq=alias)
    stamps = stamps[::2] if alias == "SME-15" else stamps  # the 15th of each month
    with pytest.raises(ValueError, match="column 'timestamp': these look like months.*write the first day"):
        read_series(frame(stamps))


def test_four_weeks_with_gaps_are_no_months():
    stamps = pd.date_range("2020-01-01", periods=40, freq="28D").delete([3, 7, 8, 12, 16, 20, 24, 28, 33])
    assert read_series(frame(stamps)).frequency == "28D"


def test_step_numbers_have_no_calendar():
    assert calendar_features(time_stamps(3, 4, "1"), "1").shape == (4, 0)
    assert calendar_names(None) == ()


@pytest.mark.parametrize(
    "frequency, names",
    [
        ("10s", ("second", "minute", "hour", "day_of_week", "day_of_month", "day_of_year")),
        ("15min", ("minute", "hour", "day_of_week", "day_of_month", "day_of_year")),
        ("h", ("hour", "day_of_week", "day_of_month", "day_of_year")),
        ("D", ("day_of_week", "day_of_month", "day_of_year")),
        ("B", ("day_of_week", "day_of_month", "day_of_year")),
        ("7D", ("day_of_month", "week_of_year")),
        ("MS", ("month",)),
        ("12MS", ()),
    ],
)
def test_calendar_is_chosen_by_frequency(frequency, names):
    assert calendar_names(frequency) == names
    features = calendar_features(pd.date_range("2020-01-01", periods=500, freq=frequency), frequency)
    assert features.shape == (500, len(names)) and features.dtype == np.float32
    assert (np.abs(features) <= 0.5).all()


def test_calendar_values():
    # Sunday, the last hour of a leap year's last-but-4 day
    features = calendar_features(pd.DatetimeIndex(["2020-12-27 23:00"]), "h")[0]
    np.testing.assert_allclose(features, [0.5, 0.5, 26 / 30 - 0.5, 361 / 365 - 0.5], atol=1e-6)
    assert calendar_features(pd.DatetimeIndex(["2020-01-06 00:00"]), "h")[0, :2].tolist() == [-0.5, -0.5]


@pytest.mark.parametrize(
    "frequency, season",
    [
        ("h", 24),
        ("15min", 96),
        ("D", 7),
        ("B", 5),
        ("MS", 12),
        ("3ME", 4),
        ("7D", 1),
        ("10s", 360),
        # a day has no whole number of them
        ("7h", 1),
        ("7s", 1),
        ("12MS", 1),
        ("1", 1),
        (None, 1),
    ],
)
def test_season(frequency, season):
    assert season_length(frequency) == season
