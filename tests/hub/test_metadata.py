"""The form of a card's metadata is checked without the Hub."""

import copy

import pytest

from zoo.hub.metadata import base_model, check_metadata
from zoo.record import RunRecord
from zoo.registry import TASKS, load_task

GOOD = {
    "library_name": "transformers",
    "pipeline_tag": "image-classification",
    "license": "apache-2.0",
    "language": ["en", "deu"],
    "datasets": ["org/data"],
    "metrics": ["accuracy"],
    "base_model": "org/parent",
    "base_model_relation": "finetune",
    "tags": ["a"],
    "model-index": [
        {
            "name": "m",
            "results": [
                {
                    "task": {"type": "image-classification"},
                    "dataset": {"name": "data", "type": "org/data", "split": "test"},
                    "metrics": [{"type": "accuracy", "value": 0.5}],
                }
            ],
        }
    ],
}


def test_good_metadata_passes():
    check_metadata(GOOD, "m")


def test_what_the_hub_would_refuse_is_named():
    for key, value, message in (
        ("pipeline_tag", "Image classification", "write it like image-classification"),
        ("license", "Apache 2.0", "write it like apache-2.0, or `other` with license_name"),
        ("license", None, "license: None is not a text"),
        ("license", "other", "license_name: missing"),
        ("language", False, "quote `no`"),  # what YAML reads for Norwegian
        ("language", "English", "write it like en"),
        ("language", ["en", "x"], "'x' is not valid"),
        ("datasets", ["my data"], "write it like org/name"),
        ("datasets", [""], "not a text"),
        ("base_model", "/home/me/model", "write it like org/name"),
        ("base_model", "org/../x", "write it like org/name"),
        ("base_model_relation", "finetuned", "did you mean 'finetune'"),
        ("tags", [1.0], "not a text"),
    ):
        with pytest.raises(ValueError, match=f"m: the card's metadata: .*{message}"):
            check_metadata({**GOOD, key: value}, "m")
    for language in ("en", "deu", "pt-BR", "zh-Hans", "multilingual"):
        check_metadata({**GOOD, "language": language}, "m")


@pytest.mark.parametrize("value", [float("nan"), "0.5", None, True])
def test_results_are_numbers(value):
    head = copy.deepcopy(GOOD)
    head["model-index"][0]["results"][0]["metrics"][0]["value"] = value
    with pytest.raises(ValueError, match="model-index: "):
        check_metadata(head, "m")


def test_every_task_has_a_tag_of_the_hub():
    """As in its package @huggingface/tasks."""
    known = {"automatic-speech-recognition", "image-classification", "summarization", "time-series-forecasting"}
    for name in TASKS:
        assert load_task(name).hub_tag() in known | {"translation"}


def test_the_base_model_is_a_hub_id_or_nothing():
    for start, expected in (
        ("", None),
        ("org/parent", "org/parent"),
        ("runs/mine", None),
        ("/home/me/runs/mine", None),
        ("model_cards/fashion-cnn", "primer-zoo/fashion-cnn"),
        ("fashion-cnn", "primer-zoo/fashion-cnn"),
    ):
        record = RunRecord("m", "c", {"model_name_or_path": start}, {}, 0, {})
        assert base_model(record) == expected
