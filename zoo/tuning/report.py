"""The pages and JSON files of searches and studies, and the winner's recipe."""

import json
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from zoo.record import RunRecord, describe_machine, installed_versions, library_commit, write_whole
from zoo.registry import load_task

from .importance import importances
from .log import Trial, ranked, read_trials, wall_seconds
from .overrides import Point, flags_of, overrides_of, plain
from .plots import draw_history, draw_importance, draw_parallel, draw_study
from .runs import Run
from .settings import Objective
from .study import BASE, Study
from .table import Row, compared_split, markdown_table

if TYPE_CHECKING:  # it needs Ray
    from .search import Search

MAX_ROWS = 50
METHOD = (
    "Each variant is compared with the base by Dunnett's test (two-sided, several variants against one base, one "
    "spread of the seeds for all of them); its p-values and 95% intervals hold for all comparisons of the table at "
    "once. The p-value of Welch's test, for one variant alone with its own spread, is given beside it. Both ask "
    "whether training again with other seeds would show the difference on the same rows; the interval of one run's "
    "metric says how much it depends on the rows. Below p = 0.05 (Dunnett) a difference is called better or worse, "
    "else noise."
)


def direction(objective: Objective) -> str:
    """`metric (higher is better)`."""
    return f"{objective.metric} ({'higher' if objective.greater_is_better else 'lower'} is better)"


def write_json(path: Path, content: object) -> None:
    """Write a JSON file, whole or not at all."""
    write_whole(path, json.dumps(content, indent=1, ensure_ascii=False, default=str) + "\n")


# Studies


def number(value: float | None, places: int) -> str:
    """A number, or nothing."""
    return "" if value is None or math.isnan(value) else f"{value:.{places}f}"


def places_of(rows: Sequence[Row]) -> int:
    """Decimal places of the metric: four for shares and errors, two for metrics up to 100."""
    largest = max((abs(value) for row in rows for value in row.values("validation")), default=0.0)
    return 4 if largest < 10 else 2


def cells(row: Row, split: str, places: int, objective: Objective) -> list[str]:
    """A line of the study's table."""
    changes = f"`{row.changes}`" if row.changes else ""
    if not row.runs:
        why = f"FAILED: {row.failures[0]['reason']}" if row.failures else "not run"
        return [row.name, changes, why, *[""] * 9]
    verdicts = Counter(run["verdict"] for run in row.runs)
    sign = 1 if objective.greater_is_better else -1
    statistics, against = row.statistics.get(split, {}), row.against_base
    spread = f" ± {statistics['sd']:.{places}f}" if "sd" in statistics else ""
    low, high = against.get("low"), against.get("high")
    interval = f" ({low:+.{places}f} to {high:+.{places}f})" if low is not None and high is not None else ""
    failed = f" ({len(row.failures)} of {len(row.failures) + len(row.runs)} seeds failed)" if row.failures else ""
    return [
        row.name + failed,
        changes,
        f"{number(statistics.get('mean'), places)}{spread}",
        f"{against['difference']:+.{places}f}{interval}" if "difference" in against else "",
        *(number(against.get(key), 3) for key in ("p_dunnett", "p_welch")),
        against.get("says", "base" if row.name == BASE else ""),
        number(row.mean("train"), places),
        number(row.mean("validation"), places),
        number(sign * (row.mean("train") - row.mean("validation")), places),
        ", ".join(f"{verdict} {count}/{len(row.runs)}" for verdict, count in verdicts.most_common()),
        f"{row.mean('parameters'):,.0f}, {row.mean('seconds'):.0f} s",
    ]


def study_table(study: Study, rows: Sequence[Row], objective: Objective) -> str:
    """The page without plots: question, table, how variants were compared, what failed."""
    split, places = compared_split(rows), places_of(rows)
    heads = [
        "variant", "changes", f"{split} {objective.metric}", "against the base (95%)", "p (Dunnett)", "p (Welch)",
        "says", "train", "validation", "gap", "fit", "parameters, time",
    ]  # fmt: skip
    parts = [f"# {study.title}", study.question, study.note]
    parts.append("\n".join(markdown_table(heads, [cells(row, split, places, objective) for row in rows])))
    runs = [run for row in rows for run in row.runs]
    parts += [summary(runs, split, places, study.seeds, objective)] if runs else []
    parts += [METHOD] if any("p_dunnett" in row.against_base for row in rows) else []
    return "\n\n".join(filter(None, [*parts, "\n".join(notes(rows))]))


