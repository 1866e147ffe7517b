"""The picture of a model that goes on with other data against one from scratch: by number of pairs, and by steps."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from zoo.record import RunRecord

NAMES = {True: "from scratch", False: "child"}
COLOURS = {True: "tab:gray", False: "tab:blue"}


def is_scratch(record: RunRecord) -> bool:
    """Whether a run began with random weights."""
    training = record.recipe.get("training", {})
    return bool(training.get("random_weights")) or not record.recipe.get("model_name_or_path")


def by_pairs(records: Sequence[RunRecord], metric: str, split: str) -> dict[bool, dict[int, list[float]]]:
    """From scratch? -> training pairs -> the metric of each run."""
    found: dict[bool, dict[int, list[float]]] = {False: defaultdict(list), True: defaultdict(list)}
    for record in records:
        if split in record.metrics:
            found[is_scratch(record)][record.data["splits"]["train"]["n"]].append(record.metrics[split][metric])
    return {kind: dict(sorted(sizes.items())) for kind, sizes in found.items()}


def curves(records: Sequence[RunRecord], metric: str) -> list[tuple[bool, int, list[tuple[int, float]]]]:
    """(from scratch?, training pairs, [(step, metric of the validation split)]) of each run."""
    return [
        (
            is_scratch(record),
            record.data["splits"]["train"]["n"],
            [(entry["step"], entry[f"eval_{metric}"]) for entry in record.history if f"eval_{metric}" in entry],
        )
        for record in records
    ]


def differences(points: Mapping[bool, Mapping[int, Sequence[float]]]) -> list[dict[str, float]]:
    """Size by size the means of child and scratch, and what the child is ahead."""
    rows = []
    for size in sorted(set(points[False]) & set(points[True])):
        child, scratch = (sum(points[kind][size]) / len(points[kind][size]) for kind in (False, True))
        rows.append({"pairs": size, "child": child, "scratch": scratch, "ahead": child - scratch})
    return rows


def draw_by_pairs(
    records: Sequence[RunRecord], path: Path, metric: str = "bleu", split: str = "validation"
) -> list[dict[str, float]]:
    """Draw the metric against the number of training pairs, and the learning curves; the table of `differences`.

    Args:
        records: Of runs with and without the weights of a parent, on numbers of pairs; several seeds are points.
        path: The picture.
        metric: What to draw.
        split: Where it was measured.

    Raises:
        ValueError: No record has the split.
    """
    points = by_pairs(records, metric, split)
    if not any(points.values()):
        raise ValueError(f"no run has figures of the {split} split")
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for kind, runs in points.items():
        if not runs:
            continue
        left.plot([*runs], [sum(values) / len(values) for values in runs.values()], color=COLOURS[kind],
                  marker="D", label=NAMES[kind])  # fmt: skip
        for size, values in runs.items():
            left.plot([size] * len(values), values, ".", color=COLOURS[kind], alpha=0.5)
    left.set(xscale="log", xlabel="training pairs", ylabel=f"{split} {metric}", title="By number of pairs")
    sizes = sorted({size for found in points.values() for size in found})
    left.set_xticks(sizes, [f"{size:,}" for size in sizes])
    left.minorticks_off()
    left.legend()
    styles = dict(zip(sizes, ("-", "--", ":", "-.", (0, (1, 4)), (0, (5, 5)))))
    for kind, size, curve in curves(records, metric):
        if curve:
            right.plot(*zip(*curve), color=COLOURS[kind], linestyle=styles.get(size, "-"), linewidth=1,
                       label=f"{NAMES[kind]}, {size:,}")  # fmt: skip
    right.set(xlabel="step", ylabel=f"validation {metric}", title="While training")
    handles = dict(zip(*reversed(right.get_legend_handles_labels())))
    if handles:
        right.legend(handles.values(), handles.keys(), fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return differences(points)


__all__ = ["by_pairs", "curves", "differences", "draw_by_pairs", "is_scratch"]
