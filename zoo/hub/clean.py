"""A process that uses a model as somebody else would: with the library, or without it and by remote code."""

import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_name("worker.py")
ROOT = Path(__file__).parents[2]
LIMIT = 900.0  # seconds for one request


class CleanProcess:
    """A worker process, started at its first request and shared by the later ones: importing torch takes seconds.

    It has no token, a Hub client that is offline, an empty working directory and its own module cache. Code that comes
    with a model runs only there.

    Args:
        without_library: Whether importing `zoo` fails in it.
    """

    def __init__(self, without_library: bool):
        self.without_library = without_library
        self._process: subprocess.Popen[str] | None = None

    def close(self) -> None:
        """End the process and remove its folder."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._folder.cleanup()
        self._process = None

    def _start(self) -> subprocess.Popen[str]:
        self._folder = tempfile.TemporaryDirectory(prefix="zoo-clean-")
        home = Path(self._folder.name)
        (home / "work").mkdir()
        secrets = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_OIDC_RESOURCE")
        environment = {name: value for name, value in os.environ.items() if name not in secrets} | {
            "HF_HOME": str(home / "home"),
            "HF_TOKEN_PATH": str(home / "no-token"),
            "HF_HUB_OFFLINE": "1",
            "HF_MODULES_CACHE": str(home / "modules"),
            "TRANSFORMERS_VERBOSITY": "error",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "ZOO_WORKER": "without_library" if self.without_library else "",
        }
        if not self.without_library:
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), environment.get("PYTHONPATH")]))
        with open(home / "stderr.txt", "w", encoding="utf-8") as errors:
            return subprocess.Popen(
                # As text: run as a file, the folder of this package would be on its path and hide other packages.
                [sys.executable, "-W", "ignore", "-c", SOURCE.read_text(encoding="utf-8")],
                env=environment,
                cwd=home / "work",
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def ask(self, do: str, **request: object) -> dict[str, Any]:
        """Send one request.

        Args:
            do: `load` or `run`, a function of worker.py.
            request: Its arguments.

        Raises:
            RuntimeError: It failed; the message is the worker's.
        """
        process = self._process = self._process or self._start()
        assert process.stdin is not None and process.stdout is not None
        timer = threading.Timer(LIMIT, process.kill)
        timer.start()
        try:
            process.stdin.write(json.dumps({"do": do, **request}, default=str) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            timer.cancel()
        if not line:
            stderr = (Path(self._folder.name) / "stderr.txt").read_text(encoding="utf-8", errors="replace").strip()
            self.close()
            raise RuntimeError(f"the process ended before it could {do} it: {stderr[-500:]}")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer


class Workers:
    """One clean process with the library and one without it, each started when it is first needed."""

    def __enter__(self) -> "Workers":
        self.with_library, self.without_library = CleanProcess(False), CleanProcess(True)
        return self

    def __exit__(self, *exception: object) -> None:
        self.with_library.close()
        self.without_library.close()


__all__ = ["CleanProcess", "Workers"]
