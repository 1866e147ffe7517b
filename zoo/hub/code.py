"""Copy a family's code beside its weights, for `from_pretrained(..., trust_remote_code=True)` without the library."""

import inspect
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from transformers.dynamic_module_utils import get_relative_import_files

from zoo.record import RunRecord, write_whole
from zoo.registry import load_family, load_task


def code_files(classes: list[type]) -> list[Path]:
    """The modules of the classes, and every sibling that they import, however far down."""
    files: dict[str, Path] = {}
    for cls in classes:
        module = Path(inspect.getfile(cls))
        for file in (module, *map(Path, get_relative_import_files(module))):
            files[file.name] = file
    return [files[name] for name in sorted(files)]


def name_classes(folder: Path, models: Mapping[type, type], processors: Mapping[type, type]) -> None:
    """Write `auto_map` into the files of a folder in which transformers looks for it.

    Args:
        folder: The staged folder.
        models: Auto class -> configuration or model.
        processors: Auto class -> processor.
    """
    maps = [
        {auto.__name__: f"{Path(inspect.getfile(cls)).stem}.{cls.__name__}" for auto, cls in classes.items()}
        for classes in (models, processors)
    ]
    for name in ("config.json", "preprocessor_config.json", "processor_config.json"):
        if not (folder / name).is_file():
            continue
        content = json.loads((folder / name).read_text(encoding="utf-8"))
        if name == "config.json":
            content["auto_map"] = maps[0] | maps[1]
        # transformers 5.23 infers a *video* processor too from an image processor's class in its own file, and a
        # pipeline with this library installed would ask whether to run code that does not exist: config.json names it.
        elif content.pop("image_processor_type", None) is None and processors:
            # A processor's parts are nested, and each Auto class reads only its own part.
            for part in (content, *content.values()):
                if part is content or isinstance(part, dict) and any(key.endswith("_type") for key in part):
                    part["auto_map"] = maps[1]
        text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False)
        write_whole(folder / name, text + "\n")


def add_code(folder: Path, record: RunRecord) -> list[Path]:
    """Copy the family's code into a staged folder and name its classes there.

    Returns:
        The copied files.
    """
    from transformers import AutoConfig, AutoModel

    family, task = load_family(record.recipe["family"]), load_task(record.recipe["task"])
    models: dict[type, type] = {
        AutoConfig: family.config_class,
        AutoModel: family.base_model_class,
        task.auto_class: family.model_classes[task.name],
        **family.other_model_classes,
    }
    name_classes(folder, models, family.processors)
    files = code_files([*models.values(), *family.processors.values()])
    return [Path(shutil.copyfile(file, folder / file.name)) for file in files]


__all__ = ["add_code", "code_files", "name_classes"]
