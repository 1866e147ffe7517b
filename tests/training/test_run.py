"""A run from its command line: complete, resumable, and careful with what is already there."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoImageProcessor, AutoModelForImageClassification

from zoo.commands.train import main
from zoo.record import RunRecord
from zoo.training.recipe import Recipe
from zoo.training.run import reproduce_command, whole_checkpoints

COMPLETE = {"config.json", "model.safetensors", "preprocessor_config.json", "recipe.yaml", "results.json"}


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def same_weights(first: Path, second: Path) -> bool:
    one, two = load_file(first / "model.safetensors"), load_file(second / "model.safetensors")
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_a_run_leaves_its_folder_complete(finished):
    run = finished / "run"
    assert COMPLETE | {"trainer_state.json"} <= {path.name for path in run.iterdir()}
    assert not [path for path in run.rglob("*") if path.name.startswith(".saving")]
    assert {path.name for path in (run / "pictures").iterdir()} == {
        "confusion_matrix.png",
        "reliability_diagram.png",
        "confident_mistakes.png",
        "learning_curves.png",
    }


def test_the_record_says_what_was_run_and_measured(finished):
    record = RunRecord.read(finished / "run")
    assert {"train", "validation", "test", "test_plain"} <= set(record.metrics)
    assert record.metrics["test"]["n"] == 60 and record.metrics["train"]["n"] == 200
    assert record.metrics["test"]["accuracy"] > 0.9
    assert record.metrics["test"]["accuracy_low"] < record.metrics["test"]["accuracy"]
    assert record.baselines["class_frequency"]["accuracy"] == pytest.approx(0.1)
    assert record.fit["verdict"] == "good fit" and record.fit["train"] > 0.9
    assert record.command.startswith("zoo train ") and "output_dir" not in record.command
    assert record.compute["parameters"] > 0 and record.compute["train_samples_per_second"] > 0
    assert record.compute["peak_memory_bytes"] > 1e7
    assert {"python", "torch", "transformers"} <= set(record.versions)
    assert len(record.weights_sha256) == 64 and len(record.data["splits"]["test"]["sha256"]) == 64


@pytest.mark.parametrize(
    ("program", "command"),
    [("scripts/train.py", "accelerate launch scripts/train.py"), ("/usr/local/bin/zoo", "zoo train")],
)
def test_the_command_repeats_a_run_but_not_its_place(monkeypatch, program, command):
    """argparse takes dashes for underscores in the name of a flag."""
    argv = "mine --output-dir /home/me/run --seed 3 --skip_test --hub_model_id=me/x --bf16=0".split()
    monkeypatch.setattr("sys.argv", [program, *argv])
    assert reproduce_command(argv, Recipe("mine", "", "")) == f"{command} mine --seed 3 --bf16=0"


def test_the_saved_model_answers_through_the_auto_classes(finished):
    model = AutoModelForImageClassification.from_pretrained(finished / "run")
    processor = AutoImageProcessor.from_pretrained(finished / "run")
    image = torch.zeros(28, 28, dtype=torch.uint8)
    image[10:12, 4:24] = 255
    logits = model(**processor(image, return_tensors="pt")).logits
    assert model.config.id2label[int(logits.argmax())] == "Dress"


def test_running_the_saved_recipe_again_gives_the_same_weights(finished, tmp_path):
    assert main([str(finished / "run/recipe.yaml"), "--output_dir", str(tmp_path / "again"), "--use_cpu", "true"]) == 0
    assert same_weights(finished / "run", tmp_path / "again")


def test_a_finished_run_is_never_overwritten(finished, capsys):
    before = files_of(finished / "run")
    assert main([str(finished / "tiny.yaml"), "--output_dir", str(finished / "run")]) == 2
    assert "holds the finished run of this very recipe" in capsys.readouterr().err
    assert main([str(finished / "tiny.yaml"), "--output_dir", str(finished / "run"), "--seed", "7"]) == 2
    assert "is not empty" in capsys.readouterr().err
    flags = ["--seed", "7", "--resume_from_checkpoint", "last"]
    assert main([str(finished / "tiny.yaml"), "--output_dir", str(finished / "run"), *flags]) == 2
    assert "differs from this command in training" in capsys.readouterr().err
    assert files_of(finished / "run") == before


def test_weights_can_be_trained_on(finished, tmp_path, capsys):
    flags = ["--model_name_or_path", str(finished / "run"), "--num_train_epochs", "1", "--learning_rate", "1e-6"]
    assert main([str(finished / "tiny.yaml"), *flags, "--output_dir", str(tmp_path / "more")]) == 0
    assert RunRecord.read(tmp_path / "more").metrics["test"]["accuracy"] > 0.9
    assert not same_weights(finished / "run", tmp_path / "more")


def test_every_row_is_measured_but_those_of_the_test_split_if_it_is_skipped(tiny_recipe, tmp_path, capsys):
    """Though training drops its last batch."""
    flags = ["--output_dir", str(tmp_path / "run"), "--num_train_epochs", "1", "--skip_test"]
    assert main([str(tiny_recipe), *flags]) == 0
    record = RunRecord.read(tmp_path / "run")
    assert {split: metrics["n"] for split, metrics in record.metrics.items()} == {"train": 200, "validation": 40}
    assert "test" not in record.fit
    line = "measuring the final weights on train (200 rows), validation (40 rows): about "
    assert line in capsys.readouterr().out


def kill_once_saved(argv: list[str], folder: Path) -> None:
    """Start `zoo train` and kill it -9 as soon as its second checkpoint is whole."""
    command, root = [sys.executable, "scripts/train.py", *argv], Path(__file__).parents[2]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}  # as in this process
    process = subprocess.Popen(
        command, env=environment, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 240
    try:
        while len(whole_checkpoints(folder, needs_average=True)) < 2:
            assert process.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() < deadline, "no checkpoint appeared"
            time.sleep(0.002)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_a_killed_run_resumes_to_the_same_weights(tiny_recipe, tmp_path, capsys):
    """kill -9 in mid-epoch, with dropout, augmentation, Muon, a moving average and a schedule at work."""
    flags = ["--save_strategy", "steps", "--save_steps", "3", "--eval_strategy", "epoch", "--save_total_limit", "3"]
    command = [str(tiny_recipe), "--num_train_epochs", "8", *flags]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    kill_once_saved([*command, "--output_dir", str(killed)], killed)
    assert not (killed / "results.json").exists()
    assert main([*command, "--output_dir", str(killed), "--resume_from_checkpoint", "last"]) == 0
    assert f"resuming from {killed}/checkpoint-" in capsys.readouterr().out
    assert main([*command, "--output_dir", str(whole)]) == 0
    assert "resuming" not in capsys.readouterr().out
    assert same_weights(killed, whole)
    first, second = RunRecord.read(killed), RunRecord.read(whole)
    assert first.metrics == second.metrics
    assert first.history[-2]["eval_loss"] == second.history[-2]["eval_loss"]


def test_a_half_written_checkpoint_is_not_resumed_from(tiny_recipe, tmp_path, capsys):
    folder = tmp_path / "run"
    (folder / "checkpoint-5").mkdir(parents=True)
    (folder / "checkpoint-5" / "model.safetensors").write_bytes(b"half")
    assert main([str(tiny_recipe), "--output_dir", str(folder), "--resume_from_checkpoint", "last"]) == 2
    assert "no such whole checkpoint" in capsys.readouterr().err


def test_a_full_disk_loses_nothing_and_says_so(tiny_recipe, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "run"
    flags = [str(tiny_recipe), "--output_dir", str(folder)]
    from transformers import Trainer

    def full(self, output_dir=None, _internal_call=False):
        if not _internal_call:  # the final save; checkpoints were written before
            raise OSError(28, "No space left on device")
        return original(self, output_dir, _internal_call)

    original = Trainer.save_model
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "save_model", full)
        assert main(flags) == 1
    error = capsys.readouterr().err
    assert error.strip().splitlines()[-1].startswith("error: ") and "No space left on device" in error
    assert "Traceback" not in error
    assert not (folder / "model.safetensors").exists() and not list(folder.glob(".saving*"))
    assert main([*flags, "--resume_from_checkpoint", "last"]) == 0
    assert COMPLETE <= {path.name for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["--data_dir", "/nowhere"], 1, "/nowhere does not hold train-images-idx3-ubyte.gz"),
        (["--model_overrides", "stage_channels=[8,8,8,8,8,8]"], 2, "model: pooling: stage"),
        (["--model_overrides", "image_size=32"], 1, "Fashion-MNIST is 28x28 grayscale"),
        (["--random_erasing", "28"], 1, "random_erasing=28 must be below image_size=28"),
        (["--model_name_or_path", "/nowhere"], 2, "--model_name_or_path /nowhere"),
        (["--resume_from_checkpoint", "/nowhere/checkpoint-3"], 2, "no such whole checkpoint"),
    ],
)
def test_bad_input_is_one_line(tiny_recipe, tmp_path, capsys, flags, code, message):
    assert main([str(tiny_recipe), "--output_dir", str(tmp_path / "run"), *flags]) == code
    error = capsys.readouterr().err.strip().splitlines()
    assert message in error[-1] and error[-1].startswith("error: ")
    assert "Traceback" not in "\n".join(error)


def test_a_run_that_failed_at_once_does_not_block_its_folder(tiny_recipe, tmp_path, capsys):
    flags = [str(tiny_recipe), "--output_dir", str(tmp_path / "run"), "--num_train_epochs", "1"]
    assert main([*flags, "--per_device_train_batch_size", "0"]) == 1
    assert "batch_size" in capsys.readouterr().err
    assert main(flags) == 0


def test_results_do_not_name_folders_of_the_machine(finished):
    content = json.loads((finished / "run/results.json").read_text())
    assert content["model_id"] == "tiny"
    assert str(finished) not in json.dumps({**content, "recipe": {}, "command": ""})


@pytest.mark.slow
def test_two_processes_match_one_with_twice_the_batch(tiny_recipe, tmp_path):
    """gloo on the CPU: the same accuracy within noise (batch statistics differ by process)."""
    root = Path(__file__).parents[2]
    accuracy = {}
    for processes, batch, machine in ((1, 40, "cpu"), (2, 20, "multi_cpu")):
        folder = tmp_path / str(processes)
        launch = [sys.executable, "-m", "accelerate.commands.launch"]
        launch += ["--config_file", f"scripts/accelerate/{machine}.yaml"]
        flags = ["--per_device_train_batch_size", str(batch), "--num_train_epochs", "12", "--output_dir", str(folder)]
        run = subprocess.run(
            [*launch, "scripts/train.py", str(tiny_recipe), *flags], cwd=root, capture_output=True, text=True
        )
        assert run.returncode == 0, run.stderr[-2000:]
        assert "arning" not in run.stderr  # those of torch's data parallelism
        record = RunRecord.read(folder)
        assert record.compute["processes"] == processes
        accuracy[processes] = record.metrics["validation"]["accuracy"]
    assert abs(accuracy[1] - accuracy[2]) <= 0.1
