"""The models of the demo, and their exports."""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
# Of an export the page reads the graphs and these files.
SETTINGS = (
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
)
# Metrics that are written in another way.
METRIC_NAMES = {"bleu": "BLEU", "smape": "sMAPE", "wer": "WER"}


@dataclass
class DemoModel:
    """An exported model, as the page shows it.

    Args:
        folder: Of the export.
        info: Its entry in the page's catalogue.
    """

    folder: Path
    info: dict[str, Any] = field(default_factory=dict)


def find_export(model_id: str, exports: Path, refresh: bool = False) -> Path:
    """The folder of a model's ONNX export, which is made if it is missing or belongs to other weights.

    Args:
        model_id: Id of a shipped model.
        exports: Folder of exports, one a model.
        refresh: Export again what is there.
    """
    folder = exports / model_id
    checksum_file = folder / "weights.sha256"
    weights = RunRecord.read(Path(pretrained(model_id))).weights_sha256
    # A folder without the file is the user's own export, and is used as it is.
    is_current = not checksum_file.is_file() or checksum_file.read_text().strip() == weights
    if any(folder.glob("*.onnx")) and is_current and not refresh:
        return folder
    from zoo.export.export import export

    print(f"exporting {model_id} to {folder}")
    # Without a measurement on the data set, which is on few machines.
    export(pretrained(model_id), "onnx", output_dir=folder, rows=None)
    checksum_file.write_text(f"{weights}\n")
    return folder


def describe(model_id: str, folder: Path) -> DemoModel:
    """What the page shows and checks of a model.

    Raises:
        FileNotFoundError: The folder holds no ONNX graph.
    """
    files = sorted(folder.glob("*.onnx")) + [folder / name for name in SETTINGS if (folder / name).is_file()]
    if not any(file.suffix == ".onnx" for file in files):
        raise FileNotFoundError(f"{folder} holds no .onnx file: export {model_id} again with `zoo demo --refresh`")
    record = RunRecord.read(Path(pretrained(model_id)))
    split = "test" if "test" in record.metrics else "validation"
    metric = record.fit["metric"]
    value = record.metrics[split][metric]
    parameters = record.compute["parameters"]
    size = f"{parameters / 1e6:.1f} M" if parameters >= 1e6 else f"{parameters:,}"
    digits = 1 if value >= 10 else 3
    return DemoModel(
        folder,
        {
            "id": model_id,
            "parameters": f"{size} parameters",
            "metric": f"{METRIC_NAMES.get(metric, metric)} {value:.{digits}f} on the {split} split",
            "weights": record.weights_sha256,
            "license": record.recipe["publish"].get("license", ""),
            "bytes": sum(file.stat().st_size for file in files),
            "files": {file.name: {"bytes": file.stat().st_size, "sha256": sha256(file)} for file in files},
        },
    )


def write_models(exported: dict[str, DemoModel], runtime: Path, page: Path) -> None:
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


__all__ = ["MODELS", "TABS", "DemoModel", "describe", "find_export", "write_models"]
