"""One run: train, evaluate, save, record."""

import shlex
import tempfile
import time
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import Trainer, TrainerCallback, TrainerState
from transformers.trainer_utils import IntervalStrategy

from zoo.record import (
    RECORD_NAME,
    RunRecord,
    describe_machine,
    installed_versions,
    library_commit,
    sha256,
    write_whole,
)
from zoo.tasks.base import Report, Task

from .averaging import AverageCallback, choose_weights
from .build import Parts, build, load_processor
from .callbacks import EMA_NAME, EMACallback, StopEarlyCallback
from .command_line import RunSettings
from .fit import describe_fit, diagnose, draw_learning_curves
from .recipe import Recipe, UsageError, load_recipe
from .save_dtype import convert_file, round_weights
from .trainer import final_settings, in_full_precision, zoo_trainer
from .weights import find_model

RECIPE_NAME = "recipe.yaml"
PICTURES = "pictures"
NOT_IN_COMMAND = (
    "--output_dir", "--resume_from_checkpoint", "--disable_tqdm", "--skip_test", "--debug", "--push_to_hub",
    "--hub_model_id", "--hub_private_repo", "--hub_strategy", "--hub_revision",
)  # fmt: skip


def whole_checkpoints(folder: Path, needs_average: bool) -> list[Path]:
    """Checkpoints that were written to the end, oldest first: the Trainer writes its state last, then the average."""
    needed = ["trainer_state.json"] + ([EMA_NAME] if needs_average else [])
    found = [path for path in folder.glob("checkpoint-*") if path.name.split("-")[-1].isdigit()]
    found = [path for path in found if all((path / name).is_file() for name in needed)]
    return sorted(found, key=lambda path: int(path.name.split("-")[-1]))


def find_checkpoint(settings: RunSettings) -> Path | None:
    """The checkpoint to go on from, or None.

    Raises:
        UsageError: It does not exist, or was cut off while it was written.
    """
    asked, folder = settings.training.resume_from_checkpoint, Path(settings.training.output_dir)
    if asked is None or asked.lower() == "false":
        return None
    whole = whole_checkpoints(
        folder if asked.lower() in ("last", "true") else Path(asked).parent, bool(settings.zoo.ema_decay)
    )
    if asked.lower() in ("last", "true"):
        if not whole:
            raise UsageError(
                f"--resume_from_checkpoint {asked}: {folder} holds no whole checkpoint; start without the flag"
            )
        return whole[-1]
    match = [path for path in whole if path == Path(asked)]
    if not match:
        names = ", ".join(path.name for path in whole) or "none"
        raise UsageError(
            f"--resume_from_checkpoint {asked}: no whole checkpoint there (whole ones beside it: {names})"
        )
    return match[0]


def claim_folder(settings: RunSettings, checkpoint: Path | None) -> None:
    """Make the output folder, and refuse one that holds another run.

    Raises:
        UsageError: The folder holds files that this run does not own.
    """
    folder = Path(settings.training.output_dir)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--output_dir {folder} is a file; name a folder")
    held = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    recorded = load_recipe(folder / RECIPE_NAME).what_is_learnt() if RECIPE_NAME in held else {}
    asked = settings.recipe.what_is_learnt()
    # A run that failed before its first checkpoint left its recipe and nothing to lose.
    if held not in ([], [RECIPE_NAME]) and checkpoint is None:
        advice = "choose another --output_dir"
        if recorded == asked and RECORD_NAME in held:
            raise UsageError(
                f"--output_dir {folder} holds the finished run of this very recipe: {advice}, or delete it"
            )
        if recorded == asked:
            advice += ", go on with --resume_from_checkpoint last"
        raise UsageError(f"--output_dir {folder} is not empty (it holds {held[0]}): {advice}, or delete it")
    changed = [key for key in {**recorded, **asked} if recorded.get(key) != asked.get(key)]
    if recorded and changed and checkpoint is not None:
        raise UsageError(
            f"{folder / RECIPE_NAME} differs from this command in {', '.join(changed)}: go on with the same flags, or "
            "start anew in another --output_dir"
        )
    folder.mkdir(parents=True, exist_ok=True)


