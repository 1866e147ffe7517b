"""Copy what is published of a run, or of a data set, into a folder: these files and nothing else."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zoo.pretrained import ORGANISATION, PICKLES, WEIGHTS, check_weights
from zoo.record import RECORD_NAME, RunRecord, sha256, write_whole

from .blocks import Card
from .card import CARD_NAME, default_repo_id, write_card
from .clean import Workers
from .code import add_code
from .metadata import check_metadata
from .tokens import find_secrets
from .usage import run_examples

# Optimizer state, checkpoints and pickles of a run are left out.
PUBLISHED = (
    "config.json",
    "generation_config.json",
    WEIGHTS,
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "recipe.yaml",
    RECORD_NAME,
    "pictures/*.png",
)
DATASET = ("*.parquet", "data/*.parquet")


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
        raise ValueError(f"{run} has its weights in shards: save them in one file, with a larger max_shard_size")
    digest = sha256(weights)
    if digest != record.weights_sha256:
        raise ValueError(
            f"{weights} has sha256 {digest}, but {RECORD_NAME} measured {record.weights_sha256}: "
            "train or evaluate again before publishing"
        )
    return record


def published_files(folder: Path, patterns: tuple[str, ...] = PUBLISHED) -> list[Path]:
    """The files of a folder that are published, beside the card.

    Raises:
        ValueError: One of them, or their folder, is a link: its target may be anything.
    """
    # `glob` skips a dangling link unless it is named by a pattern.
    files = [file for p in patterns for file in (sorted(folder.glob(p)) if "*" in p else [folder / p])]
    for path in (folder / CARD_NAME, *files, *{file.parent for file in files} - {folder}):
        if path.is_symlink():
            raise ValueError(f"{path} is a link: put the {'folder' if path.is_dir() else 'file'} itself there")
    return [file for file in files if file.is_file()]


def left_out(folder: Path, patterns: tuple[str, ...] = PUBLISHED) -> list[str]:
    """What is in a folder and is not published, folders as one; pickles are marked."""
    published = {file.relative_to(folder).parts[0] for file in published_files(folder, patterns)} | {CARD_NAME}
    names = sorted(path.name + ("/" if path.is_dir() else "") for path in folder.iterdir())
    return [
        f"{name} (a pickle)" if name.endswith(PICKLES) else name for name in names if name.strip("/") not in published
    ]


def check_target(target: Path, record: RunRecord, code: bool) -> None:
    """Refuse to replace anything but an earlier card folder of the same model.

    Raises:
        ValueError: Something else is there, and would be lost.
    """
    if not target.exists():
        return
    if not target.is_dir():
        raise ValueError(f"{target} is a file: name a folder for the card")
    if (target / RECORD_NAME).is_file():
        earlier = RunRecord.read(target).model_id
        if earlier != record.model_id:
            raise ValueError(f"{target} has the model {earlier!r}, not {record.model_id!r}: choose another folder")
    staged = (*PUBLISHED, CARD_NAME, *(["*.py"] if code else []))
    for file in sorted(path for path in target.rglob("*") if not path.is_dir()):
        name = file.relative_to(target)
        if not any(len(name.parts) == len(Path(pattern).parts) and name.match(pattern) for pattern in staged):
            raise ValueError(f"{target} is not a card folder (it has {name}), and would be replaced: name another one")


@contextmanager
def replacing(target: Path, source: Path) -> Iterator[Path]:
    """A new folder that takes the target's place if all goes well and it has no secrets.

    Raises:
        ValueError: It has a secret.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as temporary:
        new = Path(temporary) / "new"
        new.mkdir()
        yield new
        secrets = find_secrets(new, [path for path in new.rglob("*") if path.is_file()])
        if secrets:
            raise ValueError(f"{source} has a secret in it: {'; '.join(secrets)}")
        if target.exists():
            target.rename(Path(temporary) / "old")
        new.rename(target)


def _copy(files: list[Path], source: Path, target: Path) -> None:
    for file in files:
        destination = target / file.relative_to(source)
        destination.parent.mkdir(exist_ok=True)
        shutil.copyfile(file, destination)


def stage(
    run: Path | str,
    target: Path | str,
    repo_id: str | None = None,
    revision: str | None = None,
    workers: Workers | None = None,
    code: bool = False,
) -> list[Path]:
    """Copy the published files of a run to a card folder and write the card there.

    An earlier card folder of the same model is replaced when the new one is complete; nothing else is replaced. What a
    person wrote into an earlier card is kept.

    Args:
        run: Folder of a finished run, or a card folder.
        target: Where to.
        repo_id: The repository that the card names; default: the one that it named before, else the library's.
        revision: The tag that the card pins for those who load the code from there.
        workers: Processes in which the card's examples run; None: the card shows them without outputs.
        code: Whether to add the family's code, for use without the library.

    Raises:
        FileNotFoundError: The run has no results.json or no weights.
        ValueError: The weights are pickles or not those that were measured; the record lacks something for the card,
            or an example fails; a file is a link or has a secret; the target is not a card folder of this model.
    """
    run, target = Path(run), Path(target)
    record = check_run(run)
    check_target(target, record, code)
    with replacing(target, run) as new:
        _copy(published_files(run), run, new)
        earlier = next((path for path in (target / CARD_NAME, run / CARD_NAME) if path.is_file()), None)
        if earlier is not None:
            shutil.copyfile(earlier, new / CARD_NAME)
        if workers is not None:
            run_examples(new, record, repo_id or default_repo_id(record), revision, workers)
            record.write(new)
        if code:
            add_code(new, record)
        write_card(new)
    return sorted(path for path in target.rglob("*") if path.is_file())


def stage_dataset(source: Path | str, target: Path | str) -> list[Path]:
    """Copy a data set, Parquet files and README.md with a data card, to a folder.

    The text of the card becomes a generated block: what people add around it on the Hub is kept.

    Returns:
        The staged files.

    Raises:
        FileNotFoundError: There are no Parquet files, or no card.
        ValueError: A file is a link, damaged or has a secret, or the Hub would refuse the card's metadata.
    """
    from pyarrow import ArrowException
    from pyarrow.parquet import read_metadata

    source, target = Path(source), Path(target)
    files = published_files(source, DATASET)
    if not files or not (source / CARD_NAME).is_file():
        raise FileNotFoundError(f"{source} needs Parquet files (*.parquet or data/*.parquet) and a {CARD_NAME}")
    for file in files:
        try:
            read_metadata(file)
        except (ArrowException, OSError) as error:
            raise ValueError(f"{file} is not a Parquet file: {error}") from None
    card = Card.parse((source / CARD_NAME).read_text(encoding="utf-8"))
    if not card.blocks:
        card = Card(card.head, {"data": card.own.get("", "")})
    check_metadata(card.head, str(source / CARD_NAME))
    card.head["tags"] = list(dict.fromkeys([*(card.head.get("tags") or []), ORGANISATION]))
    with replacing(target, source) as new:
        _copy(files, source, new)
        write_whole(new / CARD_NAME, card.render())
    return sorted(path for path in target.rglob("*") if path.is_file())


__all__ = ["DATASET", "PUBLISHED", "check_run", "left_out", "stage", "stage_dataset"]
