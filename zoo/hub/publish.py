"""Send a staged folder to the Hub: one commit or none, and the same command continues after a failure."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete
from huggingface_hub.errors import EntryNotFoundError
from huggingface_hub.utils.sha import git_hash

from zoo.pretrained import PICKLES
from zoo.record import sha256, write_whole

from .blocks import Card, merge
from .card import CARD_NAME
from .options import MAIN, PublishError, PublishOptions
from .remote import Remote, find_token
from .stage import DATASET, PUBLISHED

# Files of an earlier version that would be loaded together with the new ones: deleted in the same commit. Patterns do
# not reach into folders; every other file of the repository stays.
REPLACED = {
    "model": (*PUBLISHED, "*.safetensors", "*.safetensors.index.json", "*.py", *(f"*{suffix}" for suffix in PICKLES)),
    "dataset": DATASET,
}
SAFE = "it has the files that it had, or all of the new ones; the same command continues from here"


@dataclass
class Publication:
    """What is on the Hub now.

    Args:
        repo_id: The repository.
        commit: The commit with the files.
        url: Its page, or the pull request's.
        changed: Whether a commit was made; False if the repository had the same files already.
        revision: What to download: the tag, else the pull request's ref or the commit.
        files: Path -> sha256 of each published file.
        repo_type: "model" or "dataset".
    """

    repo_id: str
    commit: str
    url: str
    changed: bool
    revision: str
    files: dict[str, str] = field(default_factory=dict)
    repo_type: str = "model"


def files_of(folder: Path) -> dict[str, Path]:
    """Relative path -> file of everything in a folder."""
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


class Difference(NamedTuple):
    """Files to add to a repository and to delete from it, so that it contains a folder."""

    add: list[str]
    delete: list[str]

    @classmethod
    def between(cls, folder: Path, remote: Remote, revision: str) -> "Difference":
        """Compare a folder with a revision by checksums."""
        local, listed = files_of(folder), remote.files(revision)

        def same(path: Path, digest: str | None) -> bool:
            return digest is not None and digest == (
                sha256(path) if len(digest) == 64 else git_hash(path.read_bytes())
            )

        def replaced(name: str) -> bool:
            patterns = REPLACED[remote.repo_type]
            return any(name.count("/") == pattern.count("/") and fnmatch(name, pattern) for pattern in patterns)

        add = [name for name, path in local.items() if not same(path, listed.get(name))]
        return cls(add, sorted(name for name in listed if name not in local and replaced(name)))

    def __bool__(self) -> bool:
        return bool(self.add or self.delete)


def take_over_card(remote: Remote, folder: Path, head: str) -> None:
    """Copy what people wrote into the card on the Hub, as of the commit `head`, into the folder's card.

    The folder's own text replaces text that was published from such a folder, but not what somebody edited on the Hub.

    Raises:
        PublishError: Both were edited, or the card on the Hub was not written by this library.
    """
    with tempfile.TemporaryDirectory() as cache:

        def download() -> str:
            try:
                return remote.api.hf_hub_download(
                    remote.repo_id, CARD_NAME, revision=head, cache_dir=cache, repo_type=remote.repo_type
                )
            except EntryNotFoundError:
                return ""

        path = remote.ask(download, f"reading the card of {remote.repo_id}")
        if not path:
            return
        advice = "copy its text into your card, or drop it with --overwrite_card"
        try:
            theirs = Card.parse(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise PublishError(f"the card of {remote.repo_id} cannot be read ({error}): {advice}") from None
    mine = Card.parse((folder / CARD_NAME).read_text(encoding="utf-8"))
    if theirs.own and not theirs.blocks:
        raise PublishError(f"{remote.repo_id} has a card that this library did not write: {advice}")
    if not theirs.blocks or theirs.own_digest == mine.own_digest:
        return
    if not mine.own and mine.extra.items() <= theirs.extra.items():
        write_whole(folder / CARD_NAME, merge(mine, theirs))
    elif theirs.edited:
        raise PublishError(f"somebody edited the card of {remote.repo_id}, and yours has other text: {advice}")


def prepare(remote: Remote, options: PublishOptions, say: Callable[[str], None]) -> str:
    """Create the repository if needed; the commit to build on, which is main's for a new branch."""
    repo_id, info = remote.repo_id, remote.info()
    hidden = f"{repo_id} does not exist, or is private and this account has no access to it"
    if info is None:
        if options.create_pr or options.revision.startswith("refs/"):
            raise PublishError(hidden)
        # Fails if the repository exists, but is hidden from this account.
        remote.do("create_repo", f"creating {repo_id}", private=options.private, exist_ok=True)
        say(f"created {repo_id}" + (" (private)" if options.private else ""))
        info = remote.info()
    elif options.private and not info.private:
        raise PublishError(f"{repo_id} is public: make it private on its settings page, or leave out --private")
    if info is None:
        raise PublishError(hidden)
    at_revision = info if options.revision == MAIN else remote.info(options.revision)
    if at_revision is None and not options.is_branch:
        raise PublishError(f"{repo_id} has no {options.revision}")
    return (at_revision or info).sha


