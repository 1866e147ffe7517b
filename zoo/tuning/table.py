"""What a study found: figures of each variant over its seeds, what is noise, and the page that says so."""

import json
import math
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

from zoo.record import RunRecord, describe_machine

from .study import BASE, Study
from .study_runs import EVALUATION, Run

LEVEL = 0.05
SPLITS = ("train", "validation", "test")
METHOD = (
    "Each variant against the base by Dunnett's test (two-sided, several variants against one base, with one spread "
    "of the seeds for all of them); its p-values and 95% intervals hold for all comparisons of the table at once. The "
    "p-value of Welch's test, which looks at one variant alone and lets each have its own spread, stands beside it. "
    "Both ask whether training again with other seeds would show the difference on the same rows; that the rows "
    "themselves are a sample is what the interval of one figure says. Below p = 0.05 (Dunnett) a difference is called "
    "better or worse, else noise."
)


@dataclass
class Row:
    """A variant's figures.

    Args:
        name, changes: What it is.
        runs: One entry a finished seed: seed, figures of the splits, parameters, seconds, verdict, folder.
        failures: Seed and reason of each failed one.
        missing: Seeds that were not run.
        statistics: Split -> mean, sd, low, high over the seeds.
        against_base: Difference, its interval, p-values and what they say.
    """

    name: str
    changes: str
    runs: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    statistics: dict[str, dict[str, float]] = field(default_factory=dict)
    against_base: dict[str, Any] = field(default_factory=dict)

    def values(self, split: str) -> list[float]:
        """The figures of the seeds."""
        return [run[split] for run in self.runs if run.get(split) is not None]

    def mean(self, key: str) -> float:
        """The mean of a number over the seeds."""
        found = self.values(key)
        return fmean(found) if found else math.nan


def read_run(run: Run, metric: str) -> dict[str, Any]:
    """What the table needs of a finished run."""
    record = RunRecord.read(run.folder)
    entry: dict[str, Any] = {"seed": run.seed, "folder": run.folder.name, "other_code": run.other_code}
    if run.failure and not run.tested:
        entry["test_failed"] = run.failure
    for split in SPLITS:
        # As training saw it: without test-time augmentation, which no choice looked at.
        figures = record.metrics.get(f"{split}_plain", record.metrics.get(split, {}))
        if metric in figures:
            entry[split] = figures[metric]
    measured = record.metrics.get("validation", {})
    path = run.folder / EVALUATION / "evaluation.json"
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))["metrics"]
        measured = found["test"]
        figures = found.get("test_plain", found["test"])
        entry |= {"test": figures[metric]} if metric in figures else {}
    entry |= {"of": "test" if "test" in entry else "validation"}  # whose interval this is
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
    found = {"mean": fmean(values), "n": len(values)}
    if len(values) > 1:
        from scipy import stats

        sd = stdev(values)
        half = float(stats.t.ppf(1 - LEVEL / 2, len(values) - 1)) * sd / math.sqrt(len(values))
        found |= {"sd": sd, "low": found["mean"] - half, "high": found["mean"] + half}
    return found


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
        found = stats.dunnett(*groups, control=base, random_state=0)
        interval = found.confidence_interval(1 - LEVEL)
        welch = [float(stats.ttest_ind(values, base, equal_var=False).pvalue) for values in groups]
    for place, row in enumerate(tested):
        p, better = float(found.pvalue[place]), (row.against_base["difference"] > 0) == greater_is_better
        row.against_base |= {
            "low": float(interval.low[place]),
            "high": float(interval.high[place]),
            "p_dunnett": p,
            "p_welch": None if math.isnan(welch[place]) else welch[place],
            "says": ("better" if better else "worse") if p < LEVEL else "noise",
        }


def tabulate(study: Study, runs: Sequence[Run], metric: str, greater_is_better: bool) -> list[Row]:
    """The rows of a study's table, the base first."""
    rows: dict[str, Row] = {}
    for run in runs:
        row = rows.setdefault(run.variant.name, Row(run.variant.name, run.variant.describe()))
        if run.finished:
            row.runs.append(read_run(run, metric))
        elif run.failure:
            row.failures.append({"seed": run.seed, "reason": run.failure})
        else:
            row.missing.append(run.seed)
    found = list(rows.values())
    for row in found:
        row.statistics = {split: describe(row.values(split)) for split in SPLITS if row.values(split)}
    compare(found, deciding_split(found), greater_is_better)
    return found


def deciding_split(rows: Sequence[Row]) -> str:
    """The split that the comparison is on: the test split if every finished run was measured there."""
    runs = [run for row in rows for run in row.runs]
    return "test" if runs and all("test" in run for run in runs) else "validation"


def number(value: float | None, places: int) -> str:
    """A figure, or nothing."""
    return "" if value is None or math.isnan(value) else f"{value:.{places}f}"


def places_of(rows: Sequence[Row]) -> int:
    """Decimal places of the figures: four for shares and errors, two for what goes to 100."""
    largest = max((abs(value) for row in rows for value in row.values("validation")), default=0.0)
    return 4 if largest < 10 else 2


