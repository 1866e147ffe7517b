"""Windows: which there are, what they hold, and that they are views."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader

from zoo.data.series import SeriesSet, chronological_split
from zoo.data.series_files import read_series
from zoo.data.series_windows import WindowDataset


def counting(lengths=(20, 30)):
    """Series whose value names its place: 1000 x series + row."""
    values = np.concatenate([1000 * number + np.arange(length) for number, length in enumerate(lengths)])
    ids = tuple(f"s{number}" for number in range(len(lengths)))
    return SeriesSet(values[:, None].astype(np.float32), np.r_[0, np.cumsum(lengths)], ids, ("x",))


def test_every_window_of_every_series_once():
    windows = WindowDataset(counting(), context_length=5, prediction_length=3)
    assert len(windows) == (20 - 8 + 1) + (30 - 8 + 1)
    batch = windows.__getitems__(range(len(windows)))
    whole = torch.cat([batch["past_values"], batch["future_values"]], dim=1)[..., 0]
    begins = torch.cat([torch.arange(13), 1000 + torch.arange(23)])
    assert whole.equal((begins[:, None] + torch.arange(8)).float())
    assert batch["item"].tolist() == [0] * 13 + [1] * 23
    assert batch["past_observed_mask"].all() and batch["past_observed_mask"].dtype == torch.bool
    some = WindowDataset(counting((20,)), 5, 3, stride=4)
    assert [int(window["future_values"][0]) for window in map(some.__getitem__, range(len(some)))] == [5, 9, 13, 17]


def test_validation_and_test_look_back_but_forecast_only_their_own_rows():
    series = counting((17_420,))
    bounds = chronological_split(series, train=8640, validation=2880, test=2880)
    for split, first, last in (("train", 336, 8640), ("validation", 8640, 11_520), ("test", 11_520, 14_400)):
        windows = WindowDataset(series, 336, 96, bounds.rows(split))
        assert len(windows) == last - first - 96 + 1
        assert windows[0]["future_values"][0, 0] == first and windows[-1]["future_values"][-1, 0] == last - 1
        assert windows[0]["past_values"][0, 0] == first - 336


def test_no_window_is_lost_to_a_last_batch():
    windows = WindowDataset(counting(), 5, 3)
    loader = DataLoader(windows, batch_size=16, shuffle=True, collate_fn=lambda batch: batch)
    seen = torch.cat([batch["future_values"][:, 0, 0] for batch in loader])
    assert sorted(seen.tolist()) == [float(v) for v in [*range(5, 18), *range(1005, 1028)]]


def test_short_history_is_masked_padding_that_never_shows_another_series():
    windows = WindowDataset(counting((4, 4)), 6, 2, min_context=1)
    batch = windows.__getitems__(range(len(windows)))
    assert len(windows) == 4
    assert batch["past_values"][2, :, 0].tolist() == [0, 0, 0, 0, 0, 1000]
    assert batch["past_observed_mask"][2, :, 0].tolist() == [False] * 5 + [True]
    assert batch["past_values"][3, :, 0].tolist() == [0, 0, 0, 0, 1000, 1001]


def test_missing_values_are_zero_and_masked():
    series = counting((12,))
    series.values[[2, 9]] = np.nan
    window = WindowDataset(series, 8, 4)[0]
    assert window["past_values"][2] == 0 and not window["past_observed_mask"][2]
    assert window["future_values"][1] == 0 and window["future_observed_mask"][:, 0].tolist() == [
        True,
        False,
        True,
        True,
    ]


def test_features_stand_beside_their_rows():
    frame = pd.DataFrame(
        {"item_id": "a", "timestamp": pd.date_range("2020-01-01", periods=48, freq="h"), "target": 1.0}
    )
    frame["holiday"], frame["kind"], frame["size"] = np.arange(48.0), "shop", 2.5
    series = read_series(frame, known_columns=["holiday"], static_columns=["kind", "size"])
    window = WindowDataset(series, 24, 12)[3]
    assert window["past_time_features"].shape == (24, 5) and window["future_time_features"].shape == (12, 5)
    assert window["future_time_features"][0, 0] == pytest.approx(3 / 23 - 0.5)  # row 27 is 03:00
    assert window["future_time_features"][:, 4].tolist() == list(range(27, 39))
    assert window["static_real_features"].tolist() == [2.5] and window["static_categorical_features"].tolist() == [0]


@pytest.mark.parametrize("arguments", [(5, 0), (0, 5), (5, 3, None, 0), (5, 3, None, 1, 6)])
def test_lengths_that_cannot_be(arguments):
    with pytest.raises(ValueError, match="must be positive"):
        WindowDataset(counting(), *arguments)


def test_too_few_rows():
    series = counting((20, 7))
    message = "series 's1' has 7 rows and 0 before them, too few for 5 of context \\+ 3.*or set skip_short"
    with pytest.raises(ValueError, match=message):
        WindowDataset(series, 5, 3)
    windows = WindowDataset(series, 5, 3, skip_short=True)
    assert windows.skipped == ("s1",) and len(windows) == 13
    with pytest.raises(ValueError, match="2 such series"):
        WindowDataset(series, 50, 3, skip_short=True)
    with pytest.raises(IndexError):
        windows[13]


def test_values_are_shared_and_not_copied():
    series = counting((10_000,))
    windows = WindowDataset(series, 500, 100)
    assert windows.values.data_ptr() == series.values.ctypes.data
    assert windows.history(0).base is not None and np.shares_memory(windows.history(9), series.values)


MEMORY = """
import resource
import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader
from zoo.data.series import SeriesScaler, chronological_split
from zoo.data.series_files import read_series
from zoo.data.series_windows import WindowDataset

def run(rows):
    stamps = pd.date_range("2000-01-01", periods=rows, freq="min")
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(rows, 7)), columns=list("abcdefg"))
    series = read_series(frame.assign(timestamp=stamps))
    del frame, stamps
    return series

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

def train(series):
    bounds = chronological_split(series, train=0.7, validation=0.1, test=0.2)
    scaled = SeriesScaler.fit(series, bounds.train).transform(series)
    windows = WindowDataset(scaled, 336, 96, bounds.rows("train"))
    loader = DataLoader(windows, batch_size=32, shuffle=True, collate_fn=lambda batch: batch)
    for number, batch in enumerate(loader):
        if number == 20:
            return len(windows)

torch.set_num_threads(1)
train(run(2000))  # what the libraries themselves need
series = run(1_000_000)
current = int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
# Reading has a higher peak than training; fill up to that peak, so that what training adds is measured.
ballast = np.ones(max(peak() - current, 0) // 8)
before = peak()
assert train(series) > 699_000
print((peak() - before) / series.values.nbytes)
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="measures memory by /proc, which only Linux has")
def test_training_takes_less_than_twice_the_memory_of_the_series():
    run = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr
    assert float(run.stdout) < 2, run.stdout
