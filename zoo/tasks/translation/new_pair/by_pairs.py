"""The section of a study that compares children with models from scratch, by number of pairs."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from zoo.record import RunRecord

CHILD, SCRATCH, OWN = "child", "from scratch", "from scratch, own vocabulary"
COLOURS = {CHILD: "tab:blue", SCRATCH: "tab:gray", OWN: "tab:orange"}
STYLES = ("-", "--", ":", "-.", (0, (1, 4)), (0, (5, 5)))


@dataclass
class Point:
    """A finished run.

    Args:
        kind: A name of `COLOURS`.
        pairs: Training pairs.
        value: Its metric.
        curve: (step, metric on the validation split) during training.
    """

    kind: str
    pairs: int
    value: float
    curve: list[tuple[int, float]] = field(default_factory=list)


def kind_of(recipe: dict[str, Any]) -> str:
    """How a run began: a name of `COLOURS`."""
    scratch = recipe.get("training", {}).get("random_weights") or not recipe.get("model_name_or_path")
    if not scratch:
        return CHILD
    return OWN if recipe.get("data", {}).get("vocabulary") == "replace" else SCRATCH


def point_of(record: RunRecord, value: float, metric: str) -> Point:
    """A finished run and its metric."""
    curve = [(entry["step"], entry[f"eval_{metric}"]) for entry in record.history if f"eval_{metric}" in entry]
    return Point(kind_of(record.recipe), record.data["splits"]["train"]["n"], value, curve)


def means(points: Sequence[Point]) -> dict[str, dict[int, float]]:
    """Kind -> number of pairs -> mean over the runs, smallest number first."""
    values: dict[str, dict[int, list[float]]] = {kind: defaultdict(list) for kind in COLOURS}
    for point in points:
        values[point.kind][point.pairs].append(point.value)
    return {
        kind: {pairs: fmean(several) for pairs, several in sorted(sizes.items())}
        for kind, sizes in values.items()
        if sizes
    }


def table(points: Sequence[Point], places: int = 2) -> str:
    """Means by number of pairs, and how far the child is ahead of the best from scratch."""
    by_kind = means(points)
    lines = [f"| pairs | {' | '.join(by_kind)} | child ahead |", "|---" * (len(by_kind) + 2) + "|"]
    for pairs in sorted({pairs for sizes in by_kind.values() for pairs in sizes}):
        cells = [f"{sizes[pairs]:.{places}f}" if pairs in sizes else "" for sizes in by_kind.values()]
        others = [sizes[pairs] for kind, sizes in by_kind.items() if kind != CHILD and pairs in sizes]
        child = by_kind.get(CHILD, {}).get(pairs)
        ahead = f"{child - max(others):+.{places}f}" if others and child is not None else ""
        lines.append(f"| {pairs:,} | {' | '.join(cells)} | {ahead} |")
    return "\n".join(lines)


def draw(points: Sequence[Point], metric: str, split: str, path: Path) -> None:
    """Draw the metric by number of training pairs, and the learning curves."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for kind, sizes in means(points).items():
        left.plot([*sizes], [*sizes.values()], color=COLOURS[kind], marker="D", label=kind)
        own = [point for point in points if point.kind == kind]
        left.plot([p.pairs for p in own], [p.value for p in own], ".", color=COLOURS[kind], alpha=0.5)
    ticks = sorted({point.pairs for point in points})
    left.set(xscale="log", xlabel="training pairs", ylabel=f"{split} {metric}", title="By number of pairs")
    left.set_xticks(ticks, [f"{size:,}" for size in ticks])
    left.minorticks_off()
    left.legend()
    styles = dict(zip(ticks, STYLES))
    for point in points:
        if point.curve:
            right.plot(*zip(*point.curve), color=COLOURS[point.kind], linestyle=styles.get(point.pairs, "-"),
                       linewidth=1, label=f"{point.kind}, {point.pairs:,}")  # fmt: skip
    right.set(xlabel="step", ylabel=f"validation {metric}", title="During training")
    handles = dict(zip(*reversed(right.get_legend_handles_labels())))
    if handles:
        right.legend(handles.values(), handles.keys(), fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


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
    points = [point_of(record, value, metric) for record, value in results]
    draw(points, metric, split, plot)
    places = 4 if all(abs(value) < 10 for _, value in results) else 2
    return "\n".join(
        [
            "## By number of pairs",
            "",
            f"Mean {split} {metric}; the child against the better of those from scratch:",
            "",
            table(points, places),
            "",
            f"![By number of pairs, and during training]({plot.name})",
            "",
        ]
    )


__all__ = ["Point", "by_pairs", "draw", "kind_of", "means", "table"]
