"""The HTTP side: routes, faults and a log of the requests."""

import base64
import hashlib
import json
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from .state import LFS_SUFFIXES, File, HubError, Repo, State, Token, check_card

# refuse: the connection is reset before the request is read. 500: a server error. half: the connection is cut in the
# middle of the request's body. All three do nothing on the server. cut: the request is carried out, and the connection
# is cut in the middle of the answer.
KINDS = ("refuse", "500", "cut", "half")


@dataclass
class Fault:
    """What goes wrong, and when.

    Args:
        kind: One of KINDS, or an HTTP status.
        at: Number of the first request that it hits, counted from 0 over those that match.
        times: How many requests it hits; None: that one and every later one.
        matching: A regular expression for "METHOD /path"; default: every request.
        headers: Of the answer, for a status.
    """

    kind: str
    at: int = 0
    times: int | None = 1
    matching: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    seen: int = 0

    def hits(self, request: str) -> bool:
        """Whether this request is hit; counts it."""
        if not re.search(self.matching, request):
            return False
        number, self.seen = self.seen, self.seen + 1
        return number >= self.at and (self.times is None or number < self.at + self.times)


@dataclass
class Request:
    """One request, and the repository that its path names."""

    method: str
    query: dict[str, list[str]]
    headers: Any
    body: bytes
    token: Token | None
    kind: str
    repo_id: str

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body or b"{}")

    @property
    def pull(self) -> bool:
        """Whether it belongs to a new pull request."""
        return "create_pr" in self.query


Answer = tuple[int, bytes, dict[str, str]]


def answer(content: Any, status: int = 200, **headers: str) -> Answer:
    """An answer in JSON."""
    return status, json.dumps(content).encode(), {"Content-Type": "application/json", **headers}