def cells(row: Row, split: str, places: int, greater_is_better: bool) -> list[str]:
    """A line of the table."""
    if not row.runs:
        why = f"FAILED: {row.failures[0]['reason']}" if row.failures else "not run"
        return [row.name, f"`{row.changes}`" if row.changes else "", why, *[""] * 9]
    verdicts = Counter(run["verdict"] for run in row.runs)
    sign = 1 if greater_is_better else -1
    found, base = row.statistics.get(split, {}), row.against_base
    spread = f" ± {found['sd']:.{places}f}" if "sd" in found else ""
    low, high = base.get("low"), base.get("high")
    interval = f" ({low:+.{places}f} to {high:+.{places}f})" if low is not None and high is not None else ""
    p = [f"{base[key]:.3f}" if base.get(key) is not None else "" for key in ("p_dunnett", "p_welch")]
    marks = f" ({len(row.failures)} of {len(row.failures) + len(row.runs)} seeds failed)" if row.failures else ""
    return [
        row.name + marks,
        f"`{row.changes}`" if row.changes else "",
        f"{number(found.get('mean'), places)}{spread}",
        f"{base['difference']:+.{places}f}{interval}" if "difference" in base else "",
        *p,
        base.get("says", "base" if row.name == BASE else ""),
        number(row.mean("train"), places),
        number(row.mean("validation"), places),
        number(sign * (row.mean("train") - row.mean("validation")), places),
        ", ".join(f"{verdict} {count}/{len(row.runs)}" for verdict, count in verdicts.most_common()),
        f"{row.mean('parameters'):,.0f}, {row.mean('seconds'):.0f} s",
    ]


def markdown(study: Study, rows: Sequence[Row], metric: str, greater_is_better: bool, command: str) -> str:
    """The page: question, table, how it was compared, what failed, how to make it again."""
    split, places = deciding_split(rows), places_of(rows)
    heads = [
        "variant", "changes", f"{split} {metric}", "against the base (95%)", "p (Dunnett)", "p (Welch)", "says",
        "train", "validation", "gap", "fit", "parameters, time",
    ]  # fmt: skip
    lines = [f"# {study.title}", ""]
    lines += [study.question, ""] if study.question else []
    lines += [study.note, ""] if study.note else []
    lines += [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    lines += [f"| {' | '.join(cells(row, split, places, greater_is_better))} |" for row in rows]
    runs = [run for row in rows for run in row.runs]
    if runs:
        better = "higher is better" if greater_is_better else "lower is better"
        lines += ["", f"{metric} ({better}): mean ± standard deviation over seeds {study.seeds}. "]
        halves = [(run["high"] - run["low"]) / 2 for run in runs if run["low"] is not None and run["of"] == split]
        rows_of = [run["n"] for run in runs if run["n"] and run["of"] == split]
        if halves and rows_of:
            lines[-1] += f"One figure's own 95% interval, from {rows_of[0]:,} rows, is ±{fmean(halves):.{places}f}. "
        lines[-1] += (
            f"A trivial predictor has {runs[0]['baseline']:.{places}f} on the validation split. gap: how much worse "
            f"validation is than training. Times are of {', '.join(sorted({run['machine'] for run in runs}))}."
        )
        tested = sum("test" in run for run in runs)
        if not tested:
            lines[-1] += " The test split was not looked at."
        elif split == "validation":
            lines[-1] += f" The test split was looked at with {tested} of the {len(runs)} runs; --test measures all."
    lines += ["", METHOD] if any("p_dunnett" in row.against_base for row in rows) else []
    lines += notes(rows)
    return "\n".join([*lines, "", "![The figures of all seeds](PICTURE)", "", "```bash", command, "```", ""])


def notes(rows: Sequence[Row]) -> list[str]:
    """What failed, what is missing, and whose code was another."""
    lines = [""]
    for row in rows:
        lines += [f"- {row.name}, seed {failure['seed']}, failed: {failure['reason']}" for failure in row.failures]
        lines += [
            f"- {row.name}, seed {run['seed']}, was trained, but the test split could not be measured: "
            f"{run['test_failed']}"
            for run in row.runs
            if "test_failed" in run
        ]
        lines += [f"- {row.name}: seeds {row.missing} were not run" for _ in row.missing[:1]]
    other = sorted({row.name for row in rows for run in row.runs if run["other_code"]})
    lines += [f"- Runs of other code or versions: {', '.join(other)}"] if other else []
    return lines if lines[1:] else []


def content(study: Study, rows: Sequence[Row], metric: str, greater_is_better: bool, command: str) -> dict[str, Any]:
    """study.json."""
    return {
        "study": study.name,
        "title": study.title,
        "question": study.question,
        "note": study.note,
        "base": study.base,
        "seeds": study.seeds,
        "metric": metric,
        "greater_is_better": greater_is_better,
        "split": deciding_split(rows),
        "method": METHOD,
        "command": command,
        "machine": describe_machine(),
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "rows": [vars(row) for row in rows],
    }


__all__ = ["Row", "compare", "content", "deciding_split", "describe", "markdown", "places_of", "tabulate"]
