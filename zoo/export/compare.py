"""Compare an exported folder with its original, in a process that did not write it.

`python -m zoo.export.compare MODEL FOLDER ROWS [untimed]` prints JSON: the difference of outputs or logits on real
rows, how many generated texts are the same, the metric of both on the same rows of the validation split, and how many
times faster the exported model is with one thread, unless that is left out. ROWS is 0 for the whole split. With -1 no
data is read: there is no metric, and inputs are random.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import PreTrainedModel

if TYPE_CHECKING:  # what training needs is imported when data is read
    from zoo.tasks.base import Task
    from zoo.training.trainer import Prediction

IGNORED = -100
TIMED_BATCH_SIZES = (1, 64)
TIMED_RUNS, MOST_RUNS, TIMED_SECONDS = 5, 50, 0.5  # of each call: at least 5, and more of those that are short
BATCH_SIZE = 32
RANDOM_LENGTH = 5  # tokens of random labels


@dataclass
class LabelledBatch:
    """A batch for a model's forward or `generate()`, with the labels apart.

    Args:
        inputs: Arguments of the model.
        labels: Labels of each row, padded with -100.
    """

    inputs: dict[str, torch.Tensor]
    labels: np.ndarray


def split_labels(batch: Mapping[str, torch.Tensor], label_name: str) -> LabelledBatch:
    """Take the labels, and what is made of them, out of a collated batch."""
    not_inputs = (label_name, "future_observed_mask", "decoder_input_ids", "decoder_attention_mask")
    inputs = {name: value for name, value in batch.items() if name not in not_inputs and torch.is_tensor(value)}
    return LabelledBatch(inputs, batch[label_name].numpy())


def read_batch(task: "Task", dataset: Any, rows: range) -> LabelledBatch:
    """These rows of a data set, as a data loader hands them to the model."""
    if hasattr(dataset, "__getitems__"):
        read = dataset.__getitems__(list(rows))
    else:
        read = [dataset[row] for row in rows]
    return split_labels(task.collate(read), task.label_names[0])


def pad_and_join(batches: list[np.ndarray]) -> np.ndarray:
    """Batches of shape (rows, length) as one array, padded with -100."""
    longest = max(batch.shape[1] for batch in batches)
    padded = [np.pad(batch, ((0, 0), (0, longest - batch.shape[1])), constant_values=IGNORED) for batch in batches]
    return np.concatenate(padded)


@torch.no_grad()
def run_model(model: PreTrainedModel, inputs: Mapping[str, torch.Tensor], **settings: Any) -> Any:
    """Generated tokens of a model that generates text, else the tensors of its outputs by name."""
    if model.config.is_encoder_decoder:
        return model.generate(**inputs, **settings)
    outputs = model(**inputs)
    return {name: value for name, value in outputs.items() if torch.is_tensor(value)}


def predict(model: PreTrainedModel, task: "Task", dataset: Any) -> "Prediction":
    """The model's prediction of every row, as its task evaluates it."""
    from zoo.training.trainer import Prediction

    outputs, labels = [], []
    for first in range(0, len(dataset), BATCH_SIZE):
        batch = read_batch(task, dataset, range(first, min(first + BATCH_SIZE, len(dataset))))
        outputs.append(run_model(model, batch.inputs))
        labels.append(batch.labels)
    if model.config.is_encoder_decoder:
        return Prediction(pad_and_join([tokens.numpy() for tokens in outputs]), pad_and_join(labels), dataset)
    ignored = ("loss", *(getattr(model.config, "keys_to_ignore_at_inference", None) or ()))
    names = [name for name in outputs[0] if name not in ignored]
    arrays = tuple(np.concatenate([output[name].float().numpy() for output in outputs]) for name in names)
    return Prediction(arrays[0] if len(arrays) == 1 else arrays, np.concatenate(labels), dataset)


def largest_difference(expected: torch.Tensor, actual: torch.Tensor) -> float:
    """The largest difference of two tensors, relative where the expected value is above 1."""
    return ((expected - actual).abs() / expected.abs().clamp(min=1)).max().item()


def difference_of_outputs(
    original: PreTrainedModel, exported: PreTrainedModel, inputs: Mapping[str, torch.Tensor]
) -> float:
    """The largest difference of any output of two models that answer in one pass."""
    expected, actual = run_model(original, inputs), run_model(exported, inputs)
    return max(largest_difference(expected[name], value) for name, value in actual.items() if name in expected)


@torch.no_grad()
def difference_of_logits(original: PreTrainedModel, exported: PreTrainedModel, batch: LabelledBatch) -> float:
    """The largest difference of the logits of two encoder-decoders, where there are labels."""
    labels = torch.as_tensor(batch.labels)
    inputs = {**batch.inputs, "decoder_input_ids": original.prepare_decoder_input_ids_from_labels(labels)}
    is_real = labels != IGNORED
    return largest_difference(original(**inputs).logits[is_real], exported(**inputs).logits[is_real])


