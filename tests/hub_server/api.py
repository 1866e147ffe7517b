"""What each request does. A route is a method, a pattern of path segments and a function."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode

from .accounts import Accounts, Token
from .commits import apply, card_head, check_card
from .storage import LFS_SUFFIXES, HubError, Repo, Storage, write_whole

LFS_FROM = 10_000_000  # bytes
PAGE = 1000


@dataclass
class Request:
    """One request: `path` is still quoted."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: Any
    body: bytes
    token: Token | None = None

    def json(self) -> Any:
        """The body as JSON."""
        try:
            return json.loads(self.body or b"{}")
        except ValueError:
            raise HubError(400, "The body is not JSON") from None


@dataclass
class Response:
    """One answer."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def answer(content: Any, status: int = 200, **headers: str) -> Response:
    """An answer in JSON."""
    return Response(status, json.dumps(content).encode(), {"Content-Type": "application/json", **headers})


class Api:
    """The Hub's API over a storage and accounts."""

    def __init__(self, storage: Storage, accounts: Accounts, url: str, cdn: str, page: int = PAGE):
        self.storage, self.accounts, self.url, self.cdn, self.page = storage, accounts, url, cdn, page
        repo, one = r"/api/(?P<types>models|datasets|spaces)/(?P<ns>[^/]+)/(?P<name>[^/]+)", r"(?P<rev>[^/]+)"
        file = r"/(?P<prefix>datasets/|spaces/)?(?P<id>[^/]+/[^/]+)"
        routes: list[tuple[str, str, Callable[..., Response]]] = [
            ("GET", r"/api/whoami-v2", self.whoami),
            ("POST", r"/api/repos/create", self.create_repo),
            ("DELETE", r"/api/repos/delete", self.delete_repo),
            ("POST", r"/api/validate-yaml", self.validate_yaml),
            ("GET", repo, self.info),
            ("GET", rf"{repo}/revision/{one}", self.info),
            ("PUT", rf"{repo}/settings", self.settings),
            ("POST", rf"{repo}/preupload/{one}", self.preupload),
            ("POST", rf"{repo}/commit/{one}", self.commit),
            ("GET", rf"{repo}/tree/{one}(?:/(?P<path>.+))?", self.tree),
            ("POST", rf"{repo}/paths-info/{one}", self.paths_info),
            ("GET", rf"{repo}/refs", self.refs),
            ("GET", rf"{repo}/commits/{one}", self.commits),
            ("POST", rf"{repo}/branch/{one}", self.create_branch),
            ("DELETE", rf"{repo}/branch/{one}", self.delete_branch),
            ("POST", rf"{repo}/tag/{one}", self.create_tag),
            ("DELETE", rf"{repo}/tag/{one}", self.delete_tag),
            ("GET", rf"{repo}/discussions", self.discussions),
            ("POST", rf"{repo}/discussions/(?P<number>\d+)/merge", self.merge),
            ("POST", rf"{file}\.git/info/lfs/objects/batch", self.lfs_batch),
            ("PUT", r"/lfs/(?P<oid>[0-9a-f]{64})", self.lfs_put),
            ("POST", r"/lfs/(?P<oid>[0-9a-f]{64})/verify", self.lfs_verify),
            ("GET", r"/cdn/(?P<oid>[0-9a-f]{64})", self.cdn_get),
            ("GET", rf"{file}/resolve/{one}/(?P<path>.+)", self.resolve),
        ]
        self.routes = [(method, re.compile(pattern), function) for method, pattern, function in routes]

    def handle(self, request: Request) -> Response:
        """The answer to a request; errors are answers too."""
        try:
            request.token = self._token(request)
            for method, pattern, function in self.routes:
                match = pattern.fullmatch(request.path)
                if match and method == ("GET" if request.method == "HEAD" else request.method):
                    return function(request, **{key: unquote(value or "") for key, value in match.groupdict().items()})
            raise HubError(404, f"No such page: {request.method} {request.path}")
        except HubError as error:
            headers = {"X-Error-Message": error.message, **error.headers}
            if error.code:
                headers["X-Error-Code"] = error.code
            return answer({"error": error.message}, error.status, **headers)

    # Who asks, and for what

    def _token(self, request: Request) -> Token | None:
        header = request.headers.get("authorization")
        if header is None or request.path.startswith(("/lfs/", "/cdn/")):
            return None
        token = self.accounts.tokens.get(header.removeprefix("Bearer "))
        if token is None:
            raise HubError(401, "Invalid credentials in Authorization header")
        return token

    def _user(self, request: Request) -> Token:
        if request.token is None:
            raise HubError(401, "Invalid username or password.")
        return request.token

    def _repo(self, request: Request, kind: str, repo_id: str) -> Repo:
        """A repository that the asker may read: what is private does not exist for others."""
        try:
            repo = self.storage.repo(kind, repo_id)
            if repo.settings["private"] and not self.accounts.member(request.token, repo.namespace):
                raise HubError(404, "Repository not found", "RepoNotFound")
            return repo
        except HubError as error:
            if request.token is None:
                raise HubError(401, "Invalid username or password.", "RepoNotFound") from None
            raise error

    def _writable(self, request: Request, kind: str, repo_id: str, pull: bool = False) -> Repo:
        """A repository that the asker may write to; a pull request needs only a token that writes."""
        repo, token = self._repo(request, kind, repo_id), self._user(request)
        if not self.accounts.may_write(token, repo.namespace) and not (pull and token.role != "read"):
            raise HubError(403, "Forbidden: you do not have write access to this repository")
        return repo

    # Accounts and repositories

    def whoami(self, request: Request) -> Response:
        return answer(self.accounts.whoami(self._user(request)))

    def _named(self, request: Request) -> tuple[str, str, str]:
        """(type, namespace, name) that a body names; the namespace is one that the asker may write to."""
        token, body = self._user(request), request.json()
        namespace, kind = body.get("organization") or token.user, body.get("type") or "model"
        if not re.fullmatch(r"[\w.-]{1,96}", body.get("name", "")):
            raise HubError(400, "Invalid repo name")
        if not self.accounts.may_write(token, namespace):
            raise HubError(403, f'You don\'t have the rights to create a {kind} under the namespace "{namespace}"')
        return kind, namespace, body["name"]

    def create_repo(self, request: Request) -> Response:
        kind, namespace, name = self._named(request)
        url = f"{self.url}/{'' if kind == 'model' else kind + 's/'}{namespace}/{name}"
        try:
            self.storage.repo(kind, f"{namespace}/{name}")
        except HubError:
            private = request.json().get("visibility") == "private"
            self.storage.create(kind, f"{namespace}/{name}", private, self._user(request).user)
            return answer({"url": url, "name": f"{namespace}/{name}", "id": f"id-{name}"})
        return answer({"error": f"You already created this {kind} repo", "url": url}, 409)

    def delete_repo(self, request: Request) -> Response:
        kind, namespace, name = self._named(request)
        self.storage.delete(self.storage.repo(kind, f"{namespace}/{name}"))
        return answer({})

    def settings(self, request: Request, types: str, ns: str, name: str) -> Response:
        repo = self._writable(request, types[:-1], f"{ns}/{name}")
        repo.change_settings(private=request.json().get("visibility") == "private")
        return answer(repo.settings)

    def validate_yaml(self, request: Request) -> Response:
        errors, warnings = check_card(request.json()["content"])
        found = {"errors": [{"message": e} for e in errors], "warnings": [{"message": w} for w in warnings]}
        return answer(found, 400 if errors else 200)

    def info(self, request: Request, types: str, ns: str, name: str, rev: str = "main") -> Response:
        repo = self._repo(request, types[:-1], f"{ns}/{name}")
        oid = repo.resolve(rev)
        commit = repo.commit(oid)
        head = card_head(repo, commit["tree"])
        siblings: list[dict[str, Any]] = [{"rfilename": path} for path in commit["tree"]]
        if "blobs" in request.query:
            for sibling in siblings:
                entry = commit["tree"][sibling["rfilename"]]
                sibling |= {"size": entry["size"], "blobId": entry["oid"]}
                if "lfs" in entry:
                    lfs = entry["lfs"]
                    sibling["lfs"] = {"size": lfs["size"], "sha256": lfs["oid"], "pointerSize": lfs["pointerSize"]}
        found = {"_id": repo.id, "id": repo.id, "author": repo.namespace, "sha": oid, "siblings": siblings}
        found |= {"private": repo.settings["private"], "gated": False, "disabled": False, "downloads": 0, "likes": 0}
        found |= {"createdAt": repo.settings["created"], "lastModified": commit["date"], "cardData": head}
        found |= {"tags": head.get("tags", []), "library_name": head.get("library_name")}
        return answer({**found, "pipeline_tag": head.get("pipeline_tag")})

    # Files

    @staticmethod
    def _entry(path: str, entry: dict[str, Any]) -> dict[str, Any]:
        return {"type": "file", "path": path, **entry}

    def tree(self, request: Request, types: str, ns: str, name: str, rev: str, path: str = "") -> Response:
        repo = self._repo(request, types[:-1], f"{ns}/{name}")
        tree = repo.tree(rev)
        prefix = f"{path}/" if path else ""
        files = {name: entry for name, entry in tree.items() if name.startswith(prefix)}
        if path and not files:
            raise HubError(404, f"{path} does not exist on {rev}", "EntryNotFound")
        deep = request.query.get("recursive", ["false"])[0].lower() in ("true", "1")
        found, folders = [], set()
        for file, entry in sorted(files.items()):
            parts = file.removeprefix(prefix).split("/")
            for depth in range(1, len(parts) if deep else min(len(parts), 2)):
                folder = prefix + "/".join(parts[:depth])
                if folder not in folders:
                    folders.add(folder)
                    found.append({"type": "directory", "path": folder, "oid": "0" * 40, "size": 0})
            if deep or len(parts) == 1:
                found.append(self._entry(file, entry))
        return self._paged(request, found)

    def _paged(self, request: Request, found: list) -> Response:
        start = int(request.query.get("cursor", ["0"])[0])
        headers = {}
        if start + self.page < len(found):
            kept = {key: values[0] for key, values in request.query.items() if key != "cursor"}
            query = urlencode({**kept, "cursor": start + self.page})
            headers["Link"] = f'<{self.url}{request.path}?{query}>; rel="next"'
        return answer(found[start : start + self.page], **headers)

    def paths_info(self, request: Request, types: str, ns: str, name: str, rev: str) -> Response:
        tree = self._repo(request, types[:-1], f"{ns}/{name}").tree(rev)
        asked = parse_qs(request.body.decode()).get("paths", [])
        return answer([self._entry(path, tree[path]) for path in asked if path in tree])

    def resolve(self, request: Request, prefix: str, id: str, rev: str, path: str) -> Response:
        repo = self._repo(request, prefix.removesuffix("s/") or "model", id)
        oid = repo.resolve(rev)
        entry = repo.commit(oid)["tree"].get(path)
        if entry is None:
            raise HubError(404, "Entry not found", "EntryNotFound", **{"X-Repo-Commit": oid})
        headers = {"X-Repo-Commit": oid, "ETag": f'"{entry["oid"]}"', "Accept-Ranges": "bytes"}
        if "lfs" in entry:
            # As on the Hub, large files come from another host, by a signed address that needs no token.
            headers["X-Linked-Etag"] = f'"{entry["lfs"]["oid"]}"'
            headers["X-Linked-Size"] = str(entry["size"])
            headers["Location"] = f"{self.cdn}/cdn/{entry['lfs']['oid']}?Signature=abc"
            return Response(302, b"", headers)
        return self._ranged(request, repo.path_of(entry).read_bytes(), headers)

    def cdn_get(self, request: Request, oid: str) -> Response:
        if request.headers.get("authorization"):
            raise HubError(400, "Only one auth mechanism allowed")
        if "Signature" not in request.query:
            raise HubError(403, "Not signed")
        path = self.storage.folder / "lfs" / oid
        if not path.is_file():
            raise HubError(404, "Not found")
        return self._ranged(request, path.read_bytes(), {"ETag": f'"{oid}"', "Accept-Ranges": "bytes"})

    @staticmethod
    def _ranged(request: Request, content: bytes, headers: dict[str, str]) -> Response:
        headers["Content-Type"] = "application/octet-stream"
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range") or "")
        if match is None:
            return Response(200, content, headers)
        first, last = int(match[1]), int(match[2] or len(content) - 1)
        if first >= len(content):
            raise HubError(416, "Range not satisfiable", **{"Content-Range": f"bytes */{len(content)}"})
        last = min(last, len(content) - 1)
        headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        return Response(206, content[first : last + 1], headers)

    # Uploads

    def preupload(self, request: Request, types: str, ns: str, name: str, rev: str) -> Response:
        repo = self._writable(request, types[:-1], f"{ns}/{name}", pull="create_pr" in request.query)
        tree = repo.tree(rev)
        found = []
        for file in request.json()["files"]:
            large = file["path"].endswith(LFS_SUFFIXES) or file["size"] > LFS_FROM
            entry = tree.get(file["path"], {})
            oid = entry.get("lfs", {}).get("oid") if large else entry.get("oid")
            mode = "lfs" if large else "regular"
            found.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return answer({"files": found})

    def lfs_batch(self, request: Request, prefix: str, id: str) -> Response:
        kind = prefix.removesuffix("s/") or "model"
        self._writable(request, kind, id, pull=True)
        objects = []
        for wanted in request.json()["objects"]:
            found: dict[str, Any] = {"oid": wanted["oid"], "size": wanted["size"]}
            if not (self.storage.folder / "lfs" / wanted["oid"]).is_file():
                href = f"{self.url}/lfs/{wanted['oid']}"
                found["actions"] = {"upload": {"href": href}, "verify": {"href": f"{href}/verify"}}
            objects.append(found)
        return answer({"transfer": "basic", "objects": objects})

    def lfs_put(self, request: Request, oid: str) -> Response:
        if hashlib.sha256(request.body).hexdigest() != oid:
            raise HubError(400, "The content does not match its checksum")
        write_whole(self.storage.folder / "lfs" / oid, request.body)
        return Response()

    def lfs_verify(self, request: Request, oid: str) -> Response:
        path = self.storage.folder / "lfs" / oid
        if not path.is_file() or path.stat().st_size != request.json()["size"]:
            raise HubError(404, "The object was not uploaded")
        return answer({})

    def commit(self, request: Request, types: str, ns: str, name: str, rev: str) -> Response:
        pull = "create_pr" in request.query
        repo = self._writable(request, types[:-1], f"{ns}/{name}", pull)
        user = self._user(request).user
        is_branch = rev in repo.refs("heads") or rev.startswith("refs/pr/")
        if not is_branch:
            raise HubError(404, f"Invalid rev id: {rev}", "RevisionNotFound")
        oid = apply(repo, repo.resolve(rev), request.body, user)
        found: dict[str, Any] = {"success": True, "commitOid": oid, "commitUrl": f"{self._page(repo)}/commit/{oid}"}
        if pull:
            number = max(repo.pulls(), default=0) + 1
            title, date = repo.commit(oid)["title"], repo.commit(oid)["date"]
            repo.write_pull(number, {"title": title, "status": "open", "author": user, "date": date})
            repo.set_ref(f"pr/{number}", oid)
            found["pullRequestUrl"] = f"{self._page(repo)}/discussions/{number}"
        else:
            repo.set_ref(rev.removeprefix("refs/") if rev.startswith("refs/") else f"heads/{rev}", oid)
        return answer(found)

    def _page(self, repo: Repo) -> str:
        return f"{self.url}/{'' if repo.type == 'model' else repo.type + 's/'}{repo.id}"

    # Refs, history and pull requests

    def refs(self, request: Request, types: str, ns: str, name: str) -> Response:
        repo = self._repo(request, types[:-1], f"{ns}/{name}")

        def listed(kind: str, prefix: str) -> list[dict[str, str]]:
            found = repo.refs(kind).items()
            return [{"name": name, "ref": f"refs/{prefix}/{name}", "targetCommit": oid} for name, oid in found]

        found = {"branches": listed("heads", "heads"), "tags": listed("tags", "tags"), "converts": []}
        if "include_prs" in request.query:
            found["pullRequests"] = listed("pr", "pr")
        return answer(found)

    def commits(self, request: Request, types: str, ns: str, name: str, rev: str) -> Response:
        repo = self._repo(request, types[:-1], f"{ns}/{name}")
        keys = ("id", "title", "message", "date")
        found = [
            {"authors": [{"user": commit["author"]}], **{key: commit[key] for key in keys}}
            for commit in repo.history(rev)
        ]
        return self._paged(request, found)

    def create_branch(self, request: Request, types: str, ns: str, name: str, rev: str) -> Response:
        repo = self._writable(request, types[:-1], f"{ns}/{name}")
        if rev in repo.refs("heads"):
            raise HubError(409, f"Reference already exists: {rev}")
        repo.set_ref(f"heads/{rev}", repo.resolve(request.json().get("startingPoint", "main")))
        return answer({})

    def create_tag(self, request: Request, types: str, ns: str, name: str, rev: str) -> Response:
        repo, tag = self._writable(request, types[:-1], f"{ns}/{name}"), request.json()["tag"]
        if tag in repo.refs("tags"):
            raise HubError(409, f"Tag reference exists already: {tag}")
        repo.set_ref(f"tags/{tag}", repo.resolve(rev))
        return answer({})

    def _delete_ref(self, request: Request, types: str, ns: str, name: str, kind: str, ref: str) -> Response:
        repo = self._writable(request, types[:-1], f"{ns}/{name}")
        if ref not in repo.refs(kind):
            raise HubError(404, f"Invalid rev id: {ref}", "RevisionNotFound")
        (repo.folder / "refs" / kind / ref).unlink()
        return answer({})

    def delete_branch(self, request: Request, types: str, ns: str, name: str, rev: str) -> Response:
        return self._delete_ref(request, types, ns, name, "heads", rev)

    def delete_tag(self, request: Request, types: str, ns: str, name: str, rev: str) -> Response:
        return self._delete_ref(request, types, ns, name, "tags", rev)

    def discussions(self, request: Request, types: str, ns: str, name: str) -> Response:
        repo, status = self._repo(request, types[:-1], f"{ns}/{name}"), request.query.get("status", ["all"])[0]
        found = [
            {
                "num": number,
                "title": pull["title"],
                "status": pull["status"],
                "author": {"name": pull["author"]},
                "createdAt": pull["date"],
                "isPullRequest": True,
                "repo": {"name": repo.id, "type": repo.type},
            }
            for number, pull in repo.pulls().items()
            if status in ("all", pull["status"])
        ]
        return answer({"discussions": found, "count": len(found), "start": 0})

    def merge(self, request: Request, types: str, ns: str, name: str, number: str) -> Response:
        repo = self._writable(request, types[:-1], f"{ns}/{name}")
        pull, oid = repo.pulls()[int(number)], repo.resolve(f"refs/pr/{number}")
        if repo.commit(oid)["parent"] != repo.resolve("main"):
            raise HubError(409, "The pull request is behind its base")
        repo.set_ref("heads/main", oid)
        repo.write_pull(int(number), {**pull, "status": "merged"})
        return answer({})