def predict(trainer: Trainer, views: Sequence[Any]) -> tuple[Any, Any, Any]:
    """(predictions averaged over the views, predictions of the first view, label ids)."""
    with final_settings(trainer):
        results = [trainer.predict(view) for view in views]
    first = results[0].predictions
    measured = len(results[0].label_ids)
    if measured != len(views[0]):
        raise RuntimeError(f"{len(views[0]):,} rows were to be measured, but predictions came for {measured:,}")
    return (
        np.mean([result.predictions for result in results], axis=0) if len(results) > 1 else first,
        first,
        results[0].label_ids,
    )


def calibrate(trainer: Trainer, task: Task, validation: Any, arguments: Any) -> None:
    """Let the processor learn from the validation split how wrong the final weights are, where the task does so."""
    if task.calibrate is not None and validation is not None:
        views = task.evaluation_views(validation, arguments)
        predictions, _, label_ids = predict(trainer, views)
        task.calibrate(predictions, label_ids, trainer.model.config, views[0], arguments)


@dataclass
class Measured:
    """Metrics of each split, and the task's report on one of them."""

    metrics: dict[str, dict[str, Any]]
    reported: str
    report: Report


def measure(
    trainer: Trainer, task: Task, splits: Mapping[str, Any], arguments: Any, reported: str, folder: Path
) -> Measured:
    """Predict every split; the report's pictures go to the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    metrics: dict[str, dict[str, Any]] = {}
    report = Report("")
    for name, dataset in splits.items():
        views = task.evaluation_views(dataset, arguments)
        # Training rows are measured for the verdict on the fit alone, which compares single views.
        predictions, plain, label_ids = predict(trainer, views[:1] if name == "train" else views)
        metrics[name] = task.score(predictions, label_ids, trainer.model.config, views[0])
        if plain is not predictions:
            metrics[f"{name}_plain"] = task.score(plain, label_ids, trainer.model.config, views[0])
        if name == reported and trainer.is_world_process_zero():
            report = task.report(predictions, label_ids, trainer.model.config, views[0], folder)
            if task.inspect is not None:
                seen = task.inspect(trainer.model, trainer.processing_class, views[0], folder)
                report = Report(
                    "\n".join(filter(None, (report.text, seen.text))),
                    {**report.tables, **seen.tables},
                    {**report.pictures, **seen.pictures},
                )
    return Measured(metrics, reported, report)


def measure_parent(parts: Parts, settings: RunSettings, splits: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Metrics of the weights that the run started from, where the task wants to tell before from after."""
    task, start_from = parts.task, settings.recipe.model_name_or_path
    if task.parent_view is None or not start_from or settings.zoo.random_weights:
        return {}
    path = find_model(start_from)
    processor = load_processor(task, path)
    measured = {name: task.parent_view(rows, processor) for name, rows in splits.items() if name != "train"}
    views = {name: view for name, view in measured.items() if view is not None}
    if not views:
        return {}
    model = parts.family.model_classes[task.name].from_pretrained(path, use_safetensors=True)
    task.prepare_model(model, processor, settings.data)
    arguments = copy(parts.trainer.args)
    arguments.eval_strategy, arguments.load_best_model_at_end = IntervalStrategy.NO, False
    trainer = zoo_trainer(task.trainer_class)(
        model=model,
        args=arguments,
        data_collator=task.build_collator(processor, settings.data, model.config, settings.training.seed),
        processing_class=processor,
    )
    in_full_precision(trainer)
    return {
        name: task.score(*(result for place, result in enumerate(predict(trainer, [view])) if place != 1),
                         model.config, view)
        for name, view in views.items()
    }  # fmt: skip


