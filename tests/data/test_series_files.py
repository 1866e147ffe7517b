"""Reading series: the layouts, what becomes missing, and one clear line for everything that is wrong."""

import gzip

import datasets
import numpy as np
import pandas as pd
import pytest

from zoo.data.series_files import read_series

HOURS = pd.date_range("2020-01-01", periods=6, freq="h")


def write(folder, text, name="mine.csv"):
    path = folder / name
    path.write_text(text)
    return path


def long_frame(rows=6, ids=("a", "b")):
    parts = [
        pd.DataFrame({"item_id": name, "timestamp": HOURS[:rows], "target": np.arange(rows) + 10.0 * k})
        for k, name in enumerate(ids)
    ]
    return pd.concat(parts, ignore_index=True)


# Layouts


def test_wide_csv_is_one_series_with_one_channel_per_column(tmp_path):
    series = read_series(write(tmp_path, "date,x,y\n2020-01-01 00:00,1,2\n2020-01-01 01:00,3,4\n"))
    assert (len(series), series.channels, series.frequency) == (1, ("x", "y"), "h")
    np.testing.assert_array_equal(series.values, [[1, 2], [3, 4]])
    assert series.timestamps(0, extra=1)[-1] == pd.Timestamp("2020-01-01 02:00")


@pytest.mark.parametrize("name", ["mine.csv.gz", "mine.parquet"])
def test_other_files_give_the_same_series(tmp_path, name):
    frame = long_frame()
    if name.endswith("gz"):
        (tmp_path / name).write_bytes(gzip.compress(frame.to_csv(index=False).encode()))
    else:
        frame.to_parquet(tmp_path / name)
    from_file, from_frame = read_series(tmp_path / name), read_series(frame)
    assert from_file.fingerprint() == from_frame.fingerprint()
    assert from_file.source == name


def test_long_layout_with_unequal_lengths_and_interleaved_rows():
    frame = pd.concat([long_frame(), long_frame(3, ids=("c",))]).sort_values("timestamp", kind="stable")
    series = read_series(frame)
    assert series.item_ids == ("a", "b", "c") and series.lengths.tolist() == [6, 6, 3]
    np.testing.assert_array_equal(series.item(1)[:, 0], np.arange(6) + 10)


def test_datasets_object_and_nested_cells_give_the_same_series():
    frame = long_frame()
    flat = read_series(datasets.Dataset.from_pandas(frame, preserve_index=False))
    rows = [
        {"item_id": name, **group[["timestamp", "target"]].to_dict("list")} for name, group in frame.groupby("item_id")
    ]
    nested = read_series(datasets.Dataset.from_list(rows))
    assert flat.fingerprint() == nested.fingerprint() == read_series(frame).fingerprint()


def test_frame_with_time_stamps_as_index_and_autogluon_index():
    wide = pd.DataFrame({"x": np.arange(6.0)}, index=HOURS)
    assert read_series(wide).channels == ("x",)
    both = long_frame()
    assert read_series(both.set_index(["item_id", "timestamp"])).fingerprint() == read_series(both).fingerprint()


def test_ragged_file_of_the_m4_competition(tmp_path):
    series = read_series(write(tmp_path, '"V1","V2","V3","V4"\n"H1","1","2",\n"NA","3",,"5"\n'), frequency="h")
    assert series.item_ids == ("H1", "NA") and series.lengths.tolist() == [2, 3] and series.starts is None
    np.testing.assert_array_equal(series.values[:, 0], [1, 2, 3, np.nan, 5])
    assert series.calendar().shape == (5, 0)


def test_ids_stay_text(tmp_path):
    text = "item_id,timestamp,target\n007,2020-01-01,1\n007,2020-01-02,1\nNA,2020-01-01,1\nNA,2020-01-02,1\n"
    assert read_series(write(tmp_path, text)).item_ids == ("007", "NA")
    with pytest.raises(ValueError, match="line 3, column 'item_id': the id is missing"):
        read_series(write(tmp_path, text.replace("007,2020-01-02", ",2020-01-02")))


