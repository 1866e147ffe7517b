"""What a search found: the ranked table, search.json and the winning recipe."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.record import installed_versions, library_commit, write_whole

from .log import Trial, ranked
from .settings import SearchSettings
from .study import plain
from .trial import Assignment

MAX_ROWS = 50


def common_epoch(trials: Sequence[Trial]) -> int:
    """The last epoch that every trial reached which did not fail; 0 if none did."""
    counts = [max(trial.epochs) for trial in trials if trial.status != "failed" and trial.epochs]
    return min(counts, default=0)


def comparable(trials: Sequence[Trial]) -> list[tuple[Trial, float]]:
    """Trials with their scores at an epoch that all of them reached: later ones would favour who was not stopped."""
    epoch = common_epoch(trials)
    return [
        (trial, trial.epochs[epoch]["score"]) for trial in trials if trial.status != "failed" and epoch in trial.epochs
    ]


def importances(trials: Sequence[Trial], names: Sequence[str]) -> dict[str, float]:
    """Field -> how much of what a random forest knows of the scores is lost when the field is shuffled, summing to 1.

    Empty below eight comparable trials: fewer say nothing.
    """
    rows = comparable(trials)
    if len(rows) < 8 or len({score for _, score in rows}) < 2:
        return {}
    import numpy as np
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance

    features = np.array([[place_of(name, trial, [one for one, _ in rows]) for name in names] for trial, _ in rows])
    scores = np.argsort(np.argsort([score for _, score in rows])) / (len(rows) - 1)  # ranks: one bad trial is one
    forest = RandomForestRegressor(200, min_samples_leaf=2, random_state=0).fit(features, scores)
    found = permutation_importance(forest, features, scores, n_repeats=20, random_state=0).importances_mean
    total = max(float(np.clip(found, 0, None).sum()), 1e-12)
    pairs = zip(names, np.clip(found, 0, None) / total)
    return dict(sorted(((name, round(float(share), 4)) for name, share in pairs), key=lambda pair: -pair[1]))


def place_of(name: str, trial: Trial, trials: Sequence[Trial]) -> float:
    """A field's value as a number: itself, or its place among all values of the search; -1 where it does not count."""
    if name not in trial.point:
        return -1.0
    value = trial.point[name]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        import math

        numbers = [one.point[name] for one in trials if isinstance(one.point.get(name), (int, float))]
        spread = min(numbers) > 0 and max(numbers) / min(numbers) > 20
        return math.log10(value) if spread else float(value)
    return float(sorted({plain(one.point[name]) for one in trials if name in one.point}).index(plain(value)))


def markdown(
    title: str, trials: Sequence[Trial], names: Sequence[str], assignment: Assignment, notes: Sequence[str]
) -> str:
    """The page: trials from the best to those that failed, and how they were compared."""
    order = ranked(list(trials), assignment.greater_is_better)
    heads = [
        "rank",
        "trial",
        assignment.metric,
        "epochs",
        "time",
        *(name.partition(".")[2] for name in names),
        "state",
    ]
    lines = [f"# {title}", "", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for place, trial in enumerate(order[:MAX_ROWS], start=1):
        failed = trial.status == "failed"
        score = "" if failed or trial.score is None else f"{trial.score:.4f}"
        values = [f"`{plain(trial.point[name])}`" if name in trial.point else "" for name in names]
        state = f"FAILED: {trial.reason.replace('|', '/')}" if failed else trial.status
        cells = [
            "" if failed else str(place),
            str(trial.number),
            score,
            str(len(trial.epochs)),
            f"{trial.seconds:.0f} s",
        ]
        lines.append(f"| {' | '.join([*cells, *values, state])} |")
    if len(order) > MAX_ROWS:
        lines += ["", f"{len(order) - MAX_ROWS} more trials stand in search.json."]
    better = "higher is better" if assignment.greater_is_better else "lower is better"
    when = "of the best epoch so far" if assignment.keeps_best else "of the last epoch"
    lines += ["", f"{assignment.metric} ({better}) on the validation split, {when}. No trial held the test split."]
    for name, title in (
        ("history", "The metric over time, by trial"),
        ("importance", "How much each field matters"),
        ("parallel", "Each trial's point"),
    ):
        lines += ["", f"![{title}]({name}.png)"]
    return "\n".join([*lines, "", *notes, ""])


def winning_recipe(assignment: Assignment, point: Mapping[str, Any], folder: Path, recipe_id: str) -> Path:
    """Write the winner as a recipe that `zoo train` runs as it is, for as many epochs and rows as the recipe says."""
    from zoo.training.command_line import parse_run
    from zoo.training.recipe import load_recipe

    from .space import overrides_of
    from .study import flags_of

    own = ["--seed", str(assignment.seed)]
    argv = [assignment.recipe, *flags_of(overrides_of(point)), *assignment.flags, *own]
    resolved = parse_run(argv, "zoo tune").recipe
    resolved.id = f"{recipe_id}-tuned"
    resolved.description = f"{recipe_id} with what a search chose: {', '.join(name for name in point)}."
    resolved.search = {}
    path = write_whole(folder / f"{resolved.id}.yaml", resolved.to_yaml())
    load_recipe(path)
    return path


def content(
    recipe_id: str,
    command: str,
    trials: Sequence[Trial],
    assignment: Assignment,
    settings: SearchSettings,
    seconds: float,
    resources: Mapping[str, float],
    epochs: int,
) -> dict[str, Any]:
    """search.json, but for the final comparison."""
    order = ranked(list(trials), assignment.greater_is_better)
    best = order[0] if order and order[0].status != "failed" and order[0].epochs else None
    return {
        "recipe": recipe_id,
        "command": command,
        "metric": assignment.metric,
        "greater_is_better": assignment.greater_is_better,
        "settings": settings.describe(),
        "flags": assignment.flags,
        "training_seed": assignment.seed,
        "epochs_of_a_trial": epochs,
        "epochs_trained": sum(len(trial.epochs) for trial in trials),
        "wall_seconds": seconds,
        "trial_seconds": round(sum(trial.seconds for trial in trials), 1),
        "cluster": {name: resources[name] for name in ("CPU", "GPU") if name in resources},
        "best": {"trial": best.number, "score": best.score, "point": best.point} if best else None,
        "importance": importances(trials, [one.name for one in settings.space.dimensions]),
        "data_loaded_by_trials_for": list(assignment.data_fields),
        "versions": installed_versions(),
        "commit": library_commit(),
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "trials": [trial.to_dict() for trial in order],
    }


__all__ = ["comparable", "content", "importances", "markdown", "place_of", "winning_recipe"]
