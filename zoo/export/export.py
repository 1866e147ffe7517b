"""`zoo export`: write a model in another format, compare it with the original, and put it where it belongs."""

import json
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from zoo.record import replaced_folder, sha256

from .loading import FORMATS, check_installed
from .record import EXPORT_NAME, ExportRecord

ROWS = 64
# Of float32 outputs and logits.
TOLERANCE = 1e-3
# What is beside the weights and belongs to the model in any format.
SETTINGS_FILES = (
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
)


def task_of(path: str) -> tuple[str, Any]:
    """(model id, class of its task) of a saved model."""
    from zoo.registry import load_task
    from zoo.training.evaluate import saved_recipe
    from zoo.training.weights import load_config

    recipe = saved_recipe(path, load_config(path))
    return recipe.id, load_task(recipe.task)


def load_original(path: str) -> Any:
    """The model in float32, for evaluation."""
    import torch

    _, task = task_of(path)
    model = task.auto_class.from_pretrained(path, use_safetensors=True, trust_remote_code=False, dtype=torch.float32)
    return model.eval()


def copy_settings(path: str, folder: Path) -> None:
    """Config, generation settings and processor files, as they are beside the weights."""
    from transformers.utils import cached_file

    for name in SETTINGS_FILES:
        file = cached_file(path, name, _raise_exceptions_for_missing_entries=False)
        if file is not None:
            shutil.copyfile(file, folder / name)


def checksum(path: str) -> str:
    """Of the model's weights; empty if they are in several files."""
    from transformers.utils import cached_file

    weights = cached_file(path, "model.safetensors", _raise_exceptions_for_missing_entries=False)
    return "" if weights is None else sha256(Path(weights))


def check_target(target: Path) -> None:
    """Refuse to replace anything but an earlier export.

    Raises:
        ValueError: Something else is there, and would be lost.
    """
    if target.is_file() or (target.is_dir() and any(target.iterdir()) and not (target / EXPORT_NAME).is_file()):
        raise ValueError(f"{target} is not an exported folder, and would be replaced: name another --output_dir")
    if target.is_dir() and any(target.iterdir()):
        known = {*ExportRecord.read(target).files, EXPORT_NAME}
        for path in sorted(target.rglob("*")):
            if path.is_file() and path.relative_to(target).as_posix() not in known:
                raise ValueError(f"{path} is no file of the export, and would be lost: name another --output_dir")


def compare_in_clean_process(path: str, folder: Path, rows: int, timed: bool = True) -> dict[str, Any]:
    """What `zoo.export.compare` measures.

    Raises:
        ValueError: The files do not load, or the data is missing; the message is the process's last.
    """
    command = [sys.executable, "-W", "ignore", "-m", "zoo.export.compare", path, str(folder), str(rows)]
    command += [] if timed else ["untimed"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"the process ended with code {done.returncode}"]
        raise ValueError(f"the exported model cannot be compared: {lines[-1]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def check_comparison(record: ExportRecord) -> None:
    """Refuse files that do not compute what the original does.

    Raises:
        ValueError: How far they are apart.
    """
    difference = record.comparison.get("max_difference")
    # Written so that NaN is refused, too.
    if record.dtype == "float32" and difference is not None and not difference <= TOLERANCE:
        raise ValueError(
            f"the exported model differs from PyTorch by {difference:.2g} (at most {TOLERANCE:g} is rounding)"
        )


def find_writer(format: str, dtype: str) -> Any:
    """The module that writes a format.

    Raises:
        ValueError: The format or the type of weights is unknown, or its library is not installed.
    """
    if format not in FORMATS:
        raise ValueError(f"--format {format}: known are {', '.join(FORMATS)}")
    check_installed(format, FORMATS[format].packages)
    writer = import_module(FORMATS[format].writer)
    if dtype not in writer.DTYPES:
        raise ValueError(f"--dtype {dtype}: {format} is written in {', '.join(writer.DTYPES)}")
    return writer


def export(
    path: str,
    format: str,
    output_dir: Path | str | None = None,
    dtype: str = "float32",
    rows: int | None = ROWS,
    timed: bool = True,
    **options: Any,
) -> tuple[Path, ExportRecord]:
    """Export a model: into a temporary folder first, which takes its place when everything is right.

    Args:
        path: Folder or Hub id of the model.
        format: "onnx" or "ctranslate2".
        output_dir: Where to; default: exports/<model id>-<format>.
        dtype: Type of the weights, as far as the format has it.
        rows: Rows of the validation split to measure it on; 0 for all, None to measure nothing (no data is needed).
        timed: Measure the speed, too, which takes minutes for a model that generates text.
        options: `opset` of ONNX.

    Returns:
        The folder and its record.

    Raises:
        OSError: The model cannot be loaded.
        ValueError: The format cannot hold the model, its library is not installed, or the files do not compute what
            the original does.
    """
    writer = find_writer(format, dtype)
    model_id, task = task_of(path)
    target = Path(output_dir or Path("exports") / f"{model_id}-{format}")
    check_target(target)
    model = load_original(path)
    writer.check(model.config)
    print(f"writing {model_id} for {format}", flush=True)
    with replaced_folder(target) as folder:
        copy_settings(path, folder)
        writer.write(model, folder, dtype, **options)
        del model
        opset = options.get("opset", getattr(writer, "OPSET", None))
        record = ExportRecord(format, model_id, task.name, dtype, opset, checksum(path))
        record.add_files(folder)
        record.add_versions(writer.PACKAGES)
        record.write(folder)
        print("comparing it with PyTorch in another process", flush=True)
        record.comparison = compare_in_clean_process(path, folder, -1 if rows is None else rows, timed)
        check_comparison(record)
        record.write(folder)
    return target, record


# A task's class of processors -> what a pipeline takes beside an exported model.
PROCESSORS = {
    "AutoImageProcessor": ", image_processor=folder",
    # A pipeline fails on the name of a feature extractor beside a loaded model.
    "AutoProcessor": ", feature_extractor=AutoFeatureExtractor.from_pretrained(folder), tokenizer=folder",
    "AutoTokenizer": ", tokenizer=folder",
}


def card_entry(record: ExportRecord) -> dict[str, Any]:
    """What a model's card says of an export."""
    from zoo.record import describe_machine
    from zoo.registry import load_task

    task = load_task(record.task)
    return {
        "dtype": record.dtype,
        "bytes": record.size,
        "machine": describe_machine(),
        "pipeline": task.hub_tag(),
        "processors": PROCESSORS.get(task.auto_processor.__name__, ""),
        "rows": 0,
        **record.comparison,
    }


__all__ = ["SETTINGS_FILES", "ROWS", "card_entry", "export", "load_original", "task_of"]
