"""Translation metrics against hand-made counts and against sacrebleu, and Moses' tokens."""

import numpy as np
import pytest
from sacrebleu.metrics import BLEU

from zoo.tasks.translation.metrics import (
    bleu_of,
    bootstrap,
    moses_tokens,
    sentence_counts,
    signatures,
    translation_metrics,
)


def test_bleu_by_hand():
    """4 of 5, 3 of 4, 2 of 3 and 1 of 2 matches; equal length."""
    metrics = translation_metrics(["a b c d e"], ["a b c d f"])
    expected = 100 * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25
    for name in ("bleu", "bleu_13a_lowercase", "bleu_moses_lowercase"):
        assert metrics[name] == pytest.approx(expected)
    assert metrics["length_ratio"] == 1 and metrics["n"] == 1
    assert translation_metrics(["a b c d"], ["a b c d e f"])["bleu"] == pytest.approx(100 * np.exp(1 - 6 / 4))


def test_the_three_numbers_differ_as_they_should():
    cased = translation_metrics(["THE DOG RUNS FAST."], ["the dog runs fast."])
    assert cased["bleu"] < 50 < cased["bleu_13a_lowercase"] == pytest.approx(100)
    # A full stop in the middle: Moses keeps it at its word, 13a does not.
    text, reference = "a man runs. he is tall now", "a man runs . he is tall now"
    split = translation_metrics([text], [reference])
    assert split["bleu"] == pytest.approx(100) and split["bleu_moses_lowercase"] < 60
    # No match of four: multi-bleu gives zero, sacrebleu smooths.
    short = translation_metrics(["a b c d"], ["a b c e"])
    assert short["bleu_moses_lowercase"] == 0 and short["bleu"] > 0


def test_sums_of_sentence_counts_are_the_corpus():
    texts, references = ["a b c d e f", "x y z w v", "q r s t"], ["a b c d f e", "x y z w u", "q r s t u"]
    counts = sentence_counts("bleu", texts, references)
    corpus = translation_metrics(texts, references, intervals=True)
    assert bleu_of(counts.sum(0)) == pytest.approx(corpus["bleu"])
    low, high = bootstrap(counts, "exp")
    assert (corpus["bleu_low"], corpus["bleu_high"]) == (low, high) and low <= corpus["bleu"] <= high


def test_the_interval_is_about_that_of_sacrebleu():
    draw = np.random.default_rng(0)
    references = [" ".join(draw.choice(list("abcdefgh"), 9)) for _ in range(60)]
    texts = [text.replace(draw.choice(list("abcdefgh")), "x") for text in references]
    metrics = translation_metrics(texts, references, names=("bleu",), intervals=True)
    score = BLEU().corpus_score(texts, [references], n_bootstrap=1000)
    assert metrics["bleu_low"] == pytest.approx(score._mean - score._ci, abs=1)
    assert metrics["bleu_high"] == pytest.approx(score._mean + score._ci, abs=1)


@pytest.mark.parametrize(("texts", "references"), [([], []), (["a"], ["a", "b"])])
def test_what_cannot_be_scored_is_an_error(texts, references):
    with pytest.raises(ValueError, match="expected as many translations as references"):
        translation_metrics(texts, references)


@pytest.mark.parametrize(
    ("text", "language", "tokens"),
    [
        ("The dog's tail, it's red.", "en", "the dog 's tail , it 's red ."),
        ("L'eau est froide.", "fr", "l' eau est froide ."),
        ("Das ist Peter's Haus.", "de", "das ist peter ' s haus ."),
        ("A man. he runs (fast)!", "en", "a man. he runs ( fast ) !"),
        ("Two-year-old in U.S. at 3,000 or 1,5.", "en", "two-year-old in u.s. at 3,000 or 1,5 ."),
        ("„Halt“, rief er…", "de", '" halt " , rief er ...'),
        ("wait... what?", "en", "wait ... what ?"),
        ("a & b <c>", "en", "a & b < c >"),
    ],
)
def test_moses_tokens(text, language, tokens):
    assert moses_tokens(text, language) == tokens


@pytest.mark.parametrize(
    ("language", "reference", "text"),
    [
        ("ja", "男の子が公園で犬と遊んでいます。", "男の子が公園で猫と遊んでいます。"),
        ("zh", "一个男孩在公园里。", "一个女孩在公园里。"),
    ],
)
def test_languages_without_spaces_are_not_one_token(language, reference, text):
    as_english, metrics = (translation_metrics([text], [reference], name, intervals=True) for name in ("en", language))
    assert as_english["bleu"] < 35 < metrics["bleu"] < 100
    assert metrics["bleu_low"] == pytest.approx(metrics["bleu"])  # of one sentence
    assert "tok:13a" not in signatures(language)["bleu"]


def test_signatures():
    assert "case:mixed" in signatures()["bleu"] and "case:lc" in signatures()["bleu_13a_lowercase"]
    assert signatures()["bleu_moses_lowercase"].endswith("on lower-cased Moses tokens")
