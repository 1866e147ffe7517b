"""`zoo publish RUN_OR_CARD_FOLDER --repo_id ORG/NAME [--private] [--create_pr] [--tag v1.0.0] [--dry_run] ...`.

Stages the folder, measures it again on a sample, loads it where the library is not installed, shows what would be
sent, sends it in one commit, tags it, downloads it again and compares. The token comes from HF_TOKEN or from a login.
"""

import argparse
import contextlib
import io
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import Parser, guarded

INTERRUPTED = (
    "interrupted: the repository holds the files that it held, or all of the new ones; run the same command again"
)


def make_parser() -> argparse.ArgumentParser:
    """The flags."""
    as_it_is = argparse.RawDescriptionHelpFormatter
    parser = Parser("zoo publish", description=__doc__, formatter_class=as_it_is, allow_abbrev=False)
    parser.add_argument("folder", help="folder of a finished run, a card folder, or the id of a shipped model")
    parser.add_argument("--repo_id", required=True, help="ORGANISATION/NAME")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    parser.add_argument("--create_pr", action="store_true", help="propose the files in a pull request")
    parser.add_argument("--tag", help="tag the commit, e.g. v1.0.0")
    parser.add_argument("--revision", default="main", help="branch to commit to; made if there is none")
    parser.add_argument("--dry_run", action="store_true", help="do everything but send")
    parser.add_argument(
        "--overwrite_card", action="store_true", help="throw away what people wrote into the card there"
    )
    parser.add_argument("--no_measure", action="store_true", help="do not measure a sample (the data is not needed)")
    parser.add_argument("--max_samples", type=int, default=256, help="rows of the sample")
    parser.add_argument("--message", default="", help="of the commit")
    parser.add_argument("--pin", action="store_true", help="write commit and checksums into zoo/published.json")
    return parser


def find_folder(name: str) -> Path:
    """A folder, or the folder of a shipped model."""
    from zoo.pretrained import pretrained, shipped_models
    from zoo.registry import nearest
    from zoo.training.recipe import UsageError

    if Path(name).is_dir():
        return Path(name)
    if name in shipped_models():
        return Path(pretrained(name))
    raise UsageError(f"{name} is no folder and no shipped model; {nearest(name, list(shipped_models()))}")


def remeasure(folder: Path, rows: int) -> Any:
    """Measure the staged model on a sample and say what came out; the sample.

    Raises:
        PublishError: The figures are far from the record's.
    """
    from zoo.hub.remote import PublishError
    from zoo.training.sample import measure_sample

    with contextlib.redirect_stdout(io.StringIO()):
        try:
            sample = measure_sample(folder, rows)
        except (FileNotFoundError, ValueError) as error:
            raise PublishError(
                f"the model could not be measured again: {error} (--no_measure publishes without)"
            ) from None
    figures = f"{sample.metric} {sample.value:.4f} on {sample.n:,} {sample.split} rows"
    figures += f", its record says {sample.recorded:.4f}"
    if not sample.plausible:
        raise PublishError(
            f"measured again: {figures} and {sample.baseline:.4f} for the trivial predictor: "
            "weights, processor or code do not belong together"
        )
    print(f"measured again: {figures}")
    return sample


def show_files(staged: list[Path], folder: Path, source: Path) -> None:
    """What would be sent, with sizes, and what stays."""
    from zoo.hub.stage import left_out
    from zoo.hub.tokens import find_home_paths

    for file in staged:
        print(f"{file.stat().st_size:>12,}  {file.relative_to(folder).as_posix()}")
    print(f"{sum(file.stat().st_size for file in staged):>12,}  bytes in {len(staged)} files")
    personal = find_home_paths(folder, staged)
    if personal:
        print(f"note: {'; '.join(personal[:5])} names a path of a home folder, which everybody will see")
    stays = left_out(source)
    if stays:
        print(f"stays here: {', '.join(stays)}")


def pin(model_id: str, entry: dict[str, Any]) -> None:
    """Write an entry into zoo/published.json."""
    from zoo.pretrained import PUBLISHED, published_models
    from zoo.record import write_whole

    content = dict(sorted({**published_models(), model_id: entry}.items()))
    write_whole(PUBLISHED, json.dumps(content, indent=1) + "\n")
    print(f"pinned in {PUBLISHED}")


def publish_folder(
    source: Path | str,
    repo_id: str,
    wish: Any,
    rows: int = 256,
    dry_run: bool = False,
    pinned: bool = False,
) -> None:
    """Stage, check, send and verify a run or card folder.

    Args:
        source: The folder.
        repo_id: ORGANISATION/NAME.
        wish: A `zoo.hub.publish.Wish`.
        rows: Of the sample to measure again; 0 measures nothing.
        dry_run: Send nothing.
        pinned: Write the commit into zoo/published.json.
    """
    from transformers.utils import logging

    import zoo  # noqa: F401  registers the families
    from zoo.hub.clean import Workers
    from zoo.hub.publish import publish as send
    from zoo.hub.stage import stage
    from zoo.hub.verify import check_download, check_without_library, registry_entry
    from zoo.record import RunRecord

    logging.disable_progress_bar()  # of loading weights; that of the upload stays
    with tempfile.TemporaryDirectory(prefix="zoo-publish-") as temporary, Workers() as workers:
        folder = Path(temporary) / "repository"
        staged = stage(source, folder, repo_id, wish.tag, workers, code=True)
        batch = remeasure(folder, rows).batch if rows else None
        print(check_without_library(folder, batch, workers.without_library))
        show_files(staged, folder, Path(source))
        if dry_run:
            print(f"dry run: nothing was sent to {repo_id}")
            return
        published = send(folder, repo_id, wish)
        print(f"{'commit' if published.changed else 'unchanged, commit'} {published.commit}")
        print(check_download(published, folder, batch, workers.without_library))
        if pinned:
            pin(RunRecord.read(folder).model_id, registry_entry(published))
        print(published.url)


def publish(argv: list[str]) -> None:
    """Parse the command line, and publish."""
    from zoo.hub.publish import Wish
    from zoo.hub.remote import Remote, find_token
    from zoo.training.recipe import UsageError

    arguments = make_parser().parse_args(argv)
    wish = Wish(
        private=arguments.private,
        create_pr=arguments.create_pr,
        tag=arguments.tag,
        revision=arguments.revision,
        overwrite_card=arguments.overwrite_card,
        message=arguments.message,
    )
    try:
        wish.check(arguments.repo_id)
    except ValueError as error:
        raise UsageError(str(error)) from None
    source = find_folder(arguments.folder)
    if arguments.pin and arguments.create_pr:
        raise UsageError("--pin with --create_pr: pin the commit that merges it")
    if arguments.max_samples < 1:
        raise UsageError(f"--max_samples {arguments.max_samples} must be at least 1; --no_measure measures nothing")
    if not arguments.dry_run:
        Remote(arguments.repo_id, find_token()).check_account(wish.create_pr)  # before the work, not after it
    rows = 0 if arguments.no_measure else arguments.max_samples
    publish_folder(source, arguments.repo_id, wish, rows, arguments.dry_run, arguments.pin)


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of the command."""
    return guarded(publish, argv, INTERRUPTED)
