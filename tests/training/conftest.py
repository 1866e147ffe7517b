"""A translator that several tests look at, trained once."""

from pathlib import Path

import pytest
import yaml

from tests.tasks.pairs import pairs, write_tsv
from zoo.commands.train import main as train


@pytest.fixture(scope="session")
def translator(tmp_path_factory) -> Path:
    """The finished run of a tiny translator, trained with smoothing, sampled generation and an average."""
    folder = tmp_path_factory.mktemp("translator")
    recipe = {
        "family": "transformer_seq2seq",
        "task": "translation",
        "data": {
            "train_file": str(write_tsv(folder / "eo.tsv", pairs(400))),
            "source_lang": "en",
            "target_lang": "eo",
        },
        "model": {
            "vocab_size": 330,
            "d_model": 32,
            "encoder_layers": 1,
            "decoder_layers": 1,
            "encoder_ffn_dim": 64,
            "decoder_ffn_dim": 64,
        },
        "training": {
            "num_train_epochs": 3,
            "batch_tokens": 400,
            "learning_rate": 0.01,
            "label_smoothing_factor": 0.1,
            "generation_num_beams": 1,
            "generation_max_length": 24,
            "generation_samples": 10,
            "average_checkpoints": 2,
            "per_device_eval_batch_size": 8,
            "use_cpu": True,
        },
    }
    (folder / "mine.yaml").write_text(yaml.safe_dump(recipe))
    flags = ["--max_target_length", "24", "--num_beams", "3", "--disable_tqdm", "true"]
    assert train([str(folder / "mine.yaml"), *flags, "--output_dir", str(folder / "run")]) == 0
    return folder / "run"
