"""A Hub on loopback, which the real huggingface_hub client talks to in the tests.

`HubServer(folder)` keeps users, repositories, commits, refs, LFS objects and pull requests as files in a folder;
`client_of(server)` points this process's client at it. What it cannot prove stands in docs/publishing.md.
"""

from .accounts import Accounts
from .client import client_of
from .faults import Fault
from .server import HubServer

__all__ = ["Accounts", "Fault", "HubServer", "client_of"]
