"""Pictures of a search: the metric over time by trial, what matters, and each trial's point."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .log import Trial, ranked
from .report import comparable, place_of
from .study import plain


def _plot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def draw_history(trials: Sequence[Trial], metric: str, greater_is_better: bool, path: Path) -> None:
    """Scores by epoch, and by the search's clock with the best so far."""
    plt = _plot()
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained", sharey=True)
    order = ranked(list(trials), greater_is_better)
    best = order[0] if order else None
    points = []
    for trial in trials:
        epochs = sorted(trial.epochs)
        scores = [trial.epochs[epoch]["score"] for epoch in epochs]
        mine = trial is best
        style = {"color": "tab:red" if mine else "tab:blue", "alpha": 1 if mine else 0.35, "zorder": 3 if mine else 1}
        left.plot(epochs, scores, ".-", linewidth=2 if mine else 1, **style)
        if trial.status == "failed" and epochs:
            left.plot(epochs[-1], scores[-1], "kx")
        points += [(trial.epochs[epoch]["time"], trial.epochs[epoch]["score"]) for epoch in epochs]
    points.sort()
    if points:
        pick, so_far, line = max if greater_is_better else min, points[0][1], []
        for _, score in points:
            so_far = pick(so_far, score)
            line.append(so_far)
        minutes = [(when - points[0][0]) / 60 for when, _ in points]
        right.plot(minutes, [score for _, score in points], ".", alpha=0.4)
        right.step(minutes, line, where="post", color="tab:red", label="best so far")
        right.legend()
    left.set(xlabel="epoch", ylabel=f"validation {metric}", title="By trial (red: the best, x: failed)")
    right.set(xlabel="minutes since the first result", title="By the clock")
    left.xaxis.get_major_locator().set_params(integer=True)
    shown, outside = _range([[row["score"] for row in trial.epochs.values()] for trial in trials], greater_is_better)
    if outside:
        left.set_ylim(*shown)
        figure.supxlabel(f"{outside} of {len(points)} scores lie outside", fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_importance(shares: Mapping[str, float], path: Path) -> None:
    """A bar for each field."""
    plt = _plot()
    figure, axes = plt.subplots(figsize=(7, 1 + 0.35 * max(len(shares), 2)), layout="constrained")
    if shares:
        axes.barh(list(shares)[::-1], list(shares.values())[::-1])
        axes.set(xlabel="share of the importance (permutation, random forest)", xlim=(0, 1))
    else:
        axes.text(0.5, 0.5, "Fewer than eight comparable trials", ha="center", va="center")
        axes.set_axis_off()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_parallel(
    trials: Sequence[Trial], names: Sequence[str], metric: str, greater_is_better: bool, path: Path
) -> None:
    """A line for each trial through its values, coloured by its score at an epoch that all trials reached."""
    plt = _plot()
    rows = comparable(trials)
    figure, axes = plt.subplots(figsize=(max(6, 1.5 * (len(names) + 1)), 4.5), layout="constrained")
    if rows:
        columns = [[place_of(name, trial, [one for one, _ in rows]) for trial, _ in rows] for name in names]
        columns.append([score for _, score in rows])
        scaled = [_unit(column) for column in columns]
        colours = plt.get_cmap("viridis" if greater_is_better else "viridis_r")
        for place in sorted(range(len(rows)), key=lambda place: scaled[-1][place] * (1 if greater_is_better else -1)):
            line = [column[place] for column in scaled]
            axes.plot(range(len(line)), line, color=colours(scaled[-1][place]), alpha=0.7)
        for place, column in enumerate(columns):
            axes.axvline(place, color="lightgray", zorder=0)
            for label, height in _ends(names[place] if place < len(names) else "", column, rows):
                axes.annotate(
                    label,
                    (place, height),
                    fontsize=7,
                    ha="left",
                    va="center",
                    xytext=(3, 0),
                    textcoords="offset points",
                )
        labels = [*(name.partition(".")[2] for name in names), metric]
        axes.set_xticks(range(len(labels)), labels, rotation=20, ha="right", fontsize=8)
    axes.set_yticks([])
    axes.margins(x=0.1)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _range(trials: Sequence[Sequence[float]], greater_is_better: bool) -> tuple[tuple[float, float], int]:
    """(ends of an axis for the scores of trials, how many lie outside): one that diverges does not flatten all others.

    All scores of a trial are shown, unless the best of them is far worse than those of the others.
    """
    sign = 1 if greater_is_better else -1
    scores = [[sign * score for score in trial] for trial in trials if trial]
    if not scores:
        return (0.0, 1.0), 0
    best = [max(trial) for trial in scores]
    low, middle, high = np.percentile(best, [25, 50, 75])
    worst = middle - 4 * ((high - low) or abs(middle))
    near = [score for trial in scores if max(trial) >= worst for score in trial]
    margin = 0.05 * (max(near) - min(near))
    ends = sorted((sign * (min(near) - margin), sign * (max(near) + margin)))
    outside = sum(score < min(near) for trial in scores for score in trial)
    return (ends[0], ends[1]), outside


def _unit(column: Sequence[float]) -> list[float]:
    low, high = min(column), max(column)
    return [(value - low) / (high - low) if high > low else 0.5 for value in column]


def _ends(name: str, column: Sequence[float], rows: Sequence[tuple[Trial, float]]) -> list[tuple[str, float]]:
    """The labels of an axis: every choice, or the two ends of a range."""
    heights = _unit(column)
    values = [plain(trial.point[name]) if name in trial.point else "-" for trial, _ in rows] if name else None
    if values is not None and len(set(values)) <= 5:
        return sorted({label: height for label, height in zip(values, heights)}.items())
    shown = values or [f"{value:.4g}" for value in column]
    pairs = sorted(zip(heights, shown))
    return [(pairs[0][1], pairs[0][0]), (pairs[-1][1], pairs[-1][0])]


__all__ = ["draw_history", "draw_importance", "draw_parallel"]
