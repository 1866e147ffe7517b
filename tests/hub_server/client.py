"""This process's huggingface_hub client, pointed at a test server."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import huggingface_hub
import transformers.utils.hub
from huggingface_hub import constants, file_download, hf_api
from huggingface_hub.utils import _http

from .server import HubServer


@contextmanager
def client_of(hub: HubServer, home: Path, token: str | None = None) -> Iterator[huggingface_hub.HfApi]:
    """Send every call of huggingface_hub and transformers to the server.

    The client reads most settings when it is imported; this changes them where it keeps them. It does not wait between
    its own retries.

    Args:
        hub: The server.
        home: Where caches and a login would be.
        token: Value of HF_TOKEN; None: nobody is logged in.
    """
    api = huggingface_hub.HfApi(endpoint=hub.url)
    changed = {
        "ENDPOINT": hub.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": hub.url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_XET": True,
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_TOKEN_PATH": str(home / "token"),
        "HF_STORED_TOKENS_PATH": str(home / "stored_tokens"),
    }
    variables = {"HF_TOKEN": token} if token else {}
    impatient = SimpleNamespace(**{**vars(time), "sleep": lambda seconds: None})
    with (
        mock.patch.multiple(constants, **changed),
        mock.patch.multiple(hf_api.api, endpoint=hub.url),
        mock.patch.object(transformers.utils.hub, "_hf_api", None),
        mock.patch.object(_http, "time", impatient),
        mock.patch.object(file_download, "time", impatient),
        mock.patch.dict("os.environ", variables),
    ):
        if token is None:
            os.environ.pop("HF_TOKEN", None)
        try:
            yield api
        finally:
            _http.close_session()
