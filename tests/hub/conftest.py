"""Fixtures of the Hub's tests: a server on loopback, this process's client, clean processes, and things to publish."""

import contextlib
import io
import shutil
from unittest import mock

import pytest
from huggingface_hub.utils import disable_progress_bars

from tests.hub_server import HubServer, client_of
from tests.hub_server.state import Token
from zoo.hub import clean, remote
from zoo.hub.blocks import Card, merge
from zoo.hub.clean import Workers

disable_progress_bars()
REPO = "primer-zoo/small"
TOKEN = "hf_" + "AdaWritesHere" + "x" * 21
READ_TOKEN = "hf_" + "AdaReadsOnly" + "x" * 22
OTHER_TOKEN = "hf_" + "BobIsNotAda" + "x" * 23


def run_command(command, *arguments) -> tuple[int, str]:
    """(exit code, everything printed)."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        code = command([str(argument) for argument in arguments])
    return code, printed.getvalue()


def quiet(text: str) -> None:
    """Print nothing."""


@pytest.fixture
def hub():
    """A server; ada writes for the organisation primer-zoo and has a read-only token, bob is nobody there."""
    with HubServer() as server:
        server.state.tokens |= {
            TOKEN: Token("ada", "write", ("primer-zoo",)),
            READ_TOKEN: Token("ada", "read", ("primer-zoo",)),
            OTHER_TOKEN: Token("bob"),
        }
        yield server


@pytest.fixture
def api(hub, tmp_path):
    """The client, logged in as ada; the library does not wait between its tries."""
    with mock.patch.object(remote, "WAITS", (0.0,) * 4), client_of(hub, tmp_path / "home", TOKEN) as client:
        yield client


@pytest.fixture
def small(tmp_path):
    """A folder such as `stage` makes, without a model in it: enough for uploads."""
    folder = tmp_path / "small"
    (folder / "pictures").mkdir(parents=True)
    head = {"license": "mit", "tags": ["primer-zoo"]}
    (folder / "README.md").write_text(merge(Card(head, {"about": "# Small", "results": "0.5"}), None))
    (folder / "config.json").write_text('{"model_type": "small"}')
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 8)
    (folder / "modeling_small.py").write_text("x = 1\n")
    (folder / "pictures/a.png").write_bytes(b"png")
    return folder


@pytest.fixture(scope="session")
def workers():
    """One clean process with the library and one without, for all tests: each imports torch and transformers once."""
    with Workers() as shared:
        yield shared


@pytest.fixture
def shared_workers(workers, monkeypatch):
    """Commands use the session's processes instead of their own."""
    monkeypatch.setattr(clean, "Workers", lambda: contextlib.nullcontext(workers))


@pytest.fixture
def run(finished, tmp_path):
    """A copy of the folder of a finished run, to break."""
    return shutil.copytree(finished / "run", tmp_path / "run")
