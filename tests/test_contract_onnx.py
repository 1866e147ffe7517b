"""The contract of every family in ONNX: written at one batch size and length, it answers alike at others."""

import pytest
import torch
from transformers import set_seed

pytest.importorskip("onnxscript", reason="pip install 'primer-zoo[onnx]'")
pytest.importorskip("onnxruntime", reason="pip install 'primer-zoo[onnx]'")

from tests.inputs import INPUTS, LENGTHS
from tests.test_contract import CASES, LABELS, tiny_model
from zoo.export import onnx_format, onnx_runtime
from zoo.registry import load_family

TEXT_CASES = [(family, task) for family, task in CASES if load_family(family).model_classes[task].can_generate()]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """(original, exported model) of a family, written once."""
    made = {}

    def get(family_name, task_name):
        if (family_name, task_name) not in made:
            model = tiny_model(family_name, task_name).eval()
            folder = tmp_path_factory.mktemp(family_name)
            onnx_format.write(model, folder, "float32")
            made[family_name, task_name] = model, onnx_runtime.load(model.config, folder)
        return made[family_name, task_name]

    return get


def inputs_of(task_name, config, rows, shorter):
    """Without labels, and with a shorter second axis where it has any length."""
    made = {name: value for name, value in INPUTS[task_name](config, rows).items() if name not in LABELS}
    return {n: v[:, : v.shape[1] - shorter] if n in LENGTHS else v for n, v in made.items()}


@pytest.mark.parametrize(("family_name", "task_name"), CASES)
@pytest.mark.parametrize(("rows", "shorter"), [(5, 0), (1, 3)])
def test_another_batch_size_and_length(exported, family_name, task_name, rows, shorter):
    model, runtime = exported(family_name, task_name)
    inputs = inputs_of(task_name, model.config, rows, shorter)
    with torch.no_grad():
        expected, found = model(**inputs), runtime(**inputs)
    names = [name for name, value in found.items() if torch.is_tensor(value)]
    assert names
    for name in names:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("family_name", "task_name"), TEXT_CASES)
@pytest.mark.parametrize("settings", [{"num_beams": 1}, {"num_beams": 3, "num_return_sequences": 2}], ids=str)
def test_generation_is_that_of_pytorch(exported, family_name, task_name, settings):
    model, runtime = exported(family_name, task_name)
    inputs = {n: v for n, v in inputs_of(task_name, model.config, 4, 0).items() if not n.startswith("decoder_")}
    tokens = [m.generate(**inputs, max_new_tokens=9, **settings) for m in (model, runtime)]
    assert tokens[0].tolist() == tokens[1].tolist()


@pytest.mark.parametrize(("family_name", "task_name"), TEXT_CASES)
def test_samples_are_those_of_pytorch(exported, family_name, task_name):
    model, runtime = exported(family_name, task_name)
    inputs = {n: v for n, v in inputs_of(task_name, model.config, 2, 0).items() if not n.startswith("decoder_")}
    tokens = []
    for sampled in (model, runtime):
        set_seed(3)
        tokens.append(sampled.generate(**inputs, do_sample=True, max_new_tokens=9).tolist())
    assert tokens[0] == tokens[1]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of an experimental exporter
@pytest.mark.parametrize(("family_name", "task_name"), CASES)
def test_the_exporter_of_transformers(family_name, task_name):
    """transformers' own, which writes one pass without a cache."""
    exporters = pytest.importorskip("transformers.exporters.exporter_onnx", reason="transformers has no exporters")
    model = tiny_model(family_name, task_name).eval()
    model.config.use_cache = False
    inputs = {name: value.clone() for name, value in inputs_of(task_name, model.config, 3, 4).items()}
    program = exporters.OnnxExporter().export(model, inputs, config=exporters.OnnxConfig(dynamic=True))
    inputs = inputs_of(task_name, model.config, 5, 0)
    with torch.no_grad():
        expected = model(**inputs)
    if model.config.is_encoder_decoder and getattr(model.config, "cell_type", None):
        with pytest.raises(RuntimeError, match="Shape mismatch attempting to re-use buffer"):
            program(**inputs)  # docs/guides/export.md: recurrent encoder-decoders keep the lengths of the example
        return
    found = program(**inputs)
    name = next(name for name, value in expected.items() if torch.is_tensor(value) and value.ndim > 1)
    torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-5)
