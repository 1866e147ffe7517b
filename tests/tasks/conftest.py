"""The translator that others go on from, trained once."""

from pathlib import Path

import pytest
import yaml

from tests.tasks.new_pairs import MODELS, QUICK, foreign_pairs
from tests.tasks.pairs import pairs, write_tsv
from zoo.commands.train import main as train


@pytest.fixture(scope="session", params=MODELS)
def parent(request, tmp_path_factory) -> Path:
    """A translator from English to Esperanto that has learned a little."""
    folder = tmp_path_factory.mktemp(request.param)
    recipe = {
        "family": request.param,
        "task": "translation",
        "data": {"tokenizer_type": "bpe" if request.param == "rnn_seq2seq" else "unigram", "test_size": 20},
        "model": {**MODELS[request.param], "vocab_size": 330},
        "training": {"learning_rate": "1e-2"},
        "publish": {"title": "Parent", "license": "apache-2.0", "summary": "A test.", "limits": ["All."]},
    }
    (folder / "parent.yaml").write_text(yaml.safe_dump(recipe))
    write_tsv(folder / "eo.tsv", pairs(300))
    write_tsv(folder / "ru.tsv", foreign_pairs(200), "en\tru")
    flags = ["--train_file", str(folder / "eo.tsv"), "--source_lang", "en", "--target_lang", "eo"]
    quick = [flag for flag in QUICK if flag != "--average_checkpoints"][:-1]
    assert (
        train([str(folder / "parent.yaml"), *flags, *quick, "--skip_test", "--output_dir", str(folder / "run")]) == 0
    )
    return folder / "run"