def summary(runs: Sequence[dict[str, Any]], split: str, places: int, seeds: list[int], objective: Objective) -> str:
    """The paragraph below the table."""
    text = [f"{direction(objective)}: mean ± standard deviation over seeds {seeds}."]
    halves = [(run["high"] - run["low"]) / 2 for run in runs if run["low"] is not None and run["of"] == split]
    measured = [run["n"] for run in runs if run["n"] and run["of"] == split]
    if halves and measured:
        text.append(f"One run's own 95% interval, from {measured[0]:,} rows, is ±{fmean(halves):.{places}f}.")
    text.append(f"The baseline has {runs[0]['baseline']:.{places}f} on the validation split.")
    text.append("gap: how much worse validation is than training.")
    text.append(f"Times are of {', '.join(sorted({run['machine'] for run in runs}))}.")
    tested = sum("test" in run for run in runs)
    if not tested:
        text.append("The test split was not looked at.")
    elif split == "validation":
        text.append(f"The test split was looked at with {tested} of the {len(runs)} runs; --test measures all.")
    return " ".join(text)


def notes(rows: Sequence[Row]) -> list[str]:
    """What failed, what is missing, and which runs had other code."""
    lines = []
    for row in rows:
        lines += [f"- {row.name}, seed {failure['seed']}, failed: {failure['reason']}" for failure in row.failures]
        untested = [run for run in row.runs if "test_failed" in run]
        because = "was trained, but the test split could not be measured"
        lines += [f"- {row.name}, seed {run['seed']}, {because}: {run['test_failed']}" for run in untested]
        lines += [f"- {row.name}: seeds {row.missing} were not run"] if row.missing else []
    other = sorted({row.name for row in rows for run in row.runs if run["other_code"]})
    return lines + ([f"- Runs of other code or versions: {', '.join(other)}"] if other else [])


def section_of(study: Study, runs: Sequence[Run], rows: Sequence[Row], objective: Objective, plot: Path) -> str:
    """The further part of the page that the study asks for; its task writes it."""
    split = compared_split(rows)
    values = {run["folder"]: run[split] for row in rows for run in row.runs if split in run}
    if not study.section or not values:
        return ""
    records = {run.folder.name: RunRecord.read(run.folder) for run in runs if run.folder.name in values}
    results = [(record, values[name]) for name, record in records.items()]
    task = load_task(results[0][0].recipe["task"])
    return task.study_section(study.section, results, objective.metric, split, plot)


