"""results.json: what a run was and what it measured. Cards, tables and publishing read nothing else."""

import dataclasses
import hashlib
import json
import os
import platform
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from types import UnionType
from typing import Any, get_origin

RECORD_NAME = "results.json"
PACKAGES = ("primer-zoo", "torch", "transformers", "datasets", "accelerate", "safetensors", "scikit-learn")


@dataclass
class RunRecord:
    """One run: what it was and what it measured.

    Args:
        model_id: The recipe's id.
        command: The command that reproduces the run.
        recipe: The resolved recipe.
        data: Source, sha256 and size of each split, notes.
        seed: Seed of weights, order and augmentation.
        metrics: Split -> metric -> value, with the final weights; `<split>_plain` holds the metrics without test-time
            augmentation where a recipe uses it.
        baselines: Name of a baseline -> metrics on `split`.
        fit: Verdict underfit, good fit or overfit, with the rule and its numbers.
        tables: Tables of the task's report on `split`.
        history: The Trainer's log, one entry an evaluation or log step.
        averaging: Which checkpoints were averaged, the validation metric of the average and of the single weights, and
            which of the two the run saved; empty if nothing was averaged.
        compute: Seconds, samples a second, parameters, peak memory in bytes, machine.
        versions: Versions of Python and the packages that matter.
        commit: Commit of the library, if it ran from a checkout.
        created: UTC time.
        origins: Name of each model that the run started from or learned from -> sha256 of its weights, or its commit
            on the Hub.
        weights_sha256: Checksum of model.safetensors.
        before: The same metrics of the weights that the run started from, where a task compares them.
        usage: What the card's code examples printed when `zoo card` ran them: the repository's id, and code and output
            of each example.
        exports: Format -> size, difference from PyTorch and speed of each export that was published with the model.
    """

    model_id: str
    command: str
    recipe: dict[str, Any]
    data: dict[str, Any]
    seed: int
    metrics: dict[str, dict[str, Any]]
    baselines: dict[str, dict[str, Any]] = field(default_factory=dict)
    fit: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    averaging: dict[str, Any] = field(default_factory=dict)
    compute: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    commit: str | None = None
    created: str = ""
    origins: dict[str, str] = field(default_factory=dict)
    weights_sha256: str = ""
    before: dict[str, dict[str, Any]] = field(default_factory=dict)
    usage: dict[str, Any] = field(default_factory=dict)
    exports: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def split(self) -> str:
        """The split whose metrics cards and lists show: test, or validation without one."""
        return "test" if "test" in self.metrics else "validation"

    def write(self, folder: Path | str) -> Path:
        """Write results.json into the folder, whole or not at all."""
        text = json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False, allow_nan=True)
        return write_whole(Path(folder) / RECORD_NAME, text + "\n")

    @classmethod
    def read(cls, folder: Path | str) -> "RunRecord":
        """Read the record of a run folder.

        Raises:
            FileNotFoundError: The folder holds no results.json.
            ValueError: The file is not a run record; the message names the field.
        """
        path = Path(folder) / RECORD_NAME
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist: {folder} is not the folder of a finished run")
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            record = cls(**content)
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: not JSON: {error}") from None
        except TypeError as error:
            raise ValueError(f"{path}: not a run record: {str(error).replace('RunRecord.__init__() ', '')}") from None
        for part in dataclasses.fields(cls):
            kind: Any = part.type if isinstance(part.type, UnionType) else get_origin(part.type) or part.type
            if not isinstance(getattr(record, part.name), kind):
                name = getattr(kind, "__name__", kind)
                raise ValueError(f"{path}: not a run record: {part.name} is not a {name}")
        return record


def write_whole(path: Path, text: str) -> Path:
    """Write a text file under a temporary name, then rename it: a full disk or a kill keeps the earlier file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """An empty folder to write into, which takes the place of `folder` at the end. If writing fails or is interrupted,
    what was there stays."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
        new = Path(temporary) / "new"
        new.mkdir()
        yield new
        if folder.exists():  # deleted with the temporary folder
            folder.rename(Path(temporary) / "old")
        new.rename(folder)


def sha256(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _digest(file)


def _digest(file: Any) -> str:
    digest = hashlib.sha256()
    for block in iter(lambda: file.read(1 << 20), b""):
        digest.update(block)
    return digest.hexdigest()


def installed_versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide the result of a run."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def library_commit() -> str | None:
    """The git commit of the library's own checkout, marked `+changes` if files differ; None outside a checkout."""
    folder = Path(__file__).parents[1]
    if not (folder / ".git").exists():
        return None
    try:
        run = ["git", "-C", str(folder)]
        commit = subprocess.run([*run, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        dirty = subprocess.run([*run, "status", "--porcelain", "-uno"], capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("+changes" if dirty else "")


def describe_machine() -> str:
    """Processor or accelerator, cores and system, without names that identify the machine."""
    import torch

    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}, {os.cpu_count()} CPU cores"
    return f"{os.cpu_count()} CPU cores ({platform.machine()}), {platform.system()}"


__all__ = ["RECORD_NAME", "RunRecord", "replaced_folder", "sha256", "write_whole"]
