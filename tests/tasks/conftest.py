"""What several files of tests share, trained once: the translator that others go on from, and a forecaster."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import yaml

from tests.tasks.forecasts import SIZES, frame
from tests.tasks.new_pairs import MODELS, QUICK, foreign_pairs
from tests.tasks.pairs import pairs, write_tsv
from zoo.commands.train import main as train


@pytest.fixture(scope="session")
def parent_of(tmp_path_factory) -> Callable[[str], Path]:
    """Family -> a translator from English to Esperanto that has learned a little."""

    @cache
    def train_parent(family: str) -> Path:
        folder = tmp_path_factory.mktemp(family)
        recipe = {
            "family": family,
            "task": "translation",
            "data": {"tokenizer_type": "bpe" if family == "rnn_seq2seq" else "unigram", "test_size": 20},
            "model": {**MODELS[family], "vocab_size": 330},
            "training": {"learning_rate": "1e-2"},
            "publish": {"title": "Parent", "license": "apache-2.0", "summary": "A test.", "limits": ["All."]},
        }
        (folder / "parent.yaml").write_text(yaml.safe_dump(recipe))
        write_tsv(folder / "eo.tsv", pairs(300))
        write_tsv(folder / "ru.tsv", foreign_pairs(200), "en\tru")
        flags = ["--train_file", str(folder / "eo.tsv"), "--source_lang", "en", "--target_lang", "eo", "--skip_test"]
        quick = [flag for flag in QUICK if flag != "--average_checkpoints"][:-1]
        command = [str(folder / "parent.yaml"), *flags, *quick, "--output_dir", str(folder / "run")]
        assert train(command) == 0
        return folder / "run"

    return train_parent


@pytest.fixture(scope="session")
def parent(request, parent_of) -> Path:
    """A Transformer that others go on from, or a model of the family that a test names (`each_family`)."""
    return parent_of(getattr(request, "param", "transformer_seq2seq"))


@pytest.fixture(scope="session")
def forecaster(tmp_path_factory):
    """A finished run of a forecaster."""
    folder = tmp_path_factory.mktemp("forecasting")
    frame().to_csv(folder / "mine.csv", index=False)
    recipe = {
        "family": "lstm_forecaster",
        "task": "forecasting",
        "data": {"standardize": True, "time_features": True},
        "model": {**SIZES, "head": "quantile", "quantiles": [0.1, 0.5, 0.9], "scaling": "last"},
        "training": {
            "num_train_epochs": 8,
            "per_device_train_batch_size": 32,
            "learning_rate": 0.01,
            "use_cpu": True,
            "load_best_model_at_end": True,
            "metric_for_best_model": "mse",
            "greater_is_better": False,
        },
        "publish": {"title": "Tiny", "license": "apache-2.0", "summary": "A test.", "limits": ["All."]},
    }
    (folder / "tiny.yaml").write_text(yaml.safe_dump(recipe))
    flags = ["--train_file", str(folder / "mine.csv"), "--timestamp_column", "date", "--target_columns", "a", "b"]
    flags += ["--output_dir", str(folder / "run"), "--disable_tqdm", "true"]
    assert train([str(folder / "tiny.yaml"), *flags]) == 0
    return folder / "run"
