"""export.json: what an exported folder holds, and how it compares with PyTorch."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from zoo.record import sha256, write_whole

EXPORT_NAME = "export.json"


@dataclass
class ExportRecord:
    """One exported model.

    Args:
        format: "onnx" or "ctranslate2".
        model: The model's id.
        task: The task that it was trained for.
        dtype: Type of the weights.
        opset: Of ONNX files.
        weights_sha256: Checksum of the weights that were exported; empty if they are in several files.
        files: Name of each file -> its `bytes` and `sha256`.
        versions: Of the packages that wrote and ran it.
        comparison: What was measured of it beside PyTorch; see `zoo.export.compare`. Empty if nothing was.
    """

    format: str
    model: str
    task: str
    dtype: str
    opset: int | None = None
    weights_sha256: str = ""
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    comparison: dict[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of the model's own files."""
        return sum(file["bytes"] for name, file in self.files.items() if name.endswith((".onnx", ".bin")))

    def add_files(self, folder: Path) -> None:
        """Note size and checksum of every file of a folder."""
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != EXPORT_NAME):
            name = path.relative_to(folder).as_posix()
            self.files[name] = {"bytes": path.stat().st_size, "sha256": sha256(path)}

    def add_versions(self, packages: Sequence[str]) -> None:
        """Note the installed versions."""
        self.versions = {package: metadata.version(package) for package in packages}

    def write(self, folder: Path) -> None:
        """Write export.json."""
        write_whole(folder / EXPORT_NAME, json.dumps(dataclasses.asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path | str) -> "ExportRecord":
        """Read export.json.

        Raises:
            FileNotFoundError: The folder has none.
            ValueError: It is damaged.
        """
        path = Path(folder) / EXPORT_NAME
        if not path.is_file():
            raise FileNotFoundError(f"{folder} has no {EXPORT_NAME}: name a folder that `zoo export` wrote")
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (TypeError, ValueError):
            raise ValueError(f"{path} is damaged: export the model again") from None

    def check_files(self, folder: Path | str) -> None:
        """Compare every file with its checksum.

        Raises:
            FileNotFoundError: One is missing.
            ValueError: One is damaged.
        """
        for name, expected in self.files.items():
            path = Path(folder) / name
            if not path.is_file():
                raise FileNotFoundError(f"{path} is missing: export the model again, or fetch the folder again")
            if path.stat().st_size != expected["bytes"] or sha256(path) != expected["sha256"]:
                raise ValueError(
                    f"{path} is damaged, its checksum is not that of {EXPORT_NAME}: export the model again, or fetch "
                    "the folder again"
                )


__all__ = ["EXPORT_NAME", "ExportRecord"]
