"""python scripts/benchmark/text_batches.py RECIPE [--steps 40] [--rounds 3] [--clock wall|cpu]


Tokens a second (source and target, without padding) of training on batches by tokens against batches of a fixed number
of random rows, as many on average: same model, same steps, one process, in turn. Further flags go to the recipe.
`--clock cpu` counts the process's own seconds, for a machine that others work on too.
"""

import argparse
import contextlib
import io
import statistics
import tempfile
import time
from collections.abc import Callable

import numpy as np

from zoo.training.build import Parts, build
from zoo.training.command_line import parse_run

# What only costs time here: evaluations, checkpoints and what they decide.
QUIET = {
    "eval_strategy": "no", "save_strategy": "no", "logging_strategy": "no", "load_best_model_at_end": "false",
    "early_stopping_patience": "0", "average_checkpoints": "0", "disable_tqdm": "true",
}  # fmt: skip


def make_parts(recipe: str, steps: int, folder: str, flags: list[str]) -> Parts:
    """The parts of a run of that many steps."""
    quiet = [part for name, value in QUIET.items() for part in (f"--{name}", value)]
    return build(parse_run([recipe, *quiet, "--max_steps", str(steps), "--output_dir", folder, *flags]))


def train(parts: Parts, clock: Callable[[], float]) -> float:
    """Seconds of the training."""
    start = clock()
    with contextlib.redirect_stdout(io.StringIO()):
        parts.trainer.train()
    return clock() - start


def main() -> None:
    """Print both throughputs and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    arguments, flags = parser.parse_known_args()
    clock = time.process_time if arguments.clock == "cpu" else time.perf_counter
    with tempfile.TemporaryDirectory() as folder:
        sampler = make_parts(arguments.recipe, arguments.steps, folder, flags).trainer.batch_sampler
        rows = round(len(sampler.lengths) / len(sampler))
        kinds = {
            "batches by tokens": flags,
            f"random batches of {rows} rows": [
                *flags, "--batch_tokens", "0", "--per_device_train_batch_size", str(rows),
            ],
        }  # fmt: skip
        order = np.random.default_rng(0).permutation(len(sampler.lengths))
        parts = [sampler.lengths[order[first : first + rows]] for first in range(0, len(order), rows)]
        padded = sum(len(part) * int(part.max(0).sum()) for part in parts)
        shares = dict(zip(kinds, (sampler.padding_share(), 1 - sampler.total / padded)))
        # Both see as many rows, and so as many tokens, a step.
        tokens = arguments.steps * sampler.total / len(sampler)
        times: dict[str, list[float]] = {name: [] for name in kinds}
        train(make_parts(arguments.recipe, 3, folder, flags), clock)  # warms allocators and kernels
        for _ in range(arguments.rounds):
            for name, more in kinds.items():
                times[name].append(train(make_parts(arguments.recipe, arguments.steps, folder, more), clock))
    for name, values in times.items():
        print(f"{tokens / statistics.median(values):8.0f} tokens/s  {name} ({shares[name]:.1%} padding)")
    first, second = times.values()
    ratio = statistics.median(slow / fast for fast, slow in zip(first, second))
    print(f"ratio {ratio:.2f} (median of {arguments.rounds} rounds)")


if __name__ == "__main__":
    main()
