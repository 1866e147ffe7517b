"""A search and a study of a speech recipe: the engine asks for nothing that images and texts have alone."""

import json

import numpy as np
import pytest
import soundfile
import yaml

pytest.importorskip("ray")

from zoo.commands.study import main as study
from zoo.commands.tune import main as tune

RATE = 8000
PITCHES = {"low": 300, "high": 2000}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """A recipe of tones that are named by their pitch; it trains in a second."""
    folder = tmp_path_factory.mktemp("speech")
    corpus = folder / "tones"
    corpus.mkdir()
    lines = ["file_name,text,speaker_id"]
    for row in range(24):
        word = list(PITCHES)[row % 2]
        times = np.arange(RATE // 4) / RATE
        soundfile.write(corpus / f"{row}.wav", 0.3 * np.sin(2 * np.pi * (PITCHES[word] + row) * times), RATE)
        lines.append(f"{row}.wav,{word},s{row // 2 % 4}")
    (corpus / "metadata.csv").write_text("\n".join(lines) + "\n")
    sizes = dict.fromkeys(("d_model", "encoder_ffn_dim", "decoder_ffn_dim"), 16)
    sizes |= {"encoder_layers": 1, "decoder_layers": 1, "num_mel_bins": 10, "conv_channels": 2}
    content = {
        "family": "speech_transformer",
        "task": "speech_recognition",
        "data": {"train_dir": str(corpus), "validation_size": 0.25, "test_size": 0.25, "sampling_rate": RATE,
                 "max_seconds": 1.0, "max_target_length": 8, "num_beams": 1},
        "model": {**sizes, "max_source_positions": 100, "max_target_positions": 8},
        "training": {"num_train_epochs": 1, "batch_tokens": 400, "learning_rate": 0.01, "use_cpu": True,
                     "generation_max_length": 8},
    }  # fmt: skip
    (folder / "tones.yaml").write_text(yaml.safe_dump(content))
    return folder / "tones.yaml"


def test_a_search(address, recipe, tmp_path, monkeypatch):
    monkeypatch.setattr("zoo.data.audio_features.cache_folder", lambda: tmp_path / "features")
    flags = ["--output_dir", str(tmp_path / "out"), "--address", address, "--trials", "2", "--skip_final"]
    assert (
        tune([str(recipe), *flags, "--space", "model.ctc_loss_weight={choice: [0.0, 0.3]}", "--algorithm", "random"])
        == 0
    )
    results = json.loads((tmp_path / "out" / "search.json").read_text())
    assert [trial["status"] for trial in results["trials"]] == ["finished"] * 2
    assert all(trial["score"] > 0 for trial in results["trials"])


def test_a_study(in_this_process, recipe, tmp_path):
    content = {
        "title": "Tones",
        "question": "Does CTC help?",
        "base": str(recipe),
        "seeds": [1],
        "variants": {"no-ctc": {"model": {"ctc_loss_weight": 0.0}}},
    }
    (tmp_path / "tones-study.yaml").write_text(yaml.safe_dump(content))
    flags = ["--output_dir", str(tmp_path / "out"), "--report_dir", str(tmp_path / "report")]
    assert study([str(tmp_path / "tones-study.yaml"), *flags]) == 0
    page = (tmp_path / "report" / "tones-study.md").read_text()
    assert "validation wer" in page and "| no-ctc | `ctc_loss_weight=0.0` |" in page
