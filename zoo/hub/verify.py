"""Prove that a model works where nothing but transformers is installed, and that a download is what was uploaded."""

import tempfile
from glob import escape
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import constants, snapshot_download
from safetensors.torch import load_file, save_file

from zoo.pretrained import WEIGHTS
from zoo.record import RunRecord, sha256
from zoo.registry import load_task

from .clean import CleanProcess
from .publish import Publication
from .remote import PublishError, attempt, find_token
from .worker import tensors

# Two processes on one machine compute the same; threads may add up in another order.
TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}


def library_answers(folder: Path, record: RunRecord, batch: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    """What the model answers to a batch in this process, by the library's own code."""
    auto_class: Any = load_task(record.recipe["task"]).auto_class
    model = auto_class.from_pretrained(folder, use_safetensors=True, trust_remote_code=False).eval()
    with torch.no_grad():
        return tensors(model(**batch, return_dict=False))


def clean_answers(
    folder: Path, record: RunRecord, batch: dict[str, torch.Tensor] | None, worker: CleanProcess
) -> tuple[dict[str, Any], list[torch.Tensor]]:
    """(class and parameters, answers) of the model in a process of its own, by the code that lies beside the weights.

    Raises:
        PublishError: It does not load or fails there.
    """
    task = load_task(record.recipe["task"])
    # A processor of the library's own is not needed to load the model; transformers' own classes must find theirs.
    processor = task.auto_processor.__name__ if task.auto_processor.__module__.startswith("transformers.") else None
    with tempfile.TemporaryDirectory(prefix="zoo-batch-") as temporary:
        inputs, outputs = Path(temporary) / "in.safetensors", Path(temporary) / "out.safetensors"
        if batch is not None:
            save_file({name: value.contiguous().clone() for name, value in batch.items()}, inputs)
        try:
            found = worker.ask(
                "load",
                folder=str(folder),
                auto_class=task.auto_class.__name__,
                processor=processor,
                inputs=str(inputs) if batch is not None else None,
                outputs=str(outputs),
            )
        except RuntimeError as error:
            raise PublishError(f"{record.model_id} does not load where zoo is not installed: {error}") from None
        answers = load_file(outputs) if batch is not None else {}
    if not found["module"].startswith("transformers_modules."):
        raise PublishError(f"{record.model_id} was loaded by {found['module']}, not by the code beside its weights")
    if found["parameters"] != record.compute["parameters"]:
        raise PublishError(
            f"{record.model_id} has {found['parameters']:,} parameters there, its record says "
            f"{record.compute['parameters']:,}"
        )
    return found, [answers[str(number)] for number in range(len(answers))]


def compare(expected: list[torch.Tensor], found: list[torch.Tensor], where: str) -> float:
    """The largest difference between two models' answers.

    Raises:
        PublishError: They differ.
    """
    if [tuple(t.shape) for t in expected] != [tuple(t.shape) for t in found]:
        raise PublishError(f"{where} the model answers in other shapes")
    largest = 0.0
    for mine, theirs in zip(expected, found):
        largest = max(largest, float((mine - theirs).abs().nan_to_num().max()) if mine.numel() else 0.0)
        if not torch.allclose(mine.float(), theirs.float(), equal_nan=True, **TOLERANCE):
            raise PublishError(f"{where} the model answers differently (by up to {largest:.2g})")
    return largest


def check_without_library(folder: Path, batch: dict[str, torch.Tensor] | None, worker: CleanProcess) -> str:
    """Load a staged folder without the library and compare its answers with the library's; what was found, in words.

    Raises:
        PublishError: It does not load, or answers differently.
    """
    record = RunRecord.read(folder)
    found, answers = clean_answers(folder, record, batch, worker)
    text = f"{found['class']} loads without the library"
    if batch is None:
        return text
    largest = compare(library_answers(folder, record, batch), answers, "without the library")
    rows = len(next(iter(batch.values())))
    return f"{text} and gives the same answers to {rows} rows (largest difference {largest:.1g})"


def download(published: Publication, cache: Path) -> Path:
    """Download what was published into an empty cache, and compare every file's checksum.

    Raises:
        PublishError: A file is missing or differs; its checksums are named.
    """
    token = find_token()

    def fetch() -> str:
        return snapshot_download(
            published.repo_id,
            revision=published.revision,
            cache_dir=cache,
            token=token,
            allow_patterns=[escape(name) for name in published.files],  # and not what else lies there
        )

    folder = Path(attempt(fetch, f"downloading {published.repo_id}", published.repo_id, constants.ENDPOINT))
    if folder.name != published.commit:
        raise PublishError(f"{published.revision} of {published.repo_id} is {folder.name}, not {published.commit}")
    for name, expected in published.files.items():
        path = folder / name
        found = sha256(path) if path.is_file() else "no such file"
        if found != expected:
            raise PublishError(
                f"{name} of {published.repo_id} at {published.revision} has sha256 {found}, but {expected} was "
                "uploaded: run the same command again, and tell the Hub if it stays so"
            )
    return folder


def check_download(
    published: Publication, staged: Path, batch: dict[str, torch.Tensor] | None, worker: CleanProcess | None
) -> str:
    """Download by tag (else by commit), compare checksums, then answers; what was found, in words.

    Code from the Hub runs only after its checksum was compared with the uploaded code's, in a process of its own.
    """
    with tempfile.TemporaryDirectory(prefix="zoo-cache-") as cache:
        folder = download(published, Path(cache))
        text = f"downloaded {published.revision} again: {len(published.files)} files with the same checksums"
        if worker is None:
            return text
        record = RunRecord.read(folder)
        _, answers = clean_answers(folder, record, batch, worker)
        if batch is None:
            return f"{text}; it loads"
        largest = compare(library_answers(staged, record, batch), answers, "downloaded,")
        return f"{text}, the same answers (largest difference {largest:.1g})"


def registry_entry(published: Publication) -> dict[str, Any]:
    """What zoo/published.json holds of a model, so that `zoo.pretrained` finds just these files."""
    needed = {name: digest for name, digest in published.files.items() if not name.endswith((".py", ".png", ".md"))}
    assert WEIGHTS in needed
    return {"repo_id": published.repo_id, "commit": published.commit, "files": needed}


__all__ = ["check_download", "check_without_library", "download", "registry_entry"]
