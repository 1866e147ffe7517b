"""Lengths that a recipe leaves to the data."""

import pandas as pd
import pytest

from zoo.tasks.forecasting.lengths import choose_lengths
from zoo.training.build import build
from zoo.training.command_line import parse_run


@pytest.mark.parametrize(
    ("season", "train", "held_out", "lengths"),
    [
        (24, 1680, 240, (336, 48, 24)),
        (7, 630, 90, (56, 14, 7)),
        (5, 630, 90, (40, 10, 5)),
        (12, 168, 24, (48, 12, 12)),
        (1, 100, 20, (44, 12, 4)),
        (96, 20_000, 3000, (1344, 192, 24)),
        (7, 21, 3, (9, 3, 3)),  # 30 days
        (24, 3, 0, (1, 1, 1)),
    ],
)
def test_lengths_follow_season_and_rows(season, train, held_out, lengths):
    assert tuple(choose_lengths(season, train, held_out, {}).values()) == lengths


def test_given_lengths_are_kept():
    assert choose_lengths(7, 630, 90, {"prediction_length": 3}) == {"context_length": 56, "patch_length": 3}


@pytest.mark.parametrize(
    ("overrides", "lengths"), [([], (9, 3, 3)), (["--model_overrides", "prediction_length=2"], (9, 2, 2))]
)
def test_thirty_days_are_enough_to_train_on(tmp_path, overrides, lengths):
    days = pd.date_range("2024-01-01", periods=30)
    pd.DataFrame({"date": days, "sales": range(30)}).to_csv(tmp_path / "mine.csv", index=False)
    flags = ["--train_file", str(tmp_path / "mine.csv"), "--output_dir", str(tmp_path / "run"), *overrides]
    parts = build(parse_run(["lstm-forecaster", *flags]))
    config = parts.model.config
    assert (config.context_length, config.prediction_length, config.patch_length) == lengths
    assert all(len(rows) for rows in parts.data.splits().values())
    assert "Lengths for series of frequency D: context_length=9" in parts.warnings[0]


def test_trials_that_share_data_keep_their_own_patches(tmp_path):
    days = pd.date_range("2024-01-01", periods=60)
    pd.DataFrame({"date": days, "sales": range(60)}).to_csv(tmp_path / "mine.csv", index=False)
    flags = ["--train_file", str(tmp_path / "mine.csv"), "--output_dir", str(tmp_path / "run")]
    shared = build(parse_run(["lstm-forecaster", *flags])).data
    trial = build(parse_run(["lstm-forecaster", *flags, "--model_overrides", "patch_length=2"]), shared_data=shared)
    assert trial.model.config.patch_length == 2
    assert trial.model.config.prediction_length == shared.default_fields["prediction_length"] == 6
