"""Searches on a Ray cluster of two machines, both of them here."""

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

ray = pytest.importorskip("ray")

from zoo.commands import tune as command  # noqa: E402
from zoo.commands.tune import main  # noqa: E402
from zoo.training.command_line import parse_run  # noqa: E402
from zoo.training.recipe import UsageError  # noqa: E402
from zoo.tuning import tuner  # noqa: E402
from zoo.tuning.algorithms import make_scheduler  # noqa: E402
from zoo.tuning.cluster import check_machines, check_room, cluster  # noqa: E402
from zoo.tuning.log import read_events, read_trials, write_event  # noqa: E402
from zoo.tuning.logger import TrialLogger  # noqa: E402
from zoo.tuning.search import make_search  # noqa: E402
from zoo.tuning.settings import Objective  # noqa: E402
from zoo.tuning.trial import data_key  # noqa: E402

ROOT = Path(__file__).parents[2]


def prepare(argv):
    return make_search(*command.make_parser().parse_known_args(argv))


def searched(folder: Path) -> dict:
    return json.loads((folder / "search.json").read_text())


def test_a_search_over_two_machines(address, recipe, tiny_data, tmp_path, monkeypatch, capsys):
    """The data is read once, by this process and without its test split; failures are marked; workers are reused."""
    data = shutil.copytree(tiny_data, tmp_path / "data")
    test_images = gzip.decompress((data / "t10k-images-idx3-ubyte.gz").read_bytes())[16:]
    load, shared = tuner.load_without_test, []

    def load_and_delete(settings):
        shared.append(load(settings))
        shutil.rmtree(data)  # no trial reads a file of the data set, least of all the test split's
        return shared[0]

    monkeypatch.setattr(tuner, "load_without_test", load_and_delete)
    monkeypatch.chdir(recipe.parent)  # relative paths are the caller's, on every machine
    flags = ["--address", address, "--output_dir", str(tmp_path / "out"), "--data_dir", "data", "--skip_final"]
    flags += ["--algorithm", "grid", "--scheduler", "none"]
    flags += ["--space", "model.stage_channels=[[4, 4], [8, 8, 8, 8, 8, 8, 8]]"]
    flags += ["--space", "training.learning_rate={grid: [0.02, 0.01, 1.0e+36]}"]
    assert main([recipe.name, *flags]) == 0

    assert shared[0].test is None and "test" not in shared[0].fingerprint
    images = [split.images.numpy().tobytes() for split in shared[0].splits().values()]
    assert test_images[: 28 * 28] not in b"".join(images)
    results = searched(tmp_path / "out")
    assert [trial["status"] for trial in results["trials"]] == ["finished"] * 2 + ["failed"] * 4
    reasons = [trial["reason"] for trial in results["trials"][2:]]
    assert sum("diverged: " in reason for reason in reasons) == 1
    assert sum("would shrink its" in reason for reason in reasons) == 3
    assert results["best"]["point"] == results["trials"][0]["point"] and len(results["trials"][0]["history"]) == 2
    workers = {(entry["host"], entry["pid"]) for trial in results["trials"] for entry in trial["history"]}
    assert 1 <= len(workers) <= 2 and results["cluster"] == {"CPU": 2.0}
    out = capsys.readouterr().out
    assert "tiny: grid search over 2 fields, 6 trials of 2 epochs" in out
    assert "[6/6] trial " in out and out.count("FAILED: ") >= 4 and "tiny-tuned.yaml" in out
    for name in ("search.md", "history.png", "importance.png", "parallel.png", "tiny-tuned.yaml"):
        assert (tmp_path / "out" / name).is_file()


def test_a_killed_search_goes_on(address, recipe, tmp_path):
    """Finished trials are kept, the running one goes on from its checkpoint."""
    # Epochs of about half a second: Tune's state, 2 seconds old at most, knows a checkpoint that still exists.
    out, epochs = tmp_path / "out", 12
    flags = [str(recipe), "--address", address, "--output_dir", str(out), "--skip_final", "--algorithm", "grid"]
    flags += ["--scheduler", "none", "--jobs", "1", "--epochs", str(epochs), "--per_device_train_batch_size", "1"]
    flags += ["--space", "model.stage_channels=[[4, 4]]"]
    flags += ["--space", "training.learning_rate={grid: [0.01, 0.02, 0.03]}"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "zoo", "tune", *flags],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        end = time.monotonic() + 300
        while time.monotonic() < end and process.poll() is None:
            trials = read_trials(out)
            assert [trial.status for trial in trials].count("running") <= 1  # --jobs 1, on a cluster with room for two
            if [trial.status for trial in trials] == ["finished", "running"] and len(trials[1].epochs) >= 2:
                time.sleep(2.5)  # Tune writes its own state every two seconds
                break
            time.sleep(0.05)
        assert process.poll() is None, process.stderr.read().decode()
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stderr.close()
    before = read_trials(out)
    assert main([*flags, "--resume"]) == 0
    after = read_trials(out)
    assert [trial.status for trial in after] == ["finished"] * 3
    assert [len(trial.epochs) for trial in after] == [epochs] * 3
    assert after[0].epochs == before[0].epochs  # not trained again
    starts = [event["trial"] for event in read_events(out) if event["event"] == "start"]
    assert starts.count(after[0].id) == 1
    scores = {trial.point["training.learning_rate"] for trial in after}
    assert scores == {0.01, 0.02, 0.03}
    assert main([*flags, "--resume", "--trials", "9"]) == 2  # another search


