"""Choosing what one page of a list shows, from entries that are known. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, TypeVar

from tiphys.apimachinery.resource import Resource
from tiphys.apiserver.cache import versions
from tiphys.apiserver.cache.bucket import Bucket
from tiphys.apiserver.cache.corrupt import CorruptObject, unreadable
from tiphys.apiserver.cache.entry import ClosedEntry, Entry
from tiphys.apiserver.registry.objects import Page, Selection

_PORTION: Final = 500
_PORTION_BYTES: Final = 256 * 1024
_T = TypeVar("_T")


def select(entries: Iterable[Entry], selection: Selection, limit: int) -> list[Entry]:
    """Return what matches, ``limit`` at most (0: all)."""
    found: Iterable[Entry] = entries
    name, matches = selection.name, selection.matches
    if name or matches is not None:
        found = (e for e in entries if (not name or e.name == name) and (matches is None or matches(e)))
    return list(islice(found, limit)) if limit else list(found)


def index_of(selection: Selection) -> str:
    """Return how upstream names the index that narrows a selection; empty: none does."""
    if selection.name or selection.field_equals is None:
        return ""
    return f"f:{selection.field_equals[0]}"


def portions(items: Sequence[_T], size_of: Callable[[_T], int]) -> Iterator[Sequence[_T]]:
    """Cut into runs that are told at a time: a watch that reads slowly holds one of them, not all."""
    start = total = 0
    for at, item in enumerate(items):
        if at - start == _PORTION or (total >= _PORTION_BYTES and at > start):
            yield items[start:at]
            start, total = at, 0
        total += size_of(item)
    if start < len(items):
        yield items[start:]


def page_of(bucket: Bucket, root: str, start: str, limit: int, *, revision: int, begun: int) -> Page:
    """Return a page of what is there now, narrowed by nothing. ``begun``: when its list began."""
    found = bucket.page(root, start, limit)
    if not found.more:
        return Page(found.entries, revision, joined=found.joined, shared=found.shared)
    following = versions.encode_token(revision, found.entries[-1].key[len(root) :] + "\0", begun)
    remaining = bucket.count(root, start) - limit
    return Page(found.entries, revision, following, remaining, joined=found.joined, shared=found.shared)


def refuse_closed(bucket: Bucket, resource: Resource, selection: Selection, start: str, limit: int) -> None:
    """Raise StatusError when something that a list would look at now cannot be read."""
    root, last = bucket.root(selection), ""
    if selection.names_one(resource):
        last = root + selection.name
        start = max(start, last)
    elif limit and selection.matches is None and not selection.name and selection.field_equals is None:
        page = bucket.page(root, start, limit)
        last = page.entries[-1].key if page.more else ""
    bucket.refuse_sealed(resource, root, start, last)


def readable(entries: list[Entry], resource: Resource, limit: int) -> list[Entry]:
    """Return past entries; raises StatusError when one of them, up to ``limit``, cannot be read."""
    faults = []
    for entry in entries[: limit or None]:
        if isinstance(entry, ClosedEntry):
            try:
                _ = entry.raw
            except CorruptObject as error:
                faults.append(error)
    if faults:
        raise unreadable(resource, faults)
    return entries
