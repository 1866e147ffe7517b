"""When to stop, and which checkpoints to average: both follow from the log alone."""

from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from zoo.training.arguments import ZooSeq2SeqTrainingArguments, ZooTrainingArguments
from zoo.training.averaging import AverageCallback, mean_weights, members
from zoo.training.callbacks import StopEarlyCallback, evaluations_since_best
from zoo.training.trainer import ZooTrainer


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
    arguments = SimpleNamespace(metric_for_best_model="bleu", greater_is_better=True, min_steps=0)
    control, stop = SimpleNamespace(should_training_stop=False), StopEarlyCallback(2)
    log = []
    for value in (1, 5, 4):
        log.append({"eval_bleu": value})
        stop.on_evaluate(arguments, SimpleNamespace(log_history=log), control)
    assert not control.should_training_stop
    log.append({"eval_bleu": 5})
    stop.on_evaluate(arguments, SimpleNamespace(log_history=log), control)
    assert control.should_training_stop


def test_no_run_stops_before_its_least_steps():
    arguments = SimpleNamespace(metric_for_best_model="bleu", greater_is_better=True, min_steps=30)
    log = [{"step": step, "eval_bleu": 0} for step in (10, 20, 30)]
    assert not StopEarlyCallback(1).is_over(arguments, log[:2])
    assert StopEarlyCallback(1).is_over(arguments, log)


@pytest.mark.parametrize(
    ("rows", "settings", "epochs"),
    [
        (12, {}, 5),  # three batches an epoch
        (12, {"gradient_accumulation_steps": 2}, 7),
        (12, {"max_steps": 4}, 2),
        (80, {}, 2),
    ],
)
def test_few_rows_are_passed_more_often(rows, settings, epochs, tmp_path):
    arguments = ZooTrainingArguments(
        str(tmp_path), num_train_epochs=2, min_steps=14, per_device_train_batch_size=4, eval_strategy="no",
        use_cpu=True, **settings,
    )  # fmt: skip
    ZooTrainer(torch.nn.Linear(1, 1), arguments, train_dataset=[{}] * rows)
    assert arguments.num_train_epochs == epochs


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