def check_refs(remote: Remote, options: PublishOptions) -> tuple[bool, str | None]:
    """(whether the branch must be created, the commit of the tag if it exists).

    Raises:
        PublishError: `revision` names a tag, or `tag` a branch.
    """
    if options.tag is None and not options.is_branch:
        return False, None
    branches, tags = remote.refs()
    if options.tag in branches:
        raise PublishError(f"{options.tag} is a branch of {remote.repo_id}: choose another name for the tag")
    if options.revision in tags and options.revision not in branches:
        raise PublishError(f"{options.revision} is a tag of {remote.repo_id}: --revision names a branch, --tag a tag")
    return options.is_branch and options.revision not in branches, tags.get(options.tag or "")


def open_pull_request(remote: Remote, folder: Path) -> str | None:
    """The ref of an open pull request that proposes exactly these files."""

    def pulls() -> list[int]:
        listed = remote.api.get_repo_discussions(
            remote.repo_id, discussion_type="pull_request", discussion_status="open", repo_type=remote.repo_type
        )
        return [pull.num for pull in listed if pull.is_pull_request]

    numbers = remote.ask(pulls, f"listing the pull requests of {remote.repo_id}")
    refs = (f"refs/pr/{number}" for number in sorted(numbers, reverse=True)[:20])
    return next((ref for ref in refs if not Difference.between(folder, remote, ref)), None)


def commit(
    remote: Remote, folder: Path, difference: Difference, head: str, options: PublishOptions
) -> tuple[str, str]:
    """Upload and commit; (commit, the pull request's ref or "")."""

    def lost_answer() -> CommitInfo | tuple[str, str] | None:
        """The commit, if it was made although its answer was lost."""
        if options.create_pr:
            ref = open_pull_request(remote, folder)
            return (remote.info(ref).sha, ref) if ref else None
        now = remote.info(options.revision)
        done = now is not None and now.sha != head and not Difference.between(folder, remote, now.sha)
        return (now.sha, "") if done else None

    additions = [CommitOperationAdd(name, str(folder / name)) for name in difference.add]
    deletions = [CommitOperationDelete(name) for name in difference.delete]
    result = remote.do(
        "create_commit",
        f"uploading to {remote.repo_id}",
        lost_answer,
        operations=[*additions, *deletions],
        commit_message=options.message or "Publish with primer-zoo",
        parent_commit=head,
        **({"create_pr": True} if options.create_pr else {"revision": options.revision}),
    )
    return (result.oid, result.pr_revision or "") if isinstance(result, CommitInfo) else result


def publish(
    folder: Path | str,
    repo_id: str,
    options: PublishOptions | None = None,
    say: Callable[[str], None] = print,
    repo_type: str = "model",
) -> Publication:
    """Make a repository contain the files of a staged folder.

    All files change in one commit on top of the commit that was compared; there is no commit if nothing differs.
    After a failure the repository has the old files or the new ones, and a second call continues.

    Args:
        folder: A folder that `stage` made with the code, or `stage_dataset`; its card may get text that people wrote
            into the card on the Hub.
        repo_id: ORGANISATION/NAME.
        options: How to publish.
        say: Gets one line for each step.
        repo_type: "model" or "dataset".

    Raises:
        ValueError: A name is invalid, or options contradict each other; nothing was sent.
        PublishError: No token, no permission, no network, another commit meanwhile, ...
    """
    folder, options = Path(folder), options or PublishOptions()
    options.check(repo_id)
    remote = Remote(repo_id, find_token(), repo_type)
    try:
        remote.check_account(options.create_pr)
        return _publish(remote, folder, options, say)
    except PublishError as error:
        raise PublishError(f"{error} ({repo_id}: {SAFE})") from None


def _publish(remote: Remote, folder: Path, options: PublishOptions, say: Callable[[str], None]) -> Publication:
    repo_id, tag = remote.repo_id, options.tag
    head = prepare(remote, options, say)
    branch_is_missing, tagged = check_refs(remote, options)
    # A card that people edited after the tag does not make another version of the same files.
    if tagged is None or Difference.between(folder, remote, tagged):
        if not options.overwrite_card:
            take_over_card(remote, folder, head)
        if tagged and Difference.between(folder, remote, tagged):
            raise PublishError(f"the tag {tag} of {repo_id} has other files (commit {tagged[:8]}): choose a new tag")
    difference = Difference.between(folder, remote, head)
    if branch_is_missing:
        branch = options.revision
        remote.do("create_branch", f"creating {branch}", branch=branch, revision=head, exist_ok=True)
        say(f"created the branch {branch}")
    oid, pull, changed = tagged or head, "", False
    if difference and not tagged:
        pull = (open_pull_request(remote, folder) or "") if options.create_pr else ""
        changed = not pull
        if pull:
            oid = remote.info(pull).sha
        else:
            removed = f", removing {', '.join(difference.delete)}" if difference.delete else ""
            say(f"uploading {len(difference.add)} files{removed}")
            oid, pull = commit(remote, folder, difference, head, options)
    if tag is not None and not tagged:

        def lost_answer() -> bool | None:
            return True if remote.refs()[1].get(tag) == oid else None

        remote.do("create_tag", f"tagging {oid[:8]} as {tag}", lost_answer, tag=tag, revision=oid)
    page = f"{remote.api.endpoint}/{'datasets/' if remote.repo_type == 'dataset' else ''}{repo_id}"
    url = f"{page}/discussions/{pull.rsplit('/', 1)[-1]}" if pull else f"{page}/tree/{tag or oid}"
    files = {name: sha256(path) for name, path in files_of(folder).items()}
    return Publication(repo_id, oid, url, changed, tag or pull or oid, files, remote.repo_type)


__all__ = ["Difference", "Publication", "PublishOptions", "publish"]
