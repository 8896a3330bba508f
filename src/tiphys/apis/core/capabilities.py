"""What an operator lets any pod ask for. Pure.

A server says it once for the requests that it serves; rules ask here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_PRIVILEGED: Final[ContextVar[bool]] = ContextVar("privileged", default=True)


def allows_privileged() -> bool:
    """Tell whether containers may be privileged."""
    return _PRIVILEGED.get()


@contextmanager
def privileged(*, allowed: bool) -> Iterator[None]:
    """Let what runs for a while make privileged containers, or not (``--allow-privileged``)."""
    token = _PRIVILEGED.set(allowed)
    try:
        yield
    finally:
        _PRIVILEGED.reset(token)