def fastest_seconds(calls: Mapping[str, Callable[[], Any]]) -> dict[str, float]:
    """Processor time of the fastest run of each call; the calls take turns. With one thread it is about the time that
    passes on an idle machine: other work takes the caches from some runs, which are the slower ones."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    begun = time.process_time()
    for run in range(MOST_RUNS):
        if run >= TIMED_RUNS and time.process_time() - begun > TIMED_SECONDS:
            break
        for name, call in calls.items():
            start = time.process_time()
            call()
            times[name].append(time.process_time() - start)
    return {name: min(values) for name, values in times.items()}


def repeat_rows(inputs: Mapping[str, torch.Tensor], rows: int) -> dict[str, torch.Tensor]:
    """A batch of this size: the given rows, over and over."""
    return {name: value[torch.arange(rows) % len(value)] for name, value in inputs.items()}


def time_models(
    models: Mapping[str, PreTrainedModel], inputs: Mapping[str, torch.Tensor]
) -> dict[str, dict[str, float]]:
    """Seconds of processor time of each model, by name, for each batch size; generation is greedy."""
    settings: dict[str, Any] = {}
    if next(iter(models.values())).config.is_encoder_decoder:
        settings = {"num_beams": 1, "early_stopping": False, "length_penalty": 1.0}
    times: dict[str, dict[str, float]] = {name: {} for name in models}
    for size in TIMED_BATCH_SIZES:
        batch = repeat_rows(inputs, size)
        if "attention_mask" in batch:  # a single text has no padding
            longest = int(batch["attention_mask"].sum(1).max())
            batch = {name: value[:, :longest] for name, value in batch.items()}
        measured = fastest_seconds(
            {name: partial(run_model, model, batch, **settings) for name, model in models.items()}
        )
        for name, value in measured.items():
            times[name][str(size)] = value
    return times


def speedup(
    original: PreTrainedModel, exported: PreTrainedModel, inputs: Mapping[str, torch.Tensor]
) -> dict[str, float]:
    """Batch size -> how many times faster the exported model is."""
    times = time_models({"pytorch": original, "exported": exported}, inputs)
    return {size: round(seconds / times["exported"][size], 2) for size, seconds in times["pytorch"].items()}


def count_same_texts(tokenizer: Any, pytorch: "Prediction", exported: "Prediction") -> int:
    """How many rows have the same generated text."""
    texts = []
    for prediction in (pytorch, exported):
        tokens = np.where(prediction.predictions == IGNORED, 0, prediction.predictions)
        texts.append(tokenizer.batch_decode(tokens, skip_special_tokens=True))
    return sum(expected == actual for expected, actual in zip(*texts))


def compare_on_random_inputs(path: str, exported: PreTrainedModel, timed: bool) -> dict[str, Any]:
    """Differences of outputs or logits, and speed."""
    from zoo.export.examples import example
    from zoo.export.export import load_original

    original = load_original(path)
    inputs = example(original.main_input_name, original.config)
    result: dict[str, Any] = {}
    if not original.config.is_encoder_decoder:
        result["max_difference"] = difference_of_outputs(original, exported, inputs)
    elif hasattr(exported, "begin_cache"):  # CTranslate2 shows no logits
        labels = torch.randint(0, original.config.vocab_size, (len(inputs["attention_mask"]), RANDOM_LENGTH))
        result["max_difference"] = difference_of_logits(original, exported, LabelledBatch(inputs, labels.numpy()))
    return result | ({"speedup": speedup(original, exported, inputs)} if timed else {})


def compare_on_data(path: str, exported: PreTrainedModel, rows: int, timed: bool) -> dict[str, Any]:
    """Differences, metrics and speed on rows of the validation split; 0 is the whole split."""
    from zoo.export.export import load_original, task_of
    from zoo.training.evaluate import prepare
    from zoo.training.sample import limits

    _, task_class = task_of(path)
    sample = limits(task_class.arguments_class, rows) if rows else []
    evaluation = prepare([path, "--split", "validation", *sample], "zoo export")
    task, original = evaluation.task, load_original(path)
    task.attach(original, evaluation.processor)
    if exported.can_generate():
        exported.generation_config = original.generation_config
    dataset: Any = task.views(evaluation.splits["validation"])[0]
    batch = read_batch(task, dataset, range(min(BATCH_SIZE, len(dataset))))

    result: dict[str, Any] = {}
    if not original.config.is_encoder_decoder:
        result["max_difference"] = difference_of_outputs(original, exported, batch.inputs)
    elif hasattr(exported, "begin_cache"):  # CTranslate2 shows no logits
        result["max_difference"] = difference_of_logits(original, exported, batch)
    predictions = {"pytorch": predict(original, task, dataset), "exported": predict(exported, task, dataset)}
    metrics = {name: task.evaluate(prediction, intervals=True) for name, prediction in predictions.items()}
    metric, _ = evaluation.recipe.primary_metric(task)
    if metric not in metrics["pytorch"]:
        metric = task.metric
    result |= {"split": "validation", "rows": len(dataset), "metric": metric}
    result |= {name: float(values[metric]) for name, values in metrics.items()}
    if original.config.is_encoder_decoder:
        result["same_texts"] = count_same_texts(evaluation.processor, **predictions)
    return result | ({"speedup": speedup(original, exported, batch.inputs)} if timed else {})


def compare(path: str, folder: str, rows: int, timed: bool = True) -> dict[str, Any]:
    """What the module prints.

    Args:
        path: Folder or Hub id of the original.
        folder: The exported folder.
        rows: Of the validation split; 0 for all, -1 for none.
        timed: Measure the speed, too.
    """
    from zoo.export.loading import load_exported

    torch.set_num_threads(1)
    torch.manual_seed(0)
    exported = load_exported(folder)
    if rows < 0:
        compared = compare_on_random_inputs(path, exported, timed)
    else:
        compared = compare_on_data(path, exported, rows, timed)
    return {"threads": 1, **compared}


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
