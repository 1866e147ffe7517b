"""When to stop, and which checkpoints to average: both follow from the log alone."""

from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from zoo.training.arguments import ZooSeq2SeqTrainingArguments
from zoo.training.averaging import AverageCallback, mean_weights, members
from zoo.training.callbacks import StopEarlyCallback, evaluations_since_best


@pytest.mark.parametrize(
    ("values", "greater", "threshold", "since"),
    [
        ([], True, 0, 0),
        ([1, 2, 3], True, 0, 0),
        ([3, 2, 1], True, 0, 2),
        ([3, 2, 1], False, 0, 0),
        ([1, 1, 1], True, 0, 2),
        ([1, 1.05, 1.15], True, 0.1, 0),  # slow progress adds up
        ([1, 1.05, 1.08], True, 0.1, 2),
    ],
)
def test_evaluations_since_the_best(values, greater, threshold, since):
    history = [entry for value in values for entry in ({"loss": 1.0}, {"eval_bleu": value})]
    assert evaluations_since_best(history, "eval_bleu", greater, threshold) == since


def test_training_stops_after_the_patience():
    arguments = SimpleNamespace(metric_for_best_model="bleu", greater_is_better=True)
    control, stop = SimpleNamespace(should_training_stop=False), StopEarlyCallback(2)
    log = []
    for value in (1, 5, 4):
        log.append({"eval_bleu": value})
        stop.on_evaluate(arguments, SimpleNamespace(log_history=log), control)
    assert not control.should_training_stop
    log.append({"eval_bleu": 5})
    stop.on_evaluate(arguments, SimpleNamespace(log_history=log), control)
    assert control.should_training_stop


def test_members_of_the_average():
    history = [{"step": step, "eval_bleu": value} for step, value in ((10, 3), (20, 9), (30, 5), (40, 5))]
    assert members([10, 20, 30, 40], history, 2, "last", "eval_bleu", True) == [30, 40]
    assert members([10, 20, 30, 40], history, 2, "best", "eval_bleu", True) == [20, 40]
    assert members([10, 20, 30, 40], history, 2, "best", "eval_bleu", False) == [10, 40]
    assert members([10], history, 5, "best", "eval_bleu", True) == [10]


def test_the_mean_of_files(tmp_path):
    for number, value in enumerate((1.0, 3.0)):
        weights = {"w": torch.full((2,), value), "n": torch.tensor([number]), "h": torch.full((1,), value).half()}
        save_file(weights, tmp_path / f"{number}.safetensors")
    mean = mean_weights([tmp_path / "0.safetensors", tmp_path / "1.safetensors"])
    assert mean["w"].tolist() == [2, 2] and mean["w"].dtype == torch.float32
    assert mean["n"].tolist() == [1] and mean["h"].dtype == torch.float16


def test_weights_are_kept_as_long_as_a_checkpoint_needs_them(tmp_path):
    callback = AverageCallback(2)
    arguments = SimpleNamespace(output_dir=str(tmp_path), metric_for_best_model=None, greater_is_better=None)

    def save(step):
        (tmp_path / f"checkpoint-{step}").mkdir()
        save_file({"w": torch.tensor([float(step)])}, tmp_path / f"checkpoint-{step}" / "model.safetensors")
        history = [{"step": s, "eval_loss": 1.0} for s in range(1, step + 1)]
        state = SimpleNamespace(global_step=step, log_history=history, is_world_process_zero=True)
        callback.on_save(arguments, state, None)

    for step in range(1, 5):
        save(step)
        if step > 2:  # as the Trainer does with save_total_limit=2
            (tmp_path / f"checkpoint-{step - 2}/model.safetensors").unlink()
            (tmp_path / f"checkpoint-{step - 2}").rmdir()
    # Of the checkpoints 2, 3 and 4 that were there when the fourth was saved.
    assert sorted(callback.saved(tmp_path)) == [1, 2, 3, 4]
    save(5)
    assert sorted(callback.saved(tmp_path)) == [2, 3, 4, 5]
    callback.load(tmp_path / "checkpoint-4", tmp_path / "other")  # another run goes on from this checkpoint
    assert sorted(callback.saved(tmp_path)) == [2, 3, 4, 5] and sorted(callback.saved(tmp_path / "other")) == [4]
    callback.load(tmp_path / "checkpoint-4", tmp_path)
    assert sorted(callback.saved(tmp_path)) == [2, 3, 4]
    assert mean_weights([callback.saved(tmp_path)[2]])["w"].item() == 2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"batch_tokens": -1}, "batch_tokens=-1 must not be negative"),
        ({"average_checkpoints_by": "first"}, "average_checkpoints_by='first' is not one of last, best"),
        ({"average_checkpoints": 3, "ema_decay": 0.9}, "set one of them"),
        ({"generation_samples": -1}, "generation_samples=-1 must not be negative"),
        ({"ema_decay": 1.0}, "ema_decay=1.0 must be at least 0 and below 1"),
        ({"save_dtype": "int8"}, "save_dtype='int8' is not one of float32, float16, bfloat16"),
        ({"early_stopping_threshold": -0.1}, "early_stopping_threshold=-0.1 must not be negative"),
    ],
)
def test_wrong_fields_are_named(fields, message):
    with pytest.raises(ValueError, match=message):
        ZooSeq2SeqTrainingArguments("unused", **fields)
