"""The log of a search, its table and plots, the winner's recipe, and its metrics beside the default's."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ray")

from zoo.commands.tune import make_parser
from zoo.training.command_line import parse_run
from zoo.training.recipe import load_recipe
from zoo.tuning import plots
from zoo.tuning.importance import importances
from zoo.tuning.log import ranked, read_trials, wall_seconds, write_event
from zoo.tuning.report import search_content, search_table, winning_recipe
from zoo.tuning.search import Search, make_search
from zoo.tuning.settings import Objective
from zoo.tuning.trial import SearchWork, TuneReport, data_key, load_without_test

ACCURACY = Objective("accuracy")


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
    assert [entry["score"] for entry in trials["c"].epochs.values()] == [0.6, 0.71, 0.65]
    assert trials["c"].score == 0.65 and trials["c"].seconds == 4.5
    assert "nan" in trials["b"].reason


def test_the_time_between_a_kill_and_the_next_call_is_not_counted(tmp_path, monkeypatch):
    for moment, kind in ((10, "begin"), (11, "start"), (14, "epoch"), (90, "begin"), (91.5, "start"), (93, "search")):
        monkeypatch.setattr("zoo.tuning.log.time.time", lambda moment=moment: moment)
        write_event(tmp_path, kind, "")
    assert wall_seconds(tmp_path) == 4 + 3


def test_failed_trials_come_last_whatever_they_scored(log):
    assert [trial.id for trial in ranked(read_trials(log), True)] == ["c", "a", "b"]
    assert [trial.id for trial in ranked(read_trials(log), False)] == ["a", "c", "b"]


def test_the_points_of_a_population_are_kept(log):
    epoch(log, "a", 2, 0.6, {"training.learning_rate": 0.2})
    trial = read_trials(log)[0]
    assert trial.point == {"training.learning_rate": 0.2} and list(trial.points) == [1, 2]
    assert trial.to_dict()["points"][2] == trial.point


def test_table_and_plots(log):
    trials, names = read_trials(log), ["training.learning_rate"]
    page = search_table("Search: tiny", trials, names, ACCURACY)
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    assert rows[1].startswith("| 1 | 3 | 0.7000 | 2 | 3 s | `0.1` |")
    assert rows[3] == "|  | 2 |  | 1 | 2 s | `0.1` | FAILED: diverged: loss is nan / after epoch 2 |"
    assert "No trial held the test split" in page
    plots.draw_history(trials, ACCURACY, log / "history.png")
    plots.draw_parallel(trials, names, ACCURACY, log / "parallel.png")
    plots.draw_importance({}, log / "importance.png")
    plots.draw_history([], ACCURACY, log / "empty.png")
    plots.draw_parallel([], names, ACCURACY, log / "none.png")
    for name in ("history", "parallel", "importance", "empty", "none"):
        assert (log / f"{name}.png").stat().st_size > 1_000


def test_a_diverged_trial_does_not_flatten_the_others():
    ordinary = [[0.9, 0.5 - place / 100] for place in range(8)]
    (low, high), outside = plots.score_limits([*ordinary, [1e3, 1e6]], False)
    assert (low, high, outside) == (pytest.approx(0.43 - 0.0235), pytest.approx(0.9 + 0.0235), 2)
    # the best is always shown, and so are the first epochs of the others
    (low, high), outside = plots.score_limits([*[[0.0, 0.1]] * 9, [0.0, 24.0]], True)
    assert low < 0 and high > 24 and outside == 0
    assert plots.score_limits([*[[0.1]] * 15, [1e6]], False)[1] == 1
    assert plots.score_limits([[0.0, 0.9]] * 3, True)[1] == plots.score_limits([], True)[1] == 0


def test_importance(tmp_path):
    random = np.random.default_rng(0)
    for place in range(30):
        rate, act = 10 ** random.uniform(-4, -1), random.choice(["relu", "gelu"])
        point = {"training.learning_rate": rate, "model.hidden_act": act}
        epoch(tmp_path, str(place), 1, 0.9 - 0.1 * abs(math.log10(rate) + 2), point)
    shares = importances(read_trials(tmp_path), ["model.hidden_act", "training.learning_rate"])
    assert list(shares)[0] == "training.learning_rate" and shares["training.learning_rate"] > 0.8
    assert importances(read_trials(tmp_path)[:7], ["training.learning_rate"]) == {}


def search_of(recipe: Path, folder: Path, *flags: str) -> Search:
    argv = [str(recipe), "--output_dir", str(folder), "--seed", "3", *flags]
    return make_search(*make_parser().parse_known_args(argv), "python scripts/tune.py tiny")


def test_the_winner_is_a_recipe_that_runs_as_it_is(recipe, tmp_path):
    point = {"model.stage_channels": [6, 6], "training.learning_rate": 0.05}
    path = winning_recipe(search_of(recipe, tmp_path, "--weight_decay", "0.1", "--epochs", "1"), point)
    winner = load_recipe(path)
    assert winner.id == "tiny-tuned" and not winner.search and winner.model["stage_channels"] == [6, 6]
    settings = parse_run([str(path)])
    assert settings.training.learning_rate == 0.05 and settings.training.weight_decay == 0.1
    assert settings.training.num_train_epochs == 2 and settings.training.seed == 3


def test_winner_and_default_are_measured_on_the_test_split(recipe, tmp_path, in_this_process):
    search = search_of(recipe, tmp_path / "out", "--space", "model.stage_channels=[[4, 4], [12, 12]]")
    point = {"model.stage_channels": [12, 12]}
    search.claim(resume=False)
    write_event(search.folder, "start", "a", point=point)
    epoch(search.folder, "a", 1, 0.5, point)
    content = search_content(search, {"CPU": 1.0})
    assert content["best"] == {"trial": 1, "score": 0.5, "point": point}
    search.finish(content, [3], 0)
    default, winner = json.loads((tmp_path / "out/search.json").read_text())["final"]
    assert default["runs"][0]["n"] == winner["runs"][0]["n"] == 60 and winner["changes"] == "stage_channels=[12,12]"
    assert winner["runs"][0]["parameters"] > default["runs"][0]["parameters"]
    page = (tmp_path / "out/search.md").read_text()
    assert f"| the winner | {winner['runs'][0]['test']:.4f} |" in page and "tiny-tuned.yaml" in page


def test_trials_get_no_test_split(recipe):
    data = load_without_test(parse_run([str(recipe)]))
    assert data.test is None and "test" not in data.fingerprint and set(data.splits()) == {"train", "validation"}
    settings = parse_run([str(recipe)])
    work = SearchWork(str(recipe), ACCURACY, data_key=data_key(settings))
    assert work.data_of(settings, data) is data
    own = [parse_run([str(recipe), "--validation_size", size]) for size in ("20", "20", "30")]
    first, again, other = (work.data_of(settings, data) for settings in own)
    assert first is again is not data and len(other.validation) == 30  # a worker keeps the last one
    with pytest.raises(RuntimeError, match="must not hold the test split"):
        work.data_of(settings, replace(data, test=data.train))


def test_a_checkpoint_gets_the_rates_of_its_new_point():
    import torch

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
    TuneReport(ACCURACY, new, {"point": old}).on_train_begin(
        None, None, None, optimizer=optimizer, lr_scheduler=schedule
    )
    assert schedule.base_lrs == pytest.approx([0.04, 0.04, 0.5])
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.02, 0.02, 0.25])
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.3, 0.0, 0.0]
