"""What a person asks `zoo publish` for, checked before the Hub's client is imported."""

import re
from dataclasses import dataclass

MAIN = "main"
REPO_ID = re.compile(
    r"(?!.*(?:--|\.\.))[A-Za-z0-9][\w.-]{0,95}(?:/[A-Za-z0-9][\w.-]{0,95})?(?<![.-])(?<!\.git)", flags=re.ASCII
)
BAD_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|^[/.-]|[/.]$|\.lock$|/\.|^@$|^HEAD$|[\ud800-\udfff]")


class PublishError(RuntimeError):
    """Publishing failed; the message says why and what to do."""


def check_names(repo_id: str, revision: str | None = None, tag: str | None = None) -> None:
    """Refuse invalid names of repositories, branches and tags.

    Raises:
        ValueError: Names the argument.
    """
    if repo_id.count("/") != 1 or not all(map(REPO_ID.fullmatch, repo_id.split("/"))) or len(repo_id) > 96:
        raise ValueError(
            f"--repo_id {repo_id!r} is not a repository: it is ORGANISATION/NAME of letters, digits, '-', '_' and '.'"
        )
    for flag, kind, name in (("--revision", "branch", revision), ("--tag", "tag", tag)):
        if name is None or (kind == "branch" and re.fullmatch(r"refs/pr/\d+", name)):
            continue
        if not name or BAD_REF.search(name) or len(name) > 200 or re.fullmatch(r"[0-9a-f]{40}", name):
            raise ValueError(f"{flag} {name!r} is not a valid name of a {kind}")
        if name.startswith("refs/"):
            raise ValueError(f"{flag} {name!r}: leave out refs/; a pull request is --revision refs/pr/NUMBER")


@dataclass(frozen=True)
class PublishOptions:
    """How to publish a folder.

    Args:
        private: Make a new repository private.
        create_pr: Open a pull request against the main branch.
        tag: Tag of the commit.
        revision: Branch to commit to, created if it does not exist, or `refs/pr/N`.
        overwrite_card: Drop what people wrote into the card on the Hub.
        message: Commit message.
    """

    private: bool = False
    create_pr: bool = False
    tag: str | None = None
    revision: str = MAIN
    overwrite_card: bool = False
    message: str = ""

    @property
    def is_branch(self) -> bool:
        """Whether `revision` names a branch other than main."""
        return self.revision != MAIN and not self.revision.startswith("refs/")

    def check(self, repo_id: str) -> None:
        """Refuse invalid names and options that contradict each other.

        Raises:
            ValueError: Names the option.
        """
        check_names(repo_id, self.revision, self.tag)
        if self.tag is not None and self.tag in (MAIN, self.revision):
            raise ValueError(f"--tag {self.tag!r} is the name of a branch: name a version, such as v1.0.0")
        if self.create_pr and self.tag:
            raise ValueError("--tag with --create_pr: tag the commit that merges the pull request")
        if self.create_pr and self.revision != MAIN:
            raise ValueError("--revision with --create_pr: a pull request is opened against main")
        if self.create_pr and self.private:
            raise ValueError("--private with --create_pr: a pull request needs an existing repository")


__all__ = ["PublishError", "PublishOptions", "check_names"]
