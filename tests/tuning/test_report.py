"""The log of a search, its table and pictures, the winner's recipe, and its figures beside the default's."""

import importlib
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("ray")

from zoo.tuning.sharing import load_without_test, pack, unpack, watched

from zoo.commands import tune as command
from zoo.tasks.base import Report
from zoo.training import run as training
from zoo.training.command_line import parse_run
from zoo.training.recipe import load_recipe
from zoo.tuning import pictures, study_runs, workers
from zoo.tuning import trial as trials_of
from zoo.tuning.log import ranked, read_trials, wall_seconds, write_event
from zoo.tuning.report import importances, markdown, winning_recipe
from zoo.tuning.trial import Assignment


def epoch(folder, trial, number, score, point=None, **more):
    more = {"metrics": {"accuracy": score}, "seconds": number * 1.5, "host": "a", "pid": 1, **more}
    write_event(
        folder, "epoch", trial, epoch=number, score=score, point=point or {"training.learning_rate": 0.1}, **more
    )


@pytest.fixture
def log(tmp_path):
    """Three trials: one that was stopped early, one that failed, and one that was killed after its second epoch."""
    for trial in "abc":
        write_event(tmp_path, "start", trial, point={"training.learning_rate": 0.1})
        epoch(tmp_path, trial, 1, {"a": 0.5, "b": 0.9, "c": 0.6}[trial])
    write_event(tmp_path, "end", "a", epochs=3)
    write_event(tmp_path, "failed", "b", reason="diverged: loss is nan | after epoch 2")
    write_event(tmp_path, "end", "b", epochs=3)
    epoch(tmp_path, "c", 2, 0.7)
    with open(tmp_path / "trials.jsonl", "a") as file:
        file.write('{"event": "epo')
    return tmp_path


def test_the_log_survives_a_kill(log):
    """A half line is left out, the one after it is not; an epoch that is trained again counts once."""
    write_event(log, "start", "c", point={"training.learning_rate": 0.1})
    for number, score in ((2, 0.71), (3, 0.65)):
        epoch(log, "c", number, score)
    write_event(log, "end", "c", epochs=3)
    trials = {trial.id: trial for trial in read_trials(log)}
    assert [trials[name].status for name in "abc"] == ["stopped", "failed", "finished"]
    assert [trials[name].number for name in "abc"] == [1, 2, 3]
    assert [found["score"] for found in trials["c"].epochs.values()] == [0.6, 0.71, 0.65]
    assert trials["c"].score == 0.65 and trials["c"].seconds == 4.5
    assert "nan" in trials["b"].reason


def test_the_clock_stands_still_between_a_kill_and_what_goes_on(tmp_path, monkeypatch):
    for moment, kind in ((10, "begin"), (11, "start"), (14, "epoch"), (90, "begin"), (91.5, "start"), (93, "search")):
        monkeypatch.setattr("zoo.tuning.log.time.time", lambda moment=moment: moment)
        write_event(tmp_path, kind, "")
    assert wall_seconds(tmp_path) == 4 + 3


def test_failed_trials_come_last_whatever_they_scored(log):
    assert [trial.id for trial in ranked(read_trials(log), True)] == ["c", "a", "b"]
    assert [trial.id for trial in ranked(read_trials(log), False)] == ["a", "c", "b"]


def test_a_population_tells_its_points(log):
    epoch(log, "a", 2, 0.6, {"training.learning_rate": 0.2})
    trial = read_trials(log)[0]
    assert trial.point == {"training.learning_rate": 0.2} and list(trial.points) == [1, 2]
    assert trial.to_dict()["points"][2] == trial.point


def assignment(recipe, **changes):
    arguments = {"trial": {}, "flags": [], "seed": 3, "metric": "accuracy", "greater_is_better": True}
    return Assignment(**{"recipe": str(recipe), "keeps_best": False, **arguments, **changes})


