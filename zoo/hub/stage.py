"""What of a run is published: the files of a model repository, and nothing else."""

import shutil
import tempfile
from pathlib import Path

from zoo.record import RECORD_NAME, RunRecord, sha256

from .card import write_card

# Optimizer state, checkpoints and pickles of a run stay where they are.
PUBLISHED = (
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "recipe.yaml",
    RECORD_NAME,
    "pictures/*.png",
)


def stage(run: Path | str, target: Path | str) -> list[Path]:
    """Copy the published files of a run to a card folder and write the card there.

    The folder is made under another name and then renamed: an earlier one stays as it was until the new one is whole.

    Returns:
        The staged files.

    Raises:
        FileNotFoundError: The run has no results.json or no weights.
        ValueError: The weights are not those that the record measured, or the record lacks something for the card.
    """
    run, target = Path(run), Path(target)
    record = RunRecord.read(run)
    weights = run / "model.safetensors"
    if not weights.is_file():
        raise FileNotFoundError(f"{weights} does not exist: only a finished run can be staged")
    if sha256(weights) != record.weights_sha256:
        raise ValueError(
            f"{weights} has sha256 {sha256(weights)}, but {RECORD_NAME} measured {record.weights_sha256}: train or "
            "evaluate again before publishing"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    try:
        for pattern in PUBLISHED:
            for file in sorted(run.glob(pattern)):
                destination = temporary / file.relative_to(run)
                destination.parent.mkdir(exist_ok=True)
                shutil.copyfile(file, destination)
        write_card(temporary)
        temporary.chmod(0o755)
        if target.exists():
            old = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-old-"))
            target.rename(old / target.name)
            temporary.rename(target)
            shutil.rmtree(old)
        else:
            temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return sorted(path for path in target.rglob("*") if path.is_file())


__all__ = ["PUBLISHED", "stage"]
