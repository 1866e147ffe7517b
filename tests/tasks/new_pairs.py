"""A small translator, and the command that goes on from it with another language pair."""

from pathlib import Path

import pytest

from tests.tasks.pairs import pairs

# What has no letter in common with the parent's languages.
FOREIGN = str.maketrans("abcdefghijklmnopqrstuvwxyz", "абцдефгхийклмнопярстувжьыз")
MODELS = {
    "rnn_seq2seq": {"embedding_size": 24, "hidden_size": 32, "decoder_layers": 1, "dropout": 0.0},
    "transformer_seq2seq": {
        "d_model": 16,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "encoder_ffn_dim": 32,
        "decoder_ffn_dim": 32,
        "dropout": 0.0,
    },
}
# Runs a test with a parent of each family; without it the parent is a Transformer.
each_family = pytest.mark.parametrize("parent", MODELS, indirect=True)
QUICK = ["--use_cpu", "true", "--disable_tqdm", "true", "--num_train_epochs", "1", "--batch_tokens", "400"]
QUICK += "--generation_max_length 12 --num_beams 1 --max_target_length 24 --average_checkpoints 0".split()


def foreign_pairs(count: int, seed: int = 5) -> list[tuple[str, str]]:
    """English and a third language."""
    return [(source, source.lower().translate(FOREIGN)) for source, _ in pairs(count, seed)]


def new_pair(parent: Path, *flags: str) -> list[str]:
    """The command of a child."""
    given = ["--model_name_or_path", str(parent), "--train_file", str(parent.parent / "ru.tsv")]
    return ["translator-new-pair", *given, "--source_lang", "en", "--target_lang", "ru", *QUICK, *flags]
