"""`zoo train RECIPE --ray_workers N`: the same run, as N processes of Ray Train on one machine or on a cluster."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from zoo.training.command_line import RunSettings, parse_run
from zoo.training.recipe import UsageError
from zoo.training.run import claim_folder, find_checkpoint, run

try:
    import ray.train
    from ray.train.torch import TorchTrainer
except ImportError:
    raise UsageError('--ray_workers needs Ray Train: pip install "primer-zoo[scale]"') from None

from zoo.tuning.cluster import check_room, cluster
from zoo.tuning.tuner import WORKER_VARIABLES


def train_in_worker(config: dict[str, Any]) -> None:
    """What each worker does; Ray Train has made the process group, as `accelerate launch` does.

    Args:
        config: The command line (`argv`), and what the worker needs of the process that the user started: its working
            directory (`folder`), environment variables for machines that do not set their own (`variables`), `threads`
            of torch, and the file that gets what the first worker prints (`output`).
    """
    import torch

    for name, value in config["variables"].items():
        os.environ.setdefault(name, value)
    with contextlib.suppress(OSError):  # a machine that does not have the folder
        os.chdir(config["folder"])
    torch.set_num_threads(config["threads"])
    settings = parse_run(config["argv"])
    settings.training.push_to_hub = False  # the process that the user started publishes the run
    settings.training.disable_tqdm = True
    is_first = settings.training.process_index == 0
    with (
        open(config["output"] if is_first else os.devnull, "a", buffering=1) as file,
        contextlib.redirect_stdout(file),
    ):
        run(settings, config["argv"])


def cause(failures: dict[int, Exception]) -> Exception:
    """The failure that explains the others: the workers that wait for a failed one see a broken connection.

    Args:
        failures: Rank of a worker -> what it raised.
    """
    ranks = sorted(failures)
    for rank in ranks:
        if isinstance(failures[rank], (OSError, ValueError)):  # these say what is wrong
            return failures[rank]
    rank = ranks[0]
    error = failures[rank]
    return RuntimeError(f"worker {rank}: {type(error).__name__}: {error}")


def fit(trainer: TorchTrainer, output: Path) -> None:
    """Train, and print what the first worker prints.

    Args:
        trainer: Of Ray Train.
        output: The file that the first worker writes.

    Raises:
        OSError, ValueError, RuntimeError: A worker failed.
    """
    # Not in this thread, where Ray Train would keep Ctrl-C to itself.
    training, screen = ThreadPoolExecutor(1).submit(trainer.fit), sys.stdout
    with output.open() as printed:
        running = True
        while running:
            running = not wait([training], timeout=0.5).done
            print(printed.read(), end="", flush=True, file=screen)
    try:
        training.result()
    except ray.train.TrainingFailedError as error:
        raise cause(getattr(error, "worker_failures", {}) or {0: error}) from error


def check_workers(workers: int, cpus: int, room: int, gpus: int = 0) -> None:
    """Raise a UsageError if there is no room for so many workers."""
    if workers > room:
        each = f"{cpus} CPU cores" + (" and a GPU" if gpus else "")
        raise UsageError(f"--ray_workers {workers}: there is room for {room} with {each} each")


def train_on_workers(settings: RunSettings, argv: Sequence[str]) -> None:
    """Train as `settings.run.ray_workers` processes.

    The output folder holds the same files as after `zoo train`; the machines of a cluster share it.

    Args:
        settings: Settings of the run.
        argv: The command line that they were read from.

    Raises:
        UsageError: Flags, folder, checkpoint or cluster do not fit together.
        OSError, ValueError, RuntimeError: A worker failed.
    """
    workers, cpus = settings.run.ray_workers, settings.run.cpus_per_worker
    if settings.training.world_size > 1:
        raise UsageError("--ray_workers starts the processes itself: use `zoo train`, not `accelerate launch`")
    if settings.run.address is None:
        check_workers(workers, cpus, (os.cpu_count() or 1) // cpus)  # before Ray starts, which takes seconds
    claim_folder(settings, find_checkpoint(settings))
    print(f"starting Ray on {settings.run.address or 'this machine'}", flush=True)
    # Ray Train keeps its state in a folder that all machines see, so beside the run's.
    beside = Path(settings.training.output_dir).resolve().parent
    with (
        tempfile.TemporaryDirectory(dir=beside, prefix=".ray-", ignore_cleanup_errors=True) as storage,
        cluster(settings.run.address) as resources,
    ):
        gpus = 1 if resources.get("GPU") and not settings.training.use_cpu else 0
        check_workers(workers, cpus, check_room("per_worker", cpus, gpus), gpus)
        output = Path(storage) / "output"
        output.touch()
        config = {
            "argv": list(argv),
            "folder": os.getcwd(),
            "variables": {name: os.environ[name] for name in WORKER_VARIABLES if name in os.environ},
            "threads": cpus,
            "output": str(output),
        }
        trainer = TorchTrainer(
            train_in_worker,
            train_loop_config=config,
            scaling_config=ray.train.ScalingConfig(
                num_workers=workers, use_gpu=bool(gpus), resources_per_worker={"CPU": cpus, "GPU": gpus}
            ),
            run_config=ray.train.RunConfig(name="state", storage_path=storage),
        )
        print(f"{workers} workers of Ray Train, {cpus} CPU cores and {gpus} GPUs each", flush=True)
        fit(trainer, output)


__all__ = ["train_on_workers"]
