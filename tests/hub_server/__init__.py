"""A Hub on loopback for the real huggingface_hub client: accounts, repositories, LFS, pull requests and faults.

`HubServer()` keeps its state in memory; `client_of(server, home)` points this process's client at it. What it cannot
prove is in docs/guides/publishing.md.
"""

from .client import client_of
from .server import KINDS, Fault, HubServer

__all__ = ["KINDS", "Fault", "HubServer", "client_of"]
