"""One repository of the Hub: what it holds, who may write to it, and errors that say what to do."""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import httpx2
from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import (
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile

from .metadata import REPO_ID
from .tokens import scrub

# Seconds between tries of a request that failed for no reason of its own. The client has its own retries for uploads,
# but none for asking who one is, for making repositories, commits and tags.
WAITS = (1.0, 2.0, 4.0, 8.0)
PASSING = (408, 429, 500, 502, 503, 504)
BAD_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|^[/.-]|[/.]$|\.lock$|/\.|^@$|^HEAD$|[\ud800-\udfff]")
T = TypeVar("T")


class PublishError(RuntimeError):
    """A model could not be published; the message says why and what to do."""


def check_names(repo_id: str, revision: str | None = None, tag: str | None = None) -> None:
    """Refuse what cannot be a repository, a branch or a tag, before anything is sent.

    Raises:
        ValueError: Names the argument.
    """
    if repo_id.count("/") != 1 or not all(map(REPO_ID.fullmatch, repo_id.split("/"))) or len(repo_id) > 96:
        raise ValueError(
            f"--repo_id {repo_id!r} is no repository: write ORGANISATION/NAME with letters, digits, '-', '_' and '.'"
        )
    for flag, name in (("--revision", revision), ("--tag", tag)):
        if name is None:
            continue
        if not name or BAD_REF.search(name) or len(name) > 200 or re.fullmatch(r"[0-9a-f]{40}", name):
            raise ValueError(f"{flag} {name!r} cannot be the name of a {'branch' if 'rev' in flag else 'tag'}")
        if name.startswith("refs/") and not (flag == "--revision" and re.fullmatch(r"refs/pr/\d+", name)):
            raise ValueError(f"{flag} {name!r}: leave out refs/; a pull request is refs/pr/NUMBER")


def find_token() -> str:
    """The token of HF_TOKEN or of a login.

    Raises:
        PublishError: There is none, or it cannot be one; it is not shown.
    """
    token = get_token()
    if not token:
        raise PublishError("no token: set HF_TOKEN to one that may write, or log in with `hf auth login`")
    if not re.fullmatch(r"[!-~]+", token):
        raise PublishError("the token in HF_TOKEN (or of the login) holds a space or another sign that no token has")
    return token


def cause_of(error: BaseException) -> BaseException:
    """The Hub's answer or the connection's failure behind an error of the client."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, (HfHubHTTPError, httpx2.TransportError, OfflineModeIsEnabled)):
            return seen
        seen = seen.__cause__ or seen.__context__
    return error


def is_passing(error: BaseException) -> bool:
    """Whether the same request may succeed a little later."""
    cause = cause_of(error)
    if isinstance(cause, HfHubHTTPError):
        return cause.response.status_code in PASSING
    # The client reads JSON from some answers before it looks at their status: a server's error page is none.
    return isinstance(cause, (httpx2.TransportError, json.JSONDecodeError))


def pause(error: BaseException, seconds: float) -> float:
    """How long to wait: what the Hub asks for, up to a minute."""
    cause = cause_of(error)
    asked = cause.response.headers.get("retry-after", "") if isinstance(cause, HfHubHTTPError) else ""
    return min(float(asked), 60.0) if asked.isdigit() else seconds


def explain(error: BaseException, doing: str, repo_id: str, endpoint: str) -> PublishError:
    """The error in words for the person at the terminal, without a token in them."""
    cause = cause_of(error)
    status = cause.response.status_code if isinstance(cause, HfHubHTTPError) else 0
    said = " ".join((getattr(cause, "server_message", None) or str(cause)).split())[:300]
    if isinstance(cause, OfflineModeIsEnabled):
        text = "the Hub is switched off by HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE: unset it to publish"
    elif isinstance(cause, httpx2.TransportError):
        text = f"{endpoint} does not answer ({said or type(cause).__name__}): is the network up?"
    elif isinstance(cause, RevisionNotFoundError):
        text = f"{repo_id} has no such branch, tag or commit ({said})"
    elif isinstance(cause, RepositoryNotFoundError):
        text = f"{repo_id} does not exist, or is private and this account has no access to it"
    elif status == 401:
        text = "the Hub does not accept the token: make a new one and set HF_TOKEN, or run `hf auth login`"
    elif status == 403:
        text = f"this token may not write to {repo_id} ({said}): it needs write permission there"
    elif status == 412:
        text = f"{repo_id} got another commit meanwhile: look at it, and run the same command again"
    elif status == 429:
        text = "the Hub answers that these are too many requests: wait some minutes"
    elif status in PASSING:
        text = f"the Hub answers with a server error ({status}), {len(WAITS) + 1} times: try again later"
    elif isinstance(error, ValueError):
        text = " ".join(str(error).split())  # the client's words for a card that the Hub refuses
    else:
        text = said or type(cause).__name__
    return PublishError(scrub(f"{doing}: {text}"))


def attempt(call: Callable[[], T], doing: str, repo_id: str, endpoint: str) -> T:
    """What the call returns, after waiting and trying again where the failure may pass.

    Raises:
        PublishError: It failed for good.
    """
    for wait in (*WAITS, None):
        try:
            return call()
        # The client also raises ValueError (a card that the Hub refuses) and RuntimeError (an upload that failed).
        except (HfHubHTTPError, httpx2.HTTPError, OSError, ValueError, RuntimeError) as error:
            if isinstance(error, PublishError):
                raise
            if wait is None or not is_passing(error):
                raise explain(error, doing, repo_id, endpoint) from None
            time.sleep(pause(error, wait))
    raise AssertionError("unreachable")


@dataclass
class Remote:
    """A model repository and the account that asks for it."""

    repo_id: str
    token: str = field(repr=False)
    api: HfApi = field(init=False, repr=False)

    def __post_init__(self):
        self.api = HfApi(token=self.token, library_name="primer-zoo")

    @property
    def endpoint(self) -> str:
        """The Hub's address."""
        return self.api.endpoint

    def ask(self, call: Callable[[], T], doing: str) -> T:
        """`attempt` for this repository."""
        return attempt(call, doing, self.repo_id, self.endpoint)

    def account(self) -> dict[str, Any]:
        """Name and organisations of the token's account."""
        return self.ask(self.api.whoami, "asking the Hub who you are")

    def check_account(self, create_pr: bool = False) -> str:
        """The name of the account, which may write to the repository's namespace (or open a pull request there).

        Raises:
            PublishError: The token is invalid or only reads, or the namespace is not one of the account's.
        """
        found = self.account()
        name = found["name"]
        role = found.get("auth", {}).get("accessToken", {}).get("role")
        if role == "read":
            raise PublishError(
                f"the token of {name} only reads: make one with write permission and set HF_TOKEN, or log in again"
            )
        namespace = self.repo_id.split("/")[0]
        mine = [name, *(org["name"] for org in found.get("orgs", []))]
        if namespace.lower() not in map(str.lower, mine) and not create_pr:
            raise PublishError(
                f"there is no organisation {namespace!r} that {name} belongs to; yours: {', '.join(mine)} "
                "(--create_pr proposes a change to somebody else's repository)"
            )
        return name

    def head(self, revision: str) -> str | None:
        """The commit that a branch, tag or pull request points at; None if there is no such repository or revision."""

        def info() -> str | None:
            try:
                return self.api.model_info(self.repo_id, revision=revision).sha
            except (RevisionNotFoundError, RepositoryNotFoundError):
                return None

        return self.ask(info, f"looking at {self.repo_id}")

    def info(self) -> Any:
        """What the Hub says of the repository; None if it does not exist or is hidden from this account."""

        def info() -> Any:
            try:
                return self.api.model_info(self.repo_id)
            except RepositoryNotFoundError:
                return None

        return self.ask(info, f"looking at {self.repo_id}")

    def other_type(self) -> str | None:
        """`dataset` or `space`, if the name is taken by one."""
        for kind in ("dataset", "space"):
            exists = partial(self.api.repo_exists, self.repo_id, repo_type=kind)
            if self.ask(exists, f"looking at {self.repo_id}"):
                return kind
        return None

    def files(self, revision: str) -> dict[str, str]:
        """path -> sha256 of a large file, or git's hash of another."""

        def tree() -> dict[str, str]:
            entries = self.api.list_repo_tree(self.repo_id, recursive=True, revision=revision)
            files = [entry for entry in entries if isinstance(entry, RepoFile)]
            return {file.path: file.lfs.sha256 if file.lfs else file.blob_id for file in files}

        return self.ask(tree, f"listing {self.repo_id}")

    def refs(self) -> tuple[dict[str, str], dict[str, str]]:
        """(branches, tags), each name -> commit."""
        found = self.ask(lambda: self.api.list_repo_refs(self.repo_id), f"listing the branches of {self.repo_id}")
        branches, tags = ({ref.name: ref.target_commit for ref in refs} for refs in (found.branches, found.tags))
        return branches, tags


__all__ = ["PublishError", "Remote", "attempt", "check_names", "find_token"]
