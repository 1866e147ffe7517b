"""Every variant of a shipped study is a `zoo train` that runs."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from zoo.commands.train import main
from zoo.record import RunRecord
from zoo.registry import load_family
from zoo.tasks.forecasting import pictures
from zoo.training import run
from zoo.training.recipe import RECIPES, load_recipe
from zoo.tuning.study import check_study, flags_of, load_study, settings_of

STUDIES = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((RECIPES / "studies").glob("*.yaml"))}
FORECASTER = STUDIES["lstm-forecaster"]
DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("study", STUDIES)
def test_a_study_names_recipes_and_overrides_that_give_models(study):
    """Each variant differs from all others, and its net can be built (without memory for its weights)."""
    found = load_study(study)
    check_study(found)
    assert found.title and found.question.endswith("?") and len(found.seeds) > 2
    for variant in found.variants:
        recipe = settings_of(variant, found.seeds[0], []).recipe
        family = load_family(recipe.family)
        with torch.device("meta"):
            family.model_classes[recipe.task](family.config_class(**recipe.model))


def test_the_nets_of_the_seq2seq_study_have_equal_parameters():
    counts = {}
    for variant in load_study("seq2seq-course").variants:
        recipe = settings_of(variant, 1, []).recipe
        family = load_family(recipe.family)
        with torch.device("meta"):
            model = family.model_classes[recipe.task](family.config_class(**recipe.model))
        counts[variant.name] = sum(p.numel() for p in model.parameters())
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


@pytest.fixture(scope="module")
def etth1(tmp_path_factory) -> Path:
    """As many rows and columns as ETTh1's, of noise."""
    folder = tmp_path_factory.mktemp("ett")
    values = np.random.default_rng(0).normal(size=(14_400, 7)).round(3)
    frame = pd.DataFrame(values, columns=["HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"])
    frame.insert(0, "date", pd.date_range("2016-07-01", periods=len(frame), freq="h"))
    frame.to_csv(folder / "ETTh1.csv", index=False)
    return folder


@pytest.mark.parametrize("name", FORECASTER["variants"])
def test_every_variant_of_the_course_study_trains(name, etth1, tmp_path, monkeypatch):
    for picture in pictures.__all__:  # half of the time, and the same for all
        monkeypatch.setattr(pictures, picture, lambda *arguments: None)
    monkeypatch.setattr(run, "draw_learning_curves", lambda *arguments: None)
    variant = FORECASTER["variants"][name]
    flags = ["--data_dir", str(etth1), "--output_dir", str(tmp_path / "run"), "--max_steps", "1", "--use_cpu", "true"]
    flags += ["--disable_tqdm", "true", "--per_device_train_batch_size", "2", "--intervals", "0.5", "--skip_test"]
    for split in ("train", "eval", "predict"):
        flags += [f"--max_{split}_samples", "4"]
    assert main([FORECASTER["base"], *flags_of(variant), *flags, "--seed", str(FORECASTER["seeds"][0])]) == 0
    record = RunRecord.read(tmp_path / "run")
    assert record.seed == FORECASTER["seeds"][0] and np.isfinite(record.metrics["validation"]["mse"])
    for key, value in variant["model"].items():
        assert record.recipe["model"][key] == value


def test_the_docs_name_every_variant_with_its_command():
    text = (DOCS / "forecasting.md").read_text()
    for name, variant in FORECASTER["variants"].items():
        (row,) = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
        assert flags_of(variant)[1] in row
