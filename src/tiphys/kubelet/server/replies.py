"""The two ways in which a kubelet says that something is wrong. Pure.

Most faults are their text alone; those of the HTTP library, and of what passes connections on, end with a
line feed and forbid that their type is guessed.
"""

from __future__ import annotations

from typing import Final

from tiphys.wire.message import Response

JSON: Final = {"Content-Type": "application/json"}
TEXT: Final = {"Content-Type": "text/plain; charset=utf-8"}
PLAIN: Final = {**TEXT, "X-Content-Type-Options": "nosniff"}


def fault(status: int, text: str, **headers: str) -> Response:
    """Return a handler's fault: its text as it is."""
    return Response(status, {**TEXT, **headers}, text.encode())


def http_error(status: int, text: str) -> Response:
    """Return a fault as the HTTP library writes it."""
    return Response(status, dict(PLAIN), f"{text}\n".encode())


def not_found() -> Response:
    """Answer for a path that nobody has."""
    return http_error(404, "404 page not found")
