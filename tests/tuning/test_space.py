"""What may be searched: the grammar of the `search` section, and the points that it gives."""

import dataclasses
import math

import numpy as np
import pytest

from zoo.training.recipe import SEARCH_KEYS, Recipe, UsageError, available_recipes, load_recipe, read_value
from zoo.tuning.settings import SearchSettings, read_settings
from zoo.tuning.space import overrides_of, parse_flag, read_space

RECIPE = load_recipe("fashion-cnn-quick")
SPACE = {
    "training.optim": ["adamw_torch", "sgd"],
    "training.optim_args": {"choice": ["momentum=0.9", "momentum=0.8"], "when": {"training.optim": "sgd"}},
    "training.learning_rate": {"loguniform": [1e-4, 1e-1]},
    "model.conv_dropout": {"uniform": [0, 0.5], "round": 0.05},
    "data.random_shift": {"randint": [0, 2]},
}


def test_points_lie_in_their_ranges_and_follow_conditions():
    points = read_space(SPACE, RECIPE, "here").sample(200, 1)
    assert len(points) == 200
    assert (
        points == read_space(SPACE, RECIPE, "here").sample(200, 1) != read_space(SPACE, RECIPE, "here").sample(200, 2)
    )
    for point in points:
        assert ("training.optim_args" in point) == (point["training.optim"] == "sgd")
        assert 1e-4 <= point["training.learning_rate"] <= 1e-1
        assert 0 <= point["model.conv_dropout"] <= 0.5 and round(point["model.conv_dropout"] * 100) % 5 == 0
    assert {point["data.random_shift"] for point in points} == {0, 1, 2}
    rates = np.log10([point["training.learning_rate"] for point in points])
    assert abs(np.median(rates) + 2.5) < 0.3  # as many between 1e-4 and 3e-3 as above


def test_rates_may_be_written_without_a_point():
    """YAML 1.1 takes 1e-4 for a text."""
    text = "{loguniform: [1e-4, 0.1]}"
    assert parse_flag(f"training.learning_rate={text}")[1] == {"loguniform": [1e-4, 0.1]}
    spec = {
        "training.learning_rate": read_value("[1e-4, 0.1]"),
        "training.weight_decay": read_value("{choice: [.5], when: {training.learning_rate: 1e-4}}"),
    }
    assert read_space(spec, RECIPE, "here").grid() == [
        {"training.learning_rate": 0.0001, "training.weight_decay": 0.5},
        {"training.learning_rate": 0.1},
    ]


def test_a_rounded_draw_stays_in_its_range():
    for kind in ("uniform", "loguniform"):
        spec = {"training.learning_rate": {kind: [0.01, 0.12], "round": 0.05}}
        drawn = {point["training.learning_rate"] for point in read_space(spec, RECIPE, "here").sample(50, 0)}
        assert drawn <= {0.01, 0.05, 0.1} and 0.01 in drawn


def test_a_small_space_gives_each_point_once():
    space = read_space({name: SPACE[name] for name in ("training.optim", "training.optim_args")}, RECIPE, "here")
    assert len(space.sample(50, 0)) == len(space.grid()) == 3
    assert space.grid()[0] == {"training.optim": "adamw_torch"}


def test_conditions_may_stand_before_what_they_wait_for():
    space = read_space(dict(reversed(SPACE.items())), RECIPE, "here")
    assert any("training.optim_args" in point for point in space.sample(20, 0))


def test_optuna_is_asked_only_for_what_counts():
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space, study = read_space(SPACE, RECIPE, "here"), optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    for _ in range(12):
        trial = study.ask()
        point = space.ask(trial)
        assert set(trial.params) == set(point)
        assert ("training.optim_args" in point) == (point["training.optim"] == "sgd")
        study.tell(trial, point["training.learning_rate"])


