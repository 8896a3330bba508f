"""Warnings that pure code has for whoever made a request: what is let through, and should be known.

``warn`` may be called anywhere below a ``collecting``, and does nothing elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_WARNINGS: ContextVar[list[str] | None] = ContextVar("warnings", default=None)


@contextmanager
def collecting() -> Iterator[list[str]]:
    """Collect the warnings given within, in order."""
    texts: list[str] = []
    token = _WARNINGS.set(texts)
    try:
        yield texts
    finally:
        _WARNINGS.reset(token)


def warn(text: str) -> None:
    """Tell whoever collects warnings."""
    texts = _WARNINGS.get()
    if texts is not None:
        texts.append(text)
