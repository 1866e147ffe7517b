"""A staged folder becomes a repository of the Hub, in one commit or not at all."""

import hashlib
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import validate_repo_id

from zoo.pretrained import PICKLES
from zoo.record import sha256, write_whole

from . import remote as connection
from .blocks import Card, merge
from .card import CARD_NAME
from .remote import PublishError, Remote, cause_of, check_names, explain, find_token, is_passing
from .stage import PUBLISHED

MAIN = "main"
# What an earlier version of the library, or somebody else, left in the repository and what would be loaded with the
# model: it goes when it is not part of what is published. Anything else in the repository stays, folders too.
REPLACED = (*PUBLISHED, "*.safetensors", "*.safetensors.index.json", "*.py", *(f"*{suffix}" for suffix in PICKLES))
WHOLE = "it holds the files that it held, or all of the new ones; the same command goes on from here"


@dataclass
class Publication:
    """What is on the Hub now.

    Args:
        repo_id: The repository.
        commit: The commit that holds the files.
        url: Its page, or the pull request's.
        changed: Whether a commit was made; False if the repository held the same files already.
        revision: What to download: the tag, else the commit or the pull request's ref.
        files: Path -> sha256 of each published file.
    """

    repo_id: str
    commit: str
    url: str
    changed: bool
    revision: str
    files: dict[str, str] = field(default_factory=dict)


@dataclass
class Wish:
    """What somebody asks for, beside the folder."""

    private: bool = False
    create_pr: bool = False
    tag: str | None = None
    revision: str = MAIN
    overwrite_card: bool = False
    message: str = ""

    def check(self, repo_id: str) -> None:
        """Raise a ValueError for a wish that cannot be."""
        check_names(repo_id, None if self.revision == MAIN else self.revision, self.tag)
        validate_repo_id(repo_id)
        if self.tag is not None and self.tag in (MAIN, self.revision):
            raise ValueError(f"--tag {self.tag!r} is the name of a branch: name a version, such as v1.0.0")
        if self.create_pr and self.tag:
            raise ValueError("--tag with --create_pr: a pull request is not tagged; tag the commit that merges it")
        if self.create_pr and self.revision != MAIN:
            raise ValueError("--revision with --create_pr: a pull request is opened against main")
        if self.create_pr and self.private:
            raise ValueError("--private with --create_pr: a pull request goes to a repository that exists")


def git_blob(path: Path) -> str:
    """git's hash of a file, by which the Hub knows small files."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _same(path: Path, digest: str | None) -> bool:
    """Whether a file is the one of which the Hub gives git's hash, or sha256 if it stores it as a large one."""
    return digest is not None and digest == (sha256(path) if len(digest) == 64 else git_blob(path))


def _is_replaced(name: str) -> bool:
    """Whether a file of the repository belongs to what is published: patterns do not reach into folders."""
    return any(name.count("/") == pattern.count("/") and fnmatch(name, pattern) for pattern in REPLACED)


@dataclass
class Difference:
    """What separates a repository from a folder."""

    add: list[str]
    delete: list[str]

    @classmethod
    def between(cls, folder: Path, remote: dict[str, str]) -> "Difference":
        """Compare by checksums; `remote` is Remote.files()."""
        local = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
        add = [name for name, path in local.items() if not _same(path, remote.get(name))]
        stale = [name for name in remote if name not in local and _is_replaced(name)]
        return cls(add, sorted(stale))

    def __bool__(self) -> bool:
        return bool(self.add or self.delete)


def _open_pull_request(remote: Remote, folder: Path) -> str | None:
    """The ref of an open pull request that proposes just these files, so that a second one is not opened."""

    def pulls() -> list[int]:
        found = remote.api.get_repo_discussions(
            remote.repo_id, discussion_type="pull_request", discussion_status="open"
        )
        return [pull.num for pull in found if pull.is_pull_request]

    for number in sorted(remote.ask(pulls, f"listing the pull requests of {remote.repo_id}"), reverse=True)[:20]:
        if not Difference.between(folder, remote.files(f"refs/pr/{number}")):
            return f"refs/pr/{number}"
    return None


