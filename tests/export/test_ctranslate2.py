"""CTranslate2 writes what PyTorch writes, and what it cannot run is refused."""

import dataclasses

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, GenerationConfig, pipeline

pytest.importorskip("ctranslate2", reason="pip install 'primer-zoo[ctranslate2]'")

from tests.tasks.test_text_pipelines import TEXTS, save
from tests.test_contract import tiny_config
from zoo.commands.translate import load_translator
from zoo.export import ctranslate2_format, ctranslate2_runtime
from zoo.export.record import ExportRecord


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """(original, tokenizer, its CTranslate2 model)."""
    folder = tmp_path_factory.mktemp("saved")
    path = save(folder, [])
    model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(path).eval(), AutoTokenizer.from_pretrained(path)
    ctranslate2_format.write(model, folder, "float32")
    return model, tokenizer, ctranslate2_runtime.load(model.config, folder)


@pytest.mark.parametrize("settings", [{"num_beams": 1}, {"num_beams": 3, "early_stopping": True}], ids=str)
def test_the_same_tokens(saved, settings):
    model, tokenizer, runtime = saved
    inputs = tokenizer(TEXTS, return_tensors="pt", padding=True, return_token_type_ids=False)
    tokens = [m.generate(**inputs, max_new_tokens=9, **settings).tolist() for m in (model, runtime)]
    assert tokens[0] == tokens[1]


def test_the_pipeline_takes_it(saved):
    model, tokenizer, runtime = saved
    answers = [
        pipeline("translation", model=m, tokenizer=tokenizer, device="cpu")(TEXTS, num_beams=1)
        for m in (model, runtime)
    ]
    assert answers[0] == answers[1]


def test_the_source_has_either_name_and_the_tokens_come_as_asked(saved):
    _, _, runtime = saved
    source = torch.tensor([[5, 9, 3]])
    tokens = runtime.generate(input_ids=source, max_new_tokens=4)
    assert runtime.generate(inputs=source, max_new_tokens=4).equal(tokens)
    assert runtime.generate(source, max_new_tokens=4, return_dict_in_generate=True).sequences.equal(tokens)
    config = GenerationConfig(max_new_tokens=4, return_dict_in_generate=True)
    assert runtime.generate(source, config).sequences.equal(tokens)
    with pytest.raises(ValueError, match="needs input_ids"):
        runtime.generate(max_new_tokens=4)
    with pytest.raises(ValueError, match="no output_scores"):
        runtime.generate(source, return_dict_in_generate=True, output_scores=True)


def test_the_translate_command_takes_the_folder(saved, tmp_path, monkeypatch):
    model, tokenizer, _ = saved
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    ctranslate2_format.write(model, tmp_path, "float32")
    record = ExportRecord("ctranslate2", "tiny", "translation", "float32")
    record.add_files(tmp_path)
    record.write(tmp_path)
    translate = load_translator(str(tmp_path))
    assert isinstance(translate.model, ctranslate2_runtime.CTranslate2Model)
    assert translate(TEXTS, num_beams=1) == pipeline("translation", model=model, tokenizer=tokenizer)(
        TEXTS, num_beams=1
    )
    dataclasses.replace(record, task="summarization").write(tmp_path)
    with pytest.raises(ValueError, match="is not a translator .model type .*, task summarization"):
        load_translator(str(tmp_path))


def test_an_unknown_setting_is_named(saved):
    _, _, runtime = saved
    with pytest.raises(ValueError, match="CTranslate2 has no top_k here; it has num_beams"):
        runtime.generate(torch.tensor([[5, 3]]), top_k=4)
    with pytest.raises(ValueError, match="no do_sample"):
        runtime.generate(torch.tensor([[5, 3]]), do_sample=True)


def test_a_generation_config_is_completed_as_transformers_does_it(saved):
    model, tokenizer, runtime = saved
    inputs = tokenizer(TEXTS, return_tensors="pt", padding=True, return_token_type_ids=False)
    config = GenerationConfig(max_new_tokens=5)  # the number of beams and the special tokens are the model's
    tokens = [m.generate(**inputs, generation_config=config).tolist() for m in (model, runtime)]
    assert tokens[0] == tokens[1] and len(tokens[1][0]) == 6
    for settings in ({"do_sample": True}, {"min_new_tokens": 3}):
        with pytest.raises(ValueError, match=f"no {next(iter(settings))}"):
            runtime.generate(**inputs, generation_config=GenerationConfig(**settings))


def test_no_logits(saved):
    with pytest.raises(ValueError, match="CTranslate2 shows no logits"):
        saved[2](input_ids=torch.tensor([[5, 3]]))


@pytest.mark.parametrize(
    ("family", "fields", "message"),
    [
        ("rnn_seq2seq", {}, "Transformers of text only, not a rnn_seq2seq"),
        ("transformer_seq2seq", {"norm_position": "post"}, "norm_position='post'"),
        ("transformer_seq2seq", {"position_embedding_type": "rotary"}, "position_embedding_type='rotary'"),
        ("transformer_seq2seq", {"gated_ffn": True}, "gated_ffn=True"),
        ("transformer_seq2seq", {"copy_mechanism": True}, "copy_mechanism=True"),
    ],
)
def test_what_it_cannot_run_is_refused(family, fields, message):
    with pytest.raises(ValueError, match=message):
        ctranslate2_format.check(tiny_config(family, **fields))


def test_damaged_files_are_named(tmp_path, saved):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.bin").write_bytes(b"nothing")
    saved[1].save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="CTranslate2 cannot load .*; export the model again"):
        ctranslate2_runtime.load(saved[0].config, tmp_path)
