"""Speed of exported models beside PyTorch, in one run with one thread, single and 64 at once.

    python scripts/benchmark/export.py [MODEL ...] [--folder exports] [--random]

Exports each model (all shipped ones by default) to every format that can hold it, unless the folder has it already,
and prints a table: milliseconds of PyTorch, and how many times faster the other runtimes are, greedy where text is
generated. The inputs are rows of the validation split; with --random they are random and no data is needed.
"""

import argparse
from pathlib import Path

import torch
from transformers.utils import logging

import zoo
from zoo.export.compare import TIMED_BATCH_SIZES, read_batch, time_models
from zoo.export.examples import example
from zoo.export.export import export, load_original
from zoo.pretrained import shipped_models

EXPORTS = (("onnx", "float32"), ("ctranslate2", "float32"), ("ctranslate2", "int8"))


def real_inputs(path: str) -> dict[str, torch.Tensor]:
    """64 validation rows, as the model reads them."""
    from zoo.training.evaluate import prepare
    from zoo.training.sample import limits

    evaluation = prepare([path, "--split", "validation"])
    evaluation = prepare(
        [path, "--split", "validation", *limits(type(evaluation.task.arguments), max(TIMED_BATCH_SIZES))]
    )
    model = load_original(path)
    evaluation.task.attach(model, evaluation.processor)
    dataset = evaluation.task.views(evaluation.splits["validation"])[0]
    return read_batch(evaluation.task, dataset, range(min(max(TIMED_BATCH_SIZES), len(dataset)))).inputs


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=list(shipped_models()), help="ids or folders")
    parser.add_argument("--folder", type=Path, default=Path("exports"), help="where exports are, or are written")
    parser.add_argument("--random", action="store_true", help="random inputs: no data is needed")
    arguments = parser.parse_args()
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(
        "| model | runtime | "
        + " | ".join(f"{rows} at once" for rows in TIMED_BATCH_SIZES)
        + " |\n|---|---|"
        + "---|" * len(TIMED_BATCH_SIZES)
    )
    for name in arguments.models:
        path = name if Path(name).is_dir() else zoo.pretrained(name)
        models = {"PyTorch": load_original(path)}
        for format, dtype in EXPORTS:
            folder = arguments.folder / f"{Path(path).name}-{format}{'' if dtype == 'float32' else f'-{dtype}'}"
            if not (folder / "export.json").is_file():
                try:
                    export(path, format, folder, dtype, rows=None)
                except ValueError:  # this format cannot hold this model
                    continue
            models[f"{format} {dtype}"] = zoo.load_exported(folder)
        original = models["PyTorch"]
        inputs = example(original.main_input_name, original.config) if arguments.random else real_inputs(path)
        times = time_models(models, inputs)
        for runtime, seconds in times.items():
            cells = [
                f"{1000 * value:.1f} ms" if runtime == "PyTorch" else f"{times['PyTorch'][rows] / value:.2f}x"
                for rows, value in seconds.items()
            ]
            print(f"| {Path(path).name} | {runtime} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