def take_over_card(remote: Remote, folder: Path, head: str, has_card: bool, overwrite: bool) -> None:
    """Bring what people wrote into the card on the Hub into the card of the folder.

    Own text of the folder's card wins over text that was published from such a folder before, not over text that
    somebody wrote on the Hub.

    Raises:
        PublishError: Both were edited, or the card there is not this library's.
    """
    if not has_card or overwrite:
        return
    with tempfile.TemporaryDirectory() as cache:

        def download() -> str:
            return hf_hub_download(
                remote.repo_id, CARD_NAME, revision=head, cache_dir=cache, token=remote.token, endpoint=remote.endpoint
            )

        path = remote.ask(download, f"reading the card of {remote.repo_id}")
        advice = "put its text into your card, or throw it away with --overwrite_card"
        try:
            theirs = Card.parse(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise PublishError(f"the card of {remote.repo_id} cannot be read ({error}): {advice}") from None
    mine = Card.parse((folder / CARD_NAME).read_text(encoding="utf-8"))
    if theirs.own and not theirs.blocks:
        raise PublishError(f"{remote.repo_id} has a card that this library did not write: {advice}")
    if theirs.own_digest == mine.own_digest or not theirs.blocks:
        return
    if mine.own or mine.extra:
        if theirs.edited:
            raise PublishError(f"somebody edited the card of {remote.repo_id}, and yours has other text: {advice}")
        return
    write_whole(folder / CARD_NAME, merge(mine, theirs))


def _prepare_repository(remote: Remote, wish: Wish, say: Callable[[str], None]) -> str:
    """The commit to build on, which is main's where the branch is still to be made; makes the repository if needed."""
    api, repo_id = remote.api, remote.repo_id
    hidden = f"{repo_id} does not exist, or is private and this account has no access to it"
    found = remote.info()
    if found is None:
        if wish.create_pr or wish.revision.startswith("refs/"):
            raise PublishError(hidden)
        other = remote.other_type()
        if other is not None:
            raise PublishError(f"{repo_id} is the name of a {other} already: choose another name for the model")
        # Whether it exists, but hidden from this account, shows here.
        remote.ask(partial(api.create_repo, repo_id, private=wish.private, exist_ok=True), f"making {repo_id}")
        say(f"made {repo_id}" + (" (private)" if wish.private else ""))
    elif wish.private and not found.private:
        raise PublishError(f"{repo_id} is public: make it private on its settings page, or leave out --private")
    head = remote.head(wish.revision)
    if head is None and wish.revision.startswith("refs/"):
        raise PublishError(f"{repo_id} has no {wish.revision}")
    head = head or remote.head(MAIN)
    if head is None:
        raise PublishError(hidden)
    return head


def _commit(remote: Remote, folder: Path, difference: Difference, head: str, wish: Wish) -> tuple[str, str]:
    """Upload and commit; (commit, ref or page of the pull request or "").

    When an answer is lost, the repository tells whether the commit was made.
    """
    api, repo_id = remote.api, remote.repo_id
    additions = [CommitOperationAdd(name, str(folder / name)) for name in difference.add]
    options: dict[str, Any] = {"create_pr": True} if wish.create_pr else {"revision": wish.revision}

    def upload() -> None:
        api.preupload_lfs_files(repo_id, additions, free_memory=False, **options)

    remote.ask(upload, f"uploading to {repo_id}")
    deletions = [CommitOperationDelete(name) for name in difference.delete]
    for wait in (*connection.WAITS, None):
        try:
            made = api.create_commit(
                repo_id,
                [*additions, *deletions],
                commit_message=wish.message or "Publish with primer-zoo",
                parent_commit=head,
                **options,
            )
            return made.oid, made.pr_revision or ""
        except (HfHubHTTPError, OSError, ValueError, RuntimeError, connection.httpx2.HTTPError) as error:
            cause = cause_of(error)
            stale = isinstance(cause, HfHubHTTPError) and cause.response.status_code == 412
            if not stale and not is_passing(error):
                raise explain(error, "committing", repo_id, remote.endpoint) from None
            done = _already_made(remote, folder, head, wish)
            if done is not None:
                return done
            if stale or wait is None:
                raise explain(error, "committing", repo_id, remote.endpoint) from None
            time.sleep(connection.pause(error, wait))
    raise AssertionError("unreachable")


def _already_made(remote: Remote, folder: Path, head: str, wish: Wish) -> tuple[str, str] | None:
    """The commit that was made although its answer was lost."""
    if wish.create_pr:
        ref = _open_pull_request(remote, folder)
        return None if ref is None else (remote.head(ref) or "", ref)
    now = remote.head(wish.revision)
    if now is not None and now != head and not Difference.between(folder, remote.files(now)):
        return now, ""
    return None


def _check_refs(remote: Remote, wish: Wish) -> tuple[bool, str | None]:
    """Whether the branch is still to be made, and the commit of the tag if there is one.

    Raises:
        PublishError: The branch is a tag there, or the tag a branch.
    """
    if wish.tag is None and (wish.revision == MAIN or wish.revision.startswith("refs/")):
        return False, None
    branches, tags = remote.refs()
    if wish.tag in branches:
        raise PublishError(f"{wish.tag} is a branch of {remote.repo_id}: choose another name for the tag")
    if wish.revision in tags and wish.revision not in branches:
        raise PublishError(f"{wish.revision} is a tag of {remote.repo_id}: --revision names a branch, --tag a tag")
    missing = wish.revision not in branches and not wish.revision.startswith("refs/")
    return missing, tags.get(wish.tag or "")


def publish(
    folder: Path | str, repo_id: str, wish: Wish | None = None, say: Callable[[str], None] = print
) -> Publication:
    """Make a repository hold the files of a staged folder.

    All files change in one commit on top of the commit that was looked at; nothing is committed if they are there
    already. Whatever fails, the repository is as it was or as it should be, and a second call goes on.

    Args:
        folder: What `stage` made, with the code; its card may get text that people wrote into the card on the Hub.
        repo_id: ORGANISATION/NAME.
        wish: Private, pull request, tag, branch.
        say: Is told what happens.

    Raises:
        ValueError: A name cannot be, or the wishes contradict each other; nothing was sent.
        PublishError: No token, no permission, no network, another state than was looked at, ...
    """
    folder, wish = Path(folder), wish or Wish()
    wish.check(repo_id)
    remote = Remote(repo_id, find_token())
    try:
        remote.check_account(wish.create_pr)
        head = _prepare_repository(remote, wish, say)
        listed = remote.files(head)
        branch_is_missing, tagged = _check_refs(remote, wish)
        under_tag = remote.files(tagged) if tagged else {}
        # What people wrote into the card after the tag was made does not make another version of the same files.
        if tagged is None or Difference.between(folder, under_tag):
            take_over_card(remote, folder, head, CARD_NAME in listed, wish.overwrite_card)
            if tagged and Difference.between(folder, under_tag):
                raise PublishError(
                    f"the tag {wish.tag} of {repo_id} names other files (commit {tagged[:8]}): choose the next version"
                )
        difference = Difference.between(folder, listed)
        if branch_is_missing:
            branch = partial(remote.api.create_branch, repo_id, branch=wish.revision, revision=head, exist_ok=True)
            remote.ask(branch, f"making the branch {wish.revision}")
            say(f"made the branch {wish.revision}")
        commit, pull = head, ""
        ref = _open_pull_request(remote, folder) if wish.create_pr and difference else None
        changed = bool(difference) and ref is None and tagged is None
        if changed:
            say(f"uploading {len(difference.add)} files" + _removing(difference))
            commit, pull = _commit(remote, folder, difference, head, wish)
        elif ref is not None:
            commit, pull = remote.head(ref) or "", ref
        if tagged is not None:
            commit = tagged
        elif wish.tag is not None:
            _tag(remote, wish.tag, commit)
    except PublishError as error:
        raise PublishError(f"{error} ({repo_id}: {WHOLE})") from None
    page = f"{remote.endpoint}/{repo_id}"
    url = f"{page}/discussions/{pull.rsplit('/', 1)[-1]}" if pull else f"{page}/tree/{wish.tag or commit}"
    files = {p.relative_to(folder).as_posix(): sha256(p) for p in sorted(folder.rglob("*")) if p.is_file()}
    return Publication(repo_id, commit, url, changed, wish.tag or pull or commit, files)


def _removing(difference: Difference) -> str:
    return f", removing {', '.join(difference.delete)}" if difference.delete else ""


def _tag(remote: Remote, tag: str, commit: str) -> None:
    """Make the tag; that it exists is fine if an earlier try, whose answer was lost, made it."""

    def once() -> None:
        try:
            remote.api.create_tag(remote.repo_id, tag=tag, revision=commit)
        except HfHubHTTPError as error:
            if error.response.status_code != 409 or remote.refs()[1].get(tag) != commit:
                raise

    remote.ask(once, f"tagging {commit[:8]} as {tag}")


__all__ = ["Difference", "Publication", "Wish", "publish"]