def test_tpe_follows_conditions_and_asha_stops(address, recipe, tmp_path):
    pytest.importorskip("optuna")
    content = yaml.safe_load(recipe.read_text())
    content["search"]["space"] |= {
        "training.optim": ["adamw_torch", "sgd"],
        "training.optim_args": {"choice": ["momentum=0.9"], "when": {"training.optim": "sgd"}},
    }
    content["search"] |= {"algorithm": "tpe", "trials": 5, "trial": {"training": {"num_train_epochs": 3}}}
    recipe.write_text(yaml.safe_dump(content))
    flags = ["--address", address, "--output_dir", str(tmp_path / "out"), "--skip_final", "--jobs", "1"]
    assert main([str(recipe), *flags, "--reduction_factor", "2"]) == 0
    results = searched(tmp_path / "out")
    assert len(results["trials"]) == 5 and results["epochs_trained"] < 15
    assert {trial["status"] for trial in results["trials"]} == {"finished", "stopped"}
    for trial in results["trials"]:
        assert ("training.optim_args" in trial["point"]) == (trial["point"]["training.optim"] == "sgd")


def test_a_population_changes_rates_while_it_trains(address, recipe, tmp_path):
    flags = ["--address", address, "--output_dir", str(tmp_path / "out"), "--skip_final", "--algorithm", "pbt"]
    flags += ["--trials", "3", "--epochs", "8", "--total_epochs", "24", "--jobs", "1"]
    flags += ["--space", "training.learning_rate={loguniform: [1.0e-2, 1.0e-1]}"]
    assert main([str(recipe), *flags]) == 0
    results = searched(tmp_path / "out")
    assert len(results["trials"]) == 3 and {trial["status"] for trial in results["trials"]} <= {"finished", "stopped"}
    assert any("points" in trial for trial in results["trials"])