def test_semicolons_byte_order_mark_and_blank_lines(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("date;x\n2020-01-01;1\n\n2020-01-02;2\n\n", encoding="utf-8-sig")
    assert read_series(path).values[:, 0].tolist() == [1, 2]


def test_covariates_and_static_columns():
    frame = long_frame()
    frame["price"], frame["region"], frame["size"] = 2.0, ["north"] * 6 + ["east"] * 6, [1.5] * 6 + [2.5] * 6
    series = read_series(frame, known_columns=["price"], static_columns=["region", "size"])
    assert series.channels == ("target",) and series.known.shape == (12, 1)
    assert series.static_levels == (("east", "north"),) and series.static_categories.tolist() == [[1], [0]]
    assert series.static_real.tolist() == [[1.5], [2.5]]


def test_the_row_counter_of_a_saved_frame_is_no_channel(tmp_path):
    path = tmp_path / "mine.csv"
    pd.DataFrame({"date": HOURS, "x": 1.0}).to_csv(path)
    assert read_series(path).channels == ("x",)


# What is missing


def test_gaps_and_empty_cells_become_missing_values(tmp_path):
    rows = ["date,x", "2020-01-01,1", "2020-01-02,", "2020-01-03,3", "2020-01-05,NA", "2020-01-06,6"]
    series = read_series(write(tmp_path, "\n".join(rows)))
    np.testing.assert_array_equal(series.values[:, 0], [1, np.nan, 3, np.nan, np.nan, 6])


def test_step_numbers_as_time_stamps():
    series = read_series(pd.DataFrame({"timestamp": [10, 12, 16, 18], "x": [1.0, 2, 3, 4]}))
    np.testing.assert_array_equal(series.values[:, 0], [1, 2, np.nan, 3, 4])
    assert series.frequency == "2" and series.timestamps(0, extra=1).tolist() == [10, 12, 14, 16, 18, 20]


def test_zones_become_utc(tmp_path):
    # The clock goes back: 02:30 occurs twice in local time, an hour apart in UTC.
    text = "date,x\n2020-10-25T01:30+02:00,0\n2020-10-25T02:30+02:00,1\n2020-10-25T02:30+01:00,2\n"
    series = read_series(write(tmp_path, text))
    assert series.frequency == "h" and series.timestamps(0)[0] == pd.Timestamp("2020-10-24 23:30")


@pytest.mark.parametrize("frequency", ["D", "MS"])
def test_days_of_a_zone_stay_days(tmp_path, frequency):
    # The clock goes forward and back between them, so in UTC they begin at 23:00 or at 22:00 of the day before.
    stamps = pd.date_range("2020-03-01", periods=300, freq=frequency)
    frame = pd.DataFrame({"date": stamps.tz_localize("Europe/Berlin"), "x": 1.0})
    frame.to_csv(tmp_path / "days.csv", index=False)
    for source in (frame, tmp_path / "days.csv"):
        series = read_series(source)
        assert series.frequency == frequency and (series.timestamps(0) == stamps).all()


# What is wrong: file, row and column in one line

HEAD = "date,x,y\n2020-01-01 00:00,1,1\n2020-01-01 01:00,2,2\n"


@pytest.mark.parametrize(
    "rows, expected",
    [
        ("2020-01-01 01:00,3,3\n", "mine.csv, line 4, column 'date': time stamp 2020-01-01 01:00 occurs twice"),
        ("2020-01-01 00:30,3,3\n", "mine.csv, line 4, column 'date': time stamp 2020-01-01 00:30 is earlier than"),
        ("2020-01-01 02:00,3,three\n", "mine.csv, line 4, column 'y': 'three' is not a number"),
        ("\n2020-01-01 02:00,3,\"1,500\"\n", "mine.csv, line 5, column 'y': '1,500' is not a number: write a decimal"),
        ("2020-01-01 02:00,-inf,3\n", "mine.csv, line 4, column 'x': -inf is infinite"),
        ("2020-01-01 02:00,3,3\n01/02/2020,4,4\n", "line 5, column 'date': '01/02/2020' is not a time stamp"),
        (",3,3\n", "mine.csv, line 4, column 'date': the time stamp is missing"),
        ("2020-01-01 02:00,3,3\n2020-01-01 02:20,4,4\n", "mine.csv, line 5, column 'date': .*mixed frequencies"),
        ("2020-01-01 02:00,3,3\n2202-01-01 02:00,4,4\n", "mine.csv, line 5, column 'date': .*a wrong date"),
        ("2020-01-01 02:00,3,3,3\n", "mine.csv: .*line 4"),
    ],
)  # fmt: skip
def test_errors_name_file_line_and_column(tmp_path, rows, expected):
    with pytest.raises(ValueError, match=expected) as caught:
        read_series(write(tmp_path, HEAD + rows))
    assert "\n" not in str(caught.value)


def test_line_number_survives_interleaved_series(tmp_path):
    rows = ["item_id,timestamp,target", "a,2020-01-01,1", "b,2020-01-01,1", "a,2020-01-02,1", "b,2020-01-02,oops"]
    with pytest.raises(ValueError, match="line 5, column 'target': 'oops'"):
        read_series(write(tmp_path, "\n".join(rows) + "\n"))


def test_a_stretch_at_another_frequency_is_an_error_and_single_gaps_are_not():
    hourly = pd.date_range("2020-01-01", periods=200, freq="h")
    daily = pd.date_range("2020-02-01", periods=30, freq="D")
    with pytest.raises(ValueError, match="row 200, column 'timestamp'.*mixed frequencies"):
        read_series(pd.DataFrame({"timestamp": hourly.append(daily), "x": 1.0}))
    gappy = hourly[np.random.default_rng(0).random(200) > 0.2]
    assert read_series(pd.DataFrame({"timestamp": gappy, "x": 1.0})).frequency == "h"


def test_series_of_another_frequency_is_an_error_unless_the_frequency_is_given():
    frame = long_frame(ids=("a",))
    slow = pd.DataFrame(
        {"item_id": "b", "timestamp": pd.date_range("2020-01-01", periods=3, freq="2h"), "target": 1.0}
    )
    both = pd.concat([frame, slow], ignore_index=True)
    with pytest.raises(ValueError, match="row 6, column 'timestamp'.*mixed frequencies"):
        read_series(both)
    assert read_series(both, frequency="h").lengths.tolist() == [6, 5]


@pytest.mark.parametrize(
    "make, expected",
    [
        (lambda: pd.DataFrame({"a": [1.0], "b": [2.0]}), "no column of time stamps.*it has a, b"),
        (lambda: pd.DataFrame({"date": HOURS, "x": HOURS}), "row 0, column 'x': holds dates"),
        (lambda: pd.DataFrame({"date": HOURS, "x": np.nan}), "column 'x': holds no number"),
        (lambda: pd.DataFrame({"date": HOURS[:1], "x": 1.0}), "no series has two rows"),
        (lambda: pd.DataFrame({"date": [20200131, 20200201], "x": 1.0}), "give timestamp_format='%Y%m%d'"),
        (lambda: long_frame().assign(item_id=["a"] * 11 + [None]), "row 11, column 'item_id': the id is missing"),
        (lambda: long_frame().iloc[:0], "has no rows"),
        (lambda: pd.DataFrame({"id": ["a", "a"], "v": [1.0, 2.0]}), "row 1, column 'id': the id 'a' occurs twice"),
        (
            lambda: pd.DataFrame({"id": ["a", "b"], "v": [1.0, np.nan]}),
            "column 'id': the series 'b' holds no number",
        ),
        (lambda: long_frame().drop(columns="timestamp"), "no column of time stamps.*it has item_id, target"),
    ],
)
def test_frames_that_cannot_be_used(make, expected):
    with pytest.raises(ValueError, match=expected):
        read_series(make())


def test_arguments_that_do_not_fit(tmp_path):
    ragged = pd.DataFrame({"id": ["a", "b"], "v1": [1.0, 2.0], "v2": [1.0, 2.0]})
    with pytest.raises(ValueError, match="no column of time stamps"):
        read_series(ragged, known_columns=["price"])
    with pytest.raises(ValueError, match=r"each once, .*got \['target', 'target'\]"):
        read_series(long_frame(), target_columns=["target", "target"])
    with pytest.raises(ValueError, match="no column 'OT'.*target_columns.*it has item_id"):
        read_series(long_frame(), target_columns=["OT"])
    with pytest.raises(ValueError, match="row 3, column 'kind'.*not static"):
        read_series(long_frame().assign(kind=["u"] * 3 + ["v"] * 9), static_columns=["kind"])
    with pytest.raises(ValueError, match="not a pandas frequency"):
        read_series(long_frame(), frequency="hourly")
    with pytest.raises(FileNotFoundError, match="nowhere.csv is not a file"):
        read_series(tmp_path / "nowhere.csv")
    with pytest.raises(ValueError, match="expected a .csv"):
        read_series(write(tmp_path, "x", "mine.xlsx"))
    with pytest.raises(TypeError, match="the splits train: choose one"):
        read_series(datasets.DatasetDict(train=datasets.Dataset.from_dict({"x": [1]})))
    with pytest.raises(ValueError, match="mine.csv"):
        read_series(write(tmp_path, ""))


def test_a_format_reads_other_dates(tmp_path):
    path = write(tmp_path, "day,x\n31.12.2020,1\n01.01.2021,2\n")
    series = read_series(path, timestamp_column="day", timestamp_format="%d.%m.%Y")
    assert series.frequency == "D" and series.timestamps(0)[1] == pd.Timestamp("2021-01-01")


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1496,11", "", "3,5"], [1496.11, np.nan, 3.5]),
        (["1.496,11", "2.500", "-17"], [1496.11, 2500, -17]),
        (["0,125", "2,250", "1"], [0.125, 2.25, 1]),
        (["1.5", "2.250", "17"], [1.5, 2.25, 17]),
    ],
)
def test_decimal_commas(tmp_path, cells, values):
    rows = "\n".join(f"2024-01-0{day};{cell}" for day, cell in enumerate(cells, 1))
    series = read_series(write(tmp_path, f"date;sales\n{rows}\n"))
    np.testing.assert_array_equal(series.values[:, 0], values)


