"""Tokenizers: equal to SentencePiece on every line, load without this library, and say what is wrong."""

import json
import random
import subprocess
import sys

import pytest
import sentencepiece
import transformers
from transformers import AutoTokenizer

from zoo.data.named_pairs import load_named_pairs
from zoo.data.sentencepiece_model import VocabularySizeError, read_model, train_sentencepiece
from zoo.data.tokenizer import language_ids, language_tag, sentencepiece_type, text_fit, to_fast, train_tokenizer

KINDS = pytest.mark.parametrize("kind", ["unigram", "bpe"])
NOUNS = "Hund Katze Straße Häuser Kinder Übung Maschine Wasserfall Fußballspiel Brücke garçon forêt œuvre street"
VERBS = "läuft springt spielt schwimmt sitzt arbeitet sleeps walks court dort"
UNSEEN = [
    "Grüße 😀 aus 北京!",
    "👩\u200d🚀 в Москве",
    "naïve — “quoted”",
    "tab\tand\u00a0spaces   here",
    "▁ and <0x41>",
]


def made_up_text(count=400):
    draw = random.Random(0)
    nouns, verbs = NOUNS.split(), VERBS.split()
    return [
        f"{draw.choice(nouns)} {draw.choice(verbs)}, {draw.choice(nouns)}-{draw.choice(nouns)} {draw.randrange(3000)}."
        for _ in range(count)
    ]


def random_lines(count=400):
    """Lines that are hard to tokenize alike: repetitions, spaces of all kinds, signs that normalisation changes."""
    draw = random.Random(1)
    alphabets = ["aab ", "0. ", "Haeusrß  -", "abcde…\u00a0\u200b\u202f世界😀é’Ａ½ﬁ▁\t\n\u2028\x00 "]
    return ["".join(draw.choice(draw.choice(alphabets)) for _ in range(draw.randrange(30))) for _ in range(count)]


@pytest.fixture(scope="module")
def tokenizers():
    return {kind: train_tokenizer(made_up_text(), 420, kind, languages=["de", "pt_BR"]) for kind in ("unigram", "bpe")}


def differences(model, tokenizer, texts):
    """Texts whose ids or decoded text are not those of SentencePiece."""
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    ids, expected = tokenizer(texts, add_special_tokens=False)["input_ids"], processor.encode(texts)
    unknown = (line.replace(" ⁇ ", "<unk>") for line in processor.decode(expected))
    decoded = zip(tokenizer.batch_decode(expected), unknown)
    return [text for text, one, other, (a, b) in zip(texts, ids, expected, decoded) if one != other or a != b]


# Equal to SentencePiece


@KINDS
@pytest.mark.parametrize("settings", [{}, {"byte_fallback": False}])
def test_the_fast_tokenizer_equals_sentencepiece(kind, settings):
    model = train_sentencepiece(made_up_text(), 420 if settings.get("byte_fallback", True) else 160, kind, **settings)
    lines = [*made_up_text(), *UNSEEN, *random_lines(), "", " "]
    assert differences(model, to_fast(model), lines) == []


@KINDS
@pytest.mark.slow
def test_every_line_of_the_real_multi30k(real_data, kind):
    """93,042 lines in three languages, of which the vocabulary saw the training lines of two."""
    if real_data is None or not (real_data / "multi30k").is_dir():
        pytest.skip("needs Multi30k: set ZOO_DATA to a folder that holds multi30k/ (docs/guides/text_data.md)")
    splits = load_named_pairs("multi30k", "en", "de")
    french = load_named_pairs("multi30k", "en", "fr")
    model = train_sentencepiece([*splits["train"].source, *splits["train"].target], 10_000, kind)
    tokenizer = to_fast(model)
    lines = [line for text in splits.values() for line in (*text.source, *text.target)]
    lines += [line for text in french.values() for line in text.target]
    assert len(lines) == 3 * 31_014
    assert differences(model, tokenizer, lines) == []
    assert text_fit(tokenizer, splits["test"].target).unknown_share == 0


