"""JSON patch (RFC 6902) as the API server applies it.

Owns: the six operations, their limits and their failures. Refuses: reading bytes. Called by the PATCH handler
with decoded JSON. Two habits of the server are kept: an array index may be negative, counting from the end,
and ``replace`` of a missing object member sets it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from tiphys.apimachinery.atoi import atoi, atoi_fault
from tiphys.apimachinery.errors import BadRequest, Invalid, RequestEntityTooLarge, TiphysError
from tiphys.apimachinery.meta import copy_object

MAX_OPERATIONS = 10_000
COPY_LIMIT_BYTES = 3 * 1024 * 1024
"""What all ``copy`` operations of one patch may add together."""

_ABSENT: Any = object()
_MISSING = "missing value"


class PatchFailed(TiphysError):
    """An operation does not apply; the reason of an ``Invalid`` answer, which itself does not tell it."""


class TestFailed(PatchFailed):
    """A ``test`` found another value."""

    __test__ = False  # it is none of pytest's


def apply(document: Any, patch: Any) -> Any:
    """Return a changed copy of ``document``.

    Raises:
        BadRequest: the patch is not a list of objects.
        RequestEntityTooLarge: it has more than ``MAX_OPERATIONS`` operations.
        Invalid: an operation does not apply; caused by ``PatchFailed``, which says why.

    Source: RFC 6902.
    """
    operations = _checked(patch)
    run = _Run(copy_object(document))
    try:
        for operation in operations:
            run.perform(operation)
    except PatchFailed as error:
        raise Invalid("the server rejected our request due to an error in our request", details={}) from error
    return run.document


def _checked(patch: Any) -> list[dict[str, Any]]:
    if patch is None:
        return []
    if not isinstance(patch, list):
        raise BadRequest(f"json: cannot unmarshal {_json_type(patch)} into Go value of type jsonpatch.Patch")
    for operation in patch:
        if not isinstance(operation, dict):
            raise BadRequest(
                f"json: cannot unmarshal {_json_type(operation)} into Go value of type jsonpatch.Operation"
            )
    if len(patch) > MAX_OPERATIONS:
        raise RequestEntityTooLarge(
            f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(patch)}"
        )
    return patch


def _json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    names = {dict: "object", list: "array", str: "string", int: "number", float: "number"}
    return names.get(type(value), "null")


class _Run:
    """One patch being applied to a document of its own."""

    def __init__(self, document: Any) -> None:
        self.document = document
        self._copied_bytes = 0
        self._operations: dict[str, Callable[[dict[str, Any]], None]] = {
            "add": self._add,
            "remove": self._remove,
            "replace": self._replace,
            "move": self._move,
            "copy": self._copy,
            "test": self._test,
        }

    def perform(self, operation: dict[str, Any]) -> None:
        kind = operation.get("op", "unknown")
        act = self._operations.get(kind) if isinstance(kind, str) else None
        if act is None:
            raise PatchFailed(f"Unexpected kind: {kind}")
        act(operation)

    def _add(self, operation: dict[str, Any]) -> None:
        path = _pointer(operation, "path", "add operation failed to decode path")
        holder, key = self._find(path, f'add operation does not apply: doc is missing path: "{path}"')
        with _context(f"error in add for path: '{path}'"):
            _insert(holder, key, copy_object(operation.get("value")))

    def _remove(self, operation: dict[str, Any]) -> None:
        path = _pointer(operation, "path", "remove operation failed to decode path")
        holder, key = self._find(path, f'remove operation does not apply: doc is missing path: "{path}"')
        with _context(f"error in remove for path: '{path}'"):
            _delete(holder, key)

    def _replace(self, operation: dict[str, Any]) -> None:
        path = _pointer(operation, "path", "replace operation failed to decode path: {}")
        holder, key = self._find(path, f"replace operation does not apply: doc is missing path: {path}")
        value = copy_object(operation.get("value"))
        if isinstance(holder, dict):
            holder[key] = value
            return
        try:
            index = _index(key, len(holder))
        except PatchFailed as error:
            text = f"replace operation does not apply: doc is missing key: {path}: {_MISSING}"
            raise PatchFailed(text) from error
        holder[index] = value

    def _move(self, operation: dict[str, Any]) -> None:
        source = _pointer(operation, "from", "move operation failed to decode from: {}")
        holder, key = self._find(source, f"move operation does not apply: doc is missing from path: {source}")
        with _context(f"error in move for path: '{key}'"):
            value = _get(holder, key)
            _delete(holder, key)
        path = _pointer(operation, "path", "move operation failed to decode path: {}")
        where = f"move operation does not apply: doc is missing destination path: {path}"
        holder, key = self._find(path, where)
        with _context(f"error in move for path: '{path}'"):
            _insert(holder, key, value)

    def _copy(self, operation: dict[str, Any]) -> None:
        source = _pointer(operation, "from", "copy operation failed to decode from: {}")
        holder, key = self._find(source, f"copy operation does not apply: doc is missing from path: {source}")
        with _context(f"error in copy for from: '{source}'"):
            value = _get(holder, key)
        path = _pointer(operation, "path", "copy operation failed to decode path")
        where = f"copy operation does not apply: doc is missing destination path: {path}"
        holder, key = self._find(path, where)
        value = None if value is _ABSENT else copy_object(value)
        self._copied_bytes += len(orjson.dumps(value, default=float))
        if self._copied_bytes > COPY_LIMIT_BYTES:
            raise PatchFailed(
                f"Unable to complete the copy, the accumulated size increase of copy is "
                f"{self._copied_bytes}, exceeding the limit {COPY_LIMIT_BYTES}"
            )
        with _context("error while adding value during copy"):
            _insert(holder, key, value)

    def _test(self, operation: dict[str, Any]) -> None:
        path = _pointer(operation, "path", "test operation failed to decode path: {}")
        holder, key = self._find(path, f"test operation does not apply: is missing path: {path}")
        with _context(f"error in test for path: '{path}'"):
            found = _get(holder, key)
        if found is _ABSENT:
            found = None
        if not _equal(found, operation.get("value")):
            raise TestFailed(f"testing value {path} failed: test failed")

    def _find(self, path: str, missing: str) -> tuple[Any, str]:
        """Return the container that holds the last part of the path, and that part.

        Raises:
            PatchFailed: there is none; ``missing`` says so.
        """
        parts = [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")]
        holder = self.document
        try:
            for part in parts[1:-1]:
                holder = _get(holder, part)
                if not isinstance(holder, (dict, list)):
                    break
        except PatchFailed:
            holder = _ABSENT
        if len(parts) < 2 or not isinstance(holder, (dict, list)):
            raise PatchFailed(f"{missing}: {_MISSING}")
        return holder, parts[-1]


@contextmanager
def _context(what: str) -> Iterator[None]:
    """Say where something failed."""
    try:
        yield
    except PatchFailed as error:
        raise PatchFailed(f"{what}: {error}") from error


def _pointer(operation: dict[str, Any], name: str, failed: str) -> str:
    """Return a path; ``failed`` says that there is none, and takes the cause where it has a place for it."""
    path = operation.get(name)
    if not isinstance(path, str):
        raise PatchFailed(f"{failed.format(f'operation missing {name} field')}: {_MISSING}")
    return path


def _get(holder: Any, key: str) -> Any:
    if isinstance(holder, dict):
        return holder.get(key, _ABSENT)
    return holder[_index(key, len(holder))]


def _insert(holder: Any, key: str, value: Any) -> None:
    if isinstance(holder, dict):
        holder[key] = value
    elif key == "-":
        holder.append(value)
    elif atoi(key) is None:
        raise PatchFailed(f"value was not a proper array index: '{key}': {atoi_fault(key)}")
    else:
        holder.insert(_index(key, len(holder) + 1), value)


def _delete(holder: Any, key: str) -> None:
    if isinstance(holder, list):
        del holder[_index(key, len(holder))]
    elif key in holder:
        del holder[key]
    else:
        raise PatchFailed(f"Unable to remove nonexistent key: {key}: {_MISSING}")


def _index(key: str, size: int) -> int:
    """Read an array index below ``size``; -1 is the last of them."""
    index = atoi(key)
    if index is None:
        raise PatchFailed(atoi_fault(key))
    if not -size <= index < size:
        raise PatchFailed(f"Unable to access invalid index: {index}: invalid index referenced")
    return index if index >= 0 else index + size


def _equal(one: Any, other: Any) -> bool:
    """Compare as JSON: true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    return type(one) is type(other) and bool(one == other)
