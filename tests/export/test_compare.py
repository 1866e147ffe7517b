"""The comparison with PyTorch: what is the same is found the same, and what differs is measured."""

from types import SimpleNamespace

import numpy as np
import torch

from zoo.export.compare import Rows, difference, pad, repeat, seconds, split_labels


class Outputs:
    """A model that returns the given tensor."""

    config = SimpleNamespace(is_encoder_decoder=False)

    def __init__(self, value):
        self.value = value

    def __call__(self, **inputs):
        return {"logits": self.value}


def test_differences_are_relative_above_one():
    expected, found = torch.tensor([[0.5, 1000.0]]), torch.tensor([[0.51, 1001.0]])
    assert abs(difference(Outputs(expected), Outputs(found), Rows({}, None)) - 0.01) < 1e-6


def test_the_truth_is_no_input():
    batch = {
        "input_ids": torch.ones(2, 3),
        "attention_mask": torch.ones(2, 3),
        "labels": torch.zeros(2, 4),
        "decoder_input_ids": torch.zeros(2, 4),
    }
    rows = split_labels(batch, ("labels",))
    assert set(rows.inputs) == {"input_ids", "attention_mask"} and rows.labels.shape == (2, 4)


def test_batches_of_several_lengths_become_one_array():
    padded = pad([np.ones((2, 3), dtype=int), np.ones((1, 5), dtype=int)])
    assert padded.shape == (3, 5) and (padded[:2, 3:] == -100).all() and (padded[2] == 1).all()


def test_rows_are_repeated_in_order():
    assert repeat({"x": torch.tensor([[1], [2]])}, 5)["x"].flatten().tolist() == [1, 2, 1, 2, 1]


def test_more_work_takes_longer():
    times = seconds({"short": lambda: sum(range(1000)), "long": lambda: sum(range(200_000))})
    assert times["long"] > 5 * times["short"]
