"""python examples/forecast_csv.py MINE.csv TIME_COLUMN VALUE_COLUMN [--folder FOLDER] [--timestamp_format %d.%m.%Y]

Train a small forecaster on your own CSV, forecast the next steps, and draw them: FOLDER/forecast.png.
"""

import argparse
import sys
from pathlib import Path

import matplotlib.pyplot as plt
from transformers import pipeline

from zoo import LSTMForecasterConfig, LSTMForecasterForPrediction, ZooTrainingArguments
from zoo.data.series_files import read_series
from zoo.tasks.forecasting import ForecastingArguments, ForecastingTask

MODEL = {
    "hidden_size": 64,
    "head": "quantile",
    "quantiles": [0.1, 0.5, 0.9],
    "scaling": "last_std",
    "scale_loss": True,
}


def main(
    csv: str,
    time_column: str,
    value_column: str,
    folder: str = "runs/my-forecast",
    timestamp_format: str | None = None,
    epochs: int = 10,
) -> None:
    """Train on all rows but the last 30%, which measure the model, and forecast what follows the last row."""
    columns = {
        "timestamp_column": time_column,
        "target_columns": [value_column],
        "timestamp_format": timestamp_format,
    }
    # Fields that are not in MODEL, the lengths of context and forecast, are left to the data.
    task = ForecastingTask(ForecastingArguments(train_file=csv, **columns), fixed_fields=MODEL)
    data = task.load_data(LSTMForecasterConfig(**MODEL))
    model = LSTMForecasterForPrediction(LSTMForecasterConfig(**MODEL, **data.default_fields, **data.model_fields))
    task.attach(model, data.processor)
    trainer = task.make_trainer(
        model=model,
        args=ZooTrainingArguments(
            folder,
            num_train_epochs=epochs,
            per_device_train_batch_size=32,
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

    forecast = pipeline("time-series-forecasting", model=folder)(csv, **columns)
    past, shown = read_series(csv, **columns), -4 * model.config.prediction_length
    plt.figure(figsize=(9, 3.5))
    plt.plot(past.timestamps(0)[shown:], past.item(0)[shown:], label=value_column)
    plt.plot(forecast["timestamp"], forecast["predictions"], label="forecast")
    plt.fill_between(forecast["timestamp"], forecast["0.1"], forecast["0.9"], alpha=0.3, label="80% interval")
    plt.legend()
    plt.savefig(Path(folder) / "forecast.png", bbox_inches="tight")
    print(f"the forecast is drawn in {Path(folder) / 'forecast.png'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train a small forecaster on a CSV, forecast, and draw the forecast.")
    for name in ("csv", "time_column", "value_column"):
        parser.add_argument(name)
    parser.add_argument("--folder", default="runs/my-forecast")
    parser.add_argument("--timestamp_format", help="if the times are not ISO 8601, as in 2026-07-01 13:00")
    try:
        main(**vars(parser.parse_args()))
    except (OSError, ValueError) as error:  # they say what is wrong with the file
        sys.exit(f"error: {error}")