def test_a_point_becomes_overrides():
    assert overrides_of({"model.a": [1], "training.b": 2, "model.c": 3}) == {
        "model": {"a": [1], "c": 3},
        "training": {"b": 2},
    }


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "the space is empty"),
        (
            {"model.conv_droput": [0]},
            "'model.conv_droput' is no section.field of a recipe; did you mean 'model.conv_dropout'",
        ),
        ({"learning_rate": [0]}, "did you mean 'training.learning_rate'"),
        ({"training.seed": [0, 1]}, "training.seed is nothing to search over"),
        ({"model.conv_dropout": 0.1}, "write e.g. {uniform"),
        ({"model.conv_dropout": {"unifrom": [0, 1]}}, "unknown key 'unifrom'; did you mean 'uniform'"),
        ({"model.conv_dropout": {"uniform": [0, 1], "choice": [0]}}, "give exactly one of"),
        ({"model.conv_dropout": {"uniform": [1, 0]}}, "the smaller first"),
        ({"model.conv_dropout": {"uniform": ["a", 1]}}, "must be two numbers"),
        ({"model.conv_dropout": {"choice": []}}, "must be a list"),
        ({"training.learning_rate": {"loguniform": [0, 1]}}, "both ends must be above 0"),
        ({"data.random_shift": {"randint": [0, 1.5]}}, "must be two whole numbers"),
        ({"data.random_shift": {"randint": [0, 2], "round": 1}}, "only ranges of uniform and loguniform"),
        ({"model.conv_dropout": {"choice": [0], "when": {"model.residul": True}}}, "is not in the space"),
        ({"model.conv_dropout": {"choice": [0], "when": {"model.conv_dropout": 0}}}, "wait for each other"),
        ({"training.learning_rate": {"uniform": [0, math.inf]}}, "must be two numbers"),
        ({"training.learning_rate": {"uniform": [0, 1], "round": math.nan}}, "round: must be a number above 0"),
        ({"training.metric_for_best_model": ["loss", "f1"]}, "is nothing to search over"),
        ({"training.optim": ["sgd"], "training.weight_decay": {"choice": [0], "when": {3: 4}}}, "'3' is not in the"),
        (
            {"training.optim": ["sgd"], "training.weight_decay": {"choice": [0], "when": {"training.optim": "sdg"}}},
            "here, training.weight_decay, when: training.optim is never 'sdg', only one of ['sgd']",
        ),
    ],
)
def test_a_wrong_space_is_told_in_one_line(space, message):
    with pytest.raises(UsageError) as error:
        read_space(space, RECIPE, "here")
    assert message in str(error.value) and str(error.value).startswith("here")


@pytest.mark.parametrize(
    ("search", "flags", "message"),
    [
        ({"trails": 3}, {}, "unknown key 'trails'; did you mean 'trials'"),
        ({"trials": 0}, {}, "trials=0 must be a whole number of at least 1"),
        ({}, {"algorithm": "tpa"}, "algorithm='tpa' is not one of random, grid, tpe, pbt"),
        ({"minutes": -1}, {}, "minutes=-1 must be a number of at least 0"),
        ({"minutes": math.nan}, {}, "minutes=nan must be a number of at least 0"),
        ({"cpus_per_trial": 0}, {}, "a trial needs some of a CPU or GPU"),
        ({"trial": {"modle": {}}}, {}, "unknown key 'modle'"),
        ({"algorithm": "pbt", "space": {"model.hidden_act": ["relu", "gelu"]}}, {}, "the space has none of them"),
        ({"algorithm": "pbt", "trials": 1}, {}, "a population needs at least 2"),
    ],
)
def test_a_wrong_search_section_is_told_in_one_line(search, flags, message):
    recipe = Recipe(**{**RECIPE.to_dict(), "search": {"space": SPACE, **search}})
    with pytest.raises(UsageError) as error:
        read_settings(recipe, flags)
    assert message in str(error.value)


def test_the_command_line_wins_over_the_recipe():
    recipe = Recipe(**{**RECIPE.to_dict(), "search": {"space": SPACE, "trials": 7, "seed": 5}})
    space = ["training.learning_rate=0.01", "model.conv_dropout=[0, 0.1]", "model.hidden_act=[relu, gelu]"]
    settings = read_settings(recipe, {"trials": 3, "minutes": None}, space)
    assert (settings.trials, settings.seed, settings.minutes) == (3, 5, 0.0)
    dimensions = {one.name: one for one in settings.space.dimensions}
    assert dimensions["training.learning_rate"].values == (0.01,)
    assert dimensions["model.conv_dropout"].values == (0, 0.1)
    assert dimensions["model.hidden_act"].kind == "choice"


def test_a_flag_that_is_no_yaml_is_told():
    assert parse_flag("a.b={uniform: [0, 1]}") == ("a.b", {"uniform": [0, 1]})
    for text in ("a.b", "=3", "a.b={x"):
        with pytest.raises(UsageError, match="--space"):
            parse_flag(text)


@pytest.mark.parametrize("name", [name for name in available_recipes() if load_recipe(name).search])
def test_shipped_search_sections_are_sound(name):
    """Every point can be asked for."""
    from zoo.tuning.trial import Assignment

    pytest.importorskip("ray")
    recipe = load_recipe(name)
    settings = read_settings(recipe, {})
    assignment = Assignment(name, settings.trial, [], 1, "accuracy", True, False)
    for point in settings.space.sample(5, 0):
        resolved = assignment.settings(point, "unused").recipe
        for key, value in overrides_of(point).get("model", {}).items():
            assert resolved.model[key] == value


def test_a_recipe_knows_the_keys_of_a_search():
    assert set(SEARCH_KEYS) == {f.name for f in dataclasses.fields(SearchSettings)}


def test_the_reduced_space_of_the_course_has_sixteen_points():
    assert len(read_settings(load_recipe("fashion-cnn-course"), {}).space.grid()) == 16
