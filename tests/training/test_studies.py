"""Every variant of a shipped study is a `zoo train` that runs."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from zoo.commands.train import main
from zoo.record import RunRecord
from zoo.tasks.forecasting import pictures
from zoo.training import run
from zoo.training.command_line import parse_run
from zoo.training.recipe import RECIPES, available_recipes

STUDIES = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((RECIPES / "studies").glob("*.yaml"))}
FORECASTER = STUDIES["lstm-forecaster"]
DOCS = Path(__file__).parents[2] / "docs"


def flags_of(variant: dict[str, Any]) -> list[str]:
    """The overrides of a variant as flags of `zoo train`."""
    flags = []
    if variant.get("model"):
        parts = (f"{key}={str(value).replace(' ', '')}" for key, value in variant["model"].items())
        flags += ["--model_overrides", ",".join(parts)]
    for section in ("data", "training"):
        for key, value in variant.get(section, {}).items():
            flags += [f"--{key}", *(map(str, value) if isinstance(value, list) else [str(value)])]
    return flags


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_a_study_names_a_recipe_and_overrides_that_its_recipe_knows(study):
    assert set(study) == {"title", "question", "base", "seeds", "variants"}
    assert study["base"] in available_recipes() and len(set(study["seeds"])) == len(study["seeds"]) > 2
    base = parse_run([study["base"]]).recipe.what_is_learnt()
    learnt = [
        parse_run([study["base"], *flags_of(variant)]).recipe.what_is_learnt()
        for variant in study["variants"].values()
    ]
    assert all(recipe != base for recipe in learnt), "a variant changes nothing"
    assert all(one != two for place, one in enumerate(learnt) for two in learnt[:place]), "two variants are the same"


def test_the_course_study_covers_what_the_course_changes():
    base = parse_run([FORECASTER["base"]]).recipe.model
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
