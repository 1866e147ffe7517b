"""A study's further section: a model that goes on with other data against one from scratch, by number of pairs."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from zoo.record import RunRecord

from .study_runs import Run
from .study_table import Row, places_of

CHILD, SCRATCH, OWN = "child", "from scratch", "from scratch, own vocabulary"
COLOURS = {CHILD: "tab:blue", SCRATCH: "tab:gray", OWN: "tab:orange"}
STYLES = ("-", "--", ":", "-.", (0, (1, 4)), (0, (5, 5)))


@dataclass
class Point:
    """A finished run.

    Args:
        kind: A name of `COLOURS`.
        pairs: That it was trained on.
        value: Its figure.
        curve: (step, figure on the validation split) while it was trained.
    """

    kind: str
    pairs: int
    value: float
    curve: list[tuple[int, float]] = field(default_factory=list)


def kind_of(recipe: dict[str, Any]) -> str:
    """How a run began."""
    scratch = recipe.get("training", {}).get("random_weights") or not recipe.get("model_name_or_path")
    if not scratch:
        return CHILD
    return OWN if recipe.get("data", {}).get("vocabulary") == "replace" else SCRATCH


def points_of(runs: Sequence[Run], rows: Sequence[Row], metric: str, split: str) -> list[Point]:
    """The finished runs of a study, with the figures of its table."""
    values = {run["folder"]: run[split] for row in rows for run in row.runs if split in run}
    points = []
    for run in runs:
        if run.folder.name in values:
            record = RunRecord.read(run.folder)
            curve = [(entry["step"], entry[f"eval_{metric}"]) for entry in record.history if f"eval_{metric}" in entry]
            pairs = record.data["splits"]["train"]["n"]
            points.append(Point(kind_of(record.recipe), pairs, values[run.folder.name], curve))
    return points


def means(points: Sequence[Point]) -> dict[str, dict[int, float]]:
    """Kind -> number of pairs -> mean over the runs, smallest number first."""
    found: dict[str, dict[int, list[float]]] = {kind: defaultdict(list) for kind in COLOURS}
    for point in points:
        found[point.kind][point.pairs].append(point.value)
    return {
        kind: {pairs: fmean(values) for pairs, values in sorted(sizes.items())}
        for kind, sizes in found.items()
        if sizes
    }


def table(points: Sequence[Point], places: int = 2) -> str:
    """Means by number of pairs, and how far the child is ahead of the best that began from nothing."""
    found = means(points)
    lines = [f"| pairs | {' | '.join(found)} | child ahead |", "|---" * (len(found) + 2) + "|"]
    for pairs in sorted({pairs for sizes in found.values() for pairs in sizes}):
        cells = [f"{sizes[pairs]:.{places}f}" if pairs in sizes else "" for sizes in found.values()]
        others = [sizes[pairs] for kind, sizes in found.items() if kind != CHILD and pairs in sizes]
        child = found.get(CHILD, {}).get(pairs)
        ahead = f"{child - max(others):+.{places}f}" if others and child is not None else ""
        lines.append(f"| {pairs:,} | {' | '.join(cells)} | {ahead} |")
    return "\n".join(lines)


def draw(points: Sequence[Point], metric: str, split: str, path: Path) -> None:
    """Draw the figures against the number of training pairs, and the learning curves."""
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
    right.set(xlabel="step", ylabel=f"validation {metric}", title="While training")
    handles = dict(zip(*reversed(right.get_legend_handles_labels())))
    if handles:
        right.legend(handles.values(), handles.keys(), fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def by_pairs(runs: Sequence[Run], rows: Sequence[Row], metric: str, split: str, path: Path) -> str:
    """Draw the picture and return the section of the page.

    Args:
        runs: Of the study.
        rows: Of its table.
        metric: What decides.
        split: Where it was measured.
        path: The picture.
    """
    points = points_of(runs, rows, metric, split)
    if not points:
        return ""
    draw(points, metric, split, path)
    return "\n".join(
        [
            "## By number of pairs",
            "",
            f"Mean {split} {metric}; the child against the better of those that began from nothing:",
            "",
            table(points, places_of(rows)),
            "",
            f"![By number of pairs, and while training]({path.name})",
            "",
        ]
    )


__all__ = ["Point", "by_pairs", "draw", "kind_of", "means", "points_of", "table"]
