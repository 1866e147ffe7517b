"""The `search` section of a recipe, and the points that it gives."""

import dataclasses
import math

import numpy as np
import pytest

from zoo.registry import load_family
from zoo.training.build import build_config
from zoo.training.command_line import parse_run
from zoo.training.recipe import SEARCH_KEYS, Recipe, UsageError, available_recipes, load_recipe, read_value
from zoo.training.weights import find_model
from zoo.tuning.overrides import flags_of, merged, overrides_of
from zoo.tuning.settings import SearchSettings, read_settings
from zoo.tuning.space import parse_flag, read_space

RECIPE = load_recipe("fashion-cnn-quick")
SPACE = {
    "training.optim": ["adamw_torch", "sgd"],
    "training.optim_args": {"choice": ["momentum=0.9", "momentum=0.8"], "when": {"training.optim": "sgd"}},
    "training.learning_rate": {"loguniform": [1e-4, 1e-1]},
    "model.conv_dropout": {"uniform": [0, 0.5], "round": 0.05},
    "data.random_shift": {"randint": [0, 2]},
}


def test_points_are_in_their_ranges_and_follow_conditions():
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
    """YAML 1.1 reads 1e-4 as text."""
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
        point = space.suggest(trial)
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
            "'model.conv_droput' is not a section.field of a recipe; did you mean 'model.conv_dropout'",
        ),
        ({"learning_rate": [0]}, "did you mean 'training.learning_rate'"),
        ({"training.seed": [0, 1]}, "training.seed cannot be searched"),
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
        ({"model.conv_dropout": {"choice": [0], "when": {"model.conv_dropout": 0}}}, "form a cycle"),
        ({"training.learning_rate": {"uniform": [0, math.inf]}}, "must be two numbers"),
        ({"training.learning_rate": {"uniform": [0, 1], "round": math.nan}}, "round: must be a number above 0"),
        ({"training.metric_for_best_model": ["loss", "f1"]}, "cannot be searched"),
        ({"training.optim": ["sgd"], "training.weight_decay": {"choice": [0], "when": {3: 4}}}, "'3' is not in the"),
        (
            {"training.optim": ["sgd"], "training.weight_decay": {"choice": [0], "when": {"training.optim": "sdg"}}},
            "here, training.weight_decay, when: training.optim is never 'sdg', only one of ['sgd']",
        ),
    ],
)
def test_a_wrong_space_is_an_error_in_one_line(space, message):
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
        ({"cpus_per_trial": 0}, {}, "a trial needs a share of one"),
        ({"trial": {"modle": {}}}, {}, "unknown key 'modle'"),
        ({"algorithm": "pbt", "space": {"model.hidden_act": ["relu", "gelu"]}}, {}, "the space has none of them"),
        ({"algorithm": "pbt", "trials": 1}, {}, "a population needs at least 2"),
    ],
)
def test_a_wrong_search_section_is_an_error_in_one_line(search, flags, message):
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


def test_a_flag_that_is_not_yaml_is_an_error():
    assert parse_flag("a.b={uniform: [0, 1]}") == ("a.b", {"uniform": [0, 1]})
    for text in ("a.b", "=3", "a.b=", "a.b={x"):
        with pytest.raises(UsageError, match="--space"):
            parse_flag(text)


@pytest.mark.parametrize("name", available_recipes())
def test_every_shipped_recipe_can_be_searched(name):
    """By its own space or its family's: every point gives a configuration that a model can have."""
    flags = ["--model_name_or_path", "transformer-translator-en-de"] if name == "translator-new-pair" else []
    recipe = parse_run([name, *flags]).recipe
    settings = read_settings(recipe, {})
    family = load_family(recipe.family)
    for point in settings.space.sample(5, 0):
        resolved = parse_run([name, *flags_of(merged(settings.trial, overrides_of(point))), *flags]).recipe
        start_from = resolved.model_name_or_path
        build_config(family, resolved.model, find_model(start_from) if start_from else None)
        for key, value in overrides_of(point).get("model", {}).items():
            assert resolved.model[key] == value
    sizes = {"training.batch_tokens", "training.per_device_train_batch_size"} & {*settings.space.names}
    assert len(sizes) <= 1 and "training.learning_rate" in settings.space.names


def test_the_default_space_is_narrowed():
    """Fields that are searched replace it, a fixed one is fixed in it; weights keep their architecture."""

    def names(*space, **changes):
        return read_settings(Recipe(**{**RECIPE.to_dict(), **changes}), {}, space).space.names

    default = names()
    assert len(default) == 8 and names("training.learning_rate=[0.1, 0.2]") == ["training.learning_rate"]
    assert names("training.learning_rate=0.1") == default
    assert names("training.optim=sgd") == [*default, "training.optim"]
    started = names(model_name_or_path="fashion-cnn", model={})
    assert "model.conv_dropout" in started and "model.stage_channels" not in started


def test_a_recipe_knows_the_keys_of_a_search():
    assert set(SEARCH_KEYS) == {f.name for f in dataclasses.fields(SearchSettings)}


def test_the_reduced_space_of_the_course_has_sixteen_points():
    assert len(read_settings(load_recipe("fashion-cnn-course"), {}).space.grid()) == 16
