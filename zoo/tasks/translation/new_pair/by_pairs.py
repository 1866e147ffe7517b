"""The section of a study that compares children with models from scratch, by number of pairs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from zoo.plotting import drawing
from zoo.record import RunRecord

CHILD, SCRATCH, OWN = "child", "from scratch", "from scratch, own vocabulary"
COLOURS = {CHILD: "tab:blue", SCRATCH: "tab:gray", OWN: "tab:orange"}
STYLES = ("-", "--", ":", "-.", (0, (1, 4)), (0, (5, 5)))


def kind_of(recipe: dict[str, Any]) -> str:
    """How a run began: a name of `COLOURS`."""
    if recipe.get("model_name_or_path") and not recipe.get("training", {}).get("random_weights"):
        return CHILD
    return OWN if recipe.get("data", {}).get("vocabulary") == "replace" else SCRATCH


def draw(runs: pd.DataFrame, means: pd.DataFrame, metric: str, split: str, path: Path) -> None:
    """Draw the metric by number of training pairs, and the learning curves."""
    with drawing(path, 1, 2, figsize=(11, 4.2)) as (_, (left, right)):
        for kind, group in runs.groupby("kind"):
            means[kind].dropna().plot(ax=left, color=COLOURS[kind], marker="D", label=kind)
            left.plot(group.pairs, group.value, ".", color=COLOURS[kind], alpha=0.5)
        ticks = list(means.index)
        left.set(xscale="log", xlabel="training pairs", ylabel=f"{split} {metric}", title="By number of pairs")
        left.set_xticks(ticks, [f"{size:,}" for size in ticks])
        left.minorticks_off()
        left.legend()
        styles = dict(zip(ticks, STYLES))
        for run in runs.itertuples():
            if run.curve:
                style = {"color": COLOURS[run.kind], "linestyle": styles.get(run.pairs, "-"), "linewidth": 1}
                right.plot(*zip(*run.curve), label=f"{run.kind}, {run.pairs:,}", **style)
        right.set(xlabel="step", ylabel=f"validation {metric}", title="During training")
        handles = dict(zip(*reversed(right.get_legend_handles_labels())))
        if handles:
            right.legend(handles.values(), handles.keys(), fontsize=8)


def by_pairs(results: Sequence[tuple[RunRecord, float]], metric: str, split: str, plot: Path) -> str:
    """Draw the plot and return the section of the page.

    Args:
        results: The record of each finished run, and its value of the metric.
        metric: The primary metric of the study.
        split: The split that it was measured on.
        plot: The PNG file.
    """
    if not results:
        return ""
    name = f"eval_{metric}"
    runs = pd.DataFrame(
        {
            "kind": kind_of(record.recipe),
            "pairs": record.data["splits"]["train"]["n"],
            "value": value,
            "curve": [(entry["step"], entry[name]) for entry in record.history if name in entry],
        }
        for record, value in results
    )
    means = runs.pivot_table(index="pairs", columns="kind", values="value")
    means = means[[kind for kind in COLOURS if kind in means]]
    draw(runs, means, metric, split, plot)
    table = means.copy()
    if CHILD in means:
        table["child ahead"] = means[CHILD] - means.drop(columns=CHILD).max(axis=1)
    places = 4 if (runs.value.abs() < 10).all() else 2
    lines = [f"| pairs | {' | '.join(table)} |", "|---" * (len(table.columns) + 1) + "|"]
    for pairs, row in table.iterrows():
        cells = [
            "" if pd.isna(value) else f"{value:{'+' if kind == 'child ahead' else ''}.{places}f}"
            for kind, value in row.items()
        ]
        lines.append(f"| {pairs:,} | {' | '.join(cells)} |")
    return "\n".join(
        [
            "## By number of pairs",
            "",
            f"Mean {split} {metric}; the child against the better of those from scratch:",
            "",
            *lines,
            "",
            f"![By number of pairs, and during training]({plot.name})",
            "",
        ]
    )


__all__ = ["by_pairs"]
