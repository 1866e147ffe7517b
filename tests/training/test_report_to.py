"""`--report_to`: where runs are shown, and under which names."""

import importlib.util
import os

import pytest

from zoo import ZooTrainingArguments
from zoo.commands.train import main


def test_a_run_has_its_folders_name_in_this_project(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    arguments = ZooTrainingArguments(str(tmp_path / "my-run"), report_to="wandb")
    assert (arguments.run_name, arguments.project) == ("my-run", "primer-zoo")
    assert os.environ["WANDB_PROJECT"] == "primer-zoo"


def test_own_names_stay(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_PROJECT", "theirs")
    arguments = ZooTrainingArguments(str(tmp_path), report_to="wandb", run_name="mine", project="ours")
    assert (arguments.run_name, arguments.project) == ("mine", "ours")
    assert os.environ["WANDB_PROJECT"] == "theirs"


def test_tensorboard_gets_the_metrics_of_a_run(tiny_recipe, tmp_path):
    if not any(importlib.util.find_spec(name) for name in ("tensorboard", "tensorboardX")):
        pytest.skip("needs pip install tensorboard")
    flags = ["--report_to", "tensorboard", "--num_train_epochs", "1", "--output_dir", str(tmp_path / "run")]
    assert main([str(tiny_recipe), *flags]) == 0
    (events,) = (tmp_path / "run/runs").rglob("events.out.tfevents.*")
    assert b"eval/accuracy" in events.read_bytes()


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_missing_tracker_names_its_install(tiny_recipe, tmp_path, capsys, name):
    if importlib.util.find_spec(name):
        pytest.skip(f"{name} is installed")
    assert main([str(tiny_recipe), "--report_to", name, "--output_dir", str(tmp_path / "run")]) == 1
    assert f"pip install {name}" in capsys.readouterr().err.strip().splitlines()[-1]
