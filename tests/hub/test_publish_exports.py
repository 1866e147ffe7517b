"""`zoo publish --with onnx`: exports travel in the model's own commit, and its card says what they are."""

import json

import pytest

pytest.importorskip("onnxscript", reason="pip install 'primer-zoo[onnx]'")
pytest.importorskip("onnxruntime", reason="pip install 'primer-zoo[onnx]'")

import zoo
from tests.hub.conftest import run_command
from zoo.commands.publish import main as publish_command


def test_exports_go_into_the_same_commit(hub, api, run, shared_workers, tmp_path):
    arguments = (run, "--repo_id", "primer-zoo/tiny", "--with", "onnx", "--max_samples", "16")
    exit_code, printed = run_command(publish_command, *arguments)
    assert exit_code == 0 and "exported to onnx/: " in printed, printed
    repo = hub.repo("primer-zoo/tiny")
    assert repo.history() == ["Publish with primer-zoo", "initial commit"]
    files = repo.files()
    assert {"onnx/model.onnx", "onnx/export.json", "onnx/config.json", "model.safetensors"} <= set(files)
    card = files["README.md"].decode()
    assert "## In other formats" in card and "| `onnx/` | float32 | " in card
    assert 'pipeline("image-classification", model=model, image_processor=folder, device="cpu")' in card
    assert json.loads(files["results.json"])["exports"]["onnx"]["rows"] == 16
    for name, content in files.items():
        if name.startswith("onnx/"):
            (tmp_path / "onnx").mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(content)
    assert zoo.load_exported(tmp_path / "onnx").main_input_name == "pixel_values"


def test_what_a_format_cannot_hold_is_not_published(hub, api, run, shared_workers):
    arguments = (run, "--repo_id", "primer-zoo/tiny", "--with", "ctranslate2", "--no_measure")
    pytest.importorskip("ctranslate2", reason="pip install 'primer-zoo[ctranslate2]'")
    exit_code, printed = run_command(publish_command, *arguments)
    assert exit_code == 1 and "CTranslate2 runs Transformers of text only" in printed
    exit_code, printed = run_command(publish_command, run, "--repo_id", "a/b", "--dry_run", "--with", "pickle")
    assert exit_code == 2 and printed.startswith("error: --with pickle: known are onnx, ctranslate2")
