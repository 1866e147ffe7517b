"""Summarization from a file to a run, its record, its card and its pipeline."""

import random

import pytest
import yaml
from transformers import pipeline

from tests.tasks.pairs import write_tsv
from zoo.commands.train import main as train
from zoo.hub.card import render_card
from zoo.record import RunRecord

THINGS = ["cats", "logs", "fonts", "mails", "maps"]
WHAT = ["reads", "draws", "sorts", "prints"]


def texts(count: int) -> list[tuple[str, str]]:
    """Descriptions whose summary is in their middle."""
    draw = random.Random(0)
    found = {}
    for number in range(count):
        what, thing = draw.choice(WHAT), draw.choice(THINGS)
        text = f"This is package number {number}. It {what} {thing} and more, as many do."
        found[text] = f"tool that {what} {thing}"
    return list(found.items())


RECIPE = {
    "family": "transformer_seq2seq",
    "task": "summarization",
    "data": {
        "byte_fallback": False,
        "max_source_length": 24,
        "max_target_length": 16,
        "num_beams": 2,
        "test_size": 30,
        "validation_size": 30,
    },
    "model": {
        "vocab_size": 90,
        "d_model": 32,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64,
        "dropout": 0.0,
    },
    "training": {
        "num_train_epochs": 5,
        "batch_tokens": 400,
        "learning_rate": "1e-2",
        "warmup_steps": 10,
        "predict_with_generate": True,
        "generation_num_beams": 1,
        "metric_for_best_model": "rougeL",
        "load_best_model_at_end": True,
        "use_cpu": True,
        "disable_tqdm": True,
    },
    "publish": {"title": "Tiny", "license": "apache-2.0", "summary": "A test.", "limits": ["All."]},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("summarization")
    write_tsv(folder / "mine.tsv", texts(360), "description\tsynopsis")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(RECIPE))
    flags = ["--train_file", str(folder / "mine.tsv"), "--output_dir", str(folder / "run")]
    flags += ["--source_column", "description", "--target_column", "synopsis"]
    assert train([str(folder / "tiny.yaml"), *flags]) == 0
    return folder / "run"


def test_a_run_is_complete_and_learns(run):
    record = RunRecord.read(run)
    test = record.metrics["test"]
    assert test["n"] == 30 and test["rougeL_low"] <= test["rougeL"] <= test["rougeL_high"]
    assert set(record.baselines) == {"lead_4", "nearest_neighbour", "token_frequencies"}
    assert test["rougeL"] > 60 > record.baselines["lead_4"]["rougeL"]
    assert record.fit["metric"] == "rougeL"
    plots = {path.name for path in (run / "pictures").iterdir()}
    assert plots == {"rouge_by_length.png", "attention.png", "learning_curves.png"}
    assert {row["kind"] for row in record.tables["samples"]} == {"best", "median", "worst"}
    assert record.data["notes"]["truncated"]["train"] > 0  # descriptions are longer than 24 tokens


def test_the_card_says_what_the_record_says(run):
    record = RunRecord.read(run)
    card = render_card(record)
    assert "pipeline_tag: summarization" in card and "baseline: lead 4" in card
    assert f"{record.metrics['test']['rougeL']:.2f}" in card and "pictures/attention.png" in card


def test_the_pipeline_summarizes(run):
    summarize = pipeline("summarization", model=str(run), device="cpu")
    text = "This is package number 5. It reads logs and more, as many do."
    with pytest.warns(UserWarning, match="only its beginning is read"):
        found = summarize(text)
    assert found[0]["summary_text"].startswith("tool that")


def test_debian_s_descriptions_need_their_files(run, tmp_path, capsys):
    flags = ["--dataset_name", "debian-package-descriptions", "--data_dir", str(tmp_path)]
    assert train([str(run.parent / "tiny.yaml"), *flags, "--output_dir", str(tmp_path / "run")]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "has no package lists" in error and "apt-get update" in error
