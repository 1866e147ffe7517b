"""The page on this machine: a server for loopback only."""

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HOST = "127.0.0.1"


class PageHandler(SimpleHTTPRequestHandler):
    """Files of the page with the types that browsers insist on, without a log line for each."""

    extensions_map = {
        **SimpleHTTPRequestHandler.extensions_map,
        ".mjs": "text/javascript",
        ".js": "text/javascript",
        ".wasm": "application/wasm",
        ".woff2": "font/woff2",
        ".flac": "audio/flac",
        ".onnx": "application/octet-stream",
    }

    def end_headers(self) -> None:
        """A new build shows at once: the browser asks whether its copy is still good."""
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the command prints the address only."""


def make_server(page: Path, port: int) -> ThreadingHTTPServer:
    """A server of the page.

    Args:
        page: Folder of the page.
        port: Of loopback; 0 for any free one.

    Raises:
        OSError: The port is taken.
    """
    try:
        return ThreadingHTTPServer((HOST, port), partial(PageHandler, directory=str(page)))
    except OSError as error:
        raise OSError(f"port {port} of {HOST} is not free ({error.strerror}): choose another with --port") from None


__all__ = ["HOST", "make_server"]
