"""Write a model as ONNX files."""

import contextlib
import io
import logging
import warnings
from pathlib import Path
from typing import Any

import torch

from .graphs import Graph, graphs

PACKAGES = ("torch", "transformers", "onnx", "onnxscript", "onnxruntime")
OPSET = 20
DTYPES = ("float32",)


def write_graph(graph: Graph, path: Path, opset: int = OPSET) -> None:
    """Trace a graph and write its file; batch and lengths stay free.

    Raises:
        ValueError: The model has an operation that ONNX lacks, its code depends on a size, or the operations do not
            exist in this version.
    """
    shapes: Any = {"inputs": graph.axes}
    # torch and onnxscript report their progress, and warn of what they do not need.
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                graph.module,
                (),
                kwargs={"inputs": graph.inputs},
                dynamic_shapes=shapes,
                input_names=list(graph.inputs),
                output_names=list(graph.outputs),
                opset_version=opset,
                dynamo=True,
                verbose=False,
            )
            assert program is not None
            written = program.model.opset_imports.get("", opset)
            if written != opset:  # where the conversion fails, torch only warns
                raise ValueError(f"--opset {opset}: the installed torch and onnx leave {path.name} at opset {written}")
            program.save(path, external_data=False)
    except torch.onnx.OnnxExporterError as error:
        reason = " ".join(str(error.__cause__ or error).split())[:300]
        raise ValueError(f"cannot write {path.name}: {reason}") from error
    finally:
        logging.disable(before)


def check(config: Any) -> None:
    """Refuse what ONNX cannot hold.

    Raises:
        ValueError: What of the config it is.
    """
    if getattr(config, "cell_type", None) == "rnn":
        raise ValueError('cell_type="rnn" has no ONNX operator here: export models with "lstm" or "gru"')
    if getattr(config, "decoding", None) == "recursive":
        raise ValueError('decoding="recursive" writes its forecast step by step: export models with another decoding')


def write(model: Any, folder: Path, dtype: str, opset: int = OPSET) -> None:
    """Write model.onnx, or encoder_model.onnx and decoder_model.onnx.

    Args:
        model: In float32; `check` accepts its config.
        folder: Where to.
        dtype: "float32".
        opset: Version of ONNX's operations.

    Raises:
        ValueError: A graph cannot be written.
    """
    for graph in graphs(model):
        write_graph(graph, folder / f"{graph.name}.onnx", opset)


__all__ = ["DTYPES", "OPSET", "PACKAGES", "check", "write", "write_graph"]
