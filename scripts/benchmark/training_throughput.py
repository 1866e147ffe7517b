"""python scripts/benchmark/training_throughput.py [RECIPE] [--steps 40] [--rounds 3]

Images a second through the library's Trainer against a bare PyTorch loop over the same model class, batches and
optimizer, in one process with the same threads, in turn. CPU seconds count, which other work on the machine hardly
changes; on a GPU, seconds.
"""

import argparse
import contextlib
import io
import statistics
import tempfile
import time

import torch
from torch.utils.data import DataLoader

from zoo.training.build import build
from zoo.training.command_line import parse_run


def make_parts(recipe: str, steps: int, folder: str):
    """The parts of a run of that many steps, without evaluation and checkpoints."""
    # Both in float32: the bare loop has no autocast.
    flags = [
        "--bf16_if_supported",
        "false",
        "--max_steps",
        str(steps),
        "--eval_strategy",
        "no",
        "--save_strategy",
        "no",
        "--logging_strategy",
        "no",
    ]
    settings = parse_run([recipe, *flags, "--output_dir", folder, "--disable_tqdm", "true"])
    return settings, build(settings)


def clock() -> float:
    """CPU seconds of this process, or seconds when a GPU computes."""
    if not torch.cuda.is_available():
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def trainer_seconds(recipe: str, steps: int, folder: str) -> float:
    """Training through the Trainer that `zoo train` makes."""
    _, parts = make_parts(recipe, steps, folder)
    start = clock()
    with contextlib.redirect_stdout(io.StringIO()):
        parts.trainer.train()
    return clock() - start


def bare_seconds(recipe: str, steps: int, folder: str) -> float:
    """The loop that one would write by hand: next batch, loss, backward, step, schedule."""
    settings, parts = make_parts(recipe, steps, folder)
    trainer, model = parts.trainer, parts.model
    trainer.create_optimizer()
    optimizer = trainer.optimizer
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    loader = DataLoader(
        parts.data.train,
        batch_size=settings.training.per_device_train_batch_size,
        shuffle=True,
        drop_last=True,
        collate_fn=trainer.data_collator,
    )
    smoothing = settings.training.label_smoothing_factor
    model.train()
    start = clock()
    done = 0
    while done < steps:
        for batch in loader:
            batch = {name: value.to(model.device) for name, value in batch.items()}
            logits = model(pixel_values=batch["pixel_values"]).logits
            loss = torch.nn.functional.cross_entropy(logits, batch["labels"], label_smoothing=smoothing)
            loss.backward()
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            done += 1
            if done == steps:
                break
    return clock() - start


def main() -> None:
    """Print both throughputs and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", nargs="?", default="fashion-cnn")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    times: dict[str, list[float]] = {"trainer": [], "bare": []}
    with tempfile.TemporaryDirectory() as folder:
        settings, _ = make_parts(arguments.recipe, arguments.steps, folder)
        images = arguments.steps * settings.training.per_device_train_batch_size
        bare_seconds(arguments.recipe, 5, folder)  # warms allocators and kernels
        for _ in range(arguments.rounds):
            times["trainer"].append(trainer_seconds(arguments.recipe, arguments.steps, folder))
            times["bare"].append(bare_seconds(arguments.recipe, arguments.steps, folder))
    for name, values in times.items():
        print(f"{images / statistics.median(values):8.0f} images/s  {name}")
    ratios = [bare / trainer for bare, trainer in zip(times["bare"], times["trainer"])]
    print(f"ratio {statistics.median(ratios):.3f} (Trainer / bare loop, median of {arguments.rounds} rounds)")


if __name__ == "__main__":
    main()
