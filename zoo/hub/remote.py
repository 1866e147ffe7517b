"""One repository of the Hub: what it contains, who may write to it, retries, and errors that say what to do."""

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

from .options import PublishError
from .tokens import scrub

# Seconds between tries. The client retries uploads and listings, not whoami, create_repo, create_commit, create_tag.
WAITS = (1.0, 2.0, 4.0, 8.0)
TEMPORARY = (408, 429, 500, 502, 503, 504)
T = TypeVar("T")


def find_token() -> str:
    """The token of HF_TOKEN or of a login.

    Raises:
        PublishError: There is none, or it is malformed; it is not shown.
    """
    token = get_token()
    if not token:
        raise PublishError("no token: set HF_TOKEN to one that may write, or log in with `hf auth login`")
    if not re.fullmatch(r"[!-~]+", token):
        raise PublishError("the token in HF_TOKEN (or of the login) contains a space or another invalid character")
    return token


def cause_of(error: BaseException) -> BaseException:
    """The Hub's answer or the failed connection behind an error of the client."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, (HfHubHTTPError, httpx2.TransportError, OfflineModeIsEnabled)):
            return cause
        cause = cause.__cause__ or cause.__context__
    return error


def status_of(error: BaseException) -> int:
    """The HTTP status behind an error of the client; 0 without one."""
    cause = cause_of(error)
    return cause.response.status_code if isinstance(cause, HfHubHTTPError) else 0


def is_temporary(error: BaseException) -> bool:
    """Whether the same request may succeed a little later."""
    # The client parses some answers before it looks at their status: a proxy's error page is not JSON.
    cause = cause_of(error)
    return status_of(error) in TEMPORARY or isinstance(cause, (httpx2.TransportError, json.JSONDecodeError))


def pause(error: BaseException, seconds: float) -> float:
    """How long to wait: what the Hub asks for, up to a minute."""
    cause = cause_of(error)
    wanted = cause.response.headers.get("retry-after", "") if isinstance(cause, HfHubHTTPError) else ""
    return min(float(wanted), 60.0) if wanted.isdigit() else seconds


@dataclass
class Remote:
    """A repository and the account that uses it.

    Args:
        repo_id: ORGANISATION/NAME.
        token: Access token of the account.
        repo_type: "model" or "dataset".
    """

    repo_id: str
    token: str = field(repr=False)
    repo_type: str = "model"
    api: HfApi = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.api = HfApi(token=self.token, library_name="primer-zoo")

    def do(self, method: str, doing: str, recover: Callable[[], T | None] = lambda: None, **arguments: Any) -> Any:
        """Call a method of `HfApi` for this repository; see `ask`."""
        call = partial(getattr(self.api, method), self.repo_id, repo_type=self.repo_type, **arguments)
        return self.ask(call, doing, recover)

    def ask(self, call: Callable[[], T], doing: str, recover: Callable[[], T | None] = lambda: None) -> T:
        """What the call returns, after retries where the failure may be temporary.

        Args:
            call: Sends the request.
            doing: What it does, for the error message.
            recover: Called after a failure; returns the result if the request was carried out although its answer
                was lost, else None.

        Raises:
            PublishError: It failed for good.
        """
        for wait in (*WAITS, None):
            try:
                return call()
            # The client raises ValueError for a card that the Hub refuses, RuntimeError for an upload that failed.
            except (HfHubHTTPError, httpx2.HTTPError, OSError, ValueError, RuntimeError) as error:
                temporary = is_temporary(error)
                if temporary or status_of(error) in (409, 412):
                    result = recover()
                    if result is not None:
                        return result
                if wait is None or not temporary:
                    raise self.explain(error, doing) from None
                time.sleep(pause(error, wait))
        raise AssertionError("unreachable")

    def explain(self, error: BaseException, doing: str) -> PublishError:
        """The error in words for the person at the terminal, without a token in them."""
        cause, status = cause_of(error), status_of(error)
        message = " ".join((getattr(cause, "server_message", None) or str(cause)).split())[:300]
        by_status = {
            401: "the Hub does not accept the token: make a new one and set HF_TOKEN, or run `hf auth login`",
            403: f"this token may not write to {self.repo_id} ({message}): it needs write permission there",
            412: f"{self.repo_id} got another commit meanwhile: look at it, and run the same command again",
            429: "too many requests: wait some minutes",
        }
        if isinstance(cause, OfflineModeIsEnabled):
            text = "the Hub is switched off by HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE: unset it to publish"
        elif isinstance(cause, httpx2.TransportError):
            text = f"{self.api.endpoint} does not answer ({message or type(cause).__name__}): is the network up?"
        elif isinstance(cause, RevisionNotFoundError):
            text = f"{self.repo_id} has no such branch, tag or commit ({message})"
        elif isinstance(cause, RepositoryNotFoundError):
            text = f"{self.repo_id} does not exist, or is private and this account has no access to it"
        elif status in by_status:
            text = by_status[status]
        elif status in TEMPORARY:
            text = f"the Hub answered with a server error ({status}), {len(WAITS) + 1} times: try again later"
        elif isinstance(error, ValueError):
            text = " ".join(str(error).split())  # the client's words for a card that the Hub refuses
        else:
            text = message or type(cause).__name__
        return PublishError(scrub(f"{doing}: {text}"))

    def account(self) -> dict[str, Any]:
        """Name and organisations of the token's account."""
        return self.ask(self.api.whoami, "asking the Hub for the account")

    def check_account(self, create_pr: bool = False) -> None:
        """Check that the account may write to the repository's namespace, or open a pull request there.

        Raises:
            PublishError: The token is invalid or read-only, or the namespace is not one of the account's.
        """
        account = self.account()
        name = account["name"]
        if account.get("auth", {}).get("accessToken", {}).get("role") == "read":
            raise PublishError(
                f"the token of {name} is read-only: make one with write permission and set HF_TOKEN, or log in again"
            )
        namespace = self.repo_id.split("/")[0]
        namespaces = [name, *(org["name"] for org in account.get("orgs", []))]
        if namespace.lower() not in map(str.lower, namespaces) and not create_pr:
            raise PublishError(
                f"{name} does not belong to an organisation {namespace!r}; choose from: {', '.join(namespaces)} "
                "(--create_pr proposes a change to somebody else's repository)"
            )

    def info(self, revision: str | None = None) -> Any:
        """Commit (`sha`) and visibility; None if there is no such repository or revision for this account."""

        def info() -> Any:
            try:
                return self.api.repo_info(self.repo_id, revision=revision, repo_type=self.repo_type)
            except (RevisionNotFoundError, RepositoryNotFoundError):
                return None

        return self.ask(info, f"looking at {self.repo_id}")

    def files(self, revision: str) -> dict[str, str]:
        """Path -> sha256 of a large file, or git's hash of another."""

        def tree() -> dict[str, str]:
            entries = self.api.list_repo_tree(
                self.repo_id, recursive=True, revision=revision, repo_type=self.repo_type
            )
            files = [entry for entry in entries if isinstance(entry, RepoFile)]
            return {file.path: file.lfs.sha256 if file.lfs else file.blob_id for file in files}

        return self.ask(tree, f"listing {self.repo_id}")

    def refs(self) -> tuple[dict[str, str], dict[str, str]]:
        """(branches, tags), each name -> commit."""
        refs = self.do("list_repo_refs", f"listing the branches of {self.repo_id}")
        branches, tags = ({ref.name: ref.target_commit for ref in kind} for kind in (refs.branches, refs.tags))
        return branches, tags


__all__ = ["PublishError", "Remote", "find_token"]
