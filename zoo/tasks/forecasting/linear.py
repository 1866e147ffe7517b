"""The linear map beside a forecaster's net, fitted to the training windows before the first step."""

from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Subset

from .batches import ForecastDataset, ForecastingArguments, collate

# Windows of single series: neighbours overlap, so more of them cost time and say little more.
RIDGE_SERIES = 200_000
BATCH = 256


def warm_start(model: Any, train: ForecastDataset, arguments: ForecastingArguments, trained: bool) -> list[str]:
    """
    Ridge regression of `skip_ridge` from the training windows; of many only some, at equal distances (200,000 windows
    of single series). Weights that are trained already are left alone.

    Returns:
        What was fitted, for a person; nothing if the recipe does not ask for it.

    Raises:
        ValueError: The model has no linear map, its values come in units that the penalty does not fit, or no training
            window has a whole future.
    """
    ridge, config = arguments.skip_ridge, model.config
    if not ridge:
        return []
    if not config.linear_skip:
        raise ValueError(f"skip_ridge={ridge} fits the linear map of a model with linear_skip=True; this one has none")
    if trained:
        return [f"skip_ridge={ridge} is for new models: the linear map of the weights to start from goes on learning."]
    standardized = arguments.standardize or arguments.standardize_per_series
    if not standardized and not (config.scale_loss and config.scaling not in ("none", "last")):
        raise ValueError(
            f"skip_ridge={ridge} is a penalty for values of deviation 1: use standardize=true, or, where values "
            "cannot be standardized (log_values), scale_loss=true with scaling std or last_std"
        )
    count = min(len(train), max(1, RIDGE_SERIES // config.input_size))
    windows = np.linspace(0, len(train) - 1, count).round().astype(int).tolist()
    batches = DataLoader(Subset(train, windows), batch_size=BATCH, collate_fn=collate)
    rows = model.fit_linear_skip(batches, ridge)
    return [f"The linear map was fitted to {rows:,} windows of single series by ridge regression and stays as it is."]


__all__ = ["warm_start"]
