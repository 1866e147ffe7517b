"""ROUGE by hand, and baselines."""

import numpy as np
import pytest

from zoo.tasks.summarization.metrics import name_metrics, names, rouge_scores, summarization_metrics
from zoo.tasks.text.baselines import lead, nearest


def test_rouge_by_hand():
    metrics = summarization_metrics(["the red dog runs"], ["the dog runs away now"], intervals=True)
    precision, recall = 3 / 4, 3 / 5  # the, dog, runs
    assert metrics["rouge1"] == pytest.approx(200 * precision * recall / (precision + recall))
    assert metrics["rougeL"] == pytest.approx(metrics["rouge1"])
    precision, recall = 1 / 3, 1 / 4  # dog runs
    assert metrics["rouge2"] == pytest.approx(200 * precision * recall / (precision + recall))
    assert metrics["length_ratio"] == pytest.approx(4 / 5)


def test_english_stems_are_equal():
    assert rouge_scores(["running dogs"], ["run dog"])["rouge1"] == pytest.approx([100])
    with pytest.raises(ValueError, match="as many summaries as references"):
        summarization_metrics([], [])


def test_names():
    assert names("Tools for GNOME and libfoo2. These read PDF/A files of X.org, e-mail or C++.") == {
        "GNOME", "libfoo2", "PDF", "A", "X.org", "C++",
    }  # fmt: skip
    assert names("Python bindings") == set() and names("GNOME bindings") == {"GNOME"}


def test_names_that_are_copied_rightly():
    sources = ["A viewer of FITS images for GNOME", "A game"]
    metrics = name_metrics(
        ["a FITS viewer for Gnomeo", "a game"], ["the GNOME viewer of FITS by NASA", "a game"], sources
    )
    assert metrics == {"name_recall": 50.0, "name_precision": 50.0}  # NASA is not in the text
    assert name_metrics(["a game"], ["a game"], ["A game"]) == {}
    measured = summarization_metrics(["a FITS viewer"], ["FITS viewer"], intervals=True, sources=["shows FITS"])
    assert measured["name_precision"] == 100.0


def test_training_and_record_measure_the_same_and_intervals_hold_the_mean():
    random = np.random.default_rng(0)
    texts = [" ".join(random.choice(list("abcdefgh"), 6)) for _ in range(100)]
    quick, final = (summarization_metrics(texts, texts[::-1], intervals) for intervals in (False, True))
    assert set(quick) == {"rouge1", "rouge2", "rougeL"} and quick.items() <= final.items() and final["n"] == 100
    for name in quick:
        assert final[f"{name}_low"] < final[name] < final[f"{name}_high"]


def test_baselines():
    assert lead(["a b c d", "e"], 2) == ["a b", "e"]
    train = ["a tool to read log files", "a game about cats", "fonts for the Greek language"]
    queries = ["game with cats", "it reads log files", "Greek fonts"]
    assert nearest(train, queries).tolist() == [1, 0, 2]
    # A text is not its own neighbour.
    own = nearest(train, train, np.arange(3))
    assert all(own[row] != row for row in range(3))
    assert nearest(["!", "?"], ["."]).tolist() == [0]