class Routes:
    """The Hub's API over a state: a pattern and a method for each kind of request."""

    def __init__(self, state: State, url: str, cdn: str):
        self.state, self.url, self.cdn = state, url, cdn
        repo, rev = r"/api/(?P<kind>model|dataset)s/(?P<id>[^/]+/[^/]+)", r"(?P<rev>[^/]+)"
        file = r"/(?:(?P<kind>dataset)s/)?(?P<id>[^/]+/[^/]+)"
        patterns: dict[str, Callable[..., Answer]] = {
            r"GET /api/whoami-v2": self.whoami,
            r"POST /api/repos/create": self.create,
            r"POST /api/validate-yaml": self.validate,
            rf"GET {repo}": self.info,
            rf"GET {repo}/revision/{rev}": self.info,
            rf"GET {repo}/tree/{rev}(?:/(?P<path>.+))?": self.tree,
            rf"GET {repo}/refs": self.refs,
            rf"GET {repo}/discussions": self.discussions,
            rf"POST {repo}/(?:branch|tag)/{rev}": self.create_ref,
            rf"POST {repo}/preupload/{rev}": self.preupload,
            rf"POST {repo}/commit/{rev}": self.commit,
            rf"POST {file}\.git/info/lfs/objects/batch": self.lfs_batch,
            r"PUT /lfs/(?P<oid>[0-9a-f]{64})": self.lfs_put,
            r"POST /lfs/(?P<oid>[0-9a-f]{64})/verify": self.lfs_verify,
            r"GET /cdn/(?P<oid>[0-9a-f]{64})": self.lfs_get,
            rf"GET {file}/resolve/{rev}/(?P<path>.+)": self.resolve,
        }
        self.patterns = [(re.compile(pattern), function) for pattern, function in patterns.items()]

    def handle(self, method: str, path: str, query: str, headers: Any, body: bytes) -> Answer:
        """The answer to a request; errors are answers too."""
        try:
            secret = (headers.get("authorization") or "").removeprefix("Bearer ")
            if secret and secret not in self.state.tokens:
                raise HubError(401, "Invalid credentials in Authorization header")
            for pattern, function in self.patterns:
                match = pattern.fullmatch(f"{'GET' if method == 'HEAD' else method} {path}")
                if match:
                    parts = {key: unquote(value) for key, value in match.groupdict().items() if value}
                    kind, repo_id = parts.pop("kind", "model"), parts.pop("id", "")
                    token = self.state.tokens.get(secret)
                    request = Request(method, parse_qs(query), headers, body, token, kind, repo_id)
                    return function(request, **parts)
            raise HubError(404, f"No such page: {method} {path}")
        except HubError as error:
            return answer({"error": error.message}, error.status, **error.headers)

    def _readable(self, request: Request) -> Repo:
        return self.state.readable(request.token, request.kind, request.repo_id)

    def _writable(self, request: Request, pull: bool = False) -> Repo:
        return self.state.writable(request.token, request.kind, request.repo_id, pull)

    def whoami(self, request: Request) -> Answer:
        token = request.token
        if token is None:
            raise HubError(401, "Invalid username or password.")
        organisations = [{"type": "org", "name": name} for name in token.organisations]
        auth = {"type": "access_token", "accessToken": {"role": token.role}}
        return answer({"type": "user", "name": token.user, "orgs": organisations, "auth": auth})

    def create(self, request: Request) -> Answer:
        token, body = request.token, request.json()
        namespace = body.get("organization") or (token.user if token else "")
        kind, repo_id = body.get("type") or "model", f"{namespace}/{body['name']}"
        if token is None or token.role == "read" or not token.member(namespace):
            raise HubError(403, f"You don't have the rights to create a {kind} under {namespace}")
        url = f"{self.url}/{'datasets/' if kind == 'dataset' else ''}{repo_id}"
        if (kind, repo_id) in self.state.repos:
            return answer({"error": f"You already created this {kind} repo", "url": url}, 409)
        self.state.repos[kind, repo_id] = Repo(private=body.get("visibility") == "private")
        return answer({"url": url, "name": repo_id})

    def validate(self, request: Request) -> Answer:
        errors = [{"message": error} for error in check_card(request.json()["content"])]
        return answer({"errors": errors, "warnings": []}, 400 if errors else 200)

    def info(self, request: Request, rev: str = "main") -> Answer:
        repo = self._readable(request)
        siblings = [{"rfilename": path} for path in repo.tree(rev)]
        sha = repo.resolve(rev)
        return answer({"id": request.repo_id, "sha": sha, "private": repo.private, "siblings": siblings, "tags": []})

    def tree(self, request: Request, rev: str, path: str = "") -> Answer:
        files = self._readable(request).tree(rev)
        prefix = f"{path}/" if path else ""
        listed = [file.entry(name) for name, file in files.items() if name.startswith(prefix)]
        if path and not listed:
            raise HubError(404, f"{path} does not exist on {rev}", "EntryNotFound")
        return answer(listed)

    def refs(self, request: Request) -> Answer:
        repo = self._readable(request)
        branches, tags = (
            [
                {"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": oid}
                for name, oid in repo.named(kind).items()
            ]
            for kind in ("heads", "tags")
        )
        return answer({"branches": branches, "tags": tags, "converts": []})

    def discussions(self, request: Request) -> Answer:
        repo = self._readable(request)
        common = {"status": "open", "author": {"name": "ada"}, "createdAt": "2026-01-01T00:00:00.000Z"}
        common |= {"isPullRequest": True, "repo": {"name": request.repo_id, "type": request.kind}}
        pulls = [{"num": int(number), "title": "A change", **common} for number in repo.named("pr")]
        return answer({"discussions": pulls, "count": len(pulls), "start": 0})

    def create_ref(self, request: Request, rev: str) -> Answer:
        repo, body = self._writable(request), request.json()
        name = f"tags/{body['tag']}" if "tag" in body else f"heads/{rev}"
        if name in repo.refs:
            raise HubError(409, f"Reference exists already: {name}")
        repo.refs[name] = repo.resolve(rev if "tag" in body else body.get("startingPoint", "main"))
        return answer({})

    def preupload(self, request: Request, rev: str) -> Answer:
        tree = self._writable(request, pull=request.pull).tree(rev)
        files = []
        for file in request.json()["files"]:
            known, lfs = tree.get(file["path"]), file["path"].endswith(LFS_SUFFIXES)
            oid = None if known is None else known.sha256 if lfs else known.oid
            mode = "lfs" if lfs else "regular"
            files.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return answer({"files": files})

    def lfs_batch(self, request: Request) -> Answer:
        self._writable(request, pull=True)
        objects = []
        for wanted in request.json()["objects"]:
            href = f"{self.url}/lfs/{wanted['oid']}"
            actions = {"actions": {"upload": {"href": href}, "verify": {"href": f"{href}/verify"}}}
            objects.append({**wanted, **({} if wanted["oid"] in self.state.objects else actions)})
        return answer({"transfer": "basic", "objects": objects})

    def lfs_put(self, request: Request, oid: str) -> Answer:
        if hashlib.sha256(request.body).hexdigest() != oid:
            raise HubError(400, "The content does not match its checksum")
        self.state.objects[oid] = request.body
        return answer({})

    def lfs_verify(self, request: Request, oid: str) -> Answer:
        return answer({}, 200 if oid in self.state.objects else 404)

    def commit(self, request: Request, rev: str) -> Answer:
        repo = self._writable(request, pull=request.pull)
        ref = rev.removeprefix("refs/") if rev.startswith("refs/pr/") else f"heads/{rev}"
        if ref not in repo.refs:
            raise HubError(404, f"Invalid rev id: {rev}", "RevisionNotFound")
        header, *operations = [json.loads(line) for line in request.body.splitlines() if line.strip()]
        parent = repo.refs[ref]
        if header["value"].get("parentCommit") not in (None, parent):
            raise HubError(412, "A commit has happened since. Please refresh and try again.")
        tree = dict(repo.tree(parent))
        for operation in operations:
            kind, value = operation["key"], operation["value"]
            path = value["path"]
            if kind == "deletedFile":
                del tree[path]
            elif kind == "lfsFile":
                tree[path] = File(path, self.state.objects[value["oid"]])
            else:
                tree[path] = File(path, base64.b64decode(value["content"]))
        oid = repo.commit(parent, tree, header["value"].get("summary", ""))
        page = f"{self.url}/{'datasets/' if request.kind == 'dataset' else ''}{request.repo_id}"
        content = {"success": True, "commitOid": oid, "commitUrl": f"{page}/commit/{oid}"}
        if request.pull:
            number = len(repo.named("pr")) + 1
            ref, content["pullRequestUrl"] = f"pr/{number}", f"{page}/discussions/{number}"
        repo.refs[ref] = oid
        return answer(content)

    def resolve(self, request: Request, rev: str, path: str) -> Answer:
        repo = self._readable(request)
        oid = repo.resolve(rev)
        file = repo.tree(rev).get(path)
        headers = {"X-Repo-Commit": oid, "Accept-Ranges": "bytes"}
        if file is None:
            raise HubError(404, "Entry not found", "EntryNotFound", **headers)
        headers["ETag"] = f'"{file.oid}"'
        if not file.lfs:
            return self._ranged(request, file.content, headers)
        # As on the Hub, large files come from another host, by a signed address that needs no token.
        headers |= {"X-Linked-Etag": f'"{file.sha256}"', "X-Linked-Size": str(file.size)}
        self.state.objects[file.sha256] = file.content
        return 302, b"", {**headers, "Location": f"{self.cdn}/cdn/{file.sha256}?Signature=abc"}

    def lfs_get(self, request: Request, oid: str) -> Answer:
        if request.token is not None:
            raise HubError(400, "Only one auth mechanism allowed")
        return self._ranged(request, self.state.objects[oid], {"ETag": f'"{oid}"', "Accept-Ranges": "bytes"})

    @staticmethod
    def _ranged(request: Request, content: bytes, headers: dict[str, str]) -> Answer:
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range") or "")
        if match is None:
            return 200, content, headers
        first, last = int(match[1]), int(match[2] or len(content) - 1)
        headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        return 206, content[first : last + 1], headers


