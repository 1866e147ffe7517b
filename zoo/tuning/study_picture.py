"""The picture of a study: every seed, the means with their intervals, and the gap between training and validation."""

from collections.abc import Sequence
from pathlib import Path

from .study import BASE
from .study_table import Row, deciding_split


def draw_study(rows: Sequence[Row], metric: str, title: str, path: Path) -> bool:
    """Draw it; False if no run is finished."""
    split = deciding_split(rows)
    rows = [row for row in rows if row.values(split)]
    if not rows:
        return False
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(
        1, 2, figsize=(11, 1.6 + 0.32 * len(rows)), layout="constrained", sharey=True, width_ratios=[3, 2]
    )
    colours = {"better": "tab:green", "worse": "tab:red"}
    for place, row in enumerate(rows):
        found = row.statistics[split]
        colour = colours.get(row.against_base.get("says", ""), "black" if row.name == BASE else "tab:gray")
        left.plot(row.values(split), [place] * len(row.values(split)), ".", color=colour, alpha=0.5)
        error = [[found["mean"] - found["low"]], [found["high"] - found["mean"]]] if "low" in found else None
        left.errorbar(found["mean"], place, xerr=error, fmt="D", color=colour, markersize=5, capsize=3)
        ends = [row.mean("train"), row.mean("validation")]
        right.plot(ends, [place, place], "-", color="lightgray", zorder=1)
        for end, shape in zip(ends, ("o", "s")):
            right.scatter(end, place, marker=shape, color="tab:blue" if shape == "o" else "tab:orange", zorder=2)
    if rows[0].name == BASE:  # it may not be finished
        left.axvline(rows[0].statistics[split]["mean"], color="black", linewidth=0.8, linestyle=":")
    # An interval over two or three seeds can be wider than everything else: the figures set the scale.
    values = [value for row in rows for value in row.values(split)]
    margin = 0.25 * (max(values) - min(values)) or 0.05 * abs(values[0]) or 0.1
    left.set_xlim(min(values) - margin, max(values) + margin)
    left.set_yticks(range(len(rows)), [row.name for row in rows])
    left.invert_yaxis()
    one_seed = all(len(row.values(split)) == 1 for row in rows)
    judged = "Seeds, means and 95% intervals (green better, red worse, grey noise)"
    left.set(xlabel=f"{split} {metric}", title="One seed: nothing is told from noise" if one_seed else judged)
    left.title.set_fontsize(9)
    right.set(xlabel=metric)
    right.set_title("Training (circle) and validation (square)", fontsize=9)
    figure.suptitle(title, fontsize=11)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return True


__all__ = ["draw_study"]
