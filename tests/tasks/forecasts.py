"""Two waves, a small net for them, and the data of a run."""

import numpy as np
import pandas as pd

from zoo.models.lstm_forecaster import LSTMForecasterConfig
from zoo.tasks.forecasting.batches import ForecastingArguments, load_data

SIZES = {"context_length": 48, "prediction_length": 12, "patch_length": 12, "hidden_size": 16}


def frame(rows: int = 400) -> pd.DataFrame:
    """Two daily waves of very different size."""
    noise, hours = np.random.default_rng(0).normal(size=(rows, 2)), np.arange(rows)
    wave = np.sin(hours * 2 * np.pi / 24)
    stamps = pd.date_range("2024-01-01", periods=rows, freq="h")
    return pd.DataFrame({"date": stamps, "a": wave + 0.05 * noise[:, 0], "b": 1000 + 100 * wave + 5 * noise[:, 1]})


def load(path, table: pd.DataFrame, saved=None, **fields):
    table.to_csv(path, index=False)
    arguments = ForecastingArguments(train_file=str(path), timestamp_column="date", **fields)
    return load_data(arguments, LSTMForecasterConfig(**SIZES, input_size=2), saved)