@pytest.mark.parametrize("cells", [["1,500", "2,750"], ["1,5", "2.5"], ["1,5", "n.a."]])
def test_numbers_that_may_be_two_are_no_numbers(tmp_path, cells):
    rows = "\n".join(f"2024-01-0{day};{cell}" for day, cell in enumerate(cells, 1))
    with pytest.raises(ValueError, match="is not a number"):
        read_series(write(tmp_path, f"date;sales\n{rows}\n"))


@pytest.mark.parametrize(
    ("dates", "advice"),
    [
        (["01.02.2024", "02.02.2024"], "give timestamp_format, here '%d.%m.%Y'"),
        (["01/02/2024", "02/02/2024"], "give timestamp_format, here '%d/%m/%Y' or '%m/%d/%Y'"),
        (["12/02/2024", "13/02/2024"], "give timestamp_format, here '%d/%m/%Y'$"),
        (["1.2.2024 13:00", "1.2.2024 14:00"], "here '%d.%m.%Y %H:%M'$"),
        (["Monday", "Tuesday"], "give the format as timestamp_format"),
    ],
)
def test_an_unknown_date_names_its_format(tmp_path, dates, advice):
    text = "date,a\n" + "".join(f"{date},1\n" for date in dates)
    with pytest.raises(ValueError, match=advice):
        read_series(write(tmp_path, text), timestamp_column="date")
    with pytest.raises(ValueError, match="is no strptime format: write %d for days"):
        read_series(write(tmp_path, text), timestamp_column="date", timestamp_format="dd/mm/yyyy")


