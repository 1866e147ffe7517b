"""Every variant of a shipped study is a run that can be started."""

import pytest
import torch
import yaml

from zoo.registry import load_family
from zoo.training.recipe import RECIPES, load_recipe
from zoo.tuning.study import check_study, load_study

STUDIES = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((RECIPES / "studies").glob("*.yaml"))}
FORECASTER = STUDIES["lstm-forecaster"]


def model_of(variant):
    recipe = variant.settings(1).recipe
    family = load_family(recipe.family)
    with torch.device("meta"):
        return family.model_classes[recipe.task](family.config_class(**recipe.model))


@pytest.mark.parametrize("study", STUDIES)
def test_a_study_names_recipes_and_overrides_that_give_models(study):
    """Each variant differs from all others, and its net can be built (without memory for its weights)."""
    loaded = load_study(study)
    check_study(loaded)
    assert loaded.title and loaded.question.endswith("?") and len(loaded.seeds) > 2
    for variant in loaded.variants:
        model_of(variant)


def test_the_nets_of_the_seq2seq_study_have_equal_parameters():
    counts = {}
    for variant in load_study("seq2seq-course").variants:
        counts[variant.name] = sum(p.numel() for p in model_of(variant).parameters())
    assert max(counts.values()) <= 1.01 * min(counts.values()), counts


def test_the_plain_net_is_plain_and_small():
    recipe = load_recipe("fashion-cnn-plain")
    family = load_family(recipe.family)
    config = family.config_class(**recipe.model)
    with torch.device("meta"):
        model = family.model_classes[recipe.task](config)
    assert not config.residual and sum(p.numel() for p in model.parameters()) <= 1_000_000


def test_the_course_study_covers_what_the_course_changes():
    base = load_recipe(FORECASTER["base"]).model
    values = {key: {str(base[key])} for key in ("num_layers", "hidden_size", "dense_sizes", "dropout", "patch_length")}
    for variant in FORECASTER["variants"].values():
        ((key, value),) = variant["model"].items()  # one change at a time
        values[key].add(str(value))
    assert values["num_layers"] == {"1", "2", "3"}
    assert values["hidden_size"] == {"32", "64", "128", "256"}
    assert {len(eval(sizes)) for sizes in values["dense_sizes"]} == {0, 1, 2}
    assert values["dropout"] == {"0.0", "0.1", "0.3", "0.5"}
    assert {"1", "24"} <= values["patch_length"]
