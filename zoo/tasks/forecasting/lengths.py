"""Lengths of context, horizon and patches for series whose recipe names none."""

from collections.abc import Mapping

# Steps of a season -> steps to forecast: two days of hours, two weeks of days, a year of months, two of quarters.
HORIZONS = {24: 48, 7: 14, 5: 10, 12: 12, 4: 8}
OTHER_HORIZON = 12
LENGTHS = ("context_length", "prediction_length", "patch_length")


def choose_lengths(season: int, train_rows: int, held_out_rows: int, given: Mapping[str, int]) -> dict[str, int]:
    """`context_length`, `prediction_length` and `patch_length` by the season, shorter where the series are short.

    Args:
        season: Steps of a season; 1 for none.
        train_rows: Training rows of the shortest series.
        held_out_rows: Validation or test rows of the shortest series, whichever are fewer: a horizon has to fit in.
        given: Those of the three that the recipe names; they are kept.

    Returns:
        The lengths that were not given.
    """
    usual = HORIZONS.get(season, 2 * season if 1 < season <= 96 else OTHER_HORIZON)
    horizon = given.get("prediction_length", max(1, min(usual, held_out_rows)))
    # A half of the training rows is left for windows to begin at.
    longest = max(1, (train_rows - horizon) // 2)
    context = given.get("context_length", min((7 if season >= 24 else 4) * usual, longest))
    patch = min(season if 4 <= season <= 24 else 24 if season > 24 else 4, context, horizon)
    chosen = {"context_length": context, "prediction_length": horizon, "patch_length": patch}
    return {name: length for name, length in chosen.items() if name not in given}


def describe_lengths(lengths: Mapping[str, int], frequency: str | None) -> str:
    """What was chosen, and how to choose something else."""
    values = ",".join(f"{name}={length}" for name, length in lengths.items())
    return (
        f'Lengths for series of frequency {frequency}: {values}; others by --model_overrides "prediction_length=..."'
    )


__all__ = ["LENGTHS", "choose_lengths", "describe_lengths"]