def save_whole(trainer: Trainer, folder: Path, save_dtype: str = "float32") -> None:
    """Save model and processor beside the folder's other files, each whole or not at all."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=".saving-") as temporary:
        trainer.save_model(temporary)
        for file in Path(temporary).glob("*.safetensors") if save_dtype != "float32" else ():
            convert_file(file, trainer.accelerator.unwrap_model(trainer.model), save_dtype)
        for file in sorted(Path(temporary).iterdir(), key=lambda path: path.suffix == ".safetensors"):
            if file.name != "training_args.bin":  # a pickle with machine paths; recipe.yaml says it readably
                file.replace(folder / file.name)


def reproduce_command(argv: Sequence[str], recipe: Recipe) -> str:
    """The command that gives this run, without the flags that only say where it lies."""
    kept: list[str] = []
    dropping = False
    for argument in argv[1:]:
        if argument.startswith("--"):
            dropping = argument.split("=")[0] in NOT_IN_COMMAND
        if not dropping:
            kept.append(argument)
    return shlex.join(["accelerate", "launch", "scripts/train.py", argv[0] if argv else recipe.id, *kept])


def peak_memory() -> int:
    """Peak memory in bytes: of the accelerator if there is one, else of the process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def train(parts: Parts, settings: RunSettings, checkpoint: Path | None) -> dict[str, Any]:
    """Train; seconds, samples a second and peak memory."""
    trainer, folder = parts.trainer, Path(settings.training.output_dir)
    # A finished run that is measured again has trained in an earlier process.
    earlier = RunRecord.read(folder).compute if checkpoint and (folder / RECORD_NAME).is_file() else {}
    if checkpoint is not None:
        for callback in trainer.callback_handler.callbacks:
            if isinstance(callback, (EMACallback, AverageCallback)):
                callback.load(checkpoint)
    if checkpoint is None or not stopped_early(trainer, checkpoint):
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    in_full_precision(trainer)
    seconds = max((entry.get("seconds", 0.0) for entry in trainer.state.log_history), default=0.0)
    return {
        "train_seconds": seconds,
        **throughput(trainer, seconds),
        "peak_memory_bytes": max(peak_memory(), earlier.get("peak_memory_bytes", 0)),
    }


def stopped_early(trainer: Trainer, checkpoint: Path) -> bool:
    """Whether the run had stopped early when its checkpoint was written; the trainer is then as it was at its end.

    transformers' Trainer would go on: what stopped it is not in the checkpoint.
    """
    state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    handler = trainer.callback_handler
    stops = [callback for callback in handler.callbacks if isinstance(callback, StopEarlyCallback)]
    if not any(callback.is_over(trainer.args, state.log_history) for callback in stops):
        return False
    trainer.state = state
    best = state.best_model_checkpoint if trainer.args.load_best_model_at_end else None
    trainer._load_from_checkpoint(best or str(checkpoint))
    trainer.control = handler.on_train_end(trainer.args, trainer.state, trainer.control)
    return True


def throughput(trainer: Trainer, seconds: float) -> dict[str, Any]:
    """Samples a second, evaluations included; with batches by tokens, tokens a second and the share of padding too."""
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


def average(parts: Parts, settings: RunSettings) -> dict[str, Any]:
    """Let the validation split decide between the weights and the average of checkpoints, if the recipe has one."""
    for callback in parts.trainer.callback_handler.callbacks:
        if isinstance(callback, AverageCallback):
            return choose_weights(parts.trainer, callback, *settings.recipe.deciding_metric(parts.task))
    return {}


