"""What the server knows: accounts, repositories and uploaded objects."""

import hashlib
import re
from dataclasses import dataclass, field

LFS_SUFFIXES = (".safetensors", ".bin", ".png", ".parquet")


class HubError(Exception):
    """An error answer."""

    def __init__(self, status: int, message: str, code: str = "", **headers: str):
        super().__init__(message)
        self.status, self.message = status, message
        self.headers = {"X-Error-Message": message, **headers, **({"X-Error-Code": code} if code else {})}


def git_blob(content: bytes) -> str:
    """git's hash of a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class File:
    """A file of a commit; its checksums are those of its first content, whatever a test makes of it later."""

    def __init__(self, path: str, content: bytes):
        self.content, self.size = content, len(content)
        self.lfs = path.endswith(LFS_SUFFIXES)
        self.sha256 = hashlib.sha256(content).hexdigest()
        self.oid = git_blob(f"oid sha256:{self.sha256}\n".encode() if self.lfs else content)

    def entry(self, path: str) -> dict:
        """The file in a listing."""
        lfs = {"lfs": {"oid": self.sha256, "size": self.size, "pointerSize": 100}} if self.lfs else {}
        return {"type": "file", "path": path, "oid": self.oid, "size": self.size, **lfs}


@dataclass
class Commit:
    """A state of a repository."""

    parent: str | None
    title: str
    tree: dict[str, File]


@dataclass
class Repo:
    """One repository, with a first commit as the Hub makes it."""

    private: bool = False
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)  # "heads/main", "tags/v1", "pr/1" -> commit

    def __post_init__(self):
        self.refs["heads/main"] = self.commit(None, {".gitattributes": File(".gitattributes", b"")}, "initial commit")

    def commit(self, parent: str | None, tree: dict[str, File], title: str) -> str:
        """Store a commit; no ref points at it yet."""
        oid = hashlib.sha1(f"{len(self.commits)} {id(self)} {title}".encode()).hexdigest()
        self.commits[oid] = Commit(parent, title, tree)
        return oid

    def resolve(self, revision: str = "main") -> str:
        """The commit of a branch, tag, refs/pr/N or commit."""
        for name in (f"heads/{revision}", f"tags/{revision}", revision.removeprefix("refs/")):
            if name in self.refs:
                return self.refs[name]
        if revision in self.commits:
            return revision
        raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def tree(self, revision: str = "main") -> dict[str, File]:
        """Path -> file."""
        return self.commits[self.resolve(revision)].tree

    def files(self, revision: str = "main") -> dict[str, bytes]:
        """Path -> content, without .gitattributes."""
        return {path: file.content for path, file in self.tree(revision).items() if path != ".gitattributes"}

    def put(self, path: str, content: bytes) -> None:
        """Commit a file to main behind the client's back."""
        tree = self.tree() | {path: File(path, content)}
        self.refs["heads/main"] = self.commit(self.resolve(), tree, f"Put {path}")

    def named(self, kind: str) -> dict[str, str]:
        """Name -> commit of `heads`, `tags` or `pr`."""
        return {ref.split("/", 1)[1]: oid for ref, oid in self.refs.items() if ref.startswith(f"{kind}/")}

    def history(self, revision: str = "main") -> list[str]:
        """Titles of the commits, newest first."""
        titles, oid = [], self.resolve(revision)
        while oid is not None:
            titles.append(self.commits[oid].title)
            oid = self.commits[oid].parent
        return titles


@dataclass
class Token:
    """One access token; `role` is the Hub's: read, write or fineGrained."""

    user: str
    role: str = "write"
    organisations: tuple[str, ...] = ()

    def member(self, namespace: str) -> bool:
        """Whether it belongs to the namespace."""
        return namespace in (self.user, *self.organisations)


@dataclass
class State:
    """Everything that the server stores."""

    tokens: dict[str, Token] = field(default_factory=dict)
    repos: dict[tuple[str, str], Repo] = field(default_factory=dict)  # (type, id) -> repository
    objects: dict[str, bytes] = field(default_factory=dict)  # sha256 -> uploaded large file

    def readable(self, token: Token | None, kind: str, repo_id: str) -> Repo:
        """A repository that the asker may see: a private one does not exist for others."""
        repo = self.repos.get((kind, repo_id))
        if repo is None or repo.private and not (token and token.member(repo_id.split("/")[0])):
            raise HubError(404 if token else 401, "Repository not found", "RepoNotFound")
        return repo

    def writable(self, token: Token | None, kind: str, repo_id: str, pull: bool = False) -> Repo:
        """A repository that the asker may write to; a pull request needs only a token that writes."""
        repo = self.readable(token, kind, repo_id)
        if token is None or token.role == "read" or not (pull or token.member(repo_id.split("/")[0])):
            raise HubError(403, "Forbidden: you do not have write access to this repository")
        return repo


def check_card(text: str) -> list[str]:
    """What is wrong with a README's metadata; the Hub's own rules are richer."""
    import yaml

    match = re.match(r"---\n(.*?)\n---(\n|$)", text, flags=re.S)
    head = yaml.safe_load(match[1]) if match else {}
    if not isinstance(head, dict):
        return ["metadata must be a mapping"]
    return [
        f'"{key}" must be a string' for key in ("license", "pipeline_tag") if not isinstance(head.get(key, ""), str)
    ]
