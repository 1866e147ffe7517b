"""Faults that the server injects, by the number of the request since they were armed."""

import re
from dataclasses import dataclass

# refuse: the connection is reset before the request is read; nothing happens on the server.
# 500: a server error is answered; nothing happens on the server.
# cut: the request is carried out, and the connection is cut in the middle of the answer.
# half: the connection is cut in the middle of the request's body; nothing happens on the server.
KINDS = ("refuse", "500", "cut", "half")


@dataclass
class Fault:
    """What goes wrong, and when.

    Args:
        kind: One of KINDS, or an HTTP status.
        at: Number of the first request that it hits, counted from 0 over those that match.
        times: How many requests it hits; None: that one and every later one.
        matching: A regular expression for "METHOD /path"; default: every request.
        headers: Of the answer, for a status.
    """

    kind: str
    at: int = 0
    times: int | None = 1
    matching: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    seen: int = 0

    def hits(self, request: str) -> bool:
        """Whether this request is hit; counts it."""
        if not re.search(self.matching, request):
            return False
        number, self.seen = self.seen, self.seen + 1
        return number >= self.at and (self.times is None or number < self.at + self.times)
