"""The pipelines that transformers 5 dropped: texts in, texts out, in order, and nothing is cut in silence."""

import warnings

import pytest
import torch
import transformers
from transformers import AutoModelForSeq2SeqLM, pipeline

from tests.tasks.pairs import pairs
from zoo.data.tokenizer import train_tokenizer
from zoo.registry import load_family
from zoo.tasks.text.pipeline import sentences
from zoo.tasks.translation import TASK
from zoo.tasks.translation.arguments import TranslationArguments

TEXTS = ["The old dog sees a cat.", "A bird.", "The man hears the small red bird and the old child."]


def save(folder, languages, family="transformer_seq2seq"):
    """A saved model that was never trained."""
    texts = [text for pair in pairs(200) for text in pair]
    tokenizer = train_tokenizer(texts, 72 + len(languages), "unigram", byte_fallback=False, languages=languages)
    tokenizer.model_max_length = 40
    torch.manual_seed(0)
    family = load_family(family)
    config = family.config_class(**{**family.tiny, "vocab_size": len(tokenizer), "tie_word_embeddings": False})
    model = family.model_classes["translation"](config)
    for weight in (model.lm_head.weight, model.get_input_embeddings().weight):
        torch.nn.init.normal_(weight, std=1.0)  # so that it writes different things
    TASK(TranslationArguments(num_beams=3, max_target_length=10)).attach(model, tokenizer)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save(tmp_path_factory.mktemp("model"), [])


@pytest.fixture(scope="module")
def translate(folder):
    return pipeline("translation", model=folder, device="cpu")


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """Of a model with two target languages."""
    return pipeline("translation", model=save(tmp_path_factory.mktemp("several"), ["eo", "de"]), device="cpu")


def test_a_text_gives_a_list_and_a_list_gives_one_answer_each(translate):
    one = translate(TEXTS[0])
    assert [list(answer) for answer in one] == [["translation_text"]]
    many = translate(TEXTS)
    assert len(many) == 3 and many[0] == one[0]
    assert translate(tuple(TEXTS)) == many
    assert len({answer["translation_text"] for answer in many}) > 1


