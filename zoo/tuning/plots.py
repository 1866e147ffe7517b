"""Plots of searches and studies."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from zoo.plotting import drawing

from .importance import as_number, comparable
from .log import Trial, ranked
from .overrides import plain
from .settings import Objective
from .study import BASE
from .table import Row, compared_split


def draw_study(rows: Sequence[Row], metric: str, title: str, path: Path) -> bool:
    """Every seed, the means with their intervals, and the gap between training and validation.

    Returns:
        False if no run is finished.
    """
    split = compared_split(rows)
    rows = [row for row in rows if row.values(split)]
    if not rows:
        return False
    size = (11, 1.6 + 0.32 * len(rows))
    with drawing(path, 1, 2, figsize=size, sharey=True, width_ratios=[3, 2]) as (figure, (left, right)):
        colours = {"better": "tab:green", "worse": "tab:red"}
        for place, row in enumerate(rows):
            statistics, values = row.statistics[split], row.values(split)
            colour = colours.get(row.against_base.get("says", ""), "black" if row.name == BASE else "tab:gray")
            left.plot(values, [place] * len(values), ".", color=colour, alpha=0.5)
            mean = statistics["mean"]
            error = [[mean - statistics["low"]], [statistics["high"] - mean]] if "low" in statistics else None
            left.errorbar(mean, place, xerr=error, fmt="D", color=colour, markersize=5, capsize=3)
            ends = [row.mean("train"), row.mean("validation")]
            right.plot(ends, [place, place], "-", color="lightgray", zorder=1)
            for end, shape, colour in zip(ends, ("o", "s"), ("tab:blue", "tab:orange")):
                right.scatter(end, place, marker=shape, color=colour, zorder=2)
        if rows[0].name == BASE:  # it may not be finished
            left.axvline(rows[0].statistics[split]["mean"], color="black", linewidth=0.8, linestyle=":")
        # The values set the scale: an interval over two seeds can be wider than everything else.
        shown = [value for row in rows for value in row.values(split)]
        margin = 0.25 * (max(shown) - min(shown)) or 0.05 * abs(shown[0]) or 0.1
        left.set_xlim(min(shown) - margin, max(shown) + margin)
        left.set_yticks(range(len(rows)), [row.name for row in rows])
        left.invert_yaxis()
        one_seed = all(len(row.values(split)) == 1 for row in rows)
        judged = "Seeds, means and 95% intervals (green better, red worse, grey noise)"
        left.set(xlabel=f"{split} {metric}")
        left.set_title("One seed: a difference may be noise" if one_seed else judged, fontsize=9)
        right.set(xlabel=metric)
        right.set_title("Training (circle) and validation (square)", fontsize=9)
        figure.suptitle(title, fontsize=11)
    return True


def draw_history(trials: Sequence[Trial], objective: Objective, path: Path) -> None:
    """Scores by epoch, and by the clock with the best so far."""
    order = ranked(list(trials), objective.greater_is_better)
    with drawing(path, 1, 2, figsize=(11, 4), sharey=True) as (figure, (left, right)):
        points = []
        for trial in trials:
            epochs, scores = list(trial.scores), list(trial.scores.values())
            best = trial is order[0]
            style = {"color": "tab:red", "linewidth": 2, "zorder": 3} if best else {"color": "tab:blue", "alpha": 0.35}
            left.plot(epochs, scores, ".-", **style)
            if trial.status == "failed" and epochs:
                left.plot(epochs[-1], scores[-1], "kx")
            points += [(trial.epochs[epoch]["time"], score) for epoch, score in trial.scores.items()]
        points.sort()
        if points:
            best_so_far: list[float] = []
            for _, score in points:
                best_so_far.append(objective.better(best_so_far[-1] if best_so_far else None, score))
            minutes = [(moment - points[0][0]) / 60 for moment, _ in points]
            right.plot(minutes, [score for _, score in points], ".", alpha=0.4)
            right.step(minutes, best_so_far, where="post", color="tab:red", label="best so far")
            right.legend()
        left.set(xlabel="epoch", ylabel=f"validation {objective.metric}", title="By trial (red: the best, x: failed)")
        left.xaxis.get_major_locator().set_params(integer=True)
        right.set(xlabel="minutes since the first result", title="By the clock")
        limits, outside = score_limits([list(trial.scores.values()) for trial in trials], objective.greater_is_better)
        if outside:
            left.set_ylim(*limits)
            figure.supxlabel(f"{outside} of {len(points)} scores are outside", fontsize=8)


def score_limits(trials: Sequence[Sequence[float]], greater_is_better: bool) -> tuple[tuple[float, float], int]:
    """(limits of an axis for the scores of trials, number of scores outside).

    All scores of a trial are inside, unless its best one is far worse than those of the others, as if it diverged.
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
    bottom, top = sorted((sign * (min(near) - margin), sign * (max(near) + margin)))
    return (bottom, top), sum(score < min(near) for trial in scores for score in trial)