class HubServer:
    """A Hub in memory, served on loopback from a thread while the context lasts.

    Attributes:
        state: Tokens, repositories and uploaded objects.
        requests: "METHOD /path" of every request that was read, in order.
        faults: What goes wrong.
    """

    def __init__(self):
        self.state = State()
        self.requests: list[str] = []
        self.faults: list[Fault] = []
        self.lock = threading.RLock()  # one request at a time: what a test sees is a state between requests
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._http.hub = self  # type: ignore[attr-defined]
        port = self._http.server_address[1]
        self.url = f"http://127.0.0.1:{port}"
        self.routes = Routes(self.state, self.url, f"http://localhost:{port}")

    def __enter__(self) -> "HubServer":
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def repo(self, repo_id: str, kind: str = "model") -> Repo:
        """A repository as it is stored."""
        return self.state.repos[kind, repo_id]

    @contextmanager
    def failing(self, *faults: Fault) -> Iterator[None]:
        """Faults for the time of a `with` block."""
        with self.lock:
            self.faults = list(faults)
        try:
            yield
        finally:
            with self.lock:
                self.faults = []


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    # Headers and body leave in one packet each, at once: Nagle's algorithm would wait 40 ms between them.
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing on the terminal."""

    def _serve(self) -> None:
        hub: HubServer = self.server.hub  # type: ignore[attr-defined]
        parts = urlsplit(self.path)
        line = f"{self.command} {self.path}"
        with hub.lock:
            fault = next((fault for fault in list(hub.faults) if fault.hits(line)), None)
            hub.requests.append(line)
            kind = fault.kind if fault else ""
            length = int(self.headers.get("content-length") or 0)
            if kind in ("refuse", "half"):
                self.rfile.read(length // 2 if kind == "half" else 0)
                return self._reset()
            body = self._chunked() if "chunked" in (self.headers.get("transfer-encoding") or "") else b""
            body = body or self.rfile.read(length)
            if fault and kind.isdigit():
                # A proxy's error page, which is not the API's JSON.
                page = {"Content-Type": "text/html", **fault.headers}
                return self._send(int(kind), b"<html>Something went wrong</html>", page)
            self._send(
                *hub.routes.handle(self.command, parts.path, parts.query, self.headers, body), cut=kind == "cut"
            )

    do_GET = do_HEAD = do_POST = do_PUT = _serve

    def _chunked(self) -> bytes:
        content = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return content

    def _reset(self) -> None:
        """Close the connection at once: the client sees a reset."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def _send(self, status: int, body: bytes, headers: dict[str, str], cut: bool = False) -> None:
        try:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            if cut:
                # Half of the headers (and with a HEAD there is no body): the client gets no whole answer.
                raw = b"".join(self._headers_buffer)  # type: ignore[attr-defined]
                self._headers_buffer = []
                self.wfile.write(raw[: len(raw) // 2])
                self.wfile.flush()
                return self._reset()
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
            self.wfile.flush()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
