"""zoo.pretrained and the shipped models."""

import re
import sys

import pytest
import torch
from transformers import AutoModelForImageClassification, pipeline

import zoo
from zoo.pretrained import shipped_models
from zoo.record import RunRecord, sha256


def test_unknown_models_name_the_nearest():
    with pytest.raises(ValueError, match="no model 'fashion-cn'; did you mean 'fashion-cnn'"):
        zoo.pretrained("fashion-cn")


def test_names_of_no_model_do_not_list_recipes_without_weights(tmp_path):
    with pytest.raises(ValueError, match="known: fashion-cnn, fashion-cnn-plain") as error:
        zoo.pretrained("zzz")
    assert "fashion-cnn-course" not in str(error.value)
    with pytest.raises(ValueError, match="is a folder, not the id of a model"):
        zoo.pretrained(str(tmp_path))


def test_a_model_that_is_neither_shipped_nor_published_says_how_to_train_it(monkeypatch):
    monkeypatch.setattr(sys.modules["zoo.pretrained"], "shipped_models", dict)
    with pytest.raises(ValueError, match="not published yet: train it with `zoo train fashion-cnn`"):
        zoo.pretrained("fashion-cnn")


@pytest.mark.parametrize("name", list(shipped_models()))
def test_shipped_weights_are_those_that_were_measured(name):
    folder = shipped_models()[name]
    record = RunRecord.read(folder)
    assert record.model_id == name
    assert sha256(folder / "model.safetensors") == record.weights_sha256


@pytest.mark.parametrize("name", list(shipped_models()))
def test_cards_say_what_the_record_says(name):
    from zoo.hub.card import render_card

    folder = shipped_models()[name]
    text = (folder / "README.md").read_text()
    assert text == render_card(RunRecord.read(folder), text), f"write it anew: zoo card model_cards/{name}"


@pytest.mark.parametrize("name", list(shipped_models()))
def test_what_is_hardest_on_a_card_is_hardest_in_its_figures(name):
    text = (shipped_models()[name] / "README.md").read_text()
    figures = [float(found) for found in re.findall(r"Hardest to forecast: [^(]*\(\w+ ([\d.]+)\)", text)]
    assert figures == sorted(figures, reverse=True)
    assert bool(figures) == ("time-series-forecasting" in text)
    assert "took 1 minutes" not in text


@pytest.mark.parametrize("name", list(shipped_models()))
def test_examples_on_cards_were_run(name):
    """Each example's output was printed by the code that stands above it, with these weights."""
    from zoo.hub.card import build_card

    record = RunRecord.read(shipped_models()[name])
    _, examples = build_card(record)
    assert {"pipeline", "remote"} <= {example.name for example in examples}
    assert record.usage.get("weights_sha256") == record.weights_sha256, f"run them: zoo card model_cards/{name}"
    for example in examples:
        assert record.usage["examples"][example.name]["code"] == example.code, f"run it: zoo card model_cards/{name}"


def test_shipped_models_are_small():
    assert sum(f.stat().st_size for d in shipped_models().values() for f in d.rglob("*") if f.is_file()) < 80e6


def test_the_shipped_classifier_answers():
    model = AutoModelForImageClassification.from_pretrained(zoo.pretrained("fashion-cnn"))
    assert sum(p.numel() for p in model.parameters()) <= 1_500_000
    classify = pipeline("image-classification", model=zoo.pretrained("fashion-cnn"))
    trousers = torch.zeros(28, 28, dtype=torch.uint8)
    trousers[2:26, 9:19] = 200
    trousers[8:26, 13:15] = 0
    from PIL import Image

    assert classify(Image.fromarray(trousers.numpy()))[0]["label"] == "Trouser"


def test_public_names_are_there():
    assert all(getattr(zoo, name) is not None for name in zoo.__all__)
    assert set(zoo.__all__) <= set(dir(zoo))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        zoo.nothing  # noqa: B018
