"""Split and scaler: chronological, and blind to what comes after training."""

from dataclasses import replace

import numpy as np
import pytest

from zoo.data.series import SeriesScaler, SeriesSet, chronological_split
from zoo.data.series_windows import WindowDataset


def make(lengths=(100,), channels=2, seed=0):
    random = np.random.default_rng(seed)
    offsets = np.r_[0, np.cumsum(lengths)]
    return SeriesSet(
        random.normal(5, 3, (offsets[-1], channels)),
        offsets,
        tuple(f"s{i}" for i in range(len(lengths))),
        tuple(f"c{i}" for i in range(channels)),
        known=random.normal(50, 10, (offsets[-1], 1)),
        known_names=("price",),
    )


def test_counts_from_the_start_leave_the_rest_unused():
    bounds = chronological_split(make((17_420,)), train=8640, validation=2880, test=2880)
    assert [bounds.rows(split)[k][0] for split in ("train", "validation", "test") for k in (0, 1)] == [
        0, 8640, 8640, 11_520, 11_520, 14_400,
    ]  # fmt: skip


def test_without_train_test_is_the_end_of_each_series():
    bounds = chronological_split(make((100, 70)), validation=10, test=20)
    assert bounds.train.tolist() == [70, 40] and bounds.test.tolist() == [100, 70]


def test_fractions_cover_every_row():
    bounds = chronological_split(make((101, 10)), train=0.7, validation=0.1, test=0.2)
    assert bounds.train.tolist() == [70, 7] and bounds.validation.tolist() == [81, 8]
    assert bounds.test.tolist() == [101, 10]
    assert chronological_split(make(), train=0.29, test=0.5).train.tolist() == [29]  # 100 * 0.29 is 28.999999999999996


@pytest.mark.parametrize(
    "parts, expected",
    [
        ({"train": 0.8, "validation": 10}, "mixes"),
        ({"train": 0.8, "validation": 0.3}, "more than 1"),
        ({"train": 60, "validation": 30, "test": 30}, "series 's0' has 100 rows, too few for the split 60/30/30"),
        ({"validation": 50, "test": 50}, "too few"),
        ({"train": 0}, "no training rows"),
        ({"validation": -1}, "negative"),
    ],
)
def test_splits_that_cannot_be(parts, expected):
    with pytest.raises(ValueError, match=expected):
        chronological_split(make(), **parts)


@pytest.mark.parametrize("targets", ["channel", "series", "none"])
def test_changing_what_follows_training_changes_nothing_in_training(targets):
    series = make((100, 80))
    bounds = chronological_split(series, validation=15, test=15)
    changed = replace(series, values=series.values.copy(), known=series.known.copy())
    for offset, end, length in zip(series.offsets, bounds.train, series.lengths):
        changed.values[offset + end : offset + length] = 1e6
        changed.known[offset + end : offset + length] = -1e6
    batches = []
    for data in (series, changed):
        scaler = SeriesScaler.fit(data, bounds.train, targets)
        windows = WindowDataset(scaler.transform(data), 10, 5, bounds.rows("train"))
        batches.append((scaler.to_dict(), windows.__getitems__(range(len(windows)))))
    assert batches[0][0] == batches[1][0]
    for name, tensor in batches[0][1].items():
        assert tensor.equal(batches[1][1][name]), name
    assert series.fingerprint(bounds.rows("train")) == changed.fingerprint(bounds.rows("train"))
    assert series.fingerprint(bounds.rows("test")) != changed.fingerprint(bounds.rows("test"))


def test_training_rows_have_mean_0_and_deviation_1_and_inverse_undoes_it():
    series = make((100, 80))
    ends = np.array([70, 50])
    for targets in ("channel", "series"):
        scaler = SeriesScaler.fit(series, ends, targets)
        scaled = scaler.transform(series)
        parts = [scaled.item(0)[:70], scaled.item(1)[:50]]
        for part in parts if targets == "series" else [np.concatenate(parts)]:
            np.testing.assert_allclose(part.mean(0), 0, atol=1e-6)
            np.testing.assert_allclose(part.std(0), 1, atol=1e-6)
        windows = np.stack([scaled.item(0)[:50], scaled.item(1)[:50]])
        back = SeriesScaler.from_dict(scaler.to_dict()).inverse(windows, np.array([0, 1]))
        np.testing.assert_allclose(back, [series.item(0)[:50], series.item(1)[:50]], atol=1e-5)


def test_missing_and_constant_values_give_finite_scores():
    series = make()
    series.values[:50, 0], series.values[:50, 1], series.known[3] = np.nan, 0.1, np.nan
    scaler = SeriesScaler.fit(series, np.array([50]))
    assert scaler.std.tolist() == [[1, 1]] and scaler.mean[0, 0] == 0
    scaled = scaler.transform(series)
    assert np.isfinite(scaled.values[50:]).all() and np.abs(scaled.values[:50, 1]).max() < 1e-6
    assert scaled.known[3, 0] == 0


def test_fingerprint_sees_values_ids_and_times():
    series = make()
    other = replace(series, values=series.values + (np.arange(100)[:, None] == 7))
    dated = replace(series, starts=np.array(["2020-01-01"], "datetime64[us]"), frequency="h")
    renamed = replace(series, item_ids=("other",))
    assert len({part.fingerprint() for part in (series, other, dated, renamed)}) == 4
    assert make().fingerprint() == series.fingerprint()
