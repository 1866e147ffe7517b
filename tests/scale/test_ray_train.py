"""`zoo train --ray_workers`: the checks before Ray starts, the path in this process, and two real workers."""

import builtins
import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tuning.conftest import address, content, recipe  # noqa: F401
from zoo.commands.train import main
from zoo.record import RunRecord

ROOT = Path(__file__).parents[2]


@pytest.fixture
def one_worker(monkeypatch):
    """Ray Train without Ray: one worker, in this process."""
    pytest.importorskip("ray")
    from zoo.scale import ray_train

    class Trainer:
        def __init__(self, loop, train_loop_config, scaling_config, run_config):
            self.loop, self.config, self.scaling = loop, train_loop_config, scaling_config

        def fit(self):
            try:
                self.loop(self.config)
            except Exception as error:
                broken = RuntimeError("gloo: connection closed by peer")
                raise ray_train.ray.train.WorkerGroupError("two failed", {0: broken, 1: error}) from None

    monkeypatch.setattr(ray_train, "TorchTrainer", Trainer)
    monkeypatch.setattr(ray_train, "cluster", lambda where: contextlib.nullcontext({"CPU": 2.0}))
    monkeypatch.setattr(ray_train.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(ray_train, "check_room", lambda suffix, cpus, gpus: 2 // cpus)


def file_names(run: Path) -> set[str]:
    """What a run wrote beside its checkpoints, whose number depends on the epochs."""
    return {path.name for path in run.iterdir() if not path.name.startswith("checkpoint-")}


def test_a_run_of_a_worker_is_a_run(one_worker, recipe, finished, tmp_path, capsys):  # noqa: F811
    """Same place, same files, and its prints reach the user; Ray's own files are gone."""
    folder = tmp_path / "runs/mine"
    assert main([str(recipe), "--ray_workers", "1", "--output_dir", str(folder)]) == 0
    record = RunRecord.read(folder)
    assert "ray_workers" not in record.command and record.compute["processes"] == 1
    assert file_names(folder) == file_names(finished / "run")
    out = capsys.readouterr().out
    assert "1 workers of Ray Train" in out and f"results.json in {folder}" in out
    assert [path.name for path in folder.parent.iterdir()] == ["mine"]


def test_a_worker_run_resumes(one_worker, recipe, tmp_path):  # noqa: F811
    flags = [str(recipe), "--ray_workers", "1", "--output_dir", str(tmp_path / "run")]
    assert main(flags) == 0
    weights = RunRecord.read(tmp_path / "run").weights_sha256
    for name in ("results.json", "model.safetensors"):
        (tmp_path / "run" / name).unlink()
    last = max((tmp_path / "run").glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    for file in last.iterdir():
        file.unlink()
    assert main([*flags, "--resume_from_checkpoint", "last"]) == 0
    assert RunRecord.read(tmp_path / "run").weights_sha256 == weights


def test_the_error_of_a_worker_is_one_line(one_worker, recipe, tmp_path, capsys):  # noqa: F811
    """Not that of the workers that waited for it, and with the code of a usage error."""
    flags = [str(recipe), "--ray_workers", "2", "--output_dir", str(tmp_path / "run")]
    assert main([*flags, "--early_stopping_patience", "2", "--eval_strategy", "no", "--save_strategy", "no"]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("error: early_stopping_patience evaluates on") and "Traceback" not in "".join(lines)


def test_another_failure_of_a_worker_names_it():
    pytest.importorskip("ray")
    from zoo.scale.ray_train import cause

    assert str(cause({1: RuntimeError("no memory")})) == "worker 1: RuntimeError: no memory"
    assert isinstance(cause({0: RuntimeError("closed"), 1: FileNotFoundError("no such file")}), FileNotFoundError)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--ray_workers", "3"], "--ray_workers 3: there is room for 2 with 1 CPU cores each"),
        (["--ray_workers", "2", "--cpus_per_worker", "2"], "there is room for 1 with 2 CPU cores each"),
        (["--ray_workers", "-1"], "must not be negative"),
        (["--ray_workers", "2", "--cpus_per_worker", "0"], "cpus_per_worker must be at least 1"),
        (["--address", "auto"], "say with --ray_workers how many"),
        (["--ray_workers", "2", "--resume_from_checkpoint", "last"], "no such whole checkpoint"),
        (["--ray_worker", "2"], "did you mean '--ray_workers'"),
    ],
)
def test_wrong_calls_are_one_line(one_worker, recipe, tmp_path, capsys, flags, message):  # noqa: F811
    assert main([str(recipe), *flags, "--output_dir", str(tmp_path / "run")]) == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]


def test_a_full_folder_is_refused_before_ray_starts(recipe, finished, capsys, monkeypatch):  # noqa: F811
    pytest.importorskip("ray")
    from zoo.scale import ray_train

    monkeypatch.setattr(ray_train, "cluster", lambda where: pytest.fail("Ray was started"))
    assert main([str(recipe), "--ray_workers", "2", "--output_dir", str(finished / "run")]) == 2
    assert "is not empty" in capsys.readouterr().err


def test_without_ray_the_extra_is_named(recipe, capsys, monkeypatch):  # noqa: F811
    real = builtins.__import__

    def without_ray(name, *arguments, **options):
        if name.partition(".")[0] == "ray":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *arguments, **options)

    for module in [name for name in sys.modules if name.partition(".")[0] == "ray" or name.startswith("zoo.scale")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(builtins, "__import__", without_ray)
    assert main([str(recipe), "--ray_workers", "2"]) == 2
    assert 'pip install "primer-zoo[scale]"' in capsys.readouterr().err


def test_a_misspelt_recipe_needs_no_ray(capsys):
    assert main(["fashion-cn", "--ray_workers", "2"]) == 2
    assert "did you mean 'fashion-cnn'" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Ray Train reads a deprecated setting of Ray Data
def test_two_workers_learn_what_accelerate_launch_learns(address, recipe, tmp_path, capsys):  # noqa: F811
    """Two machines of one CPU each; the weights are equal bit by bit. A failing worker is one line."""
    flags = ["--num_train_epochs", "3", "--output_dir"]
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", "scripts/accelerate/multi_cpu.yaml"]
    command = [*launch, "scripts/train.py", str(recipe), *flags, str(tmp_path / "accelerate")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    with_ray = [str(recipe), "--ray_workers", "2", "--address", address, *flags]
    assert main([*with_ray, str(tmp_path / "ray")]) == 0
    one, other = RunRecord.read(tmp_path / "ray"), RunRecord.read(tmp_path / "accelerate")
    assert one.compute["processes"] == other.compute["processes"] == 2
    assert one.weights_sha256 == other.weights_sha256 and one.metrics == other.metrics
    assert file_names(tmp_path / "ray") == file_names(tmp_path / "accelerate")
    assert f"results.json in {tmp_path / 'ray'}" in capsys.readouterr().out

    assert main([*with_ray, str(tmp_path / "failed"), "--data_dir", "/nowhere"]) == 1
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith("error: /nowhere does not hold")


def test_too_many_workers_are_refused_before_ray_starts(recipe, tmp_path, capsys, monkeypatch):  # noqa: F811
    pytest.importorskip("ray")
    from zoo.scale import ray_train

    monkeypatch.setattr(ray_train, "cluster", None)
    assert main([str(recipe), "--ray_workers", "5000", "--output_dir", str(tmp_path / "run")]) == 2
    assert "--ray_workers 5000: there is room for" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
