"""The verdict on a fit, and the learning curves."""

import pytest

from zoo.training.fit import describe_better_baseline, describe_fit, diagnose, draw_learning_curves
from zoo.training.run import baseline_value


def verdict(train, validation, losses=(1.0, 0.5), baseline=0.1, metric="accuracy", greater=True):
    history = [{"eval_loss": loss, "epoch": epoch} for epoch, loss in enumerate(losses)]
    metrics = {"train": {metric: train}, "validation": {metric: validation}}
    baselines = dict.fromkeys(metrics, baseline)
    return diagnose(metrics, baselines, history, metric, greater, skill=0.8, gap=0.05, best=1.0)


@pytest.mark.parametrize(
    ("train", "validation", "losses", "expected"),
    [
        (0.97, 0.95, (1.0, 0.5), "good fit"),
        (0.60, 0.60, (1.0, 0.9), "underfit"),
        (1.00, 0.90, (1.0, 0.5), "overfit"),  # the gap alone
        (0.99, 0.96, (0.5, 0.6), "overfit"),  # a smaller gap, and the validation loss turned up
        (0.99, 0.96, (0.6, 0.5), "good fit"),
        (0.95, 0.96, (0.5, 0.6), "good fit"),  # the loss rose, but there is no gap
    ],
)
def test_verdicts_of_accuracies(train, validation, losses, expected):
    fit = verdict(train, validation, losses)
    assert fit["verdict"] == expected
    assert expected in describe_fit(fit)


def test_errors_are_read_the_other_way_round():
    assert verdict(0.02, 0.03, baseline=1.0, metric="mse", greater=False)["verdict"] == "good fit"
    assert verdict(0.5, 0.5, baseline=1.0, metric="mse", greater=False)["verdict"] == "underfit"
    assert verdict(3.0, 3.5, baseline=1.0, metric="mse", greater=False)["verdict"] == "underfit"  # a gap means nothing
    assert verdict(0.02, 0.2, baseline=1.0, metric="mse", greater=False)["verdict"] == "overfit"


def test_the_verdict_comes_with_its_numbers():
    fit = verdict(0.99, 0.96, (0.5, 0.6))
    assert fit["gap_of_baseline"] == pytest.approx(0.03 / 0.9)
    assert fit["validation_loss_rise"] == pytest.approx(0.2)
    assert "5%" in fit["rule"]


@pytest.mark.parametrize("history", [[], [{"epoch": 1.0, "loss": 2.0, "eval_loss": 1.0, "eval_accuracy": 0.5}]])
def test_learning_curves_of_any_history(history, tmp_path):
    draw_learning_curves(history, "accuracy", tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_task_without_a_baseline_of_the_metric_is_an_error():
    assert baseline_value({"first": {"nll": 2.0}, "second": {"bleu": 1.0}}, "bleu") == 1.0
    with pytest.raises(ValueError, match="has no bleu"):
        baseline_value({"first": {"nll": 2.0}}, "bleu")


def test_a_better_baseline_is_a_warning():
    baselines = {"naive": {"mae": 9.0}, "seasonal_naive": {"mae": 3.0, "mse": 1.0}}
    text = describe_better_baseline("mae", 10.0, baselines, greater_is_better=False)
    assert text.startswith("warning: the baseline seasonal naive is better (mae 3.0000, the model 10.0000)")
    assert describe_better_baseline("mae", 2.0, baselines, greater_is_better=False) == ""
    assert "naive" in describe_better_baseline("mae", 8.0, baselines, greater_is_better=True)
    assert describe_better_baseline("crps", 8.0, baselines, greater_is_better=True) == ""
