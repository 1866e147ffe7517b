"""The table of a study: the metric of each variant over its seeds, and which differences are noise."""

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

from zoo.record import RunRecord

from .runs import EVALUATION, Run
from .settings import Objective
from .study import Study

LEVEL = 0.05
SPLITS = ("train", "validation", "test")


@dataclass
class Row:
    """A variant.

    Args:
        name, changes: Name of the variant, and what it changes.
        runs: One entry for each finished seed: the metric of each split, parameters, seconds, verdict, folder.
        failures: Seed and reason of each failed one.
        missing: Seeds that were not run.
        statistics: Split -> mean, sd, low, high over the seeds.
        against_base: Difference, its interval, p-values and the verdict `says`.
    """

    name: str
    changes: str
    runs: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    statistics: dict[str, dict[str, float]] = field(default_factory=dict)
    against_base: dict[str, Any] = field(default_factory=dict)

    def values(self, key: str) -> list[float]:
        """The metric on a split, or another number, of each seed."""
        return [run[key] for run in self.runs if run.get(key) is not None]

    def mean(self, key: str) -> float:
        """Its mean over the seeds; NaN if there is none."""
        values = self.values(key)
        return fmean(values) if values else math.nan


def read_run(run: Run, metric: str, failure: str = "") -> dict[str, Any]:
    """What the table needs of a finished run."""
    record = RunRecord.read(run.folder)
    entry: dict[str, Any] = {"seed": run.seed, "folder": run.folder.name, "other_code": run.other_code}
    if failure and not run.tested:
        entry["test_failed"] = failure
    splits = dict(record.metrics)
    if run.tested:
        evaluation = json.loads((run.folder / EVALUATION / "evaluation.json").read_text(encoding="utf-8"))
        splits |= evaluation["metrics"]
    for split in SPLITS:
        # Without test-time augmentation, as training saw it.
        metrics = splits.get(f"{split}_plain", splits.get(split, {}))
        if metric in metrics:
            entry[split] = metrics[metric]
    entry["of"] = "test" if "test" in entry else "validation"  # the split of n, low and high
    measured = splits.get(entry["of"], {})
    entry |= {"n": measured.get("n"), "low": measured.get(f"{metric}_low"), "high": measured.get(f"{metric}_high")}
    return entry | {
        "parameters": record.compute["parameters"],
        "seconds": record.compute["train_seconds"],
        "verdict": record.fit["verdict"],
        "baseline": record.fit["baseline"],
        "commit": record.commit,
        "machine": record.compute["machine"],
        "versions": record.versions,
        "command": record.command,
    }


def describe(values: Sequence[float]) -> dict[str, float]:
    """Mean, standard deviation and the 95% interval of the mean over seeds (Student's t); one seed has no spread."""
    if not values:
        return {}
    statistics = {"mean": fmean(values), "n": len(values)}
    if len(values) > 1:
        from scipy import stats

        sd = stdev(values)
        half = float(stats.t.ppf(1 - LEVEL / 2, len(values) - 1)) * sd / math.sqrt(len(values))
        statistics |= {"sd": sd, "low": statistics["mean"] - half, "high": statistics["mean"] + half}
    return statistics


def compare(rows: Sequence[Row], split: str, greater_is_better: bool) -> None:
    """Set `against_base` of every row but the first, where there are two seeds and some spread."""
    from scipy import stats

    base = rows[0].values(split)
    others = [row for row in rows[1:] if row.values(split)]
    for row in others:
        row.against_base = {"difference": fmean(row.values(split)) - fmean(base)} if base else {}
        row.against_base["says"] = "one seed" if base else "no base"
    tested = [row for row in others if len(row.values(split)) > 1]
    groups = [row.values(split) for row in tested]
    if len(base) < 2 or not tested or not any(stdev(values) > 0 for values in [base, *groups]):
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # seeds without any spread, in Welch's test
        dunnett = stats.dunnett(*groups, control=base, random_state=0)
        interval = dunnett.confidence_interval(1 - LEVEL)
        welch = [float(stats.ttest_ind(values, base, equal_var=False).pvalue) for values in groups]
    for place, row in enumerate(tested):
        p, better = float(dunnett.pvalue[place]), (row.against_base["difference"] > 0) == greater_is_better
        row.against_base |= {
            "low": float(interval.low[place]),
            "high": float(interval.high[place]),
            "p_dunnett": p,
            "p_welch": None if math.isnan(welch[place]) else welch[place],
            "says": ("better" if better else "worse") if p < LEVEL else "noise",
        }


def tabulate(study: Study, runs: Sequence[Run], objective: Objective, failures: Mapping[str, str]) -> list[Row]:
    """The rows of a study's table, the base first.

    Args:
        study: Its variants are the rows.
        runs: What `plan` returned.
        objective: The metric.
        failures: What `read_failures` returned.
    """
    rows: dict[str, Row] = {}
    for run in runs:
        row = rows.setdefault(run.variant.name, Row(run.variant.name, run.variant.describe()))
        failure = failures.get(run.folder.name, "")
        if run.finished:
            row.runs.append(read_run(run, objective.metric, failure))
        elif failure:
            row.failures.append({"seed": run.seed, "reason": failure})
        else:
            row.missing.append(run.seed)
    table = list(rows.values())
    for row in table:
        row.statistics = {split: describe(row.values(split)) for split in SPLITS if row.values(split)}
    compare(table, compared_split(table), objective.greater_is_better)
    return table


def compared_split(rows: Sequence[Row]) -> str:
    """The split that is compared: the test split if every finished run was measured there."""
    runs = [run for row in rows for run in row.runs]
    return "test" if runs and all("test" in run for run in runs) else "validation"


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table in Markdown."""
    return [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", *(f"| {' | '.join(row)} |" for row in rows)]


__all__ = ["Row", "compare", "compared_split", "describe", "markdown_table", "tabulate"]