def test_table_and_pictures(log, recipe):
    trials, names = read_trials(log), ["training.learning_rate"]
    page = markdown("Search: tiny", trials, names, assignment(recipe), ["a note"])
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    assert rows[1].startswith("| 1 | 3 | 0.7000 | 2 | 3 s | `0.1` |")
    assert rows[3] == "|  | 2 |  | 1 | 2 s | `0.1` | FAILED: diverged: loss is nan / after epoch 2 |"
    assert "No trial held the test split" in page and "a note" in page
    pictures.draw_history(trials, "accuracy", True, log / "history.png")
    pictures.draw_parallel(trials, names, "accuracy", True, log / "parallel.png")
    pictures.draw_importance({}, log / "importance.png")
    pictures.draw_history([], "accuracy", True, log / "empty.png")
    pictures.draw_parallel([], names, "accuracy", True, log / "empty.png")
    for name in ("history", "parallel", "importance", "empty"):
        assert (log / f"{name}.png").stat().st_size > 1_000


def test_a_diverged_trial_does_not_flatten_the_others():
    ordinary = [[0.9, 0.5 - place / 100] for place in range(8)]
    (low, high), outside = pictures._range([*ordinary, [1e3, 1e6]], False)
    assert (low, high, outside) == (pytest.approx(0.43 - 0.0235), pytest.approx(0.9 + 0.0235), 2)
    # the best is always shown, and so are the first epochs of the others
    (low, high), outside = pictures._range([*[[0.0, 0.1]] * 9, [0.0, 24.0]], True)
    assert low < 0 and high > 24 and outside == 0
    assert pictures._range([*[[0.1]] * 15, [1e6]], False)[1] == 1
    assert pictures._range([[0.0, 0.9]] * 3, True)[1] == pictures._range([], True)[1] == 0


def test_what_matters_is_found(tmp_path):
    random = np.random.default_rng(0)
    for place in range(30):
        rate, act = 10 ** random.uniform(-4, -1), random.choice(["relu", "gelu"])
        point = {"training.learning_rate": rate, "model.hidden_act": act}
        epoch(tmp_path, str(place), 1, 0.9 - 0.1 * abs(math.log10(rate) + 2), point)
    shares = importances(read_trials(tmp_path), ["model.hidden_act", "training.learning_rate"])
    assert list(shares)[0] == "training.learning_rate" and shares["training.learning_rate"] > 0.8
    assert importances(read_trials(tmp_path)[:7], ["training.learning_rate"]) == {}


def test_the_winner_is_a_recipe_that_runs_as_it_is(recipe, tmp_path):
    point = {"model.stage_channels": [6, 6], "training.learning_rate": 0.05}
    chosen = assignment(recipe, flags=["--weight_decay", "0.1"], trial={"training": {"num_train_epochs": 1}})
    path = winning_recipe(chosen, point, tmp_path, "tiny")
    found = load_recipe(path)
    assert found.id == "tiny-tuned" and not found.search and found.model["stage_channels"] == [6, 6]
    settings = parse_run([str(path)])
    assert settings.training.learning_rate == 0.05 and settings.training.weight_decay == 0.1
    assert settings.training.num_train_epochs == 2 and settings.training.seed == 3


def test_winner_and_default_are_measured_on_the_test_split(recipe, tmp_path, monkeypatch):
    def work_off(jobs, pool, tell, go_on):
        for job in jobs:
            tell(job, "start", None)
            workers.perform(job, lambda what: None)
            tell(job, "done", "")

    monkeypatch.setattr(study_runs, "work_off", work_off)
    monkeypatch.setattr(training, "draw_learning_curves", lambda *arguments: None)
    report = importlib.import_module("zoo.tasks.image_classification.report")
    monkeypatch.setattr(report, "report", lambda *arguments: Report(""))
    point = {"model.stage_channels": [6, 6]}
    found = {"best": {"trial": 1, "point": point}, "settings": {"space": {"model.stage_channels": {}}}}
    found |= {"command": "python scripts/tune.py tiny"}
    chosen = assignment(recipe, flags=["--max_steps", "1"])
    command.finish(tmp_path, load_recipe(recipe), chosen, found, [chosen.seed], (None, 1, 1.0, 0.0))
    default, winner = json.loads((tmp_path / "search.json").read_text())["final"]
    assert default["runs"][0]["n"] == winner["runs"][0]["n"] == 60 and winner["changes"] == "stage_channels=[6,6]"
    assert winner["runs"][0]["parameters"] > default["runs"][0]["parameters"]
    page = (tmp_path / "search.md").read_text()
    assert f"| the winner | {winner['runs'][0]['test']:.4f} |" in page and "tiny-tuned.yaml" in page


