"""Weights in files of half the size."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForImageClassification

from zoo.commands.evaluate import main as evaluate
from zoo.commands.train import main as train
from zoo.record import RunRecord
from zoo.training.save_dtype import round_weights


def test_a_run_measures_the_rounded_weights_that_it_saves(finished, tmp_path):
    """How weights are saved is not what is learnt: a finished run is resumed to save them in another way."""
    run = tmp_path / "run"
    shutil.copytree(finished / "run", run)
    whole = load_file(run / "model.safetensors")
    flags = ["--output_dir", str(run), "--disable_tqdm", "true", "--save_dtype", "bfloat16"]
    assert train([str(finished / "tiny.yaml"), *flags, "--resume_from_checkpoint", "last"]) == 0
    saved = load_file(run / "model.safetensors")
    assert saved.keys() == whole.keys()
    model = AutoModelForImageClassification.from_pretrained(run)
    for name, buffer in model.named_buffers():
        assert torch.equal(buffer, whole[name]) and saved[name].dtype == whole[name].dtype
    for name, parameter in model.named_parameters():
        assert saved[name].dtype == torch.bfloat16
        assert parameter.dtype == torch.float32 and torch.equal(parameter, whole[name].bfloat16().float())
    assert evaluate([str(run), "--split", "test", "--output_dir", str(tmp_path / "out")]) == 0
    record = RunRecord.read(run)
    measured = json.loads((tmp_path / "out/evaluation.json").read_text())["metrics"]["test"]
    assert record.recipe["training"]["save_dtype"] == "bfloat16"
    assert measured == record.metrics["test"]


def test_a_weight_that_does_not_fit_is_named():
    model = nn.Linear(2, 2)
    model.bias.data[1] = 1e6
    with pytest.raises(ValueError, match="save_dtype=float16: bias has values above 65504"):
        round_weights(model, "float16")
    round_weights(model, "bfloat16")
    assert model.bias[1] == torch.tensor(1e6).bfloat16().float()
