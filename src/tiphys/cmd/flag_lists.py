"""Flags whose value is a list, by commas."""

from __future__ import annotations


def words(text: str) -> tuple[str, ...]:
    """Return the parts of a list, without the space around them; empty ones are none."""
    return tuple(part.strip() for part in text.split(",") if part.strip())
