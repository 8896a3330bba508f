"""Warnings that pure code has for whoever made a request: what is let through, and should be known.

``warn`` may be called anywhere below a ``collecting``, and does nothing elsewhere.
"""

from __future__ import annotations

from contextvars import ContextVar

_WARNINGS: ContextVar[list[str] | None] = ContextVar("warnings", default=None)


class collecting:  # noqa: N801
    """Collect the warnings given within, in order. On the path of every write, so not a generator."""

    __slots__ = ("_token",)

    def __enter__(self) -> list[str]:
        texts: list[str] = []
        self._token = _WARNINGS.set(texts)
        return texts

    def __exit__(self, *_: object) -> None:
        _WARNINGS.reset(self._token)


def warn(text: str) -> None:
    """Tell whoever collects warnings."""
    texts = _WARNINGS.get()
    if texts is not None:
        texts.append(text)
