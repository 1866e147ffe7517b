"""`zoo export`: a finished run becomes a folder that was measured, or nothing is written."""

import logging

import pytest
from PIL import Image
from transformers import pipeline

pytest.importorskip("onnxscript", reason="pip install 'primer-zoo[onnx]'")
pytest.importorskip("onnxruntime", reason="pip install 'primer-zoo[onnx]'")

import zoo
from zoo.commands.export import main
from zoo.export import export as exporting
from zoo.export.record import ExportRecord


@pytest.fixture(scope="module")
def exported(finished, tmp_path_factory):
    """A run as ONNX, measured on eight validation rows."""
    folder = tmp_path_factory.mktemp("exported") / "onnx"
    assert main([str(finished / "run"), "--format", "onnx", "--output_dir", str(folder), "--rows", "8"]) == 0
    return folder


def test_it_is_measured_beside_pytorch(exported):
    found = ExportRecord.read(exported).comparison
    assert found["max_difference"] < 1e-4 and found["rows"] == 8 and found["metric"] == "accuracy"
    assert found["exported"] == found["pytorch"]
    assert [path.name for path in exported.parent.iterdir()] == ["onnx"]


def test_the_image_pipeline_takes_it(exported, finished, caplog, monkeypatch):
    image, folder = Image.new("L", (28, 28), 200), str(finished / "run")
    expected = pipeline("image-classification", model=folder, device="cpu")(image)
    model = zoo.load_exported(exported)
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    found = pipeline("image-classification", model=model, image_processor=str(exported), device="cpu")(image)
    assert "is not supported" not in caplog.text  # transformers knows the model
    assert [a["label"] for a in found] == [a["label"] for a in expected]
    assert [a["score"] for a in found] == pytest.approx([a["score"] for a in expected], abs=1e-5)


def test_a_failure_leaves_the_earlier_export(exported, finished, monkeypatch, capsys):
    before = (exported / "export.json").read_text()
    monkeypatch.setattr(exporting, "compare_in_clean_process", lambda *_: {"max_difference": 0.5, "speedup": {}})
    assert main([str(finished / "run"), "--format", "onnx", "--output_dir", str(exported)]) == 1
    assert "differs from PyTorch by 0.5" in capsys.readouterr().err
    assert (exported / "export.json").read_text() == before
    assert [path.name for path in exported.parent.iterdir()] == ["onnx"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "torchscript"], "--format torchscript: known are onnx, ctranslate2"),
        (["--format", "onnx", "--dtype", "int8"], "--dtype int8: onnx is written in float32"),
        (["--format", "ctranslate2"], "CTranslate2 runs Transformers of text only"),
        (["--format", "ctranslate2", "--opset", "20"], "--opset is for --format onnx"),
        (["--format", "onnx", "--rows", "-2"], "--rows -2 must be 0"),
    ],
)
def test_wrong_calls_are_one_line(finished, tmp_path, capsys, arguments, message):
    target = tmp_path / "target"
    assert main([str(finished / "run"), *arguments, "--output_dir", str(target)]) in (1, 2)
    error = capsys.readouterr().err.strip()
    assert message in error and len(error.splitlines()) == 1
    assert not target.exists()


def test_a_folder_without_weights_is_named(tmp_path, capsys):
    (tmp_path / "config.json").write_text("{}")
    assert main([str(tmp_path), "--format", "onnx"]) == 1
    assert "holds no model.safetensors" in capsys.readouterr().err


def test_a_folder_with_something_else_is_not_replaced(finished, tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("years of work")
    assert main([str(finished / "run"), "--format", "onnx", "--output_dir", str(tmp_path)]) == 1
    assert "would be replaced: name another --output_dir" in capsys.readouterr().err


def test_a_file_that_somebody_put_into_an_export_is_not_lost(exported, finished, capsys):
    note = exported / "note.txt"
    note.write_text("years of work")
    assert main([str(finished / "run"), "--format", "onnx", "--output_dir", str(exported)]) == 1
    assert "note.txt is no file of the export, and would be lost" in capsys.readouterr().err
    note.unlink()
