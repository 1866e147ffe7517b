"""ONNX: what the forecaster's and the pipelines' own ways need, and what goes wrong in one line."""

import shutil

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, pipeline

pytest.importorskip("onnxscript", reason="pip install 'primer-zoo[onnx]'")
pytest.importorskip("onnxruntime", reason="pip install 'primer-zoo[onnx]'")

import zoo
from tests.tasks.test_text_pipelines import TEXTS, save
from tests.test_contract import tiny_model
from zoo.export import onnx_format, onnx_runtime
from zoo.export.export import export
from zoo.export.record import ExportRecord
from zoo.registry import load_family


@pytest.fixture(scope="module")
def translator(tmp_path_factory):
    """(folder of a saved model, folder of its export)."""
    folder = tmp_path_factory.mktemp("translator")
    path = save(folder / "model", [])
    target, _ = export(path, "onnx", folder / "onnx", rows=None)
    return path, target


@pytest.fixture(scope="module")
def forecaster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forecaster")
    model = tiny_model("lstm_forecaster", "forecasting", head="quantile", input_size=1).eval()
    onnx_format.write(model, None, folder, "float32")
    return model, onnx_runtime.load(model.config, folder)


def test_the_translation_pipeline_takes_an_exported_model(translator):
    path, target = translator
    expected = pipeline("translation", model=AutoModelForSeq2SeqLM.from_pretrained(path), tokenizer=path, device="cpu")
    found = pipeline("translation", model=zoo.load_exported(target), tokenizer=str(target), device="cpu")
    assert found(TEXTS) == expected(TEXTS)
    assert found(TEXTS, num_beams=1) == expected(TEXTS, num_beams=1)


def test_the_folder_says_what_is_in_it(translator):
    _, target = translator
    record = ExportRecord.read(target)
    assert (record.format, record.task, record.dtype, record.opset) == ("onnx", "translation", "float32", 20)
    assert {"encoder_model.onnx", "decoder_model.onnx", "config.json", "tokenizer.json"} <= set(record.files)
    assert set(record.comparison["speedup"]) == {"1", "64"} and record.versions["onnxruntime"]


def test_missing_values_by_mask_are_missing_values_by_nan(forecaster):
    model, runtime = forecaster
    values, mask = torch.rand(4, 12, 1), torch.rand(4, 12, 1) > 0.3
    found = runtime(past_values=values, past_observed_mask=mask)
    with torch.no_grad():
        expected = model(past_values=values, past_observed_mask=mask)
    for name in ("prediction_outputs", "quantile_outputs"):
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-5)


def test_a_shorter_forecast_is_a_crop_and_a_longer_one_an_error(forecaster):
    _, runtime = forecaster
    values = torch.rand(2, 12, 1)
    assert runtime(past_values=values, prediction_length=4)["prediction_outputs"].shape == (2, 4, 1)
    with pytest.raises(ValueError, match="prediction_length=7: the exported model forecasts 6 steps at most"):
        runtime(past_values=values, prediction_length=7)
    with pytest.raises(ValueError, match="prediction_length=0 must be at least 1"):
        runtime(past_values=values, prediction_length=0)


def test_the_forecasting_pipeline_takes_an_exported_model(forecaster):
    model, runtime = forecaster
    history = torch.rand(30).tolist()
    frames = [pipeline("time-series-forecasting", model=m, device="cpu")(history) for m in (model, runtime)]
    for column in ("predictions", "0.1", "0.9"):
        assert frames[1][column].to_numpy() == pytest.approx(frames[0][column].to_numpy(), rel=1e-4)


@pytest.mark.parametrize(
    ("family", "task", "fields", "message"),
    [
        ("lstm_forecaster", "forecasting", {"cell_type": "rnn"}, "cell_type"),
        ("lstm_forecaster", "forecasting", {"decoding": "recursive"}, "decoding"),
        ("transformer_seq2seq", "translation", {"copy_mechanism": True}, "copy_mechanism=True"),
    ],
)
def test_what_onnx_cannot_hold_is_refused(tmp_path, family, task, fields, message):
    with pytest.raises(ValueError, match=message):
        onnx_format.write(tiny_model(family, task, **fields), None, tmp_path, "float32")


def test_an_opset_that_cannot_be_written_is_refused(tmp_path):
    model = tiny_model("fashion_cnn", "image_classification").eval()
    with pytest.raises(ValueError, match="--opset 99: .* leave model.onnx at opset"):
        onnx_format.write(model, None, tmp_path, "float32", opset=99)
    assert not list(tmp_path.iterdir())


def test_a_damaged_file_is_named(translator, tmp_path):
    folder = shutil.copytree(translator[1], tmp_path / "copy")
    (folder / "decoder_model.onnx").write_bytes(b"no graph")
    with pytest.raises(ValueError, match="decoder_model.onnx is damaged.*export the model again"):
        zoo.load_exported(folder)
    (folder / "decoder_model.onnx").unlink()
    with pytest.raises(FileNotFoundError, match="decoder_model.onnx is missing"):
        zoo.load_exported(folder)


def test_what_onnxruntime_cannot_read_is_named(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(ValueError, match=r"onnxruntime .* cannot load .*model\.onnx"):
        onnx_runtime.load(load_family("fashion_cnn").config_class(), tmp_path)


def test_a_folder_without_export_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="has no export.json"):
        zoo.load_exported(tmp_path)


def test_an_opset_that_the_runtime_lacks_is_named(tmp_path):
    from onnx import TensorProto, helper

    node = helper.make_node("Relu", ["x"], ["y"])
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([node], "one", value[:1], value[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 99)])
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match=r"opset.*update onnxruntime"):
        onnx_runtime.Session(tmp_path / "model.onnx")
