"""The static page: its own files, what it runs on, and the exported models."""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from zoo.record import replaced_folder

from .models import MODELS, Exported, describe, find_export, has_export, write_models
from .vendor import HERE, RUNTIME, fetch_vendor

PAGE = HERE / "page"
SPACE = HERE / "space"


def cache() -> Path:
    """Where exports, the runtime and the page are kept between calls; in the Hub's cache."""
    from huggingface_hub import cached_assets_path

    return cached_assets_path("zoo", namespace="demo")


def stored_vendor(folder: Path) -> Path:
    """The vendor folder of the current package-lock.json, fetched once."""
    lock = (HERE / "package-lock.json").read_bytes()
    vendor, note = folder / "vendor", folder / "vendor.lock"
    if not (vendor.is_dir() and note.is_file() and note.read_bytes() == lock):
        print("fetching the page's runtime with npm (a download of about 30 MB, once)")
        begun = time.monotonic()
        note.unlink(missing_ok=True)
        with replaced_folder(vendor) as new:
            fetch_vendor(new)
        note.write_bytes(lock)
        print(f"fetched the runtime in {time.monotonic() - begun:.0f} s")
    return vendor


def build(output: Path, models: Sequence[str] = MODELS, exports: Path | None = None, refresh: bool = False) -> Path:
    """Write the page, complete or not at all. A page that is there is replaced; any other folder is refused.

    Args:
        output: Folder of the page.
        models: Ids of the models that it offers.
        exports: Folder of their exports; by default in the cache. What is missing there is exported.
        refresh: Export again.

    Raises:
        ValueError: `output` is a folder with something else in it.
        RuntimeError: The runtime could not be fetched.
    """
    check_target(output)
    vendor = stored_vendor(cache())
    exported = export_missing(models, cache() / "exports" if exports is None else exports, refresh)
    with replaced_folder(output) as page:
        shutil.copytree(PAGE, page, dirs_exist_ok=True)
        shutil.copytree(vendor, page / "vendor")
        write_models(exported, page / "vendor" / RUNTIME, page)
        shutil.copy(SPACE / "static.md", page / "README.md")
    return output


def export_missing(models: Sequence[str], exports: Path, refresh: bool) -> dict[str, Exported]:
    """The exports by the model's id; those that are missing, or all with `refresh`, are made."""
    missing = [model_id for model_id in models if refresh or not has_export(model_id, exports)]
    if missing:
        print(f"exporting {len(missing)} of {len(models)} models to {exports}, once: half a minute or more each")
    found = {}
    for model_id in models:
        begun = time.monotonic()
        found[model_id] = describe(model_id, find_export(model_id, exports, refresh))
        if model_id in missing:
            print(f"exported {model_id} in {time.monotonic() - begun:.0f} s")
    return found


def check_target(output: Path) -> None:
    """Refuse to replace what is no page of this demo."""
    if output.exists() and not output.is_dir():
        raise ValueError(f"--output_dir {output} is a file: choose a folder")
    if output.is_dir() and any(output.iterdir()) and not (output / "catalogue.json").is_file():
        raise ValueError(f"--output_dir {output} holds something else than an earlier demo: choose an empty folder")


def write_gradio(output: Path) -> Path:
    """Write a Gradio Space: app.py, requirements.txt and README.md.

    Raises:
        ValueError: `output` is a folder with something else in it.
    """
    names = {"app.py": "app.py", "requirements.txt": "requirements.txt", "gradio.md": "README.md"}
    if output.exists() and not output.is_dir():
        raise ValueError(f"--output_dir {output} is a file: choose a folder")
    others = {path.name for path in output.iterdir()} - set(names.values()) if output.is_dir() else set()
    if others - {"__pycache__", ".git", ".gitattributes"}:
        raise ValueError(f"--output_dir {output} holds something else than an earlier demo: choose an empty folder")
    output.mkdir(parents=True, exist_ok=True)
    for source, target in names.items():
        shutil.copy(SPACE / source, output / target)
    return output


__all__ = ["build", "cache", "write_gradio"]
