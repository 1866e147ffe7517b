"""The weights that a command names: their folder, config and family."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.pretrained import check_weights, pretrained, published_models, shipped_models
from zoo.record import sha256
from zoo.registry import FAMILIES, load_family, nearest

from .recipe import Recipe, UsageError, check_family

if TYPE_CHECKING:  # a wrong name is reported before torch and transformers are imported
    from transformers import PreTrainedConfig

    from zoo.models.base import Family


def find_model(name: str) -> str:
    """The folder of a shipped model; a folder or Hub id is returned as it is.

    Raises:
        UsageError: It is neither a folder nor shipped, and it cannot be a Hub id, which has an organisation.
        ValueError: The folder's weights are a pickle, or its index names files elsewhere.
    """
    if name in shipped_models() or name in published_models():
        return pretrained(name)
    if Path(name).is_dir() and (Path(name) / "config.json").is_file():
        check_weights(name)
    elif "/" not in name and not Path(name).is_dir():
        raise UsageError(f"{name!r} is neither a folder nor a shipped model; {nearest(name, list(shipped_models()))}")
    return name


def version_of(model: str) -> str:
    """What tells a model's weights from later ones of the same name.

    Returns:
        The sha256 of `model.safetensors`, or the commit of a model on the Hub; empty if there are several files.
    """
    path = find_model(model)
    if not Path(path).is_dir():
        return getattr(load_config(path), "_commit_hash", None) or ""
    weights = Path(path) / "model.safetensors"
    return sha256(weights) if weights.is_file() else ""


def named_model(argv: Sequence[str], prog: str = "zoo evaluate") -> str:
    """The model that a command line begins with, as `find_model` returns it.

    Raises:
        UsageError: There is none of this name.
        SystemExit: The command line asks for help, which is printed.
    """
    usage = f"{prog} MODEL [--split test] [--flag value ...]"
    if argv and argv[0] in ("-h", "--help"):
        shipped = ", ".join(shipped_models()) or "(none)"
        print(f"usage: {usage}\n\nMODEL is a run's folder, a Hub id or one of {shipped}.")
        print(f"`{prog} MODEL --help` lists the flags of that model's task.")
        raise SystemExit(0)
    if not argv or argv[0].startswith("-"):
        raise UsageError(f"name a model first: {usage}")
    return find_model(argv[0])


def load_config(name: str, flag: str = "") -> "PreTrainedConfig":
    """The config of saved weights.

    Args:
        name: What `find_model` returned.
        flag: What the command line named, for the error.

    Raises:
        UsageError: It cannot be loaded.
    """
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError, StrictDataclassError) as error:
        if not Path(name).exists():
            why = " ".join(str(error).split())
            raise UsageError(f"cannot load {flag or name}: it is not a folder here, and the Hub: {why}") from None
        raise UsageError(f"cannot load {flag or name}: {' '.join(str(error).split())}") from None


def family_of(recipe: Recipe, start_from: str | None) -> "Family":
    """The recipe's family, or that of the weights that a run starts from if the recipe leaves it to them.

    Raises:
        UsageError: There are no weights, or their family is unknown or cannot do the recipe's task.
    """
    if recipe.family:
        return load_family(recipe.family)
    if not start_from:
        raise UsageError(
            f"{recipe.id} starts from a trained model and takes its family: name it with --model_name_or_path"
        )
    kind = load_config(find_model(start_from), f"--model_name_or_path {start_from}").model_type
    if kind not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise UsageError(f"--model_name_or_path {start_from} is a {kind}, not one of the families {known}")
    check_family(kind, recipe.task, f"--model_name_or_path {start_from}")
    return load_family(kind)


__all__ = ["family_of", "find_model", "load_config", "named_model", "version_of"]