def test_packed_data_is_shared_and_holds_no_test_split(recipe):
    """Arrays and tensors of one memory are packed once, and unpacked as views of it."""
    settings = parse_run([str(recipe)])
    data, read = load_without_test(settings)
    assert data.test is None and "test" not in data.fingerprint and set(data.splits()) == {"train", "validation"}
    assert {"model.image_size", "data.data_dir", "data.validation_size"} <= read
    assert not {"model.stage_channels", "data.random_shift"} & read
    content, order, arrays = packed = pack(data)
    pixels = sum(len(split) for split in data.splits().values()) * 28 * 28
    assert pixels <= sum(array.nbytes for array in arrays) < 1.2 * pixels and len(content) < 0.1 * pixels
    again = unpack(packed)
    assert np.shares_memory(again.train.images.numpy(), arrays[order[0]]) or any(
        np.shares_memory(again.train.images.numpy(), array) for array in arrays
    )
    assert (again.train.images == data.train.images).all() and (again.train.labels == data.train.labels).all()


def test_a_worker_reads_again_what_depends_on_another_field(monkeypatch):
    """The size of a vocabulary is looked at only where there is a new one; the default keeps the old."""

    def load(settings):
        point = settings
        read = {"data.vocabulary"} | ({"data.vocabulary_size"} if point.get("data.vocabulary") == "extend" else set())
        return SimpleNamespace(point=point, test=None), read

    monkeypatch.setattr(trials_of, "load_without_test", load)
    monkeypatch.setattr(trials_of.ray, "get", lambda reference: pack(SimpleNamespace(point={}, test=None)))
    shared = SimpleNamespace(data=[SimpleNamespace(hex=lambda: "a")], data_fields=("data.vocabulary",))
    loaded = trials_of._Loaded()

    def get(**point):
        point = {f"data.{name}": value for name, value in point.items()}
        return loaded.get(shared, point, point)

    first = get(vocabulary="extend", vocabulary_size=90)
    assert get(vocabulary="extend", vocabulary_size=90) is first
    second = get(vocabulary="extend", vocabulary_size=110)
    assert second.point["data.vocabulary_size"] == 110
    assert get(vocabulary="extend", vocabulary_size=110, random_shift=3) is second  # is not looked at
    default = get(random_shift=1)
    assert default.point == {} and get(random_shift=2) is default
    assert get(vocabulary="keep").point == {"data.vocabulary": "keep"}


def test_watching_sees_what_is_read_and_leaves_no_trace():
    config = parse_run(["fashion-cnn-quick"]).recipe
    own = type(config)
    with watched(config) as read:
        assert config.family == "fashion_cnn"
    assert "family" in read and "task" not in read and type(config) is own


def test_a_checkpoint_gets_the_rates_of_its_new_point():
    import torch

    from zoo.tuning.trial import ResumedRates

    weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(3)]
    groups = [
        {"params": weights[:1], "weight_decay": 0.1},
        {"params": weights[1:2], "weight_decay": 0.0},
        {"params": weights[2:], "lr": 0.5, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.SGD(groups, lr=0.02)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5)
    old = {"training.learning_rate": 0.02, "training.weight_decay": 0.1}
    new = {"training.learning_rate": 0.04, "training.weight_decay": 0.3}
    ResumedRates(print, old, new).on_train_begin(None, None, None, optimizer, schedule)
    assert schedule.base_lrs == pytest.approx([0.04, 0.04, 0.5])
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.02, 0.02, 0.25])
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.3, 0.0, 0.0]
