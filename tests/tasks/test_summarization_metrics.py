"""ROUGE by hand, and through evaluate."""

from pathlib import Path

import evaluate
import numpy as np
import pytest

from zoo.tasks.summarization import metrics
from zoo.tasks.summarization.metrics import SummarizationMetric, rouge_scores, summarization_metrics
from zoo.tasks.text.baselines import lead, nearest


def test_rouge_by_hand():
    found = summarization_metrics(["the red dog runs"], ["the dog runs away now"])
    precision, recall = 3 / 4, 3 / 5  # the, dog, runs
    assert found["rouge1"] == pytest.approx(200 * precision * recall / (precision + recall))
    assert found["rougeL"] == pytest.approx(found["rouge1"])
    precision, recall = 1 / 3, 1 / 4  # dog runs
    assert found["rouge2"] == pytest.approx(200 * precision * recall / (precision + recall))
    assert found["length_ratio"] == pytest.approx(4 / 5)


def test_english_stems_are_equal_unless_they_shall_not_be():
    assert rouge_scores(["running dogs"], ["run dog"])["rouge1"] == pytest.approx([100])
    assert rouge_scores(["running dogs"], ["run dog"], use_stemmer=False)["rouge1"] == pytest.approx([0])


def test_intervals_hold_the_mean():
    random = np.random.default_rng(0)
    texts = [" ".join(random.choice(list("abcdefgh"), 6)) for _ in range(100)]
    found = summarization_metrics(texts, texts[::-1])
    for name in ("rouge1", "rouge2", "rougeL"):
        assert found[f"{name}_low"] < found[name] < found[f"{name}_high"]


def test_nothing_to_score_is_an_error():
    with pytest.raises(ValueError, match="as many summaries as references"):
        summarization_metrics([], [])


def test_the_module_works_through_evaluate():
    texts, references = ["the red dog runs"], ["the dog runs away now"]
    expected = SummarizationMetric().compute(predictions=texts, references=references)
    assert evaluate.load(str(Path(metrics.__file__))).compute(predictions=texts, references=references) == expected


def test_baselines():
    assert lead(["a b c d", "e"], 2) == ["a b", "e"]
    train = ["a tool to read log files", "a game about cats", "fonts for the Greek language"]
    queries = ["game with cats", "it reads log files", "Greek fonts"]
    assert nearest(train, queries).tolist() == [1, 0, 2]
    # A text is not its own neighbour.
    own = nearest(train, train, np.arange(3))
    assert all(own[row] != row for row in range(3))
    assert nearest(["!", "?"], ["."]).tolist() == [0]