@pytest.mark.parametrize("family", ["transformer_seq2seq", "rnn_seq2seq"])
def test_padding_batch_size_and_cache_do_not_change_a_text(family, tmp_path):
    translate = pipeline("translation", model=save(tmp_path, [], family), device="cpu")
    texts = [source for source, _ in pairs(12)]
    alone = [translate(text)[0] for text in texts]
    assert len({answer["translation_text"] for answer in alone}) > 3
    for settings in ({"batch_size": 2}, {"batch_size": 32}, {"batch_size": 5, "use_cache": False}):
        assert translate(texts, **settings) == alone
    # The outputs differ by float rounding only.
    rows = [translate.tokenizer(text)["input_ids"] for text in texts]
    batch = translate.tokenizer.pad({"input_ids": rows}, return_tensors="pt")
    start = torch.full((len(rows), 1), translate.model.config.decoder_start_token_id)
    with torch.no_grad():
        padded = translate.model(**batch, decoder_input_ids=start).logits
        single = [translate.model(input_ids=torch.tensor([ids]), decoder_input_ids=start[:1]).logits for ids in rows]
    torch.testing.assert_close(padded, torch.cat(single), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", ["transformer_seq2seq", "rnn_seq2seq"])
def test_a_caller_s_max_new_tokens_replaces_the_limit_silently(family, tmp_path, caplog):
    save(tmp_path, [], family)
    model = AutoModelForSeq2SeqLM.from_pretrained(tmp_path)
    assert model.generation_config.max_length == 11
    logger = transformers.logging.get_logger("transformers")
    logger.addHandler(caplog.handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            short = model.generate(torch.tensor([[5, 6, 3]]), max_new_tokens=2)
            long = model.generate(torch.tensor([[5, 6, 3]]), max_length=4, eos_token_id=None)
    finally:
        logger.removeHandler(caplog.handler)
    assert short.shape[1] <= 3 and long.shape[1] == 4 and not caplog.records


def test_an_iterator_gives_an_iterator(translate):
    found = translate(text for text in TEXTS)
    assert not isinstance(found, list) and list(found) == translate(TEXTS)


def test_nothing_gives_nothing(translate):
    assert translate([]) == []
    assert translate("  ") == [{"translation_text": ""}]
    assert translate(["", TEXTS[0]]) == [{"translation_text": ""}, *translate(TEXTS[0])]


def test_settings_of_generation_are_arguments_of_the_call(translate, folder):
    greedy = translate(TEXTS, num_beams=1)
    model, tokenizer = translate.model, translate.tokenizer
    inputs = tokenizer(TEXTS[:1], return_tensors="pt")
    expected = model.generate(**inputs, num_beams=1, early_stopping=False)
    assert greedy[0]["translation_text"] == tokenizer.decode(expected[0], skip_special_tokens=True).strip()
    several = translate(TEXTS, num_return_sequences=2)
    assert [len(answers) for answers in several] == [2, 2, 2]
    assert several[0][0] == translate(TEXTS[0])[0]
    two = tokenizer.decode(expected[0][:3], skip_special_tokens=True).strip()
    assert translate(TEXTS[0], max_new_tokens=2, num_beams=1)[0]["translation_text"] == two
    once = pipeline("translation", model=folder, device="cpu", num_beams=1, batch_size=2)
    assert once(TEXTS) == greedy
    with pytest.raises(ValueError, match="not_a_setting"):
        translate(TEXTS[0], not_a_setting=1)


def test_a_long_text_is_translated_in_parts_with_a_warning(translate):
    text = " ".join(TEXTS)
    tokens = len(translate.tokenizer(text)["input_ids"])
    assert tokens > 40
    with pytest.warns(UserWarning, match=f"a text of {tokens} tokens is longer than the 40 that the model takes"):
        pieces = translate.preprocess([text])[0]
    assert len(pieces) > 1 and max(map(len, pieces)) <= 40
    decoded = " ".join(translate.tokenizer.decode(ids, skip_special_tokens=True).strip() for ids in pieces)
    assert decoded == text
    with pytest.warns(UserWarning, match="is translated in parts"):
        whole = translate([TEXTS[1], text])
    assert whole[0] == translate(TEXTS[1])[0]
    assert len(whole[1]["translation_text"]) > len(whole[0]["translation_text"])


def test_long_words_lose_nothing_either(translate):
    with pytest.warns(UserWarning):
        pieces = translate.preprocess(["birdbirdbirdbird" * 10])[0]
    assert max(map(len, pieces)) <= 40
    ids = [token for piece in pieces for token in piece[:-1]]
    assert ids == translate.tokenizer("birdbirdbirdbird" * 10)["input_ids"][:-1]


def test_truncation_is_asked_for(translate):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (piece,) = translate.preprocess([" ".join(TEXTS)], truncation=True)[0]
    assert len(piece) == 40 and piece[-1] == translate.tokenizer.eos_token_id


def test_sentences_on_their_own(translate):
    text = f"{TEXTS[0]} {TEXTS[1]}"
    parts = [translate(text)[0]["translation_text"] for text in TEXTS[:2]]
    assert translate(text, split_sentences=True)[0]["translation_text"] == " ".join(parts)
    text = 'He said "No." Then… he left! 你好。再见。'
    assert sentences(text) == ['He said "No."', "Then…", "he left!", "你好。", "再见。"]


def test_a_target_language_is_a_tag_in_front(several):
    eo, de = several.tokenizer.convert_tokens_to_ids([">>eo<<", ">>de<<"])
    assert several.preprocess([TEXTS[0]], tgt_lang="eo")[0][0][0] == eo
    assert several(TEXTS[0], tgt_lang="eo") == several(">>eo<< " + TEXTS[0])
    with pytest.raises(ValueError, match="tgt_lang='fr': the model has eo, de"):
        several(TEXTS[0], tgt_lang="fr")
    # each text may bring its own tag, which every part of a long one gets
    long = " ".join(TEXTS * 2)
    with pytest.warns(UserWarning, match="is translated in parts"):
        first, *parts = several.preprocess([f">>eo<< {TEXTS[0]}", f">>de<< {long}"])
    assert first[0][0] == eo and len(parts[0]) > 1 and {ids[0] for ids in parts[0]} == {de}


def test_a_model_of_several_languages_is_not_left_to_guess(several, tmp_path):
    with pytest.raises(ValueError, match="the model translates into eo, de: choose with tgt_lang="):
        several(TEXTS[0])
    assert several("  ") == [{"translation_text": ""}]
    only = pipeline("translation", model=save(tmp_path, ["eo"]), device="cpu")
    assert only.preprocess([TEXTS[0]]) == only.preprocess([TEXTS[0]], tgt_lang="eo")
    assert only.preprocess([TEXTS[0]])[0][0][0] == only.tokenizer.convert_tokens_to_ids(">>eo<<")


@pytest.mark.parametrize("wrong", [7, [TEXTS[0], None], [[TEXTS[0]]], {"text": TEXTS[0]}, TEXTS[0].encode()])
def test_what_is_no_text_is_said(translate, wrong):
    with pytest.raises(TypeError):
        translate(wrong)


def test_summaries_of_long_texts_read_the_beginning_with_a_warning(folder):
    summarize = pipeline("summarization", model=folder, device="cpu")
    assert [list(answer) for answer in summarize(TEXTS[:2])] == [["summary_text"]] * 2
    with pytest.warns(UserWarning, match="only its beginning is read"):
        found = summarize(" ".join(TEXTS))
    assert found == summarize(" ".join(TEXTS), truncation=True)


def test_answers_that_the_length_cut_off_are_told(translate):
    with pytest.warns(UserWarning, match="1 of 1 answers are cut off at 4 tokens") as caught:
        translate.warn_of_cut(torch.tensor([[2, 9, 9, 9]]))
    assert len(caught) == 1
    eos = translate.tokenizer.eos_token_id
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        translate.warn_of_cut(torch.tensor([[2, 9, 9, eos], [2, eos, 0, 0]]))
        translate(TEXTS[0], max_new_tokens=2)  # who asks for two tokens wants two
    with pytest.warns(UserWarning, match="answers are cut off"):
        translate(TEXTS[0], forced_eos_token_id=None, suppress_tokens=[eos])


def test_a_saved_pipeline_brings_its_code(translate, tmp_path):
    translate.save_pretrained(tmp_path)
    assert (tmp_path / "pipeline.py").is_file()
    assert "zoo" not in (tmp_path / "pipeline.py").read_text().partition("class ")[0]
