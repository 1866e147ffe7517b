"""A family's code, laid beside its weights: `from_pretrained(..., trust_remote_code=True)` needs nothing else."""

import inspect
import json
import shutil
from pathlib import Path
from typing import Any

from transformers.dynamic_module_utils import get_relative_import_files

from zoo.record import RunRecord, write_whole
from zoo.registry import load_family, load_task


def code_files(classes: list[type]) -> list[Path]:
    """The modules of the classes, and every sibling that they import, however far down."""
    found: dict[str, Path] = {}
    for cls in classes:
        module = Path(inspect.getfile(cls))
        for file in (module, *map(Path, get_relative_import_files(module))):
            found[file.name] = file
    return [found[name] for name in sorted(found)]


def _reference(cls: type) -> str:
    return f"{Path(inspect.getfile(cls)).stem}.{cls.__name__}"


def _change_json(path: Path, add: dict[str, Any], drop: str = "") -> None:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    content |= add
    content.pop(drop, None)
    write_whole(path, json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def add_code(folder: Path, record: RunRecord) -> list[Path]:
    """Copy the family's code into a staged folder and name its classes in config.json.

    Returns:
        The copied files.
    """
    family, task = load_family(record.recipe["family"]), load_task(record.recipe["task"])
    classes: dict[str, type] = {
        "AutoConfig": family.config_class,
        "AutoModel": family.base_model_class,
        task.auto_class.__name__: family.model_classes[task.name],
    }
    if family.image_processor_class is not None:
        classes["AutoImageProcessor"] = family.image_processor_class
        # Its class would be named in its own file; but from there transformers 5.23 infers a *video* processor too,
        # and a pipeline with this library installed would ask whether to run code that does not exist.
        if (folder / "preprocessor_config.json").is_file():
            _change_json(folder / "preprocessor_config.json", {}, drop="image_processor_type")
    _change_json(folder / "config.json", {"auto_map": {name: _reference(cls) for name, cls in classes.items()}})
    files = code_files(list(classes.values()))
    return [Path(shutil.copyfile(file, folder / file.name)) for file in files]


__all__ = ["add_code", "code_files"]
