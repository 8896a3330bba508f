"""What a patch made of a document, with its keys in the order in which a refusal shows them.

Owns: that order. A patch is put into the text of the document: what it looks into becomes a map of Go's,
which is written by its keys; all else stays as it was written, in the document or in the patch. Refuses:
patching, but for the sake of this. Called by the PATCH handler with a document in the order of its encoding.

Source: ``gopkg.in/evanphx/json-patch.v4``, which upstream's API server patches with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tiphys.apimachinery.meta import Object

Path = tuple[str, ...]


def merged(document: Object, patch: Object) -> Object:
    """Return a document with a merge patch in it: what both have and what is new is sorted, nothing else."""
    result = dict(document)
    for key, value in patch.items():
        current = result.get(key)
        if value is None:
            result.pop(key, None)
        elif isinstance(current, dict) and isinstance(value, dict):
            result[key] = merged(current, value)
        elif isinstance(current, dict):
            result[key] = value
        else:
            result[key] = _sorted(value)
    return _by_key(result)


def operated(made: Object, operations: Sequence[Object]) -> Object:
    """Return what a JSON patch made: what is on the way to its places is sorted, what it compared as a whole.

    ``made`` has each thing in the order that the document or the operation had it in.
    """
    result: Object = _by_key(made)
    for operation in operations:
        for path in _ways(operation):
            _sort_along(result, path, whole=operation.get("op") == "test")
    return result


def _ways(operation: Object) -> Iterator[Path]:
    for word in ("from", "path"):
        path = operation.get(word)
        if isinstance(path, str) and path.startswith("/"):
            yield tuple(part.replace("~1", "/").replace("~0", "~") for part in path[1:].split("/"))


def _sort_along(root: Object, path: Path, *, whole: bool) -> None:
    """Sort what a path leads through, in place; the lists and maps on the way become the result's own."""
    here: Any = root
    for at, part in enumerate(path):
        key: Any = _index(here, part) if isinstance(here, list) else part
        if key is None or (isinstance(here, dict) and key not in here) or not isinstance(here, (dict, list)):
            return
        below, last = here[key], at == len(path) - 1
        if last and not whole:
            return
        if last:
            below = _sorted(below)
        elif isinstance(below, (dict, list)):
            below = _by_key(below) if isinstance(below, dict) else list(below)
        here[key] = below
        here = below


def _index(items: list[Any], part: str) -> int | None:
    number = int(part) if part.removeprefix("-").isdecimal() and part.isascii() else None
    return number if number is not None and -len(items) <= number < len(items) else None


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value) if value[key] is not None}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def _by_key(value: Object) -> Object:
    return {key: value[key] for key in sorted(value)}
