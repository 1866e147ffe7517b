"""Translation metrics against hand-made counts, and Moses' tokens."""

from pathlib import Path

import evaluate
import numpy as np
import pytest

from zoo.tasks.translation import metrics
from zoo.tasks.translation.metrics import TranslationMetric, bootstrap, sentence_counts, translation_metrics
from zoo.tasks.translation.moses import moses_tokens


def test_bleu_by_hand():
    """4 of 5, 3 of 4, 2 of 3 and 1 of 2 matches; equal length."""
    found = translation_metrics(["a b c d e"], ["a b c d f"])
    expected = 100 * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25
    for name in ("bleu", "bleu_13a_lowercase", "bleu_moses_lowercase"):
        assert found[name] == pytest.approx(expected)
    assert found["length_ratio"] == 1 and found["n"] == 1


def test_short_translations_pay_the_brevity_penalty():
    found = translation_metrics(["a b c d"], ["a b c d e f"])
    assert found["bleu"] == pytest.approx(100 * np.exp(1 - 6 / 4))


def test_the_three_numbers_differ_as_they_should():
    cased = translation_metrics(["THE DOG RUNS FAST."], ["the dog runs fast."])
    assert cased["bleu"] < 50 < cased["bleu_13a_lowercase"] == pytest.approx(100)
    # A full stop in the middle: Moses leaves it at its word, 13a does not.
    text, reference = "a man runs. he is tall now", "a man runs . he is tall now"
    split = translation_metrics([text], [reference])
    assert split["bleu"] == pytest.approx(100) and split["bleu_moses_lowercase"] < 60


def test_no_match_of_four_is_zero_for_moses_as_for_multi_bleu():
    found = translation_metrics(["a b c d"], ["a b c e"])
    assert found["bleu_moses_lowercase"] == 0 and found["bleu"] > 0  # sacrebleu smooths


def test_sums_of_sentence_counts_are_the_corpus():
    texts, references = ["a b c d e f", "x y z w v", "q r s t"], ["a b c d f e", "x y z w u", "q r s t u"]
    counts = sentence_counts("bleu", texts, references)
    corpus = translation_metrics(texts, references)
    assert metrics.bleu_of(counts.sum(0), "exp") == pytest.approx(corpus["bleu"])
    low, high = bootstrap(counts, "exp")
    assert low <= corpus["bleu"] <= high and (low, high) == bootstrap(counts, "exp")


@pytest.mark.parametrize(("texts", "references"), [([], []), (["a"], ["a", "b"])])
def test_what_cannot_be_scored_is_said(texts, references):
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
        ("the 1990's 'best' one", "en", "the 1990 's ' best ' one"),
        ("a_b & c@d", "en", "a _ b & c @ d"),
    ],
)
def test_moses_tokens(text, language, tokens):
    assert moses_tokens(text, language) == tokens


def test_the_module_works_through_evaluate():
    texts, references = ["a b c d e", "f g h i j"], ["a b c d f", "f g h i j"]
    expected = TranslationMetric().compute(predictions=texts, references=references)
    loaded = evaluate.load(str(Path(metrics.__file__)))
    assert loaded.compute(predictions=texts, references=references) == expected
    assert "case:mixed" in expected["signatures"]["bleu"] and "case:lc" in expected["signatures"]["bleu_13a_lowercase"]
