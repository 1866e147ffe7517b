"""The models of the demo, and their exports."""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zoo.export.export import SETTINGS_FILES
from zoo.export.record import EXPORT_NAME, ExportRecord
from zoo.pretrained import pretrained
from zoo.record import RunRecord, sha256

# Tab of the page -> the models that it offers; without the first one the tab is left out.
TABS = {
    "classify": ("fashion-cnn",),
    "forecast": ("lstm-forecaster-m4-hourly",),
    "translate": ("transformer-translator-en-de", "rnn-translator-de-en"),
    "listen": ("speech-commands-arabic",),
}
MODELS = tuple(model_id for ids in TABS.values() for model_id in ids)
# How the primary metrics are written, with their units: the accuracy is a share, error rates are in percent.
FORMATS = {
    "accuracy": "accuracy {:.1%}",
    "bleu": "BLEU {:.1f}",
    "smape": "sMAPE {:.2f}%",
    "wer": "WER {:.2f}%",
}


@dataclass
class Exported:
    """A model as the page knows it.

    Args:
        folder: Of the export.
        info: Its entry in the page's catalogue.
    """

    folder: Path
    info: dict[str, Any] = field(default_factory=dict)


def stored_weights(model_id: str) -> str:
    """Checksum of a shipped model's weights."""
    return RunRecord.read(Path(pretrained(model_id))).weights_sha256


def has_export(model_id: str, exports: Path) -> bool:
    """Whether a folder has ONNX files of a model's present weights; without a record they are taken as they are."""
    folder = exports / model_id
    if not any(folder.glob("*.onnx")):
        return False
    if not (folder / EXPORT_NAME).is_file():
        return True
    return ExportRecord.read(folder).weights_sha256 in ("", stored_weights(model_id))


def find_export(model_id: str, exports: Path, refresh: bool = False) -> Path:
    """The folder of a model's ONNX export, which is made if it is missing or belongs to other weights.

    Args:
        model_id: Id of a shipped model.
        exports: Folder of exports, one a model.
        refresh: Export again what is there.
    """
    folder = exports / model_id
    if has_export(model_id, exports) and not refresh:
        return folder
    from transformers.utils import logging

    from zoo.export.export import export

    logging.disable_progress_bar()
    # Without a measurement on the data set, which is on few machines, and of the speed, which takes minutes.
    export(pretrained(model_id), "onnx", output_dir=folder, rows=None, timed=False)
    return folder


def describe(model_id: str, folder: Path) -> Exported:
    """What the page shows and checks of a model.

    Raises:
        FileNotFoundError: The folder holds no ONNX graph, or lacks a file of its record.
        ValueError: A file is damaged.
    """
    files = sorted(folder.glob("*.onnx")) + [folder / name for name in SETTINGS_FILES if (folder / name).is_file()]
    if not any(file.suffix == ".onnx" for file in files):
        raise FileNotFoundError(f"{folder} holds no .onnx file: export {model_id} again with `zoo demo --refresh`")
    if (folder / EXPORT_NAME).is_file():
        ExportRecord.read(folder).check_files(folder)
    record = RunRecord.read(Path(pretrained(model_id)))
    split = "test" if "test" in record.metrics else "validation"
    metric = record.fit["metric"]
    value = record.metrics[split][metric]
    parameters = record.compute["parameters"]
    return Exported(
        folder,
        {
            "id": model_id,
            "parameters": f"{parameters / 1e6:.1f} M parameters"
            if parameters >= 1e6
            else f"{parameters:,} parameters",
            "metric": f"{FORMATS.get(metric, metric + ' {:.3f}').format(value)} on the {split} split{beams(folder)}",
            "weights": record.weights_sha256,
            "license": record.recipe["publish"].get("license", ""),
            "bytes": sum(file.stat().st_size for file in files),
            "files": {file.name: {"bytes": file.stat().st_size, "sha256": sha256(file)} for file in files},
        },
    )


def beams(folder: Path) -> str:
    """A hint where the metric was measured with beams, which the page decodes without."""
    settings = folder / "generation_config.json"
    number = json.loads(settings.read_text(encoding="utf-8")).get("num_beams", 1) if settings.is_file() else 1
    return f" with {number} beams; this page decodes greedily" if number > 1 else ""


def write_models(exported: dict[str, Exported], runtime: Path, page: Path) -> None:
    """Copy exports into the page and write its catalogue.

    Args:
        exported: By the model's id.
        runtime: The runtime's wasm file in the page.
        page: Folder of the page.
    """
    for model_id, model in exported.items():
        target = page / "models" / model_id
        target.mkdir(parents=True)
        for name in model.info["files"]:
            shutil.copy(model.folder / name, target / name)
    wasm = {"path": str(runtime.relative_to(page)), "bytes": runtime.stat().st_size, "sha256": sha256(runtime)}
    catalogue = {
        "tabs": [tab for tab, ids in TABS.items() if ids[0] in exported],
        "runtime": wasm,
        "models": {model_id: model.info for model_id, model in exported.items()},
    }
    (page / "catalogue.json").write_text(json.dumps(catalogue, indent=1) + "\n", encoding="utf-8")


__all__ = ["MODELS", "TABS", "Exported", "describe", "find_export", "has_export", "write_models"]
