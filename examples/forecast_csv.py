"""python examples/forecast_csv.py MINE.csv TIME_COLUMN VALUE_COLUMN [FOLDER]

Train a small forecaster on your own CSV, forecast the next steps, and draw them: FOLDER/forecast.png.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from transformers import pipeline

from zoo import LSTMForecasterConfig, LSTMForecasterForPrediction, ZooTrainingArguments
from zoo.tasks.forecasting import ForecastingArguments, ForecastingTask

SIZES = {"context_length": 96, "prediction_length": 24, "patch_length": 24, "hidden_size": 64}
QUANTILES = {"head": "quantile", "quantiles": [0.1, 0.5, 0.9], "scaling": "last_std", "scale_loss": True}


def main(csv: str, time_column: str, value_column: str, folder: str = "runs/my-forecast", epochs: int = 10) -> None:
    """Train on all rows but the last 30%, which measure the model, and forecast what follows the last row."""
    columns = {"timestamp_column": time_column, "target_columns": [value_column]}
    task = ForecastingTask(ForecastingArguments(train_file=csv, **columns))
    data = task.load_data(LSTMForecasterConfig(**SIZES))
    model = LSTMForecasterForPrediction(LSTMForecasterConfig(**SIZES, **QUANTILES, **data.model_fields))
    task.attach(model, data.processor)
    trainer = task.make_trainer(
        model=model,
        args=ZooTrainingArguments(
            folder,
            num_train_epochs=epochs,
            learning_rate=2e-3,
            lr_scheduler_type="cosine",
            label_names=["future_values"],
        ),
        train_dataset=data.train,
        eval_dataset=data.validation,
        processing_class=data.processor,
    )
    trainer.train()
    task.after_training(trainer.predict_rows(data.validation))  # calibrates the intervals
    trainer.save_model(folder)
    metrics = task.evaluate(trainer.predict_rows(data.test))
    print(f"mean absolute error on the last 20% of the rows: {metrics['mae']:.3f}")

    forecast = pipeline("time-series-forecasting", model=folder)(csv, timestamp_column=time_column)
    past = pd.read_csv(csv, parse_dates=[time_column]).tail(4 * SIZES["prediction_length"])
    plt.figure(figsize=(9, 3.5))
    plt.plot(past[time_column], past[value_column], label=value_column)
    plt.plot(forecast["timestamp"], forecast["predictions"], label="forecast")
    plt.fill_between(forecast["timestamp"], forecast["0.1"], forecast["0.9"], alpha=0.3, label="80% interval")
    plt.legend()
    plt.savefig(Path(folder) / "forecast.png", bbox_inches="tight")
    print(f"the forecast is drawn in {Path(folder) / 'forecast.png'}")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(f"usage: {__doc__.splitlines()[0]}")
    try:
        main(*sys.argv[1:5])
    except (OSError, ValueError) as error:  # they say what is wrong with the file
        sys.exit(f"error: {error}")
