"""`zoo demo [--output_dir FOLDER] [--gradio]`: the shipped models in a page that runs in the browser.

Without arguments the page is built on first use (models are exported to ONNX, the runtime comes from npm), served on
this machine, and its address is printed. `--output_dir` writes the page into a folder instead, complete for any static
host, such as a static Hugging Face Space. `--gradio` writes a Gradio Space with the same four demos, and runs it where
gradio is installed.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from zoo.demo.models import MODELS

from . import Parser, guarded

INTERRUPTED = "interrupted: no page was written; the same command goes on, and keeps the models that are exported"


def make_parser() -> Parser:
    """The command's arguments."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser("zoo demo", description=__doc__, formatter_class=raw)
    parser.add_argument(
        "--output_dir", type=Path, help="write the page (or the Gradio Space) here and do not serve it"
    )
    parser.add_argument("--gradio", action="store_true", help="a Gradio app instead of the static page")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS, metavar="MODEL", help="default: all")
    parser.add_argument("--exports_dir", type=Path, help="folder of ONNX exports, one a model; default: in the cache")
    parser.add_argument("--refresh", action="store_true", help="export the models again")
    parser.add_argument("--port", type=int, default=7860, help="of the local server; 0: any free one")
    return parser


def demo(argv: list[str]) -> None:
    """Parse the command line, build, and serve."""
    from zoo.demo.build import build, cache, write_gradio

    parser = make_parser()
    arguments = parser.parse_args(argv)
    if not 0 <= arguments.port <= 65535:
        parser.error(f"--port {arguments.port} must be between 0 and 65535")
    if arguments.gradio:
        folder = write_gradio(arguments.output_dir or cache() / "gradio")
        print(f"wrote {folder / 'app.py'}")
        if arguments.output_dir is None and find_spec("gradio") is None:
            print("gradio is not installed: `pip install gradio` and run `zoo demo --gradio` again")
        elif arguments.output_dir is None:
            subprocess.run([sys.executable, "app.py"], cwd=folder, check=True)
        return
    page = arguments.output_dir or cache() / "page"
    build(page, arguments.models, arguments.exports_dir, arguments.refresh)
    if arguments.output_dir is not None:
        size = sum(path.stat().st_size for path in page.rglob("*") if path.is_file())
        print(
            f"wrote {page} ({size / 1e6:.0f} MB): "
            f"upload it to a static Space with `hf upload NAME {page} --repo-type space`"
        )
        return
    serve(page, arguments.port)


def serve(page: Path, port: int) -> None:
    """Serve the page until Ctrl-C."""
    from zoo.demo.serve import HOST, make_server

    with make_server(page, port) as server:
        print(f"the demo runs at http://{HOST}:{server.server_address[1]}/ (Ctrl-C ends it)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("the demo has ended")


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of the command."""
    return guarded(demo, argv, INTERRUPTED)


__all__ = ["main", "make_parser"]
