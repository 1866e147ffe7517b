"""Whether a model underfits or overfits: the verdict, its rule and numbers, and the learning curves."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.plotting import drawing

SMALL_GAP = 0.4  # of the gap
RISE = 0.05


def diagnose(
    metrics: Mapping[str, Mapping[str, float]],
    baselines: Mapping[str, float],
    history: Sequence[Mapping[str, Any]],
    metric: str,
    greater_is_better: bool,
    skill: float,
    gap: float,
    best: float,
) -> dict[str, Any]:
    """The verdict on one run.

    Args:
        metrics: Split -> metric -> value with the final weights, the training split without augmentation.
        baselines: Split -> the metric of a baseline. Splits may differ in difficulty (the future is not the past):
            each error is compared with the baseline's on its own split.
        history: The Trainer's log; `eval_loss` of each evaluation is used.
        metric: Name of the primary metric.
        greater_is_better: Whether a higher value is better.
        skill: Share of the baseline's error that a fitted model removes from the training rows.
        gap: Share of the baseline's error by which validation may be worse than training.
        best: The highest possible value of a metric where higher is better.
    """

    def error(value: float) -> float:
        return best - value if greater_is_better else value

    values = {split: float(split_metrics[metric]) for split, split_metrics in metrics.items()}
    train, validation = (
        error(values[split]) / max(error(baselines[split]), 1e-12) for split in ("train", "validation")
    )
    measured_gap = validation - train
    losses = [entry["eval_loss"] for entry in history if "eval_loss" in entry]
    rise = losses[-1] / min(losses) - 1 if losses and min(losses) > 0 else 0.0
    # A model that the baseline beats on the training rows has learnt nothing that could be too special.
    if train < 1 and (measured_gap > gap or (measured_gap > SMALL_GAP * gap and rise > RISE)):
        verdict = "overfit"
    elif train > 1 - skill:
        verdict = "underfit"
    else:
        verdict = "good fit"
    return {
        "verdict": verdict,
        "metric": metric,
        **values,
        "baseline": float(baselines["validation"]),
        "train_error_of_baseline": train,
        "gap_of_baseline": measured_gap,
        "validation_loss_rise": rise,
        "rule": (
            f"error = {best:g} - metric where higher is better, else the metric, in units of the baseline's error on "
            f"the same split. overfit: training error below 100%, and validation minus training error above {gap:.0%} "
            f"or above {SMALL_GAP * gap:.0%} while the validation loss ended more than {RISE:.0%} above its lowest "
            f"point. Else underfit: training error above {1 - skill:.0%}. Otherwise good fit."
        ),
    }


def describe_fit(fit: Mapping[str, Any]) -> str:
    """The verdict in two lines."""
    values = ", ".join(f"{split} {fit[split]:.4f}" for split in ("train", "validation", "test") if split in fit)
    return (
        f"fit: {fit['verdict']} ({fit['metric']}: {values}; gap {fit['gap_of_baseline']:.1%} of the baseline's "
        f"error, validation loss ended {fit['validation_loss_rise']:.1%} above its lowest)"
    )


def describe_better_baseline(
    metric: str, value: float, baselines: Mapping[str, Mapping[str, float]], greater_is_better: bool
) -> str:
    """A line that warns if a baseline is better than the model; empty if none is.

    Args:
        metric: The primary metric.
        value: The model's, on the split that the baselines were measured on.
        baselines: Name -> metrics.
        greater_is_better: Whether the metric is.
    """
    sign = 1 if greater_is_better else -1
    rows = [(sign * values[metric], name) for name, values in baselines.items() if metric in values]
    best, name = max(rows, default=(sign * value, ""))
    if best <= sign * value:
        return ""
    return (
        f"warning: the baseline {name.replace('_', ' ')} is better ({metric} {abs(best):.4f}, the model {value:.4f}): "
        "train longer (--num_train_epochs), on more data, or change the model"
    )


def draw_learning_curves(history: Sequence[Mapping[str, Any]], metric: str, path: Path) -> None:
    """Training and validation loss, and the validation metric, by epoch."""
    with drawing(path, 1, 2, figsize=(10, 4)) as (_, (left, right)):
        for key, label in (("loss", "training (as optimised)"), ("eval_loss", "validation")):
            points = [(entry["epoch"], entry[key]) for entry in history if key in entry]
            left.plot(*zip(*points), label=label, marker="." if len(points) < 40 else None) if points else None
        left.set(xlabel="epoch", ylabel="loss", title="Loss")
        if left.lines:
            left.legend()
        points = [(entry["epoch"], entry[f"eval_{metric}"]) for entry in history if f"eval_{metric}" in entry]
        if points:
            right.plot(*zip(*points), marker="." if len(points) < 40 else None, color="tab:orange")
            best = max if points[-1][1] >= points[0][1] else min
            right.set_title(
                f"Validation {metric}: best {best(value for _, value in points):.4f}, last {points[-1][1]:.4f}"
            )
        right.set(xlabel="epoch", ylabel=metric)
        for axes in (left, right):
            axes.xaxis.get_major_locator().set_params(integer=True)


__all__ = ["describe_better_baseline", "describe_fit", "diagnose", "draw_learning_curves"]
