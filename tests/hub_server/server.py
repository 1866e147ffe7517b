"""The HTTP side: connections, faults and a log of the requests."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from .accounts import Accounts
from .api import PAGE, Api, Request, Response
from .faults import Fault
from .storage import Repo, Storage


class HubServer:
    """A Hub in a folder, served on loopback from a thread while the context lasts.

    ```python
    with HubServer(folder) as hub:
        hub.accounts.add("ada", token="hf_ada", organisations=["primer-zoo"])
    ```

    Args:
        folder: Where everything is kept; a server that is started anew there goes on from it.
        page: Entries on one page of a listing.

    Attributes:
        requests: "METHOD /path" of every request that was read, in order.
        faults: What goes wrong; see `faults.py`.
    """

    def __init__(self, folder: Path, page: int = PAGE):
        self.storage, self.accounts = Storage(folder), Accounts()
        self.requests: list[str] = []
        self.authorizations: list[str | None] = []
        self.faults: list[Fault] = []
        self.lock = threading.RLock()  # one request at a time: what a test sees is a state between requests
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._http.hub = self  # type: ignore[attr-defined]
        port = self._http.server_address[1]
        self.url = f"http://127.0.0.1:{port}"
        self.api = Api(self.storage, self.accounts, self.url, f"http://localhost:{port}", page)

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
        return self.storage.repo(kind, repo_id)

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
            hub.authorizations.append(self.headers.get("authorization"))
            kind = fault.kind if fault else ""
            if kind == "refuse":
                return self._reset()
            length = int(self.headers.get("content-length") or 0)
            if kind == "half":
                self.rfile.read(length // 2)
                return self._reset()
            body = self._chunked() if "chunked" in (self.headers.get("transfer-encoding") or "") else b""
            body = body or self.rfile.read(length)
            if fault and kind.isdigit():
                # A proxy's error page, which is not the API's JSON.
                page = {"Content-Type": "text/html", **dict(fault.headers)}
                return self._send(Response(int(kind), b"<html>Something went wrong</html>", page))
            request = Request(self.command, parts.path, parse_qs(parts.query), self.headers, body)
            response = hub.api.handle(request)
            self._send(response, cut=kind == "cut")

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve

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

    def _send(self, response: Response, cut: bool = False) -> None:
        try:
            self.send_response(response.status)
            for name, value in {**response.headers, "Content-Length": str(len(response.body))}.items():
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
                self.wfile.write(response.body)
            self.wfile.flush()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
