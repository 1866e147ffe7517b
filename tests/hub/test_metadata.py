"""Metadata is checked as the Hub would, without it."""

import copy

import pytest

from zoo.hub.metadata import LANGUAGES, LICENCES, PIPELINE_TAGS, base_model, check_metadata, metadata_errors
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
    assert metadata_errors(GOOD) == []
    check_metadata(GOOD, "m")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("pipeline_tag", "image-clasification", "did you mean 'image-classification'"),
        ("license", "Apache 2.0", "did you mean 'apache-2.0'"),
        ("license", None, "license: None is not a text"),
        ("license", "other", "license_name: missing"),
        ("language", False, "quote it"),  # what YAML makes of Norwegian, `no`
        ("language", "English", "no ISO 639 code"),
        ("language", ["en", "xx"], "'xx' is no ISO 639 code"),
        ("datasets", ["my data"], "no id of the Hub"),
        ("datasets", [""], "not a text"),
        ("base_model", "/home/me/model", "no id of the Hub"),
        ("base_model", "org/../x", "no id of the Hub"),
        ("base_model_relation", "child", "knows no 'child'"),
        ("tags", [1.0], "not a text"),
    ],
)
def test_what_the_hub_would_refuse_is_named(key, value, message):
    with pytest.raises(ValueError, match=f"m: the card's metadata: .*{message}"):
        check_metadata({**GOOD, key: value}, "m")


@pytest.mark.parametrize("value", [float("nan"), "0.5", None, True])
def test_results_are_numbers(value):
    head = copy.deepcopy(GOOD)
    head["model-index"][0]["results"][0]["metrics"][0]["value"] = value
    with pytest.raises(ValueError, match="model-index: metrics.value"):
        check_metadata(head, "m")


def test_every_task_has_a_tag_that_the_hub_knows():
    for name in TASKS:
        assert load_task(name).hub_tag in PIPELINE_TAGS


def test_lists_have_no_twins():
    for known in (PIPELINE_TAGS, LICENCES, LANGUAGES):
        assert len(known) == len(set(known))


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("", None),
        ("org/parent", "org/parent"),
        ("runs/mine", None),
        ("/home/me/runs/mine", None),
        ("model_cards/fashion-cnn", "primer-zoo/fashion-cnn"),
        ("fashion-cnn", "primer-zoo/fashion-cnn"),
    ],
)
def test_the_base_model_is_a_hub_id_or_nothing(start, expected):
    record = RunRecord("m", "c", {"model_name_or_path": start}, {}, 0, {})
    assert base_model(record) == expected
