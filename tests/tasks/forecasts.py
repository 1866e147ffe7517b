"""Two waves, a small net for them, and the data of a run."""

from types import SimpleNamespace

import numpy as np
import pandas as pd

from zoo.models.lstm_forecaster import LSTMForecasterConfig
from zoo.tasks.base import TaskData
from zoo.tasks.forecasting import ForecastingTask
from zoo.tasks.forecasting.arguments import ForecastingArguments

SIZES = {"context_length": 48, "prediction_length": 12, "patch_length": 12, "hidden_size": 16}


def frame(rows: int = 400) -> pd.DataFrame:
    """Two daily waves of very different size."""
    noise, hours = np.random.default_rng(0).normal(size=(rows, 2)), np.arange(rows)
    wave = np.sin(hours * 2 * np.pi / 24)
    stamps = pd.date_range("2024-01-01", periods=rows, freq="h")
    return pd.DataFrame({"date": stamps, "a": wave + 0.05 * noise[:, 0], "b": 1000 + 100 * wave + 5 * noise[:, 1]})


def make_task(config: LSTMForecasterConfig | None = None, **fields) -> ForecastingTask:
    """A task as a run has it once the model is made."""
    task = ForecastingTask(ForecastingArguments(**fields))
    task.attach(SimpleNamespace(config=config or LSTMForecasterConfig(**SIZES, input_size=2)), None)
    return task


def load(path, table: pd.DataFrame, saved=None, **fields) -> TaskData:
    """The data of a run with this table as training file."""
    table.to_csv(path, index=False)
    task = make_task(train_file=str(path), timestamp_column="date", **fields)
    return task.load_data(task.config, saved)