def test_equal_scores_do_not_depend_on_rounding():
    """0|00 and 00|0 have one score, and a sum in 32 bits would choose by what stands before them in the line."""
    texts = [f"{word}{zeros}" for word in made_up_text(200) for zeros in (" 0", " 00", "")]
    model = train_sentencepiece(texts, 420)
    lines = [f"{line} 1{'0' * length}" for line in made_up_text(100) for length in range(3, 8)]
    assert differences(model, to_fast(model), lines) == []
    scores = read_model(model).scores
    assert all(score * 1024 == round(score * 1024) for score in scores) and len(set(scores)) > 50


@KINDS
def test_training_again_gives_the_same(kind, tokenizers):
    again = train_tokenizer(made_up_text(), 420, kind, languages=["de", "pt_BR"])
    assert again.backend_tokenizer.to_str() == tokenizers[kind].backend_tokenizer.to_str()


# What it does


@KINDS
@pytest.mark.parametrize("text", [text for text in UNSEEN if "\t" not in text and "▁" not in text])
def test_characters_that_were_never_seen_come_back(kind, text, tokenizers):
    ids = tokenizers[kind](text)["input_ids"]
    assert tokenizers[kind].unk_token_id not in ids
    assert tokenizers[kind].decode(ids, skip_special_tokens=True) == text


@KINDS
def test_special_ids_ends_and_targets(kind, tokenizers):
    tokenizer = tokenizers[kind]
    ids = [getattr(tokenizer, f"{name}_token_id") for name in ("pad", "unk", "bos", "eos")]
    assert ids == [0, 1, 2, 3] and len(tokenizer) == tokenizer.vocab_size == 420
    batch = tokenizer(["Hund", "Hund läuft, Katze"], text_target=["Katze", "Hund"], padding=True, return_tensors="pt")
    assert batch["input_ids"][0, -1] == 0 and batch["attention_mask"][0, -1] == 0
    assert batch["input_ids"][1, -1] == 3 and set(batch) == {"input_ids", "attention_mask", "labels"}
    assert batch["labels"][1].tolist()[: len(tokenizer("Hund")["input_ids"])] == tokenizer("Hund")["input_ids"]


@KINDS
def test_tags_and_special_tokens_are_never_split(kind, tokenizers):
    tokenizer = tokenizers[kind]
    assert language_ids(tokenizer) == {"de": 4, "pt_BR": 5}
    ids = tokenizer(">>pt_BR<< Hund läuft")["input_ids"]
    assert ids == [5, *tokenizer("Hund läuft")["input_ids"]]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "Hund läuft"
    mask = train_tokenizer(made_up_text(), 420, kind, special_tokens=["<mask>"])
    assert mask("Hund <mask> Katze")["input_ids"].count(mask.convert_tokens_to_ids("<mask>")) == 1
    assert "<mask>" in mask.all_special_tokens
    assert 5 not in tokenizer("pt_BR >> pt_BR <<")["input_ids"]
    with pytest.raises(ValueError, match="is not a language code"):
        language_tag("de utsch")


def test_it_loads_without_this_library(tokenizers, tmp_path):
    """Beside the config of a family, too: the loader must not need to know it."""
    texts = [">>de<< Hund läuft 😀", "Häuser, 北京"]
    for kind, tokenizer in tokenizers.items():
        tokenizer.save_pretrained(tmp_path / kind)
        (tmp_path / kind / "config.json").write_text(json.dumps({"model_type": "some_new_family"}))
        again = AutoTokenizer.from_pretrained(tmp_path / kind)
        assert again.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()
        assert language_ids(again) == {"de": 4, "pt_BR": 5} and sentencepiece_type(again) == kind
    code = """if True:
        import json, sys
        from transformers import AutoTokenizer
        for folder in sys.argv[1:3]:
            tokenizer = AutoTokenizer.from_pretrained(folder)
            ids = tokenizer(sys.argv[3:])["input_ids"]
            decoded = tokenizer.batch_decode(ids, skip_special_tokens=True)
            print(json.dumps([ids, decoded, tokenizer.all_special_tokens, tokenizer.is_fast, "zoo" in sys.modules]))
    """
    command = [sys.executable, "-W", "error", "-c", code, *(str(tmp_path / kind) for kind in tokenizers), *texts]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    for line, tokenizer in zip(run.stdout.splitlines(), tokenizers.values(), strict=True):
        ids, decoded, special, is_fast, knows_zoo = json.loads(line)
        assert ids == tokenizer(texts)["input_ids"] and decoded == ["Hund läuft 😀", "Häuser, 北京"]
        assert special == ["<s>", "</s>", "<unk>", "<pad>", ">>de<<", ">>pt_BR<<"] and is_fast and not knows_zoo


