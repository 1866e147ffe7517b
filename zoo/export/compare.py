"""Compare an exported folder with its original, in a process that did not write it.

`python -m zoo.export.compare MODEL FOLDER ROWS [untimed]` prints JSON: the difference of outputs or logits on real
rows, how many generated texts are the same, the metric of both on the same rows of the validation split, and how many
times faster the exported model is with one thread, unless that is left out. ROWS is 0 for the whole split. With -1 no
data is read: there is no metric, and inputs are random.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

IGNORED = -100
BATCHES = (1, 64)  # rows at once that are timed
REPEATS = 5
BATCH = 32


@dataclass
class Rows:
    """Inputs of a model, and what its task says of them.

    Args:
        inputs: Arguments of the model's forward or `generate()`.
        labels: The truth, padded with -100.
    """

    inputs: dict[str, torch.Tensor]
    labels: Any


def split_labels(batch: Mapping[str, torch.Tensor], names: tuple[str, ...]) -> Rows:
    """A collated batch without the truth in its inputs."""
    labels = tuple(batch[name].numpy() for name in names if name in batch)
    drop = {*names, "future_observed_mask", "decoder_input_ids", "decoder_attention_mask"}
    inputs = {name: value for name, value in batch.items() if name not in drop and torch.is_tensor(value)}
    return Rows(inputs, labels[0] if len(labels) == 1 else labels)


def fetch(task: Any, dataset: Any, numbers: list[int]) -> Rows:
    """Rows of a data set, as a data loader hands them to the model."""
    several = getattr(dataset, "__getitems__", None)
    rows = several(numbers) if several else [dataset[number] for number in numbers]
    return split_labels(task.collate(rows), task.label_names)


def pad(arrays: list[np.ndarray]) -> np.ndarray:
    """Batches of (rows, length) in one array, padded with -100."""
    longest = max(array.shape[1] for array in arrays)
    return np.concatenate(
        [np.pad(array, ((0, 0), (0, longest - array.shape[1])), constant_values=IGNORED) for array in arrays]
    )


@torch.no_grad()
def run(model: Any, inputs: Mapping[str, torch.Tensor], **settings: Any) -> Any:
    """Generated tokens of a model that generates text, else the tensors of its outputs by name."""
    if model.config.is_encoder_decoder:
        return model.generate(**inputs, **settings)
    outputs = model(**inputs)
    return {name: value for name, value in outputs.items() if torch.is_tensor(value)}


def predict(model: Any, task: Any, dataset: Any) -> Any:
    """The model's prediction of every row, as its task evaluates it."""
    from zoo.training.trainer import Prediction

    outputs, labels = [], []
    for first in range(0, len(dataset), BATCH):
        rows = fetch(task, dataset, list(range(first, min(first + BATCH, len(dataset)))))
        outputs.append(run(model, rows.inputs))
        labels.append(rows.labels)
    if model.config.is_encoder_decoder:
        return Prediction(pad([tokens.numpy() for tokens in outputs]), pad(labels), dataset)
    ignored = ("loss", *(getattr(model.config, "keys_to_ignore_at_inference", None) or ()))
    names = [name for name in outputs[0] if name not in ignored]
    arrays = tuple(np.concatenate([output[name].float().numpy() for output in outputs]) for name in names)
    return Prediction(arrays[0] if len(arrays) == 1 else arrays, np.concatenate(labels), dataset)


@torch.no_grad()
def difference(original: Any, exported: Any, rows: Rows) -> float | None:
    """The largest difference of any output, or of any real token's logits, relative where they are above 1; None where
    there are no logits."""

    def largest(expected: torch.Tensor, found: torch.Tensor) -> float:
        return ((expected - found).abs() / expected.abs().clamp(min=1)).max().item()

    if not original.config.is_encoder_decoder:
        expected, found = run(original, rows.inputs), run(exported, rows.inputs)
        return max(largest(expected[name], value) for name, value in found.items() if name in expected)
    if not hasattr(exported, "begin_cache"):
        return None
    labels = torch.as_tensor(rows.labels)
    given = {**rows.inputs, "decoder_input_ids": original.prepare_decoder_input_ids_from_labels(labels)}
    real = labels != IGNORED
    return largest(original(**given).logits[real], exported(**given).logits[real])


