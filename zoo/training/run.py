"""One run: train, evaluate, save, record."""

import contextlib
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch.utils.data import Dataset
from transformers import TrainerCallback

from zoo.record import (
    RECORD_NAME,
    RunRecord,
    describe_machine,
    installed_versions,
    library_commit,
    sha256,
    write_whole,
)
from zoo.tasks.base import Task

from .build import RECIPE_NAME, Parts, build
from .callbacks import EMA_NAME
from .command_line import RunSettings, flag_names
from .evaluate import evaluation_arguments
from .fit import describe_better_baseline, describe_fit, diagnose, draw_learning_curves
from .measure import PLOTS, Measured, measure, predict_views
from .recipe import Recipe, UsageError, load_recipe
from .save_dtype import convert_file, round_weights
from .trainer import ZooTrainer

NOT_IN_COMMAND = {
    "output_dir", "resume_from_checkpoint", "disable_tqdm", "skip_test", "push_to_hub", "hub_model_id",
    "hub_private_repo", "hub_strategy", "hub_revision", "ray_workers", "cpus_per_worker", "address",
}  # fmt: skip


def whole_checkpoints(folder: Path, needs_average: bool) -> list[Path]:
    """Checkpoints that were written to the end, oldest first: the Trainer writes its state last, then the average.

    Args:
        folder: The run's.
        needs_average: Whether the run keeps a moving average.
    """
    needed = ["trainer_state.json"] + ([EMA_NAME] if needs_average else [])
    paths = [path for path in folder.glob("checkpoint-*") if path.name.split("-")[-1].isdigit()]
    whole = [path for path in paths if all((path / name).is_file() for name in needed)]
    return sorted(whole, key=lambda path: int(path.name.split("-")[-1]))


def find_checkpoint(settings: RunSettings) -> Path | None:
    """The checkpoint to resume from, or None.

    Raises:
        UsageError: It does not exist, or was not written to its end.
    """
    asked = settings.training.resume_from_checkpoint
    if asked is None or asked.lower() == "false":
        return None
    wants_last = asked.lower() in ("last", "true")
    folder = Path(settings.training.output_dir if wants_last else Path(asked).parent)
    whole = whole_checkpoints(folder, bool(settings.training.ema_decay))
    if wants_last and whole:
        return whole[-1]
    if not wants_last and Path(asked) in whole:
        return Path(asked)
    names = ", ".join(path.name for path in whole) or "none"
    raise UsageError(
        f"--resume_from_checkpoint {asked}: no such whole checkpoint ({folder} holds {names}); name another one, or "
        "start without the flag"
    )


def claim_folder(settings: RunSettings, checkpoint: Path | None) -> None:
    """Make the output folder.

    Raises:
        UsageError: It holds another run, or this one and there is no checkpoint to resume from.
    """
    folder = Path(settings.training.output_dir)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--output_dir {folder} is a file; name a folder")
    held = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    recorded = load_recipe(folder / RECIPE_NAME).what_is_learnt() if RECIPE_NAME in held else {}
    asked = settings.recipe.what_is_learnt()
    # A run that failed before its first checkpoint left its recipe only.
    if held not in ([], [RECIPE_NAME]) and checkpoint is None:
        advice = "choose another --output_dir"
        if recorded == asked and RECORD_NAME in held:
            raise UsageError(
                f"--output_dir {folder} holds the finished run of this very recipe: {advice}, or delete it"
            )
        if recorded == asked:
            advice += ", resume it with --resume_from_checkpoint last"
        raise UsageError(f"--output_dir {folder} is not empty (it holds {held[0]}): {advice}, or delete it")
    changed = [key for key in {**recorded, **asked} if recorded.get(key) != asked.get(key)]
    if recorded and changed and checkpoint is not None:
        raise UsageError(
            f"{folder / RECIPE_NAME} differs from this command in {', '.join(changed)}: resume with the same flags, "
            "or start again in another --output_dir"
        )
    folder.mkdir(parents=True, exist_ok=True)


def measure_parent(parts: Parts, settings: RunSettings, splits: Mapping[str, Dataset]) -> dict[str, dict[str, float]]:
    """The metrics of the weights that the run started from, if the task compares them."""
    parent, training = parts.parent, settings.training
    if parent is None or training.random_weights:
        return {}
    views = {
        name: view
        for name, rows in splits.items()
        if name != "train" and (view := parts.task.parent_view(rows, parent.processor)) is not None
    }
    if not views:
        return {}
    task = type(parts.task)(settings.data, training.seed)
    model = parent.load_model(parts.family.model_classes[task.name])
    task.attach(model, parent.processor)
    same = {name: getattr(training, name) for name in ("per_device_eval_batch_size", "use_cpu", "disable_tqdm")}
    arguments = evaluation_arguments(task, training.output_dir, **same)
    trainer = task.make_trainer(model=model, args=arguments, processing_class=parent.processor)
    return {
        name: task.evaluate(trainer.predict_rows(view, f"Measuring {name} before training"), intervals=True)
        for name, view in views.items()
    }