def test_a_budget_of_epochs_counts_those_before_an_interruption(tmp_path):
    for number in (1, 2, 3):
        write_event(tmp_path, "epoch", "a", epoch=number, score=0.1, point={})
    budget = tuner.EpochBudget(str(tmp_path), 5)
    assert not budget("b", {"metrics": {}, "training_iteration": 1})
    assert not budget("b", {"failed": "x", "training_iteration": 2})
    assert budget("b", {"metrics": {}, "training_iteration": 2}) and budget.stop_all()
    assert not tuner.EpochBudget(str(tmp_path), 0)("b", {"metrics": {}, "training_iteration": 9})


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--lerning_rate", "1"], "unknown argument '--lerning_rate'; did you mean '--learning_rate'"),
        (["--model_overrides", "a=1"], 'fix a field with --space "model.FIELD=VALUE"'),
        (["--algorithm", "grid"], "training.learning_rate: a grid needs choices, not a loguniform range"),
        (["--space", "training.lr=[1]"], "is not a section.field of a recipe"),
        (["--resume"], "holds no search; start without the flag"),
        (["--epochs", "0"], "--epochs must be at least 1"),
        (["--jobs", "-1"], "--jobs -1: must not be negative"),
        (["--learning-rate", "0.1"], '--space "training.learning_rate=VALUE" instead'),
        (["--output-dir", "x"], "--output-dir: a search sets it itself"),
        (["--max_steps", "3"], "max_steps=3: a search counts epochs"),
    ],
)
def test_a_wrong_call_is_an_error_before_a_cluster_starts(recipe, flags, message, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(ray, "init", lambda *arguments, **options: pytest.fail("a cluster was started"))
    assert main([str(recipe), "--output_dir", str(tmp_path / "out"), *flags]) == 2
    assert message in capsys.readouterr().err


def test_a_missing_ray_is_an_error(recipe, tmp_path, monkeypatch, capsys):
    for name in ("zoo.tuning.cluster", "zoo.tuning.search"):
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main([str(recipe), "--output_dir", str(tmp_path / "out")]) == 2
    assert 'pip install "primer-zoo[tune]"' in capsys.readouterr().err


def test_flags_set_the_primary_metric(recipe):
    """As the recipe's own lines do."""
    flags = ["--metric_for_best_model", "f1", "--greater_is_better", "false", "--load_best_model_at_end", "true"]
    assert prepare([str(recipe)]).work.objective.metric == "accuracy"
    assert prepare([str(recipe), *flags]).work.objective == Objective("f1", False, True)


def test_weights_bring_the_family_that_is_searched(recipe, tmp_path):
    """A recipe that goes on with any model has none of its own."""
    from zoo.models.fashion_cnn import FashionCNNConfig, FashionCNNForImageClassification

    config = FashionCNNConfig(stage_channels=[4, 4])
    FashionCNNForImageClassification(config).save_pretrained(tmp_path / "weights")
    content = yaml.safe_load(recipe.read_text())
    recipe.write_text(yaml.safe_dump({key: content[key] for key in ("task", "data", "search")}))
    assert prepare([str(recipe), "--model_name_or_path", str(tmp_path / "weights")]).recipe.family == "fashion_cnn"
    with pytest.raises(UsageError, match="--model_name_or_path"):
        prepare([str(recipe)])


def test_a_population_stays_in_its_ranges(recipe):
    space = ["model.conv_dropout={uniform: [0, 0.9], round: 0.1}", "training.learning_rate={loguniform: [0.001, 0.1]}"]
    settings = prepare([str(recipe), "--algorithm", "pbt", *(f for one in space for f in ("--space", one))]).settings
    explore = make_scheduler(settings, "max", 4)._get_new_config
    point = {"model.conv_dropout": 0.9, "training.learning_rate": 0.001, "model.stage_channels": [4, 4]}
    trial = SimpleNamespace(config={"point": point}, experiment_tag="")
    for _ in range(30):
        changed = explore(trial, trial)[0]["point"]
        assert changed["model.conv_dropout"] in [round(0.1 * n, 1) for n in range(10)]
        assert 0.001 <= changed["training.learning_rate"] <= 0.1 and changed["model.stage_channels"] == [4, 4]


def test_ray_that_does_not_start_is_an_error(monkeypatch):
    def init(**options):
        raise ValueError("no room")

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(RuntimeError, match="Ray does not start on this machine: no room"), cluster(None):
        pass


def test_a_trial_without_room_is_an_error(monkeypatch):
    nodes = [{"Alive": True, "Resources": {"CPU": 2.0}}, {"Alive": False, "Resources": {"CPU": 9.0}}]
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    with pytest.raises(UsageError, match="cpus_per_trial=4, but no machine of the cluster has more than 2"):
        check_room("per_trial", 4.0, 0.0)
    nodes += [{"Alive": True, "Resources": {"CPU": 1.0, "GPU": 1.0}}]
    assert check_room("per_run", 0.5, 0.0) == 6 and check_room("per_run", 0.5, 0.5) == 2
    with pytest.raises(UsageError, match="no machine of the cluster has room for cpus_per_run=2 and gpus_per_run=1"):
        check_room("per_run", 2.0, 1.0)


class Dying:
    """A worker that dies at one point, as when memory runs out."""

    objective = Objective("accuracy")

    def log(self, point):
        return os.devnull

    def do(self, point, data):
        if point["dies"]:
            os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_dies_fails_its_trial_alone(address, tmp_path):
    with cluster(address):
        with pytest.raises(UsageError, match=r"a machine of the cluster has torch .*, this one 0\.4"):
            check_machines({"torch": "0.4"})
        logger = TrialLogger(str(tmp_path), Dying.objective, 2)
        tuner.run_trials(tmp_path, Dying(), (1.0, 0.0), [{"dies": True}, {"dies": False}], logger)
    trials = {trial.point["dies"]: trial for trial in read_trials(tmp_path)}
    assert "the worker died" in trials[True].reason and trials[False].status == "finished"


def test_a_log_file_shows_progress_every_half_minute(tmp_path, capsys, monkeypatch):
    logger = TrialLogger(str(tmp_path), Dying.objective, 2)
    logger.numbers, logger.progress = {"a": 1, "b": 2}, {"a": "epoch 1 of 3", "b": "starts"}
    logger.show_progress()
    assert capsys.readouterr().out == ""
    now = time.monotonic() + 31
    monkeypatch.setattr("time.monotonic", lambda: now)
    logger.show_progress()
    logger.show_progress()
    assert capsys.readouterr().out == "1: epoch 1 of 3 | 2: starts\n"


@pytest.mark.parametrize(
    ("name", "own", "shared"),
    [
        ("fashion-cnn", "data.validation_size=10", "data.random_shift=1"),
        ("lstm-forecaster", "model.context_length=48", "model.hidden_size=8"),
        ("seq2seq-course", "model.vocab_size=90", "model.dropout=0.5"),
    ],
)
def test_trials_share_the_data_unless_a_field_changes_what_is_read(name, own, shared):
    def key(field=""):
        section, _, text = field.partition(".")
        flags = {"": [], "data": [f"--{text}"], "model": ["--model_overrides", text]}[section]
        return data_key(parse_run([name, *flags]))

    assert key(own) != key() == key(shared)
