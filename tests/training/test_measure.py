"""The record of a run, and what `zoo evaluate` measures of the same weights."""

import json

import pytest
import yaml
from safetensors.torch import load_file

from zoo.commands.evaluate import main as evaluate
from zoo.commands.train import main as train
from zoo.record import RunRecord
from zoo.training.measure import FIT_ROWS
from zoo.training.trainer import ZooTrainer


def measured(folder, out):
    """The metrics of all splits."""
    assert evaluate([str(folder), "--split", "all", "--output_dir", str(out)]) == 0
    return json.loads((out / "evaluation.json").read_text())["metrics"]


def test_evaluation_repeats_the_record(translator, tmp_path, capsys):
    record = RunRecord.read(translator)
    metrics = measured(translator, tmp_path)
    assert metrics == record.metrics
    assert "round differently" not in capsys.readouterr().out
    assert record.averaging["metric"] == "bleu" and record.fit["metric"] == "bleu"


def test_training_rows_are_a_sample_generated_for_greedily(translator, tmp_path, monkeypatch):
    """Measuring all of them with beams would take longer than training."""
    calls = []
    original = ZooTrainer.predict_rows

    def predict_rows(self, dataset, phase="", **generation):
        calls.append((phase, len(dataset), generation))
        return original(self, dataset, phase, **generation)

    monkeypatch.setattr(ZooTrainer, "predict_rows", predict_rows)
    measured(translator, tmp_path)
    (train_call, *others) = calls
    assert train_call == ("Measuring train", FIT_ROWS, {"num_beams": 1})
    assert [call[0] for call in others] == ["Measuring validation", "Measuring test"]
    assert all(not generation for _, _, generation in others)


def test_a_run_in_bfloat16_is_measured_in_the_precision_of_its_weights(tiny_recipe, tmp_path, monkeypatch):
    """accelerate leaves autocast around the model after training."""
    monkeypatch.setattr("zoo.training.arguments.computes_in_bf16", lambda on_cpu: True)
    flags = ["--bf16_if_supported", "true", "--output_dir", str(tmp_path / "run")]
    assert train([str(tiny_recipe), *flags]) == 0
    assert measured(tmp_path / "run", tmp_path / "out") == RunRecord.read(tmp_path / "run").metrics


@pytest.mark.parametrize(("metric", "chosen"), [(None, 2), ("nll", 1)])
def test_the_primary_metric_chooses_the_checkpoint(tiny_recipe, tmp_path, monkeypatch, metric, chosen):
    """By default the task's own; transformers would take the loss, which is lowest after the first epoch here."""
    values = iter([(0.1, 1.0), (0.9, 2.0)])

    def evaluate_quickly(self, prediction, intervals=False):
        if intervals:
            return original(self, prediction, intervals)
        accuracy, nll = next(values)
        return {"accuracy": accuracy, "nll": nll}

    from zoo.registry import load_task

    task = load_task(yaml.safe_load(tiny_recipe.read_text())["task"])
    original = task.evaluate
    monkeypatch.setattr(task, "evaluate", evaluate_quickly)
    flags = ["--load_best_model_at_end", "true", "--ema_decay", "0", "--output_dir", str(tmp_path / "run")]
    flags += ["--metric_for_best_model", metric, "--greater_is_better", "false"] if metric else []
    assert train([str(tiny_recipe), *flags]) == 0
    checkpoints = sorted((tmp_path / "run").glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[-1]))
    saved, best = (
        load_file(tmp_path / "run/model.safetensors"),
        load_file(checkpoints[chosen - 1] / "model.safetensors"),
    )
    assert all((saved[name] == best[name]).all() for name in best)
    assert RunRecord.read(tmp_path / "run").fit["metric"] == (metric or task.metric)
