"""The zoo command, evaluation and the scripts."""

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from zoo.commands import guarded, main
from zoo.commands.evaluate import main as evaluate
from zoo.training.evaluate import prepare

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(finished) -> Path:
    """The folder of a finished run."""
    return finished / "run"


def test_evaluation_measures_what_the_record_says(run, capsys, tmp_path):
    assert evaluate([str(run), "--split", "all", "--output_dir", str(tmp_path / "out")]) == 0
    measured = json.loads((tmp_path / "out/evaluation.json").read_text())["metrics"]
    recorded = json.loads((run / "results.json").read_text())["metrics"]
    assert measured.keys() == recorded.keys()
    for split in measured:
        assert measured[split] == pytest.approx(recorded[split])
    out = capsys.readouterr().out
    assert "its record says" in out and "precision" in out
    assert (tmp_path / "out/pictures/confusion_matrix.png").is_file()


def test_an_evaluation_takes_the_recipes_batch_size(run, tmp_path):
    assert prepare([str(run)]).arguments.per_device_eval_batch_size == 256
    copy = shutil.copytree(run, tmp_path / "run")
    recipe = yaml.safe_load((copy / "recipe.yaml").read_text())
    recipe["training"]["per_device_eval_batch_size"] = 7
    (copy / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert prepare([str(copy)]).arguments.per_device_eval_batch_size == 7
    assert prepare([str(copy), "--per_device_eval_batch_size", "9"]).arguments.per_device_eval_batch_size == 9


def test_evaluation_with_another_option(run, capsys):
    assert evaluate([str(run), "--test_time_augmentation", "none"]) == 0
    out = capsys.readouterr().out
    assert "test: accuracy" in out and "test_plain" not in out and "validation" not in out


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        ([], 2, "name a model first"),
        (["/nowhere"], 2, "cannot load /nowhere"),
        (["fashion-cn"], 2, "neither a folder nor a shipped model; did you mean 'fashion-cnn'"),
        (["RUN", "--split", "tset"], 2, "split='tset' is not one of"),
        (["RUN", "--spilt", "test"], 2, "did you mean '--split'"),
        (["RUN", "--data_dir", "/nowhere"], 1, "/nowhere does not hold"),
    ],
)
def test_wrong_evaluations_are_one_line(run, capsys, flags, code, message):
    assert evaluate([str(run) if flag == "RUN" else flag for flag in flags]) == code
    error = capsys.readouterr().err.strip().splitlines()
    assert message in error[-1] and "Traceback" not in "\n".join(error)


def test_a_model_of_other_classes_is_refused(run, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    config["id2label"]["0"], config["id2label"]["1"] = config["id2label"]["1"], config["id2label"]["0"]
    config["label2id"] = {label: int(number) for number, label in config["id2label"].items()}
    (tmp_path / "run/config.json").write_text(json.dumps(config))
    assert evaluate([str(tmp_path / "run")]) == 2
    assert "same classes in the same order" in capsys.readouterr().err


@pytest.mark.parametrize("flags", [["train", "--help"], ["evaluate", "--help"], ["--help"]])
def test_help_exits_well(flags, capsys):
    with pytest.raises(SystemExit) as exit:
        main(flags)
    assert exit.value.code == 0
    assert "usage" in capsys.readouterr().out


@pytest.mark.parametrize("script", ["train.py", "evaluate.py"])
def test_scripts_run_from_anywhere(script, tmp_path):
    """A script's own folder holds an evaluate.py that must not hide the package of that name."""
    command = [sys.executable, str(ROOT / "scripts" / script), "nothing-of-that-name"]
    run = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "HF_HUB_OFFLINE": "1"}
    )
    assert run.returncode == 2
    assert run.stderr.strip().splitlines()[-1].startswith("error: ")


@pytest.mark.parametrize("script", sorted((ROOT / "scripts").glob("*.py")), ids=lambda path: path.name)
def test_a_script_begins_with_its_command(script):
    first = script.read_text().splitlines()[0]
    assert first.startswith('"""') and f"scripts/{script.name}" in first


def test_progress_reaches_a_log_file_line_by_line(monkeypatch):
    file = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(file))
    seen = []
    assert guarded(lambda argv: (print("epoch 1"), seen.append(file.getvalue())), []) == 0
    assert seen == [b"epoch 1\n"]


def test_the_command_line_itself_is_explained(capsys):
    assert main(["trian"]) == 2
    assert "error: no command 'trian'; did you mean 'train'?" in capsys.readouterr().err
    assert main([]) == 2
    assert "commands:" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.startswith("primer-zoo 0.")


@pytest.mark.parametrize(
    ("command", "flag", "nearest"),
    [
        (["export", "fashion-cnn", "--formt", "onnx"], "--formt", "--format"),
        (["publish", "run", "--repo=me/it"], "--repo", "--repo_id"),
        (["translate", "model", "--input_fil", "a.txt"], "--input_fil", "--input_file"),
        (["demo", "--outputdir", "page"], "--outputdir", "--output_dir"),
        (["card", "run", "--output-dir", "card"], "--output-dir", "--output_dir"),
        (["list", "--markdwn"], "--markdwn", "--markdown"),
        (["tune", "fashion-cnn", "--trails", "3"], "--trails", "--trials"),
        (["--versoin"], "--versoin", "--version"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_a_misspelt_flag_is_named_with_the_nearest(command, flag, nearest, capsys):
    assert main(command) == 2
    assert capsys.readouterr().err == f"error: unknown argument {flag!r}; did you mean {nearest!r}?\n"
