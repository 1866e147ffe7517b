"""Load an exported folder."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from .record import ExportRecord


@dataclass(frozen=True)
class Format:
    """How a format is written and run. Modules are named, since they import the format's libraries.

    Args:
        writer: Module that writes it.
        runtime: Module that runs it.
        packages: What writing needs beside the packages of this library.
        runtime_package: The one that running needs.
    """

    writer: str
    runtime: str
    packages: tuple[str, ...]
    runtime_package: str


FORMATS = {
    "onnx": Format(
        "zoo.export.onnx_format",
        "zoo.export.onnx_runtime",
        packages=("onnx", "onnxscript", "onnxruntime"),
        runtime_package="onnxruntime",
    ),
    "ctranslate2": Format(
        "zoo.export.ctranslate2_format",
        "zoo.export.ctranslate2_runtime",
        packages=("ctranslate2",),
        runtime_package="ctranslate2",
    ),
}


def check_installed(format: str, packages: tuple[str, ...]) -> None:
    """Raise a ValueError that says what to install, if a package is missing."""
    from importlib.util import find_spec

    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise ValueError(f"{missing[0]} is not installed: pip install 'primer-zoo[{format}]'")


def load_exported(folder: Path | str) -> Any:
    """The model of a folder that `zoo export` wrote, for any pipeline of its task.

    ```python
    >>> folder = "exports/transformer-translator-en-de-onnx"
    >>> translate = pipeline("translation", model=zoo.load_exported(folder), tokenizer=folder)
    ```

    Every file is compared with its checksum. The model runs on the CPU, with as many threads as torch has
    (`torch.set_num_threads`).

    Args:
        folder: The exported folder.

    Returns:
        A `PreTrainedModel` whose forward, or `generate()`, runs in onnxruntime or CTranslate2.

    Raises:
        FileNotFoundError: The folder has no export.json, or lacks a file that it names.
        ValueError: A file is damaged, the runtime cannot load it, or it is not installed.
    """
    from transformers import AutoConfig

    folder = Path(folder)
    record = ExportRecord.read(folder)
    if record.format not in FORMATS:
        raise ValueError(f"{folder} has the format {record.format!r}; known: {', '.join(FORMATS)}")
    check_installed(record.format, (FORMATS[record.format].runtime_package,))
    record.check_files(folder)
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    return import_module(FORMATS[record.format].runtime).load(config, folder)


__all__ = ["FORMATS", "Format", "check_installed", "load_exported"]