def save_whole(trainer: ZooTrainer, folder: Path, save_dtype: str = "float32") -> None:
    """Save model and processor beside the folder's other files, each whole or not at all."""
    for stale in folder.glob(".saving-*"):  # of a process that was killed
        shutil.rmtree(stale, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".saving-") as temporary:
        trainer.save_model(temporary)
        for file in Path(temporary).glob("*.safetensors") if save_dtype != "float32" else ():
            convert_file(file, trainer.accelerator.unwrap_model(trainer.model), save_dtype)
        for file in sorted(Path(temporary).iterdir(), key=lambda path: path.suffix == ".safetensors"):
            if file.name != "training_args.bin":  # a pickle with paths of this machine; recipe.yaml has the arguments
                file.replace(folder / file.name)


def reproduce_command(argv: Sequence[str], recipe: Recipe) -> str:
    """The command that repeats this run, without the flags that only say where its files go."""
    kept: list[str] = []
    dropping = False
    for argument in argv[1:]:
        if argument.startswith("--"):
            dropping = not NOT_IN_COMMAND.isdisjoint(flag_names([argument]))
        if not dropping:
            kept.append(argument)
    script = Path(sys.argv[0]).name == "train.py"  # of a checkout; an installed library has no scripts
    program = ["accelerate", "launch", "scripts/train.py"] if script else ["zoo", "train"]
    return shlex.join([*program, argv[0] if argv else recipe.id, *kept])


