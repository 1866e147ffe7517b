"""Which fields of a search matter: permutation importance over trials at an epoch that all of them reached."""

import math
from collections.abc import Sequence

from .log import Trial
from .overrides import plain


def comparable(trials: Sequence[Trial]) -> list[tuple[Trial, float]]:
    """Trials that did not fail, with their scores at the last epoch that all of them reached."""
    scored = [trial for trial in trials if trial.status != "failed" and trial.scores]
    epoch = min((max(trial.scores) for trial in scored), default=0)
    return [(trial, trial.scores[epoch]) for trial in scored if epoch in trial.scores]


def as_number(name: str, trial: Trial, trials: Sequence[Trial]) -> float:
    """A field's value: itself, its logarithm, or its rank among all values; -1 where it is inactive."""
    if name not in trial.point:
        return -1.0
    value = trial.point[name]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        numbers = [other.point[name] for other in trials if isinstance(other.point.get(name), (int, float))]
        spread = min(numbers) > 0 and max(numbers) / min(numbers) > 20
        return math.log10(value) if spread else float(value)
    return float(sorted({plain(other.point[name]) for other in trials if name in other.point}).index(plain(value)))


def importances(trials: Sequence[Trial], names: Sequence[str]) -> dict[str, float]:
    """Field -> share of a random forest's accuracy that is lost when the field is shuffled, highest first.

    Empty below eight comparable trials.
    """
    rows = comparable(trials)
    if len(rows) < 8 or len({score for _, score in rows}) < 2:
        return {}
    import numpy as np
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance

    compared = [trial for trial, _ in rows]
    features = np.array([[as_number(name, trial, compared) for name in names] for trial in compared])
    scores = np.argsort(np.argsort([score for _, score in rows])) / (len(rows) - 1)  # ranks: robust to a bad trial
    forest = RandomForestRegressor(200, min_samples_leaf=2, random_state=0).fit(features, scores)
    raw = permutation_importance(forest, features, scores, n_repeats=20, random_state=0).importances_mean
    shares = np.clip(raw, 0, None) / max(float(np.clip(raw, 0, None).sum()), 1e-12)
    pairs = ((name, round(float(share), 4)) for name, share in zip(names, shares))
    return dict(sorted(pairs, key=lambda pair: -pair[1]))


__all__ = ["as_number", "comparable", "importances"]
