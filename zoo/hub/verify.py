"""Check that a model works where only transformers is installed, and that a download equals the upload."""

import tempfile
from glob import escape
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from zoo.pretrained import WEIGHTS
from zoo.record import RunRecord, sha256
from zoo.registry import load_family, load_task

from .clean import CleanProcess
from .publish import Publication
from .remote import PublishError, Remote, find_token
from .worker import tensors

# Two processes on one machine compute the same; threads may add in another order.
TOLERANCE = 1e-4


def check_without_library(folder: Path, batch: dict[str, torch.Tensor] | None, worker: CleanProcess) -> str:
    """Load a folder without the library and compare its answers with the library's; the result in words.

    Args:
        folder: A staged or downloaded folder with the family's code.
        batch: Inputs of the model; None: it is only loaded.
        worker: A process without the library.

    Raises:
        PublishError: It does not load, is not the model of its record, or answers differently.
    """
    record = RunRecord.read(folder)
    task, family = load_task(record.recipe["task"]), load_family(record.recipe["family"])
    auto_class: Any = task.auto_class
    # A processor of the library's own does not travel, and the model loads without it.
    processors = [c for c in (*family.processors, task.auto_processor) if c.__module__.startswith("transformers.")]
    with tempfile.TemporaryDirectory(prefix="zoo-batch-") as temporary:
        inputs, outputs = (Path(temporary) / name for name in ("in.safetensors", "out.safetensors"))
        if batch is not None:
            save_file({name: value.contiguous().clone() for name, value in batch.items()}, inputs)
        try:
            answer = worker.ask(
                "load",
                folder=str(folder),
                auto_class=auto_class.__name__,
                processors=list(dict.fromkeys(processor.__name__ for processor in processors)),
                inputs=str(inputs) if batch is not None else None,
                outputs=str(outputs),
            )
        except RuntimeError as error:
            raise PublishError(f"{record.model_id} does not load where zoo is not installed: {error}") from None
        answers = load_file(outputs) if batch is not None else {}
    if not answer["module"].startswith("transformers_modules."):
        raise PublishError(f"{record.model_id} was loaded by {answer['module']}, not by the code beside its weights")
    if answer["parameters"] != record.compute["parameters"]:
        parameters = f"{answer['parameters']:,} parameters there, its record says {record.compute['parameters']:,}"
        raise PublishError(f"{record.model_id} has {parameters}")
    text = f"{answer['class']} loads without the library"
    if batch is None:
        return text
    model = auto_class.from_pretrained(folder, use_safetensors=True, trust_remote_code=False).eval()
    with torch.no_grad():
        expected = tensors(model(**batch, return_dict=False))
    actual = [answers[str(number)] for number in range(len(answers))]
    try:
        torch.testing.assert_close(actual, expected, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)
    except AssertionError as error:
        difference = " ".join(str(error).split())
        raise PublishError(f"without the library {record.model_id} answers differently: {difference}") from None
    return f"{text} and gives the same answers to {len(next(iter(batch.values())))} rows"


def download(published: Publication, cache: Path) -> Path:
    """Download what was published into an empty cache, and compare every file's checksum.

    Raises:
        PublishError: A file is missing or differs; both checksums are named.
    """
    remote = Remote(published.repo_id, find_token(), published.repo_type)
    path = remote.do(
        "snapshot_download",
        f"downloading {published.repo_id}",
        revision=published.revision,
        cache_dir=cache,
        allow_patterns=[escape(name) for name in published.files],  # not the repository's other files
    )
    folder = Path(path)
    if folder.name != published.commit:
        raise PublishError(f"{published.revision} of {published.repo_id} is {folder.name}, not {published.commit}")
    for name, expected in published.files.items():
        digest = sha256(folder / name) if (folder / name).is_file() else "no such file"
        if digest != expected:
            raise PublishError(
                f"{name} of {published.repo_id} at {published.revision} has sha256 {digest}, but {expected} was "
                "uploaded: run the same command again, and report it to the Hub if it happens again"
            )
    return folder


def check_download(
    published: Publication, batch: dict[str, torch.Tensor] | None = None, worker: CleanProcess | None = None
) -> str:
    """Download by tag (else by commit), compare checksums, then check the model; the result in words.

    Code from the Hub runs only after its checksum was compared with the uploaded code's, in a process of its own.
    Without a worker only checksums are compared; without a batch of inputs the model is only loaded.
    """
    with tempfile.TemporaryDirectory(prefix="zoo-cache-") as cache:
        folder = download(published, Path(cache))
        text = f"downloaded {published.revision} again: {len(published.files)} files with the same checksums"
        return text if worker is None else f"{text}; {check_without_library(folder, batch, worker)}"


def registry_entry(published: Publication) -> dict[str, Any]:
    """What zoo/published.json says of a model, so that `zoo.pretrained` downloads exactly these files."""
    left_out = (".py", ".png", ".md")
    # Exports are in folders of their own, with checksums in their export.json.
    needed = {n: digest for n, digest in published.files.items() if "/" not in n and not n.endswith(left_out)}
    assert WEIGHTS in needed
    return {"repo_id": published.repo_id, "commit": published.commit, "files": needed}


__all__ = ["check_download", "check_without_library", "download", "registry_entry"]