def peak_memory() -> int:
    """Peak memory in bytes: of the accelerator if there is one, else of the process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    try:
        import resource
    except ImportError:  # Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def train(parts: Parts, settings: RunSettings, checkpoint: Path | None) -> dict[str, float]:
    """Train; seconds, samples a second and peak memory."""
    trainer, folder = parts.trainer, Path(settings.training.output_dir)
    # A finished run that is measured again was trained by an earlier process.
    earlier = RunRecord.read(folder).compute if checkpoint and (folder / RECORD_NAME).is_file() else {}
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    seconds = max((entry.get("seconds", 0.0) for entry in trainer.state.log_history), default=0.0)
    return {
        "train_seconds": seconds,
        **throughput(trainer, seconds),
        "peak_memory_bytes": max(peak_memory(), earlier.get("peak_memory_bytes", 0)),
    }


def throughput(trainer: ZooTrainer, seconds: float) -> dict[str, float]:
    """Samples a second, with the seconds of evaluations; with `batch_tokens` also tokens a second and padding."""
    sampler, steps = trainer.batch_sampler, trainer.state.global_step
    if sampler is None:
        samples = steps * trainer.get_total_train_batch_size(trainer.args)
        return {"train_samples_per_second": round(samples / max(seconds, 1e-9), 1)}
    share = steps * trainer.args.gradient_accumulation_steps * sampler.processes / len(sampler)  # epochs
    return {
        "train_samples_per_second": round(share * len(sampler.lengths) / max(seconds, 1e-9), 1),
        "train_tokens_per_second": round(share * sampler.total / max(seconds, 1e-9), 1),
        "train_tokens": round(share * sampler.total),
        "batches_per_epoch": len(sampler),
        "padding_share": round(sampler.padding_share(), 4),
    }


def baseline_value(baselines: Mapping[str, Mapping[str, float]], metric: str) -> float:
    """The metric of the first baseline that has it.

    Raises:
        ValueError: None has it.
    """
    for values in baselines.values():
        if metric in values:
            return values[metric]
    raise ValueError(f"the task's `baselines` has no {metric}, which the fit verdict needs")


def make_record(
    parts: Parts, settings: RunSettings, argv: Sequence[str], measured: Measured, compute: dict[str, float]
) -> RunRecord:
    """Everything that results.json says of a run."""
    trainer, task, data, metrics = parts.trainer, parts.task, parts.data, measured.metrics
    assert data.train is not None
    history = [entry for entry in trainer.state.log_history if "epoch" in entry]
    baselines = {name: task.baselines(data.train, dataset) for name, dataset in measured.datasets.items()}
    metric, greater_is_better = settings.recipe.primary_metric(task)
    if not any(metric in values for values in baselines[measured.reported].values()):  # baselines have no loss
        metric, greater_is_better = task.metric, task.greater_is_better
    baseline = {name: baseline_value(split, metric) for name, split in baselines.items()}
    # The verdict compares splits as training saw them: without test-time augmentation.
    plain = {name: metrics.get(f"{name}_plain", metrics[name]) for name in baselines}
    weights = Path(settings.training.output_dir) / "model.safetensors"
    return RunRecord(
        model_id=settings.recipe.id,
        command=reproduce_command(argv, settings.recipe),
        recipe=settings.recipe.to_dict(),
        data={
            "source": data.source,
            "splits": {
                name: {"n": len(split), "sha256": data.fingerprint.get(name)}  # type: ignore[arg-type]
                for name, split in data.splits().items()
            },
            "notes": dict(data.notes),
        },
        seed=settings.training.seed,
        metrics=metrics,
        baselines=baselines[measured.reported],
        fit=diagnose(plain, baseline, history, metric, greater_is_better, task.skill, task.gap, task.best_value),
        tables=measured.report.tables,
        history=history,
        averaging=trainer.averaging,
        compute={
            **compute,
            "parameters": sum(p.numel() for p in trainer.model.parameters()),
            "processes": trainer.args.world_size,
            "machine": describe_machine(),
        },
        versions=installed_versions(),
        commit=library_commit(),
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        origins=parts.origins,
        weights_sha256=sha256(weights) if weights.is_file() else "",
    )


def run(settings: RunSettings, argv: Sequence[str], callbacks: Sequence[TrainerCallback] = ()) -> RunRecord | None:
    """Train by the recipe, evaluate every split with the final weights, save and record.

    `settings.training.output_dir` then holds model, processor, recipe.yaml, results.json, trainer_state.json and the
    plots in pictures/. The test split is measured here and nowhere else, unless `--skip_test`.

    Args:
        settings: The recipe with the command line's flags.
        argv: The command line, for the command that reproduces the run.
        callbacks: Further callbacks of the Trainer.

    Returns:
        The record; None in every process but the first.

    Raises:
        UsageError: Recipe, flags or output folder do not fit together.
        FileNotFoundError, ValueError: The data is missing or damaged.
        OSError: A file cannot be written.
    """
    folder = Path(settings.training.output_dir)
    checkpoint = find_checkpoint(settings)
    is_first = settings.training.process_index == 0
    with settings.training.main_process_first(local=False):
        if is_first:
            claim_folder(settings, checkpoint)
    try:
        parts = build(settings, callbacks)
    except Exception:
        with contextlib.suppress(OSError):  # of a folder that is not empty
            folder.rmdir()
        raise
    if is_first:
        write_whole(folder / RECIPE_NAME, settings.recipe.to_yaml())
        for warning in parts.warnings:
            print(warning, flush=True)
        if checkpoint is not None:
            print(f"resuming from {checkpoint}", flush=True)
    compute = train(parts, settings, checkpoint)
    if parts.lora is not None:
        parts.lora.merge()
    if settings.training.save_dtype != "float32":
        round_weights(parts.trainer.model, settings.training.save_dtype)

    task, validation = parts.task, parts.data.validation
    if type(task).after_training is not Task.after_training and validation is not None:
        prediction, _ = predict_views(parts.trainer, task.views(validation), "Calibrating")
        task.after_training(prediction)
    splits = parts.data.splits()
    if settings.run.skip_test:
        splits.pop("test", None)
    reported = "test" if "test" in splits else "validation"
    measured = measure(parts.trainer, task, splits, reported, folder / PLOTS)
    before = measure_parent(parts, settings, splits)
    save_whole(parts.trainer, folder, settings.training.save_dtype)
    if not is_first:
        return None
    parts.trainer.save_state()
    record = make_record(parts, settings, argv, measured, compute)
    record.before = before
    measured.report.plots["learning_curves"] = folder / PLOTS / "learning_curves.png"
    draw_learning_curves(record.history, record.fit["metric"], measured.report.plots["learning_curves"])
    record.write(folder)
    show(record, measured, task, folder)
    return record


def show(record: RunRecord, measured: Measured, task: Task, folder: Path) -> None:
    """Print the end of a run: report, verdict, comparison with the parent, and where everything is."""
    print(f"\n{record.model_id} on the {measured.reported} split\n\n{measured.report.text}")
    print(describe_fit(record.fit))
    metric = record.fit["metric"]
    greater_is_better = task.greater_is_better != (metric in task.opposite_metrics)
    value = record.metrics[measured.reported][metric]
    if warning := describe_better_baseline(metric, value, record.baselines, greater_is_better):
        print(warning)
    for name, metrics in record.before.items():
        for key in task.compared_metrics(metrics):
            if key in record.metrics[name]:
                print(f"{name} {key}: {metrics[key]:.2f} before, {record.metrics[name][key]:.2f} after")
    print(f"\n{record.compute['parameters']:,} parameters, {record.compute['train_seconds']:.0f} s of training")
    print("plots:\n" + "\n".join(f"  {path}" for path in measured.report.plots.values()))
    print(f"model, processor, {RECIPE_NAME} and {RECORD_NAME} in {folder}")


__all__ = ["claim_folder", "find_checkpoint", "run", "save_whole", "whole_checkpoints"]
