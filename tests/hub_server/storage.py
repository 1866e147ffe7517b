"""Repositories as files: blobs by their hash, commits as JSON, refs as files that are renamed into place.

FOLDER/lfs/<sha256>                           large objects, shared by all repositories
FOLDER/<type>s/<namespace>/<name>/repo.json   visibility
    blobs/<git sha1>  commits/<oid>.json  refs/heads/main  refs/tags/v1  refs/pr/1  pulls/1.json
"""

import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

LFS_SUFFIXES = (".safetensors", ".bin", ".pt", ".png", ".parquet", ".model", ".npz")
ATTRIBUTES = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES).encode()
OID = re.compile(r"[0-9a-f]{40}")


class HubError(Exception):
    """An error that the client is told of."""

    def __init__(self, status: int, message: str, code: str = "", **headers: str):
        super().__init__(message)
        self.status, self.message, self.code, self.headers = status, message, code, headers


def git_blob(content: bytes) -> str:
    """git's hash of a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def write_whole(path: Path, content: bytes) -> None:
    """Under another name first, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    os.replace(temporary, path)


class Repo:
    """One repository."""

    def __init__(self, folder: Path, lfs: Path):
        self.folder, self.lfs = folder, lfs
        self.namespace, self.name = folder.parent.name, folder.name
        self.type = folder.parents[1].name.removesuffix("s")
        self.id = f"{self.namespace}/{self.name}"

    @property
    def settings(self) -> dict[str, Any]:
        """private, created."""
        return json.loads((self.folder / "repo.json").read_text())

    def change_settings(self, **changes: Any) -> None:
        """Store changed settings."""
        write_whole(self.folder / "repo.json", json.dumps({**self.settings, **changes}).encode())

    # Refs and commits

    def refs(self, kind: str) -> dict[str, str]:
        """Name -> commit of `heads`, `tags` or `pr`."""
        folder = self.folder / "refs" / kind
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): path.read_text() for path in files}

    def set_ref(self, ref: str, oid: str) -> None:
        """Point a ref ("heads/main") at a commit."""
        write_whole(self.folder / "refs" / ref, oid.encode())

    def resolve(self, revision: str) -> str:
        """The commit of a branch, tag, refs/pr/N or (abbreviated) commit."""
        for name in (f"heads/{revision}", f"tags/{revision}", revision.removeprefix("refs/")):
            path = self.folder / "refs" / name
            if ".." not in name.split("/") and path.is_file():
                return path.read_text()
        if re.fullmatch(r"[0-9a-f]{7,40}", revision):
            found = list((self.folder / "commits").glob(f"{revision}*.json"))
            if len(found) == 1:
                return found[0].stem
        raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def commit(self, oid: str) -> dict[str, Any]:
        """tree: path -> {oid, size[, lfs]}; parent, title, message, date, author."""
        return json.loads((self.folder / "commits" / f"{oid}.json").read_text())

    def tree(self, revision: str) -> dict[str, dict[str, Any]]:
        """path -> {oid, size[, lfs]}."""
        return self.commit(self.resolve(revision))["tree"]

    def history(self, revision: str) -> list[dict[str, Any]]:
        """Commits, newest first, each with its id."""
        found, oid = [], self.resolve(revision)
        while oid:
            found.append({"id": oid, **self.commit(oid)})
            oid = found[-1]["parent"]
        return found

    def write_commit(self, parent: str | None, tree: dict, title: str, message: str, author: str) -> str:
        """Store a commit; no ref points at it yet."""
        date = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        content = {"parent": parent, "title": title, "message": message, "date": date, "author": author, "tree": tree}
        text = json.dumps(content, sort_keys=True).encode()
        oid = hashlib.sha1(text + str(time.monotonic_ns()).encode()).hexdigest()
        write_whole(self.folder / "commits" / f"{oid}.json", text)
        return oid

    # Files

    def add_blob(self, content: bytes) -> dict[str, Any]:
        """Store a regular file; its entry in a tree."""
        oid = git_blob(content)
        if not (self.folder / "blobs" / oid).is_file():
            write_whole(self.folder / "blobs" / oid, content)
        return {"oid": oid, "size": len(content)}

    def lfs_entry(self, oid: str) -> dict[str, Any]:
        """The tree's entry of an uploaded large object."""
        path = self.lfs / oid
        if not re.fullmatch(r"[0-9a-f]{64}", oid) or not path.is_file():
            raise HubError(400, f"LFS pointer pointed to a file that does not exist: {oid}")
        size = path.stat().st_size
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n".encode()
        lfs = {"oid": oid, "size": size, "pointerSize": len(pointer)}
        return {"oid": git_blob(pointer), "size": size, "lfs": lfs}

    def path_of(self, entry: dict[str, Any]) -> Path:
        """Where the bytes of a tree's entry lie."""
        return self.lfs / entry["lfs"]["oid"] if "lfs" in entry else self.folder / "blobs" / entry["oid"]

    def read(self, revision: str, path: str) -> bytes:
        """A file's bytes."""
        return self.path_of(self.tree(revision)[path]).read_bytes()

    def files(self, revision: str = "main") -> dict[str, bytes]:
        """Every file's bytes."""
        return {path: self.path_of(entry).read_bytes() for path, entry in self.tree(revision).items()}

    # Pull requests

    def pulls(self) -> dict[int, dict[str, Any]]:
        """Number -> {title, status, author, date}."""
        files = (self.folder / "pulls").glob("*.json")
        return {int(path.stem): json.loads(path.read_text()) for path in sorted(files, key=lambda p: int(p.stem))}

    def write_pull(self, number: int, content: dict[str, Any]) -> None:
        """Store a pull request."""
        write_whole(self.folder / "pulls" / f"{number}.json", json.dumps(content).encode())


class Storage:
    """Every repository of a server."""

    def __init__(self, folder: Path):
        self.folder = folder
        (folder / "lfs").mkdir(parents=True, exist_ok=True)

    def repo(self, kind: str, repo_id: str) -> Repo:
        """An existing repository of type `model`, `dataset` or `space`."""
        path = self.folder / f"{kind}s" / repo_id
        if len(repo_id.split("/")) != 2 or ".." in repo_id or not (path / "repo.json").is_file():
            raise HubError(404, "Repository not found", "RepoNotFound")
        return Repo(path, self.folder / "lfs")

    def create(self, kind: str, repo_id: str, private: bool, author: str) -> Repo:
        """A new repository with its first commit, as the Hub makes it; it shows up when all of it is there."""
        path = self.folder / f"{kind}s" / repo_id
        repo = Repo(path, self.folder / "lfs")
        tree = {".gitattributes": repo.add_blob(ATTRIBUTES)}
        repo.set_ref("heads/main", repo.write_commit(None, tree, "initial commit", "", author))
        created = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        write_whole(path / "repo.json", json.dumps({"private": private, "created": created}).encode())
        return repo

    def delete(self, repo: Repo) -> None:
        """Gone, with its history."""
        shutil.rmtree(repo.folder)
