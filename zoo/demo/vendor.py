"""`python -m zoo.demo.vendor FOLDER`: what the page runs on, the runtime, the tokenizers and the fonts.

They come from npm in the versions of package-lock.json.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
# Package -> its files that the page needs -> their names in the page's vendor folder.
FILES = {
    "onnxruntime-web": {
        "dist/ort.wasm.min.mjs": "ort.wasm.min.mjs",
        "dist/ort-wasm-simd-threaded.mjs": "ort-wasm-simd-threaded.mjs",
        "dist/ort-wasm-simd-threaded.wasm": "ort-wasm-simd-threaded.wasm",
    },
    "@huggingface/tokenizers": {"dist/tokenizers.min.mjs": "tokenizers.min.mjs", "LICENSE": "LICENSE-tokenizers"},
    "@fontsource-variable/bricolage-grotesque": {
        "files/bricolage-grotesque-latin-wght-normal.woff2": "bricolage-grotesque.woff2",
        "LICENSE": "LICENSE-bricolage-grotesque",
    },
    "@fontsource-variable/instrument-sans": {
        "files/instrument-sans-latin-wght-normal.woff2": "instrument-sans.woff2",
        "LICENSE": "LICENSE-instrument-sans",
    },
}
RUNTIME = "ort-wasm-simd-threaded.wasm"
# Runs no script of a package.
NPM = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--omit=dev", "--loglevel=error")


def fetch_vendor(folder: Path) -> None:
    """Install the packages with npm and copy what the page needs.

    Args:
        folder: Where the files go.

    Raises:
        RuntimeError: npm is absent or failed; the message says what to do.
    """
    if shutil.which("npm") is None:
        raise RuntimeError(
            "the page's runtime comes from npm, which is not installed: install Node.js 18 or newer "
            "(for example `apt-get install npm`) and run the command again"
        )
    with tempfile.TemporaryDirectory(prefix="zoo-demo-") as temporary:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, temporary)
        run = subprocess.run(NPM, cwd=temporary, capture_output=True, text=True)
        if run.returncode:
            lines = [line.removeprefix("npm error ") for line in run.stderr.splitlines() if line.strip()]
            raise RuntimeError(
                f"`{' '.join(NPM)}` failed: {' '.join(lines[:3]) or 'no message'}; is the machine online?"
            )
        folder.mkdir(parents=True, exist_ok=True)
        for package, files in FILES.items():
            for source, target in files.items():
                shutil.copy(Path(temporary) / "node_modules" / package / source, folder / target)


__all__ = ["RUNTIME", "fetch_vendor"]

if __name__ == "__main__":
    fetch_vendor(Path(sys.argv[1]))
