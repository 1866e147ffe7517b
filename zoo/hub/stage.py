"""What of a run is published: the files of a model repository, and nothing else."""

import shutil
import tempfile
from pathlib import Path

from zoo.pretrained import PICKLES, WEIGHTS, check_weights
from zoo.record import RECORD_NAME, RunRecord, sha256

from .card import CARD_NAME, default_repo_id, write_card
from .clean import Workers
from .code import add_code
from .tokens import find_secrets
from .usage import run_examples

# Optimizer state, checkpoints and pickles of a run stay where they are.
PUBLISHED = (
    "config.json",
    "generation_config.json",
    WEIGHTS,
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "recipe.yaml",
    RECORD_NAME,
    "pictures/*.png",
)


def check_run(run: Path) -> RunRecord:
    """The record of a run or card folder whose weights can be published.

    Raises:
        FileNotFoundError: It has no results.json or no weights.
        ValueError: Its weights are pickles or shards, or not those that the record measured.
    """
    record = RunRecord.read(run)
    try:
        weights = check_weights(run)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}: only a finished run can be staged") from None
    if weights.name != WEIGHTS:
        raise ValueError(f"{run} holds its weights in shards: save them in one file, with a larger max_shard_size")
    found = sha256(weights)
    if found != record.weights_sha256:
        raise ValueError(
            f"{weights} has sha256 {found}, but {RECORD_NAME} measured {record.weights_sha256}: "
            "train or evaluate again before publishing"
        )
    return record


def published_files(run: Path) -> list[Path]:
    """The files of a folder that are published, beside the card.

    Raises:
        ValueError: One of them, or their folder, is a link: what it points to may be anything.
    """
    # `glob` passes over a link that points nowhere, unless its name is a pattern.
    found = [
        file for pattern in PUBLISHED for file in (sorted(run.glob(pattern)) if "*" in pattern else [run / pattern])
    ]
    for path in (run / CARD_NAME, *found, *{file.parent for file in found} - {run}):
        if path.is_symlink():
            raise ValueError(f"{path} is a link: put the {'folder' if path.is_dir() else 'file'} itself there")
    return [file for file in found if file.is_file()]


def left_out(run: Path) -> list[str]:
    """What lies in a folder and is not published, folders as one; pickles are marked."""
    published = {file.relative_to(run).parts[0] for file in published_files(run)} | {CARD_NAME}
    names = sorted(path.name + ("/" if path.is_dir() else "") for path in run.iterdir())
    return [
        f"{name} (a pickle)" if name.endswith(PICKLES) else name for name in names if name.strip("/") not in published
    ]


def check_target(target: Path, record: RunRecord, code: bool) -> None:
    """Refuse to replace anything but an earlier card folder of the same model.

    Raises:
        ValueError: Something else stands there, and would be lost.
    """
    if not target.exists():
        return
    if not target.is_dir():
        raise ValueError(f"{target} is a file, and a card folder was to be made there: name a folder")
    if (target / RECORD_NAME).is_file():
        earlier = RunRecord.read(target).model_id
        if earlier != record.model_id:
            raise ValueError(f"{target} holds the model {earlier!r}, not {record.model_id!r}: choose another folder")
    staged = (*PUBLISHED, CARD_NAME, *(["*.py"] if code else []))
    for file in sorted(path for path in target.rglob("*") if not path.is_dir()):
        name = file.relative_to(target)
        if not any(len(name.parts) == len(Path(pattern).parts) and name.match(pattern) for pattern in staged):
            raise ValueError(f"{target} is no card folder (it holds {name}), and would be replaced: name another one")


def stage(
    run: Path | str,
    target: Path | str,
    repo_id: str | None = None,
    revision: str | None = None,
    workers: Workers | None = None,
    code: bool = False,
) -> list[Path]:
    """Copy the published files of a run to a card folder and write the card there.

    The folder is made under another name and then renamed: an earlier one stays as it was until the new one is whole.
    Nothing but an earlier card folder of the same model is replaced.
    What a person wrote into an earlier card is kept.

    Args:
        run: Folder of a finished run, or a card folder.
        target: Where to.
        repo_id: The repository that the card speaks of; default: the one that it spoke of before, else the library's.
        revision: The tag that the card pins for those who load the code from there.
        workers: Processes in which the card's examples run; None: the card shows them without outputs.
        code: Whether to add the family's code, which needs no library to be there.

    Returns:
        The staged files.

    Raises:
        FileNotFoundError: The run has no results.json or no weights.
        ValueError: The weights are pickles or not those that were measured; the record lacks something for the card,
            or an example on it fails; a file is a link or holds a secret; something else than a card folder stands at
            the target.
    """
    run, target = Path(run), Path(target)
    record = check_run(run)
    check_target(target, record, code)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    try:
        for file in published_files(run):
            destination = temporary / file.relative_to(run)
            destination.parent.mkdir(exist_ok=True)
            shutil.copyfile(file, destination)
        for earlier in (target / CARD_NAME, run / CARD_NAME):
            if earlier.is_file():
                shutil.copyfile(earlier, temporary / CARD_NAME)
                break
        if workers is not None:
            run_examples(temporary, record, repo_id or default_repo_id(record), revision, workers)
            record.write(temporary)
        if code:
            add_code(temporary, record)
        write_card(temporary)
        secrets = find_secrets(temporary, [path for path in temporary.rglob("*") if path.is_file()])
        if secrets:
            raise ValueError(f"{run} is not published with a secret in it: {'; '.join(secrets)}")
        temporary.chmod(0o755)
        _swap(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return sorted(path for path in target.rglob("*") if path.is_file())


def _swap(new: Path, target: Path) -> None:
    """Rename a folder into the place of another."""
    if not target.exists():
        new.rename(target)
        return
    old = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-old-"))
    target.rename(old / target.name)
    new.rename(target)
    shutil.rmtree(old)


__all__ = ["PUBLISHED", "check_run", "left_out", "stage"]
