"""python scripts/benchmark/search_overhead.py RECIPE [--trials 20] [--jobs 2] [--flag value ...]

The wall time of a search over n points against the same trainings run by hand, one after the other in a process that
has imported everything, divided by the cores. Nothing is stopped early; other flags go to both.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.pop(0)  # this folder


def search(recipe: str, trials: int, jobs: int, folder: Path, flags: list[str]) -> tuple[float, dict]:
    """(seconds of the whole command but its import, search.json)."""
    from zoo.commands.tune import main

    begun = time.perf_counter()
    argv = [recipe, "--trials", str(trials), "--jobs", str(jobs), "--output_dir", str(folder), "--skip_final"]
    if main([*argv, "--algorithm", "random", "--scheduler", "none", *flags]):
        raise SystemExit(1)
    return time.perf_counter() - begun, json.loads((folder / "search.json").read_text())


def by_hand(recipe: str, found: dict, flags: list[str]) -> float:
    """Seconds of the trainings of all points of a search, data loading and evaluations included."""
    from zoo.search.trial import Assignment
    from zoo.training.build import build

    trial = found["settings"]["trial"]
    assignment = Assignment(recipe, trial, flags, 42, found["metric"], found["greater_is_better"], False)
    begun = time.perf_counter()
    for entry in found["trials"]:
        with tempfile.TemporaryDirectory() as folder:
            build(assignment.settings(entry["point"], folder)).trainer.train()
    return time.perf_counter() - begun


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2)
    arguments, flags = parser.parse_known_args()

    import torch

    torch.set_num_threads(1)  # as in a trial, which has one core
    with tempfile.TemporaryDirectory() as folder:
        wall, found = search(arguments.recipe, arguments.trials, arguments.jobs, Path(folder) / "search", flags)
        hand = by_hand(arguments.recipe, found, flags)
    inner = found["wall_seconds"]
    print(f"\n{len(found['trials'])} trials on {arguments.jobs} cores")
    print(f"search: {wall:.1f} s with Ray's start, {inner:.1f} s without")
    print(f"by hand: {hand:.1f} s, {hand / arguments.jobs:.1f} s a core")
    share = arguments.jobs / hand
    print(f"ratio: {wall * share:.3f} with Ray's start, {inner * share:.3f} without")


if __name__ == "__main__":
    main()
