"""What `compute_metrics` gets from the Trainers."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch.utils.data import Dataset
from transformers import EvalPrediction


@dataclass
class Prediction(EvalPrediction):
    """What `compute_metrics` gets: predictions and labels of every row, in the order of the data set.

    Args:
        predictions (`np.ndarray` of shape `(rows, ...)`, or a tuple of them): The model's outputs, or generated tokens
            of a sequence-to-sequence model: None if nothing was generated.
        label_ids (`np.ndarray` of shape `(rows, ...)`, or a tuple of them): The labels, padded with -100.
        dataset: The rows.
        losses (`np.ndarray` of shape `(rows,)`): Summed token losses of each row; from `ZooSeq2SeqTrainer` only.
    """

    predictions: Any
    label_ids: Any
    dataset: Dataset
    losses: np.ndarray | None = None

    def __post_init__(self):
        super().__init__(self.predictions, self.label_ids, None, self.losses)


__all__ = ["Prediction"]
