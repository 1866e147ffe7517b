"""ONNX: what the forecaster's and the pipelines' own ways need, and what goes wrong in one line."""

import shutil

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, pipeline

pytest.importorskip("onnxscript", reason="pip install 'primer-zoo[onnx]'")
pytest.importorskip("onnxruntime", reason="pip install 'primer-zoo[onnx]'")

import zoo
from tests.inputs import INPUTS
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
    onnx_format.write(model, folder, "float32")
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
    ],
)
def test_what_onnx_cannot_hold_is_refused(family, task, fields, message):
    with pytest.raises(ValueError, match=message):
        onnx_format.check(tiny_model(family, task, **fields).config)


def test_a_copying_model_copies(tmp_path):
    model = tiny_model("transformer_seq2seq", "summarization", copy_mechanism=True).eval()
    torch.nn.init.constant_(model.copy_head.gate.bias, 3.0)  # it copies more than it writes
    onnx_format.write(model, tmp_path, "float32")
    runtime = onnx_runtime.load(model.config, tmp_path)
    inputs = INPUTS["summarization"](model.config, rows=2)
    inputs = {"input_ids": inputs["input_ids"], "attention_mask": inputs["attention_mask"]}
    tokens = torch.tensor([[2, 5, 6], [2, 7, 8]])
    with torch.no_grad():
        expected = model(**inputs, decoder_input_ids=tokens).logits
    torch.testing.assert_close(runtime(**inputs, decoder_input_ids=tokens).logits, expected, rtol=1e-4, atol=1e-4)
    for settings in ({"num_beams": 1}, {"num_beams": 3}):
        written = [m.generate(**inputs, max_new_tokens=8, **settings).tolist() for m in (model, runtime)]
        assert written[0] == written[1]


def test_ctc_scores_texts_too(tmp_path):
    model = tiny_model("speech_transformer", "speech_recognition", ctc_loss_weight=0.3).eval()
    onnx_format.write(model, tmp_path, "float32")
    runtime = onnx_runtime.load(model.config, tmp_path)
    inputs = INPUTS["speech_recognition"](model.config, rows=3)
    inputs = {"input_features": inputs["input_features"], "attention_mask": inputs["attention_mask"]}
    with torch.no_grad():
        encoded = model.get_encoder()(**inputs).last_hidden_state
        torch.testing.assert_close(
            runtime.encoder(**inputs)["ctc_logits"], model.ctc_head(encoded), rtol=1e-4, atol=1e-5
        )
    for settings in ({"num_beams": 1}, {"num_beams": 3}):
        texts = [
            m.generate(**inputs, max_new_tokens=6, ctc_weight=weight, **settings).tolist()
            for m, weight in ((model, 0.4), (runtime, 0.4), (runtime, 0.0))
        ]
        assert texts[0] == texts[1] != texts[2]
    with pytest.raises(ValueError, match="ctc_weight=1 must be below 1"):
        runtime.generate(**inputs, ctc_weight=1)


def test_an_opset_that_cannot_be_written_is_refused(tmp_path):
    model = tiny_model("fashion_cnn", "image_classification").eval()
    with pytest.raises(ValueError, match="--opset 99: .* leave model.onnx at opset"):
        onnx_format.write(model, tmp_path, "float32", opset=99)
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
