"""Searches of series and texts, on a Ray cluster of two machines: every family's fields and data reach the trials."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from tests.tasks.pairs import pairs, write_tsv

pytest.importorskip("ray")

from zoo.commands.tune import main  # noqa: E402

TRAINING = {"learning_rate": 0.01, "num_train_epochs": 2, "use_cpu": True}


def searched(folder: Path, content: dict, flags: list[str]) -> list[dict]:
    """The trials of a grid over the recipe's space."""
    (folder / "tiny.yaml").write_text(yaml.safe_dump(content))
    flags = ["--output_dir", str(folder / "out"), "--algorithm", "grid", "--scheduler", "none", "--skip_final", *flags]
    assert main([str(folder / "tiny.yaml"), *flags]) == 0
    trials = json.loads((folder / "out/search.json").read_text())["trials"]
    assert {trial["status"] for trial in trials} == {"finished"}, [trial.get("reason") for trial in trials]
    return trials


def test_a_forecaster_is_searched(address, tmp_path):
    """Layers, and a length of the context, which changes the windows that are read."""
    hours = pd.date_range("2024-01-01", periods=400, freq="h")
    waves = np.sin(np.arange(400) * 2 * np.pi / 24)
    pd.DataFrame({"date": hours, "a": waves, "b": 2 - waves}).to_csv(tmp_path / "mine.csv", index=False)
    content = {
        "family": "lstm_forecaster",
        "task": "forecasting",
        "data": {"train_file": str(tmp_path / "mine.csv")},
        "model": {"context_length": 24, "prediction_length": 4, "hidden_size": 8, "patch_length": 4},
        "training": TRAINING | {"metric_for_best_model": "mse", "greater_is_better": False},
        "search": {"space": {"model.num_layers": [1, 2], "model.context_length": [24, 48]}},
    }
    trials = searched(tmp_path, content, ["--address", address])
    assert len({trial["score"] for trial in trials}) == 4
    assert [trial["score"] for trial in trials] == sorted(trial["score"] for trial in trials)  # the lowest error first


def test_a_translator_is_searched(address, tmp_path):
    """Attention and cell, and the size of the vocabulary, which is learned anew for each."""
    content = {
        "family": "rnn_seq2seq",
        "task": "translation",
        "data": {
            "train_file": str(write_tsv(tmp_path / "mine.tsv", pairs(200))),
            "source_lang": "en",
            "target_lang": "eo",
            "tokenizer_type": "bpe",
            "byte_fallback": False,
            "validation_size": 20,
            "test_size": 20,
        },
        "model": {"vocab_size": 110, "embedding_size": 8, "hidden_size": 8, "encoder_layers": 1, "decoder_layers": 1},
        "training": TRAINING | {"metric_for_best_model": "perplexity", "greater_is_better": False},
        "search": {
            "space": {
                "model.attention": ["none", "dot"],
                "model.cell_type": {"choice": ["gru", "lstm"], "when": {"model.attention": "dot"}},
                "model.vocab_size": [90, 110],
            }
        },
    }
    trials = searched(tmp_path, content, ["--address", address])
    assert len(trials) == 6 and len({trial["score"] for trial in trials}) == 6
    assert sum("model.cell_type" in trial["point"] for trial in trials) == 4