# How it fits


@KINDS
def test_how_a_vocabulary_fits_a_text(kind, tokenizers):
    own, foreign = (
        text_fit(tokenizers[kind], texts) for texts in (made_up_text(50), ["Привет мир", "你好，世界"] * 5)
    )
    assert own.byte_share == own.unknown_share == 0 and foreign.byte_share > 0.7
    assert own.words == 200 and foreign.words == 15 and foreign.characters == 70
    assert foreign.tokens_per_word > 2 * own.tokens_per_word > 2
    assert foreign.characters_per_token < own.characters_per_token
    assert text_fit(tokenizers[kind], []).tokens_per_word == 0
    plain = train_tokenizer(made_up_text(), 160, kind, byte_fallback=False)
    assert text_fit(plain, ["Hund 😀"]).unknown_share > 0


def test_which_tokenizers_are_sentencepiece(tokenizers):
    assert {kind: sentencepiece_type(tokenizer) for kind, tokenizer in tokenizers.items()} == {
        "unigram": "unigram", "bpe": "bpe",
    }  # fmt: skip
    from tokenizers import Tokenizer, models, pre_tokenizers

    byte_level = Tokenizer(models.BPE({"a": 0, "Ġ": 1}, []))
    byte_level.pre_tokenizer = pre_tokenizers.ByteLevel()
    wordpiece = Tokenizer(models.WordPiece({"a": 0, "[UNK]": 1}))
    for other in (byte_level, wordpiece):
        assert sentencepiece_type(transformers.PreTrainedTokenizerFast(tokenizer_object=other)) is None
    assert sentencepiece_type(object()) is None


# What is wrong


@KINDS
def test_a_text_that_is_too_small(kind):
    texts = [f"ein kleiner Satz {number}" for number in range(50)]
    with pytest.raises(VocabularySizeError, match="too small for vocab_size=10000: it gives [0-9]+ tokens") as caught:
        train_tokenizer(texts, 10_000, kind)
    assert len(train_tokenizer(texts, caught.value.limit, kind)) == caught.value.limit
    with pytest.raises(VocabularySizeError, match="vocab_size=100 does not hold the characters") as caught:
        train_tokenizer(texts, 100, kind)
    assert caught.value.limit > 256


@KINDS
def test_many_rare_characters_are_no_obstacle(kind):
    """Little Chinese, say: most characters occur once, and SentencePiece wants 98% of a text to be pieces."""
    texts = ["的" + "".join(chr(0x4E00 + 7 * row + column) for column in range(7)) for row in range(30)]
    tokenizer = train_tokenizer(texts, 467, kind)
    assert len(tokenizer) == 467
    assert tokenizer.decode(tokenizer(texts[3])["input_ids"], skip_special_tokens=True) == texts[3]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"texts": ["", " "]}, "no text to train a tokenizer on"),
        ({"model_type": "wordpiece"}, "model_type='wordpiece': expected one of unigram, bpe"),
        ({"special_tokens": ["<s>"]}, "special token '<s>' is given twice"),
        ({"languages": ["de", "de"]}, "special token '>>de<<' is given twice"),
    ],
)
def test_arguments_that_make_no_sense(arguments, message):
    with pytest.raises(ValueError, match=message):
        train_tokenizer(**{"texts": made_up_text(50), "vocab_size": 300, **arguments})
