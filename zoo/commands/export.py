"""`zoo export MODEL --format onnx|ctranslate2 [--output_dir FOLDER] [--dtype float32] [--rows 64]`.

Writes a model for onnxruntime or CTranslate2, loads the files in another process, compares them with PyTorch on rows
of the validation split, and prints sizes and speeds. `zoo.load_exported(FOLDER)` loads it for the library's pipelines.
"""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import Parser, guarded

if TYPE_CHECKING:
    from zoo.export.record import ExportRecord

INTERRUPTED = "interrupted: nothing was written"


def make_parser() -> argparse.ArgumentParser:
    """The flags."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser("zoo export", description=__doc__, formatter_class=raw)
    parser.add_argument("model", help="a run's folder, a Hub id or the id of a shipped model")
    parser.add_argument("--format", required=True, help="onnx or ctranslate2")
    parser.add_argument("--output_dir", help="default: exports/<model id>-<format>")
    parser.add_argument("--dtype", default="float32", help="of the weights; ctranslate2 has float16 and int8 too")
    parser.add_argument("--opset", type=int, help="version of ONNX's operations; default: 20")
    parser.add_argument("--rows", type=int, default=64, help="validation rows to measure; 0: all of them")
    parser.add_argument("--no_measure", action="store_true", help="measure no metric (the data is not needed)")
    return parser


def describe(record: "ExportRecord") -> str:
    """Sizes, differences, metric and speed in words."""
    comparison = record.comparison
    lines = [f"{record.format} {record.dtype}: {record.size / 1e6:.1f} MB"]
    if "max_difference" in comparison:
        lines.append(f"largest difference from PyTorch: {comparison['max_difference']:.1g}")
    if "same_texts" in comparison:
        lines.append(f"same texts: {comparison['same_texts']:,} of {comparison['rows']:,}")
    if "metric" in comparison:
        values = f"{comparison['exported']:.4f}, PyTorch {comparison['pytorch']:.4f}"
        lines.append(f"{comparison['split']} {comparison['metric']}: {values} ({comparison['rows']:,} rows)")
    speeds = ", ".join(f"{ratio:.2f}x with {rows} at once" for rows, ratio in comparison["speedup"].items())
    lines.append(f"speed against PyTorch, one thread: {speeds}")
    return "\n".join(lines)


def export(argv: list[str]) -> None:
    """Parse the command line, and export."""
    from zoo.training.recipe import UsageError
    from zoo.training.weights import find_model

    arguments = make_parser().parse_args(argv)
    formats = ("onnx", "ctranslate2")
    if arguments.format not in formats:
        raise UsageError(f"--format {arguments.format}: known are {', '.join(formats)}")
    if arguments.opset is not None and arguments.format != "onnx":
        raise UsageError("--opset is for --format onnx")
    if arguments.rows < 0:
        raise UsageError(f"--rows {arguments.rows} must be 0 (all) or more; --no_measure measures nothing")
    path = find_model(arguments.model)

    from transformers.utils import logging

    from zoo.export.export import export
    from zoo.registry import register_all

    register_all()
    logging.disable_progress_bar()
    rows = None if arguments.no_measure else arguments.rows
    options = {} if arguments.opset is None else {"opset": arguments.opset}
    folder, record = export(path, arguments.format, arguments.output_dir, arguments.dtype, rows, **options)
    print(describe(record))
    print(folder)


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of the command."""
    return guarded(export, argv, INTERRUPTED)
