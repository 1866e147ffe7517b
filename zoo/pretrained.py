"""Find a published model, in a shipped folder or on the Hub at one commit, and verify its weights."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from .record import RECORD_NAME, RunRecord, sha256

ORGANISATION = "primer-zoo"
WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
# Formats that run code from the file when they are loaded.
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".msgpack", ".h5", ".npy")
_HERE = Path(__file__).parent
# An installed wheel has the cards inside the package, a checkout beside it.
_PLACES = (_HERE / "model_cards", _HERE.parent / "model_cards")
# Id -> {repo_id, commit, files: name -> sha256} of each model on the Hub; `zoo publish --pin` writes it.
PUBLISHED = _HERE / "published.json"


def shipped_models() -> dict[str, Path]:
    """Id -> folder of each model that came with this installation."""
    place = next((place for place in _PLACES if place.is_dir()), None)
    folders = sorted(place.iterdir()) if place else []
    return {folder.name: folder for folder in folders if (folder / "config.json").is_file()}


def published_models() -> dict[str, dict[str, Any]]:
    """Id -> repository, commit and checksums of each model on the Hub."""
    return json.loads(PUBLISHED.read_text(encoding="utf-8")) if PUBLISHED.is_file() else {}


def known_models() -> list[str]:
    """Ids of the models that are shipped, published, or that a recipe of the library trains."""
    recipes = {path.stem for path in (_HERE / "recipes").glob("*.yaml")}
    return sorted({*shipped_models(), *published_models(), *recipes})


def check_weights(folder: Path | str) -> Path:
    """Refuse weights that would run code or that are outside of their folder.

    transformers loads a pickle where there are no safetensors, and follows a shard index wherever it points.

    Returns:
        The weights file, or the index of their shards.

    Raises:
        FileNotFoundError: The folder holds no weights.
        ValueError: It holds pickles only, or its index is damaged or names a file elsewhere.
    """
    folder = Path(folder)
    if (folder / WEIGHTS).is_file():
        return folder / WEIGHTS
    index = folder / WEIGHTS_INDEX
    if not index.is_file():
        pickles = sorted(path.name for path in folder.glob("*") if path.suffix in PICKLES)
        if pickles:
            raise ValueError(
                f"{folder} holds its weights as a pickle only ({pickles[0]}), and loading one runs the code in it: "
                "ask for safetensors, or convert it where you trust it"
            )
        raise FileNotFoundError(f"{folder} holds no {WEIGHTS}")
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{index} is not an index of weights") from None
    for name in sorted(map(str, names)):
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise ValueError(f"{index} names the file {name!r}: a shard is a .safetensors file in the same folder")
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{index} names the file {name!r}, which is missing")
    return index


def verify(path: Path, expected: str, source: str) -> None:
    """Compare a file with its recorded checksum. A file that did not change is hashed once.

    Raises:
        ValueError: The checksums differ; the message names both.
    """
    stat = path.stat()
    actual = _checksum(str(path), stat.st_size, stat.st_mtime_ns)
    if actual != expected:
        raise ValueError(
            f"{path} has sha256 {actual}, but {source} says {expected}: the file is damaged or was replaced; "
            "fetch it again"
        )


@cache
def _checksum(path: str, size: int, changed: int) -> str:
    return sha256(Path(path))


def _from_hub(model_id: str, entry: dict[str, Any]) -> str:
    """Download the pinned commit of a published model, or find it in the cache, and verify every file."""
    from huggingface_hub import snapshot_download

    folder = Path(snapshot_download(entry["repo_id"], revision=entry["commit"], allow_patterns=list(entry["files"])))
    for name, expected in entry["files"].items():
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{entry['repo_id']} at {entry['commit']} lacks {name}, which {model_id} needs")
        verify(folder / name, expected, PUBLISHED.name)
    check_weights(folder)
    return str(folder)


def pretrained(model_id: str) -> str:
    """The folder of a model of this library, for any `from_pretrained` or `pipeline`.

    ```python
    >>> AutoModelForImageClassification.from_pretrained(zoo.pretrained("fashion-cnn"))
    ```

    The weights are compared with their recorded checksum, so that a damaged download raises. A model on the Hub is
    downloaded at the commit that this version of the library names; none of its code runs.

    Args:
        model_id: An id such as "fashion-cnn" (`zoo list` shows them).

    Returns:
        The shipped folder, or the folder of the published files in the Hub's cache.

    Raises:
        ValueError: There is no such model, or the checksum of its weights is wrong.
        FileNotFoundError: A file is missing.
        OSError: The Hub does not answer, and the model is not in the cache.
    """
    shipped, published = shipped_models(), published_models()
    if model_id in shipped:
        folder = shipped[model_id]
        weights = check_weights(folder)
        if (folder / RECORD_NAME).is_file() and weights.name == WEIGHTS:
            verify(weights, RunRecord.read(folder).weights_sha256, RECORD_NAME)
        return str(folder)
    if model_id in published:
        return _from_hub(model_id, published[model_id])
    if model_id in known_models():
        raise ValueError(f"the model {model_id!r} is not published yet: train it with `zoo train {model_id}`")
    from .registry import nearest

    if Path(model_id).is_dir():
        raise ValueError(f"{model_id!r} is a folder, not the id of a model: give the folder to from_pretrained itself")
    raise ValueError(f"no model {model_id!r}; {nearest(model_id, sorted({*shipped, *published}))}")


__all__ = ["check_weights", "known_models", "pretrained", "published_models", "shipped_models", "verify"]