def make_record(
    parts: Parts,
    settings: RunSettings,
    argv: Sequence[str],
    measured: Measured,
    compute: dict[str, Any],
    averaging: dict[str, Any],
) -> RunRecord:
    """Everything that results.json says of a run."""
    trainer, task, data, metrics = parts.trainer, parts.task, parts.data, measured.metrics
    history = [entry for entry in trainer.state.log_history if "epoch" in entry]
    baselines = {
        name: task.baselines(data.train, task.evaluation_views(split, settings.data)[0])
        for name, split in data.splits().items()
        if name in metrics
    }
    metric, greater_is_better = settings.recipe.deciding_metric(task)
    trivial = {
        name: next(values[metric] for values in found.values() if metric in values)
        for name, found in baselines.items()
    }
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
                name: {"n": len(split), "sha256": data.fingerprint.get(name)} for name, split in data.splits().items()
            },
            "notes": dict(data.notes),
        },
        seed=settings.training.seed,
        metrics=metrics,
        baselines=baselines[measured.reported],
        fit=diagnose(plain, trivial, history, metric, greater_is_better, task.skill, task.gap, task.best_value),
        tables=measured.report.tables,
        history=history,
        averaging=averaging,
        compute={
            **compute,
            "parameters": sum(p.numel() for p in trainer.model.parameters()),
            "processes": trainer.args.world_size,
            "machine": describe_machine(),
        },
        versions=installed_versions(),
        commit=library_commit(),
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        weights_sha256=sha256(weights) if weights.is_file() else "",
    )


def run(settings: RunSettings, argv: Sequence[str], callbacks: Sequence[TrainerCallback] = ()) -> RunRecord | None:
    """Train by the recipe, evaluate every split with the final weights, save and record.

    Everything lands in `settings.training.output_dir`: model, processor, recipe.yaml, results.json, trainer_state.json
    and pictures/. The test split is looked at here and nowhere else, unless `--skip_test`. `callbacks` watch the
    training.

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
    parts = build(settings, callbacks)
    if is_first:
        write_whole(folder / RECIPE_NAME, settings.recipe.to_yaml())
        print("\n".join(parts.data.remarks), flush=True) if parts.data.remarks else None
    compute = train(parts, settings, checkpoint)
    averaging = average(parts, settings)
    if parts.lora is not None:
        parts.lora.merge()
    if settings.zoo.save_dtype != "float32":
        round_weights(parts.trainer.model, settings.zoo.save_dtype)

    calibrate(parts.trainer, parts.task, parts.data.validation, settings.data)
    splits = parts.data.splits()
    if settings.run.skip_test:
        splits.pop("test", None)
    reported = "test" if "test" in splits else "validation"
    measured = measure(parts.trainer, parts.task, splits, settings.data, reported, folder / PICTURES)
    before = measure_parent(parts, settings, splits)
    save_whole(parts.trainer, folder, settings.zoo.save_dtype)
    if not is_first:
        return None
    parts.trainer.save_state()
    record = make_record(parts, settings, argv, measured, compute, averaging)
    record.before = before
    measured.report.pictures["learning_curves"] = folder / PICTURES / "learning_curves.png"
    draw_learning_curves(record.history, record.fit["metric"], measured.report.pictures["learning_curves"])
    record.write(folder)
    show(record, measured.report, reported, folder)
    return record


def of_directions(metric: str, found: Mapping[str, Any]) -> list[str]:
    """The names of a metric itself and of the same metric of kept pairs (bleu, bleu_en-pt_BR, but not bleu_low)."""
    others = [f"{name}_" for name in found if name.startswith(f"{metric}_") and "-" not in name]
    return [
        name
        for name in found
        if name == metric or (name.startswith(f"{metric}_") and "-" in name and not name.startswith(tuple(others)))
    ]


def show(record: RunRecord, report: Report, split: str, folder: Path) -> None:
    """Print what a person wants to know at the end of a run."""
    print(f"\n{record.model_id} on the {split} split\n\n{report.text}")
    print(describe_fit(record.fit))
    for name, metrics in record.before.items():
        for key in of_directions(record.fit["metric"], metrics):
            if key in record.metrics[name]:
                print(f"{name} {key}: {metrics[key]:.2f} before, {record.metrics[name][key]:.2f} after")
    print(f"\n{record.compute['parameters']:,} parameters, {record.compute['train_seconds']:.0f} s of training")
    print("pictures:\n" + "\n".join(f"  {path}" for path in report.pictures.values()))
    print(f"model, processor, {RECIPE_NAME} and {RECORD_NAME} in {folder}")


__all__ = [
    "Measured",
    "calibrate",
    "claim_folder",
    "find_checkpoint",
    "measure",
    "predict",
    "run",
    "save_whole",
    "whole_checkpoints",
]