def write_study(
    study: Study, runs: Sequence[Run], rows: Sequence[Row], objective: Objective, command: str, folder: Path, name: str
) -> None:
    """Write page, data and plots of a study: NAME.md, NAME.json and NAME.png."""
    parts = [study_table(study, rows, objective)]
    if draw_study(rows, objective.metric, study.title, folder / f"{name}.png"):
        parts.append(f"![All seeds]({name}.png)")
    parts.append(section_of(study, runs, rows, objective, folder / f"{name}-{study.section.replace('_', '-')}.png"))
    parts.append(f"```bash\n{command}\n```")
    write_whole(folder / f"{name}.md", "\n\n".join(part.strip("\n") for part in parts if part) + "\n")
    content = {key: getattr(study, key) for key in ("title", "question", "note", "base", "seeds")}
    content |= {"metric": objective.metric, "greater_is_better": objective.greater_is_better}
    content |= {"split": compared_split(rows), "method": METHOD, "command": command, "machine": describe_machine()}
    content |= {"created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "rows": [vars(row) for row in rows]}
    write_json(folder / f"{name}.json", {"study": study.name, **content})


# Searches


def search_content(search: "Search", resources: Mapping[str, float]) -> dict[str, Any]:
    """search.json from the log, without the final comparison.

    Args:
        search: That ran.
        resources: Resources of the cluster.
    """
    objective = search.work.objective
    trials = ranked(read_trials(search.folder), objective.greater_is_better)
    has_best = bool(trials) and trials[0].status != "failed" and trials[0].score is not None
    best = {"trial": trials[0].number, "score": trials[0].score, "point": trials[0].point} if has_best else None
    return {
        "recipe": search.recipe.id,
        "command": search.command,
        "metric": objective.metric,
        "greater_is_better": objective.greater_is_better,
        "settings": search.settings.describe(),
        "flags": search.work.flags,
        "training_seed": search.work.seed,
        "epochs_of_a_trial": search.epochs,
        "epochs_trained": sum(len(trial.epochs) for trial in trials),
        "wall_seconds": wall_seconds(search.folder),
        "trial_seconds": round(sum(trial.seconds for trial in trials), 1),
        "cluster": {name: resources[name] for name in ("CPU", "GPU") if name in resources},
        "best": best,
        "importance": importances(trials, search.settings.space.names),
        "versions": installed_versions(),
        "commit": library_commit(),
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "trials": [trial.to_dict() for trial in trials],
    }


def search_table(title: str, trials: Sequence[Trial], names: Sequence[str], objective: Objective) -> str:
    """The page's table: the best trial first, failed ones last."""
    order = ranked(list(trials), objective.greater_is_better)
    heads = ["rank", "trial", objective.metric, "epochs", "time", *(name.partition(".")[2] for name in names), "state"]
    rows = []
    for rank, trial in enumerate(order[:MAX_ROWS], start=1):
        failed = trial.status == "failed"
        score = "" if failed or trial.score is None else f"{trial.score:.4f}"
        values = [f"`{plain(trial.point[name])}`" if name in trial.point else "" for name in names]
        state = f"FAILED: {trial.reason.replace('|', '/')}" if failed else trial.status
        shown = ["" if failed else str(rank), str(trial.number), score, str(len(trial.epochs))]
        rows.append([*shown, f"{trial.seconds:.0f} s", *values, state])
    lines = [f"# {title}", "", *markdown_table(heads, rows)]
    lines += ["", f"{len(order) - MAX_ROWS} more trials are in search.json."] if len(order) > MAX_ROWS else []
    epoch = "of the best epoch so far" if objective.keeps_best else "of the last epoch"
    lines += ["", f"{direction(objective)} on the validation split, {epoch}. No trial held the test split."]
    return "\n".join(lines)


def write_search(search: "Search", content: Mapping[str, Any], extra: Sequence[str] = ()) -> None:
    """Write search.json, search.md and the plots.

    Args:
        search: That ran.
        content: Content of search.json.
        extra: Further lines of the page.
    """
    folder, objective, names = search.folder, search.work.objective, search.settings.space.names
    trials = read_trials(folder)
    write_json(folder / "search.json", content)
    draw_history(trials, objective, folder / "history.png")
    draw_importance(content["importance"], folder / "importance.png")
    draw_parallel(trials, names, objective, folder / "parallel.png")
    lines = [search_table(f"Search: {search.recipe.id}", trials, names, objective)]
    plots = {"history": "The metric over time, by trial", "importance": "How much each field matters",
             "parallel": "Each trial's point"}  # fmt: skip
    lines += [line for name, title in plots.items() for line in ("", f"![{title}]({name}.png)")]
    write_whole(folder / "search.md", "\n".join([*lines, "", *extra, "", "```bash", search.command, "```", ""]))


def final_lines(rows: Sequence[Row], metric: str) -> list[str]:
    """The default recipe and the winner at full length, for the search's page."""
    heads = ["at full length", f"test {metric}", "validation", "train", "parameters", "seeds"]
    table = []
    for row, name in zip(rows, ("the default recipe", "the winner")):
        if row.runs:
            metrics = [number(row.mean(split), 4) for split in ("test", "validation", "train")]
            table.append([name, *metrics, f"{row.mean('parameters'):,.0f}", str(len(row.runs))])
        else:
            why = row.failures[0]["reason"] if row.failures else "not run"
            table.append([name, f"FAILED: {why}", "", "", "", ""])
    return ["", *markdown_table(heads, table), ""]


def winning_recipe(search: "Search", point: Point) -> Path:
    """Write the winner as a recipe that `zoo train` runs, for the epochs and rows of the searched recipe."""
    from zoo.training.command_line import parse_run
    from zoo.training.recipe import load_recipe

    work, name = search.work, search.recipe.id
    argv = [work.recipe, *flags_of(overrides_of(point)), *work.flags, "--seed", str(work.seed)]
    resolved = parse_run(argv, "zoo tune").recipe
    resolved.id = f"{name}-tuned"
    resolved.description = f"{name} with the result of a search over {', '.join(point)}."
    resolved.search = {}
    path = write_whole(search.folder / f"{resolved.id}.yaml", resolved.to_yaml())
    load_recipe(path)
    return path


__all__ = ["final_lines", "search_content", "study_table", "winning_recipe", "write_search", "write_study"]