def draw_importance(shares: Mapping[str, float], path: Path) -> None:
    """A bar for each field."""
    with drawing(path, figsize=(7, 1 + 0.35 * max(len(shares), 2))) as (_, axes):
        if shares:
            axes.barh(list(shares)[::-1], list(shares.values())[::-1])
            axes.set(xlabel="share of the importance (permutation, random forest)", xlim=(0, 1))
        else:
            axes.text(0.5, 0.5, "Fewer than eight comparable trials", ha="center", va="center")
            axes.set_axis_off()


def draw_parallel(trials: Sequence[Trial], names: Sequence[str], objective: Objective, path: Path) -> None:
    """A line for each trial through its values, coloured by its score at an epoch that all trials reached."""
    import matplotlib

    rows = comparable(trials)
    compared = [trial for trial, _ in rows]
    with drawing(path, figsize=(max(6, 1.5 * (len(names) + 1)), 4.5)) as (_, axes):
        columns = [[as_number(name, trial, compared) for trial in compared] for name in names] if rows else []
        columns += [[score for _, score in rows]] if rows else []
        scaled = [unit(column) for column in columns]
        colours = matplotlib.colormaps["viridis" if objective.greater_is_better else "viridis_r"]
        sign = 1 if objective.greater_is_better else -1
        for place in sorted(range(len(rows)), key=lambda place: sign * scaled[-1][place]):
            axes.plot([column[place] for column in scaled], color=colours(scaled[-1][place]), alpha=0.7)
        for place, column in enumerate(columns):
            axes.axvline(place, color="lightgray", zorder=0)
            name = names[place] if place < len(names) else ""
            for label, height in axis_labels(name, column, compared):
                offset = {"xytext": (3, 0), "textcoords": "offset points"}
                axes.annotate(label, (place, height), fontsize=7, ha="left", va="center", **offset)
        if rows:
            labels = [*(name.partition(".")[2] for name in names), objective.metric]
            axes.set_xticks(range(len(labels)), labels, rotation=20, ha="right", fontsize=8)
        axes.set_yticks([])
        axes.margins(x=0.1)


def unit(column: Sequence[float]) -> list[float]:
    """Values scaled to 0..1."""
    low, high = min(column), max(column)
    return [(value - low) / (high - low) if high > low else 0.5 for value in column]


def axis_labels(name: str, column: Sequence[float], trials: Sequence[Trial]) -> list[tuple[str, float]]:
    """(label, height): every choice, or the two ends of a range."""
    heights = unit(column)
    values = [plain(trial.point[name]) if name in trial.point else "-" for trial in trials] if name else None
    if values is not None and len(set(values)) <= 5:
        return sorted(dict(zip(values, heights)).items())
    pairs = sorted(zip(heights, values or [f"{value:.4g}" for value in column]))
    return [(label, height) for height, label in (pairs[0], pairs[-1])]


__all__ = ["draw_history", "draw_importance", "draw_parallel", "draw_study"]
