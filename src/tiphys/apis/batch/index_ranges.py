"""Lists of a Job's indexes as text: ``1,3-5,7``."""

from __future__ import annotations

from collections.abc import Iterator

from tiphys.apimachinery.atoi import atoi


class MalformedIndexes(ValueError):
    """Says what is wrong with a list of indexes."""


def _index(text: str, completions: int) -> int:
    index = atoi(text)
    if index is None:
        raise MalformedIndexes(f'cannot convert string to integer for index: "{text}"')
    if index >= completions:
        raise MalformedIndexes(f'too large index: "{text}"')
    return index


def _interval(text: str, completions: int) -> tuple[int, int]:
    parts = text.split("-")
    if len(parts) > 2:
        raise MalformedIndexes(
            f'the fragment "{text}" violates the requirement that an index interval can have at most two '
            "parts separated by '-'"
        )
    first = _index(parts[0], completions)
    if len(parts) == 1:
        return first, first
    last = _index(parts[1], completions)
    if first >= last:
        raise MalformedIndexes(f"non-increasing order, previous: {first}, current: {last}")
    return first, last


def count_indexes(text: str, completions: int) -> int:
    """Return how many indexes a list has. Raises MalformedIndexes."""
    total, previous = 0, None
    for part in text.split(",") if text else ():
        first, last = _interval(part, completions)
        if previous is not None and previous >= first:
            raise MalformedIndexes(f"non-increasing order, previous: {previous}, current: {first}")
        total += last - first + 1
        previous = last
    return total


def _readable(text: str, completions: int) -> Iterator[tuple[int, int]]:
    for part in text.split(",") if text else ():
        try:
            yield _interval(part, completions)
        except MalformedIndexes:
            continue


def first_overlap(text: str, other: str, completions: int) -> int | None:
    """Return the first index that is in both lists; what cannot be read is told elsewhere."""
    rest = list(_readable(other, completions))
    for first, last in _readable(text, completions):
        for low, high in rest:
            if first <= high and low <= last:
                return max(first, low)
    return None
