"""The comparison with PyTorch: same outputs, labels apart, fair times."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from zoo.export.compare import difference_of_outputs, fastest_seconds, pad_and_join, repeat_rows, split_labels


class Outputs:
    """A model that returns the given tensor."""

    config = SimpleNamespace(is_encoder_decoder=False)

    def __init__(self, value):
        self.value = value

    def __call__(self, **inputs):
        return {"logits": self.value}


def test_differences_are_relative_above_one():
    expected, actual = Outputs(torch.tensor([[0.5, 1000.0]])), Outputs(torch.tensor([[0.51, 1001.0]]))
    assert difference_of_outputs(expected, actual, {}) == pytest.approx(0.01, rel=1e-4)


def test_labels_are_not_inputs():
    batch = {
        "input_ids": torch.ones(2, 3),
        "attention_mask": torch.ones(2, 3),
        "labels": torch.zeros(2, 4),
        "decoder_input_ids": torch.zeros(2, 4),
    }
    batch = split_labels(batch, "labels")
    assert set(batch.inputs) == {"input_ids", "attention_mask"} and batch.labels.shape == (2, 4)


def test_batches_of_several_lengths_become_one_array():
    padded = pad_and_join([np.ones((2, 3), dtype=int), np.ones((1, 5), dtype=int)])
    assert padded.shape == (3, 5) and (padded[:2, 3:] == -100).all() and (padded[2] == 1).all()


def test_rows_are_repeated_in_order():
    assert repeat_rows({"x": torch.tensor([[1], [2]])}, 5)["x"].flatten().tolist() == [1, 2, 1, 2, 1]


def test_more_work_takes_longer():
    times = fastest_seconds({"short": lambda: sum(range(1000)), "long": lambda: sum(range(200_000))})
    assert times["long"] > 5 * times["short"]
