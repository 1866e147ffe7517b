"""Fixtures of the Hub's tests: a server on loopback, and this process's client pointed at it."""

import pytest
from huggingface_hub.utils import disable_progress_bars

from tests.hub_server import HubServer, client_of

disable_progress_bars()
TOKEN = "hf_" + "AdaWritesHere" + "x" * 21
READ_TOKEN = "hf_" + "AdaReadsOnly" + "x" * 22
OTHER_TOKEN = "hf_" + "BobIsNotAda" + "x" * 23


@pytest.fixture
def hub(tmp_path):
    """ada writes for the organisation primer-zoo; bob does not."""
    with HubServer(tmp_path / "server") as server:
        server.accounts.add("ada", TOKEN, organisations=["primer-zoo"])
        server.accounts.add("ada", READ_TOKEN, role="read")
        server.accounts.add("bob", OTHER_TOKEN)
        yield server


@pytest.fixture
def api(hub, tmp_path):
    """The client, logged in as ada."""
    with client_of(hub, tmp_path / "home", TOKEN) as client:
        yield client
