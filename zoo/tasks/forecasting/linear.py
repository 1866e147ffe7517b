"""The linear map beside a forecaster's net, fitted to the training windows before the first step."""

from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Subset

from .batches import ForecastDataset, ForecastingArguments, collate

# Windows of single series: neighbours overlap, so more of them cost time and say little more.
RIDGE_SERIES = 200_000
BATCH = 256


def warm_start(model: Any, train: ForecastDataset, arguments: ForecastingArguments) -> list[str]:
    """
    Ridge regression of `skip_ridge` from the training windows; of many only some, at equal distances (200,000 windows
    of single series).

    Returns:
        What was fitted, for a person; nothing if the recipe does not ask for it.

    Raises:
        ValueError: The model has no linear map, or no training window has a whole future.
    """
    ridge = arguments.skip_ridge
    if not ridge:
        return []
    if not model.config.linear_skip:
        raise ValueError(f"skip_ridge={ridge} fits the linear map of a model with linear_skip=True; this one has none")
    count = min(len(train), max(1, RIDGE_SERIES // model.config.input_size))
    windows = np.linspace(0, len(train) - 1, count).round().astype(int).tolist()
    batches = DataLoader(Subset(train, windows), batch_size=BATCH, collate_fn=collate)
    rows = model.fit_linear_skip(batches, ridge)
    return [f"The linear map was fitted to {rows:,} windows of single series by ridge regression and stays as it is."]


__all__ = ["warm_start"]