def seconds(calls: Mapping[str, Callable[[], Any]]) -> dict[str, float]:
    """Median processor time of each call. With one thread it is the time that passes on an idle machine, and other
    work does not change it; the calls take turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(REPEATS):
        for name, call in calls.items():
            start = time.process_time()
            call()
            times[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def repeat(inputs: Mapping[str, torch.Tensor], rows: int) -> dict[str, torch.Tensor]:
    """So many rows: the first ones, over and over."""
    return {name: value[torch.arange(rows) % len(value)] for name, value in inputs.items()}


def time_models(models: Mapping[str, Any], inputs: Mapping[str, torch.Tensor]) -> dict[str, dict[str, float]]:
    """Seconds of processor time of each model, by name, for each number of rows at once; generation is greedy."""
    settings: dict[str, Any] = {}
    if next(iter(models.values())).config.is_encoder_decoder:
        settings = {"num_beams": 1, "early_stopping": False, "length_penalty": 1.0}
    times: dict[str, dict[str, float]] = {name: {} for name in models}
    for rows in BATCHES:
        batch = repeat(inputs, rows)
        if "attention_mask" in batch:  # a single text has no padding
            longest = int(batch["attention_mask"].sum(1).max())
            batch = {name: value[:, :longest] for name, value in batch.items()}
        measured = seconds({name: partial(run, model, batch, **settings) for name, model in models.items()})
        for name, value in measured.items():
            times[name][str(rows)] = value
    return times


def compare(path: str, folder: str, rows: int, timed: bool = True) -> dict[str, Any]:
    """What the module prints.

    Args:
        path: Folder or Hub id of the original.
        folder: The exported folder.
        rows: Of the validation split; 0 for all, -1 for none.
        timed: Measure the speed, too.
    """
    from zoo.export.examples import example
    from zoo.export.export import load_original, task_of
    from zoo.export.loading import load_exported

    torch.set_num_threads(1)
    torch.manual_seed(0)
    exported = load_exported(folder)
    result: dict[str, Any] = {"threads": 1}
    if rows < 0:
        original = load_original(path)
        inputs = example(original.main_input_name, original.config)
        labels = None
        if original.config.is_encoder_decoder:  # what it is to write: any tokens
            labels = torch.randint(0, original.config.vocab_size, (len(inputs["attention_mask"]), 5))
        found = difference(original, exported, Rows(inputs, labels))
        if found is not None:
            result["max_difference"] = found
    else:
        from zoo.training.evaluate import prepare
        from zoo.training.sample import limits

        sample = limits(task_of(path)[1].arguments_class, rows) if rows else []
        evaluation = prepare([path, "--split", "validation", *sample], "zoo export")
        task = evaluation.task
        original = task.auto_class.from_pretrained(path, use_safetensors=True, trust_remote_code=False).eval()
        task.attach(original, evaluation.processor)
        if exported.can_generate():
            exported.generation_config = original.generation_config
        dataset: Any = task.views(evaluation.splits["validation"])[0]
        first = fetch(task, dataset, list(range(min(BATCH, len(dataset)))))
        inputs = first.inputs
        found = difference(original, exported, first)
        if found is not None:
            result["max_difference"] = found
        metric, _ = evaluation.recipe.primary_metric(task)
        predictions = {
            name: predict(model, task, dataset) for name, model in (("pytorch", original), ("exported", exported))
        }
        measured = {name: task.evaluate(prediction, intervals=True) for name, prediction in predictions.items()}
        metric = metric if metric in measured["pytorch"] else task.metric
        result |= {
            "split": "validation",
            "rows": len(dataset),
            "metric": metric,
            "pytorch": float(measured["pytorch"][metric]),
            "exported": float(measured["exported"][metric]),
        }
        if original.config.is_encoder_decoder:
            texts = [
                evaluation.processor.batch_decode(
                    np.where(p.predictions == IGNORED, 0, p.predictions), skip_special_tokens=True
                )
                for p in predictions.values()
            ]
            result["same_texts"] = sum(first == second for first, second in zip(*texts))
    if not timed:
        return result
    times = time_models({"pytorch": original, "exported": exported}, inputs)
    result["speedup"] = {size: round(value / times["exported"][size], 2) for size, value in times["pytorch"].items()}
    return result


def main() -> None:
    """Print the comparison as the last line."""
    path, folder, rows, *untimed = sys.argv[1:]
    from zoo.training.recipe import UsageError

    try:
        print(json.dumps(compare(path, folder, int(rows), not untimed)))
    except (OSError, ValueError, RuntimeError, UsageError) as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
