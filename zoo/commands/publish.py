"""`zoo publish RUN_OR_CARD_FOLDER --repo_id ORG/NAME [--private] [--create_pr] [--tag v1.0.0] [--with onnx] ...`.

Stages the folder, measures the model again on a sample, loads it where the library is not installed, lists the files,
sends them in one commit, tags it, downloads it again and compares. The token comes from HF_TOKEN or from a login.
`--dataset FOLDER` publishes Parquet files and their README.md instead of a model.
"""

import argparse
import contextlib
import io
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from . import Parser, guarded

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.hub.options import PublishOptions

INTERRUPTED = (
    "interrupted: the repository has the files that it had, or all of the new ones; run the same command again"
)


def make_parser() -> argparse.ArgumentParser:
    """The flags."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser("zoo publish", description=__doc__, formatter_class=raw)
    parser.add_argument("folder", help="folder of a finished run, a card folder, or the id of a shipped model")
    parser.add_argument("--dataset", action="store_true", help="the folder is a data set: *.parquet and README.md")
    parser.add_argument("--repo_id", required=True, help="ORGANISATION/NAME")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    parser.add_argument("--create_pr", action="store_true", help="propose the files in a pull request")
    parser.add_argument("--tag", help="tag the commit, e.g. v1.0.0")
    parser.add_argument("--revision", default="main", help="branch to commit to; created if it does not exist")
    parser.add_argument("--dry_run", action="store_true", help="do everything but send")
    parser.add_argument("--overwrite_card", action="store_true", help="drop what people wrote into the card there")
    parser.add_argument("--no_measure", action="store_true", help="do not measure a sample (the data is not needed)")
    parser.add_argument("--max_samples", type=int, default=256, help="rows of the sample")
    parser.add_argument(
        "--with",
        nargs="+",
        default=[],
        dest="formats",
        metavar="FORMAT",
        help="onnx, ctranslate2: exports in the same commit",
    )
    parser.add_argument("--message", default="", help="message of the commit")
    parser.add_argument("--pin", action="store_true", help="write commit and checksums into zoo/published.json")
    return parser


def find_folder(name: str) -> Path:
    """A folder, or the folder of a shipped model.

    Raises:
        UsageError: There is neither.
    """
    from zoo.training.recipe import UsageError
    from zoo.training.weights import find_model

    folder = Path(find_model(name))
    if not folder.is_dir():
        raise UsageError(f"{name} is not on this machine: name the folder of a run, or a shipped model")
    return folder


def check_formats(formats: Sequence[str]) -> None:
    """Raise a UsageError for a format that does not exist, and a ValueError where its library is missing."""
    from zoo.export.loading import FORMATS, check_installed
    from zoo.training.recipe import UsageError

    for name in formats:
        if name not in FORMATS:
            raise UsageError(f"--with {name}: known are {', '.join(FORMATS)}")
        check_installed(name, FORMATS[name].packages)


def check_account(repo_id: str, options: "PublishOptions") -> None:
    """Raise a PublishError if there is no token, or it may not write there."""
    from zoo.hub.remote import Remote, find_token

    Remote(repo_id, find_token()).check_account(options.create_pr)


def remeasure(folder: Path, rows: int) -> "dict[str, Tensor]":
    """Measure the staged model on a sample and print the result; a batch of the sample.

    Raises:
        PublishError: The metric is far from the record's.
    """
    from zoo.hub.options import PublishError
    from zoo.training.sample import measure_sample

    with contextlib.redirect_stdout(io.StringIO()):
        try:
            sample = measure_sample(folder, rows)
        except (FileNotFoundError, ValueError) as error:
            raise PublishError(f"cannot measure the model again: {error} (--no_measure publishes without)") from None
    text = f"measured again: {sample.metric} {sample.value:.4f} on {sample.n:,} {sample.split} rows"
    text += f", its record says {sample.recorded:.4f}"
    if not sample.plausible:
        raise PublishError(
            f"{text} and {sample.baseline:.4f} for the baseline: weights, processor or code do not belong together"
        )
    print(text)
    return sample.batch


def add_exports(folder: Path, formats: Sequence[str], rows: int) -> None:
    """Export a staged model into folders beside its weights, and write their section of the card.

    Args:
        folder: The staged folder.
        formats: The folders' names, too.
        rows: Of the validation split, to measure the exports on; 0 measures nothing.
    """
    from zoo.export.export import card_entry, export
    from zoo.hub.card import write_card
    from zoo.record import RunRecord

    record = RunRecord.read(folder)
    record.exports = {}
    for format in formats:
        _, exported = export(str(folder), format, folder / format, rows=rows or None)
        record.exports[format] = card_entry(exported)
        print(f"exported to {format}/: {exported.size / 1e6:.1f} MB")
    record.write(folder)
    write_card(folder)


def show_files(staged: list[Path], folder: Path, left_out: list[str]) -> None:
    """Print what would be sent, with sizes, and what is left out."""
    from zoo.hub.tokens import find_home_paths

    for file in staged:
        print(f"{file.stat().st_size:>12,}  {file.relative_to(folder).as_posix()}")
    print(f"{sum(file.stat().st_size for file in staged):>12,}  bytes in {len(staged)} files")
    personal = find_home_paths(folder, staged)
    if personal:
        print(f"warning: {'; '.join(personal[:5])}: path in a home folder, which everybody will see")
    if left_out:
        print(f"left out: {', '.join(left_out)}")


def publish_dataset(source: Path | str, repo_id: str, options: "PublishOptions", dry_run: bool = False) -> None:
    """Stage, check, send and verify the folder of a data set; arguments as for `publish_folder`."""
    from zoo.hub.publish import publish as send
    from zoo.hub.stage import DATASET, left_out, stage_dataset
    from zoo.hub.verify import check_download

    with tempfile.TemporaryDirectory(prefix="zoo-publish-") as temporary:
        folder = Path(temporary) / "repository"
        show_files(stage_dataset(source, folder), folder, left_out(Path(source), DATASET))
        if dry_run:
            print(f"dry run: nothing was sent to {repo_id}")
            return
        published = send(folder, repo_id, options, repo_type="dataset")
        print(f"{'commit' if published.changed else 'unchanged, commit'} {published.commit}")
        print("downloading it again")
        print(check_download(published))
        print(published.url)


def publish_folder(
    source: Path | str,
    repo_id: str,
    options: "PublishOptions",
    rows: int = 256,
    dry_run: bool = False,
    pin: bool = False,
    formats: Sequence[str] = (),
) -> None:
    """Stage, check, send and verify a run or card folder.

    Args:
        source: The folder.
        repo_id: ORGANISATION/NAME.
        options: How to publish.
        rows: Rows of the sample to measure again; 0 measures nothing.
        dry_run: Send nothing.
        pin: Write commit and checksums into zoo/published.json.
        formats: Exports that go with the model.
    """
    from transformers.utils import logging

    from zoo.hub.clean import Workers
    from zoo.hub.publish import publish as send
    from zoo.hub.stage import left_out, stage
    from zoo.hub.verify import check_download, check_without_library, registry_entry
    from zoo.pretrained import PUBLISHED, published_models
    from zoo.record import RunRecord, write_whole
    from zoo.registry import register_all

    register_all()
    logging.disable_progress_bar()  # of loading weights; that of the upload remains
    with tempfile.TemporaryDirectory(prefix="zoo-publish-") as temporary, Workers() as workers:
        folder = Path(temporary) / "repository"
        print(f"staging {source}; the examples of its card are run")
        staged = stage(source, folder, repo_id, options.tag, workers, code=True)
        if rows:
            print(f"measuring it again on {rows:,} rows")
        batch = remeasure(folder, rows) if rows else None
        print("loading it where the library is not installed")
        print(check_without_library(folder, batch, workers.without_library))
        if formats:
            add_exports(folder, formats, rows)
            staged = sorted(path for path in folder.rglob("*") if path.is_file())
        show_files(staged, folder, left_out(Path(source)))
        if dry_run:
            print(f"dry run: nothing was sent to {repo_id}")
            return
        published = send(folder, repo_id, options)
        print(f"{'commit' if published.changed else 'unchanged, commit'} {published.commit}")
        print("downloading it again")
        print(check_download(published, batch, workers.without_library))
        if pin:
            entry = {RunRecord.read(folder).model_id: registry_entry(published)}
            write_whole(PUBLISHED, json.dumps(dict(sorted({**published_models(), **entry}.items())), indent=1) + "\n")
            print(f"pinned in {PUBLISHED}")
        print(published.url)


def publish(argv: list[str]) -> None:
    """Parse the command line, and publish."""
    from zoo.hub.options import PublishOptions
    from zoo.training.recipe import UsageError

    arguments = make_parser().parse_args(argv)
    names = ("private", "create_pr", "tag", "revision", "overwrite_card", "message")
    options = PublishOptions(**{name: getattr(arguments, name) for name in names})
    try:
        options.check(arguments.repo_id)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if arguments.dataset and (arguments.pin or arguments.no_measure or arguments.formats):
        raise UsageError("--dataset: --pin, --no_measure and --with are for models")
    check_formats(arguments.formats)
    if arguments.pin and arguments.create_pr:
        raise UsageError("--pin with --create_pr: pin the commit that merges it")
    if arguments.max_samples < 1:
        raise UsageError(f"--max_samples {arguments.max_samples} must be at least 1; --no_measure measures nothing")
    source = find_folder(arguments.folder)
    if not arguments.dry_run:
        check_account(arguments.repo_id, options)  # before the work, not after it
    if arguments.dataset:
        return publish_dataset(source, arguments.repo_id, options, arguments.dry_run)
    rows = 0 if arguments.no_measure else arguments.max_samples
    publish_folder(
        source,
        arguments.repo_id,
        options,
        rows,
        arguments.dry_run,
        arguments.pin,
        list(dict.fromkeys(arguments.formats)),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of the command."""
    return guarded(publish, argv, INTERRUPTED)
