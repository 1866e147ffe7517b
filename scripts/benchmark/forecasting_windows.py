"""ZOO_DATA=... python scripts/benchmark/forecasting_windows.py [HORIZON ...]

MSE and MAE of the shipped ETTh1 forecasters on the first 2,048 test windows beside all of them. Loaders that drop the
last incomplete batch leave out the last windows of the test split, so many published figures are of some of the first
ones. Two minutes on one core.
"""

import sys

import numpy as np
import torch
from torch.utils.data import DataLoader
from transformers import AutoModelForTimeSeriesPrediction

import zoo
from zoo.tasks.forecasting import ForecastingTask, SeriesProcessor
from zoo.tasks.forecasting.arguments import ForecastingArguments
from zoo.tasks.forecasting.metrics import mae, mse

FIRST = 2048


@torch.no_grad()
def main(horizons: list[int]) -> None:
    """Print a row for each horizon."""
    print(
        f"| horizon | windows | MSE, first {FIRST:,} | MSE, all | MAE, first {FIRST:,} | MAE, all |\n"
        + "|---" * 6
        + "|"
    )
    for horizon in horizons:
        folder = zoo.pretrained(f"lstm-forecaster-etth1-{horizon}")
        model = AutoModelForTimeSeriesPrediction.from_pretrained(folder).eval()
        task = ForecastingTask(ForecastingArguments(dataset_name="etth1"))
        dataset = task.load_data(model.config, SeriesProcessor.from_pretrained(folder)).test
        batches = DataLoader(dataset, batch_size=256, collate_fn=task.collate)
        point = np.concatenate([model(**batch).prediction_outputs.numpy() for batch in batches])
        truth = dataset.truth()
        cells = [
            f"{metric(point[:count], truth[:count]):.4f}" for metric in (mse, mae) for count in (FIRST, len(truth))
        ]
        print(f"| {horizon} | {len(truth):,} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main([int(text) for text in sys.argv[1:]] or [96, 192, 336, 720])
