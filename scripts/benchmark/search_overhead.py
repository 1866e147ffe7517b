"""python scripts/benchmark/search_overhead.py RECIPE [--trials 20] [--jobs 2] [--flag value ...]

The wall time of a search over n points against the same trainings run by hand, divided by the cores: one after the
other in a process on each core that has imported everything. Nothing is stopped early; other flags are those of
`zoo tune`.
"""

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path

if sys.path[0] == str(Path(__file__).parent):  # not again in the processes that it starts
    sys.path.pop(0)


def search(recipe: str, trials: int, jobs: int, folder: Path, flags: list[str]) -> tuple[float, dict]:
    """(seconds of the whole command but its import, search.json)."""
    from zoo.commands.tune import main

    begun = time.perf_counter()
    argv = [recipe, "--trials", str(trials), "--jobs", str(jobs), "--output_dir", str(folder), "--skip_final"]
    if main([*argv, "--algorithm", "random", "--scheduler", "none", *flags]):
        raise SystemExit(1)
    return time.perf_counter() - begun, json.loads((folder / "search.json").read_text())


def by_hand(recipe: str, results: dict, points: list[dict], others: multiprocessing.Barrier) -> float:
    """Seconds of the trainings of some points of a search, data loading and evaluations included."""
    import torch

    from zoo.training.build import build
    from zoo.tuning.settings import Objective
    from zoo.tuning.trial import SearchWork

    torch.set_num_threads(1)  # as in a trial, which has one core
    trial = results["settings"]["trial"]
    objective = Objective(results["metric"], results["greater_is_better"])
    work = SearchWork(recipe, objective, trial, results["flags"], results["training_seed"])
    others.wait()
    begun = time.perf_counter()
    for point in points:
        with tempfile.TemporaryDirectory() as folder:
            build(work.settings(point, folder)).trainer.train()
    return time.perf_counter() - begun


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2)
    arguments, flags = parser.parse_known_args()
    jobs = arguments.jobs

    with tempfile.TemporaryDirectory() as folder:
        wall, results = search(arguments.recipe, arguments.trials, jobs, Path(folder) / "search", flags)
    points = [trial["point"] for trial in sorted(results["trials"], key=lambda trial: -trial["seconds"])]
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, context.Pool(jobs) as pool:
        barrier = manager.Barrier(jobs)
        given = [(arguments.recipe, results, points[core::jobs], barrier) for core in range(jobs)]
        hand = sum(pool.starmap(by_hand, given, chunksize=1))
    inner, trained = results["wall_seconds"], results["trial_seconds"]
    print(f"\n{len(points)} trials on {jobs} cores")
    print(f"search: {wall:.1f} s with Ray's start, {inner:.1f} s without, {trained / jobs:.1f} s a core within trials")
    print(f"by hand: {hand:.1f} s, {hand / jobs:.1f} s a core")
    share = jobs / hand
    print(f"ratio: {wall * share:.3f} with Ray's start, {inner * share:.3f} without")


if __name__ == "__main__":
    main()
