"""The family and the task of the guides: their code is written to a folder, passes the contract and is trained."""

import inspect
import random
import re
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

import zoo.hub.card
import zoo.models
import zoo.tasks
from tests import test_contract
from tests.inputs import INPUTS
from zoo.commands.train import main as train
from zoo.hub.card import render_card
from zoo.record import RunRecord
from zoo.registry import FAMILIES, TASKS, load_family, load_task

ROOT = Path(__file__).parents[1]
# A code block whose first line is a comment with the name of its file.
BLOCK = re.compile(r"```\w+\n(?:#|\{#) ([\w/.-]+\.\w+)(?: #\})?\n(.*?)```", flags=re.S)
TEXT_FAMILY = """
import torch
from huggingface_hub.dataclasses import strict
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput
from zoo.models.base import Family

@strict
class BagConfig(PreTrainedConfig):
    model_type = "bag"
    vocab_size: int = 300

class BagForSequenceClassification(PreTrainedModel):
    config: BagConfig
    def __init__(self, config):
        super().__init__(config)
        self.weights = nn.Embedding(config.vocab_size, config.num_labels)
        self.post_init()
    def _init_weights(self, module):
        if isinstance(module, nn.Embedding):
            nn.init.zeros_(module.weight)
    def forward(self, input_ids, attention_mask, labels=None):
        logits = (self.weights(input_ids) * attention_mask[..., None]).sum(1)
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return SequenceClassifierOutput(loss, logits)

FAMILY = Family("bag", BagConfig, BagForSequenceClassification, {"text_classification": BagForSequenceClassification})
"""
CONTRACT = [
    pytest.param(test, marks=[mark for mark in getattr(test, "pytestmark", []) if mark.name == "filterwarnings"])
    for name, test in vars(test_contract).items()
    if name.startswith("test_") and "family_name" in inspect.signature(test).parameters
]


@pytest.fixture(scope="module")
def added(tmp_path_factory):
    """The folder with the files of both guides, which the library knows as its own."""
    folder = tmp_path_factory.mktemp("added")
    for page in ("adding_a_family.md", "adding_a_task.md"):
        for name, text in BLOCK.findall((ROOT / "docs/guides" / page).read_text()):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
    (folder / "zoo/models/bag.py").write_text(TEXT_FAMILY)
    inputs: dict = {"torch": torch}
    exec((folder / "tests/inputs.py").read_text(), inputs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zoo.models, "__path__", [*zoo.models.__path__, str(folder / "zoo/models")])
        patch.setattr(zoo.tasks, "__path__", [*zoo.tasks.__path__, str(folder / "zoo/tasks")])
        patch.setitem(FAMILIES, "mixer", "zoo.models.mixer")
        patch.setitem(FAMILIES, "bag", "zoo.models.bag")
        patch.setitem(TASKS, "text_classification", "zoo.tasks.text_classification")
        patch.setitem(INPUTS, "text_classification", inputs["text_classification"])
        auto_classes = {name: load_task(name).auto_class for name in TASKS}
        load_family("mixer").register(auto_classes)
        load_family("bag").register(auto_classes)
        yield folder


def run(folder: Path, **fields) -> RunRecord:
    """The record of a run by a recipe with these sections."""
    folder.mkdir(exist_ok=True)
    (folder / "tiny.yaml").write_text(yaml.safe_dump(fields))
    flags = ["--output_dir", str(folder / "run"), "--use_cpu", "true", "--disable_tqdm", "true"]
    assert train([str(folder / "tiny.yaml"), *flags]) == 0
    return RunRecord.read(folder / "run")


@pytest.mark.parametrize("test", CONTRACT)
def test_the_family_passes_the_contract(added, test, tmp_path):
    given = {"family_name": "mixer", "task_name": "image_classification", "tmp_path": tmp_path}
    test(**{name: given[name] for name in inspect.signature(test).parameters})


def test_the_family_trains(added, tmp_path):
    for split, rows in (("train", 20), ("test", 6)):
        for label, shade in (("dark", 30), ("light", 220)):
            (tmp_path / split / label).mkdir(parents=True)
            for row in range(rows):
                Image.new("RGB", (10, 10), (shade, shade + row, shade)).save(tmp_path / split / label / f"{row}.png")
    recipe = yaml.safe_load((added / "zoo/recipes/mixer.yaml").read_text())
    recipe["data"] = {"train_dir": str(tmp_path / "train"), "test_dir": str(tmp_path / "test"), "validation_size": 8}
    recipe["training"] |= {"per_device_train_batch_size": 4}
    record = run(tmp_path, **recipe, model={"hidden_size": 16})
    assert record.metrics["test"]["accuracy"] == 1


def test_a_processor_must_make_the_channels_that_the_model_takes(added, tmp_path, capsys):
    recipe = {"family": "mixer", "task": "image_classification", "model": {"num_channels": 3}}
    for label in ("dark", "light"):
        (tmp_path / "images" / label).mkdir(parents=True)
        for row in range(4):
            Image.new("RGB", (8, 8), (row, len(label), 0)).save(tmp_path / "images" / label / f"{row}.png")
    recipe["data"] = {
        "train_dir": str(tmp_path / "images"),
        "test_dir": str(tmp_path / "images"),
        "validation_size": 2,
    }
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(recipe))
    assert train([str(tmp_path / "tiny.yaml"), "--output_dir", str(tmp_path / "run")]) == 1
    assert "num_channels=3, but MixerImageProcessor makes images with 1" in capsys.readouterr().err


def test_the_task_trains_and_has_a_card(added, tmp_path, monkeypatch, capsys):
    words = {"good": ["fine", "lovely", "great"], "bad": ["dull", "awful", "weak"]}
    draw = random.Random(0)
    labels = [draw.choice(["good", "bad"]) for _ in range(200)]
    names = ["".join(draw.choices("abcdefgh", k=4)) for _ in labels]
    rows = [f"the {name} was {draw.choice(words[label])},{label}" for name, label in zip(names, labels)]
    (tmp_path / "reviews.csv").write_text("\n".join(["text,label", *rows]))
    record = run(
        tmp_path,
        family="bag",
        task="text_classification",
        data={"train_file": str(tmp_path / "reviews.csv")},
        model={"vocab_size": 300},
        training={"num_train_epochs": 4, "learning_rate": 0.1},
        publish={"title": "Bag", "license": "apache-2.0", "summary": "A bag.", "limits": ["None."]},
    )
    assert record.metrics["test"]["accuracy"] == 1 > record.baselines["most_frequent_class"]["accuracy"]
    assert re.search(r"accuracy +1\.0000\n", capsys.readouterr().out)  # the default report

    for template in zoo.hub.card.TEMPLATES.iterdir():
        (added / "zoo/hub/templates" / template.name).write_text(template.read_text())
    monkeypatch.setattr(zoo.hub.card, "TEMPLATES", added / "zoo/hub/templates")
    card = render_card(record)
    assert 'pipeline("text-classification", model="primer-zoo/tiny")' in card
    assert (
        "| test | accuracy | accuracy low | accuracy high | n |\n|---|---|---|---|---|\n| this model | 1.0000 |"
        in card
    )
    assert re.search(r"\| baseline: most frequent class \| 0\.\d{4} \|  \|  \|  \|\n", card)
    (added / "zoo/hub/templates/text_classification.md.jinja").write_text('{% extends "base.md.jinja" %}')
    with pytest.raises(ValueError, match="text_classification.md.jinja: Required block 'usage' not found"):
        render_card(record)
