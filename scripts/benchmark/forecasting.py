"""python scripts/benchmark/forecasting.py [--steps 30] [--rounds 3] [--context 336] [--horizon 48] [--hidden 128]

Training windows per second on a CPU against neuralforecast's LSTM with the same cell, hidden size, layers, context,
horizon and batch, on the same simulated series, alternating in one process with the same threads. Both train as
their users would: this library with `zoo train`'s Trainer, the peer with `NeuralForecast.fit`. Whole optimizer steps
are timed, with data loading and without the first steps. On a shared machine, `--clock cpu` counts the process's own
seconds. Install the peer with `pip install -e ".[benchmark]"`.
"""

import argparse
import contextlib
import io
import logging
import os
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # both on the CPU
WARM_UP = 3
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
PATCHES = 24


def simulate(series: int, rows: int) -> pd.DataFrame:
    """Hourly series with a day, a week and noise."""
    random, hours = np.random.default_rng(0), np.arange(rows)
    tables = []
    for number in range(series):
        day, week = (np.sin(2 * np.pi * (hours + 5 * number) / period) for period in (24, 168))
        values = 10 + 3 * day + week + random.normal(scale=0.5, size=rows)
        stamps = pd.date_range("2024-01-01", periods=rows, freq="h")
        tables.append(pd.DataFrame({"unique_id": f"s{number}", "ds": stamps, "y": values}))
    return pd.concat(tables, ignore_index=True)


def rate(stamps: list[float], batch: int) -> float:
    """Windows per second over the steps after the first ones."""
    timed = stamps[WARM_UP:]
    return batch * (len(timed) - 1) / (timed[-1] - timed[0])


def zoo_rate(arguments: argparse.Namespace, csv: Path, patch_length: int) -> float:
    """With the Trainer of `zoo train lstm-forecaster`."""
    from transformers import TrainerCallback

    from zoo.training.build import build
    from zoo.training.command_line import parse_run

    stamps: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            stamps.append(CLOCKS[arguments.clock]())

    model = {
        "cell_type": "lstm",
        "context_length": arguments.context,
        "prediction_length": arguments.horizon,
        "hidden_size": arguments.hidden,
        "num_layers": arguments.layers,
        "dense_sizes": f"[{arguments.hidden}]",  # the peer's decoder has one too
        "dropout": 0.0,
        "patch_length": patch_length,
        "patch_embedding": str(patch_length > 1).lower(),
        "scaling": "std",
        "head": "point",
        "loss": "mae",
        "scale_loss": "true",  # the peer's loss is in units of its scaler too
    }
    flags = ["--train_file", str(csv), "--max_steps", str(arguments.steps + WARM_UP), "--use_cpu", "true"]
    flags += ["--per_device_train_batch_size", str(arguments.batch), "--disable_tqdm", "true"]
    flags += [part for name in ("eval", "save", "logging") for part in (f"--{name}_strategy", "no")]
    flags += ["--load_best_model_at_end", "false", "--output_dir", str(csv.parent / "run")]
    flags += ["--model_overrides", ",".join(f"{name}={value}" for name, value in model.items())]
    parts = build(parse_run(["lstm-forecaster", *flags]))
    parts.trainer.add_callback(Clock())
    with contextlib.redirect_stdout(io.StringIO()):
        parts.trainer.train()
    return rate(stamps, arguments.batch)


def peer_rate(arguments: argparse.Namespace, frame: pd.DataFrame) -> float:
    """With `NeuralForecast.fit`."""
    from neuralforecast import NeuralForecast
    from neuralforecast.losses.pytorch import MAE
    from neuralforecast.models import LSTM
    from pytorch_lightning.callbacks import Callback

    stamps: list[float] = []

    class Clock(Callback):
        def on_train_batch_end(self, *args: Any) -> None:
            stamps.append(CLOCKS[arguments.clock]())

    model = LSTM(
        h=arguments.horizon,
        input_size=arguments.context,
        encoder_n_layers=arguments.layers,
        encoder_hidden_size=arguments.hidden,
        decoder_hidden_size=arguments.hidden,
        decoder_layers=2,
        loss=MAE(),
        scaler_type="standard",
        max_steps=arguments.steps + WARM_UP,
        batch_size=arguments.series,
        windows_batch_size=arguments.batch,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        callbacks=[Clock()],
    )
    NeuralForecast(models=[model], freq="h").fit(df=frame, val_size=0)
    return rate(stamps, arguments.batch)


def main() -> int:
    """Print the medians and their ratios to the peer's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in {
        "steps": 30, "rounds": 3, "context": 336, "horizon": 48, "hidden": 128, "layers": 2, "batch": 128, "series": 7,
        "rows": 3000,
    }.items():  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        import neuralforecast
    except ImportError as error:
        print(f'error: {error}; install the peer with: pip install -e ".[benchmark]"', file=sys.stderr)
        return 2
    frame = simulate(arguments.series, arguments.rows)
    measured: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        csv = Path(folder) / "series.csv"
        frame.to_csv(csv, index=False)
        for number in range(arguments.rounds):
            rates = {
                f"zoo, patches of {PATCHES}": zoo_rate(arguments, csv, PATCHES),
                f"neuralforecast {neuralforecast.__version__}": peer_rate(arguments, frame),
                "zoo, step by step": zoo_rate(arguments, csv, 1),
            }
            for name, value in rates.items():
                measured.setdefault(name, []).append(value)
            print(f"round {number + 1}: " + ", ".join(f"{name} {value:,.0f}" for name, value in rates.items()))
    peer = next(name for name in measured if name.startswith("neuralforecast"))
    print(
        f"LSTM, hidden {arguments.hidden}, layers {arguments.layers}, context {arguments.context}, "
        f"horizon {arguments.horizon}, batch {arguments.batch}:"
    )
    for name, values in measured.items():
        ratio = statistics.median(ours / theirs for ours, theirs in zip(values, measured[peer]))
        print(
            f"{statistics.median(values):10,.0f} windows/{arguments.clock} second  {name} (median ratio {ratio:.2f})"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