def test_a_first_column_of_other_dates_is_the_time(tmp_path):
    """Its name is not a usual one, and its cells are not ISO 8601: they are no ids of series all the same."""
    path = write(tmp_path, "Datum;Umsatz\n01.02.2024;1,5\n02.02.2024;2,5\n")
    with pytest.raises(ValueError, match="give timestamp_format, here '%d.%m.%Y'"):
        read_series(path)
    with pytest.raises(ValueError, match="timestamp_format='%Q': 'Q' is a bad directive"):
        read_series(path, timestamp_format="%Q")
    for option in ("timestamp_format", "preferred_format"):
        series = read_series(path, **{option: "%d.%m.%Y"})
        assert series.channels == ("Umsatz",) and series.frequency == "D" and series.values.tolist() == [[1.5], [2.5]]
    iso = write(tmp_path, "Datum;Umsatz\n2024-02-01;1,5\n2024-02-02;2,5\n")
    assert read_series(iso, preferred_format="%d.%m.%Y").starts[0] == np.datetime64("2024-02-01")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "series.csv is empty"),
        ("date,a\n2024-01-01,1\n2024-01-02,ä\n".encode("latin-1"), "series.csv, line 3: this is not UTF-8"),
        (b"date,a\n2024-01-01,1\n2024-01-02,1,2,3\n", "series.csv: Expected 2 fields in line 3, saw 4"),
    ],
)
def test_a_damaged_file_says_where(tmp_path, content, message):
    path = tmp_path / "series.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_series(path)


def test_several_series_without_their_ids_name_the_argument(tmp_path):
    text = "shop,date,a\nx,2024-01-01,1\nx,2024-01-02,1\ny,2024-01-01,1\n"
    with pytest.raises(ValueError, match="line 4, column 'date'.*sort the rows .*name the column of their ids"):
        read_series(write(tmp_path, text), target_columns=["a"])
